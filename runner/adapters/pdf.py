"""The words of a PDF, by pypdf in a child process that can hold nothing and take little.

A PDF is a program for its reader, and a foreign one may be made to exhaust it. The child has an empty environment,
bounded time and bounded memory; whatever happens to it is a file that was not read.
"""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import suppress

from runner.errors import Conflict

MAX_PAGES = 100
MAX_CHARACTERS = 200_000
SECONDS = 20
MEMORY_BYTES = 1024 * 1024 * 1024


def text(data: bytes, *, seconds: float = SECONDS) -> str:
    """The text of a PDF, page by page. Raises Conflict, worded about the file, when it cannot be had."""
    if not data[:1024].lstrip().startswith(b"%PDF-"):
        raise Conflict("It is not a PDF.")
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-c", "from runner.adapters.pdf import main; main()"],
            input=data,
            capture_output=True,
            timeout=seconds,
            env={},
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise Conflict(f"It takes longer than {seconds:g} seconds to read.") from exc
    if child.returncode == 3:
        raise Conflict("It is encrypted.")
    if child.returncode != 0:
        words = child.stderr.decode("utf-8", "replace").strip()
        raise Conflict("It cannot be read as a PDF.", detail=words[-500:])
    return child.stdout.decode("utf-8", "replace")


def extract(data: bytes) -> str:
    """The text of the first pages, in this process. Raises what pypdf raises, PermissionError when it is encrypted."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise PermissionError("the document needs a password")
    pages: list[str] = []
    length = 0
    for number, page in enumerate(reader.pages):
        if number >= MAX_PAGES or length > MAX_CHARACTERS:
            pages.append(f"[… {len(reader.pages) - number} more pages were left out]")
            break
        words = page.extract_text().strip()
        length += len(words)
        if words:
            pages.append(words)
    return "\n\n".join(pages)[: MAX_CHARACTERS + 100]


def main() -> None:
    """Read a PDF from standard input, write its text to standard output: what the child runs."""
    _bound()
    try:
        words = extract(sys.stdin.buffer.read())
    except PermissionError:
        sys.exit(3)
    sys.stdout.buffer.write(words.encode("utf-8", "replace"))


def _bound() -> None:
    """Bound memory and processor time, where the system knows how."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
