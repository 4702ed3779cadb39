"""What holds for both providers' adapters: answers, failures, retries, the deadline, usage and history."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.adapters.llm_call import DeadlinePassed, events
from runner.adapters.llm_common import create_model
from runner.adapters.llm_conversation import BROKEN_TRIES, TRIES, StreamedConversation, encode
from runner.core.work import Brief, Input, ModelChoice, Stop, ToolResult, ToolSpec, Usage, UserImage, UserText
from runner.errors import ConfigError, PictureRefused, RunnerError, Unauthorized, Unavailable
from tests.adapters.llm_traps import (
    Clock,
    Handler,
    TrapServer,
    answer,
    hang_up,
    page,
    pings,
    raw_stream,
    sse,
    stream,
)
from tests.adapters.llm_wires import KEY, WIRES, Wire

BRIEF = Brief(system="Be brief.")
GO = [UserText(text="go")]
BILLED = Usage(input=10, cache_read=7, cache_write_short=3, output=20)
TOOL = ToolSpec(
    name="read_file",
    description="Read a file.",
    parameters={
        "type": "object",
        "properties": {"path": {"type": "string"}},
        "required": ["path"],
        "additionalProperties": False,
    },
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def server() -> Iterator[TrapServer]:
    with TrapServer().running() as one:
        yield one


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=WIRES, ids=["anthropic", "openai"])
def wire(request: pytest.FixtureRequest) -> Wire:
    made: Wire = request.param()
    return made


class Talk:
    """A conversation with the trap server, with its clock."""

    def __init__(self, wire: Wire, server: TrapServer, clock: Clock) -> None:
        self.wire, self.server, self.clock = wire, server, clock
        self.model = wire.create(server, clock)
        self.conversation = self.model.open(BRIEF)
        self.deadline = clock.now + 3_600

    def send(self, *inputs: Any) -> Any:
        return self.conversation.send(inputs or GO, deadline=self.deadline)


@pytest.fixture
def talk(wire: Wire, server: TrapServer, clock: Clock) -> Iterator[Talk]:
    one = Talk(wire, server, clock)
    yield one
    one.model.close()


def test_a_whole_answer_is_done_with_its_usage(talk: Talk) -> None:
    """A stream that ends well is a turn with text, usage in disjoint kinds, model and request id."""
    talk.server.acts = [stream(talk.wire.whole("Hello"))]

    turn = talk.send()

    assert (turn.text, turn.stop, turn.usage) == ("Hello", Stop.DONE, BILLED)
    assert (turn.model, turn.request_id, turn.tool_calls) == (talk.wire.model, "req_1", ())


def test_requests_go_to_the_provider_with_the_key(talk: Talk) -> None:
    """The path is the provider's, the key a bearer token, and the answer is always streamed."""
    talk.server.acts = [stream(talk.wire.whole())]

    talk.send()

    assert (talk.server.paths, talk.server.keys) == ([talk.wire.path], [f"Bearer {KEY}"])
    assert talk.server.sent[0]["stream"] is True


@pytest.mark.parametrize(
    "name", ["temperature", "top_p", "top_k", "tool_choice", "thinking", "previous_response_id"]
)
def test_nothing_that_current_models_refuse_is_sent(talk: Talk, name: str) -> None:
    """Sampling, forced tools, thinking switches and server-side history are in no request."""
    talk.server.acts = [stream(talk.wire.whole())]

    talk.send()

    assert name not in talk.server.sent[0]


def test_parallel_calls_are_answered_in_one_request(talk: Talk) -> None:
    """Every call of a turn is offered, and all results go back together, before any text."""
    talk.server.acts = [stream(talk.wire.asking('{"path": "a"}', '{"path": "b"}')), stream(talk.wire.whole())]

    turn = talk.send()
    results = [ToolResult(call_id=call.id, text=f"content of {call.id}") for call in turn.tool_calls]
    talk.send(UserText(text="and hurry"), *results)

    assert [call.arguments for call in turn.tool_calls] == [{"path": "a"}, {"path": "b"}]
    assert (turn.stop, list(talk.wire.results(talk.server.sent[1]))) == (Stop.TOOLS, ["call_0", "call_1"])


def test_every_request_begins_with_the_one_before(talk: Talk) -> None:
    """History is append-only down to the bytes, which is what prompt caches reward."""
    talk.server.acts = [stream(talk.wire.asking("{}")), stream(talk.wire.whole()), stream(talk.wire.whole())]

    talk.send()
    talk.send(ToolResult(call_id="call_0", text="ok"))
    talk.send(UserText(text="more"))

    first, second, third = (body.removesuffix(b"]}") for body in talk.server.bodies)
    assert second.startswith(first) and third.startswith(second)


