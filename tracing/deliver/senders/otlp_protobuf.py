"""Spans and log lines -> the bytes of an OTLP `Export(Trace|Logs)ServiceRequest`.

Written by hand because the drainer then imports nothing for it, and takes no longer than with
the generated classes (`python -m bench encode`). What a message cannot hold is replaced, where
those raise. Field numbers are those of opentelemetry-proto 1.x.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeVar

from tracing.log_line import LogLine
from tracing.span import Attributes, Event, Link, Span

_DOUBLE = struct.Struct("<d")
_FIXED64 = struct.Struct("<Q")
_SAMPLED = b"\x85\x01" + struct.pack("<I", 1)
"""The flags of a span."""
_SAMPLED_LINE = b"\x45" + struct.pack("<I", 1)
"""The flags of a log record."""
_MOST_SEVERE = 24

_Carried = TypeVar("_Carried", Span, LogLine)

_UNSIGNED = 2**64 - 1
_SHORT_TEXT = 64
_COMES_AGAIN = frozenset({str, bool, int})
"""The types of values that many spans have in common, where they are short."""


def encode_request(spans: Sequence[Span]) -> bytes:
    """One `ExportTraceServiceRequest`; spans of one resource and scope stand together."""
    return _request(spans, lambda span: (span.scope_name, span.scope_version), _span)


def encode_logs(lines: Sequence[LogLine]) -> bytes:
    """One `ExportLogsServiceRequest`; the scope of a line is its logger."""
    return _request(lines, lambda line: (line.logger, ""), _line)


def _request(
    carried: Sequence[_Carried],
    scope: Callable[[_Carried], tuple[str, str]],
    encode: Callable[[_Carried], bytes],
) -> bytes:
    """A request of either signal: resources, in them scopes, in them what is carried."""
    groups: dict[int, list[_Carried]] = {}
    for one in carried:
        groups.setdefault(id(one.resource), []).append(one)
    return b"".join(
        part for group in groups.values() for part in _of_resource(group, scope, encode)
    )


def _of_resource(
    carried: list[_Carried],
    scope: Callable[[_Carried], tuple[str, str]],
    encode: Callable[[_Carried], bytes],
) -> list[bytes]:
    """The parts of a `Resource(Spans|Logs)`; whoever wants them whole joins them once."""
    parts = [_field(1, _attributes(1, carried[0].resource))]
    for (name, version), scoped in groupby(sorted(carried, key=scope), key=scope):
        inner = [_field(1, _string(1, name) + _string(2, version))]
        for one in scoped:
            encoded = encode(one)
            inner += (_head(2, len(encoded)), encoded)
        parts += _nested(2, inner)
    return _nested(1, parts)


def _nested(number: int, parts: list[bytes]) -> list[bytes]:
    return [_head(number, sum(map(len, parts))), *parts]


def _span(span: Span) -> bytes:
    parts = [b"\x0a\x10", span.trace_id, b"\x12\x08", span.span_id]
    if span.trace_state:
        parts.append(_string(3, span.trace_state))
    if span.parent_span_id:
        parts += (b"\x22\x08", span.parent_span_id)
    parts += (
        _string(5, span.name),
        b"\x30",
        _varint(span.kind & _UNSIGNED),
        b"\x39",
        _nanoseconds(span.start_time_unix_nano),
        b"\x41",
        _nanoseconds(span.end_time_unix_nano),
    )
    _put_attributes(parts, 9, span.attributes)
    parts.append(_count(10, span.dropped_attributes_count))
    parts += [_field(11, _event(event)) for event in span.events]
    parts.append(_count(12, span.dropped_events_count))
    parts += [_field(13, _link(link)) for link in span.links]
    parts.append(_count(14, span.dropped_links_count))
    if span.status_code or span.status_message:
        parts.append(_field(15, _string(2, span.status_message) + _count(3, span.status_code)))
    parts.append(_SAMPLED)
    return b"".join(parts)


def _line(line: LogLine) -> bytes:
    """A `LogRecord`."""
    parts = [
        b"\x09",
        _nanoseconds(line.time_unix_nano),
        _count(2, severity_number(line.level)),
        _string(3, line.level_name),
        _field(5, _value(line.message)),
    ]
    _put_attributes(parts, 6, _attributes_of(line))
    parts += (_SAMPLED_LINE, b"\x4a\x10", line.trace_id, b"\x52\x08", line.span_id)
    parts += (b"\x59", _nanoseconds(line.time_unix_nano))  # observed, where it was logged
    return b"".join(parts)


def severity_number(level: int) -> int:
    """OpenTelemetry's number for a level of `logging`: 9 for INFO, 13 for WARNING, 24 at most."""
    tens, more = divmod(max(level, 0), 10)
    return min(1 + 4 * tens + min(more, 3), _MOST_SEVERE)


