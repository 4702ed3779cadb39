"""A text as lines: their contents, their ends, and where a run of lines stands however loosely it was quoted."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

EOL = re.compile(r"\r\n|\r|\n")
_INDENT = re.compile(r"[ \t]*")
BLANK = " \t"

FOLD = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a", " "),
        **dict.fromkeys("\u202f\u205f\u3000", " "),
    }
)
"""One character for one character, so that a place in folded text is the same place in the file."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the file as it is, counted from 1, without its line end."""

    number: int
    text: str


class Document:
    """A text as contents and line ends. The last line has no line end; it is empty after a final newline."""

    def __init__(self, text: str) -> None:
        self.contents = lines_of(text)
        self.eols: list[str] = [*EOL.findall(text), ""]

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
        return [key_of(line) for line in self.contents]

    @cached_property
    def is_indented_with_tabs(self) -> bool:
        """More indented lines begin with a tab than with a space."""
        firsts = Counter(line[0] for line in self.contents if line and line[0] in BLANK)
        return firsts["\t"] > firsts[" "]

    @cached_property
    def common_eol(self) -> str:
        """The commonest line end; a line feed in a text of one line."""
        most = Counter(eol for eol in self.eols if eol).most_common(1)
        return most[0][0] if most else "\n"

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
        wanted = [key_of(line) for line in lines]
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
    return EOL.split(text)


def normalised(text: str) -> str:
    """A text with line feeds alone and no byte-order mark, as models write it."""
    return EOL.sub("\n", text.removeprefix("\ufeff"))


def key_of(line: str) -> str:
    """What the loosest comparison sees of a line."""
    return line.translate(FOLD).strip(BLANK)


def indent_of(line: str) -> str:
    """The spaces and tabs that a line begins with."""
    match = _INDENT.match(line)
    return match.group() if match else ""


def places(text: str, part: str) -> Iterator[int]:
    """Every offset of a part, overlapping ones too: two overlapping places are two."""
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def as_lines(text: str) -> list[str]:
    """The lines that a quote stands for: a final line feed ends the last one."""
    return text.removesuffix("\n").split("\n")


def common(first: list[str], second: list[str]) -> int:
    """How many lines two runs begin with in common."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def document_lines(contents: Sequence[str], first: int, last: int) -> tuple[Line, ...]:
    """Lines ``first`` to before ``last`` (from 0) with their numbers, clipped to the text."""
    first, last = max(first, 0), min(last, len(contents))
    return tuple(Line(number=index + 1, text=contents[index]) for index in range(first, last))
