"""A whole world on loopback: Jira, GitHub, a model, the Automation rules and the Actions that run our workflow.

People act on it through real HTTP, and every event travels as it would outside: Jira's rule posts a dispatch
to GitHub, GitHub starts the shipped workflow, the workflow runs the action. ``Traffic`` counts what each run
read, wrote and asked, at the services themselves.
"""

from __future__ import annotations

import contextlib
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml
from werkzeug.wrappers import Request, Response

from runner.sandbox.actions import ActionsEngine, Via, WorkflowRun
from runner.sandbox.automation import Automation, enabled, fill, load_rules
from runner.sandbox.github import GitHubSandbox
from runner.sandbox.jira import JiraSandbox, JiraSite
from runner.sandbox.models import SANDBOX_KEY, ScriptedModels
from runner.sandbox.models_wire import Brain
from runner.sandbox.people import Person
from runner.sandbox.reviewers import Reviewer
from runner.sandbox.server import Recorder

Provider = Literal["anthropic", "openai"]
Json = dict[str, object]
# Fills the repository; given the accounts of the people by their first names.
Seed = Callable[[GitHubSandbox, Mapping[str, str]], None]

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "docs" / "workflow" / "ai-runner.yml"
REPOSITORY = "acme/till"
PROJECT = "SHOP"
CONFIG = ".github/ai-runner.yml"
BOT_EMAIL, BOT_TOKEN = "ai-runner@acme.example", "jira-token-of-the-runner"
REVIEWER_TOKEN, RULES_TOKEN = "github-token-of-rey", "github-token-of-jira"
_SECRETS: Mapping[str, str] = {
    "JIRA_API_TOKEN": BOT_TOKEN,
    "ANTHROPIC_API_KEY": SANDBOX_KEY,
    "OPENAI_API_KEY": SANDBOX_KEY,
}
MODELS: Mapping[Provider, str] = {"anthropic": "anthropic:claude-opus-5-5", "openai": "openai:gpt-6.1-sol"}
# Requests that read although they are sent by POST.
QUERIES = ("/search/jql", "/bulkfetch", "/comment/list", "/changelog/list", "/approximate-count")


@dataclass
class Traffic:
    """What one run caused, counted at the services. Dispatches are apart from writes."""

    writes: int = 0
    dispatches: int = 0
    model_calls: int = 0
    requests: list[str] = field(default_factory=list)


class Meters:
    """Attributes requests to the run whose token sent them; Jira's one token belongs to the run that works."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_run: dict[int, Traffic] = {}
        self._present: Traffic | None = None

    def watch(self, jira: JiraSandbox, github: GitHubSandbox, models: ScriptedModels) -> None:
        """Count what these services are asked."""
        jira.observers.append(self.jira)
        github.observers.append(self.github)
        models.observers.append(self.model)

    def follow(self, run: WorkflowRun) -> None:
        """Called for every change of a run's status: what comes now belongs to the run in progress."""
        with self._lock:
            if run.status == "in_progress":
                self._present = self._by_run.setdefault(id(run), Traffic())
            elif run.status == "completed":
                self._present = None

    def of(self, run: WorkflowRun) -> Traffic:
        """What a run caused."""
        return self._by_run.get(id(run), Traffic())

    def jira(self, request: Request, _: Response) -> None:
        """Count a request of the runner's account to Jira."""
        is_ours = request.authorization is not None and request.authorization.username == BOT_EMAIL
        if is_ours:
            is_query = request.path.endswith(QUERIES)
            self._count(request, is_write=request.method not in ("GET", "HEAD") and not is_query)

    def github(self, request: Request, _: Response) -> None:
        """Count a request to GitHub by a workflow run's token: REST, GraphQL mutations and pushes."""
        token = _token_of(request)
        if not token.startswith("ghs_"):
            return
        if request.path.endswith("/dispatches"):
            with self._lock:
                if self._present is not None:
                    self._present.dispatches += 1
            return
        if request.path.endswith("/graphql"):
            is_write = "mutation" in request.get_data(as_text=True)[:500]
        elif request.path.endswith("/git-upload-pack"):
            is_write = False
        else:
            is_write = request.method not in ("GET", "HEAD")
        self._count(request, is_write=is_write)

    def model(self, _request: Request, _response: Response) -> None:
        """Count a call of a model."""
        with self._lock:
            if self._present is not None:
                self._present.model_calls += 1

    def _count(self, request: Request, *, is_write: bool) -> None:
        with self._lock:
            if self._present is not None and is_write:
                self._present.writes += 1
                self._present.requests.append(f"{request.method} {request.path}")


