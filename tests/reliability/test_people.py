"""People in the middle: each of their moves has a defined answer, and none of their work is lost."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from runner.adapters import adf
from runner.core.markers import Kind
from runner.sandbox.jira.adf import from_text
from runner.sandbox.jira.records import StoredComment
from tests.reliability import scenes
from tests.reliability.arena import Arena
from tests.reliability.invariants import is_at_rest, markers, violations
from tests.reliability.runs import Runs
from tests.reliability.scripts import Script
from tests.reliability.settling import settle
from tests.reliability.wire import Line


def said(arena: Arena, key: str, words: str) -> bool:
    """Whether a comment of the runner holds these words."""
    texts = [adf.plain_text(one.body) for one in arena.issue(key).comments if one.author == arena.bot]
    return any(re.search(words, text, re.IGNORECASE) for text in texts)


def test_a_commit_on_our_branch_is_built_upon() -> None:
    """A person's commit stays an ancestor of the branch, and the revision comes after it."""
    scene = scenes.revise().copy()
    arena, runs = scene.arena, scene.runs()
    branch = f"ai/{scene.key}"
    arena.notes["human commits"] = {arena.commit_by_person(branch, "NOTES.md", b"mine\n"): branch}

    runs.run(scene.key)

    assert violations(arena, runs) == []
    assert arena.status(scene.key) == "In Testing"
    assert {"NOTES.md", f"src/{scene.key}.py"} <= arena.github.files(branch).keys()


def test_a_commit_pushed_while_the_model_works_discards_only_our_result() -> None:
    """The work starts again from the person's commit; the model is asked once more and no more."""
    scene = scenes.revise().copy()
    arena, runs = scene.arena, scene.runs()
    branch = f"ai/{scene.key}"

    def push() -> None:
        arena.notes["human commits"] = {arena.commit_by_person(branch, "NOTES.md", b"mine\n"): branch}

    first = runs.run(scene.key, meanwhile=push)
    assert (scene.key,) == first.dispatched
    runs.follow(scene.key)

    assert violations(arena, runs) == []
    assert arena.status(scene.key) == "In Testing"


def test_a_description_edited_after_the_approval_is_reported() -> None:
    """The list of sub-tasks says that the ticket was changed since it was planned."""
    scene = scenes.breakdown().copy()
    scene.arena.rita.rewrite(scene.key, description="Something else altogether.")

    scene.runs().run(scene.key)

    assert said(scene.arena, scene.key, "changed (since|after)|was changed")


def test_a_deleted_plan_comment_is_planned_anew() -> None:
    """Without its plan the ticket is in the state of row 1 as soon as it is the runner's again."""
    scene = scenes.planned().copy()
    arena, runs = scene.arena, scene.runs()
    comment = next(one for one, marker in markers(arena, arena.issue(scene.key)) if marker.kind is Kind.PLAN)
    arena.issue(scene.key).comments.remove(comment)
    arena.ada.move(scene.key, "Backlog")
    arena.ada.assign(scene.key, arena.bot)

    assert runs.run(scene.key).model_calls == 1
    assert arena.status(scene.key) == "Plan Review"


def test_a_deleted_progress_comment_is_only_written_again() -> None:
    """Nothing depends on the progress comment."""
    scene = scenes.revise().copy()
    arena, runs = scene.arena, scene.runs()
    issue = arena.issue(scene.key)
    issue.comments[:] = [
        one
        for one in issue.comments
        if one not in [c for c, m in markers(arena, issue) if m.kind is Kind.PROGRESS]
    ]

    runs.run(scene.key)

    assert (arena.status(scene.key), violations(arena, runs)) == ("In Testing", [])


def test_a_deleted_sub_task_is_not_created_again() -> None:
    """Once the list was written, a missing sub-task was removed by a person."""
    scene = scenes.broken_down().copy()
    arena, runs = scene.arena, scene.runs()
    gone = arena.sub_tasks(scene.parent)[1]
    arena.site.delete_issue(arena.issue(gone))

    runs.run(scene.parent)

    assert len(arena.sub_tasks(scene.parent)) == 2


