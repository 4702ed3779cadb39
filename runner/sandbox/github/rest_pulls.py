"""REST: pull requests, their merging, reviews and review comments."""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Response

from runner.sandbox.github import views, views_git, views_pulls
from runner.sandbox.github.errors import ApiError, invalid, not_found, unprocessable
from runner.sandbox.github.hub import Hub, Need
from runner.sandbox.github.repository import DiffFile
from runner.sandbox.github.routing import PAGING, Answer, Call, Query, route
from runner.sandbox.github.shapes import (
    BOOLEAN,
    COMMENT,
    INTEGER,
    OPTIONAL_TEXT,
    STRING,
    STRINGS,
    TEXT,
    TITLE,
    body,
    choice,
)
from runner.sandbox.github.state import Pull, Review, ReviewComment, Thread, User

READ: Need = ("pull_requests", "read")
WRITE: Need = ("pull_requests", "write")
STATES = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}
EVENT = choice(*STATES)

_LIST: Query = {
    **PAGING,
    "state": ("open", "closed", "all"),
    "head": str,
    "base": str,
    "sort": ("created", "updated", "popularity", "long-running"),
    "direction": ("asc", "desc"),
}


@route("GET {repo}/pulls", READ, query=_LIST)
def list_pulls(call: Call) -> Answer:
    """Pull requests; by creation newest first, by anything else oldest first. A bare head does not filter."""
    state, base = call.query("state", "open"), call.query("base")
    owner, colon, head = call.query("head").partition(":")
    found = [
        pull
        for pull in call.hub.pulls.values()
        if state in ("all", pull.state)
        and base in ("", pull.base)
        and (not colon or (owner.lower(), head) == (call.hub.owner_login.lower(), pull.head))
    ]
    sort = call.query("sort", "created")
    direction = call.query("direction", "desc" if sort == "created" else "asc")
    found.sort(
        key=lambda pull: (pull.updated_at if sort == "updated" else "", pull.number),
        reverse=direction == "desc",
    )
    return call.page(found, lambda pull: views_pulls.pull_simple(call.hub, pull))


_NEW_PULL = body(
    ("head", "base"),
    title=TITLE,
    head=STRING,
    head_repo=STRING,
    base=STRING,
    body=OPTIONAL_TEXT,
    maintainer_can_modify=BOOLEAN,
    draft=BOOLEAN,
    issue=INTEGER,
)


@route("POST {repo}/pulls", WRITE, body=_NEW_PULL, status=201)
def create_pull(call: Call) -> Answer:
    """Open a pull request."""
    if "title" not in call.body:
        raise invalid("PullRequest", "title", "title can't be blank", code="missing_field")
    pull = call.hub.open_pull(
        call.caller,
        title=call.body["title"],
        body=call.body.get("body"),
        head=call.body["head"],
        base=call.body["base"],
        draft=call.body.get("draft", False),
    )
    return views_pulls.pull(call.hub, pull, call.token)


@route("GET {repo}/pulls/{pull_number}", READ)
def get_pull(call: Call) -> Answer:
    """One pull request."""
    return views_pulls.pull(call.hub, call.pull, call.token)


_CHANGED_PULL = body(
    title=TITLE,
    body=OPTIONAL_TEXT,
    state=choice("open", "closed"),
    base=STRING,
    maintainer_can_modify=BOOLEAN,
)


@route("PATCH {repo}/pulls/{pull_number}", WRITE, body=_CHANGED_PULL)
def update_pull(call: Call) -> Answer:
    """Change texts, base and state."""
    pull = call.pull
    if call.body.get("base", pull.base) != pull.base:
        call.hub.retarget(pull, call.body["base"], call.caller)
    change_texts(call, pull)
    change_state(call, pull)
    return views_pulls.pull(call.hub, pull, call.token)


def change_texts(call: Call, pull: Pull) -> None:
    """Apply a new title and body."""
    old = {"title": pull.title, "body": pull.body}
    changed = {name: call.body[name] for name in old if name in call.body and call.body[name] != old[name]}
    if not changed:
        return
    pull.title, pull.body = changed.get("title", pull.title), changed.get("body", pull.body)
    pull.updated_at = call.hub.now()
    changes = {name: {"from": old[name] or ""} for name in changed}
    call.hub.emit_pull("edited", pull, call.caller, {"changes": changes})


