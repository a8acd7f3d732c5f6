"""Each fault between an agent and Langfuse, played by a stand-in: its line, and no secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from tests.doctor.servers import HEALTH, PROJECTS, ApiServer, Storage, make_certificate, tls_of
from tests.fakes import Reply
from tests.langfuse_server import SECRET_KEY, TRACES
from tracing.config.langfuse import Langfuse
from tracing.config.load import load_settings
from tracing.doctor.findings import Finding
from tracing.doctor.langfuse import look_at_langfuse
from tracing.doctor.reach import Place
from tracing.doctor.time_left import TimeLeft

ENOUGH_SECONDS = 10.0


def look(
    environ: Mapping[str, str],
    *,
    seconds: float = ENOUGH_SECONDS,
    regions: Mapping[str, str] | None = None,
) -> list[Finding]:
    """What is found of the Langfuse that these variables name; no secret is in it."""
    settings = load_settings("langfuse", environ=environ)
    [langfuse] = settings.backends.values()
    assert isinstance(langfuse, Langfuse)
    place = Place(langfuse.backends(settings, "langfuse")[0], "LANGFUSE_BASE_URL")
    found = list(look_at_langfuse(langfuse, place, TimeLeft(seconds), regions or {}))
    assert [one for one in found if environ["LANGFUSE_SECRET_KEY"] in one.line] == []
    return found


def lines(found: list[Finding], server: ApiServer) -> list[str]:
    """State and line of each, with the server's address made the same everywhere."""
    told = [f"{one.state} {one.line}".replace(server.url, "URL") for one in found]
    told = [line.replace(f"127.0.0.1:{server.port}", "HOST") for line in told]
    return [re.sub(r"7,20\d s", "7,20N s", line) for line in told]


@pytest.mark.parametrize("storage", get_args(Storage))
def test_trace_is_sent_and_read_back_and_deleted(storage: Storage) -> None:
    """On servers of every kind of storage; it is marked as a test in every way."""
    with ApiServer(storage) as server:
        found = look(server.environ)
        [span] = server.versions
        trace_id = span.trace_id.hex()
        assert [one.state for one in found] == ["ok"] * 4
        assert lines(found[:3], server) == [
            "ok langfuse, clock: as the server's",
            "ok langfuse, server: Langfuse 4.16.0 at URL, healthy",
            "ok langfuse, keys: they open the project 'Clinic'",
        ]
        assert found[3].name == "langfuse, test trace"
        assert found[3].text.startswith("read back after 0.")
        link = f"{server.url}/project/p1/traces/{trace_id}"
        assert found[3].text.endswith(f" s: {link}, and deleted again")
        assert server.deleted == [trace_id]
    assert (span.name, span.parent_span_id) == ("tracing doctor", b"")
    assert span.attributes["langfuse.environment"] == "test"
    assert span.attributes["langfuse.trace.tags"] == ["test"]


def test_trace_that_stays_is_said_to_be_a_test() -> None:
    """Where the API does not let it be deleted."""
    with ApiServer() as server:
        server.lets_delete = False
        found = look(server.environ)[-1]
    assert (found.state, found.mend) == ("note", "delete it there, or leave it")
    assert found.text.endswith(", and stays, tagged test")


def test_trace_that_cannot_be_read_in_time_is_not_fine() -> None:
    """The server has said yes, and shows nothing."""
    with ApiServer() as server:
        server.shows = False
        found = look(server.environ, seconds=2.5)[-1]
        assert found.text.startswith("it was taken, and cannot be read after 1 s: http://127.")
    assert (found.name, found.state) == ("langfuse, test trace", "unknown")
    assert found.mend.startswith("look there in some minutes; where it stays away, ")


def _reply(path: str, reply: Reply) -> Callable[[ApiServer], None]:
    return lambda server: server.replies.update({path: [reply]})


def _set(**changes: object) -> Callable[[ApiServer], None]:
    return lambda server: vars(server).update(changes)


