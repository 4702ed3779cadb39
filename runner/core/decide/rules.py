"""The behaviour table without a result: one rule per row, in the order in which they are asked, first match wins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from runner.core import phases, texts
from runner.core.decide import results
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.finishing import is_touched_since, left_over, said_but_not_done
from runner.core.decide.parts import (
    claim,
    count_attempt,
    ending,
    failed,
    labels_of_work,
    note,
    nothing,
    progress_end,
)
from runner.core.decide.people import hand, may_approve
from runner.core.decide.sequence import base_branch, busy_siblings, duplicates, ready_keys, starting_point
from runner.core.decide.view import Marked, View, family_of
from runner.core.effects import (
    CreateSubTask,
    Dispatch,
    EditPullRequest,
    EditTicket,
    Effect,
    MoveTo,
    OpenPullRequest,
    PutComment,
    UpdateBranch,
)
from runner.core.feedback import Feedback, changes_requested
from runner.core.handover import Work
from runner.core.markers import Kind, merge_ledgers
from runner.core.model import PullRequest
from runner.core.phases import Phase, State
from runner.core.plan import Plan
from runner.core.pull_request_text import with_record

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


def pull_request_ended(view: View) -> Decision | None:
    """Row 14: the pull request was merged, or closed without a merge, and nobody said so on the ticket yet."""
    pull_request = view.pull_request
    if not view.is_work_ticket or pull_request is None or pull_request.state != "closed":
        return None
    kind = Kind.MERGED if pull_request.is_merged else Kind.CLOSED
    told = [one for one in view.trail if one.marker.kind is kind and one.marker.number == pull_request.number]
    if told:
        finish = _finish_told_merge if pull_request.is_merged else _finish_closed
        return finish(view, pull_request, told[-1])
    if pull_request.is_merged:
        return _stranded(view, pull_request) or _merged(view, pull_request)
    if view.state is State.DONE:
        return None
    head_exists = view.snapshot.branch is not None
    if not pull_request.base_exists and head_exists:
        return _base_vanished(view, pull_request)
    return _closed(view, pull_request)


def _merged(view: View, pull_request: PullRequest) -> Decision:
    is_done = view.policy.on_merge == "done"
    marker = replace(view.marker(Kind.MERGED), number=pull_request.number)
    effects: list[Effect] = [
        results.link(view, pull_request),
        PutComment(
            key=view.key,
            markdown=texts.merged(pull_request.number, pull_request.url, is_done=is_done),
            marker=marker,
        ),
    ]
    if is_done and view.state is not State.DONE:
        effects.append(MoveTo(key=view.key, state=State.DONE))
    effects += [
        ending(view, state=State.DONE if is_done else None, drop=(phases.FAILED,)),
        *_wake(view),
    ]
    reason = f"pull request #{pull_request.number} was merged"
    return Decision(
        row="14", outcome=Outcome.DONE, reason=reason, phase=Phase.COMPLETE, effects=tuple(effects)
    )


def _finish_told_merge(view: View, _: PullRequest, told: Marked) -> Decision | None:
    """The merge was said, but the run died before the ticket was Done, or before its labels were gone."""
    if is_touched_since(view, told):
        return None
    if view.state is not State.DONE:
        return _finish_merged(view, is_retried=told is view.last_word)
    if not labels_of_work(view) and not view.has_label(phases.FAILED):
        return None
    return Decision(
        row="14",
        outcome=Outcome.DONE,
        reason="the merge is recorded; only labels were left",
        phase=Phase.COMPLETE,
        effects=(ending(view, state=State.DONE, drop=(phases.FAILED,)), *_wake(view)),
    )


def _finish_merged(view: View, *, is_retried: bool = False) -> Decision | None:
    """The merge was recorded, but the run died, or was not allowed, before the ticket was moved."""
    left_over = view.has_label(phases.WORKING) or view.state is State.IN_TESTING or is_retried
    if view.policy.on_merge != "done" or view.state is State.DONE or not left_over:
        return None
    effects: tuple[Effect, ...] = (
        MoveTo(key=view.key, state=State.DONE),
        ending(view, state=State.DONE, drop=(phases.FAILED,)),
        *_wake(view),
    )
    return Decision(
        row="14",
        outcome=Outcome.DONE,
        reason="the merge is recorded; the ticket follows",
        phase=Phase.COMPLETE,
        effects=effects,
    )


def _wake(view: View) -> tuple[Dispatch, ...]:
    """Who has something to do once this ticket's work is in: what is stacked on it, and its parent."""
    stacked = [phases.key_of_branch(one.head) for one in view.snapshot.dependents if one.state == "open"]
    keys = [key for key in stacked if key and key != view.key]
    parent = [view.ticket.parent_key] if view.item_id is not None and view.ticket.parent_key else []
    return tuple(Dispatch(key=key) for key in dict.fromkeys([*keys, *parent]))


