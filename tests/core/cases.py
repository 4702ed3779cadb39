"""Named situations, at least one for every row of the behaviour table, with what is due in each.

The same cases serve as truth table, as proof that a second run rests, and as start of every crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from runner.core.decide import Decision
from runner.core.effects import (
    CreateSubTask,
    Dispatch,
    EditPullRequest,
    EditTicket,
    Effect,
    MoveTo,
    OpenPullRequest,
    Push,
    PutComment,
    UpdateBranch,
)
from runner.core.markers import Kind
from runner.core.model import ReviewState, Snapshot, Ticket, WorkItem
from runner.core.policy import Policy
from tests.core.snapshots import (
    ADA,
    BOT,
    EPIC,
    FIRST,
    HELPER,
    NOW,
    PARENT,
    POLICY,
    RITA,
    RON,
    SECOND,
    SPIKE,
    THIRD,
    assigned,
    at,
    branch,
    check,
    commit,
    family,
    input_of,
    listed,
    marker,
    moved,
    ours,
    parent_ticket,
    parent_with,
    plan,
    planned,
    policy,
    pull_request,
    record,
    review,
    said,
    seen,
    sha,
    snapshot,
    sub_task,
    thread,
    ticket,
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A situation, the row that answers it, and what is done, in the words of ``told``."""

    row: str
    outcome: str
    does: tuple[str, ...]
    snap: Snapshot
    policy: Policy = POLICY

    @property
    def asks(self) -> bool:
        """Whether a model is needed."""
        return any(one.startswith("ask:") for one in self.does)


def told(decision: Decision) -> tuple[str, ...]:
    """A decision in short words: the claim is left out, the model's part is ``ask:<phase>``."""
    asked = (f"ask:{decision.work.phase}",) if decision.work is not None else ()
    return (*asked, *(word for effect in decision.effects for word in _words(effect)))


def _words(effect: Effect) -> Iterable[str]:
    match effect:
        case PutComment():
            yield f"comment:{effect.marker.kind}"
        case MoveTo():
            yield f"move:{effect.state}"
        case EditTicket():
            yield "edit" if effect.assignee == "keep" else f"assign:{effect.assignee}"
        case CreateSubTask():
            yield f"create:{effect.item_id}"
        case Push():
            yield "push"
        case OpenPullRequest():
            yield f"{'draft' if effect.draft else 'open'}:{effect.base}"
        case EditPullRequest():
            yield f"target:{effect.base}" if effect.base else "reword"
        case UpdateBranch():
            yield "update"
        case Dispatch():
            yield f"wake:{effect.key}"
        case _:
            yield type(effect).__name__


CASES: dict[str, Case] = {}


def case(
    row: str, outcome: str, *does: str, using: Policy = POLICY
) -> Callable[[Callable[[], Snapshot]], Callable[[], Snapshot]]:
    """Register the snapshot that a function builds, under the function's name."""

    def register(build: Callable[[], Snapshot]) -> Callable[[], Snapshot]:
        name = build.__name__.replace("_", " ")
        CASES[name] = Case(row=row, outcome=outcome, does=does, snap=build(), policy=using)
        return build

    return register


# --- row 1: plan ------------------------------------------------------------------------------------------


@case("1", "done", "ask:plan")
def backlog_and_mine() -> Snapshot:
    return snapshot(ticket("Backlog"))


@case("1", "done", "ask:plan")
def backlog_by_another_name() -> Snapshot:
    return snapshot(ticket("To Do"))


@case("1", "done", "ask:plan")
def in_progress_and_mine_without_a_plan() -> Snapshot:
    return snapshot(ticket("In Progress", history=[moved(ADA, "In Progress", 6)]))


@case("none", "nothing")
def backlog_but_somebody_elses() -> Snapshot:
    return snapshot(ticket("Backlog", assignee=RITA, history=[assigned(ADA, RITA, 6)]))


@case("none", "nothing")
def in_progress_without_a_plan_but_somebody_elses() -> Snapshot:
    return snapshot(
        ticket("In Progress", assignee=RITA, history=[assigned(ADA, RITA, 6), moved(RITA, "In Progress", 7)])
    )


@case("none", "nothing")
def done_and_mine() -> Snapshot:
    return snapshot(ticket("Done"))


# --- row 2: revise the plan -------------------------------------------------------------------------------


def reviewed(*more: object, status: str = "Plan Review", **values: object) -> Ticket:
    comments = [planned(), *more]
    return ticket(
        status,
        comments=comments,  # type: ignore[arg-type]  # comments only
        labels=("ai-runner", "ai:planned"),
        history=[assigned(BOT, ADA, 11), assigned(ADA, BOT, 16)],
        **values,  # type: ignore[arg-type]  # as the builder takes them
    )


@case("2", "done", "ask:plan")
def plan_review_and_mine_with_an_unread_comment() -> Snapshot:
    return snapshot(reviewed(said(ADA, 15)))


@case("2", "done", "ask:plan")
def planned_backlog_and_mine_with_an_unread_comment() -> Snapshot:
    return snapshot(reviewed(said(ADA, 15), status="Backlog"))


@case("2", "done", "ask:plan")
def a_comment_edited_after_it_was_read() -> Snapshot:
    remark = said(ADA, 8, edited=15)
    read = planned(seen=seen(replace(remark, updated=at(8))))
    return snapshot(replace(reviewed(remark), comments=(remark, read)))


@case("2", "done", "ask:plan")
def a_plan_comment_edited_by_a_person_before_approval() -> Snapshot:
    return snapshot(replace(reviewed(), comments=(planned(editor=RITA),)))


