"""The composition root: adapters built from settings, for the stage that is about to run and nothing else.

Heavy modules are imported inside: starting the runner imports neither an SDK nor an HTTP client.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from runner.core.handover import Result, Work, WorkFile
from runner.core.model import iso
from runner.core.policy import Policy
from runner.core.redact import Redactor
from runner.core.work import FileChange
from runner.errors import ConfigError, Refused, RunnerError
from runner.settings import SECRETS, Settings

if TYPE_CHECKING:
    from pydantic import SecretStr

    from runner.adapters.git_publish import GitPublisher
    from runner.adapters.github import GitHubForge
    from runner.adapters.http import HttpClient
    from runner.adapters.jira import JiraTickets
    from runner.agent.replay import Replayed
    from runner.ports import Console, Publisher
    from runner.workflow.event import Event
    from runner.workflow.stages import Desk

MAX_CHANGE_BYTES = 2 * 1024 * 1024
# Where a repository keeps its own set-up action, for the toolchains of its checks.
TOOLCHAIN = ".github/actions/ai-runner-setup"


def now() -> str:
    """Tell the time as the records keep it."""
    return iso(datetime.now(UTC))


def new_run_id(settings: Settings) -> str:
    """What markers and commits call this run: GitHub's id and attempt, or a random name for a local run."""
    return f"{settings.run_id}.{settings.run_attempt}" if settings.run_id else f"local-{secrets.token_hex(4)}"


def jira_client(settings: Settings) -> HttpClient:
    """The HTTP client for Jira."""
    from runner import __version__
    from runner.adapters.jira import connect

    settings.require("jira")
    return connect(
        settings.jira_base_url or "",
        email=settings.jira_email or "",
        token=_secret(settings.jira_api_token),
        bearer_token=_secret(settings.jira_bearer_token),
        user_agent=f"ai-runner/{__version__}",
    )


def _secret(value: SecretStr | None) -> str:
    return value.get_secret_value() if value is not None else ""


def github_client(settings: Settings) -> HttpClient:
    """The HTTP client for GitHub."""
    from runner import __version__
    from runner.adapters.http import HttpClient
    from runner.adapters.http_credentials import bearer

    settings.require("github")
    token = _secret(settings.github_token)
    return HttpClient(
        settings.github_api_url, service="GitHub", auth=bearer(token), user_agent=f"ai-runner/{__version__}"
    )


def jira_url(settings: Settings) -> str:
    """Where people open tickets; unknown behind the gateway for scoped tokens."""
    base = settings.jira_base_url or ""
    return "" if "/ex/jira/" in base else base


@dataclass(kw_only=True)
class Stage:
    """A desk with what must be closed after it."""

    desk: Desk
    close: Callable[[], None]


def open_desk(
    settings: Settings, event: Event, console: Console, *, run: str, work_dir: Path, publishes: bool
) -> Stage:
    """Build what ``gather``, ``publish`` and ``sweep`` work with."""
    from runner.adapters import pdf
    from runner.adapters.github import GitHubForge
    from runner.adapters.jira import JiraTickets
    from runner.workflow.stages import Desk

    jira, github = jira_client(settings), github_client(settings)
    forge = GitHubForge(github, repository=settings.github_repository or "")
    pushing = _publisher(settings, work_dir) if publishes else None

    def close() -> None:
        jira.close()
        github.close()
        if pushing is not None:
            pushing.close()

    desk = Desk(
        key=event.issue_key or "",
        run=run,
        run_url=settings.run_url or "",
        jira_url=jira_url(settings),
        repository_name=settings.github_repository or "",
        config_path=settings.config_path,
        tickets=JiraTickets(jira),
        forge=forge,
        console=console,
        redactor=Redactor(settings.secrets),
        now=now,
        sleep=time.sleep,
        writes=lambda: jira.writes + github.writes,
        expected_phase=event.phase,
        by_person=event.given_by_person,
        publisher=pushing,
        guard=_guard(pushing) if pushing is not None else None,
        fit=_fitting(settings, jira, github, forge, publishes=publishes),
        pdf_text=pdf.text,
    )

    return Stage(desk=desk, close=close)


