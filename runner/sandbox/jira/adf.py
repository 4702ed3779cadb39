"""What the sandbox accepts as rich text: the part of the Atlassian Document Format that Jira shows well.

Stricter than the published schema (layouts, extensions and other editor nodes are refused), never
looser: whatever passes here is valid there, and a test holds the two against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

TEXT_LIMIT = 32_767
TOO_LONG = "The entered text is too long. It exceeds the allowed limit of 32,767 characters."


class InvalidAdf(ValueError):
    """The value is no acceptable document; the message says where and why."""


CHECKS: dict[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "text": lambda value: isinstance(value, str) and value != "",
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "numbers": lambda value: isinstance(value, list) and all(isinstance(one, (int, float)) for one in value),
    "boolean": lambda value: isinstance(value, bool),
    "level": lambda value: isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 6,
    "order": lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    "newline": lambda value: value == "\n",
    "panel": lambda value: value in ("info", "note", "tip", "warning", "error", "success", "custom"),
    "state": lambda value: value in ("TODO", "DONE"),
    "colour": lambda value: isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value) is not None,
    "lozenge": lambda value: value in ("neutral", "purple", "blue", "red", "yellow", "green"),
    "subsup": lambda value: value in ("sub", "sup"),
    "user": lambda value: value in ("DEFAULT", "SPECIAL", "APP"),
    "layout": lambda value: value in ("wide", "full-width", "center", "align-end", "align-start", "default"),
    "mode": lambda value: value in ("default", "fixed"),
    "valign": lambda value: value in ("top", "middle", "bottom"),
}


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node type: its attributes as name -> check, the required ones, and what it may hold.

    ``holds`` is ``None`` for a node without content; ``least`` children are required.
    """

    attrs: Mapping[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    holds: frozenset[str] | None = None
    least: int = 0


INLINE = frozenset({"text", "hardBreak", "mention", "emoji", "date", "status", "inlineCard"})
LISTS = frozenset({"bulletList", "orderedList"})
IN_ITEM = frozenset({"paragraph", "codeBlock", "taskList"}) | LISTS
IN_QUOTE = frozenset({"paragraph", "codeBlock"}) | LISTS
IN_PANEL = IN_ITEM | {"heading", "rule"}
IN_CELL = IN_PANEL | {"panel", "blockquote", "nestedExpand"}
IN_EXPAND = IN_CELL | {"table"}
TOP = frozenset(
    {"paragraph", "heading", "codeBlock", "taskList", "blockquote", "rule", "panel", "table", "expand"}
)
CELL = {
    "colspan": "number",
    "rowspan": "number",
    "colwidth": "numbers",
    "background": "string",
    "valign": "valign",
}

NODES: dict[str, Node] = {
    "doc": Node(holds=TOP | LISTS),
    "paragraph": Node(holds=INLINE),
    "heading": Node(attrs={"level": "level"}, required=("level",), holds=INLINE),
    "bulletList": Node(holds=frozenset({"listItem"}), least=1),
    "orderedList": Node(attrs={"order": "order"}, holds=frozenset({"listItem"}), least=1),
    "listItem": Node(holds=IN_ITEM, least=1),
    "blockquote": Node(holds=IN_QUOTE, least=1),
    "panel": Node(attrs={"panelType": "panel"}, required=("panelType",), holds=IN_PANEL, least=1),
    "codeBlock": Node(attrs={"language": "string"}, holds=frozenset({"text"})),
    "rule": Node(),
    "expand": Node(attrs={"title": "string"}, holds=IN_EXPAND, least=1),
    "nestedExpand": Node(
        attrs={"title": "string"}, required=("title",), holds=IN_PANEL | {"blockquote"}, least=1
    ),
    "table": Node(
        attrs={
            "layout": "layout",
            "isNumberColumnEnabled": "boolean",
            "width": "number",
            "displayMode": "mode",
        },
        holds=frozenset({"tableRow"}),
        least=1,
    ),
    "tableRow": Node(holds=frozenset({"tableCell", "tableHeader"})),
    "tableCell": Node(attrs=CELL, holds=IN_CELL, least=1),
    "tableHeader": Node(attrs=CELL, holds=IN_CELL, least=1),
    "taskList": Node(required=("localId",), holds=frozenset({"taskItem", "taskList"}), least=1),
    "taskItem": Node(attrs={"state": "state"}, required=("localId", "state"), holds=INLINE),
    "text": Node(),
    "hardBreak": Node(attrs={"text": "newline"}),
    "mention": Node(
        attrs={"id": "string", "text": "string", "accessLevel": "string", "userType": "user"},
        required=("id",),
    ),
    "emoji": Node(attrs={"shortName": "string", "id": "string", "text": "string"}, required=("shortName",)),
    "date": Node(attrs={"timestamp": "text"}, required=("timestamp",)),
    "status": Node(attrs={"text": "text", "color": "lozenge", "style": "string"}, required=("text", "color")),
    "inlineCard": Node(attrs={"url": "string"}, required=("url",)),
}

MARKS: dict[str, Node] = {
    "strong": Node(),
    "em": Node(),
    "strike": Node(),
    "underline": Node(),
    "code": Node(),
    "link": Node(attrs={"href": "string", "title": "string"}, required=("href",)),
    "subsup": Node(attrs={"type": "subsup"}, required=("type",)),
    "textColor": Node(attrs={"color": "colour"}, required=("color",)),
    "backgroundColor": Node(attrs={"color": "colour"}, required=("color",)),
}


def check(document: object) -> None:
    """Raise InvalidAdf unless ``document`` is a document Jira would store."""
    if not isinstance(document, dict) or document.get("type") != "doc":
        raise InvalidAdf("Operation value must be an Atlassian Document")
    if document.get("version") != 1 or isinstance(document.get("version"), bool):
        raise InvalidAdf("doc: 'version' must be 1")
    if not isinstance(document.get("content"), list):
        raise InvalidAdf("doc: 'content' must be a list")
    _only(document, {"type", "version", "content"}, "doc")
    _check_children(document, NODES["doc"], "doc")
    if len(plain(document).removesuffix("\n")) > TEXT_LIMIT:
        raise InvalidAdf(TOO_LONG)


def plain(node: object) -> str:
    """The text of a document, one line per block. Tolerant: it also reads what people's editors wrote."""
    if not isinstance(node, dict):
        return ""
    if node.get("type") == "text":
        return str(node.get("text", ""))
    if node.get("type") == "hardBreak":
        return "\n"
    children = node.get("content") or []
    is_line = node.get("type") in ("paragraph", "heading", "codeBlock", "taskItem")
    return "".join(map(plain, children)) + ("\n" if is_line else "")


def from_text(text: str) -> dict[str, Any]:
    """A document of what people type: paragraphs, ``#`` headings and ``-`` lists. No other markup."""
    blocks: list[dict[str, Any]] = []
    for part in re.split(r"\n\s*\n", text.strip()):
        if part.strip():
            blocks.extend(_blocks(part.splitlines()))
    return {"type": "doc", "version": 1, "content": blocks}


def _blocks(lines: list[str]) -> Iterable[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    loose: list[str] = []
    for line in lines:
        if line.startswith("- "):
            items.append({"type": "listItem", "content": [_paragraph([line[2:].strip()])]})
        elif heading := re.fullmatch(r"(#{1,6}) +(\S.*)", line):
            level = {"level": len(heading[1])}
            yield {"type": "heading", "attrs": level, "content": [{"type": "text", "text": heading[2]}]}
        else:
            loose.append(line)
    if loose:
        yield _paragraph(loose)
    if items:
        yield {"type": "bulletList", "content": items}


def _paragraph(lines: list[str]) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    for number, line in enumerate(lines):
        content += [{"type": "hardBreak"}] if number else []
        content += [{"type": "text", "text": line}] if line else []
    return {"type": "paragraph", "content": content}


def _kind(node: object) -> str:
    return str(node.get("type")) if isinstance(node, dict) else ""


def _check_node(node: object, allowed: frozenset[str], where: str) -> None:
    kind = _kind(node)
    if not isinstance(node, dict) or kind not in allowed:
        raise InvalidAdf(f"{where}: {kind!r} is not allowed here")
    where = f"{where}/{kind}"
    if kind == "text":
        _check_text(node, where)
        return
    rule = NODES[kind]
    _only(node, {"type", "attrs"} | ({"content"} if rule.holds is not None else set()), where)
    _check_attrs(node.get("attrs"), rule, where, extra={"localId": "string"})
    _check_children(node, rule, where)


def _check_children(node: Mapping[str, Any], rule: Node, where: str) -> None:
    if rule.holds is None:
        return
    children = node.get("content", [])
    if not isinstance(children, list) or len(children) < rule.least:
        raise InvalidAdf(f"{where}: needs a list of at least {rule.least} in 'content'")
    if rule.least and "content" not in node:
        raise InvalidAdf(f"{where}: 'content' is required")
    if where.endswith("tableRow") and "content" not in node:
        raise InvalidAdf(f"{where}: 'content' is required")
    for child in children:
        if where.endswith("codeBlock") and isinstance(child, dict) and child.get("marks"):
            raise InvalidAdf(f"{where}: text in a code block carries no marks")
        _check_node(child, rule.holds, where)


def _check_text(node: Mapping[str, Any], where: str) -> None:
    _only(node, {"type", "text", "marks"}, where)
    if not isinstance(node.get("text"), str) or not node["text"]:
        raise InvalidAdf(f"{where}: 'text' must be a text that is not empty")
    marks = node.get("marks", [])
    if not isinstance(marks, list):
        raise InvalidAdf(f"{where}: 'marks' must be a list")
    for mark in marks:
        rule = MARKS.get(_kind(mark))
        if rule is None:
            raise InvalidAdf(f"{where}: unknown mark {mark!r}")
        _only(mark, {"type", "attrs"} if rule.attrs else {"type"}, where)
        _check_attrs(mark.get("attrs"), rule, where, extra={})
    names = {mark["type"] for mark in marks}
    if "code" in names and names - {"code", "link"}:
        raise InvalidAdf(f"{where}: 'code' goes with no mark but 'link'")


def _check_attrs(attrs: object, rule: Node, where: str, *, extra: Mapping[str, str]) -> None:
    if attrs is None and not rule.required:
        return
    if not isinstance(attrs, dict):
        raise InvalidAdf(f"{where}: 'attrs' is required")
    known = {**rule.attrs, **extra}
    _only(attrs, set(known), f"{where}/attrs")
    for name in rule.required:
        if name not in attrs:
            raise InvalidAdf(f"{where}/attrs: {name!r} is required")
    for name, value in attrs.items():
        if not CHECKS[known[name]](value):
            raise InvalidAdf(f"{where}/attrs: {name!r} cannot be {value!r}")


def _only(value: Mapping[str, Any], allowed: set[str], where: str) -> None:
    for name in value:
        if name not in allowed:
            raise InvalidAdf(f"{where}: unknown member {name!r}")