@case("2", "waiting", "comment:note", "move:plan_review", "assign:ada")
def plan_review_and_mine_with_nothing_new() -> Snapshot:
    return snapshot(reviewed())


@case("2", "waiting", "comment:note", "move:plan_review", "assign:ada")
def only_an_app_commented_on_the_plan() -> Snapshot:
    return snapshot(reviewed(said(HELPER, 15)))


@case("2", "waiting", "comment:note", "move:plan_review", "assign:ada")
def only_a_restricted_comment_on_the_plan() -> Snapshot:
    return snapshot(reviewed(said(RITA, 15, "", is_restricted=True)))


@case("none", "nothing")
def an_unread_comment_while_the_approver_holds_the_plan() -> Snapshot:
    return snapshot(
        ticket(
            "Plan Review",
            assignee=ADA,
            comments=[planned(), said(RITA, 15)],
            labels=("ai-runner", "ai:planned"),
            history=[assigned(BOT, ADA, 11)],
        )
    )


# --- row 3: break down ------------------------------------------------------------------------------------


@case("3", "done", "edit", "create:alpha", "create:beta")
def approved_by_a_person_whoever_is_assigned() -> Snapshot:
    return snapshot(parent_ticket(assignee=ADA))


@case("3", "done", "edit", "create:alpha", "create:beta", using=policy(jira={"approvers": ["ada"]}))
def approved_on_the_list_of_approvers() -> Snapshot:
    return snapshot(parent_ticket(assignee=ADA))


@case("3", "done", "edit", "create:beta")
def approved_with_one_sub_task_made_by_a_run_that_died() -> Snapshot:
    return parent_with(sub_task(FIRST, "alpha"), labels=["ai:working", "ai:try-1"])


@case("3", "done", "comment:breakdown", "assign:bot", f"wake:{FIRST}")
def approved_with_every_sub_task_but_no_list() -> Snapshot:
    return parent_with(
        sub_task(FIRST, "alpha"), sub_task(SECOND, "beta"), labels=["ai:working", "ai:try-1"], assignee=ADA
    )


@case("3", "done", "edit", "create:alpha", "create:beta")
def a_persons_own_sub_task_does_not_stand_for_an_item() -> Snapshot:
    return parent_with(sub_task("ABC-5", "alpha", creator=RITA, assignee=RITA), assignee=ADA)


@case("3", "done", "edit", "create:alpha", "create:beta")
def approved_by_a_move_that_the_changelog_names_otherwise() -> Snapshot:
    parent = parent_ticket()
    named = [
        replace(one, new="In Arbeit", new_id="3") if one.field == "status" else one for one in parent.history
    ]
    status = replace(parent.status, id="3")
    return snapshot(replace(parent, status=status, history=tuple(named), assignee=ADA))


@case("none", "nothing")
def the_runners_own_move_is_no_approval() -> Snapshot:
    return snapshot(
        ticket(
            "In Progress",
            assignee=ADA,
            comments=[planned()],
            labels=["ai-runner", "ai:planned"],
            history=[moved(BOT, "In Progress", 20)],
        )
    )


@case("none", "nothing")
def an_approval_before_the_plan() -> Snapshot:
    return snapshot(
        ticket(
            "In Progress",
            assignee=ADA,
            comments=[planned(minute=21)],
            labels=["ai-runner", "ai:planned"],
            history=[moved(ADA, "In Progress", 20)],
        )
    )


@case("3", "waiting", "comment:note", using=policy(jira={"approvers": ["ron"]}))
def a_mover_who_may_not_approve() -> Snapshot:
    return snapshot(parent_ticket(assignee=ADA))


@case("3", "waiting", using=policy(jira={"approvers": ["ron"]}))
def a_mover_who_was_told_that_they_may_not_approve() -> Snapshot:
    told_once = ours(marker(Kind.NOTE, code=f"approver:{at(20)}"), 21)
    return snapshot(parent_ticket(assignee=ADA, comments=[told_once]))


@case("3", "waiting", "comment:note")
def an_app_may_not_approve() -> Snapshot:
    return snapshot(
        ticket(
            "In Progress",
            assignee=ADA,
            comments=[planned()],
            history=[moved(HELPER, "In Progress", 20)],
        )
    )


@case("3", "waiting", "comment:note")
def approval_of_a_plan_comment_that_somebody_edited() -> Snapshot:
    own = ticket(
        "In Progress", assignee=ADA, comments=[planned(editor=RITA)], history=[moved(ADA, "In Progress", 20)]
    )
    return snapshot(own)


@case("7", "waiting")
def a_sub_task_that_a_person_removed_is_not_made_again() -> Snapshot:
    return parent_with(sub_task(FIRST, "alpha", "In Testing", assignee=RON), comments=[listed()])


# --- row 4: begin -----------------------------------------------------------------------------------------


@case("4", "done", "ask:implement")
def the_first_sub_task_of_an_approved_plan() -> Snapshot:
    return family(FIRST, sub_task(FIRST, "alpha"), sub_task(SECOND, "beta"))


@case("4", "waiting")
def a_sub_task_whose_predecessor_is_open() -> Snapshot:
    return family(SECOND, sub_task(FIRST, "alpha", assignee=RITA), sub_task(SECOND, "beta"))


def handed_over(key: str, item: str, number: int, *, status: str = "In Testing") -> WorkItem:
    return WorkItem(ticket=sub_task(key, item, status, assignee=RON), pull_request=pull_request(key, number))


