"""One HTTP client for Jira and GitHub: one retry policy, whatever the service.

What a failed request means (``http_failures``) decides what happens to it:

* **rejected** or **unsent** (no connection): the service did nothing, so any method is sent again after the wait;
* **unclear** (also a time-out after sending, a reset, a truncated or foreign body): the service may have done it.
  Reads and repeatable writes are sent again; any other write raises ``Ambiguous``, and the caller reads back;
* everything else is an answer and raises its own error at once.

Credentials go to the base address's origin only. Bodies, headers and credentials are never logged.
"""

from __future__ import annotations

import json as jsonlib
import random
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Literal, Protocol
from urllib.parse import quote, urljoin, urlsplit

import requests
import urllib3.exceptions
from requests.auth import AuthBase

from runner.adapters.http_credentials import Anonymous, Credential, checked_base, origin, same_origin
from runner.adapters.http_failures import Failures, NoAnswer, parsed_or_none
from runner.adapters.obstacles import network_error
from runner.core.redact import Redactor
from runner.errors import Ambiguous, ConfigError, Unavailable

MAX_BYTES = 10 * 1024 * 1024
MAX_HOPS = 5
# Five thousand lists inside each other, each four levels of an answer; a thread's stack holds more.
JSON_DEPTH = 25_000
ERROR_BODY_BYTES = 64 * 1024

Kind = Literal["read", "write", "dispatch"]
Want = Literal["json", "bytes", "nothing"]

_UNREPEATABLE = frozenset({"POST", "PATCH"})


class Clock(Protocol):
    """The three things a client asks of time, so that tests can own it."""

    def monotonic(self) -> float:
        """Seconds that never go back, for deadlines."""
        ...

    def time(self) -> float:
        """Epoch seconds, to compare with what services say."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let that much time pass."""
        ...


class SystemClock:
    """The machine's time."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def time(self) -> float:
        """Epoch seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Block for that long."""
        time.sleep(seconds)


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Bounds on patience, in seconds. ``tries`` counts the first one; ``run_wait`` is for a client's whole life."""

    tries: int = 5
    shortest_wait: float = 1.0
    longest_backoff: float = 30.0
    longest_wait: float = 60.0
    run_wait: float = 300.0
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    answer_timeout: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Response:
    """A complete, well-formed answer. ``headers`` ignore case; ``links`` maps rel to address."""

    service: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    links: Mapping[str, str]
    data: Any = None
    is_write: bool = False

    def json(self) -> Any:
        """The parsed body; ``None`` for an answer without one."""
        return self.data

    def mapping(self) -> dict[str, Any]:
        """The parsed body, which must be an object."""
        if not isinstance(self.data, dict):
            raise self._misshapen("an object")
        return self.data

    def sequence(self) -> list[Any]:
        """The parsed body, which must be a list."""
        if not isinstance(self.data, list):
            raise self._misshapen("a list")
        return self.data

    def _misshapen(self, wanted: str) -> Unavailable:
        error = Ambiguous if self.is_write else Unavailable
        return error(
            f"{self.service} gave an answer of another shape than its documentation promises.",
            detail=f"status {self.status}: expected {wanted}, got {type(self.data).__name__}",
        )


@dataclass(frozen=True, kw_only=True)
class _Call:
    method: str
    url: str
    params: Mapping[str, Any]
    json: object
    data: bytes | None
    files: Mapping[str, tuple[str, bytes, str]] | None
    headers: Mapping[str, str]
    expected: frozenset[int]
    is_write: bool
    is_repeatable: bool
    want: Want
    max_bytes: int
    leaves_host: bool

    @property
    def name(self) -> str:
        """The request as the log names it."""
        return f"{self.method} {self.url}"


@dataclass
class Counters:
    """What a run did over HTTP: calls by kind, each counted once however often it was repeated."""

    reads: int = 0
    writes: int = 0
    dispatches: int = 0
    retries: int = 0
    waited_seconds: float = 0.0

    def add(self, kind: Kind) -> None:
        """Count one call."""
        if kind == "read":
            self.reads += 1
        elif kind == "write":
            self.writes += 1
        else:
            self.dispatches += 1


