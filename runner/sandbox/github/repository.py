"""The bare repository behind the embedded GitHub, driven by real git child processes."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ZERO = "0" * 40
CONFIG = {
    "uploadpack.allowAnySHA1InWant": "true",
    "uploadpack.allowFilter": "true",
    "receive.hideRefs": "refs/pull",
    "receive.autogc": "false",
    "receive.advertisePushOptions": "true",
    "gc.auto": "0",
}
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def git_environment(home: Path) -> dict[str, str]:
    """The whole environment of a git child: nothing of the user's configuration reaches it."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }


class GitError(Exception):
    """A git child failed; the message is its stderr."""


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Name, address and moment (ISO 8601) of an author or committer."""

    name: str
    email: str
    date: str


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit as git stores it."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Signature
    committer: Signature
    message: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of a tree. ``size`` is ``None`` for anything but a blob."""

    mode: str
    type: str
    sha: str
    size: int | None
    path: str


@dataclass(frozen=True, kw_only=True)
class DiffFile:
    """One changed file of a comparison; ``patch`` starts at the first hunk and is empty for binary files."""

    path: str
    previous: str | None
    status: str
    sha: str
    additions: int
    deletions: int
    patch: str

    def lines(self) -> Iterator[tuple[int, str, int, str]]:
        """The patch's lines as (position, side, line number, text of the hunk so far); context is on both sides."""
        hunk: list[str] = []
        old = new = 0
        for position, text in enumerate(self.patch.split("\n")):
            if match := _HUNK.match(text):
                hunk, old, new = [text], int(match[1]), int(match[3])
                continue
            hunk.append(text)
            if not text.startswith("+"):
                yield position, "LEFT", old, "\n".join(hunk)
                old += 1
            if not text.startswith("-"):
                yield position, "RIGHT", new, "\n".join(hunk)
                new += 1


