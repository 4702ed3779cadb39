"""Jira Cloud over REST v3: the few calls we use, complete reads, and writes that say when they are unsure.

Lists are read to their end and counted against Jira's own total. Sub-tasks come from their parent, never from
search, which lags. Reads are completed in ``jira_api``, records made in ``jira_records``, moves in ``jira_moves``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from runner.adapters import adf, jira_records
from runner.adapters.http import Clock, HttpClient, Response, RetryPolicy, segment
from runner.adapters.http_credentials import Credential, basic, bearer
from runner.adapters.http_failures import BadRequest
from runner.adapters.jira_api import API, READ_BACK, JiraApi, field_id, issue_path
from runner.adapters.jira_moves import JiraMoves
from runner.adapters.jira_records import reading
from runner.core.model import Account, Status, Ticket, TicketType
from runner.errors import Ambiguous, ConfigError, Conflict, NotFound, Unauthorized, Unavailable
from runner.ports import CommentBody, NewSubTask, Transition

MAX_LINKED = 50

_FIELDS = (
    *("project", "issuetype", "summary", "status", "assignee", "reporter", "creator"),
    *("labels", "description", "parent", "subtasks", "created", "updated"),
)
_DETAIL_FIELDS = ("attachment", "issuelinks")
# The create call carries these; the project, type and parent are part of every create.
_OURS_ON_CREATE = ("description", "labels", "assignee")
_ALWAYS_GIVEN = frozenset({"project", "issuetype", "parent", "summary", "reporter", *_OURS_ON_CREATE})


def connect(
    base_url: str,
    *,
    email: str = "",
    token: str = "",
    bearer_token: str = "",
    clock: Clock | None = None,
    policy: RetryPolicy | None = None,
    user_agent: str = "ai-runner",
) -> HttpClient:
    """A client for a Jira site, or for ``https://api.atlassian.com/ex/jira/<cloudId>`` with a scoped token.

    Takes an e-mail address with its token, or a bearer token, which wins.
    """
    return HttpClient(
        base_url,
        service="Jira",
        auth=_credential(email, token, bearer_token),
        clock=clock,
        policy=policy,
        user_agent=user_agent,
    )


def _credential(email: str, token: str, bearer_token: str) -> Credential:
    if bearer_token:
        return bearer(bearer_token)
    if email and token:
        return basic(email, token)
    raise ConfigError(
        "There is no token for Jira.",
        remedy="Set JIRA_EMAIL and JIRA_API_TOKEN, or JIRA_BEARER_TOKEN.",
    )


class JiraTickets:
    """Implements ``ports.Tickets``. ``text_fields`` are ids of further fields to read as text."""

    def __init__(self, http: HttpClient, *, text_fields: Sequence[str] = ()) -> None:
        self.http = http
        self._text_fields = tuple(text_fields)
        self._api = JiraApi(http)
        self._moves = JiraMoves(http, self._api)

    def myself(self) -> Account:
        """The account this token belongs to; raises Unauthorized for a wrong token."""
        try:
            data = self.http.get(f"{API}/myself").mapping()
        except Unauthorized as exc:
            raise Unauthorized(
                exc.summary,
                remedy="Create a new API token and store it as JIRA_API_TOKEN. A scoped token, and every token of a "
                "service account, works only with JIRA_BASE_URL=https://api.atlassian.com/ex/jira/<cloudId>.",
                detail=exc.detail,
            ) from exc
        with reading("user"):
            return jira_records.account({"accountId": data["accountId"], **data})

    def ticket(self, key: str) -> Ticket:
        """One ticket in full. A ticket that was moved answers with its new key."""
        data = self._api.issue(key, (*_FIELDS, *_DETAIL_FIELDS, *self._text_fields))
        path = issue_path(key)
        with reading("ticket"):
            links = data["fields"].get("issuelinks") or []
            descriptions = self._descriptions(jira_records.linked_keys(links))
            return jira_records.ticket(
                data,
                text_fields=self._text_fields,
                comments=jira_records.comments(
                    self._api.entries(f"{path}/comment", ("comments",), {"orderBy": "created"})
                ),
                history=jira_records.history(self._api.entries(f"{path}/changelog", ("values",))),
                links=jira_records.links(links, descriptions),
                remote_links=jira_records.remote_links(self.http.get(f"{path}/remotelink").sequence()),
                is_detailed=True,
            )

    def tickets(self, keys: Sequence[str]) -> tuple[Ticket, ...]:
        """Tickets without comments and history, in the order asked; one that Jira says is missing is left out."""
        wanted = tuple(dict.fromkeys(keys))
        found = self._api.bulk(wanted, (*_FIELDS, *self._text_fields))
        issues = [found.get(key) or self._issue_or_none(key) for key in wanted]
        with reading("ticket"):
            return tuple(
                jira_records.ticket(data, text_fields=self._text_fields, is_detailed=False)
                for data in issues
                if data is not None
            )

    def search(self, jql: str, *, limit: int) -> tuple[str, ...]:
        """Keys matching a query, at most ``limit``. Lags behind writes."""
        issues = self._api.found(jql, ("summary",), limit=limit)
        with reading("search result"):
            return tuple(str(issue["key"]) for issue in issues)

    def survey(self, jql: str, *, limit: int) -> tuple[Ticket, ...]:
        """Tickets matching a query, at most ``limit``, without comments and history. Lags behind writes."""
        issues = self._api.found(jql, (*_FIELDS, *self._text_fields), limit=limit)
        with reading("search result"):
            return tuple(
                jira_records.ticket(issue, text_fields=self._text_fields, is_detailed=False)
                for issue in issues
            )

    def sub_task_type(self, project_key: str, wanted: str | None) -> TicketType:
        """The project's sub-task type: the wanted name whatever its case, or the only one."""
        entries = self._api.entries(_createmeta_path(project_key), ("issueTypes", "values"), size=50)
        with reading("list of ticket types"):
            types = [
                jira_records.ticket_type(entry)
                for entry in entries
                if jira_records.ticket_type(entry).is_sub_task
            ]
        return _chosen_type(project_key, types, wanted)

    def missing_create_fields(self, project_key: str, type_id: str, given: Sequence[str]) -> tuple[str, ...]:
        """Names of fields the create screen requires beyond ``given``, then ids of ours and of ``given`` that it lacks."""
        path = f"{_createmeta_path(project_key)}/{segment(type_id)}"
        entries = self._api.entries(path, ("fields", "values", "results"), size=50)
        known = _ALWAYS_GIVEN | set(given)
        needed = (*_OURS_ON_CREATE, *(name for name in given if name not in _ALWAYS_GIVEN))
        with reading("create screen"):
            required = [
                str(entry["name"])
                for entry in entries
                if entry["required"] and not entry.get("hasDefaultValue") and field_id(entry) not in known
            ]
            present = {field_id(entry) for entry in entries}
        return (*required, *(name for name in needed if name not in present))

    def statuses(self, project_key: str) -> dict[str, tuple[Status, ...]]:
        """The statuses each issue type of a project can have, in board order, by issue type id."""
        types = self.http.get(f"{API}/project/{segment(project_key)}/statuses").sequence()
        with reading("list of statuses"):
            return {str(each["id"]): tuple(map(jira_records.status, each["statuses"])) for each in types}

    def type_names(self) -> tuple[str, ...]:
        """Names of all issue types of this Jira that the account can see, of every project."""
        entries = self.http.get(f"{API}/issuetype").sequence()
        with reading("list of issue types"):
            return tuple(dict.fromkeys(str(entry["name"]) for entry in entries))

    def field_names(self) -> dict[str, str]:
        """Names of all fields of this Jira, by their ids."""
        entries = self.http.get(f"{API}/field").sequence()
        with reading("list of fields"):
            return {str(entry["id"]): str(entry["name"]) for entry in entries}

    def unknown_accounts(self, account_ids: Sequence[str]) -> tuple[str, ...]:
        """Those of these accounts that this Jira does not know."""
        wanted = tuple(dict.fromkeys(account_ids))
        if not wanted:
            return ()
        found = self._api.entries(f"{API}/user/bulk", ("values",), {"accountId": list(wanted)})
        with reading("list of users"):
            known = {str(entry["accountId"]) for entry in found}
        return tuple(one for one in wanted if one not in known)

    def editable_fields(self, key: str) -> frozenset[str]:
        """Ids of the fields the edit screen lets this account change; empty for a read-only ticket."""
        data = self.http.get(f"{issue_path(key)}/editmeta").mapping()
        with reading("edit screen"):
            return frozenset(str(name) for name in data["fields"])

    def assignable(self, key: str, account_ids: Sequence[str]) -> frozenset[str]:
        """Which of these accounts are active people or apps that may be assigned to this ticket."""
        return frozenset(
            each for each in dict.fromkeys(account_ids) if each and self._is_assignable(key, each)
        )

    def transitions(self, key: str) -> tuple[Transition, ...]:
        """Moves that are possible now."""
        return self._moves.offered(key)

    def move(self, key: str, transition_id: str, fields: Mapping[str, object]) -> None:
        """Perform a transition. A lost answer is settled by reading the status, then at most one more try."""
        self._moves.make(key, transition_id, fields)

    def edit(
        self,
        key: str,
        *,
        add_labels: Sequence[str] = (),
        remove_labels: Sequence[str] = (),
        assignee: Account | str | None = "keep",
    ) -> None:
        """Change labels and assignee in one request; other labels stay whoever changes them meanwhile."""
        body: dict[str, Any] = {}
        verbs = [{"add": label} for label in add_labels] + [{"remove": label} for label in remove_labels]
        if verbs:
            body["update"] = {"labels": verbs}
        if assignee != "keep":
            account_id = assignee.id if isinstance(assignee, Account) else assignee
            body["fields"] = {"assignee": None if account_id is None else {"accountId": account_id}}
        if body:
            self.http.request("PUT", issue_path(key), json=body, want="nothing")

    def assign(self, key: str, account_id: str | None) -> None:
        """Change the assignee alone, for screens without the field."""
        path = f"{issue_path(key)}/assignee"
        self.http.request("PUT", path, json={"accountId": account_id}, want="nothing")

    def add_comment(self, key: str, body: CommentBody) -> str:
        """Write a comment and return its id; raises Ambiguous when the answer is lost."""
        answer = self.http.request("POST", f"{issue_path(key)}/comment", json={"body": _document(body)})
        return _text_member(answer, "id")

    def edit_comment(self, key: str, comment_id: str, body: CommentBody) -> None:
        """Replace a comment of ours."""
        path = f"{issue_path(key)}/comment/{segment(comment_id)}"
        self.http.request("PUT", path, json={"body": _document(body)}, want="nothing")

    def create_sub_task(self, new: NewSubTask) -> str:
        """Create one sub-task and return its key, once a read shows it under its parent with its labels."""
        fields: dict[str, object] = {
            **new.fields,
            "project": {"id": new.project_id},
            "parent": {"key": new.parent_key},
            "issuetype": {"id": new.type_id},
            "summary": new.summary,
            "description": adf.to_adf(new.description),
            "labels": list(new.labels),
        }
        if new.assignee_id is not None:
            fields["assignee"] = {"accountId": new.assignee_id}
        key = _text_member(self.http.request("POST", f"{API}/issue", json={"fields": fields}), "key")
        self._verify_created(key, new)
        return key

    def link(
        self, key: str, *, global_id: str, url: str, title: str, summary: str, is_resolved: bool
    ) -> None:
        """Create or update the remote link with this global id; Jira keeps one for each, so repeating is safe."""
        body = {
            "globalId": global_id,
            "object": {"url": url, "title": title, "summary": summary, "status": {"resolved": is_resolved}},
        }
        self.http.request("POST", f"{issue_path(key)}/remotelink", json=body, idempotent=True)

    def attach(self, key: str, name: str, data: bytes, media_type: str) -> str:
        """Attach a file and return its id; raises Ambiguous when the answer is lost."""
        answer = self.http.request(
            "POST",
            f"{issue_path(key)}/attachments",
            files={"file": (re.sub(r"[\x00-\x1f/\\]", "_", name), data, media_type)},
            headers={"X-Atlassian-Token": "no-check"},
        )
        with reading("attachment"):
            return str(answer.sequence()[0]["id"])

    def attachment(self, attachment_id: str, *, limit: int) -> bytes:
        """Read an attachment; raises Conflict when it is larger than ``limit`` bytes.

        Jira sends readers to its media host, which gets no credentials.
        """
        path = f"{API}/attachment/content/{segment(attachment_id)}"
        return self.http.get(path, want="bytes", max_bytes=limit, leaves_host=True).body

    # Reading

    def _issue_or_none(self, key: str) -> dict[str, Any] | None:
        try:
            return self._api.issue(key, (*_FIELDS, *self._text_fields))
        except NotFound:
            return None

    def _descriptions(self, keys: Sequence[str]) -> dict[str, str]:
        """Descriptions of linked tickets, as far as this account may read them."""
        if not keys:
            return {}
        found = self._api.bulk(keys[:MAX_LINKED], ("description",))
        return {
            key: jira_records.rich_text(issue["fields"].get("description")) for key, issue in found.items()
        }

    def _is_assignable(self, key: str, account_id: str) -> bool:
        params = {"issueKey": key, "accountId": account_id}
        try:
            found = self.http.get(f"{API}/user/assignable/search", params=params).sequence()
        except BadRequest:
            return False
        with reading("list of users"):
            return any(
                user["accountId"] == account_id
                and user.get("active") is not False
                and user.get("accountType") != "customer"
                for user in found
            )

    # Writing

    def _verify_created(self, key: str, new: NewSubTask) -> None:
        try:
            fields = self._created(key)["fields"]
        except Unavailable as exc:
            raise Ambiguous(
                f"Jira created {key}, but does not show it.", detail=exc.detail, retry_at=exc.retry_at
            ) from exc
        with reading("ticket"):
            parent = (fields.get("parent") or {}).get("key")
            missing = set(new.labels) - set(fields["labels"])
        if parent != new.parent_key or missing:
            raise Conflict(
                f"Jira created {key} otherwise than asked: it is not a sub-task of {new.parent_key} with its labels.",
                detail=f"parent {parent!r}, labels missing: {sorted(missing)}",
            )

    def _created(self, key: str) -> dict[str, Any]:
        """Read a ticket that exists: for some seconds Jira may not show what it has just created."""
        for seconds in READ_BACK:
            try:
                return self._api.issue(key, ("parent", "labels"))
            except NotFound:
                if not self.http.pause(seconds):
                    break
        return self._api.issue(key, ("parent", "labels"))


