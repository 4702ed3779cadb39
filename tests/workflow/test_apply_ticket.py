"""Effects on the ticket."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.core.effects import (
    EditTicket,
    MoveTo,
)
from runner.core.markers import Kind
from runner.core.phases import State
from runner.errors import ConfigError, MovedUnderUs
from tests.core.snapshots import (
    ADA,
    BOT,
    FIRST,
    PARENT,
    marker,
    policy,
)
from tests.workflow.applying import COMMENT, LINK, PROGRESS, SUB_TASK, apply, parent_world, work_world


def test_progress_is_one_comment_that_changes() -> None:
    """Another run edits the comment of the run before."""
    world = parent_world()
    apply(world, PROGRESS)

    assert apply(world, replace(PROGRESS, marker=marker(Kind.PROGRESS, run="2"))) == ["edit comment"]
    assert len(world.tickets.by_key[PARENT].comments) == 1


def test_a_note_is_said_once_whatever_the_run() -> None:
    """What makes two notes the same is their code."""
    world = parent_world()
    apply(world, COMMENT)

    assert apply(world, replace(COMMENT, marker=marker(Kind.NOTE, code="hello", run="2"))) == []
    assert apply(world, replace(COMMENT, marker=marker(Kind.NOTE, code="other"))) == ["add comment"]


def test_a_comment_that_a_person_edited_is_not_ours_any_more() -> None:
    """It is never overwritten: a new one is written."""
    world = parent_world()
    apply(world, PROGRESS)
    (comment,) = world.tickets.by_key[PARENT].comments
    edited = replace(world.tickets.by_key[PARENT], comments=(replace(comment, editor=ADA),))
    world.tickets.by_key[PARENT] = edited

    assert apply(world, PROGRESS) == ["add comment"]


def test_labels_and_assignee_are_one_request() -> None:
    """The commit point is a single edit."""
    world = parent_world()

    assert apply(world, EditTicket(key=PARENT, add=("new",), assignee=None)) == ["edit"]
    assert world.tickets.by_key[PARENT].assignee is None
    assert world.tickets.by_key[PARENT].labels == {"old", "new"}


def test_a_label_that_is_both_added_and_removed_stays() -> None:
    """Adding wins, so that no write undoes another."""
    world = parent_world()

    assert apply(world, EditTicket(key=PARENT, add=("old",), remove=("old",))) == []


def test_a_screen_without_the_assignee_takes_a_call_of_its_own() -> None:
    """The assignee comes last, after the labels."""
    world = parent_world()
    world.tickets.editable = frozenset({"labels"})

    assert apply(world, EditTicket(key=PARENT, add=("new",), assignee="ada")) == ["edit", "assign"]
    assert world.tickets.by_key[PARENT].assignee is not None


def test_a_screen_without_the_assignee_and_no_label_to_change() -> None:
    """Only what differs is sent."""
    world = parent_world()
    world.tickets.editable = frozenset({"labels"})

    assert apply(world, EditTicket(key=PARENT, add=("old",), assignee="ada")) == ["assign"]


def test_a_screen_without_labels_is_named() -> None:
    """Nothing is written, and the adopter learns which screen to change."""
    world = parent_world()
    world.tickets.editable = frozenset({"summary"})

    with pytest.raises(ConfigError, match="Labels") as caught:
        apply(world, EditTicket(key=PARENT, add=("new",)))

    assert "edit screen of the issue type Story in project ABC" in caught.value.remedy
    assert world.line.sent == []


def test_a_missing_transition_names_what_there_is() -> None:
    """A move that Jira does not offer is an error with the choices, never a silent return."""
    world = parent_world()
    world.tickets.unreachable = frozenset({"In Progress", "Plan Review"})

    with pytest.raises(ConfigError, match="cannot be moved from “Backlog” to “In Progress”") as caught:
        apply(world, MoveTo(key=PARENT, state=State.IN_PROGRESS))

    assert "“Blocked”, “Done”" in caught.value.summary
    assert "`jira.statuses`" in caught.value.remedy


def test_a_move_that_another_run_made_meanwhile_is_made() -> None:
    """Read before that move and asked after it, Jira offers no way from a status to itself."""
    world = parent_world()
    applier = world.applier(world.gather(PARENT))
    world.tickets.change_status(PARENT, "In Progress", world.tickets.me)

    applier.apply((MoveTo(key=PARENT, state=State.IN_PROGRESS),))

    assert world.line.sent == []


def test_a_move_from_a_status_that_somebody_changed_meanwhile_is_no_mistake_of_the_project() -> None:
    """Whoever moved the ticket wins; the workflow is not to blame."""
    world = parent_world()
    world.tickets.unreachable = frozenset({"In Progress"})
    applier = world.applier(world.gather(PARENT))
    world.tickets.change_status(PARENT, "Blocked", world.tickets.me)

    with pytest.raises(MovedUnderUs, match="“Blocked”"):
        applier.apply((MoveTo(key=PARENT, state=State.IN_PROGRESS),))


def test_an_optional_move_that_is_missing_is_only_noted() -> None:
    """After a failure the rest of the hand-over counts more than the status."""
    world = parent_world()
    world.tickets.unreachable = frozenset({"Blocked"})
    move = MoveTo(key=PARENT, state=State.BLOCKED, is_optional=True)

    assert apply(world, move, COMMENT) == ["add comment"]


def test_a_required_field_without_a_value_is_named() -> None:
    """A transition's screen insists on a field that nobody configured."""
    world = parent_world()
    world.tickets.required = {"In Progress": ("resolution",)}

    with pytest.raises(ConfigError, match="needs the fields resolution"):
        apply(world, MoveTo(key=PARENT, state=State.IN_PROGRESS))


