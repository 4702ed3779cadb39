"""The JSON that GitHub shows of its records."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from runner.sandbox.github.repository import ZERO, Commit, DiffFile, Entry, diff_of
from runner.sandbox.github.state import (
    CheckRun,
    CommitStatus,
    IssueComment,
    Label,
    Pull,
    Review,
    ReviewComment,
    Thread,
    Token,
    User,
    WorkflowRun,
)

if TYPE_CHECKING:
    from runner.sandbox.github.hub import Hub

Json = dict[str, Any]

_REPOSITORY_URLS = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}
_USER_URLS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}


def api(hub: Hub, path: str = "") -> str:
    """An address below this repository's API."""
    return f"{hub.url}/repos/{hub.full_name}{path}"


def html(hub: Hub, path: str = "") -> str:
    """An address below this repository's pages."""
    return f"{hub.url}/{hub.full_name}{path}"


def node_id(prefix: str, number: int) -> str:
    """A global id, opaque to clients."""
    return f"{prefix}_kwDO{number:08d}"


def user(hub: Hub, one: User) -> Json:
    """An account as it appears inside other answers."""
    url = f"{hub.url}/users/{one.login}"
    return {
        "login": one.login,
        "id": one.id,
        "node_id": node_id({"User": "U", "Bot": "BOT", "Organization": "O"}[one.type], one.id),
        "avatar_url": f"{hub.url}/avatars/{one.id}",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{hub.url}/{one.login}",
        **{name: url + tail for name, tail in _USER_URLS.items()},
        "type": one.type,
        "user_view_type": "public",
        "site_admin": False,
    }


def profile(hub: Hub, one: User) -> Json:
    """An account's public profile."""
    empty = ("name", "company", "location", "email", "hireable", "bio", "twitter_username")
    return {
        **user(hub, one),
        **dict.fromkeys(empty),
        "blog": "",
        "public_repos": 0,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": hub.created_at,
        "updated_at": hub.created_at,
    }


def permissions(hub: Hub, token: Token | None) -> Json:
    """What the caller may do, as repositories tell it."""
    role = hub.actor(token).role if token else "none"
    may_push = bool(token) and hub.allows(token, ("contents", "write"))
    return {
        "admin": role == "admin",
        "maintain": role == "admin",
        "push": may_push,
        "triage": may_push,
        "pull": hub.allows(token, ("contents", "read")),
    }


def minimal_repository(hub: Hub) -> Json:
    """A repository's identity and addresses."""
    return {
        "id": hub.id,
        "node_id": node_id("R", hub.id),
        "name": hub.name,
        "full_name": hub.full_name,
        "owner": user(hub, hub.owner),
        "private": hub.private,
        "html_url": html(hub),
        "description": None,
        "fork": False,
        "url": api(hub),
        **{name: api(hub, tail) for name, tail in _REPOSITORY_URLS.items()},
    }


def repository(hub: Hub) -> Json:
    """A repository as pull requests and events carry it."""
    open_pulls = sum(pull.is_open for pull in hub.pulls.values())
    return {
        **minimal_repository(hub),
        "clone_url": f"{html(hub)}.git",
        "git_url": f"{html(hub)}.git",
        "ssh_url": f"{html(hub)}.git",
        "svn_url": html(hub),
        "mirror_url": None,
        "homepage": None,
        "language": None,
        "license": None,
        "visibility": "private" if hub.private else "public",
        "default_branch": hub.default_branch,
        "topics": [],
        **dict.fromkeys(
            ("has_issues", "has_projects", "has_wiki", "has_downloads", "has_pull_requests"), True
        ),
        **dict.fromkeys(("has_pages", "has_discussions", "archived", "disabled", "is_template"), False),
        **dict.fromkeys(
            ("size", "forks", "forks_count", "stargazers_count", "watchers", "watchers_count"), 0
        ),
        "open_issues": open_pulls,
        "open_issues_count": open_pulls,
        "allow_forking": not hub.private,
        "web_commit_signoff_required": False,
        "pushed_at": hub.created_at,
        "created_at": hub.created_at,
        "updated_at": hub.created_at,
    }


