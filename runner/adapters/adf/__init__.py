"""Jira's document format (ADF) and Markdown, both ways.

Writing: ``to_adf`` turns any Markdown into a document valid against Jira's schema; ``compose``
adds collapsed machine blocks and the quiet last line that carries a marker. Reading: ``read``
turns any JSON value into Markdown without losing a word; ``plain_text`` keeps the words only.

``dialect`` holds the Markdown we speak (with the few forms that Markdown lacks), ``write`` and
``nesting`` build documents, ``leaves`` and ``read`` take them apart, ``inline`` spells text so
that it parses back to itself, ``limits`` refuses what is too large. What we write, read back and
written again is the same document.
"""

from runner.adapters.adf.limits import MAX_DEPTH, MAX_NODES, MAX_TEXT, AdfTooLarge
from runner.adapters.adf.read import AdfText, plain_text, read
from runner.adapters.adf.write import collapsed, compose, quiet_line, to_adf

__all__ = [
    "MAX_DEPTH",
    "MAX_NODES",
    "MAX_TEXT",
    "AdfText",
    "AdfTooLarge",
    "collapsed",
    "compose",
    "plain_text",
    "quiet_line",
    "read",
    "to_adf",
]