def _fitting(
    settings: Settings, jira: HttpClient, github: HttpClient, forge: GitHubForge, *, publishes: bool
) -> Callable[[Desk], None]:
    """What exchanges the parts of a desk that the configuration decides, which is read through the forge first."""
    from runner.adapters.github_commits import ApiPublisher
    from runner.adapters.jira import JiraTickets

    def fit(desk: Desk) -> None:
        field = desk.policy.jira.acceptance_criteria_field
        if field is not None:
            desk.tickets = JiraTickets(jira, text_fields=(field,))
        if publishes and desk.policy.pull_request.commits == "api":
            desk.publisher = ApiPublisher(github, forge, repository=settings.github_repository or "")
            desk.guard = _guard(desk.publisher)

    return fit


def open_tickets(settings: Settings) -> tuple[HttpClient, JiraTickets]:
    """Jira alone, for ``conclude``."""
    from runner.adapters.jira import JiraTickets

    client = jira_client(settings)
    return client, JiraTickets(client)


def _publisher(settings: Settings, work_dir: Path) -> GitPublisher:
    from runner.adapters.git_publish import GitPublisher

    settings.require("github")
    token = settings.github_token.get_secret_value() if settings.github_token is not None else None
    folder = work_dir / "publish"
    folder.mkdir(parents=True, exist_ok=True)
    return GitPublisher(settings.git_url or "", token, folder)


def _guard(publisher: Publisher) -> Callable[[Work, Sequence[FileChange], Policy], None]:
    """The publisher's own judgement over changes, whatever stage they came from."""
    from runner.core.changes import guard

    def check(work: Work, changes: Sequence[FileChange], policy: Policy) -> None:
        if not changes:
            return
        base = publisher.base(work.start, [change.path for change in changes])
        found = guard(
            changes,
            base_tree=base.modes,
            base_contents=base.contents,
            allowed=policy.paths.allowed,
            protected=policy.paths.protected,
            max_files=policy.caps.files,
            max_lines=policy.caps.changed_lines,
            max_bytes=MAX_CHANGE_BYTES,
        )
        if found:
            reasons = "; ".join(
                f"`{one.path}`: {one.reason}" if one.path else one.reason for one in found[:10]
            )
            raise Refused(
                f"The changes may not be published: {reasons}.",
                remedy="Nothing was pushed. Make the change by hand, or widen `paths` or `caps` in the configuration.",
            )

    return check


def fetch(settings: Settings, work_dir: Path, shas: Sequence[str], start: str) -> None:
    """Fetch exactly these commits and check one out; the credential ends with the child that used it."""
    from runner.adapters.git import checkout, fetch_commits

    settings.require("github")
    token = settings.github_token.get_secret_value() if settings.github_token is not None else None
    into = work_dir / "checkout"
    if not shas:
        raise ConfigError("There is no commit to work on.", remedy="The repository needs a first commit.")
    fetch_commits(settings.git_url or "", token, shas, into)
    checkout(into, start)


def offer_toolchain(settings: Settings, work_dir: Path, base: str) -> bool:
    """Put the base commit into the job's workspace if it brings a set-up action, which the next step then uses.

    All of it, because such an action reads files beside it, as in `go-version-file: go.mod`. What an earlier job left
    in the action's own place is removed, links on the way to it included.
    """
    from runner.adapters.git import export, tracked_files

    checkout, workspace = work_dir / "checkout", settings.workspace
    wanted = {f"{TOOLCHAIN}/action.yml", f"{TOOLCHAIN}/action.yaml"}
    if workspace is None or wanted.isdisjoint(tracked_files(checkout, base)):
        return False
    place = workspace / TOOLCHAIN
    for folder in (place.parent.parent, place.parent, place):
        if folder.is_symlink():
            folder.unlink()
    shutil.rmtree(place, ignore_errors=True)
    export(checkout, base, workspace)
    return True


