"""OpenAI's Responses API as the sandbox speaks it: its checks, its answers, its events."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
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
        "input",
        "instructions",
        "stream",
        "stream_options",
        "store",
        "include",
        "max_output_tokens",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_options",
        "reasoning",
        "text",
        "tools",
        "tool_choice",
        "truncation",
        "metadata",
        "safety_identifier",
        "service_tier",
    }
)
SAMPLING = ("temperature", "top_p", "top_logprobs")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
TOOL_FIELDS = frozenset({"type", "name", "description", "parameters", "strict"})
ITEM_FIELDS: Mapping[str, frozenset[str]] = {
    "message": frozenset({"type", "id", "role", "content", "status", "phase"}),
    "reasoning": frozenset({"type", "id", "summary", "content", "encrypted_content", "status"}),
    "function_call": frozenset({"type", "id", "call_id", "name", "arguments", "status"}),
    "function_call_output": frozenset({"type", "id", "call_id", "output", "status"}),
}
ROLES = frozenset({"user", "system", "developer", "assistant"})
LEAST_OUTPUT = 16


class OpenAIApi:
    """``POST /v1/responses``. Reasoning is always on and sealed, so every rewritten history is noticed."""

    name: Literal["anthropic", "openai"] = "openai"
    path = "/v1/responses"

    def __init__(self, models: frozenset[str]) -> None:
        self.models = models
        self._cache = Cache(minimum=1024)
        self._seal = Seal()

    def key(self, headers: Headers) -> str:
        """A bearer token."""
        return headers.get("Authorization", "").removeprefix("Bearer ")

    def read(self, headers: Headers, body: bytes) -> Told:
        """Check a request as strictly as the real API."""
        if not headers.get("Content-Type", "").startswith("application/json"):
            raise _refused("Unsupported content type; send application/json.")
        value = parse(body)
        self._check_fields(value)
        tools = tuple(_tool(at, tool) for at, tool in enumerate(value.get("tools", ())))
        items = _items(value["input"])
        self._check_history(value, items)
        return Told(
            request=ModelRequest(
                provider="openai",
                model=value["model"],
                system=value.get("instructions") or "",
                tools=tools,
                schema=value.get("text", {}).get("format", {}).get("schema"),
                messages=tuple(_neutral(items)),
                effort=value.get("reasoning", {}).get("effort"),
                size=len(body),
                body=value,
            ),
            units=(
                value.get("prompt_cache_key", ""),
                compact(value.get("tools", [])),
                value.get("instructions") or "",
                *map(compact, items),
            ),
            is_streamed=value.get("stream") is True,
        )

    def answer(self, told: Told, reply: ModelReply, number: int) -> tuple[Mapping[str, Any], list[str]]:
        """The response, and the events that build it."""
        request = told.request
        reasoning = f"rs_{number:08d}"
        place = self._seal.places(_items(request.body["input"]))[-1]
        sealed = self._seal.make(request.model, place, reply.thinking)
        output = [
            {
                "type": "reasoning",
                "id": reasoning,
                "summary": [{"type": "summary_text", "text": reply.thinking}] if reply.thinking else [],
                "encrypted_content": sealed,
            },
            *_message(reply, number),
            *(_use(call, number, at) for at, call in enumerate(reply.tool_calls)),
        ]
        self._seal.remember(sealed, output)
        fresh, read, written = self._cache.count(told.units, caches=True)
        thought = tokens(reply.thinking) + 8
        said = tokens(reply.text) + sum(tokens(dump(call.arguments)) + 12 for call in reply.tool_calls)
        response = {
            **_shell(told, number),
            **_ending(reply),
            "output": output,
            "usage": _usage(
                Counted(fresh=fresh, read=read, written=written, output=thought + said, reasoning=thought)
            ),
        }
        return response, _events(_shell(told, number), response)

    def failure(self, error: ApiError) -> Mapping[str, Any]:
        """An error in OpenAI's shape; the code is the type where the API has one code for it."""
        is_code = error.type not in {"invalid_request_error", "server_error"}
        return {
            "error": {
                "message": error.message,
                "type": error.type if error.status >= 429 else "invalid_request_error",
                "param": error.param,
                "code": error.type if is_code else None,
            }
        }

    def _check_fields(self, value: Mapping[str, Any]) -> None:
        for name in ("model", "input"):
            if name not in value:
                raise ApiError(
                    400, "missing_required_parameter", f"Missing required parameter: '{name}'.", param=name
                )
        if value["model"] not in self.models:
            raise ApiError(
                404,
                "model_not_found",
                f"The model `{value['model']}` does not exist or you do not have access to it.",
            )
        for name in SAMPLING:
            if name in value:
                raise ApiError(
                    400,
                    "unsupported_parameter",
                    f"Unsupported parameter: '{name}' is not supported with this model.",
                    param=name,
                )
        for name in sorted(set(value) - FIELDS):
            raise ApiError(400, "unknown_parameter", f"Unknown parameter: '{name}'.", param=name)
        limit = value.get("max_output_tokens", LEAST_OUTPUT)
        if not isinstance(limit, int) or limit < LEAST_OUTPUT:
            raise _refused(f"Invalid 'max_output_tokens': expected a value >= {LEAST_OUTPUT}.")
        if value.get("reasoning", {}).get("effort", "low") not in EFFORTS:
            raise ApiError(400, "unsupported_value", "Unsupported value: 'reasoning.effort'.")
        if value.get("tool_choice", "auto") not in ("auto", "none"):
            raise ApiError(400, "unsupported_value", "This model takes tool_choice 'auto' or 'none' only.")
        _check_format(value.get("text", {}).get("format"))

    def _check_history(self, value: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> None:
        if not items:
            raise _refused("Invalid 'input': expected at least one item.")
        for at, item in enumerate(items):
            _check_item(at, item)
        _check_calls(items)
        places = self._seal.places(items)
        for at, item in enumerate(items):
            if item.get("type") == "reasoning":
                self._check_reasoning(value["model"], items, at, places[at])

    def _check_reasoning(self, model: str, items: Sequence[Mapping[str, Any]], at: int, place: str) -> None:
        item = items[at]
        sealed = item.get("encrypted_content")
        if not sealed:
            raise ApiError(
                404,
                "item_not_found",
                f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false.",
            )
        answer = list(itertools.takewhile(_is_answer, items[at:]))
        if len(answer) < 2:
            raise _refused(
                f"Item '{item.get('id')}' of type 'reasoning' was provided without its required following item."
            )
        thinking = "".join(part["text"] for part in item.get("summary", ()))
        is_in_place = sealed == self._seal.make(model, place, thinking)
        if not is_in_place or not self._seal.is_as_served(sealed, answer):
            raise ApiError(
                400,
                "invalid_encrypted_content",
                f"The encrypted content of item {item.get('id')} could not be verified: the history is not the one it was made in.",
            )


def _refused(message: str) -> ApiError:
    return ApiError(400, "invalid_request_error", message)


def _items(given: object) -> list[dict[str, Any]]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or any(not isinstance(item, dict) for item in given):
        raise _refused("Invalid type for 'input': expected a string or an array of items.")
    return given


def _is_answer(item: Mapping[str, Any]) -> bool:
    return item.get("type") in {"reasoning", "function_call"} or item.get("role") == "assistant"


def _check_item(at: int, item: Mapping[str, Any]) -> None:
    kind = item.get("type", "message")
    if kind not in ITEM_FIELDS:
        raise _refused(f"Invalid value: '{kind}' for 'input[{at}].type'.")
    for name in sorted(set(item) - ITEM_FIELDS[kind]):
        raise ApiError(400, "unknown_parameter", f"Unknown parameter: 'input[{at}].{name}'.")
    if kind == "message" and item.get("role") not in ROLES:
        raise _refused(f"Invalid value for 'input[{at}].role'.")
    if kind == "function_call" and not isinstance(item.get("arguments"), str):
        raise _refused(f"Invalid type for 'input[{at}].arguments': expected a string.")
    if kind == "message" and isinstance(item["content"], list):
        own = {"output_text", "refusal"} if item["role"] == "assistant" else {"input_text", "input_image"}
        for where, part in enumerate(item["content"]):
            if part.get("type") not in own:
                raise _refused(
                    f"Invalid value: '{part.get('type')}' for 'input[{at}].content[{where}].type'."
                )


def _check_calls(items: Sequence[Mapping[str, Any]]) -> None:
    open_calls: list[str] = []
    for item in items:
        if item.get("type") == "function_call":
            open_calls.append(item["call_id"])
        elif item.get("type") == "function_call_output":
            if item["call_id"] not in open_calls:
                raise _refused(f"No tool call found for function call output with call_id {item['call_id']}.")
            open_calls.remove(item["call_id"])
        elif item.get("role") == "user" and open_calls:
            break
    if open_calls:
        raise _refused(f"No tool output found for function call {open_calls[0]}.")


def _check_format(form: Mapping[str, Any] | None) -> None:
    if form is None or form.get("type") == "text":
        return
    for name in sorted(set(form) - {"type", "name", "schema", "strict", "description"}):
        raise ApiError(400, "unknown_parameter", f"Unknown parameter: 'text.format.{name}'.")
    if form.get("type") != "json_schema" or not NAME.match(form.get("name", "")):
        raise _refused(
            "Invalid 'text.format': a json_schema with a name of letters, digits, _ and - is required."
        )
    place = loose_place(form["schema"]) if form.get("strict") else None
    if place is not None:
        raise ApiError(
            400,
            "invalid_json_schema",
            f"Invalid schema for response_format '{form['name']}': In context={place}.",
        )


def _tool(at: int, tool: Mapping[str, Any]) -> ToolSpec:
    for name in sorted(set(tool) - TOOL_FIELDS):
        raise ApiError(400, "unknown_parameter", f"Unknown parameter: 'tools[{at}].{name}'.")
    for name in ("type", "name", "parameters", "strict"):
        if name not in tool:
            raise ApiError(
                400, "missing_required_parameter", f"Missing required parameter: 'tools[{at}].{name}'."
            )
    if not NAME.match(tool["name"]):
        raise _refused(f"Invalid 'tools[{at}].name': expected a string that matches '{NAME.pattern}'.")
    place = loose_place(tool["parameters"]) if tool["strict"] else None
    if place is not None:
        raise ApiError(
            400,
            "invalid_function_parameters",
            f"Invalid schema for function '{tool['name']}': In context={place}.",
        )
    return ToolSpec(name=tool["name"], description=tool.get("description", ""), parameters=tool["parameters"])


def _neutral(items: Sequence[Mapping[str, Any]]) -> Iterator[Message]:
    for is_answer, group in itertools.groupby(items, _is_answer):
        if is_answer:
            yield _said(list(group))
        else:
            yield from map(_heard, group)


def _said(items: Sequence[Mapping[str, Any]]) -> Message:
    calls = [item for item in items if item.get("type") == "function_call"]
    return Message(
        role="assistant",
        text="".join(_text(item) for item in items if item.get("role") == "assistant"),
        tool_calls=tuple(map(_asked, calls)),
    )


def _asked(call: Mapping[str, Any]) -> ToolUse:
    raw = call["arguments"]
    arguments = object_or_empty(raw) if raw.strip() in {"", "{}"} else object_or_empty(raw) or raw
    return ToolUse(id=call["call_id"], name=call["name"], arguments=arguments)


def _heard(item: Mapping[str, Any]) -> Message:
    if item.get("type") == "function_call_output":
        return Message(role="tool", text=_text({"content": item["output"]}), call_id=item["call_id"])
    content = item["content"] if isinstance(item["content"], list) else ()
    return Message(
        role="user",
        text=_text(item),
        images=sum(part.get("type") == "input_image" for part in content),
    )


def _text(item: Mapping[str, Any]) -> str:
    content = item["content"]
    if isinstance(content, str):
        return content
    return "\n\n".join(part["text"] for part in content if "text" in part)


def _message(reply: ModelReply, number: int) -> list[dict[str, Any]]:
    if reply.stop == "refusal":
        content = [{"type": "refusal", "refusal": reply.text or "I cannot help with this."}]
    elif reply.text or not reply.tool_calls:
        content = [{"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}]  # type: ignore[dict-item]
    else:
        return []
    return [
        {
            "type": "message",
            "id": f"msg_{number:08d}",
            "role": "assistant",
            "status": "completed",
            "phase": "commentary" if reply.tool_calls else "final_answer",
            "content": content,
        }
    ]


def _use(call: ToolUse, number: int, at: int) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{number:08d}{at:02d}",
        "call_id": call.id or f"call_{number:08d}{at:02d}",
        "name": call.name,
        "arguments": call.arguments if isinstance(call.arguments, str) else dump(dict(call.arguments)),
        "status": "completed",
    }


def _shell(told: Told, number: int) -> dict[str, Any]:
    body = told.request.body
    return {
        "id": f"resp_{number:08d}",
        "object": "response",
        "created_at": 1_790_000_000 + number,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": told.request.model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "store": body.get("store", True),
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None,
    }


def _ending(reply: ModelReply) -> dict[str, Any]:
    match reply.stop:
        case "length":
            return {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        case "filter":
            return {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
        case "pause" | "failed":
            return {"status": "failed", "error": {"code": "invalid_prompt", "message": "The script failed."}}
        case "context":
            error = {"code": "context_length_exceeded", "message": "The context window is full."}
            return {"status": "failed", "error": error}
        case "auto" | "refusal":
            return {"status": "completed"}


def _usage(counted: Counted) -> dict[str, Any]:
    prompt = counted.fresh + counted.read + counted.written
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": counted.read,
            "cache_write_tokens": counted.written,
            "cache_write_tokens_details": {"ttl_30m_tokens": counted.written, "ttl_12h_tokens": 0},
        },
        "output_tokens": counted.output,
        "output_tokens_details": {"reasoning_tokens": counted.reasoning},
        "total_tokens": prompt + counted.output,
    }


def _events(shell: Mapping[str, Any], response: Mapping[str, Any]) -> list[str]:
    steps: list[dict[str, Any]] = [
        {"type": "response.created", "response": shell},
        {"type": "response.in_progress", "response": shell},
    ]
    for index, item in enumerate(response["output"]):
        steps += _item_events(index, item)
    steps.append({"type": f"response.{response['status']}", "response": response})
    return [
        f"event: {step['type']}\ndata: {dump({**step, 'sequence_number': number})}\n\n"
        for number, step in enumerate(steps)
    ]


def _item_events(index: int, item: Mapping[str, Any]) -> list[dict[str, Any]]:
    place = {"output_index": index, "item_id": item["id"]}
    match item["type"]:
        case "message":
            begun = {**item, "content": [], "status": "in_progress"}
            inner = _part_events({**place, "content_index": 0}, item["content"][0])
        case "function_call":
            begun = {**item, "arguments": "", "status": "in_progress"}
            base = "response.function_call_arguments"
            inner = [{"type": f"{base}.delta", **place, "delta": one} for one in pieces(item["arguments"])]
            inner.append(
                {"type": f"{base}.done", **place, "name": item["name"], "arguments": item["arguments"]}
            )
        case _:
            begun, inner = {**item, "summary": [], "encrypted_content": ""}, []
    return [
        {"type": "response.output_item.added", "output_index": index, "item": begun},
        *inner,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _part_events(place: Mapping[str, Any], part: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = "refusal" if part["type"] == "refusal" else "text"
    base = "response.refusal" if name == "refusal" else "response.output_text"
    extra: dict[str, Any] = {} if name == "refusal" else {"logprobs": []}
    deltas = [{"type": f"{base}.delta", **place, "delta": one, **extra} for one in pieces(part[name])]
    return [
        {"type": "response.content_part.added", **place, "part": {**part, name: ""}},
        *deltas,
        {"type": f"{base}.done", **place, name: part[name], **extra},
        {"type": "response.content_part.done", **place, "part": part},
    ]
