"""The embedded Jira against the published contract: it serves nothing else, and accepts nothing that is refused there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import Client, TestResponse

from runner.sandbox.jira import JiraSandbox, adf
from runner.sandbox.jira.service import all_routes
from runner.sandbox.server import Recorder
from tests import contracts

Json = dict[str, Any]


def doc(text: str) -> Json:
    return adf.from_text(text)


class World:
    """A site with two tickets, each with a comment and a remote link; asked without sockets, for many requests.

    In a request's body the text BOT stands for the runner's account.
    """

    def __init__(self, sandbox: JiraSandbox, recorder: Recorder) -> None:
        self.recorder = recorder
        self.client = Client(sandbox)
        site = sandbox.site
        self.bot = site.add_user("AI Runner", email="bot@example.com", token="bot-token")
        project = site.add_project("ABC")
        kind = next(one for one in project.types.values() if one.name == "Story")
        for summary in ("One", "Two"):
            issue = site.create_issue(
                project=project, kind=kind, summary=summary, author=self.bot, reporter=self.bot
            )
            site.add_comment(issue, self.bot, doc("x"))
            site.remote_link(issue, self.bot, {"globalId": "g", "object": {"url": "u", "title": "t"}})

    def send(self, request: Json) -> TestResponse:
        text = json.dumps(request.get("body")).replace('"BOT"', f'"{self.bot}"')
        sent: Json = {"data": text, "content_type": "application/json"} if "body" in request else {}
        path = f"/rest/api/3/{request['path']}".replace("/3/../", "/")
        return self.client.open(
            path,
            base_url="http://127.0.0.1",
            method=request["method"],
            query_string=request.get("query"),
            auth=("bot@example.com", "bot-token"),
            **sent,
        )

    def json(self, request: Json) -> Any:
        return json.loads(self.send(request).get_data())


@pytest.fixture
def site() -> Iterator[World]:
    recorder = Recorder()
    sandbox = JiraSandbox(recorder=recorder)
    with sandbox.media:
        yield World(sandbox, recorder)


# Chosen mistakes


def bad_requests() -> list[Json]:
    """Broken Jira requests, each with what the contract's checker says about it."""
    story = {"project": {"key": "ABC"}, "issuetype": {"name": "Task"}, "summary": "x"}
    good = doc("x")
    empty_text = {
        "type": "doc",
        "version": 1,
        "content": [{"type": "paragraph", "content": [{"type": "text", "text": ""}]}],
    }
    loose_text = {"type": "doc", "version": 1, "content": [{"type": "text", "text": "x"}]}
    one: Json = {"method": "PUT", "path": "issue/ABC-1"}
    create: Json = {"method": "POST", "path": "issue"}
    comment: Json = {"method": "POST", "path": "issue/ABC-1/comment"}
    move: Json = {"method": "POST", "path": "issue/ABC-1/transitions"}
    link: Json = {"method": "POST", "path": "issue/ABC-1/remotelink"}
    search: Json = {"method": "POST", "path": "search/jql"}
    return [
        {"method": "GET", "path": "search", "query": {"jql": "project = ABC"}},
        {"method": "GET", "path": "../2/issue/ABC-1"},
        {"method": "DELETE", "path": "myself"},
        {"method": "GET", "path": "search/jql", "query": {"jql": "project = ABC", "startAt": "0"}},
        {"method": "GET", "path": "search/jql", "query": {"jql": "project = ABC", "maxResults": "ten"}},
        {"method": "GET", "path": "search/jql", "query": {"jql": "project = ABC", "failFast": "True"}},
        {"method": "GET", "path": "search/jql", "query": {"jql": ["project = ABC", "project = ABC"]}},
        {"method": "GET", "path": "user", "query": {"username": "ada"}},
        {"method": "GET", "path": "user", "query": {"accountId": "x", "key": "ada"}},
        {"method": "GET", "path": "user/bulk"},
        {"method": "GET", "path": "issuetype/project"},
        {"method": "DELETE", "path": "issue/ABC-1/remotelink"},
        {**comment, "body": {"body": "plain text"}},
        {**comment, "body": {"visibility": {"type": "role", "value": "Developers"}}},
        {**comment, "body": {"body": empty_text}},
        {**comment, "body": {"body": loose_text}},
        {**comment, "body": {"body": good, "author": {"accountId": "a"}}},
        {**comment, "body": {"body": good, "text": "x"}},
        {**comment, "body": {"body": good, "visibility": {"type": "team", "value": "x"}}},
        {**comment, "body": {"body": good, "properties": [{"key": "x"}]}},
        {**comment, "body": {"body": good, "properties": [{"key": "x", "value": 1, "more": 1}]}},
        {**comment, "query": {"notifyUsers": "false"}, "body": {"body": good}},
        {"method": "DELETE", "path": "issue/ABC-1", "body": {"x": 1}},
        {**one, "body": {"fields": {"description": {"type": "doc", "content": []}}}},
        {**one, "body": {"fields": {"labels": ["two words"]}}},
        {**one, "body": {"update": {"labels": [{"add": "two words"}]}}},
        {**one, "body": {"update": {"labels": {"add": "x"}}}},
        {**one, "body": {"fields": {"labels": ["a"]}, "update": {"labels": [{"add": "b"}]}}},
        {**one, "body": {"fields": {"assignee": {"name": "ada"}}}},
        {**one, "body": {"summary": "x"}},
        {**one, "body": {"fields": {"summary": "two\nlines"}}},
        {**one, "body": {"fields": {"summary": ""}}},
        {**create, "body": {"fields": {**story, "description": "plain"}}},
        {**create, "body": {"fields": {"issuetype": {"name": "Task"}, "summary": "x"}}},
        {**create, "body": {"summary": "x", "fields": story}},
        {**create, "body": {"fields": {**story, "summary": "x" * 256}}},
        {**create, "body": {"fields": {**story, "project": "ABC"}}},
        {**create, "body": {"fields": {**story, "labels": ["l" * 256]}}},
        {"method": "POST", "path": "issue/bulk", "body": {"issueUpdates": [{"fields": story}] * 51}},
        {"method": "POST", "path": "issue/bulk", "body": {"issueUpdates": []}},
        {"method": "POST", "path": "issue/bulkfetch", "body": {"fields": ["summary"]}},
        {**move, "body": {"transition": {"name": "Done"}}},
        {**move, "body": {"transition": {"id": 31}}},
        {**move},
        {"method": "PUT", "path": "issue/ABC-1/assignee", "body": {"name": "ada"}},
        {"method": "PUT", "path": "issue/ABC-1/assignee", "body": {"accountId": None, "active": True}},
        {**link, "body": {"globalId": "x"}},
        {**link, "body": {"object": {"url": "http://x"}}},
        {**link, "body": {"object": {"url": "http://x", "title": "x"}, "extra": 1}},
        {**link, "body": {"object": {"url": "http://x", "title": "x", "status": {"resolved": "yes"}}}},
        {**search, "body": {"jql": "project = ABC", "startAt": 0}},
        {**search, "body": {"jql": "project = ABC", "fields": "summary"}},
        {**search, "body": {"jql": "project = ABC", "reconcileIssues": ["10000"]}},
        {
            "method": "POST",
            "path": "issueLink",
            "body": {"type": {"name": "Blocks"}, "inwardIssue": {"key": "ABC-1"}},
        },
        {"method": "POST", "path": "issue/ABC-1/attachments"},
        {"method": "PUT", "path": "issue/ABC-1/properties/x", "body": "x" * 32_768},
    ]


