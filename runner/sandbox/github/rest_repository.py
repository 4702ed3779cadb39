"""REST: the repository, its people, its files and its git data."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from werkzeug.wrappers import Response

from runner.sandbox.github import shapes, views, views_git
from runner.sandbox.github.errors import ApiError, invalid, not_found
from runner.sandbox.github.hub import Need
from runner.sandbox.github.repository import BareRepository, Commit, GitError, Signature
from runner.sandbox.github.routing import PAGING, Answer, Call, Query, route
from runner.sandbox.github.shapes import BOOLEAN, STRING, body, choice
from runner.sandbox.github.state import User
from runner.sandbox.server import json_response

METADATA: Need = ("metadata", "read")
READ: Need = ("contents", "read")
WRITE: Need = ("contents", "write")
PERSON = {"type": "object", "properties": {"name": STRING, "email": STRING, "date": STRING}}


# Repository and people


@route("GET {repo}", METADATA)
def get_repository(call: Call) -> Answer:
    """The repository."""
    return views.full_repository(call.hub, call.token)


@route("GET /user")
def get_me(call: Call) -> Answer:
    """The person behind the token; installation tokens have none."""
    if call.caller.is_app:
        raise ApiError(403, "Resource not accessible by integration")
    return views.profile(call.hub, call.actor)


@route("GET /users/{username}")
def get_user(call: Call) -> Answer:
    """An account by login."""
    return views.profile(call.hub, call.hub.user(call.parameters["username"]))


@route("GET {repo}/collaborators", METADATA, query={**PAGING, "affiliation": str, "permission": str})
def list_collaborators(call: Call) -> Answer:
    """Everybody with a role."""
    if not call.hub.allows(call.caller, WRITE):
        raise ApiError(403, "Must have push access to view repository collaborators.")
    return call.page(_people(call), lambda one: _collaborator(call, one))


@route("GET {repo}/collaborators/{username}", METADATA)
def is_collaborator(call: Call) -> Answer:
    """204 for those with a role."""
    if call.parameters["username"].lower() not in [one.login.lower() for one in _people(call)]:
        raise not_found()
    return Response(status=204)


@route("GET {repo}/collaborators/{username}/permission", METADATA)
def get_permission(call: Call) -> Answer:
    """An account's role; bots are no collaborators."""
    login = call.parameters["username"]
    user = call.hub.users.get(login.lower())
    if user is None or user.is_bot:
        raise ApiError(404, f"{login} is not a user")
    role = "read" if user.role == "none" and not call.hub.private else user.role
    return {"permission": role, "role_name": role, "user": _collaborator(call, user)}


@route("GET {repo}/assignees", ("issues", "read"), ("pull_requests", "read"), query=PAGING)
def list_assignees(call: Call) -> Answer:
    """People who can be assigned."""
    return call.page(_people(call), lambda one: views.user(call.hub, one))


@route("GET {repo}/teams", METADATA, query=PAGING)
def list_teams(call: Call) -> Answer:
    """No teams in here."""
    return call.page([], lambda one: one)


def _people(call: Call) -> list[User]:
    return [one for one in call.hub.users.values() if one.role != "none" and not one.is_bot]


def _collaborator(call: Call, user: User) -> dict[str, Any]:
    rights = {
        "admin": user.role == "admin",
        "maintain": user.role == "admin",
        "push": user.may_push,
        "triage": user.may_push,
        "pull": user.role != "none",
    }
    return {**views.user(call.hub, user), "permissions": rights, "role_name": user.role}


# Service


@route("GET /rate_limit")
def get_rate_limit(call: Call) -> Answer:
    """Limits that nobody reaches in here; the top-level member ended with API version 2026-03-10."""
    limit = {"limit": 5000, "remaining": 4999, "reset": 2_000_000_000, "used": 1}
    shown: dict[str, Any] = {"resources": {"core": limit, "search": limit, "graphql": limit}}
    return shown if call.version >= "2026-03-10" else {**shown, "rate": limit}


@route("GET /versions")
def get_versions(_: Call) -> Answer:
    """The API versions in use."""
    return ["2026-03-10", "2022-11-28"]


@route("GET /meta")
def get_meta(_: Call) -> Answer:
    """The least GitHub tells about itself."""
    return {"verifiable_password_authentication": False}


# Files