def test_a_clone_of_a_sub_task_is_a_persons() -> None:
    """A copy carries our labels but was created by a person: it is never worked on and no duplicate of ours."""
    scene = scenes.broken_down().copy()
    arena, runs = scene.arena, scene.runs()
    original = arena.sub_tasks(scene.parent)[0]
    clone = arena.rita.create_ticket(
        "CLONE - Do prices",
        type="Sub-task",
        project="SHOP",
        parent=scene.parent,
        labels=sorted(arena.labels(original)),
    )
    arena.rita.assign(clone, arena.bot)

    runs.run(clone)
    again = runs.run(clone)

    assert not any(ran.model_calls for ran in runs.history)
    assert is_at_rest(again)
    assert (arena.status(clone), arena.assignee(clone)) == ("Backlog", "ai")
    assert violations(arena, runs) == []


def test_a_sub_task_added_by_hand_is_waited_for() -> None:
    """A person's sub-task counts for "all done": the parent is not closed before it."""
    scene = scenes.completion().copy()
    arena, runs = scene.arena, scene.runs()
    extra = arena.rita.create_ticket("By hand", type="Sub-task", project="SHOP", parent=scene.parent)

    runs.run(scene.parent)
    assert arena.status(scene.parent) == "In Progress"
    arena.rita.move(extra, "Done")
    runs.run(scene.parent)

    assert arena.status(scene.parent) == "Done"


def test_a_pull_request_opened_again_after_the_veto_lives_on() -> None:
    """Opening it again takes the veto back: feedback on it is worked through as before."""
    scene = scenes.closed().copy()
    arena, runs = scene.arena, scene.runs()
    runs.run(scene.key)
    arena.reviewer.request("PATCH", "pulls/1", state="open")
    arena.rey.comment(scene.key, "I was wrong; please rename it only.")
    arena.rey.assign(scene.key, arena.bot)

    runs.run(scene.key)

    assert (arena.status(scene.key), len(arena.hub.pulls)) == ("In Testing", 1)
    assert violations(arena, runs) == []


def test_a_parent_dragged_back_stops_its_sub_tasks() -> None:
    """Sub-tasks start only while their parent is In Progress; dragged forward again, they do."""
    scene = scenes.implement().copy()
    arena, runs = scene.arena, scene.runs()
    arena.ada.move(scene.parent, "Backlog")

    assert is_at_rest(runs.run(scene.key))
    arena.ada.move(scene.parent, "In Progress")

    assert runs.run(scene.key).model_calls == 1


def test_a_predecessor_revised_brings_its_dependent_up_to_date() -> None:
    """After a revision of the first, the second's branch contains it, by a merge that drops nothing."""
    scene = scenes.stacked().copy()
    arena, runs = scene.arena, scene.runs()
    first, second = arena.sub_tasks(scene.parent)[:2]
    arena.rey.comment(first, "Rename it.")
    arena.rey.assign(first, arena.bot)

    runs.follow(first)
    runs.follow(second)

    git = arena.hub.git
    assert git.is_ancestor(str(git.branch(f"ai/{first}")), str(git.branch(f"ai/{second}")))
    assert violations(arena, runs) == []


def test_a_conflict_while_bringing_up_to_date_is_told() -> None:
    """When the merge of the base conflicts, the ticket says what a person must do."""
    scene = scenes.stacked().copy()
    arena, runs = scene.arena, scene.runs()
    first, second = arena.sub_tasks(scene.parent)[:2]
    arena.commit_by_person(f"ai/{first}", "README.md", b"# First\n")
    arena.commit_by_person(f"ai/{second}", "README.md", b"# Second\n")
    arena.reviewer.merge(1)

    runs.run(second)

    assert said(arena, second, "could not be merged|conflict")
    assert is_at_rest(runs.run(second))


