"""Markdown into documents. Deterministic, valid for any text, bounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from markdown_it.token import Token

from runner.adapters.adf import nesting
from runner.adapters.adf.dialect import (
    LANGUAGE,
    clean,
    is_too_deep,
    one_line,
    parse,
    unlinked,
    web_address,
)
from runner.adapters.adf.limits import (
    MAX_SOURCE,
    MAX_TEXT,
    Node,
    check_size,
    check_text,
    children,
    utf16_length,
)
from runner.adapters.adf.nesting import fit
from runner.adapters.adf.nodes import paragraph, text, tidy

QUIET = (
    {"type": "subsup", "attrs": {"type": "sub"}},
    {"type": "textColor", "attrs": {"color": "#97a0af"}},
)
"""Marks of the last line that carries a marker: small and grey, the least a document can do to hide it."""


def to_adf(markdown: str) -> Node:
    """Any Markdown as a valid document. Raises AdfTooLarge beyond MAX_TEXT characters of content."""
    return compose(markdown)


def compose(markdown: str, *, collapsed: Sequence[tuple[str, str]] = (), last_line: str = "") -> Node:
    """A comment: the body, then each (title, code) as a collapsed block, then the quiet last line.

    A body that itself ends with collapsed code is set apart by an empty paragraph, so that reading
    can tell the two.
    """
    blocks = _body(markdown)
    blocks += [paragraph([])] if last_line.strip() and blocks and _is_collapsed_code(blocks[-1]) else []
    blocks += [_expanded_code(title, code, "json") for title, code in collapsed]
    blocks += [quiet_line(last_line)] if last_line.strip() else []
    document = {"version": 1, "type": "doc", "content": blocks}
    check_size(document)
    check_text(_number_tasks_and_count(document), MAX_TEXT)
    return document


def quiet_line(words: str) -> Node:
    """A paragraph in small grey type on one line: the carrier of a machine's marker."""
    line = one_line(words)
    return paragraph([text(line, *(deepcopy(mark) for mark in QUIET))] if line else [])


def collapsed(title: str, code_text: str, language: str = "json") -> Node:
    """A closed block that holds a machine's text without getting in a reader's way."""
    return _expanded_code(title, code_text, language)


def _expanded_code(title: str, code_text: str, language: str) -> Node:
    return _expand(one_line(title), [_code(clean(code_text), language)])


def _is_collapsed_code(block: Node) -> bool:
    return block["type"] == "expand" and [child["type"] for child in block["content"]] == ["codeBlock"]


def _body(markdown: str) -> list[Node]:
    check_text(len(markdown), MAX_SOURCE)
    tokens = parse(markdown)
    if is_too_deep(tokens):
        lines = [line.strip() for line in clean(markdown).split("\n")]
        return [paragraph([text(line)]) for line in lines if line]
    return fit("doc", _Builder().build(tokens))


def _number_tasks_and_count(document: Node) -> int:
    """Give task nodes their ids in reading order, and count what a person could read."""
    numbers, length, pending = count(1), 0, [document]
    while pending:
        node = pending.pop()
        attrs = node.get("attrs", {})
        if "localId" in attrs:
            attrs["localId"] = f"task-{next(numbers)}"
        length += sum(
            utf16_length(part)
            for part in (node.get("text", ""), attrs.get("text", ""), attrs.get("title", ""))
        )
        pending += reversed(list(children(node)))
    return length


@dataclass
class _Frame:
    """An open block: its token, and the nodes collected inside so far."""

    token: Token
    nodes: list[Node] = field(default_factory=list)
    inline: list[Node] = field(default_factory=list)


