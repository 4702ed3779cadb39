"""The Automation engine executes the rules that adopters import, and nothing it does not understand."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from runner.sandbox import automation
from runner.sandbox.automation import Automation, AutomationError, enabled, fill, load_rules
from runner.sandbox.jira import JiraSandbox, JiraSite
from runner.sandbox.people import Person
from runner.sandbox.server import Recorder, Service
from tests import contracts

Json = dict[str, Any]


class Receiver(Service):
    """Stands where GitHub's API would be, and keeps what it was sent."""

    name = "github"

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder=recorder)
        self.status = 204
        self.received: list[tuple[str, str, Json]] = []

    def respond(self, request: Request) -> Response:
        authorization = request.headers.get("Authorization", "")
        self.received.append((request.path, authorization, json.loads(request.get_data())))
        return Response(b"", status=self.status)


class World:
    """A site whose rules are switched on, a runner, and Ada."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.github = Receiver(self.recorder)
        self.site = JiraSite(clock=lambda: datetime(2026, 11, 22, 10, 0, tzinfo=UTC))
        self.sandbox = JiraSandbox(self.site, recorder=self.recorder)
        self.bot = self.site.add_user("AI Runner", email="bot@example.com", token="bot-token")
        account = self.site.add_user("Ada", email="ada@example.com", token="ada-token")
        self.project = self.site.add_project("ABC")
        self.ada = Person(self.sandbox, account)
        self.runner = Person(self.sandbox, self.bot)

    def filled(self, rules: Any = None, **changed: Any) -> Json:
        values: Json = {
            "runner_account_id": self.bot,
            "repository": "acme/widgets",
            "token": "secret-token",
            "api_url": self.github.url,
            "cloud_id": self.site.cloud_id,
            "project_ids": [self.project.id],
            **changed,
        }
        return fill(rules or load_rules(), **values)

    def engine(self, rules: Json | None = None) -> Automation:
        engine = Automation(self.site, rules or enabled(self.filled()))
        engine.attach()
        return engine

    def keys(self) -> list[str]:
        """The ticket keys dispatched so far."""
        return [body["client_payload"]["issue_key"] for _path, _token, body in self.github.received]


@pytest.fixture
def world() -> Iterator[World]:
    """Everything that the rules send fits GitHub's contract."""
    one = World()
    with one.github, one.sandbox:
        yield one
    assert contracts.violations(one.recorder.exchanges) == []


@pytest.fixture
def ticket(world: World) -> str:
    return world.ada.create_ticket("Add a limiter", project="ABC")


# The shipped file


def test_the_shipped_rules_are_disabled_and_hold_placeholders_only() -> None:
    """Four rules, off, without any site's values, each excluding the runner itself."""
    rules = load_rules()["rules"]
    assert [rule["state"] for rule in rules] == ["DISABLED"] * 4
    for rule in rules:
        text = json.dumps(rule)
        assert all(name in text for name in ("RUNNER-ACCOUNT-ID", "OWNER/REPO", "GITHUB-TOKEN", "PROJECT-ID"))
        assert rule["components"][0]["value"] == {
            "first": "{{initiator.accountId}}",
            "second": "RUNNER-ACCOUNT-ID",
            "operator": "NOT_EQUALS",
        }


def test_the_token_is_in_a_hidden_header() -> None:
    """Only the Authorization header carries the token, and it is marked as hidden."""
    for rule in load_rules()["rules"]:
        headers = rule["components"][-1]["value"]["headers"]
        assert [one["name"] for one in headers if one["headerSecure"]] == ["Authorization"]
        assert json.dumps(rule).count("GITHUB-TOKEN") == 1


def test_the_workflow_variant_is_generated_from_the_same_rules() -> None:
    """The second file is the first one with another web request."""
    shipped = load_rules(automation.WORKFLOW_RULES)
    assert shipped == automation.for_workflow_dispatch(load_rules())


def test_filling_leaves_no_placeholder(world: World) -> None:
    """Every value is put in, and the rules stay disabled."""
    for path in (automation.RULES, automation.WORKFLOW_RULES):
        filled = world.filled(load_rules(path))
        automation.check_rules(filled)
        assert not any(name in json.dumps(filled) for name in automation.PLACEHOLDERS)
        assert {rule["state"] for rule in filled["rules"]} == {"DISABLED"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("runner_account_id", 'x" OR project = ABC'),
        ("repository", "acme"),
        ("repository", "acme/widgets/../x"),
        ("token", "two words"),
        ("default_branch", 'main"'),
    ],
)
def test_a_value_that_would_change_a_rule_is_refused(world: World, name: str, value: str) -> None:
    """Quotes and slashes cannot break out of the place they are put in."""
    with pytest.raises(AutomationError, match=name):
        world.filled(**{name: value})


