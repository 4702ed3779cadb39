"""Projects as teams have them: each ends Done, or with the sentence that tells the adopter what to change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.errors import ConfigError
from runner.sandbox.jira import JiraSite
from runner.sandbox.jira.projects import (
    BLOCKED,
    PARENT_STATUSES,
    SUB_TASK_STATUSES,
    FieldSpec,
    StatusSpec,
    TypeSpec,
    Workflow,
)
from tests.shapes.harness import BOT_TOKEN, PROJECT, Team, configure, result, team, told

THREE_STATUSES = {"plan_review": None, "in_testing": None, "blocked": None}
GERMAN_PARENT = ("Offen", "Planprüfung", "In Arbeit", "Im Review", "Blockiert", "Erledigt")
GERMAN_SUB_TASK = ("Offen", "Läuft", "Im Test", "Blockiert", "Fertig")
COLOUR = FieldSpec(id="customfield_10077", name="Team", type="option", options=("Till", "Stock"))


def project(**options: Any) -> Callable[[JiraSite], None]:
    """A site whose project is set up so."""

    def prepare(site: JiraSite) -> None:
        site.add_project(PROJECT, name="Shop", **options)

    return prepare


def stuck(acme: Team, *expected: str) -> str:
    """The ticket's first run fails in these words, which the ticket is told; its key."""
    key = acme.ask()
    ran = acme.run(key)
    text = told(ran, acme)
    assert [word for word in expected if word not in text] == [], text
    assert ran.end.exit_code == 2
    assert acme.run(key).writes == 0, "it says so once"
    return key


# --- kinds of projects --------------------------------------------------------------------------------------


def test_company_managed(tmp_path: Path) -> None:
    """A company-managed project with the default names needs no configuration of statuses."""
    with team(tmp_path) as acme:
        key = acme.story()
        assert acme.is_done(key)
        assert all(acme.is_done(one) for one in acme.sub_tasks(key))


def test_nothing_is_written_once_done(tmp_path: Path) -> None:
    """A second run of every ticket of a finished story writes nothing."""
    with team(tmp_path) as acme:
        key = acme.story()
        assert [acme.run(one).writes for one in (key, *acme.sub_tasks(key))] == [0, 0, 0]


def test_team_managed_with_three_statuses_is_told_what_to_configure(tmp_path: Path) -> None:
    """A project without our statuses is told the key, what exists instead, and that null is possible."""
    with team(tmp_path, prepare=project(style="team")) as acme:
        stuck(
            acme,
            "no status “Plan Review”",
            "`jira.statuses.parent.plan_review`",
            "To Do, In Progress, Done",
            "`null`",
        )


def test_team_managed_with_three_statuses(tmp_path: Path) -> None:
    """Labels stand in for the statuses that a team-managed project lacks."""
    policy = {"jira": {"statuses": {"parent": THREE_STATUSES, "sub_task": THREE_STATUSES}}}
    with team(tmp_path, prepare=project(style="team"), policy=policy) as acme:
        key = acme.ask()
        acme.follow(key)
        assert (acme.status(key), "ai:plan-review" in acme.labels(key)) == ("To Do", True)
        acme.ada.move(key, "In Progress")
        acme.follow(key)
        assert "ai:plan-review" not in acme.labels(key)
        assert [(acme.status(one), "ai:in-testing" in acme.labels(one)) for one in acme.sub_tasks(key)] == [
            ("In Progress", True),
            ("In Progress", True),
        ]
        acme.merge_all()
        assert acme.is_done(key)
        standing = [
            one for k in (key, *acme.sub_tasks(key)) for one in acme.labels(k) if one.startswith("ai:")
        ]
        assert standing in (["ai:planned"], [])


def test_no_blocked_status(tmp_path: Path) -> None:
    """Where there is no Blocked, a label says it, and an answer still resumes the work."""
    statuses = {"Story": tuple(one for one in PARENT_STATUSES if one is not BLOCKED)}
    policy = {"jira": {"statuses": {"parent": {"blocked": None}}}}
    with team(tmp_path, prepare=project(statuses=statuses), policy=policy) as acme:
        key = acme.ask()
        acme.run(key, think=lambda file: result(file, plan=_question()))
        assert (acme.status(key), "ai:blocked" in acme.labels(key)) == ("Backlog", True)
        acme.rita.comment(key, "Euro.")
        acme.rita.assign(key, acme.bot)
        acme.follow(key)
        assert (acme.status(key), "ai:blocked" in acme.labels(key)) == ("Plan Review", False)


