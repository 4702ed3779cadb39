"""Rows 1, 2, 3 and 7: a ticket is planned, its plan revised and approved, its sub-tasks made, and all of it closed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from runner.core import phases, texts
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.finishing import is_touched_since
from runner.core.decide.outcomes import approve_name
from runner.core.decide.parts import (
    claim,
    count_attempt,
    ending,
    exhausted,
    no_base,
    note,
    nothing,
    progress_end,
    said_once,
)
from runner.core.decide.people import hand, may_approve
from runner.core.decide.sequence import base_branch, duplicates, ready_keys
from runner.core.decide.shared import asked_on_shared, left_by_shared_end
from runner.core.decide.view import View, family_of
from runner.core.effects import CreateSubTask, Dispatch, MoveTo, PutComment
from runner.core.handover import Work
from runner.core.markers import Kind
from runner.core.model import Change, PullRequest
from runner.core.phases import Phase, State
from runner.core.plan import Plan


def listed(view: View) -> Decision | None:
    """Row 3: the sub-tasks are listed, but the run died before the parent was In Progress and free of its claim."""
    word = view.last_word
    is_claimed = view.is_parent and view.has_label(phases.WORKING)
    if not is_claimed or view.state not in (State.BLOCKED, State.IN_PROGRESS) or word is None:
        return None
    if word.marker.kind is not Kind.BREAKDOWN or is_touched_since(view, word):
        return None
    return break_down(view, "3")


def approved(view: View) -> Decision | None:
    """Row 3: a person allowed to approve moved the planned ticket into In Progress."""
    move, planned = view.approval, view.plan_comment or view.edited_plan
    if not view.is_parent or view.state is not State.IN_PROGRESS or move is None:
        return None
    if planned is None:
        return _without_plan(view, move)
    comment = view.plan_comment.comment if view.plan_comment is not None else view.edited_plan
    if comment is None or move.at <= comment.created or move.author.id in view.ours:
        return None
    if not may_approve(move, view):
        text = texts.not_an_approver(move.author.name or "Somebody", view.policy.jira.approvers)
        return said_once(view, "3", f"approver:{move.at}", text, "the mover may not approve")
    edited = view.edited_plan
    if edited is not None:
        is_begun = view.newest(Kind.BREAKDOWN) is not None
        text = texts.edited_plan(edited.editor.name or "somebody else", is_begun=is_begun)
        return said_once(
            view, "3", f"edited-plan:{edited.id}:{edited.updated}", text, "the plan comment was edited"
        )
    if view.has_label(phases.NO_EXEC):
        text = texts.no_execution(view.policy.label(phases.NO_EXEC))
        return said_once(view, "11", f"no-exec:{move.at}", text, "the ticket is only planned")
    if view.has_note(f"no-exec:{move.at}"):
        return nothing(
            "11", "this approval was given while the ticket was plan only", outcome=Outcome.WAITING
        )
    return break_down(view, "3")


def _without_plan(view: View, move: Change) -> Decision | None:
    """Approved after the plan comment was deleted; a ticket that is the runner's is simply planned again."""
    is_approval = view.has_label(phases.PLANNED) and move.author.id not in view.ours
    if not is_approval or view.is_mine or view.snapshot.family:
        return None
    return said_once(view, "3", f"no-plan:{move.at}", texts.missing_plan(), "the plan comment was deleted")


