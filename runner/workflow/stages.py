"""The stages that hold tokens: ``gather`` before the model, ``publish`` after it, ``conclude`` at the end.

Each builds its own snapshot and asks ``decide``. ``publish`` repeats read, decide and apply until nothing is
due, because what follows a step needs what the step made; the same loop finishes what a dead run left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from runner import prompts
from runner.core import attachments, texts
from runner.core.acceptance import criteria
from runner.core.attachments import Materials
from runner.core.decide import Decision, Outcome, RunInfo, decide
from runner.core.decide.errors import on_error
from runner.core.decide.outcomes import bill_of
from runner.core.decide.view import View
from runner.core.digests import digest
from runner.core.effects import Dispatch, EditTicket, Effect, Push
from runner.core.handover import Context, Delivered, Linked, Result, Said, SpentRecord, Work, WorkFile
from runner.core.markers import is_marker_line
from runner.core.model import Account, Comment, Repository, Snapshot
from runner.core.phases import Phase
from runner.core.policy import Policy, parse_policy
from runner.core.redact import Redactor
from runner.core.report import End
from runner.core.work import FileChange
from runner.errors import ConfigError, Conflict, GaveUp, NotFound, Refused, RunnerError, Unavailable
from runner.ports import Console, Forge, Publisher, Tickets
from runner.workflow.apply import Applier
from runner.workflow.gather import (
    Sources,
    check_access,
    check_served,
    gather,
    gather_ticket,
    with_family_ledgers,
)
from runner.workflow.precheck import check_names, check_project

# Push, pull request, hand-over, and a restack before them; more rounds than that means it does not settle.
MAX_ROUNDS = 8
BOT = "github-actions[bot]"


def no_pdf(data: bytes) -> str:
    """Stand in where no reader of PDFs was given."""
    raise Conflict(f"PDFs are not read here ({len(data):,} bytes).")


@dataclass(kw_only=True)
class Desk:
    """What a stage works with. ``now`` gives ISO 8601 in UTC; ``writes`` counts requests that write.

    ``fit`` is called once the configuration is known, to exchange what depends on it.
    """

    key: str
    run: str
    run_url: str
    jira_url: str
    repository_name: str
    config_path: str
    tickets: Tickets
    forge: Forge
    console: Console
    redactor: Redactor
    now: Callable[[], str]
    sleep: Callable[[float], None]
    writes: Callable[[], int]
    expected_phase: str = "auto"
    by_person: bool = False
    publisher: Publisher | None = None
    guard: Callable[[Work, Sequence[FileChange], Policy], None] | None = None
    fit: Callable[[Desk], None] | None = None
    pdf_text: Callable[[bytes], str] = no_pdf
    policy: Policy = field(default_factory=Policy)
    overrides: dict[str, str] = field(default_factory=dict)
    dispatched: list[str] = field(default_factory=list)
    pushes: int = 0
    me: Account | None = None
    repository: Repository | None = None
    former_key: str = ""

    def load(self) -> None:
        """Read and check the configuration, then who and where we are."""
        repository = self.forge.repository()
        try:
            text = self.forge.file(self.config_path, ref=repository.default_branch)
        except NotFound as exc:
            raise ConfigError(
                f"The branch `{repository.default_branch}`, which holds the configuration, does not exist.",
                remedy=texts.missing_default(repository.default_branch),
                detail=exc.detail,
            ) from exc
        self.policy = parse_policy(text, name=self.config_path)
        if self.fit is not None:
            self.fit(self)
        self.me, self.repository = check_access(self.sources, self.key)
        if self.policy.prompts is not None:
            self.overrides = self._read_prompts(self.policy.prompts, repository.default_branch)

    def _read_prompts(self, folder: str, ref: str) -> dict[str, str]:
        found = {name: self.forge.file(f"{folder.strip('/')}/{name}.md", ref=ref) for name in prompts.names()}
        texts = {name: text.decode("utf-8", "replace") for name, text in found.items() if text is not None}
        if not texts:
            raise ConfigError(
                f"The folder `{folder}`, which `prompts` names, holds none of the prompts on `{ref}`.",
                remedy=f"Correct `prompts`, or name the files as the built-in ones: {', '.join(f'{one}.md' for one in prompts.names())}.",
            )
        return texts

    @property
    def sources(self) -> Sources:
        """Where snapshots come from."""
        return Sources(
            tickets=self.tickets,
            forge=self.forge,
            policy=self.policy,
            prompts_digest=prompts.digest(self.overrides),
        )

    def read(self) -> Snapshot:
        """Read everything once."""
        if self.me is None or self.repository is None:
            self.load()
        if self.me is None or self.repository is None:
            raise ConfigError(
                "The runner does not know its own account.", remedy="Check the Jira credentials."
            )
        snapshot = gather(self.key, self.sources, me=self.me, repository=self.repository)
        if snapshot.ticket.key != self.key:
            # The ticket was moved: Jira answers to the old key, and from here on the new one counts.
            self.former_key, self.key = self.key, snapshot.ticket.key
            check_served(self.policy, self.key)
        return snapshot

    def info(self, *, narrowed: bool = True) -> RunInfo:
        """Which run this is; a person's phase narrows what it may do."""
        only = Phase(self.expected_phase) if self.by_person and self.expected_phase in set(Phase) else None
        login = self.repository.login if self.repository is not None else ""
        return RunInfo(
            run=self.run,
            url=self.run_url,
            jira_url=self.jira_url,
            only=only if narrowed else None,
            waits_for_approval=login == BOT,
        )

    def view(self, snapshot: Snapshot) -> View:
        """The snapshot as rules see it."""
        info = self.info()
        return View(
            snapshot=snapshot,
            policy=self.policy,
            now=self.now(),
            run=self.run,
            run_url=self.run_url,
            jira_url=self.jira_url,
            waits_for_approval=info.waits_for_approval,
        )

    def apply(self, snapshot: Snapshot, effects: Sequence[Effect]) -> None:
        """Apply effects to a snapshot that was just read."""
        applier = Applier(
            tickets=self.tickets,
            forge=self.forge,
            publisher=self.publisher,
            policy=self.policy,
            snapshot=snapshot,
            redactor=self.redactor,
            sleep=self.sleep,
            log=self.console.log,
        )
        try:
            applier.apply(effects)
        finally:
            self.dispatched += applier.dispatched
            self.pushes += applier.pushes


