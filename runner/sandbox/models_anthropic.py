"""Anthropic's Messages API as the sandbox speaks it: its checks, its answers, its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from werkzeug.datastructures import Headers

from runner.core.work import ToolSpec
from runner.sandbox.models_wire import (
    NAME,
    ApiError,
    Cache,
    Counted,
    Message,
    ModelReply,
    ModelRequest,
    Seal,
    Told,
    ToolUse,
    compact,
    dump,
    loose_place,
    object_or_empty,
    parse,
    pieces,
    tokens,
)

FIELDS = frozenset(
    {
        "model",
        "max_tokens",
        "messages",
        "stream",
        "cache_control",
        "output_config",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "metadata",
        "stop_sequences",
        "service_tier",
        "diagnostics",
        "container",
        "inference_geo",
        "speed",
    }
)
SAMPLING = ("temperature", "top_p", "top_k")
EFFORTS = ("low", "medium", "high", "xhigh", "max")
TOOL_FIELDS = frozenset({"name", "description", "input_schema", "cache_control", "strict", "type"})
BLOCK_FIELDS: Mapping[str, frozenset[str]] = {
    "text": frozenset({"type", "text", "cache_control", "citations"}),
    "image": frozenset({"type", "source", "cache_control"}),
    "tool_use": frozenset({"type", "id", "name", "input", "caller", "cache_control"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
}
ROLE_BLOCKS = {
    "user": frozenset({"text", "image", "tool_result"}),
    "assistant": frozenset({"text", "tool_use", "thinking"}),
}
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
STOPS = {
    "length": "max_tokens",
    "refusal": "refusal",
    "filter": "refusal",
    "context": "model_context_window_exceeded",
    "pause": "pause_turn",
    "failed": "unheard_of",
}
BREAKPOINTS = 4
MAX_OUTPUT = 128_000


class AnthropicApi:
    """``POST /v1/messages``. Thinking is always on and signed, so every rewritten history is noticed."""

    name: Literal["anthropic", "openai"] = "anthropic"
    path = "/v1/messages"

    def __init__(self, models: frozenset[str]) -> None:
        self.models = models
        self._cache = Cache(minimum=512)
        self._seal = Seal()
        self._paused: set[str] = set()

    def key(self, headers: Headers) -> str:
        """The SDK sends a bearer token; gateways and older clients send ``x-api-key``."""
        return headers.get("Authorization", "").removeprefix("Bearer ") or headers.get("X-Api-Key", "")

    def read(self, headers: Headers, body: bytes) -> Told:
        """Check a request as strictly as the real API."""
        if "Anthropic-Version" not in headers:
            raise _refused("anthropic-version: header is required")
        value = parse(body)
        self._check_fields(value)
        system = _system(value.get("system", ""))
        tools = tuple(_tool(at, tool) for at, tool in enumerate(value.get("tools", ())))
        if len({tool.name for tool in tools}) != len(tools):
            raise _refused("tools: Tool names must be unique.")
        self._check_history(value["model"], value["messages"])
        marks = dump(value).count('"cache_control":{')
        if marks > BREAKPOINTS:
            raise _refused(f"A maximum of 4 blocks with cache_control may be provided. Found {marks}.")
        config = value.get("output_config", {})
        return Told(
            request=ModelRequest(
                provider="anthropic",
                model=value["model"],
                system=system,
                tools=tools,
                schema=config.get("format", {}).get("schema"),
                messages=tuple(_neutral(value["messages"])),
                effort=config.get("effort"),
                size=len(body),
                body=value,
            ),
            units=(
                compact(_bare(value.get("tools", []))),
                system,
                *(compact(_bare(message)) for message in value["messages"]),
            ),
            is_streamed=value.get("stream") is True,
            caches=marks > 0,
        )

    def answer(self, told: Told, reply: ModelReply, number: int) -> tuple[Mapping[str, Any], list[str]]:
        """The message, and the events that build it."""
        request = told.request
        place = self._seal.places(_bare(request.body["messages"]))[-1]
        signature = self._seal.make(request.model, place, reply.thinking)
        calls = [_use(call, number, at) for at, call in enumerate(reply.tool_calls)]
        content: list[dict[str, Any]] = [
            {"type": "thinking", "thinking": reply.thinking, "signature": signature}
        ]
        if reply.text:
            content.append({"type": "text", "text": reply.text})
        content += calls
        self._seal.remember(signature, [_comparable(block) for block in content])
        fresh, read, written = self._cache.count(told.units, caches=told.caches)
        reasoning = tokens(reply.thinking) + 8
        output = reasoning + tokens(reply.text) + sum(tokens(_raw(call)) + 12 for call in calls)
        counted = Counted(fresh=fresh, read=read, written=written, output=output, reasoning=reasoning)
        stop = STOPS.get(reply.stop) or ("tool_use" if calls else "end_turn")
        if stop == "pause_turn":
            self._paused.add(signature)
        message = {
            "id": f"msg_{number:08d}",
            "type": "message",
            "role": "assistant",
            "model": request.model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "stop_details": {"type": "refusal", "category": "cyber", "explanation": None}
            if stop == "refusal"
            else None,
            "usage": _usage(counted),
        }
        return _whole(message), _events(message)

    def failure(self, error: ApiError) -> Mapping[str, Any]:
        """An error in Anthropic's shape."""
        return {
            "type": "error",
            "error": {"type": error.type, "message": error.message},
        }

    def _check_fields(self, value: Mapping[str, Any]) -> None:
        for name in ("model", "max_tokens", "messages"):
            if name not in value:
                raise _refused(f"{name}: Field required")
        if value["model"] not in self.models:
            raise ApiError(404, "not_found_error", f"model: {value['model']}")
        for name in SAMPLING:
            if name in value:
                raise _refused(f"`{name}` is not supported by this model.")
        for name in sorted(set(value) - FIELDS):
            raise _refused(f"{name}: Extra inputs are not permitted")
        limit = value["max_tokens"]
        if not isinstance(limit, int) or not 1 <= limit <= MAX_OUTPUT:
            raise _refused(f"max_tokens: {limit} is not between 1 and {MAX_OUTPUT}")
        if value.get("thinking", {}).get("type") in {"disabled", "enabled"}:
            raise _refused("thinking.type: this model accepts adaptive thinking only.")
        if value.get("tool_choice", {}).get("type") in {"any", "tool"}:
            raise _refused("Thinking may not be enabled when tool_choice forces tool use.")
        _check_config(value.get("output_config", {}))

    def _check_history(self, model: str, messages: object) -> None:
        if not isinstance(messages, list) or not messages:
            raise _refused("messages: at least one message is required")
        if messages[0].get("role") != "user":
            raise _refused("messages: first message must use the user role")
        places = self._seal.places(_bare(messages))
        for at, place in enumerate(places[:-1]):
            self._check_message(model, messages, at, place)
        last = messages[-1]
        if last["role"] == "assistant" and not any(
            block.get("signature") in self._paused for block in _blocks(last)
        ):
            raise _refused(
                "This model does not support assistant message prefill. The conversation must end with a user message."
            )

    def _check_message(self, model: str, messages: list[Any], at: int, place: str) -> None:
        message = messages[at]
        for name in sorted(set(message) - {"role", "content"}):
            raise _refused(f"messages.{at}.{name}: Extra inputs are not permitted")
        role = message.get("role")
        if role not in ROLE_BLOCKS:
            raise _refused(f"messages.{at}.role: unexpected role {role!r}")
        blocks = _blocks(message)
        if not blocks:
            raise _refused(f"messages.{at}: all messages must have non-empty content")
        for where, block in enumerate(blocks):
            _check_block(f"messages.{at}.content.{where}", role, block)
        _check_results(at, blocks, _blocks(messages[at - 1]) if at else [])
        if role == "assistant":
            self._check_thinking(model, place, at, blocks)
            following = messages[at + 1] if at + 1 < len(messages) else None
            _check_answered(at, blocks, _blocks(following) if following else [])

    def _check_thinking(self, model: str, place: str, at: int, blocks: Sequence[Mapping[str, Any]]) -> None:
        for block in blocks:
            if block["type"] != "thinking":
                continue
            if block["signature"] != self._seal.make(model, place, block["thinking"]):
                raise _refused(
                    f"messages.{at}: thinking blocks must come back unmodified, after the same messages and to the same model (prefix mismatch)."
                )
            if not self._seal.is_as_served(block["signature"], [_comparable(one) for one in blocks]):
                raise _refused(f"messages.{at}: the turn with thinking was altered.")


