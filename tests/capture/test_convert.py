"""OpenTelemetry's spans become data, with all they have, at the moment they are asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from tracing.capture.convert import SpanConverter
from tracing.span import Event, Span
from tracing.span import Link as OurLink


class Ended(SpanProcessor):
    """Keeps the snapshots of spans that ended."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


@pytest.fixture
def ended() -> Ended:
    """What has ended."""
    return Ended()


@pytest.fixture
def provider(ended: Ended) -> Iterator[TracerProvider]:
    """A provider with small limits, so that something is dropped."""
    limits = SpanLimits(max_attributes=10, max_events=3, max_links=1)
    provider = TracerProvider(resource=Resource({"service.name": "test"}), span_limits=limits)
    provider.add_span_processor(ended)
    yield provider
    provider.shutdown()


def test_every_field_is_taken_over(provider: TracerProvider, ended: Ended) -> None:
    """Ids, times, values of all types, events, links, status, counts of what was dropped."""
    state = TraceState([("vendor", "x")])
    context = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
    parent = set_span_in_context(NonRecordingSpan(context))
    links = [Link(SpanContext(1, 2, is_remote=False), {"k": "v"})] * 2
    span = provider.get_tracer("livekit-agents", "1.8.9").start_span(
        "llm_request", parent, SpanKind.CLIENT, {"text": "ä", "list": ["a", "b"]}, links, 1000
    )
    span.set_attributes({"yes": True, "number": 5, "float": 0.5, "bytes": b"\xff"})
    for number in range(4):
        span.add_event(f"event {number}", {"number": number}, timestamp=2000 + number)
    span.set_status(Status(StatusCode.ERROR, "it failed"))
    span.end(3000)
    converter = SpanConverter(provider.resource)
    converted = converter.convert(ended.spans[0])
    assert converted == Span(
        trace_id=(7).to_bytes(16, "big"),
        span_id=span.get_span_context().span_id.to_bytes(8, "big"),
        parent_span_id=(8).to_bytes(8, "big"),
        name="llm_request",
        start_time_unix_nano=1000,
        end_time_unix_nano=3000,
        attributes={
            "text": "ä",
            "list": ("a", "b"),
            "yes": True,
            "number": 5,
            "float": 0.5,
            "bytes": b"\xff",
        },
        events=tuple(Event(f"event {n}", 2000 + n, {"number": n}) for n in (1, 2, 3)),
        links=(OurLink((1).to_bytes(16, "big"), (2).to_bytes(8, "big"), {"k": "v"}),),
        status_code=2,
        status_message="it failed",
        kind=3,
        trace_state="vendor=x",
        dropped_attributes_count=0,
        dropped_events_count=1,
        dropped_links_count=1,
        scope_name="livekit-agents",
        scope_version="1.8.9",
        resource=converted.resource,
    )
    assert converted.resource == {}
    assert converter.resource["service.name"] == "test"


def test_open_span_is_taken_as_it_is_now(provider: TracerProvider) -> None:
    """It has no end yet, and what is set later does not change what was taken."""
    span = provider.get_tracer("x").start_span("user_turn", attributes={"a": 1}, start_time=5)
    assert isinstance(span, ReadableSpan)
    converted = SpanConverter().convert(span)
    span.set_attribute("b", 2)
    assert (converted.is_open, converted.attributes, converted.parent_span_id) == (
        True,
        {"a": 1},
        b"",
    )
    assert (converted.events, converted.links, converted.status_code, converted.kind) == (
        (),
        (),
        0,
        1,
    )


@pytest.mark.parametrize(
    ("status", "code"), [(StatusCode.UNSET, 0), (StatusCode.OK, 1), (StatusCode.ERROR, 2)]
)
@pytest.mark.parametrize("kind", SpanKind)
def test_numbers_are_those_of_the_protocol(
    provider: TracerProvider, ended: Ended, status: StatusCode, code: int, kind: SpanKind
) -> None:
    """OTLP counts kinds from 1, where 0 is unspecified."""
    span = provider.get_tracer("x").start_span("a", kind=kind)
    span.set_status(status)
    span.end()
    converted = SpanConverter().convert(ended.spans[0])
    expected = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
    assert (converted.status_code, converted.kind) == (code, expected[kind.name])


def test_resource_of_a_second_provider_goes_with_its_spans(
    provider: TracerProvider, ended: Ended
) -> None:
    """The first resource is everybody's; another one is not mixed up with it."""
    second = TracerProvider(resource=Resource({"service.name": "second"}))
    second.add_span_processor(ended)
    for tracer in (provider.get_tracer("x"), second.get_tracer("x")):
        tracer.start_span("a").end()
    converter = SpanConverter()
    one, two = map(converter.convert, ended.spans)
    assert (one.resource, two.resource["service.name"]) == ({}, "second")
    assert converter.resource["service.name"] == "test"
    second.shutdown()
