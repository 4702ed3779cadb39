"""What is particular to Anthropic's Messages API."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from runner.adapters.llm_conversation import StreamedConversation
from runner.core.work import Brief, Stop, ToolResult, ToolSpec, Usage, UserImage, UserText
from tests.adapters.llm_traps import Clock, TrapServer, stream
from tests.adapters.llm_wires import AnthropicWire

TOOL = ToolSpec(name="look", description="Look.", parameters={"type": "object", "properties": {}})
BRIEF = Brief(system="Be brief.", tools=[TOOL])
GO = [UserText(text="go")]


@pytest.fixture
def wire() -> AnthropicWire:
    return AnthropicWire()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[TrapServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with TrapServer().running() as one:
        yield one


def opened(
    wire: AnthropicWire, server: TrapServer, brief: Brief = BRIEF, **options: Any
) -> StreamedConversation:
    return wire.create(server, Clock(), **options).open(brief)


def test_history_goes_back_as_it_came(wire: AnthropicWire, server: TrapServer) -> None:
    """Signatures, redacted thoughts, unknown fields and unknown blocks are echoed verbatim."""
    thought = {
        "start": {"type": "thinking", "thinking": "", "signature": ""},
        "deltas": [
            {"type": "thinking_delta", "thinking": "hm"},
            {"type": "signature_delta", "signature": "s1"},
        ],
    }
    redacted = {"type": "redacted_thinking", "data": "opaque"}
    novel = {"type": "from_the_future", "payload": {"deep": [1, None]}}
    call = {
        "start": {
            "type": "tool_use",
            "id": "call_0",
            "name": "look",
            "input": {},
            "caller": {"type": "direct"},
        },
        "deltas": [{"type": "input_json_delta", "partial_json": ""}],
    }
    server.acts = [
        stream([wire.start(), *wire.blocks(thought, redacted, novel, call), *wire.end("tool_use")]),
        stream(wire.whole()),
    ]
    conversation = opened(wire, server)

    conversation.send(GO, deadline=2_000)
    conversation.send([ToolResult(call_id="call_0", text="ok")], deadline=2_000)

    assert server.sent[1]["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "s1"},
        redacted,
        novel,
        call["start"],
    ]


def test_results_come_first_in_one_message(wire: AnthropicWire, server: TrapServer) -> None:
    """The API wants every result in the next message, before any text; errors are marked."""
    server.acts = [stream(wire.asking("{}", "{}")), stream(wire.whole())]
    conversation = opened(wire, server)
    conversation.send(GO, deadline=2_000)

    results = [ToolResult(call_id="call_0", text=""), ToolResult(call_id="call_1", text="no", is_error=True)]
    conversation.send([UserText(text="hurry"), *results], deadline=2_000)

    assert server.sent[1]["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "call_0"},
        {"type": "tool_result", "tool_use_id": "call_1", "content": "no", "is_error": True},
        {"type": "text", "text": "hurry"},
    ]


def test_cache_marks_stand_at_the_prefix_and_at_the_end(wire: AnthropicWire, server: TrapServer) -> None:
    """Instructions carry one mark, the request another that follows the end of the history."""
    server.acts = [stream(wire.whole())]

    opened(wire, server).send(GO, deadline=2_000)

    (sent,) = server.sent
    assert (sent["cache_control"], sent["system"][0]["cache_control"]) == ({"type": "ephemeral"},) * 2


def test_effort_is_a_field_of_the_output(wire: AnthropicWire, server: TrapServer) -> None:
    """How hard to think is ``output_config.effort``; without a choice nothing is said."""
    server.acts = [stream(wire.whole()), stream(wire.whole())]

    opened(wire, server, effort="xhigh").send(GO, deadline=2_000)
    opened(wire, server).send(GO, deadline=2_000)

    assert [body.get("output_config") for body in server.sent] == [{"effort": "xhigh"}, None]


def test_a_schema_is_sent_as_the_output_format(wire: AnthropicWire, server: TrapServer) -> None:
    """A structured answer is asked for by schema, without tools."""
    server.acts = [stream(wire.whole("{}"))]
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}

    opened(wire, server, Brief(system="", schema=schema)).send(GO, deadline=2_000)

    (sent,) = server.sent
    assert sent["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert not {"tools", "system"} & set(sent)


def test_what_may_be_null_is_optional_in_a_tool(wire: AnthropicWire, server: TrapServer) -> None:
    """Without a strict mode a schema is said shorter, inside lists too; what must be given stays required."""
    server.acts = [stream(wire.whole())]
    inner = {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": ["integer", "null"], "description": "How many."},
        },
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {"many": {"type": "array", "items": inner}},
        "required": ["many"],
        "additionalProperties": False,
    }
    tool = ToolSpec(name="look", description="", parameters=schema)

    opened(wire, server, Brief(system="", tools=[tool])).send(GO, deadline=2_000)

    shorter = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer", "description": "How many."}},
        "required": ["a"],
    }
    sent = {
        "type": "object",
        "properties": {"many": {"type": "array", "items": shorter}},
        "required": ["many"],
    }
    assert server.sent[0]["tools"] == [{"name": "look", "input_schema": sent}]


def test_the_output_limit_is_sent(wire: AnthropicWire, server: TrapServer) -> None:
    """``max_tokens`` is the choice's, thoughts included."""
    server.acts = [stream(wire.whole())]

    opened(wire, server, max_output_tokens=64_000).send(GO, deadline=2_000)

    assert server.sent[0]["max_tokens"] == 64_000


