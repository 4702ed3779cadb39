"""Money is a whole number of cents. This module alone knows how it is written."""

import re

_PRICE = re.compile(r"(-?)(\d+)(?:\.(\d{1,2}))?")


def parse_cents(text: str) -> int:
    """Read a price as people type it: ``4``, ``4.5`` or ``4.50``; anything else is a ValueError."""
    found = _PRICE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a price")
    sign, units, rest = found.groups()
    cents = int(units) * 100 + int((rest or "0").ljust(2, "0"))
    return -cents if sign else cents


def format_cents(cents: int) -> str:
    """Write a price as people read it: ``4.50``, ``-0.05``."""
    sign = "-" if cents < 0 else ""
    units, rest = divmod(abs(cents), 100)
    return f"{sign}{units}.{rest:02d}"