JSON = {"Content-Type": "application/json"}
REFLECTED = b"you sent " + SECRET_KEY.encode()
COPY = "copy both keys of one pair from Langfuse, under the project's Settings, API Keys"
FAULTS: Mapping[str, tuple[Callable[[ApiServer], None], str]] = {
    "clock": (
        _set(seconds_ahead=-7201.0),
        "mend langfuse, clock: this machine is 7,20N s ahead of the server, so calls are at wrong "
        "times: set the clock, by NTP",
    ),
    "database down": (
        _reply(HEALTH, Reply(503, b'{"status": "Database not available"}', JSON)),
        'mend langfuse, server: it is not healthy: {"status": "Database not available"}: start '
        "its database, see its log",
    ),
    "another server": (
        _reply(HEALTH, Reply(200, b"<html>Grafana", {"Content-Type": "text/html"})),
        "mend langfuse, server: GET URL/api/public/health answered 200, not as Langfuse does: "
        "<html>Grafana: check LANGFUSE_BASE_URL: the server's base URL, without a path",
    ),
    "sign-in page": (
        _reply(HEALTH, Reply(302, b"", {"Location": "https://sso.example/?state=abc"})),
        "mend langfuse, server: GET URL/api/public/health answered 302, not as Langfuse does: "
        "redirected to https://sso.example/?...: check LANGFUSE_BASE_URL: the server's base URL, "
        "without a path",
    ),
    "server in trouble": (
        _reply(HEALTH, Reply(500, b"boom")),
        "unknown langfuse, server: GET URL/api/public/health answered 500, not as Langfuse does: "
        "boom: look again later; if it stays so, check LANGFUSE_BASE_URL",
    ),
    "too many requests": (
        _reply(HEALTH, Reply(429, b"slow down")),
        "unknown langfuse, server: GET URL/api/public/health answered 429, not as Langfuse does: "
        "slow down: look again later; if it stays so, check LANGFUSE_BASE_URL",
    ),
    "guarded": (
        _reply(HEALTH, Reply(403, b"forbidden")),
        "mend langfuse, server: GET URL/api/public/health answered 403, not as Langfuse does: "
        "forbidden: check LANGFUSE_BASE_URL, or give what stands before the server its headers=",
    ),
    "old server": (
        _set(version="2.95.1"),
        "mend langfuse, server: Langfuse 2.95.1 takes no OTLP: upgrade it to 3.22 or later",
    ),
    "keys of another server": (
        _set(secret_key="sk-lf-other"),
        f"mend langfuse, keys: HOST does not know them: {COPY}, or set LANGFUSE_BASE_URL to the "
        "server that they are of",
    ),
    "key of an organization": (
        _reply(PROJECTS, Reply(403, b"Are you using an organization key? " + REFLECTED)),
        "mend langfuse, keys: they open no project: Are you using an organization key? you sent "
        f"[secret]: {COPY}",
    ),
    "keys cannot be asked for": (
        _reply(PROJECTS, Reply(500, b"oops")),
        "unknown langfuse, keys: GET URL/api/public/projects answered 500: oops: look again later",
    ),
    "spans are refused": (
        _reply(TRACES, Reply(403, b"usage is suspended " + REFLECTED)),
        "mend langfuse, test trace: it is not taken: POST URL/api/public/otel/v1/traces answered "
        "403: usage is suspended you sent [secret]: check LANGFUSE_PUBLIC_KEY and "
        "LANGFUSE_SECRET_KEY, and that LANGFUSE_BASE_URL is the region or server that issued them",
    ),
    "spans are taken by another": (
        _reply(TRACES, Reply(200, b"<html>", {"Content-Type": "text/html"})),
        "mend langfuse, test trace: it is not taken: POST URL/api/public/otel/v1/traces answered "
        "200, no OTLP answer but text/html: <html>: check LANGFUSE_PUBLIC_KEY and "
        "LANGFUSE_SECRET_KEY, and that LANGFUSE_BASE_URL is the region or server that issued them",
    ),
}
"""By fault: how the stand-in plays it, and the one line that is not ok."""


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_the_server_has_its_line(fault: str) -> None:
    """What, why, and what to do; everything else is fine, or was not come to."""
    play, said = FAULTS[fault]
    with ApiServer() as server:
        play(server)
        found = lines(look(server.environ), server)
    assert [line for line in found if not line.startswith("ok ")] == [said]


