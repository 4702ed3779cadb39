"""GitHub's expressions, as its documentation has them."""

from __future__ import annotations

from typing import Any

import pytest

from runner.sandbox.expressions import ExpressionError, evaluate, is_true, render

CONTEXTS: dict[str, Any] = {
    "github": {"event": {"n": 7, "list": [1], "object": {}, "flag": True, "key": "ABC-1"}, "head_ref": ""},
    "vars": {"Paused": "TRUE"},
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'it''s'", "it's"),
        ("${{ github.event.key }}", "ABC-1"),
        ("github.event.none.deeper", None),
        ("github.event.key.deeper", None),
        ("vars.Paused == 'true'", True),
        ("vars.Absent != 'true'", True),
        ("vars.Absent == ''", True),
        ("null == 0", True),
        ("true == 1", True),
        ("'7' == github.event.n", True),
        ("'x' == 0", False),
        ("github.event.object == github.event.list", False),
        ("github.head_ref || 'sweep'", "sweep"),
        ("github.event.key && 'a' || 'b'", "a"),
        ("github.head_ref && 'a' || 'b'", "b"),
        ("false || true && false", False),
        ("!(true && false)", True),
        ("!github.head_ref", True),
        ("format('{1}/{0}', 'a', github.event.n)", "7/a"),
        ("startsWith('AI/ABC-1', 'ai/')", True),
        ("endsWith('ABC-1', '-1') && contains('ABC', 'b')", True),
        ("always()", True),
        ("1.5 == '1.5'", True),
        ("-1", -1),
    ],
)
def test_values(expression: str, value: object) -> None:
    """Operators yield operands, texts compare without case, a name that leads nowhere is null."""
    assert evaluate(expression, CONTEXTS) == value


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        (None, False),
        (False, False),
        ("", False),
        (0, False),
        ("false", True),
        (1, True),
        ({}, True),
        ([], True),
    ],
)
def test_truth(value: object, truth: bool) -> None:
    """Only null, false, zero and the empty text are false."""
    assert is_true(value) is truth


def test_texts_hold_values() -> None:
    """Each place becomes its value's text, the rest stays."""
    template = (
        "a ${{ github.event.n }} b ${{ github.none }} c ${{ github.event.flag }} ${{ github.event.list }}"
    )
    assert render(template, CONTEXTS) == "a 7 b  c true Array"


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "a b",
        "'open",
        "fn(1)",
        "format('x'",
        "(true",
        "true true",
        "needs.*.result",
        "github[0]",
        "secrets.X",
        "==",
    ],
)
def test_what_is_not_understood_is_refused(expression: str) -> None:
    """An expression outside the subset is an error and never a guess."""
    with pytest.raises(ExpressionError):
        evaluate(expression, CONTEXTS)
