"""A Jira and a GitHub in one process, with their state, a clock and people; cheap to copy.

A prepared arena is copied for every case, so each case starts from the same state and no case sees another's.
"""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests
import yaml

from runner.sandbox.github import GitHubSandbox
from runner.sandbox.github.hub import Hub
from runner.sandbox.github.state import CheckRun
from runner.sandbox.jira import JiraSandbox, JiraSite
from runner.sandbox.jira.records import Issue, Status
from runner.sandbox.jira.service import MediaHost
from runner.sandbox.people import Person
from runner.sandbox.reviewers import Reviewer
from tests.reliability.clock import VirtualClock
from tests.reliability.repository import RememberingRepository
from tests.reliability.wire import Line, Wire

PROJECT = "SHOP"
REPOSITORY = "acme/shop"
JIRA_URL = "http://127.0.0.1:1"
GITHUB_URL = "http://127.0.0.1:2"
BOT_EMAIL = "runner@acme.example"
BOT_TOKEN = "jira-token-of-the-runner"
RUN_TOKEN = "ghs_token_of_the_run"
PERSON_TOKEN = "github-token-of-rey"
CONFIG_PATH = ".github/ai-runner.yml"
FILES = {"README.md": b"# Shop\n", "src/till.py": b"def total(prices):\n    return sum(prices)\n"}


class _Media(MediaHost):
    @property
    def url(self) -> str:
        return "http://127.0.0.1:3"


class _Jira(JiraSandbox):
    def __init__(self, site: JiraSite) -> None:
        super().__init__(site)
        self.media = _Media(site)

    @property
    def url(self) -> str:
        return JIRA_URL


class _GitHub(GitHubSandbox):
    """The API over an existing hub; pushes reach its repository as a path."""

    def __init__(self, hub: Hub, git_dir: Path) -> None:
        self.recorder = None
        self.observers = []
        self.hub, self.git_dir = hub, git_dir
        self.before, self.after, self.listeners = [], [], []

    @property
    def url(self) -> str:
        return GITHUB_URL


class _Reviewer(Reviewer):
    """A person on GitHub whose requests stay in this process."""

    def __init__(self, sandbox: GitHubSandbox, token: str, session: requests.Session) -> None:
        super().__init__(sandbox, token)
        self._session = session

    def request(self, method: str, path: str, **body: Any) -> Any:
        target = path if path.startswith("/") else f"/repos/{REPOSITORY}/{path}"
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Accept": "application/vnd.github+json",
            "User-Agent": "a browser",
        }
        answer = self._session.request(method, GITHUB_URL + target, json=body or None, headers=headers)
        answer.raise_for_status()
        return answer.json() if answer.content else None


