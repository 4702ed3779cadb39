"""Repositories as teams have them: each story ends Done, or with the sentence that tells the adopter what to change."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.wrappers import Request, Response

from tests.shapes.harness import PERMISSIONS, RUN_TOKEN, Team, configure, planned_as, team, told, writing


def approved(acme: Team) -> str:
    """A ticket that is planned, approved and worked on, as far as it gets; its first sub-task."""
    key = acme.ask()
    acme.follow(key)
    acme.ada.move(key, "In Progress")
    acme.follow(key)
    return acme.sub_tasks(key)[0]


# --- branches -----------------------------------------------------------------------------------------------


def test_base_branch_by_configuration(tmp_path: Path) -> None:
    """Finished work goes to the configured branch and the default branch stays as it is."""
    with team(tmp_path, policy={"pull_request": {"base": "develop"}}) as acme:
        git = acme.github.hub.git
        main = git.branch("main")
        git.set_ref("refs/heads/develop", main)
        key = acme.story()
        assert acme.is_done(key)
        assert git.branch("main") == main
        assert {"src/prices.py", "src/receipt.py"} <= set(acme.github.files("develop"))


def test_base_branch_that_does_not_exist(tmp_path: Path) -> None:
    """A base branch that does not exist is named before any model is asked."""
    with team(tmp_path, policy={"pull_request": {"base": "develop"}}) as acme:
        ran = acme.run(acme.ask())
        assert "The branch develop, which this work starts from, does not exist" in acme.said(ran.key)
        assert "correct pull_request.base" in acme.said(ran.key)
        assert (ran.end.exit_code, ran.end.model_calls) == (2, 0)


def test_default_branch_that_does_not_exist(tmp_path: Path) -> None:
    """An empty repository is named as such, with what to do, before any model is asked."""
    with team(tmp_path) as acme:
        acme.github.hub.git.set_ref("refs/heads/main", None)
        ran = acme.run(acme.ask())
        assert "The branch main" in acme.said(ran.key)
        assert "push a first commit" in acme.said(ran.key)
        assert "Settings, General, Default branch" in acme.said(ran.key)
        assert (ran.end.exit_code, ran.end.model_calls) == (2, 0)


def test_renamed_default_branch(tmp_path: Path) -> None:
    """The default branch may be called otherwise."""
    with team(tmp_path, default_branch="trunk") as acme:
        key = acme.story()
        assert acme.is_done(key)
        assert {"src/prices.py", "src/receipt.py"} <= set(acme.github.files("trunk"))


def test_default_branch_renamed_while_work_is_open(tmp_path: Path) -> None:
    """After a rename, for which GitHub re-targets what is open, work goes on and ends on the branch of the new name."""
    with team(tmp_path) as acme:
        key = acme.ask()
        acme.follow(key)
        acme.ada.move(key, "In Progress")
        acme.follow(key)
        _rename_default_branch(acme, "trunk")
        first = acme.sub_tasks(key)[0]
        acme.rey.comment(first, "Round half up, please.")
        acme.rey.assign(first, acme.bot)
        acme.follow(first)
        acme.merge_all()
        assert acme.is_done(key)
        assert {"src/prices.py", "src/receipt.py"} <= set(acme.github.files("trunk"))
        assert "main" not in acme.github.branches()


def _rename_default_branch(acme: Team, name: str) -> None:
    """As GitHub does it: the branch, the setting and the bases of open pull requests change together."""
    hub = acme.github.hub
    with hub.lock:
        old, head = hub.default_branch, hub.git.branch(hub.default_branch)
        hub.git.set_ref(f"refs/heads/{name}", str(head))
        hub.default_branch = name
        for pull in hub.pulls.values():
            if pull.is_open and pull.base == old:
                pull.base = name
        hub.git.set_ref(f"refs/heads/{old}", None)


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_ways_of_merging(method: str, tmp_path: Path) -> None:
    """However stacked pull requests are merged, one after the other, the end is the same tree and all Done."""
    with team(tmp_path, think=planned_as("prices", "receipt", "rounding")) as acme:
        key = acme.ask()
        acme.follow(key)
        acme.ada.move(key, "In Progress")
        acme.follow(key)
        acme.merge_all(method)
        assert acme.is_done(key), [acme.status(one) for one in acme.sub_tasks(key)]
        assert {"src/prices.py", "src/receipt.py", "src/rounding.py"} <= set(acme.github.files("main"))


def test_merges_that_do_not_move_tickets(tmp_path: Path) -> None:
    """With `on_merge: keep` a merge is noted, and the tickets go on to Done by people's hands alone."""
    with team(tmp_path, policy={"on_merge": "keep"}) as acme:
        key = acme.story()
        assert [acme.status(one) for one in acme.sub_tasks(key)] == ["In Testing", "In Testing"]
        for sub_task in acme.sub_tasks(key):
            assert "was merged" in acme.said(sub_task)
            assert acme.run(sub_task).writes == 0
            acme.rey.move(sub_task, "Done")
            acme.follow(sub_task)
        assert acme.is_done(key)


