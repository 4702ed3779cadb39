"""The behaviour table over real HTTP and git, one scene per row: run once, run again, and run with a failing read.

A scene brings a ticket into the row's situation. The row's run leaves what the table says; a second run in a row
writes nothing and asks no model; with a failing read nothing is written at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from werkzeug.wrappers import Request, Response

from runner.core.handover import Result, WorkFile
from runner.core.phases import Phase
from runner.core.plan import PlanAnswer
from runner.errors import RunnerError
from tests.shapes.harness import Ran, Team, answer, result, team

QUERIES = ("/search/jql", "/bulkfetch", "/graphql")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table: the scene that leads to it returns the ticket; then what the run must leave."""

    scene: Callable[[Team], str]
    leaves: Callable[[Team, str, Ran], None]
    think: Callable[[WorkFile], Result] = answer


# --- scenes -------------------------------------------------------------------------------------------------


def asked(acme: Team) -> str:
    return acme.ask()


def planned(acme: Team) -> str:
    key = acme.ask()
    acme.follow(key)
    return key


def commented(acme: Team) -> str:
    key = planned(acme)
    acme.ada.comment(key, "Please also round.")
    acme.ada.assign(key, acme.bot)
    return key


def given_back(acme: Team) -> str:
    key = planned(acme)
    acme.ada.assign(key, acme.bot)
    return key


def approved(acme: Team) -> str:
    key = planned(acme)
    acme.ada.move(key, "In Progress")
    return key


def broken_down(acme: Team) -> str:
    """The parent is broken down; its first sub-task waits for its run."""
    key = approved(acme)
    acme.run(key)
    return acme.sub_tasks(key)[0]


def in_progress(acme: Team) -> str:
    """A run claimed the sub-task and died before it had any result."""
    key = broken_down(acme)
    bot = acme.rita.__class__(acme.jira, acme.bot)
    bot.move(key, "In Progress")
    bot.label(key, add=["ai:working", "ai:try-1"])
    return key


def handed_over(acme: Team) -> str:
    key = broken_down(acme)
    acme.run(key)
    return key


def with_feedback(acme: Team) -> str:
    key = handed_over(acme)
    acme.rey.comment(key, "Please name it better.")
    acme.rey.assign(key, acme.bot)
    return key


def with_review(acme: Team) -> str:
    key = handed_over(acme)
    path = next(path for path in acme.github.files(f"ai/{key}") if path.startswith("src/p"))
    acme.reviewer.review(1, "REQUEST_CHANGES", "Not yet.", inline=[(path, 1, "Why so?")])
    return key


def with_failed_check(acme: Team) -> str:
    key = handed_over(acme)
    head = acme.reviewer.pull(1)["head"]["sha"]
    acme.reviewer.request("POST", f"statuses/{head}", state="failure", context="ci", description="It broke")
    return key


def merged(acme: Team) -> str:
    key = handed_over(acme)
    acme.reviewer.merge(1)
    return key


def closed(acme: Team) -> str:
    key = handed_over(acme)
    acme.reviewer.close(1)
    return key


def rejected_and_given_back(acme: Team) -> str:
    key = closed(acme)
    acme.run(key)
    acme.rey.comment(key, "Do it without the file.")
    acme.rey.assign(key, acme.bot)
    return key


def all_done(acme: Team) -> str:
    key = approved(acme)
    acme.follow(key)
    first, second = acme.sub_tasks(key)
    acme.reviewer.merge(1)
    acme.run(first)
    acme.run(second)
    acme.reviewer.merge(2)
    acme.run(second)
    return key


def questioned(acme: Team) -> str:
    key = acme.ask()
    acme.run(key, think=asking)
    acme.rita.comment(key, "In euros.")
    acme.rita.assign(key, acme.bot)
    return key


def direct(acme: Team) -> str:
    key = acme.rita.create_ticket("Small thing", "Write it.", project="SHOP", labels=["ai:direct"])
    acme.rita.assign(key, acme.bot)
    return key


