"""The two files that join the stages: ``work.json`` (gather to think) and ``result.json`` (think to publish).

Neither carries effects. ``publish`` trusts nothing in a result but its shape: it reads Jira and GitHub again,
recomputes the digests and guards every change.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from runner.core.budget import Spent
from runner.core.feedback import Feedback
from runner.core.markers import LedgerEntry, Seen
from runner.core.phases import Phase
from runner.core.plan import Item, Plan, PlanAnswer, PointAnswer
from runner.core.policy import Policy
from runner.core.work import FileChange, Mode
from runner.errors import ConfigError

MAX_RESULT_BYTES = 64 * 1024 * 1024
Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


class Closed(BaseModel):
    """Frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What the model is asked to do, for one ticket.

    ``start`` is the commit to work on, ``base`` the branch a pull request will target, ``expected`` the
    present head of the ticket's branch (``None``: no branch). ``seen`` is what this work takes into account.
    ``was_mine``: the ticket was the runner's when the work began, so taking it away stops the work.
    """

    phase: Phase
    key: str
    row: str
    input_digest: str
    content_digest: str
    plan_digest: str = ""
    attempt: int = 1
    base: str
    start: str
    expected: str | None = None
    predecessor: str = ""
    feedback: tuple[Feedback, ...] = ()
    seen: Seen = field(default_factory=Seen)
    plan: Plan | None = None
    item: Item | None = None
    was_mine: bool = True


class Said(Closed):
    """A human comment as context for the model."""

    author: str
    at: str
    text: str


class Linked(Closed):
    """A linked ticket as context for the model."""

    key: str
    relation: str
    summary: str
    description: str


class Picture(Closed):
    """An attached image for the model. ``media_type`` was told from the bytes, not believed."""

    name: str
    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
    data: Base64Bytes


class Context(Closed):
    """The texts and pictures the model may read, all of them untrusted. ``acceptance`` are the ticket's own criteria."""

    summary: str
    description: str
    type: str
    comments: tuple[Said, ...] = ()
    restricted_comments: int = 0
    parent_key: str = ""
    parent_summary: str = ""
    parent_description: str = ""
    parent_comments: tuple[Said, ...] = ()
    linked: tuple[Linked, ...] = ()
    acceptance: tuple[str, ...] = ()
    attachments: Mapping[str, str] = Field(default_factory=dict)
    images: tuple[Picture, ...] = ()
    skipped_attachments: Mapping[str, str] = Field(default_factory=dict)
    edited_plan: str = ""


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """A result together with the work it answers: what ``decide`` looks at after ``think``."""

    work: Work
    result: Result


class SpentRecord(Closed):
    """What earlier runs used of a budget. ``usd`` counts the runs whose price is known, ``unpriced_tokens`` the others'."""

    usd: Decimal = Decimal(0)
    tokens: int = 0
    minutes: float = 0.0
    unpriced_tokens: int = 0

    @classmethod
    def of(cls, ledger: Iterable[LedgerEntry], *, since: str = "") -> SpentRecord:
        """Sum the runs after a moment; one that recorded no time is older than every moment."""
        counted = [entry for entry in ledger if not since or entry.at > since]
        return cls(
            usd=sum((entry.usd for entry in counted if entry.usd is not None), Decimal(0)),
            tokens=sum(entry.tokens for entry in counted),
            minutes=sum(entry.seconds for entry in counted) / 60,
            unpriced_tokens=sum(entry.tokens for entry in counted if entry.usd is None),
        )

    def to_spent(self) -> Spent:
        """The sum as budgets count it."""
        return Spent(
            usd=self.usd, tokens=self.tokens, minutes=self.minutes, unpriced_tokens=self.unpriced_tokens
        )


class WorkFile(Closed):
    """``work.json``: what ``gather`` decided and what ``think`` needs, with no secret and no effect in it."""

    version: Literal[1] = 1
    run: str
    snapshot: str
    key: str
    verdict: Literal["none", "publish", "model"]
    phase: str = ""
    reason: str = ""
    work: Work | None = None
    context: Context | None = None
    commits: tuple[Sha, ...] = ()
    policy: Policy = Policy()
    prompts: Mapping[str, str] = Field(default_factory=dict)
    ticket_spent: SpentRecord = SpentRecord()
    parent_spent: SpentRecord = SpentRecord()


