"""GitHub's JSON into records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.adapters.github_records import trailers


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Key: value", {}),
        ("s\n\nKey: value", {"Key": "value"}),
        ("s\n\nbody: text\n\nA-1: x\nB:y\n", {"A-1": "x", "B": "y"}),
        ("s\r\n\r\nKey: value\r\n", {"Key": "value"}),
        ("s\n\nKey: one\n two\nKey2: x", {"Key": "one two", "Key2": "x"}),
        ("s\n\nKey: one\nKey: two", {"Key": "two"}),
        ("s\n\nonly prose here", {}),
        ("", {}),
    ],
)
def test_trailers(message: str, expected: dict[str, str]) -> None:
    """Trailers are the last paragraph's pairs, and the subject is never one."""
    assert trailers(message) == expected


@given(st.text())
def test_trailers_of_anything(message: str) -> None:
    """Any message has trailers or none."""
    assert all(key and "\n" not in key for key in trailers(message))
