"""Commands of the repository as child processes: code that somebody else wrote, started without our secrets.

A command gets its own session and an environment made for it; nothing of ours is inherited but the file system.
When it ends, or its time does, everything it started is killed. Its output is kept in bounded memory, head and
tail, and can be spilled to a file.
"""

from __future__ import annotations

import codecs
import ctypes
import os
import resource
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runner.errors import ConfigError

ALWAYS_PASSED = ("PATH", "LANG", "LC_ALL", "TZ", "CI", "TERM")
"""Besides HOME, which is a folder of its own, and what the configuration declares."""

_TOKEN = "AI_RUNNER_COMMAND"  # noqa: S105  # names the command a process belongs to; opens nothing
_GRACE = 2.0
_POLL = 0.05
_LAST_LOOKS = 400
_SHORTEST_SECRET = 6
_SPILL_LIMIT = 64_000_000
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    """How a command ended. ``exit_code`` is 128 + n after signal n, 127 if the program is missing.

    ``output`` is standard output and error as they came, at most ``max_output`` bytes of it: the head
    and the tail, with a line between that says what is missing. ``truncated_bytes`` counts that.
    """

    exit_code: int
    output: str
    seconds: float
    timed_out: bool = False
    truncated_bytes: int = 0


def harden(*, no_new_privileges: bool = False) -> bool:
    """Make this process unreadable for its children: no core dump, no ``/proc/<pid>/environ`` or memory.

    True when it holds; elsewhere than on Linux there is no such switch and it is False.
    ``no_new_privileges`` also takes ``sudo`` from this process and all that it starts.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return False
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    holds: bool = prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
    if no_new_privileges:
        holds = prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and holds
    return holds


def forget_environment(names: Iterable[str]) -> None:
    """Blank these variables in what ``/proc/<pid>/environ`` shows of the environment this process was started with.

    Root, and whoever may use sudo, reads that file whatever ``harden`` set. Python keeps its own copy in
    ``os.environ``, so nothing of ours changes. Elsewhere than on Linux there is no such file.
    """
    try:
        fields = (
            Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
        start, end = int(fields[47]), int(fields[48])
    except (OSError, IndexError, ValueError):
        return
    if not 0 < start < end:
        return
    block = ctypes.string_at(start, end - start)
    wanted = tuple(os.fsencode(name) + b"=" for name in names)
    place = 0
    for entry in block.split(b"\0"):
        if entry.startswith(wanted):
            length = len(entry.partition(b"=")[2])
            ctypes.memset(start + place + len(entry) - length, 0, length)
        place += len(entry) + 1


def child_environment(
    inherited: Mapping[str, str],
    *,
    home: Path,
    declared: Iterable[str] = (),
    known_secrets: Iterable[str] = (),
) -> dict[str, str]:
    """Return the environment of a command: the names always passed and those declared, from ``inherited``.

    A value that contains a known secret is left out whatever its name, and a declared name cannot bring back
    the runner's own HOME.
    """
    hidden = [secret for secret in known_secrets if len(secret) >= _SHORTEST_SECRET]
    names = dict.fromkeys((*ALWAYS_PASSED, *declared))
    passed = {
        name: inherited[name]
        for name in names
        if name in inherited and not any(secret in inherited[name] for secret in hidden)
    }
    return {"PATH": os.defpath, "TERM": "dumb", **passed, "HOME": str(home)}


def run_command(
    command: str | Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    max_output: int = 1_000_000,
    spill: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> CommandResult:
    """Run a shell line (text) or a program with its arguments (a sequence) and wait for it, ``timeout`` seconds at most.

    ``env`` is the whole environment of the child, see ``child_environment``. Standard input is empty.
    With ``spill`` the output is also written to that file. Nothing it started survives it.
    """
    if not cwd.is_dir():
        raise ConfigError(f"The folder `{cwd.name}` in which a command should run does not exist.")
    token = secrets.token_hex(16)
    kept = _Output(max_output)
    started = clock()
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as output, _spilling(spill) as spilled:  # noqa: PTH123  # a descriptor
        try:
            child = subprocess.Popen(
                _arguments(command, env),
                cwd=cwd,
                env={**env, _TOKEN: token},
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(writing)
        try:
            timed_out = _follow(child, output.fileno(), (kept.add, spilled), started + timeout, clock)
        finally:
            # Also when a signal handler of ours raises: no child outlives the call.
            _kill_group(child, signal.SIGKILL)
            code = child.wait()
            _kill_survivors(token)
    return CommandResult(
        exit_code=code if code >= 0 else 128 - code,
        output=kept.text(),
        seconds=clock() - started,
        timed_out=timed_out,
        truncated_bytes=kept.missing,
    )


def _arguments(command: str | Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Arguments that switch core dumps off and then become the command.

    A shell line ends at its first failing part, as in a workflow step.
    """
    if isinstance(command, str):
        bash = shutil.which("bash", path=env.get("PATH"))
        line = [bash, "--noprofile", "--norc", "-eo", "pipefail", "-c"] if bash else ["/bin/sh", "-ec"]
        command = [*line, command]
    return ["/bin/sh", "-c", 'ulimit -c 0; exec "$@"', "sh", *command]


