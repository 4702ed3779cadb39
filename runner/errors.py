"""The error tree. Adapters translate at the edge; nothing else gets past them.

RunnerError                 anything we name; carries summary, remedy, detail
├── ConfigError             input, secret, permission, configuration, prompt        exit 2
│   ├── Unauthorized        401: a token is wrong or expired
│   └── PictureRefused      a model does not take a picture of the ticket
├── GaveUp                  budget spent, empty diff, invalid plan                  exit 3
│   └── Refused             a policy or the model said no
├── Unavailable             Jira, GitHub or a model is down or limiting             parked 0, else 4
│   └── Ambiguous           a write was sent and its answer was lost
├── NotFound                404: absent or invisible
├── Conflict                409/412/422: the state is not what the write assumed
└── MovedUnderUs            branch, plan or labels changed meanwhile                exit 0, warning

``summary`` is for the ticket, ``remedy`` says what to do, ``detail`` goes to the log only.
Asking a question and having nothing to do are outcomes, not errors.
"""

from __future__ import annotations


class RunnerError(Exception):
    """Base of every error a person will read about."""

    exit_code = 1

    def __init__(self, summary: str, *, remedy: str = "", detail: str = "") -> None:
        super().__init__(summary)
        self.summary = summary
        self.remedy = remedy
        self.detail = detail


class ConfigError(RunnerError):
    """Something the adopter sets is wrong; repeating the run changes nothing."""

    exit_code = 2


class Unauthorized(ConfigError):
    """A service refused the credential itself (401); never retried."""


class PictureRefused(ConfigError):
    """A model's provider refused a picture; it does not say which of several."""


class GaveUp(RunnerError):
    """The run ended without its result, honestly."""

    exit_code = 3


class Refused(GaveUp):
    """A policy of ours or the model declined the work."""


class Unavailable(RunnerError):
    """A service is down or limiting. ``retry_at`` is epoch seconds when the service said so."""

    exit_code = 4

    def __init__(
        self, summary: str, *, remedy: str = "", detail: str = "", retry_at: float | None = None
    ) -> None:
        super().__init__(summary, remedy=remedy, detail=detail)
        self.retry_at = retry_at


class Ambiguous(Unavailable):
    """A write may or may not have been applied: read back before sending it again."""


class NotFound(RunnerError):
    """The thing is absent, or invisible to this token (services do not tell which)."""

    exit_code = 2


class Conflict(RunnerError):
    """The service refused a write because the state differs from what it assumes."""

    exit_code = 3


class MovedUnderUs(RunnerError):
    """Somebody changed the ticket, plan or branch while we worked; they win."""

    exit_code = 0
