"""The workflow that adopters copy, the project's own, and the locks they install from."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.core.phases import branch_of
from runner.sandbox.actions import Workflow
from runner.workflow.event import EVENT_NAMES, EXPECTED, PAYLOAD_KEYS

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "docs" / "workflow" / "ai-runner.yml"
WORKFLOWS = [SHIPPED, *sorted((ROOT / ".github" / "workflows").glob("*.yml"))]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"^(\$/|\./)|@[0-9a-f]{40} # ")


def contexts(
    kind: str, *, payload: Any = None, head: str = "", repo: str = "acme/shop", **inputs: Any
) -> Any:
    event: dict[str, Any] = {"client_payload": payload} if kind == "repository_dispatch" else {}
    if kind == "pull_request":
        event = {"pull_request": {"head": {"ref": head, "repo": {"full_name": repo}}}}
    github = {"event": event, "event_name": kind, "repository": "acme/shop", "head_ref": head, "run_id": "77"}
    return {"github": github, "inputs": inputs, "vars": {}, "secrets": {}}


@pytest.fixture(scope="module")
def shipped() -> Workflow:
    return Workflow.read(SHIPPED)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=False)


def test_workflows_satisfy_githubs_schema() -> None:
    """Every workflow file is valid."""
    checked = run(
        sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_zizmor_finds_nothing() -> None:
    """The action and the workflows hold no known weakness."""
    zizmor = Path(sys.executable).with_name("zizmor")
    checked = run(zizmor, "--offline", "--quiet", ROOT / "action.yml", ROOT / ".github", SHIPPED)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_grant_nothing_by_default(path: Path) -> None:
    """Permissions are none on top and named per job; every job ends by itself."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert document["permissions"] == {}
    for job in document["jobs"].values():
        assert "permissions" in job
        assert job["timeout-minutes"] <= 90


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_a_commit(path: Path) -> None:
    """Each foreign action is named by a full commit, with its version beside it."""
    used = re.findall(r"^[ -]*uses: (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    assert all(PIN.search(one) for one in used), used


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_checkouts_keep_no_credential(path: Path) -> None:
    """No token stays behind in a checkout."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    steps = [step for job in document["jobs"].values() for step in job["steps"]]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_nothing_is_pasted_into_a_script(path: Path) -> None:
    """Values reach scripts by environment only."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    scripts = [step["run"] for job in document["jobs"].values() for step in job["steps"] if "run" in step]
    assert not any("${{" in script for script in scripts)


def test_the_shipped_workflow_listens_to_what_the_runner_reads(shipped: Workflow) -> None:
    """Its triggers are the events that are parsed, its inputs the payload's names, its phases ours."""
    assert set(shipped.triggers) == set(EVENT_NAMES)
    assert shipped.triggers["repository_dispatch"]["types"] == ["ai-runner"]
    assert shipped.triggers["pull_request"]["types"] == ["closed"]
    inputs = shipped.triggers["workflow_dispatch"]["inputs"]
    assert set(inputs) == set(PAYLOAD_KEYS)
    assert tuple(inputs["phase"]["options"]) == EXPECTED


def test_the_shipped_workflow_has_the_least_permissions(shipped: Workflow) -> None:
    """What publish needs to write, what gather needs to read, and no more."""
    assert shipped.permissions == {
        "contents": "write",
        "pull-requests": "write",
        "actions": "read",
        "checks": "read",
        "statuses": "read",
    }


@pytest.mark.parametrize(
    "context",
    [
        contexts("repository_dispatch", payload={"issue_key": "ABC-12"}),
        contexts("workflow_dispatch", issue_key="ABC-12"),
        contexts("pull_request", head="ai/ABC-12"),
    ],
)
def test_a_tickets_events_share_one_group(shipped: Workflow, context: Any) -> None:
    """Whatever names the ticket, its runs wait for each other."""
    assert shipped.group(context) == branch_of("ABC-12")


def test_sweeps_share_one_group(shipped: Workflow) -> None:
    """Two sweeps at once would dispatch everything twice."""
    assert shipped.group(contexts("schedule")) == "ai/sweep"
    assert shipped.group(contexts("repository_dispatch", payload={"phase": "sweep"})) == "ai/sweep"


def test_a_forks_branch_cannot_take_a_tickets_place(shipped: Workflow) -> None:
    """A stranger's pull request neither runs nor replaces a run that waits."""
    context = contexts("pull_request", head="ai/ABC-12", repo="mallory/shop")
    assert shipped.group(context) == "77"
    assert not shipped.is_wanted(context)


def test_other_branches_start_no_job(shipped: Workflow) -> None:
    """A person's pull request is none of the runner's business."""
    assert not shipped.is_wanted(contexts("pull_request", head="feature/x"))
    assert shipped.is_wanted(contexts("pull_request", head="ai/ABC-12"))


@pytest.mark.parametrize(("value", "wanted"), [("true", False), ("TRUE", False), ("false", True), ("", True)])
def test_the_off_switch_stops_every_job(shipped: Workflow, value: str, wanted: bool) -> None:
    """With AI_RUNNER_PAUSED no job starts."""
    context = contexts("repository_dispatch", payload={"issue_key": "ABC-12"})
    assert shipped.is_wanted({**context, "vars": {"AI_RUNNER_PAUSED": value}}) is wanted


def test_no_run_is_cancelled_in_progress(shipped: Workflow) -> None:
    """Work that has begun is finished."""
    assert shipped.document["concurrency"]["cancel-in-progress"] is False


def test_the_run_is_named_for_its_ticket_and_event(shipped: Workflow) -> None:
    """Jira's side finds its run again by the id it sent."""
    payload = {"issue_key": "ABC-12", "event_id": "10001-20261122"}
    assert (
        shipped.title(contexts("repository_dispatch", payload=payload)) == "ai-runner ABC-12 10001-20261122"
    )
    assert shipped.title(contexts("schedule")) == "ai-runner sweep"


def test_the_step_gives_only_inputs_that_the_action_has(shipped: Workflow) -> None:
    """A misspelt input would be ignored with a warning that nobody reads."""
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    assert set(shipped.step["with"]) <= set(action["inputs"])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_locks_hold_hashes_and_no_address(lock: Path) -> None:
    """Every package is bound to its files; where they come from is the machine's own business."""
    text = lock.read_text(encoding="utf-8")
    packages = re.findall(r"^[a-z0-9-]+==", text, re.MULTILINE)
    assert packages
    assert len(packages) <= text.count("--hash=sha256:")
    assert not re.search(r"://|--(?:extra-)?index-url|--find-links|@ file", text)


def test_locks_agree_on_versions() -> None:
    """A package has one version, whichever environment it is in."""
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in re.findall(
            r"^([a-z0-9-]+)==([^ ;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE
        ):
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_the_core_lock_holds_no_models_sdk() -> None:
    """What writes to Jira and GitHub carries no SDK, and each provider's lock carries its own."""
    names = {lock.stem: set(re.findall(r"^([a-z0-9-]+)==", lock.read_text(), re.MULTILINE)) for lock in LOCKS}
    sdks = {"anthropic", "openai"}
    assert names["core"] & sdks == set()
    assert names["anthropic"] & sdks == {"anthropic"}
    assert names["openai"] & sdks == {"openai"}
    assert names["core"] < names["anthropic"] & names["openai"]
    assert names["sandbox"] < names["dev"]
