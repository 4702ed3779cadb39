"""The scripted models: true streams for both SDKs, and as strict as the real APIs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import anthropic
import openai
import pytest
import requests

from runner.adapters.llm_common import create_model
from runner.core.work import (
    Brief,
    Input,
    ModelChoice,
    Stop,
    ToolResult,
    ToolSpec,
    Turn,
    Usage,
    UserImage,
    UserText,
)
from runner.errors import ConfigError, Unauthorized, Unavailable
from runner.ports import Conversation
from runner.sandbox.models import (
    SANDBOX_KEY,
    Message,
    ModelFault,
    ModelReply,
    QueueBrain,
    ScriptedModels,
    ToolUse,
)

READ = ToolSpec(
    name="read_file",
    description="Read a file.",
    parameters={
        "type": "object",
        "properties": {"path": {"type": "string"}},
        "required": ["path"],
        "additionalProperties": False,
    },
)
MODELS = {"anthropic": "claude-opus-5-5", "openai": "gpt-6.2-sol"}
ASKING = ModelReply(
    text="I look.",
    thinking="Which file?",
    tool_calls=(
        ToolUse(name="read_file", arguments={"path": "a"}),
        ToolUse(name="read_file", arguments={"path": "b"}),
    ),
)


@pytest.fixture
def brain() -> QueueBrain:
    return QueueBrain()


@pytest.fixture
def service(brain: QueueBrain, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedModels]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    one = ScriptedModels(brain)
    one.start()
    yield one
    one.stop()


@pytest.fixture(params=["anthropic", "openai"])
def provider(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def opened(
    service: ScriptedModels, provider: str, *, key: str = SANDBOX_KEY, model: str | None = None, **brief: Any
) -> Conversation:
    choice = ModelChoice(provider=provider, model=model or MODELS[provider], effort="high")  # type: ignore[arg-type]
    url = service.anthropic_url if provider == "anthropic" else service.openai_url
    return create_model(choice, api_key=key, base_url=url).open(Brief(**{"system": "Be brief.", **brief}))


def send(conversation: Conversation, *inputs: Input) -> Turn:
    return conversation.send(inputs or (UserText(text="go"),), deadline=time.monotonic() + 60)


def results(turn: Turn) -> list[Input]:
    return [ToolResult(call_id=call.id, text=f"content of {call.id}") for call in turn.tool_calls]


def test_a_talk_with_tools_passes_every_check(
    service: ScriptedModels, brain: QueueBrain, provider: str
) -> None:
    """Our adapters speak as the strict server wants, over turns with parallel calls, cuts and texts."""
    brain.add(
        ASKING, ModelReply(tool_calls=(ToolUse(name="read_file", arguments='{"path": "c'),), stop="length")
    )
    brain.add(ASKING, ModelReply(text="Done."))
    conversation = opened(service, provider, tools=[READ], cache_key="run-1")

    turn = send(conversation)
    send(conversation, *results(turn))
    again = send(conversation, UserText(text="Smaller steps."))
    last = send(conversation, *results(again), UserText(text="Hurry."))

    assert (turn.stop, last.stop, last.text, service.refusals) == (Stop.TOOLS, Stop.DONE, "Done.", [])
    assert [call.arguments for call in turn.tool_calls] == [{"path": "a"}, {"path": "b"}]


def test_a_brain_sees_the_same_request_from_both_providers(
    brain: QueueBrain, service: ScriptedModels
) -> None:
    """System text, tools, effort and messages are neutral, in order."""
    seen = []
    for name in MODELS:
        brain.add(ASKING, ModelReply(text="Done."))
        conversation = opened(service, name, tools=[READ])
        turn = send(conversation, UserText(text="go"), UserImage(media_type="image/png", data=b"1"))
        send(conversation, *results(turn))
        request = service.requests[-1]
        steps = [(one.role, one.text[:10], len(one.tool_calls), one.images) for one in request.messages]
        tools = [(tool.name, tool.description) for tool in request.tools]
        seen.append((request.system, tools, request.effort, request.turn, len(request.results), steps))

    assert seen[0] == seen[1]
    assert seen[0][5] == [
        ("user", "go", 0, 1),
        ("assistant", "I look.", 2, 0),
        ("tool", "content of", 0, 0),
        ("tool", "content of", 0, 0),
    ]


def test_calls_keep_their_arguments_in_the_neutral_request(
    service: ScriptedModels, brain: QueueBrain, provider: str
) -> None:
    """What an assistant asked comes back to the brain as it was."""
    brain.add(ASKING, ModelReply(text="Done."))
    conversation = opened(service, provider, tools=[READ])
    send(conversation, *results(send(conversation)))

    assistant = next(one for one in service.requests[-1].messages if one.role == "assistant")

    assert [(call.name, call.arguments) for call in assistant.tool_calls] == [
        ("read_file", {"path": "a"}),
        ("read_file", {"path": "b"}),
    ]


def test_a_structured_answer_reaches_the_brain_as_a_schema(
    service: ScriptedModels, brain: QueueBrain, provider: str
) -> None:
    """A brain tells a structured request from a tool loop by its schema."""
    brain.add(ModelReply(text='{"path": "a"}'))

    turn = send(opened(service, provider, schema=READ.parameters))

    assert (json.loads(turn.text), service.requests[0].schema, service.requests[0].tools) == (
        {"path": "a"},
        READ.parameters,
        (),
    )


def test_later_turns_read_the_cache(service: ScriptedModels, brain: QueueBrain, provider: str) -> None:
    """The whole former prompt is read from the cache; only what is new is written."""
    brain.add(ASKING, ModelReply(text="Done."))
    conversation = opened(service, provider, tools=[READ], system="x" * 20_000)

    first = send(conversation)
    second = send(conversation, *results(first))

    assert second.usage.cache_read == first.usage.prompt
    assert 0 < second.usage.cache_write_short < 500


def test_a_changed_prefix_misses_the_cache(service: ScriptedModels, brain: QueueBrain, provider: str) -> None:
    """Other instructions make everything new."""
    brain.add(ModelReply(text="1"), ModelReply(text="2"))
    send(opened(service, provider, system="x" * 20_000))

    assert send(opened(service, provider, system="y" + "x" * 20_000)).usage.cache_read == 0


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("length", {Stop.LENGTH}),
        ("refusal", {Stop.REFUSAL}),
        ("filter", {Stop.FILTERED, Stop.REFUSAL}),
        ("context", {Stop.CONTEXT}),
        ("failed", {Stop.FAILED}),
        ("pause", {Stop.PAUSE, Stop.FAILED}),
    ],
)
def test_every_stop_can_be_scripted(
    service: ScriptedModels, brain: QueueBrain, provider: str, stop: Any, expected: set[Stop]
) -> None:
    """A script can end an answer in every way that the provider knows."""
    brain.add(ModelReply(text="x", stop=stop))

    assert send(opened(service, provider)).stop in expected


def test_a_pause_is_continued(service: ScriptedModels, brain: QueueBrain) -> None:
    """A paused answer at the end of the history is the one that is no prefill."""
    brain.add(ModelReply(text="so far", stop="pause"), ModelReply(text="Done."))
    conversation = opened(service, "anthropic")
    send(conversation)

    assert conversation.send([], deadline=time.monotonic() + 60).text == "Done."


def test_a_wrong_key_is_401(service: ScriptedModels, provider: str) -> None:
    """Only the sandbox's key opens."""
    with pytest.raises(Unauthorized):
        send(opened(service, provider, key="other"))


