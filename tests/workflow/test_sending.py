"""A lost answer is read back before a write is sent once more, and no secret leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.core.effects import (
    AnswerThread,
    CommentPullRequest,
    Dispatch,
    EditTicket,
    Effect,
    MoveTo,
)
from runner.core.phases import State
from runner.core.redact import Redactor
from runner.errors import Ambiguous
from tests.core.snapshots import (
    FIRST,
    PARENT,
    POLICY,
    family,
    sub_task,
    thread,
)
from tests.fakes import World
from tests.workflow.applying import (
    COMMENT,
    LINK,
    OPEN,
    PUSH,
    SUB_TASK,
    apply,
    parent_world,
    work_snapshot,
    work_world,
)


def test_secrets_never_leave_in_a_text() -> None:
    """Every text is masked on its way out."""
    world = parent_world()
    applier = replace(world.applier(world.gather(PARENT)), redactor=Redactor(["s3cr3t-t0ken"]))

    applier.apply([replace(COMMENT, markdown="It is s3cr3t-t0ken.")])

    assert world.tickets.by_key[PARENT].comments[0].text == "It is ***."


READ_BACK: list[tuple[str, str, Effect, str]] = [
    ("parent", PARENT, EditTicket(key=PARENT, add=("new",), remove=("old",)), "edit"),
    ("parent", PARENT, EditTicket(key=PARENT, assignee="ada"), "edit"),
    ("parent", PARENT, EditTicket(key=PARENT, assignee=None), "edit"),
    ("parent", PARENT, MoveTo(key=PARENT, state=State.IN_PROGRESS), "move"),
    ("parent", PARENT, COMMENT, "add comment"),
    ("parent", PARENT, SUB_TASK, "create sub-task"),
    ("work", FIRST, LINK, "link"),
    ("work", FIRST, AnswerThread(number=7, thread_id="t46", comment_id="46", body="Done."), "reply"),
    ("work", FIRST, CommentPullRequest(number=7, topic="x", body="Done."), "comment pull request"),
]


@pytest.mark.parametrize(("where", "key", "effect", "write"), READ_BACK)
def test_a_lost_answer_to_a_write_that_arrived_is_read_back(
    where: str, key: str, effect: Effect, write: str
) -> None:
    """It is found, so it is not sent again."""
    world = parent_world() if where == "parent" else work_world(threads=(thread(),))
    world.line.faults = {write: [Ambiguous("Lost.")]}
    world.line.applied_anyway = {write}

    assert apply(world, effect, key=key) == [write]


@pytest.mark.parametrize(("where", "key", "effect", "write"), READ_BACK)
def test_a_write_that_did_not_arrive_is_sent_once_more(
    where: str, key: str, effect: Effect, write: str
) -> None:
    """After three looks and a wait before each."""
    world = parent_world() if where == "parent" else work_world(threads=(thread(),))
    world.line.faults = {write: [Ambiguous("Lost.")]}
    before = world.clock.now

    assert apply(world, effect, key=key) == [f"{write} (lost)", write]
    assert (world.clock.now - before).total_seconds() >= 1 + 3 + 7


@pytest.mark.parametrize(("where", "key", "effect", "write"), READ_BACK)
def test_a_second_lost_answer_is_an_error(where: str, key: str, effect: Effect, write: str) -> None:
    """No write is repeated more than once."""
    world = parent_world() if where == "parent" else work_world(threads=(thread(),))
    world.line.faults = {write: [Ambiguous("Lost."), Ambiguous("Lost."), Ambiguous("Lost.")]}

    with pytest.raises(Ambiguous):
        apply(world, effect, key=key)

    assert world.line.sent == [f"{write} (lost)"] * 2


def test_a_lost_answer_to_opening_a_pull_request_is_read_back() -> None:
    """GitHub allows one open pull request between two branches."""
    world = World.of(replace(work_snapshot(), pull_requests=()), POLICY)
    world.line.faults = {"open pull request": [Ambiguous("Lost.")]}
    world.line.applied_anyway = {"open pull request"}

    assert apply(world, OPEN, key=FIRST) == ["open pull request"]
    assert len(world.forge.pulls) == 1


def test_a_lost_dispatch_is_left_to_the_sweep() -> None:
    """Waking is a hint; losing one harms nobody."""
    world = parent_world()
    applier = world.applier(world.gather(PARENT))

    def lost(_: object) -> None:
        raise Ambiguous("Lost.")

    world.forge.dispatch = lost  # type: ignore[method-assign, assignment]  # a fault of the service
    applier.apply([Dispatch(key=FIRST)])

    assert applier.writes == 0


def test_a_lost_answer_to_a_push_is_not_guessed() -> None:
    """The next run recognises its own commit."""
    world = World.of(family(FIRST, sub_task(FIRST, "alpha")), POLICY)
    world.line.faults = {"push": [Ambiguous("Lost.")]}

    with pytest.raises(Ambiguous):
        apply(world, PUSH, key=FIRST)
