"""Effects on Jira: one short function each. Every one first asks the snapshot whether it is already true."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from runner.core import phases
from runner.core.decide.view import item_of
from runner.core.effects import (
    AttachFile,
    CreateSubTask,
    EditTicket,
    LinkPullRequest,
    MoveTo,
    PutComment,
    TicketEffect,
    WithdrawComment,
    identity,
)
from runner.core.markers import Kind, from_line, is_marker_line, to_line
from runner.core.model import Comment, Snapshot, Status, Ticket, TicketType
from runner.core.phases import State
from runner.core.policy import Policy
from runner.errors import ConfigError, Conflict, MovedUnderUs, RunnerError
from runner.ports import CommentBody, NewSubTask, Tickets, Transition
from runner.workflow.precheck import unfit_create_screen
from runner.workflow.sending import Sender


@dataclass(kw_only=True)
class TicketApplier:
    """Applies effects to the ticket of one freshly read snapshot, and to its family."""

    tickets: Tickets
    policy: Policy
    snapshot: Snapshot
    sender: Sender
    _editable: frozenset[str] | None = None
    _kind: TicketType | None = None

    def apply(self, effect: TicketEffect) -> None:
        """Make one effect true."""
        match effect:
            case EditTicket():
                self._edit_ticket(effect)
            case MoveTo():
                self._move(effect)
            case PutComment():
                self.put_comment(effect)
            case WithdrawComment():
                self._withdraw(effect)
            case AttachFile():
                self._attach(effect)
            case CreateSubTask():
                self._create_sub_task(effect)
            case LinkPullRequest():
                self._link(effect)

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
            self.sender.write(
                f"labels +{list(add)} -{list(remove)}, assignee {in_one}",
                lambda: self.tickets.edit(ticket.key, add_labels=add, remove_labels=remove, assignee=in_one),
                lambda: self._stands(add, remove, in_one),
            )
        if apart:
            self.sender.write(f"assignee {assignee}", lambda: self.tickets.assign(ticket.key, assignee))

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
            self.sender.write(
                f"move {ticket.key} to {transition.target}",
                lambda: self.tickets.move(ticket.key, transition.id, fields),
                lambda: phases.matches(self.tickets.ticket(ticket.key).status, effect.state, statuses),
            )
        except (ConfigError, Conflict) as exc:
            self._settle_refusal(effect, exc)

    def _settle_refusal(self, effect: MoveTo, refusal: RunnerError) -> None:
        """Another run may have made the move since the ticket was read: most workflows offer none to the same status."""
        before, now = self.snapshot.ticket.status, self.tickets.ticket(effect.key).status
        if phases.matches(now, effect.state, phases.statuses_of(self.snapshot.ticket, self.policy)):
            return
        if effect.is_optional:
            self.sender.log(f"not moved: {refusal.summary}")
        elif now != before:
            raise MovedUnderUs(f"{effect.key} was moved to “{now.name}” meanwhile.") from refusal
        else:
            raise refusal

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

    def put_comment(self, effect: PutComment) -> None:
        """Say something once; progress and failure are one comment each, which changes."""
        existing = self._own_comment(effect, self.snapshot.ticket.comments)
        body = CommentBody(
            markdown=self.sender.mask(effect.markdown),
            collapsed=effect.collapsed,
            last_line=to_line(effect.marker),
        )
        key = effect.key
        if existing is None:
            self.sender.write(
                f"comment {effect.marker.kind}",
                lambda: self.tickets.add_comment(key, body),
                lambda: self._own_comment(effect, self.tickets.ticket(key).comments) is not None,
            )
            return
        is_single = effect.marker.kind in (Kind.PROGRESS, Kind.FAILURE)
        if is_single and existing.last_line.strip() != body.last_line:
            self.sender.write(
                f"edit comment {effect.marker.kind}",
                lambda: self.tickets.edit_comment(key, existing.id, body),
            )

    def _withdraw(self, effect: WithdrawComment) -> None:
        stored = {one.id: one.last_line.strip() for one in self.snapshot.ticket.comments}
        body = CommentBody(markdown=effect.markdown, last_line=to_line(effect.marker))
        if stored.get(effect.comment_id, body.last_line) != body.last_line:
            self.sender.write(
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
        data = self.sender.mask(effect.text).encode()
        self.sender.write(
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
            summary=self.sender.mask(effect.summary),
            description=self.sender.mask(effect.description),
            labels=(phases.MANAGED, phases.item_label(effect.item_id)),
            assignee_id=self.snapshot.me.id,
            fields=defaults,
        )
        self.sender.write(
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
        self.sender.write(
            f"link {effect.title}",
            lambda: self.tickets.link(
                effect.key,
                global_id=effect.global_id,
                url=effect.url,
                title=effect.title,
                summary=self.sender.mask(self.snapshot.ticket.summary),
                is_resolved=effect.is_resolved,
            ),
            lambda: effect.global_id in self.tickets.ticket(effect.key).remote_links,
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
