"""The tools of a model: jailed, taught by their answers, and accounted for to the byte."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.agent.paths import Jail, jailed
from runner.agent.search import compiled
from runner.agent.tool_texts import shortened
from runner.agent.tools import Toolbox
from runner.core.work import CheckRun, FileChange, ToolAnswer
from runner.errors import Refused

FILES = {
    "README.md": "# Sample\n\nIt adds numbers.\n",
    "src/app.py": "def add(a, b):\n    return a - b\n\n\ndef main():\n    print(add(1, 2))\n",
    "src/deep/er/x.py": "X = 1\n",
    "src/win.txt": "one\r\ntwo\r\n",
    "tests/test_app.py": "from src.app import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n",
    "run.sh": "#!/bin/sh\necho hi\n",
    ".github/workflows/ci.yml": "on: push\n",
}


class Checks:
    """Checks that answer what a test says; ``before`` runs first, as a command that writes files would."""

    def __init__(self) -> None:
        self.output = "ok\n"
        self.exit_code = 0
        self.before: Callable[[], object] = lambda: None

    def __call__(self, check: str) -> CheckRun:
        self.before()
        return CheckRun(id=check, exit_code=self.exit_code, output=self.output, seconds=1.25)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    for path, content in FILES.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode())
    (root / "logo.png").write_bytes(b"\x89PNG\0\0")
    (root / "run.sh").chmod(0o755)
    (root / ".gitignore").write_text("ignored/\n")
    (root / "ignored").mkdir()
    (root / "ignored/made.txt").write_text("secret of a build\n")
    (root / "link").symlink_to("src/app.py")
    (root / "out").symlink_to("/etc")
    return root


def listed(root: Path) -> list[str]:
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    answer = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root,
        capture_output=True,
        check=True,
    )
    return answer.stdout.decode().split("\0")[:-1]


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
def box(root: Path, checks: Checks) -> Toolbox:
    return a_box(root, checks)


def a_box(root: Path, checks: Checks, **options: Any) -> Toolbox:
    return Toolbox(
        root,
        tracked=listed(root),
        run_check=checks,
        check_ids=["tests", "lint"],
        read_only=options.pop("read_only", False),
        protected=lambda path: "it steers the automation" if path.startswith(".github/") else None,
        **options,
    )


def good(box: Toolbox, name: str, **arguments: object) -> str:
    answer = box.call(name, arguments)
    assert not answer.is_error, answer.text
    return answer.text


def bad(box: Toolbox, name: str, **arguments: object) -> str:
    answer = box.call(name, arguments)
    assert answer.is_error, answer.text
    return answer.text


# --- definitions ---------------------------------------------------------------------------------


def schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for inner in schema.get("properties", {}).values():
        yield from schemas(inner)
    if "items" in schema:
        yield from schemas(schema["items"])


def test_one_schema_serves_both_providers(root, checks):
    """Every key is required, nothing else is allowed, what may be left out is nullable, and there are no bounds."""
    for spec in a_box(root, checks, with_answers=True).definitions():
        for schema in schemas(dict(spec.parameters)):
            assert schema.keys() <= {
                "type",
                "properties",
                "required",
                "additionalProperties",
                "items",
                "enum",
                "description",
            }
            if schema.get("type") == "object":
                assert list(schema["properties"]) == schema["required"]
                assert schema["additionalProperties"] is False
            if isinstance(schema["type"], list):
                assert schema["type"][1:] == ["null"]


def test_the_tools_are_those_of_the_design(root, checks):
    """All tools are offered for work, in a fixed order, and only reading ones for planning."""
    names = [
        "list_files",
        "search",
        "read_file",
        "edit_file",
        "write_file",
        "delete_file",
        "move_file",
        "run_check",
        "ask",
        "finish",
    ]

    assert names == [spec.name for spec in a_box(root, checks).definitions()]
    without = [spec.name for spec in a_box(root, checks, with_answers=True, can_ask=False).definitions()]
    assert without == [name for name in names if name != "ask"]
    assert names[:3] == [spec.name for spec in a_box(root, checks, read_only=True).definitions()]


def test_every_example_is_a_right_call(root, checks):
    """The example that teaches is itself accepted."""
    box = a_box(root, checks, with_answers=True)
    for tool in box._tools.values():
        example = {**tool.example, **({"id": "tests"} if tool.name == "run_check" else {})}
        assert not isinstance(box.checked(tool.name, example), ToolAnswer)


WRONG = [
    ("cat", {"path": "x"}, "Did you mean read_file?"),
    ("nothing_like_it", {}, "The tools are: list_files"),
    ("read_file", None, "no JSON object"),
    ("read_file", {"start": 1, "lines": 1}, "`path` is missing"),
    ("read_file", {"path": "x", "strat": 1}, "did you mean `start`?"),
    ("read_file", {"path": 7}, "`path` must be text, not int '7'"),
    ("read_file", {"path": "x", "start": "7"}, "`start` must be a whole number"),
    ("read_file", {"path": "x", "start": True}, "`start` must be a whole number"),
    ("edit_file", {"path": "x", "old": "a", "new": "b", "replace_all": "yes"}, "`replace_all` must be true or false"),
    ("run_check", {"id": "deploy"}, "one of 'tests', 'lint'"),
    ("ask", {"questions": "why?"}, "`questions` must be a list"),
    ("ask", {"questions": [1]}, "`questions[0]` must be text"),
    ("finish", {"outcome": "done", "summary": "s", "criteria": [{"text": "t", "status": "met"}]}, "`criteria[0].evidence` is missing"),
    ("finish", {"outcome": "success", "summary": "s", "criteria": []}, "one of 'done', 'no_change', 'partial'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arguments", "said"), WRONG, ids=[f"{w[0]}-{i}" for i, w in enumerate(WRONG)]
)
def test_a_wrong_call_is_answered_by_the_right_one(box, name, arguments, said):
    """Unknown tools and missing, unknown or mistyped arguments get an answer that teaches."""
    answer = box.call(name, arguments)

    assert answer.is_error
    assert said in answer.text
    if name in {"read_file", "edit_file", "run_check", "ask", "finish"}:
        assert f"A right call: {name} {{" in answer.text


def test_what_may_be_null_may_be_left_out(box):
    """A model that leaves out a nullable argument is understood."""
    assert "3 lines" in good(box, "read_file", path="README.md")


@given(name=st.sampled_from(["read_file", "edit_file", "search", "finish", "x"]), arguments=st.dictionaries(
    st.sampled_from(["path", "old", "new", "pattern", "outcome", "y"]),
    st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2), max_size=4))  # fmt: skip
def test_any_call_has_an_answer(tmp_path_factory, name, arguments):
    """Whatever is called with whatever, there is an answer and no exception."""
    place = tmp_path_factory.getbasetemp() / "empty"
    place.mkdir(exist_ok=True)
    box = Toolbox(
        place, tracked=[], run_check=Checks(), check_ids=[], read_only=False, protected=lambda _: None
    )

    assert isinstance(box.call(name, arguments), ToolAnswer)


# --- listing and searching -----------------------------------------------------------------------


def test_listing_shows_files_to_a_depth(box):
    """Files down to the depth are named, folders below it counted; ignored files are not there."""
    text = good(box, "list_files", path=None, depth=2)

    assert "src/app.py" in text
    assert "src/deep/ (1 files)" in text
    assert "ignored" not in text
    assert "link -> src/app.py (a symbolic link, not followed)" in text


def test_listing_a_folder_that_is_not_there_names_a_likely_one(box):
    """A wrong path is answered with a near one."""
    assert "Did you mean src/app.py?" in bad(box, "list_files", path="app.py", depth=1)


def test_a_listing_too_long_for_its_depth_is_made_less_deep(tmp_path, checks):
    """A large tree is shown by its folders before anything is left out."""
    for number in range(400):
        (tmp_path / f"p/f{number}").parent.mkdir(exist_ok=True)
        (tmp_path / f"p/f{number}").write_text("")

    text = good(a_box(tmp_path, checks), "list_files", depth=2)

    assert text == "the repository: 400 files (shown to depth 1, as there is too much)\np/ (400 files)"


def test_a_long_listing_says_what_it_leaves_out(tmp_path, checks):
    """A listing is capped and says how many entries are missing."""
    for number in range(400):
        (tmp_path / f"f{number}").write_text("")

    assert "[100 more entries left out" in good(a_box(tmp_path, checks), "list_files")


def test_a_submodule_is_shown_and_not_entered(root, checks):
    """A folder that git lists as one entry is a submodule."""
    (root / "vendor/lib").mkdir(parents=True)
    (root / "vendor/lib/a.c").write_text("int a;\n")
    box = Toolbox(
        root,
        tracked=["vendor/lib"],
        run_check=checks,
        check_ids=[],
        read_only=False,
        protected=lambda _: None,
    )

    assert "vendor/lib (a submodule)" in good(box, "list_files", depth=5)
    assert "submodule" in bad(box, "read_file", path="vendor/lib/a.c")
    assert "submodule" in bad(box, "write_file", path="vendor/lib/b.c", content="x\n")


def test_search_shows_hits_with_context(box):
    """Hits are shown with their line numbers, and the lines around them differently."""
    text = good(box, "search", pattern="return", path="src", context=1)

    assert text == "1 hits in 1 files\nsrc/app.py\n1-def add(a, b):\n2|    return a - b\n3-"


@pytest.mark.parametrize(
    ("pattern", "path", "hits"),
    [
        (r"def \w+\(", None, 3),
        ("add(", None, 4),
        ("add", "src", 2),
        ("add", "src/app.py", 2),
        ("add", "*.py", 5),
        ("add", "**/*.md", 1),
        ("two$", None, 1),
        (r"\Aone\Z", None, 1),
        ("(?i)SAMPLE", None, 1),
        ("build", "ignored/made.txt", 1),
        ("build", None, 0),
        ("PNG", None, 0),
    ],
)
def test_search_finds_lines(box, pattern, path, hits):
    """Regular expressions, plain text, folders and globs; ignored, binary and linked files are left out."""
    text = good(box, "search", pattern=pattern, path=path, context=None)

    assert text.startswith(f"{hits} hits" if hits else "No hits"), text


@pytest.mark.parametrize(
    "pattern", ["", "a*", "a\nb", "(a+)+$", "((a+)b)+", "(a|aa)+$", r"(\w+\s*)*x", "(?:a*){2,}"]
)
def test_a_pattern_that_cannot_be_searched_is_refused(pattern):
    """Patterns that match everything, nothing, or could take for ever are answered, not run."""
    assert isinstance(compiled(pattern), str)


@pytest.mark.parametrize(
    "pattern", [r"(foo|bar)\(", "a+b*", r"\(a+\)+", "[(a+)]+", r"(abc)+", "(a+)?b", "x{2,3}", "foo(", "*"]
)
def test_an_ordinary_pattern_is_searched(pattern):
    """Patterns that only resemble dangerous ones are searched."""
    assert not isinstance(compiled(pattern), str)


def test_search_is_capped_and_says_so(tmp_path, checks):
    """Many hits are counted but not all shown."""
    for number in range(30):
        (tmp_path / f"f{number:02}").write_text("needle\n" * 50)

    text = good(a_box(tmp_path, checks), "search", pattern="needle")

    assert text.startswith("1500 hits in 30 files; not all are shown")
    assert text.count("|needle") == 100


def test_search_stops_when_its_time_is_over(tmp_path, checks):
    """A search that takes too long says that it covered only a part."""
    for number in range(200):
        (tmp_path / f"f{number:03}").write_text("needle\n")
    ticks = iter(range(0, 1000, 6))

    text = good(a_box(tmp_path, checks, clock=lambda: next(ticks)), "search", pattern="needle")

    assert "ran out of time" in text


def test_search_is_fast_on_a_large_tree(tmp_path, checks):
    """Thousands of files are searched, by text and by expression, in seconds at most."""
    for folder in range(200 if os.environ.get("AI_RUNNER_FULL") == "1" else 20):
        place = tmp_path / f"pkg{folder}"
        place.mkdir()
        for number in range(100):
            (place / f"m{number}.py").write_bytes(b"def function(value):\n    return value\n" * 20)
    (tmp_path / "pkg7/m7.py").write_text("needle = 1\n")
    box = a_box(tmp_path, checks)
    started = time.process_time()

    assert good(box, "search", pattern="needle").startswith("1 hits")
    assert good(box, "search", pattern=r"need\w+ =").startswith("1 hits")
    assert time.process_time() - started < 8


# --- reading -------------------------------------------------------------------------------------


def test_reading_shows_numbered_lines_in_pages(box):
    """A page says where it stands and how to go on."""
    assert good(box, "read_file", path="./src/app.py", start=2, lines=2) == (
        "lines 2 to 3 of 6\n2|    return a - b\n3|\n[3 more lines; go on with start=4]"
    )


def test_reading_beyond_the_end_says_how_long_the_file_is(box):
    """A page that does not exist is answered with the length."""
    assert "has 6 lines" in bad(box, "read_file", path="src/app.py", start=7)


def test_reading_names_what_lines_do_not_show(box):
    """Line ends, byte-order mark, missing final newline and generated files are named."""
    assert "line ends are CRLF" in good(box, "read_file", path="src/win.txt")
    good(box, "write_file", path="x.js", content="// @generated\n\ufeffa")
    assert "no newline at the end; generated by a tool" in good(box, "read_file", path="x.js")


def test_a_large_page_is_cut_at_a_line(tmp_path, checks):
    """An answer is bounded, whatever the length and number of lines."""
    (tmp_path / "long").write_text(("x" * 5_000 + "\n") * 100)

    text = good(a_box(tmp_path, checks), "read_file", path="long")

    assert len(text) < 45_000
    assert "[... 3000 characters]" in text
    assert "go on with start=" in text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("logo.png", "is binary"),
        ("link", "symbolic link"),
        ("out/passwd", "symbolic link"),
        ("../x", "refused"),
        ("/etc/passwd", "absolute"),
        (".git/config", "git's own folder"),
        (".g\u200cit/config", "git's own folder"),
        ("src", "folder; list_files"),
        ("", "folder; list_files"),
        ("apps.py", "There is no `apps.py`"),
        ("a\0b", "control character"),
        ("check-output:tests", "no check ran yet"),
    ],
)
def test_what_cannot_be_read_is_said(box, path, said):
    """Links, paths out of the checkout, git's folder, binaries and absent files are refused with the reason."""
    assert said in bad(box, "read_file", path=path)


