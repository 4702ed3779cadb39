"""The repository's guidance for agents (AGENTS.md, else CLAUDE.md) on the way from the root to the files at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from runner.core.paths import parents

NAMES = ("AGENTS.md", "CLAUDE.md")
MAX_BYTES = 32 * 1024
MAX_FOLDERS = 40


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """What was found, nearest last, as one text; ``used`` and ``left_out`` are paths."""

    text: str = ""
    used: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def guidance_for(targets: Iterable[str], read: Callable[[str], bytes | None]) -> Guidance:
    """Collect the guidance that holds for some paths.

    ``read`` returns a regular file of the base commit, ``None`` when it has none of that name. Imports and links
    are not followed. The nearest files are the last to give way to the cap.
    """
    folders = [
        "",
        *sorted(
            {folder for path in targets for folder in parents(path)}, key=lambda one: (one.count("/"), one)
        ),
    ]
    found = [one for folder in folders[:MAX_FOLDERS] if (one := _in_folder(folder, read)) is not None]
    room = MAX_BYTES
    kept: list[tuple[str, str]] = []
    left_out: list[str] = []
    for path, text in reversed(found):
        size = len(text.encode())
        if size <= room:
            kept.insert(0, (path, text))
            room -= size
        elif not kept:
            kept.insert(0, (path, text.encode()[:room].decode("utf-8", "ignore") + "\n[cut at 32 KiB]"))
            room = 0
        else:
            left_out.append(path)
    return Guidance(
        text="\n\n".join(f"{path}:\n{text.strip()}" for path, text in kept),
        used=tuple(path for path, _ in kept),
        left_out=tuple(left_out),
    )


def _in_folder(folder: str, read: Callable[[str], bytes | None]) -> tuple[str, str] | None:
    for name in NAMES:
        path = f"{folder}/{name}" if folder else name
        data = read(path)
        if data is not None and data.strip():
            return path, data.decode("utf-8-sig", "replace")
    return None
