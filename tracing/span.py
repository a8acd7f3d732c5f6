"""The span as data: what every module between LiveKit and a backend passes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

# One text, because pyright takes no other, and whole, because annotations are resolved elsewhere.
AttributeValue: TypeAlias = "str | bool | int | float | bytes | list[AttributeValue | None] | Mapping[str, AttributeValue | None]"  # noqa: E501
Attributes: TypeAlias = Mapping[str, AttributeValue]

STATUS_UNSET, STATUS_OK, STATUS_ERROR = 0, 1, 2
"""OTLP status codes, the same numbers as `opentelemetry.trace.StatusCode`."""


EARLIEST, _LATEST = 946_684_800 * 10**9, 7_258_118_400 * 10**9


def is_believable(unix_nano: int) -> bool:
    """Whether a time can be one of a call's: between the years 2000 and 2200."""
    return EARLIEST <= unix_nano < _LATEST


def as_number(an_id: bytes) -> int:
    """An id as OpenTelemetry's API has it; 0, which is no id, for an empty one."""
    return int.from_bytes(an_id, "big")


class Event(NamedTuple):
    """Something that happened at one instant of a span."""

    name: str
    time_unix_nano: int
    attributes: Attributes = {}


class Link(NamedTuple):
    """A pointer from a span to a span of this or another trace."""

    trace_id: bytes
    span_id: bytes
    attributes: Attributes = {}


class Span(NamedTuple):
    """One OpenTelemetry span; immutable, so a change is a copy (`span._replace(...)`).

    Times are wall-clock nanoseconds since the Unix epoch. `end_time_unix_nano` is 0 while
    the span is open. `kind` and `status_code` carry OTLP's numbers.
    """

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    """Empty for a root."""
    name: str
    start_time_unix_nano: int
    end_time_unix_nano: int
    attributes: Attributes = {}
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()
    status_code: int = STATUS_UNSET
    status_message: str = ""
    kind: int = 1
    trace_state: str = ""
    dropped_attributes_count: int = 0
    dropped_events_count: int = 0
    dropped_links_count: int = 0
    scope_name: str = ""
    scope_version: str = ""
    resource: Attributes = {}

    @property
    def is_open(self) -> bool:
        """Whether the span has started and not ended."""
        return self.end_time_unix_nano == 0

    @property
    def duration_seconds(self) -> float:
        """End minus start; 0.0 for an open span, and where neither can be believed."""
        if not (
            is_believable(self.start_time_unix_nano) and is_believable(self.end_time_unix_nano)
        ):
            return 0.0
        return (self.end_time_unix_nano - self.start_time_unix_nano) / 1e9
