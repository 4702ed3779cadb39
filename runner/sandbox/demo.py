"""``ai-runner demo``: a whole story on loopback, told on stderr, accounted for on stdout."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from runner.core.policy import Policy
from runner.errors import ConfigError
from runner.sandbox.account import account_of
from runner.sandbox.actions import WorkflowRun
from runner.sandbox.brain import StoryBrain, sample_files
from runner.sandbox.github import GitHubSandbox
from runner.sandbox.rehearsal import rehearse
from runner.sandbox.story import Story, StoryError
from runner.sandbox.world import CONFIG, Provider, World, configuration, open_world, seed_project

Json = dict[str, Any]
PROVIDERS: tuple[Provider, ...] = get_args(Provider)
# As the configuration knows them, the default first.
SEQUENCES: tuple[str, ...] = get_args(Policy.model_fields["sequence"].annotation)


def demo_verb(arguments: argparse.Namespace) -> int:
    """Play the story; 0 when it ends as it should. ConfigError for arguments that cannot be used."""
    if arguments.repo is not None or arguments.ticket is not None:
        return _rehearse(arguments)
    provider: Provider = arguments.provider or "anthropic"
    sequence = _sequence(arguments.sequence) or SEQUENCES[0]
    narrator = Narrator()
    with _folder(arguments.keep) as folder:
        with open_world(
            folder,
            brain=StoryBrain(),
            provider=provider,
            via=arguments.via,
            twice=arguments.twice,
            seed=seed_sample,
            settings={"AI_RUNNER_CONFIG": config_path(provider, sequence)},
        ) as world:
            world.actions.observers.append(lambda run: narrator.follow(run, world))
            story = Story(world, narrator.say)
            problem = _play(story, narrator)
            account = account_of(world, story.key)
            if arguments.record is not None:
                world.recorder.write(arguments.record)
        if not problem:
            problem = _check(account, folder, twice=arguments.twice)
        _close(account, narrator, folder if arguments.keep is not None else None, problem)
    if arguments.json:
        print(json.dumps(account))  # noqa: T201 - the result of the verb
    return 1 if problem else 0


def _rehearse(arguments: argparse.Namespace) -> int:
    if arguments.repo is None or arguments.ticket is None:
        raise ConfigError(
            "A rehearsal needs a repository and a ticket.",
            remedy="Give both `--repo PATH` and `--ticket FILE`.",
        )
    arguments.sequence = _sequence(arguments.sequence)
    account, problem = rehearse(arguments, Narrator())
    if arguments.json:
        print(json.dumps(account))  # noqa: T201 - the result of the verb
    return 1 if problem else 0


def _sequence(given: str | None) -> str | None:
    if given is not None and given not in SEQUENCES:
        raise ConfigError(
            f"`--sequence {given}` is not known.",
            remedy=f"Give one of the configuration's values: {', '.join(SEQUENCES)}.",
        )
    return given


def config_path(provider: Provider, sequence: str) -> str:
    """Where the configuration of this way to play the story lies."""
    return f".github/ai-runner/{provider}-{sequence}.yml"


def seed_sample(github: GitHubSandbox, accounts: Mapping[str, str]) -> None:
    """The sample project with a configuration for each way to play: whichever is chosen, the code starts the same."""
    files = sample_files()
    configs = {
        config_path(provider, sequence): configuration(files, provider, accounts, {"sequence": sequence})
        for provider in PROVIDERS
        for sequence in SEQUENCES
    }
    start = {path: content for path, content in files.items() if path != CONFIG}
    seed_project(github, start, configs)


def _play(story: Story, narrator: Narrator) -> str:
    try:
        story.play()
    except (StoryError, TimeoutError) as exc:
        narrator.say("", f"The story broke off: {exc}")
        return str(exc)
    return ""


class Narrator:
    """Tells the story on stderr: what people do, and what each run makes of it."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def say(self, who: str, text: str) -> None:
        """One line; ``who`` is a person, or empty for the narrator."""
        seconds = time.monotonic() - self._started
        name = f"{who}: " if who else ""
        print(f"[{seconds:5.1f} s] {name}{text}", file=sys.stderr, flush=True)  # noqa: T201 - the story's voice

    def show(self, text: str) -> None:
        """A text to read, apart from the story."""
        print(f"\n{text}\n", file=sys.stderr, flush=True)  # noqa: T201 - as above

    def follow(self, run: WorkflowRun, world: World) -> None:
        """Tell what a run did, when it ends."""
        if run.status != "completed" or run.conclusion == "cancelled":
            return
        traffic = world.meters.of(run)
        again = " once more" if run.repeat else ""
        end = run.outcome or run.conclusion or "?"
        reason = run.outputs.get("reason", "")
        counts = f"{traffic.writes} writes, {traffic.model_calls} model calls, {run.seconds:.1f} s"
        self.say("", f"   run{again} for {run.key or 'all'}: {end}, {reason} ({counts})")


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="ai-runner-demo-") as name:
            yield Path(name).resolve()
        return
    keep.mkdir(parents=True, exist_ok=True)
    target = keep.resolve()
    if any(target.iterdir()):
        if not all((target / name).is_dir() for name in ("repository.git", "runs")):
            raise ConfigError(
                f"`{keep}` holds something else than an earlier demo.", remedy="Give `--keep` a new folder."
            )
        shutil.rmtree(target)
        target.mkdir()
    yield target


