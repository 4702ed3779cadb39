"""What a result still needs: to be published, to be pointed to, to be handed over.

The same functions serve a fresh result and the evidence an earlier run left (a commit with our trailers and
this very input): a run that died in between is finished without asking the model again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from runner.core import phases, texts
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.large_plans import fitted
from runner.core.decide.parts import OVER, ending, failed, nothing, progress_end
from runner.core.decide.people import hand
from runner.core.decide.sequence import base_branch, ready_keys, starting_point
from runner.core.decide.view import (
    INPUT_TRAILER,
    OUTCOME_TRAILER,
    PLAN_BLOCK,
    RUN_TRAILER,
    View,
)
from runner.core.effects import (
    AnswerThread,
    CommentPullRequest,
    Dispatch,
    DressPullRequest,
    EditPullRequest,
    Effect,
    LinkPullRequest,
    MoveTo,
    OpenPullRequest,
    Push,
    PutComment,
    SetDraft,
)
from runner.core.estimate import estimate
from runner.core.feedback import Feedback
from runner.core.handover import CheckRecord, Delivered, Result, Work
from runner.core.markers import Kind, LedgerEntry, Marker, PullRequestRecord, merge_ledgers
from runner.core.model import CommitInfo, PullRequest, iso
from runner.core.phases import Phase, State
from runner.core.plan import Plan, PointAnswer, compare
from runner.core.pull_request_text import (
    answers_in,
    body,
    checks_in,
    commit_message,
    summary_in,
    title,
    with_record,
)

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


def approve_name(view: View) -> str:
    """What the target of an approval is called in this project."""
    names = phases.names_for(State.IN_PROGRESS, phases.statuses_of(view.ticket, view.policy))
    return names[0] if names else "In Progress"


def link(view: View, pull_request: PullRequest) -> LinkPullRequest:
    """The remote link from the ticket to its pull request."""
    return LinkPullRequest(
        key=view.key,
        global_id=f"ai-runner:{view.snapshot.repository.name}#{pull_request.number}",
        url=pull_request.url,
        title=f"Pull request #{pull_request.number}",
        is_resolved=pull_request.is_merged,
    )


def restacked_body(existing: str, record: PullRequestRecord) -> str:
    """The body once the pull request no longer builds on another one."""
    lines = [line for line in existing.splitlines() if not line.startswith("This builds on `ai/")]
    return with_record("\n".join(lines), record)


# --- a result ---------------------------------------------------------------------------------------------


def settle(view: View, delivered: Delivered) -> Decision:
    """What is due now that the model's result is in."""
    work, result = delivered.work, delivered.result
    entry = bill_of(result, at=view.now)
    if result.outcome == "unavailable":
        return _park(view, result, entry)
    if result.outcome == "config":
        return failed(
            view,
            row="15",
            what=result.summary,
            meaning="Repeating the run changes nothing.",
            remedy=result.detail or "Correct the configuration, then assign the ticket to me.",
            phase=work.phase,
            exit_code=2,
            entry=entry,
        )
    if work.phase is Phase.PLAN:
        return _settle_plan(view, work, result, entry)
    return _settle_work(view, delivered, entry)


def bill_of(result: Result, *, at: str = "") -> LedgerEntry | None:
    """The ledger entry of a result; ``None`` when no model was asked."""
    if result.calls == 0:
        return None
    return LedgerEntry(
        run=result.run,
        phase=result.phase.value,
        model=result.model,
        tokens=result.tokens,
        usd=result.usd,
        seconds=round(result.seconds),
        at=at,
    )


