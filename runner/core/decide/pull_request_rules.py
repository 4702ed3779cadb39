"""Row 14 and the sequence: pull requests that were merged, closed or left without a base, and what is stacked on them."""

from __future__ import annotations

from dataclasses import replace

from runner.core import phases, texts
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.finishing import is_touched_since
from runner.core.decide.outcomes import link, restacked_body
from runner.core.decide.parts import ending, labels_of_work, note
from runner.core.decide.people import hand
from runner.core.decide.sequence import base_branch
from runner.core.decide.view import Marked, View
from runner.core.effects import (
    Dispatch,
    DressPullRequest,
    EditPullRequest,
    Effect,
    MoveTo,
    OpenPullRequest,
    PutComment,
    UpdateBranch,
)
from runner.core.markers import Kind
from runner.core.model import PullRequest
from runner.core.phases import Phase, State
from runner.core.pull_request_text import with_record

# The code of the comment after which a new pull request offers the same branch.
REOPENED = "base-vanished"


def pull_request_ended(view: View) -> Decision | None:
    """Row 14: the pull request was merged, or closed without a merge, and nobody said so on the ticket yet."""
    pull_request = view.pull_request
    if not view.is_work_ticket or pull_request is None or pull_request.state != "closed":
        return None
    kind = Kind.MERGED if pull_request.is_merged else Kind.CLOSED
    told = [one for one in view.trail if one.marker.kind is kind and one.marker.number == pull_request.number]
    if told:
        finish = _finish_told_merge if pull_request.is_merged else _finish_closed
        return finish(view, pull_request, told[-1])
    if pull_request.is_merged:
        return _stranded(view, pull_request) or _merged(view, pull_request)
    if view.state is State.DONE:
        return None
    head_exists = view.snapshot.branch is not None
    if not pull_request.base_exists and head_exists:
        return _base_vanished(view, pull_request)
    return _closed(view, pull_request)


def _merged(view: View, pull_request: PullRequest) -> Decision:
    is_done = view.policy.on_merge == "done"
    marker = replace(view.marker(Kind.MERGED), number=pull_request.number)
    effects: list[Effect] = [
        link(view, pull_request),
        PutComment(
            key=view.key,
            markdown=texts.merged(pull_request.number, pull_request.url, is_done=is_done),
            marker=marker,
        ),
    ]
    if is_done and view.state is not State.DONE:
        effects.append(MoveTo(key=view.key, state=State.DONE))
    effects += [
        ending(view, state=State.DONE if is_done else None, drop=(phases.FAILED,)),
        *_wake(view),
    ]
    reason = f"pull request #{pull_request.number} was merged"
    return Decision(
        row="14", outcome=Outcome.DONE, reason=reason, phase=Phase.COMPLETE, effects=tuple(effects)
    )


def _finish_told_merge(view: View, _: PullRequest, told: Marked) -> Decision | None:
    """The merge was said, but the run died before the ticket was Done, or before its labels were gone."""
    if is_touched_since(view, told):
        return None
    if view.state is not State.DONE:
        return finish_merged(view, is_retried=told is view.last_word)
    if not labels_of_work(view) and not view.has_label(phases.FAILED):
        return None
    return Decision(
        row="14",
        outcome=Outcome.DONE,
        reason="the merge is recorded; only labels were left",
        phase=Phase.COMPLETE,
        effects=(ending(view, state=State.DONE, drop=(phases.FAILED,)), *_wake(view)),
    )


def finish_merged(view: View, *, is_retried: bool = False) -> Decision | None:
    """The merge was recorded, but the run died, or was not allowed, before the ticket was moved."""
    left_over = view.has_label(phases.WORKING) or view.state is State.IN_TESTING or is_retried
    if view.policy.on_merge != "done" or view.state is State.DONE or not left_over:
        return None
    effects: tuple[Effect, ...] = (
        MoveTo(key=view.key, state=State.DONE),
        ending(view, state=State.DONE, drop=(phases.FAILED,)),
        *_wake(view),
    )
    return Decision(
        row="14",
        outcome=Outcome.DONE,
        reason="the merge is recorded; the ticket follows",
        phase=Phase.COMPLETE,
        effects=effects,
    )


