"""What a failed git command means, read from its words: git has no codes for it.

Only English is read (children run with ``LC_ALL=C``). What nobody recognises is a bug of ours, with git's words
in the log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from runner.adapters.obstacles import network_error
from runner.errors import (
    ConfigError,
    MovedUnderUs,
    NotFound,
    Refused,
    RunnerError,
    Unauthorized,
    Unavailable,
)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a child ended. ``error`` is redacted; ``code`` is negative when a signal or our deadline ended it."""

    code: int
    output: bytes
    error: str
    timed_out: bool = False

    @property
    def text(self) -> str:
        """Standard output as one stripped text."""
        return self.output.decode("utf-8", "surrogateescape").strip()


def moved(branch: str, *, expected: str | None, there: str | None) -> MovedUnderUs:
    """Somebody else moved the branch: they win."""
    was = f"at {expected[:12]}" if expected else "absent"
    is_now = f"at {there[:12]}" if there else "gone"
    return MovedUnderUs(
        f"The branch `{branch}` is {is_now}; it was {was} when this run read it.",
        remedy="Nothing was overwritten; the next run builds on what is there.",
    )


def local_failure(command: str, ended: Ended) -> RunnerError:
    """What a failed local command means: nothing that a person could set right."""
    why = f"git {command} took too long" if ended.timed_out else f"git {command}: {_reason(ended.error)}"
    return RunnerError(f"A local git command failed ({why}).", detail=ended.error)