# --- gather -----------------------------------------------------------------------------------------------


def gather_stage(
    desk: Desk, *, dry_run: bool = False, keep: Callable[[WorkFile], None] = lambda _: None
) -> tuple[WorkFile, End]:
    """Read, decide, and claim the ticket if a model is needed. Nothing else is written here.

    ``keep`` gets the file before the claim: whoever concludes a run that died in between needs the configuration.
    """
    snapshot = desk.read()
    decision = _moved(desk) or decide(snapshot, desk.policy, desk.now(), info=desk.info())
    desk.console.log(f"{desk.key}: row {decision.row}, {decision.reason}")
    if decision.work is not None or any(effect for effect in decision.writes):
        _check(desk, snapshot, begins=decision.work is not None)
    if dry_run:
        return _file(desk, snapshot, decision, "none"), _dry_end(desk, decision)
    if decision.work is None:
        verdict = "publish" if decision.effects else "none"
        return _file(desk, snapshot, decision, verdict), _end(desk, decision, snapshot)
    file = _file(desk, snapshot, decision, "model")
    keep(file)
    desk.apply(snapshot, decision.claim)
    return file, _end(desk, decision, snapshot)


def _moved(desk: Desk) -> Decision | None:
    """An event of a key that the ticket had before wakes the key of today: runs of one ticket follow each other by it."""
    if not desk.former_key or desk.by_person:
        return None
    return Decision(
        row="moved",
        outcome=Outcome.NOTHING,
        reason=f"{desk.former_key} was moved and is {desk.key} now, which is woken",
        phase=None,
        effects=(Dispatch(key=desk.key),),
    )


