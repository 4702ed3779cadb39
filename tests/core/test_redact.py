"""Outside text made safe: secrets masked, hidden characters gone, nothing left that acts."""

from __future__ import annotations

import base64
import codecs
import re
import unicodedata
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from runner.core.redact import (
    FRAGMENT,
    Redactor,
    cap,
    clean,
    fence,
    forms_of,
    neutralise_log,
    neutralise_markdown,
)

SECRET = "ATATT3x+FfGF0/aBcD=EfGh~1234567890_secret"
SHORT = "hunter2!"

# Text that is likely to hit the rules: their own building blocks, mixed with anything.
PIECES = [
    *(
        "<!--",
        "-->",
        "<!",
        "<",
        "!",
        "[",
        "![",
        "](u)",
        "@",
        "@bob",
        "#",
        "#12",
        "&#35;",
        "&#64;",
        "&num;",
        "&",
    ),
    *(
        "GH-",
        "1",
        "fixes ",
        "closes",
        "https://github.com/o/r/issues/1",
        "/merge",
        "\n",
        "\r",
        " ",
        "::",
        ":",
    ),
    *(
        "##[",
        "##",
        "#[",
        "group",
        "\u200b",
        "\u202e",
        "\U000e0041",
        "\x1b[31m",
        "\x00",
        "a",
        "`",
        "-",
        "<img",
        ";",
    ),
]
texts = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=14).map("".join))


# Secrets


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"me@example.com:{SECRET}".encode()).decode(),
        base64.b64encode(f"x-access-token:{SECRET}".encode()).decode(),
        base64.b64encode(f"{SECRET}\n".encode()).decode(),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        SECRET[::-1],
        codecs.encode(SECRET, "rot13"),
        SECRET[:12],
        SECRET[-12:],
        SECRET[7:25],
    ],
)
def test_a_secret_is_masked_in_every_form(form: str) -> None:
    """Plain, URL-encoded, base64 at any offset, hexadecimal, reversed, rotated, or a piece of 12 characters."""
    masked = Redactor([SECRET]).mask(f"before {form} after")
    assert "***" in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert not any(piece in masked for piece in _pieces(form))


def _pieces(form: str) -> list[str]:
    # The first and last characters of base64 belong to the neighbours as well.
    inner = form[20:-6] if len(form) > 50 else form
    return [inner[start : start + 12] for start in range(len(inner) - 11)]


@given(st.text(min_size=6), st.text(max_size=40), st.text(max_size=40))
def test_no_secret_survives_anywhere(secret: str, before: str, after: str) -> None:
    """Whatever stands around it, the secret is not in the result."""
    secret = secret.strip()
    masked = Redactor([secret]).mask(before + secret + after)
    assert len(secret) < 6 or secret not in masked


@given(st.text(alphabet="ab*", min_size=6, max_size=30), st.text(alphabet="ab*", max_size=60))
def test_masking_twice_masks_once(secret: str, text: str) -> None:
    """The result holds nothing more to mask, even where the mask's own characters are secret."""
    redactor = Redactor([secret])
    assert redactor.mask(redactor.mask(text)) == redactor.mask(text)


@pytest.mark.parametrize("hidden", ["\u200b", "\x00", "\u202e", "\U000e0041"])
def test_hidden_characters_do_not_carry_a_secret_through(hidden: str) -> None:
    """A secret torn apart by what nobody sees is masked, in whatever order text is cleaned and masked."""
    torn = hidden.join(SECRET)
    redactor = Redactor([SECRET])
    assert redactor.mask(f"a {torn} b") == "a *** b"
    assert clean(redactor.mask(torn)) == redactor.mask(clean(torn)) == "***"


def test_a_mask_does_not_complete_another_secret() -> None:
    """What the mask and its neighbours spell together is masked too."""
    assert Redactor(["aa***bb"]).mask("aaaa***bbbb") == "***"


def test_a_short_secret_is_masked_whole() -> None:
    """A secret shorter than 12 characters is found as a whole."""
    assert Redactor([SHORT]).mask(f"pw={SHORT};") == "pw=***;"


@pytest.mark.parametrize("secret", ["", "   ", "abc", "12345"])
def test_a_value_too_short_to_be_secret_tears_nothing_apart(secret: str) -> None:
    """Masking tiny values would only damage text."""
    assert Redactor([secret]).mask("abc 12345 abc") == "abc 12345 abc"


