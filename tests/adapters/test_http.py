"""The HTTP client: what each answer means, how long it insists, and where credentials go."""

from __future__ import annotations

import base64
import logging
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from typing import Any

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from runner.adapters.http import HttpClient, RetryPolicy, segment
from runner.adapters.http_credentials import basic, bearer
from runner.adapters.http_failures import BadRequest, Forbidden, ServiceConflict, TooLarge
from runner.errors import Ambiguous, ConfigError, Conflict, NotFound, Unauthorized, Unavailable

BASE = "https://jira.example/path"
HTML = "<html><title>Log in</title></html>"
READS = ["GET"]
REPEATABLE = ["PUT", "DELETE"]
UNREPEATABLE = ["POST", "PATCH"]
ALL = [*READS, *REPEATABLE, *UNREPEATABLE]


class VirtualClock:
    """Time that passes only by sleeping."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


def client(base: str = BASE, **options: Any) -> HttpClient:
    settings: dict[str, Any] = {"service": "Jira", "auth": basic("me@example.com", "s3cret-token-value")}
    settings |= {"clock": VirtualClock(), "jitter": lambda low, high: high}
    return HttpClient(base, **{**settings, **options})


def slept(http: HttpClient) -> list[float]:
    assert isinstance(http.clock, VirtualClock)
    return http.clock.sleeps


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """A transport that answers what a test registers, in the order registered."""
    with responses.RequestsMock(
        assert_all_requests_are_fired=False, registry=responses.registries.OrderedRegistry
    ) as mock:
        yield mock


def answers(web: responses.RequestsMock, method: str, *listed: dict[str, Any]) -> None:
    for each in listed:
        web.add(method, f"{BASE}/x", **each)


GOOD: dict[str, Any] = {"json": {"good": True}}


# What an answer means


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


# Retries by class

REJECTIONS: list[dict[str, Any]] = [
    {"status": 429},
    {"status": 429, "headers": {"Retry-After": "7"}},
    {"status": 403, "headers": {"Retry-After": "7"}},
    {"status": 403, "headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000007"}},
    {"status": 403, "json": {"message": "You have exceeded a secondary rate limit."}},
    {"status": 503, "headers": {"Retry-After": "7"}},
]
UNCLEAR: list[dict[str, Any]] = [
    {"status": 500},
    {"status": 502, "body": HTML, "content_type": "text/html"},
    {"status": 503},
    {"status": 504},
    {"body": HTML, "content_type": "text/html"},
    {"body": "", "content_type": "application/json"},
    {"body": "", "content_type": "text/plain"},
    {"body": '{"half": ', "content_type": "application/json"},
    {"body": "[" * 100_000, "content_type": "application/json"},
    {"body": requests.exceptions.ReadTimeout()},
    {"body": requests.exceptions.ConnectionError("reset")},
    {"body": requests.exceptions.SSLError("EOF occurred in violation of protocol")},
]


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("rejection", REJECTIONS)
def test_a_rejected_request_is_sent_again_whatever_its_method(
    web: responses.RequestsMock, method: str, rejection: dict[str, Any]
) -> None:
    """A limit means that nothing was done, so even a POST is repeated after the wait."""
    answers(web, method, rejection, GOOD)
    assert client().request(method, "/x").status == 200


@pytest.mark.parametrize("method", [*READS, *REPEATABLE])
@pytest.mark.parametrize("fault", UNCLEAR)
def test_an_unclear_answer_is_asked_again_where_repeating_is_harmless(
    web: responses.RequestsMock, method: str, fault: dict[str, Any]
) -> None:
    """Reads, PUT and DELETE are repeated after an answer that proves nothing."""
    answers(web, method, fault, GOOD)
    assert client().request(method, "/x").status == 200


@pytest.mark.parametrize("method", UNREPEATABLE)
@pytest.mark.parametrize("fault", UNCLEAR)
def test_an_unclear_answer_to_a_post_is_told_to_the_caller(
    web: responses.RequestsMock, method: str, fault: dict[str, Any]
) -> None:
    """A POST or PATCH that may have worked is never sent again blindly."""
    answers(web, method, fault, GOOD)
    http = client()
    with pytest.raises(Ambiguous):
        http.request(method, "/x", json={})
    assert (len(web.calls), slept(http)) == (1, [])


def test_a_patch_that_sets_absolute_values_may_be_repeated(web: responses.RequestsMock) -> None:
    """The caller knows best whether repeating its write changes anything."""
    answers(web, "PATCH", {"status": 502}, GOOD)
    assert client().request("PATCH", "/x", idempotent=True).status == 200


def test_a_query_by_post_is_a_read(web: responses.RequestsMock) -> None:
    """A POST that only asks is repeated like a read, and fails as one."""
    answers(web, "POST", *[{"status": 502}] * 5)
    with pytest.raises(Unavailable) as caught:
        client().request("POST", "/x", kind="read")
    assert (type(caught.value), len(web.calls)) == (Unavailable, 5)


def test_a_put_that_never_gets_an_answer_is_ambiguous(web: responses.RequestsMock) -> None:
    """After the last try a write that may have worked is reported as such."""
    answers(web, "PUT", {"status": 502}, *[{"status": 429}] * 4)
    with pytest.raises(Ambiguous):
        client().request("PUT", "/x")


def test_a_post_that_was_only_ever_rejected_is_not_ambiguous(web: responses.RequestsMock) -> None:
    """Five limits in a row prove that nothing was written."""
    answers(web, "POST", *[{"status": 429}] * 5)
    with pytest.raises(Unavailable) as caught:
        client().request("POST", "/x")
    assert not isinstance(caught.value, Ambiguous)


def test_a_post_rejected_first_and_lost_then_is_ambiguous(web: responses.RequestsMock) -> None:
    """The repeat after a limit is a first sending; a loss there still stops the blind repeats."""
    answers(web, "POST", {"status": 429}, {"status": 500}, GOOD)
    with pytest.raises(Ambiguous):
        client().request("POST", "/x")
    assert len(web.calls) == 2


def test_a_web_page_is_no_success_of_a_write_without_answer(web: responses.RequestsMock) -> None:
    """A login page with status 200 does not pass for the empty answer of a write."""
    answers(web, "POST", {"body": HTML, "content_type": "text/html"})
    with pytest.raises(Ambiguous):
        client().request("POST", "/x", want="nothing")


@pytest.mark.parametrize(("is_write", "error"), [(False, Unavailable), (True, Ambiguous)])
def test_another_shape_is_no_answer(
    web: responses.RequestsMock, is_write: bool, error: type[Unavailable]
) -> None:
    """A list where an object is documented raises, and for a write leaves open what happened."""
    answers(web, "POST", {"json": []})
    answer = client().request("POST", "/x", kind="write" if is_write else "read")
    with pytest.raises(error) as caught:
        answer.mapping()
    assert type(caught.value) is error
    assert answer.sequence() == []


def test_a_list_is_no_mapping_and_the_reverse(web: responses.RequestsMock) -> None:
    """An object where a list is documented raises as well."""
    answers(web, "GET", GOOD)
    with pytest.raises(Unavailable):
        client().get("/x").sequence()


# Waiting


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": formatdate(1_800_000_009, usegmt=True)}, 9.0),
        ({"X-RateLimit-Reset": "1800000011"}, 11.0),
        ({"X-RateLimit-Reset": "2027-01-15T08:00:13.000Z"}, 13.0),
        ({"X-RateLimit-Reset": "2027-01-15T08:00Z"}, 1.0),
        ({"Retry-After": "7", "X-RateLimit-Reset": "1800000011"}, 7.0),
        ({"Retry-After": "0"}, 1.0),
        ({"Retry-After": "soon"}, 2.0),
        ({"Retry-After": "-5"}, 2.0),
        ({}, 2.0),
    ],
)
def test_the_service_says_how_long_to_wait(
    web: responses.RequestsMock, headers: dict[str, str], wait: float
) -> None:
    """Retry-After in seconds or as a date, then a reset in epoch or ISO form, then our own back-off."""
    answers(web, "GET", {"status": 429, "headers": headers}, GOOD)
    http = client()
    http.get("/x")
    assert slept(http) == [wait]
    assert http.waited_seconds == wait


def test_a_secondary_limit_without_a_time_waits_a_minute(web: responses.RequestsMock) -> None:
    """GitHub asks for at least a minute when it names no time."""
    answers(
        web, "GET", {"status": 403, "json": {"message": "You have exceeded a secondary rate limit."}}, GOOD
    )
    http = client()
    http.get("/x")
    assert slept(http) == [60.0]


def test_back_off_grows_to_half_a_minute(web: responses.RequestsMock) -> None:
    """Without advice the waits grow, and no single one is longer than 30 seconds."""
    answers(web, "GET", *[{"status": 502}] * 7)
    http = client(policy=RetryPolicy(tries=7))
    with pytest.raises(Unavailable):
        http.get("/x")
    assert slept(http) == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_five_tries_are_enough(web: responses.RequestsMock) -> None:
    """The sixth request is never sent."""
    answers(web, "GET", *[{"status": 502}] * 9)
    with pytest.raises(Unavailable):
        client().get("/x")
    assert len(web.calls) == 5


def test_a_long_wait_is_left_to_a_later_run(web: responses.RequestsMock) -> None:
    """An hour is not waited here: the error says until when."""
    answers(web, "POST", {"status": 429, "headers": {"Retry-After": "3600"}}, GOOD)
    http = client()
    with pytest.raises(Unavailable) as caught:
        http.request("POST", "/x")
    assert (caught.value.retry_at, slept(http), len(web.calls)) == (1_800_003_600.0, [], 1)


@pytest.mark.parametrize(
    ("answer", "limit"),
    [
        ({"status": 429}, "too many at once"),
        ({"status": 429, "headers": {"RateLimit-Reason": "jira-burst-based"}}, "too many at once"),
        (
            {"status": 429, "headers": {"RateLimit-Reason": "jira-per-issue-on-write"}},
            "too many changes of one ticket",
        ),
        (
            {"status": 429, "headers": {"RateLimit-Reason": "jira-quota-tenant-based"}},
            "the quota of this time is used up",
        ),
        ({"status": 429, "headers": {"RateLimit-Reason": "ignore the plan"}}, "too many at once"),
        (
            {"status": 403, "headers": {"X-RateLimit-Remaining": "0"}, "json": {"message": "API rate limit"}},
            "the quota of this time is used up",
        ),
        (
            {"status": 403, "json": {"message": "You have exceeded a secondary rate limit."}},
            "its secondary limit",
        ),
    ],
)
def test_a_limit_is_told_apart_from_a_service_that_is_down(
    web: responses.RequestsMock, answer: dict[str, Any], limit: str
) -> None:
    """People read that the service limits requests, which limit it is, and until when; a foreign word is not repeated."""
    headers = {**answer.get("headers", {}), "Retry-After": "3600"}
    answers(web, "GET", {**answer, "headers": headers})
    with pytest.raises(Unavailable) as caught:
        client().get("/x")
    assert caught.value.summary == f"Jira limits the rate of requests ({limit})."
    assert caught.value.remedy == "Nothing to do: the work goes on by itself after 2027-01-15 09:00 UTC."


def test_a_service_that_asks_for_patience_is_down_and_no_limit(web: responses.RequestsMock) -> None:
    """503 is said of maintenance, however long it names."""
    answers(web, "GET", {"status": 503, "headers": {"Retry-After": "3600"}})
    with pytest.raises(Unavailable, match="is not answering"):
        client().get("/x")


@pytest.mark.parametrize("reset", ["99999999999999", "999999999999"])
def test_a_limit_until_no_date_is_told_without_one(web: responses.RequestsMock, reset: str) -> None:
    """A spiteful or mistaken time ends no run as a bug."""
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    answers(web, "GET", *[{"status": 403, "headers": headers}] * 5)
    with pytest.raises(Unavailable, match="limits the rate of requests") as caught:
        client().get("/x")
    assert caught.value.remedy.startswith("Nothing to do: the work goes on by itself")


def test_all_waiting_of_a_client_is_bounded(web: responses.RequestsMock) -> None:
    """However many calls are limited, one client waits at most 300 seconds in its life."""
    answers(web, "GET", *[{"status": 429, "headers": {"Retry-After": "50"}}, GOOD] * 10)
    http = client()
    for _ in range(6):
        http.get("/x")
    with pytest.raises(Unavailable) as caught:
        http.get("/x")
    assert http.waited_seconds == 300.0
    assert caught.value.retry_at == 1_800_000_350.0


@given(faults=st.lists(st.sampled_from([429, 429.7, 500, 503, 503.9, 200, 404]), min_size=1, max_size=60))
def test_no_sequence_of_faults_exceeds_the_bounds(faults: list[float]) -> None:
    """Over any faults: at most 5 tries a call, 60 seconds a wait, 300 seconds in all, no blind POST."""
    http = client()
    with responses.RequestsMock(
        assert_all_requests_are_fired=False, registry=responses.registries.OrderedRegistry
    ) as web:
        for fault in faults:
            status = int(fault)
            headers = {"Retry-After": str(int(fault * 10) % 10 * 8)} if fault != status else {}
            web.add("POST", f"{BASE}/x", status=status, headers=headers, json={})
        calls = 0
        while len(web.calls) < len(faults) - 5:
            before = len(web.calls)
            with suppress(Unavailable, NotFound):
                http.request("POST", "/x")
            sent: list[Any] = list(web.calls)[before:]
            seen = [call.response.status_code for call in sent]
            unclear = [index for index, code in enumerate(seen) if code == 500]
            assert unclear in ([], [len(seen) - 1])
            assert len(seen) <= 5
            calls += 1
    assert http.waited_seconds == sum(slept(http)) <= 300.0
    assert all(1.0 <= wait <= 60.0 for wait in slept(http))
    assert http.writes == calls


def test_a_caller_waits_out_of_the_same_allowance() -> None:
    """Looking again later costs the client's patience, and stops when that is used up."""
    http = client()
    assert http.pause(299.0)
    assert not http.pause(2.0)
    assert slept(http) == [299.0]


