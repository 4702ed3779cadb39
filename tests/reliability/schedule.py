"""Two runs at once, step by step: at every write one of them is held until the schedule lets it go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from tests.reliability.runs import Ran, Runs
from tests.reliability.wire import Line, Sent

PATIENCE = 60.0


class Baton:
    """Lets one thread work at a time; at each write the next one of ``order`` is chosen."""

    def __init__(self, order: Sequence[int]) -> None:
        self._order = list(order)
        self._changed = threading.Condition()
        self._turn = self._next(0)
        self._done: set[int] = set()

    def _next(self, default: int) -> int:
        return self._order.pop(0) if self._order else default

    def wait(self, who: int) -> None:
        """Hold until it is this one's turn."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._turn == who or 1 - who in self._done, PATIENCE):
                raise TimeoutError("the schedule does not go on")

    def step(self, who: int) -> None:
        """Give the turn to whoever the schedule names next, and wait for one's own."""
        with self._changed:
            self._turn = self._next(who)
            self._changed.notify_all()
        self.wait(who)

    def end(self, who: int) -> None:
        """Leave the field to the other one."""
        with self._changed:
            self._done.add(who)
            self._turn = 1 - who
            self._changed.notify_all()


def together(runs: Runs, key: str, order: Sequence[int]) -> list[Ran]:
    """Two runs for one ticket, interleaved at their writes in the given order."""
    baton = Baton(order)
    ended: list[Ran] = []
    failed: list[BaseException] = []

    def work(who: int) -> None:
        def step(_: Sent) -> None:
            baton.step(who)

        try:
            baton.wait(who)
            ended.append(runs.run(key, line=Line(step=step)))
        except BaseException as exc:  # raised again by the test's own thread
            failed.append(exc)
        finally:
            baton.end(who)

    _in_threads([lambda: work(0), lambda: work(1)])
    if failed:
        raise failed[0]
    return ended


def _in_threads(jobs: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
