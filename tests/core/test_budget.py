"""Whether one more call fits, asked before it is made."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.budget import TOKENS_PER_UNPRICED_USD, Budget, Spent
from runner.core.prices import cost_usd, price_from
from runner.core.work import Usage

MODEL = "claude-opus-5-5"
UNKNOWN = "claude-novel-9"


def fits(
    budget: Budget, spent: Spent, *, model: str = MODEL, prompt: int = 10_000, output: int = 1_000
) -> bool:
    return budget.would_exceed(spent, model=model, prompt_tokens=prompt, max_output=output) is None


def test_no_bound_stops_nothing() -> None:
    """``None`` means no bound of that kind, known price or not."""
    spent = Spent(usd=Decimal(10_000), tokens=10**9, minutes=10_000, turns=10_000)

    assert fits(Budget(), spent)
    assert fits(Budget(), spent, model=UNKNOWN)


@pytest.mark.parametrize(("usd", "expected"), [("0.9", True), ("0.94", False)])
def test_the_worst_case_must_fit_into_the_money(usd: str, expected: bool) -> None:
    """10,000 prompt tokens at their dearest (8) and 1,000 of output (20) are 0.10: they fit or they do not."""
    assert fits(Budget(usd=Decimal(1)), Spent(usd=Decimal(usd))) is expected


def test_a_refusal_names_the_sums() -> None:
    """A person reads what the call may cost, what is spent and what is allowed."""
    why = Budget.of(usd=1).would_exceed(
        Spent(usd=Decimal("0.95")), model=MODEL, prompt_tokens=10_000, max_output=1_000
    )

    assert why == "the next call may cost $0.10; $0.95 of the bound of $1.00 are spent"


@pytest.mark.parametrize(("tokens", "expected"), [(39_000, True), (39_001, False)])
def test_tokens_are_bounded(tokens: int, expected: bool) -> None:
    """Prompt and output limit of the next call must fit into what is left."""
    assert fits(Budget(tokens=50_000), Spent(tokens=tokens)) is expected


@pytest.mark.parametrize(("minutes", "expected"), [(44.9, True), (45.0, False)])
def test_time_is_bounded(minutes: float, expected: bool) -> None:
    """When the minutes are over, nothing new is begun."""
    assert fits(Budget(minutes=45), Spent().at(minutes)) is expected


@pytest.mark.parametrize(("turns", "expected"), [(79, True), (80, False)])
def test_turns_are_bounded(turns: int, expected: bool) -> None:
    """The last allowed turn can be taken, one more cannot."""
    assert fits(Budget(turns=80), Spent(turns=turns)) is expected


def test_an_unknown_price_is_bounded_in_tokens() -> None:
    """A bound in USD with an unknown model and no bound in tokens counts tokens at a high price."""
    budget = Budget(usd=Decimal(1))
    room = TOKENS_PER_UNPRICED_USD

    assert fits(budget, Spent(), model=UNKNOWN, prompt=room - 1_000, output=1_000)
    assert not fits(budget, Spent(), model=UNKNOWN, prompt=room, output=1_000)


def test_the_refusal_of_an_unknown_price_says_so() -> None:
    """A person learns why tokens are counted where dollars were set."""
    why = Budget.of(usd=1).would_exceed(Spent(), model=UNKNOWN, prompt_tokens=200_000, max_output=0)

    assert why is not None
    assert "price of the model is unknown" in why


def test_a_bound_in_tokens_stands_in_for_an_unknown_price() -> None:
    """Where tokens are bounded, they are the bound."""
    budget = Budget(usd=Decimal(1), tokens=5_000_000)

    assert fits(budget, Spent(), model=UNKNOWN, prompt=1_000_000)
    assert not fits(budget, Spent(tokens=4_900_000), model=UNKNOWN, prompt=1_000_000)


def test_money_spent_counts_beside_an_unknown_price() -> None:
    """Dollars that were spent on a known model use up the bound for an unknown one."""
    assert not fits(Budget(usd=Decimal(1), tokens=10**9), Spent(usd=Decimal(2)), model=UNKNOWN)


def test_a_call_is_added_with_its_price() -> None:
    """Spent money is the sum of calls priced one by one."""
    usage = Usage(input=1_000, output=500)

    spent = Spent().with_call(MODEL, usage).with_call(MODEL, usage)

    assert (spent.usd, spent.tokens, spent.turns) == (2 * (cost_usd(MODEL, usage) or 0), 3_000, 2)
    assert spent.is_priced


def test_a_call_without_a_price_makes_the_cost_unknown() -> None:
    """Its tokens are counted apart, and the sum is not to be shown as the whole."""
    spent = Spent().with_call(UNKNOWN, Usage(input=1_000, output=500))

    assert (spent.usd, spent.unpriced_tokens, spent.is_priced) == (Decimal(0), 1_500, False)


def test_an_override_makes_a_price_known() -> None:
    """With the configuration's price the money bound works as for any model."""
    overrides = {UNKNOWN: price_from(UNKNOWN, {"input": 10, "output": 10})}
    budget = Budget.of(usd=1)

    spent = Spent().with_call(UNKNOWN, Usage(input=90_000), overrides=overrides)
    why = budget.would_exceed(
        spent, model=UNKNOWN, prompt_tokens=9_000, max_output=2_000, overrides=overrides
    )

    assert why is not None and "$0.90" in why


@given(
    bound=st.integers(1, 50),
    calls=st.lists(st.tuples(st.integers(0, 300_000), st.integers(0, 32_000)), max_size=20),
    model=st.sampled_from(["claude-opus-5-5", "claude-haiku-5-5", "gpt-6.1-sol"]),
)
def test_a_bound_in_money_is_never_crossed(bound: int, calls: list[tuple[int, int]], model: str) -> None:
    """Whoever asks before each call ends within the bound, whatever the calls turn out to cost."""
    budget, spent = Budget(usd=Decimal(bound)), Spent()

    for prompt, output in calls:
        if fits(budget, spent, model=model, prompt=prompt, output=output):
            spent = spent.with_call(model, Usage(cache_write_long=prompt, output=output))

    assert spent.usd <= bound
