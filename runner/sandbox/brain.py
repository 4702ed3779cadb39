"""The scripted model of the demo. It works on what it is offered and shown, as a model would; it has no memory.

With read-only tools it reads and writes notes, with a schema it answers with a plan, with all tools it does the
work. What it cannot do itself, in a repository it does not know, it notes down instead and says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from runner.sandbox.models_wire import ModelReply, ModelRequest, ToolUse
from runner.sandbox.observed import Edit, Item, Move, NewFile, Observed, Point, bullets
from runner.sandbox.recipes import (
    JIRA_FEEDBACK,
    OTHER_ANSWER,
    PLAN_COMMENT,
    QUESTION,
    QUESTION_ANSWER,
    REVIEW_BODY,
    REVIEW_INLINE,
    TICKET_DESCRIPTION,
    TICKET_SUMMARY,
    plan_items,
    recipe_for,
    revised_item,
    sample_files,
)

__all__ = [
    "JIRA_FEEDBACK",
    "OTHER_ANSWER",
    "PLAN_COMMENT",
    "QUESTION",
    "QUESTION_ANSWER",
    "REVIEW_BODY",
    "REVIEW_INLINE",
    "TICKET_DESCRIPTION",
    "TICKET_SUMMARY",
    "StoryBrain",
    "sample_files",
]

MAX_READ = 8
_GUIDES = ("README.md", "README.rst", "README", "AGENTS.md", "CONTRIBUTING.md")
_CODE = (".py", ".js", ".ts", ".tsx", ".go", ".rs", ".rb", ".java", ".kt", ".cs", ".c", ".cpp", ".php", ".sh")
_DEFINITION = re.compile(
    r"^(?:def|class|func|fn|function|export|public|pub)\s[^\n{]*?(\w+)\s*[(:<{]", re.MULTILINE
)
_COMMON = {
    "that",
    "this",
    "with",
    "from",
    "have",
    "what",
    "when",
    "which",
    "them",
    "they",
    "their",
    "does",
    "were",
}
# As `_note` writes it: lists in the ticket may begin with code, too.
_NOTED = re.compile(r"^- `([^`]+)`: (?:\d+ lines|long;)", re.MULTILINE)


class StoryBrain:
    """Plays the model: for the sample project's story in full, for any other repository by honest notes."""

    def answer(self, request: ModelRequest) -> ModelReply:
        """Look at what is offered and do the next thing."""
        seen = Observed(request)
        if request.schema is not None:
            return ModelReply(thinking="Small items with their own tests.", text=json.dumps(_plan(seen)))
        if seen.is_to_write_notes:
            return ModelReply(thinking="I write down where I am.", text=_notes(seen))
        if "finish" in request.tool_names:
            recipe = recipe_for(seen) or _noting
            return recipe(seen) or _noting_finished(seen)
        return _reading(seen) or ModelReply(thinking="I have seen enough.", text=_notes(seen))


# --- reading for a plan ----------------------------------------------------------------------------


def _reading(seen: Observed) -> Move:
    """List, read what the ticket is about, search; nothing more when no tool is offered."""
    if "read_file" not in seen.request.tool_names:
        return None
    return (
        _listing(seen)
        or seen.read(*_guides(seen), why="First what the project says about itself.")
        or seen.read(*_relevant(seen), why="Then the code that the ticket is about, and its tests.")
        or seen.search(f"(?i){_keyword(seen)}", "Is any of it there already?")
    )


def _listing(seen: Observed) -> Move:
    if seen.answers_of("list_files"):
        return None
    call = ToolUse(name="list_files", arguments={"path": None, "depth": 4})
    return ModelReply(thinking="I look around.", tool_calls=(call,))


def _guides(seen: Observed) -> tuple[str, ...]:
    return tuple(name for name in _GUIDES if name in seen.listing)[:2]


def _relevant(seen: Observed) -> tuple[str, ...]:
    """Code whose path shares words with the ticket, and what is near it; few files."""
    words = _words(f"{seen.wish} {seen.description}")
    code = [path for path in seen.listing if path.endswith(_CODE) and not path.endswith("__init__.py")]
    scored = sorted(code, key=lambda path: (-len(words & _words(path)), path.count("/"), path))
    return tuple(scored[:MAX_READ])


def _keyword(seen: Observed) -> str:
    return max(sorted(_words(seen.summary)), key=len, default="TODO")


def _words(text: str) -> set[str]:
    """Words of a text without their plural, so that paths and sentences meet."""
    found = re.findall(r"[a-z]{4,}", text.lower())
    return {word.removesuffix("s") for word in found} - _COMMON


def _notes(seen: Observed) -> str:
    """What was read, as it will be needed for the plan."""
    lines = [_note(path, seen.files.get(path)) for path in seen.read_paths]
    searched = [
        f"Searched for `{arguments['pattern']}`: {answer.splitlines()[0]}."
        for arguments, answer in seen.answers_of("search")
    ]
    points = [f"To answer: {point.id}." for point in seen.points]
    return "\n".join(["What I read:", *lines, *searched, *points, "Each item brings its own tests."])


def _note(path: str, text: str | None) -> str:
    if text is None:
        return f"- `{path}`: long; read in part"
    names = _DEFINITION.findall(text)[:8]
    return f"- `{path}`: {text.count(chr(10))} lines" + (f", defines {', '.join(names)}" if names else "")


# --- the plan --------------------------------------------------------------------------------------


