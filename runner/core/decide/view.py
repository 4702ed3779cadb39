"""Facts read out of a snapshot, each computed once. Every rule looks at the world through this."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from runner.core import phases
from runner.core.digests import content_digest, input_digest
from runner.core.effects import is_attempt
from runner.core.feedback import (
    Feedback,
    changes_requested,
    check_points,
    comment_points,
    is_demand_standing,
    pull_request_points,
)
from runner.core.markers import (
    Kind,
    LedgerEntry,
    Marker,
    PullRequestRecord,
    Seen,
    UnreadableMarkerError,
    from_hidden,
    from_line,
    is_marker_line,
    merge_ledgers,
)
from runner.core.model import Account, Change, Comment, CommitInfo, PullRequest, Snapshot, Ticket, WorkItem
from runner.core.phases import State
from runner.core.plan import Item, Plan, parse_plan
from runner.core.policy import Policy
from runner.core.sharing import Contribution, owner_of

PLAN_BLOCK = "Plan data"
ISSUE_TRAILER = "Jira-Issue"
RUN_TRAILER = "AI-Runner-Run"
INPUT_TRAILER = "AI-Runner-Input"
OUTCOME_TRAILER = "AI-Runner-Outcome"


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A trusted comment of ours with what it records."""

    comment: Comment
    marker: Marker


