"""Markers: what we remember on a ticket and on a pull request, as text.

A ticket comment of ours ends in one quiet line, ``ai-runner v1 <kind> <KEY> <owner/repo> <data>``. It counts
only when the runner's account wrote it and changed it last, and key and repository match. A line that is
ours but cannot be read is *unknown* and stops every write; anybody else's line is no marker at all.
A pull request carries the same facts as JSON in a hidden comment of its body.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from runner.errors import RunnerError

VERSION = 1
MAX_BYTES = 64 * 1024
KEEP_SEEN = 40
KEEP_RUNS = 60


class Kind(StrEnum):
    """What a comment of ours says."""

    PROGRESS = "progress"
    PLAN = "plan"
    BREAKDOWN = "breakdown"
    QUESTIONS = "questions"
    HANDOVER = "handover"
    FAILURE = "failure"
    MERGED = "merged"
    CLOSED = "closed"
    SUMMARY = "summary"
    NOTE = "note"


class UnreadableMarkerError(RunnerError):
    """A marker of ours is damaged or newer than this version; what it recorded is unknown."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Which feedback was taken into account: ``{id: version}``, and everything not newer than ``watermark``.

    A version is the time of the last edit, so an edit makes an item unread again.
    """

    watermark: str = ""
    items: Mapping[str, str] = field(default_factory=dict)

    def covers(self, id: str, version: str) -> bool:  # noqa: A002 - the field's own name
        """Whether this version of an item was taken into account, or a later one that is not shown any more."""
        known = self.items.get(id)
        if known == version:
            return True
        newest = max(self.watermark, known if known is not None and _is_time(known) else "")
        return _is_time(version) and version <= newest

    def with_items(self, items: Iterable[tuple[str, str]]) -> Seen:
        """Also cover these, keeping the newest explicitly and the rest by watermark."""
        merged = {**self.items, **dict(items)}
        timed = sorted((pair for pair in merged.items() if _is_time(pair[1])), key=lambda pair: pair[1])
        dropped, kept = timed[:-KEEP_SEEN], timed[-KEEP_SEEN:]
        watermark = max([self.watermark, *(version for _, version in dropped)])
        fixed = {name: version for name, version in merged.items() if not _is_time(version)}
        return Seen(watermark=watermark, items={**fixed, **dict(kept)})

    def union(self, other: Seen) -> Seen:
        """Cover what either covers; for one id the newer version counts."""
        items = dict(self.items)
        for id_, version in other.items.items():
            items[id_] = max(version, items.get(id_, "")) if _is_time(version) else version
        return Seen(watermark=max(self.watermark, other.watermark), items=items)


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """One run's bill. ``usd`` is ``None`` when the model's price is unknown, never 0 for unknown.

    ``at`` is when the run ended, ISO 8601 in UTC; empty in records of versions that kept no time.
    """

    run: str
    phase: str
    model: str
    tokens: int
    usd: Decimal | None
    seconds: int = 0
    at: str = ""


@dataclass(frozen=True, kw_only=True)
class Marker:
    """What one comment of ours, or the head of a pull request body, records."""

    kind: Kind
    key: str
    repository: str
    run: str = ""
    phase: str = ""
    input_digest: str = ""
    plan_digest: str = ""
    content_digest: str = ""
    number: int = 0
    code: str = ""
    until: str = ""
    seen: Seen = Seen()
    items: Mapping[str, str] = field(default_factory=dict)
    ledger: tuple[LedgerEntry, ...] = ()
    attachment: str = ""


@dataclass(frozen=True, kw_only=True)
class PullRequestRecord:
    """The hidden facts in a pull request's body."""

    key: str
    repository: str
    parent: str = ""
    item: str = ""
    input_digest: str = ""
    plan_digest: str = ""
    base: str = ""
    stacked_on: str = ""
    check_fixes: int = 0
    seen: Seen = Seen()
    ledger: tuple[LedgerEntry, ...] = ()


_LINE = re.compile(r"ai-runner v(\d{1,4}) ([a-z]{1,20}) (\S{1,64}) (\S{1,200}) ([A-Za-z0-9_-]+)")
_HIDDEN = re.compile(r"<!-- ai-runner (\{.*?\}) -->", re.DOTALL)


def to_line(marker: Marker) -> str:
    """The quiet last line of a comment."""
    packed = base64.urlsafe_b64encode(zlib.compress(_dump(_to_json(marker)).encode(), 9)).decode().rstrip("=")
    return f"ai-runner v{VERSION} {marker.kind} {marker.key} {marker.repository} {packed}"


def is_marker_line(line: str) -> bool:
    """Whether a line claims to be a marker of ours."""
    return line.startswith("ai-runner v")