class Arena:
    """Services with their state. ``rita`` asks, ``ada`` approves, ``rey`` reviews; ``bot`` is the runner's account."""

    def __init__(self, clock: VirtualClock, site: JiraSite, hub: Hub, folder: Path) -> None:
        self.clock, self.site, self.hub, self.folder = clock, site, hub, folder
        self.jira, self.github = _Jira(site), _GitHub(hub, folder / "repository.git")
        self.notes: dict[str, Any] = {}
        self.runs = 0
        self._cleanup = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._people()

    def _people(self) -> None:
        names = {user.display_name.split()[0].lower(): id_ for id_, user in self.site.users.items()}
        self.accounts = names
        self.bot = names["ai"]
        self.rita, self.ada, self.rey = (self._person(names[name]) for name in ("rita", "ada", "rey"))
        self.reviewer = _Reviewer(self.github, PERSON_TOKEN, self._session(self.github))

    def _session(self, service: JiraSandbox | GitHubSandbox) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.mount("http://", Wire(service, Line(), self.clock))
        return session

    def _person(self, account: str) -> Person:
        person = Person(self.jira, account)
        person._session.mount("http://", Wire(self.jira, Line(), self.clock))
        return person

    def copy(self) -> Arena:
        """The same world again, on its own."""
        folder = Path(tempfile.mkdtemp(prefix="arena-"))
        # Objects and refs are only ever replaced as whole files, so both worlds may share them.
        shutil.copytree(self.folder / "repository.git", folder / "repository.git", copy_function=os.link)
        commits = self.hub.git._commits
        # What a merge gives is not shared: its tree exists only in the repository that made it.
        memo: dict[int, Any] = {id(commits): commits}
        memo |= {id(self.site.lock): threading.RLock(), id(self.hub.lock): threading.RLock()}
        clock, site, hub, notes = copy.deepcopy((self.clock, self.site, self.hub, self.notes), memo)
        hub.git.path = folder / "repository.git"
        hub.git.environment = {**hub.git.environment, "HOME": str(folder)}
        made = Arena(clock, site, hub, folder)
        made.notes, made.runs = notes, self.runs
        return made

    def next_run(self) -> str:
        """The id of a new run; the same in every copy, so that equal worlds make equal commits."""
        self.runs += 1
        return f"{self.runs}.1"

    def forbid_moves_in_place(self) -> None:
        """Take the transitions from a status to itself away, which many workflows do not have."""
        for project in self.site.projects.values():
            for kind, moves in project.moves.items():
                names = {one.target.name for one in moves}
                project.moves[kind] = tuple(
                    replace(one, sources=frozenset((one.sources or names) - {one.target.name}))
                    for one in moves
                )

    # --- looking ----------------------------------------------------------------------------------------

    def issue(self, key: str) -> Issue:
        """A ticket as stored."""
        return self.site.issue(key)

    def status(self, key: str) -> str:
        """The name of a ticket's status."""
        return self.issue(key).status.name

    def assignee(self, key: str) -> str:
        """Who has a ticket: a first name, or nobody."""
        account = self.issue(key).assignee
        return next((name for name, id_ in self.accounts.items() if id_ == account), "nobody")

    def labels(self, key: str) -> set[str]:
        """The labels of a ticket."""
        return set(self.issue(key).labels)

    def sub_tasks(self, parent: str) -> list[str]:
        """Keys of the sub-tasks in Jira's order."""
        return [self.site.issues[id_].key for id_ in self.issue(parent).sub_task_ids]

    def rename_status(self, old: str, new: str) -> None:
        """An administrator renames a status; tickets in it are called so from then on."""

        def renamed(status: Status) -> Status:
            return replace(status, name=new) if status.name == old else status

        for project in self.site.projects.values():
            for kind, statuses in project.statuses.items():
                project.statuses[kind] = tuple(map(renamed, statuses))
                moves = project.moves[kind]
                project.moves[kind] = tuple(replace(one, target=renamed(one.target)) for one in moves)
        for issue in self.site.issues.values():
            issue.status = renamed(issue.status)

    # --- people on GitHub -------------------------------------------------------------------------------

    def commit_by_person(
        self, branch: str, path: str, content: bytes, message: str = "Polish by hand"
    ) -> str:
        """Rey pushes a commit to a branch."""
        git, token = self.hub.git, self.hub.tokens[PERSON_TOKEN]
        with self.hub.lock:
            head = git.branch(branch)
            assert head is not None
            who = self.hub.signature_of(self.hub.actor(token))
            tree = git.write_tree(head, {path: ("100644", git.write_blob(content))})
            sha = git.write_commit(tree, [head], message, author=who, committer=who)
            self.hub.move_ref(f"refs/heads/{branch}", sha, token, old=head)
            self.hub.pending.clear()
        return sha

    def rewrite_by_person(self, branch: str, path: str, content: bytes) -> str:
        """Rey pushes by force: one commit on the default branch instead of what the branch held."""
        git, token = self.hub.git, self.hub.tokens[PERSON_TOKEN]
        with self.hub.lock:
            base = git.branch(self.hub.default_branch)
            assert base is not None
            who = self.hub.signature_of(self.hub.actor(token))
            tree = git.write_tree(base, {path: ("100644", git.write_blob(content))})
            sha = git.write_commit(tree, [base], "Start over by hand", author=who, committer=who)
            self.hub.move_ref(f"refs/heads/{branch}", sha, token, old=git.branch(branch))
            self.hub.pending.clear()
        return sha

    def merge_by_person(self, base: str, branch: str) -> str:
        """Rey merges a branch into another one by hand, keeping the latter's files where the two conflict."""
        git, token = self.hub.git, self.hub.tokens[PERSON_TOKEN]
        with self.hub.lock:
            ours, theirs = git.branch(branch), git.branch(base)
            assert ours is not None
            assert theirs is not None
            who = self.hub.signature_of(self.hub.actor(token))
            added = {
                one.path: (one.mode, one.sha)
                for one in git.entries(theirs, recursive=True)
                if one.type == "blob"
            }
            kept = {
                one.path: (one.mode, one.sha)
                for one in git.entries(ours, recursive=True)
                if one.type == "blob"
            }
            tree = git.write_tree(ours, {**added, **kept})
            sha = git.write_commit(tree, [ours, theirs], "Merge by hand", author=who, committer=who)
            self.hub.move_ref(f"refs/heads/{branch}", sha, token, old=ours)
            self.hub.pending.clear()
        return sha

    def delete_branch(self, branch: str) -> None:
        """Rey deletes a branch."""
        with self.hub.lock:
            self.hub.move_ref(f"refs/heads/{branch}", None, self.hub.tokens[PERSON_TOKEN])
            self.hub.pending.clear()

    def fail_check(self, branch: str, name: str = "unit") -> None:
        """A check of the repository fails on a branch's head."""
        head = self.hub.git.branch(branch)
        token = self.hub.tokens[RUN_TOKEN]
        self.hub.checks.append(
            CheckRun(
                id=self.hub.new_id(),
                name=name,
                head_sha=str(head),
                status="completed",
                conclusion="failure",
                started_at=self.hub.now(),
                completed_at=self.hub.now(),
                app=self.hub.actor(token),
                output={"title": "red", "summary": "1 test failed"},
            )
        )


