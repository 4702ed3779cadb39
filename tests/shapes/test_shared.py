"""``sequence: shared`` with what people do to a pull request that all sub-tasks share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from runner.core.handover import Result, WorkFile
from tests.shapes.harness import Team, Think, planned_as, team

ITEMS = ("prices", "receipt", "rounding")


@contextlib.contextmanager
def sharing(
    folder: Path, *, think: Think | None = None, policy: Mapping[str, Any] | None = None
) -> Iterator[Team]:
    """A team whose sub-tasks share a pull request."""
    chosen = {"sequence": "shared", **(policy or {})}
    with team(folder, policy=chosen, think=think or planned_as(*ITEMS)) as acme:
        yield acme


def approved(acme: Team) -> tuple[str, list[str]]:
    """A ticket whose plan was approved; no sub-task is begun yet."""
    key = acme.ask()
    acme.follow(key)
    acme.ada.move(key, "In Progress")
    acme.run(key)
    return key, acme.sub_tasks(key)


def worked(acme: Team) -> tuple[str, list[str]]:
    """A ticket whose sub-tasks are all handed over."""
    key, sub_tasks = approved(acme)
    acme.follow(sub_tasks[0])
    return key, sub_tasks


def subjects(acme: Team, branch: str) -> list[str]:
    """The commits of a branch that are not on the main branch, oldest first."""
    git = acme.github.hub.git
    return [one.message.splitlines()[0] for one in git.compare(str(git.branch("main")), branch).ahead]


def push_by_hand(acme: Team, branch: str, files: Mapping[str, bytes]) -> str:
    """A person's commit on a branch."""
    hub = acme.github.hub
    with hub.lock:
        head = str(hub.git.branch(branch))
        tree = hub.git.write_tree(
            head, {path: ("100644", hub.git.write_blob(data)) for path, data in files.items()}
        )
        who = hub.signature_of(hub.owner)
        sha = hub.git.write_commit(tree, [head], "By hand", author=who, committer=who)
        hub.git.set_ref(f"refs/heads/{branch}", sha, old=head)
    return str(sha)


def states(acme: Team, keys: Sequence[str]) -> list[str]:
    return [acme.status(one) for one in keys]


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_one_pull_request_holds_a_commit_of_each(method: str, tmp_path: Path) -> None:
    """However it is merged, one merge moves every sub-task and their parent to Done; a second look writes nothing."""
    with sharing(tmp_path) as acme:
        key, sub_tasks = worked(acme)
        assert states(acme, sub_tasks) == ["In Testing"] * 3
        assert [(one.head, one.base, one.title) for one in acme.github.pulls] == [
            (f"ai/{key}", "main", f"{key}: Totals are wrong")
        ]
        assert subjects(acme, f"ai/{key}") == [
            f"{one}: Do {item}" for one, item in zip(sub_tasks, ITEMS, strict=True)
        ]

        acme.merge_all(method)

        assert states(acme, [key, *sub_tasks]) == ["Done"] * 4
        assert {f"src/{item}.py" for item in ITEMS} <= set(acme.github.files("main"))
        assert [acme.run(one).writes for one in (key, *sub_tasks)] == [0] * 4


def test_its_text_has_a_part_for_each_sub_task(tmp_path: Path) -> None:
    """Each part stays when another sub-task is added, and what is missing is said until nothing is."""
    with sharing(tmp_path) as acme:
        _, sub_tasks = approved(acme)
        acme.run(sub_tasks[0])
        first = acme.github.pulls[0].body or ""
        acme.run(sub_tasks[1])
        acme.run(sub_tasks[2])
        last = acme.github.pulls[0].body or ""

        assert f"Not in it yet: {sub_tasks[1]}, {sub_tasks[2]}." in first
        assert f"{sub_tasks[1]}, {sub_tasks[2]} are not in it yet: merge it when all are." in acme.said(
            sub_tasks[0]
        )
        assert "All of them are in." in last
        assert [f"## {one}: Do {item}" in last for one, item in zip(sub_tasks, ITEMS, strict=True)] == [
            True
        ] * 3


def test_feedback_goes_to_the_sub_task_that_it_is_about(tmp_path: Path) -> None:
    """An event of the pull request names the parent; its run wakes whom the comment concerns, and nobody else."""
    with sharing(tmp_path) as acme:
        key, sub_tasks = worked(acme)
        acme.reviewer.review(1, "REQUEST_CHANGES", "Not yet.", inline=[("src/receipt.py", 1, "Why?")])

        ran = acme.follow(key)

        assert [one.key for one in ran if one.end.model_calls] == [sub_tasks[1]]
        assert b"# Not yet." in acme.github.files(f"ai/{key}")["src/receipt.py"]
        assert len(acme.github.pulls[0].threads[0].comments) == 2
        assert [acme.run(one).writes for one in (key, *sub_tasks)] == [0] * 4


