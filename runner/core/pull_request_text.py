"""What stands in a pull request and in its commit, and how an earlier run's commit is read back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from runner.core.handover import CheckRecord, CriterionRecord
from runner.core.markers import PullRequestRecord, to_hidden
from runner.core.model import CommitInfo
from runner.core.plan import PointAnswer
from runner.core.redact import neutralise_markdown
from runner.core.texts import BEGIN, END, CheckLine, bullets, check_list, code

MAX_BODY = 60_000
_ANSWER = re.compile(r"- ([a-z]+(?::\S+)?) (done|declined|question): (.*)")
_CHECK = re.compile(r"([a-z0-9-]{1,40})=(-?\d{1,5})/(\d{1,6}\.\d)s")


def title(key: str, summary: str, *, draft: bool = False) -> str:
    """``KEY: summary`` in one line that GitHub accepts."""
    text = f"{key}: {' '.join(summary.split())}"
    return (f"[draft] {text}" if draft else text)[:250]


def body(
    record: PullRequestRecord,
    *,
    ticket_url: str,
    summary: str,
    checks: Sequence[CheckLine],
    criteria: Sequence[CriterionRecord],
    planned: Sequence[str],
    touched: Sequence[str],
    unfinished: str,
    waits_for_approval: bool,
    existing: str = "",
    warnings: Sequence[str] = (),
) -> str:
    """The pull request's body. Words that people wrote around our part stay."""
    parts = [
        f"Ticket: [{record.key}]({ticket_url})" if ticket_url.startswith("http") else f"Ticket: {record.key}"
    ]
    if record.stacked_on:
        parts.append(
            f"This builds on {code(record.stacked_on)} and targets it; once that is merged, the target moves on."
        )
    if unfinished:
        parts.append(f"> **Not finished.** {unfinished}")
    parts.append(neutralise_markdown(summary))
    if warnings:
        parts.append("### Look closely\n\n" + bullets(neutralise_markdown(one) for one in warnings))
    if criteria:
        parts.append("### Acceptance\n\n" + _criteria(criteria))
    parts.append("### Checks\n\n" + check_list(checks))
    if planned or touched:
        parts.append("### Files\n\n" + _files(planned, touched))
    if waits_for_approval:
        parts.append("Checks of this pull request may wait for **Approve workflows to run** below.")
    island = (
        f"{BEGIN}\n"
        + "\n\n".join(part for part in parts if part)[:MAX_BODY]
        + f"\n\n{to_hidden(record)}\n{END}"
    )
    return replace_island(existing, island)


def replace_island(existing: str, island: str) -> str:
    """Our part renewed inside a body, everything else as people left it."""
    start, end = existing.find(BEGIN), existing.find(END)
    if start < 0 or end < start:
        return f"{existing.rstrip()}\n\n{island}".strip() if existing.strip() else island
    return existing[:start] + island + existing[end + len(END) :]


def island_of(text: str) -> str:
    """Our part of a body; empty when there is none."""
    start, end = text.find(BEGIN), text.find(END)
    return text[start : end + len(END)] if 0 <= start < end else ""


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
    """``KEY: summary``, the work in words, each answered point, and trailers from which a later run goes on."""
    parts = [
        title(key, summary)[:120],
        "\n".join(line.rstrip() for line in neutralise_markdown(text).splitlines()).strip(),
    ]
    if answers:
        parts.append("\n".join(f"- {one.id} {one.verdict}: {' '.join(one.text.split())}" for one in answers))
    measured = " ".join(f"{check.id}={check.exit_code}/{check.seconds:.1f}s" for check in checks)
    lines = {"Jira-Issue": key, **trailers} | ({"AI-Runner-Checks": measured} if measured else {})
    parts.append("\n".join(f"{name}: {value}" for name, value in lines.items()))
    return "\n\n".join(part for part in parts if part) + "\n"


def answers_in(commit: CommitInfo) -> tuple[PointAnswer, ...]:
    """The answered points that a commit of ours records."""
    found = (_ANSWER.fullmatch(line) for line in commit.message.splitlines())
    return tuple(
        PointAnswer.model_validate({"id": one[1], "verdict": one[2], "text": one[3]})
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
