"""The Markdown we speak: CommonMark, tables and strikethrough, and forms for what Jira has beside it.

============================  =========================================
``[~accountid:ID](@Name)``    a mention; the name may be missing
``{status:Text|green}``       a status lozenge; the colour may be missing
``> [!NOTE]``                 a panel, as the first line of a quote
``:::expand Title`` … ``:::``   an expand; nested in one with more colons
``- [ ]`` and ``- [x]``       a task
``<br>``                      a line break, the only one a table cell has
============================  =========================================

HTML and link reference definitions are off: both would make words disappear.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import escapedSplit, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

MAX_NESTING = 40
"""Levels of nested Markdown blocks; a list takes two. Deeper text is written as plain lines."""

PANELS = {
    "NOTE": "note",
    "INFO": "info",
    "TIP": "success",
    "SUCCESS": "success",
    "IMPORTANT": "note",
    "WARNING": "warning",
    "CAUTION": "error",
    "ERROR": "error",
}
STATUS_COLOURS = ("neutral", "purple", "blue", "red", "yellow", "green")

ACCOUNT_ID = re.compile(r"[A-Za-z0-9:._@-]{1,128}")
LANGUAGE = re.compile(r"[A-Za-z0-9_+#./-]+")
_MENTION = re.compile(r"\[~accountid:(" + ACCOUNT_ID.pattern + r")\](?:\(@((?:\\.|[^()\\\n])*)\))?")
_STATUS = re.compile(r"\{status:((?:\\.|[^{}|\\\n])+)(?:\|(" + "|".join(STATUS_COLOURS) + r"))?\}")
_BREAK = re.compile(r"<br ?/?>", re.IGNORECASE)
_PANEL = re.compile(r"\[!(" + "|".join(PANELS) + r")\][ \t]*(?:\n|$)?", re.IGNORECASE)
_TASK = re.compile(r"\[([ xX])\](?:[ \t]*\n|[ \t]+|$)")
_EXPAND = re.compile(r"(:{3,})expand(?:[ \t]+(.*))?[ \t]*")
_EXPAND_END = re.compile(r"(:{3,})[ \t]*")
_WEB_LINK = re.compile(r"(?:https?://[^/]|mailto:.)", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(.)")
_NOT_IN_MENTION = re.compile(r"([()\\])")
_NOT_IN_STATUS = re.compile(r"([{}|\\])")


def clean(text: str) -> str:
    """Text without what no document can carry: control characters and halves of surrogate pairs."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATE.sub("\ufffd", _UNPRINTABLE.sub("", lines))


def one_line(text: str) -> str:
    """Clean text with every run of whitespace as one space."""
    return " ".join(clean(text).split())


def web_address(href: str) -> str:
    """The address, encoded, if it is one a document may link to (http, https, mailto); else nothing."""
    address = quote(clean(href).strip(), safe="%/:?#[]@!$&'()*+,;=~-._")
    return address if _WEB_LINK.match(address) else ""


def unlinked(label: str, href: str, title: str = "") -> str:
    """What is appended to the words of a link that may not be one, so that its address is not lost."""
    address = one_line(href)
    words = [word for word in ("" if address == label else address, one_line(title)) if word]
    return f" ({' '.join(words)})" if words else ""


def mention(account_id: str, name: str) -> str:
    """The form of a mention. ``account_id`` must match ACCOUNT_ID."""
    shown = _NOT_IN_MENTION.sub(r"\\\1", one_line(name).removeprefix("@"))
    return f"[~accountid:{account_id}]" + (f"(@{shown})" if shown else "")


def status(text: str, colour: str) -> str:
    """The form of a status lozenge. ``text`` must not be blank."""
    suffix = f"|{colour}" if colour in STATUS_COLOURS and colour != "neutral" else ""
    return "{status:" + _NOT_IN_STATUS.sub(r"\\\1", one_line(text)) + suffix + "}"


def parse(markdown: str) -> list[Token]:
    """Block tokens of a whole text, inline tokens as their children."""
    return _parser.parse(clean(markdown))


def parse_inline(markdown: str) -> list[Token]:
    """Inline tokens of one paragraph."""
    return [child for token in _parser.parseInline(markdown) for child in token.children or []]


def is_too_deep(tokens: list[Token]) -> bool:
    """Whether the parser met its nesting limit; it drops what lies deeper."""
    return any(token.level >= MAX_NESTING - 1 for token in tokens)


