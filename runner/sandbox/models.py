"""Both providers' model APIs on loopback, answered by a script instead of a model.

The server is strict where the real APIs are strict, so that a request which it takes is one that they
take: unknown fields, sampling parameters, prefilled answers, forced tool choice, altered thinking,
calls without results, loose schemas and rewritten histories are refused with the providers' own
error shapes. A ``Brain`` sees one neutral request whichever API was spoken.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from werkzeug.wrappers import Request, Response

from runner.core.prices import PRICES
from runner.sandbox.models_anthropic import AnthropicApi
from runner.sandbox.models_openai import OpenAIApi
from runner.sandbox.models_wire import (
    Api,
    ApiError,
    Brain,
    Message,
    ModelFault,
    ModelReply,
    ModelRequest,
    ToolUse,
)
from runner.sandbox.server import Service, json_response

__all__ = [
    "SANDBOX_KEY",
    "Brain",
    "Message",
    "ModelFault",
    "ModelReply",
    "ModelRequest",
    "QueueBrain",
    "ScriptedModels",
    "ToolUse",
]

SANDBOX_KEY = "sandbox-model-key"


class ScriptedModels(Service):
    """A loopback server for ``ANTHROPIC_BASE_URL`` (``url``) and ``OPENAI_BASE_URL`` (``url`` + ``/v1``).

    ``requests`` holds every request that a brain was asked, in order; ``sizes`` the bytes of every body that
    arrived, refused ones included; ``refusals`` what the checks refused.
    """

    name = "models"

    def __init__(
        self,
        brain: Brain,
        *,
        keys: Iterable[str] = (SANDBOX_KEY,),
        models: Iterable[str] = tuple(PRICES),
    ) -> None:
        super().__init__()
        self.brain = brain
        self.requests: list[ModelRequest] = []
        self.sizes: list[int] = []
        self.refusals: list[str] = []
        self._keys = frozenset(keys)
        names = frozenset(models)
        self._apis: dict[str, Api] = {api.path: api for api in (AnthropicApi(names), OpenAIApi(names))}
        self._turns = threading.Lock()

    @property
    def calls(self) -> int:
        """How many requests a brain answered."""
        return len(self.requests)

    @property
    def anthropic_url(self) -> str:
        """The value for ``ANTHROPIC_BASE_URL``."""
        return self.url

    @property
    def openai_url(self) -> str:
        """The value for ``OPENAI_BASE_URL``."""
        return f"{self.url}/v1"

    def respond(self, request: Request) -> Response:
        """Answer one request, one at a time."""
        api = self._apis.get(request.path)
        if api is None or request.method != "POST":
            return json_response({"error": {"type": "not_found_error", "message": "Not found"}}, 404)
        with self._turns:
            return self._answer(api, request)

    def _answer(self, api: Api, request: Request) -> Response:
        body = request.get_data()
        self.sizes.append(len(body))
        number = len(self.sizes)
        try:
            if api.key(request.headers) not in self._keys:
                raise _wrong_key(api)
            told = api.read(request.headers, body)
        except ApiError as error:
            self.refusals.append(error.message)
            return _named(json_response(api.failure(error), error.status), number)
        self.requests.append(told.request)
        reply = self.brain.answer(told.request)
        if isinstance(reply, ModelFault):
            return _failed(api, reply, number)
        whole, events = api.answer(told, reply, number)
        if not told.is_streamed:
            return _named(json_response(whole), number)
        return _named(Response("".join(events), content_type="text/event-stream; charset=utf-8"), number)


class QueueBrain:
    """Answers from a list, in order; a request too many is answered with a failure that names the script's end."""

    def __init__(self, replies: Iterable[ModelReply | ModelFault | str] = ()) -> None:
        self._replies = [ModelReply(text=one) if isinstance(one, str) else one for one in replies]

    def add(self, *replies: ModelReply | ModelFault) -> None:
        """Append answers."""
        self._replies += replies

    def answer(self, request: ModelRequest) -> ModelReply | ModelFault:
        """Return the next answer."""
        if not self._replies:
            return ModelFault(
                status=400,
                type="invalid_request_error",
                message=f"The script has no answer for turn {request.turn}.",
            )
        return self._replies.pop(0)


def _wrong_key(api: Api) -> ApiError:
    if api.name == "anthropic":
        return ApiError(401, "authentication_error", "invalid bearer token")
    return ApiError(401, "invalid_api_key", "Incorrect API key provided.")


def _failed(api: Api, fault: ModelFault, number: int) -> Response:
    error = ApiError(fault.status, fault.type, fault.message)
    response = json_response(api.failure(error), fault.status)
    if fault.retry_after is not None:
        response.headers["Retry-After"] = f"{fault.retry_after:g}"
    return _named(response, number)


def _named(response: Response, number: int) -> Response:
    response.headers["request-id"] = response.headers["x-request-id"] = f"req_{number:08d}"
    return response
