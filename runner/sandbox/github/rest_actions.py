"""REST: dispatches, workflows and their runs, checks and commit statuses."""

from __future__ import annotations

import json
from typing import Any

import yaml
from werkzeug.wrappers import Response

from runner.sandbox.github import views, views_git, views_runs
from runner.sandbox.github.errors import ApiError, not_found
from runner.sandbox.github.hub import WORKFLOWS, Need
from runner.sandbox.github.routing import PAGING, Answer, Call, Query, route
from runner.sandbox.github.shapes import BOOLEAN, STRING, body, choice
from runner.sandbox.github.state import CheckRun, CommitStatus, WorkflowRun
from runner.sandbox.server import json_response

ACTIONS_READ: Need = ("actions", "read")
ACTIONS_WRITE: Need = ("actions", "write")
PAYLOAD_LIMIT = 65_536

# Dispatches

_DISPATCH = body(
    ("event_type",),
    event_type={"type": "string", "minLength": 1, "maxLength": 100},
    client_payload={"type": "object", "maxProperties": 10},
)


@route("POST {repo}/dispatches", ("contents", "write"), body=_DISPATCH, status=204)
def repository_dispatch(call: Call) -> Answer:
    """Fire ``repository_dispatch``; 204 whether or not a workflow listens."""
    if len(json.dumps(call.body).encode()) >= PAYLOAD_LIMIT:
        raise ApiError(422, "client_payload is too large.")
    payload = {
        "action": call.body["event_type"],
        "branch": call.hub.default_branch,
        "client_payload": call.body.get("client_payload"),
    }
    call.hub.emit("repository_dispatch", call.body["event_type"], payload, call.caller)
    return None


_WORKFLOW_DISPATCH = body(
    ("ref",), ref=STRING, inputs={"type": "object", "maxProperties": 25}, return_run_details=BOOLEAN
)


@route("POST {repo}/actions/workflows/{workflow_id}/dispatches", ACTIONS_WRITE, body=_WORKFLOW_DISPATCH)
def workflow_dispatch(call: Call) -> Answer:
    """Start a workflow by hand; newer API versions tell the run."""
    path = _workflow_path(call)
    ref = call.body["ref"].removeprefix("refs/heads/")
    sha = call.hub.git.branch(ref)
    if sha is None:
        raise ApiError(422, f"No ref found for: {call.body['ref']}")
    inputs = _checked_inputs(call, path, sha)
    payload = {"inputs": inputs, "ref": f"refs/heads/{ref}", "workflow": path}
    call.hub.emit("workflow_dispatch", "", payload, call.caller)
    if call.version < "2026-03-10" and not call.body.get("return_run_details"):
        return Response(status=204)
    run_id = call.hub.pending[-1].run_id
    return {
        "workflow_run_id": run_id,
        "run_url": views.api(call.hub, f"/actions/runs/{run_id}"),
        "html_url": views.html(call.hub, f"/actions/runs/{run_id}"),
    }


def _checked_inputs(call: Call, path: str, sha: str) -> dict[str, str]:
    entry = call.hub.git.entry(sha, path)
    document = yaml.safe_load(call.hub.git.blob(entry.sha)) if entry else None
    # YAML 1.1 reads the key `on` as true.
    triggers = (document or {}).get("on", (document or {}).get(True))
    names = triggers if isinstance(triggers, list | dict) else [triggers]
    if "workflow_dispatch" not in names:
        raise ApiError(422, "Workflow does not have 'workflow_dispatch' trigger")
    trigger = triggers["workflow_dispatch"] if isinstance(triggers, dict) else None
    declared = (trigger or {}).get("inputs") or {}
    given = call.body.get("inputs", {})
    if unexpected := [name for name in given if name not in declared]:
        raise ApiError(422, f"Unexpected inputs provided: {json.dumps(unexpected)}")
    for name, one in declared.items():
        if (one or {}).get("required") and "default" not in one and not given.get(name):
            raise ApiError(422, f"Required input '{name}' not provided")
    defaults = {name: one["default"] for name, one in declared.items() if "default" in (one or {})}
    return {**defaults, **given}


# Workflows and runs


@route("GET {repo}/actions/permissions/workflow", ("administration", "read"))
def get_workflow_permissions(call: Call) -> Answer:
    """What GITHUB_TOKEN may do by default, and whether it may open pull requests."""
    return {
        "default_workflow_permissions": "read",
        "can_approve_pull_request_reviews": call.hub.allow_actions_pull_requests,
    }


def _workflow_paths(call: Call) -> list[str]:
    head = call.hub.git.branch(call.hub.default_branch)
    listing = call.hub.git.git("ls-tree", "-r", "--name-only", f"{head}", "--", WORKFLOWS) if head else ""
    return [path for path in listing.splitlines() if path.endswith((".yml", ".yaml"))]


