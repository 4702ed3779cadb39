"""What people did to a ticket after a run claimed it, by the changelog: their last move stands.

A run does its work between reading and writing, and people do not wait for it. Whoever stops the ticket, takes it or
moves it away meanwhile decides where it stands and who has it; the run only keeps what exists and says so.
"""

from __future__ import annotations

from runner.core import phases
from runner.core.decide.view import View
from runner.core.model import Change
from runner.core.phases import State

# Where a run may find its ticket at its end without anybody having stopped it.
AT_WORK = frozenset({State.IN_PROGRESS, State.IN_TESTING})
AT_PLANNING = frozenset({State.BACKLOG, State.PLAN_REVIEW, State.IN_PROGRESS})


def is_theirs(view: View) -> bool:
    """Whether people took the end of the run in hand: status and assignee are theirs."""
    return view.has_family_label(phases.STOP) or is_taken(view) or is_put_away(view)


def is_taken(view: View) -> bool:
    """Whether a person took the ticket from the runner, which had it when it was claimed."""
    given = [one for one in _since_claim(view) if one.field == "assignee"]
    return _is_given_on(view) and given[0].old_id == view.snapshot.me.id


def handed_to(view: View, assignee: str | None) -> str | None:
    """Who gets a ticket at the end of a run, unless a person gave it to somebody since the claim."""
    return "keep" if _is_given_on(view) else assignee


def is_put_away(view: View) -> bool:
    """Whether a person moved the claimed ticket to where no run works on it, and did not give it to us after that."""
    since = _since_claim(view)
    moves = [at for at, one in enumerate(since) if one.field == "status"]
    if not moves or since[moves[-1]].author.id in view.ours:
        return False
    is_given_back = any(_is_given_to_me(one, view) for one in since[moves[-1] :])
    return not is_given_back and view.state not in (AT_WORK if view.is_work_ticket else AT_PLANNING)


def left_to(view: View, assignee: str | None) -> str | None:
    """Who gets a ticket whose end is people's: one they left with the runner in another status goes to who is next.

    There it would start the work once more, or nothing would ever start it.
    """
    is_undecided = view.is_mine and is_put_away(view) and not view.has_family_label(phases.STOP)
    return assignee if is_undecided else "keep"


def _is_given_on(view: View) -> bool:
    given = [one for one in _since_claim(view) if one.field == "assignee"]
    return not view.is_mine and bool(given) and given[-1].author.id not in view.ours


def _since_claim(view: View) -> tuple[Change, ...]:
    """The changes after the newest claim; its labels may be gone by now."""
    history = view.ticket.history
    claims = [at for at, one in enumerate(history) if _is_claim(one, view)]
    return history[claims[-1] + 1 :] if claims else ()


def _is_claim(change: Change, view: View) -> bool:
    """A claim sets the label of work and counts an attempt in one edit; a claim after a dead run only counts."""
    if change.field != "labels" or change.author.id not in view.ours:
        return False
    working, attempt = view.policy.label(phases.WORKING), view.policy.label("try-")
    added = set(change.new.split()) - set(change.old.split())
    return working in change.new.split() and any(one == working or one.startswith(attempt) for one in added)


def _is_given_to_me(change: Change, view: View) -> bool:
    is_mine = change.field == "assignee" and change.new_id == view.snapshot.me.id
    return is_mine and change.author.id not in view.ours
