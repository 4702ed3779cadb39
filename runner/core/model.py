"""Frozen records of what is read from Jira and GitHub. Times are ISO 8601 in UTC, comparable as text.

Everything in here came from outside and is untrusted; a record only says what was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

from runner.core.markers import LedgerEntry


def iso(moment: datetime) -> str:
    """A moment as the records keep it: UTC, milliseconds, ``Z``; such texts sort by time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


@dataclass(frozen=True, kw_only=True)
class Account:
    """A Jira account. ``is_person`` is false for apps and service-desk customers."""

    id: str
    name: str = ""
    is_active: bool = True
    is_person: bool = True


@dataclass(frozen=True, kw_only=True)
class Status:
    """A Jira status. ``category`` is Jira's key; it and ``id`` survive renaming and translation."""

    name: str
    category: Literal["new", "indeterminate", "done"]
    id: str = ""


@dataclass(frozen=True, kw_only=True)
class TicketType:
    """An issue type. ``level`` is Jira's hierarchy level: -1 sub-task, 0 story or task, 1 Epic."""

    id: str
    name: str
    level: int = 0

    @property
    def is_sub_task(self) -> bool:
        """Whether tickets of this type live under a parent ticket."""
        return self.level < 0


@dataclass(frozen=True, kw_only=True)
class Comment:
    """A comment. ``text`` is Markdown of the whole body without our own machine parts.

    ``code_blocks`` are (title, code) of collapsed blocks and ``last_line`` the last line's plain text:
    the carriers of our markers. ``author`` wrote it, ``editor`` changed it last (Jira's updateAuthor).
    A restricted comment is counted and carries no text.
    """

    id: str
    author: Account
    editor: Account
    created: str
    updated: str
    text: str
    code_blocks: tuple[tuple[str, str], ...] = ()
    last_line: str = ""
    is_restricted: bool = False


@dataclass(frozen=True, kw_only=True)
class Change:
    """One changed field of the changelog; ``old`` and ``new`` are display values, the ids Jira's raw ones."""

    at: str
    author: Account
    field: str
    old: str
    new: str
    old_id: str = ""
    new_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A file on a ticket; ``content`` is present only when it was read for the model."""

    id: str
    name: str
    media_type: str
    size: int
    created: str
    author: Account


@dataclass(frozen=True, kw_only=True)
class LinkedTicket:
    """A ticket that this one links to, with the relation as Jira words it."""

    key: str
    relation: str
    summary: str
    status: Status
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """One Jira ticket. ``comments`` and ``history`` are complete, oldest first, where they were asked for.

    ``is_detailed`` tells a ticket read in full from one read as somebody's sub-task or parent:
    only a detailed ticket has comments, history, attachments and links.
    """

    key: str
    id: str
    project_key: str
    project_id: str
    type: TicketType
    summary: str
    status: Status
    assignee: Account | None
    reporter: Account | None
    creator: Account | None
    labels: frozenset[str] = frozenset()
    description: str = ""
    parent_key: str | None = None
    sub_task_keys: tuple[str, ...] = ()
    created: str = ""
    updated: str = ""
    comments: tuple[Comment, ...] = ()
    history: tuple[Change, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    links: tuple[LinkedTicket, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    remote_links: Mapping[str, str] = field(default_factory=dict)
    is_detailed: bool = False
    project_kind: str = "software"

    @property
    def former_keys(self) -> tuple[str, ...]:
        """Keys that a detailed ticket had in other projects, oldest first; Jira answers to them for ever."""
        return tuple(change.old for change in self.history if change.field.casefold() == "key")


class ReviewState(StrEnum):
    """The verdict of a GitHub review."""

    APPROVED = "APPROVED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    COMMENTED = "COMMENTED"
    DISMISSED = "DISMISSED"
    PENDING = "PENDING"


@dataclass(frozen=True, kw_only=True)
class Review:
    """A review of a pull request: its summary text and verdict. ``can_write``: the author may push.

    ``paths`` are the files of its inline comments, where they were asked for.
    """

    id: str
    author: str
    state: ReviewState
    body: str
    submitted: str
    updated: str = ""
    can_write: bool = False
    is_person: bool = True
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReviewComment:
    """One comment of a review thread. ``is_ours``: this token's account wrote it."""

    id: str
    node_id: str
    author: str
    body: str
    created: str
    updated: str
    is_ours: bool = False
    can_write: bool = False
    is_person: bool = True


