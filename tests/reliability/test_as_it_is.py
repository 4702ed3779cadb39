"""Jira and GitHub as they are: large, slow to show, locked, and with their own opinion on who may do what."""

from __future__ import annotations

import re

import pytest
from werkzeug.wrappers import Response

from runner.core.report import report
from runner.sandbox.jira.adf import from_text
from runner.sandbox.server import json_response
from tests.reliability import scenes
from tests.reliability.arena import PROJECT
from tests.reliability.crashing import undisturbed
from tests.reliability.invariants import differences, end_of, is_at_rest, violations
from tests.reliability.scenes import PHASES, Scene
from tests.reliability.settling import settle
from tests.reliability.tally import IS_FULL
from tests.reliability.test_people import said
from tests.reliability.wire import Interfere, Line, Sent


def commented(number: int) -> Scene:
    """A ticket to plan, with this many comments of Rita's more."""
    scene = scenes.plan().copy()
    issue, body = scene.arena.issue(scene.key), from_text("Again.")
    for _ in range(number):
        scene.arena.site.add_comment(issue, scene.arena.rita.account, body)
    return scene


def test_thousands_of_comments_are_read_in_pages_and_once_for_each_stage() -> None:
    """Every comment counts, the newest as well as the first; the number of requests stays bounded."""
    number = 4_990 if IS_FULL else 490
    scene = commented(number)
    arena, runs = scene.arena, scene.runs()

    ran = runs.run(scene.key)

    pages = [one for one in ran.line.sent if one.method == "GET" and one.path.endswith("/comment")]
    assert (arena.status(scene.key), violations(arena, runs)) == ("Plan Review", [])
    assert len(pages) <= 2 * (number // 100 + 2)
    assert ran.file is not None
    assert ran.file.context is not None
    assert len(ran.file.context.comments) == number + 1
    assert is_at_rest(runs.run(scene.key))


def test_a_ticket_at_jiras_limit_of_comments_is_not_worked_on() -> None:
    """Jira takes five thousand: what cannot be said on the ticket, the job says, and no model is asked."""
    scene = commented(4_999)

    ran = scene.runs().run(scene.key)

    assert (ran.model_calls, ran.exit_code != 0) == (0, True)
    assert "limit of 5000 comments" in ran.untold


def test_two_hundred_sub_tasks_are_read_in_bulk() -> None:
    """A parent with many sub-tasks of people costs a handful of requests more, and waits for all of them."""
    scene = scenes.completion().copy()
    arena, runs = scene.arena, scene.runs()
    for number in range(200):
        arena.rita.create_ticket(f"By hand {number}", type="Sub-task", project=PROJECT, parent=scene.parent)

    ran = runs.run(scene.parent)

    assert (is_at_rest(ran), arena.status(scene.parent)) == (True, "In Progress")
    assert len(ran.line.sent) <= 40
    for key in arena.sub_tasks(scene.parent)[-200:]:
        arena.ada.move(key, "Done")
    assert settle(runs, scene.parent) == []
    assert arena.status(scene.parent) == "Done"


def _locked(sent: Sent) -> Response | None:
    """What a site answers for an archived ticket, or to an account that may only read."""
    if sent.service != "jira" or not sent.is_write:
        return None
    return json_response(
        {"errorMessages": ["You do not have permission to edit this issue."], "errors": {}}, 403
    )


def _hidden(sent: Sent) -> Response | None:
    """What a site answers for a ticket that the account cannot see any more."""
    if sent.service != "jira" or "/issue/" not in sent.path:
        return None
    return json_response(
        {"errorMessages": ["Issue does not exist or you do not have permission to see it."]}, 404
    )


@pytest.mark.parametrize("answer", [_locked, _hidden], ids=["only readable", "not to be seen"])
@pytest.mark.parametrize("phase", ["plan", "breakdown", "implement", "merge"])
def test_an_archived_ticket_costs_no_model_call_and_stays_as_it_is(phase: str, answer: Interfere) -> None:
    """Nothing can be written, not even why: the job is red and says so, however often it is started."""
    scene = PHASES[phase]().copy()
    arena, runs = scene.arena, scene.runs()
    before = (arena.status(scene.key), arena.labels(scene.key), len(arena.issue(scene.key).comments))

    ran = runs.run(scene.key, line=Line(before=answer))

    after = (arena.status(scene.key), arena.labels(scene.key), len(arena.issue(scene.key).comments))
    assert (ran.model_calls, ran.exit_code != 0, after) == (0, True, before)
    assert ran.error is not None
    assert len(arena.hub.pulls) <= 1


@pytest.mark.parametrize("late", [1, 2, 5])
@pytest.mark.parametrize("phase", ["implement", "implement_stacked", "direct"])
def test_a_pull_request_that_github_lists_late_is_opened_once(phase: str, late: int) -> None:
    """GitHub's copies lag: what was opened is taken for neither absent nor refused, and no model is asked for it again."""
    scene = PHASES[phase]().copy()
    arena, runs, opened, looks = scene.arena, scene.runs(), [], iter(range(late))

    def lag(sent: Sent, answer: Response) -> Response | None:
        if sent.service != "github" or not sent.path.endswith("/pulls"):
            return None
        if sent.method == "POST":
            opened.extend([answer.get_json()["number"]] if answer.status_code == 201 else [])
            return None
        is_late = bool(opened) and next(looks, None) is not None
        listed = [one for one in answer.get_json() if one["number"] not in opened]
        return json_response(listed) if is_late else None

    runs.run(scene.key, line=Line(after=lag))
    assert settle(runs, scene.key) == []

    assert len(opened) == 1
    assert differences(dict(undisturbed(phase).end), end_of(arena)) == []
    assert sum(ran.model_calls for ran in runs.history) == 1


def test_checks_that_wait_for_a_person_are_told_in_three_places() -> None:
    """The pull request of a workflow's own token says it, the ticket says it, and so does the job summary."""
    scene = scenes.implement().copy()
    ran = scene.runs().run(scene.key)

    (pull,) = scene.arena.hub.pulls.values()
    told = [str(one.body) for one in scene.arena.issue(scene.key).comments]
    assert ran.end is not None
    assert "Approve workflows to run" in (pull.body or "")
    assert any("Approve workflows to run" in text for text in told)
    assert "Approve workflows to run" in report(ran.end).summary


def test_a_run_that_pushed_nothing_does_not_speak_of_checks() -> None:
    """A job summary names what a person must do now, and nothing else."""
    scene = scenes.implemented().copy()
    ran = scene.runs().run(scene.key)

    assert ran.end is not None
    assert "Approve workflows" not in report(ran.end).summary


@pytest.mark.parametrize("name", ["broken_down", "shared_both"])
def test_the_head_of_the_base_branch_is_asked_for_once_with_each_look(name: str) -> None:
    """A parent's run costs no request twice, whether its sub-tasks have branches of their own or share one."""
    scene = getattr(scenes, name)().copy()

    sent = scene.runs().run(scene.parent).line.sent

    looks = [one for one in sent if one.path.endswith(f"/issue/{scene.parent}") and one.method == "GET"]
    heads = [one for one in sent if one.path.endswith("/git/ref/heads/main")]
    assert len(heads) == len(looks)


@pytest.mark.parametrize("service", ["jira", "github"])
def test_a_limited_service_is_named_with_its_limit_and_the_time(service: str) -> None:
    """The ticket waits and says that requests are limited, and until when; with Jira itself only the job can say it."""
    scene = scenes.implement().copy()
    arena, runs = scene.arena, scene.runs()
    headers = {"Retry-After": "3600", "RateLimit-Reason": "jira-quota-global-based"}

    def limited(sent: Sent) -> Response | None:
        is_hit = sent.service == service and sent.method == "POST" and "graphql" not in sent.path
        return json_response({"message": "slow down"}, 429, headers) if is_hit else None

    ran = runs.run(scene.key, line=Line(before=limited))

    words = "limits the rate of requests (the quota of this time is used up)"
    if service == "jira":
        assert words in ran.untold
        return
    assert said(arena, scene.key, re.escape(f"GitHub {words}"))
    assert said(arena, scene.key, r"goes on by itself after \d{4}-\d\d-\d\d \d\d:\d\d UTC")
    assert "ai:waiting" in arena.labels(scene.key)


def test_a_ticket_locked_while_the_runner_works_goes_on_once_it_is_open_again() -> None:
    """What was pushed stands; nothing is asked or pushed again, and the job was red meanwhile."""
    scene = scenes.implement().copy()
    arena, runs = scene.arena, scene.runs()
    is_pushed = False

    def lock(sent: Sent) -> Response | None:
        nonlocal is_pushed
        is_pushed = is_pushed or sent.method == "PUSH"
        return _locked(sent) if is_pushed else None

    ran = runs.run(scene.key, line=Line(before=lock))
    assert (ran.exit_code != 0, arena.status(scene.key)) == (True, "In Progress")

    assert settle(runs, scene.key) == []
    assert (arena.status(scene.key), len(arena.hub.pulls)) == ("In Testing", 1)
    assert sum(one.model_calls for one in runs.history) == 1
    assert violations(arena, runs) == []


def test_a_ticket_deleted_while_the_runner_works_gets_no_pull_request() -> None:
    """Nobody is left to review for: the job says that the ticket is gone, and nothing is pushed."""
    scene = scenes.implement().copy()
    arena, runs = scene.arena, scene.runs()

    ran = runs.run(scene.key, meanwhile=lambda: arena.site.delete_issue(arena.issue(scene.key)))

    assert (ran.exit_code != 0, arena.hub.pulls, ran.error is not None) == (True, {}, True)
    assert f"ai/{scene.key}" not in arena.github.branches()
    assert settle(runs, scene.parent) == []
    assert len(arena.sub_tasks(scene.parent)) == 2


@pytest.mark.parametrize("is_commented", [False, True], ids=["as it was", "with a comment"])
@pytest.mark.parametrize(
    ("name", "status", "pulls"), [("implement", "In Testing", 1), ("plan", "Plan Review", 0)]
)
def test_a_status_renamed_while_the_runner_works_is_named_and_its_result_is_kept(
    name: str, status: str, pulls: int, is_commented: bool
) -> None:
    """The hand-over cannot move the ticket: it says what to configure, and after that only this is made up for.

    Unless somebody said something meanwhile, which a model has to answer.
    """
    scene = PHASES[name]().copy()
    arena, runs = scene.arena, scene.runs()
    ran = runs.run(scene.key, meanwhile=lambda: arena.rename_status(status, "QA"))

    assert (ran.exit_code, len(arena.hub.pulls)) == (2, pulls)
    assert said(arena, scene.key, "jira.statuses")
    assert "ai:failed" in arena.labels(scene.key)
    arena.rename_status("QA", status)
    if is_commented:
        arena.rey.comment(scene.key, "And mention the currency.")
    arena.rey.assign(scene.key, arena.bot)
    resumed = runs.run(scene.key)
    assert resumed.dispatched == tuple(arena.sub_tasks(scene.parent)[1:2])
    assert settle(runs, scene.key) == []
    assert (arena.status(scene.key), len(arena.hub.pulls)) == (status, pulls)
    assert (arena.assignee(scene.key), "ai:failed" in arena.labels(scene.key)) == (
        "rey" if pulls else "ada",
        False,
    )
    assert sum(one.model_calls for one in runs.history) == 1 + is_commented
