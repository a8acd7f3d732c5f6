"""Everything the doctor looks at, at once and within one deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tracing.config.backends import CONSOLE, OTLP_HTTP, SQLITE, Backend
from tracing.config.dotenv_files import process_environ
from tracing.config.environment import Environment
from tracing.config.http.endpoints import both
from tracing.config.langfuse import Langfuse
from tracing.config.settings import ConfigError, MetricsSettings, Settings
from tracing.doctor.findings import Finding, note, ok, unknown
from tracing.doctor.kept import look_at_directory, look_at_store
from tracing.doctor.otlp import METRICS, look_at_otlp
from tracing.doctor.reach import Place
from tracing.doctor.settings import (
    look_at_choice,
    look_at_files,
    look_at_given,
    look_at_problems,
    secrets_given,
)
from tracing.doctor.spool import look_at_spools
from tracing.doctor.switches import look_at_switches
from tracing.doctor.time_left import TimeLeft, all_at_once
from tracing.doctor.versions import look_at_versions
from tracing.safe_text import keep_secret

WITHIN_SECONDS = 15.0
"""For all of it, where nobody says otherwise: with the start of the process less than 20."""


class Subject(NamedTuple):
    """One thing to look at."""

    name: str
    look: Callable[[TimeLeft], Iterable[Finding]]


def examine(
    read: Callable[[], Settings],
    directory: Path,
    arguments: Mapping[str, Any] | None = None,
    within_seconds: float = WITHIN_SECONDS,
) -> list[Finding]:
    """What stands between an agent and its trace, by the deadline whatever hangs or fails.

    `read` gives the settings, or raises ConfigError; `arguments` are those that code gave, None
    where they are not known.
    """
    keep_secret(secrets_given(arguments or {}))
    found: list[Finding] = []
    settings = None
    try:
        settings = read()
    except ConfigError as error:
        found += look_at_problems(error)
    return found + look_at_all(_subjects(settings, directory, arguments), within_seconds)


def look_at_all(subjects: Sequence[Subject], within_seconds: float) -> list[Finding]:
    """What each subject finds, in their order; of one that does not end, what it had found."""
    time_left = TimeLeft(within_seconds)
    kept: list[list[Finding]] = [[] for _ in subjects]
    calls = [partial(_gather, *one, time_left) for one in zip(subjects, kept, strict=True)]
    ended = all_at_once("doctor", calls, within_seconds)
    for subject, findings, end in zip(subjects, kept, ended, strict=True):
        if end is None:
            text = f"no end came within {within_seconds:g} s, findings so far: {len(findings)}"
            findings.append(unknown(subject.name, text, "look again, or at its server's log"))
        elif isinstance(end, BaseException):
            findings.append(unknown(subject.name, str(end) or repr(end)))
    return [finding for findings in kept for finding in findings]


def _gather(subject: Subject, findings: list[Finding], time_left: TimeLeft) -> bool:
    for finding in subject.look(time_left):
        findings.append(finding)
    return True


def _subjects(
    settings: Settings | None, directory: Path, arguments: Mapping[str, Any] | None
) -> list[Subject]:
    def plain(look: Callable[..., Iterable[Finding]], *given: Any) -> Callable[..., Any]:
        return lambda time_left: look(*given)

    sees_code = arguments is not None
    choice = look_at_choice(settings, sees_code=sees_code) if settings is not None else ()
    return [
        Subject("settings", lambda _: choice),
        Subject("settings", plain(look_at_given, settings, arguments or {})),
        Subject("files", plain(look_at_files)),
        Subject("versions", plain(look_at_versions)),
        Subject("switches", plain(look_at_switches)),
        *(_backends(settings) if settings is not None and not settings.off_because else ()),
        Subject("directory", plain(look_at_directory, directory)),
        Subject("spool", plain(look_at_spools, directory)),
        Subject("store", plain(look_at_store, directory)),
    ]


def _backends(settings: Settings) -> Iterator[Subject]:
    for name, asked in settings.backends.items():
        for backend in asked.backends(settings, name):
            if not backend.beside:
                yield Subject(name, partial(_look_at_backend, asked, backend))
    metrics = settings.metrics
    if metrics is not None and metrics.url:
        proxy = settings.proxy_for(metrics.url)
        yield Subject("metrics", lambda _: _look_at_metrics(metrics, proxy))


def _look_at_metrics(metrics: MetricsSettings, proxy: str | None) -> Iterator[Finding]:
    backend = Backend(
        "metrics",
        OTLP_HTTP,
        url=metrics.url,
        headers=metrics.headers,
        certificate=metrics.certificate,
        proxy=proxy,
    )
    return look_at_otlp(Place(backend, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"), METRICS)


def _look_at_backend(asked: Any, backend: Backend, time_left: TimeLeft) -> Iterator[Finding]:
    if isinstance(asked, Langfuse):
        # Imported where it is needed: it brings Langfuse's own package.
        from tracing.doctor.langfuse import look_at_langfuse

        yield from look_at_langfuse(asked, Place(backend, "LANGFUSE_BASE_URL"), time_left)
    elif backend.sender == OTLP_HTTP:
        yield from look_at_otlp(Place(backend, _endpoint_variable()))
    elif backend.sender in (SQLITE, CONSOLE):
        yield ok(backend.name, "on this machine, so that nothing stands between")
    else:
        text = "it is a backend of your own, which only its deliveries tell of: see the spool"
        yield note(backend.name, text)


def _endpoint_variable() -> str:
    """The one of the two that counts: that for traces alone, where it is set."""
    of_traces, of_all = both("ENDPOINT")
    return of_traces if Environment(process_environ()).peek(of_traces) else of_all
