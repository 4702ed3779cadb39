"""A bare repository on disk, a clone in which a person works, and what a runner fetched."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from runner.adapters.git import (
    fetch_commits,
)

WHEN = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(where: Path, *arguments: str, stdin: bytes | None = None) -> str:
    ended = subprocess.run(
        ["git", "-C", str(where), *arguments],
        env=os.environ | IDENTITY,
        input=stdin,
        capture_output=True,
        check=True,
    )
    return ended.stdout.decode("utf-8", "surrogateescape").strip()


class Origin:
    """A bare repository on disk and a clone in which a person works."""

    def __init__(self, folder: Path) -> None:
        self.bare = folder / "origin.git"
        self.clone = folder / "person"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.bare)], check=True)
        subprocess.run(["git", "init", "-q", "-b", "main", str(self.clone)], check=True)
        git(self.clone, "remote", "add", "origin", str(self.bare))

    @property
    def url(self) -> str:
        return f"file://{self.bare}"

    def commit(self, files: Mapping[str, bytes], *, branch: str = "main", message: str = "work") -> str:
        for path, content in files.items():
            target = self.clone / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        git(self.clone, "add", "-A", "-f")
        git(self.clone, "commit", "-q", "-m", message)
        git(self.clone, "push", "-q", "origin", f"HEAD:refs/heads/{branch}")
        return git(self.clone, "rev-parse", "HEAD")

    def head(self, branch: str) -> str | None:
        found = git(self.bare, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return found or None

    def hook(self, script: str) -> None:
        hook = self.bare / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        hook.chmod(0o755)


def fetched(origin: Origin, into: Path, *shas: str) -> Path:
    fetch_commits(origin.url, None, shas, into, allow_file=True, pauses=())
    return into
