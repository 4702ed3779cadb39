"""Reading from Jira's REST API: tickets, searches and lists, each to its end and counted against Jira's own total."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.adapters.http import HttpClient, segment
from runner.adapters.http_failures import BadRequest
from runner.adapters.jira_records import reading
from runner.errors import ConfigError, NotFound, Unavailable

API = "/rest/api/3"
PAGE_SIZE = 100
MAX_PAGES = 500
BULK_SIZE = 100
READS_OF_A_LIST = 3
# How long Jira may take to show what it accepted, between one look and the next, in seconds.
READ_BACK = (1.0, 3.0, 7.0)


class JiraApi:
    """What Jira holds, complete or not at all."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    def issue(self, key: str, fields: Sequence[str]) -> dict[str, Any]:
        """One ticket; NotFound says what to check."""
        try:
            return self._http.get(issue_path(key), params={"fields": ",".join(fields)}).mapping()
        except NotFound as exc:
            raise NotFound(
                f"Jira has no ticket {key}, or this account may not see it.",
                remedy="Check the key, and give the runner's account the permission Browse Projects there.",
                detail=exc.detail,
            ) from exc

    def bulk(self, keys: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Issues by key, as far as one bulk request gives them; an absence proves nothing."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(keys), BULK_SIZE):
            body = {"issueIdsOrKeys": list(keys[start : start + BULK_SIZE]), "fields": list(fields)}
            data = self._http.request("POST", f"{API}/issue/bulkfetch", json=body, kind="read").mapping()
            with reading("list of tickets"):
                found.update({str(issue["key"]): issue for issue in data["issues"]})
        return found

    def found(self, jql: str, fields: Sequence[str], *, limit: int) -> list[dict[str, Any]]:
        """Tickets that match a query, at most ``limit``."""
        issues: list[dict[str, Any]] = []
        token: str | None = None
        for _ in range(MAX_PAGES):
            body: dict[str, Any] = {
                "jql": jql,
                "fields": list(fields),
                "maxResults": min(limit - len(issues), PAGE_SIZE),
            }
            if token is not None:
                body["nextPageToken"] = token
            data = self._page_of_search(body)
            with reading("search result"):
                issues += data["issues"]
            token = data.get("nextPageToken")
            if len(issues) >= limit or token is None or data.get("isLast") is True:
                return issues[:limit]
        raise _endless("search result")

    def _page_of_search(self, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._http.request("POST", f"{API}/search/jql", json=body, kind="read").mapping()
        except BadRequest as exc:
            raise ConfigError(
                exc.summary,
                remedy="Correct `jira.projects` in the configuration: each must exist and be visible to this account.",
                detail=exc.detail,
            ) from exc

    def entries(
        self,
        path: str,
        names: Sequence[str],
        params: Mapping[str, Any] | None = None,
        *,
        size: int = PAGE_SIZE,
    ) -> list[dict[str, Any]]:
        """Every entry of a paged list, which is read again when it changes meanwhile."""
        for _ in range(READS_OF_A_LIST):
            pages = list(self._pages(path, names, params or {}, size))
            entries = [entry for page, _ in pages for entry in page]
            totals = {total for _, total in pages}
            if totals in ({None}, {len(_distinct(entries))}):
                return entries
        raise Unavailable(
            "Jira changed a list while it was read.", detail=f"{path}: {len(entries)} entries of {totals}"
        )

    def _pages(
        self, path: str, names: Sequence[str], params: Mapping[str, Any], size: int
    ) -> Iterator[tuple[list[dict[str, Any]], int | None]]:
        """Pages with the total that each one claims."""
        start = 0
        for _ in range(MAX_PAGES):
            query = {**params, "startAt": start, "maxResults": size}
            data = self._http.get(path, params=query).mapping()
            with reading("page of a list"):
                page = [*_first_list(data, names)]
                total = None if data.get("total") is None else int(data["total"])
            yield page, total
            start += len(page)
            if data.get("isLast") is True or not page or (total is not None and start >= total):
                return
        raise _endless("list")


def issue_path(key: str) -> str:
    """Where a ticket is."""
    return f"{API}/issue/{segment(key)}"


def _distinct(entries: Sequence[Mapping[str, Any]]) -> set[str]:
    return {str(entry.get("id") or entry.get("accountId") or field_id(entry)) for entry in entries}


def _first_list(data: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    for name in names:
        if isinstance(data.get(name), list):
            return list(data[name])
    raise ValueError(f"no list named {' or '.join(names)}")


def field_id(entry: Mapping[str, Any]) -> str:
    """A field's id, which Jira names in two ways."""
    return str(entry.get("fieldId") or entry.get("key"))


def _endless(what: str) -> Unavailable:
    return Unavailable(f"Jira's {what} does not end.", detail=f"more than {MAX_PAGES} pages")
