"""Reading a GraphQL document: enough of the language for what clients of GitHub send."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(
    r'[\s,]+|\#[^\n]*|(?P<token>\.\.\.|"""(?:[^"]|"(?!""))*"""|"(?:\\.|[^"\\\n])*"'
    r"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[_A-Za-z]\w*|[!$():=@\[\]{|}])"
)


class DocumentError(Exception):
    """A document that cannot be read, or variables that do not fit it."""


@dataclass(frozen=True)
class Variable:
    """A ``$name`` to be replaced by the request's value."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A field with its arguments and what is selected of it, or a fragment (then ``on`` names its type)."""

    name: str = ""
    alias: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    selections: tuple[Selection, ...] = ()
    on: str | None = None
    spread: str | None = None


@dataclass(frozen=True, kw_only=True)
class Operation:
    """The operation to run; ``variables`` maps names to (type, default)."""

    kind: str
    name: str
    variables: Mapping[str, tuple[str, Any]]
    selections: tuple[Selection, ...]


class _Reader:
    def __init__(self, source: str) -> None:
        self._tokens: list[str] = []
        position = 0
        while position < len(source):
            match = _TOKEN.match(source, position)
            if match is None:
                raise DocumentError(f"Parse error on {source[position]!r} at character {position}")
            if match["token"]:
                self._tokens.append(match["token"])
            position = match.end()
        self._at = 0

    @property
    def next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def take(self, expected: str | None = None) -> str:
        token = self.next
        if not token or (expected is not None and token != expected):
            raise DocumentError(
                f"Parse error on {token or 'the end of the document'!r}, expected {expected!r}"
            )
        self._at += 1
        return token

    def took(self, token: str) -> bool:
        if self.next != token:
            return False
        self._at += 1
        return True

    def definitions(self) -> tuple[list[Operation], dict[str, Selection]]:
        operations, fragments = [], {}
        while self.next:
            if self.took("fragment"):
                name = self.take()
                self.take("on")
                fragments[name] = Selection(on=self.take(), selections=self.selections())
            else:
                operations.append(self.operation())
        return operations, fragments

    def operation(self) -> Operation:
        kind = "query" if self.next == "{" else self.take()
        if kind not in ("query", "mutation"):
            raise DocumentError(f"Parse error on {kind!r}, expected a query or a mutation")
        name = self.take() if self.next not in ("{", "(") else ""
        variables: dict[str, tuple[str, Any]] = {}
        if self.took("("):
            while not self.took(")"):
                self.take("$")
                variable = self.take()
                self.take(":")
                kind_of = self.type()
                variables[variable] = (kind_of, self.value() if self.took("=") else None)
        return Operation(kind=kind, name=name, variables=variables, selections=self.selections())

    def type(self) -> str:
        if self.took("["):
            name = f"[{self.type()}]"
            self.take("]")
        else:
            name = self.take()
        return name + "!" if self.took("!") else name

    def selections(self) -> tuple[Selection, ...]:
        self.take("{")
        found = []
        while not self.took("}"):
            found.append(self.fragment() if self.took("...") else self.field())
        return tuple(found)

    def fragment(self) -> Selection:
        if self.took("on"):
            return Selection(on=self.take(), selections=self.selections())
        if self.next == "{":
            return Selection(on="", selections=self.selections())
        return Selection(spread=self.take())

    def field(self) -> Selection:
        alias = name = self.take()
        if self.took(":"):
            name = self.take()
        arguments = {}
        if self.took("("):
            while not self.took(")"):
                argument = self.take()
                self.take(":")
                arguments[argument] = self.value()
        if self.next == "@":
            raise DocumentError("Directives are not supported")
        selections = self.selections() if self.next == "{" else ()
        return Selection(name=name, alias=alias, arguments=arguments, selections=selections)

    def value(self) -> Any:
        token = self.take()
        if token == "$":
            return Variable(self.take())
        if token == "[":
            items = []
            while not self.took("]"):
                items.append(self.value())
            return items
        if token == "{":
            members = {}
            while not self.took("}"):
                name = self.take()
                self.take(":")
                members[name] = self.value()
            return members
        if token.startswith('"""'):
            return token[3:-3]
        if token[0] in '"-0123456789' or token in ("true", "false", "null"):
            return json.loads(token)
        return token


def read(source: str, name: str | None, given: Mapping[str, Any]) -> Operation:
    """The operation to run, with fragments expanded and variables replaced."""
    operations, fragments = _Reader(source).definitions()
    chosen = [one for one in operations if name in (None, one.name)]
    if len(chosen) != 1:
        raise DocumentError("An operation name is required" if operations else "No operation given")
    operation = chosen[0]
    variables = _variables(operation, given)
    selections = tuple(_filled(one, fragments, variables) for one in operation.selections)
    return Operation(kind=operation.kind, name=operation.name, variables={}, selections=selections)


def _variables(operation: Operation, given: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: given.get(name, default) for name, (_, default) in operation.variables.items()}
    for name, (kind, _) in operation.variables.items():
        base = kind.rstrip("!")
        value = values[name]
        wanted = {"String": str, "ID": str, "Int": int, "Boolean": bool}.get(base)
        if (value is None and kind.endswith("!")) or (
            value is not None and wanted and not isinstance(value, wanted)
        ):
            raise DocumentError(f"Variable ${name} of type {kind} was provided invalid value")
    return values


def _filled(one: Selection, fragments: Mapping[str, Selection], variables: Mapping[str, Any]) -> Selection:
    if one.spread is not None:
        if one.spread not in fragments:
            raise DocumentError(f"Fragment {one.spread} was used, but not defined")
        one = fragments[one.spread]
    return Selection(
        name=one.name,
        alias=one.alias,
        arguments={name: _value(value, variables) for name, value in one.arguments.items()},
        selections=tuple(_filled(part, fragments, variables) for part in one.selections),
        on=one.on,
    )


def _value(value: Any, variables: Mapping[str, Any]) -> Any:
    if isinstance(value, Variable):
        if value.name not in variables:
            raise DocumentError(f"Variable ${value.name} is used but not declared")
        return variables[value.name]
    if isinstance(value, list):
        return [_value(one, variables) for one in value]
    if isinstance(value, dict):
        return {name: _value(one, variables) for name, one in value.items()}
    return value
