"""What the embedded Jira stores: accounts, projects, tickets and what hangs on them. Records without behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from runner.sandbox.jira.projects import Category, FieldSpec, Kind, Style

AccountType = Literal["atlassian", "app", "customer"]
EventKind = Literal["assigned", "transitioned", "commented", "labelled", "created", "updated"]
INVISIBLE = "Issue does not exist or you do not have permission to see it."


class JiraError(Exception):
    """A refusal in Jira's shape: general messages and messages by field."""

    def __init__(self, status: int, *messages: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(", ".join([*messages, *(fields or {}).values()]))
        self.status = status
        self.messages = list(messages)
        self.fields = dict(fields or {})


@dataclass(frozen=True, kw_only=True)
class JiraEvent:
    """Something that Jira Automation could be listening for. ``details`` holds changelog items or a comment id."""

    kind: EventKind
    issue_key: str
    initiator: str
    details: Mapping[str, Any]


@dataclass(kw_only=True)
class User:
    """An account. ``is_admin`` lets it do everything everywhere."""

    id: str
    display_name: str
    email: str
    type: AccountType = "atlassian"
    active: bool = True
    is_admin: bool = False


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A token. A scoped one works only below ``/ex/jira/<cloudId>``; ``None`` scopes mean all of them."""

    account: str
    is_scoped: bool = False
    scopes: frozenset[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Status:
    """A status; team-managed projects have their own, the others share theirs by name."""

    id: str
    name: str
    category: Category


@dataclass(frozen=True, kw_only=True)
class IssueType:
    """An issue type of one project."""

    id: str
    name: str
    level: int


@dataclass(frozen=True, kw_only=True)
class Move:
    """A transition. ``sources`` is ``None`` when it can be taken from anywhere."""

    id: str
    name: str
    target: Status
    sources: frozenset[str] | None
    fields: tuple[FieldSpec, ...] = ()


@dataclass(kw_only=True)
class Project:
    """A project with everything that differs between sites."""

    id: str
    key: str
    name: str
    style: Style
    kind: Kind
    types: dict[str, IssueType]
    statuses: dict[str, tuple[Status, ...]]
    moves: dict[str, tuple[Move, ...]]
    create_fields: tuple[FieldSpec, ...] = ()
    not_editable: frozenset[str] = frozenset()
    not_on_create: frozenset[str] = frozenset()
    permissions: dict[str, frozenset[str]] = field(default_factory=dict)
    roles: dict[str, set[str]] = field(default_factory=dict)
    issue_count: int = 0


@dataclass(kw_only=True)
class StoredComment:
    """A comment; ``visibility`` restricts it to a role or group."""

    id: str
    body: dict[str, Any]
    author: str
    editor: str
    created: datetime
    updated: datetime
    visibility: dict[str, str] | None = None
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class StoredChange:
    """One entry of the changelog: what one account changed at once."""

    id: str
    author: str
    created: datetime
    items: list[dict[str, str | None]]


@dataclass(kw_only=True)
class StoredFile:
    """An attachment with its bytes."""

    id: str
    name: str
    media_type: str
    data: bytes
    author: str
    created: datetime
    issue_id: str


@dataclass(kw_only=True)
class StoredRemoteLink:
    """A link to something outside Jira, as it was posted."""

    id: int
    global_id: str | None
    body: dict[str, Any]


@dataclass(kw_only=True)
class StoredLink:
    """A link between two tickets, by their ids."""

    id: str
    type_id: str
    inward: str
    outward: str


@dataclass(kw_only=True)
class Issue:
    """A ticket as stored. Ids refer to other records; times are UTC."""

    id: str
    key: str
    project: Project
    type: IssueType
    summary: str
    status: Status
    reporter: str
    creator: str
    created: datetime
    updated: datetime
    description: dict[str, Any] | None = None
    assignee: str | None = None
    labels: list[str] = field(default_factory=list)
    parent_id: str | None = None
    sub_task_ids: list[str] = field(default_factory=list)
    resolution: str | None = None
    custom: dict[str, Any] = field(default_factory=dict)
    comments: list[StoredComment] = field(default_factory=list)
    changes: list[StoredChange] = field(default_factory=list)
    attachment_ids: list[str] = field(default_factory=list)
    remote_links: list[StoredRemoteLink] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)
    watchers: set[str] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class LinkType:
    """How two tickets can be related."""

    id: str
    name: str
    inward: str
    outward: str


LINK_TYPES = (
    LinkType(id="10000", name="Blocks", inward="is blocked by", outward="blocks"),
    LinkType(id="10001", name="Cloners", inward="is cloned by", outward="clones"),
    LinkType(id="10002", name="Duplicate", inward="is duplicated by", outward="duplicates"),
    LinkType(id="10003", name="Relates", inward="relates to", outward="relates to"),
)
