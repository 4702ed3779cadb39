"""Prints what the reliability suites showed, in numbers, at the end of the test run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

IS_FULL = bool(os.environ.get("AI_RUNNER_FULL"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each suite: cases, how many converged, how many violated an invariant."""
    totals: dict[str, list[int]] = {}
    for suite, *numbers in _counted(terminalreporter):
        known = totals.setdefault(suite, [0, 0, 0])
        totals[suite] = [one + more for one, more in zip(known, numbers, strict=True)]
    if not totals:
        return
    terminalreporter.section(f"reliability ({'full' if IS_FULL else 'fast subset'})")
    terminalreporter.write_line(f"{'suite':<44}{'cases':>8}{'converged':>11}{'violated':>10}")
    for suite, numbers in sorted(totals.items()):
        terminalreporter.write_line(f"{suite:<44}{numbers[0]:>8}{numbers[1]:>11}{numbers[2]:>10}")


def _counted(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, int, int, int]]:
    for reports in reporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                yield from (value for name, value in report.user_properties if name == "reliability")
