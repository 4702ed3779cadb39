"""The engine starts what the shipped workflow says, one run per ticket at a time, as a process or by act."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.errors import ConfigError
from runner.sandbox.actions import RUNNER, ActionsEngine, Workflow, WorkflowRun, read_outputs, ship
from runner.sandbox.github.state import GitHubEvent
from runner.settings import INPUTS, SECRETS

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "docs" / "workflow" / "ai-runner.yml"
ENVIRONMENT = {
    "GITHUB_API_URL": "http://127.0.0.1:9/api/v3",
    "GITHUB_SERVER_URL": "http://127.0.0.1:9",
    "GITHUB_REPOSITORY": "acme/till",
}
VARIABLES = {"JIRA_BASE_URL": "http://127.0.0.1:9", "JIRA_EMAIL": "runner@acme.example"}
KEYS = {
    "JIRA_API_TOKEN": "jira-token-1",
    "ANTHROPIC_API_KEY": "anthropic-key-1",
    "OPENAI_API_KEY": "openai-key-1",
}
IDLE_SECONDS = 60

# Stands for the runner: tells what it was given, and answers as the event's `answers` say for its verb.
STUB = """
    import json, os, sys
    from pathlib import Path

    verb = sys.argv[1]
    event = json.loads(Path(sys.argv[sys.argv.index("--event") + 1]).read_text())
    answer = event.get("answers", {}).get(verb, {"outputs": {"outcome": "done", "phase": "plan"}})
    told = {
        "verb": verb,
        "arguments": sys.argv[1:],
        "isolated": sys.flags.isolated,
        "prefix": sys.prefix,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
    }
    with Path(RECORD).open("a") as record:
        record.write(json.dumps(told) + "\\n")
    with Path(os.environ["GITHUB_OUTPUT"]).open("a") as output:
        for name, value in answer.get("outputs", {}).items():
            output.write(f"{name}<<END-1\\n{value}\\nEND-1\\n")
    print("::notice::" + verb)
    raise SystemExit(answer.get("exit", 0))
"""


def dispatch(key: str, *, run_id: int | None = None, **more: Any) -> GitHubEvent:
    payload = {"action": "ai-runner", "client_payload": {"issue_key": key, "phase": "auto"}, **more}
    return GitHubEvent(
        kind="repository_dispatch", action="ai-runner", payload=payload, sender="jira", run_id=run_id
    )


def pull_request(action: str, head: str, repository: str = "acme/till") -> GitHubEvent:
    side = {"ref": head, "repo": {"full_name": repository}}
    base = {"ref": "main", "repo": {"full_name": "acme/till"}}
    payload = {"action": action, "number": 1, "pull_request": {"head": side, "base": base}}
    return GitHubEvent(kind="pull_request", action=action, payload=payload, sender="ada")


class Stage:
    """A copy of the shipped action whose runner is a stub, and an engine over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "record.jsonl"
        self.action = folder / "checkout"
        self.action.mkdir()
        shutil.copy(ROOT / "action.yml", self.action)
        self._write("runner/__init__.py", "")
        self._write("runner/__main__.py", f"RECORD = {str(self.record)!r}\n{textwrap.dedent(STUB)}")
        self._write("scripts/set-up-action", SET_UP.format(python=sys.executable)).chmod(0o755)
        self.minted: list[Mapping[str, str]] = []
        self.engines: list[ActionsEngine] = []

    def _write(self, name: str, text: str) -> Path:
        path = self.action / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def mint(self, permissions: Mapping[str, str]) -> str:
        self.minted.append(permissions)
        return f"run-token-{len(self.minted)}"

    def engine(self, **options: Any) -> ActionsEngine:
        engine = ActionsEngine(
            options.pop("workflow", WORKFLOW),
            self.action,
            environment=lambda: ENVIRONMENT,
            secrets=KEYS,
            mint_token=self.mint,
            work_dir=self.folder / "work",
            variables={**VARIABLES, **options.pop("variables", {})},
            command=options.pop(
                "command", [sys.executable, "-I", str(self.action / "runner" / "__main__.py")]
            ),
            **options,
        )
        self.engines.append(engine)
        return engine

    def told(self) -> list[dict[str, Any]]:
        """What the stub was given, call by call."""
        lines = self.record.read_text(encoding="utf-8").splitlines() if self.record.exists() else []
        return [json.loads(line) for line in lines]