def test_a_named_pipe_does_not_hold_the_tools(root, box):
    """A pipe that a command left in the checkout is no file."""
    os.mkfifo(root / "pipe")

    assert "no regular file" in bad(box, "read_file", path="pipe")


# --- editing -------------------------------------------------------------------------------------


def test_an_edit_is_made_and_shown(root, box):
    """The answer shows how the file reads now; the file has exactly that."""
    good(box, "read_file", path="src/app.py")

    text = good(
        box,
        "edit_file",
        path="src/app.py",
        old="    return a - b\n",
        new="    return a + b\n",
        replace_all=None,
    )

    assert text == "Edited.\n+ 2|    return a + b"
    assert (root / "src/app.py").read_text() == FILES["src/app.py"].replace("a - b", "a + b")


def test_an_edit_that_breaks_the_syntax_is_reported(box):
    """The answer to a breaking edit says that the file was valid before."""
    assert "was valid before, is broken now: line 1" in good(
        box, "edit_file", path="src/app.py", old="def add(a, b):", new="def add(a, b:"
    )


def test_a_refused_edit_shows_the_real_lines(root, box):
    """A refusal leaves the file alone and quotes it."""
    text = bad(box, "edit_file", path="src/app.py", old="    return a * b\n", new="x\n")

    assert "2|    return a - b" in text
    assert (root / "src/app.py").read_text() == FILES["src/app.py"]


