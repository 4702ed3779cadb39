"""An exchange with a model: its history, its usage, and which failed calls are tried again.

The body is sent and read as plain JSON, because history must go back byte for byte as it came: thinking
signatures, encrypted reasoning, phases and fields that nobody has thought of yet. A request is
therefore always the previous one plus new items, which is what prompt caches reward.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.adapters.llm_call import CHARS_PER_TOKEN, Exchange, Reply
from runner.adapters.llm_problems import Verdict, judge, problem_of
from runner.core.work import Brief, Input, Stop, ToolResult, Turn, Usage, UserImage
from runner.errors import RunnerError

if TYPE_CHECKING:
    from runner.adapters.llm_common import StreamedModel


TRIES = 6
BROKEN_TRIES = 3  # an answer that began and broke may have been billed each time
TOTAL_WAIT = 300.0
LONGEST_BACKOFF = 30.0
IMAGE_TOKENS = 1_600

NOT_RUN = "This call was cut off and was not run."


@dataclass(frozen=True, kw_only=True)
class Call:
    """One HTTP call as it happened, successful or not. ``seconds`` is on the injected clock.

    ``is_estimate`` says that the provider reported no (final) usage and ``usage`` is what the call is
    likely to be billed; ``outcome`` is a stop, or a short word for what went wrong.
    """

    provider: str
    model: str
    outcome: str
    usage: Usage
    seconds: float
    request_id: str = ""
    is_estimate: bool = False


class StreamedConversation:
    """An append-only exchange. What was sent is never changed; a failed call leaves no trace in it.

    ``usage`` and ``calls`` count every HTTP call, also those that failed or were interrupted.
    An answer that stops with DONE, TOOLS, LENGTH or PAUSE becomes part of the history; after any
    other the conversation is as it was before ``send``.
    """

    def __init__(self, model: StreamedModel, brief: Brief) -> None:
        head = encode(model.head(brief))
        self._model = model
        self._head = head[:-1] + b',"' + model.history_field.encode() + b'":['
        self._items: list[bytes] = []
        self._pending: tuple[str, ...] = ()
        self._last = Stop.DONE
        self._known_tokens = len(head) // CHARS_PER_TOKEN
        self._usage = Usage()
        self._calls = 0

    @property
    def usage(self) -> Usage:
        """Tokens of every call so far, failed ones included."""
        return self._usage

    @property
    def calls(self) -> int:
        """How many HTTP calls were made."""
        return self._calls

    def estimate(self, inputs: Sequence[Input]) -> int:
        """Prompt tokens that sending ``inputs`` now would take: the last answer's count plus what is new."""
        return self._known_tokens + sum(map(tokens_of, inputs))

    def send(self, inputs: Sequence[Input], *, deadline: float) -> Turn:
        """Add inputs, ask, and return the answer. ``deadline`` is on the model's monotonic clock.

        ``Turn.usage`` holds what this send was billed, broken tries included. Raises Unavailable when
        the provider stays down, ConfigError for what an adopter must change, DeadlinePassed (a GaveUp)
        when time runs out; a full context is a Turn with ``Stop.CONTEXT``.
        """
        new = [encode(item) for item in self._written(inputs)]
        body = self._head + b",".join([*self._items, *new]) + b"]}"
        before = self._usage
        exchange = self._ask(body, self.estimate(inputs), deadline)
        reply, reader = exchange.reply, exchange.reader
        if reply.stop in {Stop.DONE, Stop.TOOLS, Stop.LENGTH, Stop.PAUSE}:
            self._items += [*new, *map(encode, reply.echo)]
            self._pending, self._last = reply.pending, reply.stop
            self._known_tokens = reader.usage.prompt + reader.usage.output
        return Turn(
            text=reply.text,
            tool_calls=reply.tool_calls,
            stop=reply.stop,
            usage=self._usage - before,
            model=reader.model or self._model.choice.model,
            request_id=exchange.request_id,
            detail=reply.detail,
        )

    def _written(self, inputs: Sequence[Input]) -> list[dict[str, Any]]:
        results = [one for one in inputs if isinstance(one, ToolResult)]
        answered = [one.call_id for one in results]
        if len(set(answered)) != len(answered) or not set(answered) <= set(self._pending):
            raise ValueError(f"results for {answered} do not fit the open calls {list(self._pending)}")
        missing = [call for call in self._pending if call not in answered]
        if missing and self._last is Stop.TOOLS:
            raise ValueError(f"tool calls {missing} were left without an answer")
        if not inputs and not missing and self._last is not Stop.PAUSE:
            raise ValueError("nothing to send")
        results += [ToolResult(call_id=call, text=NOT_RUN, is_error=True) for call in missing]
        return self._model.write(results, [one for one in inputs if not isinstance(one, ToolResult)])

    def _ask(self, body: bytes, prompt: int, deadline: float) -> Exchange:
        tries = broken = 0
        waited = 0.0
        while True:
            exchange = Exchange(self._model, body, prompt)
            try:
                self._count(exchange, deadline)
                return exchange
            except RunnerError:
                raise
            except Exception as exc:
                verdict = self._judge(exc, exchange)
                if verdict.action == "context":
                    exchange.reply = Reply(stop=Stop.CONTEXT, detail=verdict.error.detail)
                    return exchange
                tries += 1
                broken += verdict.action == "retry few"
                wait = self._wait_before(tries, verdict)
                is_hopeless = (
                    verdict.action == "raise"
                    or tries >= TRIES
                    or broken >= BROKEN_TRIES
                    or waited + wait > TOTAL_WAIT
                    or self._model.monotonic() + wait >= deadline
                )
                if is_hopeless:
                    raise verdict.error from exc
            self._model.sleep(wait)
            waited += wait

    def _wait_before(self, tries: int, verdict: Verdict) -> float:
        if verdict.retry_after is not None:
            return verdict.retry_after
        return min(2.0 ** (tries - 1), LONGEST_BACKOFF) * random.uniform(0.75, 1.0)

    def _judge(self, exc: Exception, exchange: Exchange) -> Verdict:
        model = self._model
        problem = problem_of(exc)
        if problem is None:
            raise exc
        return judge(problem, model=model, has_begun=exchange.reader.has_begun)

    def _count(self, exchange: Exchange, deadline: float) -> None:
        started = self._model.monotonic()
        outcome = "interrupted"
        try:
            exchange.run(deadline)
            outcome = exchange.reply.stop.value
        except Exception as exc:
            outcome = type(exc).__name__
            raise
        finally:
            usage, is_estimate = exchange.billed()
            self._usage += usage
            self._calls += 1
            if self._model.on_call is not None:
                self._model.on_call(
                    Call(
                        provider=self._model.provider,
                        model=exchange.reader.model or self._model.choice.model,
                        outcome=outcome,
                        usage=usage,
                        seconds=self._model.monotonic() - started,
                        request_id=exchange.request_id,
                        is_estimate=is_estimate,
                    )
                )


def encode(value: object) -> bytes:
    """JSON as it is sent: compact, UTF-8, keys in the order given. A lone surrogate is replaced, not refused."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


def tokens_of(one: Input) -> int:
    """A rough count of one input's tokens."""
    return IMAGE_TOKENS if isinstance(one, UserImage) else len(one.text) // CHARS_PER_TOKEN + 1
