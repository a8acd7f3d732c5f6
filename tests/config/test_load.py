"""Settings: a table of what is given to what comes out, whole."""

from __future__ import annotations

import base64
import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from tracing.config.environment import VARIABLES
from tracing.config.langfuse import Langfuse
from tracing.config.load import load_settings
from tracing.config.otlp import Otlp
from tracing.config.registry import Console, Local
from tracing.config.settings import ConfigError, Settings, backends_of

PUBLIC, SECRET = "pk-lf-1234", "sk-lf-5678-very-secret"
KEYS = {"LANGFUSE_PUBLIC_KEY": PUBLIC, "LANGFUSE_SECRET_KEY": SECRET}
CLOUD = Langfuse(
    public_key=PUBLIC,
    secret_key=SECRET,
    base_url="https://cloud.langfuse.com",
    headers={},
    compression="gzip",
    timeout=10.0,
    sample_rate=1.0,
    scores=True,
    recording=False,
    log_events=False,
    detail="call",
)
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
STORE = Local(recording=False)
COLLECTOR = Otlp(
    endpoint="http://collector:4318/v1/traces",
    headers={},
    compression="gzip",
    timeout=10.0,
    dialect="plain",
    logs_endpoint="http://collector:4318/v1/logs",
    logs_headers={},
)
LOCAL = Settings(
    {"local": STORE},
    "no Langfuse keys and no OTLP endpoint are set",
    Path(".tracing"),
)


def langfuse(chosen_by: str = "LANGFUSE_PUBLIC_KEY", **changes: Any) -> Settings:
    """Settings for Langfuse that differ from Cloud's in `changes`."""
    backends = {"langfuse": dataclasses.replace(CLOUD, **changes)}
    return Settings(backends, chosen_by, Path(".tracing"))


def otlp(chosen_by: str = "OTEL_EXPORTER_OTLP_ENDPOINT", **changes: Any) -> Settings:
    """Settings for a collector that differ from the plainest in `changes`, log lines alike."""
    found = dataclasses.replace(COLLECTOR, **changes)
    logs_endpoint = found.endpoint.replace("/v1/traces", "/v1/logs")
    alike = {"logs_endpoint": logs_endpoint, "logs_headers": found.headers, **changes}
    backends = {"otlp": dataclasses.replace(found, **alike)}
    return Settings(backends, chosen_by, Path(".tracing"))


def local(**changes: Any) -> Settings:
    """Settings for the local store that differ from the default in `changes`."""
    return dataclasses.replace(LOCAL, **changes)


