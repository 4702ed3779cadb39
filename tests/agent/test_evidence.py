"""What counts as measured, what stays a claim, and which changes a reviewer is pointed to."""

from __future__ import annotations

import pytest

from runner.agent.evidence import MAX_WARNINGS, Measured, acceptance_table, is_test, warnings_of
from runner.core.work import CheckRun, Criterion, FileChange

PATHS = ("src/app.py", "tests/test_app.py", "docs/use.md")


def run(id: str = "tests", exit_code: int = 0) -> CheckRun:  # noqa: A002
    return CheckRun(id=id, exit_code=exit_code, output="", seconds=1.0)


def printing(output: str, id: str = "tests") -> CheckRun:  # noqa: A002
    return CheckRun(id=id, exit_code=0, output=f"collected 2 items\n{output}\n", seconds=1.0)


def criterion(evidence: str, status: str = "met", text: str = "It adds") -> Criterion:
    return Criterion(text=text, status=status, evidence=evidence)  # type: ignore[arg-type]


def judged(
    evidence: str, *runs: CheckRun, status: str = "met", red_before: tuple[str, ...] = ()
) -> tuple[str, bool]:
    measured = Measured(paths=PATHS, checks=runs, red_before=red_before)
    one = acceptance_table([criterion(evidence, status)], [], measured)[0]
    return one.status, one.claimed


@pytest.mark.parametrize(
    ("evidence", "runs", "expected"),
    [
        ("check `tests`", (run(),), ("met", False)),
        ("the tests check passes", (run(),), ("met", False)),
        ("tests", (run(),), ("met", False)),
        ("`tests` passes", (run(exit_code=1),), ("not met", False)),
        ("tests/test_app.py", (run(),), ("met", True)),
        ("tests/test_app.py", (printing("tests/test_app.py .."),), ("met", False)),
        ("tests/test_app.py", (printing("tests/test_app.py .."), run("style", 1)), ("met", False)),
        ("tests/test_app.py", (printing("more/tests/test_app.py .."),), ("met", True)),
        ("tests/test_app.py", (printing("tests/test_app.pyc"),), ("met", True)),
        ("test_adds in tests/test_app.py", (printing("test_adds PASSED"), run("style")), ("met", False)),
        ("test_adds in tests/test_app.py", (printing("test_adds_two PASSED"),), ("met", True)),
        ("the test TestAdds", (printing("--- PASS: TestAdds (0.00s)"),), ("met", False)),
        ("check `tests` runs tests/test_app.py", (run(),), ("met", True)),
        ("check `tests` runs tests/test_absent.py", (run(),), ("needs a person", True)),
        ("tests/test_app.py", (), ("met", True)),
        ("src/app.py", (run(),), ("met", True)),
        ("tests/test_absent.py", (run(),), ("needs a person", True)),
        ("I looked at it", (run(),), ("met", True)),
        ("", (run(),), ("met", True)),
    ],
)
def test_evidence_is_measured_or_claimed(
    evidence: str, runs: tuple[CheckRun, ...], expected: tuple[str, bool]
) -> None:
    """A green check measures, and a test that one is shown to have run; a red check contradicts; the rest is claimed."""
    assert judged(evidence, *runs) == expected


@pytest.mark.parametrize(
    ("check", "command", "touched", "expected"),
    [
        ("tests", "make all", ("tests/test_app.py",), ("met", False)),
        ("unit", "python -m pytest -q", ("tests/test_app.py",), ("met", False)),
        ("unit", "npm run test:unit", ("tests/test_app.py",), ("met", False)),
        ("style", "ruff check .", ("tests/test_app.py",), ("met", True)),
        ("tests", "make all", ("src/app.py",), ("met", True)),
    ],
)
def test_a_quiet_check_shows_the_tests_that_the_work_itself_touched(
    check: str, command: str, touched: tuple[str, ...], expected: tuple[str, bool]
) -> None:
    """A runner that prints no names is believed for tests that came with the work, a linter is not."""
    measured = Measured(paths=PATHS, checks=(run(check),), touched=touched, commands={check: command})
    (one,) = acceptance_table([criterion("tests/test_app.py")], [], measured)

    assert (one.status, one.claimed) == expected


def test_the_table_says_what_was_measured() -> None:
    """A reader sees which check showed it, and how."""
    printed = Measured(paths=PATHS, checks=(printing("tests/test_app.py .."),))
    touched = Measured(paths=PATHS, checks=(run(),), touched=("tests/test_app.py",))

    assert [
        acceptance_table([criterion("tests/test_app.py")], [], one)[0].evidence for one in (printed, touched)
    ] == [
        "tests/test_app.py (`tests` ran `tests/test_app.py` and is green)",
        "tests/test_app.py (changed here, and `tests` is green)",
    ]


def test_a_check_red_before_the_work_leaves_the_judgement_to_a_person() -> None:
    """A check that was red anyway neither shows nor refutes."""
    assert judged("check `tests`", run(exit_code=1), red_before=("tests",)) == ("needs a person", False)


