"""People of the story, who review and merge through the same HTTP API as everybody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import requests

from runner.sandbox.github import GitHubSandbox

_THREADS = """
query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) { pullRequest(number: $number) { reviewThreads(first: 100) { nodes {
    id isResolved isOutdated path line
    comments(first: 100) { nodes { id databaseId body createdAt updatedAt author { login } } }
  } } } }
}
"""


class Reviewer:
    """One person with a token. Every method raises ``requests.HTTPError`` when GitHub refuses."""

    def __init__(self, sandbox: GitHubSandbox, token: str) -> None:
        self._sandbox = sandbox
        self._token = token

    def request(self, method: str, path: str, **body: Any) -> Any:
        """Send one request below ``/repos/<owner>/<repo>`` (or to an absolute ``/path``)."""
        url = self._sandbox.url
        target = path if path.startswith("/") else f"/repos/{self._sandbox.hub.full_name}/{path}"
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        response = requests.request(method, url + target, json=body or None, headers=headers, timeout=60)
        response.raise_for_status()
        return response.json() if response.content else None

    def pull(self, number: int) -> dict[str, Any]:
        """Read a pull request."""
        found: dict[str, Any] = self.request("GET", f"pulls/{number}")
        return found

    def pulls(self) -> list[dict[str, Any]]:
        """Read every pull request, whatever its state, oldest first."""
        found: list[dict[str, Any]] = self.request(
            "GET", "pulls?state=all&sort=created&direction=asc&per_page=100"
        )
        return found

    def review(
        self, number: int, event: str, body: str = "", inline: Sequence[tuple[str, int, str]] = ()
    ) -> dict[str, Any]:
        """Review with APPROVE, REQUEST_CHANGES or COMMENT; ``inline`` holds (path, line, text)."""
        comments = [
            {"path": path, "line": line, "side": "RIGHT", "body": text} for path, line, text in inline
        ]
        done: dict[str, Any] = self.request(
            "POST", f"pulls/{number}/reviews", event=event, body=body, comments=comments
        )
        return done

    def comment(self, number: int, text: str) -> dict[str, Any]:
        """Write in the conversation."""
        done: dict[str, Any] = self.request("POST", f"issues/{number}/comments", body=text)
        return done

    def reply(self, number: int, comment_id: int, text: str) -> dict[str, Any]:
        """Answer an inline comment."""
        done: dict[str, Any] = self.request(
            "POST", f"pulls/{number}/comments/{comment_id}/replies", body=text
        )
        return done

    def merge(self, number: int, method: str = "merge") -> str:
        """Merge, and return the commit on the base branch."""
        return str(self.request("PUT", f"pulls/{number}/merge", merge_method=method)["sha"])

    def close(self, number: int) -> None:
        """Close without merging."""
        self.request("PATCH", f"pulls/{number}", state="closed")

    def threads(self, number: int) -> list[dict[str, Any]]:
        """Read the review threads."""
        owner, name = self._sandbox.hub.full_name.split("/")
        variables = {"owner": owner, "name": name, "number": number}
        answer = self.request("POST", "/graphql", query=_THREADS, variables=variables)
        found: list[dict[str, Any]] = answer["data"]["repository"]["pullRequest"]["reviewThreads"]["nodes"]
        return found