def _check(desk: Desk, snapshot: Snapshot, *, begins: bool) -> None:
    view = desk.view(snapshot)
    if view.is_parent or view.is_work_ticket:
        check_project(snapshot, desk.policy, desk.tickets, is_parent=view.is_parent)
    if begins:
        check_names(snapshot, desk.policy, desk.tickets)


def _file(desk: Desk, snapshot: Snapshot, decision: Decision, verdict: str) -> WorkFile:
    work = decision.work if verdict == "model" else None
    commits = [work.start, snapshot.heads.get(work.base, "")] if work is not None else []
    nothing = SpentRecord()
    ticket_spent, parent_spent = _spent(desk, snapshot) if work is not None else (nothing, nothing)
    return WorkFile(
        run=desk.run,
        snapshot=digest(repr(snapshot)),
        key=desk.key,
        verdict="model" if verdict == "model" else "publish" if verdict == "publish" else "none",
        phase=decision.phase.value if decision.phase is not None else "",
        reason=decision.reason,
        work=work,
        context=_context(desk, snapshot) if work is not None else None,
        commits=tuple(dict.fromkeys(sha for sha in commits if sha)),
        policy=desk.policy,
        prompts=desk.overrides,
        ticket_spent=ticket_spent,
        parent_spent=parent_spent,
    )


def _spent(desk: Desk, snapshot: Snapshot) -> tuple[SpentRecord, SpentRecord]:
    """What earlier runs used of the ticket's and of its parent's budget, since a person last granted more."""
    bounds = desk.policy.budget.parent
    is_bound = any(bound is not None for bound in (bounds.usd, bounds.tokens, bounds.minutes))
    view = desk.view(with_family_ledgers(snapshot, desk.sources) if is_bound else snapshot)
    return (
        SpentRecord.of(view.ledger, since=view.ticket_budget_since),
        SpentRecord.of(view.parent_ledger, since=view.parent_budget_since),
    )


def _context(desk: Desk, snapshot: Snapshot) -> Context:
    """What the model may read, with what people attached to the ticket and, for a sub-task, to its parent."""
    view = desk.view(snapshot)
    above = snapshot.parent.attachments if snapshot.parent is not None else ()
    materials = attachments.read_all(
        (*above, *snapshot.ticket.attachments),
        ours=view.ours,
        read=lambda id_, limit: desk.tickets.attachment(id_, limit=limit),
        pdf_text=desk.pdf_text,
    )
    return context_of(snapshot, view, materials)


def context_of(snapshot: Snapshot, view: View, materials: Materials) -> Context:
    """The texts a model may read for this ticket, our own comments and files left out."""
    ticket, parent = snapshot.ticket, snapshot.parent
    field = ticket.fields.get(view.policy.jira.acceptance_criteria_field or "", "")
    return Context(
        summary=ticket.summary,
        description=ticket.description,
        type=ticket.type.name,
        comments=_said(ticket.comments, view),
        restricted_comments=snapshot.restricted_comments,
        parent_key=parent.key if parent is not None else "",
        parent_summary=parent.summary if parent is not None else "",
        parent_description=parent.description if parent is not None else "",
        parent_comments=_said(parent.comments, view) if parent is not None else (),
        linked=tuple(
            Linked(key=one.key, relation=one.relation, summary=one.summary, description=one.description)
            for one in ticket.links
        ),
        acceptance=criteria(ticket.description, field),
        attachments=materials.texts,
        images=tuple(materials.images),
        skipped_attachments=materials.skipped,
        edited_plan=view.edited_plan.text if view.edited_plan is not None and view.is_parent else "",
    )


