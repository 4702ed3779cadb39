"""The Jira adapter: over HTTP against the embedded Jira, and against shapes that one does not show.

Every exchange of the first kind is held against Jira's published contract.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.wrappers import Request, Response

from runner.adapters import jira_records
from runner.adapters.http import RetryPolicy
from runner.adapters.http_failures import BadRequest, Forbidden
from runner.adapters.jira import JiraTickets, connect
from runner.core.model import Account, TicketType, iso
from runner.errors import Ambiguous, ConfigError, Conflict, NotFound, Unauthorized, Unavailable
from runner.ports import CommentBody, NewSubTask, Tickets
from runner.sandbox.jira import JiraSandbox, JiraSite
from runner.sandbox.jira.adf import from_text
from runner.sandbox.jira.projects import RESOLUTION, FieldSpec, Workflow
from runner.sandbox.people import Person
from runner.sandbox.server import Recorder
from tests import contracts
from tests.adapters.http_answers import VirtualClock

TEAM = FieldSpec(id="customfield_10050", name="Team", is_required=True)
RISK = FieldSpec(
    id="customfield_10051", name="Risk", type="option", options=("low", "high"), is_required=False
)
WORKFLOW = Workflow(screens={"Done": (RESOLUTION,)}, names={"Done": "Finish it"})
MARKER = "ai-runner v1 plan ABC-1 acme/shop eJw"


class World:
    """A site with a runner and a person, and the runner's adapter."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.site = JiraSite()
        self.recorder = Recorder()
        self.sandbox = JiraSandbox(self.site, recorder=self.recorder)
        self.bot = self.site.add_user("AI Runner", email="bot@example.com", token="bot-token")
        self.ada_id = self.site.add_user("Ada", email="ada@example.com", token="ada-token")
        self.project = self.site.add_project("ABC", workflow={"Story": WORKFLOW})

    def adapter(self, **options: Any) -> JiraTickets:
        fields = options.pop("text_fields", ())
        settings = {"email": "bot@example.com", "token": "bot-token", **options}
        base = settings.pop("base_url", self.sandbox.url)
        policy = RetryPolicy(read_timeout=5.0)
        return JiraTickets(connect(base, clock=self.clock, policy=policy, **settings), text_fields=fields)

    @property
    def ada(self) -> Person:
        return Person(self.sandbox, self.ada_id)

    def story(self, summary: str = "Add a limiter", **options: Any) -> str:
        return self.ada.create_ticket(summary, project="ABC", **options)

    def lose_once(self, method: str, path: str) -> list[str]:
        """Drop the answer of the next matching request after it was applied; returns the requests lost."""
        lost: list[str] = []

        def hook(request: Request) -> Response | None:
            if not lost and request.method == method and re.search(path, request.path):
                lost.append(request.path)
                return Response("gateway", status=502)
            return None

        self.sandbox.lost = hook
        return lost

    def fail(self, count: int, method: str, path: str, answer: Callable[[], Response]) -> list[str]:
        """Answer the next matching requests before they are handled; returns the requests that failed."""
        failed: list[str] = []

        def hook(request: Request) -> Response | None:
            if len(failed) < count and request.method == method and re.search(path, request.path):
                failed.append(request.path)
                return answer()
            return None

        self.sandbox.faults = hook
        return failed

    def sent(self, method: str, path: str) -> list[dict[str, Any]]:
        """Recorded exchanges of the runner."""
        return [
            each
            for each in self.recorder.exchanges
            if each["method"] == method
            and re.search(path, each["path"])
            and each["headers"].get("User-Agent") == "ai-runner"
        ]


@pytest.fixture
def world() -> Iterator[World]:
    """A running site; afterwards everything that was answered fits the contract."""
    one = World()
    with one.sandbox:
        yield one
    answered = [exchange for exchange in one.recorder.exchanges if exchange["status"] < 400]
    assert contracts.violations(answered) == []


@pytest.fixture
def jira(world: World) -> JiraTickets:
    return world.adapter()


def comment(markdown: str = "Hello", **options: Any) -> CommentBody:
    return CommentBody(markdown=markdown, **options)


def sub_task(world: World, parent: str, **options: Any) -> NewSubTask:
    kind = next(each for each in world.project.types.values() if each.level < 0)
    values: dict[str, Any] = {
        "parent_key": parent,
        "project_id": world.project.id,
        "type_id": kind.id,
        "summary": "Part one",
        "description": "# Goal\n\n- do it",
        "labels": ("ai-runner", "ai-item-k1"),
        "assignee_id": world.bot,
        "fields": {},
    }
    return NewSubTask(**{**values, **options})


# Access


def test_the_adapter_is_the_port(jira: JiraTickets) -> None:
    """It stands wherever the core asks for Tickets."""
    tickets: Tickets = jira
    assert tickets.myself().name == "AI Runner"


def test_myself_is_the_tokens_account(world: World, jira: JiraTickets) -> None:
    """The account id is what assignments and authorship are compared with."""
    assert jira.myself() == Account(id=world.bot, name="AI Runner")


def test_a_scoped_token_works_at_the_gateway(world: World) -> None:
    """With the cloud id in the base address, a scoped token reads and writes."""
    world.site.add_token(world.bot, "scoped", scoped=True)
    key = world.story()
    jira = world.adapter(base_url=world.sandbox.scoped_url, token="", email="", bearer_token="scoped")
    jira.edit(key, add_labels=["ai-runner"])
    assert jira.ticket(key).labels == {"ai-runner"}


@pytest.mark.parametrize("options", [{"token": "wrong"}, {"bearer_token": "wrong"}])
def test_a_wrong_token_is_a_setup_problem(world: World, options: dict[str, str]) -> None:
    """The remedy names the secret, and where scoped tokens belong."""
    with pytest.raises(Unauthorized) as caught:
        world.adapter(**options).myself()
    assert "JIRA_API_TOKEN" in caught.value.remedy
    assert "ex/jira/<cloudId>" in caught.value.remedy


