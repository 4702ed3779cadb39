"""The embedded Jira: what it accepts, what it refuses, what it remembers. Over real HTTP, held against the contract."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from werkzeug.wrappers import Request, Response

from runner.sandbox.jira import JiraEvent, JiraSandbox, JiraSite, adf
from runner.sandbox.jira.projects import RESOLUTION, FieldSpec, StatusSpec, Workflow
from runner.sandbox.people import Person, Refused
from runner.sandbox.server import Recorder
from tests import contracts

START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
Json = dict[str, Any]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class World:
    """A site with a runner, two people and a company-managed project, plus a plain client."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.site = JiraSite(clock=self.clock)
        self.recorder = Recorder()
        self.sandbox = JiraSandbox(self.site, recorder=self.recorder)
        self.bot = self.site.add_user("AI Runner", email="bot@example.com", token="bot-token")
        self.ada = self.site.add_user("Ada", email="ada@example.com", token="ada-token")
        self.bob = self.site.add_user("Bob", email="bob@example.com", token="bob-token")
        self.project = self.site.add_project("ABC")
        self.session = requests.Session()
        self.session.trust_env = False

    def person(self, account: str) -> Person:
        return Person(self.sandbox, account)

    def call(self, method: str, path: str, *, token: str | None = "bot", **options: Any) -> requests.Response:
        """One request as an account, or with ``token=None`` as nobody; redirects are not followed."""
        auth = None if token is None else (f"{token}@example.com", f"{token}-token")
        address = f"{self.sandbox.url}/rest/api/3/{path}"
        return self.session.request(method, address, auth=auth, timeout=10, allow_redirects=False, **options)

    def json(self, method: str, path: str, **options: Any) -> Any:
        response = self.call(method, path, **options)
        assert response.status_code < 400, response.text
        return response.json() if response.content else None

    def events(self) -> list[JiraEvent]:
        """A list that fills with every event from now on."""
        heard: list[JiraEvent] = []
        self.site.listeners.append(heard.append)
        return heard


@pytest.fixture
def world() -> Iterator[World]:
    """Everything that is answered without a refusal fits the contract, request and answer alike."""
    one = World()
    with one.sandbox:
        yield one
    answered = [exchange for exchange in one.recorder.exchanges if exchange["status"] < 400]
    assert contracts.violations(answered) == []


@pytest.fixture
def ada(world: World) -> Person:
    return world.person(world.ada)


@pytest.fixture
def ticket(world: World, ada: Person) -> str:
    return ada.create_ticket("Add a rate limiter", "Please add a limiter.", project="ABC")


def doc(text: str) -> Json:
    return adf.from_text(text)


def shape_of_error(response: requests.Response) -> tuple[int, bool]:
    body = response.json()
    return response.status_code, set(body) == {"errorMessages", "errors"}


# Access


def test_myself_names_the_account_of_the_token(world: World) -> None:
    """Basic and bearer credentials both lead to the account that owns the token."""
    assert world.json("GET", "myself")["accountId"] == world.bot
    bearer = {"Authorization": "Bearer ada-token"}
    assert world.json("GET", "myself", token=None, headers=bearer)["accountId"] == world.ada


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer nobody"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic Ym9iQGV4YW1wbGUuY29tOmFkYS10b2tlbg=="},
        {"Authorization": "Digest x"},
    ],
)
def test_an_unknown_credential_is_401(world: World, headers: dict[str, str]) -> None:
    """A wrong token, an unreadable header and somebody else's address are all 401."""
    assert shape_of_error(world.call("GET", "myself", token=None, headers=headers)) == (401, True)


def test_nobody_sees_tickets_as_missing(world: World, ticket: str) -> None:
    """Without credentials a ticket is 404, not 401; the account resource and writes are 401."""
    assert world.call("GET", f"issue/{ticket}", token=None).status_code == 404
    assert world.call("GET", "myself", token=None).status_code == 401
    assert world.call("POST", f"issue/{ticket}/comment", token=None, json={}).status_code == 401


def test_scoped_tokens_work_only_at_the_gateway(world: World) -> None:
    """A scoped token is 401 at the site's address and good below /ex/jira/<cloudId>."""
    world.site.add_token(world.bot, "scoped", scoped=True)
    auth = ("bot@example.com", "scoped")
    assert requests.get(f"{world.sandbox.url}/rest/api/3/myself", auth=auth, timeout=10).status_code == 401
    through = requests.get(f"{world.sandbox.scoped_url}/rest/api/3/myself", auth=auth, timeout=10)
    assert through.json()["accountId"] == world.bot
    tenant = requests.get(f"{world.sandbox.url}/_edge/tenant_info", timeout=10).json()
    assert tenant["cloudId"] in world.sandbox.scoped_url


def test_a_read_scope_does_not_write(world: World, ticket: str) -> None:
    """A token without the write scope may search by POST and may not comment."""
    world.site.add_token(world.bot, "reader", scoped=True, scopes=["read:jira-work"])
    auth = ("bot@example.com", "reader")
    base = f"{world.sandbox.scoped_url}/rest/api/3"
    found = requests.post(f"{base}/search/jql", json={"jql": "project = ABC"}, auth=auth, timeout=10)
    said = requests.post(f"{base}/issue/{ticket}/comment", json={"body": doc("x")}, auth=auth, timeout=10)
    assert (found.status_code, said.status_code) == (200, 401)


