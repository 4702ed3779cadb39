"""The fuse: a ticket whose runs ask a model again and again within an hour runs in a circle, and rests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.core.decide import Outcome, decide
from runner.core.decide.engine import MAX_RUNS_PER_HOUR
from runner.core.markers import Kind, LedgerEntry
from runner.core.model import Comment, Snapshot
from tests.core.snapshots import (
    BOT,
    FIRST,
    NOW,
    POLICY,
    RON,
    assigned,
    branch,
    family,
    marker,
    ours,
    pull_request,
    record,
    said,
    snapshot,
    sub_task,
    ticket,
)

AN_HOUR_AGO = "2026-03-02T11:00:00.000Z"
WITHIN_THE_HOUR = "2026-03-02T11:00:00.001Z"


def runs(count: int, at: str = WITHIN_THE_HOUR, prefix: str = "7") -> tuple[LedgerEntry, ...]:
    """Bills of runs that ended at this moment."""
    return tuple(
        LedgerEntry(
            run=f"{prefix}{number}.1", phase="plan", model="anthropic:scripted", tokens=1, usd=None, at=at
        )
        for number in range(count)
    )


def progress(*ledger: LedgerEntry, key: str = "ABC-7") -> Comment:
    """The comment that keeps them."""
    return ours(marker(Kind.PROGRESS, key=key, ledger=ledger), 20)


def due_a_plan(*ledger: LedgerEntry) -> Snapshot:
    """A ticket that asks for a plan after these runs."""
    own = ticket()
    return snapshot(replace(own, comments=(progress(*ledger, key=own.key),)))


@pytest.mark.parametrize(
    ("ledger", "is_asked"),
    [
        (runs(MAX_RUNS_PER_HOUR - 1), True),
        (runs(MAX_RUNS_PER_HOUR), False),
        (runs(MAX_RUNS_PER_HOUR + 3), False),
        (runs(MAX_RUNS_PER_HOUR, AN_HOUR_AGO), True),
        ((*runs(MAX_RUNS_PER_HOUR - 1), *runs(3, AN_HOUR_AGO, "8")), True),
        (runs(MAX_RUNS_PER_HOUR, ""), True),
    ],
    ids=["one less", "the most", "more", "an hour ago", "partly an hour ago", "records without a time"],
)
def test_only_runs_of_the_last_hour_count(ledger: tuple[LedgerEntry, ...], is_asked: bool) -> None:
    """The bound is reached, not passed; what is an hour old is forgotten."""
    assert (decide(due_a_plan(*ledger), POLICY, NOW).work is not None) is is_asked


def test_a_blown_fuse_waits_and_writes_nothing() -> None:
    """The ticket stays as it is, the log says why, and no attempt is counted."""
    decision = decide(due_a_plan(*runs(MAX_RUNS_PER_HOUR)), POLICY, NOW)

    assert (decision.outcome, decision.exit_code) == (Outcome.WAITING, 0)
    assert (decision.effects, decision.claim) == ((), ())
    assert "within an hour" in decision.warning


def test_runs_recorded_in_the_pull_request_count_too() -> None:
    """A revision's bills stand there."""
    asked = ours(marker(Kind.HANDOVER, key=FIRST), 32)
    own = sub_task(
        FIRST,
        "alpha",
        "In Testing",
        comments=[asked, said(RON, 60, "Round up.")],
        history=[assigned(RON, BOT, 61)],
    )

    def revised(count: int) -> Snapshot:
        pull = pull_request(FIRST, facts=record(FIRST, ledger=runs(count)))
        return replace(family(FIRST, own), branch=branch(FIRST), pull_requests=(pull,))

    asks = [
        decide(revised(count), POLICY, NOW).work is not None
        for count in (MAX_RUNS_PER_HOUR - 1, MAX_RUNS_PER_HOUR)
    ]
    assert asks == [True, False]


def test_what_needs_no_model_goes_on() -> None:
    """A merge is followed however many runs there were."""
    spent = progress(*runs(MAX_RUNS_PER_HOUR), key=FIRST)
    own = sub_task(FIRST, "alpha", "In Testing", assignee=RON, comments=[spent])
    snap = replace(
        family(FIRST, own), branch=branch(FIRST), pull_requests=(pull_request(FIRST, state="merged"),)
    )

    assert decide(snap, POLICY, NOW).row == "14"