Sink = Callable[[bytes], None]


def _follow(
    child: subprocess.Popen[bytes],
    pipe: int,
    sinks: Iterable[Sink],
    deadline: float,
    clock: Callable[[], float],
) -> bool:
    """Read the output until the command has ended; True if its time ran out first.

    At the deadline the group is asked to end, and after a grace period it is killed.
    """
    os.set_blocking(pipe, False)
    asked: float | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while not _has_ended(child):
            if not selector.get_map():
                time.sleep(_POLL / 10)  # the command closed its output and works on
            elif selector.select(_POLL) and not _drain(pipe, sinks):
                selector.unregister(pipe)
            now = clock()
            if asked is None and now >= deadline:
                asked = now
                _kill_group(child, signal.SIGTERM)
            elif asked is not None and now >= asked + _GRACE:
                _kill_group(child, signal.SIGKILL)
    # What it left running in the background must not hold us: kill it, then take what was written.
    _kill_group(child, signal.SIGKILL)
    _drain(pipe, sinks)
    return asked is not None


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether the command ended; it is not waited for yet, so that its number stays its own and its group's."""
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _drain(pipe: int, sinks: Iterable[Sink]) -> bool:
    """Take what can be read now, within reason; False at the end of the output."""
    for _ in range(64):
        try:
            data = os.read(pipe, 65_536)
        except BlockingIOError:
            return True
        if not data:
            return False
        for sink in sinks:
            sink(data)
    return True


def _kill_group(child: subprocess.Popen[bytes], how: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, how)


def _kill_survivors(token: str) -> None:
    """Kill what left the group (a daemon in a session of its own), known by the token in its environment.

    A killed process is gone only when it is next given time, and until then may end a write that it has begun.
    """
    for _ in range(_LAST_LOOKS):
        found = [pid for pid in _processes() if _carries(pid, token)]
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL / 10)


def _processes() -> list[int]:
    with suppress(OSError):
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return []  # no such file system: the group is all that can be killed


def _carries(pid: int, token: str) -> bool:
    with suppress(OSError):
        return f"{_TOKEN}={token}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    return False


class _Output:
    """The first and last bytes of a stream, half of the limit each."""

    def __init__(self, limit: int) -> None:
        self._head_room = limit // 2
        self._tail_room = limit - limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.missing = 0

    def add(self, data: bytes) -> None:
        fits = self._head_room - len(self._head)
        self._head += data[:fits]
        self._tail += data[fits:]
        excess = len(self._tail) - self._tail_room
        if excess > 0:
            del self._tail[:excess]
            self.missing += excess

    def text(self) -> str:
        if not self.missing:
            return (self._head + self._tail).decode("utf-8", "replace")
        # A character cut in two is left out rather than shown as damage.
        start = codecs.getincrementaldecoder("utf-8")("replace").decode(self._head)
        end = self._tail.lstrip(bytes(range(0x80, 0xC0))).decode("utf-8", "replace")
        return f"{start}\n[... {self.missing:,} bytes left out ...]\n{end}"


@contextmanager
def _spilling(path: Path | None) -> Iterator[Sink]:
    """Write the output to a file as it comes, up to a limit; without a file, nowhere."""
    if path is None:
        yield lambda _: None
        return
    left = _SPILL_LIMIT
    with path.open("wb") as file:

        def write(data: bytes) -> None:
            nonlocal left
            file.write(data[: max(left, 0)])
            left -= len(data)

        yield write
