"""Edits that land where they were meant, or not at all. Text in, text or a typed refusal out; no I/O.

``old`` is looked for on a short ladder. The first rung is the exact text. The others compare whole
lines: without trailing space, then with one uniform shift of the indentation (tabs and spaces
mapped, the shift re-applied to ``new``), then with typographic characters folded to plain ones.
There is no rung for similarity. Every rung needs exactly one place, and an inexact rung moreover
needs that no other place of the file resembles ``old`` under the loosest of these comparisons.

Lines that ``old`` and ``new`` share keep their bytes: line end, trailing space, typography.
New lines take the line end of their neighbour. A byte-order mark and the presence or absence of the
final newline survive every edit.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import StrEnum
from functools import cached_property
from itertools import accumulate, pairwise
from math import gcd

from runner.agent.elision import elides, elision
from runner.agent.filekinds import after_notes

HUGE = 1_000_000
"""Bytes beyond which a file is not edited as text."""

_BOM = b"\xef\xbb\xbf"
_EOL = re.compile(r"\r\n|\r|\n")
_INDENT = re.compile(r"[ \t]*")
_BLANK = " \t"
_TAB_WIDTHS = (4, 2, 8, 3)
_SHOWN_PLACES = 3
_SHOWN_LINES = 12
_DIFF_LINES = 40
_SEAM = 2
_ALIGN_LIMIT = 4_000_000

_FOLD = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a", " "),
        **dict.fromkeys("\u202f\u205f\u3000", " "),
    }
)
"""One character for one character, so that a place in folded text is the same place in the file."""

_FORBIDDEN = re.compile("[\x00\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""NUL makes a file binary, lone surrogates cannot be stored, bidirectional controls hide what code says."""


class Rung(StrEnum):
    """How literally ``old`` was found, strictest first."""

    EXACT = "exact"
    TRAILING_SPACE = "trailing space"
    INDENTATION = "indentation"
    TYPOGRAPHY = "typography"


class RefusalKind(StrEnum):
    """Why an edit was not applied."""

    EMPTY = "empty"
    SAME = "same"
    ELIDED = "elided"
    NOT_FOUND = "not found"
    AMBIGUOUS = "ambiguous"
    INDENTATION = "indentation"
    FORBIDDEN_TEXT = "forbidden text"
    BINARY = "binary"
    HUGE = "huge"


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Replace ``old`` by ``new``: at its one place, or with ``replace_all`` wherever it stands exactly."""

    old: str
    new: str
    replace_all: bool = False


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the file as it is, counted from 1, without its line end."""

    number: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An edit that was not applied, with what is needed to do better.

    ``hits`` are the line numbers where candidates start, ``nearest`` the real lines there or, without
    any, those that resemble ``old`` most. ``is_already_there``: the file already holds ``new``.
    """

    kind: RefusalKind
    message: str
    hits: tuple[int, ...] = ()
    nearest: tuple[Line, ...] = ()
    is_already_there: bool = False

    @property
    def text(self) -> str:
        """The refusal as told to the model: the reason, then the real lines."""
        parts = [self.message]
        if self.is_already_there:
            parts.append("The file already contains the new text: this edit may have been made before.")
        if self.nearest:
            parts.append("The file really says:\n" + _numbered(self.nearest))
        return "\n".join(parts)


@dataclass(frozen=True, kw_only=True)
class Edited:
    """An applied edit. ``lines`` are the numbers, in the old text, of the lines where it was applied."""

    text: str
    rung: Rung
    lines: tuple[int, ...]
    diff: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EditedFile:
    """A file after all of its edits. ``notes`` name what a careful author would look at again."""

    data: bytes
    rungs: tuple[Rung, ...]
    diff: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FileText:
    """A text file: its text without byte-order mark, with every line end as it is."""

    text: str
    has_bom: bool = False

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return (_BOM if self.has_bom else b"") + self.text.encode("utf-8")


def decode(data: bytes) -> FileText | Refusal:
    """Read bytes as UTF-8 text, or say why they are not text."""
    if len(data) > HUGE:
        return Refusal(
            kind=RefusalKind.HUGE,
            message=f"The file has {len(data):,} bytes; files over {HUGE:,} bytes are not edited as text.",
        )
    if b"\0" in data:
        return Refusal(kind=RefusalKind.BINARY, message="The file is binary: it contains NUL bytes.")
    has_bom = data.startswith(_BOM)
    try:
        return FileText(text=data[3 if has_bom else 0 :].decode("utf-8"), has_bom=has_bom)
    except UnicodeDecodeError as error:
        return Refusal(
            kind=RefusalKind.BINARY,
            message=f"The file is not UTF-8 text (byte {error.start}); only UTF-8 is edited.",
        )


def edit_file(path: str, data: bytes, edits: Sequence[Edit]) -> EditedFile | Refusal:
    """Apply edits in order to a file's bytes, all of them or none."""
    file = decode(data)
    if isinstance(file, Refusal):
        return file
    done: list[Edited] = []
    text = file.text
    for number, edit in enumerate(edits, start=1):
        answer = apply_edit(text, edit)
        if isinstance(answer, Refusal):
            if len(edits) == 1:
                return answer
            prefix = f"Edit {number} of {len(edits)} was refused, so none was applied. "
            return replace(answer, message=prefix + answer.message)
        done.append(answer)
        text = answer.text
    notes = [note for edited in done for note in edited.notes]
    notes += after_notes(path, file.text, text)
    return EditedFile(
        data=replace(file, text=text).data,
        rungs=tuple(edited.rung for edited in done),
        diff="\n".join(edited.diff for edited in done),
        notes=tuple(dict.fromkeys(notes)),
    )