def test_a_deleted_base_branch_gives_way_to_the_base_of_the_base() -> None:
    """When the branch below disappears, the dependent gets a new pull request to what survives."""
    scene = scenes.stacked().copy()
    arena, runs = scene.arena, scene.runs()
    first, second = arena.sub_tasks(scene.parent)[:2]
    arena.delete_branch(f"ai/{first}")

    for _ in range(2):
        runs.run(second)

    is_open = [(one.head, one.base) for one in arena.hub.pulls.values() if one.is_open]
    assert [(f"ai/{second}", "main")] == is_open
    assert is_at_rest(runs.run(second))


def test_a_ticket_taken_from_the_runner_while_it_works_is_left_to_the_person() -> None:
    """What exists is kept as a draft; status and assignee stay as the person left them."""
    scene = scenes.implement().copy()
    arena, runs = scene.arena, scene.runs()

    runs.run(scene.key, meanwhile=lambda: arena.rey.assign(scene.key, arena.rey.account))

    assert (arena.assignee(scene.key), [one.draft for one in arena.hub.pulls.values()]) == ("rey", [True])
    assert is_at_rest(runs.run(scene.key))


def our_comments(arena: Arena, key: str, *kinds: Kind) -> list[StoredComment]:
    """Comments of the runner, of these kinds or of all."""
    return [one for one, marker in markers(arena, arena.issue(key)) if not kinds or marker.kind in kinds]


def edited(comment: StoredComment) -> Any:
    """The body of a comment with one more sentence."""
    body = copy.deepcopy(comment.body)
    body["content"].insert(0, from_text("Also do receipts.")["content"][0])
    return body


def test_a_plan_comment_edited_before_the_approval_is_feedback() -> None:
    """Given back, the plan is void and a new version answers what was written into it."""
    scene = scenes.planned().copy()
    arena, runs = scene.arena, scene.runs()
    (comment,) = our_comments(arena, scene.key, Kind.PLAN)
    arena.site.edit_comment(arena.issue(scene.key), comment, arena.ada.account, edited(comment))
    arena.ada.assign(scene.key, arena.bot)

    ran = runs.run(scene.key)

    assert ran.file is not None
    assert ran.file.context is not None
    assert "Also do receipts." in ran.file.context.edited_plan
    assert (arena.status(scene.key), violations(arena, runs)) == ("Plan Review", [])
    assert is_at_rest(runs.run(scene.key))


def test_a_plan_comment_replaced_altogether_is_planned_anew_from_what_it_says_now() -> None:
    """Nothing in it tells any more that it was a plan; in Plan Review the ticket waits for one all the same."""
    scene = scenes.planned().copy()
    arena, runs = scene.arena, scene.runs()
    (comment,) = our_comments(arena, scene.key, Kind.PLAN)
    arena.site.edit_comment(arena.issue(scene.key), comment, arena.ada.account, from_text("Only prices."))
    arena.ada.assign(scene.key, arena.bot)

    ran = runs.run(scene.key)

    assert ran.file is not None
    assert ran.file.context is not None
    assert ("Ada Approver", "Only prices.") in [(one.author, one.text) for one in ran.file.context.comments]
    assert (arena.status(scene.key), violations(arena, runs)) == ("Plan Review", [])
    assert is_at_rest(runs.run(scene.key))


def test_a_plan_comment_edited_and_then_approved_is_refused_naming_the_editor() -> None:
    """Nobody knows what was approved: no sub-task is made, and that is said once."""
    scene = scenes.planned().copy()
    arena, runs = scene.arena, scene.runs()
    (comment,) = our_comments(arena, scene.key, Kind.PLAN)
    arena.site.edit_comment(arena.issue(scene.key), comment, arena.rita.account, edited(comment))
    arena.ada.move(scene.key, "In Progress")

    runs.run(scene.key)

    assert (arena.sub_tasks(scene.key), said(arena, scene.key, "Rita Requester")) == ([], True)
    assert is_at_rest(runs.run(scene.key))


