"""The hand-over of work: who is told of it, where, and what becomes of the ticket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.core import phases, texts
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.finished_work import (
    ENDS_SHORT,
    FinishedWork,
    body_of,
    check_lines,
    record_of,
    shared,
    short_code,
)
from runner.core.decide.meanwhile import handed_to, is_put_away, left_to
from runner.core.decide.outcomes import (
    labels_over,
    link,
    named_answers,
    news_since,
    remedy_over,
    why_put_away,
)
from runner.core.decide.parts import ending, failed, progress_end
from runner.core.decide.people import Hand, hand
from runner.core.decide.sequence import pass_turn, unfinished_siblings
from runner.core.decide.view import RUN_TRAILER, View
from runner.core.effects import (
    AnswerThread,
    CommentPullRequest,
    Dispatch,
    DressPullRequest,
    EditPullRequest,
    Effect,
    MoveTo,
    PutComment,
    SetDraft,
)
from runner.core.feedback import Feedback
from runner.core.markers import Kind, Marker
from runner.core.model import PullRequest
from runner.core.phases import Phase, State
from runner.core.plan import PointAnswer
from runner.core.pull_request_text import with_record


def hand_over(view: View, one: FinishedWork, pull_request: PullRequest) -> Decision:
    """What is due once the work is pushed and offered; its order is safe wherever a run dies."""
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
        checks=check_lines(one.result),
        answers=named_answers(one.work.feedback, one.result.answers),
        reviewer=who.mention,
        news=bool(news),
        is_new=is_new,
        waits_for_approval=view.waits_for_approval,
        waiting=shared(view).waiting if view.shares else (),
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
    return handed_to(view, view.snapshot.me.id if news else who.assignee)


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
    record = record_of(view, one)
    known = view.record
    is_same_run = (
        known is not None and known.input_digest == record.input_digest and known.ledger == record.ledger
    )
    edit: tuple[Effect, ...] = ()
    if not is_same_run and one.is_asked:
        edit = (EditPullRequest(number=pull_request.number, body=with_record(pull_request.body, record)),)
    elif not is_same_run:
        renewed = body_of(view, one, record, existing=pull_request.body)
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


def _hand_over_short(
    view: View,
    one: FinishedWork,
    pull_request: PullRequest | None,
    effects: list[Effect],
    late: tuple[Effect, ...] = (),
) -> Decision:
    """Unfinished work: kept as a draft, said, Blocked; a ticket taken from us stays as the person left it."""
    why, remedy = _why_short(view, one)
    detail = f" {one.result.detail}" if one.result.detail else ""
    number = pull_request.number if pull_request is not None else 0
    who = hand(view, "reviewer")
    said = texts.stopped_short(
        why + detail,
        summary=one.result.summary,
        url=pull_request.url if pull_request is not None else "",
        number=number,
        checks=check_lines(one.result),
        reviewer="" if one.is_taken else who.mention,
        remedy=remedy,
    )
    marker = replace(
        _handover_marker(view, one, number=number, code=short_code(view, one)), kind=Kind.FAILURE
    )
    effects += [
        PutComment(key=view.key, markdown=said, marker=marker),
        *late,
        *progress_end(view, why.lower().rstrip("."), one.entry),
        *_left_to_people(view, one, who),
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


def _why_short(view: View, one: FinishedWork) -> tuple[str, str]:
    """What happened to unfinished work, and what to do next."""
    why, remedy = ENDS_SHORT[one.is_short]
    if one.is_short == "stopped" and view.has_family_label(phases.STOP):
        label = texts.code(view.policy.label(phases.STOP))
        return why, f"Take the label {label} off and assign the ticket to me to go on from what exists."
    if one.is_taken and is_put_away(view):
        return why_put_away(view)
    if one.is_short == "budget":
        return why, f"{remedy_over(view, one.result)} I go on from the draft."
    return why, remedy


def _left_to_people(view: View, one: FinishedWork, who: Hand) -> tuple[Effect, ...]:
    if one.is_taken:
        return (ending(view, assignee=left_to(view, who.assignee)),)
    return (
        MoveTo(key=view.key, state=State.BLOCKED),
        ending(
            view,
            assignee=handed_to(view, who.assignee),
            state=State.BLOCKED,
            add=labels_over(view, one.result),
        ),
    )


def without_pull_request(view: View, one: FinishedWork) -> Decision:
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
        check_lines(one.result),
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