def rewrite_file(path: str, data: bytes, content: str) -> EditedFile | Refusal:
    """Replace a whole text file, keeping its byte-order mark, line ends and final newline."""
    file = decode(data)
    if isinstance(file, Refusal):
        return file
    document = _Document(file.text)
    new = _normalised(content)
    refusal = unusable_text(new, file.text)
    if refusal:
        return refusal
    before = document.contents
    after = _with_final_newline(document, len(before) - 1, new.split("\n"))
    edited = _splice(document, 0, len(before), _align(before, after), after, Rung.EXACT)
    return EditedFile(
        data=replace(file, text=edited.text).data,
        rungs=(),
        diff=edited.diff,
        notes=tuple(after_notes(path, file.text, edited.text)),
    )


def apply_edit(text: str, edit: Edit) -> Edited | Refusal:
    """Apply one edit to a text whose line ends are as in the file; the whole matching is in here."""
    document = _Document(text)
    old, new = _normalised(edit.old), _normalised(edit.new)
    refusal = _unusable(document, edit, old, new)
    if refusal:
        return refusal
    hits = list(_places(document.joined, old))
    if edit.replace_all:
        return _replace_all(document, hits, old, new)
    if len(hits) > 1:
        return _ambiguous(document, [document.line_of(hit) for hit in hits], "exactly")
    if not hits:
        return _apply_by_lines(document, old, new)
    others = _rivals_of_exact(document, hits[0], old)
    if others:
        return _ambiguous(document, sorted({document.line_of(hit) for hit in hits} | set(others)), "nearly")
    return _apply_exactly(document, hits[0], old, new)


# --- the text as lines -------------------------------------------------------------------------