def test_an_inactive_account_cannot_log_in(world: World) -> None:
    """Deactivating an account ends its tokens."""
    world.site.users[world.bob].active = False
    assert world.call("GET", "myself", token="bob").status_code == 401


# Tickets


def test_a_ticket_reads_back_as_written(world: World, ada: Person, ticket: str) -> None:
    """Summary, description, reporter, first status and type come back as they were stored."""
    fields = ada.read(ticket)["fields"]
    assert fields["summary"] == "Add a rate limiter"
    assert adf.plain(fields["description"]).strip() == "Please add a limiter."
    assert fields["reporter"]["accountId"] == world.ada
    assert (fields["status"]["name"], fields["status"]["statusCategory"]["key"]) == ("Backlog", "new")
    assert fields["issuetype"] | {"self": ""} == fields["issuetype"] | {"self": "", "hierarchyLevel": 0}


def test_only_the_wanted_fields_are_returned(world: World, ticket: str) -> None:
    """``fields`` selects, and ``-name`` takes away."""
    assert set(world.json("GET", f"issue/{ticket}?fields=summary,labels")["fields"]) == {"summary", "labels"}
    assert "comment" not in world.json("GET", f"issue/{ticket}?fields=*all,-comment")["fields"]


def test_sub_tasks_are_listed_in_their_parent_in_creation_order(
    world: World, ada: Person, ticket: str
) -> None:
    """The parent names its sub-tasks, oldest first, with status and type."""
    keys = [
        ada.create_ticket(name, type="Sub-task", project="ABC", parent=ticket)
        for name in ("One", "Two", "Three")
    ]
    children = ada.read(ticket)["fields"]["subtasks"]
    assert [child["key"] for child in children] == keys
    assert children[0]["fields"]["status"]["name"] == "Backlog"
    assert children[0]["fields"]["issuetype"]["subtask"] is True
    assert ada.read(keys[0])["fields"]["parent"]["key"] == ticket


def test_a_sub_task_needs_a_fitting_parent(ada: Person, ticket: str) -> None:
    """No parent, and a parent of the wrong level, are refused."""
    child = ada.create_ticket("One", type="Sub-task", project="ABC", parent=ticket)
    for parent in (None, child):
        with pytest.raises(Refused, match="400"):
            ada.create_ticket("Two", type="Sub-task", project="ABC", parent=parent)


def test_creating_the_same_sub_task_twice_makes_two(ada: Person, ticket: str) -> None:
    """Jira knows no idempotency key."""
    for _ in range(2):
        ada.create_ticket("One", type="Sub-task", project="ABC", parent=ticket)
    assert len(ada.read(ticket)["fields"]["subtasks"]) == 2


def test_bulk_create_keeps_what_worked(world: World) -> None:
    """One good and one bad ticket: 201, the good one stored, the bad one named by its position."""
    good = {"fields": {"project": {"key": "ABC"}, "issuetype": {"name": "Task"}, "summary": "Good"}}
    bad = {"fields": {"project": {"key": "ABC"}, "issuetype": {"name": "Nope"}, "summary": "Bad"}}
    answer = world.json("POST", "issue/bulk", json={"issueUpdates": [bad, good]})
    assert [one["failedElementNumber"] for one in answer["errors"]] == [0]
    assert len(answer["issues"]) == 1
    assert world.call("POST", "issue/bulk", json={"issueUpdates": [bad]}).status_code == 400


def test_a_required_custom_field_is_insisted_on(world: World, ada: Person) -> None:
    """The create screen names a required field, and a ticket without it is refused by its id."""
    team = FieldSpec(id="customfield_10050", name="Team", type="option", options=("Red", "Blue"))
    world.site.add_project("REQ", create_fields=[team])
    types = world.json("GET", "issue/createmeta/REQ/issuetypes")["issueTypes"]
    task = next(one["id"] for one in types if one["name"] == "Task")
    fields = world.json("GET", f"issue/createmeta/REQ/issuetypes/{task}")["fields"]
    assert {one["fieldId"] for one in fields if one["required"]} >= {"summary", "customfield_10050"}
    with pytest.raises(Refused, match="customfield_10050"):
        ada.create_ticket("Without", project="REQ")
    key = ada.create_ticket("With", project="REQ", fields={"customfield_10050": {"value": "Red"}})
    assert ada.read(key)["fields"]["customfield_10050"] == {"value": "Red"}


def test_labels_change_by_adding_and_removing(ada: Person, ticket: str) -> None:
    """Verbs are applied in order to what is there."""
    ada.label(ticket, add=["b", "a"])
    ada.label(ticket, add=["c"], remove=["b"])
    assert ada.read(ticket)["fields"]["labels"] == ["a", "c"]


