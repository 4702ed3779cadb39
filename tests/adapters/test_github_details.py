"""What people and checks said about a pull request, read from the embedded GitHub."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from runner.adapters import github_details
from runner.core.model import ReviewState
from runner.errors import ConfigError, Unavailable
from runner.sandbox.reviewers import Reviewer
from runner.sandbox.server import json_response
from tests.adapters.github_site import BRANCH, OURS, PERMISSIONS, Site


def test_reviews(site: Site) -> None:
    """Reviews carry verdict, words and whether their author may push."""
    made = site.open()
    site.ada.review(made.number, "REQUEST_CHANGES", "please fix")
    site.rob.review(made.number, "COMMENT", "hm")
    assert [
        (one.author, one.state, one.body, one.can_write, one.is_person) for one in site.read().reviews
    ] == [
        ("ada", ReviewState.CHANGES_REQUESTED, "please fix", True, True),
        ("rob", ReviewState.COMMENTED, "hm", False, True),
    ]


def test_an_edited_review(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A review's text may be edited later, which REST does not tell: it is newer then, on whichever page it stands."""
    monkeypatch.setattr(github_details, "_EDITS", github_details._EDITS.replace("first: 100", "first: 2"))
    made = site.open()
    ids = [site.ada.review(made.number, "COMMENT", f"review {number}")["id"] for number in range(5)]
    site.ada.request("PUT", f"pulls/{made.number}/reviews/{ids[3]}", body="otherwise")
    found = site.read().reviews
    assert [one.updated > one.submitted for one in found] == [False, False, False, True, False]
    assert [one.updated == one.submitted for one in found] == [True, True, True, False, True]


@pytest.mark.parametrize(
    "answer",
    [
        {"errors": [{"message": "Unknown query"}]},
        {"data": {"repository": {"pullRequest": {}}}},
        {"data": None},
    ],
)
def test_reviews_of_a_server_that_does_not_tell_of_edits(site: Site, answer: dict[str, Any]) -> None:
    """Their texts are REST's and complete: they count as they were submitted."""

    def silent(request: Request) -> Response | None:
        return json_response(answer) if b"lastEditedAt" in request.get_data() else None

    site.follows_contract = False
    made = site.open()
    site.ada.review(made.number, "REQUEST_CHANGES", "no")
    site.server.before.append(silent)
    (found,) = site.read().reviews
    assert (found.body, found.updated) == ("no", found.submitted)


def test_reviews_without_a_text_have_none_that_could_be_edited(site: Site) -> None:
    """Nothing is asked about them."""
    made = site.open()
    site.ada.review(made.number, "COMMENT", "", [("src/till.py", 1, "why 2?")])
    asked: list[bytes] = []
    site.server.before.append(lambda request: asked.append(request.get_data()))
    site.read()
    assert any(b"reviewThreads" in one for one in asked)
    assert not any(b"lastEditedAt" in one for one in asked)


def test_threads(site: Site) -> None:
    """Inline conversations come with place, state and all comments, also ours."""
    made = site.open()
    site.ada.review(made.number, "COMMENT", "", [("src/till.py", 1, "why 2?")])
    thread = site.read().threads[0]
    site.forge().reply(site.read(), thread.id, "because")
    thread = site.read().threads[0]
    assert (thread.path, thread.line, thread.is_resolved, thread.is_outdated) == (
        "src/till.py",
        1,
        False,
        False,
    )
    assert [(one.author, one.body, one.is_ours, one.can_write, one.is_person) for one in thread.comments] == [
        ("ada", "why 2?", False, True, True),
        (OURS, "because", True, False, False),
    ]


def test_threads_over_pages(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """All threads and all their comments are read, whatever the size of a page."""
    for name in ("_THREADS", "_MORE_COMMENTS"):
        monkeypatch.setattr(
            github_details, name, getattr(github_details, name).replace("first: 50", "first: 2")
        )
    made = site.open()
    for number in range(5):
        site.ada.review(made.number, "COMMENT", "", [("src/till.py", 1, f"thread {number}")])
    first = site.read().threads[0]
    for number in range(4):
        site.forge().reply(site.read(), first.id, f"reply {number}")
    threads = site.read().threads
    assert [one.comments[0].body for one in threads] == [f"thread {number}" for number in range(5)]
    assert [one.body for one in threads[0].comments[1:]] == [f"reply {number}" for number in range(4)]


def test_conversation(site: Site) -> None:
    """The conversation is read in order, with an edit as a newer version."""
    made = site.open()
    first = site.ada.comment(made.number, "one")
    site.forge().comment(made.number, "two")
    site.ada.request("PATCH", f"issues/comments/{first['id']}", body="one, edited")
    comments = site.read().comments
    assert [(one.author, one.body, one.is_ours) for one in comments] == [
        ("ada", "one, edited", False),
        (OURS, "two", True),
    ]
    assert comments[0].updated > comments[0].created


def test_checks(site: Site) -> None:
    """Check runs and commit statuses of the head are results of one kind."""
    made = site.open()
    app: dict[str, Any] = {"contents": "read", "checks": "write", "statuses": "write"}
    site.server.add_token("ci-app", login="ci[bot]", kind="app", permissions=app)
    ci = Reviewer(site.server, "ci-app")
    output = {"title": "2 failed", "summary": "test_a, test_b"}
    ci.request(
        "POST",
        "check-runs",
        name="test",
        head_sha=made.head_sha,
        status="completed",
        conclusion="failure",
        output=output,
    )
    ci.request("POST", "check-runs", name="lint", head_sha=made.head_sha, status="in_progress")
    ci.request("POST", f"statuses/{made.head_sha}", state="success", context="cov", description="90 %")
    found = {one.name: (one.conclusion, one.summary) for one in site.read().checks}
    assert found == {
        "test": ("failure", "2 failed\n\ntest_a, test_b"),
        "lint": ("pending", ""),
        "cov": ("success", "90 %"),
    }


@pytest.mark.parametrize("permission", ["checks", "statuses", "pull-requests"])
def test_a_read_that_is_not_allowed(site: Site, permission: str) -> None:
    """A part that this token may not read fails the whole read: unknown is never empty."""
    site.open()
    allowed: dict[str, Any] = {name: "read" for name in PERMISSIONS if name != permission}
    site.server.add_token("less", login=OURS, kind="actions", permissions=allowed)
    with pytest.raises(ConfigError):
        site.forge("less").pull_requests(head=BRANCH, detailed=True)


@pytest.mark.parametrize(
    "path", ["/reviews", "/comments", "/check-runs", "/status", "/graphql", "/pulls", "/permission"]
)
@pytest.mark.parametrize("status", [500, 200])
def test_a_read_that_fails(site: Site, path: str, status: int) -> None:
    """A failed or misshapen part fails the whole read: unknown is never empty."""
    made = site.open()
    site.ada.review(made.number, "COMMENT", "hm")
    site.answer(path, lambda _: json_response({"message": "oops"}, status))
    with pytest.raises(Unavailable):
        site.forge(accounts=[OURS]).pull_requests(head=BRANCH, detailed=True)
