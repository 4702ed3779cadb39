"""What can be said about finished work without believing anybody: measured criteria, and changes to look at closely.

A criterion counts as measured when its evidence names a check that is green on the files as they are. Where it names
a test, that test must moreover be shown to have run: a green check printed its file or its name, or the work touched
its file and a check that runs tests is green. Everything else is the model's claim and marked as such.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from pathlib import PurePosixPath

from runner.core.work import CheckRun, Criterion, FileChange

MAX_WARNINGS = 20
MANY_LINES = 50
MOST_OF_IT = 0.5
ALIKE = 0.85

_PATH = re.compile(r"[\w@+-]*[\w./@+-]*\.[A-Za-z][A-Za-z0-9]{0,9}\b|[\w@+.-]+(?:/[\w@+.-]+)+")
_TEST_PATH = re.compile(r"(?:^|[/_.-])(?:tests?|specs?|__tests__)(?:[/_.-]|$)|[a-z0-9]Tests?\.", re.ASCII)
_TEST_NAME = re.compile(r"\b(?:test_\w+|Test[A-Z]\w*|\w+[a-z0-9]Tests?)\b(?![./])")
_RUNS_TESTS = re.compile(r"tests?\b|specs?\b|\btox\b|\bnox\b", re.IGNORECASE)
_WORDS = re.compile(r"[a-z0-9]+")
_SKIPS = re.compile(
    r"pytest\.mark\.(?:skip|xfail)|unittest\.skip|\b(?:it|test|describe)\.(?:skip|todo)\(|\bxit\(|"
    r"@Disabled\b|@Ignore\b|\bt\.Skip\("
)

# Names that others can use, and tests, in languages that are not parsed. Each pattern has one group: the name.
_NAMES: Mapping[tuple[str, ...], tuple[str, ...]] = {
    (".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".vue"): (
        r"^\s*export\s+(?:default\s+)?(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?"
        r"(?:function\*?|class|const|let|var|interface|type|enum)\s+(\w+)",
        r"^\s*(?:it|test|describe)(?:\.\w+)?\(\s*['\"`]([^'\"`\n]{1,120})['\"`]",
    ),
    (".go",): (r"^func\s+(?:\([^)]*\)\s*)?([A-Z]\w*)\s*[(\[]", r"^type\s+([A-Z]\w*)\b"),
    (".rs",): (
        r"^\s*pub\s+(?:async\s+)?(?:fn|struct|enum|trait|type|const)\s+(\w+)",
        r"#\[test\]\s*\n\s*(?:async\s+)?fn\s+(\w+)",
    ),
    (".java", ".kt", ".cs", ".scala"): (
        r"^\s*public\s+(?:[\w<>\[\],?]+\s+)*?(\w+)\s*(?:\(|\{|extends\b|implements\b)",
        r"@Test\b[^\n]*\n\s*(?:[\w<>]+\s+)*(\w+)\s*\(",
    ),
    (".rb",): (r"^\s*def\s+(?:self\.)?(\w+[?!]?)", r"^\s*(?:class|module)\s+([\w:]+)"),
    (".php",): (
        r"^\s*(?:public\s+)?(?:static\s+)?function\s+(\w+)",
        r"^\s*(?:final\s+|abstract\s+)?class\s+(\w+)",
    ),
}
_COMPILED = {
    suffix: tuple(re.compile(pattern, re.MULTILINE) for pattern in patterns)
    for suffixes, patterns in _NAMES.items()
    for suffix in suffixes
}


# --- acceptance ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is known of the files as they are: their paths, the checks' newest runs, and which were red before.

    ``touched`` are the paths that the work changed, ``commands`` the checks' lines by id.
    """

    paths: Collection[str]
    checks: Sequence[CheckRun]
    red_before: Collection[str] = ()
    touched: Collection[str] = ()
    commands: Mapping[str, str] = field(default_factory=dict)

    @property
    def green(self) -> Sequence[CheckRun]:
        """The checks that are green."""
        return [run for run in self.checks if run.is_green]

    def runs_tests(self, run: CheckRun) -> bool:
        """Whether a check is one of tests, by its id or its command; a linter is green whatever they say."""
        return _RUNS_TESTS.search(f"{run.id} {self.commands.get(run.id, '')}".replace("_", " ")) is not None


def acceptance_table(
    criteria: Iterable[Criterion], wanted: Sequence[str], measured: Measured
) -> tuple[Criterion, ...]:
    """Every criterion with its standing; a wanted one that nobody spoke of is left to a person."""
    judged = [_judged(one, measured) for one in criteria]
    silent = [text for text in wanted if not any(_is_same(text, one.text) for one in judged)]
    missing = [
        Criterion(
            text=text,
            status="needs a person",
            evidence="The model did not say how this is met.",
            claimed=False,
        )
        for text in silent
    ]
    return (*judged, *missing)


def _judged(one: Criterion, measured: Measured) -> Criterion:
    if one.status != "met":
        return replace(one, claimed=True)
    named = [run for run in measured.checks if _names(run.id, one.evidence)]
    red = [run.id for run in named if not run.is_green]
    if red:
        told = _added(one.evidence, f"`{red[0]}` is red")
        known = red[0] in measured.red_before
        return replace(one, status="needs a person" if known else "not met", evidence=told, claimed=False)
    paths = _PATH.findall(one.evidence)
    files = [path for path in paths if path in measured.paths]
    lost = [path for path in paths if "/" in path and not _exists(path, measured.paths)]
    if lost and not files:
        return replace(
            one, status="needs a person", evidence=_added(one.evidence, f"there is no `{lost[0]}`")
        )
    tests = [path for path in files if is_test(path)]
    names = _TEST_NAME.findall(one.evidence)
    if tests or names:
        fact = _shown(tests, names, measured)
        return replace(one, evidence=_added(one.evidence, fact), claimed=False) if fact else _claim(one)
    if named:
        return replace(one, evidence=_added(one.evidence, f"`{named[0].id}` is green"), claimed=False)
    return _claim(one)


