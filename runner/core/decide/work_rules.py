"""Rows 4, 5, 6, 12 and the sub-task's part of 7: work starts, goes on, is revised, and wakes its parent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from runner.core import phases, texts
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.evidence import from_evidence
from runner.core.decide.finishing import is_touched_since
from runner.core.decide.parts import claim, ending, exhausted, labels_of_work, no_base, note, nothing
from runner.core.decide.people import hand
from runner.core.decide.sequence import (
    Start,
    base_branch,
    busy_siblings,
    claimed_siblings,
    starting_point,
)
from runner.core.decide.view import View
from runner.core.effects import Dispatch, Effect, MoveTo, PutComment
from runner.core.feedback import Feedback
from runner.core.handover import Work
from runner.core.markers import Kind
from runner.core.phases import Phase, State


def pushed_but_not_told(view: View) -> Decision | None:
    """Row 5: a run pushed its work for this very input and died before it said so: what it left is handed over.

    A failed ticket is row 9b's, which takes the label off first.
    """
    if not view.is_work_ticket or view.state is State.DONE or view.has_label(phases.FAILED):
        return None
    claim_said = view.newest(Kind.PROGRESS)
    # A run whose push had no answer left the ticket waiting, and what it pushed may be there.
    is_claimed = view.has_label(phases.WORKING) or view.attempts > 0 or view.has_label(phases.WAITING)
    is_left = is_claimed and claim_said is not None and not is_touched_since(view, claim_said)
    return from_evidence(view) if view.is_mine or is_left else None


def feedback(view: View) -> Decision | None:
    """Row 6: feedback on handed-over work, from Jira, from review or from a failed check."""
    if not view.is_work_ticket or view.state not in (State.IN_TESTING, State.IN_PROGRESS):
        return None
    pull_request = view.open_pull_request
    is_handed_over = view.state is State.IN_TESTING
    if pull_request is None and not (is_handed_over and view.is_mine):
        return None
    if view.is_asked_to_revise or view.failed_checks:
        # Another run may have pushed its answer to this very feedback while the ticket was being read.
        return from_evidence(view) or ask_for_work(view, "6", (*view.unread, *view.failed_checks))
    if is_handed_over and view.is_mine:
        who = hand(view, "reviewer")
        at = view.assigned_to_me.at if view.assigned_to_me is not None else ""
        effects = (note(view, f"nothing-new:{at}", texts.no_feedback()), ending(view, assignee=who.assignee))
        return Decision(
            row="6",
            outcome=Outcome.WAITING,
            reason="there is no unread feedback",
            phase=Phase.REVISE,
            effects=effects,
        )
    return None


def unfinished(view: View) -> Decision | None:
    """Row 5: a work ticket In Progress whose run died goes on from what exists."""
    if not view.is_work_ticket or view.state is not State.IN_PROGRESS or not view.is_mine:
        return None
    return _parent_rests(view, "5") or ask_for_work(view, "5", view.unread)


def begin(view: View) -> Decision | None:
    """Rows 4 and 12: a work ticket in the backlog starts when its predecessors are handed over."""
    if not view.is_work_ticket or view.state is not State.BACKLOG or not view.is_mine:
        return None
    row = "12" if view.is_direct else "4"
    resting = _parent_rests(view, row)
    if resting is not None:
        return resting
    busy = busy_siblings(view)
    if view.item_id is not None and len(busy) >= view.policy.parallel:
        most = (
            "a shared branch takes one at a time"
            if view.shares
            else f"max_parallel is {view.policy.parallel}"
        )
        return nothing(row, f"{', '.join(busy)} is in work; {most}", outcome=Outcome.WAITING)
    return ask_for_work(view, row, view.unread)


def _parent_rests(view: View, row: str) -> Decision | None:
    parent = view.snapshot.parent
    if view.item_id is None or parent is None:
        return None
    if phases.state_of(parent, view.policy) is State.IN_PROGRESS:
        return None
    return nothing(row, f"the parent {parent.key} is not In Progress", outcome=Outcome.WAITING)


def ask_for_work(view: View, row: str, points: tuple[Feedback, ...], *, reset: bool = False) -> Decision:
    """Ask the model to implement or revise, or say what the ticket waits for."""
    if not reset and view.attempts >= view.policy.caps.attempts:
        return exhausted(view, Phase.IMPLEMENT)
    claimed = claimed_siblings(view)
    if claimed:
        reason = f"{', '.join(claimed)} is in work on the branch that they share"
        return nothing(row, reason, outcome=Outcome.WAITING)
    branch, pull_request = view.snapshot.branch, view.open_pull_request
    start = starting_point(view)
    # Work that was closed together is given back together with what it builds on.
    is_inside = view.shares and view.pull_request is not None
    if start.rejected_by and pull_request is None and not is_inside:
        return _rejected(view, start.rejected_by, texts.rejected_predecessor)
    if start.waits_for and (branch is None or (view.shares and view.own_commit is None)):
        waiting = nothing(row, f"waits for {', '.join(start.waits_for)}", outcome=Outcome.WAITING)
        return replace(waiting, effects=_wake_parent(view)) if view.plan is None else waiting
    if _is_vetoed(view):
        return _rejected(view, view.home, texts.rejected_together)
    base = _base(view, start)
    # A branch that holds nothing its base lacks was merged: what is new starts from where that went.
    is_spent = branch is not None and not branch.commits
    from_head = branch.sha if branch is not None and not is_spent else view.snapshot.heads.get(base, "")
    if not from_head:
        return no_base(view, base, Phase.IMPLEMENT)
    phase = Phase.REVISE if pull_request is not None or row == "6" else Phase.IMPLEMENT
    stacked = pull_request is None and bool(start.predecessor)
    record = view.record
    predecessor = start.predecessor if stacked else _key(record.stacked_on) if record is not None else ""
    work = Work(
        phase=phase,
        key=view.key,
        row=row,
        input_digest=view.input_digest,
        content_digest=view.content_digest,
        plan_digest=view.plan_comment.marker.plan_digest if view.plan_comment is not None else "",
        attempt=1 if reset else view.attempts + 1,
        base=base,
        start=from_head,
        expected=branch.sha if branch is not None else None,
        predecessor=predecessor,
        feedback=points,
        seen=view.taken_into_account(point for point in points if point.source == "check"),
        plan=view.plan if view.item_id is not None else None,
        item=view.item,
        was_mine=view.is_mine,
    )
    move = view.state not in (State.IN_PROGRESS, State.IN_TESTING)
    return Decision(
        row=row,
        outcome=Outcome.DONE,
        reason=_why(phase, points),
        phase=phase,
        claim=claim(view, phase, reset=reset, move=move),
        work=work,
    )


def _base(view: View, start: Start) -> str:
    """The branch that the work goes to: the open pull request's, or where new work would go."""
    offered = view.branch_pull_request if view.shares else view.open_pull_request
    if offered is not None and offered.state == "open":
        return offered.base
    return start.base or base_branch(view)


