"""One HTTP client for Jira and GitHub: one retry policy by status, one translation of failures.

What a failed request means decides what happens to it, whatever the service:

* **rejected** (429, 403 with rate-limit signs, 503 with Retry-After) or **unsent** (no connection): the service
  did nothing, so any method is sent again after the wait;
* **unclear** (time-out after sending, reset, 5xx, truncated or foreign body): the service may have done it. Reads
  and repeatable writes are sent again; any other write raises ``Ambiguous``, and the caller reads back;
* everything else is an answer: 401, 403, 404, 409, 4xx raise their own error at once.

Credentials go to the base address's origin only. Bodies, headers and credentials are never logged.
"""

from __future__ import annotations

import base64
import json as jsonlib
import random
import re
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Literal, Protocol
from urllib.parse import quote, urljoin, urlsplit

import requests
import urllib3.exceptions
from requests.auth import AuthBase

from runner.adapters.obstacles import network_error
from runner.core.redact import Redactor, clean
from runner.errors import Ambiguous, ConfigError, Conflict, NotFound, Unauthorized, Unavailable

MAX_BYTES = 10 * 1024 * 1024
MAX_HOPS = 5
MESSAGE_LIMIT = 500
# Five thousand lists inside each other, each four levels of an answer; a thread's stack holds more.
JSON_DEPTH = 25_000
ERROR_BODY_BYTES = 64 * 1024
# GitHub asks for at least a minute when a secondary limit names no time.
SECONDARY_LIMIT_SECONDS = 60.0

Kind = Literal["read", "write", "dispatch"]
Want = Literal["json", "bytes", "nothing"]

QUOTA = "the quota of this time is used up"
# Jira's RateLimit-Reason.
LIMITS: Mapping[str, str] = {
    "jira-burst-based": "too many at once",
    "jira-per-issue-on-write": "too many changes of one ticket",
    "jira-quota-global-based": QUOTA,
    "jira-quota-tenant-based": QUOTA,
}
_SECONDARY_LIMIT = re.compile(r"secondary rate limit|abuse detection|rate limit exceeded", re.IGNORECASE)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
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


class Credential(AuthBase):
    """The Authorization header of one service. As an auth object it also keeps ~/.netrc out of the request."""

    def __init__(self, value: str, *, secrets: tuple[str, ...]) -> None:
        if re.search(r"[\x00-\x1f\x7f]", value) or not value.isascii():
            raise ConfigError(
                "A token holds a line break or another character that a token cannot have.",
                remedy="Store the secret again, without quotes, spaces or line breaks around it.",
            )
        self._value = value
        self.secrets = secrets

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the header on a request."""
        request.headers["Authorization"] = self._value
        return request


def basic(user: str, password: str) -> Credential:
    """HTTP basic authentication, in UTF-8."""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    return Credential(f"Basic {pair}", secrets=(password, pair))


def bearer(token: str) -> Credential:
    """A bearer token."""
    return Credential(f"Bearer {token}", secrets=(token,))


class _Anonymous(AuthBase):
    """No credentials, and none from ~/.netrc either."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.pop("Authorization", None)
        return request


class BadRequest(ConfigError):
    """The service cannot accept the request as it is (400 and kin). ``fields`` maps field ids to messages."""

    def __init__(
        self, summary: str, *, status: int, fields: Mapping[str, str], remedy: str, detail: str
    ) -> None:
        super().__init__(summary, remedy=remedy, detail=detail)
        self.status = status
        self.fields = dict(fields)


class Forbidden(ConfigError):
    """The credential is good and may not do this (403). ``permissions`` is what the service says it needs."""

    def __init__(self, summary: str, *, permissions: str, remedy: str, detail: str) -> None:
        super().__init__(summary, remedy=remedy, detail=detail)
        self.permissions = permissions


class ServiceConflict(Conflict):
    """A 409, 412, 413 or 422 with the service's words: ``status`` and cleaned ``messages``."""

    def __init__(self, summary: str, *, status: int, messages: tuple[str, ...], detail: str) -> None:
        super().__init__(summary, detail=detail)
        self.status = status
        self.messages = messages


class TooLarge(Conflict):
    """An answer to a read is larger than the caller allows; asking again gives the same."""


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


