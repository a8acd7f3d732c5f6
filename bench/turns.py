"""Calls of any length for the readers: a recorded call, its turns repeated under new ids."""

from __future__ import annotations

import functools
from pathlib import Path

from tracing import names, stamps
from tracing.otlp_json import read_spans
from tracing.span import Span

_RECORDED = Path(__file__).parents[1] / "tests" / "recordings" / "1.8.9" / "tools.json"
_MOMENTS = (
    stamps.TURN_USER_STARTED,
    stamps.TURN_USER_STOPPED,
    stamps.TURN_AGENT_STARTED,
    stamps.TURN_AGENT_STOPPED,
)
_BETWEEN_CALLS_NANOS = 60 * 10**9


@functools.cache
def _recorded() -> list[Span]:
    return sorted(read_spans(_RECORDED), key=lambda span: span.start_time_unix_nano)


def call_of(turns: int, number: int) -> list[Span]:
    """The spans of a call of at least so many turns, the `number`th of a day."""
    recorded = _recorded()
    kept = [span for span in recorded if span.name in _ONCE]
    repeated = [span for span in recorded if span.name not in _ONCE]
    per_pass = max(sum(span.name == names.AGENT_TURN for span in repeated), 1)
    first, last = recorded[0].start_time_unix_nano, max(s.end_time_unix_nano for s in recorded)
    passes = -(-turns // per_pass)
    moved = number * _BETWEEN_CALLS_NANOS
    trace_id = number.to_bytes(16, "big")
    found = [
        span._replace(
            trace_id=trace_id,
            start_time_unix_nano=span.start_time_unix_nano + moved,
            end_time_unix_nano=span.end_time_unix_nano + moved + (passes - 1) * (last - first),
        )
        for span in kept
    ]
    ids = {span.span_id for span in repeated}
    for again in range(passes):
        later = moved + again * (last - first)
        for span in repeated:
            found.append(
                span._replace(
                    trace_id=trace_id,
                    span_id=_other(span.span_id, again, ids),
                    parent_span_id=_other(span.parent_span_id, again, ids),
                    start_time_unix_nano=span.start_time_unix_nano + later,
                    end_time_unix_nano=span.end_time_unix_nano + later,
                    attributes=_attributes(span, again * per_pass, later / 1e9),
                )
            )
    return found


_ONCE = frozenset({names.JOB_ENTRYPOINT, names.AGENT_SESSION})


def _other(span_id: bytes, again: int, ids: set[bytes]) -> bytes:
    """Another id for each pass; what is there once keeps its own."""
    return again.to_bytes(3, "big") + span_id[3:] if span_id in ids and again else span_id


def _attributes(span: Span, turns_before: int, seconds: float) -> dict[str, object]:
    found = dict(span.attributes)
    if span.name == names.AGENT_TURN and isinstance(found.get(stamps.TURN_NUMBER), int):
        found[stamps.TURN_NUMBER] = int(str(found[stamps.TURN_NUMBER])) + turns_before
    for key in _MOMENTS:
        value = found.get(key)
        if isinstance(value, float):
            found[key] = value + seconds
    return found