def test_branch_deleted_on_merge(tmp_path: Path) -> None:
    """A repository that deletes merged branches keeps the work stacked on them."""
    with team(tmp_path) as acme:
        acme.github.configure(delete_branch_on_merge=True)
        key = acme.ask()
        acme.follow(key)
        acme.ada.move(key, "In Progress")
        acme.follow(key)
        acme.merge_all("squash")
        assert acme.is_done(key)
        assert {"src/prices.py", "src/receipt.py"} <= set(acme.github.files("main"))


def test_merged_into_a_branch_that_was_merged_before(tmp_path: Path) -> None:
    """Merging a stacked pull request after the one below it must not lose its work: it is offered again."""
    with team(tmp_path) as acme:
        key = acme.ask()
        acme.follow(key)
        acme.ada.move(key, "In Progress")
        acme.follow(key)
        below, above = acme.sub_tasks(key)
        for number in (1, 2):
            acme.reviewer.request("PUT", f"pulls/{number}/merge", merge_method="merge")
        assert "src/receipt.py" not in acme.github.files("main")
        acme.follow(below)
        acme.follow(above)
        assert not acme.is_done(above)
        assert (acme.github.pulls[2].head, acme.github.pulls[2].base) == (f"ai/{above}", "main")
        assert acme.run(above).writes == 0
        acme.merge_all()
        assert acme.is_done(key)
        assert "src/receipt.py" in acme.github.files("main")


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_merged_from_the_top_in_one_second(method: str, tmp_path: Path) -> None:
    """A stack merged downwards within a second is all in: nothing is offered twice, whatever the way of merging."""
    with team(tmp_path) as acme:
        key = acme.ask()
        acme.follow(key)
        acme.ada.move(key, "In Progress")
        acme.follow(key)
        with _one_second(acme):
            for number in (2, 1):
                acme.reviewer.request("PUT", f"pulls/{number}/merge", merge_method=method)
        for sub_task in reversed(acme.sub_tasks(key)):
            acme.follow(sub_task)
        assert len(acme.github.pulls) == 2
        assert acme.is_done(key)
        assert {"src/prices.py", "src/receipt.py"} <= set(acme.github.files("main"))


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_merged_from_the_bottom_in_one_second(method: str, tmp_path: Path) -> None:
    """A stack merged upwards within a second left the upper work behind: it is offered again."""
    with team(tmp_path) as acme:
        key = acme.ask()
        acme.follow(key)
        acme.ada.move(key, "In Progress")
        acme.follow(key)
        with _one_second(acme):
            for number in (1, 2):
                acme.reviewer.request("PUT", f"pulls/{number}/merge", merge_method=method)
        for sub_task in acme.sub_tasks(key):
            acme.follow(sub_task)
        assert len(acme.github.pulls) == 3
        acme.merge_all()
        assert acme.is_done(key)
        assert {"src/prices.py", "src/receipt.py"} <= set(acme.github.files("main"))


@contextlib.contextmanager
def _one_second(acme: Team) -> Iterator[None]:
    """Whatever happens on GitHub meanwhile bears the same time."""
    clock = acme.github.hub.clock
    now = clock()
    acme.github.hub.clock = lambda: now
    yield
    acme.github.hub.clock = clock


# --- rules --------------------------------------------------------------------------------------------------


def test_protected_default_branch(tmp_path: Path) -> None:
    """A protected default branch is no hindrance: only pull requests change it."""
    with team(tmp_path) as acme:
        acme.github.protect("main")
        assert acme.is_done(acme.story())


