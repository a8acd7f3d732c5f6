"""An OTLP/HTTP endpoint as a backend: its settings, and where spans go for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal, get_args

from tracing.config.backends import LOG_LINES, OTLP_HTTP, OTLP_LOGS, Backend, CommonSettings
from tracing.config.environment import Environment, unquoted
from tracing.config.http.endpoints import (
    Compression,
    both,
    check_port,
    check_url,
    read_certificates,
    read_compression,
    read_timeout,
    without_password,
)
from tracing.config.http.headers import read_headers
from tracing.config.labels import TraceLabels, read_labels
from tracing.config.langfuse import DIALECT, OTLP_PATH, Langfuse, is_of_cloud, langfuse_behind
from tracing.limits import SETTLE_SECONDS, TIMEOUT_SECONDS

OtlpDialect = Literal["plain", "langfuse"]

_ITS_VARIABLES = "LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and LANGFUSE_BASE_URL"


@dataclass(frozen=True, kw_only=True)
class Otlp(TraceLabels):
    """An OTLP/HTTP endpoint. What is not given comes from the variables that its field names; of
    several endpoints in one set-up, only for one without `endpoint`.

    The labels of `TraceLabels` are for the dialect `langfuse`; `environment` is on the resource
    too. An endpoint of Langfuse's own, with its keys as Basic auth, is a `Langfuse` in force.
    """

    endpoint: str = field(default="", repr=False)
    """Base URL, such as http://127.0.0.1:4318; /v1/traces is appended; else
    OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT."""
    headers: Mapping[str, str] | str | None = field(default=None, repr=False)
    """A mapping, or `key=value,key=value`; else OTEL_EXPORTER_OTLP_[TRACES_]HEADERS, none."""
    compression: Compression | None = None
    """Packing; else OTEL_EXPORTER_OTLP_[TRACES_]COMPRESSION, gzip."""
    timeout: float | None = None
    """Seconds for one request; else OTEL_EXPORTER_OTLP_[TRACES_]TIMEOUT, 10."""
    certificate: str | None = None
    """Path of a CA bundle; else OTEL_EXPORTER_OTLP_[TRACES_]CERTIFICATE, the system's."""
    client_certificate: str | None = None
    """Path of a client certificate; else OTEL_EXPORTER_OTLP_[TRACES_]CLIENT_CERTIFICATE, none."""
    client_key: str | None = None
    """Path of its key; else OTEL_EXPORTER_OTLP_[TRACES_]CLIENT_KEY, none."""
    dialect: OtlpDialect | None = None
    """langfuse for a collector that forwards the spans to Langfuse; else TRACING_OTLP_DIALECT,
    plain."""
    logs_endpoint: str = field(default="", repr=False)
    """Whole URL for the log lines of calls; else, where `endpoint` is not given either,
    OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, else the base URL with /v1/logs."""
    logs_headers: Mapping[str, str] | str | None = field(default=None, repr=False)
    """The same as `headers`, for log lines alone; else `headers`,
    OTEL_EXPORTER_OTLP_LOGS_HEADERS, and where `headers` come from."""

    def resolve(self, env: Environment, *, is_only_one: bool) -> Otlp | Langfuse:
        """The settings in force, `endpoint` as the whole URL for traces; problems go to `env`."""
        all_env = env
        dialect = _dialect(self.dialect, env)
        labels = read_labels(self, env) if dialect == "langfuse" else {}
        if self.endpoint and not is_only_one:
            env = env.without_variables()  # what they say, credentials too, is of another endpoint
        compression = read_compression(self.compression, env, *both("COMPRESSION"))
        _check_protocol(env)
        url = signal_url(self.endpoint, env, "traces")
        if not url:
            env.problems.append(
                "OTEL_EXPORTER_OTLP_ENDPOINT is not set: set it, or pass endpoint=, "
                "such as http://127.0.0.1:4318"
            )
        url, password = without_password(url)
        logs_url, logs_password = without_password(self._logs_url(env))
        files = read_certificates(self, env)
        otlp = Otlp(
            endpoint=url,
            headers={**password, **read_headers(self.headers, env, *both("HEADERS"))},
            compression=compression,
            timeout=read_timeout(self.timeout, env, *both("TIMEOUT")),
            certificate=files.certificate,
            client_certificate=files.client_certificate,
            client_key=files.client_key,
            dialect=dialect,
            logs_endpoint=logs_url,
            logs_headers={**logs_password, **self._read_logs_headers(env)},
            **{"environment": self.environment, **labels},
        )
        is_plain = self.dialect or env.peek("TRACING_OTLP_DIALECT")
        return otlp if is_plain else self._as_langfuse(otlp, all_env)

    def _logs_url(self, env: Environment) -> str:
        """The URL for log lines, "" where none is known: a URL for traces alone tells of none."""
        variable = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"
        source, own = "logs_endpoint=", env.check_text("logs_endpoint=", self.logs_endpoint)
        if not own and not self.endpoint:
            source, own = variable, env.text(variable)
        if own:
            check_url(own, source, "http://127.0.0.1:4318/v1/logs", env.problems)
            return own
        base = self.endpoint or env.text("OTEL_EXPORTER_OTLP_ENDPOINT")
        return _of_signal(base, "logs") if isinstance(base, str) and base else ""

    def _read_logs_headers(self, env: Environment) -> dict[str, str]:
        given = self.headers if self.logs_headers is None else self.logs_headers
        variables = "OTEL_EXPORTER_OTLP_LOGS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"
        return read_headers(given, env, *variables)

    def _as_langfuse(self, otlp: Otlp, env: Environment) -> Otlp | Langfuse:
        """Langfuse where the endpoint is its own: with its scores, its dialect and its tenant."""
        if OTLP_PATH not in otlp.endpoint and not is_of_cloud(otlp.endpoint):
            return otlp
        assert isinstance(otlp.headers, Mapping)
        behind = langfuse_behind(otlp.endpoint, otlp.headers)
        if behind is None:
            env.problems.append(
                "the OTLP endpoint is Langfuse's, without its path or its keys: "
                f"set {_ITS_VARIABLES} instead"
            )
            return otlp
        if not self.endpoint:
            name = env.named(*both("ENDPOINT"))
            env.remarks.append(
                f"{name} leads every exporter of this process to Langfuse: "
                f"set {_ITS_VARIABLES} in its place"
            )
        shared = {field.name: getattr(self, field.name) for field in fields(TraceLabels)}
        tls = "compression", "timeout", "certificate", "client_certificate", "client_key"
        shared |= {name: getattr(otlp, name) for name in tls}
        return replace(behind, **shared).resolve(env, is_only_one=False)

    def backends(self, settings: CommonSettings, name: str) -> list[Backend]:
        """The endpoint, and beside it that for log lines."""
        for_langfuse = self.dialect == "langfuse"
        spans = Backend(
            name=name,
            sender=OTLP_HTTP,
            url=self.endpoint,
            headers=self.headers if isinstance(self.headers, Mapping) else {},
            compression=self.compression or "gzip",
            timeout_seconds=self.timeout or TIMEOUT_SECONDS,
            certificate=self.certificate,
            client_certificate=self.client_certificate,
            client_key=self.client_key,
            proxy=settings.proxy_for(self.endpoint),
            settle_seconds=SETTLE_SECONDS if for_langfuse else 0.0,
            dialect=DIALECT if for_langfuse else "",
            dialect_options=self.labels() if for_langfuse else {},
            mend="check OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) "
            "and OTEL_EXPORTER_OTLP_HEADERS",
        )
        has_logs = self.logs_endpoint and settings.logs != "off"
        return [spans, *([self._logs(spans, settings)] if has_logs else [])]

    def _logs(self, spans: Backend, settings: CommonSettings) -> Backend:
        return replace(
            spans,
            name=f"{spans.name}-logs",
            sender=OTLP_LOGS,
            url=self.logs_endpoint,
            headers=self.logs_headers if isinstance(self.logs_headers, Mapping) else {},
            proxy=settings.proxy_for(self.logs_endpoint),
            settle_seconds=0.0,
            dialect="",
            dialect_options={},
            mend="Give OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, or set TRACING_LOGS=false",
            carries=LOG_LINES,
            beside=spans.name,
        )


