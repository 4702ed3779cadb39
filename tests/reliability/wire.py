"""Where the runner's requests meet the embedded services, without sockets: the place where faults are injected.

Every write of a run (a request that changes something, a push, a dispatch) has a number. A plan says what
happens at which one: the process dies before it, its answer is lost, the process dies after it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3.response import HTTPResponse
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from runner.sandbox.server import Service
from tests.reliability.clock import A_REQUEST, VirtualClock

QUERIES = re.compile(r"/(search/jql|bulkfetch|comment/list|changelog/list|approximate-count)$")
# POSTs that set an absolute state or may be repeated by their nature.
REPEATABLE = re.compile(r"/(remotelink|labels|requested_reviewers|dispatches)$")
GIT = "git"


class Killed(BaseException):
    """The process is gone. Not an Exception: nothing in the product may survive it."""


class Crash(StrEnum):
    """What happens at one write."""

    BEFORE = "killed before it is sent"
    LOST = "applied, its answer is lost"
    AFTER = "killed after its answer"


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One request as the wire saw it."""

    service: str
    method: str
    path: str
    query: str = ""
    body: bytes = b""

    @property
    def is_dispatch(self) -> bool:
        """Whether it wakes a ticket."""
        return self.path.endswith("/dispatches")

    @property
    def is_write(self) -> bool:
        """Whether it may change something; dispatches are counted apart."""
        if self.method in ("GET", "HEAD") or QUERIES.search(self.path):
            return False
        if self.path.endswith("/graphql"):
            return b"mutation" in self.body[:200]
        return not self.is_dispatch

    @property
    def kind(self) -> str:
        """The endpoint, with what varies left out."""
        path = re.sub(r"/(issue|pulls|issues|comment|runs)/[A-Z0-9-]+", r"/\1/*", self.path)
        path = re.sub(
            r"/(git/ref/heads|contents|compare|commits)/.*?(/check-runs|/status)?$", r"/\1/*\2", path
        )
        path = re.sub(r"/(collaborators)/[^/]+", r"/\1/*", path)
        path = re.sub(r"/(issuetypes)/\d+", r"/\1/*", path)
        if self.path.endswith("/graphql"):
            found = re.search(
                rb"(addPullRequest\w+|markPull\w+|convertPull\w+|viewer|reviewThreads|lastEditedAt|node\()",
                self.body,
            )
            path = f"/graphql {found[1].decode() if found else ''}"
        return f"{self.service} {self.method} {path}"

    @property
    def signature(self) -> tuple[str, str, str, bytes]:
        """What makes two requests the same request."""
        return (self.service, self.method, self.path, self.body)


Interfere = Callable[[Sent], "Response | None"]


@dataclass(kw_only=True)
class Line:
    """One run's connection to the world. ``crashes`` maps the number of a write to what happens there.

    ``before`` and ``after`` may answer a request themselves or raise; ``step`` is called before each request.
    ``blind`` lists writes that were sent again after an unclear end without a look at the state.
    """

    crashes: Mapping[int, Crash] = field(default_factory=dict)
    before: Interfere | None = None
    after: Callable[[Sent, Response], Response | None] | None = None
    step: Callable[[Sent], None] | None = None
    sent: list[Sent] = field(default_factory=list)
    applied: list[Sent] = field(default_factory=list)
    blind: list[Sent] = field(default_factory=list)
    effects: int = 0
    _unclear: dict[str, Sent] = field(default_factory=dict)

    @property
    def writes(self) -> int:
        """Requests and pushes that reached a service to change something."""
        return sum(one.is_write for one in self.applied)

    @property
    def dispatches(self) -> int:
        """Tickets that were woken."""
        return sum(one.is_dispatch for one in self.applied)

    def carry(self, sent: Sent, deliver: Callable[[], Response]) -> Response:
        """Take one request to its service and the answer back, or let it go wrong as planned."""
        self.sent.append(sent)
        self._watch(sent)
        crash = None
        if self.step is not None:
            self.step(sent)
        if sent.is_write or sent.is_dispatch:
            self.effects += 1
            crash = self.crashes.get(self.effects)
        if crash is Crash.BEFORE:
            raise Killed
        early = self.before(sent) if self.before is not None else None
        if early is not None:
            self._note(sent, early.status_code, dict(early.headers.items()))
            return early
        answer = deliver()
        self.applied.append(sent)
        if crash is Crash.AFTER:
            raise Killed
        if crash is Crash.LOST:
            self.unclear(sent)
            raise requests.exceptions.ReadTimeout("the answer is lost")
        late = self.after(sent, answer) if self.after is not None else None
        return answer if late is None else late

    def unclear(self, sent: Sent) -> None:
        """Note that nobody can know whether this was applied."""
        if sent.is_write and sent.method in ("POST", "PATCH") and not REPEATABLE.search(sent.path):
            self._unclear[sent.service] = sent

    def _watch(self, sent: Sent) -> None:
        pending = self._unclear.get(sent.service)
        if pending is None:
            return
        if sent.signature == pending.signature and not _sets_absolute_values(sent):
            self.blind.append(sent)
        if not sent.is_write and not sent.is_dispatch:
            del self._unclear[sent.service]

    def _note(self, sent: Sent, status: int, headers: Mapping[str, str]) -> None:
        is_unclear = status in (408, 500, 502, 504) or (status == 503 and "Retry-After" not in headers)
        if is_unclear:
            self.unclear(sent)


def _sets_absolute_values(sent: Sent) -> bool:
    return sent.method == "PATCH" and "/pulls/" in sent.path


class Torn(Response):
    """An answer whose connection is reset in the middle of its body."""


class _Breaking(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        if not found:
            raise ConnectionResetError(104, "reset")
        return found


class Wire(BaseAdapter):
    """A transport for requests that calls a service's application directly."""

    def __init__(self, service: Service, line: Line, clock: VirtualClock) -> None:
        super().__init__()
        self._service = service
        self._line = line
        self._clock = clock

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Carry one prepared request."""
        body = request.body or b""
        if isinstance(body, str):
            body = body.encode()
        parts = urlsplit(request.url or "")
        sent = Sent(
            service=self._service.name,
            method=request.method or "",
            path=parts.path,
            query=parts.query,
            body=bytes(body),
        )
        self._clock.advance(A_REQUEST)
        answer = self._line.carry(sent, lambda: self._deliver(request, sent))
        return _as_response(request, answer)

    def _deliver(self, request: requests.PreparedRequest, sent: Sent) -> Response:
        builder = EnvironBuilder(
            method=sent.method,
            base_url="{0.scheme}://{0.netloc}".format(urlsplit(request.url or "")),
            path=sent.path,
            query_string=sent.query,
            headers=list(request.headers.items()),
            input_stream=io.BytesIO(sent.body),
            content_length=len(sent.body),
        )
        answer = self._service.respond(Request(builder.get_environ()))
        answer.get_data()
        return answer

    def close(self) -> None:
        """Nothing is held."""


def _as_response(request: requests.PreparedRequest, answer: Response) -> requests.Response:
    found = requests.Response()
    data = answer.get_data()
    found.status_code = answer.status_code
    found.url = request.url or ""
    found.request = request
    found.headers = requests.structures.CaseInsensitiveDict(answer.headers.items())
    found.raw = HTTPResponse(
        body=_Breaking(data) if isinstance(answer, Torn) else io.BytesIO(data),
        headers=dict(answer.headers.items()),
        status=answer.status_code,
        preload_content=False,
    )
    found.reason = answer.status
    return found


def json_of(sent: Sent) -> Any:
    """A request's body."""
    return json.loads(sent.body or b"null")