def test_labels_and_assignee_change_in_one_request(world: World, ada: Person, ticket: str) -> None:
    """One edit carries both, and leaves one changelog entry."""
    body = {"update": {"labels": [{"add": "x"}]}, "fields": {"assignee": {"accountId": world.bob}}}
    assert world.call("PUT", f"issue/{ticket}", json=body).status_code == 204
    changes = world.json("GET", f"issue/{ticket}/changelog")["values"]
    assert [{item["field"] for item in change["items"]} for change in changes] == [{"assignee", "labels"}]


@pytest.mark.parametrize("missing", ["labels", "assignee"])
def test_a_field_that_the_screen_lacks_cannot_be_edited(world: World, missing: str) -> None:
    """It is absent from editmeta and refused by name; the assignee resource works all the same."""
    world.site.add_project("SCR", not_editable=[missing])
    key = world.person(world.ada).create_ticket("Screen", project="SCR")
    assert missing not in world.json("GET", f"issue/{key}/editmeta")["fields"]
    value: Any = {"accountId": world.bob} if missing == "assignee" else ["x"]
    response = world.call("PUT", f"issue/{key}", json={"fields": {missing: value}})
    assert (response.status_code, list(response.json()["errors"])) == (400, [missing])
    assert world.call("PUT", f"issue/{key}/assignee", json={"accountId": world.bob}).status_code == 204


def test_a_refused_edit_changes_nothing(world: World, ada: Person, ticket: str) -> None:
    """One bad field and the good ones are not applied either."""
    body = {"fields": {"summary": "New", "assignee": {"accountId": "unknown"}}}
    assert world.call("PUT", f"issue/{ticket}", json=body).status_code == 400
    assert ada.read(ticket)["fields"]["summary"] == "Add a rate limiter"


def test_deleting_a_parent_must_name_its_sub_tasks(world: World, ada: Person, ticket: str) -> None:
    """Without deleteSubtasks a parent stays; a deleted sub-task leaves its parent's list."""
    world.site.grant("ABC", world.ada, "DELETE_ISSUES")
    child = ada.create_ticket("One", type="Sub-task", project="ABC", parent=ticket)
    with pytest.raises(Refused, match="deleteSubtasks"):
        ada.request("DELETE", f"issue/{ticket}")
    ada.delete(child)
    assert ada.read(ticket)["fields"]["subtasks"] == []
    ada.delete(ticket)
    with pytest.raises(Refused, match="404"):
        ada.read(ticket)


# People


def test_only_active_people_and_apps_can_be_assigned(world: World, ticket: str) -> None:
    """A customer, an inactive account and a stranger are refused and not offered."""
    customer = world.site.add_user("Cy", email="cy@example.com", token="cy-token", account_type="customer")
    gone = world.site.add_user("Gus", email="gus@example.com", token="gus-token", active=False)
    offered = {one["accountId"] for one in world.json("GET", f"user/assignable/search?issueKey={ticket}")}
    assert offered == {world.bot, world.ada, world.bob}
    for account in (customer, gone, "stranger"):
        response = world.call("PUT", f"issue/{ticket}/assignee", json={"accountId": account})
        assert (response.status_code, list(response.json()["errors"])) == (400, ["assignee"])


def test_null_unassigns(world: World, ada: Person, ticket: str) -> None:
    """Assigning to null leaves nobody."""
    ada.assign(ticket, world.bob)
    ada.assign(ticket, None)
    assert ada.assignee(ticket) is None


def test_accounts_are_found_by_id(world: World) -> None:
    """One by one and in bulk; an unknown one is 404 or left out; addresses of others are hidden."""
    assert world.json("GET", f"user?accountId={world.ada}")["displayName"] == "Ada"
    assert world.call("GET", "user?accountId=x").status_code == 404
    found = world.json("GET", f"user/bulk?accountId={world.ada}&accountId=x")
    assert [one["accountId"] for one in found["values"]] == [world.ada]
    assert "emailAddress" not in found["values"][0]


@pytest.mark.parametrize(
    ("permission", "method", "path", "body"),
    [
        ("ADD_COMMENTS", "POST", "issue/{}/comment", {"body": doc("x")}),
        ("EDIT_ISSUES", "PUT", "issue/{}", {"fields": {"summary": "x"}}),
        ("ASSIGN_ISSUES", "PUT", "issue/{}/assignee", {"accountId": None}),
        ("LINK_ISSUES", "POST", "issue/{}/remotelink", {"object": {"url": "http://x", "title": "x"}}),
    ],
)
def test_a_missing_permission_is_403(
    world: World, ticket: str, permission: str, method: str, path: str, body: Json
) -> None:
    """What the account may not do is refused, and mypermissions says so beforehand."""
    world.site.revoke("ABC", world.bot, permission)
    said = world.json("GET", f"mypermissions?projectKey=ABC&permissions={permission}")
    assert said["permissions"][permission]["havePermission"] is False
    assert world.call(method, path.format(ticket), json=body).status_code == 403


def test_without_browse_permission_everything_is_404(world: World, ticket: str) -> None:
    """A ticket that cannot be seen looks like one that does not exist."""
    world.site.revoke("ABC", world.bot, "BROWSE_PROJECTS")
    assert shape_of_error(world.call("GET", f"issue/{ticket}")) == (404, True)
    assert world.json("POST", "issue/bulkfetch", json={"issueIdsOrKeys": [ticket]})["issues"] == []
    assert world.json("POST", "search/jql", json={"jql": "project = ABC"})["issues"] == []


