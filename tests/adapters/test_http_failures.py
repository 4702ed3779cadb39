"""What each answer means to the caller."""

from __future__ import annotations

import pytest
import responses

from runner.adapters.http_failures import BadRequest, Forbidden, ServiceConflict
from runner.errors import NotFound, Unauthorized
from tests.adapters.http_answers import ALL, GOOD, answers, client, slept


@pytest.mark.parametrize("method", ALL)
def test_a_good_answer_is_returned_parsed(web: responses.RequestsMock, method: str) -> None:
    """A 2xx answer with JSON is returned at once, whatever the method."""
    answers(web, method, GOOD)
    assert client().request(method, "/x").mapping() == {"good": True}


def test_no_content_is_a_good_answer(web: responses.RequestsMock) -> None:
    """Status 204 has no body, and that is complete."""
    answers(web, "PUT", {"status": 204})
    assert client().request("PUT", "/x").json() is None


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequest),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (405, BadRequest),
        (409, ServiceConflict),
        (410, BadRequest),
        (412, ServiceConflict),
        (413, ServiceConflict),
        (415, BadRequest),
        (422, ServiceConflict),
        (451, BadRequest),
    ],
)
@pytest.mark.parametrize("method", ALL)
def test_a_refusal_raises_its_own_error_and_is_not_repeated(
    web: responses.RequestsMock, method: str, status: int, error: type[Exception]
) -> None:
    """A 4xx answer other than a limit is final: its error is raised after one request and no wait."""
    answers(web, method, {"status": status, "json": {"message": "No."}}, GOOD)
    http = client()
    with pytest.raises(error):
        http.request(method, "/x")
    assert (len(web.calls), slept(http)) == (1, [])


def test_expected_statuses_are_returned(web: responses.RequestsMock) -> None:
    """A status that the caller expects is an answer, not an error."""
    answers(web, "GET", {"status": 404, "json": {"message": "Not Found"}})
    answer = client().get("/x", expected=[404])
    assert (answer.status, answer.json()) == (404, {"message": "Not Found"})


def test_jira_field_errors_are_kept_by_field(web: responses.RequestsMock) -> None:
    """A 400 from Jira tells which field it refuses and why, in words fit for a ticket."""
    body = {"errorMessages": ["It failed."], "errors": {"customfield_1": "Team\u202e is  required."}}
    answers(web, "POST", {"status": 400, "json": body})
    with pytest.raises(BadRequest) as caught:
        client().request("POST", "/x", json={})
    assert caught.value.fields == {"customfield_1": "Team is required."}
    assert "It failed. · customfield_1: Team is required." in caught.value.summary


def test_github_error_entries_are_kept_as_messages(web: responses.RequestsMock) -> None:
    """A 422 from GitHub carries the messages that tell "exists already" from other refusals."""
    exists = "A pull request already exists for me:ai/ABC-1."
    body = {
        "message": "Validation Failed",
        "errors": [
            {"resource": "PullRequest", "code": "custom", "message": exists},
            {"field": "base", "code": "invalid"},
        ],
    }
    answers(web, "POST", {"status": 422, "json": body})
    with pytest.raises(ServiceConflict) as caught:
        client().request("POST", "/x", json={})
    assert caught.value.messages == ("Validation Failed", exists, "invalid")


def test_a_long_refusal_is_shortened(web: responses.RequestsMock) -> None:
    """What a service says fits into a comment."""
    answers(web, "POST", {"status": 400, "json": {"errorMessages": ["long " * 5000]}})
    with pytest.raises(BadRequest) as caught:
        client().request("POST", "/x")
    assert len(caught.value.summary) < 700


def test_a_missing_permission_is_named(web: responses.RequestsMock) -> None:
    """A 403 says which permission the service wants."""
    headers = {"X-Accepted-GitHub-Permissions": "contents=write"}
    answers(web, "POST", {"status": 403, "json": {"message": "Resource not accessible"}, "headers": headers})
    with pytest.raises(Forbidden) as caught:
        client(service="GitHub").request("POST", "/x")
    assert caught.value.permissions == "contents=write"
    assert "contents=write" in caught.value.remedy