@pytest.mark.parametrize("name", ["planned", "broken_down", "implemented", "stacked", "closed"])
def test_whatever_comments_of_ours_a_person_deletes_nothing_is_made_twice(name: str) -> None:
    """The list of sub-tasks, hand-overs, progress: the tickets, branches and pull requests themselves still tell."""
    scene = getattr(scenes, name)().copy()
    arena, runs = scene.arena, scene.runs()
    before = (len(arena.site.issues), len(arena.hub.pulls))
    for issue in arena.site.issues.values():
        issue.comments[:] = [one for one in issue.comments if one not in our_comments(arena, issue.key)]
    for key in sorted(one.key for one in arena.site.issues.values()):
        assert settle(runs, key) == []

    assert (len(arena.site.issues), len(arena.hub.pulls)) == before
    assert violations(arena, runs) == []


def test_sub_tasks_reordered_by_a_person_keep_the_plans_order() -> None:
    """What depends on what is the plan's to say, not the order on the screen."""
    scene = scenes.broken_down().copy()
    arena, runs = scene.arena, scene.runs()
    first = arena.sub_tasks(scene.parent)[0]
    arena.issue(scene.parent).sub_task_ids.reverse()

    assert runs.run(scene.parent).dispatched == (first,)
    assert is_at_rest(runs.run(arena.sub_tasks(scene.parent)[0]))


def test_a_sub_task_done_by_hand_makes_room_for_the_next() -> None:
    """Moved to Done before it was worked on, it needs no branch: the next one starts from the base branch."""
    scene = scenes.broken_down().copy()
    arena, runs = scene.arena, scene.runs()
    first, second = arena.sub_tasks(scene.parent)[:2]
    arena.ada.move(first, "Done")

    runs.run(second)

    assert (arena.status(first), arena.status(second)) == ("Done", "In Testing")
    assert [(one.head, one.base) for one in arena.hub.pulls.values()] == [(f"ai/{second}", "main")]


@pytest.mark.parametrize("status", ["Blocked", "In Testing", "Done"])
def test_a_sub_task_moved_by_a_person_is_not_worked_on(status: str) -> None:
    """Only the backlog, or work of our own that was interrupted, starts work."""
    scene = scenes.implement().copy()
    scene.arena.ada.move(scene.key, status)
    runs = scene.runs()

    assert settle(runs, scene.key) == []
    assert (sum(ran.model_calls for ran in runs.history), scene.arena.status(scene.key)) == (0, status)


def test_a_sub_task_given_to_a_person_is_theirs() -> None:
    """It is never touched, and what builds on it waits until they are done."""
    scene = scenes.broken_down().copy()
    arena, runs = scene.arena, scene.runs()
    first, second = arena.sub_tasks(scene.parent)[:2]
    arena.rey.assign(first, arena.rey.account)
    arena.rey.move(first, "In Progress")

    assert (is_at_rest(runs.run(first)), is_at_rest(runs.run(second))) == (True, True)
    arena.rey.move(first, "Done")

    assert runs.run(second).model_calls == 1


def test_a_sub_task_moved_into_work_ahead_of_its_turn_holds_nobody_up() -> None:
    """It waits for its predecessor, which starts all the same, and comes next by itself."""
    scene = scenes.broken_down().copy()
    arena, runs = scene.arena, scene.runs()
    first, second = arena.sub_tasks(scene.parent)[:2]
    arena.ada.move(second, "In Progress")

    assert is_at_rest(runs.run(second))
    runs.follow(first)

    assert (arena.status(first), arena.status(second)) == ("In Testing", "In Testing")
    assert [(one.head, one.base) for one in arena.hub.pulls.values()][:2] == [
        (f"ai/{first}", "main"),
        (f"ai/{second}", f"ai/{first}"),
    ]
    assert violations(arena, runs) == []


@pytest.mark.parametrize("how", ["edited", "deleted"])
def test_without_the_plan_no_further_sub_task_starts(how: str) -> None:
    """What comes first is then unknown, which is not the same as free; the parent is woken and says what to do."""
    scene = scenes.broken_down().copy()
    arena, runs = scene.arena, scene.runs()
    issue = arena.issue(scene.parent)
    comment = next(one for one, marker in markers(arena, issue) if marker.kind is Kind.PLAN)
    if how == "edited":
        arena.site.edit_comment(issue, comment, arena.rita.account, edited(comment))
    else:
        issue.comments.remove(comment)
    last = arena.sub_tasks(scene.parent)[-1]

    ran = runs.run(last)

    assert (ran.model_calls, ran.dispatched, arena.status(last)) == (0, (scene.parent,), "Backlog")


