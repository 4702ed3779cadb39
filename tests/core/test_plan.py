"""Plans: what is refused and in which words, what stays the same, and what an approval is bound to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.core.plan import (
    PLAN_SCHEMA,
    Item,
    Plan,
    PlanAnswer,
    PlanError,
    check_plan,
    compare,
    keep_unchanged,
    parse_answer,
    parse_plan,
)
from tests.core.snapshots import plan


def answer(**over: Any) -> str:
    """A model's answer with one good item."""
    item = json.loads(plan("alpha").items[0].model_dump_json())
    values = {
        "outcome": "plan",
        "summary": "Rounds.",
        "items": [item],
        "questions": [],
        "answers": [],
        **over,
    }
    return json.dumps(values)


def refusal(text: str, *, max_items: int = 20) -> str:
    """Why an answer is refused."""
    with pytest.raises(PlanError) as caught:
        parse_answer(text, max_items=max_items)
    return str(caught.value)


# --- reading the model's answer ---------------------------------------------------------------------------


def test_a_whole_answer_is_a_plan() -> None:
    """The items of a good answer are the plan's items."""
    read, found = parse_answer(answer(), max_items=20)

    assert found == plan("alpha").model_copy(update={"summary": "Rounds."})
    assert read.outcome == "plan"


def test_questions_are_no_plan() -> None:
    """An answer that asks carries its questions and no plan."""
    read, found = parse_answer(answer(outcome="questions", items=[], questions=["Up?"]), max_items=20)

    assert (read.questions, found) == (("Up?",), None)


def test_a_ticket_that_is_not_ready_needs_no_questions() -> None:
    """Why it is not ready stands in the summary."""
    read, found = parse_answer(answer(outcome="not_ready", items=[]), max_items=20)

    assert (read.outcome, found) == ("not_ready", None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not json", "Invalid JSON"),
        ("[]", "does not fit the schema"),
        (answer(extra=1), "extra: Extra inputs are not permitted"),
        (answer(outcome="maybe"), "outcome: "),
        (answer(items=[{"id": "alpha"}]), "items.0.title: Field required"),
        (answer(items=[]), "has no items"),
        (answer(outcome="questions", items=[]), "no question is asked"),
        ("[" * 100_000, "does not fit the schema"),
    ],
)
def test_an_answer_is_refused_with_the_place_and_the_reason(text: str, reason: str) -> None:
    """The model is told what to correct."""
    assert reason in refusal(text)


@pytest.mark.parametrize("bad", ["Alpha", "1st", "a b", "", "a" * 25, "ä"])
def test_ids_are_short_and_plain(bad: str) -> None:
    """An id becomes a label, so it is lower case, digits and hyphens, and short."""
    item = plan("alpha").items[0].model_dump(mode="json")

    assert "items.0.id" in refusal(answer(items=[{**item, "id": bad}]))


def test_a_title_is_one_line() -> None:
    """A title becomes a ticket's summary, which Jira refuses with a line break."""
    item = plan("alpha").items[0].model_dump(mode="json")

    assert "items.0.title" in refusal(answer(items=[{**item, "title": "one\ntwo"}]))


def test_too_many_items_are_refused_with_the_cap() -> None:
    """The cap of the configuration is named."""
    items = [one.model_dump(mode="json") for one in plan("alpha", "beta", "gamma").items]

    assert refusal(answer(items=items), max_items=2) == (
        "the plan has 3 items, the cap is 2: merge or drop items"
    )


# --- rules over items -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (plan("alpha", "alpha"), "item id `alpha` is used more than once"),
        (
            plan("alpha", after={"alpha": ["omega"]}),
            "item `alpha` depends on `omega`, which is no item of this plan",
        ),
        (plan("alpha", after={"alpha": ["alpha"]}), "item `alpha` depends on itself"),
    ],
)
def test_a_broken_rule_names_the_item(bad: Plan, reason: str) -> None:
    """Duplicate ids and dependencies that lead nowhere are refused in words."""
    with pytest.raises(PlanError, match=reason):
        check_plan(bad, max_items=20)


def test_a_cycle_is_refused() -> None:
    """Items that wait for each other would wait for ever."""
    bad = plan("alpha", "beta", "gamma", after={"alpha": ["gamma"], "beta": ["alpha"], "gamma": ["beta"]})

    with pytest.raises(PlanError, match="alpha"):
        check_plan(bad, max_items=20)


@settings(max_examples=40)
@given(st.integers(2, 25).flatmap(lambda count: st.tuples(st.just(count), st.data())))
def test_items_that_depend_on_earlier_ones_have_no_cycle(drawn: tuple[int, st.DataObject]) -> None:
    """Any order in which everything needed comes first is accepted, however long its chains."""
    count, data = drawn
    ids = [f"i{number}" for number in range(count)]
    after = {
        one: data.draw(st.lists(st.sampled_from(ids[:place]), max_size=3, unique=True)) if place else []
        for place, one in enumerate(ids)
    }

    whole = plan(*ids, after=after)

    assert check_plan(whole, max_items=100) is whole


