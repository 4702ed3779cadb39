"""What a scripted model can know: the prompt's blocks, the tools on offer, and what the tools answered so far.

Everything is derived anew from each request, so nothing depends on how often or in which order it is asked.
Success of a call is read from what its answer says, because only one of the two APIs marks failures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.sandbox.models_wire import ModelReply, ModelRequest, ToolUse

Move = ModelReply | None
"""The next thing to do, or ``None`` when there is nothing left of its kind."""

_BLOCK = re.compile(r"<([a-z][a-z0-9_-]*)-([A-Za-z0-9]{8,64})>\n(.*?)\n</\1-\2>", re.DOTALL)
_HEADING = re.compile(r"(?:\A|(?<=\n\n))([a-z][a-z0-9-]{0,23}): (\S.*)")
_FIELDS = {"file": "files", "acceptance": "acceptance", "verify": "verify", "depends on": "depends_on"}
_POINT = re.compile(
    r"^\[([^\]\s]+)\] (comment|ticket|review|thread|conversation|check)(?: by (.*?))?(?: on (\S+?)(?: line (\d+))?)?:$",
    re.MULTILINE,
)
_COMMENT = re.compile(r"^.{1,200}?, \d{4}-\d\d-\d\dT\d\d:\d\d: ", re.MULTILINE)
_AFTER_DESCRIPTION = re.compile(
    r"\n\n(?:Comments, oldest first:|Part of |Comments on the parent:|Attachment )|\Z"
)
_PAGE = re.compile(r"(?:(\d+) lines?|lines \d+ to \d+ of \d+)((?:; [^\n;]+)*)")
_CHECK = re.compile(r"Check (\S+) is (green|red): ")
_CHANGED_EARLIER = re.compile(
    r"in an earlier conversation;.*?^(?:changed|deleted): ", re.DOTALL | re.MULTILINE
)
_BULLET = re.compile(r"^\s*[-*+]\s+(.+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A planned piece of work as the prompt shows it."""

    id: str
    title: str
    description: str = ""
    files: tuple[str, ...] = ()
    acceptance: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What it asks for, in words."""
        return "\n".join([self.title, self.description, *self.acceptance])

    @property
    def answer(self) -> dict[str, Any]:
        """The item as the plan's schema wants it."""
        return {
            "id": self.id,
            "title": self.title,
            "description": self.description,
            "files": list(self.files),
            "acceptance": list(self.acceptance),
            "verify": list(self.verify),
            "depends_on": list(self.depends_on),
            "risk": "low",
        }


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point of feedback as the prompt shows it."""

    id: str
    source: str
    text: str
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """An exact replacement. ``made`` is what stands in the file once it was made, by default ``new``."""

    path: str
    old: str
    new: str
    made: str = ""

    def is_made(self, text: str) -> bool:
        """Whether the file already holds this edit."""
        return (self.made or self.new) in text


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """A file to write where there is none yet."""

    path: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """How a check ended on the files as they are."""

    is_green: bool
    output: str


@dataclass
class _Told:
    """What the tools answered, replayed in order."""

    files: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    changed: list[str] = field(default_factory=list)
    checks: dict[str, Checked] = field(default_factory=dict)
    done: list[tuple[str, Mapping[str, Any], str]] = field(default_factory=list)
    refused: list[tuple[str, Mapping[str, Any], str]] = field(default_factory=list)

    def hear(self, call: ToolUse, answer: str) -> None:
        arguments = call.arguments if isinstance(call.arguments, Mapping) else {}
        took = getattr(self, f"_{call.name}", self._other)(arguments, answer)
        (self.done if took else self.refused).append((call.name, arguments, answer))

    def _read_file(self, arguments: Mapping[str, Any], answer: str) -> bool:
        path = str(arguments.get("path"))
        page = _PAGE.match(answer)
        if page is None and not answer.startswith(f"{path} is empty."):
            self.absent.add(path)
            return False
        self.seen.add(path)
        if page is None:
            self.files[path] = ""
        elif page[1] is not None:
            lines = answer.split("\n")[1 : 1 + int(page[1])]
            end = "" if "no newline at the end" in page[2] else "\n"
            self.files[path] = "\n".join(line.partition("|")[2] for line in lines) + end
        return True

    def _edit_file(self, arguments: Mapping[str, Any], answer: str) -> bool:
        if not answer.startswith("Edited"):
            return False
        path = str(arguments["path"])
        self.files[path] = self.files.get(path, "").replace(str(arguments["old"]), str(arguments["new"]), 1)
        self._change(path)
        return True

    def _write_file(self, arguments: Mapping[str, Any], answer: str) -> bool:
        if not answer.startswith("Wrote "):
            return False
        path = str(arguments["path"])
        self.files[path] = str(arguments["content"])
        self._change(path)
        return True

    def _run_check(self, _: Mapping[str, Any], answer: str) -> bool:
        found = _CHECK.match(answer)
        if found is not None:
            self.checks[found[1]] = Checked(is_green=found[2] == "green", output=answer)
        return found is not None

    def _finish(self, _: Mapping[str, Any], __: str) -> bool:
        return False  # a finish that worked has no answer

    def _other(self, _: Mapping[str, Any], answer: str) -> bool:
        return not answer.startswith(("There is no ", "The repository has no files."))

    def _change(self, path: str) -> None:
        self.absent.discard(path)
        self.seen.add(path)
        self.changed.append(path)
        self.checks.clear()


class Observed:
    """One request, read. The methods that return a ``Move`` say what is still to do, ``None`` when it is done."""

    def __init__(self, request: ModelRequest) -> None:
        self.request = request
        self.opening = next((one.text for one in request.messages if one.role == "user"), "")
        self.blocks = {found[1]: found[3] for found in _BLOCK.finditer(self.opening)}
        self._told = _told(request)

    # --- what the prompt says -------------------------------------------------------------------

    @property
    def summary(self) -> str:
        """The ticket's title."""
        found = re.search(r"^Summary: (.*)$", self.blocks.get("ticket", ""), re.MULTILINE)
        return found[1].strip() if found else ""

    @property
    def description(self) -> str:
        """The ticket's description, without comments and parent."""
        _, _, rest = self.blocks.get("ticket", "").partition(f"Summary: {self.summary}")
        end = _AFTER_DESCRIPTION.search(rest)
        return rest[: end.start() if end else None].strip()

    @property
    def comments(self) -> tuple[str, ...]:
        """What people said on the ticket and its parent, in the order of the prompt."""
        ticket = self.blocks.get("ticket", "")
        return tuple(rest for _, rest in _cut(ticket, list(_COMMENT.finditer(ticket))))

    @property
    def item(self) -> Item | None:
        """The item of the plan that this ticket stands for."""
        return next(iter(items_in(self.blocks.get("item", ""))), None)

    @property
    def plan(self) -> tuple[Item, ...]:
        """The items of the plan so far, as written."""
        text, _, _ = self.blocks.get("plan", "").partition("\n\nA person edited the plan comment")
        return tuple(items_in(text))

    @property
    def points(self) -> tuple[Point, ...]:
        """The feedback to answer."""
        text = self.blocks.get("feedback", "")
        return tuple(
            Point(id=one[1], source=one[2], path=one[4] or "", text=rest)
            for one, rest in _cut(text, list(_POINT.finditer(text)))
        )

    @property
    def listing(self) -> tuple[str, ...]:
        """Paths of the repository: the prompt's listing and what ``list_files`` showed; folders end with a slash."""
        listed = self.blocks.get("repository", "").splitlines()[1:]
        for name, _, answer in self._told.done:
            listed += answer.splitlines()[1:] if name == "list_files" else []
        return tuple(sorted({line.partition(" (")[0].partition(" -> ")[0] for line in listed} - {""}))

    @property
    def wish(self) -> str:
        """What this piece of work asks for: the item's words, else the ticket's."""
        return self.item.text if self.item else f"{self.summary}\n{self.description}"

    @property
    def criteria(self) -> tuple[str, ...]:
        """The acceptance criteria: the item's, else the list in the ticket."""
        return self.item.acceptance if self.item else bullets(self.description)

    @property
    def said(self) -> tuple[str, ...]:
        """What people said about this piece of work, newest first, the ticket's own text last."""
        points = [point.text for point in reversed(self.points)]
        return (*points, *reversed(self.comments), self.wish, self.description)

    def wants(self, pattern: str) -> bool:
        """Whether a point of feedback speaks of this."""
        return any(re.search(pattern, point.text, re.IGNORECASE) for point in self.points)

    # --- what the tools showed ------------------------------------------------------------------

    @property
    def files(self) -> Mapping[str, str]:
        """Whole contents by path, as read or as changed since."""
        return self._told.files

    @property
    def read_paths(self) -> tuple[str, ...]:
        """Every file that was seen."""
        return tuple(sorted(self._told.seen))

    @property
    def is_changed(self) -> bool:
        """Whether this work changed a file, in this conversation or in the one that it goes on from."""
        return bool(self._told.changed) or _CHANGED_EARLIER.search(self._texts) is not None

    @property
    def is_to_write_notes(self) -> bool:
        """Whether the conversation is about to be replaced and only words are wanted."""
        last = next((one.text for one in reversed(self.request.messages) if one.role == "user"), "")
        return "Call no tool." in last

    @property
    def _texts(self) -> str:
        return "\n".join(one.text for one in self.request.messages if one.role == "user")

    @property
    def red(self) -> Mapping[str, Checked]:
        """Checks that are red on the files as they are."""
        return {id_: check for id_, check in self._told.checks.items() if not check.is_green}

    def answers_of(self, tool: str) -> tuple[tuple[Mapping[str, Any], str], ...]:
        """The successful calls of a tool with what it said."""
        return tuple((arguments, answer) for name, arguments, answer in self._told.done if name == tool)

    def has(self, path: str) -> bool:
        """Whether a file exists, as far as known."""
        return path in self._told.seen or (path in self.listing and path not in self._told.absent)

    # --- what to do next ------------------------------------------------------------------------

    def read(self, *paths: str, why: str = "I read what this touches.") -> Move:
        """Read those files that were not read yet."""
        known = self._told.seen | self._told.absent
        missing = [path for path in dict.fromkeys(paths) if path not in known]
        return _calls(why, *(ToolUse(name="read_file", arguments={"path": one, **_WHOLE}) for one in missing))

    def search(self, pattern: str, why: str) -> Move:
        """Search once."""
        tried = [
            arguments.get("pattern")
            for name, arguments, _ in (*self._told.done, *self._told.refused)
            if name == "search"
        ]
        if pattern in tried:
            return None
        return _calls(
            why, ToolUse(name="search", arguments={"pattern": pattern, "path": None, "context": None})
        )

    def ask(self, question: str, why: str) -> Move:
        """Ask the people who wrote the ticket."""
        return _calls(why, ToolUse(name="ask", arguments={"questions": [question]}))

    def apply(self, *changes: Edit | NewFile, why: str) -> Move:
        """Make those changes that were not made yet and can be made on the files as they are."""
        pending = [_change_call(one) for one in changes if self._is_possible(one)]
        return _calls(why, *(call for call in pending if not self._was_refused(call)))

    def unmade(self, *changes: Edit | NewFile) -> tuple[str, ...]:
        """Paths of changes that are not made: their place was not found or the tool refused."""
        return tuple(dict.fromkeys(one.path for one in changes if not self._is_made(one)))

    def check(self) -> Move:
        """Run the checks that were not run on the files as they are."""
        tool = next((one for one in self.request.tools if one.name == "run_check"), None)
        if tool is None:
            return None
        ids = tool.parameters["properties"]["id"].get("enum", ())
        missing = [id_ for id_ in ids if id_ not in self._told.checks]
        return _calls(
            "I run the checks.", *(ToolUse(name="run_check", arguments={"id": one}) for one in missing)
        )

    def finish(
        self,
        summary: str,
        *,
        evidence: str,
        answers: Sequence[tuple[str, str]] = (),
        unmade: Sequence[str] = (),
    ) -> ModelReply:
        """End the work honestly. ``answers`` pairs a pattern for points of feedback with what to say to them."""
        was_refused = any(name == "finish" for name, _, _ in self._told.refused)
        if (
            was_refused
        ):  # a check that was red before the work speaks against nothing, and only the loop knows
            unmade = (*unmade, *(f"the check {id_} is red" for id_ in self.red))
        outcome = "done" if self.is_changed else "no_change"
        if unmade or (was_refused and self.is_changed):
            outcome = "partial"
            summary += "\n\nWhat is left: " + ("; ".join(unmade) or "see the checks") + "."
        status = "not met" if outcome == "partial" else "met"
        arguments: dict[str, Any] = {
            "outcome": outcome,
            "summary": summary,
            "criteria": [{"text": one, "status": status, "evidence": evidence} for one in self.criteria],
        }
        tool = next((one for one in self.request.tools if one.name == "finish"), None)
        if tool is not None and "answers" in tool.parameters["properties"]:
            arguments["answers"] = [
                self._answer(point, answers, is_whole=not unmade) for point in self.points
            ]
        return ModelReply(
            thinking="The work is complete." if outcome == "done" else "I say how far this came.",
            tool_calls=(ToolUse(name="finish", arguments=arguments),),
        )

    def _answer(self, point: Point, answers: Sequence[tuple[str, str]], *, is_whole: bool) -> dict[str, str]:
        text = next((text for pattern, text in answers if re.search(pattern, point.text, re.IGNORECASE)), "")
        if not text:
            return {
                "id": point.id,
                "verdict": "question",
                "text": "I do not see what to change for this. What should be different afterwards?",
            }
        if not is_whole:
            return {"id": point.id, "verdict": "question", "text": "This did not work out; see the summary."}
        if not self.is_changed:
            return {"id": point.id, "verdict": "declined", "text": f"Nothing is left to change. {text}"}
        return {"id": point.id, "verdict": "done", "text": text}

    def _is_made(self, change: Edit | NewFile) -> bool:
        if isinstance(change, NewFile):
            return self.has(change.path)
        return change.is_made(self.files.get(change.path, ""))

    def _is_possible(self, change: Edit | NewFile) -> bool:
        if self._is_made(change):
            return False
        return isinstance(change, NewFile) or self.files.get(change.path, "").count(change.old) == 1

    def _was_refused(self, call: ToolUse) -> bool:
        return any(
            (name, arguments) == (call.name, call.arguments) for name, arguments, _ in self._told.refused
        )