def _question() -> Any:
    from runner.core.plan import PlanAnswer

    return PlanAnswer(
        outcome="questions", summary="One thing.", items=(), questions=("Which currency?",), answers=()
    )


def test_service_project_is_refused(tmp_path: Path) -> None:
    """A service project, whose customers read comments, is refused until the configuration allows it."""
    with team(tmp_path, prepare=project(kind="service_desk")) as acme:
        stuck(acme, "is a service project", "`jira.service_desk: true`")


def test_service_project_by_configuration(tmp_path: Path) -> None:
    """A service project works once it is allowed."""
    with team(
        tmp_path, prepare=project(kind="service_desk"), policy={"jira": {"service_desk": True}}
    ) as acme:
        assert acme.is_done(acme.story())


# --- statuses -----------------------------------------------------------------------------------------------


def test_statuses_in_another_language_for_each_level(tmp_path: Path) -> None:
    """Statuses are names in the configuration, for parents and for sub-tasks apart."""
    names = ("backlog", "plan_review", "in_progress", "in_testing", "blocked", "done")
    below = ("backlog", "in_progress", "in_testing", "blocked", "done")
    policy = {
        "jira": {
            "statuses": {
                "parent": dict(zip(names, GERMAN_PARENT, strict=True)),
                "sub_task": dict(zip(below, GERMAN_SUB_TASK, strict=True)),
            }
        }
    }
    statuses = {
        "Story": _renamed(PARENT_STATUSES, GERMAN_PARENT),
        "Sub-task": _renamed(SUB_TASK_STATUSES, GERMAN_SUB_TASK),
    }
    with team(tmp_path, prepare=project(statuses=statuses), policy=policy) as acme:
        key = acme.story(in_progress="In Arbeit")
        assert [acme.status(one) for one in (key, *acme.sub_tasks(key))] == ["Erledigt", "Fertig", "Fertig"]


def _renamed(specs: tuple[StatusSpec, ...], names: tuple[str, ...]) -> tuple[StatusSpec, ...]:
    return tuple(StatusSpec(name=name, category=one.category) for one, name in zip(specs, names, strict=True))


def test_aliases_of_a_status(tmp_path: Path) -> None:
    """Of several names for one status the one that the project has is taken, whatever its case."""
    statuses = {
        "Story": _renamed(PARENT_STATUSES, ("Ideas", "PLAN  review", "Doing", "QA", "Stuck", "Shipped"))
    }
    parent = {
        "backlog": ["Ideas", "To Do"],
        "in_progress": ["In Progress", "Doing"],
        "in_testing": ["In Review", "QA"],
        "blocked": ["Blocked", "stuck"],
    }
    with team(
        tmp_path, prepare=project(statuses=statuses), policy={"jira": {"statuses": {"parent": parent}}}
    ) as acme:
        key = acme.story(in_progress="Doing")
        assert acme.status(key) == "Shipped"


def test_custom_done_status(tmp_path: Path) -> None:
    """Done means the category: a status called otherwise needs no configuration."""
    shipped = StatusSpec(name="Shipped", category="done")
    statuses = {"Story": (*PARENT_STATUSES[:-1], shipped), "Sub-task": (*SUB_TASK_STATUSES[:-1], shipped)}
    with team(tmp_path, prepare=project(statuses=statuses)) as acme:
        key = acme.story()
        assert [acme.status(one) for one in (key, *acme.sub_tasks(key))] == ["Shipped"] * 3


def test_misspelt_status_gets_a_suggestion(tmp_path: Path) -> None:
    """A configured name that does not exist is answered with the nearest one that does."""
    policy = {"jira": {"statuses": {"parent": {"plan_review": "Plan Revue"}}}}
    with team(tmp_path, policy=policy) as acme:
        stuck(acme, "Did you mean “Plan Review”?")


