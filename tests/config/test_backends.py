"""Backends: where to send with which headers, and what makes two of them the same."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tracing.config.backends import (
    CONSOLE,
    OTLP_HTTP,
    SQLITE,
    Backend,
    digest,
    dump,
    fingerprint,
    parse,
)
from tracing.config.langfuse import DIALECT, Langfuse
from tracing.config.load import load_settings
from tracing.config.settings import backends_of

KEYS = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1234", "LANGFUSE_SECRET_KEY": "sk-lf-5678"}
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def backend(name: str, environ: dict[str, str] | None = None, **arguments: Any) -> Backend:
    """The backend of this name, from an environment."""
    return backends_of(load_settings(name, environ=environ or {}, **arguments))[0]


def test_langfuse_gets_its_address_its_key_pair_and_its_version() -> None:
    """Basic auth, ingestion version 4, gzip, the dialect with what is said of every trace."""
    environ = {**KEYS, "LANGFUSE_TRACING_ENVIRONMENT": "staging", "LANGFUSE_TIMEOUT": "3"}
    built = backend("langfuse", environ, trace_name="a call", tags=["a"])
    assert (built.name, built.sender, built.dialect) == ("langfuse", OTLP_HTTP, DIALECT)
    assert built.url == "https://cloud.langfuse.com/api/public/otel/v1/traces"
    assert built.headers == {
        "Authorization": "Basic " + base64.b64encode(b"pk-lf-1234:sk-lf-5678").decode(),
        "x-langfuse-ingestion-version": "4",
    }
    assert (built.compression, built.timeout_seconds) == ("gzip", 3.0)
    options = ("trace_name", "tags", "environment", "release")
    assert [built.dialect_options[name] for name in options] == ["a call", ["a"], "staging", None]
    assert built.mend == (
        "check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, and that LANGFUSE_BASE_URL is "
        "the region or server that issued them"
    )


def test_langfuse_takes_certificates_headers_and_compression_like_otlp(tmp_path: Path) -> None:
    """For its scores and recordings too; the OTLP variables' files where OTLP is not chosen."""
    (tmp_path / "ca.pem").touch()
    asked = Langfuse(
        headers={"CF-Access-Client-Id": "abc"},
        compression="none",
        timeout=3,
        client_certificate="ca.pem",
        client_key="ca.pem",
        recording=True,
    )
    environ = {**KEYS, "OTEL_EXPORTER_OTLP_CERTIFICATE": "ca.pem"}
    found = backends_of(load_settings(asked, environ=environ))
    assert [one.name for one in found] == ["langfuse", "langfuse-scores", "langfuse-media"]
    ca = str(tmp_path / "ca.pem")
    for one in found:
        assert (one.certificate, one.client_certificate, one.client_key) == (ca, ca, ca)
        assert (one.compression, one.timeout_seconds) == ("none", 3.0)
        assert one.headers["CF-Access-Client-Id"] == "abc"
        assert one.headers["Authorization"].startswith("Basic ")
    both = load_settings(["langfuse", "otlp"], environ={**environ, **ENDPOINT})
    assert [one.certificate for one in backends_of(both)] == [None, None, ca, ca]


def test_otlp_gets_its_settings_as_they_are(tmp_path: Path) -> None:
    """Endpoint, headers, compression, time-out and certificates."""
    (tmp_path / "ca.pem").touch()
    environ = {
        **ENDPOINT,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=abc",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "ca.pem",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "ca.pem",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": "ca.pem",
    }
    assert backend("otlp", environ) == Backend(
        "otlp",
        OTLP_HTTP,
        "http://collector:4318/v1/traces",
        headers={"x-key": "abc"},
        compression="none",
        timeout_seconds=3.0,
        certificate=str(tmp_path / "ca.pem"),
        client_certificate=str(tmp_path / "ca.pem"),
        client_key=str(tmp_path / "ca.pem"),
        mend="check OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) and "
        "OTEL_EXPORTER_OTLP_HEADERS",
    )


