"""``think``: one piece of work given to the model, ending in a typed result. Holds no secret but the model's key.

This module works on ports only; the composition root brings the model, the checkout and the shell.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import prompts
from runner.agent.checks import CheckRunner, Command
from runner.agent.context import MAX_GUIDANCE, Materials
from runner.agent.loop import ENDS, StoppedError, WorkLoop, explore
from runner.agent.meter import BudgetSpentError, Meter
from runner.agent.tools import Toolbox
from runner.core.budget import Budget
from runner.core.changes import protection
from runner.core.handover import (
    ChangeRecord,
    CheckRecord,
    Context,
    CriterionRecord,
    Outcome,
    Result,
    Work,
    WorkFile,
)
from runner.core.phases import Phase
from runner.core.plan import PLAN_SCHEMA, PlanAnswer, PlanError, PointAnswer, parse_answer
from runner.core.policy import Policy
from runner.core.work import Brief, CheckRun, Finished, ModelChoice, Stop, UserText
from runner.errors import ConfigError, GaveUp, RunnerError, Unavailable
from runner.ports import Model

MAX_PLAN_TRIES = 3
GUIDANCE_FILES = ("AGENTS.md", "CLAUDE.md")
Log = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What ``think`` works with. ``tracked`` lists the checkout's files, ``shell`` runs one line with a timeout.

    ``monotonic`` is in seconds; ``log`` appends one record to the transcript.
    """

    checkout: Path
    tracked: Sequence[str]
    model: Model
    shell: Callable[[str, float], Command]
    monotonic: Callable[[], float]
    log: Log
    transcript: str = ""


def think(file: WorkFile, bench: Bench) -> Result:
    """Do the work. Every end is a typed result; only a bug raises."""
    work, context = _asked(file)
    choice = choice_for(work.phase, file.policy)
    started = bench.monotonic()
    meter = _meter(file.policy, choice, bench, started)
    try:
        answered = _Thinker(
            file=file, work=work, context=context, choice=choice, bench=bench, meter=meter
        ).work_on()
    except RunnerError as exc:
        answered = _ended_by(exc)
    except StoppedError:
        answered = _Answered(outcome="stopped")
    return Result(
        key=work.key,
        phase=work.phase,
        run=file.run,
        input_digest=work.input_digest,
        start=work.start,
        outcome=answered.outcome,
        summary=answered.summary[:12_000],
        detail=answered.detail[:4_000],
        plan=answered.plan,
        questions=tuple(question[:2_000] for question in answered.questions),
        answers=answered.answers,
        criteria=answered.criteria,
        changes=answered.changes,
        checks=answered.checks,
        baseline=answered.baseline,
        model=f"{choice.provider}:{choice.model}",
        calls=meter.calls,
        tokens=meter.usage.total,
        usd=meter.usd,
        seconds=bench.monotonic() - started,
        retry_at=answered.retry_at,
        transcript=bench.transcript,
    )


def result_of_error(file: WorkFile, exc: RunnerError) -> Result:
    """The typed result of a stage that ended in an error before or around the model's work."""
    work, _ = _asked(file)
    ended = _ended_by(exc if isinstance(exc, (Unavailable, ConfigError, GaveUp)) else GaveUp(exc.summary))
    return Result(
        key=work.key,
        phase=work.phase,
        run=file.run,
        input_digest=work.input_digest,
        start=work.start,
        outcome=ended.outcome,
        summary=ended.summary,
        detail=ended.detail,
        retry_at=ended.retry_at,
    )


def choice_for(phase: Phase, policy: Policy) -> ModelChoice:
    """The model configured for a phase."""
    chosen = {Phase.PLAN: policy.models.plan, Phase.REVISE: policy.models.revise}.get(
        phase, policy.models.implement
    )
    return chosen.choice


@dataclass(frozen=True, kw_only=True)
class _Answered:
    outcome: Outcome
    summary: str = ""
    detail: str = ""
    plan: PlanAnswer | None = None
    questions: tuple[str, ...] = ()
    answers: tuple[PointAnswer, ...] = ()
    criteria: tuple[CriterionRecord, ...] = ()
    changes: tuple[ChangeRecord, ...] = ()
    checks: tuple[CheckRecord, ...] = ()
    baseline: tuple[CheckRecord, ...] = ()
    retry_at: float | None = None


