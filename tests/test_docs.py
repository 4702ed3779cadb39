"""The documentation: generated parts are fresh, and nothing is told that does not exist."""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.util
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from runner import __version__, errors
from runner.cli.children import STAGE_VARIABLES, STAGES
from runner.cli.parser import make_parser
from runner.composition import MAX_CHANGE_BYTES
from runner.core import policy
from runner.core.budget import TOKENS_PER_UNPRICED_USD
from runner.core.decide.decision import Outcome
from runner.core.policy import CheckCommand, Policy, PriceRow, SetupCommand, parse_policy
from runner.sandbox.automation import PLACEHOLDERS
from runner.workflow.sweep import sweep_stage

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "prompts" / "README.md",
]
GENERATOR = ROOT / "scripts" / "generate-docs"
SOURCES = [path for path in sorted((ROOT / "runner").rglob("*.py")) if "sandbox" not in path.parts]

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def doc(name: str) -> str:
    return text_of(ROOT / "docs" / name)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("generate_docs", str(GENERATOR))
    spec = importlib.util.spec_from_loader("generate_docs", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate_docs"] = module
    loader.exec_module(module)
    return module


# --- generated parts ----------------------------------------------------------------------------------------


def test_generated_parts_are_fresh() -> None:
    """What the code says and what the pages say is the same."""
    done = subprocess.run(
        [sys.executable, GENERATOR, "--check"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_stale_part_is_noticed(generator: ModuleType) -> None:
    """A part that was edited by hand does not survive, and text around it does."""
    page = "Before\n<!-- generated: outputs -->\nedited\n<!-- end: outputs -->\nAfter\n"
    renewed = generator.rendered(page)
    assert renewed != page
    assert renewed.startswith("Before\n<!-- generated: outputs -->\n| Output |")
    assert renewed.endswith("<!-- end: outputs -->\nAfter\n")
    assert generator.rendered(renewed) == renewed


def test_every_generated_part_stands_on_a_page(generator: ModuleType) -> None:
    """No generator works for nobody, and every mark has its end."""
    text = "".join(map(text_of, PAGES))
    opened = re.findall(r"<!-- generated: ([a-z-]+) -->", text)
    assert sorted(opened) == sorted(generator.PARTS)
    assert opened == re.findall(r"<!-- end: ([a-z-]+) -->", text)


# --- the configuration --------------------------------------------------------------------------------------


def paths(section: BaseModel, name: str = "") -> Iterator[str]:
    """Every key of a section by its path."""
    for field in type(section).model_fields:
        value = getattr(section, field)
        if isinstance(value, BaseModel):
            yield from paths(value, f"{name}{field}.")
        else:
            yield f"{name}{field}"


def shown_as(path: str) -> str:
    """How a page that shows alike sections once names a key."""
    for start, word in (("jira.statuses.", "<level>"), ("models.", "<phase>"), ("budget.", "<scope>")):
        if path.startswith(start):
            return f"{start}{word}.{path.removeprefix(start).partition('.')[2]}"
    return path


def documented_keys() -> list[str]:
    part = doc("configuration.md").partition("<!-- generated: configuration -->")[2]
    return re.findall(r"^\| `([^`]+)` \|", part.partition("<!-- end: configuration -->")[0], re.MULTILINE)


def test_every_key_of_the_configuration_is_documented() -> None:
    """Each key once, none that does not exist."""
    real = {shown_as(path) for path in paths(Policy())} | {"models.<phase>"}
    many = (
        ("checks.commands[]", CheckCommand),
        ("checks.setup[]", SetupCommand),
        ("prices.<name>", PriceRow),
    )
    real |= {f"{name}.{field}" for name, section in many for field in section.model_fields}
    told = documented_keys()
    assert sorted(real) == sorted(told)


def test_defaults_are_shown(generator: ModuleType) -> None:
    """A default that changes in the code changes on the page."""
    described = list(generator.keys())
    rows = {key.name: generator._default(key) for key in described}
    assert rows["caps.items"] == f"`{Policy().caps.items}`"
    assert rows["sequence"] == f"`{Policy().sequence}`"
    assert rows["jira.statuses.<level>.in_testing"] == "`In Testing`, `In Review`"
    assert rows["budget.<scope>.usd"] == "run: `5`; ticket: `20`; parent: `100`"
    assert rows["checks.commands[].id"] == "(required)"


def yaml_blocks() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", doc("configuration.md"), re.DOTALL)


@pytest.mark.parametrize("block", yaml_blocks())
def test_examples_of_the_configuration_are_accepted(block: str) -> None:
    """What a reader copies works."""
    assert parse_policy(block.encode()) != Policy()


@by_page
def test_keys_named_in_prose_exist(page: Path) -> None:
    """A key that a page names is a key of the configuration, or a block of keys."""
    real = [*paths(Policy()), *(f"checks.{one}[]" for one in ("commands", "setup"))]
    blocks = "jira|models|checks|caps|budget|paths|pull_request"
    named = re.findall(rf"`((?:{blocks})\.[a-z_.]+)`", text_of(page))
    assert [one for one in named if not any(path == one or path.startswith(f"{one}.") for path in real)] == []


# A key said to have no effect, and how the code would read it if it had one.
READ_BY = {
    "jira.acceptance_criteria_field": r"\.acceptance_criteria_field\b",
    "checks.isolation": r"\.isolation\b",
    "checks.network": r"\.network\b",
    "budget.ticket": r"budget\.ticket\b",
    "budget.parent": r"budget\.parent\b",
    "pull_request.commits": r"pull_request\.commits\b",
}


@pytest.mark.parametrize("key", READ_BY)
def test_a_key_has_no_effect_if_and_only_if_the_page_says_so(key: str, generator: ModuleType) -> None:
    """Whoever makes a key work takes it from `without_effect` in scripts/configuration-keys.yml."""
    code = "".join(text_of(path) for path in SOURCES if path.name != "policy.py")
    # Names of keys in messages to people are not reads.
    code = re.sub(r"`[a-z_.]+(?:: \w+)?`", "", code)
    assert (re.search(READ_BY[key], code) is None) == (key in generator.WORDS["without_effect"])


def test_every_key_without_effect_is_watched(generator: ModuleType) -> None:
    """The list cannot name a key of which nobody notices that it works by now."""
    assert set(generator.WORDS["without_effect"]) <= set(READ_BY)


# --- verbs, options, codes ----------------------------------------------------------------------------------


def parsers() -> Mapping[str, argparse.ArgumentParser]:
    actions = make_parser()._actions
    choices = next(one for one in actions if isinstance(one, argparse._SubParsersAction)).choices
    return dict(choices)


@by_page
def test_every_verb_that_is_told_exists(page: Path) -> None:
    """A command that a page shows can be typed."""
    told = re.findall(r"(?:`|bin/|^)ai-runner ([a-z]+)\b", text_of(page), re.MULTILINE)
    assert set(told) <= set(parsers()) | {"v"}


@by_page
def test_every_option_that_is_told_exists(page: Path) -> None:
    """Options are those of the verbs, or of the scripts and programs that the line itself starts."""
    real = {
        option for one in parsers().values() for action in one._actions for option in action.option_strings
    }
    told = [
        option
        for line in text_of(page).splitlines()
        if not re.search(r"generate-docs|curl|pip install|npm |python -m|- make |\brun: ", line)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)
    ]
    assert [option for option in told if option not in real] == []


def rows(page: str, head: str) -> list[list[str]]:
    """The rows of the table with this head."""
    found = re.search(rf"^{re.escape(head)}\n\|[ -|]+\|\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert found is not None
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found[1].splitlines()]


def test_the_exit_codes_are_those_of_the_errors() -> None:
    """Each code that an error can end with has its row, and no other has one."""
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    real = {0} | {one.exit_code for one in classes if issubclass(one, errors.RunnerError)}
    told = rows(doc("operations.md"), "| Exit code | Meaning | What the ticket says |")
    assert real == {int(row[0]) for row in told}


def test_the_outcomes_are_those_of_decisions() -> None:
    """The table of ends names each outcome once."""
    told = rows(doc("operations.md"), "| Outcome | When | Ticket | Exit code |")
    assert [row[0].strip("`") for row in told] == [outcome.value for outcome in Outcome]


def test_the_stages_hold_what_the_page_says() -> None:
    """Who holds which secret is told as it is."""
    words = {
        "JIRA_API_TOKEN": "Jira token",
        "GITHUB_TOKEN": "GitHub token",
        "ANTHROPIC_API_KEY": "the key of one model provider",
    }
    told = {
        row[0].strip("`"): row[1] for row in rows(doc("architecture.md"), "| Stage | Holds | Does | Leaves |")
    }
    assert tuple(told) == STAGES
    for stage, held in told.items():
        real = {word for name, word in words.items() if name in STAGE_VARIABLES[stage]}
        assert real == set(held.split(", "))


def test_every_placeholder_of_the_rules_is_explained() -> None:
    """Whoever imports the rules knows what to put where."""
    told = rows(doc("jira-automation.md"), "| Placeholder | What to put there | Where to find it |")
    assert {row[0].strip("`") for row in told} == set(PLACEHOLDERS)


# --- everything else ----------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    without_code = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@by_page
def test_every_relative_link_resolves(page: Path) -> None:
    """Files exist, and so do the headings that links point to."""
    without_code = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@by_page
def test_every_path_of_this_repository_exists(page: Path) -> None:
    """A file or folder that a page names is there."""
    named = re.findall(r"`((?:runner|scripts|docs|tests|prompts|requirements)/[\w./-]*)`", text_of(page))
    assert [one for one in named if not (ROOT / one).exists()] == []


@by_page
def test_every_variable_that_is_named_exists(page: Path) -> None:
    """Environment variables and repository variables are ones that something reads."""
    known = text_of(ROOT / "runner" / "settings.py") + text_of(ROOT / "docs" / "workflow" / "ai-runner.yml")
    named = re.findall(r"\b(?:AI_RUNNER|JIRA|ANTHROPIC|OPENAI|GITHUB)_[A-Z_]+\b", text_of(page))
    theirs = re.compile(r"AI_RUNNER_APP_")
    assert {one for one in named if one not in known and not theirs.match(one)} == set()


def stripped(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def test_code_that_is_shown_as_an_example_is_real() -> None:
    """A habit is shown in code that follows it, as it stands in the repository."""
    blocks = re.findall(r"```python\n(.*?)```", text_of(ROOT / "CONTRIBUTING.md"), re.DOTALL)
    files = [*SOURCES, *sorted((ROOT / "tests").glob("*.py"))]
    code = "\n".join(stripped(text_of(path)) for path in files)
    assert blocks
    assert [block for block in blocks if stripped(block) not in code] == []


HOURS = yaml.safe_load(text_of(ROOT / "docs" / "workflow" / "ai-runner.yml"))[True]["schedule"][0][
    "cron"
].split()[1]
NUMBERS = [
    ("configuration.md", f"more than {policy.MAX_BYTES // 1024} KiB or {policy.MAX_DEPTH} levels"),
    ("configuration.md", f"publishes at most {MAX_CHANGE_BYTES // 1024 // 1024} MiB"),
    ("configuration.md", f"({TOKENS_PER_UNPRICED_USD:,} tokens per dollar)"),
    (
        "operations.md",
        f"at most {inspect.signature(sweep_stage).parameters['limit'].default}, and dispatches",
    ),
    ("operations.md", f"starts it every {'two' if HOURS == '*/2' else HOURS} hours"),
]


@pytest.mark.parametrize(("page", "words"), NUMBERS)
def test_numbers_in_prose_are_those_of_the_code(page: str, words: str) -> None:
    """A limit that changes in the code changes in the sentence about it."""
    assert words in " ".join(doc(page).split())


def test_the_changelog_begins_with_this_version() -> None:
    """Users find what is new on top."""
    versions = re.findall(r"^## (\S+)", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == __version__


@by_page
def test_yaml_on_every_page_is_yaml(page: Path) -> None:
    """Blocks that are copied can be read."""
    for block in re.findall(r"```yaml\n(.*?)```", text_of(page), re.DOTALL):
        loaded: Any = yaml.safe_load(block)
        assert loaded


@by_page
def test_actions_on_every_page_are_pinned(page: Path) -> None:
    """What is copied names a full commit, with the release beside it, or an action of the adopter's own repository."""
    used = re.findall(r"^ *(?:- )?uses: (.*)", text_of(page), re.MULTILINE)
    assert [one for one in used if not re.fullmatch(r"\./.+|[\w./-]+@[0-9a-f]{40} # .+", one)] == []