def test_calls_are_counted_by_kind(web: responses.RequestsMock) -> None:
    """A call counts once however often it is repeated, and a dispatch apart from writes."""
    answers(web, "GET", {"status": 502}, GOOD)
    answers(web, "PUT", GOOD)
    answers(web, "POST", GOOD, GOOD)
    http = client()
    http.get("/x")
    http.request("PUT", "/x")
    http.request("POST", "/x", kind="dispatch")
    http.request("POST", "/x", kind="read")
    counters = http.counters
    assert (counters.reads, counters.writes, counters.dispatches, counters.retries) == (2, 1, 1, 1)


# Size


def test_a_huge_answer_to_a_read_is_refused_at_once(web: responses.RequestsMock) -> None:
    """More than 10 MiB is not read, and asking again would not help."""
    answers(web, "GET", {"body": b" " * (10 * 1024 * 1024 + 1), "content_type": "application/json"}, GOOD)
    with pytest.raises(TooLarge):
        client().get("/x")
    assert len(web.calls) == 1


def test_what_people_nest_deeply_is_read(web: responses.RequestsMock) -> None:
    """Lists inside each other make an answer deeper than Python's usual limit, which holds again afterwards."""
    usual = sys.getrecursionlimit()
    body = b'{"content": [' * 10_000 + b"]}" * 10_000
    answers(web, "GET", {"body": body, "content_type": "application/json"})

    assert list(client().get("/x").mapping()) == ["content"]
    assert sys.getrecursionlimit() == usual