def _asked(file: WorkFile) -> tuple[Work, Context]:
    if file.work is None or file.context is None:
        raise ConfigError("This run needs no model.", remedy="Run `think` only after `gather` asked for one.")
    return file.work, file.context


def _meter(policy: Policy, choice: ModelChoice, bench: Bench, started: float) -> Meter:
    bounds = policy.budget.run
    budget = Budget.of(usd=bounds.usd, tokens=bounds.tokens, minutes=bounds.minutes, turns=policy.caps.turns)
    seconds = 60 * bounds.minutes if bounds.minutes is not None else 6 * 3_600
    return Meter(choice=choice, budget=budget, deadline=started + seconds, monotonic=bench.monotonic)


def _ended_by(exc: RunnerError) -> _Answered:
    """The typed end for an error of the model, of the budget or of the configuration."""
    match exc:
        case Unavailable():
            return _Answered(
                outcome="unavailable", summary=exc.summary, detail=exc.remedy, retry_at=exc.retry_at
            )
        case ConfigError():
            return _Answered(outcome="config", summary=exc.summary, detail=exc.remedy)
        case BudgetSpentError():
            return _Answered(outcome="budget", detail=exc.summary)
        case GaveUp():
            return _Answered(outcome="invalid", detail=exc.summary)
        case _:
            raise exc


@dataclass(frozen=True, kw_only=True)
class _Thinker:
    file: WorkFile
    work: Work
    context: Context
    choice: ModelChoice
    bench: Bench
    meter: Meter

    def work_on(self) -> _Answered:
        if self.work.phase is Phase.PLAN:
            return self._plan()
        return self._implement()

    # --- plan -------------------------------------------------------------------------------------------

    def _plan(self) -> _Answered:
        """Read with read-only tools, then ask for the plan once, without tools, in a new conversation."""
        materials = self._materials()
        toolbox = self._toolbox(_no_checks(), read_only=True)
        reading = self.bench.model.open(
            self._brief("plan/system", toolbox, max_items=str(self.policy.caps.items))
        )
        task = self._render(
            "plan/task",
            ticket=materials.ticket(),
            plan=materials.plan(),
            feedback=materials.feedback(),
            repository=materials.repository(),
            untrusted=self._untrusted(materials),
        )
        turn = explore(reading, toolbox, self.meter, (UserText(text=task),), self.bench.log)
        if turn.stop is not Stop.DONE:
            return _Answered(outcome=ENDS.get(turn.stop, "invalid"), detail=turn.detail)
        return self._ask_for_plan(materials, turn.text)

    def _ask_for_plan(self, materials: Materials, notes: str) -> _Answered:
        system = self._render(
            "plan/system", language=self.policy.language, max_items=str(self.policy.caps.items)
        )
        brief = Brief(
            system=system, schema=PLAN_SCHEMA, schema_name="plan", cache_key=f"{self.file.run}-answer"
        )
        conversation = self.bench.model.open(brief)
        text = self._render(
            "plan/answer",
            ticket=materials.ticket(),
            plan=materials.plan(),
            feedback=materials.feedback(),
            notes=f"Your notes after reading the repository:\n\n{notes}",
            checks=self._check_names(),
            untrusted=self._untrusted(materials),
        )
        problem = ""
        for _ in range(MAX_PLAN_TRIES):
            turn = self.meter.send(conversation, (UserText(text=text),))
            self.bench.log("turn", {"text": turn.text, "stop": turn.stop, "calls": []})
            if turn.stop is not Stop.DONE:
                return _Answered(outcome=ENDS.get(turn.stop, "invalid"), detail=turn.detail)
            try:
                answer, plan = parse_answer(turn.text, max_items=self.policy.caps.items)
            except PlanError as exc:
                problem = exc.summary
                text = (
                    f"That plan cannot be used: {problem}. Give the whole structured answer again, corrected."
                )
                continue
            if plan is not None:
                return _Answered(outcome="done", plan=answer)
            is_question = answer.outcome == "questions"
            return _Answered(
                outcome="asked" if is_question else "not_ready", plan=answer, questions=answer.questions
            )
        return _Answered(outcome="invalid", detail=problem)

    # --- implement and revise ---------------------------------------------------------------------------

    def _implement(self) -> _Answered:
        """Prepare the checkout, measure the checks, then let the model work with the tools."""
        checks = CheckRunner(checks=self.policy.checks, run=self.bench.shell)
        checks.set_up()
        checks.measure_baseline()
        materials = self._materials()
        toolbox = self._toolbox(checks, read_only=False)
        conversation = self.bench.model.open(self._brief("implement/system", toolbox))
        loop = WorkLoop(
            conversation=conversation,
            toolbox=toolbox,
            checks=checks,
            meter=self.meter,
            answers_due=frozenset(point.id for point in self.work.feedback)
            if self._is_revision
            else frozenset(),
            log=self.bench.log,
        )
        try:
            finished = loop.run((UserText(text=self._opening(materials)),))
        except (Unavailable, GaveUp) as exc:
            if not toolbox.changes():
                raise
            finished = Finished(outcome="partial", detail=exc.summary, changes=toolbox.changes())
        return _answered(finished)

    @property
    def _is_revision(self) -> bool:
        return bool(self.work.feedback)

    def _opening(self, materials: Materials) -> str:
        shared = {
            "ticket": materials.ticket(),
            "item": materials.item(),
            "guidance": materials.rules(),
            "repository": materials.repository(),
            "checks": self._check_names(),
            "protected": ", ".join(self.policy.paths.protected)
            or "workflow files, agent instructions and dot folders",
            "untrusted": self._untrusted(materials),
        }
        if self._is_revision:
            return self._render("revise/task", **shared, feedback=materials.feedback())
        return self._render("implement/task", **shared, plan=materials.plan())

    # --- shared -----------------------------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        return self.file.policy

    def _materials(self) -> Materials:
        return Materials(
            tag=secrets.token_hex(8),
            context=self.context,
            work=self.work,
            tracked=self.bench.tracked,
            guidance=_guidance(self.bench.checkout),
        )

    def _toolbox(self, checks: CheckRunner, *, read_only: bool) -> Toolbox:
        extra = self.policy.paths.protected
        return Toolbox(
            self.bench.checkout,
            tracked=self.bench.tracked,
            run_check=checks.run_check,
            check_ids=() if read_only else checks.ids,
            read_only=read_only,
            protected=lambda path: protection(path, extra),
            full_output=checks.outputs.get,
            with_answers=self._is_revision and not read_only,
        )

    def _brief(self, system: str, toolbox: Toolbox, **values: str) -> Brief:
        text = self._render(system, language=self.policy.language, **values)
        return Brief(system=text, tools=toolbox.definitions(), cache_key=self.file.run)

    def _check_names(self) -> str:
        commands = self.policy.checks.commands
        return ", ".join(f"`{one.id}` ({one.run})" for one in commands) or "none are configured"

    def _untrusted(self, materials: Materials) -> str:
        return self._render("shared/untrusted", tag=materials.tag)

    def _render(self, name: str, /, **values: str) -> str:
        return prompts.render(name, overrides=self.file.prompts, **values).text.strip()


