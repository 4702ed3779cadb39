"""A plan, or what came instead of one, on its way to the approver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.core import phases, texts
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.large_plans import fitted
from runner.core.decide.meanwhile import is_put_away
from runner.core.decide.outcomes import (
    approve_name,
    ask_people,
    asked_in_revision,
    discarded,
    labels_over,
    named_answers,
    news_since,
    why_no_result,
)
from runner.core.decide.parts import ending, failed, progress_end
from runner.core.decide.people import hand
from runner.core.decide.view import PLAN_BLOCK, View
from runner.core.effects import Dispatch, Effect, MoveTo, PutComment
from runner.core.estimate import estimate
from runner.core.handover import Result, Work
from runner.core.markers import Kind, LedgerEntry
from runner.core.phases import Phase, State
from runner.core.plan import Plan, PointAnswer, compare


def settle_plan(view: View, work: Work, result: Result, entry: LedgerEntry | None) -> Decision:
    """What is due for a planning result: a plan comment, questions, a readiness note or a failure."""
    if not _still_planning(view):
        return discarded(view, "the ticket was moved or taken while the plan was written", Phase.PLAN, entry)
    answer = result.plan
    if result.outcome == "not_ready" and answer is not None:
        return ask_people(view, work, answer.questions, entry, summary=answer.summary, ready=False)
    if result.outcome == "asked" and answer is not None and work.plan is not None and work.feedback:
        asked = asked_in_revision(work.feedback, answer.questions)
        return _publish_plan(view, work, work.plan, asked, entry)
    if result.outcome == "asked" and answer is not None:
        return ask_people(view, work, answer.questions, entry, summary=answer.summary)
    if result.outcome == "done" and answer is not None and answer.items:
        return _publish_plan(
            view, work, Plan(summary=answer.summary, items=answer.items), answer.answers, entry
        )
    what, remedy = why_no_result(view, result)
    return failed(
        view,
        row="15",
        what=what,
        meaning="No plan was written.",
        remedy=remedy,
        phase=Phase.PLAN,
        is_final=False,
        entry=entry,
        labels=labels_over(view, result),
    )


def _still_planning(view: View) -> bool:
    held = view.has_family_label(phases.STOP) or is_put_away(view)
    open_states = (State.BACKLOG, State.PLAN_REVIEW, State.BLOCKED)
    is_unapproved = view.state is State.IN_PROGRESS and view.plan_comment is None
    return view.is_mine and not held and (view.state in open_states or is_unapproved)


def _publish_plan(
    view: View, work: Work, plan: Plan, answers: Sequence[PointAnswer], entry: LedgerEntry | None
) -> Decision:
    who = hand(view, "approver")
    news = news_since(view, work)
    said = _plan_comment(view, work, plan, answers, approver=who.mention, has_news=bool(news))
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


def _plan_comment(
    view: View, work: Work, plan: Plan, answers: Sequence[PointAnswer], *, approver: str, has_news: bool
) -> PutComment:
    """The comment that carries the plan, for people and, in a collapsed block, for us."""
    versions = view.plan_count
    mine = any(
        one.marker.kind is Kind.PLAN and one.marker.run == view.run and one.marker.plan_digest == plan.digest
        for one in view.trail
    )
    return PutComment(
        key=view.key,
        markdown=texts.plan_comment(
            plan,
            version=versions if mine else versions + 1,
            difference=compare(work.plan, plan) if work.plan is not None else None,
            answers=named_answers(work.feedback, answers),
            approve=approve_name(view),
            approver=approver,
            notes=_plan_notes(view),
            news=has_news,
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


def _plan_notes(view: View) -> tuple[str, ...]:
    notes = []
    if view.snapshot.restricted_comments:
        count = view.snapshot.restricted_comments
        notes.append(f"{count} restricted {'comment was' if count == 1 else 'comments were'} not read.")
    for name, reason in view.snapshot.skipped_attachments.items():
        notes.append(f"The attachment {texts.code(name)} was not read: {reason}.")
    return tuple(notes)