def new_arena(policy: Mapping[str, Any] | None = None, files: Mapping[str, bytes] | None = None) -> Arena:
    """An arena with a project, a repository, three people and the runner."""
    clock = VirtualClock()
    folder = Path(tempfile.mkdtemp(prefix="arena-"))
    site = JiraSite(clock=clock.moment)
    people = {
        name: site.add_user(
            name, email=f"{name.split()[0].lower()}@acme.example", token=f"jira-token-of-{name}"
        )
        for name in ("Rita Requester", "Ada Approver", "Rey Reviewer")
    }
    site.add_user("AI Runner", email=BOT_EMAIL, token=BOT_TOKEN)
    site.add_project(PROJECT, name="Shop")
    github = GitHubSandbox(REPOSITORY, git_dir=folder / "repository.git", clock=clock.moment)
    for hook in (folder / "repository.git" / "hooks").iterdir():
        hook.unlink()
    hub = github.hub
    hub.git = RememberingRepository(hub.git.path, default_branch=hub.default_branch)
    hub.url = GITHUB_URL
    config: dict[str, Any] = {
        "jira": {
            "projects": [PROJECT],
            "approver": people["Ada Approver"],
            "reviewer": people["Rey Reviewer"],
        },
        "pull_request": {"reviewers": ["rey"]},
        **(policy or {}),
    }
    github.seed({**FILES, **(files or {}), CONFIG_PATH: yaml.safe_dump(config).encode()}, "Start the project")
    github.add_user("rey", PERSON_TOKEN, "write")
    github.add_token(
        RUN_TOKEN,
        login="github-actions[bot]",
        kind="actions",
        permissions={
            "contents": "write",
            "pull-requests": "write",
            "checks": "read",
            "statuses": "read",
            "actions": "read",
        },
    )
    return Arena(clock, site, hub, folder)
