"""What stands between a job and its services in a company's network, told alike by whichever client met it.

A certificate that is not trusted and a proxy that says no are settings: asking again changes nothing.
"""

from __future__ import annotations

import re

from runner.errors import ConfigError

# The certificate itself is wrong, whoever signed it.
_FAULTY = re.compile(
    r"alternative certificate subject|mismatch|not valid for|expired|not yet valid", re.IGNORECASE
)
_REASON = re.compile(r"certificate verify failed: ([^(\n]+)|SSL certificate problem: ([^\n]+)", re.IGNORECASE)
_UNTRUSTED = re.compile(
    r"certificate verify failed|CERTIFICATE_VERIFY_FAILED|SSL certificate problem"
    r"|server certificate verification failed|no alternative certificate subject name",
    re.IGNORECASE,
)
# What a proxy answers to CONNECT, in the words of http.client, of httpcore and of curl; others of its errors may pass.
_REFUSED = re.compile(
    r"Tunnel connection failed: (40[1-7][^'\")\n]*)|^(?:ProxyError: )?(40[1-7] [^<\n]*)"
    r"|CONNECT tunnel failed, response (40[1-7])|HTTP code (40[1-7]) from proxy",
    re.IGNORECASE,
)


def network_error(said: str, *, service: str, host: str, detail: str) -> ConfigError | None:
    """What a client's words mean, if a certificate or a proxy is to blame; ``None`` for any other failure."""
    if _UNTRUSTED.search(said):
        return _untrusted(said, service=service, host=host, detail=detail)
    refused = _REFUSED.search(said)
    if refused is None:
        return None
    answer = next(part for part in refused.groups() if part).strip()
    return ConfigError(
        f"The proxy does not let this job reach {service} ({host}): {answer}.",
        remedy="Correct `HTTPS_PROXY`, or name the host in `NO_PROXY`, in the environment of the job.",
        detail=detail,
    )


def _untrusted(said: str, *, service: str, host: str, detail: str) -> ConfigError:
    reason = _REASON.search(said)
    why = next((part for part in reason.groups() if part), "").strip(" .") if reason else ""
    remedy = (
        f"Check the address of {service}, and the certificate that is sent there."
        if _FAULTY.search(said)
        else "Set `SSL_CERT_FILE` in the environment of the job to a file with your authority's certificate."
    )
    return ConfigError(
        f"The certificate of {service} ({host}) is not trusted here{f': {why}' if why else ''}.",
        remedy=remedy,
        detail=detail,
    )
