"""What a run has spent, against what it may: asked before each call, counted after each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from runner.core.budget import Budget, Spent
from runner.core.work import Input, ModelChoice, Turn, Usage
from runner.errors import GaveUp
from runner.ports import Conversation


class BudgetSpentError(GaveUp):
    """One more call does not fit the budget."""


@dataclass(kw_only=True)
class Meter:
    """Sends through one place, so that every call is checked before and counted after.

    ``deadline`` is on the ``monotonic`` clock. Usage of failed calls is taken from the conversation.
    """

    choice: ModelChoice
    budget: Budget
    deadline: float
    monotonic: Callable[[], float]
    spent: Spent = field(default_factory=Spent)
    usage: Usage = field(default_factory=Usage)
    calls: int = 0
    _started: float = -1.0

    def send(self, conversation: Conversation, inputs: Sequence[Input]) -> Turn:
        """Ask once. Raises BudgetSpentError before a call whose worst case does not fit."""
        if self._started < 0:
            self._started = self.monotonic()
        self.spent = replace(self.spent, minutes=(self.monotonic() - self._started) / 60)
        reason = self.budget.would_exceed(
            self.spent,
            model=self.choice.model,
            prompt_tokens=conversation.estimate(inputs),
            max_output=self.choice.max_output_tokens,
        )
        if reason is not None:
            raise BudgetSpentError(f"The budget of this run does not allow another call: {reason}.")
        usage, calls = conversation.usage, conversation.calls
        try:
            return conversation.send(inputs, deadline=self.deadline)
        finally:
            self._count(_minus(conversation.usage, usage), conversation.calls - calls)

    def _count(self, usage: Usage, calls: int) -> None:
        self.usage += usage
        self.calls += calls
        self.spent = self.spent.with_call(self.choice.model, usage)

    @property
    def usd(self) -> Decimal | None:
        """What the calls cost; ``None`` when the model's price is unknown."""
        return self.spent.usd if self.spent.is_priced else None

    @property
    def turns_left(self) -> int | None:
        """How many more turns the budget allows."""
        return None if self.budget.turns is None else self.budget.turns - self.spent.turns


def _minus(after: Usage, before: Usage) -> Usage:
    return Usage(
        input=after.input - before.input,
        cache_read=after.cache_read - before.cache_read,
        cache_write_short=after.cache_write_short - before.cache_write_short,
        cache_write_long=after.cache_write_long - before.cache_write_long,
        output=after.output - before.output,
        reasoning=after.reasoning - before.reasoning,
    )
