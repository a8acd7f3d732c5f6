"""Environment and arguments -> one frozen `Settings`; the only reader of `os.environ`.

Precedence, everywhere: an argument of `setup_tracer`, then our own variable (`TRACING_*`),
then the vendor's (`LANGFUSE_*`), then `OTEL_*`, then the default. An empty value is no value.
"""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from opentelemetry.metrics import NoOpMeterProvider, get_meter_provider
from opentelemetry.metrics._internal import _ProxyMeterProvider

from tracing.config.endpoints import (
    both,
    check_url,
    file_named,
    given_file,
    read_headers,
    split_url,
    timeout_of,
    without_password,
)
from tracing.config.environment import Environment

BackendName = Literal["langfuse", "otlp", "local", "console"]
BACKEND_NAMES: tuple[str, ...] = get_args(BackendName)
Scores = Literal["none", "default", "all"]
OtlpDialect = Literal["plain", "langfuse"]

_LANGFUSE_CLOUD = "https://cloud.langfuse.com"
_LANGFUSE_OTLP_PATH = "/api/public/otel"


class ConfigError(ValueError):
    """Settings that cannot work: every problem with its mend, and never a secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  - {problem}" for problem in problems)
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        super().__init__(f"tracing cannot be set up, {count}:{lines}")


@dataclass(frozen=True)
class LangfuseSettings:
    """Where Langfuse is, and what is said of every trace in its dialect."""

    public_key: str = ""
    secret_key: str = field(default="", repr=False)
    base_url: str = _LANGFUSE_CLOUD
    timeout_seconds: float = 10.0
    trace_name: str | None = None
    tags: tuple[str, ...] = ()
    environment: str | None = None
    release: str | None = None
    version: str | None = None
    cost: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """The user's own prices, US dollars per unit: bucket by model."""
    scores: Scores = "default"
    recording: bool = False
    """Whether recordings are uploaded."""

    @property
    def traces_url(self) -> str:
        """Langfuse's OTLP endpoint for traces."""
        return f"{self.base_url}{_LANGFUSE_OTLP_PATH}/v1/traces"

    @property
    def scores_url(self) -> str:
        """Where one score at a time is posted."""
        return f"{self.base_url}/api/public/scores"

    @property
    def media_url(self) -> str:
        """Where it is asked where a recording goes."""
        return f"{self.base_url}/api/public/media"


@dataclass(frozen=True)
class OtlpSettings:
    """An OTLP/HTTP endpoint."""

    traces_url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    compression: Literal["gzip", "none"] = "gzip"
    timeout_seconds: float = 10.0
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    dialect: OtlpDialect = "plain"
    """langfuse: for a collector that forwards the spans to Langfuse."""


