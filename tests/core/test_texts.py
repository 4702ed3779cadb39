"""What people read: each text names what happened, what it means and what to do, and no value leaves its place."""

from __future__ import annotations

from decimal import Decimal

import pytest

from runner.core import texts
from runner.core.feedback import Feedback
from runner.core.markers import LedgerEntry
from runner.core.phases import Phase
from runner.core.plan import PointAnswer, compare
from runner.core.texts import CheckLine
from tests.core.snapshots import plan


def bill(usd: str | None) -> LedgerEntry:
    return LedgerEntry(
        run="1", phase="plan", model="m", tokens=1_500, usd=None if usd is None else Decimal(usd)
    )


@pytest.mark.parametrize(
    ("usd", "words"),
    [
        (None, "cost unknown"),
        ("0", "US$0.00"),
        ("0.004", "under US$0.01"),
        ("0.01", "US$0.01"),
        ("12.345", "US$12.34"),
    ],
)
def test_money_is_a_sum_or_unknown(usd: str | None, words: str) -> None:
    """An unknown price is never shown as nothing."""
    assert texts.money(None if usd is None else Decimal(usd)) == words


@pytest.mark.parametrize(("text", "shown"), [("a", "`a`"), ("a`b", "`a'b`"), ("a\nb", "`a b`")])
def test_inline_code_cannot_be_left(text: str, shown: str) -> None:
    """Back-quotes and line breaks inside are made harmless."""
    assert texts.code(text) == shown


def test_nobody_is_mentioned_without_an_account() -> None:
    """An empty mention is no text at all."""
    assert texts.mention("") == ""
    assert texts.mention("ada") == "[~accountid:ada]"


def test_a_run_is_linked_only_by_an_address() -> None:
    """A local run has no page."""
    assert texts.run_link("https://x/1") == "[run](https://x/1)"
    assert texts.run_link("javascript:x") == "run"


def test_a_run_without_a_page_is_not_pointed_to() -> None:
    """A run on somebody's own machine leaves whole sentences."""
    told = [
        texts.working(Phase.PLAN, url="", attempt=1, most=3, stop_label="ai:stop"),
        texts.worked("the plan is ready", url="", ledger=[]),
        texts.parked("Jira is down.", until="", url=""),
        texts.failure("It broke.", meaning="", remedy="Look.", url=""),
    ]

    assert [one for one in told if " run." in one or "(run)" in one] == [told[3]]
    assert told[1] == "**Last run:** the plan is ready.\n\nNo model was asked so far."
    assert told[3].endswith("The details are in the log of the run.")


def test_who_may_approve_is_said_with_and_without_a_list() -> None:
    """A mover who may not approve reads who may, and that the move has to be made again."""
    listed = texts.not_an_approver("Rex", ["ada"])
    anybody = texts.not_an_approver("Automation for Jira", [])

    assert "up to [~accountid:ada]. Nothing was started." in listed
    assert "up to an active person, not to an app. Nothing was started." in anybody
    assert all("out of this status and into it again" in one for one in (listed, anybody))


def test_work_that_goes_on_is_not_called_feedback() -> None:
    """Only answers to points are feedback worked in; a stopped run that went on is ready for review."""
    given = {
        "url": "https://x/7",
        "number": 7,
        "summary": "Rounded.",
        "checks": (),
        "reviewer": "",
        "news": False,
        "is_new": False,
        "waits_for_approval": False,
    }
    point = ("Ada", PointAnswer(id="c1", verdict="done", text="Renamed."))

    assert texts.handover(answers=(), **given).startswith("## Ready for review")  # type: ignore[arg-type]  # as given
    assert texts.handover(answers=(point,), **given).startswith("## Feedback worked in")  # type: ignore[arg-type]  # as given


def test_a_bill_counts_runs_tokens_and_money() -> None:
    """One run is a run, several are runs, none is said."""
    assert texts.bill([]) == "No model was asked so far."
    assert texts.bill([bill("0.5")]) == "So far: 1 run of a model, 1,500 tokens, US$0.50."
    assert "2 runs of a model, 3,000 tokens, cost unknown" in texts.bill([bill("0.5"), bill(None)])


def test_work_in_progress_says_how_to_stop_it() -> None:
    """The label that stops it is named, and from the second attempt on the count."""
    first = texts.working(Phase.PLAN, url="", attempt=1, most=3, stop_label="ai:stop")
    second = texts.working(Phase.PLAN, url="", attempt=2, most=3, stop_label="ai:stop")

    assert "`ai:stop`" in first
    assert "attempt" not in first
    assert "(attempt 2 of 3)" in second


