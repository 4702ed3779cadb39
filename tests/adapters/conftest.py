"""Fixtures of the adapters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
