"""Whether a server can be reached, and if not, at which step it fails: name, proxy, TLS, HTTP."""

from __future__ import annotations

import email.utils
import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import urllib3

from tracing.config.backends import Backend
from tracing.deliver.senders.http import Answer
from tracing.deliver.senders.sender import Unavailable
from tracing.doctor.findings import Finding, mend, ok, unknown
from tracing.doctor.time_left import all_at_once

STEP_SECONDS = 5.0
"""What one step may take, such as a request."""
MOST_SKEW_SECONDS = 60.0
"""By how much two clocks may differ: requests take their time, and `Date` is in seconds."""

_HTTP_2 = "\0\0"
"""How its first frame begins, which such a server sends unasked."""
_PROXY_VARIABLES = "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY"
_OWN_CA = "give its CA bundle as certificate= or OTEL_EXPORTER_OTLP_CERTIFICATE"
_EXPIRED = "renew it on the server, or set the clock of this machine"
_CERTIFICATES = {
    9: ("is not valid yet", _EXPIRED),
    10: ("has expired", _EXPIRED),
    18: ("is self-signed", _OWN_CA),
    19: ("is signed by itself in the end", _OWN_CA),
    20: ("is signed by an authority that is not known here", _OWN_CA),
    21: ("is signed by an authority that is not known here", _OWN_CA),
    62: ("is for another name", "give the name that the certificate is for"),
    64: ("is for another address", "give the name that the certificate is for"),
}
"""By OpenSSL's verify code: what is wrong with a certificate, and its mend."""


class Place(NamedTuple):
    """A server as settings name it."""

    backend: Backend
    setting: str
    """The variable that says where it is."""

    @property
    def address(self) -> str:
        """Host and port."""
        return urlsplit(self.backend.url).netloc

    @property
    def host(self) -> str:
        """The host alone."""
        return urlsplit(self.backend.url).hostname or ""

    @property
    def asked(self) -> str:
        """Words for the way that requests take, where it is not the straight one."""
        return " by way of the proxy" if self.backend.proxy else ""

    def named(self, subject: str) -> str:
        """The name of a finding."""
        return f"{self.backend.name}, {subject}"


def look_at_name(place: Place) -> Iterator[Finding]:
    """Whether the host's name, or the proxy's, has an address; says nothing where it has."""
    proxy = place.backend.proxy
    host = (urlsplit(proxy).hostname if proxy else place.host) or ""
    subject, setting = ("proxy", _PROXY_VARIABLES) if proxy else ("DNS", place.setting)
    [found] = all_at_once("name", [lambda: socket.getaddrinfo(host, None)], STEP_SECONDS)
    if found is None:
        text = f"nobody says within {STEP_SECONDS:g} s which address {host} has"
        yield mend(place.named(subject), text, "check the DNS servers of this machine or container")
    elif isinstance(found, OSError):
        how = f"check {setting}, and the DNS of this machine or container"
        yield mend(place.named(subject), f"{host} has no address here ({_words(found)})", how)


def look_at_clock(place: Place, answer: Answer) -> Iterator[Finding]:
    """Whether this machine's clock is the server's, where that tells its own."""
    try:
        theirs = email.utils.parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
    except (TypeError, ValueError):
        return
    ahead = time.time() - theirs
    if abs(ahead) > MOST_SKEW_SECONDS:
        way = "ahead of" if ahead > 0 else "behind"
        text = f"this machine is {abs(ahead):,.0f} s {way} the server, so calls are at wrong times"
        yield mend(place.named("clock"), text, "set the clock, by NTP")
    else:
        yield ok(place.named("clock"), "as the server's")


def no_answer(place: Place, error: Unavailable) -> Finding:
    """Why no answer came, by the step that failed."""
    causes = list(_causes(error))
    certificate = _first(causes, ssl.SSLCertVerificationError)
    if error.refused or (place.backend.proxy and _is_of_proxy(causes)):
        return mend(place.named("proxy"), str(error), f"check {_PROXY_VARIABLES}")
    if certificate is not None:
        wrong, how = _CERTIFICATES.get(
            certificate.verify_code, (f"is refused ({certificate.verify_message})", _OWN_CA)
        )
        return mend(place.named("TLS"), f"the certificate of {place.host} {wrong}", how)
    tls = _first(causes, ssl.SSLError)
    if tls is not None and not error.hung:
        return _no_tls(place, tls)
    if not error.hung and _first(causes, ConnectionRefusedError):
        how = f"start the server, or check {place.setting}"
        if place.host in ("localhost", "127.0.0.1", "::1"):
            how += "; in a container, this address is the container itself"
        return mend(place.named("connection"), f"nothing listens at {place.address}", how)
    broken = _first(causes, http.client.HTTPException) or _first(causes, ConnectionError)
    if not error.hung and broken is not None:
        return _no_http(place, broken)
    how = f"check {place.setting}, the firewall between, and {_PROXY_VARIABLES}"
    return mend(place.named("connection"), str(error), how)


def _no_http(place: Place, error: BaseException) -> Finding:
    name, words = place.named("connection"), str(error) or type(error).__name__
    if isinstance(error, http.client.BadStatusLine) and words.startswith(_HTTP_2):
        how = f"give the port for HTTP in {place.setting}, 4318 on most collectors"
        return mend(name, f"{place.address} speaks gRPC, which is not spoken here", how)
    how = f"check scheme and port in {place.setting}"
    return mend(name, f"{place.address} hangs up or speaks no HTTP ({words})", how)


def _no_tls(place: Place, error: ssl.SSLError) -> Finding:
    reason = str(error.reason or "")
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER" in reason:
        how = f"give http:// or another port in {place.setting}"
        return mend(place.named("TLS"), f"{place.address} speaks no TLS", how)
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        how = "give client_certificate= and client_key=, where the server wants them"
        return mend(place.named("TLS"), f"{place.address} refuses this client ({reason})", how)
    how = f"look again; if it stays so, check scheme and port in {place.setting}"
    return unknown(place.named("TLS"), f"{place.address} has broken off: {_words(error)}", how)


def _is_of_proxy(causes: list[BaseException]) -> bool:
    return _first(causes, urllib3.exceptions.ProxyError) is not None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, wherever its library keeps that."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        waiting += [found for found in inner if isinstance(found, BaseException)]


_E = TypeVar("_E", bound=BaseException)


def _first(causes: list[BaseException], kind: type[_E]) -> _E | None:
    return next((cause for cause in causes if isinstance(cause, kind)), None)


def _words(error: OSError) -> str:
    return error.strerror or type(error).__name__
