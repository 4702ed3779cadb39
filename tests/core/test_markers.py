"""Markers: what was written is read back; what cannot be read stops everything; what is not ours is nothing."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.markers import (
    KEEP_RUNS,
    KEEP_SEEN,
    MAX_BYTES,
    Kind,
    LedgerEntry,
    Marker,
    PullRequestRecord,
    Seen,
    UnreadableMarkerError,
    from_hidden,
    from_line,
    is_marker_line,
    merge_ledgers,
    to_hidden,
    to_line,
    total_usd,
    with_run,
    without_hidden,
)
from tests.core.snapshots import (
    ADA,
    BOT,
    FIRST,
    PARENT,
    at,
    family,
    marker,
    ours,
    planned,
    pull_request,
    record,
    said,
    snapshot,
    sub_task,
    ticket,
    view,
)

LINE = "ai-runner v1 plan ABC-1 acme/shop "
texts = st.text(max_size=40)
times = st.datetimes().map(lambda when: when.isoformat() + "Z")
seen_values = st.builds(
    Seen,
    watermark=st.one_of(st.just(""), times),
    items=st.dictionaries(texts.filter(bool), st.one_of(texts.filter(bool), times), max_size=5),
)
entries = st.builds(
    LedgerEntry,
    run=texts,
    phase=texts,
    model=texts,
    tokens=st.integers(0, 10**9),
    usd=st.one_of(st.none(), st.decimals(0, 1000, places=6)),
    seconds=st.integers(0, 10**5),
    at=st.one_of(st.just(""), times),
)
ledgers = st.lists(entries, max_size=3).map(tuple)
markers = st.builds(
    Marker,
    kind=st.sampled_from(Kind),
    key=st.from_regex(r"[A-Z]{2,5}-[1-9][0-9]{0,3}", fullmatch=True),
    repository=st.from_regex(r"[a-z]{1,9}/[a-z.-]{1,9}", fullmatch=True),
    run=texts,
    phase=texts,
    input_digest=texts,
    plan_digest=texts,
    content_digest=texts,
    number=st.integers(0, 10**6),
    code=texts,
    until=texts,
    seen=seen_values,
    items=st.dictionaries(texts, texts, max_size=3),
    ledger=ledgers,
    attachment=texts,
)
records = st.builds(
    PullRequestRecord,
    key=texts.filter(bool),
    repository=texts.filter(bool),
    parent=texts,
    item=texts,
    input_digest=texts,
    plan_digest=texts,
    base=texts,
    stacked_on=texts,
    check_fixes=st.integers(0, 10),
    seen=seen_values,
    ledger=ledgers,
)


def packed(value: object, *, kind: str = "plan") -> str:
    """A line whose data is this value."""
    data = base64.urlsafe_b64encode(zlib.compress(json.dumps(value).encode())).decode().rstrip("=")
    return f"ai-runner v1 {kind} ABC-1 acme/shop {data}"


# --- the line of a comment --------------------------------------------------------------------------------


@given(markers)
def test_a_marker_is_read_as_it_was_written(value: Marker) -> None:
    """Whatever a marker records comes back whole, in one line."""
    line = to_line(value)

    assert from_line(line) == value
    assert is_marker_line(line)
    assert "\n" not in line


@given(markers, st.data())
def test_a_damaged_marker_is_unknown(value: Marker, data: st.DataObject) -> None:
    """Cutting a marker's end off never reads as another marker."""
    line = to_line(value)
    cut = data.draw(st.integers(len("ai-runner v"), len(line) - 2))

    with pytest.raises(UnreadableMarkerError):
        from_line(line[:cut])


@given(st.text(max_size=80))
def test_any_text_is_a_marker_or_unreadable(text: str) -> None:
    """Reading never fails in another way than saying that it is unreadable."""
    with pytest.raises(UnreadableMarkerError):
        from_line(LINE + text)


@pytest.mark.parametrize(
    "value",
    [
        [],
        "text",
        None,
        {},
        {"kind": "plan"},
        {"kind": "unknown", "key": "ABC-1", "repo": "acme/shop"},
        {"kind": "plan", "key": "ABC-1", "repo": "acme/shop", "seen": []},
        {"kind": "plan", "key": "ABC-1", "repo": "acme/shop", "items": [1]},
        {"kind": "plan", "key": "ABC-1", "repo": "acme/shop", "number": "many"},
        {"kind": "plan", "key": "ABC-1", "repo": "acme/shop", "ledger": [[1]]},
        {"kind": "plan", "key": "ABC-1", "repo": "acme/shop", "ledger": [["r", "p", "m", 1, "x", 1]]},
        {"kind": "plan", "key": "ABC-2", "repo": "acme/shop"},
        {"kind": "plan", "key": "ABC-1", "repo": "acme/other"},
        {"kind": "progress", "key": "ABC-1", "repo": "acme/shop"},
    ],
)
def test_data_of_another_shape_or_that_contradicts_the_line_is_unknown(value: object) -> None:
    """Only data that fits the readable words of its line counts."""
    with pytest.raises(UnreadableMarkerError):
        from_line(packed(value))


