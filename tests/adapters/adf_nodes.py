"""Shorthand for document nodes, and Jira's schema to hold them against."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft4Validator  # type: ignore[import-untyped]

from tests.contracts import load

Node = dict[str, Any]

SCHEMA = Draft4Validator(load("adf.schema.json"))
BREAK: Node = {"type": "hardBreak"}


def is_valid(document: Node) -> bool:
    """Whether Jira's editor would take the document."""
    return bool(SCHEMA.is_valid(document))


def node(kind: str, *content: Node, **attrs: object) -> Node:
    """A block node."""
    return {"type": kind} | ({"attrs": attrs} if attrs else {}) | {"content": list(content)}


def leaf(kind: str, **attrs: object) -> Node:
    """A node without content."""
    return {"type": kind} | ({"attrs": attrs} if attrs else {})


def doc(*content: Node) -> Node:
    """A whole document."""
    return {"version": 1, "type": "doc", "content": list(content)}


def text(value: str, *marks: str, **link: str) -> Node:
    """A text node with marks, and a link when ``href`` is given."""
    marked: list[Node] = [{"type": mark} for mark in marks]
    marked += [{"type": "link", "attrs": link}] if link else []
    return {"type": "text", "text": value} | ({"marks": marked} if marked else {})


def paragraph(*content: Node | str) -> Node:
    """A paragraph of nodes and plain words."""
    return node("paragraph", *(text(part) if isinstance(part, str) else part for part in content))


def item(*content: Node) -> Node:
    """A list item."""
    return node("listItem", *content)


def cell(*content: Node | str, kind: str = "tableCell") -> Node:
    """A table cell of one paragraph, as we write it."""
    return {"type": kind, "attrs": {}, "content": [paragraph(*content)]}
