"""Who somebody is, asked of the embedded GitHub."""

from __future__ import annotations

import pytest

from runner.adapters.github import GitHubForge
from runner.sandbox.server import json_response
from tests.adapters.github_site import BRANCH, OURS, PERMISSIONS, Site


def test_a_persons_token(site: Site) -> None:
    """A personal token is recognised as its owner."""
    assert site.forge("ada-token").repository().login == "ada"


def test_identity_without_graphql(site: Site) -> None:
    """Where GraphQL does not say who we are, REST is asked."""
    site.answer("/graphql", lambda _: json_response({"message": "Not Found"}, 404))
    assert site.forge("ada-token").repository().login == "ada"


def test_our_other_accounts(site: Site) -> None:
    """What another account of ours wrote counts as ours."""
    site.server.add_token("app", login="runner-app[bot]", kind="app", permissions=PERMISSIONS)
    made = site.open()
    site.forge("app").comment(made.number, "from the app")
    reader = site.forge(accounts=["runner-app[bot]"])
    (found,) = reader.pull_requests(head=BRANCH, detailed=True)
    assert [one.is_ours for one in found.comments] == [True]


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("ada", True),
        ("ci", True),
        ("rob", False),
        ("nobody", False),
        (OURS, False),
        ("ghost", False),
        ("", False),
    ],
)
def test_may_write(forge: GitHubForge, login: str, expected: bool) -> None:
    """People with write permission may write; readers, strangers and apps may not."""
    assert forge.may_write(login) is expected


def test_a_permission_is_asked_once(site: Site) -> None:
    """One run asks once per person."""
    forge = site.forge()
    assert forge.may_write("ada")
    assert forge.may_write("Ada")
    assert len(site.calls("GET", "/permission")) == 1