def test_a_scoped_token_at_the_site_address_is_a_setup_problem(world: World) -> None:
    """Jira answers 401 there, and so it is told."""
    world.site.add_token(world.bot, "scoped", scoped=True)
    with pytest.raises(Unauthorized):
        world.adapter(token="scoped").myself()


@pytest.mark.parametrize("given", [{}, {"email": "bot@example.com"}, {"token": "t"}])
def test_no_token_is_a_setup_problem(given: dict[str, Any]) -> None:
    """Half a credential is none."""
    with pytest.raises(ConfigError, match="no token"):
        connect("https://jira.example", **given)


# Reading one ticket


def test_a_ticket_is_read_in_full(world: World) -> None:
    """Fields, people, labels, status with its category, and times in UTC."""
    key = world.story(description="# Why\n\n- one\n- two", labels=["b", "a"])
    world.ada.assign(key, world.bot)
    ticket = world.adapter().ticket(key)
    assert (ticket.key, ticket.project_key, ticket.summary) == (key, "ABC", "Add a limiter")
    assert ticket.project_id == world.project.id
    assert ticket.type == TicketType(id=ticket.type.id, name="Story", level=0)
    assert (ticket.status.name, ticket.status.category) == ("Backlog", "new")
    assert ticket.assignee == Account(id=world.bot, name="AI Runner")
    assert ticket.reporter == ticket.creator == Account(id=world.ada_id, name="Ada")
    assert ticket.labels == {"a", "b"}
    assert ticket.description == "# Why\n\n- one\n- two"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", ticket.created)
    assert ticket.updated >= ticket.created
    assert ticket.is_detailed


def test_an_empty_ticket_is_read_as_empty(world: World, jira: JiraTickets) -> None:
    """No description, assignee, labels or comments."""
    ticket = jira.ticket(world.story())
    assert (ticket.description, ticket.assignee, ticket.labels, ticket.comments) == (
        "",
        None,
        frozenset(),
        (),
    )


def test_comments_are_read_to_the_last_page(world: World, jira: JiraTickets) -> None:
    """However small the pages, every comment is there, oldest first."""
    key = world.story()
    world.site.page_limit = 2
    for number in range(7):
        world.ada.comment(key, f"number {number}")
    comments = jira.ticket(key).comments
    assert [each.text for each in comments] == [f"number {number}" for number in range(7)]
    assert [each.created for each in comments] == sorted(each.created for each in comments)


def test_a_comment_tells_author_and_last_editor(world: World, jira: JiraTickets) -> None:
    """Who wrote it and who changed it last are two people, and the edit has its own time."""
    key = world.story()
    comment_id = jira.add_comment(key, comment("mine"))
    world.site.grant("ABC", world.ada_id, "EDIT_ALL_COMMENTS")
    world.ada.edit_comment(key, comment_id, "theirs")
    (read,) = jira.ticket(key).comments
    assert (read.author.id, read.editor.id, read.text) == (world.bot, world.ada_id, "theirs")
    assert read.updated > read.created


def test_a_restricted_comment_is_counted_and_not_read(world: World, jira: JiraTickets) -> None:
    """Text for one role only stays out, even where the runner could see it."""
    key = world.story()
    world.site.add_to_role("ABC", "Developers", world.ada_id, world.bot)
    world.ada.comment(key, "salaries", restricted_to="Developers")
    (read,) = jira.ticket(key).comments
    assert (read.is_restricted, read.text, read.last_line, read.code_blocks) == (True, "", "", ())


def test_our_machine_parts_are_apart_from_the_text(world: World, jira: JiraTickets) -> None:
    """A marked comment gives its words, its collapsed blocks and its last line separately."""
    key = world.story()
    jira.add_comment(
        key, comment("The **plan**", collapsed=(("Plan data", '{"items": []}'),), last_line=MARKER)
    )
    (read,) = jira.ticket(key).comments
    assert read.text == "The **plan**"
    assert read.code_blocks == (("Plan data", '{"items": []}'),)
    assert read.last_line == MARKER


def test_small_print_of_a_person_is_text(world: World, jira: JiraTickets) -> None:
    """Only a marker's line is taken out; a person's last line in small letters is read."""
    key = world.story()
    jira.add_comment(key, comment("Hello", last_line="and one more thing"))
    (read,) = jira.ticket(key).comments
    assert "and one more thing" in read.text


def test_the_whole_history_is_read_oldest_first(world: World, jira: JiraTickets) -> None:
    """Every changed field is a record with its author, from all pages."""
    key = world.story()
    world.site.page_limit = 2
    world.ada.assign(key, world.bot)
    for status in ("Plan Review", "In Progress", "Blocked", "In Progress"):
        world.ada.move(key, status)
    world.ada.label(key, add=["ai:stop"])
    history = jira.ticket(key).history
    assert [(each.field, each.new) for each in history] == [
        ("assignee", "AI Runner"),
        ("status", "Plan Review"),
        ("status", "In Progress"),
        ("status", "Blocked"),
        ("status", "In Progress"),
        ("labels", "ai:stop"),
    ]
    assert (history[0].new_id, history[0].author.id) == (world.bot, world.ada_id)
    assert (history[4].old, history[4].at) == ("Blocked", max(each.at for each in history[:5]))


def test_sub_tasks_keep_jiras_order(world: World, jira: JiraTickets) -> None:
    """Keys come from the parent, in the order people see, and not from a search that lags."""
    parent = world.story()
    world.site.search_lag = 99
    keys = [
        world.ada.create_ticket(f"part {n}", "", "Sub-task", project="ABC", parent=parent) for n in range(3)
    ]
    world.site.issue(parent).sub_task_ids.reverse()
    assert jira.ticket(parent).sub_task_keys == tuple(reversed(keys))
    child = jira.ticket(keys[0])
    assert (child.parent_key, child.type.is_sub_task) == (parent, True)