def test_missing_transition(tmp_path: Path) -> None:
    """A workflow without the move is told from where to where, and what the account is offered instead."""
    moves = {
        "Backlog": ("In Progress",),
        "In Progress": ("Done", "Blocked"),
        "Plan Review": ("In Progress",),
        "Blocked": ("Backlog",),
    }
    flow = {"Story": Workflow(moves=moves)}
    with team(tmp_path, prepare=project(workflow=flow)) as acme:
        key = acme.ask()
        text = told(acme.run(key), acme)
        assert "from “Backlog” to “Plan Review”" in text
        assert "only “In Progress”" in text
        assert "Add the transition to the workflow" in text


def test_a_corrected_configuration_is_tried_again(tmp_path: Path) -> None:
    """A configuration that cannot be read is told; corrected, the ticket goes on when a person assigns it again."""
    with team(tmp_path, config=b"jira: [", prepare=project(style="team")) as acme:
        key = acme.ask()
        text = told(acme.run(key), acme)
        assert "`.github/ai-runner.yml` cannot be used: it is not readable YAML" in text
        assert acme.run(key).writes == 0
        configure(acme, {"jira": {"statuses": {"parent": THREE_STATUSES, "sub_task": THREE_STATUSES}}})
        acme.rita.assign(key, acme.bot)
        acme.follow(key)
        assert {"ai:plan-review", "ai:failed"} & acme.labels(key) == {"ai:plan-review"}


# --- screens and fields -------------------------------------------------------------------------------------


def test_labels_not_editable(tmp_path: Path) -> None:
    """Without Labels on the edit screen nothing is begun, and the screen is named."""
    with team(tmp_path, prepare=project(not_editable=["labels"])) as acme:
        key = acme.ask()
        ran = acme.run(key)
        assert isinstance(ran.error, ConfigError)
        assert "The edit screen of Story in project SHOP" in ran.error.summary
        assert "Add the field Labels to that screen" in ran.error.remedy
        assert ran.file is None
        assert ran.end.exit_code == 2
        assert acme.run(key).writes == 0, "it says so once, to the person who has the ticket now"


def test_assignee_not_on_the_edit_screen(tmp_path: Path) -> None:
    """Where the edit screen lacks Assignee, it is changed by its own request."""
    with team(tmp_path, prepare=project(not_editable=["assignee"])) as acme:
        key = acme.story()
        assert acme.is_done(key)
        mine = [
            one
            for one in acme.recorder.exchanges
            if one["method"] == "PUT" and one["path"].endswith("/assignee")
        ]
        assert len(mine) > 1


@pytest.mark.parametrize("name", ["labels", "assignee"])
def test_field_missing_on_the_create_screen(name: str, tmp_path: Path) -> None:
    """A create screen without Labels or Assignee is told before any model is asked."""
    with team(tmp_path, prepare=project(not_on_create=[name])) as acme:
        stuck(acme, "create screen of Sub-task", f"Add {name.capitalize()} to that screen")


def test_required_field_without_a_value(tmp_path: Path) -> None:
    """A field that creating insists on is named, with where its value belongs."""
    with team(tmp_path, prepare=project(create_fields=[COLOUR])) as acme:
        key = acme.ask(fields={COLOUR.id: {"value": "Till"}})
        text = told(acme.run(key), acme)
        assert "requires Team" in text
        assert "`jira.field_defaults.create`" in text


def test_required_field_with_a_value(tmp_path: Path) -> None:
    """A value in the configuration satisfies a required field."""
    policy = {"jira": {"field_defaults": {"create": {COLOUR.id: {"value": "Stock"}}}}}
    with team(tmp_path, prepare=project(create_fields=[COLOUR]), policy=policy) as acme:
        key = acme.story(fields={COLOUR.id: {"value": "Till"}})
        assert acme.is_done(key)
        assert acme.site.issue(acme.sub_tasks(key)[0]).custom[COLOUR.id] == {"value": "Stock"}


RESOLVING = {
    name: Workflow(
        screens={
            "Done": (FieldSpec(id="resolution", name="Resolution", type="resolution", options=("Done",)),)
        }
    )
    for name in ("Story", "Sub-task")
}