def break_down(view: View, row: str) -> Decision | None:
    """Create the sub-tasks that are missing; once all are there, list them and start what is ready."""
    plan = view.plan
    if plan is None:
        return None
    recorded = [
        one.marker
        for one in view.trail
        if one.marker.kind is Kind.BREAKDOWN and one.marker.plan_digest == plan.digest
    ]
    family = family_of(view.snapshot.family, view.ours)
    known = {id_ for marker in recorded for id_ in marker.items}
    missing = [item for item in plan.items if item.id not in family and item.id not in known]
    if missing:
        reset = row == "9b" and view.has_label(phases.FAILED)
        if not reset and view.attempts >= view.policy.caps.attempts:
            return exhausted(view, Phase.BREAKDOWN)
        begin = count_attempt(view, reset=reset)
        create = tuple(
            CreateSubTask(
                parent_key=view.key,
                item_id=item.id,
                summary=item.title,
                description=texts.sub_task(item, plan.summary),
            )
            for item in missing
        )
        reason = f"the plan is approved; {len(missing)} of {len(plan.items)} sub-tasks are missing"
        return Decision(
            row=row,
            outcome=Outcome.DONE,
            reason=reason,
            phase=Phase.BREAKDOWN,
            effects=(begin, *create),
            again=True,
        )
    is_listed = bool(recorded) and not view.has_label(phases.WORKING) and view.attempts == 0
    if is_listed and view.state is State.IN_PROGRESS:
        return None
    return _list_sub_tasks(view, row, plan)


def _list_sub_tasks(view: View, row: str, plan: Plan) -> Decision:
    family = family_of(view.snapshot.family, view.ours)
    keys = {item.id: family[item.id].ticket.key for item in plan.items if item.id in family}
    removed = [item.id for item in plan.items if item.id not in family]
    marked = view.plan_comment
    changed = marked is not None and marked.marker.content_digest not in ("", view.content_digest)
    listing = PutComment(
        key=view.key,
        markdown=texts.breakdown(plan, keys, removed=removed, changed_since=changed),
        marker=replace(
            view.marker(Kind.BREAKDOWN), plan_digest=plan.digest, items=keys, seen=view.taken_into_account()
        ),
    )
    moves = (MoveTo(key=view.key, state=State.IN_PROGRESS),) if view.state is not State.IN_PROGRESS else ()
    end = ending(view, assignee=view.snapshot.me.id, state=State.IN_PROGRESS, drop=(phases.FAILED,))
    wake = (*(Dispatch(key=key) for key in duplicates(view)), *_start(ready_keys(view, plan)))
    return Decision(
        row=row,
        outcome=Outcome.DONE,
        reason=f"the plan is approved and has its {len(keys)} sub-tasks",
        phase=Phase.BREAKDOWN,
        effects=(listing, *moves, end, *wake),
    )


def revise_plan(view: View) -> Decision | None:
    """Row 2: a planned ticket comes back: with something to answer, or with nothing new."""
    planned = view.plan_comment is not None or view.edited_plan is not None
    if (
        not view.is_parent
        or not view.is_mine
        or not planned
        or view.state not in (State.PLAN_REVIEW, State.BACKLOG)
    ):
        return None
    if view.unread or view.edited_plan is not None:
        return ask_for_plan(view, "2")
    return _hand_back(view)


def _hand_back(view: View) -> Decision:
    who = hand(view, "approver")
    handed_before = view.has_label(phases.PLANNED) and not view.has_label(phases.WORKING)
    approve = approve_name(view)
    at = view.assigned_to_me.at if view.assigned_to_me is not None else ""
    said = (note(view, f"nothing-new:{at}", texts.nothing_new(approve)),) if handed_before else ()
    end = ending(
        view, assignee=who.assignee, state=State.PLAN_REVIEW, add=(view.policy.label(phases.PLANNED),)
    )
    finished = progress_end(view, "the plan is ready", None) if not handed_before else ()
    return Decision(
        row="2",
        outcome=Outcome.DONE if not handed_before else Outcome.WAITING,
        reason="the plan answers everything; it is handed to its approver",
        phase=Phase.PLAN,
        effects=(*said, *finished, MoveTo(key=view.key, state=State.PLAN_REVIEW), end),
    )


def plan_ticket(view: View) -> Decision | None:
    """Row 1: a ticket without a plan gets one; in Plan Review, too, once its plan comment was removed."""
    planned = view.plan_comment is not None or view.edited_plan is not None
    is_open = view.state in (State.BACKLOG, State.IN_PROGRESS, State.PLAN_REVIEW)
    if not view.is_parent or not view.is_mine or planned or not is_open:
        return None
    return ask_for_plan(view, "1")


