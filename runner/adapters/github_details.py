"""What people and checks said about one pull request, complete: a part that cannot be read fails the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from runner.adapters.github_api import MAX_PAGES, GitHubApi, shape
from runner.adapters.github_people import People
from runner.adapters.github_records import Author, check_run, graphql_author, moment, rest_author, status
from runner.adapters.http import segment
from runner.core.model import CheckResult, PullRequest, Review, ReviewComment, ReviewState, ReviewThread
from runner.errors import ConfigError, Conflict, NotFound, Unavailable

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
# REST does not tell when a review's text was edited.
_EDITS = """
query ($owner: String!, $name: String!, $number: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      reviews(first: 100, after: $after) {
        pageInfo { hasNextPage endCursor }
        nodes { id lastEditedAt }
      }
    }
  }
}
"""
_MORE_COMMENTS = f"""
query ($id: ID!, $comments: String) {{
  node(id: $id) {{ ... on PullRequestReviewThread {{ {_THREAD_COMMENTS} }} }}
}}
"""


class Details:
    """Reads reviews, threads, the conversation, checks and who closed a pull request."""

    def __init__(self, api: GitHubApi, people: People) -> None:
        self._api = api
        self._people = people

    def of(self, pull_request: PullRequest) -> PullRequest:
        """The same pull request with all that was said about it."""
        number, sha = pull_request.number, pull_request.head_sha
        return replace(
            pull_request,
            closed_by=self._closer(number) if pull_request.state == "closed" else "",
            reviews=self._reviews(number),
            threads=self._threads(number),
            comments=self._conversation(number),
            checks=(*self._check_runs(sha), *self._statuses(sha)),
            is_detailed=True,
        )

    def _closer(self, number: int) -> str:
        data = self._api.get(f"/issues/{number}").mapping()
        return str((data.get("closed_by") or {}).get("login", ""))

    def _reviews(self, number: int) -> tuple[Review, ...]:
        items = self._api.items(f"/pulls/{number}/reviews")
        edits = self._edits(number) if any(item.get("body") for item in items) else {}
        with shape():
            return tuple(self._review(item, edits) for item in items if item["state"] != ReviewState.PENDING)

    def _edits(self, number: int) -> dict[str, str]:
        """When the text of each review was last edited, by the review's node id, as far as GitHub tells.

        The text itself is REST's, and complete. An edit that is not told now counts at the next look; so a server
        that cannot tell spoils nothing.
        """
        try:
            return self._told_edits(number)
        except (ConfigError, NotFound, Conflict, Unavailable):
            return {}

    def _told_edits(self, number: int) -> dict[str, str]:
        variables: dict[str, object] = {"owner": self._api.owner, "name": self._api.name, "number": number}
        edits: dict[str, str] = {}
        after: str | None = None
        for _ in range(MAX_PAGES):
            data = self._api.graphql(_EDITS, {**variables, "after": after})
            with shape():
                page = data["repository"]["pullRequest"]["reviews"]
                edits |= {str(node["id"]): moment(node["lastEditedAt"]) for node in page["nodes"]}
                after = _next_cursor(page)
            if after is None:
                return edits
        raise Unavailable("GitHub lists more reviews than can be read.", detail=f"pull request {number}")

    def _review(self, data: Mapping[str, Any], edits: Mapping[str, str]) -> Review:
        author = rest_author(data["user"])
        submitted = moment(data["submitted_at"])
        return Review(
            id=str(data["id"]),
            author=author.login,
            state=ReviewState(data["state"]),
            body=data["body"] or "",
            submitted=submitted,
            updated=edits.get(data["node_id"], "") or submitted,
            can_write=self._people.can_write(author),
            is_person=author.is_person,
        )

    def _conversation(self, number: int) -> tuple[ReviewComment, ...]:
        items = self._api.items(f"/issues/{number}/comments")
        with shape():
            return tuple(
                self._said(
                    rest_author(item["user"]),
                    id=str(item["id"]),
                    node_id=item["node_id"],
                    body=item["body"] or "",
                    created=moment(item["created_at"]),
                    updated=moment(item["updated_at"]),
                )
                for item in items
            )

    def _said(
        self,
        author: Author,
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
            is_ours=self._people.is_ours(author.login),
            can_write=self._people.can_write(author),
            is_person=author.is_person,
        )

    def _threads(self, number: int) -> tuple[ReviewThread, ...]:
        variables: dict[str, object] = {"owner": self._api.owner, "name": self._api.name, "number": number}
        threads: list[ReviewThread] = []
        after: str | None = None
        for _ in range(MAX_PAGES):
            data = self._api.graphql(_THREADS, {**variables, "after": after, "comments": None})
            with shape():
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
            answer = self._api.graphql(_MORE_COMMENTS, {"id": thread["id"], "comments": after})
            page = answer["node"]["comments"]
            yield from page["nodes"]
        raise Unavailable("A thread is longer than can be read.", detail=str(thread["id"]))

    def _thread_comment(self, node: Mapping[str, Any]) -> ReviewComment:
        said = self._said(
            graphql_author(node["author"]),
            id=node["id"],
            node_id=node["id"],
            body=node["body"],
            created=moment(node["createdAt"]),
            updated=moment(node["updatedAt"]),
        )
        return replace(said, is_ours=said.is_ours or bool(node["viewerDidAuthor"]))

    def _check_runs(self, sha: str) -> list[CheckResult]:
        path = f"/commits/{segment(sha)}/check-runs"
        items = self._api.counted_items(path, "check_runs", "total_count", filter="latest")
        with shape():
            return [check_run(item) for item in items]

    def _statuses(self, sha: str) -> list[CheckResult]:
        items = self._api.counted_items(f"/commits/{segment(sha)}/status", "statuses", "total_count")
        with shape():
            return [status(item) for item in items]


def _next_cursor(page: Mapping[str, Any]) -> str | None:
    info = page["pageInfo"]
    return str(info["endCursor"]) if info["hasNextPage"] else None
