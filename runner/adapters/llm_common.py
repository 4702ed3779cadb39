"""What both model adapters share: one streamed call, its retries, its deadline, its usage, its history.

The SDKs are used for what they are good at (keys, headers, proxies, TLS, typed errors); the body is
sent and read as plain JSON, because history must go back byte for byte as it came: thinking
signatures, encrypted reasoning, phases and fields that nobody has thought of yet. A request is
therefore always the previous one plus new items, which is what prompt caches reward.

Every call runs on its own thread while the caller waits on a queue: the deadline holds against
servers that only ping, and a signal handler's exception is raised at once in the caller's code, never
inside an SDK that would take it for a connection error and retry.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import queue
import random
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from runner.adapters.llm_problems import (
    BrokenStream,
    NotAStream,
    Verdict,
    judge,
    problem_of,
)
from runner.core.work import (
    Brief,
    Input,
    ModelChoice,
    Stop,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
    UserImage,
)
from runner.errors import ConfigError, GaveUp, RunnerError
from runner.ports import Model

TRIES = 6
BROKEN_TRIES = 3  # an answer that began and broke may have been billed each time
TOTAL_WAIT = 300.0
LONGEST_BACKOFF = 30.0
CONNECT_SECONDS = 15.0
IDLE_SECONDS = 600.0  # reasoning can be silent for minutes
POLL_SECONDS = 0.25
DRAIN_SECONDS = 0.05
CHARS_PER_TOKEN = 4
IMAGE_TOKENS = 1_600
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

NOT_RUN = "This call was cut off and was not run."


@dataclass(frozen=True, kw_only=True)
class Call:
    """One HTTP call as it happened, successful or not. ``seconds`` is on the injected clock.

    ``is_estimate`` says that the provider reported no (final) usage and ``usage`` is what the call is
    likely to be billed; ``outcome`` is a stop, or a short word for what went wrong.
    """

    provider: str
    model: str
    outcome: str
    usage: Usage
    seconds: float
    request_id: str = ""
    is_estimate: bool = False


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A whole answer: what the port returns, and what goes back into the history."""

    stop: Stop
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    detail: str = ""
    echo: tuple[Mapping[str, Any], ...] = ()
    pending: tuple[str, ...] = ()


class DeadlinePassed(GaveUp):
    """The caller's wall clock ran out while the model was working."""


class Reader(ABC):
    """Collects one stream's events into a reply. ``usage`` is right at every moment, as far as was told."""

    def __init__(self) -> None:
        self.model = ""
        self.usage = Usage()
        self.has_begun = False
        self.is_over = False
        self.has_final_usage = False
        self.received = 0

    @abstractmethod
    def feed(self, event: Mapping[str, Any]) -> None:
        """Take in one event; raises StreamError for the provider's own errors."""

    @abstractmethod
    def reply(self) -> Reply:
        """Return the whole answer. Only when ``is_over``."""


