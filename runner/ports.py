"""Protocols named for our needs. Adapters implement them, fakes stand in for them in tests.

A read either returns everything it was asked for or raises: unknown is never empty.
A write raises ``Ambiguous`` when its answer was lost; the caller reads back before it writes again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from runner.core.changes import Base
from runner.core.model import (
    Account,
    Branch,
    CommitInfo,
    PullRequest,
    PullRequestGlance,
    Repository,
    ReviewComment,
    Status,
    Ticket,
    TicketType,
)
from runner.core.work import Brief, FileChange, Input, Turn, Usage


@dataclass(frozen=True, kw_only=True)
class CommentBody:
    """A comment to write: Markdown, collapsed machine blocks as (title, code), and the quiet last line."""

    markdown: str
    collapsed: tuple[tuple[str, str], ...] = ()
    last_line: str = ""


@dataclass(frozen=True, kw_only=True)
class Transition:
    """A move that Jira offers now. ``required_fields`` lists ids that it insists on and that have no default."""

    id: str
    name: str
    target: str
    target_category: str
    required_fields: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NewSubTask:
    """A sub-task to create; ``labels`` travel inside the create call, they are its natural key."""

    parent_key: str
    project_id: str
    type_id: str
    summary: str
    description: str
    labels: tuple[str, ...]
    assignee_id: str | None
    fields: Mapping[str, object]


class Tickets(Protocol):
    """Jira, as far as we need it."""

    def myself(self) -> Account:
        """Return the account this token belongs to; raises Unauthorized for a wrong token."""
        ...

    def ticket(self, key: str) -> Ticket:
        """Read one ticket in full: fields, all comments, whole changelog, remote links."""
        ...

    def tickets(self, keys: Sequence[str]) -> tuple[Ticket, ...]:
        """Read tickets without comments and history, in the order asked; a missing one is left out."""
        ...

    def search(self, jql: str, *, limit: int) -> tuple[str, ...]:
        """Keys matching a query. Lags behind writes: for sweeping only, never to learn what exists."""
        ...

    def survey(self, jql: str, *, limit: int) -> tuple[Ticket, ...]:
        """Tickets matching a query, without comments and history, as search knows them: it lags. For sweeping only."""
        ...

    def sub_task_type(self, project_key: str, wanted: str | None) -> TicketType:
        """Return the project's sub-task type: the wanted name, or the only one. ConfigError names the choices."""
        ...

    def missing_create_fields(self, project_key: str, type_id: str, given: Sequence[str]) -> tuple[str, ...]:
        """Names of fields the create screen requires beyond ``given``, plus what it lacks of ours and of ``given``."""
        ...

    def statuses(self, project_key: str) -> Mapping[str, tuple[Status, ...]]:
        """The statuses each issue type of a project can have, by issue type id."""
        ...

    def type_names(self) -> tuple[str, ...]:
        """Names of all issue types of this Jira that the account can see."""
        ...

    def field_names(self) -> Mapping[str, str]:
        """Names of all fields of this Jira, by their ids."""
        ...

    def unknown_accounts(self, account_ids: Sequence[str]) -> tuple[str, ...]:
        """Those of these accounts that this Jira does not know."""
        ...

    def editable_fields(self, key: str) -> frozenset[str]:
        """Ids of the fields the edit screen lets this account change."""
        ...

    def assignable(self, key: str, account_ids: Sequence[str]) -> frozenset[str]:
        """Which of these accounts are active people or apps that may be assigned to this ticket."""
        ...

    def transitions(self, key: str) -> tuple[Transition, ...]:
        """Moves that are possible now."""
        ...

    def move(self, key: str, transition_id: str, fields: Mapping[str, object]) -> None:
        """Perform a transition."""
        ...

    def edit(
        self,
        key: str,
        *,
        add_labels: Sequence[str] = (),
        remove_labels: Sequence[str] = (),
        assignee: Account | str | None = "keep",
    ) -> None:
        """Change labels and assignee in one request: the commit point. ``"keep"`` leaves the assignee, ``None`` unassigns."""
        ...

    def assign(self, key: str, account_id: str | None) -> None:
        """Change the assignee alone, for screens without the field."""
        ...

    def add_comment(self, key: str, body: CommentBody) -> str:
        """Write a comment and return its id."""
        ...

    def edit_comment(self, key: str, comment_id: str, body: CommentBody) -> None:
        """Replace a comment of ours."""
        ...

    def create_sub_task(self, new: NewSubTask) -> str:
        """Create one sub-task and return its key, having verified its parent in the answer."""
        ...

    def link(
        self, key: str, *, global_id: str, url: str, title: str, summary: str, is_resolved: bool
    ) -> None:
        """Create or update the remote link with this global id."""
        ...

    def attach(self, key: str, name: str, data: bytes, media_type: str) -> str:
        """Attach a file and return its id."""
        ...

    def attachment(self, attachment_id: str, *, limit: int) -> bytes:
        """Read an attachment; raises Conflict when it is larger than ``limit`` bytes."""
        ...


