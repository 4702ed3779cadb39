"""Commands run with an environment of their own, bounded in time and memory, and leave nothing behind."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.adapters.shell import child_environment, harden, run_command
from runner.errors import ConfigError

ENV = {"PATH": os.environ["PATH"]}


@pytest.fixture
def run(tmp_path):
    def runs(command, *, timeout=30.0, **options):
        return run_command(command, cwd=tmp_path, env=options.pop("env", ENV), timeout=timeout, **options)

    return runs


def is_running(pid: int) -> bool:
    """Whether it still runs after a moment: a killed process has lost its memory before the kernel calls it dead."""
    return all(_is_alive(pid) for _ in _moments())


def _moments() -> Iterator[None]:
    for _ in range(500):
        yield
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


# --- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("true", 0),
        ("exit 7", 7),
        ("false; true", 1),
        ("false | true", 1),
        ("kill -9 $$", 137),
        ("no-such-program", 127),
        (["no-such-program"], 127),
        ([sys.executable, "-c", "raise SystemExit(3)"], 3),
    ],
)
def test_the_exit_code_is_the_command_s(run, command, code):
    """A shell line ends at its first failing part; signals and missing programs have the shell's codes."""
    assert code == run(command).exit_code


def test_output_and_errors_come_in_order(run):
    """Standard output and error are one stream."""
    assert run("echo a; echo b >&2; echo c").output == "a\nb\nc\n"


def test_an_argument_list_meets_no_shell(run):
    """The arguments of a list are passed as they are."""
    assert run(["printf", "%s|", "$HOME; ls", "*", ""]).output == "$HOME; ls|*||"


def test_it_runs_in_the_folder_given(run, tmp_path):
    """The working directory is the one asked for."""
    assert run("pwd -P").output.strip() == str(tmp_path.resolve())


def test_a_missing_folder_is_a_configuration_error(tmp_path):
    """A folder that does not exist is told apart from a missing program."""
    with pytest.raises(ConfigError):
        run_command("true", cwd=tmp_path / "none", env=ENV, timeout=5)


def test_standard_input_is_empty(run):
    """A command that asks gets the end of the input, so it cannot wait for an answer."""
    assert run("cat; read -r x || echo end").output == "end\n"


def test_without_bash_sh_runs_the_line(run, tmp_path):
    """Where the PATH has no bash, the line still runs and still ends at its first failure."""
    only = tmp_path / "bin"
    only.mkdir()
    (only / "sh").symlink_to(shutil.which("sh") or "/bin/sh")

    assert run("echo a; false; echo b", env={"PATH": str(only)}).output == "a\n"


def test_core_dumps_are_off(run):
    """A crash leaves no memory behind in the checkout."""
    assert run("ulimit -c").output == "0\n"


# --- environment ---------------------------------------------------------------------------------


def test_the_child_sees_only_what_is_given(run):
    """Nothing of our environment reaches the child, but for the mark by which it is found again."""
    output = run(["env"], env={**ENV, "CI": "true"}).output
    names = {line.partition("=")[0] for line in output.splitlines()}

    assert {"PATH", "CI"} <= names <= {"PATH", "CI", "PWD", "SHLVL", "_", "OLDPWD", "AI_RUNNER_COMMAND"}


def test_the_environment_is_an_allow_list(tmp_path):
    """Only the names always passed and those declared are inherited; HOME is a folder of its own."""
    inherited = {
        "PATH": "/bin",
        "LANG": "C",
        "HOME": "/me",
        "GITHUB_TOKEN": "t",
        "NODE_ENV": "test",
        "X": "y",
    }

    environment = child_environment(inherited, home=tmp_path, declared=["NODE_ENV", "HOME"])

    assert environment == {
        "PATH": "/bin",
        "LANG": "C",
        "TERM": "dumb",
        "NODE_ENV": "test",
        "HOME": str(tmp_path),
    }


def test_a_value_with_a_secret_in_it_is_not_passed(tmp_path):
    """A declared name whose value contains a known secret is left out."""
    inherited = {"URL": "https://u:s3cr3t-value@host", "MODE": "x", "PATH": "/bin"}

    environment = child_environment(
        inherited, home=tmp_path, declared=["URL", "MODE"], known_secrets=["s3cr3t-value", "", "x"]
    )

    assert environment == {"PATH": "/bin", "TERM": "dumb", "MODE": "x", "HOME": str(tmp_path)}


# --- time ----------------------------------------------------------------------------------------


def test_a_command_that_runs_too_long_is_ended(run):
    """At its deadline a command is stopped, and what it printed until then is kept."""
    ticks = itertools.count()

    result = run("echo before; sleep 600", timeout=3, clock=lambda: float(next(ticks)))

    assert (result.timed_out, result.output, result.exit_code != 0) == (True, "before\n", True)


def test_a_command_that_ignores_the_request_is_killed_with_its_children(run, tmp_path):
    """Who does not end when asked is killed, and so is all that it started."""
    ticks = itertools.count()
    line = "trap '' TERM; (trap '' TERM; sleep 600) & echo $! > child; echo $$ > self; while :; do sleep 600; done"
    clock = lambda: float(next(ticks)) if (tmp_path / "self").exists() else 0.0  # noqa: E731

    result = run(line, timeout=3, clock=clock)

    assert result.timed_out
    assert not any(is_running(int((tmp_path / name).read_text())) for name in ("child", "self"))


