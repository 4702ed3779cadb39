"""The plan: items with stable ids, checked, compared and hashed. Rendering for people is in ``texts``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from runner.errors import RunnerError

ItemId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,23}$")]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]
Title = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=160, pattern=r"^[^\r\n]*$")
]
MAX_PROSE = 6_000
Prose = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_PROSE)]


class PlanError(RunnerError):
    """A plan breaks a rule; the text names the item and the rule, so that the model can correct it."""

    exit_code = 3


class Record(BaseModel):
    """Frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Item(Record):
    """One planned sub-task. ``id`` stays the same over revisions; ``depends_on`` names ids of this plan."""

    id: ItemId
    title: Title
    description: Prose
    files: tuple[Line, ...] = ()
    acceptance: tuple[Line, ...] = ()
    verify: tuple[Line, ...] = ()
    depends_on: tuple[ItemId, ...] = ()
    risk: Literal["low", "medium", "high"] = "low"


class Plan(Record):
    """A reviewed course of work. Items are in the order they will be worked on."""

    summary: Prose
    items: tuple[Item, ...] = Field(min_length=1)

    @property
    def digest(self) -> str:
        """What an approval is bound to: the canonical items, as 12 hex digits."""
        canonical = json.dumps(
            [item.model_dump() for item in self.items], sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def item(self, id: str) -> Item | None:  # noqa: A002 - the field's own name
        """The item with this id."""
        return next((item for item in self.items if item.id == id), None)

    def predecessors(self, id: str) -> tuple[str, ...]:  # noqa: A002 - the field's own name
        """The ids an item waits for: its ``depends_on`` if any item declares one, else the item before it."""
        if any(item.depends_on for item in self.items):
            item = self.item(id)
            return item.depends_on if item else ()
        ids = [item.id for item in self.items]
        at = ids.index(id) if id in ids else 0
        return (ids[at - 1],) if at > 0 else ()

    def to_text(self) -> str:
        """The machine form that the plan comment carries."""
        return self.model_dump_json(indent=1)


class PlanAnswer(Record):
    """What the model returns when asked for a plan: a plan, questions, or why the ticket is not ready."""

    outcome: Literal["plan", "questions", "not_ready"]
    summary: Prose
    items: tuple[Item, ...]
    questions: tuple[Line, ...]
    answers: tuple[PointAnswer, ...]


class PointAnswer(Record):
    """How one point of feedback was dealt with in the plan."""

    id: Annotated[str, StringConstraints(max_length=80)]
    verdict: Literal["done", "declined", "question"]
    text: Prose


PlanAnswer.model_rebuild()


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _list_of(schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {"type": "array", "items": dict(schema), "description": description}


_TEXT = {"type": "string"}

# Hand-written so that both providers accept it strictly; limits are checked by the models above.
PLAN_SCHEMA: Mapping[str, Any] = _object(
    {
        "outcome": {"type": "string", "enum": ["plan", "questions", "not_ready"]},
        "summary": {"type": "string", "description": "What will change and why, in two to five sentences."},
        "items": _list_of(
            _object(
                {
                    "id": {
                        "type": "string",
                        "description": "Lower-case letters, digits, hyphens; at most 24 characters.",
                    },
                    "title": {"type": "string", "description": "Imperative, under 100 characters."},
                    "description": _TEXT,
                    "files": _list_of(_TEXT, "Paths expected to change."),
                    "acceptance": _list_of(_TEXT, "Criteria a person could check."),
                    "verify": _list_of(_TEXT, "How to verify: check ids or steps."),
                    "depends_on": _list_of(_TEXT, "Ids of items that must be finished first."),
                    "risk": {"type": "string", "enum": ["low", "medium", "high"]},
                }
            ),
            "The sub-tasks in order; empty unless the outcome is plan.",
        ),
        "questions": _list_of(_TEXT, "Only what neither the repository nor the thread answers."),
        "answers": _list_of(
            _object(
                {
                    "id": _TEXT,
                    "verdict": {"type": "string", "enum": ["done", "declined", "question"]},
                    "text": _TEXT,
                }
            ),
            "One for each point of feedback, by its id.",
        ),
    }
)


def check_plan(plan: Plan, *, max_items: int) -> Plan:
    """Return the plan if its ids are distinct, its dependencies known and free of cycles, and it keeps the cap."""
    ids = [item.id for item in plan.items]
    if len(ids) > max_items:
        raise PlanError(f"the plan has {len(ids)} items, the cap is {max_items}: merge or drop items")
    for id_ in ids:
        if ids.count(id_) > 1:
            raise PlanError(f"item id `{id_}` is used more than once")
    for item in plan.items:
        for needed in item.depends_on:
            if needed not in ids:
                raise PlanError(f"item `{item.id}` depends on `{needed}`, which is no item of this plan")
            if needed == item.id:
                raise PlanError(f"item `{item.id}` depends on itself")
    _refuse_cycles(plan)
    return plan


def parse_answer(text: str, *, max_items: int) -> tuple[PlanAnswer, Plan | None]:
    """Read the model's structured answer. Raises PlanError with the reasons, worded for the model."""
    try:
        answer = PlanAnswer.model_validate_json(text)
    except ValidationError as exc:
        reasons = "; ".join(
            f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors()[:8]
        )
        raise PlanError(f"the answer does not fit the schema: {reasons}") from exc
    except RecursionError as exc:
        raise PlanError("the answer is nested too deeply") from exc
    if answer.outcome != "plan":
        if answer.outcome == "questions" and not answer.questions:
            raise PlanError("the outcome is questions, but no question is asked")
        return answer, None
    if not answer.items:
        raise PlanError("the outcome is plan, but it has no items")
    return answer, check_plan(Plan(summary=answer.summary, items=answer.items), max_items=max_items)


def keep_unchanged(old: Plan, items: Sequence[Item]) -> tuple[Item, ...]:
    """The new items, but an earlier one itself wherever the two differ in nothing but white space."""
    before = {item.id: item for item in old.items}
    return tuple(
        before[item.id] if item.id in before and _folded(before[item.id]) == _folded(item) else item
        for item in items
    )


def _folded(item: Item) -> object:
    return {name: _even(value) for name, value in item.model_dump(mode="json").items()}


def _even(value: object) -> object:
    if isinstance(value, str):
        return " ".join(value.split())
    return [_even(one) for one in value] if isinstance(value, list) else value


def parse_plan(text: str) -> Plan | None:
    """Read the machine form of a plan comment; ``None`` when it is not one."""
    try:
        return check_plan(Plan.model_validate_json(text), max_items=1_000)
    except (ValidationError, PlanError, RecursionError):
        return None


@dataclass(frozen=True, kw_only=True)
class PlanDifference:
    """What a revision changed, by item id."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]]
    kept: tuple[str, ...]
    is_reordered: bool


def compare(old: Plan, new: Plan) -> PlanDifference:
    """Compare by id; ``changed`` names the fields that differ."""
    before = {item.id: item for item in old.items}
    after = {item.id: item for item in new.items}
    shared = [id_ for id_ in after if id_ in before]
    changed = {id_: _differing(before[id_], after[id_]) for id_ in shared if before[id_] != after[id_]}
    return PlanDifference(
        added=tuple(id_ for id_ in after if id_ not in before),
        removed=tuple(id_ for id_ in before if id_ not in after),
        changed=changed,
        kept=tuple(id_ for id_ in shared if id_ not in changed),
        is_reordered=shared != [id_ for id_ in before if id_ in after],
    )


def _differing(old: Item, new: Item) -> tuple[str, ...]:
    return tuple(name for name in Item.model_fields if getattr(old, name) != getattr(new, name))


def _refuse_cycles(plan: Plan) -> None:
    waiting = {item.id: set(item.depends_on) for item in plan.items}
    while waiting:
        ready = [id_ for id_, needed in waiting.items() if not needed & waiting.keys()]
        if not ready:
            raise PlanError(f"the items {', '.join(sorted(waiting))} wait for each other in a circle")
        for id_ in ready:
            del waiting[id_]
