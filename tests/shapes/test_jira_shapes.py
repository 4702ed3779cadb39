"""Projects as teams have them: each ends Done, or with the sentence that tells the adopter what to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.sandbox.jira import JiraSite
from tests.contracts import violations
from tests.shapes.harness import PROJECT, Team, team


@pytest.fixture(autouse=True)
def _keep_time(tmp_path: Path) -> None:
    pass


def test_company_managed(tmp_path: Path) -> None:
    """A company-managed project with the default names needs no configuration of statuses."""
    with team(tmp_path) as acme:
        key = acme.story()
        assert acme.is_done(key)
        assert violations(acme.recorder.exchanges) == []
