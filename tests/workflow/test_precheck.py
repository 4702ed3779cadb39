"""What is asked of a project before any work, with the words for whoever must change it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from runner.core.model import Account, Repository, Snapshot, Status, Ticket, TicketType
from runner.core.policy import Policy
from runner.errors import ConfigError
from runner.workflow.precheck import check_names, check_project

STORY, SUB_TASK = TicketType(id="1", name="Story"), TicketType(id="2", name="Sub-task", level=-1)
PARENT = ("Backlog", "Plan Review", "In Progress", "Blocked", "Done")
WORK = ("Backlog", "In Progress", "In Testing", "Blocked", "Done")
BOT = Account(id="bot")
REPOSITORY = Repository(name="acme/till", default_branch="main", is_private=True, login="bot")


class Project:
    """A project of which only what the check asks for is known; the rest must not be asked."""

    def __init__(
        self,
        *,
        statuses: tuple[str, ...] = PARENT,
        below: tuple[str, ...] = WORK,
        editable: frozenset[str] = frozenset({"labels", "assignee"}),
        missing: tuple[str, ...] = (),
    ) -> None:
        self._statuses = {STORY.id: statuses, SUB_TASK.id: below}
        self._editable, self._missing = editable, missing
        self.given: tuple[str, ...] = ()

    def editable_fields(self, key: str) -> frozenset[str]:
        return self._editable

    def statuses(self, project_key: str) -> Mapping[str, tuple[Status, ...]]:
        return {
            id_: tuple(Status(name=name, category="indeterminate") for name in names)
            for id_, names in self._statuses.items()
        }

    def sub_task_type(self, project_key: str, wanted: str | None) -> TicketType:
        return SUB_TASK

    def missing_create_fields(self, project_key: str, type_id: str, given: Any) -> tuple[str, ...]:
        self.given = tuple(given)
        return self._missing


def check(
    project: Project,
    policy: Mapping[str, Any] | None = None,
    *,
    kind: TicketType = STORY,
    desk: str = "software",
) -> None:
    snapshot = Snapshot(me=BOT, former=frozenset(), repository=REPOSITORY, ticket=_ticket(kind, desk))
    settings = Policy.model_validate({"jira": dict(policy or {})})
    check_project(snapshot, settings, project, is_parent=kind is STORY)  # type: ignore[arg-type]


def _ticket(kind: TicketType, desk: str) -> Ticket:
    return Ticket(
        key="ABC-1",
        id="1",
        project_key="ABC",
        project_id="10",
        project_kind=desk,
        type=kind,
        summary="",
        status=Status(name="Backlog", category="new"),
        assignee=BOT,
        reporter=None,
        creator=None,
    )


def refusal(*args: Any, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        check(*args, **options)
    return f"{caught.value.summary} {caught.value.remedy}"


def test_a_project_that_has_everything() -> None:
    """With every status and field nothing is said."""
    check(Project())
    check(Project(), kind=SUB_TASK)


@pytest.mark.parametrize("status", ["Plan Review", "In Progress", "Blocked"])
def test_a_parent_status_that_is_missing(status: str) -> None:
    """Each status that a parent passes through is named when it is missing, with its key."""
    rest = tuple(name for name in PARENT if name != status)
    said = refusal(Project(statuses=rest))
    assert f"has no status “{status}”" in said
    assert f"`jira.statuses.parent.{status.lower().replace(' ', '_')}`" in said
    assert ", ".join(rest) in said


def test_a_sub_task_status_that_is_missing() -> None:
    """Sub-tasks have statuses of their own, with keys of their own."""
    lacking = Project(below=("Backlog", "In Progress", "Blocked", "Done"))
    assert "`jira.statuses.sub_task.in_testing`" in refusal(lacking, kind=SUB_TASK)


def test_a_sub_task_status_is_missed_before_there_is_a_sub_task() -> None:
    """What the sub-tasks of a plan will need is looked for with the parent."""
    said = refusal(Project(below=("To Do", "In Progress", "In Review", "Stuck", "Done")))
    assert "Sub-task in project ABC has no status “Blocked”" in said


def test_null_is_offered_only_where_a_label_stands_in() -> None:
    """`null` helps for what a label can say; nothing stands in for In Progress."""
    assert "`null`" in refusal(Project(statuses=("Backlog", "In Progress", "Blocked", "Done")))
    assert "`null`" not in refusal(Project(statuses=("Backlog", "Plan Review", "Blocked", "Done")))


def test_null_statuses_are_not_asked_for() -> None:
    """A status that the configuration says is lacking is not missed."""
    three = {"plan_review": None, "in_testing": None, "blocked": None}
    check(Project(statuses=("To Do", "In Progress", "Done")), {"statuses": {"parent": three}})


def test_done_is_a_category() -> None:
    """A project need not call anything Done."""
    check(Project(statuses=(*PARENT[:-1], "Shipped")))


def test_unknown_statuses_are_not_missing() -> None:
    """Where Jira names no statuses of a type, nothing is said to be missing."""
    check(Project(statuses=()))


def test_labels_on_the_edit_screen() -> None:
    """Without Labels on the edit screen nothing starts; Assignee has a request of its own."""
    assert "does not let this account change Labels" in refusal(Project(editable=frozenset({"assignee"})))
    check(Project(editable=frozenset({"labels"})))


def test_the_create_screen() -> None:
    """What the create screen lacks and what it requires is listed apart; configured values count as given."""
    project = Project(missing=("Team", "labels"))
    assert "lacks Labels and requires Team." in refusal(
        project, {"field_defaults": {"create": {"customfield_1": 3}}}
    )
    assert "customfield_1" in project.given


def test_a_default_for_a_field_that_is_not_there() -> None:
    """A configured value for a field that the create screen does not have is told with the key."""
    said = refusal(Project(missing=("customfield_1",)), {"field_defaults": {"create": {"customfield_1": 3}}})
    assert "`jira.field_defaults.create` gives a value to customfield_1" in said


def test_the_create_screen_matters_to_parents_only() -> None:
    """A sub-task creates nothing, so its run does not ask."""
    check(Project(missing=("Team",)), kind=SUB_TASK)


def test_the_runner_is_no_reviewer_of_its_own_work() -> None:
    """The runner's own account as a person of the configuration is refused: nobody would look."""
    snapshot = Snapshot(me=BOT, former=frozenset(), repository=REPOSITORY, ticket=_ticket(STORY, "software"))
    policy = Policy.model_validate({"jira": {"reviewer": BOT.id}})
    with pytest.raises(ConfigError) as caught:
        check_names(snapshot, policy, Project())  # type: ignore[arg-type]
    assert "`jira.reviewer` names the runner's own account" in caught.value.summary


def test_service_projects() -> None:
    """A service project is refused unless the configuration allows it."""
    assert "`jira.service_desk: true`" in refusal(Project(), desk="service_desk")
    check(Project(), {"service_desk": True}, desk="service_desk")
