"""Why a call of a model failed, in the same words for both providers, and what to do about it.

An exception of an SDK, of its transport, or an error inside a stream becomes a ``Problem``; ``judge`` decides by its
status whether to ask again, to begin afresh, or what a person must change.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Literal, Protocol

from runner.adapters.obstacles import network_error
from runner.core.redact import clean
from runner.core.work import ModelChoice
from runner.errors import ConfigError, GaveUp, PictureRefused, RunnerError, Unauthorized, Unavailable

RETRY_AFTER_CAP = 120.0
LONGEST_WISH = 366 * 86_400.0
MESSAGE_CHARS = 500


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a call failed, in neutral words. ``status`` is HTTP's, or its equal for an error inside a stream."""

    status: int
    codes: frozenset[str] = frozenset()
    message: str = ""
    retry_after: float | None = None
    is_final: bool = False
    request_id: str = ""


class StreamError(Exception):
    """The provider reported an error inside a stream that began with status 200."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class BrokenStream(Exception):
    """The stream ended without its last event."""


class NotAStream(Exception):
    """Something other than the model answered with status 200."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What to do about a failed call: ask again, answer that the context is full, or raise ``error``."""

    action: Literal["retry", "retry few", "context", "raise"]
    error: RunnerError
    retry_after: float | None = None


class Service(Protocol):
    """What the words about a failure name: the provider, its model, and the settings that lead to it."""

    vendor: ClassVar[str]
    key_name: ClassVar[str]
    base_url_name: ClassVar[str]
    choice: ModelChoice

    @property
    def provider(self) -> str:
        """The name that the configuration uses."""
        ...

    @property
    def host(self) -> str:
        """Where requests go."""
        ...


