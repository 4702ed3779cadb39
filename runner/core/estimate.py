"""What the work of a plan will roughly cost: an estimate that names its basis and never pretends to be more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from runner.core.markers import LedgerEntry
from runner.core.plan import Item, Plan
from runner.core.policy import Budget, Policy
from runner.core.prices import Price, cost_usd
from runner.core.texts import money
from runner.core.work import Usage

# One sub-task of medium size in an append-only loop of some twenty-five turns: what is new is written to the
# cache once, and read again by every later turn.
TYPICAL = Usage(input=5_000, cache_read=600_000, cache_write_short=50_000, output=16_000)
WEIGHT: Mapping[str, Decimal] = {"low": Decimal("0.7"), "medium": Decimal(1), "high": Decimal("1.8")}
WORK = ("implement", "revise")


def estimate(
    plan: Plan, policy: Policy, past: Sequence[LedgerEntry], *, prices: Mapping[str, Price] | None = None
) -> str:
    """The expected cost of a plan's sub-tasks in one paragraph; ``past`` are earlier runs of the same family."""
    count = f"{len(plan.items)} sub-task{'s' if len(plan.items) != 1 else ''}"
    known = [entry.usd for entry in past if entry.phase in WORK and entry.usd is not None]
    model = policy.models.implement.choice.model
    if known:
        usd: Decimal | None = sum(known, Decimal(0)) / len(known) * len(plan.items)
        runs = "the one earlier run" if len(known) == 1 else f"the average of {len(known)} earlier runs"
        basis = f"{runs} under this ticket"
    else:
        each = cost_usd(model, TYPICAL, overrides=prices)
        usd = None if each is None else each * _weight(plan.items)
        basis = f"typical runs of some {TYPICAL.total:,} tokens, most of them cached, with `{model}`"
    if usd is None:
        tokens = int(TYPICAL.total * _weight(plan.items)) // 10_000 * 10_000
        amount = f"about {tokens:,} tokens, cost unknown"
    else:
        amount = f"about {money(usd)}"
    return (
        f"{amount} for {count}. This is an estimate from {basis}; reviews and repairs add to it. {_bounds(policy)}"
    ).strip()


def _weight(items: Sequence[Item]) -> Decimal:
    return sum((WEIGHT[item.risk] for item in items), Decimal(0))


def _bounds(policy: Policy) -> str:
    named = (
        (policy.budget.run, "a run"),
        (policy.budget.ticket, "a ticket"),
        (policy.budget.parent, "all of it"),
    )
    bounds = [f"{_bound(budget)} for {name}" for budget, name in named if _bound(budget)]
    return f"It ends at {', '.join(bounds)}." if bounds else ""


def _bound(budget: Budget) -> str:
    if budget.usd is not None:
        return money(Decimal(str(budget.usd)))
    return f"{budget.tokens:,} tokens" if budget.tokens is not None else ""