def test_an_unknown_model_is_404(service: ScriptedModels, provider: str) -> None:
    """Only models of the price table exist, unless told otherwise."""
    with pytest.raises(ConfigError, match="novel-1"):
        send(opened(service, provider, model="novel-1"))


def test_a_fault_can_be_scripted(service: ScriptedModels, brain: QueueBrain, provider: str) -> None:
    """An outage has the provider's own shape and Retry-After."""
    brain.add(ModelFault(status=429, type="rate_limit_error", retry_after=604_800))

    with pytest.raises(Unavailable) as caught:
        send(opened(service, provider))

    assert caught.value.retry_at is not None


def test_a_script_that_is_too_short_says_so(service: ScriptedModels, provider: str) -> None:
    """A request too many is no silent success."""
    with pytest.raises(ConfigError) as caught:
        send(opened(service, provider))

    assert "The script has no answer for turn 0" in caught.value.detail


def test_requests_are_counted_and_weighed(service: ScriptedModels, brain: QueueBrain, provider: str) -> None:
    """Each request is kept with its size."""
    brain.add(ModelReply(text="1"), ModelReply(text="2"))
    conversation = opened(service, provider)
    send(conversation)
    send(conversation)

    assert (service.calls, [one.size for one in service.requests]) == (2, service.sizes)
    assert service.sizes[0] < service.sizes[1]


