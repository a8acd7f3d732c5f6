"""OTLP JSON <-> spans, as the collector's file exporter and most tools write them.

A file holds one `TracesData` object, or one per line. Writing follows the OTLP/JSON rules:
camelCase keys, hex ids, 64-bit integers as strings, enum values as numbers. Reading is
tolerant: snake_case keys, integers as numbers, base64 ids and enum names (what protobuf's own
JSON printer writes) are understood and unknown keys ignored; but what is no OTLP JSON raises
one `OtlpJsonError` that names the file and the line.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from tracing.span import Attributes, AttributeValue, Event, Link, Span

_STATUS_CODES = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_SPAN_KINDS = {
    f"SPAN_KIND_{name}": number
    for number, name in enumerate(
        ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
    )
}
_OTHER_SIGNALS = ("resourceLogs", "resourceMetrics", "resourceProfiles")


class OtlpJsonError(ValueError):
    """What was to be read is not OTLP JSON."""


def read_spans(path: Path) -> Iterator[Span]:
    """The spans of a file that holds one `TracesData` object, or one per line."""
    try:
        for line, data in _objects(path):
            try:
                yield from decode(data)
            except OtlpJsonError as error:
                raise OtlpJsonError(f"{path}, line {line}: {error}") from None
    except OSError as error:
        raise OtlpJsonError(f"{path}: {error.strerror or error}") from error


def decode(data: object) -> list[Span]:
    """The spans of one `TracesData` object (or export request)."""
    if not isinstance(data, Mapping):
        raise OtlpJsonError(f"expected an object with resourceSpans, got {_type_name(data)}")
    groups = _get(data, "resourceSpans")
    if groups is None and data and not any(_get(data, key) for key in _OTHER_SIGNALS):
        raise OtlpJsonError(f"no resourceSpans here, only {', '.join(map(repr, data))}")
    try:
        return [span for group in groups or () for span in _spans_of_resource(group)]
    except OtlpJsonError:
        raise
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise OtlpJsonError(f"not shaped like OTLP JSON: {error}") from error


def encode(spans: Sequence[Span]) -> dict[str, Any]:
    """One `TracesData` object; neighbours of one resource and scope share its group."""
    groups = []
    for resource, of_resource in groupby(spans, key=lambda span: span.resource):
        scopes = [
            {"scope": _scope(*scope), "spans": [_encode_span(span) for span in of_scope]}
            for scope, of_scope in groupby(
                of_resource, key=lambda span: (span.scope_name, span.scope_version)
            )
        ]
        groups.append(
            {"resource": {"attributes": _encode_attributes(resource)}, "scopeSpans": scopes}
        )
    return {"resourceSpans": groups}


def dumps(spans: Sequence[Span]) -> str:
    """One line of OTLP JSON, without its line end."""
    return json.dumps(encode(spans), ensure_ascii=False, separators=(",", ":"))


def _text(value: str) -> str:
    """Text that any UTF-8 writer takes: half a surrogate pair becomes a question mark."""
    if value.isascii():
        return value
    return value.encode("utf-8", "replace").decode("utf-8")


# Reading


def _get(holder: Mapping[str, Any], key: str) -> Any:
    """The value of a camelCase key, or of its snake_case spelling."""
    found = holder.get(key)
    return holder.get(_snake(key)) if found is None else found


@lru_cache(maxsize=64)
def _snake(key: str) -> str:
    return re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", key)


def _objects(path: Path) -> Iterator[tuple[int, object]]:
    """The JSON values of a file with the line each begins in."""
    with path.open("rb") as file:
        is_first = True
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                data = json.loads(line)
            except (ValueError, RecursionError) as error:
                if not is_first:
                    raise _not_json(path, number, error) from error
                yield number, _load_whole(path, number, line + file.read())
                return
            yield number, data
            is_first = False


def _load_whole(path: Path, first_line: int, content: bytes) -> object:
    """One JSON value that spans lines."""
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise _not_json(path, first_line + error.lineno - 1, error) from error
    except (ValueError, RecursionError) as error:
        raise _not_json(path, first_line, error) from error


def _not_json(path: Path, line: int, error: Exception) -> OtlpJsonError:
    reason = "not text" if isinstance(error, UnicodeDecodeError) else str(error)
    if isinstance(error, json.JSONDecodeError):
        reason = f"{error.msg} at column {error.colno}"
    return OtlpJsonError(f"{path}, line {line}: not JSON: {reason}")


def _spans_of_resource(group: Mapping[str, Any]) -> Iterator[Span]:
    resource = _decode_attributes(_get(_get(group, "resource") or {}, "attributes"))
    for of_scope in _get(group, "scopeSpans") or ():
        scope = _get(of_scope, "scope") or {}
        for span in _get(of_scope, "spans") or ():
            yield _decode_span(
                span,
                scope_name=_text(_get(scope, "name") or ""),
                scope_version=_text(_get(scope, "version") or ""),
                resource=resource,
            )


def _decode_span(span: Mapping[str, Any], **origin: Any) -> Span:
    status = _get(span, "status") or {}
    return Span(
        trace_id=_decode_id(span, "traceId", 16),
        span_id=_decode_id(span, "spanId", 8),
        parent_span_id=_decode_id(span, "parentSpanId", 8, required=False),
        name=_text(_get(span, "name") or ""),
        start_time_unix_nano=_integer(span, "startTimeUnixNano"),
        end_time_unix_nano=_integer(span, "endTimeUnixNano"),
        attributes=_decode_attributes(_get(span, "attributes")),
        events=tuple(_decode_event(event) for event in _get(span, "events") or ()),
        links=tuple(_decode_link(link) for link in _get(span, "links") or ()),
        status_code=_enum(_get(status, "code"), _STATUS_CODES, default=0),
        status_message=_text(_get(status, "message") or ""),
        kind=_enum(_get(span, "kind"), _SPAN_KINDS, default=1),
        trace_state=_text(_get(span, "traceState") or ""),
        dropped_attributes_count=_integer(span, "droppedAttributesCount"),
        dropped_events_count=_integer(span, "droppedEventsCount"),
        dropped_links_count=_integer(span, "droppedLinksCount"),
        **origin,
    )


def _decode_event(event: Mapping[str, Any]) -> Event:
    return Event(
        _text(_get(event, "name") or ""),
        _integer(event, "timeUnixNano"),
        _decode_attributes(_get(event, "attributes")),
    )


def _decode_link(link: Mapping[str, Any]) -> Link:
    return Link(
        _decode_id(link, "traceId", 16),
        _decode_id(link, "spanId", 8),
        _decode_attributes(_get(link, "attributes")),
    )


def _decode_attributes(pairs: Iterable[Mapping[str, Any]] | None) -> Attributes:
    """The attributes that have a value; one without a value is as good as absent."""
    decoded = ((_text(pair["key"]), _decode_value(_get(pair, "value"))) for pair in pairs or ())
    return {key: value for key, value in decoded if value is not None}


def _decode_value(value: Mapping[str, Any] | None) -> AttributeValue | None:
    for kind, found in (value or {}).items():
        convert = _VALUES.get(kind)
        if convert is not None and found is not None:
            return convert(found)
    return None


def _decode_array(array: Mapping[str, Any]) -> AttributeValue:
    decoded = map(_decode_value, _get(array, "values") or ())
    return ["" if item is None else item for item in decoded]


def _decode_map(pairs: Mapping[str, Any]) -> str:
    attributes = _decode_attributes(_get(pairs, "values"))
    return json.dumps(attributes, ensure_ascii=False, default=repr)


def _decode_bytes(value: str) -> bytes:
    # Python ignores surplus padding, so this reads padded and unpadded values alike.
    return base64.b64decode(value.translate(_FROM_URL_SAFE) + "==")


_FROM_URL_SAFE = str.maketrans("-_", "+/")
_VALUES_BY_CAMEL_KEY: dict[str, Callable[[Any], AttributeValue]] = {
    "stringValue": _text,
    "boolValue": lambda value: value is True or value == "true",
    "intValue": int,
    "doubleValue": float,
    "arrayValue": _decode_array,
    "kvlistValue": _decode_map,
    "bytesValue": _decode_bytes,
}
_VALUES = {
    **_VALUES_BY_CAMEL_KEY,
    **{_snake(key): convert for key, convert in _VALUES_BY_CAMEL_KEY.items()},
}
"""How each kind of AnyValue becomes an attribute; a map becomes JSON text, as spans have none."""


def _decode_id(holder: Mapping[str, Any], key: str, length: int, required: bool = True) -> bytes:
    """An id from hex, or from the base64 that protobuf's own JSON printer writes."""
    text = _get(holder, key) or ""
    try:
        found = bytes.fromhex(text) if len(text) == 2 * length else _decode_bytes(text)
    except (TypeError, ValueError):
        found = b""
    if len(found) == length and any(found):
        return found
    if required or (text and len(found) != length):
        raise OtlpJsonError(f"{key} {text!r} is not {2 * length} hex digits")
    return b""


