"""Two runs at once, people at any moment, events in any order: bounded damage, and the same end."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.reliability import scenes
from tests.reliability.conftest import IS_FULL
from tests.reliability.crashing import undisturbed
from tests.reliability.invariants import differences, end_of, is_at_rest, violations
from tests.reliability.moves import any_move, make
from tests.reliability.runs import Runs
from tests.reliability.scenes import PHASES, Scene
from tests.reliability.schedule import together
from tests.reliability.tally import count
from tests.reliability.wire import Line, Sent

MAX_RUNS = 12


def settle(runs: Runs, key: str) -> list[str]:
    """Run until a ticket is at rest; what is wrong if it never is."""
    for _ in range(MAX_RUNS):
        ran = runs.run(key)
        if is_at_rest(ran) and key not in ran.dispatched:
            return []
    return [f"A11: {key} does not come to rest: {ran.end}"]


def _orders(phase: str, wanted: int) -> list[tuple[int, ...]]:
    """Interleavings of two runs' writes: all of them where that is asked for, else a sample."""
    effects = undisturbed(phase).effects
    if wanted == 0:
        places = itertools.combinations(range(2 * effects), effects)
        return [tuple(0 if at in chosen else 1 for at in range(2 * effects)) for chosen in map(set, places)]
    choice = random.Random(phase)
    return [tuple(choice.randint(0, 1) for _ in range(2 * effects)) for _ in range(wanted)]


def _at_once(phase: str, order: tuple[int, ...]) -> list[str]:
    scene = PHASES[phase]().copy()
    runs = scene.runs()
    together(runs, scene.key, order)
    problems = settle(runs, scene.key)
    for key in {one for ran in runs.history for one in ran.dispatched if phase == "breakdown"}:
        runs.run(key)
    # Two at once may each say the same thing once; everything else has a real guard.
    problems += [one for one in violations(scene.arena, runs) if not one.startswith(("A2", "blind"))]
    said_twice = [one for one in violations(scene.arena) if one.startswith("A2")]
    problems += said_twice if len(said_twice) > 3 else []
    calls = sum(ran.model_calls for ran in runs.history)
    problems += [f"A8: {calls} calls of the model"] if calls > 2 else []
    ends = differences(dict(undisturbed(phase).end), end_of(scene.arena)) if phase == "implement" else []
    return problems + [one for one in ends if "pull request" in one.split(":")[0]]


@pytest.mark.parametrize(
    ("phase", "fast", "full"), [("plan", 12, 0), ("breakdown", 4, 60), ("implement", 4, 60)]
)
def test_two_runs_at_once_do_bounded_damage(
    phase: str, fast: int, full: int, request: pytest.FixtureRequest
) -> None:
    """One extra call of the model at most, never two pull requests, never a second sub-task for an item."""
    orders = _orders(phase, full if IS_FULL else fast)
    bad = {str(order): problems for order in orders if (problems := _at_once(phase, order))}
    count(request, "two runs at once", cases=len(orders), converged=len(orders) - len(bad), violated=len(bad))
    assert bad == {}


def _against_people(phase: str, seed: int) -> list[str]:
    scene = PHASES[phase]().copy()
    arena, runs, choice = scene.arena, scene.runs(), random.Random(f"{phase} {seed}")
    at = choice.randint(1, max(undisturbed(phase).effects, 1))
    moved: list[str] = []

    def step(_: Sent) -> None:
        nonlocal at
        at -= 1
        if at == 0:
            name, key = any_move(arena, choice)
            if make(arena, name, key):
                moved.append(f"{name} {key}")

    runs.run(scene.key, line=Line(step=step))
    keys = [one.key for one in arena.site.issues.values()]
    problems = settle(runs, scene.key) if scene.key in keys else []
    return [f"{one} after {moved}" for one in problems + violations(arena, runs)]


@pytest.mark.parametrize("phase", ["plan", "breakdown", "implement", "revise", "restack"])
def test_a_person_may_move_between_any_two_writes(phase: str, request: pytest.FixtureRequest) -> None:
    """Whatever a person does in the middle of a run, nothing of theirs is lost and the ticket comes to rest."""
    seeds = range(40 if IS_FULL else 4)
    bad = {seed: problems for seed in seeds if (problems := _against_people(phase, seed))}
    count(
        request, "a run against people", cases=len(seeds), converged=len(seeds) - len(bad), violated=len(bad)
    )
    assert bad == {}


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


def test_events_may_come_twice_late_in_any_order_or_never(request: pytest.FixtureRequest) -> None:
    """With the sweep behind them, every order of deliveries ends where the right one does."""
    start = scenes.broken_down()
    keys = [start.parent, *start.arena.sub_tasks(start.parent)]
    orders = [list(order) for order in itertools.permutations(keys)]
    orders += [[key] * 3 for key in keys] + [[], *([key] for key in keys)]
    chosen = orders if IS_FULL else random.Random(1).sample(orders, 3)
    bad, ends = {}, []
    for order in chosen:
        scene = start.copy()
        problems = _delivered(order, scene)
        ends.append(end_of(scene.arena))
        problems += differences(ends[0], ends[-1])
        if problems:
            bad[str(order)] = problems
    count(request, "deliveries", cases=len(chosen), converged=len(chosen) - len(bad), violated=len(bad))
    assert bad == {}


@pytest.mark.parametrize("phase", ["plan", "breakdown", "implement", "revise", "merge", "completion"])
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
