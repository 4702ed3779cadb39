"""Documents drawn from Jira's published schema itself: whatever it allows may come, also what nobody here thought of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests.contracts import load

Schema = Mapping[str, Any]
DEFINITIONS: Mapping[str, Schema] = load("adf.schema.json")["definitions"]
WORDS = st.text(st.sampled_from("ab1é _*[]()|~<>#-+.`\\&!{}:\n\t=\"'😀"), min_size=1, max_size=12)
COLOURS = st.sampled_from(["#bf2600", "#00B8D9"])
MAX_ITEMS = 2
LEVELS = 6


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """Whole documents, a few levels deep."""
    found: st.SearchStrategy[dict[str, Any]] = value_of(DEFINITIONS["doc_node"], LEVELS)
    return found


def node_types() -> frozenset[str]:
    """Every kind of node that the schema knows; marks are none."""
    known = (one for name, one in DEFINITIONS.items() if name.endswith("_node") and "properties" in one)
    return frozenset(kind for one in known for kind in one["properties"]["type"]["enum"])


def value_of(schema: Schema, levels: int) -> st.SearchStrategy[Any]:
    """Values that a part of the schema accepts, with at most so many nodes inside each other where it can be helped."""
    schema = _resolved(schema)
    if "anyOf" in schema:
        return st.one_of([value_of(one, levels) for one in _fitting(schema["anyOf"], levels)])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object":
            return _object(schema, levels)
        case "array":
            return _array(schema, levels)
        case "number" | "integer":
            return st.integers(int(schema.get("minimum", 0)), int(schema.get("maximum", 50)))
        case "boolean":
            return st.booleans()
        case "string":
            return COLOURS if "pattern" in schema else WORDS
        case _:
            return st.just({})


def _object(schema: Schema, levels: int) -> st.SearchStrategy[dict[str, Any]]:
    properties, required = schema.get("properties", {}), frozenset(schema.get("required", ()))
    below = levels - 1 if "type" in properties else levels
    inner = {
        name: _later(one, below)
        for name, one in properties.items()
        if name in required or _height(one) <= below
    }
    # Content may be left out almost everywhere, and documents without any would say little.
    needed = {name: one for name, one in inner.items() if name in required or name == "content"}
    optional = {name: one for name, one in inner.items() if name not in needed}
    return st.fixed_dictionaries(needed, optional=optional)


def _later(schema: Schema, levels: int) -> st.SearchStrategy[Any]:
    """The same, looked at only when it is drawn: definitions refer to each other in circles."""
    return st.deferred(lambda: value_of(schema, levels))


def _array(schema: Schema, levels: int) -> st.SearchStrategy[list[Any]]:
    items, least = schema.get("items", {}), int(schema.get("minItems", 0))
    if isinstance(items, Sequence):
        lengths = range(max(least, 1), len(items) + 1)
        return st.one_of(
            [st.tuples(*(value_of(one, levels) for one in items[:size])) for size in lengths]
        ).map(list)
    most = min(int(schema.get("maxItems", MAX_ITEMS)), max(least, MAX_ITEMS))
    if most == 0 or (least == 0 and _height(items) > levels):
        return st.just([])
    return st.lists(value_of(items, levels), min_size=least, max_size=most)


def _fitting(options: Sequence[Schema], levels: int) -> list[Schema]:
    """The options that end in time; else those that end soonest."""
    soonest = min(_height(one) for one in options)
    return [one for one in options if _height(one) <= max(levels, soonest)]


def _resolved(schema: Schema) -> Schema:
    """The schema without references, and with what it must satisfy together put together."""
    while "$ref" in schema:
        schema = DEFINITIONS[schema["$ref"].rpartition("/")[2]]
    if "allOf" not in schema:
        return schema
    base, *others = map(_resolved, schema["allOf"])
    merged = dict(base)
    for one in others:
        merged["properties"] = {**merged["properties"], **one.get("properties", {})}
        merged["required"] = [*merged.get("required", ()), *one.get("required", ())]
    return merged


@cache
def _heights() -> Mapping[str, float]:
    """How many nodes stand inside each other in the smallest value of each definition."""
    known: dict[str, float] = dict.fromkeys(DEFINITIONS, math.inf)
    while True:
        found = {name: _measure(_resolved(one), known) for name, one in DEFINITIONS.items()}
        if found == known:
            return known
        known = found


def _height(schema: Schema) -> float:
    return _measure(schema, _heights())


def _measure(schema: Schema, known: Mapping[str, float]) -> float:
    if "$ref" in schema:
        return known[schema["$ref"].rpartition("/")[2]]
    schema = _resolved(schema)
    if "anyOf" in schema:
        return min(_measure(one, known) for one in schema["anyOf"])
    if schema.get("type") == "array":
        items = schema.get("items", {})
        parts = items[:1] if isinstance(items, Sequence) else [items]
        return max((_measure(one, known) for one in parts), default=0) if schema.get("minItems") else 0
    needed = [one for name, one in schema.get("properties", {}).items() if name in schema.get("required", ())]
    own = 1 if "type" in schema.get("properties", {}) else 0
    return own + max((_measure(one, known) for one in needed), default=0)
