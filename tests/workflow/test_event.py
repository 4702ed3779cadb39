"""What an event file, flags or inputs say, and what is refused."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ConfigError
from runner.workflow.event import MAX_EVENT_BYTES, Event, event_of, parse_event


def dispatch(**payload: Any) -> Event:
    return parse_event(
        json.dumps({"action": "ai-runner", "client_payload": payload}).encode(), "repository_dispatch"
    )


def closed(*, ref: str = "ai/ABC-12", head: Any = "acme/shop", base: Any = "acme/shop", **more: Any) -> Event:
    payload = {
        "action": "closed",
        "number": 7,
        "pull_request": {
            "head": {"ref": ref, "repo": head and {"full_name": head}},
            "base": {"ref": "main", "repo": base and {"full_name": base}},
        },
        **more,
    }
    return parse_event(json.dumps(payload).encode(), "pull_request")


def test_a_dispatch_names_its_ticket_phase_and_id() -> None:
    """The three members of the payload arrive as they were sent."""
    assert dispatch(issue_key="ABC-12", phase="plan", event_id="10001-1") == Event(
        issue_key="ABC-12", phase="plan", event_id="10001-1"
    )


def test_the_phase_of_a_dispatch_is_auto_by_default() -> None:
    """A payload with a key alone is complete."""
    assert dispatch(issue_key="ABC-12") == Event(issue_key="ABC-12", phase="auto")


def test_a_dispatch_is_not_given_by_a_person_and_a_manual_run_is() -> None:
    """Only a person's phase narrows what may be done."""
    manual = parse_event(
        b'{"inputs": {"issue_key": "ABC-1", "phase": "revise", "dry_run": "true"}}', "workflow_dispatch"
    )
    assert not dispatch(issue_key="ABC-1", phase="revise").given_by_person
    assert manual == Event(issue_key="ABC-1", phase="revise", dry_run=True, given_by_person=True)


def test_empty_inputs_of_a_manual_run_count_as_absent() -> None:
    """GitHub sends inputs that were left empty as empty text."""
    inputs = {"issue_key": "ABC-1", "phase": "", "dry_run": "", "event_id": ""}
    event = parse_event(json.dumps({"inputs": inputs}).encode(), "workflow_dispatch")
    assert event == Event(issue_key="ABC-1", given_by_person=True)


def test_a_schedule_sweeps() -> None:
    """The timer names no ticket."""
    event = parse_event(b'{"schedule": "17 * * * *"}', "schedule")
    assert event.is_sweep
    assert event.issue_key is None


def test_a_sweep_needs_no_key_and_says_that_it_ignores_one() -> None:
    """A sweep concerns every ticket."""
    assert dispatch(phase="sweep") == Event(issue_key=None, phase="sweep")
    event = dispatch(phase="sweep", issue_key="ABC-1")
    assert event.issue_key is None
    assert "ignored" in event.notices[0]


def test_a_closed_pull_request_of_ours_names_its_ticket_by_its_branch() -> None:
    """Only the branch is believed; whether it was merged is read from GitHub."""
    assert closed() == Event(issue_key="ABC-12", head_branch="ai/ABC-12")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"ref": "feature/x"}, "not one of the runner's"),
        ({"ref": "ai/abc-12"}, "not one of the runner's"),
        ({"ref": "ai/ABC-12/more"}, "not one of the runner's"),
        ({"ref": "ai/ABC-12\n"}, "not one of the runner's"),
        ({"head": "mallory/shop"}, "another repository"),
        ({"head": None}, "another repository"),
        ({"action": "opened"}, "only `closed`"),
    ],
)
def test_other_pull_requests_concern_no_ticket(changed: dict[str, Any], reason: str) -> None:
    """A person's branch, a fork's branch of the same name and other actions are nothing, with a reason."""
    event = closed(**changed)
    assert event.issue_key is None
    assert event.nothing is not None
    assert reason in event.nothing