def _park(view: View, result: Result, entry: LedgerEntry | None) -> Decision:
    """The model is down or limiting: the ticket waits, and the attempt does not count."""
    until = iso(datetime.fromtimestamp(result.retry_at, tz=UTC)) if result.retry_at else view.now
    marker = replace(
        view.marker(Kind.PROGRESS), until=until, ledger=merge_ledgers(view.ledger, [entry] if entry else [])
    )
    before = max(view.attempts - 1, 0)
    labels = ((view.policy.label(f"try-{before}"),) if before else ()) + (view.policy.label(phases.WAITING),)
    end = ending(view)
    end = replace(end, add=(*end.add, *labels), remove=tuple(one for one in end.remove if one not in labels))
    reason = result.summary or "the model's service is not available"
    comment = PutComment(
        key=view.key, markdown=texts.parked(reason, until=until, url=view.run_url), marker=marker
    )
    return Decision(
        row="15",
        outcome=Outcome.WAITING,
        reason=reason,
        phase=result.phase,
        effects=(comment, end),
        warning=reason,
    )


# --- plans ------------------------------------------------------------------------------------------------


def _settle_plan(view: View, work: Work, result: Result, entry: LedgerEntry | None) -> Decision:
    if not _still_planning(view):
        return _discard(view, "the ticket was moved or taken while the plan was written", Phase.PLAN, entry)
    answer = result.plan
    if result.outcome == "not_ready" and answer is not None:
        return _ask(view, work, answer.questions, entry, summary=answer.summary, ready=False)
    if result.outcome == "asked" and answer is not None:
        return _ask(view, work, answer.questions, entry, summary=answer.summary)
    if result.outcome == "done" and answer is not None and answer.items:
        return _publish_plan(
            view, work, Plan(summary=answer.summary, items=answer.items), answer.answers, entry
        )
    what, remedy = _why_no_result(view, result)
    return failed(
        view,
        row="15",
        what=what,
        meaning="No plan was written.",
        remedy=remedy,
        phase=Phase.PLAN,
        is_final=False,
        entry=entry,
        labels=_labels_over(view, result),
    )


def _still_planning(view: View) -> bool:
    held = view.has_family_label(phases.IGNORE) or view.has_family_label(phases.STOP)
    open_states = (State.BACKLOG, State.PLAN_REVIEW, State.BLOCKED)
    is_unapproved = view.state is State.IN_PROGRESS and view.plan_comment is None
    return view.is_mine and not held and (view.state in open_states or is_unapproved)


def _discard(view: View, reason: str, phase: Phase, entry: LedgerEntry | None) -> Decision:
    """Somebody moved the ticket under us: they win, and nothing of the result is used."""
    effects = (*progress_end(view, f"discarded, because {reason}", entry), ending(view))
    return Decision(
        row="13",
        outcome=Outcome.NOTHING,
        reason=reason,
        phase=phase,
        effects=effects,
        warning=f"Discarded: {reason}.",
    )


def _labels_over(view: View, result: Result) -> tuple[str, ...]:
    """The label of a ticket whose own budget, or whose parent's, is spent: it rests until a person takes it off."""
    is_wide = result.outcome == "budget" and result.over in ("ticket", "parent")
    return (view.policy.label(phases.OVER_BUDGET),) if is_wide else ()


def _remedy_over(view: View, result: Result) -> str:
    """How to go on after a budget is spent."""
    labels = _labels_over(view, result)
    if not labels:
        return "Raise `budget.run` in the configuration or make the ticket smaller, then assign it to me."
    return (
        f"To grant one more budget of the same size, remove the label {texts.code(labels[0])} and assign the "
        f"ticket to me; or raise `budget.{result.over}` in the configuration."
    )


def _why_no_result(view: View, result: Result) -> tuple[str, str]:
    """What happened and what to do, for an outcome without a usable result."""
    detail = f" {result.detail}" if result.detail else ""
    table = {
        "refused": (
            f"The model declined this work.{detail}",
            "Reword the ticket so that its purpose is clear, then assign it to me.",
        ),
        "invalid": (
            f"The model's answer could not be used, even after being told why.{detail}",
            "Make the ticket smaller or more precise, or choose another model, then assign it to me.",
        ),
        "truncated": (
            f"The model's answer was cut off at its length limit.{detail}",
            "Raise `max_output_tokens` for this phase or make the ticket smaller, then assign it to me.",
        ),
        "budget": (
            f"The budget was spent before there was a result.{detail}",
            _remedy_over(view, result),
        ),
        "stopped": (
            "The run was stopped before there was a result.",
            "Assign the ticket to me to start again.",
        ),
    }
    fallback = (f"The model ended without a result.{detail}", "Assign the ticket to me to try again.")
    return table.get(result.outcome, fallback)


