"""OpenAI's Responses API behind the model port.

Stateless: nothing is stored at the provider (``store: false``), reasoning comes back encrypted and is
sent again as it came. Sampling parameters and a forced tool choice are never sent.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from runner.adapters.llm_call import Reader, Reply
from runner.adapters.llm_common import IMAGE_TYPES, StreamedModel, arguments_of, image_note
from runner.adapters.llm_problems import PICTURES, StreamError, stream_problem
from runner.core.work import Brief, Input, Stop, ToolCall, ToolResult, ToolSpec, Usage, UserImage, UserText

INCOMPLETE: Mapping[str, Stop] = {"max_output_tokens": Stop.LENGTH, "content_filter": Stop.FILTERED}
PASSING = frozenset({"server_error", "rate_limit_exceeded", "vector_store_timeout"})
POLICY = frozenset({"bio_policy", "misalignment_policy_violation", "image_content_policy_violation"})


class OpenAIModel(StreamedModel):
    """A GPT model. ``base_url`` ends in ``/v1``; it is appended when missing."""

    provider: ClassVar[Literal["anthropic", "openai"]] = "openai"
    vendor = "OpenAI"
    key_name = "OPENAI_API_KEY"
    base_url_name = "OPENAI_BASE_URL"
    public_host = "api.openai.com"
    path = "/responses"
    history_field = "input"
    efforts = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})

    def connect(self) -> Any:
        """Import the SDK and build its client; retries are ours."""
        return self.module("openai").OpenAI(
            api_key=self._api_key,
            base_url=f"{self._base_url.removesuffix('/v1')}/v1" if self._base_url else None,
            max_retries=0,
        )

    def head(self, brief: Brief) -> dict[str, Any]:
        """Every field but ``input``."""
        return {
            "model": self.choice.model,
            "stream": True,
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "max_output_tokens": self.choice.max_output_tokens,
            **({"prompt_cache_key": brief.cache_key} if brief.cache_key else {}),
            **({"reasoning": {"effort": self.choice.effort}} if self.choice.effort is not None else {}),
            **({"text": {"format": _format(brief)}} if brief.schema is not None else {}),
            **({"tools": [_tool(tool) for tool in brief.tools]} if brief.tools else {}),
            **({"instructions": brief.system} if brief.system else {}),
        }

    def write(self, results: Sequence[ToolResult], others: Sequence[Input]) -> list[dict[str, Any]]:
        """One output item for each result, then one user message."""
        content = [_content(one) for one in others]
        items: list[dict[str, Any]] = [
            {"type": "function_call_output", "call_id": one.call_id, "output": one.text} for one in results
        ]
        return [*items, {"role": "user", "content": content}] if content else items

    def reader(self) -> Reader:
        """Begin to read an answer."""
        return ResponseReader()


class ResponseReader(Reader):
    """Collects the events of one response; the last event holds it whole."""

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[int, dict[str, Any]] = {}
        self._response: Mapping[str, Any] = {}

    def feed(self, event: Mapping[str, Any]) -> None:
        """Take in one event; types that we do not know change nothing."""
        match event.get("type"):
            case "response.created" | "response.in_progress":
                self.has_begun = True
                self.model = event["response"].get("model") or ""
            case "response.output_item.done":
                self._items[event["output_index"]] = event["item"]
            case "response.completed" | "response.incomplete" | "response.failed":
                self._finish(event["response"])
            case "error":
                inner = event.get("error")
                raise StreamError(stream_problem(inner if isinstance(inner, Mapping) else event))
            case _:
                delta = event.get("delta")
                self.received += len(delta) if isinstance(delta, str) else 0

    def reply(self) -> Reply:
        """Return the answer. Tools are offered for running when the response is complete only."""
        items = self._response.get("output") or [self._items[index] for index in sorted(self._items)]
        calls = [item for item in items if item.get("type") == "function_call"]
        parts = [
            part for item in items if item.get("type") == "message" for part in item.get("content") or ()
        ]
        refusals = [part.get("refusal") or "" for part in parts if part.get("type") == "refusal"]
        stop, detail = self._stop(has_calls=bool(calls), refusals=refusals)
        return Reply(
            stop=stop,
            text="".join(part.get("text") or "" for part in parts if part.get("type") == "output_text"),
            tool_calls=tuple(map(_call, calls)) if stop is Stop.TOOLS else (),
            detail=detail,
            echo=tuple(_welcome(items)),
            pending=tuple(call["call_id"] for call in calls),
        )

    def _finish(self, response: Mapping[str, Any]) -> None:
        self.has_begun = True
        self._response = response
        self.model = response.get("model") or self.model
        usage = response.get("usage")
        if usage is not None:
            self.usage = _usage(usage)
            self.has_final_usage = True
        error = response.get("error") or {}
        if response.get("status") == "failed" and error.get("code") in PASSING | PICTURES:
            raise StreamError(stream_problem(error))
        self.is_over = True

    def _stop(self, *, has_calls: bool, refusals: Sequence[str]) -> tuple[Stop, str]:
        status = self._response.get("status")
        if status == "incomplete":
            reason = (self._response.get("incomplete_details") or {}).get("reason")
            return INCOMPLETE.get(reason or "", Stop.FAILED), f"incomplete: {reason}"
        if status == "failed":
            return _failure(self._response.get("error") or {})
        if status != "completed":
            return Stop.FAILED, f"status {status!r}"
        if refusals:
            return Stop.REFUSAL, " ".join(refusals)
        return (Stop.TOOLS if has_calls else Stop.DONE), ""


def _failure(error: Mapping[str, Any]) -> tuple[Stop, str]:
    code = error.get("code") or ""
    detail = f"{code}: {error.get('message') or ''}"
    if code in POLICY:
        return Stop.REFUSAL, detail
    return (Stop.CONTEXT if code == "context_length_exceeded" else Stop.FAILED), detail


def _usage(usage: Mapping[str, Any]) -> Usage:
    """OpenAI's input count includes what was read from and written to the cache; ours are disjoint."""
    inner = usage.get("input_tokens_details") or {}
    read, written = inner.get("cached_tokens") or 0, inner.get("cache_write_tokens") or 0
    long = min(written, (inner.get("cache_write_tokens_details") or {}).get("ttl_12h_tokens") or 0)
    return Usage(
        input=max(0, (usage.get("input_tokens") or 0) - read - written),
        cache_read=read,
        cache_write_short=written - long,
        cache_write_long=long,
        output=usage.get("output_tokens") or 0,
        reasoning=(usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0,
    )


def _welcome(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the items that the API takes back.

    It refuses reasoning that it did not store and that has no encrypted form, and reasoning at the
    very end, which an answer cut while thinking leaves behind.
    """
    kept = [item for item in items if item.get("type") != "reasoning" or item.get("encrypted_content")]
    while kept and kept[-1].get("type") == "reasoning":
        kept.pop()
    return kept


def _call(item: Mapping[str, Any]) -> ToolCall:
    arguments, error = arguments_of(item.get("arguments") or "")
    return ToolCall(id=item["call_id"], name=item["name"], arguments=arguments, error=error)


def _format(brief: Brief) -> dict[str, Any]:
    return {"type": "json_schema", "name": brief.schema_name, "schema": brief.schema, "strict": True}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        **({"description": tool.description} if tool.description else {}),
        "parameters": tool.parameters,
        "strict": is_strict(tool.parameters),
    }


def is_strict(schema: Any) -> bool:
    """Whether a schema obeys the rules of strict mode: every property required, no others allowed, all the way down."""
    if isinstance(schema, Sequence) and not isinstance(schema, str):
        return all(map(is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or properties is not None:
        names = set(properties or {})
        if schema.get("additionalProperties") is not False or set(schema.get("required") or ()) != names:
            return False
    inner = [*(properties or {}).values(), schema.get("items"), schema.get("anyOf")]
    return all(map(is_strict, inner))


def _content(one: Input) -> dict[str, Any]:
    match one:
        case UserImage(media_type=media_type, data=data) if media_type in IMAGE_TYPES:
            url = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
            return {"type": "input_image", "detail": "auto", "image_url": url}
        case UserImage():
            return {"type": "input_text", "text": image_note(one)}
        case UserText(text=text) | ToolResult(text=text):
            return {"type": "input_text", "text": text}