def _workflow_path(call: Call) -> str:
    wanted = call.parameters["workflow_id"]
    for path in _workflow_paths(call):
        if wanted in (path.removeprefix(WORKFLOWS), str(views_runs.workflow_id(path))):
            return path
    raise not_found()


@route("GET {repo}/actions/workflows", ACTIONS_READ, query=PAGING)
def list_workflows(call: Call) -> Answer:
    """Workflow files of the default branch."""
    return call.page(
        _workflow_paths(call), lambda path: views_runs.workflow(call.hub, path), member="workflows"
    )


@route("GET {repo}/actions/workflows/{workflow_id}", ACTIONS_READ)
def get_workflow(call: Call) -> Answer:
    """One workflow, by id or file name."""
    return views_runs.workflow(call.hub, _workflow_path(call))


_RUN_STATES = (
    "completed",
    "action_required",
    "cancelled",
    "failure",
    "neutral",
    "skipped",
    "stale",
    "success",
    "timed_out",
    "in_progress",
    "queued",
    "requested",
    "waiting",
    "pending",
)
_RUNS: Query = {
    **PAGING,
    "actor": str,
    "branch": str,
    "event": str,
    "status": _RUN_STATES,
    "created": str,
    "exclude_pull_requests": bool,
    "check_suite_id": int,
    "head_sha": str,
}


@route("GET {repo}/actions/runs", ACTIONS_READ, query=_RUNS)
def list_runs(call: Call) -> Answer:
    """Runs, newest first."""
    return _runs(call, list(call.hub.runs.values()))


@route("GET {repo}/actions/workflows/{workflow_id}/runs", ACTIONS_READ, query=_RUNS)
def list_runs_of_workflow(call: Call) -> Answer:
    """Runs of one workflow, newest first."""
    path = _workflow_path(call)
    return _runs(call, [run for run in call.hub.runs.values() if run.path == path])


def _runs(call: Call, runs: list[WorkflowRun]) -> Response:
    def matches(run: WorkflowRun) -> bool:
        return (
            call.query("actor", run.actor.login) == run.actor.login
            and call.query("branch", run.head_branch) == run.head_branch
            and call.query("event", run.event) == run.event
            and call.query("head_sha", run.head_sha) == run.head_sha
            and call.query("status", run.status) in (run.status, run.conclusion)
        )

    found = [run for run in reversed(runs) if matches(run)]
    return call.page(found, lambda run: views_runs.workflow_run(call.hub, run), member="workflow_runs")


@route("GET {repo}/actions/runs/{run_id}", ACTIONS_READ, query={"exclude_pull_requests": bool})
def get_run(call: Call) -> Answer:
    """One run."""
    return views_runs.workflow_run(call.hub, _run(call))


@route("GET {repo}/actions/runs/{run_id}/jobs", ACTIONS_READ, query={**PAGING, "filter": ("latest", "all")})
def list_jobs(call: Call) -> Answer:
    """Jobs are not modelled: every run has none."""
    _run(call)
    return call.page([], lambda one: one, member="jobs")


@route("POST {repo}/actions/runs/{run_id}/cancel", ACTIONS_WRITE, status=202)
def cancel_run(call: Call) -> Answer:
    """Cancel a run that has not ended."""
    run = _run(call)
    if run.status == "completed":
        raise ApiError(409, "Cannot cancel a workflow run that is completed.")
    run.status, run.conclusion, run.updated_at = "completed", "cancelled", call.hub.now()
    return {}


@route(
    "POST {repo}/actions/runs/{run_id}/rerun",
    ACTIONS_WRITE,
    body=body(enable_debug_logging=BOOLEAN),
    status=201,
)
def rerun(call: Call) -> Answer:
    """Queue a run again."""
    run = _run(call)
    if run.status != "completed":
        raise ApiError(403, "This workflow is already running")
    run.status, run.conclusion, run.updated_at = "queued", None, call.hub.now()
    run.attempt += 1
    return {}


def _run(call: Call) -> WorkflowRun:
    run = call.hub.runs.get(call.number("run_id"))
    if run is None:
        raise not_found()
    return run


# Checks

