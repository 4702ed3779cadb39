"""Row 15: what is due when a run failed, by the kind of failure."""

from __future__ import annotations

from dataclasses import replace

from runner.core import phases, texts
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.finishing import said_but_not_done
from runner.core.decide.meanwhile import is_theirs
from runner.core.decide.parts import ending, failed, nothing, park, progress_end
from runner.core.decide.people import hand
from runner.core.decide.rules import halted, ignored, stopped
from runner.core.decide.view import View
from runner.core.effects import ATTEMPT, Dispatch, Effect, PutComment
from runner.core.markers import Kind
from runner.core.phases import Phase, State
from runner.errors import ConfigError, Conflict, GaveUp, MovedUnderUs, NotFound, RunnerError, Unavailable

NOTHING_LOST = "What was done before stands; nothing is half-written."


def on_error(view: View, error: RunnerError | None, phase: Phase | None) -> Decision:
    """What to tell the ticket. ``None`` stands for an end without a word: a bug, or a run that was killed.

    A ticket that is not ours to speak on (somebody else's, no claim of ours on it) is left alone, and so is one
    that a person or a failure put to rest, or that is Done, where only the claim goes. What the run cost before it
    failed is in the view (``bill``), so that whatever is written about its progress holds it.
    """
    is_claimed = view.has_label(phases.WORKING)
    is_ours = view.is_mine or is_claimed or _is_after_review(view)
    rests = ignored(view) or (None if is_claimed else halted(view) or stopped(view))
    if not is_ours or rests is not None:
        return _untold(error)
    if view.state is State.DONE:
        tidied = (*progress_end(view, "failed", None), ending(view)) if is_claimed else ()
        return replace(_untold(error), effects=tidied)
    match error:
        case Unavailable():
            return _park(view, error, phase)
        case MovedUnderUs():
            return _moved(view, error, phase)
        case ConfigError() | NotFound() | GaveUp() | Conflict():
            is_final = isinstance(error, (ConfigError, NotFound))
            return failed(
                view,
                row="15",
                what=error.summary,
                meaning="Repeating the run would change nothing. " + NOTHING_LOST
                if is_final
                else NOTHING_LOST,
                remedy=texts.then_assign(error.remedy),
                phase=phase,
                exit_code=error.exit_code,
                is_final=is_final,
            )
        case None:
            return said_but_not_done(view) or _try_again(view, None, phase)
        case _:
            return _try_again(view, error, phase)


def _untold(error: RunnerError | None) -> Decision:
    """The ticket has nothing to do with it; the log and the exit code say it, and the sweep looks again."""
    reason = error.summary if error is not None else "the run ended without a word"
    if isinstance(error, Unavailable | MovedUnderUs):
        return nothing("15", reason, outcome=Outcome.WAITING, warning=reason)
    code = error.exit_code if error is not None else 1
    remedy = error.remedy if error is not None else ""
    return Decision(row="15", outcome=Outcome.FAILED, reason=reason, remedy=remedy, exit_code=code)


def _is_after_review(view: View) -> bool:
    """Whether a ticket that its reviewer has is followed by us: its pull request ended, and it is not Done."""
    pull_request = view.pull_request
    is_over = pull_request is not None and pull_request.state == "closed"
    return view.is_work_ticket and is_over and view.state is State.IN_TESTING


def _park(view: View, error: Unavailable, phase: Phase | None) -> Decision:
    """Parked once: a ticket that waits already is not told again while the service stays away."""
    newest = view.newest(Kind.PROGRESS)
    is_parked = view.has_label(phases.WAITING) and newest is not None and bool(newest.marker.until)
    if is_parked and not view.has_label(phases.WORKING):
        return nothing("15", error.summary, outcome=Outcome.WAITING, warning=error.summary)
    # A failed ticket that a person gave back is about to start afresh; the sweep passes failed ones by.
    return park(view, error.summary, retry_at=error.retry_at, phase=phase, drop=(phases.FAILED,))


def _moved(view: View, error: MovedUnderUs, phase: Phase | None) -> Decision:
    """Somebody was faster: they win, and the ticket is looked at again."""
    effects: tuple[Effect, ...] = (
        *progress_end(view, f"started again, because {error.summary}", None),
        Dispatch(key=view.key),
    )
    return Decision(
        row="13",
        outcome=Outcome.NOTHING,
        reason=error.summary,
        phase=phase,
        effects=effects,
        warning=error.summary,
    )


def _try_again(view: View, error: RunnerError | None, phase: Phase | None) -> Decision:
    """A failure that may pass: the one failure comment is edited and the key dispatched, until attempts run out.

    On a ticket that people took in hand meanwhile nothing starts by itself.
    """
    what = (
        error.summary
        if error is not None
        else "The run ended without a result; that is an error of this runner or of its host."
    )
    remedy = error.remedy if error is not None else ""
    attempt = _attempt(view)
    if attempt >= view.policy.caps.attempts or is_theirs(view):
        return failed(
            view,
            row="15",
            what=what,
            meaning=NOTHING_LOST,
            remedy=texts.then_assign(remedy),
            phase=phase,
            exit_code=1,
        )
    said = PutComment(
        key=view.key,
        markdown=texts.failure(
            what,
            meaning=f"{NOTHING_LOST} This was attempt {attempt} of {view.policy.caps.attempts}; the next one starts by itself.",
            remedy="Nothing for now.",
            url=view.run_url,
            whom=hand(view, "reviewer").mention if view.is_work_ticket else "",
        ),
        marker=replace(
            view.marker(Kind.FAILURE),
            phase=phase.value if phase is not None else "",
            code=f"{ATTEMPT}{attempt}",
        ),
    )
    billed = progress_end(view, "failed", None) if view.bill is not None else ()
    counted = view.policy.label(f"try-{attempt}")
    end = ending(view, add=(counted,))
    end = replace(end, remove=tuple(one for one in end.remove if one != counted))
    return Decision(
        row="15",
        outcome=Outcome.FAILED,
        reason=what,
        phase=phase,
        effects=(said, *billed, end, Dispatch(key=view.key)),
        exit_code=1,
    )


def _attempt(view: View) -> int:
    """Which attempt failed: its claim counted it; one that ended before its claim is counted now."""
    is_counted = view.has_label(phases.WORKING) and view.attempts > 0
    return view.attempts if is_counted else view.attempts + 1