def labelled(label: str) -> Callable[[Team], str]:
    def scene(acme: Team) -> str:
        key = acme.rita.create_ticket("Leave it", "", project="SHOP", labels=[label])
        acme.rita.assign(key, acme.bot)
        return key

    return scene


def plan_only(acme: Team) -> str:
    key = planned(acme)
    acme.ada.label(key, add=["ai:no-exec"])
    acme.ada.move(key, "In Progress")
    return key


# --- models -------------------------------------------------------------------------------------------------


def asking(file: WorkFile) -> Result:
    questions = PlanAnswer(
        outcome="questions", summary="", items=(), questions=("In which currency?",), answers=()
    )
    assert file.work is not None
    if file.work.phase is Phase.PLAN:
        return result(file, plan=questions).model_copy(
            update={"outcome": "asked", "questions": questions.questions}
        )
    return result(file).model_copy(update={"outcome": "asked", "questions": questions.questions})


def ending(outcome: str) -> Callable[[WorkFile], Result]:
    def think(file: WorkFile) -> Result:
        return result(file).model_copy(update={"outcome": outcome, "summary": "As far as it went."})

    return think


# --- what is left -------------------------------------------------------------------------------------------


def stands(
    status: str, whose: str | None, *words: str, outcome: str = "done"
) -> Callable[[Team, str, Ran], None]:
    """The ticket stands in a status with somebody, the run had this outcome, and the ticket was told these words."""

    def check(acme: Team, key: str, ran: Ran) -> None:
        people = {
            "bot": acme.bot,
            "rita": acme.rita.account,
            "ada": acme.ada.account,
            "rey": acme.rey.account,
        }
        assert (ran.end.outcome, ran.error) == (outcome, None), ran.log
        assert acme.status(key) == status
        assert acme.site.issue(key).assignee == (people[whose] if whose else None)
        for word in words:
            assert word in acme.said(key)

    return check


def nothing_done(acme: Team, key: str, ran: Ran) -> None:
    assert (ran.end.outcome, ran.end.writes) == ("nothing", 0)
    assert acme.said(key) == ""


def sub_tasks_made(acme: Team, key: str, ran: Ran) -> None:
    stands("In Progress", "bot", "I work through these in order")(acme, key, ran)
    made = acme.sub_tasks(key)
    assert len(made) == 2
    assert {acme.site.issue(one).assignee for one in made} == {acme.bot}
    assert ran.end.next == (made[0],)


def woken(acme: Team, key: str, ran: Ran) -> None:
    stands("Done", "rey", "was merged")(acme, key, ran)
    assert acme.rita.read(key)["fields"]["parent"]["key"] in ran.end.next


