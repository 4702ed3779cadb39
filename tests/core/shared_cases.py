"""Situations of ``sequence: shared``: one branch and one pull request, named after the parent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from runner.core.markers import Kind
from runner.core.model import CommitInfo, PullRequest, ReviewState, Snapshot, WorkItem
from tests.core.cases import case
from tests.core.snapshots import (
    BOT,
    FIRST,
    PARENT,
    RON,
    SECOND,
    THIRD,
    assigned,
    branch,
    check,
    commit,
    family,
    listed,
    marker,
    ours,
    parent_ticket,
    plan,
    policy,
    pull_request,
    record,
    review,
    said,
    snapshot,
    sub_task,
    thread,
)

SHARED = policy(sequence="shared")
ALPHA = replace(commit(FIRST), files=("src/alpha.py",))
BETA = replace(commit(SECOND, "two"), files=("src/beta.py",))
IDS = {FIRST: "alpha", SECOND: "beta", THIRD: "gamma"}


def shared(state: Any = "open", number: int = 7, **more: Any) -> PullRequest:
    """The pull request of the parent, with the commits of two sub-tasks."""
    values: dict[str, Any] = {"head": BETA, "facts": record(PARENT, parent=""), **more}
    return pull_request(PARENT, number, state=state, **values)


def member(key: str, status: str = "In Testing", pull: PullRequest | None = None, **more: Any) -> WorkItem:
    """A sub-task that was handed over to Ron, with the pull request that its work is in."""
    handed = [ours(marker(Kind.HANDOVER, key=key, input_digest="2" * 12), 32)]
    values: dict[str, Any] = {
        "assignee": RON,
        "comments": handed,
        "history": [assigned(BOT, RON, 33)],
        **more,
    }
    return WorkItem(ticket=sub_task(key, IDS[key], status, **values), pull_request=pull)


def waiting(key: str, status: str = "Backlog", **more: Any) -> WorkItem:
    """A sub-task that nothing was done for yet."""
    return WorkItem(ticket=sub_task(key, IDS[key], status, **more))


def on_branch(
    mine: str,
    *members: WorkItem,
    pull: PullRequest | None,
    commits: Sequence[CommitInfo] = (ALPHA, BETA),
    gone: bool = False,
) -> Snapshot:
    """What a sub-task's run reads: the parent's branch with these commits, oldest first."""
    snap = family(mine, *members, the_plan=plan("alpha", "beta", "gamma"))
    there = None if gone or not commits else branch(PARENT, *reversed(commits))
    offered = {} if pull is None else {pull.number: tuple(commits)}
    return replace(snap, branch=there, pull_requests=() if pull is None else (pull,), offered=offered)


def of_parent(pull: PullRequest, *members: WorkItem, **more: Any) -> Snapshot:
    """What the parent's run reads."""
    the_plan = plan("alpha", "beta", "gamma")
    own = parent_ticket(
        the_plan=the_plan,
        keys=[one.ticket.key for one in members],
        comments=[listed(the_plan)],
        **{"assignee": BOT, **more},
    )
    return snapshot(
        own,
        family=members,
        branch=branch(PARENT, BETA, ALPHA),
        pull_requests=(pull,),
        offered={pull.number: (ALPHA, BETA)},
    )


# --- work -------------------------------------------------------------------------------------------------


@case("4", "done", "ask:implement", using=SHARED)
def the_first_sub_task_begins_the_shared_branch() -> Snapshot:
    return on_branch(FIRST, waiting(FIRST), waiting(SECOND), waiting(THIRD), pull=None, commits=())


@case("4", "done", "ask:implement", using=SHARED)
def the_second_sub_task_goes_on_from_the_shared_branch() -> Snapshot:
    pull = shared(head=ALPHA)
    return on_branch(
        SECOND, member(FIRST, pull=pull), waiting(SECOND), waiting(THIRD), pull=pull, commits=(ALPHA,)
    )


