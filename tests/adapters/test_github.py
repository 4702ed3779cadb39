"""The Forge against the embedded GitHub over real HTTP; every exchange is held against the official contract."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.wrappers import Request, Response

from runner.adapters import github
from runner.adapters.git import GitPublisher, checkout, fetch_commits
from runner.adapters.github import DRAFT_PREFIX, GitHubForge, trailers
from runner.adapters.http import HttpClient, bearer
from runner.core.model import PullRequest, ReviewState
from runner.core.work import FileChange
from runner.errors import (
    Ambiguous,
    ConfigError,
    Conflict,
    GaveUp,
    MovedUnderUs,
    NotFound,
    Refused,
    RunnerError,
    Unauthorized,
    Unavailable,
)
from runner.sandbox.github import GitHubSandbox
from runner.sandbox.github.service import AnswerLost
from runner.sandbox.github.state import TickingClock
from runner.sandbox.reviewers import Reviewer
from runner.sandbox.server import Recorder, json_response
from tests.contracts import violations

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


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    with site.server:
        site.prepare()
        yield site
    if site.follows_contract:
        assert violations(site.recorder.exchanges) == []


@pytest.fixture
def forge(site: Site) -> GitHubForge:
    return site.forge()


# --- the repository ----------------------------------------------------------------------------------------


def test_repository(forge: GitHubForge) -> None:
    """The repository is described, and GraphQL tells whose token this is."""
    found = forge.repository()
    assert (found.name, found.default_branch, found.is_private, found.login) == (
        "acme/till",
        "main",
        True,
        OURS,
    )


def test_a_persons_token(site: Site) -> None:
    """A personal token is recognised as its owner."""
    assert site.forge("ada-token").repository().login == "ada"


def test_identity_without_graphql(site: Site) -> None:
    """Where GraphQL does not say who we are, REST is asked."""
    site.answer("/graphql", lambda _: json_response({"message": "Not Found"}, 404))
    assert site.forge("ada-token").repository().login == "ada"


def test_an_enterprise_server(site: Site) -> None:
    """REST below /api/v3 has its GraphQL at /api/graphql."""
    assert site.forge(base_url=f"{site.server.url}/api/v3").repository().login == OURS
    assert [one["path"] for one in site.calls("POST")] == ["/api/graphql"]


def test_the_api_version_is_always_sent(site: Site) -> None:
    """Every request names the API version it was written for."""
    site.open()
    site.read()
    assert {one["headers"].get("X-Github-Api-Version") for one in site.recorder.exchanges} == {"2022-11-28"}


def test_a_wrong_token(site: Site) -> None:
    """A token that GitHub does not know is a matter of configuration."""
    with pytest.raises(Unauthorized):
        site.forge("wrong").repository()


def test_a_repository_nobody_may_see(site: Site) -> None:
    """What this token may not see is not found."""
    site.server.add_token("foreign", login="eve", kind="user", permissions={})
    with pytest.raises(NotFound):
        site.forge("foreign").repository()


@pytest.mark.parametrize("name", ["till", "acme/till/x", "../..", "acme/ti ll", ""])
def test_names_of_repositories(site: Site, name: str) -> None:
    """A name that is no repository never becomes part of an address."""
    with pytest.raises(ConfigError):
        GitHubForge(HttpClient(site.server.url, service="GitHub"), repository=name)


def test_file(forge: GitHubForge, site: Site) -> None:
    """A file is read byte for byte at a branch or commit; what is not a file there is None."""
    site.push(path="docs/\u00e4 b.txt", content=b"1\r\n\xff")
    assert forge.file("docs/\u00e4 b.txt", ref=BRANCH) == b"1\r\n\xff"
    assert forge.file("README.md", ref=site.start) == b"# Till\n"
    assert forge.file("docs/\u00e4 b.txt", ref="main") is None
    assert forge.file("docs", ref=BRANCH) is None


def test_a_file_at_no_ref(forge: GitHubForge) -> None:
    """A ref that does not exist is not a missing file."""
    with pytest.raises(NotFound, match="nowhere"):
        forge.file("README.md", ref="nowhere")


def test_head(forge: GitHubForge, site: Site) -> None:
    """A branch is looked up by its exact name."""
    sha = site.push()
    assert forge.head(BRANCH) == sha
    assert forge.head("ai/ABC") is None
    assert forge.head("none") is None


def test_branch_commits(forge: GitHubForge, site: Site) -> None:
    """A branch comes with its commits beyond the base, newest first, with their trailers."""
    first = site.push()
    second = site.push(content=b"a = 3\n")
    branch = forge.branch(BRANCH, base="main")
    assert branch is not None
    assert branch.sha == second
    assert [commit.sha for commit in branch.commits] == [second, first]
    assert branch.commits[0].trailers == {"Jira-Issue": "ABC-1", "AI-Runner-Run": "7.1"}
    assert branch.commits[0].parents == (first,)
    assert branch.commits[0].committed.endswith(".000Z")


def test_an_absent_branch(forge: GitHubForge) -> None:
    """A branch that does not exist is None; a base that does not exist is an error."""
    assert forge.branch("none", base="main") is None
    with pytest.raises(NotFound, match="none"):
        forge.branch("main", base="none")


def test_branch_over_pages(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """All commits are read, whatever the size of a page."""
    monkeypatch.setattr("runner.adapters.github.PAGE_SIZE", 2)
    pushed = [site.push(content=f"{number}\n".encode()) for number in range(5)]
    branch = site.forge().branch(BRANCH, base="main")
    assert branch is not None
    assert [commit.sha for commit in branch.commits] == pushed[::-1]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Key: value", {}),
        ("s\n\nKey: value", {"Key": "value"}),
        ("s\n\nbody: text\n\nA-1: x\nB:y\n", {"A-1": "x", "B": "y"}),
        ("s\r\n\r\nKey: value\r\n", {"Key": "value"}),
        ("s\n\nKey: one\n two\nKey2: x", {"Key": "one two", "Key2": "x"}),
        ("s\n\nKey: one\nKey: two", {"Key": "two"}),
        ("s\n\nonly prose here", {}),
        ("", {}),
    ],
)
def test_trailers(message: str, expected: dict[str, str]) -> None:
    """Trailers are the last paragraph's pairs, and the subject is never one."""
    assert trailers(message) == expected


