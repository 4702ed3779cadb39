"""Stacks under change: whatever becomes of the branch below, what builds on it follows or the ticket says what to do."""

from __future__ import annotations

import pytest

from runner.core.markers import Kind
from tests.reliability import scenes
from tests.reliability.arena import Arena
from tests.reliability.invariants import is_at_rest, violations
from tests.reliability.scenes import Scene
from tests.reliability.settling import settle
from tests.reliability.test_people import our_comments, said
from tests.reliability.wire import Killed, Line, Sent


def two(scene: Scene) -> tuple[str, str]:
    """The stacked sub-tasks, the lower one first."""
    first, second = scene.arena.sub_tasks(scene.parent)[:2]
    return first, second


def pulls(arena: Arena) -> list[tuple[str, str, str]]:
    """Pull requests by number: head, base, state."""
    return [(one.head, one.base, one.state) for _, one in sorted(arena.hub.pulls.items())]


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_however_the_one_below_is_merged_the_one_above_shows_its_own_changes_only(method: str) -> None:
    """It targets where the work went, contains that, and differs from it by its own file."""
    scene = scenes.stacked().copy()
    arena, runs = scene.arena, scene.runs()
    first, second = two(scene)
    arena.reviewer.merge(1, method=method)

    assert settle(runs, first) == settle(runs, second) == []

    git = arena.hub.git
    main, head = str(git.branch("main")), str(git.branch(f"ai/{second}"))
    assert pulls(arena)[1] == (f"ai/{second}", "main", "open")
    assert git.is_ancestor(main, head)
    assert [one.path for one in git.compare(main, head).files] == [f"src/{second}.py"]
    assert violations(arena, runs) == []


def test_a_predecessor_that_is_rejected_holds_up_new_work_only() -> None:
    """Its veto blocks it; what is in review stays there, and what did not begin does not begin."""
    scene = scenes.stacked().copy()
    arena, runs = scene.arena, scene.runs()
    first, second = two(scene)
    third = arena.sub_tasks(scene.parent)[2]
    arena.reviewer.close(1)

    assert settle(runs, first) == settle(runs, second) == []
    asked = sum(ran.model_calls for ran in runs.history)

    assert (arena.status(first), arena.status(second), asked) == ("Blocked", "In Testing", 0)
    assert pulls(arena)[1] == (f"ai/{second}", f"ai/{first}", "open")
    assert settle(runs, third) == []
    assert violations(arena, runs) == []


def test_a_rejected_predecessor_without_anything_above_it_blocks_the_next() -> None:
    """New work would build on what nobody wants: the ticket says so and goes to the reviewer."""
    scene = scenes.implement_stacked().copy()
    arena, runs = scene.arena, scene.runs()
    first, second = two(scene)
    arena.reviewer.close(1)
    runs.run(first)

    assert settle(runs, second) == []
    assert (arena.status(second), arena.assignee(second)) == ("Blocked", "rey")
    assert said(arena, second, first)
    assert sum(ran.model_calls for ran in runs.history) == 0


def test_a_base_that_moves_while_the_model_works_costs_nothing() -> None:
    """The work is offered from where it began; GitHub shows what is between, and no commit is lost."""
    scene = scenes.implement().copy()
    arena, runs = scene.arena, scene.runs()

    runs.run(scene.key, meanwhile=lambda: commit(arena, "main", "CHANGES.md"))

    assert (arena.status(scene.key), pulls(arena)) == ("In Testing", [(f"ai/{scene.key}", "main", "open")])
    assert is_at_rest(runs.run(scene.key))
    assert violations(arena, runs) == []


def test_a_base_that_moved_under_an_open_pull_request_is_left_to_its_reviewer() -> None:
    """Bringing a pull request up to date with the base branch is GitHub's own button, and starts nothing here."""
    scene = scenes.implemented().copy()
    commit(scene.arena, "main", "CHANGES.md")

    assert is_at_rest(scene.runs().run(scene.key))


def commit(arena: Arena, branch: str, path: str) -> None:
    """Rey pushes to a branch."""
    arena.commit_by_person(branch, path, b"by hand\n")


