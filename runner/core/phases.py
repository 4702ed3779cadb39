"""Phases, states and labels: how a Jira status reads to us, and what stands in for one that a project lacks."""

from __future__ import annotations

import re
from enum import StrEnum

from runner.core.model import Status, Ticket
from runner.core.policy import Policy, Statuses


class Phase(StrEnum):
    """What a run does for its ticket."""

    PLAN = "plan"
    BREAKDOWN = "breakdown"
    IMPLEMENT = "implement"
    REVISE = "revise"
    COMPLETE = "complete"


class State(StrEnum):
    """A ticket's place in the workflow, whatever the project calls it."""

    BACKLOG = "backlog"
    PLAN_REVIEW = "plan_review"
    IN_PROGRESS = "in_progress"
    IN_TESTING = "in_testing"
    DONE = "done"
    BLOCKED = "blocked"
    OTHER = "other"


# Where a project lacks the status, this label stands in for it: a plan waits in the backlog, the others are In Progress.
STAND_IN = {State.PLAN_REVIEW: "plan-review", State.IN_TESTING: "in-testing", State.BLOCKED: "blocked"}

MANAGED = "ai-runner"
PLANNED = "planned"
WORKING = "working"
WAITING = "waiting"
FAILED = "failed"
OVER_BUDGET = "over-budget"
IGNORE = "ignore"
NO_EXEC = "no-exec"
DIRECT = "direct"
STOP = "stop"
DUPLICATE = "duplicate"
KEY = re.compile(r"[A-Z][A-Z0-9_]{0,49}-[1-9][0-9]{0,9}")


def statuses_of(ticket: Ticket, policy: Policy) -> Statuses:
    """The status names that apply to this ticket's level."""
    levels = policy.jira.statuses
    return levels.sub_task if ticket.type.is_sub_task else levels.parent


def names_for(state: State, statuses: Statuses) -> tuple[str, ...] | None:
    """The names a state goes by; ``None`` when the project has no such status."""
    names: tuple[str, ...] | None = getattr(statuses, state.value)
    return names


def matches(status: Status, state: State, statuses: Statuses) -> bool:
    """Whether a Jira status is this state. Done is any status of category ``done``."""
    if state is State.DONE:
        return status.category == "done"
    names = names_for(state, statuses)
    return status.category != "done" and names is not None and _folded(status.name) in map(_folded, names)


def state_of(ticket: Ticket, policy: Policy) -> State:
    """Where the ticket stands, stand-in labels included."""
    statuses = statuses_of(ticket, policy)
    if ticket.status.category == "done":
        return State.DONE
    is_begun = matches(ticket.status, State.IN_PROGRESS, statuses)
    for state, name in STAND_IN.items():
        # A person approves by moving the ticket to In Progress; the label of the plan's review then means nothing.
        is_over = state is State.PLAN_REVIEW and is_begun
        if names_for(state, statuses) is None and policy.label(name) in ticket.labels and not is_over:
            return state
    candidates = [state for state in State if state not in (State.OTHER, State.DONE)]
    return next((state for state in candidates if matches(ticket.status, state, statuses)), State.OTHER)


def stand_in_label(state: State, ticket: Ticket, policy: Policy) -> str | None:
    """The label that says ``state`` on this ticket; ``None`` when the project has the status."""
    if state not in STAND_IN or names_for(state, statuses_of(ticket, policy)) is not None:
        return None
    return policy.label(STAND_IN[state])


def attempts(ticket: Ticket, policy: Policy) -> int:
    """How many attempts the ticket's claims have counted."""
    pattern = re.compile(re.escape(policy.label("try-")) + r"(\d{1,3})")
    counts = [int(found[1]) for label in ticket.labels if (found := pattern.fullmatch(label))]
    return max(counts, default=0)


def attempt_labels(ticket: Ticket, policy: Policy) -> tuple[str, ...]:
    """Every attempt label on the ticket."""
    prefix = policy.label("try-")
    return tuple(sorted(label for label in ticket.labels if label.startswith(prefix)))


def branch_of(key: str) -> str:
    """The branch of a ticket: the key alone, so that a retitled ticket keeps its branch."""
    return f"ai/{key}"


def key_of_branch(branch: str) -> str | None:
    """The ticket a branch of ours belongs to; ``None`` for anybody else's branch."""
    prefix, _, key = branch.partition("/")
    return key if prefix == "ai" and KEY.fullmatch(key) else None


def item_label(item_id: str) -> str:
    """The label that binds a sub-task to its item of the plan."""
    return f"ai-item-{item_id}"


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())