_CONCLUSIONS = (
    "action_required",
    "cancelled",
    "failure",
    "neutral",
    "success",
    "skipped",
    "stale",
    "timed_out",
)
_OUTPUT = {
    "type": "object",
    "required": ("title", "summary"),
    "properties": {
        "title": STRING,
        "summary": {"type": "string", "maxLength": 65_535},
        "text": {"type": "string", "maxLength": 65_535},
        "annotations": {"type": "array", "maxItems": 50, "items": {"type": "object"}},
        "images": {"type": "array", "items": {"type": "object"}},
    },
}
_CHECK = {
    "details_url": STRING,
    "external_id": STRING,
    "started_at": STRING,
    "conclusion": choice(*_CONCLUSIONS),
    "completed_at": STRING,
    "output": _OUTPUT,
    "actions": {"type": "array", "maxItems": 3, "items": {"type": "object"}},
}
_NEW_CHECK = body(
    ("name", "head_sha"),
    name=STRING,
    head_sha=STRING,
    status=choice("queued", "in_progress", "completed"),
    **_CHECK,
)
_CHANGED_CHECK = body(
    name=STRING,
    status=choice("queued", "in_progress", "completed", "waiting", "requested", "pending"),
    **_CHECK,
)


@route("POST {repo}/check-runs", ("checks", "write"), body=_NEW_CHECK, status=201)
def create_check(call: Call) -> Answer:
    """Report a check; apps only."""
    if not call.caller.is_app:
        raise ApiError(403, "You must authenticate via a GitHub App.")
    if call.hub.git.type_of(call.body["head_sha"]) != "commit":
        raise ApiError(422, "No commit found for SHA: " + call.body["head_sha"])
    if call.body.get("status") == "completed" and "conclusion" not in call.body:
        raise ApiError(422, 'Invalid request.\n\nMissing required keys: ["conclusion"].')
    check = CheckRun(
        id=call.hub.new_id(),
        name=call.body["name"],
        head_sha=call.body["head_sha"],
        status="queued",
        conclusion=None,
        started_at=call.body.get("started_at") or call.hub.now(),
        completed_at=None,
        app=call.actor,
    )
    call.hub.checks.append(check)
    _change_check(call, check)
    return views_runs.check_run(call.hub, check)


@route("GET {repo}/check-runs/{check_run_id}", ("checks", "read"))
def get_check(call: Call) -> Answer:
    """One check run."""
    return views_runs.check_run(call.hub, _check(call))


@route("PATCH {repo}/check-runs/{check_run_id}", ("checks", "write"), body=_CHANGED_CHECK)
def update_check(call: Call) -> Answer:
    """Change a check run of the same app."""
    check = _check(call)
    if check.app.login != call.actor.login:
        raise ApiError(
            403, "Invalid app_id `1` - check run can only be modified by the GitHub App that created it."
        )
    _change_check(call, check)
    return views_runs.check_run(call.hub, check)


def _check(call: Call) -> CheckRun:
    wanted = call.number("check_run_id")
    found = next((one for one in call.hub.checks if one.id == wanted), None)
    if found is None:
        raise not_found()
    return found


def _change_check(call: Call, check: CheckRun) -> None:
    given = call.body
    check.name = given.get("name", check.name)
    check.details_url = given.get("details_url", check.details_url)
    check.external_id = given.get("external_id", check.external_id)
    check.output = {**check.output, **given.get("output", {})}
    check.status = "completed" if "conclusion" in given else given.get("status", check.status)
    # A stale conclusion may be reported, but check runs are never shown with it.
    check.conclusion = (
        "neutral" if given.get("conclusion") == "stale" else given.get("conclusion", check.conclusion)
    )
    if check.status == "completed":
        check.completed_at = given.get("completed_at") or check.completed_at or call.hub.now()
        call.hub.emit(
            "check_run",
            "completed",
            {"action": "completed", "check_run": views_runs.check_run(call.hub, check)},
            call.caller,
        )


@route("GET {repo}/check-runs/{check_run_id}/annotations", ("checks", "read"), query=PAGING)
def list_annotations(call: Call) -> Answer:
    """A check run's annotations."""
    empty = dict.fromkeys(
        ("start_column", "end_column", "annotation_level", "title", "message", "raw_details")
    )
    annotations = _check(call).output.get("annotations", [])
    return call.page(annotations, lambda one: {**empty, "blob_href": call.hub.url, **one})


_CHECKS: Query = {
    **PAGING,
    "check_name": str,
    "status": ("queued", "in_progress", "completed"),
    "filter": ("latest", "all"),
    "app_id": int,
}


@route("GET {repo}/commits/{ref}/check-runs", ("checks", "read"), query=_CHECKS)
def list_checks(call: Call) -> Answer:
    """Check runs of a commit; the newest of each name and app unless all are asked for."""
    sha = _commit_of(call, call.parameters["ref"])
    found = [
        check
        for check in call.hub.checks
        if check.head_sha == sha
        and call.query("check_name", check.name) == check.name
        and call.query("status", check.status) == check.status
        and call.query("app_id", str(check.app.id)) == str(check.app.id)
    ]
    if call.query("filter", "latest") == "latest":
        found = list({(check.app.login, check.name): check for check in found}.values())
    return call.page(found, lambda check: views_runs.check_run(call.hub, check), member="check_runs")


