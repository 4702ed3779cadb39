"""A run that is asked to stop answers at once, whatever it is doing: real processes, real signals, both providers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.measure import make_repository, work_file
from bench.scenario import KEY, Provider
from runner.cli.children import START
from runner.core.handover import write_file

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 5.0


@contextmanager
def silent_model() -> Iterator[tuple[str, threading.Event]]:
    """A provider that takes a request and never answers it; yields its address and the news of a request."""
    asked, over = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.set()
            over.wait()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """The test's own output stays readable."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def thinking(folder: Path, provider: Provider, url: str, check: str) -> Iterator[subprocess.Popen[bytes]]:
    """A ``think`` process on a small checkout."""
    checkout = folder / "checkout"
    start = make_repository(checkout, files=14)
    write_file(folder / "work.json", work_file(provider, start, check))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
        f"{provider.upper()}_API_KEY": KEY,
        f"{provider.upper()}_BASE_URL": url,
    }
    command = [
        sys.executable,
        "-I",
        "-c",
        START,
        str(ROOT),
        "think",
        "--issue",
        "SHOP-1",
        "--work-dir",
        str(folder),
    ]
    with (folder / "log.txt").open("wb") as log:
        child = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def stopped(child: subprocess.Popen[bytes], how: signal.Signals, folder: Path) -> tuple[int, str]:
    """Its exit code and the outcome it left, after a signal. Raises when it takes longer than it may."""
    child.send_signal(how)
    code = child.wait(SECONDS)
    return code, json.loads((folder / "result.json").read_text())["outcome"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_a_run_that_waits_for_its_model_stops_within_five_seconds(
    provider: Provider, how: signal.Signals, tmp_path: Path
) -> None:
    """The result is closed as stopped, and the stage itself did not fail."""
    with silent_model() as (url, asked), thinking(tmp_path, provider, url, "true") as child:
        assert asked.wait(60), (tmp_path / "log.txt").read_text()
        assert stopped(child, how, tmp_path) == (0, "stopped")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_a_run_that_waits_for_a_check_stops_within_five_seconds(how: signal.Signals, tmp_path: Path) -> None:
    """The check is ended with all that it started."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        script = tmp_path / "check.py"
        script.write_text(
            "import socket, time\n"
            f"line = socket.create_connection(('127.0.0.1', {door.getsockname()[1]}))\n"
            "time.sleep(600)\n"
        )
        check = f"{sys.executable} {script} & wait"
        with thinking(tmp_path, "openai", "http://127.0.0.1:9", check) as child:
            door.settimeout(60)
            line, _ = door.accept()
            assert stopped(child, how, tmp_path) == (0, "stopped")
            line.settimeout(SECONDS)
            assert line.recv(1) == b""
            line.close()