@given(st.text())
def test_trailers_of_anything(message: str) -> None:
    """Any message has trailers or none."""
    assert all(key and "\n" not in key for key in trailers(message))


# --- pull requests: opening and changing ---------------------------------------------------------------------


def test_create(site: Site) -> None:
    """A pull request is opened from our branch, and the record says it is ours."""
    made = site.open()
    assert (made.number, made.state, made.title, made.body) == (1, "open", "ABC-1: do it", "text")
    assert (made.head, made.base, made.author, made.is_ours) == (BRANCH, "main", OURS, True)
    assert made.head_sha == site.server.branches()[BRANCH]
    assert not made.is_draft


def test_create_twice(site: Site) -> None:
    """Opening what is open already returns it and sends nothing."""
    made = site.open()
    again = site.forge().create_pull_request(head=BRANCH, base="main", title="x", body="y", draft=False)
    assert again.number == made.number
    assert len(site.calls("POST", "/pulls")) == 1


def test_create_when_somebody_was_faster(site: Site) -> None:
    """When GitHub says that it exists already, the existing one is returned."""
    site.push()
    opened: list[int] = []

    def race(request: Request) -> Response | None:
        if request.method == "POST" and request.path.endswith("/pulls") and not opened:
            opened.append(1)
            site.ada.request("POST", "pulls", head=BRANCH, base="main", title="theirs")
        return None

    site.server.before.append(race)
    made = site.forge().create_pull_request(head=BRANCH, base="main", title="ours", body="", draft=False)
    assert (made.title, made.is_ours) == ("theirs", False)


@pytest.mark.parametrize("is_applied", [True, False])
def test_create_whose_answer_was_lost(site: Site, is_applied: bool) -> None:
    """After a lost answer the list is read; only what is not there is sent again."""
    site.push()
    site.lose_answers("POST", "/pulls", times=1, is_applied=is_applied)
    made = site.forge().create_pull_request(head=BRANCH, base="main", title="t", body="", draft=False)
    assert [pull.number for pull in site.server.pulls] == [made.number]


def test_create_whose_answers_are_all_lost(site: Site) -> None:
    """A second lost answer is not followed by a third try."""
    site.push()
    site.lose_answers("POST", "/pulls", times=9, is_applied=False)
    with pytest.raises(Ambiguous):
        site.forge().create_pull_request(head=BRANCH, base="main", title="t", body="", draft=False)


def test_create_without_commits(site: Site) -> None:
    """Nothing between head and base is a conflict, with GitHub's words."""
    site.push("main2")
    with pytest.raises(Conflict, match="No commits between"):
        site.forge().create_pull_request(head="main", base="main2", title="t", body="", draft=False)


