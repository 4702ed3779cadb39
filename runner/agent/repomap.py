"""A map of the repository that fits a token budget: what lies near the work in full, the rest as folders with counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

CHARS_PER_TOKEN = 4
TOKENS = 900


@dataclass(frozen=True, kw_only=True)
class RepositoryMap:
    """Lines to show, and how many files are only counted in them, or not mentioned at all."""

    lines: tuple[str, ...]
    listed: int
    counted: int
    left_out: int


def map_of(paths: Collection[str], near: Sequence[str] = (), *, tokens: int = TOKENS) -> RepositoryMap:
    """Choose what to show of a repository; ``near`` are paths the work is expected to touch."""
    room = tokens * CHARS_PER_TOKEN
    every = sorted(paths)
    if sum(len(path) + 1 for path in every) <= room:
        return RepositoryMap(lines=tuple(every), listed=len(every), counted=0, left_out=0)
    chosen = _nearest(every, near, room // 2)
    rest = [path for path in every if path not in chosen]
    used = sum(len(path) + 1 for path in chosen)
    folders = _folders(rest, room - used)
    lines: list[str] = sorted(chosen)
    counted = 0
    for name, count in folders:
        line = f"{name} {count}" if name.endswith("/") else name
        used += len(line) + 1
        if used > room:
            break
        lines.append(line)
        counted += count
    left_out = len(rest) - counted
    if left_out:
        lines.append(f"({left_out} more files; list_files shows them)")
    return RepositoryMap(lines=tuple(lines), listed=len(chosen), counted=counted, left_out=left_out)


def _nearest(every: Sequence[str], near: Sequence[str], room: int) -> set[str]:
    """The expected files, then their neighbours, nearest folders first, as far as they fit."""
    if not near:
        return set()
    homes = {path.rpartition("/")[0] for path in near}
    expected = set(near)
    ranked = sorted((_distance(path, homes), path) for path in every)
    chosen: set[str] = set()
    for distance, path in ranked:
        if distance > 1 and path not in expected:
            continue
        room -= len(path) + 1
        if room < 0:
            break
        chosen.add(path)
    return chosen


def _distance(path: str, homes: set[str]) -> int:
    """0 in a folder of the work, 1 at the repository's top or just below such a folder, 2 anywhere else."""
    home = path.rpartition("/")[0]
    if home in homes:
        return 0
    return 1 if not home or home.rpartition("/")[0] in homes - {""} else 2


def _folders(paths: Sequence[str], room: int) -> list[tuple[str, int]]:
    """Folders with counts at the greatest depth that fits; files at the top are named."""
    best = _at_depth(paths, 1)
    for depth in range(2, 7):
        deeper = _at_depth(paths, depth)
        if sum(len(name) + 7 for name, _ in deeper) > room:
            break
        best = deeper
    return best


def _at_depth(paths: Sequence[str], depth: int) -> list[tuple[str, int]]:
    counts: Counter[str] = Counter()
    for path in paths:
        folders = path.split("/")[:-1]
        counts["/".join(folders[:depth]) + "/" if folders else path] += 1
    return sorted(counts.items(), key=lambda one: (not one[0].endswith("/"), one[0]))