def test_without_transition_permission_no_move_is_offered(world: World, ticket: str) -> None:
    """The list is empty rather than an error."""
    world.site.revoke("ABC", world.bot, "TRANSITION_ISSUES")
    assert world.json("GET", f"issue/{ticket}/transitions")["transitions"] == []


# Moves


def test_a_move_reaches_its_target_status(ada: Person, ticket: str) -> None:
    """By default every status can be reached from anywhere."""
    ada.move(ticket, "Done")
    fields = ada.read(ticket)["fields"]
    assert (fields["status"]["statusCategory"]["key"], fields["resolution"]) == ("done", {"name": "Done"})
    ada.move(ticket, "Backlog")
    assert ada.read(ticket)["fields"]["resolution"] is None


def test_a_restricted_workflow_offers_only_its_moves(world: World, ada: Person) -> None:
    """What the graph lacks is neither offered nor possible, and names may differ from statuses."""
    flow = Workflow(
        moves={"Backlog": ("Plan Review",), "Plan Review": ("In Progress",)},
        names={"Plan Review": "Send for review"},
    )
    world.site.add_project("FLO", workflow=flow)
    key = ada.create_ticket("Flow", project="FLO")
    offered = world.json("GET", f"issue/{key}/transitions")["transitions"]
    assert [(one["name"], one["to"]["name"]) for one in offered] == [("Send for review", "Plan Review")]
    wrong = {"transition": {"id": "31"}}
    assert world.call("POST", f"issue/{key}/transitions", json=wrong).status_code == 400
    ada.move(key, "Plan Review")
    ada.move(key, "In Progress")
    assert world.json("GET", f"issue/{key}/transitions")["transitions"] == []


def test_a_transition_insists_on_its_required_field(world: World, ada: Person) -> None:
    """The screen is described with its choices; missing, foreign and impossible values are refused."""
    world.site.add_project("RES", workflow=Workflow(screens={"Done": (RESOLUTION,)}))
    key = ada.create_ticket("Resolve", project="RES")
    shown = world.json("GET", f"issue/{key}/transitions?expand=transitions.fields")["transitions"]
    done = next(one for one in shown if one["to"]["name"] == "Done")
    assert done["fields"]["resolution"]["required"] is True
    assert {one["name"] for one in done["fields"]["resolution"]["allowedValues"]} >= {"Done", "Won't Do"}
    for fields in ({}, {"resolution": {"name": "Nope"}}, {"resolution": {"name": "Done"}, "labels": ["x"]}):
        with pytest.raises(Refused, match="400"):
            ada.move(key, "Done", fields=fields)
    ada.move(key, "Done", fields={"resolution": {"name": "Won't Do"}})
    assert ada.read(key)["fields"]["resolution"] == {"name": "Won't Do"}


def test_a_team_managed_project_has_three_statuses_and_its_own_ids(world: World) -> None:
    """Type "Subtask", To Do / In Progress / Done, and ids that no other project shares."""
    world.site.add_project("TEA", style="team")
    mine = world.json("GET", "project/TEA/statuses")
    other = world.json("GET", "project/ABC/statuses")
    assert {one["name"] for one in mine if one["subtask"]} == {"Subtask"}
    assert {status["name"] for one in mine for status in one["statuses"]} == {"To Do", "In Progress", "Done"}
    ids = [{status["id"] for one in found for status in one["statuses"]} for found in (mine, other)]
    assert ids[0] & ids[1] == set()
    assert world.json("GET", "project/TEA")["style"] == "next-gen"


def test_statuses_can_be_named_anything(world: World, ada: Person) -> None:
    """A type with its own statuses starts in the first of them."""
    own = [StatusSpec(name="Neu", category="new"), StatusSpec(name="Fertig", category="done")]
    world.site.add_project("DE", statuses={"Story": own})
    key = ada.create_ticket("Deutsch", project="DE")
    assert ada.status(key) == "Neu"
    ada.move(key, "Fertig")
    assert ada.status(key) == "Fertig"


# History


def test_every_change_is_in_the_changelog_with_its_author(world: World, ada: Person, ticket: str) -> None:
    """Assignee, status, labels and summary leave old and new values, by whoever changed them."""
    ada.assign(ticket, world.bot)
    world.person(world.bob).move(ticket, "In Progress")
    ada.label(ticket, add=["x"])
    changes = world.json("GET", f"issue/{ticket}/changelog")["values"]
    told = [
        (change["author"]["displayName"], item["field"], item["fromString"], item["toString"])
        for change in changes
        for item in change["items"]
    ]
    assert told == [
        ("Ada", "assignee", None, "AI Runner"),
        ("Bob", "status", "Backlog", "In Progress"),
        ("Ada", "labels", "", "x"),
    ]
    assert changes[0]["items"][0]["to"] == world.bot


def test_setting_what_is_already_so_leaves_no_trace(world: World, ada: Person, ticket: str) -> None:
    """A repeated write is not a change and raises no event."""
    ada.assign(ticket, world.bot)
    heard = world.events()
    ada.assign(ticket, world.bot)
    ada.label(ticket, remove=["absent"])
    assert world.json("GET", f"issue/{ticket}/changelog")["total"] == 1
    assert heard == []