def test_feedback_on_several_is_worked_through_in_turn(tmp_path: Path) -> None:
    """Two sub-tasks that a review concerns do not run at once; each answers its own comment."""
    with sharing(tmp_path) as acme:
        key, sub_tasks = worked(acme)
        inline = [("src/receipt.py", 1, "Why this?"), ("src/prices.py", 1, "Why that?")]
        acme.reviewer.review(1, "REQUEST_CHANGES", "Not yet.", inline=inline)

        ran = acme.follow(key)

        assert [one.key for one in ran if one.end.model_calls] == [sub_tasks[0], sub_tasks[1]]
        assert [len(one.comments) for one in acme.github.pulls[0].threads] == [2, 2]
        assert [acme.run(one).writes for one in (key, *sub_tasks)] == [0] * 4


def test_a_persons_commit_is_built_upon(tmp_path: Path) -> None:
    """It stays on the branch and in the merge."""
    with sharing(tmp_path) as acme:
        key, sub_tasks = approved(acme)
        acme.run(sub_tasks[0])
        mine = push_by_hand(acme, f"ai/{key}", {"notes.md": b"By hand.\n"})

        acme.follow(key)

        git = acme.github.hub.git
        assert subjects(acme, f"ai/{key}")[1] == "By hand"
        assert not git.compare(str(git.branch(f"ai/{key}")), mine).ahead
        acme.merge_all()
        assert acme.is_done(key)
        assert acme.github.files("main")["notes.md"] == b"By hand.\n"


@pytest.mark.parametrize("method", ["merge", "squash"])
@pytest.mark.parametrize("is_deleted", [False, True])
def test_merged_before_all_are_in(method: str, is_deleted: bool, tmp_path: Path) -> None:
    """What was in it is Done; the rest goes to a second pull request, whatever became of the branch."""
    with sharing(tmp_path) as acme:
        acme.github.configure(delete_branch_on_merge=is_deleted)
        key, sub_tasks = approved(acme)
        acme.run(sub_tasks[0])
        acme.merge_all(method)
        assert acme.is_done(sub_tasks[0])
        assert acme.is_done(key)
        assert states(acme, [key, *sub_tasks]) == ["Done"] * 4
        assert len(acme.github.pulls) == 2
        assert {f"src/{item}.py" for item in ITEMS} <= set(acme.github.files("main"))


def test_a_veto_holds_for_all_of_it(tmp_path: Path) -> None:
    """Closing it blocks what is in it, and nothing is added to what was rejected."""
    with sharing(tmp_path) as acme:
        key, sub_tasks = approved(acme)
        acme.run(sub_tasks[0])
        acme.run(sub_tasks[1])
        acme.reviewer.close(1)

        acme.follow(key)

        assert states(acme, sub_tasks) == ["Blocked"] * 3
        assert len(acme.github.pulls) == 1
        assert "was rejected, so no work starts here" in acme.said(sub_tasks[2])
        assert [acme.run(one).writes for one in (key, *sub_tasks)] == [0] * 4


def test_work_given_back_after_a_veto_goes_on_in_a_new_pull_request(tmp_path: Path) -> None:
    """A person who assigns a vetoed sub-task to the runner wants it after all; one merge then serves all in it."""
    with sharing(tmp_path) as acme:
        key, sub_tasks = worked(acme)
        acme.reviewer.close(1)
        acme.follow(key)
        assert states(acme, sub_tasks) == ["Blocked"] * 3
        acme.rey.comment(sub_tasks[2], "Say why.")
        acme.rey.assign(sub_tasks[2], acme.bot)

        acme.follow(sub_tasks[2])

        assert [one.is_open for one in acme.github.pulls] == [False, True]
        acme.merge_all()
        assert states(acme, [key, *sub_tasks]) == ["Done"] * 4


def test_unfinished_work_keeps_it_a_draft(tmp_path: Path) -> None:
    """Another sub-task's finished work does not make it look ready."""

    def red(file: WorkFile) -> Result:
        result = planned_as(*ITEMS, depends_on={"receipt": ["prices"]})(file)
        assert file.work is not None
        is_first = file.work.item is not None and file.work.item.id == "prices"
        return result.model_copy(update={"outcome": "partial"}) if is_first else result

    with sharing(tmp_path, think=red) as acme:
        _, sub_tasks = approved(acme)
        acme.run(sub_tasks[0])
        acme.run(sub_tasks[2])
        assert states(acme, sub_tasks) == ["Blocked", "Backlog", "In Testing"]
        assert acme.github.pulls[0].draft


def test_signed_commits_go_to_the_shared_branch_too(tmp_path: Path) -> None:
    """``commits: api`` where signatures are required."""
    with sharing(tmp_path, policy={"pull_request": {"commits": "api"}}) as acme:
        acme.github.require_signatures()
        key, _ = worked(acme)
        acme.merge_all()
        assert acme.is_done(key)


def test_the_parents_summary_names_the_pull_request_and_the_whole_cost(tmp_path: Path) -> None:
    """Every run is counted once, though the sub-tasks share a record."""
    with sharing(tmp_path) as acme:
        key, _ = worked(acme)
        acme.merge_all()
        said = acme.said(key)
        assert said.count("#1 merged") == 3
        assert "4 runs" in said
