"""Nodes that hold words themselves, as spans, and a plain walk over all the words of a tree.

Everything here takes nodes of any shape: attributes may be missing or of the wrong type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from runner.adapters.adf.dialect import ACCOUNT_ID, clean, mention, one_line, status
from runner.adapters.adf.inline import BREAK, EMPHASIS, Span, escape, linked
from runner.adapters.adf.limits import Node, children

INLINE = {
    "",
    "text",
    "hardBreak",
    "mention",
    "status",
    "date",
    "emoji",
    "inlineCard",
    "mediaInline",
    "placeholder",
    "inlineExtension",
}
"""Types that stand inside a line; every other one begins a line of its own."""

BOUNDARY = replace(BREAK)
"""A break between blocks, told from one inside a line by its identity."""

DASH = Span(text="- ")
"""Stands for a list item inside a line; its own line does not begin another."""

_ITEMS = {"listItem", "taskItem", "decisionItem", "blockTaskItem"}


def kind_of(node: Node) -> str:
    """The node's type, or nothing when it has none."""
    kind = node.get("type")
    return kind if isinstance(kind, str) else ""


def attribute(node: Node, name: str) -> str:
    """A text attribute, or nothing."""
    value = attributes(node).get(name)
    return value if isinstance(value, str) else ""


def attributes(node: Node) -> dict[str, Any]:
    """The node's attributes, or none."""
    attrs = node.get("attrs")
    return attrs if isinstance(attrs, dict) else {}


def own_spans(node: Node) -> Iterator[Span]:
    """What the node says itself, its children left out."""
    return _LEAVES.get(kind_of(node), _unknown)(node)


def code_of(node: Node) -> str:
    """The exact text of a code block."""
    return "".join(span.text for child in children(node) for span in walk(child))


def walk(root: Node, *, is_for_line: bool = False) -> Iterator[Span]:
    """Every word of a tree in reading order, a break wherever a block begins or ends.

    ``is_for_line``: for showing blocks inside one line, so items get a dash and code stays code.
    """
    pending: list[Node | Span] = [root]
    while pending:
        entry = pending.pop()
        if isinstance(entry, Span):
            yield entry
            continue
        kind = kind_of(entry)
        is_block = kind not in INLINE
        if is_block:
            yield BOUNDARY
            pending.append(BOUNDARY)
        if is_for_line and kind in _ITEMS:
            yield DASH
        if is_for_line and kind == "codeBlock":
            yield from _code_lines(entry)
            continue
        yield from own_spans(entry)
        pending += reversed(list(children(entry)))


def _code_lines(node: Node) -> Iterator[Span]:
    for line in clean(code_of(node)).split("\n"):
        if line.strip():
            yield Span(text=line, marks=frozenset({"code"}))
            yield BREAK


def _text(node: Node) -> Iterator[Span]:
    value = node.get("text")
    if not isinstance(value, str) or not value:
        return
    marks = node.get("marks")
    found = [mark for mark in marks if isinstance(mark, dict)] if isinstance(marks, list) else []
    names = {kind_of(mark) for mark in found}
    kept = frozenset({"code"}) if "code" in names else EMPHASIS & names
    link = next((mark for mark in found if kind_of(mark) == "link"), None)
    if link is None:
        yield Span(text=value, marks=kept)
    else:
        yield from linked(value, attribute(link, "href"), one_line(attribute(link, "title")), kept)


def _mention(node: Node) -> Iterator[Span]:
    account_id, name = attribute(node, "id"), one_line(attribute(node, "text"))
    if ACCOUNT_ID.fullmatch(account_id):
        yield Span(text=name or f"@{account_id}", raw=mention(account_id, name))
    else:
        yield Span(text=" ".join(filter(None, [account_id, name])))


def _status(node: Node) -> Iterator[Span]:
    words = one_line(attribute(node, "text"))
    if words:
        yield Span(text=words, raw=status(words, attribute(node, "color")))


def _date(node: Node) -> Iterator[Span]:
    stamp = attributes(node).get("timestamp")
    try:
        yield Span(text=datetime.fromtimestamp(int(stamp) / 1000, UTC).date().isoformat())  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        yield Span(text=stamp if isinstance(stamp, str) else "")


def _emoji(node: Node) -> Iterator[Span]:
    yield Span(text=attribute(node, "text") or attribute(node, "shortName"))


def _card(node: Node) -> Iterator[Span]:
    data = attributes(node).get("data")
    details = data if isinstance(data, dict) else {}
    url, name = (
        value if isinstance(value, str) else "" for value in (details.get("url"), details.get("name"))
    )
    yield from linked(one_line(name), attribute(node, "url") or url)


def _media(node: Node) -> Iterator[Span]:
    alt = one_line(attribute(node, "alt"))
    source = attribute(node, "url") or f"attachment:{attribute(node, 'id')}"
    target = quote(clean(source).strip(), safe="%/:?#@!$&'*+,;=~-._")
    shown = escape(alt, is_line_start=False, is_link=True)
    yield Span(text=alt, raw=f"![{shown}]({target})")


def _said(*names: str) -> Callable[[Node], Iterator[Span]]:
    def spans(node: Node) -> Iterator[Span]:
        words = next(filter(None, (attribute(node, name) for name in names)), "")
        if words:
            yield Span(text=words)

    return spans


def _titled(node: Node) -> Iterator[Span]:
    title = one_line(attribute(node, "title"))
    if title:
        yield Span(text=title)
        yield BREAK


def _unknown(node: Node) -> Iterator[Span]:
    yield from _text(node)
    yield from _said("text", "title", "alt", "url")(node)


def _break(_: Node) -> Iterator[Span]:
    yield BREAK


_LEAVES: dict[str, Callable[[Node], Iterator[Span]]] = {
    "text": _text,
    "hardBreak": _break,
    "mention": _mention,
    "status": _status,
    "date": _date,
    "emoji": _emoji,
    "inlineCard": _card,
    "blockCard": _card,
    "embedCard": _card,
    "media": _media,
    "mediaInline": _media,
    "expand": _titled,
    "nestedExpand": _titled,
}
