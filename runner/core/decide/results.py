"""What is due once a model delivered: by outcome, then by phase."""

from __future__ import annotations

from runner.core import phases, texts
from runner.core.decide.decision import Decision
from runner.core.decide.meanwhile import is_theirs
from runner.core.decide.outcomes import bill_of
from runner.core.decide.parts import failed, nothing, park
from runner.core.decide.plan_results import settle_plan
from runner.core.decide.view import View
from runner.core.decide.work_results import settle_work
from runner.core.handover import Delivered
from runner.core.phases import Phase, State


def settle(view: View, delivered: Delivered) -> Decision:
    """What is due now that the model's result is in."""
    work, result = delivered.work, delivered.result
    if view.has_family_label(phases.IGNORE):
        reason = "the ticket was set to be ignored meanwhile"
        return nothing("10", reason, warning="Discarded: the ticket is ignored now.")
    entry = bill_of(result, at=view.now)
    if result.outcome == "unavailable":
        reason = result.summary or "the model's service is not available"
        if not is_theirs(view) and view.state is not State.DONE:
            return park(view, reason, retry_at=result.retry_at, phase=result.phase, entry=entry)
    if result.outcome == "config":
        return failed(
            view,
            row="15",
            what=result.summary,
            meaning="Repeating the run changes nothing.",
            remedy=texts.then_assign(result.detail or "Correct the configuration."),
            phase=work.phase,
            exit_code=2,
            entry=entry,
        )
    if work.phase is Phase.PLAN:
        return settle_plan(view, work, result, entry)
    return settle_work(view, delivered, entry)
