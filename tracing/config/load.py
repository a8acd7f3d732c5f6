"""Environment and arguments -> one frozen `Settings`; the only reader of `os.environ`
(but for TRACING_DIR on the command line).

Precedence, everywhere: an argument of `setup_tracer`, then our own variable (`TRACING_*`),
then the vendor's (`LANGFUSE_*`), then `OTEL_*`, then the default. An empty value is no value.
"""

from __future__ import annotations

import os
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from opentelemetry.metrics import NoOpMeterProvider, get_meter_provider
from opentelemetry.metrics._internal import _ProxyMeterProvider

from tracing.config.backends import Backend, BackendSettings
from tracing.config.endpoints import read_headers, without_password
from tracing.config.environment import Environment
from tracing.config.labels import Prices
from tracing.config.langfuse import OTLP_PATH, Scores
from tracing.config.otlp import Compression, Otlp, OtlpDialect, signal_url
from tracing.config.registry import REGISTRY
from tracing.config.settings import ConfigError, MetricsSettings, Settings, backends_of
from tracing.config.tenants import secret_headers, secrets_of, url_secrets
from tracing.safe_text import keep_secret

if TYPE_CHECKING:
    from typing_extensions import Unpack

BackendName = Literal["langfuse", "otlp", "local", "console"]
Wanted = BackendName | BackendSettings
"""A backend by its name, or its settings."""


class BackendArguments(TypedDict, total=False):
    """Fields of `Langfuse` and `Otlp` as arguments, for backends that are given by name.

    What each means and where it comes from when it is not given, its field says.
    """

    public_key: str | None
    secret_key: str | None
    base_url: str | None
    scores: Scores | None
    recording: bool | None
    endpoint: str | None
    headers: Mapping[str, str] | str | None
    compression: Compression | None
    certificate: str | None
    dialect: OtlpDialect | None
    timeout: float | None
    trace_name: str | None
    tags: Sequence[str] | None
    environment: str | None
    release: str | None
    version: str | None
    cost: Prices | None


def load_settings(
    backend: str | BackendSettings | Sequence[str | BackendSettings] | None = None,
    *,
    directory: str | os.PathLike[str] | None = None,
    capture_content: bool | None = None,
    metrics: bool | None = None,
    environ: Mapping[str, str] | None = None,
    **arguments: Unpack[BackendArguments],
) -> Settings:
    """Read arguments and environment; raises one ConfigError that lists every problem.

    None means not given. Raises TypeError for an argument that there is none of.
    """
    env = Environment(os.environ if environ is None else environ)
    given = {name: value for name, value in arguments.items() if value is not None}
    check_names(arguments)
    asked, chosen_by = _asked(backend, given, env)
    settings = Settings(
        backends=_resolved(asked, env),
        chosen_by=chosen_by,
        directory=Path(directory or env.text("TRACING_DIR") or ".tracing").absolute(),
        capture_content=env.flag_or(capture_content, "TRACING_CAPTURE_CONTENT", default=True),
        input_delta=env.flag("TRACING_INPUT_DELTA", default=False),
        spool_bytes=int(env.number("TRACING_SPOOL_MIB", Settings.spool_bytes / 2**20) * 2**20),
        max_age_seconds=env.number("TRACING_MAX_AGE_DAYS", Settings.max_age_seconds / 86400)
        * 86400,
        drainer=env.choice("TRACING_DRAINER", Settings.drainer, ("process", "thread")),
        stop_seconds=env.number("TRACING_STOP_SECONDS", Settings.stop_seconds, zero=True),
        metrics=_metrics(metrics, asked, given, env),
        disabled=env.flag("OTEL_SDK_DISABLED", default=False),
        proxies=urllib.request.getproxies_environment(),
    )
    if not env.problems:
        env.problems += _same_names(settings)
    if env.problems:
        raise ConfigError(list(dict.fromkeys(env.problems)))
    keep_secret(_secrets_of(settings))
    return settings


def _secrets_of(settings: Settings) -> Iterator[str]:
    """What the settings hold that must not leave in words."""
    for destination in backends_of(settings):
        yield from secrets_of(destination)
    if settings.metrics is not None:
        yield from secret_headers(settings.metrics.headers)
        yield from url_secrets(settings.metrics.url)
    for proxy in settings.proxies.values():
        yield from url_secrets(proxy)


def _same_names(settings: Settings) -> list[str]:
    """Each destination's acknowledgements are in a file of its name."""
    counted = Counter(destination.name for destination in backends_of(settings))
    twice = [name for name, count in counted.items() if count > 1]
    return [f"two backends are called {name!r}: give one another name" for name in twice]


def check_names(arguments: Mapping[str, object]) -> None:
    """Raise TypeError for an argument that there is none of."""
    for name in arguments.keys() - BackendArguments.__annotations__.keys():
        raise TypeError(f"setup_tracer() got an unexpected keyword argument {name!r}")


