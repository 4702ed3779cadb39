"""The embedded GitHub as a server: authentication, faults, REST, GraphQL and git on one port."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from runner.sandbox import git_http
from runner.sandbox.github import (
    graphql,
    rest_actions,
    rest_issues,
    rest_pulls,
    rest_repository,
    routing,
)
from runner.sandbox.github.errors import ApiError
from runner.sandbox.github.hub import Hub
from runner.sandbox.github.repository import GitError
from runner.sandbox.github.state import (
    CheckRun,
    Clock,
    GitHubEvent,
    Level,
    Pull,
    Role,
    Token,
    TokenKind,
    User,
    WorkflowRun,
)
from runner.sandbox.server import Recorder, Service, json_response

VERSIONS = ("2022-11-28", "2026-03-10")
# Importing a module registers its routes; naming them here says that the imports are meant.
OPERATIONS = (rest_actions, rest_issues, rest_pulls, rest_repository)

Before = Callable[[Request], Response | None]
After = Callable[[Request, Response], Response | None]
Listener = Callable[[GitHubEvent], None]


class AnswerLost(ConnectionError):
    """Raised by a fault hook: the connection ends without an answer."""


class GitHubSandbox(Service):
    """A GitHub with one repository.

    REST lies at ``url`` (and ``url/api/v3``), GraphQL at ``url/graphql`` (and ``url/api/graphql``), git at
    ``url/<owner>/<repo>[.git]``. ``before`` hooks see a request first and may answer it or raise AnswerLost;
    ``after`` hooks do the same once it is applied. Both see git traffic too. ``listeners`` hear of events on the
    thread of the request that caused them, after it was applied and outside the lock: they may call back.
    """

    name = "github"

    def __init__(
        self,
        repository: str = "acme/till",
        *,
        git_dir: Path,
        private: bool = True,
        default_branch: str = "main",
        recorder: Recorder | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(recorder=recorder)
        self.hub = Hub(
            repository, git_dir=git_dir, private=private, default_branch=default_branch, clock=clock
        )
        self.git_dir = git_dir
        self.before: list[Before] = []
        self.after: list[After] = []
        self.listeners: list[Listener] = []
        self._git = git_http.GitHttp(git_dir, self.hub.git.environment)

    def start(self) -> None:
        """Listen, and let every address in the answers point here."""
        super().start()
        self.hub.url = self.url

    # What a story or a test prepares

    def add_token(
        self, token: str, *, login: str, kind: TokenKind = "app", permissions: Mapping[str, Level]
    ) -> Token:
        """Add a credential whose permissions are enforced.

        Their names: contents, pull-requests, issues, checks, statuses, actions, metadata, workflows.
        """
        with self.hub.lock:
            return self.hub.add_token(token, login=login, kind=kind, permissions=permissions)

    def add_user(self, login: str, token: str, permission: Role = "write") -> User:
        """Add a person with a token that may do whatever their role allows."""
        with self.hub.lock:
            user = self.hub.add_user(login, permission)
            self.hub.add_token(token, login=login, kind="classic", permissions={})
            return user

    def seed(self, files: Mapping[str, bytes], message: str, *, executable: Collection[str] = ()) -> str:
        """Make the first commit on the default branch and return it."""
        with self.hub.lock:
            git, owner = self.hub.git, self.hub.signature_of(self.hub.owner)
            changes = {
                path: ("100755" if path in executable else "100644", git.write_blob(content))
                for path, content in files.items()
            }
            sha = git.write_commit(git.write_tree(None, changes), [], message, author=owner, committer=owner)
            git.set_ref(f"refs/heads/{self.hub.default_branch}", sha)
            return sha

    def adopt(self, source: Path, ref: str = "HEAD") -> str:
        """Take the default branch from another repository on this machine, with its history."""
        with self.hub.lock:
            target = f"+{ref}:refs/heads/{self.hub.default_branch}"
            self.hub.git.git("fetch", "--quiet", "--no-tags", str(source.resolve()), target)
            return str(self.hub.git.branch(self.hub.default_branch))

    def protect(self, *branches: str) -> None:
        """Let these branches change by merged pull requests only."""
        with self.hub.lock:
            self.hub.protected.update(branches)

    def require_signatures(self, *, required: bool = True) -> None:
        """Refuse pushes of commits that GitHub did not sign."""
        with self.hub.lock:
            self.hub.requires_signatures = required

    def configure(
        self,
        *,
        allow_drafts: bool | None = None,
        allow_actions_pull_requests: bool | None = None,
        delete_branch_on_merge: bool | None = None,
        merge_methods: Collection[str] | None = None,
    ) -> None:
        """Change repository settings; what is left out stays."""
        hub = self.hub
        with hub.lock:
            hub.allow_drafts = hub.allow_drafts if allow_drafts is None else allow_drafts
            if allow_actions_pull_requests is not None:
                hub.allow_actions_pull_requests = allow_actions_pull_requests
            if delete_branch_on_merge is not None:
                hub.delete_branch_on_merge = delete_branch_on_merge
            hub.merge_methods = hub.merge_methods if merge_methods is None else set(merge_methods)

    def set_run(self, run_id: int, *, status: str, conclusion: str | None = None) -> None:
        """Tell how far the workflow run of a dispatch is."""
        with self.hub.lock:
            run = self.hub.runs[run_id]
            run.status, run.conclusion, run.updated_at = status, conclusion, self.hub.now()

    # What a story or a test looks at

    @property
    def pulls(self) -> list[Pull]:
        """All pull requests, oldest first."""
        return list(self.hub.pulls.values())

    @property
    def checks(self) -> list[CheckRun]:
        """All check runs, oldest first."""
        return list(self.hub.checks)

    @property
    def runs(self) -> list[WorkflowRun]:
        """All workflow runs, oldest first."""
        return list(self.hub.runs.values())

    def branches(self) -> dict[str, str]:
        """Branch names and the commits they point to."""
        heads = self.hub.git.refs("refs/heads/")
        return {name.removeprefix("refs/heads/"): sha for name, sha in heads.items()}

    def files(self, ref: str) -> dict[str, bytes]:
        """Every file at a ref."""
        git = self.hub.git
        entries = git.entries(str(git.resolve(ref)), recursive=True)
        return {entry.path: git.blob(entry.sha) for entry in entries if entry.type == "blob"}

    # Serving

    def is_recorded(self, request: Request) -> bool:
        """REST and GraphQL belong to the contract, git traffic does not."""
        return git_http.service_of(request) is None

    def respond(self, request: Request) -> Response:
        """Answer one request, with the faults that were asked for around it."""
        # An unread body would break the connection before the client has read the answer.
        request.get_data()
        for before in self.before:
            if (early := before(request)) is not None:
                return early
        response, events = self._answer(request)
        for event in events:
            for listener in self.listeners:
                listener(event)
        for after in self.after:
            response = after(request, response) or response
        return response

    def _answer(self, request: Request) -> tuple[Response, list[GitHubEvent]]:
        """The answer, and the events that this request and no other caused."""
        if (service := git_http.service_of(request)) is not None:
            return self._answer_git(request, service)
        with self.hub.lock:
            try:
                response = self._answer_api(request)
            except ApiError as error:
                response = json_response(error.body(), error.status, error.headers)
            except GitError as error:
                # Git is the last to check what a request names: paths, dates, objects.
                response = json_response(ApiError(422, f"Invalid request.\n\n{error}").body(), 422)
            events, self.hub.pending = self.hub.pending, []
            response.headers["X-GitHub-Request-Id"] = f"{self.hub.new_id():X}"
        response.headers["X-GitHub-Media-Type"] = "github.v3; format=json"
        response.headers.extend({"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4999"})
        return response, events

    def _answer_api(self, request: Request) -> Response:
        if not request.headers.get("User-Agent"):
            raise ApiError(
                403,
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.",
            )
        version = request.headers.get("X-GitHub-Api-Version", VERSIONS[0])
        if version not in VERSIONS:
            raise ApiError(400, f"API version {version!r} is not supported")
        path = re.sub(r"^/api(/v3)?(?=/)", "", request.path)
        token = self._token(request)
        if path == "/graphql":
            return graphql.serve(self.hub, request, token)
        response = routing.serve(self.hub, request, token, path)
        return _unchanged(request, _in_version(response, version))

    def _token(self, request: Request) -> Token | None:
        """The credential of an API request; GitHub takes it as bearer, token or basic."""
        header = request.headers.get("Authorization")
        if header is None:
            return None
        value = _credential(header)
        if value not in self.hub.tokens:
            raise ApiError(401, "Bad credentials")
        return self.hub.tokens[value]

    # Git

    def _answer_git(self, request: Request, service: str) -> tuple[Response, list[GitHubEvent]]:
        hub = self.hub
        header = request.headers.get("Authorization")
        token = hub.tokens.get(_credential(header)) if header else None
        is_push = service == "git-receive-pack"
        if refusal := self._git_refusal(request, token, is_push=is_push, has_credential=header is not None):
            return refusal, []
        if request.method == "GET":
            return self._git.advertise(request, service), []
        return self._receive(request, token) if is_push and token else (self._git.upload(request), [])

    def _git_refusal(
        self, request: Request, token: Token | None, *, is_push: bool, has_credential: bool
    ) -> Response | None:
        hub = self.hub
        if token is None and (has_credential or hub.private or is_push):
            realm = {"WWW-Authenticate": 'Basic realm="GitHub"'}
            return Response("Invalid username or token.\n", 401, realm, mimetype="text/plain")
        can_read = hub.can_see(token) and hub.allows(token, ("contents", "read"))
        if not can_read or not self._is_repository(request):
            return Response("Repository not found.\n", 404, mimetype="text/plain")
        if is_push and token and not hub.allows(token, ("contents", "write")):
            text = f"Permission to {hub.full_name}.git denied to {token.login}.\n"
            return Response(text, 403, mimetype="text/plain")
        return None

    def _is_repository(self, request: Request) -> bool:
        owner, _, rest = request.path.lstrip("/").partition("/")
        name = rest.partition("/")[0].removesuffix(".git")
        return f"{owner}/{name}".lower() == self.hub.full_name.lower()

    def _receive(self, request: Request, token: Token) -> tuple[Response, list[GitHubEvent]]:
        hub = self.hub
        with hub.lock:
            before = hub.git.refs()
            response = self._git.receive(request, hub.push_rules(token))
            after = hub.git.refs()
            moves = {
                name: (before.get(name), after.get(name))
                for name in {*before, *after}
                if before.get(name) != after.get(name)
            }
            hub.refs_moved(moves, token)
            events, hub.pending = hub.pending, []
        return response, events


def _credential(header: str) -> str:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return value.strip()
    try:
        login, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return password or login


def _in_version(response: Response, version: str) -> Response:
    """API version 2026-03-10 has no ``assignee``, and no ``merge_commit_sha`` on pull requests."""
    if version < "2026-03-10" or response.mimetype != "application/json" or not response.get_data():
        return response
    shown = _without(response.get_json())
    headers = {name: value for name, value in response.headers if name == "Link"}
    return json_response(shown, response.status_code, headers)


def _without(value: Any) -> Any:
    if isinstance(value, list):
        return [_without(one) for one in value]
    if not isinstance(value, dict):
        return value
    gone = {"assignee", "merge_commit_sha"} if "assignees" in value else set()
    return {name: _without(one) for name, one in value.items() if name not in gone}


def _unchanged(request: Request, response: Response) -> Response:
    """An ETag on reads, and 304 without a body for a caller who already has the answer."""
    if request.method != "GET" or response.status_code != 200:
        return response
    etag = f'W/"{hashlib.sha256(response.get_data()).hexdigest()}"'
    if request.headers.get("If-None-Match") == etag:
        return Response(status=304, headers={"ETag": etag})
    response.headers["ETag"] = etag
    return response