def _stranded(view: View, pull_request: PullRequest) -> Decision | None:
    """Merged into a branch that had been merged before: the work went nowhere, so it is offered again."""
    below = [
        one.pull_request
        for one in view.snapshot.family
        if one.pull_request is not None and one.pull_request.head == pull_request.base
    ]
    # GitHub's times are whole seconds: in doubt the commits decide, and work is rather offered twice than lost.
    was_over = any(one.is_merged and one.closed_at <= pull_request.closed_at for one in below)
    branch = view.snapshot.branch
    if not was_over or view.state is State.DONE or (branch is not None and not branch.commits):
        return None
    target = _surviving_base(view, pull_request.base)
    said = texts.stranded(pull_request.number, pull_request.url, pull_request.base, target)
    if branch is not None:
        again = texts.opened_again(target)
        return _reopened(view, pull_request, target, f"{said} {again}")
    who = hand(view, "reviewer")
    marker = replace(view.marker(Kind.CLOSED), number=pull_request.number, code="stranded")
    lost = texts.stranded_without_branch(pull_request.head, target, reviewer=who.mention)
    effects = (
        PutComment(key=view.key, markdown=f"{said} {lost}", marker=marker),
        MoveTo(key=view.key, state=State.BLOCKED),
        ending(view, assignee=who.assignee, state=State.BLOCKED),
    )
    reason = (
        f"pull request #{pull_request.number} was merged into {pull_request.base}, which was merged before"
    )
    return Decision(row="14", outcome=Outcome.WAITING, reason=reason, phase=Phase.COMPLETE, effects=effects)


def _base_vanished(view: View, pull_request: PullRequest) -> Decision:
    target = _surviving_base(view, pull_request.base)
    said = texts.base_vanished(pull_request.number, pull_request.url, pull_request.base, target)
    return _reopened(view, pull_request, target, said)


def _reopened(view: View, pull_request: PullRequest, target: str, said: str) -> Decision:
    """A new pull request from the same head to where the old one's base went, after the ticket says so."""
    marker = replace(view.marker(Kind.CLOSED), number=pull_request.number, code="base-vanished")
    record = replace(view.record, base=target, stacked_on="") if view.record is not None else None
    body = with_record(pull_request.body, record) if record is not None else pull_request.body
    effects = (
        PutComment(key=view.key, markdown=said, marker=marker),
        OpenPullRequest(
            head=pull_request.head,
            base=target,
            title=pull_request.title,
            body=body,
            draft=pull_request.is_draft,
            labels=view.policy.pull_request.labels,
            reviewers=view.policy.pull_request.reviewers,
        ),
    )
    reason = (
        f"pull request #{pull_request.number} lost its base {pull_request.base}; {target} takes its place"
    )
    return Decision(
        row="14", outcome=Outcome.DONE, reason=reason, phase=Phase.REVISE, effects=effects, again=True
    )


def _finish_closed(view: View, pull_request: PullRequest, told: Marked) -> Decision | None:
    """The veto was said, but the run died before the ticket was blocked; a move by a person since then counts more."""
    if view.state is State.DONE or is_touched_since(view, told):
        return None
    if told.marker.code == "base-vanished":
        return _base_vanished(view, pull_request) if view.snapshot.branch is not None else None
    is_blocked = view.state is State.BLOCKED and not view.has_label(phases.WORKING) and not view.is_mine
    return None if is_blocked else _closed(view, pull_request)


