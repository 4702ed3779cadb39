"""What the embedded GitHub knows and does, whatever the protocol asked for it.

Every ref moves through here (or is reported here after a push), because pull requests follow their branches.
Callers hold ``lock``; events collect in ``pending`` until the request that caused them is applied.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.sandbox.git_http import PushRules
from runner.sandbox.github import views, views_git, views_pulls
from runner.sandbox.github.errors import ApiError, invalid, not_found
from runner.sandbox.github.repository import ZERO, BareRepository, Comparison, GitError, Signature
from runner.sandbox.github.state import (
    CheckRun,
    Clock,
    CommitStatus,
    GitHubEvent,
    IssueComment,
    Label,
    Level,
    Pull,
    Review,
    ReviewComment,
    Role,
    Thread,
    Token,
    TokenKind,
    User,
    WorkflowRun,
)

DISPATCHES = ("repository_dispatch", "workflow_dispatch")
WORKFLOWS = ".github/workflows/"
Need = tuple[str, Level]


class Hub:
    """One private or public repository, its people, tokens, pull requests and workflow runs."""

    def __init__(
        self, repository: str, *, git_dir: Path, private: bool, default_branch: str, clock: Clock | None
    ) -> None:
        self.full_name = repository
        self.owner_login, self.name = repository.split("/")
        self.private = private
        self.default_branch = default_branch
        self.url = "http://127.0.0.1"
        self.lock = threading.RLock()
        self.clock: Clock = clock or (lambda: datetime.now(UTC))
        self.git = BareRepository(git_dir, default_branch=default_branch)
        self._last_id = 1000
        self.owner = User(id=self.new_id(), login=self.owner_login, type="Organization")
        self.id = self.new_id()
        self.created_at = self.now()
        self.users: dict[str, User] = {}
        self.tokens: dict[str, Token] = {}
        self.pulls: dict[int, Pull] = {}
        self.labels: dict[str, Label] = {}
        self.checks: list[CheckRun] = []
        self.statuses: list[CommitStatus] = []
        self.runs: dict[int, WorkflowRun] = {}
        self.signed: set[str] = set()
        self.test_merges: dict[tuple[str, str], str] = {}
        self.protected: set[str] = set()
        self.requires_signatures = False
        self.allow_drafts = True
        self.allow_actions_pull_requests = True
        self.delete_branch_on_merge = False
        self.merge_methods = {"merge", "squash", "rebase"}
        self.pending: list[GitHubEvent] = []

    # Identity and rights

    def new_id(self) -> int:
        """The next id; ids of every kind grow together."""
        self._last_id += 1
        return self._last_id

    def now(self) -> str:
        """The present moment as GitHub writes it."""
        return self.clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def add_user(self, login: str, role: Role, *, is_bot: bool = False) -> User:
        """Add an account, or give an existing one another role."""
        known = self.users.get(login.lower())
        user = User(
            id=known.id if known else self.new_id(), login=login, role=role, type="Bot" if is_bot else "User"
        )
        self.users[login.lower()] = user
        return user

    def add_token(
        self, value: str, *, login: str, kind: TokenKind, permissions: Mapping[str, Level]
    ) -> Token:
        """Add a credential; an unknown login becomes an account without a role (a bot for app tokens)."""
        is_app = kind in ("actions", "app")
        if login.lower() not in self.users:
            self.add_user(login, "none", is_bot=is_app)
        names = {name.replace("-", "_"): level for name, level in permissions.items()}
        token = Token(value=value, login=login, kind=kind, permissions=names)
        self.tokens[value] = token
        return token

    def user(self, login: str) -> User:
        """An account by its login; 404 when there is none."""
        user = self.users.get(login.lower())
        if user is None:
            raise not_found()
        return user

    def actor(self, token: Token) -> User:
        """Who acts with this token."""
        return self.user(token.login)

    def can_see(self, token: Token | None) -> bool:
        """Whether this token may know that the repository exists."""
        if not self.private:
            return True
        return token is not None and (token.is_app or self.actor(token).role != "none")

    def allows(self, token: Token | None, need: Need, *, for_readers: bool = False) -> bool:
        """Whether permissions and role suffice; ``for_readers`` marks writes that every reader may do."""
        permission, level = need
        if level == "read" and not self.private:
            return True
        if token is None or not token.grants(permission, level):
            return False
        return token.is_app or level == "read" or for_readers or self.actor(token).may_push

    def require(self, token: Token | None, *needs: Need, for_readers: bool = False) -> None:
        """Refuse, as GitHub does, a request that none of the alternatives in ``needs`` allows."""
        if not self.can_see(token):
            raise not_found()
        if any(self.allows(token, need, for_readers=for_readers) for need in needs):
            return
        if token is None:
            raise ApiError(401, "Requires authentication")
        if token.kind == "classic":
            raise ApiError(403, "Must have push access to the repository.")
        what = "integration" if token.is_app else "personal access token"
        accepted = ";".join(f"{name}={level}" for name, level in needs)
        raise ApiError(
            403, f"Resource not accessible by {what}", headers={"X-Accepted-GitHub-Permissions": accepted}
        )

    def association(self, user: User) -> str:
        """How a comment's author relates to the repository."""
        if user.is_bot:
            return "CONTRIBUTOR"
        return "COLLABORATOR" if user.role != "none" else "NONE"

    def signature_of(self, user: User) -> Signature:
        """The author or committer that GitHub writes for an account."""
        return Signature(
            name=user.login, email=f"{user.id}+{user.login}@users.noreply.github.com", date=self.now()
        )

    def web_flow(self) -> Signature:
        """The committer of commits that GitHub makes itself."""
        return Signature(name="GitHub", email="noreply@github.com", date=self.now())

    def user_by_email(self, email: str) -> User | None:
        """The account a commit's address belongs to."""
        login = email.removesuffix("@users.noreply.github.com").partition("+")[2]
        return self.users.get(login.lower())

    def is_verified(self, sha: str) -> bool:
        """Whether GitHub signed this commit."""
        return sha in self.signed

    # Events

    def emit(self, kind: str, action: str, payload: Mapping[str, Any], token: Token | None) -> None:
        """Note an event; what an Actions token causes starts nothing but the two dispatch events."""
        if token is not None and token.kind == "actions" and kind not in DISPATCHES:
            return
        sender = self.actor(token) if token else self.owner
        common = {"repository": views.repository(self), "sender": views.user(self, sender)}
        run_id = self.start_run(kind, payload, sender).id if kind in DISPATCHES else None
        self.pending.append(
            GitHubEvent(
                kind=kind, action=action, payload={**payload, **common}, sender=sender.login, run_id=run_id
            )
        )

    def emit_pull(
        self, action: str, pull: Pull, token: Token | None, extra: Mapping[str, Any] | None = None
    ) -> None:
        """Note a ``pull_request`` event."""
        payload = {
            "action": action,
            "number": pull.number,
            "pull_request": views_pulls.pull(self, pull, token),
            **(extra or {}),
        }
        self.emit("pull_request", action, payload, token)

    def start_run(self, event: str, payload: Mapping[str, Any], actor: User) -> WorkflowRun:
        """Queue the workflow run of a dispatch."""
        branch = str(payload.get("ref", self.default_branch)).removeprefix("refs/heads/")
        now = self.now()
        run = WorkflowRun(
            id=self.new_id(),
            event=event,
            path=str(payload.get("workflow", f"{WORKFLOWS}ai-runner.yml")),
            title=str(payload.get("action", event)),
            head_branch=branch,
            head_sha=self.git.branch(branch) or ZERO,
            actor=actor,
            created_at=now,
            updated_at=now,
        )
        self.runs[run.id] = run
        return run

    # Refs

    def push_rules(self, token: Token) -> PushRules:
        """What a push with this token may not do."""
        return PushRules(
            protected=tuple(sorted(self.protected)),
            needs_signatures=self.requires_signatures,
            may_change_workflows=token.grants("workflows", "write"),
        )

    def move_ref(
        self, name: str, new: str | None, token: Token, *, old: str | None = None, is_merge: bool = False
    ) -> None:
        """Create, move or delete a ref on behalf of a token, under the branch rules."""
        branch = name.removeprefix("refs/heads/")
        if name.startswith("refs/heads/") and not is_merge:
            self._check_rules(branch, new, token)
        current = self.git.ref(name)
        try:
            self.git.set_ref(name, new, old=old or current)
        except GitError:
            raise ApiError(422, "Reference update failed") from None
        self.refs_moved({name: (current, new)}, token)

    def _check_rules(self, branch: str, new: str | None, token: Token) -> None:
        violated = []
        if branch in self.protected:
            violated.append("Changes must be made through a pull request.")
        if new and self.requires_signatures:
            commits = self.git.git("rev-list", new, "--not", "--all").split()
            if any(not self.is_verified(sha) for sha in commits):
                violated.append("Commits must have verified signatures.")
        if violated:
            raise ApiError(422, "Repository rule violations found\n\n" + "\n\n".join(violated) + "\n\n")
        if new and not token.grants("workflows", "write"):
            self._check_workflows(new)

    def _check_workflows(self, new: str) -> None:
        heads = set(self.git.refs("refs/heads/").values())
        known = {entry for head in heads for entry in self._workflow_files(head)}
        if unknown := sorted(self._workflow_files(new) - known):
            raise ApiError(
                403,
                f"refusing to allow a GitHub App to create or update workflow `{unknown[0][0]}` "
                "without `workflows` permission",
            )

    def _workflow_files(self, commit: str) -> set[tuple[str, str]]:
        output = self.git.git("ls-tree", "-r", commit, "--", WORKFLOWS)
        return {(line.split("\t")[1], line.split("\t")[0].split()[2]) for line in output.splitlines()}

    def refs_moved(self, moves: Mapping[str, tuple[str | None, str | None]], token: Token) -> None:
        """Let pull requests follow refs that have moved, given as (old, new)."""
        for name, (old, new) in moves.items():
            if name.startswith("refs/heads/") and old != new:
                self._branch_moved(name.removeprefix("refs/heads/"), old, new, token)

    def _branch_moved(self, branch: str, old: str | None, new: str | None, token: Token) -> None:
        self.emit("push", "", views_git.push(self, branch, old, new), token)
        for pull in [one for one in self.pulls.values() if one.is_open]:
            if pull.base == branch and new is None:
                self.close(pull, token, by=None)
            elif pull.base == branch and new and self._is_contained(pull, old, new):
                pull.base_sha = old or pull.base_sha
                self._mark_merged(pull, pull.head_sha, token)
            elif pull.head == branch and new is None:
                self.close(pull, token, by=self.actor(token))
            elif pull.head == branch and new:
                self._synchronize(pull, old, new, token)

    def _is_contained(self, pull: Pull, old: str | None, new: str) -> bool:
        was_contained = old is not None and self.git.is_ancestor(pull.head_sha, old)
        return not was_contained and self.git.is_ancestor(pull.head_sha, new)

    def _synchronize(self, pull: Pull, old: str | None, new: str, token: Token) -> None:
        pull.head_sha = new
        pull.base_sha = self.git.branch(pull.base) or pull.base_sha
        pull.updated_at = self.now()
        self._keep_head(pull)
        self.emit_pull("synchronize", pull, token, {"before": old, "after": new})

    def _keep_head(self, pull: Pull) -> None:
        self.git.git("update-ref", f"refs/pull/{pull.number}/head", pull.head_sha)

    # Pull requests

    def pull(self, number: int) -> Pull:
        """A pull request by number; 404 when there is none."""
        if number not in self.pulls:
            raise not_found()
        return self.pulls[number]

    def comparison(self, pull: Pull) -> Comparison:
        """What a pull request changes; a merged one keeps what it changed."""
        base = pull.base_sha if not pull.is_open else self.git.branch(pull.base) or pull.base_sha
        return self.git.compare(base, pull.head_sha)

    def open_pull(
        self, token: Token, *, title: str, body: str | None, head: str, base: str, draft: bool
    ) -> Pull:
        """Open a pull request, or say why GitHub would not."""
        if token.kind == "actions" and not self.allow_actions_pull_requests:
            raise ApiError(403, "GitHub Actions is not permitted to create or approve pull requests.")
        owner, _, branch = head.rpartition(":")
        head_sha, base_sha = self.git.branch(branch), self.git.branch(base)
        if head_sha is None or owner not in ("", self.owner_login):
            raise invalid("PullRequest", "head", "head is invalid", code="invalid")
        if base_sha is None:
            raise invalid("PullRequest", "base", "base is invalid", code="invalid")
        self._check_new(branch, base, draft=draft)
        now = self.now()
        pull = Pull(
            id=self.new_id(),
            number=len(self.pulls) + 1,
            author=self.actor(token),
            title=title,
            body=body,
            head=branch,
            head_sha=head_sha,
            base=base,
            base_sha=base_sha,
            draft=draft,
            created_at=now,
            updated_at=now,
        )
        self.pulls[pull.number] = pull
        self._keep_head(pull)
        self.emit_pull("opened", pull, token)
        return pull

    def _check_new(self, head: str, base: str, *, draft: bool) -> None:
        if draft and not self.allow_drafts:
            raise ApiError(422, "Draft pull requests are not supported in this repository.")
        if self._open_between(head, base):
            message = f"A pull request already exists for {self.owner_login}:{head}."
            raise ApiError(
                422,
                "Validation Failed",
                errors=[{"resource": "PullRequest", "code": "custom", "message": message}],
            )
        self._check_commits(head, base)

    def _check_commits(self, head: str, base: str) -> None:
        difference = self.git.compare(f"{self.git.branch(base)}", f"{self.git.branch(head)}")
        if difference.merge_base is None:
            message = f"The {head} branch has no history in common with {base}"
        elif not difference.ahead:
            message = f"No commits between {base} and {head}"
        else:
            return
        raise ApiError(
            422,
            "Validation Failed",
            errors=[{"resource": "PullRequest", "code": "custom", "message": message}],
        )

    def _open_between(self, head: str, base: str) -> Pull | None:
        open_pulls = (pull for pull in self.pulls.values() if pull.is_open)
        return next((pull for pull in open_pulls if (pull.head, pull.base) == (head, base)), None)

    def close(self, pull: Pull, token: Token, *, by: User | None) -> None:
        """Close without merging. ``by`` is nobody when the base branch vanished."""
        pull.state, pull.closed_by = "closed", by
        pull.closed_at = pull.updated_at = self.now()
        self.emit_pull("closed", pull, token)

    def reopen(self, pull: Pull, token: Token) -> None:
        """Open a closed pull request again, if its branches still allow it."""
        head_sha = self.git.branch(pull.head)
        why = None
        if pull.merged_at:
            why = "state cannot be changed. The pull request cannot be reopened."
        elif head_sha is None or self.git.branch(pull.base) is None:
            why = f"state cannot be changed. The {pull.base if head_sha else pull.head} branch has been deleted."
        elif not self.git.is_ancestor(pull.head_sha, head_sha):
            why = f"state cannot be changed. The {pull.head} branch was force-pushed or recreated."
        elif self._open_between(pull.head, pull.base):
            names = f"{self.owner_login}:{pull.head} to {self.owner_login}:{pull.base}"
            why = f"state cannot be changed. There is already an open pull request from {names}."
        if why or head_sha is None:
            raise invalid("PullRequest", "state", str(why), code="invalid")
        pull.state, pull.closed_at, pull.closed_by = "open", None, None
        pull.head_sha, pull.updated_at = head_sha, self.now()
        self._keep_head(pull)
        self.emit_pull("reopened", pull, token)

    def retarget(self, pull: Pull, base: str, token: Token, *, is_automatic: bool = False) -> None:
        """Point a pull request at another base branch."""
        base_sha = self.git.branch(base)
        if base_sha is None:
            raise invalid(
                "PullRequest", "base", f"Proposed base branch '{base}' was not found", code="invalid"
            )
        if not is_automatic and base != pull.base:
            self._check_retarget(pull, base)
        before, pull.base, pull.base_sha = pull.base, base, base_sha
        pull.updated_at = self.now()
        self.emit_pull("edited", pull, token, {"changes": {"base": {"ref": {"from": before}}}})

    def _check_retarget(self, pull: Pull, base: str) -> None:
        if not pull.is_open:
            raise invalid("PullRequest", "base", "Cannot change the base branch of a closed pull request.")
        if self._open_between(pull.head, base):
            message = f"A pull request already exists for base branch '{base}' and head branch '{pull.head}'"
            raise invalid("PullRequest", "base", message, code="invalid")
        if not self.git.compare(f"{self.git.branch(base)}", pull.head_sha).ahead:
            message = f"There are no new commits between base branch '{base}' and head branch '{pull.head}'"
            raise invalid("PullRequest", "base", message, code="invalid")

    def mergeable(self, pull: Pull) -> bool | None:
        """Whether an open pull request merges cleanly; unknown once it is closed."""
        base = self.git.branch(pull.base)
        if not pull.is_open or base is None:
            return None
        return self.git.merged_tree(base, pull.head_sha) is not None

    def merge(
        self,
        pull: Pull,
        token: Token,
        *,
        method: str,
        sha: str | None,
        title: str | None,
        message: str | None,
    ) -> str:
        """Merge a pull request for real and return the commit now on the base branch."""
        if pull.is_open and sha not in (None, pull.head_sha):
            raise ApiError(409, "Head branch was modified. Review and try the merge again.")
        if method not in self.merge_methods:
            name = {"merge": "Merge commits", "squash": "Squash merges", "rebase": "Rebase merges"}[method]
            raise ApiError(405, f"{name} are not allowed on this repository.")
        if pull.draft:
            raise ApiError(405, "Pull Request is still a draft")
        base_sha = self.git.branch(pull.base)
        if not pull.is_open or base_sha is None or not self.mergeable(pull):
            raise ApiError(405, "Pull Request is not mergeable")
        if not token.grants("workflows", "write"):
            self._check_workflows(pull.head_sha)
        merged = self._merge_commit(pull, token, base_sha, method=method, title=title, message=message)
        pull.base_sha = base_sha
        self._mark_merged(pull, merged, token)
        self.move_ref(f"refs/heads/{pull.base}", merged, token, old=base_sha, is_merge=True)
        if self.delete_branch_on_merge:
            self.delete_merged_branch(pull, token)
        return merged

    def _merge_commit(
        self, pull: Pull, token: Token, base: str, *, method: str, title: str | None, message: str | None
    ) -> str:
        tree = self.git.merged_tree(base, pull.head_sha)
        commits = self.git.compare(base, pull.head_sha).ahead
        author, committer = self.signature_of(self.actor(token)), self.web_flow()
        if method == "rebase":
            tip = self.git.replay([one for one in commits if len(one.parents) == 1], base, committer=author)
            if tip is None:
                raise ApiError(405, "This branch can't be rebased")
            return tip
        if method == "squash":
            bodies = "\n\n".join(f"* {commit.message}" for commit in commits)
            only = commits[0].message.partition("\n")[2].strip()
            text = _message(
                title or f"{pull.title} (#{pull.number})", message, only if len(commits) == 1 else bodies
            )
            parents = [base]
        else:
            headline = f"Merge pull request #{pull.number} from {self.owner_login}/{pull.head}"
            text = _message(title or headline, message, pull.title)
            parents = [base, pull.head_sha]
        merged = self.git.write_commit(f"{tree}", parents, text, author=author, committer=committer)
        self.signed.add(merged)
        return merged

    def _mark_merged(self, pull: Pull, merged: str, token: Token) -> None:
        pull.state, pull.merge_commit_sha = "closed", merged
        pull.merged_at = pull.closed_at = pull.updated_at = self.now()
        pull.merged_by = pull.closed_by = self.actor(token)
        self.emit_pull("closed", pull, token)

    def delete_merged_branch(self, pull: Pull, token: Token) -> None:
        """Delete a merged head branch the way GitHub's button does: pull requests onto it move to the base."""
        for dependent in self.pulls.values():
            if dependent.is_open and dependent.base == pull.head:
                self.retarget(dependent, pull.base, token, is_automatic=True)
        if self.git.branch(pull.head):
            self.move_ref(f"refs/heads/{pull.head}", None, token, is_merge=True)

    def update_branch(self, pull: Pull, token: Token, *, expected: str | None) -> None:
        """Merge the base into the head branch."""
        if expected not in (None, pull.head_sha):
            raise ApiError(422, "expected head sha didn't match current head ref.")
        base = self.git.branch(pull.base)
        if not pull.is_open or base is None:
            raise ApiError(422, "Cannot update a closed pull request.")
        if self.git.is_ancestor(base, pull.head_sha):
            raise ApiError(422, "There are no new commits on the base branch.")
        tree = self.git.merged_tree(pull.head_sha, base)
        if tree is None:
            raise ApiError(422, "merge conflict between base and head")
        merged = self.git.write_commit(
            tree,
            [pull.head_sha, base],
            f"Merge branch '{pull.base}' into {pull.head}",
            author=self.signature_of(self.actor(token)),
            committer=self.web_flow(),
        )
        self.signed.add(merged)
        self.move_ref(f"refs/heads/{pull.head}", merged, token, old=pull.head_sha)

    # Conversation

    def add_comment(self, pull: Pull, token: Token, body: str) -> IssueComment:
        """Write in the conversation."""
        now = self.now()
        comment = IssueComment(
            id=self.new_id(), author=self.actor(token), body=body, created_at=now, updated_at=now
        )
        pull.comments.append(comment)
        pull.updated_at = now
        payload = {
            "action": "created",
            "issue": views_pulls.issue(self, pull),
            "comment": views_pulls.issue_comment(self, pull, comment),
        }
        self.emit("issue_comment", "created", payload, token)
        return comment

    def add_review(self, pull: Pull, token: Token, *, body: str, state: str, commit_id: str) -> Review:
        """Begin a review; ``submit_review`` makes it public."""
        review = Review(
            id=self.new_id(),
            author=self.actor(token),
            body=body,
            state=state,
            commit_id=commit_id,
            created_at=self.now(),
        )
        pull.reviews.append(review)
        return review

    def submit_review(self, pull: Pull, review: Review, token: Token, state: str) -> None:
        """Make a review public."""
        review.state, review.submitted_at = state, self.now()
        pull.updated_at = review.submitted_at
        pull.requested = [user for user in pull.requested if user.login != review.author.login]
        payload = {
            "action": "submitted",
            "review": {**views_pulls.review(self, pull, review), "state": state.lower()},
            "pull_request": views_pulls.pull_simple(self, pull),
        }
        self.emit("pull_request_review", "submitted", payload, token)

    def add_thread_comment(
        self, pull: Pull, thread: Thread, token: Token, body: str, *, review: Review | None = None
    ) -> ReviewComment:
        """Add to a review thread; without a review the comment gets its own, as on GitHub."""
        own = review or self.add_review(pull, token, body="", state="COMMENTED", commit_id=pull.head_sha)
        now = self.now()
        if review is None:
            own.submitted_at = now
        comment = ReviewComment(
            id=self.new_id(), author=self.actor(token), body=body, review=own, created_at=now, updated_at=now
        )
        thread.comments.append(comment)
        pull.updated_at = now
        if own.state != "PENDING":
            payload = {
                "action": "created",
                "comment": views_pulls.review_comment(self, pull, thread, comment),
                "pull_request": views_pulls.pull_simple(self, pull),
            }
            self.emit("pull_request_review_comment", "created", payload, token)
        return comment

    def line_now(self, pull: Pull, thread: Thread) -> int | None:
        """Where a thread's line is in the head commit; ``None`` once it is outdated."""
        if thread.line is None or thread.side == "LEFT":
            return thread.line
        return self.git.relocate(thread.path, thread.line, old=thread.commit_id, new=pull.head_sha)

    def label(self, name: str) -> Label:
        """A label by name, created when it is new, as when it is added to an issue."""
        return self.labels.setdefault(name.lower(), Label(id=self.new_id(), name=name))


def _message(title: str, given: str | None, usual: str) -> str:
    body = usual if given is None else given
    return f"{title}\n\n{body}" if body else title