def _no_checks() -> CheckRunner:
    """Planning runs nothing of the repository."""

    def refuse(line: str, timeout: float) -> Command:
        raise ConfigError(f"Planning runs no command (`{line}`, {timeout:g} s).")

    return CheckRunner(checks=Policy().checks, run=refuse)


def _guidance(checkout: Path) -> str:
    """AGENTS.md, else CLAUDE.md, of the checkout's top folder; never through a symbolic link."""
    for name in GUIDANCE_FILES:
        path = checkout / name
        if path.is_file() and not path.is_symlink():
            return path.read_bytes()[:MAX_GUIDANCE].decode("utf-8", "replace")
    return ""


def _answered(finished: Finished) -> _Answered:
    return _Answered(
        outcome=finished.outcome,
        summary=finished.summary,
        detail=finished.detail,
        questions=finished.questions,
        answers=tuple(PointAnswer(id=one.id, verdict=one.verdict, text=one.text) for one in finished.answers),
        criteria=tuple(
            CriterionRecord(
                text=one.text[:1_000], status=one.status, evidence=one.evidence[:1_000], claimed=one.claimed
            )
            for one in finished.criteria[:50]
        ),
        changes=tuple(ChangeRecord.from_change(change) for change in finished.changes),
        checks=tuple(_check(run) for run in finished.checks),
        baseline=tuple(_check(run) for run in finished.baseline),
    )


def _check(run: CheckRun) -> CheckRecord:
    return CheckRecord(
        id=run.id,
        exit_code=run.exit_code,
        seconds=run.seconds,
        timed_out=run.timed_out,
        output=run.output[-10_000:],
    )
