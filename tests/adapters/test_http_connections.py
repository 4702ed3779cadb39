"""The HTTP client on real connections that break."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from runner.adapters.http import RetryPolicy
from runner.errors import Ambiguous, NotFound, Unavailable
from tests.adapters.http_answers import VirtualClock, client


@contextmanager
def wire(*scripts: bytes | Callable[[socket.socket], None]) -> Iterator[tuple[str, list[bytes]]]:
    """A loopback server that reads each request in full and answers with raw bytes, in order, then closes.

    Yields its address and the requests it received.
    """
    received: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for script in scripts:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                received.append(_whole_request(connection))
                if callable(script):
                    script(connection)
                else:
                    connection.sendall(script)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _whole_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            while len(body) < int(line.partition(b":")[2]):
                body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_mid_body(connection: socket.socket) -> None:
    connection.sendall(head(500) + b'{"half":')
    reset(connection)


def silence(connection: socket.socket) -> None:
    """Keep the connection open without a word until the client gives up."""
    connection.settimeout(5)
    connection.recv(1)


def silence_mid_body(connection: socket.socket) -> None:
    connection.sendall(head(500) + b'{"half":')
    silence(connection)


def head(length: int) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        + f"Content-Length: {length}\r\n\r\n".encode()
    )


WIRE_GOOD = head(2) + b"{}"
WIRE_FAULTS: list[bytes | Callable[[socket.socket], None]] = [
    reset,
    reset_mid_body,
    silence,
    silence_mid_body,
    b"",
    head(500) + b'{"half":',
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a"',
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    b"garbage\r\n\r\n",
]
QUICK = RetryPolicy(read_timeout=0.2, connect_timeout=0.5)


@pytest.mark.parametrize("fault", WIRE_FAULTS)
def test_a_broken_connection_repeats_a_read(fault: bytes | Callable[[socket.socket], None]) -> None:
    """Resets, silence and truncation on the wire: the read is sent again and succeeds."""
    with wire(fault, WIRE_GOOD) as (base, received):
        assert client(base, policy=QUICK).get("/x").mapping() == {}
    assert len(received) == 2


@pytest.mark.parametrize("fault", WIRE_FAULTS)
def test_a_broken_connection_never_repeats_a_post(fault: bytes | Callable[[socket.socket], None]) -> None:
    """Resets, silence and truncation on the wire: the POST arrives once and is ambiguous."""
    with wire(fault, WIRE_GOOD) as (base, received):
        with pytest.raises(Ambiguous):
            client(base, policy=QUICK).request("POST", "/x", json={"a": 1})
        assert len(received) == 1


def test_a_refused_connection_is_tried_again_even_for_a_post() -> None:
    """Where nobody listens nothing was sent, so a POST may be tried again, and is not ambiguous in the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    http = client(f"http://127.0.0.1:{port}", policy=QUICK)
    with pytest.raises(Unavailable) as caught:
        http.request("POST", "/x", json={})
    assert not isinstance(caught.value, Ambiguous)
    assert http.counters.retries == 4


def test_the_truncated_body_of_a_refusal_does_not_hide_it() -> None:
    """A 404 is a 404 even if its explanation breaks off."""
    broken = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    with wire(broken) as (base, _), pytest.raises(NotFound):
        client(base, policy=QUICK).get("/x")


def test_an_answer_that_trickles_is_given_up() -> None:
    """Bytes that keep coming slowly do not hold a run: the whole answer has a deadline too."""

    class Hasty(VirtualClock):
        def monotonic(self) -> float:
            self.now += 100
            return self.now

    with wire(*[WIRE_GOOD] * 5) as (base, received):
        with pytest.raises(Unavailable):
            client(base, policy=RetryPolicy(answer_timeout=50), clock=Hasty()).get("/x")
        assert len(received) == 5


def test_a_proxy_from_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Company networks: HTTP_PROXY is honoured."""
    with wire(WIRE_GOOD) as (proxy, received):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        client("http://127.0.0.1:9").get("/x")
    assert received[0].startswith(b"GET http://127.0.0.1:9/x ")