def _closed(view: View, pull_request: PullRequest) -> Decision:
    who = hand(view, "reviewer")
    said = texts.closed(
        pull_request.number, pull_request.url, by=pull_request.closed_by, reviewer=who.mention
    )
    marker = replace(view.marker(Kind.CLOSED), number=pull_request.number, phase=Phase.IMPLEMENT.value)
    effects = (
        PutComment(key=view.key, markdown=said, marker=marker),
        MoveTo(key=view.key, state=State.BLOCKED),
        ending(view, assignee=who.assignee, state=State.BLOCKED),
    )
    reason = f"pull request #{pull_request.number} was closed without a merge"
    return Decision(row="14", outcome=Outcome.WAITING, reason=reason, phase=Phase.COMPLETE, effects=effects)


def restack(view: View) -> Decision | None:
    """Sequence rule: the predecessor's pull request was merged, so this one moves on to where that went."""
    pull_request, record = view.open_pull_request, view.record
    if not view.is_work_ticket or pull_request is None or record is None or not record.stacked_on:
        return None
    target = _surviving_base(view, record.stacked_on)
    if target == record.stacked_on:
        return _follow(view, pull_request)
    renewed = replace(record, base=target, stacked_on=target if phases.key_of_branch(target) else "")
    effects = (
        EditPullRequest(number=pull_request.number, base=target),
        _update(view, pull_request, target),
        EditPullRequest(number=pull_request.number, body=results.restacked_body(pull_request.body, renewed)),
    )
    reason = f"{record.stacked_on} was merged; the pull request now targets {target}"
    return Decision(
        row="sequence", outcome=Outcome.DONE, reason=reason, phase=Phase.REVISE, effects=effects, again=True
    )


def _follow(view: View, pull_request: PullRequest) -> Decision | None:
    """The branch below has new commits: they are merged in, never by force over anybody's commit."""
    update = _update(view, pull_request, pull_request.base)
    is_told = update.told is not None and view.has_note(update.told.marker.code)
    if not view.snapshot.is_behind or is_told:
        return None
    return Decision(
        row="sequence",
        outcome=Outcome.DONE,
        reason=f"{pull_request.base} has new commits; they are merged into {pull_request.head}",
        phase=Phase.REVISE,
        effects=(update, Dispatch(key=view.key)),
    )


def _update(view: View, pull_request: PullRequest, base: str) -> UpdateBranch:
    """Bring the branch up to date; a conflict is said once for these two heads."""
    heads = f"{pull_request.head_sha[:12]}:{view.snapshot.heads.get(base, '')[:12]}"
    text = texts.conflict(
        pull_request.number, pull_request.url, base, reviewer=hand(view, "reviewer").mention
    )
    return UpdateBranch(
        number=pull_request.number,
        expected_head=pull_request.head_sha,
        told=note(view, f"conflict:{heads}", text),
    )


def _surviving_base(view: View, branch: str) -> str:
    """Where a branch of ours went: the target of its merged pull request, followed to one that still stands."""
    by_head = {
        one.pull_request.head: one.pull_request
        for one in view.snapshot.family
        if one.pull_request is not None
    }
    for _ in range(len(by_head) + 1):
        merged = by_head.get(branch)
        if merged is None or not merged.is_merged:
            break
        branch = merged.base
    gone = phases.key_of_branch(branch) is not None and branch not in view.snapshot.heads
    return base_branch(view) if gone else branch


def parked(view: View) -> Decision | None:
    """A ticket that waits for a service is left alone until the time its marker names."""
    newest = view.newest(Kind.PROGRESS)
    if not view.has_label(phases.WAITING) or newest is None or view.now >= newest.marker.until:
        return None
    return nothing("15", f"waiting until {newest.marker.until}", outcome=Outcome.WAITING)


