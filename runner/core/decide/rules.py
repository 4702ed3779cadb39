"""The behaviour table without a result: one rule per row, in the order in which they are asked, first match wins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from runner.core import phases, texts
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.evidence import from_evidence
from runner.core.decide.finishing import left_over, said_but_not_done
from runner.core.decide.meanwhile import is_put_away
from runner.core.decide.outcomes import why_put_away
from runner.core.decide.parent_rules import (
    approved,
    ask_for_plan,
    break_down,
    go_on,
    listed,
    plan_ticket,
    revise_plan,
    wake_shared,
)
from runner.core.decide.parts import ending, failed, note, nothing, progress_end, said_once
from runner.core.decide.people import hand
from runner.core.decide.pull_request_rules import finish_merged, finish_reopened, pull_request_ended, restack
from runner.core.decide.sequence import duplicates, pass_turn
from runner.core.decide.view import Marked, View, family_of
from runner.core.decide.work_rules import (
    ask_for_work,
    begin,
    done_sub_task,
    feedback,
    pushed_but_not_told,
    unfinished,
)
from runner.core.effects import EditTicket, MoveTo
from runner.core.markers import Kind
from runner.core.phases import Phase, State

Rule = Callable[[View], Decision | None]


def ignored(view: View) -> Decision | None:
    """Row 10: a person told us to leave this alone."""
    if not view.has_family_label(phases.IGNORE):
        return None
    return nothing("10", f"the label {view.policy.label(phases.IGNORE)} is set")


def halted(view: View) -> Decision | None:
    """A failed or over-budget ticket rests until a person retries it (row 9b)."""
    halting = [name for name in (phases.FAILED, phases.OVER_BUDGET) if view.has_label(name)]
    is_merged = view.last_word is not None and view.last_word.marker.kind is Kind.MERGED
    if not halting or is_merged or retry(view) is not None:
        return None
    return nothing("9b", f"the label {view.policy.label(halting[0])} is set; a person must retry it")


def stopped(view: View) -> Decision | None:
    """Row 13: a person stopped the work."""
    if not view.has_family_label(phases.STOP):
        return None
    return nothing("13", f"the label {view.policy.label(phases.STOP)} is set")


def repeated(view: View) -> Decision | None:
    """A sub-task that repeats an older one of ours closes itself; it is never deleted, and never worked on."""
    if view.item_id is None or view.key not in duplicates(view) or view.pull_request is not None:
        return None
    first = family_of(view.snapshot.family, view.ours)[view.item_id].ticket.key
    effects = (
        note(view, f"duplicate:{first}", texts.duplicate(first)),
        MoveTo(key=view.key, state=State.DONE),
        ending(view, assignee=None, state=State.DONE, add=(view.policy.label(phases.DUPLICATE),)),
    )
    return Decision(
        row="3", outcome=Outcome.DONE, reason=f"it repeats {first}", phase=Phase.BREAKDOWN, effects=effects
    )


def parked(view: View) -> Decision | None:
    """A ticket that waits for a service is left alone until the time its marker names."""
    newest = view.newest(Kind.PROGRESS)
    if not view.has_label(phases.WAITING) or newest is None or view.now >= newest.marker.until:
        return None
    return nothing("15", f"waiting until {newest.marker.until}", outcome=Outcome.WAITING)


def answered(view: View) -> Decision | None:
    """Row 9a: our questions have an answer; the phase that asked goes on."""
    word = view.last_word
    waiting = view.state in (State.BLOCKED, State.IN_PROGRESS) and view.is_mine
    if not waiting or word is None or word.marker.kind is not Kind.QUESTIONS:
        return None
    if not view.unread:
        return _unanswered(view, word)
    # The phase that asked, unless a person made the ticket a direct one, or none, since then.
    if view.is_parent:
        return ask_for_plan(view, "9a")
    return ask_for_work(view, "9a", view.unread) if view.is_work_ticket else None


def _unanswered(view: View, word: Marked) -> Decision:
    """The questions are still open: a ticket that a person gave back all the same returns to who must answer."""
    given = view.assigned_to_me
    reason = "questions are open and nobody answered yet"
    if given is None or given.at <= word.comment.created:
        return nothing("9", reason, outcome=Outcome.WAITING)
    return Decision(
        row="9",
        outcome=Outcome.WAITING,
        reason=reason,
        phase=Phase(word.marker.phase) if word.marker.phase in set(Phase) else None,
        effects=(
            note(view, f"no-answer:{given.at}", texts.no_answer()),
            ending(view, assignee=hand(view, "requester").assignee),
        ),
    )


def retry(view: View) -> Decision | None:
    """Row 9b: a person gave a failed or rejected ticket back; it starts afresh."""
    word = view.last_word
    # A failure whose move to Blocked was refused left only its label.
    rests = view.state is State.BLOCKED or (view.has_label(phases.FAILED) and view.state is not State.DONE)
    if not rests or not view.is_mine or word is None:
        return None
    if word.marker.kind not in (Kind.FAILURE, Kind.CLOSED) or view.assigned_to_me is None:
        return None
    if view.assigned_to_me.at <= max(word.comment.created, word.comment.updated):
        return None
    phase = word.marker.phase
    reset = view.has_label(phases.FAILED) or view.attempts == 0
    if view.is_work_ticket and view.pull_request is not None and view.pull_request.is_merged:
        return finish_merged(view, is_retried=True)
    if phase == Phase.BREAKDOWN:
        return break_down(view, "9b")
    if view.is_parent:
        return _finish_told(view) or ask_for_plan(view, "9b", reset=reset)
    if not view.is_work_ticket:
        return None
    finished = _finish_told(view) or _finish_failed(view)
    return finished or ask_for_work(view, "9b", view.unread, reset=reset)


def _finish_told(view: View) -> Decision | None:
    """A result for this very input was said before the hand-over itself failed: only that is missing, and no model."""
    kind, role, state = (Kind.PLAN, "approver", State.PLAN_REVIEW)
    if view.is_work_ticket:
        kind, role, state = (Kind.HANDOVER, "reviewer", State.IN_TESTING)
    said = view.newest(kind)
    is_same = said is not None and said.marker.input_digest == view.input_digest
    if not is_same or view.unread or view.failed_checks or not view.has_label(phases.FAILED):
        return None
    added = (view.policy.label(phases.PLANNED),) if kind is Kind.PLAN else ()
    end = ending(view, assignee=hand(view, role).assignee, state=state, add=added, drop=(phases.FAILED,))
    return Decision(
        row="9b",
        outcome=Outcome.DONE,
        reason=f"the {kind} comment stands; its hand-over is finished",
        effects=(
            *progress_end(view, "finished after a failure", None),
            MoveTo(key=view.key, state=state),
            end,
            *pass_turn(view, finished=frozenset({view.key})),
        ),
    )


def _finish_failed(view: View) -> Decision | None:
    """The work was pushed before something else failed: what is missing is done without asking the model again.

    The label of a failure gives way to a claim first, so that a crash on the way is seen.
    """
    finished = from_evidence(view)
    if finished is None or not view.has_label(phases.FAILED):
        return finished
    failed, working = (view.policy.label(name) for name in (phases.FAILED, phases.WORKING))
    revived = EditTicket(key=view.key, add=(working,), remove=(failed,))
    return replace(finished, row="9b", effects=(revived,), again=True)


def put_away(view: View) -> Decision | None:
    """Row 13: a run died on a ticket that a person had moved away: it ends as it would have, without a result."""
    if not view.is_work_ticket or not view.is_mine or not view.has_label(phases.WORKING):
        return None
    if not is_put_away(view):
        return None
    what, remedy = why_put_away(view)
    ended = failed(
        view,
        row="13",
        what=what,
        meaning="The run ended without a result. What was pushed before stays.",
        remedy=remedy,
        phase=Phase.IMPLEMENT,
        is_final=False,
    )
    return replace(ended, outcome=Outcome.NOTHING, exit_code=0)


def unmatched(view: View) -> Decision | None:
    """No row applies, but the ticket waits for the runner and a person must act: said once."""
    if not view.is_mine or view.state is State.DONE:
        return None
    if view.ticket.type.level > 0:
        return said_once(
            view,
            "1",
            "epic",
            texts.assign_stories(view.ticket.type.name),
            "only stories and tasks are planned",
        )
    if view.ticket.type.is_sub_task and not view.is_work_ticket:
        text = texts.not_my_sub_task(view.policy.label(phases.DIRECT))
        return said_once(view, "4", "not-mine", text, "the sub-task was not created by the runner")
    if view.state is State.OTHER:
        statuses = phases.statuses_of(view.ticket, view.policy)
        names = [
            names[0]
            for state in (State.BACKLOG, State.IN_PROGRESS)
            if (names := phases.names_for(state, statuses))
        ]
        text = texts.unknown_status(view.ticket.status.name, names)
        return said_once(view, "none", f"status:{view.ticket.status.name}", text, "the status is unknown")
    return _given_at_rest(view)


def _given_at_rest(view: View) -> Decision | None:
    """A person gave the ticket to the runner where people had put it, and no row says how to go on from there."""
    given, statuses = view.assigned_to_me, phases.statuses_of(view.ticket, view.policy)
    is_left = any(
        one.field == "status" and given is not None and one.at > given.at for one in view.ticket.history
    )
    rests = view.state is State.BLOCKED or (view.is_parent and view.state is State.IN_TESTING)
    if given is None or is_left or not rests or phases.names_for(view.state, statuses) is None:
        return None
    begun = view.open_pull_request is not None or view.newest(Kind.BREAKDOWN) is not None
    wanted = (State.IN_TESTING if view.is_work_ticket else State.IN_PROGRESS) if begun else State.BACKLOG
    names = phases.names_for(wanted, statuses) or phases.names_for(State.IN_PROGRESS, statuses) or ("",)
    text = texts.at_rest(view.ticket.status.name, names[0])
    return said_once(view, "none", f"at-rest:{given.at}", text, "nothing is open that a person could answer")


ORDER: tuple[Rule, ...] = (
    ignored,
    halted,
    stopped,
    repeated,
    pull_request_ended,
    finish_reopened,
    restack,
    parked,
    pushed_but_not_told,
    said_but_not_done,
    answered,
    retry,
    listed,
    approved,
    feedback,
    unfinished,
    begin,
    revise_plan,
    plan_ticket,
    done_sub_task,
    go_on,
    put_away,
    left_over,
    wake_shared,
    unmatched,
)


def first_match(view: View) -> Decision:
    """The first rule that applies; nothing if none does."""
    for rule in ORDER:
        decision = rule(view)
        if decision is not None:
            return decision
    who = "the runner" if view.is_mine else "somebody else"
    return nothing(
        "none", f"the ticket is in {view.ticket.status.name}, assigned to {who}; no row of the table applies"
    )