def test_links_carry_the_relation_as_seen_from_here(world: World, jira: JiraTickets) -> None:
    """Each end reads the words for its own side, with the other ticket's summary, status and description."""
    blocker, blocked = world.story("Limiter", description="Per client."), world.story("Docs")
    world.ada.link(blocker, blocked)
    (there,), (here,) = jira.ticket(blocker).links, jira.ticket(blocked).links
    assert (there.key, there.relation, there.summary) == (blocked, "blocks", "Docs")
    assert (here.key, here.relation, here.description) == (blocker, "is blocked by", "Per client.")
    assert here.status.name == "Backlog"


def test_attachments_are_listed_and_read(world: World, jira: JiraTickets) -> None:
    """A file's name, type, size and author; its bytes come from the media host."""
    key = world.story()
    world.ada.attach(key, "notes.txt", b"read me", "text/plain")
    (file,) = jira.ticket(key).attachments
    assert (file.name, file.media_type, file.size, file.author.id) == (
        "notes.txt",
        "text/plain",
        7,
        world.ada_id,
    )
    assert jira.attachment(file.id, limit=7) == b"read me"


def test_an_attachment_over_the_limit_is_refused(world: World, jira: JiraTickets) -> None:
    """One byte more than allowed is a conflict."""
    file = world.ada.attach(world.story(), "big.bin", b"12345678")
    with pytest.raises(Conflict):
        jira.attachment(file, limit=7)


def test_remote_links_are_read_by_their_global_id(world: World, jira: JiraTickets) -> None:
    """Links without a global id belong to nobody and are left out."""
    key = world.story()
    link = {"global_id": "ai-runner:acme/shop#7", "title": "PR 7", "summary": "open", "is_resolved": False}
    jira.link(key, url="https://github.com/acme/shop/pull/7", **link)  # type: ignore[arg-type]
    world.ada.request("POST", f"issue/{key}/remotelink", json={"object": {"url": "https://x", "title": "x"}})
    assert jira.ticket(key).remote_links == {"ai-runner:acme/shop#7": "https://github.com/acme/shop/pull/7"}


def test_configured_fields_are_read_as_text(world: World) -> None:
    """Further fields are text by id, whatever their type; an empty one is absent."""
    world.site.add_project("CUS", create_fields=[TEAM, RISK])
    values = {TEAM.id: "Blue", RISK.id: {"value": "high"}}
    key = world.ada.create_ticket("x", project="CUS", fields=values)
    plain = world.ada.create_ticket("x", project="CUS", fields={TEAM.id: "Red"})
    jira = world.adapter(text_fields=[TEAM.id, RISK.id])
    assert jira.ticket(key).fields == {TEAM.id: "Blue", RISK.id: "high"}
    assert jira.ticket(plain).fields == {TEAM.id: "Red"}


def test_a_missing_ticket_is_not_found(jira: JiraTickets) -> None:
    """Absent and invisible are one answer."""
    with pytest.raises(NotFound):
        jira.ticket("ABC-999")


@pytest.mark.parametrize("part", ["/issue/[^/]+$", "/comment$", "/changelog$", "/remotelink$", "/bulkfetch$"])
def test_a_failing_part_fails_the_read(world: World, jira: JiraTickets, part: str) -> None:
    """Unknown is not empty: without any one part there is no ticket."""
    key, other = world.story(), world.story()
    world.ada.link(key, other)
    world.fail(99, "POST" if "bulk" in part else "GET", part, lambda: Response("busy", status=503))
    with pytest.raises(Unavailable):
        jira.ticket(key)


def test_a_comment_removed_while_pages_are_read_is_noticed(world: World, jira: JiraTickets) -> None:
    """A list that shrinks under the reader is read again, so none is skipped."""
    key = world.story()
    ids = [world.ada.comment(key, f"number {number}") for number in range(6)]
    world.site.page_limit = 2
    removed: list[str] = []

    def remove_first(request: Request) -> None:
        if not removed and request.path.endswith("/comment") and request.args.get("startAt") == "2":
            removed.append(ids[0])
            issue = world.site.issue(key)
            issue.comments[:] = [each for each in issue.comments if each.id != ids[0]]

    world.sandbox.faults = remove_first
    assert [each.id for each in jira.ticket(key).comments] == ids[1:]


# Reading several


def test_tickets_come_in_the_order_asked(world: World, jira: JiraTickets) -> None:
    """Bulk answers are sorted by id; ours are not. Repeated keys count once."""
    keys = [world.story(f"story {number}") for number in range(3)]
    wanted = [keys[2], keys[0], keys[2]]
    read = jira.tickets(wanted)
    assert [each.key for each in read] == [keys[2], keys[0]]
    assert not any(each.is_detailed for each in read)


def test_more_tickets_than_a_bulk_holds_are_all_read(world: World, jira: JiraTickets) -> None:
    """A parent may have more than a hundred sub-tasks."""
    keys = [world.story(f"story {number}") for number in range(101)]
    assert [each.key for each in jira.tickets(keys)] == keys
    assert len(world.sent("POST", "/bulkfetch")) == 2


def test_a_deleted_ticket_is_left_out(world: World, jira: JiraTickets) -> None:
    """Absence is believed when a read of that very ticket says so."""
    key = world.story()
    assert [each.key for each in jira.tickets(["ABC-999", key])] == [key]
    assert [each["status"] for each in world.sent("GET", "/issue/ABC-999$")] == [404]


def test_an_absence_that_cannot_be_confirmed_fails_the_read(world: World, jira: JiraTickets) -> None:
    """A bulk answer without a ticket proves nothing by itself."""
    world.fail(99, "GET", "/issue/ABC-999$", lambda: Response("busy", status=503))
    with pytest.raises(Unavailable):
        jira.tickets(["ABC-999", world.story()])


def test_nothing_asked_is_no_request(jira: JiraTickets) -> None:
    """A parent without sub-tasks costs nothing."""
    assert jira.tickets([]) == ()
    assert jira.http.reads == 0