def _createmeta_path(project_key: str) -> str:
    return f"{API}/issue/createmeta/{segment(project_key)}/issuetypes"


def _document(body: CommentBody) -> dict[str, Any]:
    return adf.compose(body.markdown, collapsed=body.collapsed, last_line=body.last_line)


def _text_member(answer: Response, name: str) -> str:
    value = answer.mapping().get(name)
    if not isinstance(value, str) or not value:
        raise Ambiguous("Jira did not say what it created.", detail=f"no {name} in the answer")
    return value


def _chosen_type(project_key: str, types: Sequence[TicketType], wanted: str | None) -> TicketType:
    names = ", ".join(each.name for each in types)
    if not types:
        raise ConfigError(
            f"Project {project_key} offers this account no sub-task type.",
            remedy="Let the account create tickets there, and give the project a sub-task type.",
        )
    if wanted is None:
        if len(types) == 1:
            return types[0]
        raise ConfigError(
            f"Project {project_key} has several sub-task types: {names}.",
            remedy="Name one as jira.sub_task_type in the configuration.",
        )
    by_name = {each.name.casefold(): each for each in types}
    if wanted.casefold() in by_name:
        return by_name[wanted.casefold()]
    nearest = difflib.get_close_matches(wanted.casefold(), by_name, n=1, cutoff=0.0)
    raise ConfigError(
        f"Project {project_key} has no sub-task type {wanted!r}; it has: {names}.",
        remedy=f"Set jira.sub_task_type to {by_name[nearest[0]].name!r}.",
    )
