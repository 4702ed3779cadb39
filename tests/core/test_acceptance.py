"""Acceptance criteria are found wherever a team writes them down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.acceptance import MAX_CRITERIA, MAX_LENGTH, criteria

SECTION = "Some text.\n\n{heading}\n\n- One\n- Two\n"


@pytest.mark.parametrize(
    "heading",
    [
        "## Acceptance criteria",
        "# Acceptance Criteria:",
        "###### ACCEPTANCE CRITERIA ######",
        "**Acceptance criteria:**",
        "__Definition of Done__",
        "Acceptance criteria:",
        "## Akzeptanzkriterien",
        "## Critères d’acceptation",
    ],
)
def test_heading(heading: str) -> None:
    """A section is found by its name, as a heading of any rank, a bold line, or a line with a colon."""
    assert criteria(SECTION.format(heading=heading)) == ("One", "Two")


@pytest.mark.parametrize(
    "heading", ["## Notes on acceptance", "We discussed acceptance criteria", "## Accepted"]
)
def test_other_headings(heading: str) -> None:
    """A heading that merely mentions the words is no section of criteria."""
    assert criteria(SECTION.format(heading=heading)) == ()


@pytest.mark.parametrize("ending", ["## Notes", "# Notes", "**Notes**\n\n## Notes"])
def test_section_ends_with_the_next_heading(ending: str) -> None:
    """The section ends where a heading of its rank or a higher one begins."""
    assert "Three" not in criteria(f"## Acceptance criteria\n- One\n{ending}\n- Three")


def test_lower_headings_stay_inside() -> None:
    """A lower heading inside the section does not end it."""
    assert criteria("# Acceptance criteria\n\n## For cash\n\n- One\n\n## For cards\n\n- Two") == (
        "One",
        "Two",
    )


@pytest.mark.parametrize(
    "text",
    [
        "- One\n- Two",
        "* One\n* Two",
        "1. One\n2) Two",
        "- [ ] One\n- [x] Two",
        "One\n\nTwo",
        "- One\n\n- Two\n",
    ],
)
def test_every_kind_of_list(text: str) -> None:
    """Bullets, numbers, checkboxes and paragraphs all name one criterion each."""
    assert criteria(f"## Acceptance criteria\n{text}") == ("One", "Two")


def test_a_continued_line_belongs_to_its_item() -> None:
    """An item over several lines is one criterion."""
    assert criteria("## Acceptance criteria\n- Rounded half up,\n  as the law says\n- Two") == (
        "Rounded half up, as the law says",
        "Two",
    )


def test_checklist_without_a_section() -> None:
    """A checklist counts where no section says what is asked."""
    assert criteria("Please:\n- [ ] One\n- [x] Two\n- a note") == ("One", "Two")


def test_section_wins_over_checklists_elsewhere() -> None:
    """With a section, a checklist elsewhere is just a list."""
    assert criteria("- [ ] Buy milk\n\n## Acceptance criteria\n- One") == ("One",)


def test_field_comes_first_and_nothing_twice() -> None:
    """The custom field's criteria come first; one that is written twice is told once."""
    assert criteria("## Acceptance criteria\n- Two\n- Three", "- One\n- Two") == ("One", "Two", "Three")


@given(st.text(max_size=2_000), st.text(max_size=2_000))
def test_any_text_gives_bounded_criteria(description: str, field: str) -> None:
    """Whatever is written, the criteria are few, short, distinct and not empty."""
    found = criteria(description, field)
    assert len(found) <= MAX_CRITERIA
    assert len(set(found)) == len(found)
    assert all(one.strip() and len(one) <= MAX_LENGTH for one in found)


def test_no_criteria() -> None:
    """A ticket without criteria has none."""
    assert criteria("Totals are wrong.\n\n- see the log") == ()
