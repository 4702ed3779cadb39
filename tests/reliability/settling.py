"""Runs until nothing is due any more."""

from __future__ import annotations

from tests.reliability.invariants import is_at_rest
from tests.reliability.runs import Runs

MAX_RUNS = 12


def settle(runs: Runs, key: str) -> list[str]:
    """Run until a ticket is at rest; what is wrong if it never is."""
    for _ in range(MAX_RUNS):
        ran = runs.run(key)
        if is_at_rest(ran) and key not in ran.dispatched:
            return []
    return [f"A11: {key} does not come to rest: {ran.end}"]
