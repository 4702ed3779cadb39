"""Effects: each asks first whether it is already true, and a lost answer is read back before it is sent once more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.core.effects import (
    AnswerThread,
    CommentPullRequest,
    CreateSubTask,
    Dispatch,
    DressPullRequest,
    EditPullRequest,
    EditTicket,
    Effect,
    LinkPullRequest,
    MoveTo,
    OpenPullRequest,
    Push,
    PutComment,
    RetractAnswer,
    SetDraft,
    UpdateBranch,
)
from runner.core.markers import Kind
from runner.core.model import Snapshot
from runner.core.phases import State
from runner.core.policy import Policy
from runner.core.redact import Redactor
from runner.core.work import FileChange
from runner.errors import Ambiguous, ConfigError, Conflict, MovedUnderUs, NotFound
from tests.core.snapshots import (
    ADA,
    BOT,
    FIRST,
    MAIN,
    PARENT,
    POLICY,
    branch,
    commit,
    family,
    marker,
    policy,
    pull_request,
    snapshot,
    sub_task,
    thread,
    ticket,
)
from tests.fakes import World

COMMENT = PutComment(key=PARENT, markdown="Hello.", marker=marker(Kind.NOTE, code="hello"))
PROGRESS = PutComment(key=PARENT, markdown="Working.", marker=marker(Kind.PROGRESS, run="1"))
SUB_TASK = CreateSubTask(parent_key=PARENT, item_id="alpha", summary="Do alpha", description="Well.")
OPEN = OpenPullRequest(
    head=f"ai/{FIRST}",
    base="main",
    title="ABC-11: Do it",
    body="Body",
    draft=False,
    labels=("ai-runner",),
    reviewers=("ron",),
)
PUSH = Push(
    branch=f"ai/{FIRST}",
    start=MAIN,
    expected=None,
    changes=(FileChange(path="a.py", content=b"a"),),
    message=f"{FIRST}: Do it\n",
)
CONFLICT = PutComment(
    key=FIRST, markdown="They conflict.", marker=marker(Kind.NOTE, key=FIRST, code="conflict")
)
UPDATE = UpdateBranch(number=7, expected_head=commit(FIRST).sha, told=CONFLICT)
LINK = LinkPullRequest(
    key=FIRST, global_id="g", url="https://x/7", title="Pull request #7", is_resolved=False
)


def parent_world(chosen: Policy = POLICY, **more: object) -> World:
    """A planned parent of ours."""
    return World.of(snapshot(ticket("Backlog", labels=["old"], **more)), chosen)  # type: ignore[arg-type]  # as the builder


def work_snapshot(**pull: object) -> Snapshot:
    """A sub-task with a branch and an open pull request."""
    snap = family(FIRST, sub_task(FIRST, "alpha", "In Progress"))
    return replace(snap, branch=branch(FIRST), pull_requests=(pull_request(FIRST, **pull),))  # type: ignore[arg-type]  # as the builder


def work_world(**pull: object) -> World:
    return World.of(work_snapshot(**pull), POLICY)


def apply(world: World, *effects: Effect, key: str = PARENT) -> list[str]:
    """Read, apply, and say which writes reached the services."""
    before = len(world.line.sent)
    world.applier(world.gather(key)).apply(effects)
    return world.line.sent[before:]


TWICE: list[tuple[str, str, Effect, list[str]]] = [
    ("parent", PARENT, EditTicket(key=PARENT, add=("new",), remove=("old",), assignee="ada"), ["edit"]),
    ("parent", PARENT, MoveTo(key=PARENT, state=State.IN_PROGRESS), ["move"]),
    ("parent", PARENT, COMMENT, ["add comment"]),
    ("parent", PARENT, PROGRESS, ["add comment"]),
    ("parent", PARENT, SUB_TASK, ["create sub-task"]),
    ("work", FIRST, LINK, ["link"]),
    ("work", FIRST, EditPullRequest(number=7, title="New", body="New", base="main"), ["edit pull request"]),
    (
        "work",
        FIRST,
        DressPullRequest(number=7, labels=("x",), reviewers=("ron",)),
        ["label pull request", "request review"],
    ),
    ("work", FIRST, SetDraft(number=7, draft=True), ["set draft"]),
    ("work", FIRST, AnswerThread(number=7, thread_id="t46", comment_id="46", body="Done."), ["reply"]),
    ("work", FIRST, CommentPullRequest(number=7, topic="x", body="Done."), ["comment pull request"]),
]


@pytest.mark.parametrize(("where", "key", "effect", "writes"), TWICE)
def test_an_effect_that_is_true_writes_nothing(
    where: str, key: str, effect: Effect, writes: list[str]
) -> None:
    """The first time it is written, the second time it is found."""
    world = parent_world() if where == "parent" else work_world(threads=(thread(),))

    assert apply(world, effect, key=key) == writes
    assert apply(world, effect, key=key) == []


def test_a_pull_request_is_opened_once_and_dressed() -> None:
    """An open one from the same branch is the same one."""
    world = World.of(replace(work_snapshot(), pull_requests=()), POLICY)

    assert apply(world, OPEN, key=FIRST) == ["open pull request", "label pull request", "request review"]
    assert apply(world, OPEN, key=FIRST) == []


def test_a_branch_is_brought_up_to_date_once() -> None:
    """A head that moved meanwhile is left alone, one that has everything as well."""
    world = work_world()
    world.forge.add_commit("main", "Other\n", (MAIN,))

    assert apply(world, UPDATE, key=FIRST) == ["update branch"]
    assert apply(world, UPDATE, key=FIRST) == []


def test_a_base_without_news_is_no_failure() -> None:
    """There is nothing to merge, which is what was wanted."""
    assert apply(work_world(), UPDATE, key=FIRST) == []


def test_a_base_that_cannot_be_merged_is_told_once() -> None:
    """A conflict on the branch is a person's to solve; the run goes on."""
    world = work_world()
    world.forge.add_commit("main", "Other\n", (MAIN,))
    world.line.faults = {"update branch": [Conflict("It conflicts."), Conflict("It conflicts.")]}

    assert apply(world, UPDATE, LINK, key=FIRST) == ["update branch (lost)", "add comment", "link"]
    assert apply(world, UPDATE, key=FIRST) == ["update branch (lost)"]