@route(
    "GET {repo}/commits/{ref}/check-suites",
    ("checks", "read"),
    query={**PAGING, "app_id": int, "check_name": str},
)
def list_suites(call: Call) -> Answer:
    """One suite per app that reported on a commit."""
    sha = _commit_of(call, call.parameters["ref"])
    suites: dict[int, list[CheckRun]] = {}
    for check in call.hub.checks:
        if check.head_sha == sha:
            suites.setdefault(views_runs.suite_id(check), []).append(check)
    return call.page(list(suites.values()), lambda checks: _suite(call, checks), member="check_suites")


def _suite(call: Call, checks: list[CheckRun]) -> dict[str, Any]:
    first, identity = checks[0], views_runs.suite_id(checks[0])
    is_done = all(check.status == "completed" for check in checks)
    is_good = all(check.conclusion in ("success", "neutral", "skipped") for check in checks)
    return {
        "id": identity,
        "node_id": views.node_id("CS", identity),
        "head_branch": None,
        "head_sha": first.head_sha,
        "status": "completed" if is_done else "in_progress",
        "conclusion": ("success" if is_good else "failure") if is_done else None,
        "url": views.api(call.hub, f"/check-suites/{identity}"),
        "before": None,
        "after": first.head_sha,
        "pull_requests": [],
        "app": views_runs.app(call.hub, first.app),
        "repository": views.minimal_repository(call.hub),
        "created_at": first.started_at,
        "updated_at": first.completed_at or first.started_at,
        "head_commit": views_git.simple_commit(call.hub.git.commit(first.head_sha)),
        "latest_check_runs_count": len(checks),
        "check_runs_url": views.api(call.hub, f"/check-suites/{identity}/check-runs"),
    }


# Statuses

_STATUS = body(
    ("state",),
    state=choice("error", "failure", "pending", "success"),
    target_url={"type": "string", "nullable": True},
    description={"type": "string", "nullable": True, "maxLength": 140},
    context=STRING,
)


@route("POST {repo}/statuses/{sha}", ("statuses", "write"), body=_STATUS, status=201)
def create_status(call: Call) -> Answer:
    """Report a commit status."""
    sha = call.parameters["sha"]
    if call.hub.git.type_of(sha) != "commit":
        raise ApiError(422, f"No commit found for SHA: {sha}")
    status = CommitStatus(
        id=call.hub.new_id(),
        sha=sha,
        state=call.body["state"],
        context=call.body.get("context", "default"),
        description=call.body.get("description"),
        target_url=call.body.get("target_url"),
        creator=call.actor,
        created_at=call.hub.now(),
    )
    call.hub.statuses.append(status)
    shown = views_runs.status(call.hub, status)
    call.hub.emit("status", "", {**shown, "sha": sha, "name": call.hub.full_name}, call.caller)
    return shown


@route("GET {repo}/commits/{ref}/statuses", ("statuses", "read"), query=PAGING)
def list_statuses(call: Call) -> Answer:
    """All statuses of a commit, newest first."""
    sha = _commit_of(call, call.parameters["ref"])
    found = [status for status in reversed(call.hub.statuses) if status.sha == sha]
    return call.page(found, lambda status: views_runs.status(call.hub, status))


@route("GET {repo}/commits/{ref}/status", ("statuses", "read"), query=PAGING)
def get_combined_status(call: Call) -> Answer:
    """The newest status of each context, and what they come to."""
    sha = _commit_of(call, call.parameters["ref"])
    newest = {status.context: status for status in call.hub.statuses if status.sha == sha}
    states = {status.state for status in newest.values()}
    is_red = bool(states & {"error", "failure"})
    state = "failure" if is_red else "success" if states == {"success"} else "pending"
    paged = call.page(list(newest.values()), lambda status: views_runs.simple_status(call.hub, status))
    shown = {
        "state": state,
        "statuses": paged.get_json(),
        "sha": sha,
        "total_count": len(newest),
        "repository": views.minimal_repository(call.hub),
        "commit_url": views.api(call.hub, f"/commits/{sha}"),
        "url": views.api(call.hub, f"/commits/{sha}/status"),
    }
    return json_response(shown, headers={"Link": paged.headers["Link"]} if "Link" in paged.headers else {})


def _commit_of(call: Call, ref: str) -> str:
    sha = call.hub.git.resolve(ref.removeprefix("heads/"))
    if sha is None:
        raise ApiError(422, f"No commit found for SHA: {ref}")
    return sha