def _check(account: Json, folder: Path, *, twice: bool) -> str:
    """Why the story did not end as it should; empty if it did."""
    if account["parent"]["status"] != "Done":
        return f"the parent is {account['parent']['status']}, not Done"
    for child in account["sub_tasks"]:
        if child["status"] != "Done" or not (child["pull_request"] or {}).get("merged"):
            return f"{child['key']} is {child['status']}, its pull request {child['pull_request']}"
    if twice:
        for run in account["runs"]:
            if run["repeat"] and (run["writes"] or run["model_calls"]):
                return f"the repeated run of {run['key']} wrote {run['writes']} times and asked {run['model_calls']} times"
    return run_tests(Path(account["repository"]), folder)


def run_tests(repository: Path, folder: Path) -> str:
    """The merged code's own tests, in a fresh clone; empty when they pass."""
    clone = folder / "merged"
    git = ["git", "-c", "core.hooksPath=/dev/null", "clone", "--quiet", str(repository), str(clone)]
    cloned = subprocess.run(git, capture_output=True, text=True, check=False)
    if cloned.returncode:
        return f"the repository could not be cloned: {cloned.stderr.strip()}"
    command = [sys.executable, "-m", "unittest", "discover", "-s", "tests", "-t", "."]
    tests = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    return f"the merged code fails its own tests:\n{tests.stderr}" if tests.returncode else ""


def _close(account: Json, narrator: Narrator, kept: Path | None, problem: str) -> None:
    """The last words: how it ended, and what to look at."""
    runs = [run for run in account["runs"] if not run["repeat"]]
    cost = sum(run["cost_usd"] or 0 for run in runs)
    calls = sum(run["model_calls"] for run in runs)
    if problem:
        narrator.say("", f"This did not end as it should: {problem}")
    else:
        pulls = [child["pull_request"] for child in account["sub_tasks"] if child["pull_request"]]
        merged = len({pull["number"] for pull in pulls if pull["merged"]})
        narrator.say(
            "",
            f"{account['parent']['key']} is Done: {len(account['sub_tasks'])} sub-tasks, {merged} merged pull request{'' if merged == 1 else 's'}, "
            f"{len(runs)} runs, {calls} scripted model calls (US${cost:.2f} at list prices); the merged code passes its tests.",
        )
    if kept is not None:
        narrator.say(
            "", f"Look at {kept}: `runs/*/log.txt` (each run's log), `runs/*/summary.md` (its job summary),"
        )
        narrator.say(
            "",
            "`merged/` (the code), and `git -C repository.git log --graph main` (the commits with their trailers).",
        )
    else:
        narrator.say(
            "",
            "Add `--keep DIR` to keep every log, summary and the repository; `--record FILE` for each HTTP exchange.",
        )
