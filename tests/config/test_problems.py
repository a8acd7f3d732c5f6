"""What is wrong with settings: one table of what is given to what is said, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from tests.config.test_load import ENDPOINT, KEYS, OF_LANGFUSE, PUBLIC, SECRET
from tracing.config.load import load_settings
from tracing.config.settings import ConfigError

NOT_SET = "; the key pair is in Langfuse under Settings, API Keys"
COPY = "; copy it from Langfuse under Settings, API Keys"

VOUCH = ": give the names of attributes, such as ('order.id',)"
BAD: list[tuple[str, dict[str, str], dict[str, Any], list[str]]] = [
    (
        "one name for many",
        {},
        {"content_safe": "order.id"},
        ["content_safe is 'order.id'" + VOUCH],
    ),
    ("names that are none", {}, {"content_safe": ["a", 5]}, ["content_safe is ['a', 5]" + VOUCH]),
    ("no list of names", {}, {"content_safe": None}, ["content_safe is None" + VOUCH]),
    (
        "a word that LiveKit would not take for no",
        {"LIVEKIT_TELEMETRY_ALLOW_PII": "never"},
        {},
        ["LIVEKIT_TELEMETRY_ALLOW_PII is 'never': give true or false"],
    ),
    (
        "a level of the log that is none",
        {"TRACING_LOGS": "debug"},
        {},
        ["TRACING_LOGS is 'debug': give info, warning or false"],
    ),
    (
        "a yes, which says no level",
        {},
        {"logs": True},
        ["logs= is True: give 'info', 'warning' or False"],
    ),
    (
        "an endpoint for log lines without scheme",
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "loki:3100"},
        {},
        [
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT is 'loki:3100': give a URL with its scheme, such as "
            "http://127.0.0.1:4318/v1/logs"
        ],
    ),
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
        "keys as documents write them",
        {"LANGFUSE_PUBLIC_KEY": "pk-lf-...", "LANGFUSE_SECRET_KEY": "sk-lf-..."},
        {},
        [
            f"{name} is an example's: copy your own from Langfuse under Settings, API Keys"
            for name in KEYS
        ],
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
            "OTEL_EXPORTER_OTLP_ENDPOINT is '...host:4318': give a URL with its "
            "scheme, such as http://127.0.0.1:4318"
        ],
    ),
    (
        "an endpoint without scheme",
        {},
        {"endpoint": "collector:4318"},
        [
            "endpoint= is 'collector:4318': give a URL with its scheme, "
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
        "the port of gRPC",
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"},
        {},
        [
            "OTEL_EXPORTER_OTLP_ENDPOINT has port 4317, where collectors speak gRPC: give the HTTP "
            "port, 4318 on most; if it does speak HTTP, set "
            "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
        ],
    ),
    (
        "arguments that the chosen backend does not take",
        {},
        {"backend": "local", "endpoint": "http://c:1", "environment": "a", "headers": "a=b"},
        [
            "endpoint=, environment=, headers= is not used by local: leave it out, or choose a "
            "backend that takes it"
        ],
    ),
    (
        "labels that only Langfuse shows",
        ENDPOINT,
        {"backend": "otlp", "tags": ["a"], "release": "1", "environment": "a"},
        ["tags=, release= is not used by otlp: leave it out, or choose a backend that takes it"],
    ),
    (
        "a credential that could be for either",
        {**KEYS, **ENDPOINT},
        {"backend": ["langfuse", "otlp"], "headers": "a=very-secret"},
        [
            "headers= could be for langfuse or otlp: put it into the settings of one, "
            "such as Langfuse(headers=...)"
        ],
    ),
    (
        "a header that the keys make",
        KEYS,
        {"headers": {"Authorization": "very-secret"}},
        ["headers= holds 'Authorization', which is made from the keys: leave it out"],
    ),
    (
        "a password where keys are wanted",
        KEYS,
        {"base_url": "https://user:very-secret@own.example"},
        ["base_url= holds a user and a password: leave them out, Langfuse goes by its keys"],
    ),
    (
        "a file that is not there, for Langfuse",
        KEYS,
        {"certificate": "/there/is/none.pem"},
        ["certificate= is '/there/is/none.pem': there is no such file; give its full path"],
    ),
    (
        "an OTLP variable's file that is not there, for Langfuse",
        {**KEYS, "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": "/there/is/none.pem"},
        {},
        [
            "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE is '/there/is/none.pem': "
            "there is no such file; give its full path"
        ],
    ),
    (
        "milliseconds",
        {**KEYS, "LANGFUSE_TIMEOUT": "10000"},
        {},
        ["LANGFUSE_TIMEOUT is '10000': give a positive number up to 600, such as 10"],
    ),
    (
        "a share that is none",
        {**KEYS, "LANGFUSE_SAMPLE_RATE": "20", "LANGFUSE_TRACING_ENABLED": "maybe"},
        {},
        [
            "LANGFUSE_TRACING_ENABLED is 'maybe': give true or false",
            "LANGFUSE_SAMPLE_RATE is '20': give a positive number up to 1, such as 1",
        ],
    ),
    (
        "a text in place of a list",
        KEYS,
        {"tags": "beta"},
        ["tags= is 'beta': give a list of texts, such as ['a']"],
    ),
    (
        "a list with a number in it",
        KEYS,
        {"tags": ["beta", 5]},
        ["tags= holds 5: give a list of texts, such as ['a']"],
    ),
    (
        "a tag that Langfuse drops",
        KEYS,
        {"tags": ["a" * 201]},
        [
            "tags= holds one of 201 characters, and Langfuse drops what is longer than 200: "
            "shorten it"
        ],
    ),
    (
        "flags that say neither yes nor no",
        KEYS,
        {"capture_content": "", "metrics": "nein", "recording": 2},
        [
            "metrics= is 'nein': give true or false",
            "recording= is 2: give true or false",
            "capture_content= is '': give true or false",
        ],
    ),
    (
        "the same project twice",
        {**KEYS, **OF_LANGFUSE, "LANGFUSE_BASE_URL": "https://lf.example"},
        {"backend": ["langfuse", "otlp"]},
        ["langfuse and langfuse-2 are the same place: leave one out, or each span comes twice"],
    ),
    (
        "names that are nearly ours",
        {
            "TRACING_CAPTURE_CONTNET": "false",
            "TRACING_BACKENDS": "local",
            "TRACING_OF_SOMEBODY_ELSE": "1",
        },
        {},
        [
            "TRACING_CAPTURE_CONTNET is set, which nothing reads: "
            "TRACING_CAPTURE_CONTENT is meant?",
            "TRACING_BACKENDS is set, which nothing reads: TRACING_BACKEND is meant?",
        ],
    ),
    (
        "a name that is nearly Langfuse's",
        {"LANGFUSE_PUBLICKEY": PUBLIC, "LANGFUSE_SECRET_KEY": SECRET, "LANGFUSE_URL": "https://x"},
        {},
        [
            "LANGFUSE_PUBLIC_KEY is not set: set it, or pass public_key=" + NOT_SET,
            "LANGFUSE_PUBLICKEY is set, which nothing reads: LANGFUSE_PUBLIC_KEY is meant?",
            "LANGFUSE_URL is set, which nothing reads: LANGFUSE_BASE_URL is meant?",
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
            "TRACING_WRITE": "stone",
            "OTEL_SDK_DISABLED": "2",
        },
        {},
        [
            "TRACING_CAPTURE_CONTENT is 'maybe': give true or false",
            "TRACING_DRAINER is 'rocket': give process or thread",
            "TRACING_WRITE is 'stone': give direct or thread",
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
    (ENDPOINT, {"certificate": 5}, "certificate="),
    (KEYS, {"public_key": 5}, "public_key="),
    (KEYS, {"secret_key": b"very-secret"}, "secret_key="),
    (KEYS, {"base_url": 5}, "base_url="),
    ({}, {"endpoint": 5}, "endpoint="),
    (KEYS, {"trace_name": 5}, "trace_name="),
    (KEYS, {"environment": ["a"]}, "environment="),
    (KEYS, {"release": 1.2}, "release="),
    (KEYS, {"version": 3}, "version="),
    (KEYS, {"tags": [1]}, "tags="),
    (KEYS, {"tags": {"a": "b"}}, "tags="),
    (KEYS, {"compression": True}, "compression"),
    (KEYS, {"compression": False}, "compression"),
    (KEYS, {"timeout": True}, "timeout="),
    (KEYS, {"sample_rate": "half"}, "sample_rate="),
    (KEYS, {"scores": "most"}, "scores"),
    (KEYS, {"cost": "0.1"}, "cost"),
    (KEYS, {"detail": "all"}, "detail="),
    ({**KEYS, "TRACING_LANGFUSE_DETAIL": "all"}, {}, "TRACING_LANGFUSE_DETAIL"),
    (ENDPOINT, {"dialect": True}, "dialect"),
    ({}, {"capture_content": None, "metrics": object()}, "metrics="),
    ({}, {"capture_content": [False]}, "capture_content="),
    ({}, {"directory": 5}, "directory="),
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
