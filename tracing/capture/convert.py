"""OpenTelemetry's `ReadableSpan` -> our `Span`: plain values, ready to be written."""

from __future__ import annotations

from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import SpanKind

from tracing.span import Attributes, Event, Link, Span

_OWN: Attributes = {}
_new = tuple.__new__
_NOTHING_TO_TELL = ((), (), 0, "")


class SpanConverter:
    """Converts the spans of one process; remembers what nearly all of them end with.

    The voice loop waits for this, and each of the SDK's properties is a call. So this reads
    the fields behind them, and asks containers, which copy themselves under a lock, only where
    there is something in them: a third of the time.
    """

    def __init__(self, resource: Resource | None = None) -> None:
        self._resource = resource
        self.resource: Attributes = _plain(resource.attributes) if resource is not None else {}
        # One tuple, because other threads convert spans too.
        self._plain: tuple[tuple[object, ...], tuple[Any, ...]] = ((), ())

    def convert(self, span: ReadableSpan) -> Span:
        """The span as it is now; `end_time_unix_nano` is 0 while it is open.

        Its resource is empty where it is the process's own, which every segment tells once.
        """
        context: Any = span._context
        parent, end = span._parent, span._end_time
        attributes: Any = span._attributes
        events: Any = span._events
        links: Any = span._links
        dropped = 0
        if type(attributes) is BoundedAttributes:
            attributes, dropped = attributes._dict, attributes.dropped
        if not end:
            attributes = attributes.copy()  # of a span that ended, nobody can change them
        begin = (
            context[0].to_bytes(16, "big"),
            context[1].to_bytes(8, "big"),
            parent[1].to_bytes(8, "big") if parent is not None else b"",
            span._name,
            span._start_time or 0,
            end or 0,
            attributes or {},
        )
        told, rest = self._plain
        tells = (
            span._instrumentation_scope,
            span._resource,
            context[4],
            span._kind,
            span._status._status_code,
            dropped,
        )
        if (
            told != tells
            or not (type(events) is BoundedList and not events._dq)  # type: ignore[attr-defined]
            or not (type(links) is BoundedList and not links._dq)  # type: ignore[attr-defined]
        ):
            rest = self._rest(span, tells)
        return _new(Span, begin + rest)  # `Span(...)` counts and names its arguments first

    def _rest(self, span: ReadableSpan, tells: tuple[Any, ...]) -> tuple[Any, ...]:
        """The fields of a `Span` from its events on; kept where they may be those of others."""
        scope, resource, state, kind, _, dropped = tells
        status = span._status
        rest = (
            _events(span.events),
            _links(span.links),
            status.status_code.value,
            status.description or "",
            kind.value + 1,
            state.to_header(),
            dropped,
            getattr(span._events, "dropped", 0),
            getattr(span._links, "dropped", 0),
            scope.name if scope is not None else "",
            (scope.version or "") if scope is not None else "",
            _OWN if resource is self._resource else self._resource_of(resource),
        )
        if rest[:4] == _NOTHING_TO_TELL and kind is SpanKind.INTERNAL and not any(rest[6:9]):
            self._plain = tells, rest
        return rest

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