@pytest.mark.parametrize("broken", bad_requests(), ids=lambda one: f"{one['method']} {one['path']}")
def test_what_the_contract_refuses_is_refused(site: World, broken: Json) -> None:
    """A request with a violation gets Jira's error shape, and changes nothing."""
    before = json.dumps(site.json({"method": "GET", "path": "issue/ABC-1"}))
    response = site.send(broken)
    assert contracts.violations(site.recorder.exchanges[-1:]) != []
    assert response.status_code >= 400
    assert set(json.loads(response.get_data())) == {"errorMessages", "errors"}
    assert before == json.dumps(site.json({"method": "GET", "path": "issue/ABC-1"}))


# Every request with one thing changed


def good_requests() -> list[Json]:
    """One accepted request per operation that takes a body or a query, against ABC-1 with one comment."""
    story = {"project": {"key": "ABC"}, "issuetype": {"name": "Task"}, "summary": "x"}
    rich = {**story, "description": doc("d"), "labels": ["a"], "reporter": None}
    child = {**story, "issuetype": {"name": "Sub-task"}, "parent": {"key": "ABC-1"}}
    comment = {"body": doc("x"), "properties": [{"key": "k", "value": {"n": 1}}]}
    restricted = {
        "body": doc("x"),
        "visibility": {"type": "role", "value": "Developers", "identifier": "Developers"},
    }
    icon = {"url16x16": "http://x", "title": "x"}
    link = {
        "globalId": "g",
        "relationship": "r",
        "application": {"name": "n", "type": "t"},
        "object": {
            "url": "http://x",
            "title": "t",
            "summary": "s",
            "icon": icon,
            "status": {"resolved": True, "icon": icon},
        },
    }
    ends = {"type": {"name": "Blocks"}, "inwardIssue": {"key": "ABC-1"}, "outwardIssue": {"key": "ABC-2"}}
    search = {
        "jql": "project = ABC",
        "fields": ["summary"],
        "maxResults": 5,
        "reconcileIssues": [10000],
        "expand": "names",
        "fieldsByKeys": False,
        "properties": ["p"],
    }
    query = {
        "jql": "project = ABC",
        "maxResults": "5",
        "fields": "summary",
        "reconcileIssues": "10000",
        "failFast": "true",
    }
    edit = {"fields": {"summary": "s", "description": doc("d")}, "update": {"labels": [{"add": "b"}]}}
    moved = {"transition": {"id": "31"}, "update": {"comment": [{"add": {"body": doc("moved")}}]}}
    return [
        {
            "method": "POST",
            "path": "issue",
            "body": {"fields": rich, "properties": [{"key": "k", "value": 1}]},
        },
        {
            "method": "POST",
            "path": "issue/bulk",
            "body": {"issueUpdates": [{"fields": child}, {"fields": story}]},
        },
        {
            "method": "POST",
            "path": "issue/bulkfetch",
            "body": {"issueIdsOrKeys": ["ABC-1"], "fields": ["summary"]},
        },
        {"method": "PUT", "path": "issue/ABC-1", "body": edit, "query": {"notifyUsers": "true"}},
        {"method": "PUT", "path": "issue/ABC-1", "body": {"fields": {"assignee": {"accountId": "BOT"}}}},
        {"method": "PUT", "path": "issue/ABC-1/assignee", "body": {"accountId": "BOT"}},
        {"method": "GET", "path": "issue/ABC-1", "query": {"fields": "summary", "expand": "changelog"}},
        {"method": "GET", "path": "issue/ABC-1/transitions", "query": {"expand": "transitions.fields"}},
        {"method": "POST", "path": "issue/ABC-1/transitions", "body": moved},
        {"method": "GET", "path": "issue/ABC-1/changelog", "query": {"startAt": "0", "maxResults": "5"}},
        {"method": "POST", "path": "issue/ABC-1/changelog/list", "body": {"changelogIds": [1]}},
        {"method": "GET", "path": "issue/ABC-1/comment", "query": {"orderBy": "created", "maxResults": "5"}},
        {"method": "POST", "path": "issue/ABC-1/comment", "body": comment},
        {
            "method": "POST",
            "path": "issue/ABC-1/comment",
            "body": restricted,
            "query": {"expand": "properties"},
        },
        {
            "method": "PUT",
            "path": "issue/ABC-1/comment/10000",
            "body": comment,
            "query": {"notifyUsers": "false"},
        },
        {"method": "POST", "path": "comment/list", "body": {"ids": [10000]}},
        {"method": "PUT", "path": "issue/ABC-1/properties/k", "body": {"n": 1}},
        {"method": "POST", "path": "issue/ABC-1/remotelink", "body": link},
        {"method": "PUT", "path": "issue/ABC-1/remotelink/10000", "body": link},
        {"method": "POST", "path": "issue/ABC-1/watchers", "body": "BOT"},
        {"method": "POST", "path": "issueLink", "body": ends},
        {"method": "POST", "path": "search/jql", "body": search},
        {"method": "GET", "path": "search/jql", "query": query},
        {"method": "POST", "path": "search/approximate-count", "body": {"jql": "project = ABC"}},
        {"method": "GET", "path": "user/assignable/search", "query": {"project": "ABC", "startAt": "0"}},
        {
            "method": "GET",
            "path": "mypermissions",
            "query": {"permissions": "EDIT_ISSUES", "projectKey": "ABC"},
        },
        {"method": "GET", "path": "project/search", "query": {"keys": "ABC", "maxResults": "5"}},
        {"method": "GET", "path": "issue/createmeta/ABC/issuetypes", "query": {"maxResults": "5"}},
    ]


