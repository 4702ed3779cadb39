"""Runs one loop as a process of its own against the timeless model, and reads off what it sent, took and held."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from bench.scenario import KEY, MODELS, TASK, Provider, Scenario, write_repository
from bench.server import serving
from runner.cli.children import START
from runner.core.handover import Context, Work, WorkFile, write_file
from runner.core.phases import Phase
from runner.core.policy import CheckCommand, Checks, Models, PhaseModel, Policy

ROOT = Path(__file__).resolve().parents[1]
QUIET, NOISY = "true", "python3 -c \"print('a line of output that says little\\n' * 85_000)\""
_FENCED = re.compile(r"<([a-z]+)-([0-9a-f]{16})>\n(.*?)\n</\1-\2>", re.DOTALL)

Kind = Literal["bare", "ours"]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run. Times in seconds, ``peak`` in MB, ``prefix`` the share of the bytes of later requests already sent."""

    requests: int
    sizes: tuple[int, ...]
    prefix: float
    kept: float
    gap: float
    start_up: float
    exit: float
    peak: float
    opening: int

    @property
    def sent(self) -> int:
        """Bytes of all requests."""
        return sum(self.sizes)


def make_repository(folder: Path, *, files: int) -> str:
    """A git repository at ``folder`` with one commit, whose id is returned."""
    write_repository(folder, files=files)
    # Git's own clean-up in the background would take the ground from under the copies.
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@example.invalid", "-c", "gc.auto=0")
    for arguments in (
        ("init", "-q", "-b", "main"),
        ("add", "-A"),
        (*identity, "commit", "-q", "-m", "Start"),
        ("repack", "-a", "-d", "-q"),
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True
    )
    return head.stdout.strip()


def work_file(provider: Provider, start: str, check: str) -> WorkFile:
    """What ``gather`` would leave for this work."""
    model = PhaseModel(model=f"{provider}:{MODELS[provider]}")
    return WorkFile(
        run="bench",
        snapshot="bench",
        key="SHOP-1",
        verdict="model",
        phase="implement",
        work=Work(
            phase=Phase.IMPLEMENT,
            key="SHOP-1",
            row="12",
            input_digest="0" * 12,
            content_digest="0" * 12,
            base="main",
            start=start,
        ),
        context=Context(summary="Prices have a currency", description=TASK, type="Task"),
        commits=(start,),
        policy=Policy(
            models=Models(plan=model, implement=model, revise=model),
            checks=Checks(commands=(CheckCommand(id="tests", run=check),)),
        ),
    )


def measure(
    kind: Kind,
    provider: Provider,
    scenario: Scenario,
    repository: Path,
    start: str,
    folder: Path,
    *,
    check: str = QUIET,
) -> Measurement:
    """Run one loop on a fresh copy of the repository."""
    folder.mkdir(parents=True)
    checkout = folder / "checkout"
    subprocess.run(["cp", "-a", str(repository), str(checkout)], check=True)
    with serving(provider, scenario) as (url, seen):
        if kind == "bare":
            last = folder / "done"
            command = [sys.executable, "-m", "bench.bare", provider, url, str(checkout), str(last)]
        else:
            last = folder / "result.json"
            write_file(folder / "work.json", work_file(provider, start, check))
            command = [sys.executable, "-I", "-c", START, str(ROOT), "think"]
            command += ["--issue", "SHOP-1", "--work-dir", str(folder)]
        began, ended, peak = _run(command, _environment(url, provider), folder / "log.txt")
    if not last.exists():
        raise RuntimeError(f"the {kind} loop did not end: {(folder / 'log.txt').read_text()[-2_000:]}")
    return Measurement(
        requests=len(seen.bodies),
        sizes=tuple(map(len, seen.bodies)),
        prefix=prefix_share(seen.bodies),
        kept=kept_share(seen.bodies),
        gap=statistics.median(seen.gaps),
        start_up=seen.arrived[0] - began,
        exit=ended - last.stat().st_mtime,
        peak=peak,
        opening=opening_size(seen.bodies[0]),
    )


def _environment(url: str, provider: Provider) -> dict[str, str]:
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    keys = {"ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}
    bases = {"ANTHROPIC_BASE_URL": url} if provider == "anthropic" else {"OPENAI_BASE_URL": f"{url}/v1"}
    return {**environ, **keys, **bases, "PYTHONPATH": str(ROOT)}


def _run(command: Sequence[str], environ: Mapping[str, str], log: Path) -> tuple[float, float, float]:
    """Monotonic begin, wall-clock end, and peak memory in MB of a process."""
    with log.open("wb") as output:
        began = time.monotonic()
        child = subprocess.Popen(
            command,
            env=dict(environ),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, _, usage = os.wait4(child.pid, 0)
        ended = time.time()
        child.returncode = 0  # taken from wait4 above; nothing is left to wait for
    return began, ended, usage.ru_maxrss / 1024


def common_prefix(first: bytes, second: bytes) -> int:
    """How many bytes two requests begin with in common."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if first[:middle] == second[:middle] else (low, middle - 1)
    return low


def prefix_share(bodies: Sequence[bytes]) -> float:
    """The share of the bytes of the second and later requests that the request before began with."""
    pairs = list(pairwise(bodies))
    return sum(common_prefix(*pair) for pair in pairs) / sum(len(after) for _, after in pairs)


def kept_share(bodies: Sequence[bytes]) -> float:
    """The least share of a request that the next one repeats from its beginning: 1 when nothing is ever rewritten."""
    return min(common_prefix(*pair) / len(pair[0]) for pair in pairwise(bodies))


def opening_size(body: bytes) -> int:
    """Bytes of a first request beyond the texts of ticket, plan and repository."""
    request = json.loads(body)
    first = (request.get("messages") or request.get("input"))[0]["content"]
    text = first if isinstance(first, str) else "".join(part.get("text", "") for part in first)
    given = sum(len(json.dumps(found[2], ensure_ascii=False).encode()) - 2 for found in _FENCED.findall(text))
    return len(body) - given