# The four rules


def test_assigning_the_runner_dispatches_the_key(world: World, ticket: str) -> None:
    """One request, to the repository, with the token, the documented body and an id of its own."""
    engine = world.engine()
    world.ada.assign(ticket, world.bot)
    [(path, authorization, body)] = world.github.received
    assert (path, authorization) == ("/repos/acme/widgets/dispatches", "Bearer secret-token")
    assert body["event_type"] == "ai-runner"
    payload = body["client_payload"]
    assert (payload["issue_key"], payload["phase"]) == (ticket, "auto")
    assert re.fullmatch(r"10000-2026-11-22T10:00:00\.0\+0000", payload["event_id"])
    assert [(one.outcome, one.status) for one in engine.audit] == [("sent", 204)]


def test_assigning_somebody_else_does_not(world: World, ticket: str) -> None:
    """The condition is evaluated and the audit log says that it did not hold."""
    engine = world.engine()
    world.ada.assign(ticket, world.ada.account)
    assert world.keys() == []
    assert [one.outcome for one in engine.audit] == ["no_match"]


def test_moving_a_managed_ticket_dispatches(world: World, ticket: str) -> None:
    """Whoever is assignee: only the label ai-runner counts."""
    world.engine()
    world.ada.move(ticket, "Plan Review")
    world.ada.label(ticket, add=["ai-runner"])
    world.ada.move(ticket, "In Progress")
    assert world.keys() == [ticket]


def test_commenting_while_the_runner_holds_the_ticket_dispatches(world: World, ticket: str) -> None:
    """A comment on anybody else's ticket does nothing, nor does editing one."""
    world.engine()
    world.ada.comment(ticket, "before")
    world.ada.assign(ticket, world.bot)
    comment = world.ada.comment(ticket, "please also log it")
    world.ada.edit_comment(ticket, comment, "please also log this")
    assert world.keys() == [ticket, ticket]


def test_changing_an_ai_label_dispatches(world: World, ticket: str) -> None:
    """Adding or removing one does, other labels alone do not."""
    world.engine()
    world.ada.label(ticket, add=["backend"])
    world.ada.label(ticket, add=["ai:failed"])
    world.ada.label(ticket, remove=["ai:failed"])
    world.ada.label(ticket, remove=["backend"])
    assert world.keys() == [ticket, ticket]


def test_the_runners_own_changes_never_fire(world: World, ticket: str) -> None:
    """Whatever the runner does to its own ticket, nothing is dispatched."""
    engine = world.engine()
    world.runner.assign(ticket, world.bot)
    world.runner.label(ticket, add=["ai-runner", "ai:working"])
    world.runner.move(ticket, "In Progress")
    world.runner.comment(ticket, "a plan")
    assert world.keys() == []
    assert {one.outcome for one in engine.audit} == {"no_match"}


def test_rules_keep_to_their_projects(world: World) -> None:
    """A rule for one project does not hear another; without projects it hears the whole site."""
    engine = world.engine()
    world.site.add_project("XYZ")
    key = world.ada.create_ticket("Elsewhere", project="XYZ")
    world.ada.assign(key, world.bot)
    assert engine.audit == ()
    engine.detach()
    world.engine(enabled(world.filled(cloud_id=None)))
    world.ada.comment(key, "now")
    assert world.keys() == [key]


def test_disabled_rules_do_nothing(world: World, ticket: str) -> None:
    """As imported, nothing happens."""
    engine = world.engine(world.filled())
    world.ada.assign(ticket, world.bot)
    assert (world.keys(), engine.audit) == ([], ())


def test_the_workflow_variant_starts_the_workflow(world: World, ticket: str) -> None:
    """The other request: the workflow file of the default branch, with the same inputs."""
    world.engine(enabled(world.filled(load_rules(automation.WORKFLOW_RULES))))
    world.ada.assign(ticket, world.bot)
    [(path, _token, body)] = world.github.received
    assert path == "/repos/acme/widgets/actions/workflows/ai-runner.yml/dispatches"
    assert (body["ref"], body["inputs"]["issue_key"]) == ("main", ticket)


