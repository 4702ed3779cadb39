"""Operations on what hangs on a ticket: comments, properties, links, attachments, watchers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runner.sandbox.jira import shapes
from runner.sandbox.jira.call import Answer, Call, Handler, Route, ask, get, write
from runner.sandbox.jira.records import (
    LINK_TYPES,
    Issue,
    JiraError,
    StoredComment,
    StoredFile,
    StoredLink,
    StoredRemoteLink,
)

ONE = "/rest/api/3/issue/{issueIdOrKey}"
COMMENT = f"{ONE}/comment/{{id}}"
NO_COMMENT = "Can not find a comment for the id: {}."
COMMENT_LIMIT = 5_000
Properties = dict[str, Any]


def routes() -> list[Route]:
    """The operations of this module."""
    comment = shapes.COMMENT
    link = "/rest/api/3/issueLink"
    return [
        get(f"{ONE}/comment", comments, "startAt:int maxResults:int orderBy expand"),
        write("POST", f"{ONE}/comment", add_comment, "expand", body=comment),
        get(COMMENT, one_comment, "expand"),
        write(
            "PUT",
            COMMENT,
            edit_comment,
            "notifyUsers:bool overrideEditableFlag:bool expand",
            body=comment,
        ),
        write("DELETE", COMMENT, delete_comment),
        ask("/rest/api/3/comment/list", comments_by_id, "expand", body=shapes.COMMENT_LIST),
        *_property_routes("/rest/api/3/comment/{commentId}/properties", _comment_properties),
        *_property_routes(f"{ONE}/properties", _issue_properties),
        get(f"{ONE}/remotelink", remote_links, "globalId"),
        write("POST", f"{ONE}/remotelink", set_remote_link, body=shapes.REMOTE_LINK),
        write("DELETE", f"{ONE}/remotelink", delete_remote_link_by_global_id, "globalId"),
        get(f"{ONE}/remotelink/{{linkId}}", remote_link),
        write("PUT", f"{ONE}/remotelink/{{linkId}}", edit_remote_link, body=shapes.REMOTE_LINK),
        write("DELETE", f"{ONE}/remotelink/{{linkId}}", delete_remote_link),
        write("POST", f"{ONE}/attachments", attach, is_multipart=True),
        get("/rest/api/3/attachment/meta", attachment_settings),
        get("/rest/api/3/attachment/{id}", attachment),
        get("/rest/api/3/attachment/content/{id}", attachment_content, "redirect:bool"),
        write("DELETE", "/rest/api/3/attachment/{id}", delete_attachment),
        get(f"{ONE}/watchers", watchers),
        write("POST", f"{ONE}/watchers", watch, body=shapes.TEXT),
        write("DELETE", f"{ONE}/watchers", unwatch, "accountId"),
        write("POST", link, link_issues, body=shapes.ISSUE_LINK),
        get(f"{link}/{{linkId}}", issue_link),
        write("DELETE", f"{link}/{{linkId}}", unlink),
        get("/rest/api/3/issueLinkType", link_types),
    ]


# Comments


def comments(call: Call) -> Answer:
    """The comments that the caller may see; oldest first unless asked otherwise."""
    issue = call.issue()
    order = call.one("orderBy", "created")
    if order not in ("created", "+created", "-created"):
        raise JiraError(400, f"The value '{order}' is not valid for orderBy.")
    seen = [one for one in issue.comments if call.site.can_see(issue, one, call.account or "")]
    if order == "-created":
        seen.reverse()
    return Answer(body=call.page(seen, lambda one: _rendered(call, issue, one), "comments"))


def _rendered(call: Call, issue: Issue, comment: StoredComment) -> dict[str, Any]:
    with_properties = "properties" in call.one("expand").split(",")
    return call.view.comment(issue, comment, with_properties=with_properties)


def add_comment(call: Call) -> Answer:
    """Write a comment."""
    issue = call.issue("ADD_COMMENTS")
    if len(issue.comments) >= COMMENT_LIMIT:
        raise JiraError(413, f"The issue has reached the limit of {COMMENT_LIMIT} comments.")
    visibility = call.body.get("visibility")
    _check_visibility(issue, visibility)
    properties = _given_properties(call)
    comment = call.site.add_comment(
        issue, call.account, call.body["body"], visibility=visibility, properties=properties
    )
    return Answer(status=201, body=_rendered(call, issue, comment))


def _given_properties(call: Call) -> Properties:
    given = {one["key"]: one["value"] for one in call.body.get("properties") or ()}
    for value in given.values():
        shapes.check_property(value)
    return given


def _check_visibility(issue: Issue, visibility: dict[str, str] | None) -> None:
    if visibility is None or visibility.get("type") == "group":
        return
    role = visibility.get("value") or visibility.get("identifier")
    if role not in issue.project.roles:
        raise JiraError(400, fields={"commentLevel": f"Role '{role}' does not exist."})


def _find_comment(call: Call, issue: Issue, comment_id: str) -> StoredComment:
    for comment in issue.comments:
        if comment.id == comment_id and call.site.can_see(issue, comment, call.account or ""):
            return comment
    raise JiraError(404, NO_COMMENT.format(comment_id))


def one_comment(call: Call) -> Answer:
    """One comment."""
    issue = call.issue()
    return Answer(body=_rendered(call, issue, _find_comment(call, issue, call.params["id"])))


def edit_comment(call: Call) -> Answer:
    """Replace a comment's body; other people's comments need their own permission."""
    issue = call.issue()
    comment = _find_comment(call, issue, call.params["id"])
    _require_over(call, issue, comment, "EDIT")
    if "visibility" in call.body:
        _check_visibility(issue, call.body["visibility"])
        comment.visibility = call.body["visibility"]
    comment.properties.update(_given_properties(call))
    call.site.edit_comment(issue, comment, call.account, call.body["body"])
    return Answer(body=_rendered(call, issue, comment))


def _require_over(call: Call, issue: Issue, comment: StoredComment, verb: str) -> None:
    whose = "OWN" if comment.author == call.account else "ALL"
    if not call.site.may(issue.project, call.account, f"{verb}_{whose}_COMMENTS"):
        raise JiraError(
            400,
            f"You do not have the permission to {verb.lower()} the comment with id: {comment.id}.",
        )


def delete_comment(call: Call) -> Answer:
    """Delete a comment."""
    issue = call.issue()
    comment = _find_comment(call, issue, call.params["id"])
    _require_over(call, issue, comment, "DELETE")
    issue.comments.remove(comment)
    call.site.touch(issue, call.site.now())
    return Answer(status=204)


def comments_by_id(call: Call) -> Answer:
    """Comments by their ids, whatever ticket they are on; unknown ones are left out."""
    wanted = set(map(str, call.body["ids"]))
    found = [
        (issue, comment)
        for issue in call.site.issues.values()
        for comment in issue.comments
        if comment.id in wanted
        and call.site.may(issue.project, call.account, "BROWSE_PROJECTS")
        and call.site.can_see(issue, comment, call.account)
    ]
    return Answer(body=call.bean(found, lambda pair: _rendered(call, *pair)))


# Properties, of tickets and of comments


def _issue_properties(call: Call, *, to_write: bool) -> tuple[Properties, str]:
    issue = call.issue("EDIT_ISSUES" if to_write else None)
    return issue.properties, f"issue/{issue.id}/properties"


def _comment_properties(call: Call, *, to_write: bool) -> tuple[Properties, str]:
    wanted = call.params["commentId"]
    for issue in call.site.issues.values():
        for comment in issue.comments:
            if comment.id == wanted and call.site.may(issue.project, call.account or None, "BROWSE_PROJECTS"):
                if to_write:
                    _require_over(call, issue, comment, "EDIT")
                return comment.properties, f"comment/{comment.id}/properties"
    raise JiraError(404, NO_COMMENT.format(wanted))


def _property_routes(base: str, find: Callable[..., tuple[Properties, str]]) -> list[Route]:
    def keys(call: Call) -> Answer:
        properties, path = find(call, to_write=False)
        shown = [{"key": name, "self": call.view.link(f"{path}/{name}")} for name in properties]
        return Answer(body={"keys": shown})

    def read(call: Call) -> Answer:
        properties, _path = find(call, to_write=False)
        name = call.params["propertyKey"]
        if name not in properties:
            raise JiraError(404, f"The property with key '{name}' does not exist.")
        return Answer(body={"key": name, "value": properties[name]})

    def store(call: Call) -> Answer:
        properties, _path = find(call, to_write=True)
        shapes.check_property(call.body)
        name = call.params["propertyKey"]
        is_new = name not in properties
        properties[name] = call.body
        return Answer(status=201 if is_new else 200, body={})

    def remove(call: Call) -> Answer:
        properties, _path = find(call, to_write=True)
        if properties.pop(call.params["propertyKey"], None) is None:
            raise JiraError(404, "The property does not exist.")
        return Answer(status=204)

    one = f"{base}/{{propertyKey}}"
    handlers: list[tuple[str, Handler]] = [("PUT", store), ("DELETE", remove)]
    return [
        get(base, keys),
        get(one, read),
        *(
            write(method, one, handler, body=shapes.ANY if method == "PUT" else None)
            for method, handler in handlers
        ),
    ]


# Remote links


def remote_links(call: Call) -> Answer:
    """All remote links, or the one with a global id."""
    issue = call.issue()
    wanted = call.one("globalId")
    if not wanted:
        return Answer(body=[call.view.remote_link(issue, one) for one in issue.remote_links])
    for one in issue.remote_links:
        if one.global_id == wanted:
            return Answer(body=call.view.remote_link(issue, one))
    raise JiraError(404, f"No remote issue link found with global id '{wanted}'.")


def set_remote_link(call: Call) -> Answer:
    """Create a remote link; the same global id replaces what was there (200 instead of 201)."""
    issue = call.issue("LINK_ISSUES")
    link, is_new = call.site.remote_link(issue, call.account, call.body)
    body = {"id": link.id, "self": call.view.link(f"issue/{issue.key}/remotelink/{link.id}")}
    return Answer(status=201 if is_new else 200, body=body)


def _find_remote_link(call: Call, issue: Issue) -> StoredRemoteLink:
    for link in issue.remote_links:
        if str(link.id) == call.params["linkId"]:
            return link
    raise JiraError(404, "The remote issue link could not be found.")


def remote_link(call: Call) -> Answer:
    """One remote link."""
    issue = call.issue()
    return Answer(body=call.view.remote_link(issue, _find_remote_link(call, issue)))


def edit_remote_link(call: Call) -> Answer:
    """Replace a remote link."""
    issue = call.issue("LINK_ISSUES")
    link = _find_remote_link(call, issue)
    link.body, link.global_id = call.body, call.body.get("globalId")
    call.site.touch(issue, call.site.now())
    return Answer(status=204)


def delete_remote_link(call: Call) -> Answer:
    """Remove a remote link."""
    issue = call.issue("LINK_ISSUES")
    issue.remote_links.remove(_find_remote_link(call, issue))
    return Answer(status=204)


def delete_remote_link_by_global_id(call: Call) -> Answer:
    """Remove the remote link with a global id."""
    issue = call.issue("LINK_ISSUES")
    wanted = call.one("globalId")
    if not wanted:
        raise JiraError(400, "The query parameter 'globalId' is required.")
    kept = [one for one in issue.remote_links if one.global_id != wanted]
    if len(kept) == len(issue.remote_links):
        raise JiraError(404, f"No remote issue link found with global id '{wanted}'.")
    issue.remote_links = kept
    return Answer(status=204)


# Attachments


def attach(call: Call) -> Answer:
    """Attach files. Without the header that says "this is no browser form" Jira answers 403."""
    if call.headers.get("X-Atlassian-Token") != "no-check":
        raise JiraError(403, "XSRF check failed")
    issue = call.issue("CREATE_ATTACHMENTS")
    if not call.uploads:
        raise JiraError(400, "The multipart field 'file' is missing.")
    if any(len(one.data) > call.site.attachment_limit for one in call.uploads):
        raise JiraError(413, f"The attachment is larger than {call.site.attachment_limit} bytes.")
    files = [
        call.site.attach(issue, call.account, one.name, one.media_type, one.data) for one in call.uploads
    ]
    return Answer(body=[call.view.attachment(file) for file in files])


def attachment_settings(call: Call) -> Answer:
    """Whether files can be attached, and how large."""
    return Answer(body={"enabled": True, "uploadLimit": call.site.attachment_limit})


def _find_file(call: Call) -> StoredFile:
    file = call.site.files.get(call.params["id"])
    missing = f"The attachment with id '{call.params['id']}' does not exist"
    if file is None or file.issue_id not in call.site.issues:
        raise JiraError(404, missing)
    if not call.site.may(call.site.issues[file.issue_id].project, call.account or None, "BROWSE_PROJECTS"):
        raise JiraError(404, missing)
    return file


def attachment(call: Call) -> Answer:
    """An attachment's metadata; here the id is a number."""
    file = _find_file(call)
    return Answer(body={**call.view.attachment(file), "id": int(file.id)})


