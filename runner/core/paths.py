"""Which paths a change may have. Pure: judges names by their components, looks at no file system.

The same rules stand before every read and write of a tool and again before anything is published:
a path that means one thing here and another on someone's machine is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

_MAX_COMPONENT = 255
_MAX_PATH = 4096

# Characters that HFS+ ignores in names: with them ".g\u200cit" is ".git" on a Mac.
_HFS_IGNORED = dict.fromkeys(
    (*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF), None
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SHORT_GIT = re.compile(r"git~[0-9]+\Z")
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])(?:\..*)?\Z"
)


def check_path(path: str) -> str | None:
    """Why a path may not be written, or ``None`` if it may. Paths are relative, with ``/`` between names."""
    reason = check_readable_path(path)
    if reason:
        return reason
    return next((why for name in path.split("/") if (why := _unportable(name))), None)


def check_readable_path(path: str) -> str | None:
    """Why a path may not even be read: it leaves the tree, enters ``.git``, or is no path at all.

    Weaker than ``check_path``, because a tree may already hold names that are not portable.
    """
    if not path:
        return "the path is empty"
    if _CONTROL.search(path):
        return "it contains a control character"
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError:
        return "it cannot be written as UTF-8"
    if len(encoded) > _MAX_PATH:
        return f"it is longer than {_MAX_PATH} bytes"
    if path.startswith("/"):
        return "it is absolute; paths are relative to the root of the repository"
    return next((why for name in path.split("/") if (why := _escaping(name))), None)


def _escaping(name: str) -> str | None:
    if name == "":
        return "it contains an empty name (a doubled or final slash)"
    if name in {".", ".."}:
        return f"it contains {name!r}; paths are plain, relative to the root of the repository"
    if len(name.encode("utf-8")) > _MAX_COMPONENT:
        return f"a name in it is longer than {_MAX_COMPONENT} bytes"
    if is_git_name(name):
        return f"{name!r} is git's own folder, or would be taken for it on some system"
    return None


def _unportable(name: str) -> str | None:
    if "\\" in name:
        return "it contains a backslash"
    if ":" in name:
        return "it contains a colon"
    if name.endswith((".", " ")):
        return f"the name {name!r} ends in a dot or a space"
    if _DEVICE.match(name.lower()):
        return f"{name!r} is the name of a device on Windows"
    return None


def is_git_name(name: str) -> bool:
    """Whether a component is ``.git`` to any file system: by case, ignored characters, dots, streams or short name."""
    seen = unicodedata.normalize("NFKC", name.translate(_HFS_IGNORED)).casefold()
    # NTFS drops trailing dots and spaces, and what follows a colon names a stream of the same file.
    plain = re.split(r"[:\\]", seen)[0].rstrip(". ")
    return (
        plain == ".git"
        or bool(_SHORT_GIT.match(plain))
        or any(is_git_name(part) for part in seen.split("\\")[1:])
    )


def folded(path: str) -> str:
    """What a file system without case and with its own idea of accents takes the path for."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def parents(path: str) -> tuple[str, ...]:
    """The folders of a path, innermost first."""
    names = path.split("/")
    return tuple("/".join(names[:count]) for count in range(len(names) - 1, 0, -1))


def spellings(paths: Iterable[str]) -> dict[str, str]:
    """For every path and folder in a tree: its folded name and how it is spelt there."""
    found: dict[str, str] = {}
    for path in paths:
        found[folded(path)] = path
        for folder in parents(path):
            key = folded(folder)
            if key in found:
                break
            found[key] = folder
    return found


def collision(path: str, known: Mapping[str, str]) -> str | None:
    """Return the path or folder in the tree that another spelling of ``path`` would overwrite somewhere."""
    for name in (path, *parents(path)):
        other = known.get(folded(name))
        if other is not None and other != name:
            return other
    return None


def bare_repository(paths: Iterable[str]) -> str | None:
    """Return the folder that git would take for a bare repository, whose configuration can start programs."""
    seen: dict[str, set[str]] = {}
    for path in paths:
        names = path.casefold().split("/")
        for index, name in enumerate(names[1:], start=1):
            is_last = index == len(names) - 1
            if (name == "head" and is_last) or (name in {"objects", "refs"} and not is_last):
                seen.setdefault("/".join(names[:index]), set()).add(name)
    return next((folder for folder, parts in seen.items() if len(parts) == 3), None)
