"""What is particular to OpenAI's Responses API."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from runner.adapters.llm_conversation import StreamedConversation
from runner.adapters.llm_openai import is_strict
from runner.core.work import Brief, Stop, ToolResult, ToolSpec, Usage, UserImage, UserText
from runner.errors import Unavailable
from tests.adapters.llm_traps import Clock, TrapServer, stream
from tests.adapters.llm_wires import OpenAIWire

STRICT = {
    "type": "object",
    "properties": {"path": {"type": "string"}},
    "required": ["path"],
    "additionalProperties": False,
}
LOOSE = {"type": "object", "properties": {"path": {"type": "string"}}}
BRIEF = Brief(
    system="Be brief.",
    tools=[ToolSpec(name="look", description="Look.", parameters=STRICT)],
    cache_key="run-1",
)
GO = [UserText(text="go")]


@pytest.fixture
def wire() -> OpenAIWire:
    return OpenAIWire()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[TrapServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with TrapServer().running() as one:
        yield one


def opened(
    wire: OpenAIWire, server: TrapServer, brief: Brief = BRIEF, **options: Any
) -> StreamedConversation:
    return wire.create(server, Clock(), **options).open(brief)


def test_nothing_is_stored_at_the_provider(wire: OpenAIWire, server: TrapServer) -> None:
    """Requests are stateless, and ask for reasoning in its encrypted form."""
    server.acts = [stream(wire.whole())]

    opened(wire, server).send(GO, deadline=2_000)

    (sent,) = server.sent
    assert (sent["store"], sent["include"]) == (False, ["reasoning.encrypted_content"])


def test_the_cache_key_is_the_runs(wire: OpenAIWire, server: TrapServer) -> None:
    """One key for all requests of a run keeps them on one cache."""
    server.acts = [stream(wire.whole())]

    opened(wire, server).send(GO, deadline=2_000)

    assert server.sent[0]["prompt_cache_key"] == "run-1"


def test_history_goes_back_as_it_came(wire: OpenAIWire, server: TrapServer) -> None:
    """Encrypted reasoning, phases, unknown fields and unknown items are echoed verbatim."""
    output: list[dict[str, Any]] = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "opaque"},
        {**wire.message("I look."), "phase": "commentary", "novel": [1, None]},
        {"type": "from_the_future", "payload": {"deep": True}},
        wire.call(0, '{"path":  "a"}'),
    ]
    server.acts = [stream(wire.over("completed", output)), stream(wire.whole())]
    conversation = opened(wire, server)

    conversation.send(GO, deadline=2_000)
    conversation.send([ToolResult(call_id="call_0", text="ok")], deadline=2_000)

    assert server.sent[1]["input"][1:5] == output


def test_items_are_taken_from_the_stream_when_the_end_has_none(wire: OpenAIWire, server: TrapServer) -> None:
    """An end event without output is completed by the items that were reported done before it."""
    done = {"type": "response.output_item.done", "output_index": 0, "item": wire.message("Hi")}
    start, end = wire.over("completed", [])
    server.acts = [stream([start, done, end])]

    assert opened(wire, server).send(GO, deadline=2_000).text == "Hi"


def test_results_are_items_before_the_users_message(wire: OpenAIWire, server: TrapServer) -> None:
    """Each call gets its output item; texts follow in one message."""
    server.acts = [stream(wire.asking('{"path": "a"}')), stream(wire.whole())]
    conversation = opened(wire, server)
    conversation.send(GO, deadline=2_000)

    conversation.send([UserText(text="hurry"), ToolResult(call_id="call_0", text="ok")], deadline=2_000)

    assert server.sent[1]["input"][2:] == [
        {"type": "function_call_output", "call_id": "call_0", "output": "ok"},
        {"role": "user", "content": [{"type": "input_text", "text": "hurry"}]},
    ]


def test_effort_is_a_field_of_reasoning(wire: OpenAIWire, server: TrapServer) -> None:
    """How hard to think is ``reasoning.effort``; without a choice nothing is said."""
    server.acts = [stream(wire.whole()), stream(wire.whole())]

    opened(wire, server, effort="xhigh").send(GO, deadline=2_000)
    opened(wire, server).send(GO, deadline=2_000)

    assert [body.get("reasoning") for body in server.sent] == [{"effort": "xhigh"}, None]


def test_a_schema_is_sent_as_a_strict_text_format(wire: OpenAIWire, server: TrapServer) -> None:
    """A structured answer is asked for by a named strict schema, without tools."""
    server.acts = [stream(wire.whole("{}"))]

    opened(wire, server, Brief(system="", schema=STRICT, schema_name="plan")).send(GO, deadline=2_000)

    (sent,) = server.sent
    assert sent["text"] == {
        "format": {"type": "json_schema", "name": "plan", "schema": STRICT, "strict": True}
    }
    assert not {"tools", "instructions", "prompt_cache_key"} & set(sent)


@pytest.mark.parametrize(("schema", "strict"), [(STRICT, True), (LOOSE, False)])
def test_a_tool_is_strict_when_its_schema_can_be(
    wire: OpenAIWire, server: TrapServer, schema: dict[str, Any], strict: bool
) -> None:
    """Strict mode guards arguments where the schema obeys its rules, and is not claimed where it does not."""
    server.acts = [stream(wire.whole())]
    tool = ToolSpec(name="look", description="Look.", parameters=schema)

    opened(wire, server, Brief(system="", tools=[tool])).send(GO, deadline=2_000)

    assert server.sent[0]["tools"] == [
        {"type": "function", "name": "look", "description": "Look.", "parameters": schema, "strict": strict}
    ]


@pytest.mark.parametrize(
    "inner",
    [
        {"type": "array", "items": LOOSE},
        {"anyOf": [LOOSE, {"type": "null"}]},
        LOOSE,
        {**STRICT, "required": []},
    ],
)
def test_strictness_is_judged_all_the_way_down(inner: dict[str, Any]) -> None:
    """One loose object anywhere makes the whole schema loose."""
    schema = {
        "type": "object",
        "properties": {"inner": inner},
        "required": ["inner"],
        "additionalProperties": False,
    }

    assert is_strict(schema) is False


def test_a_tool_whose_name_says_it_all_has_no_description(wire: OpenAIWire, server: TrapServer) -> None:
    """An empty description is not sent."""
    server.acts = [stream(wire.whole())]

    opened(
        wire, server, Brief(system="", tools=[ToolSpec(name="look", description="", parameters=STRICT)])
    ).send(GO, deadline=2_000)

    assert "description" not in server.sent[0]["tools"][0]


def test_pictures_are_sent_as_data_urls(wire: OpenAIWire, server: TrapServer) -> None:
    """A picture is a part of the user's message."""
    server.acts = [stream(wire.whole())]

    opened(wire, server).send([UserImage(media_type="image/png", data=b"\x89PNG")], deadline=2_000)

    url = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
    part = {"type": "input_image", "detail": "auto", "image_url": url}
    assert server.sent[0]["input"] == [{"role": "user", "content": [part]}]


