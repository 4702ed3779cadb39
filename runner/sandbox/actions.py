"""The embedded GitHub Actions: events of the embedded GitHub start the workflow that we ship.

The workflow file decides, not this module: its triggers, its concurrency group, its ``if``, its permissions and
what it hands to the action are read from it and evaluated. A run is then executed as a process
(``python -I -m runner run`` with the environment that the action would make) or by act, which executes the
workflow and ``action.yml`` themselves, step by step.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from runner.errors import ConfigError
from runner.sandbox.expressions import evaluate, is_true, render
from runner.sandbox.github.state import GitHubEvent
from runner.settings import INPUTS
from runner.workflow.event import parse_event

Via = Literal["process", "act"]
Status = Literal["queued", "pending", "in_progress", "completed"]
Conclusion = Literal["success", "failure", "cancelled", "skipped", "timed_out"]

DEFAULT_TYPES = {"pull_request": ("opened", "synchronize", "reopened")}
# What the action needs beside its own file; everything else of a checkout stays where it is.
SHIPPED = ("action.yml", "runner", "prompts", "requirements", "scripts", "LICENSE")
# What a machine needs to run programs and reach a package index; nothing in it is a setting of ours.
PASSED_ON = (
    *("HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "PIP_CERT", "PIP_INDEX_URL", "PIP_CONFIG_FILE"),
    *("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_CACHE_DIR", "UV_OFFLINE"),
)
GRACE_SECONDS = 10.0
MASK = b"::add-mask::"
# `scripts/install-locked` lets an isolated Python find this checkout.
RUNNER = (sys.executable, "-I", "-m", "runner")


@dataclass(kw_only=True)
class WorkflowRun:
    """One run of the workflow. ``seconds`` is wall time; ``outputs`` are the action's, as far as they were set.

    ``repeat`` marks the second execution of an event that the engine was asked to repeat.
    """

    id: int
    event: str
    group: str
    title: str
    folder: Path
    payload: Mapping[str, Any] = field(repr=False)
    github_run_id: int | None = None
    key: str | None = None
    repeat: bool = False
    status: Status = "queued"
    conclusion: Conclusion | None = None
    exit_code: int | None = None
    seconds: float = 0.0
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def phase(self) -> str:
        """What the run did, by its own word."""
        return self.outputs.get("phase", "")

    @property
    def outcome(self) -> str:
        """How it ended, by its own word."""
        return self.outputs.get("outcome", "")

    @property
    def event_path(self) -> Path:
        """The event as the run reads it."""
        return self.folder / "event.json"

    @property
    def log(self) -> Path:
        """Everything the run printed."""
        return self.folder / "log.txt"

    @property
    def summary(self) -> Path:
        """The job summary, when the run was a process."""
        return self.folder / "summary.md"


@dataclass
class _Group:
    """A concurrency group: one run works, one waits."""

    running: WorkflowRun
    pending: WorkflowRun | None = None


Observer = Callable[[WorkflowRun], None]


class ActionsEngine:
    """Executes the shipped workflow for events of one repository.

    ``environment`` gives GITHUB_API_URL, GITHUB_SERVER_URL and GITHUB_REPOSITORY; it is called for every run, so
    that it may be set up later. ``variables`` and ``secrets`` are the repository's. ``mint_token`` makes a run's
    token for the permissions of the workflow's job. ``on_event`` returns at once; runs happen on ``workers``
    threads. ``observers`` are told of every change of a run's status, on the thread that caused it, before
    anything that follows from it.
    """

    def __init__(
        self,
        workflow: Path,
        action_dir: Path,
        *,
        environment: Callable[[], Mapping[str, str]],
        secrets: Mapping[str, str],
        mint_token: Callable[[Mapping[str, str]], str],
        work_dir: Path,
        variables: Mapping[str, str] | None = None,
        via: Via = "process",
        workers: int = 1,
        twice: bool = False,
        command: Sequence[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.workflow = Workflow.read(workflow)
        self.action_dir = action_dir
        self.variables = dict(variables or {})
        self.secrets = dict(secrets)
        self.observers: list[Observer] = []
        self.runs: list[WorkflowRun] = []
        self._environment = environment
        self._mint_token = mint_token
        self._twice = twice
        self._clock = clock
        self._work_dir = work_dir
        executors = {"process": _ProcessExecutor, "act": _ActExecutor}
        self._executor: _Executor = executors[via](self.workflow, action_dir, work_dir, command)
        self._groups: dict[str, _Group] = {}
        self._ready: deque[WorkflowRun] = deque()
        self._changed = threading.Condition(threading.RLock())
        self._is_closed = False
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._work, name=f"actions-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def on_event(self, event: GitHubEvent) -> None:
        """Start a run if the workflow listens to this event."""
        if not self.workflow.listens_to(event):
            return
        with self._changed:
            run = self._new_run(event.kind, event.payload, event.run_id)
            group = self._groups.get(run.group)
            if group is None:
                self._groups[run.group] = _Group(run)
                self._ready.append(run)
                self._tell(run)
            else:
                replaced, group.pending = group.pending, run
                run.status = "pending"
                if replaced is not None:
                    self._end(replaced, "cancelled")
                self._tell(run)
            self._changed.notify_all()

    def sweep(self) -> None:
        """Let the workflow's timer fire once."""
        crons = [entry["cron"] for entry in self.workflow.triggers.get("schedule") or ()]
        self.on_event(
            GitHubEvent(kind="schedule", action="", payload={"schedule": crons[0]}, sender="github")
        )

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing runs or waits; False when ``timeout`` seconds were not enough.

        An error of the engine itself is raised here.
        """
        with self._changed:
            is_idle = self._changed.wait_for(lambda: self._errors or not self._groups, timeout)
            if self._errors:
                raise self._errors[0]
            return bool(is_idle)

    def close(self) -> None:
        """Take no more events, end what runs and wait for the threads."""
        with self._changed:
            self._is_closed = True
            self._ready.clear()
            self._changed.notify_all()
        self._executor.stop()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> ActionsEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _new_run(
        self, kind: str, payload: Mapping[str, Any], github_run_id: int | None, *, repeat: bool = False
    ) -> WorkflowRun:
        number = len(self.runs) + 1
        run_id = github_run_id if github_run_id is not None and not repeat else 1_000_000 + number
        contexts = self._contexts(kind, payload, run_id)
        run = WorkflowRun(
            id=run_id,
            event=kind,
            group=self.workflow.group(contexts).lower(),
            title=self.workflow.title(contexts),
            folder=self._work_dir / f"run-{number:03}",
            payload=payload,
            github_run_id=github_run_id,
            key=_key(kind, payload),
            repeat=repeat,
        )
        self.runs.append(run)
        return run

    def _contexts(self, kind: str, payload: Mapping[str, Any], run_id: int) -> dict[str, Any]:
        environment = self._environment()
        github = {
            "event": payload,
            "event_name": kind,
            "repository": environment["GITHUB_REPOSITORY"],
            "run_id": str(run_id),
            "head_ref": "",
            "token": "",
        }
        if kind == "pull_request":
            github["head_ref"] = payload["pull_request"]["head"]["ref"]
        inputs = self.workflow.inputs(payload) if kind == "workflow_dispatch" else {}
        return {"github": github, "inputs": inputs, "vars": self.variables, "secrets": self.secrets}

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._is_closed)
                if self._is_closed:
                    return
                run = self._ready.popleft()
            try:
                self._execute(run)
                if self._twice and run.conclusion not in ("skipped", None):
                    with self._changed:
                        again = self._new_run(run.event, run.payload, run.github_run_id, repeat=True)
                    self._execute(again)
            except BaseException as error:  # whatever it was, the one who waits must hear of it
                with self._changed:
                    self._errors.append(error)
            self._leave_group(run)

    def _execute(self, run: WorkflowRun) -> None:
        run.status = "in_progress"
        self._tell(run)
        contexts = self._contexts(run.event, run.payload, run.id)
        if not self.workflow.is_wanted(contexts):
            self._end(run, "skipped")
            return
        run.folder.mkdir(parents=True)
        run.event_path.write_text(json.dumps(run.payload), encoding="utf-8")
        contexts["github"]["token"] = self._mint_token(self.workflow.permissions)
        begun = self._clock()
        run.exit_code = self._executor.execute(run, contexts, self._environment())
        run.seconds = self._clock() - begun
        codes: dict[int | None, Conclusion] = {0: "success", None: "timed_out"}
        self._end(run, codes.get(run.exit_code, "failure"))

    def _leave_group(self, run: WorkflowRun) -> None:
        with self._changed:
            group = self._groups[run.group]
            if group.pending is None:
                del self._groups[run.group]
            else:
                group.running, group.pending = group.pending, None
                group.running.status = "queued"
                self._ready.append(group.running)
            self._changed.notify_all()

    def _end(self, run: WorkflowRun, conclusion: Conclusion) -> None:
        run.status, run.conclusion = "completed", conclusion
        self._tell(run)

    def _tell(self, run: WorkflowRun) -> None:
        for observer in self.observers:
            observer(run)


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """The shipped workflow file, as far as it decides what is run. It has one job with one step that uses the action."""

    path: Path
    triggers: Mapping[str, Any]
    document: Mapping[str, Any]
    job: Mapping[str, Any]
    step: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Workflow:
        """Read the file. ValueError for a filter that this engine does not apply."""
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        # YAML 1.1 reads the key `on` as true.
        triggers = document[True]
        for name, options in triggers.items():
            unknown = set(options or {}) - {"types", "inputs"} if isinstance(options, Mapping) else set()
            if unknown:
                raise ValueError(
                    f"{path.name}: {name} has filters that are not applied here: {sorted(unknown)}"
                )
        (job,) = document["jobs"].values()
        (step,) = (step for step in job["steps"] if "uses" in step)
        return cls(path=path, triggers=triggers, document=document, job=job, step=step)

    @property
    def permissions(self) -> Mapping[str, str]:
        """What the job's token may do."""
        return dict(self.job.get("permissions", self.document.get("permissions")) or {})

    @property
    def uses(self) -> str:
        """The action, as ``owner/name@ref``."""
        return str(self.step["uses"])

    @property
    def timeout_seconds(self) -> float:
        """When GitHub would end the job."""
        return float(self.job.get("timeout-minutes", 360)) * 60

    def listens_to(self, event: GitHubEvent) -> bool:
        """Whether an event starts this workflow."""
        if event.kind not in self.triggers:
            return False
        if event.kind == "workflow_dispatch":
            return Path(str(event.payload.get("workflow", self.path.name))).name == self.path.name
        options = self.triggers[event.kind]
        types = options.get("types") if isinstance(options, Mapping) else None
        types = types or DEFAULT_TYPES.get(event.kind)
        return types is None or event.action in types

    def inputs(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs of a manual run, with their defaults and types."""
        declared = (self.triggers["workflow_dispatch"] or {}).get("inputs") or {}
        given = payload.get("inputs") or {}
        values = {name: given.get(name, (one or {}).get("default", "")) for name, one in declared.items()}
        booleans = [name for name, one in declared.items() if (one or {}).get("type") == "boolean"]
        return values | {name: str(values[name]).lower() == "true" for name in booleans}

    def group(self, contexts: Mapping[str, Any]) -> str:
        """The concurrency group of a run."""
        return render(self.document["concurrency"]["group"], contexts).strip()

    def title(self, contexts: Mapping[str, Any]) -> str:
        """The run's name in the list of runs."""
        name = self.document.get("run-name") or self.document.get("name") or self.path.name
        return " ".join(render(name, contexts).split())

    def is_wanted(self, contexts: Mapping[str, Any]) -> bool:
        """Whether the job's ``if`` lets it start."""
        return is_true(evaluate(self.job["if"], contexts)) if "if" in self.job else True

    def given(self, contexts: Mapping[str, Any]) -> dict[str, str]:
        """What the step hands to the action."""
        return {name: render(str(value), contexts) for name, value in (self.step.get("with") or {}).items()}


class _Executor(ABC):
    """Executes runs as children of this process; ``stop`` ends those that are still alive."""

    def __init__(
        self, workflow: Workflow, action_dir: Path, work_dir: Path, command: Sequence[str] | None
    ) -> None:
        self._workflow = workflow
        self._action_dir = action_dir
        self._work_dir = work_dir
        self._command = command
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._is_stopped = False

    @abstractmethod
    def execute(self, run: WorkflowRun, contexts: Mapping[str, Any], github: Mapping[str, str]) -> int | None:
        """The exit code; ``None`` when the job's time was over."""

    def stop(self) -> None:
        """End every child that is alive, first politely."""
        with self._lock:
            self._is_stopped = True
            children = list(self._children)
        for child in children:
            _end(child)

    def _run_child(
        self, run: WorkflowRun, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path
    ) -> int | None:
        with run.log.open("wb") as log:
            with self._lock:
                if self._is_stopped:
                    return 130
                child = subprocess.Popen(
                    arguments,
                    env=dict(env),
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._children.add(child)
            try:
                return child.wait(self._workflow.timeout_seconds)
            except subprocess.TimeoutExpired:
                _end(child)
                return None
            finally:
                with self._lock:
                    self._children.discard(child)


class _ProcessExecutor(_Executor):
    """One process per run, with the environment that the action's steps would have between them."""

    def execute(self, run: WorkflowRun, contexts: Mapping[str, Any], github: Mapping[str, str]) -> int | None:
        temporary = run.folder / "temp"
        workspace = run.folder / "workspace"
        for folder in (temporary, workspace):
            folder.mkdir()
        output = run.folder / "output"
        output.touch()
        env = {
            **_machine(),
            **_action_environment(self._action_dir, self._workflow, contexts),
            **_github_environment(run, self._workflow, github),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_PATH": str(run.event_path),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(run.summary),
            "GITHUB_WORKSPACE": str(workspace),
            "RUNNER_TEMP": str(temporary),
        }
        arguments = [
            *(self._command or RUNNER),
            *("run", "--event", str(run.event_path), "--work-dir", str(temporary / "ai-runner-work")),
        ]
        code = self._run_child(run, arguments, env=env, cwd=workspace)
        run.outputs = read_outputs(output.read_text(encoding="utf-8"))
        _mask(run.log)
        return code


class _ActExecutor(_Executor):
    """act on the machine itself (no container), with the shipped workflow and a copy of the shipped action."""

    def __init__(
        self, workflow: Workflow, action_dir: Path, work_dir: Path, command: Sequence[str] | None
    ) -> None:
        super().__init__(workflow, action_dir, work_dir, command)
        self._act = _find_program("act")
        self._shipped = ship(action_dir, work_dir / "action")
        self._repository = work_dir / "repository"
        workflows = self._repository / ".github" / "workflows"
        workflows.mkdir(parents=True)
        self._file = Path(shutil.copy(workflow.path, workflows))
        self._prepare_repository()

    def execute(self, run: WorkflowRun, contexts: Mapping[str, Any], github: Mapping[str, str]) -> int | None:
        secrets = {**contexts["secrets"], "GITHUB_TOKEN": contexts["github"]["token"]}
        environment = _github_environment(run, self._workflow, github)
        empty = run.folder / "empty"
        empty.touch()
        arguments = [
            *(
                str(self._act),
                run.event,
                "--json",
                "--no-cache-server",
                "--platform",
                "ubuntu-latest=-self-hosted",
            ),
            *("--workflows", str(self._file), "--eventpath", str(run.event_path)),
            *("--action-cache-path", str(run.folder / "act")),
            *("--local-repository", f"{self._workflow.uses}={self._shipped}"),
            *("--secret-file", str(_env_file(run.folder / "secrets", secrets))),
            *("--var-file", str(_env_file(run.folder / "variables", contexts["vars"]))),
            *("--env-file", str(_env_file(run.folder / "environment", environment))),
            *("--input-file", str(empty)),
        ]
        code = self._run_child(run, arguments, env=_machine(), cwd=self._repository)
        run.outputs = dict(_act_outputs(run.log.read_text(encoding="utf-8", errors="replace")))
        shutil.rmtree(run.folder / "act", ignore_errors=True)
        for name in ("secrets", "variables", "environment"):
            (run.folder / name).unlink()
        return code

    def _prepare_repository(self) -> None:
        """Act reads branch and commit from a repository; this one holds the workflow and nothing else."""
        identity = ("-c", "user.name=sandbox", "-c", "user.email=sandbox@localhost")
        for arguments in (
            ("init", "--quiet", "--initial-branch=main"),
            ("add", "--all"),
            (*identity, "commit", "--quiet", "--no-verify", "--message=Add the workflow"),
        ):
            subprocess.run(["git", *arguments], cwd=self._repository, env=_git_environment(), check=True)


def ship(action_dir: Path, target: Path) -> Path:
    """Copy what the action consists of, as a checkout at its commit would have it."""
    target.mkdir(parents=True)
    for name in SHIPPED:
        source = action_dir / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy(source, target / name)
    return target


def _mask(log: Path) -> None:
    """Take out of a log what the run asked to mask, as GitHub does: a sandbox may be given a real key."""
    lines = log.read_bytes().splitlines(keepends=True)
    secrets = {line.removeprefix(MASK).rstrip() for line in lines if line.startswith(MASK)} - {b""}
    text = b"".join(line for line in lines if not line.startswith(MASK))
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, b"***")
    log.write_bytes(text)


def read_outputs(text: str) -> dict[str, str]:
    """The values in an output file, which has one form: ``name<<delimiter``."""
    values: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        name, _, delimiter = line.partition("<<")
        if delimiter:
            values[name] = "\n".join(iter(lines.__next__, delimiter))
    return values


def _act_outputs(log: str) -> Iterator[tuple[str, str]]:
    """The outputs that act reported, in order; the action's own come last and win."""
    for line in log.splitlines():
        if not line.startswith("{"):
            continue
        entry = json.loads(line)
        if entry.get("command") == "set-output" and entry.get("arg"):
            yield entry["name"], entry["arg"]


def _action_environment(action_dir: Path, workflow: Workflow, contexts: Mapping[str, Any]) -> dict[str, str]:
    """The inputs as environment variables: what the workflow gives, else the action's defaults."""
    inputs = yaml.safe_load((action_dir / "action.yml").read_text(encoding="utf-8"))["inputs"]
    values = {name: render(str(one.get("default", "")), contexts) for name, one in inputs.items()}
    values |= workflow.given(contexts)
    return {variable: values[name] for variable, name in INPUTS.items()}


def _github_environment(run: WorkflowRun, workflow: Workflow, github: Mapping[str, str]) -> dict[str, str]:
    return {
        **github,
        "GITHUB_EVENT_NAME": run.event,
        "GITHUB_RUN_ID": str(run.id),
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_WORKFLOW": str(workflow.document.get("name", workflow.path.name)),
    }


def _machine() -> dict[str, str]:
    """What every child needs of this machine. Programs of our own environment come first on PATH."""
    here = Path(sys.executable).parent
    path = [str(here), str(here.parent / "tools" / "bin"), os.environ.get("PATH", os.defpath)]
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**passed, "PATH": os.pathsep.join(path)}


def _git_environment() -> dict[str, str]:
    return {**_machine(), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def _find_program(name: str) -> Path:
    found = shutil.which(name, path=_machine()["PATH"])
    if found is None:
        raise ConfigError(
            f"`{name}` is not installed.",
            remedy="Install requirements/dev.txt, which brings it (`make test` does).",
        )
    return Path(found)


def _env_file(path: Path, values: Mapping[str, str]) -> Path:
    """A file of ``NAME="value"`` lines that nobody else may read."""
    for name, value in values.items():
        if any(character in value for character in '\r\n"\\$`'):
            raise ValueError(f"{name} holds a character that act would read in its own way")
    path.touch(mode=0o600)
    path.write_text("".join(f'{name}="{value}"\n' for name, value in values.items()), encoding="utf-8")
    return path


def _key(kind: str, payload: Mapping[str, Any]) -> str | None:
    """The ticket an event names, for the account of what ran; a broken event names none."""
    try:
        return parse_event(json.dumps(payload).encode(), kind).issue_key
    except ConfigError:
        return None


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child and everything it started: each child leads a session of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(GRACE_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return