def test_an_unread_file_is_edited_only_exactly(box):
    """Without having read it, only an exact quote is trusted."""
    edit = {"path": "src/app.py", "old": "def main():\n  print(add(1, 2))\n", "new": "x = 1\n"}
    shifted = {"path": "src/app.py", "old": "  def main():\n      print(add(1, 2))\n", "new": "  x = 1\n"}

    bad(box, "edit_file", **edit)
    assert "You have not read it" in bad(box, "edit_file", **shifted)
    good(box, "read_file", path="src/app.py")
    assert "(`old` matched but for indentation)" in good(box, "edit_file", **shifted)


def test_an_edit_after_a_command_changed_the_file_is_refused(root, box, checks):
    """What a check rewrote has to be read again before it is edited."""
    good(box, "read_file", path="src/app.py")
    checks.before = lambda: (root / "src/app.py").write_text("rewritten = 1\n")
    good(box, "run_check", id="tests")

    assert "changed since you last saw it" in bad(
        box, "edit_file", path="src/app.py", old="rewritten", new="x"
    )
    good(box, "read_file", path="src/app.py")
    good(box, "edit_file", path="src/app.py", old="rewritten", new="x")


def test_an_existing_file_is_overwritten_only_after_reading(root, box):
    """A file that was not read is not replaced; a read one keeps its line ends."""
    assert "you have not read it" in bad(box, "write_file", path="src/win.txt", content="three\n")
    good(box, "read_file", path="src/win.txt")
    good(box, "write_file", path="src/win.txt", content="one\nthree\n")

    assert (root / "src/win.txt").read_bytes() == b"one\r\nthree\r\n"


