"""A model that takes no time: it answers the n-th request of a run with the n-th scripted turn and keeps the clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.scenario import Provider, Scenario, stream_of


@dataclass
class Exchanges:
    """What a run sent, and when: ``arrived`` once a request was read whole, ``answered`` once its answer was out."""

    bodies: list[bytes] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)

    @property
    def gaps(self) -> list[float]:
        """Seconds from each answer to the next request: the work of the loop, its tools and its SDK."""
        return [after - before for before, after in zip(self.answered, self.arrived[1:], strict=False)]


@contextmanager
def serving(provider: Provider, scenario: Scenario) -> Iterator[tuple[str, Exchanges]]:
    """Serve one run; yields the address and what will have been exchanged."""
    seen = Exchanges()
    streams = [stream_of(provider, scenario, turn) for turn in range(len(scenario.turns) + 1)]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.arrived.append(time.monotonic())
            seen.bodies.append(body)
            stream = streams[min(len(seen.bodies), len(streams)) - 1]
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Content-Length", str(len(stream)))
            self.end_headers()
            self.wfile.write(stream)
            self.wfile.flush()
            seen.answered.append(time.monotonic())

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Nothing is printed while the clock runs."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()