def test_times_are_in_jiras_form_and_strictly_increase(world: World, ada: Person, ticket: str) -> None:
    """Even on a clock that stands still, later writes carry later milliseconds."""
    for number in range(3):
        ada.label(ticket, add=[f"l{number}"])
    created = [one["created"] for one in world.json("GET", f"issue/{ticket}/changelog")["values"]]
    assert created == sorted(set(created))
    assert ada.read(ticket)["fields"]["created"] == "2026-11-22T10:00:00.000+0000"


@pytest.mark.parametrize("what", ["changelog", "comment"])
def test_long_lists_come_in_pages(world: World, ada: Person, ticket: str, what: str) -> None:
    """A page never holds more than the server allows, whatever was asked for; nothing is lost."""
    world.site.page_limit = 2
    for number in range(5):
        ada.label(ticket, add=[f"l{number}"])
        ada.comment(ticket, f"comment {number}")
    name = "values" if what == "changelog" else "comments"
    seen: list[str] = []
    while len(seen) < 5:
        page = world.json("GET", f"issue/{ticket}/{what}?startAt={len(seen)}&maxResults=50")
        assert (page["total"], page["maxResults"], len(page[name]) <= 2) == (5, 2, True)
        seen += [one["id"] for one in page[name]]
    assert len(set(seen)) == 5


# Comments


def test_an_edited_comment_keeps_its_author_and_names_its_editor(
    world: World, ada: Person, ticket: str
) -> None:
    """``author`` wrote it, ``updateAuthor`` changed it last, ``updated`` moves."""
    written = world.json("POST", f"issue/{ticket}/comment", json={"body": doc("plan")})
    world.site.grant("ABC", world.ada, "EDIT_ALL_COMMENTS")
    ada.edit_comment(ticket, written["id"], "plan, changed")
    [now] = ada.comments(ticket)
    assert (now["author"]["accountId"], now["updateAuthor"]["accountId"]) == (world.bot, world.ada)
    assert now["updated"] > now["created"] == written["created"]


def test_other_peoples_comments_need_their_own_permission(world: World, ada: Person, ticket: str) -> None:
    """A member edits and deletes only what they wrote."""
    comment = ada.comment(ticket, "mine")
    body = {"body": doc("yours")}
    assert world.call("PUT", f"issue/{ticket}/comment/{comment}", json=body).status_code == 400
    assert world.call("DELETE", f"issue/{ticket}/comment/{comment}").status_code == 400
    ada.delete_comment(ticket, comment)
    assert world.call("GET", f"issue/{ticket}/comment/{comment}").status_code == 404


def test_a_restricted_comment_is_seen_by_its_role_only(world: World, ada: Person, ticket: str) -> None:
    """Others do not see that it exists; those who see it see the restriction."""
    world.site.add_to_role("ABC", "Administrators", world.ada)
    ada.comment(ticket, "secret", restricted_to="Administrators")
    assert world.json("GET", f"issue/{ticket}/comment")["total"] == 0
    assert ada.comments(ticket)[0]["visibility"]["value"] == "Administrators"
    with pytest.raises(Refused, match="400"):
        ada.comment(ticket, "secret", restricted_to="Nobody")


def test_comments_can_be_read_newest_first(world: World, ada: Person, ticket: str) -> None:
    """``orderBy=-created`` reverses the list."""
    ids = [ada.comment(ticket, text) for text in ("one", "two")]
    page = world.json("GET", f"issue/{ticket}/comment?orderBy=-created")
    assert [one["id"] for one in page["comments"]] == ids[::-1]


def test_comment_properties_travel_with_the_comment(world: World, ticket: str) -> None:
    """They are set in the create call and shown when asked for."""
    body = {"body": doc("x"), "properties": [{"key": "marker", "value": {"n": 1}}]}
    comment = world.json("POST", f"issue/{ticket}/comment", json=body)["id"]
    page = world.json("GET", f"issue/{ticket}/comment?expand=properties")
    assert page["comments"][0]["properties"] == [{"key": "marker", "value": {"n": 1}}]
    assert world.json("GET", f"comment/{comment}/properties/marker")["value"] == {"n": 1}


def test_text_over_the_limit_is_refused_in_jiras_words(world: World, ticket: str) -> None:
    """32,767 characters fit, one more does not."""
    fits = {"body": doc("x" * 32_767)}
    assert world.call("POST", f"issue/{ticket}/comment", json=fits).status_code == 201
    response = world.call("POST", f"issue/{ticket}/comment", json={"body": doc("x" * 32_768)})
    assert response.status_code == 400
    assert "exceeds the allowed limit of 32,767" in response.text


def test_a_service_project_tells_internal_comments_apart(world: World) -> None:
    """``jsdPublic`` is false for an internal note, and the project says its kind."""
    world.site.add_project("SD", kind="service_desk")
    key = world.person(world.ada).create_ticket("Help", project="SD")
    internal = {"key": "sd.public.comment", "value": {"internal": True}}
    world.json("POST", f"issue/{key}/comment", json={"body": doc("note"), "properties": [internal]})
    world.json("POST", f"issue/{key}/comment", json={"body": doc("answer")})
    shown = world.json("GET", f"issue/{key}/comment")["comments"]
    assert [one["jsdPublic"] for one in shown] == [False, True]
    assert world.json("GET", "project/SD")["projectTypeKey"] == "service_desk"


