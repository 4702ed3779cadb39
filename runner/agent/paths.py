"""Files of the checkout, and nothing else. No symbolic link is followed, at no component of a path.

Every access walks from the root folder by folder with ``O_NOFOLLOW``, so a link that a command of the
repository plants between a check and a use is met by a refusal, not by the file it points to.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runner.core.paths import check_path, check_readable_path
from runner.core.work import Mode
from runner.errors import Refused

Kind = Literal["absent", "file", "folder", "link", "other"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a named pipe would wait for ever for its writer.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A regular file as it is on disk."""

    data: bytes
    mode: Mode = "100644"


def jailed(root: Path, path: str, *, for_reading: bool = False) -> Path:
    """Return the file system path of a path in the checkout, or raise ``Refused`` with the rule it breaks.

    Components that exist are folders, none is a symbolic link; the last may be anything or absent.
    """
    _judge(path, for_reading=for_reading)
    place = root
    names = path.split("/")
    for name in names[:-1]:
        place /= name
        kind = _kind(place.lstat)
        if kind not in {"folder", "absent"}:
            raise _not_a_folder(path, name, kind)
    place /= names[-1]
    if _kind(place.lstat) == "link":
        raise Refused(f"`{path}` is a symbolic link; links are not followed.")
    return place


class Jail:
    """The files under one root. Every method takes paths relative to it and raises ``Refused`` for others."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve(strict=True)

    def kind(self, path: str) -> Kind:
        """What stands at a path, itself not followed."""
        _judge(path, for_reading=True)
        try:
            with self._folder_of(path) as (folder, name):
                return _kind(lambda: os.stat(name, dir_fd=folder, follow_symlinks=False))
        except FileNotFoundError:
            return "absent"

    def link_target(self, path: str) -> str:
        """Where a symbolic link points, as text."""
        with self._folder_of(path) as (folder, name):
            return os.readlink(name, dir_fd=folder)

    def read(self, path: str, *, limit: int) -> FoundFile | None:
        """Read a regular file; ``None`` when it is absent. Refused when it is larger than ``limit`` bytes."""
        _judge(path, for_reading=True)
        try:
            with self._folder_of(path) as (folder, name):
                return _read(folder, name, path, limit=limit)
        except FileNotFoundError:
            return None

    def write(self, path: str, data: bytes, mode: Mode) -> None:
        """Write a whole file: complete under another name first, then renamed over the old one."""
        _judge(path, for_reading=False)
        with self._folder_of(path, create=True) as (folder, name):
            if _kind(lambda: os.stat(name, dir_fd=folder, follow_symlinks=False)) not in {"absent", "file"}:
                raise Refused(f"`{path}` is not a regular file.")
            passing = f".{secrets.token_hex(8)}.new"
            handle = os.open(passing, _CREATE, 0o600, dir_fd=folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    os.fchmod(file.fileno(), 0o755 if mode == "100755" else 0o644)
                os.replace(passing, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:  # whatever ends the write, no half-written file stays
                with suppress(OSError):
                    os.unlink(passing, dir_fd=folder)
                raise

    def delete(self, path: str) -> None:
        """Delete a regular file, and the folders that this leaves empty, as git would."""
        _judge(path, for_reading=False)
        with self._folder_of(path) as (folder, name):
            if _kind(lambda: os.stat(name, dir_fd=folder, follow_symlinks=False)) != "file":
                raise Refused(f"`{path}` is not a regular file.")
            os.unlink(name, dir_fd=folder)
        while "/" in path:
            path = path.rpartition("/")[0]
            with self._folder_of(path) as (folder, name):
                try:
                    os.rmdir(name, dir_fd=folder)
                except OSError:
                    return  # not empty, or in use: it stays

    def read_many(self, paths: Iterable[str], *, limit: int) -> Iterator[tuple[str, bytes | None]]:
        """Read many files in order; ``None`` for what is no readable regular file of at most ``limit`` bytes.

        Paths that share a folder should follow each other: the folder is then walked to once.
        """
        opened: tuple[str, int] | None = None
        try:
            for path in paths:
                where, _, name = path.rpartition("/")
                if opened is None or opened[0] != where:
                    if opened:
                        os.close(opened[1])
                    opened = None
                    found = self._open_folder(where)
                    opened = (where, found) if found is not None else None
                data = None
                if opened:
                    with suppress(OSError, Refused):
                        data = _read(opened[1], name, path, limit=limit).data
                yield path, data
        finally:
            if opened:
                os.close(opened[1])

    def _open_folder(self, path: str) -> int | None:
        try:
            with self._folder_of(f"{path}/x" if path else "x") as (folder, _):
                return os.dup(folder)
        except (OSError, Refused):
            return None

    @contextmanager
    def _folder_of(self, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Yield an open handle of the folder that holds a path, and the last name."""
        *folders, last = path.split("/")
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in folders:
                inner = _enter(handle, name, path, create=create)
                os.close(handle)
                handle = inner
            yield handle, last
        finally:
            os.close(handle)


def _enter(folder: int, name: str, path: str, *, create: bool) -> int:
    if create:
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=folder)
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.EMLINK}:
            kind = _kind(lambda: os.stat(name, dir_fd=folder, follow_symlinks=False))
            raise _not_a_folder(path, name, kind) from error
        raise


def _read(folder: int, name: str, path: str, *, limit: int) -> FoundFile:
    try:
        handle = os.open(name, _READ, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK}:
            raise Refused(f"`{path}` is a symbolic link; links are not followed.") from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.ENXIO}:
            raise Refused(f"`{path}` cannot be read: {error.strerror}.") from error
        raise
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"`{path}` is {'a folder' if stat.S_ISDIR(status.st_mode) else 'no regular file'}.")
        if status.st_size > limit:
            raise Refused(
                f"`{path}` has {status.st_size:,} bytes, more than the {limit:,} that are read here."
            )
        return FoundFile(
            data=_all_of(handle, status.st_size), mode="100755" if status.st_mode & 0o100 else "100644"
        )
    finally:
        os.close(handle)


def _all_of(handle: int, size: int) -> bytes:
    """Read a file of a known size; what was appended since is not read."""
    pieces: list[bytes] = []
    left = size
    while left and (data := os.read(handle, left)):
        pieces.append(data)
        left -= len(data)
    return b"".join(pieces)


def _judge(path: str, *, for_reading: bool) -> None:
    reason = check_readable_path(path) if for_reading else check_path(path)
    if reason:
        raise Refused(f"The path {path!r} is refused: {reason}.")


def _not_a_folder(path: str, name: str, kind: Kind) -> Refused:
    what = "a symbolic link; links are not followed" if kind == "link" else "not a folder"
    return Refused(f"`{path}` is refused: {name!r} is {what}.")


def _kind(look: Callable[[], os.stat_result]) -> Kind:
    try:
        mode = look().st_mode
    except FileNotFoundError:
        return "absent"
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISREG(mode):
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "other"
