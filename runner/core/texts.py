"""Every sentence a person reads on a ticket or a pull request: what happened, what it means, what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from runner.core.feedback import Feedback
from runner.core.markers import LedgerEntry, total_usd
from runner.core.model import LinkedTicket
from runner.core.phases import Phase
from runner.core.plan import Item, Plan, PlanDifference, PointAnswer

DOING = {
    Phase.PLAN: "writing a plan",
    Phase.BREAKDOWN: "creating the sub-tasks",
    Phase.IMPLEMENT: "implementing this ticket",
    Phase.REVISE: "working through the feedback",
    Phase.COMPLETE: "closing this ticket",
}

BEGIN = "<!-- ai-runner begin -->"
END = "<!-- ai-runner end -->"


@dataclass(frozen=True, kw_only=True)
class CheckLine:
    """A check's measured result, as it is shown."""

    id: str
    is_green: bool
    was_green: bool | None
    seconds: float


def mention(account_id: str) -> str:
    """A Jira mention."""
    return f"[~accountid:{account_id}]" if account_id else ""


def money(usd: Decimal | None) -> str:
    """A cost, or the word for not knowing it."""
    return (
        "cost unknown"
        if usd is None
        else f"US${usd:.2f}"
        if usd >= Decimal("0.01") or usd == 0
        else "under US$0.01"
    )


def code(text: str) -> str:
    """Inline code that its content cannot leave."""
    return "`" + text.replace("`", "'").replace("\n", " ") + "`"


def run_link(url: str) -> str:
    """A link to the run, if there is one."""
    return f"[run]({url})" if url.startswith("http") else "run"


def _beside(url: str) -> str:
    """The same after a comma; a run without a page, on somebody's own machine, is not named at all."""
    return f", {run_link(url)}" if url.startswith("http") else ""


def working(phase: Phase, *, url: str, attempt: int, most: int, stop_label: str) -> str:
    """The progress comment while a run works."""
    count = f" (attempt {attempt} of {most})" if attempt > 1 else ""
    return (
        f"**Working:** {DOING[phase]}{count}{_beside(url)}.\n\n"
        f"To stop it, cancel the run, or add the label {code(stop_label)}: what exists is then kept as a draft."
    )


def worked(outcome: str, *, url: str, ledger: Sequence[LedgerEntry]) -> str:
    """The progress comment once the run ended."""
    return f"**Last run:** {outcome}{_beside(url)}.\n\n{bill(ledger)}"


def parked(reason: str, *, until: str, url: str) -> str:
    """The progress comment of a ticket that waits for a service."""
    when = f" after {until[:16].replace('T', ' ')} UTC" if until else ""
    return (
        f"**Waiting:** {reason}\n\nNothing is lost and no attempt was used. "
        f"The work goes on by itself{when}{_beside(url)}."
    )


def bill(ledger: Sequence[LedgerEntry]) -> str:
    """What the runs so far cost."""
    if not ledger:
        return "No model was asked so far."
    tokens = sum(entry.tokens for entry in ledger)
    runs = f"{len(ledger)} {'run' if len(ledger) == 1 else 'runs'}"
    return f"So far: {runs} of a model, {tokens:,} tokens, {money(total_usd(ledger))}."


def plan_comment(
    plan: Plan,
    *,
    version: int,
    difference: PlanDifference | None,
    answers: Sequence[tuple[str, PointAnswer]],
    approve: str,
    approver: str,
    notes: Sequence[str],
    news: bool,
    estimate: str = "",
) -> str:
    """The plan for its approver, with what a revision changed and how each comment was answered."""
    parts = [f"## Plan{f', version {version}' if version > 1 else ''}", plan.summary]
    if difference is not None:
        parts.append("### What changed\n\n" + _difference(plan, difference))
    if answers:
        parts.append("### Your comments\n\n" + answer_list(answers))
    parts.append("### Sub-tasks\n\n" + plan_items(plan))
    if estimate:
        parts.append(f"### Cost\n\n{estimate[0].upper()}{estimate[1:]}")
    if notes:
        parts.append("### Worth knowing\n\n" + bullets(notes))
    if news:
        parts.append(
            "**New comments arrived while this plan was written.** They are answered next; the ticket stays with me."
        )
    else:
        whom = f"{mention(approver)}: " if approver else ""
        parts.append(
            f"### What happens next\n\n{whom}to approve, move this ticket to **{approve}**. "
            "To change the plan, comment and assign the ticket back to me."
        )
    return "\n\n".join(parts)


