"""What happened in the sandbox, in numbers: the object that ``demo --json`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.sandbox.actions import WorkflowRun
from runner.sandbox.world import World

Json = dict[str, Any]


def account_of(world: World, key: str) -> Json:
    """What happened to a ticket, in numbers; ``key`` is empty if it was never written."""
    rita = world.people["rita"]
    pulls = {one["head"]: one for one in map(_pull, world.reviewer.pulls())}
    children = rita.read(key)["fields"]["subtasks"] if key else []
    return {
        "parent": {"key": key, "status": rita.status(key) if key else ""},
        "sub_tasks": [
            {
                "key": child["key"],
                "status": rita.status(child["key"]),
                "pull_request": pulls.get(f"ai/{child['key']}") or pulls.get(f"ai/{key}"),
            }
            for child in children
        ],
        "runs": [
            _run(run, world) for run in world.actions.runs if run.conclusion not in ("cancelled", "skipped")
        ],
        "repository": str(world.github.git_dir),
    }


def _pull(pull: Mapping[str, Any]) -> Json:
    return {
        "number": pull["number"],
        "state": pull["state"],
        "merged": pull["merged_at"] is not None,
        "head": pull["head"]["ref"],
        "base": pull["base"]["ref"],
    }


def _run(run: WorkflowRun, world: World) -> Json:
    traffic = world.meters.of(run)
    cost = run.outputs.get("cost-usd", "")
    return {
        "key": run.key,
        "phase": run.phase or None,
        "outcome": run.outcome or run.conclusion,
        "writes": traffic.writes,
        "dispatches": traffic.dispatches,
        "model_calls": traffic.model_calls,
        "cost_usd": float(cost) if cost and cost != "unknown" else None,
        "seconds": round(run.seconds, 2),
        "repeat": run.repeat,
    }
