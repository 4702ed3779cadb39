"""Before any work: does the project have what the hand-over will need? Found out now, it costs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from runner.core import phases
from runner.core.model import Snapshot, Status, Ticket, TicketType
from runner.core.phases import State
from runner.core.policy import Policy
from runner.errors import ConfigError
from runner.ports import Tickets

_PARENT = (State.PLAN_REVIEW, State.IN_PROGRESS, State.BLOCKED, State.DONE)
# Fields of ours on a create screen; whatever else it misses is required by the project.
OURS = frozenset({"description", "labels", "assignee"})
_WORK = (State.IN_PROGRESS, State.IN_TESTING, State.BLOCKED, State.DONE)


def check_project(snapshot: Snapshot, policy: Policy, tickets: Tickets, *, is_parent: bool) -> None:
    """Raise ConfigError naming the screen, status or sub-task type that is missing, and what exists instead."""
    ticket = snapshot.ticket
    _check_service_desk(ticket, policy)
    _check_edit_screen(ticket, tickets)
    statuses = tickets.statuses(ticket.project_key)
    own = _names(statuses.get(ticket.type.id, ()))
    _check_statuses(ticket.type, ticket.project_key, policy, own, _PARENT if is_parent else _WORK)
    if is_parent:
        kind = _check_sub_tasks(ticket, policy, tickets)
        below = _names(statuses.get(kind.id, ()))
        _check_statuses(kind, ticket.project_key, policy, below, _WORK)


def check_names(snapshot: Snapshot, policy: Policy, tickets: Tickets) -> None:
    """Raise ConfigError for a person, an issue type or a field that the configuration names and this Jira does not have.

    Only for runs that begin some work: what is under way is not held up by an account that is gone by now.
    """
    _check_accounts(snapshot, policy, tickets)
    _check_direct_types(snapshot.ticket, policy, tickets)
    _check_criteria_field(snapshot.ticket, policy, tickets)


def _names(statuses: Sequence[Status]) -> tuple[str, ...]:
    """What the statuses are called."""
    return tuple(one.name for one in statuses)


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
    kind: TicketType, project: str, policy: Policy, existing: tuple[str, ...], needed: tuple[State, ...]
) -> None:
    if not existing:
        return
    levels = policy.jira.statuses
    level, configured = ("sub_task", levels.sub_task) if kind.is_sub_task else ("parent", levels.parent)
    folded = {_folded(name) for name in existing}
    for state in needed:
        names = phases.names_for(state, configured)
        if state is State.DONE or names is None or folded & {_folded(name) for name in names}:
            continue
        near = get_close_matches(names[0], existing, n=1, cutoff=0.5)
        hint = f" Did you mean “{near[0]}”?" if near else ""
        may_be_null = (
            " If there is none, write `null`: a label stands in for it." if state in phases.STAND_IN else ""
        )
        raise ConfigError(
            f"{kind.name} in project {project} has no status “{names[0]}”.{hint}",
            remedy=f"Set `jira.statuses.{level}.{state.value}` to one of {', '.join(existing)}.{may_be_null}",
        )


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _check_sub_tasks(ticket: Ticket, policy: Policy, tickets: Tickets) -> TicketType:
    kind = tickets.sub_task_type(ticket.project_key, policy.jira.sub_task_type)
    defaults = tuple(policy.jira.field_defaults.create)
    given = ("labels", "assignee", "parent", "summary", "description", *defaults)
    missing = tickets.missing_create_fields(ticket.project_key, kind.id, given)
    foreign = [name for name in missing if name in defaults]
    if foreign:
        raise ConfigError(
            f"`jira.field_defaults.create` gives a value to {', '.join(foreign)}, which the create screen of "
            f"{kind.name} in project {ticket.project_key} does not have.",
            remedy="Correct the field's id, or add the field to that screen.",
        )
    if missing:
        raise unfit_create_screen(f"{kind.name} in project {ticket.project_key}", missing)
    return kind


def unfit_create_screen(of: str, missing: Sequence[str]) -> ConfigError:
    """The fields that people see as required, and ours that are not on the screen, each with its own cure."""
    lacking = [name.capitalize() for name in missing if name in OURS]
    required = [name for name in missing if name not in OURS]
    problems = [f"lacks {', '.join(lacking)}"] if lacking else []
    remedies = [f"Add {', '.join(lacking)} to that screen."] if lacking else []
    if required:
        problems.append(f"requires {', '.join(required)}")
        remedies.append(
            "Give required fields a value under `jira.field_defaults.create`, or make them optional."
        )
    return ConfigError(f"The create screen of {of} {' and '.join(problems)}.", remedy=" ".join(remedies))


def _check_accounts(snapshot: Snapshot, policy: Policy, tickets: Tickets) -> None:
    """People that the configuration names exist and are not the runner; who may be assigned here is known to exist."""
    jira = policy.jira
    named = {"approvers": jira.approvers, "approver": (jira.approver,), "reviewer": (jira.reviewer,)}
    keys = {id_: f"jira.{key}" for key, ids in named.items() for id_ in ids if id_}
    if snapshot.me.id in keys:
        raise ConfigError(
            f"`{keys[snapshot.me.id]}` names the runner's own account.",
            remedy="Name a person there, or leave it out.",
        )
    unknown = tickets.unknown_accounts([id_ for id_ in keys if id_ not in snapshot.assignable])
    if unknown:
        raise ConfigError(
            f"`{keys[unknown[0]]}` names the account `{unknown[0]}`, which this Jira does not know.",
            remedy="Open the person's profile in Jira: its address ends with the account id.",
        )


def _check_direct_types(ticket: Ticket, policy: Policy, tickets: Tickets) -> None:
    """A misspelt type would have its tickets planned instead; one of another project is no mistake."""
    wanted = [name for name in policy.jira.direct_types if _folded(name) != _folded(ticket.type.name)]
    if not wanted:
        return
    names = {_folded(name): name for name in tickets.type_names()}
    unknown = next((name for name in wanted if _folded(name) not in names), None)
    if unknown is None:
        return
    near = get_close_matches(_folded(unknown), names, n=1, cutoff=0.5)
    hint = f" Did you mean “{names[near[0]]}”?" if near else ""
    raise ConfigError(
        f"`jira.direct_types` names “{unknown}”, and this Jira has no such issue type.{hint}",
        remedy=f"Write one of {', '.join(sorted(names.values()))}, or leave it out.",
    )


def _check_criteria_field(ticket: Ticket, policy: Policy, tickets: Tickets) -> None:
    """An empty field may be one that does not exist."""
    wanted = policy.jira.acceptance_criteria_field
    if wanted is None or ticket.fields.get(wanted):
        return
    names = tickets.field_names()
    if wanted in names:
        return
    meant = _nearest_field(wanted, names)
    hint = f" Did you mean `{meant}` ({names[meant]})?" if meant else ""
    raise ConfigError(
        f"`jira.acceptance_criteria_field` is `{wanted}`, and this Jira has no field with that id.{hint}",
        remedy="Write the id of a field that exists, such as `customfield_10042`, or leave the key out.",
    )


def _nearest_field(wanted: str, names: Mapping[str, str]) -> str | None:
    """The field of that name, else one that is named for what it should hold, else the id most alike."""
    by_name = [id_ for id_, name in names.items() if _folded(name) == _folded(wanted)]
    by_purpose = [id_ for id_, name in names.items() if "acceptance" in _folded(name)]
    alike = get_close_matches(wanted, names, n=1, cutoff=0.8)
    return next(iter((*by_name, *by_purpose, *alike)), None)
