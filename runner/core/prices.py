"""What a model's tokens cost. A dated table that the configuration may override; no I/O.

A model that is not in the table costs ``None``, which is shown as "unknown" and never counted as
nothing: a budget in USD then needs its bound in tokens (see ``budget``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from runner.core.work import Usage
from runner.errors import ConfigError

MILLION = Decimal(1_000_000)
PRICES_AS_OF = date(2026, 11, 22)

_DATED = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$")


@dataclass(frozen=True, kw_only=True)
class Price:
    """USD for a million tokens of each kind.

    ``long_above``: a prompt with more tokens than this multiplies the price of the **whole** request, input of
    every kind by ``long_input`` and output by ``long_output``.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_short: Decimal
    cache_write_long: Decimal
    long_above: int | None = None
    long_input: Decimal = Decimal(1)
    long_output: Decimal = Decimal(1)

    def cost(self, usage: Usage) -> Decimal:
        """USD for one call. Sums of several calls can only be priced too high, by the rule for long prompts."""
        is_long = self.long_above is not None and usage.prompt > self.long_above
        prompt = (
            self.input * usage.input
            + self.cache_read * usage.cache_read
            + self.cache_write_short * usage.cache_write_short
            + self.cache_write_long * usage.cache_write_long
        )
        answer = self.output * usage.output
        if is_long:
            prompt, answer = prompt * self.long_input, answer * self.long_output
        return (prompt + answer) / MILLION

    @property
    def dearest_input(self) -> Decimal:
        """The most that one prompt token can cost, whatever the cache does."""
        return max(self.input, self.cache_read, self.cache_write_short, self.cache_write_long)


def _claude(
    input: str,  # noqa: A002 - the column's name
    output: str,
    read: str,
    short: str,
    long: str,
    *,
    above: int | None = None,
    factor: str = "1",
    output_factor: str | None = None,
) -> Price:
    return Price(
        input=Decimal(input),
        output=Decimal(output),
        cache_read=Decimal(read),
        cache_write_short=Decimal(short),
        cache_write_long=Decimal(long),
        long_above=above,
        long_input=Decimal(factor),
        long_output=Decimal(output_factor or factor),
    )


def _gpt(input: str, output: str, read: str, *, pays_writes: bool = True, is_flat: bool = False) -> Price:  # noqa: A002
    """A GPT row: cache writes are 1.25 (30 minutes) or 2.5 times the input price, or cost nothing extra."""
    base = Decimal(input)
    return Price(
        input=base,
        output=Decimal(output),
        cache_read=Decimal(read),
        cache_write_short=base * Decimal("1.25") if pays_writes else base,
        cache_write_long=base * Decimal("2.5") if pays_writes else base,
        long_above=None if is_flat else 272_000,
        long_input=Decimal(2),
        long_output=Decimal("1.5"),
    )


_OPUS_5 = _claude("5", "25", "0.50", "6.25", "10")

