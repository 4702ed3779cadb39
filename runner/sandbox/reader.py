"""What the reader brings to a rehearsal: a ticket, a repository that is only read, a configuration, a key."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt

from runner.core.policy import Policy, parse_policy
from runner.errors import ConfigError
from runner.sandbox.github import GitHubSandbox
from runner.sandbox.jira.adf import TEXT_LIMIT
from runner.sandbox.world import CONFIG, MODELS, PROJECT, Provider, Seed

Json = dict[str, Any]
# The branch that the configuration is read from; work starts from the reader's own.
SETTINGS_BRANCH = "ai-runner-rehearsal"
SUMMARY_LIMIT = 255
MAX_TICKET_BYTES = 256 * 1024
KEYS: Mapping[Provider, str] = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
ADDRESSES: Mapping[Provider, str] = {"anthropic": "ANTHROPIC_BASE_URL", "openai": "OPENAI_BASE_URL"}
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A ticket to write: one line, and Markdown."""

    summary: str
    description: str


def read_ticket(path: Path) -> Ticket:
    """Read a Markdown file: the first heading is the summary, the rest the description."""
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as exc:
        raise ConfigError(f"The ticket `{path}` cannot be read: {exc.strerror}.", remedy=_TICKET) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"The ticket `{path}` is no text in UTF-8.", remedy=_TICKET) from exc
    if len(data) > MAX_TICKET_BYTES:
        raise ConfigError(f"The ticket `{path}` has {len(data):,} bytes.", remedy="Give a shorter one.")
    lines = _FRONT_MATTER.sub("", text).split("\n")
    summary, start, end = _heading("\n".join(lines))
    if not summary:
        raise ConfigError(f"The ticket `{path}` has no words.", remedy=_TICKET)
    if len(summary) > SUMMARY_LIMIT:
        raise ConfigError(
            f"The heading of `{path}` has {len(summary)} characters; Jira takes {SUMMARY_LIMIT}.",
            remedy="Begin the file with a short heading.",
        )
    description = "\n".join([*lines[:start], *lines[end:]]).strip()
    if len(description) > TEXT_LIMIT:
        raise ConfigError(
            f"The ticket `{path}` has {len(description):,} characters; Jira takes {TEXT_LIMIT:,}.",
            remedy="Give a shorter one.",
        )
    return Ticket(summary=summary, description=description)


_TICKET = "Give `--ticket` a Markdown file: its first heading is the summary, the rest the description."


def _heading(text: str) -> tuple[str, int, int]:
    """The first heading, else the first line, and which lines it takes."""
    tokens = MarkdownIt("commonmark").parse(text)
    for opened, inline in pairwise(tokens):
        if opened.type == "heading_open" and opened.map is not None and inline.content.strip():
            return " ".join(inline.content.split()), opened.map[0], opened.map[1]
    for at, line in enumerate(text.split("\n")):
        if re.search(r"\w", line):
            return " ".join(line.split()), at, at + 1
    return "", 0, 0


@dataclass(frozen=True, kw_only=True)
class Source:
    """The reader's repository. ``is_dirty`` if it holds changes that no commit has."""

    path: Path
    head: str
    branch: str
    is_dirty: bool
    config: bytes | None


def read_source(path: Path) -> Source:
    """Look at a repository without writing to it."""
    if not path.is_dir():
        raise ConfigError(f"`{path}` is no folder.", remedy=_REPOSITORY)
    if _git(path, "rev-parse", "--git-dir").returncode:
        reason = _git(path, "rev-parse", "--git-dir").stderr.strip().partition("\n")[0]
        raise ConfigError(f"`{path}` is no git repository: {reason}.", remedy=_REPOSITORY)
    head = _git(path, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").stdout.strip()
    if not head:
        raise ConfigError(f"`{path}` has no commit yet.", remedy="Commit what the work should start from.")
    if _git(path, "rev-parse", "--is-shallow-repository").stdout.strip() == "true":
        raise ConfigError(
            f"`{path}` is a shallow clone.", remedy="Fetch its history first: `git fetch --unshallow`."
        )
    branch = _git(path, "symbolic-ref", "--quiet", "--short", "HEAD").stdout.strip()
    config = _git(path, "cat-file", "blob", f"{head}:{CONFIG}")
    return Source(
        path=path.resolve(),
        head=head,
        # Branches of the runner's begin with `ai/`, which a branch `ai` would not allow beside itself.
        branch=branch
        if branch and branch.partition("/")[0] != "ai" and branch != SETTINGS_BRANCH
        else "main",
        is_dirty=bool(_git(path, "status", "--porcelain").stdout.strip()),
        config=None if config.returncode else config.stdout.encode(),
    )


_REPOSITORY = "Give `--repo` a folder that holds a git repository."


def _git(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Git, as the reader would run it, but without locks, hooks and fetching: it must leave no trace."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    quiet = {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        ["git", "-C", str(path), "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *arguments],
        env={**environment, **quiet},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    )


