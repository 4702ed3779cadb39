"""The official contracts, as the tests use them: the same files in every clone, see data/contracts."""

from __future__ import annotations

import importlib.util
import json
import lzma
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from jsonschema import Draft4Validator, ValidationError

DATA = Path(__file__).resolve().parent / "data" / "contracts"


@cache
def load(name: str) -> Any:
    """Read one contract document by its plain name, compressed or not."""
    packed = DATA / f"{name}.xz"
    if packed.is_file():
        return json.loads(lzma.decompress(packed.read_bytes()))
    return json.loads((DATA / name).read_text(encoding="utf-8"))


@cache
def checker() -> ModuleType:
    """The contract checker, reading the compressed documents."""
    spec = importlib.util.spec_from_file_location("contract_check", DATA / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.load = load  # type: ignore[attr-defined]
    module.Draft4Validator = _Remembering  # type: ignore[attr-defined]
    return module


class _Remembering:
    """Validates a document once: a story reads the same comments again and again, and the schema is slow."""

    known: ClassVar[dict[str, tuple[ValidationError, ...]]] = {}

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._validator = Draft4Validator(schema)

    def iter_errors(self, document: object) -> tuple[ValidationError, ...]:
        """Every error, as the validator itself gives them."""
        key = json.dumps(document, sort_keys=True)
        if key not in self.known:
            self.known[key] = tuple(self._validator.iter_errors(document))
        return self.known[key]


def violations(exchanges: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line per violation; responses may leave required members out (they serve a hand-written fake)."""
    return [
        f"{exchange.get('method')} {exchange.get('url') or exchange.get('path')} "
        f"({exchange.get('status')}): {message}"
        for exchange in exchanges
        for message in checker().check_exchange(exchange, True)
    ]


def is_adf(document: object) -> bool:
    """Whether the published schema accepts a rich-text document."""
    return bool(Draft4Validator(load("adf.schema.json")).is_valid(document))