REFUSED_WRITES = [
    ("write_file", {"path": ".github/workflows/x.yml", "content": "a"}, "it steers the automation"),
    (
        "edit_file",
        {"path": ".github/workflows/ci.yml", "old": "push", "new": "x"},
        "it steers the automation",
    ),
    ("delete_file", {"path": ".github/workflows/ci.yml"}, "it steers the automation"),
    ("move_file", {"path": "run.sh", "to": ".github/run.sh"}, "it steers the automation"),
    ("move_file", {"path": ".github/workflows/ci.yml", "to": "ci.yml"}, "it steers the automation"),
    ("write_file", {"path": ".git/hooks/pre-commit", "content": "a"}, "git's own folder"),
    ("write_file", {"path": "a:b", "content": "a"}, "colon"),
    ("write_file", {"path": "nul.txt", "content": "a"}, "device"),
    ("write_file", {"path": "../x", "content": "a"}, "refused"),
    ("write_file", {"path": "out/x", "content": "a"}, "links are not followed"),
    ("write_file", {"path": "README.MD", "content": "a"}, "one name on some systems"),
    ("write_file", {"path": "SRC/new.py", "content": "a"}, "one name on some systems"),
    ("write_file", {"path": "README.md/x", "content": "a"}, "not a folder"),
    ("write_file", {"path": "new.py", "content": "a = 1\n# rest of the file\n"}, "left out"),
    ("write_file", {"path": "new.py", "content": "a\0"}, "U+0000"),
    ("write_file", {"path": "link", "content": "a"}, "symbolic link"),
    ("edit_file", {"path": "link", "old": "def", "new": "x"}, "symbolic link"),
    ("edit_file", {"path": "logo.png", "old": "PNG", "new": "x"}, "binary"),
    ("edit_file", {"path": "ignored/made.txt", "old": "secret", "new": "x"}, "not part of the repository"),
    ("edit_file", {"path": "none.py", "old": "a", "new": "b"}, "There is no `none.py`"),
    ("delete_file", {"path": "link"}, "symbolic link"),
    ("delete_file", {"path": "none.py"}, "There is no"),
    ("move_file", {"path": "run.sh", "to": "README.md"}, "exists"),
]