@route("GET {repo}/readme", READ, query={"ref": str})
def get_readme(call: Call) -> Answer:
    """The README at the root."""
    names = [entry.path for entry in call.hub.git.entries(_commit_for(call))]
    readme = next((name for name in names if name.lower().startswith("readme")), None)
    if readme is None:
        raise not_found()
    return _content(call, readme)


@route("GET {repo}/contents/{path}", READ, query={"ref": str})
def get_content(call: Call) -> Answer:
    """A file or a folder at a ref."""
    return _content(call, call.parameters["path"])


def _commit_for(call: Call) -> str:
    ref = call.query("ref") or call.hub.default_branch
    sha = call.hub.git.resolve(ref.removeprefix("refs/heads/"))
    if sha is None:
        raise ApiError(404, f"No commit found for the ref {ref}")
    return sha


def _content(call: Call, path: str) -> Answer:
    git, ref = call.hub.git, call.query("ref") or call.hub.default_branch
    sha, path = _commit_for(call), path.strip("/")
    entry = git.entry(sha, path) if path else None
    if path and entry is None:
        raise not_found()
    if entry is None or entry.type == "tree":
        prefix = f"{path}/" if path else ""
        listing = git.entries(sha, path=path)
        return [views_git.content_entry(call.hub, one, f"{prefix}{one.path}", ref) for one in listing]
    if entry.type == "commit":
        return views_git.content_entry(call.hub, entry, path, ref)
    if call.is_media("raw"):
        return Response(git.blob(entry.sha), content_type="application/vnd.github.raw+json; charset=utf-8")
    return views_git.content_file(call.hub, entry, path, ref)


_PUT_FILE = body(
    ("message", "content"),
    message=STRING,
    content=STRING,
    sha=STRING,
    branch=STRING,
    committer=PERSON,
    author=PERSON,
)
_DELETE_FILE = body(
    ("message", "sha"), message=STRING, sha=STRING, branch=STRING, committer=PERSON, author=PERSON
)


