"""Text that stands for text left out. Written into a file, it would delete what it stands for.

Recognised by form, not by guess: dots on a line of their own, or a comment that is nothing but such a phrase.
Code that only resembles it (stub bodies, spread syntax, a comment about existing files) passes.
"""

from __future__ import annotations

import re

_COMMENT = re.compile(r"^(?:#+|//+|/\*+|\*+|--+|<!--+|;+|%+|\{/\*+)\s*(.*?)\s*(?:\*+/\}?|--+>)?$")
_DOTS = re.compile(r"^(?:\.{3,}|\u2026|\(\s*\.{3,}\s*\)|\[\s*\.{3,}\s*\]|\{\s*\.{3,}\s*\})$")
_THINGS = r"(?:file|code|function|class|method|module|implementation|content|body|tests?|imports?|lines?|fields?|methods|functions|logic|config(?:uration)?)"
_SAME_AS = r"[ ,(]*(?:(?:is|are|remains?|stays?|goes|go|continues?) )?(?:unchanged|the same|as before|omitted(?: for brevity)?|here)\)?"
_WORDS = re.compile(
    rf"(?:the )?rest of (?:(?:the|this|your) )?(?:{_THINGS} ?)+(?:{_SAME_AS})*"
    rf"|(?:the )?(?:existing|remaining|unchanged) (?:code|implementation|content|body|lines?)(?:{_SAME_AS})*"
    rf"|(?:the )?(?:existing|previous|remaining|other) (?:{_THINGS} ?)+(?:{_SAME_AS})+"
    rf"|(?:(?:{_THINGS}|everything(?: else)?|the rest|no changes?) ?)?(?:(?:is|are|remains?|stays?) )?"
    r"(?:unchanged|omitted(?: for brevity)?|same as before)",
    re.IGNORECASE,
)
_ELISION_WORD = re.compile(
    r"\b(?:rest|existing|remaining|unchanged|same|other|previous|omitted)\b", re.IGNORECASE
)


def elision(new: str, text: str) -> str | None:
    """Return the first line of ``new`` that stands for left-out code and is no line of ``text``."""
    present: set[str] | None = None
    before = ""
    for line in new.split("\n"):
        bare = line.strip()
        if bare and elides(bare, before):
            present = {known.strip() for known in text.split("\n")} if present is None else present
            if bare not in present:
                return bare
        before = bare or before
    return None


def elides(bare: str, before: str) -> bool:
    """Whether a line (without its indentation) stands for left-out text; ``before`` is the line above it."""
    if _DOTS.match(bare):
        # An Ellipsis is the honest body of a stub, a protocol method or an overload.
        return not before.endswith((":", '"""', "'''", "(", "[", ","))
    comment = _COMMENT.match(bare)
    said = comment.group(1) if comment else bare
    words = said.strip(".\u2026 ()[]<>")
    if said.startswith(("...", "\u2026")):
        # Without a comment sign only a phrase elides: `...rest` is how JavaScript spreads an object.
        is_phrase = comment is not None or re.fullmatch(r"\w+(?: \w+)+", words) is not None
        return is_phrase and (not words or bool(_ELISION_WORD.search(words)))
    is_bracketed = bare.startswith(("[", "(", "<")) and bare.endswith(("]", ")", ">"))
    return (comment is not None or is_bracketed) and bool(_WORDS.fullmatch(words.rstrip("!")))
