"""What is due once a model delivered: by outcome, then by phase."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from runner.core import phases, texts
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.outcomes import bill_of
from runner.core.decide.parts import ending, failed
from runner.core.decide.plan_results import settle_plan
from runner.core.decide.view import (
    View,
)
from runner.core.decide.work_results import settle_work
from runner.core.effects import (
    PutComment,
)
from runner.core.handover import Delivered, Result
from runner.core.markers import Kind, LedgerEntry, merge_ledgers
from runner.core.model import iso
from runner.core.phases import Phase


def settle(view: View, delivered: Delivered) -> Decision:
    """What is due now that the model's result is in."""
    work, result = delivered.work, delivered.result
    entry = bill_of(result, at=view.now)
    if result.outcome == "unavailable":
        return _park(view, result, entry)
    if result.outcome == "config":
        return failed(
            view,
            row="15",
            what=result.summary,
            meaning="Repeating the run changes nothing.",
            remedy=result.detail or "Correct the configuration, then assign the ticket to me.",
            phase=work.phase,
            exit_code=2,
            entry=entry,
        )
    if work.phase is Phase.PLAN:
        return settle_plan(view, work, result, entry)
    return settle_work(view, delivered, entry)


def _park(view: View, result: Result, entry: LedgerEntry | None) -> Decision:
    """The model is down or limiting: the ticket waits, and the attempt does not count."""
    until = iso(datetime.fromtimestamp(result.retry_at, tz=UTC)) if result.retry_at else view.now
    marker = replace(
        view.marker(Kind.PROGRESS), until=until, ledger=merge_ledgers(view.ledger, [entry] if entry else [])
    )
    before = max(view.attempts - 1, 0)
    labels = ((view.policy.label(f"try-{before}"),) if before else ()) + (view.policy.label(phases.WAITING),)
    end = ending(view)
    end = replace(end, add=(*end.add, *labels), remove=tuple(one for one in end.remove if one not in labels))
    reason = result.summary or "the model's service is not available"
    comment = PutComment(
        key=view.key, markdown=texts.parked(reason, until=until, url=view.run_url), marker=marker
    )
    return Decision(
        row="15",
        outcome=Outcome.WAITING,
        reason=reason,
        phase=result.phase,
        effects=(comment, end),
        warning=reason,
    )