def test_otlp_speaks_langfuse_to_a_collector_that_forwards_there() -> None:
    """The dialect, its options and its wait, and no more: neither scores nor calls in progress."""
    said = {"trace_name": "a call", "tags": ["a"], "version": "7"}
    environ = {**KEYS, "LANGFUSE_RELEASE": "1.2"}
    plain = backend("otlp", ENDPOINT)
    direct = backend("langfuse", environ, **said)
    given = {"dialect": "langfuse", "logs": False, **said}
    settings = load_settings("otlp", environ={**environ, **ENDPOINT}, **given)  # type: ignore[arg-type]
    assert backends_of(settings) == [
        dataclasses.replace(
            plain,
            dialect=direct.dialect,
            dialect_options=direct.dialect_options,
            settle_seconds=direct.settle_seconds,
        )
    ]
    assert fingerprint(backends_of(settings)) == fingerprint([plain])


def test_local_store_is_beside_the_spool(tmp_path: Path) -> None:
    """One file under TRACING_DIR, which takes spans that are still open, too."""
    built = backend("local", {"TRACING_DIR": str(tmp_path)})
    assert (built.sender, built.url) == (SQLITE, str(tmp_path / "calls.db"))
    assert built.open_spans == "all"


def test_console_goes_nowhere_else() -> None:
    """It needs no address."""
    assert backend("console") == Backend("console", CONSOLE)


def test_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Per URL, by the usual rules."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert backend("langfuse", KEYS).proxy == "http://proxy:3128"
    assert backend("otlp", ENDPOINT).proxy is None


def test_drainer_gets_backends_as_they_are() -> None:
    """What goes through the pipe comes out the same."""
    backends = [backend("langfuse", KEYS), backend("otlp", ENDPOINT), backend("local")]
    assert parse(dump(backends)) == backends


def test_representation_shows_no_secret() -> None:
    """Headers and proxies, which hold credentials, are not shown."""
    built = dataclasses.replace(backend("langfuse", KEYS), proxy="http://user:sk-lf-5678@proxy")
    secret = base64.b64encode(b"pk-lf-1234:sk-lf-5678").decode()
    assert "5678" not in repr(built)
    assert secret not in repr(built)


def test_same_destination_has_the_same_spool_whatever_its_secret() -> None:
    """A mended secret key finds the spans that waited for it."""
    wrong, right = (
        backend("langfuse", KEYS),
        backend("langfuse", {**KEYS, "LANGFUSE_SECRET_KEY": "sk-lf-other"}),
    )
    assert fingerprint([wrong]) == fingerprint([right])
    assert digest([wrong]) != digest([right])


@pytest.mark.parametrize(
    "other",
    [
        backend("langfuse", {**KEYS, "LANGFUSE_PUBLIC_KEY": "pk-lf-other"}),
        backend("langfuse", {**KEYS, "LANGFUSE_BASE_URL": "https://us.cloud.langfuse.com"}),
        backend("otlp", ENDPOINT),
        backend("local", {"TRACING_DIR": "/data"}),
    ],
    ids=["project", "region", "kind", "local"],
)
def test_other_destination_has_another_spool(other: Backend) -> None:
    """Spans for one project are never sent to another."""
    assert fingerprint([other]) != fingerprint([backend("langfuse", KEYS)])


def test_headers_are_a_collectors_tenant() -> None:
    """Two tenants of one collector have two spools."""
    one = backend("otlp", {**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "x-scope-orgid=1"})
    two = backend("otlp", {**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "x-scope-orgid=2"})
    assert fingerprint([one]) != fingerprint([two])


def test_order_of_backends_does_not_matter() -> None:
    """The same set is the same spool, and not the one of a part of it."""
    one, two = backend("langfuse", KEYS), backend("otlp", ENDPOINT)
    assert fingerprint([one, two]) == fingerprint([two, one])
    assert fingerprint([one, two]) != fingerprint([one])


def test_names_of_spools_give_nothing_away() -> None:
    """A directory's name is a hash."""
    name = fingerprint([backend("langfuse", KEYS)])
    assert len(name) == 12
    assert int(name, 16) >= 0


def test_dump_is_plain_json() -> None:
    """Nothing of it is executed when it is read."""
    assert isinstance(json.loads(dump([backend("console")])), list)
