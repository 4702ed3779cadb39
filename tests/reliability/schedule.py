"""Several runs at once, step by step: at every write, or at every request, one of them is held until its turn."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.reliability.runs import Ran, Runs
from tests.reliability.wire import Line, Sent

PATIENCE = 60.0
Boundary = Literal["writes", "requests"]
# Who goes on, of those that can; the one that was at work comes first.
Choose = Callable[[Sequence[int]], int]


class Baton:
    """Lets one thread work at a time; at each boundary it is chosen anew who goes on."""

    def __init__(self, parties: int, choose: Choose) -> None:
        self._choose = choose
        self._alive = list(range(parties))
        self._changed = threading.Condition()
        self._turn = choose(self._alive)

    def wait(self, who: int) -> None:
        """Hold until it is this one's turn."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._turn == who, PATIENCE):
                raise TimeoutError("the schedule does not go on")

    def step(self, who: int) -> None:
        """Give the turn to whoever is chosen, and wait for one's own."""
        with self._changed:
            others = [one for one in self._alive if one != who]
            self._turn = self._choose([who, *others]) if others else who
            self._changed.notify_all()
        self.wait(who)

    def end(self, who: int) -> None:
        """Leave the field to the others."""
        with self._changed:
            self._alive.remove(who)
            if self._alive:
                self._turn = self._choose(self._alive) if len(self._alive) > 1 else self._alive[0]
            self._changed.notify_all()


def together(runs: Runs, keys: Sequence[str], choose: Choose, *, at: Boundary) -> list[Ran]:
    """A run for each of ``keys``, which may name one ticket several times, interleaved as chosen."""
    baton = Baton(len(keys), choose)
    ended: list[Ran] = []
    failed: list[BaseException] = []

    def work(who: int) -> None:
        def step(sent: Sent) -> None:
            if at == "requests" or sent.is_write or sent.is_dispatch:
                baton.step(who)

        try:
            baton.wait(who)
            ended.append(runs.run(keys[who], line=Line(step=step)))
        except BaseException as exc:  # raised again by the test's own thread
            failed.append(exc)
        finally:
            baton.end(who)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(len(keys))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return ended


@dataclass(kw_only=True)
class Path:
    """One way through all choices: those of ``start``, then always the first; what could be chosen is kept."""

    start: Sequence[int] = ()
    taken: list[int] = field(default_factory=list)
    width: list[int] = field(default_factory=list)

    def __call__(self, able: Sequence[int]) -> int:
        """Choose, and remember."""
        at = len(self.taken)
        chosen = self.start[at] if at < len(self.start) else 0
        self.taken.append(chosen)
        self.width.append(len(able))
        return able[chosen]

    @property
    def following(self) -> tuple[int, ...] | None:
        """How the next way begins, in the order of a depth-first search; ``None`` after the last one."""
        for at in reversed(range(len(self.taken))):
            if self.taken[at] + 1 < self.width[at]:
                return (*self.taken[:at], self.taken[at] + 1)
        return None


def every_path(begin: Sequence[int]) -> Iterator[Path]:
    """Every interleaving that begins like this, exactly once."""
    path = Path(start=begin)
    while True:
        yield path
        following = path.following
        if following is None or following[: len(begin)] != tuple(begin):
            return
        path = Path(start=following)


def switching(first: int, second: int) -> Choose:
    """The first run is held at its ``first`` boundary, the second one at its own ``second``; then both end in turn."""
    passed = [0, 0]

    def choose(able: Sequence[int]) -> int:
        here = able[0]
        passed[here] += 1
        held = passed[here] == (first if here == 0 else second)
        return able[-1] if held else here

    return choose


def by_seed(seed: object) -> Choose:
    """A way by lot; some seeds switch at nearly every boundary, others seldom."""
    choice = random.Random(str(seed))
    switching = choice.choice((0.03, 0.1, 0.3, 0.6))

    def choose(able: Sequence[int]) -> int:
        if len(able) > 1 and choice.random() < switching:
            return choice.choice(able[1:])
        return able[0]

    return choose
