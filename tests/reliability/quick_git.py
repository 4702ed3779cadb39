"""The embedded forge's repository, asking git less: refs are read from their files, objects once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner.sandbox.github.repository import BareRepository, Entry

_SHA = re.compile(r"[0-9a-f]{40}")
_PLAIN = re.compile(r"refs(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")


class QuickRepository(BareRepository):
    """The same answers. An object's name is made from its content, so what was read of one stays true."""

    def __init__(self, path: Path, *, default_branch: str) -> None:
        super().__init__(path, default_branch=default_branch)
        self.read: dict[tuple[str, ...], Any] = {}

    def ref(self, name: str) -> str | None:
        """As stored in the ref's own file; git is asked about names and places that are not so plain."""
        if not _PLAIN.fullmatch(name) or ".." in name or (self.path / "packed-refs").exists():
            return super().ref(name)
        file = self.path / name
        return file.read_text().strip() if file.is_file() else None

    def resolve(self, name: str) -> str | None:
        """Branches by their files, commits by what is known of them."""
        branch = self.ref(f"refs/heads/{name}") if _PLAIN.fullmatch(f"refs/heads/{name}") else None
        if branch is not None:
            return branch
        return name if self.type_of(name) == "commit" else super().resolve(name)

    def type_of(self, sha: str) -> str | None:
        """Asked until it exists."""
        key = ("type", sha)
        if key not in self.read and (found := super().type_of(sha)) is not None:
            self.read[key] = found
        return self.read.get(key)

    def entry(self, commit: str, path: str) -> Entry | None:
        """Asked once."""
        found: Entry | None = self._once(
            (commit, path), lambda: super(QuickRepository, self).entry(commit, path)
        )
        return found

    def blob(self, sha: str) -> bytes:
        """Asked once."""
        content: bytes = self._once((sha,), lambda: super(QuickRepository, self).blob(sha))
        return content

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Asked once."""
        names = ("ancestor", older, newer)
        return bool(self._once(names, lambda: super(QuickRepository, self).is_ancestor(older, newer)))

    def _once(self, names: tuple[str, ...], ask: Callable[[], Any]) -> Any:
        if names not in self.read:
            self.read[names] = ask()
        return self.read[names]
