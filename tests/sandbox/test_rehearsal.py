"""A rehearsal takes the reader's repository and ticket, writes to neither, and ends with what there is to look at."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.errors import ConfigError
from runner.sandbox.brain import StoryBrain
from runner.sandbox.models import ScriptedModels
from runner.sandbox.reader import Plan, Source, configure, read_source, read_ticket, real_settings
from runner.sandbox.rehearsal import AUTOMATIC_ANSWER

ROOT = Path(__file__).resolve().parents[2]
TICKET = "# Greet people by name\n\nThe script should greet whoever is named.\n"
FILES = {"README.md": "# Tiny\n\nSays hello.\n", "hello.sh": '#!/bin/sh\necho "hello"\n'}
CONFIG = """\
jira:
  projects: [ABC]
  approvers: ["712020:11111111-0000-4000-8000-000000000000"]
models:
  plan: openai:gpt-6.1-sol
checks:
  commands:
    - id: greets
      run: test "$(sh hello.sh)" = hello
pull_request:
  base: develop
  labels: [robot]
"""


def git(folder: Path, *arguments: str) -> str:
    command = [
        "git",
        "-C",
        str(folder),
        "-c",
        "user.name=Ann",
        "-c",
        "user.email=ann@example.com",
        *arguments,
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def repository(folder: Path, files: Mapping[str, str] = FILES, *, branch: str = "trunk") -> Path:
    folder.mkdir()
    git(folder, "init", "--quiet", f"--initial-branch={branch}")
    write(folder, files)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=Start")
    return folder


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def ticket(folder: Path, text: str = TICKET) -> Path:
    path = folder / "ticket.md"
    path.write_text(text)
    return path


def content(folder: Path) -> dict[str, str]:
    """Every file of a folder by path, those of git included."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A rehearsal that ended: its code, its account, what it told."""

    code: int
    account: dict[str, Any]
    told: str

    @property
    def fetches(self) -> list[list[str]]:
        """The commands that it tells to bring branches into a clone."""
        return [shlex.split(line) for line in re.findall(r"\bgit fetch .*", self.told)]


def rehearse(
    *arguments: str | Path, stdin: int = subprocess.DEVNULL, env: Mapping[str, str] | None = None
) -> Ended:
    command = [sys.executable, "-m", "runner", "demo", "--json", *map(str, arguments)]
    own = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, env={**own, **(env or {})}, stdin=stdin, capture_output=True, text=True, check=False
    )
    return Ended(code=done.returncode, account=json.loads(done.stdout or "{}"), told=done.stderr)


# --- from the ticket to the branch ------------------------------------------------------------------


def test_a_repository_without_configuration_is_rehearsed_without_checks(tmp_path: Path) -> None:
    """Without a terminal everything is accepted; the branch can be fetched and holds history and work only."""
    repo = repository(tmp_path / "my tiny project")
    before = content(repo)
    ended = rehearse("--repo", repo, "--ticket", ticket(tmp_path), "--keep", tmp_path / "kept it")
    assert ended.code == 0, ended.told
    assert before == content(repo)
    assert "There is no .github/ai-runner.yml: defaults hold, and no checks are run" in ended.told
    assert ended.account["parent"] == {"key": "SHOP-1", "status": "Done"}
    assert {child["pull_request"]["merged"] for child in ended.account["sub_tasks"]} == {True}
    assert "No checks are configured, so nothing was measured." in ended.told
    assert "docs/notes.md" in ended.told or re.search(r"docs/[\w-]+\.md \| +\d+ \+", ended.told)

    first = ended.fetches[0]
    assert first[-1] == "ai/SHOP-2"
    git(repo, *first[1:])
    changed = git(repo, "diff", "--name-only", "HEAD...FETCH_HEAD").splitlines()
    assert changed == [one for one in changed if one.startswith("docs/")] != []
    assert git(repo, "rev-list", "--count", "HEAD..FETCH_HEAD") == "1"
    text = (tmp_path / "kept it" / "pull-requests" / "1.md").read_text()
    assert "SHOP-2: " in text
    assert "<!--" not in text


