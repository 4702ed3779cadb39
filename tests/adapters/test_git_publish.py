"""Publishing one commit with real git, against bare repositories on disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runner.adapters.git_publish import GitPublisher
from runner.core.work import FileChange
from runner.errors import Ambiguous, ConfigError, Conflict, MovedUnderUs, Refused
from tests.adapters.git_origin import WHEN, Origin, git


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
