"""Builders of snapshots: short words for what a project looks like, with defaults that mean "nothing special".

Times are minutes of one morning (``at(5)`` is five past nine); ``NOW`` is later than all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from runner.core.decide.view import INPUT_TRAILER, OUTCOME_TRAILER, PLAN_BLOCK, RUN_TRAILER, View
from runner.core.digests import content_digest
from runner.core.markers import Kind, Marker, PullRequestRecord, Seen, to_hidden, to_line
from runner.core.model import (
    Account,
    Branch,
    Change,
    CheckResult,
    Comment,
    CommitInfo,
    PullRequest,
    Repository,
    Review,
    ReviewComment,
    ReviewState,
    ReviewThread,
    Snapshot,
    Status,
    Ticket,
    TicketType,
    WorkItem,
)
from runner.core.plan import Item, Plan
from runner.core.policy import Policy
from runner.core.texts import BEGIN, END

BOT = Account(id="bot", name="AI Runner")
RITA = Account(id="rita", name="Rita")  # writes tickets
ADA = Account(id="ada", name="Ada")  # approves plans
RON = Account(id="ron", name="Ron")  # reviews
HELPER = Account(id="helper", name="Some app", is_person=False)
PEOPLE = (RITA, ADA, RON)

REPOSITORY = Repository(name="acme/shop", default_branch="main", is_private=True, login="runner-bot")
LOGIN = REPOSITORY.login
STORY = TicketType(id="10001", name="Story")
EPIC = TicketType(id="10000", name="Epic", level=1)
SPIKE = TicketType(id="10004", name="Spike")
SUB_TASK = TicketType(id="10002", name="Sub-task", level=-1)
PARENT = "ABC-1"
FIRST, SECOND, THIRD = "ABC-11", "ABC-12", "ABC-13"
MAIN = "a" * 40
RUN = "900.1"
OLD_RUN = "800.1"
URL = "https://github.example/acme/shop/actions/runs/900"

POLICY = Policy.model_validate({"jira": {"approver": "ada", "reviewer": "ron"}})
NOW = "2026-03-02T12:00:00.000Z"
CATEGORY: Mapping[str, Literal["new", "indeterminate", "done"]] = {
    "Backlog": "new",
    "To Do": "new",
    "Done": "done",
    "Won't Do": "done",
}


def at(minute: int) -> str:
    """A moment of that morning."""
    return f"2026-03-01T{9 + minute // 60:02d}:{minute % 60:02d}:00.000Z"


def policy(**sections: Any) -> Policy:
    """The usual policy with these sections over it."""
    jira = {"approver": "ada", "reviewer": "ron", **sections.pop("jira", {})}
    return Policy.model_validate({"jira": jira, **sections})


def status(name: str) -> Status:
    """A Jira status of the usual workflow."""
    return Status(name=name, category=CATEGORY.get(name, "indeterminate"))


# --- tickets ----------------------------------------------------------------------------------------------


def ticket(
    status_name: str = "Backlog",
    *,
    key: str = PARENT,
    assignee: Account | None = BOT,
    labels: Iterable[str] = (),
    comments: Iterable[Comment] = (),
    history: Iterable[Change] = (),
    **more: Any,
) -> Ticket:
    """A story of Rita's, given to the runner by Ada at five past nine."""
    given = assigned(ADA, BOT, 5)
    values: dict[str, Any] = {
        "id": key.replace("ABC-", "100"),
        "project_key": "ABC",
        "project_id": "10",
        "type": STORY,
        "summary": "Round prices",
        "description": "Prices must be rounded to the cent.",
        "reporter": RITA,
        "creator": RITA,
        "created": at(1),
        "updated": at(1),
        "is_detailed": True,
        **more,
    }
    return Ticket(
        key=key,
        status=status(status_name),
        assignee=assignee,
        labels=frozenset(labels),
        comments=tuple(sorted(comments, key=lambda one: one.created)),
        history=tuple(sorted((given, *history), key=lambda one: one.at)),
        **values,
    )


def sub_task(
    key: str,
    item: str,
    status_name: str = "Backlog",
    *,
    assignee: Account | None = BOT,
    creator: Account = BOT,
    labels: Iterable[str] = (),
    **more: Any,
) -> Ticket:
    """A sub-task of ours for one item of the plan."""
    ours = ("ai-runner", f"ai-item-{item}") if creator == BOT else ()
    return ticket(
        status_name,
        key=key,
        assignee=assignee,
        labels=(*ours, *labels),
        type=SUB_TASK,
        summary=f"Do {item}",
        description=f"Do {item} well.",
        creator=creator,
        reporter=creator,
        parent_key=PARENT,
        **more,
    )


def assigned(by: Account, to: Account | None, minute: int) -> Change:
    """Somebody changed the assignee."""
    return Change(
        at=at(minute),
        author=by,
        field="assignee",
        old="",
        new=to.name if to is not None else "",
        new_id=to.id if to is not None else "",
    )


