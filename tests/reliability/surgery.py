"""Cut a piece out of the shipped code, while a test runs: every caller then meets the code without it."""

from __future__ import annotations

import inspect
import textwrap
from types import FunctionType
from typing import Any

import pytest


def cut(patch: pytest.MonkeyPatch, function: Any, piece: str, instead: str = "") -> None:
    """Compile a shipped function anew with one piece of its source replaced; the piece must be there exactly once."""
    shipped = _plain(function)
    source = textwrap.dedent(inspect.getsource(shipped))
    assert source.count(piece) == 1, f"{shipped.__qualname__} does not hold once: {piece}"
    undecorated = source[source.index("def ") :]
    made: dict[str, Any] = {}
    exec(
        compile(undecorated.replace(piece, instead), inspect.getfile(shipped), "exec"),
        shipped.__globals__,
        made,
    )
    patch.setattr(shipped, "__code__", made[shipped.__name__].__code__)


def _plain(function: Any) -> FunctionType:
    """The function behind a property."""
    found = getattr(function, "fget", None) or getattr(function, "func", None) or function
    assert isinstance(found, FunctionType)
    return found
