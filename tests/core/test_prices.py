"""What tokens cost: the table, its rules, and its agreement with an independent price package."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.prices import (
    PRICES,
    PRICES_AS_OF,
    Price,
    cost_usd,
    price_from,
    price_of,
    worst_case_usd,
)
from runner.core.work import Usage
from runner.errors import ConfigError

MIXED = Usage(input=1_000, cache_read=50_000, cache_write_short=2_000, output=3_000, reasoning=1_000)
LONG = Usage(input=300_000, cache_read=50_000, output=3_000)
COUNTS = st.integers(0, 400_000)
USAGES = st.builds(
    Usage,
    input=COUNTS,
    cache_read=COUNTS,
    cache_write_short=COUNTS,
    cache_write_long=COUNTS,
    output=st.integers(0, 128_000),
)

# gpt-6.2 is too new for the package.
UNKNOWN_TO_PACKAGE = {"gpt-6.2-sol", "gpt-6.2-astra"}


def packaged(model: str, usage: Usage) -> Decimal:
    """The package's price for the same tokens, whose input count includes the cache's."""
    anthropic = model.startswith("claude")
    counted = genai_prices.Usage(
        input_tokens=usage.prompt,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write_short + usage.cache_write_long,
        output_tokens=usage.output,
        **({"cache_write_1h_tokens": usage.cache_write_long} if anthropic else {}),
    )
    moment = datetime(PRICES_AS_OF.year, PRICES_AS_OF.month, PRICES_AS_OF.day, tzinfo=UTC)
    return genai_prices.calc_price(
        counted, model, provider_id="anthropic" if anthropic else "openai", genai_request_timestamp=moment
    ).total_price


@pytest.mark.parametrize("model", sorted(set(PRICES) - UNKNOWN_TO_PACKAGE))
@pytest.mark.parametrize("usage", [MIXED, LONG], ids=["mixed", "long"])
def test_the_table_agrees_with_an_independent_one(model: str, usage: Usage) -> None:
    """Where genai-prices knows the model, both come to the same sum, cache and long prompts included."""
    assert cost_usd(model, usage) == packaged(model, usage)


@pytest.mark.parametrize("model", sorted(name for name in PRICES if name.startswith("claude")))
def test_writes_that_last_an_hour_agree_too(model: str) -> None:
    """Anthropic's two kinds of cache writes have prices of their own."""
    usage = Usage(input=10, cache_write_short=2_000, cache_write_long=3_000, output=5)

    assert cost_usd(model, usage) == packaged(model, usage)


@pytest.mark.parametrize("model", sorted(UNKNOWN_TO_PACKAGE))
def test_the_package_does_not_know_the_newest(model: str) -> None:
    """When the package learns these models, they join the agreement test."""
    with pytest.raises(LookupError):
        packaged(model, MIXED)


def test_an_unknown_model_costs_unknown() -> None:
    """``None`` is never to be read as nothing."""
    assert cost_usd("claude-novel-9", MIXED) is None
    assert worst_case_usd("claude-novel-9", 1, 1) is None


@pytest.mark.parametrize(
    "name",
    ["claude-opus-5-5", "anthropic:claude-opus-5-5", "claude-opus-5-5-20260901", "claude-opus-5-5-latest"],
)
def test_a_model_is_known_by_its_longer_names(name: str) -> None:
    """Providers answer with dated names, the configuration has the provider in front."""
    assert price_of(name) == PRICES["claude-opus-5-5"]


@pytest.mark.parametrize("name", ["gpt-6.1-sol-2026-10-01", "openai:gpt-6.1-sol"])
def test_openai_dates_are_understood(name: str) -> None:
    """OpenAI writes dates with dashes."""
    assert price_of(name) == PRICES["gpt-6.1-sol"]


def test_an_override_wins() -> None:
    """A price of the configuration replaces the table's, and can name a model that the table lacks."""
    mine = price_from("gpt-6.1-sol", {"input": 1, "output": "2.5"})

    assert cost_usd("gpt-6.1-sol", Usage(output=1_000_000), overrides={"gpt-6.1-sol": mine}) == Decimal("2.5")
    assert cost_usd("novel", Usage(input=1_000_000), overrides={"novel": mine}) == Decimal(1)


def test_an_override_for_the_exact_name_wins_over_the_plain_one() -> None:
    """The most exact name decides."""
    exact, plain = price_from("a", {"input": 1, "output": 1}), price_from("b", {"input": 2, "output": 2})

    found = price_of("openai:gpt-6-sol", overrides={"openai:gpt-6-sol": exact, "gpt-6-sol": plain})

    assert found == exact


def test_a_missing_cache_price_is_the_inputs() -> None:
    """An override without cache prices takes the cache to be worth nothing."""
    price = price_from("novel", {"input": 3, "output": 9})

    assert (price.cache_read, price.cache_write_short, price.cache_write_long) == (Decimal(3),) * 3


@pytest.mark.parametrize(
    "row",
    [
        {"input": 1},
        {"input": 1, "output": 1, "inptu": 1},
        {"input": -1, "output": 1},
        {"input": "x", "output": 1},
        {"input": "nan", "output": 1},
    ],
)
def test_an_unreadable_override_is_refused(row: dict[str, float | str]) -> None:
    """A price that is not one is a setup problem that names the model."""
    with pytest.raises(ConfigError, match="novel"):
        price_from("novel", row)


@pytest.mark.parametrize(
    ("model", "edge", "input_factor", "output_factor"),
    [("claude-haiku-5-5", 100_000, 5, 5), ("gpt-6.1-sol", 272_000, 2, Decimal("1.5"))],
)
def test_a_long_prompt_is_dearer_as_a_whole(
    model: str, edge: int, input_factor: int, output_factor: Decimal
) -> None:
    """One token above the edge multiplies the whole request; the edge itself does not."""
    price = PRICES[model]

    at, above = price.cost(Usage(input=edge, output=1_000)), price.cost(Usage(input=edge + 1, output=1_000))

    assert at * 1_000_000 == price.input * edge + price.output * 1_000
    assert above * 1_000_000 == price.input * (edge + 1) * input_factor + price.output * 1_000 * output_factor


def test_gpt_54_mini_has_no_long_price() -> None:
    """The small models are flat."""
    assert PRICES["gpt-5.4-mini"].cost(Usage(input=300_000)) == Decimal("0.225")


@given(model=st.sampled_from(sorted(PRICES)), usage=USAGES)
def test_the_worst_case_is_never_exceeded(model: str, usage: Usage) -> None:
    """Whatever the cache does, a call costs no more than the worst case of its size."""
    worst = worst_case_usd(model, usage.prompt, usage.output)

    assert worst is not None and PRICES[model].cost(usage) <= worst


@given(model=st.sampled_from(sorted(PRICES)), one=USAGES, other=USAGES)
def test_sums_are_never_priced_too_low(model: str, one: Usage, other: Usage) -> None:
    """Pricing several calls as one errs on the safe side."""
    price: Price = PRICES[model]

    assert price.cost(one) + price.cost(other) <= price.cost(one + other)
