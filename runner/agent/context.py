"""What opens a conversation: the ticket and its surroundings, cleaned, capped and fenced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from runner.agent.guidance import Guidance
from runner.agent.repomap import RepositoryMap, map_of
from runner.core.feedback import Feedback
from runner.core.handover import Context, Said, Work
from runner.core.plan import Item, Plan
from runner.core.redact import clean, fence
from runner.core.work import Input, Predecessor, UserImage, UserText

MAX_TEXT = 20_000
MAX_COMMENT = 4_000
MAX_COMMENTS = 60
MAX_PREDECESSORS = 5
MAX_FILES = 40


@dataclass(frozen=True, kw_only=True)
class Materials:
    """The texts of one piece of work, each ready for its place in a prompt. ``tag`` is fresh for every run."""

    tag: str
    context: Context
    work: Work
    tracked: Sequence[str]
    guidance: Guidance = field(default_factory=Guidance)
    predecessors: Sequence[Predecessor] = ()

    def ticket(self) -> str:
        """The ticket, its comments, its parent and linked tickets."""
        context = self.context
        parts = [f"Type: {context.type}", f"Summary: {context.summary}", clean(context.description, MAX_TEXT)]
        if context.acceptance:
            criteria = "\n".join(f"- {clean(one, MAX_COMMENT)}" for one in context.acceptance)
            parts.append(f"Acceptance criteria:\n{criteria}")
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
        """What lies where, as far as a small budget goes, and what earlier sub-tasks changed."""
        counts = "; a folder with the number of files in it" if self.map.counted else ""
        parts = [f"{len(self.tracked)} files{counts}:", *self.map.lines]
        for one in self.predecessors[:MAX_PREDECESSORS]:
            files = ", ".join(one.files[:MAX_FILES])
            more = f" and {len(one.files) - MAX_FILES} more" if len(one.files) > MAX_FILES else ""
            parts.append(f"\nEarlier work below this, {clean(one.subject, 200)}: {files}{more}")
        return self._fenced("repository", "\n".join(parts))

    def rules(self) -> str:
        """The repository's own guidance for agents, from the base commit."""
        return self._fenced("guidance", clean(self.guidance.text)) if self.guidance.text.strip() else ""

    def inputs(self, text: str) -> tuple[Input, ...]:
        """The first message: its text, then the attached pictures."""
        images = (
            (
                UserText(text=f"Attached picture {one.name}:"),
                UserImage(media_type=one.media_type, data=one.data),
            )
            for one in self.context.images
        )
        return (UserText(text=text), *(part for pair in images for part in pair))

    @cached_property
    def near(self) -> tuple[str, ...]:
        """Paths that the work is expected to touch: those of the item, and those that feedback is about."""
        files = self.work.item.files if self.work.item is not None else ()
        planned = (
            () if self.work.plan is None or files else (f for i in self.work.plan.items for f in i.files)
        )
        return tuple(dict.fromkeys([*files, *planned, *(one.path for one in self.work.feedback if one.path)]))

    @cached_property
    def map(self) -> RepositoryMap:
        """The part of the repository that is shown."""
        return map_of(self.tracked, self.near)

    def record(self) -> Mapping[str, Any]:
        """What was chosen and what was left out, for the transcript."""
        return {
            "files": len(self.tracked),
            "listed": self.map.listed,
            "counted": self.map.counted,
            "left_out": self.map.left_out,
            "guidance": list(self.guidance.used),
            "guidance_left_out": list(self.guidance.left_out),
            "predecessors": [one.key for one in self.predecessors],
            "comments_left_out": max(0, len(self.context.comments) - MAX_COMMENTS),
            "images": len(self.context.images),
            "skipped_attachments": dict(self.context.skipped_attachments),
        }

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
