"""Pieces of every result: who is told what, which points were answered, and ends without a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.core import phases, texts
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.meanwhile import handed_to, is_theirs, left_to
from runner.core.decide.parts import ending, progress_end
from runner.core.decide.people import hand
from runner.core.decide.sequence import pass_turn
from runner.core.decide.view import View
from runner.core.effects import Effect, LinkPullRequest, MoveTo, PutComment
from runner.core.feedback import Feedback
from runner.core.handover import Result, Work
from runner.core.markers import Kind, LedgerEntry, PullRequestRecord
from runner.core.model import PullRequest
from runner.core.phases import Phase, State
from runner.core.plan import MAX_PROSE, PointAnswer
from runner.core.pull_request_text import with_record


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


def discarded(view: View, reason: str, phase: Phase, entry: LedgerEntry | None) -> Decision:
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


def labels_over(view: View, result: Result) -> tuple[str, ...]:
    """The label of a ticket whose own budget, or whose parent's, is spent: it rests until a person takes it off."""
    is_wide = result.outcome == "budget" and result.over in ("ticket", "parent")
    return (view.policy.label(phases.OVER_BUDGET),) if is_wide else ()


def remedy_over(view: View, result: Result) -> str:
    """How to go on after a budget is spent."""
    labels = labels_over(view, result)
    if not labels:
        return "Raise `budget.run` in the configuration or make the ticket smaller, then assign it to me."
    return (
        f"To grant one more budget of the same size, remove the label {texts.code(labels[0])} and assign the "
        f"ticket to me; or raise `budget.{result.over}` in the configuration."
    )


def why_no_result(view: View, result: Result) -> tuple[str, str]:
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
            remedy_over(view, result),
        ),
        "stopped": (
            "The run was stopped before there was a result.",
            "Assign the ticket to me to start again.",
        ),
    }
    fallback = (f"The model ended without a result.{detail}", "Assign the ticket to me to try again.")
    return table.get(result.outcome, fallback)


def why_put_away(view: View) -> tuple[str, str]:
    """Why work ended on a ticket that a person moved away, and how to go on from what exists."""
    goes_on = view.state in (State.BACKLOG, State.BLOCKED)
    return texts.put_away(view.ticket.status.name, first="" if goes_on else approve_name(view))


def named_answers(
    points: Sequence[Feedback], answers: Sequence[PointAnswer]
) -> tuple[tuple[str, PointAnswer], ...]:
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


ASKED_SUMMARY = "Nothing was changed yet: there is a question first."


def asked_in_revision(
    points: Sequence[Feedback], questions: Sequence[str], answers: Sequence[PointAnswer] = ()
) -> tuple[PointAnswer, ...]:
    """Row 8: questions of a revision as answers to its open points: said at the first one, for which the others wait."""
    given = {answer.id for answer in answers}
    asked = [point for point in points if point.id not in given] or list(points)
    words = [" ".join(questions)[:MAX_PROSE]] + ["This waits for the answer to my other question."] * (
        len(asked) - 1
    )
    put = [
        PointAnswer(id=point.id, verdict="question", text=text)
        for point, text in zip(asked, words, strict=True)
    ]
    kept = [answer for answer in answers if answer.id not in {one.id for one in put}]
    return (*kept, *put)


def news_since(view: View, work: Work) -> tuple[Feedback, ...]:
    """Points that arrived while the model worked."""
    known = view.seen.union(work.seen)
    return tuple(point for point in view.points if not known.covers(point.id, point.version))


def ask_people(
    view: View,
    work: Work,
    asked: Sequence[str],
    entry: LedgerEntry | None,
    *,
    summary: str = "",
    ready: bool = True,
    discarded: bool = False,
) -> Decision:
    """Row 8: questions to the requester; the ticket is Blocked until they are answered, unless people put it elsewhere."""
    who = hand(view, "requester")
    text = (
        texts.questions(asked, requester=who.mention, discarded=discarded, summary=summary)
        if ready
        else texts.not_ready(summary, asked, requester=who.mention)
    )
    marker = replace(
        view.marker(Kind.QUESTIONS), phase=work.phase.value, input_digest=work.input_digest, seen=work.seen
    )
    last: tuple[Effect, ...] = (
        MoveTo(key=view.key, state=State.BLOCKED),
        ending(view, assignee=handed_to(view, who.assignee), state=State.BLOCKED),
    )
    if is_theirs(view):
        last = (ending(view, assignee=left_to(view, who.assignee)),)
    effects = (
        PutComment(key=view.key, markdown=text, marker=marker),
        *progress_end(view, "waiting for an answer", entry),
        *last,
        *pass_turn(view, resting=frozenset({view.key})),
    )
    return Decision(
        row="8",
        outcome=Outcome.ASKED,
        reason="one open question" if len(asked) == 1 else f"{len(asked)} open questions",
        phase=work.phase,
        effects=effects,
    )