def plan_items(plan: Plan) -> str:
    """Every item in full."""
    return "\n\n".join(_item(at, item, plan) for at, item in enumerate(plan.items, 1))


def plan_lines(plan: Plan, file: str) -> str:
    """Every item in one line, for a plan whose details are in a file."""
    lines = []
    for at, item in enumerate(plan.items, 1):
        waits = ", ".join(code(id_) for id_ in plan.predecessors(item.id)[:3])
        lines.append(f"{at}. {item.title} ({code(item.id)}{f', after {waits}' if waits else ''})")
    return f"The details of all {len(plan.items)} are in the attachment {code(file)}.\n\n" + "\n".join(lines)


def _item(at: int, item: Item, plan: Plan) -> str:
    lines = [f"**{at}. {item.title}** ({code(item.id)})", item.description]
    facts = []
    if item.files:
        facts.append("Files: " + ", ".join(code(path) for path in item.files))
    if item.acceptance:
        facts.append("Done when: " + "; ".join(item.acceptance))
    if item.verify:
        facts.append("Verify: " + "; ".join(item.verify))
    waits = plan.predecessors(item.id)
    if waits:
        facts.append("After: " + ", ".join(code(id_) for id_ in waits))
    if item.risk != "low":
        facts.append(f"Risk: {item.risk}")
    return "\n\n".join(part for part in (*lines, bullets(facts)) if part)


def _difference(plan: Plan, difference: PlanDifference) -> str:
    titles = {item.id: item.title for item in plan.items}
    lines = [f"added {code(id_)}: {titles[id_]}" for id_ in difference.added]
    lines += [f"removed {code(id_)}" for id_ in difference.removed]
    lines += [f"changed {code(id_)}: {', '.join(fields)}" for id_, fields in difference.changed.items()]
    if difference.kept:
        lines.append("unchanged: " + ", ".join(code(id_) for id_ in difference.kept))
    if difference.is_reordered:
        lines.append("the order changed")
    return bullets(lines) if lines else "Nothing in the items."


def bullets(lines: Iterable[str]) -> str:
    """A bullet list."""
    return "\n".join(f"- {line}" for line in lines)


def answer_list(answers: Sequence[tuple[str, PointAnswer]]) -> str:
    """Each point with its answer; the first of a pair names the point."""
    words = {"done": "Done", "declined": "Declined", "question": "Question"}
    return bullets(
        f"{point}: **{words[answer.verdict]}.** {' '.join(answer.text.split())}" for point, answer in answers
    )


def thread_answer(answer: PointAnswer) -> str:
    """The reply to one review comment."""
    words = {"done": "Done.", "declined": "Not changed:", "question": "Question:"}
    return f"**{words[answer.verdict]}** {' '.join(answer.text.split())}".strip()


def name_point(point: Feedback) -> str:
    """How a point is called where its answer is listed."""
    excerpt = " ".join(point.text.split())
    excerpt = excerpt if len(excerpt) <= 80 else excerpt[:79] + "…"
    where = f" on {code(point.path)}" if point.path else ""
    return f"{point.author or 'The ticket'}{where} (“{excerpt}”)"


def nothing_new(approve: str) -> str:
    """Said when a planned ticket comes back without anything to answer."""
    return (
        "The plan above already answers everything on this ticket, so I am handing it back. "
        f"To approve it, move the ticket to **{approve}**; to change it, comment first and then assign it to me."
    )


def no_answer() -> str:
    """Said when a ticket comes back although its questions have no answer yet."""
    return (
        "My questions above have no answer yet that I can read, so I am handing the ticket back. "
        "Answer them in a comment here, or in the description, and assign the ticket to me."
    )


def no_feedback() -> str:
    """Said when a work ticket comes back without anything to answer."""
    return (
        "I found no comment or review that was not answered yet, so I am handing the ticket back. "
        "To have something changed, comment here or on the pull request and assign the ticket to me."
    )


def questions(asked: Sequence[str], *, requester: str, discarded: bool, summary: str = "") -> str:
    """Questions to the requester."""
    whom = f"{mention(requester)}: " if requester else ""
    lead = "Before I can go on I need an answer" if len(asked) == 1 else "Before I can go on I need answers"
    body = "\n".join(f"{at}. {' '.join(question.split())}" for at, question in enumerate(asked, 1))
    dropped = "\n\nEdits I had begun are discarded; nothing was pushed." if discarded else ""
    return (
        f"## Questions\n\n{whom}{lead}.{f' {summary}' if summary else ''}\n\n{body}{dropped}\n\n"
        "Answer in a comment and assign the ticket to me; I go on from there."
    )


