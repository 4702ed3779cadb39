"""The environment, read once, checked and frozen. No other module reads it.

Which variables are needed depends on the stage, because each stage is given only its own secrets:
``require`` is called with what a stage is about to use. A value that is there must always be well-formed.
Messages name variables and inputs, never a secret's value; `core/report.py` adds where the README explains them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr

from runner.errors import ConfigError

Need = Literal["jira", "github", "event", "model:anthropic", "model:openai"]

# The input of the action that each variable travels from; the others are set by GitHub itself.
INPUTS: Mapping[str, str] = {
    "AI_RUNNER_ISSUE_KEY": "issue-key",
    "AI_RUNNER_PHASE": "phase",
    "AI_RUNNER_DRY_RUN": "dry-run",
    "AI_RUNNER_CONFIG": "config",
    "JIRA_BASE_URL": "jira-base-url",
    "JIRA_EMAIL": "jira-email",
    "JIRA_API_TOKEN": "jira-api-token",
    "JIRA_BEARER_TOKEN": "jira-bearer-token",
    "GITHUB_TOKEN": "github-token",
    "ANTHROPIC_API_KEY": "anthropic-api-key",
    "ANTHROPIC_BASE_URL": "anthropic-base-url",
    "OPENAI_API_KEY": "openai-api-key",
    "OPENAI_BASE_URL": "openai-base-url",
}
SECRETS = ("JIRA_API_TOKEN", "JIRA_BEARER_TOKEN", "GITHUB_TOKEN", "ANTHROPIC_API_KEY", "OPENAI_API_KEY")

# Files of certificates to trust: the models' SDKs read the first, the clients of Jira, GitHub and git the second.
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")

DEFAULT_CONFIG = ".github/ai-runner.yml"
_REPOSITORY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_SCOPED_PATH = re.compile(r"/ex/jira/[0-9A-Za-z-]{1,64}")
_TRUTH = {"true": True, "1": True, "false": False, "0": False, "": False}


class Settings(BaseModel):
    """What the environment says. An absent or empty variable is ``None`` (or its default); addresses end without ``/``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jira_base_url: str | None = None
    jira_email: str | None = None
    jira_api_token: SecretStr | None = None
    jira_bearer_token: SecretStr | None = None

    github_token: SecretStr | None = None
    github_api_url: str = "https://api.github.com"
    github_server_url: str = "https://github.com"
    github_repository: str | None = None

    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str | None = None
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None

    config_path: str = DEFAULT_CONFIG
    paused: bool = False

    # Inputs of the action that stand in for the event's payload.
    issue_key: str = ""
    phase: str = ""
    dry_run: bool = False

    in_actions: bool = False
    run_id: str = ""
    run_attempt: int = 1
    workflow: str = ""
    event_name: str = ""
    event_path: Path | None = None
    runner_temp: Path | None = None
    workspace: Path | None = None
    output_path: Path | None = None
    summary_path: Path | None = None

    # How the stages before this one ended, in GitHub's words, by stage; for `conclude`.
    stages: Mapping[str, str] = {}

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables. Raises ConfigError for one that is there and malformed."""
        read = _Reader(environ)
        return cls(
            jira_base_url=read.jira_url("JIRA_BASE_URL"),
            jira_email=read.email("JIRA_EMAIL"),
            jira_api_token=read.secret("JIRA_API_TOKEN"),
            jira_bearer_token=read.secret("JIRA_BEARER_TOKEN"),
            github_token=read.secret("GITHUB_TOKEN"),
            github_api_url=read.url("GITHUB_API_URL") or "https://api.github.com",
            github_server_url=read.url("GITHUB_SERVER_URL") or "https://github.com",
            github_repository=read.repository("GITHUB_REPOSITORY"),
            anthropic_api_key=read.secret("ANTHROPIC_API_KEY"),
            anthropic_base_url=read.url("ANTHROPIC_BASE_URL"),
            openai_api_key=read.secret("OPENAI_API_KEY"),
            openai_base_url=read.url("OPENAI_BASE_URL"),
            config_path=read.config_path("AI_RUNNER_CONFIG"),
            paused=read.flag("AI_RUNNER_PAUSED"),
            issue_key=read.text("AI_RUNNER_ISSUE_KEY"),
            phase=read.text("AI_RUNNER_PHASE"),
            dry_run=read.flag("AI_RUNNER_DRY_RUN"),
            in_actions=read.text("GITHUB_ACTIONS") == "true",
            run_id=read.number("GITHUB_RUN_ID"),
            run_attempt=int(read.number("GITHUB_RUN_ATTEMPT") or "1"),
            workflow=read.text("GITHUB_WORKFLOW"),
            event_name=read.text("GITHUB_EVENT_NAME"),
            event_path=read.path("GITHUB_EVENT_PATH"),
            runner_temp=read.path("RUNNER_TEMP"),
            workspace=read.path("GITHUB_WORKSPACE"),
            output_path=read.path("GITHUB_OUTPUT"),
            summary_path=read.path("GITHUB_STEP_SUMMARY"),
            stages=read.stages("AI_RUNNER_STAGES"),
        )

    def require(self, *needs: Need) -> None:
        """Check that what a stage is about to use is there. Raises ConfigError naming the first thing that is not."""
        for need in needs:
            match need:
                case "jira":
                    self._require_jira()
                case "github":
                    _present("GITHUB_REPOSITORY", self.github_repository)
                    _present("GITHUB_TOKEN", self.github_token)
                case "event":
                    _present("GITHUB_EVENT_PATH", self.event_path)
                    _present("GITHUB_EVENT_NAME", self.event_name)
                case "model:anthropic":
                    _present("ANTHROPIC_API_KEY", self.anthropic_api_key)
                case "model:openai":
                    _present("OPENAI_API_KEY", self.openai_api_key)

    def _require_jira(self) -> None:
        _present("JIRA_BASE_URL", self.jira_base_url)
        if self.jira_bearer_token is not None:
            if self.jira_api_token is not None:
                raise ConfigError(
                    "Both `JIRA_API_TOKEN` and `JIRA_BEARER_TOKEN` are set.",
                    remedy="Give the action one of the inputs `jira-api-token` (with `jira-email`) and "
                    "`jira-bearer-token`.",
                )
            return
        _present("JIRA_API_TOKEN", self.jira_api_token)
        _present("JIRA_EMAIL", self.jira_email)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value held, for masking."""
        held = (
            self.jira_api_token,
            self.jira_bearer_token,
            self.github_token,
            self.anthropic_api_key,
            self.openai_api_key,
        )
        return tuple(secret.get_secret_value() for secret in held if secret is not None)

    @property
    def git_url(self) -> str | None:
        """The repository's address for git."""
        return f"{self.github_server_url}/{self.github_repository}" if self.github_repository else None

    @property
    def run_url(self) -> str | None:
        """The page of this workflow run and attempt; ``None`` outside GitHub Actions."""
        if not (self.run_id and self.git_url):
            return None
        return f"{self.git_url}/actions/runs/{self.run_id}/attempts/{self.run_attempt}"


