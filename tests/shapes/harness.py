"""A team's Jira and repository on loopback, and runs of the real stages against them, in one process.

Adapters are built by the composition root from an environment, as in a job; only the model is scripted. Runs are
started by hand, and whom a run wakes is run next.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from runner import composition
from runner.core.handover import ChangeRecord, Result, WorkFile
from runner.core.phases import Phase
from runner.core.plan import Item, PlanAnswer, PointAnswer
from runner.core.report import End
from runner.core.work import FileChange
from runner.errors import ConfigError, RunnerError
from runner.sandbox.github import GitHubSandbox
from runner.sandbox.github.state import Level
from runner.sandbox.jira import JiraSandbox, JiraSite
from runner.sandbox.people import Person
from runner.sandbox.reviewers import Reviewer
from runner.sandbox.server import Recorder
from runner.settings import Settings
from runner.workflow.event import event_of
from runner.workflow.stages import Desk, gather_stage, publish_stage, tell
from runner.workflow.sweep import sweep_stage
from tests.contracts import violations

Think = Callable[[WorkFile], Result]
PROJECT = "SHOP"
REPOSITORY = "acme/till"
BOT_EMAIL, BOT_TOKEN = "ai-runner@acme.example", "jira-token-of-the-runner"
RUN_TOKEN = "ghs_token_of_the_run"
PERMISSIONS: Mapping[str, Level] = {
    "contents": "write",
    "pull-requests": "write",
    "checks": "read",
    "statuses": "read",
    "actions": "read",
}
FILES = {"README.md": b"# Till\n", "src/till.py": b"def total(prices):\n    return sum(prices)\n"}
_numbers = itertools.count(100)


class Console:
    """Keeps what a run printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def annotate(self, level: str, title: str, message: str) -> None:
        self.lines.append(f"{level}: {message}")

    def output(self, name: str, value: str) -> None:
        self.lines.append(f"{name}={value}")

    def summary(self, markdown: str) -> None:
        self.lines.append(markdown)

    def mask(self, secret: str) -> None:
        pass

    def log(self, text: str) -> None:
        self.lines.append(text)


class _Recorder(Recorder):
    """Keeps exchanges as the contract knows them: without the path that a site may lie below."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix

    def add(self, service: str, request: Request, status: int, response: Response) -> None:
        super().add(service, request, status, response)
        if service == "jira":
            self.exchanges[-1]["path"] = self.exchanges[-1]["path"].removeprefix(self._prefix)


class PathedJira(JiraSandbox):
    """A Jira that lies below a path of its host."""

    prefix = ""

    def _split(self, request: Request) -> tuple[str, str, bool]:
        base, path, is_gateway = super()._split(request)
        return base + self.prefix, path.removeprefix(self.prefix), is_gateway


@dataclass(kw_only=True)
class Ran:
    """One run: how it ended, its error if it had one, and the model's work if it asked for any."""

    key: str
    end: End
    error: RunnerError | None
    file: WorkFile | None
    log: list[str]

    @property
    def writes(self) -> int:
        return self.end.writes


