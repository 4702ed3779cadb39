"""Several runs at once: bounded damage, and the end that one run alone would have reached.

Nothing outside a repository's concurrency group keeps two runs apart, so any order of their requests may happen.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from tests.reliability import scenes
from tests.reliability.crashing import undisturbed
from tests.reliability.invariants import differences, end_of, violations
from tests.reliability.scenes import PHASES, Scene
from tests.reliability.schedule import Boundary, Choose, Path, by_seed, every_path, switching, together
from tests.reliability.settling import settle
from tests.reliability.tally import IS_FULL, SCALE, count

Problems = Mapping[str, list[str]]
# Phases in which most is created.
OFTEN = ("breakdown", "implement", "revise")


def at_once(
    phase: str, parties: int, choose: Choose, *, at: Boundary = "requests", in_place: bool = True
) -> list[str]:
    """What is wrong after a phase was run several times at once and came to rest.

    ``in_place``: the workflow offers a move from a status to itself, so that a second one is no refusal.
    """
    scene = PHASES[phase]().copy()
    if not in_place:
        scene.arena.forbid_moves_in_place()
    runs = scene.runs()
    together(runs, [scene.key] * parties, choose, at=at)
    problems = settle(runs, scene.key)
    woken = {key for ran in runs.history for key in ran.dispatched}
    for key in repeated_sub_tasks(scene):
        problems += [] if key in woken else [f"nobody woke {key}, which repeats another sub-task"]
        runs.run(key)
    calls = sum(ran.model_calls for ran in runs.history)
    problems += [f"A8: {calls} calls of the model"] if calls > parties else []
    problems += violations(scene.arena, runs)
    return problems + differences(dict(undisturbed(phase).end), end_of(scene.arena))


def repeated_sub_tasks(scene: Scene) -> list[str]:
    """Sub-tasks that stand for an item which an older one stands for already."""
    arena, known, repeats = scene.arena, set(), []
    for key in arena.sub_tasks(scene.parent):
        item = next(label for label in arena.labels(key) if label.startswith("ai-item-"))
        if item in known:
            repeats.append(key)
        known.add(item)
    return repeats


def judge(request: pytest.FixtureRequest, suite: str, cases: Problems) -> None:
    """Count the cases and fail on those with a problem."""
    bad = {name: problems for name, problems in cases.items() if problems}
    violated = sum(any(one.startswith("A") for one in problems) for problems in bad.values())
    count(request, suite, cases=len(cases), converged=len(cases) - len(bad), violated=violated)
    assert bad == {}


@pytest.mark.parametrize("begin", [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)])
def test_every_interleaving_of_two_plan_runs_ends_as_one_run(
    begin: tuple[int, ...], request: pytest.FixtureRequest
) -> None:
    """In whatever order the writes of two plan runs arrive, one plan stands and one more model call was made at most.

    The two are alike, so the first one may always begin.
    """
    paths = itertools.islice(every_path(begin), None if IS_FULL else 1)
    played = [(path, at_once("plan", 2, path, at="writes")) for path in paths]
    cases = {str(path.taken): problems for path, problems in played}
    judge(request, "two plan runs, every interleaving", cases)


@pytest.mark.parametrize("phase", ["plan", "implement"])
def test_two_runs_held_at_any_two_requests_end_as_one_run(phase: str, request: pytest.FixtureRequest) -> None:
    """One run is held at some request, the other one at another, then the first ends and the second after it."""
    requests = 39 if phase == "plan" else 98
    pairs = list(itertools.product(range(1, requests + 1), repeat=2))
    chosen = pairs[:: len(pairs) // 40] if IS_FULL else pairs[100 :: len(pairs) // 2]
    cases = {str(pair): at_once(phase, 2, switching(*pair)) for pair in chosen}
    judge(request, "two runs, two switches", cases)


@pytest.mark.parametrize("phase", PHASES)
def test_a_claim_after_anothers_hand_over_changes_nothing(phase: str, request: pytest.FixtureRequest) -> None:
    """One run has read everything and is held before its first write; another one does all; then the first goes on."""
    cases = {
        f"{phase}, {in_place}": at_once(phase, 2, Path(start=(0, 1)), at="writes", in_place=in_place)
        for in_place in (True, False)
    }
    judge(request, "a late claim", cases)


@pytest.mark.parametrize("phase", PHASES if IS_FULL else OFTEN)
@pytest.mark.parametrize("parties", [2, 3] if IS_FULL else [3])
def test_runs_switched_at_any_request_end_as_one_run(
    phase: str, parties: int, request: pytest.FixtureRequest
) -> None:
    """Two and three runs of every phase, switched by lot: bounded damage, and the same end."""
    often = phase in OFTEN
    full = (150 if often else 12) if parties == 2 else (45 if often else 6)
    seeds = range(full * SCALE) if IS_FULL else range(7, 8)
    cases = {str(seed): at_once(phase, parties, by_seed(seed), in_place=seed % 2 == 0) for seed in seeds}
    judge(request, f"{parties} runs at once, by seed", cases)


def test_a_family_that_runs_at_once_starts_nothing_twice(request: pytest.FixtureRequest) -> None:
    """A parent and its sub-tasks are different tickets: their runs may overlap in any order."""
    cases = {}
    for seed in range(15 * SCALE if IS_FULL else 2):
        scene = scenes.broken_down().copy()
        runs, keys = scene.runs(), [scene.parent, *scene.arena.sub_tasks(scene.parent)[:2]]
        together(runs, keys, by_seed(seed), at="requests")
        problems = [problem for key in keys for problem in settle(runs, key)]
        cases[str(seed)] = problems + violations(scene.arena, runs)
    judge(request, "a family at once, by seed", cases)
