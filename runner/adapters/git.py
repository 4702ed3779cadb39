"""Real git for the fetch step: exact commits come, one is checked out, and files are read at a commit.

Nothing of the repository runs: see ``git_child``.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.adapters.git_child import Git, Remote, full_sha, object_format
from runner.adapters.git_remote import PAUSES, fetch
from runner.core.work import Predecessor
from runner.errors import ConfigError, NotFound, RunnerError

_MERGED = re.compile(r"^Merge pull request .*\bai/([A-Z][A-Z0-9_]{0,49}-[1-9][0-9]{0,9})$")


@dataclass(frozen=True, kw_only=True)
class TreeEntry:
    """A file of a tree: git's mode (``100644``, ``100755``, ``120000``, ``160000``), its blob, and bytes.

    ``size`` is ``None`` for a submodule's commit.
    """

    mode: str
    sha: str
    size: int | None


def fetch_commits(
    url: str,
    token: str | None,
    shas: Sequence[str],
    into: Path,
    *,
    allow_file: bool = False,
    pauses: Sequence[float] = PAUSES,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Create a repository at ``into`` that holds exactly these commits with their history.

    ``into`` must be absent or empty: a repository found there could be configured to run something.
    Nothing is checked out, no remote is configured, and the credential is gone when this returns.
    """
    wanted = tuple(dict.fromkeys(full_sha(sha) for sha in shas))
    if not wanted:
        raise ConfigError("There is no commit to fetch.")
    if into.exists() and any(into.iterdir()):
        raise ConfigError(f"`{into}` is not empty.", remedy="Give the fetch a folder of its own.")
    into.mkdir(parents=True, exist_ok=True)
    git = Git(git_dir=into.resolve() / ".git")
    git.init(object_format=object_format(wanted[0]), bare=False)
    remote = Remote(url=url, token=token, allow_file=allow_file)
    fetch(git, remote, wanted, pauses=pauses, sleep=sleep)


def checkout(repo: Path, sha: str) -> None:
    """Put the files of a commit into the work tree of ``repo``, byte for byte as they are committed.

    No hook, filter or submodule takes part; symbolic links stay links, whatever they point to.
    """
    git = _open(repo)
    Git(git_dir=git.git_dir, work_tree=git.git_dir.parent).run(
        "checkout", "--quiet", "--force", "--detach", "--no-recurse-submodules", full_sha(sha)
    )


def export(repo: Path, sha: str, into: Path) -> None:
    """Write the files of a commit into another folder, over what is there; nothing else in it is touched."""
    git = _open(repo)
    with tempfile.TemporaryDirectory(prefix="ai-runner-index-") as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        target = Git(git_dir=git.git_dir, work_tree=into.resolve())
        target.run("read-tree", full_sha(sha), env=index)
        target.run("checkout-index", "--all", "--force", "--quiet", env=index)


def list_tree(repo: Path, sha: str) -> dict[str, TreeEntry]:
    """Every file of a commit by path, in git's order. A path that is not UTF-8 keeps its bytes as surrogates."""
    listing = _open(repo).run("ls-tree", "-r", "-z", "-l", "--full-tree", full_sha(sha)).output
    return dict(tree_entries(listing))


def tracked_files(repo: Path, sha: str) -> tuple[str, ...]:
    """The paths of a commit's regular files: neither links nor submodules."""
    return tuple(path for path, entry in list_tree(repo, sha).items() if entry.mode.startswith("100"))


def tracked_paths(repo: Path, sha: str) -> tuple[str, ...]:
    """Every path of a commit, links and submodules included: what ``git ls-files`` shows of a clean checkout."""
    return tuple(list_tree(repo, sha))


def show_file(repo: Path, sha: str, path: str) -> bytes | None:
    """A file's bytes at a commit, ``None`` when it is not there; of a link: where it points."""
    git = _open(repo)
    listing = git.run("ls-tree", "-z", "-l", "--full-tree", full_sha(sha), "--", path).output
    entry = dict(tree_entries(listing)).get(path)
    if entry is None or entry.size is None:
        return None
    return git.run("cat-file", "blob", entry.sha).output


def earlier_work(repo: Path, sha: str, *, limit: int = 30) -> tuple[Predecessor, ...]:
    """What earlier runs committed or had merged, newest first, among the last ``limit`` commits below ``sha``."""
    format_ = "%x01%s%x02%(trailers:key=Jira-Issue,valueonly,separator=%x20)%x02"
    arguments = ("--first-parent", "-m", "-z", "--name-only", f"--max-count={limit}", f"--format={format_}")
    output = _open(repo).run("log", *arguments, full_sha(sha)).output.decode("utf-8", "surrogateescape")
    found = (_predecessor(entry) for entry in output.split("\x01")[1:])
    return tuple(one for one in found if one is not None)


def _predecessor(entry: str) -> Predecessor | None:
    subject, _, rest = entry.partition("\x02")
    told, _, names = rest.partition("\x02")
    merged = _MERGED.search(subject)
    key = told.strip() or (merged[1] if merged else "")
    files = tuple(name for name in (one.strip("\n") for one in names.split("\0")) if name)
    return Predecessor(key=key, subject=subject.strip(), files=files) if key else None


def read_blob(repo: Path, sha: str, path: str) -> bytes:
    """A file's bytes at a commit; NotFound when it is not there."""
    content = show_file(repo, sha, path)
    if content is None:
        raise NotFound(f"`{path}` does not exist at {sha[:12]}.")
    return content


def _open(repo: Path) -> Git:
    """The repository of a work tree, or a bare one, without searching for it."""
    repo = repo.resolve()
    inside = repo / ".git"
    return Git(git_dir=inside if inside.is_dir() else repo)


def tree_entries(listing: bytes) -> Iterator[tuple[str, TreeEntry]]:
    """The lines of ``ls-tree -z -l``, by path."""
    for line in listing.split(b"\0"):
        if not line:
            continue
        facts, _, name = line.partition(b"\t")
        mode, _, sha, size = facts.decode("ascii").split()
        if size == "BAD":
            raise RunnerError("The repository is damaged.", detail=f"the blob {sha} is missing")
        yield path_name(name), TreeEntry(mode=mode, sha=sha, size=None if size == "-" else int(size))


def path_name(name: bytes) -> str:
    """A path as text; bytes that are not UTF-8 survive as surrogates."""
    return name.decode("utf-8", "surrogateescape")
