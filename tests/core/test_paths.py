"""Paths are judged by their components, the same for tools and for the publisher."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.core.paths import (
    bare_repository,
    check_path,
    check_readable_path,
    collision,
    spellings,
)

REFUSED = [
    "", "/etc/passwd", "..", "../x", "a/../b", "a/./b", ".", "a//b", "a/", "a\0b", "a\nb", "a\x7f", "a\x85b",
    "a\u2028b", "\ud800", "a\\b", "a:b", "C:/x", "a.", "a ", "a./b", "x" * 256, "\u4e16" * 86, "d/" * 2100 + "x",
    ".git", ".git/config", "sub/.git/config", ".GIT/x", ".Git", ".g\u200cit/config", ".git\u200d", "\ufeff.git",
    ".git.", ".git ", ".git. ./x", ".git::$INDEX_ALLOCATION/x", "git~1", "GIT~1/config", "git~2", "a\\.git\\b",
    "con", "NUL", "aux.txt", "a/com1.log", "LPT9", "com\u00b9", "CONIN$",
]  # fmt: skip

ALLOWED = [
    "a", "a/b.py", ".gitignore", ".github/workflows/x.yml", "gitx", "x.git", "a b", "-rf", ".a", "...a", "caf\u00e9",
    "config", "console.py", "auxiliary.c", "com10", "nulls/x", "git~", "x" * 255, "a\u200cb",
]  # fmt: skip


@pytest.mark.parametrize("path", REFUSED)
def test_a_dangerous_path_is_refused_with_a_reason(path):
    """What leaves the tree, enters .git or means different things on different systems is refused."""
    assert check_path(path)


@pytest.mark.parametrize("path", ALLOWED)
def test_an_ordinary_path_is_allowed(path):
    """Names that only resemble a dangerous one are ordinary."""
    assert check_path(path) is None


@pytest.mark.parametrize("path", ["a:b", "aux.c", "a\\b", "dir /x"])
def test_a_name_that_is_not_portable_may_be_read(path):
    """A tree may hold such names already; they are shown, not written."""
    assert check_readable_path(path) is None
    assert check_path(path)


@pytest.mark.parametrize("path", ["../x", ".git/config", ".g\u200cit/x", "/x", "git~1/x", ".git::$DATA"])
def test_a_path_out_of_the_tree_may_not_be_read_either(path):
    """Reading is refused where it leaves the tree or enters git's own folder."""
    assert check_readable_path(path)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("git.~1GIT \u200c\ufeff/aA"), min_size=1, max_size=8))
def test_git_never_accepts_what_it_protects_and_we_allow(path):
    """Whatever git itself refuses to index, with its protections on, is refused here too."""
    if check_path(path) is None:
        answer = subprocess.run(
            [
                "git",
                "-c",
                "core.protectHFS=true",
                "-c",
                "core.protectNTFS=true",
                "update-index",
                "--index-info",
            ],
            input=f"100644 {'1' * 40}\t{path}\n".encode(),
            cwd=_repository(),
            capture_output=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr


_made: list[Path] = []


@pytest.fixture(scope="module", autouse=True)
def repository(tmp_path_factory):
    path = tmp_path_factory.mktemp("index")
    subprocess.run(["git", "init", "-q", str(path)], check=True)
    _made.append(path)
    yield
    _made.clear()


def _repository() -> Path:
    return _made[0]


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("README.MD", "readme.md"),
        ("SRC/new.py", "src"),
        ("src/A.py", "src/a.py"),
        ("cafe\u0301/x", "caf\u00e9"),
        ("stra\u00dfe", "STRASSE"),
    ],
)
def test_another_spelling_of_a_path_collides(path, other):
    """A path that is an existing one to a file system without case or with other accents is found."""
    known = spellings(["readme.md", "src/a.py", "caf\u00e9/y", "STRASSE"])

    assert other == collision(path, known)


def test_a_new_path_beside_others_does_not_collide():
    """New names in existing folders are free."""
    assert collision("src/b.py", spellings(["src/a.py"])) is None


def test_files_that_make_a_bare_repository_are_found():
    """HEAD, objects and refs in one folder are a repository to git, wherever they lie."""
    parts = ["a/sub/HEAD", "a/sub/objects/x", "a/sub/refs/heads/y"]

    assert bare_repository(["b.py", *parts]) == "a/sub"
    assert all(bare_repository([p for p in parts if p != left]) is None for left in parts)
