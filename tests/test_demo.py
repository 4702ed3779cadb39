"""The whole story, as a reader's first command plays it: real stages, real git, both providers, every run twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import contracts

ROOT = Path(__file__).resolve().parents[1]
RUN_KEYS = {
    "key",
    "phase",
    "outcome",
    "writes",
    "dispatches",
    "model_calls",
    "cost_usd",
    "seconds",
    "repeat",
}


def demo(tmp_path: Path, *arguments: str) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    """Play the demo; its account, the recorded exchanges, and what it told on stderr."""
    record = tmp_path / "exchanges.jsonl"
    command = [sys.executable, "-m", "runner", "demo", "--json", "--record", str(record), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    exchanges = [json.loads(line) for line in record.read_text().splitlines()]
    return json.loads(done.stdout), exchanges, done.stderr


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_every_run_of_the_story_can_be_repeated_without_a_write(tmp_path, provider):
    """Both providers end Done with everything merged, and each repeated run writes nothing and asks nothing."""
    account, exchanges, told = demo(
        tmp_path, "--twice", "--provider", provider, "--keep", str(tmp_path / "kept")
    )
    assert account["parent"] == {"key": "SHOP-1", "status": "Done"}
    assert len(account["sub_tasks"]) >= 3
    assert {child["status"] for child in account["sub_tasks"]} == {"Done"}
    assert {child["pull_request"]["merged"] for child in account["sub_tasks"]} == {True}
    assert all(run.keys() == RUN_KEYS for run in account["runs"])
    repeats = [run for run in account["runs"] if run["repeat"]]
    assert len(repeats) == len(account["runs"]) - len(repeats)
    assert [run for run in repeats if run["writes"] or run["model_calls"]] == []
    assert contracts.violations(exchanges) == []
    assert "passes its tests" in told
    tree = subprocess.run(
        ["git", "-C", account["repository"], "rev-parse", "main^{tree}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(tree.stdout.strip()) == 40


def test_the_story_holds_what_the_demo_promises(tmp_path):
    """A revised plan, a question, a failed check that is repaired, both kinds of feedback, and a stacked pull request."""
    account, _, told = demo(tmp_path, "--keep", str(tmp_path / "kept"))
    phases = [run["phase"] for run in account["runs"]]
    assert phases[:3] == ["plan", "plan", "breakdown"]
    assert "asked" in [run["outcome"] for run in account["runs"]]
    assert phases.count("revise") >= 2
    transcripts = (tmp_path / "kept").glob("runs/*/temp/ai-runner-work/transcript.jsonl")
    assert any("failed" in path.read_text() or "status 1" in path.read_text() for path in transcripts)
    assert "targets main" in told