class StreamedModel(ABC):
    """A provider's model behind the port. Subclasses know the provider's shapes, this class the conduct."""

    provider: ClassVar[Literal["anthropic", "openai"]]
    vendor: ClassVar[str]
    key_name: ClassVar[str]
    base_url_name: ClassVar[str]
    public_host: ClassVar[str]
    path: ClassVar[str]
    history_field: ClassVar[str]
    efforts: ClassVar[frozenset[str]]

    def __init__(
        self,
        choice: ModelChoice,
        *,
        api_key: str,
        base_url: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        on_call: Callable[[Call], None] | None = None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.choice = choice
        self.sleep = sleep
        self.monotonic = monotonic
        self.on_call = on_call
        self.idle_seconds = idle_seconds
        self._api_key = checked_key(api_key, self.key_name)
        self._base_url = base_url.rstrip("/") if base_url else None
        self._client: Any = None
        self._lock = threading.Lock()
        if choice.effort is not None and choice.effort not in self.efforts:
            raise ConfigError(
                f"{self.vendor} knows no effort {choice.effort!r}.",
                remedy=f"Choose one of {', '.join(sorted(self.efforts))}.",
            )

    @property
    def host(self) -> str:
        """Where requests go."""
        return (urlsplit(self._base_url).hostname if self._base_url else None) or self.public_host

    @abstractmethod
    def connect(self) -> Any:
        """Import the SDK and build its client, with the SDK's own retries off."""

    @abstractmethod
    def head(self, brief: Brief) -> dict[str, Any]:
        """Return every field of the request except the history, in the order in which it is sent."""

    @abstractmethod
    def write(self, results: Sequence[ToolResult], others: Sequence[Input]) -> list[dict[str, Any]]:
        """Turn inputs into history items, tool results first."""

    @abstractmethod
    def reader(self) -> Reader:
        """Begin to read an answer."""

    def preload(self) -> None:
        """Import the SDK on a thread of its own, so that it overlaps with reading and preparing."""
        threading.Thread(target=self._preload, name=f"import-{self.provider}", daemon=True).start()

    def _preload(self) -> None:
        # The same error is raised to whoever asks for the client next.
        with contextlib.suppress(Exception):
            self.client()

    def client(self) -> Any:
        """Return the SDK's client, built on first use."""
        with self._lock:
            if self._client is None:
                self._client = self.connect()
            return self._client

    def close(self) -> None:
        """Close the SDK's connections, if any were opened."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def open(self, brief: Brief) -> StreamedConversation:
        """Begin a conversation. A schema and tools in one conversation are refused: neither provider holds both well."""
        if brief.schema is not None and brief.tools:
            raise ValueError("a conversation has tools or a schema, not both")
        return StreamedConversation(self, brief)

    def module(self, name: str) -> Any:
        """Import an SDK, or say how to install it."""
        try:
            return importlib.import_module(name)
        except ImportError as exc:
            raise ConfigError(
                f"The {self.vendor} SDK is not installed.",
                remedy=f"Install it with: pip install 'jira-ai-runner[{self.provider}]'",
                detail=str(exc),
            ) from exc

    def post(self, body: bytes, *, seconds: float) -> Any:
        """Send one request and return the open response; raises the SDK's own errors."""
        # A little more than what is left, so that it is the caller's clock which ends the wait.
        longest = max(0.0, seconds) + 1.0
        timeout = importlib.import_module("httpx2").Timeout(
            min(self.idle_seconds, longest), connect=min(CONNECT_SECONDS, longest)
        )
        return self.client().post(
            self.path,
            cast_to=importlib.import_module("httpx2").Response,
            content=body,
            options={"timeout": timeout, "headers": {"Accept": "text/event-stream"}},
            stream=True,
        )


class StreamedConversation:
    """An append-only exchange. What was sent is never changed; a failed call leaves no trace in it.

    ``usage`` and ``calls`` count every HTTP call, also those that failed or were interrupted.
    An answer that stops with DONE, TOOLS, LENGTH or PAUSE becomes part of the history; after any
    other the conversation is as it was before ``send``.
    """

    def __init__(self, model: StreamedModel, brief: Brief) -> None:
        head = encode(model.head(brief))
        self._model = model
        self._head = head[:-1] + b',"' + model.history_field.encode() + b'":['
        self._items: list[bytes] = []
        self._pending: tuple[str, ...] = ()
        self._last = Stop.DONE
        self._known_tokens = len(head) // CHARS_PER_TOKEN
        self._usage = Usage()
        self._calls = 0

    @property
    def usage(self) -> Usage:
        """Tokens of every call so far, failed ones included."""
        return self._usage

    @property
    def calls(self) -> int:
        """How many HTTP calls were made."""
        return self._calls

    def estimate(self, inputs: Sequence[Input]) -> int:
        """Prompt tokens that sending ``inputs`` now would take: the last answer's count plus what is new."""
        return self._known_tokens + sum(map(tokens_of, inputs))

    def send(self, inputs: Sequence[Input], *, deadline: float) -> Turn:
        """Add inputs, ask, and return the answer. ``deadline`` is on the model's monotonic clock.

        ``Turn.usage`` holds what this send was billed, broken tries included. Raises Unavailable when
        the provider stays down, ConfigError for what an adopter must change, DeadlinePassed (a GaveUp)
        when time runs out; a full context is a Turn with ``Stop.CONTEXT``.
        """
        new = [encode(item) for item in self._written(inputs)]
        body = self._head + b",".join([*self._items, *new]) + b"]}"
        before = self._usage
        exchange = self._ask(body, self.estimate(inputs), deadline)
        reply, reader = exchange.reply, exchange.reader
        if reply.stop in {Stop.DONE, Stop.TOOLS, Stop.LENGTH, Stop.PAUSE}:
            self._items += [*new, *map(encode, reply.echo)]
            self._pending, self._last = reply.pending, reply.stop
            self._known_tokens = reader.usage.prompt + reader.usage.output
        return Turn(
            text=reply.text,
            tool_calls=reply.tool_calls,
            stop=reply.stop,
            usage=minus(self._usage, before),
            model=reader.model or self._model.choice.model,
            request_id=exchange.request_id,
            detail=reply.detail,
        )

    def _written(self, inputs: Sequence[Input]) -> list[dict[str, Any]]:
        results = [one for one in inputs if isinstance(one, ToolResult)]
        answered = [one.call_id for one in results]
        if len(set(answered)) != len(answered) or not set(answered) <= set(self._pending):
            raise ValueError(f"results for {answered} do not fit the open calls {list(self._pending)}")
        missing = [call for call in self._pending if call not in answered]
        if missing and self._last is Stop.TOOLS:
            raise ValueError(f"tool calls {missing} were left without an answer")
        if not inputs and not missing and self._last is not Stop.PAUSE:
            raise ValueError("nothing to send")
        results += [ToolResult(call_id=call, text=NOT_RUN, is_error=True) for call in missing]
        return self._model.write(results, [one for one in inputs if not isinstance(one, ToolResult)])

    def _ask(self, body: bytes, prompt: int, deadline: float) -> Exchange:
        tries = broken = 0
        waited = 0.0
        while True:
            exchange = Exchange(self._model, body, prompt)
            try:
                self._count(exchange, deadline)
                return exchange
            except RunnerError:
                raise
            except Exception as exc:
                verdict = self._judge(exc, exchange)
                if verdict.action == "context":
                    exchange.reply = Reply(stop=Stop.CONTEXT, detail=verdict.error.detail)
                    return exchange
                tries += 1
                broken += verdict.action == "retry few"
                wait = self._wait_before(tries, verdict)
                is_hopeless = (
                    verdict.action == "raise"
                    or tries >= TRIES
                    or broken >= BROKEN_TRIES
                    or waited + wait > TOTAL_WAIT
                    or self._model.monotonic() + wait >= deadline
                )
                if is_hopeless:
                    raise verdict.error from exc
            self._model.sleep(wait)
            waited += wait

    def _wait_before(self, tries: int, verdict: Verdict) -> float:
        if verdict.retry_after is not None:
            return verdict.retry_after
        return min(2.0 ** (tries - 1), LONGEST_BACKOFF) * random.uniform(0.75, 1.0)

    def _judge(self, exc: Exception, exchange: Exchange) -> Verdict:
        model = self._model
        problem = problem_of(exc)
        if problem is None:
            raise exc
        return judge(problem, model=model, has_begun=exchange.reader.has_begun)

    def _count(self, exchange: Exchange, deadline: float) -> None:
        started = self._model.monotonic()
        outcome = "interrupted"
        try:
            exchange.run(deadline)
            outcome = exchange.reply.stop.value
        except Exception as exc:
            outcome = type(exc).__name__
            raise
        finally:
            usage, is_estimate = exchange.billed()
            self._usage += usage
            self._calls += 1
            if self._model.on_call is not None:
                self._model.on_call(
                    Call(
                        provider=self._model.provider,
                        model=exchange.reader.model or self._model.choice.model,
                        outcome=outcome,
                        usage=usage,
                        seconds=self._model.monotonic() - started,
                        request_id=exchange.request_id,
                        is_estimate=is_estimate,
                    )
                )


@dataclass
class Exchange:
    """One HTTP call on a thread of its own. ``run`` returns or raises by the deadline, whatever the socket does."""

    model: StreamedModel
    body: bytes
    prompt: int
    reader: Reader = field(init=False)
    reply: Reply = field(init=False)
    request_id: str = ""

    def __post_init__(self) -> None:
        self.reader = self.model.reader()
        self._done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._response: Any = None
        self._is_abandoned = False

    def run(self, deadline: float) -> None:
        """Make the call and wait for its answer; the answer is in ``reply``."""
        seconds = deadline - self.model.monotonic()
        if seconds <= 0:
            raise self._too_late()
        thread = threading.Thread(
            target=self._work, args=(seconds,), name=f"{self.model.provider}-call", daemon=True
        )
        thread.start()
        try:
            error = self._wait(deadline)
        except BaseException:  # a signal of ours, too, must not leave the call running
            self._abandon()
            raise
        if error is not None:
            raise error
        # The last bytes of a finished stream let the connection be used again; they are rarely late.
        thread.join(DRAIN_SECONDS)

    def billed(self) -> tuple[Usage, bool]:
        """What this call cost, and whether that is an estimate (the stream ended before it was told)."""
        reader = self.reader
        if reader.has_final_usage or not reader.has_begun:
            return reader.usage, False
        told = reader.usage
        return Usage(
            input=told.input if told.prompt else self.prompt,
            cache_read=told.cache_read,
            cache_write_short=told.cache_write_short,
            cache_write_long=told.cache_write_long,
            output=max(told.output, reader.received // CHARS_PER_TOKEN),
            reasoning=told.reasoning,
        ), True

    def _wait(self, deadline: float) -> BaseException | None:
        while True:
            seconds = deadline - self.model.monotonic()
            if seconds <= 0:
                raise self._too_late()
            try:
                return self._done.get(timeout=min(seconds, POLL_SECONDS))
            except queue.Empty:
                continue

    def _work(self, seconds: float) -> None:
        try:
            self._read(seconds)
        except BaseException as exc:
            # Whatever it is, the thread that waits must hear of it.
            self._done.put(exc)
        finally:
            if self._response is not None:
                self._response.close()

    def _read(self, seconds: float) -> None:
        response = self._response = self.model.post(self.body, seconds=seconds)
        headers = response.headers
        self.request_id = headers.get("request-id") or headers.get("x-request-id") or ""
        if not headers.get("content-type", "").startswith("text/event-stream"):
            raise NotAStream(f"content type {headers.get('content-type', 'missing')!r}")
        reader = self.reader
        for event in events(response.iter_bytes()):
            if self._is_abandoned:
                return
            if reader.is_over:
                continue
            self._take(event)
        if not reader.is_over:
            raise BrokenStream("the stream ended before its last event")

    def _take(self, event: Mapping[str, Any]) -> None:
        try:
            self.reader.feed(event)
            if self.reader.is_over:
                self.reply = self.reader.reply()
                self._done.put(None)
        except (AttributeError, KeyError, TypeError) as exc:
            raise BrokenStream(f"an event has an unknown shape: {exc!r}") from exc

    def _abandon(self) -> None:
        self._is_abandoned = True
        if self._response is None:
            return
        stream = self._response.extensions.get("network_stream")
        line = stream.get_extra_info("socket") if stream is not None else None
        if isinstance(line, socket.socket):
            # Unbound, so that a TLS socket keeps the state that the reading thread uses.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)

    def _too_late(self) -> DeadlinePassed:
        return DeadlinePassed(
            "The time for this run was over before the model had answered.",
            remedy="Allow more minutes in the budget, or make the task smaller.",
        )


def events(chunks: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    """Decode server-sent events whose data is a JSON object; comments, pings and ``[DONE]`` are passed over.

    Lines end with LF or CR LF only: JSON may hold U+2028 and its like unescaped.
    """
    rest = b""
    data: list[bytes] = []
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                yield from _parsed(b"\n".join(data))
                data = []


def _parsed(data: bytes) -> Iterator[Mapping[str, Any]]:
    if data.strip() == b"[DONE]":
        return
    try:
        event = json.loads(data)
    except ValueError as exc:
        raise BrokenStream("an event was not JSON") from exc
    if isinstance(event, dict):
        yield event


def encode(value: object) -> bytes:
    """JSON as it is sent: compact, UTF-8, keys in the order given. A lone surrogate is replaced, not refused."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


def tokens_of(one: Input) -> int:
    """A rough count of one input's tokens."""
    return IMAGE_TOKENS if isinstance(one, UserImage) else len(one.text) // CHARS_PER_TOKEN + 1


def minus(after: Usage, before: Usage) -> Usage:
    """What was used between two readings of the same counter."""
    return Usage(
        input=after.input - before.input,
        cache_read=after.cache_read - before.cache_read,
        cache_write_short=after.cache_write_short - before.cache_write_short,
        cache_write_long=after.cache_write_long - before.cache_write_long,
        output=after.output - before.output,
        reasoning=after.reasoning - before.reasoning,
    )


def arguments_of(raw: str) -> tuple[Mapping[str, Any] | None, str]:
    """A call's arguments and "", or ``None`` and what is wrong with them. Nothing at all means no arguments."""
    try:
        value = json.loads(raw) if raw.strip() else {}
    except ValueError as exc:
        return None, f"The arguments are not JSON: {exc}"
    if not isinstance(value, dict):
        return None, f"The arguments must be a JSON object, not {type(value).__name__}"
    return value, ""


def image_note(image: UserImage) -> str:
    """What stands in for a picture of a type that the model does not take."""
    return f"[A picture of type {image.media_type} was left out: the model does not take this type.]"


def checked_key(key: str, name: str) -> str:
    """The key without surrounding space; ConfigError when it cannot be one. One message for both providers."""
    key = key.strip()
    if not key:
        raise ConfigError(f"{name} is not set.", remedy=f"Add the secret {name} and pass it to the action.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"{name} holds characters that no key has.",
            remedy=f"Copy the key again into the secret {name}, without quotes or line breaks.",
        )
    return key


def create_model(
    choice: ModelChoice,
    *,
    api_key: str,
    base_url: str | None = None,
    on_call: Callable[[Call], None] | None = None,
) -> Model:
    """The chosen provider's model; only its adapter is imported, and no SDK yet."""
    if choice.provider == "anthropic":
        from runner.adapters.llm_anthropic import AnthropicModel

        return AnthropicModel(choice, api_key=api_key, base_url=base_url, on_call=on_call)
    from runner.adapters.llm_openai import OpenAIModel

    return OpenAIModel(choice, api_key=api_key, base_url=base_url, on_call=on_call)