@pytest.mark.parametrize(
    ("name", "arguments", "said"), REFUSED_WRITES, ids=[f"{w[0]}-{i}" for i, w in enumerate(REFUSED_WRITES)]
)
def test_what_may_not_be_changed_is_refused_with_the_reason(root, box, name, arguments, said):
    """Protected, foreign, colliding and linked paths are refused, and nothing is written."""
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    assert said in bad(box, name, **arguments)
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert box.workspace.changes() == ()


def test_files_that_would_make_a_bare_repository_are_refused(box):
    """The last of the files that git takes for a repository is not written."""
    good(box, "write_file", path="sub/HEAD", content="ref: refs/heads/main\n")
    good(box, "write_file", path="sub/objects/x", content="x\n")

    assert "git repository" in bad(box, "write_file", path="sub/refs/x", content="x\n")


def test_a_link_planted_in_the_way_is_not_followed(root, box, checks, tmp_path):
    """A folder that a command replaces by a link leads nowhere."""
    (tmp_path / "elsewhere").mkdir()
    good(box, "write_file", path="new/a.txt", content="a\n")

    def plant():
        (root / "new/a.txt").unlink()
        (root / "new").rmdir()
        (root / "new").symlink_to(tmp_path / "elsewhere")

    checks.before = plant
    good(box, "run_check", id="tests")

    assert "symbolic link" in bad(box, "write_file", path="new/b.txt", content="b\n")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    with pytest.raises(Refused):
        box.workspace.changes()


