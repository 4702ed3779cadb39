"""One write at a time: counted, masked, said in the log, and read back when its answer was lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runner.core.redact import Redactor
from runner.errors import Ambiguous

READ_BACK_WAITS = (1.0, 3.0, 7.0)


@dataclass(kw_only=True)
class Sender:
    """Sends the writes of one decision. ``sleep`` waits before a read-back; ``writes`` counts what was really sent."""

    redactor: Redactor
    sleep: Callable[[float], None]
    log: Callable[[str], None]
    writes: int = 0

    def write(self, what: str, send: Callable[[], object], is_true: Callable[[], bool] | None = None) -> None:
        """Send one write. A lost answer is read back; if the write did not arrive, it is sent once more."""
        self.writes += 1
        self.log(what)
        try:
            send()
        except Ambiguous:
            if is_true is None:
                raise
            for wait in READ_BACK_WAITS:
                self.sleep(wait)
                if is_true():
                    return
            send()

    def mask(self, text: str) -> str:
        """A text that may leave: without any secret."""
        return self.redactor.mask(text)
