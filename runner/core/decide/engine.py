"""The one decision function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from runner.core import phases
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.parts import nothing
from runner.core.decide.repeats import with_repeats_withdrawn
from runner.core.decide.results import settle
from runner.core.decide.rules import first_match
from runner.core.decide.view import View
from runner.core.effects import EditTicket
from runner.core.handover import Delivered
from runner.core.markers import LedgerEntry
from runner.core.model import Snapshot, iso
from runner.core.phases import Phase
from runner.core.policy import Policy

# Nobody gives feedback faster than this; what asks more often runs in a circle.
MAX_RUNS_PER_HOUR = 6
# Rows under which a ticket is left exactly as it is.
RESTS = frozenset({"10", "13", "9b", "15"})


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """Which run decides: its id for markers, its address for people, and what a person narrowed it to.

    ``waits_for_approval``: pull requests of this token have checks that a person must let run.
    """

    run: str = ""
    url: str = ""
    jira_url: str = ""
    only: Phase | None = None
    waits_for_approval: bool = False


def decide(
    snapshot: Snapshot,
    policy: Policy,
    now: str,
    result: Delivered | None = None,
    *,
    info: RunInfo | None = None,
) -> Decision:
    """Say what is due. Pure and total: every snapshot has a decision, except that an unreadable marker raises.

    ``now`` is ISO 8601 in UTC. With ``result``, what a model delivered for this ticket is settled against the
    state as it is now, which may have moved since the work began.
    """
    info = info or RunInfo()
    view = View(
        snapshot=snapshot,
        policy=policy,
        now=now,
        run=info.run,
        run_url=info.url,
        jira_url=info.jira_url,
        waits_for_approval=info.waits_for_approval,
    )
    if result is not None:
        return settle(view, result)
    decision = with_repeats_withdrawn(_unparked(first_match(view), view), view)
    if decision.work is not None and len(_recent_runs(view)) >= MAX_RUNS_PER_HOUR:
        reason = (
            f"{MAX_RUNS_PER_HOUR} runs asked a model for this ticket within an hour; the sweep goes on later"
        )
        return nothing(decision.row, reason, outcome=Outcome.WAITING, warning=reason)
    if info.only is not None and decision.phase not in (None, info.only):
        wanted = f"the ticket is due for {decision.phase}, but this run was narrowed to {info.only}"
        return replace(nothing(decision.row, wanted), warning=wanted)
    return decision


def _unparked(decision: Decision, view: View) -> Decision:
    """A ticket whose waiting is over and for which no model is needed does not stay parked."""
    is_left = not view.has_label(phases.WAITING) or decision.row in RESTS
    edits = any(isinstance(effect, EditTicket) for effect in decision.effects)
    if is_left or edits or decision.work is not None:
        return decision
    free = EditTicket(key=view.key, remove=(view.policy.label(phases.WAITING),))
    return replace(decision, effects=(free, *decision.effects))


def _recent_runs(view: View) -> list[LedgerEntry]:
    """Runs of the last hour that asked a model, by the ticket's own records."""
    since = iso(datetime.fromisoformat(view.now) - timedelta(hours=1)) if view.now else ""
    return [entry for entry in view.ledger if entry.at and entry.at > since]