def test_pictures_are_sent_as_base64(wire: AnthropicWire, server: TrapServer) -> None:
    """A picture is a block of its own with its media type."""
    server.acts = [stream(wire.whole())]

    opened(wire, server).send([UserImage(media_type="image/png", data=b"\x89PNG")], deadline=2_000)

    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(b"\x89PNG").decode()}
    assert server.sent[0]["messages"][0]["content"] == [{"type": "image", "source": source}]


def test_usage_is_counted_in_disjoint_kinds(wire: AnthropicWire, server: TrapServer) -> None:
    """The last counts win; cache writes are told apart by how long they last; output includes thoughts."""
    start = wire.start()
    start["message"]["usage"].update(
        {
            "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
        }
    )
    end = wire.end()
    end[0]["usage"].update({"input_tokens": 11, "output_tokens_details": {"thinking_tokens": 5}})
    server.acts = [stream([start, *wire.text("x"), *end])]

    turn = opened(wire, server).send(GO, deadline=2_000)

    assert turn.usage == Usage(
        input=11, cache_read=7, cache_write_short=20, cache_write_long=10, output=20, reasoning=5
    )


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("end_turn", Stop.DONE),
        ("stop_sequence", Stop.DONE),
        ("max_tokens", Stop.LENGTH),
        ("pause_turn", Stop.PAUSE),
        ("refusal", Stop.REFUSAL),
        ("model_context_window_exceeded", Stop.CONTEXT),
        ("tool_use", Stop.FAILED),
        ("unheard_of", Stop.FAILED),
        (None, Stop.FAILED),
    ],
)
def test_stop_reasons(wire: AnthropicWire, server: TrapServer, reason: str | None, stop: Stop) -> None:
    """Each known reason has its stop; an unknown or missing one, and tool use without a tool, is a failure."""
    server.acts = [stream([wire.start(), *wire.text("x"), *wire.end(reason)])]

    assert opened(wire, server).send(GO, deadline=2_000).stop is stop


def test_calls_without_the_reason_are_not_offered(wire: AnthropicWire, server: TrapServer) -> None:
    """Tools are run on ``tool_use`` only."""
    server.acts = [stream([wire.start(), *wire.calls("{}"), *wire.end("end_turn")])]

    turn = opened(wire, server).send(GO, deadline=2_000)

    assert (turn.stop, turn.tool_calls) == (Stop.DONE, ())


def test_a_failed_turn_is_not_kept(wire: AnthropicWire, server: TrapServer) -> None:
    """After an unknown stop the conversation is as it was."""
    server.acts = [stream([wire.start(), *wire.text("x"), *wire.end(None)]), stream(wire.whole())]
    conversation = opened(wire, server)

    conversation.send(GO, deadline=2_000)
    conversation.send(GO, deadline=2_000)

    assert server.bodies[0] == server.bodies[1]


def test_a_paused_turn_is_sent_again_as_it_is(wire: AnthropicWire, server: TrapServer) -> None:
    """``pause_turn`` is continued by sending the history with the pause at its end, and nothing new."""
    server.acts = [
        stream([wire.start(), *wire.text("so far"), *wire.end("pause_turn")]),
        stream(wire.whole()),
    ]
    conversation = opened(wire, server)

    conversation.send(GO, deadline=2_000)
    conversation.send([], deadline=2_000)

    last = server.sent[1]["messages"][-1]
    assert last == {"role": "assistant", "content": [{"type": "text", "text": "so far"}]}


def test_what_the_api_would_refuse_is_not_sent_back(wire: AnthropicWire, server: TrapServer) -> None:
    """Blank texts, and a thought cut before its signature, are left out of the history."""
    cut = {"start": {"type": "thinking", "thinking": "", "signature": ""}, "deltas": []}
    blank = {"type": "text", "text": " \n"}
    server.acts = [
        stream([wire.start(), *wire.blocks(blank, cut), *wire.end("max_tokens")]),
        stream(wire.whole()),
    ]
    conversation = opened(wire, server)

    conversation.send(GO, deadline=2_000)
    conversation.send([UserText(text="shorter")], deadline=2_000)

    assert [message["role"] for message in server.sent[1]["messages"]] == ["user", "user"]


def test_nothing_is_traced(wire: AnthropicWire, server: TrapServer) -> None:
    """The SDK's own telemetry is off, whatever the process has set up."""
    assert wire.create(server, Clock()).client()._tracer is None


def test_citations_are_collected(wire: AnthropicWire, server: TrapServer) -> None:
    """Citations go back with the text that they belong to."""
    block = {
        "start": {"type": "text", "text": "", "citations": None},
        "deltas": [{"type": "text_delta", "text": "x"}, {"type": "citations_delta", "citation": {"n": 1}}],
    }
    server.acts = [stream([wire.start(), *wire.blocks(block), *wire.end()]), stream(wire.whole())]
    conversation = opened(wire, server)

    conversation.send(GO, deadline=2_000)
    conversation.send(GO, deadline=2_000)

    content = server.sent[1]["messages"][1]["content"]
    assert content == [{"type": "text", "text": "x", "citations": [{"n": 1}]}]