def _mention_rule(state: StateInline, silent: bool) -> bool:
    found = _MENTION.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        token = state.push("mention", "", 0)
        token.meta = {"id": found[1], "name": _ESCAPE.sub(r"\1", found[2] or "")}
    state.pos = found.end()
    return True


def _status_rule(state: StateInline, silent: bool) -> bool:
    found = _STATUS.match(state.src, state.pos, state.posMax)
    text = one_line(_ESCAPE.sub(r"\1", found[1])) if found else ""
    if found is None or not text:
        return False
    if not silent:
        token = state.push("status", "", 0)
        token.meta = {"text": text, "colour": found[2] or "neutral"}
    state.pos = found.end()
    return True


def _break_rule(state: StateInline, silent: bool) -> bool:
    found = _BREAK.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def _expand_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    opening = None if state.is_code_block(start) else _EXPAND.fullmatch(_line(state, start))
    if opening is None:
        return False
    if silent:
        return True
    last = _expand_end(state, start + 1, end, len(opening[1]))
    is_closed = last < end and not state.isEmpty(last) and state.sCount[last] >= state.blkIndent
    old_parent, old_max = state.parentType, state.lineMax
    state.parentType, state.lineMax = "container", last
    token = state.push("expand_open", "", 1)
    token.map = [start, last]
    token.meta = {"title": one_line(opening[2] or "")}
    state.md.block.tokenize(state, start + 1, last)
    state.push("expand_close", "", -1)
    state.parentType, state.lineMax = old_parent, old_max
    state.line = last + 1 if is_closed else last
    return True


def _expand_end(state: StateBlock, first: int, end: int, colons: int) -> int:
    """The line of the closing colons, or the one where the surrounding block ends."""
    for line in range(first, end):
        if state.isEmpty(line):
            continue
        if state.sCount[line] < state.blkIndent:
            return line
        closing = None if state.is_code_block(line) else _EXPAND_END.fullmatch(_line(state, line))
        if closing is not None and len(closing[1]) >= colons:
            return line
    return end


def _table_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The standard rule, but cells beyond the header's width join the last cell instead of vanishing."""
    before = len(state.tokens)
    if not table(state, start, end, silent):
        return False
    if not silent:
        _keep_surplus_cells(state, state.tokens[before:])
    return True


def _keep_surplus_cells(state: StateBlock, tokens: list[Token]) -> None:
    row: list[Token] = []
    for token in tokens:
        if token.type == "inline":
            row.append(token)
        elif token.type == "tr_close":
            line = row[-1].map[0] if row[-1].map else state.line
            cells = escapedSplit(_line(state, line).strip())
            cells = cells[cells[0] == "" : len(cells) - (cells[-1] == "")]
            row[-1].content = " | ".join(cell.strip() for cell in [row[-1].content, *cells[len(row) :]])
            row = []


def _markers_rule(state: StateCore) -> None:
    """Note a panel on its quote and a task on its list item, and take their markers out of the text."""
    for outer, paragraph, inline in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        if paragraph.type != "paragraph_open":
            continue
        if outer.type == "blockquote_open" and (found := _PANEL.match(inline.content)):
            outer.meta = {"panel": PANELS[found[1].upper()]}
            inline.content = inline.content[found.end() :]
        elif outer.type == "list_item_open" and (found := _TASK.match(inline.content)):
            outer.meta = {"is_done": found[1] != " "}
            inline.content = inline.content[found.end() :]


def _build() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING})
    parser.enable("strikethrough").disable("reference")
    everywhere: Any = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.at("table", _table_rule, {"alt": ["paragraph", "reference"]})
    parser.block.ruler.enable("table")
    parser.block.ruler.before("fence", "expand", _expand_rule, everywhere)
    parser.inline.ruler.before("link", "mention", _mention_rule)
    parser.inline.ruler.before("autolink", "line_break", _break_rule)
    parser.inline.ruler.before("autolink", "status", _status_rule)
    parser.core.ruler.before("inline", "markers", _markers_rule)
    # Every destination is parsed as a link; the writer decides which of them become one.
    parser.validateLink = _accept  # type: ignore[method-assign]
    parser.normalizeLink = _same_url  # type: ignore[method-assign]
    parser.normalizeLinkText = _same_link  # type: ignore[method-assign]
    return parser


def _accept(url: str) -> bool:
    del url
    return True


def _same_url(url: str) -> str:
    return url


def _same_link(link: str) -> str:
    return link


_parser = _build()
