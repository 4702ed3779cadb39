"""A company's network on loopback: an authority that nobody else knows, and a proxy that sees where connections go."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, kw_only=True)
class Authority:
    """An authority of our own. ``file`` holds its certificate."""

    file: Path
    keys: trustme.CA

    @classmethod
    def create(cls, folder: Path) -> Authority:
        folder.mkdir()
        self = cls(file=folder / "authority.pem", keys=trustme.CA(organization_name="Acme Authority"))
        self.keys.cert_pem.write_to_path(str(self.file))
        return self

    def server(self, *names: str) -> ssl.SSLContext:
        """What a server at these names or addresses speaks TLS with; without any, at 127.0.0.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.keys.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
        return context


class Proxy(socketserver.ThreadingTCPServer):
    """An HTTP proxy for CONNECT. ``asked`` are the targets that were asked for; ``refusal`` is said instead of obeying."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *, refusal: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.refusal = refusal
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @classmethod
    @contextlib.contextmanager
    def running(cls, *, refusal: str = "") -> Iterator[Proxy]:
        with cls(refusal=refusal) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()


class _Tunnel(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        target = self.rfile.readline().decode("latin-1").split()[1]
        while self.rfile.readline().strip():
            pass
        self.server.asked.append(target)
        if self.server.refusal:
            self.wfile.write(f"HTTP/1.1 {self.server.refusal}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port))) as there:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._carry(there)

    def _carry(self, there: socket.socket) -> None:
        other = {self.connection: there, there: self.connection}
        while True:
            for one in select.select(list(other), [], [])[0]:
                try:
                    data = one.recv(65_536)
                    other[one].sendall(data)
                except OSError:
                    return
                if not data:
                    return
