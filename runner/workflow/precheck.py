"""Before any work: does the project have what the hand-over will need? Found out now, it costs nothing."""

from __future__ import annotations

from difflib import get_close_matches

from runner.core import phases
from runner.core.model import Snapshot, Ticket
from runner.core.phases import State
from runner.core.policy import Policy
from runner.errors import ConfigError
from runner.ports import Tickets

_PARENT = (State.PLAN_REVIEW, State.IN_PROGRESS, State.BLOCKED, State.DONE)
_WORK = (State.IN_PROGRESS, State.IN_TESTING, State.BLOCKED, State.DONE)


def check_project(snapshot: Snapshot, policy: Policy, tickets: Tickets, *, is_parent: bool) -> None:
    """Raise ConfigError naming the screen, status or sub-task type that is missing, and what exists instead."""
    ticket = snapshot.ticket
    _check_service_desk(ticket, policy)
    _check_edit_screen(ticket, tickets)
    statuses = tickets.statuses(ticket.project_key)
    _check_statuses(
        ticket,
        policy,
        tuple(one.name for one in statuses.get(ticket.type.id, ())),
        _PARENT if is_parent else _WORK,
    )
    if is_parent:
        _check_sub_tasks(ticket, policy, tickets)


def _check_service_desk(ticket: Ticket, policy: Policy) -> None:
    if ticket.project_kind == "service_desk" and not policy.jira.service_desk:
        raise ConfigError(
            f"{ticket.project_key} is a service project: its customers can read comments that are not internal.",
            remedy="If that is intended, set `jira.service_desk: true` in the configuration.",
        )


def _check_edit_screen(ticket: Ticket, tickets: Tickets) -> None:
    if "labels" not in tickets.editable_fields(ticket.key):
        raise ConfigError(
            f"The edit screen of {ticket.type.name} in project {ticket.project_key} does not let this account change Labels.",
            remedy="Add the field Labels to that screen, and give the runner's account the permission Edit Issues.",
        )


def _check_statuses(
    ticket: Ticket, policy: Policy, existing: tuple[str, ...], needed: tuple[State, ...]
) -> None:
    if not existing:
        return
    level = "sub_task" if ticket.type.is_sub_task else "parent"
    configured = phases.statuses_of(ticket, policy)
    folded = {" ".join(name.casefold().split()) for name in existing}
    for state in needed:
        names = phases.names_for(state, configured)
        if (
            state is State.DONE
            or names is None
            or folded & {" ".join(name.casefold().split()) for name in names}
        ):
            continue
        near = get_close_matches(names[0], existing, n=1, cutoff=0.5)
        hint = f" Did you mean “{near[0]}”?" if near else ""
        may_be_null = (
            " If there is none, write `null`: a label stands in for it." if state in phases.STAND_IN else ""
        )
        raise ConfigError(
            f"{ticket.type.name} in project {ticket.project_key} has no status “{names[0]}”.{hint}",
            remedy=f"Set `jira.statuses.{level}.{state.value}` to one of {', '.join(existing)}.{may_be_null}",
        )


def _check_sub_tasks(ticket: Ticket, policy: Policy, tickets: Tickets) -> None:
    kind = tickets.sub_task_type(ticket.project_key, policy.jira.sub_task_type)
    given = ("labels", "assignee", "parent", "summary", "description", *policy.jira.field_defaults.create)
    missing = tickets.missing_create_fields(ticket.project_key, kind.id, given)
    if missing:
        raise ConfigError(
            f"The create screen of {kind.name} in project {ticket.project_key} needs or lacks {', '.join(missing)}.",
            remedy="Add Labels and Assignee to that screen, and give required fields a value under `jira.field_defaults.create`.",
        )
