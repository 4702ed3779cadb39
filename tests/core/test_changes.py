"""What may be published, judged on plain values."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.changes import PROTECTED, Base, changed_lines, guard, matches, protection, require
from runner.core.work import FileChange
from runner.errors import Refused

LIMITS: dict[str, Any] = {"max_files": 10, "max_lines": 100, "max_bytes": 10_000}
TREE = {"README.md": "100644", "src/a.py": "100644", "src/run.sh": "100755", "docs/x.md": "100644"}


def put(path: str, content: bytes = b"x\n", **more: Any) -> FileChange:
    return FileChange(path=path, content=content, **more)


def gone(path: str) -> FileChange:
    return FileChange(path=path, content=None)


def rules(*changes: FileChange, tree: dict[str, str] | None = None, **options: Any) -> list[str]:
    return [each.rule for each in guard(changes, base_tree=tree or TREE, **{**LIMITS, **options})]


def test_ordinary_changes_pass() -> None:
    """Editing, adding and deleting ordinary files is what the runner is for."""
    assert guard((put("src/a.py"), put("src/new/b.py"), gone("docs/x.md")), base_tree=TREE, **LIMITS) == ()


def test_no_changes() -> None:
    """An empty set of changes is never published."""
    assert rules() == ["nothing"]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", ".git/config", "src/.GIT/hooks/x"])
def test_paths_that_are_no_paths(path: str) -> None:
    """A path that leaves the tree or enters git's own folder is refused, and only that is said of it."""
    assert rules(put(path)) == ["path"]


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml",
        ".GitHub/Workflows/ci.yml",
        ".github/CODEOWNERS",
        "CODEOWNERS",
        "docs/CODEOWNERS",
        ".gitattributes",
        "sub/.gitattributes",
        ".gitmodules",
        "AGENTS.md",
        "src/agents.md",
        "CLAUDE.md",
        ".claude/settings.json",
        ".vscode/tasks.json",
        ".husky/pre-commit",
        "action.yml",
        "tools/action.yaml",
        ".gitlab-ci.yml",
    ],
)
def test_protected_by_default(path: str) -> None:
    """Files that decide what runs, who reviews or what agents do are for people, in any spelling."""
    (violation,) = guard((put(path),), base_tree=TREE, **LIMITS)
    assert violation.rule == "protected"
    assert violation.path == path
    assert "because it" in str(violation) or "because top-level" in str(violation)


@pytest.mark.parametrize(
    "path", [".gitignore", "src/.gitkeep", ".editorconfig", "src/github/x.py", "transaction.yml"]
)
def test_not_protected(path: str) -> None:
    """Files that only look similar are ordinary."""
    assert rules(put(path)) == []


def test_deleting_a_protected_file() -> None:
    """Protection covers deletions too."""
    assert rules(gone("AGENTS.md"), tree={"AGENTS.md": "100644"}) == ["protected"]


def test_configured_protection_adds() -> None:
    """A configuration protects more, and what is protected anyway stays so."""
    assert rules(put("migrations/1.sql"), put("action.yml"), protected=["migrations"]) == ["protected"] * 2
    assert protection("migrations/1.sql", ["migrations"]) == "the configuration protects it"


def test_allowed_paths() -> None:
    """Outside the allowed paths nothing is changed."""
    assert rules(put("src/a.py"), put("README.md"), allowed=["src/**"]) == ["outside"]


def test_allowing_does_not_unprotect() -> None:
    """An allowed path that is protected stays protected."""
    assert rules(put(".github/x.yml"), allowed=[".github/**"]) == ["protected"]


def test_modes() -> None:
    """Only regular files are written."""
    assert rules(put("src/link", mode="120000")) == ["mode"]
    assert rules(put("src/new.sh", mode="100755")) == []


@pytest.mark.parametrize(("mode", "word"), [("120000", "symbolic link"), ("160000", "submodule")])
@pytest.mark.parametrize("change", [put("lib"), gone("lib")])
def test_links_are_left_alone(mode: str, word: str, change: FileChange) -> None:
    """A symbolic link or a submodule is neither replaced nor deleted."""
    (violation,) = guard((change,), base_tree={"lib": mode}, **LIMITS)
    assert violation.rule == "link"
    assert word in violation.reason


@pytest.mark.parametrize("mode", ["120000", "160000"])
def test_nothing_is_written_through_links(mode: str) -> None:
    """A path below a link or a submodule would replace it."""
    assert "link" in rules(put("lib/a.py"), tree={"lib": mode})


def test_deleting_what_is_not_there() -> None:
    """A deletion names an existing file."""
    assert rules(gone("none.py")) == ["absent"]


def test_a_path_twice() -> None:
    """Two changes of one path have no order."""
    assert rules(put("src/a.py"), gone("src/a.py")) == ["repeated"]


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("readme.MD", "README.md"),
        ("SRC/b.py", "src/a.py"),
        (unicodedata.normalize("NFD", "caf\u00e9.py"), unicodedata.normalize("NFC", "caf\u00e9.py")),
        ("STRASSE.md", "stra\u00dfe.md"),
    ],
)
def test_names_that_are_one_elsewhere(path: str, known: str) -> None:
    """Two spellings of one name, of a file or of a folder, break checkouts on other systems."""
    assert rules(put(path), tree={known: "100644"}) == ["collision"]


