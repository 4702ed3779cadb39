"""Markdown into Jira documents."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.adapters.adf import (
    MAX_TEXT,
    AdfTooLarge,
    collapsed,
    compose,
    plain_text,
    quiet_line,
    read,
    to_adf,
)
from tests.adapters.adf_nodes import BREAK, Node, cell, doc, is_valid, item, node, paragraph, text

INLINE: dict[str, tuple[str, list[Node | str]]] = {
    "words": ("some words", ["some words"]),
    "strong": ("a **b** c", ["a ", text("b", "strong"), " c"]),
    "emphasis": ("a *b* _c_", ["a ", text("b", "em"), " ", text("c", "em")]),
    "strike": ("~~gone~~", [text("gone", "strike")]),
    "marks nest": ("***a** b*", [text("a", "strong", "em"), text(" b", "em")]),
    "code": ("`x = 1`", [text("x = 1", "code")]),
    "code drops emphasis, which the schema forbids": (
        "**a `b`**",
        [text("a", "strong"), " ", text("b", "code")],
    ),
    "code keeps a link": ("[`b`](https://x.y)", [text("b", "code", href="https://x.y")]),
    "link": ("[a](https://x.y/z)", [text("a", href="https://x.y/z")]),
    "link title": ('[a](https://x.y "T")', [text("a", href="https://x.y", title="T")]),
    "autolink": ("<https://x.y>", [text("https://x.y", href="https://x.y")]),
    "mail": ("[me](mailto:a@b.c)", [text("me", href="mailto:a@b.c")]),
    "address is encoded": ("[a](<https://x.y/a b>)", [text("a", href="https://x.y/a%20b")]),
    "empty label shows the address": ("[](https://x.y)", [text("https://x.y", href="https://x.y")]),
    "relative link is plain and keeps its address": ("[a](docs/a.md)", ["a (docs/a.md)"]),
    "script link is plain": ("[a](javascript:run)", ["a (javascript:run)"]),
    "reference definitions stay words": ("[TODO]: soon", ["[TODO]: soon"]),
    "html stays words": ("<b>x</b> <!-- y -->", ["<b>x</b> <!-- y -->"]),
    "picture becomes a link": ("![alt](https://x.y/p.png)", [text("alt", href="https://x.y/p.png")]),
    "picture without an address of the web": ("![alt](p.png)", ["alt (p.png)"]),
    "soft break is a space": ("a\nb", ["a b"]),
    "hard break by backslash": ("a\\\nb", ["a", BREAK, "b"]),
    "hard break by spaces": ("a  \nb", ["a", BREAK, "b"]),
    "mention": ("hi [~accountid:5b:1]", ["hi ", {"type": "mention", "attrs": {"id": "5b:1"}}]),
    "mention with name": (
        r"[~accountid:5b](@Bo \(x\))",
        [{"type": "mention", "attrs": {"id": "5b", "text": "@Bo (x)"}}],
    ),
    "status": ("{status:In work}", [{"type": "status", "attrs": {"text": "In work", "color": "neutral"}}]),
    "coloured status": ("{status:Ok|green}", [{"type": "status", "attrs": {"text": "Ok", "color": "green"}}]),
    "escaped forms stay words": (r"\{status:a} \[~accountid:b] \*c\*", ["{status:a} [~accountid:b] *c*"]),
    "control characters go": ("a\x00\x07b\ud800", ["ab\ufffd"]),
    "entities are decoded": ("a &amp; b", ["a & b"]),
}


@pytest.mark.parametrize(("markdown", "expected"), INLINE.values(), ids=INLINE)
def test_inline_markup_becomes_marks_and_nodes(markdown, expected):
    """Every inline form has one shape in a document."""
    document = to_adf(markdown)
    assert document["content"] == [paragraph(*expected)]
    assert is_valid(document)


BLOCKS: dict[str, tuple[str, list[Node]]] = {
    "nothing": ("", []),
    "blank": (" \n\n\t", []),
    "headings": ("# A\n###### B", [node("heading", text("A"), level=1), node("heading", text("B"), level=6)]),
    "a heading has one line": ("a  \nb\n===", [node("heading", text("a b"), level=1)]),
    "rule": ("***", [{"type": "rule"}]),
    "bullets": ("- a\n- b", [node("bulletList", item(paragraph("a")), item(paragraph("b")))]),
    "numbers keep their start": ("3. a", [node("orderedList", item(paragraph("a")), order=3)]),
    "lists nest": (
        "- a\n  1. b",
        [node("bulletList", item(paragraph("a"), node("orderedList", item(paragraph("b")), order=1)))],
    ),
    "an item that begins with a list gets a line": (
        "- - a",
        [node("bulletList", item(paragraph(), node("bulletList", item(paragraph("a")))))],
    ),
    "empty item": ("-", [node("bulletList", item(paragraph()))]),
    "code": ("```python\nx\n\ny\n```", [node("codeBlock", text("x\n\ny"), language="python")]),
    "indented code": ("    x", [node("codeBlock", text("x"))]),
    "empty code": ("```\n```", [node("codeBlock")]),
    "words beside the language stay": (
        "```py a b\nx\n```",
        [node("codeBlock", text("a b\nx"), language="py")],
    ),
    "words instead of a language stay": ("``` é!\nx\n```", [node("codeBlock", text("é!\nx"))]),
    "quote": ("> a\n> b", [node("blockquote", paragraph("a b"))]),
    "empty quote": (">", []),
    "panel": ("> [!WARNING]\n> a", [node("panel", paragraph("a"), panelType="warning")]),
    "panel on one line": ("> [!note] a", [node("panel", paragraph("a"), panelType="note")]),
    "empty panel": ("> [!INFO]", [node("panel", paragraph(), panelType="info")]),
    "escaped panel is a quote": ("> \\[!INFO]", [node("blockquote", paragraph("[!INFO]"))]),
    "expand": (
        ":::expand My title\na\n:::\nb",
        [node("expand", paragraph("a"), title="My title"), paragraph("b")],
    ),
    "expand without title, content or end": (":::expand", [node("expand", paragraph(), title="")]),
    "expand in expand": (
        "::::expand A\n:::expand B\nx\n:::\n::::",
        [node("expand", node("nestedExpand", paragraph("x"), title="B"), title="A")],
    ),
    "colons alone": (":::", [paragraph(":::")]),
    "tasks": (
        "- [ ] a\n  - [x] b",
        [
            node(
                "taskList",
                node("taskItem", text("a"), localId="task-2", state="TODO"),
                node(
                    "taskList", node("taskItem", text("b"), localId="task-4", state="DONE"), localId="task-3"
                ),
                localId="task-1",
            )
        ],
    ),
    "tasks among other items are words": (
        "- [ ] a\n- b",
        [node("bulletList", item(paragraph("[ ] a")), item(paragraph("b")))],
    ),
    "tasks with blocks are words": (
        "- [x] a\n\n  ```\n  c\n  ```",
        [node("bulletList", item(paragraph("[x] a"), node("codeBlock", text("c"))))],
    ),
    "table": (
        "| a | *b* |\n|---|---|\n| 1<br>2 | `x\\|y` |",
        [
            node(
                "table",
                node("tableRow", cell("a", kind="tableHeader"), cell(text("b", "em"), kind="tableHeader")),
                node("tableRow", cell("1", BREAK, "2"), cell(text("x|y", "code"))),
            )
        ],
    ),
    "blank header goes": ("| |\n|-|\n| a |", [node("table", node("tableRow", cell("a")))]),
    "blank table goes": ("| |\n|-|", []),
    "surplus cells stay": (
        "|a|\n|-|\n|b|c|d|",
        [node("table", node("tableRow", cell("a", kind="tableHeader")), node("tableRow", cell("b | c | d")))],
    ),
    "heading in an item is bold": (
        "- # *a* `c`",
        [
            node(
                "bulletList",
                item(paragraph(text("a", "strong", "em"), " ", text("c", "code"))),
            )
        ],
    ),
    "heading in a quote is bold": ("> # a", [node("blockquote", paragraph(text("a", "strong")))]),
    "quote in a quote joins it": ("> a\n> > b", [node("blockquote", paragraph("a"), paragraph("b"))]),
    "quote in an item joins it": ("- > a", [node("bulletList", item(paragraph("a")))]),
    "rule in an item goes": ("- ***", [node("bulletList", item(paragraph()))]),
    "table in an item is lines": (
        "- |a|b|\n  |-|-|\n  |c|d|",
        [node("bulletList", item(paragraph("a | b"), paragraph("c | d")))],
    ),
    "expand in an item shows its title": (
        "- :::expand T\n  a\n  :::",
        [node("bulletList", item(paragraph(text("T", "strong")), paragraph("a")))],
    ),
    "tasks in a quote are words": (
        "> - [x] a",
        [node("blockquote", node("bulletList", item(paragraph("[x] a"))))],
    ),
}


@pytest.mark.parametrize(("markdown", "expected"), BLOCKS.values(), ids=BLOCKS)
def test_blocks_become_nodes_where_they_may_stand(markdown, expected):
    """Every block form has one shape, and gives way without losing words where the schema forbids it."""
    document = to_adf(markdown)
    assert document["content"] == expected
    assert is_valid(document)


@pytest.mark.parametrize(
    "markdown", [case[0] for case in (*INLINE.values(), *BLOCKS.values())], ids=[*INLINE, *BLOCKS]
)
def test_what_is_written_reads_back_as_the_same_document(markdown):
    """Writing, reading and writing again changes nothing."""
    document = to_adf(markdown)
    assert to_adf(read(document).markdown) == document


def test_the_quiet_line_is_small_and_grey():
    """The carrier of a marker is one line in small grey type."""
    line = quiet_line("ai-runner v1\nplan")
    marks = [
        {"type": "subsup", "attrs": {"type": "sub"}},
        {"type": "textColor", "attrs": {"color": "#97a0af"}},
    ]
    assert line["content"] == [{"type": "text", "text": "ai-runner v1 plan", "marks": marks}]
    assert is_valid(doc(line))


def test_a_collapsed_block_holds_its_code_exactly():
    """Machine text survives with its whitespace and special characters."""
    code = '{"a": "``` *x* <br> \\\\ | ☃"}\n\n  {"b":\t1}\n'
    document = doc(collapsed("Plan", code, "json"))
    assert is_valid(document)
    assert read(document).code_blocks == (("Plan", code),)


def test_a_comment_is_body_then_collapsed_blocks_then_the_quiet_line():
    """A comment is read back in the parts it was composed of."""
    document = compose("Hello *you*", collapsed=[("Plan", "{}"), ("Log", "x")], last_line="ai-runner v1 K-1")
    found = read(document)
    assert is_valid(document)
    assert found.body_markdown == "Hello *you*"
    assert found.code_blocks == (("Plan", "{}"), ("Log", "x"))
    assert found.last_line == "ai-runner v1 K-1"


def test_a_body_ending_with_collapsed_code_stays_whole():
    """Collapsed code of the body is told from the machine's, which follows it."""
    body = ":::expand Log\n```\nboom\n```\n:::"
    assert read(compose(body, collapsed=[("Plan", "{}")], last_line="mark")).body_markdown == body


