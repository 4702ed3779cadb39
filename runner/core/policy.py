"""The adopter's configuration, checked. A repository without the file runs on the defaults below."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from runner.core.prices import Price, price_from
from runner.core.work import ModelChoice
from runner.errors import ConfigError

MAX_BYTES = 64 * 1024
MAX_DEPTH = 20

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
Names = tuple[Name, ...]
AccountId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9:_-]{1,128}$")]


class Section(BaseModel):
    """A block of the file: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Statuses(Section):
    """Names of one level's statuses, each with aliases. ``null``: the project has no such status, a label stands in."""

    backlog: Names = ("Backlog", "To Do", "Open", "Selected for Development")
    plan_review: Names | None = ("Plan Review",)
    in_progress: Names = ("In Progress",)
    in_testing: Names | None = ("In Testing", "In Review")
    done: Names = ("Done", "Closed")
    blocked: Names | None = ("Blocked",)

    @field_validator("*", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class StatusLevels(Section):
    """Statuses of parents (and direct tickets) and of sub-tasks."""

    parent: Statuses = Statuses()
    sub_task: Statuses = Statuses()


class FieldDefaults(Section):
    """Values for fields that a Jira screen insists on: field id to the value as Jira's API takes it."""

    transition: Mapping[str, Any] = Field(default_factory=dict)
    create: Mapping[str, Any] = Field(default_factory=dict)


class JiraPolicy(Section):
    """How this team uses Jira."""

    account_id: AccountId | None = None
    projects: Names | None = None
    statuses: StatusLevels = StatusLevels()
    sub_task_type: Name | None = None
    approver: AccountId | None = None
    approvers: tuple[AccountId, ...] = ()
    reviewer: AccountId | None = None
    direct_types: Names = ()
    field_defaults: FieldDefaults = FieldDefaults()
    former_accounts: tuple[AccountId, ...] = ()
    label_prefix: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,19}$")] = "ai"
    acceptance_criteria_field: Name | None = None
    service_desk: bool = False