def _publish_plan(
    view: View, work: Work, plan: Plan, answers: Sequence[PointAnswer], entry: LedgerEntry | None
) -> Decision:
    who = hand(view, "approver")
    versions = sum(one.marker.kind is Kind.PLAN for one in view.trail)
    mine = any(
        one.marker.kind is Kind.PLAN and one.marker.run == view.run and one.marker.plan_digest == plan.digest
        for one in view.trail
    )
    news = _news(view, work)
    said = PutComment(
        key=view.key,
        markdown=texts.plan_comment(
            plan,
            version=versions if mine else versions + 1,
            difference=compare(work.plan, plan) if work.plan is not None else None,
            answers=_named(work.feedback, answers),
            approve=approve_name(view),
            approver=who.mention,
            notes=_plan_notes(view),
            news=bool(news),
            estimate=estimate(plan, view.policy, view.parent_ledger, prices=view.policy.price_table),
        ),
        collapsed=((PLAN_BLOCK, plan.to_text()),),
        marker=replace(
            view.marker(Kind.PLAN),
            input_digest=work.input_digest,
            plan_digest=plan.digest,
            content_digest=work.content_digest,
            phase=Phase.PLAN.value,
            seen=work.seen,
        ),
    )
    end = ending(
        view,
        assignee=view.snapshot.me.id if news else who.assignee,
        state=State.PLAN_REVIEW,
        add=(view.policy.label(phases.PLANNED),),
    )
    effects: list[Effect] = [
        *fitted(said, plan),
        *progress_end(view, "the plan is ready", entry),
        MoveTo(key=view.key, state=State.PLAN_REVIEW),
        end,
    ]
    if news:
        effects.append(Dispatch(key=view.key))
    return Decision(
        row=work.row,
        outcome=Outcome.DONE,
        reason=f"a plan with {len(plan.items)} items is ready for approval",
        phase=Phase.PLAN,
        effects=tuple(effects),
    )


def _plan_notes(view: View) -> tuple[str, ...]:
    notes = []
    if view.snapshot.restricted_comments:
        count = view.snapshot.restricted_comments
        notes.append(f"{count} restricted {'comment was' if count == 1 else 'comments were'} not read.")
    for name, reason in view.snapshot.skipped_attachments.items():
        notes.append(f"The attachment {texts.code(name)} was not read: {reason}.")
    return tuple(notes)


def _named(points: Sequence[Feedback], answers: Sequence[PointAnswer]) -> tuple[tuple[str, PointAnswer], ...]:
    """Each point with its answer; a point that got none is said to be taken into account."""
    given = {answer.id: answer for answer in answers}
    default = "Taken into account."
    return tuple(
        (
            texts.name_point(point),
            given.get(point.id) or PointAnswer(id=point.id, verdict="done", text=default),
        )
        for point in points
    )


def _news(view: View, work: Work) -> tuple[Feedback, ...]:
    """Points that arrived while the model worked."""
    known = view.seen.union(work.seen)
    return tuple(point for point in view.points if not known.covers(point.id, point.version))


