"""Documents into Markdown. Takes any JSON value, loses no word, and never recurses.

Nodes are folded from the inside out: every node turns the pieces of its children (spans of text,
finished blocks) into pieces of its own, so depth costs no stack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from runner.adapters.adf.dialect import LANGUAGE, clean, one_line
from runner.adapters.adf.inline import NEW_LINE, Span, plain, spell
from runner.adapters.adf.leaves import (
    BOUNDARY,
    DASH,
    INLINE,
    attribute,
    attributes,
    code_of,
    kind_of,
    own_spans,
    walk,
)
from runner.adapters.adf.limits import Node, check_size, children

_PANEL_NAMES = {
    "note": "NOTE",
    "warning": "WARNING",
    "error": "ERROR",
    "success": "SUCCESS",
    "tip": "TIP",
}
_MAX_COLSPAN = 50
_CLOSING_HASHES = re.compile(r"(^|\s)(#+)$")
_COLONS = re.compile(r":{3,}")
_LINES = {"heading", "codeBlock", "taskItem", "decisionItem", "tableCell", "tableHeader"}
"""Nodes read in one go: Markdown gives them one line (or code), whatever stands inside."""


@dataclass(frozen=True, kw_only=True)
class AdfText:
    """A document as text.

    ``markdown`` is all of it; ``body_markdown`` leaves out what a machine appended (the quiet last
    line and the collapsed blocks right before it) and equals ``markdown`` where there is no such
    line. ``code_blocks`` are the (title, exact code) of top-level expands. ``last_line`` is the
    plain text of the last top-level paragraph that has words.
    """

    markdown: str
    body_markdown: str
    code_blocks: tuple[tuple[str, str], ...]
    last_line: str


def read(document: object) -> AdfText:
    """Read any JSON value as a document; nothing in it is trusted. Raises AdfTooLarge by its size only."""
    check_size(document)
    top = _top_level(document)
    pieces = [_fold(node) for node in top]
    body = len(top) - _appended_by_a_machine(top)
    return AdfText(
        markdown=_join(_as_blocks(piece for part in pieces for piece in part)),
        body_markdown=_join(_as_blocks(piece for part in pieces[:body] for piece in part)),
        code_blocks=tuple(block for node in top for block in _collapsed_code(node)),
        last_line=next((words for node in reversed(top) if (words := _paragraph_words(node))), ""),
    )


def plain_text(document: object) -> str:
    """The words of a document, a line for each block."""
    check_size(document)
    lines = (line.strip() for node in _top_level(document) for line in plain(walk(node)).split("\n"))
    return "\n".join(line for line in lines if line)


def _top_level(document: object) -> list[Node]:
    if isinstance(document, dict) and kind_of(document) != "doc":
        return [document]
    return list(children(document))


def _paragraph_words(node: Node) -> str:
    return plain(walk(node)).strip() if kind_of(node) == "paragraph" else ""


def _collapsed_code(node: Node) -> Iterator[tuple[str, str]]:
    if kind_of(node) == "expand":
        for child in children(node):
            if kind_of(child) == "codeBlock":
                yield attribute(node, "title"), code_of(child)


def _appended_by_a_machine(top: Sequence[Node]) -> int:
    """How many of the last nodes are a quiet line and collapsed blocks before it."""
    last = len(top)
    while last and kind_of(top[last - 1]) == "paragraph" and not _paragraph_words(top[last - 1]):
        last -= 1
    if not last or not _is_quiet(top[last - 1]):
        return 0
    first = last - 1
    while first and _is_collapsed_block(top[first - 1]):
        first -= 1
    return len(top) - first


def _is_quiet(node: Node) -> bool:
    return kind_of(node) == "paragraph" and all(_is_small(child) for child in children(node))


def _is_small(node: Node) -> bool:
    marks = node.get("marks")
    return isinstance(marks, list) and any(
        isinstance(mark, dict) and kind_of(mark) == "subsup" and attribute(mark, "type") == "sub"
        for mark in marks
    )


def _is_collapsed_block(node: Node) -> bool:
    return kind_of(node) == "expand" and [kind_of(child) for child in children(node)] == ["codeBlock"]


@dataclass(frozen=True, kw_only=True)
class _Block:
    """A finished block. Lists stay apart until they are joined, because neighbours need different markers.

    ``text`` is the Markdown of everything but lists and rows; ``items`` are the parts of those.
    """

    kind: str
    text: str = ""
    items: tuple[str, ...] = ()
    start: int = 1
    is_header: bool = False


_Piece = Span | _Block


@dataclass
class _Frame:
    node: Node
    todo: Iterator[Node]
    pieces: list[_Piece] = field(default_factory=list)


def _fold(root: Node) -> list[_Piece]:
    frames = [_open(root)]
    while True:
        frame = frames[-1]
        child = next(frame.todo, None)
        if child is not None:
            frames.append(_open(child))
            continue
        frames.pop()
        made = _visit(frame.node, frame.pieces)
        if not frames:
            return made
        frames[-1].pieces += made


def _open(node: Node) -> _Frame:
    return _Frame(node, iter(()) if kind_of(node) in _LINES else children(node))


def _visit(node: Node, pieces: list[_Piece]) -> list[_Piece]:
    kind = kind_of(node)
    if kind in _BLOCKS:
        return list(_BLOCKS[kind](node, pieces))
    made = [*own_spans(node), *pieces]
    return made if kind in INLINE else list(_as_blocks(made))


def _as_blocks(pieces: Iterable[_Piece]) -> list[_Block]:
    """Blocks as they are, each run of spans between them as a paragraph if it has words."""
    blocks: list[_Block] = []
    run: list[Span] = []
    for piece in pieces:
        if isinstance(piece, Span):
            run.append(piece)
            continue
        blocks += _paragraph(run)
        run = []
        blocks.append(piece)
    return blocks + _paragraph(run)


def _paragraph(spans: list[Span]) -> list[_Block]:
    markdown = spell(spans) if spans else ""
    return [_Block(kind="paragraph", text=markdown)] if markdown else []


def _line(node: Node, *, line_break: str = NEW_LINE) -> str:
    """Everything inside a node that holds one line only, blocks set apart by breaks."""
    kept: list[Span] = []
    for span in walk({"content": node.get("content")}, is_for_line=True):
        if not (span is BOUNDARY and kept and (kept[-1].is_break or kept[-1] is DASH)):
            kept.append(span)
    return spell(kept, line_break=line_break)


def _join(blocks: Sequence[_Block], *, is_item: bool = False) -> str:
    """Markdown of blocks one after the other; lists that touch alternate their markers.

    In an item, a list after the first line follows it at once, as people write it.
    """
    out: list[str] = []
    previous, is_alternate = "", False
    for number, block in enumerate(map(_listed, blocks)):
        is_alternate = block.kind == previous and not is_alternate
        is_tight = is_item and number == 1 and previous == "paragraph" and _may_follow_a_line(block)
        previous = block.kind
        out += (["\n"] if is_tight else ["\n\n"]) if out else []
        out.append(_render(block, is_alternate=is_alternate))
    return "".join(out)


def _listed(block: _Block) -> _Block:
    return replace(block, kind="bullet", items=(block.text,)) if block.kind == "item" else block


def _may_follow_a_line(block: _Block) -> bool:
    """Only a bullet list whose first item begins with words cannot be taken for more of the line."""
    return block.kind == "bullet" and block.items[0][:1] not in ("", "\n")


def _render(block: _Block, *, is_alternate: bool = False) -> str:
    match block.kind:
        case "bullet":
            marker = "*" if is_alternate else "-"
            return "\n".join(_item(marker, text) for text in block.items)
        case "ordered":
            end = ")" if is_alternate else "."
            return "\n".join(_item(f"{n}{end}", text) for n, text in enumerate(block.items, block.start))
        case "row":
            return " | ".join(block.items)
        case _:
            return block.text


def _item(marker: str, text: str) -> str:
    body = _prefix(text, " " * (len(marker) + 1), "")
    return marker + body[len(marker) if body[:1] == " " else 0 :]


def _prefix(text: str, prefix: str, blank: str) -> str:
    return "\n".join(prefix + line if line else blank for line in text.split("\n"))


def _heading(node: Node, _: list[_Piece]) -> Iterator[_Piece]:
    level = attributes(node).get("level")
    level = min(max(level, 1), 6) if isinstance(level, int) else 1
    markdown = _line(node, line_break=" ")
    if markdown:
        words = _CLOSING_HASHES.sub(r"\1\\\2", markdown)
        yield _Block(kind="heading", text=f"{'#' * level} {words}")


def _code_block(node: Node, _: list[_Piece]) -> Iterator[_Piece]:
    code = clean(code_of(node))
    language = attribute(node, "language")
    fence = "```"
    while fence in code:
        fence += "`"
    opening = fence + (language if LANGUAGE.fullmatch(language) else "")
    yield _Block(kind="code", text=f"{opening}\n{code}\n{fence}" if code else f"{opening}\n{fence}")


def _rule(_: Node, pieces: list[_Piece]) -> Iterator[_Piece]:
    yield _Block(kind="rule", text="___")
    yield from pieces


def _quote(_: Node, pieces: list[_Piece]) -> Iterator[_Piece]:
    markdown = _join(_as_blocks(pieces))
    if markdown:
        yield _Block(kind="quote", text=_prefix(markdown, "> ", ">"))


def _panel(node: Node, pieces: list[_Piece]) -> Iterator[_Piece]:
    blocks = _as_blocks(pieces)
    gap = "\n\n" if blocks and blocks[0].kind != "paragraph" else "\n"
    name = _PANEL_NAMES.get(attribute(node, "panelType"), "INFO")
    markdown = f"[!{name}]{gap}{_join(blocks)}".rstrip("\n")
    yield _Block(kind="quote", text=_prefix(markdown, "> ", ">"))


def _expand(node: Node, pieces: list[_Piece]) -> Iterator[_Piece]:
    body = _join(_as_blocks(pieces))
    colons = ":" * max([3, *(len(run) + 1 for run in _COLONS.findall(body))])
    opening = f"{colons}expand {one_line(attribute(node, 'title'))}".rstrip()
    yield _Block(kind="expand", text="\n".join([opening, *([body] if body else []), colons]))


def _list_item(_: Node, pieces: list[_Piece]) -> Iterator[_Piece]:
    yield _Block(kind="item", text=_item_text(_as_blocks(pieces)))


def _item_text(blocks: Sequence[_Block]) -> str:
    """An item's blocks. A list that begins it starts on the next line: ``- - -`` would be a rule."""
    markdown = _join(blocks, is_item=True)
    return f"\n{markdown}" if blocks and blocks[0].kind in {"bullet", "ordered", "item"} else markdown