class ChangeRecord(Closed):
    """One changed path, its whole new content in base64, or its deletion."""

    path: Annotated[str, StringConstraints(min_length=1, max_length=4_096)]
    mode: Mode = "100644"
    content: Base64Bytes | None = None

    @classmethod
    def from_change(cls, change: FileChange) -> ChangeRecord:
        """The record of a change."""
        encoded = None if change.content is None else base64.b64encode(change.content)
        return cls.model_validate({"path": change.path, "mode": change.mode, "content": encoded})

    def to_change(self) -> FileChange:
        """The change as the publisher takes it."""
        return FileChange(path=self.path, mode=self.mode, content=self.content)


class CheckRecord(Closed):
    """One measured run of a check. ``seconds`` is wall time."""

    id: Annotated[str, StringConstraints(max_length=60)]
    exit_code: int
    seconds: float
    timed_out: bool = False
    output: Annotated[str, StringConstraints(max_length=20_000)] = ""

    @property
    def is_green(self) -> bool:
        """The command ended by itself with status 0."""
        return self.exit_code == 0 and not self.timed_out


class CriterionRecord(Closed):
    """One acceptance criterion as the model judged it; ``claimed`` marks a claim without a measurement."""

    text: Annotated[str, StringConstraints(max_length=1_000)]
    status: Literal["met", "not met", "needs a person"]
    evidence: Annotated[str, StringConstraints(max_length=1_000)]
    claimed: bool = True


Outcome = Literal[
    "done",
    "no_change",
    "partial",
    "asked",
    "not_ready",
    "refused",
    "budget",
    "truncated",
    "stopped",
    "invalid",
    "unavailable",
    "config",
]


class Result(Closed):
    """``result.json``: what ``think`` leaves, as typed and measured as it can be."""

    version: Literal[1] = 1
    key: str
    phase: Phase
    run: str
    input_digest: str
    start: str
    outcome: Outcome
    summary: Annotated[str, StringConstraints(max_length=12_000)] = ""
    detail: Annotated[str, StringConstraints(max_length=4_000)] = ""
    plan: PlanAnswer | None = None
    questions: tuple[Annotated[str, StringConstraints(max_length=2_000)], ...] = ()
    warnings: tuple[Annotated[str, StringConstraints(max_length=500)], ...] = ()
    over: Literal["", "run", "ticket", "parent"] = ""
    answers: tuple[PointAnswer, ...] = ()
    criteria: tuple[CriterionRecord, ...] = ()
    changes: tuple[ChangeRecord, ...] = ()
    checks: tuple[CheckRecord, ...] = ()
    baseline: tuple[CheckRecord, ...] = ()
    model: str = ""
    calls: int = 0
    tokens: int = 0
    usd: Decimal | None = None
    seconds: float = 0.0
    retry_at: float | None = None
    transcript: str = ""

    @property
    def is_green(self) -> bool:
        """Every check that was green before the work is green after it; checks red before are not held against it."""
        red_before = {check.id for check in self.baseline if not check.is_green}
        return all(check.is_green or check.id in red_before for check in self.checks)


_File = TypeVar("_File", WorkFile, Result)


def read_file(path: Path, kind: type[_File]) -> _File:
    """Read one of the two files. Raises ConfigError when it is missing, too large or not of this shape."""
    if not path.is_file():
        raise ConfigError(
            f"`{path.name}` is missing.", remedy="The stage before this one did not finish; see its log."
        )
    if path.stat().st_size > MAX_RESULT_BYTES:
        raise ConfigError(
            f"`{path.name}` is larger than {MAX_RESULT_BYTES:,} bytes.", remedy="Lower `caps.files`."
        )
    try:
        return kind.model_validate_json(path.read_bytes())
    except (ValidationError, RecursionError) as exc:
        reason = f"`{path.name}` does not have the shape that this version writes."
        raise ConfigError(
            reason, remedy="Run all stages with the same version.", detail=str(exc)[:2_000]
        ) from exc


def write_file(path: Path, value: WorkFile | Result) -> None:
    """Write one of the two files, complete or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(value.model_dump_json(indent=1), encoding="utf-8")
    temporary.replace(path)