def test_search_pages_until_the_end_or_the_limit(world: World, jira: JiraTickets) -> None:
    """Keys from every page, and never more than asked for."""
    keys = {world.story(f"story {number}") for number in range(5)}
    world.site.page_limit = 2
    assert set(jira.search("project = ABC", limit=100)) == keys
    assert len(jira.search("project = ABC", limit=3)) == 3
    assert jira.search("project = ABC AND labels = nothing", limit=100) == ()


# What a project allows


def test_the_only_sub_task_type_needs_no_name(world: World, jira: JiraTickets) -> None:
    """Whatever it is called in this project."""
    world.site.add_project("TEAM", style="team")
    found = jira.sub_task_type("TEAM", None)
    assert (found.name, found.is_sub_task) == ("Subtask", True)


def test_a_sub_task_type_is_found_whatever_its_case(jira: JiraTickets) -> None:
    """People type names as they remember them."""
    assert jira.sub_task_type("ABC", "sub-TASK").name == "Sub-task"


def test_a_wrong_sub_task_type_names_the_choices(jira: JiraTickets) -> None:
    """The message lists what exists and proposes the nearest."""
    with pytest.raises(ConfigError) as caught:
        jira.sub_task_type("ABC", "Subtask")
    assert "it has: Sub-task" in caught.value.summary
    assert "'Sub-task'" in caught.value.remedy


def test_a_project_out_of_sight_is_not_found(jira: JiraTickets) -> None:
    """A foreign project key is not an empty project."""
    with pytest.raises(NotFound):
        jira.sub_task_type("NOPE", None)


def test_missing_create_fields_are_named(world: World, jira: JiraTickets) -> None:
    """Required fields that nobody gives, by the name people see; and our own that the screen lacks."""
    project = world.site.add_project("CUS", create_fields=[TEAM, RISK], not_on_create=["labels"])
    world.site.page_limit = 2
    kind = next(each.id for each in project.types.values() if each.level < 0)
    assert jira.missing_create_fields("CUS", kind, []) == ("Team", "labels")
    assert jira.missing_create_fields("CUS", kind, [TEAM.id]) == ("labels",)


def test_nothing_is_missing_on_a_default_screen(world: World, jira: JiraTickets) -> None:
    """What every create call carries is not asked for."""
    kind = next(each.id for each in world.project.types.values() if each.level < 0)
    assert jira.missing_create_fields("ABC", kind, []) == ()


def test_editable_fields_are_those_of_the_edit_screen(world: World, jira: JiraTickets) -> None:
    """A field that the screen lacks is not editable, and a reader edits nothing."""
    world.site.add_project("SCR", not_editable=["assignee"])
    key = world.ada.create_ticket("x", project="SCR")
    assert {"labels", "summary"} <= jira.editable_fields(key)
    assert "assignee" not in jira.editable_fields(key)
    world.site.revoke("SCR", world.bot, "EDIT_ISSUES")
    assert jira.editable_fields(key) == frozenset()


def test_assignable_are_active_people_and_apps(world: World, jira: JiraTickets) -> None:
    """Deactivated accounts, customers and people without the permission are not."""
    add = world.site.add_user
    gone = add("Gone", email="g@example.com", token="g", active=False)
    customer = add("Cus", email="c@example.com", token="c", account_type="customer")
    barred = add("Barred", email="b@example.com", token="b")
    app = add("App", email="a@example.com", token="a", account_type="app")
    world.site.revoke("ABC", barred, "ASSIGNABLE_USER")
    asked = [world.ada_id, gone, customer, barred, app, "", "712020:unknown"]
    assert jira.assignable(world.story(), asked) == {world.ada_id, app}


def test_statuses_are_told_for_each_type(world: World, jira: JiraTickets) -> None:
    """In board order, with their categories, by type id."""
    found = jira.statuses("ABC")
    kind = next(each.id for each in world.project.types.values() if each.level < 0)
    assert [each.name for each in found[kind]] == ["Backlog", "In Progress", "In Testing", "Blocked", "Done"]
    assert found[kind][-1].category == "done"
    assert set(found) == set(world.project.types)


def test_transitions_name_target_and_required_fields(world: World, jira: JiraTickets) -> None:
    """Where a move leads, and what it insists on."""
    moves = {each.target: each for each in jira.transitions(world.story())}
    assert (moves["Done"].name, moves["Done"].target_category) == ("Finish it", "done")
    assert moves["Done"].required_fields == ("resolution",)
    assert moves["In Progress"].required_fields == ()


# Writing


def move_id(jira: JiraTickets, key: str, target: str) -> str:
    return next(each.id for each in jira.transitions(key) if each.target == target)


def test_a_move_changes_the_status(world: World, jira: JiraTickets) -> None:
    """With the fields that its screen wants."""
    key = world.story()
    jira.move(key, move_id(jira, key, "Done"), {"resolution": {"name": "Done"}})
    assert world.ada.status(key) == "Done"


def test_a_move_without_its_required_field_says_which(world: World, jira: JiraTickets) -> None:
    """Jira's refusal is told by field."""
    key = world.story()
    with pytest.raises(BadRequest) as caught:
        jira.move(key, move_id(jira, key, "Done"), {})
    assert "resolution" in caught.value.fields


def test_a_move_that_is_not_offered_is_a_conflict(world: World, jira: JiraTickets) -> None:
    """Somebody moved the ticket meanwhile, or the workflow changed."""
    with pytest.raises(Conflict):
        jira.move(world.story(), "999", {})


def test_a_move_whose_answer_is_lost_is_settled_by_reading(world: World, jira: JiraTickets) -> None:
    """The status shows that it worked: no second move."""
    key = world.story()
    target = move_id(jira, key, "In Progress")
    assert world.lose_once("POST", "/transitions$") == []
    jira.move(key, target, {})
    assert world.ada.status(key) == "In Progress"
    assert len(world.sent("POST", "/transitions$")) == 1


