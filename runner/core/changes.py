"""Which changes may be published, judged without touching a repository.

``guard`` looks at the changes a model made against the tree they start from, and names everything that speaks
against them. It never repairs: one violation and nothing is published.

**Globs** (``allowed`` and ``protected`` of the configuration) are matched against whole paths from the root,
without regard to case. ``*`` and ``?`` stay inside one part, ``**`` stands for any number of parts, also none.
A pattern whose last part has no wildcard also covers everything below it: ``docs`` is ``docs/**``, while
``docs/*`` covers only what lies directly in ``docs``. Every other character stands for itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from runner.core.paths import bare_repository, check_path, check_readable_path, folded, parents
from runner.core.work import FileChange
from runner.errors import Refused

SHOWN = 5

Rule = Literal[
    "nothing",
    "path",
    "repeated",
    "outside",
    "protected",
    "mode",
    "link",
    "absent",
    "collision",
    "repository",
    "size",
]

_WORKFLOWS = "it decides what runs in GitHub Actions, with which rights"
_GIT = "it changes how git treats the repository"
_INSTRUCTIONS = "it instructs coding agents"
_CI = "it decides what runs in continuous integration"

# A glob and what a change there would mean; a configuration can add to these, never take away.
PROTECTED: Mapping[str, str] = {
    ".github/**": _WORKFLOWS,
    "**/action.yml": _WORKFLOWS,
    "**/action.yaml": _WORKFLOWS,
    "**/CODEOWNERS": "it decides who has to review",
    "**/.gitattributes": _GIT,
    "**/.gitmodules": _GIT,
    "**/.gitconfig": _GIT,
    "**/.git-*": _GIT,
    "**/.mailmap": _GIT,
    "**/.lfsconfig": _GIT,
    "**/AGENTS.md": _INSTRUCTIONS,
    "**/AGENTS.override.md": _INSTRUCTIONS,
    "**/CLAUDE.md": _INSTRUCTIONS,
    "**/CLAUDE.local.md": _INSTRUCTIONS,
    "**/GEMINI.md": _INSTRUCTIONS,
    "**/.cursorrules": _INSTRUCTIONS,
    "**/.windsurfrules": _INSTRUCTIONS,
    "**/.mcp.json": _INSTRUCTIONS,
    ".gitlab-ci.yml": _CI,
    ".travis.yml": _CI,
    "Jenkinsfile": _CI,
    "azure-pipelines.yml": _CI,
    "bitbucket-pipelines.yml": _CI,
    ".*/**": "top-level dot folders configure tools, editors and services",
}
_CONFIGURED = "the configuration protects it"
_REGULAR = frozenset({"100644", "100755"})


@dataclass(frozen=True, kw_only=True)
class Base:
    """The tree that changes start from: git's mode of every path, and the contents that were asked for."""

    modes: Mapping[str, str]
    contents: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One thing that speaks against the changes. ``path`` is empty when it is about all of them."""

    path: str
    rule: Rule
    reason: str

    def __str__(self) -> str:
        return f"`{self.path}`: {self.reason}" if self.path else self.reason


def guard(
    changes: Sequence[FileChange],
    *,
    base_tree: Mapping[str, str],
    base_contents: Mapping[str, bytes] | None = None,
    allowed: Sequence[str] = ("**",),
    protected: Sequence[str] = (),
    max_files: int,
    max_lines: int,
    max_bytes: int,
) -> tuple[Violation, ...]:
    """Everything that speaks against publishing these changes, in their order; empty when nothing does.

    ``base_tree`` gives git's mode of every path at the start. ``protected`` adds to ``PROTECTED``. Changed
    lines are counted against ``base_contents`` (see ``changed_lines``); a path without contents there counts
    with all lines of its new content.
    """
    if not changes:
        return (Violation(path="", rule="nothing", reason="there are no changes"),)
    tree = _Tree(base_tree, changes)
    found = [
        *(violation for change in changes for violation in _judge(change, tree, allowed, protected)),
        *_repeated(changes),
        *_hidden_repository(tree),
        *_sizes(changes, base_contents or {}, max_files=max_files, max_lines=max_lines, max_bytes=max_bytes),
    ]
    return tuple(found)


def require(
    changes: Sequence[FileChange],
    *,
    base: Base,
    allowed: Sequence[str] = ("**",),
    protected: Sequence[str] = (),
    max_files: int,
    max_lines: int,
    max_bytes: int,
) -> None:
    """Raise Refused, naming the first few violations, unless these changes may be published."""
    found = guard(
        changes,
        base_tree=base.modes,
        base_contents=base.contents,
        allowed=allowed,
        protected=protected,
        max_files=max_files,
        max_lines=max_lines,
        max_bytes=max_bytes,
    )
    if not found:
        return
    shown = "; ".join(str(violation) for violation in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    raise Refused(
        f"The changes may not be published: {shown}{more}.",
        remedy="Nothing was pushed. A person can make such a change, or narrow the ticket to other files.",
        detail="\n".join(str(violation) for violation in found),
    )


def protection(path: str, extra: Iterable[str] = ()) -> str | None:
    """Why a path is protected, or ``None`` when it is not."""
    rules = {**dict.fromkeys(extra, _CONFIGURED), **PROTECTED}
    return next((reason for pattern, reason in rules.items() if matches(path, pattern)), None)


def matches(path: str, pattern: str) -> bool:
    """Whether a glob covers a path; see the module's description of globs."""
    return _compiled(pattern).fullmatch(folded(path)) is not None


