"""git against the embedded GitHub over real HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.adapters.git import checkout, fetch_commits
from runner.adapters.git_publish import GitPublisher
from runner.core.work import FileChange
from runner.errors import ConfigError, MovedUnderUs, NotFound, Refused, Unauthorized
from tests.adapters.github_site import BRANCH, OURS, TOKEN, Site


def test_fetch_over_http(site: Site, tmp_path: Path) -> None:
    """Exact commits are fetched with a token, which is nowhere on disk afterwards."""
    sha = site.push()
    repo = tmp_path / "checkout"
    fetch_commits(f"{site.server.url}/acme/till", TOKEN, [sha, site.start], repo)
    checkout(repo, sha)
    assert (repo / "src/till.py").read_bytes() == b"a = 2\nb = 2\nc = 3\n"
    assert not [file for file in repo.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]


def test_fetch_with_a_wrong_token(site: Site, tmp_path: Path) -> None:
    """A refused token is a matter of configuration."""
    with pytest.raises(Unauthorized):
        fetch_commits(f"{site.server.url}/acme/till", "wrong", [site.start], tmp_path / "x", pauses=())


def test_fetch_of_another_repository(site: Site, tmp_path: Path) -> None:
    """A repository that is not there is not found."""
    with pytest.raises(NotFound):
        fetch_commits(f"{site.server.url}/acme/none", TOKEN, [site.start], tmp_path / "x", pauses=())


def publish(site: Site, token: str = TOKEN, **change: Any) -> str:
    with site.publisher(token) as publisher:
        return publisher.publish(
            branch=change.pop("branch", BRANCH),
            start=site.start,
            expected=change.pop("expected", None),
            changes=[FileChange(path=change.pop("path", "new.txt"), content=b"x\n")],
            message="m",
        )


def test_push_without_permission(site: Site) -> None:
    """A token that may only read cannot push, and the permission is named."""
    site.server.add_token("reader", login=OURS, kind="actions", permissions={"contents": "read"})
    with pytest.raises(ConfigError) as caught:
        publish(site, "reader")
    assert "contents: write" in caught.value.remedy


def test_push_of_a_workflow(site: Site) -> None:
    """GitHub refuses workflow files from a token without that permission."""
    with pytest.raises(Refused, match="workflow"):
        publish(site, path=".github/workflows/x.yml")
    assert BRANCH not in site.server.branches()


def test_push_to_a_protected_branch(site: Site) -> None:
    """A protected branch refuses the push."""
    site.server.protect("main")
    with pytest.raises(Refused, match="protected"):
        publish(site, branch="main", expected=site.start)


def test_push_where_signatures_are_required(site: Site) -> None:
    """A repository that requires signed commits refuses ours, and the remedy says what to exempt."""
    site.server.require_signatures()
    with pytest.raises(Refused, match="sign") as caught:
        publish(site)
    assert "ai/**" in caught.value.remedy


def test_a_race_over_http(site: Site) -> None:
    """A branch that moved meanwhile is left alone."""
    theirs = site.push()
    with pytest.raises(MovedUnderUs):
        publish(site)
    assert site.server.branches()[BRANCH] == theirs


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_push_whose_answer_was_lost(site: Site, is_applied: bool) -> None:
    """After a push without answer the branch is read: it moved, or it is safe to try again."""
    site.lose_answers("POST", "/git-receive-pack", times=1, is_applied=is_applied)
    with GitPublisher(
        f"{site.server.url}/acme/till", TOKEN, site.folder / "p", pauses=(1,), sleep=lambda _: None
    ) as publisher:
        sha = publisher.publish(
            branch=BRANCH,
            start=site.start,
            expected=None,
            changes=[FileChange(path="new.txt", content=b"x\n")],
            message="m",
        )
    assert site.server.branches()[BRANCH] == sha
