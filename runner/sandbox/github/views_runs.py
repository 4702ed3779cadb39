"""The JSON that GitHub shows of checks, commit statuses and workflow runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.sandbox.github import views, views_git, views_pulls
from runner.sandbox.github.repository import ZERO
from runner.sandbox.github.state import (
    CheckRun,
    CommitStatus,
    User,
    WorkflowRun,
)

if TYPE_CHECKING:
    from runner.sandbox.github.hub import Hub

Json = dict[str, Any]


def app(hub: Hub, one: User) -> Json:
    """The GitHub App behind a bot."""
    slug = one.login.removesuffix("[bot]")
    return {
        "id": one.id,
        "slug": slug,
        "node_id": views.node_id("A", one.id),
        "owner": views.user(hub, hub.owner),
        "name": slug,
        "description": None,
        "external_url": hub.url,
        "html_url": f"{hub.url}/apps/{slug}",
        "created_at": hub.created_at,
        "updated_at": hub.created_at,
        "permissions": {"metadata": "read", "checks": "write"},
        "events": [],
    }


def check_run(hub: Hub, run: CheckRun) -> Json:
    """A check run."""
    url = views.api(hub, f"/check-runs/{run.id}")
    pulls = [one for one in hub.pulls.values() if one.is_open and one.head_sha == run.head_sha]
    return {
        "id": run.id,
        "name": run.name,
        "node_id": views.node_id("CR", run.id),
        "head_sha": run.head_sha,
        "external_id": run.external_id,
        "url": url,
        "html_url": views.html(hub, f"/runs/{run.id}"),
        "details_url": run.details_url or views.html(hub, f"/runs/{run.id}"),
        "status": run.status,
        "conclusion": run.conclusion,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
        "output": {
            "title": run.output.get("title"),
            "summary": run.output.get("summary"),
            "text": run.output.get("text"),
            "annotations_count": len(run.output.get("annotations", [])),
            "annotations_url": f"{url}/annotations",
        },
        "check_suite": {"id": suite_id(run)},
        "app": app(hub, run.app),
        "pull_requests": [views_pulls.pull_minimal(hub, one) for one in pulls],
    }


def suite_id(run: CheckRun) -> int:
    """One suite per app and commit."""
    return run.app.id * 1_000_000 + int(run.head_sha[:5], 16)


def status(hub: Hub, one: CommitStatus) -> Json:
    """A commit status."""
    return {**simple_status(hub, one), "creator": views.user(hub, one.creator)}


def simple_status(hub: Hub, one: CommitStatus) -> Json:
    """A commit status inside the combined one."""
    return {
        "url": views.api(hub, f"/statuses/{one.sha}"),
        "avatar_url": f"{hub.url}/avatars/{one.creator.id}",
        "id": one.id,
        "node_id": views.node_id("SC", one.id),
        "state": one.state,
        "description": one.description,
        "target_url": one.target_url,
        "context": one.context,
        "created_at": one.created_at,
        "updated_at": one.created_at,
    }


def workflow_id(path: str) -> int:
    """A workflow's id, the same for the same path."""
    return 9_000_000 + sum(position * byte for position, byte in enumerate(path.encode(), 1))


def workflow_run(hub: Hub, run: WorkflowRun) -> Json:
    """A workflow run."""
    url = views.api(hub, f"/actions/runs/{run.id}")
    workflow_url = views.api(hub, f"/actions/workflows/{workflow_id(run.path)}")
    head = hub.git.commit(run.head_sha) if run.head_sha != ZERO else None
    return {
        "id": run.id,
        "name": run.path.rsplit("/", 1)[-1].partition(".")[0],
        "node_id": views.node_id("WFR", run.id),
        "check_suite_id": run.id,
        "check_suite_node_id": views.node_id("CS", run.id),
        "head_branch": run.head_branch,
        "head_sha": run.head_sha,
        "path": run.path,
        "run_number": run.id,
        "run_attempt": run.attempt,
        "referenced_workflows": [],
        "event": run.event,
        "display_title": run.title,
        "status": run.status,
        "conclusion": run.conclusion,
        "workflow_id": workflow_id(run.path),
        "url": url,
        "html_url": views.html(hub, f"/actions/runs/{run.id}"),
        "pull_requests": [],
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "run_started_at": run.created_at,
        "actor": views.user(hub, run.actor),
        "triggering_actor": views.user(hub, run.actor),
        "jobs_url": f"{url}/jobs",
        "logs_url": f"{url}/logs",
        "check_suite_url": views.api(hub, f"/check-suites/{run.id}"),
        "artifacts_url": f"{url}/artifacts",
        "cancel_url": f"{url}/cancel",
        "rerun_url": f"{url}/rerun",
        "previous_attempt_url": None,
        "workflow_url": workflow_url,
        "head_commit": views_git.simple_commit(head) if head else None,
        "repository": views.minimal_repository(hub),
        "head_repository": views.minimal_repository(hub),
    }


def workflow(hub: Hub, path: str) -> Json:
    """A workflow file as Actions lists it."""
    identity = workflow_id(path)
    return {
        "id": identity,
        "node_id": views.node_id("W", identity),
        "name": path.rsplit("/", 1)[-1].partition(".")[0],
        "path": path,
        "state": "active",
        "created_at": hub.created_at,
        "updated_at": hub.created_at,
        "url": views.api(hub, f"/actions/workflows/{identity}"),
        "html_url": views.html(hub, f"/blob/{hub.default_branch}/{path}"),
        "badge_url": views.html(hub, f"/workflows/{identity}/badge.svg"),
    }