_WHOLE = {"start": None, "lines": None}


def items_in(text: str) -> Iterator[Item]:
    """The items that a plan's text lists."""
    found = [one for one in _HEADING.finditer(text) if one[1] not in _FIELDS]
    for one, rest in _cut(text, found):
        yield _item(one[1], one[2], rest.splitlines())


def bullets(text: str) -> tuple[str, ...]:
    """The entries of a text's lists, each once."""
    return tuple(dict.fromkeys(found.strip() for found in _BULLET.findall(text)))


def choose(texts: Sequence[str], options: Mapping[str, str]) -> str | None:
    """Which option the first text that names exactly one of them asks for.

    ``options`` maps a name to a pattern. Quotations, questions and what is negated do not count.
    """
    for text in texts:
        named = {name for name, pattern in options.items() if _names(text, pattern)}
        if len(named) == 1:
            return named.pop()
    return None


def _cut(text: str, headings: Sequence[re.Match[str]]) -> Iterator[tuple[re.Match[str], str]]:
    """Each heading with the text up to the next one."""
    for at, one in enumerate(headings):
        end = headings[at + 1].start() if at + 1 < len(headings) else len(text)
        yield one, text[one.end() : end].strip()


def _names(text: str, pattern: str) -> bool:
    own = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(">"))
    told = [one for one in re.split(r"(?<=[.!?])\s+|\n+", own) if not one.rstrip().endswith("?")]
    denied = rf"(?:\b(?:not|never|no|rather than|instead of)|n['’]t)\s+(?:\w+\s+){{0,3}}?(?:{pattern})"
    return any(
        re.search(pattern, re.sub(denied, "", sentence, flags=re.IGNORECASE), re.IGNORECASE)
        for sentence in told
    )


