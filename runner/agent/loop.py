"""The tool loop: a model, its tools, and what counts as an end. History is append-only; one answer, one turn.

``finish`` as done is accepted only when the checks that were green before are green on the files as they
are; the loop runs what has not run yet and feeds failures back. Whatever ends the loop early keeps the
edits made so far and says why it ended. A conversation that grows too long is never cut: a fresh one goes
on from notes, at most twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from runner.agent.checks import CheckRunner
from runner.agent.meter import BudgetSpentError, Meter
from runner.agent.tools import Toolbox
from runner.core.work import (
    Answer,
    Criterion,
    Finished,
    Input,
    Stop,
    ToolAnswer,
    ToolCall,
    ToolResult,
    Turn,
    UserText,
)
from runner.errors import RunnerError
from runner.ports import Conversation

MAX_REMINDERS = 2
MAX_CUTS = 2
MAX_IDENTICAL_FAILURES = 3
MAX_SAME_REFUSALS = 3
MAX_EMPTY_FINISHES = 1
MAX_PAUSES = 5
MAX_RESTARTS = 2

REMINDER = (
    "You ended your turn without calling a tool. Go on with the work, or call `finish` if it is complete."
)
CUT = "Your answer reached its length limit, and nothing of it was run. Go on in smaller steps."
EMPTY = (
    "`finish` was called as done, but no file differs from the start. Make the change, or finish with the outcome "
    "`no_change` and name the evidence that nothing needs to change."
)
NOT_UNCHANGED = (
    "`finish` was called with the outcome `no_change`, but files differ from the start. Undo the edits, or finish "
    "with another outcome."
)
RED = "Not accepted yet: checks that were green before the work are red now. Repair this, then call `finish` again."
STEER = (
    "The budget of this run is nearly spent. Bring the work to a state that holds together, then call `finish`; "
    "`partial` is an honest end."
)
STEER_READING = "The budget of this run is nearly spent: end your reading and write your notes."
LOOK_FIRST = (
    "You have not looked at the repository yet. Read the code that matters first, then write your notes."
)
NOTES = (
    "This conversation is about to be replaced by a fresh one, which will know only the task and what you write now. "
    "Call no tool. Write what was done and where, what you learned about the code, what failed, and what is left."
)
NO_ROOM = "[left out: the conversation has no room for it]"
RESTARTED = "This work was begun in an earlier conversation; its edits are in the checkout. Go on from here."

Ending = Literal[
    "done", "no_change", "partial", "asked", "refused", "budget", "truncated", "stopped", "invalid"
]
ENDS: Mapping[Stop, Ending] = {
    Stop.LENGTH: "truncated",
    Stop.CONTEXT: "truncated",
    Stop.REFUSAL: "refused",
    Stop.FILTERED: "refused",
    Stop.FAILED: "invalid",
}
DETAILS: Mapping[Stop, str] = {
    Stop.LENGTH: "Its answers were cut off again and again.",
    Stop.CONTEXT: "The model's context was full, and fresh conversations filled up as well.",
}
Log = Callable[[str, Mapping[str, Any]], None]


class StoppedError(BaseException):
    """A signal asks the run to end. Not an ``Exception``, so that no SDK takes it for a failed call."""


@dataclass(kw_only=True)
class WorkLoop:
    """One run of a model over a checkout.

    ``open`` begins a conversation with the instructions and tools of this work; ``room`` is how many prompt
    tokens one may grow to. ``answers_due`` are ids of feedback that ``finish`` must answer.
    """

    open: Callable[[], Conversation]
    toolbox: Toolbox
    checks: CheckRunner
    meter: Meter
    log: Log
    answers_due: frozenset[str] = frozenset()
    room: int = 1_000_000
    _reminders: int = 0
    _cuts: int = 0
    _pauses: int = 0
    _restarts: int = 0
    _empty_finishes: int = 0
    _is_steered: bool = False
    _refusals: list[tuple[int, str]] = field(default_factory=list)

    def run(self, opening: Sequence[Input]) -> Finished:
        """Work until the model finishes, asks, or something ends it. Raises RunnerError only when nothing was done."""
        try:
            return self._converse(opening)
        except BudgetSpentError as exc:
            return self._end("budget", detail=exc.summary)
        except StoppedError:
            return self._end("stopped")
        except RunnerError as exc:
            if not self.toolbox.workspace.changes():
                raise
            return self._end("partial", detail=f"{exc.summary} {exc.remedy}".strip())

    def _converse(self, opening: Sequence[Input]) -> Finished:
        conversation, inputs = self.open(), opening
        while True:
            is_full = inputs is not opening and conversation.estimate(inputs) > self.room
            turn = None if is_full else self.meter.send(conversation, inputs)
            if turn is None or turn.stop is Stop.CONTEXT:
                if self._restarts >= MAX_RESTARTS or inputs is opening:
                    return self._end("truncated", detail=DETAILS[Stop.CONTEXT])
                notes = self._notes(conversation, inputs, is_full=turn is not None)
                conversation, inputs = self._restart(opening, notes)
                opening = inputs
                continue
            step = self._after(turn)
            if isinstance(step, Finished):
                return step
            inputs = step

    # --- a fresh conversation ---------------------------------------------------------------------------

    def _notes(self, conversation: Conversation, inputs: Sequence[Input], *, is_full: bool) -> str:
        """What the model wants to remember; empty when it cannot say so any more."""
        known = [
            ToolResult(call_id=one.call_id, text=NO_ROOM, is_error=one.is_error) if is_full else one
            for one in inputs
            if isinstance(one, ToolResult)
        ]
        turn = self.meter.send(conversation, (*known, UserText(text=NOTES)))
        return turn.text if turn.stop is Stop.DONE else ""

    def _restart(self, opening: Sequence[Input], notes: str) -> tuple[Conversation, Sequence[Input]]:
        self._restarts += 1
        state = self._state()
        self.log("restart", {"number": self._restarts, "notes": notes, "state": state})
        text = "\n\n".join(part for part in (RESTARTED, state, notes) if part)
        begun = opening[:-1] if self._restarts > 1 else opening
        return self.open(), (*begun, UserText(text=text))

    def _state(self) -> str:
        """What can be said without the model: files changed so far, checks as measured, points that are due."""
        changed = [
            f"{'deleted' if change.content is None else 'changed'}: {change.path}"
            for change in self.toolbox.workspace.changes()
        ]
        measured = [
            f"check {run.id}: {'green' if run.is_green else 'red'}"
            for run in self.checks.measured(self.toolbox.workspace.revision)
        ]
        due = [f"point to answer: {id_}" for id_ in sorted(self.answers_due)]
        return "\n".join([*(changed or ["no file is changed yet"]), *measured, *due])

    # --- turns ------------------------------------------------------------------------------------------

    def _after(self, turn: Turn) -> Finished | Sequence[Input]:
        """What follows a turn: its end, or the next inputs."""
        if turn.stop is Stop.TOOLS:
            return self._run_tools(turn.tool_calls)
        if turn.stop is Stop.PAUSE and self._pauses < MAX_PAUSES:
            self._pauses += 1
            return ()
        if turn.stop is Stop.DONE and self._reminders < MAX_REMINDERS:
            self._reminders += 1
            return (UserText(text=REMINDER),)
        if turn.stop is Stop.LENGTH and self._cuts < MAX_CUTS:
            self._cuts += 1
            return (UserText(text=CUT),)
        ending = ENDS.get(turn.stop, "invalid")
        return self._end(ending, summary=turn.text, detail=turn.detail or DETAILS.get(turn.stop, ""))

    def _run_tools(self, calls: Sequence[ToolCall]) -> Finished | Sequence[Input]:
        """Answer every call of a turn in one go. What ends the work is looked at last, whatever its place."""
        answers: dict[str, ToolAnswer] = {}
        for call in sorted(calls, key=lambda one: one.name in ("finish", "ask")):
            log_call(self.log, call)
            answer, end = self._call(call)
            log_answer(self.log, call, answer)
            if end is not None:
                return end
            answers[call.id] = answer
        if (stuck := self._stuck()) is not None:
            return self._end("partial", detail=stuck)
        results: list[Input] = [
            ToolResult(call_id=call.id, text=answers[call.id].text, is_error=answers[call.id].is_error)
            for call in calls
        ]
        if self.meter.is_short and not self._is_steered:
            self._is_steered = True
            results.append(UserText(text=STEER))
        return results

    def _stuck(self) -> str | None:
        """Why going on makes no sense, if so."""
        if self.toolbox.identical_failures >= MAX_IDENTICAL_FAILURES:
            return "The same tool call failed three times in the same way."
        same = self._refusals[-MAX_SAME_REFUSALS:]
        if len(same) >= MAX_SAME_REFUSALS and len(set(same)) == 1:
            return _unheard(same[-1][1])
        return "The checks failed three times in the same way." if self.checks.is_stuck else None

    def _call(self, call: ToolCall) -> tuple[ToolAnswer, Finished | None]:
        if call.arguments is None:
            return ToolAnswer(text=call.error or "The arguments are not a JSON object.", is_error=True), None
        if call.name == "finish":
            return self._finish(call)
        if call.name == "ask":
            return self._ask(call)
        answer = self.toolbox.call(call.name, call.arguments)
        if call.name == "run_check" and not answer.is_error:
            self.checks.note(str(call.arguments.get("id")), self.toolbox.workspace.revision)
        return answer, None

    def _ask(self, call: ToolCall) -> tuple[ToolAnswer, Finished | None]:
        checked = self.toolbox.checked("ask", call.arguments)
        if isinstance(checked, ToolAnswer):
            return checked, None
        questions = tuple(one for one in checked["questions"] if one.strip())
        if not questions:
            return ToolAnswer(text="Ask at least one question.", is_error=True), None
        return ToolAnswer(text="asked"), self._end("asked", questions=questions)

    # --- ends -------------------------------------------------------------------------------------------

    def _finish(self, call: ToolCall) -> tuple[ToolAnswer, Finished | None]:
        """Accept or refuse an end. A refusal says what is missing; the work goes on."""
        checked = self.toolbox.checked("finish", call.arguments)
        if isinstance(checked, ToolAnswer):
            return self._refused(checked.text), None
        answers = tuple(Answer(**one) for one in checked.get("answers") or ())
        missing = sorted(self.answers_due - {answer.id for answer in answers})
        if missing:
            text = f"Answer every point of feedback; these have no answer yet: {', '.join(missing)}."
            return self._refused(text), None
        outcome: Ending = checked["outcome"]
        if outcome == "no_change" and self.toolbox.workspace.changes():
            return self._refused(NOT_UNCHANGED), None
        only_words = bool(answers) and all(answer.verdict != "done" for answer in answers)
        if outcome == "done" and not only_words and not self.toolbox.workspace.changes():
            return self._empty(checked["summary"])
        if outcome in ("done", "no_change"):
            red = self.checks.run_missing(self.toolbox.workspace.revision)
            if red and outcome == "done":
                texts = (self.toolbox.check_text(run) for run in red)
                return self._refused("\n\n".join([RED, *texts])), None
        criteria = tuple(Criterion(**one) for one in checked["criteria"])
        end = self._end(outcome, summary=checked["summary"], answers=answers, criteria=criteria)
        return ToolAnswer(text="accepted"), end

    def _refused(self, text: str) -> ToolAnswer:
        self._refusals.append((self.toolbox.workspace.revision, text))
        return ToolAnswer(text=text, is_error=True)

    def _empty(self, summary: str) -> tuple[ToolAnswer, Finished | None]:
        """One more chance for work that was called done although nothing changed."""
        self._empty_finishes += 1
        answer = ToolAnswer(text=EMPTY, is_error=True)
        if self._empty_finishes <= MAX_EMPTY_FINISHES:
            return answer, None
        detail = "It said it was done twice, but no file was changed."
        return answer, self._end("invalid", summary=summary, detail=detail)

    def _end(
        self,
        outcome: Ending,
        *,
        summary: str = "",
        detail: str = "",
        questions: tuple[str, ...] = (),
        answers: tuple[Answer, ...] = (),
        criteria: tuple[Criterion, ...] = (),
    ) -> Finished:
        changes = self.toolbox.workspace.changes()
        if changes and outcome in ("partial", "budget", "truncated") and not self.meter.is_time_over:
            # A draft is judged by its checks as well, and they cost no model.
            self.checks.run_missing(self.toolbox.workspace.revision)
        return Finished(
            outcome=outcome,
            summary=summary,
            detail=detail,
            questions=questions,
            answers=answers,
            criteria=criteria,
            changes=changes,
            checks=self.checks.measured(self.toolbox.workspace.revision),
            baseline=tuple(self.checks.baseline.values()),
            usage=self.meter.usage,
            calls=self.meter.calls,
        )


def _unheard(said: str) -> str:
    """Why work that was called finished again and again is not: what the model was told each time."""
    first = said.partition("\n")[0].partition(" Repair this")[0].partition(" A right call:")[0][:300]
    return f"It was called finished three times, although the answer was each time: {first}"


def log_call(log: Log, call: ToolCall) -> None:
    """Record a call before it is run, so that a killed run shows what it was doing."""
    log("call", {"id": call.id, "name": call.name, "arguments": call.arguments})


def log_answer(log: Log, call: ToolCall, answer: ToolAnswer) -> None:
    """Record what a call was answered."""
    log("answer", {"id": call.id, "text": answer.text, "is_error": answer.is_error})


def explore(
    conversation: Conversation, toolbox: Toolbox, meter: Meter, opening: Sequence[Input], log: Log
) -> Turn:
    """Let a model read with read-only tools until it ends its turn in words; returns that turn, however it ended."""
    inputs: Sequence[Input] = opening
    pauses = reads = reminders = 0
    while True:
        turn = meter.send(conversation, inputs)
        if turn.stop is Stop.PAUSE and pauses < MAX_PAUSES:
            pauses += 1
            inputs = ()
        elif turn.stop is Stop.DONE and not reads and not reminders and toolbox.workspace.files:
            reminders += 1
            inputs = (UserText(text=LOOK_FIRST),)
        elif turn.stop is Stop.TOOLS:
            reads += 1
            inputs = _read(turn.tool_calls, toolbox, log)
            if toolbox.identical_failures >= MAX_IDENTICAL_FAILURES or meter.is_short:
                inputs = (*inputs, UserText(text=STEER_READING))
        else:
            return turn


def _read(calls: Sequence[ToolCall], toolbox: Toolbox, log: Log) -> Sequence[Input]:
    results: list[Input] = []
    for call in calls:
        log_call(log, call)
        answer = (
            toolbox.call(call.name, call.arguments)
            if call.arguments is not None
            else ToolAnswer(text=call.error or "The arguments are not a JSON object.", is_error=True)
        )
        log_answer(log, call, answer)
        results.append(ToolResult(call_id=call.id, text=answer.text, is_error=answer.is_error))
    return results
