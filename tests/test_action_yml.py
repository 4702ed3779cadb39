"""The action: every input arrives where it is meant to, and nothing arrives anywhere else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.composition import TOOLCHAIN
from runner.sandbox.expressions import render
from runner.settings import INPUTS, SECRETS, Settings

ROOT = Path(__file__).resolve().parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
SCRIPTS = [step for step in STEPS if "run" in step]
STAGES = {
    step["id"]: step
    for step in STEPS
    if step.get("id") in ("gather", "fetch", "think", "publish", "conclude")
}

JIRA = {"JIRA_API_TOKEN", "JIRA_BEARER_TOKEN"}
HELD = {
    "gather": JIRA | {"GITHUB_TOKEN"},
    "fetch": {"GITHUB_TOKEN"},
    "think": {"ANTHROPIC_API_KEY", "OPENAI_API_KEY"},
    "publish": JIRA | {"GITHUB_TOKEN"},
    "conclude": JIRA,
}
OUTPUTS = [
    *(
        "outcome",
        "reason",
        "phase",
        "issue-key",
        "branch",
        "pull-request-number",
        "pull-request-url",
        "cost-usd",
    ),
    *("transcript", "next"),
]


def environment(
    step: dict[str, Any], *, inputs: dict[str, str], provider: str = "", work: str = ""
) -> dict[str, str]:
    """What a step's process would see of ours."""
    gather = {"outputs": {"provider": provider, "work": work}, "outcome": "success"}
    steps = {
        "gather": gather,
        "fetch": {"outcome": "skipped"},
        "toolchain": {"outcome": "skipped"},
        "think": {},
        "publish": {"outcome": "failure"},
    }
    contexts = {"inputs": inputs, "steps": steps, "github": {"token": "default-token"}}
    return {name: render(str(value), contexts) for name, value in step.get("env", {}).items()}


def all_inputs() -> dict[str, str]:
    values = {name: f"value-of-{name}" for name in ACTION["inputs"]}
    return values | {
        "dry-run": "true",
        "jira-base-url": "https://jira.example",
        "jira-email": "runner@jira.example",
        "anthropic-base-url": "https://anthropic.example",
        "openai-base-url": "https://openai.example",
        "config": "value/of/config.yml",
    }


def test_the_action_satisfies_githubs_schema() -> None:
    """The file is valid where adopters use it."""
    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.github-actions",
            ROOT / "action.yml",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("step", SCRIPTS, ids=lambda step: step["name"])
def test_nothing_is_pasted_into_a_script(step: dict[str, Any]) -> None:
    """Values travel by environment; a script is the same text in every run."""
    assert "${{" not in step["run"]


@pytest.mark.parametrize("step", SCRIPTS, ids=lambda step: step["name"])
def test_every_script_gives_way_to_its_program(step: dict[str, Any]) -> None:
    """`exec` leaves no shell behind that holds the environment or swallows signals."""
    assert step["run"].startswith("exec ")
    assert len(step["run"].splitlines()) == 1


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_runs_isolated_from_the_checkout(stage: str) -> None:
    """Python starts with -I out of the environment made for it, as the verb of the stage."""
    run = STAGES[stage]["run"]
    environment_of = "ai-runner-$PROVIDER" if stage == "think" else "ai-runner"
    assert run.startswith(f'exec "$RUNNER_TEMP/{environment_of}/bin/python" -I -m runner {stage} ')
    assert run.endswith('--event "$GITHUB_EVENT_PATH" --work-dir "$RUNNER_TEMP/ai-runner-work"')


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["name"])
def test_each_step_holds_its_own_secrets_and_no_others(step: dict[str, Any]) -> None:
    """The table of the stages: only `think` has a model's key, and it has nothing else."""
    held = {name for name in step.get("env", {}) if name in SECRETS}
    assert held == HELD.get(step.get("id", ""), set())
    given = all_inputs()
    values = set(environment(step, inputs=given, provider="anthropic").values())
    secret_inputs = {given[INPUTS[name]] for name in SECRETS}
    allowed = {given[INPUTS[name]] for name in HELD.get(step.get("id", ""), set())}
    assert values & secret_inputs <= allowed