def test_unknown_members_are_ignored_with_a_notice() -> None:
    """A newer or misspelt sender is told, and served."""
    event = dispatch(issue_key="ABC-1", phases="plan", zebra=1)
    assert event.issue_key == "ABC-1"
    assert "Did you mean `phase`?" in event.notices[0]
    assert "zebra" in event.notices[1]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({}, "has no `issue_key`"),
        ({"issue_key": ""}, "has no `issue_key`"),
        ({"issue_key": None}, "has no `issue_key`"),
        ({"issueKey": "ABC-1"}, "has `issueKey` instead"),
        ({"issue_key": 12}, "`12` is not a Jira key"),
        ({"issue_key": ["ABC-1"]}, "is not a Jira key"),
        ({"issue_key": "abc-1"}, "Did you mean `ABC-1`?"),
        ({"issue_key": " ABC-1"}, "Did you mean `ABC-1`?"),
        ({"issue_key": "https://acme.atlassian.net/browse/ABC-1"}, "Did you mean `ABC-1`?"),
        ({"issue_key": "ABC-0"}, "is not a Jira key"),
        ({"issue_key": "ABC-1\n"}, "is not a Jira key"),
        ({"issue_key": "ABC-12345678901"}, "is not a Jira key"),
        ({"issue_key": "../ABC-1`$(id)`"}, "is not a Jira key"),
        ({"issue_key": "ABC-1", "phase": "implment"}, "Did you mean `implement`?"),
        ({"issue_key": "ABC-1", "phase": "Plan"}, "Did you mean `plan`?"),
        ({"issue_key": "ABC-1", "phase": 3}, "`3` is not a phase"),
        ({"issue_key": "ABC-1", "phase": ["plan"]}, "is not a phase"),
        ({"issue_key": "ABC-1", "event_id": 5}, "`event_id`"),
        ({"issue_key": "ABC-1", "event_id": "x" * 201}, "`event_id`"),
        ({"issue_key": "ABC-1", "event_id": "a\nb"}, "`event_id`"),
        ({"issue_key": "ABC-1", "dry_run": "maybe"}, "neither true nor false"),
        ({"issue_key": "ABC-1", "dry_run": 1}, "neither true nor false"),
        ({"issue_key": "ABC-1", "dry_run": []}, "neither true nor false"),
    ],
)
def test_anything_else_wrong_is_a_clear_error(payload: dict[str, Any], words: str) -> None:
    """The message names the value, and the nearest valid one where there is one."""
    with pytest.raises(ConfigError) as error:
        dispatch(**payload)
    assert words in error.value.summary
    assert error.value.remedy


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "repository_dispatch"),
        (b"not json", "schedule"),
        (b"[1]", "repository_dispatch"),
        (b"\xff\xfe", "repository_dispatch"),
        (b"[" * 100_000, "repository_dispatch"),
        (b" " * (MAX_EVENT_BYTES + 1), "repository_dispatch"),
        (b'{"client_payload": "ABC-1"}', "repository_dispatch"),
        (b'{"inputs": []}', "workflow_dispatch"),
        (b'{"action": "closed"}', "pull_request"),
        (b'{"action": "closed", "pull_request": {"head": {"ref": 1}}}', "pull_request"),
        (b'{"action": "closed", "pull_request": {"head": []}}', "pull_request"),
    ],
)
def test_a_misshapen_event_file_is_a_clear_error(data: bytes, name: str) -> None:
    """No shape of the file ends in a traceback."""
    with pytest.raises(ConfigError, match="cannot be read"):
        parse_event(data, name)


def test_an_event_that_starts_nothing_is_named_with_the_nearest_that_does() -> None:
    """A workflow that listens to too much is told so."""
    with pytest.raises(ConfigError, match="Did you mean `pull_request`"):
        parse_event(b"{}", "pull_requests")


def test_flags_and_inputs_make_the_same_event_as_a_manual_run() -> None:
    """Command line, inputs of the action and `workflow_dispatch` share one meaning."""
    inputs = {"issue_key": "ABC-1", "phase": "plan", "dry_run": "true"}
    manual = parse_event(json.dumps({"inputs": inputs}).encode(), "workflow_dispatch")
    assert event_of(issue_key="ABC-1", phase="plan", dry_run=True) == manual


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(string.printable, max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["action", "client_payload", "inputs", "issue_key", "phase", "pull_request", "head", "ref"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["repository_dispatch", "workflow_dispatch", "schedule", "pull_request"]))
def test_every_json_is_an_event_or_a_config_error(value: Any, name: str) -> None:
    """Whatever arrives, a run starts with a key, a sweep, a reason for nothing, or an error that we wrote."""
    try:
        event = parse_event(json.dumps(value).encode(), name)
    except ConfigError:
        return
    assert event.issue_key or event.is_sweep or event.nothing
