"""What the two model APIs of the sandbox have in common: neutral records, the strict checks, the prompt cache."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from werkzeug.datastructures import Headers

from runner.core.work import ToolSpec

CHARS_PER_TOKEN = 4
IMAGE_TOKENS = 1_600
PIECE = 60
NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")

# Keywords that structured output refuses or that only some models take: a portable schema has none.
LOOSE_KEYWORDS = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "pattern",
        "minItems",
        "maxItems",
        "uniqueItems",
        "patternProperties",
        "oneOf",
        "allOf",
        "not",
        "if",
        "$ref",
        "default",
    }
)


@dataclass(frozen=True, kw_only=True)
class ToolUse:
    """A call in a scripted or sent answer. A string for ``arguments`` is sent as it is, valid JSON or not."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One step of a conversation in neutral shape: user text, an assistant's text and calls, or a tool's result."""

    role: Literal["user", "assistant", "tool"]
    text: str = ""
    tool_calls: tuple[ToolUse, ...] = ()
    call_id: str = ""
    is_error: bool = False
    images: int = 0


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """One request as a brain sees it. ``size`` is the body's length in bytes, ``body`` the JSON as it came."""

    provider: Literal["anthropic", "openai"]
    model: str
    system: str
    tools: tuple[ToolSpec, ...]
    schema: Mapping[str, Any] | None
    messages: tuple[Message, ...]
    effort: str | None
    size: int
    body: Mapping[str, Any]

    @property
    def tool_names(self) -> frozenset[str]:
        """Names of the tools on offer."""
        return frozenset(tool.name for tool in self.tools)

    @property
    def text(self) -> str:
        """Everything that was said to the model in this conversation, instructions first."""
        return "\n\n".join([self.system, *(message.text for message in self.messages)])

    @property
    def results(self) -> tuple[Message, ...]:
        """The tool results that came with this request: those after the last answer."""
        last = max((at for at, one in enumerate(self.messages) if one.role == "assistant"), default=-1)
        return tuple(one for one in self.messages[last + 1 :] if one.role == "tool")

    @property
    def turn(self) -> int:
        """How many answers this conversation has had."""
        return sum(message.role == "assistant" for message in self.messages)


Stopped = Literal["auto", "length", "refusal", "filter", "context", "pause", "failed"]


@dataclass(frozen=True, kw_only=True)
class ModelReply:
    """One scripted answer. ``stop="auto"`` means tool use if there are calls, else the end of the turn."""

    text: str = ""
    tool_calls: tuple[ToolUse, ...] = ()
    stop: Stopped = "auto"
    thinking: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelFault:
    """A scripted failure with the provider's own error shape, such as 529 or 429 with ``retry_after`` seconds."""

    status: int
    type: str = "api_error"
    message: str = "The script asked for this failure."
    retry_after: float | None = None


class Brain(Protocol):
    """Whoever answers. Called under a lock, one request at a time."""

    def answer(self, request: ModelRequest) -> ModelReply | ModelFault:
        """Answer one request that passed every check."""
        ...


