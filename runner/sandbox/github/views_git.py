"""The JSON that GitHub shows of commits, refs, files and branches."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from runner.sandbox.github import views
from runner.sandbox.github.repository import ZERO, Commit, DiffFile, Entry, diff_of

if TYPE_CHECKING:
    from runner.sandbox.github.hub import Hub

Json = dict[str, Any]


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
    url = views.api(hub, f"/commits/{one.sha}")
    shown: Json = {
        "sha": one.sha,
        "node_id": f"C_{one.sha}",
        "commit": {
            "author": git_user(one.author),
            "committer": git_user(one.committer),
            "message": one.message,
            "tree": {"sha": one.tree, "url": views.api(hub, f"/git/trees/{one.tree}")},
            "url": views.api(hub, f"/git/commits/{one.sha}"),
            "comment_count": 0,
            "verification": verification(hub, one),
        },
        "url": url,
        "html_url": views.html(hub, f"/commit/{one.sha}"),
        "comments_url": f"{url}/comments",
        "author": views.user(hub, author) if author else None,
        "committer": views.user(hub, committer) if committer else None,
        "parents": [_parent(hub, sha) for sha in one.parents],
    }
    if with_files:
        files = diff_of(hub.git, one)
        added, deleted = sum(file.additions for file in files), sum(file.deletions for file in files)
        shown["stats"] = {"additions": added, "deletions": deleted, "total": added + deleted}
        shown["files"] = [diff_file(hub, file, one.sha) for file in files]
    return shown


def _parent(hub: Hub, sha: str) -> Json:
    return {
        "sha": sha,
        "url": views.api(hub, f"/commits/{sha}"),
        "html_url": views.html(hub, f"/commit/{sha}"),
    }


def git_commit(hub: Hub, one: Commit) -> Json:
    """A commit as the git data API shows it."""
    return {
        "sha": one.sha,
        "node_id": f"C_{one.sha}",
        "url": views.api(hub, f"/git/commits/{one.sha}"),
        "html_url": views.html(hub, f"/commit/{one.sha}"),
        "author": git_user(one.author),
        "committer": git_user(one.committer),
        "tree": {"sha": one.tree, "url": views.api(hub, f"/git/trees/{one.tree}")},
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
        "url": views.api(hub, f"/git/{name}"),
        "object": {"sha": sha, "type": kind, "url": views.api(hub, f"/git/{kind}s/{sha}")},
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
        "blob_url": views.html(hub, f"/blob/{sha}/{file.path}"),
        "raw_url": views.html(hub, f"/raw/{sha}/{file.path}"),
        "contents_url": views.api(hub, f"/contents/{file.path}?ref={sha}"),
    }
    if file.patch:
        shown["patch"] = file.patch
    if file.previous:
        shown["previous_filename"] = file.previous
    return shown


def content_entry(hub: Hub, entry: Entry, path: str, ref: str) -> Json:
    """A file or folder in a listing."""
    url = views.api(hub, f"/contents/{path}?ref={ref}")
    kind = {"tree": "dir", "commit": "submodule"}.get(
        entry.type, "symlink" if entry.mode == "120000" else "file"
    )
    git_url = views.api(hub, f"/git/{'trees' if kind == 'dir' else 'blobs'}/{entry.sha}")
    page = views.html(hub, f"/{'tree' if kind == 'dir' else 'blob'}/{ref}/{path}")
    return {
        "type": kind,
        "size": entry.size or 0,
        "name": path.rsplit("/", 1)[-1],
        "path": path,
        "sha": entry.sha,
        "url": url,
        "git_url": git_url,
        "html_url": page,
        "download_url": None if kind == "dir" else views.html(hub, f"/raw/{ref}/{path}"),
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
        "commit": {"sha": sha, "url": views.api(hub, f"/commits/{sha}")},
        "protected": name in hub.protected,
    }


def branch(hub: Hub, name: str, sha: str) -> Json:
    """A branch with its newest commit."""
    url = views.api(hub, f"/branches/{name}")
    return {
        **short_branch(hub, name, sha),
        "commit": commit(hub, hub.git.commit(sha)),
        "_links": {"self": url, "html": views.html(hub, f"/tree/{name}")},
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
