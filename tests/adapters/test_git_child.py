"""What git may know of its surroundings, credentials, and a loopback server that only looks."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runner.adapters.git import fetch_commits
from runner.errors import ConfigError, NotFound, Unauthorized, Unavailable
from tests.adapters.git_origin import Origin


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc",
        "ext::sh -c true",
        "ssh://git@github.com/o/r",
        "https://me:secret@github.com/o/r",
        "http://github.com/o/r",
        "/etc",
    ],
)
def test_only_web_addresses(url: str, tmp_path: Path) -> None:
    """Other protocols can start programs, and credentials in an address end up in messages."""
    with pytest.raises(ConfigError) as caught:
        fetch_commits(url, None, ["1" * 40], tmp_path / "repo")
    assert "secret" not in str(caught.value)


def test_inherited_git_settings_do_not_count(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the user's configuration nor git's variables reach our children."""
    sha = origin.commit({"a.txt": b"1\n"})
    config = tmp_path / "gitconfig"
    config.write_text('[url "file:///nowhere"]\n\tinsteadOf = file://\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    fetch_commits(origin.url, None, [sha], tmp_path / "repo", allow_file=True)
    assert not (tmp_path / "trace").exists()


class Watcher:
    """A loopback server that notes headers and answers every request with one status."""

    def __init__(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        self.seen: list[tuple[str, str | None]] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append((self.path, self.headers.get("Authorization")))
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/o/r"

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_a_server_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversation has a deadline; then git and its helpers are ended."""
    monkeypatch.setattr("runner.adapters.git_remote.FETCH_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/o/r"
        with pytest.raises(Unavailable, match="in time"):
            fetch_commits(url, None, ["1" * 40], tmp_path / "repo", pauses=())


def test_a_machine_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git there is a clear text instead of a traceback."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="not installed"):
        fetch_commits("https://example.org/o/r", None, ["1" * 40], tmp_path / "repo")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, Unauthorized),
        (403, ConfigError),
        (404, NotFound),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_what_statuses_mean(status: int, error: type[Exception], tmp_path: Path) -> None:
    """The server's status decides whether the token, the address or the service is at fault."""
    with Watcher(status) as server, pytest.raises(error):
        fetch_commits(server.url, "s3cr3t-token", ["1" * 40], tmp_path / "repo", pauses=())


def test_the_credential_is_sent_and_kept_nowhere(tmp_path: Path) -> None:
    """The token travels as a header; neither the disk nor the error shows it in any form."""
    token = "s3cr3t-token"
    encoded = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    with Watcher(403) as server, pytest.raises(ConfigError) as caught:
        fetch_commits(server.url, token, ["1" * 40], tmp_path / "repo", pauses=())
    assert f"Basic {encoded}" == server.seen[0][1]
    shown = f"{caught.value} {caught.value.detail} {caught.value.remedy}"
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    for text in (shown.encode(), *(file.read_bytes() for file in files)):
        assert token.encode() not in text
        assert encoded.encode() not in text


def test_the_credential_follows_no_redirect(tmp_path: Path) -> None:
    """A redirect is an error: the credential goes to the configured address only."""
    with Watcher(404) as other, Watcher(302, {"Location": f"{other.url}/info/refs"}) as server:
        with pytest.raises(ConfigError, match="redirect"):
            fetch_commits(server.url, "t", ["1" * 40], tmp_path / "repo", pauses=())
        assert other.seen == []
