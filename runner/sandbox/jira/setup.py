"""Operations on what a site consists of: accounts, projects, types, statuses, fields, permissions."""

from __future__ import annotations

from runner.sandbox.jira.call import Answer, Call, Route, get
from runner.sandbox.jira.projects import PERMISSIONS
from runner.sandbox.jira.records import JiraError, Project, Status, User
from runner.sandbox.jira.views import OTHER_FIELDS, SYSTEM_FIELDS, when

ROOT = "/rest/api/3"


def routes() -> list[Route]:
    """The operations of this module."""
    page = "startAt:int maxResults:int"
    assignable = (
        "query sessionId accountId project issueKey issueId actionDescriptorId:int recommend:bool "
        f"accountType:list appType:list {page}"
    )
    projects = f"orderBy id:ints keys:list query typeKey categoryId:int action expand status:list properties:list propertyQuery {page}"
    permissions = (
        "projectKey projectId issueKey issueId permissions projectUuid projectConfigurationUuid commentId"
    )
    people = "read:jira-user"
    return [
        get(f"{ROOT}/myself", myself, "expand", scope=people),
        get(f"{ROOT}/user", user, "accountId expand", scope=people),
        get(f"{ROOT}/user/bulk", users, f"accountId:list {page}", scope=people),
        get(f"{ROOT}/user/search", find_users, f"query accountId property {page}", scope=people),
        get(f"{ROOT}/user/assignable/search", assignable_users, assignable, scope=people),
        get(f"{ROOT}/mypermissions", my_permissions, permissions),
        get(f"{ROOT}/project/search", find_projects, projects),
        get(f"{ROOT}/project/{{projectIdOrKey}}", project, "expand properties:list"),
        get(f"{ROOT}/project/{{projectIdOrKey}}/statuses", project_statuses),
        get(f"{ROOT}/issuetype", issue_types),
        get(f"{ROOT}/issuetype/project", project_types, "projectId:int level:int"),
        get(f"{ROOT}/status", statuses),
        get(f"{ROOT}/status/{{idOrName}}", status),
        get(f"{ROOT}/field", fields),
        get(f"{ROOT}/label", labels, page),
        get(f"{ROOT}/serverInfo", server_info),
    ]


def myself(call: Call) -> Answer:
    """The account behind the token."""
    if not call.account:
        raise JiraError(401, "Client must be authenticated to access this resource.")
    return Answer(body=call.view.full_user(call.site.users[call.account]))


def user(call: Call) -> Answer:
    """One account."""
    _require_login(call)
    found = call.site.users.get(call.one("accountId"))
    if found is None:
        raise JiraError(404, "Specified user does not exist or you do not have required permissions")
    return Answer(body=call.view.full_user(found))


def _require_login(call: Call) -> None:
    if not call.account:
        raise JiraError(401, "Client must be authenticated to access this resource.")


def users(call: Call) -> Answer:
    """Accounts by their ids; unknown ones are left out."""
    _require_login(call)
    wanted = call.many("accountId")
    if not wanted:
        raise JiraError(400, "At least one accountId is required.")
    found = [call.site.users[one] for one in wanted if one in call.site.users]
    return Answer(body=call.bean(found, call.view.full_user))


def _matching(call: Call) -> list[User]:
    wanted, text = call.one("accountId"), call.one("query").lower()
    return [
        one
        for one in call.site.users.values()
        if (not wanted or one.id == wanted)
        and (not text or text in one.display_name.lower() or one.email.lower().startswith(text))
    ]


def _slice(call: Call, found: list[User]) -> Answer:
    start, size = call.span()
    return Answer(body=[call.view.full_user(one) for one in found[start : start + size]])


def find_users(call: Call) -> Answer:
    """Accounts by name, address or id."""
    _require_login(call)
    if not (call.one("query") or call.one("accountId") or call.one("property")):
        raise JiraError(400, "The query parameter 'query' is required.")
    return _slice(call, _matching(call))


def assignable_users(call: Call) -> Answer:
    """Accounts that may be assigned in a project or to a ticket."""
    _require_login(call)
    where = _assignable_project(call)
    return _slice(call, [one for one in _matching(call) if call.site.is_assignable(where, one.id)])


def _assignable_project(call: Call) -> Project:
    ticket = call.one("issueKey") or call.one("issueId")
    if ticket:
        return call.site.visible(ticket, call.account).project
    if call.one("project"):
        return call.site.project(call.one("project"), call.account)
    raise JiraError(400, "Either the 'project' or the 'issueKey' query parameter is required.")


