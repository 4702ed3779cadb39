"""Spells runs of marked text as Markdown that parses back to the same words and marks.

Escapes are only those needed, because people and models read the result. Emphasis has rules about
its neighbours that no escape satisfies, so a spelling is parsed again before it is used: if the
marks come back different, punctuation is moved out of them, and at last they are dropped. Words
never depend on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from runner.adapters.adf.dialect import clean, parse_inline, unlinked, web_address

_DELIMITERS = {"strong": "**", "em": "*", "strike": "~~"}
EMPHASIS = frozenset(_DELIMITERS)
_NESTING = ("link", *_DELIMITERS)

_SPECIAL = re.compile(r"[*`\[_\\~\]!<&{(]")
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_AT_LINE_START = re.compile(r"(#{1,6}(?=\s|$)|>|[-+](?=[^0-9A-Za-z]|$)|=|:(?=[:|\s-]|$)|\|)")
_NUMBER_AT_LINE_START = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_ENTITY = re.compile(r"&#?[0-9A-Za-z]{1,32};")
_IN_TITLE = re.compile(r"[\"\\&`<]")
_BACKTICKS = re.compile(r"`+")


@dataclass(frozen=True, kw_only=True)
class Span:
    """A run of text with its marks, or (``raw``) Markdown to use as it is, meaning ``text``.

    ``href`` is a web address or empty; ``marks`` holds strong, em, strike and code.
    """

    text: str
    marks: frozenset[str] = field(default=frozenset())
    href: str = ""
    title: str = ""
    raw: str = ""
    is_break: bool = False

    @property
    def wraps(self) -> frozenset[str]:
        """What Markdown writes around this span."""
        return (self.marks & EMPHASIS) | ({"link"} if self.href else frozenset())


NEW_LINE = "\\\n"
BREAK = Span(text="\n", is_break=True)


def linked(text: str, href: str, title: str = "", marks: frozenset[str] = frozenset()) -> Iterator[Span]:
    """Text with a link, or followed by the address when that may not be one."""
    address = web_address(href)
    yield Span(text=text or address, marks=marks, href=address, title=title if address else "")
    if not address and unlinked(text, href, title):
        yield Span(text=unlinked(text, href, title))


def spell(spans: Iterable[Span], *, line_break: str = NEW_LINE) -> str:
    """The Markdown of one paragraph; of a heading or cell with another ``line_break``, since those end with the line."""
    tidy = _tidy(spans)
    if not any(span.marks & EMPHASIS for span in tidy):
        return _Speller("*", line_break).spell(tidy)
    return _emphasised(tuple(tidy), line_break)


@lru_cache(maxsize=4096)  # A run reads the same comments again and again, and each try is parsed.
def _emphasised(tidy: tuple[Span, ...], line_break: str) -> str:
    loose = _merge(part for span in tidy for part in _without_edge_punctuation(span))
    for candidate in (tidy, loose):
        for em in "*_":
            markdown = _Speller(em, line_break).spell(candidate)
            if _read_back(markdown) == _expected(candidate):
                return markdown
    unmarked = _merge(replace(span, marks=span.marks - EMPHASIS) for span in tidy)
    return _Speller("*", line_break).spell(unmarked)


def plain(spans: Iterable[Span]) -> str:
    """The words alone, lines apart."""
    return "".join(span.text for span in _tidy(spans))


def code_span(text: str) -> str:
    """Inline code whose fence is longer than any inside; ``text`` must not be empty."""
    fence = "`"
    runs = {len(run) for run in _BACKTICKS.findall(text)}
    while len(fence) in runs:
        fence += "`"
    is_padded = text[0] == "`" or text[-1] == "`" or (text[0] == text[-1] == " " and text.strip(" ") != "")
    return f"{fence} {text} {fence}" if is_padded else f"{fence}{text}{fence}"


class _Speller:
    def __init__(self, em: str, line_break: str) -> None:
        self._em, self._break = em, line_break
        self._may_start_block = line_break == NEW_LINE

    def spell(self, spans: Sequence[Span]) -> str:
        return self._run(spans, frozenset(), is_line_start=self._may_start_block)

    def _run(self, spans: Sequence[Span], inside: frozenset[str], *, is_line_start: bool) -> str:
        out: list[str] = []
        position = 0
        while position < len(spans):
            span = spans[position]
            missing = span.wraps - inside
            if not missing:
                out.append(self._single(span, inside, is_line_start=is_line_start))
                position += 1
            else:
                mark, end = _longest(spans, position, missing)
                inner = self._run(spans[position:end], inside | {mark}, is_line_start=False)
                out.append(self._wrap(mark, inner, span))
                position = end
            is_line_start = span.is_break and self._may_start_block
        return "".join(out)

    def _single(self, span: Span, inside: frozenset[str], *, is_line_start: bool) -> str:
        if span.is_break:
            return self._break
        if span.raw:
            return span.raw
        if "code" in span.marks:
            return code_span(span.text)
        return escape(span.text, is_line_start=is_line_start, is_link="link" in inside)

    def _wrap(self, mark: str, inner: str, span: Span) -> str:
        if mark == "link":
            return _link(inner, span)
        core = inner.strip()
        if not core:
            return inner
        begin = inner.index(core)
        delimiter = self._em if mark == "em" else _DELIMITERS[mark]
        return f"{inner[:begin]}{delimiter}{core}{delimiter}{inner[begin + len(core) :]}"


def _longest(spans: Sequence[Span], start: int, marks: frozenset[str]) -> tuple[str, int]:
    """The mark to open here: the one that stays open longest, so that the others nest inside it."""
    ends = {}
    for mark in (mark for mark in _NESTING if mark in marks):
        end = start + 1
        while end < len(spans) and _continues(spans[start], spans[end], mark):
            end += 1
        ends[mark] = end
    best = max(ends, key=lambda mark: ends[mark])
    return best, ends[best]


def _continues(first: Span, span: Span, mark: str) -> bool:
    if mark == "link":
        return (span.href, span.title) == (first.href, first.title)
    return mark in span.marks


def _link(inner: str, span: Span) -> str:
    if span.text == span.href and inner == escape(span.text, is_line_start=False, is_link=True):
        return f"<{span.href}>"
    target = _ENTITY.sub(r"\\\g<0>", span.href)
    target = f"<{target}>" if "(" in target or ")" in target else target
    title = _IN_TITLE.sub(r"\\\g<0>", span.title)
    return f'[{inner}]({target} "{title}")' if title else f"[{inner}]({target})"


def escape(text: str, *, is_line_start: bool, is_link: bool) -> str:
    """Text without breaks such that no character of it is taken for markup."""

    def spelt(found: re.Match[str]) -> str:
        return f"\\{found[0]}" if _needs_escape(text, found.start(), is_link=is_link) else found[0]

    escaped = _SPECIAL.sub(spelt, text)
    if is_line_start:
        escaped = _NUMBER_AT_LINE_START.sub(r"\1\\\2", escaped)
        escaped = f"\\{escaped}" if _AT_LINE_START.match(escaped) else escaped
    return escaped


def _needs_escape(text: str, position: int, *, is_link: bool) -> bool:
    before = text[position - 1] if position else ""
    after = text[position + 1] if position + 1 < len(text) else ""
    match text[position]:
        case "*" | "`" | "[":
            return True
        case "_":
            return not (before.isalnum() and after.isalnum())
        case "\\":
            return not after or after in _PUNCTUATION or after.isspace()
        case "~":
            return before in ("", "~") or after in ("", "~")
        case "]":
            return is_link
        case "!":
            return not after
        case "<":
            return not after or after.isalpha() or after in "/!?"
        case "&":
            return _ENTITY.match(text, position) is not None
        case "{":
            return text.startswith("{status:", position)
        case "(":
            return not before and after in ("", "@")
        case _:
            return False


def _tidy(spans: Iterable[Span]) -> list[Span]:
    """Lines with clean text, equal neighbours joined, no whitespace at the ends of lines."""
    lines: list[list[Span]] = [[]]
    for span in spans:
        for part in _cleaned(span):
            if part.is_break:
                lines.append([])
            else:
                lines[-1].append(part)
    stripped = [_stripped(_merge(line)) for line in lines]
    while stripped and not stripped[-1]:
        stripped.pop()
    first = next((number for number, line in enumerate(stripped) if line), 0)
    return [
        part for number, line in enumerate(stripped[first:]) for part in ([BREAK] if number else []) + line
    ]


def _cleaned(span: Span) -> Iterator[Span]:
    if span.is_break or span.raw:
        yield span
        return
    value = clean(span.text)
    if "code" in span.marks:
        value = value.replace("\n", " ")
    for number, line in enumerate(value.split("\n")):
        if number:
            yield BREAK
        if line:
            yield _with_text(span, line)


def _merge(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in spans:
        last = merged[-1] if merged else None
        if (
            last is not None
            and not (span.raw or last.raw or span.is_break or last.is_break)
            and (span.marks, span.href, span.title) == (last.marks, last.href, last.title)
        ):
            merged[-1] = replace(last, text=last.text + span.text)
        else:
            merged.append(span)
    return merged


def _stripped(line: list[Span]) -> list[Span]:
    while line and not _is_solid(line[0]):
        line = [_with_text(line[0], line[0].text.lstrip()), *line[1:]]
        if line[0].text:
            break
        line = line[1:]
    while line and not _is_solid(line[-1]):
        line = [*line[:-1], _with_text(line[-1], line[-1].text.rstrip())]
        if line[-1].text:
            break
        line = line[:-1]
    return line


def _with_text(span: Span, text: str) -> Span:
    return span if text == span.text else replace(span, text=text)


def _is_solid(span: Span) -> bool:
    return bool(span.raw) or "code" in span.marks


def _without_edge_punctuation(span: Span) -> Iterator[Span]:
    if not span.marks & EMPHASIS or span.raw:
        yield span
        return
    bare = replace(span, marks=span.marks - EMPHASIS)
    begin = next((n for n, character in enumerate(span.text) if character.isalnum()), len(span.text))
    end = next((n for n in range(len(span.text), begin, -1) if span.text[n - 1].isalnum()), begin)
    for part, base in ((span.text[:begin], bare), (span.text[begin:end], span), (span.text[end:], bare)):
        if part:
            yield replace(base, text=part)


Signature = list[tuple[str, frozenset[str]]]


def _expected(spans: Iterable[Span]) -> Signature:
    signature: Signature = []
    for span in spans:
        if span.raw:
            signature += _read_back(span.raw)
        else:
            marks = span.marks - {"code"} if "code" not in span.marks else frozenset({"code"})
            signature += [(character, marks) for character in span.text if not character.isspace()]
    return signature


def _read_back(markdown: str) -> Signature:
    """What a parser makes of it: each visible character with the marks it stands under."""
    signature: Signature = []
    depth = dict.fromkeys(_DELIMITERS, 0)
    for token in parse_inline(markdown):
        kind = token.type.removesuffix("_open").removesuffix("_close")
        kind = "strike" if kind == "s" else kind
        if kind in depth:
            depth[kind] += token.nesting
        marks = frozenset(mark for mark, count in depth.items() if count)
        if token.type == "code_inline":
            marks = frozenset({"code"})
        if token.type in {"mention", "status", "image"}:
            signature.append((token.type, frozenset()))
        elif token.type in {"text", "text_special", "code_inline"}:
            signature += [(character, marks) for character in token.content if not character.isspace()]
    return signature