class HttpClient:
    """Speaks to one service below one base address, with one credential.

    ``base_url`` may have a path. ``service`` is the name people read in messages. ``jitter(low, high)`` picks a
    wait between two bounds. Not thread-safe.
    """

    def __init__(
        self,
        base_url: str,
        *,
        service: str,
        auth: Credential | None = None,
        headers: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        policy: RetryPolicy | None = None,
        user_agent: str = "ai-runner",
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.base_url = checked_base(base_url, service)
        self.service = service
        self.clock: Clock = clock or SystemClock()
        self.policy = policy or RetryPolicy()
        self.counters = Counters()
        self._auth: AuthBase = auth or Anonymous()
        self._failures = Failures(service=service, redactor=Redactor(auth.secrets if auth else ()))
        self._jitter = jitter
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": user_agent, **(headers or {})})
        # A session cookie would become a second credential, and Jira asks such callers for more.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    @property
    def reads(self) -> int:
        """Read calls so far."""
        return self.counters.reads

    @property
    def writes(self) -> int:
        """Write calls so far, dispatches apart."""
        return self.counters.writes

    @property
    def waited_seconds(self) -> float:
        """Time spent waiting between tries so far."""
        return self.counters.waited_seconds

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def get(self, path: str, **options: Any) -> Response:
        """Shorthand for a GET; takes the options of ``request``."""
        return self.request("GET", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        data: bytes | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        expected: Collection[int] = (),
        idempotent: bool | None = None,
        kind: Kind | None = None,
        want: Want = "json",
        max_bytes: int = MAX_BYTES,
        leaves_host: bool = False,
    ) -> Response:
        """Send one request until there is an answer, and return it or raise what it means.

        ``path`` starts with a slash and continues the base address, or is a whole address of the same origin
        (a ``next`` link). ``expected`` are statuses beside 2xx to return instead of raising. ``kind="read"``
        declares a POST that changes nothing (a query); ``idempotent=True`` a write that may be repeated because
        it sets absolute values. ``want`` says what a good answer holds: ``json`` (or status 204), ``bytes``, or
        ``nothing``. ``leaves_host`` lets a read follow one redirect to another host, without credentials.
        ``files`` maps a form field to (name, content, media type).

        Raises Unauthorized (401), Forbidden (403), NotFound (404), ServiceConflict (409, 412, 413, 422), BadRequest
        (other 4xx), TooLarge, Unavailable, and Ambiguous when a write may have been applied.
        """
        method = method.upper()
        kind = kind or ("read" if method in {"GET", "HEAD"} else "write")
        repeatable = kind == "read" or (method not in _UNREPEATABLE if idempotent is None else idempotent)
        call = _Call(
            method=method,
            url=self._address(path),
            params=params or {},
            json=json,
            data=data,
            files=files,
            headers=headers or {},
            expected=frozenset(expected),
            is_write=kind != "read",
            is_repeatable=repeatable,
            want=want,
            max_bytes=max_bytes,
            leaves_host=leaves_host,
        )
        self.counters.add(kind)
        return self._until_answered(call)

    def pause(self, seconds: float) -> bool:
        """Wait between a caller's own looks, out of the same allowance; false when it is used up."""
        if self.counters.waited_seconds + seconds > self.policy.run_wait:
            return False
        self.counters.waited_seconds += seconds
        self.clock.sleep(seconds)
        return True

    def _until_answered(self, call: _Call) -> Response:
        may_be_done = False
        for attempt in range(1, self.policy.tries + 1):
            try:
                return self._attempt(call)
            except NoAnswer as failure:
                may_be_done = may_be_done or failure.may_be_done
                wait = failure.wait if failure.wait is not None else self._backoff(attempt)
                is_final = failure.may_be_done and not call.is_repeatable
                if is_final or attempt == self.policy.tries or not self._wait(wait):
                    raise self._failures.gave_up(
                        failure,
                        request=call.name,
                        is_write=call.is_write,
                        may_be_done=may_be_done,
                        now=self.clock.time(),
                    ) from failure
                self.counters.retries += 1
        raise AssertionError("a policy allows at least one try")

    def _wait(self, seconds: float) -> bool:
        seconds = max(seconds, self.policy.shortest_wait)
        return seconds <= self.policy.longest_wait and self.pause(seconds)

    def _backoff(self, attempt: int) -> float:
        ceiling = min(self.policy.longest_backoff, self.policy.shortest_wait * 2.0**attempt)
        return min(max(self._jitter(self.policy.shortest_wait, ceiling), self.policy.shortest_wait), ceiling)

    def _address(self, path: str) -> str:
        if path.startswith("/") and not path.startswith("//"):
            return self.base_url + path
        if not same_origin(path, self.base_url):
            raise self._leads_away(path)
        return path

    def _attempt(self, call: _Call) -> Response:
        with self._open(call) as answer:
            status = answer.status_code
            if 200 <= status < 300:
                return self._accept(call, answer)
            body = self._error_body(answer)
        if status in call.expected:
            return self._response(call, answer, body, parsed_or_none(body))
        raise self._failures.answered(status, answer.headers, body, request=call.name, now=self.clock.time())

    def _open(self, call: _Call) -> requests.Response:
        """Send, following redirects as far as credentials and methods allow it."""
        answer = self._send(call, call.url, self._auth)
        url, auth = call.url, self._auth
        for _hop in range(MAX_HOPS):
            if not answer.is_redirect:
                return answer
            answer.close()
            target = urljoin(url, answer.headers["Location"])
            if call.is_write and answer.status_code not in {307, 308}:
                raise self._leads_away(target)
            if not same_origin(target, url):
                auth = self._anonymous_for(call, url, target)
            url = target
            answer = self._send(call, url, auth)
        answer.close()
        raise self._leads_away(url)

    def _anonymous_for(self, call: _Call, url: str, target: str) -> AuthBase:
        is_downgrade = urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https"
        if not call.leaves_host or call.is_write or is_downgrade:
            raise self._leads_away(target)
        return Anonymous()

    def _leads_away(self, target: str) -> ConfigError:
        return ConfigError(
            f"{self.service} sends requests to another address, and credentials do not follow there.",
            remedy=f"Check the base address of {self.service}: it must be the final one.",
            detail=f"redirected from {self.base_url} to {origin(target)}",
        )

    def _send(self, call: _Call, url: str, auth: AuthBase) -> requests.Response:
        try:
            return self._session.request(
                call.method,
                url,
                params=call.params if url == call.url else None,
                json=call.json,
                data=call.data,
                files=call.files,
                headers=call.headers,
                auth=auth,
                timeout=(self.policy.connect_timeout, self.policy.read_timeout),
                allow_redirects=False,
                stream=True,
            )
        except (requests.exceptions.SSLError, requests.exceptions.ProxyError) as exc:
            raise self._met_on_the_way(exc, url) from exc
        except requests.exceptions.ConnectTimeout as exc:
            raise NoAnswer("no connection in time", may_be_done=False) from exc
        except requests.exceptions.Timeout as exc:
            raise NoAnswer("no answer in time", may_be_done=True) from exc
        except requests.exceptions.ConnectionError as exc:
            raise NoAnswer(_described(exc), may_be_done=not _never_connected(exc)) from exc
        except (ValueError, requests.exceptions.RequestException) as exc:
            # The text of these repeats the address or header they reject, so only the class is told.
            raise ConfigError(
                f"A request to {self.service} cannot be built from its settings.",
                remedy="Check the base address and the token for stray characters.",
                detail=type(exc).__name__,
            ) from None

    def _met_on_the_way(self, exc: requests.exceptions.ConnectionError, url: str) -> ConfigError | NoAnswer:
        """A proxy's or certificate's refusal, which holds until somebody changes it, or a failure that may pass."""
        host = urlsplit(url).hostname or ""
        error = network_error(str(exc), service=self.service, host=host, detail=_described(exc))
        return error or NoAnswer(_described(exc), may_be_done=not _never_connected(exc))

    def _accept(self, call: _Call, answer: requests.Response) -> Response:
        body = self._read(call, answer)
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if call.want != "bytes" and media_type in {"text/html", "application/xhtml+xml"}:
            raise NoAnswer(f"status {answer.status_code} with a web page", may_be_done=True)
        if call.want != "json" or answer.status_code == 204:
            return self._response(call, answer, body, None)
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise NoAnswer(
                f"status {answer.status_code} with {media_type or 'no type'}, not JSON", may_be_done=True
            )
        try:
            return self._response(call, answer, body, _parsed(body))
        except (ValueError, RecursionError) as exc:
            raise NoAnswer("the answer's JSON is damaged", may_be_done=True) from exc

    def _read(self, call: _Call, answer: requests.Response) -> bytes:
        deadline = self.clock.monotonic() + self.policy.answer_timeout
        chunks: list[bytes] = []
        size = 0
        try:
            for chunk in answer.iter_content(64 * 1024):
                size += len(chunk)
                if size > call.max_bytes:
                    detail = f"{call.name}: more than {call.max_bytes} bytes"
                    raise self._failures.too_large(is_write=call.is_write, detail=detail)
                if self.clock.monotonic() > deadline:
                    raise NoAnswer("the answer came too slowly", may_be_done=True)
                chunks.append(chunk)
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
            raise NoAnswer(f"the answer broke off ({_described(exc)})", may_be_done=True) from exc
        return b"".join(chunks)

    def _error_body(self, answer: requests.Response) -> bytes:
        """The start of an error's body; its status already says enough, so a broken one is no further failure."""
        try:
            return next(answer.iter_content(ERROR_BODY_BYTES), b"")
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError):
            return b""

    def _response(self, call: _Call, answer: requests.Response, body: bytes, data: object) -> Response:
        links = {rel: link["url"] for rel, link in answer.links.items() if "url" in link}
        return Response(
            service=self.service,
            status=answer.status_code,
            headers=answer.headers,
            body=body,
            links=links,
            data=data,
            is_write=call.is_write,
        )