def test_transition_that_needs_a_resolution(tmp_path: Path) -> None:
    """A field that a transition insists on is named, with where its value belongs."""
    with team(tmp_path, prepare=project(workflow=RESOLVING)) as acme:
        key = acme.story()
        sub_task = acme.sub_tasks(key)[0]
        text = told(acme.end_of(sub_task), acme)
        assert "to “Done” needs the fields resolution" in text
        assert "`jira.field_defaults.transition`" in text
        assert (acme.status(sub_task), acme.run(sub_task).writes) == ("Blocked", 0)
        configure(acme, {"jira": {"field_defaults": {"transition": {"resolution": {"name": "Done"}}}}})
        acme.rey.assign(sub_task, acme.bot)
        acme.follow(sub_task)
        assert (acme.is_done(sub_task), "ai:failed" in acme.labels(sub_task)) == (True, False)


def test_transition_with_a_resolution_by_configuration(tmp_path: Path) -> None:
    """A value in the configuration satisfies a transition's required field."""
    policy = {"jira": {"field_defaults": {"transition": {"resolution": {"name": "Done"}}}}}
    with team(tmp_path, prepare=project(workflow=RESOLVING), policy=policy) as acme:
        key = acme.story()
        assert acme.is_done(key)
        assert acme.site.issue(key).resolution == "Done"


# --- types --------------------------------------------------------------------------------------------------


def types(*sub_tasks: str) -> Callable[[JiraSite], None]:
    below = [TypeSpec(name=name, level=-1) for name in sub_tasks]
    return project(issue_types=[TypeSpec(name="Epic", level=1), TypeSpec(name="Story"), *below])


def test_sub_task_type_renamed(tmp_path: Path) -> None:
    """The only sub-task type is taken, whatever it is called."""
    with team(tmp_path, prepare=types("Unteraufgabe")) as acme:
        key = acme.story()
        assert acme.is_done(key)
        assert acme.site.issue(acme.sub_tasks(key)[0]).type.name == "Unteraufgabe"


def test_two_sub_task_types(tmp_path: Path) -> None:
    """Of several sub-task types none is guessed: they are listed."""
    with team(tmp_path, prepare=types("Sub-task", "Test step")) as acme:
        stuck(acme, "several sub-task types: Sub-task, Test step", "jira.sub_task_type")


def test_two_sub_task_types_by_configuration(tmp_path: Path) -> None:
    """The configured sub-task type is taken."""
    policy = {"jira": {"sub_task_type": "sub-task"}}
    with team(tmp_path, prepare=types("Sub-task", "Test step"), policy=policy) as acme:
        assert acme.is_done(acme.story())


def test_no_sub_task_type(tmp_path: Path) -> None:
    """A project without a sub-task type is told to have one."""
    with team(tmp_path, prepare=types()) as acme:
        stuck(acme, "offers this account no sub-task type", "give the project a sub-task type")


def test_epic_is_answered_once(tmp_path: Path) -> None:
    """An Epic is not planned: its stories should be assigned, which is said once."""
    with team(tmp_path) as acme:
        key = acme.ask(kind="Epic")
        first, second = acme.run(key), acme.run(key)
        assert "Please assign its stories to me" in acme.said(key)
        assert (first.end.exit_code, second.writes) == (0, 0)


def test_direct_type(tmp_path: Path) -> None:
    """A ticket of a direct type is worked on itself, without a plan or sub-tasks."""
    with team(tmp_path, policy={"jira": {"direct_types": ["Bug"]}}) as acme:
        key = acme.ask(kind="Bug")
        acme.follow(key)
        assert acme.status(key) == "In Review"
        acme.merge_all()
        assert (acme.is_done(key), acme.sub_tasks(key)) == (True, [])


# --- addresses, tokens and accounts -------------------------------------------------------------------------


def test_jira_below_a_path(tmp_path: Path) -> None:
    """A Jira may lie below a path of its host, as behind a proxy."""
    with team(tmp_path, jira_path="/jira") as acme:
        assert acme.is_done(acme.story())


def test_scoped_token(tmp_path: Path) -> None:
    """A scoped token works at the gateway's address."""
    with team(tmp_path) as acme:
        scopes = ["read:jira-work", "write:jira-work", "read:jira-user"]
        acme.site.add_token(acme.bot, "scoped", scoped=True, scopes=scopes)
        acme.environment |= {"JIRA_BASE_URL": acme.jira.scoped_url, "JIRA_API_TOKEN": "scoped"}
        assert acme.is_done(acme.story())


