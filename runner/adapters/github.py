"""GitHub behind ``ports.Forge``: REST where it can, GraphQL where REST has nothing.

**Drafts.** Some private repositories refuse draft pull requests. There a draft is an ordinary pull request
whose title begins with ``[draft] ``. It is read like a real one: ``is_draft`` holds for either kind and ``title``
comes without the prefix; ``set_draft`` turns either kind into an ordinary pull request, and
``update_pull_request`` keeps the prefix when it changes the title. Only the answer of ``create_pull_request``
says ``is_draft=False`` after such a refusal, so that the caller can add a label.

**Who is who.** REST calls an app ``name[bot]``, GraphQL the same app ``name``; here it is always ``name[bot]``.
Apps and deleted accounts are no persons and may not write, whatever their permission.

**Lost answers.** Opening a pull request is looked up before it is sent again. A comment or a reply whose answer
was lost raises ``Ambiguous``, and so does a change of draft state or a merge of the base: the caller reads and
decides. The other writes set an absolute state, so the client below repeats them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from runner.adapters.http import Forbidden, HttpClient, Response, ServiceConflict, segment
from runner.core.model import (
    Branch,
    CheckResult,
    CommitInfo,
    PullRequest,
    PullRequestGlance,
    Repository,
    Review,
    ReviewComment,
    ReviewState,
    ReviewThread,
    iso,
)
from runner.errors import Ambiguous, ConfigError, Conflict, GaveUp, NotFound, RunnerError, Unavailable

API_VERSION = "2022-11-28"
DRAFT_PREFIX = "[draft] "
PAGE_SIZE = 100
MAX_PAGES = 100
# As many commits of a pull request as GitHub lists, however many it has.
MAX_LISTED_COMMITS = 250
SUMMARY_LIMIT = 4_000

Via = Literal["repository_dispatch", "workflow_dispatch"]

HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION}
_RAW = {**HEADERS, "Accept": "application/vnd.github.raw+json"}
_ALIVE = frozenset({"queued", "in_progress", "waiting", "requested", "pending"})
_WRITERS = frozenset({"admin", "maintain", "write"})
_GHOST = "ghost"
_TRAILER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*):[ \t]*(.*)")

_VIEWER = "query { viewer { login } }"
_THREAD_COMMENTS = """
comments(first: 50, after: $comments) {
  pageInfo { hasNextPage endCursor }
  nodes { id body createdAt updatedAt viewerDidAuthor author { __typename login } }
}
"""
_THREADS = f"""
query ($owner: String!, $name: String!, $number: Int!, $after: String, $comments: String) {{
  repository(owner: $owner, name: $name) {{
    pullRequest(number: $number) {{
      reviewThreads(first: 50, after: $after) {{
        pageInfo {{ hasNextPage endCursor }}
        nodes {{ id isResolved isOutdated path line {_THREAD_COMMENTS} }}
      }}
    }}
  }}
}}
"""
_MORE_COMMENTS = f"""
query ($id: ID!, $comments: String) {{
  node(id: $id) {{ ... on PullRequestReviewThread {{ {_THREAD_COMMENTS} }} }}
}}
"""
_REPLY = """
mutation ($thread: ID!, $body: String!) {
  addPullRequestReviewThreadReply(input: {pullRequestReviewThreadId: $thread, body: $body}) { comment { id } }
}
"""
_TO_READY = """
mutation ($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { pullRequest { isDraft } } }
"""
_TO_DRAFT = """
mutation ($id: ID!) { convertPullRequestToDraft(input: {pullRequestId: $id}) { pullRequest { isDraft } } }
"""


@dataclass(frozen=True, kw_only=True)
class _Author:
    """Somebody who wrote something."""

    login: str
    is_person: bool


class GitHubForge:
    """One repository of GitHub, seen with one token.

    ``accounts`` are further logins whose writing counts as ours (the app that publishes, when another token
    reads). ``via`` chooses how other keys are dispatched: ``repository_dispatch`` needs Contents: write,
    ``workflow_dispatch`` of ``workflow`` at ``ref`` (default: the default branch) needs Actions: write.
    """

    def __init__(
        self,
        http: HttpClient,
        *,
        repository: str,
        event_type: str = "ai-runner",
        via: Via = "repository_dispatch",
        workflow: str = "ai-runner.yml",
        ref: str | None = None,
        accounts: Collection[str] = (),
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", repository):
            raise ConfigError(
                f"`{repository}` is not the name of a repository.", remedy="It looks like `owner/name`."
            )
        self._http = http
        self._repository = repository
        self._owner, self._name = repository.split("/")
        self._root = f"/repos/{segment(self._owner)}/{segment(self._name)}"
        self._graphql_url = _graphql_url(http.base_url)
        self._event_type = event_type
        self._via = via
        self._workflow = workflow
        self._ref = ref
        self._accounts = frozenset(login.casefold() for login in accounts)
        self._login: str | None = None
        self._writers: dict[str, bool] = {}

    # The repository

    def repository(self) -> Repository:
        """Describe the repository, and whose token this is."""
        try:
            data = self._get("").mapping()
        except NotFound as exc:
            raise NotFound(
                f"The repository `{self._repository}` is absent, or invisible to this token.",
                remedy="Check its name, and that the token was made for this repository.",
                detail=exc.detail,
            ) from exc
        with _shape():
            return Repository(
                name=data["full_name"],
                default_branch=data["default_branch"],
                is_private=bool(data["private"]),
                login=self._me(),
            )

    def file(self, path: str, *, ref: str) -> bytes | None:
        """Read a file at a ref; ``None`` when there is no file of this name, NotFound when there is no such ref."""
        address = f"{self._root}/contents/{quoted_path(path)}"
        try:
            answer = self._http.get(address, params={"ref": ref}, headers=_RAW, want="bytes")
        except NotFound as exc:
            if "no commit found" in exc.detail.lower():
                raise NotFound(f"There is no branch or commit `{ref}`.", detail=exc.detail) from exc
            return None
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            # GitHub sends the bytes of any file under its own media type; a page is some proxy's log-in.
            raise misshapen("a web page instead of a file", is_write=False)
        # Folders and submodules are described in JSON whatever was asked for; a file comes raw.
        is_described = answer.headers.get("Content-Type", "").partition(";")[0].strip() == "application/json"
        return None if is_described else answer.body

    def head(self, branch: str) -> str | None:
        """The commit a branch points to; ``None`` when there is no such branch."""
        try:
            data = self._get(f"/git/ref/heads/{quoted_path(branch)}").mapping()
        except NotFound:
            return None
        with _shape():
            return str(data["object"]["sha"]) if data["ref"] == f"refs/heads/{branch}" else None

    def branch(self, name: str, *, base: str) -> Branch | None:
        """A branch with its commits that are not on ``base``, newest first; NotFound when ``base`` is absent."""
        sha = self.head(name)
        if sha is None:
            return None
        return Branch(name=name, sha=sha, commits=self._commits_beyond(base, sha))

    def is_ahead(self, sha: str, *, of: str) -> bool:
        """Whether ``of`` lacks this commit or one of its ancestors."""
        return bool(self._commits_beyond(of, sha))

    # Pull requests

    def pull_requests(self, *, head: str, detailed: bool) -> tuple[PullRequest, ...]:
        """Every pull request from this branch of this repository, oldest first, whatever its state.

        With ``detailed`` the newest one also carries reviews, threads, comments and checks, complete.
        """
        params = {"head": f"{self._owner}:{head}", "state": "all", "sort": "created", "direction": "asc"}
        found = [each for each in self._pull_requests(params) if each.head == head]
        if found and detailed:
            found[-1] = self._detailed(found[-1])
        return tuple(found)

    def pull_request_commits(self, number: int) -> tuple[CommitInfo, ...]:
        """The commits that a pull request offers or offered, oldest first. GitHub names 250; more are refused here."""
        items = self._list(f"/pulls/{number}/commits")
        if len(items) >= MAX_LISTED_COMMITS:
            raise GaveUp(
                f"Pull request #{number} has {len(items)} commits or more, and GitHub lists no others.",
                remedy="Close it, squash its commits on the branch, and open it again.",
            )
        with _shape():
            return tuple(
                _commit(sha=item["sha"], commit=item["commit"], parents=item["parents"]) for item in items
            )

    def review_paths(self, number: int) -> Mapping[str, tuple[str, ...]]:
        """The files that each review's inline comments are about, by the review's id."""
        found: dict[str, dict[str, None]] = {}
        items = self._list(f"/pulls/{number}/comments")
        with _shape():
            for item in items:
                found.setdefault(str(item["pull_request_review_id"]), {})[item["path"]] = None
        return {review: tuple(paths) for review, paths in found.items()}

    def files_of(self, sha: str) -> tuple[str, ...]:
        """The paths that a commit changed, 300 a page and 3,000 at most, of which GitHub tells no more."""
        pages = self._pages(f"/commits/{segment(sha)}", {})
        with _shape():
            return tuple(file["filename"] for page in pages for file in page.mapping().get("files", ()))

    def pull_requests_onto(self, base: str) -> tuple[PullRequest, ...]:
        """Open pull requests from branches of this repository that target this branch, oldest first."""
        params = {"base": base, "state": "open", "sort": "created", "direction": "asc"}
        return tuple(each for each in self._pull_requests(params) if each.base == base)

    def recent_pull_requests(self) -> tuple[PullRequestGlance, ...]:
        """The pull requests from branches of this repository that changed last, at most a page, in one request."""
        params = {"state": "all", "sort": "updated", "direction": "desc", "per_page": str(PAGE_SIZE)}
        items = self._get("/pulls", **params).sequence()
        with _shape():
            return tuple(
                PullRequestGlance(
                    number=item["number"],
                    head=item["head"]["ref"],
                    base=item["base"]["ref"],
                    is_open=item["state"] == "open",
                    is_merged=item["merged_at"] is not None,
                    updated=_time(item["updated_at"]),
                )
                for item in items
                if self._is_from_here(item)
            )

    def create_pull_request(self, *, head: str, base: str, title: str, body: str, draft: bool) -> PullRequest:
        """Open a pull request, or return the open one between these branches.

        A refused draft is opened as an ordinary one with ``[draft]`` in its title, and returned as no draft.
        """
        if (existing := self._open_between(head, base)) is not None:
            return existing
        wanted = {"head": head, "base": base, "title": title, "body": body, "draft": draft}
        try:
            return self._open(wanted)
        except ServiceConflict as exc:
            if not (draft and _refuses_drafts(exc)):
                raise
        prefixed = title if _has_prefix(title) else DRAFT_PREFIX + title
        return replace(self._open({**wanted, "title": prefixed, "draft": False}), is_draft=False)

    def update_pull_request(
        self, number: int, *, title: str | None = None, body: str | None = None, base: str | None = None
    ) -> None:
        """Change a pull request's texts or target; a ``[draft]`` prefix of the present title is kept."""
        if title is not None and not _has_prefix(title) and _has_prefix(self._title(number)):
            title = DRAFT_PREFIX + title
        given = {"title": title, "body": body, "base": base}
        self._patch_pull_request(number, {name: value for name, value in given.items() if value is not None})

    def set_draft(self, pull_request: PullRequest, *, draft: bool) -> None:
        """Turn a draft of either kind into an ordinary pull request or back."""
        data = self._get(f"/pulls/{pull_request.number}").mapping()
        with _shape():
            is_draft, title, node_id = bool(data["draft"]), str(data["title"]), str(data["node_id"])
        if draft and not is_draft and not _has_prefix(title):
            self._convert_to_draft(pull_request.number, node_id, title)
        if not draft and is_draft:
            self._graphql(_TO_READY, {"id": node_id}, is_write=True)
        if not draft and _has_prefix(title):
            self._patch_pull_request(pull_request.number, {"title": _without_prefix(title)})

    def add_labels(self, number: int, labels: Sequence[str]) -> None:
        """Add labels to a pull request; GitHub creates those it does not know."""
        if labels:
            self._post(f"/issues/{number}/labels", {"labels": list(labels)}, idempotent=True)

    def request_reviewers(self, number: int, logins: Sequence[str]) -> tuple[str, ...]:
        """Ask people for review; returns those GitHub refused (the author, people without access)."""
        if not logins:
            return ()
        try:
            return self._ask(number, logins)
        except Conflict:
            if len(logins) == 1:
                return tuple(logins)
        # One name that GitHub refuses spoils the whole request.
        return tuple(refused for login in logins for refused in self.request_reviewers(number, [login]))

    def update_branch(self, number: int, *, expected_head: str) -> None:
        """Merge the base into the head on the server; Conflict when it cannot or the head moved.

        GitHub accepts the request and merges a moment later. A head that already contains its base is fine.
        """
        try:
            self._http.request(
                "PUT",
                f"{self._root}/pulls/{number}/update-branch",
                json={"expected_head_sha": expected_head},
                headers=HEADERS,
                idempotent=False,
            )
        except ServiceConflict as exc:
            if not any("no new commits on the base" in message.lower() for message in exc.messages):
                raise

    def reply(self, pull_request: PullRequest, thread_id: str, body: str) -> None:
        """Answer in a review thread; Ambiguous when the answer was lost."""
        is_known = any(thread.id == thread_id for thread in pull_request.threads)
        if pull_request.is_detailed and not is_known:
            raise Conflict(f"The thread does not belong to pull request #{pull_request.number}.")
        self._graphql(_REPLY, {"thread": thread_id, "body": body}, is_write=True)

    def comment(self, number: int, body: str) -> None:
        """Write a comment in the pull request's conversation; Ambiguous when the answer was lost."""
        self._post(f"/issues/{number}/comments", {"body": body})

    def retract(self, number: int, said: ReviewComment, *, is_inline: bool) -> None:
        """Remove a comment of ours. Threads come without the number that REST wants, so it is looked up."""
        if is_inline:
            items = self._list(f"/pulls/{number}/comments")
            with _shape():
                ids = [item["id"] for item in items if item["node_id"] == said.node_id]
            paths = [f"/pulls/comments/{id_}" for id_ in ids]
        else:
            paths = [f"/issues/comments/{segment(said.id)}"]
        for path in paths:
            try:
                self._http.request("DELETE", self._root + path, headers=HEADERS, idempotent=True)
            except NotFound:
                continue

    # People and runs

    def may_write(self, login: str) -> bool:
        """Whether this person may push to the repository; apps are no persons."""
        if login.endswith("[bot]") or login == _GHOST or not login:
            return False
        key = login.casefold()
        if key not in self._writers:
            self._writers[key] = self._permission(login) in _WRITERS
        return self._writers[key]

    def dispatch(self, payload: Mapping[str, str]) -> None:
        """Start a run for another key. Repeating a dispatch is harmless: the run reads the state and decides."""
        if self._via == "repository_dispatch":
            path, body = "/dispatches", {"event_type": self._event_type, "client_payload": dict(payload)}
        else:
            path = f"/actions/workflows/{segment(self._workflow)}/dispatches"
            body = {"ref": self._ref or self._default_branch(), "inputs": dict(payload)}
        self._http.request(
            "POST",
            self._root + path,
            json=body,
            headers=HEADERS,
            idempotent=True,
            kind="dispatch",
            want="nothing",
        )

    def is_run_alive(self, run_id: str) -> bool:
        """Whether a workflow run is queued, waiting or running."""
        try:
            data = self._get(f"/actions/runs/{segment(run_id)}").mapping()
        except NotFound:
            return False
        return data.get("status") in _ALIVE

    # Reading

    def _get(self, path: str, **params: str) -> Response:
        return self._http.get(self._root + path, params=params, headers=HEADERS)

    def _pages(self, path: str, params: Mapping[str, str]) -> Iterator[Response]:
        """Every page of a list, following the links that GitHub gives."""
        answer = self._get(path, per_page=str(PAGE_SIZE), **params)
        yield answer
        for _ in range(MAX_PAGES):
            if "next" not in answer.links:
                return
            answer = self._http.get(answer.links["next"], headers=HEADERS)
            yield answer
        raise Unavailable("GitHub lists more than can be read.", detail=f"{path}: over {MAX_PAGES} pages")

    def _list(self, path: str, **params: str) -> list[Any]:
        return [item for page in self._pages(path, params) for item in page.sequence()]

    def _counted_list(self, path: str, member: str, count: str, **params: str) -> list[Any]:
        """A list inside an object that says how long it is; a shorter one is a failed read."""
        items: list[Any] = []
        total = 0
        for page in self._pages(path, params):
            data = page.mapping()
            with _shape():
                items.extend(data[member])
                total = int(data[count])
        if len(items) < total:
            raise Unavailable(
                "GitHub's answer is incomplete.", detail=f"{path}: {len(items)} of {total} {member}"
            )
        return items

    def _commits_beyond(self, base: str, sha: str) -> tuple[CommitInfo, ...]:
        path = f"/compare/{quoted_path(base)}...{segment(sha)}"
        try:
            items = self._counted_list(path, "commits", "total_commits")
        except NotFound as exc:
            raise NotFound(
                f"The branch `{base}` does not exist, or shares no history.", detail=exc.detail
            ) from exc
        with _shape():
            commits = [
                _commit(sha=item["sha"], commit=item["commit"], parents=item["parents"]) for item in items
            ]
        return tuple(reversed(commits))

    def _pull_requests(self, params: Mapping[str, str]) -> list[PullRequest]:
        items = self._list("/pulls", **params)
        with _shape():
            found = [self._pull_request(item) for item in items if self._is_from_here(item)]
        return sorted(found, key=lambda each: each.number)

    def _is_from_here(self, data: Mapping[str, Any]) -> bool:
        """Whether the head branch lives in this repository: a fork may use the same branch name."""
        repo = data["head"]["repo"]
        return repo is not None and repo["full_name"].casefold() == self._repository.casefold()

    def _pull_request(self, data: Mapping[str, Any]) -> PullRequest:
        author = _rest_author(data["user"])
        is_merged = data["merged_at"] is not None
        return PullRequest(
            number=data["number"],
            url=data["html_url"],
            title=_without_prefix(data["title"]),
            body=data["body"] or "",
            state=data["state"],
            is_merged=is_merged,
            is_draft=bool(data["draft"]) or _has_prefix(data["title"]),
            head=data["head"]["ref"],
            head_sha=data["head"]["sha"],
            base=data["base"]["ref"],
            author=author.login,
            is_ours=self._is_ours(author.login),
            created=_time(data["created_at"]),
            updated=_time(data["updated_at"]),
            closed_at=_time(data["closed_at"]),
            merge_sha=(data["merge_commit_sha"] or "") if is_merged else "",
            node_id=data["node_id"],
            labels=frozenset(label["name"] for label in data["labels"]),
            requested_reviewers=tuple(user["login"] for user in data["requested_reviewers"]),
        )

    def _detailed(self, pull_request: PullRequest) -> PullRequest:
        """The same pull request with everything people and checks said about it."""
        number = pull_request.number
        is_vetoed = pull_request.state == "closed" and not pull_request.is_merged
        return replace(
            pull_request,
            closed_by=self._closer(number) if pull_request.state == "closed" else "",
            base_exists=not is_vetoed or self.head(pull_request.base) is not None,
            reviews=self._reviews(number),
            threads=self._threads(number),
            comments=self._comments(number),
            checks=(*self._check_runs(pull_request.head_sha), *self._statuses(pull_request.head_sha)),
            is_detailed=True,
        )

    def _closer(self, number: int) -> str:
        data = self._get(f"/issues/{number}").mapping()
        return str((data.get("closed_by") or {}).get("login", ""))

    def _reviews(self, number: int) -> tuple[Review, ...]:
        items = self._list(f"/pulls/{number}/reviews")
        with _shape():
            return tuple(self._review(item) for item in items if item["state"] != ReviewState.PENDING)

    def _review(self, data: Mapping[str, Any]) -> Review:
        author = _rest_author(data["user"])
        submitted = _time(data["submitted_at"])
        return Review(
            id=str(data["id"]),
            author=author.login,
            state=ReviewState(data["state"]),
            body=data["body"] or "",
            submitted=submitted,
            updated=_time(data.get("updated_at")) or submitted,
            can_write=author.is_person and self.may_write(author.login),
            is_person=author.is_person,
        )

    def _comments(self, number: int) -> tuple[ReviewComment, ...]:
        items = self._list(f"/issues/{number}/comments")
        with _shape():
            return tuple(
                self._said(
                    _rest_author(item["user"]),
                    id=str(item["id"]),
                    node_id=item["node_id"],
                    body=item["body"] or "",
                    created=_time(item["created_at"]),
                    updated=_time(item["updated_at"]),
                )
                for item in items
            )

    def _said(
        self,
        author: _Author,
        *,
        id: str,  # noqa: A002 - the record names it so
        node_id: str,
        body: str,
        created: str,
        updated: str,
    ) -> ReviewComment:
        return ReviewComment(
            id=id,
            node_id=node_id,
            author=author.login,
            body=body,
            created=created,
            updated=updated,
            is_ours=self._is_ours(author.login),
            can_write=author.is_person and self.may_write(author.login),
            is_person=author.is_person,
        )

    def _threads(self, number: int) -> tuple[ReviewThread, ...]:
        variables: dict[str, object] = {"owner": self._owner, "name": self._name, "number": number}
        threads: list[ReviewThread] = []
        after: str | None = None
        for _ in range(MAX_PAGES):
            data = self._graphql(_THREADS, {**variables, "after": after, "comments": None})
            with _shape():
                page = data["repository"]["pullRequest"]["reviewThreads"]
                threads.extend(self._thread(node) for node in page["nodes"])
                after = _next_cursor(page)
            if after is None:
                return tuple(threads)
        raise Unavailable("GitHub lists more threads than can be read.", detail=f"pull request {number}")

    def _thread(self, node: Mapping[str, Any]) -> ReviewThread:
        return ReviewThread(
            id=node["id"],
            path=node["path"],
            line=node["line"],
            is_resolved=bool(node["isResolved"]),
            is_outdated=bool(node["isOutdated"]),
            comments=tuple(self._thread_comment(each) for each in self._thread_nodes(node)),
        )

    def _thread_nodes(self, thread: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """A thread's comments, the first page of which came with it."""
        page = thread["comments"]
        yield from page["nodes"]
        for _ in range(MAX_PAGES):
            after = _next_cursor(page)
            if after is None:
                return
            page = self._graphql(_MORE_COMMENTS, {"id": thread["id"], "comments": after})["node"]["comments"]
            yield from page["nodes"]
        raise Unavailable("A thread is longer than can be read.", detail=str(thread["id"]))

    def _thread_comment(self, node: Mapping[str, Any]) -> ReviewComment:
        said = self._said(
            _graphql_author(node["author"]),
            id=node["id"],
            node_id=node["id"],
            body=node["body"],
            created=_time(node["createdAt"]),
            updated=_time(node["updatedAt"]),
        )
        return replace(said, is_ours=said.is_ours or bool(node["viewerDidAuthor"]))

    def _check_runs(self, sha: str) -> list[CheckResult]:
        items = self._counted_list(
            f"/commits/{segment(sha)}/check-runs", "check_runs", "total_count", filter="latest"
        )
        with _shape():
            return [_check_run(item) for item in items]

    def _statuses(self, sha: str) -> list[CheckResult]:
        items = self._counted_list(f"/commits/{segment(sha)}/status", "statuses", "total_count")
        with _shape():
            return [_status(item) for item in items]

    def _title(self, number: int) -> str:
        return str(self._get(f"/pulls/{number}").mapping().get("title", ""))

    def _default_branch(self) -> str:
        data = self._get("").mapping()
        with _shape():
            return str(data["default_branch"])

    def _permission(self, login: str) -> str:
        try:
            data = self._get(f"/collaborators/{segment(login)}/permission").mapping()
        except NotFound:
            return "none"
        with _shape():
            return str(data["permission"])

    def _me(self) -> str:
        """Whose token this is. GITHUB_TOKEN is refused ``GET /user``, so GraphQL is asked first."""
        if self._login is None:
            try:
                data = self._graphql(_VIEWER, {})
                with _shape():
                    self._login = str(data["viewer"]["login"])
            except (ConfigError, NotFound):
                user = self._http.get("/user", headers=HEADERS).mapping()
                with _shape():
                    self._login = str(user["login"])
        return self._login

    def _is_ours(self, login: str) -> bool:
        return login.casefold() in self._accounts or login.casefold() == self._me().casefold()

    # Writing

    def _post(self, path: str, body: Mapping[str, object], *, idempotent: bool = False) -> Response:
        return self._http.request(
            "POST", self._root + path, json=dict(body), headers=HEADERS, idempotent=idempotent
        )

    def _patch_pull_request(self, number: int, changes: Mapping[str, str]) -> None:
        if changes:
            self._http.request(
                "PATCH",
                f"{self._root}/pulls/{number}",
                json=dict(changes),
                headers=HEADERS,
                idempotent=True,
            )

    def _open_between(self, head: str, base: str) -> PullRequest | None:
        found = self.pull_requests(head=head, detailed=False)
        return next((each for each in found if each.state == "open" and each.base == base), None)

    def _open(self, wanted: Mapping[str, Any]) -> PullRequest:
        """Send the request; whatever leaves its result open is settled by looking."""
        try:
            return self._send_open(wanted)
        except Ambiguous:
            existing = self._open_between(wanted["head"], wanted["base"])
        if existing is not None:
            return existing
        try:
            return self._send_open(wanted)
        except Ambiguous:
            existing = self._open_between(wanted["head"], wanted["base"])
            if existing is None:
                raise
            return existing

    def _send_open(self, wanted: Mapping[str, Any]) -> PullRequest:
        try:
            data = self._post("/pulls", wanted).mapping()
        except ServiceConflict as exc:
            existing = None
            if any("already exists" in message.lower() for message in exc.messages):
                existing = self._open_between(wanted["head"], wanted["base"])
            if existing is None:
                raise
            return existing
        except Forbidden as exc:
            raise _explained(exc) from exc
        with _shape(is_write=True):
            return self._pull_request(data)

    def _convert_to_draft(self, number: int, node_id: str, title: str) -> None:
        try:
            self._graphql(_TO_DRAFT, {"id": node_id}, is_write=True)
        except (Conflict, ConfigError) as exc:
            if "draft" not in f"{exc.summary} {exc.detail}".lower():
                raise
            self._patch_pull_request(number, {"title": DRAFT_PREFIX + title})

    def _ask(self, number: int, logins: Sequence[str]) -> tuple[str, ...]:
        answer = self._post(
            f"/pulls/{number}/requested_reviewers", {"reviewers": list(logins)}, idempotent=True
        ).mapping()
        with _shape(is_write=True):
            asked = {user["login"].casefold() for user in answer["requested_reviewers"]}
        return tuple(login for login in logins if login.casefold() not in asked)

    # GraphQL

    def _graphql(
        self,
        query: str,
        variables: Mapping[str, object],
        *,
        is_write: bool = False,
    ) -> dict[str, Any]:
        """Ask in GraphQL. An answer with errors is a failure, also when it carries some of the data."""
        answer = self._http.request(
            "POST",
            self._graphql_url,
            json={"query": query, "variables": dict(variables)},
            headers=HEADERS,
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


def misshapen(detail: str, *, is_write: bool) -> Unavailable:
    """An answer that is not what was asked for: a failed read, or a write of unknown result."""
    error = Ambiguous if is_write else Unavailable
    return error("GitHub gave an answer of another shape than its documentation promises.", detail=detail)


@contextmanager
def _shape(*, is_write: bool = False) -> Iterator[None]:
    """Turn a missing or foreign member of an answer into a failed read: it is never taken for empty."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as exc:
        raise misshapen(f"{type(exc).__name__}: {exc}", is_write=is_write) from exc


def _explained(exc: Forbidden) -> ConfigError:
    """The refusal that a repository's switch causes, with where the switch is."""
    if "not permitted to create or approve pull requests" not in exc.summary:
        return exc
    return ConfigError(
        "GitHub Actions may not open pull requests in this repository.",
        remedy="Settings > Actions > General: allow GitHub Actions to create and approve pull requests.",
        detail=exc.detail,
    )


def _refuses_drafts(exc: ServiceConflict) -> bool:
    return any("draft pull requests are not supported" in message.lower() for message in exc.messages)


def _has_prefix(title: str) -> bool:
    return title.casefold().startswith(DRAFT_PREFIX.strip())


def _without_prefix(title: str) -> str:
    return title[len(DRAFT_PREFIX.strip()) :].lstrip() if _has_prefix(title) else title


def _rest_author(user: Mapping[str, Any] | None) -> _Author:
    if user is None:
        return _Author(login=_GHOST, is_person=False)
    return _Author(login=user["login"], is_person=user["type"] == "User" and user["login"] != _GHOST)


def _graphql_author(actor: Mapping[str, Any] | None) -> _Author:
    if actor is None:
        return _Author(login=_GHOST, is_person=False)
    login = str(actor["login"])
    if actor["__typename"] == "Bot" and not login.endswith("[bot]"):
        login += "[bot]"
    return _Author(login=login, is_person=actor["__typename"] == "User")


def _next_cursor(page: Mapping[str, Any]) -> str | None:
    info = page["pageInfo"]
    return str(info["endCursor"]) if info["hasNextPage"] else None


def _time(text: str | None) -> str:
    """A moment as the records keep it; empty for one that has not come."""
    return iso(datetime.fromisoformat(text)) if text else ""


def quoted_path(path: str) -> str:
    """A path of several segments, from outside, as part of an address."""
    return "/".join(segment(part) for part in path.split("/"))


def _commit(*, sha: str, commit: Mapping[str, Any], parents: Sequence[Mapping[str, Any]]) -> CommitInfo:
    return CommitInfo(
        sha=sha,
        message=commit["message"],
        author_email=(commit["author"] or {}).get("email") or "",
        trailers=trailers(commit["message"]),
        parents=tuple(parent["sha"] for parent in parents),
        committed=_time((commit["committer"] or {}).get("date")),
    )


def trailers(message: str) -> dict[str, str]:
    """The ``Key: value`` lines of a commit message's last paragraph; the subject is never one.

    Of a repeated key the last value counts. An indented line continues the value before it.
    """
    paragraphs = re.split(r"\n[ \t]*\n", message.replace("\r\n", "\n").strip())
    found: dict[str, str] = {}
    key = ""
    for line in paragraphs[-1].splitlines() if len(paragraphs) > 1 else ():
        if match := _TRAILER.fullmatch(line):
            key = match[1]
            found[key] = match[2].strip()
        elif key and line[:1].isspace():
            found[key] = f"{found[key]} {line.strip()}"
    return found


# What GitHub adds to these one day is neither a success nor a failure.
_CONCLUSIONS: Mapping[str, Literal["success", "failure", "neutral", "pending"]] = {
    "success": "success",
    "failure": "failure",
    "timed_out": "failure",
    "startup_failure": "failure",
    "error": "failure",
    "cancelled": "neutral",
    "neutral": "neutral",
    "skipped": "neutral",
    "stale": "neutral",
    # A person has to press something before it can run.
    "action_required": "pending",
    "pending": "pending",
}


def _check_run(data: Mapping[str, Any]) -> CheckResult:
    output = data.get("output") or {}
    texts = (output.get("title"), output.get("summary"), output.get("text"))
    is_complete = data["status"] == "completed"
    return CheckResult(
        id=f"check-run-{data['id']}",
        name=data["name"],
        conclusion=_CONCLUSIONS.get(data["conclusion"], "neutral") if is_complete else "pending",
        summary="\n\n".join(text for text in texts if text)[:SUMMARY_LIMIT],
        url=data.get("html_url") or data.get("details_url") or "",
        completed=_time(data.get("completed_at")) if is_complete else "",
    )


def _status(data: Mapping[str, Any]) -> CheckResult:
    conclusion = _CONCLUSIONS.get(data["state"], "neutral")
    return CheckResult(
        id=f"status-{data['id']}",
        name=data["context"],
        conclusion=conclusion,
        summary=(data.get("description") or "")[:SUMMARY_LIMIT],
        url=data.get("target_url") or "",
        completed=_time(data["updated_at"]) if conclusion != "pending" else "",
    )
