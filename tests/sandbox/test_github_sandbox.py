"""The embedded GitHub answers as GitHub does: over real HTTP, with real git, within the official contract."""

from __future__ import annotations

import base64
import random
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from runner.sandbox.github import AnswerLost, GitHubEvent, GitHubSandbox, TickingClock, git_environment
from runner.sandbox.github.routing import ROUTES
from runner.sandbox.github.state import Level
from runner.sandbox.reviewers import Reviewer
from runner.sandbox.server import Recorder
from tests.contracts import checker, load, violations

ALL = ("contents", "pull-requests", "issues", "checks", "statuses", "actions")
FILES = {
    "README.md": b"# Till\n",
    "till/prices.py": b"".join(b"price_%d = %d\n" % (n, n) for n in range(40)),
    "till/__init__.py": b"",
    "run.sh": b"#!/bin/sh\n",
}
WORKFLOW = b"on:\n  workflow_dispatch:\n    inputs:\n      issue_key: {required: true}\njobs: {}\n"


def complete_violations(recorder: Recorder) -> list[str]:
    """What the contract says against the exchanges; answers must have all required members too."""
    return [
        f"{exchange['method']} {exchange['path']} ({exchange['status']}): {message}"
        for exchange in recorder.exchanges
        for message in checker().check_exchange(exchange, partial=exchange["status"] >= 400)
    ]