@dataclass(kw_only=True)
class Team:
    """A team with its services. ``rita`` asks, ``ada`` approves, ``rey`` reviews; ``bot`` is the runner's account."""

    folder: Path
    site: JiraSite
    jira: PathedJira
    github: GitHubSandbox
    recorder: Recorder
    environment: dict[str, str]
    bot: str
    rita: Person
    ada: Person
    rey: Person
    reviewer: Reviewer
    think: Think
    ran: list[Ran] = field(default_factory=list)

    # --- runs -------------------------------------------------------------------------------------------

    def run(self, key: str, *, think: Think | None = None) -> Ran:
        """One run for one ticket, told as the command line tells it."""
        console, number = Console(), next(_numbers)
        settings = Settings.from_environ({**self.environment, "GITHUB_RUN_ID": str(number)})
        desk_of = self._desks(settings, key, console)
        error: RunnerError | None = None
        file: WorkFile | None = None
        phase = ""
        with desk_of(publishes=False) as desk:
            try:
                file, end = gather_stage(desk)
                phase = file.phase
            except RunnerError as exc:
                error, end = exc, tell(desk, exc, None)
        if error is None and file is not None and file.verdict != "none":
            file = WorkFile.model_validate_json(file.model_dump_json())
            result = (think or self.think)(file) if file.verdict == "model" else None
            with desk_of(publishes=True) as desk:
                try:
                    end = publish_stage(desk, file, result)
                except RunnerError as exc:
                    error = exc
                    end = tell(desk, exc, Phase(phase) if phase in set(Phase) else None, result)
        ran = Ran(key=key, end=end, error=error, file=file, log=console.lines)
        self.ran.append(ran)
        return ran

    def _desks(
        self, settings: Settings, key: str, console: Console
    ) -> Callable[..., contextlib.AbstractContextManager[Desk]]:
        @contextlib.contextmanager
        def opened(*, publishes: bool) -> Iterator[Desk]:
            stage = composition.open_desk(
                settings,
                event_of(issue_key=key, phase="auto" if key else "sweep", by_person=False),
                console,
                run=composition.new_run_id(settings),
                work_dir=self.folder / "work" / settings.run_id,
                publishes=publishes,
            )
            try:
                yield stage.desk
            finally:
                stage.close()

        return opened

    def sweep(self) -> tuple[str, ...]:
        """Whom the sweep wakes."""
        settings = Settings.from_environ({**self.environment, "GITHUB_RUN_ID": str(next(_numbers))})
        with self._desks(settings, "", Console())(publishes=False) as desk:
            return sweep_stage(desk).next

    def follow(self, key: str, *, limit: int = 60) -> list[Ran]:
        """Run a ticket and whomever its runs wake, until nobody is woken."""
        queue: list[str] = [key]
        found: list[Ran] = []
        while queue:
            assert len(found) < limit, f"runs wake each other without end: {queue}"
            ran = self.run(queue.pop(0))
            found.append(ran)
            queue += [one for one in ran.end.next if one not in queue]
        return found

    def follow_together(self, key: str, *, workers: int) -> None:
        """As ``follow``, several runs at the same time, never two of one ticket: as concurrency groups do."""
        queue, begun = [key], 0
        running: dict[Future[Ran], str] = {}
        with ThreadPoolExecutor(workers) as pool:
            while queue or running:
                for one in [one for one in queue if one not in running.values()]:
                    queue.remove(one)
                    running[pool.submit(self.run, one)] = one
                    begun += 1
                assert begun < 200, f"runs wake each other without end: {queue}"
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[done]
                    queue += [one for one in done.result().end.next if one not in queue]

    # --- the story --------------------------------------------------------------------------------------

    def ask(
        self, *, kind: str = "Story", fields: Mapping[str, Any] | None = None, description: str = ""
    ) -> str:
        """Rita writes a ticket and assigns it to the runner."""
        key = self.rita.create_ticket(
            "Totals are wrong", description, type=kind, project=PROJECT, fields=dict(fields or {})
        )
        self.rita.assign(key, self.bot)
        return key

    def story(self, *, in_progress: str = "In Progress", **asked: Any) -> str:
        """The whole story of one ticket: planned, approved, implemented, merged. Returns its key."""
        key = self.ask(**asked)
        self.follow(key)
        self.ada.move(key, in_progress)
        self.follow(key)
        self.merge_all()
        return key

    def merge_all(self, method: str = "merge") -> None:
        """Rey merges every open pull request, oldest first, and each ticket is told before the next one is merged."""
        while pulls := [one for one in self.github.pulls if one.is_open]:
            self.reviewer.request("PUT", f"pulls/{pulls[0].number}/merge", merge_method=method)
            self.follow(pulls[0].head.removeprefix("ai/"))

    # --- looking ----------------------------------------------------------------------------------------

    def sub_tasks(self, key: str) -> list[str]:
        return [self.site.issues[id_].key for id_ in self.site.issue(key).sub_task_ids]

    def end_of(self, key: str) -> Ran:
        """The newest run of a ticket."""
        return next(one for one in reversed(self.ran) if one.key == key)

    def is_done(self, key: str) -> bool:
        return self.site.issue(key).status.category == "done"

    def status(self, key: str) -> str:
        return self.site.issue(key).status.name

    def labels(self, key: str) -> set[str]:
        return set(self.site.issue(key).labels)

    def said(self, key: str) -> str:
        """Everything the runner said on a ticket, as text."""
        mine = [one for one in self.site.issue(key).comments if one.author == self.bot]
        return "\n\n".join(_words(one.body) for one in mine)


