"""What becomes of a model's result: who gets the ticket, in which status, with which exit code, and what may interfere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runner.core.decide import Decision
from runner.core.decide.outcomes import asked_in_revision
from runner.core.feedback import Feedback
from runner.core.handover import Result, Work
from runner.core.markers import from_line, without_hidden
from runner.core.plan import PointAnswer
from runner.ports import CommentBody
from tests.core.every_case import CASES
from tests.core.snapshots import ADA, FIRST, PARENT, RITA, RON, SECOND, at
from tests.fakes import World, answer, model

PLAN = "backlog and mine"
REPLAN = "plan review and mine with an unread comment"
WORK = "the first sub task of an approved plan"
REVISE = "given back with a comment"

# situation, ending: row, outcome, exit code, status, assignee, labels of ours, pull requests
ENDS: list[tuple[str, str, str, str, int, str, str, tuple[str, ...], tuple[str, ...]]] = [
    (PLAN, "done", "1", "done", 0, "Plan Review", "ada", ("planned",), ()),
    (PLAN, "asked", "8", "asked", 0, "Blocked", "rita", (), ()),
    (PLAN, "not_ready", "8", "asked", 0, "Blocked", "rita", (), ()),
    (PLAN, "refused", "15", "failed", 3, "Blocked", "rita", (), ()),
    (PLAN, "invalid", "15", "failed", 3, "Blocked", "rita", (), ()),
    (PLAN, "truncated", "15", "failed", 3, "Blocked", "rita", (), ()),
    (PLAN, "budget", "15", "failed", 3, "Blocked", "rita", (), ()),
    (PLAN, "budget+ticket", "15", "failed", 3, "Blocked", "rita", ("over-budget",), ()),
    (PLAN, "stopped", "15", "failed", 3, "Blocked", "rita", (), ()),
    (PLAN, "unavailable", "15", "waiting", 0, "Backlog", "bot", ("waiting",), ()),
    (PLAN, "config", "15", "failed", 2, "Blocked", "rita", ("failed",), ()),
    (REPLAN, "done", "2", "done", 0, "Plan Review", "ada", ("planned",), ()),
    (REPLAN, "asked", "2", "done", 0, "Plan Review", "ada", ("planned",), ()),
    (REPLAN, "not_ready", "8", "asked", 0, "Blocked", "rita", ("planned",), ()),
    (WORK, "done", "4", "done", 0, "In Testing", "ron", (), ("open",)),
    (WORK, "done+red", "15", "failed", 3, "Blocked", "ron", (), ("draft",)),
    (WORK, "done+empty", "15", "failed", 3, "Blocked", "ron", (), ()),
    (WORK, "no_change", "4", "done", 0, "In Testing", "ron", (), ()),
    (WORK, "partial", "15", "failed", 3, "Blocked", "ron", (), ("draft",)),
    (WORK, "partial+empty", "15", "failed", 3, "Blocked", "ron", (), ()),
    (WORK, "asked", "8", "asked", 0, "Blocked", "rita", (), ()),
    (WORK, "refused", "15", "failed", 3, "Blocked", "ron", (), ()),
    (WORK, "invalid", "15", "failed", 3, "Blocked", "ron", (), ()),
    (WORK, "truncated", "15", "failed", 3, "Blocked", "ron", (), ("draft",)),
    (WORK, "budget", "15", "failed", 3, "Blocked", "ron", (), ("draft",)),
    (WORK, "budget+parent", "15", "failed", 3, "Blocked", "ron", ("over-budget",), ("draft",)),
    (WORK, "stopped", "15", "failed", 3, "Blocked", "ron", (), ("draft",)),
    (WORK, "stopped+empty", "15", "failed", 3, "Blocked", "ron", (), ()),
    (WORK, "unavailable", "15", "waiting", 0, "In Progress", "bot", ("waiting",), ()),
    (WORK, "config", "15", "failed", 2, "Blocked", "ron", ("failed",), ()),
    (REVISE, "done", "6", "done", 0, "In Testing", "ron", (), ("open",)),
    (REVISE, "done+red", "15", "failed", 3, "Blocked", "ron", (), ("draft",)),
    (REVISE, "no_change", "6", "done", 0, "In Testing", "ron", (), ("open",)),
    (REVISE, "asked", "6", "done", 0, "In Testing", "ron", (), ("open",)),
    (REVISE, "refused", "15", "failed", 3, "Blocked", "ron", (), ("open",)),
]


def start(name: str) -> tuple[World, str]:
    """The world of a case and the key of its ticket."""
    case = CASES[name]
    return World.of(case.snap, case.policy), case.snap.ticket.key


@pytest.mark.parametrize(
    ("name", "end", "row", "outcome", "code", "status", "assignee", "labels", "pulls"), ENDS
)
def test_the_end_of_a_run(
    name: str,
    end: str,
    row: str,
    outcome: str,
    code: int,
    status: str,
    assignee: str,
    labels: tuple[str, ...],
    pulls: tuple[str, ...],
) -> None:
    """Each kind of result leaves the ticket with one person, in one status, with one exit code."""
    world, key = start(name)

    due = world.run(key, model(end))

    ticket = world.tickets.by_key[key]
    assert (due.row, due.outcome.value, due.exit_code) == (row, outcome, code)
    assert (ticket.status.name, ticket.assignee and ticket.assignee.id) == (status, assignee)
    assert {label for label in ticket.labels if label.startswith("ai:")} == {f"ai:{one}" for one in labels}
    assert tuple("draft" if one.is_draft else "open" for one in world.forge.pulls.values()) == pulls


@pytest.mark.parametrize(("name", "end"), [(one[0], one[1]) for one in ENDS if one[3] == "failed"])
def test_every_failure_says_how_to_go_on(name: str, end: str) -> None:
    """Whoever reads it knows what to do, and that assigning the ticket starts it again."""
    world, key = start(name)

    world.run(key, model(end))

    told = next(one.text for one in world.tickets.by_key[key].comments if " failure " in one.last_line)
    remedy = told.partition("### What to do")[2]
    assert "assign" in remedy.casefold()
    world.tickets.change_labels(key, [], ["ai:over-budget"], RON)
    world.tickets.change_assignee(key, "bot", RON)
    assert world.decide(key).work is not None


# --- what happens while the model works -------------------------------------------------------------------


def meanwhile(
    name: str, act: Callable[[World, str], object], end: str = "done"
) -> tuple[World, str, Decision]:
    """One run during which a person does something."""
    world, key = start(name)

    def think(work: Work, run: str) -> Result:
        act(world, key)
        return answer(work, run, end)

    return world, key, world.run(key, think)


def comment(world: World, key: str) -> None:
    world.tickets.say(key, RITA, CommentBody(markdown="One more thing."))


@pytest.mark.parametrize(
    ("name", "status"), [(PLAN, "Plan Review"), (WORK, "In Testing"), (REVISE, "In Testing")]
)
def test_nothing_arrives_unread(name: str, status: str) -> None:
    """With a comment that came meanwhile the work is published, the ticket stays the runner's and is woken."""
    world, key, _due = meanwhile(name, comment)

    ticket = world.tickets.by_key[key]
    assert (ticket.status.name, ticket.assignee and ticket.assignee.id) == (status, "bot")
    assert key in world.forge.dispatched
    assert any("arrived" in one.text for one in ticket.comments)
    following = world.decide(key)
    assert following.work is not None
    assert [point.text for point in following.work.feedback] == ["One more thing."]


