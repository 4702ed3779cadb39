"""What concerns every test run, whichever tests it runs: what it begins with, and the counts that it ends with.

Several processes share the work, and the one that prints loads no other conftest.
"""

from __future__ import annotations

import pytest

from tests.reliability.tally import print_counts

# Whole stories, each a minute or two: begun last, they would leave the other processes idle.
LONGEST = ("tests/test_demo.py", "tests/shapes/test_parallel.py", "tests/sandbox/test_rehearsal.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each suite that ran."""
    print_counts(terminalreporter)
