"""A loopback server that answers as told, byte for byte, and a clock that only moves when told."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Act = Callable[["Handler"], None]


class Clock:
    """Virtual seconds: sleeping moves the clock and is remembered."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Handler(BaseHTTPRequestHandler):
    """Plays the next act for every request."""

    protocol_version = "HTTP/1.1"
    server: TrapServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(body)
        self.server.paths.append(self.path)
        self.server.keys.append(self.headers.get("Authorization", ""))
        self.server.acts.pop(0)(self)

    def begin(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def finish_body(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Stay quiet."""


class TrapServer(ThreadingHTTPServer):
    """Listens on loopback; ``acts`` are played in order, ``bodies`` are what came."""

    daemon_threads = False
    block_on_close = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.acts: list[Act] = []
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        self.keys: list[str] = []
        self.gone = threading.Event()
        self._lines: list[socket.socket] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        self._lines.append(request)
        super().process_request(request, client_address)

    @contextmanager
    def running(self) -> Iterator[TrapServer]:
        """Serve until the end of the block, then hang up on whoever kept a connection."""
        with self:
            thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield self
            finally:
                self.gone.set()
                self.shutdown()
                thread.join()
                for line in self._lines:
                    with suppress(OSError):
                        line.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves early is what some tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]


def sse(value: Mapping[str, Any]) -> bytes:
    return f"event: {value['type']}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def stream(
    events: Iterable[Mapping[str, Any]], *, end: str = "whole", headers: Mapping[str, str] | None = None
) -> Act:
    """A stream with status 200 that ends ``whole``, by ``reset``, or ``cut`` (a clean end of the connection)."""
    parts = [sse(event) for event in events]

    def act(handler: Handler) -> None:
        handler.begin(
            200,
            "text/event-stream; charset=utf-8",
            headers or {"request-id": "req_1", "x-request-id": "req_1"},
        )
        for part in parts:
            handler.chunk(part)
        if end == "reset":
            handler.reset()
        else:
            handler.finish_body()

    return act


def raw_stream(data: bytes) -> Act:
    def act(handler: Handler) -> None:
        handler.begin(200, "text/event-stream", {})
        handler.chunk(data)
        handler.finish_body()

    return act


def answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> Act:
    """A JSON answer."""

    def act(handler: Handler) -> None:
        handler.begin(status, "application/json", headers or {})
        handler.chunk(json.dumps(body).encode())
        handler.finish_body()

    return act


def page() -> Act:
    """A proxy's login page."""

    def act(handler: Handler) -> None:
        handler.begin(200, "text/html", {})
        handler.chunk(b"<html>Please log in</html>")
        handler.finish_body()

    return act


def hang_up() -> Act:
    """The connection is reset before any byte of an answer."""
    return Handler.reset


def pings(first: Iterable[Mapping[str, Any]], *, tick: Callable[[], None]) -> Act:
    """A stream that begins and then only pings until the client leaves. ``tick`` runs with every ping."""

    def act(handler: Handler) -> None:
        handler.begin(200, "text/event-stream", {"request-id": "req_1"})
        for event in first:
            handler.chunk(sse(event))
        try:
            while not handler.server.gone.wait(0.005):
                handler.chunk(b'event: ping\ndata: {"type": "ping"}\n\n')
                tick()
        except OSError:
            handler.server.gone.set()

    return act
