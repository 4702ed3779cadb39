"""People act while a run works: nothing of theirs is lost, and the ticket comes to rest."""

from __future__ import annotations

import random
from functools import cache

import pytest

from tests.reliability.invariants import violations
from tests.reliability.moves import any_move, make
from tests.reliability.scenes import PHASES
from tests.reliability.settling import settle
from tests.reliability.tally import IS_FULL, SCALE
from tests.reliability.test_interleavings import judge
from tests.reliability.wire import Line, Sent

FAST_PHASES = ("plan", "breakdown", "implement", "revise", "restack")


@cache
def _requests(phase: str) -> int:
    """How many requests the undisturbed run makes."""
    scene = PHASES[phase]().copy()
    return len(scene.runs().run(scene.key).line.sent)


def _against_people(phase: str, seed: int) -> list[str]:
    scene = PHASES[phase]().copy()
    arena, runs, choice = scene.arena, scene.runs(), random.Random(f"{phase} {seed}")
    moments = {choice.randint(1, _requests(phase)) for _ in range(choice.choice((1, 1, 2)))}
    passed = 0
    moved: list[str] = []

    def step(_: Sent) -> None:
        nonlocal passed
        passed += 1
        if passed in moments:
            name, key = any_move(arena, choice)
            if make(arena, name, key):
                moved.append(f"{name} {key}")

    runs.run(scene.key, line=Line(step=step))
    keys = [one.key for one in arena.site.issues.values()]
    problems = settle(runs, scene.key) if scene.key in keys else []
    return [f"{one} after {moved}" for one in problems + violations(arena, runs)]


@pytest.mark.parametrize("phase", PHASES if IS_FULL else FAST_PHASES)
def test_a_person_may_move_between_any_two_requests(phase: str, request: pytest.FixtureRequest) -> None:
    """Whatever a person does in the middle of a run, nothing of theirs is lost and the ticket comes to rest."""
    seeds = range(25 * SCALE if IS_FULL else 2)
    cases = {str(seed): _against_people(phase, seed) for seed in seeds}
    judge(request, "a run against people", cases)
