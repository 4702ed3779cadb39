"""``python -m bench``: every measurement with its target, as differences and ratios to the bare SDK loop.

Of a request, what the last turn added cannot have been sent before. In the thirty turns, even a loop that only ever
appends and has nothing to say but the bare loop's own texts reaches a share of 0.946 "already sent"; more than that
comes from adding less in each turn, or from ballast in front of it. So the share is read together with the bytes
sent, and with how much of the request before is repeated unchanged, which is what an engine can spoil.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.measure import NOISY, QUIET, Measurement, make_repository, measure
from bench.scenario import Provider, noisy, working

SIZES = {"tiny": 14, "large": 20_000}
TURN_MS = {"tiny": 5.0, "large": 10.0}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure: ours, the bare loop's, what their relation is, and what it should be at most (or at least)."""

    provider: str
    repository: str
    name: str
    ours: float
    bare: float
    relation: float
    target: str
    met: bool


def rows(provider: Provider, size: str, ours: Measurement, bare: Measurement) -> Iterator[Row]:
    """The figures of one pair of runs."""

    def row(
        name: str, mine: float, theirs: float, relation: float, limit: float, *, at_least: bool = False
    ) -> Row:
        met = relation >= limit if at_least else relation <= limit
        words = f"{'≥' if at_least else '≤'} {limit:g}"
        return Row(
            provider=provider,
            repository=size,
            name=name,
            ours=mine,
            bare=theirs,
            relation=relation,
            target=words,
            met=met,
        )

    gap, bare_gap = ours.gap * 1000, bare.gap * 1000
    yield row("per turn, ms (difference)", gap, bare_gap, gap - bare_gap, TURN_MS[size])
    yield row("bytes sent (ratio)", ours.sent, bare.sent, ours.sent / bare.sent, 1.2)
    yield row("prefix already sent (share)", ours.prefix, bare.prefix, ours.prefix, 0.95, at_least=True)
    yield row("request before repeated (least share)", ours.kept, bare.kept, ours.kept, 0.999, at_least=True)
    yield row("first request beyond the texts, bytes", ours.opening, bare.opening, ours.opening, 5_120)
    yield row("peak memory, MB (difference)", ours.peak, bare.peak, ours.peak - bare.peak, 40)
    start, bare_start = ours.start_up * 1000, bare.start_up * 1000
    yield row(
        "start-up, ms (difference)", start, bare_start, start - bare_start, 400 if size == "tiny" else 600
    )
    yield row("end after the last write, ms", ours.exit * 1000, bare.exit * 1000, ours.exit * 1000, 50)


def run(providers: list[Provider], sizes: list[str]) -> list[Row]:
    """Measure everything that was asked for."""
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="ai-runner-bench-") as temporary:
        folder = Path(temporary)
        for size in sizes:
            repository = folder / f"{size}-repository"
            start = make_repository(repository, files=SIZES[size])
            for provider in providers:
                place = folder / f"{size}-{provider}"
                bare = measure("bare", provider, working(), repository, start, place / "bare")
                ours = measure("ours", provider, working(), repository, start, place / "ours")
                found += rows(provider, size, ours, bare)
                if size == "tiny":
                    found.append(_loud(provider, repository, start, place))
    return found


def _loud(provider: Provider, repository: Path, start: str, place: Path) -> Row:
    quiet = measure("ours", provider, noisy(), repository, start, place / "quiet", check=QUIET)
    loud = measure("ours", provider, noisy(), repository, start, place / "loud", check=NOISY)
    longer = loud.sizes[-1] - quiet.sizes[-1]
    return Row(
        provider=provider,
        repository="tiny",
        name="later requests after 2.8 MB of output, bytes longer",
        ours=loud.sizes[-1],
        bare=quiet.sizes[-1],
        relation=longer,
        target="≤ 6144",
        met=longer <= 6_144,
    )


def table(found: list[Row]) -> str:
    """The figures for people."""
    lines = [
        f"{'':2}{'provider':10} {'repository':10} {'what':52} {'ours':>12} {'bare':>12} {'relation':>10}  target"
    ]
    for one in found:
        mark = "  " if one.met else "! "
        lines.append(
            f"{mark}{one.provider:10} {one.repository:10} {one.name:52} {one.ours:12,.2f} {one.bare:12,.2f} "
            f"{one.relation:10,.2f}  {one.target}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--provider", choices=("anthropic", "openai"), action="append")
    parser.add_argument("--repository", choices=tuple(SIZES), action="append")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON list")
    arguments = parser.parse_args()
    found = run(arguments.provider or ["anthropic", "openai"], arguments.repository or list(SIZES))
    print(json.dumps([asdict(one) for one in found]) if arguments.json else table(found))
    missed = sum(not one.met for one in found)
    if missed and not arguments.json:
        print(f"{missed} of {len(found)} figures miss their target (marked !).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
