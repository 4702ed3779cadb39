"""Jira Automation, as far as our rules use it: the shipped rule definitions, filled in and executed.

The engine reads the same file that adopters import. It interprets triggers, conditions, smart values
and the web request as data and refuses any component it does not know: a rule that is silently
skipped here would look like a rule that works there.
"""

from __future__ import annotations

import copy
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import requests

import runner
from runner.sandbox.jira import JiraEvent, JiraSite, adf
from runner.sandbox.jira.jql import parse
from runner.sandbox.jira.records import Issue, StoredComment

Json = dict[str, Any]
Outcome = Literal["sent", "no_match", "failed"]

RULES = Path(runner.__file__).resolve().parent / "automation" / "rules.json"
WORKFLOW_RULES = RULES.with_name("rules-workflow-dispatch.json")
GITHUB = "https://api.github.com"
WORKFLOW_FILE = "ai-runner.yml"
PLACEHOLDERS = (
    "RUNNER-ACCOUNT-ID",
    "RULE-OWNER-ACCOUNT-ID",
    "OWNER/REPO",
    "GITHUB-TOKEN",
    "DEFAULT-BRANCH",
    "CLOUD-ID",
    "PROJECT-ID",
)
TRIGGERS = {
    "jira.issue.event.trigger:assigned": "assigned",
    "jira.issue.event.trigger:transitioned": "transitioned",
    "jira.issue.event.trigger:commented": "commented",
    "jira.issue.event.trigger:created": "created",
    "jira.issue.field.changed": None,
}
SMART = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
ROOTS = frozenset(
    {"issue", "triggerIssue", "initiator", "assignee", "comment", "fieldChange", "changelog", "now", "rule"}
)


