"""What must be true in every state, and how two ends are compared. ``A1`` … are the names of the rules."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from runner.adapters import adf
from runner.core import phases
from runner.core.decide.repeats import WITHDRAWN
from runner.core.decide.view import INPUT_TRAILER
from runner.core.effects import is_attempt
from runner.core.markers import Kind, Marker, from_hidden, from_line, is_marker_line
from runner.core.model import Status, Ticket, TicketType
from runner.core.policy import Policy
from runner.sandbox.jira.records import Issue, StoredComment
from tests.reliability.arena import BOT_TOKEN, RUN_TOKEN, Arena
from tests.reliability.runs import Ran, Runs

POLICY = Policy()
SECRETS = (BOT_TOKEN, RUN_TOKEN)
PEOPLES_LABELS = re.compile(r"ai:(ignore|no-exec|direct|stop)|(?!ai[:-]).*")
# One of each may stand on a ticket: they are edited in place.
SINGLE = (Kind.PROGRESS, Kind.FAILURE)


def markers(arena: Arena, issue: Issue) -> list[tuple[StoredComment, Marker]]:
    """Comments of the runner, as it left them, with what they record."""
    found = []
    for comment in issue.comments:
        is_ours = comment.author == comment.editor == arena.bot
        line = adf.read(comment.body).last_line if is_ours else ""
        if is_marker_line(line):
            found.append((comment, from_line(line)))
    return found


def violations(arena: Arena, runs: Runs | None = None) -> list[str]:
    """Every rule that does not hold now, in words."""
    found = [*_pull_requests(arena), *_comments(arena), *_sub_tasks(arena), *_state_labels(arena)]
    found += _human_commits(arena)
    found += _people_untouched(arena)
    found += _secrets(arena)
    if runs is not None:
        found += _bounded(runs)
    return found


def _pull_requests(arena: Arena) -> Iterable[str]:
    ours = [one for one in arena.hub.pulls.values() if one.author.login == "github-actions[bot]"]
    by_head = Counter(one.head for one in ours if one.is_open)
    for head, count in by_head.items():
        if count > 1:
            yield f"A1: {count} open pull requests from {head}"
    for one in ours:
        tokens = Counter(re.findall(r"<!-- ai-runner (?:answers \S+|answers-\S+) -->", "\n".join(_said(one))))
        for token, count in tokens.items():
            if count > 1:
                yield f"A2: {count} times {token} on pull request #{one.number}"


def _said(pull: Any) -> list[str]:
    in_threads = [comment.body for thread in pull.threads for comment in thread.comments]
    return [*in_threads, *(comment.body for comment in pull.comments)]


def _comments(arena: Arena) -> Iterable[str]:
    for issue in arena.site.issues.values():
        marked = [marker for _, marker in markers(arena, issue)]
        single = Counter((marker.kind, is_attempt(marker)) for marker in marked if marker.kind in SINGLE)
        for (kind, _), count in single.items():
            if count > 1:
                yield f"A2: {count} {kind} comments on {issue.key}"
        same = Counter(
            (one.kind, one.input_digest, one.plan_digest, one.number, one.code)
            for one in marked
            if one.kind not in SINGLE
        )
        for identity, count in same.items():
            if count > 1:
                yield f"A2: {count} comments {identity[0]} of the same work on {issue.key}"


def _sub_tasks(arena: Arena) -> Iterable[str]:
    for issue in arena.site.issues.values():
        children = [arena.site.issues[one] for one in issue.sub_task_ids]
        items = Counter(
            label
            for child in children
            if child.creator == arena.bot and "ai:duplicate" not in child.labels
            for label in child.labels
            if label.startswith("ai-item-")
        )
        for label, count in items.items():
            if count > 1:
                yield f"A3: {count} sub-tasks of {issue.key} carry {label}"
        for child in children:
            if child.creator == arena.bot and not any(one.startswith("ai-item-") for one in child.labels):
                yield f"A3: {child.key} stands for no item"
        plans = [marker for _, marker in markers(arena, issue) if marker.kind is Kind.BREAKDOWN]
        if plans and len(items) > max(len(marker.items) for marker in plans) and len(plans) == 1:
            yield f"A3: {len(items)} sub-tasks for {len(plans[-1].items)} items of {issue.key}"


def _human_commits(arena: Arena) -> Iterable[str]:
    for sha, branch in arena.notes.get("human commits", {}).items():
        head = arena.hub.git.branch(branch)
        if head is not None and not arena.hub.git.is_ancestor(sha, head):
            yield f"A4: the person's commit {sha[:7]} is not on {branch} any more"


def _people_untouched(arena: Arena) -> Iterable[str]:
    people = {one for one in arena.site.users if one != arena.bot}
    for issue in arena.site.issues.values():
        for comment in issue.comments:
            if comment.author in people and comment.editor == arena.bot:
                yield f"A5: a person's comment on {issue.key} was edited"
        for change in issue.changes:
            if change.author != arena.bot:
                continue
            for item in change.items:
                if item["field"] in ("summary", "description", "priority"):
                    yield f"A5: the field {item['field']} of {issue.key} was changed"
                if item["field"] == "labels":
                    before, after = (set((item[side] or "").split()) for side in ("fromString", "toString"))
                    for label in before - after:
                        if PEOPLES_LABELS.fullmatch(label):
                            yield f"A5: the label {label} of {issue.key} was removed"


def _state_labels(arena: Arena) -> Iterable[str]:
    for issue in arena.site.issues.values():
        tries = [one for one in issue.labels if one.startswith("ai:try-")]
        if len(tries) > 1:
            yield f"A6: {issue.key} carries {', '.join(tries)}"
        states = {"ai:failed", "ai:waiting"} & set(issue.labels)
        if len(states) > 1 or (states and "ai:working" in issue.labels):
            yield f"A6: {issue.key} carries {', '.join(sorted(issue.labels))}"
        if tries and int(tries[0].removeprefix("ai:try-")) > POLICY.caps.attempts:
            yield f"A7: {issue.key} carries {tries[0]}"


def _bounded(runs: Runs) -> Iterable[str]:
    for ran in runs.history:
        for one in ran.line.blind:
            yield f"blind: {one.kind} was repeated without a look"
        if ran.waited > 2 * 300 + 30:
            yield f"waiting: {ran.key} waited {ran.waited:.0f} s in one run"
        for sent in ran.line.sent:
            if any(secret.encode() in sent.body for secret in _forms()):
                yield f"A9: a secret left in {sent.kind}"


def _forms() -> list[str]:
    plain = [*SECRETS]
    return [
        *plain,
        *(base64.b64encode(one.encode()).decode() for one in plain),
        *(quote(one[::-1]) for one in plain),
    ]


def _secrets(arena: Arena) -> Iterable[str]:
    for issue in arena.site.issues.values():
        for comment in issue.comments:
            if any(secret in str(comment.body) for secret in SECRETS):
                yield f"A9: a secret stands on {issue.key}"


def asked_too_often(runs: Runs, crashed: int) -> list[str]:
    """A8: one call of the model for each input, and one more for each crash."""
    counted = Counter(runs.calls)
    return [
        f"A8: {one[0]} asked {one[1]} {count} times for the same input"
        for one, count in counted.items()
        if count > 1 + crashed
    ]


def end_of(arena: Arena) -> dict[str, Any]:
    """The state that two undisturbed runs would share: no ids, times or run numbers."""
    return {
        **{f"ticket {key}": value for key, value in _tickets(arena).items()},
        **{f"pull request {one.number}": _pull(arena, one) for one in arena.hub.pulls.values()},
        **{
            f"branch {name.removeprefix('refs/heads/')}": _branch(arena, sha)
            for name, sha in sorted(arena.hub.git.refs("refs/heads/").items())
        },
    }


def everything(arena: Arena) -> str:
    """All that the services hold, moments apart: two worlds with the same text are the same world to any run."""
    stored = [
        (
            issue.key,
            issue.status.name,
            issue.assignee,
            sorted(issue.labels),
            [(one.id, one.author, one.editor, one.body) for one in issue.comments],
            [(one.author, one.items) for one in issue.changes],
            [(one.global_id, one.body) for one in issue.remote_links],
            issue.sub_task_ids,
        )
        for issue in arena.site.issues.values()
    ]
    return repr((stored, list(arena.hub.pulls.values()), sorted(arena.hub.git.refs().items())))


def _tickets(arena: Arena) -> dict[str, Any]:
    names: dict[str, str] = {}
    for issue in _lasting(arena):
        items = [one for one in issue.labels if one.startswith("ai-item-")]
        names[issue.key] = items[0] if items and issue.parent_id else issue.key
    return {names[issue.key]: _ticket(arena, issue) for issue in _lasting(arena)}


def _lasting(arena: Arena) -> list[Issue]:
    """Tickets but for those that repeated another one and closed themselves."""
    return [one for one in arena.site.issues.values() if "ai:duplicate" not in one.labels]


def _ticket(arena: Arena, issue: Issue) -> dict[str, Any]:
    said = [
        marker
        for _, marker in markers(arena, issue)
        if marker.kind is not Kind.PROGRESS
        and not is_attempt(marker)
        and not marker.code.startswith(WITHDRAWN)
    ]
    return {
        "status": issue.status.name,
        "assignee": issue.assignee,
        "labels": sorted(issue.labels),
        "said": sorted((one.kind.value, one.plan_digest, one.number) for one in said),
        "links": sorted(
            (str(one.global_id), str(one.body["object"]["status"])) for one in issue.remote_links
        ),
        "sub-tasks": sum(one.parent_id == issue.id for one in _lasting(arena)),
    }


def _pull(arena: Arena, pull: Any) -> dict[str, Any]:
    record = from_hidden(pull.body or "")
    return {
        "between": (pull.head, pull.base),
        "state": (pull.state, pull.draft, bool(pull.merged_at)),
        "title": pull.title,
        "labels": sorted(pull.labels),
        "reviewers": sorted(one.login for one in pull.requested),
        "record": record and (record.key, record.base, record.stacked_on, record.check_fixes, record.item),
        "answers": len(re.findall("<!-- ai-runner answers", "\n".join(_said(pull)))),
    }


def _branch(arena: Arena, sha: str) -> dict[str, Any]:
    main = arena.hub.git.branch("main")
    commits = arena.hub.git.log(f"{main}..{sha}")
    files = {one.path for one in arena.hub.git.entries(sha, recursive=True) if one.type == "blob"}
    return {
        "ours": sum(INPUT_TRAILER in commit.message for commit in commits),
        "all": len(commits),
        "files": sorted(files),
    }


def differences(expected: dict[str, Any], actual: dict[str, Any]) -> list[str]:
    """Where two ends differ."""
    return [
        f"{name}: expected {expected.get(name)}, got {actual.get(name)}"
        for name in sorted(expected.keys() | actual.keys())
        if expected.get(name) != actual.get(name)
    ]


def is_at_rest(ran: Ran) -> bool:
    """Whether a run found nothing to do."""
    return ran.writes == 0 and ran.model_calls == 0


def state_of(issue: Issue) -> phases.State:
    """Where a ticket stands."""
    ticket = Ticket(
        key=issue.key,
        id=issue.id,
        project_key=issue.project.key,
        project_id=issue.project.id,
        type=TicketType(id=issue.type.id, name=issue.type.name, level=issue.type.level),
        summary=issue.summary,
        status=Status(name=issue.status.name, category=issue.status.category),
        assignee=None,
        reporter=None,
        creator=None,
        labels=frozenset(issue.labels),
    )
    return phases.state_of(ticket, POLICY)