def change_state(call: Call, pull: Pull) -> None:
    """Close or reopen."""
    wanted = call.body.get("state", pull.state)
    if wanted == "closed" and pull.is_open:
        call.hub.close(pull, call.caller, by=call.actor)
    elif wanted == "open" and not pull.is_open:
        call.hub.reopen(pull, call.caller)


@route("GET {repo}/pulls/{pull_number}/commits", READ, query=PAGING)
def list_pull_commits(call: Call) -> Answer:
    """Its commits, oldest first; GitHub lists at most 250."""
    commits = call.hub.comparison(call.pull).ahead[:250]
    return call.page(commits, lambda one: views_git.commit(call.hub, one))


@route("GET {repo}/pulls/{pull_number}/files", READ, query=PAGING)
def list_pull_files(call: Call) -> Answer:
    """Its changed files."""
    pull = call.pull
    return call.page(
        call.hub.comparison(pull).files, lambda one: views_git.diff_file(call.hub, one, pull.head_sha)
    )


@route("GET {repo}/commits/{commit_sha}/pulls", READ, query=PAGING)
def list_pulls_of_commit(call: Call) -> Answer:
    """Pull requests that bring a commit."""
    sha = call.parameters["commit_sha"]
    found = [
        pull
        for pull in call.hub.pulls.values()
        if sha == pull.merge_commit_sha or sha in [one.sha for one in call.hub.comparison(pull).ahead]
    ]
    return call.page(found, lambda pull: views_pulls.pull_simple(call.hub, pull))


# Merging


@route("GET {repo}/pulls/{pull_number}/merge", READ)
def is_merged(call: Call) -> Answer:
    """204 once it is merged."""
    if call.pull.merged_at is None:
        raise not_found()
    return Response(status=204)


_MERGE = body(
    commit_title=STRING, commit_message=STRING, sha=STRING, merge_method=choice("merge", "squash", "rebase")
)


@route("PUT {repo}/pulls/{pull_number}/merge", ("contents", "write"), body=_MERGE)
def merge_pull(call: Call) -> Answer:
    """Merge it into its base."""
    sha = call.hub.merge(
        call.pull,
        call.caller,
        method=call.body.get("merge_method", "merge"),
        sha=call.body.get("sha"),
        title=call.body.get("commit_title"),
        message=call.body.get("commit_message"),
    )
    return {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}


@route("PUT {repo}/pulls/{pull_number}/update-branch", WRITE, body=body(expected_head_sha=STRING), status=202)
def update_branch(call: Call) -> Answer:
    """Bring the head branch up to date by a merge."""
    call.hub.update_branch(call.pull, call.caller, expected=call.body.get("expected_head_sha"))
    return {
        "message": "Updating pull request branch.",
        "url": views.api(call.hub, f"/pulls/{call.pull.number}"),
    }


# Requested reviewers

_REVIEWERS = body(reviewers=STRINGS, team_reviewers=STRINGS)


@route("GET {repo}/pulls/{pull_number}/requested_reviewers", READ)
def list_requested(call: Call) -> Answer:
    """People still to review."""
    return {"users": [views.user(call.hub, one) for one in call.pull.requested], "teams": []}


@route("POST {repo}/pulls/{pull_number}/requested_reviewers", WRITE, body=_REVIEWERS, status=201)
def request_reviewers(call: Call) -> Answer:
    """Ask people for a review; one unsuitable name refuses the whole request."""
    pull = call.pull
    if call.body.get("team_reviewers"):
        raise ApiError(422, "Could not resolve to a node with the global id of 'T_'.")
    people = [_reviewer(call, pull, login) for login in call.body.get("reviewers", [])]
    for user in people:
        if user.login not in [one.login for one in pull.requested]:
            pull.requested.append(user)
            requested = {"requested_reviewer": views.user(call.hub, user)}
            call.hub.emit_pull("review_requested", pull, call.caller, requested)
    return views_pulls.pull_simple(call.hub, pull)


