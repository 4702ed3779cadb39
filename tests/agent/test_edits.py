"""Edits land where they were meant, or are refused with what is needed to do better."""

from __future__ import annotations

import json
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runner.agent.document import Line
from runner.agent.edit_answers import Refusal, RefusalKind
from runner.agent.edits import (
    Edit,
    Edited,
    EditedFile,
    Rung,
    apply_edit,
    decode,
    edit_file,
    rewrite_file,
)
from runner.agent.elision import elision
from runner.agent.filekinds import is_generated, syntax_error


def edited(text: str, old: str, new: str, **options: bool) -> Edited:
    answer = apply_edit(text, Edit(old=old, new=new, **options))
    assert isinstance(answer, Edited), answer.text
    return answer


def refused(text: str, old: str, new: str, **options: bool) -> Refusal:
    answer = apply_edit(text, Edit(old=old, new=new, **options))
    assert isinstance(answer, Refusal), answer.diff
    return answer


# --- the failure classes: (name, file, old, new, rung, file afterwards) --------------------------

APPLIED = [
    ("exact", "a\nb\nc\n", "b\n", "B\n", Rung.EXACT, "a\nB\nc\n"),
    ("exact within a line", "x = f(1)\n", "f(1)", "f(2)", Rung.EXACT, "x = f(2)\n"),
    (
        "uniform outdent",
        "class A:\n    def f(self):\n        return 1\n\nx = 0\n",
        "def f(self):\n    return 1\n",
        "def f(self):\n    y = 2\n    return y\n",
        Rung.INDENTATION,
        "class A:\n    def f(self):\n        y = 2\n        return y\n\nx = 0\n",
    ),
    (
        "uniform indent",
        "def f():\n    return 1\n",
        "    def f():\n        return 1\n",
        "    def f():\n        return 2\n",
        Rung.INDENTATION,
        "def f():\n    return 2\n",
    ),
    (
        "file tabs, model spaces",
        "func f() {\n\tif a {\n\t\tb()\n\t}\n}\n",
        "    if a {\n        b()\n    }\n",
        "    if a {\n        b()\n        for {\n            c()\n        }\n    }\n",
        Rung.INDENTATION,
        "func f() {\n\tif a {\n\t\tb()\n\t\tfor {\n\t\t\tc()\n\t\t}\n\t}\n}\n",
    ),
    (
        "file tabs, model spaces of two, outdented",
        "func f() {\n\tif a {\n\t\tb()\n\t}\n}\n",
        "if a {\n  b()\n}\n",
        "if a {\n  b()\n  c()\n}\n",
        Rung.INDENTATION,
        "func f() {\n\tif a {\n\t\tb()\n\t\tc()\n\t}\n}\n",
    ),
    (
        "file spaces, model tabs",
        "def f():\n    if a:\n        b()\n",
        "\tif a:\n\t\tb()\n",
        "\tif a:\n\t\tb()\n\t\tc()\n",
        Rung.INDENTATION,
        "def f():\n    if a:\n        b()\n        c()\n",
    ),
    ("file CRLF, model LF", "a\r\nb\r\nc\r\n", "a\nb\n", "a\nx\ny\n", Rung.EXACT, "a\r\nx\r\ny\r\nc\r\n"),
    ("file LF, model CRLF", "a\nb\nc\n", "a\r\nb\r\n", "a\r\nx\r\n", Rung.EXACT, "a\nx\nc\n"),
    (
        "mixed line ends",
        "a\r\nb\nc\r\nd\n",
        "b\nc\nd\n",
        "b\nnew\nc\nd\n",
        Rung.EXACT,
        "a\r\nb\nnew\nc\r\nd\n",
    ),
    ("lone carriage returns", "a\rb\rc\r", "b\n", "x\ny\n", Rung.EXACT, "a\rx\ry\rc\r"),
    (
        "trailing spaces in the file",
        "def f():  \n    a = 1   \n    b = 2\t\n",
        "def f():\n    a = 1\n    b = 2\n",
        "def f():\n    a = 1\n    b = 3\n",
        Rung.TRAILING_SPACE,
        "def f():  \n    a = 1   \n    b = 3\n",
    ),
    (
        "trailing spaces from the model",
        "a = 1\nb = 2\n",
        "a = 1  \nb = 2 \n",
        "a = 1\nb = 3\n",
        Rung.TRAILING_SPACE,
        "a = 1\nb = 3\n",
    ),
    (
        "typographic quotes and dashes in the file",
        "# It\u2019s a list \u2013 really\nx = 1\n",
        "# It's a list - really\nx = 1\n",
        "# It's a list - really\nx = 2\n",
        Rung.TYPOGRAPHY,
        "# It\u2019s a list \u2013 really\nx = 2\n",
    ),
    (
        "typography kept in a changed line",
        "say \u201chello\u201d to Bob\u2019s cat\n",
        'say "hello" to Bob\'s cat\n',
        'say "hello" to Bob\'s dog\n',
        Rung.TYPOGRAPHY,
        "say \u201chello\u201d to Bob\u2019s dog\n",
    ),
    (
        "typography from the model",
        "print('a - b')\n",
        "print(\u2018a \u2013 b\u2019)\n",
        "print(\u2018a \u2013 c\u2019)\n",
        Rung.TYPOGRAPHY,
        "print('a - c')\n",
    ),
    (
        "no-break space in the file",
        "total:\u00a05 km\n",
        "total: 5 km\n",
        "total: 6 km\n",
        Rung.TYPOGRAPHY,
        "total:\u00a06 km\n",
    ),
    ("no final newline, whole line quoted", "a\nlast", "last\n", "end\n", Rung.TRAILING_SPACE, "a\nend"),
    ("no final newline, new line ends", "a\nlast", "last", "end\n", Rung.EXACT, "a\nend"),
    ("final newline forgotten", "a\nlast\n", "last\n", "end", Rung.EXACT, "a\nend\n"),
    (
        "unicode",
        "name = 'Zo\u00eb \U0001f600'\n",
        "Zo\u00eb \U0001f600",
        "\u4e16\u754c",
        Rung.EXACT,
        "name = '\u4e16\u754c'\n",
    ),
    ("delete a line", "a\nb\nc\n", "b\n", "", Rung.EXACT, "a\nc\n"),
    ("delete shifted lines", "f:\n    a()\n    b()\nc\n", "  a()\n  b()\n", "", Rung.INDENTATION, "f:\nc\n"),
    (
        "blank lines in the quote",
        "x:\n    a\n\n    b\n",
        "a\n\nb\n",
        "a\n\n\nc\n",
        Rung.INDENTATION,
        "x:\n    a\n\n\n    c\n",
    ),
    (
        "line separator characters are text",
        "a\u2028b\x0cc\nd\n",
        "d\n",
        "e\n",
        Rung.EXACT,
        "a\u2028b\x0cc\ne\n",
    ),
]


