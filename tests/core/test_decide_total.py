"""Whatever a project looks like: there is one decision, always the same, and following it comes to rest."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from runner.core.decide import decide
from runner.core.decide.errors import on_error
from runner.core.effects import Dispatch
from runner.core.markers import Kind, UnreadableMarkerError
from runner.core.model import ReviewState, Snapshot, WorkItem
from runner.core.phases import Phase, State
from runner.core.policy import Policy
from runner.errors import ConfigError, GaveUp, MovedUnderUs, RunnerError, Unavailable
from tests.core.snapshots import (
    ADA,
    BOT,
    EPIC,
    FIRST,
    HELPER,
    NOW,
    PARENT,
    POLICY,
    RITA,
    RON,
    SECOND,
    STORY,
    assigned,
    branch,
    check,
    commit,
    family,
    input_of,
    listed,
    marker,
    moved,
    ours,
    parent_ticket,
    planned,
    policy,
    pull_request,
    record,
    review,
    said,
    snapshot,
    sub_task,
    thread,
    ticket,
    view,
)
from tests.core.test_decide_rest import PLAN_ENDS, WORK_ENDS, duplicates
from tests.fakes import World, model

STATUSES = ("Backlog", "Plan Review", "In Progress", "In Testing", "Blocked", "Done", "Frozen")
LABELS = (
    "ai-runner",
    "ai:planned",
    "ai:working",
    "ai:waiting",
    "ai:failed",
    "ai:over-budget",
    "ai:try-1",
    "ai:try-3",
    "ai:ignore",
    "ai:no-exec",
    "ai:direct",
    "ai:stop",
    "ai:plan-review",
    "ai:in-testing",
    "ai:blocked",
)
LACKING = {"plan_review": None, "in_testing": None, "blocked": None}
POLICIES = (
    POLICY,
    policy(sequence="wait"),
    policy(max_parallel=3),
    policy(on_merge="keep"),
    policy(jira={"approvers": ["ron"]}),
    policy(jira={"statuses": {"parent": LACKING, "sub_task": LACKING}}),
    policy(caps={"attempts": 1, "check_fixes": 0}),
)
WORKED = ("implement", "revise", "breakdown", "plan", "")
accounts = st.sampled_from((BOT, BOT, RITA, ADA, RON, None))
people = st.sampled_from((RITA, ADA, RON, BOT, HELPER))
statuses = st.sampled_from(STATUSES)


def comments_of(key: str) -> st.SearchStrategy[list[Any]]:
    """Comments of people, of apps and of the runner, in any order in time."""
    minutes = st.integers(6, 59)
    persons = st.builds(
        lambda by, minute, later: said(by, minute, edited=minute + later),
        people.filter(lambda one: one is not BOT),
        minutes,
        st.integers(0, 30),
    )
    own = st.builds(
        lambda kind, minute, phase, code, number, editor: ours(
            marker(kind, key=key, phase=phase, code=code, number=number, input_digest=f"{minute:012d}"),
            minute,
            editor=editor,
        ),
        st.sampled_from([kind for kind in Kind if kind is not Kind.PLAN]),
        minutes,
        st.sampled_from(WORKED),
        st.sampled_from(
            ("", "final", "failed", "no-change", "attempt-1", "base-vanished", "epic", "budget+over")
        ),
        st.sampled_from((0, 7, 8)),
        st.sampled_from((BOT, BOT, BOT, RITA)),
    )
    found = st.lists(st.one_of(persons, own), max_size=4, unique_by=lambda one: one.id)
    return found.map(_once_each)


def _once_each(comments: list[Any]) -> list[Any]:
    """The runner keeps one progress and one failure comment."""
    kept: dict[str, Any] = {}
    for one in comments:
        words = one.last_line.split()
        single = words[2] if len(words) > 2 and words[2] in ("progress", "failure") else one.id
        kept.setdefault(single, one)
    return list(kept.values())


history = st.lists(
    st.one_of(
        st.builds(moved, people, st.sampled_from(STATUSES[:6]), st.integers(6, 59)),
        st.builds(assigned, people, accounts, st.integers(6, 59)),
    ),
    max_size=4,
)
labels = st.sets(st.sampled_from(LABELS), max_size=3)


@st.composite
def parents(draw: st.DrawFn) -> Snapshot:
    """A story or an Epic, planned or not, with some family."""
    plans = [planned(minute=draw(st.integers(7, 30)), editor=draw(st.sampled_from((BOT, BOT, RITA))))]
    comments = [*draw(comments_of(PARENT)), *(plans if draw(st.booleans()) else [])]
    if draw(st.booleans()):
        comments.append(listed(minute=draw(st.integers(31, 59))))
    own = ticket(
        draw(statuses),
        assignee=draw(accounts),
        labels=draw(labels),
        comments={one.id: one for one in comments}.values(),
        history=draw(history),
        type=EPIC if draw(st.integers(0, 9)) == 0 else STORY,
    )
    members = draw(siblings())
    snap = snapshot(
        replace(own, sub_task_keys=tuple(one.ticket.key for one in members)), family=tuple(members)
    )
    return draw(with_work(snap, PARENT)) if "ai:direct" in own.labels else snap


@st.composite
def siblings(draw: st.DrawFn) -> list[WorkItem]:
    """None, one or two sub-tasks, ours or somebody's."""
    found = []
    for number, (key, item) in enumerate(((FIRST, "alpha"), (SECOND, "beta")), 7):
        if not draw(st.booleans()):
            continue
        creator = draw(st.sampled_from((BOT, BOT, BOT, RITA)))
        own = sub_task(key, item, draw(statuses), assignee=draw(accounts), creator=creator)
        state = draw(st.sampled_from(("none", "open", "closed", "merged")))
        pull = None if state == "none" else pull_request(key, number, state=state)  # type: ignore[arg-type]  # one of three
        found.append(WorkItem(ticket=own, pull_request=pull))
    return found


