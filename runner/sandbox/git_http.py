"""Git's smart HTTP protocol in front of a bare repository, served by real ``git`` children.

Who may read and write is decided by the caller; what a push may change is decided by an ``update`` hook
with the rules of that push, and its reasons reach the client in git's own report.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from werkzeug.wrappers import Request, Response

SERVICES = ("git-upload-pack", "git-receive-pack")
_NO_CACHE = {"Cache-Control": "no-cache, max-age=0, must-revalidate", "Pragma": "no-cache"}


@dataclass(frozen=True, kw_only=True)
class PushRules:
    """What one push may not do: change these branches, add unsigned commits, touch workflow files."""

    protected: tuple[str, ...] = ()
    needs_signatures: bool = False
    may_change_workflows: bool = True


def service_of(request: Request) -> str | None:
    """The git service a request is for; ``None`` for anything that is not git traffic."""
    if request.path.endswith("/info/refs"):
        service = request.args.get("service", "")
    else:
        service = request.path.rsplit("/", 1)[-1]
    return service if service in SERVICES else None


class GitHttp:
    """Answers ``info/refs``, ``git-upload-pack`` and ``git-receive-pack`` for one bare repository."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self._path = path
        self._environment = dict(environment)
        hook = path / "hooks" / "update"
        hook.parent.mkdir(parents=True, exist_ok=True)
        program = shlex.join(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("git_update_hook.py"))]
        )
        hook.write_text(f'#!/bin/sh\nexec {program} "$@"\n', encoding="utf-8")
        hook.chmod(0o755)

    def advertise(self, request: Request, service: str) -> Response:
        """List refs and capabilities."""
        command = [*_command(service), "--stateless-rpc", "--advertise-refs", "."]
        done = subprocess.run(
            command, cwd=self._path, env=self._child_environment(request), capture_output=True, check=True
        )
        is_version_2 = b"version=2" in request.headers.get("Git-Protocol", "").encode()
        banner = _packet(f"# service={service}\n".encode()) + b"0000"
        body = done.stdout if is_version_2 and service == "git-upload-pack" else banner + done.stdout
        return Response(body, headers=_NO_CACHE, mimetype=f"application/x-{service}-advertisement")

    def upload(self, request: Request) -> Response:
        """Send the objects a client wants, as they are packed."""
        # A file, so that the child reads the request at its own pace while we read its answer.
        with tempfile.TemporaryFile() as spool:
            spool.write(_body(request))
            spool.seek(0)
            child = subprocess.Popen(
                [*_command("git-upload-pack"), "--stateless-rpc", "."],
                cwd=self._path,
                env=self._child_environment(request),
                stdin=spool,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        response = Response(
            _chunks(child),
            headers=_NO_CACHE,
            mimetype="application/x-git-upload-pack-result",
        )
        response.call_on_close(lambda: _end(child))
        return response

    def receive(self, request: Request, rules: PushRules) -> Response:
        """Take a push; the refs have moved (or were refused) when this returns."""
        with tempfile.TemporaryDirectory() as folder:
            reasons = Path(folder) / "reasons"
            reasons.touch()
            environment = {
                **self._child_environment(request),
                "SANDBOX_PUSH_RULES": json.dumps(asdict(rules)),
                "SANDBOX_PUSH_REASONS": str(reasons),
            }
            done = subprocess.run(
                [*_command("git-receive-pack"), "--stateless-rpc", "."],
                cwd=self._path,
                env=environment,
                input=_body(request),
                capture_output=True,
                check=False,
            )
            refused = dict(line.split("\t", 1) for line in reasons.read_text(encoding="utf-8").splitlines())
        return Response(
            _with_reasons(done.stdout, refused),
            headers=_NO_CACHE,
            mimetype="application/x-git-receive-pack-result",
        )

    def _child_environment(self, request: Request) -> dict[str, str]:
        protocol = request.headers.get("Git-Protocol", "")
        accepted = protocol if re.fullmatch(r"version=[012]", protocol) else ""
        return {**self._environment, "GIT_PROTOCOL": accepted}


def _command(service: str) -> list[str]:
    return ["git", service.removeprefix("git-")]


def _body(request: Request) -> bytes:
    data = request.get_data()
    return gzip.decompress(data) if request.headers.get("Content-Encoding") == "gzip" else data


def _chunks(child: subprocess.Popen[bytes]) -> Iterator[bytes]:
    output = child.stdout
    if output is not None:
        yield from iter(lambda: os.read(output.fileno(), 65536), b"")


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let a child go, also when its client has not waited for the end."""
    if child.stdout is not None:
        child.stdout.close()
    child.wait()


def _packet(data: bytes) -> bytes:
    return f"{len(data) + 4:04x}".encode() + data


def _packets(data: bytes) -> Iterator[bytes | None]:
    """Payloads of packet lines; ``None`` stands for a flush."""
    while data:
        length = int(data[:4], 16)
        yield data[4:length] if length else None
        data = data[max(length, 4) :]


def _with_reasons(answer: bytes, reasons: Mapping[str, str]) -> bytes:
    """The report with the forge's reasons in place of git's generic "hook declined".

    The report is packet lines inside packet lines: band 1 carries the inner ones.
    """
    if not reasons:
        return answer
    report, others = b"", b""
    for packet in _packets(answer):
        if packet is None:
            continue
        if packet[:1] == b"\x01":
            report += packet[1:]
        else:
            others += _packet(packet)
    inner = b"".join(
        b"0000" if line is None else _packet(_with_reason(line, reasons)) for line in _packets(report)
    )
    return others + _packet(b"\x01" + inner) + b"0000"


def _with_reason(line: bytes, reasons: Mapping[str, str]) -> bytes:
    match = re.fullmatch(rb"ng (\S+) hook declined\n?", line)
    reason = reasons.get(match[1].decode()) if match else None
    return f"ng {match[1].decode()} {reason}\n".encode() if match and reason else line
