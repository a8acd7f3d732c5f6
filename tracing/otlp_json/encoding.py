"""Spans -> OTLP JSON; takes whatever a span may hold, so that none can stop the others."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from tracing.limits import MAX_DEPTH
from tracing.otlp_json.text import whole
from tracing.span import Attributes, Event, Link, Span


def encode(spans: Sequence[Span]) -> dict[str, Any]:
    """One `TracesData` object; neighbours of one resource and scope share its group."""
    groups = []
    for resource, of_resource in groupby(spans, key=lambda span: span.resource):
        scopes = [
            {"scope": _scope(*scope), "spans": [_span(span) for span in of_scope]}
            for scope, of_scope in groupby(
                of_resource, key=lambda span: (span.scope_name, span.scope_version)
            )
        ]
        groups.append({"resource": {"attributes": _attributes(resource)}, "scopeSpans": scopes})
    return {"resourceSpans": groups}


def dumps(spans: Sequence[Span]) -> str:
    """One line of OTLP JSON, without its line end."""
    return json.dumps(encode(spans), ensure_ascii=False, separators=(",", ":"))


def _scope(name: str, version: str) -> dict[str, str]:
    scope = {"name": whole(name), "version": whole(version)}
    return {key: value for key, value in scope.items() if value}


def _span(span: Span) -> dict[str, Any]:
    encoded = {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "parentSpanId": span.parent_span_id.hex(),
        "traceState": whole(span.trace_state),
        "name": whole(span.name),
        "kind": span.kind,
        "startTimeUnixNano": str(span.start_time_unix_nano),
        "endTimeUnixNano": str(span.end_time_unix_nano),
        "attributes": _attributes(span.attributes),
        "droppedAttributesCount": span.dropped_attributes_count,
        "events": [_event(event) for event in span.events],
        "droppedEventsCount": span.dropped_events_count,
        "links": [_link(link) for link in span.links],
        "droppedLinksCount": span.dropped_links_count,
        "status": _status(span),
    }
    required = ("name", "kind")
    return {key: value for key, value in encoded.items() if value or key in required}


def _status(span: Span) -> dict[str, Any]:
    code = {"code": span.status_code}
    return {**code, "message": whole(span.status_message)} if span.status_message else code


def _event(event: Event) -> dict[str, Any]:
    return {
        "timeUnixNano": str(event.time_unix_nano),
        "name": whole(event.name),
        "attributes": _attributes(event.attributes),
    }


def _link(link: Link) -> dict[str, Any]:
    return {
        "traceId": link.trace_id.hex(),
        "spanId": link.span_id.hex(),
        "attributes": _attributes(link.attributes),
    }


def _attributes(attributes: Attributes) -> list[dict[str, Any]]:
    return [{"key": whole(str(key)), "value": _value(item)} for key, item in attributes.items()]


def _value(value: object, depth: int = 0) -> dict[str, Any]:
    """An `AnyValue`; one call per level, so that the stack holds what is nested."""
    if isinstance(value, (list, tuple, Mapping)):
        if depth == MAX_DEPTH:
            return {"stringValue": _json_text(value)}
        items: list[Any] = []
        if isinstance(value, Mapping):
            for key, item in value.items():
                items.append({"key": whole(str(key)), "value": _value(item, depth + 1)})
            return {"kvlistValue": {"values": items}}
        for item in value:
            items.append(_value(item, depth + 1))
        return {"arrayValue": {"values": items}}
    return _scalar(value)


def _scalar(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        # A larger integer has no place in OTLP; its digits as text lose nothing.
        fits = -(2**63) <= value < 2**63
        return {"intValue" if fits else "stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else _non_finite(value)}
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode("ascii")}
    return {"stringValue": whole(str(value))}


def _json_text(value: object) -> str:
    try:
        return whole(json.dumps(value, ensure_ascii=False, default=str))
    except (RecursionError, TypeError, ValueError):
        return "[nested too deeply]"


def _non_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
