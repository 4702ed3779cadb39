"""What started a run: the GitHub event file, or a person's own words, as one small record.

An event is a hint. It names a ticket; everything else in it is an expectation that the state may contradict.
Pure: bytes in, record out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args

from runner.core.phases import KEY, key_of_branch
from runner.errors import ConfigError

Expected = Literal["auto", "plan", "breakdown", "implement", "revise", "complete", "sweep"]

EXPECTED: tuple[Expected, ...] = get_args(Expected)
PAYLOAD_KEYS = ("issue_key", "phase", "event_id", "dry_run")
EVENT_NAMES = ("repository_dispatch", "workflow_dispatch", "schedule", "pull_request")

# GitHub delivers no larger event than this.
MAX_EVENT_BYTES = 25 * 1024 * 1024
MAX_EVENT_ID = 200

_TRUTH: Mapping[object, bool] = {"true": True, "false": False, "": False}


@dataclass(frozen=True, kw_only=True)
class Event:
    """A reason to look at one ticket, or at all of them.

    ``issue_key`` is ``None`` for a sweep and when ``nothing`` says why this event concerns no ticket.
    ``given_by_person`` means that ``phase`` narrows what may be done instead of being a mere expectation.
    ``head_branch`` is the branch of the pull request that was closed. ``notices`` are for the log.
    """

    issue_key: str | None
    phase: Expected = "auto"
    event_id: str = ""
    dry_run: bool = False
    given_by_person: bool = False
    head_branch: str | None = None
    notices: tuple[str, ...] = ()
    nothing: str | None = None

    @property
    def is_sweep(self) -> bool:
        """Whether every ticket of ours is to be looked at."""
        return self.phase == "sweep"


def parse_event(data: bytes, event_name: str) -> Event:
    """Read the file at ``GITHUB_EVENT_PATH``. Raises ConfigError naming what is wrong and the nearest valid name."""
    payload = _decoded(data)
    match event_name:
        case "repository_dispatch":
            return _dispatched(_member(payload, "client_payload", "client_payload"))
        case "workflow_dispatch":
            return _dispatched(_member(payload, "inputs", "inputs"), by_person=True)
        case "schedule":
            return Event(issue_key=None, phase="sweep")
        case "pull_request":
            return _closed_pull_request(payload)
        case _:
            raise ConfigError(
                f"A run cannot be started by the event `{event_name}`.{_nearest(event_name, EVENT_NAMES)}",
                remedy=f"Let the workflow listen to {', '.join(EVENT_NAMES)} only, or give the action the input `issue-key`.",
            )


def event_of(
    *,
    issue_key: str = "",
    phase: str = "",
    event_id: str = "",
    dry_run: object = False,
    by_person: bool = True,
) -> Event:
    """The event that command-line flags or inputs of the action describe; empty values count as absent."""
    given = {"issue_key": issue_key, "phase": phase, "event_id": event_id}
    return _dispatched(
        {**{name: value for name, value in given.items() if value}, "dry_run": dry_run}, by_person=by_person
    )


def _decoded(data: bytes) -> Mapping[str, Any]:
    if len(data) > MAX_EVENT_BYTES:
        raise _malformed(f"it is larger than {MAX_EVENT_BYTES:,} bytes")
    try:
        payload = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise _malformed("it is not JSON", detail=str(exc)) from exc
    if not isinstance(payload, Mapping):
        raise _malformed("it is not a JSON object")
    return payload


def _member(payload: Mapping[str, Any], name: str, title: str) -> Mapping[str, Any]:
    value = payload.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _malformed(f"`{title}` is not an object")
    return value


def _dispatched(payload: Mapping[str, Any], *, by_person: bool = False) -> Event:
    phase = _phase(payload)
    notices = [
        f"The payload's key `{_short(name)}` is unknown and was ignored.{_nearest(str(name), PAYLOAD_KEYS)}"
        for name in payload
        if name not in PAYLOAD_KEYS
    ]
    key = None if phase == "sweep" else _issue_key(payload)
    if phase == "sweep" and payload.get("issue_key"):
        notices.append("A sweep looks at every ticket; the payload's `issue_key` was ignored.")
    return Event(
        issue_key=key,
        phase=phase,
        event_id=_event_id(payload),
        dry_run=_dry_run(payload),
        given_by_person=by_person,
        notices=tuple(notices),
    )


def _phase(payload: Mapping[str, Any]) -> Expected:
    value = payload.get("phase")
    if value is None or value == "":
        return "auto"
    found = next((phase for phase in EXPECTED if phase == value), None)
    if found is None:
        raise ConfigError(
            f"`{_short(value)}` is not a phase.{_nearest(str(value), EXPECTED)}",
            remedy=f"`phase` is one of {', '.join(EXPECTED)}.",
        )
    return found


def _issue_key(payload: Mapping[str, Any]) -> str:
    value = payload.get("issue_key")
    if value is None or value == "":
        misspelt = next((name for name in payload if get_close_matches(str(name), ["issue_key"])), None)
        instead = f" It has `{_short(misspelt)}` instead." if misspelt else ""
        raise ConfigError(
            f"The payload has no `issue_key`.{instead}",
            remedy="Send the ticket's key, as in `ABC-12`; only the phase `sweep` goes without.",
        )
    if not isinstance(value, str) or not KEY.fullmatch(value):
        raise ConfigError(
            f"`{_short(value)}` is not a Jira key.{_corrected_key(value)}",
            remedy="`issue_key` is text such as `ABC-12`, without spaces or an address.",
        )
    return value


def _corrected_key(value: object) -> str:
    last = str(value).strip().rstrip("/").rpartition("/")[2].upper()
    return f" Did you mean `{last}`?" if KEY.fullmatch(last) else ""


def _event_id(payload: Mapping[str, Any]) -> str:
    value = payload.get("event_id")
    if value is None:
        return ""
    if (
        not isinstance(value, str)
        or len(value) > MAX_EVENT_ID
        or not (value.isprintable() and value.isascii())
    ):
        raise ConfigError(
            "The payload's `event_id` is not a short text.",
            remedy=f"`event_id` is printable ASCII text of at most {MAX_EVENT_ID} characters.",
        )
    return value


def _dry_run(payload: Mapping[str, Any]) -> bool:
    value = payload.get("dry_run", False)
    if value is None or isinstance(value, bool):
        return bool(value)
    if not isinstance(value, str) or value not in _TRUTH:
        raise ConfigError(
            f"`{_short(value)}` is neither true nor false.",
            remedy="`dry_run` is `true` or `false`.",
        )
    return _TRUTH[value]


def _closed_pull_request(payload: Mapping[str, Any]) -> Event:
    if payload.get("action") != "closed":
        return _nothing("Of a pull request's events only `closed` concerns the runner.")
    pull_request = _member(payload, "pull_request", "pull_request")
    head = _member(pull_request, "head", "pull_request.head")
    branch = head.get("ref")
    if not isinstance(branch, str):
        raise _malformed("`pull_request.head.ref` is not text")
    if _repository(head) is None or _repository(head) != _repository(
        _member(pull_request, "base", "pull_request.base")
    ):
        return _nothing("The pull request comes from another repository.")
    key = key_of_branch(branch)
    if key is None:
        return _nothing("The pull request's branch is not one of the runner's.")
    return Event(issue_key=key, head_branch=branch)


def _repository(side: Mapping[str, Any]) -> str | None:
    name = _member(side, "repo", "repo").get("full_name")
    return name if isinstance(name, str) else None


def _nothing(reason: str) -> Event:
    return Event(issue_key=None, nothing=reason)


def _malformed(reason: str, *, detail: str = "") -> ConfigError:
    return ConfigError(
        f"The event cannot be read: {reason}.",
        remedy="Check what sends it.",
        detail=detail,
    )


def _nearest(name: str, names: tuple[str, ...]) -> str:
    found = get_close_matches(name.strip().lower()[:100], names, n=1)
    return f" Did you mean `{found[0]}`?" if found else ""


def _short(value: object) -> str:
    """A value from outside, fit to be named in one line of a message."""
    text = "".join(character if character.isprintable() else "�" for character in str(value)[:60])
    return text.replace("`", "'")