@pytest.mark.parametrize("path", [HEALTH, PROJECTS, TRACES])
def test_proxy_that_does_not_let_pass_is_told(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it denies, and not the keys, which it has not looked at."""
    with ApiServer() as proxy:
        _reply(path, Reply(403, b"denied by policy"))(proxy)
        url = proxy.url
        monkeypatch.setenv("HTTP_PROXY", url)
        found = look({**proxy.environ, "LANGFUSE_BASE_URL": "http://langfuse.example"})[-1]
    assert found == Finding(
        "langfuse, proxy",
        "mend",
        f"http://langfuse.example{path} cannot be reached through the proxy {url}: "
        "403: denied by policy",
        "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY",
    )


@pytest.mark.parametrize("theirs", ["US", "Japan", None])
def test_region_of_the_keys_is_found_and_named(theirs: str | None) -> None:
    """By asking each region for the project of these keys."""
    with ApiServer() as eu, ApiServer() as us, ApiServer() as japan:
        servers = {"EU": eu, "US": us, "Japan": japan}
        for region, server in servers.items():
            server.secret_key = SECRET_KEY if region == theirs else "sk-lf-other"
        regions = {region: server.url for region, server in servers.items()}
        found = look(eu.environ, regions=regions)[-1]
    if theirs is None:
        assert found.line == f"langfuse, keys: no region knows them (asked: EU, US, Japan): {COPY}"
    else:
        how = f"set LANGFUSE_BASE_URL={regions[theirs]}"
        text = f"they are of the region {theirs}"
        assert found == Finding("langfuse, keys", "mend", text, how)


def test_region_that_does_not_answer_is_not_taken_for_a_no() -> None:
    """Nor does it keep the others from being heard."""
    with ApiServer() as eu, ApiServer() as us:
        eu.secret_key = us.secret_key = "sk-lf-other"
        regions = {"EU": eu.url, "US": us.url, "Japan": "http://127.0.0.1:1"}
        found = look(eu.environ, regions=regions)[-1]
    assert found.text == ("this region does not know them, and of others no answer came (Japan)")


def test_keys_of_an_own_server_are_shown_to_nobody_else() -> None:
    """They might be good for something there."""
    with ApiServer() as own, ApiServer() as cloud:
        own.secret_key = "sk-lf-other"
        look(own.environ, regions={"EU": cloud.url})
        assert cloud.asked == []


CERTIFICATES: Mapping[str, tuple[dict[str, object], bool, str]] = {
    "self-signed": (
        {},
        False,
        "is self-signed: give its CA bundle as certificate= or OTEL_EXPORTER_OTLP_CERTIFICATE",
    ),
    "expired": (
        {"until": 2021},
        True,
        "has expired: renew it on the server, or set the clock of this machine",
    ),
    "wrong host": (
        {"names": "DNS:langfuse.example"},
        True,
        "is for another address: give the name that the certificate is for",
    ),
}
"""By fault: how the certificate is made, whether its maker is trusted, and what is said."""


@pytest.mark.parametrize("fault", CERTIFICATES)
def test_certificate_that_is_wrong_is_told(tmp_path: Path, fault: str) -> None:
    """In words, with the mend; nothing after it is tried."""
    options, is_trusted, said = CERTIFICATES[fault]
    certificate = make_certificate(tmp_path / "ca", **options)  # type: ignore[arg-type]
    with ApiServer(tls=tls_of(certificate)) as server:
        environ = server.environ
        if is_trusted:
            environ["OTEL_EXPORTER_OTLP_CERTIFICATE"] = str(certificate)
        assert lines(look(environ), server) == [
            f"mend langfuse, TLS: the certificate of 127.0.0.1 {said}"
        ]
        assert server.asked == []


def test_certificate_of_an_own_authority_is_used_for_the_api_too(tmp_path: Path) -> None:
    """Health, keys, reading back and deleting go the way of the spans."""
    certificate = make_certificate(tmp_path / "ca")
    with ApiServer(tls=tls_of(certificate)) as server:
        environ = {**server.environ, "OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificate)}
        assert {one.state for one in look(environ)} == {"ok"}


def test_further_headers_go_with_every_request() -> None:
    """A server behind a guard wants them of the API as well."""
    with ApiServer() as server:
        settings = load_settings(
            "langfuse", environ=server.environ, headers={"X-Guard": "guard-token-12"}
        )
        [langfuse] = settings.backends.values()
        assert isinstance(langfuse, Langfuse)
        place = Place(langfuse.backends(settings, "langfuse")[0], "LANGFUSE_BASE_URL")
        list(look_at_langfuse(replace(langfuse), place, TimeLeft(ENOUGH_SECONDS)))
        assert len(server.asked) == 5
        assert {asked.headers.get("x-guard") for asked in server.asked} == {"guard-token-12"}
