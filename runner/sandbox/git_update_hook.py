"""The ``update`` hook of the embedded GitHub: refuses what the rules of this push do not allow.

Run by git once per ref as ``hook <ref> <old> <new>`` with Python's isolated mode, so it imports nothing of ours.
``SANDBOX_PUSH_RULES`` holds the rules as JSON, ``SANDBOX_PUSH_REASONS`` the file that collects the reasons.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

WORKFLOWS = ".github/workflows"
ZERO = "0" * 40


def main(ref: str, new: str) -> int:
    """Print why a ref may not move, in GitHub's words, and return 1; return 0 when it may."""
    refusal = refusal_of(ref, new, json.loads(os.environ["SANDBOX_PUSH_RULES"]))
    if refusal is None:
        return 0
    reason, details = refusal
    sys.stderr.write(details)
    with Path(os.environ["SANDBOX_PUSH_REASONS"]).open("a", encoding="utf-8") as reasons:
        reasons.write(f"{ref}\t{reason}\n")
    return 1


def refusal_of(ref: str, new: str, rules: dict[str, object]) -> tuple[str, str] | None:
    """The reason in git's report and the lines before it; ``None`` when nothing speaks against the update."""
    failed = f"error: GH006: Protected branch update failed for {ref}.\nerror: \n"
    protected = rules["protected"]
    if isinstance(protected, list) and ref in [f"refs/heads/{name}" for name in protected]:
        details = f"{failed}error: - Changes must be made through a pull request.\n"
        return "protected branch hook declined", details
    if new == ZERO:
        return None
    if rules["needs_signatures"] and git("rev-list", "--max-count=1", new, "--not", "--all"):
        details = (
            f"error: GH013: Repository rule violations found for {ref}.\n\n"
            "- Commits must have verified signatures.\n"
        )
        return "push declined due to repository rule violations", details
    if not rules["may_change_workflows"]:
        return workflow_refusal(new)
    return None


def workflow_refusal(new: str) -> tuple[str, str] | None:
    """Why changed workflow files are refused; ``None`` when each of them exists like this on some branch."""
    if not git("log", "--format=", "--name-only", "-m", new, "--not", "--all", "--", WORKFLOWS):
        return None
    branches = git("for-each-ref", "--format=%(objectname)", "refs/heads").splitlines()
    known = {entry for branch in branches for entry in workflow_entries(branch)}
    unknown = sorted(workflow_entries(new) - known)
    if not unknown:
        return None
    path = unknown[0].split("\t", 1)[1]
    reason = (
        f"refusing to allow a GitHub App to create or update workflow `{path}` without `workflows` permission"
    )
    return reason, ""


def workflow_entries(commit: str) -> set[str]:
    """The workflow files of a commit, each as mode, type, object id and path."""
    return set(git("ls-tree", "-r", commit, "--", f"{WORKFLOWS}/").splitlines())


def git(*arguments: str) -> str:
    """Run git in the repository being pushed to."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[3]))
