"""Git's own conversation with GitHub goes wrong: at fetching, at pushing, once or for as long as a run lasts."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from werkzeug.wrappers import Request, Response

from runner.sandbox.git_http import service_of
from runner.sandbox.github import GitHubSandbox
from tests.reliability.arena import REPOSITORY, Arena
from tests.reliability.crashing import Case, recover, undisturbed
from tests.reliability.invariants import markers, violations
from tests.reliability.runs import Ran, Runs
from tests.reliability.scenes import PHASES
from tests.reliability.tally import IS_FULL, count
from tests.reliability.wire import Line

Make = Callable[[], Response]


@dataclass(frozen=True, kw_only=True)
class GitFault:
    """One way for a request of git to fail; ``is_applied``: the server did it, and its answer is lost."""

    name: str
    make: Make
    is_applied: bool = False


@dataclass(frozen=True, kw_only=True)
class Place:
    """One of git's requests."""

    name: str
    method: str
    service: str


def _status(status: int, text: str = "no\n") -> Make:
    return lambda: Response(text, status=status, mimetype="text/plain")


def _page() -> Response:
    return Response("<html><body>Log in</body></html>", mimetype="text/html")


def _reset() -> Response:
    raise ConnectionResetError


PLACES = (
    Place(name="what is there to fetch", method="GET", service="git-upload-pack"),
    Place(name="fetching", method="POST", service="git-upload-pack"),
    Place(name="where to push", method="GET", service="git-receive-pack"),
    Place(name="pushing", method="POST", service="git-receive-pack"),
)
PASSING = (
    GitFault(name="reset", make=_reset),
    GitFault(name="answer lost", make=_reset, is_applied=True),
    GitFault(name="429", make=_status(429)),
    GitFault(name="500", make=_status(500)),
    GitFault(name="502", make=_status(502)),
    GitFault(name="200 with a log-in page", make=_page),
    GitFault(name="503", make=_status(503)),
    GitFault(name="500, applied", make=_status(500), is_applied=True),
)
REFUSING = (
    GitFault(name="401", make=_status(401, "Invalid username or token.\n")),
    GitFault(name="403", make=_status(403, "Permission to acme/shop.git denied to github-actions[bot].\n")),
    GitFault(name="404", make=_status(404, "Repository not found.\n")),
)


@contextmanager
def served(arena: Arena, runs: Runs) -> Iterator[GitHubSandbox]:
    """The arena's repository over HTTP, for git alone."""
    github = GitHubSandbox(REPOSITORY, git_dir=arena.folder / "repository.git")
    github.hub = arena.hub
    github._git._environment.update(arena.hub.git.environment)
    with github:
        runs.server = github.url
        yield github


def spoil(github: GitHubSandbox, runs: Runs, place: Place, fault: GitFault, *, times: int) -> list[str]:
    """Let this many requests of the first run fail; the list tells those that did."""
    met: list[str] = []

    def meets(request: Request) -> bool:
        is_here = request.method == place.method and service_of(request) == place.service
        return is_here and not runs.history and len(met) < times

    def before(request: Request) -> Response | None:
        if fault.is_applied or not meets(request):
            return None
        met.append(fault.name)
        return fault.make()

    def after(request: Request, answer: Response) -> Response:
        if not fault.is_applied or not meets(request):
            return answer
        answer.close()
        met.append(fault.name)
        return fault.make()

    github.before.append(before)
    github.after.append(after)
    return met


def passes(phase: str, place: Place, fault: GitFault, *, times: int) -> Case:
    """A run that meets the fault, and its recovery."""
    scene = PHASES[phase]().copy()
    runs = scene.runs()
    with served(scene.arena, runs) as github:
        met = spoil(github, runs, place, fault, times=times)
        case = recover(scene, undisturbed(phase), [Line()], runs=runs)
    assert met, f"{phase} no longer comes to {place.name}"
    first = case.disturbed[0]
    if times == 1 and (first.end is None or first.end.outcome != "done"):
        case.problems.append(f"a fault that passes at once ended the run: {first.error}")
    if first.exit_code != 0:
        case.problems.append(f"exit {first.exit_code}: {first.error}")
    return case


def _report(request: pytest.FixtureRequest, cases: dict[str, list[str]]) -> None:
    bad = {name: problems for name, problems in cases.items() if problems}
    count(request, "faults of git", cases=len(cases), converged=len(cases) - len(bad), violated=len(bad))
    assert not bad, "\n".join(f"{name}: {problems}" for name, problems in bad.items())


