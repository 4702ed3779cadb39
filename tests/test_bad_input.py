"""Bad input ends with its documented exit code, one clear text on the ticket, one annotation and a summary."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runner.sandbox.actions import WorkflowRun
from runner.sandbox.github.state import GitHubEvent
from runner.sandbox.jira import JiraSite
from runner.sandbox.jira.projects import RESOLUTION, FieldSpec, Workflow
from runner.sandbox.models_wire import ModelReply, ModelRequest, ToolUse
from runner.sandbox.people import Person
from runner.sandbox.world import World, open_world
from tests import contracts

Json = dict[str, Any]
ITEM: Json = {
    "id": "one",
    "title": "Add a greeting",
    "description": "Write hello.txt.",
    "files": ["hello.txt"],
    "acceptance": ["hello.txt exists"],
    "verify": [],
    "depends_on": [],
    "risk": "low",
}
PLAN: Json = {"outcome": "plan", "summary": "Greets.", "items": [ITEM], "questions": [], "answers": []}


@dataclass
class Model:
    """A model that plans one item and writes one file, unless told otherwise by what it is asked for."""

    plan: Callable[[ModelRequest], ModelReply] = lambda _: ModelReply(text=json.dumps(PLAN))
    work: Callable[[ModelRequest], ModelReply] | None = None
    asked: list[ModelRequest] = field(default_factory=list)

    def answer(self, request: ModelRequest) -> ModelReply:
        self.asked.append(request)
        if request.schema is not None:
            return self.plan(request)
        if "finish" not in request.tool_names:
            return ModelReply(text="I have read enough.")
        if self.work is not None:
            return self.work(request)
        if not request.results:
            return call("write_file", path="hello.txt", content="hello\n")
        return finish()


def call(name: str, **arguments: object) -> ModelReply:
    return ModelReply(
        tool_calls=(ToolUse(id=f"c{abs(hash(name)) % 10_000}", name=name, arguments=arguments),)
    )


def finish(outcome: str = "done") -> ModelReply:
    return call("finish", outcome=outcome, summary="Adds a greeting.", criteria=[])


@dataclass
class Case:
    """One world with a ticket in it."""

    world: World
    rita: Person
    ada: Person

    def ticket(self, **options: Any) -> str:
        return self.rita.create_ticket("Greet people", "Say hello.", project="SHOP", **options)

    def assign(self, key: str) -> WorkflowRun:
        """Give the ticket to the runner and return the first run that this caused."""
        before = len(self.world.actions.runs)
        self.rita.assign(key, self.world.bot)
        self.world.settle()
        return self.world.actions.runs[before]

    def approve(self, key: str) -> list[WorkflowRun]:
        before = len(self.world.actions.runs)
        self.ada.move(key, "In Progress")
        self.world.settle()
        return self.world.actions.runs[before:]

    def fire(self, payload: Json) -> WorkflowRun:
        event = GitHubEvent(
            kind="repository_dispatch",
            action="ai-runner",
            payload={"action": "ai-runner", "client_payload": payload},
            sender="x",
        )
        self.world.actions.on_event(event)
        self.world.settle()
        return self.world.actions.runs[-1]

    def comments(self, key: str, needle: str) -> list[str]:
        return [text for text in map(words, self.rita.comments(key)) if needle in text]


def words(node: Any) -> str:
    """All text of a comment."""
    if isinstance(node, list):
        return " ".join(map(words, node))
    if isinstance(node, dict):
        return str(node.get("text", "")) + words(node.get("content") or node.get("body") or [])
    return ""


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a world and keep it until the test ends; then its exchanges are held against the contracts."""
    opened: list[Any] = []

    def begin(
        model: Model | None = None,
        *,
        prepare: Callable[[JiraSite], None] | None = None,
        policy: Mapping[str, object] | None = None,
        variables: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> Case:
        manager = open_world(
            tmp_path, brain=model or Model(), files={"README.md": b"# Shop\n"}, prepare=prepare, policy=policy
        )
        world = manager.__enter__()
        opened.append((manager, world))
        world.actions.variables.update(variables or {})
        world.actions.secrets.update(secrets or {})
        return Case(world=world, rita=world.people["rita"], ada=world.people["ada"])

    yield begin
    for manager, world in opened:
        manager.__exit__(None, None, None)
        assert contracts.violations(world.recorder.exchanges) == []


def troubles(run: WorkflowRun) -> list[str]:
    return [line for line in run.log.read_text().splitlines() if line.startswith(("::error", "::warning"))]


def ends_with(run: WorkflowRun, code: int, words_: str) -> None:
    """The run has this exit code, exactly one annotation of trouble with these words, and a summary with them."""
    log = run.log.read_text()
    assert run.exit_code == code, log
    assert len([line for line in troubles(run) if words_ in line]) == 1, log
    assert words_ in run.summary.read_text()


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"issue_key": "SHOP-1", "phase": "implment"}, "implement"),
        ({"phase": "auto"}, "issue_key"),
        ({"issue_key": "not a key"}, "issue_key"),
        ({"issue_key": 7}, "issue_key"),
    ],
    ids=["unknown phase", "missing key", "malformed key", "key of a wrong type"],
)
def test_a_malformed_payload_ends_as_a_configuration_error(play, payload, said):
    """A payload that names no ticket or an unknown phase is refused with the field's name, and nothing is written."""
    case = play()
    run = case.fire(payload)
    ends_with(run, 2, said)
    assert case.world.meters.of(run).writes == 0


