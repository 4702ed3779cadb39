"""The bundled sample project stands by itself: it passes its own checks, and all of it is packaged."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from runner.core.changes import protection
from runner.core.policy import parse_policy
from runner.sandbox.brain import REVIEW_INLINE, TICKET_DESCRIPTION, sample_files

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for path, data in sample_files().items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return tmp_path


def test_passes_its_own_tests(project: Path) -> None:
    """Its tests are found by the command that its configuration names, and they pass."""
    line = [sys.executable, "-m", "unittest", "discover", "-s", "tests", "-t", "."]
    ended = subprocess.run(line, cwd=project, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Ran 12 tests" in ended.stderr


def test_keeps_its_own_style(project: Path) -> None:
    """Its style check finds nothing in it."""
    ended = subprocess.run([sys.executable, "tools/style.py"], cwd=project, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, b"The style is fine.\n")


def test_its_style_check_sees_what_is_wrong(project: Path) -> None:
    """Stray blanks and a missing docstring are named with their place."""
    (project / "till" / "loose.py").write_text('"""Loose."""\n\n\ndef free():\n    return 1 \n')
    ended = subprocess.run(
        [sys.executable, "tools/style.py"], cwd=project, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout.splitlines() == [
        "till/loose.py:5: stray blanks or tabs",
        "till/loose.py:4: free has no docstring",
    ]


def test_shows_in_its_readme_what_it_prints(project: Path) -> None:
    """The example and the receipt below it belong together."""
    code, _, rest = (project / "README.md").read_text().partition("```python\n")[2].partition("```")
    receipt = rest.partition("```text\n")[2].partition("```")[0]
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    assert ended.stdout.rstrip("\n") + "\n" == receipt


def test_is_configured_for_the_runner() -> None:
    """Its configuration is valid, names both checks and the project of the story, and leaves the models open."""
    policy = parse_policy(sample_files()[".github/ai-runner.yml"])
    assert [command.id for command in policy.checks.commands] == ["tests", "style"]
    assert policy.jira.projects == ("SHOP",)
    assert b"models:" not in sample_files()[".github/ai-runner.yml"]


def test_is_complete_and_holds_nothing_generated() -> None:
    """Dot files belong to it, compiled files do not."""
    paths = set(sample_files())
    assert {".gitignore", ".github/ai-runner.yml", "AGENTS.md", "till/__init__.py"} <= paths
    assert not [path for path in paths if path.endswith(".pyc")]


def test_what_is_reviewed_may_be_changed() -> None:
    """The review speaks about a file that the runner may edit."""
    assert protection(REVIEW_INLINE[0]) is None


def test_the_ticket_can_be_typed_into_jira() -> None:
    """Its description is paragraphs, a heading and a list, so nothing is lost in Jira's document format."""
    assert not set("`*_<>|[]") & set(TICKET_DESCRIPTION)


def test_everything_of_it_is_packaged() -> None:
    """The wheel takes the package's folder as git has it, without exceptions, so nothing of the sample is left out."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert (wheel["packages"], "exclude" in wheel, "only-include" in wheel) == (["runner"], False, False)
    line = ["git", "check-ignore", "--no-index", "--", *sample_files()]
    folder = ROOT / "runner" / "sandbox" / "sample"
    ignored = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    assert ignored.stdout == ""