# --- comments ---------------------------------------------------------------------------------------------


def test_progress_is_one_comment_that_changes() -> None:
    """Another run edits the comment of the run before."""
    world = parent_world()
    apply(world, PROGRESS)

    assert apply(world, replace(PROGRESS, marker=marker(Kind.PROGRESS, run="2"))) == ["edit comment"]
    assert len(world.tickets.by_key[PARENT].comments) == 1


def test_a_note_is_said_once_whatever_the_run() -> None:
    """What makes two notes the same is their code."""
    world = parent_world()
    apply(world, COMMENT)

    assert apply(world, replace(COMMENT, marker=marker(Kind.NOTE, code="hello", run="2"))) == []
    assert apply(world, replace(COMMENT, marker=marker(Kind.NOTE, code="other"))) == ["add comment"]


def test_a_comment_that_a_person_edited_is_not_ours_any_more() -> None:
    """It is never overwritten: a new one is written."""
    world = parent_world()
    apply(world, PROGRESS)
    (comment,) = world.tickets.by_key[PARENT].comments
    edited = replace(world.tickets.by_key[PARENT], comments=(replace(comment, editor=ADA),))
    world.tickets.by_key[PARENT] = edited

    assert apply(world, PROGRESS) == ["add comment"]


def test_secrets_never_leave_in_a_text() -> None:
    """Every text is masked on its way out."""
    world = parent_world()
    applier = replace(world.applier(world.gather(PARENT)), redactor=Redactor(["s3cr3t-t0ken"]))

    applier.apply([replace(COMMENT, markdown="It is s3cr3t-t0ken.")])

    assert world.tickets.by_key[PARENT].comments[0].text == "It is ***."


# --- labels and assignee ----------------------------------------------------------------------------------


def test_labels_and_assignee_are_one_request() -> None:
    """The commit point is a single edit."""
    world = parent_world()

    assert apply(world, EditTicket(key=PARENT, add=("new",), assignee=None)) == ["edit"]
    assert world.tickets.by_key[PARENT].assignee is None
    assert world.tickets.by_key[PARENT].labels == {"old", "new"}


def test_a_label_that_is_both_added_and_removed_stays() -> None:
    """Adding wins, so that no write undoes another."""
    world = parent_world()

    assert apply(world, EditTicket(key=PARENT, add=("old",), remove=("old",))) == []


