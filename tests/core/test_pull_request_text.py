"""What stands in a pull request and its commit: from outside, and yet without effects."""

from __future__ import annotations

import pytest

from runner.core.feedback import check_points
from runner.core.model import CommitInfo
from runner.core.plan import PointAnswer
from runner.core.pull_request_text import answers_in, commit_message, title
from tests.core.snapshots import check, pull_request

ZERO_WIDTH_SPACE = "\u200b"


def message(*, summary: str = "Round prices", answer: str = "Renamed.") -> str:
    return commit_message(
        "ABC-1",
        summary,
        text="Rounded.",
        answers=(PointAnswer(id="comment:1", verdict="done", text=answer),),
        checks=(),
        trailers={},
    )


def test_a_title_shows_everything_it_holds() -> None:
    """A summary with an override of the writing direction would read otherwise than it is."""
    assert title("ABC-1", "Pay \u202e001 \u200bto\nme") == "ABC-1: Pay 001 to me"


def test_a_commit_closes_no_issue() -> None:
    """Neither the ticket's summary nor an answer that quotes it refers to an issue once it is merged."""
    text = message(summary="Fixes #12", answer="closes acme/till#3")

    assert ("#12" in text, "till#3" in text) == (False, False)
    assert text.replace(ZERO_WIDTH_SPACE, "").startswith("ABC-1: Fixes #12\n")


def test_answers_are_read_back_from_a_commit() -> None:
    """A later run finishes the hand-over with the same words."""
    commit = CommitInfo(sha="a" * 40, message=message(answer="Renamed it, as asked."))

    assert answers_in(commit) == (PointAnswer(id="comment:1", verdict="done", text="Renamed it, as asked."),)


@pytest.mark.parametrize("name", ["Lint / unit (ubuntu, 3.11)", "CI / " + "long matrix " * 20, "two\nlines"])
def test_an_answer_to_any_check_is_read_back_from_a_commit(name: str) -> None:
    """Names of checks hold spaces and grow with their matrix; as a point's id they stay short."""
    (point,) = check_points(pull_request("ABC-11", checks=(check(name),)))
    told = PointAnswer(id=point.id, verdict="done", text="Repaired.")
    text = commit_message("ABC-11", "Do it", text="", answers=(told,), checks=(), trailers={})

    assert answers_in(CommitInfo(sha="a" * 40, message=text)) == (told,)


def test_a_foreign_line_that_looks_like_an_answer_breaks_nothing() -> None:
    """Whoever may push can write such a commit."""
    text = f"Do it\n\n- comment:{'7' * 200} done: x\n- comment:8 done: {'y' * 9_000}\n"

    assert [one.id for one in answers_in(CommitInfo(sha="a" * 40, message=text))] == ["comment:8"]