# What hangs on a ticket


def test_a_remote_link_with_the_same_global_id_is_replaced(world: World, ticket: str) -> None:
    """201 the first time, 200 after that, and members left out are gone."""
    link = {
        "globalId": "pr#1",
        "relationship": "implements",
        "object": {"url": "http://x/1", "title": "PR 1"},
    }
    assert world.call("POST", f"issue/{ticket}/remotelink", json=link).status_code == 201
    again = {"globalId": "pr#1", "object": {"url": "http://x/1", "title": "PR 1, merged"}}
    assert world.call("POST", f"issue/{ticket}/remotelink", json=again).status_code == 200
    [shown] = world.json("GET", f"issue/{ticket}/remotelink")
    assert (shown["object"]["title"], "relationship" in shown) == ("PR 1, merged", False)
    assert world.json("GET", f"issue/{ticket}/remotelink", params={"globalId": "pr#1"})["id"] == shown["id"]
    assert world.call("GET", f"issue/{ticket}/remotelink", params={"globalId": "x"}).status_code == 404


def test_attachment_contents_are_on_another_host_that_refuses_credentials(
    world: World, ada: Person, ticket: str
) -> None:
    """The content redirects elsewhere; Jira's credentials are refused there, and none are needed."""
    file = ada.attach(ticket, "log.txt", b"hello")
    [listed] = ada.read(ticket)["fields"]["attachment"]
    assert (listed["filename"], listed["size"]) == ("log.txt", 5)
    assert world.json("GET", f"attachment/{file}")["id"] == int(file)
    moved = world.call("GET", f"attachment/content/{file}")
    assert moved.status_code == 303
    place = moved.headers["Location"]
    assert not place.startswith(world.sandbox.url)
    assert requests.get(place, auth=("a", "b"), timeout=10).status_code == 400
    assert requests.get(place, timeout=10).content == b"hello"
    assert world.call("GET", f"attachment/content/{file}?redirect=false").content == b"hello"


def test_an_attachment_needs_the_no_check_header(world: World, ticket: str) -> None:
    """Without X-Atlassian-Token Jira suspects a browser form; a file over the limit is 413."""
    files = {"file": ("a.txt", b"x")}
    assert world.call("POST", f"issue/{ticket}/attachments", files=files).status_code == 403
    world.site.attachment_limit = 0
    headers = {"X-Atlassian-Token": "no-check"}
    response = world.call("POST", f"issue/{ticket}/attachments", files=files, headers=headers)
    assert response.status_code == 413


def test_linked_tickets_see_each_other(world: World, ada: Person, ticket: str) -> None:
    """Each end shows the other one, with the relation seen from there."""
    other = ada.create_ticket("Other", project="ABC")
    ada.link(ticket, other)
    [link] = ada.read(ticket)["fields"]["issuelinks"]
    assert (link["outwardIssue"]["key"], link["type"]["outward"]) == (other, "blocks")
    [back] = ada.read(other)["fields"]["issuelinks"]
    assert (back["inwardIssue"]["key"], back["type"]["inward"]) == (ticket, "is blocked by")
    assert world.call("DELETE", f"issueLink/{link['id']}").status_code == 204


def test_issue_properties_are_kept_and_limited(world: World, ticket: str) -> None:
    """201 when new, 200 after that, 404 when absent, 400 over 32,768 bytes."""
    path = f"issue/{ticket}/properties/state"
    assert [world.call("PUT", path, json={"n": n}).status_code for n in (1, 2)] == [201, 200]
    assert world.json("GET", path)["value"] == {"n": 2}
    assert world.json("GET", f"issue/{ticket}/properties")["keys"][0]["key"] == "state"
    assert world.call("PUT", path, json="x" * 32_768).status_code == 400
    assert [world.call("DELETE", path).status_code for _ in range(2)] == [204, 404]


def test_watchers_come_and_go(world: World, ticket: str) -> None:
    """An account watches after being added."""
    assert world.call("POST", f"issue/{ticket}/watchers", json=world.bot).status_code == 204
    assert world.json("GET", f"issue/{ticket}/watchers")["watchCount"] == 1
    world.call("DELETE", f"issue/{ticket}/watchers?accountId={world.bot}")
    assert world.json("GET", f"issue/{ticket}/watchers")["watchers"] == []


