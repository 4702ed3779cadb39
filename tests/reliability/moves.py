"""What people may do at any moment. Each move is tried; one that Jira or GitHub refuses did not happen."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import requests

from runner.sandbox.jira.adf import from_text
from runner.sandbox.jira.records import StoredComment
from runner.sandbox.people import Refused
from tests.reliability.arena import PROJECT, Arena

Move = Callable[[Arena, str], object]


def _number(arena: Arena, key: str) -> int:
    found = [one.number for one in arena.hub.pulls.values() if one.head == f"ai/{key}"]
    if not found:
        raise Refused(f"{key} has no pull request")
    return found[-1]


def _commit(arena: Arena, key: str) -> None:
    branch = f"ai/{key}"
    if arena.hub.git.branch(branch) is None:
        raise Refused(f"there is no {branch}")
    notes = arena.notes.setdefault("human commits", {})
    sha = arena.commit_by_person(branch, f"NOTES-{len(notes)}.md", f"{key} {len(notes)}\n".encode())
    notes[sha] = branch


def _delete_sub_task(arena: Arena, key: str) -> None:
    issue = arena.issue(key)
    if issue.parent_id is None or len(arena.site.issues[issue.parent_id].sub_task_ids) < 2:
        raise Refused("the last one stays")
    arena.site.delete_issue(issue)


def _newest_of_ours(arena: Arena, key: str) -> StoredComment:
    found = [one for one in arena.issue(key).comments if one.author == arena.bot]
    if not found:
        raise Refused(f"the runner said nothing on {key}")
    return found[-1]


def _edit_comment_of_ours(arena: Arena, key: str) -> None:
    """With the permission to edit all comments; the last line stays."""
    comment = _newest_of_ours(arena, key)
    body = {**comment.body, "content": [*from_text("No, wait.")["content"], *comment.body["content"]]}
    arena.site.edit_comment(arena.issue(key), comment, arena.rita.account, body)


def _delete_comment_of_ours(arena: Arena, key: str) -> None:
    arena.issue(key).comments.remove(_newest_of_ours(arena, key))


def _clone(arena: Arena, key: str) -> None:
    issue = arena.issue(key)
    if issue.parent_id is None:
        raise Refused("only sub-tasks are cloned here")
    parent = arena.site.issues[issue.parent_id].key
    if len(arena.sub_tasks(parent)) > 4:
        raise Refused("enough of them")
    labels = sorted(arena.labels(key))
    arena.rita.create_ticket("CLONE", type="Sub-task", project=PROJECT, parent=parent, labels=labels)


def _reorder(arena: Arena, key: str) -> None:
    arena.issue(key).sub_task_ids.reverse()


def _comment_and_give(arena: Arena, key: str) -> None:
    arena.rey.comment(key, "Please.")
    arena.rey.assign(key, arena.bot)


MOVES: Mapping[str, Move] = {
    "comment": lambda arena, key: arena.rey.comment(key, "One more thing."),
    "give to the runner": lambda arena, key: arena.rey.assign(key, arena.bot),
    "take": lambda arena, key: arena.rey.assign(key, arena.rey.account),
    "comment and give": _comment_and_give,
    "to Backlog": lambda arena, key: arena.ada.move(key, "Backlog"),
    "to In Progress": lambda arena, key: arena.ada.move(key, "In Progress"),
    "to In Testing": lambda arena, key: arena.ada.move(key, "In Testing"),
    "to Blocked": lambda arena, key: arena.ada.move(key, "Blocked"),
    "to Done": lambda arena, key: arena.ada.move(key, "Done"),
    "rewrite": lambda arena, key: arena.rita.rewrite(key, description=f"Otherwise, {arena.clock.passed}."),
    "stop": lambda arena, key: arena.rita.label(key, add=["ai:stop"]),
    "go on": lambda arena, key: arena.rita.label(key, remove=["ai:stop"]),
    "ignore": lambda arena, key: arena.rita.label(key, add=["ai:ignore"]),
    "mind again": lambda arena, key: arena.rita.label(key, remove=["ai:ignore"]),
    "unfail": lambda arena, key: arena.rita.label(key, remove=["ai:failed"]),
    "commit": _commit,
    "request changes": lambda arena, key: arena.reviewer.review(
        _number(arena, key), "REQUEST_CHANGES", "No."
    ),
    "say in the pull request": lambda arena, key: arena.reviewer.comment(_number(arena, key), "Hm."),
    "merge": lambda arena, key: arena.reviewer.merge(_number(arena, key)),
    "squash": lambda arena, key: arena.reviewer.merge(_number(arena, key), method="squash"),
    "close": lambda arena, key: arena.reviewer.close(_number(arena, key)),
    "open again": lambda arena, key: arena.reviewer.request(
        "PATCH", f"pulls/{_number(arena, key)}", state="open"
    ),
    "delete the branch": lambda arena, key: arena.delete_branch(f"ai/{key}"),
    "fail a check": lambda arena, key: arena.fail_check(f"ai/{key}"),
    "delete": _delete_sub_task,
    "edit the runner's comment": _edit_comment_of_ours,
    "delete the runner's comment": _delete_comment_of_ours,
    "clone": _clone,
    "reorder": _reorder,
}


def make(arena: Arena, name: str, key: str) -> bool:
    """Make a move; whether it was possible."""
    arena.clock.advance(7)
    try:
        MOVES[name](arena, key)
    except (Refused, requests.HTTPError, AssertionError):
        return False
    except Exception as exc:
        if type(exc).__name__ in ("ApiError", "JiraError", "GitError"):
            return False
        raise
    return True


def any_move(arena: Arena, choice: random.Random) -> tuple[str, str]:
    """A move and a ticket for it."""
    return choice.choice(sorted(MOVES)), choice.choice(sorted(one.key for one in arena.site.issues.values()))