def test_the_anthropic_sdk_reads_the_stream(service: ScriptedModels, brain: QueueBrain) -> None:
    """Anthropic's own accumulator makes a typed message of it."""
    brain.add(ASKING)
    client = anthropic.Anthropic(api_key=SANDBOX_KEY, base_url=service.anthropic_url, max_retries=0)
    tool: Any = {"name": "read_file", "input_schema": READ.parameters}

    with (
        client,
        client.messages.stream(
            model=MODELS["anthropic"],
            max_tokens=1_000,
            messages=[{"role": "user", "content": "go"}],
            tools=[tool],
        ) as stream,
    ):
        message = stream.get_final_message()

    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert (message.stop_reason, message.usage.output_tokens > 0) == ("tool_use", True)


def test_the_openai_sdk_reads_the_stream(service: ScriptedModels, brain: QueueBrain) -> None:
    """OpenAI's own accumulator makes a typed response of it."""
    brain.add(ASKING)
    client = openai.OpenAI(api_key=SANDBOX_KEY, base_url=service.openai_url, max_retries=0)
    tool: Any = {"type": "function", "name": "read_file", "parameters": READ.parameters, "strict": True}

    with client, client.responses.stream(model=MODELS["openai"], input="go", tools=[tool]) as stream:
        response = stream.get_final_response()

    assert [item.type for item in response.output] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
    ]
    assert response.output_text == "I look."


def test_the_anthropic_sdk_reads_the_whole_answer(service: ScriptedModels, brain: QueueBrain) -> None:
    """Without streaming the same message comes as one object."""
    brain.add(ASKING)
    with anthropic.Anthropic(api_key=SANDBOX_KEY, base_url=service.anthropic_url, max_retries=0) as client:
        message = client.messages.create(
            model=MODELS["anthropic"], max_tokens=1_000, messages=[{"role": "user", "content": "go"}]
        )

    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]


def test_the_openai_sdk_reads_the_whole_answer(service: ScriptedModels, brain: QueueBrain) -> None:
    """Without streaming the same response comes as one object."""
    brain.add(ModelReply(text="Hello"))
    with openai.OpenAI(api_key=SANDBOX_KEY, base_url=service.openai_url, max_retries=0) as client:
        response = client.responses.create(model=MODELS["openai"], input="go")

    assert (response.output_text, response.status) == ("Hello", "completed")


def post(service: ScriptedModels, path: str, body: object) -> requests.Response:
    headers = {"Authorization": f"Bearer {SANDBOX_KEY}", "anthropic-version": "2026-10-21"}
    return requests.post(service.url + path, json=body, headers=headers, timeout=10)


def claude(**more: Any) -> dict[str, Any]:
    body = {
        "model": MODELS["anthropic"],
        "max_tokens": 1_000,
        "messages": [{"role": "user", "content": "go"}],
    }
    return {name: value for name, value in {**body, **more}.items() if value is not ...}


