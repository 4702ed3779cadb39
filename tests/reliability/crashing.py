"""One crash case: a run that goes wrong at chosen writes, then undisturbed runs until nothing is due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.reliability.invariants import asked_too_often, differences, end_of, is_at_rest, violations
from tests.reliability.runs import Ran, Runs
from tests.reliability.scenes import PHASES, Scene
from tests.reliability.wire import Crash, Line

MAX_FURTHER_RUNS = 2
# A parked ticket is looked at again once its time has come.
BETWEEN_RUNS = 4_000.0


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """What one run without any trouble does: its writes, the end it reaches, the tickets it wakes."""

    effects: int
    kinds: tuple[str, ...]
    end: Mapping[str, Any]
    dispatched: frozenset[str]
    outcome: str


@cache
def undisturbed(phase: str) -> Undisturbed:
    """The end that every disturbed run must reach too."""
    scene = PHASES[phase]().copy()
    runs = scene.runs()
    ran = runs.run(scene.key)
    assert ran.end is not None, ran.error
    problems = violations(scene.arena, runs)
    assert not problems, problems
    return Undisturbed(
        effects=ran.line.effects,
        kinds=tuple(one.kind for one in ran.line.applied if one.is_write or one.is_dispatch),
        end=end_of(scene.arena),
        dispatched=frozenset(ran.dispatched),
        outcome=ran.end.outcome,
    )


@dataclass(kw_only=True)
class Case:
    """How one case went. ``further`` counts the runs after the disturbed ones that had something to do."""

    problems: list[str] = field(default_factory=list)
    further: int = 0
    disturbed: list[Ran] = field(default_factory=list)

    @property
    def has_converged(self) -> bool:
        """Whether it reached the undisturbed end."""
        return not self.problems


def crash(phase: str, crashes: Sequence[Mapping[int, Crash]], *, concludes: bool = False) -> Case:
    """Run a phase with the given crashes in its first runs, then let it recover, and look at everything."""
    scene = PHASES[phase]().copy()
    return recover(scene, undisturbed(phase), [Line(crashes=one) for one in crashes], concludes=concludes)


def recover(
    scene: Scene,
    expected: Undisturbed,
    lines: Sequence[Line],
    *,
    concludes: bool = False,
    runs: Runs | None = None,
) -> Case:
    """Use each line for one run, then run until one has nothing to do; report what is not as it should be.

    That last run is also the proof that a second run in a row writes nothing (A14).
    """
    case, arena = Case(), scene.arena
    runs = runs or scene.runs()
    woken: set[str] = set()
    for line in lines:
        ran = runs.run(scene.key, line=line, concludes=concludes)
        case.disturbed.append(ran)
        woken |= _woken(ran)
        case.problems += [f"after the disturbed run: {one}" for one in violations(arena, runs)]
        arena.clock.advance(BETWEEN_RUNS)
    for _ in range(MAX_FURTHER_RUNS + 1):
        ran = runs.run(scene.key)
        woken |= _woken(ran)
        if is_at_rest(ran):
            break
        case.further += 1
        arena.clock.advance(BETWEEN_RUNS)
    else:
        case.problems.append(f"A11, A14: not at rest after {MAX_FURTHER_RUNS} further runs: {ran.end}")
    if case.further > MAX_FURTHER_RUNS:
        case.problems.append(f"A11: {case.further} further runs were needed")
    case.problems += violations(arena, runs)
    case.problems += asked_too_often(runs, len(lines))
    case.problems += differences(dict(expected.end), end_of(arena))
    forgotten = {one for one in expected.dispatched - woken if not _would_be_found(arena, one)}
    if forgotten:
        case.problems.append(f"nobody woke {sorted(forgotten)}")
    return case


def _woken(ran: Ran) -> set[str]:
    import json

    return {
        json.loads(one.body)["client_payload"]["issue_key"] for one in ran.line.applied if one.is_dispatch
    }


def _would_be_found(arena: Any, key: str) -> bool:
    """Whether the sweep looks at this ticket: assigned to the runner and not done."""
    if key not in {one.key for one in arena.site.issues.values()}:
        return False
    issue = arena.issue(key)
    return bool(issue.assignee == arena.bot and issue.status.category != "done")
