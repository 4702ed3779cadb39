"""``think``: one piece of work given to the model, ending in a typed result. Holds no secret but the model's key.

This module works on ports only; the composition root brings the model, the checkout and the shell.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runner import prompts
from runner.agent.checks import CheckRunner, Command
from runner.agent.context import Materials
from runner.agent.evidence import Measured, acceptance_table, warnings_of
from runner.agent.guidance import Guidance, guidance_for
from runner.agent.loop import DETAILS, ENDS, StoppedError, WorkLoop, explore
from runner.agent.meter import Bound, BudgetSpentError, Meter
from runner.agent.replay import end_record, start_record
from runner.agent.tools import Toolbox
from runner.agent.window import room_of
from runner.core import texts
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
from runner.core.plan import (
    MAX_PROSE,
    PLAN_SCHEMA,
    Plan,
    PlanAnswer,
    PlanError,
    PointAnswer,
    keep_unchanged,
    parse_answer,
)
from runner.core.policy import Budget as Bounds
from runner.core.policy import Policy
from runner.core.work import Brief, CheckRun, Finished, ModelChoice, Predecessor, Stop, Turn, UserText
from runner.errors import ConfigError, GaveUp, PictureRefused, RunnerError, Unavailable
from runner.ports import Model

MAX_PLAN_TRIES = 3
LONGEST_RUN = 6 * 3_600.0
Log = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What ``think`` works with. ``tracked`` lists the checkout's files, ``shell`` runs one line with a timeout.

    ``monotonic`` is in seconds; ``log`` appends one record to the transcript. ``read_base`` reads a regular file
    of the base commit, ``None`` when there is none. ``history`` tells what earlier sub-tasks committed below the
    start, newest first.
    """

    checkout: Path
    tracked: Sequence[str]
    model: Model
    shell: Callable[[str, float], Command]
    monotonic: Callable[[], float]
    log: Log
    read_base: Callable[[str], bytes | None]
    history: Callable[[], Sequence[Predecessor]] = tuple
    transcript: str = ""


def think(file: WorkFile, bench: Bench) -> Result:
    """Do the work. Every end is a typed result; only a bug raises."""
    work, context = _asked(file)
    choice = choice_for(work.phase, file.policy)
    started = bench.monotonic()
    meter = _meter(file, choice, bench, started)
    bench.log("start", _start_record(file, work, choice))
    try:
        answered = _Thinker(
            file=file, work=work, context=context, choice=choice, bench=bench, meter=meter
        ).work_on()
    except RunnerError as exc:
        answered = _ended_by(_with_names(exc, context))
    except StoppedError:
        answered = _Answered(outcome="stopped")
    bench.log("end", end_record(answered.outcome, [one.to_change() for one in answered.changes]))
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
        warnings=answered.warnings,
        over=(meter.over or "run") if answered.outcome == "budget" else "",
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
    warnings: tuple[str, ...] = ()
    criteria: tuple[CriterionRecord, ...] = ()
    changes: tuple[ChangeRecord, ...] = ()
    checks: tuple[CheckRecord, ...] = ()
    baseline: tuple[CheckRecord, ...] = ()
    retry_at: float | None = None


def _asked(file: WorkFile) -> tuple[Work, Context]:
    if file.work is None or file.context is None:
        raise ConfigError("This run needs no model.", remedy="Run `think` only after `gather` asked for one.")
    return file.work, file.context


def _meter(file: WorkFile, choice: ModelChoice, bench: Bench, started: float) -> Meter:
    budgets = file.policy.budget
    seconds = 60 * budgets.run.minutes if budgets.run.minutes is not None else LONGEST_RUN
    return Meter(
        choice=choice,
        budget=_budget(budgets.run, turns=file.policy.caps.turns),
        wider=(
            Bound(scope="ticket", budget=_budget(budgets.ticket), before=file.ticket_spent.to_spent()),
            Bound(scope="parent", budget=_budget(budgets.parent), before=file.parent_spent.to_spent()),
        ),
        prices=file.policy.price_table,
        started=started,
        deadline=started + seconds,
        monotonic=bench.monotonic,
        log=bench.log,
    )


def _budget(bounds: Bounds, *, turns: int | None = None) -> Budget:
    return Budget.of(usd=bounds.usd, tokens=bounds.tokens, minutes=bounds.minutes, turns=turns)


def _start_record(file: WorkFile, work: Work, choice: ModelChoice) -> Mapping[str, Any]:
    plans = work.phase is Phase.PLAN
    return start_record(
        run=file.run,
        key=work.key,
        phase=work.phase.value,
        model=f"{choice.provider}:{choice.model}",
        start=work.start,
        is_read_only=plans,
        with_answers=bool(work.feedback) and not plans,
        protected=file.policy.paths.protected,
        checks=() if plans else [one.id for one in file.policy.checks.commands],
    )