@pytest.mark.parametrize(("provider", "other"), [("anthropic", "openai"), ("openai", "anthropic")])
def test_think_is_given_the_chosen_providers_key_only(provider: str, other: str) -> None:
    """A key that is not needed is not there."""
    env = environment(STAGES["think"], inputs=all_inputs(), provider=provider)
    assert env[f"{provider.upper()}_API_KEY"] == f"value-of-{provider}-api-key"
    assert env[f"{other.upper()}_API_KEY"] == ""


def test_every_variable_has_its_input_and_every_input_its_variable() -> None:
    """Inputs and Settings name the same things; `python` alone ends in the set-up."""
    assert sorted(INPUTS.values()) == sorted(set(ACTION["inputs"]) - {"python"})
    for step in STEPS:
        for variable, value in step.get("env", {}).items():
            if variable in INPUTS:
                assert f"inputs.{INPUTS[variable]}" in value


def test_every_input_arrives_in_the_settings() -> None:
    """Whatever an adopter gives is found again in Settings, by way of the steps that use it."""
    env: dict[str, str] = {}
    for provider in ("anthropic", "openai"):
        for step in STAGES.values():
            arrived = environment(step, inputs=all_inputs(), provider=provider)
            env |= {name: value for name, value in arrived.items() if value}
    settings = Settings.from_environ(env)
    shown = {*settings.secrets, *map(str, settings.model_dump().values())}
    for name, value in all_inputs().items():
        if name not in ("python", "dry-run"):
            assert value in shown, name
    assert settings.dry_run


def test_the_token_of_the_job_is_the_default() -> None:
    """Adopters need no token of their own to begin with."""
    assert render(ACTION["inputs"]["github-token"]["default"], {"github": {"token": "t"}}) == "t"
    assert not any(one.get("required") for one in ACTION["inputs"].values())


def test_defaults_are_valid_settings() -> None:
    """An action without any input is a well-formed, empty environment."""
    defaults = {
        name: render(str(one["default"]), {"github": {"token": "t"}})
        for name, one in ACTION["inputs"].items()
    }
    settings = Settings.from_environ({variable: defaults[name] for variable, name in INPUTS.items()})
    assert settings.secrets == ("t",)
    assert settings.config_path == ".github/ai-runner.yml"


def test_conclude_hears_how_the_other_stages_ended() -> None:
    """Which stage fell is told in GitHub's own words, also when one never ran."""
    env = environment(STAGES["conclude"], inputs={})
    assert Settings.from_environ(env).stages == {
        "gather": "success",
        "fetch": "skipped",
        "toolchain": "skipped",
        "think": "",
        "publish": "failure",
    }


def test_the_repositorys_own_set_up_runs_before_any_key_is_in_scope() -> None:
    """It is the only foreign action, is given nothing, and stands after the fetch and before the model's key."""
    (foreign,) = [step for step in STEPS if "uses" in step]
    assert foreign["uses"] == f"./{TOOLCHAIN}"
    assert foreign.keys() == {"name", "id", "if", "uses"}
    order = [step.get("id") for step in STEPS]
    assert order.index("fetch") < order.index(foreign["id"]) < order.index("think")
    assert "fetch.outputs.toolchain" in foreign["if"]


def test_outputs_come_from_the_last_stage_that_spoke() -> None:
    """Every output of the contract exists and prefers conclude over publish over gather."""
    assert list(ACTION["outputs"]) == OUTPUTS
    for name, output in ACTION["outputs"].items():
        said: dict[str, Any] = {stage: {"outputs": {}} for stage in ("gather", "publish", "conclude")}
        for stage in said:
            said[stage]["outputs"][name] = f"by {stage}"
            assert render(output["value"], {"steps": said}) == f"by {stage}"


def test_inputs_and_outputs_are_described() -> None:
    """Descriptions are sentences a person reads in the marketplace."""
    for one in (*ACTION["inputs"].values(), *ACTION["outputs"].values()):
        assert re.search(r"[.;]$", one["description"])
