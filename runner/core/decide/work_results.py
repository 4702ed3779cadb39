"""Finished or unfinished work on its way to the reviewer: pushed, then opened, then pointed to and handed over.

The same functions serve a fresh result and the evidence that an earlier run left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runner.core import phases, texts
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.finishing import ended_by_another
from runner.core.decide.meanwhile import is_put_away, is_taken, is_theirs, left_to
from runner.core.decide.outcomes import (
    ASKED_SUMMARY,
    ask_people,
    asked_in_revision,
    discarded,
    labels_over,
    link,
    named_answers,
    news_since,
    remedy_over,
    why_no_result,
    why_put_away,
)
from runner.core.decide.parts import OVER, ending, failed, progress_end
from runner.core.decide.people import Hand, hand
from runner.core.decide.sequence import base_branch, pass_turn, unfinished_siblings
from runner.core.decide.view import (
    INPUT_TRAILER,
    OUTCOME_TRAILER,
    RUN_TRAILER,
    View,
    family_of,
)
from runner.core.effects import (
    AnswerThread,
    CommentPullRequest,
    Dispatch,
    DressPullRequest,
    EditPullRequest,
    Effect,
    MoveTo,
    OpenPullRequest,
    Push,
    PutComment,
    SetDraft,
)
from runner.core.feedback import Feedback
from runner.core.handover import Delivered, Result, Work
from runner.core.markers import Kind, LedgerEntry, Marker, PullRequestRecord, merge_ledgers
from runner.core.model import PullRequest
from runner.core.phases import Phase, State
from runner.core.plan import PointAnswer
from runner.core.pull_request_text import (
    Piece,
    Shared,
    body,
    commit_message,
    title,
    with_record,
)
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


def settle_work(view: View, delivered: Delivered, entry: LedgerEntry | None) -> Decision:
    """What is due for implemented or revised work, by outcome and by what people did meanwhile."""
    work, result = delivered.work, delivered.result
    if view.state is State.DONE:
        return discarded(view, "the ticket was moved to Done meanwhile", work.phase, entry)
    other = ended_by_another(view, entry) if work.was_mine else None
    if other is not None:
        return other
    is_asked = result.outcome == "asked"
    if is_asked:
        if work.phase is not Phase.REVISE or not work.feedback:
            return ask_people(view, work, result.questions, entry, discarded=bool(result.changes))
        result = _with_questions(work, result)
    if result.outcome in ("refused", "invalid") or (
        not result.changes and result.outcome in ("budget", "truncated", "partial")
    ):
        what, remedy = why_no_result(view, result)
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
            labels=labels_over(view, result),
        )
    is_taken = is_theirs(view) or (work.was_mine and not view.is_mine)
    short = "stopped" if is_taken else _falls_short(result)
    if short:
        work = as_far_as_answered(work, result.answers, is_taken=is_taken)
    one = FinishedWork(
        work=work, result=result, entry=entry, is_short=short, is_taken=is_taken, is_asked=is_asked
    )
    return publish_work(view, one)


def _with_questions(work: Work, result: Result) -> Result:
    """A revision that ended in questions, as one that answers with them: its edits are discarded, the head stays."""
    discarded = " The edits made so far were discarded." if result.changes else ""
    told = {
        "outcome": "done",
        "summary": ASKED_SUMMARY + discarded,
        "answers": asked_in_revision(work.feedback, result.questions),
        "changes": (),
        "criteria": (),
        "warnings": (),
        "checks": result.baseline,
    }
    return result.model_copy(update=told)


def as_far_as_answered(work: Work, answers: Sequence[PointAnswer], *, is_taken: bool) -> Work:
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


def publish_work(view: View, one: FinishedWork) -> Decision:
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
                branch=view.branch_name,
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


def _step(one: FinishedWork, reason: str, effect: Effect) -> Decision:
    return Decision(
        row=one.work.row,
        outcome=Outcome.DONE,
        reason=reason,
        phase=one.work.phase,
        effects=(effect,),
        again=True,
    )


def _branch_moved(view: View, one: FinishedWork) -> Decision:
    """A person pushed while the model worked: their commit is built upon, so the work starts again from there."""
    reason = f"the branch {view.branch_name} moved while the model worked"
    effects = (*progress_end(view, f"started again, because {reason}", one.entry), Dispatch(key=view.key))
    return Decision(
        row="13",
        outcome=Outcome.NOTHING,
        reason=reason,
        phase=one.work.phase,
        effects=effects,
        warning=f"Discarded: {reason}.",
    )


def _message(view: View, one: FinishedWork) -> str:
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


def _record(view: View, one: FinishedWork) -> PullRequestRecord:
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


def _open(view: View, one: FinishedWork) -> OpenPullRequest:
    record = _record(view, one)
    return OpenPullRequest(
        head=view.branch_name,
        base=record.base,
        title=_title(view),
        body=_body(view, one, record, existing=""),
        draft=bool(one.is_short) or view.policy.pull_request.draft,
        labels=view.policy.pull_request.labels,
        reviewers=() if one.is_short else view.policy.pull_request.reviewers,
    )


def _body(view: View, one: FinishedWork, record: PullRequestRecord, *, existing: str) -> str:
    item = view.item
    piece = Piece(
        summary=one.result.summary or view.ticket.summary,
        checks=_check_lines(one.result),
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
        shared=_shared(view) if view.shares else None,
    )


def _shared(view: View) -> Shared:
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


def _check_lines(result: Result) -> tuple[texts.CheckLine, ...]:
    before = {check.id: check.is_green for check in result.baseline}
    return tuple(
        texts.CheckLine(id=one.id, is_green=one.is_green, was_green=before.get(one.id), seconds=one.seconds)
        for one in result.checks
    )


def _hand_over(view: View, one: FinishedWork, pull_request: PullRequest) -> Decision:
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
    news = news_since(view, one.work)
    is_new = one.work.phase is Phase.IMPLEMENT
    said = texts.handover(
        url=pull_request.url,
        number=pull_request.number,
        summary=one.result.summary,
        checks=_check_lines(one.result),
        answers=named_answers(one.work.feedback, one.result.answers),
        reviewer=who.mention,
        news=bool(news),
        is_new=is_new,
        waits_for_approval=view.waits_for_approval,
        waiting=_shared(view).waiting if view.shares else (),
    )
    effects += [
        PutComment(
            key=view.key, markdown=said, marker=_handover_marker(view, one, number=pull_request.number)
        ),
        *late,
        *progress_end(view, "handed over for review", one.entry),
        MoveTo(key=view.key, state=State.IN_TESTING),
        ending(view, assignee=_reviewer(view, who, news), state=State.IN_TESTING),
        *_next(view, news),
    ]
    reason = f"pull request #{pull_request.number} is {'ready for review' if is_new else 'updated'}"
    return Decision(
        row=one.work.row, outcome=Outcome.DONE, reason=reason, phase=one.work.phase, effects=tuple(effects)
    )


def _reviewer(view: View, who: Hand, news: Sequence[Feedback]) -> str | None:
    """Who gets finished work: the runner again if there is news, else its reviewer, or whom a person gave it to meanwhile."""
    if is_taken(view):
        return "keep"
    return view.snapshot.me.id if news else who.assignee


def _handover_marker(view: View, one: FinishedWork, *, number: int, code: str = "") -> Marker:
    """The marker of a result, which tells hand-overs of one input apart.

    Failed checks are no part of the input digest, so the head they failed on tells; work that was rejected and
    given back without a word is offered in another pull request, so its number tells.
    """
    heads = [point.version for point in one.work.feedback if point.source == "check"]
    return replace(
        view.marker(Kind.HANDOVER),
        run=one.result.run,
        phase=one.work.phase.value,
        input_digest=one.work.input_digest,
        plan_digest=one.work.plan_digest,
        content_digest=one.work.content_digest,
        number=number,
        code=code or (f"checks:{heads[0]}" if heads else ""),
        seen=one.work.seen,
    )


def _next(view: View, news: Sequence[Feedback]) -> tuple[Dispatch, ...]:
    """Who has something to do now: this ticket again if there is news, what is stacked on it, who waited for it."""
    stacked = [view.key_of(one.head) for one in view.snapshot.dependents if one.state == "open"]
    onto = tuple(Dispatch(key=key) for key in stacked if key and key != view.key)
    again = (*((Dispatch(key=view.key),) if news else ()), *onto)
    return (*again, *pass_turn(view, finished=frozenset({view.key})))


def _renew(view: View, one: FinishedWork, pull_request: PullRequest) -> tuple[tuple[Effect, ...], SetDraft]:
    """The pull request's body and readiness, if an earlier run opened it."""
    record = _record(view, one)
    known = view.record
    is_same_run = (
        known is not None and known.input_digest == record.input_digest and known.ledger == record.ledger
    )
    edit: tuple[Effect, ...] = ()
    if not is_same_run and one.is_asked:
        edit = (EditPullRequest(number=pull_request.number, body=with_record(pull_request.body, record)),)
    elif not is_same_run:
        renewed = _body(view, one, record, existing=pull_request.body)
        edit = (EditPullRequest(number=pull_request.number, body=renewed),)
    stays_draft = view.policy.pull_request.draft or unfinished_siblings(view)
    wants_draft = bool(one.is_short) or (pull_request.is_draft and (one.is_asked or bool(stays_draft)))
    return edit, SetDraft(number=pull_request.number, draft=wants_draft)


