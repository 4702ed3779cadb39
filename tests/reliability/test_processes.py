"""Real processes, real HTTP: the command line is killed at a write, and the next run finishes."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from werkzeug.wrappers import Request, Response

from runner.core.handover import WorkFile, read_file, write_file
from runner.sandbox.github import GitHubSandbox
from runner.sandbox.jira import JiraSandbox
from tests.reliability.arena import BOT_EMAIL, BOT_TOKEN, REPOSITORY, RUN_TOKEN
from tests.reliability.crashing import MAX_FURTHER_RUNS, undisturbed
from tests.reliability.invariants import differences, end_of, violations
from tests.reliability.processes import origin
from tests.reliability.scenes import PHASES, Scene
from tests.reliability.tally import IS_FULL, count
from tests.reliability.wire import QUERIES

FAST_PHASES = ("plan", "breakdown", "implement", "revise")


class Stand:
    """The scene's services on loopback, and children that run the stages against them."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self.scene, self.folder = scene, folder
        arena = scene.arena
        self.jira = JiraSandbox(arena.site)
        self.github = GitHubSandbox(REPOSITORY, git_dir=arena.folder / "repository.git")
        self.github.hub = arena.hub
        self.github._git._environment.update(arena.hub.git.environment)
        self.lock = threading.Lock()
        self.left = 0
        self.signal = signal.SIGKILL
        self.calls = 0
        self.writes = 0
        self.kills = 0

    def start(self) -> None:
        """Listen, and count writes as they arrive."""
        self.jira.faults = self._arrives
        self.github.before.append(self._arrives)
        self.jira.start()
        self.github.start()

    def stop(self) -> None:
        """End both services."""
        self.jira.stop()
        self.github.stop()

    def _arrives(self, request: Request) -> Response | None:
        """Kill the sender of the chosen write; the write itself is in, as it is when a sender dies waiting."""
        is_query = QUERIES.search(request.path) or request.path.endswith("/git-upload-pack")
        is_read = request.method in ("GET", "HEAD") or is_query
        if request.path.endswith("/graphql"):
            is_read = b"mutation" not in request.get_data()[:200]
        if is_read:
            return None
        with self.lock:
            self.left -= 1
            self.writes += not request.path.endswith("/dispatches")
            is_chosen = self.left == 0
        if is_chosen and origin().kill(self.signal):
            self.kills += 1
            if self.signal == signal.SIGKILL:
                origin().wait_until_gone()
        return None

    def run(self) -> None:
        """Gather, the scripted model, publish: each stage a process, as the command line starts them."""
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        if self._stage("gather", work) != 0:
            return
        file = read_file(work / "work.json", WorkFile)
        if file.verdict == "none":
            return
        if file.verdict == "model":
            self.calls += 1
            write_file(work / "result.json", self.scene.script(file, file.run))
        self._stage("publish", work)

    def _stage(self, stage: str, work: Path) -> int:
        environment = {
            "PATH": os.environ["PATH"],
            "JIRA_BASE_URL": self.jira.url,
            "JIRA_EMAIL": BOT_EMAIL,
            "JIRA_API_TOKEN": BOT_TOKEN,
            "GITHUB_TOKEN": RUN_TOKEN,
            "GITHUB_API_URL": self.github.url,
            "GITHUB_SERVER_URL": self.github.url,
            "GITHUB_REPOSITORY": REPOSITORY,
        }
        arguments = [stage, "--issue", self.scene.key, "--work-dir", str(work)]
        return origin().run(arguments, environment)


def killed(phase: str, number: int, how: signal.Signals, folder: Path) -> list[str]:
    """Kill the process when a write arrives, run again until the end, and say what is wrong."""
    scene, expected = PHASES[phase]().copy(), dict(undisturbed(phase).end)
    stand = Stand(scene, folder)
    stand.start()
    try:
        stand.left, stand.signal = number, how
        stand.run()
        stand.left = 0
        problems = [] if stand.kills == 1 else ["nobody was killed"]
        for _ in range(MAX_FURTHER_RUNS):
            stand.run()
            if not differences(expected, end_of(scene.arena)):
                break
        stand.writes = 0
        stand.run()
    finally:
        stand.stop()
    problems += violations(scene.arena) + differences(expected, end_of(scene.arena))
    if stand.writes:
        problems.append(f"A14: another run wrote {stand.writes} times")
    if stand.calls > 2:
        problems.append(f"A8: {stand.calls} calls of the model")
    return problems


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
@pytest.mark.parametrize("phase", PHASES if IS_FULL else FAST_PHASES)
def test_a_killed_process_is_recovered_from(
    phase: str, how: signal.Signals, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Whichever write it dies at, the next processes bring the undisturbed end."""
    effects = undisturbed(phase).effects
    numbers = range(1, effects + 1) if IS_FULL else [effects // 2]
    bad = {}
    for number in numbers:
        folder = tmp_path / str(number)
        folder.mkdir()
        if problems := killed(phase, number, how, folder):
            bad[number] = problems
    count(
        request, "killed processes", cases=len(numbers), converged=len(numbers) - len(bad), violated=len(bad)
    )
    assert bad == {}
