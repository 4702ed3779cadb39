"""Digests: the same input gives the same twelve hex digits, so a finished step is recognised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from runner.core.model import Comment, Ticket


def digest(*parts: object) -> str:
    """Twelve hex digits over JSON-like parts."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def content_digest(ticket: Ticket, ours: frozenset[str] = frozenset()) -> str:
    """What people wrote into the ticket's own fields: summary, description, attachments, read custom fields.

    ``ours`` are accounts of the runner, whose files are no news.
    """
    files = sorted((one.id, one.name, one.size) for one in ticket.attachments if one.author.id not in ours)
    return digest(ticket.summary, ticket.description, files, sorted(ticket.fields.items()))


def input_digest(content: str, accepted: Iterable[Comment], *shaping: object) -> str:
    """What a model's answer depends on, the repository head excepted."""
    return digest(content, sorted((comment.id, comment.updated) for comment in accepted), shaping)
