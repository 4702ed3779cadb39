"""The part of GitHub's GraphQL that REST lacks: viewer, drafts, review threads, commits on branches.

Fields, arguments and inputs that are not modelled are refused with ``errors``, as an unknown name is on GitHub.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request, Response

from runner.sandbox.github import views
from runner.sandbox.github.errors import ApiError
from runner.sandbox.github.graphql_document import DocumentError, Selection, read
from runner.sandbox.github.hub import Hub, Need
from runner.sandbox.github.state import IssueComment, Pull, Review, ReviewComment, Thread, Token, User
from runner.sandbox.server import json_response

PULLS_WRITE: Need = ("pull_requests", "write")
CONTENTS_WRITE: Need = ("contents", "write")


class QueryError(Exception):
    """A member of ``errors``; ``type`` is GitHub's code for those that have one."""

    def __init__(self, message: str, *, type: str | None = None) -> None:  # noqa: A002 - GitHub's own name
        super().__init__(message)
        self.type = type


@dataclass(frozen=True)
class Node:
    """An object of a named type. A callable field takes arguments, by name."""

    type: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Context:
    """Who asks, and of what."""

    hub: Hub
    token: Token

    @property
    def actor(self) -> User:
        """The account behind the token."""
        return self.hub.actor(self.token)


def serve(hub: Hub, request: Request, token: Token | None) -> Response:
    """Answer one GraphQL request; only a missing credential is an HTTP error."""
    if token is None:
        raise ApiError(401, "This endpoint requires you to be authenticated.")
    given = request.get_json(silent=True) if request.method == "POST" else None
    if not isinstance(given, dict) or not isinstance(given.get("query"), str):
        raise ApiError(400, "Problems parsing JSON")
    context = Context(hub, token)
    try:
        operation = read(given["query"], given.get("operationName"), given.get("variables") or {})
    except DocumentError as error:
        return json_response({"errors": [{"message": str(error)}]})
    root = _query(context) if operation.kind == "query" else _mutation(context)
    data: dict[str, Any] = {}
    errors: list[dict[str, Any]] = []
    for selection in operation.selections:
        try:
            _check(root, selection)
            data[selection.alias] = _field(root, selection)
        except QueryError as error:
            if error.type is None:  # GitHub finds these before it runs anything, and answers no data at all
                return json_response({"errors": [{"message": str(error)}]})
            data[selection.alias] = None
            errors.append({"type": error.type, "message": str(error), "path": [selection.alias]})
        except ApiError as error:
            data[selection.alias] = None
            kind = {403: "FORBIDDEN", 404: "NOT_FOUND"}.get(error.status, "UNPROCESSABLE")
            errors.append({"type": kind, "message": error.message, "path": [selection.alias]})
    return json_response({"data": data, "errors": errors} if errors else {"data": data})


Handler = Callable[[Context, dict[str, Any]], dict[str, Any]]


# Execution


def _check(node: Node, selection: Selection) -> None:
    if selection.name not in node.fields:
        raise QueryError(f"Field '{selection.name}' doesn't exist on type '{node.type}'")