@route("PUT {repo}/contents/{path}", WRITE, body=_PUT_FILE)
def put_content(call: Call) -> Answer:
    """Create or replace a file by one commit."""
    path, git = call.parameters["path"], call.hub.git
    branch, tip = _branch_to_change(call)
    entry = git.entry(tip, path)
    if entry and "sha" not in call.body:
        raise ApiError(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
    if entry and entry.sha != call.body["sha"]:
        raise ApiError(409, f"{path} does not match {call.body['sha']}")
    blob = git.write_blob(_decoded(call.body["content"]))
    commit = _commit_change(call, branch, tip, {path: (entry.mode if entry else "100644", blob)})
    changed = git.entry(commit.sha, path)
    shown = views_git.content_entry(call.hub, changed, path, branch) if changed else None
    answer = {"content": shown, "commit": views_git.git_commit(call.hub, commit)}
    return json_response(answer, status=200 if entry else 201)


@route("DELETE {repo}/contents/{path}", WRITE, body=_DELETE_FILE)
def delete_content(call: Call) -> Answer:
    """Delete a file by one commit."""
    path = call.parameters["path"]
    branch, tip = _branch_to_change(call)
    entry = call.hub.git.entry(tip, path)
    if entry is None:
        raise not_found()
    if entry.sha != call.body["sha"]:
        raise ApiError(409, f"{path} does not match {call.body['sha']}")
    commit = _commit_change(call, branch, tip, {path: None})
    return {"content": None, "commit": views_git.git_commit(call.hub, commit)}


def _branch_to_change(call: Call) -> tuple[str, str]:
    branch = call.body.get("branch", call.hub.default_branch)
    tip = call.hub.git.branch(branch)
    if tip is None:
        raise ApiError(404, f"Branch {branch} not found")
    return branch, tip


def _commit_change(call: Call, branch: str, tip: str, changes: dict[str, tuple[str, str] | None]) -> Commit:
    tree = call.hub.git.write_tree(tip, changes)
    sha = _store_commit(call, tree, [tip])
    call.hub.move_ref(f"refs/heads/{branch}", sha, call.caller, old=tip)
    return call.hub.git.commit(sha)


def _store_commit(call: Call, tree: str, parents: list[str]) -> str:
    own = call.hub.signature_of(call.actor)
    author = _signature(call.body.get("author"), own)
    committer = _signature(
        call.body.get("committer"), author if "author" in call.body else call.hub.web_flow()
    )
    sha = call.hub.git.write_commit(tree, parents, call.body["message"], author=author, committer=committer)
    if call.caller.is_app and not {"author", "committer"} & call.body.keys():
        call.hub.signed.add(sha)
    return sha


def _signature(given: dict[str, str] | None, usual: Signature) -> Signature:
    if given is None:
        return usual
    if not given.get("name") or not given.get("email"):
        raise ApiError(422, 'Invalid request.\n\n"name" and "email" must be supplied.')
    return Signature(name=given["name"], email=given["email"], date=given.get("date", usual.date))


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except binascii.Error:
        raise ApiError(422, "content is not valid Base64") from None


# Branches, commits, comparison


@route("GET {repo}/branches", READ, query={**PAGING, "protected": bool})
def list_branches(call: Call) -> Answer:
    """All branches by name."""
    wanted = call.query("protected")
    branches = [
        (name.removeprefix("refs/heads/"), sha) for name, sha in call.hub.git.refs("refs/heads/").items()
    ]
    kept = [one for one in branches if wanted in ("", str(one[0] in call.hub.protected).lower())]
    return call.page(kept, lambda one: views_git.short_branch(call.hub, *one))


@route("GET {repo}/branches/{branch}", READ)
def get_branch(call: Call) -> Answer:
    """One branch."""
    name = call.parameters["branch"]
    sha = call.hub.git.branch(name)
    if sha is None:
        raise ApiError(404, "Branch not found")
    return views_git.branch(call.hub, name, sha)


@route("GET {repo}/rules/branches/{branch}", METADATA, query=PAGING)
def list_rules(call: Call) -> Answer:
    """The rules in force on a branch, existing or not."""
    source = {"ruleset_source_type": "Repository", "ruleset_source": call.hub.full_name, "ruleset_id": 1}
    rules: list[dict[str, Any]] = []
    if call.parameters["branch"] in call.hub.protected:
        review = {
            "dismiss_stale_reviews_on_push": False,
            "require_code_owner_review": False,
            "require_last_push_approval": False,
            "required_approving_review_count": 0,
            "required_review_thread_resolution": False,
        }
        rules += [{"type": "pull_request", "parameters": review}, {"type": "deletion"}]
    if call.hub.requires_signatures:
        rules.append({"type": "required_signatures"})
    return call.page([{**rule, **source} for rule in rules], lambda one: one)


_COMMITS_QUERY: Query = {
    **PAGING,
    "sha": str,
    "path": str,
    "author": str,
    "committer": str,
    "since": str,
    "until": str,
}


@route("GET {repo}/commits", READ, query=_COMMITS_QUERY)
def list_commits(call: Call) -> Answer:
    """History of a ref, newest first."""
    start = _resolved(call.hub.git, call.query("sha", call.hub.default_branch))
    options = [
        f"--{name}={call.query(name)}"
        for name in ("since", "until", "author", "committer")
        if call.query(name)
    ]
    paths = ["--", call.query("path")] if call.query("path") else []
    return call.page(call.hub.git.log(*options, start, *paths), lambda one: views_git.commit(call.hub, one))


@route("GET {repo}/commits/{ref}", READ, query=PAGING)
def get_commit(call: Call) -> Answer:
    """One commit with its files."""
    sha = _resolved(call.hub.git, call.parameters["ref"])
    if call.is_media("sha"):
        return Response(sha, content_type="application/vnd.github.sha; charset=utf-8")
    return views_git.commit(call.hub, call.hub.git.commit(sha), with_files=True)


@route("GET {repo}/compare/{basehead}", READ, query=PAGING)
def compare(call: Call) -> Answer:
    """What the head has that the base has not."""
    base_name, dots, head_name = call.parameters["basehead"].partition("...")
    names = [name.rpartition(":")[2] for name in (base_name, head_name)]
    base, head = (call.hub.git.resolve(name) for name in names)
    if not dots or base is None or head is None:
        raise not_found()
    comparison = call.hub.git.compare(base, head)
    if comparison.merge_base is None:
        raise ApiError(404, f"No common ancestor between {base_name} and {head_name}.")
    ahead, behind = len(comparison.ahead), comparison.behind
    status = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind"}
    url = views.api(call.hub, f"/compare/{base_name}...{head_name}")
    page = views.html(call.hub, f"/compare/{base_name}...{head_name}")
    paged = call.page(comparison.ahead, lambda one: views_git.commit(call.hub, one))
    shown = {
        "url": url,
        "html_url": page,
        "permalink_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "base_commit": views_git.commit(call.hub, call.hub.git.commit(base)),
        "merge_base_commit": views_git.commit(call.hub, call.hub.git.commit(comparison.merge_base)),
        "status": status.get((ahead > 0, behind > 0), "identical"),
        "ahead_by": ahead,
        "behind_by": behind,
        "total_commits": ahead,
        "commits": paged.get_json(),
        "files": [views_git.diff_file(call.hub, file, head) for file in comparison.files],
    }
    response = json_response(shown)
    if "Link" in paged.headers:
        response.headers["Link"] = paged.headers["Link"]
    return response


def _resolved(git: BareRepository, name: str) -> str:
    sha = git.resolve(name.removeprefix("heads/"))
    if sha is None:
        raise ApiError(422, f"No commit found for SHA: {name}")
    return sha


# Git data


@route("GET {repo}/git/ref/{ref}", READ)
def get_ref(call: Call) -> Answer:
    """One ref by its name without ``refs/``."""
    name, sha = _ref(call)
    return views_git.git_ref(call.hub, name, sha)


@route("GET {repo}/git/matching-refs/{ref}", READ)
def match_refs(call: Call) -> Answer:
    """Refs that begin with a name."""
    prefix = f"refs/{call.parameters['ref']}"
    found = {name: sha for name, sha in call.hub.git.refs().items() if name.startswith(prefix)}
    return [views_git.git_ref(call.hub, name, sha) for name, sha in found.items()]


@route("POST {repo}/git/refs", WRITE, body=body(("ref", "sha"), ref=STRING, sha=STRING), status=201)
def create_ref(call: Call) -> Answer:
    """Create a ref; an existing one is refused."""
    name, sha = call.body["ref"], call.body["sha"]
    git = call.hub.git
    if not name.startswith("refs/") or name.count("/") < 2:
        raise ApiError(422, "Reference name must start with 'refs/' and have at least two slashes")
    if not git.is_ref_name(name):
        raise ApiError(422, f"{name} is not a valid ref name.")
    if git.ref(name):
        raise ApiError(422, "Reference already exists")
    if git.type_of(sha) is None or (name.startswith("refs/heads/") and git.type_of(sha) != "commit"):
        raise ApiError(422, "Object does not exist")
    call.hub.move_ref(name, sha, call.caller)
    return views_git.git_ref(call.hub, name, sha)


@route("PATCH {repo}/git/refs/{ref}", WRITE, body=body(("sha",), sha=STRING, force=BOOLEAN))
def update_ref(call: Call) -> Answer:
    """Move a ref; only forwards unless forced."""
    name, old = _ref(call, missing=422)
    sha = call.body["sha"]
    if call.hub.git.type_of(sha) != "commit":
        raise ApiError(422, "Object does not exist")
    if not call.body.get("force") and not call.hub.git.is_ancestor(old, sha):
        raise ApiError(422, "Update is not a fast forward")
    call.hub.move_ref(name, sha, call.caller, old=old)
    return views_git.git_ref(call.hub, name, sha)


@route("DELETE {repo}/git/refs/{ref}", WRITE)
def delete_ref(call: Call) -> Answer:
    """Delete a ref."""
    name, old = _ref(call, missing=422)
    if name == f"refs/heads/{call.hub.default_branch}":
        raise ApiError(422, "Cannot delete the default branch")
    call.hub.move_ref(name, None, call.caller, old=old)
    return Response(status=204)


def _ref(call: Call, *, missing: int = 404) -> tuple[str, str]:
    name = f"refs/{call.parameters['ref']}"
    sha = call.hub.git.ref(name)
    if sha is None:
        raise not_found() if missing == 404 else ApiError(422, "Reference does not exist")
    return name, sha


@route("POST {repo}/git/blobs", WRITE, body=body(("content",), content=STRING, encoding=STRING), status=201)
def create_blob(call: Call) -> Answer:
    """Store a blob from text or base64."""
    content = call.body["content"]
    is_base64 = call.body.get("encoding") == "base64"
    sha = call.hub.git.write_blob(_decoded(content) if is_base64 else content.encode())
    return {"sha": sha, "url": views.api(call.hub, f"/git/blobs/{sha}")}


@route("GET {repo}/git/blobs/{file_sha}", READ)
def get_blob(call: Call) -> Answer:
    """A blob in base64."""
    sha = call.parameters["file_sha"]
    if call.hub.git.type_of(sha) != "blob":
        raise not_found()
    data = call.hub.git.blob(sha)
    if call.is_media("raw"):
        return Response(data, content_type="application/vnd.github.raw+json; charset=utf-8")
    return {
        "sha": sha,
        "node_id": f"B_{sha}",
        "size": len(data),
        "url": views.api(call.hub, f"/git/blobs/{sha}"),
        "content": base64.encodebytes(data).decode(),
        "encoding": "base64",
    }


_TREE_ENTRY = {
    "type": "object",
    "properties": {
        "path": STRING,
        "mode": choice("100644", "100755", "040000", "160000", "120000"),
        "type": choice("blob", "tree", "commit"),
        "sha": {"type": "string", "nullable": True},
        "content": STRING,
    },
}
_TREE = body(("tree",), tree={"type": "array", "items": _TREE_ENTRY}, base_tree=STRING)


@route("POST {repo}/git/trees", WRITE, body=_TREE, status=201)
def create_tree(call: Call) -> Answer:
    """Store a tree: a base with entries set or removed."""
    git, base = call.hub.git, call.body.get("base_tree")
    if base is not None and git.type_of(base) not in ("tree", "commit"):
        raise ApiError(422, "base_tree is not a valid tree SHA")
    changes = dict(_tree_change(git, entry) for entry in call.body["tree"])
    try:
        return _tree(call, git.write_tree(base, changes), recursive=False)
    except GitError as error:
        raise ApiError(422, f"tree.path is malformed: {error}") from None


def _tree_change(git: BareRepository, entry: dict[str, Any]) -> tuple[str, tuple[str, str] | None]:
    if not entry.get("path") or ("sha" in entry) == ("content" in entry):
        raise ApiError(422, "Must supply either tree.sha or tree.content, and tree.path")
    if entry.get("sha", "") is None:
        return entry["path"], None
    if "mode" not in entry:
        raise ApiError(422, "Must supply a valid tree.mode")
    sha = entry.get("sha") or git.write_blob(entry["content"].encode())
    if git.type_of(sha) is None and entry["mode"] != "160000":
        raise ApiError(422, f"tree.sha {sha} is not a valid object")
    return entry["path"], (entry["mode"], sha)


@route("GET {repo}/git/trees/{tree_sha}", READ, query={"recursive": str})
def get_tree(call: Call) -> Answer:
    """A tree, whole when ``recursive`` is given at all."""
    name = call.parameters["tree_sha"]
    sha = name if call.hub.git.type_of(name) == "tree" else call.hub.git.resolve(name)
    if sha is None:
        raise not_found()
    return _tree(
        call, call.hub.git.git("rev-parse", f"{sha}^{{tree}}"), recursive="recursive" in call.request.args
    )


def _tree(call: Call, sha: str, *, recursive: bool) -> dict[str, Any]:
    entries = []
    for entry in call.hub.git.entries(sha, recursive=recursive):
        kind = {"tree": "trees", "commit": "commits"}.get(entry.type, "blobs")
        shown: dict[str, Any] = {
            "path": entry.path,
            "mode": entry.mode,
            "type": entry.type,
            "sha": entry.sha,
            "url": views.api(call.hub, f"/git/{kind}/{entry.sha}"),
        }
        entries.append(shown if entry.size is None else {**shown, "size": entry.size})
    return {"sha": sha, "url": views.api(call.hub, f"/git/trees/{sha}"), "tree": entries, "truncated": False}


_COMMIT = body(
    ("message", "tree"),
    message=STRING,
    tree=STRING,
    parents=shapes.STRINGS,
    author=PERSON,
    committer=PERSON,
    signature=STRING,
)


@route("POST {repo}/git/commits", WRITE, body=_COMMIT, status=201)
def create_commit(call: Call) -> Answer:
    """Store a commit; no ref moves."""
    git = call.hub.git
    if git.type_of(call.body["tree"]) != "tree":
        raise ApiError(422, "Tree SHA does not exist")
    parents = call.body.get("parents", [])
    if any(git.type_of(parent) != "commit" for parent in parents):
        raise invalid("Commit", "parents", "Parent SHA does not exist or is not a commit object")
    return views_git.git_commit(call.hub, git.commit(_store_commit(call, call.body["tree"], parents)))


@route("GET {repo}/git/commits/{commit_sha}", READ)
def get_git_commit(call: Call) -> Answer:
    """A commit as git data."""
    sha = call.parameters["commit_sha"]
    if call.hub.git.type_of(sha) != "commit":
        raise not_found()
    return views_git.git_commit(call.hub, call.hub.git.commit(sha))
