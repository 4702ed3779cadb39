"""Jira, GitHub and git in memory, behind our ports: they keep state and behave like the services in the small.

Every write ticks the clock by a second and is numbered, so that a test can stop the world before any of them.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from runner.core.changes import Base
from runner.core.decide import Decision, RunInfo, decide
from runner.core.effects import Effect
from runner.core.handover import ChangeRecord, CheckRecord, Delivered, Result, Work
from runner.core.markers import from_line, is_marker_line
from runner.core.model import (
    Account,
    Branch,
    Change,
    Comment,
    CommitInfo,
    PullRequest,
    PullRequestGlance,
    Repository,
    ReviewComment,
    Snapshot,
    Status,
    Ticket,
    TicketType,
    iso,
)
from runner.core.phases import Phase
from runner.core.plan import Item, PlanAnswer, PointAnswer
from runner.core.policy import Policy
from runner.core.redact import Redactor
from runner.core.work import FileChange
from runner.errors import Conflict, MovedUnderUs, NotFound
from runner.ports import CommentBody, NewSubTask, Transition
from runner.workflow.apply import Applier
from runner.workflow.apply_ticket import link_state
from runner.workflow.gather import Sources, gather

WORKFLOW: Mapping[str, Status] = {
    name: Status(name=name, category=category)  # type: ignore[arg-type]  # one of Jira's three words
    for name, category in (
        ("Backlog", "new"),
        ("Plan Review", "indeterminate"),
        ("In Progress", "indeterminate"),
        ("In Testing", "indeterminate"),
        ("Blocked", "indeterminate"),
        ("Done", "done"),
    )
}
MAX_RUNS = 8


class Killed(BaseException):
    """The process died here; nobody catches it."""


@dataclass
class Line:
    """Every write in order. ``fuse``: how many more are let through; ``faults``: what a write by its name raises.

    A fault is raised before the write, or after it when it is listed in ``applied_anyway``.
    """

    sent: list[str] = field(default_factory=list)
    fuse: int | None = None
    faults: dict[str, list[Exception]] = field(default_factory=dict)
    applied_anyway: set[str] = field(default_factory=set)

    def pass_on(self, name: str, act: Callable[[], str | None]) -> str:
        """Do one write, unless the world stops before it."""
        if self.fuse is not None:
            if self.fuse == 0:
                raise Killed
            self.fuse -= 1
        queued = self.faults.get(name, [])
        fault = queued.pop(0) if queued else None
        if fault is not None and name not in self.applied_anyway:
            self.sent.append(f"{name} (lost)")
            raise fault
        self.sent.append(name)
        answer = act() or ""
        if fault is not None:
            raise fault
        return answer


@dataclass
class Clock:
    """Moves by a second with each write."""

    now: datetime = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

    def __call__(self) -> str:
        return iso(self.now)

    def sleep(self, seconds: float) -> None:
        """Wait without waiting."""
        self.tick(seconds)

    def tick(self, seconds: float = 1) -> str:
        """Let time pass and say what time it is."""
        self.now += timedelta(seconds=seconds)
        return self()


@dataclass
class FakeTickets:
    """Port ``Tickets`` in memory. ``me`` is whose token this is."""

    clock: Clock
    line: Line
    me: Account
    people: frozenset[str]
    by_key: dict[str, Ticket] = field(default_factory=dict)
    workflow: Mapping[str, Status] = field(default_factory=lambda: dict(WORKFLOW))
    unreachable: frozenset[str] = frozenset()
    required: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    editable: frozenset[str] = frozenset({"labels", "assignee", "summary"})
    missing: tuple[str, ...] = ()
    moved_with: list[Mapping[str, object]] = field(default_factory=list)
    lag: int = 0

    def myself(self) -> Account:
        """Whose token this is."""
        return self.me

    def ticket(self, key: str) -> Ticket:
        """Read in full."""
        if key not in self.by_key:
            raise NotFound(f"{key} was not found.")
        return replace(self.by_key[key], is_detailed=True)

    def tickets(self, keys: Sequence[str]) -> tuple[Ticket, ...]:
        """Read without comments and history."""
        return tuple(
            replace(self.by_key[key], comments=(), history=(), attachments=(), links=(), is_detailed=False)
            for key in keys
            if key in self.by_key
        )

    def search(self, jql: str, *, limit: int) -> tuple[str, ...]:
        """Every key; queries are the adapter's business."""
        return tuple(self.by_key)[:limit]

    def survey(self, jql: str, *, limit: int) -> tuple[Ticket, ...]:
        """Every ticket; queries are the adapter's business."""
        return self.tickets(tuple(self.by_key)[:limit])

    def sub_task_type(self, project_key: str, wanted: str | None) -> TicketType:
        """The project's only sub-task type."""
        return TicketType(id="10002", name="Sub-task", level=-1)

    def missing_create_fields(self, project_key: str, type_id: str, given: Sequence[str]) -> tuple[str, ...]:
        """What the create screen wants beyond what is given."""
        return tuple(name for name in self.missing if name not in given)

    def statuses(self, project_key: str) -> Mapping[str, tuple[Status, ...]]:
        """Every type has the same workflow."""
        return {type_id: tuple(self.workflow.values()) for type_id in ("10001", "10002")}

    def type_names(self) -> tuple[str, ...]:
        """Every type that a ticket has, and the sandbox's others."""
        return ("Story", "Spike", *(one.type.name for one in self.by_key.values()))

    def field_names(self) -> Mapping[str, str]:
        """Whatever field is asked for exists."""
        return {name: name for ticket in self.by_key.values() for name in ticket.fields}

    def unknown_accounts(self, account_ids: Sequence[str]) -> tuple[str, ...]:
        """Who is nobody."""
        return tuple(one for one in account_ids if one not in self.people)

    def editable_fields(self, key: str) -> frozenset[str]:
        """What the edit screen offers."""
        return self.editable

    def assignable(self, key: str, account_ids: Sequence[str]) -> frozenset[str]:
        """Who of these may be assigned."""
        return frozenset(account_ids) & self.people

    def transitions(self, key: str) -> tuple[Transition, ...]:
        """A move to every other status that is reachable."""
        here = self.by_key[key].status.name
        return tuple(
            Transition(
                id=f"t-{name}",
                name=f"Go to {name}",
                target=name,
                target_category=status.category,
                required_fields=self.required.get(name, ()),
            )
            for name, status in self.workflow.items()
            if name != here and name not in self.unreachable
        )

    def move(self, key: str, transition_id: str, fields: Mapping[str, object]) -> None:
        """Perform a transition."""

        def act() -> None:
            self.moved_with.append(fields)
            self.change_status(key, transition_id.removeprefix("t-"), self.me)

        self.line.pass_on("move", act)

    def edit(
        self,
        key: str,
        *,
        add_labels: Sequence[str] = (),
        remove_labels: Sequence[str] = (),
        assignee: Account | str | None = "keep",
    ) -> None:
        """Labels and assignee in one request."""

        def act() -> None:
            self.change_labels(key, add_labels, remove_labels, self.me)
            if assignee != "keep":
                self.change_assignee(key, assignee.id if isinstance(assignee, Account) else assignee, self.me)

        self.line.pass_on("edit", act)

    def assign(self, key: str, account_id: str | None) -> None:
        """The assignee alone."""
        self.line.pass_on("assign", lambda: self.change_assignee(key, account_id, self.me))

    def add_comment(self, key: str, body: CommentBody) -> str:
        """Write a comment."""
        return self.line.pass_on("add comment", lambda: self.say(key, self.me, body))

    def edit_comment(self, key: str, comment_id: str, body: CommentBody) -> None:
        """Replace a comment."""
        self.line.pass_on("edit comment", lambda: self.reword(key, comment_id, self.me, body))

    def create_sub_task(self, new: NewSubTask) -> str:
        """Create a sub-task; the parent knows it at once."""

        def act() -> str:
            key = f"ABC-{100 + len(self.by_key)}"
            now = self.clock.tick()
            parent = self.by_key[new.parent_key]
            self.by_key[key] = Ticket(
                key=key,
                id=key.removeprefix("ABC-"),
                project_key="ABC",
                project_id=new.project_id,
                type=self.sub_task_type("ABC", None),
                summary=new.summary,
                status=next(iter(self.workflow.values())),
                assignee=Account(id=new.assignee_id) if new.assignee_id else None,
                reporter=self.me,
                creator=self.me,
                labels=frozenset(new.labels),
                description=new.description,
                parent_key=new.parent_key,
                created=now,
                updated=now,
            )
            self.by_key[new.parent_key] = replace(parent, sub_task_keys=(*parent.sub_task_keys, key))
            return key

        return self.line.pass_on("create sub-task", act)

    def link(
        self, key: str, *, global_id: str, url: str, title: str, summary: str, is_resolved: bool
    ) -> None:
        """Create or update a remote link."""

        def act() -> None:
            self.clock.tick()
            links = {**self.by_key[key].remote_links, global_id: link_state(url, is_resolved)}
            self.by_key[key] = replace(self.by_key[key], remote_links=links)

        self.line.pass_on("link", act)

    def attach(self, key: str, name: str, data: bytes, media_type: str) -> str:
        """No test attaches files here."""
        raise NotImplementedError

    def attachment(self, attachment_id: str, *, limit: int) -> bytes:
        """No test reads files here."""
        raise NotImplementedError

    # --- what anybody can do --------------------------------------------------------------------------------

    def change_status(self, key: str, name: str, who: Account) -> None:
        """Move a ticket, with its line in the history."""
        old = self.by_key[key]
        change = Change(at=self.clock.tick(), author=who, field="status", old=old.status.name, new=name)
        self.by_key[key] = replace(old, status=self.workflow[name], history=(*old.history, change))

    def change_assignee(self, key: str, account_id: str | None, who: Account) -> None:
        """Give a ticket to somebody, with its line in the history."""
        old = self.by_key[key]
        change = Change(
            at=self.clock.tick(),
            author=who,
            field="assignee",
            old=old.assignee.name if old.assignee else "",
            new=account_id or "",
            old_id=old.assignee.id if old.assignee else "",
            new_id=account_id or "",
        )
        assignee = Account(id=account_id) if account_id else None
        self.by_key[key] = replace(old, assignee=assignee, history=(*old.history, change))

    def change_labels(self, key: str, add: Sequence[str], remove: Sequence[str], who: Account) -> None:
        """Add and remove labels, with one line in the history."""
        old = self.by_key[key]
        labels = (old.labels | set(add)) - set(remove)
        if labels == old.labels:
            return
        change = Change(
            at=self.clock.tick(),
            author=who,
            field="labels",
            old=" ".join(sorted(old.labels)),
            new=" ".join(sorted(labels)),
        )
        self.by_key[key] = replace(old, labels=labels, history=(*old.history, change))

    def say(self, key: str, who: Account, body: CommentBody) -> str:
        """Write a comment as anybody."""
        old = self.by_key[key]
        now = self.clock.tick()
        id_ = f"c{len(old.comments)}-{now}"
        comment = Comment(
            id=id_,
            author=who,
            editor=who,
            created=now,
            updated=now,
            text=body.markdown,
            code_blocks=tuple(body.collapsed),
            last_line=body.last_line,
        )
        self.by_key[key] = replace(old, comments=(*old.comments, comment))
        return id_

    def reword(self, key: str, comment_id: str, who: Account, body: CommentBody) -> None:
        """Edit a comment as anybody."""
        old = self.by_key[key]
        now = self.clock.tick()
        comments = tuple(
            replace(
                one,
                editor=who,
                updated=now,
                text=body.markdown,
                code_blocks=tuple(body.collapsed),
                last_line=body.last_line,
            )
            if one.id == comment_id
            else one
            for one in old.comments
        )
        self.by_key[key] = replace(old, comments=comments)


