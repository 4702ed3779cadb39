"""The words of a PDF, and that no PDF does more than not be read."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from runner.adapters import pdf
from runner.errors import Conflict
from tests.shapes.files import pdf_of


def test_words_of_every_page() -> None:
    """The words of all pages are read, page after page."""
    assert pdf.text(pdf_of("One", "Two")) == "One\n\nTwo"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "It is not a PDF."),
        (b"PK\x03\x04", "It is not a PDF."),
        (b"%PDF-1.7\n%%EOF", "It cannot be read as a PDF."),
        (pdf_of("Secret", password=True), "It is encrypted."),
    ],
)
def test_what_cannot_be_read(data: bytes, words: str) -> None:
    """A file that gives no words is refused in a sentence about the file."""
    with pytest.raises(Conflict) as caught:
        pdf.text(data)
    assert caught.value.summary == words


def test_a_pdf_that_takes_too_long() -> None:
    """A PDF is given up after its time, and its reader is ended."""
    with pytest.raises(Conflict) as caught:
        pdf.text(pdf_of("Slow"), seconds=0.001)
    assert "takes longer than" in caught.value.summary


def test_pages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages beyond the bound are counted and left out."""
    monkeypatch.setattr(pdf, "MAX_PAGES", 2)
    assert (
        pdf.extract(pdf_of("One", "Two", "Three", "Four")) == "One\n\nTwo\n\n[… 2 more pages were left out]"
    )


def test_the_child_gets_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that reads foreign PDFs knows no secret of ours."""
    monkeypatch.setenv("JIRA_API_TOKEN", "secret")
    seen: list[object] = []
    run = subprocess.run

    def spy(*args: Any, **options: Any) -> Any:
        seen.append(options["env"])
        return run(*args, **options)

    monkeypatch.setattr(subprocess, "run", spy)
    assert pdf.text(pdf_of("One")) == "One"
    assert seen == [{}]