GOOD: list[tuple[str, dict[str, str], dict[str, Any], Settings]] = [
    ("nothing at all", {}, {}, LOCAL),
    ("empty values are none", dict.fromkeys(VARIABLES, " "), {}, LOCAL),
    # Who chooses the backend.
    ("an argument", KEYS, {"backend": "local"}, local(chosen_by="backend=")),
    (
        "several",
        {**KEYS, **ENDPOINT},
        {"backend": ["langfuse", "otlp", "langfuse"]},
        Settings({"langfuse": CLOUD, "otlp": COLLECTOR}, "backend=", Path(".tracing")),
    ),
    (
        "our variable before the vendor's",
        {**KEYS, "TRACING_BACKEND": "console, Local"},
        {},
        local(
            backends={"console": Console(), "local": STORE},
            chosen_by="TRACING_BACKEND",
        ),
    ),
    ("Langfuse's keys before an endpoint", {**ENDPOINT, **KEYS}, {}, langfuse()),
    ("an endpoint", ENDPOINT, {}, otlp()),
    (
        "keys as arguments",
        {"LANGFUSE_PUBLIC_KEY": "pk-lf-other"},
        {"public_key": PUBLIC, "secret_key": SECRET},
        langfuse("public_key="),
    ),
    (
        "an endpoint as argument",
        {},
        {"endpoint": "http://collector:4318"},
        otlp("endpoint="),
    ),
    # Langfuse.
    (
        "Langfuse's address",
        {**KEYS, "LANGFUSE_BASE_URL": "https://us.cloud.langfuse.com"},
        {},
        langfuse(base_url="https://us.cloud.langfuse.com"),
    ),
    (
        "the older name of its address",
        {**KEYS, "LANGFUSE_HOST": "https://langfuse.example"},
        {},
        langfuse(base_url="https://langfuse.example"),
    ),
    (
        "the newer name before the older",
        {**KEYS, "LANGFUSE_HOST": "https://old", "LANGFUSE_BASE_URL": "https://new"},
        {},
        langfuse(base_url="https://new"),
    ),
    (
        "an argument before both",
        {**KEYS, "LANGFUSE_BASE_URL": "https://new"},
        {"base_url": " https://argument "},
        langfuse("base_url=", base_url="https://argument"),
    ),
    (
        "what is said of every trace",
        {
            **KEYS,
            "LANGFUSE_TRACING_ENVIRONMENT": "staging",
            "LANGFUSE_RELEASE": "1.2",
            "LANGFUSE_TIMEOUT": "3.5",
        },
        {"trace_name": "a call", "tags": ["a", "b"]},
        langfuse(
            environment="staging",
            release="1.2",
            timeout=3.5,
            trace_name="a call",
            tags=("a", "b"),
        ),
    ),
    (
        "arguments before the vendor's variables",
        {**KEYS, "LANGFUSE_TRACING_ENVIRONMENT": "x", "LANGFUSE_RELEASE": "x"},
        {"environment": "production", "release": "2", "timeout": 1},
        langfuse(environment="production", release="2", timeout=1.0),
    ),
    (
        "keys of one's own server may look like anything",
        {
            "LANGFUSE_PUBLIC_KEY": "public",
            "LANGFUSE_SECRET_KEY": "secret",
            "LANGFUSE_HOST": "http://own:3000",
        },
        {},
        langfuse(public_key="public", secret_key="secret", base_url="http://own:3000"),
    ),
    (
        "an argument before keys in the environment",
        {**KEYS, "TRACING_BACKEND": "local"},
        {"endpoint": "http://collector:4318"},
        otlp("endpoint="),
    ),
    (
        "an address as argument names its backend",
        {**KEYS, **ENDPOINT, "TRACING_BACKEND": "local"},
        {"base_url": "https://own.example"},
        langfuse("base_url=", base_url="https://own.example"),
    ),
    (
        "arguments of two backends name both",
        KEYS,
        {"base_url": "https://own.example", "endpoint": "http://collector:4318"},
        Settings(
            {
                "langfuse": dataclasses.replace(CLOUD, base_url="https://own.example"),
                "otlp": COLLECTOR,
            },
            "base_url=, endpoint=",
            Path(".tracing"),
        ),
    ),
    (
        "an argument for a backend that our variable names",
        {**KEYS, "TRACING_BACKEND": "local,otlp"},
        {"endpoint": "http://collector:4318"},
        local(
            backends={"local": STORE, "otlp": COLLECTOR},
            chosen_by="TRACING_BACKEND",
        ),
    ),
    (
        "everything in quotes, as docker --env-file hands it on",
        {
            "LANGFUSE_PUBLIC_KEY": f'"{PUBLIC}"',
            "LANGFUSE_SECRET_KEY": f"'{SECRET}'",
            "LANGFUSE_BASE_URL": '"https://cloud.langfuse.com/"',
            "TRACING_CAPTURE_CONTENT": '"false"',
            "LANGFUSE_TIMEOUT": '"3"',
        },
        {},
        dataclasses.replace(langfuse(timeout=3.0), capture_content=False),
    ),
    (
        "arguments in quotes",
        {},
        {"public_key": f'"{PUBLIC}"', "secret_key": f"'{SECRET}' "},
        langfuse("public_key="),
    ),
    (
        "Langfuse behind a proxy of one's own",
        {**KEYS, "LANGFUSE_OTEL_COMPRESSION": "none"},
        {"headers": "CF-Access-Client-Id=abc,CF-Access-Client-Secret: def"},
        langfuse(
            compression="none",
            headers={"cf-access-client-id": "abc", "cf-access-client-secret": "def"},
        ),
    ),
    (
        "a share of the traces",
        {**KEYS, "LANGFUSE_SAMPLE_RATE": "0.25"},
        {},
        langfuse(sample_rate=0.25),
    ),
    (
        "a share as argument",
        {**KEYS, "LANGFUSE_SAMPLE_RATE": "0.25"},
        {"sample_rate": 0},
        langfuse(sample_rate=0.0),
    ),
    (
        "Langfuse off",
        {**KEYS, "LANGFUSE_TRACING_ENABLED": "False"},
        {},
        Settings({}, "LANGFUSE_PUBLIC_KEY", Path(".tracing")),
    ),
    (
        "Langfuse off, for Langfuse alone",
        {**KEYS, **ENDPOINT, "LANGFUSE_TRACING_ENABLED": "false"},
        {"backend": ["langfuse", "otlp"]},
        otlp("backend="),
    ),
    # OTLP.
    (
        "a port of gRPC that speaks HTTP",
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        },
        {},
        otlp(endpoint="http://collector:4317/v1/traces"),
    ),
    (
        "a base endpoint with a path and a slash",
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/otlp/"},
        {},
        otlp(endpoint="http://collector:4318/otlp/v1/traces"),
    ),
    (
        "a traces endpoint is verbatim, and goes before the base",
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://other/any/"},
        {},
        otlp(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            endpoint="http://other/any/",
            logs_endpoint="http://collector:4318/v1/logs",
        ),
    ),
    (
        "an argument may name the whole path",
        ENDPOINT,
        {"backend": "otlp", "endpoint": "http://other:1/v1/traces"},
        otlp("backend=", endpoint="http://other:1/v1/traces"),
    ),
    (
        "an argument goes before a traces endpoint",
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x/y"},
        {"backend": "otlp", "endpoint": "http://other:1/"},
        otlp("backend=", endpoint="http://other:1/v1/traces"),
    ),
    (
        "a traces endpoint alone tells of none for log lines",
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://other/any/v1/traces"},
        {},
        otlp(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            endpoint="http://other/any/v1/traces",
            logs_endpoint="",
        ),
    ),
    (
        "a logs endpoint is verbatim, and has headers of its own",
        {
            **ENDPOINT,
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://me:word@loki/otlp/v1/logs",
            "OTEL_EXPORTER_OTLP_HEADERS": "a=1",
            "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "x-scope-orgid=one",
        },
        {},
        otlp(
            headers={"a": "1"},
            logs_endpoint="http://loki/otlp/v1/logs",
            logs_headers={"authorization": "Basic bWU6d29yZA==", "x-scope-orgid": "one"},
        ),
    ),
    (
        "an argument goes before a logs endpoint",
        {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://loki"},
        {"endpoint": "http://collector:4318"},
        dataclasses.replace(otlp("endpoint="), unused=("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",)),
    ),
    # Log lines.
    ("log lines from info on", {"TRACING_LOGS": "INFO"}, {}, local(logs="info")),
    ("no log lines", {"TRACING_LOGS": "false"}, {}, local(logs="off")),
    ("no log lines, in a word", {"TRACING_LOGS": "off"}, {}, local(logs="off")),
    (
        "an argument before our variable",
        {"TRACING_LOGS": "0"},
        {"logs": "info"},
        local(logs="info"),
    ),
    ("no log lines, as argument", {"TRACING_LOGS": "info"}, {"logs": False}, local(logs="off")),
    (
        "errors as events in Langfuse",
        {**KEYS, "TRACING_LANGFUSE_LOG_EVENTS": "true"},
        {},
        langfuse(log_events=True),
    ),
    (
        "headers, URL-encoded",
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20abc%3D, x-own = 1"},
        {},
        otlp(headers={"authorization": "Basic abc=", "x-own": "1"}),
    ),
    (
        "headers, as people write them",
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic abc="},
        {},
        otlp(headers={"authorization": "Basic abc="}),
    ),
    (
        "headers for traces go before the others",
        {
            **ENDPOINT,
            "OTEL_EXPORTER_OTLP_HEADERS": "a=1,b=2",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=3",
        },
        {},
        otlp(headers={"a": "3"}, logs_headers={"a": "1", "b": "2"}),
    ),
    (
        "headers as a mapping",
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "a=1"},
        {"headers": {"X-Own": 5}},
        otlp(headers={"X-Own": "5"}),
    ),
    (
        "headers as text",
        ENDPOINT,
        {"headers": "a=b%20c"},
        otlp(headers={"a": "b c"}),
    ),
    (
        "no compression, and a time-out",
        {
            **ENDPOINT,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "30",
        },
        {},
        otlp(compression="none", timeout=30.0),
    ),
    (
        "both for traces alone",
        {
            **ENDPOINT,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "NONE",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "30",
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "5",
        },
        {},
        otlp(compression="none", timeout=5.0),
    ),
    (
        "both as arguments",
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
        {"compression": "none", "timeout": 2},
        otlp(compression="none", timeout=2.0),
    ),
    (
        "Langfuse's dialect, for a collector that forwards to it",
        {
            **ENDPOINT,
            "TRACING_OTLP_DIALECT": "Langfuse",
            "LANGFUSE_TRACING_ENVIRONMENT": "staging",
            "LANGFUSE_RELEASE": "1.2",
        },
        {"backend": "otlp", "tags": ["a"], "version": "7", "cost": {"m": {"seconds": 1}}},
        otlp(
            "backend=",
            dialect="langfuse",
            tags=("a",),
            environment="staging",
            release="1.2",
            version="7",
            cost={"m": {"seconds": 1.0}},
            detail="call",
        ),
    ),
    (
        "every span for Langfuse",
        {**KEYS, "TRACING_LANGFUSE_DETAIL": "Full"},
        {},
        langfuse(detail="full"),
    ),
    (
        "the detail as argument",
        {**KEYS, "TRACING_LANGFUSE_DETAIL": "full"},
        {"detail": "call"},
        langfuse(),
    ),
    (
        "the dialect as argument",
        {**ENDPOINT, "TRACING_OTLP_DIALECT": "langfuse"},
        {"dialect": "plain", "environment": "staging"},
        otlp(environment="staging"),
    ),
    (
        "the protocol that is spoken",
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
        {},
        otlp(),
    ),
    # What is ours.
    (
        "the spool",
        {
            "TRACING_DIR": "/data/tracing",
            "TRACING_SPOOL_MIB": "0.5",
            "TRACING_MAX_AGE_DAYS": "1",
            "TRACING_DRAINER": "Thread",
            "TRACING_WRITE": "thread",
            "TRACING_STOP_SECONDS": "0",
        },
        {},
        local(
            directory=Path("/data/tracing"),
            spool_bytes=2**19,
            max_age_seconds=86400.0,
            drainer="thread",
            write="thread",
            stop_seconds=0.0,
        ),
    ),
    (
        "a directory as argument",
        {"TRACING_DIR": "/data/tracing"},
        {"directory": Path("/other")},
        local(directory=Path("/other")),
    ),
    ("content off", {"TRACING_CAPTURE_CONTENT": "No"}, {}, local(capture_content=False)),
    (
        "content on by argument",
        {"TRACING_CAPTURE_CONTENT": "false"},
        {"capture_content": True},
        LOCAL,
    ),
    ("content off by argument", {}, {"capture_content": False}, local(capture_content=False)),
    (
        "content off by LiveKit's variable, whatever else is said",
        {"LIVEKIT_TELEMETRY_ALLOW_PII": "0", "TRACING_CAPTURE_CONTENT": "true"},
        {"capture_content": True},
        local(capture_content=False),
    ),
    (
        "names vouched for",
        {},
        {"content_safe": ["order.id", "order.state"]},
        local(content_safe=frozenset({"order.id", "order.state"})),
    ),
    ("messages once", {"TRACING_INPUT_DELTA": "on"}, {}, local(input_delta=True)),
    ("all off", {"OTEL_SDK_DISABLED": "TRUE"}, {}, local(disabled=True)),
]