class _Document:
    """A text as contents and line ends. The last line has no line end; it is empty after a final newline."""

    def __init__(self, text: str) -> None:
        self.contents = lines_of(text)
        self.eols: list[str] = [*_EOL.findall(text), ""]

    @cached_property
    def joined(self) -> str:
        """The text with every line end written as a line feed."""
        return "\n".join(self.contents)

    @cached_property
    def starts(self) -> list[int]:
        """Where each line starts in ``joined``."""
        return [0, *accumulate(len(line) + 1 for line in self.contents[:-1])]

    @cached_property
    def keys(self) -> list[str]:
        """What the loosest comparison sees of each line."""
        return [_key(line) for line in self.contents]

    @cached_property
    def is_indented_with_tabs(self) -> bool:
        """More indented lines begin with a tab than with a space."""
        firsts = Counter(line[0] for line in self.contents if line and line[0] in _BLANK)
        return firsts["\t"] > firsts[" "]

    @cached_property
    def common_eol(self) -> str:
        """The commonest line end; a line feed in a text of one line."""
        common = Counter(eol for eol in self.eols if eol).most_common(1)
        return common[0][0] if common else "\n"

    def line_of(self, offset: int) -> int:
        """Index of the line that holds an offset of ``joined``."""
        return bisect_right(self.starts, offset) - 1

    def eol_near(self, index: int) -> str:
        """The line end of a line, or of the one before it, or the commonest of the file."""
        return self.eols[index] or (self.eols[index - 1] if index else "") or self.common_eol

    def raw(self, first: int, last: int) -> str:
        """Lines ``first`` to before ``last`` with their line ends."""
        pairs = zip(self.contents[first:last], self.eols[first:last], strict=True)
        return "".join(content + eol for content, eol in pairs)

    def windows(self, lines: Sequence[str]) -> list[int]:
        """Where a run of lines stands under the loosest comparison; overlapping places count apart."""
        wanted = [_key(line) for line in lines]
        anchor = max(range(len(wanted)), key=lambda index: len(wanted[index]))
        last = len(self.keys) - len(wanted)
        return [
            index - anchor
            for index, key in enumerate(self.keys)
            if key == wanted[anchor]
            and 0 <= index - anchor <= last
            and self.keys[index - anchor : index - anchor + len(wanted)] == wanted
        ]


def lines_of(text: str) -> list[str]:
    """The lines of a text without their ends; the last one is empty if the text ends in a line end."""
    return _EOL.split(text)


def _normalised(text: str) -> str:
    return _EOL.sub("\n", text.removeprefix("\ufeff"))


def _key(line: str) -> str:
    return line.translate(_FOLD).strip(_BLANK)


def _indent(line: str) -> str:
    match = _INDENT.match(line)
    return match.group() if match else ""


def _places(text: str, part: str) -> Iterator[int]:
    """Every offset of a part, overlapping ones too: two overlapping places are two."""
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


# --- refusals before any matching --------------------------------------------------------------


def _unusable(document: _Document, edit: Edit, old: str, new: str) -> Refusal | None:
    if not old:
        return Refusal(
            kind=RefusalKind.EMPTY,
            message="`old` is empty. Quote the lines to replace, or use write_file for a new file.",
        )
    if old == new:
        only_ends = edit.old != edit.new
        reason = "differ only in line ends, which are kept as they are" if only_ends else "are the same"
        return Refusal(kind=RefusalKind.SAME, message=f"`old` and `new` {reason}; nothing would change.")
    return unusable_text(new, document.joined + "\n" + old)


def unusable_text(new: str, text: str) -> Refusal | None:
    """Refuse text that stands for other text, or that has no place in a source file, unless it was there."""
    for found in _FORBIDDEN.findall(new):
        if found not in text:
            return Refusal(
                kind=RefusalKind.FORBIDDEN_TEXT,
                message=f"The new text contains the character U+{ord(found):04X}, which is not written into files.",
            )
    marker = elision(new, text)
    if marker:
        return Refusal(
            kind=RefusalKind.ELIDED,
            message=f"The new text contains {marker!r}, which stands for code that is left out. "
            "Write the text in full; to keep lines, leave them out of both `old` and `new`.",
        )
    return None


# --- the exact rung ----------------------------------------------------------------------------


def _apply_exactly(document: _Document, start: int, old: str, new: str) -> Edited:
    end = start + len(old)
    first, last = document.line_of(start), document.line_of(end)
    head = document.contents[first][: start - document.starts[first]]
    tail = document.contents[last][end - document.starts[last] :]
    before = document.contents[first : last + 1]
    after = _with_final_newline(document, last, (head + new + tail).split("\n"))
    edited = _splice(document, first, len(before), _align(before, after), after, Rung.EXACT)
    landed = _landed(document, first, before, after)
    return replace(edited, diff=landed, notes=_notes(document, old, new, start))


