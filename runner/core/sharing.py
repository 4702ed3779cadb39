"""``sequence: shared``: which sub-task a point of feedback belongs to, on the one pull request that all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runner.core.feedback import Feedback
from runner.core.model import CommitInfo


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """A commit of ours on a shared branch, and the sub-task it was made for."""

    key: str
    commit: CommitInfo


def contributors(contributions: Sequence[Contribution]) -> tuple[str, ...]:
    """The sub-tasks with a commit on the branch, in the order in which they joined it."""
    return tuple(dict.fromkeys(one.key for one in contributions))


def owner_of(point: Feedback, contributions: Sequence[Contribution]) -> str | None:
    """The sub-task that answers a point: the last one that changed the file it is about, else the last that joined.

    A review's summary is about the files of its inline comments. Contributions are oldest first. Only those count that were there when the point was made, so that a later
    sub-task does not inherit what was said before it; ``None`` without any contribution.
    """
    # Both are whole seconds: nobody says something about a commit within the second in which it was made.
    there = [one for one in contributions if one.commit.committed < point.version] or contributions
    paths = {point.path} if point.path else set(point.beside)
    touching = [one.key for one in there if paths.intersection(one.commit.files)]
    if touching:
        return touching[-1]
    joined = contributors(there)
    return joined[-1] if joined else None
