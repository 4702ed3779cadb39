"""What a person does to a ticket while a run works on it stands, however the run ends and wherever it dies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from runner.core.decide import Decision
from runner.core.decide.errors import on_error
from runner.core.decide.view import View
from runner.core.effects import Dispatch, EditTicket, MoveTo, PutComment
from runner.core.handover import Result, Work
from runner.core.markers import Kind
from runner.core.model import Status
from runner.core.phases import Phase
from runner.errors import ConfigError, RunnerError, Unavailable
from tests.core.every_case import CASES
from tests.core.snapshots import ADA, BOT, RON
from tests.fakes import Killed, World, answer, model

PLAN = "backlog and mine"
WORK = "the first sub task of an approved plan"
REVISE = "given back with a comment"
ENDS = (
    "done",
    "done+red",
    "done+empty",
    "no_change",
    "partial",
    "asked",
    "refused",
    "invalid",
    "truncated",
    "budget",
    "budget+parent",
    "stopped",
    "stopped+empty",
    "unavailable",
    "config",
)
Act = Callable[[World, str], object]


def start(name: str) -> tuple[World, str]:
    """The world of a case, with one status more than the configuration names, and the key of its ticket."""
    case = CASES[name]
    world = World.of(case.snap, case.policy)
    world.tickets.workflow = {
        **world.tickets.workflow,
        "Parked": Status(name="Parked", category="indeterminate"),
    }
    return world, case.snap.ticket.key


def put(status: str) -> Act:
    """Ron moves the ticket."""
    return lambda world, key: world.tickets.change_status(key, status, RON)


def give(account: str) -> Act:
    """Ada gives the ticket to somebody."""
    return lambda world, key: world.tickets.change_assignee(key, account, ADA)


def label(name: str) -> Act:
    """Ron adds a label."""
    return lambda world, key: world.tickets.change_labels(key, [name], [], RON)


def run(name: str, *acts: Act, end: str = "done") -> tuple[World, str, Decision]:
    """One run during which people do this."""
    world, key = start(name)

    def think(work: Work, number: str) -> Result:
        for act in acts:
            act(world, key)
        return answer(work, number, end)

    return world, key, world.run(key, think)


def standing(world: World, key: str) -> tuple[str, str | None]:
    """Where a ticket is and who has it."""
    ticket = world.tickets.by_key[key]
    return ticket.status.name, ticket.assignee.id if ticket.assignee is not None else None


def labels(world: World, key: str) -> set[str]:
    """The labels of runs on a ticket."""
    return {one for one in world.tickets.by_key[key].labels if one.startswith("ai:")}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("status", ["Backlog", "Plan Review", "Blocked", "Parked", "Done"])
@pytest.mark.parametrize("name", [WORK, REVISE])
def test_a_status_that_a_person_chose_stays(name: str, status: str, end: str) -> None:
    """However the work ends; no label of the run is left, and a second run neither writes nor asks."""
    world, key, _due = run(name, put(status), end=end)

    assert (standing(world, key)[0], labels(world, key)) == (status, set())
    sent, asked = list(world.line.sent), len(world.asked)
    world.run(key, model("done"))
    assert (world.line.sent, len(world.asked)) == (sent, asked)


@pytest.mark.parametrize("status", ["Backlog", "Plan Review", "Blocked", "Parked"])
def test_what_exists_becomes_a_draft_and_its_reviewer_says_how_to_go_on(status: str) -> None:
    """With the runner it would start again at once, or never; the ticket says why it rests and what to do."""
    world, key, due = run(WORK, put(status))

    assert (due.row, due.exit_code, bool(due.warning)) == ("13", 0, True)
    assert [one.is_draft for one in world.forge.pulls.values()] == [True]
    assert standing(world, key) == (status, "ron")
    assert any(
        f"was moved to `{status}` while I worked" in one.text for one in world.tickets.by_key[key].comments
    )


@pytest.mark.parametrize("status", ["Backlog", "Blocked", "Parked"])
def test_what_the_ticket_says_to_do_goes_on_from_the_draft(status: str) -> None:
    """Given back as the comment says, the work is finished on the same branch and pull request."""
    world, key, _due = run(WORK, put(status))
    if any("Move the ticket to **In Progress**" in one.text for one in world.tickets.by_key[key].comments):
        world.tickets.change_status(key, "In Progress", RON)
    world.tickets.change_assignee(key, "bot", RON)

    world.run(key, model("done"))

    assert standing(world, key) == ("In Testing", "ron")
    assert [one.is_draft for one in world.forge.pulls.values()] == [False]


@pytest.mark.parametrize("status", ["In Progress", "In Testing"])
def test_a_move_to_where_work_is_changes_nothing(status: str) -> None:
    """There a run is at work or has been: it ends as ever."""
    world, key, _due = run(WORK, put("Blocked"), put(status))

    assert standing(world, key) == ("In Testing", "ron")
    assert [one.is_draft for one in world.forge.pulls.values()] == [False]


def test_a_ticket_given_to_the_runner_after_the_move_is_wanted() -> None:
    """Whoever moves it back and gives it to the runner asks for the work, which is there."""
    world, key, _due = run(WORK, put("Backlog"), give("ada"), give("bot"))

    assert standing(world, key) == ("In Testing", "ron")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", [WORK, REVISE, PLAN])
def test_whoever_took_the_ticket_keeps_it(name: str, end: str) -> None:
    """However the run ends; the status is left alone as well."""
    at_work = {WORK: "In Progress", REVISE: "In Testing", PLAN: "Backlog"}
    world, key, _due = run(name, give("rita"), end=end)

    assert (standing(world, key), labels(world, key)) == ((at_work[name], "rita"), set())


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", [WORK, REVISE, PLAN])
def test_a_stopped_ticket_stays_where_it_is_and_with_whom(name: str, end: str) -> None:
    """The label of people stops every end alike."""
    at_work = {WORK: "In Progress", REVISE: "In Testing", PLAN: "Backlog"}
    world, key, _due = run(name, label("ai:stop"), end=end)

    assert (standing(world, key), labels(world, key)) == ((at_work[name], "bot"), {"ai:stop"})


def test_who_gets_a_review_meanwhile_keeps_it() -> None:
    """Work that began although its reviewer had the ticket is handed over to whom a person gave it to since."""
    world, key, _due = run("changes requested whoever is assigned", give("ada"))

    assert standing(world, key) == ("In Testing", "ada")
    assert [one.is_draft for one in world.forge.pulls.values()] == [False]


@pytest.mark.parametrize("end", ["refused", "done+red", "config"])
def test_who_gets_a_review_that_failed_meanwhile_keeps_it(end: str) -> None:
    """The ticket is Blocked as ever, and nobody takes it from them."""
    world, key, _due = run("changes requested whoever is assigned", give("ada"), end=end)

    assert standing(world, key) == ("Blocked", "ada")


def test_a_ticket_that_is_stopped_and_moved_stays_with_whom_it_is() -> None:
    """Whoever did both said it all."""
    world, key, _due = run(WORK, put("Blocked"), label("ai:stop"))

    assert standing(world, key) == ("Blocked", "bot")


def test_a_ticket_that_another_run_ended_stays_done() -> None:
    """Its pull request was merged meanwhile: what failed does not bring it back."""
    done: Act = lambda world, key: world.tickets.change_status(key, "Done", BOT)  # noqa: E731 - beside the other acts
    world, key, _due = run(WORK, done, end="config")

    assert standing(world, key)[0] == "Done"


def test_what_people_did_before_the_claim_is_no_answer_to_it() -> None:
    """A ticket that was moved to the backlog, as most are, is Blocked by a failure like any other."""
    world, key = start(WORK)
    put("Backlog")(world, key)
    put("In Testing")(world, key)
    put("Backlog")(world, key)

    due = on_error(view(world, key), ConfigError("No."), None)

    assert [one.state.value for one in due.effects if isinstance(one, MoveTo)] == ["blocked"]


@pytest.mark.parametrize("end", ["done", "asked", "not_ready", "refused", "unavailable", "config"])
@pytest.mark.parametrize("status", ["Blocked", "In Testing", "Parked", "Done"])
def test_a_plan_for_a_ticket_that_was_put_away_is_not_said(status: str, end: str) -> None:
    """A person does not want it now: nothing is planned or asked, and the ticket stays there."""
    world, key, _due = run(PLAN, put(status), end=end)

    kinds = {one.last_line.split()[2] for one in world.tickets.by_key[key].comments if one.last_line}
    assert (standing(world, key)[0], labels(world, key)) == (status, set())
    assert not kinds & {"plan", "questions"}


@pytest.mark.parametrize("status", ["Backlog", "Plan Review", "In Progress"])
def test_a_plan_for_a_ticket_that_still_waits_for_one_is_said(status: str) -> None:
    """In each of these a ticket without a plan is planned, so a move among them changes nothing."""
    world, key, _due = run(PLAN, put("Blocked"), put(status))

    assert standing(world, key) == ("Plan Review", "ada")


def close(world: World, key: str) -> None:
    """Ron closes the pull request without merging it."""
    for number in list(world.forge.pulls):
        world.forge.close(number, closed_by="ron")


def merge(world: World, key: str) -> None:
    """Ron merges the pull request."""
    for number in list(world.forge.pulls):
        world.forge.merge(number)


@pytest.mark.parametrize(
    ("act", "status", "assignee"),
    [(close, "Blocked", "ron"), (merge, "Done", "bot")],
    ids=["closed", "merged"],
)
def test_a_pull_request_that_ended_meanwhile_is_not_offered_anew(
    act: Act, status: str, assignee: str
) -> None:
    """Row 14 comes first: the veto, or the merge, stands, and the answer to the feedback before it is dropped."""
    world, key, due = run(REVISE, act)

    assert (due.row, standing(world, key), len(world.forge.pulls)) == ("14", (status, assignee), 1)
    assert (labels(world, key), "push" in world.line.sent, bool(due.warning)) == (set(), False, True)


@pytest.mark.parametrize("mine", [give("rita"), label("ai:stop")], ids=["taken", "stopped"])
def test_a_pull_request_that_ended_is_not_offered_anew_for_a_ticket_that_was_stopped_either(
    mine: Act,
) -> None:
    """Nothing is moved, nothing is pushed."""
    world, key, due = run(REVISE, close, mine)

    assert (due.row, standing(world, key)[0], len(world.forge.pulls)) == ("13", "In Testing", 1)
    assert "push" not in world.line.sent


# --- labels that forbid every write -----------------------------------------------------------------------


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", [WORK, REVISE, PLAN])
def test_nothing_is_written_to_a_ticket_that_is_ignored_by_now(name: str, end: str) -> None:
    """Row 10: nothing, ever; not even the end of what the run cost."""
    world, key = start(name)

    def think(work: Work, number: str) -> Result:
        label("ai:ignore")(world, key)
        world.line.sent.clear()
        return answer(work, number, end)

    due = world.run(key, think)

    assert (due.row, world.line.sent) == ("10", [])


@pytest.mark.parametrize("where", [None, "Blocked", "Done", "Parked", "Backlog"])
@pytest.mark.parametrize("name", [WORK, REVISE, PLAN])
def test_labels_left_under_ignore_go_with_it(name: str, where: str | None) -> None:
    """Once the label is off, the next runs go on or tidy up: no claim is left."""
    world, key, _due = run(name, label("ai:ignore"))
    if where is not None:
        world.tickets.change_status(key, where, RON)
    assert "ai:working" in labels(world, key)

    world.tickets.change_labels(key, [], ["ai:ignore"], RON)
    world.settle(key, model("done"))

    assert not {one for one in labels(world, key) if one == "ai:working" or one.startswith("ai:try-")}


# --- ends without a result, and crashes -------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [ConfigError("No."), RunnerError("Oops."), None], ids=["config", "bug", "killed"]
)
@pytest.mark.parametrize(
    "act", [put("Backlog"), put("Blocked"), put("Parked"), give("rita"), label("ai:stop")]
)
def test_a_run_that_fails_leaves_the_ticket_where_people_put_it(act: Act, error: RunnerError | None) -> None:
    """It says why it failed; it moves nothing, takes nothing from anybody, and starts nothing again."""
    world, key = claimed(WORK)
    act(world, key)
    before = standing(world, key)

    due = on_error(view(world, key), error, Phase.IMPLEMENT)

    edits = [one for one in due.effects if isinstance(one, EditTicket)]
    assert not [one for one in due.effects if isinstance(one, MoveTo | Dispatch)]
    assert [one.assignee for one in edits] == [
        "ron" if before == (before[0], "bot") and is_put(before) else "keep"
    ]
    assert "ai:failed" not in edits[0].add


def is_put(before: tuple[str, str | None]) -> bool:
    """Whether the ticket was moved away."""
    return before[0] != "In Progress"


@pytest.mark.parametrize("error", [ConfigError("No."), RunnerError("Oops."), Unavailable("Down."), None])
def test_a_failure_on_a_ticket_that_is_done_only_takes_the_claim_off(error: RunnerError | None) -> None:
    """Done by a person, it is not moved; the comment about the run's progress is ended, and the job tells the rest."""
    world, key = claimed(WORK)
    put("Done")(world, key)

    due = on_error(view(world, key), error, Phase.IMPLEMENT)

    said = [one.marker.kind for one in due.effects if isinstance(one, PutComment)]
    edits = [one for one in due.effects if isinstance(one, EditTicket)]
    assert (said, len(due.effects)) == ([Kind.PROGRESS], 2)
    assert [(one.remove, one.assignee) for one in edits] == [(("ai:working", "ai:try-1"), "keep")]