@pytest.mark.parametrize(
    ("text", "old", "new", "rung", "after"), [c[1:] for c in APPLIED], ids=[c[0] for c in APPLIED]
)
def test_a_quote_found_once_is_replaced_on_its_rung(text, old, new, rung, after):
    """Each class that can be told for certain is applied, and only the meant lines change."""
    answer = edited(text, old, new)

    assert (after, rung) == (answer.text, answer.rung)


REFUSED = [
    ("two identical places", "a\nb\na\n", "a\n", "c\n", RefusalKind.AMBIGUOUS, (1, 3)),
    ("overlapping places", "aaa\n", "aa", "b", RefusalKind.AMBIGUOUS, (1, 1)),
    ("two places but for trailing space", "a = 1 \nb\na = 1\t\n", "a = 1\n", "c\n", RefusalKind.AMBIGUOUS, (1, 3)),
    ("two places but for indentation", "  a(1)\n  b(2)\n    a(1)\n    b(2)\n", "a(1)\nb(2)\n", "c\n", RefusalKind.AMBIGUOUS, (1, 3)),
    ("two places but for typography", "it\u2019s\nit\u2018s\n", "it's\n", "its\n", RefusalKind.AMBIGUOUS, (1, 2)),
    ("a stricter and a looser place", "    a(1) \n        a(1)\u00a0\n", "    a(1)\n", "b\n", RefusalKind.AMBIGUOUS, (1, 2)),
    ("exact only inside a deeper copy", "    return None  \nx\n        return None\n", "    return None\n", "    return 1\n", RefusalKind.AMBIGUOUS, (1, 3)),
    ("skipped blank line", "a = 1\n\nb = 2\n", "a = 1\nb = 2\n", "c\n", RefusalKind.NOT_FOUND, ()),
    ("skipped comment", "a = 1\n# why\nb = 2\n", "a = 1\nb = 2\n", "c\n", RefusalKind.NOT_FOUND, ()),
    ("wrong content", "value = compute(1)\n", "value = compute(2)\n", "c\n", RefusalKind.NOT_FOUND, ()),
    ("indentation not uniform", "if a:\n    b()\n        c()\n", "if a:\n  b()\n  c()\n", "d\n", RefusalKind.INDENTATION, (1,)),
    ("left of the margin", "x()\ny()\n", "    x()\n    y()\n", "    x()\nz()\n", RefusalKind.INDENTATION, (1,)),
    ("only punctuation, indented otherwise", "f(\n  )\n", "    )\n", "    ))\n", RefusalKind.NOT_FOUND, ()),
    ("elision in the quote", "def f():\n    a\n    b\n", "def f():\n    ...\n    b\n", "c\n", RefusalKind.NOT_FOUND, ()),
    ("elision in the new text", "def f():\n    a()\n    b()\n", "a()", "# ... existing code ...\n    c()", RefusalKind.ELIDED, ()),
    ("empty quote", "a\n", "", "b", RefusalKind.EMPTY, ()),
    ("nothing to change", "a\n", "a", "a", RefusalKind.SAME, ()),
    ("only line ends differ", "a\nb\n", "a\nb\n", "a\r\nb\r\n", RefusalKind.SAME, ()),
    ("a lone surrogate", "a\n", "a", "\ud800", RefusalKind.FORBIDDEN_TEXT, ()),
    ("a NUL", "a\n", "a", "b\0", RefusalKind.FORBIDDEN_TEXT, ()),
    ("a bidirectional control", "a\n", "a", "b\u202e", RefusalKind.FORBIDDEN_TEXT, ()),
    ("decomposed accents", "caf\u0065\u0301 au lait\n", "caf\u00e9 au lait\n", "tea\n", RefusalKind.NOT_FOUND, ()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "old", "new", "kind", "hits"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_a_quote_that_is_not_certain_is_refused_with_its_places(text, old, new, kind, hits):
    """What is ambiguous, absent or unusable changes nothing and says where the candidates are."""
    answer = refused(text, old, new)

    assert (kind, hits) == (answer.kind, answer.hits)


@pytest.mark.parametrize("eol", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("final", [True, False], ids=["final newline", "no final newline"])
@pytest.mark.parametrize("bom", [True, False], ids=["BOM", "no BOM"])
@pytest.mark.parametrize("case", [case for case in APPLIED if "\r" not in case[1]], ids=lambda case: case[0])
def test_every_class_keeps_line_ends_mark_and_final_newline(case, eol, final, bom):
    """Whatever the line ends, the byte-order mark and the end of the file, an edit keeps them."""
    _, text, old, new, _, after = case
    assume_final = text.endswith("\n")
    assert after.endswith("\n") == assume_final

    def as_file(value: str) -> bytes:
        body = value if final or not assume_final else value.removesuffix("\n")
        return (b"\xef\xbb\xbf" if bom else b"") + body.replace("\n", eol).encode()

    answer = edit_file("a.txt", as_file(text), [Edit(old=old, new=new)])

    assert isinstance(answer, EditedFile)
    assert as_file(after) == answer.data


MIXED = ("\r\n", "\n", "\r\n", "\r")


def with_mixed_ends(text: str) -> str:
    """The text with its line ends taken in turn from all there are."""
    lines = text.split("\n")
    ends = [MIXED[at % len(MIXED)] for at in range(len(lines) - 1)]
    return "".join(line + end for line, end in zip(lines, [*ends, ""], strict=True))


@pytest.mark.parametrize("bom", [True, False], ids=["BOM", "no BOM"])
@pytest.mark.parametrize("case", [case for case in APPLIED if "\r" not in case[1]], ids=lambda case: case[0])
def test_every_class_leaves_the_ends_of_other_lines_in_a_mixed_file(case, bom):
    """Among all kinds of line ends the edit says what it should, and lines before and after it keep every byte."""
    _, text, old, new, rung, after = case
    mark = b"\xef\xbb\xbf" if bom else b""
    before = with_mixed_ends(text)

    answer = edit_file("a.txt", mark + before.encode(), [Edit(old=old, new=new)])

    assert isinstance(answer, EditedFile)
    assert answer.data.startswith(mark)
    result = answer.data.removeprefix(mark).decode()
    assert (answer.rungs, re.sub("\r\n|\r", "\n", result)) == ((rung,), after)
    lines, ends = after.split("\n"), re.findall("\r\n|\r|\n", before)
    top = _common(text.split("\n"), lines)
    bottom = _common(text.split("\n")[top:][::-1], lines[top:][::-1])
    kept = "".join(line + end for line, end in zip(text.split("\n")[:top], ends[:top], strict=False))
    assert result.startswith(kept.rstrip("\r\n") if top == len(lines) else kept)
    assert result.endswith(_last_lines(before, bottom))


def _common(first: list[str], second: list[str]) -> int:
    """How many lines two texts begin with in common."""
    return next(
        (at for at, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]),
        min(len(first), len(second)),
    )


def _last_lines(text: str, count: int) -> str:
    """The last lines as they are, each with its end."""
    pieces = re.findall("[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", text)
    is_ended = text.endswith(("\r", "\n"))
    wanted = count - is_ended
    return "".join(pieces[len(pieces) - wanted :]) if wanted > 0 else ""


@pytest.mark.parametrize("bom", [True, False], ids=["BOM", "no BOM"])
@pytest.mark.parametrize(
    "ends",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        with_mixed_ends,
    ],
    ids=["LF", "CRLF", "CR", "mixed"],
)
@pytest.mark.parametrize("case", REFUSED, ids=[case[0] for case in REFUSED])
def test_every_refusal_is_the_same_whatever_the_line_ends(case, ends, bom):
    """Line ends and a byte-order mark turn no refusal into an edit, and no place into another."""
    _, text, old, new, kind, hits = case
    data = (b"\xef\xbb\xbf" if bom else b"") + ends(text).encode()

    answer = edit_file("a.txt", data, [Edit(old=old, new=new)])

    assert isinstance(answer, Refusal)
    assert (answer.kind, answer.hits) == (kind, hits)


# --- refusals help -------------------------------------------------------------------------------


def test_a_miss_shows_the_real_lines_with_their_numbers():
    """A quote with a word wrong is answered by the lines it most resembles."""
    text = "".join(f"line {n} of the poem\n" for n in range(1, 40)) + "total = price * amount\nend\n"

    answer = refused(text, "total = price + amount\n", "total = 0\n")

    assert Line(number=40, text="total = price * amount") in answer.nearest
    assert "40|total = price * amount" in answer.text


def test_a_miss_shows_the_place_that_shares_most_lines():
    """When most lines of a quote are right, the place where they stand is shown."""
    text = "import a\nimport b\n\n\ndef f():\n    x = 1\n    # a comment\n    return x\n"

    answer = refused(text, "def f():\n    x = 1\n    return x\n", "def f():\n    return 1\n")

    assert [Line(number=7, text="    # a comment")] == [line for line in answer.nearest if line.number == 7]


def test_an_ambiguous_quote_is_told_how_often_and_where_it_stands():
    """The count and the line numbers of all places come with the way out."""
    answer = refused("a = 1\n" * 12, "a = 1\n", "b\n")

    assert "12 times, in lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more" in answer.message
    assert "replace_all" in answer.message


def test_an_edit_already_made_is_recognised():
    """If the quote is gone but the new text stands there, the refusal says so."""
    answer = refused("a\nvalue = 2\n", "value = 1\n", "value = 2\n")

    assert answer.is_already_there
    assert "already contains the new text" in answer.text


def test_line_numbers_in_a_quote_are_explained():
    """A quote with the numbers of read_file is not stripped by guess, but the mistake is named."""
    assert "line numbers" in refused("alpha\nbeta\n", "1|alpha\n2|beta\n", "x\n").message


def test_a_text_that_is_doubled_is_noted():
    """Repeating an insertion is applied, as it is exact, and noted."""
    once = edited("import a\n", "import a\n", "import a\nimport b\n").text

    assert any(
        "already stood there" in note for note in edited(once, "import a\n", "import a\nimport b\n").notes
    )


def test_spaces_in_a_file_of_tabs_are_noted():
    """An exact edit is literal; new lines indented with spaces among tabs are noted."""
    answer = edited("f {\n\ta()\n\tb()\n}\n", "a()", "if a() {\n    c()\n}")

    assert any("tabs" in note for note in answer.notes)


# --- replace_all and several edits ---------------------------------------------------------------


def test_replace_all_changes_every_exact_place():
    """With replace_all each exact place changes, and each keeps its line end."""
    answer = edited("a\r\nb\na\n", "a\n", "x\ny\n", replace_all=True)

    assert (answer.text, answer.lines) == ("x\r\ny\r\nb\nx\ny\n", (1, 3))


def test_replace_all_never_leaves_the_exact_rung():
    """A quote that would be found only with another indentation is refused with replace_all."""
    assert (
        refused("    a(1)\n    b(2)\n", "a(1)\nb(2)\n", "c\n", replace_all=True).kind is RefusalKind.NOT_FOUND
    )


def test_replace_all_refuses_overlapping_places():
    """Which of two overlapping places is meant cannot be told."""
    assert refused("aaa", "aa", "b", replace_all=True).kind is RefusalKind.AMBIGUOUS


def test_several_edits_apply_in_order():
    """A later edit sees what the earlier ones wrote."""
    answer = edit_file("a.txt", b"a\nb\n", [Edit(old="a", new="c"), Edit(old="c\nb", new="d")])

    assert isinstance(answer, EditedFile)
    assert (answer.data, answer.rungs) == (b"d\n", (Rung.EXACT, Rung.EXACT))


def test_several_edits_apply_all_or_none():
    """One refused edit refuses all, and says which it was."""
    answer = edit_file("a.txt", b"a\nb\n", [Edit(old="a", new="c"), Edit(old="x", new="d")])

    assert isinstance(answer, Refusal)
    assert answer.message.startswith("Edit 2 of 2 was refused, so none was applied.")


# --- elision -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "...", "\u2026", "# ...", "// ...", "/* ... */", "<!-- ... -->", "{/* ... */}", "[...]", "(...)",
        "# ... existing code ...", "// rest of the file", "# The rest of the file remains unchanged",
        "// ... rest of code ...", "... rest of the code ...", "# (unchanged)", "/* existing code here */",
        "# remaining code unchanged", "// other methods remain the same", "[rest of file unchanged]",
        "-- rest of function omitted for brevity", "# ... (same as before)", "# existing code",
        "// unchanged", "# rest of the class stays the same.",
    ],
)  # fmt: skip
def test_text_that_stands_for_left_out_code_is_refused(line):
    """A line that says code was left out would delete that code."""
    assert line == elision(f"a = 1\n    {line}\n", "b = 2\n")


