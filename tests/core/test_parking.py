"""A service that is down or limiting: which tickets are parked, and how often that is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from runner.core.decide.errors import on_error
from runner.core.effects import EditTicket, PutComment
from runner.core.markers import Kind
from runner.core.model import Snapshot
from runner.errors import ConfigError, Unavailable
from tests.core.cases import CASES, failed_ticket
from tests.core.snapshots import (
    ADA,
    BOT,
    FIRST,
    RON,
    assigned,
    at,
    family,
    marker,
    ours,
    snapshot,
    sub_task,
    ticket,
    view,
)

DOWN = Unavailable("GitHub is down.")


def edit_of(snap: Snapshot) -> EditTicket:
    """The one edit of labels that parking makes."""
    (edit,) = [one for one in on_error(view(snap), DOWN, None).effects if isinstance(one, EditTicket)]
    return edit


def test_a_ticket_of_ours_is_parked_by_one_comment_and_one_edit() -> None:
    """It keeps its status and its assignee, and the run is no failure."""
    decision = on_error(view(snapshot(ticket())), DOWN, None)

    assert [type(effect) for effect in decision.effects] == [PutComment, EditTicket]
    assert (decision.outcome, decision.exit_code) == ("waiting", 0)
    assert edit_of(snapshot(ticket())).assignee == "keep"


def test_the_time_that_the_service_names_is_told() -> None:
    """Whoever reads the ticket, and the next run, know until when it waits."""
    error = Unavailable("GitHub is down.", retry_at=1_772_370_000.0)
    said = on_error(view(snapshot(ticket())), error, None).effects[0]

    assert isinstance(said, PutComment)
    assert said.marker.until == "2026-03-01T13:00:00.000Z"
    assert "2026-03-01 13:00 UTC" in said.markdown


def test_no_service_parks_a_ticket_for_longer_than_a_day() -> None:
    """A time in other units, or a spiteful one, would bury the ticket."""
    error = Unavailable("GitHub is down.", retry_at=999_999_999_999.0)
    said = on_error(view(snapshot(ticket())), error, None).effects[0]

    assert isinstance(said, PutComment)
    assert said.marker.until == "2026-03-03T12:00:00.000Z"


def test_a_claimed_attempt_does_not_count() -> None:
    """The claim counted it before anything was tried."""
    edit = edit_of(family(FIRST, sub_task(FIRST, "alpha", labels=["ai:working", "ai:try-2"])))

    assert {"ai:try-1", "ai:waiting"} <= set(edit.add)
    assert {"ai:try-2", "ai:working"} <= set(edit.remove)


def test_a_parked_ticket_is_not_told_again() -> None:
    """While the service stays away, further runs write nothing."""
    said = ours(marker(Kind.PROGRESS, until=at(20)), 20)
    decision = on_error(view(snapshot(ticket(labels=["ai:waiting"], comments=[said]))), DOWN, None)

    assert decision.effects == ()
    assert decision.outcome == "waiting"


def test_a_failed_ticket_that_a_person_gave_back_is_parked_as_one_that_starts_afresh() -> None:
    """The sweep passes failed tickets by, so the label of the failure goes."""
    edit = edit_of(family(FIRST, failed_ticket(assigned(RON, BOT, 40))))

    assert "ai:waiting" in edit.add
    assert "ai:failed" in edit.remove


@pytest.mark.parametrize(
    "build",
    [
        lambda: snapshot(ticket(assignee=ADA)),
        lambda: snapshot(ticket(labels=["ai:ignore"])),
        lambda: snapshot(ticket(labels=["ai:stop"])),
        lambda: snapshot(ticket("Done")),
        lambda: family(FIRST, failed_ticket()),
        lambda: family(FIRST, replace(failed_ticket(), assignee=RON)),
    ],
    ids=["somebody else's", "ignored", "stopped", "done", "failed", "failed and handed over"],
)
def test_a_ticket_at_rest_is_not_parked(build: Callable[[], Snapshot]) -> None:
    """Nothing waits for the service there; the log and the exit code say what was the matter."""
    decision = on_error(view(build()), DOWN, None)

    assert decision.effects == ()
    assert (decision.outcome, decision.exit_code, decision.warning) == ("waiting", 0, "GitHub is down.")


@pytest.mark.parametrize("label", ["ai:ignore", "ai:stop"])
def test_a_wrong_configuration_is_not_told_to_a_ticket_at_rest(label: str) -> None:
    """Nothing, ever: the run ends red with what to do, and the ticket stays as its people left it."""
    decision = on_error(
        view(snapshot(ticket(labels=[label]))), ConfigError("Wrong.", remedy="Mend it."), None
    )

    assert decision.effects == ()
    assert (decision.outcome, decision.exit_code, decision.remedy) == ("failed", 2, "Mend it.")


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.row == "10"])
def test_an_ignored_ticket_is_never_written_to(name: str) -> None:
    """Row 10 holds for failures of every kind, on the ticket and on its parent."""
    facts = view(CASES[name].snap, CASES[name].policy)

    assert [on_error(facts, error, None).effects for error in (DOWN, ConfigError("Wrong."), None)] == [()] * 3
