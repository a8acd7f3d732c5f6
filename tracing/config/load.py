"""Environment and arguments -> one frozen `Settings`; with `dotenv_files`, the only reader of
`os.environ`.

Precedence, everywhere: an argument of `setup_tracer`, then our own variable (`TRACING_*`),
then the vendor's (`LANGFUSE_*`), then `OTEL_*`, then the default. An empty value is no value.
A variable that the process does not have comes from `.env.local` or `.env`.
"""

from __future__ import annotations

import os
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from opentelemetry.metrics import NoOpMeterProvider, get_meter_provider
from opentelemetry.metrics._internal import _ProxyMeterProvider

from tracing.config.backends import Backend, BackendSettings
from tracing.config.chosen import choose, field_names, told_unused, unclaimed, unused_arguments
from tracing.config.dotenv_files import process_environ
from tracing.config.environment import Environment, as_flag, shown, unquoted
from tracing.config.http.endpoints import Compression, without_password
from tracing.config.http.headers import read_headers
from tracing.config.http.proxies import proxy_problems
from tracing.config.labels import Detail, Prices
from tracing.config.langfuse import OTLP_PATH, Langfuse, Scores
from tracing.config.otlp import Otlp, OtlpDialect, signal_url
from tracing.config.registry import REGISTRY
from tracing.config.settings import (
    ConfigError,
    LogsFrom,
    MetricsSettings,
    Settings,
    backends_of,
)
from tracing.config.tenants import secret_headers, secrets_of, url_secrets
from tracing.safe_text import keep_secret

if TYPE_CHECKING:
    from typing_extensions import Unpack

BackendName = Literal["langfuse", "otlp", "local", "console"]
Wanted = BackendName | BackendSettings
"""A backend by its name, or its settings."""


class BackendArguments(TypedDict, total=False):
    """Fields of `Langfuse`, `Otlp` and `Local` as arguments, for backends that are given by name.

    What each means and where it comes from when it is not given, its field says.
    """

    public_key: str | None
    secret_key: str | None
    base_url: str | None
    scores: Scores | None
    recording: bool | None
    log_events: bool | None
    endpoint: str | None
    headers: Mapping[str, str] | str | None
    compression: Compression | None
    certificate: str | None
    dialect: OtlpDialect | None
    timeout: float | None
    sample_rate: float | None
    trace_name: str | None
    tags: Sequence[str] | None
    environment: str | None
    release: str | None
    version: str | None
    cost: Prices | None
    detail: Detail | None


def load_settings(
    backend: str | BackendSettings | Sequence[str | BackendSettings] | None = None,
    *,
    directory: str | os.PathLike[str] | None = None,
    capture_content: bool | None = None,
    content_safe: Iterable[str] = (),
    logs: Literal["info", "warning", False] | None = None,
    metrics: bool | None = None,
    environ: Mapping[str, str] | None = None,
    problems: Sequence[str] = (),
    **arguments: Unpack[BackendArguments],
) -> Settings:
    """Read arguments and environment; raises one ConfigError that lists every problem.

    None means not given. `problems` are those that were found before. Raises TypeError for an
    argument that there is none of.
    """
    check_names(arguments)
    env = Environment(process_environ() if environ is None else environ)
    env.problems += problems
    env.check_spelling()
    given = {name: value for name, value in arguments.items() if value not in (None, "")}
    chosen = choose(backend, given, env)
    export_metrics = env.flag_or("metrics=", metrics, "TRACING_METRICS", default=False)
    asked = [_with(REGISTRY[one](), given) if isinstance(one, str) else one for one in chosen.kinds]
    backends = _resolved(asked, env)
    settings = Settings(
        backends=backends,
        chosen_by=chosen.by,
        directory=_directory(directory, env),
        capture_content=env.flag_or(
            "capture_content=", capture_content, "TRACING_CAPTURE_CONTENT", default=True
        )
        and env.flag("LIVEKIT_TELEMETRY_ALLOW_PII", default=True),
        content_safe=_checked_names(content_safe, env.problems),
        logs=_logs(logs, env),
        input_delta=env.flag("TRACING_INPUT_DELTA", default=False),
        spool_bytes=int(env.number("TRACING_SPOOL_MIB", Settings.spool_bytes / 2**20) * 2**20),
        max_age_seconds=env.number("TRACING_MAX_AGE_DAYS", Settings.max_age_seconds / 86400)
        * 86400,
        drainer=env.choice("TRACING_DRAINER", Settings.drainer, ("process", "thread")),
        write=env.choice("TRACING_WRITE", Settings.write, ("direct", "thread")),
        stop_seconds=env.number("TRACING_STOP_SECONDS", Settings.stop_seconds, zero=True),
        metrics=_metrics(asked, unclaimed(chosen, given), env) if export_metrics else None,
        disabled=env.flag("OTEL_SDK_DISABLED", default=False),
        proxies=urllib.request.getproxies_environment(),
    )
    unused = unused_arguments(chosen, given, backends, has_metrics=export_metrics)
    if unused and chosen.in_code:
        env.problems.append(told_unused(unused, chosen))
    if not env.problems:
        env.problems += [*_same_names(settings), *_same_places(settings)]
    if not env.problems:
        env.problems += proxy_problems(backends_of(settings))
    if env.problems:
        raise ConfigError(list(dict.fromkeys([*env.problems, *env.misspelt])))
    keep_secret(_secrets_of(settings))
    all_unused = (*(f"{name}=" for name in unused), *env.unused())
    return replace(
        settings, unused=all_unused, remarks=tuple(dict.fromkeys([*env.misspelt, *env.remarks]))
    )


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


