"""What a run has spent, against what it may: asked before each call, counted after each.

Three bounds may hold at once: those of this run, of its ticket with earlier runs, and of the whole family
under one parent. Every call goes through here, so it is also the place where each turn is logged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from runner.core.budget import Budget, Spent
from runner.core.prices import Price
from runner.core.work import Input, ModelChoice, Turn, Usage
from runner.errors import GaveUp, RunnerError
from runner.ports import Conversation

Scope = Literal["run", "ticket", "parent"]
Log = Callable[[str, Mapping[str, Any]], None]

STEER_TURNS = 5
STEER_SHARE = 0.8
STEER_ANSWERS = 2
WHOSE: Mapping[Scope, str] = {
    "run": "this run",
    "ticket": "this ticket",
    "parent": "the parent with all its sub-tasks",
}


class BudgetSpentError(GaveUp):
    """One more call does not fit a budget; ``scope`` says whose."""

    def __init__(self, summary: str, *, scope: Scope) -> None:
        super().__init__(summary)
        self.scope: Scope = scope


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A budget and what was spent of it before this run began."""

    scope: Scope
    budget: Budget
    before: Spent = field(default_factory=Spent)


@dataclass(kw_only=True)
class Meter:
    """Sends through one place, so that every call is checked before and counted after.

    ``started`` and ``deadline`` are on the ``monotonic`` clock. Usage of failed calls is taken from the
    conversation. ``over`` names the budget that stopped the run, once one did.
    """

    choice: ModelChoice
    budget: Budget
    deadline: float
    monotonic: Callable[[], float]
    started: float | None = None
    wider: Sequence[Bound] = ()
    prices: Mapping[str, Price] = field(default_factory=dict)
    log: Log = lambda kind, facts: None  # noqa: ARG005 - the default drops every record
    spent: Spent = field(default_factory=Spent)
    usage: Usage = field(default_factory=Usage)
    calls: int = 0
    over: Scope | None = None
    _prompt: int = 0

    def __post_init__(self) -> None:
        if self.started is None:
            self.started = self.monotonic()

    def send(self, conversation: Conversation, inputs: Sequence[Input]) -> Turn:
        """Ask once. Raises BudgetSpentError before a call whose worst case does not fit, and when time runs out."""
        self._prompt = conversation.estimate(inputs)
        self._check()
        usage, calls, began = conversation.usage, conversation.calls, self.monotonic()
        try:
            turn = conversation.send(inputs, deadline=self.deadline)
        except RunnerError as exc:
            self.log("failed", {"error": exc.summary, "detail": exc.detail})
            if isinstance(exc, GaveUp) and self.is_time_over:
                self.over = "run"
                raise BudgetSpentError("The time for this run is over.", scope="run") from exc
            raise
        finally:
            self._count(conversation.usage - usage, conversation.calls - calls)
        self._log_turn(turn, self.monotonic() - began)
        return turn

    def _check(self) -> None:
        self.spent = self.spent.at(self.minutes)
        for bound in self._bounds:
            reason = self._excess(bound, answers=1)
            if reason is not None:
                self.over = bound.scope
                text = f"The budget of {WHOSE[bound.scope]} does not allow another call: {reason}."
                raise BudgetSpentError(text, scope=bound.scope)

    @property
    def _bounds(self) -> tuple[Bound, ...]:
        return (Bound(scope="run", budget=self.budget), *self.wider)

    def _excess(self, bound: Bound, *, answers: int) -> str | None:
        """Why the next call does not fit, if its answer were so many times as long as an answer can be."""
        return bound.budget.would_exceed(
            bound.before + self.spent,
            model=self.choice.model,
            prompt_tokens=self._prompt,
            max_output=answers * self.choice.max_output_tokens,
            overrides=self.prices,
        )

    def _count(self, usage: Usage, calls: int) -> None:
        self.usage += usage
        self.calls += calls
        self.spent = self.spent.with_call(self.choice.model, usage, overrides=self.prices)

    def _log_turn(self, turn: Turn, seconds: float) -> None:
        self.log(
            "turn",
            {
                "text": turn.text,
                "stop": turn.stop.value,
                "calls": [call.name for call in turn.tool_calls],
                "usage": {name: count for name, count in vars(turn.usage).items() if count},
                "took": round(seconds, 3),
                "request": turn.request_id,
                **({"detail": turn.detail} if turn.detail else {}),
            },
        )

    @property
    def minutes(self) -> float:
        """Wall time since the run began."""
        return (self.monotonic() - (self.started or 0.0)) / 60

    @property
    def is_time_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.monotonic() >= self.deadline

    @property
    def seconds_left(self) -> float:
        """Wall time until the deadline."""
        return max(0.0, self.deadline - self.monotonic())

    @property
    def usd(self) -> Decimal | None:
        """What the calls cost; ``None`` when the model's price is unknown."""
        return self.spent.usd if self.spent.is_priced else None

    @property
    def turns_left(self) -> int | None:
        """How many more turns the budget allows."""
        return None if self.budget.turns is None else self.budget.turns - self.spent.turns

    @property
    def is_short(self) -> bool:
        """Whether the end of some budget is near enough to say so to the model."""
        if self.turns_left is not None and self.turns_left <= STEER_TURNS:
            return True
        used = self.minutes / self.budget.minutes if self.budget.minutes else 0.0
        return used >= STEER_SHARE or any(
            self._excess(bound, answers=STEER_ANSWERS) is not None for bound in self._bounds
        )