@pytest.mark.parametrize(
    ("environ", "arguments", "expected"),
    [case[1:] for case in GOOD],
    ids=[case[0] for case in GOOD],
)
def test_settings(environ: dict[str, str], arguments: dict[str, Any], expected: Settings) -> None:
    """The environment and the arguments make these settings, whole."""
    backend = arguments.pop("backend", None)
    settings = load_settings(backend, environ=environ, **arguments)
    assert settings == dataclasses.replace(expected, directory=expected.directory.absolute())


@pytest.mark.parametrize(
    ("backends", "dialect", "expected"),
    [
        (["langfuse"], "plain", True),
        (["otlp", "local"], "langfuse", True),
        (["otlp", "local"], "plain", False),
        (["local"], "langfuse", False),
    ],
)
def test_langfuse_is_spoken_to_it_and_to_a_collector_that_forwards(
    backends: list[str], dialect: str, expected: bool
) -> None:
    """Then each LLM call's input is recorded whole; a dialect without an endpoint is nothing."""
    environ = {**KEYS, **ENDPOINT, "TRACING_OTLP_DIALECT": dialect}
    assert load_settings(backends, environ=environ).speaks_langfuse == expected


CA = "OTEL_EXPORTER_OTLP_CERTIFICATE"


def test_files_are_found_from_anywhere(tmp_path: Path) -> None:
    """The drainer works in another directory, so paths are made absolute."""
    for name in ("ca.pem", "client.pem", "client.key"):
        (tmp_path / name).touch()
    environ = {
        **ENDPOINT,
        CA: "ca.pem",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "x",
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE": "client.pem",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": "client.key",
    }
    assert load_settings(environ=environ) == dataclasses.replace(
        otlp(
            certificate=str(tmp_path / "ca.pem"),
            client_certificate=str(tmp_path / "client.pem"),
            client_key=str(tmp_path / "client.key"),
        ),
        directory=tmp_path / ".tracing",
    )
    given = backends_of(load_settings("otlp", environ=ENDPOINT, certificate="ca.pem"))
    assert [one.certificate for one in given] == [str(tmp_path / "ca.pem")] * 2


