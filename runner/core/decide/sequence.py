"""The order inside a family: what a sub-task waits for, where its work starts, and what is ready."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runner.core import phases
from runner.core.decide.view import View, family_of, item_of
from runner.core.effects import Dispatch
from runner.core.markers import Kind, from_line, is_marker_line
from runner.core.model import WorkItem
from runner.core.phases import Phase, State
from runner.core.plan import Plan
from runner.core.sharing import contributors


class Standing(StrEnum):
    """How far a predecessor is."""

    OPEN = "open"
    HANDED_OVER = "handed over"
    DONE = "done"
    REJECTED = "rejected"


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where work may start: the pull request's ``base`` and the branch whose head is built upon; or why not yet."""

    base: str = ""
    predecessor: str = ""
    waits_for: tuple[str, ...] = ()
    rejected_by: str = ""


def base_branch(view: View) -> str:
    """The branch that finished work goes to."""
    return view.policy.pull_request.base or view.snapshot.repository.default_branch


def standing(one: WorkItem, view: View) -> Standing:
    """How far a member of the family is."""
    state = phases.state_of(one.ticket, view.policy)
    pull_request = one.pull_request
    if state is State.DONE:
        return Standing.DONE
    if pull_request is not None and pull_request.state == "closed" and not pull_request.is_merged:
        return Standing.REJECTED if state is State.BLOCKED else Standing.OPEN
    if state is State.IN_TESTING and (pull_request is not None or _handed_over_by_us(one, view)):
        return Standing.HANDED_OVER
    return Standing.OPEN


def _handed_over_by_us(one: WorkItem, view: View) -> bool:
    """Whether a ticket without a pull request carries our hand-over: no change was needed."""
    trusted = [
        from_line(comment.last_line)
        for comment in one.ticket.comments
        if is_marker_line(comment.last_line)
        and comment.author.id in view.ours
        and comment.editor.id in view.ours
    ]
    keys = view.snapshot.keys_of(one.ticket.key)
    return any(marker.kind is Kind.HANDOVER and marker.key in keys for marker in trusted)


def duplicates(view: View) -> tuple[str, ...]:
    """Open sub-tasks of ours that repeat an older one: two runs created them at once."""
    first = {one.ticket.key for one in family_of(view.snapshot.family, view.ours).values()}
    return tuple(
        one.ticket.key
        for one in view.snapshot.family
        if item_of(one.ticket, view.ours) is not None
        and one.ticket.key not in first
        and phases.state_of(one.ticket, view.policy) is not State.DONE
    )


def starting_point(view: View) -> Start:
    """Where this work ticket may start, by the configured sequence."""
    base = base_branch(view)
    if view.item_id is None:
        return Start(base=base)
    if view.plan is None:
        # Without the plan the order is unknown, which is not the same as free.
        return Start(waits_for=(view.ticket.parent_key or "",))
    members = predecessors(view)
    standings = {id_: standing(member, view) for id_, member in members.items()}
    keys = {id_: member.ticket.key for id_, member in members.items()}
    rejected = [keys[id_] for id_, how in standings.items() if how is Standing.REJECTED]
    if rejected:
        return Start(rejected_by=rejected[0])
    waits = [keys[id_] for id_, how in standings.items() if how is Standing.OPEN]
    live = [members[id_] for id_, how in standings.items() if how is Standing.HANDED_OVER]
    stacked_on = [one.pull_request for one in live if one.pull_request is not None]
    open_heads = [one for one in stacked_on if not one.is_merged]
    if view.policy.sequence == "wait":
        waits += [one.ticket.key for one in live]
    elif view.policy.sequence == "stacked" and len(open_heads) > 1:
        waits += [key for one in open_heads if (key := view.key_of(one.head))]
    if waits:
        return Start(waits_for=tuple(dict.fromkeys(waits)))
    if not open_heads or view.shares:
        return Start(base=base)
    head = open_heads[0].head
    return Start(base=head, predecessor=phases.key_of_branch(head) or "")


def predecessors(view: View) -> dict[str, WorkItem]:
    """The members of the family that this sub-task waits for, by their items."""
    if view.item_id is None or view.plan is None:
        return {}
    return _predecessors(view.item_id, view.plan, view)


def _predecessors(id_: str, plan: Plan, view: View) -> dict[str, WorkItem]:
    """The members that an item waits for. One whose ticket a person removed leaves what it waited for itself."""
    family = family_of(view.snapshot.family, view.ours)
    found: dict[str, WorkItem] = {}
    ahead, seen = list(plan.predecessors(id_)), set[str]()
    while ahead:
        next_ = ahead.pop(0)
        if next_ in family:
            found[next_] = family[next_]
        elif next_ not in seen:
            ahead += plan.predecessors(next_)
        seen.add(next_)
    return found