class Forge(Protocol):
    """GitHub's API, as far as we need it."""

    def repository(self) -> Repository:
        """Describe the repository, and whose token this is."""
        ...

    def file(self, path: str, *, ref: str) -> bytes | None:
        """Read a file at a ref; ``None`` when the file does not exist there."""
        ...

    def head(self, branch: str) -> str | None:
        """The commit a branch points to; ``None`` when there is no such branch."""
        ...

    def branch(self, name: str, *, base: str) -> Branch | None:
        """A branch with its commits that are not on ``base``, newest first."""
        ...

    def is_ahead(self, sha: str, *, of: str) -> bool:
        """Whether the commit ``of`` lacks this commit or one of its ancestors; NotFound when either is gone."""
        ...

    def pull_requests(self, *, head: str, detailed: bool) -> tuple[PullRequest, ...]:
        """Every pull request from this branch of this repository, oldest first, whatever its state.

        With ``detailed`` the newest one also carries reviews, threads, comments and checks, complete.
        """
        ...

    def pull_request_commits(self, number: int) -> tuple[CommitInfo, ...]:
        """The commits that a pull request offers or offered, oldest first, whatever became of its branch."""
        ...

    def review_paths(self, number: int) -> Mapping[str, tuple[str, ...]]:
        """The files that each review's inline comments are about, by the review's id."""
        ...

    def files_of(self, sha: str) -> tuple[str, ...]:
        """The paths that a commit changed."""
        ...

    def pull_requests_onto(self, base: str) -> tuple[PullRequest, ...]:
        """Open pull requests that target this branch."""
        ...

    def recent_pull_requests(self) -> tuple[PullRequestGlance, ...]:
        """The pull requests from branches of this repository that changed last, at most a page, in one request."""
        ...

    def create_pull_request(self, *, head: str, base: str, title: str, body: str, draft: bool) -> PullRequest:
        """Open a pull request, or return the open one between these branches.

        A refused draft is opened as a normal one with ``[draft]`` in its title, and returned with ``is_draft``
        false; every later read says true.
        """
        ...

    def update_pull_request(
        self, number: int, *, title: str | None = None, body: str | None = None, base: str | None = None
    ) -> None:
        """Change a pull request's texts or target."""
        ...

    def set_draft(self, pull_request: PullRequest, *, draft: bool) -> None:
        """Turn a draft into a normal pull request or back."""
        ...

    def add_labels(self, number: int, labels: Sequence[str]) -> None:
        """Add labels to a pull request."""
        ...

    def request_reviewers(self, number: int, logins: Sequence[str]) -> tuple[str, ...]:
        """Ask people for review; returns those GitHub refused (the author, people without access)."""
        ...

    def update_branch(self, number: int, *, expected_head: str) -> None:
        """Merge the base into the head on the server; Conflict when it cannot or the head moved."""
        ...

    def reply(self, pull_request: PullRequest, thread_id: str, body: str) -> None:
        """Answer in a review thread."""
        ...

    def comment(self, number: int, body: str) -> None:
        """Write a comment in the pull request's conversation."""
        ...

    def retract(self, number: int, said: ReviewComment, *, is_inline: bool) -> None:
        """Remove a comment of ours from the conversation, or from a thread; one that is gone already is no error."""
        ...

    def may_write(self, login: str) -> bool:
        """Whether this person may push to the repository."""
        ...

    def dispatch(self, payload: Mapping[str, str]) -> None:
        """Fire ``repository_dispatch`` of our event type at this repository."""
        ...

    def is_run_alive(self, run_id: str) -> bool:
        """Whether a workflow run is queued, waiting or running."""
        ...


class Publisher(Protocol):
    """Builds one commit in a fresh bare repository and pushes it with compare-and-swap."""

    def base(self, start: str, paths: Sequence[str]) -> Base:
        """The tree of a commit as the guard needs it: every path's mode, and the contents of ``paths``."""
        ...

    def publish(
        self,
        *,
        branch: str,
        start: str,
        expected: str | None,
        changes: Sequence[FileChange],
        message: str,
        when: datetime | None = None,
    ) -> str:
        """Commit ``changes`` on top of ``start`` and move ``branch`` from ``expected`` (``None``: absent) to it.

        Returns the new commit, which the same input with the same ``when`` (default: now) makes the same.
        Raises MovedUnderUs when the branch is not at ``expected``, Refused when the forge's rules decline the
        push, Conflict when there is nothing to commit.
        """
        ...


class Conversation(Protocol):
    """An append-only exchange with one model."""

    @property
    def usage(self) -> Usage:
        """Everything billed so far, failed calls included."""
        ...

    @property
    def calls(self) -> int:
        """HTTP calls so far, failed ones included."""
        ...

    def estimate(self, inputs: Sequence[Input]) -> int:
        """Prompt tokens that sending these inputs now would take."""
        ...

    def send(self, inputs: Sequence[Input], *, deadline: float) -> Turn:
        """Add inputs, ask, keep the raw answer, return it in neutral shape.

        ``deadline`` is on the monotonic clock. Retries by status inside; raises Unavailable,
        ConfigError or GaveUp with the usage so far already counted in ``usage``.
        """
        ...


class Model(Protocol):
    """A provider's model."""

    def preload(self) -> None:
        """Begin importing the SDK beside other work."""
        ...

    def open(self, brief: Brief) -> Conversation:
        """Begin a conversation with fixed instructions and tools."""
        ...


class Console(Protocol):
    """Where a run speaks to the Actions log."""

    def annotate(self, level: str, title: str, message: str) -> None:
        """Write a notice, warning or error annotation."""
        ...

    def output(self, name: str, value: str) -> None:
        """Set a step output."""
        ...

    def summary(self, markdown: str) -> None:
        """Append to the job summary."""
        ...

    def mask(self, secret: str) -> None:
        """Register a value that the log must never show."""
        ...

    def log(self, text: str) -> None:
        """Write a line that cannot be taken for a workflow command."""
        ...