# The statuses that stand for an error type or code when it comes inside a stream with status 200.
PICTURES = frozenset(
    {
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "invalid_image_mode",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
    }
)
STREAM_STATUS: Mapping[str, int] = {
    **dict.fromkeys(PICTURES, 400),
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "invalid_prompt": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def stream_problem(error: Mapping[str, Any]) -> Problem:
    """The problem that an error object inside a stream describes; an unknown code counts as a server error."""
    codes = _codes(error)
    known = [STREAM_STATUS[code] for code in codes if code in STREAM_STATUS]
    return Problem(
        status=min(known, default=500), codes=codes, message=str(error.get("message") or "")[:MESSAGE_CHARS]
    )


def _codes(error: Mapping[str, Any]) -> frozenset[str]:
    details = error.get("details")
    found = [error.get("type"), error.get("code")]
    if isinstance(details, Mapping):
        found.append(details.get("error_code"))
    return frozenset(code for code in found if isinstance(code, str))


Kind = Literal["status", "connection", "broken", "address", "foreign", "setup"]

# Families cover their subclasses; every other name stands for itself alone, so that a new class of
# an SDK is noticed (a test walks them all) instead of being taken for its nearest relative.
FAMILIES: Mapping[str, Kind] = {
    "APIStatusError": "status",
    "APIConnectionError": "connection",
    "TransportError": "connection",
}
SINGLES: Mapping[str, Kind] = {
    "BrokenStream": "broken",
    "DecodingError": "broken",
    "EndOfStream": "broken",
    "SSLError": "broken",
    "StreamError": "broken",
    "StreamConsumed": "broken",
    "StreamAlreadyConsumed": "broken",
    "StreamClosed": "broken",
    "ResponseNotRead": "broken",
    "RequestNotRead": "broken",
    "APIError": "broken",
    "NotAStream": "foreign",
    "APIResponseValidationError": "foreign",
    "TooManyRedirects": "foreign",
    "RequestError": "connection",
    "RetryableError": "connection",
    "HTTPError": "connection",
    "HTTPStatusError": "foreign",
    "InvalidURL": "address",
    "UnsupportedProtocol": "address",
    "LocalProtocolError": "address",
    "CookieConflict": "address",
    "AnthropicError": "setup",
    "OpenAIError": "setup",
    "CredentialsError": "setup",
    "MissingDependencyError": "setup",
    "MutuallyExclusiveAuthError": "setup",
    "IdentityTokenFileError": "setup",
    "WorkloadIdentityError": "setup",
    "SubjectTokenProviderError": "setup",
}


def kind_of(error: type[BaseException]) -> Kind | None:
    """What an exception class means here; ``None`` for one that nobody has thought of."""
    if error.__name__ in SINGLES:
        return SINGLES[error.__name__]
    return next((FAMILIES[base.__name__] for base in error.__mro__ if base.__name__ in FAMILIES), None)


def problem_of(exc: Exception) -> Problem | None:
    """Describe an exception of an SDK or its HTTP client; ``None`` when it is none of theirs."""
    if isinstance(exc, StreamError):
        return exc.problem
    kind = kind_of(type(exc))
    if kind is None and isinstance(exc, OSError):
        kind = "connection"
    if kind is None:
        return None
    if kind == "status":
        return _status_problem(exc)
    return Problem(status=0, codes=_transport_codes(kind, exc), message=_chain(exc))


def _transport_codes(kind: Kind, exc: Exception) -> frozenset[str]:
    causes = _causes(exc)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes) or any(
        "CERTIFICATE_VERIFY_FAILED" in str(cause) for cause in causes
    ):
        return frozenset({"certificate"})
    if any(type(cause).__name__ == "ProxyError" and str(cause).startswith("40") for cause in causes):
        return frozenset({"proxy"})
    if any(SINGLES.get(type(cause).__name__) == "address" for cause in causes):
        return frozenset({"address"})
    was_sent = kind == "connection" and not any(
        type(cause).__name__ in {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"}
        for cause in causes
    )
    return frozenset({"broken" if was_sent else kind})


def _causes(exc: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    one: BaseException | None = exc
    while one is not None and one not in found:
        found.append(one)
        one = one.__cause__ or one.__context__
    return found


def _chain(exc: Exception) -> str:
    return " <- ".join(f"{type(one).__name__}: {one}" for one in _causes(exc))[:MESSAGE_CHARS]


def _status_problem(exc: Any) -> Problem:
    body = exc.body if isinstance(exc.body, Mapping) else {}
    inner = body.get("error", body)
    error = inner if isinstance(inner, Mapping) else {}
    headers = exc.response.headers
    return Problem(
        status=exc.status_code,
        codes=_codes(error),
        message=str(error.get("message") or exc)[:MESSAGE_CHARS],
        retry_after=retry_after(headers),
        is_final=headers.get("x-should-retry") == "false",
        request_id=exc.request_id or "",
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as the server wishes; ``None`` when it did not say so in a form that we know."""
    milliseconds, seconds = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            return max(0.0, float(milliseconds) / 1000)
        if seconds is not None:
            return max(0.0, float(seconds))
    except ValueError:
        return _seconds_until(seconds or "")
    return None


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(tz=moment.tzinfo)).total_seconds())


SPENT = ("spend_limit", "insufficient_quota", "billing", "organization_on_hold", "credit_balance")
RETRIED = frozenset({408, 409, 425, 429})


def judge(problem: Problem, *, model: Service, has_begun: bool) -> Verdict:
    """Decide by status, once for both providers."""
    detail = f"{model.provider}:{model.choice.model} status {problem.status} {problem.message}".strip()
    if problem.request_id:
        detail += f" (request {problem.request_id})"
    if problem.status == 0:
        return _judge_transport(problem, model, detail)
    if is_overflow(problem):
        return Verdict(action="context", error=GaveUp("The model's context is full.", detail=detail))
    final = _setup_error(problem, model, detail)
    if final is not None:
        return Verdict(action="raise", error=final)
    error = Unavailable(
        _down_text(problem, model),
        remedy="Nothing to do: the work goes on when the service answers again.",
        detail=detail,
        retry_at=_moment(problem.retry_after),
    )
    is_too_long = problem.retry_after is not None and not problem.retry_after <= RETRY_AFTER_CAP
    if problem.is_final or is_too_long:
        return Verdict(action="raise", error=error)
    return Verdict(action="retry few" if has_begun else "retry", error=error, retry_after=problem.retry_after)


def _moment(seconds: float | None) -> float | None:
    """Epoch seconds for a wait; a wish that is no date in the next years is none at all."""
    return None if seconds is None or seconds > LONGEST_WISH else time.time() + seconds


def is_overflow(problem: Problem) -> bool:
    """Whether the request was too long for the model, in any of the forms in which that is said."""
    if problem.status == 413 or "context_length_exceeded" in problem.codes:
        return True
    words = problem.message.lower()
    return problem.status == 400 and any(
        sign in words for sign in ("prompt is too long", "exceed context limit", "maximum context length")
    )


def is_picture(problem: Problem) -> bool:
    """Whether a picture in the request is what the provider refuses: OpenAI has codes for it, Anthropic only words."""
    has_words = problem.status in {400, 415, 422} and re.search(r"\bimages?\b|\bimage_", problem.message)
    return bool(problem.codes & PICTURES) or bool(has_words)


def _down_text(problem: Problem, model: Service) -> str:
    if problem.status == 429:
        return f"{model.vendor} limits the rate of requests."
    if problem.status == 529:
        return f"{model.vendor} is overloaded."
    return f"{model.vendor} has a problem (status {problem.status})."


def _setup_error(problem: Problem, model: Service, detail: str) -> ConfigError | None:
    words = " ".join(problem.codes) + problem.message.lower().replace(" ", "_")
    if problem.status == 402 or (problem.status in {400, 403, 429} and any(sign in words for sign in SPENT)):
        return ConfigError(
            f"The {model.vendor} account has no money left to spend, or reached its limit.",
            remedy=f"Raise the spend limit or the balance of the account that {model.key_name} belongs to.",
            detail=detail,
        )
    if problem.status == 401:
        return Unauthorized(
            f"{model.vendor} refused the key.",
            remedy=f"Check the secret {model.key_name}: it is wrong, expired or revoked.",
            detail=detail,
        )
    if problem.status == 403:
        return ConfigError(
            f"{model.vendor} does not allow this key to use {model.choice.model!r}.",
            remedy=f"Check the permissions and the region of {model.key_name}.",
            detail=detail,
        )
    if problem.status == 404:
        return ConfigError(
            f"{model.vendor} knows no model {model.choice.model!r}.",
            remedy=f"Check the model's name in the configuration, and {model.base_url_name} if it is set.",
            detail=detail,
        )
    if is_picture(problem):
        return PictureRefused(
            f"{model.vendor} does not take a picture that is attached here: “{clean(problem.message, 200)}”",
            remedy="Remove the picture from the ticket and its parent, or convert it to PNG or JPEG and attach that "
            "instead. If the model takes no pictures at all, choose another one.",
            detail=detail,
        )
    if problem.status < 500 and problem.status not in RETRIED:
        return ConfigError(
            f"{model.vendor} refused the request for {model.choice.model!r} (status {problem.status}).",
            remedy="Check the model, its effort and max_output_tokens in the configuration; the log has the reason.",
            detail=detail,
        )
    return None


def _judge_transport(problem: Problem, model: Service, detail: str) -> Verdict:
    if problem.codes & {"certificate", "proxy"}:
        return Verdict(action="raise", error=_on_the_way(problem, model, detail))
    if "foreign" in problem.codes or "address" in problem.codes:
        error: RunnerError = ConfigError(
            f"Something other than {model.vendor} answered, or its address is wrong.",
            remedy=f"Check {model.base_url_name} and the proxy: a page was sent instead of a model's answer.",
            detail=detail,
        )
        return Verdict(action="raise", error=error)
    if "setup" in problem.codes:
        error = ConfigError(
            f"The {model.vendor} SDK could not be set up.", remedy=f"Check {model.key_name}.", detail=detail
        )
        return Verdict(action="raise", error=error)
    error = Unavailable(
        f"The connection to {model.vendor} failed.",
        remedy="Nothing to do: the work goes on when the service answers again.",
        detail=detail,
    )
    return Verdict(action="retry few" if "broken" in problem.codes else "retry", error=error)


def _on_the_way(problem: Problem, model: Service, detail: str) -> ConfigError:
    """A certificate or a proxy is to blame; the innermost cause says which, and why."""
    said = problem.message.rpartition("ProxyError: ")[2] if "proxy" in problem.codes else problem.message
    error = network_error(said, service=model.vendor, host=model.host, detail=detail)
    return error or ConfigError(f"{model.vendor} ({model.host}) cannot be reached safely.", detail=detail)