def test_a_plan_for_a_ticket_that_was_moved_is_discarded() -> None:
    """The person who approved the old plan meanwhile wins, and nothing of the new one is written."""
    world, key, due = meanwhile(
        REPLAN, lambda world, key: world.tickets.change_status(key, "In Progress", ADA)
    )

    kinds = [one.last_line.split()[2] for one in world.tickets.by_key[key].comments if one.last_line]
    assert (due.row, due.outcome.value, due.exit_code) == ("13", "nothing", 0)
    assert kinds.count("plan") == 1
    assert due.warning


def test_a_plan_for_a_ticket_that_was_taken_is_discarded() -> None:
    """Whoever took the ticket keeps it."""
    world, key, due = meanwhile(PLAN, lambda world, key: world.tickets.change_assignee(key, "rita", RITA))

    ticket = world.tickets.by_key[key]
    assert (due.row, ticket.assignee and ticket.assignee.id, ticket.status.name) == ("13", "rita", "Backlog")


@pytest.mark.parametrize("label", ["ai:stop"])
def test_work_that_is_told_to_stop_is_kept_as_a_draft(label: str) -> None:
    """What exists is pushed; the ticket stays as the person left it."""
    world, key, due = meanwhile(WORK, lambda world, key: world.tickets.change_labels(key, [label], [], RON))

    ticket = world.tickets.by_key[key]
    assert (due.row, due.exit_code) == ("13", 0)
    assert [one.is_draft for one in world.forge.pulls.values()] == [True]
    assert (ticket.status.name, label in ticket.labels) == ("In Progress", True)
    assert any(f"Take the label `{label}` off" in one.text for one in ticket.comments)


