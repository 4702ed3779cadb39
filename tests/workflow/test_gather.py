"""One snapshot of a real Jira and GitHub on loopback: complete, or no snapshot at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from werkzeug.wrappers import Request, Response

from runner import composition
from runner.core.model import Snapshot
from runner.errors import NotFound, RunnerError, Unavailable
from runner.settings import Settings
from runner.workflow.event import event_of
from tests.shapes.harness import Console, Team, team


def read(acme: Team, key: str) -> Snapshot:
    """What a run of this ticket would decide upon. Requests that fail are not tried for long."""
    settings = Settings.from_environ(acme.environment)
    event = event_of(issue_key=key, phase="auto")
    stage = composition.open_desk(
        settings, event, Console(), run="1.1", work_dir=acme.folder, publishes=False
    )
    try:
        return stage.desk.read()
    finally:
        stage.close()


def in_work(acme: Team) -> str:
    """A parent whose two stacked sub-tasks are handed over."""
    key = acme.ask()
    acme.follow(key)
    acme.ada.move(key, "In Progress")
    acme.follow(key)
    return key


def test_a_parent(tmp_path: Path) -> None:
    """A parent's snapshot has its family in Jira's order and the head of the branch that plans start from."""
    with team(tmp_path) as acme:
        key = in_work(acme)
        snapshot = read(acme, key)
        assert [one.ticket.key for one in snapshot.family] == acme.sub_tasks(key)
        assert snapshot.heads == {"main": acme.github.branches()["main"]}
        assert (snapshot.parent, snapshot.pull_requests, snapshot.family_ledgers) == (None, (), {})


def test_a_stacked_sub_task(tmp_path: Path) -> None:
    """A sub-task's snapshot has its parent in full, its own branch and pull request, and its predecessor's."""
    with team(tmp_path) as acme:
        key = in_work(acme)
        first, second = acme.sub_tasks(key)
        snapshot = read(acme, second)
        assert snapshot.parent is not None
        assert (snapshot.parent.key, snapshot.parent.is_detailed) == (key, True)
        assert [one.head for one in snapshot.pull_requests] == [f"ai/{second}"]
        assert snapshot.branch is not None
        assert [one.trailers["Jira-Issue"] for one in snapshot.branch.commits] == [second]
        predecessor = next(one for one in snapshot.family if one.ticket.key == first)
        assert predecessor.pull_request is not None
        assert predecessor.pull_request.head == f"ai/{first}"
        assert {"main", f"ai/{first}"} <= set(snapshot.heads)


def test_a_finished_family(tmp_path: Path) -> None:
    """Once all sub-tasks are done, the parent's snapshot has their results and what they cost."""
    with team(tmp_path) as acme:
        key = in_work(acme)
        for one in acme.sub_tasks(key):
            acme.rey.move(one, "Done")
        snapshot = read(acme, key)
        assert all(one.pull_request is not None for one in snapshot.family)
        assert [len(one) for one in snapshot.family_ledgers.values()] == [1, 1]


def test_only_assignable_people_are_kept(tmp_path: Path) -> None:
    """Who may be handed the ticket is asked of Jira, not assumed."""
    with team(tmp_path) as acme:
        key = acme.ask()
        acme.site.users[acme.rey.account].active = False
        assert read(acme, key).assignable == {acme.rita.account, acme.ada.account}


@pytest.mark.parametrize(
    "path",
    [
        "/rest/api/3/myself",
        "/rest/api/3/issue/SHOP-3",
        "/rest/api/3/issue/SHOP-1/comment",
        "/rest/api/3/issue/SHOP-3/changelog",
        "/rest/api/3/issue/bulkfetch",
        "/rest/api/3/user/assignable/search",
    ],
)
def test_a_failed_read_of_jira(path: str, tmp_path: Path) -> None:
    """Whichever read of Jira fails, there is no snapshot: unknown is not empty."""
    with team(tmp_path) as acme:
        in_work(acme)
        acme.jira.faults = lambda request: _refused() if request.path == path else None
        with pytest.raises(RunnerError):
            read(acme, "SHOP-3")


def test_a_ticket_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong key, or a project that is hidden from the account, is told as what it is."""
    with team(tmp_path) as acme, pytest.raises(NotFound) as told:
        read(acme, "SHOP-99")

    assert told.value.summary == "There is no ticket SHOP-99, or the runner's Jira account may not see it."


@pytest.mark.parametrize("path", ["/graphql", "/repos/acme/till/pulls", "/repos/acme/till/compare/"])
def test_a_failed_read_of_github(path: str, tmp_path: Path) -> None:
    """Whichever read of GitHub fails, there is no snapshot: unknown is not empty."""
    with team(tmp_path) as acme:
        in_work(acme)

        def fault(request: Request) -> Response | None:
            return _refused() if request.path.startswith(path) else None

        acme.github.before.append(fault)
        with pytest.raises(RunnerError):
            read(acme, "SHOP-3")


def _refused() -> Response:
    """An answer that is final, so that nothing is waited for."""
    return Response(json.dumps({"message": "no", "errorMessages": ["no"]}), 403, mimetype="application/json")


def test_a_half_read_list(tmp_path: Path) -> None:
    """A list of comments that is shorter than Jira's own count is no list."""
    with team(tmp_path) as acme:
        key = in_work(acme)

        def lose(request: Request) -> Response | None:
            if not request.path.endswith(f"{key}/comment") or request.method != "GET":
                return None
            return Response(
                json.dumps({"startAt": 0, "maxResults": 100, "total": 5, "comments": []}),
                mimetype="application/json",
            )

        acme.jira.faults = lose
        with pytest.raises(Unavailable):
            read(acme, key)