def test_a_foreign_project_is_named_to_a_ticket_that_was_assigned_to_us(play):
    """A ticket of a project that is not served here is told so once, and nothing else happens."""

    def prepare(site: JiraSite) -> None:
        site.add_project("SHOP")
        site.add_project("OTHER")

    case = play(prepare=prepare)
    key = case.rita.create_ticket("Stray", "", project="OTHER")
    run = case.assign(key)
    ends_with(run, 2, "of OTHER-1 is not served")
    assert len(case.comments(key, "is not served by this repository")) == 1


def test_a_foreign_ticket_that_is_not_ours_is_left_alone(play):
    """A forged key of a ticket that nobody gave to the runner causes no write; the log and the exit code say why."""

    def prepare(site: JiraSite) -> None:
        site.add_project("SHOP")
        site.add_project("OTHER")

    case = play(prepare=prepare)
    key = case.rita.create_ticket("Private", "", project="OTHER")
    run = case.fire({"issue_key": key})
    ends_with(run, 2, "of OTHER-1 is not served")
    assert case.world.meters.of(run).writes == 0


def test_a_missing_secret_is_named(play):
    """Without the Jira token the run names the variable and the input it travels from."""
    case = play(secrets={"JIRA_API_TOKEN": ""})
    run = case.assign(case.ticket())
    ends_with(run, 2, "JIRA_API_TOKEN")


def test_a_wrong_token_is_a_configuration_error(play):
    """Jira's 401 is not retried and says which credential is wrong."""
    case = play(secrets={"JIRA_API_TOKEN": "wrong-token"})
    run = case.assign(case.ticket())
    ends_with(run, 2, "Jira")


def test_a_missing_model_key_is_told_on_the_ticket(play):
    """Without the model's key nothing is asked, and the ticket says which secret is missing."""
    case = play(secrets={"ANTHROPIC_API_KEY": ""})
    key = case.ticket()
    run = case.assign(key)
    ends_with(run, 2, "ANTHROPIC_API_KEY")
    assert len(case.comments(key, "ANTHROPIC_API_KEY")) == 1
    assert case.rita.status(key) == "Blocked"


def test_a_misspelt_configuration_key_is_told_with_the_nearest_name(play):
    """A key that does not exist stops the run before any work and names the one that was meant."""
    case = play(policy={"chekcs": {"commands": []}})
    key = case.ticket()
    run = case.assign(key)
    ends_with(run, 2, "checks")
    assert len(case.comments(key, "did you mean")) == 1


