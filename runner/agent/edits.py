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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import pairwise

from runner.agent.document import (
    BLANK,
    FOLD,
    Document,
    as_lines,
    common,
    document_lines,
    indent_of,
    normalised,
    places,
)
from runner.agent.edit_answers import (
    Refusal,
    RefusalKind,
    ambiguous,
    difference,
    landed,
    not_found,
    notes_on,
    replaced_lines,
)
from runner.agent.elision import elision
from runner.agent.filekinds import after_notes
from runner.agent.indentation import Shift, shift_of

HUGE = 1_000_000
"""Bytes beyond which a file is not edited as text."""

_BOM = b"\xef\xbb\xbf"
_ALIGN_LIMIT = 4_000_000

_FORBIDDEN = re.compile("[\x00\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""NUL makes a file binary, lone surrogates cannot be stored, bidirectional controls hide what code says."""


class Rung(StrEnum):
    """How literally ``old`` was found, strictest first."""

    EXACT = "exact"
    TRAILING_SPACE = "trailing space"
    INDENTATION = "indentation"
    TYPOGRAPHY = "typography"


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Replace ``old`` by ``new``: at its one place, or with ``replace_all`` wherever it stands exactly."""

    old: str
    new: str
    replace_all: bool = False


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
    document = Document(file.text)
    new = normalised(content)
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
    document = Document(text)
    old, new = normalised(edit.old), normalised(edit.new)
    refusal = _unusable(document, edit, old, new)
    if refusal:
        return refusal
    hits = list(places(document.joined, old))
    if edit.replace_all:
        return _replace_all(document, hits, old, new)
    if len(hits) > 1:
        return ambiguous(document, [document.line_of(hit) for hit in hits], "exactly")
    if not hits:
        return _apply_by_lines(document, old, new)
    others = _rivals_of_exact(document, hits[0], old)
    if others:
        return ambiguous(document, sorted({document.line_of(hit) for hit in hits} | set(others)), "nearly")
    return _apply_exactly(document, hits[0], old, new)


# --- refusals before any matching --------------------------------------------------------------


def _unusable(document: Document, edit: Edit, old: str, new: str) -> Refusal | None:
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


def _apply_exactly(document: Document, start: int, old: str, new: str) -> Edited:
    end = start + len(old)
    first, last = document.line_of(start), document.line_of(end)
    head = document.contents[first][: start - document.starts[first]]
    tail = document.contents[last][end - document.starts[last] :]
    before = document.contents[first : last + 1]
    after = _with_final_newline(document, last, (head + new + tail).split("\n"))
    edited = _splice(document, first, len(before), _align(before, after), after, Rung.EXACT)
    return replace(
        edited, diff=landed(document, first, before, after), notes=notes_on(document, old, new, start)
    )


def _with_final_newline(document: Document, last: int, after: list[str]) -> list[str]:
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


def _rivals_of_exact(document: Document, start: int, old: str) -> list[int]:
    """Other places that ``old`` may mean, when its one exact place begins inside a deeper indentation.

    A line quoted with its indentation also stands, as text, inside every deeper indented copy of it;
    that copy is not what was quoted if the line itself stands elsewhere with a stray trailing space.
    """
    index = document.line_of(start)
    lead = document.joined[document.starts[index] : start]
    if not lead or lead.strip(BLANK) or old[0] not in BLANK or not old.strip():
        return []
    quoted = [line.translate(FOLD).rstrip(BLANK) for line in as_lines(old)]
    return [
        place
        for place in document.windows(quoted)
        if place != index
        and quoted
        == [line.translate(FOLD).rstrip(BLANK) for line in document.contents[place : place + len(quoted)]]
    ]


def _replace_all(document: Document, hits: list[int], old: str, new: str) -> Edited | Refusal:
    if not hits:
        refusal = not_found(document, old, new)
        return replace(refusal, message=refusal.message + " (`replace_all` replaces exact text only.)")
    if any(after - before < len(old) for before, after in pairwise(hits)):
        return ambiguous(document, [document.line_of(hit) for hit in hits], "overlapping")
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
        diff=replaced_lines(Document(text), hits, old, new),
        notes=notes_on(document, old, new, hits[0]),
    )


def _raw_slice(document: Document, start: int, end: int) -> str:
    first, last = document.line_of(start), document.line_of(end)
    if first == last:
        return document.contents[first][start - document.starts[first] : end - document.starts[first]]
    head = document.contents[first][start - document.starts[first] :] + document.eols[first]
    return head + document.raw(first + 1, last) + document.contents[last][: end - document.starts[last]]


def _with_eols(document: Document, hit: int, old: str, new: str) -> str:
    """``new`` with the line ends of the place: break by break, then the last one's or the line's own."""
    first = document.line_of(hit)
    ends = document.eols[first : first + old.count("\n")] or [document.eol_near(first)]
    parts = new.split("\n")
    breaks = [ends[min(index, len(ends) - 1)] for index in range(len(parts) - 1)]
    return _joined(parts, [*breaks, ""])


def _joined(lines: Sequence[str], eols: Sequence[str]) -> str:
    """Lines with their ends. A lone CR and the LF of an empty line after it would be one end, so that is a CR, too."""
    pieces: list[str] = []
    for line, eol in zip(lines, eols, strict=True):
        merges = not line and eol == "\n" and bool(pieces) and pieces[-1].endswith("\r")
        pieces.append(line + ("\r" if merges else eol))
    return "".join(pieces)


def _same_final_newline(document: Document, text: str, new: str) -> str:
    had = document.contents[-1] == ""
    has = not text or text.endswith(("\n", "\r"))
    if had and not has:
        return text + document.eol_near(len(document.contents) - 1)
    if has and not had and new.endswith("\n"):
        return text.removesuffix("\n").removesuffix("\r")
    return text


# --- the inexact rungs: whole lines ------------------------------------------------------------


def _apply_by_lines(document: Document, old: str, new: str) -> Edited | Refusal:
    old_lines = as_lines(old)
    if not re.search(r"\w", old):
        return not_found(document, old, new)  # nothing but punctuation and space identifies no place
    windows = document.windows(old_lines)
    if not windows:
        return not_found(document, old, new)
    if len(windows) > 1:
        return ambiguous(document, windows, "nearly")
    new_lines = (as_lines(new) if new else []) if old.endswith("\n") else new.split("\n")
    return _apply_at(document, windows[0], old_lines, new_lines)


def _apply_at(document: Document, first: int, old_lines: list[str], new_lines: list[str]) -> Edited | Refusal:
    real = document.contents[first : first + len(old_lines)]
    trimmed_old = [line.rstrip(BLANK) for line in old_lines]
    alignment = _align(trimmed_old, [line.rstrip(BLANK) for line in new_lines])
    rung = _rung(real, old_lines)
    shift = shift_of(document, real, old_lines, alignment.changed(new_lines))
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
    if all(a.rstrip(BLANK) == b.rstrip(BLANK) for a, b in zip(real, old_lines, strict=True)):
        return Rung.TRAILING_SPACE
    if all(a.strip(BLANK) == b.strip(BLANK) for a, b in zip(real, old_lines, strict=True)):
        return Rung.INDENTATION
    return Rung.TYPOGRAPHY


def _partner(index: int | None, real: list[str], old_lines: list[str]) -> tuple[str, str] | None:
    return None if index is None else (real[index].strip(BLANK), old_lines[index].strip(BLANK))


def _rendered(line: str, shift: Shift, partner: tuple[str, str] | None) -> str:
    """A new line as the file writes it: shifted, and with the file's typography where it was only quoted."""
    if not line.strip(BLANK):
        return ""
    indent = indent_of(line)
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
    top = common(old, new)
    bottom = common(old[top:][::-1], new[top:][::-1])
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


def _splice(
    document: Document, first: int, count: int, alignment: _Alignment, lines: list[str], rung: Rung
) -> Edited:
    """Put ``lines`` in the place of ``count`` lines; a line that repeats an old one stays as it is in the file."""
    after: list[str] = []
    eols: list[str] = []
    for line, same in zip(lines, alignment.same, strict=True):
        near = eols[-1] if eols else document.eol_near(first)
        after.append(line if same is None else document.contents[first + same])
        eols.append(near if same is None else document.eols[first + same] or near)
    if eols:
        eols[-1] = document.eols[first + count - 1]
    before = document.contents[first : first + count]
    return Edited(
        text=document.raw(0, first)
        + _joined(after, eols)
        + document.raw(first + count, len(document.contents)),
        rung=rung,
        lines=(first + 1,),
        diff=difference(document, first, before, after),
    )