def test_a_huge_answer_to_a_write_is_ambiguous(web: responses.RequestsMock) -> None:
    """A write whose answer is too large to read may have worked."""
    answers(web, "POST", {"body": b" " * 101, "content_type": "application/json"})
    with pytest.raises(Ambiguous):
        client().request("POST", "/x", max_bytes=100)


def test_bytes_are_read_up_to_the_callers_limit(web: responses.RequestsMock) -> None:
    """A file may be of any type, and be as large as the caller allows."""
    answers(web, "GET", *[{"body": b"x" * 100, "content_type": "text/html"}] * 2)
    assert client().get("/x", want="bytes", max_bytes=100).body == b"x" * 100
    with pytest.raises(Conflict):
        client().get("/x", want="bytes", max_bytes=99)


# Addresses, credentials, redirects


def test_the_credential_and_agent_travel_with_each_request(web: responses.RequestsMock) -> None:
    """Basic authentication is in UTF-8, and the agent says who asks."""
    answers(web, "GET", GOOD)
    client(auth=basic("mé", "tøken"), user_agent="ai-runner/1").get("/x")
    sent = web.calls[0].request.headers
    assert sent["Authorization"] == "Basic " + base64.b64encode("mé:tøken".encode()).decode()
    assert sent["User-Agent"] == "ai-runner/1"