@pytest.mark.parametrize(
    "text",
    [
        "def f() -> int: ...\n", "def f() -> int:\n    ...\n", 'def f():\n    """Doc."""\n    ...\n',
        "tuple[\n    int,\n    ...\n]", "const a = {\n  ...rest\n}", "  ...other,\n", "x = [...existing]",
        "# Existing files are kept", "# unchanged files are skipped", "print('...')", "# wait for the same...",
        "// Loading previous state...", "# Other tests", "f(*args, ...)\n", "# Read the rest of the file lazily",
        "a = b  # rest of the file", "...rest",
    ],
)  # fmt: skip
def test_code_that_only_resembles_an_elision_is_written(text):
    """Stub bodies, spread syntax and ordinary comments are no elision."""
    assert elision(text, "") is None


def test_an_elision_that_the_file_itself_has_is_kept():
    """A marker that is already a line of the file is text like any other."""
    assert elision("# ...\nx\n", "a\n  # ...\n") is None


# --- kinds of files and syntax -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"a\0b", RefusalKind.BINARY), (b"caf\xe9\n", RefusalKind.BINARY), (b"a" * 1_000_001, RefusalKind.HUGE)],
)
def test_what_is_not_text_is_refused(data, kind):
    """Binary, undecodable and huge files are recognised and not edited."""
    answer = edit_file("f", data, [Edit(old="a", new="b")])

    assert isinstance(answer, Refusal)
    assert kind is answer.kind


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("package-lock.json", "{}", True),
        ("api_pb2.py", "", True),
        ("dist/app.min.js", "", True),
        ("a.go", "// Code generated by mockgen. DO NOT EDIT.\npackage a\n", True),
        ("a.py", "# @generated by x\n", True),
        ("a.py", "# This file is auto-generated by the build\n", True),
        ("a.py", "def generated(): pass\n", False),
        ("a.py", "\n" * 30 + "# @generated\n", False),
    ],
)
def test_generated_files_are_recognised(path, text, expected):
    """A file's name or a mark among its first lines tells that a tool writes it."""
    assert expected == is_generated(path, text)


