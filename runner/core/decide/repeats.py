"""Comments that two runs wrote at the very same moment: the oldest stands, the others are taken back.

Jira has no unique key for a comment, so only a later look can see that one repeats another.
"""

from __future__ import annotations

from dataclasses import replace

from runner.core import texts
from runner.core.decide.decision import Decision
from runner.core.decide.view import Marked, View
from runner.core.effects import WithdrawComment, identity
from runner.core.markers import Kind, Marker

# Rows of people's labels: nothing is written under them.
HELD = frozenset({"10", "13"})
# How the code of a note begins that stands where a repeated comment was; the comment's id follows.
WITHDRAWN = "withdrawn:"


def with_repeats_withdrawn(decision: Decision, view: View) -> Decision:
    """The decision, and with it an end to every comment that says again what an older one says.

    A ticket that rests after a failure is left as it is until a person wakes it.
    """
    is_resting = decision.row == "9b" and decision.work is None and not decision.effects
    repeats = () if decision.row in HELD or is_resting else repeated_comments(view)
    if not repeats:
        return decision
    if decision.work is not None:
        return replace(decision, claim=(*decision.claim, *repeats))
    return replace(decision, effects=(*repeats, *decision.effects))


def repeated_comments(view: View) -> tuple[WithdrawComment, ...]:
    """Our own comments whose natural key an older one of ours has already."""
    first: dict[tuple[str, ...], Marked] = {}
    repeats = []
    for marked in sorted(view.trail, key=_age):
        kept = first.setdefault(identity(marked.marker), marked)
        if kept is not marked and _is_by_me(marked, view):
            repeats.append(
                WithdrawComment(
                    key=view.key,
                    comment_id=marked.comment.id,
                    markdown=texts.repeated_comment(),
                    marker=_withdrawn(marked),
                )
            )
    return tuple(repeats)


def _age(marked: Marked) -> tuple[str, int, str]:
    comment = marked.comment
    return (comment.created, len(comment.id), comment.id)


def _is_by_me(marked: Marked, view: View) -> bool:
    """Comments of a former account can be read and not changed."""
    return marked.comment.author.id == marked.comment.editor.id == view.snapshot.me.id


def _withdrawn(marked: Marked) -> Marker:
    """A note in its place: it says nothing any more, but what its run cost and took into account stays known."""
    marker = marked.marker
    return Marker(
        kind=Kind.NOTE,
        key=marker.key,
        repository=marker.repository,
        run=marker.run,
        code=f"{WITHDRAWN}{marked.comment.id}",
        seen=marker.seen,
        ledger=marker.ledger,
    )