def test_scoped_token_at_the_site(tmp_path: Path) -> None:
    """A scoped token at the site's own address is answered with the address it needs."""
    with team(tmp_path) as acme:
        acme.site.add_token(acme.bot, "scoped", scoped=True)
        acme.environment |= {"JIRA_API_TOKEN": "scoped"}
        with pytest.raises(ConfigError) as caught:
            acme.run(acme.ask())
        assert "https://api.atlassian.com/ex/jira/<cloudId>" in caught.value.remedy


def test_bearer_token(tmp_path: Path) -> None:
    """A bearer token needs no e-mail address."""
    with team(tmp_path) as acme:
        for name in ("JIRA_EMAIL", "JIRA_API_TOKEN"):
            del acme.environment[name]
        acme.environment["JIRA_BEARER_TOKEN"] = BOT_TOKEN
        assert acme.is_done(acme.story())


def test_read_only_account(tmp_path: Path) -> None:
    """An account that may not edit tickets is told so; nothing can be written to the ticket."""
    with team(tmp_path) as acme:
        key = acme.ask()
        acme.site.revoke(
            PROJECT, acme.bot, "EDIT_ISSUES", "ADD_COMMENTS", "TRANSITION_ISSUES", "ASSIGN_ISSUES"
        )
        ran = acme.run(key)
        assert ran.error is not None
        assert "the permission Edit Issues" in ran.error.remedy
        assert ran.end.exit_code == 2


def test_wrong_account(tmp_path: Path) -> None:
    """A token of another account than the configured one is refused."""
    with team(tmp_path, policy={"jira": {"account_id": "712020:somebody-else"}}) as acme:
        ran = acme.run(acme.ask())
        assert ran.error is not None
        assert "but the configuration names `712020:somebody-else`" in ran.error.summary


def test_project_that_is_not_served(tmp_path: Path) -> None:
    """A ticket of a project that the configuration does not list is refused by name."""
    with team(tmp_path, policy={"jira": {"projects": ["STOCK"]}}) as acme:
        ran = acme.run(acme.ask())
        assert ran.error is not None
        assert "The project `SHOP`" in ran.error.summary
        assert "Served here: STOCK" in ran.error.remedy


def test_nobody_is_assignable(tmp_path: Path) -> None:
    """If nobody fits, the ticket is unassigned and the person mentioned."""
    with team(tmp_path) as acme:
        key = acme.ask()
        for person in (acme.rita, acme.ada, acme.rey):
            acme.site.revoke(PROJECT, person.account, "ASSIGNABLE_USER")
        acme.follow(key)
        assert acme.status(key) == "Plan Review"
        assert acme.site.issue(key).assignee is None
        assert acme.ada.account in str(acme.site.issue(key).comments[-1].body) or "Ada" in acme.said(key)


def test_inactive_requester(tmp_path: Path) -> None:
    """Questions for a requester who left go to nobody rather than to an inactive account."""
    with team(tmp_path) as acme:
        key = acme.ask()
        acme.site.users[acme.rita.account].active = False
        acme.run(key, think=lambda file: result(file, plan=_question()))
        assert acme.status(key) == "Blocked"
        assert acme.site.issue(key).assignee is None


def two_projects(site: JiraSite) -> None:
    site.add_project(PROJECT, name="Shop")
    site.add_project("STORE", name="Store")


def move(acme: Team, key: str) -> str:
    """Rita moves a ticket, and with it its sub-tasks, to the other project; its new key."""
    return acme.site.move_issue(acme.site.issue(key), acme.rita.account, "STORE").key


