"""Runs of the real stages in one process: gather, a scripted model, publish; told and concluded as the command line does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from runner.adapters.git_publish import GitPublisher
from runner.adapters.github import GitHubForge
from runner.adapters.http import HttpClient, RetryPolicy
from runner.adapters.http_credentials import basic, bearer
from runner.adapters.jira import JiraTickets
from runner.composition import _guard
from runner.core.changes import Base
from runner.core.handover import Result, WorkFile
from runner.core.model import iso
from runner.core.phases import Phase
from runner.core.redact import Redactor
from runner.core.report import End
from runner.core.work import FileChange
from runner.errors import Ambiguous, RunnerError
from runner.workflow.conclude import conclude_stage
from runner.workflow.stages import Desk, gather_stage, publish_stage, tell
from runner.workflow.sweep import sweep_stage
from tests.reliability.arena import (
    BOT_EMAIL,
    BOT_TOKEN,
    CONFIG_PATH,
    GITHUB_URL,
    JIRA_URL,
    REPOSITORY,
    RUN_TOKEN,
    Arena,
)
from tests.reliability.wire import GIT, Crash, Killed, Line, Sent, Wire

Think = Callable[[WorkFile, str], Result]


class Quiet:
    """A console that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def annotate(self, level: str, title: str, message: str) -> None:
        """Keep an annotation."""
        self.lines.append(f"{level}: {title}: {message}")

    def output(self, name: str, value: str) -> None:
        """Outputs are not looked at here."""

    def summary(self, markdown: str) -> None:
        """Neither are summaries."""

    def mask(self, secret: str) -> None:
        """Nor masks."""

    def log(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)


class CountedPublisher:
    """The real publisher on the arena's repository; a push is one numbered effect like any other.

    ``server`` is where the repository is served over HTTP, if it is; else git reaches it as a path.
    """

    def __init__(self, arena: Arena, line: Line, folder: Any, *, server: str = "") -> None:
        self._arena, self._line, self._server = arena, line, server
        url = f"{server}/{REPOSITORY}" if server else (arena.folder / "repository.git").as_uri()
        self._git = GitPublisher(
            url,
            RUN_TOKEN if server else None,
            folder,
            allow_file=not server,
            sleep=arena.clock.sleep,
            now=lambda: datetime.fromtimestamp(int(arena.clock.time()), tz=UTC),
        )

    def base(self, start: str, paths: Sequence[str]) -> Base:
        """As the real one."""
        return self._git.base(start, paths)

    def publish(
        self,
        *,
        branch: str,
        start: str,
        expected: str | None,
        changes: Sequence[FileChange],
        message: str,
        when: datetime | None = None,
    ) -> str:
        """Push for real, and let pull requests follow as GitHub does."""
        line, hub = self._line, self._arena.hub
        sent = Sent(service=GIT, method="PUSH", path=f"/{branch}", body=message.encode())
        line.sent.append(sent)
        if line.step is not None:
            line.step(sent)
        line.effects += 1
        crash = line.crashes.get(line.effects)
        if crash is Crash.BEFORE:
            raise Killed
        if line.before is not None:
            line.before(sent)
        before = hub.git.branch(branch)
        commit = self._git.publish(
            branch=branch, start=start, expected=expected, changes=changes, message=message, when=when
        )
        if not self._server:
            # A server lets pull requests follow by itself.
            with hub.lock:
                moves = {f"refs/heads/{branch}": (before, hub.git.branch(branch))}
                hub.refs_moved(moves, hub.tokens[RUN_TOKEN])
                hub.pending.clear()
        line.applied.append(sent)
        if crash is Crash.AFTER:
            raise Killed
        if crash is Crash.LOST:
            raise Ambiguous("A push was sent and its result is unknown.")
        return commit

    def close(self) -> None:
        """Remove what the real one put on disk."""
        self._git.close()


@dataclass(kw_only=True)
class Ran:
    """One run: how it ended and what it did. ``end`` is ``None`` when it was killed or could not even tell."""

    key: str
    line: Line
    end: End | None = None
    error: RunnerError | None = None
    is_killed: bool = False
    exit_code: int = 0
    untold: str = ""
    model_calls: int = 0
    phase: str = ""
    file: WorkFile | None = None
    log: list[str] = field(default_factory=list)
    waited: float = 0.0
    dispatched: tuple[str, ...] = ()

    @property
    def writes(self) -> int:
        """Writes that reached a service."""
        return self.line.writes