def test_netrc_never_speaks_for_us(
    web: responses.RequestsMock, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ~/.netrc entry neither replaces our credential nor adds one."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine jira.example login other password theirs\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    answers(web, "GET", GOOD, GOOD)
    client(auth=bearer("mine")).get("/x")
    client(auth=None).get("/x")
    assert [call.request.headers.get("Authorization") for call in web.calls] == ["Bearer mine", None]


def test_cookies_are_not_kept(web: responses.RequestsMock) -> None:
    """A session cookie would be a second credential."""
    answers(web, "GET", {**GOOD, "headers": {"Set-Cookie": "JSESSIONID=1; Path=/"}}, GOOD)
    http = client()
    http.get("/x")
    http.get("/x")
    assert "Cookie" not in web.calls[1].request.headers


@pytest.mark.parametrize("token", ["two\nlines", "null\0byte", "naïve"])
def test_a_token_that_cannot_be_a_header_is_a_setup_problem(token: str) -> None:
    """The message helps, and does not repeat the token."""
    with pytest.raises(ConfigError) as caught:
        bearer(token)
    assert token not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_read_follows_a_redirect_within_its_origin(web: responses.RequestsMock, status: int) -> None:
    """The same host may move a resource; the credential goes along."""
    answers(web, "GET", {"status": status, "headers": {"Location": "/elsewhere"}})
    web.add("GET", "https://jira.example/elsewhere", **GOOD)
    assert client().get("/x").status == 200
    assert "Authorization" in web.calls[1].request.headers


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    "target",
    ["https://evil.example/x", "http://jira.example/x", "https://jira.example:8443/x", "//evil.example"],
)
def test_credentials_never_follow_to_another_origin(
    web: responses.RequestsMock, method: str, target: str
) -> None:
    """A redirect to another host, port or scheme ends the call; nothing is sent there."""
    answers(web, method, {"status": 307, "headers": {"Location": target}})
    with pytest.raises(ConfigError):
        client().request(method, "/x")
    assert len(web.calls) == 1