def test_work_on_a_ticket_that_was_taken_is_kept_as_a_draft() -> None:
    """The person has the ticket, and a draft to go on from."""
    world, key, _due = meanwhile(WORK, lambda world, key: world.tickets.change_assignee(key, "rita", RITA))

    ticket = world.tickets.by_key[key]
    assert [one.is_draft for one in world.forge.pulls.values()] == [True]
    assert (ticket.status.name, ticket.assignee and ticket.assignee.id) == ("In Progress", "rita")


def test_stopping_the_parent_stops_its_sub_tasks() -> None:
    """Labels of people on a parent hold for the family."""
    world, _key, due = meanwhile(
        WORK, lambda world, _: world.tickets.change_labels(PARENT, ["ai:stop"], [], RON)
    )

    assert (due.row, [one.is_draft for one in world.forge.pulls.values()]) == ("13", [True])


def test_work_on_a_ticket_that_is_ignored_by_now_is_dropped() -> None:
    """Not even what exists is pushed."""
    world, _key, due = meanwhile(
        WORK, lambda world, key: world.tickets.change_labels(key, ["ai:ignore"], [], RON)
    )

    assert (due.row, world.forge.pulls) == ("10", {})


def test_work_on_a_ticket_that_is_done_by_now_is_dropped() -> None:
    """A person finished it otherwise."""
    world, key, due = meanwhile(WORK, lambda world, key: world.tickets.change_status(key, "Done", RON))

    assert (due.row, world.forge.pulls) == ("13", {})
    assert world.tickets.by_key[key].status.name == "Done"


def test_a_persons_commit_is_built_upon_and_never_overwritten() -> None:
    """Work that began before it is dropped, and the next run starts from the person's commit."""

    def push(world: World, key: str) -> None:
        head = world.forge.heads[f"ai/{key}"]
        world.forge.add_commit(f"ai/{key}", "Fix by hand\n", (head,))

    world, key, due = meanwhile(REVISE, push)

    assert (due.row, due.outcome.value) == ("13", "nothing")
    assert key in world.forge.dispatched
    following = world.decide(key)
    assert following.work is not None
    assert following.work.start == following.work.expected == world.forge.heads[f"ai/{key}"]


# --- who is next ------------------------------------------------------------------------------------------


def test_handing_over_wakes_the_sibling_that_waited() -> None:
    """Stacked work goes on without anybody's help."""
    world, key = start(WORK)

    world.run(key, model("done"))

    assert world.forge.dispatched == [SECOND]


def test_no_change_counts_as_handed_over() -> None:
    """A sub-task that needed no change holds its successor no longer."""
    world, key = start(WORK)
    world.run(key, model("no_change"))

    assert world.forge.dispatched == [SECOND]
    assert world.decide(SECOND).work is not None


def test_nobody_who_may_not_be_assigned_gets_the_ticket() -> None:
    """If nobody fits, the ticket is unassigned and the person is mentioned."""
    world, key = start(WORK)
    world.tickets.people = frozenset()

    world.run(key, model("done"))

    ticket = world.tickets.by_key[key]
    assert ticket.assignee is None
    assert any("[~accountid:ron]" in one.text for one in ticket.comments)


def test_the_next_person_of_the_chain_is_taken() -> None:
    """Without an assignable reviewer it is the approver."""
    world, key = start(WORK)
    world.tickets.people = frozenset({"ada", "rita"})

    world.run(key, model("done"))

    assert (world.tickets.by_key[key].assignee or RON).id == "ada"


def test_rejected_work_that_is_given_back_without_a_word_is_handed_over_anew() -> None:
    """The new pull request gets a comment of its own, though nothing that was read has changed."""
    world, key = start("closed by a person")
    world.run(key, model("done"))
    world.tickets.change_assignee(key, "bot", RON)

    world.run(key, model("done"))

    told = [from_line(one.last_line) for one in world.tickets.by_key[key].comments if one.last_line]
    assert [(one.kind.value, one.number) for one in told if one.number][-1] == ("handover", 8)


def test_a_plan_after_an_edited_one_is_the_next_version() -> None:
    """The edited comment keeps its heading, so the new one counts on from it."""
    world, key = start("a plan comment edited by a person before approval")

    world.run(key, model("done"))

    assert any(one.text.startswith("## Plan, version 2") for one in world.tickets.by_key[key].comments)


