"""Make text from outside safe to keep, log, post or show to a model.

Pure functions on text. Nothing in here decides what may be said; it only takes away what must never be: secrets,
characters that people cannot see, workflow commands, and Markdown that acts.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
# A piece of a secret this long identifies it; shorter pieces are ordinary words too often.
FRAGMENT = 12
# Masking shorter "secrets" would tear ordinary text apart.
SHORTEST_SECRET = 4
