"""The files of a checkout as a model works on them: what may be touched, what was seen, and what they were.

Every path that was touched is remembered as it was at the start, so that the result is the difference to the
tree the work began from, whatever happened in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path, PurePosixPath

from runner.agent.paths import FoundFile, Jail
from runner.agent.tool_texts import shown
from runner.core.paths import bare_repository, check_path, collision, parents, spellings
from runner.core.work import FileChange, Mode
from runner.errors import Refused

READ_LIMIT = 10_000_000


class Workspace:
    """The files of one checkout. ``protected`` says why a path may not be changed, or ``None``.

    ``revision`` counts the changes made, so that one can tell whether a check ran on the files as they are.
    """

    def __init__(self, root: Path, *, tracked: Iterable[str], protected: Callable[[str], str | None]) -> None:
        self.jail = Jail(root)
        self.files = set(tracked)
        self.revision = 0
        self._protected = protected
        self._start: dict[str, FoundFile | None] = {}
        self._seen: dict[str, bytes] = {}
        self._spellings: dict[str, str] | None = None

    def originals(self) -> dict[str, bytes | None]:
        """What every touched path held before it was first touched; ``None`` for one that was absent."""
        return {path: found.data if found is not None else None for path, found in self._start.items()}

    def changes(self) -> tuple[FileChange, ...]:
        """What differs from the start, by path. Raises ``Refused`` when a touched path is no regular file any more."""
        found = (self._change(path, self._start[path]) for path in sorted(self._start))
        return tuple(change for change in found if change)

    def _change(self, path: str, start: FoundFile | None) -> FileChange | None:
        now = self.jail.read(path, limit=READ_LIMIT)
        if now == start:
            return None
        if now is None:
            return FileChange(path=path, content=None)
        return FileChange(path=path, content=now.data, mode=now.mode)

    @property
    def paths(self) -> frozenset[str]:
        """The files of the repository as they are now, edits included."""
        return frozenset(self.files)

    def has_seen(self, path: str) -> bool:
        """Whether the model knows what the file holds."""
        return path in self._seen

    def see(self, path: str, data: bytes) -> None:
        """Remember that this was shown."""
        self._seen[path] = _digest(data)

    def forget(self, path: str) -> None:
        """Hold that the model does not know what the file holds."""
        self._seen.pop(path, None)

    def under(self, path: str) -> list[str]:
        """The files that a path, a folder or a pattern names."""
        if not path:
            return list(self.files)
        if path in self.files:
            return [path]
        if any(character in path for character in "*?["):
            globs = {path, path.replace("**/", "")}
            return [file for file in self.files if any(fnmatchcase(file, glob) for glob in globs)]
        inside = [file for file in self.files if file.startswith(path + "/")]
        return inside or ([path] if self._is_file(path) else [])

    def _is_file(self, path: str) -> bool:
        self._refuse_submodule(path)
        return self.jail.kind(path) == "file"

    def existing(self, path: str, *, limit: int) -> FoundFile:
        """Read a file; Refused when there is none."""
        self._refuse_submodule(path)
        found = self.jail.read(path, limit=limit)
        if found is None:
            raise Refused(self.absent(path))
        return found

    def writable(self, path: str) -> FoundFile:
        """Read a file that may be changed: ours, not protected, and as it was when it was last seen."""
        self._refuse_protected(path)
        found = self.existing(path, limit=READ_LIMIT)
        if path not in self.files:
            raise Refused(
                f"`{path}` is not part of the repository (git ignores it, or a command made it); it is not changed."
            )
        if self._seen.get(path, _digest(found.data)) != _digest(found.data):
            raise Refused(
                f"`{path}` changed since you last saw it (a check or another command wrote it). Read it again first."
            )
        return found

    def _refuse_protected(self, path: str) -> None:
        wrong = check_path(path)
        if wrong:
            raise Refused(f"The path {path!r} is refused: {wrong}.")
        reason = self._protected(path)
        if reason:
            raise Refused(f"`{path}` is protected and not changed: {reason}")

    def _refuse_submodule(self, path: str) -> None:
        for folder in parents(path):
            if folder in self.files:
                raise Refused(
                    f"`{folder}` is a submodule, a link or a file; nothing below it is read or changed."
                )

    def refuse_new(self, path: str, *, instead_of: str | None = None) -> None:
        """Raise Refused where no file may come to be."""
        self._refuse_protected(path)
        self._refuse_submodule(path)
        if self._spellings is None:
            self._spellings = spellings(self.files)
        other = collision(path, self._spellings)
        if other and other != instead_of:
            raise Refused(
                f"`{path}` and the existing `{other}` are one name on some systems; choose another."
            )
        telling = {"head", "objects", "refs"} & set(path.casefold().split("/"))
        if telling and bare_repository([*self.files, path]) not in {None, bare_repository(self.files)}:
            raise Refused(f"`{path}` would make its folder look like a git repository to git.")

    def absent(self, path: str) -> str:
        """That there is no such path, with the likely ones."""
        name = PurePosixPath(path).name
        same = [file for file in self.files if PurePosixPath(file).name == name]
        close = sorted(same)[:3] or get_close_matches(path, self.files, n=3)
        hint = (
            f" Did you mean {', '.join(map(shown, close))}?" if close else " list_files shows what there is."
        )
        return f"There is no `{shown(path)}`.{hint}"

    def store(self, path: str, data: bytes, mode: Mode, *, instead_of: FoundFile | None) -> None:
        """Write a file."""
        self._start.setdefault(path, instead_of)
        self.jail.write(path, data, mode)
        self.see(path, data)
        self.files.add(path)
        if self._spellings is not None:
            self._spellings |= spellings([path])
        self.revision += 1

    def remove(self, path: str, found: FoundFile) -> None:
        """Delete a file."""
        self._start.setdefault(path, found)
        self.jail.delete(path)
        self.forget(path)
        self.files.discard(path)
        self._spellings = None
        self.revision += 1


def _digest(data: bytes) -> bytes:
    return sha256(data).digest()