@dataclass(frozen=True)
class MetricsSettings:
    """Where metrics go: an OTLP/HTTP endpoint. The exporter itself reads TLS files and the like."""

    url: str
    """Empty where the application exports metrics itself."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate: str | None = None
    interval_seconds: float = 5.0


@dataclass(frozen=True)
class Settings:
    """Everything that was decided before the first span."""

    backends: tuple[BackendName, ...]
    chosen_by: str
    """Why these backends: the argument or variable that said so."""
    directory: Path
    langfuse: LangfuseSettings = LangfuseSettings()
    otlp: OtlpSettings = OtlpSettings()
    capture_content: bool = True
    input_delta: bool = False
    spool_bytes: int = 256 * 2**20
    max_age_seconds: float = 7 * 86400.0
    drainer: Literal["process", "thread"] = "process"
    stop_seconds: float = 5.0
    metrics: MetricsSettings | None = None
    """None where none are exported."""
    disabled: bool = False
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def speaks_langfuse(self) -> bool:
        """Whether some backend gets its spans in Langfuse's dialect."""
        return "langfuse" in self.backends or self.otlp.dialect == "langfuse"

    def proxy_for(self, url: str) -> str | None:
        """The proxy for a URL, by the usual HTTPS_PROXY and NO_PROXY rules."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if urllib.request.proxy_bypass_environment(host, dict(self.proxies)):  # type: ignore[attr-defined]
            return None
        return self.proxies.get(parts.scheme)


def load_settings(
    backend: str | Sequence[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    **arguments: Any,
) -> Settings:
    """Read arguments and environment; raises one ConfigError that lists every problem.

    `arguments` are those of `setup_tracer` that are settings; None means not given.
    """
    env = Environment(os.environ if environ is None else environ)
    given = {name: value for name, value in arguments.items() if value is not None}
    names, chosen_by = _backends(backend, given, env)
    dialect: OtlpDialect = _dialect(given, env) if "otlp" in names else "plain"
    settings = Settings(
        backends=names,
        chosen_by=chosen_by,
        directory=Path(given.get("directory") or env.text("TRACING_DIR") or ".tracing").absolute(),
        langfuse=_langfuse(given, env, names, dialect),
        otlp=_otlp(given, env, dialect) if "otlp" in names else OtlpSettings(),
        capture_content=bool(
            given.get("capture_content", env.flag("TRACING_CAPTURE_CONTENT", default=True))
        ),
        input_delta=env.flag("TRACING_INPUT_DELTA", default=False),
        spool_bytes=int(env.number("TRACING_SPOOL_MIB", 256.0) * 2**20),
        max_age_seconds=env.number("TRACING_MAX_AGE_DAYS", 7.0) * 86400,
        drainer=env.choice("TRACING_DRAINER", "process", ("process", "thread")),
        stop_seconds=env.number("TRACING_STOP_SECONDS", 5.0, zero=True),
        metrics=_metrics(given, env),
        disabled=env.flag("OTEL_SDK_DISABLED", default=False),
        proxies=urllib.request.getproxies_environment(),
    )
    if env.problems:
        raise ConfigError(env.problems)
    return settings


def _backends(
    backend: str | Sequence[str] | None, given: Mapping[str, Any], env: Environment
) -> tuple[tuple[BackendName, ...], str]:
    """The backends' names, and who chose them."""
    chosen: Sequence[str]
    if backend is not None:
        is_list = isinstance(backend, Iterable) and not isinstance(backend, str)
        chosen, chosen_by = list(backend) if is_list else [str(backend)], "backend="
    elif env.text("TRACING_BACKEND"):
        chosen, chosen_by = env.text("TRACING_BACKEND").split(","), "TRACING_BACKEND"
    elif {"public_key", "secret_key"} & given.keys():
        chosen, chosen_by = ["langfuse"], "public_key="
    elif env.text("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"):
        chosen, chosen_by = ["langfuse"], "LANGFUSE_PUBLIC_KEY"
    elif "endpoint" in given:
        chosen, chosen_by = ["otlp"], "endpoint="
    elif env.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        chosen, chosen_by = ["otlp"], "OTEL_EXPORTER_OTLP_ENDPOINT"
    else:
        chosen, chosen_by = ["local"], "no Langfuse keys and no OTLP endpoint are set"
    names = list(dict.fromkeys(str(name).strip().lower() for name in chosen))
    unknown = [name for name in names if name not in BACKEND_NAMES]
    if unknown or not names:
        what = ", ".join(map(repr, unknown)) or "an empty list"
        accepted = ", ".join(map(repr, BACKEND_NAMES))
        env.problems.append(f"backend is {what}: give one of {accepted}, or a list of them")
    return tuple(name for name in names if name not in unknown), chosen_by  # type: ignore[misc]


def _langfuse(
    given: Mapping[str, Any], env: Environment, backends: Sequence[str], dialect: OtlpDialect
) -> LangfuseSettings:
    """What is said of every trace in its dialect, and where it is if it is a backend."""
    is_backend = "langfuse" in backends
    if not is_backend and dialect == "plain":
        return LangfuseSettings()
    return replace(
        _langfuse_server(given, env) if is_backend else LangfuseSettings(),
        trace_name=given.get("trace_name"),
        tags=tuple(given.get("tags") or ()),
        environment=given.get("environment") or env.text("LANGFUSE_TRACING_ENVIRONMENT") or None,
        release=given.get("release") or env.text("LANGFUSE_RELEASE") or None,
        version=given.get("version"),
        cost=_cost(given.get("cost") or {}, env.problems),
    )


