"""What stands in a pull request and in its commit, and how an earlier run's commit is read back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from runner.core.handover import CheckRecord, CriterionRecord
from runner.core.markers import PullRequestRecord, to_hidden
from runner.core.model import CommitInfo
from runner.core.plan import MAX_PROSE, PointAnswer
from runner.core.redact import clean, neutralise_markdown
from runner.core.texts import BEGIN, END, CheckLine, bullets, check_list, code

MAX_BODY = 60_000
_ANSWER = re.compile(r"- ([a-z]+(?::.{1,70}?)?) (done|declined|question): (.*)")
_CHECK = re.compile(r"([a-z0-9-]{1,40})=(-?\d{1,5})/(\d{1,6}\.\d)s")


def title(key: str, summary: str, *, draft: bool = False) -> str:
    """``KEY: summary`` in one line that GitHub accepts, without what nobody sees."""
    text = f"{key}: {' '.join(clean(summary).split())}"
    return (f"[draft] {text}" if draft else text)[:250]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One piece of work as its pull request tells it: what was done, how it was measured, what to look at."""

    summary: str
    checks: Sequence[CheckLine] = ()
    criteria: Sequence[CriterionRecord] = ()
    planned: Sequence[str] = ()
    touched: Sequence[str] = ()
    unfinished: str = ""
    warnings: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What surrounds a piece of work where several sub-tasks share a pull request.

    ``key`` and ``summary`` are the sub-task's, ``waiting`` those with nothing in it yet, ``members`` how many
    share its room.
    """

    key: str
    summary: str
    waiting: Sequence[str] = ()
    members: int = 1


def body(
    record: PullRequestRecord,
    piece: Piece,
    *,
    ticket_url: str,
    waits_for_approval: bool,
    existing: str = "",
    shared: Shared | None = None,
) -> str:
    """The pull request's body. Words that people wrote around our parts stay.

    A shared one keeps a part for each sub-task below the common one; only this sub-task's is renewed.
    """
    is_link = ticket_url.startswith("http")
    parts = [f"Ticket: [{record.key}]({ticket_url})" if is_link else f"Ticket: {record.key}"]
    if record.stacked_on:
        parts.append(
            f"This builds on {code(record.stacked_on)} and targets it; once that is merged, the target moves on."
        )
    parts += _together(shared) if shared is not None else _told(piece)
    if waits_for_approval:
        parts.append("Checks of this pull request may wait for **Approve workflows to run** below.")
    common = _joined(parts, MAX_BODY)
    whole = _with_island(existing, f"{BEGIN}\n{common}\n\n{to_hidden(record)}\n{END}", BEGIN, END)
    if shared is None:
        return whole
    begin, end = f"<!-- ai-runner {shared.key} begin -->", f"<!-- ai-runner {shared.key} end -->"
    heading = f"## {shared.key}: {neutralise_markdown(' '.join(shared.summary.split()))}"
    own = _joined([heading, *_told(piece)], MAX_BODY // (shared.members + 1))
    return _with_island(whole, f"{begin}\n{own}\n{end}", begin, end)


def _together(shared: Shared) -> list[str]:
    missing = ", ".join(shared.waiting)
    when = f"**Not in it yet: {missing}.** Merge it when all are in." if missing else "All of them are in."
    return [f"The sub-tasks share this pull request, with commits for each. {when}"]


def _told(piece: Piece) -> list[str]:
    parts = [f"> **Not finished.** {piece.unfinished}"] if piece.unfinished else []
    parts.append(neutralise_markdown(piece.summary))
    if piece.warnings:
        parts.append("### Look closely\n\n" + bullets(neutralise_markdown(one) for one in piece.warnings))
    if piece.criteria:
        parts.append("### Acceptance\n\n" + _criteria(piece.criteria))
    parts.append("### Checks\n\n" + check_list(piece.checks))
    if piece.planned or piece.touched:
        parts.append("### Files\n\n" + _files(piece.planned, piece.touched))
    return parts


def _joined(parts: Iterable[str], most: int) -> str:
    return "\n\n".join(part for part in parts if part)[:most]


def _with_island(existing: str, island: str, begin: str, end: str) -> str:
    """A part of ours renewed inside a body, everything else as people left it."""
    at, until = existing.find(begin), existing.find(end)
    if at < 0 or until < at:
        return f"{existing.rstrip()}\n\n{island}".strip() if existing.strip() else island
    return existing[:at] + island + existing[until + len(end) :]


def with_record(existing: str, record: PullRequestRecord) -> str:
    """The body with only its hidden facts renewed."""
    return re.sub(
        r"<!-- ai-runner \{.*?\} -->", lambda _: to_hidden(record), existing, count=1, flags=re.DOTALL
    )


def _criteria(criteria: Sequence[CriterionRecord]) -> str:
    rows = "\n".join(
        f"| {_cell(one.text)} | {one.status}{' (claimed)' if one.claimed else ''} | {_cell(one.evidence)} |"
        for one in criteria
    )
    table = f"| Criterion | Status | Evidence |\n|---|---|---|\n{rows}"
    is_claimed = any(one.claimed for one in criteria)
    return f"{table}\n\n“Claimed” is the model's word; the rest was measured." if is_claimed else table


def _cell(text: str) -> str:
    return neutralise_markdown(" ".join(text.split()).replace("|", "/"))


def _files(planned: Sequence[str], touched: Sequence[str]) -> str:
    lines = [
        f"{code(path)}{'' if not planned or path in planned else ' (not in the plan)'}"
        for path in touched[:100]
    ]
    lines += [f"{code(path)} (planned, not touched)" for path in planned if path not in touched]
    return bullets(lines)


def commit_message(
    key: str,
    summary: str,
    *,
    text: str,
    answers: Sequence[PointAnswer],
    checks: Sequence[CheckRecord],
    trailers: Mapping[str, str],
) -> str:
    """``KEY: summary``, the work in words, each answered point, and trailers from which a later run goes on.

    A commit that reaches the default branch closes what it says it fixes, so no issue is referred to.
    """
    parts = [
        f"{key}: {' '.join(neutralise_markdown(summary).split())}"[:120],
        "\n".join(line.rstrip() for line in neutralise_markdown(text).splitlines()).strip(),
    ]
    if answers:
        told = [(one, " ".join(neutralise_markdown(one.text).split())) for one in answers]
        parts.append("\n".join(f"- {one.id} {one.verdict}: {text}" for one, text in told))
    measured = " ".join(f"{check.id}={check.exit_code}/{check.seconds:.1f}s" for check in checks)
    lines = {"Jira-Issue": key, **trailers} | ({"AI-Runner-Checks": measured} if measured else {})
    parts.append("\n".join(f"{name}: {value}" for name, value in lines.items()))
    return "\n\n".join(part for part in parts if part) + "\n"


def answers_in(commit: CommitInfo) -> tuple[PointAnswer, ...]:
    """The answered points that a commit of ours records."""
    found = (_ANSWER.fullmatch(line) for line in commit.message.splitlines())
    return tuple(
        PointAnswer.model_validate({"id": one[1], "verdict": one[2], "text": one[3][:MAX_PROSE]})
        for one in found
        if one is not None
    )


def checks_in(commit: CommitInfo) -> tuple[CheckRecord, ...]:
    """The measured checks that a commit of ours records."""
    text = commit.trailers.get("AI-Runner-Checks", "")
    return tuple(
        CheckRecord(id=one[1], exit_code=int(one[2]), seconds=float(one[3])) for one in _CHECK.finditer(text)
    )


def summary_in(commit: CommitInfo) -> str:
    """The work in words that a commit of ours records."""
    paragraphs = commit.message.strip().split("\n\n")[1:-1]
    return "\n\n".join(part for part in paragraphs if not _ANSWER.match(part))