@pytest.mark.parametrize(
    ("phase", "times"), [("implement", 1), ("revise", 1_000)], ids=["once", "throughout the run"]
)
def test_what_passes_is_waited_for_and_pushed_once(
    phase: str, times: int, request: pytest.FixtureRequest
) -> None:
    """One fault is not noticed; one that stays parks the ticket, and the next run brings the undisturbed end."""
    every = list(itertools.product(PLACES, PASSING))
    chosen = every if IS_FULL else every[times % 3 :: 11]
    cases = {
        f"{fault.name} at {place.name} ({phase})": passes(phase, place, fault, times=times).problems
        for place, fault in chosen
    }
    _report(request, cases)


def test_a_server_that_refuses_connections_is_waited_for(request: pytest.FixtureRequest) -> None:
    """Nobody listens: nothing was sent, the ticket waits, and the next run pushes."""
    scene = PHASES["implement"]().copy()
    runs = scene.runs()
    with socket.socket() as unheard:
        # Bound and not listening: the port is nobody else's, and every connection is refused.
        unheard.bind(("127.0.0.1", 0))
        runs.server = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        refused = runs.run(scene.key)
    runs.server = ""
    scene.arena.clock.advance(4_000)
    case = recover(scene, undisturbed("implement"), [Line()], runs=runs)

    _report(request, {"connection refused": [*case.problems, *_parked(refused)]})


def _parked(ran: Ran) -> list[str]:
    is_parked = ran.end is not None and (ran.end.outcome, ran.exit_code) == ("waiting", 0)
    return [] if is_parked else [f"exit {ran.exit_code}: {ran.error}"]


def refused(place: Place, fault: GitFault) -> list[str]:
    """What is wrong after a run whose fetch or push was refused for good."""
    scene = PHASES["implement"]().copy()
    runs = scene.runs()
    with served(scene.arena, runs) as github:
        met = spoil(github, runs, place, fault, times=1_000)
        ran = runs.run(scene.key)
    assert met, place.name
    return violations(scene.arena, runs) + _told(scene.arena, scene.key, ran, exit_code=2)


def _told(arena: Arena, key: str, ran: Ran, *, exit_code: int) -> list[str]:
    problems = []
    if ran.exit_code != exit_code or ran.error is None or not ran.error.remedy:
        problems.append(f"exit {ran.exit_code}: {ran.error} {ran.error and ran.error.remedy!r}")
    if not any(marker.kind == "failure" for _, marker in markers(arena, arena.issue(key))):
        problems.append("the ticket was not told")
    if arena.status(key) != "Blocked" or arena.hub.pulls:
        problems.append(f"{arena.status(key)}, pull requests: {len(arena.hub.pulls)}")
    return problems


def test_a_refused_token_is_told_with_its_remedy(request: pytest.FixtureRequest) -> None:
    """Waiting changes nothing: exit 2, Blocked, and what to correct."""
    every = list(itertools.product(PLACES, REFUSING))
    chosen = every if IS_FULL else every[::4]
    cases = {f"{fault.name} at {place.name}": refused(place, fault) for place, fault in chosen}
    _report(request, cases)


def test_a_protected_branch_is_told_with_the_rule_that_declined(request: pytest.FixtureRequest) -> None:
    """GitHub's rules decline the push, over the API as well as over git: given up, and what to change is said."""
    problems = {}
    for name in ("protected", "signatures"):
        scene = PHASES["implement"]().copy()
        runs = scene.runs()
        with served(scene.arena, runs):
            if name == "protected":
                scene.arena.hub.protected.add(f"ai/{scene.key}")
            scene.arena.hub.requires_signatures = name == "signatures"
            ran = runs.run(scene.key)
        problems[name] = violations(scene.arena, runs) + _told(scene.arena, scene.key, ran, exit_code=3)
    _report(request, problems)


def test_a_person_who_pushes_first_wins(request: pytest.FixtureRequest) -> None:
    """The branch moves while our push is under way: nothing is overwritten, and the next run builds on it."""
    scene = PHASES["revise"]().copy()
    arena, runs = scene.arena, scene.runs()
    branch = f"ai/{scene.key}"

    def push_first(request: Request) -> Response | None:
        if request.method == "POST" and service_of(request) == "git-receive-pack" and not arena.notes:
            sha = arena.commit_by_person(branch, "NOTES.md", b"mine\n")
            arena.notes["human commits"] = {sha: branch}
        return None

    with served(arena, runs) as github:
        github.before.append(push_first)
        first = runs.run(scene.key)
        runs.run(scene.key)

    problems = violations(arena, runs)
    if first.exit_code != 0 or {"NOTES.md", f"src/{scene.key}.py"} - arena.github.files(branch).keys():
        problems.append(f"exit {first.exit_code}: {first.error}, {sorted(arena.github.files(branch))}")
    if arena.status(scene.key) != "In Testing":
        problems.append(arena.status(scene.key))
    _report(request, {"a person pushes first": problems})