@dataclass(frozen=True, kw_only=True)
class ReviewThread:
    """An inline conversation on a pull request; ``comments`` oldest first."""

    id: str
    path: str
    line: int | None
    is_resolved: bool
    is_outdated: bool
    comments: tuple[ReviewComment, ...]


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """A check run or commit status on a head commit, from outside our own runs."""

    id: str
    name: str
    conclusion: Literal["success", "failure", "neutral", "pending"]
    summary: str = ""
    url: str = ""
    completed: str = ""


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    """A pull request whose head branch lives in this repository.

    ``reviews``, ``threads``, ``comments`` and ``checks`` are complete when ``is_detailed``.
    ``author`` is the login that opened it, ``is_ours`` whether that is this token's account.
    """

    number: int
    url: str
    title: str
    body: str
    state: Literal["open", "closed"]
    is_merged: bool
    is_draft: bool
    head: str
    head_sha: str
    base: str
    author: str
    is_ours: bool
    created: str = ""
    updated: str = ""
    closed_at: str = ""
    closed_by: str = ""
    merge_sha: str = ""
    node_id: str = ""
    labels: frozenset[str] = frozenset()
    requested_reviewers: tuple[str, ...] = ()
    reviews: tuple[Review, ...] = ()
    threads: tuple[ReviewThread, ...] = ()
    comments: tuple[ReviewComment, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    base_exists: bool = True
    is_detailed: bool = False


@dataclass(frozen=True, kw_only=True)
class PullRequestGlance:
    """What a list of pull requests shows without further requests; whose it is takes more than that."""

    number: int
    head: str
    base: str
    is_open: bool
    is_merged: bool
    updated: str


@dataclass(frozen=True, kw_only=True)
class CommitInfo:
    """A commit's message and who wrote it; ``trailers`` are the last paragraph's ``Key: value`` lines.

    ``files`` are the paths it changed, where they were asked for.
    """

    sha: str
    message: str
    author_email: str = ""
    trailers: Mapping[str, str] = field(default_factory=dict)
    parents: tuple[str, ...] = ()
    committed: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A branch of the repository. ``commits`` are those not on its base, newest first, as far as they were read."""

    name: str
    sha: str
    commits: tuple[CommitInfo, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Repository:
    """The repository as its forge describes it. ``login`` is whose token reads it."""

    name: str
    default_branch: str
    is_private: bool
    login: str


@dataclass(frozen=True, kw_only=True)
class WorkItem:
    """A sub-task seen from its family: the ticket, and the newest pull request of its branch if one was read."""

    ticket: Ticket
    pull_request: PullRequest | None = None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything one decision may look at, frozen.

    ``ticket`` is detailed; so is ``parent`` for a sub-task. ``family`` holds the parent's sub-tasks in
    Jira's order (the ticket itself included), for a parent and for a sub-task alike.
    ``pull_requests`` are those of the branch that this ticket's work is on, oldest first, the newest detailed.
    ``branch`` is that branch: the ticket's own, or with ``sequence: shared`` its parent's. Then ``offered`` holds
    each pull request's commits by its number, oldest first, with files where review threads need them.
    ``heads`` gives the head commit of each branch that work could start from or target.
    ``is_behind``: the open pull request targets another branch of ours that has commits which its own branch lacks.
    ``is_carried_on``: the newest pull request was merged into another branch of ours in the second in which that one
    was merged, and in time to be part of it.
    ``former_keys`` and ``branches`` are of a family that was moved to another project, by present keys: the keys its
    members had before, and the branches that they keep.
    ``family_ledgers`` are the ledgers of the sub-tasks, read when a parent may be complete.
    ``attachment_texts`` holds the plan file that a marker names; ``skipped_attachments`` what the model's run
    could not read, and why.
    """

    me: Account
    former: frozenset[str]
    repository: Repository
    ticket: Ticket
    parent: Ticket | None = None
    family: tuple[WorkItem, ...] = ()
    pull_requests: tuple[PullRequest, ...] = ()
    offered: Mapping[int, tuple[CommitInfo, ...]] = field(default_factory=dict)
    branch: Branch | None = None
    heads: Mapping[str, str] = field(default_factory=dict)
    dependents: tuple[PullRequest, ...] = ()
    is_behind: bool = False
    is_carried_on: bool = False
    former_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    branches: Mapping[str, str] = field(default_factory=dict)
    restricted_comments: int = 0
    attachment_texts: Mapping[str, str] = field(default_factory=dict)
    skipped_attachments: Mapping[str, str] = field(default_factory=dict)
    prompts_digest: str = ""
    policy_digest: str = ""
    assignable: frozenset[str] = frozenset()
    family_ledgers: Mapping[str, tuple[LedgerEntry, ...]] = field(default_factory=dict)

    def branch_of(self, key: str) -> str:
        """The branch of a member of the family, which keeps its name when the ticket is moved."""
        return self.branches.get(key) or f"ai/{key}"

    def keys_of(self, key: str) -> frozenset[str]:
        """What a member of the family is or was called."""
        return frozenset((key, *self.former_keys.get(key, ())))

    def present_key(self, key: str) -> str:
        """The key of today, for one of any time."""
        return next((now for now, before in self.former_keys.items() if key in before), key)
