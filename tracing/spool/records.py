"""Span -> bytes -> span: framed, checksummed, versioned records that are safe to read.

A segment is a sequence of frames. A frame is a 4-byte mark, the payload's length (32 bits) and
XXH3 (64 bits), both little endian, and the payload: a msgpack array, its kind first. The mark
lets a reader find the next good frame behind a damaged one; msgpack can fail on hostile bytes
but never executes anything.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
from xxhash import xxh3_64_intdigest

from tracing.span import Attributes, Event, Link, Span

FORMAT_VERSION = 2

HEADER, START, END, CLOSED, NOT_OPEN, DAMAGED = 0, 1, 2, 3, 4, -1
"""Record kinds: what a segment begins with, a span that opened, a span that ended, the mark of
a segment whose open spans live on in the next one, a start record that came too late; and, only
when read, bytes that are no record."""

_MARK = b"\xf4SPN"
_FRAME = struct.Struct("<4sIQ")
_END_BYTE = bytes((END,))
_MAX_PAYLOAD_BYTES = 64 * 1024 * 1024

NO_ATTRIBUTES = b"\x80"

# A Packer owns a buffer, so each thread has its own; creating one per span costs an mmap.
_local = threading.local()


class Record(NamedTuple):
    """One decoded record: its kind, its span (START, END) or values (HEADER), where it lies."""

    kind: int
    span: Span | None
    values: Mapping[str, Any]
    start_offset: int
    end_offset: int


def start_frame(span: Span, attributes: Attributes | None = None) -> bytes:
    """The frame of a span that opened, with `attributes` in place of its own where given."""
    known = span.attributes if attributes is None else attributes
    return _frame((START, *span[:6], known, span.kind, span.scope_name))


def end_frame(span: Span, attributes: Attributes, shared: bytes = NO_ATTRIBUTES) -> bytes:
    """The frame of a span that ended, with `attributes` in place of its own.

    `shared` are packed attributes below them, which many spans have in common. Without a
    resource the span has that of the segment's header.
    """
    return _frame((END, *span[:6], shared, attributes, *span[7:]))


def packed(attributes: Attributes) -> bytes:
    """Attributes as `end_frame` takes them where many spans share them."""
    return _pack(attributes)


def header_frame(values: Mapping[str, Any]) -> bytes:
    """The frame a segment begins with: format version, process, resource attributes."""
    return _frame((HEADER, {"version": FORMAT_VERSION, **values}))


def closed_frame() -> bytes:
    """The frame that says: the spans still open here are carried on elsewhere."""
    return _frame((CLOSED,))


def not_open_frame(trace_id: bytes, span_id: bytes) -> bytes:
    """The frame that takes back a start record, which another thread wrote behind the end."""
    return _frame((NOT_OPEN, trace_id, span_id))


def read_records(
    data: bytes, offset: int = 0, *, resource: Attributes | None = None, is_whole: bool = True
) -> Iterator[Record]:
    """The records of `data` from `offset` on; damaged stretches come as one record each.

    Spans get the resource of the segment's header, or `resource` where the header was read
    before. Stops at an incomplete frame: a torn tail, or one that is still being written.
    With `is_whole` nothing will follow, so a good frame is also looked for behind a torn one.
    """
    resource = resource or {}
    good_until = offset
    while (found := _next_payload(data, offset, is_whole)) is not None:
        payload, offset = found
        record = _decode(payload, offset, resource)
        if record.start_offset > good_until:
            yield _damaged(data, good_until, record.start_offset)
        good_until = offset
        if record.kind == HEADER:
            resource = record.values.get("resource", {})
        yield record
    if is_whole and _holds_whole_frame(data, good_until):
        yield _damaged(data, good_until, len(data))


def _damaged(data: bytes, start: int, end: int) -> Record:
    """A stretch without a good record; its marks tell how many there were, one at least."""
    return Record(DAMAGED, None, {"records": max(data.count(_MARK, start, end), 1)}, start, end)


def count_ended(path: Path, offset: int = 0) -> int:
    """How many ended spans a segment holds behind `offset`; walks frames, decodes none."""
    try:
        data = path.read_bytes()
    except OSError:
        return 0
    count = 0
    while (found := _next_payload(data, offset, True)) is not None:
        payload, offset = found
        # An array's length takes one byte below 16 elements, else three; then the kind.
        at = 1 if payload[:1] < b"\xa0" else 3
        count += payload[at : at + 1] == _END_BYTE
    return count


def _frame(values: tuple[object, ...]) -> bytes:
    payload = _pack(values)
    return b"".join((_FRAME.pack(_MARK, len(payload), xxh3_64_intdigest(payload)), payload))


def _pack(values: object) -> bytes:
    try:
        return _local.packer.pack(values)  # type: ignore[no-any-return]
    except AttributeError:
        # Strict about text, because leniency takes every string through a codec: twice the time.
        _local.packer = msgpack.Packer(default=str)
        return _pack(values)
    except (OverflowError, ValueError):  # UnicodeEncodeError is one
        del _local.packer  # half a record may be left in it
        lenient = msgpack.Packer(unicode_errors="replace", default=str)
        return lenient.pack(_portable(values))  # type: ignore[no-any-return]


def _portable(value: Any) -> Any:
    """A copy without the integers beyond 64 bits that neither msgpack nor OTLP can carry."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _portable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_portable(item) for item in value]
    return value


