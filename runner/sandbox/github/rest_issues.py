"""REST: the issue side of pull requests (conversation, labels, assignees)."""

from __future__ import annotations

from werkzeug.wrappers import Response

from runner.sandbox.github import views_pulls
from runner.sandbox.github.errors import ApiError, invalid, not_found
from runner.sandbox.github.hub import Need
from runner.sandbox.github.rest_pulls import change_state, change_texts
from runner.sandbox.github.routing import PAGING, Answer, Call, route
from runner.sandbox.github.shapes import COMMENT, OPTIONAL_TEXT, STRINGS, TITLE, body, choice
from runner.sandbox.github.state import IssueComment, Label, Pull

READ: tuple[Need, ...] = (("issues", "read"), ("pull_requests", "read"))
WRITE: tuple[Need, ...] = (("issues", "write"), ("pull_requests", "write"))
LABEL_NAME = {"type": "string", "minLength": 1, "maxLength": 50}
LABEL_NAMES = {
    "type": "array",
    "minItems": 1,
    "items": {
        "anyOf": [LABEL_NAME, {"type": "object", "required": ("name",), "properties": {"name": LABEL_NAME}}]
    },
}


@route("GET {repo}/issues/{issue_number}", *READ)
def get_issue(call: Call) -> Answer:
    """A pull request as an issue; only here GitHub says who closed it."""
    return views_pulls.issue(call.hub, call.pull)


_CHANGED_ISSUE = body(
    title=TITLE,
    body=OPTIONAL_TEXT,
    state=choice("open", "closed"),
    labels={**LABEL_NAMES, "minItems": 0},
    assignees=STRINGS,
)


@route("PATCH {repo}/issues/{issue_number}", *WRITE, body=_CHANGED_ISSUE)
def update_issue(call: Call) -> Answer:
    """Change texts, state, labels and assignees."""
    pull = call.pull
    change_texts(call, pull)
    change_state(call, pull)
    if "labels" in call.body:
        _set_labels(call, pull, [])
        _add_labels(call, pull)
    if "assignees" in call.body:
        pull.assignees = []
        _assign(call, pull)
    return views_pulls.issue(call.hub, pull)


# Comments


@route("GET {repo}/issues/{issue_number}/comments", *READ, query={**PAGING, "since": str})
def list_comments(call: Call) -> Answer:
    """The conversation, oldest first."""
    pull, since = call.pull, call.query("since")
    found = [one for one in pull.comments if one.updated_at >= since]
    return call.page(found, lambda one: views_pulls.issue_comment(call.hub, pull, one))


@route(
    "POST {repo}/issues/{issue_number}/comments",
    *WRITE,
    body=body(("body",), body=COMMENT),
    status=201,
    for_readers=True,
)
def create_comment(call: Call) -> Answer:
    """Write in the conversation."""
    pull = call.pull
    return views_pulls.issue_comment(
        call.hub, pull, call.hub.add_comment(pull, call.caller, call.body["body"])
    )


@route("GET {repo}/issues/comments/{comment_id}", *READ)
def get_comment(call: Call) -> Answer:
    """One comment."""
    return views_pulls.issue_comment(call.hub, *_comment(call))


@route(
    "PATCH {repo}/issues/comments/{comment_id}", *WRITE, body=body(("body",), body=COMMENT), for_readers=True
)
def update_comment(call: Call) -> Answer:
    """Change a comment; those who may push may change anybody's."""
    pull, comment = _own_comment(call)
    comment.body, comment.updated_at, comment.editor = call.body["body"], call.hub.now(), call.actor
    return views_pulls.issue_comment(call.hub, pull, comment)


@route("DELETE {repo}/issues/comments/{comment_id}", *WRITE, for_readers=True)
def delete_comment(call: Call) -> Answer:
    """Delete a comment."""
    pull, comment = _own_comment(call)
    pull.comments.remove(comment)
    return Response(status=204)


def _comment(call: Call) -> tuple[Pull, IssueComment]:
    wanted = call.number("comment_id")
    found = ((pull, one) for pull in call.hub.pulls.values() for one in pull.comments if one.id == wanted)
    pair = next(found, None)
    if pair is None:
        raise not_found()
    return pair


def _own_comment(call: Call) -> tuple[Pull, IssueComment]:
    pull, comment = _comment(call)
    if comment.author.login != call.actor.login and not call.hub.allows(call.caller, ("contents", "write")):
        raise ApiError(403, "Must have admin rights to Repository.")
    return pull, comment


# Labels of a pull request


@route("GET {repo}/issues/{issue_number}/labels", *READ, query=PAGING)
def list_labels_of(call: Call) -> Answer:
    """Its labels."""
    return call.page(call.pull.labels, lambda name: views_pulls.label(call.hub, call.hub.labels[name]))


@route("POST {repo}/issues/{issue_number}/labels", *WRITE, body=body(("labels",), labels=LABEL_NAMES))
def add_labels(call: Call) -> Answer:
    """Add labels; unknown ones are created."""
    _add_labels(call, call.pull)
    return list_of(call, call.pull)


@route("PUT {repo}/issues/{issue_number}/labels", *WRITE, body=body(labels=LABEL_NAMES))
def set_labels(call: Call) -> Answer:
    """Replace all labels."""
    _set_labels(call, call.pull, [])
    _add_labels(call, call.pull)
    return list_of(call, call.pull)


