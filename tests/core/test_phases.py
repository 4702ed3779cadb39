"""How a Jira status reads to us, what stands in for one that is missing, and whose branch it is."""

from __future__ import annotations

from typing import Literal

import pytest

from runner.core import phases
from runner.core.model import Status
from runner.core.phases import State
from tests.core.snapshots import FIRST, POLICY, policy, sub_task, ticket

LACKING = policy(
    jira={
        "statuses": {
            "parent": {"plan_review": None, "blocked": None},
            "sub_task": {"in_testing": None, "blocked": None},
        }
    }
)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("Backlog", State.BACKLOG),
        ("To Do", State.BACKLOG),
        ("to  do", State.BACKLOG),
        ("Plan Review", State.PLAN_REVIEW),
        ("IN PROGRESS", State.IN_PROGRESS),
        ("In Review", State.IN_TESTING),
        ("Blocked", State.BLOCKED),
        ("Frozen", State.OTHER),
    ],
)
def test_a_status_is_known_by_its_names(name: str, state: State) -> None:
    """Names and aliases count, whatever their case and spacing; others are unknown."""
    assert phases.state_of(ticket(name), POLICY) is state


@pytest.mark.parametrize(
    ("name", "category", "state"),
    [
        ("Won't Do", "done", State.DONE),
        ("In Progress", "done", State.DONE),
        ("Done", "indeterminate", State.OTHER),
    ],
)
def test_done_is_a_category(name: str, category: Literal["done", "indeterminate"], state: State) -> None:
    """Not the name but the category says that a ticket is done."""
    found = ticket()
    object.__setattr__(found, "status", Status(name=name, category=category))

    assert phases.state_of(found, POLICY) is state


def test_levels_have_their_own_names() -> None:
    """A sub-task's statuses are configured apart from its parent's."""
    own = policy(jira={"statuses": {"sub_task": {"backlog": "Waiting"}}})

    assert phases.state_of(sub_task(FIRST, "a", "Waiting"), own) is State.BACKLOG
    assert phases.state_of(ticket("Waiting"), own) is State.OTHER


def test_a_label_stands_in_for_a_missing_status() -> None:
    """Where the project has no such status, the label says it."""
    assert phases.state_of(ticket("To Do", labels=["ai:plan-review"]), LACKING) is State.PLAN_REVIEW
    assert phases.state_of(ticket("In Progress", labels=["ai:blocked"]), LACKING) is State.BLOCKED
    assert phases.state_of(sub_task(FIRST, "a", "In Progress", labels=["ai:in-testing"]), LACKING) is (
        State.IN_TESTING
    )


def test_a_stand_in_label_means_nothing_where_the_status_exists() -> None:
    """The status counts as soon as the project has it."""
    assert phases.state_of(ticket("To Do", labels=["ai:plan-review"]), POLICY) is State.BACKLOG


def test_a_move_to_in_progress_ends_the_plans_review() -> None:
    """A person approves by moving the ticket, without taking labels off."""
    assert phases.state_of(ticket("In Progress", labels=["ai:plan-review"]), LACKING) is State.IN_PROGRESS


def test_only_missing_statuses_have_a_stand_in() -> None:
    """A label is written for them and for no other."""
    found = ticket()

    assert phases.stand_in_label(State.BLOCKED, found, LACKING) == "ai:blocked"
    assert phases.stand_in_label(State.BLOCKED, found, POLICY) is None
    assert phases.stand_in_label(State.IN_PROGRESS, found, LACKING) is None


@pytest.mark.parametrize(
    ("labels", "count"),
    [
        ([], 0),
        (["ai:try-2"], 2),
        (["ai:try-1", "ai:try-3"], 3),
        (["ai:try-x", "ai:try-", "other:try-9"], 0),
    ],
)
def test_attempts_are_counted_by_label(labels: list[str], count: int) -> None:
    """The highest number counts, strange labels do not."""
    assert phases.attempts(ticket(labels=labels), POLICY) == count


def test_a_branch_is_named_by_its_key() -> None:
    """A retitled ticket keeps its branch, and the branch leads back to it."""
    assert phases.branch_of("ABC-12") == "ai/ABC-12"
    assert phases.key_of_branch("ai/ABC-12") == "ABC-12"


@pytest.mark.parametrize(
    "branch", ["main", "ai/", "ai/ABC", "ai/abc-1", "ai/ABC-0", "ai/ABC-1/x", "me/ABC-1", "ai/ABC-1\n"]
)
def test_anybody_elses_branch_belongs_to_no_ticket(branch: str) -> None:
    """Only the exact form is ours."""
    assert phases.key_of_branch(branch) is None
