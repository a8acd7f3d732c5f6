"""What one observation in Langfuse shows, and how a failure is marked on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tracing import names, stamps
from tracing.span import STATUS_ERROR, AttributeValue, Span


class Observation(NamedTuple):
    """What to show of a span."""

    name: str
    type: str = "span"
    level: str = "DEFAULT"
    status_message: str = ""
    input: str = ""
    output: str = ""
    metadata: Mapping[str, AttributeValue | None] = {}
    model: str = ""
    """Of a call to a language model, and of speech of which is known what it used."""
    units: Mapping[str, float] = {}
    """What was used, in buckets that add up."""
    priced_as: str = ""
    """The model in the user's own table of prices."""
    first_output_unix_nano: int = 0


def other(span: Span) -> Observation:
    """A span that a newer LiveKit brought, or that somebody made with LiveKit's tracer."""
    return failing(span, Observation(span.name))


def plumbing(span: Span) -> Observation:
    """A span that only holds others, or that few need to see."""
    return failing(span, Observation(span.name, level="DEBUG"))


def failing(span: Span, shown: Observation) -> Observation:
    """Mark a failure where it happened, and as a warning where somebody else took over."""
    stamped = span.attributes.get(stamps.TURN_ERROR)
    if not stamped and span.status_code != STATUS_ERROR:
        return shown
    if span.attributes.get(stamps.IS_FALLBACK) is True:
        return shown._replace(level="WARNING", status_message=message_of(span))
    if shown.level == "DEBUG" and span.attributes.get(stamps.ERROR_IS_BELOW) is True:
        return shown
    return shown._replace(level="ERROR", status_message=text(stamped) or message_of(span))


def message_of(span: Span) -> str:
    """What a span says of its failure; "" where it says nothing."""
    attributes = span.attributes
    return span.status_message or text(
        attributes.get(names.EXCEPTION_MESSAGE) or attributes.get(names.EXCEPTION_TYPE)
    )


def json_object(given: AttributeValue | None) -> Mapping[str, Any]:
    """A JSON object; an empty one for whatever is none."""
    try:
        found = json.loads(given) if isinstance(given, str) else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def span_id(value: object) -> bytes | None:
    """A span's id from its hex digits; None for whatever is none."""
    try:
        found = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        return None
    return found if len(found) == 8 else None


def text(value: object) -> str:
    """A value as text; "" for none."""
    return value if isinstance(value, str) else "" if value is None else str(value)


def to_the_millionth(value: Any) -> Any:
    """A double as it is shown and scored: its further digits are nobody's measurement."""
    return round(value, 6) if isinstance(value, float) else value
