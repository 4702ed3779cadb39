"""What a parent sees on the pull request that its sub-tasks share, and which of them it concerns.

GitHub's events name the branch, so the parent's key: its run reads whom they are meant for and wakes them.
"""

from __future__ import annotations

from dataclasses import replace

from runner.core import phases
from runner.core.decide.view import View
from runner.core.model import PullRequest, WorkItem
from runner.core.phases import State
from runner.core.sharing import contributors


def left_by_shared_end(view: View) -> tuple[str, ...]:
    """Sub-tasks in a shared pull request that was merged or closed, which do not stand where that puts them."""
    offered = view.branch_pull_request
    if offered is None or offered.state == "open":
        return ()
    return tuple(one.ticket.key for one in _members(view, offered) if not _followed(one, offered, view))


def asked_on_shared(view: View) -> tuple[str, ...]:
    """The first sub-task of which somebody asks something on the open shared pull request.

    One at a time, because they build upon each other's commits.
    """
    offered = view.branch_pull_request
    if offered is None or offered.state != "open":
        return ()
    return tuple(one.ticket.key for one in _members(view, offered) if _is_asked(one, view))[:1]


def _members(view: View, offered: PullRequest) -> tuple[WorkItem, ...]:
    if not view.is_parent or view.policy.sequence != "shared":
        return ()
    inside = contributors(view.contributions(offered))
    return tuple(one for one in view.snapshot.family if one.ticket.key in inside and not _rests(one, view))


def _rests(one: WorkItem, view: View) -> bool:
    """Whether a label holds this sub-task, whatever happens on GitHub."""
    names = (phases.IGNORE, phases.STOP, phases.FAILED, phases.OVER_BUDGET)
    return bool({view.policy.label(name) for name in names} & one.ticket.labels)


def _followed(one: WorkItem, offered: PullRequest, view: View) -> bool:
    """Whether the sub-task stands where the pull request's end puts it."""
    state = phases.state_of(one.ticket, view.policy)
    return state is State.DONE or (state is State.BLOCKED and not offered.is_merged)


def _is_asked(one: WorkItem, view: View) -> bool:
    """Whether a review or a failed check asks something of a sub-task that was read in full."""
    if not one.ticket.is_detailed or phases.state_of(one.ticket, view.policy) is not State.IN_TESTING:
        return False
    own = replace(view, snapshot=replace(view.snapshot, ticket=one.ticket, parent=view.ticket))
    return own.is_asked_to_revise or bool(own.failed_checks)
