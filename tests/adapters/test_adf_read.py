"""Jira documents into Markdown."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from runner.adapters.adf import AdfText, AdfTooLarge, compose, plain_text, quiet_line, read, to_adf
from tests.adapters.adf_nodes import BREAK, Node, doc, is_valid, item, leaf, node, paragraph, text
from tests.adapters.adf_schema import documents, node_types

INLINE: dict[str, tuple[list[Node | str], str]] = {
    "marks": (
        ["a ", text("b", "strong"), " ", text("c", "em"), " ", text("d", "strike")],
        "a **b** *c* ~~d~~",
    ),
    "marks without a form": ([text("a", "underline")], "a"),
    "marks over a part of a link": (
        [text("a", "strong"), text(" b", "strong", href="https://x.y")],
        "**a[ b](https://x.y)**",
    ),
    "whitespace moves out of marks": ([text("Name: ", "strong"), "x"], "**Name:** x"),
    "punctuation moves out of marks where it must": ([text("Name:", "strong"), "x"], "**Name**:x"),
    "code": ([text("a`b", "code")], "``a`b``"),
    "code with edges": ([text("`", "code")], "`` ` ``"),
    "link": ([text("a", href="https://x.y/a_(b)")], "[a](<https://x.y/a_(b)>)"),
    "bare link": ([text("https://x.y", href="https://x.y")], "<https://x.y>"),
    "relative link": ([text("a", href="/browse/A-1")], "a (/browse/A-1)"),
    "specials are escaped": (["*a* [b] <c> `d` _e_ {status:f}"], r"\*a\* \[b] \<c> \`d\` \_e\_ \{status:f}"),
    "only where needed": (["snake_case C:\\dir 2 < 3 & ~/x a|b"], r"snake_case C:\dir 2 < 3 & ~/x a|b"),
    "line starts": (
        ["# a", BREAK, "- b", BREAK, "12. c", BREAK, "> d"],
        "\\# a\\\n\\- b\\\n12\\. c\\\n\\> d",
    ),
    "numbers elsewhere": (["1 of 4."], "1 of 4."),
    "newline in text": (["a\nb"], "a\\\nb"),
    "mention": ([leaf("mention", id="5b", text="@Bo")], "[~accountid:5b](@Bo)"),
    "mention without name": ([leaf("mention", id="5b")], "[~accountid:5b]"),
    "status": ([leaf("status", text="In {x}", color="red")], r"{status:In \{x\}|red}"),
    "date": ([leaf("date", timestamp="1700000000000")], "2023-11-14"),
    "date that is none": ([leaf("date", timestamp="soon")], "soon"),
    "emoji": ([leaf("emoji", shortName=":smile:", text="😄")], "😄"),
    "emoji without text": ([leaf("emoji", shortName=":party_blob:")], ":party_blob:"),
    "inline card": ([leaf("inlineCard", url="https://x.y")], "<https://x.y>"),
    "inline card with data": (
        [leaf("inlineCard", data={"url": "https://x.y", "name": "X"})],
        "[X](https://x.y)",
    ),
    "inline media": (
        [leaf("mediaInline", id="7", collection="c", alt="log")],
        "![log](attachment:7)",
    ),
    "placeholder": ([leaf("placeholder", text="type here")], "type here"),
    "inline extension": ([leaf("inlineExtension", extensionKey="k", extensionType="t", text="x")], "x"),
    "unknown": ([{"type": "sparkle", "attrs": {"text": "new"}}], "new"),
}


@pytest.mark.parametrize(("content", "expected"), INLINE.values(), ids=[*INLINE])
def test_inline_nodes_become_markdown(content, expected):
    """Every inline node has a readable form."""
    assert expected == read(doc(paragraph(*content))).markdown


MEDIA = leaf("media", type="file", id="9", collection="c", alt="plan.png")

BLOCKS: dict[str, tuple[list[Node], str]] = {
    "empty paragraphs go": ([paragraph("a"), paragraph(), paragraph("b")], "a\n\nb"),
    "heading": ([node("heading", text("a #"), level=2)], "## a \\#"),
    "code": ([node("codeBlock", text("```\nx"), language="sh")], "````sh\n```\nx\n````"),
    "rule": ([leaf("rule")], "___"),
    "lists": (
        [
            node(
                "bulletList",
                item(paragraph("a"), node("bulletList", item(paragraph("b")))),
                item(paragraph("c"), paragraph("d")),
            ),
            node("orderedList", item(paragraph("e")), item(paragraph("f")), order=9),
        ],
        "- a\n  - b\n- c\n\n  d\n\n9. e\n10. f",
    ),
    "lists that touch stay apart": (
        [node("bulletList", item(paragraph("a"))), node("bulletList", item(paragraph("b")))],
        "- a\n\n* b",
    ),
    "tasks": (
        [
            node(
                "taskList",
                node("taskItem", text("a"), localId="1", state="DONE"),
                node("taskList", node("taskItem", text("b"), localId="2", state="TODO"), localId="3"),
                localId="4",
            )
        ],
        "- [x] a\n  - [ ] b",
    ),
    "decisions": (
        [node("decisionList", node("decisionItem", text("a"), localId="1", state="DECIDED"), localId="2")],
        "- **Decision:** a",
    ),
    "quote": ([node("blockquote", paragraph("a"), paragraph("b"))], "> a\n>\n> b"),
    "panel": ([node("panel", paragraph("a"), panelType="error")], "> [!ERROR]\n> a"),
    "panel of code": (
        [node("panel", node("codeBlock", text("a")), panelType="custom")],
        "> [!INFO]\n>\n> ```\n> a\n> ```",
    ),
    "expand": ([node("expand", paragraph("a"), title="T *x*")], ":::expand T *x*\na\n:::"),
    "nested expand": (
        [node("expand", node("nestedExpand", paragraph("a"), title="B"), title="A")],
        "::::expand A\n:::expand B\na\n:::\n::::",
    ),
    "table": (
        [
            node(
                "table",
                node("tableRow", node("tableHeader", paragraph("a|b")), node("tableHeader", paragraph("c"))),
                node("tableRow", node("tableCell", paragraph("d"), colspan=2)),
            )
        ],
        "| a\\|b | c |\n| --- | --- |\n| d |  |",
    ),
    "table without header": (
        [node("table", node("tableRow", node("tableCell", paragraph("a"))))],
        "|  |\n| --- |\n| a |",
    ),
    "blocks in a cell": (
        [
            node(
                "table",
                node(
                    "tableRow",
                    node(
                        "tableHeader",
                        paragraph("a"),
                        node("bulletList", item(paragraph("b")), item(paragraph("c"))),
                        node("codeBlock", text("x\ny")),
                    ),
                ),
            )
        ],
        "| a<br>- b<br>- c<br>`x`<br>`y` |\n| --- |",
    ),
    "media": (
        [node("mediaSingle", MEDIA, node("caption", text("cap")), layout="center")],
        "![plan.png](attachment:9)\n\ncap",
    ),
    "media group": (
        [node("mediaGroup", MEDIA, MEDIA)],
        "![plan.png](attachment:9)\n\n![plan.png](attachment:9)",
    ),
    "external media": (
        [node("mediaSingle", leaf("media", type="external", url="https://x.y/p"), layout="center")],
        "![](https://x.y/p)",
    ),
    "block card": ([leaf("blockCard", url="https://x.y")], "<https://x.y>"),
    "embed card": ([leaf("embedCard", url="https://x.y", layout="wide")], "<https://x.y>"),
    "layout": (
        [
            node(
                "layoutSection",
                node("layoutColumn", paragraph("a"), width=50),
                node("layoutColumn", paragraph("b"), width=50),
            )
        ],
        "a\n\nb",
    ),
    "bodied extension": (
        [node("bodiedExtension", paragraph("a"), extensionKey="k", extensionType="t", text="shown")],
        "shown\n\na",
    ),
    "unknown blocks stay apart": (
        [node("novelty", text("a")), node("novelty", paragraph("b"), title="T")],
        "a\n\nT\n\nb",
    ),
}


@pytest.mark.parametrize(("content", "expected"), BLOCKS.values(), ids=[*BLOCKS])
def test_blocks_become_markdown(content, expected):
    """Every block has a readable form that stands apart from its neighbours."""
    assert expected == read(doc(*content)).markdown


def test_plain_text_is_words_only():
    """Words come without markup, a line for each block."""
    document = doc(
        node("heading", text("Title"), level=1),
        node("bulletList", item(paragraph(text("a*b", "strong"))), item(paragraph("c"))),
        paragraph("hi ", leaf("mention", id="5b", text="@Bo"), " ", leaf("status", text="Ok", color="green")),
        node("expand", node("codeBlock", text("x = 1\ny")), title="Log"),
    )
    assert plain_text(document) == "Title\na*b\nc\nhi @Bo Ok\nLog\nx = 1\ny"


def test_the_body_leaves_out_only_what_a_machine_appended():
    """A person's own collapsed log is part of the body; ours, right before the quiet line, is not."""
    log = node("expand", node("codeBlock", text("boom")), title="Log")
    theirs = read(doc(paragraph("a"), log))
    ours = read(doc(paragraph("a"), log, paragraph("b"), log, quiet_line("mark"), paragraph()))
    assert theirs.body_markdown == theirs.markdown
    assert ours.body_markdown == "a\n\n:::expand Log\n```\nboom\n```\n:::\n\nb"
    assert (ours.last_line, ours.code_blocks) == ("mark", (("Log", "boom"), ("Log", "boom")))


