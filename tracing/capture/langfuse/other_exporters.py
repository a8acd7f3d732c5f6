"""Other exporters on our provider that lead where our spans go: they get what we do not send.

Langfuse's own SDK adds one to the provider that it finds. The spans of a call would go out a
second time under the same ids, without mask and session, and the later one is what is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as SdkSpan

from tracing import names
from tracing.capture.processor import TracingProcessor
from tracing.config.backends import Backend
from tracing.config.langfuse import DIALECT
from tracing.safe_text import get_logger

logger = get_logger(__name__)


class OutsideCalls(SpanProcessor):
    """Another's processor, for the spans that are in no call; what is in one is ours to send.

    With `sends_all` we send those in no call as well.
    """

    def __init__(
        self,
        processor: SpanProcessor,
        is_in_call: Callable[[ReadableSpan], bool],
        *,
        sends_all: bool = False,
    ) -> None:
        self.processor = processor
        self._is_in_call = is_in_call
        self._sends_all = sends_all

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        """Pass it on, to be marked, unless it is in a call: there, nobody else makes it a root."""
        if not self._is_in_call(span):
            self.processor.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Pass it on, unless we send it."""
        if not (self._sends_all or self._is_in_call(span)):
            self.processor.on_end(span)

    def shutdown(self) -> None:
        """As the other's."""
        self.processor.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """As the other's."""
        return self.processor.force_flush(timeout_millis)


class OtherExporters:
    """Keeps calls out of the processors that lead to a project of Langfuse's that is ours too."""

    def __init__(self, processor: TracingProcessor, backends: Sequence[Backend]) -> None:
        self._processor = processor
        spoken = [backend for backend in backends if backend.dialect == DIALECT]
        self._places = {(b.url, authorization_in(b.headers)) for b in spoken} - {("", "")}
        self._in_full = {
            (b.url, authorization_in(b.headers))
            for b in spoken
            if b.dialect_options.get("detail") == "full"
        }

    def part_from(self, provider: TracerProvider) -> None:
        """Part those that a provider has, and those that it is given from now on."""
        if not self._places:
            return
        installed: Any = provider._active_span_processor
        if hasattr(installed, "_span_processors"):  # else another SDK version
            with installed._lock:
                installed._span_processors = tuple(map(self._parted, installed._span_processors))
        add: Callable[[SpanProcessor], None] = provider.add_span_processor

        def add_parted(span_processor: SpanProcessor) -> None:
            add(self._parted(span_processor))

        # There is no event for it: the SDK's `Langfuse()` calls this whenever it is first used.
        provider.add_span_processor = add_parted  # type: ignore[method-assign]

    def _parted(self, processor: SpanProcessor) -> SpanProcessor:
        is_known = isinstance(processor, OutsideCalls)
        url, authorization = place_of(processor)
        if (url, authorization) not in self._places:
            return processor
        sends_all = (url, authorization) in self._in_full
        if not is_known:
            logger.warning(
                "%s sends this process's spans to %s, as tracing does: those of calls, and what is "
                "in them, go there once, as they are masked here; those of no call %s",
                type(processor).__name__,
                url,
                "do too, for detail is full" if sends_all else "it keeps",
            )
        return OutsideCalls(processor, self._is_in_call, sends_all=sends_all)

    def _is_in_call(self, span: ReadableSpan) -> bool:
        """Whether it is LiveKit's, or in a trace in which LiveKit has begun something."""
        scope, context = span.instrumentation_scope, span.get_span_context()
        if scope is not None and scope.name == names.SCOPE:
            return True
        call = self._processor.call(context.trace_id) if context is not None else None
        return call is not None and call.is_call


def place_of(processor: Any) -> tuple[str, str]:
    """Where a processor's exporter sends to: URL and authorization; "" where it does not tell."""
    while isinstance(processor, OutsideCalls):
        processor = processor.processor
    exporter = getattr(processor, "span_exporter", None)
    while exporter is not None and not hasattr(exporter, "_endpoint"):
        exporter = getattr(exporter, "_exporter", None)  # one around another
    client = getattr(exporter, "_client", exporter)
    headers = dict(getattr(client, "_headers", None) or {})
    return str(getattr(exporter, "_endpoint", "")), authorization_in(headers)


def authorization_in(headers: Mapping[str, Any]) -> str:
    """What a request says of who asks, whatever the case of its name; "" for nothing."""
    return next((str(told) for key, told in headers.items() if key.lower() == "authorization"), "")
