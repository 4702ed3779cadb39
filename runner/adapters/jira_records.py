"""Jira's JSON into our records. Pure; a value of another shape than documented raises instead of reading as empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from runner.adapters import adf
from runner.core.model import (
    Account,
    Attachment,
    Change,
    Comment,
    LinkedTicket,
    Status,
    Ticket,
    TicketType,
    iso,
)
from runner.core.redact import clean
from runner.errors import Unavailable
from runner.ports import Transition

# Every marker of ours begins with this word; only such a last line is taken out of a comment's text.
MARKER_WORD = "ai-runner"

_CATEGORIES: Mapping[str, Literal["new", "indeterminate", "done"]] = {
    "new": "new",
    "undefined": "new",
    "indeterminate": "indeterminate",
    "done": "done",
}
_NOBODY = Account(id="", is_active=False, is_person=False)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn a surprise inside the block into Unavailable: half-understood is not read."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as exc:
        raise Unavailable(
            f"Jira gave a {what} of another shape than its documentation promises.",
            detail=f"{what}: {type(exc).__name__}: {clean(str(exc), 200)}",
        ) from exc


def instant(value: object) -> str:
    """Jira's ``2026-01-31T10:00:00.000+0100`` as UTC with milliseconds and ``Z``; empty for no time at all."""
    if value in (None, ""):
        return ""
    moment = datetime.fromisoformat(str(value))
    return iso(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def account(data: Mapping[str, Any] | None) -> Account:
    """A user; deleted and anonymous ones become an account without id that is nobody."""
    if not data or not data.get("accountId"):
        return _NOBODY
    return Account(
        id=str(data["accountId"]),
        name=str(data.get("displayName") or ""),
        is_active=data.get("active") is not False,
        is_person=data.get("accountType", "atlassian") == "atlassian" and not data.get("appType"),
    )


def account_or_none(data: Mapping[str, Any] | None) -> Account | None:
    """A user field that may be empty."""
    return account(data) if data else None


def status(data: Mapping[str, Any]) -> Status:
    """A status with its category key."""
    category = _CATEGORIES[data["statusCategory"]["key"]]
    return Status(name=str(data["name"]), category=category, id=str(data.get("id") or ""))


def ticket_type(data: Mapping[str, Any]) -> TicketType:
    """An issue type; the level is derived from ``subtask`` where Jira leaves it out."""
    level = data.get("hierarchyLevel")
    if level is None:
        level = -1 if data["subtask"] else 0
    return TicketType(id=str(data["id"]), name=str(data["name"]), level=int(level))


def ticket(
    data: Mapping[str, Any],
    *,
    text_fields: Sequence[str],
    comments: tuple[Comment, ...] = (),
    history: tuple[Change, ...] = (),
    links: tuple[LinkedTicket, ...] = (),
    remote_links: Mapping[str, str] | None = None,
    is_detailed: bool,
) -> Ticket:
    """An issue; what only a detailed ticket has is given by the caller."""
    fields = data["fields"]
    parent = fields.get("parent")
    project = fields["project"]
    return Ticket(
        key=str(data["key"]),
        id=str(data["id"]),
        project_key=str(project["key"]),
        project_id=str(project["id"]),
        project_kind=str(project.get("projectTypeKey") or "software"),
        type=ticket_type(fields["issuetype"]),
        summary=str(fields["summary"] or ""),
        status=status(fields["status"]),
        assignee=account_or_none(fields.get("assignee")),
        reporter=account_or_none(fields.get("reporter")),
        creator=account_or_none(fields.get("creator")),
        labels=frozenset(str(label) for label in fields.get("labels") or ()),
        description=rich_text(fields.get("description")),
        parent_key=str(parent["key"]) if parent else None,
        sub_task_keys=tuple(str(child["key"]) for child in fields.get("subtasks") or ()),
        created=instant(fields.get("created")),
        updated=instant(fields.get("updated")),
        comments=comments,
        history=history,
        attachments=attachments(fields.get("attachment") or ()) if is_detailed else (),
        links=links,
        fields={name: plain_value(fields[name]) for name in text_fields if fields.get(name) is not None},
        remote_links=remote_links or {},
        is_detailed=is_detailed,
    )


def rich_text(value: object) -> str:
    """A document as Markdown; a plain string (custom fields of one line) as it is."""
    if value is None:
        return ""
    return value if isinstance(value, str) else _read(value).markdown


def _read(document: object) -> adf.AdfText:
    """A document; words in place of one that is too deep or too large, so that one text does not hide a ticket."""
    try:
        return adf.read(document)
    except adf.AdfTooLarge as exc:
        words = f"(This text could not be read. {exc.summary})"
        return adf.AdfText(markdown=words, body_markdown=words, code_blocks=(), last_line="")


def plain_value(value: object) -> str:
    """A custom field's value as text: a document, an option, a user, a number, or a list of those."""
    if isinstance(value, list):
        return ", ".join(filter(None, (plain_value(entry) for entry in value)))
    if isinstance(value, dict) and value.get("type") != "doc":
        name = next((value[key] for key in ("value", "name", "displayName", "key") if value.get(key)), "")
        return str(name)
    return rich_text(value) if isinstance(value, dict | str) or value is None else str(value)


def comment(data: Mapping[str, Any]) -> Comment:
    """A comment. One for a role, a group or a service desk's agents only is counted and not read."""
    author = account(data.get("author"))
    is_restricted = bool(data.get("visibility")) or data.get("jsdPublic") is False
    text = None if is_restricted else _read(data["body"])
    is_marked = text is not None and MARKER_WORD in text.last_line
    return Comment(
        id=str(data["id"]),
        author=author,
        editor=account(data["updateAuthor"]) if data.get("updateAuthor") else author,
        created=instant(data["created"]),
        updated=instant(data["updated"]),
        text="" if text is None else text.body_markdown if is_marked else text.markdown,
        code_blocks=() if text is None else text.code_blocks,
        last_line="" if text is None else text.last_line,
        is_restricted=is_restricted,
    )


def comments(entries: Iterable[Mapping[str, Any]]) -> tuple[Comment, ...]:
    """Comments, oldest first."""
    return tuple(sorted(map(comment, entries), key=lambda each: (each.created, int(each.id))))


def history(entries: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    """A changelog, one record for each changed field, oldest first."""
    ordered = sorted(entries, key=lambda entry: (instant(entry["created"]), int(entry["id"])))
    return tuple(
        Change(
            at=instant(entry["created"]),
            author=account(entry.get("author")),
            field=str(item.get("fieldId") or item["field"]),
            old=str(item.get("fromString") or ""),
            new=str(item.get("toString") or ""),
            old_id=str(item.get("from") or ""),
            new_id=str(item.get("to") or ""),
        )
        for entry in ordered
        for item in entry["items"]
    )


def attachments(entries: Iterable[Mapping[str, Any]]) -> tuple[Attachment, ...]:
    """Files of a ticket, oldest first."""
    found = (
        Attachment(
            id=str(entry["id"]),
            name=str(entry["filename"]),
            media_type=str(entry.get("mimeType") or "application/octet-stream"),
            size=int(entry["size"]),
            created=instant(entry["created"]),
            author=account(entry.get("author")),
        )
        for entry in entries
    )
    return tuple(sorted(found, key=lambda each: (each.created, int(each.id))))


def links(entries: Iterable[Mapping[str, Any]], descriptions: Mapping[str, str]) -> tuple[LinkedTicket, ...]:
    """Linked tickets with the relation as seen from this ticket, in Jira's order."""
    return tuple(
        LinkedTicket(
            key=str(other["key"]),
            relation=str(relation),
            summary=str(other["fields"]["summary"] or ""),
            status=status(other["fields"]["status"]),
            description=descriptions.get(str(other["key"]), ""),
        )
        for relation, other in map(_link_end, entries)
    )


def linked_keys(entries: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Keys of linked tickets, in Jira's order."""
    return tuple(dict.fromkeys(str(other["key"]) for _, other in map(_link_end, entries)))


def _link_end(entry: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    side = "outward" if "outwardIssue" in entry else "inward"
    return entry["type"][side], entry[f"{side}Issue"]


def remote_links(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Addresses of remote links by global id, those struck through followed by `` resolved``.

    Links without a global id are nobody's to update.
    """
    found = {str(entry["globalId"]): entry["object"] for entry in entries if entry.get("globalId")}
    return {
        name: f"{target['url']} resolved"
        if (target.get("status") or {}).get("resolved")
        else str(target["url"])
        for name, target in found.items()
    }


def transition(data: Mapping[str, Any]) -> Transition:
    """A possible move with the fields it insists on."""
    target = status(data["to"])
    return Transition(
        id=str(data["id"]),
        name=str(data["name"]),
        target=target.name,
        target_category=target.category,
        required_fields=tuple(
            str(name)
            for name, meta in (data.get("fields") or {}).items()
            if meta["required"] and not meta.get("hasDefaultValue")
        ),
    )
