"""Traces of LiveKit voice agents that a person can trust and read.

The names below are loaded when they are first used, so that the drainer's process, which
lives in this package too, starts without livekit and OpenTelemetry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracing.application import current_call
    from tracing.config.backends import Backend
    from tracing.config.langfuse import Langfuse
    from tracing.config.otlp import Otlp
    from tracing.config.registry import Local
    from tracing.config.settings import ConfigError
    from tracing.handle import Tracing
    from tracing.observing import observe
    from tracing.setup import setup_tracer

__version__ = "0.1.0"
"""The one place of it; what is built takes it from here."""

__all__ = [
    "Backend",
    "ConfigError",
    "Langfuse",
    "Local",
    "Otlp",
    "Tracing",
    "current_call",
    "observe",
    "setup_tracer",
]

_MODULES = {
    "Backend": "tracing.config.backends",
    "ConfigError": "tracing.config.settings",
    "Langfuse": "tracing.config.langfuse",
    "Local": "tracing.config.registry",
    "Otlp": "tracing.config.otlp",
    "Tracing": "tracing.handle",
    "current_call": "tracing.application",
    "observe": "tracing.observing",
    "setup_tracer": "tracing.setup",
}


if not TYPE_CHECKING:  # else every slip of the pen would be a name of type Any

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(_MODULES[name]), name)
        globals()[name] = value
        return value