@dataclass
class FakeForge:
    """Port ``Forge`` in memory: branches over a graph of commits, and pull requests."""

    clock: Clock
    line: Line
    repository_: Repository
    heads: dict[str, str] = field(default_factory=dict)
    commits: dict[str, CommitInfo] = field(default_factory=dict)
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    dispatched: list[str] = field(default_factory=list)
    ended: dict[int, tuple[CommitInfo, ...]] = field(default_factory=dict)
    refused_reviewers: frozenset[str] = frozenset()
    has_drafts: bool = True

    def repository(self) -> Repository:
        """The only repository there is."""
        return self.repository_

    def file(self, path: str, *, ref: str) -> bytes | None:
        """There are no files."""
        return None

    def head(self, branch: str) -> str | None:
        """Where a branch is."""
        return self.heads.get(branch)

    def branch(self, name: str, *, base: str) -> Branch | None:
        """A branch with what is not on its base."""
        if name not in self.heads:
            return None
        known = set(self._line_of(self.heads[base]))
        fresh = [sha for sha in self._line_of(self.heads[name]) if sha not in known]
        return Branch(name=name, sha=self.heads[name], commits=tuple(self.commits[sha] for sha in fresh))

    def is_ahead(self, sha: str, *, of: str) -> bool:
        """Whether one commit lacks another."""
        return not set(self._line_of(sha)) <= set(self._line_of(of))

    def _line_of(self, sha: str) -> list[str]:
        """A commit and all before it, newest first."""
        found: dict[str, None] = {}
        waiting = [sha]
        while waiting:
            one = waiting.pop(0)
            if one in self.commits and one not in found:
                found[one] = None
                waiting += self.commits[one].parents
        return list(found)

    def pull_requests(self, *, head: str, detailed: bool) -> tuple[PullRequest, ...]:
        """Those of one branch, oldest first."""
        return tuple(self._fresh(one) for one in self.pulls.values() if one.head == head)

    def pull_request_commits(self, number: int) -> tuple[CommitInfo, ...]:
        """What one offers, or offered when it ended; oldest first."""
        return self.ended[number] if number in self.ended else self._beyond(self._fresh(self.pulls[number]))

    def _beyond(self, one: PullRequest) -> tuple[CommitInfo, ...]:
        known = set(self._line_of(self.heads[one.base])) if one.base in self.heads else set()
        fresh = [self.commits[sha] for sha in self._line_of(one.head_sha) if sha not in known]
        return tuple(reversed(fresh))

    def review_paths(self, number: int) -> Mapping[str, tuple[str, ...]]:
        """As the reviews say themselves."""
        return {review.id: review.paths for review in self.pulls[number].reviews}

    def files_of(self, sha: str) -> tuple[str, ...]:
        """The paths that a commit changed."""
        return self.commits[sha].files

    def pull_requests_onto(self, base: str) -> tuple[PullRequest, ...]:
        """Open ones that target this branch."""
        return tuple(
            self._fresh(one) for one in self.pulls.values() if one.base == base and one.state == "open"
        )

    def _fresh(self, one: PullRequest) -> PullRequest:
        head = self.heads.get(one.head, one.head_sha) if one.state == "open" else one.head_sha
        # Checks belong to a commit: a new head has none yet.
        checks = one.checks if head == one.head_sha else ()
        return replace(one, head_sha=head, checks=checks, base_exists=one.base in self.heads)

    def recent_pull_requests(self) -> tuple[PullRequestGlance, ...]:
        """None; sweeps are tested with the adapters."""
        return ()

    def create_pull_request(self, *, head: str, base: str, title: str, body: str, draft: bool) -> PullRequest:
        """Open one, or return the open one."""
        number = max(self.pulls, default=0) + 1

        def act() -> None:
            now = self.clock.tick()
            self.pulls[number] = PullRequest(
                number=number,
                url=f"https://github.example/acme/shop/pull/{number}",
                title=title,
                body=body,
                state="open",
                is_merged=False,
                is_draft=draft and self.has_drafts,
                head=head,
                head_sha=self.heads[head],
                base=base,
                author=self.repository_.login,
                is_ours=True,
                created=now,
                updated=now,
                is_detailed=True,
            )

        for one in self.pulls.values():
            if (one.head, one.base, one.state) == (head, base, "open"):
                return self._fresh(one)
        if base not in self.heads or head not in self.heads:
            raise Conflict("There is no such branch.")
        self.line.pass_on("open pull request", act)
        return self.pulls[number]

    def _change(self, name: str, number: int, **values: object) -> None:
        def act() -> None:
            self.clock.tick()
            self.pulls[number] = replace(self.pulls[number], **values)  # type: ignore[arg-type]  # checked by the dataclass's users

        self.line.pass_on(name, act)

    def update_pull_request(
        self, number: int, *, title: str | None = None, body: str | None = None, base: str | None = None
    ) -> None:
        """Change texts or target."""
        given = {"title": title, "body": body, "base": base}
        self._change(
            "edit pull request", number, **{name: one for name, one in given.items() if one is not None}
        )

    def set_draft(self, pull_request: PullRequest, *, draft: bool) -> None:
        """Draft or ready."""
        if draft and not self.has_drafts:
            raise Conflict("Drafts are not supported here.")
        self._change("set draft", pull_request.number, is_draft=draft)

    def add_labels(self, number: int, labels: Sequence[str]) -> None:
        """Add labels."""
        self._change("label pull request", number, labels=self.pulls[number].labels | set(labels))

    def request_reviewers(self, number: int, logins: Sequence[str]) -> tuple[str, ...]:
        """Ask for review; some are refused."""
        asked = tuple(one for one in logins if one not in self.refused_reviewers)
        known = self.pulls[number].requested_reviewers
        self._change("request review", number, requested_reviewers=(*known, *asked))
        return tuple(one for one in logins if one in self.refused_reviewers)

    def update_branch(self, number: int, *, expected_head: str) -> None:
        """Merge the base into the head."""
        one = self._fresh(self.pulls[number])
        if one.head_sha != expected_head:
            raise Conflict("The head moved.")
        if self.heads[one.base] in self._line_of(one.head_sha):
            raise Conflict("There are no new commits on the base branch.")

        def act() -> None:
            self.clock.tick()
            self.add_commit(one.head, f"Merge {one.base}\n", (one.head_sha, self.heads[one.base]))

        self.line.pass_on("update branch", act)

    def reply(self, pull_request: PullRequest, thread_id: str, body: str) -> None:
        """Answer in a thread."""
        answer = self._remark(body)
        threads = tuple(
            replace(thread, comments=(*thread.comments, answer)) if thread.id == thread_id else thread
            for thread in self.pulls[pull_request.number].threads
        )
        self._change("reply", pull_request.number, threads=threads)

    def comment(self, number: int, body: str) -> None:
        """Comment in the conversation."""
        comments = (*self.pulls[number].comments, self._remark(body))
        self._change("comment pull request", number, comments=comments)

    def retract(self, number: int, said: ReviewComment, *, is_inline: bool) -> None:
        """Remove a comment of ours."""
        one = self.pulls[number]
        threads = tuple(
            replace(thread, comments=tuple(each for each in thread.comments if each.id != said.id))
            for thread in one.threads
        )
        comments = tuple(each for each in one.comments if each.id != said.id)
        changed = {"threads": threads} if is_inline else {"comments": comments}
        self._change("retract", number, **changed)

    def _remark(self, body: str) -> ReviewComment:
        now = self.clock()
        id_ = f"g{len(self.line.sent)}"
        return ReviewComment(
            id=id_,
            node_id=id_,
            author=self.repository_.login,
            body=body,
            created=now,
            updated=now,
            is_ours=True,
            can_write=True,
        )

    def may_write(self, login: str) -> bool:
        """Everybody may."""
        return True

    def dispatch(self, payload: Mapping[str, str]) -> None:
        """Remember who was woken; not a write."""
        self.dispatched.append(payload["issue_key"])

    def is_run_alive(self, run_id: str) -> bool:
        """No other run is alive."""
        return False

    # --- what anybody can do --------------------------------------------------------------------------------

    def add_commit(self, branch: str, message: str, parents: Sequence[str], files: Sequence[str] = ()) -> str:
        """Put a commit on a branch."""
        sha = hashlib.sha1(repr((message, tuple(parents))).encode()).hexdigest()
        last = message.strip().split("\n\n")[-1].splitlines()
        trailers = dict(line.split(": ", 1) for line in last if ": " in line)
        self.commits[sha] = CommitInfo(
            sha=sha,
            message=message,
            trailers=trailers,
            parents=tuple(parents),
            committed=self.clock(),
            files=tuple(files),
        )
        self.heads[branch] = sha
        return sha

    def merge(self, number: int) -> None:
        """Merge a pull request as a person."""
        one = self._fresh(self.pulls[number])
        self.ended[number] = self._beyond(one)
        merged = self.add_commit(one.base, f"Merge #{number}\n", (self.heads[one.base], one.head_sha))
        self.close(number, is_merged=True, merge_sha=merged)

    def close(self, number: int, **more: object) -> None:
        """Close a pull request as a person."""
        one = self._fresh(self.pulls[number])
        self.ended.setdefault(number, self._beyond(one))
        now = self.clock.tick()
        closed = replace(one, state="closed", closed_at=now, closed_by="ron")
        self.pulls[number] = replace(closed, **more)  # type: ignore[arg-type]  # named by the callers above


