"""Effects on branches and pull requests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.core.effects import (
    AnswerThread,
    DressPullRequest,
    RetractAnswer,
    SetDraft,
)
from runner.errors import ConfigError, Conflict, MovedUnderUs, NotFound
from tests.core.snapshots import (
    FIRST,
    MAIN,
    POLICY,
    commit,
    thread,
)
from tests.fakes import World
from tests.workflow.applying import LINK, OPEN, PUSH, UPDATE, apply, work_snapshot, work_world


def test_a_pull_request_is_opened_once_and_dressed() -> None:
    """An open one from the same branch is the same one."""
    world = World.of(replace(work_snapshot(), pull_requests=()), POLICY)

    assert apply(world, OPEN, key=FIRST) == ["open pull request", "label pull request", "request review"]
    assert apply(world, OPEN, key=FIRST) == []


def test_a_branch_is_brought_up_to_date_once() -> None:
    """A head that moved meanwhile is left alone, one that has everything as well."""
    world = work_world()
    world.forge.add_commit("main", "Other\n", (MAIN,))

    assert apply(world, UPDATE, key=FIRST) == ["update branch"]
    assert apply(world, UPDATE, key=FIRST) == []


def test_a_base_without_news_is_no_failure() -> None:
    """There is nothing to merge, which is what was wanted."""
    assert apply(work_world(), UPDATE, key=FIRST) == []


def test_a_base_that_cannot_be_merged_is_told_once() -> None:
    """A conflict on the branch is a person's to solve; the run goes on."""
    world = work_world()
    world.forge.add_commit("main", "Other\n", (MAIN,))
    world.line.faults = {"update branch": [Conflict("It conflicts."), Conflict("It conflicts.")]}

    assert apply(world, UPDATE, LINK, key=FIRST) == ["update branch (lost)", "add comment", "link"]
    assert apply(world, UPDATE, key=FIRST) == ["update branch (lost)"]


def test_an_answer_that_was_said_twice_is_retracted_once() -> None:
    """The later one of two goes; then there is nothing more to do."""
    world = work_world(threads=(thread(),))
    answer = AnswerThread(number=7, thread_id="t46", comment_id="46", body="Done.")
    asked = world.gather(FIRST)
    world.applier(asked).apply([answer])
    world.applier(asked).apply([answer])
    twice = [one for one in world.forge.pulls[7].threads[0].comments if one.is_ours]
    effect = RetractAnswer(number=7, node_id=twice[1].node_id, is_inline=True)

    assert len(twice) == 2
    assert apply(world, effect, key=FIRST) == ["retract"]
    assert apply(world, effect, key=FIRST) == []
    assert [one for one in world.forge.pulls[7].threads[0].comments if one.is_ours] == twice[:1]


def test_an_answer_that_may_not_be_retracted_stays() -> None:
    """Twice said is a flaw; a token that may not remove it fails nothing."""
    said = replace(thread().comments[0], is_ours=True)
    world = work_world(comments=(said, replace(said, id="c2", node_id="c2")))
    world.line.faults = {"retract": [ConfigError("Forbidden.")]}
    effect = RetractAnswer(number=7, node_id="c2", is_inline=False)

    assert apply(world, effect, key=FIRST) == ["retract (lost)"]
    assert len(world.forge.pulls[7].comments) == 2


def test_a_push_is_compared_with_what_was_expected() -> None:
    """A branch that a person moved is theirs."""
    world = work_world()

    with pytest.raises(MovedUnderUs):
        apply(world, PUSH, key=FIRST)

    assert world.forge.heads[f"ai/{FIRST}"] == commit(FIRST).sha


def test_a_refused_draft_is_opened_and_labelled() -> None:
    """Where drafts do not exist, a label says that it is one."""
    world = World.of(replace(work_snapshot(), pull_requests=()), POLICY)
    world.forge.has_drafts = False

    apply(world, replace(OPEN, draft=True), key=FIRST)

    (pull,) = world.forge.pulls.values()
    assert pull.labels == {"ai-runner", "draft"}


def test_turning_into_a_draft_where_there_are_none_is_no_failure() -> None:
    """The text of the pull request says that it is unfinished."""
    world = work_world()
    world.forge.has_drafts = False

    assert apply(world, SetDraft(number=7, draft=True), key=FIRST) == []


def test_a_refused_reviewer_does_not_fail_the_run() -> None:
    """GitHub refuses the author and people without access; the others are asked."""
    world = work_world()
    world.forge.refused_reviewers = frozenset({"ron"})

    apply(world, DressPullRequest(number=7, reviewers=("ron", "ada")), key=FIRST)

    assert world.forge.pulls[7].requested_reviewers == ("ada",)


def test_a_reviewer_who_was_asked_or_has_reviewed_is_not_asked_again() -> None:
    """Asking again would send another mail."""
    world = work_world(requested_reviewers=("ron",))

    assert apply(world, DressPullRequest(number=7, reviewers=("ron",)), key=FIRST) == []


def test_a_pull_request_that_vanished_is_said() -> None:
    """Nothing is written to a number that was not read."""
    with pytest.raises(NotFound, match="#99"):
        apply(work_world(), SetDraft(number=99, draft=True), key=FIRST)


def test_a_thread_that_vanished_needs_no_answer() -> None:
    """The comment was removed by its author."""
    effect = AnswerThread(number=7, thread_id="gone", comment_id="1", body="Done.")

    assert apply(work_world(), effect, key=FIRST) == []
