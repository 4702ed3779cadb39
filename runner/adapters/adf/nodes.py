"""Inline nodes: made, and tidied so that the same words always have the same shape."""

from __future__ import annotations

from collections.abc import Callable

from runner.adapters.adf.limits import Node

_EMPHASIS = {"strong", "em", "strike"}


def paragraph(content: list[Node]) -> Node:
    """A paragraph node."""
    return {"type": "paragraph", "content": content}


def text(value: str, *marks: Node) -> Node:
    """A text node; ``value`` must not be empty."""
    return {"type": "text", "text": value, "marks": list(marks)} if marks else {"type": "text", "text": value}


def tidy(nodes: list[Node]) -> list[Node]:
    """The same words with as few nodes as possible, and whitespace only where Markdown can hold it.

    Lines neither begin nor end with it, and neither does emphasis.
    """
    joined = _joined(nodes)
    forward = _bare_starts(_strip_starts(joined, str.lstrip), str.lstrip)
    backward = _bare_starts(_strip_starts(forward[::-1], str.rstrip), str.rstrip)
    return _joined(backward[::-1])


def _joined(nodes: list[Node]) -> list[Node]:
    joined: list[Node] = []
    for node in nodes:
        if joined and _is_same_text(joined[-1], node):
            joined[-1] = joined[-1] | {"text": joined[-1]["text"] + node["text"]}
        else:
            joined.append(node)
    return joined


def _bare_starts(nodes: list[Node], strip: Callable[[str], str]) -> list[Node]:
    """Nodes whose emphasis begins with a visible character; ``strip`` says from which side they are seen."""
    bared: list[Node] = []
    around: set[str] = set()
    for node in nodes:
        marks = node.get("marks", [])
        own = {mark["type"] for mark in marks} & _EMPHASIS
        words = strip(node.get("text", ""))
        if own <= around or words == node["text"]:
            bared.append(node)
            around = own
            continue
        blank = node["text"][: -len(words)] if strip is str.lstrip and words else node["text"][len(words) :]
        bared.append(text(blank, *(mark for mark in marks if mark["type"] not in own - around)))
        bared += [node | {"text": words}] if words else []
        around = own if words else own & around
    return bared


def _is_same_text(one: Node, other: Node) -> bool:
    return one["type"] == other["type"] == "text" and one.get("marks") == other.get("marks")


def _strip_starts(nodes: list[Node], strip: Callable[[str], str]) -> list[Node]:
    """Nodes without whitespace after the beginning and after each break, nor breaks at the beginning."""
    kept: list[Node] = []
    is_start = True
    for node in nodes:
        if node["type"] == "hardBreak":
            kept += [node] if kept else []
            is_start = True
        elif is_start and node["type"] == "text" and not _is_code(node):
            stripped = strip(node["text"])
            kept += [node | {"text": stripped}] if stripped else []
            is_start = not stripped
        else:
            kept.append(node)
            is_start = False
    return kept


def _is_code(node: Node) -> bool:
    return any(mark["type"] == "code" for mark in node.get("marks", []))