def _reason(error: str) -> str:
    """The line that says why, short enough for a ticket."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"(fatal|error|remote: error|remote: fatal): ", line)]
    line = (telling or lines or ["no reason given"])[0]
    return "".join(c for c in re.sub(r"^(remote: )?(fatal|error): ", "", line) if c.isprintable())[:300]


_UNAUTHORIZED = re.compile(
    r"Authentication failed|could not read (Username|Password)|(HTTP|error:) 401", re.IGNORECASE
)
_FORBIDDEN = re.compile(
    r"(HTTP|error:) 403|Permission to .* denied|Write access to repository not granted", re.IGNORECASE
)
_ABSENT = re.compile(
    r"repository .* not found|(HTTP|error:) 404|does not appear to be a git repository|not exist",
    re.IGNORECASE,
)
_REDIRECTED = re.compile(r"unable to update url base from redirection|error: 30\d", re.IGNORECASE)
_GONE = re.compile(r"not our ref|couldn't find remote ref|no such remote ref", re.IGNORECASE)
# A server's own refusal, whatever git says about the connection beside it.
_REFUSED = re.compile(r"(HTTP|error:) 40[134]\b|could not read (Username|Password)", re.IGNORECASE)
_DOWN = re.compile(
    r"error: (429|5\d\d)|could not resolve|failed to connect|couldn't connect|connection (refused|reset|timed out)"
    r"|timed out|operation too slow|early EOF|hung up|RPC failed|unexpected disconnect|empty reply|SSL|curl \d+"
    r"|transfer closed|broken pipe|not valid: is this a git repository|dumb http transport|Cannot access URL",
    re.IGNORECASE,
)


def remote_failure(command: str, ended: Ended) -> RunnerError:
    """What a failed conversation with the server means."""
    error = ended.error
    reason = _reason(error)
    host = re.search(r"unable to access '\w+://([^/:']+)", error)
    on_the_way = network_error(error, service="GitHub", host=host[1] if host else "git", detail=error)
    if on_the_way is not None:
        return on_the_way
    if ended.timed_out or (_DOWN.search(error) and not _REFUSED.search(error)):
        why = "no answer in time" if ended.timed_out else reason
        return Unavailable(f"git could not reach GitHub ({why}).", detail=error)
    if _UNAUTHORIZED.search(error):
        return Unauthorized(
            "GitHub refused the token that git used.", remedy="Give the step a valid token.", detail=error
        )
    if _FORBIDDEN.search(error):
        return ConfigError(
            f"The GitHub token may not {command} here ({reason}).",
            remedy="Reading needs `contents: read`, pushing `contents: write`.",
            detail=error,
        )
    if _REDIRECTED.search(error):
        return ConfigError(
            "The repository's address redirects elsewhere.",
            remedy="Use its present name; a credential is never sent along a redirect.",
            detail=error,
        )
    if _GONE.search(error):
        return MovedUnderUs(
            f"A commit that this run works on is no longer on GitHub ({reason}).",
            remedy="The branch was probably rewritten; the next run reads it again.",
            detail=error,
        )
    if _ABSENT.search(error):
        return NotFound(
            "The repository is absent, or invisible to this token.",
            remedy="Check its name, and that the token was made for this repository.",
            detail=error,
        )
    return RunnerError(f"git {command} failed ({reason}).", detail=error)


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """A reason for which servers decline a push, and what to do about it."""

    pattern: re.Pattern[str]
    summary: str
    remedy: str


_RULES = (
    _Rule(
        pattern=re.compile(
            r"refusing to allow .* (create or update|update) workflow|`workflows?` (permission|scope)",
            re.IGNORECASE,
        ),
        summary="GitHub refused a change to a workflow file: the token has no `workflows` permission.",
        remedy="Let a person make this change, or push with a GitHub App that has the permission.",
    ),
    _Rule(
        pattern=re.compile(r"verified signatures?|must be signed|signed commits", re.IGNORECASE),
        summary="The branch requires signed commits, and a pushed commit is not signed.",
        remedy="Set `pull_request.commits: api`, or exempt the runner's branches (`ai/**`) from the rule.",
    ),
    _Rule(
        pattern=re.compile(r"push cannot contain secrets|GH009|push protection", re.IGNORECASE),
        summary="GitHub found what looks like a secret in the changes.",
        remedy="Look at the changes in the run; allow the value in GitHub only if it is no secret.",
    ),
    _Rule(
        pattern=re.compile(r"GH001|exceeds GitHub's file size limit", re.IGNORECASE),
        summary="A file is larger than GitHub accepts.",
        remedy="Keep large files out of the repository.",
    ),
    _Rule(
        pattern=re.compile(r"GH006|protected branch", re.IGNORECASE),
        summary="The branch is protected against this push.",
        remedy="Exempt the runner's branches (`ai/**`) from the protection.",
    ),
    _Rule(
        pattern=re.compile(r"GH013|rule violations|hook declined|remote rejected", re.IGNORECASE),
        summary="GitHub's rules decline the push.",
        remedy="Change the rule for the runner's branches (`ai/**`), or let a person push.",
    ),
)


def push_failure(branch: str, ended: Ended) -> RunnerError:
    """What a failed push means, before anybody looked where the branch is."""
    said = f"{ended.text}\n{ended.error}"
    if ended.timed_out:
        return remote_failure("push", ended)
    if re.search(r"directory file conflict|exists; cannot create", said):
        return ConfigError(
            f"The branch `{branch}` cannot be created beside a branch that is called like its folder or like a file in it.",
            remedy="Rename that branch, for example the one called `ai`.",
            detail=said,
        )
    if re.search(r"stale info|fetch first|non-fast-forward|cannot lock ref|reference already exists", said):
        return MovedUnderUs(
            f"The branch `{branch}` moved while the push was under way.",
            remedy="Nothing was overwritten; the next run builds on what is there.",
            detail=said,
        )
    is_declined = re.search(r"^!\t.*\[remote rejected\]", said, re.MULTILINE) or _RULES[0].pattern.search(
        said
    )
    refusal = refused_push(said) if is_declined else None
    return refusal or remote_failure("push", ended)


def refused_push(said: str) -> Refused | None:
    """The rule that a server declined a push for, by its words; ``None`` when they name none."""
    for rule in _RULES:
        if rule.pattern.search(said):
            return Refused(f"{rule.summary} ({_declined(said)})", remedy=rule.remedy, detail=said)
    return None


def _declined(said: str) -> str:
    """The server's own words: its error line, else the reason beside the ref."""
    remote_lines = re.findall(r"^remote: (?:error: )?(.*\S)", said, re.MULTILINE)
    telling = [
        line
        for line in remote_lines
        if re.search(r"GH\d{3}|refus|must|cannot|error|violat", line, re.IGNORECASE)
    ]
    beside = re.findall(r"\[remote rejected\] \((.*)\)", said)
    line = (telling or beside or remote_lines or [said])[0]
    return "".join(c for c in line if c.isprintable())[:300]