class AutomationError(ValueError):
    """A rule cannot be used as it is; the message names the rule and what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """What became of one rule for one event: its request was sent, a condition did not hold, or it failed.

    ``status`` is the answer's HTTP status, ``None`` when there was none. Secrets are not kept.
    """

    rule: str
    issue_key: str
    outcome: Outcome
    status: int | None = None
    detail: str = ""


# The rule file


def load_rules(path: Path = RULES) -> Json:
    """Read a rule file as shipped: disabled, with placeholders."""
    rules: Json = json.loads(path.read_text(encoding="utf-8"))
    return rules


def for_workflow_dispatch(rules: Mapping[str, Any]) -> Json:
    """The same rules starting the workflow directly: their token needs Actions: write and cannot push code."""
    out = copy.deepcopy(dict(rules))
    for action in _web_requests(out):
        payload = json.loads(action["value"]["customBody"])["client_payload"]
        action["value"]["url"] = f"{GITHUB}/repos/OWNER/REPO/actions/workflows/{WORKFLOW_FILE}/dispatches"
        action["value"]["customBody"] = json.dumps({"ref": "DEFAULT-BRANCH", "inputs": payload})
    return out


def fill(
    rules: Mapping[str, Any],
    *,
    runner_account_id: str,
    repository: str,
    token: str,
    api_url: str = GITHUB,
    cloud_id: str | None = None,
    project_ids: Sequence[str] = (),
    owner_account_id: str | None = None,
    default_branch: str = "main",
) -> Json:
    """Put an adopter's values in the place of the placeholders; the rules stay disabled.

    Without ``cloud_id`` and ``project_ids`` the rules are for the whole site. The owner, whose name the
    rules run under, is the runner's account unless another is given. AutomationError for a value that
    could not stand where it is put.
    """
    _check("runner_account_id", runner_account_id, r"[\w:.-]+")
    _check("repository", repository, r"[\w.-]+/[\w.-]+")
    _check("token", token, r"\S+")
    _check("default_branch", default_branch, r"[\w./-]+")
    values = {
        "RUNNER-ACCOUNT-ID": runner_account_id,
        "RULE-OWNER-ACCOUNT-ID": owner_account_id or runner_account_id,
        "OWNER/REPO": repository,
        "GITHUB-TOKEN": token,
        "DEFAULT-BRANCH": default_branch,
        GITHUB: api_url.rstrip("/"),
    }
    out: Json = _replaced(copy.deepcopy(dict(rules)), values)
    projects = project_ids if cloud_id else ()
    scope = [f"ari:cloud:jira:{cloud_id}:project/{one}" for one in projects]
    for rule in out["rules"]:
        rule["ruleScope"]["resources"] = scope
        rule["trigger"]["value"]["eventFilters"] = scope
        kind = rule["projects"][0]["projectTypeKey"] if rule["projects"] else "software"
        rule["projects"] = [{"projectId": one, "projectTypeKey": kind} for one in projects]
    return out


def enabled(rules: Mapping[str, Any]) -> Json:
    """The rules switched on, as an administrator does after the import."""
    return {**rules, "rules": [{**rule, "state": "ENABLED"} for rule in rules["rules"]]}


def _check(name: str, value: str, pattern: str) -> None:
    if not re.fullmatch(pattern, value):
        raise AutomationError(f"{name}: {value!r} cannot be used in a rule")


def _replaced(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {name: _replaced(value, values) for name, value in node.items()}
    if isinstance(node, list):
        return [_replaced(one, values) for one in node]
    if not isinstance(node, str):
        return node
    # One pass: a value that looks like another placeholder is left alone.
    names = sorted(values, key=len, reverse=True)
    pattern = "|".join(rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in names)
    return re.sub(pattern, lambda found: values[found[0]], node)


def _web_requests(rules: Mapping[str, Any]) -> list[Json]:
    return [
        one
        for rule in rules["rules"]
        for one in rule["components"]
        if one["type"] == "jira.issue.outgoing.webhook"
    ]


# The engine


class Automation:
    """Executes rules against a site's events, with real HTTP requests, and keeps the audit log.

    Requests are sent while the event is delivered, one after another, so an audit entry exists as soon
    as the change that caused it was answered. ``observers`` hear of every entry.
    """

    def __init__(self, site: JiraSite, rules: Mapping[str, Any], *, timeout: float = 30.0) -> None:
        check_rules(rules)
        self.site = site
        self.rules: list[Json] = list(rules["rules"])
        self.observers: list[Callable[[AuditEntry], None]] = []
        self._timeout = timeout
        self._audit: list[AuditEntry] = []
        self._lock = threading.Lock()

    @property
    def audit(self) -> tuple[AuditEntry, ...]:
        """Everything that happened so far, oldest first."""
        with self._lock:
            return tuple(self._audit)

    def attach(self) -> None:
        """Start listening to the site."""
        self.site.listeners.append(self.handle)

    def detach(self) -> None:
        """Stop listening."""
        self.site.listeners.remove(self.handle)

    def handle(self, event: JiraEvent) -> None:
        """Run every enabled rule that this event triggers; a ticket deleted meanwhile triggers none."""
        if not any(one.key == event.issue_key for one in list(self.site.issues.values())):
            return
        for rule in self.rules:
            if rule["state"] == "ENABLED" and self._is_triggered(rule, event):
                entry = self._run(rule, event)
                with self._lock:
                    self._audit.append(entry)
                for observer in self.observers:
                    observer(entry)

    def _is_triggered(self, rule: Json, event: JiraEvent) -> bool:
        resources = rule["ruleScope"]["resources"]
        project = self.site.issue(event.issue_key).project
        if resources and f"ari:cloud:jira:{self.site.cloud_id}:project/{project.id}" not in resources:
            return False
        trigger = rule["trigger"]
        items = event.details.get("items", [])
        if trigger["type"] == "jira.issue.field.changed":
            wanted = {one["value"] for one in trigger["value"]["fields"]}
            return any(item["field"] in wanted for item in items)
        if TRIGGERS[trigger["type"]] != event.kind:
            return False
        return event.kind != "transitioned" or self._is_wanted_move(trigger["value"], items)

    def _is_wanted_move(self, value: Json, items: Sequence[Mapping[str, str | None]]) -> bool:
        """An empty list of statuses means any."""
        for side, end in (("fromStatus", "from"), ("toStatus", "to")):
            wanted = {str(one.get("value")) for one in value.get(side) or ()}
            if wanted and not any(
                {str(item[end]), str(item[f"{end}String"])} & wanted
                for item in items
                if item["field"] == "status"
            ):
                return False
        return True

    def _run(self, rule: Json, event: JiraEvent) -> AuditEntry:
        context = self._context(rule, event)
        entry = AuditEntry(rule=rule["name"], issue_key=event.issue_key, outcome="no_match")
        for component in rule["components"]:
            if component["component"] == "CONDITION":
                if not self._holds(component, context, rule, event):
                    return entry
            else:
                entry = self._send(rule, component["value"], context, event)
                if entry.outcome == "failed" and not component["value"]["continueOnErrorEnabled"]:
                    return entry
        return entry

    def _holds(self, condition: Json, context: Json, rule: Json, event: JiraEvent) -> bool:
        value = condition["value"]
        if condition["type"] == "jira.jql.condition":
            with self.site.lock:
                query = parse(render(value, context), site=self.site, account=rule["actor"]["actor"])
                return query.matches(self.site.issue(event.issue_key))
        first, second = render(value["first"], context), render(value["second"], context)
        return OPERATORS[value["operator"]](first, second)

    def _send(self, rule: Json, value: Json, context: Json, event: JiraEvent) -> AuditEntry:
        headers = {one["name"]: render(one["value"], context) for one in value["headers"]}
        status, detail = None, ""
        try:
            with requests.Session() as session:
                session.trust_env = False
                response = session.request(
                    value["method"],
                    render(value["url"], context),
                    headers=headers,
                    data=render(value["customBody"], context).encode(),
                    timeout=self._timeout,
                )
            status, detail = response.status_code, "" if response.ok else response.text[:500]
        except requests.RequestException as error:
            detail = type(error).__name__
        is_sent = status is not None and status < 300
        return AuditEntry(
            rule=rule["name"],
            issue_key=event.issue_key,
            outcome="sent" if is_sent else "failed",
            status=status,
            detail=detail,
        )

    def _context(self, rule: Json, event: JiraEvent) -> Json:
        """What smart values can reach, read at the time of the event."""
        with self.site.lock:
            issue = self.site.issue(event.issue_key)
            shown = self._issue(issue)
            comment = next((one for one in issue.comments if one.id == event.details.get("comment_id")), None)
            items: Sequence[Json] = event.details.get("items", [])
            item = items[0] if items else {}
            return {
                "issue": shown,
                "triggerIssue": shown,
                "initiator": self._user(event.initiator),
                "assignee": self._user(issue.assignee),
                "comment": self._comment(comment),
                "fieldChange": dict(item),
                "changelog": {item["field"]: dict(item)} if item else {},
                "now": self.site.time(),
                "rule": {"name": rule["name"]},
            }

    def _issue(self, issue: Issue) -> Json:
        parent = self.site.issues.get(issue.parent_id or "")
        above = {"key": parent.key, "id": parent.id} if parent else {}
        return {
            "key": issue.key,
            "id": issue.id,
            "summary": issue.summary,
            "issueType": {"name": issue.type.name, "id": issue.type.id},
            "status": {"name": issue.status.name, "id": issue.status.id},
            "project": {"key": issue.project.key, "id": issue.project.id, "name": issue.project.name},
            "labels": list(issue.labels),
            "assignee": self._user(issue.assignee),
            "reporter": self._user(issue.reporter),
            "created": issue.created,
            "updated": issue.updated,
            "parent": above,
            "fields": {"parent": above, "summary": issue.summary},
        }

    def _comment(self, comment: StoredComment | None) -> Json:
        if comment is None:
            return {}
        return {
            "id": comment.id,
            "body": adf.plain(comment.body).strip(),
            "author": self._user(comment.author),
        }

    def _user(self, account: str | None) -> Json:
        if account is None:
            return {}
        return {"accountId": account, "displayName": self.site.users[account].display_name}


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "EQUALS": lambda first, second: first == second,
    "NOT_EQUALS": lambda first, second: first != second,
    "CONTAINS": lambda first, second: second in first,
    "REGEX_MATCHES": lambda first, second: re.fullmatch(second, first) is not None,
    "REGEX_NOT_MATCHES": lambda first, second: re.fullmatch(second, first) is None,
}


# Checking rules before they run


def check_rules(rules: Mapping[str, Any]) -> None:
    """Raise AutomationError for anything the engine would have to guess about, placeholders included."""
    if rules.get("cloud") is not True or not isinstance(rules.get("rules"), list):
        raise AutomationError('a rule file is {"cloud": true, "rules": [...]}')
    for rule in rules["rules"]:
        _check_rule(rule)


def _check_rule(rule: Json) -> None:
    name = rule["name"]
    text = json.dumps(rule)
    left = [one for one in PLACEHOLDERS if re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", text)]
    if left:
        raise AutomationError(f"{name}: still holds {', '.join(left)}")
    if rule["state"] not in ("ENABLED", "DISABLED"):
        raise AutomationError(f"{name}: unknown state {rule['state']!r}")
    if rule["trigger"]["type"] not in TRIGGERS:
        raise AutomationError(f"{name}: unknown trigger {rule['trigger']['type']!r}")
    for component in rule["components"]:
        _check_component(name, component)
    for expression in SMART.findall(text):
        root = re.split(r"[.(]", expression.strip())[0]
        if root not in ROOTS:
            raise AutomationError(f"{name}: unknown smart value {expression!r}")


def _check_component(rule: str, component: Json) -> None:
    kind = (component["component"], component["type"])
    value = component["value"]
    if component.get("children") or component.get("conditions"):
        raise AutomationError(f"{rule}: nested components are not supported ({kind[1]})")
    if kind == ("CONDITION", "jira.jql.condition"):
        return
    if kind == ("CONDITION", "jira.comparator.condition"):
        if value["operator"] not in OPERATORS:
            raise AutomationError(f"{rule}: unknown operator {value['operator']!r}")
        return
    if kind != ("ACTION", "jira.issue.outgoing.webhook"):
        raise AutomationError(f"{rule}: unknown component {kind[0]} {kind[1]!r}")
    if value["contentType"] != "custom" or value["sendIssue"]:
        raise AutomationError(f"{rule}: only web requests with custom data are supported")
    try:
        json.loads(value["customBody"])
    except ValueError as error:
        raise AutomationError(f"{rule}: Unable to parse fields due to invalid JSON: {error}") from error


# Smart values


def render(text: str, context: Mapping[str, Any]) -> str:
    """Put the values in the place of ``{{...}}``; one that is missing becomes an empty text, as in Jira."""
    return SMART.sub(lambda found: _shown(_value(found[1].strip(), context)), text)


def _value(expression: str, context: Mapping[str, Any]) -> Any:
    value: Any = context
    # Inside a JSON text the quotes of an argument arrive escaped.
    for part in re.findall(r"(\w+)(?:\(\s*\\?\"(.*?)\\?\"\s*\))?", expression):
        value = _step(value, name=part[0], argument=part[1])
    return value


def _step(value: Any, *, name: str, argument: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name)
    if isinstance(value, datetime):
        return _formatted(value, name, argument)
    if name in TEXT_FUNCTIONS:
        return TEXT_FUNCTIONS[name](value)
    return None


TEXT_FUNCTIONS: dict[str, Callable[[Any], str]] = {
    "jsonEncode": lambda value: json.dumps(_shown(value))[1:-1],
    "asJsonString": lambda value: json.dumps(_shown(value)),
    "asJsonStringArray": lambda value: json.dumps(value if isinstance(value, list) else []),
    "toLowerCase": lambda value: _shown(value).lower(),
    "toUpperCase": lambda value: _shown(value).upper(),
}
DATE_PARTS = {
    "yyyy": "%Y",
    "MM": "%m",
    "dd": "%d",
    "HH": "%H",
    "mm": "%M",
    "ss": "%S",
}


def _formatted(moment: datetime, name: str, argument: str) -> str:
    patterns = {"jiraDate": "yyyy-MM-dd", "jqlDate": "yyyy-MM-dd", "jqlDateTime": "yyyy-MM-dd HH:mm"}
    if name == "jiraDateTime":
        return _jira_time(moment)
    pattern = argument if name == "format" else patterns.get(name, "")
    return re.sub("|".join(DATE_PARTS), lambda found: moment.strftime(DATE_PARTS[found[0]]), pattern)


def _jira_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 100_000}+0000"


def _shown(value: Any) -> str:
    if value is None or isinstance(value, Mapping):
        return ""
    if isinstance(value, list):
        return ", ".join(_shown(one) for one in value)
    return _jira_time(value) if isinstance(value, datetime) else str(value)