@pytest.mark.parametrize("end", ["whole", "reset"])
def test_a_broken_stream_is_asked_again(talk: Talk, end: str) -> None:
    """A reset, or a clean end without the last event, is no answer: the same request is sent again."""
    talk.server.acts = [stream(talk.wire.begun(), end=end), stream(talk.wire.whole())]

    turn = talk.send()

    assert (turn.text, turn.stop, len(talk.clock.slept)) == ("Hello", Stop.DONE, 1)
    assert talk.server.bodies[0] == talk.server.bodies[1]


def test_an_error_inside_a_stream_with_status_200_is_asked_again(talk: Talk) -> None:
    """An overload that is reported after the stream began is retried like one that comes as a status."""
    talk.server.acts = [
        stream([*talk.wire.begun(), talk.wire.error_event("overloaded")]),
        stream([*talk.wire.begun(), talk.wire.error_event("limit")]),
        stream(talk.wire.whole()),
    ]

    assert talk.send().text == "Hello"


def test_broken_tries_are_counted_in_usage(talk: Talk) -> None:
    """What a broken stream was billed is in the turn, the conversation and the log of calls."""
    talk.server.acts = [stream(talk.wire.begun("x" * 400)), stream(talk.wire.whole())]

    turn = talk.send()

    assert turn.usage == talk.conversation.usage
    assert turn.usage.output == 100 + 20
    assert turn.usage.prompt > BILLED.prompt
    assert [call.is_estimate for call in talk.wire.log] == [True, False]


def test_a_stream_that_keeps_breaking_is_given_up_with_its_usage(talk: Talk) -> None:
    """Answers that begin may be billed each time, so they are tried fewer times; what they cost is kept."""
    talk.server.acts = [stream(talk.wire.begun("x" * 400), end="reset") for _ in range(BROKEN_TRIES)]

    with pytest.raises(Unavailable):
        talk.send()

    assert (talk.conversation.calls, talk.conversation.usage.output) == (BROKEN_TRIES, BROKEN_TRIES * 100)


def test_a_failed_send_leaves_no_trace_in_the_history(talk: Talk) -> None:
    """After a failure the same inputs can be sent again, once."""
    talk.server.acts = [answer(400, talk.wire.error("invalid_request_error")), stream(talk.wire.whole())]

    with pytest.raises(ConfigError):
        talk.send()
    talk.send()

    assert talk.server.bodies[0] == talk.server.bodies[1]


@pytest.mark.parametrize(
    "data",
    [b"data: {nonsense\n\n", b'data: {"type": "message_start"}\n\ndata: {"type": "response.created"}\n\n'],
)
def test_events_of_an_unknown_form_are_a_broken_stream(talk: Talk, data: bytes) -> None:
    """An event that is not JSON or lacks its parts is no answer."""
    talk.server.acts = [raw_stream(data), stream(talk.wire.whole())]

    assert talk.send().text == "Hello"


def test_a_cut_call_is_never_offered_for_running(talk: Talk) -> None:
    """A call that the output limit cut can look whole: the turn is LENGTH and has no calls."""
    talk.server.acts = [stream(talk.wire.cut_asking('{"path": "a.py"}'))]

    turn = talk.send()

    assert (turn.stop, turn.tool_calls, turn.usage) == (Stop.LENGTH, (), BILLED)


@pytest.mark.parametrize("raw", ['{"path": "a.py"}', '{"path": "a.p'])
def test_a_cut_call_is_answered_when_the_talk_goes_on(talk: Talk, raw: str) -> None:
    """The provider wants a result for every call it made: a cut one is answered as not run."""
    talk.server.acts = [stream(talk.wire.cut_asking(raw)), stream(talk.wire.whole())]

    talk.send()
    talk.send(UserText(text="smaller steps, please"))

    assert list(talk.wire.results(talk.server.sent[1])) == ["call_0"]


@pytest.mark.parametrize("raw", ["{not json", "[1]", "3"])
def test_arguments_that_are_no_object_are_an_error_to_teach(talk: Talk, raw: str) -> None:
    """A call with unreadable arguments is offered with ``None`` and what is wrong, so it can be answered."""
    talk.server.acts = [stream(talk.wire.asking(raw))]

    (call,) = talk.send().tool_calls

    assert call.arguments is None
    assert "JSON" in call.error


