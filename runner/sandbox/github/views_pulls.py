"""The JSON that GitHub shows of pull requests and of what people say about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.sandbox.github import views
from runner.sandbox.github.state import (
    IssueComment,
    Label,
    Pull,
    Review,
    ReviewComment,
    Thread,
    Token,
)

if TYPE_CHECKING:
    from runner.sandbox.github.hub import Hub

Json = dict[str, Any]


def label(hub: Hub, one: Label) -> Json:
    """A label."""
    return {
        "id": one.id,
        "node_id": views.node_id("LA", one.id),
        "url": views.api(hub, f"/labels/{one.name}"),
        "name": one.name,
        "color": one.color,
        "default": False,
        "description": one.description,
    }


def labels(hub: Hub, pull: Pull) -> list[Json]:
    """A pull request's labels; there GitHub's description never admits an absent text."""
    shown = [label(hub, hub.labels[name]) for name in pull.labels]
    return [{**one, "description": one["description"] or ""} for one in shown]


def _side(hub: Hub, ref: str, sha: str) -> Json:
    return {
        "label": f"{hub.owner_login}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": views.user(hub, hub.owner),
        "repo": views.repository(hub),
    }


def pull_simple(hub: Hub, pull: Pull) -> Json:
    """A pull request in a listing."""
    url, issue_url = views.api(hub, f"/pulls/{pull.number}"), views.api(hub, f"/issues/{pull.number}")
    page = views.html(hub, f"/pull/{pull.number}")
    links = {
        "self": url,
        "html": page,
        "issue": issue_url,
        "comments": f"{issue_url}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": views.api(hub, "/pulls/comments{/number}"),
        "commits": f"{url}/commits",
        "statuses": views.api(hub, f"/statuses/{pull.head_sha}"),
    }
    return {
        "url": url,
        "id": pull.id,
        "node_id": views.node_id("PR", pull.id),
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": issue_url,
        "number": pull.number,
        "state": pull.state,
        "locked": False,
        "title": pull.title,
        "user": views.user(hub, pull.author),
        "body": pull.body,
        "created_at": pull.created_at,
        "updated_at": pull.updated_at,
        "closed_at": pull.closed_at,
        "merged_at": pull.merged_at,
        "merge_commit_sha": pull.merge_commit_sha or test_merge(hub, pull),
        "assignee": views.user(hub, pull.assignees[0]) if pull.assignees else None,
        "assignees": [views.user(hub, one) for one in pull.assignees],
        "requested_reviewers": [views.user(hub, one) for one in pull.requested],
        "requested_teams": [],
        "labels": labels(hub, pull),
        "milestone": None,
        "draft": pull.draft,
        "commits_url": links["commits"],
        "review_comments_url": links["review_comments"],
        "review_comment_url": links["review_comment"],
        "comments_url": links["comments"],
        "statuses_url": links["statuses"],
        "head": _side(hub, pull.head, pull.head_sha),
        "base": _side(hub, pull.base, pull.base_sha),
        "_links": {name: {"href": target} for name, target in links.items()},
        "author_association": hub.association(pull.author),
        "auto_merge": None,
        "active_lock_reason": None,
    }


def test_merge(hub: Hub, pull: Pull) -> str | None:
    """The commit GitHub makes to try a merge, which an open pull request shows as its merge commit."""
    base = hub.git.branch(pull.base)
    tree = hub.git.merged_tree(base, pull.head_sha) if base and pull.is_open else None
    if tree is None or base is None:
        return None
    key = (base, pull.head_sha)
    if key not in hub.test_merges:
        trier = hub.git.commit(pull.head_sha).committer
        message = f"Merge {pull.head_sha} into {base}"
        hub.test_merges[key] = hub.git.write_commit(tree, key, message, author=trier, committer=trier)
    return hub.test_merges[key]


def pull(hub: Hub, one: Pull, token: Token | None) -> Json:
    """A pull request in full."""
    comparison = hub.comparison(one)
    mergeable = hub.mergeable(one)
    return {
        **pull_simple(hub, one),
        "merged": one.merged_at is not None,
        "mergeable": mergeable,
        "rebaseable": mergeable,
        "mergeable_state": _mergeable_state(hub, one, mergeable=mergeable),
        "merged_by": views.user(hub, one.merged_by) if one.merged_by else None,
        "comments": len(one.comments),
        "review_comments": len(visible_comments(one, token)),
        "maintainer_can_modify": False,
        "commits": len(comparison.ahead),
        "additions": sum(file.additions for file in comparison.files),
        "deletions": sum(file.deletions for file in comparison.files),
        "changed_files": len(comparison.files),
    }


def _mergeable_state(hub: Hub, pull: Pull, *, mergeable: bool | None) -> str:
    if mergeable is None:
        return "unknown"
    if not mergeable:
        return "dirty"
    if pull.draft:
        return "draft"
    runs = [run for run in hub.checks if run.head_sha == pull.head_sha]
    is_green = all(run.conclusion in ("success", "neutral", "skipped") for run in runs)
    return "clean" if is_green else "unstable"


def pull_minimal(hub: Hub, pull: Pull) -> Json:
    """A pull request as checks and runs refer to it."""
    repo = {"id": hub.id, "url": views.api(hub), "name": hub.name}
    return {
        "id": pull.id,
        "number": pull.number,
        "url": views.api(hub, f"/pulls/{pull.number}"),
        "head": {"ref": pull.head, "sha": pull.head_sha, "repo": repo},
        "base": {"ref": pull.base, "sha": pull.base_sha, "repo": repo},
    }


def issue(hub: Hub, pull: Pull) -> Json:
    """The issue side of a pull request."""
    url, page = views.api(hub, f"/issues/{pull.number}"), views.html(hub, f"/pull/{pull.number}")
    return {
        "url": url,
        "repository_url": views.api(hub),
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "timeline_url": f"{url}/timeline",
        "html_url": page,
        "id": pull.id,
        "node_id": views.node_id("PR", pull.id),
        "number": pull.number,
        "title": pull.title,
        "user": views.user(hub, pull.author),
        "labels": labels(hub, pull),
        "state": pull.state,
        "state_reason": None,
        "locked": False,
        "active_lock_reason": None,
        "assignee": views.user(hub, pull.assignees[0]) if pull.assignees else None,
        "assignees": [views.user(hub, one) for one in pull.assignees],
        "milestone": None,
        "comments": len(pull.comments),
        "created_at": pull.created_at,
        "updated_at": pull.updated_at,
        "closed_at": pull.closed_at,
        "closed_by": views.user(hub, pull.closed_by) if pull.closed_by else None,
        "author_association": hub.association(pull.author),
        "draft": pull.draft,
        "pull_request": {
            "url": views.api(hub, f"/pulls/{pull.number}"),
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "merged_at": pull.merged_at,
        },
        "body": pull.body,
    }


def reactions(url: str) -> Json:
    """Nobody reacts in here."""
    kinds = ("total_count", "+1", "-1", "laugh", "confused", "heart", "hooray", "eyes", "rocket")
    return {"url": f"{url}/reactions", **dict.fromkeys(kinds, 0)}


def issue_comment(hub: Hub, pull: Pull, comment: IssueComment) -> Json:
    """A comment of the conversation."""
    url = views.api(hub, f"/issues/comments/{comment.id}")
    return {
        "url": url,
        "html_url": views.html(hub, f"/pull/{pull.number}#issuecomment-{comment.id}"),
        "issue_url": views.api(hub, f"/issues/{pull.number}"),
        "id": comment.id,
        "node_id": views.node_id("IC", comment.id),
        "user": views.user(hub, comment.author),
        "created_at": comment.created_at,
        "updated_at": comment.updated_at,
        "body": comment.body,
        "author_association": hub.association(comment.author),
        "reactions": reactions(url),
        "performed_via_github_app": None,
    }


def review(hub: Hub, pull: Pull, one: Review) -> Json:
    """A review; a pending one has no moment of submission."""
    page = views.html(hub, f"/pull/{pull.number}#pullrequestreview-{one.id}")
    pull_url = views.api(hub, f"/pulls/{pull.number}")
    shown: Json = {
        "id": one.id,
        "node_id": views.node_id("PRR", one.id),
        "user": views.user(hub, one.author),
        "body": one.body,
        "state": one.state,
        "html_url": page,
        "pull_request_url": pull_url,
        "author_association": hub.association(one.author),
        "_links": {"html": {"href": page}, "pull_request": {"href": pull_url}},
        "commit_id": one.commit_id,
    }
    return {**shown, "submitted_at": one.submitted_at} if one.submitted_at else shown


def visible_comments(pull: Pull, token: Token | None) -> list[tuple[Thread, ReviewComment]]:
    """Review comments, oldest first; a pending review shows to its author only."""
    found = [
        (thread, comment)
        for thread in pull.threads
        for comment in thread.comments
        if comment.review.state != "PENDING" or (token and token.login == comment.author.login)
    ]
    return sorted(found, key=lambda pair: pair[1].id)


def review_comment(hub: Hub, pull: Pull, thread: Thread, comment: ReviewComment) -> Json:
    """A comment of a review thread. An outdated one has lost its current line and position."""
    url = views.api(hub, f"/pulls/comments/{comment.id}")
    page = views.html(hub, f"/pull/{pull.number}#discussion_r{comment.id}")
    pull_url = views.api(hub, f"/pulls/{pull.number}")
    line = hub.line_now(pull, thread)
    shown: Json = {
        "url": url,
        "pull_request_review_id": comment.review.id,
        "id": comment.id,
        "node_id": views.node_id("PRRC", comment.id),
        "diff_hunk": thread.diff_hunk,
        "path": thread.path,
        "commit_id": pull.head_sha if line else thread.commit_id,
        "original_commit_id": thread.commit_id,
        "original_position": thread.position,
        "user": views.user(hub, comment.author),
        "body": comment.body,
        "created_at": comment.created_at,
        "updated_at": comment.updated_at,
        "html_url": page,
        "pull_request_url": pull_url,
        "author_association": hub.association(comment.author),
        "_links": {"self": {"href": url}, "html": {"href": page}, "pull_request": {"href": pull_url}},
        "side": thread.side,
        "start_line": thread.start_line,
        "original_start_line": thread.start_line,
        "start_side": thread.side if thread.start_line else None,
        "subject_type": "line" if thread.line else "file",
        "reactions": reactions(url),
    }
    if thread.line:
        shown["original_line"] = thread.line
    if line:
        shown.update(line=line, position=thread.position)
    if comment is not thread.comments[0]:
        shown["in_reply_to_id"] = thread.comments[0].id
    return shown