def _refused(message: str) -> ApiError:
    return ApiError(400, "invalid_request_error", message)


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content or ())


def _bare(value: Any) -> Any:
    """The value without cache marks, which may move without changing what was said."""
    if isinstance(value, dict):
        return {name: _bare(one) for name, one in value.items() if name != "cache_control"}
    return [_bare(one) for one in value] if isinstance(value, list) else value


def _comparable(block: Mapping[str, Any]) -> Any:
    """The block for comparison; arguments that never were an object cannot come back as they went."""
    if block.get("type") == "tool_use" and isinstance(block["input"], str):
        return {**block, "input": object_or_empty(block["input"])}
    return _bare(dict(block))


def _system(value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or any(set(block) - BLOCK_FIELDS["text"] for block in value):
        raise _refused("system: must be a text or a list of text blocks")
    return "\n\n".join(block["text"] for block in value)


def _tool(at: int, tool: Mapping[str, Any]) -> ToolSpec:
    for name in sorted(set(tool) - TOOL_FIELDS):
        raise _refused(f"tools.{at}.{name}: Extra inputs are not permitted")
    if not NAME.match(tool.get("name", "")):
        raise _refused(f"tools.{at}.name: String should match pattern '{NAME.pattern}'")
    schema = tool.get("input_schema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise _refused(f"tools.{at}.input_schema.type: Field required to be 'object'")
    place = loose_place(schema) if tool.get("strict") else None
    if place is not None:
        raise _refused(f"tools.{at}.input_schema{place}")
    return ToolSpec(name=tool["name"], description=tool.get("description", ""), parameters=schema)


def _check_config(config: Mapping[str, Any]) -> None:
    for name in sorted(set(config) - {"effort", "format"}):
        raise _refused(f"output_config.{name}: Extra inputs are not permitted")
    if config.get("effort", "low") not in EFFORTS:
        raise _refused(f"output_config.effort: Input should be one of {', '.join(EFFORTS)}")
    if "format" in config:
        form = config["format"]
        if set(form) != {"type", "schema"} or form["type"] != "json_schema":
            raise _refused("output_config.format: type 'json_schema' and a schema are required")
        place = loose_place(form["schema"])
        if place is not None:
            raise _refused(f"output_config.format.schema{place}")


def _check_block(where: str, role: str, block: Mapping[str, Any]) -> None:
    kind = block.get("type", "")
    if kind not in ROLE_BLOCKS[role]:
        raise _refused(f"{where}: Input tag {kind!r} does not match any of the expected tags")
    for name in sorted(set(block) - BLOCK_FIELDS[kind]):
        raise _refused(f"{where}.{kind}.{name}: Extra inputs are not permitted")
    if kind == "text" and not block.get("text", "").strip():
        raise _refused(f"{where}: text content blocks must contain non-whitespace text")
    if kind == "image" and block["source"].get("media_type") not in IMAGES:
        raise _refused(f"{where}.image.source.media_type: unsupported")
    if kind == "tool_use" and not isinstance(block.get("input"), dict):
        raise _refused(f"{where}.tool_use.input: Input should be a valid dictionary")
    if kind == "thinking" and not block.get("signature"):
        raise _refused(f"{where}.thinking.signature: Field required")


def _check_results(at: int, blocks: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]) -> None:
    kinds = [block["type"] for block in blocks]
    asked = {block["id"] for block in before if block["type"] == "tool_use"}
    given = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    if "tool_result" in kinds[len(given) :]:
        raise _refused(f"messages.{at}: `tool_result` blocks must come before other content")
    for call in given:
        if call not in asked:
            raise _refused(
                f"messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {call}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
    if len(set(given)) != len(given):
        raise _refused(f"messages.{at}: each tool_use must have a single result")


def _check_answered(
    at: int, blocks: Sequence[Mapping[str, Any]], following: Sequence[Mapping[str, Any]]
) -> None:
    given = {block.get("tool_use_id") for block in following if block.get("type") == "tool_result"}
    missing = [block["id"] for block in blocks if block["type"] == "tool_use" and block["id"] not in given]
    if missing:
        raise _refused(
            f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}."
        )


def _neutral(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    found: list[Message] = []
    for message in messages:
        blocks = _blocks(message)
        if message["role"] == "assistant":
            uses = [block for block in blocks if block["type"] == "tool_use"]
            calls = tuple(ToolUse(id=one["id"], name=one["name"], arguments=one["input"]) for one in uses)
            found.append(Message(role="assistant", text=_texts(blocks), tool_calls=calls))
            continue
        found += [_tool_message(block) for block in blocks if block["type"] == "tool_result"]
        images = sum(block["type"] == "image" for block in blocks)
        if _texts(blocks) or images:
            found.append(Message(role="user", text=_texts(blocks), images=images))
    return found


def _texts(blocks: Sequence[Mapping[str, Any]]) -> str:
    return "\n\n".join(block["text"] for block in blocks if block["type"] == "text")


def _tool_message(block: Mapping[str, Any]) -> Message:
    return Message(
        role="tool",
        text=_texts(_blocks(block)),
        call_id=block["tool_use_id"],
        is_error=block.get("is_error", False),
    )


def _use(call: ToolUse, number: int, at: int) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": call.id or f"toolu_{number:08d}{at:02d}",
        "name": call.name,
        "input": call.arguments if isinstance(call.arguments, str) else dict(call.arguments),
        "caller": {"type": "direct"},
    }


def _raw(block: Mapping[str, Any]) -> str:
    given = block["input"]
    return given if isinstance(given, str) else dump(given)


def _whole(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message as a non-streamed answer, where arguments are always an object."""
    return {**message, "content": [_comparable(block) for block in message["content"]]}


def _usage(counted: Counted) -> dict[str, Any]:
    return {
        "input_tokens": counted.fresh,
        "cache_creation_input_tokens": counted.written,
        "cache_read_input_tokens": counted.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counted.written,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": counted.output,
        "output_tokens_details": {"thinking_tokens": counted.reasoning},
        "service_tier": "standard",
    }


def _events(message: Mapping[str, Any]) -> list[str]:
    usage = message["usage"]
    start = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_details": None,
        "usage": {**usage, "output_tokens": 1, "output_tokens_details": None},
    }
    lines = [_event({"type": "message_start", "message": start}), _event({"type": "ping"})]
    for index, block in enumerate(message["content"]):
        lines += _block_events(index, block)
    names = ("stop_reason", "stop_sequence", "stop_details")
    counts = {name: value for name, value in usage.items() if name not in {"cache_creation", "service_tier"}}
    delta = {"type": "message_delta", "delta": {name: message[name] for name in names}, "usage": counts}
    return [*lines, _event(delta), _event({"type": "message_stop"})]


def _block_events(index: int, block: Mapping[str, Any]) -> list[str]:
    deltas: list[dict[str, Any]]
    empty: dict[str, Any]
    match block["type"]:
        case "thinking":
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "tool_use":
            empty = {**block, "input": {}}
            parts = ["", *pieces(_raw(block))]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in parts]
        case _:
            empty = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
    return [
        _event({"type": "content_block_start", "index": index, "content_block": empty}),
        *(_event({"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas),
        _event({"type": "content_block_stop", "index": index}),
    ]


def _event(value: Mapping[str, Any]) -> str:
    return f"event: {value['type']}\ndata: {dump(value)}\n\n"
