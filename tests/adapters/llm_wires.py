"""The smallest true events and errors of both providers, for tests that hold for either."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runner.adapters.llm_anthropic import AnthropicModel
from runner.adapters.llm_common import StreamedModel
from runner.adapters.llm_conversation import Call
from runner.adapters.llm_openai import OpenAIModel
from runner.core.work import ModelChoice
from tests.adapters.llm_traps import Clock, TrapServer

Event = Mapping[str, Any]
KEY = "test-key"


class AnthropicWire:
    provider = "anthropic"
    model = "claude-opus-5-5"
    path = "/v1/messages"
    history = "messages"
    key_name = "ANTHROPIC_API_KEY"
    base_url_name = "ANTHROPIC_BASE_URL"

    def create(self, server: TrapServer, clock: Clock, **options: Any) -> StreamedModel:
        choice = ModelChoice(provider="anthropic", model=self.model, **options)
        self.log: list[Call] = []
        return AnthropicModel(
            choice,
            api_key=KEY,
            base_url=server.url,
            sleep=clock.sleep,
            monotonic=clock.monotonic,
            on_call=self.log.append,
        )

    def start(self) -> Event:
        usage = {
            "input_tokens": 10,
            "cache_read_input_tokens": 7,
            "cache_creation_input_tokens": 3,
            "output_tokens": 1,
        }
        return {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": self.model,
                "content": [],
                "stop_reason": None,
                "usage": usage,
            },
        }

    def blocks(self, *blocks: Mapping[str, Any]) -> list[Event]:
        found: list[Event] = []
        for index, block in enumerate(blocks):
            place = {"index": index}
            found.append({"type": "content_block_start", **place, "content_block": block.get("start", block)})
            found += [
                {"type": "content_block_delta", **place, "delta": delta} for delta in block.get("deltas", ())
            ]
            found.append({"type": "content_block_stop", **place})
        return found

    def text(self, text: str) -> list[Event]:
        return self.blocks(
            {"start": {"type": "text", "text": ""}, "deltas": [{"type": "text_delta", "text": text}]}
        )

    def calls(self, *raw: str) -> list[Event]:
        return self.blocks(
            *(
                {
                    "start": {"type": "tool_use", "id": f"call_{at}", "name": "read_file", "input": {}},
                    "deltas": [
                        {"type": "input_json_delta", "partial_json": part} for part in (one[:3], one[3:])
                    ],
                }
                for at, one in enumerate(raw)
            )
        )

    def end(self, stop: str | None = "end_turn", **delta: Any) -> list[Event]:
        return [
            {
                "type": "message_delta",
                "delta": {"stop_reason": stop, **delta},
                "usage": {"output_tokens": 20},
            },
            {"type": "message_stop"},
        ]

    def whole(self, text: str = "Hello") -> list[Event]:
        return [self.start(), *self.text(text), *self.end()]

    def asking(self, *raw: str) -> list[Event]:
        return [self.start(), *self.calls(*raw), *self.end("tool_use")]

    def cut_asking(self, *raw: str) -> list[Event]:
        return [self.start(), *self.calls(*raw), *self.end("max_tokens")]

    def refusing(self) -> list[Event]:
        return [
            self.start(),
            *self.end("refusal", stop_details={"type": "refusal", "category": "cyber", "explanation": "No."}),
        ]

    def begun(self, text: str = "Hel") -> list[Event]:
        return [self.start(), *self.text(text)]

    def error_event(self, kind: str = "overloaded") -> Event:
        name = {"overloaded": "overloaded_error", "limit": "rate_limit_error"}[kind]
        return {"type": "error", "error": {"type": name, "message": "Overloaded"}}

    def error(self, kind: str, message: str = "No.", code: str | None = None) -> Mapping[str, Any]:
        details = {"details": {"error_code": code}} if code else {}
        return {"type": "error", "error": {"type": kind, "message": message, **details}}

    def spend_limit(self) -> Mapping[str, Any]:
        return self.error("rate_limit_error", "Spend limit reached.", "enforced_spend_limit_reached")

    def overflow(self) -> Mapping[str, Any]:
        return self.error("invalid_request_error", "prompt is too long: 1000001 tokens > 1000000 maximum")

    def results(self, body: Mapping[str, Any]) -> Sequence[str]:
        return [
            block["tool_use_id"]
            for block in body["messages"][-1]["content"]
            if block["type"] == "tool_result"
        ]


class OpenAIWire:
    provider = "openai"
    model = "gpt-6.2-sol"
    path = "/v1/responses"
    history = "input"
    key_name = "OPENAI_API_KEY"
    base_url_name = "OPENAI_BASE_URL"

    def create(self, server: TrapServer, clock: Clock, **options: Any) -> StreamedModel:
        choice = ModelChoice(provider="openai", model=self.model, **options)
        self.log: list[Call] = []
        return OpenAIModel(
            choice,
            api_key=KEY,
            base_url=f"{server.url}/v1",
            sleep=clock.sleep,
            monotonic=clock.monotonic,
            on_call=self.log.append,
        )

    def response(self, status: str, output: Sequence[Mapping[str, Any]] = (), **more: Any) -> dict[str, Any]:
        return {
            "id": "resp_1",
            "object": "response",
            "model": self.model,
            "status": status,
            "output": list(output),
            **more,
        }

    def usage(self) -> Mapping[str, Any]:
        return {
            "input_tokens": 20,
            "input_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 3},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 40,
        }

    def start(self) -> Event:
        return {"type": "response.created", "response": self.response("in_progress")}

    def message(self, text: str) -> dict[str, Any]:
        part = {"type": "output_text", "text": text, "annotations": []}
        return {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "phase": "final_answer",
            "content": [part],
        }

    def call(self, at: int, raw: str) -> dict[str, Any]:
        return {
            "type": "function_call",
            "id": f"fc_{at}",
            "call_id": f"call_{at}",
            "name": "read_file",
            "arguments": raw,
            "status": "completed",
        }

    def over(self, status: str, output: Sequence[Mapping[str, Any]] = (), **more: Any) -> list[Event]:
        usage = more.pop("usage", self.usage())
        return [
            self.start(),
            {"type": f"response.{status}", "response": self.response(status, output, usage=usage, **more)},
        ]

    def whole(self, text: str = "Hello") -> list[Event]:
        return self.over("completed", [self.message(text)])

    def asking(self, *raw: str) -> list[Event]:
        return self.over("completed", [self.call(at, one) for at, one in enumerate(raw)])

    def cut_asking(self, *raw: str) -> list[Event]:
        output = [self.call(at, one) for at, one in enumerate(raw)]
        return self.over("incomplete", output, incomplete_details={"reason": "max_output_tokens"})

    def refusing(self) -> list[Event]:
        item = {**self.message(""), "content": [{"type": "refusal", "refusal": "No."}]}
        return self.over("completed", [item])

    def begun(self, text: str = "Hel") -> list[Event]:
        return [self.start(), {"type": "response.output_text.delta", "output_index": 0, "delta": text}]

    def error_event(self, kind: str = "overloaded") -> Event:
        code = {"overloaded": "server_error", "limit": "rate_limit_exceeded"}[kind]
        return {"type": "error", "code": code, "message": "Overloaded", "param": None, "sequence_number": 3}

    def error(self, kind: str, message: str = "No.", code: str | None = None) -> Mapping[str, Any]:
        return {"error": {"type": kind, "message": message, "param": None, "code": code}}

    def spend_limit(self) -> Mapping[str, Any]:
        return self.error("insufficient_quota", "You exceeded your current quota.", "insufficient_quota")

    def overflow(self) -> Mapping[str, Any]:
        return self.error("invalid_request_error", "Too long.", "context_length_exceeded")

    def results(self, body: Mapping[str, Any]) -> Sequence[str]:
        return [item["call_id"] for item in body["input"] if item.get("type") == "function_call_output"]


Wire = AnthropicWire | OpenAIWire
WIRES: Sequence[Callable[[], Wire]] = (AnthropicWire, OpenAIWire)
