"""Every row leaves a state that does not trigger it again: a second run writes nothing and asks no model."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from runner.core.effects import identity
from runner.core.markers import from_line
from runner.core.phases import Phase
from tests.core.every_case import CASES
from tests.core.snapshots import BOT, LOGIN
from tests.fakes import World, model

PLAN_ENDS = (
    "done",
    "asked",
    "not_ready",
    "refused",
    "invalid",
    "truncated",
    "budget",
    "budget+ticket",
    "budget+parent",
    "stopped",
    "unavailable",
    "unavailable+untold",
    "config",
)
WORK_ENDS = (
    "done",
    "done+red",
    "done+empty",
    "no_change",
    "partial",
    "partial+empty",
    "asked",
    "refused",
    "invalid",
    "truncated",
    "truncated+empty",
    "budget",
    "budget+empty",
    "budget+ticket",
    "stopped",
    "stopped+empty",
    "unavailable",
    "unavailable+untold",
    "config",
)


def endings() -> list[tuple[str, str]]:
    """Every case with every way its model's work can end."""
    found = []
    for name, case in CASES.items():
        ends: tuple[str, ...] = ("done",)
        if "ask:plan" in case.does:
            ends = PLAN_ENDS
        elif case.asks:
            ends = WORK_ENDS
        found += [(name, end) for end in ends]
    return found


ENDINGS = endings()


@cache
def _after(name: str, end: str) -> World:
    case = CASES[name]
    world = World.of(case.snap, case.policy)
    world.run(case.snap.ticket.key, model(end))
    return world


def after_a_run(name: str, end: str) -> World:
    """The world of a case after one run, and what that run wrote and asked."""
    done = _after(name, end)
    world = done.copy()
    world.asked = list(done.asked)
    return world


def duplicates(world: World) -> list[object]:
    """What exists twice and must not: comments of one identity, sub-tasks of one item, open pull requests, pushes."""
    seen: Counter[object] = Counter()
    for ticket in world.tickets.by_key.values():
        own = [one for one in ticket.comments if one.author == one.editor == BOT and one.last_line]
        seen.update((ticket.key, *identity(from_line(one.last_line))) for one in own)
        if ticket.creator is not None and ticket.creator.id == BOT.id:
            items = (label for label in ticket.labels if label.startswith("ai-item-"))
            seen.update((ticket.parent_key, item) for item in items)
    for pull in world.forge.pulls.values():
        if pull.state == "open" and pull.author == LOGIN:
            seen[("open", pull.head)] += 1
        tokens = [one.body.rpartition("<!--")[2] for one in pull.comments if one.is_ours]
        for thread in pull.threads:
            tokens += [one.body.rpartition("<!--")[2] for one in thread.comments if one.is_ours]
        seen.update((pull.number, token) for token in tokens)
    return [what for what, count in seen.items() if count > 1]


def test_every_outcome_of_a_model_is_met() -> None:
    """The endings below cover plans and work."""
    asked = {CASES[name].does[0] for name, _ in ENDINGS if CASES[name].asks}

    assert asked == {f"ask:{phase}" for phase in (Phase.PLAN, Phase.IMPLEMENT, Phase.REVISE)}


@pytest.mark.parametrize(("name", "end"), ENDINGS)
def test_a_second_run_writes_nothing(name: str, end: str) -> None:
    """What a run leaves does not trigger it again; dispatches may repeat."""
    case = CASES[name]
    world = after_a_run(name, end)
    key = case.snap.ticket.key
    written, asked = list(world.line.sent), list(world.asked)

    world.run(key, model(end))

    assert (world.line.sent, world.asked) == (written, asked), world.decisions[-1]


@pytest.mark.parametrize(("name", "end"), ENDINGS)
def test_a_run_leaves_no_duplicates_and_no_claim(name: str, end: str) -> None:
    """Nothing exists twice, and no ticket that was worked on stays claimed."""
    case = CASES[name]
    key = case.snap.ticket.key

    world = after_a_run(name, end)

    assert duplicates(world) == []
    if case.asks:
        assert "ai:working" not in world.tickets.by_key[key].labels


@pytest.mark.parametrize(("name", "end"), ENDINGS)
def test_a_run_never_changes_what_people_own(name: str, end: str) -> None:
    """Comments of people, their labels, the ticket's text and other tickets stay as they were."""
    case = CASES[name]
    before = World.of(case.snap, case.policy).tickets.by_key
    key = case.snap.ticket.key

    world = after_a_run(name, end)

    for other, old in before.items():
        new = world.tickets.by_key[other]
        theirs = [one for one in old.comments if one.author.id != BOT.id or one.editor.id != BOT.id]
        assert [one for one in new.comments if one in theirs] == theirs
        assert (new.summary, new.description) == (old.summary, old.description)
        assert not (old.labels - new.labels) & {"ai:ignore", "ai:no-exec", "ai:stop", "ai:direct"}
        if other != key:
            assert (new.status, new.assignee, new.labels) == (old.status, old.assignee, old.labels)
