"""Anthropic's Messages API behind the model port.

Never sent, because current models answer 400: sampling parameters, a forced tool choice, a prefilled
answer, ``thinking``. How hard to think is steered by ``output_config.effort`` alone.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from runner.adapters.llm_call import Reader, Reply
from runner.adapters.llm_common import IMAGE_TYPES, StreamedModel, arguments_of, image_note
from runner.adapters.llm_problems import StreamError, stream_problem
from runner.core.work import Brief, Input, Stop, ToolCall, ToolResult, ToolSpec, Usage, UserImage, UserText

CACHED: Mapping[str, Any] = {"type": "ephemeral"}

STOPS: Mapping[str, Stop] = {
    "end_turn": Stop.DONE,
    "stop_sequence": Stop.DONE,
    "tool_use": Stop.TOOLS,
    "max_tokens": Stop.LENGTH,
    "pause_turn": Stop.PAUSE,
    "refusal": Stop.REFUSAL,
    "model_context_window_exceeded": Stop.CONTEXT,
}

# Which field of a block a delta extends, and under which name the delta carries it.
DELTAS: Mapping[str, tuple[str, str]] = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "input_json_delta": ("input", "partial_json"),
}


class AnthropicModel(StreamedModel):
    """A Claude model. ``base_url`` has no ``/v1``; one at its end is removed."""

    provider: ClassVar[Literal["anthropic", "openai"]] = "anthropic"
    vendor = "Anthropic"
    key_name = "ANTHROPIC_API_KEY"
    base_url_name = "ANTHROPIC_BASE_URL"
    public_host = "api.anthropic.com"
    path = "/v1/messages"
    history_field = "messages"
    efforts = frozenset({"low", "medium", "high", "xhigh", "max"})

    def connect(self) -> Any:
        """Import the SDK and build its client; retries are ours, and nothing is traced."""
        return self.module("anthropic").Anthropic(
            api_key=self._api_key,
            base_url=self._base_url.removesuffix("/v1") if self._base_url else None,
            max_retries=0,
            open_telemetry=False,
        )

    def head(self, brief: Brief) -> dict[str, Any]:
        """Every field but ``messages``.

        The mark on the system text keeps tools and instructions cached even when more blocks were added
        in one turn than the provider looks back over; the top-level mark follows the end of the history.
        """
        config: dict[str, Any] = {}
        if self.choice.effort is not None:
            config["effort"] = self.choice.effort
        if brief.schema is not None:
            config["format"] = {"type": "json_schema", "schema": brief.schema}
        return {
            "model": self.choice.model,
            "max_tokens": self.choice.max_output_tokens,
            "stream": True,
            "cache_control": CACHED,
            **({"output_config": config} if config else {}),
            **({"tools": [_tool(tool) for tool in brief.tools]} if brief.tools else {}),
            **(
                {"system": [{"type": "text", "text": brief.system, "cache_control": CACHED}]}
                if brief.system
                else {}
            ),
        }

    def write(self, results: Sequence[ToolResult], others: Sequence[Input]) -> list[dict[str, Any]]:
        """One user message: every tool result first, then texts and pictures in order."""
        content = [*map(_result, results), *(block for one in others for block in _content(one))]
        return [{"role": "user", "content": content}] if content else []

    def reader(self) -> Reader:
        """Begin to read an answer."""
        return MessageReader()


class MessageReader(Reader):
    """Collects the events of one message. Blocks are kept as they came, unknown types included."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[int, dict[str, Any]] = {}
        self._parts: dict[tuple[int, str], list[str]] = {}
        self._stop: str | None = None
        self._stop_details: Mapping[str, Any] = {}
        self._told: dict[str, Any] = {}

    def feed(self, event: Mapping[str, Any]) -> None:
        """Take in one event; types that we do not know change nothing."""
        match event.get("type"):
            case "message_start":
                self.has_begun = True
                self.model = event["message"].get("model") or ""
                self._tell(event["message"].get("usage"))
            case "content_block_start":
                self._blocks[event["index"]] = dict(event["content_block"])
            case "content_block_delta":
                self._extend(event["index"], event["delta"])
            case "message_delta":
                self._stop = event["delta"].get("stop_reason")
                self._stop_details = event["delta"].get("stop_details") or {}
                self._tell(event.get("usage"))
                self.has_final_usage = True
            case "message_stop":
                self.is_over = True
            case "error":
                raise StreamError(stream_problem(event.get("error") or {}))
            case _:
                return

    def reply(self) -> Reply:
        """Return the answer. Tools are offered for running on ``tool_use`` only: a cut call can look whole."""
        blocks = [self._whole(index) for index in sorted(self._blocks)]
        calls = [block for block in blocks if block.get("type") == "tool_use"]
        stop = STOPS.get(self._stop or "", Stop.FAILED)
        if stop is Stop.TOOLS and not calls:
            stop = Stop.FAILED
        echo = [_returned(block) for block in blocks if _is_welcome(block)]
        return Reply(
            stop=stop,
            text="".join(block.get("text") or "" for block in blocks if block.get("type") == "text"),
            tool_calls=tuple(map(_call, calls)) if stop is Stop.TOOLS else (),
            detail=self._detail(stop),
            echo=({"role": "assistant", "content": echo},) if echo else (),
            pending=tuple(call["id"] for call in calls),
        )

    def _tell(self, usage: Mapping[str, Any] | None) -> None:
        self._told.update({name: value for name, value in (usage or {}).items() if value is not None})
        told = self._told
        written = told.get("cache_creation_input_tokens", 0)
        long = min(written, (told.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0)
        self.usage = Usage(
            input=told.get("input_tokens", 0),
            cache_read=told.get("cache_read_input_tokens", 0),
            cache_write_short=written - long,
            cache_write_long=long,
            output=told.get("output_tokens", 0),
            reasoning=(told.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
        )

    def _extend(self, index: int, delta: Mapping[str, Any]) -> None:
        kind = str(delta.get("type"))
        if kind == "citations_delta":
            block = self._blocks[index]
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]
        elif kind in DELTAS:
            target, name = DELTAS[kind]
            self._parts.setdefault((index, target), []).append(delta[name])
            self.received += len(delta[name])

    def _whole(self, index: int) -> dict[str, Any]:
        block = dict(self._blocks[index])
        for target in ("text", "thinking", "signature"):
            if (index, target) in self._parts:
                block[target] = (block.get(target) or "") + "".join(self._parts[index, target])
        if (index, "input") in self._parts:
            block["input"] = "".join(self._parts[index, "input"])
        return block

    def _detail(self, stop: Stop) -> str:
        if stop is Stop.REFUSAL:
            return ": ".join(
                str(self._stop_details[name])
                for name in ("category", "explanation")
                if self._stop_details.get(name)
            )
        return f"stop reason {self._stop!r}" if stop is Stop.FAILED else ""


def _tool(tool: ToolSpec) -> dict[str, Any]:
    said = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **said, "input_schema": optional(tool.parameters)}


