"""What may be written behind `ai-runner`."""

from __future__ import annotations

import argparse
from pathlib import Path

from runner import __version__

PHASES = ("auto", "plan", "breakdown", "implement", "revise", "complete", "sweep")


def make_parser() -> argparse.ArgumentParser:
    """The verbs with their options."""
    parser = argparse.ArgumentParser(
        prog="ai-runner", description="A Jira ticket becomes a reviewed plan, pull requests and Done."
    )
    parser.add_argument("--version", action="version", version=f"ai-runner {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    helps = {
        "run": "all stages in order, each as its own process",
        "gather": "read, decide, claim; leaves work.json",
        "fetch": "fetch the exact commits that the work needs",
        "think": "let the model work; leaves result.json",
        "publish": "read again, decide with the result, write what is due",
        "conclude": "tell the ticket about a run that ended without a word",
        "sweep": "wake every ticket that may wait for a run",
    }
    for name, text in helps.items():
        _add_stage_options(verbs.add_parser(name, help=text, description=text))
    demo = verbs.add_parser("demo", help="play a whole story on an embedded Jira, GitHub and model")
    _add_demo_options(demo)
    text = "run a transcript's tool calls again without a model; exit 3 unless the tree ends the same"
    again = verbs.add_parser("replay", help=text, description=text)
    again.add_argument("transcript", type=Path, metavar="TRANSCRIPT", help="transcript.jsonl of a run")
    again.add_argument("--checkout", type=Path, default=Path(), metavar="DIR", help="a clone (default: .)")
    again.add_argument("--json", action="store_true", help="print the end as one JSON object")
    return parser


def _add_stage_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--event", type=Path, metavar="FILE", help="the event (default: $GITHUB_EVENT_PATH)")
    parser.add_argument("--issue", metavar="KEY", help="the ticket, instead of an event")
    parser.add_argument("--phase", choices=PHASES, help="narrow the run to one phase (with --issue)")
    parser.add_argument("--dry-run", action="store_true", help="decide only: ask nothing and write nothing")
    parser.add_argument("--work-dir", type=Path, metavar="DIR", help="where the stages meet")
    parser.add_argument("--json", action="store_true", help="print the end of the run as one JSON object")


def _add_demo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--provider", choices=("anthropic", "openai"), help="whose API the model speaks (default: anthropic)"
    )
    parser.add_argument(
        "--sequence", metavar="ORDER", help="how sub-tasks follow each other, as in the configuration"
    )
    parser.add_argument(
        "--via", choices=("process", "act"), default="process", help="how each dispatch is executed"
    )
    parser.add_argument(
        "--twice", action="store_true", help="repeat every run at once; the second writes nothing"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep everything the demo made in this folder"
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.add_argument("--repo", type=Path, metavar="PATH", help="rehearse on a copy of this repository")
    parser.add_argument(
        "--ticket", type=Path, metavar="FILE", help="rehearse with this Markdown file as ticket"
    )
    parser.add_argument(
        "--real-model", action="store_true", help="rehearse with the provider's model and your key"
    )
    parser.add_argument(
        "--auto", action="store_true", help="rehearse without questions: approve and merge everything"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="write every REST exchange to this file")
