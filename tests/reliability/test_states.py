"""Whatever people, crashes and events did before: a run that ended leaves nothing for a second one to do."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.reliability import scenes
from tests.reliability.faulting import FaultyLine, by_chance
from tests.reliability.invariants import is_at_rest, violations
from tests.reliability.moves import MOVES, make
from tests.reliability.runs import Ran, Runs
from tests.reliability.tally import IS_FULL
from tests.reliability.wire import Crash, Line

STARTS = {
    "plan": scenes.plan,
    "breakdown": scenes.breakdown,
    "implemented": scenes.implemented,
    "stacked": scenes.stacked,
}
MAX_IN_A_ROW = 8


class Anything(RuleBasedStateMachine):
    """People move, runs work or die, the sweep looks."""

    counted = 0

    @initialize(start=st.sampled_from(sorted(STARTS)))
    def begin(self, start: str) -> None:
        """A world in some state."""
        scene = STARTS[start]().copy()
        self.arena = scene.arena
        self.runs = Runs(self.arena, scene.script)

    def _key(self, pick: int) -> str:
        keys = sorted(one.key for one in self.arena.site.issues.values())
        return keys[pick % len(keys)]

    @rule(pick=st.integers(0, 5), name=st.sampled_from(sorted(MOVES)))
    def somebody_moves(self, pick: int, name: str) -> None:
        """A person does something."""
        make(self.arena, name, self._key(pick))

    @rule(
        pick=st.integers(0, 5),
        at=st.integers(1, 12),
        crash=st.sampled_from(sorted(Crash)),
        concludes=st.booleans(),
    )
    def a_run_goes_wrong(self, pick: int, at: int, crash: Crash, concludes: bool) -> None:
        """A run dies, or an answer is lost."""
        self.runs.run(self._key(pick), line=Line(crashes={at: Crash(crash)}), concludes=concludes)

    @rule(pick=st.integers(0, 5), seed=st.integers(0, 10_000), share=st.sampled_from([0.05, 0.2]))
    def a_run_meets_faults(self, pick: int, seed: int, share: float) -> None:
        """Services fail, limit or answer nonsense in the middle of a run."""
        line = FaultyLine(clock=self.arena.clock, choose=by_chance(str(seed), share))
        self.runs.run(self._key(pick), line=line)

    @rule(pick=st.integers(0, 5))
    def a_run(self, pick: int) -> None:
        """A run ends; the next one in a row has nothing to do."""
        self._finish(self._key(pick))

    @rule()
    def a_sweep(self) -> None:
        """The sweep wakes what it finds."""
        self.arena.clock.advance(3_700)
        for key in self.runs.sweep().dispatched:
            self._finish(key)

    def _finish(self, key: str) -> None:
        ran: Ran = self.runs.run(key)
        for _ in range(MAX_IN_A_ROW):
            if key not in ran.dispatched:
                break
            ran = self.runs.run(key)
        again = self.runs.run(key)
        Anything.counted += 1
        assert is_at_rest(again), (
            ran.end,
            again.end,
            [one.kind for one in again.line.applied if one.is_write],
            again.log,
        )

    @invariant()
    def nothing_is_wrong(self) -> None:
        """Every rule holds in every state."""
        if hasattr(self, "arena"):
            assert violations(self.arena, self.runs) == []


def test_a_second_run_in_a_row_has_nothing_to_do_in_any_state(request: Any) -> None:
    """After any history: no write, no call of the model, every invariant."""
    from tests.reliability.tally import count

    run_state_machine_as_test(
        Anything,
        settings=settings(
            max_examples=60 if IS_FULL else 6,
            stateful_step_count=25 if IS_FULL else 10,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    count(request, "run twice in any state", cases=Anything.counted, converged=Anything.counted, violated=0)
