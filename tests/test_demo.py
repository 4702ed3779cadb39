"""The whole story, as a reader's first command plays it: real stages, real git, both providers, every run twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner import composition
from runner.sandbox import recipes
from runner.sandbox.brain import StoryBrain, sample_files
from runner.sandbox.demo import PROVIDERS, SEQUENCES
from runner.sandbox.world import PROJECT, open_world
from tests import contracts

ROOT = Path(__file__).resolve().parents[1]
IS_FULL = bool(os.environ.get("AI_RUNNER_FULL"))
# Without AI_RUNNER_FULL each sequence is played by one of the providers.
FAST = {"anthropic": ("stacked", "shared"), "openai": ("wait",)}
# Stacked work targets the branch it builds on; work that waits starts from what is merged; shared work is one.
BASES = {"stacked": ["ai/SHOP-2", "main", "main"], "wait": ["main", "main", "main"], "shared": ["main"]}
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


@dataclass(frozen=True, kw_only=True)
class Played:
    """One demo: the account it printed, the exchanges it recorded, what it told, what it kept."""

    account: dict[str, Any]
    exchanges: Sequence[dict[str, Any]]
    told: str
    kept: Path

    @property
    def tree(self) -> str:
        """What the main branch holds in the end."""
        command = ["git", "-C", self.account["repository"], "rev-parse", "main^{tree}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    @property
    def bases(self) -> list[str]:
        """The branch that each pull request targeted when it was opened, in order."""
        return [
            one["body"]["base"]
            for one in self.exchanges
            if one["method"] == "POST" and one["path"].endswith("/pulls") and one["status"] == 201
        ]


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runner", "demo", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)


def play(folder: Path, *arguments: str) -> Played:
    folder.mkdir()
    record, kept = folder / "exchanges.jsonl", folder / "kept"
    done = start("--json", "--record", str(record), "--keep", str(kept), *arguments)
    assert done.returncode == 0, done.stderr
    exchanges = [json.loads(line) for line in record.read_text().splitlines()]
    return Played(account=json.loads(done.stdout), exchanges=exchanges, told=done.stderr, kept=kept)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_sequence_ends_in_the_same_tree_and_every_run_can_be_repeated(
    tmp_path: Path, provider: str
) -> None:
    """Whatever the order of the work, all is merged and Done; each repeated run writes nothing and asks nothing."""

    def play_one(sequence: str) -> Played:
        return play(tmp_path / sequence, "--twice", "--provider", provider, "--sequence", sequence)

    chosen = SEQUENCES if IS_FULL else FAST[provider]
    with ThreadPoolExecutor(len(chosen)) as pool:
        plays = dict(zip(chosen, pool.map(play_one, chosen), strict=True))
    for played in plays.values():
        ends_with_everything_merged(played)
        repeats_without_writes(played)
        holds_what_the_demo_promises(played)
        replays_to_the_same_trees(played)
        assert contracts.violations(played.exchanges) == []
    assert len({played.tree for played in plays.values()}) == 1
    assert {name: sorted(played.bases) for name, played in plays.items()} == {
        name: BASES[name] for name in chosen
    }


def ends_with_everything_merged(played: Played) -> None:
    account = played.account
    assert account["parent"] == {"key": "SHOP-1", "status": "Done"}
    assert len(account["sub_tasks"]) >= 3
    assert {child["status"] for child in account["sub_tasks"]} == {"Done"}
    assert {child["pull_request"]["merged"] for child in account["sub_tasks"]} == {True}
    assert "passes its tests" in played.told


def repeats_without_writes(played: Played) -> None:
    runs = played.account["runs"]
    assert all(run.keys() == RUN_KEYS for run in runs)
    repeats = [run for run in runs if run["repeat"]]
    assert len(repeats) == len(runs) - len(repeats)
    assert [run for run in repeats if run["writes"] or run["model_calls"]] == []


def holds_what_the_demo_promises(played: Played) -> None:
    """A revised plan, a question, a failed check that is repaired, and feedback of both kinds."""
    runs = [run for run in played.account["runs"] if not run["repeat"]]
    phases = [run["phase"] for run in runs]
    assert phases[:3] == ["plan", "plan", "breakdown"]
    assert "asked" in [run["outcome"] for run in runs]
    assert len([run for run in runs if run["phase"] == "revise" and run["model_calls"]]) == 2
    transcripts = [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in played.kept.glob("runs/*/temp/ai-runner-work/transcript.jsonl")
    ]
    codes = [[one["exit_code"] for one in told if one["kind"] == "check"] for told in transcripts]
    assert [one for one in codes if any(one) and one[-1] == 0] != []


def replays_to_the_same_trees(played: Played) -> None:
    """The transcript of every run that asked a model, played again on a clone without one, ends as it ended."""
    asked = [run for run in played.account["runs"] if run["model_calls"]]
    transcripts = sorted(played.kept.glob("runs/*/temp/ai-runner-work/transcript.jsonl"))
    assert len(transcripts) == len(asked)
    clone = played.kept / "clone"
    subprocess.run(["git", "clone", "-q", played.account["repository"], str(clone)], check=True)
    for transcript in transcripts:
        again = composition.replay(transcript, clone)
        assert (again.is_same, again.differing, again.answers) == (True, (), ()), transcript


def test_a_sequence_that_the_configuration_does_not_know_is_refused() -> None:
    """The choices are those of the configuration."""
    done = start("--sequence", "random")
    assert done.returncode == 2
    told = done.stdout + done.stderr
    assert "`--sequence random` is not known" in told
    assert all(one in told for one in SEQUENCES)


def test_a_folder_that_is_no_earlier_demo_is_not_emptied(tmp_path: Path) -> None:
    """`--keep` may be a mistyped path; what lies there stays."""
    (tmp_path / "thesis.txt").write_text("years of work")
    done = start("--keep", str(tmp_path))
    assert done.returncode == 2
    assert "holds something else than an earlier demo" in done.stderr
    assert (tmp_path / "thesis.txt").exists()


def test_one_run_by_the_action_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan is made by act with the shipped workflow and action: set-up, every stage, each secret in its step."""
    # Packages that an earlier installation left in uv's cache are taken from there.
    monkeypatch.setenv("UV_OFFLINE", "1")
    with open_world(tmp_path, brain=StoryBrain(), via="act", files=sample_files()) as world:
        rita = world.people["rita"]
        key = rita.create_ticket(recipes.TICKET_SUMMARY, recipes.TICKET_DESCRIPTION, project=PROJECT)
        rita.assign(key, world.bot)
        world.settle()
        (run,) = world.actions.runs
        assert run.conclusion == "success", run.log.read_text()
        assert run.outputs["outcome"] == "done"
        assert run.outputs["phase"] == "plan"
        assert rita.status(key) == "Plan Review"
        assert world.meters.of(run).model_calls > 0
