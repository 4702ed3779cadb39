"""Where credentials go, and where they never show."""

from __future__ import annotations

import base64
import logging
from typing import Any

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from runner.adapters.http import segment
from runner.adapters.http_credentials import basic, bearer
from runner.adapters.http_failures import BadRequest
from runner.errors import ConfigError
from tests.adapters.http_answers import ALL, BASE, GOOD, answers, client


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
