"""Operations on tickets: create, read, edit, assign, move, history, search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runner.sandbox.jira import shapes
from runner.sandbox.jira.call import Answer, Call, Route, ask, decode_token, encode_token, get, write
from runner.sandbox.jira.jql import parse
from runner.sandbox.jira.projects import FieldSpec
from runner.sandbox.jira.records import Issue, IssueType, JiraError, Move, Project
from runner.sandbox.jira.views import system_field

ISSUE = "/rest/api/3/issue"
ONE = f"{ISSUE}/{{issueIdOrKey}}"
EDITABLE = ("summary", "description", "labels", "assignee")
CREATABLE = (*EDITABLE, "project", "issuetype", "parent", "reporter")
NOT_ON_SCREEN = "Field '{}' cannot be set. It is not on the appropriate screen, or unknown."
UNBOUNDED = "Unbounded JQL queries are not allowed here. Please add a search restriction to your query."


def routes() -> list[Route]:
    """The operations of this module."""
    search = "jql nextPageToken maxResults:int fields:list expand properties:list fieldsByKeys:bool failFast:bool reconcileIssues:ints"
    return [
        write("POST", ISSUE, create, "updateHistory:bool", body=shapes.CREATE),
        write("POST", f"{ISSUE}/bulk", create_many, body=shapes.BULK),
        ask(f"{ISSUE}/bulkfetch", fetch_many, body=shapes.BULK_FETCH),
        get(f"{ISSUE}/createmeta/{{projectIdOrKey}}/issuetypes", create_types, "startAt:int maxResults:int"),
        get(
            f"{ISSUE}/createmeta/{{projectIdOrKey}}/issuetypes/{{issueTypeId}}",
            create_fields,
            "startAt:int maxResults:int",
        ),
        get(
            ONE,
            read,
            "fields:list fieldsByKeys:bool expand properties:list updateHistory:bool failFast:bool",
        ),
        write(
            "PUT",
            ONE,
            edit,
            "notifyUsers:bool overrideScreenSecurity:bool overrideEditableFlag:bool returnIssue:bool expand",
            body=shapes.EDIT,
        ),
        write("DELETE", ONE, delete, "deleteSubtasks"),
        write("PUT", f"{ONE}/assignee", assign, body=shapes.ASSIGN),
        get(f"{ONE}/editmeta", edit_screen, "overrideScreenSecurity:bool overrideEditableFlag:bool"),
        get(
            f"{ONE}/transitions",
            moves,
            "expand transitionId skipRemoteOnlyCondition:bool includeUnavailableTransitions:bool sortByOpsBarAndStatus:bool",
        ),
        write("POST", f"{ONE}/transitions", move, body=shapes.TRANSIT),
        get(f"{ONE}/changelog", history, "startAt:int maxResults:int"),
        ask(f"{ONE}/changelog/list", history_by_id, body=shapes.CHANGE_LIST),
        get("/rest/api/3/search/jql", search_by_query, search),
        ask("/rest/api/3/search/jql", search_by_body, body=shapes.SEARCH),
        ask("/rest/api/3/search/approximate-count", count, body=shapes.COUNT),
    ]


def create(call: Call) -> Answer:
    """Create one ticket."""
    return Answer(status=201, body=_created(call, _create_one(call, call.body)))


def create_many(call: Call) -> Answer:
    """Create up to 50 tickets; what worked stays, what failed is listed by its position."""
    issues: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for number, one in enumerate(call.body["issueUpdates"]):
        try:
            issues.append(_created(call, _create_one(call, one)))
        except JiraError as error:
            problem = {"errorMessages": error.messages, "errors": error.fields, "status": error.status}
            errors.append({"status": error.status, "elementErrors": problem, "failedElementNumber": number})
    return Answer(status=201 if issues else 400, body={"issues": issues, "errors": errors})


def _created(call: Call, issue: Issue) -> dict[str, Any]:
    return {"id": issue.id, "key": issue.key, "self": call.view.link(f"issue/{issue.id}")}


def _create_one(call: Call, body: Mapping[str, Any]) -> Issue:
    given = {**body["fields"], **_from_update({}, body.get("update") or {})}
    project = _project_of(call, given["project"])
    kind = _type_of(project, given["issuetype"])
    call.require(project, "CREATE_ISSUES")
    _check_create_screen(project, given)
    parent = _parent_of(call, project, kind, given.get("parent"))
    values = _field_values(call, project, given)
    issue = call.site.create_issue(
        project=project,
        kind=kind,
        summary=given["summary"],
        author=call.account,
        reporter=values.get("reporter") or call.account,
        description=given.get("description"),
        assignee=values.get("assignee"),
        labels=given.get("labels") or (),
        parent=parent,
        custom={name: values.get(name) for name in (spec.id for spec in project.create_fields)},
        properties={one["key"]: one["value"] for one in body.get("properties") or ()},
    )
    _add_comments(call, issue, body.get("update") or {})
    return issue


def _project_of(call: Call, given: Mapping[str, Any]) -> Project:
    name = str(given.get("key") or given.get("id"))
    try:
        return call.site.project(name, call.account)
    except JiraError as error:
        raise JiraError(400, fields={"project": "valid project is required"}) from error


def _type_of(project: Project, given: Mapping[str, Any]) -> IssueType:
    for kind in project.types.values():
        if given.get("id") == kind.id or ("id" not in given and given.get("name") == kind.name):
            return kind
    raise JiraError(400, fields={"issuetype": "Specify a valid issue type"})


def _parent_of(call: Call, project: Project, kind: IssueType, given: Any) -> Issue | None:
    if given is None:
        if kind.level < 0:
            raise JiraError(
                400,
                fields={"parent": "Issue type is a sub-task but parent issue key or id not specified."},
            )
        return None
    try:
        parent = call.site.visible(str(given.get("key") or given.get("id")), call.account)
    except JiraError as error:
        raise JiraError(400, fields={"parent": "Could not find issue by id or key."}) from error
    if parent.project is not project or parent.type.level != kind.level + 1:
        message = "Given parent work item does not belong to appropriate hierarchy."
        raise JiraError(400, fields={"parent": message})
    return parent


def _check_create_screen(project: Project, given: Mapping[str, Any]) -> None:
    custom = {spec.id: spec for spec in project.create_fields}
    allowed = (set(CREATABLE) | set(custom)) - project.not_on_create
    if unknown := {name: NOT_ON_SCREEN.format(name) for name in given if name not in allowed}:
        raise JiraError(400, fields=unknown)
    missing = [spec for spec in custom.values() if spec.is_required and given.get(spec.id) in (None, "")]
    if missing:
        raise JiraError(400, fields={spec.id: f"{spec.name} is required." for spec in missing})


def _field_values(call: Call, project: Project, given: Mapping[str, Any]) -> dict[str, Any]:
    """Field values as they are stored; accounts checked, options resolved."""
    custom = {spec.id: spec for spec in project.create_fields}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name == "assignee":
            values[name] = _assignee(call, project, value)
        elif name == "reporter":
            values[name] = _reporter(call, value)
        elif name in custom:
            values[name] = stored_value(custom[name], value)
        elif name == "labels":
            values[name] = value or []
        else:
            values[name] = value
    return values


def _assignee(call: Call, project: Project, value: Any) -> str | None:
    account = None if value is None else value.get("accountId", value.get("id"))
    if account is None:
        return None
    call.require(project, "ASSIGN_ISSUES")
    if not call.site.is_assignable(project, account):
        message = f"User '{account}' cannot be assigned work items."
        raise JiraError(400, fields={"assignee": message})
    return str(account)


def _reporter(call: Call, value: Any) -> str | None:
    account = None if value is None else value.get("accountId") or value.get("id")
    if account is not None and account not in call.site.users:
        raise JiraError(400, fields={"reporter": "The reporter specified is not a user."})
    return account


def stored_value(spec: FieldSpec, value: Any) -> Any:
    """Check a value against its field and return what is kept."""
    if spec.type in ("option", "resolution"):
        label = "name" if spec.type == "resolution" else "value"
        choices = {str(number): option for number, option in enumerate(spec.options, 10000)}
        chosen = None
        if isinstance(value, dict):
            chosen = value.get(label) or choices.get(str(value.get("id")))
        if chosen not in spec.options:
            raise JiraError(400, fields={spec.id: f"Specify a valid 'id' or '{label}' for {spec.name}"})
        return chosen if spec.type == "resolution" else {label: chosen}
    wanted = (int, float) if spec.type == "number" else str
    if value is not None and (isinstance(value, bool) or not isinstance(value, wanted)):
        raise JiraError(400, fields={spec.id: f"Operation value must be a {spec.type}"})
    return value


def _from_update(now: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """What ``update`` turns the present values into; comments are not fields."""
    values: dict[str, Any] = {}
    for name, operations in update.items():
        if name == "comment":
            continue
        value = now.get(name)
        for operation in operations:
            for verb, operand in operation.items():
                value = _operate(name, verb, value, operand)
        values[name] = value
    return values


def _operate(name: str, verb: str, value: Any, operand: Any) -> Any:
    if verb == "set":
        return operand
    if name == "labels" and verb == "add":
        return [*(value or ()), operand]
    if name == "labels" and verb == "remove":
        return [one for one in value or () if one != operand]
    raise JiraError(400, fields={name: f"Field '{name}' does not support operation '{verb}'."})


def _add_comments(call: Call, issue: Issue, update: Mapping[str, Any]) -> None:
    for operation in update.get("comment") or ():
        if set(operation) != {"add"}:
            raise JiraError(400, fields={"comment": "Only 'add' is supported in this sandbox."})
        call.require(issue.project, "ADD_COMMENTS")
        comment = operation["add"]
        properties = {one["key"]: one["value"] for one in comment.get("properties") or ()}
        call.site.add_comment(
            issue,
            call.account,
            comment["body"],
            visibility=comment.get("visibility"),
            properties=properties,
        )


def fetch_many(call: Call) -> Answer:
    """Read up to 100 tickets at once, by ascending id; what cannot be seen is left out."""
    wanted = {str(one).upper() for one in call.body["issueIdsOrKeys"]}
    found = [
        issue
        for issue in call.site.issues.values()
        if {issue.id, issue.key} & wanted and call.site.may(issue.project, call.account, "BROWSE_PROJECTS")
    ]
    issues = [
        call.view.issue(
            issue,
            fields=call.body.get("fields") or (),
            expand=call.body.get("expand") or (),
            properties=call.body.get("properties") or (),
        )
        for issue in sorted(found, key=lambda issue: int(issue.id))
    ]
    return Answer(body={"issues": issues, "issueErrors": []})


def create_types(call: Call) -> Answer:
    """The types that the caller may create in a project."""
    project = call.site.project(call.params["projectIdOrKey"], call.account or None)
    may_create = call.site.may(project, call.account or None, "CREATE_ISSUES")
    types = list(project.types.values()) if may_create else []
    return Answer(body=call.page(types, call.view.type, "issueTypes"))


def create_fields(call: Call) -> Answer:
    """The create screen of one type."""
    project = call.site.project(call.params["projectIdOrKey"], call.account or None)
    kind = project.types.get(call.params["issueTypeId"])
    if kind is None:
        raise JiraError(400, "The issue type could not be found.")
    required = {"summary", "issuetype", "project", *(("parent",) if kind.level < 0 else ())}
    fields = [
        system_field(name, is_required=name in required)
        for name in CREATABLE
        if name not in project.not_on_create
    ] + [call.view.field(spec) for spec in project.create_fields]
    return Answer(body=call.page(fields, lambda one: {**one, "fieldId": one["key"]}, "fields"))


def read(call: Call) -> Answer:
    """Read one ticket."""
    issue = call.issue()
    body = call.view.issue(
        issue,
        fields=call.many("fields"),
        expand=call.one("expand").split(","),
        properties=call.many("properties"),
    )
    if "transitions" in call.one("expand").split(","):
        body["transitions"] = [call.view.move(one, with_fields=False) for one in _moves(call, issue)]
    return Answer(body=body)


def edit(call: Call) -> Answer:
    """Edit fields: all of it or nothing."""
    issue = call.issue()
    given = {
        **(call.body.get("fields") or {}),
        **_from_update({"labels": issue.labels}, call.body.get("update") or {}),
    }
    if set(given) - {"assignee"} or not given:
        call.require(issue.project, "EDIT_ISSUES")
    allowed = _edit_screen(issue.project)
    if unknown := {name: NOT_ON_SCREEN.format(name) for name in given if name not in allowed}:
        raise JiraError(400, fields=unknown)
    if "summary" in given and not given["summary"]:
        raise JiraError(400, fields={"summary": "You must specify a summary of the issue."})
    values = _field_values(call, issue.project, given)
    call.site.change_fields(issue, call.account, values)
    _add_comments(call, issue, call.body.get("update") or {})
    for one in call.body.get("properties") or ():
        issue.properties[one["key"]] = one["value"]
    if call.one("returnIssue") == "true":
        return Answer(body=call.view.issue(issue, fields=()))
    return Answer(status=204)


def _edit_screen(project: Project) -> list[str]:
    names = [*EDITABLE, *(spec.id for spec in project.create_fields)]
    return [name for name in names if name not in project.not_editable]


def delete(call: Call) -> Answer:
    """Delete a ticket; its sub-tasks only when that is said."""
    issue = call.issue("DELETE_ISSUES")
    if issue.sub_task_ids and call.one("deleteSubtasks") != "true":
        message = f"The issue '{issue.key}' has subtasks.  You must specify the 'deleteSubtasks' parameter."
        raise JiraError(400, message)
    call.site.delete_issue(issue)
    return Answer(status=204)


def assign(call: Call) -> Answer:
    """Set the assignee alone; works whatever the edit screen shows."""
    issue = call.issue("ASSIGN_ISSUES")
    account = call.body["accountId"]
    if account == "-1":
        raise JiraError(400, "The project has no default assignee.")
    values = {"assignee": _assignee(call, issue.project, None if account is None else {"accountId": account})}
    call.site.change_fields(issue, call.account, values)
    return Answer(status=204)


def edit_screen(call: Call) -> Answer:
    """The fields that the caller can edit."""
    issue = call.issue()
    custom = {spec.id: spec for spec in issue.project.create_fields}
    if not call.site.may(issue.project, call.account or None, "EDIT_ISSUES"):
        return Answer(body={"fields": {}})
    names = _edit_screen(issue.project)
    if not call.site.may(issue.project, call.account, "ASSIGN_ISSUES"):
        names = [name for name in names if name != "assignee"]
    fields = {
        name: call.view.field(custom[name])
        if name in custom
        else system_field(name, is_required=name == "summary")
        for name in names
    }
    return Answer(body={"fields": fields})


def _moves(call: Call, issue: Issue) -> list[Move]:
    if not call.site.may(issue.project, call.account or None, "TRANSITION_ISSUES"):
        return []
    every = issue.project.moves[issue.type.id]
    return [one for one in every if one.sources is None or issue.status.name in one.sources]


def moves(call: Call) -> Answer:
    """The transitions that can be taken now."""
    issue = call.issue()
    with_fields = "transitions.fields" in call.one("expand").split(",")
    wanted = call.one("transitionId")
    shown = [
        call.view.move(one, with_fields=with_fields)
        for one in _moves(call, issue)
        if not wanted or one.id == wanted
    ]
    return Answer(body={"expand": "transitions", "transitions": shown})


def move(call: Call) -> Answer:
    """Take a transition, with the fields that its screen shows."""
    issue = call.issue()
    wanted = call.body["transition"]["id"]
    chosen = next((one for one in _moves(call, issue) if one.id == wanted), None)
    if chosen is None:
        raise JiraError(
            400,
            f"It seems that you have tried to perform a workflow operation ({wanted}) that is not valid "
            f"for the current state of this work item ({issue.key}).",
        )
    fields = _screen_values(call, chosen)
    call.site.move(issue, call.account, chosen, fields)
    _add_comments(call, issue, call.body.get("update") or {})
    return Answer(status=204)


def _screen_values(call: Call, chosen: Move) -> dict[str, Any]:
    given = {
        **(call.body.get("fields") or {}),
        **_from_update({}, call.body.get("update") or {}),
    }
    screen = {spec.id: spec for spec in chosen.fields}
    if unknown := {name: NOT_ON_SCREEN.format(name) for name in given if name not in screen}:
        raise JiraError(400, fields=unknown)
    missing = [spec for spec in screen.values() if spec.is_required and given.get(spec.id) is None]
    if missing:
        raise JiraError(400, fields={spec.id: f"{spec.name} is required." for spec in missing})
    return {name: stored_value(screen[name], value) for name, value in given.items()}


def history(call: Call) -> Answer:
    """The changelog, oldest first."""
    return Answer(body=call.bean(call.issue().changes, call.view.change))


def history_by_id(call: Call) -> Answer:
    """Chosen entries of the changelog."""
    wanted = set(map(str, call.body["changelogIds"]))
    found = [one for one in call.issue().changes if one.id in wanted]
    return Answer(body=call.page(found, call.view.change, "histories"))


def search_by_query(call: Call) -> Answer:
    """Search with everything in the address."""
    return _search(
        call,
        jql=call.one("jql"),
        fields=call.many("fields"),
        expand=call.one("expand").split(","),
        properties=call.many("properties"),
        size=int(call.one("maxResults", "50")),
        token=call.one("nextPageToken"),
        reconcile=call.many("reconcileIssues"),
    )


def search_by_body(call: Call) -> Answer:
    """Search with everything in the body."""
    return _search(
        call,
        jql=call.body.get("jql", ""),
        fields=call.body.get("fields") or (),
        expand=call.body.get("expand", "").split(","),
        properties=call.body.get("properties") or (),
        size=call.body.get("maxResults", 50),
        token=call.body.get("nextPageToken", ""),
        reconcile=[str(one) for one in call.body.get("reconcileIssues") or ()],
    )


def _search(
    call: Call,
    *,
    jql: str,
    fields: Sequence[str],
    expand: Sequence[str],
    properties: Sequence[str],
    size: int,
    token: str,
    reconcile: Sequence[str],
) -> Answer:
    if len(reconcile) > 50:
        raise JiraError(400, "At most 50 issues can be reconciled.")
    if size < 1:
        raise JiraError(400, "maxResults must be greater than 0.")
    found = _select(call, jql, reconcile)
    start = decode_token(token, jql) if token else 0
    end = start + min(size, call.site.page_limit)
    # Without fields only the id is returned; asking for any brings the key along.
    issues = [
        call.view.issue(issue, fields=fields, expand=expand, properties=properties)
        if fields and list(fields) != ["id"]
        else {"id": issue.id}
        for issue in found[start:end]
    ]
    is_last = end >= len(found)
    more = {} if is_last else {"nextPageToken": encode_token(end, jql)}
    return Answer(body={"issues": issues, "isLast": is_last, **more})


def _select(call: Call, jql: str, reconcile: Sequence[str] = ()) -> list[Issue]:
    query = parse(jql, site=call.site, account=call.account)
    if not query.is_bounded:
        raise JiraError(400, UNBOUNDED)
    seen = [
        issue
        for issue in call.site.search_view(reconcile)
        if call.site.may(issue.project, call.account or None, "BROWSE_PROJECTS")
    ]
    return query.select(seen)


def count(call: Call) -> Answer:
    """How many tickets match, roughly."""
    return Answer(body={"count": len(_select(call, call.body.get("jql", "")))})
