"""The tools of a model, jailed to a checkout: reading, searching, editing, and running checks by id.

A call always has an answer, never an exception: what went wrong is said together with what would be right.
``ask`` and ``finish`` are only checked in here; the loop acts on them.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from runner.agent import search as searching
from runner.agent.edit_answers import Refusal
from runner.agent.edits import HUGE, Edit, Rung, edit_file, rewrite_file, unusable_text
from runner.agent.filekinds import after_notes
from runner.agent.tool_texts import (
    Answer,
    as_text,
    entries,
    line_count,
    page,
    plain,
    printable,
    search_text,
    shortened,
    shown,
    traits,
    with_notes,
    wrong,
)
from runner.agent.toolspecs import checked_arguments, tools, wrong_tool
from runner.agent.workspace import READ_LIMIT, Workspace
from runner.core.work import CheckRun, ToolAnswer, ToolSpec
from runner.errors import Refused

CHECK_OUTPUT = "check-output:"

_MAX_ENTRIES = 300
_PROSE = {".md", ".rst", ".txt", ".adoc"}


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
        self.workspace = Workspace(root, tracked=tracked, protected=protected)
        self._run_check = run_check
        self._full_output = full_output
        self._clock = clock
        self._tools = {
            tool.name: tool
            for tool in tools(
                check_ids=check_ids, read_only=read_only, with_answers=with_answers, can_ask=can_ask
            )
        }
        self._outputs: dict[str, str] = {}
        self._failures: Counter[tuple[str, str, str]] = Counter()
        self.rungs: Counter[Rung] = Counter()
        """How literally the applied edits were found: a measure of how well the model quotes."""

    # --- what the loop uses ----------------------------------------------------------------------

    def definitions(self) -> tuple[ToolSpec, ...]:
        """The tools to offer, in a fixed order."""
        return tuple(tool.spec for tool in self._tools.values())

    def checked(self, name: str, arguments: Mapping[str, Any] | None) -> dict[str, Any] | ToolAnswer:
        """Return a call's arguments, complete and of the right types, or the answer that teaches the right call."""
        tool = self._tools.get(name)
        if tool is None:
            return wrong(wrong_tool(name, self._tools.values()))
        found = checked_arguments(tool, arguments)
        return wrong(found) if isinstance(found, str) else found

    def call(self, name: str, arguments: Mapping[str, Any] | None) -> ToolAnswer:
        """Run a tool and answer. ``ask`` and ``finish`` are answered when they are called rightly."""
        before = self.workspace.revision
        answer = self._answer(name, arguments)
        if self.workspace.revision != before:
            self._failures.clear()  # the files are others now: the same call may be worth repeating
        elif answer.is_error:
            key = json.dumps(arguments, sort_keys=True, default=str)
            self._failures[name, key, answer.text] += 1
        return answer

    @property
    def identical_failures(self) -> int:
        """How often the most repeated failing call failed with the same answer since a file last changed."""
        return max(self._failures.values(), default=0)

    # --- dispatch --------------------------------------------------------------------------------

    def _answer(self, name: str, arguments: Mapping[str, Any] | None) -> ToolAnswer:
        checked = self.checked(name, arguments)
        if isinstance(checked, ToolAnswer):
            return checked
        try:
            answer = self._handlers()[name](**checked)
        except Refused as refused:
            return wrong(refused.summary)
        except OSError as error:
            return wrong(f"The file system refused: {error.strerror}.")
        return answer if isinstance(answer, ToolAnswer) else ToolAnswer(text=answer)

    def _handlers(self) -> Mapping[str, Callable[..., Answer]]:
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

    def _list_files(self, *, path: str | None, depth: int | None) -> Answer:
        folder = plain(path)
        prefix = f"{folder}/" if folder else ""
        inside = [file for file in self.workspace.files if file.startswith(prefix)]
        if folder in self.workspace.files:
            return self._entry(folder)
        if not inside:
            return wrong(self.workspace.absent(folder) if folder else "The repository has no files.")
        wanted = min(max(depth or 2, 1), 20)
        levels, found = wanted, entries(inside, prefix, wanted)
        while len(found) > _MAX_ENTRIES and levels > 1:
            levels -= 1
            found = entries(inside, prefix, levels)
        told = [
            f"{shown(name)} ({count} files)" if name.endswith("/") else self._entry(name)
            for name, count in found[:_MAX_ENTRIES]
        ]
        left = len(found) - len(told)
        if left:
            told.append(f"[{left} more entries left out; list a folder or a smaller depth, or search]")
        note = f" (shown to depth {levels}, as there is too much)" if levels < wanted else ""
        return "\n".join([f"{shown(folder) or 'the repository'}: {len(inside)} files{note}", *told])

    def _entry(self, path: str) -> str:
        try:
            kind = self.workspace.jail.kind(path)
        except Refused:
            return f"{shown(path)} (not accessible)"
        if kind == "link":
            return f"{shown(path)} -> {shown(self.workspace.jail.link_target(path))} (a symbolic link, not followed)"
        notes = {"folder": " (a submodule)", "absent": " (missing)", "other": " (not a regular file)"}
        return shown(path) + notes.get(kind, "")

    def _search(self, *, pattern: str, path: str | None, context: int | None) -> Answer:
        wanted = searching.compiled(pattern)
        if isinstance(wanted, str):
            return wrong(wanted)
        paths = self.workspace.under(plain(path))
        if not paths:
            return wrong(self.workspace.absent(plain(path)))
        paths.sort(key=lambda name: (name.rpartition("/")[0], name))
        files = self.workspace.jail.read_many(paths, limit=HUGE)
        found = searching.search(wanted, files, context=context or 0, clock=self._clock)
        return search_text(found, wanted.note)

    def _read_file(self, *, path: str, start: int | None, lines: int | None) -> Answer:
        if path.startswith(CHECK_OUTPUT):
            return self._read_output(path, start=start, lines=lines)
        path = plain(path)
        if path == "" or (path not in self.workspace.files and self.workspace.jail.kind(path) == "folder"):
            return wrong(f"`{path or '.'}` is a folder; list_files shows what is in it.")
        found = self.workspace.existing(path, limit=READ_LIMIT)
        file = as_text(found.data)
        if file is None:
            return wrong(f"`{path}` is binary ({len(found.data):,} bytes) and not shown.")
        self.workspace.see(path, found.data)
        text, has_bom = file
        return page(path, text, start=start, lines=lines, notes=traits(path, text, has_bom=has_bom))

    def _read_output(self, path: str, *, start: int | None, lines: int | None) -> Answer:
        output = self._outputs.get(path.removeprefix(CHECK_OUTPUT))
        if output is None:
            known = ", ".join(CHECK_OUTPUT + name for name in self._outputs) or "none, as no check ran yet"
            return wrong(f"There is no {path[:80]!r}. Known: {known}.")
        return page(path, output, start=start, lines=lines, notes=[])

    # --- writing ---------------------------------------------------------------------------------

    def _edit_file(self, *, path: str, old: str, new: str, replace_all: bool | None) -> Answer:
        path = plain(path)
        found = self.workspace.writable(path)
        answer = edit_file(path, found.data, [Edit(old=old, new=new, replace_all=bool(replace_all))])
        if isinstance(answer, Refusal):
            return wrong(f"{path} was not changed. {answer.text}")
        if not self.workspace.has_seen(path) and any(rung is not Rung.EXACT for rung in answer.rungs):
            return wrong(
                f"{path} was not changed. You have not read it, and `old` stands there only "
                "nearly like that. Read it first, then quote it exactly."
            )
        self.workspace.store(path, answer.data, found.mode, instead_of=found)
        self.rungs.update(answer.rungs)
        how = "" if answer.rungs == (Rung.EXACT,) else f" (`old` matched but for {answer.rungs[0].value})"
        return f"Edited{how}.\n{with_notes(answer.diff, answer.notes)}"

    def _write_file(self, *, path: str, content: str) -> Answer:
        path = plain(path)
        if len(content) > HUGE:
            return wrong(f"The content is longer than {HUGE:,} characters.")
        if self.workspace.jail.kind(path) != "absent":
            return self._overwrite(path, content)
        self.workspace.refuse_new(path)
        refusal = unusable_text(content, content if PurePosixPath(path).suffix in _PROSE else "")
        if refusal:
            return wrong(f"{path} was not written. {refusal.message}")
        self.workspace.store(path, content.encode("utf-8"), "100644", instead_of=None)
        count = content.count("\n") + (not content.endswith("\n") and content != "")
        return with_notes(
            f"Wrote {path}, a new file of {line_count(count)}.", after_notes(path, None, content)
        )

    def _overwrite(self, path: str, content: str) -> Answer:
        found = self.workspace.writable(path)
        if not self.workspace.has_seen(path):
            return wrong(f"{path} exists and you have not read it. Read it first, or use edit_file.")
        answer = rewrite_file(path, found.data, content)
        if isinstance(answer, Refusal):
            return wrong(f"{path} was not written. {answer.text}")
        if answer.data == found.data:
            return f"{path} already has this content; nothing was changed."
        self.workspace.store(path, answer.data, found.mode, instead_of=found)
        return f"Wrote {path}.\n{with_notes(answer.diff, answer.notes)}"

    def _delete_file(self, *, path: str) -> Answer:
        path = plain(path)
        found = self.workspace.writable(path)
        self.workspace.remove(path, found)
        return f"Deleted {path}."

    def _move_file(self, *, path: str, to: str) -> Answer:
        path, to = plain(path), plain(to)
        found = self.workspace.writable(path)
        if self.workspace.jail.kind(to) != "absent":
            return wrong(f"`{to}` exists; nothing was moved. Delete it first, or choose another path.")
        self.workspace.refuse_new(to, instead_of=path)
        self.workspace.store(to, found.data, found.mode, instead_of=None)
        if not self.workspace.has_seen(path):
            self.workspace.forget(to)
        self.workspace.remove(path, found)
        return f"Moved {path} to {to}."

    # --- checks ----------------------------------------------------------------------------------

    def _check(self, *, id: str) -> Answer:  # noqa: A002  # the name the model uses
        return self.check_text(self._run_check(id))

    def check_text(self, run: CheckRun) -> str:
        """A check's end and the head and tail of its output, the rest of which can be read from now on."""
        full = self._full_output(run.id)
        output = printable(run.output if full is None else full)
        self._outputs[run.id] = output
        ended = "ran out of time" if run.timed_out else f"ended with exit code {run.exit_code}"
        colour = "green" if run.is_green else "red"
        head = f"Check {run.id} is {colour}: it {ended} after {run.seconds:.1f} s."
        return (
            f"{head}\n{shortened(output, f'{CHECK_OUTPUT}{run.id}')}"
            if output.strip()
            else f"{head} No output."
        )