BASES = [
    "https://lf.example",
    "https://lf.example/",
    "https://lf.example//",
    "https://lf.example/api/public/otel",
    "https://lf.example/api/public/otel/",
    "https://lf.example/api/public/otel/v1/traces",
    "https://lf.example/api/public/otel/v1/traces/",
    "https://lf.example/api/public/traces",
    "https://lf.example/v1/traces",
    "https://lf.example/project/clkpwwm0m000gmm094odg11gi",
    "https://lf.example/project/clkpwwm0m/traces?peek=1&display=details",
    "https://lf.example/project/clkpwwm0m/settings/api-keys#new",
    "https://lf.example/organization/clkpwwm0m/settings",
    "https://lf.example/auth/sign-in?targetPath=%2F",
    "https://lf.example/setup",
    "https://lf.example/?x=1",
    '"https://lf.example/"',
]


@pytest.mark.parametrize("base", BASES)
def test_langfuse_url_is_right_however_much_of_it_is_given(base: str) -> None:
    """People copy the host, the OTLP base or the whole path; each leads to the same place."""
    settings = load_settings("langfuse", environ=KEYS, base_url=base)
    urls = [backend.url for backend in backends_of(settings)]
    assert urls == [
        "https://lf.example/api/public/otel/v1/traces",
        "https://lf.example/api/public/scores",
    ]


