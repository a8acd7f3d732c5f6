"""Everything that was decided before the first span, as one frozen value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tracing.config.backends import Backend, BackendSettings
from tracing.config.http.proxies import proxy_for
from tracing.config.labels import TraceLabels
from tracing.config.langfuse import DIALECT, Langfuse
from tracing.config.registry import Local
from tracing.limits import MAX_AGE_SECONDS, SPOOL_BYTES
from tracing.places import data_directory
from tracing.safe_text import safe

LogsFrom = Literal["info", "warning", "off"]

Mask = Callable[[str], str]
"""What a user's `mask` is: text of an attribute in, text that may leave the process out."""


class ConfigError(ValueError):
    """Settings that cannot work: every problem with its mend, and never a secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(map(safe, problems))
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        super().__init__(f"tracing cannot be set up, {count}:{lines}")


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
    """The backends in force and everything that is not a backend's own."""

    backends: Mapping[str, BackendSettings]
    """By name: that of their kind, and a number from the second of a kind on."""
    chosen_by: str
    """Why these backends: the argument or variable that said so."""
    directory: Path
    """TRACING_DIR, absolute."""
    capture_content: bool = True
    content_safe: frozenset[str] = frozenset()
    """Attributes and events whose texts stay where content is withheld."""
    logs: LogsFrom = "warning"
    """From which level on what is logged while a call runs is recorded."""
    input_delta: bool = False
    spool_bytes: int = SPOOL_BYTES
    max_age_seconds: float = MAX_AGE_SECONDS
    drainer: Literal["process", "thread"] = "process"
    write: Literal["direct", "thread"] = "direct"
    stop_seconds: float = 5.0
    metrics: MetricsSettings | None = None
    """None where none are exported."""
    disabled: bool = False
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    unused: Sequence[str] = field(default=(), compare=False)
    """What is given, as argument or variable, that none of the chosen backends uses."""
    remarks: Sequence[str] = field(default=(), compare=False)
    """What works, and would be better otherwise: with the mend."""

    @property
    def off_because(self) -> str:
        """What turned everything off; "" where something is recorded."""
        if self.disabled:
            return "OTEL_SDK_DISABLED is set"
        return "" if self.backends else "LANGFUSE_TRACING_ENABLED is false"

    @property
    def has_store(self) -> bool:
        """Whether the local store is one of the backends."""
        return any(isinstance(backend, Local) for backend in self.backends.values())

    @property
    def uploads_recordings(self) -> bool:
        """Whether some backend gets the audio of sessions as well."""
        return any(destination.carries == "recordings" for destination in backends_of(self))

    @property
    def wants_recordings(self) -> bool:
        """Whether some backend takes the audio of sessions: uploads it, or keeps it."""
        kept = any(isinstance(one, Local) and one.recording for one in self.backends.values())
        return self.capture_content and (self.uploads_recordings or kept)

    @property
    def speaks_langfuse(self) -> bool:
        """Whether some backend gets its spans in Langfuse's dialect."""
        return any(destination.dialect == DIALECT for destination in backends_of(self))

    @property
    def log_events(self) -> bool:
        """Whether warnings and errors that are logged are events of their spans, too."""
        kinds = self.backends.values()
        return any(isinstance(one, Langfuse) and one.log_events for one in kinds)

    @property
    def environment(self) -> str | None:
        """The environment that the traces are labelled with."""
        labels = (one for one in self.backends.values() if isinstance(one, TraceLabels))
        return next((label.environment for label in labels if label.environment), None)

    @property
    def data_directory(self) -> Path:
        """Where store, reports and recordings are; see `tracing.places`."""
        return data_directory(self.directory)

    def proxy_for(self, url: str) -> str | None:
        """The proxy for a URL, by the usual HTTPS_PROXY and NO_PROXY rules."""
        return proxy_for(url, self.proxies)


def backends_of(settings: Settings) -> list[Backend]:
    """Every destination that the settings name, and what goes beside it."""
    return [
        destination
        for name, backend in settings.backends.items()
        for destination in backend.backends(settings, name)
    ]