# --- changes -------------------------------------------------------------------------------------


def test_changes_are_the_difference_to_the_start(box):
    """Edits, new files, deletions and moves, with their modes, by path."""
    good(box, "edit_file", path="src/app.py", old="a - b", new="a + b")
    good(box, "write_file", path="docs/new.md", content="# New\n")
    good(box, "delete_file", path="README.md")
    good(box, "move_file", path="run.sh", to="bin/run.sh")

    assert box.workspace.changes() == (
        FileChange(path="README.md", content=None),
        FileChange(path="bin/run.sh", content=FILES["run.sh"].encode(), mode="100755"),
        FileChange(path="docs/new.md", content=b"# New\n"),
        FileChange(path="run.sh", content=None),
        FileChange(path="src/app.py", content=FILES["src/app.py"].replace("a - b", "a + b").encode()),
    )


def test_the_mode_of_an_edited_file_is_kept(root, box):
    """An executable file stays executable."""
    good(box, "edit_file", path="run.sh", old="hi", new="ho")

    assert [change.mode for change in box.workspace.changes()] == ["100755"]
    assert os.access(root / "run.sh", os.X_OK)


def test_what_was_undone_is_no_change(box):
    """Files edited there and back, created and deleted, moved and moved back do not count."""
    good(box, "edit_file", path="src/app.py", old="a - b", new="a + b")
    good(box, "edit_file", path="src/app.py", old="a + b", new="a - b")
    good(box, "write_file", path="x/y", content="a\n")
    good(box, "delete_file", path="x/y")
    good(box, "move_file", path="run.sh", to="go.sh")
    good(box, "move_file", path="go.sh", to="run.sh")

    assert box.workspace.changes() == ()


