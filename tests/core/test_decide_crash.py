"""A run may die before any of its writes: the next ones finish it, without duplicates and without asking twice."""

from __future__ import annotations

import pytest

from tests.core.every_case import CASES
from tests.core.test_decide_rest import PLAN_ENDS, WORK_ENDS, duplicates
from tests.fakes import Killed, World, model

# What publishes a result, so that the model need not be asked again.
PUBLISHES = {"push", "add comment", "edit comment"}
# Every ending of the model's work is crashed in these; elsewhere the usual two are enough.
THOROUGH = {
    "backlog and mine": PLAN_ENDS,
    "plan review and mine with an unread comment": PLAN_ENDS,
    "the first sub task of an approved plan": WORK_ENDS,
    "given back with a comment": WORK_ENDS,
    "given back with a thread": WORK_ENDS,
    "changes requested whoever is assigned": WORK_ENDS,
    "a failed check on our own head": WORK_ENDS,
    "a ticket labelled direct": WORK_ENDS,
    "a failed ticket given back by a person": WORK_ENDS,
    "a project with three statuses": PLAN_ENDS,
    "a sub task in a project with three statuses": WORK_ENDS,
}


def crashes() -> list[tuple[str, str]]:
    """Every case that writes, with the endings that are tried in it."""
    found = []
    for name, case in CASES.items():
        usual = ("done", "asked") if "ask:plan" in case.does else ("done", "done+red")
        ends = THOROUGH.get(name, usual if case.asks else ("done",))
        found += [(name, end) for end in ends if case.does]
    return found


def settled(world: World, key: str, end: str) -> World:
    """The world once its runs have nothing more to write."""
    world.settle(key, model(end))
    return world


@pytest.mark.parametrize(("name", "end"), crashes())
def test_a_crash_before_any_write_converges(name: str, end: str) -> None:
    """Wherever a run dies, later ones reach the state of an undisturbed run, and nothing exists twice.

    The model is asked again only when the run had published nothing yet, and then once.
    """
    case = CASES[name]
    key = case.snap.ticket.key
    start = World.of(case.snap, case.policy)
    whole = settled(start.copy(), key, end)
    asked = len(whole.asked)
    claim = claim_length(start, key)
    wrong = []
    for place in range(len(whole.line.sent)):
        world = start.copy()
        world.line.fuse = place
        with pytest.raises(Killed):
            settled(world, key, end)
        world.line.fuse = None
        before = len(world.asked)

        settled(world, key, end)

        is_published = not end.startswith("unavailable") and bool(
            PUBLISHES.intersection(whole.line.sent[claim:place])
        )
        repeats = 0 if is_published else before
        if differences(whole, world) or duplicates(world) or len(world.asked) > asked + repeats:
            wrong.append((place, [*world.asked], duplicates(world), differences(whole, world)))
    assert wrong == [], f"writes: {whole.line.sent}, claim: {claim}, asked: {whole.asked}"


def claim_length(start: World, key: str) -> int:
    """How many writes the claim takes."""
    world = start.copy()

    def nobody(*_: object) -> None:
        raise Killed

    try:
        world.run(key, nobody)  # type: ignore[arg-type]  # never answers
    except Killed:
        return len(world.line.sent)
    return 0


def differences(one: World, other: World) -> list[object]:
    """Where two worlds look different."""
    first, second = shown(one), shown(other)
    return [
        (what, first.get(what), second.get(what))
        for what in {*first, *second}
        if first.get(what) != second.get(what)
    ]


def shown(world: World) -> dict[str, object]:
    """What people see once everything rests; the attempt of a run that died counts while a ticket is parked."""
    picture = world.picture()
    for seen in picture.values():
        if isinstance(seen, dict) and "ai:waiting" in seen.get("labels", ()):
            seen["labels"] = [label for label in seen["labels"] if not label.startswith("ai:try-")]
    return picture