@route("DELETE {repo}/issues/{issue_number}/labels", *WRITE)
def remove_labels(call: Call) -> Answer:
    """Remove all labels."""
    _set_labels(call, call.pull, [])
    return Response(status=204)


@route("DELETE {repo}/issues/{issue_number}/labels/{name}", *WRITE)
def remove_label(call: Call) -> Answer:
    """Remove one label."""
    pull, name = call.pull, call.parameters["name"].lower()
    if name not in pull.labels:
        raise ApiError(404, "Label does not exist")
    _set_labels(call, pull, [one for one in pull.labels if one != name])
    return list_of(call, pull)


def list_of(call: Call, pull: Pull) -> Answer:
    """All labels of a pull request in one answer, as the writing operations give them."""
    return [views_pulls.label(call.hub, call.hub.labels[name]) for name in pull.labels]


def _add_labels(call: Call, pull: Pull) -> None:
    names = [one if isinstance(one, str) else one["name"] for one in call.body.get("labels", [])]
    added = [call.hub.label(name).name.lower() for name in names]
    _set_labels(call, pull, list(dict.fromkeys([*pull.labels, *added])))


def _set_labels(call: Call, pull: Pull, names: list[str]) -> None:
    before, pull.labels = pull.labels, names
    if before == names:
        return
    pull.updated_at = call.hub.now()
    for name in [*(set(names) - set(before)), *(set(before) - set(names))]:
        shown = {"label": views_pulls.label(call.hub, call.hub.labels[name])}
        call.hub.emit_pull("labeled" if name in names else "unlabeled", pull, call.caller, shown)


# Labels of the repository

_LABEL = {
    "color": {"type": "string", "minLength": 6, "maxLength": 6},
    "description": {"type": "string", "maxLength": 100},
}


@route("GET {repo}/labels", *READ, query=PAGING)
def list_labels(call: Call) -> Answer:
    """The repository's labels."""
    return call.page(list(call.hub.labels.values()), lambda one: views_pulls.label(call.hub, one))


@route("POST {repo}/labels", *WRITE, body=body(("name",), name=LABEL_NAME, **_LABEL), status=201)
def create_label(call: Call) -> Answer:
    """Create a label."""
    name = call.body["name"]
    if name.lower() in call.hub.labels:
        raise invalid("Label", "name", "name already exists", code="already_exists")
    label = call.hub.label(name)
    _change_label(call, label)
    return views_pulls.label(call.hub, label)


@route("GET {repo}/labels/{name}", *READ)
def get_label(call: Call) -> Answer:
    """One label."""
    return views_pulls.label(call.hub, _label(call))


@route("PATCH {repo}/labels/{name}", *WRITE, body=body(new_name=LABEL_NAME, **_LABEL))
def update_label(call: Call) -> Answer:
    """Change colour and description; a rename follows through to the pull requests."""
    label = _label(call)
    _change_label(call, label)
    if new_name := call.body.get("new_name"):
        old, label.name = label.name.lower(), new_name
        call.hub.labels[new_name.lower()] = call.hub.labels.pop(old)
        for pull in call.hub.pulls.values():
            pull.labels = [new_name.lower() if one == old else one for one in pull.labels]
    return views_pulls.label(call.hub, label)


@route("DELETE {repo}/labels/{name}", *WRITE)
def delete_label(call: Call) -> Answer:
    """Delete a label everywhere."""
    name = _label(call).name.lower()
    for pull in call.hub.pulls.values():
        pull.labels = [one for one in pull.labels if one != name]
    del call.hub.labels[name]
    return Response(status=204)


def _label(call: Call) -> Label:
    name = call.parameters["name"].lower()
    if name not in call.hub.labels:
        raise not_found()
    return call.hub.labels[name]


def _change_label(call: Call, label: Label) -> None:
    color = call.body.get("color", label.color)
    if any(character not in "0123456789abcdefABCDEF" for character in color):
        raise invalid("Label", "color", "color must be 6 hexadecimal digits", code="invalid")
    label.color, label.description = color.lower(), call.body.get("description", label.description)


# Assignees


@route("POST {repo}/issues/{issue_number}/assignees", *WRITE, body=body(assignees=STRINGS), status=201)
def add_assignees(call: Call) -> Answer:
    """Assign people; those who cannot be are left out silently, as on GitHub."""
    _assign(call, call.pull)
    return views_pulls.issue(call.hub, call.pull)


@route("DELETE {repo}/issues/{issue_number}/assignees", *WRITE, body=body(("assignees",), assignees=STRINGS))
def remove_assignees(call: Call) -> Answer:
    """Unassign people."""
    pull, logins = call.pull, [login.lower() for login in call.body["assignees"]]
    pull.assignees = [user for user in pull.assignees if user.login.lower() not in logins]
    pull.updated_at = call.hub.now()
    return views_pulls.issue(call.hub, pull)


def _assign(call: Call, pull: Pull) -> None:
    for login in call.body.get("assignees", []):
        user = call.hub.users.get(login.lower())
        if user and user.role != "none" and user not in pull.assignees:
            pull.assignees.append(user)
    pull.updated_at = call.hub.now()
