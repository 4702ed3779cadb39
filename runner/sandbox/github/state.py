"""The records the embedded GitHub keeps in memory. Git objects and refs live in the bare repository alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

Clock = Callable[[], datetime]
Level = Literal["read", "write"]
Role = Literal["none", "read", "write", "admin"]
TokenKind = Literal["actions", "app", "user", "classic"]


class TickingClock:
    """A clock that never shows the same second twice: each reading is one second later."""

    def __init__(self, start: datetime = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)) -> None:
        self._next = start
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        """Read the clock."""
        with self._lock:
            moment, self._next = self._next, self._next + timedelta(seconds=1)
        return moment


@dataclass(frozen=True, kw_only=True)
class User:
    """An account. ``role`` is its permission on the one repository; bots act by their token's permissions."""

    id: int
    login: str
    role: Role = "none"
    type: Literal["User", "Bot", "Organization"] = "User"

    @property
    def is_bot(self) -> bool:
        """Whether an app acts here rather than a person."""
        return self.type == "Bot"

    @property
    def may_push(self) -> bool:
        """Whether this person may change branches."""
        return self.role in ("write", "admin")


@dataclass(frozen=True, kw_only=True)
class Token:
    """A credential. ``permissions`` use underscores, as GitHub's API does; classic tokens ignore them."""

    value: str
    login: str
    kind: TokenKind
    permissions: Mapping[str, Level] = field(default_factory=dict)

    @property
    def is_app(self) -> bool:
        """Whether this is an installation token, whose rights come from its permissions alone."""
        return self.kind in ("actions", "app")

    def grants(self, permission: str, level: Level) -> bool:
        """Whether the token's permissions include this one; metadata comes with every token."""
        if self.kind == "classic" or (permission, level) == ("metadata", "read"):
            return True
        return self.permissions.get(permission) in ("write", level)


@dataclass(frozen=True, kw_only=True)
class GitHubEvent:
    """Something that starts workflows. ``payload`` has the webhook's shape.

    ``run_id`` is the queued workflow run that GitHub made for a dispatch; other kinds have none.
    """

    kind: str
    action: str
    payload: Mapping[str, Any]
    sender: str
    run_id: int | None = None


@dataclass(kw_only=True)
class IssueComment:
    """A comment of a pull request's conversation."""

    id: int
    author: User
    body: str
    created_at: str
    updated_at: str
    editor: User | None = None


@dataclass(kw_only=True)
class Review:
    """A review; ``state`` is GitHub's, PENDING until it is submitted."""

    id: int
    author: User
    body: str
    state: str
    commit_id: str
    created_at: str
    submitted_at: str | None = None
    edited_at: str | None = None


@dataclass(kw_only=True)
class ReviewComment:
    """One comment of a review thread."""

    id: int
    author: User
    body: str
    review: Review
    created_at: str
    updated_at: str
    editor: User | None = None


@dataclass(kw_only=True)
class Thread:
    """An inline conversation, fixed to a line of the commit it was started on."""

    id: int
    path: str
    line: int | None
    start_line: int | None
    side: str
    commit_id: str
    position: int
    diff_hunk: str
    comments: list[ReviewComment]
    resolved_by: User | None = None


@dataclass(kw_only=True)
class Label:
    """A label of the repository."""

    id: int
    name: str
    color: str = "ededed"
    description: str | None = None


@dataclass(kw_only=True)
class Pull:
    """A pull request between two branches of this repository."""

    id: int
    number: int
    author: User
    title: str
    body: str | None
    head: str
    head_sha: str
    base: str
    base_sha: str
    draft: bool
    created_at: str
    updated_at: str
    state: Literal["open", "closed"] = "open"
    closed_at: str | None = None
    closed_by: User | None = None
    merged_at: str | None = None
    merged_by: User | None = None
    merge_commit_sha: str | None = None
    labels: list[str] = field(default_factory=list)
    assignees: list[User] = field(default_factory=list)
    requested: list[User] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    threads: list[Thread] = field(default_factory=list)
    comments: list[IssueComment] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether it still can be merged."""
        return self.state == "open"


@dataclass(kw_only=True)
class CheckRun:
    """A check run on a commit."""

    id: int
    name: str
    head_sha: str
    status: str
    conclusion: str | None
    started_at: str
    completed_at: str | None
    app: User
    details_url: str | None = None
    external_id: str = ""
    output: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class CommitStatus:
    """A commit status; only the newest of each context counts."""

    id: int
    sha: str
    state: str
    context: str
    description: str | None
    target_url: str | None
    creator: User
    created_at: str


@dataclass(kw_only=True)
class WorkflowRun:
    """A workflow run. ``status`` and ``conclusion`` are GitHub's words."""

    id: int
    event: str
    path: str
    title: str
    head_branch: str
    head_sha: str
    actor: User
    created_at: str
    updated_at: str
    status: str = "queued"
    conclusion: str | None = None
    attempt: int = 1