class _Builder:
    """Turns a flat run of tokens into nodes, innermost first, each fitted into what holds it."""

    def __init__(self) -> None:
        self._close: dict[str, Callable[[_Frame], list[Node]]] = {
            "paragraph": lambda frame: [paragraph(frame.inline)] if frame.inline else [],
            "heading": _heading,
            "blockquote": _quote,
            "expand": lambda frame: [_expand(frame.token.meta["title"], frame.nodes)],
            "list_item": _list_item,
            "bullet_list": _bullet_list,
            "ordered_list": _ordered_list,
            "th": lambda frame: [_cell("tableHeader", frame.inline)],
            "td": lambda frame: [_cell("tableCell", frame.inline)],
            "tr": lambda frame: [{"type": "tableRow", "content": frame.nodes}],
            "thead": _head,
            "tbody": lambda frame: frame.nodes,
            "table": lambda frame: [{"type": "table", "content": frame.nodes}] if frame.nodes else [],
        }

    def build(self, tokens: Sequence[Token]) -> list[Node]:
        """The nodes of a balanced run of tokens."""
        frames = [_Frame(Token("root", "", 0))]
        for token in tokens:
            if token.nesting > 0:
                frames.append(_Frame(token))
            elif token.nesting < 0:
                frame = frames.pop()
                frames[-1].nodes += self._close[token.type.removesuffix("_close")](frame)
            elif token.type == "inline":
                frames[-1].inline = inline_nodes(token.children or [])
            else:
                frames[-1].nodes.append(_leaf(token))
        return frames[0].nodes


def _leaf(token: Token) -> Node:
    if token.type == "hr":
        return {"type": "rule"}
    words = one_line(token.info).split(" ", 1)
    language = words[0] if LANGUAGE.fullmatch(words[0]) else ""
    stray = words[1:] if language else words
    code = clean(token.content).removesuffix("\n")
    return _code("\n".join([*filter(None, stray), code]) if any(stray) else code, language)


def _code(code: str, language: str) -> Node:
    node: Node = {"type": "codeBlock"}
    if language:
        node["attrs"] = {"language": language}
    node["content"] = [text(code)] if code else []
    return node


def _expand(title: str, nodes: list[Node]) -> Node:
    return {"type": "expand", "attrs": {"title": title}, "content": fit("expand", nodes)}


def _heading(frame: _Frame) -> list[Node]:
    content = [text(" ") if node["type"] == "hardBreak" else node for node in frame.inline]
    level = int(frame.token.tag[1:])
    return [{"type": "heading", "attrs": {"level": level}, "content": tidy(content)}] if content else []


def _quote(frame: _Frame) -> list[Node]:
    panel = frame.token.meta.get("panel")
    if panel:
        return [{"type": "panel", "attrs": {"panelType": panel}, "content": fit("panel", frame.nodes)}]
    return [{"type": "blockquote", "content": fit("blockquote", frame.nodes)}] if frame.nodes else []


def _list_item(frame: _Frame) -> list[Node]:
    blocks = fit("listItem", frame.nodes)
    if blocks[0]["type"] not in {"paragraph", "codeBlock"}:
        # Older Jira editors refuse an item that begins with a list.
        blocks = [paragraph([]), *blocks]
    return [{"type": "listItem", "content": blocks, "is_done": frame.token.meta.get("is_done")}]


def _bullet_list(frame: _Frame) -> list[Node]:
    if all(_is_task(item) for item in frame.nodes):
        return [_task_list(frame.nodes)]
    return [{"type": "bulletList", "content": [_plain_item(item) for item in frame.nodes]}]


def _ordered_list(frame: _Frame) -> list[Node]:
    order = frame.token.attrGet("start")
    items = [_plain_item(item) for item in frame.nodes]
    return [{"type": "orderedList", "attrs": {"order": 1 if order is None else int(order)}, "content": items}]


def _is_task(item: Node) -> bool:
    """A task holds one line of text and further tasks, nothing else."""
    first, *rest = item["content"]
    is_line = first["type"] == "paragraph" and (first["content"] or not rest)
    return item["is_done"] is not None and is_line and all(block["type"] == "taskList" for block in rest)


def _task_list(items: list[Node]) -> Node:
    content: list[Node] = []
    for item in items:
        line, *nested = item["content"]
        attrs = {"localId": "", "state": "DONE" if item["is_done"] else "TODO"}
        content += [{"type": "taskItem", "attrs": attrs, "content": line["content"]}, *nested]
    return {"type": "taskList", "attrs": {"localId": ""}, "content": content}