def _wake(view: View) -> tuple[Dispatch, ...]:
    """Who has something to do once this ticket's work is in: what is stacked on it, and its parent."""
    stacked = [view.key_of(one.head) for one in view.snapshot.dependents if one.state == "open"]
    keys = [key for key in stacked if key and key != view.key]
    parent = [view.ticket.parent_key] if view.item_id is not None and view.ticket.parent_key else []
    return tuple(Dispatch(key=key) for key in dict.fromkeys([*keys, *parent]))


def _stranded(view: View, pull_request: PullRequest) -> Decision | None:
    """Merged into a branch that had been merged before: the work went nowhere, so it is offered again."""
    below = [
        one.pull_request
        for one in view.snapshot.family
        if one.pull_request is not None and one.pull_request.head == pull_request.base
    ]
    # GitHub's times are whole seconds: of two merges in one second the commits tell the order.
    at, in_time = pull_request.closed_at, view.snapshot.is_carried_on
    was_over = any(
        one.is_merged and (one.closed_at < at or (one.closed_at == at and not in_time)) for one in below
    )
    branch = view.snapshot.branch
    if not was_over or view.state is State.DONE or (branch is not None and not branch.commits):
        return None
    target = _surviving_base(view, pull_request.base)
    said = texts.stranded(pull_request.number, pull_request.url, pull_request.base, target)
    if branch is not None:
        again = texts.opened_again(target)
        return _reopened(view, pull_request, target, f"{said} {again}")
    who = hand(view, "reviewer")
    marker = replace(view.marker(Kind.CLOSED), number=pull_request.number, code="stranded")
    lost = texts.stranded_without_branch(pull_request.head, target, reviewer=who.mention)
    effects = (
        PutComment(key=view.key, markdown=f"{said} {lost}", marker=marker),
        MoveTo(key=view.key, state=State.BLOCKED),
        ending(view, assignee=who.assignee, state=State.BLOCKED),
    )
    reason = (
        f"pull request #{pull_request.number} was merged into {pull_request.base}, which was merged before"
    )
    return Decision(row="14", outcome=Outcome.WAITING, reason=reason, phase=Phase.COMPLETE, effects=effects)


def _base_vanished(view: View, pull_request: PullRequest) -> Decision:
    target = _surviving_base(view, pull_request.base)
    said = texts.base_vanished(pull_request.number, pull_request.url, pull_request.base, target)
    return _reopened(view, pull_request, target, said)


def _reopened(view: View, pull_request: PullRequest, target: str, said: str) -> Decision:
    """A new pull request from the same head to where the old one's base went, after the ticket says so."""
    marker = replace(view.marker(Kind.CLOSED), number=pull_request.number, code=REOPENED)
    record = replace(view.record, base=target, stacked_on="") if view.record is not None else None
    body = with_record(pull_request.body, record) if record is not None else pull_request.body
    effects = (
        PutComment(key=view.key, markdown=said, marker=marker),
        OpenPullRequest(
            head=pull_request.head,
            base=target,
            title=pull_request.title,
            body=body,
            draft=pull_request.is_draft,
            labels=view.policy.pull_request.labels,
            reviewers=view.policy.pull_request.reviewers,
        ),
    )
    reason = (
        f"pull request #{pull_request.number} lost its base {pull_request.base}; {target} takes its place"
    )
    return Decision(
        row="14", outcome=Outcome.DONE, reason=reason, phase=Phase.REVISE, effects=effects, again=True
    )


def _finish_closed(view: View, pull_request: PullRequest, told: Marked) -> Decision | None:
    """The veto was said, but the run died before the ticket was blocked; a move by a person since then counts more."""
    if view.state is State.DONE or is_touched_since(view, told):
        return None
    if told.marker.code == REOPENED:
        return _base_vanished(view, pull_request) if view.snapshot.branch is not None else None
    is_blocked = view.state is State.BLOCKED and not view.has_label(phases.WORKING) and not view.is_mine
    return None if is_blocked else _closed(view, pull_request)