def _said(comments: Sequence[Comment], view: View) -> tuple[Said, ...]:
    return tuple(
        Said(author=who.name or who.id, at=comment.created, text=comment.text)
        for comment in comments
        if not comment.is_restricted and (who := _speaker(comment, view)) is not None
    )


def _speaker(comment: Comment, view: View) -> Account | None:
    """Whose words a comment holds; ``None`` for our own. Who rewrote one of ours, with its last line, speaks there."""
    if comment.author.id not in view.ours:
        return comment.author
    is_rewritten = comment.editor.id not in view.ours and not is_marker_line(comment.last_line)
    return comment.editor if is_rewritten else None


def _dry_end(desk: Desk, decision: Decision) -> End:
    """What would happen: the claim, a placeholder for the model's part, and the effects that are known by now."""
    told = [describe(effect) for effect in (*decision.claim, *decision.effects)]
    if decision.work is not None:
        told.append(
            f"ask {decision.work.phase} of the model, then publish what it makes (not known before it is asked)"
        )
    elif decision.again:
        told.append("then read again and go on (what follows needs what these make)")
    return End(
        key=desk.key,
        phase=decision.phase.value if decision.phase is not None else "",
        row=decision.row,
        outcome="nothing",
        reason=f"dry run: {decision.reason}",
        expected_phase=desk.expected_phase,
        effects=tuple(told),
    )


def describe(effect: Effect) -> str:
    """An effect in one line."""
    return " ".join(effect.natural_key)


# --- publish ----------------------------------------------------------------------------------------------


def publish_stage(desk: Desk, file: WorkFile, result: Result | None) -> End:
    """Apply what is due until nothing is, with the model's result in hand if there is one."""
    # Until the configuration is read again, what ``gather`` read counts.
    desk.policy = file.policy
    delivered = _delivered(file, result)
    told: Decision | None = None
    snapshot = _read_with(desk, file)
    for _ in range(MAX_ROUNDS):
        elsewhere = _moved(desk) if delivered is None else None
        due = elsewhere or decide(snapshot, desk.policy, desk.now(), delivered, info=desk.info())
        desk.console.log(f"{desk.key}: row {due.row}, {due.reason}")
        if told is None or due.effects or due.work is not None:
            # A last look that finds nothing more to do does not hide what was done.
            told = due
        if due.work is not None:
            return _leave_to_next_run(desk, due, snapshot)
        if delivered is not None and desk.guard is not None:
            desk.guard(delivered.work, _pushed(due), desk.policy)
        desk.apply(snapshot, due.effects)
        if not due.again:
            return _end(desk, told, snapshot, result)
        snapshot = _read_with(desk, file)
    raise GaveUp(
        f"{desk.key} did not come to rest after {MAX_ROUNDS} rounds.",
        remedy="Look at the log: something changes the ticket or the branch at the same time.",
    )


def _read_with(desk: Desk, file: WorkFile) -> Snapshot:
    """Read again; which attachments the model did not get is known from the stage that read them."""
    skipped = file.context.skipped_attachments if file.context is not None else {}
    return replace(desk.read(), skipped_attachments=skipped)


def _leave_to_next_run(desk: Desk, due: Decision, snapshot: Snapshot) -> End:
    """Something is due that needs a model, which this stage does not have: that is another run's work."""
    desk.forge.dispatch({"issue_key": desk.key, "phase": "auto", "event_id": f"runner-{desk.key}"})
    desk.dispatched.append(desk.key)
    return _end(desk, replace(due, outcome=Outcome.WAITING), snapshot)


def _delivered(file: WorkFile, result: Result | None) -> Delivered | None:
    if file.work is None:
        return None
    if result is None:
        raise RunnerError("The run ended without a result; that is an error of this runner or of its host.")
    if (result.key, result.phase, result.input_digest) != (file.key, file.work.phase, file.work.input_digest):
        raise Refused(
            "The result does not belong to the work that was asked for.",
            remedy="Run again; if it repeats, the checks of this repository may have changed the runner's files.",
        )
    return Delivered(work=file.work, result=result)