def _object(node: Node, selections: Iterable[Selection]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for selection in selections:
        if selection.on is not None:
            if selection.on in ("", node.type, "Node", "Actor"):
                shown.update(_object(node, selection.selections))
        elif selection.name == "__typename":
            shown[selection.alias] = node.type
        else:
            _check(node, selection)
            shown[selection.alias] = _field(node, selection)
    return shown


def _field(node: Node, selection: Selection) -> Any:
    value = node.fields[selection.name]
    if callable(value):
        try:
            value = value(**selection.arguments)
        except TypeError as error:
            # Argument names are Python's here, so a wrong one shows as a wrong call.
            raise QueryError(f"Field '{selection.name}' doesn't accept these arguments: {error}") from None
    elif selection.arguments:
        raise QueryError(f"Field '{selection.name}' doesn't accept arguments")
    return _value(value, selection)


def _value(value: Any, selection: Selection) -> Any:
    if isinstance(value, list):
        return [_value(one, selection) for one in value]
    if isinstance(value, Node):
        if not selection.selections:
            raise QueryError(f"Field must have selections (field '{selection.name}' returns {value.type})")
        return _object(value, selection.selections)
    if selection.selections and value is not None:
        raise QueryError(f"Selections can't be made on scalars (field '{selection.name}')")
    return value


def _connection(name: str, items: Sequence[Any], view: Callable[[Any], Node]) -> Callable[..., Node]:
    """A paged list; GitHub insists on ``first`` or ``last``, at most 100."""

    def page(
        *,
        first: int | None = None,
        last: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Node:
        size = first if first is not None else last
        if size is None:
            raise QueryError(
                f"You must provide a `first` or `last` value to properly paginate the `{name}` connection."
            )
        if not 1 <= size <= 100:
            raise QueryError(
                f"Requesting {size} records on the `{name}` connection exceeds the limit of 100."
            )
        low = _offset(after) if after else 0
        high = _offset(before) - 1 if before else len(items)
        start, end = (low, min(low + size, high)) if first is not None else (max(high - size, low), high)
        info = {
            "hasNextPage": end < len(items),
            "hasPreviousPage": start > 0,
            "startCursor": _cursor(start + 1) if end > start else None,
            "endCursor": _cursor(end) if end > start else None,
        }
        fields = {
            "totalCount": len(items),
            "nodes": [view(item) for item in items[start:end]],
            "pageInfo": Node("PageInfo", info),
        }
        return Node(f"{name[0].upper()}{name[1:]}Connection", fields)

    return page


def _cursor(position: int) -> str:
    return base64.b64encode(f"cursor:{position}".encode()).decode()


def _offset(cursor: str) -> int:
    try:
        return int(base64.b64decode(cursor).decode().removeprefix("cursor:"))
    except (binascii.Error, ValueError):
        raise QueryError(f"`{cursor}` does not appear to be a valid cursor.") from None


# Types


def _query(context: Context) -> Node:
    hub, actor = context.hub, context.actor

    def repository(*, owner: str, name: str) -> Node:
        if f"{owner}/{name}".lower() != hub.full_name.lower() or not hub.can_see(context.token):
            message = f"Could not resolve to a Repository with the name '{owner}/{name}'."
            raise QueryError(message, type="NOT_FOUND")
        return _repository(context)

    def node(*, id: str) -> Node:  # noqa: A002 - GitHub's own name
        return _by_id(context, id)

    viewer = Node("User", {"login": actor.login, "id": views.node_id("U", actor.id), "databaseId": actor.id})
    limit = Node("RateLimit", {"limit": 5000, "cost": 1, "remaining": 4999, "resetAt": hub.created_at})
    return Node("Query", {"viewer": viewer, "repository": repository, "node": node, "rateLimit": limit})


def _by_id(context: Context, node_id: str) -> Node:
    for pull in context.hub.pulls.values():
        if views.node_id("PR", pull.id) == node_id:
            return _pull(context, pull)
        for thread in pull.threads:
            if views.node_id("PRRT", thread.id) == node_id:
                return _thread(context, pull, thread)
    raise QueryError(f"Could not resolve to a node with the global id of '{node_id}'", type="NOT_FOUND")


def _repository(context: Context) -> Node:
    hub = context.hub

    def pull_request(*, number: int) -> Node:
        hub.require(context.token, ("pull_requests", "read"))
        if number not in hub.pulls:
            message = f"Could not resolve to a PullRequest with the number of {number}."
            raise QueryError(message, type="NOT_FOUND")
        return _pull(context, hub.pulls[number])

    return Node(
        "Repository",
        {
            "id": views.node_id("R", hub.id),
            "databaseId": hub.id,
            "name": hub.name,
            "nameWithOwner": hub.full_name,
            "isPrivate": hub.private,
            "url": views.html(hub),
            "defaultBranchRef": Node("Ref", {"name": hub.default_branch}),
            "pullRequest": pull_request,
        },
    )


def _actor(user: User | None) -> Node | None:
    """An author. GraphQL names a bot without the ``[bot]`` that REST appends."""
    if user is None:
        return None
    return Node(user.type, {"login": user.login.removesuffix("[bot]"), "url": user.login})


def _pull(context: Context, pull: Pull) -> Node:
    hub = context.hub
    reviews = [
        one for one in pull.reviews if one.state != "PENDING" or one.author.login == context.actor.login
    ]
    threads = [one for one in pull.threads if _comments(context, one)]
    mergeable = {True: "MERGEABLE", False: "CONFLICTING", None: "UNKNOWN"}[hub.mergeable(pull)]
    return Node(
        "PullRequest",
        {
            "id": views.node_id("PR", pull.id),
            "databaseId": pull.id,
            "number": pull.number,
            "url": views.html(hub, f"/pull/{pull.number}"),
            "title": pull.title,
            "body": pull.body or "",
            "state": "MERGED" if pull.merged_at else pull.state.upper(),
            "isDraft": pull.draft,
            "merged": pull.merged_at is not None,
            "closed": not pull.is_open,
            "mergeable": mergeable,
            "headRefName": pull.head,
            "headRefOid": pull.head_sha,
            "baseRefName": pull.base,
            "baseRefOid": pull.base_sha,
            "createdAt": pull.created_at,
            "updatedAt": pull.updated_at,
            "closedAt": pull.closed_at,
            "mergedAt": pull.merged_at,
            "mergedBy": _actor(pull.merged_by),
            "author": _actor(pull.author),
            "authorAssociation": hub.association(pull.author),
            "viewerDidAuthor": pull.author.login == context.actor.login,
            "reviewDecision": _decision(pull),
            "reviews": _connection("reviews", reviews, lambda one: _review(context, one)),
            "reviewThreads": _connection("reviewThreads", threads, lambda one: _thread(context, pull, one)),
            "comments": _connection(
                "comments", pull.comments, lambda one: _comment(context, one, "IssueComment", "IC")
            ),
        },
    )


def _decision(pull: Pull) -> str | None:
    verdicts = {
        one.author.login: one.state
        for one in pull.reviews
        if one.state in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED")
    }
    if "CHANGES_REQUESTED" in verdicts.values():
        return "CHANGES_REQUESTED"
    return "APPROVED" if "APPROVED" in verdicts.values() else None


def _review(context: Context, review: Review) -> Node:
    return Node(
        "PullRequestReview",
        {
            "id": views.node_id("PRR", review.id),
            "databaseId": review.id,
            "state": review.state,
            "body": review.body,
            "createdAt": review.created_at,
            "submittedAt": review.submitted_at,
            "lastEditedAt": review.edited_at,
            "author": _actor(review.author),
            "authorAssociation": context.hub.association(review.author),
            "viewerDidAuthor": review.author.login == context.actor.login,
        },
    )


def _comments(context: Context, thread: Thread) -> list[ReviewComment]:
    login = context.actor.login
    return [one for one in thread.comments if one.review.state != "PENDING" or one.author.login == login]


def _thread(context: Context, pull: Pull, thread: Thread) -> Node:
    line = context.hub.line_now(pull, thread)
    return Node(
        "PullRequestReviewThread",
        {
            "id": views.node_id("PRRT", thread.id),
            "isResolved": thread.resolved_by is not None,
            "isOutdated": thread.line is not None and line is None,
            "isCollapsed": thread.resolved_by is not None,
            "resolvedBy": _actor(thread.resolved_by),
            "path": thread.path,
            "line": line,
            "originalLine": thread.line,
            "startLine": thread.start_line,
            "diffSide": thread.side,
            "subjectType": "LINE" if thread.line else "FILE",
            "viewerCanReply": True,
            "viewerCanResolve": context.hub.allows(context.token, PULLS_WRITE),
            "comments": _connection(
                "comments",
                _comments(context, thread),
                lambda one: _comment(context, one, "PullRequestReviewComment", "PRRC"),
            ),
        },
    )


def _comment(context: Context, comment: ReviewComment | IssueComment, type_name: str, prefix: str) -> Node:
    fields = {
        "id": views.node_id(prefix, comment.id),
        "databaseId": comment.id,
        "fullDatabaseId": str(comment.id),
        "body": comment.body,
        "createdAt": comment.created_at,
        "updatedAt": comment.updated_at,
        "lastEditedAt": comment.updated_at if comment.editor else None,
        "author": _actor(comment.author),
        "editor": _actor(comment.editor),
        "authorAssociation": context.hub.association(comment.author),
        "viewerDidAuthor": comment.author.login == context.actor.login,
    }
    if isinstance(comment, ReviewComment):
        fields["pullRequestReview"] = _review(context, comment.review)
    return Node(type_name, fields)


# Mutations


def _mutation(context: Context) -> Node:
    def run(name: str, accepted: tuple[str, ...], handler: Handler) -> Callable[..., Node]:
        def call(*, input: dict[str, Any]) -> Node:  # noqa: A002 - GitHub's own name
            for given in input:
                if given not in (*accepted, "clientMutationId"):
                    raise QueryError(f"InputObject '{name}Input' doesn't accept argument '{given}'")
            fields = handler(context, input)
            return Node(f"{name}Payload", {**fields, "clientMutationId": input.get("clientMutationId")})

        return call

    return Node("Mutation", {name: run(name[0].upper() + name[1:], *one) for name, one in MUTATIONS.items()})


def _required(given: dict[str, Any], name: str) -> Any:
    if given.get(name) is None:
        raise QueryError(f"Argument '{name}' on InputObject is required")
    return given[name]


def _find_pull(context: Context, node_id: str) -> Pull:
    for pull in context.hub.pulls.values():
        if views.node_id("PR", pull.id) == node_id:
            return pull
    raise QueryError(f"Could not resolve to a node with the global id of '{node_id}'", type="NOT_FOUND")


def _find_thread(context: Context, node_id: str) -> tuple[Pull, Thread]:
    for pull in context.hub.pulls.values():
        for thread in pull.threads:
            if views.node_id("PRRT", thread.id) == node_id and _comments(context, thread):
                return pull, thread
    raise QueryError(f"Could not resolve to a node with the global id of '{node_id}'", type="NOT_FOUND")


def _reply(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    context.hub.require(context.token, PULLS_WRITE, for_readers=True)
    pull, thread = _find_thread(context, _required(given, "pullRequestReviewThreadId"))
    body = _required(given, "body")
    if not body.strip():
        raise QueryError("Body can't be blank", type="UNPROCESSABLE")
    comment = context.hub.add_thread_comment(pull, thread, context.token, body)
    return {"comment": _comment(context, comment, "PullRequestReviewComment", "PRRC")}


def _resolve(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    return _set_resolved(context, given, context.actor)


def _unresolve(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    return _set_resolved(context, given, None)


def _set_resolved(context: Context, given: dict[str, Any], by: User | None) -> dict[str, Any]:
    context.hub.require(context.token, PULLS_WRITE)
    pull, thread = _find_thread(context, _required(given, "threadId"))
    thread.resolved_by = by
    pull.updated_at = context.hub.now()
    return {"thread": _thread(context, pull, thread)}


def _ready(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    return _set_draft(context, given, draft=False)


def _to_draft(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    if not context.hub.allow_drafts:
        raise QueryError("Draft pull requests are not supported in this repository.", type="UNPROCESSABLE")
    return _set_draft(context, given, draft=True)


def _set_draft(context: Context, given: dict[str, Any], *, draft: bool) -> dict[str, Any]:
    hub = context.hub
    hub.require(context.token, PULLS_WRITE)
    pull = _find_pull(context, _required(given, "pullRequestId"))
    if not pull.is_open:
        raise QueryError("Pull request is closed", type="UNPROCESSABLE")
    if pull.draft != draft:
        pull.draft, pull.updated_at = draft, hub.now()
        hub.emit_pull("converted_to_draft" if draft else "ready_for_review", pull, context.token)
    return {"pullRequest": _pull(context, pull)}


def _create_commit(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    hub = context.hub
    hub.require(context.token, CONTENTS_WRITE)
    branch = _branch_name(hub, _required(given, "branch"))
    expected, message = _required(given, "expectedHeadOid"), _required(given, "message")
    changes = _file_changes(hub, _required(given, "fileChanges"))
    tip = hub.git.branch(branch)
    if tip is None:
        raise QueryError(f"Branch {branch} does not exist", type="NOT_FOUND")
    if tip != expected:
        text = f'Expected branch to point to "{expected}" but it points to "{tip}". Pull and try again.'
        raise QueryError(text, type="STALE_DATA")
    missing = [path for path, change in changes.items() if change is None and not hub.git.entry(tip, path)]
    if missing:
        raise QueryError(
            f"A path was requested for deletion which does not exist: {missing[0]}", type="UNPROCESSABLE"
        )
    kept = {path: _with_mode(hub, tip, path, change) for path, change in changes.items()}
    text = "\n\n".join(filter(None, [_required(message, "headline"), message.get("body")]))
    author = hub.signature_of(context.actor)
    tree = hub.git.write_tree(tip, kept)
    sha = hub.git.write_commit(tree, [tip], text, author=author, committer=hub.web_flow())
    hub.signed.add(sha)
    hub.move_ref(f"refs/heads/{branch}", sha, context.token, old=tip)
    url = views.html(hub, f"/commit/{sha}")
    return {"commit": Node("Commit", {"oid": sha, "url": url}), "ref": Node("Ref", {"name": branch})}


def _branch_name(hub: Hub, given: dict[str, Any]) -> str:
    repository = given.get("repositoryNameWithOwner", "")
    if repository.lower() != hub.full_name.lower() or not given.get("branchName"):
        raise QueryError("Could not resolve the branch", type="NOT_FOUND")
    return str(given["branchName"]).removeprefix("refs/heads/")


def _file_changes(hub: Hub, given: dict[str, Any]) -> dict[str, tuple[str, str] | None]:
    changes: dict[str, tuple[str, str] | None] = {
        _required(one, "path"): None for one in given.get("deletions") or []
    }
    for one in given.get("additions") or []:
        try:
            content = base64.b64decode(_required(one, "contents"), validate=True)
        except binascii.Error:
            raise QueryError("contents is not valid Base64", type="UNPROCESSABLE") from None
        changes[_required(one, "path")] = ("100644", hub.git.write_blob(content))
    return changes


def _with_mode(hub: Hub, tip: str, path: str, change: tuple[str, str] | None) -> tuple[str, str] | None:
    """An existing file keeps its mode: this mutation cannot change one."""
    entry = hub.git.entry(tip, path) if change else None
    return (entry.mode, change[1]) if entry and change else change


MUTATIONS: dict[str, tuple[tuple[str, ...], Handler]] = {
    "addPullRequestReviewThreadReply": (("pullRequestReviewThreadId", "body"), _reply),
    "resolveReviewThread": (("threadId",), _resolve),
    "unresolveReviewThread": (("threadId",), _unresolve),
    "markPullRequestReadyForReview": (("pullRequestId",), _ready),
    "convertPullRequestToDraft": (("pullRequestId",), _to_draft),
    "createCommitOnBranch": (("branch", "message", "expectedHeadOid", "fileChanges"), _create_commit),
}