def attachment_content(call: Call) -> Answer:
    """The bytes, by redirect to the media host unless ``redirect=false``."""
    file = _find_file(call)
    if call.one("redirect") == "false":
        return Answer(data=file.data, headers={"Content-Type": file.media_type})
    return Answer(status=303, headers={"Location": f"{call.media_url}/file/{file.id}/binary"})


def delete_attachment(call: Call) -> Answer:
    """Remove an attachment."""
    file = _find_file(call)
    issue = call.site.issues[file.issue_id]
    if file.author != call.account:
        call.require(issue.project, "ADMINISTER_PROJECTS")
    issue.attachment_ids.remove(file.id)
    del call.site.files[file.id]
    return Answer(status=204)


# Watchers


def watchers(call: Call) -> Answer:
    """Who watches a ticket."""
    issue = call.issue()
    return Answer(
        body={
            "self": call.view.link(f"issue/{issue.key}/watchers"),
            "isWatching": call.account in issue.watchers,
            "watchCount": len(issue.watchers),
            "watchers": [call.view.user(one) for one in sorted(issue.watchers)],
        }
    )


def watch(call: Call) -> Answer:
    """Add a watcher: oneself, or with permission somebody else."""
    issue = call.issue()
    if call.body != call.account:
        call.require(issue.project, "MANAGE_WATCHERS")
    if call.body not in call.site.users:
        raise JiraError(400, f"The user '{call.body}' does not exist.")
    issue.watchers.add(call.body)
    return Answer(status=204)


