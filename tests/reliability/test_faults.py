"""Faulty answers at every kind of request: the run converges, waits or blocks by class, and repeats no POST blindly."""

from __future__ import annotations

import random
from functools import cache

import pytest

from runner.errors import RunnerError
from tests.reliability.crashing import Case, recover, undisturbed
from tests.reliability.faulting import FAULTS, Fault, FaultyLine, by_chance, once
from tests.reliability.invariants import violations
from tests.reliability.runs import Ran
from tests.reliability.scenes import PHASES
from tests.reliability.tally import IS_FULL, SCALE, count
from tests.reliability.wire import GIT

# Together these send every kind of request that the product knows.
SENDERS = (
    "plan",
    "plan_revision",
    "breakdown",
    "implement",
    "revise",
    "merge",
    "closed",
    "restack",
    "completion",
    "shared_revise",
    "shared_merge",
)
RANDOM_PHASES = ("plan", "breakdown", "implement", "revise", "restack")
FAST_KINDS = 1
MAX_WAIT = 300.0


@cache
def kinds() -> dict[str, str]:
    """Every kind of request, with a phase that sends it."""
    found: dict[str, str] = {}
    for phase in SENDERS:
        scene = PHASES[phase]().copy()
        for sent in scene.runs().run(scene.key).line.sent:
            if sent.service != GIT:
                found.setdefault(sent.kind, phase)
    return found


def chosen(fault: Fault) -> list[str]:
    """The kinds of request that meet this fault here: all of them, or a sample that differs for each fault."""
    names = sorted(name for name in kinds() if not (fault.concerns_writes and " GET " in name))
    return names if IS_FULL else random.Random(fault.name).sample(names, FAST_KINDS)


def meet(fault: Fault, kind: str) -> Case:
    """One run in which the first request of a kind fails, and its recovery."""
    phase = kinds()[kind]
    scene = PHASES[phase]().copy()
    line = FaultyLine(clock=scene.arena.clock, choose=once(kind, fault))
    if not fault.is_hard:
        case = recover(scene, undisturbed(phase), [line])
    else:
        case = Case()
        runs = scene.runs()
        ran = runs.run(scene.key, line=line)
        case.disturbed.append(ran)
        case.problems += violations(scene.arena, runs)
        case.problems += _is_told(ran)
    if case.disturbed[0].waited > MAX_WAIT:
        case.problems.append(f"waited {case.disturbed[0].waited:.0f} s")
    assert line.met, f"{phase} no longer sends {kind}"
    return case


def _is_told(ran: Ran) -> list[str]:
    """A hard fault ends the run in words and with its class's exit code, or it did not matter."""
    if ran.end is None:
        return (
            []
            if ran.error is not None and ran.error.exit_code in (2, 3, 4)
            else [f"ended silently: {ran.error}"]
        )
    if ran.error is not None and ran.end.outcome not in ("failed", "waiting", "nothing"):
        return [f"{ran.error.summary} ended as {ran.end.outcome}"]
    return []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_at_any_kind_of_request_is_dealt_with_by_its_class(
    fault: Fault, request: pytest.FixtureRequest
) -> None:
    """What passes is waited for and recovered from; what does not is told; nothing is lost or done twice."""
    cases = {kind: meet(fault, kind) for kind in chosen(fault)}
    bad = {kind: case.problems for kind, case in cases.items() if case.problems}
    count(request, "HTTP faults", cases=len(cases), converged=len(cases) - len(bad), violated=len(bad))
    assert not bad, "\n".join(f"{kind} ({kinds()[kind]}): {problems}" for kind, problems in bad.items())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_sweep_that_meets_a_fault_is_made_up_for_by_the_next(
    fault: Fault, request: pytest.FixtureRequest
) -> None:
    """It writes nothing, and ends in words unless the fault passed; whoever waits is woken by the next sweep."""
    asked = dict.fromkeys(sent.kind for sent in PHASES["plan"]().copy().runs().sweep().line.sent)
    bad = {kind: problems for kind in asked if (problems := _swept(fault, kind))}
    count(request, "HTTP faults", cases=len(asked), converged=len(asked) - len(bad), violated=len(bad))
    assert bad == {}


def _swept(fault: Fault, kind: str) -> list[str]:
    scene = PHASES["plan"]().copy()
    runs, problems = scene.runs(), []
    line = FaultyLine(clock=scene.arena.clock, choose=once(kind, fault))
    try:
        runs.sweep(line=line)
    except RunnerError as error:
        if error.exit_code not in (2, 3, 4):
            problems.append(f"exit {error.exit_code}: {error}")
    if not line.met or line.writes:
        problems.append(f"met {line.met}, {line.writes} writes")
    if scene.key not in runs.sweep().dispatched:
        problems.append("the next sweep wakes nobody")
    return problems


@pytest.mark.parametrize("phase", RANDOM_PHASES)
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_random_faults_on_every_request_leave_nothing_wrong(
    phase: str, share: float, request: pytest.FixtureRequest
) -> None:
    """Once the faults stop, the undisturbed end is reached, whatever the run was through."""
    seeds = range(10 * SCALE if IS_FULL else 1)
    bad = {}
    for seed in seeds:
        scene = PHASES[phase]().copy()
        line = FaultyLine(clock=scene.arena.clock, choose=by_chance(f"{phase} {share} {seed}", share))
        case = recover(scene, undisturbed(phase), [line])
        if case.problems:
            bad[seed] = (case.problems, line.met)
    count(request, "random faults", cases=len(seeds), converged=len(seeds) - len(bad), violated=len(bad))
    assert not bad, "\n".join(f"seed {seed}: {problems}" for seed, problems in bad.items())