def from_line(line: str) -> Marker:
    """Read a marker; raises UnreadableMarkerError for a damaged line or a newer version."""
    found = _LINE.fullmatch(line.strip())
    if found is None:
        raise _unreadable("it is damaged")
    if int(found[1]) > VERSION:
        raise _unreadable(f"it was written by a newer version (marker v{found[1]})")
    try:
        packed = base64.urlsafe_b64decode(found[5] + "=" * (-len(found[5]) % 4))
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(packed, MAX_BYTES)
        if not unpacker.eof:
            raise _unreadable("it is larger than any we write")
        marker = _from_json(json.loads(text))
    except (
        binascii.Error,
        zlib.error,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as exc:
        raise _unreadable("it is damaged") from exc
    if (marker.kind, marker.key, marker.repository) != (found[2], found[3], found[4]):
        raise _unreadable("its parts contradict each other")
    return marker


def to_hidden(record: PullRequestRecord) -> str:
    """The hidden JSON comment of a pull request body."""
    text = _dump(_record_json(record)).replace(">", "\\u003e").replace("--", "-\\u002d")
    return f"<!-- ai-runner {text} -->"


def from_hidden(body: str) -> PullRequestRecord | None:
    """Read the hidden comment of a body; ``None`` when there is none or it cannot be read."""
    found = _HIDDEN.search(body[:MAX_BYTES])
    if found is None:
        return None
    try:
        data = json.loads(found[1])
        return PullRequestRecord(
            key=str(data["key"]),
            repository=str(data["repository"]),
            parent=str(data.get("parent", "")),
            item=str(data.get("item", "")),
            input_digest=str(data.get("input", "")),
            plan_digest=str(data.get("plan", "")),
            base=str(data.get("base", "")),
            stacked_on=str(data.get("stacked_on", "")),
            check_fixes=int(data.get("check_fixes", 0)),
            seen=_seen_from(data.get("seen", {})),
            ledger=_ledger_from(data.get("ledger", [])),
        )
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        return None


def without_hidden(body: str) -> str:
    """The visible part of a pull request body."""
    return _HIDDEN.sub("", body).strip()


def merge_ledgers(*ledgers: Iterable[LedgerEntry], keep: int | None = KEEP_RUNS) -> tuple[LedgerEntry, ...]:
    """Every run once, in the order first met; the newest ``keep`` stay, ``None`` for all."""
    runs: dict[tuple[str, str], LedgerEntry] = {}
    for ledger in ledgers:
        for entry in ledger:
            runs.setdefault((entry.run, entry.phase), entry)
    return tuple(runs.values()) if keep is None else tuple(runs.values())[-keep:]


def total_usd(ledger: Iterable[LedgerEntry]) -> Decimal | None:
    """What the runs cost together; ``None`` as soon as one of them is unknown."""
    total = Decimal(0)
    for entry in ledger:
        if entry.usd is None:
            return None
        total += entry.usd
    return total


def _is_time(version: str) -> bool:
    return len(version) > 10 and version[4:5] == "-" and version[10:11] == "T"


def _unreadable(reason: str) -> UnreadableMarkerError:
    return UnreadableMarkerError(
        f"A comment of this runner on the ticket cannot be read: {reason}.",
        remedy="Nothing was changed. Delete that comment, or run the newest version of the action.",
    )


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=True)


def _compact(value: dict[str, Any]) -> dict[str, Any]:
    return {key: one for key, one in value.items() if one not in ("", 0, {}, [], None)}


def _to_json(marker: Marker) -> dict[str, Any]:
    return _compact(
        {
            "kind": marker.kind.value,
            "key": marker.key,
            "repo": marker.repository,
            "run": marker.run,
            "phase": marker.phase,
            "input": marker.input_digest,
            "plan": marker.plan_digest,
            "content": marker.content_digest,
            "number": marker.number,
            "code": marker.code,
            "until": marker.until,
            "seen": _seen_json(marker.seen),
            "items": dict(marker.items),
            "ledger": _ledger_json(marker.ledger),
            "attachment": marker.attachment,
        }
    )


def _from_json(data: Any) -> Marker:
    return Marker(
        kind=Kind(data["kind"]),
        key=str(data["key"]),
        repository=str(data["repo"]),
        run=str(data.get("run", "")),
        phase=str(data.get("phase", "")),
        input_digest=str(data.get("input", "")),
        plan_digest=str(data.get("plan", "")),
        content_digest=str(data.get("content", "")),
        number=int(data.get("number", 0)),
        code=str(data.get("code", "")),
        until=str(data.get("until", "")),
        seen=_seen_from(data.get("seen", {})),
        items={str(key): str(value) for key, value in data.get("items", {}).items()},
        ledger=_ledger_from(data.get("ledger", [])),
        attachment=str(data.get("attachment", "")),
    )


def _record_json(record: PullRequestRecord) -> dict[str, Any]:
    return _compact(
        {
            "key": record.key,
            "repository": record.repository,
            "parent": record.parent,
            "item": record.item,
            "input": record.input_digest,
            "plan": record.plan_digest,
            "base": record.base,
            "stacked_on": record.stacked_on,
            "check_fixes": record.check_fixes,
            "seen": _seen_json(record.seen),
            "ledger": _ledger_json(record.ledger),
        }
    )


def _seen_json(seen: Seen) -> dict[str, Any]:
    return _compact({"to": seen.watermark, "items": dict(seen.items)})


def _seen_from(data: Any) -> Seen:
    items = {str(key): str(value) for key, value in data.get("items", {}).items()}
    return Seen(watermark=str(data.get("to", "")), items=items)


def _ledger_json(ledger: tuple[LedgerEntry, ...]) -> list[list[Any]]:
    return [
        [
            one.run,
            one.phase,
            one.model,
            one.tokens,
            None if one.usd is None else str(one.usd),
            one.seconds,
            *([one.at] if one.at else []),
        ]
        for one in ledger
    ]


def _ledger_from(data: Any) -> tuple[LedgerEntry, ...]:
    decode: Callable[[Any], LedgerEntry] = lambda row: LedgerEntry(  # noqa: E731 - one expression, used once
        run=str(row[0]),
        phase=str(row[1]),
        model=str(row[2]),
        tokens=int(row[3]),
        usd=None if row[4] is None else Decimal(str(row[4])),
        seconds=int(row[5]),
        at=str(row[6]) if len(row) > 6 else "",
    )
    return tuple(decode(row) for row in data)


def with_run(record: PullRequestRecord, entry: LedgerEntry) -> PullRequestRecord:
    """The record with one more run on its ledger."""
    return replace(record, ledger=merge_ledgers(record.ledger, [entry]))
