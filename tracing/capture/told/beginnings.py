"""The outermost open span of a call, whose start is written again where more is known of the call.

What is known of a call is on the root that ends; until then, this is what a killed one leaves.
"""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry.sdk.trace import Span as SdkSpan

from tracing import names, stamps
from tracing.account.call import Call
from tracing.capture.processor import TracingProcessor
from tracing.harmless.filter import without_known_content
from tracing.span import Attributes, Span, as_number

_NOTHING: Attributes = {}


def open_calls(processor: TracingProcessor) -> Iterator[tuple[SdkSpan, Span, Call]]:
    """The calls that go on: the outermost open span of each, and that as it is recorded."""
    for span in processor.open_spans():
        if span.name in names.BEGIN_CALLS and processor.has_start(span):
            record = processor.in_place(span)
            call = processor.call(span.context.trace_id)
            if call is not None and not processor.open_span(as_number(record.parent_span_id)):
                yield span, record, call


def open_root(processor: TracingProcessor, call: Call) -> tuple[SdkSpan, Span] | None:
    """The root of a call while it is open, whoever made it, and that as it is recorded."""
    for span in processor.open_spans():
        if processor.call(span.context.trace_id) is call:
            record = processor.in_place(span)
            if not processor.roots.for_call(record, span).parent_span_id:
                return span, record
    return None


def begin_again(
    processor: TracingProcessor,
    span: SdkSpan,
    record: Span,
    call: Call,
    once: Attributes = _NOTHING,
) -> None:
    """Write the start of a call's outermost span again, with all that may be told of the call.

    That is whose it is, what the application says of it and, once it is shown as one that goes
    on, what had been said. `once` is in no further segment.
    """
    own = call.identity.own
    record = processor.redaction.apply(record, withhold=call.is_withheld)
    told = {
        **(own.bare if call.is_withheld else own.attributes),
        **without_known_content(record.attributes),
        **processor.said_of(call),
    }
    if call.shown and not call.is_withheld:
        told[stamps.CONVERSATION] = call.shown
    processor.begin_again(span, record, told, once)
