"""The sweep: what events lost, it finds. It only wakes keys; the woken run reads everything and decides.

Three requests show what may wait: the configuration, the tickets that are the runner's or carry a run's labels,
and the pull requests that changed last. More is read only for what looks unfinished. A ticket that waits for
somebody else looks the same as one whose event was lost, so it is looked at often at first and then daily.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from runner.core import phases
from runner.core.decide.view import View
from runner.core.markers import Kind
from runner.core.model import PullRequestGlance, Snapshot, Ticket
from runner.core.phases import State
from runner.core.policy import Policy, parse_policy
from runner.core.report import End
from runner.errors import ConfigError, NotFound
from runner.workflow.gather import is_served
from runner.workflow.stages import Desk

MAX_LISTED = 100
MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
# A parked ticket's service gets this long before it is asked again.
PARKED_FOR = 10 * MINUTE
# What may only look forgotten is looked at this long, and then once a day; the timer fires every two hours.
OFTEN_FOR = 6 * HOUR
TIMER = 2 * HOUR


def sweep_stage(desk: Desk, *, limit: int = 20, dry_run: bool = False) -> End:
    """Wake what may wait for a run, the longest waiting first; a dry run only names it."""
    desk.policy = parse_policy(desk.forge.file(desk.config_path, ref="HEAD"), name=desk.config_path)
    keys = tuple(_due(desk))[:limit]
    if dry_run:
        found = ", ".join(keys) or "nothing"
        return End(key="", phase="sweep", row="sweep", reason=f"dry run: {found} would be woken", next=keys)
    for key in keys:
        desk.forge.dispatch({"issue_key": key, "phase": "auto", "event_id": f"sweep-{desk.run}-{key}"})
        desk.dispatched.append(key)
    return End(
        key="",
        phase="sweep",
        row="sweep",
        outcome="done" if keys else "nothing",
        reason=f"{len(keys)} tickets woken" if keys else "nothing waits",
        writes=desk.writes(),
        dispatches=len(keys),
        next=keys,
    )


def sweep_query(policy: Policy, also: Iterable[str] = ()) -> str:
    """Open tickets that are the runner's, that carry the labels of a run or of a parked one, or that have a plan.

    Whoever approves a plan need not give the ticket to the runner. A failed ticket is somebody else's, unless a person
    gave it back. ``also`` are keys of tickets to list as long as they are open.
    """
    active = ", ".join(f'"{policy.label(name)}"' for name in (phases.WORKING, phases.WAITING))
    failed = policy.label(phases.FAILED)
    held = ", ".join(f'"{label}"' for label in sorted(_held(policy) - {failed}))
    projects = policy.jira.projects
    scope = f"project in ({', '.join(projects)}) AND " if projects else ""
    planned = f'(labels = "{policy.label(phases.PLANNED)}" AND statusCategory = "In Progress")'
    named = ", ".join(also)
    by_key = f" OR key in ({named})" if named else ""
    return (
        f"{scope}statusCategory != Done AND (assignee = currentUser() OR labels in ({active}) OR {planned}{by_key}) "
        f"AND (labels is EMPTY OR labels not in ({held})) "
        f'AND (assignee = currentUser() OR labels is EMPTY OR labels not in ("{failed}")) ORDER BY updated ASC'
    )


def _held(policy: Policy) -> frozenset[str]:
    names = (phases.FAILED, phases.OVER_BUDGET, phases.IGNORE, phases.STOP)
    return frozenset(policy.label(name) for name in names)


def _due(desk: Desk) -> Iterable[str]:
    """Keys in the order of their last change, each once."""
    now = desk.now()
    changed = _changed(desk.forge.recent_pull_requests(), now)
    listed = _listed(desk, tuple(changed))
    found = [
        (changed[one.key].updated if one.key in changed else one.updated, one.key)
        for one in listed
        if (one.key in changed and not _is_in_hands(one, desk.policy)) or _may_wait(one, listed, desk, now)
    ]
    return dict.fromkeys(key for _, key in sorted(found))


def _listed(desk: Desk, keys: tuple[str, ...]) -> tuple[Ticket, ...]:
    """The tickets to look at. Jira refuses a query that names a ticket which does not exist: then those are read apart."""
    try:
        return desk.tickets.survey(sweep_query(desk.policy, keys), limit=MAX_LISTED)
    except ConfigError:
        if not keys:
            raise
    listed = desk.tickets.survey(sweep_query(desk.policy), limit=MAX_LISTED)
    known = {one.key for one in listed}
    named = [one for one in desk.tickets.tickets(keys) if one.key not in known]
    return (*listed, *(one for one in named if _is_open(one, desk.policy)))


def _is_open(ticket: Ticket, policy: Policy) -> bool:
    return (
        ticket.status.category != "done"
        and not ticket.labels & _held(policy)
        and is_served(policy, ticket.key)
    )


def _may_wait(ticket: Ticket, listed: tuple[Ticket, ...], desk: Desk, now: str) -> bool:
    """Whether a listed ticket may have something due. Its own run decides; this only spares needless ones."""
    policy, age = desk.policy, _age(ticket.updated, now)
    if policy.label(phases.WORKING) in ticket.labels:
        return not _is_alive(ticket.key, desk, age)
    if policy.label(phases.WAITING) in ticket.labels:
        return age >= PARKED_FOR
    state = phases.state_of(ticket, policy)
    if ticket.type.is_sub_task and state is State.BACKLOG:
        # Its parent knows whose turn it is.
        return _is_its_turn(age) and ticket.parent_key not in {one.key for one in listed}
    if state is State.BLOCKED or (not ticket.type.is_sub_task and state is not State.BACKLOG):
        family = [one for one in listed if one.parent_key == ticket.key]
        in_work = any(phases.state_of(one, policy) is State.IN_PROGRESS for one in family)
        return not in_work and _is_its_turn(min([age, *(_age(one.updated, now) for one in family)]))
    return True


def _is_alive(key: str, desk: Desk, age: float) -> bool:
    """Whether the run that claimed a ticket still works, by the forge's word; a local run is given some time."""
    desk.me = desk.me or desk.tickets.myself()
    desk.repository = desk.repository or desk.forge.repository()
    ticket = desk.tickets.ticket(key)
    snapshot = Snapshot(
        me=desk.me,
        former=frozenset(desk.policy.jira.former_accounts),
        repository=desk.repository,
        ticket=ticket,
    )
    claim = View(snapshot=snapshot, policy=desk.policy, now="").newest(Kind.PROGRESS)
    number = claim.marker.run.partition(".")[0] if claim is not None else ""
    if not number.isdigit():
        return age < TIMER
    try:
        return desk.forge.is_run_alive(number)
    except NotFound:
        return False


def _changed(glances: Iterable[PullRequestGlance], now: str) -> Mapping[str, PullRequestGlance]:
    """By ticket, the newest pull request that changed lately: merged, closed, reviewed, or with a check that ended."""
    newest: dict[str, PullRequestGlance] = {}
    for one in sorted(glances, key=lambda glance: glance.number):
        key = phases.key_of_branch(one.head)
        if key is not None:
            newest[key] = one
    merged = {one.head for one in newest.values() if one.is_merged}
    return {
        key: one
        for key, one in newest.items()
        if _is_its_turn(_age(one.updated, now)) or (one.is_open and one.base in merged)
    }


def _is_in_hands(ticket: Ticket, policy: Policy) -> bool:
    """Whether a run works on it, or waits for a service: then that says when to look again."""
    return bool({policy.label(name) for name in (phases.WORKING, phases.WAITING)} & ticket.labels)


def _is_its_turn(age: float) -> bool:
    return age < OFTEN_FOR or age % DAY < TIMER


def _age(moment: str, now: str) -> float:
    return (datetime.fromisoformat(now) - datetime.fromisoformat(moment)).total_seconds()