def test_a_newer_marker_is_unknown() -> None:
    """A version from the future is not guessed at, and the person learns that it is newer."""
    line = to_line(Marker(kind=Kind.PLAN, key="ABC-1", repository="acme/shop"))

    with pytest.raises(UnreadableMarkerError, match="newer version"):
        from_line(line.replace("v1", "v2", 1))


def test_a_bomb_is_not_unpacked() -> None:
    """Data that unpacks to more than we ever write is refused without being unpacked whole."""
    bomb = base64.urlsafe_b64encode(zlib.compress(b" " * (MAX_BYTES * 20), 9)).decode().rstrip("=")

    with pytest.raises(UnreadableMarkerError, match="larger"):
        from_line(LINE + bomb)


def test_deeply_nested_data_is_unknown() -> None:
    """Brackets without end are refused, not followed."""
    data = base64.urlsafe_b64encode(zlib.compress(b"[" * (MAX_BYTES - 1))).decode().rstrip("=")

    with pytest.raises(UnreadableMarkerError):
        from_line(LINE + data)


def test_other_lines_are_no_markers() -> None:
    """What does not begin as our line is somebody's words."""
    assert not is_marker_line("I asked ai-runner v1 plan ABC-1")


# --- whose marker counts ----------------------------------------------------------------------------------


def test_a_comment_of_ours_counts() -> None:
    """Written and last changed by the runner, for this ticket and repository."""
    assert view(snapshot(ticket(comments=[planned()]))).plan_comment is not None


def test_a_marker_copied_into_a_persons_comment_is_nothing() -> None:
    """The author must be the runner."""
    copied = replace(planned(), author=ADA, editor=ADA)

    assert view(snapshot(ticket(comments=[copied]))).trail == ()


def test_a_comment_of_ours_that_a_person_edited_does_not_count() -> None:
    """The last editor must be the runner, too."""
    found = view(snapshot(ticket(comments=[planned(editor=ADA)])))

    assert found.trail == ()
    assert found.edited_plan is not None


def test_a_damaged_comment_of_ours_stops_everything() -> None:
    """Ours but unreadable is unknown, not empty."""
    damaged = replace(planned(), last_line=LINE + "!!")

    with pytest.raises(UnreadableMarkerError):
        _ = view(snapshot(ticket(comments=[damaged]))).trail


def test_a_persons_damaged_line_stops_nothing() -> None:
    """Foreign is none, however it looks."""
    theirs = said(ADA, 10, last_line=LINE + "!!")

    assert view(snapshot(ticket(comments=[theirs]))).trail == ()


def test_a_marker_of_another_ticket_or_repository_does_not_count() -> None:
    """Markers are bound to their ticket and their repository."""
    elsewhere = ours(marker(Kind.NOTE, key="ABC-99", code="x"), 10)
    foreign = ours(replace(marker(Kind.NOTE, code="x"), repository="acme/other"), 11)

    assert view(snapshot(ticket(comments=[elsewhere, foreign]))).trail == ()


def test_a_marker_survives_its_tickets_move_to_another_project() -> None:
    """The changelog names the keys that a ticket had."""
    own = ticket(comments=[ours(marker(Kind.NOTE, key="OLD-7", code="x"), 10)])
    renamed = replace(own.history[0], field="Key", old="OLD-7", new=PARENT)

    assert view(snapshot(replace(own, history=(renamed,)))).has_note("x")


def test_a_marker_of_a_former_account_counts() -> None:
    """Accounts that the runner had before are read."""
    old = replace(BOT, id="old-bot")
    comment = replace(ours(marker(Kind.NOTE, code="x"), 10), author=old, editor=old)
    snap = snapshot(ticket(comments=[comment]))

    assert not view(snap).has_note("x")
    assert view(replace(snap, former=frozenset({"old-bot"}))).has_note("x")


def test_a_plan_whose_machine_form_does_not_fit_its_digest_stops_everything() -> None:
    """What was approved must be known to the letter."""
    swapped = replace(planned(), code_blocks=(("Plan data", "{}"),))

    with pytest.raises(UnreadableMarkerError, match="machine form"):
        _ = view(snapshot(ticket(comments=[swapped]))).plan


# --- what was taken into account --------------------------------------------------------------------------


def test_an_edit_makes_a_point_unread_again() -> None:
    """A version that was seen is covered, a later one is not."""
    seen = Seen(items={"comment:1": at(10)})

    assert seen.covers("comment:1", at(10))
    assert not seen.covers("comment:1", at(11))


def test_an_earlier_version_of_what_was_seen_is_covered() -> None:
    """A time that went back is no edit; it would be unread for ever, as the later one stays recorded."""
    seen = Seen(items={"comment:1": at(10)})

    assert seen.union(Seen(items={"comment:1": at(9)})).covers("comment:1", at(9))
    assert not seen.covers("comment:2", at(9))


