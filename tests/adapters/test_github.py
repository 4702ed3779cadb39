"""The Forge against the embedded GitHub over real HTTP; every exchange is held against the official contract."""

from __future__ import annotations

import base64

import pytest
from werkzeug.wrappers import Request, Response

from runner.adapters.github import GitHubForge
from runner.adapters.github_records import DRAFT_PREFIX
from runner.adapters.http import HttpClient
from runner.adapters.http_credentials import bearer
from runner.errors import Ambiguous, ConfigError, Conflict, GaveUp, NotFound, Unavailable
from runner.sandbox.server import json_response
from tests.adapters.github_site import BRANCH, OURS, TOKEN, Site, StandingClock

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


def test_a_repository_nobody_may_see(site: Site) -> None:
    """What this token may not see is not found."""
    site.server.add_token("foreign", login="eve", kind="user", permissions={})
    with pytest.raises(NotFound):
        site.forge("foreign").repository()


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


def test_the_head_of_an_empty_repository(forge: GitHubForge, site: Site) -> None:
    """GitHub answers 409 for it: there is no branch, which is no conflict."""
    site.answer("/git/ref/heads/main", lambda _: json_response({"message": "Git Repository is empty."}, 409))
    assert forge.head("main") is None


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


def lagging(site: Site, method: str, path: str, answer: Response, times: int) -> None:
    """GitHub answers so often as if it did not know yet what was just made."""
    left = [answer] * times

    def lag(request: Request) -> Response | None:
        return left.pop() if left and request.method == method and request.path.endswith(path) else None

    site.follows_contract = False
    site.server.before.append(lag)


UNKNOWN_HEAD = {
    "message": "Validation Failed",
    "errors": [{"resource": "PullRequest", "field": "head", "code": "invalid"}],
}


def test_create_from_a_branch_that_github_does_not_know_yet(site: Site) -> None:
    """A branch that was just pushed may be unknown for some seconds: nothing was made, so it is sent again."""
    lagging(site, "POST", "/pulls", json_response(UNKNOWN_HEAD, 422), times=2)
    assert site.open().number == 1


def test_create_from_a_branch_that_stays_unknown(site: Site) -> None:
    """Then the ticket waits: the next look decides by what is there."""
    lagging(site, "POST", "/pulls", json_response(UNKNOWN_HEAD, 422), times=9)
    with pytest.raises(Unavailable, match="does not show yet"):
        site.open()
    assert site.server.pulls == []


def test_create_where_the_existing_one_is_listed_late(site: Site) -> None:
    """One that exists already and is not listed yet is looked for again before anything else is concluded."""
    made = site.open()
    lagging(site, "GET", "/pulls", json_response([]), times=3)
    again = site.forge().create_pull_request(head=BRANCH, base="main", title="x", body="y", draft=False)
    assert again.number == made.number


def test_a_pull_request_that_is_unknown_for_a_moment_is_labelled(site: Site) -> None:
    """What was opened a moment ago may be absent at first; the label is not lost for that."""
    made = site.open()
    lagging(site, "POST", "/labels", json_response({"message": "Not Found"}, 404), times=2)
    site.forge().add_labels(made.number, ["ai-runner"])
    assert site.read().labels == {"ai-runner"}


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


# --- people, dispatches and runs -----------------------------------------------------------------------------


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
