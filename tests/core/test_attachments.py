"""Which attachments are read, as what, and that everything else is named with its reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.attachments import (
    MAX_ALL_BYTES,
    MAX_ALL_TEXT,
    MAX_BYTES,
    MAX_FILES,
    MAX_IMAGES,
    MAX_TEXT,
    Kind,
    Materials,
    as_text,
    image_type,
    kind_of,
    read_all,
)
from runner.core.model import Account, Attachment
from runner.errors import Conflict, NotFound, Unavailable
from tests.shapes.files import GIF, JPEG, PNG, WEBP, png_of

RITA, BOT = Account(id="rita"), Account(id="bot")


def file(
    id_: str, name: str = "a.txt", media_type: str = "text/plain", size: int = 5, author: Account = RITA
) -> Attachment:
    return Attachment(id=id_, name=name, media_type=media_type, size=size, created="", author=author)


def read(files: list[Attachment], data: dict[str, bytes] | bytes = b"hello") -> Materials:
    def fetch(id_: str, limit: int) -> bytes:
        found = data if isinstance(data, bytes) else data[id_]
        assert len(found) <= limit
        return found

    return read_all(files, ours=frozenset({"bot"}), read=fetch, pdf_text=lambda found: found.decode())


@pytest.mark.parametrize(
    ("name", "media_type", "kind"),
    [
        ("a.txt", "text/plain; charset=utf-8", "text"),
        ("a.py", "application/octet-stream", "text"),
        ("a", "application/json", "text"),
        ("a.PDF", "application/octet-stream", "pdf"),
        ("a", "application/pdf", "pdf"),
        ("a.jpeg", "", "image"),
        ("a", "image/webp", "image"),
        ("a.zip", "application/zip", None),
        ("a.heic", "image/heic", None),
        ("Makefile", "application/octet-stream", None),
    ],
)
def test_kind_by_type_or_name(name: str, media_type: str, kind: Kind | None) -> None:
    """A file is read for what its media type or the end of its name claims."""
    assert kind_of(file("1", name, media_type)) == kind


def test_files_of_ours_are_no_material() -> None:
    """What the runner attached is neither read nor named."""
    found = read([file("1", "ours.txt", author=BOT)])
    assert (found.texts, found.skipped) == ({}, {})


def test_several_files_of_one_name() -> None:
    """Files of the same name are told apart."""
    found = read([file("1"), file("2")], {"1": b"old", "2": b"new"})
    assert found.texts == {"a.txt": "old", "a.txt (2)": "new"}


def test_newest_files_win_under_the_cap() -> None:
    """With more files than the cap, the newest are read and the others named."""
    found = read([file(str(number), f"{number}.txt") for number in range(MAX_FILES + 2)])
    assert set(found.skipped) == {"0.txt", "1.txt"}
    assert set(found.skipped.values()) == {f"only the {MAX_FILES} newest files are read"}


def test_newest_pictures_win_under_the_cap() -> None:
    """With more pictures than the cap, the newest are read and the others named."""
    found = read([file(str(number), f"{number}.png") for number in range(MAX_IMAGES + 1)], PNG)
    assert found.skipped == {"0.png": f"only the {MAX_IMAGES} newest pictures are read"}


def test_all_bytes_together_are_bounded() -> None:
    """Files that together are larger than the bound are not all asked for."""
    size = MAX_BYTES["pdf"]
    found = read([file(str(number), f"{number}.pdf", size=size) for number in range(4)], b"x" * size)
    assert len(found.texts) == MAX_ALL_BYTES // size
    assert set(found.skipped.values()) == {"all files together are larger than 24 MB"}


def test_long_texts_are_cut_and_bounded_together() -> None:
    """A long text is cut and says so; together the texts fill no more than their bound."""
    found = read([file(str(number), f"{number}.txt") for number in range(7)], b"x" * (MAX_TEXT + 5))
    assert found.texts["6.txt"].endswith("[… 5 more characters were left out]")
    assert sum(one.count("x") for one in found.texts.values()) <= MAX_ALL_TEXT
    assert set(found.skipped) == {"0.txt", "1.txt"}


def test_a_file_that_is_gone_or_larger_than_said_is_skipped() -> None:
    """A file that Jira no longer has, or that is larger than it said, is named and ends nothing."""

    def fetch(id_: str, _: int) -> bytes:
        raise NotFound("It is gone.") if id_ == "1" else Conflict("Jira holds more than may be read here.")

    found = read_all([file("1", "1.txt"), file("2", "2.txt")], ours=frozenset(), read=fetch, pdf_text=str)
    assert found.skipped == {"1.txt": "it is gone", "2.txt": "Jira holds more than may be read here"}


def test_an_unreachable_jira_ends_the_run() -> None:
    """Unknown is not skipped: a read that fails is no reason to go on without the file."""

    def fetch(_: str, __: int) -> bytes:
        raise Unavailable("Jira is down.")

    with pytest.raises(Unavailable):
        read_all([file("1")], ours=frozenset(), read=fetch, pdf_text=str)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        ("é€".encode(), "é€"),
        (b"\xef\xbb\xbfmarked", "marked"),
        ("é".encode("utf-16"), "é"),
        (b"caf\xe9", "café"),
    ],
)
def test_encodings(data: bytes, text: str) -> None:
    """Text is read as UTF-8 or UTF-16, else as what Windows writes."""
    assert as_text(data) == text


@given(st.binary(max_size=300))
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    """No bytes do more than be refused."""
    try:
        text = as_text(data)
    except Conflict:
        return
    assert "\x00" not in text


@pytest.mark.parametrize(
    ("data", "kind"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp"), (b"<svg/>", None)],
)
def test_pictures_by_their_bytes(data: bytes, kind: str | None) -> None:
    """What kind of picture it is, the first bytes tell."""
    assert image_type(data) == kind
    assert bool(read([file("1", "a.png")], data).images) == (kind is not None)


def test_pictures_that_providers_refuse() -> None:
    """A picture wider than providers take is skipped, for it would end the whole run."""
    found = read([file("1", "a.png")], png_of(8_001, 1))
    assert found.skipped == {"a.png": "it is larger than 8,000 pixels"}


@given(st.sampled_from([PNG, JPEG, GIF, WEBP]), st.integers(0, 40), st.binary(max_size=40))
def test_broken_pictures(head: bytes, kept: int, rest: bytes) -> None:
    """However a picture is broken, it is taken or named, and nothing is raised."""
    found = read([file("1", "a.png")], head[:kept] + rest)
    assert len(found.images) + len(found.skipped) == 1
