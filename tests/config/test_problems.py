"""What is wrong with settings: one table of what is given to what is said, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from tests.config.test_load import ENDPOINT, KEYS, PUBLIC, SECRET
from tracing.config.load import load_settings
from tracing.config.settings import ConfigError

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
