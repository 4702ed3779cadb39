"""What the model delivers, scripted: the same input gives the same answer."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from runner.core.handover import ChangeRecord, CheckRecord, Outcome, Result, WorkFile
from runner.core.phases import Phase
from runner.core.plan import Item, PlanAnswer, PointAnswer
from runner.core.work import FileChange

ITEMS = ("prices", "rounding", "receipt")


@dataclass(frozen=True, kw_only=True)
class Script:
    """A model's behaviour. ``items`` are the plan's; ``implement`` and ``plan`` say how those phases end."""

    items: tuple[str, ...] = ITEMS
    plan: Outcome = "done"
    implement: Outcome = "done"
    is_green: bool = True
    independent: bool = False

    def __call__(self, file: WorkFile, run: str) -> Result:
        """Answer one piece of work."""
        work = file.work
        assert work is not None
        outcome = self.plan if work.phase is Phase.PLAN else self.implement
        return Result(
            key=work.key,
            phase=work.phase,
            run=run,
            input_digest=work.input_digest,
            start=work.start,
            outcome=outcome,
            summary="A summary of the work.",
            plan=self._plan(file)
            if work.phase is Phase.PLAN and outcome in ("done", "asked", "not_ready")
            else None,
            questions=("Which currency?",) if outcome == "asked" else (),
            answers=tuple(PointAnswer(id=one.id, verdict="done", text="Done.") for one in work.feedback),
            changes=self._changes(file)
            if work.phase is not Phase.PLAN and outcome in ("done", "partial")
            else (),
            checks=() if work.phase is Phase.PLAN else (_check(self.is_green),),
            baseline=() if work.phase is Phase.PLAN else (_check(is_green=True),),
            model="anthropic:scripted",
            calls=1,
            tokens=1_000,
            usd=Decimal("0.01"),
            seconds=3.0,
        )

    def _plan(self, file: WorkFile) -> PlanAnswer:
        work = file.work
        assert work is not None
        outcomes: dict[str, Literal["plan", "questions", "not_ready"]] = {
            "asked": "questions",
            "not_ready": "not_ready",
        }
        revised = " again" if work.plan is not None else ""
        items = tuple(
            Item(id=name, title=f"Do {name}{revised}", description=f"About {name}.") for name in self.items
        )
        return PlanAnswer(
            outcome=outcomes.get(self.plan, "plan"),
            summary="A plan.",
            items=items if self.plan == "done" else (),
            questions=("Which currency?",) if self.plan == "asked" else (),
            answers=tuple(PointAnswer(id=one.id, verdict="done", text="Done.") for one in work.feedback),
        )

    def _changes(self, file: WorkFile) -> tuple[ChangeRecord, ...]:
        work = file.work
        assert work is not None
        text = f"# {work.key}\n" + "".join(f"# {one.source}\n" for one in work.feedback)
        if work.phase is Phase.REVISE:
            # A revision must change something, whatever the one before it wrote.
            text += f"# after {work.start[:7]}\n"
        change = FileChange(path=f"src/{work.key}.py", content=text.encode())
        return (ChangeRecord.from_change(change),)


def _check(is_green: bool) -> CheckRecord:
    return CheckRecord(id="unit", exit_code=0 if is_green else 1, seconds=1.0)
