"""Finished work as its commit message and its pull request tell it."""

from __future__ import annotations

from dataclasses import dataclass

from runner.core import phases, texts
from runner.core.decide.outcomes import labels_over
from runner.core.decide.parts import OVER
from runner.core.decide.sequence import base_branch
from runner.core.decide.view import INPUT_TRAILER, OUTCOME_TRAILER, RUN_TRAILER, View, family_of
from runner.core.effects import OpenPullRequest
from runner.core.handover import Result, Work
from runner.core.markers import LedgerEntry, PullRequestRecord, merge_ledgers
from runner.core.phases import State
from runner.core.pull_request_text import Piece, Shared, body, commit_message, title
from runner.core.sharing import contributors

ENDS_SHORT = {
    "partial": (
        "The work is not complete.",
        "Comment what matters most and assign the ticket to me: I go on from the draft.",
    ),
    "budget": ("The budget is spent.", "Assign the ticket to me: I go on from the draft."),
    "truncated": (
        "The model's answer was cut off at its length limit.",
        "Raise `max_output_tokens` or make the ticket smaller, then assign it to me.",
    ),
    "stopped": ("The run was stopped.", "Assign the ticket to me to go on from what exists."),
    "red": (
        "The checks are not green.",
        "Look at the failing checks in the pull request. Comment how to go on and assign the ticket to me, or finish it by hand.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class FinishedWork:
    """One finished piece of work on its way to the reviewer. ``is_asked``: a revision that ended in questions."""

    work: Work
    result: Result
    entry: LedgerEntry | None
    is_short: str
    is_taken: bool
    is_asked: bool = False


def message_of(view: View, one: FinishedWork) -> str:
    """The message of its commit, whose trailers let a later run find it again."""
    outcome = short_code(view, one) or "done"
    return commit_message(
        view.key,
        view.ticket.summary,
        text=one.result.summary,
        answers=one.result.answers,
        checks=one.result.checks,
        trailers={
            RUN_TRAILER: one.result.run,
            INPUT_TRAILER: one.work.input_digest,
            OUTCOME_TRAILER: outcome,
        },
    )


def record_of(view: View, one: FinishedWork) -> PullRequestRecord:
    """What the pull request remembers from this run on."""
    known = view.record
    only_checks = bool(one.work.feedback) and all(point.source == "check" for point in one.work.feedback)
    counted = (known.check_fixes + 1 if known is not None else 1) if only_checks else 0
    already = known is not None and any(entry.run == one.result.run for entry in known.ledger)
    fixes = known.check_fixes if known is not None and already else counted
    stacked = f"ai/{one.work.predecessor}" if one.work.predecessor else ""
    base = view.open_pull_request.base if view.open_pull_request is not None else _target(view, one)
    seen = known.seen.union(one.work.seen) if known is not None else one.work.seen
    return PullRequestRecord(
        key=view.home,
        repository=view.snapshot.repository.name,
        parent="" if view.shares else view.ticket.parent_key or "",
        item="" if view.shares else view.item_id or "",
        input_digest=one.work.input_digest,
        plan_digest=one.work.plan_digest,
        base=base,
        stacked_on=known.stacked_on if known is not None and view.open_pull_request is not None else stacked,
        check_fixes=fixes,
        seen=seen,
        ledger=merge_ledgers(
            known.ledger if known is not None else view.ledger, [one.entry] if one.entry else []
        ),
    )


def _target(view: View, one: FinishedWork) -> str:
    """The branch the pull request goes to; a base of ours that is gone by now gives way to the base branch."""
    if phases.key_of_branch(one.work.base) and one.work.base not in view.snapshot.heads:
        return base_branch(view)
    return one.work.base


def opening(view: View, one: FinishedWork) -> OpenPullRequest:
    """The pull request that offers it; a draft if it falls short."""
    record = record_of(view, one)
    return OpenPullRequest(
        head=view.branch_name,
        base=record.base,
        title=_title(view),
        body=body_of(view, one, record, existing=""),
        draft=bool(one.is_short) or view.policy.pull_request.draft,
        labels=view.policy.pull_request.labels,
        reviewers=() if one.is_short else view.policy.pull_request.reviewers,
    )


def body_of(view: View, one: FinishedWork, record: PullRequestRecord, *, existing: str) -> str:
    """The text of its pull request; what people wrote around ours in ``existing`` stays."""
    item = view.item
    piece = Piece(
        summary=one.result.summary or view.ticket.summary,
        checks=check_lines(one.result),
        criteria=one.result.criteria,
        planned=item.files if item is not None else (),
        touched=[change.path for change in one.result.changes],
        unfinished=ENDS_SHORT[one.is_short][0] if one.is_short else "",
        warnings=one.result.warnings,
    )
    return body(
        record,
        piece,
        ticket_url=view.url_of(view.home),
        waits_for_approval=view.waits_for_approval,
        existing=existing,
        shared=shared(view) if view.shares else None,
    )


def shared(view: View) -> Shared:
    """Who else is in the pull request that this sub-task shares, and who is not yet."""
    offered = view.branch_pull_request
    inside = contributors(view.contributions(offered)) if offered is not None else ()
    family = family_of(view.snapshot.family, view.ours).values()
    waiting = [
        one.ticket.key
        for one in family
        if one.ticket.key not in (*inside, view.key)
        and phases.state_of(one.ticket, view.policy) not in (State.DONE, State.IN_TESTING)
    ]
    return Shared(key=view.key, summary=view.ticket.summary, waiting=waiting, members=max(len(family), 1))


def _title(view: View) -> str:
    """The pull request's title: the ticket's, or the parent's whose sub-tasks share it."""
    parent = view.snapshot.parent
    return title(view.home, parent.summary if view.shares and parent is not None else view.ticket.summary)


def check_lines(result: Result) -> tuple[texts.CheckLine, ...]:
    """How each check ended, beside how it was before the work."""
    before = {check.id: check.is_green for check in result.baseline}
    return tuple(
        texts.CheckLine(id=one.id, is_green=one.is_green, was_green=before.get(one.id), seconds=one.seconds)
        for one in result.checks
    )


def short_code(view: View, one: FinishedWork) -> str:
    """How unfinished work ended, for whoever finishes its hand-over."""
    return one.is_short + (OVER if labels_over(view, one.result) else "")