def _langfuse_server(given: Mapping[str, Any], env: Environment) -> LangfuseSettings:
    public_key = given.get("public_key") or env.text("LANGFUSE_PUBLIC_KEY")
    secret_key = given.get("secret_key") or env.text("LANGFUSE_SECRET_KEY")
    base_url, source = _langfuse_url(given, env)
    base_url, _ = without_password(base_url)
    _check_langfuse_keys(public_key, secret_key, base_url, env.problems)
    check_url(base_url, source, "https://cloud.langfuse.com", env.problems)
    return LangfuseSettings(
        public_key=public_key,
        secret_key=secret_key,
        base_url=base_url,
        timeout_seconds=timeout_of(given, env, "LANGFUSE_TIMEOUT"),
        scores=_scores(given, env),
        recording=bool(given.get("recording", env.flag("TRACING_RECORDING", default=False))),
    )


def _scores(given: Mapping[str, Any], env: Environment) -> Scores:
    accepted: dict[Any, Scores] = {"true": "default", "false": "none", "all": "all"}
    chosen = given.get("scores")
    if chosen is None:
        return accepted[env.choice("TRACING_SCORES", "true", tuple(accepted))]
    found = accepted.get(str(chosen).lower())
    if found is None:
        env.problems.append(f"scores is {chosen!r}: give True, False or 'all'")
    return found or "none"


def _cost(cost: Any, problems: list[str]) -> Mapping[str, Mapping[str, float]]:
    try:
        found = {
            str(model): {str(bucket): float(price) for bucket, price in prices.items()}
            for model, prices in cost.items()
        }
        if not all(0 <= price < inf for prices in found.values() for price in prices.values()):
            raise ValueError(cost)
    except (AttributeError, TypeError, ValueError):
        found = {}
        problems.append(
            f"cost is {cost!r}: give US dollars per unit by model and bucket, "
            "such as {'nova-3': {'seconds': 0.00007}}"
        )
    return found


def _langfuse_url(given: Mapping[str, Any], env: Environment) -> tuple[str, str]:
    """The server's base URL, however much of the OTLP path was given with it, and its source."""
    if given.get("base_url"):
        url, source = str(given["base_url"]).strip(), "base_url="
    elif env.text("LANGFUSE_BASE_URL"):
        url, source = env.text("LANGFUSE_BASE_URL"), "LANGFUSE_BASE_URL"
    else:
        url, source = env.text("LANGFUSE_HOST") or _LANGFUSE_CLOUD, "LANGFUSE_HOST"
    for suffix in ("/v1/traces", _LANGFUSE_OTLP_PATH):
        url = url.rstrip("/").removesuffix(suffix)
    return url.rstrip("/"), source


def _check_langfuse_keys(public: str, secret: str, base_url: str, problems: list[str]) -> None:
    if public.startswith("sk-") and secret.startswith("pk-"):
        problems.append("LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are swapped: exchange them")
        return
    parts = split_url(base_url)
    host = (parts.hostname if parts else "") or ""
    on_cloud = host == "langfuse.com" or host.endswith(".langfuse.com")
    for name, key, prefix, other in (
        ("LANGFUSE_PUBLIC_KEY", public, "pk-lf-", "sk-"),
        ("LANGFUSE_SECRET_KEY", secret, "sk-lf-", "pk-"),
    ):
        if not key:
            argument = name.removeprefix("LANGFUSE_").lower()
            problems.append(
                f"{name} is not set: set it, or pass {argument}=; "
                "the key pair is in Langfuse under Settings, API Keys"
            )
        elif key.startswith(other) or (on_cloud and not key.startswith(prefix)):
            problems.append(
                f"{name} is of the wrong kind: it has to begin with {prefix!r}; "
                "copy it from Langfuse under Settings, API Keys"
            )
        elif not key.isascii() or any(character.isspace() for character in key):
            problems.append(f"{name} holds spaces or other foreign characters: copy it again")


