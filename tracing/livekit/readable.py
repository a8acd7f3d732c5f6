"""OpenTelemetry's `ReadableSpan` -> our `Span`: plain values, ready to be written."""

from __future__ import annotations

from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, StatusCode, TraceState

from tracing.span import Attributes, Event, Link, Span

_OWN: Attributes = {}
_new = tuple.__new__
_UNSET, _INTERNAL = StatusCode.UNSET, SpanKind.INTERNAL


class SpanConverter:
    """Converts the spans of one process; remembers what they share: resource, scope, state.

    The voice loop waits for this, and each of the SDK's properties is a call. So this reads
    the fields behind them, and asks containers, which copy themselves under a lock, only where
    there is something in them: half the time.
    """

    def __init__(self, resource: Resource | None = None) -> None:
        self._resource = resource
        self.resource: Attributes = _plain(resource.attributes) if resource is not None else {}
        # Each one tuple, because other threads convert spans too.
        self._scope: tuple[InstrumentationScope | None, str, str] = (None, "", "")
        self._state: tuple[TraceState | None, str] = (None, "")

    def convert(self, span: ReadableSpan) -> Span:
        """The span as it is now; `end_time_unix_nano` is 0 while it is open.

        Its resource is empty where it is the process's own, which every segment tells once.
        """
        context, parent = span._context, span._parent
        assert context is not None
        trace_id, span_id, _, _, trace_state, _ = context
        attributes: Any = span._attributes
        events: Any = span._events
        links: Any = span._links
        dropped = 0
        if type(attributes) is BoundedAttributes:
            attributes, dropped = attributes._dict, attributes.dropped
        if not span._end_time:
            attributes = attributes.copy()  # of a span that ended, nobody can change them
        if type(events) is BoundedList and not events._dq:  # type: ignore[attr-defined]
            events = ()
        if type(links) is BoundedList and not links._dq:  # type: ignore[attr-defined]
            links = ()
        status, kind, resource = span._status, span._kind, span._resource
        scope, scope_name, scope_version = self._scope
        if scope is not span._instrumentation_scope:
            scope_name, scope_version = self._see_scope(span._instrumentation_scope)
        state, state_header = self._state
        if state is not trace_state:
            state_header = trace_state.to_header()
            self._state = trace_state, state_header
        fields = (
            trace_id.to_bytes(16, "big"),
            span_id.to_bytes(8, "big"),
            parent[1].to_bytes(8, "big") if parent is not None else b"",
            span._name,
            span._start_time or 0,
            span._end_time or 0,
            attributes or {},
            _events(span.events) if events else (),
            _links(span.links) if links else (),
            0 if status._status_code is _UNSET else status.status_code.value,
            status._description or "",
            1 if kind is _INTERNAL else kind.value + 1,
            state_header,
            dropped,
            getattr(events, "dropped", 0) if events else 0,
            getattr(links, "dropped", 0) if links else 0,
            scope_name,
            scope_version,
            _OWN if resource is self._resource else self._resource_of(resource),
        )
        return _new(Span, fields)  # `Span(...)` counts and names its arguments first

    def _see_scope(self, scope: InstrumentationScope | None) -> tuple[str, str]:
        name, version = (scope.name, scope.version or "") if scope is not None else ("", "")
        self._scope = scope, name, version
        return name, version

    def _resource_of(self, resource: Resource) -> Attributes:
        if self._resource is not None:
            return _plain(resource.attributes)  # a second provider's: written with each span
        self._resource, self.resource = resource, _plain(resource.attributes)
        return _OWN


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
    return attributes.copy() if attributes is not None else {}
