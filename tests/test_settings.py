"""The environment becomes Settings, or an error that says which input to change."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runner.errors import ConfigError
from runner.settings import INPUTS, SECRETS, Need, Settings

FULL = {
    "JIRA_BASE_URL": "https://acme.atlassian.net/",
    "JIRA_EMAIL": "runner@acme.example",
    "JIRA_API_TOKEN": "jira-token-1",
    "GITHUB_TOKEN": "github-token-1",
    "GITHUB_API_URL": "https://github.acme.example/api/v3",
    "GITHUB_SERVER_URL": "https://github.acme.example",
    "GITHUB_REPOSITORY": "acme/shop",
    "ANTHROPIC_API_KEY": "anthropic-key-1",
    "OPENAI_API_KEY": "openai-key-1",
    "OPENAI_BASE_URL": "http://127.0.0.1:8080/v1",
    "AI_RUNNER_CONFIG": ".github/runner/config.yml",
    "AI_RUNNER_PAUSED": "True",
    "AI_RUNNER_ISSUE_KEY": "ABC-1",
    "AI_RUNNER_PHASE": "plan",
    "AI_RUNNER_DRY_RUN": "true",
    "AI_RUNNER_STAGES": "gather=success fetch=skipped think=failure publish=skipped",
    "GITHUB_ACTIONS": "true",
    "GITHUB_RUN_ID": "77",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_WORKFLOW": "ai-runner",
    "GITHUB_EVENT_NAME": "repository_dispatch",
    "GITHUB_EVENT_PATH": "/tmp/event.json",
    "GITHUB_OUTPUT": "/tmp/output",
    "GITHUB_STEP_SUMMARY": "/tmp/summary",
    "RUNNER_TEMP": "/tmp",
}


def settings(**changed: str) -> Settings:
    return Settings.from_environ({**FULL, **changed})


def without(*names: str) -> Settings:
    return Settings.from_environ({name: value for name, value in FULL.items() if name not in names})


def test_every_variable_arrives() -> None:
    """What is set is read, addresses without their last slash."""
    read = settings()
    assert read.jira_base_url == "https://acme.atlassian.net"
    assert read.jira_email == "runner@acme.example"
    assert read.github_api_url == "https://github.acme.example/api/v3"
    assert read.openai_base_url == "http://127.0.0.1:8080/v1"
    assert read.config_path == ".github/runner/config.yml"
    assert (read.issue_key, read.phase, read.dry_run) == ("ABC-1", "plan", True)
    assert (read.paused, read.in_actions) == (True, True)
    assert (read.run_id, read.run_attempt, read.workflow) == ("77", 2, "ai-runner")
    assert (read.event_name, read.event_path) == ("repository_dispatch", Path("/tmp/event.json"))
    assert (read.output_path, read.summary_path) == (Path("/tmp/output"), Path("/tmp/summary"))
    assert read.stages == {"gather": "success", "fetch": "skipped", "think": "failure", "publish": "skipped"}


def test_an_empty_environment_is_a_terminal_with_defaults() -> None:
    """Nothing is needed until something is required."""
    read = Settings.from_environ({})
    assert read == Settings()
    assert read.config_path == ".github/ai-runner.yml"
    assert read.run_url is None


def test_empty_variables_count_as_absent() -> None:
    """Inputs of the action that are not given arrive as empty text."""
    assert Settings.from_environ(dict.fromkeys(FULL, "")) == Settings()


def test_the_run_and_the_repository_have_addresses() -> None:
    """Links and git follow the server's address."""
    assert settings().run_url == "https://github.acme.example/acme/shop/actions/runs/77/attempts/2"
    assert settings().git_url == "https://github.acme.example/acme/shop"


def test_secrets_do_not_show() -> None:
    """Neither repr nor text of the settings holds a secret, and all of them can be masked."""
    read = settings(JIRA_BEARER_TOKEN="bearer-1")
    assert len(read.secrets) == len(SECRETS)
    assert not any(secret in f"{read!r} {read} {read.model_dump()}" for secret in read.secrets)


def test_settings_are_frozen() -> None:
    """Nothing changes them after they were read."""
    with pytest.raises(ValidationError):
        settings().phase = "plan"


@pytest.mark.parametrize(
    ("need", "name"),
    [
        ("jira", "JIRA_BASE_URL"),
        ("jira", "JIRA_EMAIL"),
        ("jira", "JIRA_API_TOKEN"),
        ("github", "GITHUB_TOKEN"),
        ("github", "GITHUB_REPOSITORY"),
        ("event", "GITHUB_EVENT_PATH"),
        ("event", "GITHUB_EVENT_NAME"),
        ("model:anthropic", "ANTHROPIC_API_KEY"),
        ("model:openai", "OPENAI_API_KEY"),
    ],
)
def test_what_a_stage_needs_is_named_with_its_input(need: Need, name: str) -> None:
    """A missing variable names itself and the input it travels from."""
    settings().require(need)
    with pytest.raises(ConfigError) as error:
        without(name).require(need)
    assert f"`{name}` is missing" in error.value.summary
    assert INPUTS.get(name, "GitHub Actions") in error.value.remedy