def _with_final_newline(document: _Document, last: int, after: list[str]) -> list[str]:
    """Keep the final newline, or its absence, when the lines given reach the end of the file."""
    if last < len(document.contents) - 1 or document.joined == "":
        return after
    had = document.contents[-1] == ""
    has = after[-1] == ""
    if had and not has:
        return [*after, ""]
    if has and not had and len(after) > 1:
        return after[:-1]
    return after


def _rivals_of_exact(document: _Document, start: int, old: str) -> list[int]:
    """Other places that ``old`` may mean, when its one exact place begins inside a deeper indentation.

    A line quoted with its indentation also stands, as text, inside every deeper indented copy of it;
    that copy is not what was quoted if the line itself stands elsewhere with a stray trailing space.
    """
    index = document.line_of(start)
    lead = document.joined[document.starts[index] : start]
    if not lead or lead.strip(_BLANK) or old[0] not in _BLANK or not old.strip():
        return []
    quoted = [line.translate(_FOLD).rstrip(_BLANK) for line in _as_lines(old)]
    return [
        place
        for place in document.windows(quoted)
        if place != index
        and quoted
        == [line.translate(_FOLD).rstrip(_BLANK) for line in document.contents[place : place + len(quoted)]]
    ]


def _replace_all(document: _Document, hits: list[int], old: str, new: str) -> Edited | Refusal:
    if not hits:
        refusal = _not_found(document, old, new)
        return replace(refusal, message=refusal.message + " (`replace_all` replaces exact text only.)")
    if any(after - before < len(old) for before, after in pairwise(hits)):
        return _ambiguous(document, [document.line_of(hit) for hit in hits], "overlapping")
    pieces: list[str] = []
    at = 0
    for hit in hits:
        pieces += [_raw_slice(document, at, hit), _with_eols(document, hit, old, new)]
        at = hit + len(old)
    text = "".join(pieces) + _raw_slice(document, at, len(document.joined))
    text = _same_final_newline(document, text, new)
    lines = tuple(dict.fromkeys(document.line_of(hit) + 1 for hit in hits))
    return Edited(
        text=text,
        rung=Rung.EXACT,
        lines=lines,
        diff=_replaced_lines(_Document(text), hits, old, new),
        notes=_notes(document, old, new, hits[0]),
    )


def _raw_slice(document: _Document, start: int, end: int) -> str:
    first, last = document.line_of(start), document.line_of(end)
    if first == last:
        return document.contents[first][start - document.starts[first] : end - document.starts[first]]
    head = document.contents[first][start - document.starts[first] :] + document.eols[first]
    return head + document.raw(first + 1, last) + document.contents[last][: end - document.starts[last]]


def _with_eols(document: _Document, hit: int, old: str, new: str) -> str:
    """``new`` with the line ends of the place: break by break, then the last one's or the line's own."""
    first = document.line_of(hit)
    ends = document.eols[first : first + old.count("\n")] or [document.eol_near(first)]
    parts = new.split("\n")
    breaks = [ends[min(index, len(ends) - 1)] for index in range(len(parts) - 1)]
    return "".join(part + eol for part, eol in zip(parts, [*breaks, ""], strict=True))


def _same_final_newline(document: _Document, text: str, new: str) -> str:
    had = document.contents[-1] == ""
    has = not text or text.endswith(("\n", "\r"))
    if had and not has:
        return text + document.eol_near(len(document.contents) - 1)
    if has and not had and new.endswith("\n"):
        return text.removesuffix("\n").removesuffix("\r")
    return text


# --- the inexact rungs: whole lines ------------------------------------------------------------


def _as_lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")


