"""GitHub behind ``ports.Forge``: REST where it can, GraphQL where REST has nothing.

**Drafts.** Some private repositories refuse draft pull requests. There a draft is an ordinary pull request
whose title begins with ``[draft] ``. It is read like a real one: ``is_draft`` holds for either kind and ``title``
comes without the prefix; ``set_draft`` turns either kind into an ordinary pull request, and
``update_pull_request`` keeps the prefix when it changes the title. Only the answer of ``create_pull_request``
says ``is_draft=False`` after such a refusal, so that the caller can add a label.

**Lost answers.** Opening a pull request is looked up before it is sent again. A comment or a reply whose answer
was lost raises ``Ambiguous``, and so does a change of draft state or a merge of the base: the caller reads and
decides. The other writes set an absolute state, so the client below repeats them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from runner.adapters.github_api import PAGE_SIZE, GitHubApi, misshapen, quoted_path, shape
from runner.adapters.github_details import Details
from runner.adapters.github_people import People
from runner.adapters.github_records import (
    DRAFT_PREFIX,
    commit_info,
    glance,
    has_prefix,
    pull_request_record,
    without_prefix,
)
from runner.adapters.http import HttpClient, Response, segment
from runner.adapters.http_failures import Forbidden, ServiceConflict
from runner.core.model import Branch, CommitInfo, PullRequest, PullRequestGlance, Repository, ReviewComment
from runner.errors import Ambiguous, ConfigError, Conflict, GaveUp, NotFound, Unavailable

# GitHub answers from copies: for some seconds one of them may not know what was just pushed or opened.
SETTLING = (1.0, 3.0, 7.0)
# As many commits of a pull request as GitHub lists, however many it has.
MAX_LISTED_COMMITS = 250

Via = Literal["repository_dispatch", "workflow_dispatch"]

_ALIVE = frozenset({"queued", "in_progress", "waiting", "requested", "pending"})

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
        self._api = GitHubApi(http, repository=repository)
        self._people = People(self._api, accounts=accounts)
        self._details = Details(self._api, self._people)
        self._event_type = event_type
        self._via = via
        self._workflow = workflow
        self._ref = ref

    # The repository

    def repository(self) -> Repository:
        """Describe the repository, and whose token this is."""
        try:
            data = self._api.get("").mapping()
        except NotFound as exc:
            raise NotFound(
                f"The repository `{self._api.repository}` is absent, or invisible to this token.",
                remedy="Check its name, and that the token was made for this repository.",
                detail=exc.detail,
            ) from exc
        with shape():
            return Repository(
                name=data["full_name"],
                default_branch=data["default_branch"],
                is_private=bool(data["private"]),
                login=self._people.me(),
            )

    def file(self, path: str, *, ref: str) -> bytes | None:
        """Read a file at a ref; ``None`` when there is no file of this name, NotFound when there is no such ref."""
        try:
            answer = self._api.raw(f"/contents/{quoted_path(path)}", ref=ref)
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
            data = self._api.get(f"/git/ref/heads/{quoted_path(branch)}").mapping()
        except NotFound:
            return None
        except ServiceConflict as exc:
            if exc.status == 409:
                # An empty repository, as GitHub says it: it has a default branch by name alone.
                return None
            raise
        with shape():
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
        params = {"head": f"{self._api.owner}:{head}", "state": "all", "sort": "created", "direction": "asc"}
        found = [each for each in self._pull_requests(params) if each.head == head]
        if found and detailed:
            found[-1] = self._detailed(found[-1])
        return tuple(found)

    def pull_request_commits(self, number: int) -> tuple[CommitInfo, ...]:
        """The commits that a pull request offers or offered, oldest first. GitHub names 250; more are refused here."""
        items = self._api.items(f"/pulls/{number}/commits")
        if len(items) >= MAX_LISTED_COMMITS:
            raise GaveUp(
                f"Pull request #{number} has {len(items)} commits or more, and GitHub lists no others.",
                remedy="Close it, squash its commits on the branch, and open it again.",
            )
        with shape():
            return tuple(commit_info(item) for item in items)

    def review_paths(self, number: int) -> Mapping[str, tuple[str, ...]]:
        """The files that each review's inline comments are about, by the review's id."""
        found: dict[str, dict[str, None]] = {}
        items = self._api.items(f"/pulls/{number}/comments")
        with shape():
            for item in items:
                found.setdefault(str(item["pull_request_review_id"]), {})[item["path"]] = None
        return {review: tuple(paths) for review, paths in found.items()}

    def files_of(self, sha: str) -> tuple[str, ...]:
        """The paths that a commit changed, 300 a page and 3,000 at most, of which GitHub tells no more."""
        pages = self._api.pages(f"/commits/{segment(sha)}")
        with shape():
            return tuple(file["filename"] for page in pages for file in page.mapping().get("files", ()))

    def pull_requests_onto(self, base: str) -> tuple[PullRequest, ...]:
        """Open pull requests from branches of this repository that target this branch, oldest first."""
        params = {"base": base, "state": "open", "sort": "created", "direction": "asc"}
        return tuple(each for each in self._pull_requests(params) if each.base == base)

    def recent_pull_requests(self) -> tuple[PullRequestGlance, ...]:
        """The pull requests from branches of this repository that changed last, at most a page, in one request."""
        params = {"state": "all", "sort": "updated", "direction": "desc", "per_page": str(PAGE_SIZE)}
        items = self._api.get("/pulls", **params).sequence()
        with shape():
            return tuple(glance(item) for item in items if self._is_from_here(item))

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
        prefixed = title if has_prefix(title) else DRAFT_PREFIX + title
        return replace(self._open({**wanted, "title": prefixed, "draft": False}), is_draft=False)

    def update_pull_request(
        self, number: int, *, title: str | None = None, body: str | None = None, base: str | None = None
    ) -> None:
        """Change a pull request's texts or target; a ``[draft]`` prefix of the present title is kept."""
        if title is not None and not has_prefix(title) and has_prefix(self._title(number)):
            title = DRAFT_PREFIX + title
        given = {"title": title, "body": body, "base": base}
        self._patch_pull_request(number, {name: value for name, value in given.items() if value is not None})

    def set_draft(self, pull_request: PullRequest, *, draft: bool) -> None:
        """Turn a draft of either kind into an ordinary pull request or back."""
        data = self._api.get(f"/pulls/{pull_request.number}").mapping()
        with shape():
            is_draft, title, node_id = bool(data["draft"]), str(data["title"]), str(data["node_id"])
        if draft and not is_draft and not has_prefix(title):
            self._convert_to_draft(pull_request.number, node_id, title)
        if not draft and is_draft:
            self._api.graphql(_TO_READY, {"id": node_id}, is_write=True)
        if not draft and has_prefix(title):
            self._patch_pull_request(pull_request.number, {"title": without_prefix(title)})

    def add_labels(self, number: int, labels: Sequence[str]) -> None:
        """Add labels to a pull request; GitHub creates those it does not know."""
        if labels:
            path, body = f"/issues/{number}/labels", {"labels": list(labels)}
            self._once_known(lambda: self._api.send("POST", path, body, idempotent=True))

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
        body = {"expected_head_sha": expected_head}
        try:
            self._api.send("PUT", f"/pulls/{number}/update-branch", body, idempotent=False)
        except ServiceConflict as exc:
            if not any("no new commits on the base" in message.lower() for message in exc.messages):
                raise

    def reply(self, pull_request: PullRequest, thread_id: str, body: str) -> None:
        """Answer in a review thread; Ambiguous when the answer was lost."""
        is_known = any(thread.id == thread_id for thread in pull_request.threads)
        if pull_request.is_detailed and not is_known:
            raise Conflict(f"The thread does not belong to pull request #{pull_request.number}.")
        self._api.graphql(_REPLY, {"thread": thread_id, "body": body}, is_write=True)

    def comment(self, number: int, body: str) -> None:
        """Write a comment in the pull request's conversation; Ambiguous when the answer was lost."""
        self._api.send("POST", f"/issues/{number}/comments", {"body": body}, idempotent=False)

    def retract(self, number: int, said: ReviewComment, *, is_inline: bool) -> None:
        """Remove a comment of ours. Threads come without the number that REST wants, so it is looked up."""
        if is_inline:
            items = self._api.items(f"/pulls/{number}/comments")
            with shape():
                ids = [item["id"] for item in items if item["node_id"] == said.node_id]
            paths = [f"/pulls/comments/{id_}" for id_ in ids]
        else:
            paths = [f"/issues/comments/{segment(said.id)}"]
        for path in paths:
            try:
                self._api.send("DELETE", path, idempotent=True)
            except NotFound:
                continue

    # People and runs

    def may_write(self, login: str) -> bool:
        """Whether this person may push to the repository; apps are no persons."""
        return self._people.may_write(login)

    def dispatch(self, payload: Mapping[str, str]) -> None:
        """Start a run for another key. Repeating a dispatch is harmless: the run reads the state and decides."""
        if self._via == "repository_dispatch":
            path, body = "/dispatches", {"event_type": self._event_type, "client_payload": dict(payload)}
        else:
            path = f"/actions/workflows/{segment(self._workflow)}/dispatches"
            body = {"ref": self._ref or self._default_branch(), "inputs": dict(payload)}
        self._api.send("POST", path, body, idempotent=True, kind="dispatch", want="nothing")

    def is_run_alive(self, run_id: str) -> bool:
        """Whether a workflow run is queued, waiting or running."""
        try:
            data = self._api.get(f"/actions/runs/{segment(run_id)}").mapping()
        except NotFound:
            return False
        return data.get("status") in _ALIVE

    # Reading

    def _commits_beyond(self, base: str, sha: str) -> tuple[CommitInfo, ...]:
        path = f"/compare/{quoted_path(base)}...{segment(sha)}"
        try:
            items = self._api.counted_items(path, "commits", "total_commits")
        except NotFound as exc:
            raise NotFound(
                f"The branch `{base}` does not exist, or shares no history.", detail=exc.detail
            ) from exc
        with shape():
            commits = [commit_info(item) for item in items]
        return tuple(reversed(commits))

    def _pull_requests(self, params: Mapping[str, str]) -> list[PullRequest]:
        items = self._api.items("/pulls", **params)
        with shape():
            found = [self._record(item) for item in items if self._is_from_here(item)]
        return sorted(found, key=lambda each: each.number)

    def _is_from_here(self, data: Mapping[str, Any]) -> bool:
        """Whether the head branch lives in this repository: a fork may use the same branch name."""
        repo = data["head"]["repo"]
        return repo is not None and repo["full_name"].casefold() == self._api.repository.casefold()

    def _record(self, data: Mapping[str, Any]) -> PullRequest:
        return pull_request_record(data, is_ours=self._people.is_ours)

    def _detailed(self, pull_request: PullRequest) -> PullRequest:
        """The same pull request with everything people and checks said about it."""
        is_vetoed = pull_request.state == "closed" and not pull_request.is_merged
        base_exists = not is_vetoed or self.head(pull_request.base) is not None
        return replace(self._details.of(pull_request), base_exists=base_exists)

    def _title(self, number: int) -> str:
        return str(self._api.get(f"/pulls/{number}").mapping().get("title", ""))

    def _default_branch(self) -> str:
        data = self._api.get("").mapping()
        with shape():
            return str(data["default_branch"])

    # Writing

    def _patch_pull_request(self, number: int, changes: Mapping[str, str]) -> None:
        if changes:
            self._api.send("PATCH", f"/pulls/{number}", dict(changes), idempotent=True)

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
        """Send it. What GitHub refuses because it lags behind is looked for, or sent, again for a moment."""
        waits = iter(SETTLING)
        while True:
            try:
                data = self._api.send("POST", "/pulls", dict(wanted), idempotent=False).mapping()
                break
            except ServiceConflict as exc:
                if existing := self._refused_for(exc, wanted):
                    return existing
                if not self._api.pause(next(waits, math.inf)):
                    raise Unavailable(
                        f"GitHub does not show yet what was just made of `{wanted['head']}`.",
                        detail=exc.detail,
                    ) from exc
            except Forbidden as exc:
                raise _explained(exc) from exc
        with shape(is_write=True):
            return self._record(data)

    def _refused_for(self, exc: ServiceConflict, wanted: Mapping[str, Any]) -> PullRequest | None:
        """The pull request that stands in the way; ``None`` if it is not listed, or the branch not known, so far."""
        if any("already exists" in message.lower() for message in exc.messages):
            return self._open_between(wanted["head"], wanted["base"])
        if "head: invalid" not in exc.detail:
            raise exc
        return None

    def _once_known(self, send: Callable[[], Response]) -> Response:
        """Write to a pull request; one that was opened a moment ago may be absent at first."""
        for wait in SETTLING:
            try:
                return send()
            except NotFound:
                if not self._api.pause(wait):
                    break
        return send()

    def _convert_to_draft(self, number: int, node_id: str, title: str) -> None:
        try:
            self._api.graphql(_TO_DRAFT, {"id": node_id}, is_write=True)
        except (Conflict, ConfigError) as exc:
            if "draft" not in f"{exc.summary} {exc.detail}".lower():
                raise
            self._patch_pull_request(number, {"title": DRAFT_PREFIX + title})

    def _ask(self, number: int, logins: Sequence[str]) -> tuple[str, ...]:
        body = {"reviewers": list(logins)}
        path = f"/pulls/{number}/requested_reviewers"
        answer = self._once_known(lambda: self._api.send("POST", path, body, idempotent=True)).mapping()
        with shape(is_write=True):
            asked = {user["login"].casefold() for user in answer["requested_reviewers"]}
        return tuple(login for login in logins if login.casefold() not in asked)


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
