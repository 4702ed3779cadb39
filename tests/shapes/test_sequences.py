"""Predecessors that take another way than planned: taken over by a person, cancelled, rejected; several at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shapes.harness import Team, planned_as, team

SEQUENCES = ("stacked", "wait")


def listed(acme: Team) -> list[str]:
    """A parent whose sub-tasks exist, with nothing begun; the parent and they."""
    key = acme.ask()
    acme.follow(key)
    acme.ada.move(key, "In Progress")
    acme.run(key)
    return [key, *acme.sub_tasks(key)]


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_predecessor_that_a_person_takes_over(sequence: str, tmp_path: Path) -> None:
    """Work that builds on a person's waits until that is Done, and then starts from where all work goes."""
    with team(tmp_path, policy={"sequence": sequence}) as acme:
        key, first, second = listed(acme)
        acme.rita.assign(first, acme.rita.account)
        acme.follow(key)
        acme.follow(second)
        assert (acme.status(second), acme.github.pulls) == ("Backlog", [])
        acme.rita.move(first, "In Progress")
        assert acme.run(second).writes == 0
        acme.rita.move(first, "Done")
        acme.follow(first)
        assert [(one.head, one.base) for one in acme.github.pulls] == [(f"ai/{second}", "main")]
        acme.merge_all()
        assert acme.is_done(key)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_cancelled_predecessor(sequence: str, tmp_path: Path) -> None:
    """A sub-task that a person closes without any work holds nobody back."""
    with team(tmp_path, policy={"sequence": sequence}) as acme:
        key, first, second = listed(acme)
        acme.ada.move(first, "Done")
        acme.follow(first)
        assert [(one.head, one.base) for one in acme.github.pulls] == [(f"ai/{second}", "main")]
        acme.merge_all()
        assert acme.is_done(key)


def test_a_rejected_predecessor(tmp_path: Path) -> None:
    """What builds on rejected work does nothing new and is handed to the reviewer; settled, it goes on."""
    with team(tmp_path, policy={"sequence": "wait"}) as acme:
        key, first, second = listed(acme)
        acme.follow(first)
        acme.reviewer.close(1)
        acme.follow(first)
        acme.follow(second)
        assert [acme.status(one) for one in (first, second)] == ["Blocked", "Blocked"]
        assert f"{first}" in acme.said(second)
        acme.ada.move(first, "Done")
        acme.rey.assign(second, acme.bot)
        acme.follow(second)
        assert acme.github.pulls[-1].head == f"ai/{second}"
        acme.merge_all()
        assert acme.is_done(key)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_several_predecessors(sequence: str, tmp_path: Path) -> None:
    """An item on two others starts with the work of both: when all but one are merged, or both are Done."""
    graph = {"report": ("prices", "tax")}
    think = planned_as("prices", "tax", "report", depends_on=graph)
    with team(tmp_path, policy={"sequence": sequence, "max_parallel": 2}, think=think) as acme:
        key, _, second, third = listed(acme)
        acme.follow(key)
        assert [one.base for one in acme.github.pulls] == ["main", "main"]
        acme.reviewer.merge(1)
        acme.follow(acme.sub_tasks(key)[0])
        acme.follow(third)
        opened = [(one.head, one.base) for one in acme.github.pulls[2:]]
        assert opened == ([(f"ai/{third}", f"ai/{second}")] if sequence == "stacked" else [])
        acme.merge_all()
        assert acme.is_done(key)
        assert {"src/prices.py", "src/tax.py", "src/report.py"} <= set(acme.github.files("main"))
