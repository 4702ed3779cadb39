"""The embedded GitHub with people in it, for the tests of everything that speaks to GitHub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from runner.adapters.git_publish import GitPublisher
from runner.adapters.github import GitHubForge
from runner.adapters.http import HttpClient
from runner.adapters.http_credentials import bearer
from runner.core.model import PullRequest
from runner.core.work import FileChange
from runner.sandbox.github import GitHubSandbox
from runner.sandbox.github.service import AnswerLost
from runner.sandbox.github.state import TickingClock
from runner.sandbox.reviewers import Reviewer
from runner.sandbox.server import Recorder

BRANCH = "ai/ABC-1"
OURS = "github-actions[bot]"
TOKEN = "ghs-publish"
PERMISSIONS: dict[str, Any] = {
    "contents": "write",
    "pull-requests": "write",
    "checks": "read",
    "statuses": "read",
    "actions": "read",
}


class StandingClock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Site:
    """The embedded GitHub with two people and the runner's token."""

    def __init__(self, folder: Path) -> None:
        self.recorder = Recorder()
        self.server = GitHubSandbox(
            "acme/till", git_dir=folder / "origin.git", recorder=self.recorder, clock=TickingClock()
        )
        self.follows_contract = True
        self.folder = folder

    def prepare(self) -> None:
        self.start = self.server.seed(
            {"README.md": b"# Till\n", "src/till.py": b"a = 1\nb = 2\nc = 3\n"}, "Start"
        )
        self.server.add_token(TOKEN, login=OURS, kind="actions", permissions=PERMISSIONS)
        self.server.add_user("ada", "ada-token")
        self.server.add_user("rob", "rob-token", "read")
        self.server.add_user("ci", "ci-token", "admin")
        self.ada = Reviewer(self.server, "ada-token")
        self.rob = Reviewer(self.server, "rob-token")

    def forge(self, token: str = TOKEN, **options: Any) -> GitHubForge:
        http = HttpClient(
            options.pop("base_url", self.server.url),
            service="GitHub",
            auth=bearer(token),
            clock=StandingClock(),
        )
        return GitHubForge(http, repository="acme/till", **options)

    def publisher(self, token: str = TOKEN) -> GitPublisher:
        return GitPublisher(
            f"{self.server.url}/acme/till", token, self.folder / "publish", pauses=(), sleep=lambda _: None
        )

    def push(
        self, branch: str = BRANCH, path: str = "src/till.py", content: bytes = b"a = 2\nb = 2\nc = 3\n"
    ) -> str:
        heads = self.server.branches()
        with self.publisher() as publisher:
            return publisher.publish(
                branch=branch,
                start=heads.get(branch, heads["main"]),
                expected=heads.get(branch),
                changes=[FileChange(path=path, content=content)],
                message=f"ABC-1: change {path}\n\nJira-Issue: ABC-1\nAI-Runner-Run: 7.1\n",
            )

    def open(self, *, draft: bool = False) -> PullRequest:
        if BRANCH not in self.server.branches():
            self.push()
        return self.forge().create_pull_request(
            head=BRANCH, base="main", title="ABC-1: do it", body="text", draft=draft
        )

    def read(self) -> PullRequest:
        """The newest pull request of the branch, in full."""
        return self.forge().pull_requests(head=BRANCH, detailed=True)[-1]

    def calls(self, method: str, path: str = "") -> list[dict[str, Any]]:
        return [one for one in self.recorder.exchanges if one["method"] == method and path in one["path"]]

    def lose_answers(self, method: str, path: str, *, times: int, is_applied: bool) -> None:
        """End the next connections of this kind without an answer, after or before the request was applied."""
        left = [times]

        def is_next(request: Request) -> bool:
            is_hit = left[0] > 0 and request.method == method and request.path.endswith(path)
            left[0] -= is_hit
            return is_hit

        def before(request: Request) -> Response | None:
            if is_next(request):
                raise AnswerLost
            return None

        def after(request: Request, response: Response) -> Response | None:
            return before(request)

        if is_applied:
            self.server.after.append(after)
        else:
            self.server.before.append(before)

    def answer(self, path: str, make: Callable[[Request], Response]) -> None:
        """Let something else than the sandbox answer requests to this path."""
        self.follows_contract = False
        self.server.before.append(lambda request: make(request) if request.path.endswith(path) else None)
