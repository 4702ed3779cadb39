"""Builds one commit without a work tree and moves a branch to it with compare-and-swap."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from runner.adapters.git import path_name, tree_entries
from runner.adapters.git_child import Git, Remote, full_sha, object_format
from runner.adapters.git_failures import moved, push_failure
from runner.adapters.git_remote import PAUSES, fetch, remote_head
from runner.core.changes import Base
from runner.core.work import FileChange
from runner.errors import Ambiguous, ConfigError, Conflict, NotFound, Refused, RunnerError, Unavailable

PUSH_SECONDS = 300.0


class GitPublisher:
    """Builds one commit in a fresh bare repository and pushes it with compare-and-swap.

    Nothing of the repository is checked out or executed. The fresh repositories live under ``work_dir`` as
    long as the publisher is open; use it as a context manager.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        work_dir: Path,
        *,
        author_name: str = "ai-runner[bot]",
        author_email: str = "ai-runner[bot]@users.noreply.github.com",
        allow_file: bool = False,
        pauses: Sequence[float] = PAUSES,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._remote = Remote(url=url, token=token, allow_file=allow_file)
        self._work_dir = work_dir
        self._author = (author_name, author_email)
        self._pauses = pauses
        self._sleep = sleep
        self._now = now
        self._folders = contextlib.ExitStack()
        self._prepared: dict[str, Git] = {}

    def __enter__(self) -> GitPublisher:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything this publisher put on disk."""
        self._prepared.clear()
        self._folders.close()

    def base(self, start: str, paths: Sequence[str]) -> Base:
        """What a commit holds: every path with its mode, and the contents of those of ``paths`` that exist."""
        git = self._at(start)
        entries = dict(tree_entries(git.run("ls-tree", "-r", "-z", "-l", "--full-tree", start).output))
        contents = {
            path: git.run("cat-file", "blob", entries[path].sha).output
            for path in paths
            if path in entries and entries[path].mode.startswith("100")
        }
        return Base(modes={path: entry.mode for path, entry in entries.items()}, contents=contents)

    def publish(
        self,
        *,
        branch: str,
        start: str,
        expected: str | None,
        changes: Sequence[FileChange],
        message: str,
        when: datetime | None = None,
    ) -> str:
        """Commit ``changes`` on top of ``start`` and move ``branch`` from ``expected`` (``None``: absent) to it.

        The same input with the same ``when`` (with a time zone) gives the same commit, so a repeated call finds its work done.
        MovedUnderUs when the branch is elsewhere, Refused when the server's rules decline the push, Conflict
        when there is nothing to commit or commits on the branch would be lost, Ambiguous when nobody can tell.
        """
        git = self._at(full_sha(start))
        ref = _branch_ref(git, branch)
        self._check_descent(git, start=start, expected=expected)
        commit = self._commit(git, start=start, changes=changes, message=message, when=when or self._now())
        self._push(git, ref=ref, expected=expected, commit=commit)
        return commit

    def _at(self, start: str) -> Git:
        """The fresh bare repository that holds ``start`` without history."""
        if start not in self._prepared:
            self._work_dir.mkdir(parents=True, exist_ok=True)
            folder = self._folders.enter_context(
                tempfile.TemporaryDirectory(prefix="publish-", dir=self._work_dir)
            )
            git = Git(git_dir=Path(folder).resolve() / "repository.git")
            git.init(object_format=object_format(full_sha(start)), bare=True)
            fetch(git, self._remote, (start,), depth=1, pauses=self._pauses, sleep=self._sleep)
            self._prepared[start] = git
        return self._prepared[start]

    def _check_descent(self, git: Git, *, start: str, expected: str | None) -> None:
        """The pushed commit must contain what the branch points to: a lease alone permits dropping commits."""
        if expected is None or expected == start:
            return
        whole = ("--unshallow",) if (git.git_dir / "shallow").exists() else ()
        fetch(git, self._remote, (start,), options=whole, pauses=self._pauses, sleep=self._sleep)
        if git.try_run("merge-base", "--is-ancestor", full_sha(expected), start).code != 0:
            raise Conflict(
                f"The new commit would not contain {expected[:12]}, which is on the branch.",
                remedy="Start from the head of the branch: commits on it are never overwritten.",
            )

    def _commit(
        self, git: Git, *, start: str, changes: Sequence[FileChange], message: str, when: datetime
    ) -> str:
        tree = self._write_tree(git, start=start, changes=changes)
        name, email = self._author
        date = f"{int(when.timestamp())} +0000"
        identity = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", name), ("EMAIL", email), ("DATE", date))
        }
        text = message.rstrip().encode("utf-8", "replace") + b"\n"
        return git.run("commit-tree", tree, "-p", start, stdin=text, env=identity).text

    def _write_tree(self, git: Git, *, start: str, changes: Sequence[FileChange]) -> str:
        """The tree of ``start`` with exactly these changes; Conflict when it would be the same tree."""
        wanted = {change.path: _stored(git, change) for change in changes}
        with tempfile.TemporaryDirectory(dir=git.git_dir.parent) as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            git.run("read-tree", start, env=index)
            lines = b"".join(_index_line(path, file, start) for path, file in wanted.items())
            git.run("update-index", "-z", "--index-info", stdin=lines, env=index)
            tree = git.run("write-tree", env=index).text
        _check_tree(git, start=start, tree=tree, wanted=wanted)
        return tree

    def _push(self, git: Git, *, ref: str, expected: str | None, commit: str) -> None:
        """Move the ref or say why not; what a failed push left behind is read from the server, never assumed."""
        for pause in (*self._pauses, None):
            ended = git.try_run(
                "push",
                "--porcelain",
                "--no-verify",
                "--no-signed",
                f"--force-with-lease={ref}:{expected or ''}",
                self._remote.url,
                f"{commit}:{ref}",
                remote=self._remote,
                seconds=PUSH_SECONDS,
            )
            if ended.code == 0:
                return
            failure = push_failure(_short(ref), ended)
            if isinstance(failure, ConfigError | NotFound):
                raise failure
            there = self._ask_head(git, ref, failure)
            if there == commit:
                return
            if there != expected:
                raise moved(_short(ref), expected=expected, there=there)
            if pause is None or not isinstance(failure, Unavailable):
                raise failure
            self._sleep(pause)

    def _ask_head(self, git: Git, ref: str, failure: RunnerError) -> str | None:
        """Where the ref is after a push that failed; Ambiguous when that is unclear and nobody says."""
        try:
            return remote_head(git, self._remote, ref, pauses=self._pauses, sleep=self._sleep)
        except RunnerError as exc:
            if not isinstance(failure, Unavailable):
                raise failure from exc
            raise Ambiguous(
                f"A push to `{_short(ref)}` was sent and its result is unknown.",
                remedy="The next run reads the branch and goes on from what it finds.",
                detail=f"{failure.detail}\n{exc.detail}",
            ) from exc


def _stored(git: Git, change: FileChange) -> tuple[str, str] | None:
    """Mode and blob of a new content, which travels by stdin, never through a file or filter."""
    if change.content is None:
        return None
    blob = git.run("hash-object", "-w", "--no-filters", "--stdin", stdin=change.content).text
    return change.mode, blob


def _index_line(path: str, file: tuple[str, str] | None, start: str) -> bytes:
    """One line of ``update-index --index-info``."""
    mode, blob = file or ("0", "0" * len(start))
    return f"{mode} {blob}\t".encode() + path.encode("utf-8", "surrogateescape") + b"\0"


def _check_tree(git: Git, *, start: str, tree: str, wanted: Mapping[str, tuple[str, str] | None]) -> None:
    """The tree differs from its start in exactly the wanted way: git drops bad paths and replaced folders silently."""
    listing = git.run("ls-tree", "-r", "-z", "-l", "--full-tree", tree).output
    files = {path: (entry.mode, entry.sha) for path, entry in tree_entries(listing)}
    if refused := sorted(path for path, file in wanted.items() if files.get(path) != file):
        raise Refused(f"git does not accept the path `{refused[0]!r}`.", remedy="Choose another name.")
    changed = git.run("diff-tree", "-r", "-z", "--no-renames", "--name-only", start, tree).output
    touched = {path_name(name) for name in changed.split(b"\0") if name}
    if not touched:
        raise Conflict("The changes leave every file as it is.", remedy="There is nothing to commit.")
    if lost := sorted(touched - wanted.keys()):
        raise Conflict(
            f"A file and a folder of the same name collide; `{lost[0]}` would be lost.",
            remedy="Delete what is replaced explicitly, or choose another path.",
        )


def _branch_ref(git: Git, branch: str) -> str:
    ref = f"refs/heads/{branch}"
    if branch.startswith("-") or git.try_run("check-ref-format", ref).code != 0:
        raise ConfigError(f"`{branch}` is not a name for a branch.")
    return ref


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/")