def _asked(
    backend: object, given: Mapping[str, Any], env: Environment
) -> tuple[list[BackendSettings], str]:
    """What was asked for of each backend, and who chose them."""
    chosen, chosen_by = _chosen(backend, given, env)
    words = [one.strip().lower() if isinstance(one, str) else one for one in chosen]
    wanted = [
        one for n, one in enumerate(words) if not isinstance(one, str) or one not in words[:n]
    ]
    unknown = [one for one in wanted if not _is_backend(one)]
    if unknown or not wanted:
        # Of what is no text only the type is shown: it may hold a secret.
        shown = [repr(one) if isinstance(one, str) else type(one).__name__ for one in unknown]
        what = ", ".join(shown) or "an empty list"
        accepted = ", ".join(map(repr, REGISTRY))
        env.problems.append(f"backend is {what}: give one of {accepted}, or a list of them")
    found = [one for one in wanted if one not in unknown]
    unused = _unused(found, given)
    if unused:
        env.problems.append(
            f"{', '.join(f'{name}=' for name in unused)} goes with a backend that is given by "
            "name: put it into the settings of the backend"
        )
    asked = [_with(REGISTRY[one](), given) if isinstance(one, str) else one for one in found]
    return asked, chosen_by


def _unused(found: Sequence[Any], given: Mapping[str, Any]) -> list[str]:
    """Beside settings, the arguments that no backend given by name has a field for."""
    if all(isinstance(one, str) for one in found):
        return []
    named = (REGISTRY[one]() for one in found if isinstance(one, str))
    known = {field.name for settings in named for field in fields(settings)}  # type: ignore[arg-type]
    return [name for name in given if name not in known]


def _chosen(
    backend: object, given: Mapping[str, Any], env: Environment
) -> tuple[Sequence[Any], str]:
    """The backends as they were named, and what named them."""
    if backend is not None:
        is_list = isinstance(backend, Iterable) and not isinstance(backend, str)
        return list(backend) if is_list else [backend], "backend="  # type: ignore[call-overload]
    if env.text("TRACING_BACKEND"):
        return env.text("TRACING_BACKEND").split(","), "TRACING_BACKEND"
    if {"public_key", "secret_key"} & given.keys():
        return ["langfuse"], "public_key="
    if env.text("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"):
        return ["langfuse"], "LANGFUSE_PUBLIC_KEY"
    if "endpoint" in given:
        return ["otlp"], "endpoint="
    if env.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        return ["otlp"], "OTEL_EXPORTER_OTLP_ENDPOINT"
    return ["local"], "no Langfuse keys and no OTLP endpoint are set"


def _is_backend(wanted: object) -> bool:
    if isinstance(wanted, str):
        return wanted in REGISTRY
    is_settings = hasattr(wanted, "resolve") and hasattr(wanted, "backends")
    return is_settings and not isinstance(wanted, type)


def _with(settings: Any, given: Mapping[str, Any]) -> BackendSettings:
    """Settings with those of the given arguments that they have a field for."""
    known = {field.name for field in fields(settings)}
    return replace(settings, **{name: value for name, value in given.items() if name in known})  # type: ignore[no-any-return]


def _resolved(asked: Sequence[BackendSettings], env: Environment) -> Mapping[str, BackendSettings]:
    """The settings in force, each under a name of its own."""
    kinds = Counter(type(one) for one in asked)
    found: dict[str, BackendSettings] = {}
    for one in asked:
        settings = one.resolve(env, is_only_one=kinds[type(one)] == 1)
        found[_free_name(_kind_of(one), found)] = settings
    return found


def _kind_of(asked: BackendSettings) -> str:
    if isinstance(asked, Backend):
        return asked.name
    kinds = {kind: name for name, kind in REGISTRY.items()}
    return kinds.get(type(asked), type(asked).__name__.lower())


def _free_name(kind: str, taken: Mapping[str, object]) -> str:
    number, name = 1, kind
    while name in taken:
        number += 1
        name = f"{kind}-{number}"
    return name


def _metrics(
    wanted: bool | None,
    asked: Sequence[BackendSettings],
    given: Mapping[str, Any],
    env: Environment,
) -> MetricsSettings | None:
    """Where metrics go, if they are wanted: to the OTLP endpoint, of several to the variables'."""
    if not env.flag_or(wanted, "TRACING_METRICS", default=False):
        return None
    endpoints = [one for one in asked if isinstance(one, Otlp)]
    if len(endpoints) > 1:  # the variables, credentials too, are of the one that names none
        endpoints = [one for one in endpoints if not one.endpoint] or [Otlp()]
    otlp = endpoints[0] if endpoints else _with(Otlp(), given)
    assert isinstance(otlp, Otlp)
    url = signal_url(otlp.endpoint, env, "metrics")
    if OTLP_PATH in url or (not url and not application_has_metrics()):
        env.problems.append(
            "metrics are on and have nowhere to go: set OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, such "
            "as http://127.0.0.1:4318/v1/metrics, or leave metrics off; Langfuse is no place for "
            "them, it answers that all is well and discards them"
        )
    url, password = without_password(url)
    variables = "OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"
    default_millis = MetricsSettings.interval_seconds * 1000
    return MetricsSettings(
        url=url,
        headers={**password, **read_headers(otlp.headers, env, *variables)},
        certificate=otlp.certificate,
        interval_seconds=env.number("OTEL_METRIC_EXPORT_INTERVAL", default_millis) / 1000,
    )


def application_has_metrics() -> bool:
    """Whether the application has a MeterProvider, which OpenTelemetry lets nobody replace."""
    return not isinstance(get_meter_provider(), (NoOpMeterProvider, _ProxyMeterProvider))
