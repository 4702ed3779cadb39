"""Fetching, checking out and reading commits with real git, against bare repositories on disk."""

from __future__ import annotations

import subprocess
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
from runner.errors import ConfigError, MovedUnderUs, NotFound, RunnerError, Unavailable
from tests.adapters.git_origin import Origin, fetched, git


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