def _reviewer(call: Call, pull: Pull, login: str) -> User:
    user = call.hub.users.get(login.lower())
    if user is None or user.is_bot or user.role == "none":
        raise ApiError(
            422,
            "Reviews may only be requested from collaborators. One or more of the users or teams you "
            f"specified is not a collaborator of the {call.hub.full_name} repository.",
        )
    if user.login == pull.author.login:
        raise ApiError(422, "Review cannot be requested from pull request author.")
    return user


@route(
    "DELETE {repo}/pulls/{pull_number}/requested_reviewers",
    WRITE,
    body=body(("reviewers",), reviewers=STRINGS, team_reviewers=STRINGS),
)
def remove_reviewers(call: Call) -> Answer:
    """Withdraw requests."""
    pull, logins = call.pull, [login.lower() for login in call.body["reviewers"]]
    pull.requested = [user for user in pull.requested if user.login.lower() not in logins]
    return views_pulls.pull_simple(call.hub, pull)


# Reviews


@route("GET {repo}/pulls/{pull_number}/reviews", READ, query=PAGING)
def list_reviews(call: Call) -> Answer:
    """Reviews, oldest first; a pending one shows to its author only."""
    pull = call.pull
    shown = [one for one in pull.reviews if _is_visible(call, one)]
    return call.page(shown, lambda one: views_pulls.review(call.hub, pull, one))


def _is_visible(call: Call, review: Review) -> bool:
    return review.state != "PENDING" or (call.token is not None and call.token.login == review.author.login)


_INLINE = {
    "type": "object",
    "required": ("path", "body"),
    "properties": {
        "path": STRING,
        "position": INTEGER,
        "body": COMMENT,
        "line": INTEGER,
        "side": STRING,
        "start_line": INTEGER,
        "start_side": STRING,
    },
}
_NEW_REVIEW = body(commit_id=STRING, body=TEXT, event=EVENT, comments={"type": "array", "items": _INLINE})


@route("POST {repo}/pulls/{pull_number}/reviews", WRITE, body=_NEW_REVIEW, for_readers=True)
def create_review(call: Call) -> Answer:
    """Review, with inline comments; without an event it stays pending."""
    pull, event = call.pull, call.body.get("event")
    commit_id = call.body.get("commit_id", pull.head_sha)
    text = call.body.get("body", "")
    inline = call.body.get("comments", [])
    if any(one.state == "PENDING" and one.author.login == call.actor.login for one in pull.reviews):
        raise unprocessable("User can only have one pending review per pull request")
    if event:
        _check_verdict(call, pull, event, has_text=bool(text or inline))
    places = [_place(call.hub, pull, commit_id, one) for one in inline]
    if None in places:
        raise unprocessable("Line could not be resolved")
    review = call.hub.add_review(pull, call.caller, body=text, state="PENDING", commit_id=commit_id)
    for comment, thread in zip(inline, places, strict=True):
        if thread:
            pull.threads.append(thread)
            call.hub.add_thread_comment(pull, thread, call.caller, comment["body"], review=review)
    if event:
        call.hub.submit_review(pull, review, call.caller, STATES[event])
    return views_pulls.review(call.hub, pull, review)


def _check_verdict(call: Call, pull: Pull, event: str, *, has_text: bool) -> None:
    if event == "APPROVE" and call.caller.kind == "actions" and not call.hub.allow_actions_pull_requests:
        raise unprocessable("GitHub Actions is not permitted to approve pull requests.")
    if call.actor.login == pull.author.login and event != "COMMENT":
        verb = "approve" if event == "APPROVE" else "request changes on"
        raise unprocessable(f"Can not {verb} your own pull request")
    if event != "APPROVE" and not has_text:
        raise unprocessable("Body can't be blank")


@route("GET {repo}/pulls/{pull_number}/reviews/{review_id}", READ)
def get_review(call: Call) -> Answer:
    """One review."""
    return views_pulls.review(call.hub, call.pull, _review(call))


@route(
    "PUT {repo}/pulls/{pull_number}/reviews/{review_id}",
    WRITE,
    body=body(("body",), body=TEXT),
    for_readers=True,
)
def update_review(call: Call) -> Answer:
    """Change the text of an own review."""
    review = _review(call)
    _check_owner(call, review.author)
    review.body = call.body["body"]
    review.edited_at = call.pull.updated_at = call.hub.now()
    return views_pulls.review(call.hub, call.pull, review)