def test_what_a_check_rewrote_in_a_touched_file_counts(root, box, checks):
    """What is handed over is what the checks ran on, a formatter's work included."""
    good(box, "edit_file", path="src/app.py", old="a - b", new="a+b")
    checks.before = lambda: (root / "src/app.py").write_text("formatted\n")
    good(box, "run_check", id="lint")

    assert [change.content for change in box.workspace.changes()] == [b"formatted\n"]


def test_new_files_are_listed_and_deleted_ones_not(box):
    """The tools show the tree as it is now, without asking git."""
    good(box, "write_file", path="docs/new.md", content="needle\n")
    good(box, "delete_file", path="README.md")

    text = good(box, "list_files", depth=5)
    assert "docs/new.md" in text
    assert "README.md" not in text
    assert good(box, "search", pattern="needle").startswith("1 hits")


def test_the_revision_tells_whether_files_changed(box):
    """Reading and failing leave the revision, each change raises it."""
    good(box, "read_file", path="src/app.py")
    bad(box, "edit_file", path="src/app.py", old="nope", new="x")
    before = box.workspace.revision
    good(box, "edit_file", path="src/app.py", old="a - b", new="a + b")

    assert (before, box.workspace.revision) == (0, 1)


def test_writing_the_same_content_changes_nothing(box):
    """A file written as it is raises no revision."""
    good(box, "read_file", path="README.md")
    good(box, "write_file", path="README.md", content=FILES["README.md"])

    assert (box.workspace.revision, box.workspace.changes()) == (0, ())


def test_identical_failures_are_counted(box):
    """The same call failing with the same answer is counted until a file changes."""
    for _ in range(3):
        bad(box, "edit_file", path="src/app.py", old="nope", new="x")
        good(box, "read_file", path="src/app.py")
    bad(box, "read_file", path="nope")

    assert box.identical_failures == 3
    good(box, "edit_file", path="src/app.py", old="a - b", new="a + b")
    assert box.identical_failures == 0


def test_a_refused_disk_is_an_answer(root, box, monkeypatch):
    """An error of the file system is told, not raised."""

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Jail, "write", full)

    assert "No space left on device" in bad(box, "write_file", path="x", content="x\n")


# --- checks --------------------------------------------------------------------------------------


def test_a_check_is_answered_with_colour_and_output(box, checks):
    """A red check is a result, not an error of the tool."""
    checks.exit_code, checks.output = 1, "1 failed\n"

    assert (
        good(box, "run_check", id="tests")
        == "Check tests is red: it ended with exit code 1 after 1.2 s.\n1 failed"
    )


def test_a_long_output_is_cut_and_can_be_read_on_demand(box, checks):
    """Head and tail are shown within bounds; the rest is a file to page through."""
    checks.output = "".join(f'line {number} \u4e16\u754c "quoted"\n' for number in range(1, 100_001))

    text = good(box, "run_check", id="tests")

    assert len(json.dumps(text).encode()) < 9_000
    assert len(json.dumps(text, ensure_ascii=False).encode()) < 5_200
    assert "of 100000 are left out; read_file check-output:tests shows them" in text
    assert "\nline 100000 " in text
    page = good(box, "read_file", path="check-output:tests", start=50_000, lines=2)
    assert page.startswith("lines 50000 to 50001 of 100000\n50000|line 50000 ")


def test_the_whole_output_is_used_where_there_is_one(root, checks):
    """A check's own cut output gives way to the whole one that was kept elsewhere."""
    box = a_box(root, checks, full_output={"tests": "whole\n"}.get)
    good(box, "run_check", id="tests")

    assert good(box, "read_file", path="check-output:tests").endswith("1|whole")


def test_terminal_control_is_not_shown(box, checks):
    """Colours and cursor movements are removed, a rewritten line becomes lines."""
    checks.output = "\x1b[31mred\x1b[0m 10%\r20%\r\n\x1b]0;title\x07done\x08\n"

    assert good(box, "run_check", id="tests").endswith("\nred 10%\n20%\ndone")