def test_a_move_that_never_arrived_is_made_once_more(world: World, jira: JiraTickets) -> None:
    """The status shows that it did not work, after looking for some seconds."""
    key = world.story()
    target = move_id(jira, key, "In Progress")
    failed = world.fail(1, "POST", "/transitions$", lambda: Response("gateway", status=504))
    jira.move(key, target, {})
    assert world.ada.status(key) == "In Progress"
    assert (len(failed), world.clock.sleeps) == (1, [1.0, 3.0, 7.0])


def test_a_move_that_stays_unanswered_is_ambiguous(world: World, jira: JiraTickets) -> None:
    """After one repeat the caller is told."""
    key = world.story()
    target = move_id(jira, key, "In Progress")
    failed = world.fail(9, "POST", "/transitions$", lambda: Response("gateway", status=504))
    with pytest.raises(Ambiguous):
        jira.move(key, target, {})
    assert len(failed) == 2


@pytest.mark.parametrize("allowance", [0.0, 300.0])
def test_a_move_is_not_repeated_unless_it_was_looked_for(
    world: World, jira: JiraTickets, allowance: float
) -> None:
    """Where the status cannot be read, or no time is left to wait for it, the move stays ambiguous."""
    key = world.story()
    target = move_id(jira, key, "In Progress")
    jira.http.pause(300.0 - allowance)
    moves: list[str] = []

    def hook(request: Request) -> Response | None:
        if request.method == "POST":
            moves.append(request.path)
            return Response("gateway", status=504)
        return Response("gateway", status=502) if allowance and moves else None

    world.sandbox.faults = hook
    with pytest.raises(Ambiguous):
        jira.move(key, target, {})
    assert len(moves) == 1


def test_labels_and_assignee_change_in_one_request(world: World, jira: JiraTickets) -> None:
    """The commit point is one write, and leaves other people's labels alone."""
    key = world.story(labels=["theirs", "ai:working"])
    jira.edit(key, add_labels=["ai:planned"], remove_labels=["ai:working"], assignee=world.ada_id)
    ticket = jira.ticket(key)
    assert ticket.labels == {"theirs", "ai:planned"}
    assert ticket.assignee == Account(id=world.ada_id, name="Ada")
    assert len(world.sent("PUT", ".*")) == 1


def test_an_edit_of_nothing_is_no_request(world: World, jira: JiraTickets) -> None:
    """A second run in a row writes nothing."""
    jira.edit(world.story())
    assert jira.http.writes == 0


def test_the_assignee_is_kept_unless_named(world: World, jira: JiraTickets) -> None:
    """Keeping is the default, ``None`` unassigns, an account or its id assigns."""
    key = world.story()
    jira.edit(key, assignee=Account(id=world.ada_id))
    jira.edit(key, add_labels=["x"])
    assert world.ada.assignee(key) == world.ada_id
    jira.edit(key, assignee=None)
    assert world.ada.assignee(key) is None


def test_the_assignee_alone_changes_where_the_screen_lacks_it(world: World, jira: JiraTickets) -> None:
    """The separate address works without the field on the screen; the edit does not."""
    world.site.add_project("SCR", not_editable=["assignee"])
    key = world.ada.create_ticket("x", project="SCR")
    with pytest.raises(BadRequest) as caught:
        jira.edit(key, assignee=world.ada_id)
    assert "assignee" in caught.value.fields
    jira.assign(key, world.ada_id)
    assert world.ada.assignee(key) == world.ada_id
    jira.assign(key, None)
    assert world.ada.assignee(key) is None


def test_a_lost_edit_is_simply_made_again(world: World, jira: JiraTickets) -> None:
    """Adding and removing labels and setting the assignee are the same twice."""
    key = world.story()
    world.lose_once("PUT", "/issue/[^/]+$")
    jira.edit(key, add_labels=["ai:planned"])
    assert jira.ticket(key).labels == {"ai:planned"}


def test_a_comment_returns_its_id_and_can_be_replaced(world: World, jira: JiraTickets) -> None:
    """One comment, edited in place."""
    key = world.story()
    comment_id = jira.add_comment(key, comment("first"))
    jira.edit_comment(key, comment_id, comment("second"))
    (read,) = jira.ticket(key).comments
    assert (read.id, read.text) == (comment_id, "second")


def test_a_lost_comment_is_never_written_twice(world: World, jira: JiraTickets) -> None:
    """The adapter raises, the caller reads back."""
    key = world.story()
    world.lose_once("POST", "/comment$")
    with pytest.raises(Ambiguous):
        jira.add_comment(key, comment("once"))
    assert [each.text for each in jira.ticket(key).comments] == ["once"]


def test_a_limited_comment_is_written_after_the_wait(world: World, jira: JiraTickets) -> None:
    """A rate limit means that nothing was written, so the POST is sent again."""
    key = world.story()
    world.fail(2, "POST", "/comment$", lambda: Response("", status=429, headers={"Retry-After": "5"}))
    jira.add_comment(key, comment("once"))
    assert [each.text for each in jira.ticket(key).comments] == ["once"]
    assert world.clock.sleeps == [5.0, 5.0]


def test_a_sub_task_is_created_complete(world: World, jira: JiraTickets) -> None:
    """Parent, labels, assignee and description travel in the one create call."""
    parent = world.story()
    key = jira.create_sub_task(sub_task(world, parent))
    ticket = jira.ticket(key)
    assert (ticket.parent_key, ticket.summary) == (parent, "Part one")
    assert ticket.labels == {"ai-runner", "ai-item-k1"}
    assert ticket.assignee == Account(id=world.bot, name="AI Runner")
    assert ticket.description == "# Goal\n\n- do it"
    assert jira.ticket(parent).sub_task_keys == (key,)
    assert len(world.sent("PUT", ".*")) == 0