# Failures and limits


def test_a_refused_request_is_in_the_audit_log_and_not_the_persons_problem(world: World, ticket: str) -> None:
    """The change stands; the log holds the status and never the token."""
    world.github.status = 404
    engine = world.engine()
    world.ada.assign(ticket, world.bot)
    assert [(one.outcome, one.status) for one in engine.audit] == [("failed", 404)]
    assert "secret-token" not in repr(engine.audit)
    assert world.ada.assignee(ticket) == world.bot


def test_an_unreachable_address_is_a_failed_entry(world: World, ticket: str) -> None:
    """No answer at all is logged as such."""
    engine = world.engine(enabled(world.filled(api_url="http://127.0.0.1:9")))
    world.ada.assign(ticket, world.bot)
    assert [(one.outcome, one.status) for one in engine.audit] == [("failed", None)]


def broken_rules() -> list[tuple[str, str]]:
    return [
        ('"jira.issue.event.trigger:assigned"', '"jira.sla.threshold.trigger"'),
        ('"jira.jql.condition"', '"jira.user.condition"'),
        ('"jira.issue.outgoing.webhook"', '"jira.issue.comment"'),
        ('"NOT_EQUALS"', '"RESEMBLES"'),
        ('"sendIssue": false', '"sendIssue": true'),
        ('"children": []', '"children": [{}]'),
        ('"{\\"event_type', '"{event_type'),
        ("{{issue.key}}", "{{isue.key}}"),
        ("acme/widgets", "OWNER/REPO"),
        ('"ENABLED"', '"ON"'),
        ("{{initiator.accountId}}", "{{user.accountId}}"),
    ]


@pytest.mark.parametrize(("known", "replacement"), broken_rules())
def test_what_the_engine_does_not_know_is_refused(world: World, known: str, replacement: str) -> None:
    """Unknown triggers, components, operators, smart values and left-over placeholders stop the engine."""
    text = json.dumps(enabled(world.filled()))
    changed = text.replace(known, replacement)
    assert changed != text
    with pytest.raises(AutomationError, match="ai-runner"):
        Automation(world.site, json.loads(changed))


def test_a_file_that_is_no_export_is_refused(world: World) -> None:
    """The export form names itself as a cloud export."""
    with pytest.raises(AutomationError, match="rule file"):
        Automation(world.site, {"rules": []})


def test_a_rule_can_be_narrowed_to_target_statuses(world: World, ticket: str) -> None:
    """The transition trigger's lists are honoured by name or id."""
    rules = copy.deepcopy(enabled(world.filled()))
    rules["rules"][1]["trigger"]["value"]["toStatus"] = [{"type": "NAME", "value": "In Progress"}]
    world.engine(rules)
    world.ada.label(ticket, add=["ai-runner"])
    world.ada.move(ticket, "Blocked")
    world.ada.move(ticket, "In Progress")
    assert world.keys() == [ticket]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{issue.key}}", "ABC-1"),
        ("{{ issue.status.name }}", "Backlog"),
        ("{{issue.labels}}", "a, b"),
        ("{{issue.labels.asJsonStringArray}}", '["a", "b"]'),
        ("{{issue.summary.jsonEncode}}", 'say \\"hi\\"'),
        ("{{issue.summary.asJsonString}}", '"say \\"hi\\""'),
        ("{{issue.summary.toUpperCase}}", 'SAY "HI"'),
        ('{{now.format("yyyyMMddHHmmss")}}', "20261122100000"),
        ('{{now.format(\\"yyyyMMddHHmmss\\")}}', "20261122100000"),
        ("{{now.jiraDate}} {{now}}", "2026-11-22 2026-11-22T10:00:00.0+0000"),
        ("{{issue.parent.key}}", ""),
        ("{{comment.author.accountId}}", ""),
        ("{{issue}}", ""),
        ("no value", "no value"),
    ],
)
def test_smart_values_are_put_in(text: str, expected: str) -> None:
    """Paths, functions and dates are rendered; what is missing is empty."""
    context = {
        "issue": {
            "key": "ABC-1",
            "summary": 'say "hi"',
            "status": {"name": "Backlog"},
            "labels": ["a", "b"],
            "parent": {},
        },
        "comment": {},
        "now": datetime(2026, 11, 22, 10, 0, tzinfo=UTC),
    }
    assert expected == automation.render(text, context)