# An environment without packages: the stub needs none, and tests reach no package index.
SET_UP = """#!/usr/bin/env bash
set -euo pipefail
case $1 in core) environment=$RUNNER_TEMP/ai-runner ;; *) environment=$RUNNER_TEMP/ai-runner-$1 ;; esac
"{python}" -I -m venv --without-pip "$environment"
"$environment/bin/python" -I - "$GITHUB_ACTION_PATH" <<'PYTHON'
import pathlib, sys, sysconfig
pathlib.Path(sysconfig.get_path("purelib"), "ai_runner.pth").write_text(sys.argv[1])
PYTHON
"""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    for engine in stage.engines:
        engine.close()


class Gate:
    """Holds a run where it starts until it is opened, so that a test decides what is running meanwhile."""

    def __init__(self, engine: ActionsEngine) -> None:
        self.opened, self.reached = threading.Event(), threading.Event()
        engine.observers.append(self._hold)

    def _hold(self, run: WorkflowRun) -> None:
        if run.status == "in_progress":
            self.reached.set()
            assert self.opened.wait(IDLE_SECONDS)


def test_a_dispatch_runs_as_a_process_with_what_the_workflow_gives(stage: Stage) -> None:
    """The child sees the inputs, GitHub's variables and a token of its own, and nothing else of ours."""
    engine = stage.engine()
    engine.on_event(dispatch("ABC-1", run_id=501))
    assert engine.wait_idle(IDLE_SECONDS)
    (told,) = stage.told()
    environment = told["environment"]
    assert told["isolated"] == 1
    assert told["verb"] == "run"
    assert environment["JIRA_API_TOKEN"] == "jira-token-1"
    assert environment["GITHUB_TOKEN"] == "run-token-1"
    assert environment["GITHUB_EVENT_NAME"] == "repository_dispatch"
    assert environment["GITHUB_RUN_ID"] == "501"
    assert ENVIRONMENT.items() <= environment.items()
    ours = {name for name in environment if name.startswith(("AI_RUNNER_", "JIRA_", "ANTHROPIC_", "OPENAI_"))}
    assert ours == {name for name in INPUTS if not name.startswith("GITHUB_")}


