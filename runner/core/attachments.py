"""Attachments for the model: which are read, as what, and why the others are not. Pure; bytes come from outside.

What a file is, its bytes decide: a name and a media type are only claims. Nothing is left out silently.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from runner.core.handover import Picture
from runner.core.model import Attachment
from runner.errors import Conflict, NotFound, RunnerError

ImageType = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
Kind = Literal["text", "pdf", "image"]

MAX_FILES = 20
MAX_IMAGES = 5
MAX_BYTES: Mapping[Kind, int] = {"text": 512 * 1024, "pdf": 10 * 1024 * 1024, "image": 3 * 1024 * 1024}
MAX_ALL_BYTES = 24 * 1024 * 1024
# Characters of one file, and of all files together.
MAX_TEXT = 20_000
MAX_ALL_TEXT = 100_000
# Providers refuse larger pictures, which would end the whole run.
MAX_PIXELS_ACROSS = 8_000

PLAN_FILE = re.compile(r"ai-runner-plan-[0-9a-f]{12}\.(?:json|md)")
_IMAGES: Mapping[str, ImageType] = {
    "image/png": "image/png",
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/gif": "image/gif",
    "image/webp": "image/webp",
}
_IMAGE_ENDINGS = ("png", "jpg", "jpeg", "gif", "webp")
_TEXT_TYPES = (
    *("application/json", "application/xml", "application/yaml", "application/x-yaml", "application/toml"),
    *("application/sql", "application/javascript", "application/x-sh", "application/x-ndjson"),
)
_TEXT_ENDINGS = frozenset(
    [
        "bat",
        "c",
        "cc",
        "cfg",
        "conf",
        "cpp",
        "cs",
        "css",
        "csv",
        "diff",
        "env",
        "feature",
        "go",
        "graphql",
        "h",
        "har",
        "hpp",
        "html",
        "ini",
        "java",
        "js",
        "json",
        "jsonl",
        "kt",
        "log",
        "lua",
        "markdown",
        "md",
        "mjs",
        "patch",
        "php",
        "pl",
        "properties",
        "proto",
        "ps1",
        "py",
        "rb",
        "rs",
        "rst",
        "scala",
        "sh",
        "sql",
        "svg",
        "swift",
        "tf",
        "toml",
        "ts",
        "tsv",
        "tsx",
        "txt",
        "vue",
        "xml",
        "yaml",
        "yml",
    ]
)


@dataclass(kw_only=True)
class Materials:
    """What attachments gave: texts by file name, pictures, and the reason for every file that was not read."""

    texts: dict[str, str] = field(default_factory=dict)
    images: list[Picture] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def plan_file(digest: str, ending: Literal["json", "md"]) -> str:
    """The attachment that holds a plan too long for a comment; the digest makes the name its natural key."""
    return f"ai-runner-plan-{digest}.{ending}"


def kind_of(one: Attachment) -> Kind | None:
    """What a file claims to be; ``None`` for what we cannot read."""
    media_type = one.media_type.partition(";")[0].strip().lower()
    ending = one.name.rpartition(".")[2].lower() if "." in one.name else ""
    if media_type == "application/pdf" or ending == "pdf":
        return "pdf"
    if media_type in _IMAGES or ending in _IMAGE_ENDINGS:
        return "image"
    if media_type.startswith("text/") or media_type in _TEXT_TYPES or ending in _TEXT_ENDINGS:
        return "text"
    return None


def read_all(
    files: Sequence[Attachment],
    *,
    ours: frozenset[str],
    read: Callable[[str, int], bytes],
    pdf_text: Callable[[bytes], str],
) -> Materials:
    """Read the newest files first, as many and as much as the caps allow.

    ``read`` gives the bytes for an id and a limit and raises what reading raises; a file that is gone or larger
    than Jira said is skipped, an unreachable Jira ends the run. ``pdf_text`` raises Conflict for a PDF without
    readable text. Files of our own are no material.
    """
    found, left = Materials(), MAX_ALL_BYTES
    names = _names(files)
    for number, one in enumerate(reversed([one for one in files if one.author.id not in ours])):
        name, kind = names[one.id], kind_of(one)
        reason = _reason(one, kind, found, number, left)
        if reason or kind is None:
            found.skipped[name] = reason
            continue
        try:
            data = read(one.id, MAX_BYTES[kind])
        except (NotFound, Conflict) as exc:
            found.skipped[name] = _lowered(exc)
            continue
        left -= len(data)
        _take(found, name, kind, data, pdf_text)
    return found


def _names(files: Iterable[Attachment]) -> dict[str, str]:
    """A name for each file by its id; Jira lets several files carry the same one."""
    names: dict[str, str] = {}
    for one in files:
        plain = " ".join(one.name.split())[:120] or "unnamed"
        names[one.id] = plain if plain not in names.values() else f"{plain} ({one.id})"
    return names


def _reason(one: Attachment, kind: Kind | None, found: Materials, number: int, left: int) -> str:
    """Why a file is not even asked for; empty if it is."""
    if kind is None:
        return f"files of type {one.media_type or 'unknown'} are not read"
    if one.size > MAX_BYTES[kind]:
        return f"it is larger than {_size(MAX_BYTES[kind])}"
    if number >= MAX_FILES:
        return f"only the {MAX_FILES} newest files are read"
    if kind == "image" and len(found.images) >= MAX_IMAGES:
        return f"only the {MAX_IMAGES} newest pictures are read"
    if one.size > left:
        return f"all files together are larger than {_size(MAX_ALL_BYTES)}"
    return ""


def _take(found: Materials, name: str, kind: Kind, data: bytes, pdf_text: Callable[[bytes], str]) -> None:
    if kind == "image":
        media_type = image_type(data)
        reason = "" if media_type is None else _too_wide(data, media_type)
        if media_type is None or reason:
            found.skipped[name] = reason or "it is not a picture of a known kind"
            return
        found.images.append(_picture(name, media_type, data))
        return
    try:
        text = pdf_text(data) if kind == "pdf" else as_text(data)
    except Conflict as exc:
        found.skipped[name] = _lowered(exc)
        return
    room = MAX_ALL_TEXT - sum(map(len, found.texts.values()))
    if not text.strip():
        found.skipped[name] = "it is empty" if kind == "text" else "it holds no text, only pictures"
    elif room <= 0:
        found.skipped[name] = f"the files read before it fill {MAX_ALL_TEXT:,} characters"
    else:
        found.texts[name] = _cut(text, min(MAX_TEXT, room))


def _picture(name: str, media_type: ImageType, data: bytes) -> Picture:
    return Picture.model_validate({"name": name, "media_type": media_type, "data": b64encode(data)})


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[… {len(text) - limit:,} more characters were left out]"


def as_text(data: bytes) -> str:
    """A text file's words. Raises Conflict for bytes that are no text."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig")):
        if data.startswith(mark):
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                break
            if "\x00" in text:
                break
            return text
    if b"\x00" in data:
        raise Conflict("It is not a text file.")
    # What is left is mostly one byte per character; a wrong letter harms less than a missing file.
    return data.decode("cp1252", "replace")