def gpt(**more: Any) -> dict[str, Any]:
    body = {"model": MODELS["openai"], "input": "go"}
    return {name: value for name, value in {**body, **more}.items() if value is not ...}


LOOSE = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
    "required": ["a"],
}
STRICT_BUT_SHORT = {**LOOSE, "additionalProperties": False}
BOUNDED = {
    "type": "object",
    "properties": {"a": {"type": "string", "maxLength": 3}},
    "required": ["a"],
    "additionalProperties": False,
}
USE = {"type": "tool_use", "id": "t1", "name": "read_file", "input": {}}


def talk(*messages: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in messages]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (claude(max_tokens=...), "max_tokens: Field required"),
        (claude(messages=...), "messages: Field required"),
        (claude(max_tokens=0), "max_tokens: 0"),
        (claude(max_tokens=200_000), "max_tokens: 200000"),
        (claude(temperature=0), "`temperature` is not supported"),
        (claude(novel=1), "novel: Extra inputs are not permitted"),
        (claude(thinking={"type": "disabled"}), "thinking.type"),
        (claude(thinking={"type": "enabled", "budget_tokens": 1}), "thinking.type"),
        (claude(tool_choice={"type": "any"}), "forces tool use"),
        (claude(tool_choice={"type": "tool", "name": "read_file"}), "forces tool use"),
        (claude(messages=[]), "at least one message"),
        (claude(messages=talk(("assistant", "x"))), "first message"),
        (claude(messages=talk(("user", "x"), ("assistant", "{"))), "prefill"),
        (claude(messages=talk(("robot", "x"))), "first message"),
        (claude(messages=talk(("user", "x"), ("robot", "x"))), "unexpected role"),
        (claude(messages=talk(("user", ""))), "non-empty"),
        (claude(messages=talk(("user", [{"type": "text", "text": " "}]))), "non-whitespace"),
        (claude(messages=talk(("user", [{"type": "novel"}]))), "expected tags"),
        (claude(messages=talk(("user", [{"type": "text", "text": "x", "novel": 1}]))), "Extra inputs"),
        (claude(messages=talk(("user", [{"type": "tool_result", "tool_use_id": "t9"}]))), "unexpected `tool_use_id`"),
        (claude(messages=talk(("user", "x"), ("assistant", [USE]), ("user", "y"))), "without `tool_result` blocks"),
        (
            claude(
                messages=talk(
                    ("user", "x"),
                    ("assistant", [USE]),
                    ("user", [{"type": "text", "text": "y"}, {"type": "tool_result", "tool_use_id": "t1"}]),
                )
            ),
            "must come before other content",
        ),
        (claude(messages=talk(("user", "x"), ("assistant", [{**USE, "input": "{}"}]), ("user", "y"))), "valid dictionary"),
        (
            claude(messages=talk(("user", "x"), ("assistant", [{"type": "thinking", "thinking": "x", "signature": "made up"}]), ("user", "y"))),
            "unmodified",
        ),
        (claude(tools=[{"name": "two words", "input_schema": READ.parameters}]), "tools.0.name"),
        (claude(tools=[{"name": "a", "input_schema": {"type": "string"}}]), "input_schema.type"),
        (claude(tools=[{"name": "a", "input_schema": READ.parameters, "novel": 1}]), "Extra inputs"),
        (claude(tools=[{"name": "a", "input_schema": READ.parameters}] * 2), "unique"),
        (claude(tools=[{"name": "a", "input_schema": LOOSE, "strict": True}]), "additionalProperties"),
        (claude(output_config={"effort": "minimal"}), "output_config.effort"),
        (claude(output_config={"novel": 1}), "Extra inputs"),
        (claude(output_config={"format": {"type": "json_schema", "schema": LOOSE}}), "additionalProperties"),
        (claude(output_config={"format": {"type": "json_schema", "schema": STRICT_BUT_SHORT}}), "Missing 'b'"),
        (claude(output_config={"format": {"type": "json_schema", "schema": BOUNDED}}), "'maxLength' is not permitted"),
        (claude(output_config={"format": {"type": "json_object"}}), "json_schema"),
        (
            claude(messages=talk(("user", [{"type": "text", "text": str(at), "cache_control": {"type": "ephemeral"}} for at in range(5)]))),
            "maximum of 4 blocks",
        ),
        ([], "must be an object"),
    ],
)  # fmt: skip
def test_anthropic_refuses(service: ScriptedModels, body: object, words: str) -> None:
    """What the Messages API answers with 400 is 400 here, in its shape."""
    response = post(service, "/v1/messages", body)

    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "invalid_request_error")
    assert words in error["message"]
    assert service.calls == 0


