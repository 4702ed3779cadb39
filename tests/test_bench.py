"""The measurements: what they count, and the figures that hold on any machine. Times are not judged here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.__main__ import Row, rows, table
from bench.measure import (
    NOISY,
    Measurement,
    common_prefix,
    kept_share,
    make_repository,
    measure,
    opening_size,
    prefix_share,
)
from bench.scenario import TURNS, Provider, noisy, stream_of, working

PROVIDERS: tuple[Provider, ...] = ("anthropic", "openai")


def test_the_shared_beginning_of_two_requests_is_counted_in_bytes() -> None:
    """Up to the first byte that differs."""
    assert common_prefix(b"abcd", b"abXd") == 2
    assert common_prefix(b"ab", b"abcd") == 2
    assert common_prefix(b"", b"a") == 0


def test_the_share_already_sent_is_of_all_later_requests() -> None:
    """The first request counts for nothing, each later one with what the one before it began with."""
    bodies = [b"aaaa", b"aaaabb", b"aaXabbcc"]

    assert prefix_share(bodies) == pytest.approx((4 + 2) / (6 + 8))
    assert kept_share(bodies) == pytest.approx(2 / 6)


def test_the_texts_given_are_not_counted_as_overhead() -> None:
    """Fenced blocks of ticket, plan and repository are taken off a first request."""
    tag = "0123456789abcdef"
    text = f"Do it.\n<ticket-{tag}>\n{'x' * 500}\n</ticket-{tag}>"
    body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()

    assert opening_size(body) == len(body) - 500


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_scripted_answer_is_a_whole_stream(provider: Provider) -> None:
    """Thirty turns, each with the provider's last event; the last one finishes."""
    scenario = working()
    last = {"anthropic": b"message_stop", "openai": b"response.completed"}[provider]

    assert len(scenario.turns) == TURNS
    assert scenario.turns[-1][0][0] == "finish"
    assert all(last in stream_of(provider, scenario, turn) for turn in range(TURNS))


def test_a_figure_that_misses_its_target_is_marked() -> None:
    """The table shows ours, the bare loop's, their relation and the target."""
    given = {
        "requests": 30,
        "sizes": (100,),
        "prefix": 0.9,
        "kept": 1.0,
        "gap": 0.001,
        "start_up": 1.0,
        "exit": 0.01,
        "peak": 80.0,
        "opening": 100,
    }
    one = Measurement(**given)  # type: ignore[arg-type]
    found = list(rows("anthropic", "tiny", one, one))
    missed = [row.name for row in found if not row.met]

    assert missed == ["prefix already sent (share)"]
    assert table(found).count("\n! ") == 1
    assert isinstance(found[0], Row)


@pytest.mark.parametrize("files", [14, 2_000])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_engine_sends_little_more_than_the_bare_loop(
    provider: Provider, files: int, tmp_path: Path
) -> None:
    """Thirty turns: few more bytes, 95 % of them sent before, nothing rewritten, a small beginning.

    The bounds are nearer than the published ones, so that what eats into them is seen before it is too much.
    """
    repository = tmp_path / "repository"
    start = make_repository(repository, files=files)
    bare = measure("bare", provider, working(), repository, start, tmp_path / "bare")
    ours = measure("ours", provider, working(), repository, start, tmp_path / "ours")

    assert ours.requests == bare.requests == TURNS
    assert ours.sent <= 1.15 * bare.sent
    assert ours.prefix >= 0.95
    assert ours.kept > 0.999
    assert ours.opening <= 4_800


def test_a_loud_command_makes_later_requests_little_longer(tmp_path: Path) -> None:
    """2.8 MB of output cost the later requests no more than 6 KB."""
    repository = tmp_path / "repository"
    start = make_repository(repository, files=14)
    quiet = measure("ours", "openai", noisy(), repository, start, tmp_path / "quiet")
    loud = measure("ours", "openai", noisy(), repository, start, tmp_path / "loud", check=NOISY)

    assert 0 < loud.sizes[-1] - quiet.sizes[-1] <= 6_144