def test_the_branch_of_a_merged_predecessor_may_be_deleted() -> None:
    """GitHub itself re-targets what builds on it; the runner only follows."""
    scene = scenes.stacked().copy()
    arena, runs = scene.arena, scene.runs()
    first, second = two(scene)
    arena.reviewer.merge(1)
    runs.run(first)
    arena.delete_branch(f"ai/{first}")

    assert settle(runs, second) == []
    assert [one for one in pulls(arena) if one[2] == "open"] == [(f"ai/{second}", "main", "open")]
    assert violations(arena, runs) == []


def test_a_person_opened_a_pull_request_from_our_branch_first() -> None:
    """GitHub allows one for each head and base: theirs is not taken over, no second one is forced, and that is said."""
    scene = scenes.implement().copy()
    arena, runs = scene.arena, scene.runs()

    def killed_after_the_push(sent: Sent) -> None:
        if sent.path.endswith("/pulls") and sent.is_write:
            raise Killed

    runs.run(scene.key, line=Line(step=killed_after_the_push))
    arena.reviewer.request(
        "POST", "pulls", title="By hand", head=f"ai/{scene.key}", base="main", body="Mine."
    )

    assert settle(runs, scene.key) == []
    theirs = [(one.title, one.body, one.labels) for one in arena.hub.pulls.values()]
    assert [(title, body, list(labels)) for title, body, labels in theirs] == [("By hand", "Mine.", [])]
    assert sum(ran.model_calls for ran in runs.history) == 1
    assert arena.status(scene.key) == "Blocked"
    assert said(arena, scene.key, "rey opened pull request #1")


def settled(scene: Scene, how: str) -> None:
    """The reviewer settles the rejected one in one of the ways that its ticket names."""
    first = two(scene)[0]
    if how == "dropped":
        scene.arena.rey.move(first, "Done")
    else:
        scene.arena.reviewer.request("PATCH", "pulls/1", state="open")
        scene.arena.rey.move(first, "In Testing")


@pytest.mark.parametrize(("how", "base"), [("dropped", "main"), ("opened again", "below")])
def test_once_a_rejected_predecessor_is_settled_the_next_one_goes_on(how: str, base: str) -> None:
    """Given back as its ticket says, it starts from where its predecessor is by then."""
    scene = scenes.implement_stacked().copy()
    arena, runs = scene.arena, scene.runs()
    first, second = two(scene)
    arena.reviewer.close(1)
    assert settle(runs, first) == settle(runs, second) == []
    assert arena.status(second) == "Blocked"

    settled(scene, how)
    arena.rey.assign(second, arena.bot)
    assert settle(runs, second) == []

    assert arena.status(second) == "In Testing"
    assert pulls(arena)[-1] == (f"ai/{second}", f"ai/{first}" if base == "below" else "main", "open")
    assert violations(arena, runs) == []


def test_a_conflict_that_a_person_resolved_is_built_upon() -> None:
    """The ticket asks for a commit on the branch, and what is pushed there ends the matter."""
    scene = scenes.stacked().copy()
    arena, runs = scene.arena, scene.runs()
    second = two(scene)[1]
    commit_of(arena, f"ai/{two(scene)[0]}", b"# First\n")
    commit_of(arena, f"ai/{second}", b"# Second\n")
    arena.reviewer.merge(1)
    assert settle(runs, second) == []
    assert said(arena, second, "could not be merged")
    told = len(arena.issue(second).comments)

    arena.notes["human commits"] = {arena.merge_by_person("main", f"ai/{second}"): f"ai/{second}"}
    assert settle(runs, second) == []

    assert pulls(arena)[1] == (f"ai/{second}", "main", "open")
    assert (len(arena.issue(second).comments), violations(arena, runs)) == (told, [])


def test_a_conflict_with_the_branch_below_is_told_once_and_starts_nothing() -> None:
    """While it is open, too: the one above stays as it is until somebody resolves it or the branch below changes."""
    scene = scenes.stacked().copy()
    arena, runs = scene.arena, scene.runs()
    first, second = two(scene)
    commit_of(arena, f"ai/{first}", b"# First\n")
    commit_of(arena, f"ai/{second}", b"# Second\n")

    assert settle(runs, second) == []
    assert settle(runs, second) == []

    told = [one for one in our_comments(arena, second, Kind.NOTE) if "could not be merged" in str(one.body)]
    assert (len(told), sum(ran.model_calls for ran in runs.history)) == (1, 0)


def commit_of(arena: Arena, branch: str, text: bytes) -> None:
    """Rey writes another README on a branch."""
    arena.commit_by_person(branch, "README.md", text)