def test_a_status_that_does_not_exist_is_found_before_any_work(play):
    """A configured status that the project lacks is named with those it has, and no model is asked."""
    model = Model()
    case = play(model, policy={"jira": {"statuses": {"parent": {"plan_review": ["Planing Review"]}}}})
    key = case.ticket()
    run = case.assign(key)
    ends_with(run, 2, "Planing Review")
    assert len(case.comments(key, "Plan Review")) == 1
    assert model.asked == []


def test_a_sub_task_type_that_does_not_exist_is_found_before_any_work(play):
    """A configured sub-task type that the project lacks is named with those it has."""
    model = Model()
    case = play(model, policy={"jira": {"sub_task_type": "Subtaks"}})
    key = case.ticket()
    run = case.assign(key)
    ends_with(run, 2, "Subtaks")
    assert len(case.comments(key, "Sub-task")) == 1
    assert model.asked == []


def criteria(site: JiraSite) -> None:
    field_ = FieldSpec(id="customfield_10042", name="Acceptance Criteria", is_required=False)
    site.add_project("SHOP", create_fields=[field_])


@pytest.mark.parametrize("wrong", ["customfield_10024", "acceptance criteria"])
def test_a_field_that_does_not_exist_is_not_read_as_empty(play, wrong):
    """A wrong id for the acceptance criteria ends before any work and names the field that was meant."""
    model = Model()
    case = play(model, prepare=criteria, policy={"jira": {"acceptance_criteria_field": wrong}})
    key = case.ticket()
    run = case.assign(key)
    ends_with(run, 2, "acceptance_criteria_field")
    (told,) = case.comments(key, "(Acceptance Criteria)")
    assert "customfield_10042" in told
    assert model.asked == []


def test_a_field_that_is_empty_here_is_no_mistake(play):
    """Criteria may be missing on a ticket; the plan is made without them."""
    policy = {"jira": {"acceptance_criteria_field": "customfield_10042"}}
    case = play(prepare=criteria, policy=policy)
    assert case.assign(case.ticket()).exit_code == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("reviewer", "712020:nobody"),
        ("approver", "712020:nobody"),
        ("approvers", ["712020:nobody"]),
    ],
)
def test_an_account_that_does_not_exist_is_found_before_any_work(play, key, value):
    """A configured person whom Jira does not know is named with the key, and no model is asked."""
    model = Model()
    case = play(model, policy={"jira": {key: value}})
    ticket = case.ticket()
    run = case.assign(ticket)
    ends_with(run, 2, f"`jira.{key}` names the account")
    assert len(case.comments(ticket, "712020:nobody")) == 1
    assert model.asked == []


def test_a_direct_type_that_does_not_exist_is_found_before_any_plan(play):
    """Its tickets would be planned instead of worked on: the name is told with the one that was meant."""
    model = Model()
    case = play(model, policy={"jira": {"direct_types": ["Taskk"]}})
    ticket = case.ticket()
    run = case.assign(ticket)
    ends_with(run, 2, "`jira.direct_types` names “Taskk”")
    assert len(case.comments(ticket, "Did you mean “Task”?")) == 1
    assert model.asked == []


def test_a_direct_type_may_be_written_in_any_case(play):
    """As where it is matched."""
    case = play(policy={"jira": {"direct_types": ["  tASK "]}})
    assert case.assign(case.ticket()).exit_code == 0


@pytest.mark.parametrize("level", ["parent", "sub_task"])
def test_a_status_of_either_level_is_found_before_any_plan(play, level):
    """What sub-tasks will need is looked for before their parent is planned."""
    model = Model()
    case = play(model, policy={"jira": {"statuses": {level: {"blocked": "Blokced"}}}})
    run = case.assign(case.ticket())
    ends_with(run, 2, f"`jira.statuses.{level}.blocked`")
    assert model.asked == []


