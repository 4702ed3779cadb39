"""Projects that are not Python: their own checks are run, and the recipes for them say what is true."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.core.policy import Policy, parse_policy
from runner.sandbox.brain import StoryBrain
from runner.sandbox.world import WORKFLOW, open_world
from tests.sandbox.test_rehearsal import git, rehearse, ticket

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = ROOT / "tests" / "data" / "recipes"
PAGES = sorted((ROOT / "docs" / "recipes").glob("*.md"))
TICKET = "# Say what an empty input gives\n\nThe README should say what comes out when nothing goes in.\n"
STEP = "      - name: Work on the ticket\n"


def project(folder: Path, name: str, **files: str) -> Path:
    """A repository with one of the sample projects; ``files`` replaces some of it."""
    shutil.copytree(PROJECTS / name, folder)
    for path, text in files.items():
        (folder / path).write_text(text)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=Start")
    return folder


def pull_request_of(tmp_path: Path, repository: Path) -> str:
    """What the pull request says after a whole rehearsal."""
    kept = tmp_path / "kept"
    ended = rehearse("--repo", repository, "--ticket", ticket(tmp_path, TICKET), "--auto", "--keep", kept)
    assert ended.code == 0, ended.told
    assert ended.account["parent"]["status"] == "Done"
    assert [child["pull_request"]["merged"] for child in ended.account["sub_tasks"]] == [True]
    return (kept / "pull-requests" / "1.md").read_text()


def checks_in(text: str) -> dict[str, str]:
    """The checks of a pull request's text with what became of them."""
    part = text.partition("### Checks\n")[2].partition("\n### ")[0]
    return dict(re.findall(r"^- `([^`]+)` (.*)$", part, re.MULTILINE))


@pytest.mark.parametrize(("name", "ids"), [("make", ["tests", "lint"]), ("awk", ["totals"])])
def test_a_project_of_another_language_gets_to_done(tmp_path: Path, name: str, ids: list[str]) -> None:
    """Set-up and checks of the project are run by its own tools, and measured."""
    checks = checks_in(pull_request_of(tmp_path, project(tmp_path / "repo", name)))
    assert list(checks) == ids
    assert all(told.startswith("passed") for told in checks.values())


def test_checks_really_judge(tmp_path: Path) -> None:
    """A sample that is broken from the start is red, before the work and after it."""
    broken = project(tmp_path / "repo", "awk", **{"totals.awk": "BEGIN { print 7 }\n"})
    checks = checks_in(pull_request_of(tmp_path, broken))
    assert not checks["totals"].startswith("passed")
    assert "before" in checks["totals"]


def test_node_runs_where_it_is_and_is_missed_where_it_is_not(tmp_path: Path) -> None:
    """The same project is green with Node on the machine; without it the check is red from the start, which is said."""
    checks = checks_in(pull_request_of(tmp_path, project(tmp_path / "repo", "node")))
    if shutil.which("node") is not None:
        assert checks["tests"].startswith("passed")
    else:
        assert "before" in checks["tests"]


def test_a_step_before_the_action_brings_a_toolchain(tmp_path: Path) -> None:
    """By act: what an adopter's step puts on PATH is found by the checks of the shipped action."""
    tools = tmp_path / "tools"
    step = (
        "      - name: Set up a toolchain\n"
        f"        run: |\n"
        f"          mkdir -p {tools}\n"
        f"          printf '#!/bin/sh\\ntest -f README.md\\n' > {tools}/lint-it\n"
        f"          chmod +x {tools}/lint-it\n"
        f'          echo {tools} >> "$GITHUB_PATH"\n'
    )
    workflow = tmp_path / "ai-runner.yml"
    workflow.write_text(WORKFLOW.read_text().replace(STEP, step + STEP))
    files = {
        "README.md": b"# Tiny\n",
        ".github/ai-runner.yml": b"checks:\n  commands:\n    - {id: lint, run: lint-it}\n",
    }
    with open_world(
        tmp_path / "world", brain=StoryBrain(), via="act", files=files, workflow=workflow
    ) as world:
        rita = world.people["rita"]
        key = rita.create_ticket("Say what it is", "In one line.", project="SHOP", labels=["ai:direct"])
        rita.assign(key, world.bot)
        world.settle()
        logs = [run.log.read_text() for run in world.actions.runs]
        (pull,) = world.reviewer.pulls()
        assert checks_in(pull["body"])["lint"].startswith("passed"), logs


# --- the pages --------------------------------------------------------------------------------------


def blocks(page: Path) -> list[Any]:
    return [yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_configurations_on_the_pages_are_accepted(page: Path) -> None:
    """What a reader copies into the configuration works."""
    found = [one for one in blocks(page) if "checks" in one]
    assert found
    for one in found:
        assert parse_policy(yaml.safe_dump(one).encode()) != Policy()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_step_before_the_action_holds_a_secret(page: Path) -> None:
    """Toolchains are set up before any key is in scope, and nothing of a checkout keeps a credential."""
    for one in blocks(page):
        steps = one.get("steps") or []
        if not steps:
            continue
        assert "OWNER/ai-runner" in steps[-1]["uses"]
        before = steps[:-1]
        assert "secrets." not in yaml.safe_dump(before)
        for step in before:
            if "actions/checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
                assert "default_branch" in step["with"]["ref"]


def test_the_samples_on_the_pages_are_those_that_are_played() -> None:
    """A page shows a project's configuration byte for byte, and every project is on a page."""
    shown = {
        name: text
        for page in PAGES
        for name, text in re.findall(
            r"<!-- sample: (\w+) -->\n```yaml\n(.*?)```", page.read_text(), re.DOTALL
        )
    }
    assert shown == {
        folder.name: (folder / ".github" / "ai-runner.yml").read_text() for folder in PROJECTS.iterdir()
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_workflows_with_a_recipe_satisfy_zizmor(page: Path, tmp_path: Path) -> None:
    """The shipped workflow with a recipe's steps holds no known weakness."""
    zizmor = Path(sys.executable).with_name("zizmor")
    texts = [
        text
        for text in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        if text.lstrip().startswith("steps:")
    ]
    for number, text in enumerate(texts):
        steps = text.partition("steps:\n")[2].partition(STEP)[0]
        path = tmp_path / ".github" / "workflows" / f"recipe-{number}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(WORKFLOW.read_text().replace(STEP, steps + STEP))
        # `$/` would take an action from the commit of a closed pull request; the page takes the default branch's.
        config = tmp_path / "zizmor.yml"
        config.write_text("rules:\n  self-repository:\n    disable: true\n")
        command = [str(zizmor), "--offline", "--quiet", "--config", str(config), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
