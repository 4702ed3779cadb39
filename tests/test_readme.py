"""The README: what an adopter copies and looks up there is what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.core import phases
from runner.core.policy import Policy

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHIPPED = (ROOT / "docs" / "workflow" / "ai-runner.yml").read_text(encoding="utf-8")
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
SOURCES = [
    path
    for folder in ("runner", "scripts")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and "__pycache__" not in path.parts and "sample" not in path.parts
]


def section(title: str) -> str:
    """The text below a heading, up to the next heading of the same or a higher level."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,6}} |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the README has no section {title}"
    level = len(found[1])
    body = README[found.end(1) :]
    return re.split(rf"^#{{1,{level}}} ", body, maxsplit=1, flags=re.MULTILINE)[0]


def cells(text: str) -> list[list[str]]:
    """The rows of the tables in a text, without heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    heads = {at - 1 for at, row in enumerate(rows) if set("".join(row)) <= set("- |")}
    return [row for at, row in enumerate(rows) if at not in heads and at - 1 not in heads]


def test_the_first_screen_shows_it_working_before_anything_is_copied() -> None:
    """One sentence, the two commands, then the YAML."""
    places = [README.index(one) for one in ("# ai-runner", "make demo", "make test", "```yaml")]
    assert places == sorted(places)
    assert README[: places[-1]].count("\n") < 25


def test_the_commands_are_targets_of_the_makefile() -> None:
    """What the reader is told to type exists."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    pages = [README, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")]
    told = {name for page in pages for name in re.findall(r"(?:^|`)make ([a-z-]+)", page, re.MULTILINE)}
    assert {"demo", "test"} <= told
    assert {name for name in told if not re.search(rf"^{name}:", makefile, re.MULTILINE)} == set()


def test_the_workflow_to_copy_is_the_one_that_is_tested() -> None:
    """The README shows docs/workflow/ai-runner.yml, byte for byte."""
    first = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert first is not None
    assert first[1] == SHIPPED


@pytest.mark.parametrize(("kind", "title"), [("inputs", "Inputs"), ("outputs", "Outputs")])
def test_every_input_and_output_has_its_row(kind: str, title: str) -> None:
    """The tables are action.yml's, in its order."""
    assert [row[0].strip("`") for row in cells(section(title))] == list(ACTION[kind])


def test_every_variable_and_secret_of_the_workflow_is_explained() -> None:
    """Nobody has to read the YAML to know what to set, and whether it is a secret."""
    rows = cells(section("Variables and secrets"))
    told = {name: row[1].rstrip("s") for row in rows for name in re.findall(r"`([A-Z_]+)`", row[0])}
    kinds = {"vars": "variable", "secrets": "secret"}
    used = re.findall(r"\b(vars|secrets)\.([A-Z_]+)", SHIPPED)
    assert told == {name: kinds[kind] for kind, name in used}


def test_the_permissions_are_those_of_the_workflow() -> None:
    """The table lists each permission of the job and no other."""
    job = yaml.safe_load(SHIPPED)["jobs"]["run"]
    told = [
        word for row in cells(section("GitHub"))[:4] for word in re.findall(r"`([a-z-]+: [a-z]+)`", row[0])
    ]
    assert sorted(f"{name}: {level}" for name, level in job["permissions"].items()) == sorted(told)


def test_every_label_is_explained() -> None:
    """The table knows each label that the code sets or obeys."""
    names = [phases.PLANNED, phases.WORKING, phases.WAITING, phases.FAILED, phases.OVER_BUDGET]
    names += [phases.IGNORE, phases.NO_EXEC, phases.DIRECT, phases.STOP, "try-<n>", *phases.STAND_IN.values()]
    expected = {phases.MANAGED, phases.item_label("<id>"), *(Policy().label(name) for name in names)}
    told = {name for row in cells(section("Labels")) for name in re.findall(r"`([^`]+)`", row[0])}
    assert expected == told


def test_the_statuses_are_the_defaults() -> None:
    """The names in the table are what the runner looks for without a configuration."""
    statuses = Policy().jira.statuses.parent
    rows = {row[0].strip("`"): row for row in cells(section("Jira")) if row[0].startswith("`")}
    for name in type(statuses).model_fields:
        names = getattr(statuses, name)
        assert rows[name][1] == (", ".join(names) if name != "done" else "any status of the category Done")


def test_which_statuses_may_be_null_is_told() -> None:
    """A row offers `null` where, and only where, the configuration takes it."""
    rows = {row[0].strip("`"): row[-1] for row in cells(section("Jira")) if row[0].startswith("`")}
    stand_ins = {state.value: Policy().label(name) for state, name in phases.STAND_IN.items()}
    for name in ("backlog", "plan_review", "in_progress", "in_testing", "done", "blocked"):
        assert ("null" in rows[name]) == (name in stand_ins)
        assert stand_ins.get(name, "") in rows[name]


def test_the_numbers_of_the_budget_are_the_defaults() -> None:
    """Whoever reads the README knows what a run may cost."""
    policy, text = Policy(), " ".join(section("Cost and budgets").split())
    run = policy.budget.run
    assert f"{run.usd:g} US dollars, {run.tokens:,} tokens and {run.minutes:g} minutes" in text
    assert f"`budget.ticket` ({policy.budget.ticket.usd:g} US dollars)" in text
    assert f"`budget.parent` ({policy.budget.parent.usd:g} US dollars)" in text
    assert f"{policy.caps.turns} calls" in text
    assert f"`caps.attempts`: {policy.caps.attempts}" in text


def test_sections_that_messages_refer_to_exist() -> None:
    """A message that sends its reader to the README sends them somewhere."""
    named = {
        title
        for path in SOURCES
        if path.suffix in ("", ".py", ".json", ".md")
        for title in re.findall(r"“([^”]+)” in the README", path.read_text(encoding="utf-8", errors="ignore"))
    }
    assert named
    assert {
        title for title in named if not re.search(rf"^#+ {re.escape(title)}$", README, re.MULTILINE)
    } == set()


def test_the_configuration_to_begin_with_is_valid() -> None:
    """Each block that is meant for .github/ai-runner.yml is accepted as it stands."""
    from runner.core.policy import parse_policy

    blocks = [one for one in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if one.startswith("jira:")]
    assert blocks
    for block in blocks:
        parse_policy(block.encode())


def test_the_apps_token_has_the_permissions_of_the_job() -> None:
    """Whoever takes an App's token gives it what the workflow gives its own, and no more."""
    job = yaml.safe_load(SHIPPED)["jobs"]["run"]
    given = dict(re.findall(r"^ +permission-([a-z-]+): (\w+)$", README, re.MULTILINE))
    assert job["permissions"] == given
