"""The environment variables that settings are read from, and how their values are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

VARIABLES: Mapping[str, str] = {
    "TRACING_BACKEND": "langfuse, otlp, local, console, or several with commas",
    "TRACING_DIR": "where the spool and the local store live; default .tracing",
    "TRACING_CAPTURE_CONTENT": "false: no transcripts, messages, tool payloads leave the process",
    "TRACING_INPUT_DELTA": "true: each LLM call records only the messages new since the last one",
    "TRACING_SPOOL_MIB": "disk that undelivered spans may take, in MiB; default 256",
    "TRACING_MAX_AGE_DAYS": "undelivered spans are dropped after so many days; default 7",
    "TRACING_DRAINER": "process (default) or thread: where spans are delivered from",
    "TRACING_STOP_SECONDS": "what a stopping worker gives the drain; default 5",
    "TRACING_METRICS": "true: export metrics, to an OTLP endpoint and never to Langfuse",
    "TRACING_OTLP_DIALECT": "plain (default), or langfuse: for a collector that forwards to it",
    "TRACING_SCORES": "scores of turns and calls in Langfuse: true (default), false, or all",
    "TRACING_RECORDING": "true: a session's audio goes to Langfuse, unless content is withheld",
    "LANGFUSE_PUBLIC_KEY": "pk-lf-...",
    "LANGFUSE_SECRET_KEY": "sk-lf-...",
    "LANGFUSE_BASE_URL": "region or own server; default https://cloud.langfuse.com",
    "LANGFUSE_HOST": "the older name of LANGFUSE_BASE_URL",
    "LANGFUSE_TRACING_ENVIRONMENT": "Langfuse environment of the traces, such as production",
    "LANGFUSE_RELEASE": "release of your agent",
    "LANGFUSE_TIMEOUT": "seconds for one request; default 10",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "base URL; /v1/traces and /v1/metrics are appended",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "full URL, taken as it is",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "full URL for metrics, taken as it is",
    "OTEL_EXPORTER_OTLP_HEADERS": "key=value,key=value",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "the same, for metrics alone",
    "OTEL_METRIC_EXPORT_INTERVAL": "milliseconds between exports of metrics; default 5000",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf is the only one spoken",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip (default) or none",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "seconds for one request; default 10",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "path of a CA bundle",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "path of a client certificate",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE": "the same, for traces alone",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY": "path of the client certificate's key",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY": "the same, for traces alone",
    "OTEL_SDK_DISABLED": "true: record nothing",
}
"""Every variable that is read here, with what it takes. The OpenTelemetry SDK itself reads
OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES and OTEL_TRACES_SAMPLER(_ARG)."""


class Environment:
    """Reads variables and gathers the problems found while doing so."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, *names: str) -> str:
        """The first of these variables that has a value; "" where none has."""
        assert all(name in VARIABLES for name in names), names
        return next((value for name in names if (value := self._environ.get(name, "").strip())), "")

    def named(self, *names: str) -> str:
        """Which of these variables has a value; the first of them where none has."""
        return next((name for name in names if self.text(name)), names[0])

    def number(self, name: str, default: float, *more: str, zero: bool = False) -> float:
        """A positive number, or 0 where `zero` says so; anything else is a problem."""
        found = self.named(name, *more)
        return self.check_number(found, self.text(found) or default, default, zero=zero)

    def check_number(
        self, name: str, given: object, default: float, *, zero: bool = False
    ) -> float:
        """The number that was given under a name; anything else is a problem."""
        try:
            value = float(str(given))
        except ValueError:
            value = -1.0
        if 0 < value < math.inf or (zero and value == 0):
            return value
        self.problems.append(f"{name} is {given!r}: give a positive number, such as {default:g}")
        return default

    def flag(self, name: str, *, default: bool) -> bool:
        """true or false; anything else is a problem."""
        text = self.text(name).lower()
        if text in ("true", "1", "yes", "on"):
            return True
        if text in ("false", "0", "no", "off"):
            return False
        if text:
            self.problems.append(f"{name} is {text!r}: give true or false")
        return default

    def flag_or(self, given: bool | None, name: str, *, default: bool) -> bool:
        """What was given, else what a variable says."""
        return self.flag(name, default=default) if given is None else bool(given)

    def without_variables(self) -> Environment:
        """One in which nothing is set, and which gathers its problems here."""
        empty = Environment({})
        empty.problems = self.problems
        return empty

    def choice(self, name: str, default: Any, accepted: Sequence[str]) -> Any:
        """One of a closed set; anything else is a problem."""
        text = self.text(name).lower() or default
        if text in accepted:
            return text
        self.problems.append(f"{name} is {text!r}: give {' or '.join(accepted)}")
        return default
