"""Behind a company's proxy, with its own authority: every client finds its way, or says which host and which setting."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.adapters.git import fetch_commits
from runner.adapters.obstacles import network_error
from runner.cli.children import START
from runner.errors import ConfigError
from runner.sandbox.models import SANDBOX_KEY
from runner.sandbox.world import BOT_EMAIL, BOT_TOKEN, PROJECT, REPOSITORY, Provider, World, open_world
from runner.settings import CERTIFICATES, share_certificates
from tests.private_network import Authority, Proxy
from tests.shapes.harness import PERMISSIONS
from tests.test_bad_input import Model

ROOT = Path(__file__).resolve().parents[1]
SERVICES = ("jira", "github", "models")
RUN_TOKEN = "ghs_token_of_the_run"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("network") / "authority")


@pytest.fixture(scope="module")
def server(authority: Authority) -> ssl.SSLContext:
    return authority.server("127.0.0.1")


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A run as its log tells it."""

    code: int
    log: str


@dataclass(kw_only=True)
class Office:
    """A world behind TLS with one ticket that is worked on without a plan: a run of it needs every client."""

    world: World
    key: str

    def run(self, folder: Path, **environment: str) -> Ran:
        """One run in a process of its own, with nothing in its environment but what it is given."""
        services = {
            "JIRA_BASE_URL": self.world.jira.url,
            "JIRA_EMAIL": BOT_EMAIL,
            "JIRA_API_TOKEN": BOT_TOKEN,
            "GITHUB_API_URL": self.world.github.url,
            "GITHUB_SERVER_URL": self.world.github.url,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_TOKEN": RUN_TOKEN,
            "ANTHROPIC_BASE_URL": self.world.models.anthropic_url,
            "ANTHROPIC_API_KEY": SANDBOX_KEY,
            "OPENAI_BASE_URL": self.world.models.openai_url,
            "OPENAI_API_KEY": SANDBOX_KEY,
        }
        command = [sys.executable, "-I", "-c", START, str(ROOT), "run", "--issue", self.key]
        ended = subprocess.run(
            [*command, "--work-dir", str(folder / "work")],
            env={"PATH": os.environ["PATH"], **services, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(code=ended.returncode, log=ended.stdout + ended.stderr)

    @property
    def is_published(self) -> bool:
        return "hello.txt" in self.world.github.files(f"ai/{self.key}")

    @property
    def ports(self) -> set[str]:
        """Where the three services listen."""
        urls = (self.world.jira.url, self.world.github.url, self.world.models.url)
        return {url.removeprefix("https://") for url in urls}


@contextmanager
def office(
    folder: Path, tls: Mapping[str, ssl.SSLContext], *, trusted: Path, provider: Provider = "anthropic"
) -> Iterator[Office]:
    """Start it. Rita trusts what is in ``trusted``; what runs trust is up to the test."""
    with open_world(
        folder, brain=Model(), provider=provider, files={"README.md": b"# Shop\n"}, tls=tls
    ) as world:
        world.github.listeners.clear()
        world.github.add_token(
            RUN_TOKEN,
            login="github-actions[bot]",
            kind="actions",
            permissions=PERMISSIONS,
        )
        rita = world.people["rita"]
        rita._session.verify = str(trusted)
        key = rita.create_ticket("Greet", "Say hello.", project=PROJECT, labels=["ai:direct"])
        rita.assign(key, world.bot)
        yield Office(world=world, key=key)


@pytest.mark.parametrize("name", CERTIFICATES)
@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_one_variable_is_enough_for_an_authority_of_your_own(
    name: str, provider: Provider, authority: Authority, server: ssl.SSLContext, tmp_path: Path
) -> None:
    """With either variable Jira, GitHub's API, git's fetch and push, and the model are all reached over TLS."""
    tls = dict.fromkeys(SERVICES, server)
    with office(tmp_path / "world", tls, trusted=authority.file, provider=provider) as acme:
        ran = acme.run(tmp_path, **{name: str(authority.file)})
        assert (ran.code, acme.is_published) == (0, True), ran.log


def test_everything_goes_through_the_proxy(
    authority: Authority, server: ssl.SSLContext, tmp_path: Path
) -> None:
    """With ``HTTPS_PROXY`` no client connects by itself; the proxy is asked for each service."""
    with (
        Proxy.running() as proxy,
        office(tmp_path / "world", dict.fromkeys(SERVICES, server), trusted=authority.file) as acme,
    ):
        ran = acme.run(tmp_path, SSL_CERT_FILE=str(authority.file), HTTPS_PROXY=proxy.url)
        assert (ran.code, acme.is_published) == (0, True), ran.log
        assert set(proxy.asked) == acme.ports


def test_hosts_that_need_no_proxy_are_reached_without(
    authority: Authority, server: ssl.SSLContext, tmp_path: Path
) -> None:
    """``NO_PROXY`` holds for every client."""
    with (
        Proxy.running() as proxy,
        office(tmp_path / "world", dict.fromkeys(SERVICES, server), trusted=authority.file) as acme,
    ):
        network = {"SSL_CERT_FILE": str(authority.file), "HTTPS_PROXY": proxy.url, "NO_PROXY": "127.0.0.1"}
        ran = acme.run(tmp_path, **network)
        assert (ran.code, acme.is_published) == (0, True), ran.log
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("service", "named"),
    [("jira", "Jira (127.0.0.1)"), ("github", "GitHub (127.0.0.1)"), ("models", "Anthropic (127.0.0.1)")],
)
def test_an_unknown_authority_is_named_with_its_host_and_remedy(
    service: str, named: str, authority: Authority, server: ssl.SSLContext, tmp_path: Path
) -> None:
    """A certificate that nobody here trusts ends the run at once, as a matter of settings, and is not tried again."""
    with (
        Proxy.running() as proxy,
        office(tmp_path / "world", {service: server}, trusted=authority.file) as acme,
    ):
        ran = acme.run(tmp_path, HTTPS_PROXY=proxy.url)
        assert ran.code == 2, ran.log
        assert f"The certificate of {named} is not trusted here" in ran.log
        assert "Set `SSL_CERT_FILE`" in ran.log
        assert len(proxy.asked) <= 2, "once by the stage, and once when the ticket is told"


@pytest.mark.parametrize("service", SERVICES)
def test_a_proxy_that_refuses_is_named(
    service: str, authority: Authority, server: ssl.SSLContext, tmp_path: Path
) -> None:
    """A proxy that wants to know who asks is told at once with the variable that names it."""
    with (
        Proxy.running(refusal="407 Proxy Authentication Required") as proxy,
        office(tmp_path / "world", {service: server}, trusted=authority.file) as acme,
    ):
        ran = acme.run(tmp_path, SSL_CERT_FILE=str(authority.file), HTTPS_PROXY=proxy.url)
        assert ran.code == 2, ran.log
        assert "The proxy does not let this job reach" in ran.log
        assert "`HTTPS_PROXY`" in ran.log
        assert len(proxy.asked) <= 2


def test_git_says_the_same_of_an_unknown_authority(
    authority: Authority, server: ssl.SSLContext, tmp_path: Path
) -> None:
    """Git's own refusal of a certificate is a matter of settings, too, and is not tried again."""
    waits: list[float] = []
    with office(tmp_path / "world", {"github": server}, trusted=authority.file) as acme:
        url, head = f"{acme.world.github.url}/{REPOSITORY}", acme.world.github.branches()["main"]
        with pytest.raises(ConfigError) as caught:
            fetch_commits(url, RUN_TOKEN, (head,), tmp_path / "checkout", sleep=waits.append)
    assert "The certificate of GitHub (127.0.0.1) is not trusted here" in caught.value.summary
    assert "`SSL_CERT_FILE`" in caught.value.remedy
    assert waits == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("SSL certificate problem: unable to get local issuer certificate", "Set `SSL_CERT_FILE`"),
        ("server certificate verification failed. CAfile: none CRLfile: none", "Set `SSL_CERT_FILE`"),
        ("SSL: no alternative certificate subject name matches target host name 'x'", "Check the address"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1)", "Check the address"),
        ("certificate verify failed: Hostname mismatch, certificate is not valid for 'x'. (_ssl.c:1)", "Check the address"),
        ("CONNECT tunnel failed, response 407", "`HTTPS_PROXY`"),
        ("Received HTTP code 403 from proxy after CONNECT", "`HTTPS_PROXY`"),
        ("Tunnel connection failed: 407 Proxy Authentication Required", "`HTTPS_PROXY`"),
    ],
)  # fmt: skip
def test_every_clients_words_have_a_remedy(said: str, expected: str) -> None:
    """Whatever a client calls it, the remedy is that of the cause."""
    error = network_error(said, service="Jira", host="jira.acme.example", detail="")
    assert error is not None
    assert expected in error.remedy
    assert "jira.acme.example" in error.summary


