"""Small spans for tests, with LiveKit's scope."""

from __future__ import annotations

from typing import Any

from tracing.span import Event, Span

START = 1_795_000_000_000_000_000
SECOND = 1_000_000_000


def livekit_span(name: str, attributes: dict[str, Any] | None = None, **fields: Any) -> Span:
    """A span of two seconds, below another one unless told otherwise."""
    given = {
        "trace_id": b"t" * 16,
        "span_id": b"s" * 8,
        "parent_span_id": b"p" * 8,
        "start_time_unix_nano": START,
        "end_time_unix_nano": START + 2 * SECOND,
        "scope_name": "livekit-agents",
    }
    return Span(name=name, attributes=attributes or {}, **{**given, **fields})


def event(event_name: str, **attributes: Any) -> Event:
    return Event(event_name, START, attributes)
