"""The JSON that GitHub shows of accounts and of the repository, and the addresses below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.sandbox.github.state import (
    Token,
    User,
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
