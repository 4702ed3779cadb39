"""The scripts that find a Python and fill an environment, with stand-ins for what would reach a package index."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"
# Enough of uv for the scripts: it tells what it was asked, and fails for a lock when told to.
UV = """#!/bin/sh
echo "$PWD|$*" >> "$HOME/uv.log"
[ -z "$UV_FAILS" ] || [ "$1" = --version ]
"""


class Machine:
    """A PATH of our making."""

    def __init__(self, folder: Path) -> None:
        self.home, self.path = folder / "home", folder / "bin"
        self.home.mkdir()
        self.path.mkdir()
        for name in ("bash", "env", "dirname", "mkdir", "sh"):
            (self.path / name).symlink_to(str(shutil.which(name)))

    def install(self, name: str, text: str) -> None:
        program = self.path / name
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)

    def install_python(self, name: str = "python3") -> None:
        self.install(name, f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": str(self.path), "HOME": str(self.home), "RUNNER_TEMP": str(self.home), **environment}
        return subprocess.run(
            [SCRIPTS / script, *arguments],
            env=env,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def asked_of_uv(self) -> list[str]:
        log = self.home / "uv.log"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_python_that_does_not_run_is_passed_over(machine: Machine) -> None:
    """A version manager's shim without a Python behind it, and a Python that is too old, are not taken."""
    machine.install("python3", "#!/bin/sh\nexit 127\n")
    machine.install("python3.14", "#!/bin/sh\necho\n")
    machine.install_python("python3.12")
    assert machine.run("find-python").stdout.strip() == sys.executable


def test_no_python_is_a_clear_end(machine: Machine) -> None:
    """The message names what is needed and what was tried."""
    found = machine.run("find-python")
    assert found.returncode == 1
    assert "No Python 3.11 or newer on PATH (tried python3" in found.stderr


def test_the_named_python_is_the_only_one_considered(machine: Machine) -> None:
    """A wrong name is an error, not a reason to take another."""
    machine.install_python()
    found = machine.run("find-python", "python9")
    assert (found.returncode, found.stderr) == (1, "'python9' is not a Python 3.11 or newer.\n")


def test_the_actions_environment_holds_the_runner_and_the_locks_packages(machine: Machine) -> None:
    """Packages come from the lock with their hashes checked; the runner is found in isolated mode."""
    machine.install_python()
    machine.install("uv", UV)
    done = machine.run("set-up-action", "core")
    assert done.returncode == 0, done.stdout + done.stderr
    environment = machine.home / "ai-runner"
    folder, asked = machine.asked_of_uv[-1].split("|")
    assert Path(folder) == environment
    assert "--require-hashes" in asked
    assert "--compile-bytecode" in asked
    assert asked.endswith(f"--requirement {ROOT}/requirements/core.txt")
    where = subprocess.run(
        [environment / "bin" / "python", "-I", "-c", "import runner; print(runner.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=machine.home,
    )
    assert Path(where.stdout.strip()) == ROOT / "runner" / "__init__.py"


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_each_provider_has_an_environment_of_its_own(machine: Machine, provider: str) -> None:
    """What writes to Jira and GitHub never shares an environment with a model's SDK."""
    machine.install_python()
    machine.install("uv", UV)
    assert machine.run("set-up-action", provider).returncode == 0
    assert (machine.home / f"ai-runner-{provider}" / "bin" / "python").exists()
    assert machine.asked_of_uv[-1].endswith(f"requirements/{provider}.txt")


def test_an_unknown_lock_is_refused(machine: Machine) -> None:
    """The name of a lock is one of three words."""
    machine.install_python()
    done = machine.run("set-up-action", "../../x")
    assert done.returncode == 2
    assert done.stdout.startswith("::error title=ai-runner set-up::There is no lock file")


def test_a_missing_python_is_told_as_an_annotation(machine: Machine) -> None:
    """The adopter reads what to install and where it is explained."""
    done = machine.run("set-up-action", "core", AI_RUNNER_PYTHON="python9")
    assert done.returncode == 2
    assert "'python9' is not a Python 3.11 or newer." in done.stdout
    assert "setup-python" in done.stdout
    assert "README" in done.stdout


def test_packages_that_cannot_be_had_are_told_as_an_annotation(machine: Machine, tmp_path: Path) -> None:
    """When neither uv nor pip gets the packages, the step ends with exit 2 and one error."""
    machine.install_python()
    machine.install("uv", UV)
    unreachable = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    done = machine.run("set-up-action", "core", UV_FAILS="1", **unreachable)
    assert done.returncode == 2
    assert "::error title=ai-runner set-up::The packages of requirements/core.txt" in done.stdout
    assert "not found" not in done.stderr


def test_installing_again_keeps_the_environment(machine: Machine) -> None:
    """A lock on top of another one adds to it; nothing is built twice."""
    machine.install_python()
    machine.install("uv", UV)
    environment = machine.home / "venv"
    assert machine.run("install-locked", str(environment), "sandbox").returncode == 0
    (environment / "mark").touch()
    assert machine.run("install-locked", str(environment), "dev").returncode == 0
    assert (environment / "mark").exists()
    assert machine.asked_of_uv[-1].endswith("requirements/dev.txt")


def test_the_full_runs_hold_every_test_that_has_more_cases_in_it() -> None:
    """A file that asks for AI_RUNNER_FULL and is not named in the Makefile would never run in full."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lists = [line for line in makefile.splitlines() if line.startswith(("FULL := ", "STORIES := "))]
    named = [name for line in lists for name in line.split()[2:]]
    asking = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("*.py")
        if path != Path(__file__) and ("AI_RUNNER_FULL" in (text := path.read_text()) or "IS_FULL" in text)
    ]

    assert [
        one for one in asking if not any(one == name or one.startswith(f"{name}/") for name in named)
    ] == []
    assert all((ROOT / name).exists() for name in named)