def test_a_stage_needs_only_its_own() -> None:
    """The stage with the model's key needs neither Jira nor GitHub."""
    Settings.from_environ({"ANTHROPIC_API_KEY": "key"}).require("model:anthropic")


def test_a_bearer_token_needs_no_address_of_a_person() -> None:
    """Jira accepts either a bearer token or an e-mail address with a token."""
    environ = {"JIRA_BASE_URL": "https://jira.acme.example/base", "JIRA_BEARER_TOKEN": "t"}
    Settings.from_environ(environ).require("jira")


def test_two_kinds_of_jira_token_are_refused() -> None:
    """Which of them would act must not be a guess."""
    with pytest.raises(ConfigError, match="Both"):
        settings(JIRA_BEARER_TOKEN="bearer-1").require("jira")


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.atlassian.net",
        "https://api.atlassian.com/ex/jira/11223344-a1b2-3b33-c444-def123456789",
        "https://jira.acme.example/jira",
        "http://127.0.0.1:8080",
        "http://localhost:8080/ex/jira/x",
        "http://[::1]:8080",
    ],
)
def test_jira_sites_and_scoped_addresses_are_accepted(url: str) -> None:
    """A site, a gateway address, a site behind a path; plain http on this machine alone."""
    assert settings(JIRA_BASE_URL=url).jira_base_url == url


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("JIRA_BASE_URL", "acme.atlassian.net", "Did you mean `https://acme.atlassian.net`?"),
        ("JIRA_BASE_URL", "http://acme.atlassian.net", "does not begin with `https://`"),
        ("JIRA_BASE_URL", "http://127.0.0.1.evil.example", "does not begin with `https://`"),
        ("JIRA_BASE_URL", "https://", "is not an address"),
        ("JIRA_BASE_URL", "https://[::1", "is not an address"),
        ("JIRA_BASE_URL", "https://acme.atlassian.net:port", "is not an address"),
        (
            "JIRA_BASE_URL",
            "https://acme.atlassian.net/browse/ABC-1",
            "the site is `https://acme.atlassian.net`",
        ),
        ("JIRA_BASE_URL", "https://acme.atlassian.net?x=1", "query"),
        ("JIRA_BASE_URL", "https://api.atlassian.com", "ex/jira/<cloudId>"),
        ("JIRA_BASE_URL", "file:///etc/passwd", "is not an address"),
        ("JIRA_EMAIL", "runner", "is not an e-mail address"),
        ("GITHUB_API_URL", "ftp://api.github.com", "does not begin"),
        ("GITHUB_REPOSITORY", "acme", "owner/name"),
        ("GITHUB_REPOSITORY", "acme/..", "owner/name"),
        ("GITHUB_RUN_ID", "x", "is not a number"),
        ("AI_RUNNER_DRY_RUN", "maybe", "neither"),
        ("AI_RUNNER_CONFIG", "../config.yml", "path inside the repository"),
        ("AI_RUNNER_CONFIG", "/etc/passwd", "path inside the repository"),
        ("AI_RUNNER_PHASE", "a\nb", "line break"),
    ],
)
def test_a_malformed_variable_is_named_with_the_reason(name: str, value: str, words: str) -> None:
    """What is set must be well-formed, whichever stage runs."""
    with pytest.raises(ConfigError) as error:
        settings(**{name: value})
    assert name in error.value.summary
    assert words in error.value.summary


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JIRA_API_TOKEN", "hush hush"),
        ("GITHUB_TOKEN", "hush\nhush"),
        ("OPENAI_API_KEY", "hüsh"),
        ("JIRA_BASE_URL", "https://user:hush@acme.atlassian.net"),
    ],
)
def test_a_malformed_secret_is_not_repeated(name: str, value: str) -> None:
    """The message about a broken secret does not hold it."""
    with pytest.raises(ConfigError) as error:
        settings(**{name: value})
    assert name in error.value.summary
    assert "hush" not in f"{error.value.summary}{error.value.remedy}{error.value.detail}"
    assert "hüsh" not in error.value.summary


def test_a_secret_pasted_with_a_line_end_is_accepted() -> None:
    """White space around a value is no part of it."""
    assert settings(GITHUB_TOKEN=" github-token-1\n").secrets == settings().secrets


@given(st.sampled_from(sorted(FULL)), st.text(max_size=40))
def test_any_value_is_read_or_refused_by_our_error(name: str, value: str) -> None:
    """No value of any variable ends in a traceback."""
    try:
        Settings.from_environ({**FULL, name: value})
    except ConfigError as error:
        assert name in error.summary