def unwatch(call: Call) -> Answer:
    """Remove a watcher."""
    issue = call.issue()
    issue.watchers.discard(call.one("accountId"))
    return Answer(status=204)


# Links between tickets


def link_issues(call: Call) -> Answer:
    """Relate two tickets; the answer has no body."""
    ends = []
    for side in ("inwardIssue", "outwardIssue"):
        given = call.body[side]
        issue = call.site.visible(str(given.get("key") or given.get("id")), call.account)
        call.require(issue.project, "LINK_ISSUES")
        ends.append(issue)
    wanted = call.body["type"]
    for kind in LINK_TYPES:
        if kind.id == wanted.get("id") or kind.name == wanted.get("name"):
            call.site.link(kind.id, ends[0], ends[1], call.account)
            return Answer(status=201)
    raise JiraError(404, f"No issue link type with name '{wanted.get('name')}' found.")


def _find_link(call: Call) -> StoredLink:
    for link in call.site.links:
        if link.id == call.params["linkId"]:
            return link
    raise JiraError(404, f"No issue link with id '{call.params['linkId']}' exists.")


def issue_link(call: Call) -> Answer:
    """One relation with both ends."""
    return Answer(body=call.view.issue_link(_find_link(call)))


def unlink(call: Call) -> Answer:
    """Remove a relation."""
    call.site.links.remove(_find_link(call))
    return Answer(status=204)


def link_types(call: Call) -> Answer:
    """The kinds of relation."""
    return Answer(body={"issueLinkTypes": [call.view.link_type(kind) for kind in LINK_TYPES]})
