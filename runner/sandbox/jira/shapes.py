"""What the REST contract allows in a request: query parameters and bodies, as data.

The published description is half a megabyte and its checker a development dependency; these tables say
the same for the operations the sandbox serves. A test replays broken requests against both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.sandbox.jira import adf
from runner.sandbox.jira.records import JiraError

PROPERTY_LIMIT = 32_768


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One JSON value. ``kind`` names its type; an object's unknown members are refused when ``closed``.

    ``others`` is the shape of unknown members where they are not refused.
    """

    kind: str
    members: Mapping[str, Shape] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    closed: bool = True
    others: Shape | None = None
    items: Shape | None = None
    least: int = 0
    most: int | None = None
    unique: bool = False
    pattern: str | None = None
    choices: tuple[str, ...] = ()
    nullable: bool = False


ANY = Shape(kind="any")
TEXT = Shape(kind="string")
NUMBER = Shape(kind="integer")
FLAG = Shape(kind="boolean")
ADF = Shape(kind="adf")
LABEL = Shape(kind="string", least=1, most=255, pattern=r"\S+")
NUMBERS = Shape(kind="array", items=NUMBER, unique=True)
FREE = Shape(kind="object", closed=False)


def listing(items: Shape, *, least: int = 0, most: int | None = None) -> Shape:
    """A list of one shape."""
    return Shape(kind="array", items=items, least=least, most=most)


def reference(*names: str, nullable: bool = True) -> Shape:
    """An object that names something by one of these members."""
    texts = {name: Shape(kind="string", nullable=True) for name in names}
    return Shape(kind="object", members=texts, any_of=names, closed=False, nullable=nullable)


def operations(**verbs: Shape) -> Shape:
    """The verbs of one field in ``update``."""
    return listing(Shape(kind="object", members=verbs, closed=False))


PROPERTY = Shape(
    kind="object",
    members={"key": Shape(kind="string", most=255), "value": ANY},
    required=("key", "value"),
)
PROPERTIES = listing(PROPERTY)
COMMENT = Shape(
    kind="object",
    members={
        "body": ADF,
        "visibility": Shape(
            kind="object",
            members={
                "type": Shape(kind="string", choices=("role", "group")),
                "value": TEXT,
                "identifier": Shape(kind="string", nullable=True),
            },
            closed=False,
        ),
        "properties": PROPERTIES,
    },
    required=("body",),
)
RICH = Shape(kind="adf", nullable=True)
FIELDS = Shape(
    kind="object",
    members={
        "summary": Shape(kind="string", least=1, most=255, pattern=r"[^\r\n]*"),
        "description": RICH,
        "environment": RICH,
        "labels": Shape(kind="array", items=LABEL, nullable=True),
        "project": reference("id", "key", nullable=False),
        "issuetype": reference("id", "name", nullable=False),
        "parent": reference("id", "key"),
        "assignee": reference("id", "accountId"),
        "reporter": reference("id", "accountId"),
    },
    closed=False,
)
UPDATE = Shape(
    kind="object",
    members={
        "description": operations(set=RICH),
        "labels": operations(add=LABEL, remove=LABEL, set=listing(LABEL)),
        "comment": operations(add=COMMENT, edit=COMMENT),
    },
    closed=False,
    others=operations(),
)
TRANSITION = Shape(kind="object", members={"id": TEXT, "looped": FLAG})
EDIT_MEMBERS = {
    "fields": FIELDS,
    "update": UPDATE,
    "properties": PROPERTIES,
    "historyMetadata": FREE,
    "transition": TRANSITION,
}
EDIT = Shape(kind="object", members=EDIT_MEMBERS)
CREATE = Shape(
    kind="object",
    members={
        **EDIT_MEMBERS,
        "fields": Shape(
            kind="object",
            members=FIELDS.members,
            required=("project", "issuetype", "summary"),
            closed=False,
        ),
    },
    required=("fields",),
)
BULK = Shape(
    kind="object",
    members={"issueUpdates": listing(CREATE, least=1, most=50)},
    required=("issueUpdates",),
)
TRANSIT = Shape(
    kind="object",
    members={
        **EDIT_MEMBERS,
        "transition": Shape(kind="object", members=TRANSITION.members, required=("id",)),
    },
    required=("transition",),
)
ASSIGN = Shape(
    kind="object",
    members={"accountId": Shape(kind="string", nullable=True), "name": TEXT, "key": TEXT},
    required=("accountId",),
)
ICON = Shape(kind="object", members={"link": TEXT, "title": TEXT, "url16x16": TEXT}, closed=False)
REMOTE_LINK = Shape(
    kind="object",
    members={
        "globalId": TEXT,
        "relationship": TEXT,
        "application": Shape(kind="object", members={"name": TEXT, "type": TEXT}, closed=False),
        "object": Shape(
            kind="object",
            members={
                "title": TEXT,
                "url": TEXT,
                "summary": TEXT,
                "icon": ICON,
                "status": Shape(kind="object", members={"resolved": FLAG, "icon": ICON}, closed=False),
            },
            required=("title", "url"),
            closed=False,
        ),
    },
    required=("object",),
)
LINKED = Shape(kind="object", members={"id": TEXT, "key": TEXT}, any_of=("id", "key"))
ISSUE_LINK = Shape(
    kind="object",
    members={
        "type": Shape(kind="object", members={"id": TEXT, "name": TEXT, "inward": TEXT, "outward": TEXT}),
        "inwardIssue": LINKED,
        "outwardIssue": LINKED,
        "comment": COMMENT,
    },
    required=("type", "inwardIssue", "outwardIssue"),
)
SEARCH = Shape(
    kind="object",
    members={
        "jql": TEXT,
        "fields": listing(TEXT),
        "expand": TEXT,
        "fieldsByKeys": FLAG,
        "maxResults": NUMBER,
        "nextPageToken": TEXT,
        "properties": listing(TEXT),
        "reconcileIssues": listing(NUMBER, most=50),
    },
)
COUNT = Shape(kind="object", members={"jql": TEXT})
BULK_FETCH = Shape(
    kind="object",
    members={
        "issueIdsOrKeys": listing(TEXT, most=100),
        "fields": listing(TEXT),
        "expand": listing(TEXT),
        "fieldsByKeys": FLAG,
        "properties": listing(TEXT),
    },
    required=("issueIdsOrKeys",),
)
COMMENT_LIST = Shape(kind="object", members={"ids": NUMBERS}, required=("ids",))
CHANGE_LIST = Shape(kind="object", members={"changelogIds": NUMBERS}, required=("changelogIds",))

PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "object": dict,
    "array": list,
}


def check_body(value: Any, shape: Shape) -> None:
    """Refuse a body that the contract refuses: 400, naming the member."""
    _check(value, shape, "")
    _check_both(value)


def check_query(query: Mapping[str, list[str]], allowed: Mapping[str, str]) -> None:
    """Refuse unknown parameters and values of the wrong type. ``allowed``: name to int, ints, bool, str or list."""
    for name, values in query.items():
        if name not in allowed:
            raise JiraError(400, f"Unrecognized query parameter '{name}'.")
        kind = allowed[name]
        if kind not in ("list", "ints") and len(values) > 1:
            raise JiraError(400, f"The query parameter '{name}' was given {len(values)} times.")
        patterns = {"int": r"-?\d+", "ints": r"-?\d+(,-?\d+)*", "bool": r"true|false"}
        if kind in patterns and not all(re.fullmatch(patterns[kind], value) for value in values):
            raise JiraError(400, f"The value of the query parameter '{name}' is not valid.")


def check_property(value: Any) -> None:
    """Entity properties are limited in size."""
    if len(json.dumps(value).encode()) > PROPERTY_LIMIT:
        raise JiraError(400, "The property value is too long. The maximum length is 32768 characters.")


def _check_both(body: Any) -> None:
    for one in body.get("issueUpdates") or [body] if isinstance(body, dict) else []:
        both = set(one.get("fields") or ()) & set(one.get("update") or ())
        if both:
            messages = {name: f"Field '{name}' cannot appear in both 'fields' and 'update'" for name in both}
            raise JiraError(400, fields=messages)


def _check(value: Any, shape: Shape, where: str) -> None:
    if value is None and (shape.nullable or shape.kind == "any"):
        return
    if shape.kind == "any":
        return
    if shape.kind == "adf":
        _check_adf(value, where)
        return
    is_flag = isinstance(value, bool) and shape.kind != "boolean"
    if is_flag or not isinstance(value, PYTHON_TYPES[shape.kind]):
        raise _refusal(where, f"expected {shape.kind}")
    if isinstance(value, str):
        _check_text(value, shape, where)
    elif isinstance(value, list):
        _check_size(len(value), shape, where)
        if shape.unique and len(set(map(json.dumps, value))) < len(value):
            raise _refusal(where, "holds an item twice")
        for number, item in enumerate(value):
            _check(item, shape.items or ANY, f"{where}[{number}]")
    elif isinstance(value, dict):
        _check_object(value, shape, where)


def _check_object(value: dict[str, Any], shape: Shape, where: str) -> None:
    for name in shape.required:
        if name not in value:
            raise _refusal(_join(where, name), "is required")
    if shape.any_of and not any(name in value for name in shape.any_of):
        raise _refusal(where, f"needs one of {', '.join(shape.any_of)}")
    for name, member in value.items():
        if name in shape.members:
            _check(member, shape.members[name], _join(where, name))
        elif shape.closed:
            raise _refusal(_join(where, name), "is not a known member, or is read-only")
        elif shape.others is not None:
            _check(member, shape.others, _join(where, name))


def _check_text(value: str, shape: Shape, where: str) -> None:
    _check_size(len(value), shape, where)
    if shape.pattern and not re.fullmatch(shape.pattern, value):
        raise _refusal(where, f"{value!r} holds characters that are not allowed")
    if shape.choices and value not in shape.choices:
        raise _refusal(where, f"must be one of {', '.join(shape.choices)}")


def _check_size(size: int, shape: Shape, where: str) -> None:
    if size < shape.least:
        raise _refusal(where, f"needs at least {shape.least}")
    if shape.most is not None and size > shape.most:
        raise _refusal(where, f"must not exceed {shape.most}")


def _check_adf(value: Any, where: str) -> None:
    try:
        adf.check(value)
    except adf.InvalidAdf as error:
        if str(error) == adf.TOO_LONG:
            raise JiraError(400, fields={_leaf(where): str(error)}) from error
        raise JiraError(400, f"INVALID_INPUT: {error}", fields={_leaf(where): str(error)}) from error


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _leaf(where: str) -> str:
    return re.split(r"[.\[]", where)[-1] or where


def _refusal(where: str, problem: str) -> JiraError:
    """A message by field for what lies in ``fields`` or ``update``, a general one otherwise."""
    found = re.match(r"(?:issueUpdates\[\d+\]\.)?(?:fields|update)\.(\w+)", where)
    if found:
        return JiraError(400, fields={found[1]: f"{where}: {problem}"})
    return JiraError(400, f"Invalid request payload. {where or 'body'}: {problem}.")