@dataclass
class FakePublisher:
    """Port ``Publisher`` over the fake forge's graph of commits."""

    forge: FakeForge

    def base(self, start: str, paths: Sequence[str]) -> Base:
        """Trees are the real publisher's business."""
        raise NotImplementedError

    def publish(
        self,
        *,
        branch: str,
        start: str,
        expected: str | None,
        changes: Sequence[FileChange],
        message: str,
        when: datetime | None = None,
    ) -> str:
        """One commit, if the branch is where it was."""
        forge = self.forge
        if forge.heads.get(branch) != expected:
            raise MovedUnderUs(f"{branch} moved.")
        if not changes:
            raise Conflict("There is nothing to commit.")

        def act() -> str:
            forge.clock.tick()
            return forge.add_commit(branch, message, (start,), [change.path for change in changes])

        return forge.line.pass_on("push", act)


Model = Callable[[Work, str], Result]


@dataclass
class World:
    """A project, its repository, and runs in it."""

    tickets: FakeTickets
    forge: FakeForge
    publisher: FakePublisher
    policy: Policy
    clock: Clock
    line: Line
    asked: list[Phase] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    runs: int = 0

    @classmethod
    def of(cls, snapshot: Snapshot, policy: Policy) -> World:
        """The world in which a run would read this very snapshot."""
        clock, line = Clock(), Line()
        members = {one.ticket.key: one.ticket for one in snapshot.family}
        if snapshot.parent is not None:
            members[snapshot.parent.key] = snapshot.parent
        members[snapshot.ticket.key] = snapshot.ticket
        # Names of statuses that only this snapshot has are part of its workflow.
        workflow = {**WORKFLOW, **{one.status.name: one.status for one in members.values()}}
        tickets = FakeTickets(
            clock, line, snapshot.me, snapshot.assignable, by_key=members, workflow=workflow
        )
        forge = FakeForge(clock, line, snapshot.repository, heads=dict(snapshot.heads))
        for sha in snapshot.heads.values():
            forge.commits[sha] = CommitInfo(sha=sha, message="Base\n")
        pulls = [one.pull_request for one in snapshot.family if one.pull_request is not None]
        for pull in (*pulls, *snapshot.dependents, *snapshot.pull_requests):
            forge.pulls[pull.number] = pull
            forge.commits.setdefault(pull.head_sha, CommitInfo(sha=pull.head_sha, message="Head\n"))
            if pull.state == "open":
                forge.heads.setdefault(pull.head, pull.head_sha)
        if snapshot.branch is not None:
            forge.heads[snapshot.branch.name] = snapshot.branch.sha
            for commit in snapshot.branch.commits:
                forge.commits[commit.sha] = commit
        return cls(
            tickets=tickets,
            forge=forge,
            publisher=FakePublisher(forge),
            policy=policy,
            clock=clock,
            line=line,
        )

    def copy(self) -> World:
        """The same world on its own; records are frozen, so only their containers are copied."""
        clock, line = Clock(now=self.clock.now), Line(sent=list(self.line.sent))
        tickets = copy.copy(self.tickets)
        forge = copy.copy(self.forge)
        tickets.clock = forge.clock = clock
        tickets.line = forge.line = line
        tickets.by_key = dict(self.tickets.by_key)
        tickets.moved_with = []
        forge.heads, forge.commits = dict(self.forge.heads), dict(self.forge.commits)
        forge.pulls, forge.dispatched = dict(self.forge.pulls), list(self.forge.dispatched)
        forge.ended = dict(self.forge.ended)
        return World(
            tickets=tickets,
            forge=forge,
            publisher=FakePublisher(forge),
            policy=self.policy,
            clock=clock,
            line=line,
            runs=self.runs,
        )

    def gather(self, key: str) -> Snapshot:
        """Read what a run reads."""
        sources = Sources(tickets=self.tickets, forge=self.forge, policy=self.policy)
        return gather(key, sources, me=self.tickets.me, repository=self.forge.repository())

    def decide(self, key: str, delivered: Delivered | None = None, *, run: str = "test") -> Decision:
        """Read and decide."""
        return decide(
            self.gather(key), self.policy, self.clock(), delivered, info=RunInfo(run=run, url="https://run")
        )

    def applier(self, snapshot: Snapshot) -> Applier:
        """What applies effects to this world."""
        return Applier(
            tickets=self.tickets,
            forge=self.forge,
            publisher=self.publisher,
            policy=self.policy,
            snapshot=snapshot,
            redactor=Redactor(()),
            sleep=self.clock.sleep,
            log=lambda _: None,
        )

    def run(self, key: str, model: Model) -> Decision:
        """One run: read, decide, claim, ask, and then apply until nothing is due."""
        self.runs += 1
        run = f"{self.runs}.1"
        snapshot = self.gather(key)
        due = decide(snapshot, self.policy, self.clock(), info=RunInfo(run=run, url="https://run"))
        self.decisions.append(due)
        delivered = None
        if due.work is not None:
            self._apply(snapshot, due.claim)
            self.asked.append(due.work.phase)
            delivered = Delivered(work=due.work, result=model(due.work, run))
        for _ in range(MAX_RUNS):
            snapshot = self.gather(key)
            due = decide(
                snapshot, self.policy, self.clock(), delivered, info=RunInfo(run=run, url="https://run")
            )
            self.decisions.append(due)
            if due.work is not None:
                self.forge.dispatched.append(key)
                return due
            self._apply(snapshot, due.effects)
            if not due.again:
                return due
        raise AssertionError(f"{key} did not come to rest in one run: {due}")

    def _apply(self, snapshot: Snapshot, effects: Sequence[Effect]) -> None:
        self.applier(snapshot).apply(effects)

    def settle(self, key: str, model: Model) -> None:
        """Run until a run writes nothing, as the sweep would."""
        for _ in range(MAX_RUNS):
            before = len(self.line.sent)
            self.run(key, model)
            if len(self.line.sent) == before:
                return
        raise AssertionError(f"{key} did not come to rest in {MAX_RUNS} runs: {self.decisions[-1]}")

    def picture(self) -> dict[str, object]:
        """What people see, without what differs from run to run (ids, times, bills)."""
        shown: dict[str, object] = {}
        for key, ticket in self.tickets.by_key.items():
            shown[key] = {
                "status": ticket.status.name,
                "assignee": ticket.assignee.id if ticket.assignee is not None else None,
                "labels": sorted(ticket.labels),
                "comments": sorted(_kind_of(one) for one in ticket.comments),
                "links": dict(ticket.remote_links),
                "sub-tasks": sorted(
                    self.tickets.by_key[one].summary
                    for one in ticket.sub_task_keys
                    if one in self.tickets.by_key
                ),
            }
        for number, pull in self.forge.pulls.items():
            shown[f"#{number}"] = {
                "state": (pull.state, pull.is_merged, pull.is_draft),
                "way": (pull.head, pull.base),
                "title": pull.title,
                "labels": sorted(pull.labels),
                "said": (len(pull.comments), [len(thread.comments) for thread in pull.threads]),
                "reviewers": sorted(pull.requested_reviewers),
            }
        for name, head in self.forge.heads.items():
            shown[name] = len(self.forge._line_of(head))
        return shown


