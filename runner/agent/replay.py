"""A transcript read back: the same tool calls on the same commit, without a model, must end in the same tree.

Checks are not run again: what a check wrote into a file that the model also changed cannot be repeated, and
shows as a difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from runner.agent.tools import Toolbox
from runner.core.changes import protection
from runner.core.work import CheckRun, FileChange
from runner.errors import ConfigError

VERSION = 1
LOOP_TOOLS = ("finish", "ask")


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a transcript says: where the work began, its calls with their answers, and how the tree ended.

    ``digest`` is empty when the run was killed before it could say.
    """

    start: str
    key: str
    phase: str
    is_read_only: bool
    with_answers: bool
    protected: tuple[str, ...]
    checks: tuple[str, ...]
    calls: tuple[tuple[str, str, Mapping[str, Any] | None], ...]
    errors: Mapping[str, bool]
    digest: str
    changes: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """How a replay ended. ``differing`` are paths whose end is not the recorded one, ``answers`` calls that ended otherwise."""

    start: str
    calls: int
    digest: str
    recorded_digest: str
    differing: tuple[str, ...]
    answers: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """The trees are identical."""
        return bool(self.recorded_digest) and self.digest == self.recorded_digest


def start_record(
    *,
    run: str,
    key: str,
    phase: str,
    model: str,
    start: str,
    is_read_only: bool,
    with_answers: bool,
    protected: Sequence[str],
    checks: Sequence[str],
) -> Mapping[str, Any]:
    """The transcript's first record: everything that the tools need besides the commit."""
    return {
        "version": VERSION,
        "run": run,
        "key": key,
        "phase": phase,
        "model": model,
        "start": start,
        "read_only": is_read_only,
        "with_answers": with_answers,
        "protected": list(protected),
        "checks": list(checks),
    }


def end_record(outcome: str, changes: Sequence[FileChange]) -> Mapping[str, Any]:
    """The transcript's last record: the outcome, and what differs from the start."""
    return {"outcome": outcome, "changes": fingerprints(changes), "digest": digest_of(changes)}


def fingerprints(changes: Sequence[FileChange]) -> dict[str, str]:
    """Each changed path with its mode and the hash of its content, or ``deleted``."""
    return {
        change.path: "deleted"
        if change.content is None
        else f"{change.mode} {sha256(change.content).hexdigest()}"
        for change in changes
    }


def digest_of(changes: Sequence[FileChange]) -> str:
    """One hash over all changes, the same for the same end of the tree."""
    canonical = json.dumps(sorted(fingerprints(changes).items()), separators=(",", ":"))
    return sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def read_transcript(path: Path) -> Recorded:
    """Read a transcript. Raises ConfigError when it is none, or was written by a newer version."""
    records = list(_records(path))
    start = next((one for one in records if one.get("kind") == "start"), None)
    if start is None:
        raise ConfigError(
            f"`{path.name}` is no transcript.", remedy="Give the file `transcript.jsonl` of a run."
        )
    if int(start.get("version", 0)) > VERSION:
        raise ConfigError(
            f"`{path.name}` was written by a newer version.", remedy="Replay it with that version."
        )
    end: dict[str, Any] = next((one for one in reversed(records) if one.get("kind") == "end"), {})
    calls = [one for one in records if one.get("kind") == "call"]
    answers = {one["id"]: bool(one["is_error"]) for one in records if one.get("kind") == "answer"}
    return Recorded(
        start=str(start["start"]),
        key=str(start["key"]),
        phase=str(start["phase"]),
        is_read_only=bool(start["read_only"]),
        with_answers=bool(start["with_answers"]),
        protected=tuple(start["protected"]),
        checks=tuple(start["checks"]),
        calls=tuple((str(one["id"]), str(one["name"]), one["arguments"]) for one in calls),
        errors=answers,
        digest=str(end.get("digest", "")),
        changes=end.get("changes", {}),
    )


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"`{path.name}` cannot be read.", remedy="Check the path.") from exc
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # a killed run leaves half a line at the end
        if isinstance(record, dict):
            yield record


def replay(recorded: Recorded, checkout: Path, *, tracked: Sequence[str]) -> Replayed:
    """Run the recorded calls again on a checkout of the start commit, and compare how the tree ends."""
    toolbox = Toolbox(
        checkout,
        tracked=tracked,
        run_check=_unmeasured,
        check_ids=recorded.checks,
        read_only=recorded.is_read_only,
        protected=lambda path: protection(path, recorded.protected),
        with_answers=recorded.with_answers,
    )
    otherwise = []
    for id_, name, arguments in recorded.calls:
        if name in LOOP_TOOLS or arguments is None:
            continue
        answer = toolbox.call(name, arguments)
        if recorded.errors.get(id_, answer.is_error) != answer.is_error and name != "read_file":
            otherwise.append(f"{name} ({id_})")
    changes = toolbox.workspace.changes()
    now = fingerprints(changes)
    paths = sorted({*now, *recorded.changes})
    return Replayed(
        start=recorded.start,
        calls=len(recorded.calls),
        digest=digest_of(changes),
        recorded_digest=recorded.digest,
        differing=tuple(path for path in paths if now.get(path) != recorded.changes.get(path)),
        answers=tuple(otherwise),
    )


def _unmeasured(id: str) -> CheckRun:  # noqa: A002 - the name the toolbox uses
    """Stands in for a check, which a replay does not run."""
    return CheckRun(id=id, exit_code=0, output="", seconds=0.0)