def test_a_screen_without_the_assignee_takes_a_call_of_its_own() -> None:
    """The assignee comes last, after the labels."""
    world = parent_world()
    world.tickets.editable = frozenset({"labels"})

    assert apply(world, EditTicket(key=PARENT, add=("new",), assignee="ada")) == ["edit", "assign"]
    assert world.tickets.by_key[PARENT].assignee is not None


def test_a_screen_without_the_assignee_and_no_label_to_change() -> None:
    """Only what differs is sent."""
    world = parent_world()
    world.tickets.editable = frozenset({"labels"})

    assert apply(world, EditTicket(key=PARENT, add=("old",), assignee="ada")) == ["assign"]


def test_a_screen_without_labels_is_named() -> None:
    """Nothing is written, and the adopter learns which screen to change."""
    world = parent_world()
    world.tickets.editable = frozenset({"summary"})

    with pytest.raises(ConfigError, match="Labels") as caught:
        apply(world, EditTicket(key=PARENT, add=("new",)))

    assert "edit screen of the issue type Story in project ABC" in caught.value.remedy
    assert world.line.sent == []


# --- moves ------------------------------------------------------------------------------------------------


def test_a_missing_transition_names_what_there_is() -> None:
    """A move that Jira does not offer is an error with the choices, never a silent return."""
    world = parent_world()
    world.tickets.unreachable = frozenset({"In Progress", "Plan Review"})

    with pytest.raises(ConfigError, match="cannot be moved from “Backlog” to “In Progress”") as caught:
        apply(world, MoveTo(key=PARENT, state=State.IN_PROGRESS))

    assert "“Blocked”, “Done”" in caught.value.summary
    assert "`jira.statuses`" in caught.value.remedy


def test_an_optional_move_that_is_missing_is_only_noted() -> None:
    """After a failure the rest of the hand-over counts more than the status."""
    world = parent_world()
    world.tickets.unreachable = frozenset({"Blocked"})
    move = MoveTo(key=PARENT, state=State.BLOCKED, is_optional=True)

    assert apply(world, move, COMMENT) == ["add comment"]


def test_a_required_field_without_a_value_is_named() -> None:
    """A transition's screen insists on a field that nobody configured."""
    world = parent_world()
    world.tickets.required = {"In Progress": ("resolution",)}

    with pytest.raises(ConfigError, match="needs the fields resolution"):
        apply(world, MoveTo(key=PARENT, state=State.IN_PROGRESS))


def test_a_required_field_takes_its_configured_value() -> None:
    """Only the fields that the screen insists on are sent."""
    defaults = {"resolution": {"name": "Done"}, "other": 1}
    world = parent_world(policy(jira={"field_defaults": {"transition": defaults}}))
    world.tickets.required = {"In Progress": ("resolution",)}

    assert apply(world, MoveTo(key=PARENT, state=State.IN_PROGRESS)) == ["move"]
    assert world.tickets.moved_with == [{"resolution": {"name": "Done"}}]


def test_the_first_configured_name_is_preferred() -> None:
    """Where several statuses mean the same, the order of the configuration decides."""
    world = parent_world(policy(jira={"statuses": {"parent": {"in_progress": ["Blocked", "In Progress"]}}}))

    apply(world, MoveTo(key=PARENT, state=State.IN_PROGRESS))

    assert world.tickets.by_key[PARENT].status.name == "Blocked"


def test_a_status_that_the_project_lacks_needs_no_move() -> None:
    """A label stands in for it."""
    world = parent_world(policy(jira={"statuses": {"parent": {"plan_review": None}}}))

    assert apply(world, MoveTo(key=PARENT, state=State.PLAN_REVIEW)) == []


# --- sub-tasks --------------------------------------------------------------------------------------------


def test_a_sub_task_is_born_with_its_labels_parent_and_assignee() -> None:
    """The label is its natural key, so it travels in the create call."""
    world = parent_world()

    apply(world, SUB_TASK)

    (key,) = world.tickets.by_key[PARENT].sub_task_keys
    created = world.tickets.by_key[key]
    assert created.labels == {"ai-runner", "ai-item-alpha"}
    assert (created.parent_key, created.creator) == (PARENT, BOT)
    assert created.assignee is not None
    assert created.assignee.id == BOT.id


def test_a_create_screen_that_lacks_fields_is_named() -> None:
    """Nothing is created, and the fields are listed."""
    world = parent_world()
    world.tickets.missing = ("Team", "labels")

    with pytest.raises(ConfigError, match="requires Team"):
        apply(world, SUB_TASK)

    assert world.line.sent == []