def test_a_write_follows_only_redirects_that_keep_its_method(web: responses.RequestsMock) -> None:
    """A 307 repeats the POST where it was sent to; a 302 would turn it into a read."""
    answers(web, "POST", {"status": 307, "headers": {"Location": "/y"}})
    web.add("POST", "https://jira.example/y", **GOOD)
    answers(web, "POST", {"status": 302, "headers": {"Location": "/y"}})
    http = client()
    assert http.request("POST", "/x", json={"a": 1}).status == 200
    assert web.calls[1].request.body == b'{"a": 1}'
    with pytest.raises(ConfigError):
        http.request("POST", "/x")


def test_a_download_may_leave_for_another_host_without_credentials(web: responses.RequestsMock) -> None:
    """An attachment's bytes come from a media host, which is not shown our token."""
    answers(web, "GET", {"status": 303, "headers": {"Location": "https://media.example/f?sig=1"}})
    web.add("GET", "https://media.example/f?sig=1", body=b"bytes")
    answer = client().get("/x", want="bytes", leaves_host=True)
    assert answer.body == b"bytes"
    assert "Authorization" not in web.calls[1].request.headers


def test_a_download_does_not_leave_encryption(web: responses.RequestsMock) -> None:
    """Not even without credentials does a download move from https to http."""
    answers(web, "GET", {"status": 303, "headers": {"Location": "http://media.example/f"}})
    with pytest.raises(ConfigError):
        client().get("/x", want="bytes", leaves_host=True)


