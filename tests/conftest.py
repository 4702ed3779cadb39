"""What every test run ends with, whichever tests it ran: the counts of the reliability suites.

It stands here because several processes share the work, and the one that prints loads no other conftest.
"""

from __future__ import annotations

import pytest

from tests.reliability.tally import print_counts


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each suite that ran."""
    print_counts(terminalreporter)
