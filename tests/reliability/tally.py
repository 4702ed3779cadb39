"""Counts of cases, kept on each test's report so that they survive being run in several processes."""

from __future__ import annotations

import pytest

CASES, CONVERGED, VIOLATED = "cases", "converged", "invariants violated"


def count(request: pytest.FixtureRequest, suite: str, *, cases: int, converged: int, violated: int) -> None:
    """Add to the counts that are printed when all tests are done."""
    request.node.user_properties.append(("reliability", (suite, cases, converged, violated)))
