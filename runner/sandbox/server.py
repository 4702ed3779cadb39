"""What the embedded services share: a threaded loopback server and a record of what it served."""

from __future__ import annotations

import json
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Recorder:
    """Every REST exchange served, in the form the contract checker reads. Safe to share between services."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.exchanges: list[dict[str, Any]] = []

    def add(self, service: str, request: Request, status: int, response: Response) -> None:
        """Keep one exchange; bodies that are not JSON (git packs, attachments) are kept out."""
        exchange: dict[str, Any] = {
            "service": service,
            "method": request.method,
            "path": request.path,
            "query": {key: values if len(values) > 1 else values[0] for key, values in request.args.lists()},
            "headers": {
                name: value for name, value in request.headers.items() if name.lower() != "authorization"
            },
            "status": status,
        }
        if request.mimetype == "application/json":
            exchange["body"] = _decoded(request.get_data(as_text=True))
        elif request.content_length:
            exchange["body"] = f"({request.mimetype or 'untyped'} body, not kept)"
        media_type = response.mimetype or ""
        # GitHub serves a file's bytes as `application/vnd.github.raw+json`.
        if ".raw" not in media_type and (media_type.endswith("json") or not response.get_data()):
            exchange["response"] = json.loads(response.get_data(as_text=True) or "null")
        with self._lock:
            self.exchanges.append(exchange)

    def write(self, path: Path) -> None:
        """Write one exchange per line."""
        with self._lock:
            lines = [json.dumps(exchange, ensure_ascii=False) for exchange in self.exchanges]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _decoded(text: str) -> Any:
    """A JSON body, or its text where a client sent something else (which the checker then reports)."""
    try:
        return json.loads(text or "null")
    except ValueError:
        return text


class _QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Keep the demo's terminal for the story."""

    def connection_dropped(self, error: BaseException, environ: WSGIEnvironment | None = None) -> None:  # noqa: ARG002
        """Close the connection without an answer: how a service raises ConnectionResetError at its client."""
        self.close_connection = True


class Service(ABC):
    """A WSGI application on its own loopback port, served by threads.

    Subclasses implement ``respond``. ``stop`` ends the server and waits for its thread. With ``tls``, which is set
    before the start, it speaks HTTPS.
    """

    name = "service"
    tls: ssl.SSLContext | None = None

    def __init__(self, *, recorder: Recorder | None = None) -> None:
        self.recorder = recorder
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None
        self.observers: list[Callable[[Request, Response], None]] = []

    @abstractmethod
    def respond(self, request: Request) -> Response:
        """Answer one request."""

    def is_recorded(self, request: Request) -> bool:
        """Whether this exchange belongs to a REST contract (git traffic and files do not)."""
        return bool(request.path)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        """Serve one WSGI request: respond, record, tell the observers."""
        request = Request(environ)
        response = self.respond(request)
        if self.recorder is not None and self.is_recorded(request):
            self.recorder.add(self.name, request, response.status_code, response)
        for observer in self.observers:
            observer(request, response)
        return response(environ, start_response)

    def start(self) -> None:
        """Listen on a free loopback port."""
        self._server = make_server(
            "127.0.0.1", 0, self, threaded=True, request_handler=_QuietHandler, ssl_context=self.tls
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name=self.name, daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The base address, without a trailing slash. Only while the service runs."""
        if self._server is None:
            raise RuntimeError(f"{self.name} is not running")
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        """Stop listening; safe to call twice."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; ``None`` with 204 has no body."""
    body = "" if value is None and status == 204 else json.dumps(value, ensure_ascii=False)
    return Response(body, status=status, headers=dict(headers or {}), mimetype="application/json")
