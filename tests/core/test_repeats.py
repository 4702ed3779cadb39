"""Comments that two runs wrote at the very same moment are taken back, all but the oldest; nothing else is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from runner.core.decide import Decision, decide
from runner.core.decide.repeats import repeated_answers
from runner.core.effects import RetractAnswer, WithdrawComment
from runner.core.markers import Kind, LedgerEntry, Seen
from runner.core.model import Account, Comment, ReviewComment, Snapshot
from tests.core.snapshots import (
    ADA,
    BOT,
    FIRST,
    NOW,
    POLICY,
    RITA,
    assigned,
    at,
    branch,
    commit,
    family,
    marker,
    ours,
    parent_ticket,
    plan,
    planned,
    pull_request,
    review,
    said,
    snapshot,
    sub_task,
    thread,
    ticket,
    view,
)

FORMER = Account(id="former", name="Old runner")


def reviewed(*comments: Comment, **more: Any) -> Snapshot:
    """A plan waits for its approver."""
    return snapshot(
        ticket("Plan Review", assignee=ADA, comments=comments, history=[assigned(BOT, ADA, 30)], **more)
    )


def withdrawn(snap: Snapshot) -> list[WithdrawComment]:
    """What is taken back."""
    effects = due(snap).effects
    return [effect for effect in effects if isinstance(effect, WithdrawComment)]


def due(snap: Snapshot) -> Decision:
    """The decision."""
    return decide(snap, POLICY, NOW)


def test_the_older_of_two_plan_comments_stands() -> None:
    """Of one plan, written twice from one input, the first comment is the plan."""
    snap = reviewed(planned(minute=10), planned(minute=11))

    assert [one.comment_id for one in withdrawn(snap)] == ["11"]


def test_two_plans_are_no_repeat() -> None:
    """Another plan, if only from the same input, is another comment: nobody's words are lost."""
    assert withdrawn(reviewed(planned(minute=10), planned(plan("gamma"), minute=11))) == []


def test_every_repeat_is_taken_back_for_good() -> None:
    """Three progress comments become one; what stands for the others is no repeat of each other."""
    three = [ours(marker(Kind.PROGRESS, run=f"{number}.1"), number) for number in (11, 12, 13)]

    taken = withdrawn(reviewed(planned(), *three))
    left = [three[0], *(ours(one.marker, int(one.comment_id)) for one in taken)]

    assert [one.comment_id for one in taken] == ["12", "13"]
    assert withdrawn(reviewed(planned(), *left)) == []


def test_what_a_withdrawn_comment_recorded_stays_known() -> None:
    """Its run's cost and what that run took into account are kept where it stood."""
    bill = LedgerEntry(run="2.1", phase="plan", model="m", tokens=7, usd=None)
    seen = Seen(items={"comment:9": at(9)})
    mark = marker(Kind.PROGRESS, run="2.1", ledger=(bill,), seen=seen)

    (taken,) = withdrawn(reviewed(planned(), ours(marker(Kind.PROGRESS), 11), ours(mark, 12)))

    assert (taken.marker.kind, taken.marker.run) == (Kind.NOTE, "2.1")
    assert (taken.marker.ledger, taken.marker.seen) == ((bill,), seen)


@pytest.mark.parametrize(
    "comment",
    [
        said(RITA, 12, "About progress."),
        replace(ours(marker(Kind.PROGRESS), 12), author=RITA, editor=RITA),
        ours(marker(Kind.PROGRESS), 12, editor=RITA),
        ours(marker(Kind.PROGRESS, key="ABC-9"), 12),
        replace(ours(marker(Kind.PROGRESS), 12), author=FORMER, editor=FORMER),
    ],
    ids=["a person's", "forged", "edited by a person", "of another ticket", "of a former account"],
)
def test_only_what_the_account_wrote_and_changed_last_is_touched(comment: Comment) -> None:
    """Whatever repeats a comment of ours without being ours, for this ticket, by this account, stays as it is."""
    snap = reviewed(planned(), ours(marker(Kind.PROGRESS), 11), comment)

    assert withdrawn(replace(snap, former=frozenset({FORMER.id}))) == []