def copy_history(source: Source, target: Path) -> Path:
    """The commit and its history as one file."""
    bundled = _git(source.path, "bundle", "create", "--quiet", str(target.resolve()), "HEAD")
    if bundled.returncode:
        raise ConfigError(
            f"The history of `{source.path}` could not be copied: {bundled.stderr.strip()[:500]}.",
            remedy="Try `git fsck` there; a partial clone needs its objects first.",
        )
    return target


# --- the configuration ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the rehearsal is configured. ``replaced`` names the parts of the repository's own file that do not hold."""

    config: Mapping[str, Any]
    policy: Policy
    replaced: tuple[str, ...]
    providers: tuple[Provider, ...]


def configure(source: Source, *, provider: Provider | None, is_real: bool, sequence: str | None) -> Plan:
    """The repository's configuration, with this world's people, branch and models in it.

    The repository's own models are kept when real ones are asked and no provider was chosen.
    """
    parse_policy(source.config)
    config: Json = yaml.safe_load(source.config or b"") or {}
    replaced = [f"jira.{name}" for name in config.get("jira") or {} if name != "label_prefix"]
    prefix = (config.get("jira") or {}).get("label_prefix")
    config["jira"] = {"projects": [PROJECT], **({"label_prefix": prefix} if prefix else {})}
    pull_request = dict(config.get("pull_request") or {})
    replaced += [f"pull_request.{name}" for name in ("base", "reviewers") if name in pull_request]
    config["pull_request"] = {**pull_request, "base": source.branch, "reviewers": ["rey"]}
    if provider is not None or not is_real or "models" not in config:
        replaced += ["models"] if "models" in config else []
        model = MODELS[provider or "anthropic"]
        config["models"] = {"plan": model, "implement": model, "revise": model}
    if sequence is not None:
        config["sequence"] = sequence
    policy = parse_policy(_dumped(config))
    phases = (policy.models.plan, policy.models.implement, policy.models.revise)
    providers = dict.fromkeys(one.choice.provider for one in phases)
    return Plan(config=config, policy=policy, replaced=tuple(replaced), providers=tuple(providers))


def _dumped(config: Mapping[str, Any]) -> bytes:
    return yaml.safe_dump(dict(config), sort_keys=False).encode()


def seed_for(source: Source, plan: Plan, bundle: Path) -> Seed:
    """Fills the sandbox's repository: the reader's branch as it is, the configuration on a branch of its own."""

    def seed(github: GitHubSandbox, accounts: Mapping[str, str]) -> None:
        head = github.adopt(bundle)
        git, owner = github.hub.git, github.hub.signature_of(github.hub.owner)
        people = {"approver": accounts["ada"], "reviewer": accounts["rey"]}
        config = {**plan.config, "jira": {**plan.config["jira"], **people}}
        tree = git.write_tree(head, {CONFIG: ("100644", git.write_blob(_dumped(config)))})
        commit = git.write_commit(tree, [head], "Configure the rehearsal\n", author=owner, committer=owner)
        git.set_ref(f"refs/heads/{source.branch}", head)
        git.set_ref(f"refs/heads/{SETTINGS_BRANCH}", commit, old=head)

    return seed


def real_settings(providers: Sequence[Provider], environ: Mapping[str, str]) -> dict[str, str]:
    """Keys and addresses of the real providers, from the reader's environment; no key that is not needed."""
    for provider in providers:
        if not environ.get(KEYS[provider]):
            raise ConfigError(
                f"`{KEYS[provider]}` is missing.",
                remedy=f"`--real-model` asks {provider}: export its key, or choose with `--provider`.",
            )
    names: tuple[Provider, ...] = ("anthropic", "openai")
    used = {name: environ if name in providers else {} for name in names}
    return {
        variable: values.get(variable, "")
        for name, values in used.items()
        for variable in (KEYS[name], ADDRESSES[name])
    }
