"""Fixtures of the adapters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import responses

from runner.adapters.git_publish import GitPublisher
from runner.adapters.github import GitHubForge
from tests.adapters.git_origin import Origin
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


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


@pytest.fixture
def publisher(origin: Origin, tmp_path: Path) -> Iterator[GitPublisher]:
    with GitPublisher(
        origin.url, None, tmp_path / "publish", allow_file=True, pauses=(), sleep=lambda _: None
    ) as made:
        yield made
