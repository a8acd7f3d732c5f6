"""OpenTelemetry's `ReadableSpan` -> our `Span`: plain values, ready to be written."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from tracing.span import Attributes, Event, Link, Span


class SpanConverter:
    """Converts the spans of one process; remembers the resource, which they all share.

    The voice loop waits for this, so events and links, whose containers copy themselves under
    a lock, are asked for only where there are any.
    """

    def __init__(self, resource: Resource | None = None) -> None:
        self._resource = resource
        self.resource: Attributes = _plain(resource.attributes) if resource is not None else {}

    def convert(self, span: ReadableSpan) -> Span:
        """The span as it is now; `end_time_unix_nano` is 0 while it is open."""
        context, parent, scope = span.context, span.parent, span.instrumentation_scope
        status, kind = span.status, span.kind
        assert context is not None
        return Span(
            context.trace_id.to_bytes(16, "big"),
            context.span_id.to_bytes(8, "big"),
            parent.span_id.to_bytes(8, "big") if parent is not None else b"",
            span.name,
            span.start_time or 0,
            span.end_time or 0,
            span.attributes.copy(),  # type: ignore[union-attr]
            _events(span.events) if len(span._events) else (),
            _links(span.links) if len(span._links) else (),
            0 if status.status_code is StatusCode.UNSET else status.status_code.value,
            status.description or "",
            1 if kind is SpanKind.INTERNAL else kind.value + 1,
            context.trace_state.to_header() if context.trace_state else "",
            span.dropped_attributes,
            span.dropped_events,
            span.dropped_links,
            scope.name if scope is not None else "",
            (scope.version or "") if scope is not None else "",
            self._resource_of(span.resource),
        )

    def _resource_of(self, resource: Resource) -> Attributes:
        if resource is not self._resource:
            if self._resource is not None:
                return _plain(resource.attributes)  # a second provider's: written with each span
            self._resource, self.resource = resource, _plain(resource.attributes)
        return self.resource


def _events(events: Any) -> tuple[Event, ...]:
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