@route("GET {repo}/pulls/{pull_number}/reviews/{review_id}/comments", READ, query=PAGING)
def list_review_comments_of(call: Call) -> Answer:
    """The inline comments of one review."""
    pull, review = call.pull, _review(call)
    found = [pair for pair in views_pulls.visible_comments(pull, call.token) if pair[1].review is review]
    return call.page(
        found, lambda pair: {"position": None, **views_pulls.review_comment(call.hub, pull, *pair)}
    )


@route(
    "PUT {repo}/pulls/{pull_number}/reviews/{review_id}/dismissals",
    WRITE,
    body=body(("message",), message=STRING, event=choice("DISMISS")),
)
def dismiss_review(call: Call) -> Answer:
    """Take a verdict back."""
    review = _review(call)
    if review.state not in ("APPROVED", "CHANGES_REQUESTED"):
        raise unprocessable("Can not dismiss a commented pull request review")
    review.state = "DISMISSED"
    call.pull.updated_at = call.hub.now()
    return views_pulls.review(call.hub, call.pull, review)


@route(
    "POST {repo}/pulls/{pull_number}/reviews/{review_id}/events",
    WRITE,
    body=body(("event",), event=EVENT, body=TEXT),
    for_readers=True,
)
def submit_review(call: Call) -> Answer:
    """Submit a pending review."""
    pull, review = call.pull, _review(call)
    if review.state != "PENDING":
        raise unprocessable("Can not submit an already submitted pull request review")
    review.body = call.body.get("body", review.body)
    has_inline = any(comment.review is review for thread in pull.threads for comment in thread.comments)
    _check_verdict(call, pull, call.body["event"], has_text=bool(review.body or has_inline))
    call.hub.submit_review(pull, review, call.caller, STATES[call.body["event"]])
    return views_pulls.review(call.hub, pull, review)


def _review(call: Call) -> Review:
    wanted = call.number("review_id")
    found = next((one for one in call.pull.reviews if one.id == wanted and _is_visible(call, one)), None)
    if found is None:
        raise not_found()
    return found


def _check_owner(call: Call, author: User) -> None:
    if author.login != call.actor.login and not call.hub.allows(call.caller, ("contents", "write")):
        raise ApiError(403, "Must have admin rights to Repository.")


# Review comments

_COMMENTS: Query = {**PAGING, "sort": ("created", "updated"), "direction": ("asc", "desc"), "since": str}


@route("GET {repo}/pulls/{pull_number}/comments", READ, query=_COMMENTS)
def list_review_comments(call: Call) -> Answer:
    """Inline comments of all reviews, oldest first."""
    pull, since = call.pull, call.query("since")
    found = [pair for pair in views_pulls.visible_comments(pull, call.token) if pair[1].updated_at >= since]
    if call.query("sort") == "updated":
        found.sort(key=lambda pair: pair[1].updated_at)
    if call.query("direction") == "desc":
        found.reverse()
    return call.page(found, lambda pair: views_pulls.review_comment(call.hub, pull, *pair))


_NEW_COMMENT = body(
    ("body", "commit_id", "path"),
    body=COMMENT,
    commit_id=STRING,
    path=STRING,
    position=INTEGER,
    side=choice("LEFT", "RIGHT"),
    line=INTEGER,
    start_line=INTEGER,
    start_side=choice("LEFT", "RIGHT", "side"),
    in_reply_to=INTEGER,
    subject_type=choice("line", "file"),
)


@route("POST {repo}/pulls/{pull_number}/comments", WRITE, body=_NEW_COMMENT, status=201, for_readers=True)
def create_review_comment(call: Call) -> Answer:
    """Start an inline conversation, or answer in one."""
    pull = call.pull
    if "in_reply_to" in call.body:
        return _reply(call, pull, call.body["in_reply_to"])
    thread = _place(call.hub, pull, call.body["commit_id"], call.body)
    if thread is None:
        field = "pull_request_review_thread.line"
        raise invalid("PullRequestReviewComment", field, f"{field} must be part of the diff")
    pull.threads.append(thread)
    comment = call.hub.add_thread_comment(pull, thread, call.caller, call.body["body"])
    return views_pulls.review_comment(call.hub, pull, thread, comment)