def test_a_marker_line_survives_any_ascii():
    """What the quiet line carries comes back character by character."""
    line = "".join(map(chr, range(33, 127)))
    assert read(compose("x", last_line=line)).last_line == line


@pytest.mark.parametrize(
    "make",
    [
        lambda: to_adf("word " * (MAX_TEXT // 5 + 1)),
        lambda: to_adf("\U0001f600" * (MAX_TEXT // 2 + 1)),
        lambda: to_adf("[" * 100_000),
        lambda: compose("a", collapsed=[("t", "x" * MAX_TEXT)]),
        lambda: to_adf("|a|b|\n|-|-|\n" + "|\n" * 19_000),
    ],
    ids=["words", "pairs count twice", "brackets", "collapsed", "cells"],
)
def test_text_beyond_the_limit_is_refused(make):
    """What Jira would not take is refused with a typed error before it is sent."""
    with pytest.raises(AdfTooLarge):
        make()


def test_text_up_to_the_limit_is_taken():
    """The bound is on content, not on markup."""
    assert to_adf("x" * MAX_TEXT)["content"] == [paragraph("x" * MAX_TEXT)]


@pytest.mark.parametrize(
    "markdown",
    [
        "> " * 3_000 + "deep",
        "\n".join("  " * level + "- deep" for level in range(100)),
        "\n".join(":" * 3 + "expand deep" for _ in range(1_500)),
        "![" * 10_000,
        "*a **b " * 3_000,
        "[" * 10_000 + "](deep)" * 1_000,
    ],
    ids=["quotes", "lists", "expands", "pictures", "emphasis", "brackets"],
)
def test_pathological_markdown_is_still_a_valid_document(markdown):
    """Nesting has a bound, beyond which text is written as plain lines, all of it."""
    document = to_adf(markdown)
    assert is_valid(document)
    assert plain_text(document).count("deep") == markdown.count("deep")


ATOMS = st.sampled_from(
    [
        *"*_`[]()<>!#-+:|~\\&{}> \n\t='\".@",
        *("\n\n", "    ", "1. ", "- ", "> ", "```", "~~", "**", "~~~", "|-|-|\n", "\n:::expand ", "\n:::\n"),
        *(
            "> [!ERROR]\n",
            "- [ ] ",
            "- [x] ",
            "<br>",
            "&amp;",
            "&#32;",
            "&#42;",
            "](http://x.y/)",
            "<http://x.y>",
        ),
        *(
            "{status:",
            "|green}",
            "[~accountid:ab]",
            "(@",
            "![",
            "\n---\n",
            "\n===\n",
            "# ",
            "\\\n",
            "é",
            "\u00a0",
            "“",
        ),
    ]
)
WORDS = st.integers(0, 99).map("w{}q".format)
MARKDOWN = st.lists(ATOMS | WORDS, max_size=40).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.text() | MARKDOWN)
def test_any_text_becomes_a_valid_document(markdown):
    """There is no text that does not become a document Jira takes."""
    assert is_valid(to_adf(markdown))


@settings(max_examples=300, deadline=None)
@given(MARKDOWN)
def test_writing_loses_no_word(markdown):
    """Whatever the markup around a word, the document holds it."""
    document = str(to_adf(markdown))
    assert [word for word in re.findall(r"w\d+q", markdown) if word not in document] == []


@settings(max_examples=300, deadline=None)
@given(MARKDOWN)
def test_reading_what_was_written_is_a_fixed_point(markdown):
    """After one normalisation, reading and writing change neither the document nor the Markdown."""
    once = read(to_adf(markdown)).markdown
    document = to_adf(once)
    assert read(document).markdown == once
    assert plain_text(document) == plain_text(to_adf(markdown))
