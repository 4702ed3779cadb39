"""GitHub stays away, or refuses, for as long as a run lasts: the ticket waits, told once, or says what to correct."""

from __future__ import annotations

import random
from functools import cache

import pytest

from tests.reliability.arena import Arena
from tests.reliability.crashing import Case, recover, undisturbed
from tests.reliability.faulting import FAULTS, Fault, FaultyLine
from tests.reliability.invariants import markers, violations
from tests.reliability.runs import Ran
from tests.reliability.scenes import PHASES, Scene
from tests.reliability.tally import IS_FULL, count
from tests.reliability.wire import Sent

SENDERS = ("plan", "breakdown", "implement", "implement_stacked", "revise", "merge", "restack", "completion")
LASTING = ("429 for an hour", "500", "reset, not applied", "200 with a log-in page")
FORBIDDING = ("401", "403", "301 to another host")
FAST = 1
BY_NAME = {one.name: one for one in FAULTS}


# Without this one a review counts as it was submitted; nothing else depends on it.
OPTIONAL = "github POST /graphql lastEditedAt"


@cache
def reads() -> tuple[tuple[str, str], ...]:
    """Every kind of read of GitHub with a phase that does it."""
    found: dict[str, str] = {}
    for phase in SENDERS:
        scene = PHASES[phase]().copy()
        for sent in scene.runs().run(scene.key).line.sent:
            is_read = not sent.is_write and not sent.is_dispatch and sent.kind != OPTIONAL
            if sent.service == "github" and is_read:
                found.setdefault(sent.kind, phase)
    return tuple(sorted(found.items()))


def some_reads(seed: str) -> tuple[tuple[str, str], ...]:
    """All reads, or a sample that differs by fault."""
    return reads() if IS_FULL else tuple(random.Random(seed).sample(reads(), FAST))


def away(scene: Scene, kind: str, fault: Fault) -> FaultyLine:
    """A line on which every read of this kind fails."""

    def choose(sent: Sent) -> Fault | None:
        return fault if sent.kind == kind else None

    return FaultyLine(clock=scene.arena.clock, choose=choose)


def waits(kind: str, phase: str, fault: Fault) -> Case:
    """Two runs during an outage, then recovery."""
    scene = PHASES[phase]().copy()
    is_ours = scene.arena.assignee(scene.key) == "ai"
    case = recover(scene, undisturbed(phase), [away(scene, kind, fault), away(scene, kind, fault)])
    first, second = case.disturbed
    case.problems += [one for ran in (first, second) for one in _is_waiting(ran)]
    told = [one.kind for one in first.line.applied if one.is_write and one.service == "jira"]
    if is_ours != bool(told):
        case.problems.append(f"ours: {is_ours}, written: {told}")
    if second.writes:
        case.problems.append(
            f"the second run wrote {[one.kind for one in second.line.applied if one.is_write]}"
        )
    return case


def _is_waiting(ran: Ran) -> list[str]:
    if ran.end is not None and (ran.end.outcome, ran.exit_code) == ("waiting", 0):
        return []
    return [f"ended as {ran.end and ran.end.outcome} with {ran.exit_code}: {ran.untold or ran.error}"]


def _report(request: pytest.FixtureRequest, suite: str, cases: dict[str, list[str]]) -> None:
    bad = {name: problems for name, problems in cases.items() if problems}
    count(request, suite, cases=len(cases), converged=len(cases) - len(bad), violated=len(bad))
    assert not bad, "\n".join(f"{name}: {problems}" for name, problems in bad.items())


@pytest.mark.parametrize("name", LASTING)
def test_a_ticket_whose_github_cannot_be_read_waits_and_is_told_once(
    name: str, request: pytest.FixtureRequest
) -> None:
    """Whichever read fails, in whichever stage: parked, exit 0, no attempt used, and nothing more until it is back."""
    cases = {
        f"{kind} ({phase})": waits(kind, phase, BY_NAME[name]).problems for kind, phase in some_reads(name)
    }
    _report(request, "outages of GitHub", cases)