def _ask(
    view: View,
    work: Work,
    asked: Sequence[str],
    entry: LedgerEntry | None,
    *,
    summary: str = "",
    ready: bool = True,
    discarded: bool = False,
) -> Decision:
    """Row 8: questions to the requester; the ticket is Blocked until they are answered."""
    who = hand(view, "requester")
    text = (
        texts.questions(asked, requester=who.mention, discarded=discarded, summary=summary)
        if ready
        else texts.not_ready(summary, asked, requester=who.mention)
    )
    marker = replace(
        view.marker(Kind.QUESTIONS), phase=work.phase.value, input_digest=work.input_digest, seen=work.seen
    )
    effects = (
        PutComment(key=view.key, markdown=text, marker=marker),
        *progress_end(view, "waiting for an answer", entry),
        MoveTo(key=view.key, state=State.BLOCKED),
        ending(view, assignee=who.assignee, state=State.BLOCKED),
        *_meanwhile(view),
    )
    return Decision(
        row="8",
        outcome=Outcome.ASKED,
        reason="one open question" if len(asked) == 1 else f"{len(asked)} open questions",
        phase=work.phase,
        effects=effects,
    )


# --- work -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Work:
    """One finished piece of work on its way to the reviewer."""

    work: Work
    result: Result
    entry: LedgerEntry | None
    is_short: str
    is_taken: bool

    @property
    def is_complete(self) -> bool:
        return not self.is_short


def _settle_work(view: View, delivered: Delivered, entry: LedgerEntry | None) -> Decision:
    work, result = delivered.work, delivered.result
    if view.has_family_label(phases.IGNORE):
        return nothing(
            "10",
            "the ticket was set to be ignored meanwhile",
            warning="Discarded: the ticket is ignored now.",
        )
    if view.state is State.DONE:
        return _discard(view, "the ticket was moved to Done meanwhile", work.phase, entry)
    if result.outcome == "asked":
        return _ask(view, work, result.questions, entry, discarded=bool(result.changes))
    if result.outcome in ("refused", "invalid") or (
        not result.changes and result.outcome in ("budget", "truncated", "partial")
    ):
        what, remedy = _why_no_result(view, result)
        meaning = "Nothing was pushed."
        return failed(
            view,
            row="15",
            what=what,
            meaning=meaning,
            remedy=remedy,
            phase=work.phase,
            is_final=False,
            entry=entry,
            labels=_labels_over(view, result),
        )
    is_taken = view.has_family_label(phases.STOP) or (work.was_mine and not view.is_mine)
    short = "stopped" if is_taken else _falls_short(result)
    if short:
        work = _as_far_as_answered(work, result.answers, is_taken=is_taken)
    one = _Work(work=work, result=result, entry=entry, is_short=short, is_taken=is_taken)
    return _publish(view, one)


def _as_far_as_answered(work: Work, answers: Sequence[PointAnswer], *, is_taken: bool) -> Work:
    """The work without the points that an unfinished result left open: they are not told to be done.

    They stay unread and come back with the ticket, unless it was taken from us: then they start nothing.
    """
    answered = {answer.id for answer in answers}
    kept = tuple(point for point in work.feedback if point.id in answered or point.source == "check")
    left = {point.id for point in work.feedback if point not in kept}
    items = {id_: version for id_, version in work.seen.items.items() if is_taken or id_ not in left}
    return replace(work, feedback=kept, seen=replace(work.seen, items=items))


def _falls_short(result: Result) -> str:
    if result.outcome in ENDS_SHORT:
        return result.outcome
    return "" if result.is_green else "red"


def _publish(view: View, one: _Work) -> Decision:
    """Push, then the pull request, then what points to them: each step reads the state the last one left."""
    result, work = one.result, one.work
    pushed = view.own_commit is not None and view.own_commit.trailers.get(RUN_TRAILER) == result.run
    if result.changes and not pushed:
        head = view.snapshot.branch.sha if view.snapshot.branch is not None else None
        if head != work.expected:
            return _branch_moved(view, one)
        return _step(
            one,
            "the work is pushed",
            Push(
                branch=phases.branch_of(view.key),
                start=work.start,
                expected=work.expected,
                changes=tuple(change.to_change() for change in result.changes),
                message=_message(view, one),
            ),
        )
    has_commits = view.own_commit is not None
    pull_request = view.open_pull_request
    if pull_request is None and has_commits:
        return _step(one, "the pull request is opened", _open(view, one))
    if pull_request is None:
        return _without_pull_request(view, one)
    return _hand_over(view, one, pull_request)