def test_a_sub_task_may_carry_configured_fields_but_not_replace_ours(world: World, jira: JiraTickets) -> None:
    """Defaults for required fields go along; identity is ours."""
    world.project = world.site.add_project("CUS", create_fields=[TEAM])
    parent = world.ada.create_ticket("x", project="CUS", fields={TEAM.id: "Blue"})
    fields = {TEAM.id: "Red", "summary": "theirs"}
    key = jira.create_sub_task(sub_task(world, parent, fields=fields, assignee_id=None))
    ticket = world.adapter(text_fields=[TEAM.id]).ticket(key)
    assert (ticket.fields, ticket.summary, ticket.assignee) == ({TEAM.id: "Red"}, "Part one", None)


def test_a_lost_create_is_never_repeated(world: World, jira: JiraTickets) -> None:
    """One sub-task exists, and the caller is told to look."""
    parent = world.story()
    world.lose_once("POST", "/issue$")
    with pytest.raises(Ambiguous):
        jira.create_sub_task(sub_task(world, parent))
    assert len(jira.ticket(parent).sub_task_keys) == 1


def test_a_sub_task_that_shows_late_is_waited_for(world: World, jira: JiraTickets) -> None:
    """Just after a create, Jira may say 404 for some seconds."""
    body = {"errorMessages": ["Issue does not exist"], "errors": {}}
    failed = world.fail(2, "GET", "/issue/ABC-2$", lambda: Response(json.dumps(body), status=404))
    assert jira.create_sub_task(sub_task(world, world.story())) == "ABC-2"
    assert (len(failed), world.clock.sleeps) == (2, [1.0, 3.0])


def test_a_created_sub_task_that_cannot_be_read_is_ambiguous(world: World, jira: JiraTickets) -> None:
    """It exists; only the caller's own look at the parent settles that it is right."""
    parent = world.story()
    world.fail(99, "GET", "/issue/ABC-2$", lambda: Response("gateway", status=502))
    with pytest.raises(Ambiguous, match="ABC-2"):
        jira.create_sub_task(sub_task(world, parent))


@pytest.mark.parametrize("wrong", ["parent", "labels"])
def test_a_sub_task_created_otherwise_is_a_conflict(world: World, jira: JiraTickets, wrong: str) -> None:
    """Without its parent or its labels nobody would find it again: no further one is made."""
    parent = world.story()

    def spoil(request: Request) -> None:
        if request.method == "GET" and request.path.endswith("/issue/ABC-2"):
            issue = world.site.issue("ABC-2")
            issue.labels = [] if wrong == "labels" else issue.labels
            issue.parent_id = None if wrong == "parent" else issue.parent_id

    world.sandbox.faults = spoil
    with pytest.raises(Conflict, match="ABC-2"):
        jira.create_sub_task(sub_task(world, parent))


def test_a_refused_create_tells_the_fields(world: World, jira: JiraTickets) -> None:
    """The message is fit for the ticket: which field, and what about it."""
    world.project = world.site.add_project("CUS", create_fields=[TEAM])
    parent = world.ada.create_ticket("x", project="CUS", fields={TEAM.id: "Blue"})
    with pytest.raises(BadRequest, match="Team is required") as caught:
        jira.create_sub_task(sub_task(world, parent))
    assert set(caught.value.fields) == {TEAM.id}


def test_a_missing_permission_is_told(world: World, jira: JiraTickets) -> None:
    """Jira's own sentence reaches the reader."""
    key = world.story()
    world.site.revoke("ABC", world.bot, "ADD_COMMENTS")
    with pytest.raises(Forbidden, match="add comments"):
        jira.add_comment(key, comment())


def test_a_remote_link_is_updated_in_place(world: World, jira: JiraTickets) -> None:
    """One link for one global id, however often it is written, also after a lost answer."""
    key = world.story()
    link = {"global_id": "ai-runner:acme/shop#7", "url": "https://x/7", "title": "PR"}
    jira.link(key, summary="open", is_resolved=False, **link)
    world.lose_once("POST", "/remotelink$")
    jira.link(key, summary="merged", is_resolved=True, **link)
    (stored,) = world.ada.request("GET", f"issue/{key}/remotelink")
    assert stored["object"]["summary"] == "merged"
    assert stored["object"]["status"] == {"resolved": True}


@pytest.mark.parametrize("name", ["plan.json", "größe ✅.txt", "../../etc/passwd", 'a"b\r\nX: y.txt'])
def test_a_file_is_attached_under_a_harmless_name(world: World, jira: JiraTickets, name: str) -> None:
    """Bytes arrive as they are; a name can neither climb nor add headers."""
    key = world.story()
    file_id = jira.attach(key, name, b"\x00\xff{}", "application/json")
    (file,) = jira.ticket(key).attachments
    assert (file.id, file.media_type) == (file_id, "application/json")
    assert not set(file.name) & set("/\\\r\n")
    assert jira.attachment(file_id, limit=100) == b"\x00\xff{}"


def test_a_lost_attachment_is_never_sent_twice(world: World, jira: JiraTickets) -> None:
    """The adapter raises, the caller looks at the ticket."""
    key = world.story()
    world.lose_once("POST", "/attachments$")
    with pytest.raises(Ambiguous):
        jira.attach(key, "plan.json", b"{}", "application/json")
    assert len(jira.ticket(key).attachments) == 1


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("comment", lambda jira, key: jira.add_comment(key, comment())),
        ("edit", lambda jira, key: jira.edit(key, add_labels=["x"])),
        ("assign", lambda jira, key: jira.assign(key, None)),
        ("transition", lambda jira, key: jira.move(key, move_id(jira, key, "Blocked"), {})),
        ("attach", lambda jira, key: jira.attach(key, "a", b"", "text/plain")),
    ],
)
def test_a_login_page_is_never_a_success(
    world: World, name: str, call: Callable[[JiraTickets, str], None]
) -> None:
    """A proxy's page with status 200 is no proof of any write."""
    key = world.story()
    page = "<html>Log in</html>"
    hook = lambda request: None if request.method == "GET" else Response(page, mimetype="text/html")  # noqa: E731
    world.sandbox.faults = hook
    world.sandbox.recorder = None
    with pytest.raises(Ambiguous):
        call(world.adapter(), key)


