"""Independent items worked on at the same time: the graph's order holds, and the end is that of one after the other."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from runner.core.handover import Result, WorkFile
from runner.core.phases import Phase
from runner.sandbox.actions import WorkflowRun
from runner.sandbox.models_wire import ModelReply, ModelRequest, ToolUse
from runner.sandbox.observed import Observed
from runner.sandbox.world import PROJECT, World, open_world
from tests import contracts
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


class Watched:
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


def play(folder: Path, *, workers: int) -> tuple[dict[str, bytes], Watched, list[str]]:
    """The whole story of the graph; its end tree, what was observed, and the states at the end."""
    folder.mkdir()
    model = Watched(together=min(workers, len(IS_INDEPENDENT)))
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


# --- real processes, started by the engine that plays GitHub Actions ----------------------------------------

ITEMS: list[dict[str, Any]] = [
    {
        "id": name,
        "title": f"Do {name}",
        "description": f"About {name}.",
        "files": [f"src/{name}.py"],
        "acceptance": [],
        "verify": [],
        "depends_on": list(needed),
        "risk": "low",
    }
    for name, needed in GRAPH.items()
]
PLAN: dict[str, Any] = {"outcome": "plan", "summary": "", "items": ITEMS, "questions": [], "answers": []}


class MeetingBrain:
    """Plans the graph and writes one file for each item; the first answers of independent items wait for each other."""

    def __init__(self, *, together: int) -> None:
        self._meeting = threading.Barrier(together)
        self._thread = threading.local()
        self._met: set[str] = set()
        self.order: list[str] = []

    def answer(self, request: ModelRequest) -> ModelReply:
        self._thread.item = ""
        if request.schema is not None:
            return ModelReply(text=json.dumps(PLAN))
        item = Observed(request).item
        if item is None:
            return ModelReply(text="I have read enough.")
        self._thread.item = item.id
        if item.id not in self.order:
            self.order.append(item.id)
        if not request.results:
            return _call("write_file", path=f"src/{item.id}.py", content=f"# {item.id}\n")
        return _call("finish", outcome="done", summary=f"Does {item.id}.", criteria=[])

    def hold(self, _request: Request, _response: Response) -> None:
        """Keep an answer back until its counterpart is about to be sent, too: a run that is alone breaks the barrier."""
        name = self._thread.item
        if name in IS_INDEPENDENT - self._met and self._meeting.parties > 1:
            self._met.add(name)
            self._meeting.wait(timeout=60)


def _call(name: str, **arguments: object) -> ModelReply:
    return ModelReply(tool_calls=(ToolUse(name=name, id=f"call-{name}", arguments=arguments),))


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How the story of the graph went: files and statuses at its end, the items in the order of their work.

    ``spans`` are the runs of each ticket as the engine saw them begin and end.
    """

    files: dict[str, bytes]
    states: list[str]
    order: list[str]
    spans: list[tuple[str, float, float]]
    most: int

    def overlapping(self) -> set[frozenset[str]]:
        """Pairs of tickets that were worked on at the same time."""
        return {
            frozenset((one, other))
            for one, begun, ended in self.spans
            for other, begun_too, ended_too in self.spans
            if begun < ended_too and begun_too < ended
        }


class Stopwatch:
    """Notes when the engine's runs begin and end, and how many there were at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: dict[int, tuple[str, float]] = {}
        self.spans: list[tuple[str, float, float]] = []
        self.most = 0

    def __call__(self, run: WorkflowRun) -> None:
        with self._lock:
            if run.status == "in_progress":
                self._begun[id(run)] = (str(run.key), time.monotonic())
                self.most = max(self.most, len(self._begun))
            elif run.status == "completed" and id(run) in self._begun:
                key, begun = self._begun.pop(id(run))
                self.spans.append((key, begun, time.monotonic()))


def through_the_engine(folder: Path, *, workers: int) -> Engine:
    """The whole story of the graph with the shipped workflow, each run a process of its own."""
    brain, watch = MeetingBrain(together=min(workers, len(IS_INDEPENDENT))), Stopwatch()
    policy = {"max_parallel": workers}
    folder.mkdir()
    with open_world(
        folder, brain=brain, workers=workers, policy=policy, files={"README.md": b"# Till\n"}
    ) as w:
        w.models.observers.append(brain.hold)
        w.actions.observers.append(watch)
        key = w.people["rita"].create_ticket("Totals are wrong", "Mend them.", project=PROJECT)
        w.people["rita"].assign(key, w.bot)
        w.settle()
        w.people["ada"].move(key, "In Progress")
        w.settle()
        _merge_in_order(w)
        family = [key, *(one["key"] for one in w.people["rita"].read(key)["fields"]["subtasks"])]
        states = [w.people["rita"].status(one) for one in family]
        files = {path: text for path, text in w.github.files("main").items() if path.startswith("src/")}
        assert contracts.violations(w.recorder.exchanges) == []
        return Engine(files=files, states=states, order=brain.order, spans=watch.spans, most=watch.most)


def _merge_in_order(world: World) -> None:
    while numbers := [one["number"] for one in world.reviewer.pulls() if one["state"] == "open"]:
        world.reviewer.merge(min(numbers))
        world.settle()


def test_a_graph_of_eight_items_in_three_processes_at_a_time(tmp_path: Path) -> None:
    """Separate jobs of independent items run at the same time, in the graph's order, to the tree of one after the other.

    What one after the other ends in is known; with ``AI_RUNNER_FULL`` it is played, too.
    """
    chosen = (3, 1) if os.environ.get("AI_RUNNER_FULL") else (3,)
    with ThreadPoolExecutor(2) as pool:
        played = list(
            pool.map(lambda workers: through_the_engine(tmp_path / str(workers), workers=workers), chosen)
        )
    for one in played:
        assert one.states == ["Done"] * 9
        assert one.files == {f"src/{name}.py": f"# {name}\n".encode() for name in GRAPH}
    together = played[0]
    assert 2 <= together.most <= 3
    assert [one.most for one in played[1:]] in ([], [1])
    keys = dict(zip(GRAPH, (f"{PROJECT}-{number}" for number in range(2, 10)), strict=True))
    assert frozenset(keys[name] for name in IS_INDEPENDENT) in together.overlapping()
    for name, needed in GRAPH.items():
        assert all(together.order.index(one) < together.order.index(name) for one in needed), together.order