class PhaseModel(Section):
    """A model for one phase: ``provider:model`` and how hard it should think."""

    model: Annotated[str, StringConstraints(pattern=r"^(anthropic|openai):[A-Za-z0-9._:/-]{1,100}$")]
    effort: Literal["minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    max_output_tokens: int = Field(default=32_000, ge=1_000, le=128_000)

    @property
    def choice(self) -> ModelChoice:
        """The model as the ports take it."""
        provider, _, model = self.model.partition(":")
        return ModelChoice(
            provider="openai" if provider == "openai" else "anthropic",
            model=model,
            effort=self.effort,
            max_output_tokens=self.max_output_tokens,
        )


class Models(Section):
    """Which model each phase asks."""

    plan: PhaseModel = PhaseModel(model="anthropic:claude-opus-5-5")
    implement: PhaseModel = PhaseModel(model="anthropic:claude-opus-5-5")
    revise: PhaseModel = PhaseModel(model="anthropic:claude-opus-5-5")

    @field_validator("*", mode="before")
    @classmethod
    def _name_alone(cls, value: object) -> object:
        return {"model": value} if isinstance(value, str) else value


class CheckCommand(Section):
    """A command that judges the work. ``timeout`` is in seconds of wall time."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    run: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    timeout: int = Field(default=600, ge=1, le=1_800)


class SetupCommand(Section):
    """A command that prepares the checkout before the model starts."""

    run: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    timeout: int = Field(default=600, ge=1, le=1_800)


class Checks(Section):
    """What must be green. ``baseline`` runs every check once before the work, so old failures are not chased."""

    setup: tuple[SetupCommand, ...] = ()
    commands: tuple[CheckCommand, ...] = ()
    baseline: bool = True
    isolation: Literal["required", "best", "off"] = "best"
    network: Literal["setup", "off"] = "setup"
    environment: Names = ()

    @field_validator("setup", mode="before")
    @classmethod
    def _command_alone(cls, value: object) -> object:
        if isinstance(value, str):
            value = [value]
        if isinstance(value, list):
            return [{"run": one} if isinstance(one, str) else one for one in value]
        return value

    @model_validator(mode="after")
    def _distinct(self) -> Checks:
        ids = [command.id for command in self.commands]
        if len(ids) != len(set(ids)):
            raise ValueError(f"check ids must differ, got {', '.join(ids)}")
        return self


class Caps(Section):
    """Upper bounds on what one plan or one run may produce."""

    items: int = Field(default=20, ge=1, le=100)
    files: int = Field(default=100, ge=1, le=1_000)
    changed_lines: int = Field(default=5_000, ge=1, le=100_000)
    attempts: int = Field(default=3, ge=1, le=10)
    check_fixes: int = Field(default=2, ge=0, le=10)
    turns: int = Field(default=80, ge=2, le=1_000)


class Budget(Section):
    """Money, tokens and time; ``null`` means no bound of that kind."""

    usd: float | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, gt=0)
    minutes: float | None = Field(default=None, gt=0)


class Budgets(Section):
    """Bounds for one run, one ticket and one parent with all its sub-tasks."""

    run: Budget = Budget(usd=5.0, tokens=5_000_000, minutes=45)
    ticket: Budget = Budget(usd=20.0)
    parent: Budget = Budget(usd=100.0)


class PriceRow(Section):
    """USD per million tokens of a model, over the built-in table; a cache price left out is the input's."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cache_read: float | None = Field(default=None, ge=0)
    cache_write_short: float | None = Field(default=None, ge=0)
    cache_write_long: float | None = Field(default=None, ge=0)


class Paths(Section):
    """Which paths a run may change: glob patterns, ``**`` spans folders. ``protected`` adds to the built-in list."""

    allowed: Names = ("**",)
    protected: Names = ()


class PullRequestPolicy(Section):
    """How pull requests are opened."""

    draft: bool = False
    reviewers: Names = ()
    labels: Names = ("ai-runner",)
    base: Name | None = None
    commits: Literal["push", "api"] = "push"


class Policy(Section):
    """The whole file."""

    jira: JiraPolicy = JiraPolicy()
    models: Models = Models()
    checks: Checks = Checks()
    sequence: Literal["stacked", "wait", "shared"] = "stacked"
    max_parallel: int = Field(default=1, ge=1, le=20)
    on_merge: Literal["done", "keep"] = "done"
    caps: Caps = Caps()
    budget: Budgets = Budgets()
    paths: Paths = Paths()
    pull_request: PullRequestPolicy = PullRequestPolicy()
    disclosure: Literal["private", "public"] = "private"
    prompts: Name | None = None
    language: Name = "English"
    prices: Mapping[Name, PriceRow] = Field(default_factory=dict)

    @property
    def parallel(self) -> int:
        """How many sub-tasks of one parent may be in work at once; on one shared branch they take turns."""
        return 1 if self.sequence == "shared" else self.max_parallel

    @property
    def digest(self) -> str:
        """What of the configuration shapes a model's answer, as 12 hex digits."""
        shaping = self.model_dump_json(include={"models", "checks", "caps", "paths", "language"})
        return hashlib.sha256(shaping.encode()).hexdigest()[:12]

    @property
    def price_table(self) -> Mapping[str, Price]:
        """The adopter's own prices by model name."""
        return {
            name: price_from(name, row.model_dump(exclude_none=True)) for name, row in self.prices.items()
        }

    def label(self, name: str) -> str:
        """A label of ours with the configured prefix, such as ``ai:planned``."""
        return f"{self.jira.label_prefix}:{name}"


class _StrictLoader(yaml.SafeLoader):
    """YAML without aliases, and without a key given twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", None)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def parse_policy(text: bytes | None, *, name: str = ".github/ai-runner.yml") -> Policy:
    """Check the configuration file; ``None`` (no such file) means the defaults.

    Raises ConfigError naming the key, the reason and the nearest valid name.
    """
    if text is None:
        return Policy()
    if len(text) > MAX_BYTES:
        raise _error(name, f"it is {len(text):,} bytes long", f"Keep it under {MAX_BYTES:,} bytes.")
    try:
        decoded = text.decode("utf-8-sig")
        _refuse_depth(decoded, name)
        # SafeLoader's subclass: plain values only, no aliases, no key twice.
        data = yaml.load(decoded, Loader=_StrictLoader)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise _error(name, f"it is not readable YAML: {exc}", "Correct the file.") from exc
    if data is None:
        return Policy()
    if not isinstance(data, dict):
        raise _error(
            name, "its top level is not a mapping", "Start it with keys such as `jira:` or `checks:`."
        )
    try:
        return Policy.model_validate(data)
    except ValidationError as exc:
        reasons = "; ".join(_reason(error) for error in exc.errors()[:5])
        raise _error(
            name, reasons, "Correct the keys named here; docs/configuration.md lists all of them."
        ) from exc


def _refuse_depth(text: str, name: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.events.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _error(name, f"it is nested more than {MAX_DEPTH} levels deep", "Flatten it.")
        elif isinstance(event, yaml.events.CollectionEndEvent):
            depth -= 1


def _error(name: str, reason: str, remedy: str) -> ConfigError:
    stop = "" if reason.endswith("?") else "."
    return ConfigError(f"The configuration `{name}` cannot be used: {reason}{stop}", remedy=remedy)


def _reason(error: Any) -> str:
    """One pydantic error in a person's words, with the nearest valid key for a misspelt one."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"`{where}`: {error['msg']}"
    valid = list(_keys_at(error["loc"][:-1]))
    near = get_close_matches(str(error["loc"][-1]), valid, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"valid here: {', '.join(valid)}"
    return f"`{where}` is not a key; {hint}"


def _keys_at(location: tuple[str | int, ...]) -> Iterator[str]:
    model: Any = Policy
    for part in location:
        if isinstance(part, int):
            continue
        model = _section_of(model.model_fields[part].annotation)
    yield from model.model_fields


def _section_of(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(found for part in annotation.__args__ if (found := _section_of(part)) is not None)