def test_a_service_that_names_no_time_is_left_alone_for_some_minutes() -> None:
    """Otherwise the next event would ask it again at once."""
    world, key = start(WORK)

    world.run(key, model("unavailable+untold"))

    assert world.decide(key).reason.startswith("waiting until ")


# --- what was and was not answered ------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["partial", "budget", "stopped", "truncated"])
def test_a_point_that_was_not_answered_is_neither_claimed_nor_forgotten(end: str) -> None:
    """After an unfinished revision the open points come back with the ticket, and nobody is told that they are done."""
    world, key = start("given back with a thread")

    def think(work: Work, run: str) -> Result:
        return answer(work, run, end).model_copy(update={"answers": ()})

    world.run(key, think)

    (pull,) = world.forge.pulls.values()
    assert [len(one.comments) for one in pull.threads] == [1]
    world.tickets.change_assignee(key, "bot", RON)
    following = world.decide(key)
    assert following.work is not None
    assert [point.source for point in following.work.feedback] == ["thread"]


def test_a_point_that_was_answered_is_not_asked_again() -> None:
    """What an unfinished revision did answer stays answered."""
    world, key = start("given back with a thread")

    def think(work: Work, run: str) -> Result:
        given = tuple(PointAnswer(id=one.id, verdict="done", text="Done so.") for one in work.feedback)
        return answer(work, run, "partial").model_copy(update={"answers": given})

    world.run(key, think)

    (pull,) = world.forge.pulls.values()
    assert [len(one.comments) for one in pull.threads] == [2]
    world.tickets.change_assignee(key, "bot", RON)
    following = world.decide(key)
    assert following.work is not None
    assert following.work.feedback == ()


def test_a_question_in_a_revision_is_said_where_the_point_was_made() -> None:
    """Row 8: it is the answer to the thread; nothing is pushed, and what the pull request says of itself stays."""
    world, key = start("given back with a thread")
    (before,) = world.forge.pulls.values()

    world.run(key, model("asked"))

    (pull,) = world.forge.pulls.values()
    assert pull.threads[0].comments[-1].body.startswith("**Question:** Up or down?")
    assert (pull.head_sha, without_hidden(pull.body)) == (before.head_sha, without_hidden(before.body))
    assert any("Nothing was changed yet" in one.text for one in world.tickets.by_key[key].comments)


def test_one_question_is_asked_once_for_all_points() -> None:
    """Several open points of a revision: the first one has the question, the others wait for its answer."""
    points = [Feedback(id=name, version=at(1), source="comment", author="Rita", text="?") for name in "abc"]
    answered = PointAnswer(id="a", verdict="done", text="Done.")
    found = asked_in_revision(points, ("Up?", "Or down?"), (answered,))

    assert [(one.id, one.verdict) for one in found] == [("a", "done"), ("b", "question"), ("c", "question")]
    assert [one.text for one in found[1:]] == [
        "Up? Or down?",
        "This waits for the answer to my other question.",
    ]


def test_a_draft_that_is_asked_about_stays_a_draft() -> None:
    """Only work makes a draft ready."""
    world, key = start(REVISE)
    world.run(key, model("partial"))
    comment(world, key)
    world.tickets.change_assignee(key, "bot", RON)

    due = world.run(key, model("asked"))

    assert due.outcome.value == "done"
    assert [one.is_draft for one in world.forge.pulls.values()] == [True]
    assert world.tickets.by_key[key].status.name == "In Testing"


def test_a_question_about_a_plan_in_review_keeps_the_plan() -> None:
    """Row 8: the next version answers the comment with the question; its items are the ones before."""
    world, key = start(REPLAN)
    before = world.decide(key).work
    assert before is not None
    assert before.plan is not None

    world.run(key, model("asked"))

    said = next(one for one in reversed(world.tickets.by_key[key].comments) if "## Plan" in one.text)
    assert "**Question.** Up or down?" in said.text
    assert all(item.title in said.text for item in before.plan.items)


def test_red_before_is_not_held_against_the_work() -> None:
    """A check that failed before the work may fail after it."""
    world, key = start(WORK)

    def think(work: Work, run: str) -> Result:
        red = answer(work, run, "done+red")
        return red.model_copy(update={"baseline": red.checks})

    due = world.run(key, think)

    assert (due.outcome.value, world.tickets.by_key[FIRST].status.name) == ("done", "In Testing")