def test_the_repositorys_own_configuration_holds(tmp_path: Path) -> None:
    """Its checks run; people, models and branch are the sandbox's, which is said; only what is committed counts."""
    repo = repository(tmp_path / "repo", {**FILES, ".github/ai-runner.yml": CONFIG})
    write(repo, {"hello.sh": "exit 1\n", "new.txt": "not committed\n"})
    before = content(repo)
    ended = rehearse("--repo", repo, "--ticket", ticket(tmp_path), "--auto", "--keep", tmp_path / "kept")
    assert ended.code == 0, ended.told
    assert before == content(repo)
    assert "Changes that are not committed are left out: the work starts from HEAD" in ended.told
    replaced = "jira.projects, jira.approvers, pull_request.base, models"
    assert f"Your .github/ai-runner.yml holds; replaced for the rehearsal: {replaced}" in ended.told
    text = (tmp_path / "kept" / "pull-requests" / "1.md").read_text()
    assert re.search(r"`?greets`?.*(green|passed|✓|exit code 0)", text), text
    assert ended.account["sub_tasks"][0]["pull_request"]["base"] == "trunk"


def test_what_a_model_would_be_sent_is_kept(tmp_path: Path) -> None:
    """With the scripted model, every request's body lies in a file, ticket and code included."""
    repo = repository(tmp_path / "repo")
    ended = rehearse("--repo", repo, "--ticket", ticket(tmp_path), "--keep", tmp_path / "kept")
    bodies = [json.loads(path.read_text()) for path in sorted((tmp_path / "kept" / "sent").iterdir())]
    assert len(bodies) == sum(run["model_calls"] for run in ended.account["runs"])
    assert "Greet people by name" in json.dumps(bodies[0])
    assert "Says hello." in json.dumps(bodies)


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_the_real_model_is_asked_with_the_readers_key(tmp_path: Path, provider: str) -> None:
    """Calls go to the address and with the key of the environment; they are counted, and no file holds the key."""
    repo = repository(tmp_path / "repo")
    key = "the-readers-own-key"
    with ScriptedModels(StoryBrain(), keys=[key]) as real:
        addresses = {"anthropic": real.anthropic_url, "openai": real.openai_url}
        name = provider.upper()
        ended = rehearse(
            *("--repo", repo, "--ticket", ticket(tmp_path), "--keep", tmp_path / "kept"),
            *("--real-model", "--provider", provider),
            env={f"{name}_API_KEY": key, f"{name}_BASE_URL": addresses[provider]},
        )
        calls = real.calls
    assert ended.code == 0, ended.told
    assert calls > 0
    assert sum(run["model_calls"] for run in ended.account["runs"]) == calls
    assert f"The real model is asked ({provider}:" in ended.told
    assert not (tmp_path / "kept" / "sent").exists()
    holding = [
        path
        for path in (tmp_path / "kept").rglob("*")
        if path.is_file() and key.encode() in path.read_bytes()
    ]
    assert holding == []


def test_the_reader_approves_and_reviews_on_the_terminal(tmp_path: Path) -> None:
    """A comment makes a second version of the plan, feedback an update of the pull request, and stop ends it."""
    repo = repository(tmp_path / "repo")
    mine, theirs = os.openpty()
    said = [
        "c",
        "Please say where it is tested.",
        "perhaps",
        "approve",
        "f",
        "Please name the shell.",
        "stop",
    ]
    os.write(mine, "".join(f"{line}\n" for line in said).encode())
    try:
        ended = rehearse(
            "--repo", repo, "--ticket", ticket(tmp_path), "--keep", tmp_path / "kept", stdin=theirs
        )
    finally:
        os.close(mine)
        os.close(theirs)
    assert ended.code == 0, ended.told
    assert "Plan, version 2" in ended.told
    assert "SHOP-1: what do you say to the plan? [approve / comment / stop]" in ended.told
    assert ended.told.count("Pull request #1: what do you say? [merge / feedback / stop]") == 2
    assert ended.account["sub_tasks"][0]["pull_request"]["merged"] is False
    assert "revise" in [run["phase"] for run in ended.account["runs"]]
    assert ended.fetches[0][-1] == "ai/SHOP-2"
    assert "#1 (open) SHOP-2: " in ended.told