PRICES: Mapping[str, Price] = {
    "claude-fable-5-2": _claude("8", "40", "0.20", "10", "16"),
    "claude-fable-5-1": _claude("10", "50", "0.25", "12.5", "20"),
    "claude-opus-5-5": _claude("4", "20", "0.20", "5", "8"),
    "claude-opus-5": _OPUS_5,
    "claude-opus-4-8": _OPUS_5,
    "claude-opus-4-7": _OPUS_5,
    "claude-opus-4-6": _OPUS_5,
    "claude-opus-4-5": _OPUS_5,
    "claude-sonnet-5-5": _claude("2", "10", "0.10", "2.5", "4"),
    "claude-sonnet-5": _claude("2", "10", "0.20", "2.5", "4"),
    "claude-sonnet-4-6": _claude("3", "15", "0.30", "3.75", "6"),
    "claude-sonnet-4-5": _claude(
        "3", "15", "0.30", "3.75", "6", above=200_000, factor="2", output_factor="1.5"
    ),
    "claude-haiku-5-5": _claude("0.10", "0.50", "0.01", "0.125", "0.20", above=100_000, factor="5"),
    "claude-haiku-4-5": _claude("1", "5", "0.10", "1.25", "2"),
    # The cache prices of the gpt-6.2 line are not published yet: those of its predecessors in proportion.
    "gpt-6.2-sol": _gpt("2", "10", "0.10"),
    "gpt-6.2-astra": _gpt("8", "40", "0.40"),
    "gpt-6-astra": _gpt("10", "50", "1.00"),
    "gpt-6.1-sol": _gpt("2", "10", "0.10"),
    "gpt-6-sol": _gpt("2", "10", "0.20"),
    "gpt-6.1-terra": _gpt("1", "5", "0.05"),
    "gpt-6-luna": _gpt("0.10", "0.50", "0.01"),
    "gpt-5.6-sol": _gpt("4", "20", "0.40"),
    "gpt-5.6-terra": _gpt("2", "12", "0.20"),
    "gpt-5.6-luna": _gpt("0.2", "1.2", "0.02"),
    "gpt-5.5": _gpt("5", "30", "0.50", pays_writes=False),
    "gpt-5.4": _gpt("2.5", "15", "0.25", pays_writes=False),
    "gpt-5.4-mini": _gpt("0.75", "4.5", "0.075", pays_writes=False, is_flat=True),
}


def price_of(model: str, *, overrides: Mapping[str, Price] | None = None) -> Price | None:
    """The price of a model, named with or without its provider and its date; ``None`` when it is not known.

    The most exact name wins: an override for a dated name before one for the plain name before the table.
    """
    bare = model.partition(":")[2] or model
    plain = _DATED.sub("", bare)
    known = {**PRICES, **(overrides or {})}
    return next((known[name] for name in (model, bare, plain) if name in known), None)


def cost_usd(model: str, usage: Usage, *, overrides: Mapping[str, Price] | None = None) -> Decimal | None:
    """USD for one call, or ``None`` when the model's price is not known."""
    price = price_of(model, overrides=overrides)
    return None if price is None else price.cost(usage)


def worst_case_usd(
    model: str, prompt_tokens: int, max_output: int, *, overrides: Mapping[str, Price] | None = None
) -> Decimal | None:
    """The most that a call can cost: every prompt token at its dearest, every output token used."""
    price = price_of(model, overrides=overrides)
    if price is None:
        return None
    is_long = price.long_above is not None and prompt_tokens > price.long_above
    prompt = price.dearest_input * prompt_tokens * (price.long_input if is_long else 1)
    answer = price.output * max_output * (price.long_output if is_long else 1)
    return (prompt + answer) / MILLION


def price_from(name: str, row: Mapping[str, float | str]) -> Price:
    """Read an override: ``input`` and ``output`` are needed, a missing cache price is the input's (never lower).

    Optional: ``cache_read``, ``cache_write_short``, ``cache_write_long``. ConfigError names what is wrong.
    """
    columns = ("input", "output", "cache_read", "cache_write_short", "cache_write_long")
    unknown = sorted(set(row) - set(columns))
    missing = sorted({"input", "output"} - set(row))
    if unknown or missing:
        raise ConfigError(
            f"The price of {name!r} is not readable.",
            remedy=f"Give {', '.join(columns)} in USD per million tokens.",
            detail=f"unknown: {unknown}, missing: {missing}",
        )
    amounts = {column: _amount(name, column, row.get(column, row["input"])) for column in columns}
    return Price(
        input=amounts["input"],
        output=amounts["output"],
        cache_read=amounts["cache_read"],
        cache_write_short=amounts["cache_write_short"],
        cache_write_long=amounts["cache_write_long"],
    )


def _amount(name: str, column: str, value: float | str) -> Decimal:
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise ConfigError(
            f"The price of {name!r} has {column} = {value!r}.", remedy="Give USD per million tokens."
        )
    return amount
