"""One streamed call of a model on a thread of its own, and what its events add up to.

The caller waits on a queue meanwhile: the deadline holds against servers that only ping, and a signal handler's
exception is raised at once in the caller's code, never inside an SDK that would take it for a connection error and
retry.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.adapters.llm_problems import BrokenStream, NotAStream
from runner.core.work import Stop, ToolCall, Usage
from runner.errors import GaveUp

if TYPE_CHECKING:
    from runner.adapters.llm_common import StreamedModel

POLL_SECONDS = 0.25
DRAIN_SECONDS = 0.05
CHARS_PER_TOKEN = 4


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
