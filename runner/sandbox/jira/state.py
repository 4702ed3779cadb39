"""The state of the embedded Jira and every change that can happen to it. No HTTP in here.

One lock guards everything. A change is recorded the way Jira records it: an entry in the changelog
with its author, a strictly later time, and an event for whoever listens (the Automation engine).
Listeners hear of events after the lock is released, from ``deliver``.
"""

from __future__ import annotations

import copy
import json
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from runner.sandbox.jira import adf
from runner.sandbox.jira.projects import (
    CUSTOMER,
    MEMBER,
    PERMISSIONS,
    FieldSpec,
    Kind,
    StatusSpec,
    Style,
    TypeSpec,
    Workflow,
    default_statuses,
    default_types,
)
from runner.sandbox.jira.records import (
    INVISIBLE,
    LINK_TYPES,
    AccountType,
    Credential,
    EventKind,
    Issue,
    IssueType,
    JiraError,
    JiraEvent,
    Move,
    Project,
    Status,
    StoredChange,
    StoredComment,
    StoredFile,
    StoredLink,
    StoredRemoteLink,
    User,
)


def wall_clock() -> datetime:
    """The time now."""
    return datetime.now(UTC)


class JiraSite:
    """Everything one Jira site knows. Public methods are safe to call from any thread."""

    def __init__(self, *, clock: Callable[[], datetime] = wall_clock, cloud_id: str | None = None) -> None:
        self.lock = threading.RLock()
        self.cloud_id = cloud_id or str(uuid.UUID(int=0x5A4DB0C5))
        self.listeners: list[Callable[[JiraEvent], None]] = []
        self.users: dict[str, User] = {}
        self.credentials: dict[str, Credential] = {}
        self.projects: dict[str, Project] = {}
        self.issues: dict[str, Issue] = {}
        self.former_keys: dict[str, str] = {}
        self.files: dict[str, StoredFile] = {}
        self.links: list[StoredLink] = []
        self.search_lag = 0
        self.page_limit = 100
        self.attachment_limit = 10 * 1024 * 1024
        self._clock = clock
        self._last: datetime | None = None
        self._ids: dict[str, int] = {}
        self._shared_statuses: dict[str, Status] = {}
        self._pending: list[JiraEvent] = []
        self._indexed: dict[str, Issue] = {}
        self._stale: dict[str, int] = {}

    # Building a site

    def add_user(
        self,
        display_name: str,
        *,
        email: str,
        token: str,
        account_type: AccountType = "atlassian",
        active: bool = True,
        is_admin: bool = False,
    ) -> str:
        """Add an account with a classic token; return its account id."""
        with self.lock:
            account = f"712020:{self._next('user', 1):08d}-0000-4000-8000-000000000000"
            self.users[account] = User(
                id=account,
                display_name=display_name,
                email=email,
                type=account_type,
                active=active,
                is_admin=is_admin,
            )
            self.credentials[token] = Credential(account=account)
            return account

    def add_token(
        self, account: str, token: str, *, scoped: bool = False, scopes: Iterable[str] | None = None
    ) -> None:
        """Give an account one more token."""
        with self.lock:
            limits = None if scopes is None else frozenset(scopes)
            self.credentials[token] = Credential(account=account, is_scoped=scoped, scopes=limits)

    def add_project(
        self,
        key: str,
        *,
        name: str | None = None,
        style: Style = "company",
        kind: Kind = "software",
        issue_types: Sequence[TypeSpec] | None = None,
        statuses: Mapping[str, Sequence[StatusSpec]] | None = None,
        workflow: Workflow | Mapping[str, Workflow] | None = None,
        create_fields: Sequence[FieldSpec] = (),
        not_editable: Iterable[str] = (),
        not_on_create: Iterable[str] = (),
    ) -> Project:
        """Add a project. ``statuses`` and ``workflow`` are by type name; what is left out has the default.

        ``not_editable`` and ``not_on_create`` are fields that the screens lack (``labels``, ``assignee``).
        """
        with self.lock:
            specs = tuple(issue_types or default_types(style))
            project = Project(
                id=str(self._next("project", 10000)),
                key=key,
                name=name or f"Project {key}",
                style=style,
                kind=kind,
                types={},
                statuses={},
                moves={},
                create_fields=tuple(create_fields),
                not_editable=frozenset(not_editable),
                not_on_create=frozenset(not_on_create),
                roles={"Administrators": set(), "Developers": set()},
            )
            own: dict[str, Status] = {}
            for spec in specs:
                kind_id = str(self._next("type", 10000))
                project.types[kind_id] = IssueType(id=kind_id, name=spec.name, level=spec.level)
                wanted = (statuses or {}).get(spec.name) or default_statuses(style, spec.level)
                known = self._shared_statuses if style == "company" else own
                project.statuses[kind_id] = tuple(self._status(one, known) for one in wanted)
                flow = workflow.get(spec.name, Workflow()) if isinstance(workflow, Mapping) else workflow
                project.moves[kind_id] = _moves(flow or Workflow(), project.statuses[kind_id])
            self.projects[key] = project
            return project

    def grant(self, project_key: str, account: str, *permissions: str) -> None:
        """Allow an account more in a project than a member may."""
        self._permit(project_key, account, lambda now: now | set(permissions), permissions)

    def revoke(self, project_key: str, account: str, *permissions: str) -> None:
        """Take permissions away from an account."""
        self._permit(project_key, account, lambda now: now - set(permissions), permissions)

    def add_to_role(self, project_key: str, role: str, *accounts: str) -> None:
        """Let accounts see what is restricted to a project role."""
        with self.lock:
            self.projects[project_key].roles.setdefault(role, set()).update(accounts)

    def _permit(
        self,
        project_key: str,
        account: str,
        change: Callable[[frozenset[str]], frozenset[str]],
        names: Sequence[str],
    ) -> None:
        if unknown := set(names) - PERMISSIONS:
            raise ValueError(f"unknown permissions: {sorted(unknown)}")
        with self.lock:
            project = self.projects[project_key]
            project.permissions[account] = change(self.permissions(project, account))

    def _status(self, spec: StatusSpec, known: dict[str, Status]) -> Status:
        if spec.name not in known:
            known[spec.name] = Status(
                id=str(self._next("status", 10000)), name=spec.name, category=spec.category
            )
        return known[spec.name]

    # Time, numbers, events

    def time(self) -> datetime:
        """The time now, for reading: it may equal the time of the last change."""
        with self.lock:
            moment = self._clock().astimezone(UTC)
            return moment if self._last is None else max(moment, self._last)

    def now(self) -> datetime:
        """The next moment: at least a millisecond after the previous one, so that order is always visible."""
        with self.lock:
            moment = self._clock().astimezone(UTC)
            moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
            if self._last is not None:
                moment = max(moment, self._last + timedelta(milliseconds=1))
            self._last = moment
            return moment

    def _next(self, kind: str, first: int) -> int:
        self._ids[kind] = self._ids.get(kind, first - 1) + 1
        return self._ids[kind]

    def emit(self, kind: EventKind, issue: Issue, initiator: str, **details: Any) -> None:
        """Queue an event; it is delivered when the lock is free."""
        self._pending.append(JiraEvent(kind=kind, issue_key=issue.key, initiator=initiator, details=details))

    def deliver(self) -> None:
        """Tell the listeners what happened since the last call, in order, outside the lock."""
        with self.lock:
            events, self._pending = self._pending, []
            listeners = list(self.listeners)
        for event in events:
            for listener in listeners:
                listener(event)

    # Who may do what

    def permissions(self, project: Project, account: str) -> frozenset[str]:
        """What an account may do in a project."""
        user = self.users[account]
        if user.is_admin:
            return PERMISSIONS
        default = CUSTOMER if user.type == "customer" else MEMBER
        return project.permissions.get(account, default)

    def may(self, project: Project, account: str | None, permission: str) -> bool:
        """Whether an account has a permission; nobody in particular has none."""
        return account is not None and permission in self.permissions(project, account)

    def require(self, project: Project, account: str, permission: str, message: str) -> None:
        """Refuse with 403 unless the account has the permission."""
        if not self.may(project, account, permission):
            raise JiraError(403, message)

    def is_assignable(self, project: Project, account: str) -> bool:
        """Whether Jira would let this account be the assignee."""
        user = self.users.get(account)
        if user is None or not user.active or user.type == "customer":
            return False
        return self.may(project, account, "ASSIGNABLE_USER")

    def can_see(self, issue: Issue, comment: StoredComment, account: str) -> bool:
        """Whether a comment is visible to an account: restricted ones to their author and the role or group."""
        if comment.visibility is None or account == comment.author:
            return True
        if account in self.users and self.users[account].is_admin:
            return True
        role = comment.visibility.get("value") or comment.visibility.get("identifier") or ""
        return account in issue.project.roles.get(role, set())

    # Finding things

    def issue(self, id_or_key: str) -> Issue:
        """Return one ticket by id or key, whoever asks. JiraError 404 when there is none."""
        with self.lock:
            wanted = self.former_keys.get(id_or_key.upper(), id_or_key)
            for issue in self.issues.values():
                if wanted == issue.id or wanted.upper() == issue.key:
                    return issue
        raise JiraError(404, INVISIBLE)

    def visible(self, id_or_key: str, account: str | None) -> Issue:
        """Return one ticket that the account may see; a hidden one looks like a missing one."""
        issue = self.issue(id_or_key)
        if not self.may(issue.project, account, "BROWSE_PROJECTS"):
            raise JiraError(404, INVISIBLE)
        return issue

    def project(self, id_or_key: str, account: str | None) -> Project:
        """Return one project that the account may see."""
        for project in self.projects.values():
            if id_or_key in (project.id, project.key) and self.may(project, account, "BROWSE_PROJECTS"):
                return project
        raise JiraError(404, f"No project could be found with key '{id_or_key}'.")

    # Changing things. Callers hold the lock and have checked permissions and shapes.

    def record(self, issue: Issue, author: str, items: list[dict[str, str | None]]) -> None:
        """Write one changelog entry; nothing changed writes nothing."""
        if not items:
            return
        moment = self.now()
        change = StoredChange(id=str(self._next("change", 20000)), author=author, created=moment, items=items)
        issue.changes.append(change)
        self.touch(issue, moment)

    def touch(self, issue: Issue, moment: datetime) -> None:
        """Note that a ticket changed; with ``search_lag`` the index keeps its older picture for so many searches."""
        issue.updated = moment
        if self.search_lag:
            self._stale.setdefault(issue.id, self.search_lag)
        else:
            self._stale.pop(issue.id, None)
            self._indexed[issue.id] = _snapshot(issue)

    def create_issue(
        self,
        *,
        project: Project,
        kind: IssueType,
        summary: str,
        author: str,
        reporter: str,
        description: dict[str, Any] | None = None,
        assignee: str | None = None,
        labels: Sequence[str] = (),
        parent: Issue | None = None,
        custom: Mapping[str, Any] | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> Issue:
        """Store a new ticket in its first status."""
        moment = self.now()
        project.issue_count += 1
        issue = Issue(
            id=str(self._next("issue", 10000)),
            key=f"{project.key}-{project.issue_count}",
            project=project,
            type=kind,
            summary=summary,
            status=project.statuses[kind.id][0],
            reporter=reporter,
            creator=author,
            created=moment,
            updated=moment,
            description=description,
            assignee=assignee,
            labels=sorted(set(labels)),
            parent_id=parent.id if parent else None,
            custom=dict(custom or {}),
            properties=dict(properties or {}),
        )
        self.issues[issue.id] = issue
        self.touch(issue, moment)
        if parent is not None and kind.level < 0:
            parent.sub_task_ids.append(issue.id)
        self.emit("created", issue, author)
        return issue

    def move_issue(self, issue: Issue, author: str, project_key: str) -> Issue:
        """Move a ticket with its sub-tasks to another project: it gets a new key, and the old one still finds it.

        Types and statuses are matched by name; the target project must have them.
        """
        with self.lock:
            target, old = self.projects[project_key], issue.key
            types = {kind.name: kind for kind in target.types.values()}
            issue.project, issue.type = target, types[issue.type.name]
            statuses = {status.name: status for status in target.statuses[issue.type.id]}
            issue.status = statuses[issue.status.name]
            target.issue_count += 1
            issue.key = f"{target.key}-{target.issue_count}"
            self.former_keys[old] = issue.id
            project = _item("project", old.partition("-")[0], None, target.id, target.name, is_same=False)
            self.record(issue, author, [*project, *_item("Key", None, old, None, issue.key, is_same=False)])
            for child in issue.sub_task_ids:
                self.move_issue(self.issues[child], author, project_key)
            return issue

    def delete_issue(self, issue: Issue) -> None:
        """Remove a ticket and its sub-tasks."""
        for child in list(issue.sub_task_ids):
            self.delete_issue(self.issues[child])
        if issue.parent_id in self.issues:
            siblings = self.issues[issue.parent_id].sub_task_ids
            siblings[:] = [one for one in siblings if one != issue.id]
        self.links = [link for link in self.links if issue.id not in (link.inward, link.outward)]
        del self.issues[issue.id]

    def change_fields(self, issue: Issue, author: str, values: Mapping[str, Any]) -> None:
        """Set fields to new values, as one changelog entry, and emit what Automation would hear."""
        items = [item for name, value in values.items() for item in self._set(issue, name, value)]
        self.record(issue, author, items)
        self._emit_changes(issue, author, items)

    def _emit_changes(self, issue: Issue, author: str, items: list[dict[str, str | None]]) -> None:
        kinds: dict[str, EventKind] = {"assignee": "assigned", "labels": "labelled", "status": "transitioned"}
        for item in items:
            if item["field"] != "resolution":
                self.emit(kinds.get(item["field"] or "", "updated"), issue, author, items=[item])

    def _set(self, issue: Issue, name: str, value: Any) -> list[dict[str, str | None]]:
        if name == "assignee":
            return self._set_assignee(issue, value)
        if name == "labels":
            old, issue.labels = issue.labels, sorted(set(value))
            return _item("labels", "", " ".join(old), "", " ".join(issue.labels), old == issue.labels)
        if name == "summary":
            before, issue.summary = issue.summary, value
            return _item("summary", None, before, None, value, before == value)
        if name == "description":
            doc, issue.description = issue.description, value
            texts = adf.plain(doc).strip(), adf.plain(value).strip()
            return _item("description", None, texts[0] or None, None, texts[1] or None, doc == value)
        if name == "resolution":
            former, issue.resolution = issue.resolution, value
            return _item("resolution", former, former, value, value, former == value)
        given = issue.custom.get(name)
        issue.custom[name] = value
        return _item(name, None, json.dumps(given), None, json.dumps(value), given == value)

    def _set_assignee(self, issue: Issue, account: str | None) -> list[dict[str, str | None]]:
        old, issue.assignee = issue.assignee, account
        names = [None if one is None else self.users[one].display_name for one in (old, account)]
        return _item("assignee", old, names[0], account, names[1], old == account)

    def move(self, issue: Issue, author: str, move: Move, fields: Mapping[str, Any]) -> None:
        """Take a transition. Reaching a done status resolves the ticket, leaving it reopens it."""
        items = [item for name, value in fields.items() for item in self._set(issue, name, value)]
        is_done = move.target.category == "done"
        if "resolution" not in fields and is_done != (issue.resolution is not None):
            items += self._set(issue, "resolution", "Done" if is_done else None)
        old, issue.status = issue.status, move.target
        items += _item("status", old.id, old.name, move.target.id, move.target.name, old == move.target)
        self.record(issue, author, items)
        self._emit_changes(issue, author, items)

    def add_comment(
        self,
        issue: Issue,
        author: str,
        body: dict[str, Any],
        *,
        visibility: dict[str, str] | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> StoredComment:
        """Append a comment."""
        moment = self.now()
        comment = StoredComment(
            id=str(self._next("comment", 10000)),
            body=body,
            author=author,
            editor=author,
            created=moment,
            updated=moment,
            visibility=visibility,
            properties=dict(properties or {}),
        )
        issue.comments.append(comment)
        self.touch(issue, moment)
        self.emit("commented", issue, author, comment_id=comment.id)
        return comment

    def edit_comment(self, issue: Issue, comment: StoredComment, editor: str, body: dict[str, Any]) -> None:
        """Replace a comment's body; the author stays, the last editor is recorded."""
        comment.body, comment.editor, comment.updated = body, editor, self.now()
        self.touch(issue, comment.updated)
        self.emit("updated", issue, editor, comment_id=comment.id)

    def attach(self, issue: Issue, author: str, name: str, media_type: str, data: bytes) -> StoredFile:
        """Store a file on a ticket."""
        file = StoredFile(
            id=str(self._next("file", 10000)),
            name=name,
            media_type=media_type,
            data=data,
            author=author,
            created=self.now(),
            issue_id=issue.id,
        )
        self.files[file.id] = file
        issue.attachment_ids.append(file.id)
        self.record(issue, author, _item("Attachment", None, None, file.id, name, False, "attachment"))
        self.emit("updated", issue, author)
        return file

    def remote_link(self, issue: Issue, author: str, body: dict[str, Any]) -> tuple[StoredRemoteLink, bool]:
        """Create or, with a known globalId, replace a remote link; tell whether it is new."""
        wanted = body.get("globalId")
        title = f'This issue links to "{body["object"]["title"]}"'
        for link in issue.remote_links:
            if wanted is not None and link.global_id == wanted:
                link.body = body
                self.record(issue, author, _item("RemoteIssueLink", None, None, str(link.id), title, False))
                return link, False
        link = StoredRemoteLink(id=self._next("remote", 10000), global_id=wanted, body=body)
        issue.remote_links.append(link)
        self.record(issue, author, _item("RemoteIssueLink", None, None, str(link.id), title, False))
        return link, True

    def link(self, type_id: str, inward: Issue, outward: Issue, author: str) -> StoredLink:
        """Relate two tickets."""
        link = StoredLink(
            id=str(self._next("link", 10000)), type_id=type_id, inward=inward.id, outward=outward.id
        )
        self.links.append(link)
        words = next(kind for kind in LINK_TYPES if kind.id == type_id)
        for issue, other, relation in ((inward, outward, words.outward), (outward, inward, words.inward)):
            text = f"This issue {relation} {other.key}"
            self.record(issue, author, _item("Link", None, None, other.key, text, False, "issuelinks"))
        return link

    # Search sees an older picture

    def search_view(self, reconcile: Iterable[str] = ()) -> list[Issue]:
        """The tickets as the search index knows them now; each call brings it a step closer to the truth."""
        for issue_id in reconcile:
            self._stale.pop(issue_id, None)
        pictures = [self._indexed.get(one) if one in self._stale else now for one, now in self.issues.items()]
        for issue_id in list(self._stale):
            self._stale[issue_id] -= 1
            if self._stale[issue_id] <= 0:
                del self._stale[issue_id]
        for issue_id, issue in self.issues.items():
            if issue_id not in self._stale:
                self._indexed[issue_id] = _snapshot(issue)
        return [picture for picture in pictures if picture is not None]


def _snapshot(issue: Issue) -> Issue:
    shallow = copy.copy(issue)
    shallow.labels = list(issue.labels)
    shallow.sub_task_ids = list(issue.sub_task_ids)
    return shallow


def _item(
    name: str,
    old: str | None,
    old_text: str | None,
    new: str | None,
    new_text: str | None,
    is_same: bool,
    field_id: str | None = None,
) -> list[dict[str, str | None]]:
    if is_same:
        return []
    is_custom = name.startswith("customfield_")
    return [
        {
            "field": name,
            "fieldtype": "custom" if is_custom else "jira",
            "fieldId": field_id or name,
            "from": old,
            "fromString": old_text,
            "to": new,
            "toString": new_text,
        }
    ]


def _moves(flow: Workflow, statuses: tuple[Status, ...]) -> tuple[Move, ...]:
    """The transitions of a workflow; ids count in tens and ones, as Jira's do."""
    return tuple(
        Move(
            id=str(10 * number + 1),
            name=flow.names.get(status.name, status.name),
            target=status,
            sources=None
            if flow.moves is None
            else frozenset(source for source, targets in flow.moves.items() if status.name in targets),
            fields=flow.screens.get(status.name, ()),
        )
        for number, status in enumerate(statuses, 1)
    )
