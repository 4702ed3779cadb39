"""Text search over many files, bounded in time and in what it returns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from runner.agent.document import lines_of

MAX_HITS = 100
MAX_HITS_PER_FILE = 20
MAX_CONTEXT = 10
MAX_SECONDS = 10.0

_SHOWN = 300
_LONGEST_LINE = 2_000
_ATOM = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_GROUP = re.compile(r"\((?:\?[^()]*?[:!=>])?([^()]*)\)([*+]|\{\d*,\d*\})?")
_REPEATS = re.compile(r"[*+|]|\{\d*,\d*\}")
# With these a line can match by itself and not within the whole text.
_LINE_BOUND = re.compile(r"\\[AZ]|\(\?<?!")
_PLAIN = re.compile(r"[^.^$*+?{}\[\]\\|()]+")


@dataclass(frozen=True)
class Pattern:
    """What to search. ``needle``: bytes that every file with a hit contains, if that is known."""

    regex: re.Pattern[str]
    needle: bytes | None = None
    note: str = ""


@dataclass
class Found:
    """Hits as text, and what was left out of it."""

    blocks: list[str] = field(default_factory=list)
    shown: int = 0
    hits: int = 0
    files: int = 0
    binary: int = 0
    unread: int = 0
    is_cut_short: bool = False


def compiled(pattern: str) -> Pattern | str:
    """Return the pattern to search, or why it is refused."""
    if not pattern:
        return "The pattern is empty."
    if "\n" in pattern or "\r" in pattern:
        return "The search goes line by line: the pattern may not contain a line end."
    if _PLAIN.fullmatch(pattern):
        return Pattern(re.compile(re.escape(pattern)), pattern.encode("utf-8", "replace"))
    if _is_explosive(pattern):
        return (
            "The pattern repeats a group that itself repeats or branches, which can take for ever. "
            "Use a simpler one, such as a character class or the literal text."
        )
    try:
        regex = re.compile(pattern, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        literal = re.compile(re.escape(pattern))
        note = f"(not a regular expression: {error}; searched as plain text)"
        return Pattern(literal, pattern.encode("utf-8", "replace"), note)
    if regex.match(""):
        return "The pattern matches the empty text, that is every line. Use a more specific one."
    return Pattern(regex)


def _is_explosive(pattern: str) -> bool:
    """A repeated group that itself repeats or branches: its time can be exponential in a line's length."""
    rest = _ATOM.sub("x", pattern)
    while group := _GROUP.search(rest):
        inner, repeated = group.groups()
        repeats = bool(_REPEATS.search(inner))
        if repeats and repeated:
            return True
        rest = rest[: group.start()] + ("x*" if repeats or repeated else "x") + rest[group.end() :]
    return False


def search(
    pattern: Pattern,
    files: Iterable[tuple[str, bytes | None]],
    *,
    context: int,
    clock: Callable[[], float],
) -> Found:
    """Search files given as (path, bytes); ``None`` stands for a file that cannot be read as text."""
    found = Found()
    deadline = clock() + MAX_SECONDS
    for number, (path, data) in enumerate(files):
        if number % 64 == 0 and clock() > deadline:
            found.is_cut_short = True
            break
        if data is None:
            found.unread += 1
        elif pattern.needle is None or pattern.needle in data:
            _search_one(pattern.regex, path, data, min(max(context, 0), MAX_CONTEXT), found)
    return found


def _search_one(regex: re.Pattern[str], path: str, data: bytes, context: int, found: Found) -> None:
    if b"\0" in data[:8000]:
        found.binary += 1
        return
    lines: list[str] | None = None
    text = data.decode("utf-8-sig", "replace")
    if "\r" in text:
        lines = lines_of(text)
        text = "\n".join(lines)
    if not _may_match(regex, text):
        return
    lines = text.split("\n") if lines is None else lines
    hits = [
        (index, match.start())
        for index, line in enumerate(lines)
        if (match := regex.search(line[:_LONGEST_LINE]))
    ]
    if not hits:
        return
    found.files += 1
    found.hits += len(hits)
    room = min(MAX_HITS_PER_FILE, MAX_HITS - found.shown)
    if room > 0:
        found.shown += len(hits[:room])
        name = path if path.isprintable() else repr(path)[1:-1]
        found.blocks.append(f"{name}\n{_shown(lines, hits[:room], context)}")


def _may_match(regex: re.Pattern[str], text: str) -> bool:
    """Look at the whole text at once, which is faster; only where no line is so long that this may hang."""
    if _LINE_BOUND.search(regex.pattern):
        return True
    if len(text) > _LONGEST_LINE and any(len(line) > _LONGEST_LINE for line in text.split("\n")):
        return True
    return regex.search(text) is not None


def _shown(lines: list[str], hits: list[tuple[int, int]], context: int) -> str:
    starts = dict(hits)
    wanted = sorted({near for index, _ in hits for near in range(index - context, index + context + 1)})
    shown: list[str] = []
    before = None
    for index in wanted:
        if not 0 <= index < len(lines):
            continue
        if context and before is not None and index != before + 1:
            shown.append("--")
        mark = "|" if index in starts else "-"
        shown.append(f"{index + 1}{mark}{_clipped(lines[index], starts.get(index, 0))}")
        before = index
    return "\n".join(shown)


def _clipped(line: str, at: int) -> str:
    if len(line) <= _SHOWN:
        return line
    start = max(0, at - _SHOWN // 3)
    head = "[...]" if start else ""
    tail = "[...]" if start + _SHOWN < len(line) else ""
    return head + line[start : start + _SHOWN] + tail