@st.composite
def with_work(draw: st.DrawFn, snap: Snapshot, key: str) -> Snapshot:
    """A branch and a pull request for the snapshot's ticket, or neither."""
    own = commit(
        key,
        digest=draw(st.sampled_from(("2" * 12, input_of(snap)))),
        outcome=draw(st.sampled_from(("done", "red", "budget", "partial"))),
    )
    tip = commit(key, "two", ours=False) if draw(st.booleans()) else own
    if draw(st.booleans()):
        commits = (tip, own) if tip is not own else (own,)
        snap = replace(snap, branch=branch(key, *commits))
    state = draw(st.sampled_from(("none", "open", "open", "closed", "merged")))
    if state == "none" or (state == "open" and snap.branch is None):
        return snap
    seen_fixes = draw(st.integers(0, 3))
    pull = pull_request(
        key,
        7,
        state=state,  # type: ignore[arg-type]  # one of three
        head=tip,
        facts=record(key, check_fixes=seen_fixes),
        is_draft=draw(st.booleans()),
        reviews=tuple(
            draw(
                st.lists(
                    st.builds(
                        review,
                        st.sampled_from(ReviewState),
                        minute=st.integers(40, 59),
                        can_write=st.booleans(),
                        is_person=st.booleans(),
                    ),
                    max_size=2,
                    unique_by=lambda one: one.id,
                )
            )
        ),
        threads=(thread(),) if draw(st.booleans()) else (),
        checks=(check(conclusion=draw(st.sampled_from(("success", "failure", "pending")))),),
    )
    return replace(snap, pull_requests=(pull,))


@st.composite
def work(draw: st.DrawFn) -> Snapshot:
    """A sub-task, ours or somebody's, with any parent and any sibling."""
    creator = draw(st.sampled_from((BOT, BOT, BOT, RITA)))
    own = sub_task(
        SECOND,
        "beta",
        draw(statuses),
        assignee=draw(accounts),
        creator=creator,
        labels=draw(labels),
        comments=draw(comments_of(SECOND)),
        history=draw(history),
    )
    others = [one for one in draw(siblings()) if one.ticket.key != SECOND]
    over = parent_ticket(
        draw(st.sampled_from(("In Progress", "In Progress", "Blocked", "Done"))),
        labels=draw(st.sets(st.sampled_from(("ai:ignore", "ai:stop")), max_size=1))
        if draw(st.booleans())
        else (),
        comments=(listed(),),
    )
    snap = family(SECOND, *others, WorkItem(ticket=own), parent=over)
    return draw(with_work(snap, SECOND))