def test_usage_is_counted_in_disjoint_kinds(wire: OpenAIWire, server: TrapServer) -> None:
    """OpenAI's input includes the cache's: it is taken out, and writes are told apart by how long they last."""
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {
            "cached_tokens": 60,
            "cache_write_tokens": 30,
            "cache_write_tokens_details": {"ttl_30m_tokens": 20, "ttl_12h_tokens": 10},
        },
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 40},
    }
    server.acts = [stream(wire.over("completed", [wire.message("x")], usage=usage))]

    turn = opened(wire, server).send(GO, deadline=2_000)

    assert turn.usage == Usage(
        input=10, cache_read=60, cache_write_short=20, cache_write_long=10, output=50, reasoning=40
    )


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("max_output_tokens", Stop.LENGTH),
        ("content_filter", Stop.FILTERED),
        ("max_messages", Stop.FAILED),
        (None, Stop.FAILED),
    ],
)
def test_incomplete_responses(wire: OpenAIWire, server: TrapServer, reason: str | None, stop: Stop) -> None:
    """Incomplete is never success: each reason has its stop, an unknown one is a failure; usage is kept."""
    end = wire.over("incomplete", [wire.message("x")], incomplete_details={"reason": reason})
    server.acts = [stream(end)]

    turn = opened(wire, server).send(GO, deadline=2_000)

    assert (turn.stop, turn.usage.output) == (stop, 20)


