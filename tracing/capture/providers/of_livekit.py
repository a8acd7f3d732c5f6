"""The TracerProvider that LiveKit records with, also where it is given another one later."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from livekit.agents.telemetry import tracer as livekit_tracer
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from tracing.capture.processor import TracingProcessor
from tracing.capture.withholding import is_filtered
from tracing.safe_text import get_logger
from tracing.spool import losses
from tracing.spool.losses import Ledger

logger = get_logger("tracing.setup")  # what people know it as

_MARK = "_tracing_follow"


def has_processor(provider: TracerProvider, processor: SpanProcessor) -> bool:
    """Whether a provider's spans go to a processor."""
    return processor in getattr(provider._active_span_processor, "_span_processors", ())


def other_provider(processor: SpanProcessor) -> str:
    """The kind of provider that LiveKit has in place of one with this processor; "" for none."""
    provider = livekit_tracer._tracer_provider
    is_ours = isinstance(provider, TracerProvider) and has_processor(provider, processor)
    return "" if is_ours else type(provider).__name__


def follow_provider(join: Callable[[Any], None] | None) -> None:
    """Call `join` with every provider that LiveKit is given from now on; None for no more.

    LiveKit has no event for this: whoever calls its `set_tracer_provider`, as its documents do
    in the entrypoint, reaches `set_provider` of its one tracer, which is extended here, once.
    """
    set_provider: Any = livekit_tracer.set_provider
    joins = getattr(set_provider, _MARK, None)
    if joins is None:
        joins = []
        livekit_tracer.set_provider = _extended(set_provider, joins)  # type: ignore[method-assign]
    joins[:] = [join] if join is not None else []


def _extended(set_provider: Callable[[Any], None], joins: list[Callable[[Any], None]]) -> Any:
    @functools.wraps(set_provider)
    def set_provider_and_join(tracer_provider: Any) -> None:
        for join in joins:
            join(tracer_provider)
        set_provider(tracer_provider)

    setattr(set_provider_and_join, _MARK, joins)
    return set_provider_and_join


class Joining:
    """Has the spans of a provider that LiveKit is given after set-up recorded as well."""

    def __init__(
        self,
        processor: TracingProcessor,
        ledger: Ledger,
        part_from: Callable[[TracerProvider], None] = lambda provider: None,
    ) -> None:
        """Join with a processor; `part_from` keeps calls out of what the provider has else."""
        self._processor = processor
        self._part_from = part_from
        self._ledger = ledger

    def __call__(self, provider: Any) -> None:
        """Join a provider of the SDK; say of any other that nothing can be recorded."""
        if not isinstance(provider, TracerProvider):
            self._ledger.count(losses.NOT_JOINED, detail=type(provider).__name__)
            logger.warning(
                "LiveKit was given a %s after setup_tracer, which records nothing: no call is "
                "traced from here on. Leave set_tracer_provider out, or give it an SDK provider.",
                type(provider).__name__,
            )
        elif not has_processor(provider, self._processor):
            if is_filtered(provider):
                self._processor.withhold_content()
            provider.add_span_processor(self._processor)
            self._part_from(provider)
            logger.info("LiveKit was given another TracerProvider: its spans are recorded, too")