def test_names_that_are_one_among_the_changes() -> None:
    """New files collide with each other too, and both are named."""
    assert rules(put("new.py"), put("New.py")) == ["collision"] * 2


def test_renaming_only_the_case() -> None:
    """A file may take another spelling when the old one goes."""
    assert rules(put("Readme.md"), gone("README.md")) == []


def test_an_old_collision_is_not_ours() -> None:
    """Editing one of two files that collide already is fine."""
    assert rules(put("a.py"), tree={"a.py": "100644", "A.py": "100644"}) == []


def test_a_file_where_a_folder_is() -> None:
    """A file never replaces a folder that keeps other files."""
    assert rules(put("src")) == ["collision"]
    assert rules(put("docs"), gone("docs/x.md")) == []


def test_a_folder_where_a_file_is() -> None:
    """A folder never replaces a file that stays."""
    assert rules(put("README.md/x")) == ["collision"]


@pytest.mark.parametrize(
    ("limit", "changes"),
    [
        ({"max_files": 1}, (put("a"), put("b"))),
        ({"max_lines": 2}, (put("a", b"1\n2\n3\n"),)),
        ({"max_bytes": 3}, (put("a", b"1234"),)),
    ],
)
def test_limits(limit: dict[str, int], changes: tuple[FileChange, ...]) -> None:
    """Too many files, lines or bytes are one violation about all changes."""
    (violation,) = guard(changes, base_tree=TREE, **{**LIMITS, **limit})
    assert violation.rule == "size"
    assert violation.path == ""


def test_a_hidden_repository() -> None:
    """Files that together look like a bare repository would let git start programs in that folder."""
    found = rules(put("sub/HEAD"), put("sub/config"), put("sub/objects/x"), put("sub/refs/x"))
    assert found == ["repository"]


def test_names_that_break_elsewhere_may_go() -> None:
    """A name that some systems cannot hold is refused for a new file and no obstacle to deleting an old one."""
    assert rules(put("a:b")) == ["path"]
    assert rules(gone("a:b"), tree={"a:b": "100644"}) == []


def test_changed_lines() -> None:
    """Lines added and removed are counted against the contents at the start; moved ones are not."""
    changes = (put("a", b"2\n1\nnew\n"), gone("b"), put("c", b"1\n"))
    assert changed_lines(changes, {"a": b"1\n2\n3\n", "b": b"1\n2\n"}) == 2 + 2 + 1


def test_require() -> None:
    """Violations end the publication with one text that names the first few and counts the rest."""
    base = Base(modes=TREE, contents={"src/a.py": b"x\n"})
    require((put("src/a.py", b"y\n"),), base=base, **LIMITS)
    with pytest.raises(Refused, match=r"`\.github/0`: protected.*and 2 more") as caught:
        require(tuple(put(f".github/{number}") for number in range(7)), base=base, **LIMITS)
    assert caught.value.detail.count("\n") == 6


@pytest.mark.parametrize(
    ("pattern", "covered", "spared"),
    [
        ("**", ["a", "a/b/c", ".x"], []),
        ("*", ["a", ".x"], ["a/b"]),
        ("docs", ["docs", "docs/a", "docs/a/b"], ["docs2", "x/docs"]),
        ("docs/", ["docs/a"], ["x/docs/a"]),
        ("docs/*", ["docs/a"], ["docs", "docs/a/b"]),
        ("docs/**", ["docs/a", "docs/a/b"], ["docs"]),
        ("**/x.md", ["x.md", "a/x.md", "a/b/x.md"], ["ax.md", "x.mdx"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b", "a/b/below"], ["ab", "a/xb"]),
        ("?.py", ["a.py"], ["ab.py", "/.py"]),
        ("a[1].py", ["a[1].py"], ["a1.py"]),
        ("Docs/*.MD", ["docs/x.md"], []),
        ("", [], ["a"]),
    ],
)
def test_globs(pattern: str, covered: list[str], spared: list[str]) -> None:
    """Globs mean what the module says they mean."""
    assert [path for path in covered + spared if matches(path, pattern)] == covered


def test_every_protection_has_a_reason() -> None:
    """People read why a path is protected."""
    assert all(reason for reason in PROTECTED.values())


PATHS = st.lists(st.text("abAB.é/", min_size=1, max_size=6), max_size=6)


@given(PATHS, PATHS)
def test_guard_is_total(paths: list[str], known: list[str]) -> None:
    """Whatever the changes are, the guard ends with violations or with none."""
    tree = dict.fromkeys(known, "100644")
    changes = tuple(put(path) if index % 2 else gone(path) for index, path in enumerate(paths))
    found = guard(changes, base_tree=tree, **LIMITS)
    assert bool(found) or bool(changes)
