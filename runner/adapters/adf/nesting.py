"""What may stand in what, as the schema has it, and how a block that may not gives way.

Degrading loses structure, never words: a heading becomes a bold paragraph, a table its rows as lines.
"""

from __future__ import annotations

from collections.abc import Iterable

from runner.adapters.adf.limits import Node
from runner.adapters.adf.nodes import paragraph, text, tidy

_LISTS = {"bulletList", "orderedList"}
_SIMPLE = {"paragraph", "codeBlock", *_LISTS}
_FRAMED = _SIMPLE | {"heading", "taskList", "rule"}
ALLOWED: dict[str, set[str]] = {
    "doc": _FRAMED | {"panel", "blockquote", "table", "expand"},
    "expand": _FRAMED | {"panel", "blockquote", "table", "nestedExpand"},
    "nestedExpand": _FRAMED | {"panel", "blockquote"},
    "panel": _FRAMED,
    "listItem": _SIMPLE | {"taskList"},
    "blockquote": _SIMPLE,
}


def fit(container: str, blocks: Iterable[Node]) -> list[Node]:
    """The blocks as they may stand in ``container``; an empty paragraph where it must not be empty."""
    allowed = ALLOWED[container]
    fitting: list[Node] = []
    for block in blocks:
        fitting += [block] if block["type"] in allowed else _degrade(container, block)
    return fitting if fitting or container == "doc" else [paragraph([])]


def bullets_of(tasks: Node) -> Node:
    """A task list as a bullet list that spells out the boxes."""
    items: list[Node] = []
    for entry in tasks["content"]:
        if entry["type"] == "taskItem":
            items.append(_item([boxed(entry.get("content", []), is_done=entry["attrs"]["state"] == "DONE")]))
        elif items:
            items[-1]["content"].append(entry)
        else:
            items.append(_item([paragraph([]), entry]))
    return {"type": "bulletList", "content": items}


def boxed(content: list[Node], *, is_done: bool) -> Node:
    """A paragraph that begins with a task's box as text."""
    return paragraph(tidy([text("[x] " if is_done else "[ ] "), *content]))


def _item(content: list[Node]) -> Node:
    return {"type": "listItem", "content": content}


def _degrade(container: str, block: Node) -> list[Node]:
    match block["type"]:
        case "heading":
            return [paragraph(_strong(block["content"]))]
        case "taskList":
            return [bullets_of(block)]
        case "table":
            return _rows_as_lines(block)
        case "expand" | "nestedExpand":
            if container == "expand":
                return [block | {"type": "nestedExpand", "content": fit("nestedExpand", block["content"])}]
            title = block["attrs"]["title"]
            heading = [paragraph(_strong([text(title)]))] if title else []
            return [*heading, *_inner(container, block)]
        case "panel" | "blockquote":
            return _inner(container, block)
        case _:  # a rule, which has no words
            return []


def _inner(container: str, block: Node) -> list[Node]:
    return [child for child in fit(container, block["content"]) if child != paragraph([])]


def _strong(content: list[Node]) -> list[Node]:
    return tidy([_bold(node) if node["type"] == "text" else node for node in content])


def _bold(node: Node) -> Node:
    marks = [mark for mark in node.get("marks", []) if mark["type"] != "strong"]
    if any(mark["type"] == "code" for mark in marks):
        return node
    return text(node["text"], {"type": "strong"}, *marks)


def _rows_as_lines(table: Node) -> list[Node]:
    lines = []
    for row in table["content"]:
        content: list[Node] = []
        for cell in row["content"]:
            content += [text(" | ")] if content else []
            content += cell["content"][0]["content"]
        lines.append(paragraph(tidy(content)))
    return lines