def test_a_parent_dragged_into_work_without_a_plan_is_planned_first() -> None:
    """Past Plan Review there is nothing to approve: the plan is written and waits there."""
    scene = scenes.plan().copy()
    scene.arena.ada.move(scene.key, "In Progress")

    assert scene.runs().run(scene.key).model_calls == 1
    assert (scene.arena.status(scene.key), scene.arena.sub_tasks(scene.key)) == ("Plan Review", [])


@pytest.mark.parametrize("status", ["In Review", "Blocked", "Done"])
def test_a_parent_dragged_past_its_work_stops_what_did_not_begin(status: str) -> None:
    """Sub-tasks start only while their parent is In Progress, whichever way it left."""
    scene = scenes.implement().copy()
    scene.arena.ada.move(scene.parent, status)
    runs = scene.runs()

    assert settle(runs, scene.key) == settle(runs, scene.parent) == []
    assert (sum(ran.model_calls for ran in runs.history), scene.arena.status(scene.parent)) == (0, status)


@pytest.mark.parametrize("status", ["Backlog", "Blocked", "Done"])
def test_a_ticket_moved_away_while_the_runner_works_stays_there(status: str) -> None:
    """Its work becomes a draft for the reviewer, who says how to go on; on a ticket that is Done it is dropped."""
    scene = scenes.implement().copy()
    arena, runs = scene.arena, scene.runs()

    runs.run(scene.key, meanwhile=lambda: arena.ada.move(scene.key, status))

    drafts = [one.draft for one in arena.hub.pulls.values()]
    assert (arena.status(scene.key), drafts) == (status, [] if status == "Done" else [True])
    assert {one for one in arena.labels(scene.key) if one.startswith("ai:")} == set()
    assert violations(arena, runs) == []
    assert is_at_rest(runs.run(scene.key))
    if status != "Done":
        assert arena.assignee(scene.key) == "rey"
        arena.rey.assign(scene.key, arena.bot)
        runs.run(scene.key)
        assert (arena.status(scene.key), [one.draft for one in arena.hub.pulls.values()]) == (
            "In Testing",
            [False],
        )


@pytest.mark.parametrize("status", ["Blocked", "Done"])
def test_a_parent_moved_away_while_it_is_planned_gets_no_plan(status: str) -> None:
    """Moved back, it is planned."""
    scene = scenes.plan().copy()
    arena, runs = scene.arena, scene.runs()

    runs.run(scene.key, meanwhile=lambda: arena.ada.move(scene.key, status))

    assert (arena.status(scene.key), our_comments(arena, scene.key, Kind.PLAN)) == (status, [])
    assert is_at_rest(runs.run(scene.key))
    arena.ada.move(scene.key, "Backlog")
    assert settle(runs, scene.key) == []
    assert arena.status(scene.key) == "Plan Review"


@pytest.mark.parametrize("name", ["plan", "plan_revision", "implement", "revise"])
def test_a_ticket_ignored_while_the_runner_works_is_not_written_to(name: str) -> None:
    """What was made is dropped; the claim stays until the label goes, and then the sweep finds it and work goes on."""
    scene = getattr(scenes, name)().copy()
    arena, runs, line = scene.arena, scene.runs(), Line()
    claimed = 0

    def ignore() -> None:
        nonlocal claimed
        arena.rita.label(scene.key, add=["ai:ignore"])
        claimed = line.writes

    ignored = runs.run(scene.key, line=line, meanwhile=ignore)
    assert ignored.writes == claimed
    arena.clock.advance(3_600)
    assert scene.key not in runs.sweep().dispatched

    arena.rita.label(scene.key, remove=["ai:ignore"])

    assert scene.key in runs.sweep().dispatched
    assert settle(runs, scene.key) == []
    assert {one for one in arena.labels(scene.key) if one.startswith("ai:")} <= {"ai:planned"}
    assert arena.status(scene.key) in ("Plan Review", "In Testing")


