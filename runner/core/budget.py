"""Money, tokens, time and turns: what is allowed, what was spent, and whether one more call fits.

Asked **before** each call with the worst that the call can cost, so that a bound is never crossed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from runner.core.prices import Price, cost_usd, worst_case_usd
from runner.core.work import Usage

# Stands in for a bound in USD when a model's price is not known and no bound in tokens is set: every
# token is taken to cost what the dearest model of the table takes for its input (10 USD a million).
TOKENS_PER_UNPRICED_USD = 100_000


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What was used so far. ``usd`` counts the calls whose price is known; ``unpriced_tokens`` the others'."""

    usd: Decimal = Decimal(0)
    tokens: int = 0
    minutes: float = 0.0
    turns: int = 0
    unpriced_tokens: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            usd=self.usd + other.usd,
            tokens=self.tokens + other.tokens,
            minutes=self.minutes + other.minutes,
            turns=self.turns + other.turns,
            unpriced_tokens=self.unpriced_tokens + other.unpriced_tokens,
        )

    def with_call(
        self, model: str, usage: Usage, *, turns: int = 1, overrides: Mapping[str, Price] | None = None
    ) -> Spent:
        """Add one more call, priced by itself."""
        usd = cost_usd(model, usage, overrides=overrides)
        return self + Spent(
            usd=usd or Decimal(0),
            tokens=usage.total,
            turns=turns,
            unpriced_tokens=usage.total if usd is None else 0,
        )

    def at(self, minutes: float) -> Spent:
        """Read the clock again."""
        return replace(self, minutes=minutes)

    @property
    def is_priced(self) -> bool:
        """Whether ``usd`` is the whole cost; otherwise it is to be shown as "unknown"."""
        return self.unpriced_tokens == 0


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Bounds of one run, ticket or parent; ``None`` means no bound of that kind."""

    usd: Decimal | None = None
    tokens: int | None = None
    minutes: float | None = None
    turns: int | None = None

    @classmethod
    def of(
        cls,
        *,
        usd: float | None = None,
        tokens: int | None = None,
        minutes: float | None = None,
        turns: int | None = None,
    ) -> Budget:
        """Take the bounds as the configuration has them."""
        exact = None if usd is None else Decimal(str(usd))
        return cls(usd=exact, tokens=tokens, minutes=minutes, turns=turns)

    def would_exceed(
        self,
        spent: Spent,
        *,
        model: str,
        prompt_tokens: int,
        max_output: int,
        overrides: Mapping[str, Price] | None = None,
    ) -> str | None:
        """Why one more call does not fit, in words for a person; ``None`` when it does."""
        tokens = prompt_tokens + max_output
        return (
            self._over_turns(spent)
            or self._over_minutes(spent)
            or self._over_tokens(spent, tokens)
            or self._over_usd(
                spent, worst_case_usd(model, prompt_tokens, max_output, overrides=overrides), tokens
            )
        )

    def _over_turns(self, spent: Spent) -> str | None:
        if self.turns is not None and spent.turns + 1 > self.turns:
            return f"the bound of {self.turns} turns is reached"
        return None

    def _over_minutes(self, spent: Spent) -> str | None:
        if self.minutes is not None and spent.minutes >= self.minutes:
            return f"the bound of {self.minutes:g} minutes is reached"
        return None

    def _over_tokens(self, spent: Spent, tokens: int) -> str | None:
        if self.tokens is not None and spent.tokens + tokens > self.tokens:
            return (
                f"the next call may take {tokens:,} tokens; {spent.tokens:,} of the bound of "
                f"{self.tokens:,} are used"
            )
        return None

    def _over_usd(self, spent: Spent, worst: Decimal | None, tokens: int) -> str | None:
        if self.usd is None:
            return None
        if worst is None and self.tokens is None:
            return self._over_unpriced(self.usd, spent, tokens)
        if spent.usd + (worst or 0) > self.usd:
            return (
                f"the next call may cost ${worst or 0:.2f}; ${spent.usd:.2f} of the bound of "
                f"${self.usd:.2f} are spent"
            )
        return None

    def _over_unpriced(self, usd: Decimal, spent: Spent, tokens: int) -> str | None:
        taken = spent.usd + Decimal(spent.unpriced_tokens + tokens) / TOKENS_PER_UNPRICED_USD
        if taken > usd:
            return (
                f"the price of the model is unknown, so the bound of ${usd:.2f} is taken as "
                f"{int(usd * TOKENS_PER_UNPRICED_USD):,} tokens; {spent.unpriced_tokens:,} are used and the "
                f"next call may take {tokens:,}"
            )
        return None
