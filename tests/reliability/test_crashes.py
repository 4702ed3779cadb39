"""Crashes at every write of every phase, alone and in pairs: the end is the one that an undisturbed run reaches.

A run killed after the answer to one write leaves the state of a run killed before the next one: between the two it
only reads, which a test shows, and what it keeps in memory dies with it. So pairs need the kills before each write,
the kill after the last one, which is an undisturbed run, and the lost answers.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from tests.reliability.crashing import Case, crash, undisturbed
from tests.reliability.invariants import everything
from tests.reliability.scenes import PHASES
from tests.reliability.tally import IS_FULL, count
from tests.reliability.wire import GIT, Crash, Line, Sent

# The fast subset looks at every third write, each time at another end of it, and at one pair of a phase.
FAST_STEP, FAST_PAIRS = 3, 1
# Reads that change nothing are the same in every phase that works on a branch.
FAST_PHASES = ("plan", "breakdown", "implement", "restack")
Plan = tuple[dict[int, Crash], ...]


def singles(phase: str) -> Iterator[tuple[Plan, bool]]:
    """Each write with each end; a killed process with and without the concluding stage."""
    kinds = ((Crash.BEFORE, False), (Crash.LOST, False), (Crash.AFTER, False), (Crash.BEFORE, True))
    for number in range(1, undisturbed(phase).effects + 1):
        chosen = kinds if IS_FULL else (kinds[number % len(kinds)],)
        if not IS_FULL and number % FAST_STEP != FAST_STEP - 1:
            continue
        for kind, concludes in chosen:
            yield ({number: kind},), concludes


def pairs(phase: str) -> Iterator[Plan]:
    """Two in a row: a run is killed and the next one too, or loses an answer; or one run loses an answer and goes on.

    The second run has what the first one left, and a claim of its own; numbers beyond that meet nothing.
    """
    effects = undisturbed(phase).effects
    every: list[Plan] = []
    for first, second_kind in itertools.product(range(1, effects + 1), (Crash.BEFORE, Crash.LOST)):
        left = range(1, min(effects, effects - first + 4) + 1)
        every += [({first: Crash.BEFORE}, {second: second_kind}) for second in left]
        later = range(first + 1, effects + 1)
        every += [({first: Crash.LOST, second: second_kind},) for second in later]
    yield from every if IS_FULL else random.Random(f"pairs of {phase}").sample(every, FAST_PAIRS)


def _report(request: pytest.FixtureRequest, suite: str, cases: dict[str, Case]) -> None:
    bad = {name: case.problems for name, case in cases.items() if case.problems}
    violated = sum(
        any(one[0] in "Ab" and one[1:2].isdigit() for one in problems) for problems in bad.values()
    )
    count(request, suite, cases=len(cases), converged=len(cases) - len(bad), violated=violated)
    assert not bad, "\n".join(f"{name}: {problems}" for name, problems in bad.items())


@pytest.mark.parametrize("phase", PHASES)
def test_a_crash_at_any_write_is_recovered_from(phase: str, request: pytest.FixtureRequest) -> None:
    """Killed before, answer lost, killed after: within two further runs the end is the undisturbed one."""
    cases = {
        f"{plan} concluded={concludes}": crash(phase, plan, concludes=concludes)
        for plan, concludes in singles(phase)
    }
    _report(request, "one crash", cases)


@pytest.mark.parametrize("phase", PHASES if IS_FULL else FAST_PHASES)
def test_between_two_writes_nothing_changes(phase: str) -> None:
    """What stands after one write's answer stands when the next one is about to be sent."""
    scene = PHASES[phase]().copy()
    seen: list[tuple[bool, str]] = []

    def look(sent: Sent) -> None:
        seen.append((sent.is_write or sent.is_dispatch or sent.service == GIT, everything(scene.arena)))

    scene.runs().run(scene.key, line=Line(before=look))

    changed = [one for one, other in itertools.pairwise(seen) if not one[0] and one[1] != other[1]]
    assert sum(is_write for is_write, _ in seen) == undisturbed(phase).effects
    assert changed == []


@pytest.mark.parametrize("phase", PHASES)
def test_two_crashes_in_a_row_are_recovered_from(phase: str, request: pytest.FixtureRequest) -> None:
    """A recovering run may be killed too: the run after it still brings the undisturbed end."""
    cases = {str(plan): crash(phase, plan) for plan in pairs(phase)}
    _report(request, "two crashes", cases)
