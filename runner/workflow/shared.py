"""Read the branch and pull requests that sub-tasks share (``sequence: shared``), and whose work is in them."""

from __future__ import annotations

from dataclasses import replace

from runner.core import phases
from runner.core.decide.sequence import base_branch
from runner.core.decide.view import INPUT_TRAILER, View
from runner.core.feedback import check_points, pull_request_points
from runner.core.markers import Kind
from runner.core.model import Branch, CommitInfo, PullRequest, Snapshot, WorkItem
from runner.core.phases import State
from runner.core.policy import Policy
from runner.core.sharing import contributors
from runner.ports import Forge, Tickets


def is_shared(view: View) -> bool:
    """Whether a parent's sub-tasks were listed, and share its branch."""
    return view.policy.sequence == "shared" and view.newest(Kind.BREAKDOWN) is not None


def with_shared_work(snapshot: Snapshot, forge: Forge, policy: Policy) -> Snapshot:
    """The snapshot of a parent, or of one of its sub-tasks, with the shared branch and what was offered of it."""
    view = View(snapshot=snapshot, policy=policy, now="")
    target = base_branch(view)
    pull_requests = tuple(
        _with_review_paths(one, forge) for one in forge.pull_requests(head=view.branch_name, detailed=True)
    )
    newest = next((one for one in reversed(pull_requests) if one.is_ours), None)
    base = newest.base if newest is not None and newest.state == "open" else target
    heads = {one: sha for one in dict.fromkeys((target, base)) if (sha := forge.head(one)) is not None}
    branch = forge.branch(view.branch_name, base=base) if base in heads else None
    return replace(
        snapshot,
        pull_requests=pull_requests,
        branch=branch,
        heads={**snapshot.heads, **heads},
        offered={one.number: _commits(one, branch, forge) for one in pull_requests if one.is_ours},
    )


def _with_review_paths(one: PullRequest, forge: Forge) -> PullRequest:
    """What a review's summary is about, its inline comments tell."""
    if one.state != "open" or not one.reviews or not one.threads:
        return one
    paths = forge.review_paths(one.number)
    reviews = tuple(replace(review, paths=paths.get(review.id, ())) for review in one.reviews)
    return replace(one, reviews=reviews)


def _commits(one: PullRequest, branch: Branch | None, forge: Forge) -> tuple[CommitInfo, ...]:
    """A pull request's commits, oldest first. An open one's are the branch's: its own list lags behind a push.

    With their files, once somebody said something about a file.
    """
    if one.state != "open" or branch is None:
        return forge.pull_request_commits(one.number)
    commits = tuple(reversed(branch.commits))
    if not one.threads:
        return commits
    return tuple(
        replace(commit, files=forge.files_of(commit.sha)) if INPUT_TRAILER in commit.trailers else commit
        for commit in commits
    )


def with_members(snapshot: Snapshot, policy: Policy) -> Snapshot:
    """The family with the newest shared pull request that each member's work is in."""
    family = tuple(replace(one, pull_request=_own(one, snapshot, policy)) for one in snapshot.family)
    return replace(snapshot, family=family)


def _own(one: WorkItem, snapshot: Snapshot, policy: Policy) -> PullRequest | None:
    parent = snapshot.parent or snapshot.ticket
    own = replace(snapshot, ticket=one.ticket, parent=parent)
    return View(snapshot=own, policy=policy, now="").pull_request


def with_asked_members(snapshot: Snapshot, tickets: Tickets, policy: Policy) -> Snapshot:
    """A parent's snapshot with those members in full of whom the open pull request may ask something.

    What they have taken into account stands in their comments.
    """
    offered = View(snapshot=snapshot, policy=policy, now="").branch_pull_request
    if offered is None or offered.state != "open":
        return snapshot
    if not any(pull_request_points(offered)) and not any(check_points(offered)):
        return snapshot
    inside = contributors(View(snapshot=snapshot, policy=policy, now="").contributions(offered))
    family = tuple(
        replace(one, ticket=tickets.ticket(one.ticket.key))
        if one.ticket.key in inside and phases.state_of(one.ticket, policy) is State.IN_TESTING
        else one
        for one in snapshot.family
    )
    return replace(snapshot, family=family)
