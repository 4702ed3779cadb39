"""How large a document may be, and a check of foreign values that cannot itself be overwhelmed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runner.errors import RunnerError

MAX_TEXT = 30_000
"""Characters of content we write, in UTF-16 units; Jira refuses more than 32,767."""

MAX_SOURCE = 2 * MAX_TEXT
"""Characters of Markdown we parse: content within the bound, and as much again for its markup."""

MAX_DEPTH = 200
MAX_NODES = 50_000

Node = dict[str, Any]


class AdfTooLarge(RunnerError):
    """A document is too long to be written, or too deep or too large to be read."""

    exit_code = 3


def children(value: object) -> Iterator[Node]:
    """The child nodes of any JSON value, wherever ``content`` is missing, a string or a nested list."""
    content = value.get("content") if isinstance(value, dict) else value
    for child in content if isinstance(content, list) else [content]:
        if isinstance(child, dict):
            yield child
        elif isinstance(child, list):
            yield {"content": child}
        elif isinstance(child, str) and child:
            yield {"type": "text", "text": child}


def check_size(document: object) -> None:
    """Refuse a tree of more than MAX_NODES nodes or deeper than MAX_DEPTH, looking at no more than that."""
    pending, nodes = [(child, 1) for child in _first(document)], 0
    while pending:
        node, depth = pending.pop()
        nodes += 1
        if depth > MAX_DEPTH:
            raise _too_large(f"nested more than {MAX_DEPTH} levels deep")
        for child in children(node):
            pending.append((child, depth + 1))
            if nodes + len(pending) > MAX_NODES:
                raise _too_large(f"of more than {MAX_NODES:,} nodes")


def utf16_length(text: str) -> int:
    """Length as Jira counts it: a character outside the basic plane counts twice."""
    return len(text) + sum(character > "\uffff" for character in text)


def check_text(length: int, limit: int) -> None:
    """Refuse a text longer than ``limit``."""
    if length > limit:
        raise AdfTooLarge(
            f"A text of {length:,} characters is longer than a Jira document holds.",
            remedy=f"Shorten it to {limit:,} characters, or attach it as a file.",
        )


def _first(document: object) -> Iterator[Node]:
    if isinstance(document, dict):
        yield document
    else:
        yield from children(document)


def _too_large(why: str) -> AdfTooLarge:
    return AdfTooLarge(
        f"A Jira text makes a document {why}, too much to work with.",
        remedy="Shorten or simplify the description or comment.",
    )