def test_a_command_that_closes_its_output_still_has_a_deadline(run):
    """Without output to wait for, the deadline holds as well."""
    ticks = itertools.count()

    assert run("exec >&- 2>&-; sleep 600", timeout=3, clock=lambda: float(next(ticks))).timed_out


def test_a_background_process_does_not_hold_the_run(run, tmp_path):
    """What a command leaves in the background ends with it, though it holds the output open."""
    result = run("sleep 600 & echo $! > child; echo done")

    assert (result.exit_code, result.output, result.timed_out) == (0, "done\n", False)
    assert not is_running(int((tmp_path / "child").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the environment of processes")
def test_a_daemon_in_its_own_session_is_found(run, tmp_path):
    """A process that left the group is known by its environment and killed too."""
    program = "import os,time\nif os.fork()==0:\n os.setsid()\n open('child','w').write(str(os.getpid()))\n os.close(1); os.close(2)\n time.sleep(600)\nelse:\n while not os.path.exists('child') or not open('child').read(): pass\n"

    result = run([sys.executable, "-c", program])

    assert result.exit_code == 0
    assert not is_running(int((tmp_path / "child").read_text()))


def test_an_exception_of_a_signal_handler_leaves_no_child(run, tmp_path):
    """When the run itself is interrupted, the command ends with it."""

    class Stop(BaseException):
        pass

    def clock():
        if (tmp_path / "self").exists() and (tmp_path / "self").read_text():
            raise Stop
        return 0.0

    with pytest.raises(Stop):
        run("echo $$ > self; sleep 600", clock=clock)
    assert not is_running(int((tmp_path / "self").read_text()))


# --- output --------------------------------------------------------------------------------------


def test_long_output_keeps_head_and_tail(run):
    """Of a long output the beginning and the end are kept, and the line between says how much is missing."""
    result = run("echo first; for i in $(seq 20000); do echo $i; done; echo last", max_output=2_000)

    assert result.output.startswith("first\n1\n2\n")
    assert result.output.endswith("\n20000\nlast\n")
    assert f"[... {result.truncated_bytes:,} bytes left out ...]" in result.output
    assert len(result.output) < 2_100


def test_a_flood_stays_within_its_memory(run):
    """However much a command prints, no more than the limit is held."""
    tracemalloc.start()
    try:
        result = run("head -c 50000000 /dev/zero | tr '\\0' x", max_output=100_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert result.truncated_bytes == 50_000_000 - 100_000
    assert peak < 1_500_000


def test_a_character_cut_in_two_is_not_shown_as_damage(run):
    """Bytes at the cut that are half a character are left out; bytes that are no text are marked."""
    cut = run(
        [sys.executable, "-c", "print('\u4e16' * 1000, end='')"],
        env={**ENV, "PYTHONUTF8": "1"},
        max_output=100,
    )

    assert "\ufffd" not in cut.output
    assert run("printf 'a\\377b'").output == "a\ufffdb"


def test_the_full_output_can_be_spilled(run, tmp_path):
    """With a file given, nothing of the output is lost."""
    result = run("seq 5000", max_output=100, spill=tmp_path / "out")

    assert result.truncated_bytes > 0
    assert (tmp_path / "out").read_text() == "".join(f"{n}\n" for n in range(1, 5001))


# --- hardening -----------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="the switch exists on Linux only")
def test_a_hardened_process_cannot_be_read_by_its_children():
    """After hardening our environment belongs to root in /proc: a child of the same user cannot read it."""
    program = (
        "import os\nfrom runner.adapters.shell import harden\n"
        "before = os.stat('/proc/self/environ').st_uid\nheld = harden(no_new_privileges=True)\n"
        "import ctypes\nprint(held, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))\n"
        "import resource\nprint(resource.getrlimit(resource.RLIMIT_CORE))\n"
    )

    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert answer.stdout == "True 0 1\n(0, 0)\n"


def test_a_forgotten_variable_is_in_no_file_of_proc():
    """Not even root's look at the environment a process was started with shows a secret; ours is still held."""
    code = (
        "import os\nfrom runner.adapters.shell import forget_environment\n"
        "forget_environment(['SECRET', 'ABSENT'])\n"
        "shown = open('/proc/self/environ', 'rb').read()\n"
        "print(b'hunter2' in shown, b'KEPT=here' in shown, os.environ['SECRET'])"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "SECRET": "hunter2",
        "KEPT": "here",
        "PYTHONPATH": str(Path.cwd()),
    }

    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)

    assert done.stdout.split() == [b"False", b"True", b"hunter2"]


def test_hardening_fails_nowhere(monkeypatch):
    """Where there is no such switch, hardening says so and does nothing."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)

    assert harden() is False


def test_signals_reach_the_child_unblocked(run):
    """A child can be interrupted as usual."""
    assert (
        run([sys.executable, "-c", "import os,signal; os.kill(os.getpid(), signal.SIGTERM)"]).exit_code
        == 128 + signal.SIGTERM
    )