class BareRepository:
    """A bare repository with the few operations GitHub performs on it. Objects are immutable and cached."""

    def __init__(self, path: Path, *, default_branch: str) -> None:
        self.path = path
        self.environment = git_environment(path)
        self._commits: dict[str, Commit] = {}
        self._comparisons: dict[tuple[str, str], Comparison] = {}
        self._merges: dict[tuple[str, str], str | None] = {}
        if not (path / "HEAD").exists():
            path.mkdir(parents=True, exist_ok=True)
            self.git("init", "--quiet", "--bare", f"--initial-branch={default_branch}", str(path))
        for name, value in CONFIG.items():
            self.git("config", name, value)

    def try_git(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git in the repository, whatever its exit code; GitError for what no argument can hold."""
        if any("\0" in argument for argument in arguments):
            raise GitError("a name contains a NUL character")
        return subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env={**self.environment, **(environment or {})},
            input=stdin,
            capture_output=True,
            check=False,
        )

    def git_bytes(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> bytes:
        """Run git and return its output; GitError when it fails."""
        done = self.try_git(*arguments, stdin=stdin, environment=environment)
        if done.returncode:
            raise GitError(done.stderr.decode(errors="replace").strip())
        return done.stdout

    def git(self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> str:
        """Run git and return its output as text, without the last newline."""
        return (
            self.git_bytes(*arguments, stdin=stdin, environment=environment)
            .decode(errors="replace")
            .rstrip("\n")
        )

    # Refs

    def refs(self, prefix: str = "refs/") -> dict[str, str]:
        """Every ref below a prefix, by its full name."""
        listing = self.git("for-each-ref", "--format=%(refname) %(objectname)", prefix)
        return dict(line.split(" ", 1) for line in listing.splitlines())

    def ref(self, name: str) -> str | None:
        """What a full ref name points to."""
        done = self.try_git("rev-parse", "--verify", "--quiet", f"{name}^{{object}}")
        return done.stdout.decode().strip() if done.returncode == 0 and name.startswith("refs/") else None

    def branch(self, name: str) -> str | None:
        """The commit a branch points to."""
        return self.ref(f"refs/heads/{name}")

    def set_ref(self, name: str, new: str | None, *, old: str | None = None) -> None:
        """Move, create or delete a ref; GitError when it is not at ``old``."""
        if new is None:
            self.git("update-ref", "-d", name, *([old] if old else []))
        else:
            self.git("update-ref", name, new, old or ZERO)

    def is_ref_name(self, name: str) -> bool:
        """Whether git accepts this full ref name."""
        return self.try_git("check-ref-format", name).returncode == 0

    def resolve(self, name: str) -> str | None:
        """The commit that a branch, tag, ref or (abbreviated) commit id names."""
        if not name or name.startswith("-") or ":" in name or "@{" in name or " " in name:
            return None
        for candidate in (f"refs/heads/{name}", f"refs/tags/{name}", name):
            done = self.try_git("rev-parse", "--verify", "--quiet", f"{candidate}^{{commit}}")
            if done.returncode == 0:
                return done.stdout.decode().strip()
        return None

    # Objects

    def type_of(self, sha: str) -> str | None:
        """The type of an object; ``None`` when it is absent or the name is not an object id."""
        if not re.fullmatch(r"[0-9a-f]{40}", sha):
            return None
        done = self.try_git("cat-file", "-t", sha)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def commit(self, sha: str) -> Commit:
        """One commit."""
        if sha not in self._commits:
            self.log("-1", sha)
        return self._commits[sha]

    def log(self, *arguments: str) -> list[Commit]:
        """Commits as ``git log`` selects them, newest first."""
        layout = "%H%x1f%T%x1f%P%x1f%an%x1f%ae%x1f%ad%x1f%cn%x1f%ce%x1f%cd%x1f%B"
        output = self.git(
            "log", "-z", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", f"--format={layout}", *arguments
        )
        commits = [_commit(record) for record in output.split("\0") if record.strip()]
        self._commits.update((commit.sha, commit) for commit in commits)
        return commits

    def entries(self, treeish: str, *, recursive: bool = False, path: str = "") -> list[Entry]:
        """The entries of a tree; those below ``path`` when one is given."""
        options = ["-r", "-t"] if recursive else []
        target = f"{treeish}:{path}" if path else treeish
        output = self.git("ls-tree", "-z", "--long", *options, target)
        return [_entry(record) for record in output.split("\0") if record]

    def entry(self, commit: str, path: str) -> Entry | None:
        """The entry of one path at a commit."""
        output = self.git("--literal-pathspecs", "ls-tree", "-z", "--long", commit, "--", path.rstrip("/"))
        return next((_entry(record) for record in output.split("\0") if record), None)

    def blob(self, sha: str) -> bytes:
        """A blob's content."""
        return self.git_bytes("cat-file", "blob", sha)

    def write_blob(self, content: bytes) -> str:
        """Store a blob."""
        return self.git("hash-object", "-w", "--stdin", stdin=content)

    def write_tree(self, base: str | None, changes: Mapping[str, tuple[str, str] | None]) -> str:
        """Store ``base`` (a tree-ish) with paths set to (mode, object) or removed; GitError for a bad path."""
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self.git("read-tree", *([base] if base else ["--empty"]), environment=index)
            for path, entry in changes.items():
                if entry and entry[0] == "040000":
                    self.git(
                        "rm", "-r", "--cached", "--quiet", "--ignore-unmatch", "--", path, environment=index
                    )
                    self.git("read-tree", f"--prefix={path}/", entry[1], environment=index)
            lines = [_index_line(path, entry) for path, entry in changes.items()]
            self.git(
                "update-index",
                "-z",
                "--index-info",
                stdin="".join(filter(None, lines)).encode(),
                environment=index,
            )
            return self.git("write-tree", environment=index)

    def write_commit(
        self, tree: str, parents: Sequence[str], message: str, *, author: Signature, committer: Signature
    ) -> str:
        """Store a commit."""
        environment = {
            "GIT_AUTHOR_NAME": author.name,
            "GIT_AUTHOR_EMAIL": author.email,
            "GIT_AUTHOR_DATE": author.date,
            "GIT_COMMITTER_NAME": committer.name,
            "GIT_COMMITTER_EMAIL": committer.email,
            "GIT_COMMITTER_DATE": committer.date,
        }
        parent_options = [option for parent in parents for option in ("-p", parent)]
        return self.git("commit-tree", tree, *parent_options, stdin=message.encode(), environment=environment)

    # History

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether ``newer`` contains ``older``."""
        return self.try_git("merge-base", "--is-ancestor", older, newer).returncode == 0

    def merge_base(self, left: str, right: str) -> str | None:
        """The best common ancestor, if there is one."""
        done = self.try_git("merge-base", left, right)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def compare(self, base: str, head: str) -> Comparison:
        """What ``head`` has that ``base`` has not (three dots)."""
        key = (base, head)
        if key not in self._comparisons:
            self._comparisons[key] = Comparison(self, base, head)
        return self._comparisons[key]

    def merged_tree(self, ours: str, theirs: str) -> str | None:
        """The tree of a merge of two commits; ``None`` when they conflict."""
        key = (ours, theirs)
        if key not in self._merges:
            done = self.try_git("merge-tree", "--write-tree", "--no-messages", ours, theirs)
            if done.returncode not in (0, 1) and b"unrelated histories" not in done.stderr:
                raise GitError(done.stderr.decode(errors="replace").strip())
            self._merges[key] = done.stdout.decode().split()[0] if done.returncode == 0 else None
        return self._merges[key]

    def replay(self, commits: Sequence[Commit], onto: str, *, committer: Signature) -> str | None:
        """Rebase commits (oldest first, one parent each) onto a commit; ``None`` on a conflict."""
        tip = onto
        for commit in commits:
            # A commit with our tree on the picked commit's parent makes that parent the merge base.
            stand_in = self.write_commit(
                f"{tip}^{{tree}}", commit.parents, "base", author=committer, committer=committer
            )
            tree = self.merged_tree(stand_in, commit.sha)
            if tree is None:
                return None
            tip = self.write_commit(tree, [tip], commit.message, author=commit.author, committer=committer)
        return tip

    def relocate(self, path: str, line: int, *, old: str, new: str) -> int | None:
        """Where a line of ``old`` is in ``new``; ``None`` when it was changed or is gone."""
        if old == new:
            return line
        moved = line
        for text in self.git("--literal-pathspecs", "diff", "-U0", old, new, "--", path).splitlines():
            if text.startswith("deleted file"):
                return None
            if match := _HUNK.match(text):
                start, removed = int(match[1]), int(match[2] or "1")
                added = int(match[4] or "1")
                if removed and start <= line < start + removed:
                    return None
                if (start + removed - 1 if removed else start) < line:
                    moved += added - removed
        return moved


class Comparison:
    """The difference between two commits; each part is computed once, when it is first asked for."""

    def __init__(self, repository: BareRepository, base: str, head: str) -> None:
        self._repository = repository
        self.base = base
        self.head = head

    @cached_property
    def merge_base(self) -> str | None:
        """The commit the difference starts from."""
        return self._repository.merge_base(self.base, self.head)

    @cached_property
    def ahead(self) -> list[Commit]:
        """Commits only ``head`` has, oldest first."""
        return self._repository.log("--reverse", "--topo-order", f"{self.base}..{self.head}")

    @cached_property
    def behind(self) -> int:
        """How many commits only ``base`` has."""
        return int(self._repository.git("rev-list", "--count", f"{self.head}..{self.base}"))

    @cached_property
    def files(self) -> list[DiffFile]:
        """The changed files with their patches."""
        return list(_files(self._repository, self.merge_base or self.base, self.head))


def diff_of(repository: BareRepository, commit: Commit) -> list[DiffFile]:
    """What one commit changed against its first parent."""
    empty_tree = repository.git("hash-object", "-t", "tree", "-w", "--stdin")
    return list(_files(repository, commit.parents[0] if commit.parents else empty_tree, commit.sha))


_STATUS = {"A": "added", "D": "removed", "M": "modified", "R": "renamed", "C": "copied", "T": "changed"}


def _files(repository: BareRepository, old: str, new: str) -> Iterator[DiffFile]:
    fields = iter(repository.git("diff", "--raw", "-z", "-M", "--no-abbrev", old, new).split("\0"))
    patches = _patches(repository.git("diff", "-p", "-M", "--full-index", old, new))
    for header in fields:
        if not header.startswith(":"):
            continue
        _, _, _, sha, status = header.split(" ")
        first = next(fields)
        path = next(fields) if status[0] in "RC" else first
        patch = next(patches)
        body = [line for line in patch.split("\n") if not line.startswith("\\")]
        yield DiffFile(
            path=path,
            previous=first if path != first else None,
            status=_STATUS[status[0]],
            sha=sha,
            additions=sum(line.startswith("+") for line in body),
            deletions=sum(line.startswith("-") for line in body),
            patch=patch,
        )


def _patches(diff: str) -> Iterator[str]:
    for part in re.split(r"^diff --git .*\n", diff, flags=re.MULTILINE)[1:]:
        start = re.search(r"^@@ ", part, flags=re.MULTILINE)
        yield part[start.start() :].rstrip("\n") if start else ""


def _commit(record: str) -> Commit:
    sha, tree, parents, *people, message = record.lstrip("\n").split("\x1f", 9)
    return Commit(
        sha=sha,
        tree=tree,
        parents=tuple(parents.split()),
        author=Signature(name=people[0], email=people[1], date=people[2]),
        committer=Signature(name=people[3], email=people[4], date=people[5]),
        message=message.rstrip("\n"),
    )


def _entry(record: str) -> Entry:
    meta, path = record.split("\t", 1)
    mode, kind, sha, size = meta.split()
    return Entry(mode=mode, type=kind, sha=sha, size=None if size == "-" else int(size), path=path)


def _index_line(path: str, entry: tuple[str, str] | None) -> str | None:
    if entry is None:
        return f"0 {ZERO}\t{path}\0"
    mode, sha = entry
    return None if mode == "040000" else f"{mode} {sha}\t{path}\0"
