"""Requests, lists and GraphQL against the embedded GitHub over real HTTP."""

from __future__ import annotations

import json

import pytest

from runner.adapters.github import GitHubForge
from runner.adapters.http import HttpClient
from runner.adapters.http_credentials import bearer
from runner.errors import (
    Ambiguous,
    ConfigError,
    Conflict,
    NotFound,
    RunnerError,
    Unauthorized,
    Unavailable,
)
from runner.sandbox.server import json_response
from tests.adapters.github_site import BRANCH, OURS, TOKEN, Site, StandingClock


def test_an_enterprise_server(site: Site) -> None:
    """REST below /api/v3 has its GraphQL at /api/graphql."""
    assert site.forge(base_url=f"{site.server.url}/api/v3").repository().login == OURS
    assert [one["path"] for one in site.calls("POST")] == ["/api/graphql"]


def test_the_api_version_is_always_sent(site: Site) -> None:
    """Every request names the API version it was written for."""
    site.open()
    site.read()
    assert {one["headers"].get("X-Github-Api-Version") for one in site.recorder.exchanges} == {"2022-11-28"}


def test_a_wrong_token(site: Site) -> None:
    """A token that GitHub does not know is a matter of configuration."""
    with pytest.raises(Unauthorized):
        site.forge("wrong").repository()


@pytest.mark.parametrize("name", ["till", "acme/till/x", "../..", "acme/ti ll", ""])
def test_names_of_repositories(site: Site, name: str) -> None:
    """A name that is no repository never becomes part of an address."""
    with pytest.raises(ConfigError):
        GitHubForge(HttpClient(site.server.url, service="GitHub"), repository=name)


def test_branch_over_pages(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """All commits are read, whatever the size of a page."""
    monkeypatch.setattr("runner.adapters.github_api.PAGE_SIZE", 2)
    pushed = [site.push(content=f"{number}\n".encode()) for number in range(5)]
    branch = site.forge().branch(BRANCH, base="main")
    assert branch is not None
    assert [commit.sha for commit in branch.commits] == pushed[::-1]


def test_commits_over_pages(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """All commits of a pull request are read, whatever the size of a page."""
    monkeypatch.setattr("runner.adapters.github_api.PAGE_SIZE", 2)
    pushed = [site.push(content=f"{number}\n".encode()) for number in range(5)]
    assert [one.sha for one in site.forge().pull_request_commits(site.open().number)] == pushed


def test_a_shortened_list(site: Site) -> None:
    """A list that is shorter than it says is a failed read."""
    site.open()
    site.answer("/check-runs", lambda _: json_response({"total_count": 3, "check_runs": []}))
    with pytest.raises(Unavailable, match="incomplete"):
        site.read()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "NOT_FOUND", "message": "m"}, NotFound),
        ({"type": "FORBIDDEN", "message": "m"}, ConfigError),
        ({"type": "INSUFFICIENT_SCOPES", "message": "m"}, ConfigError),
        ({"type": "UNPROCESSABLE", "message": "m"}, Conflict),
        ({"type": "RATE_LIMITED", "message": "m"}, Unavailable),
        ({"message": "m", "extensions": {"code": "undefinedField"}, "path": ["query"]}, ConfigError),
        ({"message": "Something went wrong"}, Ambiguous),
        ("damaged", Ambiguous),
    ],
)
def test_errors_of_graphql(site: Site, error: object, expected: type[RunnerError]) -> None:
    """A GraphQL answer with errors is a failure of its kind, although its status is 200."""
    found = site.open()
    site.answer("/graphql", lambda _: json_response({"data": {"viewer": {"login": "x"}}, "errors": [error]}))
    with pytest.raises(expected):
        site.forge().reply(found, "PRRT_1", "x")


def test_queries_are_reads(site: Site) -> None:
    """Reading everything about a pull request counts no write."""
    site.open()
    http = HttpClient(site.server.url, service="GitHub", auth=bearer(TOKEN), clock=StandingClock())
    GitHubForge(http, repository="acme/till").pull_requests(head=BRANCH, detailed=True)
    assert http.counters.writes == 0


def test_recorded_bodies_hold_no_token(site: Site) -> None:
    """No request carries the token anywhere but in its header."""
    site.open()
    assert TOKEN not in json.dumps(site.recorder.exchanges)
