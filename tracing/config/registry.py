"""Every backend that has a name, one entry each; those with nothing to set are defined here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tracing.config.backends import (
    CONSOLE,
    LOG_LINES,
    SQLITE,
    SQLITE_LOGS,
    STORE_NAME,
    Backend,
    BackendSettings,
    CommonSettings,
)
from tracing.config.environment import Environment
from tracing.config.langfuse import Langfuse
from tracing.config.otlp import Otlp


@dataclass(frozen=True)
class Local:
    """The embedded store."""

    recording: bool | None = None
    """Whether a session's audio is kept with its call, unless content is withheld; else
    TRACING_RECORDING, False."""

    def resolve(self, env: Environment, *, is_only_one: bool) -> Local:
        """The settings in force; problems go to `env`."""
        return Local(env.flag_or("recording=", self.recording, "TRACING_RECORDING", default=False))

    def backends(self, settings: CommonSettings, name: str) -> list[Backend]:
        """One SQLite file, which takes spans that are still open, too, and log lines."""
        path = str(settings.data_directory / STORE_NAME)
        spans = Backend(name, SQLITE, url=path, open_spans="all")
        lines = Backend(f"{name}-logs", SQLITE_LOGS, url=path, carries=LOG_LINES, beside=name)
        return [spans] if settings.logs == "off" else [spans, lines]


@dataclass(frozen=True)
class Console:
    """A line per span in the terminal; nothing to set."""

    def resolve(self, env: Environment, *, is_only_one: bool) -> Console:
        """Itself."""
        return self

    def backends(self, settings: CommonSettings, name: str) -> list[Backend]:
        """The drainer's standard output, which is the agent's."""
        return [Backend(name, CONSOLE)]


REGISTRY: Mapping[str, Callable[[], BackendSettings]] = {
    "langfuse": Langfuse,
    "otlp": Otlp,
    "local": Local,
    "console": Console,
}
"""By the name that `backend=` and TRACING_BACKEND take: the settings, a frozen dataclass that
says how it is read, where its spans go, by which sender, in which dialect, and how it is mended.
A new one is an entry here, a row in the README and a case in the tests."""
