"""GitHub's expression language, as far as our workflow and action use it.

A name that leads nowhere is null, strings compare without case, ``&&`` and ``||`` yield an operand: as GitHub
documents it. Anything else (an unknown function, ``*``, an index) raises ExpressionError instead of guessing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Contexts = Mapping[str, Any]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)"
    r"|(?P<sign>&&|\|\||==|!=|!|\(|\)|,))"
)
_PLACE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_LITERALS: Mapping[str, Any] = {"true": True, "false": False, "null": None}


class ExpressionError(ValueError):
    """The text is not an expression that we understand."""


def evaluate(expression: str, contexts: Contexts) -> Any:
    """The value of an expression, with or without ``${{ }}`` around it."""
    stripped = expression.strip()
    if whole := _PLACE.fullmatch(stripped):
        stripped = whole[1]
    parser = _Parser(_tokens(stripped), contexts)
    value = parser.either()
    parser.expect_end()
    return value


def render(template: str, contexts: Contexts) -> str:
    """The text with each ``${{ }}`` replaced by its value's text."""
    return _PLACE.sub(lambda place: text_of(evaluate(place[1], contexts)), template)


def is_true(value: Any) -> bool:
    """Whether GitHub takes a value for true: everything but false, 0, null and the empty text."""
    return not (value is None or value is False or value == "" or (_is_number(value) and value == 0))


def text_of(value: Any) -> str:
    """A value inside a text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list):
        return "Array" if isinstance(value, list) else "Object"
    return str(value)


def _tokens(text: str) -> list[tuple[str, str]]:
    found, position = [], 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise ExpressionError(f"unexpected {text[position:].strip()[:20]!r} in {text!r}")
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


class _Parser:
    """Evaluates while it reads; both sides of an operator are always read."""

    def __init__(self, tokens: list[tuple[str, str]], contexts: Contexts) -> None:
        self._tokens = tokens
        self._contexts = contexts
        self._at = 0

    def either(self) -> Any:
        value = self._both()
        while self._take("||"):
            other = self._both()
            value = value if is_true(value) else other
        return value

    def expect_end(self) -> None:
        if self._at < len(self._tokens):
            raise ExpressionError(f"unexpected {self._tokens[self._at][1]!r}")

    def _both(self) -> Any:
        value = self._comparison()
        while self._take("&&"):
            other = self._comparison()
            value = other if is_true(value) else value
        return value

    def _comparison(self) -> Any:
        value = self._single()
        while sign := self._take("==") or self._take("!="):
            value = _equal(value, self._single()) == (sign == "==")
        return value

    def _single(self) -> Any:
        if self._take("!"):
            return not is_true(self._single())
        if self._take("("):
            value = self.either()
            self._need(")")
            return value
        kind, text = self._next()
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind != "name":
            raise ExpressionError(f"unexpected {text!r}")
        return self._call(text) if self._take("(") else self._value(text)

    def _call(self, name: str) -> Any:
        function = _FUNCTIONS.get(name.lower())
        if function is None:
            raise ExpressionError(f"the function {name} is unknown")
        arguments: list[Any] = []
        while not self._take(")"):
            if arguments:
                self._need(",")
            arguments.append(self.either())
        return function(*arguments)

    def _value(self, path: str) -> Any:
        if path.lower() in _LITERALS:
            return _LITERALS[path.lower()]
        first, *rest = path.split(".")
        if first not in self._contexts:
            raise ExpressionError(f"there is no context {first}")
        value = self._contexts[first]
        for part in rest:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise ExpressionError("the expression ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, sign: str) -> str:
        if self._at < len(self._tokens) and self._tokens[self._at] == ("sign", sign):
            self._at += 1
            return sign
        return ""

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise ExpressionError(f"{sign!r} is missing")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return left.lower() == right.lower()
    if type(left) is type(right):
        return bool(left is right if isinstance(left, Mapping | list) else left == right)
    return _number(left) == _number(right)


def _number(value: Any) -> float:
    if value is None or isinstance(value, bool | int | float):
        return float(value or 0)
    if not isinstance(value, str):
        return math.nan
    try:
        return float(value) if value else 0.0
    except ValueError:
        return math.nan


def _format(template: Any, *values: Any) -> str:
    return re.sub(r"\{(\d+)\}", lambda found: text_of(values[int(found[1])]), text_of(template))


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "format": _format,
    "startswith": lambda text, start: text_of(text).lower().startswith(text_of(start).lower()),
    "endswith": lambda text, end: text_of(text).lower().endswith(text_of(end).lower()),
    "contains": lambda text, part: text_of(part).lower() in text_of(text).lower(),
    "tojson": lambda value: json.dumps(value, indent=2),
    "always": lambda: True,
}