def test_an_answer_that_was_said_twice_is_retracted_once() -> None:
    """The later one of two goes; then there is nothing more to do."""
    world = work_world(threads=(thread(),))
    answer = AnswerThread(number=7, thread_id="t46", comment_id="46", body="Done.")
    asked = world.gather(FIRST)
    world.applier(asked).apply([answer])
    world.applier(asked).apply([answer])
    twice = [one for one in world.forge.pulls[7].threads[0].comments if one.is_ours]
    effect = RetractAnswer(number=7, node_id=twice[1].node_id, is_inline=True)

    assert len(twice) == 2
    assert apply(world, effect, key=FIRST) == ["retract"]
    assert apply(world, effect, key=FIRST) == []
    assert [one for one in world.forge.pulls[7].threads[0].comments if one.is_ours] == twice[:1]


def test_an_answer_that_may_not_be_retracted_stays() -> None:
    """Twice said is a flaw; a token that may not remove it fails nothing."""
    said = replace(thread().comments[0], is_ours=True)
    world = work_world(comments=(said, replace(said, id="c2", node_id="c2")))
    world.line.faults = {"retract": [ConfigError("Forbidden.")]}
    effect = RetractAnswer(number=7, node_id="c2", is_inline=False)

    assert apply(world, effect, key=FIRST) == ["retract (lost)"]
    assert len(world.forge.pulls[7].comments) == 2


# --- lost answers -----------------------------------------------------------------------------------------

READ_BACK: list[tuple[str, str, Effect, str]] = [
    ("parent", PARENT, EditTicket(key=PARENT, add=("new",), remove=("old",)), "edit"),
    ("parent", PARENT, EditTicket(key=PARENT, assignee="ada"), "edit"),
    ("parent", PARENT, EditTicket(key=PARENT, assignee=None), "edit"),
    ("parent", PARENT, MoveTo(key=PARENT, state=State.IN_PROGRESS), "move"),
    ("parent", PARENT, COMMENT, "add comment"),
    ("parent", PARENT, SUB_TASK, "create sub-task"),
    ("work", FIRST, LINK, "link"),
    ("work", FIRST, AnswerThread(number=7, thread_id="t46", comment_id="46", body="Done."), "reply"),
    ("work", FIRST, CommentPullRequest(number=7, topic="x", body="Done."), "comment pull request"),
]


@pytest.mark.parametrize(("where", "key", "effect", "write"), READ_BACK)
def test_a_lost_answer_to_a_write_that_arrived_is_read_back(
    where: str, key: str, effect: Effect, write: str
) -> None:
    """It is found, so it is not sent again."""
    world = parent_world() if where == "parent" else work_world(threads=(thread(),))
    world.line.faults = {write: [Ambiguous("Lost.")]}
    world.line.applied_anyway = {write}

    assert apply(world, effect, key=key) == [write]


@pytest.mark.parametrize(("where", "key", "effect", "write"), READ_BACK)
def test_a_write_that_did_not_arrive_is_sent_once_more(
    where: str, key: str, effect: Effect, write: str
) -> None:
    """After three looks and a wait before each."""
    world = parent_world() if where == "parent" else work_world(threads=(thread(),))
    world.line.faults = {write: [Ambiguous("Lost.")]}
    before = world.clock.now

    assert apply(world, effect, key=key) == [f"{write} (lost)", write]
    assert (world.clock.now - before).total_seconds() >= 1 + 3 + 7


@pytest.mark.parametrize(("where", "key", "effect", "write"), READ_BACK)
def test_a_second_lost_answer_is_an_error(where: str, key: str, effect: Effect, write: str) -> None:
    """No write is repeated more than once."""
    world = parent_world() if where == "parent" else work_world(threads=(thread(),))
    world.line.faults = {write: [Ambiguous("Lost."), Ambiguous("Lost."), Ambiguous("Lost.")]}

    with pytest.raises(Ambiguous):
        apply(world, effect, key=key)

    assert world.line.sent == [f"{write} (lost)"] * 2


def test_a_lost_answer_to_opening_a_pull_request_is_read_back() -> None:
    """GitHub allows one open pull request between two branches."""
    world = World.of(replace(work_snapshot(), pull_requests=()), POLICY)
    world.line.faults = {"open pull request": [Ambiguous("Lost.")]}
    world.line.applied_anyway = {"open pull request"}

    assert apply(world, OPEN, key=FIRST) == ["open pull request"]
    assert len(world.forge.pulls) == 1