def done(key: str, item: str, number: int) -> WorkItem:
    """Its work was merged and its ticket is Done."""
    return WorkItem(
        ticket=sub_task(key, item, "Done", assignee=RON),
        pull_request=pull_request(key, number, state="merged"),
    )


def with_head(snap: Snapshot, *keys: str) -> Snapshot:
    """Branches of predecessors can be built upon."""
    return replace(snap, heads={**snap.heads, **{f"ai/{key}": commit(key).sha for key in keys}})


@case("4", "done", "ask:implement")
def stacked_on_a_predecessor_in_testing() -> Snapshot:
    return with_head(family(SECOND, handed_over(FIRST, "alpha", 7), sub_task(SECOND, "beta")), FIRST)


@case("4", "waiting", using=policy(sequence="wait"))
def waiting_for_a_predecessor_to_be_done() -> Snapshot:
    return family(SECOND, handed_over(FIRST, "alpha", 7), sub_task(SECOND, "beta"))


@case("4", "done", "ask:implement", using=policy(sequence="wait"))
def waited_for_a_predecessor_that_is_done() -> Snapshot:
    return family(SECOND, done(FIRST, "alpha", 7), sub_task(SECOND, "beta"))


CHAIN = plan("alpha", "beta", "gamma")
BOTH = plan("alpha", "beta", "gamma", after={"gamma": ["alpha", "beta"]})


@case("4", "waiting")
def two_predecessors_neither_merged() -> Snapshot:
    return family(
        THIRD,
        handed_over(FIRST, "alpha", 7),
        handed_over(SECOND, "beta", 8),
        sub_task(THIRD, "gamma"),
        the_plan=BOTH,
    )


@case("4", "done", "ask:implement")
def two_predecessors_one_of_them_merged() -> Snapshot:
    snap = family(
        THIRD,
        done(FIRST, "alpha", 7),
        handed_over(SECOND, "beta", 8),
        sub_task(THIRD, "gamma"),
        the_plan=BOTH,
    )
    return with_head(snap, SECOND)


@case("4", "done", "ask:implement")
def an_item_that_depends_on_nothing_while_others_do() -> Snapshot:
    return family(
        SECOND,
        sub_task(FIRST, "alpha", "Blocked", assignee=RITA),
        sub_task(SECOND, "beta"),
        sub_task(THIRD, "gamma"),
        the_plan=BOTH,
    )


@case("4", "waiting")
def a_sibling_is_in_work_and_one_at_a_time_is_allowed() -> Snapshot:
    return family(SECOND, sub_task(FIRST, "alpha", "In Progress"), sub_task(SECOND, "beta"), the_plan=BOTH)


@case("4", "done", "ask:implement", using=policy(max_parallel=2))
def a_sibling_is_in_work_and_two_at_a_time_are_allowed() -> Snapshot:
    return family(SECOND, sub_task(FIRST, "alpha", "In Progress"), sub_task(SECOND, "beta"), the_plan=BOTH)


@case("4", "waiting")
def a_predecessor_that_a_person_works_on_must_be_done() -> Snapshot:
    theirs = WorkItem(ticket=sub_task(FIRST, "alpha", "In Testing", assignee=RITA))
    return family(SECOND, theirs, sub_task(SECOND, "beta"))


@case("4", "waiting", "comment:failure", "move:blocked", "assign:ron")
def a_rejected_predecessor_blocks_its_successor() -> Snapshot:
    rejected = WorkItem(
        ticket=sub_task(FIRST, "alpha", "Blocked", assignee=RON),
        pull_request=pull_request(FIRST, state="closed"),
    )
    return family(SECOND, rejected, sub_task(SECOND, "beta"))


@case("4", "done", "ask:implement")
def a_cancelled_predecessor_holds_nobody_back() -> Snapshot:
    cancelled = WorkItem(
        ticket=sub_task(FIRST, "alpha", "Done", assignee=RON),
        pull_request=pull_request(FIRST, state="closed"),
    )
    return family(SECOND, cancelled, sub_task(SECOND, "beta"))


@case("4", "done", "ask:implement")
def a_removed_predecessor_holds_nobody_back() -> Snapshot:
    return family(SECOND, sub_task(SECOND, "beta"))


@case("4", "waiting")
def a_removed_predecessor_leaves_what_it_waited_for() -> Snapshot:
    return family(THIRD, sub_task(FIRST, "alpha", assignee=RITA), sub_task(THIRD, "gamma"), the_plan=CHAIN)


@case("4", "done", "ask:implement")
def stacked_on_what_a_removed_predecessor_would_have_been_stacked_on() -> Snapshot:
    below = handed_over(FIRST, "alpha", 7)
    return with_head(family(THIRD, below, sub_task(THIRD, "gamma"), the_plan=CHAIN), FIRST)


def without_plan(over: Ticket) -> Ticket:
    """A person deleted the plan comment."""
    return replace(over, comments=tuple(one for one in over.comments if not one.code_blocks))


@case("4", "waiting", "wake:ABC-1")
def a_sub_task_whose_order_is_unknown_because_the_plan_comment_is_gone() -> Snapshot:
    over = without_plan(parent_ticket(comments=[listed()]))
    return family(SECOND, handed_over(FIRST, "alpha", 7), sub_task(SECOND, "beta"), parent=over)


@case("4", "done", "ask:implement")
def a_sibling_that_a_person_moved_ahead_of_its_turn_is_not_in_work() -> Snapshot:
    return family(FIRST, sub_task(FIRST, "alpha"), sub_task(SECOND, "beta", "In Progress"))


