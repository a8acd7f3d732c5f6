"""Span -> bytes -> span: framed, checksummed, versioned records that are safe to read.

A segment is a sequence of frames. A frame is a 4-byte mark, the payload's length and CRC-32
(little endian, 32 bits each) and the payload, a msgpack array whose first element is its kind.
The mark lets a reader find the next good frame behind a damaged one; msgpack can fail on
hostile bytes but never executes anything.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

from tracing.span import Attributes, Event, Link, Span

FORMAT_VERSION = 1

HEADER, START, END, CLOSED, NOT_OPEN = 0, 1, 2, 3, 4
"""Record kinds: what a segment begins with, a span that opened, a span that ended, the mark of
a segment whose open spans live on in the next one, and a start record that came too late."""

_MARK = b"\xf4SPN"
_FRAME = struct.Struct("<4sII")
_MAX_PAYLOAD_BYTES = 64 * 1024 * 1024

# A Packer owns a buffer, so each thread has its own; creating one per span costs an mmap.
_local = threading.local()


class Record(NamedTuple):
    """One decoded record: its kind, its span (START, END) or values (HEADER), where it lies."""

    kind: int
    span: Span | None
    values: Mapping[str, Any]
    start_offset: int
    end_offset: int


def start_frame(span: Span) -> bytes:
    """The frame of a span that opened."""
    return _frame(_pack((START, *span[:7], span.kind, span.scope_name)))


def end_frame(span: Span, attributes: Attributes, *, resource: Attributes) -> bytes:
    """The frame of a span that ended, with `attributes` in place of its own.

    Its resource is left out where it is `resource`, which the segment's header has.
    """
    own = {} if span.resource is resource else span.resource
    return _frame(_pack((END, *span[:6], attributes, *span[7:18], own)))


def header_frame(values: Mapping[str, Any]) -> bytes:
    """The frame a segment begins with: format version, process, resource attributes."""
    return _frame(_pack((HEADER, {"version": FORMAT_VERSION, **values})))


def closed_frame() -> bytes:
    """The frame that says: the spans still open here are carried on elsewhere."""
    return _frame(_pack((CLOSED,)))


def not_open_frame(trace_id: bytes, span_id: bytes) -> bytes:
    """The frame that takes back a start record, which another thread wrote behind the end."""
    return _frame(_pack((NOT_OPEN, trace_id, span_id)))


def read_records(data: bytes, offset: int = 0) -> Iterator[Record]:
    """The good records of `data` from `offset`, skipping what is damaged.

    Stops at an incomplete frame (a torn tail, or one that is being written). Offsets are
    relative to `data`.
    """
    while True:
        found = _next_payload(data, offset)
        if found is None:
            return
        payload, offset = found
        record = _decode(payload, offset)
        if record is not None:
            yield record


def count_ended(path: Path, offset: int = 0) -> int:
    """How many ended spans a segment holds behind `offset`; walks frames, decodes none."""
    try:
        data = path.read_bytes()
    except OSError:
        return 0
    count = 0
    while (found := _next_payload(data, offset)) is not None:
        payload, offset = found
        # An array's length takes one byte below 16 elements, else three; then the kind.
        count += payload[1 if payload[0] < 0xA0 else 3] == END
    return count


def _pack(values: object) -> bytes:
    try:
        packer = _local.packer
    except AttributeError:
        packer = _local.packer = msgpack.Packer(unicode_errors="replace", default=str)
    try:
        return packer.pack(values)  # type: ignore[no-any-return]
    except (OverflowError, ValueError):
        _local.packer = msgpack.Packer(unicode_errors="replace", default=str)
        return _local.packer.pack(_portable(values))  # type: ignore[no-any-return]


def _portable(value: Any) -> Any:
    """A copy without the integers beyond 64 bits that neither msgpack nor OTLP can carry."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _portable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_portable(item) for item in value]
    return value


def _frame(payload: bytes) -> bytes:
    return _FRAME.pack(_MARK, len(payload), zlib.crc32(payload)) + payload


def _next_payload(data: bytes, offset: int) -> tuple[bytes, int] | None:
    """The first whole, undamaged payload at or behind `offset`, and where it ends."""
    while len(data) - offset >= _FRAME.size:
        mark, length, checksum = _FRAME.unpack_from(data, offset)
        end = offset + _FRAME.size + length
        if mark == _MARK and length <= _MAX_PAYLOAD_BYTES:
            payload = data[offset + _FRAME.size : end]
            if len(payload) == length and zlib.crc32(payload) == checksum:
                return payload, end
            if end > len(data) and data.find(_MARK, offset + 1) == -1:
                return None  # still being written, or torn
        offset = data.find(_MARK, offset + 1)
        if offset == -1:
            return None
    return None


def _decode(payload: bytes, end: int) -> Record | None:
    """A record, or None for a payload that is no record of this version."""
    start = end - len(payload) - _FRAME.size
    try:
        kind, *fields = msgpack.unpackb(payload, strict_map_key=False, unicode_errors="replace")
        if kind == END:
            return Record(kind, _span(Span(*fields)), {}, start, end)
        if kind == START:
            span = Span(*fields[:7])._replace(kind=fields[7], scope_name=fields[8])
            return Record(kind, _span(span), {}, start, end)
        if kind == HEADER:
            return Record(kind, None, dict(fields[0]), start, end)
        if kind == CLOSED:
            return Record(kind, None, {}, start, end)
        if kind == NOT_OPEN:
            trace_id, span_id = fields
            return Record(kind, _span(Span(trace_id, span_id, b"", "", 0, 0)), {}, start, end)
    except (ValueError, TypeError, IndexError, msgpack.UnpackException, RecursionError):
        pass
    return None


def _span(span: Span) -> Span:
    if not (len(span.trace_id) == 16 and len(span.span_id) == 8 and isinstance(span.name, str)):
        raise ValueError("not a span")
    return span._replace(
        attributes=dict(span.attributes),
        events=tuple(Event(*event) for event in span.events),
        links=tuple(Link(*link) for link in span.links),
    )
