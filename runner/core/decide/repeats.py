"""Comments that two runs wrote at the very same moment: the oldest stands, the others are taken back.

Neither Jira nor GitHub has a unique key for a comment, so only a later look can see that one repeats another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.core import texts
from runner.core.decide.decision import Decision
from runner.core.decide.view import Marked, View
from runner.core.effects import RetractAnswer, WithdrawComment, identity, token_of
from runner.core.markers import Kind, Marker
from runner.core.model import ReviewComment

# Rows of people's labels: nothing is written under them.
HELD = frozenset({"10", "13"})
# How the code of a note begins that stands where a repeated comment was; the comment's id follows.
WITHDRAWN = "withdrawn:"


def with_repeats_withdrawn(decision: Decision, view: View) -> Decision:
    """The decision, and with it an end to every comment that says again what an older one says.

    A ticket that rests after a failure is left as it is until a person wakes it. A claim is made without a right to
    write on GitHub, so answers there wait for a look at which no model is needed.
    """
    is_resting = decision.row == "9b" and decision.work is None and not decision.effects
    if decision.row in HELD or is_resting:
        return decision
    if decision.work is not None:
        return replace(decision, claim=(*decision.claim, *repeated_comments(view)))
    return replace(decision, effects=(*repeated_comments(view), *repeated_answers(view), *decision.effects))


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


def repeated_answers(view: View) -> tuple[RetractAnswer, ...]:
    """Our answers on the open pull request that an older one of ours says already, in the same thread or beside it."""
    pull_request = view.branch_pull_request
    if pull_request is None or pull_request.state != "open":
        return ()
    threads = [one.comments for one in pull_request.threads]
    inline = [(one, True) for comments in threads for one in _said_again(comments)]
    beside = [(one, False) for one in _said_again(pull_request.comments)]
    return tuple(
        RetractAnswer(number=pull_request.number, node_id=one.node_id, is_inline=is_inline)
        for one, is_inline in (*inline, *beside)
    )


def _said_again(comments: Sequence[ReviewComment]) -> list[ReviewComment]:
    """Of comments in the order in which they were written, ours that end as an earlier one of ours does."""
    known: set[str] = set()
    repeats = []
    for comment in comments:
        token = token_of(comment.body) if comment.is_ours else None
        if token is not None and token in known:
            repeats.append(comment)
        known |= {token} if token is not None else set()
    return repeats


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
