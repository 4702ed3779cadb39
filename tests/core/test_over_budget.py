"""Budgets of a ticket and its family: what counts, what a person grants anew, and how its end is told."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from runner.core.decide import decide
from runner.core.decide.view import View
from runner.core.effects import EditTicket, MoveTo, PutComment
from runner.core.estimate import estimate
from runner.core.handover import Delivered, Result, SpentRecord, Work
from runner.core.markers import Kind, LedgerEntry, from_line, to_line
from runner.core.model import Account, Change
from runner.core.phases import Phase
from runner.core.policy import PhaseModel, Policy
from tests.core.snapshots import ADA, BOT, FIRST, NOW, POLICY, RUN, at, family, marker, ours, plan, sub_task

SPENT = LedgerEntry(
    run="1", phase="implement", model="m", tokens=1_000, usd=Decimal(3), seconds=60, at=at(10)
)


def labels(by: Account, old: str, new: str, minute: int) -> Change:
    return Change(at=at(minute), author=by, field="labels", old=old, new=new)


def ended(over: str, outcome: str = "budget") -> tuple[object, ...]:
    snapshot = family(FIRST, sub_task(FIRST, "alpha", "In Progress", labels=("ai:working", "ai:try-1")))
    work = Work(
        phase=Phase.IMPLEMENT,
        key=FIRST,
        row="4",
        input_digest="d" * 12,
        content_digest="c" * 12,
        base="main",
        start="a" * 40,
    )
    result = Result.model_validate(
        {
            "key": FIRST,
            "phase": "implement",
            "run": RUN,
            "input_digest": "d" * 12,
            "start": "a" * 40,
            "outcome": outcome,
            "over": over,
            "detail": "The budget does not allow another call.",
        }
    )
    decision = decide(snapshot, POLICY, NOW, Delivered(work=work, result=result))
    return decision.exit_code, decision.effects


@pytest.mark.parametrize(("over", "added"), [("run", False), ("ticket", True), ("parent", True)])
def test_a_spent_ticket_or_parent_rests_under_its_label(over: str, added: bool) -> None:
    """Exit 3 and Blocked; the label is set when the ticket's own or its parent's budget is spent, not the run's."""
    code, effects = ended(over)
    edits = [one for one in effects if isinstance(one, EditTicket)]  # type: ignore[attr-defined]
    said = [one.markdown for one in effects if isinstance(one, PutComment)]  # type: ignore[attr-defined]

    assert code == 3
    assert any(isinstance(one, MoveTo) and one.state == "blocked" for one in effects)  # type: ignore[attr-defined]
    assert ("ai:over-budget" in edits[-1].add) is added
    assert any("remove the label `ai:over-budget`" in text for text in said) is added


def seen_by(*history: Change) -> View:
    entry_comment = ours(marker(Kind.PROGRESS, key=FIRST, ledger=(SPENT,)), 12)
    ticket = sub_task(FIRST, "alpha", "In Progress", comments=[entry_comment], history=history)
    return View(snapshot=family(FIRST, ticket), policy=POLICY, now=NOW)


def test_a_person_who_takes_the_label_off_grants_the_budget_anew() -> None:
    """Runs before that moment no longer count; the label's coming and the runner's own edits change nothing."""
    view = seen_by(labels(ADA, "ai-runner ai:over-budget", "ai-runner", 20))

    assert SpentRecord.of(view.ledger, since=view.ticket_budget_since) == SpentRecord()
    for other in (labels(BOT, "ai:over-budget", "", 20), labels(ADA, "", "ai:over-budget", 20)):
        view = seen_by(other)
        assert SpentRecord.of(view.ledger, since=view.ticket_budget_since).usd == Decimal(3)


def test_what_counts_is_summed_with_the_unknown_apart() -> None:
    """Money of unknown price is never 0: its tokens are counted apart."""
    novel = replace(SPENT, run="2", usd=None, tokens=500)
    total = SpentRecord.of([SPENT, novel])

    assert (total.usd, total.tokens, total.unpriced_tokens, total.minutes) == (Decimal(3), 1_500, 500, 2.0)
    assert not total.to_spent().is_priced


def test_a_ledger_of_an_earlier_version_is_read_and_is_old() -> None:
    """Entries without a time stay readable, count as long as nothing was granted, and are before every grant."""
    old = replace(SPENT, at="")
    mark = marker(Kind.PROGRESS, ledger=(old, SPENT))

    assert from_line(to_line(mark)).ledger == (old, SPENT)
    assert SpentRecord.of([old]).usd == Decimal(3)
    assert SpentRecord.of([old], since=at(1)).usd == Decimal(0)


def test_the_family_is_summed_from_parent_and_sub_tasks() -> None:
    """The parent's budget counts every run once, wherever its record stands."""
    view = seen_by()
    other = replace(SPENT, run="9")
    view = replace(view, snapshot=replace(view.snapshot, family_ledgers={"ABC-12": (other, SPENT)}))

    assert SpentRecord.of(view.parent_ledger).usd == Decimal(6)


def test_an_estimate_names_its_basis_and_its_bounds() -> None:
    """From typical runs, or from runs under this ticket; an unknown price is said to be unknown."""
    typical = estimate(plan(), POLICY, [])
    known = estimate(plan(), POLICY, [SPENT])
    novel = Policy.model_validate({"models": {"implement": PhaseModel(model="openai:novel-1")}})

    assert "for 2 sub-tasks" in typical
    assert "estimate from typical runs of some 671,000 tokens" in typical
    assert "US$5.00 for a run" in typical
    assert known.startswith("about US$6.00")
    assert "the one earlier run" in known
    assert "cost unknown" in estimate(plan(), novel, [])
