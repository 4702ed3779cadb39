"""Tickets that were moved to another project: they have new keys, and the branches of old ones.

Jira answers to every key that a ticket ever had, so GitHub's events, which name a branch, still find it. A branch
and its pull request cannot be renamed without losing one of them: they are found where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.core import phases
from runner.core.model import Snapshot
from runner.ports import Forge, Tickets


def with_moves(snapshot: Snapshot, tickets: Tickets, forge: Forge) -> Snapshot:
    """The snapshot with its family's former keys and kept branches; a family moves as a whole.

    Further requests are made only for a family that was moved.
    """
    known = [one for one in (snapshot.ticket, snapshot.parent) if one is not None]
    if not any(one.former_keys for one in known):
        return snapshot
    read = {one.key for one in known}
    others = [tickets.ticket(one.ticket.key) for one in snapshot.family if one.ticket.key not in read]
    former = {one.key: one.former_keys for one in (*known, *others) if one.former_keys}
    kept = {key: _branch_of(key, keys, forge) for key, keys in former.items()}
    return replace(snapshot, former_keys=former, branches=kept)


def _branch_of(key: str, former: Sequence[str], forge: Forge) -> str:
    """The branch that exists, or once had a pull request of ours; none yet: that of the present key."""
    names = [phases.branch_of(one) for one in (key, *reversed(former))]
    return next((name for name in names if _is_in_use(name, forge)), names[0])


def _is_in_use(name: str, forge: Forge) -> bool:
    offered = any(one.is_ours for one in forge.pull_requests(head=name, detailed=False))
    return offered or forge.head(name) is not None
