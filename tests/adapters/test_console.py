"""What a run prints cannot command the Actions runner, and what it sets arrives whole."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.adapters.console import (
    MAX_ANNOTATIONS,
    MAX_MESSAGE,
    MAX_OUTPUT_CHARACTERS,
    ActionsConsole,
    TerminalConsole,
    open_console,
)
from runner.core.redact import Redactor
from runner.ports import Console

SECRET = "s3cret-token-value"
HOSTILE = st.text(st.sampled_from("::#[]%,=\r\n\t \u2028\u200b\x1bab<"), max_size=40)


class Step:
    """A console on files of a step, and the Actions runner's reading of what came out."""

    def __init__(self, folder: Path | None = None, **options: object) -> None:
        self.stream = io.StringIO()
        self.output_path = folder / "output" if folder else None
        self.summary_path = folder / "summary" if folder else None
        self.console = ActionsConsole(
            output_path=self.output_path,
            summary_path=self.summary_path,
            redactor=Redactor([SECRET]),
            stream=self.stream,
            **options,  # type: ignore[arg-type]
        )

    @property
    def lines(self) -> list[str]:
        return re.split(r"\r\n|\r|\n", self.stream.getvalue())

    @property
    def commands(self) -> list[tuple[str, dict[str, str], str]]:
        return [command for line in self.lines if (command := read_command(line))]

    @property
    def outputs(self) -> dict[str, str]:
        assert self.output_path is not None
        return read_outputs(self.output_path.read_text(encoding="utf-8"))


def read_command(line: str) -> tuple[str, dict[str, str], str] | None:
    """One line as the Actions runner understands it: both grammars, spaces before the first one allowed."""
    if "##[" in line:
        return ("legacy", {}, line)
    found = re.match(r"\s*::([a-z-]+)(?: ([^:]*))?::(.*)$", line, re.DOTALL)
    if found is None:
        return None
    pairs = [pair.partition("=") for pair in (found[2] or "").split(",") if pair]
    properties = {
        name: unescape(value).replace("%3A", ":").replace("%2C", ",").replace("%25", "%")
        for name, _, value in pairs
    }
    return found[1], properties, unescape(found[3]).replace("%25", "%")


def unescape(text: str) -> str:
    return text.replace("%0D", "\r").replace("%0A", "\n")


def read_outputs(text: str) -> dict[str, str]:
    """The output file as the Actions runner reads it."""
    values: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        name, _, delimiter = line.partition("<<")
        assert delimiter, f"not the start of a value: {line!r}"
        value: list[str] = []
        while (part := next(lines)) != delimiter:
            value.append(part)
        values[name] = "\n".join(value)
    return values


def test_an_annotation_carries_title_and_message_through_the_escaping() -> None:
    """Percent signs, line ends, colons and commas arrive as they were."""
    step = Step()
    step.console.annotate("warning", "50%: a, b", "100%\nsecond: line, end")
    assert step.commands == [("warning", {"title": "50%: a, b"}, "100%\nsecond: line, end")]


def test_an_annotation_is_cut_where_github_cuts() -> None:
    """A message has at most 4,096 characters and says that something was left out."""
    step = Step()
    step.console.annotate("error", "t", "x" * 9_000)
    message = step.commands[0][2]
    assert len(message) <= MAX_MESSAGE
    assert "9000 characters in all" in message


def test_annotations_past_the_tenth_are_lines() -> None:
    """GitHub shows ten of a level for a step; the others are still to be read in the log."""
    step = Step()
    for number in range(MAX_ANNOTATIONS + 1):
        step.console.annotate("notice", "t", f"message {number}")
    assert len(step.commands) == MAX_ANNOTATIONS
    assert "notice: t: message 10" in step.lines


@pytest.mark.parametrize("console", [Step().console, TerminalConsole(stream=io.StringIO())])
def test_an_unknown_level_is_a_mistake_of_ours(console: Console) -> None:
    """Annotations have three levels."""
    with pytest.raises(ValueError, match="fatal"):
        console.annotate("fatal", "t", "m")


@pytest.mark.parametrize(
    "line",
    [
        "::error::x",
        "  ::set-output name=a::b",
        "\t::stop-commands::x",
        "fine ##[error]x",
        "##[add-path]/tmp",
        "ok\r::error::x",
        "ok\u2028::error::x",
        "\x1b[0m::error::x",
        "\u200b::error::x",
        "#\u200b#[error]x",
    ],
)
def test_no_line_of_the_log_is_a_command(line: str) -> None:
    """Text from a ticket, a model or a tool stays text in both grammars."""
    step = Step()
    step.console.log(line)
    assert step.commands == []


@given(HOSTILE)
def test_no_text_becomes_a_command(text: str) -> None:
    """Whatever is logged, nothing is commanded; whatever is annotated, exactly one thing is."""
    step = Step()
    step.console.log(text)
    assert step.commands == []
    step.console.annotate("notice", text, text)
    assert [name for name, _, _ in step.commands if name != "legacy"] == ["notice"]


def test_outputs_arrive_whole(tmp_path: Path) -> None:
    """Values may have several lines and the look of further outputs."""
    step = Step(tmp_path)
    step.console.output("reason", "first\noutcome<<EOF\nfailed\nEOF\noutcome=failed")
    step.console.output("outcome", "done")
    assert step.outputs == {"reason": "first\noutcome<<EOF\nfailed\nEOF\noutcome=failed", "outcome": "done"}
    assert step.console.outputs == step.outputs