def pushed_but_not_told(view: View) -> Decision | None:
    """Row 5: a run pushed its work for this very input and died before it said so: what it left is handed over."""
    if not view.is_work_ticket or view.state is State.DONE:
        return None
    claim_said = view.newest(Kind.PROGRESS)
    is_claimed = view.has_label(phases.WORKING) or view.attempts > 0
    is_left = is_claimed and claim_said is not None and not is_touched_since(view, claim_said)
    return results.from_evidence(view) if view.is_mine or is_left else None


def answered(view: View) -> Decision | None:
    """Row 9a: our questions have an answer; the phase that asked goes on."""
    word = view.last_word
    waiting = view.state in (State.BLOCKED, State.IN_PROGRESS) and view.is_mine
    if not waiting or word is None or word.marker.kind is not Kind.QUESTIONS:
        return None
    if not view.unread:
        return nothing("9", "questions are open and nobody answered yet", outcome=Outcome.WAITING)
    # The phase that asked, unless a person made the ticket a direct one, or none, since then.
    if view.is_parent:
        return _ask_to_plan(view, "9a")
    return _work(view, "9a", view.unread) if view.is_work_ticket else None


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
        return _finish_merged(view, is_retried=True)
    if phase == Phase.BREAKDOWN:
        return _breakdown(view, "9b")
    if view.is_parent:
        return _ask_to_plan(view, "9b", reset=reset)
    if not view.is_work_ticket:
        return None
    return _finish_failed(view) or _work(view, "9b", view.unread, reset=reset)


def _finish_failed(view: View) -> Decision | None:
    """The work was pushed before something else failed: what is missing is done without asking the model again."""
    finished = results.from_evidence(view)
    if finished is None:
        return None
    labels = tuple(view.policy.label(name) for name in (phases.FAILED,) if view.has_label(name))
    revived = (EditTicket(key=view.key, remove=labels),) if labels else ()
    return replace(finished, effects=(*revived, *finished.effects))


def listed(view: View) -> Decision | None:
    """Row 3: the sub-tasks are listed, but the run died before the parent was In Progress and free of its claim."""
    word = view.last_word
    is_claimed = view.is_parent and view.has_label(phases.WORKING)
    if not is_claimed or view.state not in (State.BLOCKED, State.IN_PROGRESS) or word is None:
        return None
    if word.marker.kind is not Kind.BREAKDOWN or is_touched_since(view, word):
        return None
    return _breakdown(view, "3")


def approved(view: View) -> Decision | None:
    """Row 3: a person allowed to approve moved the planned ticket into In Progress."""
    move, planned = view.approval, view.plan_comment or view.edited_plan
    if not view.is_parent or view.state is not State.IN_PROGRESS or move is None or planned is None:
        return None
    comment = view.plan_comment.comment if view.plan_comment is not None else view.edited_plan
    if comment is None or move.at <= comment.created or move.author.id in view.ours:
        return None
    if not may_approve(move, view):
        text = texts.not_an_approver(move.author.name or "Somebody", view.policy.jira.approvers)
        return _said_once(view, "3", f"approver:{move.at}", text, "the mover may not approve")
    edited = view.edited_plan
    if edited is not None:
        text = texts.edited_plan(edited.editor.name or "somebody else")
        return _said_once(
            view, "3", f"edited-plan:{edited.id}:{edited.updated}", text, "the plan comment was edited"
        )
    if view.has_label(phases.NO_EXEC):
        text = texts.no_execution(view.policy.label(phases.NO_EXEC))
        return _said_once(view, "11", f"no-exec:{move.at}", text, "the ticket is only planned")
    if view.has_note(f"no-exec:{move.at}"):
        return nothing(
            "11", "this approval was given while the ticket was plan only", outcome=Outcome.WAITING
        )
    return _breakdown(view, "3")


def _said_once(view: View, row: str, code: str, text: str, reason: str) -> Decision:
    effects = () if view.has_note(code) else (note(view, code, text),)
    return Decision(row=row, outcome=Outcome.WAITING, reason=reason, phase=Phase.BREAKDOWN, effects=effects)


def _breakdown(view: View, row: str) -> Decision | None:
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
            return _exhausted(view, Phase.BREAKDOWN)
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