def test_other_text_is_left_alone() -> None:
    """Text that shares less than 12 characters with a secret stays as it is."""
    text = f"{SECRET[:11]} is a prefix, {SECRET[5:16]} an infix"
    assert Redactor([SECRET, SHORT]).mask(text) == text


def test_two_secrets_side_by_side_are_both_masked() -> None:
    """Each secret is masked on its own account."""
    assert Redactor([SECRET, SHORT]).mask(SECRET + SHORT + SECRET) == "*********"


def _masked_slowly(secrets: list[str], text: str) -> str:
    """The rule word by word: every whole short form and every piece of 12 characters, again until nothing is left."""
    forms = {form for secret in secrets for form in forms_of(secret.strip())}
    short = sorted((form for form in forms if len(form) < FRAGMENT), key=len, reverse=True)
    pieces = {form[at : at + FRAGMENT] for form in forms for at in range(len(form) - FRAGMENT + 1)}
    before = None
    while before != text:
        before = text
        for form in short:
            text = text.replace(form, "***")
        hidden = {
            place
            for start in range(len(text) - FRAGMENT + 1)
            if text[start : start + FRAGMENT] in pieces
            for place in range(start, start + FRAGMENT)
        }
        shown = "".join("\0" if at in hidden else character for at, character in enumerate(text))
        text = re.sub("\0+", "***", shown)
    return text


@given(
    st.lists(st.text(alphabet="abc*", min_size=6, max_size=40), min_size=1, max_size=3),
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 60), st.text(alphabet="abc* ", max_size=15)), max_size=8
    ),
)
def test_looking_at_some_places_finds_what_looking_at_all_finds(
    secrets: list[str], parts: list[tuple[int, int, str]]
) -> None:
    """Pieces of every form, at any offset and between any text, are masked exactly as by the plain rule."""
    joined = "".join(form for secret in secrets for form in forms_of(secret.strip()))
    text = "".join(joined[start : start + length] + other for start, length, other in parts)

    assert Redactor(secrets).mask(text) == _masked_slowly(secrets, text)


@given(texts)
def test_cleaning_takes_out_each_hidden_character_and_no_other(text: str) -> None:
    """The result is the visible characters in their order."""
    ends = re.sub("\r\n|[\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]", "\n", text)

    assert clean(text) == "".join(one for one in ends if one in "\n\t" or clean(one) == one)


def test_a_redactor_does_not_show_its_secrets() -> None:
    """It can be printed."""
    assert SECRET not in repr(Redactor([SECRET]))


# Cleaning


@pytest.mark.parametrize(
    "hidden",
    [
        *("\x00", "\x07", "\x1b", "\x7f", "\x9b", "\u00ad", "\u200b", "\u200d", "\u200e", "\u202a", "\u202e"),
        *("\u2066", "\u2069", "\u2060", "\ufeff", "\ufe0f", "\U000e0001", "\U000e0041", "\U000e0101"),
        *("\u3164", "\u115f", "\u2800", "\u034f", "\u180e", "\ud800", "\udfff"),
    ],
)
def test_what_people_cannot_see_is_taken_out(hidden: str) -> None:
    """Control, bidi, zero-width, tag and filler characters, variation selectors and lone surrogates go."""
    assert clean(f"a{hidden}b{hidden}") == "ab"


def test_visible_text_of_any_script_stays() -> None:
    """Letters, accents, symbols, line feeds and tabs are text."""
    text = "Grüße,\n\tπ ≈ 3 — 日本語 עברית ✅ e\u0301 «» 🙂"
    assert clean(text) == text