def _same_places(settings: Settings) -> Iterator[str]:
    """Two readers of the same tenant: by different ways one can come to name Langfuse twice."""
    names: dict[tuple[str, str], str] = {}
    for one in (one for one in backends_of(settings) if not one.beside):
        place = one.url, one.tenant
        if one.tenant and place in names:
            yield (
                f"{names[place]} and {one.name} are the same place: "
                "leave one out, or each span comes twice"
            )
        names.setdefault(place, one.name)


def _checked_names(given: object, problems: list[str]) -> frozenset[str]:
    """The names of attributes that were given; a text alone would be taken for its letters."""
    is_one = isinstance(given, (str, bytes)) or not isinstance(given, Iterable)
    names = [given] if is_one else [*given]  # type: ignore[misc]
    if not is_one and all(isinstance(name, str) and name for name in names):
        return frozenset(map(str, names))
    problems.append(
        f"content_safe is {given!r}: give the names of attributes, such as ('order.id',)"
    )
    return frozenset()


def _logs(given: object, env: Environment) -> LogsFrom:
    source = "TRACING_LOGS" if given is None else "logs="
    asked = env.text(source) or "warning" if given is None else given
    if as_flag(asked) is False or unquoted(str(asked)).lower() == "off":
        return "off"
    level = unquoted(asked).lower() if isinstance(asked, str) else ""
    if level not in ("info", "warning"):
        accepted = "info, warning or false" if given is None else "'info', 'warning' or False"
        env.problems.append(f"{source} is {shown(asked)}: give {accepted}")
    return "info" if level == "info" else "warning"


def check_names(arguments: Mapping[str, object]) -> None:
    """Raise TypeError for an argument that there is none of."""
    for name in arguments.keys() - BackendArguments.__annotations__.keys():
        raise TypeError(f"setup_tracer() got an unexpected keyword argument {name!r}")


def _directory(given: object, env: Environment) -> Path:
    if given is not None and not isinstance(given, (str, os.PathLike)):
        env.problems.append(f"directory= is {shown(given)}: give a path")
        given = None
    return Path(given or env.text("TRACING_DIR") or ".tracing").absolute()


def _with(settings: Any, given: Mapping[str, Any]) -> BackendSettings:
    """Settings with those of the given arguments that they have a field for."""
    known = field_names(settings)
    return replace(settings, **{name: value for name, value in given.items() if name in known})  # type: ignore[no-any-return]


def _resolved(asked: Sequence[BackendSettings], env: Environment) -> Mapping[str, BackendSettings]:
    """The settings in force, each under a name of its own."""
    kinds = Counter(type(one) for one in asked)
    found: dict[str, BackendSettings] = {}
    for one in asked:
        if _is_off(one, env):
            continue
        # Beside an OTLP endpoint, the OTLP variables are for that alone.
        is_beside = kinds[Otlp] > 0 and not isinstance(one, Otlp)
        own_env = env.without_otlp() if is_beside else env
        settings = one.resolve(own_env, is_only_one=kinds[type(one)] == 1)
        if not _is_off(settings, env):
            found[_free_name(_kind_of(settings), found)] = settings
    return found


def _is_off(settings: BackendSettings, env: Environment) -> bool:
    """LANGFUSE_TRACING_ENABLED is for Langfuse alone, as in its own SDK."""
    return isinstance(settings, Langfuse) and not env.flag("LANGFUSE_TRACING_ENABLED", default=True)


def _kind_of(settings: BackendSettings) -> str:
    if isinstance(settings, Backend):
        return settings.name
    kinds = {kind: name for name, kind in REGISTRY.items()}
    return kinds.get(type(settings), type(settings).__name__.lower())


def _free_name(kind: str, taken: Mapping[str, object]) -> str:
    number, name = 1, kind
    while name in taken:
        number += 1
        name = f"{kind}-{number}"
    return name


def _metrics(
    asked: Sequence[BackendSettings], unclaimed: Mapping[str, Any], env: Environment
) -> MetricsSettings:
    """Where metrics go: to the OTLP endpoint, of several to the variables'."""
    endpoints = [one for one in asked if isinstance(one, Otlp)]
    if len(endpoints) > 1:  # the variables, credentials too, are of the one that names none
        endpoints = [one for one in endpoints if not one.endpoint] or [Otlp()]
    otlp = endpoints[0] if endpoints else _with(Otlp(), unclaimed)
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
