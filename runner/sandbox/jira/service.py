"""The HTTP face of the embedded Jira: addresses, credentials, faults.

It refuses what the published contract refuses. Classic tokens work at the site's address, scoped
ones only below ``/ex/jira/<cloudId>``. Listeners (the Automation engine) are told of a change
before its request is answered, so whoever made the change finds the dispatch already sent.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from werkzeug.wrappers import Request, Response

from runner.sandbox.jira import details, setup, shapes, tickets
from runner.sandbox.jira.call import Answer, Call, Route, Upload
from runner.sandbox.jira.records import Credential, JiraError
from runner.sandbox.jira.state import JiraSite
from runner.sandbox.jira.views import View
from runner.sandbox.server import Recorder, Service, json_response

LOGIN = "Client must be authenticated to access this resource."
Hook = Callable[[Request], Response | None]


class MediaHost(Service):
    """Where attachment contents live: another origin, which refuses to be shown Jira's credentials."""

    name = "jira-media"

    def __init__(self, site: JiraSite) -> None:
        super().__init__()
        self.site = site

    def respond(self, request: Request) -> Response:
        """Serve ``/file/<id>/binary`` to requests without credentials."""
        if "Authorization" in request.headers:
            return json_response({"code": 400, "reason": "Only one auth mechanism allowed"}, 400)
        found = re.fullmatch(r"/file/(\d+)/binary", request.path)
        file = self.site.files.get(found[1]) if found else None
        if file is None:
            return json_response({"code": 404, "reason": "not found"}, 404)
        return Response(file.data, status=200, content_type=file.media_type)