def feedback(view: View) -> Decision | None:
    """Row 6: feedback on handed-over work, from Jira, from review or from a failed check."""
    if not view.is_work_ticket or view.state not in (State.IN_TESTING, State.IN_PROGRESS):
        return None
    pull_request = view.open_pull_request
    is_handed_over = view.state is State.IN_TESTING
    if pull_request is None and not (is_handed_over and view.is_mine):
        return None
    demanded = pull_request is not None and changes_requested(pull_request, view.seen)
    if (view.is_mine and view.unread) or demanded or view.failed_checks:
        return _work(view, "6", (*view.unread, *view.failed_checks))
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
    return _parent_rests(view, "5") or _work(view, "5", view.unread)


def begin(view: View) -> Decision | None:
    """Rows 4 and 12: a work ticket in the backlog starts when its predecessors are handed over."""
    if not view.is_work_ticket or view.state is not State.BACKLOG or not view.is_mine:
        return None
    row = "12" if view.is_direct else "4"
    resting = _parent_rests(view, row)
    if resting is not None:
        return resting
    busy = busy_siblings(view)
    if view.item_id is not None and len(busy) >= view.policy.max_parallel:
        return nothing(
            row,
            f"{', '.join(busy)} is in work; max_parallel is {view.policy.max_parallel}",
            outcome=Outcome.WAITING,
        )
    return _work(view, row, view.unread)


def _parent_rests(view: View, row: str) -> Decision | None:
    parent = view.snapshot.parent
    if view.item_id is None or parent is None:
        return None
    if phases.state_of(parent, view.policy) is State.IN_PROGRESS:
        return None
    return nothing(row, f"the parent {parent.key} is not In Progress", outcome=Outcome.WAITING)


def _work(view: View, row: str, points: tuple[Feedback, ...], *, reset: bool = False) -> Decision:
    """Ask the model to implement or revise, or say what the ticket waits for."""
    if not reset and view.attempts >= view.policy.caps.attempts:
        return _exhausted(view, Phase.IMPLEMENT)
    branch, pull_request = view.snapshot.branch, view.open_pull_request
    start = starting_point(view)
    if start.rejected_by and pull_request is None:
        return _rejected(view, start.rejected_by)
    if start.waits_for and branch is None:
        return nothing(row, f"waits for {', '.join(start.waits_for)}", outcome=Outcome.WAITING)
    base = pull_request.base if pull_request is not None else (start.base or base_branch(view))
    from_head = branch.sha if branch is not None else view.snapshot.heads.get(base, "")
    if not from_head:
        return _no_base(view, base, Phase.IMPLEMENT)
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
        seen=view.taken_into_account(view.failed_checks),
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


def _no_base(view: View, base: str, phase: Phase) -> Decision:
    return failed(
        view,
        row="15",
        what=f"The branch `{base}`, which this work starts from, does not exist in the repository.",
        meaning="Nothing was started.",
        remedy="Create the branch or correct `pull_request.base`, then assign the ticket to me.",
        phase=phase,
        exit_code=2,
    )


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


def _rejected(view: View, key: str) -> Decision:
    who = hand(view, "reviewer")
    marker = replace(view.marker(Kind.FAILURE), phase=Phase.IMPLEMENT.value, code=f"rejected:{key}")
    effects = (
        PutComment(
            key=view.key, markdown=texts.rejected_predecessor(key, reviewer=who.mention), marker=marker
        ),
        MoveTo(key=view.key, state=State.BLOCKED),
        ending(view, assignee=who.assignee, state=State.BLOCKED),
    )
    return Decision(
        row="4", outcome=Outcome.WAITING, reason=f"{key} was rejected", phase=Phase.IMPLEMENT, effects=effects
    )