def test_a_lost_dispatch_is_left_to_the_sweep() -> None:
    """Waking is a hint; losing one harms nobody."""
    world = parent_world()
    applier = world.applier(world.gather(PARENT))

    def lost(_: object) -> None:
        raise Ambiguous("Lost.")

    world.forge.dispatch = lost  # type: ignore[method-assign, assignment]  # a fault of the service
    applier.apply([Dispatch(key=FIRST)])

    assert applier.writes == 0


# --- the repository ---------------------------------------------------------------------------------------


def test_a_push_is_compared_with_what_was_expected() -> None:
    """A branch that a person moved is theirs."""
    world = work_world()

    with pytest.raises(MovedUnderUs):
        apply(world, PUSH, key=FIRST)

    assert world.forge.heads[f"ai/{FIRST}"] == commit(FIRST).sha


def test_a_lost_answer_to_a_push_is_not_guessed() -> None:
    """The next run recognises its own commit."""
    world = World.of(family(FIRST, sub_task(FIRST, "alpha")), POLICY)
    world.line.faults = {"push": [Ambiguous("Lost.")]}

    with pytest.raises(Ambiguous):
        apply(world, PUSH, key=FIRST)


def test_a_refused_draft_is_opened_and_labelled() -> None:
    """Where drafts do not exist, a label says that it is one."""
    world = World.of(replace(work_snapshot(), pull_requests=()), POLICY)
    world.forge.has_drafts = False

    apply(world, replace(OPEN, draft=True), key=FIRST)

    (pull,) = world.forge.pulls.values()
    assert pull.labels == {"ai-runner", "draft"}


def test_turning_into_a_draft_where_there_are_none_is_no_failure() -> None:
    """The text of the pull request says that it is unfinished."""
    world = work_world()
    world.forge.has_drafts = False

    assert apply(world, SetDraft(number=7, draft=True), key=FIRST) == []


def test_a_refused_reviewer_does_not_fail_the_run() -> None:
    """GitHub refuses the author and people without access; the others are asked."""
    world = work_world()
    world.forge.refused_reviewers = frozenset({"ron"})

    apply(world, DressPullRequest(number=7, reviewers=("ron", "ada")), key=FIRST)

    assert world.forge.pulls[7].requested_reviewers == ("ada",)


def test_a_reviewer_who_was_asked_or_has_reviewed_is_not_asked_again() -> None:
    """Asking again would send another mail."""
    world = work_world(requested_reviewers=("ron",))

    assert apply(world, DressPullRequest(number=7, reviewers=("ron",)), key=FIRST) == []


def test_a_merged_pull_request_is_linked_as_resolved() -> None:
    """The same link changes its state."""
    world = work_world()
    apply(world, LINK, key=FIRST)

    assert apply(world, replace(LINK, is_resolved=True), key=FIRST) == ["link"]


def test_a_pull_request_that_vanished_is_said() -> None:
    """Nothing is written to a number that was not read."""
    with pytest.raises(NotFound, match="#99"):
        apply(work_world(), SetDraft(number=99, draft=True), key=FIRST)


def test_a_thread_that_vanished_needs_no_answer() -> None:
    """The comment was removed by its author."""
    effect = AnswerThread(number=7, thread_id="gone", comment_id="1", body="Done.")

    assert apply(work_world(), effect, key=FIRST) == []


def test_the_first_failure_ends_the_run() -> None:
    """Later effects wait for the next run, which sees what is true by then."""
    world = parent_world()
    world.tickets.unreachable = frozenset({"In Progress"})

    with pytest.raises(ConfigError):
        apply(world, MoveTo(key=PARENT, state=State.IN_PROGRESS), COMMENT)

    assert world.line.sent == []


@pytest.mark.parametrize("effect", [PUSH, OPEN])
def test_a_stage_without_its_tools_says_which_stage_has_them(effect: Effect) -> None:
    """Only `publish` may write to the repository."""
    world = World.of(replace(work_snapshot(), pull_requests=()), POLICY)
    applier = replace(world.applier(world.gather(FIRST)), forge=None, publisher=None)

    with pytest.raises(ConfigError) as caught:
        applier.apply([effect])

    assert "`publish`" in caught.value.remedy