def full_repository(hub: Hub, token: Token | None) -> Json:
    """The repository's own answer; merge settings show to those who may push."""
    rights = permissions(hub, token)
    settings = {
        "allow_merge_commit": "merge" in hub.merge_methods,
        "allow_squash_merge": "squash" in hub.merge_methods,
        "allow_rebase_merge": "rebase" in hub.merge_methods,
        "allow_auto_merge": False,
        "allow_update_branch": False,
        "delete_branch_on_merge": hub.delete_branch_on_merge,
    }
    return {
        **repository(hub),
        "permissions": rights,
        **(settings if rights["push"] else {}),
        "organization": user(hub, hub.owner),
        "network_count": 0,
        "subscribers_count": 0,
    }


# Git


def git_user(signature: Any) -> Json:
    """An author or committer as the commit names it."""
    return {"name": signature.name, "email": signature.email, "date": signature.date}


def verification(hub: Hub, one: Commit) -> Json:
    """Whether GitHub vouches for the commit's signature."""
    is_signed = hub.is_verified(one.sha)
    return {
        "verified": is_signed,
        "reason": "valid" if is_signed else "unsigned",
        "signature": "-----BEGIN PGP SIGNATURE-----" if is_signed else None,
        "payload": f"tree {one.tree}" if is_signed else None,
        "verified_at": one.committer.date if is_signed else None,
    }


def commit(hub: Hub, one: Commit, *, with_files: bool = False) -> Json:
    """A commit as the commits API shows it."""
    author = hub.user_by_email(one.author.email)
    committer = hub.user_by_email(one.committer.email)
    url = api(hub, f"/commits/{one.sha}")
    shown: Json = {
        "sha": one.sha,
        "node_id": f"C_{one.sha}",
        "commit": {
            "author": git_user(one.author),
            "committer": git_user(one.committer),
            "message": one.message,
            "tree": {"sha": one.tree, "url": api(hub, f"/git/trees/{one.tree}")},
            "url": api(hub, f"/git/commits/{one.sha}"),
            "comment_count": 0,
            "verification": verification(hub, one),
        },
        "url": url,
        "html_url": html(hub, f"/commit/{one.sha}"),
        "comments_url": f"{url}/comments",
        "author": user(hub, author) if author else None,
        "committer": user(hub, committer) if committer else None,
        "parents": [_parent(hub, sha) for sha in one.parents],
    }
    if with_files:
        files = diff_of(hub.git, one)
        added, deleted = sum(file.additions for file in files), sum(file.deletions for file in files)
        shown["stats"] = {"additions": added, "deletions": deleted, "total": added + deleted}
        shown["files"] = [diff_file(hub, file, one.sha) for file in files]
    return shown


def _parent(hub: Hub, sha: str) -> Json:
    return {"sha": sha, "url": api(hub, f"/commits/{sha}"), "html_url": html(hub, f"/commit/{sha}")}


def git_commit(hub: Hub, one: Commit) -> Json:
    """A commit as the git data API shows it."""
    return {
        "sha": one.sha,
        "node_id": f"C_{one.sha}",
        "url": api(hub, f"/git/commits/{one.sha}"),
        "html_url": html(hub, f"/commit/{one.sha}"),
        "author": git_user(one.author),
        "committer": git_user(one.committer),
        "tree": {"sha": one.tree, "url": api(hub, f"/git/trees/{one.tree}")},
        "message": one.message,
        "parents": [_parent(hub, sha) for sha in one.parents],
        "verification": verification(hub, one),
    }


def git_ref(hub: Hub, name: str, sha: str) -> Json:
    """A ref and what it points to."""
    kind = hub.git.type_of(sha) or "commit"
    return {
        "ref": name,
        "node_id": f"REF_{name}",
        "url": api(hub, f"/git/{name}"),
        "object": {"sha": sha, "type": kind, "url": api(hub, f"/git/{kind}s/{sha}")},
    }


def diff_file(hub: Hub, file: DiffFile, sha: str) -> Json:
    """One changed file."""
    shown: Json = {
        "sha": file.sha if file.sha != ZERO else None,
        "filename": file.path,
        "status": file.status,
        "additions": file.additions,
        "deletions": file.deletions,
        "changes": file.additions + file.deletions,
        "blob_url": html(hub, f"/blob/{sha}/{file.path}"),
        "raw_url": html(hub, f"/raw/{sha}/{file.path}"),
        "contents_url": api(hub, f"/contents/{file.path}?ref={sha}"),
    }
    if file.patch:
        shown["patch"] = file.patch
    if file.previous:
        shown["previous_filename"] = file.previous
    return shown