def test_protected_branches_of_ours(tmp_path: Path) -> None:
    """A rule that covers our own branches is told with the pattern to exempt."""
    with team(tmp_path) as acme:
        acme.github.protect("ai/SHOP-2")
        sub_task = approved(acme)
        text = told(acme.end_of(sub_task), acme)
        assert "`ai/**`" in text
        assert acme.status(sub_task) == "Blocked"


def test_required_signatures_with_a_push(tmp_path: Path) -> None:
    """Where commits must be signed, a push is refused, and the setting that helps is named."""
    with team(tmp_path) as acme:
        acme.github.require_signatures()
        sub_task = approved(acme)
        text = told(acme.end_of(sub_task), acme)
        assert "requires signed commits" in text
        assert "`pull_request.commits: api`" in text
        assert acme.status(sub_task) == "Blocked"


def test_required_signatures_with_the_api(tmp_path: Path) -> None:
    """Commits made through the API are signed by GitHub, so the rule is met."""
    with team(tmp_path, policy={"pull_request": {"commits": "api"}}) as acme:
        acme.github.require_signatures()
        key = acme.story()
        assert acme.is_done(key)
        assert {"src/prices.py", "src/receipt.py"} <= set(acme.github.files("main"))


def test_signatures_after_the_setting_was_changed(tmp_path: Path) -> None:
    """After the refusal, changing the setting and assigning the ticket again is all it takes."""
    with team(tmp_path) as acme:
        acme.github.require_signatures()
        sub_task = approved(acme)
        configure(acme, {"pull_request": {"commits": "api"}, "jira": {"reviewer": acme.rey.account}})
        acme.rey.assign(sub_task, acme.bot)
        acme.follow(sub_task)
        assert acme.status(sub_task) == "In Testing"


def test_drafts_are_refused(tmp_path: Path) -> None:
    """Where GitHub offers no drafts, a normal pull request says draft by its title and label."""
    with team(tmp_path, policy={"pull_request": {"draft": True}}, think=writing("src/one.py")) as acme:
        acme.github.configure(allow_drafts=False)
        key = acme.story()
        pull = acme.github.pulls[0]
        assert acme.is_done(key)
        assert (pull.draft, "draft" in pull.title.lower(), "draft" in pull.labels) == (False, True, True)


# --- paths and sizes ----------------------------------------------------------------------------------------


def test_monorepo_scope(tmp_path: Path) -> None:
    """Changes inside the allowed paths of a monorepo are published."""
    policy = {"paths": {"allowed": ["services/till/**"]}}
    with team(tmp_path, policy=policy, think=writing("services/till/total.py")) as acme:
        assert acme.is_done(acme.story())


def test_change_outside_the_scope(tmp_path: Path) -> None:
    """A change outside the allowed paths is refused by name, and nothing is pushed."""
    policy = {"paths": {"allowed": ["services/till/**"]}}
    with team(tmp_path, policy=policy, think=writing("services/stock/count.py")) as acme:
        sub_task = approved(acme)
        text = told(acme.end_of(sub_task), acme)
        assert "`services/stock/count.py`" in text
        assert "widen `paths`" in text
        assert [name for name in acme.github.branches() if name.startswith("ai/")] == []


@pytest.mark.parametrize("commits", ["push", "api"])
def test_large_file(commits: str, tmp_path: Path) -> None:
    """A file beyond the size that may be published is refused, however it would be published."""
    large = writing("src/blob.bin", content=b"x" * (2 * 1024 * 1024 + 1))
    with team(tmp_path, think=large, policy={"pull_request": {"commits": commits}}) as acme:
        sub_task = approved(acme)
        assert "more than the allowed 2,097,152" in told(acme.end_of(sub_task), acme)
        assert [name for name in acme.github.branches() if name.startswith("ai/")] == []


def test_too_many_files(tmp_path: Path) -> None:
    """More files than the cap allows are refused, with the cap named."""
    many = writing(*(f"src/part{number}.py" for number in range(4)))
    with team(tmp_path, think=many, policy={"caps": {"files": 3}}) as acme:
        sub_task = approved(acme)
        text = told(acme.end_of(sub_task), acme)
        assert "`caps`" in text
        assert "4" in text


# --- who may see and do what --------------------------------------------------------------------------------


