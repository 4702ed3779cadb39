"""How the indentation of a quote is written in the file: one uniform shift, with tabs and spaces mapped, or none."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

from runner.agent.document import BLANK, FOLD, Document, indent_of

_TAB_WIDTHS = (4, 2, 8, 3)

Shift = Callable[[str], str]


def shift_of(document: Document, real: list[str], old_lines: list[str], changed: list[str]) -> Shift | None:
    """How an indentation of ``old`` is written in the file, or ``None`` when that is not uniform.

    The same number of columns is added to every line. What a tab is worth follows from the lines
    themselves; where several widths explain them and would write ``new`` differently, none is chosen.
    """
    if any(indent_of(line) != indent_of(line.translate(FOLD)) for line in (*real, *old_lines)):
        return None  # indented with exotic spaces: no width can be told
    pairs = [(indent_of(a), indent_of(b)) for a, b in zip(real, old_lines, strict=True) if b.strip(BLANK)]
    if all(theirs == ours for theirs, ours in pairs):
        return lambda indent: indent
    new_indents = [indent_of(line) for line in changed if line.strip(BLANK)]
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


def _uses_tabs(document: Document, indents: list[str]) -> bool:
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