def _task_item(node: Node, _: list[_Piece]) -> Iterator[_Piece]:
    line = _line(node)
    yield _Block(kind="item", text=f"{_box(node)} {line}".rstrip())


def _block_task_item(node: Node, pieces: list[_Piece]) -> Iterator[_Piece]:
    yield _Block(kind="item", text=f"{_box(node)} {_join(_as_blocks(pieces))}".rstrip())


def _box(node: Node) -> str:
    return "[x]" if attribute(node, "state") == "DONE" else "[ ]"


def _decision_item(node: Node, _: list[_Piece]) -> Iterator[_Piece]:
    line = _line(node)
    if line:
        yield _Block(kind="item", text=f"**Decision:** {line}")


def _list(node: Node, pieces: list[_Piece]) -> Iterator[_Piece]:
    """A list of items; whatever else stands in it becomes an item, a nested task list goes to the one before."""
    items: list[str] = []
    for block in _as_blocks(pieces):
        if block.kind == "item":
            items.append(block.text)
        elif block.kind == "bullet" and items:
            items[-1] += f"\n{_render(block)}"
        else:
            items.append(_item_text([block]))
    if items:
        is_ordered = kind_of(node) == "orderedList"
        start = _start(node, len(items)) if is_ordered else 1
        yield _Block(kind="ordered" if is_ordered else "bullet", items=tuple(items), start=start)


