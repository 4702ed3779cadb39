"""The scripted work: thirty turns that list, search, read, edit, check and finish, the same for every loop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Provider = Literal["anthropic", "openai"]
Call = tuple[str, Mapping[str, Any]]

TURNS = 30
MODELS: Mapping[Provider, str] = {"anthropic": "claude-opus-5-5", "openai": "gpt-6.1-sol"}
KEY = "bench-model-key"
TASK = """Give every price of the shop its currency.

Today a price is a bare number and everybody assumes euros. Since we opened in Zurich and Oslo, receipts, the weekly
report and the export to the bookkeeping show amounts that nobody can tell apart, and twice this month a refund was
paid out in the wrong currency. Support spends about an hour a day on explaining statements to customers.

What should change:

- Every part of the shop that holds a value says which currency it is in. `value_1` is the one that is shown on
  receipts; it is the only one that changes its number, because it was kept in hundreds by mistake.
- Wherever a value is shown, its currency stands after it, separated by one space, in its three-letter code.
- Sums of different currencies are refused with a message that names both.
- Values that were stored before keep working: they are in euros.
- The weekly report lists one total for each currency, in the order of the codes.
- The export has a new last column `currency`. Its other columns stay as they are, because the bookkeeping reads
  them by position and will not be changed before spring.

What should not change: rounding, the order of lines on a receipt, the names of existing parts, and the interface of
the till hardware, which takes plain numbers and always will.

Acceptance criteria:

1. A receipt with two articles of one currency shows both amounts and the total with its code.
2. Adding an amount in EUR to one in CHF fails with a message that contains both codes.
3. A value stored by the previous version is read as euros.
4. The weekly report of a week with sales in three currencies has three totals, sorted by code.
5. The export of such a week has the column `currency`, and its first six columns are byte for byte as before.
6. `value_1` of every part holds the corrected number.

Notes from the discussion: exchange rates are out of scope, there will be a ticket of its own. Nils suggested a class
for money, Maria would rather keep numbers and add a field; we agreed on the field, because most of the code only
passes values on. Please keep the change small in each part, so that it can be reviewed part by part. If a part does
not show values at all, only its number is corrected. The hardware tests run nightly on a real till and cannot be run
by you; say so in the summary if you touch anything near them. The old format of the export has to stay available
behind the existing switch until the bookkeeping confirms that the new column arrives on their side."""
FILES = 12


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The calls of each turn, in order; the last one finishes."""

    turns: tuple[tuple[Call, ...], ...]


def module(at: int, *, lines: int = 60) -> str:
    """One source file of the sample repository."""
    head = (
        f'"""Part {at} of the shop."""\n\n\nclass Part{at}:\n    """Holds what belongs to part {at}."""\n\n'
    )
    body = "".join(f"    value_{row} = {row * at}  # what row {row} counts\n" for row in range(lines))
    return head + body


def write_repository(folder: Path, *, files: int) -> None:
    """A repository with ``FILES`` modules that the work touches, and as many others as asked for."""
    (folder / "shop").mkdir(parents=True)
    for at in range(FILES):
        (folder / "shop" / f"part_{at}.py").write_text(module(at))
    (folder / "AGENTS.md").write_text("# Conventions\n\nSmall functions, no abbreviations.\n")
    (folder / "README.md").write_text("# Shop\n")
    for at in range(files - FILES - 2):
        place = folder / f"area_{at % 40}" / f"topic_{at % 400 // 40}" / f"file_{at}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"VALUE_{at} = {at}\n" * 5)