@pytest.mark.parametrize(
    ("code", "stop"),
    [
        ("invalid_prompt", Stop.FAILED),
        ("misalignment_policy_violation", Stop.REFUSAL),
        ("bio_policy", Stop.REFUSAL),
        ("context_length_exceeded", Stop.CONTEXT),
        ("unheard_of", Stop.FAILED),
    ],
)
def test_failed_responses(wire: OpenAIWire, server: TrapServer, code: str, stop: Stop) -> None:
    """A failure that comes with status 200 is typed by its code; usage is kept."""
    server.acts = [stream(wire.over("failed", error={"code": code, "message": "No."}))]

    turn = opened(wire, server).send(GO, deadline=2_000)

    assert (turn.stop, turn.usage.output) == (stop, 20)
    assert code in turn.detail


@pytest.mark.parametrize("code", ["server_error", "rate_limit_exceeded"])
def test_a_failure_that_may_pass_is_asked_again(wire: OpenAIWire, server: TrapServer, code: str) -> None:
    """A failed response with a passing cause is retried, and what it cost is counted."""
    server.acts = [stream(wire.over("failed", error={"code": code, "message": "No."})), stream(wire.whole())]

    turn = opened(wire, server).send(GO, deadline=2_000)

    assert (turn.text, turn.usage.output) == ("Hello", 40)


def test_failing_every_time_is_unavailable_with_usage(wire: OpenAIWire, server: TrapServer) -> None:
    """When the cause does not pass, the provider is Unavailable; usage stays on the conversation."""
    failed = wire.over("failed", error={"code": "server_error", "message": "No."})
    server.acts = [stream(failed) for _ in range(3)]
    conversation = opened(wire, server)

    with pytest.raises(Unavailable):
        conversation.send(GO, deadline=2_000)

    assert conversation.usage.output == 60


@pytest.mark.parametrize("status", ["cancelled", "queued", None])
def test_an_unknown_status_is_a_failure(wire: OpenAIWire, server: TrapServer, status: str | None) -> None:
    """Only ``completed`` is success, whatever the event is called."""
    start, end = wire.over("completed", [wire.message("x")])
    end["response"]["status"] = status
    server.acts = [stream([start, end])]

    assert opened(wire, server).send(GO, deadline=2_000).stop is Stop.FAILED


def test_reasoning_that_cannot_go_back_is_left_out(wire: OpenAIWire, server: TrapServer) -> None:
    """Reasoning without its encrypted form, or cut at the very end, would be refused by the API."""
    output = [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        wire.message("So far."),
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "opaque"},
    ]
    server.acts = [
        stream(wire.over("incomplete", output, incomplete_details={"reason": "max_output_tokens"})),
        stream(wire.whole()),
    ]
    conversation = opened(wire, server)

    conversation.send(GO, deadline=2_000)
    conversation.send(GO, deadline=2_000)

    assert [item.get("type") for item in server.sent[1]["input"]] == [None, "message", None]


def test_an_error_event_with_an_inner_object_is_understood(wire: OpenAIWire, server: TrapServer) -> None:
    """Gateways wrap the error once more."""
    wrapped = {"type": "error", "error": {"code": "server_error", "message": "No."}}
    server.acts = [stream([wire.start(), wrapped]), stream(wire.whole())]

    assert opened(wire, server).send(GO, deadline=2_000).text == "Hello"
