"""Commits through the git data API of the embedded GitHub."""

from __future__ import annotations

from typing import Any

import pytest

from runner.adapters.github import GitHubForge
from runner.adapters.github_commits import ApiPublisher
from runner.adapters.http import HttpClient
from runner.adapters.http_credentials import bearer
from runner.core.work import FileChange
from runner.errors import Ambiguous, ConfigError, Conflict, MovedUnderUs, Refused
from runner.ports import Forge, Publisher
from tests.adapters.github_site import BRANCH, OURS, TOKEN, Site, StandingClock

NEW = FileChange(path="dir/new.sh", content=b"#!/bin/sh\r\n\xff", mode="100755")


def publish(site: Site, *changes: FileChange, token: str = TOKEN, **options: Any) -> str:
    http = HttpClient(site.server.url, service="GitHub", auth=bearer(token), clock=StandingClock())
    publisher = ApiPublisher(http, GitHubForge(http, repository="acme/till"), repository="acme/till")
    return publisher.publish(
        **{
            "branch": BRANCH,
            "start": site.start,
            "expected": None,
            "changes": changes or (NEW,),
            "message": "ABC-1: m\n\nKey: v\n",
            **options,
        }
    )


def test_ports(site: Site) -> None:
    """Forge and publishers are what the ports ask for; the type checker holds them to it."""
    http = HttpClient(site.server.url, service="GitHub", auth=bearer(TOKEN), clock=StandingClock())
    forge = GitHubForge(http, repository="acme/till")
    ports: tuple[Forge, Publisher, Publisher] = (
        forge,
        site.publisher(),
        ApiPublisher(http, forge, repository="acme/till"),
    )
    assert len(ports) == 3


def test_a_new_branch(site: Site) -> None:
    """One commit on top of the start holds exactly the changes."""
    sha = publish(site, NEW, FileChange(path="src/till.py", content=None))
    assert site.server.branches()[BRANCH] == sha
    assert site.server.files(BRANCH) == {"README.md": b"# Till\n", "dir/new.sh": NEW.content}
    branch = site.forge().branch(BRANCH, base="main")
    assert branch is not None
    assert [(one.parents, one.trailers) for one in branch.commits] == [((site.start,), {"Key": "v"})]


def test_an_existing_branch(site: Site) -> None:
    """A second commit goes on top of the first."""
    first = publish(site)
    second = publish(site, FileChange(path="a", content=b"x"), start=first, expected=first)
    assert site.server.branches()[BRANCH] == second
    branch = site.forge().branch(BRANCH, base="main")
    assert branch is not None
    assert [one.parents for one in branch.commits] == [(first,), (site.start,)]


def test_signed(site: Site) -> None:
    """Where signatures are required these commits are accepted."""
    site.server.require_signatures()
    assert publish(site) == site.server.branches()[BRANCH]


@pytest.mark.parametrize("expected", [None, "start"])
def test_a_branch_that_moved(site: Site, expected: str | None) -> None:
    """A branch that is not where it should be is left alone."""
    theirs = site.push()
    with pytest.raises(MovedUnderUs):
        publish(site, expected=site.start if expected else None)
    assert site.server.branches()[BRANCH] == theirs


def test_a_race(site: Site) -> None:
    """A branch that moves after we looked is left alone too."""
    first = publish(site)
    theirs: list[str] = []

    def race(request: Any) -> None:
        if request.method == "PATCH" and not theirs:
            theirs.append(site.push(content=b"theirs\n"))

    site.server.before.append(race)
    with pytest.raises(MovedUnderUs):
        publish(site, FileChange(path="a", content=b"x"), start=first, expected=first)
    assert site.server.branches()[BRANCH] == theirs[0]


def test_never_over_a_commit(site: Site) -> None:
    """A start that does not contain the branch's head is refused."""
    theirs = site.push()
    with pytest.raises(Conflict, match=theirs[:12]):
        publish(site, expected=theirs)
    assert site.server.branches()[BRANCH] == theirs


@pytest.mark.parametrize(
    "change", [FileChange(path="README.md", content=b"# Till\n"), FileChange(path="x", content=None)]
)
def test_nothing_to_commit(site: Site, change: FileChange) -> None:
    """Changes that leave every file as it is make no commit."""
    with pytest.raises(Conflict, match="every file as it is"):
        publish(site, change)


def test_a_file_never_swallows_a_folder(site: Site) -> None:
    """A new file in place of a folder would silently delete what is in it."""
    with pytest.raises((Conflict, Refused)):
        publish(site, FileChange(path="src", content=b"x"))
    assert BRANCH not in site.server.branches()


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_lost_answer(site: Site, is_applied: bool) -> None:
    """After a lost answer the branch is read: it moved, or it is safe to try again."""
    site.lose_answers("POST", "/git/refs", times=1, is_applied=is_applied)
    assert publish(site) == site.server.branches()[BRANCH]


def test_answers_that_stay_lost(site: Site) -> None:
    """When nobody can tell, that is what is said."""
    site.lose_answers("POST", "/git/refs", times=9, is_applied=False)
    with pytest.raises(Ambiguous):
        publish(site)


def test_a_workflow(site: Site) -> None:
    """GitHub refuses workflow files from a token without that permission."""
    with pytest.raises(Refused, match="workflow"):
        publish(site, FileChange(path=".github/workflows/x.yml", content=b"x"))


def test_without_permission(site: Site) -> None:
    """A token that may only read cannot publish."""
    site.server.add_token("reader", login=OURS, kind="actions", permissions={"contents": "read"})
    with pytest.raises(ConfigError):
        publish(site, token="reader")


def test_base(site: Site) -> None:
    """The guard can look at the tree the changes start from."""
    http = HttpClient(site.server.url, service="GitHub", auth=bearer(TOKEN), clock=StandingClock())
    publisher = ApiPublisher(http, GitHubForge(http, repository="acme/till"), repository="acme/till")
    base = publisher.base(site.start, ["README.md", "none"])
    assert base.modes == {"README.md": "100644", "src/till.py": "100644"}
    assert base.contents == {"README.md": b"# Till\n"}
