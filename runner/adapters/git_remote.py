"""What git asks a server for, patiently: commits, and where a branch is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runner.adapters.git_child import LOCAL_SECONDS, Git, Remote
from runner.adapters.git_failures import Ended, remote_failure
from runner.errors import Unavailable

FETCH_SECONDS = 900.0
PAUSES = (2.0, 8.0)


def fetch(
    git: Git,
    remote: Remote,
    shas: Sequence[str],
    *,
    pauses: Sequence[float],
    sleep: Callable[[float], None],
    depth: int | None = None,
    options: Sequence[str] = (),
) -> None:
    """Bring commits here under refs of our own, so that they are not garbage."""
    limit = [f"--depth={depth}"] if depth else []
    arguments = (
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-recurse-submodules",
        "--no-auto-maintenance",
        *limit,
        *options,
        remote.url,
        *(f"{sha}:refs/ai-runner/{sha}" for sha in shas),
    )
    _ask(git, remote, arguments, seconds=FETCH_SECONDS, pauses=pauses, sleep=sleep)


def remote_head(
    git: Git, remote: Remote, ref: str, *, pauses: Sequence[float], sleep: Callable[[float], None]
) -> str | None:
    """The commit that a ref of the server points to; ``None`` when there is no such ref."""
    arguments = ("ls-remote", "--refs", remote.url, ref)
    ended = _ask(git, remote, arguments, seconds=LOCAL_SECONDS, pauses=pauses, sleep=sleep)
    lines = (line.partition("\t") for line in ended.text.splitlines())
    return next((sha for sha, _, name in lines if name == ref), None)


def _ask(
    git: Git,
    remote: Remote,
    arguments: Sequence[str],
    *,
    seconds: float,
    pauses: Sequence[float],
    sleep: Callable[[float], None],
) -> Ended:
    """Ask, and ask again after each pause while the server is not there."""
    for pause in (*pauses, None):
        ended = git.try_run(*arguments, remote=remote, seconds=seconds)
        if ended.code == 0:
            return ended
        failure = remote_failure(arguments[0], ended)
        if pause is None or not isinstance(failure, Unavailable):
            raise failure
        sleep(pause)
    raise AssertionError("the last try returns or raises")
