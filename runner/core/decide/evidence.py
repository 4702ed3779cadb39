"""Evidence of an earlier run: a commit with our trailers and this very input.

A run that died in between is finished without asking the model again.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.core import phases
from runner.core.decide.decision import Decision
from runner.core.decide.finished_work import ENDS_SHORT, FinishedWork
from runner.core.decide.meanwhile import is_theirs
from runner.core.decide.sequence import base_branch, starting_point
from runner.core.decide.view import INPUT_TRAILER, OUTCOME_TRAILER, RUN_TRAILER, View
from runner.core.decide.work_results import as_far_as_answered, publish_work
from runner.core.feedback import Feedback
from runner.core.handover import CheckRecord, Result, Work
from runner.core.model import CommitInfo
from runner.core.phases import Phase
from runner.core.plan import PointAnswer
from runner.core.pull_request_text import answers_in, checks_in, summary_in


def from_evidence(view: View) -> Decision | None:
    """Finish the hand-over of a run that pushed this very input and died; ``None`` if there is no such run."""
    commit = view.own_commit
    if commit is None or commit.trailers.get(INPUT_TRAILER) != view.input_digest:
        return None
    run = commit.trailers.get(RUN_TRAILER, "")
    if not run or run in view.consumed_runs or _is_in_ended(view, commit):
        return None
    result = _result_in(view, commit)
    short = commit.trailers.get(OUTCOME_TRAILER, "done").partition("+")[0]
    is_claimed = view.has_label(phases.WORKING) or view.has_label(phases.WAITING)
    is_taken = is_claimed and is_theirs(view)
    is_short = "stopped" if is_taken else short if short in ENDS_SHORT else ""
    work = _work_of(view, commit, result)
    if is_short:
        work = as_far_as_answered(work, result.answers, is_taken=is_taken)
    return publish_work(
        view, FinishedWork(work=work, result=result, entry=None, is_short=is_short, is_taken=is_taken)
    )


def _work_of(view: View, commit: CommitInfo, result: Result) -> Work:
    """The work that the commit finished, as far as the hand-over needs it."""
    base = view.open_pull_request.base if view.open_pull_request is not None else ""
    predecessor = ""
    if not base:
        base, predecessor = _start_again(view)
    return Work(
        phase=result.phase,
        key=view.key,
        row="5",
        input_digest=view.input_digest,
        content_digest=view.content_digest,
        plan_digest=view.plan_comment.marker.plan_digest if view.plan_comment is not None else "",
        base=base,
        start=commit.sha,
        expected=view.snapshot.branch.sha if view.snapshot.branch is not None else None,
        predecessor=predecessor,
        feedback=_points_of(view, result.answers),
        seen=view.taken_into_account(),
        was_mine=view.is_mine,
    )


def _result_in(view: View, commit: CommitInfo) -> Result:
    """The result as the commit message records it."""
    short, _, over = commit.trailers.get(OUTCOME_TRAILER, "done").partition("+")
    record = view.record
    is_revised = record is not None and record.input_digest != view.input_digest
    checks: tuple[CheckRecord, ...] = checks_in(commit)
    return Result(
        key=view.key,
        phase=Phase.REVISE if is_revised else Phase.IMPLEMENT,
        run=commit.trailers[RUN_TRAILER],
        input_digest=view.input_digest,
        start=commit.sha,
        outcome="budget" if short == "budget" else "done",
        over="ticket" if over else "",
        summary=summary_in(commit),
        answers=answers_in(commit),
        checks=checks,
        baseline=tuple(check for check in checks if not check.is_green) if short == "done" else (),
    )


def _is_in_ended(view: View, commit: CommitInfo) -> bool:
    """Whether a pull request that ended already offered this commit; one pushed after its end is new."""
    pull_request, branch = view.pull_request, view.snapshot.branch
    if pull_request is None or pull_request.state == "open" or branch is None:
        return False
    newest_first = [one.sha for one in branch.commits]
    offered = pull_request.head_sha
    return offered not in newest_first or newest_first.index(offered) <= newest_first.index(commit.sha)


def _points_of(view: View, answers: Sequence[PointAnswer]) -> tuple[Feedback, ...]:
    """What the run worked through: every point its commit answers, read or not by now, and what is still unread.

    A check it answered had failed on the head before; one that fails on the run's own head is new.
    """
    answered = {answer.id for answer in answers}
    read = [point for point in view.points if point.id in answered and point not in view.unread]
    checks = [
        Feedback(id=id_, source="check", version="", author=id_.partition(":")[2], text="")
        for id_ in sorted(answered)
        if id_.startswith("check:")
    ]
    return (*read, *view.unread, *checks)


def _start_again(view: View) -> tuple[str, str]:
    start = starting_point(view)
    return (start.base or base_branch(view), start.predecessor)
