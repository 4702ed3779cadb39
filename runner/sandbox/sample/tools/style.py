"""Check the house style: short lines, no stray blanks, a docstring for whatever is public."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

LONGEST = 105
ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Print what is wrong; 0 when nothing is."""
    problems = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in sorted(ROOT.glob("t*/*.py"))
        for line, what in judge(path.read_text(encoding="utf-8"))
    ]
    print("\n".join(problems) or "The style is fine.")
    return 1 if problems else 0


def judge(text: str) -> Iterator[tuple[int, str]]:
    """Pairs of a line's number and what is wrong there."""
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > LONGEST:
            yield number, f"longer than {LONGEST} characters"
        if line != line.rstrip() or "\t" in line:
            yield number, "stray blanks or tabs"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module):
            if ast.get_docstring(node) is None:
                yield 1, "the module has no docstring"
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            if not node.name.startswith("_") and ast.get_docstring(node) is None:
                yield node.lineno, f"{node.name} has no docstring"


if __name__ == "__main__":
    sys.exit(main())