def test_an_interrupted_rehearsal_keeps_what_was_made(tmp_path: Path) -> None:
    """Control-C is a way to say stop: the last lines still say where everything is."""
    repo = repository(tmp_path / "repo")
    mine, theirs = os.openpty()
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "runner", "demo", "--repo", str(repo)),
            *("--ticket", str(ticket(tmp_path)), "--keep", str(tmp_path / "kept")),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=theirs,
        stderr=subprocess.PIPE,
        bufsize=0,
        # Whoever starts the tests in the background has them ignore the signal, and a child inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert child.stderr is not None
    told = b""
    while not told.endswith(b"[approve / comment / stop] "):
        byte = child.stderr.read(1)
        assert byte, told.decode()
        told += byte
    child.send_signal(signal.SIGINT)
    told += child.stderr.read()
    code = child.wait(60)
    child.stderr.close()
    os.close(mine)
    os.close(theirs)
    assert code == 0
    assert "Stopped; what was made so far is kept" in told.decode()
    assert f"Everything is in {tmp_path / 'kept'}" in told.decode()


# --- what cannot be rehearsed -----------------------------------------------------------------------


def test_errors_end_with_a_sentence_and_code_2(tmp_path: Path) -> None:
    """No traceback, nothing on stdout, and what to do."""
    ended = rehearse("--repo", tmp_path, "--ticket", ticket(tmp_path))
    assert (ended.code, ended.account) == (2, {})
    assert ended.told.startswith(f"ai-runner demo: `{tmp_path}` is no git repository: ")
    assert "Give `--repo` a folder that holds a git repository." in ended.told
    assert "Traceback" not in ended.told


def test_a_repository_and_a_ticket_come_together(tmp_path: Path) -> None:
    """One without the other is no rehearsal."""
    ended = rehearse("--ticket", ticket(tmp_path))
    assert ended.code == 2
    assert "A rehearsal needs a repository and a ticket." in ended.told


def test_a_folder_with_something_in_it_is_not_emptied(tmp_path: Path) -> None:
    """`--keep` may be a mistyped path; what lies there stays."""
    repo = repository(tmp_path / "repo")
    ended = rehearse("--repo", repo, "--ticket", ticket(tmp_path), "--keep", repo)
    assert ended.code == 2
    assert "is not empty" in ended.told
    assert (repo / "hello.sh").exists()


def test_repositories_that_cannot_be_copied_are_named(tmp_path: Path) -> None:
    """No folder, no commit, a history that is cut off."""
    with pytest.raises(ConfigError, match="is no folder"):
        read_source(tmp_path / "absent")
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "--quiet")
    with pytest.raises(ConfigError, match="has no commit yet"):
        read_source(empty)
    repo = repository(tmp_path / "repo")
    git(repo, "commit", "--quiet", "--allow-empty", "--message=Second")
    git(tmp_path, "clone", "--quiet", "--depth=1", repo.as_uri(), str(tmp_path / "shallow"))
    with pytest.raises(ConfigError, match="is a shallow clone"):
        read_source(tmp_path / "shallow")


def test_a_detached_head_gets_a_branch(tmp_path: Path) -> None:
    """Work needs a branch to be merged into, whatever is checked out."""
    repo = repository(tmp_path / "repo")
    assert read_source(repo).branch == "trunk"
    git(repo, "checkout", "--quiet", "--detach")
    assert read_source(repo).branch == "main"
    git(repo, "checkout", "--quiet", "-b", "ai")
    assert read_source(repo).branch == "main"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no words"),
        ("\n---\n\n", "has no words"),
        ("# " + "long " * 60, "has 299 characters; Jira takes 255"),
        ("# Fine\n\n" + "word " * 7_000, "Jira takes 32,767"),
    ],
    ids=["empty", "rule", "heading", "length"],
)
def test_tickets_that_jira_would_not_take_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    """Before anything starts, with the reason."""
    with pytest.raises(ConfigError, match=reason):
        read_ticket(ticket(tmp_path, text))


