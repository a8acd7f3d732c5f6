"""Span -> bytes -> span: framed, checksummed, versioned records that are safe to read.

A segment is a sequence of frames (`formats.py`), the payload of each a msgpack array, its kind
first. A frame's mark lets a reader find the next good one behind a damaged one; msgpack can fail
on hostile bytes but never executes anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec

from tracing.log_line import LogLine
from tracing.span import Attributes, Event, Link, Span
from tracing.spool.formats import CURRENT, FORMATS, HEADER, MARK, Format, segment_version

START, END, CLOSED, NOT_OPEN, LOG, DAMAGED = 1, 2, 3, 4, 5, -1
"""Record kinds, besides what a segment begins with: a span that opened, a span that ended, the
mark of a segment whose open spans live on in the next one, a start record that came too late, a
log line; and, only when read, bytes that are no record."""

_head, _checksum = CURRENT.head.pack, CURRENT.checksum

_MAX_DECIMAL_BITS = 10_000
"""Of an integer that Python still writes in decimal digits."""

NO_ATTRIBUTES = b"\x80"
_new = tuple.__new__


class Record(NamedTuple):
    """One decoded record: kind, span (START, END), values (HEADER) or line (LOG), its place."""

    kind: int
    span: Span | None
    values: Mapping[str, Any]
    start_offset: int
    end_offset: int
    line: LogLine | None = None


class Held(NamedTuple):
    """How many ended spans and how many log lines a segment holds."""

    spans: int
    lines: int = 0


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
    return _encode(_portable(attributes))


def header_frame(values: Mapping[str, Any]) -> bytes:
    """The frame a segment begins with: format version, process, resource attributes."""
    return _frame((HEADER, {"version": CURRENT.version, **values}))


def closed_frame() -> bytes:
    """The frame that says: the spans still open here are carried on elsewhere."""
    return _frame((CLOSED,))


def not_open_frame(trace_id: bytes, span_id: bytes) -> bytes:
    """The frame that takes back a start record, which another thread wrote behind the end."""
    return _frame((NOT_OPEN, trace_id, span_id))


def log_frame(line: LogLine) -> bytes:
    """The frame of a log line; its resource is that of the segment's header."""
    return _frame((LOG, *line[:-1]))


def read_records(
    data: bytes,
    offset: int = 0,
    *,
    resource: Attributes | None = None,
    is_whole: bool = True,
    format: Format = CURRENT,
    spans: bool = True,
) -> Iterator[Record]:
    """The records of `data` from `offset` on; damaged stretches come as one record each.

    Spans get the resource of the segment's header, or `resource` where the header was read
    before. Stops at an incomplete frame: a torn tail, or one that is still being written.
    With `is_whole` nothing will follow, so a good frame is also looked for behind a torn one.
    Without `spans` those are passed over, none of them decoded.
    """
    resource = resource or {}
    good_until = offset
    while (found := format.next_payload(data, offset, is_whole)) is not None:
        payload, end = found
        start, offset = end - len(payload) - format.head.size, end
        is_passed_over = not spans and _is_of_span(payload)
        kind, span, values, line = _PASSED_OVER if is_passed_over else _decode(payload, resource)
        record = Record(kind, span, values, start, end, line)
        if record.start_offset > good_until:
            yield _damaged(data, good_until, record.start_offset)
        good_until = offset
        if record.kind == HEADER:
            resource = record.values.get("resource", {})
        yield record
    if is_whole and format.holds_whole_frame(data, good_until):
        yield _damaged(data, good_until, len(data))


def _damaged(data: bytes, start: int, end: int) -> Record:
    """A stretch without a good record; its marks tell how many there were, one at least."""
    return Record(DAMAGED, None, {"records": max(data.count(MARK, start, end), 1)}, start, end)


def count_held(path: Path, offset: int = 0) -> Held:
    """What a segment holds behind `offset`; walks frames, decodes none.

    In a format that cannot be read, each record might be an ended span.
    """
    try:
        data = path.read_bytes()
        format = FORMATS.get(segment_version(path))
    except OSError:
        return Held(0)
    if format is None:
        return Held(max(data.count(MARK, max(offset, 1)), 1))
    kinds: Counter[int] = Counter()
    while (found := format.next_payload(data, offset, True)) is not None:
        payload, offset = found
        kinds[_kind_of(payload) if len(payload) > 3 else DAMAGED] += 1
    return Held(kinds[END], kinds[LOG])


def _frame(values: tuple[object, ...]) -> bytes:
    try:
        payload = _encode(values)
    except (OverflowError, ValueError):  # UnicodeEncodeError is one
        payload = _encode(_portable(values))
    return _head(MARK, len(payload), _checksum(payload)) + payload


def _nearest(value: object) -> object:
    """What stands for a value of a type that msgpack does not have."""
    if isinstance(value, Mapping):
        return dict(value)
    for kind in (str, int, float):  # subclasses
        if isinstance(value, kind):
            return kind(value)
    return str(value)


_encode = msgspec.msgpack.Encoder(enc_hook=_nearest).encode


