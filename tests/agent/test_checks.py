"""Set-up, baseline and runs of the configured checks, as measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from runner.agent.checks import CheckRunner
from runner.core.policy import CheckCommand, Checks, SetupCommand
from runner.errors import ConfigError
from tests.agent.scripted import Ended


class Shell:
    """Answers each line with the next of its ends; the last one stays."""

    def __init__(self, **ends: Sequence[Ended]) -> None:
        self.ends = {name: list(one) for name, one in ends.items()}
        self.ran: list[tuple[str, float]] = []

    def __call__(self, line: str, timeout: float) -> Ended:
        self.ran.append((line, timeout))
        left = self.ends.get(line, [Ended(output="fine")])
        return left.pop(0) if len(left) > 1 else left[0]


GREEN = Ended(output="ok", seconds=1.25)
RED = Ended(exit_code=1, output="AssertionError in 0.12 s")
records: list[tuple[str, Mapping[str, Any]]] = []


def runner(shell: Shell, *ids: str, **more: Any) -> CheckRunner:
    commands = tuple(CheckCommand(id=id_, run=id_, timeout=30) for id_ in ids)
    return CheckRunner(
        checks=Checks(commands=commands, **more), run=shell, log=lambda *one: records.append(one)
    )


def test_a_run_keeps_code_output_and_time() -> None:
    """What a command did is kept as it was measured, under the configured timeout."""
    shell = Shell(tests=[GREEN])
    checks = runner(shell, "tests")
    run = checks.run_check("tests")

    assert (run.exit_code, run.output, run.seconds, run.is_green) == (0, "ok", 1.25, True)
    assert shell.ran == [("tests", 30)]


def test_a_timeout_is_red() -> None:
    """A command that was ended for taking too long is not green, whatever its status."""
    assert not runner(Shell(tests=[Ended(timed_out=True)]), "tests").run_check("tests").is_green


def test_set_up_stops_at_its_first_failure() -> None:
    """A failing set-up command is a configuration error with its last words; nothing runs after it."""
    shell = Shell(one=[Ended(exit_code=3, output="no network")])
    setup = (SetupCommand(run="one"), SetupCommand(run="two"))
    with pytest.raises(ConfigError, match="`one` ended with status 3") as caught:
        runner(shell, "tests", setup=setup).set_up()

    assert caught.value.detail == "no network"
    assert [line for line, _ in shell.ran] == ["one"]


def test_the_baseline_is_measured_once_and_counts_for_untouched_files() -> None:
    """Before any edit the baseline is the newest run; nothing is run twice on the same files."""
    shell = Shell()
    checks = runner(shell, "tests", "style")
    checks.measure_baseline()

    assert checks.run_missing(0) == ()
    assert [line for line, _ in shell.ran] == ["tests", "style"]


def test_without_a_baseline_every_check_counts_as_green_before() -> None:
    """What was not measured is held against the work."""
    checks = runner(Shell(tests=[RED]), "tests", baseline=False)
    checks.measure_baseline()

    assert checks.baseline == {}
    assert [run.id for run in checks.run_missing(1)] == ["tests"]


def test_a_check_red_before_is_not_held_against_the_work() -> None:
    """It is run and reported, but does not stand in the way."""
    checks = runner(Shell(tests=[RED]), "tests")
    checks.measure_baseline()

    assert checks.run_missing(1) == ()
    assert [run.is_green for run in checks.measured(1)] == [False]


def test_an_older_run_says_nothing_about_newer_files() -> None:
    """Only runs on the files as they are count as measured."""
    checks = runner(Shell(), "tests", "style")
    checks.run_missing(1)
    checks.run_check("tests")
    checks.note("tests", 2)

    assert [run.id for run in checks.measured(2)] == ["tests"]


def test_three_equal_failures_on_three_states_are_stuck() -> None:
    """The same words, times aside, after three different edits; a green run in between starts afresh."""
    shell = Shell(tests=[GREEN, RED, Ended(exit_code=1, output="AssertionError in 9.99 s"), RED])
    checks = runner(shell, "tests")
    checks.measure_baseline()
    seen = []
    for revision in (1, 2, 3):
        checks.run_missing(revision)
        seen.append(checks.is_stuck)

    assert seen == [False, False, True]
    checks.latest["tests"] = checks.baseline["tests"]
    checks.note("tests", 4)
    assert not checks.is_stuck


def test_repeating_a_check_on_the_same_files_is_not_being_stuck() -> None:
    """Only a failure that survives an edit counts."""
    checks = runner(Shell(tests=[GREEN, RED]), "tests")
    checks.measure_baseline()
    for _ in range(5):
        checks.run_check("tests")
        checks.note("tests", 1)

    assert not checks.is_stuck


def test_every_run_is_recorded_with_its_time() -> None:
    """Set-up and checks stand in the transcript with status and seconds."""
    records.clear()
    checks = runner(Shell(tests=[GREEN]), "tests", setup=(SetupCommand(run="make"),))
    checks.set_up()
    checks.measure_baseline()

    assert [(kind, facts["name"], facts["exit_code"]) for kind, facts in records] == [
        ("set-up", "make", 0),
        ("check", "tests", 0),
    ]
    assert records[1][1]["took"] == 1.25