def _apply_by_lines(document: _Document, old: str, new: str) -> Edited | Refusal:
    old_lines = _as_lines(old)
    if not re.search(r"\w", old):
        return _not_found(document, old, new)  # nothing but punctuation and space identifies no place
    windows = document.windows(old_lines)
    if not windows:
        return _not_found(document, old, new)
    if len(windows) > 1:
        return _ambiguous(document, windows, "nearly")
    new_lines = (_as_lines(new) if new else []) if old.endswith("\n") else new.split("\n")
    return _apply_at(document, windows[0], old_lines, new_lines)


def _apply_at(
    document: _Document, first: int, old_lines: list[str], new_lines: list[str]
) -> Edited | Refusal:
    real = document.contents[first : first + len(old_lines)]
    trimmed_old = [line.rstrip(_BLANK) for line in old_lines]
    alignment = _align(trimmed_old, [line.rstrip(_BLANK) for line in new_lines])
    rung = _rung(real, old_lines)
    shift = _shift(document, real, old_lines, alignment.changed(new_lines))
    if shift is None:
        return Refusal(
            kind=RefusalKind.INDENTATION,
            message="`old` was found, but its indentation differs from the file's in more than one way, "
            "so the indentation of `new` cannot be told. Quote the lines as they are.",
            hits=(first + 1,),
            nearest=document_lines(document.contents, first, first + len(real)),
        )
    rendered = [
        _rendered(line, shift, _partner(alignment.pairs[index], real, old_lines))
        for index, line in enumerate(new_lines)
    ]
    return _splice(document, first, len(real), alignment, rendered, rung)


def _rung(real: list[str], old_lines: list[str]) -> Rung:
    if all(a.rstrip(_BLANK) == b.rstrip(_BLANK) for a, b in zip(real, old_lines, strict=True)):
        return Rung.TRAILING_SPACE
    if all(a.strip(_BLANK) == b.strip(_BLANK) for a, b in zip(real, old_lines, strict=True)):
        return Rung.INDENTATION
    return Rung.TYPOGRAPHY


Shift = Callable[[str], str]


def _shift(document: _Document, real: list[str], old_lines: list[str], changed: list[str]) -> Shift | None:
    """How an indentation of ``old`` is written in the file, or ``None`` when that is not uniform.

    The same number of columns is added to every line. What a tab is worth follows from the lines
    themselves; where several widths explain them and would write ``new`` differently, none is chosen.
    """
    if any(_indent(line) != _indent(line.translate(_FOLD)) for line in (*real, *old_lines)):
        return None  # indented with exotic spaces: no width can be told
    pairs = [(_indent(a), _indent(b)) for a, b in zip(real, old_lines, strict=True) if b.strip(_BLANK)]
    if all(theirs == ours for theirs, ours in pairs):
        return lambda indent: indent
    new_indents = [_indent(line) for line in changed if line.strip(_BLANK)]
    everything = "".join(theirs + ours for theirs, ours in pairs) + "".join(new_indents)
    uses_tabs = _uses_tabs(document, [theirs for theirs, _ in pairs])
    kinds = set(everything) | {"\t" if uses_tabs else " "}
    widths = _TAB_WIDTHS if len(kinds) > 1 else (1,)
    shifts = {width: shift for width in widths if (shift := _by_columns(pairs, width)) is not None}
    valid = {
        width: by
        for width, by in shifts.items()
        if all(_columns(indent, width) + by >= 0 for indent in new_indents)
    }
    width = _best_width(valid, new_indents, [ours for _, ours in pairs], uses_tabs=uses_tabs)
    if width is None:
        return None
    by = valid[width]
    return lambda indent: _written(_columns(indent, width) + by, width, uses_tabs=uses_tabs)


def _uses_tabs(document: _Document, indents: list[str]) -> bool:
    here = "".join(indents)
    return "\t" in here if here else document.is_indented_with_tabs


def _by_columns(pairs: list[tuple[str, str]], width: int) -> int | None:
    differences = {_columns(theirs, width) - _columns(ours, width) for theirs, ours in pairs}
    return differences.pop() if len(differences) == 1 else None


