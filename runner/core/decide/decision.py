"""What a decision is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runner.core.effects import Dispatch, Effect
from runner.core.handover import Work
from runner.core.phases import Phase


class Outcome(StrEnum):
    """How a run ends, as its output says."""

    DONE = "done"
    WAITING = "waiting"
    ASKED = "asked"
    NOTHING = "nothing"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is due for one ticket.

    ``row`` names the row of the behaviour table. With ``work``, a model is needed: ``claim`` is written
    before it is asked. ``effects`` are applied in order; ``again`` says that the ticket must be read and
    decided once more after them, because what follows needs what they made.
    """

    row: str
    outcome: Outcome
    reason: str
    phase: Phase | None = None
    claim: tuple[Effect, ...] = ()
    work: Work | None = None
    effects: tuple[Effect, ...] = ()
    again: bool = False
    exit_code: int = 0
    warning: str = ""
    remedy: str = ""

    @property
    def dispatches(self) -> tuple[Dispatch, ...]:
        """The tickets that are woken."""
        return tuple(effect for effect in self.effects if isinstance(effect, Dispatch))

    @property
    def writes(self) -> tuple[Effect, ...]:
        """The effects that change something on the ticket, the branch or the pull request."""
        return tuple(effect for effect in self.effects if not isinstance(effect, Dispatch))