def busy_siblings(view: View) -> tuple[str, ...]:
    """Other sub-tasks of the family that the runner is working on now."""
    return tuple(
        one.ticket.key
        for one in view.snapshot.family
        if one.ticket.key != view.key and _is_running(one, view)
    )


def claimed_siblings(view: View) -> tuple[str, ...]:
    """Other sub-tasks that a run has claimed, if this one shares its branch with them: a revision counts, too.

    A ticket that is claimed itself goes on, so that two whose runs died do not wait for each other.
    """
    if not view.shares or view.has_label(phases.WORKING):
        return ()
    label = view.policy.label(phases.WORKING)
    others = (one.ticket for one in view.snapshot.family if one.ticket.key != view.key)
    return tuple(
        ticket.key
        for ticket in others
        if label in ticket.labels and phases.state_of(ticket, view.policy) is not State.DONE
    )


def unfinished_siblings(view: View) -> tuple[str, ...]:
    """Other sub-tasks whose work in the shared pull request is not finished: it stays a draft for them."""
    offered = view.branch_pull_request
    if not view.shares or offered is None:
        return ()
    inside = contributors(view.contributions(offered))
    return tuple(
        one.ticket.key
        for one in view.snapshot.family
        if one.ticket.key in inside
        and one.ticket.key != view.key
        and phases.state_of(one.ticket, view.policy) is State.BLOCKED
    )


def _is_running(one: WorkItem, view: View) -> bool:
    """Whether the runner works on it. One that a person moved ahead of its turn would hold up what it waits for."""
    is_mine = one.ticket.assignee is not None and one.ticket.assignee.id == view.snapshot.me.id
    is_begun = phases.state_of(one.ticket, view.policy) is State.IN_PROGRESS
    return is_mine and is_begun and (_is_claimed(one, view) or _is_its_turn(one, view))


def _is_claimed(one: WorkItem, view: View) -> bool:
    claims = {view.policy.label(name) for name in (phases.WORKING, phases.WAITING)}
    return bool(claims & one.ticket.labels) or phases.attempts(one.ticket, view.policy) > 0


def _is_its_turn(one: WorkItem, view: View, finished: frozenset[str] = frozenset()) -> bool:
    """A hint for dispatching only: the woken ticket decides with its predecessors read in full."""
    id_ = item_of(one.ticket, view.ours)
    if view.plan is None or id_ is None:
        return True
    ahead = _predecessors(id_, view.plan, view).values()
    return all(_holds_no_longer(each, view, finished) for each in ahead)


def ready_keys(
    view: View, plan: Plan, *, finished: frozenset[str] = frozenset(), resting: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Sub-tasks that may start now, in the plan's order, as many as may be in work at once.

    ``finished`` are keys that this very run hands over, ``resting`` those it leaves blocked; the snapshot
    shows neither yet.
    """
    family = family_of(view.snapshot.family, view.ours)
    at_rest = finished | resting
    ready = [
        member.ticket.key
        for item in plan.items
        if (member := family.get(item.id)) is not None
        and member.ticket.key not in at_rest
        and _may_start(member, view)
        and _is_its_turn(member, view, finished)
    ]
    running = [
        one
        for one in view.snapshot.family
        if one.ticket.key not in {*at_rest, *ready} and _is_running(one, view)
    ]
    slots = view.policy.parallel - len(running)
    return tuple(ready[: max(slots, 0)])


def pass_turn(
    view: View, *, finished: frozenset[str] = frozenset(), resting: frozenset[str] = frozenset()
) -> tuple[Dispatch, ...]:
    """Who is woken once this sub-task rests: siblings that may start now.

    Where they share a branch it is the parent, which tells whose turn it is: what people said about finished
    ones comes before new work.
    """
    if view.item_id is None or view.plan is None:
        return ()
    if view.shares:
        return (Dispatch(key=view.home),)
    ready = ready_keys(view, view.plan, finished=finished, resting=resting)
    return tuple(Dispatch(key=key, phase=Phase.IMPLEMENT.value) for key in ready)


def _may_start(member: WorkItem, view: View) -> bool:
    is_mine = member.ticket.assignee is not None and member.ticket.assignee.id == view.snapshot.me.id
    held = {
        view.policy.label(name) for name in (phases.IGNORE, phases.STOP, phases.FAILED, phases.OVER_BUDGET)
    }
    state = phases.state_of(member.ticket, view.policy)
    is_next = state is State.BACKLOG or (state is State.IN_PROGRESS and not _is_claimed(member, view))
    return is_mine and is_next and not held & member.ticket.labels


def _holds_no_longer(member: WorkItem, view: View, finished: frozenset[str]) -> bool:
    state = phases.state_of(member.ticket, view.policy)
    if view.policy.sequence == "wait":
        return state is State.DONE
    return member.ticket.key in finished or state in (State.DONE, State.IN_TESTING)
