"""GitHub's JSON into our records. Pure; what is missing or foreign raises, which the caller reads as a failed read.

**Who is who.** REST calls an app ``name[bot]``, GraphQL the same app ``name``; here it is always ``name[bot]``.
Apps and deleted accounts are no persons.

**Drafts.** A pull request whose title begins with ``[draft] `` is a draft, and its title comes without the prefix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from runner.core.model import CheckResult, CommitInfo, PullRequest, PullRequestGlance, iso

DRAFT_PREFIX = "[draft] "
SUMMARY_LIMIT = 4_000
GHOST = "ghost"

_TRAILER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*):[ \t]*(.*)")
# What GitHub adds to these one day is neither a success nor a failure.
_CONCLUSIONS: Mapping[str, Literal["success", "failure", "neutral", "pending"]] = {
    "success": "success",
    "failure": "failure",
    "timed_out": "failure",
    "startup_failure": "failure",
    "error": "failure",
    "cancelled": "neutral",
    "neutral": "neutral",
    "skipped": "neutral",
    "stale": "neutral",
    # A person has to press something before it can run.
    "action_required": "pending",
    "pending": "pending",
}


@dataclass(frozen=True, kw_only=True)
class Author:
    """Somebody who wrote something."""

    login: str
    is_person: bool


def rest_author(user: Mapping[str, Any] | None) -> Author:
    """Whom REST names; nobody is a deleted account."""
    if user is None:
        return Author(login=GHOST, is_person=False)
    return Author(login=user["login"], is_person=user["type"] == "User" and user["login"] != GHOST)


def graphql_author(actor: Mapping[str, Any] | None) -> Author:
    """Whom GraphQL names; nobody is a deleted account."""
    if actor is None:
        return Author(login=GHOST, is_person=False)
    login = str(actor["login"])
    if actor["__typename"] == "Bot" and not login.endswith("[bot]"):
        login += "[bot]"
    return Author(login=login, is_person=actor["__typename"] == "User")


def moment(text: str | None) -> str:
    """A moment as the records keep it; empty for one that has not come."""
    return iso(datetime.fromisoformat(text)) if text else ""


def has_prefix(title: str) -> bool:
    """Whether a title says that its pull request is a draft."""
    return title.casefold().startswith(DRAFT_PREFIX.strip())


def without_prefix(title: str) -> str:
    """A title as its author wrote it."""
    return title[len(DRAFT_PREFIX.strip()) :].lstrip() if has_prefix(title) else title


def pull_request_record(data: Mapping[str, Any], *, is_ours: Callable[[str], bool]) -> PullRequest:
    """A pull request without what people and checks said about it."""
    author = rest_author(data["user"])
    is_merged = data["merged_at"] is not None
    return PullRequest(
        number=data["number"],
        url=data["html_url"],
        title=without_prefix(data["title"]),
        body=data["body"] or "",
        state=data["state"],
        is_merged=is_merged,
        is_draft=bool(data["draft"]) or has_prefix(data["title"]),
        head=data["head"]["ref"],
        head_sha=data["head"]["sha"],
        base=data["base"]["ref"],
        author=author.login,
        is_ours=is_ours(author.login),
        created=moment(data["created_at"]),
        updated=moment(data["updated_at"]),
        closed_at=moment(data["closed_at"]),
        merge_sha=(data["merge_commit_sha"] or "") if is_merged else "",
        node_id=data["node_id"],
        labels=frozenset(label["name"] for label in data["labels"]),
        requested_reviewers=tuple(user["login"] for user in data["requested_reviewers"]),
    )


def glance(data: Mapping[str, Any]) -> PullRequestGlance:
    """The little of a pull request that a look at many needs."""
    return PullRequestGlance(
        number=data["number"],
        head=data["head"]["ref"],
        base=data["base"]["ref"],
        is_open=data["state"] == "open",
        is_merged=data["merged_at"] is not None,
        updated=moment(data["updated_at"]),
    )


def commit_info(item: Mapping[str, Any]) -> CommitInfo:
    """A commit of any of GitHub's lists, with its trailers."""
    commit = item["commit"]
    return CommitInfo(
        sha=item["sha"],
        message=commit["message"],
        author_email=(commit["author"] or {}).get("email") or "",
        trailers=trailers(commit["message"]),
        parents=tuple(parent["sha"] for parent in item["parents"]),
        committed=moment((commit["committer"] or {}).get("date")),
    )


def trailers(message: str) -> dict[str, str]:
    """The ``Key: value`` lines of a commit message's last paragraph; the subject is never one.

    Of a repeated key the last value counts. An indented line continues the value before it.
    """
    paragraphs = re.split(r"\n[ \t]*\n", message.replace("\r\n", "\n").strip())
    found: dict[str, str] = {}
    key = ""
    for line in paragraphs[-1].splitlines() if len(paragraphs) > 1 else ():
        if match := _TRAILER.fullmatch(line):
            key = match[1]
            found[key] = match[2].strip()
        elif key and line[:1].isspace():
            found[key] = f"{found[key]} {line.strip()}"
    return found


def check_run(data: Mapping[str, Any]) -> CheckResult:
    """A run of a check by an app."""
    output = data.get("output") or {}
    texts = (output.get("title"), output.get("summary"), output.get("text"))
    is_complete = data["status"] == "completed"
    return CheckResult(
        id=f"check-run-{data['id']}",
        name=data["name"],
        conclusion=_CONCLUSIONS.get(data["conclusion"], "neutral") if is_complete else "pending",
        summary="\n\n".join(text for text in texts if text)[:SUMMARY_LIMIT],
        url=data.get("html_url") or data.get("details_url") or "",
        completed=moment(data.get("completed_at")) if is_complete else "",
    )


def status(data: Mapping[str, Any]) -> CheckResult:
    """A commit status, the older kind of check."""
    conclusion = _CONCLUSIONS.get(data["state"], "neutral")
    return CheckResult(
        id=f"status-{data['id']}",
        name=data["context"],
        conclusion=conclusion,
        summary=(data.get("description") or "")[:SUMMARY_LIMIT],
        url=data.get("target_url") or "",
        completed=moment(data["updated_at"]) if conclusion != "pending" else "",
    )