@pytest.mark.parametrize(
    ("path", "good", "bad"),
    [
        ("a.py", "x = 1\n", "x = (\n"),
        ("a.pyi", "x: int\n", "x: \n"),
        ("a.json", '{"a": 1}\n', '{"a": }\n'),
        ("a.yaml", "a: 1\nb: [2]\n", "a: [1\n"),
        ("a.yml", "--- \na: 1\n---\nb: 2\n", "a: b: c\n"),
        ("a.toml", "a = 1\n", "a = \n"),
    ],
)
def test_syntax_is_checked_by_kind(path, good, bad):
    """Python, JSON, YAML and TOML are parsed, the error is one line; other kinds are not judged."""
    assert syntax_error(path, good) is None
    assert "\n" not in (syntax_error(path, bad) or "\n")
    assert syntax_error("a.txt", bad) is None


@pytest.mark.parametrize(
    ("path", "deep"), [("a.json", "[" * 100_000), ("a.py", "(" * 10_000), ("a.py", "x\0")]
)
def test_syntax_of_hostile_text_is_an_answer(path, deep):
    """Text made to break a parser gives an answer, never an exception."""
    assert syntax_error(path, deep) is not None


def test_an_edit_that_breaks_the_syntax_says_so():
    """The edit is applied and reported: valid before, broken now."""
    answer = edit_file("a.py", b"x = (1)\n", [Edit(old="(1)", new="(1")])

    assert isinstance(answer, EditedFile)
    assert any(note.startswith("was valid before, is broken now: line 1") for note in answer.notes)