# Shapes the embedded Jira does not show

SITE = "https://jira.example"
API = f"{SITE}/rest/api/3"


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """A transport that answers what a test registers."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def elsewhere() -> JiraTickets:
    """An adapter for a site behind a path."""
    return JiraTickets(connect(SITE, email="me@example.com", token="tok-en", clock=VirtualClock()))


def test_a_site_behind_a_path_keeps_its_path(web: responses.RequestsMock) -> None:
    """The base address may have one, with or without a slash at its end."""
    web.get(f"{SITE}/jira/rest/api/3/myself", json={"accountId": "a"})
    http = connect(f"{SITE}/jira/", email="me@example.com", token="tok-en")
    assert JiraTickets(http).myself().id == "a"


@pytest.mark.parametrize("name", ["issueTypes", "values"])
def test_both_spellings_of_a_page_of_types_are_read(
    web: responses.RequestsMock, elsewhere: JiraTickets, name: str
) -> None:
    """Jira has used two names for the same list."""
    kinds = [
        {"id": "1", "name": "Task", "subtask": False},
        {"id": "2", "name": "Unteraufgabe", "subtask": True},
    ]
    body = {"startAt": 0, "maxResults": 50, "total": 2, name: kinds}
    web.get(f"{API}/issue/createmeta/ABC/issuetypes", json=body)
    assert elsewhere.sub_task_type("ABC", None) == TicketType(id="2", name="Unteraufgabe", level=-1)


def test_several_sub_task_types_need_a_name(web: responses.RequestsMock, elsewhere: JiraTickets) -> None:
    """The message lists them, and a near name proposes the right one."""
    kinds = [{"id": str(n), "name": name, "subtask": True} for n, name in enumerate(["Sub-task", "Sub-bug"])]
    web.get(f"{API}/issue/createmeta/ABC/issuetypes", json={"total": 2, "issueTypes": kinds})
    with pytest.raises(ConfigError, match="several sub-task types: Sub-task, Sub-bug"):
        elsewhere.sub_task_type("ABC", None)
    with pytest.raises(ConfigError) as caught:
        elsewhere.sub_task_type("ABC", "subbug")
    assert "'Sub-bug'" in caught.value.remedy


def test_a_project_without_sub_tasks_is_a_setup_problem(
    web: responses.RequestsMock, elsewhere: JiraTickets
) -> None:
    """No sub-task type, or no permission to create: Jira shows both alike."""
    web.get(f"{API}/issue/createmeta/ABC/issuetypes", json={"total": 0, "issueTypes": []})
    with pytest.raises(ConfigError, match="no sub-task type"):
        elsewhere.sub_task_type("ABC", None)


@pytest.mark.parametrize("name", ["fields", "values"])
def test_both_spellings_of_a_page_of_fields_are_read(
    web: responses.RequestsMock, elsewhere: JiraTickets, name: str
) -> None:
    """A required field with a default is not missing."""
    ours = [
        {"fieldId": each, "name": each, "required": False} for each in ("description", "labels", "assignee")
    ]
    theirs = [
        {"fieldId": "customfield_1", "name": "Team", "required": True, "hasDefaultValue": False},
        {"fieldId": "priority", "name": "Priority", "required": True, "hasDefaultValue": True},
    ]
    body = {"total": 5, name: ours + theirs}
    web.get(f"{API}/issue/createmeta/ABC/issuetypes/2", json=body)
    assert elsewhere.missing_create_fields("ABC", "2", []) == ("Team",)


def issue(**fields: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "project": {"id": "1", "key": "ABC", "projectTypeKey": "business"},
        "issuetype": {"id": "3", "name": "Task", "subtask": False},
        "summary": "s",
        "status": {"name": "Offen", "statusCategory": {"key": "undefined"}},
        "created": "2026-01-31T10:00:00.123+0100",
        "updated": "2026-01-31T10:00:00.123+0100",
    }
    return {"id": "10", "key": "ABC-1", "fields": {**known, **fields}}


def serve(web: responses.RequestsMock, data: dict[str, Any], **pages: Any) -> None:
    web.get(f"{API}/issue/ABC-1", json=data)
    web.get(f"{API}/issue/ABC-1/comment", json=pages.get("comments", {"total": 0, "comments": []}))
    web.get(f"{API}/issue/ABC-1/changelog", json=pages.get("changes", {"total": 0, "values": []}))
    web.get(f"{API}/issue/ABC-1/remotelink", json=pages.get("links", []))


def test_fields_that_a_site_hides_are_empty(web: responses.RequestsMock, elsewhere: JiraTickets) -> None:
    """Sites can switch off labels, sub-tasks, links and attachments: their tickets are still read."""
    serve(web, issue())
    ticket = elsewhere.ticket("ABC-1")
    assert (ticket.labels, ticket.sub_task_keys, ticket.links, ticket.attachments) == (
        frozenset(),
        (),
        (),
        (),
    )
    assert (ticket.created, ticket.project_kind) == ("2026-01-31T09:00:00.123Z", "business")
    assert ticket.status.category == "new"


def test_a_moved_ticket_answers_with_its_new_key(web: responses.RequestsMock, elsewhere: JiraTickets) -> None:
    """Jira redirects by itself; whoever asked sees the difference."""
    serve(web, {**issue(), "key": "NEW-7"})
    assert elsewhere.ticket("ABC-1").key == "NEW-7"


@pytest.mark.parametrize(
    ("user", "is_active", "is_person"),
    [
        ({"accountId": "a", "accountType": "atlassian"}, True, True),
        ({"accountId": "a"}, True, True),
        ({"accountId": "a", "accountType": "app"}, True, False),
        ({"accountId": "a", "accountType": "customer"}, True, False),
        ({"accountId": "a", "accountType": "atlassian", "appType": "agent"}, True, False),
        ({"accountId": "a", "active": False}, False, True),
        (None, False, False),
        ({}, False, False),
    ],
)
def test_accounts_tell_people_from_machines(user: Any, is_active: bool, is_person: bool) -> None:
    """Apps, agents and service-desk customers are no people; a deleted author is nobody."""
    account = jira_records.account(user)
    assert (account.is_active, account.is_person) == (is_active, is_person)


def test_an_internal_note_of_a_service_desk_is_restricted() -> None:
    """What customers may not see is not read either."""
    data = {"id": "1", "body": from_text("secret"), "created": "", "updated": "", "jsdPublic": False}
    read = jira_records.comment(data)
    assert (read.is_restricted, read.text) == (True, "")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("line", "line"),
        (3.5, "3.5"),
        (True, "True"),
        (None, ""),
        ({"value": "high"}, "high"),
        ({"name": "Done"}, "Done"),
        ({"displayName": "Ada", "accountId": "1"}, "Ada"),
        ([{"value": "a"}, {"value": "b"}], "a, b"),
        (from_text("words"), "words"),
        ({}, ""),
    ],
)
def test_a_custom_field_of_any_type_reads_as_text(value: object, text: str) -> None:
    """Options, users, numbers, lists and documents."""
    assert jira_records.plain_value(value) == text


@given(
    st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2999, 1, 1)),  # noqa: DTZ001 - made aware below
    st.integers(min_value=-14 * 60, max_value=14 * 60),
)
def test_times_become_utc_and_sort(moment: datetime, minutes: int) -> None:
    """Whatever offset Jira writes, records hold UTC with milliseconds, comparable as text."""
    moment = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    written = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}{moment:%z}"
    assert jira_records.instant(written) == iso(moment)


@pytest.mark.parametrize(
    "data",
    [
        {"id": "10", "key": "ABC-1"},
        {**issue(), "fields": None},
        issue(status={"name": "x", "statusCategory": {"key": "odd"}}),
        issue(status=None),
        issue(created="yesterday"),
        issue(issuelinks=[{"type": {}}]),
        issue(attachment=[{"id": "1"}]),
        issue(subtasks=[{}]),
    ],
)
def test_half_a_ticket_is_no_ticket(
    web: responses.RequestsMock, elsewhere: JiraTickets, data: dict[str, Any]
) -> None:
    """A value of another shape fails the read instead of looking empty."""
    serve(web, data)
    with pytest.raises(Unavailable):
        elsewhere.ticket("ABC-1")


@pytest.mark.parametrize(
    "pages",
    [
        {"comments": {"total": 5, "comments": []}},
        {"comments": {"total": 1}},
        {"comments": {"total": 1, "comments": [{"id": "1"}]}},
        {"comments": []},
        {"changes": {"total": 9, "isLast": True, "values": []}},
        {"changes": {"values": [{"id": "1"}], "total": 1}},
        {"links": {}},
        {"links": [{"globalId": "x"}]},
    ],
)
def test_an_incomplete_list_is_no_list(
    web: responses.RequestsMock, elsewhere: JiraTickets, pages: dict[str, Any]
) -> None:
    """Fewer entries than Jira counts, or none where a list belongs, fail the read."""
    serve(web, issue(), **pages)
    with pytest.raises(Unavailable):
        elsewhere.ticket("ABC-1")


def test_a_list_without_end_is_given_up(web: responses.RequestsMock, elsewhere: JiraTickets) -> None:
    """A token that always leads on does not hold the run for ever."""
    web.post(f"{API}/search/jql", json={"issues": [], "nextPageToken": "again"})
    with pytest.raises(Unavailable):
        elsewhere.search("project = ABC", limit=5)


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("issue/ABC-1/comment", lambda jira: jira.add_comment("ABC-1", comment())),
        ("issue/ABC-1/attachments", lambda jira: jira.attach("ABC-1", "a", b"", "text/plain")),
    ],
)
@pytest.mark.parametrize("body", [{}, [], {"id": 5}, "x"])
def test_a_write_that_does_not_say_what_it_made_is_unsure(
    web: responses.RequestsMock,
    elsewhere: JiraTickets,
    path: str,
    call: Callable[[JiraTickets], object],
    body: object,
) -> None:
    """An answer without the new id leaves open whether it exists."""
    web.post(f"{API}/{path}", json=body, status=201)
    with pytest.raises(Unavailable):
        call(elsewhere)


@pytest.mark.parametrize("key", ["../myself", "ABC-1/comment", "ABC-1?x=1", "ABC 1"])
def test_a_key_cannot_leave_its_place(web: responses.RequestsMock, elsewhere: JiraTickets, key: str) -> None:
    """A forged key is one segment of the address, and not found."""
    web.get(re.compile(r"https://jira\.example/rest/api/3/issue/[^/?]+\?fields=.*"), status=404)
    with pytest.raises(NotFound):
        elsewhere.ticket(key)


@pytest.mark.parametrize("depth", [250, 5_000])
def test_a_text_too_deep_does_not_hide_its_ticket(depth: int) -> None:
    """What could not be read is said in its place; a comment like that is no marker."""
    node: Any = {"type": "paragraph", "content": [{"type": "text", "text": "Deep."}]}
    for _ in range(depth):
        node = {"type": "bulletList", "content": [{"type": "listItem", "content": [node]}]}
    document = {"type": "doc", "version": 1, "content": [node]}
    said = {
        "id": "1",
        "author": {"accountId": "rita"},
        "body": document,
        "created": "2026-03-01T09:00:00.000+0000",
        "updated": "2026-03-01T09:00:00.000+0000",
    }

    comment = jira_records.comment(said)

    told = jira_records.rich_text(document)
    assert (comment.text, comment.last_line) == (told, "")
    assert told.startswith("(This text could not be read. A Jira text makes a document nested more than")
