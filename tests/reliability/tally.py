"""Counts of cases, kept on each test's report so that they survive being run in several processes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

IS_FULL = bool(os.environ.get("AI_RUNNER_FULL"))
# How many times as many seeds the full run plays.
SCALE = int(os.environ.get("AI_RUNNER_SCALE", "1"))


def count(request: pytest.FixtureRequest, suite: str, *, cases: int, converged: int, violated: int) -> None:
    """Add to the counts that are printed when all tests are done."""
    request.node.user_properties.append(("reliability", (suite, cases, converged, violated)))


def print_counts(reporter: pytest.TerminalReporter) -> None:
    """One line for each suite: cases, how many converged, how many violated an invariant."""
    totals: dict[str, list[int]] = {}
    for suite, *numbers in _counted(reporter):
        known = totals.setdefault(suite, [0, 0, 0])
        totals[suite] = [one + more for one, more in zip(known, numbers, strict=True)]
    if not totals:
        return
    reporter.section(f"reliability ({'full' if IS_FULL else 'fast subset'})")
    reporter.write_line(f"{'suite':<44}{'cases':>8}{'converged':>11}{'violated':>10}")
    for suite, numbers in sorted(totals.items()):
        reporter.write_line(f"{suite:<44}{numbers[0]:>8}{numbers[1]:>11}{numbers[2]:>10}")


def _counted(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, int, int, int]]:
    for reports in reporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                yield from (value for name, value in report.user_properties if name == "reliability")
