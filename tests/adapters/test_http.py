"""The HTTP client: what is asked again, how long it insists, and how much it reads."""

from __future__ import annotations

import sys
from contextlib import suppress
from email.utils import formatdate
from typing import Any

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from runner.adapters.http import RetryPolicy
from runner.adapters.http_failures import TooLarge
from runner.errors import Ambiguous, Conflict, NotFound, Unavailable
from tests.adapters.http_answers import (
    ALL,
    BASE,
    GOOD,
    HTML,
    READS,
    REPEATABLE,
    UNREPEATABLE,
    answers,
    client,
    slept,
)

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