def content_entry(hub: Hub, entry: Entry, path: str, ref: str) -> Json:
    """A file or folder in a listing."""
    url = api(hub, f"/contents/{path}?ref={ref}")
    kind = {"tree": "dir", "commit": "submodule"}.get(
        entry.type, "symlink" if entry.mode == "120000" else "file"
    )
    git_url = api(hub, f"/git/{'trees' if kind == 'dir' else 'blobs'}/{entry.sha}")
    page = html(hub, f"/{'tree' if kind == 'dir' else 'blob'}/{ref}/{path}")
    return {
        "type": kind,
        "size": entry.size or 0,
        "name": path.rsplit("/", 1)[-1],
        "path": path,
        "sha": entry.sha,
        "url": url,
        "git_url": git_url,
        "html_url": page,
        "download_url": None if kind == "dir" else html(hub, f"/raw/{ref}/{path}"),
        "_links": {"self": url, "git": git_url, "html": page},
    }


def content_file(hub: Hub, entry: Entry, path: str, ref: str) -> Json:
    """A file with its content, in base64 lines."""
    data = hub.git.blob(entry.sha)
    shown = content_entry(hub, entry, path, ref)
    if shown["type"] == "symlink":
        return {**shown, "target": data.decode(errors="replace")}
    return {**shown, "encoding": "base64", "content": base64.encodebytes(data).decode()}


def short_branch(hub: Hub, name: str, sha: str) -> Json:
    """A branch in a listing."""
    return {
        "name": name,
        "commit": {"sha": sha, "url": api(hub, f"/commits/{sha}")},
        "protected": name in hub.protected,
    }


def branch(hub: Hub, name: str, sha: str) -> Json:
    """A branch with its newest commit."""
    url = api(hub, f"/branches/{name}")
    return {
        **short_branch(hub, name, sha),
        "commit": commit(hub, hub.git.commit(sha)),
        "_links": {"self": url, "html": html(hub, f"/tree/{name}")},
        "protection": {"enabled": name in hub.protected},
        "protection_url": f"{url}/protection",
    }


def push(hub: Hub, name: str, old: str | None, new: str | None) -> Json:
    """The payload of a push, without repository and sender."""
    arguments = [f"{old}..{new}"] if old and new else []
    commits = hub.git.log("--reverse", "--max-count=20", *arguments) if arguments else []
    shown = [
        {
            "id": one.sha,
            "message": one.message,
            "timestamp": one.committer.date,
            "author": git_user(one.author),
        }
        for one in commits
    ]
    return {
        "ref": f"refs/heads/{name}",
        "before": old or ZERO,
        "after": new or ZERO,
        "created": old is None,
        "deleted": new is None,
        "forced": bool(old and new) and not hub.git.is_ancestor(f"{old}", f"{new}"),
        "commits": shown,
        "head_commit": shown[-1] if shown else None,
    }


# Pull requests


def label(hub: Hub, one: Label) -> Json:
    """A label."""
    return {
        "id": one.id,
        "node_id": node_id("LA", one.id),
        "url": api(hub, f"/labels/{one.name}"),
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
        "user": user(hub, hub.owner),
        "repo": repository(hub),
    }