class ApiError(Exception):
    """A refusal in the words of the API."""

    def __init__(self, status: int, type: str, message: str, *, param: str | None = None) -> None:  # noqa: A002
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.param = param


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Tokens as the sandbox counts them, disjoint as in the price table."""

    fresh: int
    read: int
    written: int
    output: int
    reasoning: int


@dataclass(frozen=True, kw_only=True)
class Told:
    """A checked request: what the brain sees, and what the cache and the seals need."""

    request: ModelRequest
    units: tuple[str, ...]
    is_streamed: bool
    caches: bool = True


class Cache:
    """A prompt cache over whole units (tools, instructions, items): what was a prefix before is read, not paid anew."""

    def __init__(self, minimum: int) -> None:
        self._minimum = minimum
        self._seen: set[str] = set()

    def count(self, units: Sequence[str], *, caches: bool) -> tuple[int, int, int]:
        """Tokens as (fresh, read, written), remembering this request for the next one."""
        total = read = 0
        chain = hashlib.sha256()
        marks: list[str] = []
        for unit in units:
            chain.update(unit.encode() + b"\0")
            total += tokens(unit)
            marks.append(chain.hexdigest())
            if marks[-1] in self._seen and total >= self._minimum:
                read = total
        if not caches or total < self._minimum:
            return total - read, read, 0
        self._seen.update(marks)
        return 0, read, total - read


class Seal:
    """Signs what must come back as it was: thinking, bound to the model and to everything before it."""

    def __init__(self) -> None:
        self._key = b"sandbox"
        self._lock = threading.Lock()
        self._served: dict[str, str] = {}

    def places(self, steps: Iterable[object]) -> list[str]:
        """For every step a digest of all steps before it, and one more for all of them."""
        chain = hashlib.sha256()
        found = [chain.hexdigest()]
        for step in steps:
            chain.update(json.dumps(step, sort_keys=True).encode() + b"\0")
            found.append(chain.hexdigest())
        return found

    def make(self, model: str, place: str, thinking: str) -> str:
        """A signature over a thought, its model and its place."""
        text = json.dumps([model, place, thinking])
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def remember(self, signature: str, answer: object) -> None:
        """Keep the answer that a thought belongs to."""
        with self._lock:
            self._served[signature] = json.dumps(answer, sort_keys=True)

    def is_as_served(self, signature: str, answer: object) -> bool:
        """Whether an answer comes back as it was sent."""
        with self._lock:
            return self._served.get(signature) == json.dumps(answer, sort_keys=True)


class Api(Protocol):
    """One provider's wire format."""

    name: Literal["anthropic", "openai"]
    path: str
    models: frozenset[str]

    def key(self, headers: Headers) -> str:
        """The key that a request carries."""
        ...

    def read(self, headers: Headers, body: bytes) -> Told:
        """Check a request as strictly as the real API; raises ApiError."""
        ...

    def answer(self, told: Told, reply: ModelReply, number: int) -> tuple[Mapping[str, Any], list[str]]:
        """The whole answer as an object, and as the events of a stream."""
        ...

    def failure(self, error: ApiError) -> Mapping[str, Any]:
        """An error in the provider's shape."""
        ...


def tokens(text: str) -> int:
    """A plausible count: four characters make a token. Pictures are counted by their place, not their bytes."""
    return len(text) // CHARS_PER_TOKEN


def pieces(text: str) -> Iterator[str]:
    """Cut a text as a stream would."""
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]


def compact(value: object) -> str:
    """JSON for counting and for events, without the bytes of pictures."""
    return re.sub(r'"(data:[^"]{200,}|[A-Za-z0-9+/=]{2000,})"', f'"{"i" * 4 * IMAGE_TOKENS}"', dump(value))


def dump(value: object) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse(body: bytes) -> dict[str, Any]:
    """The body as an object."""
    try:
        value = json.loads(body)
    except ValueError as exc:
        raise ApiError(400, "invalid_request_error", f"The request body is not valid JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise ApiError(400, "invalid_request_error", "The request body must be an object.")
    return value


def object_or_empty(raw: str) -> dict[str, Any]:
    """The object that a text holds, or an empty one."""
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def loose_place(schema: object, path: str = "") -> str | None:
    """What makes a schema unfit for strict use and where, or ``None``."""
    if isinstance(schema, list):
        return next(filter(None, (loose_place(one, f"{path}[{at}]") for at, one in enumerate(schema))), None)
    if not isinstance(schema, dict):
        return None
    banned = sorted(LOOSE_KEYWORDS & set(schema))
    if banned:
        return f"{path or '()'}: {banned[0]!r} is not permitted"
    properties = schema.get("properties", {})
    if "properties" in schema or schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            return f"{path or '()'}: 'additionalProperties' is required to be supplied and to be false"
        missing = sorted(set(properties) - set(schema.get("required", ())))
        if missing:
            return f"{path or '()'}: 'required' must include every key in properties. Missing {missing[0]!r}"
    inner = [(name, one) for name, one in properties.items()]
    inner += [(key, schema[key]) for key in ("items", "anyOf", "$defs") if key in schema]
    return next(filter(None, (loose_place(one, f"{path}.{name}") for name, one in inner)), None)