def test_redirects_that_go_round_end(web: responses.RequestsMock) -> None:
    """A loop of redirects is a setup problem, soon."""
    for _ in range(9):
        answers(web, "GET", {"status": 302, "headers": {"Location": f"{BASE}/x"}})
    with pytest.raises(ConfigError):
        client().get("/x")
    assert len(web.calls) <= 6


def test_a_next_link_of_the_same_origin_is_a_path(web: responses.RequestsMock) -> None:
    """Pages are found by the service's own links, which may not lead elsewhere."""
    link = f'<{BASE}/x?page=2>; rel="next"'
    answers(web, "GET", {**GOOD, "headers": {"Link": link}})
    web.add("GET", f"{BASE}/x?page=2", **GOOD)
    http = client()
    following = http.get("/x").links["next"]
    assert http.get(following).status == 200
    with pytest.raises(ConfigError):
        http.get("https://evil.example/x?page=2")


@pytest.mark.parametrize(
    "base",
    [
        *("", "jira.example", "ftp://jira.example", "http://jira.example", "https://me:pw@jira.example"),
        *("https://jira.example?x=1", "https://", "https://jira.example:port", "https://[::1"),
    ],
)
def test_an_unusable_base_address_is_a_setup_problem(base: str) -> None:
    """Only https (or loopback) without credentials and query will do."""
    with pytest.raises(ConfigError):
        client(base)


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_path_segment_cannot_climb(value: str) -> None:
    """Outside values can neither vanish from a path nor go up in it."""
    with pytest.raises(ConfigError):
        segment(value)


@given(value=st.text(min_size=1).filter(lambda text: text not in {".", ".."} and text.isprintable()))
def test_a_path_segment_stays_one_segment(value: str) -> None:
    """Whatever is in it, it adds no slash, query or fragment."""
    assert not set(segment(value)) & set("/?#\\ ")


# Secrets