def segment(value: str) -> str:
    """One path segment from an outside value; it can neither add segments nor climb."""
    if value in {"", ".", ".."}:
        raise ConfigError(f"{value!r} cannot be part of an address.")
    return quote(value, safe="")


def _causes(exc: BaseException) -> list[BaseException]:
    """An exception and what it wraps, outermost first: requests keeps urllib3's in args and reason."""
    found: list[BaseException] = [exc]
    for seen in found:
        inner = [*seen.args, getattr(seen, "reason", None)]
        found.extend(each for each in inner if isinstance(each, BaseException) and each not in found)
    return found


def _never_connected(exc: BaseException) -> bool:
    unsent = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
        requests.exceptions.ProxyError,
    )
    return any(isinstance(cause, unsent) for cause in _causes(exc))


def _described(exc: BaseException) -> str:
    """Class names only: the texts repeat addresses, and are long."""
    return " < ".join(dict.fromkeys(type(cause).__name__ for cause in _causes(exc)))


def _parsed(body: bytes) -> object:
    """The JSON of a body, as deep as documents of people get; RecursionError beyond JSON_DEPTH.

    Python's own limit is reached by some two hundred lists inside each other, which a ticket may hold.
    """
    usual = sys.getrecursionlimit()
    try:
        return jsonlib.loads(body)
    except RecursionError:
        sys.setrecursionlimit(max(usual, JSON_DEPTH))
        try:
            return jsonlib.loads(body)
        finally:
            sys.setrecursionlimit(usual)