def _item(id_: str, title: str, lines: Sequence[str]) -> Item:
    values: dict[str, list[str]] = {name: [] for name in _FIELDS.values()}
    prose: list[str] = []
    for line in lines:
        name, colon, value = line.partition(": ")
        if colon and name in _FIELDS:
            values[_FIELDS[name]].append(value)
        else:
            prose.append(line)
    return Item(
        id=id_,
        title=title,
        description="\n".join(prose).strip(),
        files=tuple(values["files"]),
        acceptance=tuple(values["acceptance"]),
        verify=tuple(values["verify"]),
        depends_on=tuple(values["depends_on"]),
    )


def _told(request: ModelRequest) -> _Told:
    told = _Told()
    calls: dict[str, ToolUse] = {}
    for message in request.messages:
        calls |= {call.id: call for call in message.tool_calls}
        if message.role == "tool" and message.call_id in calls:
            told.hear(calls[message.call_id], message.text)
    return told


def _change_call(change: Edit | NewFile) -> ToolUse:
    if isinstance(change, NewFile):
        return ToolUse(name="write_file", arguments={"path": change.path, "content": change.content})
    arguments = {"path": change.path, "old": change.old, "new": change.new, "replace_all": None}
    return ToolUse(name="edit_file", arguments=arguments)


def _calls(why: str, *calls: ToolUse) -> Move:
    return ModelReply(thinking=why, tool_calls=calls) if calls else None