def test_langfuse_below_a_path_keeps_it() -> None:
    """A server behind a reverse proxy."""
    for base in ("https://x.example/lf/", "https://x.example/lf/project/abc/traces"):
        settings = load_settings("langfuse", environ=KEYS, base_url=base)
        assert backends_of(settings)[0].url == "https://x.example/lf/api/public/otel/v1/traces"


OF_LANGFUSE = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "https://lf.example/api/public/otel",
    "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20"
    + base64.b64encode(f"{PUBLIC}:{SECRET}".encode()).decode()
    + ",x-langfuse-ingestion-version=4,x-own=1",
}


@pytest.mark.parametrize("backend", [None, "otlp"])
def test_otlp_variables_that_point_at_langfuse_are_langfuse(backend: str | None) -> None:
    """Its own documents set up other exporters so; here it gets what its keys would give."""
    settings = load_settings(backend, environ=OF_LANGFUSE)
    lf = dataclasses.replace(CLOUD, base_url="https://lf.example", headers={"x-own": "1"})
    assert settings.backends == {"langfuse": lf}
    assert settings.remarks == (
        "OTEL_EXPORTER_OTLP_ENDPOINT leads every exporter of this process to Langfuse: set "
        "LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and LANGFUSE_BASE_URL in its place",
    )


def test_endpoint_of_langfuse_in_code_leads_nobody_else_there() -> None:
    """It is this set-up's alone."""
    url, headers = OF_LANGFUSE.values()
    settings = load_settings("otlp", environ={}, endpoint=url, headers=headers)
    assert ([*settings.backends], settings.remarks) == (["langfuse"], ())


def test_langfuse_by_otlp_variables_is_off_where_langfuse_is() -> None:
    """Its own switch holds, however it was named."""
    environ = {**OF_LANGFUSE, "LANGFUSE_TRACING_ENABLED": "false"}
    assert load_settings(["otlp", "local"], environ=environ).backends == {"local": STORE}


def test_who_asks_for_plain_spans_gets_them_in_langfuse_too() -> None:
    """The dialect says so."""
    settings = load_settings("otlp", environ=OF_LANGFUSE, dialect="plain")
    assert [type(backend) for backend in settings.backends.values()] == [Otlp]


