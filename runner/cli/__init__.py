"""The command line: build what a stage needs, run it, catch once, report, exit.

Every stage is a process of its own with only its own secrets; they meet in ``work.json`` and ``result.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict

from runner.cli.parser import make_parser
from runner.cli.verb import Verb, report_on
from runner.errors import ConfigError, RunnerError


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb and exit with its code."""
    arguments = make_parser().parse_args(sys.argv[1:] if argv is None else list(argv))
    code = _run_verb(arguments)
    if argv is None and arguments.verb == "think":
        # Everything is written; taking the SDKs' modules apart would only cost a quarter of a second.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run_verb(arguments: argparse.Namespace) -> int:
    if arguments.verb == "demo":
        return _demo(arguments)
    if arguments.verb == "replay":
        return _replay(arguments)
    from runner.adapters.console import open_console
    from runner.core.redact import Redactor
    from runner.settings import Settings, share_certificates

    environ = os.environ
    try:
        share_certificates(environ)
        settings = Settings.from_environ(environ)
    except ConfigError as exc:
        in_actions = environ.get("GITHUB_ACTIONS") == "true"
        return report_on(open_console(in_actions=in_actions), exc, key="")
    console = open_console(
        in_actions=settings.in_actions,
        output_path=settings.output_path,
        summary_path=settings.summary_path,
        redactor=Redactor(settings.secrets),
    )
    for secret in settings.secrets:
        console.mask(secret)
    return Verb(arguments, settings, console, environ).run()


def _demo(arguments: argparse.Namespace) -> int:
    from runner.sandbox.demo import demo_verb

    try:
        return int(demo_verb(arguments))
    except RunnerError as exc:
        print(f"ai-runner demo: {exc.summary} {exc.remedy}".rstrip(), file=sys.stderr)
        return exc.exit_code


def _replay(arguments: argparse.Namespace) -> int:
    from runner import composition
    from runner.adapters.console import open_console

    try:
        ended = composition.replay(arguments.transcript, arguments.checkout)
    except RunnerError as exc:
        return report_on(open_console(in_actions=False), exc, key="")
    if arguments.json:
        print(json.dumps({**asdict(ended), "same": ended.is_same}))
        return 0 if ended.is_same else 3
    for path in ended.differing:
        print(f"differs: {path}")
    for answer in ended.answers:
        print(f"ended otherwise: {answer}")
    told = "the same tree" if ended.is_same else "another tree"
    if not ended.recorded_digest:
        told = "a tree that the transcript does not name: the run was ended from outside"
    print(f"{ended.calls} calls on {ended.start[:12]} end in {told}")
    return 0 if ended.is_same else 3
