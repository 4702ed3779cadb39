"""Somebody, or something, gives a ticket back the moment it is handed over: the fuse ends the circle."""

from __future__ import annotations

from runner.core.decide.engine import MAX_RUNS_PER_HOUR
from tests.reliability import scenes
from tests.reliability.invariants import violations
from tests.reliability.scenes import Scene
from tests.reliability.scripts import Script

HOUR = 3_600.0


def give_back(scene: Scene, text: str) -> None:
    """A robot with a person's account comments and assigns, within a minute."""
    scene.arena.ada.comment(scene.key, text)
    scene.arena.ada.assign(scene.key, scene.arena.bot)
    scene.arena.clock.advance(60)


def test_a_ticket_given_back_without_end_rests_and_goes_on_an_hour_later() -> None:
    """Six runs ask a model; the seventh writes nothing, and the sweep goes on once the hour is over."""
    scene = scenes.plan().copy()
    runs = scene.runs()
    runs.think = Script(items=("prices", "rounding"))
    asked = []
    for number in range(MAX_RUNS_PER_HOUR + 3):
        ran = runs.run(scene.key)
        asked.append(ran.model_calls)
        if ran.model_calls:
            give_back(scene, f"Remark {number}.")
        else:
            assert (ran.writes, ran.exit_code, ran.end and ran.end.outcome) == (0, 0, "waiting")
    assert asked == [1] * MAX_RUNS_PER_HOUR + [0] * 3

    scene.arena.clock.advance(HOUR)
    assert scene.key in runs.sweep().dispatched
    assert runs.run(scene.key).model_calls == 1
    assert violations(scene.arena, runs) == []
    assert scene.arena.assignee(scene.key) == "ada"