def test_the_watermark_covers_what_is_not_newer() -> None:
    """Points without an entry of their own are compared by time."""
    seen = Seen(watermark=at(10))

    assert seen.covers("comment:1", at(10))
    assert not seen.covers("comment:1", at(11))


def test_the_watermark_does_not_cover_what_has_no_time() -> None:
    """A commit or a digest is not older than a moment."""
    assert not Seen(watermark=at(10)).covers("check:ci", "0" * 40)


@given(st.lists(st.tuples(texts, times), max_size=3 * KEEP_SEEN))
def test_what_is_remembered_is_bounded_and_forgets_nothing(pairs: list[tuple[str, str]]) -> None:
    """Only the newest are kept by name, and every one is still covered."""
    newest = dict(pairs)
    seen = Seen().with_items(newest.items())

    assert len(seen.items) <= KEEP_SEEN
    assert all(seen.covers(name, version) for name, version in newest.items())


@given(seen_values, seen_values, texts, times)
def test_a_union_covers_no_time_that_neither_covers(one: Seen, other: Seen, name: str, when: str) -> None:
    """Taking two records together invents nothing."""
    if one.union(other).covers(name, when):
        assert one.covers(name, when) or other.covers(name, when)


def test_a_union_keeps_the_newer_version() -> None:
    """For one point the later edit counts."""
    union = Seen(items={"a": at(10)}).union(Seen(items={"a": at(12)}))

    assert union == Seen(items={"a": at(12)})


# --- the pull request's record ----------------------------------------------------------------------------


@given(records)
def test_a_record_is_read_as_it_was_written(value: PullRequestRecord) -> None:
    """Whatever a record holds comes back whole, from between a person's words."""
    assert from_hidden(f"Before\n{to_hidden(value)}\nafter") == value


@pytest.mark.parametrize("text", ["--", "-->", "--->", "<!--", "--!>", "a -->\n<script>", "----"])
def test_nothing_in_a_record_ends_its_comment(text: str) -> None:
    """A value cannot leave the hidden comment or open another."""
    value = PullRequestRecord(key="ABC-1", repository="acme/shop", base=text, seen=Seen(items={text: text}))
    hidden = to_hidden(value)

    assert "--" not in hidden.removeprefix("<!--").removesuffix("-->")
    assert ">" not in hidden.removesuffix("-->")
    assert from_hidden(hidden) == value


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no record",
        "<!-- ai-runner {} -->",
        "<!-- ai-runner {not json} -->",
        '<!-- ai-runner {"key": "A", "repository": "r", "seen": 1} -->',
        '<!-- ai-runner {"key": "A", "repository": "r", "check_fixes": "x"} -->',
        '<!-- ai-runner {"key": "A", "repository": "r", "ledger": [1]} -->',
        '<!-- ai-runner {"key": "A", "repository": "r", "ledger": [[1]]} -->',
        '<!-- ai-runner {"key": ' + "[" * 60_000 + "} -->",
    ],
)
def test_a_body_without_a_whole_record_has_none(body: str) -> None:
    """A pull request carries no authority: what cannot be read is absent."""
    assert from_hidden(body) is None


def test_the_visible_part_is_without_the_record() -> None:
    """The hidden comment is ours, the words around it are the people's."""
    assert without_hidden(f"Words\n{to_hidden(record(FIRST))}\n") == "Words"


def test_a_record_of_another_ticket_is_none() -> None:
    """A body copied from another pull request says nothing about this ticket."""
    snap = family(FIRST, sub_task(FIRST, "alpha"))
    copied = pull_request(FIRST, facts=record("ABC-99"))

    assert view(replace(snap, pull_requests=(copied,))).record is None


# --- bills ------------------------------------------------------------------------------------------------


def bill(run: str, usd: str | None = "0.5") -> LedgerEntry:
    return LedgerEntry(
        run=run, phase="plan", model="m", tokens=10, usd=Decimal(usd) if usd is not None else None
    )


def test_a_run_is_counted_once() -> None:
    """A bill found in two places is one bill."""
    assert merge_ledgers([bill("1"), bill("2")], [bill("1")]) == (bill("1"), bill("2"))


def test_ledgers_are_bounded_unless_all_are_wanted() -> None:
    """A marker keeps the newest runs; a sum counts all."""
    many = [bill(str(number)) for number in range(KEEP_RUNS + 5)]

    assert merge_ledgers(many) == tuple(many[-KEEP_RUNS:])
    assert merge_ledgers(many, keep=None) == tuple(many)


def test_an_unknown_price_makes_the_sum_unknown() -> None:
    """Unknown is never shown as a small number."""
    assert total_usd([bill("1"), bill("2")]) == Decimal(1)
    assert total_usd([bill("1"), bill("2", None)]) is None


def test_a_record_takes_one_more_run() -> None:
    """The pull request's ledger grows by a run it did not have."""
    assert with_run(with_run(record(FIRST), bill("1")), bill("1")).ledger == (bill("1"),)
