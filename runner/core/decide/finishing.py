"""A run said how it ended and died before it handed the ticket over: that is finished, and nobody is asked again.

The claim's labels stand until the commit point, so a comment that ended a run together with such a label, and
no person's move since, is an end without its hand-over.
"""

from __future__ import annotations

from runner.core import phases
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.meanwhile import is_theirs, left_to
from runner.core.decide.parts import FINAL, OVER, ending, labels_of_work, progress_end
from runner.core.decide.people import hand
from runner.core.decide.sequence import pass_turn
from runner.core.decide.view import Marked, View
from runner.core.effects import Effect, MoveTo
from runner.core.markers import Kind, LedgerEntry
from runner.core.phases import Phase, State


def said_but_not_done(view: View) -> Decision | None:
    """Finish the hand-over after the comment that was its last word."""
    word = view.last_word
    # A service that went away between the comment and the hand-over left the ticket waiting instead.
    is_claimed = view.has_label(phases.WORKING) or view.has_label(phases.WAITING) or view.attempts > 0
    # What ends without a claim, such as a missing base branch, is seen by its status and its assignee.
    is_half_blocked = view.is_mine and view.state is State.BLOCKED
    if word is None or is_touched_since(view, word):
        return None
    if not (is_claimed or is_half_blocked or _is_moved_back(view, word)):
        return None
    found = _missing(view, word)
    if found is None or (view.state is found[1] and _is_claimed_since(view, word)):
        return None
    role, state, outcome = found
    return _hand_over(view, word, role, state, outcome)


def _is_claimed_since(view: View, word: Marked) -> bool:
    """Whether another run began after this comment and did not end: the claim that stands is not the comment's."""
    claim = view.newest(Kind.PROGRESS)
    if claim is None or not claim.marker.phase or claim.marker.run == word.marker.run:
        return False
    return claim.comment.updated > word.comment.updated


def _missing(view: View, word: Marked) -> tuple[str, State, Outcome] | None:
    """Who gets the ticket, in which state, and how the run ended that said this."""
    match word.marker.kind:
        case Kind.QUESTIONS if not view.unread:
            return "requester", State.BLOCKED, Outcome.ASKED
        case Kind.FAILURE:
            return "reviewer" if view.is_work_ticket else "requester", State.BLOCKED, Outcome.FAILED
        case Kind.PLAN if view.is_parent and not view.unread:
            return "approver", State.PLAN_REVIEW, Outcome.DONE
        case Kind.HANDOVER if view.is_work_ticket and not view.unread and not view.failed_checks:
            return "reviewer", State.IN_TESTING, Outcome.DONE
        case _:
            return None


def ended_by_another(view: View, entry: LedgerEntry | None) -> Decision | None:
    """Another run of ours handed the ticket over while this one worked: its word stands, and this result is not used.

    The claim of this run may have come after that hand-over and moved the ticket back.
    """
    word = view.last_word
    if view.is_mine or word is None or not _is_handed_over(view):
        return None
    reason = "another run has handed the ticket over"
    told = progress_end(view, f"discarded, because {reason}", entry)
    found = None if is_touched_since(view, word) else _missing(view, word)
    rest = (ending(view),) if found is None else _last_steps(view, word, found[0], found[1])
    return Decision(
        row="13",
        outcome=Outcome.NOTHING,
        reason=reason,
        effects=(*told, *rest),
        warning=f"Discarded: {reason}.",
    )


def _is_moved_back(view: View, word: Marked) -> bool:
    """Whether another run's claim moved the ticket into work after it was handed over: the two overlapped.

    Claims for a plan move nothing.
    """
    if not view.is_work_ticket or view.state is not State.IN_PROGRESS:
        return False
    said = max(word.comment.created, word.comment.updated)
    moves = [one for one in view.ticket.history if one.field == "status" and one.at > said]
    return bool(moves) and moves[-1].author.id in view.ours


def _is_handed_over(view: View) -> bool:
    """Whether it was the runner itself that last gave the ticket to somebody else."""
    assignments = [one for one in view.ticket.history if one.field == "assignee"]
    return bool(assignments) and assignments[-1].author.id in view.ours


def is_touched_since(view: View, word: Marked) -> bool:
    """Whether a person moved or assigned the ticket after this comment: then it stays as they left it."""
    said = max(word.comment.created, word.comment.updated)
    return any(
        change.at > said and change.field in ("status", "assignee") and change.author.id not in view.ours
        for change in view.ticket.history
    )


def _hand_over(view: View, word: Marked, role: str, state: State, outcome: Outcome) -> Decision:
    phase = Phase(word.marker.phase) if word.marker.phase in set(Phase) else None
    effects: tuple[Effect, ...] = (ending(view),)
    if is_theirs(view):
        effects = (ending(view, assignee=left_to(view, hand(view, role).assignee)),)
    elif _is_ours_to_move(view, word):
        effects = _steps(view, word, role, state)
    return Decision(
        row="5",
        outcome=outcome,
        reason=f"the {word.marker.kind} comment stands; its hand-over is finished",
        phase=phase,
        effects=effects,
    )


def _is_ours_to_move(view: View, word: Marked) -> bool:
    """A ticket that its reviewer held all the time is moved on, too; one that was taken from us is not."""
    if view.is_mine or (word.marker.kind is Kind.FAILURE and word.marker.code != "stopped"):
        return True
    assignments = [one for one in view.ticket.history if one.field == "assignee"]
    was_ours = bool(assignments) and assignments[-1].old_id == view.snapshot.me.id
    return bool(assignments) and (not was_ours or _is_handed_over(view))


def _steps(view: View, word: Marked, role: str, state: State) -> tuple[Effect, ...]:
    told = progress_end(view, "finished after an interruption", None)
    siblings = pass_turn(view, finished=frozenset({view.key})) if word.marker.kind is Kind.HANDOVER else ()
    return (*told, *_last_steps(view, word, role, state), *siblings)


def _last_steps(view: View, word: Marked, role: str, state: State) -> tuple[Effect, ...]:
    """Status, then the commit point."""
    is_final = word.marker.kind is Kind.FAILURE and word.marker.code == FINAL
    added = (view.policy.label(phases.FAILED),) if is_final else ()
    if word.marker.code.endswith(OVER):
        added = (view.policy.label(phases.OVER_BUDGET),)
    if word.marker.kind is Kind.PLAN:
        added = (view.policy.label(phases.PLANNED),)
    is_failure = word.marker.kind is Kind.FAILURE
    return (
        MoveTo(key=view.key, state=state, is_optional=is_failure),
        ending(view, assignee=hand(view, role).assignee, state=state, add=added),
    )


def left_over(view: View) -> Decision | None:
    """Labels of a run where nothing is due any more: it died, or a person's label forbade it every write. They go."""
    if not labels_of_work(view):
        return None
    return Decision(
        row="13",
        outcome=Outcome.NOTHING,
        reason="nothing is due on this ticket; only labels of the last run were left",
        effects=(ending(view),),
    )
