"""``conclude``: always runs, holds the Jira token only, and says what ended badly without a word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from runner.core.decide.errors import on_error
from runner.core.decide.outcomes import bill_of
from runner.core.decide.people import candidates
from runner.core.decide.view import View
from runner.core.effects import Dispatch, EditTicket, MoveTo, PutComment
from runner.core.handover import Result, WorkFile
from runner.core.model import Repository, Snapshot
from runner.core.phases import Phase
from runner.core.policy import Policy
from runner.core.redact import Redactor
from runner.core.report import End
from runner.ports import Tickets
from runner.workflow.apply import Applier

ON_TICKET = (EditTicket, MoveTo, PutComment)


def conclude_stage(
    tickets: Tickets,
    *,
    key: str,
    file: WorkFile | None,
    result: Result | None = None,
    run_url: str,
    repository: str,
    stages: Mapping[str, str],
    now: str,
    log: Callable[[str], None],
) -> End:
    """Tell the ticket that its run ended without a result. Only what concerns the ticket is written.

    ``stages`` says how each earlier stage ended, for the log; ``result`` is what the model left before the end, and
    it was paid for. A ticket on which this run never claimed
    anything, and which is not the runner's, is left alone.
    """
    ended = ", ".join(f"{name} {how or 'did not run'}" for name, how in stages.items())
    reason = f"the run ended without a result ({ended})" if ended else "the run ended without a result"
    log(reason)
    if not key:
        return End(key="", outcome="failed", reason=reason, exit_code=0)
    policy = file.policy if file is not None else Policy()
    snapshot = _snapshot(tickets, key, policy, repository)
    run = file.run if file is not None else ""
    bill = bill_of(result, at=now) if result is not None else None
    view = View(snapshot=snapshot, policy=policy, now=now, run=run, run_url=run_url, bill=bill)
    phase = Phase(file.phase) if file is not None and file.phase in set(Phase) else None
    decision = on_error(view, None, phase)
    applier = Applier(
        tickets=tickets,
        forge=None,
        publisher=None,
        policy=policy,
        snapshot=snapshot,
        redactor=Redactor(()),
        sleep=lambda _: None,
        log=log,
    )
    applier.apply([effect for effect in decision.effects if isinstance(effect, ON_TICKET)])
    return End(
        key=key,
        phase=phase.value if phase is not None else "",
        row=decision.row,
        outcome="failed",
        reason=reason,
        writes=applier.writes,
        dispatches=0,
        effects=tuple(
            f"left to the sweep: {one.key}" for one in decision.effects if isinstance(one, Dispatch)
        ),
    )


def _snapshot(tickets: Tickets, key: str, policy: Policy, repository: str) -> Snapshot:
    me = tickets.myself()
    ticket = tickets.ticket(key)
    parent = tickets.ticket(ticket.parent_key) if ticket.type.is_sub_task and ticket.parent_key else None
    snapshot = Snapshot(
        me=me,
        former=frozenset(policy.jira.former_accounts),
        repository=Repository(name=repository, default_branch="", is_private=True, login=""),
        ticket=ticket,
        parent=parent,
    )
    ids = candidates(snapshot, policy)
    assignable = tickets.assignable(key, ids) if ids else frozenset()
    return replace(snapshot, assignable=assignable)
