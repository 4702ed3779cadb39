"""Git as a child process that trusts nothing it finds.

Every child gets an environment of our own making: no system, user or inherited configuration, no prompts, no
hooks, no file system monitor, no protocol beyond the one of the address, an explicit ``GIT_DIR`` (so that a
bare repository hidden in the files is never discovered). A credential exists only in the environment of the
one child that talks to its server: never in an argument, a file or a message.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from runner.adapters.git_failures import Ended, local_failure
from runner.errors import ConfigError

LOCAL_SECONDS = 120.0

# What a child may know of its surroundings: where programs are, and how to reach the network.
_INHERITED = (
    "PATH",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
)
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.symlinks=true",
    "core.autocrlf=false",
    "core.logAllRefUpdates=false",
    "core.quotePath=false",
    "credential.helper=",
    "diff.external=",
    "gc.auto=0",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "maintenance.auto=false",
    "protocol.allow=never",
    "push.recurseSubmodules=no",
    "safe.bareRepository=explicit",
    "submodule.recurse=false",
)
# Files appear byte for byte as they are committed: no line-ending, encoding or filter (LFS) conversion.
_ATTRIBUTES = "* -text !eol !crlf -ident !filter !working-tree-encoding\n"
# The only hosts to which a credential may travel unencrypted.
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, kw_only=True)
class Remote:
    """An address with its credential; ``allow_file`` lets tests use a repository on disk."""

    url: str
    token: str | None = field(default=None, repr=False)
    allow_file: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        known = {"https"} | ({"file"} if self.allow_file else set())
        if parts.hostname in _LOOPBACK:
            known.add("http")
        if parts.scheme not in known or parts.username or parts.password:
            raise ConfigError(
                f"`{parts.scheme}://{parts.hostname or ''}` is not an address that git may use here.",
                remedy="Use an https address without user name or password.",
            )

    @property
    def protocol(self) -> str:
        """The only protocol a child may speak."""
        return urlsplit(self.url).scheme

    @property
    def header(self) -> str:
        """The credential as git sends it."""
        pair = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
        return f"Authorization: Basic {pair}"

    def environment(self) -> dict[str, str]:
        """What the child that talks to the server needs beyond the common environment."""
        env = {"GIT_ALLOW_PROTOCOL": self.protocol}
        if self.token and self.protocol != "file":
            env |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{self.url}.extraHeader",
                "GIT_CONFIG_VALUE_0": self.header,
            }
        return env

    def redact(self, text: str) -> str:
        """The text without the credential in any form we sent it."""
        if self.token:
            for secret in (self.header.rpartition(" ")[2], self.token):
                text = text.replace(secret, "***")
        return text


@dataclass(frozen=True, kw_only=True)
class Git:
    """Starts git on one repository, named explicitly."""

    git_dir: Path
    work_tree: Path | None = None

    def try_run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        remote: Remote | None = None,
        env: Mapping[str, str] | None = None,
        seconds: float = LOCAL_SECONDS,
    ) -> Ended:
        """Run git and say how it ended."""
        timed_out = False
        with self._start(arguments, self._environment(remote) | dict(env or {})) as child:
            try:
                output, error = child.communicate(stdin, timeout=seconds)
            except subprocess.TimeoutExpired:
                timed_out = True
                _kill(child)
                output, error = child.communicate()
            finally:
                # An interrupt must not wait for a server that is slow.
                if child.poll() is None:
                    _kill(child)
        message = error.decode("utf-8", "replace")
        return Ended(
            code=child.returncode,
            output=output,
            error=remote.redact(message) if remote else message,
            timed_out=timed_out,
        )

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run a local command that has no reason to fail."""
        ended = self.try_run(*arguments, stdin=stdin, env=env)
        if ended.code != 0:
            raise local_failure(arguments[0], ended)
        return ended

    def init(self, *, object_format: str, bare: bool) -> None:
        """Create the repository, without any template."""
        kind = ["--bare"] if bare else []
        target = self.git_dir if bare else self.git_dir.parent
        self.run("init", "--quiet", "--template=", f"--object-format={object_format}", *kind, str(target))
        attributes = self.git_dir / "info" / "attributes"
        attributes.parent.mkdir(exist_ok=True)
        attributes.write_text(_ATTRIBUTES, encoding="utf-8")

    def _start(self, arguments: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        options = [part for setting in _SETTINGS for part in ("-c", setting)]
        try:
            return subprocess.Popen(
                ["git", "--no-pager", "--literal-pathspecs", *options, *arguments],
                cwd=self.git_dir.parent,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as exc:
            raise ConfigError("git is not installed here.", remedy="Install git 2.30 or newer.") from exc

    def _environment(self, remote: Remote | None) -> dict[str, str]:
        env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        if "REQUESTS_CA_BUNDLE" in os.environ:
            # One setting serves both ways to the server.
            env.setdefault("GIT_SSL_CAINFO", os.environ["REQUESTS_CA_BUNDLE"])
        env |= {
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": str(self.git_dir),
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            # Unlike `protocol.allow`, this cannot be widened by a repository's own configuration.
            "GIT_ALLOW_PROTOCOL": "",
        }
        if self.work_tree is not None:
            env["GIT_WORK_TREE"] = str(self.work_tree)
        return env | (remote.environment() if remote else {})


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End git and its children: the helper that speaks HTTP is one of them."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def full_sha(sha: str) -> str:
    """The name of a commit, refused unless it is complete: anything shorter could be an option or a ref."""
    if not _SHA.fullmatch(sha):
        raise ConfigError(f"`{sha[:80]!r}` is not a full commit id.")
    return sha


def object_format(sha: str) -> str:
    """The kind of repository that this commit is of."""
    return "sha256" if len(sha) == 64 else "sha1"
