"""The tools of a model, jailed to a checkout: reading, searching, editing, and running checks by id.

A call always has an answer, never an exception: what went wrong is said together with what would be right.
Every path that was touched is remembered as it was at the start, so that the result is the difference to the
tree the work began from, whatever happened in between. ``ask`` and ``finish`` are only checked in here; the
loop acts on them.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from runner.agent import search as searching
from runner.agent.document import lines_of
from runner.agent.edit_answers import Refusal
from runner.agent.edits import HUGE, Edit, Rung, decode, edit_file, rewrite_file, unusable_text
from runner.agent.filekinds import after_notes, is_generated
from runner.agent.paths import FoundFile, Jail
from runner.agent.toolspecs import checked_arguments, tools, wrong_tool
from runner.core.paths import bare_repository, check_path, collision, parents, spellings
from runner.core.work import CheckRun, FileChange, Mode, ToolAnswer, ToolSpec
from runner.errors import Refused

CHECK_OUTPUT = "check-output:"

_READ_LIMIT = 10_000_000
_DEFAULT_LINES = 500
_MAX_LINES = 2_000
_MAX_ANSWER = 40_000
_MAX_LINE = 2_000
_MAX_ENTRIES = 300
_CHECK_ANSWER = 4_800
_CHECK_LINE = 400
_SEARCH_ANSWER = 20_000
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_UNPRINTED = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_PROSE = {".md", ".rst", ".txt", ".adoc"}

_Answer = str | ToolAnswer


class Toolbox:
    """The tools over one checkout.

    ``tracked`` are the paths of ``git ls-files --cached --others --exclude-standard``: what the model is shown.
    ``run_check`` runs a configured check by id; ``full_output`` returns the whole output of its last run, where
    ``CheckRun.output`` is already cut. ``protected`` says why a path may not be changed, or ``None``.
    """

    def __init__(
        self,
        root: Path,
        *,
        tracked: Iterable[str],
        run_check: Callable[[str], CheckRun],
        check_ids: Sequence[str],
        read_only: bool,
        protected: Callable[[str], str | None],
        full_output: Callable[[str], str | None] = lambda _: None,
        with_answers: bool = False,
        can_ask: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jail = Jail(root)
        self._tracked = frozenset(tracked)
        self._files = set(self._tracked)
        self._run_check = run_check
        self._full_output = full_output
        self._protected = protected
        self._clock = clock
        self._tools = {
            tool.name: tool
            for tool in tools(
                check_ids=check_ids, read_only=read_only, with_answers=with_answers, can_ask=can_ask
            )
        }
        self._start: dict[str, FoundFile | None] = {}
        self._seen: dict[str, bytes] = {}
        self._outputs: dict[str, str] = {}
        self._spellings: dict[str, str] | None = None
        self._failures: Counter[tuple[str, str, str]] = Counter()
        self.rungs: Counter[Rung] = Counter()
        """How literally the applied edits were found: a measure of how well the model quotes."""
        self.revision = 0
        """Counts the changes made, so that one can tell whether a check ran on the files as they are."""

    # --- what the loop uses ----------------------------------------------------------------------

    def definitions(self) -> tuple[ToolSpec, ...]:
        """The tools to offer, in a fixed order."""
        return tuple(tool.spec for tool in self._tools.values())

    def checked(self, name: str, arguments: Mapping[str, Any] | None) -> dict[str, Any] | ToolAnswer:
        """Return a call's arguments, complete and of the right types, or the answer that teaches the right call."""
        tool = self._tools.get(name)
        if tool is None:
            return _wrong(wrong_tool(name, self._tools.values()))
        found = checked_arguments(tool, arguments)
        return _wrong(found) if isinstance(found, str) else found

    def call(self, name: str, arguments: Mapping[str, Any] | None) -> ToolAnswer:
        """Run a tool and answer. ``ask`` and ``finish`` are answered when they are called rightly."""
        before = self.revision
        answer = self._answer(name, arguments)
        if self.revision != before:
            self._failures.clear()  # the files are others now: the same call may be worth repeating
        elif answer.is_error:
            key = json.dumps(arguments, sort_keys=True, default=str)
            self._failures[name, key, answer.text] += 1
        return answer

    @property
    def identical_failures(self) -> int:
        """How often the most repeated failing call failed with the same answer since a file last changed."""
        return max(self._failures.values(), default=0)

    @property
    def has_files(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._files)

    @property
    def paths(self) -> frozenset[str]:
        """The files of the repository as they are now, edits included."""
        return frozenset(self._files)

    def originals(self) -> dict[str, bytes | None]:
        """What every touched path held before it was first touched; ``None`` for one that was absent."""
        return {path: found.data if found is not None else None for path, found in self._start.items()}

    def changes(self) -> tuple[FileChange, ...]:
        """What differs from the start, by path. Raises ``Refused`` when a touched path is no regular file any more."""
        found = (self._change(path, self._start[path]) for path in sorted(self._start))
        return tuple(change for change in found if change)

    def _change(self, path: str, start: FoundFile | None) -> FileChange | None:
        now = self._jail.read(path, limit=_READ_LIMIT)
        if now == start:
            return None
        if now is None:
            return FileChange(path=path, content=None)
        return FileChange(path=path, content=now.data, mode=now.mode)

    # --- dispatch --------------------------------------------------------------------------------

    def _answer(self, name: str, arguments: Mapping[str, Any] | None) -> ToolAnswer:
        checked = self.checked(name, arguments)
        if isinstance(checked, ToolAnswer):
            return checked
        try:
            answer = self._handlers()[name](**checked)
        except Refused as refused:
            return _wrong(refused.summary)
        except OSError as error:
            return _wrong(f"The file system refused: {error.strerror}.")
        return answer if isinstance(answer, ToolAnswer) else ToolAnswer(text=answer)

    def _handlers(self) -> Mapping[str, Callable[..., _Answer]]:
        return {
            "list_files": self._list_files,
            "search": self._search,
            "read_file": self._read_file,
            "edit_file": self._edit_file,
            "write_file": self._write_file,
            "delete_file": self._delete_file,
            "move_file": self._move_file,
            "run_check": self._check,
            "ask": lambda **_: "Asked.",
            "finish": lambda **_: "Finished.",
        }

    # --- reading ---------------------------------------------------------------------------------

    def _list_files(self, *, path: str | None, depth: int | None) -> _Answer:
        folder = _plain(path)
        prefix = f"{folder}/" if folder else ""
        inside = [file for file in self._files if file.startswith(prefix)]
        if folder in self._files:
            return self._entry(folder)
        if not inside:
            return _wrong(self._absent(folder) if folder else "The repository has no files.")
        wanted = min(max(depth or 2, 1), 20)
        levels, entries = wanted, _entries(inside, prefix, wanted)
        while len(entries) > _MAX_ENTRIES and levels > 1:
            levels -= 1
            entries = _entries(inside, prefix, levels)
        shown = [
            f"{_shown(name)} ({count} files)" if name.endswith("/") else self._entry(name)
            for name, count in entries[:_MAX_ENTRIES]
        ]
        left = len(entries) - len(shown)
        if left:
            shown.append(f"[{left} more entries left out; list a folder or a smaller depth, or search]")
        note = f" (shown to depth {levels}, as there is too much)" if levels < wanted else ""
        return "\n".join([f"{_shown(folder) or 'the repository'}: {len(inside)} files{note}", *shown])

    def _entry(self, path: str) -> str:
        try:
            kind = self._jail.kind(path)
        except Refused:
            return f"{_shown(path)} (not accessible)"
        if kind == "link":
            return f"{_shown(path)} -> {_shown(self._jail.link_target(path))} (a symbolic link, not followed)"
        notes = {"folder": " (a submodule)", "absent": " (missing)", "other": " (not a regular file)"}
        return _shown(path) + notes.get(kind, "")

    def _search(self, *, pattern: str, path: str | None, context: int | None) -> _Answer:
        wanted = searching.compiled(pattern)
        if isinstance(wanted, str):
            return _wrong(wanted)
        paths = self._under(_plain(path))
        if not paths:
            return _wrong(self._absent(_plain(path)))
        paths.sort(key=lambda name: (name.rpartition("/")[0], name))
        files = self._jail.read_many(paths, limit=HUGE)
        found = searching.search(wanted, files, context=context or 0, clock=self._clock)
        return _search_text(found, wanted.note)

    def _under(self, path: str) -> list[str]:
        if not path:
            return list(self._files)
        if path in self._files:
            return [path]
        if any(character in path for character in "*?["):
            globs = {path, path.replace("**/", "")}
            return [file for file in self._files if any(fnmatchcase(file, glob) for glob in globs)]
        inside = [file for file in self._files if file.startswith(path + "/")]
        return inside or ([path] if self._is_file(path) else [])

    def _is_file(self, path: str) -> bool:
        self._refuse_submodule(path)
        return self._jail.kind(path) == "file"

    def _read_file(self, *, path: str, start: int | None, lines: int | None) -> _Answer:
        if path.startswith(CHECK_OUTPUT):
            return self._read_output(path, start=start, lines=lines)
        path = _plain(path)
        if path == "" or (path not in self._files and self._jail.kind(path) == "folder"):
            return _wrong(f"`{path or '.'}` is a folder; list_files shows what is in it.")
        found = self._existing(path, limit=_READ_LIMIT)
        file = _as_text(found.data)
        if file is None:
            return _wrong(f"`{path}` is binary ({len(found.data):,} bytes) and not shown.")
        self._seen[path] = _digest(found.data)
        text, has_bom = file
        return _page(path, text, start=start, lines=lines, notes=_traits(path, text, has_bom=has_bom))

    def _read_output(self, path: str, *, start: int | None, lines: int | None) -> _Answer:
        output = self._outputs.get(path.removeprefix(CHECK_OUTPUT))
        if output is None:
            known = ", ".join(CHECK_OUTPUT + name for name in self._outputs) or "none, as no check ran yet"
            return _wrong(f"There is no {path[:80]!r}. Known: {known}.")
        return _page(path, output, start=start, lines=lines, notes=[])

    # --- writing ---------------------------------------------------------------------------------

    def _edit_file(self, *, path: str, old: str, new: str, replace_all: bool | None) -> _Answer:
        path = _plain(path)
        found = self._writable(path)
        answer = edit_file(path, found.data, [Edit(old=old, new=new, replace_all=bool(replace_all))])
        if isinstance(answer, Refusal):
            return _wrong(f"{path} was not changed. {answer.text}")
        if path not in self._seen and any(rung is not Rung.EXACT for rung in answer.rungs):
            return _wrong(
                f"{path} was not changed. You have not read it, and `old` stands there only "
                "nearly like that. Read it first, then quote it exactly."
            )
        self._store(path, answer.data, found.mode, instead_of=found)
        self.rungs.update(answer.rungs)
        how = "" if answer.rungs == (Rung.EXACT,) else f" (`old` matched but for {answer.rungs[0].value})"
        return f"Edited{how}.\n{_with_notes(answer.diff, answer.notes)}"

    def _write_file(self, *, path: str, content: str) -> _Answer:
        path = _plain(path)
        if len(content) > HUGE:
            return _wrong(f"The content is longer than {HUGE:,} characters.")
        if self._jail.kind(path) != "absent":
            return self._overwrite(path, content)
        self._refuse_new(path)
        refusal = unusable_text(content, content if PurePosixPath(path).suffix in _PROSE else "")
        if refusal:
            return _wrong(f"{path} was not written. {refusal.message}")
        self._store(path, content.encode("utf-8"), "100644", instead_of=None)
        count = content.count("\n") + (not content.endswith("\n") and content != "")
        return _with_notes(f"Wrote {path}, a new file of {_lines(count)}.", after_notes(path, None, content))

    def _overwrite(self, path: str, content: str) -> _Answer:
        found = self._writable(path)
        if path not in self._seen:
            return _wrong(f"{path} exists and you have not read it. Read it first, or use edit_file.")
        answer = rewrite_file(path, found.data, content)
        if isinstance(answer, Refusal):
            return _wrong(f"{path} was not written. {answer.text}")
        if answer.data == found.data:
            return f"{path} already has this content; nothing was changed."
        self._store(path, answer.data, found.mode, instead_of=found)
        return f"Wrote {path}.\n{_with_notes(answer.diff, answer.notes)}"

    def _delete_file(self, *, path: str) -> _Answer:
        path = _plain(path)
        found = self._writable(path)
        self._remove(path, found)
        return f"Deleted {path}."

    def _move_file(self, *, path: str, to: str) -> _Answer:
        path, to = _plain(path), _plain(to)
        found = self._writable(path)
        if self._jail.kind(to) != "absent":
            return _wrong(f"`{to}` exists; nothing was moved. Delete it first, or choose another path.")
        self._refuse_new(to, instead_of=path)
        self._store(to, found.data, found.mode, instead_of=None)
        if path not in self._seen:
            del self._seen[to]
        self._remove(path, found)
        return f"Moved {path} to {to}."

    def _store(self, path: str, data: bytes, mode: Mode, *, instead_of: FoundFile | None) -> None:
        self._start.setdefault(path, instead_of)
        self._jail.write(path, data, mode)
        self._seen[path] = _digest(data)
        self._files.add(path)
        if self._spellings is not None:
            self._spellings |= spellings([path])
        self.revision += 1

    def _remove(self, path: str, found: FoundFile) -> None:
        self._start.setdefault(path, found)
        self._jail.delete(path)
        self._seen.pop(path, None)
        self._files.discard(path)
        self._spellings = None
        self.revision += 1

    # --- what may be touched ---------------------------------------------------------------------

    def _existing(self, path: str, *, limit: int) -> FoundFile:
        self._refuse_submodule(path)
        found = self._jail.read(path, limit=limit)
        if found is None:
            raise Refused(self._absent(path))
        return found

    def _writable(self, path: str) -> FoundFile:
        """Read a file that may be changed: ours, not protected, and as it was when it was last seen."""
        self._refuse_protected(path)
        found = self._existing(path, limit=_READ_LIMIT)
        if path not in self._files:
            raise Refused(
                f"`{path}` is not part of the repository (git ignores it, or a command made it); it is not changed."
            )
        if self._seen.get(path, _digest(found.data)) != _digest(found.data):
            raise Refused(
                f"`{path}` changed since you last saw it (a check or another command wrote it). Read it again first."
            )
        return found

    def _refuse_protected(self, path: str) -> None:
        wrong = check_path(path)
        if wrong:
            raise Refused(f"The path {path!r} is refused: {wrong}.")
        reason = self._protected(path)
        if reason:
            raise Refused(f"`{path}` is protected and not changed: {reason}")

    def _refuse_submodule(self, path: str) -> None:
        for folder in parents(path):
            if folder in self._files:
                raise Refused(
                    f"`{folder}` is a submodule, a link or a file; nothing below it is read or changed."
                )

    def _refuse_new(self, path: str, *, instead_of: str | None = None) -> None:
        self._refuse_protected(path)
        self._refuse_submodule(path)
        if self._spellings is None:
            self._spellings = spellings(self._files)
        other = collision(path, self._spellings)
        if other and other != instead_of:
            raise Refused(
                f"`{path}` and the existing `{other}` are one name on some systems; choose another."
            )
        telling = {"head", "objects", "refs"} & set(path.casefold().split("/"))
        if telling and bare_repository([*self._files, path]) not in {None, bare_repository(self._files)}:
            raise Refused(f"`{path}` would make its folder look like a git repository to git.")

    def _absent(self, path: str) -> str:
        name = PurePosixPath(path).name
        same = [file for file in self._files if PurePosixPath(file).name == name]
        close = sorted(same)[:3] or get_close_matches(path, self._files, n=3)
        hint = (
            f" Did you mean {', '.join(map(_shown, close))}?" if close else " list_files shows what there is."
        )
        return f"There is no `{_shown(path)}`.{hint}"

    # --- checks ----------------------------------------------------------------------------------

    def _check(self, *, id: str) -> _Answer:  # noqa: A002  # the name the model uses
        return self.check_text(self._run_check(id))

    def check_text(self, run: CheckRun) -> str:
        """A check's end and the head and tail of its output, the rest of which can be read from now on."""
        full = self._full_output(run.id)
        output = _printable(run.output if full is None else full)
        self._outputs[run.id] = output
        ended = "ran out of time" if run.timed_out else f"ended with exit code {run.exit_code}"
        colour = "green" if run.is_green else "red"
        head = f"Check {run.id} is {colour}: it {ended} after {run.seconds:.1f} s."
        return (
            f"{head}\n{shortened(output, f'{CHECK_OUTPUT}{run.id}')}"
            if output.strip()
            else f"{head} No output."
        )


