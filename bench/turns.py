"""Calls of any length for the readers: a recorded call, its turns repeated under new ids."""

from __future__ import annotations

import functools
from pathlib import Path

from tracing import names, stamps
from tracing.account.restamp import restamp
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
    """The spans of a call of at least so many turns, the `number`th of a day, as it stamps them."""
    trace_id, moved = number.to_bytes(16, "big"), number * _BETWEEN_CALLS_NANOS
    return [_moved(span, trace_id, moved) for span in _first_call(turns)]


@functools.cache
def _first_call(turns: int) -> list[Span]:
    recorded = _recorded()
    kept = [span for span in recorded if span.name in _ONCE]
    repeated = [span for span in recorded if span.name not in _ONCE]
    per_pass = max(sum(span.name == names.AGENT_TURN for span in repeated), 1)
    first, last = recorded[0].start_time_unix_nano, max(s.end_time_unix_nano for s in recorded)
    passes = -(-turns // per_pass)
    whole = (passes - 1) * (last - first)
    found = [span._replace(end_time_unix_nano=span.end_time_unix_nano + whole) for span in kept]
    ids = {span.span_id for span in repeated}
    for again in range(passes):
        for span in repeated:
            found.append(
                _moved(span, span.trace_id, again * (last - first))._replace(
                    span_id=_other(span.span_id, again, ids),
                    parent_span_id=_other(span.parent_span_id, again, ids),
                )
            )
    return restamp(found)


def _moved(span: Span, trace_id: bytes, nanos: int) -> Span:
    attributes = span.attributes
    moments = {
        key: value + nanos / 1e9
        for key in _MOMENTS
        if isinstance(value := attributes.get(key), float)
    }
    return span._replace(
        trace_id=trace_id,
        start_time_unix_nano=span.start_time_unix_nano + nanos,
        end_time_unix_nano=span.end_time_unix_nano + nanos,
        attributes={**attributes, **moments} if moments else attributes,
    )


_ONCE = frozenset({names.JOB_ENTRYPOINT, names.AGENT_SESSION})


def _other(span_id: bytes, again: int, ids: set[bytes]) -> bytes:
    """Another id for each pass; what is there once keeps its own."""
    return again.to_bytes(3, "big") + span_id[3:] if span_id in ids and again else span_id