class Runs:
    """Starts runs in an arena. ``think`` stands for the model; every call of it is counted by ticket and phase.

    ``server`` is where git finds the repository over HTTP; without it git uses its path.
    """

    def __init__(self, arena: Arena, think: Think) -> None:
        self.arena, self.think = arena, think
        self.server = ""
        self.calls: list[tuple[str, str, str]] = []
        self.history: list[Ran] = []

    def desk(
        self, key: str, line: Line, console: Quiet, run: str, *, publishes: bool
    ) -> tuple[Desk, list[HttpClient]]:
        """What one stage works with, as the composition root builds it."""
        arena = self.arena
        jira = HttpClient(
            JIRA_URL,
            service="Jira",
            auth=basic(BOT_EMAIL, BOT_TOKEN),
            clock=arena.clock,
            policy=RetryPolicy(),
            jitter=lambda low, high: (low + high) / 2,
        )
        github = HttpClient(
            GITHUB_URL,
            service="GitHub",
            auth=bearer(RUN_TOKEN),
            clock=arena.clock,
            policy=RetryPolicy(),
            jitter=lambda low, high: (low + high) / 2,
        )
        for client, service in ((jira, arena.jira), (github, arena.github)):
            client._session.mount("http://", Wire(service, line, arena.clock))
            # No proxy and no ~/.netrc lie between: looking for them would take a fifth of a run.
            client._session.trust_env = False
        folder = arena.folder / "publish"
        publisher = CountedPublisher(arena, line, folder, server=self.server) if publishes else None
        desk = Desk(
            key=key,
            run=run,
            run_url=f"https://github.example/runs/{run}",
            jira_url=JIRA_URL,
            repository_name=REPOSITORY,
            config_path=CONFIG_PATH,
            tickets=JiraTickets(jira),
            forge=GitHubForge(github, repository=REPOSITORY),
            console=console,
            redactor=Redactor((BOT_TOKEN, RUN_TOKEN)),
            now=lambda: iso(arena.clock.moment()),
            sleep=arena.clock.sleep,
            writes=lambda: jira.writes + github.writes,
            publisher=publisher,
            guard=_guard(publisher) if publisher is not None else None,
        )
        return desk, [jira, github]

    def run(
        self,
        key: str,
        *,
        line: Line | None = None,
        concludes: bool = False,
        think: Think | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> Ran:
        """One run for one ticket. ``meanwhile`` happens while the model works; ``concludes`` lets the last stage run."""
        ran = Ran(key=key, line=line or Line())
        before = self.arena.clock.waited
        number = self.arena.next_run()
        console = Quiet()
        try:
            self._stages(ran, console, number, think or self.think, meanwhile)
        except Killed:
            ran.is_killed = True
        if ran.end is None and concludes:
            self._conclude(ran, number)
        ran.log = console.lines
        ran.waited = self.arena.clock.waited - before
        self.arena.clock.advance(5)
        self.history.append(ran)
        return ran

    def _stages(
        self, ran: Ran, console: Quiet, number: str, think: Think, meanwhile: Callable[[], None] | None
    ) -> None:
        desk, clients = self.desk(ran.key, ran.line, console, number, publishes=False)
        try:
            file, end = gather_stage(desk, keep=lambda file: setattr(ran, "file", file))
        except Exception as exc:  # the command line tells the ticket whatever it was
            self._tell(ran, desk, exc, "")
            return
        finally:
            _close(clients)
        ran.phase, ran.file = file.phase, file
        if file.verdict == "none":
            ran.end, ran.exit_code = end, end.exit_code
            return
        result = None
        if file.verdict == "model":
            assert file.work is not None
            ran.model_calls = 1
            self.calls.append((ran.key, file.work.phase.value, file.work.input_digest))
            result = Result.model_validate_json(think(file, number).model_dump_json())
            if meanwhile is not None:
                meanwhile()
        file = WorkFile.model_validate_json(file.model_dump_json())
        desk, clients = self.desk(ran.key, ran.line, console, number, publishes=True)
        try:
            ran.end = publish_stage(desk, file, result)
            ran.exit_code = ran.end.exit_code
            ran.dispatched = tuple(desk.dispatched)
        except Exception as exc:  # as above
            self._tell(ran, desk, exc, file.phase, result)
        finally:
            _close(clients)
            if isinstance(desk.publisher, CountedPublisher):
                desk.publisher.close()

    def _tell(self, ran: Ran, desk: Desk, exc: Exception, phase: str, result: Result | None = None) -> None:
        error = exc if isinstance(exc, RunnerError) else None
        if error is None:
            raise exc
        ran.error = error
        ran.exit_code = error.exit_code
        try:
            ran.end = tell(desk, error, Phase(phase) if phase in set(Phase) else None, result)
        except RunnerError as second:
            ran.untold = second.summary
            return
        ran.exit_code = ran.end.exit_code
        ran.dispatched = tuple(desk.dispatched)

    def _conclude(self, ran: Ran, number: str) -> None:
        line = Line()
        desk, clients = self.desk(ran.key, line, Quiet(), number, publishes=False)
        try:
            conclude_stage(
                desk.tickets,
                key=ran.key,
                file=ran.file,
                run_url="",
                repository=REPOSITORY,
                stages={},
                now=desk.now(),
                log=lambda _: None,
            )
        finally:
            _close(clients)

    def sweep(self, *, line: Line | None = None) -> Ran:
        """One sweep. What it wakes is in ``dispatched``; the woken runs are not started here."""
        ran = Ran(key="", line=line or Line())
        desk, clients = self.desk("", ran.line, Quiet(), self.arena.next_run(), publishes=False)
        try:
            ran.end = sweep_stage(desk)
            ran.dispatched = tuple(desk.dispatched)
        finally:
            _close(clients)
        return ran

    def follow(self, key: str, *, limit: int = 40) -> None:
        """Run a ticket and every ticket that it wakes, until nothing more is woken."""
        queue = [key]
        while queue:
            limit -= 1
            assert limit > 0, f"runs wake each other without end: {queue}"
            ran = self.run(queue.pop(0))
            queue += [one for one in ran.dispatched if one not in queue]

    def model_calls(self, key: str, phase: str) -> Mapping[str, int]:
        """How often the model was asked for each input of a ticket and phase."""
        counted: dict[str, int] = {}
        for asked, in_phase, digest in self.calls:
            if (asked, in_phase) == (key, phase):
                counted[digest] = counted.get(digest, 0) + 1
        return counted


def _close(clients: Sequence[HttpClient]) -> None:
    for client in clients:
        client.close()