def optional(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema as it reads without strict mode: what may be null may be left out instead, and nothing says "closed".

    Whether a call is right is checked where it is run; here every byte is paid for with every turn.
    """
    said = {key: value for key, value in schema.items() if key != "additionalProperties"}
    kind = schema.get("type")
    if isinstance(kind, list):
        said["type"] = kind[0]
    if "items" in schema:
        said["items"] = optional(schema["items"])
    if "properties" in schema:
        properties = schema["properties"]
        said["properties"] = {name: optional(inner) for name, inner in properties.items()}
        nullable = {name for name, inner in properties.items() if isinstance(inner.get("type"), list)}
        said["required"] = [name for name in schema.get("required", ()) if name not in nullable]
    return said


def _result(result: ToolResult) -> dict[str, Any]:
    return {
        "type": "tool_result",
        "tool_use_id": result.call_id,
        **({"content": result.text} if result.text else {}),
        **({"is_error": True} if result.is_error else {}),
    }


def _content(one: Input) -> list[dict[str, Any]]:
    match one:
        case UserText(text=text):
            return [{"type": "text", "text": text}] if text.strip() else []
        case UserImage(media_type=media_type, data=data) if media_type in IMAGE_TYPES:
            source = {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
            return [{"type": "image", "source": source}]
        case UserImage():
            return [{"type": "text", "text": image_note(one)}]
        case _:
            return []


def _arguments(block: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    raw = block.get("input")
    return arguments_of(raw) if isinstance(raw, str) else (raw or {}, "")


def _call(block: Mapping[str, Any]) -> ToolCall:
    arguments, error = _arguments(block)
    return ToolCall(id=block["id"], name=block["name"], arguments=arguments, error=error)


def _is_welcome(block: Mapping[str, Any]) -> bool:
    """Whether the API takes this block back: it refuses blank texts and thinking that was cut before its signature."""
    if block.get("type") == "text":
        return bool((block.get("text") or "").strip())
    return block.get("type") != "thinking" or bool(block.get("signature"))


def _returned(block: dict[str, Any]) -> dict[str, Any]:
    """The block as it goes back. Only an input that is not a JSON object cannot be returned as it was."""
    if block.get("type", "").endswith("tool_use") and isinstance(block.get("input"), str):
        return {**block, "input": _arguments(block)[0] or {}}
    return block