def test_a_value_with_the_delimiter_is_refused(tmp_path: Path) -> None:
    """Nobody can know the delimiter, so a value that holds it is an attack, not an accident."""
    step = Step(tmp_path, new_delimiter=lambda: "DELIMITER")
    with pytest.raises(ValueError, match="delimiter"):
        step.console.output("reason", "x\nDELIMITER\noutcome=done")
    assert not (tmp_path / "output").exists()


def test_delimiters_differ(tmp_path: Path) -> None:
    """One value teaches nothing about the next one's delimiter."""
    step = Step(tmp_path)
    step.console.output("outcome", "done")
    step.console.output("reason", "done")
    delimiters = re.findall("<<(.+)", (tmp_path / "output").read_text())
    assert len(set(delimiters)) == 2


@pytest.mark.parametrize("name", ["", "a=b", "a\nb", "a<<b", "A"])
def test_an_outputs_name_is_a_plain_word(tmp_path: Path, name: str) -> None:
    """Names are ours and cannot change the file's grammar."""
    with pytest.raises(ValueError, match="name of an output"):
        Step(tmp_path).console.output(name, "x")


@given(HOSTILE)
def test_any_value_reads_back_as_one_output(text: str) -> None:
    """Control characters are dropped, the rest reads back as it was."""
    stream = io.StringIO()
    written: list[str] = []

    class Target:
        def open(self, *_: object, **__: object) -> io.StringIO:
            buffer = io.StringIO()
            buffer.close = lambda: written.append(buffer.getvalue())  # type: ignore[method-assign]
            return buffer

    console = ActionsConsole(output_path=Target(), summary_path=None, stream=stream)  # type: ignore[arg-type]
    console.output("reason", text)
    assert read_outputs("".join(written)) == console.outputs


def test_a_long_output_is_cut(tmp_path: Path) -> None:
    """GitHub takes a megabyte of outputs from a job, all of them together."""
    step = Step(tmp_path)
    step.console.output("reason", "x" * 2_000_000)
    assert len(step.outputs["reason"]) <= MAX_OUTPUT_CHARACTERS


def test_the_summary_grows_and_ends_below_its_limit(tmp_path: Path) -> None:
    """What is past one mebibyte is left out with a note, and characters are not torn."""
    step = Step(tmp_path)
    step.console.summary("# Title")
    for _ in range(4):
        step.console.summary("ü" * 200_000)
    data = (tmp_path / "summary").read_bytes()
    assert data.startswith(b"# Title\n")
    assert len(data) <= 1024 * 1024
    assert data.decode().rstrip().endswith("longer than GitHub accepts.*")
    assert data.decode().count("left out") == 1


def test_a_mask_is_registered_for_each_line() -> None:
    """The Actions runner hides lines, so a key of several lines is registered line by line."""
    step = Step()
    step.console.mask("first%line\n\nsecond line\n")
    assert [(name, data) for name, _, data in step.commands] == [
        ("add-mask", "first%line"),
        ("add-mask", "second line"),
        ("add-mask", "first%line\n\nsecond line"),
    ]


def test_known_secrets_are_masked_everywhere(tmp_path: Path) -> None:
    """Log, annotation, output and summary show stars."""
    step = Step(tmp_path)
    step.console.log(SECRET)
    step.console.annotate("error", SECRET, SECRET)
    step.console.output("reason", SECRET)
    step.console.summary(SECRET)
    shown = step.stream.getvalue() + (tmp_path / "output").read_text() + (tmp_path / "summary").read_text()
    assert SECRET not in shown
    assert shown.count("***") == 5


def test_missing_files_do_not_stop_a_run() -> None:
    """Outside a step there is nowhere to publish to, and the work still counts."""
    step = Step()
    step.console.output("outcome", "done")
    step.console.summary("# Title")
    assert step.console.outputs == {"outcome": "done"}


def test_the_console_fits_the_place(tmp_path: Path) -> None:
    """In a job commands are written, on a terminal they are words."""
    job = open_console(in_actions=True, output_path=tmp_path / "o", summary_path=tmp_path / "s")
    assert isinstance(job, ActionsConsole)
    assert isinstance(open_console(in_actions=False), TerminalConsole)


def test_a_terminal_shows_everything_and_obeys_nothing() -> None:
    """Levels are words, escape sequences are gone, secrets are stars, outputs are kept."""
    stream = io.StringIO()
    console = TerminalConsole(redactor=Redactor([SECRET]), stream=stream)
    console.annotate("error", "Setup", f"\x1b[31m{SECRET}\x07")
    console.summary("# Done")
    console.mask("x")
    console.output("outcome", "done")
    assert stream.getvalue() == "error: Setup: ***\n# Done\n"
    assert console.outputs == {"outcome": "done"}


def test_the_levels_are_githubs() -> None:
    """Annotations are notices, warnings and errors."""
    step = Step()
    for level in ("notice", "warning", "error"):
        step.console.annotate(level, "t", "m")
    assert [name for name, _, _ in step.commands] == ["notice", "warning", "error"]