def _words(node: Any) -> str:
    if isinstance(node, list):
        return "".join(map(_words, node))
    own = str(node.get("text", ""))
    inner = _words(node.get("content", []))
    return own + inner + ("\n" if node.get("type") in ("paragraph", "heading", "tableRow") else "")


@contextlib.contextmanager
def team(
    folder: Path,
    *,
    prepare: Callable[[JiraSite], Any] | None = None,
    policy: Mapping[str, Any] | None = None,
    files: Mapping[str, bytes] | None = None,
    default_branch: str = "main",
    private: bool = True,
    jira_path: str = "",
    permissions: Mapping[str, Level] | None = None,
    config: bytes | None = None,
    think: Think | None = None,
) -> Iterator[Team]:
    """Start a team's services. ``policy`` is laid over the configuration, ``config`` replaces the whole file."""
    recorder = _Recorder(jira_path)
    site = JiraSite()
    accounts = {
        name: site.add_user(
            name, email=f"{name.split()[0].lower()}@acme.example", token=f"jira-token-of-{name}"
        )
        for name in ("Rita Requester", "Ada Approver", "Rey Reviewer")
    }
    bot = site.add_user("AI Runner", email=BOT_EMAIL, token=BOT_TOKEN)
    if prepare is not None:
        prepare(site)
    else:
        site.add_project(PROJECT, name="Shop")
    jira = PathedJira(site, recorder=recorder)
    github = GitHubSandbox(
        REPOSITORY,
        git_dir=folder / "repository.git",
        private=private,
        default_branch=default_branch,
        recorder=recorder,
    )
    chosen = {
        "jira": {"approver": accounts["Ada Approver"], "reviewer": accounts["Rey Reviewer"]},
        "pull_request": {"reviewers": ["rey"]},
    }
    text = config if config is not None else json.dumps(_laid_over(chosen, policy or {})).encode()
    with jira, github:
        jira.prefix = jira_path
        github.seed({**(files or FILES), ".github/ai-runner.yml": text}, "Start the project")
        github.configure(allow_actions_pull_requests=True)
        github.add_user("rey", "github-token-of-rey", "write")
        github.add_token(
            RUN_TOKEN, login="github-actions[bot]", kind="actions", permissions=permissions or PERMISSIONS
        )
        people = [_person(jira, account, jira_path) for account in accounts.values()]
        yield Team(
            folder=folder,
            site=site,
            jira=jira,
            github=github,
            recorder=recorder,
            environment={
                "JIRA_BASE_URL": jira.url + jira_path,
                "JIRA_EMAIL": BOT_EMAIL,
                "JIRA_API_TOKEN": BOT_TOKEN,
                "GITHUB_TOKEN": RUN_TOKEN,
                "GITHUB_API_URL": github.url,
                "GITHUB_SERVER_URL": github.url,
                "GITHUB_REPOSITORY": REPOSITORY,
            },
            bot=bot,
            rita=people[0],
            ada=people[1],
            rey=people[2],
            reviewer=Reviewer(github, "github-token-of-rey"),
            think=think or answer,
        )
    broken = unheard_violations(recorder.exchanges)
    assert not broken, "\n".join(broken[:5])


def configure(acme: Team, policy: Mapping[str, Any]) -> None:
    """Put another configuration on the default branch."""
    hub = acme.github.hub
    with hub.lock:
        head = hub.git.branch(hub.default_branch)
        blob = hub.git.write_blob(json.dumps(policy).encode())
        tree = hub.git.write_tree(head, {".github/ai-runner.yml": ("100644", blob)})
        who = hub.signature_of(hub.owner)
        sha = hub.git.write_commit(tree, [str(head)], "Configure the runner", author=who, committer=who)
        hub.git.set_ref(f"refs/heads/{hub.default_branch}", sha, old=head)


_heard: set[tuple[str, ...]] = set()


def unheard_violations(exchanges: Sequence[Mapping[str, Any]]) -> list[str]:
    """Contract violations of exchanges that hold something none before in this process held.

    Checking is slow and stories repeat themselves; with ``AI_RUNNER_FULL`` every exchange is checked.
    """
    new = []
    for one in exchanges:
        facts = set(_facts(one))
        if facts - _heard or os.environ.get("AI_RUNNER_FULL"):
            _heard.update(facts)
            new.append(one)
    return violations(new)


