"""Real git against bare repositories on disk and, for credentials, a loopback server that only looks."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runner.adapters.git import (
    TreeEntry,
    checkout,
    fetch_commits,
    list_tree,
    read_blob,
    show_file,
    tracked_files,
    tracked_paths,
)
from runner.adapters.git_publish import GitPublisher
from runner.core.work import FileChange
from runner.errors import (
    Ambiguous,
    ConfigError,
    Conflict,
    MovedUnderUs,
    NotFound,
    Refused,
    RunnerError,
    Unauthorized,
    Unavailable,
)

WHEN = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(where: Path, *arguments: str, stdin: bytes | None = None) -> str:
    ended = subprocess.run(
        ["git", "-C", str(where), *arguments],
        env=os.environ | IDENTITY,
        input=stdin,
        capture_output=True,
        check=True,
    )
    return ended.stdout.decode("utf-8", "surrogateescape").strip()


class Origin:
    """A bare repository on disk and a clone in which a person works."""

    def __init__(self, folder: Path) -> None:
        self.bare = folder / "origin.git"
        self.clone = folder / "person"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.bare)], check=True)
        subprocess.run(["git", "init", "-q", "-b", "main", str(self.clone)], check=True)
        git(self.clone, "remote", "add", "origin", str(self.bare))

    @property
    def url(self) -> str:
        return f"file://{self.bare}"

    def commit(self, files: Mapping[str, bytes], *, branch: str = "main", message: str = "work") -> str:
        for path, content in files.items():
            target = self.clone / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        git(self.clone, "add", "-A", "-f")
        git(self.clone, "commit", "-q", "-m", message)
        git(self.clone, "push", "-q", "origin", f"HEAD:refs/heads/{branch}")
        return git(self.clone, "rev-parse", "HEAD")

    def head(self, branch: str) -> str | None:
        found = git(self.bare, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return found or None

    def hook(self, script: str) -> None:
        hook = self.bare / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        hook.chmod(0o755)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


@pytest.fixture
def publisher(origin: Origin, tmp_path: Path) -> Iterator[GitPublisher]:
    with GitPublisher(
        origin.url, None, tmp_path / "publish", allow_file=True, pauses=(), sleep=lambda _: None
    ) as made:
        yield made


def fetched(origin: Origin, into: Path, *shas: str) -> Path:
    fetch_commits(origin.url, None, shas, into, allow_file=True, pauses=())
    return into


# --- reading -----------------------------------------------------------------------------------------------


def test_fetch_brings_history(origin: Origin, tmp_path: Path) -> None:
    """A fetched commit comes with all its ancestors."""
    first = origin.commit({"a.txt": b"1\n"})
    second = origin.commit({"a.txt": b"2\n"})
    repo = fetched(origin, tmp_path / "repo", second)
    assert git(repo, "rev-list", second).split() == [second, first]


def test_fetch_brings_only_what_was_asked(origin: Origin, tmp_path: Path) -> None:
    """Commits that nobody asked for stay away."""
    first = origin.commit({"a.txt": b"1\n"})
    second = origin.commit({"a.txt": b"2\n"})
    repo = fetched(origin, tmp_path / "repo", first)
    with pytest.raises(subprocess.CalledProcessError):
        git(repo, "cat-file", "-e", second)


def test_fetch_of_several_commits(origin: Origin, tmp_path: Path) -> None:
    """Base, head and predecessor arrive in one fetch."""
    first = origin.commit({"a.txt": b"1\n"})
    second = origin.commit({"a.txt": b"2\n"}, branch="ai/ABC-1")
    repo = fetched(origin, tmp_path / "repo", first, second, first)
    assert {first, second} <= set(git(repo, "rev-list", "--all").split())


def test_fetch_refuses_a_folder_in_use(origin: Origin, tmp_path: Path) -> None:
    """A repository that was there before could be configured to run something."""
    sha = origin.commit({"a.txt": b"1\n"})
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "file").write_text("x")
    with pytest.raises(ConfigError, match="not empty"):
        fetched(origin, tmp_path / "repo", sha)


@pytest.mark.parametrize("sha", ["main", "--upload-pack=/bin/true", "abc123", "A" * 40, ""])
def test_only_full_commit_ids(origin: Origin, tmp_path: Path, sha: str) -> None:
    """What is not a full commit id could be an option or a moving ref."""
    with pytest.raises(ConfigError, match="full commit id"):
        fetched(origin, tmp_path / "repo", sha)


def test_fetch_of_a_commit_that_is_gone(origin: Origin, tmp_path: Path) -> None:
    """A commit that the server no longer has means that somebody rewrote the branch."""
    origin.commit({"a.txt": b"1\n"})
    with pytest.raises(MovedUnderUs):
        fetched(origin, tmp_path / "repo", "1" * 40)


def test_fetch_from_nowhere(tmp_path: Path) -> None:
    """A repository that is not there is not found."""
    with pytest.raises(NotFound):
        fetch_commits(f"file://{tmp_path}/no.git", None, ["1" * 40], tmp_path / "r", allow_file=True)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc",
        "ext::sh -c true",
        "ssh://git@github.com/o/r",
        "https://me:secret@github.com/o/r",
        "http://github.com/o/r",
        "/etc",
    ],
)
def test_only_web_addresses(url: str, tmp_path: Path) -> None:
    """Other protocols can start programs, and credentials in an address end up in messages."""
    with pytest.raises(ConfigError) as caught:
        fetch_commits(url, None, ["1" * 40], tmp_path / "repo")
    assert "secret" not in str(caught.value)


def test_fetch_waits_for_a_server_that_is_down(tmp_path: Path) -> None:
    """A server that does not answer is asked again after each pause, then reported as unavailable."""
    waits: list[float] = []
    with pytest.raises(Unavailable):
        fetch_commits(
            "http://127.0.0.1:9/o/r", None, ["1" * 40], tmp_path / "repo", pauses=(2, 8), sleep=waits.append
        )
    assert waits == [2, 8]


def test_checkout_runs_nothing(origin: Origin, tmp_path: Path) -> None:
    """Neither a hook nor a filter that the commit names takes part in a checkout."""
    sha = origin.commit({"a.bin": b"pointer\n", ".gitattributes": b"*.bin filter=lfs\n"})
    repo = fetched(origin, tmp_path / "repo", sha)
    witness = tmp_path / "witness"
    (repo / ".git" / "hooks").mkdir(exist_ok=True)
    hook = repo / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {witness}\n")
    hook.chmod(0o755)
    git(repo, "config", "filter.lfs.smudge", f"touch {witness}; cat")
    checkout(repo, sha)
    assert (repo / "a.bin").read_bytes() == b"pointer\n"
    assert not witness.exists()


def test_checkout_is_exact(origin: Origin, tmp_path: Path) -> None:
    """Attributes do not change line endings or encodings: files are compared with what is committed."""
    files = {".gitattributes": b"* text eol=crlf working-tree-encoding=UTF-16\n", "a.txt": b"one\ntwo\n"}
    git(origin.clone, "config", "core.autocrlf", "false")
    (origin.clone / ".git" / "info" / "attributes").write_text("* -text !eol !working-tree-encoding\n")
    sha = origin.commit(files)
    repo = fetched(origin, tmp_path / "repo", sha)
    checkout(repo, sha)
    assert (repo / "a.txt").read_bytes() == b"one\ntwo\n"


def test_checkout_keeps_links(origin: Origin, tmp_path: Path) -> None:
    """A symbolic link stays one, also when it points out of the checkout."""
    origin.commit({"a.txt": b"1\n"})
    (origin.clone / "link").symlink_to("/etc/passwd")
    sha = origin.commit({})
    repo = fetched(origin, tmp_path / "repo", sha)
    checkout(repo, sha)
    assert str((repo / "link").readlink()) == "/etc/passwd"


def test_checkout_follows_no_submodule(origin: Origin, tmp_path: Path) -> None:
    """A submodule is an entry in the tree and nothing is fetched for it."""
    sha = origin.commit({".gitmodules": b'[submodule "m"]\n\tpath = m\n\turl = ext::sh -c touch%20x\n'})
    git(origin.clone, "update-index", "--add", "--cacheinfo", f"160000,{sha},m")
    git(origin.clone, "commit", "-q", "-m", "submodule")
    git(origin.clone, "push", "-q", "origin", "HEAD:main")
    sha = git(origin.clone, "rev-parse", "HEAD")
    repo = fetched(origin, tmp_path / "repo", sha)
    checkout(repo, sha)
    assert not list((repo / "m").iterdir())


def test_inherited_git_settings_do_not_count(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the user's configuration nor git's variables reach our children."""
    sha = origin.commit({"a.txt": b"1\n"})
    config = tmp_path / "gitconfig"
    config.write_text('[url "file:///nowhere"]\n\tinsteadOf = file://\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    fetch_commits(origin.url, None, [sha], tmp_path / "repo", allow_file=True)
    assert not (tmp_path / "trace").exists()


def test_list_tree(origin: Origin, tmp_path: Path) -> None:
    """A tree is listed with mode, blob and size, also for names that need quoting elsewhere."""
    (origin.clone / "run").write_bytes(b"#!/bin/sh\n")
    (origin.clone / "run").chmod(0o755)
    sha = origin.commit({"a b\n\u00e4.txt": b"12\n"})
    (origin.clone / "link").symlink_to("run")
    sha = origin.commit({})
    repo = fetched(origin, tmp_path / "repo", sha)
    tree = list_tree(repo, sha)
    assert {path: (entry.mode, entry.size) for path, entry in tree.items()} == {
        "a b\n\u00e4.txt": ("100644", 3),
        "run": ("100755", 10),
        "link": ("120000", 3),
    }
    assert (
        TreeEntry(mode="100644", sha=git(repo, "rev-parse", f"{sha}:a b\n\u00e4.txt"), size=3)
        == tree["a b\n\u00e4.txt"]
    )


def test_tracked_files_are_regular(origin: Origin, tmp_path: Path) -> None:
    """Links are not among the files that may be read or edited."""
    origin.commit({"a.txt": b"1\n"})
    (origin.clone / "link").symlink_to("a.txt")
    sha = origin.commit({})
    assert tracked_files(fetched(origin, tmp_path / "repo", sha), sha) == ("a.txt",)


def test_tracked_paths_are_every_entry(origin: Origin, tmp_path: Path) -> None:
    """What nothing may be written through, links and submodules, is known beside the files."""
    sha = origin.commit({"a.txt": b"1\n"})
    (origin.clone / "link").symlink_to("a.txt")
    git(origin.clone, "update-index", "--add", "--cacheinfo", f"160000,{sha},m")
    git(origin.clone, "add", "link")
    git(origin.clone, "commit", "-q", "-m", "link and submodule")
    git(origin.clone, "push", "-q", "origin", "HEAD:main")
    sha = git(origin.clone, "rev-parse", "HEAD")
    assert set(tracked_paths(fetched(origin, tmp_path / "repo", sha), sha)) == {"a.txt", "link", "m"}


def test_show_file(origin: Origin, tmp_path: Path) -> None:
    """A file is read from the commit, not from the work tree; what is absent is None."""
    sha = origin.commit({"dir/a.txt": b"1\r\n", "*.txt": b"star"})
    repo = fetched(origin, tmp_path / "repo", sha)
    assert show_file(repo, sha, "dir/a.txt") == b"1\r\n"
    assert show_file(repo, sha, "*.txt") == b"star"
    assert show_file(repo, sha, "dir") is None
    assert show_file(repo, sha, "none") is None


def test_read_blob_of_an_absent_file(origin: Origin, tmp_path: Path) -> None:
    """Reading a file that has to exist says that it does not."""
    sha = origin.commit({"a.txt": b"1\n"})
    repo = fetched(origin, tmp_path / "repo", sha)
    assert read_blob(repo, sha, "a.txt") == b"1\n"
    with pytest.raises(NotFound, match=r"none\.txt"):
        read_blob(repo, sha, "none.txt")


def test_reading_runs_nothing_a_changed_configuration_names(origin: Origin, tmp_path: Path) -> None:
    """A repository whose configuration was changed by a command of the project still runs nothing."""
    sha = origin.commit({"a.txt": b"1\n"})
    repo = fetched(origin, tmp_path / "repo", sha)
    witness = tmp_path / "witness"
    for key in ("core.fsmonitor", "core.sshCommand", "core.pager", "diff.external"):
        git(repo, "config", key, f"touch {witness}")
    git(repo, "config", "extensions.partialClone", "origin")
    git(repo, "config", "remote.origin.url", f"ext::touch {witness}")
    git(repo, "config", "remote.origin.promisor", "true")
    git(repo, "config", "protocol.ext.allow", "always")
    blob = git(repo, "rev-parse", f"{sha}:a.txt")
    (repo / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(RunnerError, match="damaged"):
        list_tree(repo, sha)
    assert not witness.exists()


# --- publishing --------------------------------------------------------------------------------------------


def test_publish_creates_the_branch(origin: Origin, publisher: GitPublisher) -> None:
    """One commit on top of the start holds exactly the changes, with our author and message."""
    start = origin.commit({"a.txt": b"1\n", "old.txt": b"x\n"})
    changes = (
        FileChange(path="a.txt", content=b"2\n"),
        FileChange(path="dir/new \u00e4.sh", content=b"#!/bin/sh\r\n", mode="100755"),
        FileChange(path="old.txt", content=None),
    )
    sha = publisher.publish(
        branch="ai/ABC-1",
        start=start,
        expected=None,
        changes=changes,
        message="ABC-1: do\n\nKey: v\n",
        when=WHEN,
    )
    assert origin.head("ai/ABC-1") == sha
    assert start == git(origin.bare, "rev-parse", f"{sha}^")
    listing = git(origin.bare, "-c", "core.quotePath=false", "ls-tree", "-r", sha)
    assert {("100644", "a.txt"), ("100755", "dir/new \u00e4.sh")} == {
        (line.split()[0], line.partition("\t")[2]) for line in listing.splitlines()
    }
    assert git(origin.bare, "show", f"{sha}:a.txt") == "2"
    assert git(origin.bare, "log", "-1", "--format=%an|%ct|%s", sha) == "ai-runner[bot]|1795348800|ABC-1: do"


def test_publish_moves_the_branch(origin: Origin, publisher: GitPublisher) -> None:
    """A second commit goes on top of the first."""
    start = origin.commit({"a.txt": b"1\n"})
    head = origin.commit({"a.txt": b"2\n"}, branch="ai/ABC-1")
    assert start != head
    sha = publisher.publish(
        branch="ai/ABC-1",
        start=head,
        expected=head,
        changes=[FileChange(path="a.txt", content=b"3\n")],
        message="m",
    )
    assert origin.head("ai/ABC-1") == sha
    assert head == git(origin.bare, "rev-parse", f"{sha}^")


def test_same_input_same_commit(origin: Origin, tmp_path: Path) -> None:
    """Publishing the same again finds its work done and changes nothing."""
    start = origin.commit({"a.txt": b"1\n"})

    def publish() -> str:
        with GitPublisher(origin.url, None, tmp_path / "p", allow_file=True, pauses=()) as publisher:
            return publisher.publish(
                branch="ai/ABC-1",
                start=start,
                expected=None,
                changes=[FileChange(path="a.txt", content=b"2\n")],
                message="m",
                when=WHEN,
            )

    assert publish() == publish() == origin.head("ai/ABC-1")


def test_contents_are_committed_as_given(origin: Origin, publisher: GitPublisher) -> None:
    """Attributes of the repository do not change what is committed."""
    start = origin.commit({".gitattributes": b"* text=auto eol=lf\n"})
    sha = publisher.publish(
        branch="b",
        start=start,
        expected=None,
        changes=[FileChange(path="a.txt", content=b"1\r\n2\r\n")],
        message="m",
    )
    blob = subprocess.run(
        ["git", "-C", str(origin.bare), "cat-file", "blob", f"{sha}:a.txt"], capture_output=True, check=True
    )
    assert blob.stdout == b"1\r\n2\r\n"


def test_a_lost_race(origin: Origin, publisher: GitPublisher) -> None:
    """A branch that moved since it was read is left alone."""
    start = origin.commit({"a.txt": b"1\n"}, branch="ai/ABC-1")
    theirs = origin.commit({"a.txt": b"theirs\n"}, branch="ai/ABC-1")
    with pytest.raises(MovedUnderUs, match=theirs[:12]):
        publisher.publish(
            branch="ai/ABC-1",
            start=start,
            expected=start,
            changes=[FileChange(path="a.txt", content=b"2\n")],
            message="m",
        )
    assert theirs == origin.head("ai/ABC-1")


def test_a_branch_that_appeared(origin: Origin, publisher: GitPublisher) -> None:
    """A branch that should not exist yet is left alone when it does."""
    start = origin.commit({"a.txt": b"1\n"})
    theirs = origin.commit({"a.txt": b"theirs\n"}, branch="ai/ABC-1")
    with pytest.raises(MovedUnderUs, match="absent"):
        publisher.publish(
            branch="ai/ABC-1",
            start=start,
            expected=None,
            changes=[FileChange(path="a.txt", content=b"2\n")],
            message="m",
        )
    assert theirs == origin.head("ai/ABC-1")


def test_a_branch_that_vanished(origin: Origin, publisher: GitPublisher) -> None:
    """A branch that somebody deleted is not created again."""
    start = origin.commit({"a.txt": b"1\n"})
    with pytest.raises(MovedUnderUs, match="gone"):
        publisher.publish(
            branch="ai/ABC-1",
            start=start,
            expected=start,
            changes=[FileChange(path="a.txt", content=b"2\n")],
            message="m",
        )
    assert origin.head("ai/ABC-1") is None


def test_never_over_a_commit(origin: Origin, publisher: GitPublisher) -> None:
    """A start that does not contain the branch's head is refused, although the lease would allow it."""
    start = origin.commit({"a.txt": b"1\n"})
    theirs = origin.commit({"a.txt": b"theirs\n"}, branch="ai/ABC-1")
    with pytest.raises(Conflict, match=theirs[:12]):
        publisher.publish(
            branch="ai/ABC-1",
            start=start,
            expected=theirs,
            changes=[FileChange(path="a.txt", content=b"2\n")],
            message="m",
        )
    assert theirs == origin.head("ai/ABC-1")


def test_a_start_ahead_of_the_branch(origin: Origin, publisher: GitPublisher) -> None:
    """A start that contains the branch's head is fine, however far ahead it is."""
    old = origin.commit({"a.txt": b"1\n"}, branch="ai/ABC-1")
    origin.commit({"a.txt": b"2\n"})
    start = origin.commit({"a.txt": b"3\n"})
    sha = publisher.publish(
        branch="ai/ABC-1",
        start=start,
        expected=old,
        changes=[FileChange(path="a.txt", content=b"4\n")],
        message="m",
    )
    assert origin.head("ai/ABC-1") == sha


@pytest.mark.parametrize("changes", [(), (FileChange(path="a.txt", content=b"1\n"),)])
def test_nothing_to_commit(origin: Origin, publisher: GitPublisher, changes: tuple[FileChange, ...]) -> None:
    """Changes that leave every file as it is make no commit."""
    start = origin.commit({"a.txt": b"1\n"})
    with pytest.raises(Conflict, match="every file as it is"):
        publisher.publish(branch="b", start=start, expected=None, changes=changes, message="m")


def test_a_file_never_swallows_a_folder(origin: Origin, publisher: GitPublisher) -> None:
    """A new file in place of a folder would silently delete what is in it."""
    start = origin.commit({"dir/a.txt": b"1\n"})
    with pytest.raises(Conflict, match=r"dir/a\.txt"):
        publisher.publish(
            branch="b",
            start=start,
            expected=None,
            changes=[FileChange(path="dir", content=b"x")],
            message="m",
        )


@pytest.mark.parametrize(
    "path", [".git/config", "a/../../b", "/etc/x", "x/.GIT/hooks/post-commit", "git~1/x"]
)
def test_dangerous_paths_are_refused_by_git_too(origin: Origin, publisher: GitPublisher, path: str) -> None:
    """The last line of defence is git's own: such a path never enters a tree, and never goes missing silently."""
    start = origin.commit({"a.txt": b"1\n"})
    changes = [FileChange(path="a.txt", content=b"2\n"), FileChange(path=path, content=b"x")]
    with pytest.raises(Refused):
        publisher.publish(branch="b", start=start, expected=None, changes=changes, message="m")
    assert origin.head("b") is None


@pytest.mark.parametrize("branch", ["-f", "a b", "a..b", "refs/heads/../x", "x.lock", ""])
def test_branch_names_are_checked(origin: Origin, publisher: GitPublisher, branch: str) -> None:
    """What is no name for a branch is refused before anything is pushed."""
    start = origin.commit({"a.txt": b"1\n"})
    with pytest.raises(ConfigError, match="branch"):
        publisher.publish(
            branch=branch,
            start=start,
            expected=None,
            changes=[FileChange(path="a.txt", content=b"2\n")],
            message="m",
        )


@pytest.mark.parametrize(
    ("said", "summary"),
    [
        ("error: GH006: Protected branch update failed for refs/heads/b.", "protected"),
        (
            "error: GH013: Repository rule violations found for refs/heads/b. Commits must have verified signatures.",
            "signed",
        ),
        (
            "refusing to allow a GitHub App to create or update workflow `.github/workflows/x.yml` without `workflows` permission",
            "workflows",
        ),
        ("error: GH009: Push cannot contain secrets", "secret"),
        ("error: GH001: Large files detected.", "larger"),
        ("no pushes on Fridays", "decline"),
    ],
)
def test_rules_of_the_server(origin: Origin, publisher: GitPublisher, said: str, summary: str) -> None:
    """A push that the server's rules decline ends with its reason and what to do, and is not repeated."""
    start = origin.commit({"a.txt": b"1\n"})
    origin.hook(f"echo '{said}' >&2; exit 1")
    with pytest.raises(Refused, match=summary) as caught:
        publisher.publish(
            branch="b",
            start=start,
            expected=None,
            changes=[FileChange(path="a.txt", content=b"2\n")],
            message="m",
        )
    assert caught.value.remedy
    assert said.removeprefix("error: ")[:60] in caught.value.detail
    assert origin.head("b") is None


def test_a_branch_called_like_a_folder(origin: Origin, publisher: GitPublisher) -> None:
    """A branch `ai` keeps every `ai/...` from being created; waiting does not help."""
    start = origin.commit({"a.txt": b"1\n"}, branch="ai")
    with pytest.raises(ConfigError, match="ai/ABC-1"):
        publisher.publish(
            branch="ai/ABC-1",
            start=start,
            expected=None,
            changes=[FileChange(path="a.txt", content=b"2\n")],
            message="m",
        )


def test_base_shows_the_tree_and_the_asked_contents(origin: Origin, publisher: GitPublisher) -> None:
    """Before anything is published the guard can look at the tree the changes start from."""
    start = origin.commit({"a.txt": b"1\n", "b/c.txt": b"2\n"})
    base = publisher.base(start, ["a.txt", "new.txt"])
    assert base.modes == {"a.txt": "100644", "b/c.txt": "100644"}
    assert base.contents == {"a.txt": b"1\n"}


def test_nothing_stays_on_disk(origin: Origin, tmp_path: Path) -> None:
    """When the publisher is closed its repositories are gone."""
    start = origin.commit({"a.txt": b"1\n"})
    with GitPublisher(origin.url, None, tmp_path / "p", allow_file=True) as publisher:
        publisher.base(start, [])
    assert list((tmp_path / "p").iterdir()) == []


# --- credentials and a server that misbehaves ------------------------------------------------------------------


class Watcher:
    """A loopback server that notes headers and answers every request with one status."""

    def __init__(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        self.seen: list[tuple[str, str | None]] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append((self.path, self.headers.get("Authorization")))
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/o/r"

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_a_server_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversation has a deadline; then git and its helpers are ended."""
    monkeypatch.setattr("runner.adapters.git_remote.FETCH_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/o/r"
        with pytest.raises(Unavailable, match="in time"):
            fetch_commits(url, None, ["1" * 40], tmp_path / "repo", pauses=())


def test_a_machine_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git there is a clear text instead of a traceback."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="not installed"):
        fetch_commits("https://example.org/o/r", None, ["1" * 40], tmp_path / "repo")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, Unauthorized),
        (403, ConfigError),
        (404, NotFound),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_what_statuses_mean(status: int, error: type[Exception], tmp_path: Path) -> None:
    """The server's status decides whether the token, the address or the service is at fault."""
    with Watcher(status) as server, pytest.raises(error):
        fetch_commits(server.url, "s3cr3t-token", ["1" * 40], tmp_path / "repo", pauses=())


def test_the_credential_is_sent_and_kept_nowhere(tmp_path: Path) -> None:
    """The token travels as a header; neither the disk nor the error shows it in any form."""
    token = "s3cr3t-token"
    encoded = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    with Watcher(403) as server, pytest.raises(ConfigError) as caught:
        fetch_commits(server.url, token, ["1" * 40], tmp_path / "repo", pauses=())
    assert f"Basic {encoded}" == server.seen[0][1]
    shown = f"{caught.value} {caught.value.detail} {caught.value.remedy}"
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    for text in (shown.encode(), *(file.read_bytes() for file in files)):
        assert token.encode() not in text
        assert encoded.encode() not in text


def test_the_credential_follows_no_redirect(tmp_path: Path) -> None:
    """A redirect is an error: the credential goes to the configured address only."""
    with Watcher(404) as other, Watcher(302, {"Location": f"{other.url}/info/refs"}) as server:
        with pytest.raises(ConfigError, match="redirect"):
            fetch_commits(server.url, "t", ["1" * 40], tmp_path / "repo", pauses=())
        assert other.seen == []


def test_a_push_whose_result_nobody_knows(origin: Origin, tmp_path: Path) -> None:
    """When neither the push nor the look afterwards brings an answer, that is what is said."""
    start = origin.commit({"a.txt": b"1\n"})
    with GitPublisher(origin.url, None, tmp_path / "p", allow_file=True, pauses=()) as publisher:
        origin.hook(f"mv {origin.bare} {origin.bare}.away; kill -9 $PPID")
        with pytest.raises(Ambiguous):
            publisher.publish(
                branch="b",
                start=start,
                expected=None,
                changes=[FileChange(path="a.txt", content=b"2\n")],
                message="m",
            )


def test_a_push_that_broke_off_is_repeated(origin: Origin, tmp_path: Path) -> None:
    """A push that provably changed nothing is tried again; the lease makes that safe."""
    start = origin.commit({"a.txt": b"1\n"})
    waits: list[float] = []

    def repair(seconds: float) -> None:
        waits.append(seconds)
        (origin.bare / "hooks" / "pre-receive").unlink()

    with GitPublisher(
        origin.url, None, tmp_path / "p", allow_file=True, pauses=(2,), sleep=repair
    ) as publisher:
        origin.hook("kill -9 $PPID")
        sha = publisher.publish(
            branch="b",
            start=start,
            expected=None,
            changes=[FileChange(path="a.txt", content=b"2\n")],
            message="m",
        )
    assert waits == [2]
    assert origin.head("b") == sha


def test_a_push_that_arrived_although_its_answer_was_lost(origin: Origin, tmp_path: Path) -> None:
    """After a push without answer the branch is read; if it is where we want it, all is well."""
    start = origin.commit({"a.txt": b"1\n"})
    hook = origin.bare / "hooks" / "post-update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nkill -9 $PPID\n", encoding="utf-8")
    hook.chmod(0o755)
    with GitPublisher(origin.url, None, tmp_path / "p", allow_file=True, pauses=()) as publisher:
        sha = publisher.publish(
            branch="b",
            start=start,
            expected=None,
            changes=[FileChange(path="a.txt", content=b"2\n")],
            message="m",
        )
    assert origin.head("b") == sha