def _integer(holder: Mapping[str, Any], key: str) -> int:
    value = _get(holder, key)
    try:
        return int(value or 0)
    except (TypeError, ValueError, OverflowError):
        raise OtlpJsonError(f"{key} {value!r} is not an integer") from None


def _enum(value: object, numbers: Mapping[str, int], *, default: int) -> int:
    if isinstance(value, int):
        return value
    return numbers.get(str(value), default)


def _type_name(data: object) -> str:
    names = {list: "a list", str: "a string", type(None): "null", bool: "a boolean"}
    return names.get(type(data), "a number")


# Writing


def _scope(name: str, version: str) -> dict[str, str]:
    scope = {"name": _text(name), "version": _text(version)}
    return {key: value for key, value in scope.items() if value}


def _encode_span(span: Span) -> dict[str, Any]:
    encoded = {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "parentSpanId": span.parent_span_id.hex(),
        "traceState": _text(span.trace_state),
        "name": _text(span.name),
        "kind": span.kind,
        "startTimeUnixNano": str(span.start_time_unix_nano),
        "endTimeUnixNano": str(span.end_time_unix_nano),
        "attributes": _encode_attributes(span.attributes),
        "droppedAttributesCount": span.dropped_attributes_count,
        "events": [_encode_event(event) for event in span.events],
        "droppedEventsCount": span.dropped_events_count,
        "links": [_encode_link(link) for link in span.links],
        "droppedLinksCount": span.dropped_links_count,
        "status": _encode_status(span),
    }
    required = ("name", "kind")
    return {key: value for key, value in encoded.items() if value or key in required}


def _encode_status(span: Span) -> dict[str, Any]:
    code = {"code": span.status_code}
    return {**code, "message": _text(span.status_message)} if span.status_message else code


def _encode_event(event: Event) -> dict[str, Any]:
    return {
        "timeUnixNano": str(event.time_unix_nano),
        "name": _text(event.name),
        "attributes": _encode_attributes(event.attributes),
    }


def _encode_link(link: Link) -> dict[str, Any]:
    return {
        "traceId": link.trace_id.hex(),
        "spanId": link.span_id.hex(),
        "attributes": _encode_attributes(link.attributes),
    }


def _encode_attributes(attributes: Attributes) -> list[dict[str, Any]]:
    return [{"key": _text(key), "value": _encode_value(value)} for key, value in attributes.items()]


def _encode_value(value: AttributeValue) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": _text(value)}
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
    return {"arrayValue": {"values": [_encode_value(item) for item in value]}}


def _non_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