def not_ready(summary: str, asked: Sequence[str], *, requester: str) -> str:
    """Why a ticket cannot be planned well yet."""
    whom = f"{mention(requester)}: " if requester else ""
    missing = f"\n\nWhat would help:\n\n{bullets(asked)}" if asked else ""
    return (
        f"## Not ready to plan\n\n{whom}{summary}{missing}\n\n"
        "Add this to the description or in a comment and assign the ticket to me."
    )


def breakdown(plan: Plan, keys: Mapping[str, str], *, removed: Sequence[str], changed_since: bool) -> str:
    """Which sub-task stands for which item."""
    rows = "\n".join(
        f"| {at} | {keys.get(item.id, 'removed')} | {item.title.replace('|', '/')} |"
        for at, item in enumerate(plan.items, 1)
    )
    extra = ""
    if removed:
        extra += f"\n\nRemoved by a person and not created again: {', '.join(code(id_) for id_ in removed)}."
    if changed_since:
        extra += (
            "\n\n**The description was changed after the plan was written.** The sub-tasks follow the approved plan; "
            "if the change matters, comment on the sub-task concerned."
        )
    return f"## Sub-tasks\n\nThe plan is approved. I work through these in order:\n\n| # | Ticket | What |\n|---|---|---|\n{rows}{extra}"


def sub_task(item: Item, plan_summary: str) -> str:
    """The description of a sub-task."""
    parts = [item.description]
    if item.acceptance:
        parts.append("### Acceptance criteria\n\n" + bullets(item.acceptance))
    if item.verify:
        parts.append("### How to verify\n\n" + bullets(item.verify))
    if item.files:
        parts.append("### Files expected\n\n" + bullets(code(path) for path in item.files))
    parts.append(f"### Part of\n\n{plan_summary}")
    return "\n\n".join(part for part in parts if part)


def handover(
    *,
    url: str,
    number: int,
    summary: str,
    checks: Sequence[CheckLine],
    answers: Sequence[tuple[str, PointAnswer]],
    reviewer: str,
    news: bool,
    is_new: bool,
    waits_for_approval: bool,
    waiting: Sequence[str] = (),
) -> str:
    """Work handed to its reviewer. ``waiting``: sub-tasks that share the pull request and are not in it yet."""
    whom = f"{mention(reviewer)}: " if reviewer else ""
    head = f"{whom}[pull request #{number}]({url}) is {'ready for review' if is_new else 'updated'}."
    parts = ["## Feedback worked in" if answers else "## Ready for review", head, summary]
    if answers:
        parts.append("### Each point\n\n" + answer_list(answers))
    parts.append("### Checks\n\n" + check_list(checks))
    if waits_for_approval:
        parts.append(
            "The repository's own checks may wait for **Approve workflows to run** in the pull request."
        )
    if news:
        parts.append("**New comments arrived meanwhile.** They are answered next; the ticket stays with me.")
    else:
        when = (
            f"It is shared, and {', '.join(waiting)} {'is' if len(waiting) == 1 else 'are'} not in it yet: "
            "merge it when all are."
            if waiting
            else "Merging it moves this ticket on."
        )
        parts.append(
            "To have something changed, comment here and assign the ticket to me, or request changes on the "
            f"pull request. {when}"
        )
    return "\n\n".join(part for part in parts if part)


def check_list(checks: Sequence[CheckLine]) -> str:
    """Checks as measured."""
    if not checks:
        return "No checks are configured, so nothing was measured."
    return bullets(_check(one) for one in checks)


def _check(one: CheckLine) -> str:
    result = "passed" if one.is_green else "failed"
    before = " (it failed before this work, too)" if one.was_green is False and not one.is_green else ""
    return f"{code(one.id)} {result} in {one.seconds:.1f} s{before}"


def no_change(
    summary: str, checks: Sequence[CheckLine], *, reviewer: str, answers: Sequence[tuple[str, PointAnswer]]
) -> str:
    """Said when the repository already does what the ticket asks."""
    whom = f"{mention(reviewer)}: " if reviewer else ""
    told = "\n\n### Each point\n\n" + answer_list(answers) if answers else ""
    is_asked = any(answer.verdict == "question" for _, answer in answers)
    return (
        f"## {'Nothing was changed yet' if is_asked else 'No change needed'}\n\n{whom}{summary}{told}\n\n### Checks\n\n{check_list(checks)}\n\n"
        "There is no pull request. If you agree, move the ticket to Done; if not, comment and assign it to me."
    )