def moved(by: Account, to: str, minute: int, *, was: str = "Plan Review") -> Change:
    """Somebody moved the ticket."""
    return Change(at=at(minute), author=by, field="status", old=was, new=to)


# --- comments ---------------------------------------------------------------------------------------------


def said(
    by: Account, minute: int, text: str = "Please round half up.", *, edited: int | None = None, **more: Any
) -> Comment:
    """A person's comment; ``edited`` is the minute of its last edit."""
    return Comment(
        id=f"{minute}",
        author=by,
        editor=more.pop("editor", by),
        created=at(minute),
        updated=at(edited if edited is not None else minute),
        text=text,
        **more,
    )


def marker(kind: Kind, *, key: str = PARENT, run: str = OLD_RUN, **more: Any) -> Marker:
    """A marker of an earlier run."""
    return Marker(kind=kind, key=key, repository=REPOSITORY.name, run=run, **more)


def ours(
    mark: Marker, minute: int, *, editor: Account = BOT, blocks: Sequence[tuple[str, str]] = ()
) -> Comment:
    """A comment of the runner with its marker line."""
    return Comment(
        id=f"{minute}",
        author=BOT,
        editor=editor,
        created=at(minute),
        updated=at(minute if editor == BOT else minute + 1),
        text=f"About {mark.kind}.",
        code_blocks=tuple(blocks),
        last_line=to_line(mark),
    )


def plan(*ids: str, after: Mapping[str, Sequence[str]] | None = None) -> Plan:
    """A plan with these items; ``after`` names what an item depends on."""
    needs = after or {}
    items = [
        Item(
            id=id_,
            title=f"Do {id_}",
            description=f"Do {id_} well.",
            files=(f"src/{id_}.py",),
            depends_on=tuple(needs.get(id_, ())),
        )
        for id_ in ids or ("alpha", "beta")
    ]
    return Plan(summary="Rounds prices.", items=tuple(items))


def planned(the_plan: Plan | None = None, minute: int = 10, *, editor: Account = BOT, **more: Any) -> Comment:
    """The plan comment of an earlier run."""
    chosen = the_plan or plan()
    mark = marker(Kind.PLAN, plan_digest=chosen.digest, input_digest="1" * 12, phase="plan", **more)
    return ours(mark, minute, editor=editor, blocks=((PLAN_BLOCK, chosen.to_text()),))


def listed(the_plan: Plan | None = None, minute: int = 25, **keys: str) -> Comment:
    """The comment that lists item and key."""
    chosen = the_plan or plan()
    named = keys or dict(zip([item.id for item in chosen.items], (FIRST, SECOND, THIRD), strict=False))
    return ours(marker(Kind.BREAKDOWN, plan_digest=chosen.digest, items=named), minute)


# --- the repository ---------------------------------------------------------------------------------------


def sha(name: str) -> str:
    """A commit id that reads like its name in hexadecimal."""
    return (name.encode().hex() + "0" * 40)[:40]


def commit(
    key: str,
    name: str = "one",
    *,
    run: str = OLD_RUN,
    digest: str = "",
    outcome: str = "done",
    parent: str = MAIN,
    ours: bool = True,
) -> CommitInfo:
    """A commit, ours with trailers or a person's without."""
    trailers = {
        "Jira-Issue": key,
        RUN_TRAILER: run,
        INPUT_TRAILER: digest or "2" * 12,
        OUTCOME_TRAILER: outcome,
        "AI-Runner-Checks": "unit=0/1.0s" if outcome == "done" else "unit=1/1.0s",
    }
    lines = "\n".join(f"{one}: {value}" for one, value in trailers.items())
    return CommitInfo(
        sha=sha(f"{key}{name}"),
        message=f"{key}: Do it\n\nRounded.\n\n{lines}\n" if ours else "Fix by hand\n",
        trailers=trailers if ours else {},
        parents=(parent,),
    )


def branch(key: str, *newest_first: CommitInfo) -> Branch:
    """The branch of a ticket."""
    commits = newest_first or (commit(key),)
    chained = [
        replace(one, parents=(commits[place + 1].sha if place + 1 < len(commits) else MAIN,))
        for place, one in enumerate(commits)
    ]
    return Branch(name=f"ai/{key}", sha=commits[0].sha, commits=tuple(chained))


def record(key: str, **more: Any) -> PullRequestRecord:
    """The hidden facts of a pull request."""
    values: dict[str, Any] = {
        "parent": PARENT,
        "base": "main",
        "input_digest": "2" * 12,
        "plan_digest": plan().digest,
        **more,
    }
    return PullRequestRecord(key=key, repository=REPOSITORY.name, **values)


