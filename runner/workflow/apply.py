"""Apply effects: one short function each. Every one first asks whether it is already true.

The snapshot that was just read answers that question. When a write's answer is lost, the state is read
back after a wait before the write is sent once more; no POST is repeated blindly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from runner.core import phases
from runner.core.decide.view import item_of
from runner.core.effects import (
    AnswerThread,
    AttachFile,
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
    WithdrawComment,
    identity,
)
from runner.core.markers import Kind, from_line, is_marker_line, to_line
from runner.core.model import Comment, PullRequest, Snapshot, Status, Ticket, TicketType
from runner.core.phases import State
from runner.core.policy import Policy
from runner.core.redact import Redactor
from runner.errors import Ambiguous, ConfigError, Conflict, GaveUp, NotFound, Unavailable
from runner.ports import CommentBody, Forge, NewSubTask, Publisher, Tickets, Transition
from runner.workflow.precheck import unfit_create_screen

READ_BACK_WAITS = (1.0, 3.0, 7.0)


@dataclass(kw_only=True)
class Applier:
    """Applies the effects of one decision to one freshly read snapshot.

    ``sleep`` waits before a read-back; ``applied`` counts the writes that were really sent.
    """

    tickets: Tickets
    forge: Forge | None
    publisher: Publisher | None
    policy: Policy
    snapshot: Snapshot
    redactor: Redactor
    sleep: Callable[[float], None]
    log: Callable[[str], None]
    writes: int = 0
    pushes: int = 0
    dispatched: list[str] = field(default_factory=list)
    _editable: frozenset[str] | None = None
    _kind: TicketType | None = None

    def apply(self, effects: Iterable[Effect]) -> None:
        """Apply in order; the first failure ends it, and the next run goes on from what is true by then."""
        for effect in effects:
            self._apply_one(effect)

    def _apply_one(self, effect: Effect) -> None:
        match effect:
            case EditTicket():
                self._edit_ticket(effect)
            case MoveTo():
                self._move(effect)
            case PutComment():
                self._put_comment(effect)
            case WithdrawComment():
                self._withdraw(effect)
            case AttachFile():
                self._attach(effect)
            case CreateSubTask():
                self._create_sub_task(effect)
            case Push():
                self._push(effect)
            case OpenPullRequest():
                self._open_pull_request(effect)
            case EditPullRequest():
                self._edit_pull_request(effect)
            case DressPullRequest():
                known = self._known(effect.number)
                self._dress(known, labels=effect.labels, reviewers=effect.reviewers)
            case SetDraft():
                self._set_draft(effect)
            case UpdateBranch():
                self._update_branch(effect)
            case AnswerThread():
                self._answer_thread(effect)
            case CommentPullRequest():
                self._comment_pull_request(effect)
            case RetractAnswer():
                self._retract_answer(effect)
            case LinkPullRequest():
                self._link(effect)
            case Dispatch():
                self._dispatch(effect)

    def _write(
        self, what: str, send: Callable[[], object], is_true: Callable[[], bool] | None = None
    ) -> None:
        """Send one write. A lost answer is read back; if the write did not arrive, it is sent once more."""
        self.writes += 1
        self.log(what)
        try:
            send()
        except Ambiguous:
            if is_true is None:
                raise
            for wait in READ_BACK_WAITS:
                self.sleep(wait)
                if is_true():
                    return
            send()

    @property
    def _github(self) -> Forge:
        if self.forge is None:
            raise ConfigError("This stage has no token for GitHub.", remedy="Run the stage `publish`.")
        return self.forge

    def _mask(self, text: str) -> str:
        return self.redactor.mask(text)

    # --- the ticket -------------------------------------------------------------------------------------

    def _edit_ticket(self, effect: EditTicket) -> None:
        ticket = self.snapshot.ticket
        add = tuple(label for label in effect.add if label not in ticket.labels)
        remove = tuple(label for label in effect.remove if label in ticket.labels and label not in effect.add)
        present = ticket.assignee.id if ticket.assignee is not None else None
        assignee: str | None = "keep" if effect.assignee in ("keep", present) else effect.assignee
        if not add and not remove and assignee == "keep":
            return
        if "labels" not in self._editable_fields():
            raise ConfigError(
                f"The edit screen of {ticket.key} does not let this account change the field Labels.",
                remedy=f"Add Labels to the edit screen of the issue type {ticket.type.name} in project {ticket.project_key}.",
            )
        apart = assignee != "keep" and "assignee" not in self._editable_fields()
        in_one = "keep" if apart else assignee
        if add or remove or in_one != "keep":
            self._write(
                f"labels +{list(add)} -{list(remove)}, assignee {in_one}",
                lambda: self.tickets.edit(ticket.key, add_labels=add, remove_labels=remove, assignee=in_one),
                lambda: self._stands(add, remove, in_one),
            )
        if apart:
            self._write(f"assignee {assignee}", lambda: self.tickets.assign(ticket.key, assignee))

    def _stands(self, add: tuple[str, ...], remove: tuple[str, ...], assignee: str | None) -> bool:
        """Whether the ticket has these labels and this assignee by now."""
        now = self.tickets.ticket(self.snapshot.ticket.key)
        held_by = now.assignee.id if now.assignee is not None else None
        is_held = assignee in ("keep", held_by)
        return now.labels.issuperset(add) and not now.labels & set(remove) and is_held

    def _editable_fields(self) -> frozenset[str]:
        if self._editable is None:
            self._editable = self.tickets.editable_fields(self.snapshot.ticket.key)
        return self._editable

    def _move(self, effect: MoveTo) -> None:
        ticket, policy = self.snapshot.ticket, self.policy
        statuses = phases.statuses_of(ticket, policy)
        if phases.names_for(effect.state, statuses) is None and effect.state is State.PLAN_REVIEW:
            # Without that status a plan waits in the backlog, so that it can be approved by a move to In Progress.
            effect = replace(effect, state=State.BACKLOG)
        if (
            phases.matches(ticket.status, effect.state, statuses)
            or phases.names_for(effect.state, statuses) is None
        ):
            return
        try:
            transition = self._transition(effect, ticket)
            defaults = policy.jira.field_defaults.transition
            missing = [name for name in transition.required_fields if name not in defaults]
            if missing:
                raise ConfigError(
                    f"The move of {ticket.key} to “{transition.target}” needs the fields {', '.join(missing)}.",
                    remedy="Give them a value under `jira.field_defaults.transition`, or make them optional in the workflow.",
                )
            fields = {name: defaults[name] for name in transition.required_fields}
            self._write(
                f"move {ticket.key} to {transition.target}",
                lambda: self.tickets.move(ticket.key, transition.id, fields),
                lambda: phases.matches(self.tickets.ticket(ticket.key).status, effect.state, statuses),
            )
        except (ConfigError, Conflict) as exc:
            if not effect.is_optional:
                raise
            self.log(f"not moved: {exc.summary}")

    def _transition(self, effect: MoveTo, ticket: Ticket) -> Transition:
        offered = self.tickets.transitions(ticket.key)
        statuses = phases.statuses_of(ticket, self.policy)
        wanted = phases.names_for(effect.state, statuses) or ()
        order = {" ".join(name.casefold().split()): at for at, name in enumerate(wanted)}
        fitting = [one for one in offered if phases.matches(_status(one), effect.state, statuses)]
        if not fitting:
            targets = ", ".join(f"“{one.target}”" for one in offered) or "none"
            raise ConfigError(
                f"{ticket.key} cannot be moved from “{ticket.status.name}” to “{wanted[0] if wanted else effect.state}”: "
                f"Jira offers this account only {targets}.",
                remedy="Add the transition to the workflow, let the runner's account use it, or name your status "
                f"under `jira.statuses` ({effect.state}).",
            )
        return min(fitting, key=lambda one: order.get(" ".join(one.target.casefold().split()), len(order)))

    def _put_comment(self, effect: PutComment) -> None:
        existing = self._own_comment(effect, self.snapshot.ticket.comments)
        body = CommentBody(
            markdown=self._mask(effect.markdown), collapsed=effect.collapsed, last_line=to_line(effect.marker)
        )
        key = effect.key
        if existing is None:
            self._write(
                f"comment {effect.marker.kind}",
                lambda: self.tickets.add_comment(key, body),
                lambda: self._own_comment(effect, self.tickets.ticket(key).comments) is not None,
            )
            return
        is_single = effect.marker.kind in (Kind.PROGRESS, Kind.FAILURE)
        if is_single and existing.last_line.strip() != body.last_line:
            self._write(
                f"edit comment {effect.marker.kind}",
                lambda: self.tickets.edit_comment(key, existing.id, body),
            )

    def _withdraw(self, effect: WithdrawComment) -> None:
        stored = {one.id: one.last_line.strip() for one in self.snapshot.ticket.comments}
        body = CommentBody(markdown=effect.markdown, last_line=to_line(effect.marker))
        if stored.get(effect.comment_id, body.last_line) != body.last_line:
            self._write(
                f"withdraw comment {effect.comment_id}",
                lambda: self.tickets.edit_comment(effect.key, effect.comment_id, body),
            )

    def _own_comment(self, effect: PutComment, comments: Iterable[Comment]) -> Comment | None:
        ours = self.snapshot.former | {self.snapshot.me.id}
        wanted = identity(effect.marker)
        for comment in comments:
            trusted = (
                comment.author.id in ours and comment.editor.id in ours and is_marker_line(comment.last_line)
            )
            if trusted:
                marker = from_line(comment.last_line)
                same_place = marker.repository.casefold() == effect.marker.repository.casefold()
                if same_place and identity(marker) == wanted:
                    return comment
        return None

    def _attach(self, effect: AttachFile) -> None:
        if self._carries(effect.name, self.snapshot.ticket):
            return
        data = self._mask(effect.text).encode()
        self._write(
            f"attach {effect.name}",
            lambda: self.tickets.attach(effect.key, effect.name, data, effect.media_type),
            lambda: self._carries(effect.name, self.tickets.ticket(effect.key)),
        )

    def _carries(self, name: str, ticket: Ticket) -> bool:
        ours = self.snapshot.former | {self.snapshot.me.id}
        return any(one.name == name and one.author.id in ours for one in ticket.attachments)

    def _create_sub_task(self, effect: CreateSubTask) -> None:
        ours = self.snapshot.former | {self.snapshot.me.id}
        if any(item_of(one.ticket, ours) == effect.item_id for one in self.snapshot.family):
            return
        parent = self.snapshot.ticket
        defaults = self.policy.jira.field_defaults.create
        kind = self._creatable_type()
        new = NewSubTask(
            parent_key=parent.key,
            project_id=parent.project_id,
            type_id=kind.id,
            summary=self._mask(effect.summary),
            description=self._mask(effect.description),
            labels=(phases.MANAGED, phases.item_label(effect.item_id)),
            assignee_id=self.snapshot.me.id,
            fields=defaults,
        )
        self._write(
            f"create sub-task {effect.item_id}",
            lambda: self.tickets.create_sub_task(new),
            lambda: self._sub_task_exists(effect, ours),
        )

    def _creatable_type(self) -> TicketType:
        """The sub-task type, once its create screen was found to take what we give; asked once for all of a plan."""
        if self._kind is not None:
            return self._kind
        project = self.snapshot.ticket.project_key
        kind = self.tickets.sub_task_type(project, self.policy.jira.sub_task_type)
        defaults = self.policy.jira.field_defaults.create
        given = ("labels", "assignee", "parent", "summary", "description", *defaults)
        missing = self.tickets.missing_create_fields(project, kind.id, given)
        if missing:
            raise unfit_create_screen(f"{kind.name} in project {project}", missing)
        self._kind = kind
        return kind

    def _sub_task_exists(self, effect: CreateSubTask, ours: frozenset[str]) -> bool:
        keys = self.tickets.ticket(effect.parent_key).sub_task_keys
        return any(item_of(ticket, ours) == effect.item_id for ticket in self.tickets.tickets(keys))

    def _link(self, effect: LinkPullRequest) -> None:
        known = self.snapshot.ticket.remote_links.get(effect.global_id)
        if known == link_state(effect.url, effect.is_resolved):
            return
        self._write(
            f"link {effect.title}",
            lambda: self.tickets.link(
                effect.key,
                global_id=effect.global_id,
                url=effect.url,
                title=effect.title,
                summary=self._mask(self.snapshot.ticket.summary),
                is_resolved=effect.is_resolved,
            ),
            lambda: effect.global_id in self.tickets.ticket(effect.key).remote_links,
        )

    # --- the repository ---------------------------------------------------------------------------------

    def _push(self, effect: Push) -> None:
        publisher = self.publisher
        if publisher is None:
            raise ConfigError("This stage may not push.", remedy="Run the stage `publish`.")
        self.pushes += 1
        self._write(
            f"push {effect.branch}",
            lambda: publisher.publish(
                branch=effect.branch,
                start=effect.start,
                expected=effect.expected,
                changes=effect.changes,
                message=self._mask(effect.message),
            ),
        )

    def _open_pull_request(self, effect: OpenPullRequest) -> None:
        if any(
            one.is_ours and one.state == "open" and one.head == effect.head
            for one in self.snapshot.pull_requests
        ):
            return
        opened: list[PullRequest] = []
        self._write(
            f"open pull request {effect.head} to {effect.base}",
            lambda: opened.append(
                self._github.create_pull_request(
                    head=effect.head,
                    base=effect.base,
                    title=self._mask(effect.title),
                    body=self._mask(effect.body),
                    draft=effect.draft,
                )
            ),
            lambda: any(
                one.is_ours and one.state == "open"
                for one in self._github.pull_requests(head=effect.head, detailed=False)
            ),
        )
        if opened:
            _refuse_anothers(opened[0])
            refused_draft = effect.draft and not opened[0].is_draft
            labels = (*effect.labels, "draft") if refused_draft else effect.labels
            self._dress(opened[0], labels=labels, reviewers=effect.reviewers)

    def _dress(self, pull_request: PullRequest, *, labels: Sequence[str], reviewers: Sequence[str]) -> None:
        """Labels and reviewers; GitHub's refusal of a reviewer is said and does not fail the run."""
        number = pull_request.number
        new = tuple(label for label in labels if label not in pull_request.labels)
        if new:
            self._write("label pull request", lambda: self._github.add_labels(number, new))
        heard = {*pull_request.requested_reviewers, *(review.author for review in pull_request.reviews)}
        unasked = tuple(login for login in reviewers if login not in heard)
        if unasked:
            refused: list[str] = []
            self._write(
                "request review",
                lambda: refused.extend(self._github.request_reviewers(number, unasked)),
            )
            if refused:
                self.log(f"GitHub does not accept as reviewers: {', '.join(refused)}")

    def _known(self, number: int) -> PullRequest:
        for one in self.snapshot.pull_requests:
            if one.number == number:
                return one
        raise NotFound(
            f"Pull request #{number} was not found.", remedy="Run again; it may have been removed."
        )

    def _edit_pull_request(self, effect: EditPullRequest) -> None:
        now = self._known(effect.number)
        title = None if effect.title is None or effect.title == now.title else self._mask(effect.title)
        masked = None if effect.body is None else self._mask(effect.body)
        body = None if masked is None or _same_text(masked, now.body) else masked
        base = None if effect.base is None or effect.base == now.base else effect.base
        if title is None and body is None and base is None:
            return
        self._write(
            f"edit pull request #{effect.number}",
            lambda: self._github.update_pull_request(effect.number, title=title, body=body, base=base),
        )

    def _set_draft(self, effect: SetDraft) -> None:
        now = self._known(effect.number)
        if now.is_draft == effect.draft:
            return
        try:
            self._write(
                f"pull request #{effect.number} {'is a draft' if effect.draft else 'is ready'}",
                lambda: self._github.set_draft(now, draft=effect.draft),
            )
        except Conflict as exc:
            if not effect.draft:
                raise
            self.log(f"GitHub offers no drafts here: {exc.summary}")

    def _update_branch(self, effect: UpdateBranch) -> None:
        now = self._known(effect.number)
        if now.head_sha != effect.expected_head:
            return
        try:
            self._write(
                f"merge the base into pull request #{effect.number}",
                lambda: self._github.update_branch(effect.number, expected_head=effect.expected_head),
            )
        except Conflict as exc:
            if "no new commits" in exc.detail.casefold() or "no new commits" in exc.summary.casefold():
                return
            self.log(exc.detail or exc.summary)
            if self._has_moved(now):
                # Somebody pushed, or another run merged, at the same moment: the next look decides anew.
                return
            if effect.told is None:
                raise GaveUp(
                    f"The base of pull request #{effect.number} could not be merged into its branch.",
                    remedy="Resolve the conflict on the branch, then assign the ticket to me.",
                    detail=exc.detail or exc.summary,
                ) from exc
            self._put_comment(effect.told)

    def _has_moved(self, known: PullRequest) -> bool:
        """Whether the head is another one by now."""
        heads = {
            one.number: one.head_sha for one in self._github.pull_requests(head=known.head, detailed=False)
        }
        return heads.get(known.number) != known.head_sha

    def _answer_thread(self, effect: AnswerThread) -> None:
        pull_request = self._known(effect.number)
        token = effect.token
        threads = {thread.id: thread for thread in pull_request.threads}
        thread = threads.get(effect.thread_id)
        if thread is None or any(one.is_ours and token in one.body for one in thread.comments):
            return
        body = f"{self._mask(effect.body)}\n\n{token}"
        self._write(
            f"answer in pull request #{effect.number}",
            lambda: self._github.reply(pull_request, effect.thread_id, body),
            lambda: self._thread_holds(pull_request.head, effect.thread_id, token),
        )

    def _thread_holds(self, head: str, thread_id: str, token: str) -> bool:
        newest = self._github.pull_requests(head=head, detailed=True)[-1]
        threads = [thread for thread in newest.threads if thread.id == thread_id]
        return any(token in comment.body for thread in threads for comment in thread.comments)

    def _comment_pull_request(self, effect: CommentPullRequest) -> None:
        pull_request = self._known(effect.number)
        token = effect.token
        if any(one.is_ours and token in one.body for one in pull_request.comments):
            return
        body = f"{self._mask(effect.body)}\n\n{token}"
        self._write(
            f"comment on pull request #{effect.number}",
            lambda: self._github.comment(effect.number, body),
            lambda: any(
                token in one.body
                for one in self._github.pull_requests(head=pull_request.head, detailed=True)[-1].comments
            ),
        )

    def _retract_answer(self, effect: RetractAnswer) -> None:
        pull_request = self._known(effect.number)
        said = [one for thread in pull_request.threads for one in thread.comments]
        stands = {one.node_id: one for one in (said if effect.is_inline else pull_request.comments)}
        if effect.node_id not in stands:
            return
        try:
            self._write(
                f"retract an answer in pull request #{effect.number}",
                lambda: self._github.retract(
                    effect.number, stands[effect.node_id], is_inline=effect.is_inline
                ),
            )
        except ConfigError as exc:
            # Twice said is a flaw, and none that stops the work.
            self.log(f"not retracted: {exc.summary}")

    def _dispatch(self, effect: Dispatch) -> None:
        """Wake another ticket. Counted apart from writes; a lost one is the sweep's to repeat."""
        self.log(f"dispatch {effect.key}")
        try:
            self._github.dispatch(
                {"issue_key": effect.key, "phase": effect.phase, "event_id": f"runner-{effect.key}"}
            )
        except Unavailable:
            # It follows the commit point: the ticket itself is done, so it is not parked for this.
            self.log(f"the dispatch of {effect.key} may be lost; the sweep repeats it")
        self.dispatched.append(effect.key)


def _refuse_anothers(pull_request: PullRequest) -> None:
    """Raise GaveUp for a person's pull request: it is theirs, and GitHub opens no second one beside it."""
    if not pull_request.is_ours:
        raise GaveUp(
            f"{pull_request.author} opened [pull request #{pull_request.number}]({pull_request.url}) from "
            f"`{pull_request.head}` to `{pull_request.base}`, and GitHub allows only one between two branches.",
            remedy="Close it, so that I can open mine, and assign the ticket to me; or finish the work in it by "
            "hand and move the ticket on.",
        )


def link_state(url: str, is_resolved: bool) -> str:
    """How a remote link is compared: its address and whether it is struck through."""
    return f"{url} resolved" if is_resolved else url


def _status(transition: Transition) -> Status:
    category = transition.target_category
    return Status(
        name=transition.target,
        category="done" if category == "done" else "new" if category == "new" else "indeterminate",
    )


def _same_text(one: str, other: str) -> bool:
    """GitHub may change line ends and outer blank lines of a body."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