@case("4", "waiting", using=SHARED)
def a_sub_task_waits_for_its_predecessor_though_the_shared_branch_exists() -> Snapshot:
    pull = shared(head=ALPHA)
    return on_branch(
        THIRD, member(FIRST, pull=pull), waiting(SECOND), waiting(THIRD), pull=pull, commits=(ALPHA,)
    )


@case("4", "waiting", using=SHARED)
def a_sub_task_waits_while_another_is_revised_on_the_shared_branch() -> Snapshot:
    pull = shared()
    revised = member(FIRST, pull=pull, assignee=BOT, labels=("ai-runner", "ai:working", "ai:try-1"))
    return on_branch(THIRD, revised, member(SECOND, pull=pull), waiting(THIRD), pull=pull)


@case("5", "done", "ask:implement", using=SHARED)
def two_claimed_sub_tasks_do_not_wait_for_each_other() -> Snapshot:
    claimed = ("ai-runner", "ai:working", "ai:try-1")
    return on_branch(
        FIRST,
        waiting(FIRST, "In Progress", labels=claimed),
        waiting(SECOND, "In Progress", labels=claimed),
        waiting(THIRD),
        pull=None,
        commits=(),
    )


@case("4", "done", "ask:implement", using=SHARED)
def a_sub_task_left_out_of_a_merge_starts_anew() -> Snapshot:
    pull = shared("merged")
    return on_branch(
        THIRD, member(FIRST, "Done", pull), member(SECOND, "Done", pull), waiting(THIRD), pull=pull, gone=True
    )


@case("4", "waiting", "comment:failure", "move:blocked", "assign:ron", using=SHARED)
def nothing_is_added_to_a_shared_branch_that_was_rejected() -> Snapshot:
    pull = shared("closed")
    done = member(SECOND, "Done", pull)
    return on_branch(THIRD, member(FIRST, "Blocked", pull), done, waiting(THIRD), pull=pull)


@case("4", "done", "ask:implement", using=SHARED)
def without_the_rejected_branch_the_rest_starts_afresh() -> Snapshot:
    pull = shared("closed")
    done = member(SECOND, "Done", pull)
    return on_branch(THIRD, member(FIRST, "Blocked", pull), done, waiting(THIRD), pull=pull, gone=True)


# --- feedback ---------------------------------------------------------------------------------------------


@case("6", "done", "ask:revise", using=SHARED)
def a_thread_belongs_to_the_sub_task_that_changed_the_file() -> Snapshot:
    pull = shared(reviews=(replace(review(), paths=("src/alpha.py",)),), threads=(thread(),))
    return on_branch(FIRST, member(FIRST, pull=pull), member(SECOND, pull=pull), waiting(THIRD), pull=pull)


@case("none", "nothing", using=SHARED)
def a_thread_about_another_sub_tasks_file_is_not_ours() -> Snapshot:
    pull = shared(reviews=(replace(review(), paths=("src/alpha.py",)),), threads=(thread(),))
    return on_branch(SECOND, member(FIRST, pull=pull), member(SECOND, pull=pull), waiting(THIRD), pull=pull)


@case("6", "done", "ask:revise", using=SHARED)
def a_review_without_a_file_belongs_to_the_last_sub_task() -> Snapshot:
    pull = shared(reviews=(review(),))
    return on_branch(SECOND, member(FIRST, pull=pull), member(SECOND, pull=pull), waiting(THIRD), pull=pull)


@case("none", "nothing", using=SHARED)
def a_remark_demands_nothing_once_the_reviewer_approved() -> Snapshot:
    verdicts = (review(), review(ReviewState.APPROVED, "", minute=47))
    pull = shared(reviews=verdicts, threads=(thread(),))
    return on_branch(FIRST, member(FIRST, pull=pull), member(SECOND, pull=pull), waiting(THIRD), pull=pull)


