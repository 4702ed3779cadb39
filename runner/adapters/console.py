"""Where a run speaks: the log, annotations, outputs and summary of a GitHub Actions step, or a plain terminal.

Most of what is printed was written by others. A line of a log can be a command to the Actions runner in two
grammars (``::name::`` and ``##[name]``), and a line of an output file can end a value early; nothing that passes
through here can do either. Known secrets are masked here as well, whatever the Actions runner does.
"""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from runner.core.redact import Redactor, cap, clean, neutralise_log
from runner.ports import Console

LEVELS = ("notice", "warning", "error")
# GitHub cuts an annotation's message here, and shows ten of each level for a step.
MAX_MESSAGE = 4_096
MAX_TITLE = 255
MAX_ANNOTATIONS = 10
MAX_SUMMARY_BYTES = 1024 * 1024 - 1_024
MAX_OUTPUT_CHARACTERS = 100_000

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,99}")
_CUT_NOTE = "\n\n*The rest of this summary was left out: it is longer than GitHub accepts.*\n"


def open_console(
    *,
    in_actions: bool,
    output_path: Path | None = None,
    summary_path: Path | None = None,
    redactor: Redactor | None = None,
) -> Console:
    """The console that fits where we run."""
    if not in_actions:
        return TerminalConsole(redactor=redactor)
    return ActionsConsole(output_path=output_path, summary_path=summary_path, redactor=redactor)


class ActionsConsole:
    """A step of a GitHub Actions job. Satisfies ``runner.ports.Console``.

    ``outputs`` holds what was set so far. Without its file an output or summary only goes unpublished:
    that is no reason to fail a run whose work is done.
    """

    def __init__(
        self,
        *,
        output_path: Path | None,
        summary_path: Path | None,
        redactor: Redactor | None = None,
        stream: TextIO | None = None,
        new_delimiter: Callable[[], str] = lambda: f"ai-runner-{secrets.token_hex(16)}",
    ) -> None:
        self._output_path = output_path
        self._summary_path = summary_path
        self._redactor = redactor or Redactor(())
        self._stream = stream
        self._new_delimiter = new_delimiter
        self._annotations = dict.fromkeys(LEVELS, 0)
        self._is_summary_full = False
        self.outputs: dict[str, str] = {}

    def annotate(self, level: str, title: str, message: str) -> None:
        """Write an annotation; past the ten that GitHub shows for a step it becomes a line of the log."""
        if level not in LEVELS:
            raise ValueError(f"an annotation is one of {', '.join(LEVELS)}, not {level}")
        self._annotations[level] += 1
        if self._annotations[level] > MAX_ANNOTATIONS:
            self.log(f"{level}: {title}: {message}")
            return
        message = cap(clean(self._redactor.mask(message)), MAX_MESSAGE)
        title = cap(clean(self._redactor.mask(title)), MAX_TITLE)
        self._command(level, {"title": title}, message)

    def output(self, name: str, value: str) -> None:
        """Set a step output. ValueError for a value that holds the random delimiter: nothing honest does."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of an output")
        value = cap(clean(self._redactor.mask(value)), MAX_OUTPUT_CHARACTERS)
        delimiter = self._new_delimiter()
        if delimiter in value:
            raise ValueError(f"the value of the output {name} holds its delimiter")
        self.outputs[name] = value
        if self._output_path is not None:
            with self._output_path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")

    def summary(self, markdown: str) -> None:
        """Append to the job summary, which stays within what GitHub takes for one step."""
        if self._summary_path is None or self._is_summary_full:
            return
        data = f"{clean(self._redactor.mask(markdown))}\n".encode()
        written = self._summary_path.stat().st_size if self._summary_path.exists() else 0
        note = _CUT_NOTE.encode()
        if written + len(data) + len(note) > MAX_SUMMARY_BYTES:
            self._is_summary_full = True
            kept = data[: max(MAX_SUMMARY_BYTES - written - len(note), 0)]
            data = kept.decode("utf-8", "ignore").encode() + note
        with self._summary_path.open("ab") as file:
            file.write(data)

    def mask(self, secret: str) -> None:
        """Have the Actions runner hide a value, and each of its lines, from here on."""
        for line in dict.fromkeys([*secret.splitlines(), secret.strip()]):
            if line.strip():
                self._command("add-mask", {}, line)

    def log(self, text: str) -> None:
        """Write lines of which none is a workflow command."""
        self._print(neutralise_log(self._redactor.mask(text)))

    def _command(self, name: str, properties: Mapping[str, str], data: str) -> None:
        told = ",".join(f"{key}={_escaped_property(value)}" for key, value in properties.items())
        self._print(f"::{name}{f' {told}' if told else ''}::{_escaped(data)}")

    def _print(self, text: str) -> None:
        print(text, file=self._stream or sys.stdout, flush=True)


class TerminalConsole:
    """A person's terminal: everything goes to stderr, outputs are kept in ``outputs``. Satisfies ``Console``."""

    def __init__(self, *, redactor: Redactor | None = None, stream: TextIO | None = None) -> None:
        self._redactor = redactor or Redactor(())
        self._stream = stream
        self.outputs: dict[str, str] = {}

    def annotate(self, level: str, title: str, message: str) -> None:
        """Print a line with its level."""
        if level not in LEVELS:
            raise ValueError(f"an annotation is one of {', '.join(LEVELS)}, not {level}")
        self.log(f"{level}: {title}: {message}")

    def output(self, name: str, value: str) -> None:
        """Keep a value; the verb prints its own result."""
        self.outputs[name] = self._redactor.mask(value)

    def summary(self, markdown: str) -> None:
        """Print the summary as it is."""
        self.log(markdown)

    def mask(self, secret: str) -> None:
        """Nothing to do: a terminal masks nothing, and known secrets never get this far."""

    def log(self, text: str) -> None:
        """Print text without anything a terminal would act on."""
        print(neutralise_log(self._redactor.mask(text)), file=self._stream or sys.stderr, flush=True)


def _escaped(data: str) -> str:
    """A command's message as the Actions runner unescapes it."""
    return data.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(value: str) -> str:
    return _escaped(value).replace(":", "%3A").replace(",", "%2C")
