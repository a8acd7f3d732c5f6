"""OpenTelemetry's `ReadableSpan` -> our `Span`: plain values, ready to be written."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, StatusCode

from tracing.span import Attributes, Event, Link, Span

_STATUS = {StatusCode.UNSET: 0, StatusCode.OK: 1, StatusCode.ERROR: 2}


class SpanConverter:
    """Converts the spans of one process; remembers the resource, which they all share."""

    def __init__(self, resource: Resource | None = None) -> None:
        self._resource = resource
        self.resource: Attributes = dict(resource.attributes) if resource is not None else {}

    def convert(self, span: ReadableSpan) -> Span:
        """The span as it is now; `end_time_unix_nano` is 0 while it is open."""
        context = span.context
        parent = span.parent
        scope = span.instrumentation_scope
        status = span.status
        assert isinstance(context, SpanContext)
        return Span(
            context.trace_id.to_bytes(16, "big"),
            context.span_id.to_bytes(8, "big"),
            parent.span_id.to_bytes(8, "big") if parent is not None else b"",
            span.name,
            span.start_time or 0,
            span.end_time or 0,
            _plain(span.attributes),
            _events(span.events),
            _links(span.links) if span.links else (),
            _STATUS[status.status_code],
            status.description or "",
            span.kind.value + 1,
            context.trace_state.to_header() if context.trace_state else "",
            span.dropped_attributes,
            span.dropped_events,
            span.dropped_links,
            scope.name if scope else "",
            (scope.version or "") if scope else "",
            self._resource_of(span.resource),
        )

    def _resource_of(self, resource: Resource) -> Attributes:
        if resource is not self._resource:
            if self._resource is not None:
                return dict(resource.attributes)  # a second provider's: written with each span
            self._resource, self.resource = resource, dict(resource.attributes)
        return self.resource


def _events(events: Any) -> tuple[Event, ...]:
    if not events:
        return ()
    return tuple(Event(e.name, e.timestamp, _plain(e.attributes)) for e in events)


def _links(links: Any) -> tuple[Link, ...]:
    return tuple(
        Link(
            link.context.trace_id.to_bytes(16, "big"),
            link.context.span_id.to_bytes(8, "big"),
            _plain(link.attributes),
        )
        for link in links
    )


def _plain(attributes: Any) -> dict[str, Any]:
    """A dict of its own; the SDK's containers copy far faster than they iterate."""
    return attributes.copy() if attributes else {}
