"""Make text from outside safe to keep, log, post or show to a model.

Pure functions on text. Nothing in here decides what may be said; it only takes away what must never be: secrets,
characters that people cannot see, workflow commands, and Markdown that acts. Every function may be applied twice
without changing more than once. Neutralise last: cleaning afterwards would take a neutraliser's invisible breaks out
again.
"""

from __future__ import annotations

import base64
import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "***"
# A piece of a secret this long identifies it; shorter pieces are ordinary words too often.
FRAGMENT = 12
# Every piece holds one of these short ones at a multiple of STEP, wherever it stands: looking there finds them all.
GRAM = 6
STEP = FRAGMENT - GRAM + 1
# Masking still shorter values would tear ordinary text apart. It must stay longer than MASK: masking shrinks text.
SHORTEST_SECRET = 6

ZERO_WIDTH_SPACE = "\u200b"

# Assigned to letters and marks by Unicode, but drawn as nothing; some can carry hidden text.
_BLANKS = frozenset(
    [
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
        *range(0xE0000, 0xE1000),
    ]
)
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs"})
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")

_TERMINAL_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_COMMAND_AT_START = re.compile(r"^([^\S\n]*)::", re.MULTILINE)
_COMMAND_ANYWHERE = re.compile(r"##\[")

# "@" and "#" written as entities still mention and refer.
_ACTING_ENTITY = re.compile(r"&(?=(?:#0{0,5}(?:35|64)|#x0{0,4}(?:23|40)|num|commat);)", re.IGNORECASE)
_LOADING_TAG = re.compile(
    r"<(?=[!?]|/?(?:img|image|picture|source|video|audio|svg|iframe|object|embed|link|style|script|form|input|base|meta)\b)",
    re.IGNORECASE,
)
_IMAGE = re.compile(r"!+\[")
_MENTION = re.compile(r"(?<![A-Za-z0-9])@(?=\S)")
_REFERENCE = re.compile(r"&#[0-9]{1,7};|#(?=[0-9&])|\bGH-(?=[0-9&])", re.IGNORECASE)
_CLOSING_LINK = re.compile(
    r"\b([cfr])(?=(?:lose[sd]?|ix(?:e[sd])?|esolve[sd]?)\b[\s\S]{0,200}?/(?:issues|pull)/)", re.IGNORECASE
)
_SLASH_COMMAND = re.compile(r"^([^\S\n]*)/(?=[A-Za-z])", re.MULTILINE)

_TAG = re.compile(r"[A-Za-z0-9]{8,64}")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class Redactor:
    """Masks known secrets wherever they appear: as they are, encoded, reversed, or as a longer piece of those.

    Base64 is recognised at any offset, so a secret inside an encoded ``user:secret`` pair is found as well.
    Values shorter than 6 characters are not masked. The secrets do not show in ``repr``.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._whole, self._pieces, self._grams = _patterns(frozenset(secrets))

    def mask(self, text: str) -> str:
        """The text with every secret, and every piece of one of 12 characters or more, as ``***``.

        A secret that only hidden characters tear apart is masked too; such text comes back cleaned, because
        whoever cleans it later would put the secret together again.
        """
        masked = self._mask_all(text)
        cleaned = clean(masked)
        if cleaned == masked:
            return masked
        whole = self._mask_all(cleaned)
        return masked if whole == cleaned else whole

    def _mask_all(self, text: str) -> str:
        while (masked := self._mask_once(text)) != text:
            text = masked
        return text

    def _mask_once(self, text: str) -> str:
        for form in self._whole:
            text = text.replace(form, MASK)
        if not self._pieces:
            return text
        parts: list[str] = []
        done = 0
        for start, end in _merged(self._hits(text)):
            parts += [text[done:start], MASK]
            done = end
        return "".join([*parts, text[done:]])

    def _hits(self, text: str) -> Iterator[tuple[int, int]]:
        """Where each piece stands, in order."""
        grams, last = self._grams, len(text) - FRAGMENT
        likely = [at for at in range(0, len(text) - GRAM + 1, STEP) if text[at : at + GRAM] in grams]
        for at in likely:
            for start in range(max(at - STEP + 1, 0), min(at, last) + 1):
                if text[start : start + FRAGMENT] in self._pieces:
                    yield start, start + FRAGMENT


@lru_cache(maxsize=8)  # Every client of a run masks the same few secrets.
def _patterns(secrets: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str], frozenset[str]]:
    """What to look for: short forms as a whole, every piece of the others, and the grams by which those are found."""
    forms = {form for secret in secrets for form in forms_of(secret.strip())}
    whole = tuple(sorted((form for form in forms if len(form) < FRAGMENT), key=len, reverse=True))
    pieces = frozenset(
        form[start : start + FRAGMENT] for form in forms for start in range(len(form) - FRAGMENT + 1)
    )
    return whole, pieces, frozenset(piece[start : start + GRAM] for piece in pieces for start in range(STEP))


def clean(text: str, limit: int | None = None) -> str:
    """Text without what people cannot see: control, bidi, tag and zero-width characters, lone surrogates, fillers.

    Line feeds and tabs stay, other line ends become line feeds. With ``limit`` the result has at most that many
    characters and ends by saying how many were left out.
    """
    text = _LINE_ENDS.sub("\n", text)
    hidden = [character for character in set(text) if not _is_visible(character)]
    if hidden:
        text = text.translate(dict.fromkeys(map(ord, hidden)))
    return text if limit is None else cap(text, limit)


def cap(text: str, limit: int) -> str:
    """At most ``limit`` characters, ending in a note of how many were left out; a tiny limit only gets an ellipsis."""
    if len(text) <= limit:
        return text
    note = f"\n[… {len(text)} characters in all, the rest left out]"
    if len(note) * 2 > limit:
        return text[: max(limit - 1, 0)] + "…"[:limit]
    return text[: limit - len(note)] + note


def neutralise_log(text: str) -> str:
    """Text whose lines the Actions runner cannot take for commands, neither ``::name::`` nor ``##[name]``."""
    text = clean(_TERMINAL_SEQUENCE.sub("", text))
    return _COMMAND_ANYWHERE.sub("# #[", _COMMAND_AT_START.sub(r"\1: :", text))


