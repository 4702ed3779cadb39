"""The configured checks: set-up once, a baseline before the work, runs by id after edits, all as measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from runner.core.policy import Checks
from runner.core.work import CheckRun
from runner.errors import ConfigError

KEEP = 12_000
LOGGED = 2_000
SAME_REDS = 3


class Command(Protocol):
    """How a command ended, as the shell adapter reports it."""

    @property
    def exit_code(self) -> int:
        """0 for success."""
        ...

    @property
    def output(self) -> str:
        """What it printed, head and tail."""
        ...

    @property
    def seconds(self) -> float:
        """Wall time."""
        ...

    @property
    def timed_out(self) -> bool:
        """Whether it was ended for taking too long."""
        ...


@dataclass(kw_only=True)
class CheckRunner:
    """Runs checks by id. ``run`` executes one shell line with a timeout in seconds, without any secret.

    ``baseline`` holds what was measured before the work, ``latest`` the newest run of each check, and
    ``revisions`` at which state of the files it ran.
    """

    checks: Checks
    run: Callable[[str, float], Command]
    log: Callable[[str, Mapping[str, Any]], None] = lambda kind, facts: None  # noqa: ARG005 - drops records
    baseline: dict[str, CheckRun] = field(default_factory=dict)
    latest: dict[str, CheckRun] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    _reds: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids in the configuration's order."""
        return tuple(command.id for command in self.checks.commands)

    def set_up(self) -> None:
        """Run the set-up commands; a failing one is a configuration error, named with its last words."""
        for command in self.checks.setup:
            ended = self.run(command.run, command.timeout)
            self._log("set-up", command.run, ended)
            if ended.exit_code != 0 or ended.timed_out:
                how = "took too long" if ended.timed_out else f"ended with status {ended.exit_code}"
                raise ConfigError(
                    f"The set-up command `{command.run}` {how}.",
                    remedy="Correct `checks.setup` in the configuration.",
                    detail=ended.output[-2_000:],
                )

    def measure_baseline(self) -> None:
        """Run every check once before the work, if configured."""
        if self.checks.baseline:
            for id_ in self.ids:
                self.baseline[id_] = self.run_check(id_)
                self.revisions[id_] = 0

    def run_check(self, id: str) -> CheckRun:  # noqa: A002 - the name the configuration uses
        """Run one check now."""
        command = next(command for command in self.checks.commands if command.id == id)
        ended = self.run(command.run, command.timeout)
        self._log("check", id, ended)
        self.outputs[id] = ended.output
        self.latest[id] = CheckRun(
            id=id,
            exit_code=ended.exit_code,
            output=ended.output[-KEEP:],
            seconds=ended.seconds,
            timed_out=ended.timed_out,
        )
        return self.latest[id]

    def note(self, id: str, revision: int) -> None:  # noqa: A002 - the name the configuration uses
        """Remember that the newest run of a check was on this state of the files, and whether it fails as before."""
        is_new_state = self.revisions.get(id) != revision
        self.revisions[id] = revision
        run = self.latest[id]
        if run.is_green or not self.was_green(id):
            self._reds.pop(id, None)
        elif is_new_state:
            self._reds.setdefault(id, []).append(_gist(run))

    def run_missing(self, revision: int) -> tuple[CheckRun, ...]:
        """Run every check that has not run on the files as they are; return those that are held against the work."""
        for id_ in self.ids:
            if self.revisions.get(id_) != revision:
                self.run_check(id_)
                self.note(id_, revision)
        return tuple(run for run in self.latest.values() if not run.is_green and self.was_green(run.id))

    def measured(self, revision: int) -> tuple[CheckRun, ...]:
        """The runs on the files as they are; an older run says nothing about them."""
        return tuple(self.latest[id_] for id_ in self.ids if self.revisions.get(id_) == revision)

    def was_green(self, id: str) -> bool:  # noqa: A002 - the name the configuration uses
        """Whether a check was green before the work; one that was not measured counts as green."""
        before = self.baseline.get(id)
        return before is None or before.is_green

    @property
    def is_stuck(self) -> bool:
        """Whether some check failed in the same way on three states of the files in a row."""
        return any(
            len(gists) >= SAME_REDS and len(set(gists[-SAME_REDS:])) == 1 for gists in self._reds.values()
        )

    def _log(self, kind: str, name: str, ended: Command) -> None:
        self.log(
            kind,
            {
                "name": name,
                "exit_code": ended.exit_code,
                "took": round(ended.seconds, 3),
                "timed_out": ended.timed_out,
                "output": ended.output[-LOGGED:],
            },
        )


def _gist(run: CheckRun) -> str:
    """What stays the same when a check fails in the same way: its output without digits, which hold times."""
    return f"{run.exit_code} " + "".join(one for one in run.output[-2_000:] if not one.isdigit())
