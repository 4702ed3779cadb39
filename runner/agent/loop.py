"""The tool loop: a model, its tools, and what counts as an end. History is append-only; one answer, one turn.

``finish`` as done is accepted only when the checks that were green before are green on the files as they
are; the loop runs what has not run yet and feeds failures back. Whatever ends the loop early keeps the
edits made so far and says why it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from runner.agent.checks import CheckRunner
from runner.agent.meter import BudgetSpentError, Meter
from runner.agent.tools import Toolbox, shortened
from runner.core.work import (
    Answer,
    CheckRun,
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
from runner.ports import Conversation

MAX_REMINDERS = 2
MAX_IDENTICAL_FAILURES = 3
MAX_SAME_RED = 3
MAX_EMPTY_FINISHES = 1
MAX_PAUSES = 5
STEER_AT = 5

REMINDER = (
    "You ended your turn without calling a tool. Go on with the work, or call `finish` if it is complete."
)
EMPTY = (
    "`finish` was called as done, but no file differs from the start. Make the change, or finish with the outcome "
    "`no_change` and name the evidence that nothing needs to change."
)
STEER = "Few turns are left. Bring the work to a state that holds together, then call `finish`."

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


class StoppedError(BaseException):
    """A signal asks the run to end. Not an ``Exception``, so that no SDK takes it for a failed call."""


@dataclass(kw_only=True)
class WorkLoop:
    """One run of a model over a checkout. ``answers_due`` are ids of feedback that ``finish`` must answer."""

    conversation: Conversation
    toolbox: Toolbox
    checks: CheckRunner
    meter: Meter
    log: Callable[[str, Mapping[str, Any]], None]
    answers_due: frozenset[str] = frozenset()
    _reminders: int = 0
    _pauses: int = 0
    _empty_finishes: int = 0
    _steered: bool = False
    _reds: list[str] = field(default_factory=list)

    def run(self, opening: Sequence[Input]) -> Finished:
        """Work until the model finishes, asks, or something ends it."""
        inputs: Sequence[Input] = opening
        try:
            while True:
                turn = self.meter.send(self.conversation, inputs)
                self.log(
                    "turn",
                    {"text": turn.text, "stop": turn.stop, "calls": [call.name for call in turn.tool_calls]},
                )
                step = self._after(turn)
                if isinstance(step, Finished):
                    return step
                inputs = step
        except BudgetSpentError as exc:
            return self._end("budget", detail=exc.summary)
        except StoppedError:
            return self._end("stopped")

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
        ending = ENDS.get(turn.stop, "invalid")
        return self._end(ending, summary=turn.text, detail=turn.detail)

    def _run_tools(self, calls: Sequence[ToolCall]) -> Finished | Sequence[Input]:
        results: list[Input] = []
        for call in calls:
            answer, end = self._call(call)
            if end is not None:
                return end
            results.append(ToolResult(call_id=call.id, text=answer.text, is_error=answer.is_error))
        if self.toolbox.identical_failures >= MAX_IDENTICAL_FAILURES:
            return self._end("partial", detail="The same tool call failed three times in the same way.")
        if len(self._reds) >= MAX_SAME_RED and len(set(self._reds[-MAX_SAME_RED:])) == 1:
            return self._end("partial", detail="The checks failed three times in the same way.")
        left = self.meter.turns_left
        if left is not None and left <= STEER_AT and not self._steered:
            self._steered = True
            results.append(UserText(text=STEER))
        return results

    def _call(self, call: ToolCall) -> tuple[ToolAnswer, Finished | None]:
        self.log("call", {"id": call.id, "name": call.name, "arguments": call.arguments})
        if call.arguments is None:
            answer = ToolAnswer(text=call.error or "The arguments are not a JSON object.", is_error=True)
        elif call.name == "finish":
            answer, end = self._finish(call)
            self._log_answer(call, answer)
            return answer, end
        elif call.name == "ask":
            checked = self.toolbox.checked("ask", call.arguments)
            if not isinstance(checked, ToolAnswer) and checked["questions"]:
                return ToolAnswer(text="asked"), self._end("asked", questions=tuple(checked["questions"]))
            answer = (
                checked
                if isinstance(checked, ToolAnswer)
                else ToolAnswer(text="Ask at least one question.", is_error=True)
            )
        else:
            answer = self.toolbox.call(call.name, call.arguments)
            if call.name == "run_check" and not answer.is_error:
                self.checks.revisions[str(call.arguments.get("id"))] = self.toolbox.revision
        self._log_answer(call, answer)
        return answer, None

    def _log_answer(self, call: ToolCall, answer: ToolAnswer) -> None:
        self.log("answer", {"id": call.id, "text": answer.text, "is_error": answer.is_error})

    def _finish(self, call: ToolCall) -> tuple[ToolAnswer, Finished | None]:
        """Accept or refuse an end. A refusal says what is missing; the work goes on."""
        checked = self.toolbox.checked("finish", call.arguments)
        if isinstance(checked, ToolAnswer):
            return checked, None
        answers = tuple(Answer(**one) for one in checked.get("answers") or ())
        missing = sorted(self.answers_due - {answer.id for answer in answers})
        if missing:
            text = f"Answer every point of feedback; these have no answer yet: {', '.join(missing)}."
            return ToolAnswer(text=text, is_error=True), None
        outcome: Ending = checked["outcome"]
        changed = bool(self.toolbox.changes())
        only_words = bool(answers) and all(answer.verdict != "done" for answer in answers)
        if outcome == "done" and not changed and not only_words:
            self._empty_finishes += 1
            if self._empty_finishes <= MAX_EMPTY_FINISHES:
                return ToolAnswer(text=EMPTY, is_error=True), None
            detail = "It said it was done twice, but no file was changed."
            return ToolAnswer(text=EMPTY, is_error=True), self._end(
                "invalid", summary=checked["summary"], detail=detail
            )
        if outcome in ("done", "no_change"):
            red = self.checks.run_missing(self.toolbox.revision)
            if red and outcome == "done":
                self._reds.append("\n".join(_gist(run) for run in red))
                return ToolAnswer(text=_red_text(red), is_error=True), None
        criteria = tuple(Criterion(**one) for one in checked["criteria"])
        end = self._end(outcome, summary=checked["summary"], answers=answers, criteria=criteria)
        return ToolAnswer(text="accepted"), end

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
        return Finished(
            outcome=outcome,
            summary=summary,
            detail=detail,
            questions=questions,
            answers=answers,
            criteria=criteria,
            changes=() if outcome in ("asked", "no_change") else self.toolbox.changes(),
            checks=tuple(self.checks.latest[id_] for id_ in self.checks.ids if id_ in self.checks.latest),
            baseline=tuple(self.checks.baseline.values()),
            usage=self.meter.usage,
            calls=self.meter.calls,
        )


def _gist(run: CheckRun) -> str:
    """What stays the same when a check fails in the same way: its output without digits, which hold times."""
    return f"{run.id} {run.exit_code} " + "".join(one for one in run.output[-2_000:] if not one.isdigit())


def _red_text(red: Sequence[CheckRun]) -> str:
    parts = [
        f"The check `{run.id}` {'took too long' if run.timed_out else f'ended with status {run.exit_code}'}:\n"
        f"{shortened(run.output, run.id)}"
        for run in red
    ]
    return (
        "Not accepted yet: checks that were green before the work are red now. Repair this, then call `finish` again.\n\n"
        + "\n\n".join(parts)
    )


def explore(
    conversation: Conversation,
    toolbox: Toolbox,
    meter: Meter,
    opening: Sequence[Input],
    log: Callable[[str, Mapping[str, Any]], None],
) -> Turn:
    """Let a model read with read-only tools until it ends its turn in words; returns that turn, however it ended."""
    inputs: Sequence[Input] = opening
    pauses = 0
    while True:
        turn = meter.send(conversation, inputs)
        log("turn", {"text": turn.text, "stop": turn.stop, "calls": [call.name for call in turn.tool_calls]})
        if turn.stop is Stop.PAUSE and pauses < MAX_PAUSES:
            pauses += 1
            inputs = ()
            continue
        if turn.stop is not Stop.TOOLS:
            return turn
        results: list[Input] = []
        for call in turn.tool_calls:
            log("call", {"id": call.id, "name": call.name, "arguments": call.arguments})
            answer = (
                toolbox.call(call.name, call.arguments)
                if call.arguments is not None
                else ToolAnswer(text=call.error or "The arguments are not a JSON object.", is_error=True)
            )
            log("answer", {"id": call.id, "text": answer.text, "is_error": answer.is_error})
            results.append(ToolResult(call_id=call.id, text=answer.text, is_error=answer.is_error))
        left = meter.turns_left
        if left is not None and left <= STEER_AT:
            results.append(UserText(text="Few turns are left: end your reading and write your notes."))
        inputs = results
