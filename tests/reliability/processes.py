"""Processes of the runner, forked from one that has loaded its code, so that starting one costs next to nothing.

Each is a real process with its own memory, environment and connections, and ends when it is killed. Nothing of the
tests is in it: its origin is an interpreter of its own.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
# Reads orders, one a line; for each it tells the new process's id, and how it ended.
_ORIGIN = """
import json, os, sys
sys.path.append(sys.argv.pop(1))
import runner.cli, runner.composition, runner.workflow.stages, runner.workflow.conclude, runner.workflow.event
import runner.adapters.console, runner.adapters.git_publish, runner.adapters.github, runner.adapters.jira
import runner.adapters.pdf
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if not child:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        os.environ.clear()
        os.environ.update(order["environment"])
        try:
            runner.cli.main(order["arguments"])
        except SystemExit as ended:
            os._exit(ended.code)
        finally:
            os._exit(1)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Origin:
    """Starts one process at a time. ``kill`` may be called from any thread while ``run`` waits for it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _ORIGIN, str(ROOT)],
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._child: int | None = None
        self._gone = threading.Event()

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run one verb to its end and return its exit code; a signal's number below zero."""
        orders, answers = self._streams()
        self._gone.clear()
        orders.write(json.dumps({"arguments": list(arguments), "environment": dict(environment)}) + "\n")
        orders.flush()
        self._child = int(answers.readline())
        try:
            return int(answers.readline())
        finally:
            self._child = None
            self._gone.set()

    def kill(self, number: int) -> bool:
        """Send a signal to the process that runs now, if one does."""
        child = self._child
        if child is None:
            return False
        os.kill(child, number)
        return True

    def wait_until_gone(self) -> None:
        """Until the process that was killed is no more."""
        if not self._gone.wait(30):
            raise TimeoutError("a killed process goes on")

    def close(self) -> None:
        """End it: there are no more orders."""
        for stream in self._streams():
            stream.close()
        self._process.wait(30)

    def _streams(self) -> tuple[IO[str], IO[str]]:
        orders, answers = self._process.stdin, self._process.stdout
        if orders is None or answers is None:
            raise RuntimeError("the origin has no streams")
        return orders, answers


@cache
def origin() -> Origin:
    """The one of this test process."""
    made = Origin()
    atexit.register(made.close)
    return made
