"""The configuration file: defaults without it, and a reason with a remedy for everything it must not say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.policy import MAX_BYTES, MAX_DEPTH, Policy, parse_policy
from runner.errors import ConfigError


def refusal(text: str | bytes) -> ConfigError:
    """What is said about a file that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        parse_policy(text.encode() if isinstance(text, str) else text)
    return caught.value


@pytest.mark.parametrize("text", [None, b"", b"\n", b"# nothing yet\n", b"---\n", b"{}"])
def test_without_a_file_or_with_an_empty_one_the_defaults_hold(text: bytes | None) -> None:
    """A repository without the file runs."""
    assert parse_policy(text) == Policy()


def test_the_defaults_are_those_of_the_documentation() -> None:
    """The words and numbers that the design names."""
    policy = Policy()

    assert (policy.sequence, policy.max_parallel, policy.on_merge) == ("stacked", 1, "done")
    assert (policy.caps.check_fixes, policy.disclosure, policy.checks.isolation) == (2, "private", "best")
    assert policy.jira.label_prefix == "ai"
    assert policy.jira.statuses.parent.in_testing == ("In Testing", "In Review")


def test_one_name_stands_for_a_list_of_one() -> None:
    """A status, a model and a set-up command can be given as one word."""
    policy = parse_policy(
        b"jira: {statuses: {parent: {backlog: Ideas}}}\n"
        b"models: {plan: 'openai:gpt-6'}\n"
        b"checks: {setup: make deps}\n"
    )

    assert policy.jira.statuses.parent.backlog == ("Ideas",)
    assert (policy.models.plan.choice.provider, policy.models.plan.choice.model) == ("openai", "gpt-6")
    assert policy.checks.setup[0].run == "make deps"


def test_null_says_that_a_status_does_not_exist() -> None:
    """A project may lack a status; a label stands in for it."""
    policy = parse_policy(b"jira: {statuses: {parent: {plan_review: null}}}")

    assert policy.jira.statuses.parent.plan_review is None


def test_a_byte_order_mark_is_no_content() -> None:
    """A file that an editor marked as UTF-8 reads like any other."""
    assert parse_policy(b"\xef\xbb\xbfmax_parallel: 2\n").max_parallel == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_paralel: 2", "`max_paralel` is not a key; did you mean `max_parallel`?"),
        ("jira: {aprover: x}", "`jira.aprover` is not a key; did you mean `approver`?"),
        ("jira: {statuses: {parent: {bakclog: x}}}", "did you mean `backlog`?"),
        ("checks: {commands: [{id: unit, runn: x}]}", "did you mean `run`?"),
        ("caps: {zzz: 1}", "`caps.zzz` is not a key; valid here: items, files,"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(text: str, said: str) -> None:
    """A slip of the pen is named with what was probably meant."""
    assert said in refusal(text).summary


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("max_parallel: 0", "`max_parallel`"),
        ("max_parallel: many", "`max_parallel`"),
        ("sequence: shuffled", "`sequence`"),
        ("models: {plan: claude}", "`models.plan.model`"),
        ("budget: {run: {usd: -1}}", "`budget.run.usd`"),
        ("caps: {attempts: 99}", "`caps.attempts`"),
        ("jira: {label_prefix: 'A B'}", "`jira.label_prefix`"),
        ("jira: {approver: 'not an id!'}", "`jira.approver`"),
        ("checks: {commands: [{id: unit, run: a}, {id: unit, run: b}]}", "check ids must differ"),
        ("checks: {commands: [{id: unit, run: a, timeout: 99999}]}", "`checks.commands.0.timeout`"),
    ],
)
def test_a_bad_value_is_refused_with_its_place(text: str, place: str) -> None:
    """The key that is wrong is named, down to the entry of a list."""
    assert place in refusal(text).summary


def test_several_reasons_are_told_at_once() -> None:
    """A person corrects the file once, not key by key."""
    said = refusal("max_parallel: 0\nsequence: shuffled\n").summary

    assert "`max_parallel`" in said
    assert "`sequence`" in said


def test_a_key_given_twice_is_refused() -> None:
    """YAML would silently take the last."""
    assert "given twice" in refusal("max_parallel: 1\nmax_parallel: 2\n").summary


def test_a_key_given_twice_further_down_is_refused() -> None:
    """At every depth."""
    assert "given twice" in refusal("caps:\n  items: 1\n  items: 2\n").summary


def test_aliases_are_refused() -> None:
    """A short file cannot grow without end."""
    assert "aliases are not allowed" in refusal("paths: {allowed: &a [x], protected: *a}").summary


def test_a_large_file_is_refused_unread() -> None:
    """There is a limit, and it is named."""
    error = refusal(b"#" * (MAX_BYTES + 1))

    assert f"{MAX_BYTES + 1:,} bytes" in error.summary
    assert f"{MAX_BYTES:,}" in error.remedy


@pytest.mark.parametrize(
    "text", ["[" * 2_000, "a: " + "{b: " * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1)]
)
def test_deep_nesting_is_refused(text: str) -> None:
    """Brackets without end are refused, not followed."""
    assert "nested more than" in refusal(text).summary


@pytest.mark.parametrize("text", ["- a list", "a word", "3"])
def test_the_top_level_is_a_mapping(text: str) -> None:
    """Anything else is told how to begin."""
    error = refusal(text)

    assert "not a mapping" in error.summary
    assert "`jira:`" in error.remedy


@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"a: [", b"a: !!python/object:os.system {}", b"\x00"])
def test_what_is_no_plain_yaml_is_refused(text: bytes) -> None:
    """Bytes, broken brackets and objects are no configuration."""
    assert ".github/ai-runner.yml" in refusal(text).summary


@given(st.binary(max_size=200))
def test_any_bytes_are_a_policy_or_a_reason(text: bytes) -> None:
    """Reading never fails in another way than with a ConfigError."""
    try:
        parse_policy(text)
    except ConfigError as error:
        assert error.remedy


def test_the_digest_follows_what_shapes_an_answer_alone() -> None:
    """Another model makes old results stale, another approver does not."""
    assert parse_policy(b"models: {plan: 'openai:gpt-6'}").digest != Policy().digest
    assert parse_policy(b"jira: {approver: ada}").digest == Policy().digest


def test_labels_carry_the_configured_prefix() -> None:
    """A team that uses `ai:` for something else chooses another."""
    assert parse_policy(b"jira: {label_prefix: robot}").label("planned") == "robot:planned"