def _attributes_of(line: LogLine) -> Attributes:
    """What OpenTelemetry has names for, where the line has it."""
    found: dict[str, str | int] = {
        "exception.type": line.exception_type,
        "exception.message": line.exception_message,
        "exception.stacktrace": line.exception_stacktrace,
        "code.file.path": line.code_file,
        "code.line.number": line.code_line,
        "code.function.name": line.code_function,
    }
    return {key: value for key, value in found.items() if value}


def _event(event: Event) -> bytes:
    return (
        b"\x09"
        + _nanoseconds(event.time_unix_nano)
        + _string(2, event.name)
        + _attributes(3, event.attributes)
    )


def _link(link: Link) -> bytes:
    return (
        b"\x0a\x10" + link.trace_id + b"\x12\x08" + link.span_id + _attributes(4, link.attributes)
    )


def _attributes(number: int, attributes: Attributes) -> bytes:
    """Repeated `KeyValue`s."""
    parts: list[bytes] = []
    _put_attributes(parts, number, attributes)
    return b"".join(parts)


def _put_attributes(parts: list[bytes], number: int, attributes: Attributes) -> None:
    """Append repeated `KeyValue`s: texts are not copied, what is short and comes again is kept."""
    for key, value in attributes.items():
        kind = type(value)
        if kind is str and len(value) > _SHORT_TEXT:  # type: ignore[arg-type]
            text = value.encode("utf-8", "replace")  # type: ignore[union-attr]
            inner = _head(1, len(text))
            size = len(inner) + len(text)
            head, named = _head(2, size), _key(key)
            parts += (_head(number, len(named) + len(head) + size), named, head, inner, text)
        elif kind in _COMES_AGAIN:
            parts.append(_known_attribute(number, key, value))  # type: ignore[arg-type]
        elif value is not None:
            parts.append(_attribute(number, key, value))


def _attribute(number: int, key: str, value: Any) -> bytes:
    return _field(number, _key(key) + _field(2, _value(value)))


_known_attribute = lru_cache(maxsize=4096, typed=True)(_attribute)


@lru_cache(maxsize=4096)
def _key(key: str) -> bytes:
    return _field(1, key.encode("utf-8", "replace"))


def _value(value: Any) -> bytes:
    """An `AnyValue`."""
    if isinstance(value, str):
        return _field(1, value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value & _UNSIGNED)
    if isinstance(value, float):
        return b"\x21" + _DOUBLE.pack(value)
    if isinstance(value, bytes):
        return _field(7, value)
    if isinstance(value, Mapping):
        return _field(6, _attributes(1, {str(key): item for key, item in value.items()}))
    if isinstance(value, (list, tuple)):
        return _field(5, b"".join(_field(1, _value(item)) for item in value))
    return b"" if value is None else _value(str(value))


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field."""
    return _head(number, len(data)) + data


@lru_cache(maxsize=4096)
def _head(number: int, length: int) -> bytes:
    """What a length-delimited field begins with."""
    return _varint(number << 3 | 2) + _varint(length)


def _string(number: int, text: str) -> bytes:
    return _field(number, text.encode("utf-8", "replace")) if text else b""


def _count(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value & _UNSIGNED) if value else b""


def _nanoseconds(value: int) -> bytes:
    """A time; 0, which is none, for what no message can hold."""
    return _FIXED64.pack(value if 0 <= value <= _UNSIGNED else 0)


def _varint(value: int) -> bytes:
    if value < 128:
        return bytes((value,))
    out = bytearray()
    while value >= 128:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
