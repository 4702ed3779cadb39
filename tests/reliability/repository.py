"""The arena's repository: real git, whose answers about what cannot have changed are kept.

Thousands of cases start from the same few states and ask git the same questions, each in a process of its own.
An answer about objects named by their full ids holds for ever; one that depends on refs holds wherever the refs
are the same. Nobody asks a repository for an object that it never had.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from runner.sandbox.github.repository import BareRepository

READS = frozenset(
    {
        "cat-file",
        "check-ref-format",
        "diff",
        "for-each-ref",
        "log",
        "ls-tree",
        "merge-base",
        "rev-list",
        "rev-parse",
    }
)
# One object by its full id, a range of two, or a path below one.
NAMED_BY_ID = re.compile(r"[0-9a-f]{40}(\.\.[0-9a-f]{40}|:.*|\^\{\w+\})?")
MAX_KEPT = 50_000
RefFiles = tuple[tuple[str, bytes], ...]
Answer = subprocess.CompletedProcess[bytes]

_kept: dict[tuple[tuple[str, ...], RefFiles | None], Answer] = {}


class RememberingRepository(BareRepository):
    """A bare repository that starts git for a question only once."""

    def try_git(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> Answer:
        """As in the base class."""
        if stdin or environment or _verb(arguments) not in READS:
            return super().try_git(*arguments, stdin=stdin, environment=environment)
        key = (arguments, None if _is_timeless(arguments) else self._ref_files())
        if key not in _kept:
            done = super().try_git(*arguments)
            if not _is_lasting(arguments, done.returncode):
                return done
            if len(_kept) >= MAX_KEPT:
                _kept.clear()
            _kept[key] = done
        return _kept[key]

    def _ref_files(self) -> RefFiles:
        files = [str(self.path / name) for name in ("HEAD", "packed-refs")]
        folders = [str(self.path / "refs")]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders.append(entry.path)
                    else:
                        files.append(entry.path)
        length = len(str(self.path))
        return tuple((path[length:], _content(path)) for path in sorted(files))


def _verb(arguments: tuple[str, ...]) -> str:
    return next((one for one in arguments if not one.startswith("-")), "")


def _is_timeless(arguments: tuple[str, ...]) -> bool:
    """Whether every object is named by its id, and its being there is not the question; a path follows ``--``."""
    names = arguments[: arguments.index("--")] if "--" in arguments else arguments
    objects = [one for one in names if not one.startswith("-")][1:]
    asks_for_presence = _verb(arguments) == "rev-parse" or arguments[:2] == ("cat-file", "-t")
    if "--all" in names or asks_for_presence or not objects:
        return False
    return all(NAMED_BY_ID.fullmatch(one) for one in objects)


def _is_lasting(arguments: tuple[str, ...], code: int) -> bool:
    """Whether the answer stays true: an object that is absent may arrive, unlike an absent ref."""
    if code == 1 and _verb(arguments) != "merge-base":
        return not any(re.match(r"[0-9a-f]{40}", one) for one in arguments)
    return code in (0, 1)


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return b""