def test_create_where_actions_may_not(site: Site) -> None:
    """The switch that keeps Actions from opening pull requests is named."""
    site.push()
    site.server.configure(allow_actions_pull_requests=False)
    with pytest.raises(ConfigError) as caught:
        site.forge().create_pull_request(head=BRANCH, base="main", title="t", body="", draft=False)
    assert "Settings > Actions" in caught.value.remedy


def test_a_draft(site: Site) -> None:
    """A draft is a draft where GitHub has drafts, and becomes ordinary and a draft again."""
    made = site.open(draft=True)
    assert made.is_draft
    site.forge().set_draft(made, draft=False)
    assert not site.read().is_draft
    site.forge().set_draft(made, draft=True)
    assert site.read().is_draft
    assert site.read().title == "ABC-1: do it"


def test_a_refused_draft(site: Site) -> None:
    """Where drafts are refused the title says it, it is read as a draft, and it can become ordinary."""
    site.server.configure(allow_drafts=False)
    made = site.open(draft=True)
    assert (made.is_draft, made.title) == (False, "ABC-1: do it")
    assert (site.read().is_draft, site.read().title) == (True, "ABC-1: do it")
    assert (site.server.pulls[0].draft, site.server.pulls[0].title) == (False, f"{DRAFT_PREFIX}ABC-1: do it")
    site.forge().set_draft(made, draft=False)
    assert not site.read().is_draft
    assert site.server.pulls[0].title == "ABC-1: do it"


def test_a_refused_conversion_to_draft(site: Site) -> None:
    """An ordinary pull request becomes a draft by its title where GitHub has no drafts."""
    made = site.open()
    site.server.configure(allow_drafts=False)
    site.forge().set_draft(made, draft=True)
    assert site.read().is_draft
    assert site.server.pulls[0].title == f"{DRAFT_PREFIX}ABC-1: do it"


@pytest.mark.parametrize("draft", [True, False])
def test_draft_state_that_is_already_so(site: Site, draft: bool) -> None:
    """Setting the state a pull request has already writes nothing."""
    made = site.open(draft=draft)
    before = len(site.calls("POST")) + len(site.calls("PATCH"))
    site.forge().set_draft(made, draft=draft)
    assert len(site.calls("POST")) + len(site.calls("PATCH")) == before


def test_update(site: Site) -> None:
    """Title, body and base change; what is not given stays."""
    made = site.open()
    site.push("ai/ABC-0", path="other.txt", content=b"x")
    site.forge().update_pull_request(made.number, body="new")
    assert (site.read().title, site.read().body) == ("ABC-1: do it", "new")
    site.forge().update_pull_request(made.number, title="t", base="ai/ABC-0")
    assert (site.read().title, site.read().base) == ("t", "ai/ABC-0")


def test_update_keeps_the_draft_prefix(site: Site) -> None:
    """A new title does not turn a draft into an ordinary pull request."""
    site.server.configure(allow_drafts=False)
    made = site.open(draft=True)
    site.forge().update_pull_request(made.number, title="other")
    assert (site.read().title, site.read().is_draft) == ("other", True)
    assert site.server.pulls[0].title == f"{DRAFT_PREFIX}other"


def test_update_to_an_absent_base(site: Site) -> None:
    """A base that does not exist is a conflict."""
    made = site.open()
    with pytest.raises(Conflict, match="none"):
        site.forge().update_pull_request(made.number, base="none")


def test_labels(site: Site) -> None:
    """Labels are added to those that are there, and created when they are new."""
    made = site.open()
    site.forge().add_labels(made.number, ["ai-runner"])
    site.forge().add_labels(made.number, ["draft", "ai-runner"])
    assert site.read().labels == {"ai-runner", "draft"}


def test_no_labels(site: Site) -> None:
    """Adding no labels sends nothing."""
    made = site.open()
    site.forge().add_labels(made.number, [])
    assert site.calls("POST", "/labels") == []


def test_reviewers(site: Site) -> None:
    """Those GitHub refuses are returned, and the others are asked all the same."""
    made = site.open()
    assert site.forge().request_reviewers(made.number, ["ada", "nobody"]) == ("nobody",)
    assert site.read().requested_reviewers == ("ada",)


def test_the_author_cannot_review(site: Site) -> None:
    """The author of a pull request is refused as its reviewer."""
    site.push()
    made = site.forge("ada-token").create_pull_request(
        head=BRANCH, base="main", title="t", body="", draft=False
    )
    assert site.forge().request_reviewers(made.number, ["ada"]) == ("ada",)
    assert site.forge().request_reviewers(made.number, []) == ()


def test_update_branch(site: Site) -> None:
    """The base is merged into the head on the server."""
    made = site.open()
    site.push("main", path="other.txt", content=b"x")
    site.forge().update_branch(made.number, expected_head=made.head_sha)
    assert site.server.files(BRANCH)["other.txt"] == b"x"