def variants(value: Any) -> Iterator[Any]:
    """Every value that differs from this one in one place: gone, of another type, or with one member more."""
    others: list[Any] = [None, 1, "", "two words", "a\nb", True, [], {}, [1], {"x": 1}, "x" * 300]
    yield from others
    if isinstance(value, dict):
        yield {**value, "unknown": 1}
        for name, member in value.items():
            yield {key: one for key, one in value.items() if key != name}
            yield from ({**value, name: changed} for changed in variants(member))
    if isinstance(value, list):
        yield value * 60
        for number, member in enumerate(value):
            yield from ([*value[:number], changed, *value[number + 1 :]] for changed in variants(member))


def broken_versions(good: Json) -> Iterator[Json]:
    """The request with one change in its body or query."""
    if "body" in good:
        yield {name: value for name, value in good.items() if name != "body"}
        yield from (
            {**good, "body": changed} for changed in variants(good["body"]) if changed not in (None, "")
        )
    query = good.get("query", {})
    yield {**good, "query": {**query, "unknown": "1"}}
    for name, value in query.items():
        yield {**good, "query": {key: one for key, one in query.items() if key != name}}
        yield from (
            {**good, "query": {**query, name: other}} for other in ("", "x", "True", "-1", [value, value])
        )


@pytest.mark.parametrize("good", good_requests(), ids=lambda one: f"{one['method']} {one['path']}")
def test_no_changed_request_passes_that_the_contract_refuses(site: World, good: Json) -> None:
    """The request itself is accepted; of its changed versions none with a violation gets a good answer."""
    assert site.send(good).status_code < 400
    assert contracts.violations(site.recorder.exchanges) == []
    accepted = []
    for changed in broken_versions(good):
        answer = site.send(changed).status_code
        assert answer < 500, changed
        if answer < 400 and contracts.violations(site.recorder.exchanges[-1:]):
            accepted.append((changed.get("query"), changed.get("body")))
    assert accepted == []