def test_a_file_that_was_broken_before_is_not_reported():
    """Only what this edit broke is reported."""
    answer = edit_file("tsconfig.json", b"// a comment\n{}\n", [Edit(old="{}", new="[]")])

    assert isinstance(answer, EditedFile)
    assert answer.notes == ()


def test_an_exact_edit_is_answered_by_where_it_stands_now():
    """What was quoted exactly and what was written need no repeating; the new numbers do."""
    assert edited("a\nb\nc\nd\ne\n", "c\n", "C\nCC\n").diff == "+ 3|C\n+ 4|CC"


def test_an_edit_inside_a_line_is_answered_by_the_whole_line():
    """The seams between what was there and what was put in can be seen."""
    assert edited("a\n    total = net\nc\n", "net", "net + tax").diff == "+ 2|    total = net + tax"


def test_a_long_exact_edit_is_answered_by_its_ends():
    """First and last lines tell where it landed."""
    diff = edited("a\nb\nc\n", "b\n", "".join(f"b{n}\n" for n in range(9))).diff

    assert diff == "+ 2|b0\n+ 3|b1\n  (5 lines not shown)\n+ 9|b7\n+ 10|b8"


def test_an_exact_deletion_is_answered_by_what_is_around_it():
    """Nothing was put there, so the neighbours tell the place."""
    assert edited("a\nb\nc\nd\n", "b\n", "").diff == "  1|a\n  2|c"