@case("5", "waiting")
def moved_ahead_of_its_turn() -> Snapshot:
    return family(SECOND, sub_task(FIRST, "alpha"), sub_task(SECOND, "beta", "In Progress"))


@case("7", "waiting", "wake:ABC-12")
def a_sub_task_that_was_moved_ahead_of_its_turn_is_started_when_it_is_its_turn() -> Snapshot:
    return parent_with(
        sub_task(FIRST, "alpha", "In Testing", assignee=RON),
        sub_task(SECOND, "beta", "In Progress"),
        comments=[listed()],
    )


@case("4", "waiting")
def a_sub_task_whose_parent_is_not_in_progress() -> Snapshot:
    return family(
        FIRST, sub_task(FIRST, "alpha"), parent=parent_ticket("Blocked", comments=[listed()], assignee=RITA)
    )


@case("15", "failed", "comment:failure", "move:blocked", "assign:ron")
def a_base_branch_that_does_not_exist() -> Snapshot:
    return replace(family(FIRST, sub_task(FIRST, "alpha")), heads={})


@case("15", "failed", "comment:failure", "move:blocked", "assign:ron")
def every_attempt_is_used() -> Snapshot:
    return family(FIRST, sub_task(FIRST, "alpha", "In Progress", labels=["ai:working", "ai:try-3"]))


# --- row 5: go on -----------------------------------------------------------------------------------------

CLAIMED = ("ai:working", "ai:try-1")


def begun(*comments: object, labels: tuple[str, ...] = CLAIMED) -> Ticket:
    progress = ours(marker(Kind.PROGRESS, key=FIRST, phase="implement"), 28)
    return sub_task(FIRST, "alpha", "In Progress", labels=labels, comments=[progress, *comments])


@case("5", "done", "ask:implement")
def a_run_died_before_it_pushed() -> Snapshot:
    return family(FIRST, begun())


@case("5", "done", "open:main")
def a_run_died_after_it_pushed() -> Snapshot:
    snap = family(FIRST, begun())
    return replace(snap, branch=branch(FIRST, commit(FIRST, digest=input_of(snap))))


@case("5", "done", "draft:main")
def a_run_died_after_it_pushed_unfinished_work() -> Snapshot:
    snap = family(FIRST, begun())
    return replace(snap, branch=branch(FIRST, commit(FIRST, digest=input_of(snap), outcome="red")))


@case(
    "5",
    "done",
    "SetDraft",
    "DressPullRequest",
    "LinkPullRequest",
    "comment:handover",
    "comment:progress",
    "move:in_testing",
    "assign:ron",
)
def a_run_died_after_it_opened_the_pull_request() -> Snapshot:
    snap = family(FIRST, begun())
    digest = input_of(snap)
    pull = pull_request(FIRST, facts=record(FIRST, input_digest=digest))
    return replace(snap, branch=branch(FIRST, commit(FIRST, digest=digest)), pull_requests=(pull,))


@case("5", "done", "ask:implement")
def a_branch_from_another_input_is_built_upon() -> Snapshot:
    return replace(family(FIRST, begun()), branch=branch(FIRST))


@case("5", "waiting")
def unfinished_work_while_the_parent_is_blocked() -> Snapshot:
    return family(FIRST, begun(), parent=parent_ticket("Blocked", comments=[listed()], assignee=RITA))


# --- row 6: feedback --------------------------------------------------------------------------------------


def in_testing(
    *comments: object,
    assignee: object = RON,
    status: str = "In Testing",
    labels: tuple[str, ...] = (),
    **pull: object,
) -> Snapshot:
    handed = ours(marker(Kind.HANDOVER, key=FIRST, input_digest="2" * 12), 32)
    own = sub_task(
        FIRST,
        "alpha",
        status,
        assignee=assignee,  # type: ignore[arg-type]  # an account
        labels=labels,
        comments=[handed, *comments],
        history=[assigned(BOT, RON, 33), *([assigned(RON, BOT, 47)] if assignee == BOT else [])],
    )
    snap = family(FIRST, own)
    return replace(snap, branch=branch(FIRST), pull_requests=(pull_request(FIRST, **pull),))  # type: ignore[arg-type]  # as the builder takes them


@case("6", "done", "ask:revise")
def given_back_with_a_comment() -> Snapshot:
    return in_testing(said(RON, 45), assignee=BOT)


@case("6", "done", "ask:revise")
def given_back_with_a_thread() -> Snapshot:
    return in_testing(assignee=BOT, threads=(thread(),))


@case("6", "done", "ask:revise")
def in_progress_with_a_comment_and_an_open_pull_request() -> Snapshot:
    return in_testing(said(RON, 45), assignee=BOT, status="In Progress")


@case("6", "done", "ask:revise")
def changes_requested_whoever_is_assigned() -> Snapshot:
    return in_testing(reviews=(review(),))


@case("none", "nothing")
def changes_requested_by_somebody_without_write_access() -> Snapshot:
    return in_testing(reviews=(review(can_write=False),))


@case("none", "nothing")
def changes_requested_by_an_app() -> Snapshot:
    return in_testing(reviews=(review(is_person=False),))


@case("none", "nothing")
def a_review_without_a_demand_while_the_reviewer_holds_the_ticket() -> Snapshot:
    return in_testing(reviews=(review(ReviewState.COMMENTED),))


@case("none", "nothing")
def a_demand_that_was_taken_into_account() -> Snapshot:
    facts = record(FIRST, seen=seen(more=[("review:r45", at(45))]))
    return in_testing(reviews=(review(),), facts=facts)


