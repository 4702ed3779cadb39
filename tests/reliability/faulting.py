"""Answers that go wrong: one fault at the first request of a kind, or by chance at any request."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import Literal

import requests
import urllib3.exceptions
from werkzeug.wrappers import Response

from runner.sandbox.server import json_response
from tests.reliability.clock import VirtualClock
from tests.reliability.wire import GIT, Line, Sent, Torn

Make = Callable[[VirtualClock], Response]
HTML = "<html><body>Log in</body></html>"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way for a request to fail.

    ``when``: the service did nothing (``before``), or did it and the answer is spoilt (``after``). ``is_hard``:
    an answer that waiting does not change, so the ticket may be blocked by it. ``concerns_writes``: a read that meets
    it is the same as one that the service never saw.
    """

    name: str
    make: Make
    when: Literal["before", "after"] = "before"
    is_hard: bool = False
    is_unclear: bool = False
    concerns_writes: bool = False


def _answer(status: int, body: object = None, **headers: str) -> Make:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: json_response(body or {"message": "no", "errorMessages": ["no"]}, status, named)


def _page(status: int) -> Make:
    return lambda _: Response(HTML, status=status, mimetype="text/html")


def _raise(error: Callable[[], Exception]) -> Make:
    def make(_: VirtualClock) -> Response:
        raise error()

    return make


def _reset() -> Exception:
    inner = urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "reset"))
    return requests.exceptions.ConnectionError(inner)


def _in_a_moment(clock: VirtualClock) -> Response:
    date = format_datetime(clock.moment() + timedelta(seconds=20), usegmt=True)
    return json_response({"message": "slow down"}, 429, {"Retry-After": date})


def _exhausted(clock: VirtualClock) -> Response:
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(clock.time()) + 1800)}
    return json_response({"message": "API rate limit exceeded"}, 403, headers)


FAULTS = (
    Fault(name="429 with seconds", make=_answer(429, Retry_After="7")),
    Fault(name="429 with a date", make=_in_a_moment),
    Fault(name="429 bare", make=_answer(429)),
    Fault(name="429 for an hour", make=_answer(429, Retry_After="3600")),
    Fault(
        name="403 secondary limit", make=_answer(403, {"message": "You have exceeded a secondary rate limit"})
    ),
    Fault(name="403 limit used up", make=_exhausted),
    Fault(name="500", make=_answer(500), is_unclear=True),
    Fault(name="502 as a page", make=_page(502), is_unclear=True),
    Fault(name="503 told to wait", make=_answer(503, Retry_After="12")),
    Fault(name="504", make=_answer(504), is_unclear=True),
    Fault(name="no connection in time", make=_raise(requests.exceptions.ConnectTimeout)),
    Fault(name="no answer, not applied", make=_raise(requests.exceptions.ReadTimeout), is_unclear=True),
    Fault(
        name="no answer, applied",
        make=_raise(requests.exceptions.ReadTimeout),
        when="after",
        is_unclear=True,
        concerns_writes=True,
    ),
    Fault(name="reset, not applied", make=_raise(_reset), is_unclear=True),
    Fault(name="reset, applied", make=_raise(_reset), when="after", is_unclear=True, concerns_writes=True),
    Fault(name="500, applied", make=_answer(500), when="after", is_unclear=True, concerns_writes=True),
    Fault(
        name="truncated JSON",
        make=lambda _: Response('{"id": "1', status=200, mimetype="application/json"),
        when="after",
        is_unclear=True,
    ),
    Fault(
        name="reset in the middle of the body",
        make=lambda _: Torn('{"id": "1', status=200, mimetype="application/json"),
        when="after",
        is_unclear=True,
    ),
    Fault(name="200 with a log-in page", make=_page(200), is_unclear=True),
    Fault(
        name="200 without a body",
        make=lambda _: Response(b"", status=200, mimetype="application/json"),
        when="after",
        is_unclear=True,
    ),
    Fault(name="401", make=_answer(401), is_hard=True),
    Fault(name="403", make=_answer(403), is_hard=True),
    Fault(name="404", make=_answer(404), is_hard=True),
    Fault(name="409", make=_answer(409), is_hard=True),
    Fault(name="412", make=_answer(412), is_hard=True),
    Fault(name="422", make=_answer(422), is_hard=True),
    Fault(name="301 to another host", make=_answer(301, Location="https://elsewhere.example/"), is_hard=True),
)
PASSING = tuple(one for one in FAULTS if not one.is_hard)


@dataclass(kw_only=True)
class FaultyLine(Line):
    """A line on which ``choose`` says which fault, if any, meets a request."""

    clock: VirtualClock
    choose: Callable[[Sent], Fault | None]
    met: list[str] = field(default_factory=list)

    def carry(self, sent: Sent, deliver: Callable[[], Response]) -> Response:
        """Take a request to its service through the fault that meets it."""
        fault = self.choose(sent)
        if fault is None:
            return super().carry(sent, deliver)
        self.met.append(f"{fault.name} at {sent.kind}")
        self.before = (lambda _: self._spoil(fault, sent)) if fault.when == "before" else None
        self.after = (lambda _s, _a: self._spoil(fault, sent)) if fault.when == "after" else None
        try:
            return super().carry(sent, deliver)
        finally:
            self.before = self.after = None

    def _spoil(self, fault: Fault, sent: Sent) -> Response:
        if fault.is_unclear:
            self.unclear(sent)
        return fault.make(self.clock)


def once(kind: str, fault: Fault) -> Callable[[Sent], Fault | None]:
    """The first request of a kind fails."""
    left = [fault]
    return lambda sent: left.pop() if left and sent.kind == kind else None


def by_chance(seed: str, share: float) -> Callable[[Sent], Fault | None]:
    """Every request may fail in a way that passes."""
    chance = random.Random(seed)
    return lambda sent: chance.choice(PASSING) if sent.service != GIT and chance.random() < share else None