def _token_of(request: Request) -> str:
    authorization = request.authorization
    if authorization is None:
        return ""
    return authorization.token or authorization.password or ""


@dataclass(kw_only=True)
class World:
    """Everything, running. ``people`` act in Jira by name, ``reviewer`` on GitHub."""

    folder: Path
    jira: JiraSandbox
    github: GitHubSandbox
    models: ScriptedModels
    actions: ActionsEngine
    automation: Automation
    meters: Meters
    recorder: Recorder
    bot: str
    people: dict[str, Person]
    reviewer: Reviewer

    def settle(self, timeout: float = 600.0) -> None:
        """Wait until no run works or waits."""
        if not self.actions.wait_idle(timeout):
            raise TimeoutError(f"the runs did not end within {timeout:g} s; their logs are in {self.folder}")


@contextlib.contextmanager
def open_world(
    folder: Path,
    *,
    brain: Brain,
    provider: Provider = "anthropic",
    via: Via = "process",
    twice: bool = False,
    files: Mapping[str, bytes] | None = None,
    prepare: Callable[[JiraSite], None] | None = None,
    policy: Mapping[str, object] | None = None,
    workers: int = 1,
    seed: Seed | None = None,
    default_branch: str = "main",
    settings: Mapping[str, str] | None = None,
    workflow: Path = WORKFLOW,
    tls: Mapping[str, ssl.SSLContext] | None = None,
) -> Iterator[World]:
    """Start everything and stop it again.

    ``files`` is the repository's first commit; ``policy`` adds to its configuration. Whoever wants something else in
    the repository gives ``seed``. ``settings`` are repository variables and secrets that replace those of this world,
    such as a provider's real address and key. ``workflow`` is the shipped one, or what an adopter made of it.
    ``tls`` gives services, by name, what they speak HTTPS with.
    """
    recorder, meters = Recorder(), Meters()
    site = JiraSite()
    accounts, bot = _staff(site)
    (prepare or _one_project)(site)
    jira = JiraSandbox(site, recorder=recorder)
    github = GitHubSandbox(
        REPOSITORY, git_dir=folder / "repository.git", default_branch=default_branch, recorder=recorder
    )
    models = ScriptedModels(brain)
    for service in (jira, github, models):
        service.tls = (tls or {}).get(service.name)
    meters.watch(jira, github, models)
    with jira, github, models:
        _furnish(github, seed or _seed_of(files or {}, provider, policy or {}), accounts)
        actions = ActionsEngine(
            workflow,
            ROOT,
            environment=lambda: _addresses(github),
            secrets=_replaced(_SECRETS, settings),
            variables=_replaced(_variables(jira, models), settings),
            mint_token=lambda permissions: _mint(github, permissions),
            work_dir=folder / "runs",
            via=via,
            workers=workers,
            twice=twice,
        )
        actions.observers.append(meters.follow)
        github.listeners.append(actions.on_event)
        with _automated(site, github, bot) as automation, contextlib.closing(actions):
            yield World(
                folder=folder,
                jira=jira,
                github=github,
                models=models,
                actions=actions,
                automation=automation,
                meters=meters,
                recorder=recorder,
                bot=bot,
                people={name: Person(jira, account) for name, account in accounts.items()},
                reviewer=Reviewer(github, REVIEWER_TOKEN),
            )


def _staff(site: JiraSite) -> tuple[dict[str, str], str]:
    """The accounts of the people by their first names, and the runner's."""
    people = {}
    for full in ("Rita Requester", "Ada Approver", "Rey Reviewer"):
        name = full.split()[0].lower()
        people[name] = site.add_user(full, email=f"{name}@acme.example", token=f"jira-token-of-{name}")
    return people, site.add_user("AI Runner", email=BOT_EMAIL, token=BOT_TOKEN)


