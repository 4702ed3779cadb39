"""The behaviour table as a truth table: what is true, which row answers, what is done."""

from __future__ import annotations

import pytest

from runner.core.decide import RunInfo, decide
from tests.core.cases import told
from tests.core.every_case import CASES
from tests.core.snapshots import NOW, RUN, URL
from tests.fakes import World


@pytest.mark.parametrize("name", CASES)
def test_the_table(name: str) -> None:
    """The first row that matches says what is due, and nothing else is."""
    case = CASES[name]

    decision = decide(case.snap, case.policy, NOW, info=RunInfo(run=RUN, url=URL))

    assert (decision.row, decision.outcome.value, told(decision)) == (case.row, case.outcome, case.does)


@pytest.mark.parametrize("name", CASES)
def test_a_gathered_snapshot_decides_alike(name: str) -> None:
    """What is read through the ports leads to the same decision as the snapshot that was meant."""
    case = CASES[name]

    decision = World.of(case.snap, case.policy).decide(case.snap.ticket.key)

    assert (decision.row, told(decision)) == (case.row, case.does)
