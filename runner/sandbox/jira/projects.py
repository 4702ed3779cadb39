"""How a project is set up: types, statuses, workflows, screens, permissions. Plain descriptions, no behaviour.

The defaults are the two kinds adopters have: company-managed with six statuses, and team-managed
with three and a type called "Subtask". Everything that differs between real sites is an option.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Category = Literal["new", "indeterminate", "done"]
Style = Literal["company", "team"]
Kind = Literal["software", "business", "service_desk"]

PERMISSIONS = frozenset(
    {
        "ADD_COMMENTS",
        "ADMINISTER_PROJECTS",
        "ASSIGNABLE_USER",
        "ASSIGN_ISSUES",
        "BROWSE_PROJECTS",
        "CREATE_ATTACHMENTS",
        "CREATE_ISSUES",
        "DELETE_ALL_COMMENTS",
        "DELETE_ISSUES",
        "DELETE_OWN_COMMENTS",
        "EDIT_ALL_COMMENTS",
        "EDIT_ISSUES",
        "EDIT_OWN_COMMENTS",
        "LINK_ISSUES",
        "MANAGE_WATCHERS",
        "TRANSITION_ISSUES",
    }
)
MEMBER = PERMISSIONS - {"ADMINISTER_PROJECTS", "DELETE_ALL_COMMENTS", "DELETE_ISSUES", "EDIT_ALL_COMMENTS"}
CUSTOMER = frozenset({"BROWSE_PROJECTS", "ADD_COMMENTS", "EDIT_OWN_COMMENTS"})


@dataclass(frozen=True, kw_only=True)
class TypeSpec:
    """An issue type; ``level`` 1 is an Epic, 0 a story or task, -1 a sub-task."""

    name: str
    level: int = 0


@dataclass(frozen=True, kw_only=True)
class StatusSpec:
    """A status with its category, in board order."""

    name: str
    category: Category


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """A field beyond the built-in ones, or ``resolution``. ``options`` closes the set of values."""

    id: str
    name: str
    type: Literal["string", "option", "number", "resolution"] = "string"
    options: tuple[str, ...] = ()
    is_required: bool = True


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """Which moves exist. Every member is keyed by status name.

    ``moves``: from status to reachable statuses; ``None`` lets every status be reached from anywhere.
    ``names``: target status to the transition's name where it differs. ``screens``: target status to
    the fields its transition shows; required ones are insisted on.
    """

    moves: Mapping[str, tuple[str, ...]] | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    screens: Mapping[str, tuple[FieldSpec, ...]] = field(default_factory=dict)


RESOLUTION = FieldSpec(
    id="resolution", name="Resolution", type="resolution", options=("Done", "Won't Do", "Duplicate")
)

COMPANY_TYPES = (
    TypeSpec(name="Epic", level=1),
    TypeSpec(name="Story"),
    TypeSpec(name="Task"),
    TypeSpec(name="Bug"),
    TypeSpec(name="Sub-task", level=-1),
)
TEAM_TYPES = (
    TypeSpec(name="Epic", level=1),
    TypeSpec(name="Story"),
    TypeSpec(name="Task"),
    TypeSpec(name="Subtask", level=-1),
)
BACKLOG = StatusSpec(name="Backlog", category="new")
PLAN_REVIEW = StatusSpec(name="Plan Review", category="indeterminate")
IN_PROGRESS = StatusSpec(name="In Progress", category="indeterminate")
IN_TESTING = StatusSpec(name="In Testing", category="indeterminate")
IN_REVIEW = StatusSpec(name="In Review", category="indeterminate")
BLOCKED = StatusSpec(name="Blocked", category="indeterminate")
DONE = StatusSpec(name="Done", category="done")
TO_DO = StatusSpec(name="To Do", category="new")

PARENT_STATUSES = (BACKLOG, PLAN_REVIEW, IN_PROGRESS, IN_REVIEW, BLOCKED, DONE)
SUB_TASK_STATUSES = (BACKLOG, IN_PROGRESS, IN_TESTING, BLOCKED, DONE)
TEAM_STATUSES = (TO_DO, IN_PROGRESS, DONE)


def default_types(style: Style) -> tuple[TypeSpec, ...]:
    """The issue types of a new project."""
    return COMPANY_TYPES if style == "company" else TEAM_TYPES


def default_statuses(style: Style, level: int) -> tuple[StatusSpec, ...]:
    """The statuses of a new project, for types of this hierarchy level."""
    if style == "team":
        return TEAM_STATUSES
    return SUB_TASK_STATUSES if level < 0 else PARENT_STATUSES