def test_a_default_for_an_unknown_field_is_found_before_any_work(play):
    """A value for a field that the create screen does not have is told with the key and the field."""
    model = Model()
    case = play(model, policy={"jira": {"field_defaults": {"create": {"customfield_10999": "x"}}}})
    key = case.ticket()
    run = case.assign(key)
    ends_with(run, 2, "customfield_10999")
    assert len(case.comments(key, "field_defaults.create")) == 1
    assert model.asked == []


def test_a_project_that_does_not_exist_is_named_by_the_sweep(play):
    """A misspelt project key ends the sweep with the key and what to correct, rather than with nothing found."""
    case = play(policy={"jira": {"projects": ["SHOP", "SHPO"]}})
    case.world.actions.sweep()
    case.world.settle()
    ends_with(case.world.actions.runs[-1], 2, "SHPO")
    assert "`jira.projects`" in case.world.actions.runs[-1].log.read_text()


def test_a_transition_that_needs_a_field_names_the_field(play):
    """A move that Jira's workflow guards with a required field is told with the field and where to give its value."""

    def prepare(site: JiraSite) -> None:
        site.add_project("SHOP", workflow=Workflow(screens={"Plan Review": (RESOLUTION,)}))

    case = play(prepare=prepare)
    key = case.ticket()
    run = case.assign(key)
    ends_with(run, 2, "resolution")
    assert len(case.comments(key, "field_defaults")) == 1


def test_nobody_assignable_leaves_the_ticket_unassigned_and_mentions_the_person(play):
    """When no one who should get the ticket may be assigned, it is unassigned and the person is named."""

    def prepare(site: JiraSite) -> None:
        site.add_project("SHOP")
        people = [account for account, user in site.users.items() if user.display_name != "AI Runner"]
        for account in people:
            site.revoke("SHOP", account, "ASSIGNABLE_USER")

    case = play(prepare=prepare)
    key = case.ticket()
    run = case.assign(key)
    assert run.exit_code == 0, run.log.read_text()
    assert case.rita.assignee(key) is None
    assert case.rita.status(key) == "Plan Review"


def test_an_unknown_model_is_named(play):
    """A model that the provider does not know ends as a configuration error naming it."""
    case = play(policy={"models": {"plan": "anthropic:claude-nonesuch-9"}})
    key = case.ticket()
    run = case.assign(key)
    ends_with(run, 2, "claude-nonesuch-9")
    assert len(case.comments(key, "claude-nonesuch-9")) == 1


def test_done_with_an_empty_diff_is_re_asked_once_and_then_given_up(play):
    """A model that says done without a change is told so once; then the ticket is blocked and nothing is pushed."""
    case = play(Model(work=lambda _: finish()))
    key = case.ticket()
    case.assign(key)
    runs = case.approve(key)
    child = case.rita.read(key)["fields"]["subtasks"][0]["key"]
    ends_with(next(run for run in runs if run.key == child), 3, "could not be used")
    assert case.rita.status(child) == "Blocked"
    assert len(case.comments(child, "no file was changed")) == 1
    assert case.world.github.branches().keys() == {"main"}


def test_a_truncated_answer_is_not_taken_for_success(play):
    """An answer cut at its length limit ends the plan with a text that says so."""
    case = play(Model(plan=lambda _: ModelReply(text='{"outcome": "plan"', stop="length")))
    key = case.ticket()
    run = case.assign(key)
    ends_with(run, 3, "cut off")
    assert case.rita.status(key) == "Blocked"


def test_a_plan_that_breaks_its_schema_is_re_asked_and_then_given_up(play):
    """A plan that fails validation twice in a row ends blocked, with the reason."""
    broken = {**PLAN, "items": [{**ITEM, "depends_on": ["nothing"]}]}
    model = Model(plan=lambda _: ModelReply(text=json.dumps(broken)))
    case = play(model)
    key = case.ticket()
    run = case.assign(key)
    ends_with(run, 3, "could not be used")
    assert len(case.comments(key, "which is no item of this plan")) == 1
    assert sum(request.schema is not None for request in model.asked) in (2, 3)