def _dialect(given: Mapping[str, Any], env: Environment) -> OtlpDialect:
    dialect = str(given.get("dialect") or env.text("TRACING_OTLP_DIALECT") or "plain").lower()
    if dialect not in get_args(OtlpDialect):
        env.problems.append(f"dialect is {dialect!r}: give 'plain' or 'langfuse'")
    return "langfuse" if dialect == "langfuse" else "plain"


def _otlp(given: Mapping[str, Any], env: Environment, dialect: OtlpDialect) -> OtlpSettings:
    compression = str(given.get("compression") or env.text(*both("COMPRESSION")) or "gzip").lower()
    if compression not in ("gzip", "none"):
        env.problems.append(f"compression is {compression!r}: give 'gzip' or 'none'")
    protocol = env.text(*both("PROTOCOL")) or "http/protobuf"
    if protocol != "http/protobuf":
        env.problems.append(
            f"{env.named(*both('PROTOCOL'))} is {protocol!r}: only 'http/protobuf' is spoken; "
            "unset it and give the HTTP endpoint (port 4318 on most collectors)"
        )
    url = _otlp_url(given, env, "traces")
    if not url:
        env.problems.append(
            "OTEL_EXPORTER_OTLP_ENDPOINT is not set: set it, or pass endpoint=, "
            "such as http://127.0.0.1:4318"
        )
    url, password = without_password(url)
    return OtlpSettings(
        traces_url=url,
        headers={**password, **read_headers(given, env, *both("HEADERS"))},
        compression="none" if compression == "none" else "gzip",
        timeout_seconds=timeout_of(given, env, *both("TIMEOUT")),
        certificate=given_file(given, env)
        if given.get("certificate")
        else file_named("CERTIFICATE", env),
        client_certificate=file_named("CLIENT_CERTIFICATE", env),
        client_key=file_named("CLIENT_KEY", env),
        dialect=dialect,
    )


def _otlp_url(given: Mapping[str, Any], env: Environment, signal: str) -> str:
    """The URL for traces or metrics: an argument or base endpoint gets the signal's path.

    An endpoint of the signal's own is taken as it is; "" where there is none.
    """
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    if given.get("endpoint"):
        source, url = "endpoint=", str(given["endpoint"]).strip().rstrip("/")
        url = url.removesuffix("/v1/traces").removesuffix(f"/v1/{signal}") + f"/v1/{signal}"
    elif url := env.text(own):
        source = own
    elif url := env.text("OTEL_EXPORTER_OTLP_ENDPOINT"):
        source, url = "OTEL_EXPORTER_OTLP_ENDPOINT", f"{url.rstrip('/')}/v1/{signal}"
    else:
        return ""
    check_url(url, source, "http://127.0.0.1:4318", env.problems)
    return url


def _metrics(given: Mapping[str, Any], env: Environment) -> MetricsSettings | None:
    """Where metrics go, if they are wanted."""
    if not given.get("metrics", env.flag("TRACING_METRICS", default=False)):
        return None
    url = _otlp_url(given, env, "metrics")
    if _LANGFUSE_OTLP_PATH in url or (not url and not application_has_metrics()):
        env.problems.append(
            "metrics are on and have nowhere to go: set OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, such "
            "as http://127.0.0.1:4318/v1/metrics, or leave metrics off; Langfuse is no place for "
            "them, it answers that all is well and discards them"
        )
    url, password = without_password(url)
    variables = "OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"
    return MetricsSettings(
        url=url,
        headers={**password, **read_headers(given, env, *variables)},
        certificate=given.get("certificate"),
        interval_seconds=env.number("OTEL_METRIC_EXPORT_INTERVAL", 5000.0) / 1000,
    )


def application_has_metrics() -> bool:
    """Whether the application has a MeterProvider, which OpenTelemetry lets nobody replace."""
    return not isinstance(get_meter_provider(), (NoOpMeterProvider, _ProxyMeterProvider))


Mask = Callable[[str], str]
"""What a user's `mask` is: text of an attribute in, text that may leave the process out."""