def test_an_edit_that_did_not_match_literally_shows_what_it_replaced():
    """The changed lines with numbers and one line around: the file's lines were not what was quoted."""
    diff = edited("a\nb\nc  \nd\ne\n", "c\nd\n", "C\nd\n").diff

    assert diff == "  2|b\n- 3|c  \n+ 3|C\n  4|d"


def test_a_long_diff_is_cut_in_the_middle():
    """A large replacement does not flood the conversation."""
    text = "".join(f"{n}\n" for n in range(500))

    assert edited(text, text, "x\n").diff.count("\n") < 40


# --- whole files ---------------------------------------------------------------------------------


def test_rewriting_keeps_mark_line_ends_and_final_newline():
    """A file written as a whole keeps how its lines end, line by line."""
    answer = rewrite_file("a.txt", b"\xef\xbb\xbfa\r\nb\nc\r\n", "a\nnew\nb\nc")

    assert isinstance(answer, EditedFile)
    assert answer.data == b"\xef\xbb\xbfa\r\nnew\r\nb\nc\r\n"


def test_rewriting_refuses_left_out_code():
    """A whole file with a part left out would delete that part."""
    answer = rewrite_file("a.py", b"a = 1\nb = 2\n", "a = 2\n# rest of the file unchanged\n")

    assert isinstance(answer, Refusal)
    assert answer.kind is RefusalKind.ELIDED


@pytest.mark.parametrize("data", [b"", b"\n", b"a", b"\xef\xbb\xbf", b"\xef\xbb\xbfa\r\n", b"\r\r\n\n"])
def test_decoding_is_lossless(data):
    """Bytes read as text and written again are the same bytes."""
    file = decode(data)

    assert not isinstance(file, Refusal)
    assert data == file.data


# --- properties ----------------------------------------------------------------------------------

eols = st.sampled_from(["\n", "\r\n", "\r"])
words = st.sampled_from(["a", "b()", "x = 1", "if a:", "return it\u2019s", '"q"', "\u4e16\u754c", "}", ""])
indents = st.sampled_from(["", "    ", "        ", "\t", "\t\t", "  "])
trailing = st.sampled_from(["", "", "", " ", "\t"])
lines = st.builds(lambda *parts: "".join(parts), indents, words, trailing)


@st.composite
def files(draw: st.DrawFn, least: int = 1) -> str:
    contents = draw(st.lists(lines, min_size=least, max_size=12))
    ends = draw(st.lists(eols, min_size=len(contents), max_size=len(contents)))
    text = "".join(content + eol for content, eol in zip(contents, ends, strict=True))
    return text if draw(st.booleans()) else text.rstrip("\r\n") + "."


@st.composite
def spans(draw: st.DrawFn) -> tuple[str, int, int]:
    text = draw(files())
    start = draw(st.integers(0, len(text) - 1))
    end = draw(st.integers(start + 1, len(text)))
    return text, start, end