def _exhausted(view: View, phase: Phase) -> Decision:
    count = view.attempts
    return failed(
        view,
        row="15",
        what=f"{count} attempts at {texts.DOING[phase]} did not reach an end.",
        meaning="I stop here, so that this does not repeat for ever. What was pushed stays.",
        remedy="Look at the last run's log. To try again, assign this ticket to me.",
        phase=phase,
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
        return _ask_to_plan(view, "2")
    return _hand_back(view)


def _hand_back(view: View) -> Decision:
    who = hand(view, "approver")
    handed_before = view.has_label(phases.PLANNED) and not view.has_label(phases.WORKING)
    approve = results.approve_name(view)
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
    """Row 1: a ticket without a plan gets one."""
    planned = view.plan_comment is not None or view.edited_plan is not None
    if (
        not view.is_parent
        or not view.is_mine
        or planned
        or view.state not in (State.BACKLOG, State.IN_PROGRESS)
    ):
        return None
    return _ask_to_plan(view, "1")


def _ask_to_plan(view: View, row: str, *, reset: bool = False) -> Decision:
    if not reset and view.attempts >= view.policy.caps.attempts:
        return _exhausted(view, Phase.PLAN)
    base = base_branch(view)
    head = view.snapshot.heads.get(base, "")
    if not head:
        return _no_base(view, base, Phase.PLAN)
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


def done_sub_task(view: View) -> Decision | None:
    """Row 7 for a sub-task: it is Done, so its parent is woken."""
    if not view.ticket.type.is_sub_task or view.state is not State.DONE or view.ticket.parent_key is None:
        return None
    return Decision(
        row="7",
        outcome=Outcome.NOTHING,
        reason="the sub-task is done; its parent is woken",
        phase=Phase.COMPLETE,
        effects=_wake_parent(view),
    )


def _wake_parent(view: View) -> tuple[Effect, ...]:
    parent = view.snapshot.parent
    return (Dispatch(key=parent.key),) if parent is not None else ()


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
    ready = ready_keys(view, plan) if plan is not None else ()
    wake = (*(Dispatch(key=key) for key in duplicates(view)), *_start(ready))
    waiting = sum(state is not State.DONE for state in states)
    reason = (
        f"{', '.join(ready)} may start" if ready else f"{waiting} of {len(family)} sub-tasks are not done yet"
    )
    return Decision(row="7", outcome=Outcome.WAITING, reason=reason, phase=Phase.COMPLETE, effects=wake)


def _start(keys: Iterable[str]) -> tuple[Dispatch, ...]:
    return tuple(Dispatch(key=key, phase=Phase.IMPLEMENT.value) for key in keys)


def _complete(view: View) -> Decision:
    family = view.snapshot.family
    ours = {one.ticket.key for one in family_of(family, view.ours).values()}
    rows = [(one.ticket.key, one.ticket.summary, _result_of(one.pull_request)) for one in family]
    ledger = merge_ledgers(view.ledger, *view.snapshot.family_ledgers.values())
    digest = view.plan_comment.marker.plan_digest if view.plan_comment is not None else ""
    people = sum(one.ticket.key not in ours for one in family)
    said = PutComment(
        key=view.key,
        markdown=texts.completion(rows, ledger, people),
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


def unmatched(view: View) -> Decision | None:
    """No row applies, but the ticket waits for the runner and a person must act: said once."""
    if not view.is_mine or view.state is State.DONE:
        return None
    if view.ticket.type.level > 0:
        return _said_once(
            view,
            "1",
            "epic",
            texts.assign_stories(view.ticket.type.name),
            "only stories and tasks are planned",
        )
    if view.ticket.type.is_sub_task and not view.is_work_ticket:
        text = texts.not_my_sub_task(view.policy.label(phases.DIRECT))
        return _said_once(view, "4", "not-mine", text, "the sub-task was not created by the runner")
    if view.state is State.OTHER:
        statuses = phases.statuses_of(view.ticket, view.policy)
        names = [
            names[0]
            for state in (State.BACKLOG, State.IN_PROGRESS)
            if (names := phases.names_for(state, statuses))
        ]
        text = texts.unknown_status(view.ticket.status.name, names)
        return _said_once(view, "none", f"status:{view.ticket.status.name}", text, "the status is unknown")
    return None


ORDER: tuple[Rule, ...] = (
    ignored,
    halted,
    stopped,
    repeated,
    pull_request_ended,
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
    left_over,
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
