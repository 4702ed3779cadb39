"""The sweep finds what events lost, wakes it, and otherwise stays quiet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.reliability import scenes
from tests.reliability.arena import PROJECT
from tests.reliability.invariants import is_at_rest
from tests.reliability.scenes import PHASES, Scene
from tests.reliability.wire import Crash, Line

DAY = 86_400.0
HOUR = 3_600.0


def at_rest(name: str) -> Scene:
    """A scene whose due phase is done, long ago."""
    scene = PHASES[name]().copy()
    scene.runs().run(scene.key)
    scene.arena.clock.advance(DAY + 9 * HOUR)
    return scene


def test_nothing_to_do_costs_three_requests_and_no_write() -> None:
    """A plan waits for approval and a pull request for review: nothing is woken."""
    for name in ("plan", "implement", "questions", "closed", "completion"):
        scene = at_rest(name)

        ran = scene.runs().sweep()

        assert (ran.dispatched, ran.writes) == ((), 0), name
        assert len(ran.line.sent) <= 3, (name, [one.kind for one in ran.line.sent])


def test_a_story_that_has_just_ended_costs_no_more() -> None:
    """Its pull requests changed a moment ago; one query tells that all their tickets are Done."""
    scene = PHASES["completion"]().copy()
    scene.runs().run(scene.key)
    scene.arena.clock.advance(HOUR)

    ran = scene.runs().sweep()

    assert scene.arena.hub.pulls
    assert ran.dispatched == ()
    assert len(ran.line.sent) <= 3, [one.kind for one in ran.line.sent]


def test_a_branch_of_a_ticket_that_does_not_exist_hides_no_other() -> None:
    """Jira refuses a query that names it; the tickets are found all the same."""
    scene = PHASES["merge"]().copy()
    arena = scene.arena
    found = scene.runs().sweep().dispatched
    parent = arena.rita.create_ticket("Another", "Text", project=PROJECT)
    pull = next(iter(arena.hub.pulls.values()))
    arena.hub.pulls[99] = replace(pull, number=99, id=99_000, head=f"ai/{parent}")
    arena.site.delete_issue(arena.issue(parent))

    assert scene.key in found
    assert scene.runs().sweep().dispatched == found


@pytest.mark.parametrize(
    "name",
    [
        "plan",
        "plan_revision",
        "breakdown",
        "implement_stacked",
        "revise",
        "answered",
        "retry",
        "direct",
        "merge",
        "closed",
        "restack",
        "base_vanished",
        "completion",
        "shared_revise",
        "shared_merge",
    ],
)
def test_a_lost_event_is_made_up_for(name: str) -> None:
    """A ticket whose event never came is done by the next sweep and whom its runs wake."""
    scene = PHASES[name]().copy()
    scene.arena.clock.advance(0.4 * HOUR)
    runs = scene.runs()

    for key in runs.sweep().dispatched:
        runs.follow(key)

    assert any(ran.key == scene.key and ran.writes for ran in runs.history)
    assert is_at_rest(runs.run(scene.key))


def test_what_builds_on_a_branch_that_was_merged_is_found_however_old_it_is() -> None:
    """It would be merged into a branch that goes nowhere any more, so it does not wait for its daily turn."""
    scene = scenes.stacked().copy()
    arena, runs = scene.arena, scene.runs()
    first, second = arena.sub_tasks(scene.parent)[:2]
    arena.reviewer.merge(1)
    runs.run(first)
    arena.clock.advance(DAY + 9 * HOUR)

    assert second in runs.sweep().dispatched
    runs.run(second)

    arena.clock.advance(DAY + 9 * HOUR)
    assert second not in runs.sweep().dispatched


def test_a_failed_ticket_is_left_alone_until_it_is_given_back() -> None:
    """Its label says that a person must act; once one did, the lost event is made up for."""
    scene = scenes.broken_down().copy()
    arena, key = scene.arena, scene.arena.sub_tasks(scene.parent)[0]
    arena.rita.label(key, add=["ai:try-1", "ai:try-2", "ai:try-3"])
    runs = scene.runs()
    runs.run(key)
    assert "ai:failed" in arena.issue(key).labels
    arena.clock.advance(0.4 * HOUR)
    assert key not in runs.sweep().dispatched

    arena.rey.assign(key, arena.bot)
    arena.clock.advance(0.4 * HOUR)

    assert key in runs.sweep().dispatched
    assert runs.run(key).model_calls == 1


def _dead_run(scene: Scene) -> None:
    scene.runs().run(scene.key, line=Line(crashes={4: Crash.BEFORE}))


def _request_changes(scene: Scene) -> None:
    scene.arena.reviewer.review(1, "REQUEST_CHANGES", "Not yet.")


def _fail_check(scene: Scene) -> None:
    scene.arena.fail_check(f"ai/{scene.key}")


def test_a_shared_pull_request_is_found_by_its_parent() -> None:
    """The parent is the runner's all along, so its own age tells nothing: its pull request's does."""
    scene = scenes.shared_revise().copy()
    first, parent = scene.key, scene.parent
    scene.arena.clock.advance(7 * HOUR)
    scene.arena.reviewer.comment(1, "Any news?")
    runs = scene.runs()

    woken = runs.sweep().dispatched

    assert parent in woken
    assert first in runs.run(parent).dispatched
    assert runs.run(first).model_calls == 1


@pytest.mark.parametrize(
    ("make", "happens"),
    [
        (scenes.implement, _dead_run),
        (scenes.implemented, _request_changes),
        (scenes.implemented, _fail_check),
    ],
    ids=["a dead run", "a review", "a failed check"],
)
def test_what_sends_no_event_is_found(make: Callable[[], Scene], happens: Callable[[Scene], None]) -> None:
    """Nobody tells of a dead run, and Jira knows nothing of a review: the sweep looks, and the run acts."""
    scene = make().copy()
    happens(scene)
    scene.arena.clock.advance(HOUR)
    runs = scene.runs()

    woken = runs.sweep().dispatched

    assert scene.key in woken
    assert runs.run(scene.key).model_calls == 1


def test_a_run_that_still_works_is_left_alone() -> None:
    """A claimed ticket whose run is alive is not woken."""
    scene = scenes.implement().copy()
    runs, hub = scene.runs(), scene.arena.hub
    ran = runs.run(scene.key, line=Line(crashes={4: Crash.BEFORE}))
    run = hub.start_run("repository_dispatch", {}, next(iter(hub.users.values())))
    run.status = "in_progress"
    number = ran.file.run.partition(".")[0] if ran.file is not None else ""
    hub.runs[int(number)] = run

    assert scene.key not in runs.sweep().dispatched

    run.status = "completed"
    assert scene.key in runs.sweep().dispatched


def test_a_parked_ticket_is_resumed_after_its_time() -> None:
    """While a service is down the ticket waits without losing an attempt; later the sweep goes on with it."""
    from tests.reliability.faulting import FAULTS, FaultyLine

    scene = scenes.implement().copy()
    runs, arena = scene.runs(), scene.arena
    hour = next(one for one in FAULTS if one.name == "429 for an hour")
    line = FaultyLine(
        clock=arena.clock,
        choose=lambda sent: hour if sent.path.endswith("/pulls") and sent.is_write else None,
    )
    parked = runs.run(scene.key, line=line)
    assert parked.end is not None
    assert (parked.end.outcome, parked.exit_code) == ("waiting", 0)
    assert "ai:waiting" in arena.labels(scene.key)
    assert not any(one.startswith("ai:try-") for one in arena.labels(scene.key))
    assert is_at_rest(runs.run(scene.key))
    arena.clock.advance(1.1 * HOUR)

    assert scene.key in runs.sweep().dispatched
    resumed = runs.run(scene.key)

    assert (resumed.model_calls, arena.status(scene.key)) == (0, "In Testing")


def test_the_oldest_come_first_and_twenty_at_most() -> None:
    """A flood of forgotten tickets is worked off in the order of their last change."""
    scene = scenes.plan().copy()
    arena = scene.arena
    keys = [scene.key]
    for number in range(25):
        arena.clock.advance(60)
        keys.append(arena.rita.create_ticket(f"Ticket {number}", project=PROJECT))
        arena.rita.assign(keys[-1], arena.bot)

    assert tuple(keys[:20]) == scene.runs().sweep().dispatched


def test_a_stalled_family_is_started_again() -> None:
    """When the dispatch of the next sub-task is lost, the parent is woken and starts it."""
    scene = scenes.implemented().copy()
    scene.arena.clock.advance(HOUR)
    runs = scene.runs()

    assert scene.parent in runs.sweep().dispatched
    assert runs.run(scene.parent).dispatched == (scene.arena.sub_tasks(scene.parent)[1],)


@pytest.mark.parametrize("lag", range(6))
def test_a_lagging_search_delays_and_never_doubles(lag: int) -> None:
    """What the index shows late is found late; no sub-task is created twice because of it."""
    scene = scenes.breakdown().copy()
    scene.arena.site.search_lag = lag
    runs = scene.runs()
    for _ in range(lag + 2):
        for key in runs.sweep().dispatched:
            runs.run(key)

    assert len(scene.arena.sub_tasks(scene.parent)) == 3


@pytest.mark.parametrize(("labels", "most"), [((), 3), (("ai:working",), 3 + 2 + 100 * 4)])
def test_a_hundred_open_tickets_cost_a_bounded_number_of_requests(labels: tuple[str, ...], most: int) -> None:
    """Whoever has them, they are found by one search; only claims are looked at one by one."""
    scene = scenes.planned().copy()
    arena = scene.arena
    for number in range(100):
        key = arena.rita.create_ticket(f"Ticket {number}", project=PROJECT, labels=["ai-runner", *labels])
        arena.ada.move(key, "Plan Review")
        arena.ada.assign(key, arena.bot)
    arena.clock.advance(DAY + 9 * HOUR)

    ran = scene.runs().sweep()

    assert ran.writes == 0
    assert len(ran.line.sent) - ran.line.dispatches <= most
    assert len(ran.dispatched) <= 20