@route(
    "POST {repo}/pulls/{pull_number}/comments/{comment_id}/replies",
    WRITE,
    body=body(("body",), body=COMMENT),
    status=201,
    for_readers=True,
)
def reply_to_comment(call: Call) -> Answer:
    """Answer a top-level inline comment."""
    return _reply(call, call.pull, call.number("comment_id"))


def _reply(call: Call, pull: Pull, comment_id: int) -> Answer:
    thread = next((one for one in pull.threads if one.comments[0].id == comment_id), None)
    if thread is None:
        raise not_found()
    comment = call.hub.add_thread_comment(pull, thread, call.caller, call.body["body"])
    return views_pulls.review_comment(call.hub, pull, thread, comment)


@route("GET {repo}/pulls/comments/{comment_id}", READ)
def get_review_comment(call: Call) -> Answer:
    """One inline comment."""
    return views_pulls.review_comment(call.hub, *_inline_comment(call))


@route(
    "PATCH {repo}/pulls/comments/{comment_id}", WRITE, body=body(("body",), body=COMMENT), for_readers=True
)
def update_review_comment(call: Call) -> Answer:
    """Change an inline comment; those who may push may change anybody's."""
    pull, thread, comment = _inline_comment(call)
    _check_owner(call, comment.author)
    comment.body, comment.updated_at, comment.editor = call.body["body"], call.hub.now(), call.actor
    return views_pulls.review_comment(call.hub, pull, thread, comment)


@route("DELETE {repo}/pulls/comments/{comment_id}", WRITE, for_readers=True)
def delete_review_comment(call: Call) -> Answer:
    """Delete an inline comment; an emptied thread goes with it."""
    pull, thread, comment = _inline_comment(call)
    _check_owner(call, comment.author)
    thread.comments.remove(comment)
    pull.threads = [one for one in pull.threads if one.comments]
    return Response(status=204)


def _inline_comment(call: Call) -> tuple[Pull, Thread, ReviewComment]:
    wanted = call.number("comment_id")
    for pull in call.hub.pulls.values():
        for thread, comment in views_pulls.visible_comments(pull, call.token):
            if comment.id == wanted:
                return pull, thread, comment
    raise not_found()


def _place(hub: Hub, pull: Pull, commit_id: str, given: dict[str, Any]) -> Thread | None:
    """A new thread where a comment points to; ``None`` when that is not part of the diff."""
    if hub.git.type_of(commit_id) != "commit":
        raise invalid("PullRequestReviewComment", "commit_id", "commit_id is not part of the pull request")
    base = hub.git.branch(pull.base) or pull.base_sha
    files = {file.path: file for file in hub.git.compare(base, commit_id).files}
    if given["path"] not in files:
        return None
    if given.get("subject_type") == "file":
        return _thread(
            hub, commit_id, given["path"], line=None, start=None, side="RIGHT", position=1, hunk=""
        )
    side = given.get("side", "RIGHT")
    found = _line_of(files[given["path"]], given, side)
    start = given.get("start_line")
    if found is None or (start is not None and start >= found[0]):
        return None
    line, position, hunk = found
    return _thread(
        hub, commit_id, given["path"], line=line, start=start, side=side, position=position, hunk=hunk
    )


def _line_of(file: DiffFile, given: dict[str, Any], side: str) -> tuple[int, int, str] | None:
    for position, one_side, number, hunk in file.lines():
        by_line = given.get("line") == number and one_side == side
        by_position = "line" not in given and given.get("position") == position and one_side == side
        if by_line or by_position:
            return number, position, hunk
    return None


def _thread(
    hub: Hub,
    commit_id: str,
    path: str,
    *,
    line: int | None,
    start: int | None,
    side: str,
    position: int,
    hunk: str,
) -> Thread:
    return Thread(
        id=hub.new_id(),
        path=path,
        line=line,
        start_line=start,
        side=side,
        commit_id=commit_id,
        position=position,
        diff_hunk=hunk,
        comments=[],
    )