def _plain_item(item: Node) -> Node:
    is_done, blocks = item["is_done"], item["content"]
    if is_done is not None:
        is_line = blocks[0]["type"] == "paragraph"
        line = nesting.boxed(blocks[0]["content"] if is_line else [], is_done=is_done)
        blocks = [line, *blocks[is_line:]]
    return {"type": "listItem", "content": blocks}


def _cell(kind: str, inline: list[Node]) -> Node:
    return {"type": kind, "attrs": {}, "content": [paragraph(inline)]}


def _head(frame: _Frame) -> list[Node]:
    """The header row, unless it is blank: Markdown cannot leave it out, a document can."""
    cells = frame.nodes[0]["content"]
    return frame.nodes if any(cell["content"][0]["content"] for cell in cells) else []


_MARKS = {"strong": "strong", "em": "em", "s": "strike"}


def inline_nodes(tokens: Sequence[Token]) -> list[Node]:
    """Inline nodes of one paragraph: no empty text, no blank edges, equal neighbours joined."""
    return tidy(_Inline().nodes(tokens))


class _Inline:
    """Walks inline tokens, keeping the marks that are open and the link around them."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {"strong": 0, "em": 0, "strike": 0}
        self._link: Token | None = None
        self._label = ""
        self._nodes: list[Node] = []

    def nodes(self, tokens: Sequence[Token]) -> list[Node]:
        for token in tokens:
            self._take(token)
        return self._nodes

    def _take(self, token: Token) -> None:
        kind = token.type.removesuffix("_open").removesuffix("_close")
        match kind:
            case "text" | "text_special":
                self._add(token.content)
            case "code_inline":
                self._add(token.content, is_code=True)
            case "softbreak":
                self._add(" ")
            case "hardbreak":
                self._nodes.append({"type": "hardBreak"})
            case "mention":
                name = token.meta["name"]
                attrs = {"id": token.meta["id"]} | ({"text": f"@{name}"} if name else {})
                self._nodes.append({"type": "mention", "attrs": attrs})
            case "status":
                attrs = {"text": token.meta["text"], "color": token.meta["colour"]}
                self._nodes.append({"type": "status", "attrs": attrs})
            case "image":
                self._image(token)
            case "link" if token.nesting > 0:
                self._link, self._label = token, ""
            case "link":
                self._end_link()
            case _:
                self._open[_MARKS[kind]] += token.nesting

    def _image(self, token: Token) -> None:
        """A picture cannot be embedded by address: its link, or its description and address."""
        source = str(token.attrGet("src") or "")
        label = one_line("".join(_alt_words(token))) or source
        if self._link is not None or not web_address(source):
            self._add(label + unlinked(label, source, str(token.attrGet("title") or "")))
            return
        self._link, self._label = token, ""
        self._add(label)
        self._link = None

    def _end_link(self) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        href, title = str(link.attrGet("href") or ""), str(link.attrGet("title") or "")
        if web_address(href):
            if not self._label.strip():
                self._link = link
                self._add(web_address(href))
                self._link = None
            return
        self._add(unlinked(self._label, href, title))

    def _add(self, words: str, *, is_code: bool = False) -> None:
        value = clean(words).replace("\n", " ")
        self._label += value
        if not value:
            return
        marks: list[Node] = [{"type": mark} for mark, depth in self._open.items() if depth > 0]
        marks = [{"type": "code"}] if is_code else marks
        self._nodes.append(text(value, *marks, *self._link_mark()))

    def _link_mark(self) -> list[Node]:
        if self._link is None:
            return []
        href = web_address(str(self._link.attrGet("href") or self._link.attrGet("src") or ""))
        title = one_line(str(self._link.attrGet("title") or ""))
        attrs: dict[str, Any] = {"href": href} | ({"title": title} if title else {})
        return [{"type": "link", "attrs": attrs}] if href else []


def _alt_words(token: Token) -> list[str]:
    words = []
    for child in token.children or []:
        if child.type in {"text", "text_special", "code_inline"}:
            words.append(child.content)
        elif child.type in {"softbreak", "hardbreak"}:
            words.append(" ")
        elif child.type == "image":
            words += _alt_words(child)
        elif child.type == "mention":
            words.append(child.meta["name"] or child.meta["id"])
        elif child.type == "status":
            words.append(child.meta["text"])
    return words