def test_no_arguments_at_all_are_an_empty_object(talk: Talk) -> None:
    """A tool without parameters is called with nothing."""
    talk.server.acts = [stream(talk.wire.asking(""))]

    assert [call.arguments for call in talk.send().tool_calls] == [{}]


def test_a_refusal_is_typed(talk: Talk) -> None:
    """A model that declines is REFUSAL with its reason, never an empty success."""
    talk.server.acts = [stream(talk.wire.refusing())]

    turn = talk.send()

    assert (turn.stop, turn.usage) == (Stop.REFUSAL, BILLED)
    assert "No." in turn.detail


def test_every_call_must_be_answered(talk: Talk) -> None:
    """Leaving out a result is a mistake of the caller, found before anything is sent."""
    talk.server.acts = [stream(talk.wire.asking("{}", "{}"))]
    talk.send()

    with pytest.raises(ValueError, match="call_1"):
        talk.send(ToolResult(call_id="call_0", text="ok"))


def test_a_result_for_no_call_is_refused(talk: Talk) -> None:
    """Results belong to calls of the last turn."""
    with pytest.raises(ValueError, match="call_9"):
        talk.send(ToolResult(call_id="call_9", text="ok"))


def test_sending_nothing_is_refused(talk: Talk) -> None:
    """Only a paused turn is continued without input."""
    with pytest.raises(ValueError, match="nothing to send"):
        talk.conversation.send([], deadline=talk.deadline)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ConfigError), (401, Unauthorized), (402, ConfigError), (403, ConfigError), (422, ConfigError)],
)
def test_what_an_adopter_must_change_is_said_at_once(
    talk: Talk, status: int, kind: type[RunnerError]
) -> None:
    """Statuses that no repetition changes are typed and tried once."""
    talk.server.acts = [answer(status, talk.wire.error("invalid_request_error"))]

    with pytest.raises(kind) as caught:
        talk.send()

    assert type(caught.value) is kind
    assert (talk.conversation.calls, talk.clock.slept) == (1, [])


def test_a_wrong_key_names_its_secret(talk: Talk) -> None:
    """401 tells which secret to look at."""
    talk.server.acts = [answer(401, talk.wire.error("authentication_error"))]

    with pytest.raises(Unauthorized) as caught:
        talk.send()

    assert talk.wire.key_name in caught.value.remedy


def test_an_unknown_model_is_named(talk: Talk) -> None:
    """404 tells which model is not there, and which address was asked."""
    talk.server.acts = [answer(404, talk.wire.error("not_found_error"))]

    with pytest.raises(ConfigError) as caught:
        talk.send()

    assert talk.wire.model in caught.value.summary
    assert talk.wire.base_url_name in caught.value.remedy


PICTURES = [
    ("messages.0.content.2.image.source.base64: Could not process image", None),
    ("messages.0.content.2: image dimensions exceed max allowed size: 8000 pixels", None),
    ("This model does not support image inputs.", None),
    ("The file is not what it should be.", "invalid_image_format"),
    ("The file is not what it should be.", "image_parse_error"),
]


@pytest.mark.parametrize(("message", "code"), PICTURES)
def test_a_refused_picture_is_named_as_what_it_is(talk: Talk, message: str, code: str | None) -> None:
    """It is no matter of the configuration: the remedy is to remove or convert the attachment; nothing is repeated."""
    talk.server.acts = [answer(400, talk.wire.error("invalid_request_error", message, code))]

    with pytest.raises(PictureRefused) as caught:
        talk.send(UserImage(media_type="image/png", data=b"1"))

    assert message in caught.value.summary
    assert caught.value.remedy.startswith("Remove the picture from the ticket and its parent, or convert it")
    assert (talk.conversation.calls, talk.clock.slept) == (1, [])


def test_a_picture_refused_inside_a_stream_is_no_failure_that_passes(talk: Talk) -> None:
    """Asked again, or parked, it would be refused for ever."""
    refused: Mapping[str, Any] = {"type": "invalid_request_error", "message": "Could not process image"}
    event: Mapping[str, Any] = {"type": "error", "error": refused}
    if talk.wire.key_name == "OPENAI_API_KEY":
        failed = {"status": "failed", "error": {"code": "image_parse_error", "message": "No."}}
        event = {"type": "response.failed", "response": failed}
    talk.server.acts = [stream([event])]

    with pytest.raises(PictureRefused):
        talk.send(UserImage(media_type="image/png", data=b"1"))

    assert talk.conversation.calls == 1