def test_anthropic_wants_its_version_header(service: ScriptedModels) -> None:
    """Without the version no request is understood."""
    response = requests.post(
        service.url + "/v1/messages", json=claude(), headers={"x-api-key": SANDBOX_KEY}, timeout=10
    )

    assert "anthropic-version" in response.json()["error"]["message"]


CALL = {"type": "function_call", "call_id": "c1", "name": "read_file", "arguments": "{}"}
USER = {"role": "user", "content": "go"}


def function(**more: Any) -> list[dict[str, Any]]:
    body = {"type": "function", "name": "a", "parameters": READ.parameters, "strict": True, **more}
    return [{name: value for name, value in body.items() if value is not ...}]


def text_format(schema: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"format": {"type": "json_schema", "name": "plan", "schema": schema, "strict": True, **more}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (gpt(input=...), "Missing required parameter: 'input'"),
        (gpt(input=[]), "at least one item"),
        (gpt(input=[1]), "Invalid type for 'input'"),
        (gpt(temperature=0), "'temperature' is not supported"),
        (gpt(novel=1), "Unknown parameter: 'novel'"),
        (gpt(max_output_tokens=1), "max_output_tokens"),
        (gpt(reasoning={"effort": "gigantic"}), "reasoning.effort"),
        (gpt(tool_choice="required"), "tool_choice"),
        (gpt(input=[{"type": "novel"}]), "'novel' for 'input[0].type'"),
        (gpt(input=[{**USER, "novel": 1}]), "Unknown parameter: 'input[0].novel'"),
        (gpt(input=[{"role": "robot", "content": "x"}]), "input[0].role"),
        (gpt(input=[{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]), "content[0].type"),
        (gpt(input=[USER, CALL]), "No tool output found for function call c1"),
        (gpt(input=[USER, CALL, USER, {"type": "function_call_output", "call_id": "c1", "output": ""}]), "No tool output found"),
        (gpt(input=[USER, {"type": "function_call_output", "call_id": "c9", "output": ""}]), "No tool call found"),
        (gpt(input=[USER, {**CALL, "arguments": {}}]), "expected a string"),
        (gpt(input=[USER, {"type": "reasoning", "id": "rs_1", "encrypted_content": "made up", "summary": []}]), "required following item"),
        (
            gpt(input=[USER, {"type": "reasoning", "id": "rs_1", "encrypted_content": "made up", "summary": []}, {"role": "assistant", "content": "x"}]),
            "could not be verified",
        ),
        (gpt(tools=function(strict=...)), "tools[0].strict"),
        (gpt(tools=function(name="two words")), "tools[0].name"),
        (gpt(tools=function(novel=1)), "tools[0].novel"),
        (gpt(tools=function(parameters=LOOSE)), "additionalProperties"),
        (gpt(tools=function(parameters=STRICT_BUT_SHORT)), "Missing 'b'"),
        (gpt(text=text_format(LOOSE)), "additionalProperties"),
        (gpt(text=text_format(READ.parameters, novel=1)), "text.format.novel"),
        (gpt(text=text_format(READ.parameters, name="two words")), "a name of letters"),
    ],
)  # fmt: skip
def test_openai_refuses(service: ScriptedModels, body: object, words: str) -> None:
    """What the Responses API answers with 400 is 400 here, in its shape."""
    response = post(service, "/v1/responses", body)

    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "invalid_request_error")
    assert words in error["message"]
    assert service.calls == 0