def _answers(one: FinishedWork, pull_request: PullRequest, *, is_pushed: bool) -> tuple[Effect, ...]:
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
    topic = f"answers-{by}-{one.work.input_digest}"
    return (
        *threads,
        CommentPullRequest(number=pull_request.number, topic=topic, body=texts.answer_list(listed)),
    )


def _short_code(view: View, one: FinishedWork) -> str:
    """How unfinished work ended, for whoever finishes its hand-over."""
    return one.is_short + (OVER if labels_over(view, one.result) else "")


def _hand_over_short(
    view: View,
    one: FinishedWork,
    pull_request: PullRequest | None,
    effects: list[Effect],
    late: tuple[Effect, ...] = (),
) -> Decision:
    """Unfinished work: kept as a draft, said, Blocked; a ticket taken from us stays as the person left it."""
    why, remedy = ENDS_SHORT[one.is_short]
    if one.is_short == "budget":
        remedy = f"{remedy_over(view, one.result)} I go on from the draft."
    if one.is_short == "stopped" and view.has_family_label(phases.STOP):
        label = texts.code(view.policy.label(phases.STOP))
        remedy = f"Take the label {label} off and assign the ticket to me to go on from what exists."
    elif one.is_taken and is_put_away(view):
        why, remedy = why_put_away(view)
    detail = f" {one.result.detail}" if one.result.detail else ""
    number = pull_request.number if pull_request is not None else 0
    who = hand(view, "reviewer")
    said = texts.stopped_short(
        why + detail,
        summary=one.result.summary,
        url=pull_request.url if pull_request is not None else "",
        number=number,
        checks=_check_lines(one.result),
        reviewer="" if one.is_taken else who.mention,
        remedy=remedy,
    )
    marker = replace(
        _handover_marker(view, one, number=number, code=_short_code(view, one)), kind=Kind.FAILURE
    )
    effects += [
        PutComment(key=view.key, markdown=said, marker=marker),
        *late,
        *progress_end(view, why.lower().rstrip("."), one.entry),
    ]
    if one.is_taken:
        effects.append(ending(view, assignee=left_to(view, who.assignee)))
    else:
        effects += [
            MoveTo(key=view.key, state=State.BLOCKED),
            ending(
                view,
                assignee=who.assignee,
                state=State.BLOCKED,
                add=labels_over(view, one.result),
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


def _without_pull_request(view: View, one: FinishedWork) -> Decision:
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
    news = news_since(view, one.work)
    said = texts.no_change(
        one.result.summary,
        _check_lines(one.result),
        reviewer=who.mention,
        answers=named_answers(one.work.feedback, one.result.answers),
    )
    number = view.open_pull_request.number if view.open_pull_request is not None else 0
    marker = _handover_marker(view, one, number=number, code="no-change")
    effects = (
        PutComment(key=view.key, markdown=said, marker=marker),
        *progress_end(view, "no change was needed", one.entry),
        MoveTo(key=view.key, state=State.IN_TESTING),
        ending(view, assignee=_reviewer(view, who, news), state=State.IN_TESTING),
        *_next(view, news),
    )
    return Decision(
        row=one.work.row,
        outcome=Outcome.DONE,
        reason="no change is needed",
        phase=one.work.phase,
        effects=effects,
    )
