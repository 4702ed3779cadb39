"""Loads, checks and renders ``prompts/**/*.md``; the only module that knows where they lie.

Prompt text is data: rendering fails on a missing and on an unknown variable. A repository may override a
prompt from its default branch; the override travels in ``work.json`` and is rendered by the same rules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template

from runner.errors import ConfigError

# Beside the package in the repository and for the action; inside it when installed from a wheel.
_PLACES = (Path(__file__).resolve().parent / "_prompts", Path(__file__).resolve().parents[1] / "prompts")


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A rendered prompt and the digest of its source, which traces a result to its prompt."""

    name: str
    text: str
    digest: str


@cache
def folder() -> Path:
    """Where the bundled prompts lie."""
    found = next((place for place in _PLACES if place.is_dir()), None)
    if found is None:
        raise ConfigError(
            "The prompts of this installation are missing.", remedy="Install the package again."
        )
    return found


@cache
def names() -> tuple[str, ...]:
    """The names of all prompts, such as ``plan/system``."""
    files = folder().glob("*/*.md")
    return tuple(sorted(f"{file.parent.name}/{file.stem}" for file in files))


def source(name: str, overrides: Mapping[str, str] | None = None) -> str:
    """The unrendered text of a prompt, the repository's own if it has one."""
    if overrides and name in overrides:
        return overrides[name]
    if name not in names():
        raise ConfigError(f"There is no prompt `{name}`.", remedy=f"Known: {', '.join(names())}.")
    return (folder() / f"{name}.md").read_text(encoding="utf-8")


def digest(overrides: Mapping[str, str] | None = None) -> str:
    """Twelve hex digits over all prompts as they would be used."""
    total = hashlib.sha256()
    for name in names():
        total.update(f"{name}\0{source(name, overrides)}\0".encode())
    return total.hexdigest()[:12]


def render(name: str, /, *, overrides: Mapping[str, str] | None = None, **values: str) -> Prompt:
    """Fill a prompt's variables. Raises ConfigError naming each missing and each unknown one."""
    text = source(name, overrides)
    template = Template(text)
    if not template.is_valid():
        raise ConfigError(
            f"The prompt `{name}` holds a `$` that starts no variable.",
            remedy="Write `$$` for a dollar sign.",
        )
    wanted, given = set(template.get_identifiers()), set(values)
    if wanted != given:
        reasons = [f"it lacks ${one}" for one in sorted(given - wanted)] + [
            f"${one} is not known" for one in sorted(wanted - given)
        ]
        raise ConfigError(
            f"The prompt `{name}` does not fit this version: {', '.join(reasons)}.",
            remedy=f"Its variables are {', '.join(f'${one}' for one in sorted(given)) or 'none'}; prompts/README.md lists them.",
        )
    return Prompt(
        name=name, text=template.substitute(values), digest=hashlib.sha256(text.encode()).hexdigest()[:12]
    )
