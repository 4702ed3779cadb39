"""What opens a conversation: the ticket and its surroundings, cleaned, capped and fenced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runner.core.feedback import Feedback
from runner.core.handover import Context, Said, Work
from runner.core.plan import Item, Plan
from runner.core.redact import clean, fence

MAX_TEXT = 20_000
MAX_COMMENT = 4_000
MAX_COMMENTS = 60
MAX_LISTED = 200
MAX_GUIDANCE = 32 * 1024


@dataclass(frozen=True, kw_only=True)
class Materials:
    """The texts of one piece of work, each ready for its place in a prompt. ``tag`` is fresh for every run."""

    tag: str
    context: Context
    work: Work
    tracked: Sequence[str]
    guidance: str = ""

    def ticket(self) -> str:
        """The ticket, its comments, its parent and linked tickets."""
        context = self.context
        parts = [f"Type: {context.type}", f"Summary: {context.summary}", clean(context.description, MAX_TEXT)]
        if context.comments:
            parts.append("Comments, oldest first:\n" + _comments(context.comments))
        if context.parent_key:
            parts.append(
                f"Part of {context.parent_key}: {context.parent_summary}\n{clean(context.parent_description, MAX_TEXT)}"
            )
        if context.parent_comments:
            parts.append("Comments on the parent:\n" + _comments(context.parent_comments))
        parts += [
            f"{linked.relation} {linked.key}: {linked.summary}\n{clean(linked.description, MAX_COMMENT)}"
            for linked in context.linked
        ]
        parts += [
            f"Attachment {name}:\n{clean(text, MAX_TEXT)}" for name, text in context.attachments.items()
        ]
        return self._fenced("ticket", "\n\n".join(part for part in parts if part.strip()))

    def plan(self) -> str:
        """The plan so far: the one to revise, or the one this item belongs to."""
        plan = self.work.plan
        if plan is None:
            return ""
        edited = self.context.edited_plan
        text = _plan_text(plan)
        if edited:
            text += f"\n\nA person edited the plan comment, which now reads:\n{clean(edited, MAX_TEXT)}"
        return self._fenced("plan", text)

    def item(self) -> str:
        """The item of the plan that this sub-task stands for."""
        return self._fenced("item", _item_text(self.work.item)) if self.work.item is not None else ""

    def feedback(self) -> str:
        """Every point of feedback with its id."""
        if not self.work.feedback:
            return ""
        return self._fenced("feedback", "\n\n".join(_point(point) for point in self.work.feedback))

    def repository(self) -> str:
        """What lies where, cut to a readable length."""
        listed = _outline(self.tracked)
        return self._fenced("repository", f"{len(self.tracked)} files:\n" + "\n".join(listed))

    def rules(self) -> str:
        """The repository's own guidance for agents, from the commit the work starts on."""
        return self._fenced("guidance", clean(self.guidance, MAX_GUIDANCE)) if self.guidance.strip() else ""

    def _fenced(self, name: str, text: str) -> str:
        return fence(name, text, self.tag)


def _comments(comments: Sequence[Said]) -> str:
    left_out = len(comments) - MAX_COMMENTS
    note = [f"({left_out} older comments are left out)"] if left_out > 0 else []
    kept = [
        f"{one.author}, {one.at[:16]}: {clean(one.text, MAX_COMMENT)}" for one in comments[-MAX_COMMENTS:]
    ]
    return "\n".join([*note, *kept])


def _point(point: Feedback) -> str:
    where = f" on {point.path}" + (f" line {point.line}" if point.line else "") if point.path else ""
    who = f" by {point.author}" if point.author else ""
    return f"[{point.id}] {point.source}{who}{where}:\n{clean(point.text, MAX_COMMENT)}"


def _plan_text(plan: Plan) -> str:
    return "\n\n".join([plan.summary, *(_item_text(item) for item in plan.items)])


def _item_text(item: Item) -> str:
    lines = [f"{item.id}: {item.title}", item.description]
    lines += [f"file: {path}" for path in item.files]
    lines += [f"acceptance: {one}" for one in item.acceptance]
    lines += [f"verify: {one}" for one in item.verify]
    lines += [f"depends on: {one}" for one in item.depends_on]
    return "\n".join(line for line in lines if line)


def _outline(paths: Iterable[str]) -> list[str]:
    """Paths if they are few, folders with counts if they are many."""
    every = sorted(paths)
    if len(every) <= MAX_LISTED:
        return every
    folders: dict[str, int] = {}
    for path in every:
        folder = "/".join(path.split("/")[:-1][:2]) or "."
        folders[folder] = folders.get(folder, 0) + 1
    rows = [f"{folder}/ ({count} files)" for folder, count in sorted(folders.items())]
    left_out = len(rows) - MAX_LISTED
    return rows[:MAX_LISTED] + ([f"({left_out} more folders)"] if left_out > 0 else [])
