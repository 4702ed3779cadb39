"""How a run ends, for its three readers: the step outputs, the annotation and the job summary."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from runner.core.redact import clean, neutralise_markdown
from runner.core.texts import money
from runner.errors import ConfigError, RunnerError


class End(BaseModel):
    """The end of one run; ``end.json`` and ``--json`` hold exactly this. ``cost_usd`` ``None``: unknown.

    ``waits_for_approval``: this run pushed with a token whose pull requests' checks a person must let run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    phase: str = ""
    row: str = ""
    outcome: Literal["done", "waiting", "asked", "nothing", "failed"] = "nothing"
    reason: str = ""
    expected_phase: str = ""
    warning: str = ""
    remedy: str = ""
    branch: str = ""
    pull_request_number: int | None = None
    pull_request_url: str = ""
    waits_for_approval: bool = False
    cost_usd: Decimal | None = Decimal(0)
    model_calls: int = 0
    writes: int = 0
    dispatches: int = 0
    next: tuple[str, ...] = ()
    transcript: str = ""
    effects: tuple[str, ...] = ()
    exit_code: int = 0

    def outputs(self) -> dict[str, str]:
        """The outputs of the action, by name."""
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "phase": self.phase,
            "issue-key": self.key,
            "branch": self.branch,
            "pull-request-number": "" if self.pull_request_number is None else str(self.pull_request_number),
            "pull-request-url": self.pull_request_url,
            "cost-usd": "unknown" if self.cost_usd is None else f"{self.cost_usd:.4f}",
            "transcript": self.transcript,
            "next": ",".join(self.next),
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """What is shown: one annotation and the job summary."""

    level: Literal["notice", "warning", "error"]
    title: str
    message: str
    summary: str


def report(end: End) -> Report:
    """Word the end of a run that decided something."""
    level: Literal["notice", "warning", "error"] = "notice"
    if end.outcome == "failed" or end.exit_code:
        level = "error"
    elif end.warning:
        level = "warning"
    rows = [
        ("Ticket", end.key or "none"),
        ("Phase", end.phase or "none"),
        ("Outcome", end.outcome),
        ("Why", end.reason),
        ("Row of the behaviour table", end.row),
        ("Writes", str(end.writes)),
        ("Model", f"{end.model_calls} calls, {money(end.cost_usd)}" if end.model_calls else "not asked"),
    ]
    if end.pull_request_url:
        rows.append(("Pull request", f"[#{end.pull_request_number}]({end.pull_request_url})"))
    if end.waits_for_approval:
        rows.append(("Its checks", "may wait for “Approve workflows to run” in the pull request"))
    if end.next:
        rows.append(("Woken", ", ".join(end.next)))
    if end.warning:
        rows.append(("Note", end.warning))
    if end.remedy:
        rows.append(("What to do", end.remedy))
    if end.expected_phase not in ("", "auto", end.phase):
        rows.append(
            (
                "Expected",
                f"the sender expected {end.expected_phase}, the ticket's state says {end.phase or 'nothing'}",
            )
        )
    table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows)
    effects = "\n".join(f"- {_cell(one)}" for one in end.effects)
    listed = f"\n\n<details><summary>Effects</summary>\n\n{effects}\n\n</details>" if effects else ""
    return Report(
        level=level,
        title=f"ai-runner {end.outcome}",
        message=f"{f'{end.key}: ' if end.key else ''}{end.warning or end.reason} {end.remedy}".strip(),
        summary=f"### ai-runner: {end.key or 'no ticket:'} {end.outcome}\n\n| | |\n|---|---|\n{table}{listed}\n",
    )


def report_error(error: RunnerError | None, *, key: str) -> Report:
    """Word an end by error; ``None`` is a bug, whose details are in the log only."""
    if error is None:
        what, remedy = "An unexpected error ended the run.", "The traceback is in the log; please report it."
    else:
        what, remedy = error.summary, error.remedy
    where = " See “Settings” in the README." if isinstance(error, ConfigError) else ""
    level: Literal["warning", "error"] = (
        "warning" if error is not None and error.exit_code in (0, 4) else "error"
    )
    text = f"{what} {remedy}".strip()
    name = key or "no ticket"
    return Report(
        level=level,
        title="ai-runner failed" if level == "error" else "ai-runner waits",
        message=f"{key}: {text}{where}" if key else f"{text}{where}",
        summary=f"### ai-runner: {name}\n\n{_cell(what)}\n\n**What to do:** {_cell(remedy or 'Look at the log.')}{where}\n",
    )


def _cell(text: Any) -> str:
    return neutralise_markdown(clean(str(text), 1_000)).replace("\n", " ").replace("|", "/")
