"""A plan that does not fit into a comment: its machine form, and if need be its whole text, go into files.

The comment's marker names the file, and the file's name holds the plan's digest: it is uploaded once, and what
it says counts only when that digest fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.core import texts
from runner.core.attachments import plan_file
from runner.core.effects import AttachFile, PutComment
from runner.core.markers import to_line
from runner.core.plan import Plan

# Jira holds 32,767 characters and our documents 30,000; the rest is room for what only the document counts.
MAX_COMMENT = 28_000


def fitted(said: PutComment, plan: Plan) -> tuple[AttachFile | PutComment, ...]:
    """The plan comment and, before it, the files without which it would be too long."""
    if _length(said) <= MAX_COMMENT:
        return (said,)
    machine = plan_file(plan.digest, "json")
    slim = replace(said, collapsed=(), marker=replace(said.marker, attachment=machine))
    first = AttachFile(key=said.key, name=machine, text=plan.to_text(), media_type="application/json")
    if _length(slim) <= MAX_COMMENT:
        return (first, slim)
    readable = plan_file(plan.digest, "md")
    second = AttachFile(key=said.key, name=readable, text=said.markdown, media_type="text/markdown")
    brief = slim.markdown.replace(texts.plan_items(plan), texts.plan_lines(plan, readable))
    room = MAX_COMMENT - _length(replace(slim, markdown=""))
    return (first, second, replace(slim, markdown=_shortened(brief, room, readable)))


def _length(said: PutComment) -> int:
    parts: Sequence[str] = (said.markdown, *(text for _, text in said.collapsed), to_line(said.marker))
    return sum(len(part.encode("utf-16-le")) // 2 for part in parts)


def _shortened(markdown: str, room: int, name: str) -> str:
    """Cut at the end of a line in the middle: what to do next stands at the end and stays."""
    if len(markdown.encode("utf-16-le")) // 2 <= room:
        return markdown
    ending = markdown[markdown.rfind("\n\n### ") :] if "\n\n### " in markdown else ""
    pointer = f"\n\n[… cut here; all of it is in {texts.code(name)}]"
    # Every character may count twice, so half the room is always enough.
    kept = markdown[: max(room // 2 - len(pointer) - len(ending[: room // 4]), 0)]
    return kept[: max(kept.rfind("\n"), 0)] + pointer + ending[: room // 4]