# --- texts -------------------------------------------------------------------------------------


def shortened(output: str, name: str, *, limit: int = _CHECK_ANSWER) -> str:
    """Head and tail of an output, at most ``limit`` bytes of JSON, saying which lines are left out and where they are."""
    lines = [_short(line) for line in output.rstrip("\n").split("\n")]
    if _weight("\n".join(lines)) <= limit and len(lines) == output.rstrip("\n").count("\n") + 1:
        return "\n".join(lines)
    head = _fitting(lines, limit // 4)
    tail = _fitting(lines[len(head) :][::-1], limit - limit // 4)[::-1]
    first, last = len(head) + 1, len(lines) - len(tail)
    left = f"[lines {first} to {last} of {len(lines)} are left out; read_file {name} shows them]"
    return "\n".join([*head, left, *tail])


def _short(line: str) -> str:
    return line if len(line) <= _CHECK_LINE else f"{line[:_CHECK_LINE]}[... {len(line) - _CHECK_LINE} more]"


def _fitting(lines: Sequence[str], room: int) -> list[str]:
    fitting: list[str] = []
    for line in lines:
        room -= _weight(line) + 2
        if room < 0:
            break
        fitting.append(line)
    return fitting


def _weight(text: str) -> int:
    """Bytes of a text inside a JSON request."""
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")) - 2


def _printable(output: str) -> str:
    """An output without terminal control; a progress line that rewrites itself becomes lines."""
    return _UNPRINTED.sub("", "\n".join(lines_of(_ESCAPES.sub("", output))))


def _page(path: str, text: str, *, start: int | None, lines: int | None, notes: list[str]) -> _Answer:
    """A page of numbered lines, cut at whole lines, that says where it stands and how to go on."""
    contents = lines_of(text)
    if contents[-1] == "":
        contents.pop()
    first = 1 if start is None else start
    if not contents:
        return f"{path} is empty."
    if not 1 <= first <= len(contents):
        return _wrong(f"{path} has {len(contents)} lines; there is no line {first}.")
    wanted = min(max(_DEFAULT_LINES if lines is None else lines, 1), _MAX_LINES)
    shown: list[str] = []
    room = _MAX_ANSWER
    for number, line in enumerate(contents[first - 1 : first - 1 + wanted], start=first):
        clipped = (
            line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}[... {len(line) - _MAX_LINE} characters]"
        )
        room -= len(clipped) + 8
        if room < 0 and shown:
            break
        shown.append(f"{number}|{clipped}")
    last = first + len(shown) - 1
    is_whole = first == 1 and last == len(contents)
    where = _lines(last) if is_whole else f"lines {first} to {last} of {len(contents)}"
    head = "; ".join([where, *notes])
    more = (
        [f"[{len(contents) - last} more lines; go on with start={last + 1}]"] if last < len(contents) else []
    )
    return "\n".join([head, *shown, *more])


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


def _traits(path: str, text: str, *, has_bom: bool) -> list[str]:
    """What a page of lines does not show about a file."""
    windows, alone = text.count("\r\n"), text.count("\r") - text.count("\r\n")
    unix = text.count("\n") - windows
    traits = []
    if windows or alone:
        traits.append(
            "mixed line ends"
            if (windows > 0) + (alone > 0) + (unix > 0) > 1
            else "line ends are CRLF"
            if windows
            else "line ends are CR"
        )
    if has_bom:
        traits.append("starts with a byte-order mark")
    if text and not text.endswith(("\n", "\r")):
        traits.append("no newline at the end")
    if is_generated(path, text):
        traits.append("generated by a tool")
    return traits


def _as_text(data: bytes) -> tuple[str, bool] | None:
    """Text and whether it has a byte-order mark; a file too large to be edited is still shown."""
    if len(data) > HUGE:
        return None if b"\0" in data else (data.decode("utf-8-sig", "replace"), False)
    file = decode(data)
    return None if isinstance(file, Refusal) else (file.text, file.has_bom)


def _entries(paths: Iterable[str], prefix: str, depth: int) -> list[tuple[str, int]]:
    """Files down to a depth, and the folders there with the number of files in them, in order."""
    counts: Counter[str] = Counter()
    for path in paths:
        names = path[len(prefix) :].split("/")
        counts[path if len(names) <= depth else prefix + "/".join(names[:depth]) + "/"] += 1
    return sorted(counts.items())


def _search_text(found: searching.Found, note: str) -> str:
    blocks: list[str] = []
    room = _SEARCH_ANSWER
    for block in found.blocks:
        room -= len(block)
        if room < 0 and blocks:
            break
        blocks.append(block)
    said = [
        f"{found.hits} hits in {found.files} files" if found.hits else "No hits",
        *([note] if note else []),
    ]
    if found.is_cut_short:
        said.append(
            "the search ran out of time: only a part of the files was searched, narrow it with `path`"
        )
    if found.hits > found.shown or len(blocks) < len(found.blocks):
        said.append("not all are shown: narrow the pattern or the path")
    if found.binary:
        said.append(f"{found.binary} binary files skipped")
    if found.unread:
        said.append(f"{found.unread} links, large or missing files skipped")
    return "\n".join(["; ".join(said), *blocks])


def _with_notes(text: str, notes: Iterable[str]) -> str:
    return "\n".join([text, *(f"Note: {note}." for note in notes)])


def _plain(path: str | None) -> str:
    """A path as models write it: a leading ``./`` and a final slash mean nothing, the root is empty."""
    text = (path or "").removesuffix("/")
    while text.startswith("./"):
        text = text[2:]
    return "" if text == "." else text


def _shown(path: str) -> str:
    return path if path.isprintable() else repr(path)[1:-1]


def _digest(data: bytes) -> bytes:
    return sha256(data).digest()


def _wrong(text: str) -> ToolAnswer:
    return ToolAnswer(text=text, is_error=True)