def _next_payload(data: bytes, offset: int, is_whole: bool) -> tuple[bytes, int] | None:
    """The first whole, undamaged payload at or behind `offset`, and where it ends."""
    while len(data) - offset >= _FRAME.size:
        mark, length, checksum = _FRAME.unpack_from(data, offset)
        end = offset + _FRAME.size + length
        if mark == _MARK and length <= _MAX_PAYLOAD_BYTES:
            if end > len(data) and not is_whole:
                return None  # the rest of this frame is still to be read, or to be written
            payload = data[offset + _FRAME.size : end]
            if len(payload) == length and xxh3_64_intdigest(payload) == checksum:
                return payload, end
        offset = data.find(_MARK, offset + 1)
        if offset == -1:
            return None
    return None


def _holds_whole_frame(data: bytes, offset: int) -> bool:
    """Whether what lies there is no torn tail but a frame, written whole and damaged since."""
    if len(data) - offset < _FRAME.size:
        return False
    mark, length, _ = _FRAME.unpack_from(data, offset)
    return bool(mark != _MARK or length <= len(data) - offset - _FRAME.size)


def _decode(payload: bytes, end: int, resource: Attributes) -> Record:
    """The record of a frame's payload; DAMAGED where it is none of this version."""
    start = end - len(payload) - _FRAME.size
    try:
        kind, *fields = msgpack.unpackb(payload, strict_map_key=False, unicode_errors="replace")
        if kind == END:
            return Record(kind, _ended_span(fields, resource), {}, start, end)
        if kind == START:
            return Record(kind, _started_span(fields, resource), {}, start, end)
        if kind == HEADER:
            return Record(kind, None, _checked_header(dict(fields[0])), start, end)
        if kind == CLOSED:
            return Record(kind, None, {}, start, end)
        if kind == NOT_OPEN:
            trace_id, span_id = fields
            return Record(kind, _checked(Span(trace_id, span_id, b"", "", 0, 0)), {}, start, end)
    except (ValueError, TypeError, IndexError, msgpack.UnpackException, RecursionError):
        pass
    return Record(DAMAGED, None, {}, start, end)


def _ended_span(fields: list[Any], resource: Attributes) -> Span:
    shared = fields.pop(6)
    if shared != NO_ATTRIBUTES:
        fields[6] = {**_shared_attributes(shared), **fields[6]}
    fields[7] = tuple([Event(*event) for event in fields[7]]) if fields[7] else ()
    fields[8] = tuple([Link(*link) for link in fields[8]]) if fields[8] else ()
    fields[18] = fields[18] or resource
    return _checked(Span(*fields))


@lru_cache(maxsize=256)
def _shared_attributes(shared: bytes) -> Attributes:
    """What many spans share, decoded once."""
    found = msgpack.unpackb(shared, strict_map_key=False, unicode_errors="replace")
    if not isinstance(found, dict):
        raise ValueError("not attributes")
    return found


def _started_span(fields: list[Any], resource: Attributes) -> Span:
    *common, kind, scope_name = fields
    return _checked(Span(*common, kind=kind, scope_name=scope_name, resource=resource))  # type: ignore[misc]


_FIELD_TYPES = (
    *(bytes, bytes, bytes, str, int, int, dict, tuple, tuple),
    *(int, str, int, str, int, int, int, str, str, dict),
)


def _checked(span: Span) -> Span:
    """The span, if its fields are such that nothing behind this can stumble over them."""
    if (
        all(map(isinstance, span, _FIELD_TYPES))
        and len(span.trace_id) == 16
        and len(span.span_id) == 8
        and len(span.parent_span_id) in (0, 8)
        and 0 <= span.start_time_unix_nano < 2**64
        and 0 <= span.end_time_unix_nano < 2**64
        and _are_names(span.attributes)
        and _are_names(span.resource)
        and all(map(_is_event, span.events))
        and all(map(_is_link, span.links))
    ):
        return span
    raise ValueError("not a span")


def _are_names(attributes: Attributes) -> bool:
    return set(map(type, attributes)) <= {str}


def _is_event(event: Event) -> bool:
    return (
        isinstance(event.name, str)
        and isinstance(event.time_unix_nano, int)
        and 0 <= event.time_unix_nano < 2**64
        and isinstance(event.attributes, dict)
        and _are_names(event.attributes)
    )


def _is_link(link: Link) -> bool:
    return (
        isinstance(link.trace_id, bytes)
        and isinstance(link.span_id, bytes)
        and (len(link.trace_id), len(link.span_id)) == (16, 8)
        and isinstance(link.attributes, dict)
        and _are_names(link.attributes)
    )


def _checked_header(values: dict[Any, Any]) -> dict[str, Any]:
    resource = values.get("resource", {})
    if not isinstance(resource, dict) or not _are_names(resource):
        raise ValueError("not a header")
    return values
