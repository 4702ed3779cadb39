"""Independent items worked on at the same time: the graph's order holds, and the end is that of one after the other."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.core.handover import Result, WorkFile
from runner.core.phases import Phase
from tests.shapes.harness import Team, planned_as, team

GRAPH: Mapping[str, tuple[str, ...]] = {
    "prices": (),
    "tax": ("prices",),
    "rounding": ("prices",),
    "receipt": ("tax",),
    "discount": ("rounding",),
    "report": ("receipt", "discount"),
    "stock": (),
    "orders": ("stock",),
}
IS_INDEPENDENT = {"prices", "stock"}


class Observed:
    """The model, watched: what was under way at the same time, and what each item could build upon."""

    def __init__(self, *, together: int) -> None:
        self._think = planned_as(*GRAPH, depends_on=GRAPH)
        self._lock = threading.Lock()
        # Only work that really overlaps can pass; a run that is alone waits here and breaks the barrier.
        self._meeting = threading.Barrier(together)
        self.order: list[str] = []
        self.under_way = 0
        self.most = 0

    def __call__(self, file: WorkFile) -> Result:
        assert file.work is not None
        if file.work.phase is not Phase.IMPLEMENT or file.work.item is None:
            return self._think(file)
        name = file.work.item.id
        with self._lock:
            self.order.append(name)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        if name in IS_INDEPENDENT and self._meeting.parties > 1:
            self._meeting.wait(timeout=60)
        with self._lock:
            self.under_way -= 1
        return self._think(file)


def play(folder: Path, *, workers: int) -> tuple[dict[str, bytes], Observed, list[str]]:
    """The whole story of the graph; its end tree, what was observed, and the states at the end."""
    folder.mkdir()
    model = Observed(together=min(workers, len(IS_INDEPENDENT)))
    policy: Mapping[str, Any] = {"max_parallel": workers}
    with team(folder, policy=policy, think=model) as acme:
        key = acme.ask()
        acme.follow(key)
        acme.ada.move(key, "In Progress")
        acme.follow_together(key, workers=workers)
        _merge_everything(acme, workers)
        states = [acme.status(one) for one in (key, *acme.sub_tasks(key))]
        files = acme.github.files("main")
        del files[".github/ai-runner.yml"]
        return files, model, states


def _merge_everything(acme: Team, workers: int) -> None:
    while pulls := [one for one in acme.github.pulls if one.is_open]:
        acme.reviewer.request("PUT", f"pulls/{pulls[0].number}/merge", merge_method="merge")
        acme.follow_together(pulls[0].head.removeprefix("ai/"), workers=workers)


def test_a_graph_of_eight_items_three_at_a_time(tmp_path: Path) -> None:
    """With three at a time, independent items overlap, no item starts before its predecessors, the tree is the same."""
    one_by_one, alone, _ = play(tmp_path / "one", workers=1)
    together, model, states = play(tmp_path / "three", workers=3)
    assert states == ["Done"] * 9
    assert together == one_by_one
    assert (alone.most, 2 <= model.most <= 3) == (1, True)
    for name, needed in GRAPH.items():
        assert all(model.order.index(one) < model.order.index(name) for one in needed), model.order
    assert sorted(model.order) == sorted(GRAPH), "each item was asked for once"