def _kind_of(comment: Comment) -> str:
    if not is_marker_line(comment.last_line):
        return "foreign"
    mark = from_line(comment.last_line)
    code = mark.code if mark.kind == "note" else mark.code.partition(":")[0]
    return f"{mark.kind}:{mark.number or code}"


# --- models -----------------------------------------------------------------------------------------------

ITEMS = tuple(
    Item(id=id_, title=f"Do {id_}", description=f"Do {id_} well.", files=(f"src/{id_}.py",))
    for id_ in ("alpha", "beta")
)
LATER = datetime(2026, 3, 3, tzinfo=UTC).timestamp()


def answer(work: Work, run: str, outcome: str) -> Result:
    """A plausible result of this outcome; ``work-outcome+variant`` names variants such as ``done+red``."""
    name, _, variant = outcome.partition("+")
    base = Result(
        key=work.key,
        phase=work.phase,
        run=run,
        input_digest=work.input_digest,
        start=work.start,
        outcome=name,  # type: ignore[arg-type]  # pydantic checks the word
        model="claude-opus-5-5",
        calls=2,
        tokens=1_000,
        summary="Rounded the prices.",
        over=variant if name == "budget" and variant in ("ticket", "parent") else "",  # type: ignore[arg-type]  # as above
        retry_at=LATER if outcome == "unavailable" else None,
    )
    return _planned(work, base) if work.phase is Phase.PLAN else _worked(work, base, variant)


