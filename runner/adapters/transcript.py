"""The transcript: every turn, tool call and answer of a model's work, one JSON object per line, secrets masked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from runner.core.redact import Redactor


class Transcript:
    """Appends records to a file and flushes each, so that a killed run leaves what happened so far."""

    def __init__(
        self, path: Path, *, redactor: Redactor, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path
        self._redactor = redactor
        self._clock = clock
        self._started = clock()
        self._file = path.open("w", encoding="utf-8")

    def add(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Write one record: its kind, seconds since the start, and its facts."""
        record = {"kind": kind, "seconds": round(self._clock() - self._started, 3), **facts}
        self._file.write(self._redactor.mask(json.dumps(record, ensure_ascii=False, default=str)) + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