@case("6", "done", "ask:revise")
def a_failed_check_on_our_own_head() -> Snapshot:
    return in_testing(checks=(check(),))


@case("none", "nothing")
def a_failed_check_after_two_fixes() -> Snapshot:
    return in_testing(checks=(check(),), facts=record(FIRST, check_fixes=2))


@case("none", "nothing")
def a_failed_check_on_a_persons_commit() -> Snapshot:
    by_hand = commit(FIRST, "two", ours=False)
    snap = in_testing(checks=(check(),), head=by_hand)
    return replace(snap, branch=branch(FIRST, by_hand, commit(FIRST)))


@case("none", "nothing")
def a_green_check() -> Snapshot:
    return in_testing(checks=(check(conclusion="success"),))


@case("6", "waiting", "comment:note", "assign:ron")
def given_back_with_nothing_to_answer() -> Snapshot:
    return in_testing(assignee=BOT)


@case("6", "done", "ask:revise")
def no_change_was_needed_but_the_reviewer_disagrees() -> Snapshot:
    return replace(in_testing(said(RON, 45), assignee=BOT), branch=None, pull_requests=())


# --- row 7: complete --------------------------------------------------------------------------------------


@case("7", "nothing", f"wake:{PARENT}")
def a_sub_task_is_done() -> Snapshot:
    return family(FIRST, sub_task(FIRST, "alpha", "Done", assignee=RON))


@case("7", "waiting", f"wake:{SECOND}")
def the_next_sub_task_is_ready() -> Snapshot:
    return parent_with(done(FIRST, "alpha", 7), sub_task(SECOND, "beta"), comments=[listed()])


@case("7", "waiting")
def the_next_sub_task_is_ready_but_told_to_stop() -> Snapshot:
    return parent_with(
        done(FIRST, "alpha", 7), sub_task(SECOND, "beta", labels=["ai:stop"]), comments=[listed()]
    )


@case("7", "done", "comment:summary", "move:done", "edit")
def every_sub_task_is_done() -> Snapshot:
    return parent_with(done(FIRST, "alpha", 7), done(SECOND, "beta", 8), comments=[listed()])


@case("7", "waiting")
def a_persons_sub_task_is_still_open() -> Snapshot:
    theirs = sub_task("ABC-5", "", "In Progress", creator=RITA, assignee=RITA)
    return parent_with(done(FIRST, "alpha", 7), done(SECOND, "beta", 8), theirs, comments=[listed()])


@case("7", "waiting")
def no_sub_task_exists_any_more() -> Snapshot:
    return snapshot(parent_ticket(comments=[listed()]))


@case("none", "nothing")
def every_sub_task_is_done_but_the_parent_is_not_in_progress() -> Snapshot:
    return parent_with(
        done(FIRST, "alpha", 7), done(SECOND, "beta", 8), comments=[listed()], status_name="Blocked"
    )


# --- row 9: answers and retries ---------------------------------------------------------------------------


@case("9a", "done", "ask:plan")
def an_answer_to_the_plans_questions() -> Snapshot:
    asked = ours(marker(Kind.QUESTIONS, phase="plan"), 10)
    return snapshot(
        ticket(
            "Blocked",
            comments=[asked, said(RITA, 15)],
            labels=["ai-runner"],
            history=[assigned(BOT, RITA, 11), assigned(RITA, BOT, 16)],
        )
    )


@case("9a", "done", "ask:implement")
def an_answer_to_the_works_questions() -> Snapshot:
    asked = ours(marker(Kind.QUESTIONS, key=FIRST, phase="implement"), 30)
    history = [assigned(BOT, RITA, 31), assigned(RITA, BOT, 36)]
    return family(
        FIRST, sub_task(FIRST, "alpha", "Blocked", comments=[asked, said(RITA, 35)], history=history)
    )


@case("9a", "done", "ask:implement")
def an_answer_after_a_person_moved_the_ticket_on() -> Snapshot:
    asked = ours(marker(Kind.QUESTIONS, key=FIRST, phase="implement"), 30)
    history = [assigned(BOT, RITA, 31), moved(RITA, "In Progress", 35), assigned(RITA, BOT, 36)]
    return family(
        FIRST, sub_task(FIRST, "alpha", "In Progress", comments=[asked, said(RITA, 34)], history=history)
    )


@case("9a", "done", "ask:plan")
def an_answer_to_work_that_is_no_longer_direct() -> Snapshot:
    asked = ours(marker(Kind.QUESTIONS, phase="implement"), 10)
    history = [assigned(BOT, RITA, 11), assigned(RITA, BOT, 16)]
    return snapshot(ticket("Blocked", comments=[asked, said(RITA, 15)], history=history))


@case("9a", "done", "ask:implement")
def an_answer_to_a_plan_that_is_direct_work_by_now() -> Snapshot:
    asked = ours(marker(Kind.QUESTIONS, phase="plan"), 10)
    history = [assigned(BOT, RITA, 11), assigned(RITA, BOT, 16)]
    return snapshot(
        ticket("Blocked", comments=[asked, said(RITA, 15)], labels=["ai:direct"], history=history)
    )


@case("9", "waiting", "comment:note", "assign:rita")
def questions_that_nobody_answered() -> Snapshot:
    asked = ours(marker(Kind.QUESTIONS, phase="plan"), 10)
    return snapshot(
        ticket("Blocked", comments=[asked], history=[assigned(BOT, RITA, 11), assigned(RITA, BOT, 16)])
    )


