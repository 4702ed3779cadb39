"""One verb that works on a ticket: a stage in this process, or all of them in children of it."""

from __future__ import annotations

import argparse
import signal
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.children import run_stage
from runner.errors import ConfigError, RunnerError

if TYPE_CHECKING:
    from runner.core.handover import Result, WorkFile
    from runner.core.report import End
    from runner.ports import Console
    from runner.settings import Settings
    from runner.workflow.event import Event
    from runner.workflow.stages import Desk


class Verb:
    """One verb with its settings: the one place that catches."""

    def __init__(
        self, arguments: argparse.Namespace, settings: Settings, console: Console, environ: Mapping[str, str]
    ) -> None:
        self.arguments = arguments
        self.settings = settings
        self.console = console
        self.environ = environ
        self.key = ""

    def run(self) -> int:
        """Do it; returns the exit code."""
        try:
            event = self._event()
            self.key = event.issue_key or ""
            for notice in event.notices:
                self.console.annotate("notice", "ai-runner", notice)
            return self._dispatch(event)
        except RunnerError as exc:
            return self._failed(exc)
        except Exception as exc:  # the last resort: a bug must end in a text, an annotation and exit code 1
            self._log_traceback(exc)
            return self._failed(None)

    def _dispatch(self, event: Event) -> int:
        verb = self.arguments.verb
        if self.settings.paused and verb in ("run", "gather", "sweep"):
            return self._finish(self._end_of_nothing("AI_RUNNER_PAUSED is true, so nothing is started"))
        if event.nothing is not None and verb != "run":
            return self._finish(self._end_of_nothing(event.nothing))
        if verb == "run":
            return self._all_stages(event)
        if verb == "sweep" or (event.is_sweep and verb in ("gather", "publish")):
            return self._sweep(event) if verb != "gather" else self._sweep_later()
        match verb:
            case "gather":
                return self._gather(event)
            case "fetch":
                return self._fetch()
            case "think":
                return self._think()
            case "publish":
                return self._publish(event)
            case _:
                return self._conclude()

    # --- the event and the files ------------------------------------------------------------------------

    def _event(self) -> Event:
        from runner.workflow.event import event_of, parse_event

        arguments, settings = self.arguments, self.settings
        if arguments.verb == "sweep":
            return event_of(phase="sweep")
        if arguments.issue is not None:
            return event_of(
                issue_key=arguments.issue, phase=arguments.phase or "auto", dry_run=arguments.dry_run
            )
        if settings.issue_key or settings.phase == "sweep":
            return event_of(
                issue_key=settings.issue_key, phase=settings.phase or "auto", dry_run=settings.dry_run
            )
        path = arguments.event or settings.event_path
        if path is None:
            raise ConfigError("No ticket was named.", remedy="Give `--issue KEY`, or `--event FILE`.")
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise ConfigError(
                f"The event file `{path.name}` cannot be read.", remedy="Check `--event`."
            ) from exc
        event = parse_event(data, settings.event_name or "repository_dispatch")
        if settings.phase and event.issue_key is not None:
            return event_of(
                issue_key=event.issue_key, phase=settings.phase, dry_run=event.dry_run or settings.dry_run
            )
        return event

    @property
    def work_dir(self) -> Path:
        """Where the stages meet; made on first use."""
        chosen: Path | None = self.arguments.work_dir
        if chosen is None and self.settings.runner_temp is not None:
            chosen = self.settings.runner_temp / "ai-runner-work"
        if chosen is None:
            chosen = Path(tempfile.mkdtemp(prefix="ai-runner-"))
            self.arguments.work_dir = chosen
        chosen.mkdir(parents=True, exist_ok=True)
        return chosen

    def _work_file(self) -> WorkFile:
        from runner.core.handover import WorkFile, read_file

        return read_file(self.work_dir / "work.json", WorkFile)

    def _is_dry(self, event: Event) -> bool:
        return bool(self.arguments.dry_run or event.dry_run or self.settings.dry_run)

    # --- stages -----------------------------------------------------------------------------------------

    def _gather(self, event: Event) -> int:
        from runner import composition
        from runner.core.handover import write_file
        from runner.workflow.stages import gather_stage

        self._forget_earlier_run()
        run = composition.new_run_id(self.settings)
        stage = composition.open_desk(
            self.settings, event, self.console, run=run, work_dir=self.work_dir, publishes=False
        )
        try:
            file, end = gather_stage(
                stage.desk,
                dry_run=self._is_dry(event),
                keep=lambda file: write_file(self.work_dir / "work.json", file),
            )
        except Exception as exc:  # whatever it is, the ticket is told before the run ends
            return self._told_dry(exc) if self._is_dry(event) else self._tell(stage.desk, exc)
        finally:
            stage.close()
        write_file(self.work_dir / "work.json", file)
        self.console.output("work", file.verdict)
        provider = getattr(file.policy.models, file.work.phase.value).choice.provider if file.work else ""
        self.console.output("provider", provider)
        (self.work_dir / "gather.json").write_text(end.model_dump_json(), encoding="utf-8")
        return self._finish(end) if file.verdict == "none" else 0

    def _forget_earlier_run(self) -> None:
        for name in ("work.json", "result.json", "gather.json", "end.json"):
            (self.work_dir / name).unlink(missing_ok=True)

    def _fetch(self) -> int:
        from runner import composition

        file = self._work_file()
        work = file.work
        if work is None:
            raise ConfigError(
                "This run needs no checkout.", remedy="Run `fetch` only after `gather` asked for a model."
            )

        def fetch() -> None:
            composition.fetch(self.settings, self.work_dir, file.commits, work.start)
            has_toolchain = composition.offer_toolchain(self.settings, self.work_dir, file.commits[-1])
            self.console.output("toolchain", "true" if has_toolchain else "false")

        return self._leave_result(file, fetch)

    def _think(self) -> int:
        """Any typed end is a success of this stage: ``publish`` says what it means. Only a bug fails it."""
        from runner import composition

        if (self.work_dir / "result.json").exists():
            return 0  # `fetch` already ended the work
        _raise_on_signals()
        file = self._work_file()
        return self._leave_result(
            file, lambda: composition.think(self.settings, file, self.work_dir, self.console.log)
        )

    def _leave_result(self, file: WorkFile, make: Callable[[], Result | None]) -> int:
        """Write what ``make`` returns; an error that has a name becomes a typed result, which ``publish`` tells."""
        from runner.core.handover import write_file
        from runner.workflow.thinking import result_of_error

        try:
            result = make()
        except RunnerError as exc:
            self.console.log(f"{exc.summary} {exc.remedy}\n{exc.detail}".strip())
            result = result_of_error(file, exc)
        if result is not None:
            write_file(self.work_dir / "result.json", result)
            self.console.log(f"{file.key}: {result.outcome} after {result.calls} calls of the model")
        return 0

    def _publish(self, event: Event) -> int:
        from runner import composition
        from runner.workflow.stages import publish_stage

        file = self._work_file()
        stage = composition.open_desk(
            self.settings, event, self.console, run=file.run, work_dir=self.work_dir, publishes=True
        )
        try:
            end = publish_stage(stage.desk, file, self._result() or self._unprepared(file))
        except Exception as exc:  # whatever it is, the ticket is told before the run ends
            return self._tell(stage.desk, exc, phase=file.phase, result=self._paid(file))
        finally:
            stage.close()
        return self._finish(end)

    def _result(self) -> Result | None:
        from runner.core.handover import Result, read_file

        path = self.work_dir / "result.json"
        return read_file(path, Result) if path.exists() else None

    def _paid(self, file: WorkFile) -> Result | None:
        """The result of this very run, for what it cost; one that cannot be read was told about already."""
        try:
            result = self._result()
        except RunnerError:
            return None
        return result if result is not None and result.run == file.run else None

    def _unprepared(self, file: WorkFile) -> Result | None:
        """The result of a run whose set-up action failed, so that the model was never asked."""
        from runner.composition import TOOLCHAIN
        from runner.workflow.thinking import result_of_error

        if file.work is None or self.settings.stages.get("toolchain") != "failure":
            return None
        return result_of_error(
            file,
            ConfigError(
                f"The repository's set-up action `{TOOLCHAIN}` failed, so the model was not asked.",
                remedy="The step “Set up the toolchain” in the run's log says why. Correct the action on the branch "
                "that this work starts from.",
            ),
        )

    def _conclude(self) -> int:
        from runner import composition
        from runner.workflow.conclude import conclude_stage

        if (self.work_dir / "end.json").exists():
            return 0
        client, tickets = composition.open_tickets(self.settings)
        try:
            file = self._work_file() if (self.work_dir / "work.json").exists() else None
            end = conclude_stage(
                tickets,
                key=self.key,
                file=file,
                result=self._paid(file) if file is not None else None,
                run_url=self.settings.run_url or "",
                repository=self.settings.github_repository or "",
                stages=self.settings.stages,
                now=composition.now(),
                log=self.console.log,
            )
        finally:
            client.close()
        return self._finish(end)

    def _sweep(self, event: Event) -> int:
        from runner import composition
        from runner.workflow.sweep import sweep_stage

        run = composition.new_run_id(self.settings)
        stage = composition.open_desk(
            self.settings, event, self.console, run=run, work_dir=self.work_dir, publishes=False
        )
        try:
            return self._finish(sweep_stage(stage.desk, dry_run=self._is_dry(event)))
        finally:
            stage.close()

    def _sweep_later(self) -> int:
        """In the action, the stage that may write does the sweep."""
        from runner.core.handover import WorkFile, write_file

        self._forget_earlier_run()
        file = WorkFile(run="sweep", snapshot="", key="", verdict="publish", phase="sweep", reason="sweep")
        write_file(self.work_dir / "work.json", file)
        self.console.output("work", "publish")
        self.console.output("provider", "")
        return 0

    # --- all stages -------------------------------------------------------------------------------------

    def _all_stages(self, event: Event) -> int:
        from runner.adapters.shell import forget_environment
        from runner.core.report import End
        from runner.settings import SECRETS

        if event.nothing is not None:
            return self._finish(self._end_of_nothing(event.nothing))
        # The checks of `think` run while this process holds every stage's secrets.
        forget_environment(SECRETS)
        code = self._child("gather")
        verdict = self._work_file().verdict if (self.work_dir / "work.json").exists() else "none"
        if code == 0 and verdict == "model":
            code = self._child("fetch")
            if code == 0 and not (self.work_dir / "result.json").exists():
                self._child("think")
            # Whatever became of `fetch` and `think` is told by `publish`.
            code = self._child("publish")
        elif code == 0 and verdict == "publish":
            code = self._child("publish")
        if not (self.work_dir / "end.json").exists():
            self._child("conclude")
        path = self.work_dir / "end.json"
        if path.exists():
            self._publish_end(self._with_claim(End.model_validate_json(path.read_bytes())))
        return code

    def _child(self, stage: str) -> int:
        return run_stage(stage, self.arguments, work_dir=self.work_dir, environ=self.environ)

    def _publish_end(self, end: End) -> None:
        """Outputs and summary of the whole run; the stages, as children, have neither file."""
        from runner.core.report import report

        for name, value in end.outputs().items():
            self.console.output(name, value)
        self.console.summary(report(end).summary)
        if self.arguments.json:
            print(end.model_dump_json())

    def _with_claim(self, end: End) -> End:
        """The end with the writes of the claim, which another process made."""
        from runner.core.report import End

        path = self.work_dir / "gather.json"
        if not path.exists() or self._work_file().verdict == "none":
            return end
        claimed = End.model_validate_json(path.read_bytes())
        return end.model_copy(update={"writes": end.writes + claimed.writes})

    # --- ends -------------------------------------------------------------------------------------------

    def _end_of_nothing(self, reason: str) -> End:
        from runner.core.report import End

        self.console.output("work", "none")
        return End(key=self.key, reason=reason)

    def _finish(self, end: End) -> int:
        from runner.core.report import report

        (self.work_dir / "end.json").write_text(end.model_dump_json(), encoding="utf-8")
        told = report(end)
        self.console.annotate(told.level, told.title, told.message)
        self.console.summary(told.summary)
        for name, value in end.outputs().items():
            self.console.output(name, value)
        if self.arguments.json:
            print(end.model_dump_json())
        return end.exit_code

    def _failed(self, error: RunnerError | None) -> int:
        """An end that no ticket was told of. What ``fetch`` and ``think`` leave open, ``publish`` tells."""
        from runner.core.report import End, report_error

        code = error.exit_code if error is not None else 1
        told = report_error(error, key=self.key)
        if self.arguments.verb in ("fetch", "think"):
            self.console.log(told.message)
            return code
        if self.arguments.verb != "sweep" or self.settings.runner_temp is not None:
            end = End(key=self.key, outcome="failed", reason=told.message, row="15", exit_code=code)
            (self.work_dir / "end.json").write_text(end.model_dump_json(), encoding="utf-8")
        return report_on(self.console, error, key=self.key)

    def _log_traceback(self, exc: BaseException) -> None:
        self.console.log("".join(traceback.format_exception(exc)))

    def _told_dry(self, exc: Exception) -> int:
        """A dry run tells the log and the summary what is wrong, and nobody else."""
        error = exc if isinstance(exc, RunnerError) else None
        if error is None:
            self._log_traceback(exc)
        return self._failed(error)

    def _tell(self, desk: Desk, exc: Exception, *, phase: str = "", result: Result | None = None) -> int:
        """Tell the ticket what ended the stage; if not even that can be written, the log says both."""
        from runner.core.markers import UnreadableMarkerError
        from runner.core.phases import Phase
        from runner.workflow.stages import tell

        error = exc if isinstance(exc, RunnerError) else None
        if error is None:
            self._log_traceback(exc)
        elif error.detail:
            self.console.log(error.detail)
        if isinstance(error, UnreadableMarkerError):
            # What our own comments record is unknown, and unknown stops every write.
            return self._failed(error)
        try:
            end = tell(desk, error, Phase(phase) if phase in set(Phase) else None, result)
        except RunnerError as second:
            self.console.log(f"The ticket could not be told: {second.summary} {second.detail}")
            return self._failed(error or second)
        return self._finish(end)


def _raise_on_signals() -> None:
    """SIGINT and SIGTERM end the model's work at once; its result is closed as stopped."""
    from runner.agent.loop import StoppedError

    def stop(number: int, _: object) -> None:
        # A second signal must not break off the writing of the result.
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_IGN)
        raise StoppedError(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def report_on(console: Console, error: RunnerError | None, *, key: str) -> int:
    """Tell the console and the outputs of an end that no ticket was told of; returns the exit code."""
    from runner.core.report import report_error

    told = report_error(error, key=key)
    console.annotate(told.level, told.title, told.message)
    console.summary(told.summary)
    console.output("outcome", "failed")
    console.output("reason", told.message)
    if error is not None and error.detail:
        console.log(error.detail)
    return error.exit_code if error is not None else 1