@pytest.mark.parametrize("end", ["\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_every_line_end_becomes_a_line_feed(end: str) -> None:
    """What some reader takes for a new line is one for everybody."""
    assert clean(f"a{end}b") == "a\nb"


@given(texts)
def test_cleaned_text_holds_no_hidden_character(text: str) -> None:
    """Whatever went in, only visible characters, line feeds and tabs come out."""
    kinds = {unicodedata.category(each) for each in clean(text) if each not in "\n\t"}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(texts, st.none() | st.integers(min_value=0, max_value=120))
def test_cleaning_twice_cleans_once(text: str, limit: int | None) -> None:
    """Cleaned text is clean, and capped text is within its cap."""
    once = clean(text, limit)
    assert clean(once, limit) == once
    assert limit is None or len(once) <= limit


def test_capped_text_says_what_was_left_out() -> None:
    """A reader learns that there was more, and how much."""
    capped = cap("x" * 5000, 200)
    assert len(capped) == 200
    assert capped.endswith("[… 5000 characters in all, the rest left out]")


@given(st.text(max_size=300), st.integers(min_value=0, max_value=200))
def test_a_cap_holds(text: str, limit: int) -> None:
    """The result is never longer than the limit, and short text is not touched."""
    capped = cap(text, limit)
    assert len(capped) <= limit
    assert len(text) > limit or capped == text


# The log


@pytest.mark.parametrize(
    "text",
    [
        *("::error::x", "  ::set-output name=a::b", "a\n\t::add-mask::x", "a\r::stop-commands::t", "::"),
        *("\u200b::error::x", "\ufeff::debug::", "\x1b[0m::error::", "\xa0::error::", "\u3000::error::"),
        *("##[error]x", "text ##[group]y", "###[command]", "##\u200b[error]", "\x1b[##[error]", "##[##[x]"),
    ],
)
def test_known_ways_to_command_the_runner_are_text(text: str) -> None:
    """Neither form of a workflow command survives, however it is hidden."""
    assert not _commands(neutralise_log(text))


def _commands(text: str) -> list[str]:
    """The runner's own reading: a line, trimmed, that starts with ``::``, or ``##[`` anywhere in it."""
    lines = re.split("[\r\n\x0b\x0c\x85\u2028\u2029]", text)
    return [line for line in lines if line.strip().startswith("::") or "##[" in line]


@given(texts)
def test_no_text_commands_the_runner(text: str) -> None:
    """Whatever a model or tool prints, the runner finds no command in it."""
    assert not _commands(neutralise_log(text))


@given(texts)
def test_a_neutral_log_stays_as_it_is(text: str) -> None:
    """Neutralising twice changes nothing more."""
    assert neutralise_log(neutralise_log(text)) == neutralise_log(text)


def test_ordinary_log_lines_stay() -> None:
    """Colons and brackets inside a line are no commands."""
    text = "std::string a[1]\n12:30:01 ok\n# [x]"
    assert neutralise_log(text) == text


# Markdown


@pytest.mark.parametrize(
    "text",
    [
        *(
            "@bob",
            "hi @bob!",
            "(@bob)",
            "_@bob_",
            "**@bob**",
            "@org/team",
            "&#64;bob",
            "&#x40;bob",
            "&commat;bob",
        ),
        *("&#0064;bob", "@&#98;ob", "\\@bob", "<b>@bob</b>", "@\u200dbob", "`x`@bob", "\n@bob"),
    ],
)
def test_nobody_is_mentioned(text: str) -> None:
    """No spelling of a mention reaches a person."""
    assert not re.search(r"(?:^|[^A-Za-z0-9])@[A-Za-z0-9]", _rendered(neutralise_markdown(text)))


def test_an_email_address_stays() -> None:
    """An address is no mention."""
    assert neutralise_markdown("write to me@example.com") == "write to me@example.com"


@pytest.mark.parametrize(
    "text",
    [
        *("Fixes #12", "closes: #12", "RESOLVED o/r#12", "fix GH-12", "fixes &#35;12", "fixes &#x23;12"),
        *("fixes #&#49;2", "fixes #\u200b12", "closes **#12**", "fixes &num;12", "fixes #<!-- -->12"),
        *("Closes https://github.com/o/r/issues/12", "fixes [it](https://github.com/o/r/pull/3)"),
        "resolves\nhttps://github.com/o/r/issues/1",
    ],
)
def test_no_issue_is_closed_or_referred_to(text: str) -> None:
    """No spelling of a closing phrase works, with a number or a link."""
    words = _rendered(neutralise_markdown(text))
    assert not re.search(r"(?:#|GH-)\d", words, re.IGNORECASE)
    assert not re.search(
        r"\b(?:clos(?:e[sd]?)|fix(?:e[sd])?|resolve[sd]?)\b[^\n]*\n?[^\n]*/(?:issues|pull)/",
        words,
        re.IGNORECASE,
    )


def _rendered(markdown: str) -> str:
    """The words a reader's page holds: entities resolved, tags and link targets visible as text."""
    html = MarkdownIt("commonmark").render(markdown)
    html = html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    return re.sub(r"</?(?:p|b|em|strong|code)>", "", html)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a<!-- hidden -->b", "a b"),
        ("a<!-- one --><!-- two -->b", "a  b"),
        ("<!-<!-- x -->- y -->", "<!- - y -->".replace("<!", "&lt;!")),
        ("<!-- open\nend", "&lt;!-- open\nend"),
        ("<!-->shown", " shown"),
        ("<!doctype x>", "&lt;!doctype x>"),
        ("![alt](http://x/y.png)", "[alt](http://x/y.png)"),
        ("![alt][ref] !![a](b)", "[alt][ref] [a](b)"),
        ("<img src=x>", "&lt;img src=x>"),
        ("<IMG src=x>", "&lt;IMG src=x>"),
        ("<details>ok</details>", "<details>ok</details>"),
        ("a < b and List<String>", "a < b and List<String>"),
    ],
)
def test_hidden_and_loading_parts_become_text(text: str, shown: str) -> None:
    """Comments vanish, images become links, and tags that load something are shown as text."""
    assert neutralise_markdown(text) == shown