def plan_text(**over: object) -> str:
    values: dict[str, object] = {
        "version": 1,
        "difference": None,
        "answers": (),
        "approve": "In Progress",
        "approver": "ada",
        "notes": (),
        "news": False,
        **over,
    }
    return texts.plan_comment(plan(), **values)  # type: ignore[arg-type]  # as its keywords


def test_a_plan_says_how_to_approve_and_how_to_change_it() -> None:
    """The approver is mentioned, with the status in the project's own words."""
    said = plan_text()

    assert "[~accountid:ada]: to approve, move this ticket to **In Progress**" in said
    assert "comment and assign the ticket back to me" in said
    assert "version" not in said


def test_a_plan_with_news_does_not_ask_for_approval() -> None:
    """Comments that arrived meanwhile come first."""
    said = plan_text(news=True)

    assert "New comments arrived" in said
    assert "to approve" not in said


def test_a_new_version_shows_its_difference_and_its_answers() -> None:
    """The number, what changed, and each comment with its answer."""
    old = plan("alpha", "gamma")
    answers = [("Ada (“why?”)", PointAnswer(id="c", verdict="declined", text="No\nneed."))]

    said = plan_text(version=2, difference=compare(old, plan()), answers=answers)

    assert "## Plan, version 2" in said
    assert "- added `beta`: Do beta" in said
    assert "- removed `gamma`" in said
    assert "- Ada (“why?”): **Declined.** No need." in said


def test_a_plan_names_what_was_not_read() -> None:
    """Restricted comments and files left out are worth knowing."""
    assert "### Worth knowing\n\n- 2 restricted" in plan_text(notes=["2 restricted comments were not read."])


def test_an_item_names_what_it_waits_for() -> None:
    """Predecessors are shown by id, also the implied ones."""
    assert "After: `alpha`" in plan_text()


def test_the_list_of_sub_tasks_names_removed_ones_and_a_changed_description() -> None:
    """What a person removed is not made again, and what they changed is said."""
    said = texts.breakdown(plan(), {"alpha": "ABC-11"}, removed=["beta"], changed_since=True)

    assert "| 1 | ABC-11 | Do alpha |" in said
    assert "| 2 | removed | Do beta |" in said
    assert "not created again: `beta`" in said
    assert "description was changed" in said


def test_questions_are_numbered_and_say_how_to_answer() -> None:
    """Each on its line, to the requester, with what became of edits."""
    said = texts.questions(["Up?", "Down\nor?"], requester="rita", discarded=True)

    assert "[~accountid:rita]" in said
    assert "1. Up?\n2. Down or?" in said
    assert "discarded; nothing was pushed" in said
    assert "assign the ticket to me" in said


def test_a_check_is_shown_as_measured() -> None:
    """Passed or failed, how long it took, and whether it failed before."""
    lines = [
        CheckLine(id="unit", is_green=True, was_green=True, seconds=1.24),
        CheckLine(id="lint", is_green=False, was_green=False, seconds=2),
    ]

    assert texts.check_list(lines) == (
        "- `unit` passed in 1.2 s\n- `lint` failed in 2.0 s (it failed before this work, too)"
    )
    assert texts.check_list([]) == "No checks are configured, so nothing was measured."


def test_a_long_point_is_named_by_its_beginning() -> None:
    """A point is called by its author and its first words."""
    point = Feedback(
        id="t", source="thread", version="v", author="ron", text="word " * 100, path="a`b.py", line=1
    )

    named = texts.name_point(point)

    assert named.startswith("ron on `a'b.py` (“word word")
    assert named.endswith("…”)")
    assert len(named) < 120


def test_a_failure_says_what_it_means_what_to_do_and_where_to_look() -> None:
    """Three parts and a link, no traceback."""
    said = texts.failure(
        "It broke.", meaning="Nothing is lost.", remedy="Retry.", url="https://x", whom="ada"
    )

    assert said == (
        "## This run failed\n\n[~accountid:ada]: It broke.\n\nNothing is lost.\n\n"
        "### What to do\n\nRetry. The details are in the [run](https://x)."
    )


def test_the_end_counts_what_people_did() -> None:
    """Sub-tasks, their results and the whole cost."""
    said = texts.completion([("ABC-11", "a|b", "merged")], [bill("1")], 1)

    assert "All 1 sub-tasks are done. 1 of them by people." in said
    assert "| ABC-11 | a/b | merged |" in said
    assert "US$1.00" in said