def _facts(exchange: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Every place in an exchange with the type of what stands there; for documents, their kinds of nodes."""
    path = re.sub(r"[0-9a-f]{40}|\d+", "N", str(exchange["path"]))
    head = (str(exchange["method"]), path, str(exchange["status"]))
    yield from ((*head, "query", name) for name in exchange.get("query") or {})
    pending: list[tuple[str, Any]] = [(name, exchange.get(name)) for name in ("body", "response")]
    while pending:
        place, value = pending.pop()
        if isinstance(value, Mapping) and isinstance(value.get("content"), list):
            marks = sorted(str(mark.get("type")) for mark in value.get("marks", ()))
            yield (*head, "document", str(value.get("type")), *marks)
            pending += [("document", one) for one in value["content"]]
        elif isinstance(value, Mapping):
            pending += [(f"{place}.{name}", one) for name, one in value.items()]
        elif isinstance(value, list):
            pending += [(f"{place}[]", one) for one in value]
        else:
            yield (*head, place, type(value).__name__)


class _BelowPath(Person):
    """A person whose Jira lies below a path."""

    path = ""

    def request(self, method: str, path: str, **options: Any) -> Any:
        response = self._session.request(
            method, f"{self.sandbox.url}{self.path}/rest/api/3/{path}", timeout=30, **options
        )
        assert response.status_code < 400, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None


def _person(jira: JiraSandbox, account: str, path: str) -> Person:
    person = _BelowPath(jira, account)
    person.path = path
    return person


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        known = merged.get(name)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[name] = _laid_over(known, value) if both else value  # type: ignore[arg-type]
    return merged


# --- the model ----------------------------------------------------------------------------------------------


def answer(file: WorkFile) -> Result:
    """A plan of two items that stand apart; each is implemented by a file of its own."""
    return planned_as("prices", "receipt")(file)


def planned_as(*ids: str, depends_on: Mapping[str, Sequence[str]] | None = None) -> Think:
    """A model whose plan has these items, and which implements each with one new file."""

    def think(file: WorkFile) -> Result:
        assert file.work is not None
        items = tuple(
            Item(
                id=id_,
                title=f"Do {id_}",
                description=f"About {id_}.",
                depends_on=tuple((depends_on or {}).get(id_, ())),
            )
            for id_ in ids
        )
        if file.work.phase is Phase.PLAN:
            return result(file, plan=plan_of(file, *items))
        name = file.work.item.id if file.work.item is not None else file.work.key
        text = f"# {name}\n" + "".join(f"# {one.text}\n" for one in file.work.feedback)
        return result(file, {f"src/{name}.py": text.encode()})

    return think


def writing(*paths: str, content: bytes = b"one = 1\n") -> Think:
    """A model whose plan has one item, implemented by these files."""

    def think(file: WorkFile) -> Result:
        assert file.work is not None
        if file.work.phase is Phase.PLAN:
            return result(file, plan=plan_of(file, Item(id="only", title="Do it", description="All of it.")))
        return result(file, dict.fromkeys(paths, content))

    return think


def plan_of(file: WorkFile, *items: Item) -> PlanAnswer:
    assert file.work is not None
    answers = tuple(PointAnswer(id=one.id, verdict="done", text="Done.") for one in file.work.feedback)
    return PlanAnswer(outcome="plan", summary="A plan.", items=items, questions=(), answers=answers)


def result(
    file: WorkFile, files: Mapping[str, bytes] | None = None, plan: PlanAnswer | None = None
) -> Result:
    """A finished piece of work."""
    work = file.work
    assert work is not None
    changes = [FileChange(path=path, content=content) for path, content in (files or {}).items()]
    return Result(
        key=work.key,
        phase=work.phase,
        run=file.run,
        input_digest=work.input_digest,
        start=work.start,
        outcome="done",
        summary="What was done.",
        plan=plan,
        answers=tuple(PointAnswer(id=one.id, verdict="done", text="Done.") for one in work.feedback),
        changes=tuple(ChangeRecord.from_change(change) for change in changes),
        model="anthropic:scripted",
        calls=1,
        tokens=1_000,
        usd=Decimal("0.01"),
    )


def told(ran: Ran, team: Team) -> str:
    """The error's own words, which the ticket was told."""
    assert ran.error is not None, ran.log
    assert ran.error.summary.split("`")[0] in team.said(ran.key), team.said(ran.key)
    assert isinstance(ran.error, ConfigError) or ran.error.remedy
    return f"{ran.error.summary} {ran.error.remedy}"