def stopped_short(
    why: str, *, summary: str, url: str, number: int, checks: Sequence[CheckLine], reviewer: str, remedy: str
) -> str:
    """Work that ended before it was finished."""
    whom = f"{mention(reviewer)}: " if reviewer else ""
    kept = (
        f"What exists is kept as a draft: [pull request #{number}]({url})."
        if number
        else "Nothing was pushed."
    )
    parts = [f"## Not finished\n\n{whom}{why} {kept}", summary]
    if checks:
        parts.append("### Checks\n\n" + check_list(checks))
    parts.append(f"### What to do\n\n{remedy}")
    return "\n\n".join(part for part in parts if part)


def missing_base(base: str, *, is_named: bool) -> str:
    """What to do about a branch that work should start from and that is not there."""
    if is_named:
        return f"Create the branch {code(base)}, or correct `pull_request.base` in the configuration."
    return f"{missing_default(base)} Or name the branch to use in `pull_request.base` of the configuration."


def missing_default(base: str) -> str:
    """What to do about a default branch that is not there, or has no commit yet."""
    return (
        f"{code(base)} is the repository's default branch. If the repository is empty, push a first commit to it; if the "
        "branch was renamed or deleted, choose another one under Settings, General, Default branch."
    )


def then_assign(remedy: str) -> str:
    """What to do, and how the ticket goes on after it."""
    text = remedy.rstrip()
    return f"{text} Then assign this ticket to me." if text else "Assign this ticket to me to try again."


def put_away(status: str, *, first: str) -> tuple[str, str]:
    """Why work ended that a person moved away from, and how it goes on. ``first``: the status it needs before that."""
    how = f"Move the ticket to **{first}** and assign it" if first else "Assign the ticket"
    return (
        f"The ticket was moved to {code(status)} while I worked, so I stopped and left it there.",
        f"{how} to me to go on from what exists.",
    )


def failure(what: str, *, meaning: str, remedy: str, url: str, whom: str = "") -> str:
    """Something failed: what happened, what it means, what to do, where to look."""
    called = f"{mention(whom)}: " if whom else ""
    where = run_link(url) if url.startswith("http") else "log of the run"
    return f"## This run failed\n\n{called}{what}\n\n{meaning}\n\n### What to do\n\n{remedy} The details are in the {where}."


def merged(number: int, url: str, *, is_done: bool) -> str:
    """The pull request was merged."""
    return f"[Pull request #{number}]({url}) was merged{', so this ticket is done' if is_done else ''}."


def closed(number: int, url: str, *, by: str, reviewer: str) -> str:
    """The pull request was closed without a merge: a veto."""
    whom = f"{mention(reviewer)}: " if reviewer else ""
    who = f" by {by}" if by else ""
    return (
        f"{whom}[pull request #{number}]({url}) was closed{who} without being merged. I take that as a no and stop here.\n\n"
        "To have it done differently, say how in a comment and assign the ticket to me; to drop it, move the ticket to Done."
    )


def stranded(number: int, url: str, base: str, new_base: str) -> str:
    """The pull request was merged into a branch that had been merged before, so its work is not where it should be."""
    return (
        f"[Pull request #{number}]({url}) was merged into {code(base)}, but that branch had been merged before, so "
        f"this work is not in {code(new_base)} yet."
    )


def opened_again(new_base: str) -> str:
    """What happens then."""
    return f"I am opening a new pull request from the same branch to {code(new_base)}."


def stranded_without_branch(head: str, new_base: str, *, reviewer: str) -> str:
    """As above, when the branch is gone as well."""
    whom = f"{mention(reviewer)}: " if reviewer else ""
    return (
        f"\n\n{whom}the branch {code(head)} is gone, so I cannot. Restore it in the pull request and assign this "
        f"ticket to me; or bring the work to {code(new_base)} by hand and move the ticket to Done."
    )


def base_vanished(number: int, url: str, base: str, new_base: str) -> str:
    """The pull request was closed because its target branch is gone."""
    return (
        f"[Pull request #{number}]({url}) was closed because its target {code(base)} no longer exists. "
        f"I am opening a new one from the same branch to {code(new_base)}."
    )


def duplicate(key: str) -> str:
    """Two runs created a sub-task for the same item at once."""
    return f"This repeats {key}: two runs created it at the same moment. I work on {key} and close this one."


def repeated_comment() -> str:
    """What is left of a comment that repeats an older one."""
    return "*This repeated an older comment of mine: two runs worked on this ticket at the same moment.*"