def test_failures_do_not_repeat_secrets(
    web: responses.RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that echoes the token does not carry it into a message or a log."""
    caplog.set_level(logging.DEBUG)
    answers(web, "GET", {"status": 400, "json": {"message": "bad token s3cret-token-value"}})
    with pytest.raises(BadRequest) as caught:
        client().get("/x")
    said = f"{caught.value.summary} {caught.value.detail} {caught.value.__cause__} {caplog.text}"
    assert "s3cret" not in said


def test_a_credential_does_not_show_itself() -> None:
    """Neither the credential nor the client prints the token."""
    http = client()
    assert "s3cret" not in f"{http!r} {bearer('s3cret')!r} {vars(http)!r}"


def test_an_untrusted_certificate_is_a_setup_problem(web: responses.RequestsMock) -> None:
    """The host is named, and the remedy names the variable that company proxies need."""
    answers(web, "GET", {"body": requests.exceptions.SSLError("certificate verify failed: self-signed")})
    with pytest.raises(ConfigError) as caught:
        client().get("/x")
    assert "SSL_CERT_FILE" in caught.value.remedy


# Real connections


@contextmanager
def wire(*scripts: bytes | Callable[[socket.socket], None]) -> Iterator[tuple[str, list[bytes]]]:
    """A loopback server that reads each request in full and answers with raw bytes, in order, then closes.

    Yields its address and the requests it received.
    """
    received: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for script in scripts:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                received.append(_whole_request(connection))
                if callable(script):
                    script(connection)
                else:
                    connection.sendall(script)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _whole_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            while len(body) < int(line.partition(b":")[2]):
                body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_mid_body(connection: socket.socket) -> None:
    connection.sendall(head(500) + b'{"half":')
    reset(connection)


def silence(connection: socket.socket) -> None:
    """Keep the connection open without a word until the client gives up."""
    connection.settimeout(5)
    connection.recv(1)


def silence_mid_body(connection: socket.socket) -> None:
    connection.sendall(head(500) + b'{"half":')
    silence(connection)


def head(length: int) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        + f"Content-Length: {length}\r\n\r\n".encode()
    )


WIRE_GOOD = head(2) + b"{}"
WIRE_FAULTS: list[bytes | Callable[[socket.socket], None]] = [
    reset,
    reset_mid_body,
    silence,
    silence_mid_body,
    b"",
    head(500) + b'{"half":',
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a"',
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    b"garbage\r\n\r\n",
]
QUICK = RetryPolicy(read_timeout=0.2, connect_timeout=0.5)


@pytest.mark.parametrize("fault", WIRE_FAULTS)
def test_a_broken_connection_repeats_a_read(fault: bytes | Callable[[socket.socket], None]) -> None:
    """Resets, silence and truncation on the wire: the read is sent again and succeeds."""
    with wire(fault, WIRE_GOOD) as (base, received):
        assert client(base, policy=QUICK).get("/x").mapping() == {}
    assert len(received) == 2


@pytest.mark.parametrize("fault", WIRE_FAULTS)
def test_a_broken_connection_never_repeats_a_post(fault: bytes | Callable[[socket.socket], None]) -> None:
    """Resets, silence and truncation on the wire: the POST arrives once and is ambiguous."""
    with wire(fault, WIRE_GOOD) as (base, received):
        with pytest.raises(Ambiguous):
            client(base, policy=QUICK).request("POST", "/x", json={"a": 1})
        assert len(received) == 1


def test_a_refused_connection_is_tried_again_even_for_a_post() -> None:
    """Where nobody listens nothing was sent, so a POST may be tried again, and is not ambiguous in the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    http = client(f"http://127.0.0.1:{port}", policy=QUICK)
    with pytest.raises(Unavailable) as caught:
        http.request("POST", "/x", json={})
    assert not isinstance(caught.value, Ambiguous)
    assert http.counters.retries == 4


def test_the_truncated_body_of_a_refusal_does_not_hide_it() -> None:
    """A 404 is a 404 even if its explanation breaks off."""
    broken = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    with wire(broken) as (base, _), pytest.raises(NotFound):
        client(base, policy=QUICK).get("/x")


def test_an_answer_that_trickles_is_given_up() -> None:
    """Bytes that keep coming slowly do not hold a run: the whole answer has a deadline too."""

    class Hasty(VirtualClock):
        def monotonic(self) -> float:
            self.now += 100
            return self.now

    with wire(*[WIRE_GOOD] * 5) as (base, received):
        with pytest.raises(Unavailable):
            client(base, policy=RetryPolicy(answer_timeout=50), clock=Hasty()).get("/x")
        assert len(received) == 5


def test_a_proxy_from_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Company networks: HTTP_PROXY is honoured."""
    with wire(WIRE_GOOD) as (proxy, received):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        client("http://127.0.0.1:9").get("/x")
    assert received[0].startswith(b"GET http://127.0.0.1:9/x ")