def test_update_branch_that_is_up_to_date(site: Site) -> None:
    """A head that contains its base already is fine."""
    made = site.open()
    site.forge().update_branch(made.number, expected_head=made.head_sha)
    assert site.server.branches()[BRANCH] == made.head_sha


def test_update_branch_that_moved(site: Site) -> None:
    """A head that somebody moved is left alone."""
    made = site.open()
    site.push("main", path="other.txt", content=b"x")
    head = site.push(content=b"a = 9\n")
    with pytest.raises(Conflict):
        site.forge().update_branch(made.number, expected_head=made.head_sha)
    assert site.server.branches()[BRANCH] == head


def test_update_branch_with_a_merge_conflict(site: Site) -> None:
    """What does not merge cleanly is a conflict."""
    made = site.open()
    site.push("main", content=b"a = 5\nb = 2\nc = 3\n")
    with pytest.raises(Conflict):
        site.forge().update_branch(made.number, expected_head=made.head_sha)


# --- pull requests: reading ----------------------------------------------------------------------------------


def test_pull_requests_of_a_branch(site: Site) -> None:
    """All pull requests of a branch are found whatever their state, oldest first, and no others."""
    first = site.open()
    site.ada.request("PATCH", f"pulls/{first.number}", state="closed")
    second = site.open()
    site.push("ai/ABC-10", path="x", content=b"x")
    site.forge().create_pull_request(head="ai/ABC-10", base="main", title="t", body="", draft=False)
    found = site.forge().pull_requests(head=BRANCH, detailed=False)
    assert [(one.number, one.state, one.is_detailed) for one in found] == [
        (first.number, "closed", False),
        (second.number, "open", False),
    ]


def test_only_the_newest_is_detailed(site: Site) -> None:
    """Details are read of the newest pull request only."""
    first = site.open()
    site.ada.request("PATCH", f"pulls/{first.number}", state="closed")
    site.open()
    found = site.forge().pull_requests(head=BRANCH, detailed=True)
    assert [one.is_detailed for one in found] == [False, True]


def test_no_pull_requests(site: Site) -> None:
    """A branch without pull requests has none."""
    assert site.forge().pull_requests(head=BRANCH, detailed=True) == ()


def test_forks_do_not_count(site: Site) -> None:
    """A pull request from a fork's branch of the same name is not ours."""
    made = site.open()

    def from_fork(request: Request, response: Response) -> Response | None:
        if request.method != "GET" or not request.path.endswith("/pulls"):
            return None
        pulls = response.get_json()
        fork = {**pulls[0], "number": 99, "head": {**pulls[0]["head"], "repo": {"full_name": "eve/till"}}}
        gone = {**pulls[0], "number": 98, "head": {**pulls[0]["head"], "repo": None}}
        return json_response([fork, gone, *pulls])

    site.follows_contract = False
    site.server.after.append(from_fork)
    assert [one.number for one in site.forge().pull_requests(head=BRANCH, detailed=False)] == [made.number]


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_what_an_ended_pull_request_offered(site: Site, method: str) -> None:
    """Its commits are told, oldest first, however it was merged and though its branch is gone."""
    site.server.configure(delete_branch_on_merge=True)
    pushed = [site.push(), site.push(path="src/new.py", content=b"c = 3\n")]
    made = site.open()
    site.ada.request("PUT", f"pulls/{made.number}/merge", merge_method=method)

    offered = site.forge().pull_request_commits(made.number)

    assert [commit.sha for commit in offered] == pushed
    assert [commit.trailers["Jira-Issue"] for commit in offered] == ["ABC-1", "ABC-1"]


