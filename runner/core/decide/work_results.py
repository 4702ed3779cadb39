"""Finished or unfinished work on its way to the reviewer: pushed, then opened, then pointed to and handed over.

The same functions serve a fresh result and the evidence that an earlier run left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.finished_work import ENDS_SHORT, FinishedWork, message_of, opening
from runner.core.decide.finishing import ended_by_another
from runner.core.decide.handing_over import hand_over, without_pull_request
from runner.core.decide.meanwhile import is_theirs
from runner.core.decide.outcomes import (
    ASKED_SUMMARY,
    ask_people,
    asked_in_revision,
    discarded,
    labels_over,
    why_no_result,
)
from runner.core.decide.parts import failed, progress_end
from runner.core.decide.pull_request_rules import pull_request_ended
from runner.core.decide.view import RUN_TRAILER, View
from runner.core.effects import Dispatch, Effect, Push
from runner.core.handover import Delivered, Result, Work
from runner.core.markers import LedgerEntry
from runner.core.phases import Phase, State
from runner.core.plan import PointAnswer


def settle_work(view: View, delivered: Delivered, entry: LedgerEntry | None) -> Decision:
    """What is due for implemented or revised work, by outcome and by what people did meanwhile."""
    work, result = delivered.work, delivered.result
    if view.state is State.DONE:
        return discarded(view, "the ticket was moved to Done meanwhile", work.phase, entry)
    other = ended_by_another(view, entry) if work.was_mine else None
    other = other or _ended_meanwhile(view, work, entry)
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


def _ended_meanwhile(view: View, work: Work, entry: LedgerEntry | None) -> Decision | None:
    """Row 14 comes first: a pull request that was merged or closed while the model worked is not offered anew.

    One that only lost its base is, and the result goes there.
    """
    ended = pull_request_ended(view)
    if ended is None or ended.again:
        return ended
    reason = "the pull request was merged or closed meanwhile"
    if is_theirs(view):
        return discarded(view, reason, work.phase, entry)
    told = progress_end(view, f"discarded, because {reason}", entry)
    return replace(ended, effects=(*told, *ended.effects), warning=f"Discarded: {reason}.")


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
                message=message_of(view, one),
            ),
        )
    has_commits = view.own_commit is not None
    pull_request = view.open_pull_request
    if pull_request is None and has_commits:
        return _step(one, "the pull request is opened", opening(view, one))
    if pull_request is None:
        return without_pull_request(view, one)
    return hand_over(view, one, pull_request)


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
