"""Events that come twice, late, in any order, or never: the state decides, and the end is the same."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from tests.reliability import scenes
from tests.reliability.invariants import differences, end_of, is_at_rest, violations
from tests.reliability.scenes import PHASES, Scene
from tests.reliability.settling import MAX_RUNS
from tests.reliability.tally import IS_FULL, count

# Starts from which the events of a whole family follow.
FAMILIES = ("broken_down", "plan", "breakdown", "implement", "revise", "merge", "shared_implement")
FAST_PHASES = ("plan", "breakdown", "implement", "revise", "merge", "completion")


def _delivered(deliveries: list[str], scene: Scene) -> list[str]:
    runs = scene.runs()
    for key in deliveries:
        runs.run(key)
    for _ in range(MAX_RUNS):
        scene.arena.clock.advance(3_700)
        before = len(runs.history)
        for key in runs.sweep().dispatched:
            runs.follow(key)
        if all(map(is_at_rest, runs.history[before:])):
            break
    return violations(scene.arena, runs)


def _without_merges(end: dict[str, Any]) -> dict[str, Any]:
    """Work that began before its predecessor was revised is brought up to date by a merge, and later work needs none."""
    return {
        name: {key: one for key, one in facts.items() if key != "all"} if name.startswith("branch") else facts
        for name, facts in end.items()
    }


def _orders(scene: Scene) -> list[list[str]]:
    """Four events in every order, each of them dropped or sent three times, and none at all."""
    keys = [scene.parent, *scene.arena.sub_tasks(scene.parent)]
    events = [*keys, scene.key][:4]
    orders = dict.fromkeys(itertools.permutations(events))
    dropped = [tuple(one for one in keys if one != key) for key in keys]
    return [list(one) for one in (*orders, *dropped, *((key,) * 3 for key in keys), ())]


@pytest.mark.parametrize("phase", FAMILIES if IS_FULL else FAMILIES[:1])
def test_events_may_come_twice_late_in_any_order_or_never(phase: str, request: pytest.FixtureRequest) -> None:
    """With the sweep behind them, every order of deliveries ends where the right one does."""
    start = scenes.broken_down() if phase == "broken_down" else PHASES[phase]()
    orders = _orders(start)
    bad, ends = {}, []
    for order in orders if IS_FULL else random.Random(1).sample(orders, 3):
        scene = start.copy()
        problems = _delivered(order, scene)
        ends.append(_without_merges(end_of(scene.arena)))
        problems += differences(ends[0], ends[-1])
        if problems:
            bad[str(order)] = problems
    count(request, "deliveries", cases=len(ends), converged=len(ends) - len(bad), violated=len(bad))
    assert bad == {}


@pytest.mark.parametrize("phase", PHASES if IS_FULL else FAST_PHASES)
def test_an_event_replayed_after_thirty_days_changes_nothing(
    phase: str, request: pytest.FixtureRequest
) -> None:
    """An old event only makes the runner look; what was done is not done again."""
    scene = PHASES[phase]().copy()
    runs = scene.runs()
    runs.run(scene.key)
    scene.arena.clock.advance(30 * 86_400.0)

    replayed = runs.run(scene.key)

    count(request, "deliveries", cases=1, converged=int(is_at_rest(replayed)), violated=0)
    assert is_at_rest(replayed)
