"""Request bodies: the part of JSON Schema that GitHub's own descriptions use, and its answers to a misfit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner.sandbox.github.errors import ApiError

Schema = Mapping[str, Any]

BODY_LIMIT = 65_536
STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
OPTIONAL_TEXT: Schema = {"type": "string", "maxLength": BODY_LIMIT, "nullable": True}
TEXT: Schema = {"type": "string", "maxLength": BODY_LIMIT}
COMMENT: Schema = {"type": "string", "minLength": 1, "maxLength": BODY_LIMIT}
TITLE: Schema = {"type": "string", "minLength": 1, "maxLength": 256}
STRINGS: Schema = {"type": "array", "items": STRING}

_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "object": dict,
    "array": list,
}


def body(required: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    """The schema of a JSON object that takes these members and no others."""
    return {"type": "object", "required": required, "properties": properties, "closed": True}


def choice(*values: str) -> Schema:
    """A string out of a closed set."""
    return {"type": "string", "enum": values}


def check(schema: Schema, value: object) -> None:
    """Raise GitHub's 422 for the first misfit."""
    for problem in _problems(schema, value, ""):
        if "(maximum is " in problem:
            field, _, message = problem.partition(" ")
            error = {"resource": "Request", "field": field, "code": "custom", "message": message}
            raise ApiError(422, "Validation Failed", errors=[{**error, "message": f"{field} {message}"}])
        raise ApiError(422, f"Invalid request.\n\n{problem}")


def _problems(schema: Schema, value: object, where: str) -> Iterator[str]:
    if value is None:
        if not schema.get("nullable"):
            yield f"For '{where}', nil is not a {schema.get('type', 'value')}."
        return
    if options := schema.get("anyOf"):
        if all(next(_problems(option, value, where), None) for option in options):
            yield f"For '{where}', {value!r} is not of an accepted type."
        return
    wanted = schema["type"]
    if not isinstance(value, _TYPES[wanted]) or (wanted == "integer" and isinstance(value, bool)):
        yield f"For '{where}', {value!r:.80} is not a {wanted}."
    elif isinstance(value, str):
        yield from _string_problems(schema, value, where)
    elif isinstance(value, list):
        yield from _list_problems(schema, value, where)
    elif isinstance(value, dict):
        yield from _object_problems(schema, value, where)


def _string_problems(schema: Schema, value: str, where: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{value!r} is not a member of {list(schema['enum'])} for '{where}'."
    if len(value) < schema.get("minLength", 0):
        yield f"For '{where}', is too short (minimum is {schema['minLength']} character)."
    if len(value) > schema.get("maxLength", len(value)):
        yield f"{where} is too long (maximum is {schema['maxLength']} characters)"


def _list_problems(schema: Schema, value: list[object], where: str) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield f"For '{where}', needs at least {schema['minItems']} item."
    if len(value) > schema.get("maxItems", len(value)):
        yield f"For '{where}', takes at most {schema['maxItems']} items."
    for number, item in enumerate(value):
        yield from _problems(schema["items"], item, f"{where}/{number}")


def _object_problems(schema: Schema, value: dict[str, object], where: str) -> Iterator[str]:
    properties = schema.get("properties", {})
    if len(value) > schema.get("maxProperties", len(value)):
        yield f"No more than {schema['maxProperties']} properties are allowed; {len(value)} were supplied."
    yield from (f'"{name}" wasn\'t supplied.' for name in schema.get("required", ()) if name not in value)
    if schema.get("closed"):
        yield from (f'"{name}" is not a permitted key.' for name in value if name not in properties)
    for name, shape in properties.items():
        if name in value:
            yield from _problems(shape, value[name], f"{where}/{name}".lstrip("/"))