def _is_vetoed(view: View) -> bool:
    """Whether the shared branch holds what a person closed, and nothing of this ticket: it adds nothing to that."""
    pull_request, branch = view.branch_pull_request, view.snapshot.branch
    if not view.shares or pull_request is None or view.pull_request is not None:
        return False
    is_veto = pull_request.state == "closed" and not pull_request.is_merged
    return is_veto and branch is not None and bool(branch.commits)


def _key(branch: str) -> str:
    return phases.key_of_branch(branch) or ""


def _why(phase: Phase, points: tuple[Feedback, ...]) -> str:
    if phase is Phase.REVISE:
        return (
            f"{len(points)} points of feedback to work through"
            if len(points) != 1
            else "one point of feedback to work through"
        )
    return "the ticket is ready to be implemented"


def _rejected(view: View, key: str, told: Callable[..., str]) -> Decision:
    who = hand(view, "reviewer")
    marker = replace(view.marker(Kind.FAILURE), phase=Phase.IMPLEMENT.value, code=f"rejected:{key}")
    effects = (
        PutComment(key=view.key, markdown=told(key, reviewer=who.mention), marker=marker),
        MoveTo(key=view.key, state=State.BLOCKED),
        ending(view, assignee=who.assignee, state=State.BLOCKED),
    )
    return Decision(
        row="4", outcome=Outcome.WAITING, reason=f"{key} was rejected", phase=Phase.IMPLEMENT, effects=effects
    )


def done_sub_task(view: View) -> Decision | None:
    """Row 7 for a sub-task: it is Done, so its parent is woken."""
    if not view.ticket.type.is_sub_task or view.state is not State.DONE or view.ticket.parent_key is None:
        return None
    return Decision(
        row="7",
        outcome=Outcome.NOTHING,
        reason="the sub-task is done; its parent is woken",
        phase=Phase.COMPLETE,
        effects=(*((ending(view),) if labels_of_work(view) else ()), *_wake_parent(view)),
    )


def _wake_parent(view: View) -> tuple[Effect, ...]:
    parent = view.snapshot.parent
    return (Dispatch(key=parent.key),) if parent is not None else ()
