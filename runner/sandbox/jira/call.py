"""One request to the embedded Jira, already routed and checked, and the answer to it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.sandbox.jira.records import Issue, JiraError, Project
from runner.sandbox.jira.shapes import Shape
from runner.sandbox.jira.state import JiraSite
from runner.sandbox.jira.views import View


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One file of a multipart body."""

    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What to send back. ``body`` ``None`` means no body at all; ``data`` is for files."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request on behalf of an account. ``account`` is empty for an anonymous one."""

    site: JiraSite
    account: str
    view: View
    params: Mapping[str, str]
    query: Mapping[str, list[str]]
    body: Any
    headers: Mapping[str, str]
    media_url: str
    uploads: Sequence[Upload] = ()

    def one(self, name: str, default: str = "") -> str:
        """A query parameter that is given once."""
        return self.query.get(name, [default])[0]

    def many(self, name: str) -> list[str]:
        """A query parameter that is a list: repeated, or separated by commas."""
        return [part for value in self.query.get(name, []) for part in value.split(",") if part]

    def issue(self, permission: str | None = None) -> Issue:
        """The ticket named in the path, visible to the caller, who has ``permission``."""
        issue = self.site.visible(self.params["issueIdOrKey"], self.account or None)
        if permission is not None:
            self.require(issue.project, permission)
        return issue

    def require(self, project: Project, permission: str) -> None:
        """Refuse with 403 and a sentence that names the missing permission."""
        words = permission.replace("_", " ").lower()
        self.site.require(
            project,
            self.account,
            permission,
            f"You do not have the permission '{words}' in project {project.key}.",
        )

    def span(self) -> tuple[int, int]:
        """``startAt`` and the number of records that one page may hold."""
        start, size = int(self.one("startAt", "0")), int(self.one("maxResults", "50"))
        if start < 0 or size < 0:
            raise JiraError(400, "startAt and maxResults must not be negative.")
        return start, min(size, self.site.page_limit)

    def page(self, records: Sequence[Any], render: Callable[[Any], Any], name: str) -> dict[str, Any]:
        """One page of records under ``name``, with Jira's counters."""
        start, size = self.span()
        shown = [render(record) for record in records[start : start + size]]
        return {"startAt": start, "maxResults": size, "total": len(records), name: shown}

    def bean(self, records: Sequence[Any], render: Callable[[Any], Any]) -> dict[str, Any]:
        """One page in the form that says whether it is the last."""
        page = self.page(records, render, "values")
        return {**page, "isLast": page["startAt"] + len(page["values"]) >= len(records)}


Handler = Callable[[Call], Answer]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One operation: its address, what the contract lets through, who handles it.

    ``scope`` is what a scoped token needs; ``is_read`` operations may be tried anonymously.
    """

    method: str
    template: str
    handler: Handler
    query: Mapping[str, str] = field(default_factory=dict)
    body: Shape | None = None
    is_read: bool = False
    is_multipart: bool = False
    scope: str = "read:jira-work"


def parameters(text: str) -> dict[str, str]:
    """Query parameters from ``"startAt:int fields:list expand"``; a bare name is a text."""
    pairs = (one.partition(":") for one in text.split())
    return {name: kind or "str" for name, _colon, kind in pairs}


def get(template: str, handler: Handler, query: str = "", *, scope: str = "read:jira-work") -> Route:
    """A read."""
    return Route(
        method="GET", template=template, handler=handler, query=parameters(query), is_read=True, scope=scope
    )


def write(
    method: str,
    template: str,
    handler: Handler,
    query: str = "",
    *,
    body: Shape | None = None,
    scope: str = "write:jira-work",
    is_multipart: bool = False,
) -> Route:
    """Anything that is not a GET."""
    return Route(
        method=method,
        template=template,
        handler=handler,
        query=parameters(query),
        body=body,
        scope=scope,
        is_multipart=is_multipart,
    )


def ask(template: str, handler: Handler, query: str = "", *, body: Shape) -> Route:
    """A read that is sent as a POST."""
    return write("POST", template, handler, query, body=body, scope="read:jira-work")


def encode_token(position: int, query: str) -> str:
    """A page token that belongs to one query."""
    return base64.urlsafe_b64encode(f"{position}|{query}".encode()).decode()


def decode_token(token: str, query: str) -> int:
    """The position inside a page token; 400 for a token of another query."""
    try:
        position, _bar, asked = base64.urlsafe_b64decode(token.encode()).decode().partition("|")
        if asked == query:
            return int(position)
    except (binascii.Error, ValueError):
        pass
    raise JiraError(400, "The provided next page token is invalid or expired.")