def signal_url(endpoint: str, env: Environment, signal: Literal["traces", "metrics"]) -> str:
    """The URL for a signal: what is given, or the base endpoint, gets the signal's path.

    An endpoint of the signal's own is taken as it is; "" where there is none.
    """
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    if endpoint:
        source, given = "endpoint=", env.check_text("endpoint=", endpoint)
        url = _of_signal(given, signal)
    elif given := env.text(own):
        source, url = own, given
    elif given := env.text("OTEL_EXPORTER_OTLP_ENDPOINT"):
        source, url = "OTEL_EXPORTER_OTLP_ENDPOINT", f"{given.rstrip('/')}/v1/{signal}"
        if url.endswith(f"/v1/{signal}/v1/{signal}"):
            env.remarks.append(
                f"{source} ends with /v1/{signal}, which is appended to it once more: "
                f"leave that out, or set {own} instead"
            )
    else:
        return ""
    check_url(given, source, "http://127.0.0.1:4318", env.problems)
    check_port(url, source, env, *both("PROTOCOL"))
    return url


def _of_signal(base: str, signal: str) -> str:
    """A base URL, or one for traces or this signal, with the path of a signal."""
    base = unquoted(base).rstrip("/")
    return base.removesuffix("/v1/traces").removesuffix(f"/v1/{signal}") + f"/v1/{signal}"


def _dialect(given: str | None, env: Environment) -> OtlpDialect:
    dialect = str(given or env.text("TRACING_OTLP_DIALECT") or "plain").lower()
    if dialect not in get_args(OtlpDialect):
        env.problems.append(f"dialect is {dialect!r}: give 'plain' or 'langfuse'")
    return "langfuse" if dialect == "langfuse" else "plain"


def _check_protocol(env: Environment) -> None:
    protocol = env.text(*both("PROTOCOL")) or "http/protobuf"
    if protocol != "http/protobuf":
        env.problems.append(
            f"{env.named(*both('PROTOCOL'))} is {protocol!r}: only 'http/protobuf' is spoken; "
            "unset it and give the HTTP endpoint (port 4318 on most collectors)"
        )