@pytest.mark.parametrize(
    "said", ["Tunnel connection failed: 502 Bad Gateway", "Connection reset by peer", "CONNECT tunnel failed, response 503"]
)  # fmt: skip
def test_what_may_pass_is_no_matter_of_settings(said: str) -> None:
    """A proxy that is down now may be up soon."""
    assert network_error(said, service="Jira", host="jira.acme.example", detail="") is None


def test_a_file_of_certificates_that_is_not_there(tmp_path: Path) -> None:
    """A path that holds no file is named at the start, before anybody is asked."""
    with pytest.raises(ConfigError) as caught:
        share_certificates({"REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem")})
    assert "`REQUESTS_CA_BUNDLE`" in caught.value.summary
    assert "ca.pem" in caught.value.summary


def test_two_files_of_certificates_stay_apart(tmp_path: Path) -> None:
    """Who sets both variables has a reason; nothing is changed, and nothing is added where none is set."""
    (tmp_path / "a.pem").touch()
    (tmp_path / "b.pem").touch()
    both = {"SSL_CERT_FILE": str(tmp_path / "a.pem"), "REQUESTS_CA_BUNDLE": str(tmp_path / "b.pem")}
    kept, empty = dict(both), {"SSL_CERT_FILE": ""}
    share_certificates(kept)
    share_certificates(empty)
    assert (kept, empty) == (both, {"SSL_CERT_FILE": ""})