def test_the_last_line_is_of_the_last_paragraph_with_words():
    """Empty paragraphs at the end, which editors add, hide nothing."""
    assert read(doc(paragraph("a"), paragraph(text("b", "strong"), " c"), paragraph())).last_line == "b c"


@pytest.mark.parametrize(
    "value", [None, [], {}, "", 0, True, {"type": "doc"}, {"content": None}, [[], [None]]]
)
def test_a_value_without_words_is_empty_text(value):
    """What holds nothing reads as nothing."""
    assert read(value) == AdfText(markdown="", body_markdown="", code_blocks=(), last_line="")
    assert plain_text(value) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        (["a", ["b"]], "ab"),
        ({"type": "doc", "content": "a"}, "a"),
        ({"type": "doc", "content": {"type": "paragraph", "content": "a"}}, "a"),
        ({"type": 7, "content": [{"text": "a"}]}, "a"),
        ({"type": "heading", "attrs": "x", "content": ["a"]}, "# a"),
        ({"type": "bulletList", "content": ["a", {"type": "text", "text": "b", "marks": "em"}]}, "- ab"),
        ({"type": "table", "content": ["a"]}, "a"),
        ({"type": "tableCell", "content": ["a"]}, "a"),
        ({"type": "mention", "attrs": {"id": "<x>", "text": "Bo"}}, r"\<x> Bo"),
        (
            {
                "type": "orderedList",
                "attrs": {"order": 10**30},
                "content": [{"type": "listItem", "content": "a"}],
            },
            "1. a",
        ),
        ({"type": "date", "attrs": {"timestamp": "9" * 40}}, "9" * 40),
    ],
)
def test_malformed_documents_keep_their_words(value, expected):
    """Wrong types cost structure, not words."""
    assert expected == read(value).markdown


