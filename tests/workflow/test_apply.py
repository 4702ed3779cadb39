"""Effects: each asks first whether it is already true, and the first failure ends a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.core.effects import (
    AnswerThread,
    CommentPullRequest,
    DressPullRequest,
    EditPullRequest,
    EditTicket,
    Effect,
    MoveTo,
    SetDraft,
)
from runner.core.phases import State
from runner.errors import ConfigError
from tests.core.snapshots import (
    FIRST,
    PARENT,
    POLICY,
    thread,
)
from tests.fakes import World
from tests.workflow.applying import (
    COMMENT,
    LINK,
    OPEN,
    PROGRESS,
    PUSH,
    SUB_TASK,
    apply,
    parent_world,
    work_snapshot,
    work_world,
)

TWICE: list[tuple[str, str, Effect, list[str]]] = [
    ("parent", PARENT, EditTicket(key=PARENT, add=("new",), remove=("old",), assignee="ada"), ["edit"]),
    ("parent", PARENT, MoveTo(key=PARENT, state=State.IN_PROGRESS), ["move"]),
    ("parent", PARENT, COMMENT, ["add comment"]),
    ("parent", PARENT, PROGRESS, ["add comment"]),
    ("parent", PARENT, SUB_TASK, ["create sub-task"]),
    ("work", FIRST, LINK, ["link"]),
    ("work", FIRST, EditPullRequest(number=7, title="New", body="New", base="main"), ["edit pull request"]),
    (
        "work",
        FIRST,
        DressPullRequest(number=7, labels=("x",), reviewers=("ron",)),
        ["label pull request", "request review"],
    ),
    ("work", FIRST, SetDraft(number=7, draft=True), ["set draft"]),
    ("work", FIRST, AnswerThread(number=7, thread_id="t46", comment_id="46", body="Done."), ["reply"]),
    ("work", FIRST, CommentPullRequest(number=7, topic="x", body="Done."), ["comment pull request"]),
]


@pytest.mark.parametrize(("where", "key", "effect", "writes"), TWICE)
def test_an_effect_that_is_true_writes_nothing(
    where: str, key: str, effect: Effect, writes: list[str]
) -> None:
    """The first time it is written, the second time it is found."""
    world = parent_world() if where == "parent" else work_world(threads=(thread(),))

    assert apply(world, effect, key=key) == writes
    assert apply(world, effect, key=key) == []


def test_the_first_failure_ends_the_run() -> None:
    """Later effects wait for the next run, which sees what is true by then."""
    world = parent_world()
    world.tickets.unreachable = frozenset({"In Progress"})

    with pytest.raises(ConfigError):
        apply(world, MoveTo(key=PARENT, state=State.IN_PROGRESS), COMMENT)

    assert world.line.sent == []


@pytest.mark.parametrize("effect", [PUSH, OPEN])
def test_a_stage_without_its_tools_says_which_stage_has_them(effect: Effect) -> None:
    """Only `publish` may write to the repository."""
    world = World.of(replace(work_snapshot(), pull_requests=()), POLICY)
    applier = replace(world.applier(world.gather(FIRST)), forge=None, publisher=None)

    with pytest.raises(ConfigError) as caught:
        applier.apply([effect])

    assert "`publish`" in caught.value.remedy