def ask_for_plan(view: View, row: str, *, reset: bool = False) -> Decision:
    """Ask the model for a plan or its next version, unless attempts ran out or there is nothing to read."""
    if not reset and view.attempts >= view.policy.caps.attempts:
        return exhausted(view, Phase.PLAN)
    base = base_branch(view)
    head = view.snapshot.heads.get(base, "")
    if not head:
        return no_base(view, base, Phase.PLAN)
    work = Work(
        phase=Phase.PLAN,
        key=view.key,
        row=row,
        input_digest=view.input_digest,
        content_digest=view.content_digest,
        attempt=1 if reset else view.attempts + 1,
        base=base,
        start=head,
        feedback=view.unread if view.last_word is not None else (),
        seen=view.taken_into_account(),
        plan=view.previous_plan,
        was_mine=True,
    )
    return Decision(
        row=row,
        outcome=Outcome.DONE,
        reason="the ticket needs a plan" if work.plan is None else "the plan needs a new version",
        phase=Phase.PLAN,
        claim=claim(view, Phase.PLAN, reset=reset),
        work=work,
    )


def go_on(view: View) -> Decision | None:
    """Row 7 for a parent: start what is ready; when all are done, say what was done and what it cost."""
    if (
        not view.is_parent
        or not view.is_mine
        or view.state is not State.IN_PROGRESS
        or view.newest(Kind.BREAKDOWN) is None
    ):
        return None
    family, plan = view.snapshot.family, view.plan
    states = [phases.state_of(one.ticket, view.policy) for one in family]
    if family and all(state is State.DONE for state in states):
        return _complete(view)
    asked = asked_on_shared(view)
    ready = ready_keys(view, plan) if plan is not None and not asked else ()
    concerned = (*left_by_shared_end(view), *asked)
    wake = (*(Dispatch(key=key) for key in (*duplicates(view), *concerned)), *_start(ready))
    waiting = sum(state is not State.DONE for state in states)
    reason = (
        f"{', '.join((*concerned, *ready))} may go on"
        if concerned or ready
        else f"{waiting} of {len(family)} sub-tasks are not done yet"
    )
    return Decision(row="7", outcome=Outcome.WAITING, reason=reason, phase=Phase.COMPLETE, effects=wake)


def wake_shared(view: View) -> Decision | None:
    """Rows 6 and 14 on a shared pull request, when its parent is not the runner's: whom it concerns is woken."""
    keys = (*left_by_shared_end(view), *asked_on_shared(view))
    if not keys:
        return None
    reason = f"the shared pull request concerns {', '.join(keys)}"
    wake = tuple(Dispatch(key=key) for key in keys)
    return Decision(row="7", outcome=Outcome.NOTHING, reason=reason, phase=Phase.COMPLETE, effects=wake)


def _start(keys: Iterable[str]) -> tuple[Dispatch, ...]:
    return tuple(Dispatch(key=key, phase=Phase.IMPLEMENT.value) for key in keys)


def _complete(view: View) -> Decision:
    family = view.snapshot.family
    ours = {one.ticket.key for one in family_of(family, view.ours).values()}
    rows = [(one.ticket.key, one.ticket.summary, _result_of(one.pull_request)) for one in family]
    digest = view.plan_comment.marker.plan_digest if view.plan_comment is not None else ""
    people = sum(one.ticket.key not in ours for one in family)
    said = PutComment(
        key=view.key,
        markdown=texts.completion(rows, view.parent_ledger, people),
        marker=replace(view.marker(Kind.SUMMARY), plan_digest=digest),
    )
    effects = (said, MoveTo(key=view.key, state=State.DONE), ending(view, state=State.DONE))
    return Decision(
        row="7",
        outcome=Outcome.DONE,
        reason=f"all {len(family)} sub-tasks are done",
        phase=Phase.COMPLETE,
        effects=effects,
    )


def _result_of(pull_request: PullRequest | None) -> str:
    if pull_request is None:
        return "no pull request"
    return f"[#{pull_request.number}]({pull_request.url}) {'merged' if pull_request.is_merged else pull_request.state}"