class JiraSandbox(Service):
    """The HTTP face of a JiraSite.

    ``faults`` is asked before a request is handled: a response from it is sent instead. ``lost`` is
    asked after the change was made: its response replaces the true one, as when an answer is lost.
    Either may raise ConnectionResetError to drop the connection.
    """

    name = "jira"

    def __init__(self, site: JiraSite | None = None, *, recorder: Recorder | None = None) -> None:
        super().__init__(recorder=recorder)
        self.site = site or JiraSite()
        self.media = MediaHost(self.site)
        self.faults: Hook | None = None
        self.lost: Hook | None = None
        self._routes = [(_pattern(route.template), route) for route in all_routes()]

    def start(self) -> None:
        """Listen, together with the media host."""
        self.media.tls = self.tls
        self.media.start()
        super().start()

    def stop(self) -> None:
        """Stop both servers."""
        super().stop()
        self.media.stop()

    def __enter__(self) -> JiraSandbox:
        self.start()
        return self

    @property
    def scoped_url(self) -> str:
        """The base address for scoped tokens."""
        return f"{self.url}/ex/jira/{self.site.cloud_id}"

    def is_recorded(self, request: Request) -> bool:
        """Only the REST API has a contract."""
        return "/rest/" in request.path

    def respond(self, request: Request) -> Response:
        """Answer one request, then tell the listeners what it changed."""
        fault = self.faults(request) if self.faults else None
        if fault is not None:
            return fault
        answer = self._handled(request)
        self.site.deliver()
        lost = self.lost(request) if self.lost else None
        return answer if lost is None else lost

    def _handled(self, request: Request) -> Response:
        try:
            return _response(self._answer(request))
        except JiraError as error:
            body = {"errorMessages": error.messages, "errors": error.fields}
            headers = {"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"} if error.status == 401 else {}
            return json_response(body, error.status, headers)

    def _answer(self, request: Request) -> Answer:
        base, path, is_gateway = self._split(request)
        if path == "/_edge/tenant_info":
            return Answer(body={"cloudId": self.site.cloud_id, "cloudName": "sandbox"})
        route, params = self._route(request.method, path)
        credential = self._credential(request, is_gateway=is_gateway)
        if credential is None and not route.is_read:
            raise JiraError(401, LOGIN)
        if credential is not None:
            _check_scope(credential, route)
        query = {name: list(values) for name, values in request.args.lists()}
        shapes.check_query(query, route.query)
        body = _body(request, route)
        account = credential.account if credential else ""
        with self.site.lock:
            return route.handler(
                Call(
                    site=self.site,
                    account=account,
                    view=View(site=self.site, base=base, account=account),
                    params=params,
                    query=query,
                    body=body,
                    headers=dict(request.headers.items()),
                    media_url=self.media.url,
                    uploads=_uploads(request) if route.is_multipart else (),
                )
            )

    def _split(self, request: Request) -> tuple[str, str, bool]:
        """The base address used, the path below it, and whether it was the gateway's."""
        host = request.host_url.rstrip("/")
        found = re.match(r"/ex/jira/([^/]+)(/.*)", request.path)
        if not found:
            return host, request.path, False
        if found[1] != self.site.cloud_id:
            raise JiraError(404, "No site with this cloudId.")
        return f"{host}/ex/jira/{found[1]}", found[2], True

    def _route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        matches = [(found, route) for pattern, route in self._routes if (found := pattern.fullmatch(path))]
        if not matches:
            raise JiraError(404, f"null for uri: {path}")
        # As in the contract, the most literal address wins.
        fewest = min(len(found.groupdict()) for found, _route in matches)
        for found, route in matches:
            if len(found.groupdict()) == fewest and route.method == method:
                return route, {name: unquote(value) for name, value in found.groupdict().items()}
        raise JiraError(405, f"{method} is not allowed for {path}.")

    def _credential(self, request: Request, *, is_gateway: bool) -> Credential | None:
        header = request.headers.get("Authorization")
        if header is None:
            return None
        credential = self.site.credentials.get(self._token(header))
        if credential is None or not self.site.users[credential.account].active:
            raise JiraError(401, LOGIN)
        if credential.is_scoped and not is_gateway:
            raise JiraError(401, LOGIN)
        return credential

    def _token(self, header: str) -> str:
        kind, _space, value = header.partition(" ")
        if kind.lower() == "bearer":
            return value.strip()
        if kind.lower() != "basic":
            raise JiraError(401, LOGIN)
        try:
            email, _colon, token = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise JiraError(401, "Basic authentication with an unreadable value.") from error
        owner = self.site.credentials.get(token)
        if owner is None or self.site.users[owner.account].email.lower() != email.lower():
            raise JiraError(401, LOGIN)
        return token


def all_routes() -> list[Route]:
    """Every operation that the sandbox serves."""
    return [*tickets.routes(), *details.routes(), *setup.routes()]


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))


def _check_scope(credential: Credential, route: Route) -> None:
    if credential.scopes is not None and route.scope not in credential.scopes:
        raise JiraError(401, "Unauthorized; scope does not match")


def _body(request: Request, route: Route) -> Any:
    if route.is_multipart:
        return None
    text = request.get_data(as_text=True)
    if route.body is None:
        if text.strip() not in ("", "{}"):
            raise JiraError(400, "The operation takes no body.")
        return None
    if not text:
        raise JiraError(400, "No content to map to Object due to end of input")
    if "json" not in request.mimetype:
        raise JiraError(415, "Unsupported Media Type")
    try:
        body = json.loads(text)
    except ValueError as error:
        raise JiraError(400, f"Unexpected character in the request body: {error}") from error
    shapes.check_body(body, route.body)
    return body


def _uploads(request: Request) -> list[Upload]:
    uploads = []
    for one in request.files.getlist("file"):
        uploads.append(Upload(name=one.filename or "file", media_type=one.mimetype, data=one.read()))
        one.close()
    return uploads


def _response(answer: Answer) -> Response:
    if answer.data is not None:
        return Response(answer.data, status=answer.status, headers=dict(answer.headers))
    if answer.body is None:
        return Response(b"", status=answer.status, headers=dict(answer.headers))
    return json_response(answer.body, answer.status, answer.headers)