class _Failure(Exception):
    """An attempt that brought no answer; it never leaves the client. ``wait`` is what the service asked for, in seconds.

    ``limit`` says which limit on requests was reached; it is empty when the service did not answer as it should.
    """

    def __init__(self, reason: str, *, may_be_done: bool, wait: float | None = None, limit: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.may_be_done = may_be_done
        self.wait = wait
        self.limit = limit


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


@dataclass(frozen=True)
class _ServiceError:
    """What an error body says, cleaned: ``messages`` without field, ``fields`` by id."""

    messages: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        parts = [*self.messages, *(f"{name}: {message}" for name, message in self.fields.items())]
        return clean(" · ".join(parts), MESSAGE_LIMIT)


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
        self.base_url = _checked_base(base_url, service)
        self.service = service
        self.clock: Clock = clock or SystemClock()
        self.policy = policy or RetryPolicy()
        self.counters = Counters()
        self._auth: AuthBase = auth or _Anonymous()
        self._redactor = Redactor(auth.secrets if auth else ())
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
            except _Failure as failure:
                may_be_done = may_be_done or failure.may_be_done
                wait = failure.wait if failure.wait is not None else self._backoff(attempt)
                is_final = failure.may_be_done and not call.is_repeatable
                if is_final or attempt == self.policy.tries or not self._wait(wait):
                    raise self._unavailable(call, failure, may_be_done=may_be_done) from failure
                self.counters.retries += 1
        raise AssertionError("a policy allows at least one try")

    def _wait(self, seconds: float) -> bool:
        seconds = max(seconds, self.policy.shortest_wait)
        return seconds <= self.policy.longest_wait and self.pause(seconds)

    def _backoff(self, attempt: int) -> float:
        ceiling = min(self.policy.longest_backoff, self.policy.shortest_wait * 2.0**attempt)
        return min(max(self._jitter(self.policy.shortest_wait, ceiling), self.policy.shortest_wait), ceiling)

    def _unavailable(self, call: _Call, failure: _Failure, *, may_be_done: bool) -> Unavailable:
        detail = self._redactor.mask(f"{call.method} {call.url}: {failure.reason}")
        retry_at = None if failure.wait is None else self.clock.time() + failure.wait
        if call.is_write and may_be_done:
            return Ambiguous(
                f"{self.service} did not say whether it accepted a change.", detail=detail, retry_at=retry_at
            )
        if failure.limit:
            until = f" after {_in_utc(retry_at)}" if retry_at is not None else ""
            return Unavailable(
                f"{self.service} limits the rate of requests ({failure.limit}).",
                remedy=f"Nothing to do: the work goes on by itself{until}.",
                detail=detail,
                retry_at=retry_at,
            )
        also = ", and `HTTPS_PROXY`" if "ProxyError" in failure.reason else ""
        return Unavailable(
            f"{self.service} is not answering as it should.",
            remedy=f"If this lasts, check the base address of {self.service}{also}.",
            detail=detail,
            retry_at=retry_at,
        )

    def _address(self, path: str) -> str:
        if path.startswith("/") and not path.startswith("//"):
            return self.base_url + path
        if not _same_origin(path, self.base_url):
            raise self._leads_away(path)
        return path

    def _attempt(self, call: _Call) -> Response:
        with self._open(call) as answer:
            status = answer.status_code
            if 200 <= status < 300:
                return self._accept(call, answer)
            body = self._error_body(answer)
        if status in call.expected:
            return self._response(call, answer, body, _parsed_or_none(body))
        raise self._refusal(call, answer, body)

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
            if not _same_origin(target, url):
                auth = self._anonymous_for(call, url, target)
            url = target
            answer = self._send(call, url, auth)
        answer.close()
        raise self._leads_away(url)

    def _anonymous_for(self, call: _Call, url: str, target: str) -> AuthBase:
        is_downgrade = urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https"
        if not call.leaves_host or call.is_write or is_downgrade:
            raise self._leads_away(target)
        return _Anonymous()

    def _leads_away(self, target: str) -> ConfigError:
        return ConfigError(
            f"{self.service} sends requests to another address, and credentials do not follow there.",
            remedy=f"Check the base address of {self.service}: it must be the final one.",
            detail=f"redirected from {self.base_url} to {_origin(target)}",
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
            raise _Failure("no connection in time", may_be_done=False) from exc
        except requests.exceptions.Timeout as exc:
            raise _Failure("no answer in time", may_be_done=True) from exc
        except requests.exceptions.ConnectionError as exc:
            raise _Failure(_described(exc), may_be_done=not _never_connected(exc)) from exc
        except (ValueError, requests.exceptions.RequestException) as exc:
            # The text of these repeats the address or header they reject, so only the class is told.
            raise ConfigError(
                f"A request to {self.service} cannot be built from its settings.",
                remedy="Check the base address and the token for stray characters.",
                detail=type(exc).__name__,
            ) from None

    def _met_on_the_way(self, exc: requests.exceptions.ConnectionError, url: str) -> ConfigError | _Failure:
        """A proxy's or certificate's refusal, which holds until somebody changes it, or a failure that may pass."""
        host = urlsplit(url).hostname or ""
        error = network_error(str(exc), service=self.service, host=host, detail=_described(exc))
        return error or _Failure(_described(exc), may_be_done=not _never_connected(exc))

    def _accept(self, call: _Call, answer: requests.Response) -> Response:
        body = self._read(call, answer)
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if call.want != "bytes" and media_type in {"text/html", "application/xhtml+xml"}:
            raise _Failure(f"status {answer.status_code} with a web page", may_be_done=True)
        if call.want != "json" or answer.status_code == 204:
            return self._response(call, answer, body, None)
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise _Failure(
                f"status {answer.status_code} with {media_type or 'no type'}, not JSON", may_be_done=True
            )
        try:
            return self._response(call, answer, body, _parsed(body))
        except (ValueError, RecursionError) as exc:
            raise _Failure("the answer's JSON is damaged", may_be_done=True) from exc

    def _read(self, call: _Call, answer: requests.Response) -> bytes:
        deadline = self.clock.monotonic() + self.policy.answer_timeout
        chunks: list[bytes] = []
        size = 0
        try:
            for chunk in answer.iter_content(64 * 1024):
                size += len(chunk)
                if size > call.max_bytes:
                    raise self._too_large(call)
                if self.clock.monotonic() > deadline:
                    raise _Failure("the answer came too slowly", may_be_done=True)
                chunks.append(chunk)
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
            raise _Failure(f"the answer broke off ({_described(exc)})", may_be_done=True) from exc
        return b"".join(chunks)

    def _too_large(self, call: _Call) -> Conflict | Ambiguous:
        detail = f"{call.method} {call.url}: more than {call.max_bytes} bytes"
        if call.is_write:
            return Ambiguous(f"{self.service} did not say whether it accepted a change.", detail=detail)
        return TooLarge(f"{self.service} holds more than may be read here.", detail=detail)

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

    def _refusal(self, call: _Call, answer: requests.Response, body: bytes) -> Exception:
        """What a status outside 2xx means."""
        status = answer.status_code
        error = self._said(body)
        detail = self._redactor.mask(f"{call.method} {call.url} answered {status}: {error.text}")
        if status == 429 or (status == 403 and _is_rate_limited(answer.headers, body)):
            wait = _told_wait(answer.headers, self.clock.time())
            if wait is None and status == 403:
                wait = SECONDARY_LIMIT_SECONDS
            limit = _limit_of(answer.headers, body)
            return _Failure(
                f"status {status}, rate limit: {limit}", may_be_done=False, wait=wait, limit=limit
            )
        if status == 503 and "Retry-After" in answer.headers:
            wait = _told_wait(answer.headers, self.clock.time())
            return _Failure("status 503, told to wait", may_be_done=False, wait=wait)
        if status >= 500 or status == 408:
            return _Failure(f"status {status}", may_be_done=True)
        if status == 401:
            return Unauthorized(
                f"{self.service} does not accept the token.",
                remedy=f"Create a new token for {self.service} and store it as the secret; tokens expire.",
                detail=detail,
            )
        if status == 403:
            return self._forbidden(answer, error, detail)
        if status == 404:
            return NotFound(
                f"{self.service} has no such thing, or this account may not see it.",
                remedy=f"Check what the configuration names, and what the token's account may see in {self.service}.",
                detail=detail,
            )
        said = error.text or f"status {status}"
        if status in {409, 412, 413, 422, 423}:
            return ServiceConflict(
                f"{self.service} refused a change: {said}",
                status=status,
                messages=(*error.messages, *error.fields.values()),
                detail=detail,
            )
        return BadRequest(
            f"{self.service} cannot accept a request: {said}",
            status=status,
            fields=error.fields,
            remedy="",
            detail=detail,
        )

    def _forbidden(self, answer: requests.Response, error: _ServiceError, detail: str) -> Forbidden:
        permissions = clean(answer.headers.get("X-Accepted-GitHub-Permissions", ""), 200)
        needed = f" It needs: {permissions}." if permissions else ""
        return Forbidden(
            f"{self.service} does not let this account do that: {error.text or 'no permission'}",
            permissions=permissions,
            remedy=f"Give the token's account the permission in {self.service}.{needed}",
            detail=detail,
        )

    def _said(self, body: bytes) -> _ServiceError:
        """Jira's and GitHub's error bodies, in one shape."""
        data = _parsed_or_none(body)
        if not isinstance(data, dict):
            return _ServiceError()
        messages = [data.get("message"), *_list(data.get("errorMessages"))]
        fields: dict[str, str] = {}
        errors = data.get("errors")
        if isinstance(errors, dict):
            fields = {str(name): self._tidy(text) for name, text in errors.items()}
        for entry in _list(errors):
            if isinstance(entry, dict) and not isinstance(entry.get("message"), str):
                fields[str(entry.get("field", "?"))] = self._tidy(str(entry.get("code", "invalid")))
            else:
                messages.append(entry.get("message") if isinstance(entry, dict) else entry)
        return _ServiceError(
            messages=tuple(self._tidy(text) for text in messages if isinstance(text, str) and text.strip()),
            fields=fields,
        )

    def _tidy(self, text: object) -> str:
        return self._redactor.mask(clean(" ".join(str(text).split()), MESSAGE_LIMIT))


def segment(value: str) -> str:
    """One path segment from an outside value; it can neither add segments nor climb."""
    if value in {"", ".", ".."}:
        raise ConfigError(f"{value!r} cannot be part of an address.")
    return quote(value, safe="")


def _checked_base(base_url: str, service: str) -> str:
    try:
        parts = urlsplit(base_url)
        host = parts.hostname
        is_usable = bool(host) and not (parts.query or parts.fragment or parts.username or parts.password)
        is_private = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
        is_usable = is_usable and is_private and (parts.port is None or parts.port > 0)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConfigError(
            f"The base address of {service} is not an https address.",
            remedy="It looks like https://host or https://host/path, without user name and query.",
        )
    return base_url.rstrip("/")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _same_origin(one: str, other: str) -> bool:
    try:
        return _origin(one) == _origin(other)
    except ValueError:
        return False


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


def _is_rate_limited(headers: Mapping[str, str], body: bytes) -> bool:
    if "Retry-After" in headers or headers.get("X-RateLimit-Remaining", "").strip() == "0":
        return True
    return _SECONDARY_LIMIT.search(body.decode("utf-8", "replace")) is not None


def _limit_of(headers: Mapping[str, str], body: bytes) -> str:
    """Which limit was reached: in Jira's own word, or by GitHub's signs."""
    reason = headers.get("RateLimit-Reason", "").strip()
    if reason in LIMITS:
        return LIMITS[reason]
    if headers.get("X-RateLimit-Remaining", "").strip() == "0":
        return QUOTA
    is_secondary = re.search(r"secondary|abuse", body.decode("utf-8", "replace"), re.IGNORECASE)
    return "its secondary limit" if is_secondary else "too many at once"


def _in_utc(moment: float) -> str:
    """A moment as people read it; one that no calendar has is left to the word of the service."""
    try:
        return f"{datetime.fromtimestamp(moment, tz=UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return "the time it names"


def _told_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the service asks for: Retry-After (seconds or date), else X-RateLimit-Reset (epoch or ISO)."""
    retry_after = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", retry_after):
        return float(retry_after)
    moment = _epoch_of_date(retry_after)
    if moment is None:
        moment = _epoch_of_reset(headers.get("X-RateLimit-Reset", "").strip())
    return None if moment is None else max(0.0, moment - now)


def _epoch_of_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _epoch_of_reset(text: str) -> float | None:
    if re.fullmatch(r"[0-9]{1,12}", text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


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


def _parsed_or_none(body: bytes) -> object:
    try:
        return jsonlib.loads(body)
    except (ValueError, RecursionError):
        return None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
