"""Pieces that several rules share: claims, endings, failures."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from runner.core import phases, texts
from runner.core.decide.decision import Decision, Outcome
from runner.core.decide.meanwhile import handed_to, is_theirs, left_to
from runner.core.decide.people import hand
from runner.core.decide.view import View
from runner.core.effects import EditTicket, Effect, MoveTo, PutComment
from runner.core.markers import Kind, LedgerEntry, Seen, merge_ledgers
from runner.core.model import iso
from runner.core.phases import Phase, State

# The code of a failure comment whose ticket carries `ai:failed`.
FINAL = "final"
# How the code of a failure comment ends whose ticket carries `ai:over-budget`.
OVER = "+over"


# How long a ticket is parked when the service names no time, and the longest that a service is believed.
SHORTEST_PARK = timedelta(minutes=5)
LONGEST_PARK = timedelta(days=1)


def parked_until(view: View, retry_at: float | None) -> str:
    """When a parked ticket is looked at again: the service's own word, in epoch seconds, at most a day from now."""
    now = datetime.fromisoformat(view.now)
    if retry_at is None:
        return iso(now + SHORTEST_PARK)
    latest = now + LONGEST_PARK
    return iso(latest if retry_at > latest.timestamp() else datetime.fromtimestamp(retry_at, tz=UTC))


def nothing(row: str, reason: str, *, outcome: Outcome = Outcome.NOTHING, warning: str = "") -> Decision:
    """Nothing is due."""
    return Decision(row=row, outcome=outcome, reason=reason, warning=warning)


def labels_of_work(view: View) -> tuple[str, ...]:
    """Labels that only stand while a run works or waits, as far as the ticket carries them."""
    names = (phases.WORKING, phases.WAITING)
    standing = [view.policy.label(name) for name in names if view.has_label(name)]
    return (*standing, *phases.attempt_labels(view.ticket, view.policy))


