"""The prompts: all found, all listed, all rendered strictly, and small."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

import pytest

from runner import prompts
from runner.agent.toolspecs import tools
from runner.core.plan import PLAN_SCHEMA
from runner.errors import ConfigError

README = prompts.folder() / "README.md"
MEANT = {"max_items": "20", "language": "English", "tag": "0123456789abcdef"}


def rows() -> dict[str, set[str]]:
    """The files of the table in prompts/README.md with their variables."""
    found = re.findall(
        r"^\| `([a-z]+/[a-z]+)\.md` \| ([^|]*) \|", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {name: set(re.findall(r"`(\w+)`", variables)) for name, variables in found}


def test_the_readme_lists_every_prompt_with_its_variables() -> None:
    """The table and the files say the same."""
    files = {name: set(Template(prompts.source(name)).get_identifiers()) for name in prompts.names()}

    assert rows() == files


@pytest.mark.parametrize("name", prompts.names())
def test_a_prompt_renders_with_exactly_its_variables(name: str) -> None:
    """Every variable is filled; a missing and an unknown one are errors that name it."""
    values = {one: MEANT.get(one, f"[{one}]") for one in Template(prompts.source(name)).get_identifiers()}
    text = prompts.render(name, overrides=None, **values).text

    assert "$" not in text
    assert all(value in text for value in values.values())
    with pytest.raises(ConfigError, match=r"\$surprise"):
        prompts.render(name, overrides=None, **values, surprise="x")
    for one in values:
        with pytest.raises(ConfigError, match=rf"\${one} is not known"):
            prompts.render(
                name, overrides=None, **{key: value for key, value in values.items() if key != one}
            )


def test_values_are_never_templates() -> None:
    """Text from outside that looks like a variable stays as it is."""
    assert "${ticket} $$" in prompts.render("shared/untrusted", tag="${ticket} $$").text


def test_an_override_is_rendered_by_the_same_rules() -> None:
    """A repository's own prompt replaces the bundled one, and a stray dollar sign in it is named."""
    own = {"shared/untrusted": "Beware of $tag."}

    assert prompts.render("shared/untrusted", overrides=own, tag="x").text == "Beware of x."
    with pytest.raises(ConfigError, match=r"`\$` that starts no variable"):
        prompts.render("shared/untrusted", overrides={"shared/untrusted": "5 $ $tag"}, tag="x")
    with pytest.raises(ConfigError, match="There is no prompt"):
        prompts.source("plan/absent")


def test_the_digest_changes_with_every_prompt() -> None:
    """Results can be traced to the prompts they came from."""
    plain = prompts.digest()

    assert re.fullmatch(r"[0-9a-f]{12}", plain)
    assert plain == prompts.digest({})
    assert (
        len({plain, *(prompts.digest({name: "x"}) for name in prompts.names())}) == len(prompts.names()) + 1
    )


def test_prompts_name_only_tools_and_fields_that_exist() -> None:
    """A word in backticks is a tool, a field of an answer, or one of its values."""
    offered = {tool.name for tool in tools(check_ids=["tests"], read_only=False, with_answers=True)}
    fields = set(re.findall(r"[a-z_]+", str(PLAN_SCHEMA)))
    named = {word for name in prompts.names() for word in re.findall(r"`([a-z_]+)`", prompts.source(name))}

    assert named <= offered | fields


def test_what_is_sent_with_every_turn_is_small() -> None:
    """Instructions and tools of the work together stay under 4 KB, because each turn sends them again."""
    offered = tools(check_ids=["tests"], read_only=False, with_answers=False)
    spoken = sum(len(f"{tool.name}{tool.spec.description}{tool.spec.parameters}") for tool in offered)

    assert len(prompts.source("implement/system")) + spoken < 5_000


def test_prompts_lie_beside_the_package_or_in_it() -> None:
    """The folder is found however the package was installed."""
    assert prompts.folder() in (
        Path(prompts.__file__).parent / "_prompts",
        Path(prompts.__file__).parents[1] / "prompts",
    )
