"""Read everything one decision may look at, once, into a frozen snapshot. A failed read stops the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from runner.core import phases
from runner.core.decide.people import candidates
from runner.core.decide.sequence import base_branch, predecessors, starting_point
from runner.core.decide.view import View, item_of
from runner.core.markers import LedgerEntry, from_hidden, merge_ledgers
from runner.core.model import Account, PullRequest, Repository, Snapshot, Ticket, WorkItem
from runner.core.phases import State
from runner.core.policy import Policy
from runner.errors import ConfigError, Conflict, NotFound
from runner.ports import Forge, Tickets
from runner.workflow.moved import with_moves
from runner.workflow.shared import is_shared, with_asked_members, with_members, with_shared_work

# A hundred items of every field at its limit, and as much again.
MAX_PLAN_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where a snapshot comes from."""

    tickets: Tickets
    forge: Forge
    policy: Policy
    prompts_digest: str = ""


@dataclass(kw_only=True)
class _Heads:
    """Branch heads, each asked for once; a branch that does not exist has no entry."""

    forge: Forge
    known: dict[str, str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    def look_up(self, names: Iterable[str]) -> None:
        for name in names:
            if name and name not in self.asked:
                self.asked.add(name)
                sha = self.forge.head(name)
                if sha is not None:
                    self.known[name] = sha


def gather(key: str, sources: Sources, *, me: Account, repository: Repository) -> Snapshot:
    """Read the ticket and what belongs to it. ``me`` and ``repository`` were checked by the caller."""
    snapshot = _on_ticket(key, sources, me=me, repository=repository)
    snapshot = with_moves(snapshot, sources.tickets, sources.forge)
    snapshot = _with_plan_file(snapshot, sources)
    view = View(snapshot=snapshot, policy=sources.policy, now="")
    if view.is_work_ticket:
        snapshot = _with_work(snapshot, sources)
    elif view.is_parent:
        snapshot = _with_parent(snapshot, sources)
    return _with_assignable(snapshot, sources)


def gather_ticket(key: str, sources: Sources, *, me: Account, repository: Repository) -> Snapshot:
    """What Jira alone knows: enough to tell the ticket what failed, never enough to decide what is due.

    Where Jira refuses more than the ticket itself, which may be what failed, the ticket must do.
    """
    try:
        snapshot = _on_ticket(key, sources, me=me, repository=repository)
        return _with_assignable(_with_plan_file(snapshot, sources), sources)
    except (ConfigError, NotFound, Conflict):
        ticket = sources.tickets.ticket(key)
        return Snapshot(me=me, former=frozenset(), repository=repository, ticket=ticket)


def _on_ticket(key: str, sources: Sources, *, me: Account, repository: Repository) -> Snapshot:
    ticket = _ticket(key, sources)
    is_sub_task = ticket.type.is_sub_task and ticket.parent_key is not None
    parent = sources.tickets.ticket(ticket.parent_key) if is_sub_task and ticket.parent_key else None
    return Snapshot(
        me=me,
        former=frozenset(sources.policy.jira.former_accounts),
        repository=repository,
        ticket=ticket,
        parent=parent,
        family=_family(parent or ticket, ticket, sources),
        restricted_comments=sum(comment.is_restricted for comment in ticket.comments),
        prompts_digest=sources.prompts_digest,
        policy_digest=sources.policy.digest,
    )


def _with_assignable(snapshot: Snapshot, sources: Sources) -> Snapshot:
    ids = candidates(snapshot, sources.policy)
    known = sources.tickets.assignable(snapshot.ticket.key, ids) if ids else frozenset()
    return replace(snapshot, assignable=known)


def _ticket(key: str, sources: Sources) -> Ticket:
    try:
        return sources.tickets.ticket(key)
    except NotFound as exc:
        raise NotFound(
            f"There is no ticket {key}, or the runner's Jira account may not see it.",
            remedy="Check the key, and whether the account may browse the project.",
            detail=exc.detail,
        ) from exc


def _with_plan_file(snapshot: Snapshot, sources: Sources) -> Snapshot:
    """The machine form of a plan too long for its comment: a file of ours that the comment's marker names."""
    view = View(snapshot=snapshot, policy=sources.policy, now="")
    name = view.plan_file
    planned = snapshot.parent if view.item_id is not None and snapshot.parent is not None else snapshot.ticket
    mine = [one for one in planned.attachments if one.name == name and one.author.id in view.ours]
    if not name or not mine:
        return snapshot
    data = sources.tickets.attachment(mine[-1].id, limit=MAX_PLAN_BYTES)
    return replace(snapshot, attachment_texts={name: data.decode("utf-8", "replace")})


def check_access(sources: Sources, key: str) -> tuple[Account, Repository]:
    """Who we are and where, checked against the configuration before anything else is read."""
    policy = sources.policy
    me = sources.tickets.myself()
    if policy.jira.account_id is not None and policy.jira.account_id != me.id:
        raise ConfigError(
            f"The Jira token belongs to the account `{me.id}`, but the configuration names `{policy.jira.account_id}`.",
            remedy="Correct `jira.account_id`, or use the token of that account.",
        )
    _check_served_now(sources, key)
    repository = sources.forge.repository()
    if not repository.is_private and policy.disclosure != "public":
        raise ConfigError(
            f"`{repository.name}` is public, so everybody could read the ticket's texts in logs and pull requests.",
            remedy="If that is intended, set `disclosure: public` in the configuration.",
        )
    return me, repository


def _check_served_now(sources: Sources, key: str) -> None:
    """As ``check_served``; a key of a project that is not served may be a former one of a ticket that is."""
    if not is_served(sources.policy, key):
        found = sources.tickets.tickets((key,))
        check_served(sources.policy, found[0].key if found else key)


def is_served(policy: Policy, key: str) -> bool:
    """Whether the configuration lists the key's project, or none at all."""
    return policy.jira.projects is None or key.rpartition("-")[0] in policy.jira.projects


def check_served(policy: Policy, key: str) -> None:
    """Raise ConfigError for a ticket of a project that the configuration does not list."""
    project = key.rpartition("-")[0]
    if policy.jira.projects is not None and not is_served(policy, key):
        raise ConfigError(
            f"The project `{project}` of {key} is not served by this repository.",
            remedy=f"Served here: {', '.join(policy.jira.projects)}. Add the project to `jira.projects` if it belongs here.",
        )


def _family(parent: Ticket, ticket: Ticket, sources: Sources) -> tuple[WorkItem, ...]:
    keys = parent.sub_task_keys
    if not keys:
        return ()
    others = {one.key: one for one in sources.tickets.tickets([key for key in keys if key != ticket.key])}
    members = {**others, ticket.key: ticket}
    return tuple(WorkItem(ticket=members[key]) for key in keys if key in members)


def _with_work(snapshot: Snapshot, sources: Sources) -> Snapshot:
    """Branch, pull requests and predecessors of a work ticket."""
    forge, policy = sources.forge, sources.policy
    if View(snapshot=snapshot, policy=policy, now="").shares:
        return _with_own_predecessors(with_shared_work(snapshot, forge, policy), sources)
    name = snapshot.branch_of(snapshot.ticket.key)
    pull_requests = forge.pull_requests(head=name, detailed=True)
    snapshot = replace(snapshot, pull_requests=pull_requests)
    snapshot = _with_predecessors(snapshot, sources)
    heads = _Heads(forge=forge)
    view = View(snapshot=snapshot, policy=policy, now="")
    newest = view.pull_request
    start = starting_point(view)
    target = newest.base if newest is not None and newest.state == "open" else start.base
    record = view.record
    wanted = [base_branch(view), target, start.base, record.stacked_on if record is not None else ""]
    heads.look_up([*wanted, newest.base if newest is not None else ""])
    base = target if target in heads.known else base_branch(view)
    branch = forge.branch(name, base=base) if base in heads.known else None
    dependents = forge.pull_requests_onto(name) if newest is not None else ()
    below = newest.base if newest is not None and newest.state == "open" and record is not None else ""
    is_stacked = branch is not None and below in heads.known and phases.key_of_branch(below) is not None
    lacking = forge.branch(below, base=name) if is_stacked else None
    return replace(
        snapshot,
        branch=branch,
        heads=dict(heads.known),
        dependents=dependents,
        is_behind=lacking is not None and bool(lacking.commits),
        is_carried_on=newest is not None and _is_carried_on(newest, snapshot, forge),
    )


def _is_carried_on(newest: PullRequest, snapshot: Snapshot, forge: Forge) -> bool:
    """Whether the branch below held this merge when it was merged itself, where the times of both are the same."""
    below = [one.pull_request for one in snapshot.family if one.pull_request is not None]
    together = [one for one in below if one.head == newest.base and one.closed_at == newest.closed_at]
    if not newest.is_merged or not together or not together[0].is_merged:
        return False
    head = together[0].head_sha
    try:
        return newest.merge_sha == head or not forge.is_ahead(newest.merge_sha, of=head)
    except NotFound:
        # A commit that nobody can find any more is in no branch.
        return False


def _with_own_predecessors(snapshot: Snapshot, sources: Sources) -> Snapshot:
    """The items that a sub-task on a shared branch waits for, with that branch's pull requests."""
    snapshot = with_members(snapshot, sources.policy)
    view = View(snapshot=snapshot, policy=sources.policy, now="")
    found = {one.ticket.key: one.pull_request for one in predecessors(view).values()}
    return replace(snapshot, family=tuple(_member(one, found, sources) for one in snapshot.family))


def _with_predecessors(snapshot: Snapshot, sources: Sources) -> Snapshot:
    """Pull requests of the items this one waits for or is stacked on, followed along merged bases."""
    view = View(snapshot=snapshot, policy=sources.policy, now="")
    wanted = [one.ticket.key for one in predecessors(view).values()]
    if view.record is not None and view.record.stacked_on:
        wanted.append(view.key_of(view.record.stacked_on) or "")
    found: dict[str, PullRequest | None] = {}
    while wanted:
        key = wanted.pop()
        if not key or key in found or key == snapshot.ticket.key:
            continue
        mine = [
            one
            for one in sources.forge.pull_requests(head=snapshot.branch_of(key), detailed=False)
            if one.is_ours
        ]
        found[key] = mine[-1] if mine else None
        if mine and mine[-1].is_merged:
            wanted.append(view.key_of(mine[-1].base) or "")
    return replace(snapshot, family=tuple(_member(one, found, sources) for one in snapshot.family))


def _member(one: WorkItem, found: dict[str, PullRequest | None], sources: Sources) -> WorkItem:
    """A predecessor with its pull request; one in testing without any is read in full."""
    if one.ticket.key not in found:
        return one
    pull_request = found[one.ticket.key]
    in_testing = phases.state_of(one.ticket, sources.policy) is State.IN_TESTING
    ticket = sources.tickets.ticket(one.ticket.key) if pull_request is None and in_testing else one.ticket
    return WorkItem(ticket=ticket, pull_request=pull_request)


def _with_parent(snapshot: Snapshot, sources: Sources) -> Snapshot:
    """The base branch's head, and results and ledgers of the family once all of it is done."""
    view = View(snapshot=snapshot, policy=sources.policy, now="")
    if is_shared(view):
        snapshot = with_shared_work(snapshot, sources.forge, sources.policy)
        snapshot = with_asked_members(snapshot, sources.tickets, sources.policy)
    else:
        heads = _Heads(forge=sources.forge)
        heads.look_up([base_branch(view)])
        snapshot = replace(snapshot, heads=dict(heads.known))
    states = [phases.state_of(one.ticket, sources.policy) for one in snapshot.family]
    is_complete = bool(states) and all(state is State.DONE for state in states)
    if not is_complete or view.state is State.DONE:
        return snapshot
    if is_shared(view):
        members = [
            replace(one, ticket=sources.tickets.ticket(one.ticket.key))
            for one in with_members(snapshot, sources.policy).family
        ]
    else:
        members = [_finished_member(one, snapshot, sources) for one in snapshot.family]
    ledgers = {one.ticket.key: _ledger(one, snapshot, sources) for one in members}
    return replace(snapshot, family=tuple(members), family_ledgers=ledgers)


def with_family_ledgers(snapshot: Snapshot, sources: Sources) -> Snapshot:
    """The snapshot with the bills of every sub-task of ours, for a parent's budget.

    Each is read in full, wherever it stands: a run that pushed nothing is in its comments only.
    """
    view = View(snapshot=snapshot, policy=sources.policy, now="")
    others = [
        one
        for one in snapshot.family
        if one.ticket.key != snapshot.ticket.key and item_of(one.ticket, view.ours) is not None
    ]
    ledgers = {one.ticket.key: _bills(one, snapshot, sources) for one in others}
    return replace(snapshot, family_ledgers={**snapshot.family_ledgers, **ledgers})


def _bills(one: WorkItem, snapshot: Snapshot, sources: Sources) -> tuple[LedgerEntry, ...]:
    one = replace(one, ticket=sources.tickets.ticket(one.ticket.key))
    if not one.ticket.comments:
        return ()  # the claim comments before a model is asked, so nothing was spent here
    if one.pull_request is None and sources.policy.sequence != "shared":
        head = snapshot.branch_of(one.ticket.key)
        mine = [found for found in sources.forge.pull_requests(head=head, detailed=False) if found.is_ours]
        one = replace(one, pull_request=mine[-1] if mine else None)
    return _ledger(one, snapshot, sources)


def _finished_member(one: WorkItem, snapshot: Snapshot, sources: Sources) -> WorkItem:
    head = snapshot.branch_of(one.ticket.key)
    mine = [found for found in sources.forge.pull_requests(head=head, detailed=False) if found.is_ours]
    return WorkItem(ticket=sources.tickets.ticket(one.ticket.key), pull_request=mine[-1] if mine else None)


def _ledger(one: WorkItem, snapshot: Snapshot, sources: Sources) -> tuple[LedgerEntry, ...]:
    own = View(
        snapshot=replace(snapshot, ticket=one.ticket, parent=snapshot.ticket), policy=sources.policy, now=""
    )
    record = from_hidden(one.pull_request.body) if one.pull_request is not None else None
    on_forge = record.ledger if record is not None and record.key in snapshot.keys_of(one.ticket.key) else ()
    return merge_ledgers(*(marked.marker.ledger for marked in own.trail), on_forge, keep=None)