def think(settings: Settings, file: WorkFile, work_dir: Path, log: Callable[[str], None]) -> Result:
    """Let the model work on the checkout. The SDK is imported while the checkout is read."""
    from runner.adapters.git import earlier_work, tracked_paths
    from runner.adapters.llm_common import create_model
    from runner.adapters.shell import child_environment, forget_environment, harden, run_command
    from runner.adapters.transcript import Transcript
    from runner.workflow.thinking import Bench, choice_for
    from runner.workflow.thinking import think as work_on

    if file.work is None:
        raise ConfigError("This run needs no model.", remedy="Run `think` only after `gather` asked for one.")
    forget_environment(SECRETS)
    harden()
    choice = choice_for(file.work.phase, file.policy)
    is_anthropic = choice.provider == "anthropic"
    settings.require("model:anthropic" if is_anthropic else "model:openai")
    key = settings.anthropic_api_key if is_anthropic else settings.openai_api_key
    model = create_model(
        choice,
        api_key=key.get_secret_value() if key is not None else "",
        base_url=settings.anthropic_base_url if is_anthropic else settings.openai_base_url,
    )
    model.preload()
    checkout, home = work_dir / "checkout", work_dir / "home"
    home.mkdir(exist_ok=True)
    environment = child_environment(
        os.environ, home=home, declared=file.policy.checks.environment, known_secrets=settings.secrets
    )
    start = file.work.start
    with Transcript(work_dir / "transcript.jsonl", redactor=Redactor(settings.secrets)) as transcript:
        bench = Bench(  # noqa: S604 - the commands are the adopter's own, from the default branch
            checkout=checkout,
            tracked=tracked_paths(checkout, start),
            model=model,
            shell=lambda line, timeout: run_command(line, cwd=checkout, env=environment, timeout=timeout),
            monotonic=time.monotonic,
            log=transcript.add,
            read_base=_base_reader(checkout, file.commits[-1] if file.commits else start),
            history=lambda: earlier_work(checkout, start),
            transcript=str(transcript.path),
        )
        log(f"{file.key}: {file.work.phase} with {choice.provider}:{choice.model}")
        return work_on(file, bench)


def _base_reader(checkout: Path, base: str) -> Callable[[str], bytes | None]:
    """Reads regular files of the base commit, whatever stands in the checkout by now."""
    from runner.adapters.git import show_file, tracked_files

    @cache
    def paths() -> frozenset[str]:
        return frozenset(tracked_files(checkout, base))

    return lambda path: show_file(checkout, base, path) if path in paths() else None


def replay(transcript: Path, checkout: Path) -> Replayed:
    """Run a transcript's tool calls again on a copy of the commit it began from; ``checkout`` is only read."""
    from runner.adapters.git import checkout as check_out
    from runner.adapters.git import fetch_commits, tracked_paths
    from runner.agent.replay import read_transcript
    from runner.agent.replay import replay as run_again

    recorded = read_transcript(transcript)
    with tempfile.TemporaryDirectory(prefix="ai-runner-replay-") as folder:
        copy = Path(folder) / "checkout"
        try:
            fetch_commits(
                checkout.resolve().as_uri(), None, (recorded.start,), copy, allow_file=True, pauses=()
            )
        except RunnerError as exc:
            raise ConfigError(
                f"`{checkout}` does not hold the commit {recorded.start[:12]}, from which this run began.",
                remedy="Give a clone of the repository that has this commit.",
                detail=exc.detail or exc.summary,
            ) from exc
        check_out(copy, recorded.start)
        return run_again(recorded, copy, tracked=tracked_paths(copy, recorded.start))