def image_type(data: bytes) -> ImageType | None:
    """What kind of picture these bytes are, by their first ones."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def _too_wide(data: bytes, media_type: ImageType) -> str:
    across = _pixels(data, media_type)
    if across is None:
        return "its size in pixels cannot be read"
    if max(across) > MAX_PIXELS_ACROSS:
        return f"it is larger than {MAX_PIXELS_ACROSS:,} pixels"
    return ""


def _pixels(data: bytes, media_type: ImageType) -> tuple[int, int] | None:
    """Width and height as the file's head says; ``None`` when it does not say."""
    if media_type == "image/png" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if media_type == "image/gif" and len(data) >= 10:
        return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    if media_type == "image/webp" and len(data) >= 30:
        return _webp_pixels(data)
    return _jpeg_pixels(data) if media_type == "image/jpeg" else None


def _webp_pixels(data: bytes) -> tuple[int, int] | None:
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    if data[12:16] == b"VP8 ":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


def _jpeg_pixels(data: bytes) -> tuple[int, int] | None:
    """Walk the segments to the frame header, which is the only one with the size."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = data[at + 5 : at + 7], data[at + 7 : at + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _lowered(exc: RunnerError) -> str:
    """A refusal as the end of a sentence about the file."""
    words = exc.summary.rstrip(".")
    return f"it {words[3:]}" if words.startswith("It ") else words


def _size(count: int) -> str:
    return f"{count // (1024 * 1024)} MB" if count >= 1024 * 1024 else f"{count // 1024} kB"