def working() -> Scenario:
    """Thirty turns of ordinary work."""
    turns: list[tuple[Call, ...]] = [
        (("list_files", {"path": "shop", "depth": 2}),),
        (("search", {"pattern": "class Part3", "path": None, "context": 2}),),
    ]
    for at in range(FILES):
        path = f"shop/part_{at}.py"
        turns.append((("read_file", {"path": path, "start": None, "lines": None}),))
        old, new = f"    value_1 = {at}  #", f"    value_1 = {at + 1_000}  #"
        turns.append((("edit_file", {"path": path, "old": old, "new": new, "replace_all": None}),))
    turns.append((("read_file", {"path": "README.md", "start": None, "lines": None}),))
    turns.append((("search", {"pattern": "value_59", "path": "shop", "context": None}),))
    turns.append((("run_check", {"id": "tests"}),))
    return _finished(turns)


def noisy() -> Scenario:
    """A check in the middle that prints 2.8 MB, and a few turns after it."""
    read: Call = ("read_file", {"path": "shop/part_1.py", "start": None, "lines": None})
    edit: Call = (
        "edit_file",
        {"path": "shop/part_1.py", "old": "class Part1:", "new": "class Part1X:", "replace_all": None},
    )
    return _finished([(read,), (edit,), (("run_check", {"id": "tests"}),), (read,), (read,)], count=6)


def _finished(turns: list[tuple[Call, ...]], *, count: int = TURNS) -> Scenario:
    while len(turns) < count - 1:
        turns.append((("list_files", {"path": "shop", "depth": 1}),))
    finish: Call = ("finish", {"outcome": "done", "summary": "Every price has a currency.", "criteria": []})
    return Scenario(turns=(*turns[: count - 1], (finish,)))


def stream_of(provider: Provider, scenario: Scenario, turn: int) -> bytes:
    """The server-sent events of one scripted answer."""
    calls = scenario.turns[turn] if turn < len(scenario.turns) else ()
    if provider == "anthropic":
        return _anthropic(calls, turn)
    return _openai(calls, turn)


def _event(body: Mapping[str, Any]) -> bytes:
    return f"event: {body['type']}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n".encode()


def _anthropic(calls: tuple[Call, ...], turn: int) -> bytes:
    usage = {"input_tokens": 100, "output_tokens": 50}
    message: dict[str, Any] = {
        "id": f"msg_{turn}",
        "type": "message",
        "role": "assistant",
        "model": MODELS["anthropic"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    events = [_event({"type": "message_start", "message": message})]
    for at, (name, arguments) in enumerate(calls):
        block = {"type": "tool_use", "id": f"toolu_{turn}_{at}", "name": name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
        events += [
            _event({"type": "content_block_start", "index": at, "content_block": block}),
            _event({"type": "content_block_delta", "index": at, "delta": delta}),
            _event({"type": "content_block_stop", "index": at}),
        ]
    stop = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
    events += [
        _event({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 50}}),
        _event({"type": "message_stop"}),
    ]
    return b"".join(events)


def _openai(calls: tuple[Call, ...], turn: int) -> bytes:
    items = [
        {
            "type": "function_call",
            "id": f"fc_{turn}_{at}",
            "call_id": f"call_{turn}_{at}",
            "name": name,
            "arguments": json.dumps(arguments),
            "status": "completed",
        }
        for at, (name, arguments) in enumerate(calls)
    ]
    usage = {
        "input_tokens": 100,
        "output_tokens": 50,
        "total_tokens": 150,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    response = {
        "id": f"resp_{turn}",
        "object": "response",
        "created_at": 1,
        "status": "in_progress",
        "model": MODELS["openai"],
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    events = [_event({"type": "response.created", "sequence_number": 0, "response": response})]
    for at, item in enumerate(items):
        events += [
            _event(
                {
                    "type": "response.output_item.added",
                    "sequence_number": 2 * at + 1,
                    "output_index": at,
                    "item": item,
                }
            ),
            _event(
                {
                    "type": "response.output_item.done",
                    "sequence_number": 2 * at + 2,
                    "output_index": at,
                    "item": item,
                }
            ),
        ]
    done = {**response, "status": "completed", "output": items, "usage": usage}
    events.append(_event({"type": "response.completed", "sequence_number": 99, "response": done}))
    return b"".join(events)
