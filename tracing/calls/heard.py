"""What was measured of a turn's sound after its call, as if the turn had known: no span of its own.

A reader of a call finds on each `agent_turn` what was heard of it, wherever that came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tracing import stamps
from tracing.span import Attributes, Span


def is_heard(span: Span) -> bool:
    """Whether a span tells what was heard of the turn above it."""
    return span.scope_name == stamps.HEARD_SCOPE and span.name == stamps.HEARD


def with_heard(spans: Sequence[Span], heard: Iterable[Span]) -> list[Span]:
    """The spans of a call, of which turns take over what was heard of them."""
    told: dict[bytes, Attributes] = {
        span.parent_span_id: {
            key: value for key, value in span.attributes.items() if key.startswith(stamps.TURN)
        }
        for span in heard
    }
    return [
        span._replace(attributes={**span.attributes, **told[span.span_id]})
        if span.span_id in told
        else span
        for span in spans
    ]