@case("6", "done", "ask:revise", using=SHARED)
def a_failed_check_belongs_to_whoever_pushed_last() -> Snapshot:
    pull = shared(checks=(check(),))
    return on_branch(SECOND, member(FIRST, pull=pull), member(SECOND, pull=pull), waiting(THIRD), pull=pull)


@case("none", "nothing", using=SHARED)
def a_failed_check_on_another_sub_tasks_commit_is_not_ours() -> Snapshot:
    pull = shared(checks=(check(),))
    return on_branch(FIRST, member(FIRST, pull=pull), member(SECOND, pull=pull), waiting(THIRD), pull=pull)


@case("6", "done", "ask:revise", using=SHARED)
def a_comment_in_jira_belongs_to_its_ticket() -> Snapshot:
    pull = shared()
    given = member(
        FIRST,
        pull=pull,
        assignee=BOT,
        comments=[ours(marker(Kind.HANDOVER, key=FIRST, input_digest="2" * 12), 32), said(RON, 45)],
        history=[assigned(BOT, RON, 33), assigned(RON, BOT, 47)],
    )
    return on_branch(FIRST, given, member(SECOND, pull=pull), waiting(THIRD), pull=pull)


# --- the end of the pull request --------------------------------------------------------------------------


@case("14", "done", "LinkPullRequest", "comment:merged", "move:done", "edit", f"wake:{PARENT}", using=SHARED)
def a_shared_merge_moves_each_sub_task_in_it() -> Snapshot:
    pull = shared("merged")
    return on_branch(FIRST, member(FIRST, pull=pull), member(SECOND, pull=pull), waiting(THIRD), pull=pull)


@case("14", "waiting", "comment:closed", "move:blocked", "assign:ron", using=SHARED)
def a_shared_veto_blocks_each_sub_task_in_it() -> Snapshot:
    pull = shared("closed")
    return on_branch(SECOND, member(FIRST, pull=pull), member(SECOND, pull=pull), waiting(THIRD), pull=pull)


# --- the parent -------------------------------------------------------------------------------------------


@case("7", "waiting", f"wake:{FIRST}", f"wake:{SECOND}", using=SHARED)
def the_parent_wakes_whose_work_was_merged() -> Snapshot:
    pull = shared("merged")
    return of_parent(pull, member(FIRST), member(SECOND), waiting(THIRD, assignee=RON))


@case("7", "waiting", f"wake:{SECOND}", using=SHARED)
def the_parent_wakes_whom_a_veto_concerns() -> Snapshot:
    pull = shared("closed")
    return of_parent(pull, member(FIRST, "Blocked"), member(SECOND), waiting(THIRD, assignee=RON))


@case("7", "waiting", f"wake:{FIRST}", using=SHARED)
def the_parent_wakes_one_sub_task_that_a_review_concerns() -> Snapshot:
    pull = shared(reviews=(review(),), threads=(thread(),))
    return of_parent(pull, member(FIRST, is_detailed=True), member(SECOND, is_detailed=True), waiting(THIRD))


@case("7", "waiting", f"wake:{THIRD}", using=SHARED)
def the_parent_starts_what_is_ready_on_the_shared_branch() -> Snapshot:
    return of_parent(shared(), member(FIRST), member(SECOND), waiting(THIRD))


@case("7", "waiting", using=SHARED)
def the_parent_leaves_alone_what_a_label_holds() -> Snapshot:
    held = member(FIRST, labels=("ai-runner", "ai:failed"))
    return of_parent(shared("merged"), held, member(SECOND, "Done"), waiting(THIRD, assignee=RON))


@case("7", "nothing", f"wake:{FIRST}", f"wake:{SECOND}", using=SHARED)
def a_shared_merge_is_followed_while_a_person_holds_the_parent() -> Snapshot:
    pull = shared("merged")
    return of_parent(pull, member(FIRST), member(SECOND), waiting(THIRD), assignee=RON)
