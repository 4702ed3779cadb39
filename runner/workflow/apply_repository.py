"""Effects on GitHub: one short function each. Every one first asks the snapshot whether it is already true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from runner.core.effects import (
    AnswerThread,
    CommentPullRequest,
    Dispatch,
    DressPullRequest,
    EditPullRequest,
    OpenPullRequest,
    Push,
    PutComment,
    RepositoryEffect,
    RetractAnswer,
    SetDraft,
    UpdateBranch,
)
from runner.core.model import PullRequest, Snapshot
from runner.errors import ConfigError, Conflict, GaveUp, NotFound, Unavailable
from runner.ports import Forge, Publisher
from runner.workflow.sending import Sender


@dataclass(kw_only=True)
class RepositoryApplier:
    """Applies effects to the branches and pull requests of one freshly read snapshot, and wakes other tickets.

    ``tell`` says on the ticket what a person must know of a merge that failed.
    """

    forge: Forge | None
    publisher: Publisher | None
    snapshot: Snapshot
    sender: Sender
    tell: Callable[[PutComment], None]
    pushes: int = 0
    dispatched: list[str] = field(default_factory=list)

    def apply(self, effect: RepositoryEffect) -> None:
        """Make one effect true."""
        match effect:
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
            case Dispatch():
                self._dispatch(effect)

    @property
    def _github(self) -> Forge:
        if self.forge is None:
            raise ConfigError("This stage has no token for GitHub.", remedy="Run the stage `publish`.")
        return self.forge

    def _push(self, effect: Push) -> None:
        publisher = self.publisher
        if publisher is None:
            raise ConfigError("This stage may not push.", remedy="Run the stage `publish`.")
        self.pushes += 1
        self.sender.write(
            f"push {effect.branch}",
            lambda: publisher.publish(
                branch=effect.branch,
                start=effect.start,
                expected=effect.expected,
                changes=effect.changes,
                message=self.sender.mask(effect.message),
            ),
        )

    def _open_pull_request(self, effect: OpenPullRequest) -> None:
        if any(
            one.is_ours and one.state == "open" and one.head == effect.head
            for one in self.snapshot.pull_requests
        ):
            return
        opened: list[PullRequest] = []
        self.sender.write(
            f"open pull request {effect.head} to {effect.base}",
            lambda: opened.append(
                self._github.create_pull_request(
                    head=effect.head,
                    base=effect.base,
                    title=self.sender.mask(effect.title),
                    body=self.sender.mask(effect.body),
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
            self.sender.write("label pull request", lambda: self._github.add_labels(number, new))
        heard = {*pull_request.requested_reviewers, *(review.author for review in pull_request.reviews)}
        unasked = tuple(login for login in reviewers if login not in heard)
        if unasked:
            refused: list[str] = []
            self.sender.write(
                "request review",
                lambda: refused.extend(self._github.request_reviewers(number, unasked)),
            )
            if refused:
                self.sender.log(f"GitHub does not accept as reviewers: {', '.join(refused)}")

    def _known(self, number: int) -> PullRequest:
        for one in self.snapshot.pull_requests:
            if one.number == number:
                return one
        raise NotFound(
            f"Pull request #{number} was not found.", remedy="Run again; it may have been removed."
        )

    def _edit_pull_request(self, effect: EditPullRequest) -> None:
        now = self._known(effect.number)
        title = None if effect.title is None or effect.title == now.title else self.sender.mask(effect.title)
        masked = None if effect.body is None else self.sender.mask(effect.body)
        body = None if masked is None or _same_text(masked, now.body) else masked
        base = None if effect.base is None or effect.base == now.base else effect.base
        if title is None and body is None and base is None:
            return
        self.sender.write(
            f"edit pull request #{effect.number}",
            lambda: self._github.update_pull_request(effect.number, title=title, body=body, base=base),
        )

    def _set_draft(self, effect: SetDraft) -> None:
        now = self._known(effect.number)
        if now.is_draft == effect.draft:
            return
        try:
            self.sender.write(
                f"pull request #{effect.number} {'is a draft' if effect.draft else 'is ready'}",
                lambda: self._github.set_draft(now, draft=effect.draft),
            )
        except Conflict as exc:
            if not effect.draft:
                raise
            self.sender.log(f"GitHub offers no drafts here: {exc.summary}")

    def _update_branch(self, effect: UpdateBranch) -> None:
        now = self._known(effect.number)
        if now.head_sha != effect.expected_head:
            return
        try:
            self.sender.write(
                f"merge the base into pull request #{effect.number}",
                lambda: self._github.update_branch(effect.number, expected_head=effect.expected_head),
            )
        except Conflict as exc:
            if "no new commits" in exc.detail.casefold() or "no new commits" in exc.summary.casefold():
                return
            self.sender.log(exc.detail or exc.summary)
            if self._has_moved(now):
                # Somebody pushed, or another run merged, at the same moment: the next look decides anew.
                return
            if effect.told is None:
                raise GaveUp(
                    f"The base of pull request #{effect.number} could not be merged into its branch.",
                    remedy="Resolve the conflict on the branch, then assign the ticket to me.",
                    detail=exc.detail or exc.summary,
                ) from exc
            self.tell(effect.told)

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
        body = f"{self.sender.mask(effect.body)}\n\n{token}"
        self.sender.write(
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
        body = f"{self.sender.mask(effect.body)}\n\n{token}"
        self.sender.write(
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
            self.sender.write(
                f"retract an answer in pull request #{effect.number}",
                lambda: self._github.retract(
                    effect.number, stands[effect.node_id], is_inline=effect.is_inline
                ),
            )
        except ConfigError as exc:
            # Twice said is a flaw, and none that stops the work.
            self.sender.log(f"not retracted: {exc.summary}")

    def _dispatch(self, effect: Dispatch) -> None:
        """Wake another ticket. Counted apart from writes; a lost one is the sweep's to repeat."""
        self.sender.log(f"dispatch {effect.key}")
        try:
            self._github.dispatch(
                {"issue_key": effect.key, "phase": effect.phase, "event_id": f"runner-{effect.key}"}
            )
        except Unavailable:
            # It follows the commit point: the ticket itself is done, so it is not parked for this.
            self.sender.log(f"the dispatch of {effect.key} may be lost; the sweep repeats it")
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


def _same_text(one: str, other: str) -> bool:
    """GitHub may change line ends and outer blank lines of a body."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