def _plan(seen: Observed) -> dict[str, object]:
    """The structured answer: a first plan, or the earlier one changed only where feedback asks for it."""
    before = seen.plan
    after = _revised(before, seen.points) if before else _first_plan(seen)
    changed = [new.id for new in after if new not in before]
    summary = (
        f"Changes {', '.join(changed) or 'nothing'}; all other items stay as they were."
        if before
        else f"{seen.summary}: {len(after)} small {'item' if len(after) == 1 else 'items'}, each with its own tests."
    )
    return {
        "outcome": "plan",
        "summary": summary,
        "items": [item.answer for item in after],
        "questions": [],
        "answers": [
            {"id": point.id, "verdict": "done", "text": _plan_answer(before, point)} for point in seen.points
        ],
    }


def _first_plan(seen: Observed) -> tuple[Item, ...]:
    noted = set(_NOTED.findall(seen.opening))
    told = plan_items(f"{seen.summary}\n{seen.description}") if "till/money.py" in noted else ()
    return told or _noting_plan(seen, sorted(noted))


def _revised(items: Sequence[Item], points: Sequence[Point]) -> tuple[Item, ...]:
    after = tuple(items)
    for point in points:
        after = _revised_for(after, point)
    return after


def _revised_for(items: tuple[Item, ...], point: Point) -> tuple[Item, ...]:
    """Change the item the point is about; if none is, the closest one gets the point as a criterion."""
    told = tuple(revised_item(item, point) for item in items)
    if told != items:
        return told
    wish = point.text.splitlines()[0][:300] if point.text else ""
    if not wish or any(wish in item.acceptance for item in items):
        return items
    closest = max(items, key=lambda item: len(_words(item.text) & _words(point.text)))
    return tuple(
        replace(item, acceptance=(*item.acceptance, wish)) if item is closest else item for item in items
    )


def _plan_answer(before: Sequence[Item], point: Point) -> str:
    if not before:
        return "Taken into account in this plan."
    after = _revised_for(tuple(before), point)
    changed = [new.id for old, new in zip(before, after, strict=True) if old != new]
    return f"`{'`, `'.join(changed)}` follows this now." if changed else "The plan already holds this."


def _noting_plan(seen: Observed, read: Sequence[str]) -> tuple[Item, ...]:
    """For a repository without a recipe: what can be done honestly is to note what the work would touch."""
    slug, named = _slug(seen.summary), ", ".join(f"`{path}`" for path in read[:4]) or "the repository"
    wanted = bullets(seen.description)
    first = Item(
        id="notes",
        title=f"Note what is needed: {seen.summary}"[:100],
        description=f"A scripted model plans this, so it writes down what would change, after reading {named}.",
        files=(f"docs/{slug}.md",),
        acceptance=(f"docs/{slug}.md names the files concerned and every open criterion.",),
    )
    if len(wanted) < 2:
        return (first,)
    second = Item(
        id="testing-notes",
        title=f"Note how to test: {seen.summary}"[:100],
        description="For each criterion of the ticket, how a person would see that it holds.",
        files=(f"docs/{slug}-testing.md",),
        acceptance=tuple(f"It says how to test: {one}"[:400] for one in wanted[:6]),
    )
    return (first, second)


# --- work without a recipe -------------------------------------------------------------------------


def _noting(seen: Observed) -> Move:
    """Read, write a note about what was asked and seen, run the checks."""
    return (
        seen.read(*_guides(seen), *_relevant(seen)[:3])
        or seen.read(_note_path(seen), why="Is there a note already?")
        or seen.apply(*_note_changes(seen), why="I note what I can say for certain.")
        or seen.check()
    )


def _noting_finished(seen: Observed) -> ModelReply:
    path, is_asked = _note_path(seen), seen.item is not None and _note_path(seen) in seen.item.files
    rest = () if is_asked or seen.points else ("the change itself, which a scripted model cannot write here",)
    return seen.finish(
        f"Adds `{path}` with what the work asks for and the files it concerns. No code was changed.",
        evidence=path,
        unmade=(*seen.unmade(*_note_changes(seen)), *rest),
        answers=((r"", f"Noted in `{path}`; no code was changed."),),
    )


def _note_path(seen: Observed) -> str:
    planned = [
        path
        for path in (seen.item.files if seen.item else ())
        if path.startswith("docs/") and path.endswith(".md")
    ]
    return planned[0] if planned else f"docs/{_slug(seen.item.id if seen.item else seen.summary)}.md"


def _note_changes(seen: Observed) -> tuple[Edit | NewFile, ...]:
    path = _note_path(seen)
    if not seen.has(path):
        return (NewFile(path=path, content=_note_text(seen)),)
    heading, _, _ = seen.files.get(path, "").partition("\n")
    added = [f"- {' '.join(point.text.split())[:300]}" for point in seen.points]
    return tuple(
        Edit(path=path, old=f"{heading}\n", new=f"{heading}\n\n{line}\n", made=line)
        for line in added
        if heading
    )


def _note_text(seen: Observed) -> str:
    title = seen.item.title if seen.item else seen.summary
    files = [path for path in seen.read_paths if PurePosixPath(path).suffix in _CODE or path in _GUIDES]
    parts = [f"# {title}", "## Asked for", *(f"- {one}" for one in seen.criteria or (seen.summary,))]
    parts += ["## Looked at", *(f"- `{one}`" for one in files)]
    parts += (
        ["## Said about it", *(f"- {' '.join(one.text.split())[:300]}" for one in seen.points)]
        if seen.points
        else []
    )
    return re.sub(r"\n(## [^\n]*)\n", r"\n\n\1\n\n", "\n".join(parts)) + "\n"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-") or "note"