def test_bots_are_not_commanded() -> None:
    """A line that starts with a slash word is no command any more, but reads the same."""
    neutral = neutralise_markdown("/merge\n  /approve now\nsee /usr/bin\n// x")
    assert not re.search(r"^\s*/[a-z]", neutral, re.MULTILINE)
    assert neutral.replace("\u200b", "") == "/merge\n  /approve now\nsee /usr/bin\n// x"


def test_plain_markdown_stays() -> None:
    """Headings, lists, code, tables and links are not touched."""
    text = (
        "# Title\n\n- item **bold** `code`\n\n| a | b |\n|---|---|\n\n[link](https://example.com/#a)\n\n1 # 2"
    )
    assert neutralise_markdown(text) == text


@given(texts)
@example("&<!-- -->#35;12")
@example("&&#35;35;1")
@example("<!--<!--><!---->")
def test_neutral_markdown_stays_as_it_is(text: str) -> None:
    """Neutralising twice changes nothing more."""
    once = neutralise_markdown(text)
    assert neutralise_markdown(once) == once


@given(texts)
def test_no_text_acts_on_github(text: str) -> None:
    """Whatever a model wrote: no closed comment, no image, no mention, no reference remains."""
    neutral = neutralise_markdown(text)
    assert "<!--" not in neutral
    assert "![" not in neutral
    words = _rendered(neutral)
    assert not re.search(r"(?:^|[^A-Za-z0-9])@[A-Za-z0-9]", words)
    assert not re.search(r"(?<!&)#\d", words)


def test_neutralising_is_linear_in_hostile_text() -> None:
    """Nested and unclosed openings of 60,000 characters take no noticeable time."""
    for hostile in (
        "<!-" * 20_000,
        "<!--" * 15_000,
        "!" * 60_000,
        "fix " * 15_000,
        "@" * 60_000,
        "&#35" * 15_000,
    ):
        neutralise_markdown(hostile)


# The fence


def test_a_fence_names_what_it_holds() -> None:
    """A block has a name, a tag and the text on lines of its own."""
    assert fence("ticket", "Hello", "a1b2c3d4e5") == "<ticket-a1b2c3d4e5>\nHello\n</ticket-a1b2c3d4e5>"


@given(
    st.lists(
        st.sampled_from(["a1b2c3d4e5", "A1B2C3D4E5", "a1b2", "c3d4e5", "</ticket-", ">", "\n", "x"])
    ).map("".join)
)
def test_content_cannot_close_its_fence(text: str) -> None:
    """The tag occurs twice, in our own lines, whatever the text holds."""
    assert fence("ticket", text, "a1b2c3d4e5").lower().count("a1b2c3d4e5") == 2


@pytest.mark.parametrize(
    ("name", "tag"), [("Ticket", "a1b2c3d4"), ("", "a1b2c3d4"), ("ticket", "short"), ("t", "a b c d e")]
)
def test_a_fence_with_a_weak_tag_is_a_bug(name: str, tag: str) -> None:
    """A guessable or odd tag protects nothing."""
    with pytest.raises(ValueError, match="fence"):
        fence(name, "x", tag)