def test_a_full_context_is_a_stop(talk: Talk) -> None:
    """Overflow is no failure of the adopter: a fresh conversation can go on."""
    talk.server.acts = [answer(400, talk.wire.overflow()), answer(413, talk.wire.error("request_too_large"))]

    assert [talk.send().stop, talk.send().stop] == [Stop.CONTEXT, Stop.CONTEXT]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_passing_failures_are_retried(talk: Talk, status: int) -> None:
    """Limits and server errors are asked again after a wait that grows."""
    failures = [answer(status, talk.wire.error("api_error")) for _ in range(3)]
    talk.server.acts = [*failures, stream(talk.wire.whole())]

    assert talk.send().stop is Stop.DONE
    assert all(0.75 * 2**at <= wait <= 2**at for at, wait in enumerate(talk.clock.slept))


def test_tries_are_bounded(talk: Talk) -> None:
    """A provider that stays down is Unavailable after a bounded number of calls."""
    talk.server.acts = [answer(529, talk.wire.error("overloaded_error")) for _ in range(TRIES)]

    with pytest.raises(Unavailable, match="overloaded"):
        talk.send()

    assert (talk.conversation.calls, len(talk.clock.slept)) == (TRIES, TRIES - 1)


def test_retry_after_is_obeyed(talk: Talk) -> None:
    """A wish of the server within reason is the wait."""
    talk.server.acts = [
        answer(429, talk.wire.error("rate_limit_error"), {"Retry-After": "7"}),
        answer(429, talk.wire.error("rate_limit_error"), {"Retry-After-Ms": "1500"}),
        stream(talk.wire.whole()),
    ]

    talk.send()

    assert talk.clock.slept == [7.0, 1.5]


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_wait_of_a_week_is_not_waited(talk: Talk, form: str) -> None:
    """A wish beyond the cap parks the work at once, with the time when it can go on."""
    wish = "604800" if form == "seconds" else formatdate(time.time() + 604_800, usegmt=True)
    talk.server.acts = [answer(429, talk.wire.error("rate_limit_error"), {"Retry-After": wish})]

    with pytest.raises(Unavailable) as caught:
        talk.send()

    assert caught.value.retry_at is not None and caught.value.retry_at > time.time() + 600_000
    assert talk.clock.slept == []


