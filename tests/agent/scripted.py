"""A model's conversation as a queue of turns, and a checkout whose checks look at one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from runner.agent.checks import CheckRunner
from runner.agent.loop import WorkLoop
from runner.agent.meter import Meter
from runner.agent.tools import Toolbox
from runner.core.budget import Budget
from runner.core.policy import CheckCommand, Checks
from runner.core.work import Brief, Input, ModelChoice, Stop, ToolCall, ToolResult, Turn, Usage, UserText

MODEL = ModelChoice(provider="anthropic", model="claude-opus-5-5", max_output_tokens=1_000)
USAGE = Usage(input=1_000, output=100)
_IDS = count(1)

Step = Turn | BaseException | Callable[[], Turn]


def call(name: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(id=f"call-{next(_IDS)}", name=name, arguments=arguments)


def using(*calls: ToolCall) -> Turn:
    return Turn(text="", tool_calls=calls, stop=Stop.TOOLS, usage=USAGE, model=MODEL.model)


def saying(text: str = "", stop: Stop = Stop.DONE, *, detail: str = "") -> Turn:
    return Turn(text=text, tool_calls=(), stop=stop, usage=USAGE, model=MODEL.model, detail=detail)


def finish(outcome: str = "done", **more: Any) -> ToolCall:
    return call("finish", **{"outcome": outcome, "summary": "It works.", "criteria": [], **more})


def write(path: str = "new.txt", content: str = "green\n") -> ToolCall:
    return call("write_file", path=path, content=content)


@dataclass
class ScriptedConversation:
    """Answers from a queue, and keeps what it was sent. A step may be an exception, which is raised."""

    steps: list[Step]
    sent: list[Sequence[Input]] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    calls: int = 0
    tokens: int = 1_000
    deadlines: list[float] = field(default_factory=list)

    def estimate(self, inputs: Sequence[Input]) -> int:
        return self.tokens

    def send(self, inputs: Sequence[Input], *, deadline: float) -> Turn:
        self.sent.append(tuple(inputs))
        self.deadlines.append(deadline)
        step = self.steps.pop(0)
        self.calls += 1
        self.usage += USAGE
        if isinstance(step, BaseException):
            raise step
        return step() if callable(step) else step

    def texts(self, at: int) -> list[str]:
        return [one.text for one in self.sent[at] if isinstance(one, UserText)]

    def results(self, at: int) -> list[ToolResult]:
        return [one for one in self.sent[at] if isinstance(one, ToolResult)]


@dataclass
class ScriptedModel:
    """Opens prepared conversations in order."""

    conversations: list[ScriptedConversation]
    briefs: list[Brief] = field(default_factory=list)

    def preload(self) -> None:
        return

    def open(self, brief: Brief) -> ScriptedConversation:
        self.briefs.append(brief)
        return self.conversations[len(self.briefs) - 1]


@dataclass(frozen=True)
class Ended:
    exit_code: int = 0
    output: str = ""
    seconds: float = 0.5
    timed_out: bool = False


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Rig:
    """A loop over a real folder. The check ``tests`` is red while any file says so, with the words it has."""

    folder: Path
    steps: Iterable[Step] = ()
    budget: Budget = field(default_factory=Budget)
    answers_due: frozenset[str] = frozenset()
    checks: Sequence[str] = ("tests",)
    baseline: bool = True
    room: int = 1_000_000
    more: Iterable[Iterable[Step]] = ()
    clock: Clock = field(default_factory=Clock)
    ran: list[str] = field(default_factory=list)
    records: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.conversations = [ScriptedConversation(list(one)) for one in (self.steps, *self.more)]
        self.conversation = self.conversations[0]
        commands = tuple(CheckCommand(id=id_, run=f"run {id_}") for id_ in self.checks)
        self.runner = CheckRunner(
            checks=Checks(commands=commands), run=self.run_line, log=lambda *one: self.records.append(one)
        )
        if self.baseline:
            self.runner.measure_baseline()
            self.ran.clear()
        tracked = [path.name for path in self.folder.iterdir() if path.is_file()]
        self.toolbox = Toolbox(
            self.folder,
            tracked=tracked,
            run_check=self.runner.run_check,
            check_ids=self.runner.ids,
            read_only=False,
            protected=lambda _: None,
            full_output=self.runner.outputs.get,
            with_answers=bool(self.answers_due),
        )
        self.meter = Meter(
            choice=MODEL,
            budget=self.budget,
            deadline=10_000.0,
            monotonic=self.clock,
            log=lambda *one: self.records.append(one),
        )
        self.opened = 0

    def run_line(self, line: str, timeout: float) -> Ended:
        self.ran.append(line)
        texts = [path.read_text() for path in sorted(self.folder.iterdir()) if path.is_file()]
        red = [text for text in texts if text.startswith("red")]
        return Ended(exit_code=1, output=red[0]) if red else Ended(output="fine")

    def open(self) -> ScriptedConversation:
        self.opened += 1
        return self.conversations[self.opened - 1]

    @property
    def loop(self) -> WorkLoop:
        return WorkLoop(
            open=self.open,
            toolbox=self.toolbox,
            checks=self.runner,
            meter=self.meter,
            log=lambda *one: self.records.append(one),
            answers_due=self.answers_due,
            room=self.room,
        )

    def run(self) -> Any:
        return self.loop.run((UserText(text="Do it."),))


def dollars(amount: str) -> Budget:
    return Budget(usd=Decimal(amount))