def neutralise_markdown(text: str) -> str:
    """Cleaned Markdown for GitHub that informs and does nothing.

    Nobody is mentioned, no issue referred to or closed, no bot commanded; HTML comments are gone, images are
    links, tags that load or hide something are text. Code samples get the same treatment, because whether a
    piece is code depends on the parser that reads it; the breaks are invisible zero-width spaces.
    """
    text = _ACTING_ENTITY.sub("&amp;", clean(text))
    text = _LOADING_TAG.sub("&lt;", _without_html_comments(text))
    text = _IMAGE.sub("[", text)
    text = _MENTION.sub("@" + ZERO_WIDTH_SPACE, text)
    text = _CLOSING_LINK.sub(r"\1" + ZERO_WIDTH_SPACE, text)
    text = _REFERENCE.sub(_broken_reference, text)
    return _SLASH_COMMAND.sub(r"\1" + ZERO_WIDTH_SPACE + "/", text)


def fence(name: str, text: str, tag: str) -> str:
    """Untrusted text in a named block that its content cannot close: ``tag`` is random and taken out of it.

    ``tag`` is 8 to 64 letters and digits, new for every prompt; ``name`` is ours.
    """
    if not _TAG.fullmatch(tag) or not _NAME.fullmatch(name):
        raise ValueError("a fence needs a lower-case name and a tag of 8 to 64 letters and digits")
    content = re.sub(re.escape(tag), "_", text, flags=re.IGNORECASE)
    return f"<{name}-{tag}>\n{content}\n</{name}-{tag}>"


def forms_of(secret: str) -> Iterator[str]:
    """Every form in which a secret is recognised whole; one too short to be masked has none."""
    if len(secret) < SHORTEST_SECRET:
        return
    data = secret.encode("utf-8", "surrogatepass")
    encoded = [secret, quote(data, safe=""), quote(data), quote_plus(data), data.hex(), data.hex().upper()]
    encoded.append(codecs.encode(secret, "rot13"))
    encoded += [part for offset in range(3) for part in _base64_at(data, offset)]
    for form in encoded:
        if len(form) >= SHORTEST_SECRET:
            yield form
            yield form[::-1]


def _base64_at(data: bytes, offset: int) -> tuple[str, str]:
    """The characters that depend on ``data`` alone when it follows ``offset`` bytes of something else."""
    text = base64.b64encode(bytes(offset) + data).decode("ascii").rstrip("=")
    shared_end = 1 if (offset + len(data)) % 3 else 0
    own = text[(0, 2, 3)[offset] : len(text) - shared_end]
    return own, own.translate(str.maketrans("+/", "-_"))


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Overlapping and touching spans as one; the input is sorted by start."""
    current: tuple[int, int] | None = None
    for start, end in spans:
        if current is None:
            current = (start, end)
        elif start <= current[1]:
            current = (current[0], end)
        else:
            yield current
            current = (start, end)
    if current is not None:
        yield current


def _is_visible(character: str) -> bool:
    if character in "\n\t":
        return True
    return unicodedata.category(character) not in _HIDDEN_CATEGORIES and ord(character) not in _BLANKS


def _without_html_comments(text: str) -> str:
    """Each closed comment becomes a space, so that what stood around it cannot join into a new one."""
    parts: list[str] = []
    done = 0
    while (start := text.find("<!--", done)) >= 0 and (end := text.find("-->", start + 2)) >= 0:
        parts += [text[done:start], " "]
        done = end + len("-->")
    return "".join([*parts, text[done:]])


def _broken_reference(match: re.Match[str]) -> str:
    found = match.group()
    return found if found.startswith("&") else found + ZERO_WIDTH_SPACE
