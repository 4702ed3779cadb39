"""Shorthand for document nodes, and Jira's schema to hold them against."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.validators import extend

from tests.contracts import load

Node = dict[str, Any]

_DOCUMENT = load("adf.schema.json")
BREAK: Node = {"type": "hardBreak"}


@cache
def _kinds(definition: str) -> frozenset[str]:
    """The node types that a definition of the schema can accept."""
    schema = _DOCUMENT["definitions"][definition.rpartition("/")[2]]
    if "properties" in schema:
        return frozenset(schema["properties"]["type"]["enum"])
    first = schema["allOf"][:1] if "allOf" in schema else schema["anyOf"]
    return frozenset().union(*(_kinds(option["$ref"]) for option in first))


def _any_of(validator: Any, options: list[Node], instance: Any, schema: Node) -> Iterator[Any]:
    """The standard keyword, asking only definitions of the node's own type.

    The others refuse it anyway, but only after looking at all its content: exponential in depth.
    """
    kind = instance.get("type") if isinstance(instance, dict) else None
    fitting = [option for option in options if "$ref" not in option or kind in _kinds(option["$ref"])]
    yield from Draft4Validator.VALIDATORS["anyOf"](validator, fitting or options[:1], instance, schema)


SCHEMA = extend(Draft4Validator, {"anyOf": _any_of})(_DOCUMENT)


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
