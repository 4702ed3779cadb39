"""Who is next: requester, approver and reviewer, and who may approve."""

from __future__ import annotations

from dataclasses import dataclass

from runner.core.decide.view import View, last_assignment
from runner.core.model import Account, Change, Snapshot
from runner.core.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Hand:
    """Who gets the ticket: the first candidate who may; else nobody is assigned and ``mention`` is named."""

    assignee: str | None
    mention: str


def requester(snapshot: Snapshot) -> Account | None:
    """Who asked for it: the reporter; for a sub-task its parent's reporter."""
    return (snapshot.parent or snapshot.ticket).reporter


def _assigner(snapshot: Snapshot) -> str:
    """Who last gave the parent (or the direct ticket) to the runner, by the changelog."""
    change = last_assignment(snapshot.parent or snapshot.ticket, snapshot.me)
    return change.author.id if change is not None else ""


def chain(role: str, snapshot: Snapshot, policy: Policy) -> tuple[str, ...]:
    """Account ids to try for a role, best first."""
    asked = requester(snapshot)
    last = asked.id if asked is not None else ""
    approver = (policy.jira.approver or "", _assigner(snapshot), last)
    wanted = {
        "requester": (last,),
        "approver": approver,
        "reviewer": (policy.jira.reviewer or "", *approver),
    }[role]
    return tuple(dict.fromkeys(one for one in wanted if one and one != snapshot.me.id))


def candidates(snapshot: Snapshot, policy: Policy) -> tuple[str, ...]:
    """Everyone a run could hand the ticket to; ``gather`` asks Jira which of them are assignable."""
    roles = (chain(role, snapshot, policy) for role in ("requester", "approver", "reviewer"))
    return tuple(dict.fromkeys(one for ids in roles for one in ids))


def hand(view: View, role: str) -> Hand:
    """Who gets the ticket in this role."""
    ids = chain(role, view.snapshot, view.policy)
    chosen = next((one for one in ids if one in view.snapshot.assignable), None)
    return Hand(assignee=chosen, mention=ids[0] if ids else "")


def may_approve(change: Change, view: View) -> bool:
    """Whether the person behind a move may approve: on the list, or any active person when there is none."""
    author = change.author
    if author.id in view.ours or not author.is_person or not author.is_active:
        return False
    return not view.policy.jira.approvers or author.id in view.policy.jira.approvers
