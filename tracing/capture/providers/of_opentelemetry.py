"""The provider that OpenTelemetry gives to whoever asks: ours where none is, and it is said."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from tracing.limits import OncePerMinute
from tracing.safe_text import get_logger

logger = get_logger("tracing.setup")  # what people know it as

_MARK = "_tracing_follow"


def become_global(provider: TracerProvider) -> None:
    """Be OpenTelemetry's provider too, so that the application's own spans are in its calls.

    Where it has another one, or is given one later, the log says what that means.
    """
    present = trace.get_tracer_provider()
    if isinstance(present, trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)
        follow_global(_Kept(provider))
    elif not isinstance(present, TracerProvider):
        logger.warning(
            "OpenTelemetry has a %s, which is none of the SDK's: calls are recorded, and spans "
            "of your own in them are not. Leave it out, or call setup_tracer before it.",
            type(present).__name__,
        )


def follow_global(kept: Callable[[Any], bool] | None) -> None:
    """Ask `kept` of every provider that OpenTelemetry is given from now on; None for no more.

    It keeps the first one and says no more than that. There is no event for it, so what all ways
    to set one lead to is extended here, once; where `kept` is true, it has been said.
    """
    set_global: Any = getattr(trace, "_set_tracer_provider", None)
    asked = getattr(set_global, _MARK, None)
    if asked is None:
        if set_global is None:
            return  # another version of the API, which says less
        asked = []
        trace._set_tracer_provider = _asking(set_global, asked)
    asked[:] = [kept] if kept is not None else []


def _asking(set_global: Callable[[Any, bool], None], asked: list[Callable[[Any], bool]]) -> Any:
    @functools.wraps(set_global)
    def set_global_and_say(tracer_provider: Any, log: bool) -> None:
        is_said = any(kept(tracer_provider) for kept in asked)
        set_global(tracer_provider, log and not is_said)

    setattr(set_global_and_say, _MARK, asked)
    return set_global_and_say


class _Kept:
    """Says once a minute that OpenTelemetry keeps our provider, and what to do with another."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._pace = OncePerMinute()

    def __call__(self, other: Any) -> bool:
        """Whether that is so, and has been said."""
        is_kept = trace.get_tracer_provider() is self._provider
        if is_kept and other is not self._provider and self._pace.is_due():
            logger.warning(
                "OpenTelemetry was given a %s after setup_tracer, and keeps the one it has: calls "
                "are recorded, and what is recorded with the other goes only where that leads. "
                "Add its exporter to setup_tracer(...).provider, or set it up before.",
                type(other).__name__,
            )
        return is_kept