class Client:
    """A caller with one token, and a recorder of nothing: asserts are made on what it returns."""

    def __init__(self, github: GitHubSandbox, token: str) -> None:
        self.github = github
        self.token = token

    def send(self, method: str, path: str, body: object = None, **headers: str) -> requests.Response:
        """Send one request below the repository, or to an absolute path."""
        target = path if path.startswith("/") else f"/repos/acme/till{'/' if path else ''}{path}"
        own = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        if self.token:
            own["Authorization"] = f"Bearer {self.token}"
        own |= {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(method, self.github.url + target, json=body, headers=own, timeout=30)

    def get(self, path: str, **headers: str) -> Any:
        """Read something that is there."""
        response = self.send("GET", path, **headers)
        assert response.status_code == 200, response.text
        return response.json()

    def write(self, method: str, path: str, **body: Any) -> Any:
        """Write something that is accepted."""
        response = self.send(method, path, body)
        assert response.ok, response.text
        return response.json() if response.content else None

    def refused(self, method: str, path: str, **body: Any) -> tuple[int, str]:
        """Write something that is refused; returns the status and all of GitHub's words."""
        response = self.send(method, path, body or None)
        assert response.status_code >= 400
        shown = response.json()
        errors = [one if isinstance(one, str) else one["message"] for one in shown.get("errors", [])]
        return response.status_code, " ".join([shown["message"], *errors])

    def graphql(self, query: str, **variables: Any) -> Any:
        """Send one GraphQL request."""
        return self.send("POST", "/graphql", {"query": query, "variables": variables}).json()


class Clone:
    """A real working copy, with the token in an extra header as CI has it."""

    def __init__(self, github: GitHubSandbox, token: str, folder: Path) -> None:
        self.folder = folder
        self.url = f"{github.url}/acme/till"
        folder.mkdir()
        secret = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        self.environment = {
            **git_environment(folder),
            "GIT_CONFIG_COUNT": "3",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: basic {secret}",
            "GIT_CONFIG_KEY_1": "user.name",
            "GIT_CONFIG_VALUE_1": "Ada",
            "GIT_CONFIG_KEY_2": "user.email",
            "GIT_CONFIG_VALUE_2": "ada@example.org",
        }
        self.git("init", "--quiet", "--initial-branch=scratch")
        self.git("remote", "add", "origin", self.url)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run git, whatever comes of it."""
        return subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def git(self, *arguments: str) -> str:
        """Run git successfully."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, files: dict[str, bytes | None], message: str = "Change") -> str:
        """Commit files in the working copy."""
        for path, content in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                target.unlink()
            else:
                target.write_bytes(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def branch(self, name: str, start: str, files: dict[str, bytes | None], message: str = "Change") -> str:
        """Push a new branch with one commit and return it."""
        self.git("fetch", "--quiet", "origin")
        self.git("checkout", "--quiet", "-B", name, start)
        sha = self.commit(files, message)
        self.git("push", "--quiet", "origin", name)
        return sha


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def github(tmp_path: Path, recorder: Recorder) -> Iterator[GitHubSandbox]:
    sandbox = GitHubSandbox(git_dir=tmp_path / "till.git", recorder=recorder, clock=TickingClock())
    sandbox.seed(FILES, "First", executable=["run.sh"])
    sandbox.add_token("ghs_bot", login="runner[bot]", kind="app", permissions=dict.fromkeys(ALL, "write"))
    everything: dict[str, Level] = dict.fromkeys(ALL, "write")
    sandbox.add_token("ghs_actions", login="github-actions[bot]", kind="actions", permissions=everything)
    sandbox.add_token("ghs_read", login="reader[bot]", kind="app", permissions=dict.fromkeys(ALL, "read"))
    sandbox.add_user("ada", "ghp_ada", "write")
    sandbox.add_user("rob", "ghp_rob", "read")
    sandbox.add_user("eve", "ghp_eve", "none")
    sandbox.start()
    yield sandbox
    sandbox.stop()
    assert complete_violations(recorder) == []


@pytest.fixture
def bot(github: GitHubSandbox) -> Client:
    return Client(github, "ghs_bot")


@pytest.fixture
def ada(github: GitHubSandbox) -> Client:
    return Client(github, "ghp_ada")


@pytest.fixture
def clone(github: GitHubSandbox, tmp_path: Path) -> Clone:
    return Clone(github, "ghs_bot", tmp_path / "clone")


def changed(line: int) -> bytes:
    """The seeded module with one line changed."""
    lines = FILES["till/prices.py"].splitlines(keepends=True)
    lines[line - 1] = b"changed = True\n"
    return b"".join(lines)


def open_pull(bot: Client, clone: Clone, name: str = "ai/T-1", base: str = "main", **given: Any) -> int:
    """A branch with one changed line, and its pull request."""
    clone.branch(name, f"origin/{base}", {"till/prices.py": changed(10)}, f"{name}: change")
    body = {"title": "T-1: change", "body": "Why", "head": name, "base": base, **given}
    return int(bot.write("POST", "pulls", **body)["number"])


# Repository and rights


def test_repository_shows_visibility_default_branch_and_permissions(bot: Client) -> None:
    """The repository tells that it is private, its default branch and what the token may do."""
    shown = bot.get("")
    assert (shown["private"], shown["visibility"], shown["default_branch"]) == (True, "private", "main")
    assert shown["permissions"]["push"]


def test_enterprise_prefix_reaches_the_same_operations(bot: Client) -> None:
    """REST also lies below /api/v3, as on GitHub Enterprise Server."""
    assert bot.get("/api/v3/repos/acme/till") == bot.get("")


@pytest.mark.parametrize(
    ("token", "path", "status"),
    [
        ("wrong", "", 401),
        ("", "", 404),
        ("ghp_eve", "", 404),
        ("ghs_bot", "/repos/acme/other", 404),
        ("ghs_bot", "actions/unknown", 404),
    ],
)
def test_what_a_token_may_not_see(github: GitHubSandbox, token: str, path: str, status: int) -> None:
    """A wrong token is 401; a private repository and unknown things are 404."""
    response = Client(github, token).send("GET", path)
    assert status == response.status_code
    github.recorder.exchanges.clear() if github.recorder and path else None


def test_missing_permission_is_403_in_githubs_words(github: GitHubSandbox) -> None:
    """A write with a read token is refused as not accessible by integration."""
    reader = Client(github, "ghs_read")
    status, message = reader.refused("POST", "dispatches", event_type="ai-runner")
    assert (status, message) == (403, "Resource not accessible by integration")


def test_readers_may_comment_but_not_label(github: GitHubSandbox, bot: Client, clone: Clone) -> None:
    """A person who may only read can comment and review, and nothing else."""
    number, rob = open_pull(bot, clone), Client(github, "ghp_rob")
    rob.write("POST", f"issues/{number}/comments", body="Hm")
    rob.write("POST", f"pulls/{number}/reviews", event="COMMENT", body="Hm")
    assert rob.refused("POST", f"issues/{number}/labels", labels=["x"])[0] == 403


def test_user_is_refused_to_actions_and_viewer_is_not(github: GitHubSandbox) -> None:
    """GITHUB_TOKEN learns its identity by GraphQL only."""
    actions = Client(github, "ghs_actions")
    assert actions.refused("GET", "/user") == (403, "Resource not accessible by integration")
    assert actions.graphql("{ viewer { login } }") == {"data": {"viewer": {"login": "github-actions[bot]"}}}


def test_user_names_a_person(ada: Client) -> None:
    """A person's token names the person."""
    assert ada.get("/user")["login"] == "ada"


@pytest.mark.parametrize(("login", "role"), [("ada", "write"), ("rob", "read"), ("eve", "none")])
def test_collaborator_permission(bot: Client, login: str, role: str) -> None:
    """The permission endpoint tells a person's role."""
    assert bot.get(f"collaborators/{login}/permission")["permission"] == role


def test_a_bot_is_no_collaborator(bot: Client) -> None:
    """The permission of a bot or of nobody is 404."""
    assert bot.refused("GET", "collaborators/runner[bot]/permission")[0] == 404


def test_api_versions(bot: Client, recorder: Recorder, clone: Clone) -> None:
    """Both current API versions are served; the newer has no merge_commit_sha on pull requests."""
    number = open_pull(bot, clone)
    assert "merge_commit_sha" in bot.get(f"pulls/{number}")
    newer = bot.get(f"pulls/{number}", X_GitHub_Api_Version="2026-03-10")
    assert "merge_commit_sha" not in newer
    assert bot.send("GET", "", X_GitHub_Api_Version="2020-01-01").status_code == 400
    del recorder.exchanges[-2:]  # the contract document is that of the older version


def test_routes_take_what_the_contract_takes() -> None:
    """Every route exists in the contract, with the same query, and no other body members."""
    contract = load("github.openapi.json")
    for one in ROUTES:
        operation = contract["paths"][one.template][one.method.lower()]
        assert (one.template, set(one.query)) == (one.template, query_names(contract, operation))
        assert (one.template, body_names(one.body) - body_names(body_schema(operation))) == (
            one.template,
            set(),
        )


@pytest.mark.parametrize("wrong", [7, "", "\x00", "\ud800", "-x", {"x": []}, [None], None, True])
def test_misfits_are_refused_never_a_crash(
    github: GitHubSandbox, bot: Client, recorder: Recorder, clone: Clone, wrong: object
) -> None:
    """Whatever a member of a body is, the answer is a success or a 4xx, and never a server error."""
    open_pull(bot, clone)
    for one in ROUTES:
        path = re.sub(r"\{\w+\}", "1", one.template.replace("{owner}/{repo}", "acme/till"))
        bodies = [{name: wrong} for name in body_names(one.body)] + [
            dict.fromkeys(body_names(one.body), wrong)
        ]
        statuses = {bot.send(one.method, path, body or None).status_code for body in bodies}
        assert (one.template, [one for one in statuses if one >= 500]) == (one.template, [])
    recorder.exchanges.clear()


def query_names(contract: Any, operation: Any) -> set[str]:
    """The query parameters of an operation."""
    parameters = contract["components"]["parameters"]
    found = [
        parameters[one["$ref"].rsplit("/", 1)[1]] if "$ref" in one else one
        for one in operation.get("parameters", [])
    ]
    return {one["name"] for one in found if one["in"] == "query"}


def body_schema(operation: Any) -> Any:
    """The JSON body of an operation, the first alternative where there are several."""
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    return schema["oneOf"][0] if "oneOf" in schema else schema


def body_names(schema: Any) -> set[str]:
    """The members of a body."""
    return set((schema or {}).get("properties", {}))


# Contents and git data


def test_contents_of_a_file_a_folder_and_nothing(bot: Client) -> None:
    """A file comes in base64 or raw, a folder as a list, the missing as 404."""
    assert base64.b64decode(bot.get("contents/README.md")["content"]) == b"# Till\n"
    raw = bot.send("GET", "contents/README.md?ref=main", Accept="application/vnd.github.raw+json")
    assert raw.content == b"# Till\n"
    empty = bot.send("GET", "contents/till/__init__.py", Accept="application/vnd.github.raw+json")
    assert (empty.status_code, empty.content) == (200, b"")
    assert {"till/__init__.py", "till/prices.py"} == {one["path"] for one in bot.get("contents/till")}
    assert {"README.md", "till", "run.sh"} == {one["path"] for one in bot.get("contents")}
    assert bot.refused("GET", "contents/absent.py")[0] == 404
    assert bot.refused("GET", "contents/README.md?ref=absent")[0] == 404


def test_a_commit_built_through_the_git_data_api(github: GitHubSandbox, bot: Client) -> None:
    """Blob, tree, commit and ref make a branch whose commit GitHub signed."""
    head = bot.get("git/ref/heads/main")["object"]["sha"]
    blob = bot.write("POST", "git/blobs", content="hi\n", encoding="utf-8")["sha"]
    entries = [
        {"path": "deep/new.txt", "mode": "100644", "type": "blob", "sha": blob},
        {"path": "README.md", "mode": "100644", "type": "blob", "sha": None},
    ]
    tree = bot.write("POST", "git/trees", base_tree=head, tree=entries)["sha"]
    commit = bot.write("POST", "git/commits", message="Made", tree=tree, parents=[head])
    assert commit["verification"]["verified"]
    bot.write("POST", "git/refs", ref="refs/heads/made", sha=commit["sha"])
    assert {"deep/new.txt", "run.sh", "till/prices.py", "till/__init__.py"} == set(github.files("made"))
    assert bot.get(f"git/trees/{tree}?recursive=1")["truncated"] is False
    assert bot.get(f"git/blobs/{blob}")["size"] == 3
    assert bot.get(f"git/commits/{commit['sha']}")["message"] == "Made"


def test_refs_are_created_moved_and_deleted(bot: Client, clone: Clone) -> None:
    """A ref is created once, moves forwards only unless forced, and is deleted once."""
    main = bot.get("branches/main")["commit"]["sha"]
    newer = clone.branch("ai/T-1", "origin/main", {"a.txt": b"a"})
    bot.write("POST", "git/refs", ref="refs/heads/copy", sha=main)
    assert bot.refused("POST", "git/refs", ref="refs/heads/copy", sha=main) == (
        422,
        "Reference already exists",
    )
    bot.write("PATCH", "git/refs/heads/copy", sha=newer)
    assert bot.refused("PATCH", "git/refs/heads/copy", sha=main) == (422, "Update is not a fast forward")
    bot.write("PATCH", "git/refs/heads/copy", sha=main, force=True)
    names = {one["ref"] for one in bot.get("git/matching-refs/heads/")}
    assert {"refs/heads/ai/T-1", "refs/heads/copy", "refs/heads/main"} == names
    bot.write("DELETE", "git/refs/heads/copy")
    assert bot.refused("DELETE", "git/refs/heads/copy") == (422, "Reference does not exist")
    assert bot.refused("GET", "git/ref/heads/copy")[0] == 404


def test_contents_can_be_written(github: GitHubSandbox, bot: Client) -> None:
    """The contents API commits a file, wants the blob it replaces, and deletes it."""
    content = base64.b64encode(b"new").decode()
    made = bot.write("PUT", "contents/new.txt", message="New", content=content)["content"]["sha"]
    assert bot.refused("PUT", "contents/new.txt", message="New", content=content)[0] == 422
    assert bot.refused("PUT", "contents/new.txt", message="New", content=content, sha="0" * 40)[0] == 409
    bot.write("DELETE", "contents/new.txt", message="Gone", sha=made)
    assert "new.txt" not in github.files("main")


def test_commits_and_comparison(bot: Client, clone: Clone) -> None:
    """Histories, single commits with files, and three-dot comparison tell what git knows."""
    sha = clone.branch(
        "ai/T-1", "origin/main", {"till/prices.py": changed(3)}, "T-1: change\n\nJira-Issue: T-1"
    )
    shown = bot.get("compare/main...ai/T-1")
    assert (shown["status"], shown["ahead_by"], shown["behind_by"]) == ("ahead", 1, 0)
    assert [(one["filename"], one["status"]) for one in shown["files"]] == [("till/prices.py", "modified")]
    assert shown["files"][0]["patch"].startswith("@@ -1,6 +1,6 @@")
    assert bot.get(f"commits/{sha}")["stats"]["total"] == 2
    assert [sha] == [one["sha"] for one in bot.get("commits?sha=ai/T-1&per_page=1")]
    assert bot.refused("GET", "compare/main...absent")[0] == 404


# Git over HTTP


def test_clone_and_fetch_by_commit(github: GitHubSandbox, clone: Clone) -> None:
    """Any commit can be fetched by its id, shallow and filtered."""
    sha = github.branches()["main"]
    clone.git("fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", sha)
    clone.git("clone", "--quiet", f"{clone.url}.git", "copy")
    assert clone.git("-C", "copy", "rev-parse", "HEAD") == sha


def test_git_refuses_strangers(github: GitHubSandbox, tmp_path: Path) -> None:
    """A wrong token fails to authenticate; somebody without a role finds no repository."""
    wrong = Clone(github, "wrong", tmp_path / "wrong").run("ls-remote", "origin")
    eve = Clone(github, "ghp_eve", tmp_path / "eve").run("ls-remote", "origin")
    assert "Authentication failed" in wrong.stderr or "could not read Username" in wrong.stderr
    assert "not found" in eve.stderr


def test_push_needs_contents_write(github: GitHubSandbox, tmp_path: Path) -> None:
    """A read token may fetch, not push."""
    reader = Clone(github, "ghs_read", tmp_path / "reader")
    reader.git("fetch", "--quiet", "origin")
    reader.git("checkout", "--quiet", "-B", "x", "origin/main")
    done = reader.run("push", "origin", "x")
    assert "denied to reader[bot]" in done.stderr
    assert {"main"} == set(github.branches())


def test_compare_and_swap_push(github: GitHubSandbox, clone: Clone) -> None:
    """--force-with-lease moves a branch only from where it was seen."""
    first = clone.branch("ai/T-1", "origin/main", {"a.txt": b"a"})
    second = clone.commit({"a.txt": b"b"})
    stale = clone.run(
        "push", f"--force-with-lease=ai/T-1:{'1' * 40}", "origin", f"{second}:refs/heads/ai/T-1"
    )
    assert "stale info" in stale.stderr
    clone.git(
        "push", "--quiet", f"--force-with-lease=ai/T-1:{first}", "origin", f"{second}:refs/heads/ai/T-1"
    )
    absent = clone.run("push", "--force-with-lease=ai/T-1:", "origin", f"{first}:refs/heads/ai/T-1")
    assert absent.returncode != 0
    assert github.branches()["ai/T-1"] == second


def test_workflow_files_need_their_permission(github: GitHubSandbox, clone: Clone) -> None:
    """A push that changes a workflow is refused in GitHub's words; one that only inherits it is not."""
    clone.git("fetch", "--quiet", "origin")
    clone.git("checkout", "--quiet", "-B", "ai/T-1", "origin/main")
    clone.commit({".github/workflows/ci.yml": b"on: push\n"})
    done = clone.run("push", "origin", "ai/T-1")
    assert (
        "(refusing to allow a GitHub App to create or update workflow `.github/workflows/ci.yml` "
        "without `workflows` permission)"
    ) in done.stderr
    github.add_token("ghs_more", login="more[bot]", permissions={"contents": "write", "workflows": "write"})
    more = Clone(github, "ghs_more", clone.folder.parent / "more")
    more.branch("flows", "origin/main", {".github/workflows/ci.yml": b"on: push\n"})
    clone.git("push", "--quiet", "origin", "ai/T-1")


def test_protected_branches_refuse_pushes(github: GitHubSandbox, bot: Client, clone: Clone) -> None:
    """A protected branch changes by a merged pull request only, by git as by API; its rules say so."""
    github.protect("main")
    number = open_pull(bot, clone)
    done = clone.run("push", "origin", "HEAD:main")
    assert "GH006: Protected branch update failed for refs/heads/main" in done.stderr
    assert "(protected branch hook declined)" in done.stderr
    head = bot.get(f"pulls/{number}")["head"]["sha"]
    assert bot.refused("PATCH", "git/refs/heads/main", sha=head)[0] == 422
    assert {"pull_request", "deletion"} == {one["type"] for one in bot.get("rules/branches/main")}
    bot.write("PUT", f"pulls/{number}/merge")


def test_required_signatures_refuse_pushes_not_api_commits(
    github: GitHubSandbox, bot: Client, clone: Clone
) -> None:
    """Where signatures are required a push of own commits is refused and createCommitOnBranch accepted."""
    main = github.branches()["main"]
    bot.write("POST", "git/refs", ref="refs/heads/ai/T-1", sha=main)
    github.require_signatures()
    clone.git("fetch", "--quiet", "origin")
    clone.git("checkout", "--quiet", "-B", "x", "origin/main")
    clone.commit({"a.txt": b"a"})
    done = clone.run("push", "origin", "HEAD:ai/T-1")
    assert "GH013" in done.stderr
    assert "(push declined due to repository rule violations)" in done.stderr
    oid = commit_by_api(bot, "ai/T-1", main)["createCommitOnBranch"]["commit"]["oid"]
    assert bot.get(f"commits/{oid}")["commit"]["verification"]["verified"]


def commit_by_api(bot: Client, branch: str, expected: str) -> Any:
    """One commit by GraphQL; returns the answer's data, or its errors."""
    answer = bot.graphql(
        "mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { commit { oid } } }",
        input={
            "branch": {"repositoryNameWithOwner": "acme/till", "branchName": branch},
            "message": {"headline": "T-1: change", "body": "Jira-Issue: T-1"},
            "expectedHeadOid": expected,
            "fileChanges": {
                "additions": [{"path": "run.sh", "contents": base64.b64encode(b"#!/bin/sh\nls\n").decode()}],
                "deletions": [{"path": "README.md"}],
            },
        },
    )
    return answer.get("errors") or answer["data"]


def test_create_commit_on_branch_is_compare_and_swap(github: GitHubSandbox, bot: Client) -> None:
    """CreateCommitOnBranch refuses a head that moved, keeps modes, and deletes files."""
    main = github.branches()["main"]
    bot.write("POST", "git/refs", ref="refs/heads/ai/T-1", sha=main)
    commit_by_api(bot, "ai/T-1", main)
    assert "README.md" not in github.files("ai/T-1")
    tree = bot.get(f"git/trees/{github.branches()['ai/T-1']}?recursive=1")["tree"]
    assert {"run.sh": "100755"}.items() <= {one["path"]: one["mode"] for one in tree}.items()
    assert commit_by_api(bot, "ai/T-1", main)[0]["type"] == "STALE_DATA"


# Pull requests


def test_pull_request_is_opened_listed_and_read(bot: Client, clone: Clone) -> None:
    """A pull request knows its branches, commits and files, and is found by owner and head."""
    number = open_pull(bot, clone)
    shown = bot.get(f"pulls/{number}")
    assert (
        shown["head"]["ref"],
        shown["base"]["ref"],
        shown["commits"],
        shown["changed_files"],
        shown["mergeable"],
        shown["merged"],
    ) == ("ai/T-1", "main", 1, 1, True, False)
    assert [number] == [one["number"] for one in bot.get("pulls?head=acme:ai/T-1&state=all")]
    assert bot.get("pulls?head=acme:ai/T-2&state=all") == []
    assert [one["commit"]["message"] for one in bot.get(f"pulls/{number}/commits")] == ["ai/T-1: change"]
    assert [one["filename"] for one in bot.get(f"pulls/{number}/files")] == ["till/prices.py"]


def test_a_bare_head_does_not_filter(github: GitHubSandbox, bot: Client, clone: Clone) -> None:
    """Without its owner the head filter is ignored."""
    open_pull(bot, clone)
    assert len(bot.get("pulls?head=other")) == 1
    assert github.recorder
    assert [one.split("): ")[1] for one in violations(github.recorder.exchanges)] == [
        "query head: must be 'owner:branch' (otherwise the filter is ignored)"
    ]
    github.recorder.exchanges.pop()


def test_listing_is_paged_by_link_header(bot: Client, clone: Clone) -> None:
    """Pages follow the Link header to the end."""
    for name in ("ai/T-1", "ai/T-2", "ai/T-3"):
        open_pull(bot, clone, name)
    found, url = [], "pulls?state=all&per_page=2"
    while url:
        response = bot.send("GET", url)
        found += [one["number"] for one in response.json()]
        url = response.links.get("next", {}).get("url", "").removeprefix(bot.github.url)
    assert found == [3, 2, 1]


def test_listing_by_update_begins_with_the_oldest(bot: Client, clone: Clone) -> None:
    """Sorting by update is ascending unless the direction is given."""
    for name in ("ai/T-1", "ai/T-2"):
        open_pull(bot, clone, name)
    bot.write("PATCH", "pulls/1", title="Newer")
    assert [one["number"] for one in bot.get("pulls?sort=updated")] == [2, 1]
    assert [one["number"] for one in bot.get("pulls?sort=updated&direction=desc")] == [1, 2]


def test_what_cannot_be_opened(github: GitHubSandbox, bot: Client, clone: Clone) -> None:
    """A second pull request, one without commits, an absent branch and a refused draft are 422."""
    open_pull(bot, clone)
    new = {"title": "x", "base": "main"}
    again = bot.refused("POST", "pulls", head="ai/T-1", **new)
    assert again == (422, "Validation Failed A pull request already exists for acme:ai/T-1.")
    bot.write("POST", "git/refs", ref="refs/heads/same", sha=github.branches()["main"])
    same = bot.refused("POST", "pulls", head="same", **new)
    assert same == (422, "Validation Failed No commits between main and same")
    assert bot.refused("POST", "pulls", head="absent", **new)[0] == 422
    github.configure(allow_drafts=False)
    clone.branch("ai/T-2", "origin/main", {"b.txt": b"b"})
    draft = bot.refused("POST", "pulls", head="ai/T-2", draft=True, **new)
    assert draft == (422, "Draft pull requests are not supported in this repository.")


def test_actions_may_be_forbidden_to_open_pull_requests(
    github: GitHubSandbox, bot: Client, clone: Clone
) -> None:
    """The repository setting refuses GITHUB_TOKEN's pull requests."""
    github.configure(allow_actions_pull_requests=False)
    clone.branch("ai/T-1", "origin/main", {"b.txt": b"b"})
    actions = Client(github, "ghs_actions")
    status, message = actions.refused("POST", "pulls", title="x", head="ai/T-1", base="main")
    assert (status, message) == (
        403,
        "GitHub Actions is not permitted to create or approve pull requests.",
    )
    assert bot.get("pulls") == []


def test_texts_beyond_the_limits_are_refused(bot: Client, clone: Clone) -> None:
    """Titles over 256 and bodies over 65,536 characters are 422."""
    number = open_pull(bot, clone)
    status, message = bot.refused("PATCH", f"pulls/{number}", body="x" * 65_537)
    assert status == 422
    assert "body is too long (maximum is 65536 characters)" in message
    assert bot.refused("PATCH", f"pulls/{number}", title="x" * 257)[0] == 422
    assert bot.github.recorder
    del bot.github.recorder.exchanges[-2:]


def test_pushes_and_edits_change_the_pull_request(bot: Client, clone: Clone) -> None:
    """A push moves the head; texts and base are edited; closing and reopening work while branches live."""
    number = open_pull(bot, clone)
    clone.branch("other", "origin/main", {"b.txt": b"b"})
    sha = clone.branch("ai/T-1", "origin/ai/T-1", {"c.txt": b"c"})
    bot.write("PATCH", f"pulls/{number}", title="New", base="other", state="closed")
    shown = bot.get(f"pulls/{number}")
    assert ("New", "other", "closed", sha) == (
        shown["title"],
        shown["base"]["ref"],
        shown["state"],
        shown["head"]["sha"],
    )
    bot.write("PATCH", f"pulls/{number}", state="open")
    clone.git("push", "--quiet", "origin", ":ai/T-1")
    assert bot.get(f"pulls/{number}")["state"] == "closed"
    assert bot.refused("PATCH", f"pulls/{number}", state="open")[0] == 422


@pytest.mark.parametrize(("method", "parents"), [("merge", 2), ("squash", 1), ("rebase", 1)])
def test_merging_for_real(
    github: GitHubSandbox, bot: Client, clone: Clone, method: str, parents: int
) -> None:
    """Each merge method brings the change to the base branch in its own shape."""
    number = open_pull(bot, clone)
    clone.branch("ahead", "origin/main", {"b.txt": b"b"})
    clone.git("push", "--quiet", "origin", "ahead:main")
    sha = bot.write("PUT", f"pulls/{number}/merge", merge_method=method)["sha"]
    assert github.branches()["main"] == sha
    assert parents == len(bot.get(f"git/commits/{sha}")["parents"])
    assert github.files("main")["till/prices.py"] == changed(10)
    assert github.files("main")["b.txt"] == b"b"
    shown = bot.get(f"pulls/{number}")
    assert (True, "closed", sha, "runner[bot]") == (
        shown["merged"],
        shown["state"],
        shown["merge_commit_sha"],
        shown["merged_by"]["login"],
    )
    bot.send("GET", f"pulls/{number}/merge")


def test_what_cannot_be_merged(bot: Client, clone: Clone) -> None:
    """A moved head is 409; conflicts, drafts and closed pull requests are 405."""
    number = open_pull(bot, clone)
    assert bot.refused("PUT", f"pulls/{number}/merge", sha="0" * 40)[0] == 409
    clone.branch("other", "origin/main", {"till/prices.py": changed(10).replace(b"True", b"False")})
    clone.git("push", "--quiet", "origin", "other:main")
    assert bot.get(f"pulls/{number}")["mergeable_state"] == "dirty"
    assert bot.refused("PUT", f"pulls/{number}/merge") == (405, "Pull Request is not mergeable")
    assert bot.refused("PUT", f"pulls/{number}/update-branch")[0] == 422
    bot.write("PATCH", f"pulls/{number}", state="closed")
    assert bot.refused("PUT", f"pulls/{number}/merge")[0] == 405
    draft = open_pull(bot, clone, "ai/T-2", draft=True)
    assert bot.refused("PUT", f"pulls/{draft}/merge") == (405, "Pull Request is still a draft")


def test_update_branch_merges_the_base(github: GitHubSandbox, bot: Client, clone: Clone) -> None:
    """update-branch makes a merge commit on the head, guarded by the expected head."""
    number = open_pull(bot, clone)
    head = github.branches()["ai/T-1"]
    clone.branch("other", "origin/main", {"b.txt": b"b"})
    clone.git("push", "--quiet", "origin", "other:main")
    assert bot.refused("PUT", f"pulls/{number}/update-branch", expected_head_sha="0" * 40)[0] == 422
    assert bot.send("PUT", f"pulls/{number}/update-branch", {"expected_head_sha": head}).status_code == 202
    assert github.files("ai/T-1").keys() >= {"b.txt"}
    assert bot.get(f"pulls/{number}")["head"]["sha"] == github.branches()["ai/T-1"]
    assert bot.refused("PUT", f"pulls/{number}/update-branch")[0] == 422


def test_a_deleted_base_closes_and_auto_delete_retargets(
    github: GitHubSandbox, bot: Client, clone: Clone
) -> None:
    """Deleting a base branch closes pull requests onto it, by nobody; deleting after a merge moves them."""
    first, second = open_pull(bot, clone), None
    clone.branch("ai/T-2", "origin/ai/T-1", {"b.txt": b"b"})
    second = bot.write("POST", "pulls", title="T-2", head="ai/T-2", base="ai/T-1")["number"]
    github.configure(delete_branch_on_merge=True)
    bot.write("PUT", f"pulls/{first}/merge", merge_method="squash")
    moved = bot.get(f"pulls/{second}")
    assert (moved["state"], moved["base"]["ref"]) == ("open", "main")
    assert "ai/T-1" not in github.branches()
    clone.branch("ai/T-3", "origin/ai/T-2", {"c.txt": b"c"})
    third = bot.write("POST", "pulls", title="T-3", head="ai/T-3", base="ai/T-2")["number"]
    bot.write("DELETE", "git/refs/heads/ai/T-2")
    closed = bot.get(f"issues/{third}")
    assert (closed["state"], closed["closed_by"]) == ("closed", None)
    assert bot.get(f"issues/{second}")["closed_by"]["login"] == "runner[bot]"


def test_commits_that_reach_the_base_mark_it_merged(bot: Client, clone: Clone) -> None:
    """A push that brings the head into the base merges the pull request."""
    number = open_pull(bot, clone)
    clone.git("push", "--quiet", "origin", "ai/T-1:main")
    assert bot.get(f"pulls/{number}")["merged"]


def test_reviewers_must_be_collaborators_and_not_the_author(
    github: GitHubSandbox, ada: Client, bot: Client, clone: Clone
) -> None:
    """Only collaborators other than the author can be asked for a review."""
    number = open_pull(ada, clone)
    assert bot.refused("POST", f"pulls/{number}/requested_reviewers", reviewers=["eve"])[0] == 422
    status, message = bot.refused("POST", f"pulls/{number}/requested_reviewers", reviewers=["ada"])
    assert (status, message) == (422, "Review cannot be requested from pull request author.")
    bot.write("POST", f"pulls/{number}/requested_reviewers", reviewers=["rob"])
    assert [one["login"] for one in bot.get(f"pulls/{number}")["requested_reviewers"]] == ["rob"]
    Reviewer(github, "ghp_rob").review(number, "COMMENT", "Seen")
    assert bot.get(f"pulls/{number}/requested_reviewers")["users"] == []


# Reviews and conversation


def test_review_with_inline_comment_becomes_a_thread(
    github: GitHubSandbox, bot: Client, clone: Clone
) -> None:
    """An inline comment starts a thread that can be answered by REST and GraphQL and be resolved."""
    number, ada = open_pull(bot, clone), Reviewer(github, "ghp_ada")
    review = ada.review(number, "REQUEST_CHANGES", "Please", [("till/prices.py", 10, "Why?")])
    assert review["state"] == "CHANGES_REQUESTED"
    inline = bot.get(f"pulls/{number}/comments")[0]
    assert (inline["line"], inline["side"], inline["body"]) == (10, "RIGHT", "Why?")
    bot.write("POST", f"pulls/{number}/comments/{inline['id']}/replies", body="Because")
    thread = ada.threads(number)[0]
    reply = bot.graphql(
        "mutation($id: ID!, $body: String!) { addPullRequestReviewThreadReply("
        "input: {pullRequestReviewThreadId: $id, body: $body}) { comment { body viewerDidAuthor } } }",
        id=thread["id"],
        body="Done",
    )
    comment = reply["data"]["addPullRequestReviewThreadReply"]["comment"]
    assert comment == {"body": "Done", "viewerDidAuthor": True}
    bot.graphql(
        "mutation($id: ID!) { resolveReviewThread(input: {threadId: $id}) { thread { isResolved } } }",
        id=thread["id"],
    )
    thread = ada.threads(number)[0]
    assert (thread["isResolved"], thread["isOutdated"], thread["line"]) == (True, False, 10)
    assert [one["author"]["login"] for one in thread["comments"]["nodes"]] == ["ada", "runner", "runner"]
    assert [one["body"] for one in bot.get(f"pulls/{number}/reviews/{review['id']}/comments")] == ["Why?"]


def test_threads_follow_their_line_until_it_changes(github: GitHubSandbox, bot: Client, clone: Clone) -> None:
    """A thread's line moves with the code and is outdated once the line itself changed."""
    number, ada = open_pull(bot, clone), Reviewer(github, "ghp_ada")
    ada.review(number, "COMMENT", "", [("till/prices.py", 10, "Why?")])
    clone.branch("ai/T-1", "origin/ai/T-1", {"till/prices.py": b"# top\n" + changed(10)})
    assert (ada.threads(number)[0]["line"], ada.threads(number)[0]["isOutdated"]) == (11, False)
    clone.branch("ai/T-1", "origin/ai/T-1", {"till/prices.py": FILES["till/prices.py"] + b"x\n"})
    assert (ada.threads(number)[0]["line"], ada.threads(number)[0]["isOutdated"]) == (None, True)
    assert "line" not in bot.get(f"pulls/{number}/comments")[0]


def test_refused_reviews(github: GitHubSandbox, bot: Client, ada: Client, clone: Clone) -> None:
    """A line outside the diff, a review without words and a verdict on one's own are 422."""
    number = open_pull(ada, clone)
    path = f"pulls/{number}/reviews"
    inline = [{"path": "till/prices.py", "line": 39, "body": "x"}]
    outside = bot.refused("POST", path, event="COMMENT", body="x", comments=inline)
    assert outside == (422, "Unprocessable Entity Line could not be resolved")
    assert bot.refused("POST", path, event="REQUEST_CHANGES")[0] == 422
    own = ada.refused("POST", path, event="APPROVE")
    assert own == (422, "Unprocessable Entity Can not approve your own pull request")
    assert bot.get(path) == []


def test_a_pending_review_shows_to_its_author_only(bot: Client, ada: Client, clone: Clone) -> None:
    """A review without an event waits, invisible to others, until it is submitted."""
    number = open_pull(bot, clone)
    inline = [{"path": "till/prices.py", "line": 10, "side": "RIGHT", "body": "Hm"}]
    review = ada.write("POST", f"pulls/{number}/reviews", comments=inline)
    assert bot.get(f"pulls/{number}/reviews") == []
    assert bot.get(f"pulls/{number}/comments") == []
    ada.write("POST", f"pulls/{number}/reviews/{review['id']}/events", event="APPROVE")
    assert [one["state"] for one in bot.get(f"pulls/{number}/reviews")] == ["APPROVED"]
    assert [one["body"] for one in bot.get(f"pulls/{number}/comments")] == ["Hm"]


def test_conversation_comments(bot: Client, ada: Client, clone: Clone) -> None:
    """Comments are written, edited with a later date, and read since a moment."""
    number = open_pull(bot, clone)
    comment = ada.write("POST", f"issues/{number}/comments", body="One")
    bot.write("PATCH", f"issues/comments/{comment['id']}", body="Two")
    shown = bot.get(f"issues/{number}/comments")[0]
    assert (shown["body"], shown["user"]["login"], shown["author_association"]) == (
        "Two",
        "ada",
        "COLLABORATOR",
    )
    assert shown["updated_at"] > shown["created_at"]
    assert bot.get(f"issues/{number}/comments?since=2027-01-01T00:00:00Z") == []


def test_labels_are_created_when_added(bot: Client, clone: Clone) -> None:
    """Adding an unknown label creates it; removing one twice is 404."""
    number = open_pull(bot, clone)
    bot.write("POST", "labels", name="known", color="ff0000", description="x")
    bot.write("POST", f"issues/{number}/labels", labels=["known", "[draft]"])
    assert {"known", "[draft]"} == {one["name"] for one in bot.get("labels")}
    assert [one["name"] for one in bot.get(f"pulls/{number}")["labels"]] == ["known", "[draft]"]
    bot.write("DELETE", f"issues/{number}/labels/known")
    assert bot.refused("DELETE", f"issues/{number}/labels/known")[0] == 404
    bot.write("PUT", f"issues/{number}/labels", labels=["other"])
    assert [one["name"] for one in bot.get(f"issues/{number}/labels")] == ["other"]
    assert bot.refused("POST", "labels", name="known")[0] == 422


def test_drafts_by_graphql(bot: Client, clone: Clone) -> None:
    """A draft becomes ready and a draft again by GraphQL only."""
    number = open_pull(bot, clone, draft=True)
    node = bot.get(f"pulls/{number}")["node_id"]
    for name, expected in (("markPullRequestReadyForReview", False), ("convertPullRequestToDraft", True)):
        query = (
            f"mutation($id: ID!) {{ {name}(input: {{pullRequestId: $id}}) {{ pullRequest {{ isDraft }} }} }}"
        )
        assert bot.graphql(query, id=node)["data"][name]["pullRequest"]["isDraft"] is expected
        assert bot.get(f"pulls/{number}")["draft"] is expected


@pytest.mark.parametrize(
    "query",
    [
        "{ viewer { nonsense } }",
        "{ viewer { login ",
        "{ nonsense }",
        "subscription { viewer { login } }",
        'query($n: Int!) { repository(owner: "acme", name: "till") { pullRequest(number: $n) { id } } }',
        '{ repository(owner: "acme", name: "other") { id } }',
        '{ repository(owner: "acme") { id } }',
        'mutation { resolveReviewThread(input: {threadId: "x", extra: 1}) { thread { id } } }',
    ],
)
def test_graphql_refuses_what_it_does_not_know(bot: Client, query: str) -> None:
    """Unknown fields, broken documents, missing variables and unknown objects are answered with errors."""
    assert bot.graphql(query)["errors"]


def test_graphql_connections_insist_on_a_size_and_page(
    github: GitHubSandbox, bot: Client, clone: Clone
) -> None:
    """Connections without first or last are refused; cursors lead to the end."""
    number, ada = open_pull(bot, clone), Reviewer(github, "ghp_ada")
    for text in ("One", "Two", "Three"):
        ada.review(number, "COMMENT", "", [("till/prices.py", 10, text)])
    outer = 'query($n: Int!, $after: String) { repository(owner: "acme", name: "till") { pullRequest(number: $n) { %s } } }'
    assert bot.graphql(outer % "reviewThreads { nodes { id } }", n=number)["errors"]
    query = outer % (
        "reviewThreads(first: 2, after: $after) { pageInfo { hasNextPage endCursor } "
        "nodes { comments(first: 1) { nodes { body } } } }"
    )
    found: list[str] = []
    page: dict[str, Any] = {"hasNextPage": True, "endCursor": None}
    while page["hasNextPage"]:
        answer = bot.graphql(query, n=number, after=page["endCursor"])
        threads = answer["data"]["repository"]["pullRequest"]["reviewThreads"]
        found += [one["comments"]["nodes"][0]["body"] for one in threads["nodes"]]
        page = threads["pageInfo"]
    assert found == ["One", "Two", "Three"]


# Checks, statuses, runs, events


def test_checks_and_statuses(github: GitHubSandbox, bot: Client, ada: Client, clone: Clone) -> None:
    """Apps write check runs, people do not; the newest of a name counts, and statuses are combined."""
    number = open_pull(bot, clone)
    sha = bot.get(f"pulls/{number}")["head"]["sha"]
    bot.write("POST", "check-runs", name="test", head_sha=sha, conclusion="failure")
    bot.write("POST", "check-runs", name="test", head_sha=sha, status="in_progress")
    listing = bot.get(f"commits/{sha}/check-runs")
    assert (listing["total_count"], listing["check_runs"][0]["status"]) == (1, "in_progress")
    assert bot.get(f"commits/{sha}/check-runs?filter=all")["total_count"] == 2
    assert ada.refused("POST", "check-runs", name="test", head_sha=sha)[0] == 403
    assert bot.get(f"commits/{sha}/status")["state"] == "pending"
    ada.write("POST", f"statuses/{sha}", state="failure", context="ci", description="Red")
    assert bot.get(f"commits/{sha}/status")["state"] == "failure"
    ada.write("POST", f"statuses/{sha}", state="success", context="ci")
    assert bot.get(f"commits/{sha}/status")["state"] == "success"
    assert len(bot.get(f"commits/{sha}/statuses")) == 2
    bot.get(f"commits/{sha}/check-suites")


def test_repository_dispatch_is_heard(github: GitHubSandbox) -> None:
    """A dispatch by GITHUB_TOKEN is heard with its payload, and its run can be followed."""
    heard: list[GitHubEvent] = []
    github.listeners.append(heard.append)
    actions = Client(github, "ghs_actions")
    payload = {"issue_key": "T-1", "phase": "auto"}
    assert (
        actions.send("POST", "dispatches", {"event_type": "ai-runner", "client_payload": payload}).status_code
        == 204
    )
    assert ("repository_dispatch", "ai-runner", payload, "github-actions[bot]") == (
        heard[0].kind,
        heard[0].action,
        heard[0].payload["client_payload"],
        heard[0].sender,
    )
    assert heard[0].run_id
    assert actions.get(f"actions/runs/{heard[0].run_id}")["status"] == "queued"
    github.set_run(heard[0].run_id, status="completed", conclusion="success")
    assert (
        actions.get("actions/runs?event=repository_dispatch")["workflow_runs"][0]["conclusion"] == "success"
    )


@pytest.mark.parametrize(
    "body",
    [
        {"client_payload": {}},
        {"event_type": ""},
        {"event_type": "x" * 101},
        {"event_type": "x", "client_payload": {str(n): n for n in range(11)}},
        {"event_type": "x", "client_payload": {"a": "x" * 65_536}},
        {"event_type": "x", "client_payload": []},
        {"event_type": "x", "unknown": 1},
    ],
)
def test_dispatches_outside_the_limits_are_refused(
    github: GitHubSandbox, bot: Client, body: dict[str, Any]
) -> None:
    """What the contract refuses of a dispatch is 422."""
    assert bot.refused("POST", "dispatches", **body)[0] == 422
    assert github.recorder
    assert violations(github.recorder.exchanges)
    github.recorder.exchanges.clear()


def test_workflow_dispatch_checks_the_workflow(github: GitHubSandbox, clone: Clone, bot: Client) -> None:
    """workflow_dispatch wants an existing file, ref and inputs, and can tell its run."""
    github.add_token("ghs_flow", login="flow[bot]", permissions={"contents": "write", "workflows": "write"})
    flow = Clone(github, "ghs_flow", clone.folder.parent / "flow")
    flow.branch("flow", "origin/main", {".github/workflows/ai-runner.yml": WORKFLOW})
    flow.git("push", "--quiet", "origin", "flow:main")
    heard: list[GitHubEvent] = []
    github.listeners.append(heard.append)
    path = "actions/workflows/ai-runner.yml/dispatches"
    inputs = {"issue_key": "T-1"}
    assert bot.refused("POST", "actions/workflows/absent.yml/dispatches", ref="main")[0] == 404
    assert bot.refused("POST", path, ref="absent", inputs=inputs) == (422, "No ref found for: absent")
    assert bot.refused("POST", path, ref="main")[0] == 422
    assert bot.refused("POST", path, ref="main", inputs={**inputs, "x": "y"})[0] == 422
    assert bot.send("POST", path, {"ref": "main", "inputs": inputs}).status_code == 204
    told = bot.write("POST", path, ref="main", inputs=inputs, return_run_details=True)
    assert [told["workflow_run_id"]] == [heard[1].run_id]
    assert heard[0].payload["inputs"] == inputs


def test_only_dispatches_are_heard_of_actions(github: GitHubSandbox, bot: Client, clone: Clone) -> None:
    """What a person or an app does is heard; what GITHUB_TOKEN does is not."""
    heard: list[tuple[str, str]] = []
    github.listeners.append(lambda event: heard.append((event.kind, event.action)))
    number = open_pull(bot, clone)
    assert heard == [("push", ""), ("pull_request", "opened")]
    Client(github, "ghs_actions").write("POST", f"issues/{number}/comments", body="Hi")
    assert len(heard) == 2
    Reviewer(github, "ghp_ada").merge(number)
    assert heard[2:] == [("pull_request", "closed"), ("push", "")]


def test_a_merge_is_told_in_the_webhooks_shape(github: GitHubSandbox, bot: Client, clone: Clone) -> None:
    """The closed event carries merged and the head branch."""
    number = open_pull(bot, clone)
    heard: list[GitHubEvent] = []
    github.listeners.append(heard.append)
    Reviewer(github, "ghp_ada").merge(number, "squash")
    pull = next(one for one in heard if one.kind == "pull_request").payload["pull_request"]
    assert (pull["merged"], pull["head"]["ref"], pull["base"]["ref"]) == (True, "ai/T-1", "main")


# Faults


def test_a_fault_before_leaves_nothing_and_after_leaves_everything(
    github: GitHubSandbox, bot: Client, clone: Clone
) -> None:
    """A request lost on its way changes nothing; one whose answer is lost was applied."""
    number = open_pull(bot, clone)

    def lose(*_: object) -> None:
        raise AnswerLost

    github.before.append(lose)
    with pytest.raises(requests.ConnectionError):
        bot.write("POST", f"issues/{number}/comments", body="Lost")
    github.before.clear()
    github.after.append(lose)
    with pytest.raises(requests.ConnectionError):
        bot.write("POST", f"issues/{number}/comments", body="Kept")
    github.after.clear()
    assert [one["body"] for one in bot.get(f"issues/{number}/comments")] == ["Kept"]


def test_an_answer_known_already_is_304(bot: Client) -> None:
    """A read with the ETag of the last answer has no body."""
    etag = bot.send("GET", "pulls").headers["ETag"]
    assert bot.send("GET", "pulls", If_None_Match=etag).status_code == 304


def test_a_repository_can_be_adopted_with_its_history(tmp_path: Path, github: GitHubSandbox) -> None:
    """Rehearsals start from a copy of a repository on this machine, which stays untouched."""
    sandbox = GitHubSandbox("me/mine", git_dir=tmp_path / "mine.git")
    assert sandbox.adopt(github.git_dir) == github.branches()["main"]
    assert sandbox.files("main") == FILES


# The rest of the surface, and races


def test_every_read_answers_within_the_contract(
    github: GitHubSandbox, bot: Client, ada: Client, clone: Clone
) -> None:
    """Reads that no other rule here needs are complete in the contract's eyes too."""
    github.add_token("ghs_flow", login="flow[bot]", permissions={"contents": "write", "workflows": "write"})
    flow = Clone(github, "ghs_flow", clone.folder.parent / "flow")
    flow.branch("flow", "origin/main", {".github/workflows/ai-runner.yml": WORKFLOW})
    flow.git("push", "--quiet", "origin", "flow:main")
    number = open_pull(bot, clone)
    ada.write("POST", f"pulls/{number}/reviews", event="APPROVE")
    ada.write("POST", f"issues/{number}/assignees", assignees=["ada", "eve"])
    ada.write("DELETE", f"issues/{number}/assignees", assignees=["rob"])
    ada.write("PATCH", f"issues/{number}", labels=["x"], title="Other")
    ada.write("PATCH", "labels/x", color="00ff00", new_name="y")
    sha = bot.get(f"pulls/{number}")["head"]["sha"]
    output = {
        "title": "t",
        "summary": "s",
        "annotations": [
            {"path": "a", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}
        ],
    }
    check = bot.write("POST", "check-runs", name="test", head_sha=sha, output=output)["id"]
    bot.write("PATCH", f"check-runs/{check}", conclusion="success")
    bot.write("POST", "dispatches", event_type="x")
    run = github.runs[0].id
    bot.write("POST", f"actions/runs/{run}/cancel")
    bot.write("POST", f"actions/runs/{run}/rerun")
    review = bot.get(f"pulls/{number}/reviews")[0]["id"]
    paths = (
        "readme assignees teams branches labels labels/y collaborators /users/ada /rate_limit /versions /meta"
        " actions/workflows actions/workflows/ai-runner.yml actions/workflows/ai-runner.yml/runs"
        " actions/permissions/workflow branches/ai/T-1 git/matching-refs/heads"
        f" issues/{number} commits/{sha}/pulls pulls/{number}/reviews/{review} actions/runs/{run}/jobs"
        f" check-runs/{check} check-runs/{check}/annotations commits/{sha}/check-suites"
    )
    for path in paths.split():
        ada.get(path)
    dismissed = ada.write("PUT", f"pulls/{number}/reviews/{review}/dismissals", message="Old")
    assert dismissed["state"] == "DISMISSED"
    assert ada.send("GET", "collaborators/ada").status_code == 204


def test_a_public_repository_is_read_by_anybody(tmp_path: Path) -> None:
    """Without a token a public repository can be read and fetched, and nothing be written."""
    with GitHubSandbox(git_dir=tmp_path / "public.git", private=False) as github:
        github.seed(FILES, "First")
        nobody = Client(github, "")
        assert nobody.get("")["visibility"] == "public"
        assert nobody.refused("POST", "dispatches", event_type="x") == (401, "Requires authentication")
        done = subprocess.run(
            ["git", "ls-remote", f"{github.url}/acme/till"],
            env=git_environment(tmp_path),
            capture_output=True,
            text=True,
            check=True,
        )
        assert "refs/heads/main" in done.stdout


def test_personal_tokens_are_refused_in_their_own_words(github: GitHubSandbox) -> None:
    """A fine-grained personal token needs its permission as well as its owner's role."""
    github.add_token("github_pat", login="ada", kind="user", permissions={"contents": "read"})
    status, message = Client(github, "github_pat").refused("POST", "dispatches", event_type="x")
    assert (status, message) == (403, "Resource not accessible by personal access token")


def test_two_at_once_open_one_pull_request(github: GitHubSandbox, bot: Client, clone: Clone) -> None:
    """Of simultaneous requests for the same head one wins, the others hear that it exists."""
    clone.branch("ai/T-1", "origin/main", {"b.txt": b"b"})
    body = {"title": "x", "head": "ai/T-1", "base": "main"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: bot.send("POST", "pulls", body).status_code, range(8)))
    assert sorted(answers) == [201, *[422] * 7]
    assert len(github.pulls) == 1


def test_two_pushes_at_once_move_a_branch_once(github: GitHubSandbox, clone: Clone, tmp_path: Path) -> None:
    """Of simultaneous compare-and-swap pushes exactly one succeeds."""
    first = clone.branch("ai/T-1", "origin/main", {"b.txt": b"b"})
    others = [Clone(github, "ghs_bot", tmp_path / f"clone{number}") for number in range(4)]
    for number, one in enumerate(others):
        one.git("fetch", "--quiet", "origin")
        one.git("checkout", "--quiet", "-B", "x", first)
        one.commit({"c.txt": str(number).encode()})
    lease = f"--force-with-lease=refs/heads/ai/T-1:{first}"
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda one: one.run("push", lease, "origin", "HEAD:refs/heads/ai/T-1"), others))
    assert sum(one.returncode == 0 for one in done) == 1


def test_a_listener_may_call_back(github: GitHubSandbox, bot: Client) -> None:
    """Events are told outside the lock, so that what they start can use the API before the answer is sent."""
    seen: list[str] = []
    github.listeners.append(lambda _: seen.append(bot.get("")["full_name"]))
    bot.write("POST", "dispatches", event_type="x")
    assert seen == ["acme/till"]


def test_old_git_protocols_are_spoken(github: GitHubSandbox, clone: Clone) -> None:
    """Clients that ask for protocol 0, 1 or 2 are served."""
    for version in ("0", "1", "2"):
        listing = clone.git("-c", f"protocol.version={version}", "ls-remote", "origin", "refs/heads/main")
        assert listing.split()[0] == github.branches()["main"]


def test_a_big_push_arrives_whole(github: GitHubSandbox, clone: Clone) -> None:
    """A push beyond git's buffer, which travels in chunks, is taken."""
    content = random.Random(1).randbytes(3_000_000)
    clone.branch("ai/T-1", "origin/main", {"big.bin": content})
    assert github.files("ai/T-1")["big.bin"] == content