def share_certificates(environ: MutableMapping[str, str]) -> None:
    """Let either variable with certificates do for every client. Raises ConfigError for a file that is not there."""
    given = {name: environ[name] for name in CERTIFICATES if environ.get(name)}
    for name, value in given.items():
        if not Path(value).is_file():
            raise ConfigError(
                f"`{name}` (`{value[:200]}`) is not a file that can be read.",
                remedy="Give the path of a file with the certificates to trust, as it is on the machine of the job.",
            )
    shared = next(iter(given.values()), None)
    if shared is not None:
        environ.update({name: given.get(name, shared) for name in CERTIFICATES})


class _Reader:
    """Variables by name, stripped; each method is one kind of value."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str:
        value = self._environ.get(name, "").strip()
        if not value.isprintable():
            raise _malformed(name, "holds a line break or a control character", value=None)
        return value

    def secret(self, name: str) -> SecretStr | None:
        value = self.text(name)
        if not value.isascii() or " " in value:
            raise _malformed(name, "holds a space or a character outside ASCII", value=None)
        return SecretStr(value) if value else None

    def email(self, name: str) -> str | None:
        value = self.text(name)
        if value and (value.count("@") != 1 or ":" in value or " " in value):
            raise _malformed(name, "is not an e-mail address", value=value)
        return value or None

    def flag(self, name: str) -> bool:
        value = self.text(name).lower()
        if value not in _TRUTH:
            raise _malformed(name, "is neither `true` nor `false`", value=value)
        return _TRUTH[value]

    def number(self, name: str) -> str:
        value = self.text(name)
        if value and not (value.isascii() and value.isdigit() and len(value) <= 20):
            raise _malformed(name, "is not a number", value=value)
        return value

    def path(self, name: str) -> Path | None:
        value = self.text(name)
        return Path(value) if value else None

    def repository(self, name: str) -> str | None:
        value = self.text(name)
        if value and not _REPOSITORY.fullmatch(value):
            raise _malformed(name, "is not of the form `owner/name`", value=value)
        return value or None

    def config_path(self, name: str) -> str:
        value = self.text(name) or DEFAULT_CONFIG
        if any(part in ("", ".", "..") for part in value.split("/")) or "\\" in value or len(value) > 255:
            raise _malformed(
                name, "is not a path inside the repository, such as `.github/ai-runner.yml`", value=value
            )
        return value

    def stages(self, name: str) -> Mapping[str, str]:
        pairs = (word.partition("=") for word in self.text(name).split())
        return {stage: outcome for stage, _, outcome in pairs}

    def url(self, name: str) -> str | None:
        value = self.text(name)
        return _address(name, value)[0] if value else None

    def jira_url(self, name: str) -> str | None:
        value = self.text(name)
        if not value:
            return None
        address, parts = _address(name, value)
        path = parts.path.rstrip("/")
        if parts.hostname == "api.atlassian.com" and not _SCOPED_PATH.fullmatch(path):
            raise _malformed(
                name,
                "lacks the site: it should be `https://api.atlassian.com/ex/jira/<cloudId>`",
                value=value,
            )
        if (parts.hostname or "").endswith(".atlassian.net") and path:
            raise _malformed(name, f"is a page: the site is `{address.removesuffix(path)}`", value=value)
        return address


def _address(name: str, value: str) -> tuple[str, SplitResult]:
    """The address without a trailing slash, and its parts."""
    if "@" in value:
        raise _malformed(
            name, "holds a user name or an `@`; credentials have inputs of their own", value=None
        )
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _malformed(name, "is not an address", value=value) from None
    if not parts.scheme or "://" not in value:
        raise _malformed(name, f"has no scheme. Did you mean `https://{value}`?", value=value)
    if not host or " " in value or parts.query or parts.fragment:
        raise _malformed(name, "is not an address without query and fragment", value=value)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise _malformed(name, "does not begin with `https://`", value=value)
    return value.rstrip("/"), parts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _source(name: str) -> str:
    if name not in INPUTS:
        return "GitHub Actions sets it; on your own machine, export it"
    return f"It travels from the action's input `{INPUTS[name]}`"


def _present(name: str, value: object) -> None:
    if value:
        return
    hint = (
        " (is the secret defined in this repository, and spelt the same in the workflow?)"
        if name in SECRETS
        else ""
    )
    raise ConfigError(
        f"`{name}` is missing.",
        remedy=f"{_source(name)}{hint}.",
    )


def _malformed(name: str, reason: str, *, value: str | None) -> ConfigError:
    shown = f" (`{value[:200]}`)" if value else ""
    stop = "" if reason.endswith("?") else "."
    return ConfigError(f"`{name}`{shown} {reason}{stop}", remedy=f"{_source(name)}.")
