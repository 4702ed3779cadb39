"""A transcript read back ends in the same tree, or says what differs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.transcript import Transcript
from runner.agent.replay import digest_of, end_record, read_transcript, replay, start_record
from runner.cli import main
from runner.core.redact import Redactor
from runner.core.work import FileChange
from runner.errors import ConfigError
from tests.agent.scripted import Rig, Step, call, finish, using, write

FILES = {"a.py": "x = 1\n", "b.py": "y = 1\n"}


def lay(folder: Path) -> Path:
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def record(
    folder: Path, steps: Sequence[Step], *, start: str = "0" * 40, secrets: Sequence[str] = ()
) -> Path:
    """Run a scripted work on a folder and keep its transcript."""
    path = folder.parent / "transcript.jsonl"
    with Transcript(path, redactor=Redactor(secrets)) as transcript:
        rig = Rig(folder, steps)
        rig.records = _Into(transcript)  # type: ignore[assignment]
        begin = start_record(
            run="1",
            key="A-1",
            phase="implement",
            model="m",
            start=start,
            is_read_only=False,
            with_answers=False,
            protected=[],
            checks=["tests"],
        )
        transcript.add("start", begin)
        finished = rig.run()
        transcript.add("end", end_record(finished.outcome, finished.changes))
    return path


class _Into:
    """Takes the records of a rig into a transcript."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript

    def append(self, one: tuple[str, Any]) -> None:
        self._transcript.add(*one)


def working() -> list[Step]:
    read = call("read_file", path="a.py", start=None, lines=None)
    edit = call("edit_file", path="a.py", old="x = 1", new="x = 2", replace_all=None)
    wrong = call("edit_file", path="a.py", old="absent", new="z", replace_all=None)
    return [
        using(read, edit, wrong),
        using(write("new/c.txt", "c\n"), call("delete_file", path="b.py"), call("run_check", id="tests")),
        using(call("move_file", path="new/c.txt", to="d.txt")),
        using(finish()),
    ]


def test_the_same_calls_end_in_the_same_tree(tmp_path: Path) -> None:
    """Edits, new, deleted and moved files come out as they did, and refused calls are refused again."""
    path = record(lay(tmp_path / "first"), working())
    again = replay(read_transcript(path), lay(tmp_path / "second"), tracked=list(FILES))

    assert again.is_same
    assert (again.differing, again.answers) == ((), ())
    for name in ("a.py", "d.txt"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    assert not (tmp_path / "second" / "b.py").exists()


def test_another_start_is_noticed(tmp_path: Path) -> None:
    """On other files the end is another one, and the paths that differ are named."""
    path = record(lay(tmp_path / "first"), working())
    second = lay(tmp_path / "second")
    (second / "a.py").write_text("x = 1\nz = 3\n")
    again = replay(read_transcript(path), second, tracked=list(FILES))

    assert (again.is_same, again.differing) == (False, ("a.py",))


def test_a_killed_run_cannot_be_confirmed(tmp_path: Path) -> None:
    """A transcript without its last record, half a line at the end, is replayed but confirms nothing."""
    path = record(lay(tmp_path / "first"), working())
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + '\n{"kind": "tur')
    again = replay(read_transcript(path), lay(tmp_path / "second"), tracked=list(FILES))

    assert (again.is_same, again.recorded_digest) == (False, "")


def test_secrets_are_masked_in_every_record(tmp_path: Path) -> None:
    """A secret in an argument or an answer does not reach the file."""
    steps = [using(write(content="key = s3cr3t-value-of-a-key\n")), using(finish())]
    path = record(lay(tmp_path / "first"), steps, secrets=["s3cr3t-value-of-a-key"])

    assert "s3cr3t" not in path.read_text()
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize("text", ["", "no json\n", '{"kind": "turn"}\n'])
def test_what_is_no_transcript_is_refused(tmp_path: Path, text: str) -> None:
    """A file without a first record is no transcript."""
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read_transcript(path)


def test_a_newer_transcript_is_refused(tmp_path: Path) -> None:
    """A version this code does not know is not guessed at."""
    path = tmp_path / "t.jsonl"
    path.write_text('{"kind": "start", "version": 99}\n')
    with pytest.raises(ConfigError, match="newer"):
        read_transcript(path)


def test_the_digest_is_of_paths_modes_and_contents() -> None:
    """Order does not matter, everything else does."""
    one, two = FileChange(path="a", content=b"1"), FileChange(path="b", content=None)

    assert digest_of([one, two]) == digest_of([two, one])
    assert digest_of([one]) != digest_of([FileChange(path="a", content=b"1", mode="100755")])
    assert digest_of([one]) != digest_of([FileChange(path="a", content=None)])


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "core.hooksPath=/dev/null")
    ended = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return ended.stdout.strip()


def test_the_verb_replays_on_a_copy_and_tells_by_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same tree is exit 0, another one 3, a missing commit 2; the given clone stays untouched."""
    clone = lay(tmp_path / "clone")
    git(clone, "init", "-q", "-b", "main")
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", "Start")
    path = record(lay(tmp_path / "first"), working(), start=git(clone, "rev-parse", "HEAD"))

    def replayed() -> object:
        with pytest.raises(SystemExit) as ended:
            main(["replay", str(path), "--checkout", str(clone), "--json"])
        return ended.value.code

    assert replayed() == 0
    assert json.loads(capsys.readouterr().out)["same"] is True
    assert git(clone, "status", "--porcelain") == ""
    text = path.read_text()
    path.write_text(text.replace("x = 2", "x = 3", 1))
    assert replayed() == 3
    path.write_text(text.replace(git(clone, "rev-parse", "HEAD"), "1" * 40))
    assert replayed() == 2
