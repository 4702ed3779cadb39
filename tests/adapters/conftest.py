"""Fixtures of the adapters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import responses

from runner.adapters.github import GitHubForge
from tests.adapters.github_site import Site
from tests.contracts import violations


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    with site.server:
        site.prepare()
        yield site
    if site.follows_contract:
        assert violations(site.recorder.exchanges) == []


@pytest.fixture
def forge(site: Site) -> GitHubForge:
    return site.forge()


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """A transport that answers what a test registers, in the order registered."""
    with responses.RequestsMock(
        assert_all_requests_are_fired=False, registry=responses.registries.OrderedRegistry
    ) as mock:
        yield mock
