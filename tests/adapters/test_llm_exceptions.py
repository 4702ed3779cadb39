"""No exception of an SDK or of its HTTP client gets past the adapters unnamed."""

from __future__ import annotations

import inspect
import ssl
from collections.abc import Iterator
from types import ModuleType

import anthropic
import httpx2
import openai
import pytest

from runner.adapters.llm_anthropic import AnthropicModel
from runner.adapters.llm_problems import (
    Problem,
    judge,
    kind_of,
    problem_of,
    stream_problem,
)
from runner.core.work import ModelChoice
from runner.errors import ConfigError, Unavailable

# Of other parts of the SDKs, which this program does not use: webhooks, chat completions' parser,
# sockets, toolsets, agents, and the module-level client of old.
UNUSED = {
    "APIRemovedInV1",
    "APIWebhookValidationError",
    "AgentFilePreparationError",
    "AgentFileStagingError",
    "AgentOutputParseError",
    "AgentTurnResultError",
    "ContentFilterFinishReasonError",
    "InvalidWebhookSignatureError",
    "LengthFinishReasonError",
    "ToolsetClosedError",
    "ToolsetConfigError",
    "ToolsetContractError",
    "ToolsetUsageError",
    "ToolsetsFixedError",
    "WebSocketConnectionClosedError",
    "WebSocketQueueFullError",
    "_AmbiguousModuleClientUsageError",
}


def exceptions(module: ModuleType) -> Iterator[type[Exception]]:
    """Every exception class that a package shows, and every subclass that it has loaded."""
    shown = [getattr(module, name) for name in dir(module)]
    seen = {one for one in shown if inspect.isclass(one) and issubclass(one, Exception)}
    waiting = list(seen)
    while waiting:
        for sub in waiting.pop().__subclasses__():
            if sub not in seen and sub.__module__.split(".")[0] == module.__name__:
                seen.add(sub)
                waiting.append(sub)
    return iter(sorted(seen, key=lambda one: one.__name__))


ALL = [one for module in (anthropic, openai, httpx2) for one in exceptions(module)]


@pytest.mark.parametrize("error", ALL, ids=lambda one: f"{one.__module__.split('.')[0]}-{one.__name__}")
def test_every_exception_has_a_meaning(error: type[Exception]) -> None:
    """A class that a new version of an SDK brings fails here until somebody decides what it means."""
    assert error.__name__ in UNUSED or kind_of(error) is not None


def test_the_list_is_not_empty() -> None:
    """The walk finds the exceptions that are known to be there."""
    assert {"RateLimitError", "OverloadedError", "OAuthError", "ReadTimeout"} <= {one.__name__ for one in ALL}


def test_what_is_not_theirs_is_not_explained_away() -> None:
    """A mistake of our own stays a mistake."""
    assert problem_of(RuntimeError("ours")) is None


def model() -> AnthropicModel:
    return AnthropicModel(ModelChoice(provider="anthropic", model="claude-opus-5-5"), api_key="k")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx2.ReadError("reset"), Unavailable),
        (httpx2.ConnectError("refused"), Unavailable),
        (httpx2.DecodingError("gzip"), Unavailable),
        (ConnectionResetError("reset"), Unavailable),
        (ssl.SSLError("record"), Unavailable),
        (httpx2.InvalidURL("no host"), ConfigError),
        (httpx2.UnsupportedProtocol("ftp"), ConfigError),
        (httpx2.LocalProtocolError("bad header"), ConfigError),
        (httpx2.TooManyRedirects("loop"), ConfigError),
        (ssl.SSLCertVerificationError("CERTIFICATE_VERIFY_FAILED"), ConfigError),
        (anthropic.AnthropicError("profile"), ConfigError),
        (openai.OpenAIError("key"), ConfigError),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else one.__name__,
)
def test_transport_failures_are_typed(error: Exception, kind: type[Exception]) -> None:
    """What may pass is Unavailable, what an adopter must change is ConfigError."""
    problem = problem_of(error)

    assert problem is not None
    assert type(judge(problem, model=model(), has_begun=False).error) is kind


def test_a_certificate_failure_names_the_variable() -> None:
    """Behind a proxy with its own authority the remedy is a certificate file."""
    outer = anthropic.APIConnectionError(request=httpx2.Request("POST", "http://127.0.0.1"))
    outer.__cause__ = httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]")
    problem = problem_of(outer)

    assert problem is not None
    assert "SSL_CERT_FILE" in judge(problem, model=model(), has_begun=False).error.remedy


@pytest.mark.parametrize(
    ("sent", "action"),
    [
        (httpx2.ConnectError("x"), "retry"),
        (httpx2.PoolTimeout("x"), "retry"),
        (httpx2.ReadTimeout("x"), "retry few"),
    ],
    ids=["connect", "pool", "read"],
)
def test_a_request_that_may_have_arrived_is_repeated_less(sent: Exception, action: str) -> None:
    """A request that was not sent costs nothing; one without an answer may have been billed."""
    problem = problem_of(sent)

    assert problem is not None
    assert judge(problem, model=model(), has_begun=False).action == action


@pytest.mark.parametrize(
    "message",
    [
        "prompt is too long: 1000001 tokens > 1000000 maximum",
        "input length and `max_tokens` exceed context limit: 1 + 2 > 2",
        "This model's maximum context length is 1050000 tokens.",
    ],
)
def test_overflow_is_known_in_each_of_its_forms(message: str) -> None:
    """Providers and gateways say it differently."""
    assert judge(Problem(status=400, message=message), model=model(), has_begun=False).action == "context"


def test_an_unknown_error_in_a_stream_counts_as_the_servers() -> None:
    """A code that nobody has seen is retried a few times, not taken for our mistake."""
    problem = stream_problem({"type": "novel", "message": "?"})

    assert (problem.status, judge(problem, model=model(), has_begun=True).action) == (500, "retry few")


def test_details_hold_the_request_id_and_no_key() -> None:
    """The log can be given to the provider's support."""
    problem = Problem(status=500, message="boom", request_id="req_7")

    detail = judge(problem, model=model(), has_begun=False).error.detail

    assert detail == "anthropic:claude-opus-5-5 status 500 boom (request req_7)"