@pytest.mark.parametrize("status", ["not met", "needs a person"])
def test_what_the_model_does_not_call_met_stays_its_word(status: str) -> None:
    """Nothing is turned into met."""
    assert judged("check `tests`", run(), status=status) == (status, True)


def test_a_criterion_nobody_spoke_of_needs_a_person() -> None:
    """Every wanted criterion is in the table; small differences in wording do not double it."""
    said = [criterion("tests", text="It adds two prices.")]
    table = acceptance_table(
        said, ["it adds two prices", "It has docs"], Measured(paths=PATHS, checks=(run(),))
    )

    assert [(one.text, one.status) for one in table] == [
        ("It adds two prices.", "met"),
        ("It has docs", "needs a person"),
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/test_a.py", True),
        ("a/b_test.go", True),
        ("src/price.spec.ts", True),
        ("src/PriceTest.java", True),
        ("src/contest.py", False),
        ("src/latest/a.py", False),
    ],
)
def test_tests_are_known_by_their_paths(path: str, expected: bool) -> None:
    """A path tells whether a file holds tests."""
    assert is_test(path) is expected


# --- warnings ----------------------------------------------------------------------------------------


def warned(path: str, before: str | None, after: str | None) -> tuple[str, ...]:
    change = FileChange(path=path, content=None if after is None else after.encode())
    return warnings_of([change], {path: None if before is None else before.encode()})


def test_a_deleted_file_and_its_names_are_told() -> None:
    """A deletion names the file, its length and the tests that go with it."""
    assert warned("tests/test_a.py", "def test_one():\n    pass\n", None) == (
        "`tests/test_a.py` is deleted (2 lines).",
        "Tests removed from `tests/test_a.py`: `test_one`.",
    )


def test_a_file_that_loses_most_of_its_lines_is_told() -> None:
    """Large deletions inside a file are named with their size; small ones are not."""
    long = "".join(f"line {at}\n" for at in range(100))

    assert warned("a.txt", long, "line 0\n") == ("`a.txt` loses 99 of its 100 lines.",)
    assert warned("a.txt", long, long.replace("line 5\n", "")) == ()


@pytest.mark.parametrize(
    ("path", "before", "name"),
    [
        ("a.py", "def total(): ...\n", "total"),
        ("a.py", "class Price:\n    def cents(self): ...\n", "Price"),
        ("a.py", "LIMIT = 1\n", "LIMIT"),
        ("a.ts", "export function total() {}\n", "total"),
        ("a.ts", "export default class Price {}\n", "Price"),
        ("a.go", "func Total() int {\n", "Total"),
        ("a.rs", "pub fn total() {}\n", "total"),
        ("A.java", "public class Price {\n", "Price"),
        ("a.rb", "def total\nend\n", "total"),
        ("a.php", "public function total() {}\n", "total"),
    ],
)
def test_removed_public_names_are_told(path: str, before: str, name: str) -> None:
    """What others could use and can no more is named, in many languages."""
    found = warned(path, before, "\n")

    assert len(found) == 1
    assert f"`{name}`" in found[0]
    assert found[0].startswith("Public names removed")


@pytest.mark.parametrize(
    ("path", "before"),
    [
        ("tests/a.test.ts", "it('adds two', () => {})\n"),
        ("tests/test_a.py", "class TestA:\n    def test_one(self): ...\n"),
    ],
)
def test_removed_tests_are_told(path: str, before: str) -> None:
    """A test that is gone is called a test."""
    assert warned(path, before, "\n")[0].startswith(f"Tests removed from `{path}`")


def test_private_and_moved_names_are_no_news() -> None:
    """A private name may go, and a name that now stands in another changed file is not removed."""
    changes = [FileChange(path="a.py", content=b"\n"), FileChange(path="b.py", content=b"def total(): ...\n")]

    assert warned("a.py", "def _total(): ...\n", "\n") == ()
    assert warnings_of(changes, {"a.py": b"def total(): ...\n", "b.py": None}) == ()


def test_a_test_that_is_skipped_now_is_told() -> None:
    """Green by skipping is said."""
    before = "def test_a(): ...\n"

    assert warned("tests/test_a.py", before, f"@pytest.mark.skip\n{before}") == (
        "Tests in `tests/test_a.py` are skipped or expected to fail now.",
    )


def test_python_that_does_not_parse_and_binary_files_do_no_harm() -> None:
    """What cannot be read is not judged."""
    assert warned("a.py", "def total(:\n", "\n") == ()
    assert warnings_of([FileChange(path="a.bin", content=b"\0")], {"a.bin": b"\0\0"}) == ()


def test_many_warnings_are_capped_and_counted() -> None:
    """A long list says how much more there is."""
    changes = [FileChange(path=f"{at}.txt", content=None) for at in range(MAX_WARNINGS + 3)]
    found = warnings_of(changes, {change.path: b"x" for change in changes})

    assert found[-1] == "And 3 more of this kind."
