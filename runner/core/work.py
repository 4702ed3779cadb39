"""Records that a model's work is made of: tools, turns, checks, changes. Plain values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Mode = Literal["100644", "100755"]


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """One path that differs from a named tree. ``content`` is the whole new file, or ``None`` for a deletion."""

    path: str
    content: bytes | None
    mode: Mode = "100644"


@dataclass(frozen=True, kw_only=True)
class CheckRun:
    """One run of a configured command, as measured. ``output`` is already cut; ``seconds`` is wall time."""

    id: str
    exit_code: int
    output: str
    seconds: float
    timed_out: bool = False

    @property
    def is_green(self) -> bool:
        """The command ended by itself with status 0."""
        return self.exit_code == 0 and not self.timed_out


@dataclass(frozen=True, kw_only=True)
class ToolSpec:
    """A tool as offered to a model: a hand-written JSON schema that both providers accept."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A model's request to run a tool. ``arguments`` is ``None`` when they were not a JSON object (see ``error``)."""

    id: str
    name: str
    arguments: Mapping[str, Any] | None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class ToolAnswer:
    """What a tool says back to the model."""

    text: str
    is_error: bool = False


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens of one or several calls. The four input kinds are disjoint; ``output`` includes ``reasoning``."""

    input: int = 0
    cache_read: int = 0
    cache_write_short: int = 0
    cache_write_long: int = 0
    output: int = 0
    reasoning: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input=self.input + other.input,
            cache_read=self.cache_read + other.cache_read,
            cache_write_short=self.cache_write_short + other.cache_write_short,
            cache_write_long=self.cache_write_long + other.cache_write_long,
            output=self.output + other.output,
            reasoning=self.reasoning + other.reasoning,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            input=self.input - other.input,
            cache_read=self.cache_read - other.cache_read,
            cache_write_short=self.cache_write_short - other.cache_write_short,
            cache_write_long=self.cache_write_long - other.cache_write_long,
            output=self.output - other.output,
            reasoning=self.reasoning - other.reasoning,
        )

    @property
    def prompt(self) -> int:
        """All input tokens, cached or not."""
        return self.input + self.cache_read + self.cache_write_short + self.cache_write_long

    @property
    def total(self) -> int:
        """Every token that was read or written."""
        return self.prompt + self.output


class Stop(StrEnum):
    """Why a model's turn ended. Tools are run on TOOLS only; nothing but DONE and TOOLS is success."""

    DONE = "done"
    TOOLS = "tools"
    LENGTH = "length"
    REFUSAL = "refusal"
    FILTERED = "filtered"
    PAUSE = "pause"
    CONTEXT = "context"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One answer of a model in the neutral shape that fits both providers."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    stop: Stop
    usage: Usage
    model: str
    request_id: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class UserText:
    """Text for the model from us (never from outside without being fenced first)."""

    text: str


@dataclass(frozen=True, kw_only=True)
class UserImage:
    """A picture for the model: ``media_type`` such as ``image/png``."""

    media_type: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """The answer to one tool call of the previous turn."""

    call_id: str
    text: str
    is_error: bool = False


Input = UserText | UserImage | ToolResult


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """Which model to ask and how hard it should think: ``provider:model`` and an effort the provider knows."""

    provider: Literal["anthropic", "openai"]
    model: str
    effort: str | None = None
    max_output_tokens: int = 32_000


@dataclass(frozen=True, kw_only=True)
class Predecessor:
    """A commit of an earlier run below the start: for which ticket, in a line, and which files it changed."""

    key: str
    subject: str
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Brief:
    """What opens a conversation: the fixed instructions, the tools, and a schema for a structured answer."""

    system: str
    tools: Sequence[ToolSpec] = ()
    schema: Mapping[str, Any] | None = None
    schema_name: str = "answer"
    cache_key: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to one point of feedback. ``id`` is the feedback's id as it was given to the model."""

    id: str
    verdict: Literal["done", "declined", "question"]
    text: str


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One acceptance criterion with the evidence named for it; ``claimed`` marks a model's word, not a measurement."""

    text: str
    status: Literal["met", "not met", "needs a person"]
    evidence: str
    claimed: bool = True


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a tool loop ended, before anything is published."""

    outcome: Literal[
        "done", "no_change", "partial", "asked", "refused", "budget", "truncated", "stopped", "invalid"
    ]
    summary: str = ""
    questions: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    detail: str = ""
    changes: tuple[FileChange, ...] = field(default=())
    checks: tuple[CheckRun, ...] = ()
    baseline: tuple[CheckRun, ...] = ()
    usage: Usage = Usage()
    calls: int = 0
