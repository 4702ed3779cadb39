"""What runs cost is in the sums of their ticket and of its parent: every run that asked a model, once."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from runner.core.handover import Result, WorkFile
from tests.shapes.harness import Team, Think, answer, team, writing

COST = Decimal("1.25")


def costing(think: Think) -> Think:
    """A model whose every run costs the same."""

    def priced(file: WorkFile) -> Result:
        paid = {"calls": 1, "tokens": 1_000, "usd": COST, "model": "anthropic:claude-opus-5-5"}
        return think(file).model_copy(update=paid)

    return priced


def ending(outcome: str) -> Think:
    """A model whose run ends otherwise than done, with nothing to push."""

    def ended(file: WorkFile) -> Result:
        return answer(file).model_copy(update={"outcome": outcome, "changes": (), "answers": ()})

    return ended


def foreign(file: WorkFile) -> Result:
    """A result that does not belong to the work that was asked for."""
    return answer(file).model_copy(update={"input_digest": "0" * 12})


def ask_for_changes(acme: Team, key: str) -> None:
    acme.rey.comment(key, "Please round to cents.")
    acme.rey.assign(key, acme.bot)


@pytest.mark.parametrize(
    "think",
    [
        ending("invalid"),
        ending("refused"),
        ending("budget"),
        ending("partial"),
        ending("stopped"),
        ending("unavailable"),
        ending("config"),
        foreign,
        writing(".git/config"),
        writing(".github/workflows/evil.yml"),
    ],
    ids=[
        "invalid",
        "refused",
        "budget",
        "partial",
        "stopped",
        "unavailable",
        "configuration",
        "foreign result",
        "refused path",
        "protected path",
    ],
)
def test_a_run_after_the_pull_request_that_pushed_nothing_counts(think: Think, tmp_path: Path) -> None:
    """The next run of a sibling knows plan, implementations and the revision, each once."""
    with team(tmp_path, think=costing(answer)) as acme:
        key = acme.ask()
        acme.follow(key)
        acme.ada.move(key, "In Progress")
        acme.follow(key)
        first, second = acme.sub_tasks(key)
        ask_for_changes(acme, first)
        acme.run(first, think=costing(think))
        ask_for_changes(acme, second)
        file = acme.run(second).file

        assert file is not None
        assert file.parent_spent.usd == 4 * COST
        assert file.parent_spent.tokens == 4_000
        assert file.ticket_spent.usd == COST


def test_the_end_of_a_failed_publish_says_what_the_run_cost(tmp_path: Path) -> None:
    """The output ``cost-usd`` and the ticket know a run whose result could not be used."""
    with team(tmp_path, think=costing(answer)) as acme:
        key = acme.ask(kind="Bug")
        ran = acme.run(key, think=costing(foreign))

        assert ran.error is not None
        assert (ran.end.cost_usd, ran.end.model_calls) == (COST, 1)
        assert "1 run of a model, 1,000 tokens, US$1.25" in acme.said(key)


def test_a_parents_summary_counts_the_whole_family(tmp_path: Path) -> None:
    """The cost in the summary is that of the whole family."""
    with team(tmp_path, think=costing(answer)) as acme:
        key = acme.story()

        assert acme.is_done(key)
        assert "3 runs of a model, 3,000 tokens, US$3.75" in acme.said(key)