def conflict(number: int, url: str, base: str, *, reviewer: str) -> str:
    """The base could not be merged into the pull request's branch."""
    whom = f"{mention(reviewer)}: " if reviewer else ""
    return (
        f"{whom}{code(base)} could not be merged into [pull request #{number}]({url}), because the two conflict. "
        "What was done so far stands.\n\nResolve the conflict on the branch; I build on what you push there."
    )


def rejected_predecessor(key: str, *, reviewer: str) -> str:
    """A sub-task this one builds on was rejected."""
    whom = f"{mention(reviewer)}: " if reviewer else ""
    return (
        f"{whom}this sub-task builds on {key}, whose pull request was rejected, so no work starts here.\n\n"
        f"When {key} is settled, assign this ticket to me; or move it to Done if it is not needed."
    )


def rejected_together(key: str, *, reviewer: str) -> str:
    """A sub-task whose shared pull request was rejected before it added anything."""
    whom = f"{mention(reviewer)}: " if reviewer else ""
    return (
        f"{whom}the pull request that all sub-tasks of {key} share was rejected, so no work starts here.\n\n"
        "To go on with what it holds, assign one of the sub-tasks in it to me first. To start without that, delete the "
        f"branch {code(f'ai/{key}')}. Then assign this ticket to me; or move it to Done if it is not needed."
    )


def completion(rows: Sequence[tuple[str, str, str]], ledger: Sequence[LedgerEntry], people: int) -> str:
    """The end of a parent: what was done, and what it cost."""
    table = "\n".join(f"| {key} | {summary.replace('|', '/')} | {result} |" for key, summary, result in rows)
    theirs = f" {people} of them by people." if people else ""
    return (
        f"## Done\n\nAll {len(rows)} sub-tasks are done.{theirs}\n\n| Ticket | What | Result |\n|---|---|---|\n{table}\n\n"
        f"{bill(ledger)}"
    )


def not_an_approver(name: str, approvers: Sequence[str]) -> str:
    """A mover who may not approve."""
    who = (
        f" {', '.join(mention(one) for one in approvers)}"
        if approvers
        else " an active person, not to an app"
    )
    return (
        f"{name} moved this ticket, but may not approve plans here; that is up to{who}. Nothing was started.\n\n"
        "To approve the plan, move the ticket out of this status and into it again."
    )


def edited_plan(editor: str, *, is_begun: bool) -> str:
    """An approved plan that somebody else had edited, before its sub-tasks were made or after."""
    so_far = "Sub-tasks that have not begun wait." if is_begun else "Nothing was started."
    return (
        f"The plan comment was edited by {editor}, so what was approved is not what I wrote. {so_far}\n\n"
        "Move the ticket back to Plan Review and assign it to me: I work the edit into a new version for approval."
    )


def no_execution(label: str) -> str:
    """An approval of a ticket that is only planned."""
    return (
        f"The plan is approved, but the label {code(label)} says plan only, so nothing was started.\n\n"
        "Remove the label and approve again to have it done."
    )


def assign_stories(type_name: str) -> str:
    """A ticket above the level that is planned."""
    return f"I plan stories and tasks, not a ticket of type {type_name}. Please assign its stories to me instead."


def not_my_sub_task(direct_label: str) -> str:
    """A sub-task that somebody else created."""
    return (
        "I did not create this sub-task from an approved plan, so I leave it alone.\n\n"
        f"To have it done as it stands, add the label {code(direct_label)} and assign it to me again."
    )


def missing_plan() -> str:
    """A ticket that was approved after its plan comment had been deleted."""
    return (
        "This ticket was moved on as if its plan were approved, but my plan comment is not here any more. "
        "Nothing was started.\n\nAssign the ticket to me to get a new plan."
    )


def at_rest(name: str, wanted: str) -> str:
    """A ticket given to the runner in a status that people put it in and in which nothing is open."""
    return (
        f"This ticket is assigned to me, but somebody put it into {code(name)}, and I asked nothing here that is still "
        f"open.\n\nTo have me go on, comment if something should change, and move it to {code(wanted)}."
    )


def unknown_status(name: str, wanted: Sequence[str]) -> str:
    """A ticket in a status that no row of the table knows."""
    return (
        f"This ticket is assigned to me, but I do not act on the status {code(name)}.\n\n"
        f"Move it to one of {', '.join(code(one) for one in wanted)}, or add the name to `jira.statuses` in the configuration."
    )


def linked_line(linked: LinkedTicket) -> str:
    """A linked ticket in one line."""
    return f"{linked.relation} {linked.key}: {linked.summary} ({linked.status.name})"