snapshots = st.one_of(parents(), work())
policies = st.sampled_from(POLICIES)


@settings(
    max_examples=250, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None
)
@given(snapshots, policies)
def test_every_snapshot_has_one_decision(snap: Snapshot, chosen: Policy) -> None:
    """Deciding never fails, except at a marker of ours that cannot be read, and repeats itself."""
    first = decide(snap, chosen, NOW)

    assert decide(snap, chosen, NOW) == first
    assert first.reason
    assert not (first.work is not None and first.effects)


@settings(max_examples=60, deadline=None)
@given(snapshots, policies, st.data())
def test_an_unreadable_marker_is_the_only_failure(
    snap: Snapshot, chosen: Policy, data: st.DataObject
) -> None:
    """A damaged comment of ours stops the decision in the one way there is."""
    assume(snap.ticket.comments)
    place = data.draw(st.integers(0, len(snap.ticket.comments) - 1))
    comments = list(snap.ticket.comments)
    comments[place] = replace(comments[place], last_line="ai-runner v1 plan ABC-1 acme/shop x")
    damaged = replace(snap, ticket=replace(snap.ticket, comments=tuple(comments)))

    try:
        assert decide(damaged, chosen, NOW).reason
    except UnreadableMarkerError as error:
        assert error.remedy


@settings(max_examples=60, deadline=None)
@given(snapshots, policies, st.sampled_from((None, *Phase)))
@pytest.mark.parametrize(
    "error",
    [
        None,
        RunnerError("It broke."),
        ConfigError("Wrong."),
        GaveUp("Spent."),
        Unavailable("Down."),
        MovedUnderUs("Moved."),
    ],
)
def test_every_failure_can_be_told_of_every_snapshot(
    error: RunnerError | None, snap: Snapshot, chosen: Policy, phase: Phase | None
) -> None:
    """Saying what failed is total, too, and touches no ticket that is neither ours, nor claimed, nor reviewed."""
    facts = view(snap, chosen)
    decision = on_error(facts, error, phase)

    if not facts.is_mine and "ai:working" not in snap.ticket.labels and facts.state is not State.IN_TESTING:
        assert decision.writes == ()


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None
)
@given(snapshots, policies, st.data())
def test_following_decisions_comes_to_rest(snap: Snapshot, chosen: Policy, data: st.DataObject) -> None:
    """No effects leave a state that triggers the same row with writes again, and nothing comes to exist twice."""
    key = snap.ticket.key
    world = World.of(snap, chosen)
    before = duplicates(world)
    asked = world.decide(key).work
    ends = PLAN_ENDS if asked is not None and asked.phase is Phase.PLAN else WORK_ENDS
    end = data.draw(st.sampled_from(ends)) if asked is not None else "done"

    rows = []
    for _ in range(6):
        sent = len(world.line.sent)
        rows.append(world.run(key, model(end)).row)
        if len(world.line.sent) == sent:
            break

    assert len(world.line.sent) == sent, (rows, world.line.sent, end)
    writing = rows[:-1]
    assert all(one != other for one, other in itertools.pairwise(writing)), (writing, end, world.line.sent)
    assert set(duplicates(world)) <= set(before)


@settings(max_examples=100, deadline=None)
@given(snapshots, policies)
def test_a_run_writes_to_its_own_ticket_alone(snap: Snapshot, chosen: Policy) -> None:
    """What is due elsewhere is a dispatch."""
    decision = decide(snap, chosen, NOW)

    for effect in (*decision.claim, *decision.effects):
        if not isinstance(effect, Dispatch):
            assert getattr(effect, "key", snap.ticket.key) == snap.ticket.key