def _one_project(site: JiraSite) -> None:
    site.add_project(PROJECT, name="Shop")


def _addresses(github: GitHubSandbox) -> dict[str, str]:
    """What GitHub tells every run of itself."""
    return {
        "GITHUB_API_URL": github.url,
        "GITHUB_SERVER_URL": github.url,
        "GITHUB_REPOSITORY": REPOSITORY,
    }


def _seed_of(files: Mapping[str, bytes], provider: Provider, policy: Mapping[str, object]) -> Seed:
    def seed(github: GitHubSandbox, accounts: Mapping[str, str]) -> None:
        seed_project(github, files, {CONFIG: configuration(files, provider, accounts, policy)})

    return seed


def _furnish(github: GitHubSandbox, seed: Seed, accounts: Mapping[str, str]) -> None:
    """The repository's first commit, and who may do what in it."""
    seed(github, accounts)
    github.configure(allow_actions_pull_requests=True)
    github.add_user("rey", REVIEWER_TOKEN, "write")
    github.add_token(RULES_TOKEN, login="jira-automation", kind="user", permissions={"contents": "write"})
    github.add_user("jira-automation", "github-token-of-jira-automation", "write")


def _variables(jira: JiraSandbox, models: ScriptedModels) -> dict[str, str]:
    """The repository variables that an adopter would set."""
    return {
        "AI_RUNNER_CONFIG": CONFIG,
        "JIRA_BASE_URL": jira.url,
        "JIRA_EMAIL": BOT_EMAIL,
        "ANTHROPIC_BASE_URL": models.anthropic_url,
        "OPENAI_BASE_URL": models.openai_url,
    }


@contextlib.contextmanager
def _automated(site: JiraSite, github: GitHubSandbox, bot: str) -> Iterator[Automation]:
    """The rules that we ship, filled in as an adopter would and at work."""
    rules = fill(
        load_rules(),
        runner_account_id=bot,
        repository=REPOSITORY,
        token=RULES_TOKEN,
        api_url=github.url,
    )
    automation = Automation(site, enabled(rules))
    automation.attach()
    try:
        yield automation
    finally:
        automation.detach()


def _mint(github: GitHubSandbox, permissions: Mapping[str, str]) -> str:
    """A token as a workflow run gets it: for this repository, with the job's permissions and no others."""
    token = f"ghs_{secrets.token_hex(18)}"
    levels: dict[str, Literal["read", "write"]] = {
        name: "write" if level == "write" else "read"
        for name, level in permissions.items()
        if level != "none"
    }
    github.add_token(token, login="github-actions[bot]", kind="actions", permissions=levels)
    return token


def _replaced(own: Mapping[str, str], given: Mapping[str, str] | None) -> dict[str, str]:
    return {name: (given or {}).get(name, value) for name, value in own.items()}


def seed_project(github: GitHubSandbox, files: Mapping[str, bytes], configs: Mapping[str, bytes]) -> None:
    """Make the first commit: the project's files, its configurations by path, and the shipped workflow."""
    workflow = {".github/workflows/ai-runner.yml": WORKFLOW.read_bytes()}
    github.seed({**files, **configs, **workflow}, "Start the project")


def configuration(
    files: Mapping[str, bytes], provider: Provider, accounts: Mapping[str, str], extra: Mapping[str, object]
) -> bytes:
    """The repository's own configuration with the world's accounts and models filled in."""
    config: Json = yaml.safe_load(files.get(CONFIG, b"")) or {}
    model = MODELS[provider]
    config["models"] = {"plan": model, "implement": model, "revise": model}
    known = config.get("jira")
    config["jira"] = {
        **(known if isinstance(known, dict) else {}),
        "projects": [PROJECT],
        "approver": accounts["ada"],
        "reviewer": accounts["rey"],
    }
    pull_request = config.get("pull_request")
    config["pull_request"] = {
        **(pull_request if isinstance(pull_request, dict) else {}),
        "reviewers": ["rey"],
    }
    for name, value in extra.items():
        known = config.get(name)
        config[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    return yaml.safe_dump(config, sort_keys=False).encode()