# Rich text


def nodes() -> st.SearchStrategy[Json]:
    """Document nodes, mostly plausible: any known type, some attributes, some content."""
    values = st.one_of(
        st.none(), st.booleans(), st.integers(-1, 7), st.sampled_from(["", "x", "info", "TODO", "\n"])
    )
    attrs = st.dictionaries(
        st.sampled_from(["level", "order", "url", "id", "localId", "state", "panelType", "title"]),
        values,
        max_size=3,
    )
    marks = st.lists(
        st.sampled_from(
            [
                {"type": "strong"},
                {"type": "code"},
                {"type": "link", "attrs": {"href": "x"}},
                {"type": "link"},
                {"type": "odd"},
            ]
        ),
        max_size=2,
    )
    text = st.fixed_dictionaries(
        {"type": st.just("text"), "text": st.text(max_size=3)}, optional={"marks": marks}
    )

    def grow(children: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
        return st.fixed_dictionaries(
            {"type": st.sampled_from(sorted(adf.NODES))},
            optional={"content": st.lists(children, max_size=3), "attrs": attrs},
        )

    return st.recursive(text, grow, max_leaves=8)


@settings(max_examples=400, deadline=None)
@given(st.lists(nodes(), max_size=3))
def test_no_document_is_accepted_that_the_schema_refuses(content: list[Json]) -> None:
    """The sandbox's grammar is a part of the published one."""
    document = {"type": "doc", "version": 1, "content": content}
    try:
        adf.check(document)
    except adf.InvalidAdf:
        return
    assert contracts.is_adf(document)


def test_every_node_type_can_be_used() -> None:
    """A document with each supported node is accepted here and by the schema."""

    def paragraph(*inline: Json) -> Json:
        return {"type": "paragraph", "content": [*inline, {"type": "text", "text": "x"}]}

    inline: list[Json] = [
        {"type": "hardBreak"},
        {"type": "mention", "attrs": {"id": "a", "text": "@a"}},
        {"type": "emoji", "attrs": {"shortName": ":x:"}},
        {"type": "date", "attrs": {"timestamp": "1"}},
        {"type": "status", "attrs": {"text": "x", "color": "blue"}},
        {"type": "inlineCard", "attrs": {"url": "http://x"}},
        {"type": "text", "text": "x", "marks": [{"type": "code"}, {"type": "link", "attrs": {"href": "x"}}]},
        {
            "type": "text",
            "text": "x",
            "marks": [{"type": "subsup", "attrs": {"type": "sub"}}, {"type": "strong"}],
        },
    ]
    item = {"type": "listItem", "content": [paragraph()]}
    cell = {"type": "tableCell", "attrs": {"colspan": 1}, "content": [paragraph()]}
    head = {"type": "tableHeader", "content": [paragraph()]}
    task = {"type": "taskItem", "attrs": {"localId": "t", "state": "DONE"}, "content": []}
    nested = {"type": "nestedExpand", "attrs": {"title": ""}, "content": [paragraph()]}
    content = [
        paragraph(*inline),
        {"type": "heading", "attrs": {"level": 6}, "content": []},
        {"type": "bulletList", "content": [item]},
        {"type": "orderedList", "attrs": {"order": 3}, "content": [item]},
        {"type": "blockquote", "content": [paragraph()]},
        {"type": "panel", "attrs": {"panelType": "info"}, "content": [paragraph()]},
        {"type": "codeBlock", "attrs": {"language": "python"}, "content": [{"type": "text", "text": "x"}]},
        {"type": "rule"},
        {"type": "table", "content": [{"type": "tableRow", "content": [head, cell]}]},
        {"type": "taskList", "attrs": {"localId": "l"}, "content": [task]},
        {"type": "expand", "attrs": {"title": "x"}, "content": [paragraph(), nested]},
    ]
    document = {"type": "doc", "version": 1, "content": content}
    adf.check(document)
    assert contracts.is_adf(document)


# The other direction


def test_every_operation_and_its_parameters_are_in_the_contract() -> None:
    """No address, method or query parameter is served that the published description lacks."""
    spec = contracts.load("jira.openapi.json")
    for route in all_routes():
        found = [
            path
            for path in spec["paths"]
            if re.sub(r"\{\w+\}", "{}", path) == re.sub(r"\{\w+\}", "{}", route.template)
        ]
        assert found, route.template
        operation = spec["paths"][found[0]][route.method.lower()]
        described = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"} - {
            "username",
            "key",
        }
        assert set(route.query) == described, (route.method, route.template)