def normal(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def test_a_lone_carriage_return_and_a_line_feed_do_not_become_one_end():
    """New lines take the ends of the old ones, which may be mixed: an empty line stays a line."""
    answer = apply_edit("a\ra\nx = 1\n\na.", Edit(old="a\na\nx = 1\n\na", new="\n\na"))

    assert normal(answer.text) == "\n\na."


@given(spans(), st.text("ab {}\n", max_size=12))
def test_an_applied_edit_changes_exactly_the_quoted_span(span, new):
    """Every byte before and after the one exact place is the same afterwards."""
    text, start, end = span
    old = text[start:end]
    assume(
        not (text[start - 1 : start] == "\r" and text[start] == "\n")
        and not (old[-1] == "\r" and text[end : end + 1] == "\n")
    )
    assume(sum(normal(text).startswith(normal(old), i) for i in range(len(text))) == 1)
    assume("\n" not in new[-1:] and end < len(text))

    answer = apply_edit(text, Edit(old=old, new=new))

    if isinstance(answer, Refusal):
        assert answer.kind in {RefusalKind.SAME, RefusalKind.AMBIGUOUS}
        return
    assert answer.rung is Rung.EXACT
    assert answer.text.startswith(text[:start])
    assert answer.text.endswith(text[end:])
    if not (text[:start].endswith("\r") and (new + text[end:]).startswith("\n")):
        assert normal(text[:start]) + new + normal(text[end:]) == normal(answer.text)


@given(files(least=3), st.data())
def test_applying_and_reversing_gives_the_same_bytes(text, data):
    """An edit of whole lines, then the same edit with old and new exchanged, restores every byte."""
    contents = normal(text).split("\n")
    assume(len(contents) > 1)
    first = data.draw(st.integers(0, len(contents) - 2))
    old = contents[first] + "\n" + contents[first + 1]
    new = contents[first] + "\nzz inserted zz\n" + contents[first + 1]
    there = apply_edit(text, Edit(old=old, new=new))
    assume(isinstance(there, Edited) and there.rung is Rung.EXACT)

    back = apply_edit(there.text, Edit(old=new, new=old))

    assert isinstance(back, Edited)
    assert text == back.text


def loosely(line: str) -> str:
    plain = line.translate(str.maketrans("\u2019\u2018\u201c\u201d\u2013\u00a0", "''\"\"- "))
    return plain.strip(" \t")


def loose_places(text: str, old: str) -> list[int]:
    contents, wanted = normal(text).split("\n"), normal(old).removesuffix("\n").split("\n")
    keys, target = [loosely(line) for line in contents], [loosely(line) for line in wanted]
    return [i for i in range(len(keys) - len(target) + 1) if keys[i : i + len(target)] == target]


@given(files(least=2), st.data())
def test_no_rung_applies_with_two_candidates(text, data):
    """Whatever is quoted: with two exact places, or none and not exactly one loose one, nothing changes."""
    contents = normal(text).split("\n")
    first = data.draw(st.integers(0, len(contents) - 1))
    last = data.draw(st.integers(first, len(contents) - 1))
    shift = data.draw(indents)
    old = "\n".join(shift + loosely(line) for line in contents[first : last + 1])
    assume(old)

    answer = apply_edit(text, Edit(old=old, new="zz"))

    exact = sum(normal(text).startswith(old, i) for i in range(len(text)))
    if isinstance(answer, Edited):
        assert exact == 1 or (exact == 0 and len(loose_places(text, old)) == 1)
        assert (answer.rung is Rung.EXACT) == (exact == 1)
    elif exact == 0 and len(loose_places(text, old)) == 1:
        assert answer.kind in {RefusalKind.INDENTATION, RefusalKind.NOT_FOUND}


@given(files(), st.text(max_size=8), st.text(max_size=8), st.booleans())
def test_every_edit_has_an_answer(text, old, new, replace_all):
    """Any text and any edit end in an edit or a refusal."""
    answer = apply_edit(text, Edit(old=old, new=new, replace_all=replace_all))

    assert isinstance(answer, Edited | Refusal)


# --- real files ----------------------------------------------------------------------------------

EDITS = 10_000 if os.environ.get("AI_RUNNER_FULL") == "1" else 500


def real_files() -> list[Path]:
    """Text files of this repository and of what it depends on, in a stable order."""
    own = Path(__file__).resolve().parents[2]
    installed = Path(json.__file__).parents[1] / "email", *map(Path, sys.path)
    found = [path for name in ("runner", "tests", "docs", "prompts") for path in (own / name).rglob("*.*")]
    for place in installed:
        if place.name in {"site-packages", "email"}:
            for package in ("", "requests", "pydantic", "yaml", "markdown_it", "werkzeug"):
                found += (place / package).glob("*.*")
    wanted = {".py", ".md", ".txt", ".json", ".toml", ".yml", ".yaml", ".pyi"}
    return sorted({path for path in found if path.suffix in wanted and 200 < path.stat().st_size < 200_000})


def indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


DRIFTS: dict[str, Callable[[list[str]], list[str]]] = {
    "trailing space added": lambda lines: [line + "  " for line in lines],
    "trailing space lost": lambda lines: [line.rstrip() for line in lines],
    "shifted right": lambda lines: [line and "  " + line for line in lines],
    "shifted left": lambda lines: [line.removeprefix("    ") for line in lines],
    "outdented": lambda lines: [line.lstrip() for line in lines],
    "tabs for spaces": lambda lines: [line.replace("    ", "\t") for line in lines],
    "spaces for tabs": lambda lines: [line.replace("\t", "    ") for line in lines],
    "typographic": lambda lines: [line.replace("'", "\u2019").replace('"', "\u201d").replace("-", "\u2013") for line in lines],
    "blank lines skipped": lambda lines: [line for line in lines if line.strip()],
    "a line skipped": lambda lines: lines[:1] + lines[2:],
    "a word wrong": lambda lines: [*lines[:-1], lines[-1][: len(lines[-1]) // 2] + "x" + lines[-1][len(lines[-1]) // 2 :]],
    "a line doubled": lambda lines: [*lines, lines[-1]],
}  # fmt: skip


def test_random_edits_of_real_files_are_exact_or_refused():
    """Of edits of real files all exact ones are applied as quoted, and no drifted one lands elsewhere."""
    chance = random.Random(20261122)
    paths = real_files()
    counts: Counter[str] = Counter()
    texts: dict[Path, str] = {}
    while counts["exact"] + counts["drifted"] < EDITS:
        path = chance.choice(paths)
        if path not in texts:
            file = decode(path.read_bytes())
            assert not isinstance(file, Refusal), path
            texts[path] = chance.choice([normal(file.text), normal(file.text).replace("\n", "\r\n")])
        text = texts[path]
        flat = normal(text)
        contents = flat.split("\n")
        if chance.random() < 0.5:
            start = chance.randrange(len(flat))
            old = flat[start : start + chance.randrange(8, 400)]
            if flat.count(old) != 1 or start + len(old) >= len(flat):
                continue
            middle = len(old) // 2
            new = old[:middle] + "<changed>" + old[middle + chance.randrange(3) :]
            answer = apply_edit(text, Edit(old=old, new=new))
            assert isinstance(answer, Edited), (path, old, answer)
            assert (flat[:start] + new + flat[start + len(old) :]) == normal(answer.text), (path, old)
            assert Rung.EXACT is answer.rung
            assert answer.text.count("\r") == (answer.text.count("\n") if "\r" in text else 0)
            counts["exact"] += 1
            continue
        first = chance.randrange(len(contents))
        quoted = contents[first : first + chance.randrange(2, 9)]
        name, drift = chance.choice(list(DRIFTS.items()))
        drifted = drift(quoted)
        old = "\n".join(drifted)
        if not drifted or not drifted[-1].strip() or old in flat or drifted == quoted:
            continue
        counts["drifted"] += 1
        answer = apply_edit(
            text, Edit(old=old, new="\n".join([*drifted[:-1], indent_of(drifted[-1]) + "<changed>"]))
        )
        if isinstance(answer, Refusal):
            counts["refused " + name] += 1
            continue
        counts["applied " + name] += 1
        after = normal(answer.text).split("\n")
        assert contents[:first] == after[:first], (name, path, old)
        assert contents[first + len(quoted) :] == after[first + len(quoted) :], (name, path, old)
        assert contents[first : first + len(quoted) - 1] == after[first : first + len(quoted) - 1], (
            name,
            path,
            old,
        )
        assert indent_of(quoted[-1]) + "<changed>" == after[first + len(quoted) - 1], (name, path, old)
    assert counts["exact"] + counts["drifted"] == EDITS
    for name in ("trailing space added", "shifted right", "shifted left", "tabs for spaces", "typographic"):
        # Which lines are drawn depends on the files; an ambiguous place is rightly refused.
        assert 2 * counts["applied " + name] >= counts["refused " + name], counts
    for name in ("a line skipped", "a word wrong", "a line doubled"):
        assert counts["applied " + name] == 0, counts