def test_without_dependencies_each_item_follows_the_one_before() -> None:
    """The order of the list is the order of the work."""
    one = plan("alpha", "beta")

    assert (one.predecessors("alpha"), one.predecessors("beta")) == ((), ("alpha",))


def test_one_declared_dependency_ends_the_implicit_order() -> None:
    """Once an item declares what it needs, the others are taken at their word."""
    one = plan("alpha", "beta", "gamma", after={"gamma": ["alpha"]})

    assert [one.predecessors(id_) for id_ in ("alpha", "beta", "gamma")] == [(), (), ("alpha",)]


def test_an_unknown_item_waits_for_nothing() -> None:
    """A label that names no item of the plan blocks nobody."""
    assert plan("alpha").predecessors("omega") == ()


# --- digest, text, comparison -----------------------------------------------------------------------------


def test_the_digest_is_of_the_items_alone() -> None:
    """A reworded summary leaves an approval valid; a reworded item does not."""
    one = plan("alpha")
    other = one.items[0].model_copy(update={"description": "Other."})

    assert one.digest == one.model_copy(update={"summary": "Other words."}).digest
    assert one.digest != one.model_copy(update={"items": (other,)}).digest


def test_the_digest_depends_on_the_order() -> None:
    """Order is part of what is approved."""
    assert plan("alpha", "beta").digest != plan("beta", "alpha").digest


def test_the_digest_is_canonical() -> None:
    """The same plan read back from its text has the same twelve hex digits."""
    one = plan("alpha", "beta")
    again = parse_plan(json.dumps(json.loads(one.to_text()), indent=7, sort_keys=True))

    assert again is not None
    assert again.digest == one.digest
    assert len(one.digest) == 12
    assert int(one.digest, 16) >= 0


@pytest.mark.parametrize("text", ["", "{}", "null", "[" * 100_000, plan("a", "a").to_text()])
def test_a_damaged_text_is_no_plan(text: str) -> None:
    """What is not a whole plan is none."""
    assert parse_plan(text) is None


def test_a_comparison_names_what_changed() -> None:
    """Added, removed, changed with the fields, kept, and whether the order is another."""
    old = plan("alpha", "beta", "gamma")
    changed = old.items[1].model_copy(update={"title": "Other", "risk": "high"})
    new = Plan(summary="", items=(old.items[0], changed, plan("delta").items[0]))

    found = compare(old, new)

    assert (found.added, found.removed, found.kept) == (("delta",), ("gamma",), ("alpha",))
    assert {id_: set(fields) for id_, fields in found.changed.items()} == {"beta": {"title", "risk"}}
    assert not found.is_reordered


def test_another_order_of_shared_items_is_said() -> None:
    """Removing an item is no new order, swapping two is."""
    old = plan("alpha", "beta", "gamma")

    assert compare(old, plan("gamma", "alpha")).is_reordered
    assert not compare(old, plan("alpha", "gamma")).is_reordered


def test_white_space_alone_changes_no_item() -> None:
    """A revision that only breaks lines elsewhere keeps the approved item to the letter."""
    old = plan("alpha", "beta")
    rewrapped = old.items[0].model_copy(update={"description": "Do  alpha\nwell."})
    other = old.items[1].model_copy(update={"description": "Do beta better."})

    assert keep_unchanged(old, [rewrapped, other]) == (old.items[0], other)


# --- the schema -------------------------------------------------------------------------------------------


def objects(schema: Any) -> list[Mapping[str, Any]]:
    """Every object schema inside a schema."""
    if isinstance(schema, list | tuple):
        return [found for one in schema for found in objects(one)]
    if not isinstance(schema, Mapping):
        return []
    inner = [found for one in schema.values() for found in objects(one)]
    return [schema, *inner] if schema.get("type") == "object" else inner


def test_the_schema_is_strict() -> None:
    """Both providers insist: every key is required and no other is allowed."""
    found = objects(PLAN_SCHEMA)

    assert len(found) == 3
    for one in found:
        assert set(one["required"]) == set(one["properties"])
        assert one["additionalProperties"] is False


def test_the_schema_and_the_model_have_the_same_keys() -> None:
    """What the schema asks for is what is read."""
    assert set(PLAN_SCHEMA["properties"]) == set(PlanAnswer.model_fields)
    assert set(PLAN_SCHEMA["properties"]["items"]["items"]["properties"]) == set(Item.model_fields)


def test_the_schema_uses_only_words_that_both_providers_take() -> None:
    """Limits such as lengths and patterns are checked by us, not by the providers."""
    allowed = {"type", "properties", "required", "additionalProperties", "items", "enum", "description"}

    def words(schema: Any) -> set[str]:
        found = set(schema)
        for name, one in schema.get("properties", {}).items():
            assert isinstance(name, str)
            found |= words(one)
        return found | (words(schema["items"]) if "items" in schema else set())

    assert words(PLAN_SCHEMA) <= allowed
