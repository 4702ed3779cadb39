"""A client whose time is virtual, and answers for it."""

from __future__ import annotations

from typing import Any

import responses

from runner.adapters.http import HttpClient
from runner.adapters.http_credentials import basic

BASE = "https://jira.example/path"
HTML = "<html><title>Log in</title></html>"
READS = ["GET"]
REPEATABLE = ["PUT", "DELETE"]
UNREPEATABLE = ["POST", "PATCH"]
ALL = [*READS, *REPEATABLE, *UNREPEATABLE]


class VirtualClock:
    """Time that passes only by sleeping."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


def client(base: str = BASE, **options: Any) -> HttpClient:
    settings: dict[str, Any] = {"service": "Jira", "auth": basic("me@example.com", "s3cret-token-value")}
    settings |= {"clock": VirtualClock(), "jitter": lambda low, high: high}
    return HttpClient(base, **{**settings, **options})


def slept(http: HttpClient) -> list[float]:
    assert isinstance(http.clock, VirtualClock)
    return http.clock.sleeps


def answers(web: responses.RequestsMock, method: str, *listed: dict[str, Any]) -> None:
    for each in listed:
        web.add(method, f"{BASE}/x", **each)


GOOD: dict[str, Any] = {"json": {"good": True}}