def stand_ins(view: View, state: State | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels to add and to remove so that ``state`` shows in a project that lacks its status."""
    wanted = phases.stand_in_label(state, view.ticket, view.policy) if state is not None else None
    every = {view.policy.label(name) for name in phases.STAND_IN.values()}
    stale = tuple(sorted((every & view.ticket.labels) - {wanted})) if state is not None else ()
    return ((wanted,) if wanted else (), stale)


def ending(
    view: View,
    *,
    assignee: str | None = "keep",
    state: State | None = None,
    add: tuple[str, ...] = (),
    drop: tuple[str, ...] = (),
) -> EditTicket:
    """The commit point: the labels of work go, the assignee changes, in one request."""
    added, stale = stand_ins(view, state)
    work = labels_of_work(view)
    extra = tuple(view.policy.label(name) for name in drop if view.has_label(name))
    return EditTicket(
        key=view.key,
        add=(phases.MANAGED, *added, *add),
        remove=tuple(dict.fromkeys((*work, *stale, *extra))),
        assignee=assignee,
    )


def count_attempt(view: View, *, reset: bool = False, state: State | None = None) -> EditTicket:
    """The first write of an attempt: it is counted before any work, so a crash loop ends."""
    number = 1 if reset else view.attempts + 1
    label = view.policy.label(f"try-{number}")
    gone = [one for one in phases.attempt_labels(view.ticket, view.policy) if one != label]
    gone += [view.policy.label(name) for name in (phases.WAITING, phases.FAILED) if view.has_label(name)]
    added, stale = stand_ins(view, state)
    return EditTicket(
        key=view.key,
        add=(phases.MANAGED, view.policy.label(phases.WORKING), label, *added),
        remove=(*gone, *stale),
    )


def claim(view: View, phase: Phase, *, reset: bool = False, move: bool = False) -> tuple[Effect, ...]:
    """What ``gather`` writes before a model is asked."""
    number = 1 if reset else view.attempts + 1
    first = count_attempt(view, reset=reset, state=State.IN_PROGRESS if move else None)
    progress = PutComment(
        key=view.key,
        markdown=texts.working(
            phase,
            url=view.run_url,
            attempt=number,
            most=view.policy.caps.attempts,
            stop_label=view.policy.label(phases.STOP),
        ),
        marker=replace(view.marker(Kind.PROGRESS), phase=phase.value, ledger=view.ledger),
    )
    moves = (
        (MoveTo(key=view.key, state=State.IN_PROGRESS),)
        if move and view.state is not State.IN_PROGRESS
        else ()
    )
    return (first, progress, *moves)


def progress_end(view: View, words: str, entry: LedgerEntry | None) -> tuple[Effect, ...]:
    """The progress comment after a run: how it ended, and the ledger."""
    ledger = merge_ledgers(view.ledger, [entry] if entry is not None else [])
    newest = view.newest(Kind.PROGRESS)
    if newest is None and entry is None and view.bill is None:
        return ()
    marker = replace(view.marker(Kind.PROGRESS), ledger=ledger)
    return (
        PutComment(
            key=view.key, markdown=texts.worked(words, url=view.run_url, ledger=ledger), marker=marker
        ),
    )


def note(view: View, code: str, text: str) -> PutComment:
    """Something said once for this code."""
    return PutComment(key=view.key, markdown=text, marker=replace(view.marker(Kind.NOTE), code=code))


def failed(
    view: View,
    *,
    row: str,
    what: str,
    meaning: str,
    remedy: str,
    phase: Phase | None,
    exit_code: int = 3,
    is_final: bool = True,
    entry: LedgerEntry | None = None,
    code: str = "",
    labels: tuple[str, ...] = (),
) -> Decision:
    """A failure that a person must look at: said once, labelled, Blocked, handed over.

    ``is_final`` sets ``ai:failed``; without it the ticket is only Blocked and a person's assignment retries. A ticket
    that people took in hand meanwhile is told, and otherwise left as they left it; so is one that is Done.
    """
    who = hand(view, "reviewer" if view.is_work_ticket else "requester")
    marker = replace(
        view.marker(Kind.FAILURE),
        phase=phase.value if phase is not None else "",
        code=code or (FINAL if is_final else "failed" + (OVER if labels else "")),
        input_digest=view.input_digest,
        seen=Seen(),
    )
    added = (*((view.policy.label(phases.FAILED),) if is_final else ()), *labels)
    told = PutComment(
        key=view.key,
        markdown=texts.failure(what, meaning=meaning, remedy=remedy, url=view.run_url, whom=who.mention),
        marker=marker,
    )
    effects: list[Effect] = [told, *progress_end(view, "failed", entry)]
    if is_theirs(view) or view.state is State.DONE:
        effects.append(ending(view, assignee=left_to(view, who.assignee)))
    else:
        blocked = ending(view, assignee=handed_to(view, who.assignee), state=State.BLOCKED, add=added)
        effects += [MoveTo(key=view.key, state=State.BLOCKED, is_optional=True), blocked]
    return Decision(
        row=row,
        outcome=Outcome.FAILED,
        reason=what,
        remedy=remedy,
        phase=phase,
        effects=tuple(effects),
        exit_code=exit_code,
    )


def said_once(view: View, row: str, code: str, text: str, reason: str) -> Decision:
    """Say something to the ticket unless it was said before; the ticket waits for a person."""
    effects = () if view.has_note(code) else (note(view, code, text),)
    return Decision(row=row, outcome=Outcome.WAITING, reason=reason, phase=Phase.BREAKDOWN, effects=effects)


def park(
    view: View,
    reason: str,
    *,
    retry_at: float | None,
    phase: Phase | None,
    entry: LedgerEntry | None = None,
    drop: tuple[str, ...] = (),
) -> Decision:
    """A service is down or limiting: the ticket waits, and the attempt that was claimed does not count."""
    until = parked_until(view, retry_at)
    before = max(view.attempts - 1, 0) if view.has_label(phases.WORKING) else view.attempts
    labels = ((view.policy.label(f"try-{before}"),) if before else ()) + (view.policy.label(phases.WAITING),)
    end = ending(view, drop=drop)
    end = replace(end, add=(*end.add, *labels), remove=tuple(one for one in end.remove if one not in labels))
    ledger = merge_ledgers(view.ledger, [entry] if entry is not None else [])
    said = PutComment(
        key=view.key,
        markdown=texts.parked(reason, until=until, url=view.run_url),
        marker=replace(view.marker(Kind.PROGRESS), until=until, ledger=ledger),
    )
    return Decision(
        row="15",
        outcome=Outcome.WAITING,
        reason=reason,
        phase=phase,
        effects=(said, end),
        warning=reason,
    )


def exhausted(view: View, phase: Phase) -> Decision:
    """The attempts ran out: stop, so that it does not repeat for ever."""
    count = view.attempts
    return failed(
        view,
        row="15",
        what=f"{count} attempts at {texts.DOING[phase]} did not reach an end.",
        meaning="I stop here, so that this does not repeat for ever. What was pushed stays.",
        remedy="Look at the last run's log. To try again, assign this ticket to me.",
        phase=phase,
    )


def no_base(view: View, base: str, phase: Phase) -> Decision:
    """The branch that the work starts from does not exist."""
    return failed(
        view,
        row="15",
        what=f"The branch `{base}`, which this work starts from, does not exist in the repository.",
        meaning="Nothing was started.",
        remedy=texts.then_assign(
            texts.missing_base(base, is_named=view.policy.pull_request.base is not None)
        ),
        phase=phase,
        exit_code=2,
    )
