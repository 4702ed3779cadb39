"""Feedback: what people and checks said that no run has taken into account yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from runner.core.digests import digest
from runner.core.markers import Seen
from runner.core.model import Comment, PullRequest, ReviewState

MAX_CHECK_NAME = 70
_VERDICTS = (ReviewState.APPROVED, ReviewState.CHANGES_REQUESTED, ReviewState.DISMISSED)
Source = Literal["comment", "ticket", "review", "thread", "conversation", "check"]


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """One point. ``id`` is unique over all sources; ``version`` changes when the point is edited.

    ``thread_id`` and ``comment_id`` say where on the pull request an answer belongs. ``beside`` are the files of a
    review's inline comments, where they were asked for.
    """

    id: str
    source: Source
    version: str
    author: str
    text: str
    path: str = ""
    line: int | None = None
    thread_id: str = ""
    comment_id: str = ""
    beside: tuple[str, ...] = ()


def comment_points(comments: tuple[Comment, ...], ours: frozenset[str]) -> Iterator[Feedback]:
    """Comments of people on the ticket; one of ours that a person edited counts as theirs."""
    for comment in comments:
        if comment.is_restricted or not comment.editor.is_person or comment.editor.id in ours:
            continue
        yield Feedback(
            id=f"comment:{comment.id}",
            source="comment",
            version=comment.updated,
            author=comment.editor.name or comment.editor.id,
            text=comment.text,
        )


def pull_request_points(pull_request: PullRequest) -> Iterator[Feedback]:
    """Reviews with words or a demand, open threads and conversation, by people who may push here."""
    for review in pull_request.reviews:
        demands = review.state is ReviewState.CHANGES_REQUESTED
        if review.is_person and review.can_write and (demands or review.body.strip()):
            text = review.body.strip() or "Changes are requested; see the inline comments."
            version = review.updated or review.submitted
            yield Feedback(
                id=f"review:{review.id}",
                source="review",
                version=version,
                author=review.author,
                text=text,
                beside=review.paths,
            )
    for thread in pull_request.threads:
        if thread.is_resolved:
            continue
        for comment in thread.comments:
            if comment.is_person and comment.can_write and not comment.is_ours:
                yield Feedback(
                    id=f"thread:{comment.id}",
                    source="thread",
                    version=comment.updated,
                    author=comment.author,
                    text=comment.body,
                    path=thread.path,
                    line=thread.line,
                    thread_id=thread.id,
                    comment_id=comment.id,
                )
    for comment in pull_request.comments:
        if comment.is_person and comment.can_write and not comment.is_ours:
            yield Feedback(
                id=f"conversation:{comment.id}",
                source="conversation",
                version=comment.updated,
                author=comment.author,
                text=comment.body,
            )


def check_points(pull_request: PullRequest) -> Iterator[Feedback]:
    """Checks that failed on the present head."""
    for check in pull_request.checks:
        if check.conclusion == "failure":
            yield Feedback(
                id=_check_id(check.name),
                source="check",
                version=pull_request.head_sha,
                author=check.name,
                text=check.summary or f"The check {check.name} failed.",
            )


def _check_id(name: str) -> str:
    """A check's name as the id of a point, which has to be short and in one line; a matrix makes long names."""
    words = " ".join(name.split())
    return f"check:{words if len(words) <= MAX_CHECK_NAME else words[: MAX_CHECK_NAME - 13] + '-' + digest(name)}"


def changes_requested(pull_request: PullRequest, seen: Seen) -> bool:
    """Whether a person who may push demands changes and no run has taken that review into account."""
    return any(
        review.state is ReviewState.CHANGES_REQUESTED
        and review.is_person
        and review.can_write
        and not seen.covers(f"review:{review.id}", review.updated or review.submitted)
        for review in pull_request.reviews
    )


def is_demand_standing(pull_request: PullRequest) -> bool:
    """Whether somebody who may push still requests changes: their newest verdict says so."""
    verdicts = {
        review.author: review.state
        for review in sorted(pull_request.reviews, key=lambda one: one.submitted)
        if review.is_person and review.can_write and review.state in _VERDICTS
    }
    return ReviewState.CHANGES_REQUESTED in verdicts.values()