def test_a_plan_with_more_items_than_allowed_is_re_asked_and_then_given_up(play):
    """The cap on items is told to the model; a plan that stays beyond it ends blocked, with the cap named."""
    items = [{**ITEM, "id": name, "title": f"Add {name}"} for name in ("one", "two", "three")]
    model = Model(plan=lambda _: ModelReply(text=json.dumps({**PLAN, "items": items})))
    case = play(model, policy={"caps": {"items": 2}})
    key = case.ticket()
    ends_with(case.assign(key), 3, "could not be used")
    assert len(case.comments(key, "the plan has 3 items, the cap is 2")) == 1
    assert case.rita.status(key) == "Blocked"


def dry(case: Case, key: str) -> WorkflowRun:
    """A person starts a dry run by hand, which must change nothing and ask nobody."""
    before = case.rita.read(key)["fields"]["updated"], len(case.world.models.requests)
    case.world.actions.on_event(
        GitHubEvent(
            kind="workflow_dispatch",
            action="",
            payload={"inputs": {"issue_key": key, "phase": "auto", "dry_run": "true"}},
            sender="ada",
        )
    )
    case.world.settle()
    run = case.world.actions.runs[-1]
    assert (case.world.meters.of(run).writes, case.world.meters.of(run).dispatches) == (0, 0)
    assert (case.rita.read(key)["fields"]["updated"], len(case.world.models.requests)) == before
    return run


def test_a_dry_run_of_a_new_ticket_shows_the_claim_and_a_placeholder(play):
    """What a model would make is not known, and is said to be so; the claim before it is shown."""
    case = play()
    case.world.github.listeners.clear()
    key = case.ticket()
    case.rita.assign(key, case.world.bot)
    run = dry(case, key)
    summary = run.summary.read_text()
    assert (run.exit_code, run.outcome) == (0, "nothing")
    assert f"edit {key} ai-runner ai:working ai:try-1" in summary
    assert "ask plan of the model, then publish what it makes (not known before it is asked)" in summary


def test_a_dry_run_of_an_approved_plan_shows_every_effect(play):
    """Where no model is needed, the effects are those of the real run, as far as they follow from what is there."""
    case = play()
    key = case.ticket()
    case.assign(key)
    case.world.github.listeners.clear()
    case.ada.move(key, "In Progress")
    summary = dry(case, key).summary.read_text()
    assert f"sub-task {key} one" in summary
    assert "then read again and go on" in summary
    assert case.rita.read(key)["fields"]["subtasks"] == []


def test_a_dry_run_finds_a_wrong_configuration_and_keeps_it_to_itself(play):
    """What is wrong is in the log and the summary; the ticket hears of it only from a run that is meant."""
    case = play(policy={"jira": {"statuses": {"parent": {"plan_review": "Planing Review"}}}})
    case.world.github.listeners.clear()
    key = case.ticket()
    case.rita.assign(key, case.world.bot)
    run = dry(case, key)
    ends_with(run, 2, "Planing Review")
    assert case.rita.comments(key) == []


def test_an_ambiguous_edit_is_refused_with_the_real_lines(play):
    """An edit that fits two places changes nothing, and the model is shown both."""
    shown: list[str] = []

    def work(request: ModelRequest) -> ModelReply:
        if not request.results:
            return call("write_file", path="twice.txt", content="same\nsame\n")
        if request.turn == 1:
            return call("edit_file", path="twice.txt", old="same", new="other", replace_all=False)
        shown.append(request.results[-1].text)
        return finish()

    case = play(Model(work=work))
    key = case.ticket()
    case.assign(key)
    runs = case.approve(key)
    assert shown, runs[-1].log.read_text()
    assert "2" in shown[0]
    child = case.rita.read(key)["fields"]["subtasks"][0]["key"]
    assert case.world.github.files(f"ai/{child}")["twice.txt"] == b"same\nsame\n"
