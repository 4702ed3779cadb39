"""Moves of a ticket along its workflow. A lost answer is settled by reading the status, then at most one more try."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.adapters import jira_records
from runner.adapters.http import HttpClient
from runner.adapters.jira_api import READ_BACK, JiraApi, issue_path
from runner.adapters.jira_records import reading
from runner.errors import Ambiguous, Conflict, RunnerError, Unavailable
from runner.ports import Transition


class JiraMoves:
    """Transitions as Jira offers them, and what becomes of them."""

    def __init__(self, http: HttpClient, api: JiraApi) -> None:
        self._http = http
        self._api = api
        self._targets: dict[tuple[str, str], str] = {}

    def offered(self, key: str) -> tuple[Transition, ...]:
        """Moves that are possible now."""
        path = f"{issue_path(key)}/transitions"
        data = self._http.get(path, params={"expand": "transitions.fields"}).mapping()
        with reading("list of transitions"):
            found = tuple(jira_records.transition(entry) for entry in data["transitions"])
        self._targets.update({(key, each.id): each.target for each in found})
        return found

    def make(self, key: str, transition_id: str, fields: Mapping[str, object]) -> None:
        """Perform a transition. A lost answer is settled by reading the status, then at most one more try."""
        target = self._target_of(key, transition_id)
        try:
            self._transition(key, transition_id, fields)
        except Ambiguous:
            if not self._arrives(key, target):
                self._move_again(key, transition_id, fields, target)

    def _target_of(self, key: str, transition_id: str) -> str:
        if (key, transition_id) not in self._targets:
            self.offered(key)
        try:
            return self._targets[key, transition_id]
        except KeyError:
            raise Conflict(
                f"Jira no longer offers this move for {key}.", detail=f"transition {transition_id}"
            ) from None

    def _transition(self, key: str, transition_id: str, fields: Mapping[str, object]) -> None:
        body: dict[str, Any] = {"transition": {"id": transition_id}}
        if fields:
            body["fields"] = dict(fields)
        self._http.request("POST", f"{issue_path(key)}/transitions", json=body, want="nothing")

    def _move_again(self, key: str, transition_id: str, fields: Mapping[str, object], target: str) -> None:
        try:
            self._transition(key, transition_id, fields)
        except RunnerError:
            # The first try may have arrived late, and then Jira refuses the second.
            if not self._is_at(key, target):
                raise

    def _arrives(self, key: str, target: str) -> bool:
        """Look for the status some seconds long; without a look, or time for one, the move stays ambiguous."""
        try:
            for seconds in READ_BACK:
                is_waited = self._http.pause(seconds)
                if self._is_at(key, target):
                    return True
                if not is_waited:
                    break
            else:
                return False
        except Unavailable as exc:
            raise _unsettled(key) from exc
        raise _unsettled(key)

    def _is_at(self, key: str, target: str) -> bool:
        data = self._api.issue(key, ("status",))
        with reading("ticket"):
            return jira_records.status(data["fields"]["status"]).name == target


def _unsettled(key: str) -> Ambiguous:
    return Ambiguous(f"Jira did not say whether it moved {key}.")