def my_permissions(call: Call) -> Answer:
    """Which of the named permissions the caller has, here or anywhere."""
    names = call.many("permissions")
    if not names:
        raise JiraError(400, "The 'permissions' query parameter is required.")
    if unknown := [name for name in names if name not in PERMISSIONS]:
        raise JiraError(400, f"Unrecognized permissions: {', '.join(unknown)}.")
    held = _held(call)
    body = {
        name: {
            "id": str(number),
            "key": name,
            "name": name.replace("_", " ").title(),
            "type": "PROJECT",
            "description": "",
            "havePermission": name in held,
        }
        for number, name in enumerate(names, 1)
    }
    return Answer(body={"permissions": body})


def _held(call: Call) -> frozenset[str]:
    if not call.account:
        return frozenset()
    ticket = call.one("issueKey") or call.one("issueId")
    if ticket:
        return call.site.permissions(call.site.visible(ticket, call.account).project, call.account)
    named = call.one("projectKey") or call.one("projectId")
    if named:
        return call.site.permissions(call.site.project(named, call.account), call.account)
    every = [call.site.permissions(one, call.account) for one in call.site.projects.values()]
    return frozenset().union(*every)


def _projects(call: Call) -> list[Project]:
    account = call.account or None
    return [one for one in call.site.projects.values() if call.site.may(one, account, "BROWSE_PROJECTS")]


def find_projects(call: Call) -> Answer:
    """Projects that the caller can see."""
    keys, text = call.many("keys"), call.one("query").lower()
    found = [
        one
        for one in _projects(call)
        if (not keys or one.key in keys) and (text in one.name.lower() or text in one.key.lower())
    ]
    return Answer(body=call.bean(found, call.view.project))


def project(call: Call) -> Answer:
    """One project with its types."""
    found = call.site.project(call.params["projectIdOrKey"], call.account or None)
    return Answer(body=call.view.project(found, full=True))


def project_statuses(call: Call) -> Answer:
    """The statuses of every type of a project."""
    found = call.site.project(call.params["projectIdOrKey"], call.account or None)
    body = [
        {
            "self": call.view.link(f"issuetype/{kind.id}"),
            "id": kind.id,
            "name": kind.name,
            "subtask": kind.level < 0,
            "statuses": [call.view.status(one) for one in found.statuses[kind.id]],
        }
        for kind in found.types.values()
    ]
    return Answer(body=body)


def issue_types(call: Call) -> Answer:
    """Every type that the caller can see."""
    return Answer(body=[call.view.type(kind) for found in _projects(call) for kind in found.types.values()])


def project_types(call: Call) -> Answer:
    """The types of one project, perhaps of one level."""
    if not call.one("projectId"):
        raise JiraError(400, "The query parameter 'projectId' is required.")
    found = call.site.project(call.one("projectId"), call.account or None)
    level = call.one("level")
    return Answer(
        body=[call.view.type(kind) for kind in found.types.values() if not level or str(kind.level) == level]
    )


def _statuses(call: Call) -> list[Status]:
    every = {
        one.id: one for found in _projects(call) for statuses in found.statuses.values() for one in statuses
    }
    return list(every.values())


def statuses(call: Call) -> Answer:
    """Every status in use."""
    return Answer(body=[call.view.status(one) for one in _statuses(call)])


def status(call: Call) -> Answer:
    """One status by id or name."""
    wanted = call.params["idOrName"].lower()
    for one in _statuses(call):
        if wanted in (one.id, one.name.lower()):
            return Answer(body=call.view.status(one))
    raise JiraError(404, "The status could not be found.")


def fields(call: Call) -> Answer:
    """Every field, built-in and custom."""
    system = [
        {"id": name, "key": name, "name": label, "custom": False, "schema": dict(schema)}
        for name, (label, schema, _operations) in SYSTEM_FIELDS.items()
    ]
    other = [
        {"id": name, "key": name, "name": label, "custom": False} for name, label in OTHER_FIELDS.items()
    ]
    specs = {spec.id: spec for found in _projects(call) for spec in found.create_fields}
    custom = [
        {
            "id": spec.id,
            "key": spec.id,
            "name": spec.name,
            "custom": True,
            "schema": call.view.field(spec)["schema"],
        }
        for spec in specs.values()
    ]
    return Answer(body=system + other + custom)


def labels(call: Call) -> Answer:
    """Every label in use."""
    known = sorted({label for issue in call.site.issues.values() for label in issue.labels})
    return Answer(body=call.bean(known, str))


def server_info(call: Call) -> Answer:
    """What the site is; also for the anonymous."""
    return Answer(
        body={
            "baseUrl": call.view.base,
            "version": "1001.0.0-SNAPSHOT",
            "versionNumbers": [1001, 0, 0],
            "deploymentType": "Cloud",
            "buildNumber": 100_000,
            "serverTime": when(call.site.time()),
            "serverTitle": "Jira",
        }
    )