def pull_simple(hub: Hub, pull: Pull) -> Json:
    """A pull request in a listing."""
    url, issue_url = api(hub, f"/pulls/{pull.number}"), api(hub, f"/issues/{pull.number}")
    page = html(hub, f"/pull/{pull.number}")
    links = {
        "self": url,
        "html": page,
        "issue": issue_url,
        "comments": f"{issue_url}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": api(hub, "/pulls/comments{/number}"),
        "commits": f"{url}/commits",
        "statuses": api(hub, f"/statuses/{pull.head_sha}"),
    }
    return {
        "url": url,
        "id": pull.id,
        "node_id": node_id("PR", pull.id),
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": issue_url,
        "number": pull.number,
        "state": pull.state,
        "locked": False,
        "title": pull.title,
        "user": user(hub, pull.author),
        "body": pull.body,
        "created_at": pull.created_at,
        "updated_at": pull.updated_at,
        "closed_at": pull.closed_at,
        "merged_at": pull.merged_at,
        "merge_commit_sha": pull.merge_commit_sha or test_merge(hub, pull),
        "assignee": user(hub, pull.assignees[0]) if pull.assignees else None,
        "assignees": [user(hub, one) for one in pull.assignees],
        "requested_reviewers": [user(hub, one) for one in pull.requested],
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
        "merged_by": user(hub, one.merged_by) if one.merged_by else None,
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
    repo = {"id": hub.id, "url": api(hub), "name": hub.name}
    return {
        "id": pull.id,
        "number": pull.number,
        "url": api(hub, f"/pulls/{pull.number}"),
        "head": {"ref": pull.head, "sha": pull.head_sha, "repo": repo},
        "base": {"ref": pull.base, "sha": pull.base_sha, "repo": repo},
    }


def issue(hub: Hub, pull: Pull) -> Json:
    """The issue side of a pull request."""
    url, page = api(hub, f"/issues/{pull.number}"), html(hub, f"/pull/{pull.number}")
    return {
        "url": url,
        "repository_url": api(hub),
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "timeline_url": f"{url}/timeline",
        "html_url": page,
        "id": pull.id,
        "node_id": node_id("PR", pull.id),
        "number": pull.number,
        "title": pull.title,
        "user": user(hub, pull.author),
        "labels": labels(hub, pull),
        "state": pull.state,
        "state_reason": None,
        "locked": False,
        "active_lock_reason": None,
        "assignee": user(hub, pull.assignees[0]) if pull.assignees else None,
        "assignees": [user(hub, one) for one in pull.assignees],
        "milestone": None,
        "comments": len(pull.comments),
        "created_at": pull.created_at,
        "updated_at": pull.updated_at,
        "closed_at": pull.closed_at,
        "closed_by": user(hub, pull.closed_by) if pull.closed_by else None,
        "author_association": hub.association(pull.author),
        "draft": pull.draft,
        "pull_request": {
            "url": api(hub, f"/pulls/{pull.number}"),
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
    url = api(hub, f"/issues/comments/{comment.id}")
    return {
        "url": url,
        "html_url": html(hub, f"/pull/{pull.number}#issuecomment-{comment.id}"),
        "issue_url": api(hub, f"/issues/{pull.number}"),
        "id": comment.id,
        "node_id": node_id("IC", comment.id),
        "user": user(hub, comment.author),
        "created_at": comment.created_at,
        "updated_at": comment.updated_at,
        "body": comment.body,
        "author_association": hub.association(comment.author),
        "reactions": reactions(url),
        "performed_via_github_app": None,
    }


def review(hub: Hub, pull: Pull, one: Review) -> Json:
    """A review; a pending one has no moment of submission."""
    page = html(hub, f"/pull/{pull.number}#pullrequestreview-{one.id}")
    pull_url = api(hub, f"/pulls/{pull.number}")
    shown: Json = {
        "id": one.id,
        "node_id": node_id("PRR", one.id),
        "user": user(hub, one.author),
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
    url = api(hub, f"/pulls/comments/{comment.id}")
    page = html(hub, f"/pull/{pull.number}#discussion_r{comment.id}")
    pull_url = api(hub, f"/pulls/{pull.number}")
    line = hub.line_now(pull, thread)
    shown: Json = {
        "url": url,
        "pull_request_review_id": comment.review.id,
        "id": comment.id,
        "node_id": node_id("PRRC", comment.id),
        "diff_hunk": thread.diff_hunk,
        "path": thread.path,
        "commit_id": pull.head_sha if line else thread.commit_id,
        "original_commit_id": thread.commit_id,
        "original_position": thread.position,
        "user": user(hub, comment.author),
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


# Checks and runs


def app(hub: Hub, one: User) -> Json:
    """The GitHub App behind a bot."""
    slug = one.login.removesuffix("[bot]")
    return {
        "id": one.id,
        "slug": slug,
        "node_id": node_id("A", one.id),
        "owner": user(hub, hub.owner),
        "name": slug,
        "description": None,
        "external_url": hub.url,
        "html_url": f"{hub.url}/apps/{slug}",
        "created_at": hub.created_at,
        "updated_at": hub.created_at,
        "permissions": {"metadata": "read", "checks": "write"},
        "events": [],
    }


def check_run(hub: Hub, run: CheckRun) -> Json:
    """A check run."""
    url = api(hub, f"/check-runs/{run.id}")
    pulls = [one for one in hub.pulls.values() if one.is_open and one.head_sha == run.head_sha]
    return {
        "id": run.id,
        "name": run.name,
        "node_id": node_id("CR", run.id),
        "head_sha": run.head_sha,
        "external_id": run.external_id,
        "url": url,
        "html_url": html(hub, f"/runs/{run.id}"),
        "details_url": run.details_url or html(hub, f"/runs/{run.id}"),
        "status": run.status,
        "conclusion": run.conclusion,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
        "output": {
            "title": run.output.get("title"),
            "summary": run.output.get("summary"),
            "text": run.output.get("text"),
            "annotations_count": len(run.output.get("annotations", [])),
            "annotations_url": f"{url}/annotations",
        },
        "check_suite": {"id": suite_id(run)},
        "app": app(hub, run.app),
        "pull_requests": [pull_minimal(hub, one) for one in pulls],
    }


def suite_id(run: CheckRun) -> int:
    """One suite per app and commit."""
    return run.app.id * 1_000_000 + int(run.head_sha[:5], 16)


def status(hub: Hub, one: CommitStatus) -> Json:
    """A commit status."""
    return {**simple_status(hub, one), "creator": user(hub, one.creator)}


def simple_status(hub: Hub, one: CommitStatus) -> Json:
    """A commit status inside the combined one."""
    return {
        "url": api(hub, f"/statuses/{one.sha}"),
        "avatar_url": f"{hub.url}/avatars/{one.creator.id}",
        "id": one.id,
        "node_id": node_id("SC", one.id),
        "state": one.state,
        "description": one.description,
        "target_url": one.target_url,
        "context": one.context,
        "created_at": one.created_at,
        "updated_at": one.created_at,
    }


def workflow_id(path: str) -> int:
    """A workflow's id, the same for the same path."""
    return 9_000_000 + sum(position * byte for position, byte in enumerate(path.encode(), 1))


def workflow_run(hub: Hub, run: WorkflowRun) -> Json:
    """A workflow run."""
    url = api(hub, f"/actions/runs/{run.id}")
    workflow_url = api(hub, f"/actions/workflows/{workflow_id(run.path)}")
    head = hub.git.commit(run.head_sha) if run.head_sha != ZERO else None
    return {
        "id": run.id,
        "name": run.path.rsplit("/", 1)[-1].partition(".")[0],
        "node_id": node_id("WFR", run.id),
        "check_suite_id": run.id,
        "check_suite_node_id": node_id("CS", run.id),
        "head_branch": run.head_branch,
        "head_sha": run.head_sha,
        "path": run.path,
        "run_number": run.id,
        "run_attempt": run.attempt,
        "referenced_workflows": [],
        "event": run.event,
        "display_title": run.title,
        "status": run.status,
        "conclusion": run.conclusion,
        "workflow_id": workflow_id(run.path),
        "url": url,
        "html_url": html(hub, f"/actions/runs/{run.id}"),
        "pull_requests": [],
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "run_started_at": run.created_at,
        "actor": user(hub, run.actor),
        "triggering_actor": user(hub, run.actor),
        "jobs_url": f"{url}/jobs",
        "logs_url": f"{url}/logs",
        "check_suite_url": api(hub, f"/check-suites/{run.id}"),
        "artifacts_url": f"{url}/artifacts",
        "cancel_url": f"{url}/cancel",
        "rerun_url": f"{url}/rerun",
        "previous_attempt_url": None,
        "workflow_url": workflow_url,
        "head_commit": simple_commit(head) if head else None,
        "repository": minimal_repository(hub),
        "head_repository": minimal_repository(hub),
    }


def simple_commit(one: Commit) -> Json:
    """A commit as runs and suites name it."""
    people = {
        "author": {"name": one.author.name, "email": one.author.email},
        "committer": {"name": one.committer.name, "email": one.committer.email},
    }
    return {
        "id": one.sha,
        "tree_id": one.tree,
        "message": one.message,
        "timestamp": one.committer.date,
        **people,
    }


def workflow(hub: Hub, path: str) -> Json:
    """A workflow file as Actions lists it."""
    identity = workflow_id(path)
    return {
        "id": identity,
        "node_id": node_id("W", identity),
        "name": path.rsplit("/", 1)[-1].partition(".")[0],
        "path": path,
        "state": "active",
        "created_at": hub.created_at,
        "updated_at": hub.created_at,
        "url": api(hub, f"/actions/workflows/{identity}"),
        "html_url": html(hub, f"/blob/{hub.default_branch}/{path}"),
        "badge_url": html(hub, f"/workflows/{identity}/badge.svg"),
    }