def _with_names(exc: RunnerError, context: Context) -> RunnerError:
    """The error; one about a picture names those that the model was given, because no provider says which it was."""
    if not isinstance(exc, PictureRefused) or not context.images:
        return exc
    names = ", ".join(texts.code(one.name) for one in context.images)
    return PictureRefused(f"{exc.summary} It was given {names}.", remedy=exc.remedy, detail=exc.detail)


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
            guidance=materials.rules(),
            untrusted=self._untrusted(materials),
        )
        turn = explore(reading, toolbox, self.meter, materials.inputs(task), self.bench.log)
        return self._ask_for_plan(materials, turn.text) if turn.stop is Stop.DONE else _unplanned(turn)

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
        inputs = materials.inputs(text)
        for tried in range(MAX_PLAN_TRIES):
            turn = self.meter.send(conversation, inputs)
            if turn.stop is not Stop.DONE:
                return _unplanned(turn)
            try:
                return self._parsed(turn.text, is_first=tried == 0)
            except PlanError as exc:
                problem = exc.summary
                again = (
                    f"That plan cannot be used: {problem}. Give the whole structured answer again, corrected."
                )
                inputs = (UserText(text=again),)
        return _Answered(outcome="invalid", detail=problem)

    def _parsed(self, text: str, *, is_first: bool) -> _Answered:
        """Read the structured answer. Raises PlanError for what the model should correct."""
        answer, plan = parse_answer(text, max_items=self.policy.caps.items)
        if is_first and self.work.plan is not None and self.work.feedback and answer.outcome == "questions":
            raise PlanError(
                "in a revision a question is the answer to a point of feedback, with the verdict `question`; "
                "the plan is given with it"
            )
        if plan is None:
            outcome: Outcome = "asked" if answer.outcome == "questions" else "not_ready"
            return _Answered(outcome=outcome, plan=answer, questions=answer.questions)
        if is_first:
            _refuse_thin(plan)
        if self.work.plan is not None:
            answer = answer.model_copy(update={"items": keep_unchanged(self.work.plan, answer.items)})
        return _Answered(outcome="done", plan=answer)

    # --- implement and revise ---------------------------------------------------------------------------

    def _implement(self) -> _Answered:
        """Prepare the checkout, measure the checks, then let the model work with the tools."""
        checks = CheckRunner(checks=self.policy.checks, run=self._run_line, log=self.bench.log)
        checks.set_up()
        checks.measure_baseline()
        materials = self._materials()
        toolbox = self._toolbox(checks, read_only=False)
        brief = self._brief("implement/system", toolbox)
        due = [point.id for point in self.work.feedback] if self._is_revision else []
        loop = WorkLoop(
            open=lambda: self.bench.model.open(brief),
            toolbox=toolbox,
            checks=checks,
            meter=self.meter,
            room=room_of(self.choice),
            answers_due=frozenset(due),
            log=self.bench.log,
        )
        finished = loop.run(materials.inputs(self._opening(materials)))
        return self._judged(finished, toolbox, checks)

    def _judged(self, finished: Finished, toolbox: Toolbox, checks: CheckRunner) -> _Answered:
        """The end of the work with what was measured about it."""
        item = self.work.item
        wanted = item.acceptance if item is not None else self.context.acceptance
        measured = Measured(
            paths=toolbox.workspace.paths,
            checks=[replace(run, output=checks.outputs.get(run.id, run.output)) for run in finished.checks],
            touched=[change.path for change in finished.changes],
            commands={command.id: command.run for command in self.policy.checks.commands},
            red_before=[run.id for run in finished.baseline if not run.is_green],
        )
        is_told = finished.outcome in ("done", "no_change", "partial")
        criteria = acceptance_table(finished.criteria, wanted, measured) if is_told else finished.criteria
        warnings = warnings_of(finished.changes, toolbox.workspace.originals())
        asked = {point.id for point in self.work.feedback}
        return _answered(replace(finished, criteria=criteria), warnings, asked=asked)

    def _run_line(self, line: str, timeout: float) -> Command:
        """Run a command of the configuration, no longer than the run itself may take."""
        return self.bench.shell(line, max(1.0, min(timeout, self.meter.seconds_left)))

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
            or "workflows, agent instructions, dot folders",
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
        bare = Materials(
            tag=secrets.token_hex(8), context=self.context, work=self.work, tracked=self.bench.tracked
        )
        below = self.bench.history() if self.work.item is not None else ()
        earlier = [one for one in below if one.key != self.work.key]
        full = replace(bare, guidance=self._guidance(bare.near), predecessors=earlier)
        self.bench.log("context", full.record())
        return full

    def _guidance(self, near: Sequence[str]) -> Guidance:
        return guidance_for(near, self.bench.read_base)

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
            can_ask=self.work.phase is not Phase.REVISE or not self._is_revision,
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


def _unplanned(turn: Turn) -> _Answered:
    """The end of planning by a turn that ended otherwise than in words."""
    return _Answered(outcome=ENDS.get(turn.stop, "invalid"), detail=turn.detail or DETAILS.get(turn.stop, ""))


def _refuse_thin(plan: Plan) -> None:
    """A plan whose items nobody could check is asked for once more; after that it is taken as it is."""
    thin = [item.id for item in plan.items if not item.acceptance or not item.files]
    if thin:
        named = ", ".join(f"`{id_}`" for id_ in thin)
        raise PlanError(
            f"{named} needs acceptance criteria that a person could check, and the files expected"
        )


def _answered(finished: Finished, warnings: tuple[str, ...], *, asked: Collection[str]) -> _Answered:
    """The work's end as the next stage takes it: cut to its bounds, without answers to what nobody asked."""
    return _Answered(
        warnings=tuple(one[:500] for one in warnings),
        outcome=finished.outcome,
        summary=finished.summary,
        detail=finished.detail,
        questions=finished.questions,
        answers=tuple(
            PointAnswer(id=one.id, verdict=one.verdict, text=one.text[:MAX_PROSE])
            for one in finished.answers
            if one.id in asked
        ),
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