def _planned(work: Work, base: Result) -> Result:
    answers = tuple(PointAnswer(id=point.id, verdict="done", text="Done so.") for point in work.feedback)
    match base.outcome:
        case "done":
            given = PlanAnswer(
                outcome="plan", summary="Rounds prices.", items=ITEMS, questions=(), answers=answers
            )
        case "asked":
            given = PlanAnswer(
                outcome="questions", summary="", items=(), questions=("Up or down?",), answers=()
            )
        case "not_ready":
            given = PlanAnswer(
                outcome="not_ready", summary="No goal is named.", items=(), questions=("A goal",), answers=()
            )
        case _:
            return base
    return base.model_copy(update={"plan": given})


def _worked(work: Work, base: Result, variant: str) -> Result:
    change = ChangeRecord.from_change(FileChange(path="src/alpha.py", content=b"x = 1\n"))
    is_red = variant == "red"
    update: dict[str, object] = {
        "answers": tuple(PointAnswer(id=one.id, verdict="done", text="Done so.") for one in work.feedback),
        "checks": (CheckRecord(id="unit", exit_code=1 if is_red else 0, seconds=1.0),),
        "baseline": (CheckRecord(id="unit", exit_code=0, seconds=1.0),),
    }
    if base.outcome == "asked":
        update["questions"] = ("Up or down?",)
    with_changes = base.outcome in ("done", "partial", "budget", "truncated", "stopped")
    if with_changes and variant != "empty":
        update["changes"] = (change,)
    return base.model_copy(update=update)


def model(outcome: str) -> Model:
    """A model that always ends so."""
    return lambda work, run: answer(work, run, outcome)
