"""One table of REST routes: template, rights, query and body of each, as GitHub documents them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from werkzeug.wrappers import Request, Response

from runner.sandbox.github import shapes
from runner.sandbox.github.errors import ApiError, not_found
from runner.sandbox.github.hub import Hub, Need
from runner.sandbox.github.state import Pull, Token, User
from runner.sandbox.server import json_response

PAGING = {"per_page": int, "page": int}
_SPANNING = {"path", "ref", "branch", "basehead"}

Query = Mapping[str, type | tuple[str, ...]]
Answer = Response | dict[str, Any] | list[Any] | None
Handler = Callable[["Call"], Answer]


@dataclass(kw_only=True)
class Call:
    """One authorised request: the hub to act on, who asks, and the checked parts of the request."""

    hub: Hub
    request: Request
    token: Token | None
    parameters: Mapping[str, str]
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def caller(self) -> Token:
        """Whose request this is; routes that write never see an anonymous one."""
        if self.token is None:
            raise ApiError(401, "Requires authentication")
        return self.token

    @property
    def actor(self) -> User:
        """The account behind the token."""
        return self.hub.actor(self.caller)

    @property
    def pull(self) -> Pull:
        """The pull request the path names; 404 when there is none."""
        number = self.parameters.get("pull_number") or self.parameters["issue_number"]
        return self.hub.pull(_integer(number))

    @property
    def version(self) -> str:
        """The API version asked for."""
        return self.request.headers.get("X-GitHub-Api-Version", "2022-11-28")

    def number(self, name: str) -> int:
        """A numeric path parameter; anything else is not found."""
        return _integer(self.parameters[name])

    def query(self, name: str, default: str = "") -> str:
        """A query parameter."""
        return self.request.args.get(name, default)

    def is_media(self, kind: str) -> bool:
        """Whether the caller accepts this GitHub media type, such as ``raw``."""
        return f".{kind}" in self.request.headers.get("Accept", "")

    def page(
        self, items: Sequence[Any], view: Callable[[Any], Any], *, member: str | None = None
    ) -> Response:
        """One page of a listing with its ``Link`` header; ``member`` wraps it in an object with the count."""
        size = min(max(int(self.query("per_page", "30")), 1), 100)
        page = max(int(self.query("page", "1")), 1)
        last = max((len(items) + size - 1) // size, 1)
        shown = [view(item) for item in items[(page - 1) * size : page * size]]
        links = {"next": page + 1, "last": last} if page < last else {}
        links |= {"prev": page - 1, "first": 1} if page > 1 else {}
        header = ", ".join(f'<{self._page_url(number)}>; rel="{name}"' for name, number in links.items())
        value = {"total_count": len(items), member: shown} if member else shown
        return json_response(value, headers={"Link": header} if header else {})

    def _page_url(self, page: int) -> str:
        query = {**self.request.args.to_dict(), "page": str(page)}
        return f"{self.hub.url}{self.request.path}?{urlencode(query)}"


@dataclass(frozen=True, kw_only=True)
class Route:
    """One operation. ``needs`` are alternatives, any of which suffices; empty means anybody."""

    method: str
    template: str
    pattern: re.Pattern[str]
    literal: int
    needs: tuple[Need, ...]
    for_readers: bool
    query: Query
    body: shapes.Schema | None
    status: int
    handler: Handler


ROUTES: list[Route] = []


def route(
    operation: str,
    *needs: Need,
    query: Query | None = None,
    body: shapes.Schema | None = None,
    status: int = 200,
    for_readers: bool = False,
) -> Callable[[Handler], Handler]:
    """Register a handler for ``METHOD /template``; ``{repo}`` stands for ``/repos/{owner}/{repo}``."""
    method, template = operation.split(" ")
    template = template.replace("{repo}", "/repos/{owner}/{repo}")

    def register(handler: Handler) -> Handler:
        ROUTES.append(
            Route(
                method=method,
                template=template,
                pattern=_pattern(template),
                literal=len(re.sub(r"\{\w+\}", "", template)),
                needs=needs,
                for_readers=for_readers,
                query=query or {},
                body=body,
                status=status,
                handler=handler,
            )
        )
        ROUTES.sort(key=lambda one: -one.literal)
        return handler

    return register


def _pattern(template: str) -> re.Pattern[str]:
    def group(match: re.Match[str]) -> str:
        return f"(?P<{match[1]}>{'.+' if match[1] in _SPANNING else '[^/]+'})"

    text = re.sub(r"\\{(\w+)\\}", group, re.escape(template))
    return re.compile(text.replace("/contents/(?P<path>.+)", "/contents/?(?P<path>.*)"))


def serve(hub: Hub, request: Request, token: Token | None, path: str) -> Response:
    """Answer one REST request. The caller holds the hub's lock."""
    found = [(one, match) for one in ROUTES if (match := one.pattern.fullmatch(path))]
    chosen = next(((one, match) for one, match in found if one.method == request.method), None)
    if chosen is None:
        raise not_found()
    one, match = chosen
    parameters = match.groupdict()
    if "repo" in parameters and _is_other(hub, parameters):
        raise not_found()
    if one.needs:
        hub.require(token, *one.needs, for_readers=one.for_readers)
    _check_query(one.query, request)
    call = Call(hub=hub, request=request, token=token, parameters=parameters)
    if one.body is not None:
        call.body = _checked_body(one.body, request)
    elif request.get_data() not in (b"", b"{}", b"null"):
        raise ApiError(422, "Invalid request.\n\nThis operation takes no body.")
    answer = one.handler(call)
    return answer if isinstance(answer, Response) else json_response(answer, status=one.status)


def _is_other(hub: Hub, parameters: Mapping[str, str]) -> bool:
    asked = f"{parameters['owner']}/{parameters['repo']}"
    return asked.lower() != hub.full_name.lower()


def _check_query(accepted: Query, request: Request) -> None:
    for name, value in request.args.items():
        kind = accepted.get(name)
        if kind is None:
            raise ApiError(422, f"Invalid request.\n\n{name!r} is not a query parameter of this operation.")
        is_wrong = (
            (kind is int and not value.isdecimal())
            or (kind is bool and value not in ("true", "false"))
            or (isinstance(kind, tuple) and value not in kind)
        )
        if is_wrong:
            raise ApiError(422, f"Invalid request.\n\n{value!r} is not a value of {name!r}.")


def _checked_body(schema: shapes.Schema, request: Request) -> dict[str, Any]:
    data = request.get_data()
    if not data and not schema.get("required"):
        return {}
    if request.mimetype != "application/json":
        raise ApiError(415, "Content-Type must be application/json")
    try:
        value = json.loads(data)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except ValueError:
        raise ApiError(400, "Problems parsing JSON") from None
    if not isinstance(value, dict):
        raise ApiError(400, "Body should be a JSON object")
    shapes.check(schema, value)
    return value


def _integer(text: str) -> int:
    if not text.isdecimal():
        raise not_found()
    return int(text)
