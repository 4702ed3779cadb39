"""Acceptance criteria wherever a team keeps them: a custom field, a section of the description, or a checklist."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

MAX_CRITERIA = 40
MAX_LENGTH = 500

_NAMES = (
    *("acceptance criteria", "acceptance criterion", "acceptance", "definition of done", "done when"),
    *("akzeptanzkriterien", "abnahmekriterien", "critères d'acceptation", "criterios de aceptación"),
    *("critérios de aceitação", "criteri di accettazione", "acceptatiecriteria", "受け入れ基準", "验收标准"),
)
_HEADING = re.compile(r"(#{1,6})[ \t]+(.+?)[ \t#]*")
_BOLD = re.compile(r"(?:\*\*|__)(.+?)(?:\*\*|__)[ \t]*:?[ \t]*")
_LIST = re.compile(r"[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+(?:\[([ xX])\][ \t]+)?(.*)")
_NO_HEADING = 7


def criteria(description: str, field: str = "") -> tuple[str, ...]:
    """The criteria of a ticket, without repetitions, in the order they are written.

    Both arguments are Markdown. The configured ``field`` comes first; then a section of the description
    whose heading says so; a checklist counts when there is no such section.
    """
    stated = [*_lines(field.splitlines())]
    section = [*_lines(_section(description))]
    found = [*stated, *(section or _checklist(description))]
    return tuple(dict.fromkeys(found))[:MAX_CRITERIA]


def _section(text: str) -> Iterator[str]:
    """Lines under a heading that names acceptance criteria, up to the next heading of its rank or a higher one."""
    inside = _NO_HEADING + 1
    for line in text.splitlines():
        rank, name = _heading(line)
        if rank and _is_name(name):
            inside = rank
        elif rank and rank <= inside:
            inside = _NO_HEADING + 1
        elif inside <= _NO_HEADING and not rank:
            yield line


def _heading(line: str) -> tuple[int, str]:
    """Rank and words of a heading; a line that is bold from end to end ranks below every real one, 0 is none."""
    if found := _HEADING.fullmatch(line.strip()):
        return len(found[1]), found[2]
    if found := _BOLD.fullmatch(line.strip()):
        return _NO_HEADING, found[1]
    plain = line.strip()
    return (_NO_HEADING, plain) if plain.endswith(":") and _is_name(plain) else (0, "")


def _is_name(words: str) -> bool:
    plain = words.strip().strip("*_: ").casefold().replace("’", "'")
    return plain in _NAMES


def _lines(lines: Iterable[str]) -> Iterator[str]:
    """List items, and paragraphs where there is no list; a continued line belongs to the item above it."""
    parts: list[str] = []
    for line in lines:
        found = _LIST.fullmatch(line)
        if found or not line.strip():
            yield from _joined(parts)
            parts = [found[2]] if found else []
        else:
            parts.append(line)
    yield from _joined(parts)


def _joined(parts: list[str]) -> Iterator[str]:
    text = " ".join(" ".join(parts).split())
    if text:
        yield text[:MAX_LENGTH]


def _checklist(text: str) -> list[str]:
    """Items of task lists, anywhere."""
    found = (_LIST.fullmatch(line) for line in text.splitlines())
    items = [one[2] for one in found if one is not None and one[1] is not None]
    return [item for raw in items for item in _joined([raw])]