def test_ticket_moved_after_its_branches_exist(tmp_path: Path) -> None:
    """Sub-tasks keep their branches and pull requests when the family is moved; feedback and merges find them there."""
    with team(tmp_path, prepare=two_projects) as acme:
        old = acme.ask()
        acme.follow(old)
        acme.ada.move(old, "In Progress")
        acme.follow(old)
        heads = [pull.head for pull in acme.github.pulls]
        new = move(acme, old)
        first, second = acme.sub_tasks(new)
        acme.rey.comment(first, "Round half up, please.")
        acme.rey.assign(first, acme.bot)
        assert acme.run(second).writes == 0
        acme.follow(first)
        assert acme.status(first) == "In Testing"
        assert [pull.head for pull in acme.github.pulls] == heads
        assert b"Round half up" in acme.github.files(heads[0])["src/prices.py"]
        acme.merge_all()
        assert [acme.is_done(one) for one in (new, first, second)] == [True] * 3
        assert len(acme.github.pulls) == 2
        assert sorted(acme.github.branches()) == sorted(["main", *heads])


def test_an_event_of_a_former_key_wakes_the_present_one(tmp_path: Path) -> None:
    """A run that was started by an old key does nothing itself: runs of one ticket queue up by its present key."""
    with team(tmp_path, prepare=two_projects) as acme:
        old = acme.ask()
        acme.follow(old)
        acme.ada.move(old, "In Progress")
        acme.follow(old)
        new = move(acme, old)
        acme.reviewer.merge(1)
        ran = acme.run("SHOP-2")
        first = acme.sub_tasks(new)[0]
        assert (ran.end.next, ran.end.writes, ran.end.outcome) == ((first,), 0, "nothing")
        assert not acme.is_done(first)
        acme.follow(first)
        assert acme.is_done(first)


def test_ticket_moved_between_its_sub_tasks(tmp_path: Path) -> None:
    """What starts after the move builds upon the branch that was made before it."""
    with team(tmp_path, prepare=two_projects) as acme:
        old = acme.ask()
        acme.follow(old)
        acme.ada.move(old, "In Progress")
        acme.run(old)
        acme.run(acme.sub_tasks(old)[0])
        new = move(acme, old)
        first, second = acme.sub_tasks(new)
        acme.follow(second)
        assert [(one.head, one.base) for one in acme.github.pulls] == [
            ("ai/SHOP-2", "main"),
            (f"ai/{second}", "ai/SHOP-2"),
        ]
        acme.merge_all()
        assert [acme.is_done(one) for one in (new, first, second)] == [True] * 3
        assert [acme.run(one).writes for one in (new, first, second)] == [0, 0, 0]


def test_shared_branch_of_a_family_that_was_moved(tmp_path: Path) -> None:
    """The one branch of a family keeps its name, too, and each sub-task its commits on it."""
    with team(tmp_path, prepare=two_projects, policy={"sequence": "shared"}) as acme:
        old = acme.ask()
        acme.follow(old)
        acme.ada.move(old, "In Progress")
        acme.follow(old)
        new = move(acme, old)
        first, second = acme.sub_tasks(new)
        acme.rey.comment(first, "Round half up, please.")
        acme.rey.assign(first, acme.bot)
        acme.follow(first)
        assert [pull.head for pull in acme.github.pulls] == [f"ai/{old}"]
        acme.merge_all()
        assert [acme.is_done(one) for one in (new, first, second)] == [True] * 3


def test_moved_where_only_the_new_project_is_served(tmp_path: Path) -> None:
    """An event of the old branch is no stranger's, although the old project is not served any more; the sweep finds it."""
    with team(tmp_path, prepare=two_projects) as acme:
        old = acme.ask()
        acme.follow(old)
        acme.ada.move(old, "In Progress")
        acme.follow(old)
        new = move(acme, old)
        configure(acme, {"jira": {"projects": ["STORE"], "reviewer": acme.rey.account}})
        acme.reviewer.request("PUT", "pulls/1/merge", merge_method="merge")
        assert acme.sub_tasks(new)[0] in acme.sweep()
        acme.follow("SHOP-2")
        assert acme.is_done(acme.sub_tasks(new)[0])


def test_moved_ticket(tmp_path: Path) -> None:
    """A ticket that was moved to another project goes on under its new key, with its plan."""
    with team(tmp_path, prepare=two_projects) as acme:
        old = acme.ask()
        acme.follow(old)
        new = move(acme, old)
        assert new.startswith("STORE-")
        assert acme.run(old).end.exit_code == 0
        acme.ada.move(new, "In Progress")
        acme.follow(new)
        assert len(acme.sub_tasks(new)) == 2
        acme.merge_all()
        assert acme.is_done(new)