@pytest.mark.parametrize("is_given", [True, False], ids=["given back", "with its reviewer"])
def test_an_edited_review_summary_counts_as_new(is_given: bool) -> None:
    """Like an edited comment: changes that it requests are worked on again, whoever has the ticket."""
    scene = scenes.implemented().copy()
    arena, runs = scene.arena, scene.runs()
    number = arena.reviewer.review(1, "REQUEST_CHANGES", "Not yet.")["id"]
    assert settle(runs, scene.key) == []
    asked = sum(ran.model_calls for ran in runs.history)
    arena.clock.advance(60)

    arena.reviewer.request("PUT", f"pulls/1/reviews/{number}", body="Not yet, and name the currency.")
    if is_given:
        arena.rey.assign(scene.key, arena.bot)
    ran = runs.run(scene.key)

    assert ran.file is not None
    assert ran.file.work is not None
    assert [point.text for point in ran.file.work.feedback] == ["Not yet, and name the currency."]
    assert settle(runs, scene.key) == []
    assert sum(ran.model_calls for ran in runs.history) == asked + 1


def test_a_pull_request_opened_again_and_merged_ends_its_ticket() -> None:
    """The veto is taken back without a word on the ticket, which follows the merge all the same."""
    scene = scenes.closed().copy()
    arena, runs = scene.arena, scene.runs()
    runs.run(scene.key)
    arena.reviewer.request("PATCH", "pulls/1", state="open")
    assert settle(runs, scene.key) == []
    arena.reviewer.merge(1)

    assert settle(runs, scene.key) == []
    assert (arena.status(scene.key), sum(ran.model_calls for ran in runs.history)) == ("Done", 0)


def test_a_sub_task_whose_item_label_was_taken_off_is_a_persons() -> None:
    """Which item it stood for is listed, so no second one is made; it is not worked on, and waited for."""
    scene = scenes.broken_down().copy()
    arena, runs = scene.arena, scene.runs()
    first, second, third = arena.sub_tasks(scene.parent)
    arena.rita.label(first, remove=[one for one in arena.labels(first) if one.startswith("ai-item-")])

    for key in (scene.parent, first):
        assert settle(runs, key) == []

    assert arena.sub_tasks(scene.parent) == [first, second, third]
    assert sum(ran.model_calls for ran in runs.history) == 0


def test_a_sub_task_moved_to_another_parent_is_not_made_again() -> None:
    """For its old parent it is gone; under a parent that is not in work nothing starts."""
    scene = scenes.broken_down().copy()
    arena, runs = scene.arena, scene.runs()
    first, second, third = arena.sub_tasks(scene.parent)
    other = arena.rita.create_ticket("Another story", project="SHOP")
    issue, old, new = arena.issue(first), arena.issue(scene.parent), arena.issue(other)
    old.sub_task_ids.remove(issue.id)
    new.sub_task_ids.append(issue.id)
    issue.parent_id = new.id

    for key in (scene.parent, other, first):
        assert settle(runs, key) == []

    assert (arena.sub_tasks(scene.parent), arena.sub_tasks(other)) == ([second, third], [first])
    assert sum(ran.model_calls for ran in runs.history) == 0


def test_a_sub_task_rewritten_before_it_starts_is_done_as_it_reads_then() -> None:
    """Its own description is what counts; the plan only gave it one."""
    scene = scenes.implement().copy()
    scene.arena.rita.rewrite(scene.key, description="Round down.")

    ran = scene.runs().run(scene.key)

    assert ran.file is not None
    assert ran.file.context is not None
    assert ran.file.context.description == "Round down."