def failed_ticket(
    *history: object, labels: tuple[str, ...] = ("ai:failed",), kind: Kind = Kind.FAILURE
) -> Ticket:
    told_so = ours(marker(kind, key=FIRST, phase="implement", code="final", number=7), 30)
    return sub_task(
        FIRST,
        "alpha",
        "Blocked",
        labels=labels,
        comments=[told_so],
        history=[assigned(BOT, RON, 31), *history],
    )


@case("5", "done", "comment:progress", "move:in_testing", "assign:ron")
def a_service_that_went_away_between_the_hand_over_comment_and_the_hand_over() -> Snapshot:
    said = ours(marker(Kind.HANDOVER, key=FIRST), 32)
    waits = ours(marker(Kind.PROGRESS, key=FIRST, until=NOW), 33)
    own = sub_task(FIRST, "alpha", "In Progress", labels=["ai:waiting"], comments=[said, waits])
    return replace(family(FIRST, own), branch=branch(FIRST), pull_requests=(pull_request(FIRST),))


@case("9b", "done", "ask:implement")
def a_failed_ticket_given_back_by_a_person() -> Snapshot:
    return family(FIRST, failed_ticket(assigned(RON, BOT, 40)))


@case("9b", "nothing")
def a_failed_ticket_that_nobody_gave_back() -> Snapshot:
    return family(FIRST, replace(failed_ticket(), assignee=RON))


@case("9b", "nothing")
def a_failed_ticket_assigned_before_it_failed() -> Snapshot:
    return family(FIRST, failed_ticket())


@case("9b", "done", "ask:implement")
def a_ticket_given_back_after_a_partial_end() -> Snapshot:
    return family(FIRST, failed_ticket(assigned(RON, BOT, 40), labels=()))


@case("9b", "done", "ask:plan")
def a_failed_plan_given_back_by_a_person() -> Snapshot:
    told_so = ours(marker(Kind.FAILURE, phase="plan", code="final"), 10)
    history = [assigned(BOT, RITA, 11), assigned(RITA, BOT, 16)]
    return snapshot(ticket("Blocked", comments=[told_so], labels=["ai:failed"], history=history))


@case("9b", "done", "edit", "create:alpha", "create:beta")
def a_failed_breakdown_given_back_by_a_person() -> Snapshot:
    told_so = ours(marker(Kind.FAILURE, phase="breakdown", code="final"), 22)
    return snapshot(
        parent_ticket(
            "Blocked",
            comments=[told_so],
            labels=["ai:failed"],
            history=[moved(BOT, "Blocked", 23), assigned(BOT, RITA, 24), assigned(RITA, BOT, 30)],
        )
    )


@case("9b", "done", "ask:implement")
def work_given_back_after_a_veto() -> Snapshot:
    snap = family(FIRST, failed_ticket(assigned(RON, BOT, 55), labels=(), kind=Kind.CLOSED))
    return replace(snap, branch=branch(FIRST), pull_requests=(pull_request(FIRST, state="closed"),))


@case("9b", "done", "edit")
def work_that_was_pushed_before_its_run_failed_and_is_given_back() -> Snapshot:
    snap = family(FIRST, failed_ticket(assigned(RON, BOT, 40)))
    pushed = commit(FIRST, digest=input_of(snap))
    return replace(snap, branch=branch(FIRST, pushed))


@case("9b", "nothing")
def an_over_budget_ticket() -> Snapshot:
    return family(FIRST, failed_ticket(labels=("ai:over-budget",)))


# --- rows 10 to 13: labels of people ----------------------------------------------------------------------


@case("10", "nothing")
def ignored() -> Snapshot:
    return snapshot(ticket("Backlog", labels=["ai:ignore"]))


@case("10", "nothing")
def a_sub_task_of_an_ignored_parent() -> Snapshot:
    return family(FIRST, sub_task(FIRST, "alpha"), parent=parent_ticket(labels=["ai:ignore"]))


@case("10", "nothing")
def ignored_and_failed_and_stopped() -> Snapshot:
    return family(FIRST, failed_ticket(assigned(RON, BOT, 40), labels=("ai:failed", "ai:ignore", "ai:stop")))


@case("13", "nothing")
def a_partial_end_given_back_while_told_to_stop() -> Snapshot:
    return family(FIRST, failed_ticket(assigned(RON, BOT, 40), labels=("ai:stop",)))


@case("1", "done", "ask:plan")
def plan_only_is_planned() -> Snapshot:
    return snapshot(ticket("Backlog", labels=["ai:no-exec"]))


@case("11", "waiting", "comment:note")
def approval_of_a_plan_only_ticket() -> Snapshot:
    return snapshot(parent_ticket(assignee=ADA, labels=["ai:no-exec"]))


@case("11", "waiting")
def approval_of_a_plan_only_ticket_that_was_answered() -> Snapshot:
    answered = ours(marker(Kind.NOTE, code=f"no-exec:{at(20)}"), 21)
    return snapshot(parent_ticket(assignee=ADA, labels=["ai:no-exec"], comments=[answered]))


@case("11", "waiting")
def removing_plan_only_revives_no_old_approval() -> Snapshot:
    answered = ours(marker(Kind.NOTE, code=f"no-exec:{at(20)}"), 21)
    return snapshot(parent_ticket(assignee=ADA, comments=[answered]))


@case("12", "done", "ask:implement")
def a_ticket_labelled_direct() -> Snapshot:
    return snapshot(ticket("Backlog", labels=["ai:direct"]))