def pull_request(
    key: str,
    number: int = 7,
    *,
    state: Literal["open", "closed", "merged"] = "open",
    base: str = "main",
    head: CommitInfo | None = None,
    facts: PullRequestRecord | None = None,
    **more: Any,
) -> PullRequest:
    """A pull request that the runner opened for a ticket."""
    is_open = state == "open"
    hidden = to_hidden(facts or record(key, base=base))
    values: dict[str, Any] = {
        "is_draft": False,
        "author": LOGIN,
        "is_ours": True,
        "created": at(30),
        "updated": at(30),
        "labels": frozenset({"ai-runner"}),
        "is_detailed": True,
        "closed_at": "" if is_open else at(50),
        "closed_by": "" if is_open else "ron",
        **more,
    }
    return PullRequest(
        number=number,
        url=f"https://github.example/acme/shop/pull/{number}",
        title=f"{key}: Do it",
        body=f"{BEGIN}\nRounded.\n\n{hidden}\n{END}",
        state="open" if is_open else "closed",
        is_merged=state == "merged",
        head=f"ai/{key}",
        head_sha=(head or commit(key)).sha,
        base=base,
        **values,
    )


def review(
    state: ReviewState = ReviewState.CHANGES_REQUESTED,
    body: str = "Use decimals.",
    *,
    minute: int = 45,
    can_write: bool = True,
    author: str = "ron",
    is_person: bool = True,
) -> Review:
    """A review of the pull request."""
    return Review(
        id=f"r{minute}",
        author=author,
        state=state,
        body=body,
        submitted=at(minute),
        can_write=can_write,
        is_person=is_person,
    )


def thread(body: str = "Why floats?", *, minute: int = 46, resolved: bool = False) -> ReviewThread:
    """An inline conversation that Ron began."""
    remark = ReviewComment(
        id=f"{minute}",
        node_id=f"n{minute}",
        author="ron",
        body=body,
        created=at(minute),
        updated=at(minute),
        can_write=True,
    )
    return ReviewThread(
        id=f"t{minute}",
        path="src/alpha.py",
        line=3,
        is_resolved=resolved,
        is_outdated=False,
        comments=(remark,),
    )


def check(name: str = "ci", conclusion: Any = "failure") -> CheckResult:
    """A check of the repository's own."""
    return CheckResult(id=name, name=name, conclusion=conclusion, summary=f"{name}: {conclusion}")


# --- snapshots --------------------------------------------------------------------------------------------


def snapshot(the_ticket: Ticket, **more: Any) -> Snapshot:
    """What a run for this ticket reads."""
    values: dict[str, Any] = {
        "heads": {"main": MAIN},
        "assignable": frozenset(one.id for one in PEOPLE),
        **more,
    }
    return Snapshot(me=BOT, former=frozenset(), repository=REPOSITORY, ticket=the_ticket, **values)


def parent_ticket(
    status_name: str = "In Progress",
    *,
    the_plan: Plan | None = None,
    keys: Sequence[str] = (),
    comments: Iterable[Comment] = (),
    history: Iterable[Change] = (),
    labels: Iterable[str] = (),
    **more: Any,
) -> Ticket:
    """A parent whose plan was written at ten past and approved by Ada at twenty past."""
    approval = moved(ADA, "In Progress", 20)
    return ticket(
        status_name,
        comments=(planned(the_plan), *comments),
        history=(approval, *history),
        labels=("ai-runner", "ai:planned", *labels),
        sub_task_keys=tuple(keys),
        **more,
    )


def family(
    mine: str,
    *members: Ticket | WorkItem,
    the_plan: Plan | None = None,
    parent: Ticket | None = None,
    **more: Any,
) -> Snapshot:
    """What a run for one sub-task reads: the ticket, its siblings, and the approved parent."""
    items = tuple(one if isinstance(one, WorkItem) else WorkItem(ticket=one) for one in members)
    keys = tuple(one.ticket.key for one in items)
    over = parent or parent_ticket(the_plan=the_plan, comments=(listed(the_plan),))
    over = replace(over, sub_task_keys=keys)
    own = next(one for one in items if one.ticket.key == mine)
    return snapshot(own.ticket, parent=over, family=items, **more)


def parent_with(*members: Ticket | WorkItem, **more: Any) -> Snapshot:
    """What a run for the parent reads."""
    items = tuple(one if isinstance(one, WorkItem) else WorkItem(ticket=one) for one in members)
    own = parent_ticket(keys=[one.ticket.key for one in items], **more)
    return snapshot(own, family=items)


def view(snap: Snapshot, chosen: Policy = POLICY) -> View:
    """The snapshot as rules see it."""
    return View(snapshot=snap, policy=chosen, now=NOW, run=RUN, run_url=URL)


def input_of(snap: Snapshot, chosen: Policy = POLICY) -> str:
    """The digest of what a model would be asked with."""
    return view(snap, chosen).input_digest


def seen(*comments: Comment, of: Ticket | None = None, more: Iterable[tuple[str, str]] = ()) -> Seen:
    """Having taken these comments, and the ticket's own text, into account."""
    own = [("ticket", content_digest(of))] if of is not None else []
    return Seen().with_items([*((f"comment:{one.id}", one.updated) for one in comments), *own, *more])