@pytest.mark.parametrize(
    "output",
    ["x" * 3_000_000, "x\n" * 1_000_000, '"\\' * 100_000, "\u4e16" * 50_000, "a\n" * 10 + "y" * 10_000],
)
def test_an_output_is_cut_within_its_bound(output):
    """Whatever the shape of an output, what is shown stays within the bound of a request."""
    assert len(json.dumps(shortened(output, "x"), ensure_ascii=False).encode()) < 5_000


# --- the jail itself -----------------------------------------------------------------------------


def test_a_jailed_path_lies_under_the_root(root):
    """A plain path, existing or not, is a path under the root."""
    assert jailed(root, "src/app.py") == root / "src/app.py"
    assert jailed(root, "new/folder/x") == root / "new/folder/x"


@pytest.mark.parametrize("path", ["link", "out/passwd", "../x", "/x", ".git/config", "README.md/x", "a:b"])
def test_a_path_through_a_link_or_out_of_the_root_is_refused(root, path):
    """Links are not followed at any component."""
    with pytest.raises(Refused):
        jailed(root, path)


def test_a_written_file_is_never_half_there(root, monkeypatch):
    """If writing fails, the old file stands and nothing else is left."""
    jail = Jail(root)
    before = sorted(path.name for path in root.iterdir())

    def fails(*_args, **_options):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="Input/output"):
        jail.write("README.md", b"new\n", "100644")

    assert (root / "README.md").read_text() == FILES["README.md"]
    assert before == sorted(path.name for path in root.iterdir())


def test_a_file_with_two_names_is_changed_under_one(root):
    """Writing replaces a name, so that a hard link to a file elsewhere leaves that file alone."""
    os.link(root / "README.md", root.parent / "other")
    Jail(root).write("README.md", b"new\n", "100644")

    assert (root.parent / "other").read_text() == FILES["README.md"]


# --- any sequence of calls -----------------------------------------------------------------------

some_paths = st.sampled_from(["a.txt", "b.txt", "d/c.txt", "d/e/f.txt", "A.TXT", "../x", "link", ".git/x"])
some_texts = st.sampled_from(["one\n", "two\n", "one\ntwo\n", "", "x"])
some_calls = st.one_of(
    st.tuples(st.just("write_file"), st.fixed_dictionaries({"path": some_paths, "content": some_texts})),
    st.tuples(st.just("read_file"), st.fixed_dictionaries({"path": some_paths})),
    st.tuples(st.just("delete_file"), st.fixed_dictionaries({"path": some_paths})),
    st.tuples(st.just("move_file"), st.fixed_dictionaries({"path": some_paths, "to": some_paths})),
    st.tuples(
        st.just("edit_file"),
        st.fixed_dictionaries(
            {"path": some_paths, "old": some_texts, "new": some_texts, "replace_all": st.booleans()}
        ),
    ),
)


@given(st.lists(some_calls, max_size=15))
def test_start_and_changes_make_the_tree(calls):
    """After any calls, the changes put on the start give exactly the files on disk, and nothing lies outside."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "checkout"
        (root / "d").mkdir(parents=True)
        start = {"a.txt": b"one\ntwo\n", "d/c.txt": b"x\r\n"}
        for path, data in start.items():
            (root / path).write_bytes(data)
        (root / "link").symlink_to(Path(folder) / "outside")
        box = Toolbox(
            root,
            tracked=[*start, "link"],
            run_check=Checks(),
            check_ids=[],
            read_only=False,
            protected=lambda _: None,
        )
        for name, arguments in calls:
            box.call(name, arguments)

        expected = dict(start)
        for change in box.workspace.changes():
            assert change.content != start.get(change.path)
            if change.content is None:
                del expected[change.path]
            else:
                expected[change.path] = change.content
        on_disk = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and not path.is_symlink()
        }
        assert expected == on_disk
        assert [path.name for path in Path(folder).iterdir()] == ["checkout"]