@case("12", "done", "ask:implement", using=policy(jira={"direct_types": ["spike"]}))
def a_ticket_of_a_direct_type() -> Snapshot:
    return snapshot(ticket("Backlog", type=SPIKE))


@case("2", "waiting", "comment:note", "move:plan_review", "assign:ada")
def direct_comes_too_late_once_a_plan_exists() -> Snapshot:
    own = reviewed()
    return snapshot(replace(own, labels=own.labels | {"ai:direct"}))


@case("13", "nothing")
def stopped() -> Snapshot:
    return snapshot(ticket("Backlog", labels=["ai:stop"]))


@case("13", "nothing")
def a_sub_task_of_a_stopped_parent() -> Snapshot:
    return family(FIRST, sub_task(FIRST, "alpha"), parent=parent_ticket(labels=["ai:stop"]))


@case("13", "nothing", "edit")
def labels_of_a_dead_run_on_a_ticket_that_was_taken_away() -> Snapshot:
    return family(
        FIRST,
        sub_task(
            FIRST,
            "alpha",
            "In Progress",
            assignee=RITA,
            labels=CLAIMED,
            history=[assigned(RITA, RITA, 40)],
        ),
    )


@case("13", "nothing")
def failed_and_given_back_while_told_to_stop() -> Snapshot:
    return family(FIRST, failed_ticket(assigned(RON, BOT, 40), labels=("ai:failed", "ai:stop")))


# --- row 14: the pull request ended -----------------------------------------------------------------------


def ended(state: str, *comments: object, status: str = "In Testing") -> Snapshot:
    return replace(
        in_testing(*comments, status=status, state=state),
        branch=branch(FIRST),
    )


@case("14", "done", "LinkPullRequest", "comment:merged", "move:done", "edit", f"wake:{PARENT}")
def merged() -> Snapshot:
    return ended("merged")


@case(
    "14",
    "done",
    "LinkPullRequest",
    "comment:merged",
    "edit",
    f"wake:{PARENT}",
    using=policy(on_merge="keep"),
)
def merged_but_a_person_moves_tickets() -> Snapshot:
    return ended("merged")


@case("7", "nothing", f"wake:{PARENT}")
def merged_and_handled() -> Snapshot:
    return ended("merged", ours(marker(Kind.MERGED, key=FIRST, number=7), 51), status="Done")


@case("14", "done", "move:done", "edit", f"wake:{PARENT}")
def merged_and_said_but_not_moved() -> Snapshot:
    return ended("merged", ours(marker(Kind.MERGED, key=FIRST, number=7), 51))


@case(
    "14", "done", "LinkPullRequest", "comment:merged", "move:done", "edit", f"wake:{SECOND}", f"wake:{PARENT}"
)
def merged_with_another_stacked_on_it() -> Snapshot:
    stacked = pull_request(SECOND, 8, base=f"ai/{FIRST}")
    snap = replace(ended("merged"), dependents=(stacked,))
    return replace(snap, heads={**snap.heads, f"ai/{FIRST}": sha("x")})


@case("14", "done", "LinkPullRequest", "comment:merged", "move:done", "edit", f"wake:{PARENT}")
def failed_and_given_back_while_its_pull_request_was_merged() -> Snapshot:
    snap = family(FIRST, failed_ticket(assigned(RON, BOT, 55)))
    return replace(snap, branch=branch(FIRST), pull_requests=(pull_request(FIRST, 8, state="merged"),))


@case("14", "waiting", "comment:closed", "move:blocked", "assign:ron")
def closed_by_a_person() -> Snapshot:
    return ended("closed")


@case("none", "nothing")
def closed_by_a_person_and_handled() -> Snapshot:
    return ended("closed", ours(marker(Kind.CLOSED, key=FIRST, number=7), 51), status="Blocked")


@case("14", "done", "comment:closed", "open:main")
def closed_because_its_base_vanished() -> Snapshot:
    first = WorkItem(
        ticket=sub_task(FIRST, "alpha", "Done", assignee=RON),
        pull_request=pull_request(FIRST, state="merged"),
    )
    own = sub_task(
        SECOND,
        "beta",
        "In Testing",
        assignee=RON,
        comments=[ours(marker(Kind.HANDOVER, key=SECOND), 32)],
    )
    pull = pull_request(
        SECOND,
        8,
        state="closed",
        base=f"ai/{FIRST}",
        facts=record(SECOND, base=f"ai/{FIRST}", stacked_on=f"ai/{FIRST}"),
        base_exists=False,
    )
    return replace(family(SECOND, first, own), branch=branch(SECOND), pull_requests=(pull,))


def _opened_again() -> Snapshot:
    said = ours(marker(Kind.CLOSED, key=SECOND, number=8, code="base-vanished"), 51)
    own = sub_task(
        SECOND,
        "beta",
        "In Testing",
        assignee=RON,
        comments=[ours(marker(Kind.HANDOVER, key=SECOND), 32), said],
    )
    pull = pull_request(SECOND, 9, facts=record(SECOND, base="main"))
    return replace(family(SECOND, own), branch=branch(SECOND), pull_requests=(pull,))


@case("14", "done", "DressPullRequest", "LinkPullRequest")
def opened_again_and_not_dressed() -> Snapshot:
    return _opened_again()


@case("none", "nothing")
def opened_again_and_undressed_by_a_person() -> Snapshot:
    snap = _opened_again()
    linked = {"ai-runner:acme/shop#9": "https://github.example/acme/shop/pull/9"}
    return replace(snap, ticket=replace(snap.ticket, remote_links=linked))