def nested(depth: int, kind: str = "blockquote") -> Node:
    """One paragraph under ``depth`` nodes."""
    inner = paragraph("deep")
    for _ in range(depth):
        inner = node(kind, inner)
    return inner


@pytest.mark.parametrize("reader", [read, plain_text])
@pytest.mark.parametrize(
    "document",
    [
        nested(5_000),
        doc(*[paragraph("a")] * 100_000),
        doc(node("paragraph", *[text("a")] * 100_000)),
        {"type": "doc", "content": [[[[]]] * 60_000]},
    ],
    ids=["deep", "many", "wide", "lists"],
)
def test_documents_too_large_are_refused_at_once(reader, document):
    """Depth and size have bounds, found without reading past them."""
    began = time.process_time()
    with pytest.raises(AdfTooLarge):
        reader(document)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "kind",
    ["blockquote", "bulletList", "listItem", "heading", "tableCell", "expand", "taskItem", "x", "panel"],
)
def test_documents_up_to_the_limit_are_read(kind):
    """A depth of 200 needs no stack of its own, whatever is nested."""
    assert "deep" in read(nested(198, kind)).markdown


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "content", "text", "attrs", "marks", "title", "url", "id", "level", "order"]
            ),
            inner
            | st.sampled_from(
                [
                    "doc",
                    "paragraph",
                    "text",
                    "listItem",
                    "bulletList",
                    "table",
                    "tableRow",
                    "tableCell",
                    "expand",
                    "codeBlock",
                    "heading",
                    "taskList",
                    "taskItem",
                    "mention",
                    "status",
                    "media",
                    "inlineCard",
                    "panel",
                    "date",
                    "link",
                    "strong",
                ]
            ),
            max_size=5,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=400, deadline=None)