@pytest.mark.parametrize("end", ["done", "partial", "asked", "refused"])
@pytest.mark.parametrize("act", [put("Backlog"), put("Blocked"), give("rita")])
@pytest.mark.parametrize("fuse", range(8))
def test_a_crash_on_the_way_leaves_the_ticket_where_people_put_it(act: Act, end: str, fuse: int) -> None:
    """Whichever write was the last one before the run died, the next runs end where it would have.

    What it never said is lost with it: then work that waits in the backlog begins anew, and else a person says how to
    go on.
    """
    undisturbed, key, _due = run(WORK, act, end=end)
    world, _key = start(WORK)

    def think(work: Work, number: str) -> Result:
        act(world, key)
        world.line.fuse = fuse
        return answer(work, number, end)

    with suppress(Killed):
        world.run(key, think)
    world.line.fuse = None
    status, assignee = standing(undisturbed, key)
    if not is_said_or_pushed(world, key):
        lost = {"Backlog": ("In Testing", "ron"), "Blocked": ("Blocked", "ron")}
        status, assignee = lost.get(status, (status, assignee))
    world.settle(key, model("done"))

    assert (standing(world, key), labels(world, key)) == ((status, assignee), set())


def is_said_or_pushed(world: World, key: str) -> bool:
    """Whether a dead run left something that tells how it ended."""
    kinds = {one.last_line.split()[2] for one in world.tickets.by_key[key].comments if one.last_line}
    return bool(kinds & {"failure", "questions"}) or f"ai/{key}" in world.forge.heads


def claimed(name: str) -> tuple[World, str]:
    """A world in which a run has claimed the ticket and is at work."""
    world, key = start(name)
    snapshot = world.gather(key)
    world.applier(snapshot).apply(world.decide(key).claim)
    return world, key


def view(world: World, key: str) -> View:
    """The ticket as rules see it."""
    return View(
        snapshot=world.gather(key), policy=world.policy, now=world.clock(), run="9.1", run_url="https://run"
    )