def finish_reopened(view: View) -> Decision | None:
    """A new pull request took an old one's place: its labels and reviewers, then the link that says they are there.

    Once the link stands, what people take off the pull request stays off.
    """
    pull_request = view.open_pull_request
    if not view.is_work_ticket or pull_request is None:
        return None
    reopened = [
        one.marker.number
        for one in view.trail
        if one.marker.kind is Kind.CLOSED and one.marker.code == REOPENED
    ]
    linked = link(view, pull_request)
    is_new = bool(reopened) and reopened[-1] < pull_request.number
    if not is_new or linked.global_id in view.ticket.remote_links:
        return None
    wanted = view.policy.pull_request
    dress = DressPullRequest(number=pull_request.number, labels=wanted.labels, reviewers=wanted.reviewers)
    return Decision(
        row="14",
        outcome=Outcome.DONE,
        reason=f"pull request #{pull_request.number} takes the place of #{reopened[-1]}",
        phase=Phase.REVISE,
        effects=(dress, linked),
    )


def _closed(view: View, pull_request: PullRequest) -> Decision:
    who = hand(view, "reviewer")
    said = texts.closed(
        pull_request.number, pull_request.url, by=pull_request.closed_by, reviewer=who.mention
    )
    marker = replace(view.marker(Kind.CLOSED), number=pull_request.number, phase=Phase.IMPLEMENT.value)
    effects = (
        PutComment(key=view.key, markdown=said, marker=marker),
        MoveTo(key=view.key, state=State.BLOCKED),
        ending(view, assignee=who.assignee, state=State.BLOCKED),
    )
    reason = f"pull request #{pull_request.number} was closed without a merge"
    return Decision(row="14", outcome=Outcome.WAITING, reason=reason, phase=Phase.COMPLETE, effects=effects)


def restack(view: View) -> Decision | None:
    """Sequence rule: the predecessor's pull request was merged, so this one moves on to where that went."""
    pull_request, record = view.open_pull_request, view.record
    if not view.is_work_ticket or pull_request is None or record is None or not record.stacked_on:
        return None
    target = _surviving_base(view, record.stacked_on)
    if target == record.stacked_on:
        return _follow(view, pull_request)
    renewed = replace(record, base=target, stacked_on=target if phases.key_of_branch(target) else "")
    effects = (
        EditPullRequest(number=pull_request.number, base=target),
        _update(view, pull_request, target),
        EditPullRequest(number=pull_request.number, body=restacked_body(pull_request.body, renewed)),
    )
    reason = f"{record.stacked_on} was merged; the pull request now targets {target}"
    return Decision(
        row="sequence", outcome=Outcome.DONE, reason=reason, phase=Phase.REVISE, effects=effects, again=True
    )


def _follow(view: View, pull_request: PullRequest) -> Decision | None:
    """The branch below has new commits: they are merged in, never by force over anybody's commit."""
    update = _update(view, pull_request, pull_request.base)
    is_told = update.told is not None and view.has_note(update.told.marker.code)
    if not view.snapshot.is_behind or is_told:
        return None
    return Decision(
        row="sequence",
        outcome=Outcome.DONE,
        reason=f"{pull_request.base} has new commits; they are merged into {pull_request.head}",
        phase=Phase.REVISE,
        effects=(update, Dispatch(key=view.key)),
    )


def _update(view: View, pull_request: PullRequest, base: str) -> UpdateBranch:
    """Bring the branch up to date; a conflict is said once for these two heads."""
    heads = f"{pull_request.head_sha[:12]}:{view.snapshot.heads.get(base, '')[:12]}"
    text = texts.conflict(
        pull_request.number, pull_request.url, base, reviewer=hand(view, "reviewer").mention
    )
    return UpdateBranch(
        number=pull_request.number,
        expected_head=pull_request.head_sha,
        told=note(view, f"conflict:{heads}", text),
    )


def _surviving_base(view: View, branch: str) -> str:
    """Where a branch of ours went: the target of its merged pull request, followed to one that still stands."""
    by_head = {
        one.pull_request.head: one.pull_request
        for one in view.snapshot.family
        if one.pull_request is not None
    }
    for _ in range(len(by_head) + 1):
        merged = by_head.get(branch)
        if merged is None or not merged.is_merged:
            break
        branch = merged.base
    gone = phases.key_of_branch(branch) is not None and branch not in view.snapshot.heads
    return base_branch(view) if gone else branch
