"""How stored records look in Jira's answers. Pure rendering; the caller holds the site's lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from runner.sandbox.jira.projects import FieldSpec
from runner.sandbox.jira.records import (
    LINK_TYPES,
    Issue,
    IssueType,
    LinkType,
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
from runner.sandbox.jira.state import JiraSite

Json = dict[str, Any]
CATEGORIES: dict[str, tuple[int, str, str]] = {
    "new": (2, "To Do", "blue-gray"),
    "indeterminate": (4, "In Progress", "yellow"),
    "done": (3, "Done", "green"),
}
SYSTEM_FIELDS: dict[str, tuple[str, Json, tuple[str, ...]]] = {
    "summary": ("Summary", {"type": "string", "system": "summary"}, ("set",)),
    "issuetype": ("Issue Type", {"type": "issuetype", "system": "issuetype"}, ()),
    "project": ("Project", {"type": "project", "system": "project"}, ("set",)),
    "parent": ("Parent", {"type": "issuelink", "system": "parent"}, ("set",)),
    "description": ("Description", {"type": "string", "system": "description"}, ("set",)),
    "labels": (
        "Labels",
        {"type": "array", "items": "string", "system": "labels"},
        ("add", "set", "remove"),
    ),
    "assignee": ("Assignee", {"type": "user", "system": "assignee"}, ("set",)),
    "reporter": ("Reporter", {"type": "user", "system": "reporter"}, ("set",)),
}
OTHER_FIELDS = {
    "status": "Status",
    "created": "Created",
    "updated": "Updated",
    "resolution": "Resolution",
    "comment": "Comment",
    "attachment": "Attachment",
    "issuelinks": "Linked Issues",
    "subtasks": "Sub-tasks",
    "creator": "Creator",
}


def when(moment: datetime) -> str:
    """A time as Jira writes it: milliseconds and an offset without a colon."""
    utc = moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}+0000"


@dataclass(frozen=True, kw_only=True)
class View:
    """Renders for one reader. ``base`` is the address the request came in on, for ``self`` links."""

    site: JiraSite
    base: str
    account: str

    def link(self, path: str) -> str:
        """An absolute address in the REST API."""
        return f"{self.base}/rest/api/3/{path}"

    def user(self, account: str | None) -> Json | None:
        """An account as it appears inside other records; only your own address is shown."""
        if account is None:
            return None
        user = self.site.users[account]
        shown = {
            "self": self.link(f"user?accountId={quote(account)}"),
            "accountId": account,
            "displayName": user.display_name,
            "active": user.active,
            "accountType": user.type,
            "timeZone": "Etc/UTC",
        }
        return {**shown, "emailAddress": user.email} if account == self.account else shown

    def full_user(self, user: User) -> Json:
        """An account as the user resource shows it."""
        return self.user(user.id) or {}

    def status(self, status: Status) -> Json:
        """A status with its category."""
        number, name, colour = CATEGORIES[status.category]
        return {
            "self": self.link(f"status/{status.id}"),
            "id": status.id,
            "name": status.name,
            "description": "",
            "statusCategory": {
                "self": self.link(f"statuscategory/{number}"),
                "id": number,
                "key": status.category,
                "colorName": colour,
                "name": name,
            },
        }

    def type(self, kind: IssueType) -> Json:
        """An issue type."""
        return {
            "self": self.link(f"issuetype/{kind.id}"),
            "id": kind.id,
            "name": kind.name,
            "description": "",
            "subtask": kind.level < 0,
            "hierarchyLevel": kind.level,
        }

    def project(self, project: Project, *, full: bool = False) -> Json:
        """A project; ``full`` adds its issue types."""
        short: Json = {
            "self": self.link(f"project/{project.id}"),
            "id": project.id,
            "key": project.key,
            "name": project.name,
            "projectTypeKey": project.kind,
            "simplified": project.style == "team",
        }
        if not full:
            return short
        style = "next-gen" if project.style == "team" else "classic"
        types = [self.type(kind) for kind in project.types.values()]
        return {**short, "style": style, "isPrivate": False, "issueTypes": types, "roles": {}}

    def stub(self, issue: Issue) -> Json:
        """A ticket as its relatives show it."""
        return {
            "id": issue.id,
            "key": issue.key,
            "self": self.link(f"issue/{issue.id}"),
            "fields": {
                "summary": issue.summary,
                "status": self.status(issue.status),
                "issuetype": self.type(issue.type),
            },
        }

    def issue(
        self,
        issue: Issue,
        *,
        fields: Sequence[str],
        expand: Iterable[str] = (),
        properties: Sequence[str] = (),
    ) -> Json:
        """A ticket with the wanted fields; ``*all`` and ``-name`` work as in Jira."""
        shown = self._wanted(self.fields(issue), fields)
        out: Json = {"expand": "names,changelog,transitions", "id": issue.id}
        out |= {"self": self.link(f"issue/{issue.id}"), "key": issue.key, "fields": shown}
        if "changelog" in expand:
            newest = [self.change(one) for one in reversed(issue.changes)][:100]
            out["changelog"] = {
                "startAt": 0,
                "maxResults": len(newest),
                "total": len(issue.changes),
                "histories": newest,
            }
        if "names" in expand:
            out["names"] = {name: field_name(issue.project, name) for name in shown}
        if properties:
            out["properties"] = {
                name: value
                for name, value in issue.properties.items()
                if name in properties or "*all" in properties
            }
        return out

    def _wanted(self, fields: Json, names: Sequence[str]) -> Json:
        positive = [name for name in names if not name.startswith("-")]
        is_all = not positive or "*all" in positive or "*navigable" in positive
        wanted = set(fields) if is_all else set(positive)
        hidden = {name[1:] for name in names if name.startswith("-")}
        return {name: value for name, value in fields.items() if name in wanted - hidden}

    def fields(self, issue: Issue) -> Json:
        """Every field of a ticket."""
        site = self.site
        parent = site.issues.get(issue.parent_id or "")
        comments = [one for one in issue.comments if site.can_see(issue, one, self.account)]
        shown = comments[: site.page_limit]
        out: Json = {
            "summary": issue.summary,
            "description": issue.description,
            "issuetype": self.type(issue.type),
            "project": self.project(issue.project),
            "status": self.status(issue.status),
            "resolution": None if issue.resolution is None else {"name": issue.resolution},
            "labels": list(issue.labels),
            "assignee": self.user(issue.assignee),
            "reporter": self.user(issue.reporter),
            "creator": self.user(issue.creator),
            "created": when(issue.created),
            "updated": when(issue.updated),
            "subtasks": [self.stub(site.issues[one]) for one in issue.sub_task_ids if one in site.issues],
            "issuelinks": [
                self.issue_link(link, issue) for link in site.links if issue.id in (link.inward, link.outward)
            ],
            "attachment": [
                self.attachment(site.files[one]) for one in issue.attachment_ids if one in site.files
            ],
            "comment": {
                "comments": [self.comment(issue, one) for one in shown],
                "self": self.link(f"issue/{issue.id}/comment"),
                "maxResults": len(shown),
                "total": len(comments),
                "startAt": 0,
            },
        }
        if parent is not None:
            out["parent"] = self.stub(parent)
        return {**out, **issue.custom}

    def comment(self, issue: Issue, comment: StoredComment, *, with_properties: bool = False) -> Json:
        """A comment; a service project says whether customers see it."""
        out: Json = {
            "self": self.link(f"issue/{issue.id}/comment/{comment.id}"),
            "id": comment.id,
            "author": self.user(comment.author),
            "updateAuthor": self.user(comment.editor),
            "body": comment.body,
            "created": when(comment.created),
            "updated": when(comment.updated),
        }
        if comment.visibility is not None:
            out["visibility"] = comment.visibility
        if issue.project.kind == "service_desk":
            internal = comment.properties.get("sd.public.comment")
            out["jsdPublic"] = not (isinstance(internal, Mapping) and internal.get("internal") is True)
        if with_properties:
            out["properties"] = [{"key": name, "value": value} for name, value in comment.properties.items()]
        return out

    def change(self, change: StoredChange) -> Json:
        """One changelog entry."""
        return {
            "id": change.id,
            "author": self.user(change.author),
            "created": when(change.created),
            "items": change.items,
        }

    def move(self, move: Move, *, with_fields: bool) -> Json:
        """A transition that can be taken now."""
        out: Json = {
            "id": move.id,
            "name": move.name,
            "to": self.status(move.target),
            "hasScreen": bool(move.fields),
            "isGlobal": move.sources is None,
            "isInitial": False,
            "isConditional": False,
            "isAvailable": True,
        }
        if with_fields:
            out["fields"] = {spec.id: self.field(spec) for spec in move.fields}
        return out

    def field(self, spec: FieldSpec) -> Json:
        """The metadata of a field that is not built in, and of the resolution."""
        schema: Json = {"type": spec.type}
        if spec.id.startswith("customfield_"):
            schema |= {"custom": f"com.example:{spec.type}", "customId": int(spec.id.rpartition("_")[2])}
        else:
            schema["system"] = spec.id
        out: Json = {
            "key": spec.id,
            "name": spec.name,
            "required": spec.is_required,
            "schema": schema,
            "operations": ["set"],
            "hasDefaultValue": False,
        }
        if spec.options:
            label = "name" if spec.type == "resolution" else "value"
            out["allowedValues"] = [
                {"id": str(number), label: option} for number, option in enumerate(spec.options, 10000)
            ]
        return out

    def attachment(self, file: StoredFile) -> Json:
        """An attachment in a ticket, with its id as text."""
        return {
            "self": self.link(f"attachment/{file.id}"),
            "id": file.id,
            "filename": file.name,
            "author": self.user(file.author),
            "created": when(file.created),
            "size": len(file.data),
            "mimeType": file.media_type,
            "content": self.link(f"attachment/content/{file.id}"),
        }

    def link_type(self, kind: LinkType) -> Json:
        """A kind of relation."""
        return {
            "id": kind.id,
            "name": kind.name,
            "inward": kind.inward,
            "outward": kind.outward,
            "self": self.link(f"issueLinkType/{kind.id}"),
        }

    def issue_link(self, link: StoredLink, seen_from: Issue | None = None) -> Json:
        """A relation; inside a ticket only the other end is shown."""
        kind = next(one for one in LINK_TYPES if one.id == link.type_id)
        out: Json = {
            "id": link.id,
            "self": self.link(f"issueLink/{link.id}"),
            "type": self.link_type(kind),
        }
        for side, issue_id in (("inwardIssue", link.inward), ("outwardIssue", link.outward)):
            if seen_from is None or issue_id != seen_from.id:
                out[side] = self.stub(self.site.issues[issue_id])
        return out

    def remote_link(self, issue: Issue, link: StoredRemoteLink) -> Json:
        """A link to something outside Jira."""
        return {
            "id": link.id,
            "self": self.link(f"issue/{issue.key}/remotelink/{link.id}"),
            **link.body,
        }


def system_field(name: str, *, is_required: bool) -> Json:
    """The metadata of a built-in field, as edit and create screens list it."""
    label, schema, operations = SYSTEM_FIELDS[name]
    return {
        "key": name,
        "name": label,
        "required": is_required,
        "schema": dict(schema),
        "operations": list(operations),
        "hasDefaultValue": False,
    }


def field_name(project: Project, name: str) -> str:
    """What people call a field."""
    if name in SYSTEM_FIELDS:
        return SYSTEM_FIELDS[name][0]
    custom = {spec.id: spec.name for spec in project.create_fields}
    return custom.get(name) or OTHER_FIELDS.get(name, name)
