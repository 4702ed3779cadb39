"""The command line: what starts, what it imports, what each stage may see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from runner import __version__
from runner.cli.children import STAGE_VARIABLES, STAGES

ROOT = Path(__file__).resolve().parents[1]
SDKS = ("anthropic", "openai")


def run(
    *arguments: str, code: str = "", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "runner", *arguments]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": os.environ.get("HOME", "/"),
        **(env or {}),
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)


def imported_by(statement: str) -> set[str]:
    """Top-level packages in memory after a statement."""
    code = f"import sys, json\n{statement}\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = run(code=code)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_version_imports_nothing_heavy():
    """`--version` answers without an SDK, an HTTP client or the sandbox in memory."""
    done = run("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"ai-runner {__version__}")
    heavy = {*SDKS, "requests", "httpx2", "werkzeug", "pydantic"}
    assert imported_by("import runner.cli") & heavy == set()


def test_gather_and_publish_import_no_sdk():
    """The stages that hold tokens never load a model's SDK."""
    statement = (
        "import runner.composition, runner.workflow.stages, runner.workflow.conclude\n"
        "import runner.adapters.jira, runner.adapters.github, runner.adapters.git_publish, runner.adapters.console"
    )
    assert imported_by(statement) & {*SDKS, "httpx2", "werkzeug"} == set()


@pytest.mark.parametrize("chosen", SDKS)
def test_think_imports_only_the_chosen_sdk(chosen):
    """`think` loads the provider that the configuration names and not the other one."""
    statement = (
        "import runner.workflow.thinking\n"
        "from runner.adapters.llm_common import create_model\n"
        "from runner.core.work import ModelChoice\n"
        f"model = create_model(ModelChoice(provider={chosen!r}, model='x'), api_key='k', base_url='http://127.0.0.1:9/v1')\n"
        "model.client()"
    )
    other = next(sdk for sdk in SDKS if sdk != chosen)
    found = imported_by(statement)
    assert chosen in found
    assert other not in found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_sees_the_secrets_that_its_step_of_the_action_has(stage):
    """`run` gives each child the same secrets that action.yml gives the step, and no others."""
    secrets = {"JIRA_API_TOKEN", "JIRA_BEARER_TOKEN", "GITHUB_TOKEN", "ANTHROPIC_API_KEY", "OPENAI_API_KEY"}
    steps = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    step = next(one for one in steps if one.get("id") == stage)
    assert secrets & set(step["env"]) == secrets & set(STAGE_VARIABLES[stage])


def test_no_ticket_at_all_is_a_configuration_error():
    """Without an event or a key the command says what to give."""
    done = run("gather")
    assert done.returncode == 2
    assert "--issue KEY" in done.stderr


@pytest.mark.parametrize("verb", ["run", "gather", "sweep"])
def test_the_off_switch_starts_nothing(verb, tmp_path):
    """With AI_RUNNER_PAUSED nothing is read, so not even credentials are asked for."""
    named = ("--issue", "ABC-1") if verb != "sweep" else ()
    done = run(verb, *named, "--work-dir", str(tmp_path), env={"AI_RUNNER_PAUSED": "true"})
    assert done.returncode == 0
    assert "AI_RUNNER_PAUSED is true, so nothing is started" in done.stderr


def test_an_end_without_a_ticket_is_worded_without_one(tmp_path):
    """An event of somebody else's pull request names no key."""
    event = tmp_path / "event.json"
    event.write_text('{"action": "opened"}', encoding="utf-8")
    done = run(
        "gather",
        "--event",
        str(event),
        "--work-dir",
        str(tmp_path),
        env={"GITHUB_EVENT_NAME": "pull_request"},
    )
    assert "nothing: Of a pull request's events" in done.stderr


def test_an_unreadable_environment_is_named(tmp_path):
    """A malformed address ends with the variable's name before anything is read."""
    done = run(
        "gather", "--issue", "ABC-1", "--work-dir", str(tmp_path), env={"JIRA_BASE_URL": "acme.atlassian.net"}
    )
    assert done.returncode == 2
    assert "JIRA_BASE_URL" in done.stderr
