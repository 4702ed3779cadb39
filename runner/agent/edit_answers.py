"""What the author of an edit is told: why it was refused and what the file really says, or where it came to stand."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

from runner.agent.document import Document, Line, as_lines, common, document_lines, indent_of, key_of
from runner.agent.elision import elides

_SHOWN_PLACES = 3
_SHOWN_LINES = 12
_DIFF_LINES = 40
_SEAM = 2


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


def _numbered(lines: Sequence[Line]) -> str:
    shown: list[str] = []
    for previous, line in zip([None, *lines], lines, strict=False):
        if previous and line.number != previous.number + 1:
            shown.append("...")
        shown.append(f"{line.number}|{line.text[:400]}")
    return "\n".join(shown)


def ambiguous(document: Document, indexes: list[int], how: str) -> Refusal:
    """A quote that stands in several places, with where they are."""
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


def not_found(document: Document, old: str, new: str) -> Refusal:
    """A quote that stands nowhere, with the lines it most resembles."""
    lines = as_lines(old)
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


def _is_there(document: Document, new: str) -> bool:
    if not new.strip():
        return False
    return new.strip("\n") in document.joined or bool(document.windows(as_lines(new.strip("\n"))))


def _nearest(document: Document, lines: list[str]) -> tuple[Line, ...]:
    """The real lines that ``lines`` most resemble: by lines they share, else by the likest single line."""
    length = min(len(lines) + 2, _SHOWN_LINES)
    shown: dict[int, Line] = {}
    for place in _likely_places(document, lines):
        for line in document_lines(document.contents, place - 1, place - 1 + length):
            shown[line.number] = line
    return tuple(shown[number] for number in sorted(shown))


def _likely_places(document: Document, lines: list[str]) -> list[int]:
    positions: dict[str, list[int]] = defaultdict(list)
    for index, key in enumerate(document.keys):
        if len(key) > 2:
            positions[key].append(index)
    votes: Counter[int] = Counter()
    for offset, line in enumerate(lines):
        found = positions.get(key_of(line), ())
        for index in found[:50]:
            votes[index - offset] += 1 if len(found) > 3 else 3
    if votes:
        best = votes.most_common(_SHOWN_PLACES)
        return [place for place, count in best if count * 2 >= best[0][1]]
    return _likest_lines(document, lines)


def _likest_lines(document: Document, lines: list[str]) -> list[int]:
    offset = max(range(len(lines)), key=lambda index: len(key_of(lines[index])))
    wanted = key_of(lines[offset])[:400]
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


def notes_on(document: Document, old: str, new: str, start: int) -> tuple[str, ...]:
    """What a careful author would look at again after an exact edit."""
    notes: list[str] = []
    inside = new.find(old)
    if "\n" in new and inside >= 0 and document.joined.startswith(new, max(start - inside, 0)):
        notes.append("the new text already stood there before this edit; look whether it is now doubled")
    following = document.joined[start + len(old) : start + len(old) + 1]
    if old.endswith("\n") and new and not new.endswith("\n") and following not in {"", "\n"}:
        notes.append(
            "`old` ended with a line end and `new` does not: the line that followed was joined to it"
        )
    indents = {indent_of(line)[:1] for line in new.split("\n")[1:] if line.strip()} - {""}
    if indents == {" "} and document.is_indented_with_tabs and indent_of(old)[:1] != " ":
        notes.append("this file is indented with tabs, some new lines with spaces")
    return tuple(notes)


def difference(document: Document, first: int, before: list[str], after: list[str]) -> str:
    """The changed lines with numbers and one line around: old numbers for `-`, new ones for the rest."""
    change = _changed_lines(first, before, after)
    lines = _around(document, change, above=True)
    lines += _shortened([f"- {change.at + index + 1}|{line}" for index, line in enumerate(change.gone)])
    lines += _shortened(change.numbered)
    lines += _around(document, change, above=False)
    return "\n".join(line[:400] for line in lines)


def landed(document: Document, first: int, before: list[str], after: list[str]) -> str:
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
    top = common(before, after)
    bottom = common(before[top:][::-1], after[top:][::-1])
    return _Changed(first + top, before[top : len(before) - bottom], after[top : len(after) - bottom])


def _around(document: Document, change: _Changed, *, above: bool) -> list[str]:
    """The line above a change or the one below it, with its new number."""
    at = change.at - 1 if above else change.at + len(change.gone)
    moved = 0 if above else len(change.come) - len(change.gone)
    return [f"  {line.number + moved}|{line.text}" for line in document_lines(document.contents, at, at + 1)]


def replaced_lines(result: Document, hits: list[int], old: str, new: str) -> str:
    """The lines as they read after every place of a quote was replaced."""
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