def _best_width(
    shifts: dict[int, int], new_indents: list[str], old_indents: list[str], *, uses_tabs: bool
) -> int | None:
    unshifted = [width for width, by in shifts.items() if by == 0]
    if unshifted:
        return unshifted[0]
    steps = [len(indent) for indent in (*new_indents, *old_indents) if indent and "\t" not in indent]
    step = gcd(*steps) if steps else 0
    if step in shifts:
        return step
    written = {
        tuple(_written(_columns(i, width) + by, width, uses_tabs=uses_tabs) for i in new_indents): width
        for width, by in shifts.items()
    }
    return next(iter(written.values())) if len(written) == 1 else None


def _columns(indent: str, width: int) -> int:
    column = 0
    for character in indent:
        column += width - column % width if character == "\t" else 1
    return column


def _written(columns: int, width: int, *, uses_tabs: bool) -> str:
    if not uses_tabs:
        return " " * columns
    return "\t" * (columns // width) + " " * (columns % width)


def _partner(index: int | None, real: list[str], old_lines: list[str]) -> tuple[str, str] | None:
    return None if index is None else (real[index].strip(_BLANK), old_lines[index].strip(_BLANK))


def _rendered(line: str, shift: Shift, partner: tuple[str, str] | None) -> str:
    """A new line as the file writes it: shifted, and with the file's typography where it was only quoted."""
    if not line.strip(_BLANK):
        return ""
    indent = _indent(line)
    body = line[len(indent) :]
    if partner and partner[0] != partner[1] and len(partner[0]) == len(partner[1]) and len(body) <= 2000:
        body = _with_typography(body, *partner)
    return shift(indent) + body


def _with_typography(body: str, real: str, quoted: str) -> str:
    matcher = SequenceMatcher(None, quoted, body, autojunk=False)
    return "".join(
        real[i1:i2] if tag == "equal" else body[j1:j2] for tag, i1, i2, j1, j2 in matcher.get_opcodes()
    )


# --- putting lines in --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Alignment:
    """For each new line, the old line it repeats (``same``) or stands in for (``pairs``), if any."""

    same: list[int | None]
    pairs: list[int | None]

    def changed(self, new_lines: list[str]) -> list[str]:
        return [line for line, same in zip(new_lines, self.same, strict=True) if same is None]


def _align(old: list[str], new: list[str]) -> _Alignment:
    same: list[int | None] = [None] * len(new)
    pairs: list[int | None] = [None] * len(new)
    top = _common(old, new)
    bottom = _common(old[top:][::-1], new[top:][::-1])
    for index in range(top):
        same[index] = index
    for index in range(1, bottom + 1):
        same[-index] = len(old) - index
    middle_old, middle_new = old[top : len(old) - bottom], new[top : len(new) - bottom]
    if len(middle_old) * len(middle_new) > _ALIGN_LIMIT:
        return _Alignment(same, pairs)
    matcher = SequenceMatcher(None, middle_old, middle_new, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        target = same if tag == "equal" else pairs
        if tag == "equal" or i2 - i1 == j2 - j1:
            for offset in range(j2 - j1):
                target[top + j1 + offset] = top + i1 + offset
    return _Alignment(same, pairs)


def _common(first: list[str], second: list[str]) -> int:
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def _splice(
    document: _Document, first: int, count: int, alignment: _Alignment, lines: list[str], rung: Rung
) -> Edited:
    """Put ``lines`` in the place of ``count`` lines; a line that repeats an old one stays as it is in the file."""
    after: list[str] = []
    pieces: list[str] = []
    eol = document.eol_near(first)
    for line, same in zip(lines, alignment.same, strict=True):
        if same is not None:
            eol = document.eols[first + same] or eol
        after.append(line if same is None else document.contents[first + same])
        pieces.append(after[-1] + eol)
    if pieces:
        pieces[-1] = after[-1] + document.eols[first + count - 1]
    before = document.contents[first : first + count]
    return Edited(
        text=document.raw(0, first) + "".join(pieces) + document.raw(first + count, len(document.contents)),
        rung=rung,
        lines=(first + 1,),
        diff=_diff(document, first, before, after),
    )


# --- what the author is told -------------------------------------------------------------------


def document_lines(contents: Sequence[str], first: int, last: int) -> tuple[Line, ...]:
    """Lines ``first`` to before ``last`` (from 0) with their numbers, clipped to the text."""
    first, last = max(first, 0), min(last, len(contents))
    return tuple(Line(number=index + 1, text=contents[index]) for index in range(first, last))


def _numbered(lines: Sequence[Line]) -> str:
    shown: list[str] = []
    for previous, line in zip([None, *lines], lines, strict=False):
        if previous and line.number != previous.number + 1:
            shown.append("...")
        shown.append(f"{line.number}|{line.text[:400]}")
    return "\n".join(shown)


def _ambiguous(document: _Document, indexes: list[int], how: str) -> Refusal:
    numbers = tuple(index + 1 for index in indexes)
    listed = ", ".join(str(number) for number in numbers[:10])
    more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
    shown: dict[int, Line] = {}
    for index in indexes[:_SHOWN_PLACES]:
        for line in document_lines(document.contents, index - 2, index + 3):
            shown[line.number] = line
    advice = "Add lines around it to `old` until it stands once"
    advice += (
        ", or set replace_all to change every one." if how == "exactly" else ", quoted exactly as they are."
    )
    return Refusal(
        kind=RefusalKind.AMBIGUOUS,
        message=f"`old` stands {how} {len(numbers)} times, in lines {listed}{more}. {advice}",
        hits=numbers,
        nearest=tuple(shown[number] for number in sorted(shown)),
    )


def _not_found(document: _Document, old: str, new: str) -> Refusal:
    lines = _as_lines(old)
    hints = ["`old` was not found."]
    filled = [line for line in lines if line.strip()]
    if filled and all(re.match(r"\s*\d+\|", line) for line in filled):
        hints.append("Leave out the line numbers and the bar that read_file shows.")
    elif any(elides(line.strip(), "") for line in filled):
        hints.append("Quote every line; an elision matches nothing.")
    else:
        hints.append("Quote the lines exactly as they are in the file.")
    return Refusal(
        kind=RefusalKind.NOT_FOUND,
        message=" ".join(hints),
        nearest=_nearest(document, lines),
        is_already_there=_is_there(document, new),
    )


def _is_there(document: _Document, new: str) -> bool:
    if not new.strip():
        return False
    return new.strip("\n") in document.joined or bool(document.windows(_as_lines(new.strip("\n"))))


def _nearest(document: _Document, lines: list[str]) -> tuple[Line, ...]:
    """The real lines that ``lines`` most resemble: by lines they share, else by the likest single line."""
    length = min(len(lines) + 2, _SHOWN_LINES)
    shown: dict[int, Line] = {}
    for place in _likely_places(document, lines):
        for line in document_lines(document.contents, place - 1, place - 1 + length):
            shown[line.number] = line
    return tuple(shown[number] for number in sorted(shown))


def _likely_places(document: _Document, lines: list[str]) -> list[int]:
    positions: dict[str, list[int]] = defaultdict(list)
    for index, key in enumerate(document.keys):
        if len(key) > 2:
            positions[key].append(index)
    votes: Counter[int] = Counter()
    for offset, line in enumerate(lines):
        found = positions.get(_key(line), ())
        for index in found[:50]:
            votes[index - offset] += 1 if len(found) > 3 else 3
    if votes:
        best = votes.most_common(_SHOWN_PLACES)
        return [place for place, count in best if count * 2 >= best[0][1]]
    return _likest_lines(document, lines)


def _likest_lines(document: _Document, lines: list[str]) -> list[int]:
    offset = max(range(len(lines)), key=lambda index: len(_key(lines[index])))
    wanted = _key(lines[offset])[:400]
    words = set(re.findall(r"\w+", wanted))
    scored: list[tuple[float, int]] = []
    matcher = SequenceMatcher(None, autojunk=False)
    matcher.set_seq2(wanted)
    for index, key in enumerate(document.keys):
        if not key or not 0.3 <= len(key) / max(len(wanted), 1) <= 3.5:
            continue
        if words and not words & set(re.findall(r"\w+", key)):
            continue
        matcher.set_seq1(key[:400])
        if matcher.quick_ratio() >= 0.6:
            score = matcher.ratio()
            if score >= 0.6:
                scored.append((score, index - offset))
    scored.sort(key=lambda pair: (-pair[0], pair[1]))
    return [place for _, place in scored[:_SHOWN_PLACES]]


def _notes(document: _Document, old: str, new: str, start: int) -> tuple[str, ...]:
    notes: list[str] = []
    inside = new.find(old)
    if "\n" in new and inside >= 0 and document.joined.startswith(new, max(start - inside, 0)):
        notes.append("the new text already stood there before this edit; look whether it is now doubled")
    following = document.joined[start + len(old) : start + len(old) + 1]
    if old.endswith("\n") and new and not new.endswith("\n") and following not in {"", "\n"}:
        notes.append(
            "`old` ended with a line end and `new` does not: the line that followed was joined to it"
        )
    indents = {_indent(line)[:1] for line in new.split("\n")[1:] if line.strip()} - {""}
    if indents == {" "} and document.is_indented_with_tabs and _indent(old)[:1] != " ":
        notes.append("this file is indented with tabs, some new lines with spaces")
    return tuple(notes)


def _diff(document: _Document, first: int, before: list[str], after: list[str]) -> str:
    """The changed lines with numbers and one line around: old numbers for `-`, new ones for the rest."""
    change = _changed_lines(first, before, after)
    lines = _around(document, change, above=True)
    lines += _shortened([f"- {change.at + index + 1}|{line}" for index, line in enumerate(change.gone)])
    lines += _shortened(change.numbered)
    lines += _around(document, change, above=False)
    return "\n".join(line[:400] for line in lines)


def _landed(document: _Document, first: int, before: list[str], after: list[str]) -> str:
    """Where an exact edit came to stand, by its ends; what it took away is told by what is around.

    Its author quoted the old lines and wrote the new ones, and every byte of an answer is sent again with every
    later turn.
    """
    change = _changed_lines(first, before, after)
    lines = _shortened(change.numbered, half=_SEAM)
    if not change.come:
        lines = _around(document, change, above=True) + _around(document, change, above=False)
    return "\n".join(line[:400] for line in lines)


@dataclass(frozen=True)
class _Changed:
    """Lines that an edit took (``gone``) and put (``come``) at a place, counted from 0."""

    at: int
    gone: list[str]
    come: list[str]

    @property
    def numbered(self) -> list[str]:
        return [f"+ {self.at + index + 1}|{line}" for index, line in enumerate(self.come)]


def _changed_lines(first: int, before: list[str], after: list[str]) -> _Changed:
    top = _common(before, after)
    bottom = _common(before[top:][::-1], after[top:][::-1])
    return _Changed(first + top, before[top : len(before) - bottom], after[top : len(after) - bottom])


def _around(document: _Document, change: _Changed, *, above: bool) -> list[str]:
    """The line above a change or the one below it, with its new number."""
    at = change.at - 1 if above else change.at + len(change.gone)
    moved = 0 if above else len(change.come) - len(change.gone)
    return [f"  {line.number + moved}|{line.text}" for line in document_lines(document.contents, at, at + 1)]


def _replaced_lines(result: _Document, hits: list[int], old: str, new: str) -> str:
    grown = len(new) - len(old)
    places = [min(hit + grown * index, len(result.joined)) for index, hit in enumerate(hits)]
    indexes = dict.fromkeys(
        result.line_of(place) + offset for place in places for offset in range(new.count("\n") + 1)
    )
    lines = [f"+ {i + 1}|{result.contents[i]}" for i in indexes if i < len(result.contents)]
    return "\n".join(line[:400] for line in _shortened(lines))


def _shortened(lines: list[str], *, half: int = _DIFF_LINES // 4) -> list[str]:
    if len(lines) <= 2 * half + 1:
        return lines
    return [*lines[:half], f"  ({len(lines) - 2 * half} lines not shown)", *lines[-half:]]