@pytest.mark.parametrize("wish", ["inf", "1e300", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_an_absurd_wait_has_no_date(talk: Talk, wish: str) -> None:
    """A wish for never parks the work too, without a date that nothing could show."""
    talk.server.acts = [answer(429, talk.wire.error("rate_limit_error"), {"Retry-After": wish})]

    with pytest.raises(Unavailable) as caught:
        talk.send()

    assert (caught.value.retry_at, talk.clock.slept) == (None, [])


def test_an_unreadable_retry_after_is_passed_over(talk: Talk) -> None:
    """A header in an unknown form does not stop the retry."""
    talk.server.acts = [
        answer(429, talk.wire.error("rate_limit_error"), {"Retry-After": "soon"}),
        stream(talk.wire.whole()),
    ]

    assert talk.send().text == "Hello"


def test_a_spent_account_is_said_at_once(talk: Talk) -> None:
    """A spend limit is a 429 that no retry lifts: a person must act."""
    talk.server.acts = [answer(429, talk.wire.spend_limit())]

    with pytest.raises(ConfigError) as caught:
        talk.send()

    assert talk.wire.key_name in caught.value.remedy
    assert (talk.conversation.calls, talk.clock.slept) == (1, [])


def test_x_should_retry_false_is_obeyed(talk: Talk) -> None:
    """When the server says that a retry is pointless, none is made."""
    talk.server.acts = [answer(500, talk.wire.error("api_error"), {"x-should-retry": "false"})]

    with pytest.raises(Unavailable):
        talk.send()

    assert talk.conversation.calls == 1


def test_a_connection_reset_before_any_byte_is_retried(talk: Talk) -> None:
    """A connection that ends without an answer is asked again, within bounds."""
    talk.server.acts = [hang_up(), stream(talk.wire.whole())]

    assert talk.send().text == "Hello"


def test_a_refused_connection_is_unavailable(wire: Wire, clock: Clock) -> None:
    """A provider that cannot be reached is Unavailable after bounded tries, and billed nothing."""
    with TrapServer() as closed:
        model = wire.create(closed, clock)
    conversation = model.open(BRIEF)

    with pytest.raises(Unavailable):
        conversation.send(GO, deadline=clock.now + 3_600)

    assert (conversation.calls, conversation.usage) == (TRIES, Usage())
    model.close()


def test_a_page_instead_of_a_stream_is_a_setup_problem(talk: Talk) -> None:
    """A proxy's page with status 200 is never taken for an answer."""
    talk.server.acts = [page()]

    with pytest.raises(ConfigError) as caught:
        talk.send()

    assert talk.wire.base_url_name in caught.value.remedy


def test_pings_do_not_outlast_the_deadline(talk: Talk) -> None:
    """The deadline is wall time: a stream that only pings ends at it, with its usage, and is hung up on."""

    def tick() -> None:
        talk.clock.now += 60

    talk.server.acts = [pings(talk.wire.begun("x" * 400), tick=tick)]

    with pytest.raises(DeadlinePassed):
        talk.send()

    assert talk.server.gone.wait(10)
    assert talk.conversation.usage.output == 100


def test_silence_does_not_outlast_the_deadline(talk: Talk) -> None:
    """A provider that takes the request and never answers is left at the deadline."""

    def silent(handler: Handler) -> None:
        talk.clock.now += 3_600
        handler.server.gone.wait()
        handler.close_connection = True

    talk.server.acts = [silent]

    with pytest.raises(DeadlinePassed):
        talk.send()

    assert talk.wire.log[0].outcome == "DeadlinePassed"


def test_nothing_is_sent_after_the_deadline(talk: Talk) -> None:
    """A call that could not be waited for is not made."""
    with pytest.raises(DeadlinePassed):
        talk.conversation.send(GO, deadline=talk.clock.now)

    assert talk.server.bodies == []


def test_a_wait_beyond_the_deadline_is_not_begun(talk: Talk) -> None:
    """When the retry would come too late, the failure is told at once."""
    talk.server.acts = [answer(429, talk.wire.error("rate_limit_error"), {"Retry-After": "60"})]

    with pytest.raises(Unavailable):
        talk.conversation.send(GO, deadline=talk.clock.now + 30)

    assert talk.clock.slept == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_what_a_signal_handler_raises_propagates_at_once(talk: Talk, kind: type[BaseException]) -> None:
    """A signal ends the wait with the handler's own exception, of any kind; no retry is made."""

    def handler(*_: object) -> None:
        raise kind

    old = signal.signal(signal.SIGALRM, handler)
    armed = threading.Event()

    def tick() -> None:
        if not armed.is_set():
            armed.set()
            signal.setitimer(signal.ITIMER_REAL, 0.01)

    talk.server.acts = [pings(talk.wire.begun("x" * 400), tick=tick)]
    try:
        with pytest.raises(kind):
            talk.send()
    finally:
        signal.signal(signal.SIGALRM, old)

    assert talk.server.gone.wait(10)
    assert (talk.conversation.calls, talk.conversation.usage.output) == (1, 100)
    assert talk.wire.log[0].is_estimate


def test_every_call_is_reported(talk: Talk) -> None:
    """The log of calls holds failures and successes with their outcome and usage."""
    talk.server.acts = [answer(529, talk.wire.error("overloaded_error")), stream(talk.wire.whole())]

    talk.send()

    assert [call.usage for call in talk.wire.log] == [Usage(), BILLED]
    assert [call.outcome for call in talk.wire.log][1] == "done"


def test_the_estimate_follows_the_last_answer(talk: Talk) -> None:
    """What the next prompt will take is the last answer's count plus what is new."""
    talk.server.acts = [stream(talk.wire.whole())]
    talk.send()

    new: list[Input] = [UserText(text="x" * 400), UserImage(media_type="image/png", data=b"1")]

    assert talk.conversation.estimate(new) == BILLED.total + 101 + 1_600


def test_a_picture_of_another_type_becomes_a_note(talk: Talk) -> None:
    """A picture that the model does not take is named in its place."""
    talk.server.acts = [stream(talk.wire.whole())]

    talk.send(UserImage(media_type="image/tiff", data=b"1"))

    assert b"image/tiff was left out" in talk.server.bodies[0]


def test_line_separators_inside_json_do_not_break_events(talk: Talk) -> None:
    """Unicode's line ends are text; only LF ends a line of a stream."""
    text = "a\u2028b\u2029c\x85d\x0be"
    talk.server.acts = [stream(talk.wire.whole(text))]

    assert talk.send().text == text


def test_a_lone_surrogate_is_sent_replaced() -> None:
    """Text that cannot be encoded is sent with a replacement instead of failing the run."""
    assert encode("a\udc80") == b'"a?"'


@given(st.lists(st.dictionaries(st.text(), st.text(), min_size=1), max_size=5), st.data())
def test_events_survive_any_cut(values: list[dict[str, str]], data: st.DataObject) -> None:
    """However the bytes are cut into chunks, the events are the same."""
    whole = b"".join(sse({**value, "type": "x"}) for value in values) + b": a comment\n\ndata: [DONE]\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    chunks = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    assert list(events(chunks)) == [{**value, "type": "x"} for value in values]


@pytest.mark.parametrize("key", ["", "  ", "two words", "line\nbreak", "schlüssel"])
def test_a_key_that_cannot_be_one_is_refused_at_once(wire: Wire, key: str) -> None:
    """One message for both providers, before any SDK is imported."""
    choice = ModelChoice(provider=wire.provider, model=wire.model)  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match=wire.key_name):
        create_model(choice, api_key=key)


def test_an_effort_that_the_provider_lacks_is_refused(wire: Wire) -> None:
    """A wrong effort is found before the first call."""
    choice = ModelChoice(provider=wire.provider, model=wire.model, effort="gigantic")  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match="gigantic"):
        create_model(choice, api_key=KEY)