def changed_lines(changes: Iterable[FileChange], base_contents: Mapping[str, bytes]) -> int:
    """Lines added plus lines removed; a line that only moved inside its file does not count."""
    total = 0
    for change in changes:
        old = Counter((base_contents.get(change.path) or b"").splitlines())
        new = Counter((change.content or b"").splitlines())
        total += (new - old).total() + (old - new).total()
    return total


class _Tree:
    """The tree as it would be, in the ways in which two paths can be the same file somewhere."""

    def __init__(self, modes: Mapping[str, str], changes: Sequence[FileChange]) -> None:
        deleted = {change.path for change in changes if change.content is None}
        self.modes = modes
        self.files = (modes.keys() - deleted) | {
            change.path for change in changes if change.content is not None
        }
        self.folders = {folder for path in self.files for folder in parents(path)}
        self._spellings: dict[str, set[str]] = {}
        for name in self.files | self.folders:
            self._spellings.setdefault(folded(name), set()).add(name)

    def others_named_like(self, path: str) -> Iterator[tuple[str, str]]:
        """Pairs (part of this path, other spelling) that a file system without case would take for one."""
        for name in (path, *parents(path)):
            if name not in self.modes:
                for other in sorted(self._spellings.get(folded(name), set()) - {name}):
                    yield name, other


def _judge(
    change: FileChange, tree: _Tree, allowed: Sequence[str], protected: Sequence[str]
) -> Iterator[Violation]:
    """What speaks against one change. A path that is no path is not judged further."""
    path = change.path
    # A file with a name that breaks elsewhere may go, it may not come.
    check = check_readable_path if change.content is None else check_path
    if (wrong := check(path)) is not None:
        yield Violation(path=path, rule="path", reason=wrong)
        return
    if not any(matches(path, pattern) for pattern in allowed):
        yield Violation(path=path, rule="outside", reason="the configuration does not allow changes here")
    if (why := protection(path, protected)) is not None:
        yield Violation(path=path, rule="protected", reason=f"protected, because {why}")
    if change.content is not None and change.mode not in _REGULAR:
        yield Violation(path=path, rule="mode", reason=f"mode {change.mode} is not that of a regular file")
    yield from _links(path, tree)
    if change.content is None:
        if path not in tree.modes:
            yield Violation(path=path, rule="absent", reason="it cannot be deleted, it does not exist")
        return
    yield from _collisions(path, tree)


def _links(path: str, tree: _Tree) -> Iterator[Violation]:
    """A symbolic link or a submodule is neither replaced nor written through."""
    for name in (path, *parents(path)):
        mode = tree.modes.get(name)
        if mode is not None and mode not in _REGULAR:
            kind = {"120000": "a symbolic link", "160000": "a submodule"}.get(mode, f"of mode {mode}")
            yield Violation(path=path, rule="link", reason=f"`{name}` is {kind}")


def _collisions(path: str, tree: _Tree) -> Iterator[Violation]:
    if path in tree.folders:
        yield Violation(path=path, rule="collision", reason="a folder of this name exists")
    for folder in parents(path):
        if folder in tree.files:
            yield Violation(path=path, rule="collision", reason=f"`{folder}` is a file, not a folder")
    for name, other in tree.others_named_like(path):
        reason = f"`{name}` and `{other}` are one name on some systems"
        yield Violation(path=path, rule="collision", reason=reason)


def _repeated(changes: Sequence[FileChange]) -> Iterator[Violation]:
    for path, times in Counter(change.path for change in changes).items():
        if times > 1:
            yield Violation(path=path, rule="repeated", reason=f"it is changed {times} times")


def _hidden_repository(tree: _Tree) -> Iterator[Violation]:
    """Ordinary files that git would take for a repository can name programs that it starts."""
    folder = bare_repository(tree.files)
    if folder is not None and folder != bare_repository(tree.modes):
        yield Violation(path=folder, rule="repository", reason="git would take this folder for a repository")


def _sizes(
    changes: Sequence[FileChange],
    base_contents: Mapping[str, bytes],
    *,
    max_files: int,
    max_lines: int,
    max_bytes: int,
) -> Iterator[Violation]:
    measured = (
        ("files", len(changes), max_files),
        ("changed lines", changed_lines(changes, base_contents), max_lines),
        ("bytes", sum(len(change.content or b"") for change in changes), max_bytes),
    )
    for name, is_now, limit in measured:
        if is_now > limit:
            reason = f"{is_now:,} {name} are more than the allowed {limit:,}"
            yield Violation(path="", rule="size", reason=reason)


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = [part for part in folded(pattern).split("/") if part]
    if not parts:
        return re.compile(r"(?!)")
    if not any(wild in parts[-1] for wild in "*?"):
        return re.compile(_translate([*parts[:-1]]) + re.escape(parts[-1]) + r"(?:/.*)?", re.DOTALL)
    return re.compile(_translate(parts[:-1]) + _last(parts[-1]), re.DOTALL)


def _translate(folders: Sequence[str]) -> str:
    return "".join(r"(?:[^/]+/)*" if part == "**" else _part(part) + "/" for part in folders)


def _last(part: str) -> str:
    return ".+" if part == "**" else _part(part)


def _part(part: str) -> str:
    kinds = {"*": "[^/]*", "?": "[^/]"}
    return "".join(kinds.get(char) or re.escape(char) for char in part)
