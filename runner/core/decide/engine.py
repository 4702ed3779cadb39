"""The one decision function."""

from __future__ import annotations

from dataclasses import dataclass, replace

from runner.core.decide.decision import Decision
from runner.core.decide.parts import nothing
from runner.core.decide.results import settle
from runner.core.decide.rules import first_match
from runner.core.decide.view import View
from runner.core.handover import Delivered
from runner.core.model import Snapshot
from runner.core.phases import Phase
from runner.core.policy import Policy


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
    decision = first_match(view)
    if info.only is not None and decision.phase not in (None, info.only):
        wanted = f"the ticket is due for {decision.phase}, but this run was narrowed to {info.only}"
        return replace(nothing(decision.row, wanted), warning=wanted)
    return decision