def test_a_ticket_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """It is absent, a folder, or no text."""
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe\x00")
    for path, reason in (
        (tmp_path / "absent.md", "No such file"),
        (tmp_path, "directory"),
        (tmp_path / "binary.md", "UTF-8"),
    ):
        with pytest.raises(ConfigError, match=reason):
            read_ticket(path)


@pytest.mark.parametrize(
    ("text", "summary", "description"),
    [
        ("# One\n\nTwo\n", "One", "Two"),
        ("Before\n\n## One two ##\n- three\n", "One two", "Before\n\n- three"),
        ("```\n# not this\n```\n# One\n", "One", "```\n# not this\n```"),
        ("One\n===\nTwo", "One", "Two"),
        ("---\ntype: story\n---\n# One\nTwo", "One", "Two"),
        ("\nJust a line\nand more\n", "Just a line", "and more"),
        ("\ufeff# One\r\nTwo\r\n", "One", "Two"),
    ],
)
def test_the_first_heading_is_the_summary(tmp_path: Path, text: str, summary: str, description: str) -> None:
    """The rest is the description; without a heading the first line stands in."""
    path = tmp_path / "ticket.md"
    path.write_bytes(text.encode())
    found = read_ticket(path)
    assert (found.summary, found.description) == (summary, description)


# --- the configuration ------------------------------------------------------------------------------


def source(config: str | None) -> Source:
    return Source(
        path=Path("/repo"),
        head="0" * 40,
        branch="trunk",
        is_dirty=False,
        config=None if config is None else config.encode(),
    )


def plan(config: str | None, **options: Any) -> Plan:
    return configure(source(config), **{"provider": None, "is_real": False, "sequence": None, **options})


def test_the_repositorys_models_are_kept_for_the_real_provider_only() -> None:
    """The scripted model speaks for any; a provider that the reader chose wins."""
    kept = plan(CONFIG, is_real=True)
    assert kept.policy.models.plan.model == "openai:gpt-6.1-sol"
    assert set(kept.providers) == {"openai", "anthropic"}
    assert "models" not in kept.replaced
    for options in ({}, {"is_real": True, "provider": "openai"}):
        replaced = plan(CONFIG, **options)
        assert "models" in replaced.replaced
        assert len(replaced.providers) == 1


def test_everything_else_of_the_configuration_stays() -> None:
    """Checks, labels and the prefix are the reader's."""
    found = plan(CONFIG.replace("projects: [ABC]", "label_prefix: bot"), sequence="wait")
    assert [one.id for one in found.policy.checks.commands] == ["greets"]
    assert found.policy.pull_request.labels == ("robot",)
    assert found.policy.jira.label_prefix == "bot"
    assert found.policy.sequence == "wait"
    assert found.policy.pull_request.base == "trunk"


def test_a_configuration_that_the_runner_would_refuse_is_refused() -> None:
    """The rehearsal does not get further than the real run would."""
    with pytest.raises(ConfigError, match="did you mean `checks`"):
        plan(yaml.safe_dump({"check": {}}))


def test_only_the_keys_that_are_needed_are_used() -> None:
    """A provider that is not asked gets neither key nor address; one without a key is named."""
    environ = {"OPENAI_API_KEY": "one", "ANTHROPIC_API_KEY": "two", "OPENAI_BASE_URL": "http://127.0.0.1:9"}
    assert real_settings(("openai",), environ) == {
        "OPENAI_API_KEY": "one",
        "OPENAI_BASE_URL": "http://127.0.0.1:9",
        "ANTHROPIC_API_KEY": "",
        "ANTHROPIC_BASE_URL": "",
    }
    with pytest.raises(ConfigError, match="`OPENAI_API_KEY` is missing"):
        real_settings(("openai",), {})


def test_nobodys_answer_says_that_it_is_nobodys() -> None:
    """A question in an automatic rehearsal is not answered with invented facts."""
    assert "nobody to ask" in AUTOMATIC_ANSWER
