"""A repository's own set-up action: run by the shipped action itself, before any key is in scope; executed by act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from runner.composition import TOOLCHAIN, offer_toolchain
from runner.sandbox.brain import StoryBrain
from runner.sandbox.models import SANDBOX_KEY
from runner.sandbox.world import BOT_TOKEN, open_world
from runner.settings import Settings
from tests.adapters.git_origin import Origin, fetched
from tests.sandbox.test_recipes import checks_in

CONFIG = b"checks:\n  commands:\n    - {id: lint, run: lint-it}\n"
SECRETS = (SANDBOX_KEY, BOT_TOKEN)


def set_up_action(*lines: str) -> bytes:
    """A composite action with one step; ``$SEEN`` is a file that the test reads."""
    steps = [{"name": "Install", "shell": "bash", "run": "\n".join(lines)}]
    action = {"name": "Toolchain", "description": "Tools.", "runs": {"using": "composite", "steps": steps}}
    return yaml.safe_dump(action).encode()


@dataclass(frozen=True, kw_only=True)
class Told:
    """What came of one ticket: how its first run ended, the ticket's state, what was said, the checks."""

    exit_code: int | None
    log: str
    status: str
    comments: str
    checks: Mapping[str, str]
    model_calls: int


def run_one(folder: Path, files: Mapping[str, bytes]) -> Told:
    """A ticket that is worked on without a plan, through act and the shipped workflow and action."""
    with open_world(folder, brain=StoryBrain(), via="act", files=files) as world:
        rita = world.people["rita"]
        key = rita.create_ticket("Say what it is", "In one line.", project="SHOP", labels=["ai:direct"])
        rita.assign(key, world.bot)
        world.settle()
        run = world.actions.runs[0]
        pulls = world.reviewer.pulls()
        return Told(
            exit_code=run.exit_code,
            log=run.log.read_text(),
            status=rita.status(key),
            comments=str([one["body"] for one in rita.comments(key)]),
            checks=checks_in(pulls[0]["body"]) if pulls else {},
            model_calls=world.meters.of(run).model_calls,
        )


def test_the_set_up_action_brings_a_toolchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it puts on PATH is found by the checks; it sees the base commit's files and not one secret."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    seen, tools = tmp_path / "seen", tmp_path / "tools"
    action = set_up_action(
        f"mkdir -p {seen} {tools}",
        f"env > {seen}/environment",
        f"cp .tool-version {seen}/",
        f"printf '#!/bin/sh\\ntest -f README.md\\n' > {tools}/lint-it",
        f"chmod +x {tools}/lint-it",
        f'echo {tools} >> "$GITHUB_PATH"',
    )
    files = {
        "README.md": b"# Tiny\n",
        ".tool-version": b"7\n",
        ".github/ai-runner.yml": CONFIG,
        f"{TOOLCHAIN}/action.yml": action,
    }
    told = run_one(tmp_path / "world", files)
    assert told.checks["lint"].startswith("passed"), told.log
    assert (seen / ".tool-version").read_text() == "7\n"
    environment = (seen / "environment").read_text()
    assert [secret for secret in SECRETS if secret in environment] == []
    assert "ghs_" not in environment


def test_a_set_up_action_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is asked without the toolchain; the ticket says which action failed and where to look."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    files = {
        "README.md": b"# Tiny\n",
        ".github/ai-runner.yml": CONFIG,
        f"{TOOLCHAIN}/action.yml": set_up_action("exit 3"),
    }
    told = run_one(tmp_path / "world", files)
    assert (told.exit_code, told.status, told.model_calls) == (1, "Blocked", 0), told.log
    assert "set-up action" in told.comments
    assert "Set up the toolchain" in told.comments


# --- what is put into the workspace -------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    return tmp_path


def offered(job: Path, files: Mapping[str, bytes]) -> bool:
    """Whether a base commit with these files brings a set-up action to the job's workspace."""
    origin = Origin(job)
    base = origin.commit(files)
    fetched(origin, job / "work" / "checkout", base)
    settings = Settings.from_environ({"GITHUB_WORKSPACE": str(job / "workspace")})
    return offer_toolchain(settings, job / "work", base)


def test_a_repository_without_a_set_up_action_leaves_the_workspace_alone(job: Path) -> None:
    """Nothing is written where nothing is used."""
    assert not offered(job, {"README.md": b"# Tiny\n"})
    assert list((job / "workspace").iterdir()) == []


def test_the_base_commits_action_takes_the_place_of_an_older_one(job: Path) -> None:
    """On a machine that is used again, no file of another commit's action is left beside it."""
    place = job / "workspace" / TOOLCHAIN
    place.mkdir(parents=True)
    (place / "action.yml").write_text("older")
    (job / "workspace" / "build").mkdir()
    assert offered(job, {f"{TOOLCHAIN}/action.yaml": b"newer", "go.mod": b"go 1.30\n"})
    assert [path.name for path in place.iterdir()] == ["action.yaml"]
    assert (job / "workspace" / "go.mod").is_file()
    assert (job / "workspace" / "build").is_dir()


def test_a_link_that_an_earlier_job_left_leads_nowhere(job: Path) -> None:
    """Nothing outside of the workspace is written or removed through it."""
    elsewhere = job / "elsewhere"
    (elsewhere / "actions" / "ai-runner-setup").mkdir(parents=True)
    kept = elsewhere / "actions" / "ai-runner-setup" / "kept"
    kept.touch()
    (job / "workspace" / ".github").symlink_to(elsewhere)
    assert offered(job, {f"{TOOLCHAIN}/action.yml": b"x"})
    assert kept.exists()
    assert not (job / "workspace" / ".github").is_symlink()


def test_outside_of_a_job_nothing_is_set_up(job: Path) -> None:
    """On a person's own machine there is no workspace to write to."""
    origin = Origin(job)
    base = origin.commit({f"{TOOLCHAIN}/action.yml": b"x"})
    fetched(origin, job / "work" / "checkout", base)
    assert not offer_toolchain(Settings.from_environ({}), job / "work", base)
