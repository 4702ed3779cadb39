"""What concerns every test run, whichever tests it runs: what it begins with, and the counts that it ends with.

Several processes share the work, and the one that prints loads no other conftest.
"""

from __future__ import annotations

import pytest

from tests.reliability.tally import print_counts

# Whole stories, each up to a minute or two: the last of them would leave the other processes idle.
LONGEST = ("tests/test_demo.py", "tests/shapes/test_parallel.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the longest over the run, because every process is given neighbours."""
    longest = [item for item in items if item.nodeid.startswith(LONGEST)]
    others = [item for item in items if not item.nodeid.startswith(LONGEST)]
    step = len(others) // max(len(longest), 1)
    pieces = [others[at * step : (at + 1) * step] for at in range(len(longest))]
    spread = [one for item, piece in zip(longest, pieces, strict=True) for one in (item, *piece)]
    items[:] = [*spread, *others[len(longest) * step :]]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each suite that ran."""
    print_counts(terminalreporter)
