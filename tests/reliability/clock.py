"""A clock that tests own: time passes only when somebody lets it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
A_REQUEST = 0.05


class VirtualClock:
    """What HTTP clients, Jira and GitHub take for the time. ``waited`` sums what was slept, in seconds."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.waited = 0.0

    def moment(self) -> datetime:
        """The time now."""
        return START + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self.passed

    def time(self) -> float:
        """Epoch seconds."""
        return self.moment().timestamp()

    def sleep(self, seconds: float) -> None:
        """Let time pass while somebody waits."""
        self.passed += seconds
        self.waited += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass while nobody waits."""
        self.passed += seconds