@given(JSON)
def test_any_json_value_is_read(value):
    """Reading is total, and what it gives can be written."""
    assert is_valid(to_adf(read(value).markdown))
    assert isinstance(plain_text(value), str)


WORDS = st.text(st.sampled_from("ab1é _*[]()|~<>#-+.`\\&!{}:\n\t=\"'😀"), min_size=1, max_size=12)
MARKS = st.sets(st.sampled_from(["strong", "em", "strike", "underline"])).map(sorted)
LINKS = st.sampled_from(
    [{}, {}, {"href": "https://x.y"}, {"href": "/rel"}, {"href": "https://x.y", "title": 'a "b"'}]
)


def content(*choices: st.SearchStrategy[Node], least: int = 1) -> st.SearchStrategy[list[Node]]:
    """Some nodes of the given kinds."""
    return st.lists(st.one_of(*choices), min_size=least, max_size=2)


def block(
    kind: str, inner: st.SearchStrategy[list[Node]], **attrs: st.SearchStrategy[Any]
) -> st.SearchStrategy[Node]:
    """A node of this kind around generated content."""
    return st.builds(lambda c, a: node(kind, *c, **a), inner, st.fixed_dictionaries(attrs))


TEXT = st.builds(lambda t, m, link: text(t, *m, **link), WORDS, MARKS, LINKS)
LINE = st.lists(
    st.one_of(
        TEXT,
        TEXT,
        st.builds(lambda t: text(t, "code"), WORDS),
        st.just(BREAK),
        st.builds(lambda t: leaf("mention", id="5b:1", text=f"@{t}"), WORDS),
        st.builds(lambda t: leaf("status", text=t, color="blue"), WORDS),
        st.builds(lambda t: leaf("emoji", shortName=":x:", text=t), WORDS),
        st.builds(lambda t: leaf("placeholder", text=t), WORDS),
        st.builds(lambda t: leaf("inlineExtension", extensionKey="k", extensionType="t", text=t), WORDS),
        st.builds(lambda t: leaf("mediaInline", id="7", collection="c", alt=t), WORDS),
        st.just(leaf("inlineCard", url="https://x.y/z")),
        st.just(leaf("date", timestamp="1700000000000")),
    ),
    max_size=3,
)
ID = st.just("i")
PARAGRAPH = block("paragraph", LINE)
HEADING = block("heading", LINE, level=st.integers(1, 6))
CODE = block(
    "codeBlock", st.lists(st.builds(text, WORDS), max_size=2), language=st.sampled_from(["py", "a b", ""])
)
RULE = st.just(leaf("rule"))
MEDIA_NODE = st.builds(lambda t: leaf("media", type="file", id="9", collection="c", alt=t), WORDS)
SINGLE = st.builds(
    lambda m, c: node("mediaSingle", m, node("caption", *c), layout="center"),
    MEDIA_NODE,
    st.lists(TEXT, max_size=2),
)
GROUP = block("mediaGroup", content(MEDIA_NODE))
CARD = st.just(leaf("blockCard", url="https://x.y/card"))
TASK = block("taskItem", LINE, localId=ID, state=st.sampled_from(["TODO", "DONE"]))
TASKS = block("taskList", content(TASK, block("taskList", content(TASK), localId=ID)), localId=ID)
DECISIONS = block(
    "decisionList", content(block("decisionItem", LINE, localId=ID, state=st.just("DECIDED"))), localId=ID
)
EXTENSION = st.builds(lambda t: leaf("extension", extensionKey="k", extensionType="t", text=t), WORDS)