def _portable(value: Any) -> Any:
    """A copy without what cannot be written: integers beyond 64 bits, half characters."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value) if value.bit_length() < _MAX_DECIMAL_BITS else hex(value)
    if isinstance(value, Mapping):
        return {_portable(str(key)): _portable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_portable(item) for item in value]
    return value


_TraceId = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
_SpanId = Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
_Nanoseconds = Annotated[int, msgspec.Meta(ge=0)]


class _Event(NamedTuple):
    name: str
    time_unix_nano: _Nanoseconds
    attributes: dict[str, Any]


class _Link(NamedTuple):
    trace_id: _TraceId
    span_id: _SpanId
    attributes: dict[str, Any]


class _Array(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """The payload of a record: its kind first, and no more than its fields."""

    kind: int


class _Header(_Array):
    values: dict[str, Any]


class _NotOpen(_Array):
    trace_id: _TraceId
    span_id: _SpanId


class _Begun(_Array):
    """What the records of a span have in common."""

    trace_id: _TraceId
    span_id: _SpanId
    parent_span_id: bytes
    name: str
    start_time_unix_nano: _Nanoseconds
    end_time_unix_nano: _Nanoseconds

    def __post_init__(self) -> None:
        """Check what types do not tell: the id is there as a whole, or not at all."""
        if len(self.parent_span_id) not in (0, 8):
            raise ValueError("not the id of a span")


class _Start(_Begun):
    attributes: dict[str, Any]
    span_kind: int
    scope_name: str


class _End(_Begun):
    shared: bytes
    attributes: dict[str, Any]
    events: tuple[_Event, ...]
    links: tuple[_Link, ...]
    status_code: int
    status_message: str
    span_kind: int
    trace_state: str
    dropped_attributes_count: int
    dropped_events_count: int
    dropped_links_count: int
    scope_name: str
    scope_version: str
    resource: dict[str, Any]


class _Log(_Array):
    """A log line: the fields of `LogLine` in its order, without its resource."""

    trace_id: _TraceId
    span_id: _SpanId
    time_unix_nano: _Nanoseconds
    level: int
    level_name: str
    logger: str
    message: str
    exception_type: str
    exception_message: str
    exception_stacktrace: str
    code_file: str
    code_line: int
    code_function: str


_decode_header = msgspec.msgpack.Decoder(_Header).decode
_decode_start = msgspec.msgpack.Decoder(_Start).decode
_decode_end = msgspec.msgpack.Decoder(_End).decode
_decode_not_open = msgspec.msgpack.Decoder(_NotOpen).decode
_decode_log = msgspec.msgpack.Decoder(_Log).decode
_decode_attributes = msgspec.msgpack.Decoder(dict[str, Any]).decode


def _kind_of(payload: bytes) -> int:
    """What a payload says that it is, without decoding it."""
    # An array's length takes one byte below 16 elements, else three; then the kind.
    return payload[1 if payload[0] < 0xA0 else 3]


def _is_of_span(payload: bytes) -> bool:
    return len(payload) > 3 and _kind_of(payload) in (START, END, NOT_OPEN)


_Decoded: TypeAlias = "tuple[int, Span | None, Mapping[str, Any], LogLine | None]"


_PASSED_OVER: _Decoded = (END, None, {}, None)


def _decode(payload: bytes, resource: Attributes) -> _Decoded:
    """Kind, span, values and line of a frame's payload; DAMAGED where it is no record."""
    try:
        kind = _kind_of(payload)
        if kind == END:
            return kind, _ended_span(payload, resource), {}, None
        if kind == START:
            return kind, _started_span(_decode_start(payload), resource), {}, None
        if kind == LOG:
            return kind, None, {}, _log_line(_decode_log(payload), resource)
        if kind == HEADER:
            return kind, None, _checked_header(_decode_header(payload)), None
        if kind == CLOSED:
            return kind, None, {}, None
        if kind == NOT_OPEN:
            taken = _decode_not_open(payload)
            return kind, Span(taken.trace_id, taken.span_id, b"", "", 0, 0), {}, None
    except (msgspec.MsgspecError, ValueError, IndexError, RecursionError):
        pass
    return DAMAGED, None, {}, None


def _ended_span(payload: bytes, resource: Attributes) -> Span:
    end = _decode_end(payload)
    attributes = end.attributes
    if end.shared != NO_ATTRIBUTES:
        attributes = {**_shared_attributes(end.shared), **attributes}
    events = tuple([Event(*event) for event in end.events]) if end.events else ()
    links = tuple([Link(*link) for link in end.links]) if end.links else ()
    fields = msgspec.structs.astuple(end)
    rest = fields[11:20]
    return _new(Span, (*fields[1:7], attributes, events, links, *rest, end.resource or resource))


@lru_cache(maxsize=256)
def _shared_attributes(shared: bytes) -> Attributes:
    """What many spans share, decoded once."""
    return _decode_attributes(shared)


def _started_span(start: _Start, resource: Attributes) -> Span:
    fields = msgspec.structs.astuple(start)[1:8]
    kind, scope = start.span_kind, start.scope_name
    return Span(*fields, kind=kind, scope_name=scope, resource=resource)  # type: ignore[misc]


def _log_line(log: _Log, resource: Attributes) -> LogLine:
    return _new(LogLine, (*msgspec.structs.astuple(log)[1:], resource))


def _checked_header(header: _Header) -> dict[str, Any]:
    resource = header.values.get("resource", {})
    if not isinstance(resource, dict) or set(map(type, resource)) - {str}:
        raise ValueError("not a header")
    return header.values