def test_tools_and_a_schema_exclude_each_other(wire: Wire, server: TrapServer, clock: Clock) -> None:
    """A structured answer is asked for in a conversation of its own."""
    with pytest.raises(ValueError, match="not both"):
        wire.create(server, clock).open(Brief(system="", tools=[TOOL], schema=TOOL.parameters))


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_the_base_url_may_end_with_or_without_v1(wire: Wire, server: TrapServer, suffix: str) -> None:
    """The version in an address is put where the SDK wants it."""
    server.acts = [stream(wire.whole())]
    choice = ModelChoice(provider=wire.provider, model=wire.model)  # type: ignore[arg-type]
    model = create_model(choice, api_key=KEY, base_url=server.url + suffix)

    model.open(BRIEF).send(GO, deadline=time.monotonic() + 60)

    assert server.paths == [wire.path]
    model.close()  # type: ignore[attr-defined]


def test_a_model_stays_the_same_for_a_conversation(talk: Talk) -> None:
    """Thoughts are bound to their model: there is no way to change it, and every request names the same."""
    talk.server.acts = [stream(talk.wire.whole()), stream(talk.wire.whole())]
    talk.send()
    talk.send()

    assert {body["model"] for body in talk.server.sent} == {talk.wire.model}
    with pytest.raises(AttributeError):
        talk.model.choice.model = "other"  # type: ignore[misc]


@pytest.mark.parametrize("module", ["llm_common", "llm_anthropic", "llm_openai"])
def test_importing_an_adapter_imports_no_sdk(module: str) -> None:
    """An SDK costs up to a second: it is imported when the first model is used."""
    code = (
        f"import runner.adapters.{module}, sys; print({{'anthropic', 'openai', 'httpx2'}} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(("provider", "other"), [("anthropic", "openai"), ("openai", "anthropic")])
def test_only_the_chosen_provider_is_imported(provider: str, other: str) -> None:
    """A run needs one SDK installed, not both."""
    code = (
        "from runner.adapters.llm_common import create_model\n"
        "from runner.core.work import ModelChoice\n"
        "import sys, threading\n"
        f"model = create_model(ModelChoice(provider={provider!r}, model='m'), api_key='k')\n"
        "model.preload()\n"
        "model.client()\n"
        f"print({provider!r} in sys.modules, {other!r} in sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "True False"


def test_a_missing_sdk_says_how_to_install_it(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK that is not there is a setup problem with the command that helps."""
    monkeypatch.setitem(sys.modules, talk.wire.provider, None)
    model = talk.wire.create(talk.server, talk.clock)
    model.preload()

    with pytest.raises(ConfigError) as caught:
        model.open(BRIEF).send(GO, deadline=talk.clock.now + 60)

    assert f"jira-ai-runner[{talk.wire.provider}]" in caught.value.remedy


def test_a_conversation_satisfies_the_port(talk: Talk) -> None:
    """The counters that the loop reads are there before the first call."""
    assert isinstance(talk.conversation, StreamedConversation)
    assert (talk.conversation.calls, talk.conversation.usage) == (0, Usage())