def test_a_sub_task_rewritten_while_the_runner_works_is_a_point_when_it_is_given_back() -> None:
    """The review goes by what the ticket says by then, and the reviewer gives it back if it matters."""
    scene = scenes.implement().copy()
    arena, runs = scene.arena, scene.runs()
    runs.run(scene.key, meanwhile=lambda: arena.rita.rewrite(scene.key, description="Round down."))
    assert arena.status(scene.key) == "In Testing"
    arena.rey.assign(scene.key, arena.bot)

    ran = runs.run(scene.key)

    assert ran.file is not None
    assert ran.file.work is not None
    assert [(one.source, "Round down." in one.text) for one in ran.file.work.feedback] == [("ticket", True)]


def test_a_description_edited_while_it_is_planned_is_reported_with_the_sub_tasks() -> None:
    """The plan says what it was made from, so an approver reads of the change before work starts."""
    scene = scenes.plan().copy()
    arena, runs = scene.arena, scene.runs()
    runs.run(scene.key, meanwhile=lambda: arena.rita.rewrite(scene.key, description="Something else."))
    arena.ada.move(scene.key, "In Progress")

    runs.run(scene.key)

    assert said(arena, scene.key, "description was changed after the plan")


def test_a_parent_given_to_a_person_is_theirs_to_close() -> None:
    """Its sub-tasks go on among themselves; it is closed by whoever has it, or by the runner once it is given back."""
    scene = scenes.completion().copy()
    arena, runs = scene.arena, scene.runs()
    arena.ada.assign(scene.parent, arena.ada.account)

    assert settle(runs, scene.parent) == []
    assert (arena.status(scene.parent), arena.assignee(scene.parent)) == ("In Progress", "ada")
    arena.ada.assign(scene.parent, arena.bot)
    runs.run(scene.parent)

    assert arena.status(scene.parent) == "Done"


def test_a_plan_revised_after_its_approval_makes_only_what_is_new() -> None:
    """Sub-tasks that exist stay, also those whose item is gone: they are a person's to close."""
    scene = scenes.broken_down().copy()
    arena = scene.arena
    runs = Runs(arena, Script(items=("prices", "rounding", "tax")))
    before = arena.sub_tasks(scene.parent)
    arena.ada.move(scene.parent, "Plan Review")
    arena.ada.comment(scene.parent, "Taxes instead of receipts.")
    arena.ada.assign(scene.parent, arena.bot)
    runs.run(scene.parent)
    assert (arena.status(scene.parent), arena.sub_tasks(scene.parent)) == ("Plan Review", before)

    arena.ada.move(scene.parent, "In Progress")
    assert settle(runs, scene.parent) == []

    after = arena.sub_tasks(scene.parent)
    assert (after[:3], len(after)) == (before, 4)
    assert "ai-item-tax" in arena.labels(after[3])


def test_a_branch_rewritten_by_a_person_is_theirs() -> None:
    """With a history in which no commit is the runner's, the work goes on from what the person left."""
    scene = scenes.revise().copy()
    arena, runs = scene.arena, scene.runs()
    branch = f"ai/{scene.key}"
    sha = arena.rewrite_by_person(branch, "NOTES.md", b"mine\n")
    arena.notes["human commits"] = {sha: branch}

    assert settle(runs, scene.key) == []

    assert violations(arena, runs) == []
    assert (arena.status(scene.key), len(arena.hub.pulls)) == ("In Testing", 1)
    assert {"NOTES.md", f"src/{scene.key}.py"} <= arena.github.files(branch).keys()


@pytest.mark.parametrize(("how", "status"), [("merge", "Done"), ("close", "Blocked")])
def test_a_pull_request_ended_while_it_is_revised_stays_ended(how: str, status: str) -> None:
    """A merge or a veto counts more than the feedback before it: no second pull request takes its place."""
    scene = scenes.revise().copy()
    arena, runs = scene.arena, scene.runs()

    runs.run(scene.key, meanwhile=lambda: getattr(arena.reviewer, how)(1))

    assert (arena.status(scene.key), len(arena.hub.pulls)) == (status, 1)
    assert settle(runs, scene.key) == []
    assert (arena.status(scene.key), violations(arena, runs)) == (status, [])