def test_the_site_describes_itself(world: World, ticket: str) -> None:
    """Fields, types, statuses, labels, projects and link types can be listed."""
    world.person(world.ada).label(ticket, add=["x"])
    assert {"summary", "labels"} <= {one["id"] for one in world.json("GET", "field")}
    assert {one["name"] for one in world.json("GET", "issuetype")} >= {"Epic", "Sub-task"}
    assert world.json("GET", f"issuetype/project?projectId={world.project.id}&level=-1")[0]["subtask"] is True
    assert {one["name"] for one in world.json("GET", "status")} >= {"Plan Review", "In Testing"}
    assert world.json("GET", "status/done")["statusCategory"]["key"] == "done"
    assert world.json("GET", "label")["values"] == ["x"]
    assert [one["key"] for one in world.json("GET", "project/search")["values"]] == ["ABC"]
    assert len(world.json("GET", "issueLinkType")["issueLinkTypes"]) == 4
    assert world.json("GET", "serverInfo", token=None)["deploymentType"] == "Cloud"
    assert world.json("GET", "attachment/meta")["enabled"] is True
    change = world.json("GET", f"issue/{ticket}/changelog")["values"][0]["id"]
    chosen = {"changelogIds": [int(change)]}
    assert len(world.json("POST", f"issue/{ticket}/changelog/list", json=chosen)["histories"]) == 1
    comment = world.person(world.ada).comment(ticket, "x")
    listed = world.json("POST", "comment/list?expand=properties", json={"ids": [int(comment), 1]})
    assert [one["id"] for one in listed["values"]] == [comment]
    expanded = world.json("GET", f"issue/{ticket}?expand=changelog,names,transitions")
    assert expanded["changelog"]["total"] == 1


# Search


@pytest.fixture
def three(world: World, ada: Person) -> list[str]:
    """Three stories: labelled and assigned to the runner, in progress, done with a sub-task."""
    keys = [ada.create_ticket(name, project="ABC") for name in ("One", "Two", "Three")]
    ada.label(keys[0], add=["ai-runner", "ai:ignore"])
    ada.assign(keys[0], world.bot)
    ada.move(keys[1], "In Progress")
    ada.move(keys[2], "Done")
    ada.create_ticket("Child", type="Sub-task", project="ABC", parent=keys[2])
    return keys


@pytest.mark.parametrize(
    ("jql", "expected"),
    [
        ("project = ABC AND issuetype = Story ORDER BY key", [0, 1, 2]),
        ("project in (ABC) and type in (Story, Bug) order by key DESC", [2, 1, 0]),
        ("assignee = currentUser()", [0]),
        ("assignee in (currentUser(), EMPTY) AND issuetype != Sub-task ORDER BY key", [0, 1, 2]),
        ("assignee is EMPTY AND type = Story ORDER BY created ASC", [1, 2]),
        ("assignee is not EMPTY", [0]),
        ("labels = ai-runner", [0]),
        ('labels in ("ai-runner", other) AND labels not in (absent)', [0]),
        ("labels not in (ai-runner)", []),
        ('status = "In Progress"', [1]),
        ("status != Backlog AND type = Story ORDER BY key", [1, 2]),
        ("statusCategory = Done", [2]),
        ('statusCategory in ("To Do", indeterminate) AND type = Story ORDER BY key', [0, 1]),
        ("statusCategory != done AND type = Story ORDER BY updated DESC", [1, 0]),
        ("key in (ABC-1, ABC-3) ORDER BY key ASC", [0, 2]),
        ("parent = ABC-3", [3]),
        ("resolution = Unresolved AND type = Story ORDER BY key", [0, 1]),
        ("NOT (status = Done OR labels = ai-runner) AND type = Story", [1]),
        ('updated >= -7d AND (status = Backlog OR status = "Done") AND type=Story ORDER BY key', [0, 2]),
        ("updated < -1d AND project = ABC", []),
        ('created > "2020-01-01" AND type = Sub-task', [3]),
    ],
)
def test_a_query_finds_what_it_says(world: World, three: list[str], jql: str, expected: list[int]) -> None:
    """Clauses, lists, functions, negation, nesting, relative dates and order are understood."""
    keys = [*three, "ABC-4"]
    found = world.json("POST", "search/jql", json={"jql": jql, "fields": ["summary"]})["issues"]
    assert [one["key"] for one in found] == [keys[number] for number in expected]


@pytest.mark.parametrize(
    "jql",
    [
        "",
        "ORDER BY key",
        "colour = red",
        "project = NOPE",
        "status = Nope",
        "assignee = nobody",
        "key = ABC-99",
        "project = ",
        "project ABC",
        "(project = ABC",
        "project = ABC AND",
        "project = ABC foo",
        "assignee = membersOf()",
        "updated >= soon",
        "project = ABC ORDER BY colour",
        "labels is here",
        "project = @ 'x",
        "labels = a.b",
    ],
)
def test_a_query_that_jira_would_not_understand_is_400(world: World, jql: str) -> None:
    """Unknown fields, functions and values are refused, and so is a query without a restriction."""
    assert shape_of_error(world.call("GET", "search/jql", params={"jql": jql})) == (400, True)


def test_search_pages_by_token_and_gives_ids_only(world: World, three: list[str]) -> None:
    """Without fields only ids come; the token leads on until the last page and fits its query only."""
    first = world.json("GET", "search/jql", params={"jql": "project = ABC", "maxResults": 3})
    assert (len(first["issues"]), first["isLast"], set(first["issues"][0])) == (3, False, {"id"})
    more = {"jql": "project = ABC", "nextPageToken": first["nextPageToken"], "fields": ["key"]}
    rest = world.json("POST", "search/jql", json=more)
    assert (len(rest["issues"]), rest["isLast"]) == (1, True)
    wrong = {"jql": "labels = x", "nextPageToken": first["nextPageToken"]}
    assert world.call("POST", "search/jql", json=wrong).status_code == 400
    assert world.json("POST", "search/approximate-count", json={"jql": "project = ABC"})["count"] == 4