@dataclass(frozen=True, kw_only=True)
class View:
    """One ticket as the rules see it. ``now`` is ISO 8601 in UTC; ``bill`` is that of a run which ends in a failure."""

    snapshot: Snapshot
    policy: Policy
    now: str
    run: str = ""
    run_url: str = ""
    jira_url: str = ""
    waits_for_approval: bool = False
    bill: LedgerEntry | None = None

    # --- the ticket -------------------------------------------------------------------------------------

    @property
    def ticket(self) -> Ticket:
        """The run's own ticket."""
        return self.snapshot.ticket

    @property
    def key(self) -> str:
        """The ticket's key."""
        return self.ticket.key

    def url_of(self, key: str) -> str:
        """Where a person opens a ticket."""
        return f"{self.jira_url}/browse/{key}" if self.jira_url else key

    @cached_property
    def ours(self) -> frozenset[str]:
        """The runner's account, and those it had before."""
        return self.snapshot.former | {self.snapshot.me.id}

    @cached_property
    def state(self) -> State:
        """Where the ticket stands."""
        return phases.state_of(self.ticket, self.policy)

    @cached_property
    def is_mine(self) -> bool:
        """Whether the ticket is assigned to the runner."""
        return self.ticket.assignee is not None and self.ticket.assignee.id == self.snapshot.me.id

    def has_label(self, name: str) -> bool:
        """Whether the ticket carries this label of ours."""
        return self.policy.label(name) in self.ticket.labels

    def has_family_label(self, name: str) -> bool:
        """Whether the ticket or its parent carries a label that people set."""
        parent = self.snapshot.parent
        return self.has_label(name) or (parent is not None and self.policy.label(name) in parent.labels)

    @cached_property
    def attempts(self) -> int:
        """How many attempts the claims have counted."""
        return phases.attempts(self.ticket, self.policy)

    # --- what kind of ticket ----------------------------------------------------------------------------

    @cached_property
    def item_id(self) -> str | None:
        """The plan item this sub-task of ours stands for."""
        return item_of(self.ticket, self.ours)

    @cached_property
    def is_direct(self) -> bool:
        """Whether the ticket is worked on without a plan: by its type or label, before any plan exists."""
        types = {name.casefold() for name in self.policy.jira.direct_types}
        wanted = self.ticket.type.name.casefold() in types or self.has_label(phases.DIRECT)
        return wanted and self.newest(Kind.PLAN) is None and self.item_id is None

    @cached_property
    def is_work_ticket(self) -> bool:
        """A sub-task of ours, or a direct ticket."""
        return self.item_id is not None or self.is_direct

    @cached_property
    def is_parent(self) -> bool:
        """A ticket that is planned: hierarchy level 0, not worked on directly."""
        return self.ticket.type.level == 0 and not self.is_work_ticket

    # --- markers ----------------------------------------------------------------------------------------

    @cached_property
    def trail(self) -> tuple[Marked, ...]:
        """Our trusted comments on the ticket, by their last change, oldest first. Raises UnreadableMarkerError: unknown stops writes."""
        return self._trail_of(self.ticket)

    def _trail_of(self, ticket: Ticket) -> tuple[Marked, ...]:
        keys = {ticket.key, *ticket.former_keys}
        found = [
            Marked(comment=comment, marker=marker)
            for comment in ticket.comments
            if (marker := self._trusted(comment)) is not None
            and marker.key in keys
            and marker.repository.casefold() == self.snapshot.repository.name.casefold()
        ]
        return tuple(sorted(found, key=lambda one: one.comment.updated))

    def _trusted(self, comment: Comment) -> Marker | None:
        if comment.author.id not in self.ours or comment.editor.id not in self.ours:
            return None
        if not is_marker_line(comment.last_line):
            return None
        try:
            return from_line(comment.last_line)
        except UnreadableMarkerError as exc:
            when = comment.created[:16].replace("T", " ")
            raise UnreadableMarkerError(
                f"{exc.summary} It was written {when} UTC.", remedy=exc.remedy, detail=exc.detail
            ) from exc

    def newest(self, *kinds: Kind) -> Marked | None:
        """The newest of our comments of these kinds."""
        return next((marked for marked in reversed(self.trail) if marked.marker.kind in kinds), None)

    @cached_property
    def last_word(self) -> Marked | None:
        """The newest comment of ours that ended a phase; progress, notes and an attempt that failed do not count."""
        silent = (Kind.PROGRESS, Kind.NOTE)
        ends = [
            marked
            for marked in self.trail
            if marked.marker.kind not in silent and not is_attempt(marked.marker)
        ]
        return ends[-1] if ends else None

    def has_note(self, code: str) -> bool:
        """Whether we said this already."""
        return any(marked.marker.kind is Kind.NOTE and marked.marker.code == code for marked in self.trail)

    @cached_property
    def consumed_runs(self) -> frozenset[str]:
        """Runs whose end is already recorded on the ticket; one that failed on its way there has not ended."""
        ends = (Kind.HANDOVER, Kind.FAILURE, Kind.QUESTIONS)
        told = [one.marker for one in self.trail if one.marker.kind in ends and not is_attempt(one.marker)]
        return frozenset(
            marker.run for marker in told if marker.code.partition("+")[0] not in ("final", "failed")
        )

    # --- the plan ---------------------------------------------------------------------------------------

    @cached_property
    def plan_comment(self) -> Marked | None:
        """The newest trusted plan comment, of the parent for a sub-task."""
        if self.item_id is None:
            return self.newest(Kind.PLAN)
        parent = self.snapshot.parent
        trail = self._trail_of(parent) if parent is not None else ()
        return next((one for one in reversed(trail) if one.marker.kind is Kind.PLAN), None)

    @cached_property
    def plan(self) -> Plan | None:
        """The newest plan, if its machine form is whole and fits the digest its marker records."""
        if self.plan_comment is None:
            return None
        blocks = dict(self.plan_comment.comment.code_blocks)
        name = self.plan_comment.marker.attachment
        text = blocks.get(PLAN_BLOCK) or self.snapshot.attachment_texts.get(name, "")
        plan = parse_plan(text)
        if plan is None or plan.digest != self.plan_comment.marker.plan_digest:
            raise UnreadableMarkerError(
                "The plan comment's machine form is damaged, so what was approved is unknown.",
                remedy="Nothing was changed. Delete the plan comment to get a new plan.",
            )
        return plan

    @cached_property
    def plan_file(self) -> str:
        """The attachment that holds the newest plan's machine form; empty when the comment itself holds it."""
        if self.plan_comment is not None:
            return self.plan_comment.marker.attachment
        return self._named_by(self.edited_plan) if self.edited_plan is not None else ""

    @staticmethod
    def _named_by(comment: Comment) -> str:
        try:
            return from_line(comment.last_line).attachment
        except UnreadableMarkerError:
            return ""

    @cached_property
    def edited_plan(self) -> Comment | None:
        """The newest plan comment of ours, if somebody else changed it last."""
        said = self._plan_comments
        return said[-1] if said and said[-1].editor.id not in self.ours else None

    @cached_property
    def plan_count(self) -> int:
        """How many versions of the plan people have read, those that somebody edited later included."""
        trusted = sum(one.marker.kind is Kind.PLAN for one in self.trail)
        return trusted + sum(comment.editor.id not in self.ours for comment in self._plan_comments)

    @cached_property
    def _plan_comments(self) -> tuple[Comment, ...]:
        """Plan comments that we wrote, whoever changed them since; what they say carries no authority."""
        mine = [comment for comment in self.ticket.comments if comment.author.id in self.ours]
        return tuple(one for one in mine if one.last_line.startswith("ai-runner v1 plan "))

    @cached_property
    def previous_plan(self) -> Plan | None:
        """The plan a revision starts from; an edited plan comment still names the ids, which carry no authority."""
        if self.edited_plan is not None:
            block = dict(self.edited_plan.code_blocks).get(PLAN_BLOCK, "")
            return parse_plan(block or self.snapshot.attachment_texts.get(self.plan_file, ""))
        return self.plan

    @cached_property
    def item(self) -> Item | None:
        """The plan item of this sub-task."""
        plan = self.plan if self.item_id is not None else None
        return plan.item(self.item_id) if plan is not None and self.item_id is not None else None

    # --- history ----------------------------------------------------------------------------------------

    @cached_property
    def approval(self) -> Change | None:
        """The last entry of the ticket into In Progress, whoever made it.

        The changelog names statuses as they were called then, and in the site's language, so where the ticket
        stands in that status now, its id tells as well.
        """
        names = phases.names_for(State.IN_PROGRESS, phases.statuses_of(self.ticket, self.policy)) or ()
        folded = {name.casefold() for name in names}
        now = self.ticket.status.id if self.state is State.IN_PROGRESS else ""
        moves = [
            one
            for one in self.ticket.history
            if one.field == "status" and (one.new.casefold() in folded or (now and one.new_id == now))
        ]
        return moves[-1] if moves else None

    @cached_property
    def assigned_to_me(self) -> Change | None:
        """The last time a person gave the ticket to the runner."""
        return last_assignment(self.ticket, self.snapshot.me)

    # --- branch and pull request ------------------------------------------------------------------------

    @cached_property
    def shares(self) -> bool:
        """Whether this sub-task's work goes to the branch and pull request of its parent."""
        is_member = self.item_id is not None and self.ticket.parent_key is not None
        return is_member and self.policy.sequence == "shared"

    @property
    def home(self) -> str:
        """The ticket that branch and pull request are named after: this one, or the parent whose they share."""
        parent = self.ticket.parent_key
        return parent if self.shares and parent is not None else self.key

    @property
    def branch_name(self) -> str:
        """The branch that holds the ticket's work."""
        return self.snapshot.branch_of(self.home)

    def key_of(self, branch: str) -> str | None:
        """The ticket that a branch of ours belongs to, by its key of today; ``None`` for anybody else's branch."""
        key = phases.key_of_branch(branch)
        return self.snapshot.present_key(key) if key is not None else None

    @cached_property
    def branch_pull_request(self) -> PullRequest | None:
        """The newest pull request of that branch that this runner opened, whoever's work is in it."""
        mine = [one for one in self.snapshot.pull_requests if one.is_ours]
        return mine[-1] if mine else None

    @cached_property
    def pull_request(self) -> PullRequest | None:
        """The newest pull request of ours that holds this ticket's work; a parent has none of its own."""
        if not self.is_work_ticket:
            return None
        if not self.shares:
            return self.branch_pull_request
        mine = [one for one in self.snapshot.pull_requests if one.is_ours and self._is_in(one)]
        return mine[-1] if mine else None

    def _is_in(self, pull_request: PullRequest) -> bool:
        return any(one.key == self.key for one in self.contributions(pull_request))

    def contributions(self, pull_request: PullRequest) -> tuple[Contribution, ...]:
        """The commits that runs of this family made in a shared pull request, oldest first."""
        family = {one.ticket.key for one in self.snapshot.family}
        return tuple(
            Contribution(key=key, commit=commit)
            for commit in self.snapshot.offered.get(pull_request.number, ())
            if INPUT_TRAILER in commit.trailers
            and (key := self.snapshot.present_key(commit.trailers.get(ISSUE_TRAILER, ""))) in family
        )

    @cached_property
    def open_pull_request(self) -> PullRequest | None:
        """The pull request, while it is open."""
        return (
            self.pull_request if self.pull_request is not None and self.pull_request.state == "open" else None
        )

    @cached_property
    def record(self) -> PullRequestRecord | None:
        """The hidden facts of the pull request."""
        found = from_hidden(self.pull_request.body) if self.pull_request is not None else None
        return found if found is not None and found.key in self.snapshot.keys_of(self.home) else None

    @cached_property
    def own_commit(self) -> CommitInfo | None:
        """The newest commit of ours on the ticket's branch."""
        commits = self.snapshot.branch.commits if self.snapshot.branch is not None else ()
        return next((commit for commit in commits if self._is_own(commit)), None)

    def _is_own(self, commit: CommitInfo) -> bool:
        """A commit of ours for this very ticket; a stacked branch also holds those of its predecessor."""
        mine = self.snapshot.keys_of(self.key)
        return INPUT_TRAILER in commit.trailers and commit.trailers.get(ISSUE_TRAILER) in mine

    @cached_property
    def head_is_ours(self) -> bool:
        """Whether the head commit of the branch is one of ours."""
        branch = self.snapshot.branch
        return branch is not None and bool(branch.commits) and self._is_own(branch.commits[0])

    # --- feedback and digests ---------------------------------------------------------------------------

    @cached_property
    def seen(self) -> Seen:
        """Everything that our markers say was taken into account; a shared pull request's record speaks of others, too."""
        total = self.record.seen if self.record is not None and not self.shares else Seen()
        for marked in self.trail:
            total = total.union(marked.marker.seen)
        return total

    @cached_property
    def points(self) -> tuple[Feedback, ...]:
        """Every point of feedback that exists, read or not."""
        found = list(comment_points(self.ticket.comments, self.ours))
        if self.open_pull_request is not None:
            found += filter(self._is_for_me, pull_request_points(self.open_pull_request))
        return tuple(found)

    def _is_for_me(self, point: Feedback) -> bool:
        """Whether a point on the pull request is this ticket's to answer."""
        pull_request = self.open_pull_request
        if not self.shares or pull_request is None:
            return True
        return owner_of(point, self.contributions(pull_request)) == self.key

    @cached_property
    def unread(self) -> tuple[Feedback, ...]:
        """Points that no run has taken into account, in this version."""
        fresh = [point for point in self.points if not self.seen.covers(point.id, point.version)]
        return (*fresh, *self.changed_ticket)

    @cached_property
    def changed_ticket(self) -> tuple[Feedback, ...]:
        """The ticket's own text as a point, when it differs from what the last run worked from."""
        known = self.seen.items.get("ticket")
        if known is None or known == self.content_digest:
            return ()
        text = f"The ticket itself was changed. It now reads:\n\n{self.ticket.summary}\n\n{self.ticket.description}"
        return (Feedback(id="ticket", source="ticket", version=self.content_digest, author="", text=text),)

    @cached_property
    def is_asked_to_revise(self) -> bool:
        """Whether a person wants the work changed: by giving it back with words, or by requesting changes."""
        return self._is_demanded or (self.is_mine and bool(self.unread))

    @cached_property
    def _is_demanded(self) -> bool:
        """Whether a review demands changes; on a shared pull request, of the sub-task that has a point to answer."""
        pull_request = self.open_pull_request
        if pull_request is None:
            return False
        if not self.shares:
            return changes_requested(pull_request, self.seen)
        on_forge = [point for point in self.unread if point.source not in ("comment", "ticket")]
        return bool(on_forge) and is_demand_standing(pull_request)

    @cached_property
    def failed_checks(self) -> tuple[Feedback, ...]:
        """Checks that failed on our own head and were not looked at yet.

        Past the cap only a person's demand counts: it begins a new series, which looks at the checks as well.
        """
        pull_request, record = self.open_pull_request, self.record
        if pull_request is None or record is None or not self.head_is_ours:
            return ()
        if record.check_fixes >= self.policy.caps.check_fixes and not self.is_asked_to_revise:
            return ()
        return tuple(one for one in check_points(pull_request) if not self.seen.covers(one.id, one.version))

    @cached_property
    def content_digest(self) -> str:
        """What people wrote into the ticket's own fields."""
        return content_digest(self.ticket, self.ours)

    @cached_property
    def input_digest(self) -> str:
        """What a model's answer for this ticket depends on."""
        accepted = [
            one for one in self.ticket.comments if not one.is_restricted and one.editor.id not in self.ours
        ]
        people = [comment for comment in accepted if comment.editor.is_person]
        plan = self.plan_comment.marker.plan_digest if self.item_id is not None and self.plan_comment else ""
        return input_digest(
            self.content_digest,
            people,
            self.policy.digest,
            self.snapshot.prompts_digest,
            plan,
            sorted((point.id, point.version) for point in self.points if point.source != "comment"),
        )

    def taken_into_account(self, extra: Iterable[Feedback] = ()) -> Seen:
        """What a run that starts now will have seen."""
        items = [(point.id, point.version) for point in (*self.points, *extra)]
        return self.seen.with_items([*items, ("ticket", self.content_digest)])

    @cached_property
    def ledger(self) -> tuple[LedgerEntry, ...]:
        """Every run on this ticket that a marker records, and the one that just ended."""
        own = self.record.ledger if self.record is not None and not self.shares else ()
        ended = (self.bill,) if self.bill is not None else ()
        return merge_ledgers(*(marked.marker.ledger for marked in self.trail), own, ended)

    @cached_property
    def parent_ledger(self) -> tuple[LedgerEntry, ...]:
        """Every run on the parent and its sub-tasks that was read."""
        parent = self.snapshot.parent
        trail = self._trail_of(parent) if parent is not None else self.trail
        theirs = (marked.marker.ledger for marked in trail)
        return merge_ledgers(self.ledger, *theirs, *self.snapshot.family_ledgers.values(), keep=None)

    @cached_property
    def ticket_budget_since(self) -> str:
        """From when on runs count against the ticket's budget: a person took the over-budget label off."""
        return self._lifted(self.ticket)

    @cached_property
    def parent_budget_since(self) -> str:
        """The same for the parent's budget; lifting it on a sub-task lifts it for the family from then on."""
        parent = self.snapshot.parent
        return max(self._lifted(self.ticket), self._lifted(parent) if parent is not None else "")

    def _lifted(self, ticket: Ticket) -> str:
        label = self.policy.label(phases.OVER_BUDGET)
        removals = (
            change.at
            for change in ticket.history
            if change.field == "labels"
            and label in change.old.split()
            and label not in change.new.split()
            and change.author.is_person
            and change.author.id not in self.ours
        )
        return max(removals, default="")

    def marker(self, kind: Kind) -> Marker:
        """A marker of this run for this ticket; the caller replaces what it knows."""
        return Marker(kind=kind, key=self.key, repository=self.snapshot.repository.name, run=self.run)


def item_of(ticket: Ticket, ours: frozenset[str]) -> str | None:
    """The item a sub-task of ours is bound to: by its label, and only if the runner created it."""
    if not ticket.type.is_sub_task or ticket.creator is None or ticket.creator.id not in ours:
        return None
    prefix = phases.item_label("")
    ids = sorted(label.removeprefix(prefix) for label in ticket.labels if label.startswith(prefix))
    return ids[0] if ids else None


def last_assignment(ticket: Ticket, me: Account) -> Change | None:
    """The last time a person assigned the ticket to the runner."""
    for change in reversed(ticket.history):
        if (
            change.field == "assignee"
            and change.new_id == me.id
            and change.author.is_person
            and change.author.id != me.id
        ):
            return change
    return None


def family_of(items: tuple[WorkItem, ...], ours: frozenset[str]) -> dict[str, WorkItem]:
    """Our sub-tasks by item id; for duplicates the oldest one counts."""
    found: dict[str, WorkItem] = {}
    for one in sorted(items, key=lambda item: int(item.ticket.id) if item.ticket.id.isdigit() else 0):
        item_id = item_of(one.ticket, ours)
        if item_id is not None:
            found.setdefault(item_id, one)
    return found
