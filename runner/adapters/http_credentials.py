"""Who we are to a service, and the addresses where that may be told.

A base address is https unless it is this machine, and a credential never leaves the base address's origin.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from runner.errors import ConfigError

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Credential(AuthBase):
    """The Authorization header of one service. As an auth object it also keeps ~/.netrc out of the request."""

    def __init__(self, value: str, *, secrets: tuple[str, ...]) -> None:
        if re.search(r"[\x00-\x1f\x7f]", value) or not value.isascii():
            raise ConfigError(
                "A token holds a line break or another character that a token cannot have.",
                remedy="Store the secret again, without quotes, spaces or line breaks around it.",
            )
        self._value = value
        self.secrets = secrets

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the header on a request."""
        request.headers["Authorization"] = self._value
        return request


def basic(user: str, password: str) -> Credential:
    """HTTP basic authentication, in UTF-8."""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    return Credential(f"Basic {pair}", secrets=(password, pair))


def bearer(token: str) -> Credential:
    """A bearer token."""
    return Credential(f"Bearer {token}", secrets=(token,))


class Anonymous(AuthBase):
    """No credentials, and none from ~/.netrc either."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Take the header off a request."""
        request.headers.pop("Authorization", None)
        return request


def checked_base(base_url: str, service: str) -> str:
    """A base address without its last slash; ConfigError unless a credential may be sent there."""
    try:
        parts = urlsplit(base_url)
        host = parts.hostname
        is_usable = bool(host) and not (parts.query or parts.fragment or parts.username or parts.password)
        is_private = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
        is_usable = is_usable and is_private and (parts.port is None or parts.port > 0)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConfigError(
            f"The base address of {service} is not an https address.",
            remedy="It looks like https://host or https://host/path, without user name and query.",
        )
    return base_url.rstrip("/")


def origin(url: str) -> str:
    """Scheme, host and port; ValueError for an address that has none."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def same_origin(one: str, other: str) -> bool:
    """Whether a credential for the one may go to the other."""
    try:
        return origin(one) == origin(other)
    except ValueError:
        return False