def test_commits_over_pages(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """All commits of a pull request are read, whatever the size of a page."""
    monkeypatch.setattr("runner.adapters.github.PAGE_SIZE", 2)
    pushed = [site.push(content=f"{number}\n".encode()) for number in range(5)]
    assert [one.sha for one in site.forge().pull_request_commits(site.open().number)] == pushed


def test_more_commits_than_github_lists(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that may go on unseen is no list."""
    monkeypatch.setattr("runner.adapters.github.MAX_LISTED_COMMITS", 2)
    site.push()
    site.push(content=b"a = 3\n")
    number = site.open().number
    with pytest.raises(GaveUp, match="2 commits or more"):
        site.forge().pull_request_commits(number)


def test_the_files_of_a_commit(site: Site) -> None:
    """The paths that it changed, and not those of the commits before it."""
    site.push()
    sha = site.push(path="src/new.py", content=b"c = 3\n")
    assert site.forge().files_of(sha) == ("src/new.py",)


def test_what_a_review_is_about(site: Site) -> None:
    """The files of its inline comments, by the review; one without any is not named."""
    number = site.open().number
    site.ada.review(number, "COMMENT", "No file.")
    inline = [("src/till.py", 1, "One."), ("src/till.py", 2, "Two.")]
    made = site.ada.review(number, "REQUEST_CHANGES", "Two remarks.", inline=inline)
    assert site.forge().review_paths(number) == {str(made["id"]): ("src/till.py",)}


def test_pull_requests_onto(site: Site) -> None:
    """Open pull requests that target a branch are found."""
    site.open()
    site.push("ai/ABC-2", path="x", content=b"x")
    made = site.forge().create_pull_request(head="ai/ABC-2", base=BRANCH, title="t", body="", draft=False)
    assert [one.number for one in site.forge().pull_requests_onto(BRANCH)] == [made.number]
    assert [one.head for one in site.forge().pull_requests_onto("main")] == [BRANCH]


def test_a_merged_pull_request(site: Site) -> None:
    """A merged pull request says so, with its merge commit and who did it."""
    made = site.open()
    site.ada.request("PUT", f"pulls/{made.number}/merge")
    found = site.read()
    assert (found.state, found.is_merged, found.closed_by) == ("closed", True, "ada")
    assert found.merge_sha == site.server.branches()["main"]
    assert found.closed_at


def test_a_closed_pull_request(site: Site) -> None:
    """A closed one names who closed it, and its base still exists."""
    made = site.open()
    site.ada.request("PATCH", f"pulls/{made.number}", state="closed")
    found = site.read()
    assert (found.state, found.is_merged, found.closed_by, found.base_exists) == (
        "closed",
        False,
        "ada",
        True,
    )
    assert found.merge_sha == ""


def test_a_pull_request_whose_base_vanished(site: Site) -> None:
    """GitHub closes a pull request whose base is deleted; nobody did it and the base is gone."""
    site.push("ai/ABC-0", path="x", content=b"x")
    site.push()
    site.forge().create_pull_request(head=BRANCH, base="ai/ABC-0", title="t", body="", draft=False)
    site.ada.request("DELETE", "git/refs/heads/ai/ABC-0")
    found = site.read()
    assert (found.state, found.closed_by, found.base_exists) == ("closed", "", False)


def test_reviews(site: Site) -> None:
    """Reviews carry verdict, words and whether their author may push."""
    made = site.open()
    site.ada.review(made.number, "REQUEST_CHANGES", "please fix")
    site.rob.review(made.number, "COMMENT", "hm")
    assert [
        (one.author, one.state, one.body, one.can_write, one.is_person) for one in site.read().reviews
    ] == [
        ("ada", ReviewState.CHANGES_REQUESTED, "please fix", True, True),
        ("rob", ReviewState.COMMENTED, "hm", False, True),
    ]


def test_threads(site: Site) -> None:
    """Inline conversations come with place, state and all comments, also ours."""
    made = site.open()
    site.ada.review(made.number, "COMMENT", "", [("src/till.py", 1, "why 2?")])
    thread = site.read().threads[0]
    site.forge().reply(site.read(), thread.id, "because")
    thread = site.read().threads[0]
    assert (thread.path, thread.line, thread.is_resolved, thread.is_outdated) == (
        "src/till.py",
        1,
        False,
        False,
    )
    assert [(one.author, one.body, one.is_ours, one.can_write, one.is_person) for one in thread.comments] == [
        ("ada", "why 2?", False, True, True),
        (OURS, "because", True, False, False),
    ]


def test_threads_over_pages(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """All threads and all their comments are read, whatever the size of a page."""
    for name in ("_THREADS", "_MORE_COMMENTS"):
        monkeypatch.setattr(github, name, getattr(github, name).replace("first: 50", "first: 2"))
    made = site.open()
    for number in range(5):
        site.ada.review(made.number, "COMMENT", "", [("src/till.py", 1, f"thread {number}")])
    first = site.read().threads[0]
    for number in range(4):
        site.forge().reply(site.read(), first.id, f"reply {number}")
    threads = site.read().threads
    assert [one.comments[0].body for one in threads] == [f"thread {number}" for number in range(5)]
    assert [one.body for one in threads[0].comments[1:]] == [f"reply {number}" for number in range(4)]


def test_conversation(site: Site) -> None:
    """The conversation is read in order, with an edit as a newer version."""
    made = site.open()
    first = site.ada.comment(made.number, "one")
    site.forge().comment(made.number, "two")
    site.ada.request("PATCH", f"issues/comments/{first['id']}", body="one, edited")
    comments = site.read().comments
    assert [(one.author, one.body, one.is_ours) for one in comments] == [
        ("ada", "one, edited", False),
        (OURS, "two", True),
    ]
    assert comments[0].updated > comments[0].created


def test_our_other_accounts(site: Site) -> None:
    """What another account of ours wrote counts as ours."""
    site.server.add_token("app", login="runner-app[bot]", kind="app", permissions=PERMISSIONS)
    made = site.open()
    site.forge("app").comment(made.number, "from the app")
    reader = site.forge(accounts=["runner-app[bot]"])
    (found,) = reader.pull_requests(head=BRANCH, detailed=True)
    assert [one.is_ours for one in found.comments] == [True]


def test_checks(site: Site) -> None:
    """Check runs and commit statuses of the head are results of one kind."""
    made = site.open()
    app: dict[str, Any] = {"contents": "read", "checks": "write", "statuses": "write"}
    site.server.add_token("ci-app", login="ci[bot]", kind="app", permissions=app)
    ci = Reviewer(site.server, "ci-app")
    output = {"title": "2 failed", "summary": "test_a, test_b"}
    ci.request(
        "POST",
        "check-runs",
        name="test",
        head_sha=made.head_sha,
        status="completed",
        conclusion="failure",
        output=output,
    )
    ci.request("POST", "check-runs", name="lint", head_sha=made.head_sha, status="in_progress")
    ci.request("POST", f"statuses/{made.head_sha}", state="success", context="cov", description="90 %")
    found = {one.name: (one.conclusion, one.summary) for one in site.read().checks}
    assert found == {
        "test": ("failure", "2 failed\n\ntest_a, test_b"),
        "lint": ("pending", ""),
        "cov": ("success", "90 %"),
    }


@pytest.mark.parametrize("permission", ["checks", "statuses", "pull-requests"])
def test_a_read_that_is_not_allowed(site: Site, permission: str) -> None:
    """A part that this token may not read fails the whole read: unknown is never empty."""
    site.open()
    allowed: dict[str, Any] = {name: "read" for name in PERMISSIONS if name != permission}
    site.server.add_token("less", login=OURS, kind="actions", permissions=allowed)
    with pytest.raises(ConfigError):
        site.forge("less").pull_requests(head=BRANCH, detailed=True)


@pytest.mark.parametrize(
    "path", ["/reviews", "/comments", "/check-runs", "/status", "/graphql", "/pulls", "/permission"]
)
@pytest.mark.parametrize("status", [500, 200])
def test_a_read_that_fails(site: Site, path: str, status: int) -> None:
    """A failed or misshapen part fails the whole read: unknown is never empty."""
    made = site.open()
    site.ada.review(made.number, "COMMENT", "hm")
    site.answer(path, lambda _: json_response({"message": "oops"}, status))
    with pytest.raises(Unavailable):
        site.forge(accounts=[OURS]).pull_requests(head=BRANCH, detailed=True)


def test_a_shortened_list(site: Site) -> None:
    """A list that is shorter than it says is a failed read."""
    site.open()
    site.answer("/check-runs", lambda _: json_response({"total_count": 3, "check_runs": []}))
    with pytest.raises(Unavailable, match="incomplete"):
        site.read()


# --- writing into conversations ------------------------------------------------------------------------------


def test_a_reply_to_a_foreign_thread(site: Site) -> None:
    """A thread id that does not belong to the pull request is never answered."""
    site.open()
    with pytest.raises(Conflict):
        site.forge().reply(site.read(), "PRRT_other", "x")


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_comment_whose_answer_was_lost(site: Site, is_applied: bool) -> None:
    """A comment is never sent twice; the caller reads back."""
    made = site.open()
    site.lose_answers("POST", "/comments", times=1, is_applied=is_applied)
    with pytest.raises(Ambiguous):
        site.forge().comment(made.number, "once")
    assert len(site.read().comments) == is_applied


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_reply_whose_answer_was_lost(site: Site, is_applied: bool) -> None:
    """A reply is never sent twice; the caller reads back."""
    made = site.open()
    site.ada.review(made.number, "COMMENT", "", [("src/till.py", 1, "why 2?")])
    found = site.read()
    site.lose_answers("POST", "/graphql", times=1, is_applied=is_applied)
    with pytest.raises(Ambiguous):
        site.forge().reply(found, found.threads[0].id, "once")
    assert len(site.read().threads[0].comments) == 1 + is_applied


def test_one_of_two_answers_is_retracted_and_the_other_stays(site: Site) -> None:
    """In a thread and in the conversation alike; one that is gone already is no error."""
    made = site.open()
    site.ada.review(made.number, "COMMENT", "", [("src/till.py", 1, "why 2?")])
    forge, found = site.forge(), site.read()
    for text in ("first", "second"):
        forge.reply(found, found.threads[0].id, text)
        forge.comment(made.number, text)
    now = site.read()

    for _ in range(2):
        forge.retract(made.number, now.threads[0].comments[2], is_inline=True)
        forge.retract(made.number, now.comments[1], is_inline=False)

    after = site.read()
    assert [one.body for one in after.threads[0].comments] == ["why 2?", "first"]
    assert [one.body for one in after.comments] == ["first"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "NOT_FOUND", "message": "m"}, NotFound),
        ({"type": "FORBIDDEN", "message": "m"}, ConfigError),
        ({"type": "INSUFFICIENT_SCOPES", "message": "m"}, ConfigError),
        ({"type": "UNPROCESSABLE", "message": "m"}, Conflict),
        ({"type": "RATE_LIMITED", "message": "m"}, Unavailable),
        ({"message": "m", "extensions": {"code": "undefinedField"}, "path": ["query"]}, ConfigError),
        ({"message": "Something went wrong"}, Ambiguous),
        ("damaged", Ambiguous),
    ],
)
def test_errors_of_graphql(site: Site, error: object, expected: type[RunnerError]) -> None:
    """A GraphQL answer with errors is a failure of its kind, although its status is 200."""
    found = site.open()
    site.answer("/graphql", lambda _: json_response({"data": {"viewer": {"login": "x"}}, "errors": [error]}))
    with pytest.raises(expected):
        site.forge().reply(found, "PRRT_1", "x")


# --- people, dispatches and runs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("ada", True),
        ("ci", True),
        ("rob", False),
        ("nobody", False),
        (OURS, False),
        ("ghost", False),
        ("", False),
    ],
)
def test_may_write(forge: GitHubForge, login: str, expected: bool) -> None:
    """People with write permission may write; readers, strangers and apps may not."""
    assert forge.may_write(login) is expected


def test_a_permission_is_asked_once(site: Site) -> None:
    """One run asks once per person."""
    forge = site.forge()
    assert forge.may_write("ada")
    assert forge.may_write("Ada")
    assert len(site.calls("GET", "/permission")) == 1


def test_dispatch(site: Site) -> None:
    """Another key is dispatched under our event type."""
    forge = site.forge()
    forge.dispatch({"issue_key": "ABC-2", "phase": "auto", "event_id": "1"})
    (call,) = site.calls("POST", "/dispatches")
    assert call["body"] == {
        "event_type": "ai-runner",
        "client_payload": {"issue_key": "ABC-2", "phase": "auto", "event_id": "1"},
    }


def test_dispatch_by_workflow(site: Site) -> None:
    """The safer trigger starts a workflow on the default branch with the same values as inputs."""
    workflow = b"on:\n  workflow_dispatch:\n    inputs:\n      issue_key:\n        type: string\n"
    site.ada.request(
        "PUT",
        "contents/.github/workflows/ai-runner.yml",
        message="workflow",
        content=base64.b64encode(workflow).decode(),
    )
    site.server.add_token("starter", login="starter", kind="user", permissions={"actions": "write"})
    site.server.add_user("starter", "starter2")
    forge = site.forge("starter", via="workflow_dispatch")
    forge.dispatch({"issue_key": "ABC-2"})
    (call,) = site.calls("POST", "/workflows/ai-runner.yml/dispatches")
    assert call["body"] == {"ref": "main", "inputs": {"issue_key": "ABC-2"}}


def test_dispatches_are_counted_apart(site: Site) -> None:
    """A dispatch is neither a read nor a write."""
    http = HttpClient(site.server.url, service="GitHub", auth=bearer(TOKEN), clock=StandingClock())
    GitHubForge(http, repository="acme/till").dispatch({"issue_key": "ABC-2"})
    assert (http.counters.reads, http.counters.writes, http.counters.dispatches) == (0, 0, 1)


def test_queries_are_reads(site: Site) -> None:
    """Reading everything about a pull request counts no write."""
    site.open()
    http = HttpClient(site.server.url, service="GitHub", auth=bearer(TOKEN), clock=StandingClock())
    GitHubForge(http, repository="acme/till").pull_requests(head=BRANCH, detailed=True)
    assert http.counters.writes == 0


def test_dispatch_without_permission(site: Site) -> None:
    """A token that may only read cannot dispatch, and the missing permission is named."""
    site.server.add_token("reader", login=OURS, kind="actions", permissions={"contents": "read"})
    with pytest.raises(ConfigError) as caught:
        site.forge("reader").dispatch({"issue_key": "ABC-2"})
    assert "contents" in caught.value.remedy


def test_is_run_alive(site: Site) -> None:
    """A run is alive until it has ended; an unknown one is not."""
    site.forge().dispatch({"issue_key": "ABC-2"})
    run = site.server.runs[0]
    assert site.forge().is_run_alive(str(run.id))
    site.server.set_run(run.id, status="in_progress")
    assert site.forge().is_run_alive(str(run.id))
    site.server.set_run(run.id, status="completed", conclusion="success")
    assert not site.forge().is_run_alive(str(run.id))
    assert not site.forge().is_run_alive("999999")


# --- git over HTTP -------------------------------------------------------------------------------------------


def test_fetch_over_http(site: Site, tmp_path: Path) -> None:
    """Exact commits are fetched with a token, which is nowhere on disk afterwards."""
    sha = site.push()
    repo = tmp_path / "checkout"
    fetch_commits(f"{site.server.url}/acme/till", TOKEN, [sha, site.start], repo)
    checkout(repo, sha)
    assert (repo / "src/till.py").read_bytes() == b"a = 2\nb = 2\nc = 3\n"
    assert not [file for file in repo.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]


def test_fetch_with_a_wrong_token(site: Site, tmp_path: Path) -> None:
    """A refused token is a matter of configuration."""
    with pytest.raises(Unauthorized):
        fetch_commits(f"{site.server.url}/acme/till", "wrong", [site.start], tmp_path / "x", pauses=())


def test_fetch_of_another_repository(site: Site, tmp_path: Path) -> None:
    """A repository that is not there is not found."""
    with pytest.raises(NotFound):
        fetch_commits(f"{site.server.url}/acme/none", TOKEN, [site.start], tmp_path / "x", pauses=())


def publish(site: Site, token: str = TOKEN, **change: Any) -> str:
    with site.publisher(token) as publisher:
        return publisher.publish(
            branch=change.pop("branch", BRANCH),
            start=site.start,
            expected=change.pop("expected", None),
            changes=[FileChange(path=change.pop("path", "new.txt"), content=b"x\n")],
            message="m",
        )


def test_push_without_permission(site: Site) -> None:
    """A token that may only read cannot push, and the permission is named."""
    site.server.add_token("reader", login=OURS, kind="actions", permissions={"contents": "read"})
    with pytest.raises(ConfigError) as caught:
        publish(site, "reader")
    assert "contents: write" in caught.value.remedy


def test_push_of_a_workflow(site: Site) -> None:
    """GitHub refuses workflow files from a token without that permission."""
    with pytest.raises(Refused, match="workflow"):
        publish(site, path=".github/workflows/x.yml")
    assert BRANCH not in site.server.branches()


def test_push_to_a_protected_branch(site: Site) -> None:
    """A protected branch refuses the push."""
    site.server.protect("main")
    with pytest.raises(Refused, match="protected"):
        publish(site, branch="main", expected=site.start)


def test_push_where_signatures_are_required(site: Site) -> None:
    """A repository that requires signed commits refuses ours, and the remedy says what to exempt."""
    site.server.require_signatures()
    with pytest.raises(Refused, match="sign") as caught:
        publish(site)
    assert "ai/**" in caught.value.remedy


def test_a_race_over_http(site: Site) -> None:
    """A branch that moved meanwhile is left alone."""
    theirs = site.push()
    with pytest.raises(MovedUnderUs):
        publish(site)
    assert site.server.branches()[BRANCH] == theirs


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_push_whose_answer_was_lost(site: Site, is_applied: bool) -> None:
    """After a push without answer the branch is read: it moved, or it is safe to try again."""
    site.lose_answers("POST", "/git-receive-pack", times=1, is_applied=is_applied)
    with GitPublisher(
        f"{site.server.url}/acme/till", TOKEN, site.folder / "p", pauses=(1,), sleep=lambda _: None
    ) as publisher:
        sha = publisher.publish(
            branch=BRANCH,
            start=site.start,
            expected=None,
            changes=[FileChange(path="new.txt", content=b"x\n")],
            message="m",
        )
    assert site.server.branches()[BRANCH] == sha


def test_recorded_bodies_hold_no_token(site: Site) -> None:
    """No request carries the token anywhere but in its header."""
    site.open()
    assert TOKEN not in json.dumps(site.recorder.exchanges)