def _start(node: Node, length: int) -> int:
    """The first number, unless Markdown could not count from it: it has nine digits at most."""
    order = attributes(node).get("order")
    return order if isinstance(order, int) and 0 <= order < 1_000_000_000 - length else 1


def _cell(node: Node, _: list[_Piece]) -> Iterator[_Piece]:
    colspan = attributes(node).get("colspan")
    yield _Block(
        kind="cell",
        text=_line(node, line_break="<br>").replace("|", "\\|"),
        start=min(max(colspan, 1), _MAX_COLSPAN) if isinstance(colspan, int) else 1,
        is_header=kind_of(node) == "tableHeader",
    )


def _row(_: Node, pieces: list[_Piece]) -> Iterator[_Piece]:
    blocks = _as_blocks(pieces)
    cells = [block for block in blocks if block.kind == "cell"]
    texts = tuple(text for cell in cells for text in (cell.text, *[""] * (cell.start - 1)))
    yield _Block(kind="row", items=texts, is_header=bool(cells) and all(cell.is_header for cell in cells))
    yield from (block for block in blocks if block.kind != "cell")


def _table(_: Node, pieces: list[_Piece]) -> Iterator[_Piece]:
    blocks = _as_blocks(pieces)
    rows = [block for block in blocks if block.kind == "row" and block.items]
    width = max((len(row.items) for row in rows), default=0)
    if width:
        has_header = rows[0].is_header
        head = rows[0].items if has_header else ()
        padded = (*head, *[""] * (width - len(head)))
        body = [row.items for row in rows[has_header:]]
        lines = [_table_line(cells) for cells in (padded, ("---",) * width, *body)]
        yield _Block(kind="table", text="\n".join(lines))
    yield from (block for block in blocks if block.kind != "row")


def _table_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


_BLOCKS: dict[str, Callable[[Node, list[_Piece]], Iterator[_Piece]]] = {
    "heading": _heading,
    "codeBlock": _code_block,
    "rule": _rule,
    "blockquote": _quote,
    "panel": _panel,
    "expand": _expand,
    "nestedExpand": _expand,
    "bulletList": _list,
    "orderedList": _list,
    "taskList": _list,
    "decisionList": _list,
    "listItem": _list_item,
    "taskItem": _task_item,
    "blockTaskItem": _block_task_item,
    "decisionItem": _decision_item,
    "table": _table,
    "tableRow": _row,
    "tableCell": _cell,
    "tableHeader": _cell,
}