@pytest.mark.parametrize("headers", ["", "Authorization=Bearer abc", "Authorization=Basic abc"])
def test_otlp_variables_that_point_at_langfuse_without_keys_are_a_problem(headers: str) -> None:
    """It would answer 401 to everything."""
    environ = {**OF_LANGFUSE, "OTEL_EXPORTER_OTLP_HEADERS": headers}
    with pytest.raises(ConfigError, match=r"set LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and"):
        load_settings(environ=environ)


@pytest.mark.parametrize("host", ["cloud.langfuse.com", "us.cloud.langfuse.com", "langfuse.com"])
def test_host_of_langfuse_without_its_path_is_a_problem(host: str) -> None:
    """It would answer 404 to everything, its keys or not."""
    environ = {**OF_LANGFUSE, "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://{host}"}
    with pytest.raises(ConfigError) as caught:
        load_settings(environ=environ)
    assert caught.value.problems == (
        "the OTLP endpoint is Langfuse's, without its path or its keys: set LANGFUSE_PUBLIC_KEY, "
        "LANGFUSE_SECRET_KEY and LANGFUSE_BASE_URL instead",
    )


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("false", False),
        ("False", False),
        ("0", False),
        ("no", False),
        (" off ", False),
        ('"false"', False),
        (0, False),
        (False, False),
        ("true", True),
        ("1", True),
        (1, True),
    ],
)
def test_a_text_is_not_a_yes(given: Any, kept: bool) -> None:
    """`os.getenv` gives texts; what they say is what counts, for every flag."""
    settings = load_settings(
        "langfuse", environ={**KEYS, **ENDPOINT}, capture_content=given, recording=given
    )
    (lf,) = settings.backends.values()
    assert isinstance(lf, Langfuse)
    assert (settings.capture_content, lf.recording) == (kept, kept)
    assert (load_settings(environ=ENDPOINT, metrics=given).metrics is not None) == kept
    grouped = load_settings(Langfuse(recording=given, scores=str(given)), environ=KEYS)  # type: ignore[arg-type]
    assert [b.name for b in backends_of(grouped)][1:] == (
        ["langfuse-scores", "langfuse-media"] if kept else []
    )


UNUSED: list[tuple[str, dict[str, str], dict[str, Any], tuple[str, ...]]] = [
    ("all is used", KEYS, {"environment": "a", "timeout": 3}, ()),
    ("an endpoint beside keys", {**KEYS, **ENDPOINT}, {}, ("OTEL_EXPORTER_OTLP_ENDPOINT",)),
    ("keys beside an argument", KEYS, {"endpoint": "http://c:1"}, tuple(KEYS)),
    (
        "code that elsewhere has keys",
        {"LANGFUSE_BASE_URL": "https://own.example"},
        {"environment": "staging", "tags": ["a"]},
        ("environment=", "tags=", "LANGFUSE_BASE_URL"),
    ),
    (
        "code that elsewhere has Langfuse",
        {**ENDPOINT, "TRACING_BACKEND": "otlp"},
        {"scores": "all", "tags": ["a"]},
        ("scores=", "tags="),
    ),
    ("an empty list asks for nothing", {}, {"tags": []}, ()),
    ("labels on the way to Jaeger", {**ENDPOINT}, {"environment": "staging"}, ()),
]


@pytest.mark.parametrize(
    ("environ", "arguments", "unused"),
    [case[1:] for case in UNUSED],
    ids=[case[0] for case in UNUSED],
)
def test_what_no_backend_uses_is_known(
    environ: dict[str, str], arguments: dict[str, Any], unused: tuple[str, ...]
) -> None:
    """It is said with the choice; nobody named a backend that it would be wrong for."""
    assert load_settings(environ=environ, **arguments).unused == unused


@pytest.mark.parametrize(
    "environ",
    [
        KEYS,
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Basic {SECRET}"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:{SECRET}@collector:4318"},
    ],
    ids=["keys", "headers", "password in the URL"],
)
def test_representation_shows_no_secret(environ: dict[str, str]) -> None:
    """Settings may be logged and printed."""
    settings = load_settings(environ=environ)
    shown = repr(settings) + str(settings)
    assert SECRET not in shown
    assert "5678" not in shown


def test_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping, `os.environ` is read, and never written."""
    monkeypatch.setenv("TRACING_BACKEND", "console")
    before = dict(os.environ)
    assert load_settings().backends == {"console": Console()}
    assert dict(os.environ) == before