def test_reasoning_without_its_encrypted_form_is_not_found(service: ScriptedModels) -> None:
    """What was not stored can only come back in its encrypted form."""
    body = gpt(
        input=[
            USER,
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"role": "assistant", "content": "x"},
        ]
    )

    response = post(service, "/v1/responses", body)

    assert (response.status_code, "rs_1" in response.json()["error"]["message"]) == (404, True)


def test_the_path_without_a_version_is_not_there(service: ScriptedModels) -> None:
    """A base URL without ``/v1`` for OpenAI, or with it for Anthropic, finds nothing."""
    assert [post(service, path, {}).status_code for path in ("/responses", "/v1/v1/messages")] == [404, 404]


def history(service: ScriptedModels, brain: QueueBrain, provider: str) -> tuple[str, dict[str, Any]]:
    """A second request of a real talk, as it was sent."""
    brain.add(ASKING, ModelReply(text="Done."), ModelReply(text="Again."))
    conversation = opened(service, provider, tools=[READ])
    send(conversation, *results(send(conversation)))
    body = dict(service.requests[-1].body)
    return ("/v1/messages" if provider == "anthropic" else "/v1/responses"), deepcopy(
        {**body, "stream": False}
    )


def test_the_same_history_is_taken_again(service: ScriptedModels, brain: QueueBrain, provider: str) -> None:
    """A retry of a request is no rewritten history."""
    path, body = history(service, brain, provider)

    assert post(service, path, body).status_code == 200


def test_a_changed_first_message_is_refused(
    service: ScriptedModels, brain: QueueBrain, provider: str
) -> None:
    """Thoughts are bound to everything before them: history is append-only."""
    path, body = history(service, brain, provider)
    first = (body.get("messages") or body["input"])[0]
    first["content"][0]["text"] = "something else"

    assert post(service, path, body).status_code == 400


def test_a_changed_thought_is_refused(service: ScriptedModels, brain: QueueBrain, provider: str) -> None:
    """Signatures and encrypted reasoning come back unaltered."""
    path, body = history(service, brain, provider)
    if provider == "anthropic":
        body["messages"][1]["content"][0]["thinking"] = "other"
    else:
        body["input"][1]["encrypted_content"] = "other"

    assert post(service, path, body).status_code == 400


def test_another_model_cannot_take_the_history(
    service: ScriptedModels, brain: QueueBrain, provider: str
) -> None:
    """Thoughts are bound to their model."""
    path, body = history(service, brain, provider)
    body["model"] = {"anthropic": "claude-sonnet-5-5", "openai": "gpt-6-sol"}[provider]

    assert post(service, path, body).status_code == 400


def test_changed_arguments_are_refused(service: ScriptedModels, brain: QueueBrain, provider: str) -> None:
    """An answer comes back whole, as it was."""
    path, body = history(service, brain, provider)
    if provider == "anthropic":
        body["messages"][1]["content"][2]["input"] = {"path": "elsewhere"}
    else:
        body["input"][3]["arguments"] = '{"path":"elsewhere"}'

    assert post(service, path, body).status_code == 400


def test_moving_cache_marks_changes_nothing(service: ScriptedModels, brain: QueueBrain) -> None:
    """Marks are not part of what was said."""
    path, body = history(service, brain, "anthropic")
    body["messages"][0]["content"][0]["cache_control"] = {"type": "ephemeral"}

    assert post(service, path, body).status_code == 200


def test_usage_is_zero_before_anything_was_said(service: ScriptedModels, provider: str) -> None:
    """A conversation that only failed to authenticate has cost nothing."""
    conversation = opened(service, provider, key="other")

    with pytest.raises(Unauthorized):
        send(conversation)

    assert conversation.usage == Usage()


def test_messages_have_plain_defaults() -> None:
    """A brain can build messages to compare with."""
    assert Message(role="user", text="x") == Message(role="user", text="x", tool_calls=(), images=0)