def test_the_environment_of_the_caller_does_not_leak(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that happens to be set where the sandbox runs stays there."""
    for name in (*SECRETS, "AI_RUNNER_PAUSED", "PYTHONPATH", "SOMETHING_ELSE"):
        monkeypatch.setenv(name, "leaked")
    engine = stage.engine()
    engine.on_event(dispatch("ABC-1"))
    assert engine.wait_idle(IDLE_SECONDS)
    assert "leaked" not in stage.told()[0]["environment"].values()


def test_a_run_is_accounted_for(stage: Stage) -> None:
    """Key, phase, outcome, exit code, conclusion and log are kept for every run."""
    engine = stage.engine()
    engine.on_event(dispatch("ABC-1"))
    engine.on_event(dispatch("ABC-2", answers={"run": {"exit": 3, "outputs": {"outcome": "failed"}}}))
    assert engine.wait_idle(IDLE_SECONDS)
    first, second = engine.runs
    assert (first.key, first.phase, first.outcome) == ("ABC-1", "plan", "done")
    assert (first.exit_code, first.conclusion, first.title) == (0, "success", "ai-runner ABC-1")
    assert (second.key, second.outcome, second.exit_code, second.conclusion) == (
        "ABC-2",
        "failed",
        3,
        "failure",
    )
    assert "::notice::run" in first.log.read_text()


def test_each_run_has_a_token_with_the_jobs_permissions(stage: Stage) -> None:
    """Tokens are minted per run, for what the workflow's job grants."""
    engine = stage.engine()
    for key in ("ABC-1", "ABC-2"):
        engine.on_event(dispatch(key))
    assert engine.wait_idle(IDLE_SECONDS)
    assert stage.minted == [Workflow.read(WORKFLOW).permissions] * 2
    assert [told["environment"]["GITHUB_TOKEN"] for told in stage.told()] == ["run-token-1", "run-token-2"]


def test_a_newer_event_of_a_ticket_replaces_the_one_that_waits(stage: Stage) -> None:
    """Of a group one run works and one waits; the waiting one is cancelled by the next."""
    engine = stage.engine()
    gate = Gate(engine)
    engine.on_event(dispatch("ABC-1"))
    assert gate.reached.wait(IDLE_SECONDS)
    engine.on_event(dispatch("ABC-1"))
    engine.on_event(pull_request("closed", "ai/ABC-1"))
    gate.opened.set()
    assert engine.wait_idle(IDLE_SECONDS)
    assert [run.conclusion for run in engine.runs] == ["success", "cancelled", "success"]
    assert {run.group for run in engine.runs} == {"ai/abc-1"}
    assert len(stage.told()) == 2


def test_tickets_run_side_by_side_and_one_ticket_does_not(stage: Stage) -> None:
    """With several workers other groups go on while one works."""
    engine = stage.engine(workers=2)
    both = threading.Barrier(2)
    groups: list[str] = []

    def meet(run: WorkflowRun) -> None:
        if run.status == "in_progress" and len(groups) < 2:
            groups.append(run.group)
            both.wait(IDLE_SECONDS)

    engine.observers.append(meet)
    for key in ("ABC-1", "ABC-1", "ABC-2"):
        engine.on_event(dispatch(key))
    assert engine.wait_idle(IDLE_SECONDS)
    assert sorted(groups) == ["ai/abc-1", "ai/abc-2"]
    assert [run.conclusion for run in engine.runs] == ["success"] * 3


@pytest.mark.parametrize(
    "event",
    [
        GitHubEvent(kind="push", action="", payload={}, sender="ada"),
        GitHubEvent(kind="repository_dispatch", action="deploy", payload={"action": "deploy"}, sender="ada"),
        GitHubEvent(
            kind="workflow_dispatch",
            action="",
            payload={"inputs": {}, "workflow": ".github/workflows/ci.yml"},
            sender="ada",
        ),
        pull_request("opened", "ai/ABC-1"),
    ],
)
def test_other_events_start_nothing(stage: Stage, event: GitHubEvent) -> None:
    """The workflow's triggers decide."""
    engine = stage.engine()
    engine.on_event(event)
    assert engine.wait_idle(IDLE_SECONDS)
    assert engine.runs == []


@pytest.mark.parametrize(
    ("event", "variables"),
    [
        (pull_request("closed", "feature/x"), {}),
        (pull_request("closed", "ai/ABC-1", "mallory/till"), {}),
        (dispatch("ABC-1"), {"AI_RUNNER_PAUSED": "true"}),
    ],
)
def test_the_jobs_condition_skips(stage: Stage, event: GitHubEvent, variables: dict[str, str]) -> None:
    """A run whose job does not start is skipped and mints no token."""
    engine = stage.engine(variables=variables)
    engine.on_event(event)
    assert engine.wait_idle(IDLE_SECONDS)
    assert [run.conclusion for run in engine.runs] == ["skipped"]
    assert (stage.told(), stage.minted) == ([], [])


def test_the_off_switch_can_be_turned_while_the_engine_runs(stage: Stage) -> None:
    """Variables are read when a run starts."""
    engine = stage.engine(variables={"AI_RUNNER_PAUSED": "true"})
    engine.on_event(dispatch("ABC-1"))
    assert engine.wait_idle(IDLE_SECONDS)
    engine.variables["AI_RUNNER_PAUSED"] = "false"
    engine.sweep()
    assert engine.wait_idle(IDLE_SECONDS)
    assert [run.conclusion for run in engine.runs] == ["skipped", "success"]
    assert stage.told()[0]["environment"]["GITHUB_EVENT_NAME"] == "schedule"


def test_every_run_can_be_repeated_at_once(stage: Stage) -> None:
    """With ``twice`` the same event is executed again before anything else of its ticket."""
    engine = stage.engine(twice=True)
    engine.on_event(dispatch("ABC-1", run_id=501))
    engine.on_event(dispatch("ABC-1", run_id=502))
    assert engine.wait_idle(IDLE_SECONDS)
    assert [(run.repeat, run.conclusion) for run in sorted(engine.runs, key=lambda run: run.repeat)] == [
        (False, "success"),
        (False, "success"),
        (True, "success"),
        (True, "success"),
    ]
    assert len({run.id for run in engine.runs}) == 4


def test_observers_hear_of_every_change(stage: Stage) -> None:
    """A story can be told, and GitHub's own list of runs kept, from the changes of a run's status."""
    engine = stage.engine()
    heard: list[tuple[str, str | None]] = []
    engine.observers.append(lambda run: heard.append((run.status, run.conclusion)))
    engine.on_event(dispatch("ABC-1"))
    assert engine.wait_idle(IDLE_SECONDS)
    assert heard == [("queued", None), ("in_progress", None), ("completed", "success")]


def test_an_error_of_the_engine_reaches_the_one_who_waits(stage: Stage) -> None:
    """A broken callback is not a quiet end."""
    engine = stage.engine()

    def fall(run: WorkflowRun) -> None:
        if run.status == "in_progress":
            raise RuntimeError("broken")

    engine.observers.append(fall)
    engine.on_event(dispatch("ABC-1"))
    with pytest.raises(RuntimeError, match="broken"):
        engine.wait_idle(IDLE_SECONDS)


def test_waiting_has_an_end(stage: Stage) -> None:
    """When the time is over, the caller is told that something still runs."""
    engine = stage.engine()
    gate = Gate(engine)
    engine.on_event(dispatch("ABC-1"))
    assert gate.reached.wait(IDLE_SECONDS)
    assert not engine.wait_idle(0)
    gate.opened.set()
    assert engine.wait_idle(IDLE_SECONDS)


def test_closing_ends_what_runs(stage: Stage) -> None:
    """No child outlives the engine."""
    engine = stage.engine(
        command=[sys.executable, "-I", "-c", "import time; print('up', flush=True); time.sleep(600)"]
    )
    started = threading.Event()
    engine.observers.append(lambda run: started.set() if run.status == "in_progress" else None)
    engine.on_event(dispatch("ABC-1"))
    assert started.wait(IDLE_SECONDS)
    engine.close()
    assert engine.runs[0].exit_code != 0


def test_a_filter_that_is_not_applied_is_refused(stage: Stage, tmp_path: Path) -> None:
    """An engine that ignored a filter would start runs that GitHub does not."""
    text = WORKFLOW.read_text().replace("types: [closed]", "types: [closed]\n    paths: [src/**]")
    changed = tmp_path / "ai-runner.yml"
    changed.write_text(text)
    with pytest.raises(ValueError, match="paths"):
        stage.engine(workflow=changed)


def test_the_runner_is_started_isolated() -> None:
    """Nothing of the folder a run works in is importable."""
    assert list(RUNNER) == [sys.executable, "-I", "-m", "runner"]


def test_an_output_file_reads_back() -> None:
    """Values of several lines, and values that look like another output, are one value."""
    assert read_outputs("a<<E1\nx\nb<<E2\nE1\nc<<E3\n\nE3\n") == {"a": "x\nb<<E2", "c": ""}


# By act


def by_act(stage: Stage, event: GitHubEvent) -> WorkflowRun:
    engine = stage.engine(via="act")
    engine.on_event(event)
    assert engine.wait_idle(IDLE_SECONDS)
    (run,) = engine.runs
    return run


def test_act_executes_the_shipped_workflow_and_action(stage: Stage) -> None:
    """All stages run in order, each isolated, from the environment made for it, and outputs come out."""
    outputs = {"work": "model", "provider": "openai", "phase": "implement", "outcome": "waiting"}
    answers = {
        "gather": {"outputs": outputs},
        "publish": {"outputs": {"outcome": "done", "branch": "ai/ABC-1", "reason": "a\nb"}},
        "fetch": {},
        "think": {},
        "conclude": {},
    }
    run = by_act(stage, dispatch("ABC-1", run_id=501, answers=answers))
    assert run.exit_code == 0, run.log.read_text()
    told = stage.told()
    assert [one["verb"] for one in told] == ["gather", "fetch", "think", "publish", "conclude"]
    assert all(one["isolated"] for one in told)
    assert {Path(one["prefix"]).name for one in told} == {"ai-runner", "ai-runner-openai"}
    assert Path(told[2]["prefix"]).name == "ai-runner-openai"
    assert (run.outcome, run.phase, run.outputs["branch"]) == ("done", "implement", "ai/ABC-1")
    assert run.outputs["reason"] == "a\nb"


def test_act_gives_each_step_its_own_secrets(stage: Stage) -> None:
    """In the real engine, too, a secret is an environment variable of the steps that may have it only."""
    outputs = {"work": "model", "provider": "anthropic"}
    answers = {"gather": {"outputs": outputs}, "fetch": {}, "think": {}, "publish": {}, "conclude": {}}
    run = by_act(stage, dispatch("ABC-1", run_id=501, answers=answers))
    assert run.exit_code == 0, run.log.read_text()
    held = {
        one["verb"]: {name: one["environment"][name] for name in SECRETS if one["environment"].get(name)}
        for one in stage.told()
    }
    jira, github = {"JIRA_API_TOKEN": "jira-token-1"}, {"GITHUB_TOKEN": "run-token-1"}
    assert held == {
        "gather": {**jira, **github},
        "fetch": github,
        "think": {"ANTHROPIC_API_KEY": "anthropic-key-1"},
        "publish": {**jira, **github},
        "conclude": jira,
    }
    for one in stage.told():
        assert ENVIRONMENT.items() <= one["environment"].items()
        assert one["environment"]["GITHUB_RUN_ID"] == "501"


@pytest.mark.parametrize(
    ("answers", "verbs", "code"),
    [
        ({"gather": {"outputs": {"work": "none"}}}, ["gather", "conclude"], 0),
        ({"gather": {"outputs": {"work": "publish"}}}, ["gather", "publish", "conclude"], 0),
        ({"gather": {"exit": 2, "outputs": {"work": "publish"}}}, ["gather", "conclude"], 1),
        (
            {"gather": {"outputs": {"work": "model", "provider": "openai"}}, "fetch": {"exit": 4}},
            ["gather", "fetch", "publish", "conclude"],
            1,
        ),
        (
            {"gather": {"outputs": {"work": "model", "provider": "openai"}}, "think": {"exit": 1}},
            ["gather", "fetch", "think", "publish", "conclude"],
            1,
        ),
    ],
    ids=["nothing", "without a model", "gather fails", "fetch fails", "think fails"],
)
def test_act_runs_only_the_stages_that_are_due(
    stage: Stage, answers: dict[str, Any], verbs: list[str], code: int
) -> None:
    """A stage that has nothing to do does not start; publish tells of a failed fetch or think; conclude always runs."""
    run = by_act(stage, dispatch("ABC-1", answers=answers))
    told = stage.told()
    assert [one["verb"] for one in told] == verbs
    assert run.exit_code == code
    assert (
        f"gather={'failure' if code and len(verbs) == 2 else 'success'}"
        in told[-1]["environment"]["AI_RUNNER_STAGES"]
    )


@pytest.mark.parametrize(
    "event",
    [
        pull_request("closed", "ai/ABC-1"),
        GitHubEvent(
            kind="workflow_dispatch",
            action="",
            payload={"inputs": {"issue_key": "ABC-1"}, "workflow": "ai-runner.yml"},
            sender="ada",
        ),
        GitHubEvent(kind="schedule", action="", payload={"schedule": "23 */2 * * *"}, sender="github"),
    ],
    ids=lambda event: event.kind,
)
def test_act_takes_every_trigger(stage: Stage, event: GitHubEvent) -> None:
    """The condition of the job holds for each kind of event in the real engine as well."""
    run = by_act(stage, event)
    assert run.conclusion == "success"
    assert {one["environment"]["GITHUB_EVENT_NAME"] for one in stage.told()} == {event.kind}


def test_act_leaves_no_secret_on_the_disk(stage: Stage) -> None:
    """Files with secrets are gone when the run has ended, and the log shows stars."""
    run = by_act(stage, dispatch("ABC-1"))
    files = [path for path in run.folder.rglob("*") if path.is_file()]
    assert files
    text = "".join(path.read_text(errors="replace") for path in files)
    assert not any(secret in text for secret in (*KEYS.values(), "run-token-1"))


def test_without_act_the_reader_is_told_what_to_install(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way by act is an extra; its absence is a clear configuration error."""
    monkeypatch.setattr("runner.sandbox.actions.shutil.which", lambda *_, **__: None)
    with pytest.raises(ConfigError, match="`act` is not installed"):
        stage.engine(via="act")


def test_what_is_shipped_is_what_the_action_uses(tmp_path: Path) -> None:
    """The copy holds every file that a checkout of the action needs, and no cache."""
    shipped = ship(ROOT, tmp_path / "action")
    tracked = subprocess.run(
        ["git", "ls-files", "scripts", "requirements"], cwd=ROOT, capture_output=True, text=True
    )
    assert {str(path.relative_to(shipped)) for path in shipped.rglob("*")} >= set(tracked.stdout.split())
    assert not list(shipped.rglob("__pycache__"))
