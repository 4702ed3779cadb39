"""The configured checks: set-up once, a baseline before the work, runs by id after edits, all as measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from runner.core.policy import Checks
from runner.core.work import CheckRun
from runner.errors import ConfigError

KEEP = 12_000


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
    baseline: dict[str, CheckRun] = field(default_factory=dict)
    latest: dict[str, CheckRun] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids in the configuration's order."""
        return tuple(command.id for command in self.checks.commands)

    def set_up(self) -> None:
        """Run the set-up commands; a failing one is a configuration error, named with its last words."""
        for command in self.checks.setup:
            ended = self.run(command.run, command.timeout)
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

    def run_check(self, id: str) -> CheckRun:  # noqa: A002 - the name the configuration uses
        """Run one check now."""
        command = next(command for command in self.checks.commands if command.id == id)
        ended = self.run(command.run, command.timeout)
        self.outputs[id] = ended.output
        self.latest[id] = CheckRun(
            id=id,
            exit_code=ended.exit_code,
            output=ended.output[-KEEP:],
            seconds=ended.seconds,
            timed_out=ended.timed_out,
        )
        return self.latest[id]

    def run_missing(self, revision: int) -> tuple[CheckRun, ...]:
        """Run every check that has not run on the files as they are; return those that are held against the work."""
        for id_ in self.ids:
            if self.revisions.get(id_) != revision:
                self.run_check(id_)
                self.revisions[id_] = revision
        return tuple(run for run in self.latest.values() if not run.is_green and self.was_green(run.id))

    def was_green(self, id: str) -> bool:  # noqa: A002 - the name the configuration uses
        """Whether a check was green before the work; one that was not measured counts as green."""
        before = self.baseline.get(id)
        return before is None or before.is_green
