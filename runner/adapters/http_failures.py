"""What a request to Jira or GitHub that did not succeed means, from its status, headers and body. Pure.

* **rejected** (429, 403 with rate-limit signs, 503 with Retry-After): the service did nothing, and may say how long
  to wait;
* **unclear** (other 5xx, 408): the service may have done it;
* everything else is an answer: 401, 403, 404, 409, 4xx each have their own error.

The first two are ``NoAnswer``, which the client turns into another try, or into the error of giving up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from runner.core.redact import Redactor, clean
from runner.errors import (
    Ambiguous,
    ConfigError,
    Conflict,
    NotFound,
    RunnerError,
    Unauthorized,
    Unavailable,
)

MESSAGE_LIMIT = 500
# GitHub asks for at least a minute when a secondary limit names no time.
SECONDARY_LIMIT_SECONDS = 60.0

QUOTA = "the quota of this time is used up"
# Jira's RateLimit-Reason.
LIMITS: Mapping[str, str] = {
    "jira-burst-based": "too many at once",
    "jira-per-issue-on-write": "too many changes of one ticket",
    "jira-quota-global-based": QUOTA,
    "jira-quota-tenant-based": QUOTA,
}
_SECONDARY_LIMIT = re.compile(r"secondary rate limit|abuse detection|rate limit exceeded", re.IGNORECASE)


class NoAnswer(Exception):
    """An attempt that brought no answer; it never leaves the client. ``wait`` is what the service asked for, in seconds.

    ``limit`` says which limit on requests was reached; it is empty when the service did not answer as it should.
    """

    def __init__(self, reason: str, *, may_be_done: bool, wait: float | None = None, limit: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.may_be_done = may_be_done
        self.wait = wait
        self.limit = limit


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


@dataclass(frozen=True)
class _ServiceError:
    """What an error body says, cleaned: ``messages`` without field, ``fields`` by id."""

    messages: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        parts = [*self.messages, *(f"{name}: {message}" for name, message in self.fields.items())]
        return clean(" · ".join(parts), MESSAGE_LIMIT)


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Names the failures of one service; ``redactor`` keeps its credential out of every text."""

    service: str
    redactor: Redactor

    def answered(
        self, status: int, headers: Mapping[str, str], body: bytes, *, request: str, now: float
    ) -> RunnerError | NoAnswer:
        """What an answer outside 2xx means; ``request`` names it in the log."""
        if (unserved := _unserved(status, headers, body, now)) is not None:
            return unserved
        error = self._said(body)
        detail = self.redactor.mask(f"{request} answered {status}: {error.text}")
        if status == 401:
            return Unauthorized(
                f"{self.service} does not accept the token.",
                remedy=f"Create a new token for {self.service} and store it as the secret; tokens expire.",
                detail=detail,
            )
        if status == 403:
            return self._forbidden(headers, error, detail)
        if status == 404:
            return NotFound(
                f"{self.service} has no such thing, or this account may not see it.",
                remedy=f"Check what the configuration names, and what the token's account may see in {self.service}.",
                detail=detail,
            )
        return self._refused(status, error, detail)

    def gave_up(
        self, last: NoAnswer, *, request: str, is_write: bool, may_be_done: bool, now: float
    ) -> Unavailable:
        """What to tell when no try brought an answer; ``may_be_done`` holds if any of them may have been applied."""
        detail = self.redactor.mask(f"{request}: {last.reason}")
        retry_at = None if last.wait is None else now + last.wait
        if is_write and may_be_done:
            return self.unknown(detail, retry_at=retry_at)
        if last.limit:
            until = f" after {_in_utc(retry_at)}" if retry_at is not None else ""
            return Unavailable(
                f"{self.service} limits the rate of requests ({last.limit}).",
                remedy=f"Nothing to do: the work goes on by itself{until}.",
                detail=detail,
                retry_at=retry_at,
            )
        also = ", and `HTTPS_PROXY`" if "ProxyError" in last.reason else ""
        return Unavailable(
            f"{self.service} is not answering as it should.",
            remedy=f"If this lasts, check the base address of {self.service}{also}.",
            detail=detail,
            retry_at=retry_at,
        )

    def too_large(self, *, is_write: bool, detail: str) -> TooLarge | Ambiguous:
        """What an answer beyond the caller's limit means."""
        if is_write:
            return self.unknown(detail)
        return TooLarge(f"{self.service} holds more than may be read here.", detail=detail)

    def unknown(self, detail: str, *, retry_at: float | None = None) -> Ambiguous:
        """A write that may have been applied or not."""
        return Ambiguous(
            f"{self.service} did not say whether it accepted a change.", detail=detail, retry_at=retry_at
        )

    def _refused(self, status: int, error: _ServiceError, detail: str) -> ServiceConflict | BadRequest:
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

    def _forbidden(self, headers: Mapping[str, str], error: _ServiceError, detail: str) -> Forbidden:
        permissions = clean(headers.get("X-Accepted-GitHub-Permissions", ""), 200)
        needed = f" It needs: {permissions}." if permissions else ""
        return Forbidden(
            f"{self.service} does not let this account do that: {error.text or 'no permission'}",
            permissions=permissions,
            remedy=f"Give the token's account the permission in {self.service}.{needed}",
            detail=detail,
        )

    def _said(self, body: bytes) -> _ServiceError:
        """Jira's and GitHub's error bodies, in one shape."""
        data = parsed_or_none(body)
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
        return self.redactor.mask(clean(" ".join(str(text).split()), MESSAGE_LIMIT))


def parsed_or_none(body: bytes) -> object:
    """The JSON of an error's body, if it has any."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _unserved(status: int, headers: Mapping[str, str], body: bytes, now: float) -> NoAnswer | None:
    """A status that answers nothing: what it says about another try, ``None`` for any other status."""
    if status == 429 or (status == 403 and _is_rate_limited(headers, body)):
        wait = _told_wait(headers, now)
        if wait is None and status == 403:
            wait = SECONDARY_LIMIT_SECONDS
        limit = _limit_of(headers, body)
        return NoAnswer(f"status {status}, rate limit: {limit}", may_be_done=False, wait=wait, limit=limit)
    if status == 503 and "Retry-After" in headers:
        return NoAnswer("status 503, told to wait", may_be_done=False, wait=_told_wait(headers, now))
    if status >= 500 or status == 408:
        return NoAnswer(f"status {status}", may_be_done=True)
    return None


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


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
