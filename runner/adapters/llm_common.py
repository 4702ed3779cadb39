"""What both model adapters share: the SDK, the key, where requests go, and what a provider must tell of itself.

The SDKs are used for what they are good at (keys, headers, proxies, TLS, typed errors); calls are made in
``llm_call``, the history and the retries are in ``llm_conversation``.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from runner.adapters.llm_call import Reader
from runner.adapters.llm_conversation import Call, StreamedConversation
from runner.core.work import Brief, Input, ModelChoice, ToolResult, UserImage
from runner.errors import ConfigError
from runner.ports import Model

CONNECT_SECONDS = 15.0
IDLE_SECONDS = 600.0  # reasoning can be silent for minutes
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


class StreamedModel(ABC):
    """A provider's model behind the port. Subclasses know the provider's shapes, this class the conduct."""

    provider: ClassVar[Literal["anthropic", "openai"]]
    vendor: ClassVar[str]
    key_name: ClassVar[str]
    base_url_name: ClassVar[str]
    public_host: ClassVar[str]
    path: ClassVar[str]
    history_field: ClassVar[str]
    efforts: ClassVar[frozenset[str]]

    def __init__(
        self,
        choice: ModelChoice,
        *,
        api_key: str,
        base_url: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        on_call: Callable[[Call], None] | None = None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.choice = choice
        self.sleep = sleep
        self.monotonic = monotonic
        self.on_call = on_call
        self.idle_seconds = idle_seconds
        self._api_key = checked_key(api_key, self.key_name)
        self._base_url = base_url.rstrip("/") if base_url else None
        self._client: Any = None
        self._lock = threading.Lock()
        if choice.effort is not None and choice.effort not in self.efforts:
            raise ConfigError(
                f"{self.vendor} knows no effort {choice.effort!r}.",
                remedy=f"Choose one of {', '.join(sorted(self.efforts))}.",
            )

    @property
    def host(self) -> str:
        """Where requests go."""
        return (urlsplit(self._base_url).hostname if self._base_url else None) or self.public_host

    @abstractmethod
    def connect(self) -> Any:
        """Import the SDK and build its client, with the SDK's own retries off."""

    @abstractmethod
    def head(self, brief: Brief) -> dict[str, Any]:
        """Return every field of the request except the history, in the order in which it is sent."""

    @abstractmethod
    def write(self, results: Sequence[ToolResult], others: Sequence[Input]) -> list[dict[str, Any]]:
        """Turn inputs into history items, tool results first."""

    @abstractmethod
    def reader(self) -> Reader:
        """Begin to read an answer."""

    def preload(self) -> None:
        """Import the SDK on a thread of its own, so that it overlaps with reading and preparing."""
        threading.Thread(target=self._preload, name=f"import-{self.provider}", daemon=True).start()

    def _preload(self) -> None:
        # The same error is raised to whoever asks for the client next.
        with contextlib.suppress(Exception):
            self.client()

    def client(self) -> Any:
        """Return the SDK's client, built on first use."""
        with self._lock:
            if self._client is None:
                self._client = self.connect()
            return self._client

    def close(self) -> None:
        """Close the SDK's connections, if any were opened."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def open(self, brief: Brief) -> StreamedConversation:
        """Begin a conversation. A schema and tools in one conversation are refused: neither provider holds both well."""
        if brief.schema is not None and brief.tools:
            raise ValueError("a conversation has tools or a schema, not both")
        return StreamedConversation(self, brief)

    def module(self, name: str) -> Any:
        """Import an SDK, or say how to install it."""
        try:
            return importlib.import_module(name)
        except ImportError as exc:
            raise ConfigError(
                f"The {self.vendor} SDK is not installed.",
                remedy=f"Install it with: pip install 'jira-ai-runner[{self.provider}]'",
                detail=str(exc),
            ) from exc

    def post(self, body: bytes, *, seconds: float) -> Any:
        """Send one request and return the open response; raises the SDK's own errors."""
        # A little more than what is left, so that it is the caller's clock which ends the wait.
        longest = max(0.0, seconds) + 1.0
        timeout = importlib.import_module("httpx2").Timeout(
            min(self.idle_seconds, longest), connect=min(CONNECT_SECONDS, longest)
        )
        return self.client().post(
            self.path,
            cast_to=importlib.import_module("httpx2").Response,
            content=body,
            options={"timeout": timeout, "headers": {"Accept": "text/event-stream"}},
            stream=True,
        )


def arguments_of(raw: str) -> tuple[Mapping[str, Any] | None, str]:
    """A call's arguments and "", or ``None`` and what is wrong with them. Nothing at all means no arguments."""
    try:
        value = json.loads(raw) if raw.strip() else {}
    except ValueError as exc:
        return None, f"The arguments are not JSON: {exc}"
    if not isinstance(value, dict):
        return None, f"The arguments must be a JSON object, not {type(value).__name__}"
    return value, ""


def image_note(image: UserImage) -> str:
    """What stands in for a picture of a type that the model does not take."""
    return f"[A picture of type {image.media_type} was left out: the model does not take this type.]"


def checked_key(key: str, name: str) -> str:
    """The key without surrounding space; ConfigError when it cannot be one. One message for both providers."""
    key = key.strip()
    if not key:
        raise ConfigError(f"{name} is not set.", remedy=f"Add the secret {name} and pass it to the action.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"{name} holds characters that no key has.",
            remedy=f"Copy the key again into the secret {name}, without quotes or line breaks.",
        )
    return key


def create_model(
    choice: ModelChoice,
    *,
    api_key: str,
    base_url: str | None = None,
    on_call: Callable[[Call], None] | None = None,
) -> Model:
    """The chosen provider's model; only its adapter is imported, and no SDK yet."""
    if choice.provider == "anthropic":
        from runner.adapters.llm_anthropic import AnthropicModel

        return AnthropicModel(choice, api_key=api_key, base_url=base_url, on_call=on_call)
    from runner.adapters.llm_openai import OpenAIModel

    return OpenAIModel(choice, api_key=api_key, base_url=base_url, on_call=on_call)