def test_fork_with_a_branch_of_the_same_name(tmp_path: Path) -> None:
    """A pull request from a fork whose branch is called like ours is nobody's concern."""
    with team(tmp_path, think=writing("src/one.py")) as acme:
        key = acme.ask()
        acme.follow(key)
        acme.ada.move(key, "In Progress")
        acme.github.after.append(_with_fork)
        acme.follow(key)
        assert [pull.head for pull in acme.github.pulls] == ["ai/SHOP-2"]
        acme.merge_all()
        assert acme.is_done(key)


def _with_fork(request: Request, response: Response) -> Response | None:
    """GitHub's list of pull requests, with one of a stranger's fork in front."""
    if not request.path.endswith("/pulls") or request.method != "GET":
        return None
    found = response.get_json()
    if not found:
        return None
    stranger = {**found[0], "number": 4711, "user": {**found[0]["user"], "login": "mallory", "id": 666}}
    fork = {**found[0]["head"]["repo"], "id": 667, "full_name": "mallory/till", "fork": True}
    head = {**found[0]["head"], "label": "mallory:ai/SHOP-2", "repo": fork}
    response.set_data(json.dumps([{**stranger, "head": head}, *found]))
    return response


def test_public_repository_is_refused(tmp_path: Path) -> None:
    """In a public repository everybody could read the ticket, so that must be said to be intended."""
    with team(tmp_path, private=False) as acme:
        text = told(acme.run(acme.ask()), acme)
        assert "is public" in text
        assert "`disclosure: public`" in text


def test_public_repository_by_configuration(tmp_path: Path) -> None:
    """A public repository works once that is said."""
    with team(tmp_path, private=False, policy={"disclosure": "public"}) as acme:
        assert acme.is_done(acme.story())


def test_enterprise_server(tmp_path: Path) -> None:
    """On GitHub Enterprise Server the API lies below /api/v3 and GraphQL beside it."""
    with team(tmp_path) as acme:
        acme.environment["GITHUB_API_URL"] = f"{acme.github.url}/api/v3"
        acme.github.before.append(_enterprise_only)
        acme.story()
        assert acme.is_done("SHOP-1")


def _enterprise_only(request: Request) -> Response | None:
    """An Enterprise Server has no API at the root."""
    is_ours = request.authorization is not None and request.authorization.token == RUN_TOKEN
    if is_ours and not request.path.startswith(("/api/v3/", "/api/graphql")):
        return Response("not found", status=404)
    return None


def test_token_without_pull_requests(tmp_path: Path) -> None:
    """A token that may not open pull requests is told which permission it lacks."""
    with team(tmp_path, permissions={**PERMISSIONS, "pull-requests": "read"}) as acme:
        sub_task = approved(acme)
        text = told(acme.end_of(sub_task), acme)
        assert "It needs: pull_requests=write" in text
        assert acme.status(sub_task) == "Blocked"


def test_token_without_contents(tmp_path: Path) -> None:
    """A token that may not push is told which permission it lacks."""
    with team(tmp_path, permissions={**PERMISSIONS, "contents": "read"}) as acme:
        key = acme.ask()
        acme.follow(key)
        acme.ada.move(key, "In Progress")
        text = told(acme.run(key), acme)
        assert "contents" in text


def test_actions_may_not_open_pull_requests(tmp_path: Path) -> None:
    """The repository setting that keeps Actions from opening pull requests is named."""
    with team(tmp_path) as acme:
        acme.github.configure(allow_actions_pull_requests=False)
        sub_task = approved(acme)
        text = told(acme.end_of(sub_task), acme)
        assert "allow GitHub Actions to create and approve pull requests" in text
        assert acme.status(sub_task) == "Blocked"
        acme.github.configure(allow_actions_pull_requests=True)
        acme.rey.assign(sub_task, acme.bot)
        ran = acme.run(sub_task)
        assert (acme.status(sub_task), ran.end.model_calls) == ("In Testing", 0)


def test_wrong_token(tmp_path: Path) -> None:
    """A token that GitHub does not know is a configuration error, which the ticket is told; it is no empty repository."""
    with team(tmp_path) as acme:
        acme.environment["GITHUB_TOKEN"] = "ghs_expired"
        ran = acme.run(acme.ask())
        assert "GitHub does not accept the token" in told(ran, acme)
        assert (ran.end.exit_code, ran.end.model_calls) == (2, 0)