def _pushed(decision: Decision) -> tuple[FileChange, ...]:
    return tuple(
        change for effect in decision.effects if isinstance(effect, Push) for change in effect.changes
    )


def _end(desk: Desk, decision: Decision, snapshot: Snapshot, result: Result | None = None) -> End:
    entry = bill_of(result) if result is not None else None
    view = desk.view(snapshot)
    pull_request = view.pull_request or view.branch_pull_request
    branch = view.branch_name if snapshot.branch is not None else ""
    return End(
        key=desk.key,
        phase=decision.phase.value if decision.phase is not None else "",
        row=decision.row,
        outcome=decision.outcome.value,
        reason=decision.reason,
        expected_phase=desk.expected_phase,
        warning=decision.warning,
        remedy=decision.remedy,
        branch=branch,
        pull_request_number=pull_request.number if pull_request is not None else None,
        pull_request_url=pull_request.url if pull_request is not None else "",
        waits_for_approval=view.waits_for_approval and desk.pushes > 0 and view.open_pull_request is not None,
        cost_usd=entry.usd if entry is not None else Decimal(0),
        model_calls=result.calls if result is not None else 0,
        writes=desk.writes() + desk.pushes,
        dispatches=len(desk.dispatched),
        next=tuple(dict.fromkeys(desk.dispatched)),
        transcript=result.transcript if result is not None else "",
        exit_code=decision.exit_code,
    )


# --- failures ---------------------------------------------------------------------------------------------


def tell(desk: Desk, error: RunnerError | None, phase: Phase | None, result: Result | None = None) -> End:
    """Tell the ticket what failed. Raises what Jira raises when even that cannot be written.

    ``result`` is what a model returned before the failure: it is not used, but it was paid for.
    """
    snapshot, unread = _read_for_telling(desk)
    if isinstance(unread, Unavailable) and not isinstance(error, ConfigError):
        # Whatever failed before: what stands on GitHub is unknown, so the ticket waits until it can be read.
        error = unread
    bill = bill_of(result, at=desk.now()) if result is not None else None
    decision = on_error(replace(desk.view(snapshot), bill=bill), error, phase)
    try:
        if decision.effects:
            # The last write needs this; what cannot be finished is not begun.
            desk.tickets.editable_fields(snapshot.ticket.key)
        desk.apply(snapshot, decision.effects)
    except ConfigError as exc:
        if not isinstance(error, ConfigError):
            raise
        # What is wrong with the project may be the very thing that telling it needs; the log and the end say it.
        desk.console.log(f"{desk.key}: not all of this could be told: {exc.summary}")
        _assign_at_least(desk, decision.effects)
    return _end(desk, decision, snapshot, result)


def _assign_at_least(desk: Desk, effects: Sequence[Effect]) -> None:
    """Hand the ticket over where nothing else of its end can be written, so that the next run has nothing to tell."""
    for effect in effects:
        if isinstance(effect, EditTicket) and effect.assignee != "keep":
            try:
                desk.tickets.assign(desk.key, effect.assignee)
            except ConfigError as exc:
                desk.console.log(f"{desk.key}: it could not be assigned either: {exc.summary}")


def _read_for_telling(desk: Desk) -> tuple[Snapshot, RunnerError | None]:
    """Read what telling needs. Where GitHub or the configuration cannot be read, the ticket alone must do.

    A failed read of Jira is raised: then nothing is written.
    """
    desk.me = desk.me or desk.tickets.myself()
    try:
        return desk.read(), None
    except (ConfigError, NotFound, Conflict, Unavailable) as exc:
        desk.console.log(f"{desk.key}: told from the ticket alone: {exc.summary} {exc.detail}".rstrip())
        repository = desk.repository or Repository(
            name=desk.repository_name, default_branch="", is_private=True, login=""
        )
        return gather_ticket(desk.key, desk.sources, me=desk.me, repository=repository), exc