def test_search_lags_behind_writes_unless_reconciled(world: World, ada: Person, ticket: str) -> None:
    """A new ticket is not found and a changed one looks as before, until enough searches or reconciliation."""
    world.site.search_lag = 2
    ada.label(ticket, add=["fresh"])
    new = ada.create_ticket("New", project="ABC")
    ask = {"jql": "project = ABC", "fields": ["labels"]}
    first = world.json("POST", "search/jql", json=ask)["issues"]
    assert [(one["key"], one["fields"]["labels"]) for one in first] == [(ticket, [])]
    number = int(world.json("GET", f"issue/{ticket}")["id"])
    reconciled = world.json("POST", "search/jql", json={**ask, "reconcileIssues": [number]})["issues"]
    assert [(one["key"], one["fields"]["labels"]) for one in reconciled] == [(ticket, ["fresh"])]
    assert {one["key"] for one in world.json("POST", "search/jql", json=ask)["issues"]} == {ticket, new}


def test_bulk_fetch_sorts_by_id_and_skips_what_is_missing(world: World, three: list[str]) -> None:
    """The order of the request is not kept."""
    body = {"issueIdsOrKeys": [three[2], "ABC-99", three[0]], "fields": ["status"]}
    found = world.json("POST", "issue/bulkfetch", json=body)["issues"]
    assert [one["key"] for one in found] == [three[0], three[2]]


# Requests that are no requests


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [("{", "application/json", 400), ("", "application/json", 400), ("a=b", "text/plain", 415)],
)
def test_a_body_that_is_no_json_is_refused(
    world: World, ticket: str, data: str, content_type: str, status: int
) -> None:
    """Broken, absent and foreign bodies are told apart."""
    headers = {"Content-Type": content_type}
    response = world.call("POST", f"issue/{ticket}/comment", data=data, headers=headers)
    assert shape_of_error(response) == (status, True)


# Faults and events


def test_a_fault_is_answered_before_anything_happens(world: World, ada: Person, ticket: str) -> None:
    """The hook's response is sent and the request is not applied."""
    world.sandbox.faults = lambda _request: Response("busy", status=503)
    assert world.call("PUT", f"issue/{ticket}/assignee", json={"accountId": world.bot}).status_code == 503
    world.sandbox.faults = None
    assert ada.assignee(ticket) is None


def test_a_lost_answer_leaves_the_change(world: World, ada: Person, ticket: str) -> None:
    """The change is made and the caller is told something else, or hears nothing."""

    def lose(request: Request) -> Response | None:
        if request.method == "PUT":
            raise ConnectionResetError("lost")
        return None

    world.sandbox.lost = lose
    with pytest.raises(requests.ConnectionError):
        world.call("PUT", f"issue/{ticket}/assignee", json={"accountId": world.bot})
    world.sandbox.lost = None
    assert ada.assignee(ticket) == world.bot


def test_each_change_raises_its_event(world: World, ada: Person) -> None:
    """Created, assigned, labelled, transitioned, commented, updated: once each, with who did it."""
    heard = world.events()
    key = ada.create_ticket("Events", project="ABC")
    ada.assign(key, world.bot)
    ada.label(key, add=["x"])
    ada.move(key, "In Progress")
    ada.comment(key, "hello")
    ada.rewrite(key, summary="Renamed")
    kinds = ["created", "assigned", "labelled", "transitioned", "commented", "updated"]
    assert [(one.kind, one.issue_key, one.initiator) for one in heard] == [
        (kind, key, world.ada) for kind in kinds
    ]
    assert heard[2].details["items"][0]["toString"] == "x"


def test_listeners_hear_of_a_change_before_its_request_is_answered(world: World, ticket: str) -> None:
    """They may call Jira themselves: nothing is locked while they run."""
    seen: list[int] = []
    world.site.listeners.append(
        lambda event: seen.append(world.call("GET", f"issue/{event.issue_key}").status_code)
    )
    world.person(world.ada).assign(ticket, world.bot)
    assert seen == [200]


def test_parallel_writes_lose_nothing(world: World, ticket: str) -> None:
    """Labels added from many threads are all there, each in its own changelog entry."""
    people = [world.person(world.ada) for _ in range(8)]
    threads = [
        threading.Thread(target=person.label, args=(ticket,), kwargs={"add": [f"l{number}"]})
        for number, person in enumerate(people)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(people[0].read(ticket)["fields"]["labels"]) == 8
    assert world.json("GET", f"issue/{ticket}/changelog")["total"] == 8


def test_the_clock_can_be_moved(world: World, ada: Person, ticket: str) -> None:
    """Times come from the site's clock."""
    world.clock.now += timedelta(days=2)
    ada.label(ticket, add=["x"])
    assert ada.read(ticket)["fields"]["updated"].startswith("2026-11-24T10:00:00")
