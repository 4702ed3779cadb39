"""Which sub-task a point on a shared pull request belongs to."""

from __future__ import annotations

from dataclasses import replace

from runner.core.feedback import Feedback
from runner.core.model import CommitInfo
from runner.core.sharing import Contribution, contributors, owner_of


def made(key: str, minute: int, *files: str) -> Contribution:
    """A commit for a sub-task."""
    commit = CommitInfo(
        sha=f"{minute:040d}", message=key, committed=f"2026-03-01T09:{minute:02d}:00.000Z", files=files
    )
    return Contribution(key=key, commit=commit)


def point(minute: int, path: str = "", *beside: str) -> Feedback:
    """Something that was said."""
    return Feedback(
        id="thread:1",
        source="thread" if path else "review",
        version=f"2026-03-01T09:{minute:02d}:30.000Z",
        author="ron",
        text="Why?",
        path=path,
        beside=beside,
    )


HISTORY = (made("A-2", 10, "a.py"), made("A-3", 20, "b.py", "a.py"), made("A-2", 30, "c.py"))


def test_sub_tasks_are_named_in_the_order_in_which_they_joined() -> None:
    """A second commit of the first does not make it the last."""
    assert contributors(HISTORY) == ("A-2", "A-3")


def test_a_point_about_a_file_belongs_to_the_last_that_changed_it() -> None:
    """Later changes of other files do not count."""
    assert owner_of(point(40, "a.py"), HISTORY) == "A-3"
    assert owner_of(point(40, "c.py"), HISTORY) == "A-2"


def test_a_point_about_no_changed_file_belongs_to_the_last_that_joined() -> None:
    """A file that nobody changed, and a review without inline comments."""
    assert owner_of(point(40, "z.py"), HISTORY) == "A-3"
    assert owner_of(point(40), HISTORY) == "A-3"


def test_a_reviews_summary_goes_with_its_inline_comments() -> None:
    """What it is about, they tell."""
    assert owner_of(point(40, "", "c.py"), HISTORY) == "A-2"


def test_who_joins_later_does_not_inherit_what_was_said_before() -> None:
    """Otherwise a run's own push would change what it was asked."""
    assert owner_of(point(15), HISTORY) == "A-2"
    assert owner_of(point(15, "a.py"), HISTORY) == "A-2"


def test_an_answer_within_the_same_second_is_no_part_of_what_was_said() -> None:
    """A run that is quicker than the clock does not take over what it answers."""
    said = replace(point(20, "", "a.py", "b.py"), version=HISTORY[1].commit.committed)
    assert owner_of(said, HISTORY) == "A-2"


def test_after_a_rewrite_of_all_commits_points_still_have_an_owner() -> None:
    """A rebase makes every commit younger than what was said."""
    assert owner_of(point(5), HISTORY) == "A-3"


def test_without_a_commit_of_ours_nobody_answers() -> None:
    """A branch that only a person pushed to."""
    assert owner_of(point(5), ()) is None