@pytest.mark.parametrize("label", ["ai:ignore", "ai:stop", "ai:failed"])
def test_a_ticket_at_rest_is_left_as_it_is(label: str) -> None:
    """Under a person's label, or after a failure, repeats wait until the ticket is taken up again."""
    assert withdrawn(reviewed(planned(minute=10), planned(minute=11), labels=[label])) == []


def test_the_claim_takes_repeats_back_before_the_model_is_asked() -> None:
    """When the ticket needs the model, the repeats go with the claim, after the attempt was counted."""
    comments = [planned(minute=10), planned(minute=11), said(RITA, 20)]
    decision = due(snapshot(parent_ticket("Plan Review", comments=comments)))

    assert decision.work is not None
    assert [isinstance(effect, WithdrawComment) for effect in decision.claim][-1]
    assert not isinstance(decision.claim[0], WithdrawComment)


# --- on the pull request -----------------------------------------------------------------------------------


def remark(number: int, token: str, *, is_ours: bool = True) -> ReviewComment:
    """Something said on a pull request, which ends in a token as our answers do."""
    return ReviewComment(
        id=f"{number}",
        node_id=f"n{number}",
        author="bot" if is_ours else "ron",
        body=f"Done.\n\n<!-- ai-runner {token} -->",
        created=at(number),
        updated=at(number),
        is_ours=is_ours,
    )


def under_review(*comments: ReviewComment, inline: Sequence[ReviewComment] = (), **pull: Any) -> Snapshot:
    """Work that waits for its reviewer, with what was said on its pull request."""
    asked = thread()
    threads = (replace(asked, comments=(*asked.comments, *inline)),)
    snap = family(FIRST, sub_task(FIRST, "alpha", "In Testing", assignee=RITA))
    opened = pull_request(FIRST, threads=threads, comments=comments, **pull)
    return replace(snap, branch=branch(FIRST, commit(FIRST)), pull_requests=(opened,))


def retracted(snap: Snapshot) -> list[tuple[str, bool]]:
    """What is removed, and whether from a thread."""
    effects = repeated_answers(view(snap))
    return [(one.node_id, one.is_inline) for one in effects]


def test_the_oldest_answer_to_a_point_stands() -> None:
    """Threads and the conversation are looked at apart; every later answer to the same point goes."""
    inline = (remark(50, "answers 46"), remark(51, "answers 46"), remark(52, "answers 46"))
    beside = (remark(53, "answers-1.1-x"), remark(54, "answers-1.1-x"))

    assert retracted(under_review(*beside, inline=inline)) == [("n51", True), ("n52", True), ("n54", False)]


@pytest.mark.parametrize(
    "other",
    [
        remark(51, "answers 47"),
        remark(51, "answers 46", is_ours=False),
        replace(
            remark(51, "answers 46"), body="<!-- ai-runner answers 46 --> is what such a line looks like."
        ),
    ],
    ids=["another point", "a person's", "not at its end"],
)
def test_what_repeats_no_answer_of_ours_stays(other: ReviewComment) -> None:
    """Only our own words that end in the same token are removed."""
    assert retracted(under_review(inline=(remark(50, "answers 46"), other))) == []


def test_answers_on_an_ended_pull_request_stay() -> None:
    """What is merged or closed is history."""
    said_twice = (remark(53, "answers-x"), remark(54, "answers-x"))

    assert retracted(under_review(*said_twice, state="merged")) == []


def test_a_look_without_a_model_removes_them_and_a_claim_does_not() -> None:
    """A claim is made with no right to write on GitHub."""
    twice = (remark(50, "answers 46"), remark(51, "answers 46"))
    quiet, asked = under_review(inline=twice), under_review(inline=twice, reviews=(review(minute=55),))

    assert any(isinstance(effect, RetractAnswer) for effect in due(quiet).effects)
    assert due(asked).work is not None
    assert not any(isinstance(effect, RetractAnswer) for effect in due(asked).claim)