@pytest.mark.parametrize("name", (*LASTING, *FORBIDDING))
def test_edits_of_reviews_that_cannot_be_read_hold_nothing_up(name: str) -> None:
    """The text of a review is complete without them; the feedback is worked in as ever."""
    scene = PHASES["revise"]().copy()

    case = recover(scene, undisturbed("revise"), [away(scene, OPTIONAL, BY_NAME[name])])

    assert case.problems == []
    assert case.further == 0


@pytest.mark.parametrize("name", FORBIDDING)
def test_a_refusal_that_waiting_does_not_change_is_told_with_its_remedy(
    name: str, request: pytest.FixtureRequest
) -> None:
    """A token, a permission or an address is wrong: exit 2 and what to do, never a ticket that waits."""
    cases = {f"{kind} ({phase})": refused(kind, phase, BY_NAME[name]) for kind, phase in some_reads(name)}
    _report(request, "refusals of GitHub", cases)


def test_a_repository_that_the_token_cannot_see_is_told_with_its_remedy(
    request: pytest.FixtureRequest,
) -> None:
    """A wrong name or a token for another repository: exit 2, and the ticket says so."""
    kind = "github GET /repos/acme/shop"
    cases = {phase: refused(kind, phase, BY_NAME["404"]) for phase in ("plan", "implement")}
    _report(request, "refusals of GitHub", cases)


@pytest.mark.parametrize("name", LASTING)
def test_while_jira_cannot_be_read_nothing_is_written(name: str, request: pytest.FixtureRequest) -> None:
    """Unknown is not empty: without the ticket not even parking is written, and exit 4 says so."""
    chosen = jira_reads() if IS_FULL else random.Random(f"Jira {name}").sample(jira_reads(), FAST)
    cases = {f"{kind} ({phase})": unwritten(kind, phase, BY_NAME[name]) for kind, phase in chosen}
    _report(request, "outages of Jira", cases)


def test_the_sweep_resumes_a_ticket_that_waits() -> None:
    """It is woken once its service had some time, and only then."""
    scene = PHASES["implement"]().copy()
    runs = scene.runs()
    runs.run(scene.key, line=away(scene, "github GET /repos/acme/shop", BY_NAME["500"]))
    assert "ai:waiting" in scene.arena.labels(scene.key)

    at_once = runs.sweep().dispatched
    scene.arena.clock.advance(3_600)
    later = runs.sweep().dispatched

    assert (scene.key in at_once, scene.key in later) == (False, True)


@cache
def jira_reads() -> tuple[tuple[str, str], ...]:
    """What is read of a ticket before anything is decided, with a phase that does it."""
    wanted = ("/issue/*", "/issue/*/comment", "/issue/*/changelog", "/issue/*/remotelink", "/myself")
    found = [(f"jira GET /rest/api/3{path}", "implement") for path in wanted]
    return (*found, ("jira POST /rest/api/3/issue/bulkfetch", "implement"))


def unwritten(kind: str, phase: str, fault: Fault) -> list[str]:
    """What is wrong after a run that could not read the ticket, and after the one that could."""
    scene = PHASES[phase]().copy()
    line = away(scene, kind, fault)
    case = recover(scene, undisturbed(phase), [line])
    ran = case.disturbed[0]
    assert line.met, f"{phase} no longer sends {kind}"
    if ran.writes or ran.exit_code != 4:
        written = [one.kind for one in ran.line.applied if one.is_write]
        case.problems.append(f"exit {ran.exit_code}, written: {written}")
    return case.problems


def refused(kind: str, phase: str, fault: Fault) -> list[str]:
    """What is wrong after a run whose read was refused."""
    scene = PHASES[phase]().copy()
    runs, arena = scene.runs(), scene.arena
    is_ours = arena.assignee(scene.key) == "ai"
    ran = runs.run(scene.key, line=away(scene, kind, fault))
    problems = violations(arena, runs)
    if ran.exit_code != 2 or ran.error is None or not ran.error.remedy:
        problems.append(f"exit {ran.exit_code}: {ran.error} {ran.untold}")
    if "ai:waiting" in arena.labels(scene.key):
        problems.append("the ticket waits for what does not pass")
    if is_ours and not _says_failure(arena, scene.key):
        problems.append("the ticket was not told")
    return problems


def _says_failure(arena: Arena, key: str) -> bool:
    return any(marker.kind == "failure" for _, marker in markers(arena, arena.issue(key)))
