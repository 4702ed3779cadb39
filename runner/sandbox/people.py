"""People at their Jira, over real HTTP: what the story and the tests let humans do, in human verbs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import requests

from runner.sandbox.jira import JiraSandbox, JiraSite
from runner.sandbox.jira.adf import from_text

Json = dict[str, Any]


class Refused(AssertionError):
    """Jira declined what a person tried; the message holds the request and Jira's words."""


class Person:
    """Somebody with an account. Every method is one visit to Jira and raises Refused when Jira says no.

    Texts are plain: paragraphs, ``#`` headings, ``-`` lists; a document may be given instead.
    """

    def __init__(self, sandbox: JiraSandbox, account: str) -> None:
        self.sandbox = sandbox
        self.account = account
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = (sandbox.site.users[account].email, _token(sandbox.site, account))

    @property
    def name(self) -> str:
        """What others call this person."""
        return self.sandbox.site.users[self.account].display_name

    def request(self, method: str, path: str, **options: Any) -> Any:
        """One request below ``/rest/api/3``; the decoded answer, ``None`` where there is no body."""
        response = self._session.request(
            method, f"{self.sandbox.url}/rest/api/3/{path}", timeout=30, **options
        )
        if response.status_code >= 400:
            raise Refused(f"{method} {path}: {response.status_code} {response.text}")
        return response.json() if response.content else None

    def create_ticket(
        self,
        summary: str,
        description: str | Json = "",
        type: str = "Story",  # noqa: A002 - Jira's word for it
        *,
        project: str,
        parent: str | None = None,
        labels: Iterable[str] = (),
        fields: Json | None = None,
    ) -> str:
        """Write a ticket and return its key."""
        values: Json = {"project": {"key": project}, "issuetype": {"name": type}, "summary": summary}
        if description:
            values["description"] = _document(description)
        if labels := list(labels):
            values["labels"] = labels
        if parent is not None:
            values["parent"] = {"key": parent}
        created = self.request("POST", "issue", json={"fields": {**values, **(fields or {})}})
        return str(created["key"])

    def assign(self, key: str, account: str | None) -> None:
        """Give a ticket to somebody, or to nobody."""
        self.request("PUT", f"issue/{key}/assignee", json={"accountId": account})

    def move(self, key: str, status: str, *, fields: Json | None = None) -> None:
        """Take the transition that leads to a status."""
        offered = self.request("GET", f"issue/{key}/transitions")["transitions"]
        ids = [one["id"] for one in offered if one["to"]["name"] == status]
        if not ids:
            names = sorted(one["to"]["name"] for one in offered)
            raise Refused(f"{key}: no transition to {status!r}, only to {names}")
        body: Json = {"transition": {"id": ids[0]}}
        self.request(
            "POST", f"issue/{key}/transitions", json={**body, **({"fields": fields} if fields else {})}
        )

    def comment(self, key: str, text: str | Json, *, restricted_to: str | None = None) -> str:
        """Write a comment, perhaps for one role only; return its id."""
        body: Json = {"body": _document(text)}
        if restricted_to is not None:
            body["visibility"] = {"type": "role", "value": restricted_to, "identifier": restricted_to}
        return str(self.request("POST", f"issue/{key}/comment", json=body)["id"])

    def edit_comment(self, key: str, comment_id: str, text: str | Json) -> None:
        """Rewrite a comment."""
        self.request("PUT", f"issue/{key}/comment/{comment_id}", json={"body": _document(text)})

    def delete_comment(self, key: str, comment_id: str) -> None:
        """Delete a comment."""
        self.request("DELETE", f"issue/{key}/comment/{comment_id}")

    def label(self, key: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Add and remove labels."""
        verbs = [*({"add": one} for one in add), *({"remove": one} for one in remove)]
        self.request("PUT", f"issue/{key}", json={"update": {"labels": verbs}})

    def rewrite(self, key: str, *, summary: str | None = None, description: str | Json | None = None) -> None:
        """Change what a ticket says."""
        fields: Json = {} if summary is None else {"summary": summary}
        if description is not None:
            fields["description"] = _document(description)
        self.request("PUT", f"issue/{key}", json={"fields": fields})

    def delete(self, key: str) -> None:
        """Delete a ticket with its sub-tasks."""
        self.request("DELETE", f"issue/{key}", params={"deleteSubtasks": "true"})

    def attach(self, key: str, name: str, data: bytes, media_type: str = "text/plain") -> str:
        """Attach a file and return its id."""
        files = {"file": (name, data, media_type)}
        headers = {"X-Atlassian-Token": "no-check"}
        return str(self.request("POST", f"issue/{key}/attachments", files=files, headers=headers)[0]["id"])

    def link(self, inward: str, outward: str, *, type: str = "Blocks") -> None:  # noqa: A002 - as above
        """Relate two tickets: ``inward`` blocks ``outward``."""
        body = {"type": {"name": type}, "inwardIssue": {"key": inward}, "outwardIssue": {"key": outward}}
        self.request("POST", "issueLink", json=body)

    def read(self, key: str) -> Json:
        """The ticket with all its fields."""
        found: Json = self.request("GET", f"issue/{quote(key)}")
        return found

    def status(self, key: str) -> str:
        """The name of a ticket's status."""
        return str(self.read(key)["fields"]["status"]["name"])

    def assignee(self, key: str) -> str | None:
        """The account that a ticket is assigned to."""
        user = self.read(key)["fields"]["assignee"]
        return None if user is None else str(user["accountId"])

    def comments(self, key: str) -> list[Json]:
        """Every comment this person can see, oldest first."""
        found: list[Json] = []
        while True:
            page = self.request("GET", f"issue/{key}/comment", params={"startAt": len(found)})
            found += page["comments"]
            if not page["comments"] or len(found) >= page["total"]:
                return found


def _document(text: str | Json) -> Json:
    return from_text(text) if isinstance(text, str) else text


def _token(site: JiraSite, account: str) -> str:
    for token, credential in site.credentials.items():
        if credential.account == account and not credential.is_scoped:
            return token
    raise ValueError(f"{account} has no classic token")
