"""One frozen class per effect: a single write to Jira, GitHub or git.

Each names what must be true afterwards; ``workflow.apply`` first asks whether it already is. ``natural_key``
identifies the effect across runs, whoever writes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from runner.core.markers import Marker
from runner.core.phases import State
from runner.core.work import FileChange

Keep = Literal["keep"]
# How the code of a failure comment begins that tells of an attempt which is repeated, not of an end.
ATTEMPT = "attempt-"
# The last line of what we say on a pull request.
_TOKEN = re.compile(r"<!-- ai-runner [^<>\n]+ -->\s*\Z")


@dataclass(frozen=True, kw_only=True)
class EditTicket:
    """Labels and assignee of the run's own ticket in one request: the claim, and the commit point.

    ``assignee`` is an account id, ``None`` for nobody, or ``"keep"``.
    """

    key: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    assignee: str | None = "keep"

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The ticket and its label set."""
        return ("edit", self.key, *self.add, *self.remove, self.assignee or "-")


@dataclass(frozen=True, kw_only=True)
class MoveTo:
    """The ticket stands in this state. ``is_optional``: a refused move is said, not raised."""

    key: str
    state: State
    is_optional: bool = False

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The ticket and the target."""
        return ("move", self.key, self.state)


@dataclass(frozen=True, kw_only=True)
class PutComment:
    """A comment with this marker stands on the ticket.

    Progress and failure comments exist once and are edited in place; others once per natural key.
    """

    key: str
    markdown: str
    marker: Marker
    collapsed: tuple[tuple[str, str], ...] = ()

    @property
    def natural_key(self) -> tuple[str, ...]:
        """Kind and what distinguishes two comments of that kind."""
        return ("comment", self.key, *identity(self.marker))


@dataclass(frozen=True, kw_only=True)
class WithdrawComment:
    """A comment of ours that repeats an older one says only that any more. It is never deleted."""

    key: str
    comment_id: str
    markdown: str
    marker: Marker

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The comment."""
        return ("withdraw", self.key, self.comment_id)


@dataclass(frozen=True, kw_only=True)
class AttachFile:
    """The ticket carries a file of ours with this name, which holds a digest of what is in it."""

    key: str
    name: str
    text: str
    media_type: str

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The ticket and the name."""
        return ("attach", self.key, self.name)


@dataclass(frozen=True, kw_only=True)
class CreateSubTask:
    """A sub-task labelled with this item's id exists under the parent."""

    parent_key: str
    item_id: str
    summary: str
    description: str

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The parent and the item."""
        return ("sub-task", self.parent_key, self.item_id)


@dataclass(frozen=True, kw_only=True)
class Push:
    """The branch holds one more commit with these changes, on top of ``start``.

    ``expected`` is where the branch was when the work began, ``None`` if it did not exist.
    """

    branch: str
    start: str
    expected: str | None
    changes: tuple[FileChange, ...]
    message: str

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The branch and the head it must still have."""
        return ("push", self.branch, self.expected or "-")


@dataclass(frozen=True, kw_only=True)
class OpenPullRequest:
    """An open pull request leads from ``head`` to ``base``."""

    head: str
    base: str
    title: str
    body: str
    draft: bool
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()

    @property
    def natural_key(self) -> tuple[str, ...]:
        """GitHub allows one open pull request for these two."""
        return ("pull-request", self.head, self.base)


@dataclass(frozen=True, kw_only=True)
class EditPullRequest:
    """The pull request has this title, body and base; ``None`` leaves one alone."""

    number: int
    title: str | None = None
    body: str | None = None
    base: str | None = None

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The pull request and its target."""
        return ("edit-pull-request", str(self.number), self.base or "")


@dataclass(frozen=True, kw_only=True)
class DressPullRequest:
    """The pull request carries these labels, and these people were asked to review it."""

    number: int
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The pull request and both sets."""
        return ("dress-pull-request", str(self.number), *self.labels, *self.reviewers)


