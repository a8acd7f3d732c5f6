"""Settings: one table of what is given to what comes out, one of what is wrong to what is said."""

from __future__ import annotations

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
    timeout=10.0,
    scores=True,
    recording=False,
)
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
COLLECTOR = Otlp(
    endpoint="http://collector:4318/v1/traces",
    headers={},
    compression="gzip",
    timeout=10.0,
    dialect="plain",
)
LOCAL = Settings(
    {"local": Local()}, "no Langfuse keys and no OTLP endpoint are set", Path(".tracing")
)


def langfuse(chosen_by: str = "LANGFUSE_PUBLIC_KEY", **changes: Any) -> Settings:
    """Settings for Langfuse that differ from Cloud's in `changes`."""
    backends = {"langfuse": dataclasses.replace(CLOUD, **changes)}
    return Settings(backends, chosen_by, Path(".tracing"))


def otlp(chosen_by: str = "OTEL_EXPORTER_OTLP_ENDPOINT", **changes: Any) -> Settings:
    """Settings for a collector that differ from the plainest in `changes`."""
    backends = {"otlp": dataclasses.replace(COLLECTOR, **changes)}
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
        local(backends={"console": Console(), "local": Local()}, chosen_by="TRACING_BACKEND"),
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
        langfuse(base_url="https://argument"),
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
    # OTLP.
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
        otlp(endpoint="http://other/any/"),
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
        otlp(headers={"a": "3"}),
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
        ),
    ),
    (
        "the dialect as argument",
        {**ENDPOINT, "TRACING_OTLP_DIALECT": "langfuse"},
        {"dialect": "plain", "tags": ["not for a plain one"]},
        otlp(),
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
            "TRACING_STOP_SECONDS": "0",
        },
        {},
        local(
            directory=Path("/data/tracing"),
            spool_bytes=2**19,
            max_age_seconds=86400.0,
            drainer="thread",
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
    (given,) = backends_of(load_settings("otlp", environ=ENDPOINT, certificate="ca.pem"))
    assert given.certificate == str(tmp_path / "ca.pem")


BASES = [
    "https://lf.example",
    "https://lf.example/",
    "https://lf.example//",
    "https://lf.example/api/public/otel",
    "https://lf.example/api/public/otel/",
    "https://lf.example/api/public/otel/v1/traces",
    "https://lf.example/api/public/otel/v1/traces/",
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
    settings = load_settings("langfuse", environ=KEYS, base_url="https://x.example/lf/")
    assert backends_of(settings)[0].url == "https://x.example/lf/api/public/otel/v1/traces"


NOT_SET = "; the key pair is in Langfuse under Settings, API Keys"
COPY = "; copy it from Langfuse under Settings, API Keys"

BAD: list[tuple[str, dict[str, str], dict[str, Any], list[str]]] = [
    (
        "no keys",
        {},
        {"backend": "langfuse"},
        [
            "LANGFUSE_PUBLIC_KEY is not set: set it, or pass public_key=" + NOT_SET,
            "LANGFUSE_SECRET_KEY is not set: set it, or pass secret_key=" + NOT_SET,
        ],
    ),
    (
        "one key",
        {"LANGFUSE_PUBLIC_KEY": PUBLIC},
        {},
        ["LANGFUSE_SECRET_KEY is not set: set it, or pass secret_key=" + NOT_SET],
    ),
    (
        "keys swapped",
        {"LANGFUSE_PUBLIC_KEY": SECRET, "LANGFUSE_SECRET_KEY": PUBLIC},
        {},
        ["LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are swapped: exchange them"],
    ),
    (
        "the secret key twice",
        {"LANGFUSE_PUBLIC_KEY": SECRET, "LANGFUSE_SECRET_KEY": SECRET},
        {},
        ["LANGFUSE_PUBLIC_KEY is of the wrong kind: it has to begin with 'pk-lf-'" + COPY],
    ),
    (
        "the public key twice, on one's own server",
        {**KEYS, "LANGFUSE_SECRET_KEY": PUBLIC, "LANGFUSE_HOST": "http://own:3000"},
        {},
        ["LANGFUSE_SECRET_KEY is of the wrong kind: it has to begin with 'sk-lf-'" + COPY],
    ),
    (
        "keys of another service",
        {"LANGFUSE_PUBLIC_KEY": "abc", "LANGFUSE_SECRET_KEY": "very-secret"},
        {},
        [
            "LANGFUSE_PUBLIC_KEY is of the wrong kind: it has to begin with 'pk-lf-'" + COPY,
            "LANGFUSE_SECRET_KEY is of the wrong kind: it has to begin with 'sk-lf-'" + COPY,
        ],
    ),
    (
        "a key copied with something else",
        {**KEYS, "LANGFUSE_SECRET_KEY": "sk-lf-very secret"},
        {},
        ["LANGFUSE_SECRET_KEY holds spaces or other foreign characters: copy it again"],
    ),
    (
        "a key with foreign letters",
        {**KEYS, "LANGFUSE_SECRET_KEY": "sk-lf-very-secret…"},
        {},
        ["LANGFUSE_SECRET_KEY holds spaces or other foreign characters: copy it again"],
    ),
    (
        "a URL without scheme",
        {**KEYS, "LANGFUSE_BASE_URL": "cloud.langfuse.com"},
        {},
        [
            "LANGFUSE_BASE_URL is 'cloud.langfuse.com': give a URL with its scheme, "
            "such as https://cloud.langfuse.com"
        ],
    ),
    (
        "a URL of the older name, with the scheme of something else",
        {**KEYS, "LANGFUSE_HOST": "ftp://langfuse"},
        {},
        [
            "LANGFUSE_HOST is 'ftp://langfuse': give a URL with its scheme, "
            "such as https://cloud.langfuse.com"
        ],
    ),
    (
        "a URL argument without host",
        KEYS,
        {"base_url": "https://"},
        ["base_url= is 'https:': give a URL with its scheme, such as https://cloud.langfuse.com"],
    ),
    (
        "a URL with a password, and no scheme",
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "user:very-secret@host:4318"},
        {},
        [
            "OTEL_EXPORTER_OTLP_ENDPOINT is '...host:4318/v1/traces': give a URL with its "
            "scheme, such as http://127.0.0.1:4318"
        ],
    ),
    (
        "an endpoint without scheme",
        {},
        {"endpoint": "collector:4318"},
        [
            "endpoint= is 'collector:4318/v1/traces': give a URL with its scheme, "
            "such as http://127.0.0.1:4318"
        ],
    ),
    (
        "a traces endpoint without scheme",
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector"},
        {},
        [
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is 'collector': give a URL with its scheme, "
            "such as http://127.0.0.1:4318"
        ],
    ),
    (
        "no endpoint",
        {},
        {"backend": "otlp"},
        [
            "OTEL_EXPORTER_OTLP_ENDPOINT is not set: set it, or pass endpoint=, "
            "such as http://127.0.0.1:4318"
        ],
    ),
    (
        "an unknown backend",
        {},
        {"backend": "jaeger"},
        [
            "backend is 'jaeger': give one of 'langfuse', 'otlp', 'local', 'console', "
            "or a list of them"
        ],
    ),
    (
        "several unknown backends",
        {"TRACING_BACKEND": "local,jaeger,tempo"},
        {},
        [
            "backend is 'jaeger', 'tempo': give one of 'langfuse', 'otlp', 'local', 'console', "
            "or a list of them"
        ],
    ),
    (
        "no backend",
        {},
        {"backend": []},
        [
            "backend is an empty list: give one of 'langfuse', 'otlp', 'local', 'console', "
            "or a list of them"
        ],
    ),
    (
        "another protocol",
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {},
        [
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc': only 'http/protobuf' is spoken; "
            "unset it and give the HTTP endpoint (port 4318 on most collectors)"
        ],
    ),
    (
        "another compression",
        ENDPOINT,
        {"compression": "zstd"},
        ["compression is 'zstd': give 'gzip' or 'none'"],
    ),
    (
        "another dialect",
        {**ENDPOINT, "TRACING_OTLP_DIALECT": "jaeger"},
        {},
        ["dialect is 'jaeger': give 'plain' or 'langfuse'"],
    ),
    (
        "a file that is not there",
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_CERTIFICATE": "/there/is/none.pem"},
        {},
        [
            "OTEL_EXPORTER_OTLP_CERTIFICATE is '/there/is/none.pem': there is no such file; "
            "give its full path"
        ],
    ),
    (
        "numbers that are none",
        {
            "TRACING_SPOOL_MIB": "lots",
            "TRACING_MAX_AGE_DAYS": "-1",
            "TRACING_STOP_SECONDS": "nan",
        },
        {},
        [
            "TRACING_SPOOL_MIB is 'lots': give a positive number, such as 256",
            "TRACING_MAX_AGE_DAYS is '-1': give a positive number, such as 7",
            "TRACING_STOP_SECONDS is 'nan': give a positive number, such as 5",
        ],
    ),
    (
        "time-outs that are none",
        {**KEYS, **ENDPOINT, "LANGFUSE_TIMEOUT": "0", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "x"},
        {"backend": ["langfuse", "otlp"]},
        [
            "LANGFUSE_TIMEOUT is '0': give a positive number, such as 10",
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT is 'x': give a positive number, such as 10",
        ],
    ),
    (
        "flags and choices that are none",
        {
            "TRACING_CAPTURE_CONTENT": "maybe",
            "TRACING_DRAINER": "rocket",
            "OTEL_SDK_DISABLED": "2",
        },
        {},
        [
            "TRACING_CAPTURE_CONTENT is 'maybe': give true or false",
            "TRACING_DRAINER is 'rocket': give process or thread",
            "OTEL_SDK_DISABLED is '2': give true or false",
        ],
    ),
    (
        "several at once",
        {"LANGFUSE_PUBLIC_KEY": PUBLIC, "LANGFUSE_BASE_URL": "x", "TRACING_SPOOL_MIB": "0"},
        {},
        [
            "LANGFUSE_SECRET_KEY is not set: set it, or pass secret_key=" + NOT_SET,
            "LANGFUSE_BASE_URL is 'x': give a URL with its scheme, "
            "such as https://cloud.langfuse.com",
            "TRACING_SPOOL_MIB is '0': give a positive number, such as 256",
        ],
    ),
]


@pytest.mark.parametrize(
    ("environ", "arguments", "problems"),
    [case[1:] for case in BAD],
    ids=[case[0] for case in BAD],
)
def test_bad_settings(
    environ: dict[str, str], arguments: dict[str, Any], problems: list[str]
) -> None:
    """One error tells every problem with its mend, word for word, and no secret."""
    backend = arguments.pop("backend", None)
    with pytest.raises(ConfigError) as caught:
        load_settings(backend, environ=environ, **arguments)
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    told = f"tracing cannot be set up, {count}:\n" + "\n".join(f"  - {p}" for p in problems)
    assert str(caught.value) == told
    assert caught.value.problems == tuple(problems)
    assert "very" not in told


ODD: list[tuple[dict[str, str], dict[str, Any], str]] = [
    ({}, {"backend": 5}, "backend"),
    (KEYS, {"timeout": "soon"}, "timeout"),
    (KEYS, {"timeout": -1}, "timeout"),
    (ENDPOINT, {"timeout": float("nan")}, "timeout"),
    (KEYS, {"base_url": "http://[::1"}, "base_url"),
    (ENDPOINT, {"endpoint": "http://host:port"}, "endpoint"),
    (ENDPOINT, {"headers": ["a=b"]}, "headers"),
    (ENDPOINT, {"headers": {"Authorization": "very\nsecret"}}, "headers"),
    (ENDPOINT, {"headers": {"Authorization": "very-secret…"}}, "headers"),
    ({**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "very-secret"}, {}, "OTEL_EXPORTER_OTLP_HEADERS"),
    ({"TRACING_SPOOL_MIB": "inf"}, {}, "TRACING_SPOOL_MIB"),
    ({**ENDPOINT, "OTEL_EXPORTER_OTLP_TIMEOUT": "x"}, {}, "OTEL_EXPORTER_OTLP_TIMEOUT"),
    (
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
        {},
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    ),
    (ENDPOINT, {"certificate": "/there/is/none"}, "certificate="),
]


@pytest.mark.parametrize(
    ("environ", "arguments", "word"), ODD, ids=[f"{case[2]} {n}" for n, case in enumerate(ODD)]
)
def test_odd_settings_are_problems_and_no_crash(
    environ: dict[str, str],
    arguments: dict[str, Any],
    word: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever is given where, the error is a ConfigError that names it, without its secret."""
    backend = arguments.pop("backend", None)
    with pytest.raises(ConfigError, match=word) as caught:
        load_settings(backend, environ=environ, **arguments)
    assert "very" not in str(caught.value) + caplog.text


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


def test_proxies_follow_the_usual_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY and NO_PROXY decide per URL, and their passwords are not shown."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:very-secret@proxy:3128")
    monkeypatch.setenv("NO_PROXY", "internal.example,localhost")
    settings = load_settings(environ={})
    urls = (
        "https://a.example/x",
        "http://a.example/x",
        "https://x.internal.example/",
        "https://localhost/",
    )
    assert [settings.proxy_for(url) for url in urls] == [
        "http://user:very-secret@proxy:3128",
        None,
        None,
        None,
    ]
    assert "very-secret" not in repr(settings)


def test_example_file_names_variables_that_exist() -> None:
    """Each line of `.env.local.example` is a variable that is read by somebody."""
    example = Path(__file__).parents[2] / ".env.local.example"
    lines = [line.lstrip("# ") for line in example.read_text().splitlines()]
    named = {line.partition("=")[0] for line in lines if line.partition("=")[0].isupper()}
    of_others = {"LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"}
    read_by_sdk = {"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER"}
    read_by_sdk |= {"OTEL_TRACES_SAMPLER_ARG", "LIVEKIT_TELEMETRY_ALLOW_PII"}
    assert named - of_others - read_by_sdk - VARIABLES.keys() == set()
    assert {"LANGFUSE_PUBLIC_KEY", "TRACING_DIR"} <= named