@case("sequence", "done", "target:main", "update", "reword")
def the_predecessor_was_merged() -> Snapshot:
    first = WorkItem(
        ticket=sub_task(FIRST, "alpha", "Done", assignee=RON),
        pull_request=pull_request(FIRST, state="merged"),
    )
    own = sub_task(
        SECOND,
        "beta",
        "In Testing",
        assignee=RON,
        comments=[ours(marker(Kind.HANDOVER, key=SECOND), 32)],
    )
    base = f"ai/{FIRST}"
    pull = pull_request(SECOND, 8, base=base, facts=record(SECOND, base=base, stacked_on=base))
    snap = replace(family(SECOND, first, own), branch=branch(SECOND), pull_requests=(pull,))
    return replace(snap, heads={**snap.heads, base: commit(FIRST).sha})


@case("15", "waiting")
def parked_until_later() -> Snapshot:
    waiting = ours(marker(Kind.PROGRESS, until="2026-03-03T00:00:00.000Z"), 20)
    return snapshot(ticket("Backlog", labels=["ai-runner", "ai:waiting"], comments=[waiting]))


@case("1", "done", "ask:plan")
def parked_until_now() -> Snapshot:
    waiting = ours(marker(Kind.PROGRESS, until=NOW), 20)
    return snapshot(ticket("Backlog", labels=["ai-runner", "ai:waiting"], comments=[waiting]))


# --- said once --------------------------------------------------------------------------------------------


@case("1", "waiting", "comment:note")
def an_epic() -> Snapshot:
    return snapshot(ticket("Backlog", type=EPIC))


@case("1", "waiting")
def an_epic_that_was_answered() -> Snapshot:
    return snapshot(ticket("Backlog", type=EPIC, comments=[ours(marker(Kind.NOTE, code="epic"), 10)]))


@case("4", "waiting", "comment:note")
def a_sub_task_that_somebody_else_created() -> Snapshot:
    return family(FIRST, sub_task(FIRST, "alpha", creator=RITA))


@case("4", "waiting", "comment:note")
def a_persons_sub_task_with_a_copied_label_is_not_ours() -> Snapshot:
    return family(FIRST, sub_task(FIRST, "alpha", creator=RITA, labels=["ai-item-alpha"]))


@case("none", "waiting", "comment:note")
def an_unknown_status() -> Snapshot:
    return snapshot(ticket("Frozen"))


@case("none", "nothing")
def an_unknown_status_of_somebody_elses_ticket() -> Snapshot:
    return snapshot(ticket("Frozen", assignee=RITA, history=[assigned(ADA, RITA, 6)]))


@case("none", "waiting", "comment:note")
def given_back_in_blocked_where_nothing_is_open() -> Snapshot:
    return snapshot(ticket("Blocked", history=[moved(ADA, "Blocked", 5), assigned(ADA, BOT, 6)]))


@case("none", "waiting")
def given_back_in_blocked_and_told_so() -> Snapshot:
    said = ours(marker(Kind.NOTE, code=f"at-rest:{at(6)}"), 10)
    return snapshot(
        ticket("Blocked", history=[moved(ADA, "Blocked", 5), assigned(ADA, BOT, 6)], comments=[said])
    )


@case("none", "nothing")
def blocked_by_a_person_while_it_was_the_runners() -> Snapshot:
    return snapshot(ticket("Blocked", history=[assigned(ADA, BOT, 5), moved(ADA, "Blocked", 6)]))


@case("3", "waiting", "comment:note")
def approved_after_the_plan_comment_was_deleted() -> Snapshot:
    return snapshot(without_plan(parent_ticket(assignee=ADA, history=[assigned(BOT, ADA, 11)])))


@case("none", "nothing")
def moved_into_work_by_hand_and_never_planned() -> Snapshot:
    return snapshot(
        ticket("In Progress", assignee=ADA, history=[assigned(BOT, ADA, 5), moved(ADA, "In Progress", 6)])
    )


# --- statuses a project lacks -----------------------------------------------------------------------------

LACKING = {"plan_review": None, "in_testing": None, "blocked": None}
THREE = policy(jira={"statuses": {"parent": LACKING, "sub_task": LACKING}})


@case("2", "done", "ask:plan", using=THREE)
def a_label_stands_in_for_plan_review() -> Snapshot:
    own = reviewed(said(ADA, 15), status="Backlog")
    return snapshot(replace(own, labels=own.labels | {"ai:plan-review"}))


@case("6", "done", "ask:revise", using=THREE)
def a_label_stands_in_for_in_testing() -> Snapshot:
    return in_testing(said(RON, 45), assignee=BOT, status="In Progress", labels=("ai:in-testing",))


@case("9b", "done", "ask:implement", using=THREE)
def a_label_stands_in_for_blocked() -> Snapshot:
    own = failed_ticket(assigned(RON, BOT, 40), labels=("ai:failed", "ai:blocked"))
    return family(FIRST, replace(own, status=ticket("In Progress").status))


@case("1", "done", "ask:plan", using=THREE)
def a_project_with_three_statuses() -> Snapshot:
    return snapshot(ticket("To Do"))


@case("4", "done", "ask:implement", using=THREE)
def a_sub_task_in_a_project_with_three_statuses() -> Snapshot:
    return family(FIRST, sub_task(FIRST, "alpha", "To Do"))


@case("3", "done", "edit", "create:alpha", "create:beta", using=THREE)
def approval_in_a_project_with_three_statuses() -> Snapshot:
    return snapshot(parent_ticket(assignee=ADA, labels=["ai:plan-review"]))