def _claim(one: Criterion) -> Criterion:
    return replace(one, claimed=True)


def _shown(tests: Sequence[str], names: Sequence[str], measured: Measured) -> str:
    """What shows that these tests ran and passed; empty when nothing does."""
    printed = re.compile("|".join(rf"(?<![\w/]){re.escape(one)}(?!\w)" for one in (*tests, *names)))
    for run in measured.green:
        if found := printed.search(run.output):
            return f"`{run.id}` ran `{found[0]}` and is green"
    touched = [path for path in tests if path in measured.touched]
    running = [run for run in measured.green if measured.runs_tests(run)]
    return f"changed here, and `{running[0].id}` is green" if touched and running else ""


def _names(check: str, evidence: str) -> bool:
    """Whether an evidence speaks of a check by its id, in backticks, after the word, or as a word of its own."""
    pattern = rf"`{re.escape(check)}`|\bchecks?\W+`?{re.escape(check)}\b|\b{re.escape(check)}`?\W+checks?\b"
    return re.search(pattern, evidence, re.IGNORECASE) is not None or evidence.strip() == check


def _exists(path: str, paths: Collection[str]) -> bool:
    return path in paths or any(one.endswith(f"/{path}") or one.startswith(f"{path}/") for one in paths)


def _added(evidence: str, fact: str) -> str:
    return f"{evidence.rstrip(' .')} ({fact})" if evidence.strip() else fact


def _is_same(wanted: str, said: str) -> bool:
    first, second = _folded(wanted), _folded(said)
    if not first or not second:
        return False
    if first in second or (second in first and len(second) * 2 > len(first)):
        return True
    return SequenceMatcher(None, first, second).ratio() >= ALIKE


def _folded(text: str) -> str:
    return " ".join(_WORDS.findall(text.casefold()))


def is_test(path: str) -> bool:
    """Whether a path looks like that of a test."""
    return _TEST_PATH.search(path) is not None


# --- what to look at closely -----------------------------------------------------------------------------


def warnings_of(changes: Sequence[FileChange], originals: Mapping[str, bytes | None]) -> tuple[str, ...]:
    """Large deletions, removed public names and tests, and tests that are skipped now; names that moved are not removed.

    ``originals`` gives every touched path as it was before the work.
    """
    before = {change.path: _text(originals.get(change.path)) for change in changes}
    after = {change.path: _text(change.content) for change in changes}
    now = {name for path, text in after.items() for name in _names_in(path, text)}
    found: list[str] = []
    for change in changes:
        path, old, new = change.path, before[change.path], after[change.path]
        found += _deletion(path, old, new, is_gone=change.content is None)
        gone = sorted(_names_in(path, old) - now)
        tests = [name for kind, name in gone if kind == "test"]
        public = [name for kind, name in gone if kind == "name"]
        found += [f"Tests removed from `{path}`: {_listed(tests)}."] if tests else []
        found += [f"Public names removed from `{path}`: {_listed(public)}."] if public else []
        if len(_SKIPS.findall(new)) > len(_SKIPS.findall(old)):
            found.append(f"Tests in `{path}` are skipped or expected to fail now.")
    left_out = len(found) - MAX_WARNINGS
    return (*found[:MAX_WARNINGS], *([f"And {left_out} more of this kind."] if left_out > 0 else []))


def _text(data: bytes | None) -> str:
    return "" if data is None or b"\0" in data else data.decode("utf-8", "replace")


def _deletion(path: str, old: str, new: str, *, is_gone: bool) -> list[str]:
    lines = old.splitlines()
    if is_gone:
        return [f"`{path}` is deleted ({len(lines)} lines)."]
    if len(lines) < MANY_LINES:
        return []
    kept = set(new.splitlines())
    removed = sum(line not in kept for line in lines if line.strip())
    if removed < MANY_LINES or removed < MOST_OF_IT * len(lines):
        return []
    return [f"`{path}` loses {removed} of its {len(lines)} lines."]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name[:60]}`" for name in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _names_in(path: str, text: str) -> set[tuple[str, str]]:
    """Pairs of kind (``test`` or ``name``) and name that a file gives to others."""
    suffix = PurePosixPath(path).suffix
    if suffix in (".py", ".pyi"):
        found = _python_names(text)
        if found is not None:
            return {("test" if _is_test_name(name) else "name", name) for name in found}
    in_test = is_test(path)
    names = {match for pattern in _COMPILED.get(suffix, ()) for match in pattern.findall(text)}
    return {("test" if in_test else "name", name) for name in names}


def _is_test_name(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last.startswith(("test_", "Test")) or last == "test"


def _python_names(text: str) -> set[str] | None:
    """Public functions, classes, their public methods and module values; ``None`` when it does not parse."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return {name for node in module.body for name in _given(node)}


def _given(node: ast.stmt) -> Iterable[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if not name.startswith("_"):
            yield name
        case ast.ClassDef(name=name, body=body) if not name.startswith("_"):
            yield name
            for inner in body:
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)) and not inner.name.startswith(
                    "_"
                ):
                    yield f"{name}.{inner.name}"
        case ast.Assign(targets=targets):
            yield from (one.id for one in targets if isinstance(one, ast.Name) and not one.id.startswith("_"))
        case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
            yield name
        case _:
            return
