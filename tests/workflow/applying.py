"""Worlds to apply effects to, and the effects."""

from __future__ import annotations

from dataclasses import replace

from runner.core.effects import (
    CreateSubTask,
    Effect,
    LinkPullRequest,
    OpenPullRequest,
    Push,
    PutComment,
    UpdateBranch,
)
from runner.core.markers import Kind
from runner.core.model import Snapshot
from runner.core.policy import Policy
from runner.core.work import FileChange
from tests.core.snapshots import (
    FIRST,
    MAIN,
    PARENT,
    POLICY,
    branch,
    commit,
    family,
    marker,
    pull_request,
    snapshot,
    sub_task,
    ticket,
)
from tests.fakes import World

COMMENT = PutComment(key=PARENT, markdown="Hello.", marker=marker(Kind.NOTE, code="hello"))
PROGRESS = PutComment(key=PARENT, markdown="Working.", marker=marker(Kind.PROGRESS, run="1"))
SUB_TASK = CreateSubTask(parent_key=PARENT, item_id="alpha", summary="Do alpha", description="Well.")
OPEN = OpenPullRequest(
    head=f"ai/{FIRST}",
    base="main",
    title="ABC-11: Do it",
    body="Body",
    draft=False,
    labels=("ai-runner",),
    reviewers=("ron",),
)
PUSH = Push(
    branch=f"ai/{FIRST}",
    start=MAIN,
    expected=None,
    changes=(FileChange(path="a.py", content=b"a"),),
    message=f"{FIRST}: Do it\n",
)
CONFLICT = PutComment(
    key=FIRST, markdown="They conflict.", marker=marker(Kind.NOTE, key=FIRST, code="conflict")
)
UPDATE = UpdateBranch(number=7, expected_head=commit(FIRST).sha, told=CONFLICT)
LINK = LinkPullRequest(
    key=FIRST, global_id="g", url="https://x/7", title="Pull request #7", is_resolved=False
)


def parent_world(chosen: Policy = POLICY, **more: object) -> World:
    """A planned parent of ours."""
    return World.of(snapshot(ticket("Backlog", labels=["old"], **more)), chosen)  # type: ignore[arg-type]  # as the builder


def work_snapshot(**pull: object) -> Snapshot:
    """A sub-task with a branch and an open pull request."""
    snap = family(FIRST, sub_task(FIRST, "alpha", "In Progress"))
    return replace(snap, branch=branch(FIRST), pull_requests=(pull_request(FIRST, **pull),))  # type: ignore[arg-type]  # as the builder


def work_world(**pull: object) -> World:
    return World.of(work_snapshot(**pull), POLICY)


def apply(world: World, *effects: Effect, key: str = PARENT) -> list[str]:
    """Read, apply, and say which writes reached the services."""
    before = len(world.line.sent)
    world.applier(world.gather(key)).apply(effects)
    return world.line.sent[before:]