ROWS = {
    "1 no plan yet": Row(scene=asked, leaves=stands("Plan Review", "ada", "A plan.", "to approve")),
    "2 comments on the plan": Row(
        scene=commented, leaves=stands("Plan Review", "ada", "version 2", "Please also round")
    ),
    "2 nothing new": Row(
        scene=given_back, leaves=stands("Plan Review", "ada", "already answers everything", outcome="waiting")
    ),
    "3 approved": Row(scene=approved, leaves=sub_tasks_made),
    "4 ready to start": Row(scene=broken_down, leaves=stands("In Testing", "rey", "ready for review")),
    "5 a run died": Row(scene=in_progress, leaves=stands("In Testing", "rey", "ready for review")),
    "6 feedback in Jira": Row(
        scene=with_feedback, leaves=stands("In Testing", "rey", "Please name it better")
    ),
    "6 changes requested": Row(scene=with_review, leaves=stands("In Testing", "rey", "Why so?")),
    "6 failed check": Row(scene=with_failed_check, leaves=stands("In Testing", "rey", "ci")),
    "7 all done": Row(scene=all_done, leaves=stands("Done", "bot", "All 2 sub-tasks are done", "US$0.03")),
    "8 a question": Row(
        scene=asked, think=asking, leaves=stands("Blocked", "rita", "In which currency?", outcome="asked")
    ),
    "8 a question while implementing": Row(
        scene=broken_down,
        think=asking,
        leaves=stands("Blocked", "rita", "In which currency?", outcome="asked"),
    ),
    "9a answered": Row(scene=questioned, leaves=stands("Plan Review", "ada", "A plan.")),
    "9b given back after a veto": Row(
        scene=rejected_and_given_back, leaves=stands("In Testing", "rey", "ready for review")
    ),
    "10 ignore": Row(scene=labelled("ai:ignore"), leaves=nothing_done),
    "11 plan only": Row(scene=plan_only, leaves=stands("In Progress", "ada", "plan only", outcome="waiting")),
    "12 direct": Row(scene=direct, leaves=stands("In Review", "rey", "ready for review")),
    "13 stop": Row(scene=labelled("ai:stop"), leaves=nothing_done),
    "14 merged": Row(scene=merged, leaves=woken),
    "14 closed": Row(scene=closed, leaves=stands("Blocked", "rey", "I take that as a no", outcome="waiting")),
    "15 refused": Row(
        scene=broken_down,
        think=ending("refused"),
        leaves=stands("Blocked", "rey", "declined", outcome="failed"),
    ),
    "15 budget": Row(
        scene=broken_down, think=ending("budget"), leaves=stands("Blocked", "rey", "budget", outcome="failed")
    ),
}


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    # The one patch: waiting between tries costs no time here.
    monkeypatch.setattr("runner.adapters.http.SystemClock.sleep", lambda *_: None)
    with team(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("name", ROWS)
def test_a_row_leaves_what_the_table_says_and_a_second_run_writes_nothing(acme: Team, name: str):
    """The row's run ends as stated; the same key at once again writes nothing and asks no model."""
    row = ROWS[name]
    key = row.scene(acme)
    row.leaves(acme, key, acme.run(key, think=row.think))
    before = len(acme.recorder.exchanges)
    again = acme.run(key, think=row.think)
    assert (again.writes, again.end.model_calls, written(acme, before)) == (0, 0, [])


@pytest.mark.parametrize("fails", ["/comment", "/changelog", "/pulls", "/branches", "/contents/"])
@pytest.mark.parametrize(
    "name", ["1 no plan yet", "3 approved", "4 ready to start", "6 feedback in Jira", "14 merged"]
)
def test_a_failing_read_stops_every_write(acme: Team, name: str, fails: str):
    """Unknown is not empty: while a read keeps failing nothing is written, but that the ticket waits for the service."""
    row = ROWS[name]
    key = row.scene(acme)
    hit: list[str] = []

    def fault(request: Request) -> Response | None:
        mine = request.headers.get("User-Agent", "").startswith("ai-runner")
        if request.method != "GET" or fails not in request.path or not mine:
            return None
        hit.append(request.path)
        return Response("upstream is down", status=500, mimetype="text/plain")

    before = len(acme.recorder.exchanges)
    acme.jira.faults = fault
    acme.github.before.append(fault)
    with contextlib.suppress(RunnerError):
        acme.run(key, think=row.think)
    assert not hit or written(acme, before) == [] or is_parked(acme, key, before)


def is_parked(acme: Team, key: str, since: int) -> bool:
    """Only the words that the ticket waits, and their label, were written; GitHub was not touched."""
    allowed = (f"/issue/{key}", f"/issue/{key}/comment")
    paths = [one.partition(" ")[2] for one in written(acme, since)]
    is_said = all(path.endswith(allowed) or f"/issue/{key}/comment/" in path for path in paths)
    return is_said and len(paths) <= 2 and "ai:waiting" in acme.labels(key)


def written(acme: Team, since: int) -> list[str]:
    """Every request since then that changes something."""
    return [
        f"{one['method']} {one['path']}"
        for one in acme.recorder.exchanges[since:]
        if one["method"] not in ("GET", "HEAD")
        and not one["path"].endswith(QUERIES)
        and not one["path"].endswith("/dispatches")
    ]