def test_a_required_field_takes_its_configured_value() -> None:
    """Only the fields that the screen insists on are sent."""
    defaults = {"resolution": {"name": "Done"}, "other": 1}
    world = parent_world(policy(jira={"field_defaults": {"transition": defaults}}))
    world.tickets.required = {"In Progress": ("resolution",)}

    assert apply(world, MoveTo(key=PARENT, state=State.IN_PROGRESS)) == ["move"]
    assert world.tickets.moved_with == [{"resolution": {"name": "Done"}}]


def test_the_first_configured_name_is_preferred() -> None:
    """Where several statuses mean the same, the order of the configuration decides."""
    world = parent_world(policy(jira={"statuses": {"parent": {"in_progress": ["Blocked", "In Progress"]}}}))

    apply(world, MoveTo(key=PARENT, state=State.IN_PROGRESS))

    assert world.tickets.by_key[PARENT].status.name == "Blocked"


def test_a_status_that_the_project_lacks_needs_no_move() -> None:
    """A label stands in for it."""
    world = parent_world(policy(jira={"statuses": {"parent": {"plan_review": None}}}))

    assert apply(world, MoveTo(key=PARENT, state=State.PLAN_REVIEW)) == []


def test_a_sub_task_is_born_with_its_labels_parent_and_assignee() -> None:
    """The label is its natural key, so it travels in the create call."""
    world = parent_world()

    apply(world, SUB_TASK)

    (key,) = world.tickets.by_key[PARENT].sub_task_keys
    created = world.tickets.by_key[key]
    assert created.labels == {"ai-runner", "ai-item-alpha"}
    assert (created.parent_key, created.creator) == (PARENT, BOT)
    assert created.assignee is not None
    assert created.assignee.id == BOT.id


def test_a_create_screen_that_lacks_fields_is_named() -> None:
    """Nothing is created, and the fields are listed."""
    world = parent_world()
    world.tickets.missing = ("Team", "labels")

    with pytest.raises(ConfigError, match="requires Team"):
        apply(world, SUB_TASK)

    assert world.line.sent == []


def test_a_merged_pull_request_is_linked_as_resolved() -> None:
    """The same link changes its state."""
    world = work_world()
    apply(world, LINK, key=FIRST)

    assert apply(world, replace(LINK, is_resolved=True), key=FIRST) == ["link"]
