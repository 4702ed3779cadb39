"""Stages as child processes: each sees only its own variables, so that no stage holds all the secrets."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

STAGES = ("gather", "fetch", "think", "publish", "conclude")

_COMMON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "TEMP", "TMP", "SSL_CERT_FILE", "SSL_CERT_DIR",
           "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
           "all_proxy", "no_proxy",
           "GITHUB_ACTIONS", "GITHUB_API_URL", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID",
           "GITHUB_RUN_ATTEMPT", "GITHUB_EVENT_NAME", "GITHUB_EVENT_PATH", "GITHUB_WORKFLOW", "RUNNER_TEMP",
           "AI_RUNNER_CONFIG", "AI_RUNNER_ISSUE_KEY", "AI_RUNNER_PHASE", "AI_RUNNER_DRY_RUN", "AI_RUNNER_PAUSED",
           "PYTHONDONTWRITEBYTECODE")  # fmt: skip
_JIRA = ("JIRA_BASE_URL", "JIRA_EMAIL", "JIRA_API_TOKEN", "JIRA_BEARER_TOKEN")
# `python -I -m runner` for a package that this interpreter may only know by the path it was started from.
START = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    "runpy.run_module('runner', run_name='__main__', alter_sys=True)"
)

# What each stage may see; nothing else of our environment reaches it.
STAGE_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "gather": (*_COMMON, *_JIRA, "GITHUB_TOKEN"),
    "fetch": (*_COMMON, "GITHUB_TOKEN"),
    "think": (*_COMMON, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "publish": (*_COMMON, *_JIRA, "GITHUB_TOKEN"),
    "conclude": (*_COMMON, *_JIRA),
}


def run_stage(
    stage: str, arguments: argparse.Namespace, *, work_dir: Path, environ: Mapping[str, str]
) -> int:
    """One stage as a process that sees only its own variables; returns its exit code."""
    command = [sys.executable, "-I", "-c", START, str(Path(__file__).resolve().parents[2]), stage]
    command += ["--work-dir", str(work_dir)]
    if arguments.event is not None:
        command += ["--event", str(arguments.event)]
    if arguments.issue is not None:
        command += ["--issue", arguments.issue]
    if arguments.phase is not None:
        command += ["--phase", arguments.phase]
    if arguments.dry_run:
        command.append("--dry-run")
    wanted = STAGE_VARIABLES[stage]
    visible = {name: value for name, value in environ.items() if name in wanted}
    return subprocess.run(command, env=visible, check=False, stdin=subprocess.DEVNULL).returncode
