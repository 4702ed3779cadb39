"""Real git as a child process that trusts nothing it finds.

Every child gets an environment of our own making: no system, user or inherited configuration, no prompts, no
hooks, no file system monitor, no protocol beyond the one of the address, an explicit ``GIT_DIR`` (so that a
bare repository hidden in the files is never discovered). A credential exists only in the environment of the
one child that talks to its server: never in an argument, a file or a message.

Two users: the fetch step (``fetch_commits``, then ``checkout`` and the readers) and ``GitPublisher``, which
builds one commit without a work tree and moves a branch to it with compare-and-swap.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from runner.adapters.git_failures import Ended, local_failure, moved, push_failure, remote_failure
from runner.core.changes import Base
from runner.core.work import FileChange, Predecessor
from runner.errors import (
    Ambiguous,
    ConfigError,
    Conflict,
    NotFound,
    Refused,
    RunnerError,
    Unavailable,
)

FETCH_SECONDS = 900.0
PUSH_SECONDS = 300.0
LOCAL_SECONDS = 120.0
PAUSES = (2.0, 8.0)

# What a child may know of its surroundings: where programs are, and how to reach the network.
_INHERITED = (
    "PATH",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
)
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.symlinks=true",
    "core.autocrlf=false",
    "core.logAllRefUpdates=false",
    "core.quotePath=false",
    "credential.helper=",
    "diff.external=",
    "gc.auto=0",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "maintenance.auto=false",
    "protocol.allow=never",
    "push.recurseSubmodules=no",
    "safe.bareRepository=explicit",
    "submodule.recurse=false",
)
# Files appear byte for byte as they are committed: no line-ending, encoding or filter (LFS) conversion.
_ATTRIBUTES = "* -text !eol !crlf -ident !filter !working-tree-encoding\n"
# The only hosts to which a credential may travel unencrypted.
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_MERGED = re.compile(r"^Merge pull request .*\bai/([A-Z][A-Z0-9_]{0,49}-[1-9][0-9]{0,9})$")


@dataclass(frozen=True, kw_only=True)
class TreeEntry:
    """A file of a tree: git's mode (``100644``, ``100755``, ``120000``, ``160000``), its blob, and bytes.

    ``size`` is ``None`` for a submodule's commit.
    """

    mode: str
    sha: str
    size: int | None


@dataclass(frozen=True, kw_only=True)
class _Remote:
    """An address with its credential; ``allow_file`` lets tests use a repository on disk."""

    url: str
    token: str | None = field(default=None, repr=False)
    allow_file: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        known = {"https"} | ({"file"} if self.allow_file else set())
        if parts.hostname in _LOOPBACK:
            known.add("http")
        if parts.scheme not in known or parts.username or parts.password:
            raise ConfigError(
                f"`{parts.scheme}://{parts.hostname or ''}` is not an address that git may use here.",
                remedy="Use an https address without user name or password.",
            )

    @property
    def protocol(self) -> str:
        """The only protocol a child may speak."""
        return urlsplit(self.url).scheme

    @property
    def header(self) -> str:
        """The credential as git sends it."""
        pair = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
        return f"Authorization: Basic {pair}"

    def environment(self) -> dict[str, str]:
        """What the child that talks to the server needs beyond the common environment."""
        env = {"GIT_ALLOW_PROTOCOL": self.protocol}
        if self.token and self.protocol != "file":
            env |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{self.url}.extraHeader",
                "GIT_CONFIG_VALUE_0": self.header,
            }
        return env

    def redact(self, text: str) -> str:
        """The text without the credential in any form we sent it."""
        if self.token:
            for secret in (self.header.rpartition(" ")[2], self.token):
                text = text.replace(secret, "***")
        return text


@dataclass(frozen=True, kw_only=True)
class _Git:
    """Starts git on one repository, named explicitly."""

    git_dir: Path
    work_tree: Path | None = None

    def try_run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        remote: _Remote | None = None,
        env: Mapping[str, str] | None = None,
        seconds: float = LOCAL_SECONDS,
    ) -> Ended:
        """Run git and say how it ended."""
        timed_out = False
        with self._start(arguments, self._environment(remote) | dict(env or {})) as child:
            try:
                output, error = child.communicate(stdin, timeout=seconds)
            except subprocess.TimeoutExpired:
                timed_out = True
                _kill(child)
                output, error = child.communicate()
            finally:
                # An interrupt must not wait for a server that is slow.
                if child.poll() is None:
                    _kill(child)
        message = error.decode("utf-8", "replace")
        return Ended(
            code=child.returncode,
            output=output,
            error=remote.redact(message) if remote else message,
            timed_out=timed_out,
        )

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run a local command that has no reason to fail."""
        ended = self.try_run(*arguments, stdin=stdin, env=env)
        if ended.code != 0:
            raise local_failure(arguments[0], ended)
        return ended

    def init(self, *, object_format: str, bare: bool) -> None:
        """Create the repository, without any template."""
        kind = ["--bare"] if bare else []
        target = self.git_dir if bare else self.git_dir.parent
        self.run("init", "--quiet", "--template=", f"--object-format={object_format}", *kind, str(target))
        attributes = self.git_dir / "info" / "attributes"
        attributes.parent.mkdir(exist_ok=True)
        attributes.write_text(_ATTRIBUTES, encoding="utf-8")

    def _start(self, arguments: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        options = [part for setting in _SETTINGS for part in ("-c", setting)]
        try:
            return subprocess.Popen(
                ["git", "--no-pager", "--literal-pathspecs", *options, *arguments],
                cwd=self.git_dir.parent,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as exc:
            raise ConfigError("git is not installed here.", remedy="Install git 2.30 or newer.") from exc

    def _environment(self, remote: _Remote | None) -> dict[str, str]:
        env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        if "REQUESTS_CA_BUNDLE" in os.environ:
            # One setting serves both ways to the server.
            env.setdefault("GIT_SSL_CAINFO", os.environ["REQUESTS_CA_BUNDLE"])
        env |= {
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": str(self.git_dir),
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            # Unlike `protocol.allow`, this cannot be widened by a repository's own configuration.
            "GIT_ALLOW_PROTOCOL": "",
        }
        if self.work_tree is not None:
            env["GIT_WORK_TREE"] = str(self.work_tree)
        return env | (remote.environment() if remote else {})


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End git and its children: the helper that speaks HTTP is one of them."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


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
    wanted = tuple(dict.fromkeys(_full_sha(sha) for sha in shas))
    if not wanted:
        raise ConfigError("There is no commit to fetch.")
    if into.exists() and any(into.iterdir()):
        raise ConfigError(f"`{into}` is not empty.", remedy="Give the fetch a folder of its own.")
    into.mkdir(parents=True, exist_ok=True)
    git = _Git(git_dir=into.resolve() / ".git")
    git.init(object_format=_object_format(wanted[0]), bare=False)
    remote = _Remote(url=url, token=token, allow_file=allow_file)
    _fetch(git, remote, wanted, pauses=pauses, sleep=sleep)


def checkout(repo: Path, sha: str) -> None:
    """Put the files of a commit into the work tree of ``repo``, byte for byte as they are committed.

    No hook, filter or submodule takes part; symbolic links stay links, whatever they point to.
    """
    git = _open(repo)
    _Git(git_dir=git.git_dir, work_tree=git.git_dir.parent).run(
        "checkout", "--quiet", "--force", "--detach", "--no-recurse-submodules", _full_sha(sha)
    )


def export(repo: Path, sha: str, into: Path) -> None:
    """Write the files of a commit into another folder, over what is there; nothing else in it is touched."""
    git = _open(repo)
    with tempfile.TemporaryDirectory(prefix="ai-runner-index-") as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        target = _Git(git_dir=git.git_dir, work_tree=into.resolve())
        target.run("read-tree", _full_sha(sha), env=index)
        target.run("checkout-index", "--all", "--force", "--quiet", env=index)


def list_tree(repo: Path, sha: str) -> dict[str, TreeEntry]:
    """Every file of a commit by path, in git's order. A path that is not UTF-8 keeps its bytes as surrogates."""
    listing = _open(repo).run("ls-tree", "-r", "-z", "-l", "--full-tree", _full_sha(sha)).output
    return dict(_tree_entries(listing))


def tracked_files(repo: Path, sha: str) -> tuple[str, ...]:
    """The paths of a commit's regular files: neither links nor submodules."""
    return tuple(path for path, entry in list_tree(repo, sha).items() if entry.mode.startswith("100"))


def tracked_paths(repo: Path, sha: str) -> tuple[str, ...]:
    """Every path of a commit, links and submodules included: what ``git ls-files`` shows of a clean checkout."""
    return tuple(list_tree(repo, sha))


def show_file(repo: Path, sha: str, path: str) -> bytes | None:
    """A file's bytes at a commit, ``None`` when it is not there; of a link: where it points."""
    git = _open(repo)
    listing = git.run("ls-tree", "-z", "-l", "--full-tree", _full_sha(sha), "--", path).output
    entry = dict(_tree_entries(listing)).get(path)
    if entry is None or entry.size is None:
        return None
    return git.run("cat-file", "blob", entry.sha).output


def earlier_work(repo: Path, sha: str, *, limit: int = 30) -> tuple[Predecessor, ...]:
    """What earlier runs committed or had merged, newest first, among the last ``limit`` commits below ``sha``."""
    format_ = "%x01%s%x02%(trailers:key=Jira-Issue,valueonly,separator=%x20)%x02"
    arguments = ("--first-parent", "-m", "-z", "--name-only", f"--max-count={limit}", f"--format={format_}")
    output = _open(repo).run("log", *arguments, _full_sha(sha)).output.decode("utf-8", "surrogateescape")
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
        self._remote = _Remote(url=url, token=token, allow_file=allow_file)
        self._work_dir = work_dir
        self._author = (author_name, author_email)
        self._pauses = pauses
        self._sleep = sleep
        self._now = now
        self._folders = contextlib.ExitStack()
        self._prepared: dict[str, _Git] = {}

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
        entries = dict(_tree_entries(git.run("ls-tree", "-r", "-z", "-l", "--full-tree", start).output))
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
        git = self._at(_full_sha(start))
        ref = _branch_ref(git, branch)
        self._check_descent(git, start=start, expected=expected)
        commit = self._commit(git, start=start, changes=changes, message=message, when=when or self._now())
        self._push(git, ref=ref, expected=expected, commit=commit)
        return commit

    def _at(self, start: str) -> _Git:
        """The fresh bare repository that holds ``start`` without history."""
        if start not in self._prepared:
            self._work_dir.mkdir(parents=True, exist_ok=True)
            folder = self._folders.enter_context(
                tempfile.TemporaryDirectory(prefix="publish-", dir=self._work_dir)
            )
            git = _Git(git_dir=Path(folder).resolve() / "repository.git")
            git.init(object_format=_object_format(_full_sha(start)), bare=True)
            _fetch(git, self._remote, (start,), depth=1, pauses=self._pauses, sleep=self._sleep)
            self._prepared[start] = git
        return self._prepared[start]

    def _check_descent(self, git: _Git, *, start: str, expected: str | None) -> None:
        """The pushed commit must contain what the branch points to: a lease alone permits dropping commits."""
        if expected is None or expected == start:
            return
        whole = ("--unshallow",) if (git.git_dir / "shallow").exists() else ()
        _fetch(git, self._remote, (start,), options=whole, pauses=self._pauses, sleep=self._sleep)
        if git.try_run("merge-base", "--is-ancestor", _full_sha(expected), start).code != 0:
            raise Conflict(
                f"The new commit would not contain {expected[:12]}, which is on the branch.",
                remedy="Start from the head of the branch: commits on it are never overwritten.",
            )

    def _commit(
        self, git: _Git, *, start: str, changes: Sequence[FileChange], message: str, when: datetime
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

    def _write_tree(self, git: _Git, *, start: str, changes: Sequence[FileChange]) -> str:
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

    def _push(self, git: _Git, *, ref: str, expected: str | None, commit: str) -> None:
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

    def _ask_head(self, git: _Git, ref: str, failure: RunnerError) -> str | None:
        """Where the ref is after a push that failed; Ambiguous when that is unclear and nobody says."""
        try:
            return _remote_head(git, self._remote, ref, pauses=self._pauses, sleep=self._sleep)
        except RunnerError as exc:
            if not isinstance(failure, Unavailable):
                raise failure from exc
            raise Ambiguous(
                f"A push to `{_short(ref)}` was sent and its result is unknown.",
                remedy="The next run reads the branch and goes on from what it finds.",
                detail=f"{failure.detail}\n{exc.detail}",
            ) from exc


def _open(repo: Path) -> _Git:
    """The repository of a work tree, or a bare one, without searching for it."""
    repo = repo.resolve()
    inside = repo / ".git"
    return _Git(git_dir=inside if inside.is_dir() else repo)


def _fetch(
    git: _Git,
    remote: _Remote,
    shas: Sequence[str],
    *,
    pauses: Sequence[float],
    sleep: Callable[[float], None],
    depth: int | None = None,
    options: Sequence[str] = (),
) -> None:
    """Bring commits here under refs of our own, so that they are not garbage."""
    limit = [f"--depth={depth}"] if depth else []
    arguments = (
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-recurse-submodules",
        "--no-auto-maintenance",
        *limit,
        *options,
        remote.url,
        *(f"{sha}:refs/ai-runner/{sha}" for sha in shas),
    )
    for _ in _patiently(pauses, sleep):
        ended = git.try_run(*arguments, remote=remote, seconds=FETCH_SECONDS)
        if ended.code == 0:
            return
        failure = remote_failure("fetch", ended)
        if not isinstance(failure, Unavailable):
            raise failure
    raise failure


def _remote_head(
    git: _Git, remote: _Remote, ref: str, *, pauses: Sequence[float], sleep: Callable[[float], None]
) -> str | None:
    for _ in _patiently(pauses, sleep):
        ended = git.try_run("ls-remote", "--refs", remote.url, ref, remote=remote, seconds=LOCAL_SECONDS)
        if ended.code == 0:
            lines = (line.partition("\t") for line in ended.text.splitlines())
            return next((sha for sha, _, name in lines if name == ref), None)
        failure = remote_failure("ls-remote", ended)
        if not isinstance(failure, Unavailable):
            raise failure
    raise failure


def _patiently(pauses: Sequence[float], sleep: Callable[[float], None]) -> Iterator[None]:
    """One turn per try, with the pauses between them."""
    yield
    for pause in pauses:
        sleep(pause)
        yield


def _stored(git: _Git, change: FileChange) -> tuple[str, str] | None:
    """Mode and blob of a new content, which travels by stdin, never through a file or filter."""
    if change.content is None:
        return None
    blob = git.run("hash-object", "-w", "--no-filters", "--stdin", stdin=change.content).text
    return change.mode, blob


def _index_line(path: str, file: tuple[str, str] | None, start: str) -> bytes:
    """One line of ``update-index --index-info``."""
    mode, blob = file or ("0", "0" * len(start))
    return f"{mode} {blob}\t".encode() + path.encode("utf-8", "surrogateescape") + b"\0"


def _check_tree(git: _Git, *, start: str, tree: str, wanted: Mapping[str, tuple[str, str] | None]) -> None:
    """The tree differs from its start in exactly the wanted way: git drops bad paths and replaced folders silently."""
    listing = git.run("ls-tree", "-r", "-z", "-l", "--full-tree", tree).output
    files = {path: (entry.mode, entry.sha) for path, entry in _tree_entries(listing)}
    if refused := sorted(path for path, file in wanted.items() if files.get(path) != file):
        raise Refused(f"git does not accept the path `{refused[0]!r}`.", remedy="Choose another name.")
    changed = git.run("diff-tree", "-r", "-z", "--no-renames", "--name-only", start, tree).output
    touched = {_path(name) for name in changed.split(b"\0") if name}
    if not touched:
        raise Conflict("The changes leave every file as it is.", remedy="There is nothing to commit.")
    if lost := sorted(touched - wanted.keys()):
        raise Conflict(
            f"A file and a folder of the same name collide; `{lost[0]}` would be lost.",
            remedy="Delete what is replaced explicitly, or choose another path.",
        )


def _tree_entries(listing: bytes) -> Iterator[tuple[str, TreeEntry]]:
    for line in listing.split(b"\0"):
        if not line:
            continue
        facts, _, name = line.partition(b"\t")
        mode, _, sha, size = facts.decode("ascii").split()
        if size == "BAD":
            raise RunnerError("The repository is damaged.", detail=f"the blob {sha} is missing")
        yield _path(name), TreeEntry(mode=mode, sha=sha, size=None if size == "-" else int(size))


def _path(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _full_sha(sha: str) -> str:
    """The name of a commit, refused unless it is complete: anything shorter could be an option or a ref."""
    if not _SHA.fullmatch(sha):
        raise ConfigError(f"`{sha[:80]!r}` is not a full commit id.")
    return sha


def _object_format(sha: str) -> str:
    return "sha256" if len(sha) == 64 else "sha1"


def _branch_ref(git: _Git, branch: str) -> str:
    ref = f"refs/heads/{branch}"
    if branch.startswith("-") or git.try_run("check-ref-format", ref).code != 0:
        raise ConfigError(f"`{branch}` is not a name for a branch.")
    return ref


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/")
