"""One repository's GitHub API: REST below its root, lists page by page, GraphQL, and what a foreign answer means.

A list comes whole or not at all, and a value of another shape than documented is a failed read, or a write of
unknown result: unknown is never taken for empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from runner.adapters.http import HttpClient, Response, segment
from runner.errors import Ambiguous, ConfigError, Conflict, NotFound, RunnerError, Unavailable

API_VERSION = "2022-11-28"
PAGE_SIZE = 100
MAX_PAGES = 100

_JSON = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION}
_RAW = {**_JSON, "Accept": "application/vnd.github.raw+json"}


class GitHubApi:
    """Requests about one repository; paths continue the repository's own address."""

    def __init__(self, http: HttpClient, *, repository: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", repository):
            raise ConfigError(
                f"`{repository}` is not the name of a repository.", remedy="It looks like `owner/name`."
            )
        self.repository = repository
        self.owner, self.name = repository.split("/")
        self._http = http
        self._root = f"/repos/{segment(self.owner)}/{segment(self.name)}"
        self._graphql_url = _graphql_url(http.base_url)

    def get(self, path: str, **params: str) -> Response:
        """Read one answer."""
        return self._http.get(self._root + path, params=params, headers=_JSON)

    def raw(self, path: str, **params: str) -> Response:
        """Read a file's bytes; what is no file is described in JSON all the same."""
        return self._http.get(self._root + path, params=params, headers=_RAW, want="bytes")

    def user(self) -> dict[str, Any]:
        """Read whose token this is, which not every token may."""
        return self._http.get("/user", headers=_JSON).mapping()

    def send(
        self, method: str, path: str, body: object = None, *, idempotent: bool, **options: Any
    ) -> Response:
        """Write; ``idempotent`` says that it may be repeated, ``options`` are those of the client's ``request``."""
        return self._http.request(
            method, self._root + path, json=body, headers=_JSON, idempotent=idempotent, **options
        )

    def pause(self, seconds: float) -> bool:
        """Wait before another look; false when the run has waited as long as it may."""
        return self._http.pause(seconds)

    def pages(self, path: str, **params: str) -> Iterator[Response]:
        """Every page of a list, following the links that GitHub gives."""
        answer = self.get(path, per_page=str(PAGE_SIZE), **params)
        yield answer
        for _ in range(MAX_PAGES):
            if "next" not in answer.links:
                return
            answer = self._http.get(answer.links["next"], headers=_JSON)
            yield answer
        raise Unavailable("GitHub lists more than can be read.", detail=f"{path}: over {MAX_PAGES} pages")

    def items(self, path: str, **params: str) -> list[Any]:
        """A whole list."""
        return [item for page in self.pages(path, **params) for item in page.sequence()]

    def counted_items(self, path: str, member: str, count: str, **params: str) -> list[Any]:
        """A list inside an object that says how long it is; a shorter one is a failed read."""
        items: list[Any] = []
        total = 0
        for page in self.pages(path, **params):
            data = page.mapping()
            with shape():
                items.extend(data[member])
                total = int(data[count])
        if len(items) < total:
            raise Unavailable(
                "GitHub's answer is incomplete.", detail=f"{path}: {len(items)} of {total} {member}"
            )
        return items

    def graphql(
        self, query: str, variables: Mapping[str, object], *, is_write: bool = False
    ) -> dict[str, Any]:
        """Ask in GraphQL. An answer with errors is a failure, also when it carries some of the data."""
        answer = self._http.request(
            "POST",
            self._graphql_url,
            json={"query": query, "variables": dict(variables)},
            headers=_JSON,
            kind="write" if is_write else "read",
            idempotent=not is_write,
        )
        body = answer.mapping()
        if errors := body.get("errors"):
            raise _graphql_failure(errors, answer, is_write=is_write)
        data = body.get("data")
        if not isinstance(data, dict):
            raise misshapen("no data in a GraphQL answer", is_write=is_write)
        return data


def quoted_path(path: str) -> str:
    """A path of several segments, from outside, as part of an address."""
    return "/".join(segment(part) for part in path.split("/"))


def misshapen(detail: str, *, is_write: bool) -> Unavailable:
    """An answer that is not what was asked for: a failed read, or a write of unknown result."""
    error = Ambiguous if is_write else Unavailable
    return error("GitHub gave an answer of another shape than its documentation promises.", detail=detail)


@contextmanager
def shape(*, is_write: bool = False) -> Iterator[None]:
    """Turn a missing or foreign member of an answer into a failed read: it is never taken for empty."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as exc:
        raise misshapen(f"{type(exc).__name__}: {exc}", is_write=is_write) from exc


def _graphql_url(base_url: str) -> str:
    """Where GraphQL answers: beside REST on github.com, beside ``v3`` on an enterprise server."""
    base = base_url.rstrip("/")
    return base.removesuffix("/v3") + "/graphql" if base.endswith("/api/v3") else base + "/graphql"


def _graphql_failure(errors: object, answer: Response, *, is_write: bool) -> RunnerError:
    """What the errors of a GraphQL answer mean; the first one that has a kind decides."""
    listed = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    kinds = [str(error.get("type", "")) for error in listed]
    kind = next(filter(None, kinds), "")
    said = " · ".join(str(error.get("message", "")) for error in listed)[:500]
    if kind == "NOT_FOUND":
        return NotFound("GitHub has no such thing, or this account may not see it.", detail=said)
    if kind in {"FORBIDDEN", "INSUFFICIENT_SCOPES"}:
        return ConfigError(
            f"GitHub does not let this account do that: {said}",
            remedy="Give the token `pull-requests: write` and `contents: read`.",
            detail=said,
        )
    if kind == "UNPROCESSABLE":
        return Conflict(f"GitHub refused a change: {said}", detail=said)
    if kind == "RATE_LIMITED":
        reset = answer.headers.get("X-RateLimit-Reset", "")
        retry_at = float(reset) if reset.isdigit() else None
        return Unavailable("GitHub limits our requests.", detail=said, retry_at=retry_at)
    if any("code" in (error.get("extensions") or {}) for error in listed):
        return ConfigError("This GitHub does not know a part of its API that is needed.", detail=said)
    return misshapen(f"GraphQL errors: {said}", is_write=is_write)