@dataclass(frozen=True, kw_only=True)
class SetDraft:
    """The pull request is, or is not, a draft."""

    number: int
    draft: bool

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The pull request and the wish."""
        return ("draft", str(self.number), str(self.draft))


@dataclass(frozen=True, kw_only=True)
class UpdateBranch:
    """The pull request's base is merged into its head, if the head is still ``expected_head``.

    ``told`` is said on the ticket when the two conflict, which only a person can settle; without it that fails the run.
    """

    number: int
    expected_head: str
    told: PutComment | None = None

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The pull request and the head it must still have."""
        return ("update-branch", str(self.number), self.expected_head)


@dataclass(frozen=True, kw_only=True)
class AnswerThread:
    """A review thread holds our answer to one of its comments."""

    number: int
    thread_id: str
    comment_id: str
    body: str

    @property
    def token(self) -> str:
        """What the answer ends in, so that it is known again."""
        return f"<!-- ai-runner answers {self.comment_id} -->"

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The comment that is answered."""
        return ("answer", str(self.number), self.comment_id)


@dataclass(frozen=True, kw_only=True)
class CommentPullRequest:
    """The pull request's conversation holds our comment on this topic."""

    number: int
    topic: str
    body: str

    @property
    def token(self) -> str:
        """What the comment ends in, so that it is known again."""
        return f"<!-- ai-runner {self.topic} -->"

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The pull request and the topic."""
        return ("comment-pull-request", str(self.number), self.topic)


@dataclass(frozen=True, kw_only=True)
class RetractAnswer:
    """An answer of ours on the pull request that repeats an older one is gone. ``is_inline``: it stands in a thread."""

    number: int
    node_id: str
    is_inline: bool

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The answer."""
        return ("retract", str(self.number), self.node_id)


@dataclass(frozen=True, kw_only=True)
class LinkPullRequest:
    """The ticket's remote links hold this pull request."""

    key: str
    global_id: str
    url: str
    title: str
    is_resolved: bool

    @property
    def natural_key(self) -> tuple[str, ...]:
        """Jira's own upsert key."""
        return ("link", self.key, self.global_id)


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """Another ticket's run is asked for. Counted apart from writes; repeating it is harmless."""

    key: str
    phase: str = "auto"

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The ticket that is woken."""
        return ("dispatch", self.key)


TicketEffect = (
    EditTicket | MoveTo | PutComment | WithdrawComment | AttachFile | CreateSubTask | LinkPullRequest
)
RepositoryEffect = (
    Push
    | OpenPullRequest
    | EditPullRequest
    | DressPullRequest
    | SetDraft
    | UpdateBranch
    | AnswerThread
    | CommentPullRequest
    | RetractAnswer
    | Dispatch
)
Effect = TicketEffect | RepositoryEffect


def identity(marker: Marker) -> tuple[str, ...]:
    """What makes two comments the same comment, across runs."""
    match marker.kind:
        case "progress":
            return (marker.kind,)
        case "failure":
            return (marker.kind, ATTEMPT if is_attempt(marker) else "")
        case "plan" | "questions":
            return (marker.kind, marker.input_digest, marker.plan_digest)
        case "handover":
            return (marker.kind, marker.input_digest, marker.plan_digest, marker.code, str(marker.number))
        case "breakdown" | "summary":
            return (marker.kind, marker.plan_digest)
        case "merged" | "closed":
            return (marker.kind, str(marker.number))
        case _:
            return (marker.kind, marker.code)


def is_attempt(marker: Marker) -> bool:
    """Whether this tells of an attempt that failed and is repeated by itself."""
    return marker.kind == "failure" and marker.code.startswith(ATTEMPT)


def token_of(body: str) -> str | None:
    """What tells one of our answers on a pull request from the others; ``None`` if the text holds nothing like it."""
    found = _TOKEN.search(body)
    return found[0].rstrip() if found is not None else None