def lists(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """Lists whose items hold ``inner`` besides paragraphs."""
    items = content(block("listItem", content(PARAGRAPH, CODE, SINGLE, inner)))
    return st.one_of(block("bulletList", items), block("orderedList", items, order=st.integers(0, 2_000)))


LISTS = lists(lists(TASKS | EXTENSION))
QUOTE = block("blockquote", content(PARAGRAPH, LISTS, CODE, GROUP, EXTENSION))
PANEL = block(
    "panel",
    content(PARAGRAPH, HEADING, LISTS, CODE, TASKS, RULE, DECISIONS, CARD),
    panelType=st.sampled_from(["info", "note", "tip", "warning", "error", "success", "custom"]),
)
COMMON = (PARAGRAPH, HEADING, LISTS, CODE, TASKS, DECISIONS, RULE, PANEL, QUOTE, SINGLE, GROUP, EXTENSION)
NESTED_EXPAND = block("nestedExpand", content(*COMMON), title=WORDS)
CELLS = content(*COMMON, NESTED_EXPAND, CARD)
ROW = block("tableRow", content(block("tableCell", CELLS), block("tableHeader", CELLS), least=0))
TABLE = block("table", content(ROW))
EXPAND = block("expand", content(*COMMON, NESTED_EXPAND, TABLE, CARD), title=WORDS)
COLUMN = block("layoutColumn", content(*COMMON, TABLE, EXPAND), width=st.just(50))
LAYOUT = st.builds(lambda a, b: node("layoutSection", a, b), COLUMN, COLUMN)
BODIED = block(
    "bodiedExtension",
    content(*COMMON, TABLE),
    extensionKey=st.just("k"),
    extensionType=st.just("t"),
    text=WORDS,
)
DOCUMENT: st.SearchStrategy[Node] = content(*COMMON, TABLE, EXPAND, LAYOUT, BODIED, CARD, least=0).map(
    lambda blocks: doc(*blocks)
)


def words_in(value: Any) -> list[str]:
    """Every word a person sees: text, titles, alternative texts."""
    if isinstance(value, list):
        return [word for part in value for word in words_in(part)]
    if not isinstance(value, dict):
        return []
    shown = [value.get(name) for name in ("text", "title", "alt")]
    own = [word for part in shown if isinstance(part, str) for word in re.findall(r"[^\W_]+", part)]
    return own + [word for name in ("attrs", "content") for word in words_in(value.get(name))]


def kinds_in(value: Any) -> set[str]:
    """Every kind of node in a document."""
    if isinstance(value, list):
        return {kind for part in value for kind in kinds_in(part)}
    return {value["type"], *kinds_in(value.get("content", []))} if isinstance(value, dict) else set()


def unescaped(markdown: str) -> str:
    """Markdown without its escapes."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown)


STEADY = settings(
    max_examples=700, derandomize=True, database=None, deadline=None, suppress_health_check=[*HealthCheck]
)
SLOW = settings(max_examples=250, deadline=None, suppress_health_check=[*HealthCheck])


@SLOW
@given(DOCUMENT)
def test_reading_loses_no_word(document):
    """Every word of every document within the schema is in the Markdown."""
    assert is_valid(document)
    markdown = unescaped(read(document).markdown)
    assert [word for word in words_in(document) if word not in markdown] == []


@SLOW
@given(documents())
def test_reading_loses_no_word_that_the_schema_allows(document):
    """The same for documents drawn from the schema itself, with every node, mark and attribute that it knows."""
    assume(is_valid(document))
    markdown = unescaped(read(document).markdown)
    assert [word for word in words_in(document) if word not in markdown] == []
    assert is_valid(to_adf(read(document).markdown))


def test_every_node_of_the_schema_is_drawn():
    """No kind of node is out of the generator's reach."""
    drawn: set[str] = set()

    @STEADY
    @given(documents())
    def draw(document):
        drawn.update(kinds_in(document))

    draw()
    assert node_types() - drawn == set()


@SLOW
@given(DOCUMENT)
def test_words_survive_reading_and_writing_again(document):
    """What was read can be written, and says the same in the same order, give or take list dashes."""
    written = to_adf(read(document).markdown)
    assert is_valid(written)
    assert [word for word in words_in(document) if word not in str(written)] == []


@SLOW
@given(DOCUMENT)
def test_reading_settles_after_one_writing(document):
    """Read, written and read again, a document no longer changes."""
    once = to_adf(read(document).markdown)
    twice = to_adf(read(once).markdown)
    assert to_adf(read(twice).markdown) == twice
    assert plain_text(twice) == plain_text(once)


@SLOW
@given(DOCUMENT, WORDS.filter(str.strip))
def test_a_marker_is_found_below_any_comment(document, marker):
    """Whatever a comment says, its quiet last line is read apart from it."""
    comment = compose(read(document).markdown, collapsed=[("Plan", "{}")], last_line=marker)
    found = read(comment)
    assert found.last_line == " ".join(marker.split())
    assert found.code_blocks[-1] == ("Plan", "{}")
    assert found.body_markdown == read(to_adf(read(document).markdown)).markdown
