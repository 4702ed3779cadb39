"""Apply effects in order, each to the side it is for.

The snapshot that was just read says whether an effect is already true. When a write's answer is lost, the state is
read back after a wait before the write is sent once more; no POST is repeated blindly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from runner.core.effects import Effect, TicketEffect
from runner.core.model import Snapshot
from runner.core.policy import Policy
from runner.core.redact import Redactor
from runner.ports import Forge, Publisher, Tickets
from runner.workflow.apply_repository import RepositoryApplier
from runner.workflow.apply_ticket import TicketApplier
from runner.workflow.sending import Sender


@dataclass(kw_only=True)
class Applier:
    """Applies the effects of one decision to one freshly read snapshot."""

    tickets: Tickets
    forge: Forge | None
    publisher: Publisher | None
    policy: Policy
    snapshot: Snapshot
    redactor: Redactor
    sleep: Callable[[float], None]
    log: Callable[[str], None]

    def __post_init__(self) -> None:
        self._sender = Sender(redactor=self.redactor, sleep=self.sleep, log=self.log)
        self._ticket = TicketApplier(
            tickets=self.tickets, policy=self.policy, snapshot=self.snapshot, sender=self._sender
        )
        self._repository = RepositoryApplier(
            forge=self.forge,
            publisher=self.publisher,
            snapshot=self.snapshot,
            sender=self._sender,
            tell=self._ticket.put_comment,
        )

    def apply(self, effects: Iterable[Effect]) -> None:
        """Apply in order; the first failure ends it, and the next run goes on from what is true by then."""
        for effect in effects:
            if isinstance(effect, TicketEffect):
                self._ticket.apply(effect)
            else:
                self._repository.apply(effect)

    @property
    def writes(self) -> int:
        """The writes that were really sent."""
        return self._sender.writes

    @property
    def pushes(self) -> int:
        """How many of them were pushes."""
        return self._repository.pushes

    @property
    def dispatched(self) -> list[str]:
        """The tickets that were woken, which are not counted as writes."""
        return self._repository.dispatched