def _step(one: _Work, reason: str, effect: Effect) -> Decision:
    return Decision(
        row=one.work.row,
        outcome=Outcome.DONE,
        reason=reason,
        phase=one.work.phase,
        effects=(effect,),
        again=True,
    )


def _branch_moved(view: View, one: _Work) -> Decision:
    """A person pushed while the model worked: their commit is built upon, so the work starts again from there."""
    reason = f"the branch {phases.branch_of(view.key)} moved while the model worked"
    effects = (*progress_end(view, f"started again, because {reason}", one.entry), Dispatch(key=view.key))
    return Decision(
        row="13",
        outcome=Outcome.NOTHING,
        reason=reason,
        phase=one.work.phase,
        effects=effects,
        warning=f"Discarded: {reason}.",
    )


def _message(view: View, one: _Work) -> str:
    outcome = _short_code(view, one) or "done"
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


def _record(view: View, one: _Work) -> PullRequestRecord:
    known = view.record
    only_checks = bool(one.work.feedback) and all(point.source == "check" for point in one.work.feedback)
    counted = (known.check_fixes + 1 if known is not None else 1) if only_checks else 0
    already = known is not None and any(entry.run == one.result.run for entry in known.ledger)
    fixes = known.check_fixes if known is not None and already else counted
    stacked = f"ai/{one.work.predecessor}" if one.work.predecessor else ""
    base = view.open_pull_request.base if view.open_pull_request is not None else _target(view, one)
    seen = known.seen.union(one.work.seen) if known is not None else one.work.seen
    return PullRequestRecord(
        key=view.key,
        repository=view.snapshot.repository.name,
        parent=view.ticket.parent_key or "",
        item=view.item_id or "",
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


def _target(view: View, one: _Work) -> str:
    """The branch the pull request goes to; a base of ours that is gone by now gives way to the base branch."""
    if phases.key_of_branch(one.work.base) and one.work.base not in view.snapshot.heads:
        return base_branch(view)
    return one.work.base


def _open(view: View, one: _Work) -> OpenPullRequest:
    record = _record(view, one)
    return OpenPullRequest(
        head=phases.branch_of(view.key),
        base=record.base,
        title=title(view.key, view.ticket.summary),
        body=_body(view, one, record, existing=""),
        draft=bool(one.is_short) or view.policy.pull_request.draft,
        labels=view.policy.pull_request.labels,
        reviewers=() if one.is_short else view.policy.pull_request.reviewers,
    )


def _body(view: View, one: _Work, record: PullRequestRecord, *, existing: str) -> str:
    item = view.item
    return body(
        record,
        ticket_url=view.ticket_url,
        summary=one.result.summary or view.ticket.summary,
        checks=_check_lines(one.result),
        criteria=one.result.criteria,
        planned=item.files if item is not None else (),
        touched=[change.path for change in one.result.changes],
        unfinished=ENDS_SHORT[one.is_short][0] if one.is_short else "",
        waits_for_approval=view.waits_for_approval,
        existing=existing,
        warnings=one.result.warnings,
    )


def _check_lines(result: Result) -> tuple[texts.CheckLine, ...]:
    before = {check.id: check.is_green for check in result.baseline}
    return tuple(
        texts.CheckLine(id=one.id, is_green=one.is_green, was_green=before.get(one.id), seconds=one.seconds)
        for one in result.checks
    )


def _hand_over(view: View, one: _Work, pull_request: PullRequest) -> Decision:
    edit, draft = _renew(view, one, pull_request)
    # The record says what was taken into account, so it follows the answers; where nothing was pushed, which
    # would be evidence for the next run, it follows the comment, too.
    is_pushed = view.own_commit is not None and view.own_commit.trailers.get(RUN_TRAILER) == one.result.run
    late = () if is_pushed else edit
    answers = _answers(one, pull_request, is_pushed=is_pushed)
    effects: list[Effect] = [*answers, *(edit if is_pushed else ()), draft]
    if one.work.phase is Phase.IMPLEMENT:
        # Opening does this too; a run that died right after opening did not come to it.
        wanted = view.policy.pull_request
        reviewers = () if one.is_short else wanted.reviewers
        effects.append(
            DressPullRequest(number=pull_request.number, labels=wanted.labels, reviewers=reviewers)
        )
    effects.append(link(view, pull_request))
    if one.is_short:
        return _hand_over_short(view, one, pull_request, effects, late)
    who = hand(view, "reviewer")
    news = _news(view, one.work)
    is_new = one.work.phase is Phase.IMPLEMENT
    said = texts.handover(
        url=pull_request.url,
        number=pull_request.number,
        summary=one.result.summary,
        checks=_check_lines(one.result),
        answers=_named(one.work.feedback, one.result.answers),
        reviewer=who.mention,
        news=bool(news),
        is_new=is_new,
        waits_for_approval=view.waits_for_approval,
    )
    effects += [
        PutComment(key=view.key, markdown=said, marker=_handover_marker(view, one)),
        *late,
        *progress_end(view, "handed over for review", one.entry),
        MoveTo(key=view.key, state=State.IN_TESTING),
        ending(view, assignee=view.snapshot.me.id if news else who.assignee, state=State.IN_TESTING),
        *_next(view, news),
    ]
    reason = f"pull request #{pull_request.number} is {'ready for review' if is_new else 'updated'}"
    return Decision(
        row=one.work.row, outcome=Outcome.DONE, reason=reason, phase=one.work.phase, effects=tuple(effects)
    )


def _handover_marker(view: View, one: _Work, *, code: str = "") -> Marker:
    """The marker of a result. Failed checks are no part of the input digest, so the head they failed on tells."""
    heads = [point.version for point in one.work.feedback if point.source == "check"]
    return replace(
        view.marker(Kind.HANDOVER),
        run=one.result.run,
        phase=one.work.phase.value,
        input_digest=one.work.input_digest,
        plan_digest=one.work.plan_digest,
        content_digest=one.work.content_digest,
        code=code or (f"checks:{heads[0]}" if heads else ""),
        seen=one.work.seen,
    )


def _next(view: View, news: Sequence[Feedback]) -> tuple[Dispatch, ...]:
    """Who has something to do now: this ticket again if there is news, what is stacked on it, who waited for it."""
    stacked = [phases.key_of_branch(one.head) for one in view.snapshot.dependents if one.state == "open"]
    onto = tuple(Dispatch(key=key) for key in stacked if key and key != view.key)
    again = (*((Dispatch(key=view.key),) if news else ()), *onto)
    if view.item_id is None or view.plan is None:
        return again
    ready = ready_keys(view, view.plan, finished=frozenset({view.key}))
    return (*again, *(Dispatch(key=key, phase=Phase.IMPLEMENT.value) for key in ready))


def _meanwhile(view: View) -> tuple[Dispatch, ...]:
    """Siblings that need not wait while this ticket does."""
    if view.item_id is None or view.plan is None:
        return ()
    ready = ready_keys(view, view.plan, resting=frozenset({view.key}))
    return tuple(Dispatch(key=key, phase=Phase.IMPLEMENT.value) for key in ready)


def _renew(view: View, one: _Work, pull_request: PullRequest) -> tuple[tuple[Effect, ...], SetDraft]:
    """The pull request's body and readiness, if an earlier run opened it."""
    record = _record(view, one)
    known = view.record
    is_same_run = (
        known is not None and known.input_digest == record.input_digest and known.ledger == record.ledger
    )
    renewed = pull_request.body if is_same_run else _body(view, one, record, existing=pull_request.body)
    wants_draft = bool(one.is_short) or (pull_request.is_draft and view.policy.pull_request.draft)
    edit = () if is_same_run else (EditPullRequest(number=pull_request.number, body=renewed),)
    return edit, SetDraft(number=pull_request.number, draft=wants_draft)


def _answers(one: _Work, pull_request: PullRequest, *, is_pushed: bool) -> tuple[Effect, ...]:
    """Each point answered where it was made: threads in their thread, the rest of the review in one comment."""
    given = {answer.id: answer for answer in one.result.answers}
    threads: list[Effect] = []
    listed: list[tuple[str, PointAnswer]] = []
    for point in one.work.feedback:
        answer = given.get(point.id) or PointAnswer(id=point.id, verdict="done", text="Taken into account.")
        if point.source == "thread":
            threads.append(
                AnswerThread(
                    number=pull_request.number,
                    thread_id=point.thread_id,
                    comment_id=point.comment_id,
                    body=texts.thread_answer(answer),
                )
            )
        elif point.source in ("review", "conversation", "check"):
            listed.append((texts.name_point(point), answer))
    if not listed:
        return tuple(threads)
    # A run that pushed is recognised by the next one; what was not pushed may be answered by another run.
    by = one.result.run if is_pushed else one.work.start[:12]
    token = f"answers-{by}-{one.work.input_digest}"
    return (
        *threads,
        CommentPullRequest(number=pull_request.number, token=token, body=texts.answer_list(listed)),
    )


def _short_code(view: View, one: _Work) -> str:
    """How unfinished work ended, for whoever finishes its hand-over."""
    return one.is_short + (OVER if _labels_over(view, one.result) else "")


def _hand_over_short(
    view: View,
    one: _Work,
    pull_request: PullRequest | None,
    effects: list[Effect],
    late: tuple[Effect, ...] = (),
) -> Decision:
    """Unfinished work: kept as a draft, said, Blocked; a ticket taken from us stays as the person left it."""
    why, remedy = ENDS_SHORT[one.is_short]
    if one.is_short == "budget":
        remedy = f"{_remedy_over(view, one.result)} I go on from the draft."
    detail = f" {one.result.detail}" if one.result.detail else ""
    who = hand(view, "reviewer")
    said = texts.stopped_short(
        why + detail,
        summary=one.result.summary,
        url=pull_request.url if pull_request is not None else "",
        number=pull_request.number if pull_request is not None else 0,
        checks=_check_lines(one.result),
        reviewer="" if one.is_taken else who.mention,
        remedy=remedy,
    )
    marker = replace(_handover_marker(view, one, code=_short_code(view, one)), kind=Kind.FAILURE)
    effects += [
        PutComment(key=view.key, markdown=said, marker=marker),
        *late,
        *progress_end(view, why.lower().rstrip("."), one.entry),
    ]
    if one.is_taken:
        effects.append(ending(view))
    else:
        effects += [
            MoveTo(key=view.key, state=State.BLOCKED),
            ending(
                view,
                assignee=who.assignee,
                state=State.BLOCKED,
                add=_labels_over(view, one.result),
            ),
        ]
    return Decision(
        row="13" if one.is_taken else "15",
        outcome=Outcome.NOTHING if one.is_taken else Outcome.FAILED,
        reason=why,
        phase=one.work.phase,
        effects=tuple(effects),
        exit_code=0 if one.is_taken else 3,
        warning=why if one.is_taken else "",
    )


def _without_pull_request(view: View, one: _Work) -> Decision:
    """Nothing was pushed: no change was needed, or the work was stopped before there was any."""
    if one.is_short:
        return _hand_over_short(view, one, None, [])
    if one.result.outcome == "done" and not one.work.feedback:
        what = "The model said it was done, but changed nothing, even after being told so."
        remedy = "Say more precisely what should change and assign the ticket to me, or move it to Done."
        return failed(
            view,
            row="15",
            what=what,
            meaning="Nothing was pushed.",
            remedy=remedy,
            phase=one.work.phase,
            is_final=False,
            entry=one.entry,
        )
    who = hand(view, "reviewer")
    news = _news(view, one.work)
    said = texts.no_change(
        one.result.summary,
        _check_lines(one.result),
        reviewer=who.mention,
        answers=_named(one.work.feedback, one.result.answers),
    )
    effects = (
        PutComment(key=view.key, markdown=said, marker=_handover_marker(view, one, code="no-change")),
        *progress_end(view, "no change was needed", one.entry),
        MoveTo(key=view.key, state=State.IN_TESTING),
        ending(view, assignee=view.snapshot.me.id if news else who.assignee, state=State.IN_TESTING),
        *_next(view, news),
    )
    return Decision(
        row=one.work.row,
        outcome=Outcome.DONE,
        reason="no change is needed",
        phase=one.work.phase,
        effects=effects,
    )


# --- evidence ---------------------------------------------------------------------------------------------


def from_evidence(view: View) -> Decision | None:
    """Finish the hand-over of a run that pushed this very input and died; ``None`` if there is no such run."""
    commit = view.own_commit
    if commit is None or commit.trailers.get(INPUT_TRAILER) != view.input_digest:
        return None
    run = commit.trailers.get(RUN_TRAILER, "")
    if not run or run in view.consumed_runs or _is_in_ended(view, commit):
        return None
    short, _, over = commit.trailers.get(OUTCOME_TRAILER, "done").partition("+")
    answers = answers_in(commit)
    record = view.record
    phase = (
        Phase.REVISE if record is not None and record.input_digest != view.input_digest else Phase.IMPLEMENT
    )
    base = view.open_pull_request.base if view.open_pull_request is not None else ""
    predecessor = ""
    if not base:
        base, predecessor = _start_again(view)
    work = Work(
        phase=phase,
        key=view.key,
        row="5",
        input_digest=view.input_digest,
        content_digest=view.content_digest,
        plan_digest=view.plan_comment.marker.plan_digest if view.plan_comment is not None else "",
        base=base,
        start=commit.sha,
        expected=view.snapshot.branch.sha if view.snapshot.branch is not None else None,
        predecessor=predecessor,
        feedback=_points_of(view, answers),
        seen=view.taken_into_account(),
        was_mine=view.is_mine,
    )
    checks: tuple[CheckRecord, ...] = checks_in(commit)
    result = Result(
        key=view.key,
        phase=phase,
        run=run,
        input_digest=view.input_digest,
        start=commit.sha,
        outcome="budget" if short == "budget" else "done",
        over="ticket" if over else "",
        summary=summary_in(commit),
        answers=answers,
        checks=checks,
        baseline=tuple(check for check in checks if not check.is_green) if short == "done" else (),
    )
    is_short = short if short in ENDS_SHORT else ""
    if is_short:
        work = _as_far_as_answered(work, answers, is_taken=False)
    return _publish(view, _Work(work=work, result=result, entry=None, is_short=is_short, is_taken=False))


def _is_in_ended(view: View, commit: CommitInfo) -> bool:
    """Whether a pull request that ended already offered this commit; one pushed after its end is new."""
    pull_request, branch = view.pull_request, view.snapshot.branch
    if pull_request is None or pull_request.state == "open" or branch is None:
        return False
    newest_first = [one.sha for one in branch.commits]
    offered = pull_request.head_sha
    return offered not in newest_first or newest_first.index(offered) <= newest_first.index(commit.sha)


def _points_of(view: View, answers: Sequence[PointAnswer]) -> tuple[Feedback, ...]:
    """What the run worked through: every point its commit answers, read or not by now, and what is still unread.

    A check it answered had failed on the head before; one that fails on the run's own head is new.
    """
    answered = {answer.id for answer in answers}
    read = [point for point in view.points if point.id in answered and point not in view.unread]
    checks = [
        Feedback(id=id_, source="check", version="", author=id_.partition(":")[2], text="")
        for id_ in sorted(answered)
        if id_.startswith("check:")
    ]
    return (*read, *view.unread, *checks)


def _start_again(view: View) -> tuple[str, str]:
    start = starting_point(view)
    return (start.base or base_branch(view), start.predecessor)
