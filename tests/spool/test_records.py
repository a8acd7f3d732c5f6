"""What goes into a segment comes out the same; what is damaged never comes out wrong."""

from __future__ import annotations

import math
import pickle
import struct
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from tests.fakes import make_span
from tracing.log_line import LogLine
from tracing.span import Event, Link, Span
from tracing.spool.records import (
    CLOSED,
    DAMAGED,
    END,
    HEADER,
    LOG,
    NO_ATTRIBUTES,
    NOT_OPEN,
    START,
    Held,
    Record,
    closed_frame,
    count_held,
    end_frame,
    header_frame,
    log_frame,
    not_open_frame,
    packed,
    read_records,
    start_frame,
)

RESOURCE = {"service.name": "test"}


def end_of(span: Span) -> bytes:
    """The frame of a span's end in a segment whose header has another resource."""
    return end_frame(span, span.attributes)


def read_spans(data: bytes) -> list[Span | None]:
    """The spans of every record."""
    return [record.span for record in read_records(data)]


def framed(payload: bytes) -> bytes:
    """A frame with a right checksum around any payload, as somebody hostile could write it."""
    return struct.pack("<4sIQ", b"\xf4SPN", len(payload), xxh3_64_intdigest(payload)) + payload


FULL = Span(
    trace_id=bytes(range(16)),
    span_id=bytes(range(8)),
    parent_span_id=bytes(range(8, 16)),
    name="llm_node",
    start_time_unix_nano=1_700_000_000_000_000_001,
    end_time_unix_nano=1_700_000_000_000_000_002,
    attributes={"a": "b"},
    events=(Event("one", 3, {"k": "v"}), Event("two", 4)),
    links=(Link(b"t" * 16, b"s" * 8, {"x": 1}),),
    status_code=2,
    status_message="no",
    kind=3,
    trace_state="a=1",
    dropped_attributes_count=1,
    dropped_events_count=2,
    dropped_links_count=3,
    scope_name="livekit-agents",
    scope_version="1.8.9",
    resource={"service.name": "agent", "service.version": 2},
)


def test_every_field_of_a_span_survives() -> None:
    """A span with all its fields is read back as it was."""
    data = end_of(FULL)
    assert list(read_records(data)) == [Record(END, FULL, {}, 0, len(data))]


@pytest.mark.parametrize(
    ("value", "read_back"),
    [
        ("text", "text"),
        ("", ""),
        ("Zürich 🦜", "Zürich 🦜"),
        ("half a surrogate \ud83d", "half a surrogate ?"),
        ("nul \x00 inside", "nul \x00 inside"),
        (True, True),
        (False, False),
        (0, 0),
        (-1, -1),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**64 - 1, 2**64 - 1),
        (2**64, str(2**64)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (10**400, str(10**400)),
        (0.1, 0.1),
        (-0.0, -0.0),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        (b"\x00\xff bytes", b"\x00\xff bytes"),
        (["a", "b"], ["a", "b"]),
        (("a", "b"), ["a", "b"]),
        ([1, 2.5, True, "x", b"y"], [1, 2.5, True, "x", b"y"]),
        ([[1, [2, [3]]], []], [[1, [2, [3]]], []]),
        ({"key": {"inner": [1]}}, {"key": {"inner": [1]}}),
        ([1, 2**70], [1, str(2**70)]),
        ({"big": {"inner": 2**70}}, {"big": {"inner": str(2**70)}}),
        (Decimal("1.5"), "1.5"),
        (type("Text", (str,), {})("text"), "text"),
        (type("Whole", (int,), {})(7), 7),
        (type("Measure", (float,), {})(0.5), 0.5),
        (MappingProxyType({"key": 1}), {"key": 1}),
    ],
    ids=repr,
)
def test_attribute_values_survive(value: Any, read_back: Any) -> None:
    """Each type of value is read back as itself, or as the nearest that OTLP can carry."""
    data = end_of(make_span(attributes={"before": 1, "key": value, "after": 2}))
    [span] = read_spans(data)
    assert span is not None
    assert span.attributes == {"before": 1, "key": read_back, "after": 2}
    assert type(span.attributes["key"]) is type(read_back)


def test_not_a_number_survives() -> None:
    """NaN, which is not equal to itself, is NaN again."""
    [span] = read_spans(end_of(make_span(attributes={"nan": math.nan})))
    assert span is not None
    assert math.isnan(span.attributes["nan"])  # type: ignore[arg-type]


def test_start_record_has_what_opened_and_no_end() -> None:
    """A start record says who opened, when, where and with what; its resource is the header's."""
    started = FULL._replace(end_time_unix_nano=0)
    [record] = read_records(start_frame(started))
    assert record.kind == START
    assert record.span == Span(
        *started[:7], kind=started.kind, scope_name=started.scope_name, resource={}
    )


def test_span_without_a_resource_has_the_segments_own() -> None:
    """The resource that the header has is not repeated with each span; another one is."""
    spans = [make_span(1, resource={}), make_span(2, resource={"service.name": "other"})]
    frames = [end_frame(span, span.attributes) for span in spans]
    data = header_frame({"resource": dict(RESOURCE)}) + b"".join(frames)
    assert read_spans(data)[1:] == [spans[0]._replace(resource=RESOURCE), spans[1]]


def test_shared_attributes_lie_below_the_spans_own() -> None:
    """Packed once for many spans, and merged when they are read."""
    shared = packed({"session.id": "room/job", "number": 0, "half": "\ud800"})
    [span] = read_spans(end_frame(make_span(1), {"number": 1}, shared))
    assert span.attributes == {"session.id": "room/job", "number": 1, "half": "?"}


@pytest.mark.parametrize("shared", [b"", b"\xc1", b"\x93", b"\x92\x01\x02", "no bytes", {"a": 1}])
def test_hostile_shared_attributes_only_damage_their_record(shared: Any) -> None:
    """What is no packed map cannot be merged into anything."""
    [record] = read_records(end_frame(make_span(1), {"number": 1}, shared))
    assert record.kind == DAMAGED


def test_header_closed_and_taken_back_records() -> None:
    """The records that are no spans are read back too, in order."""
    data = header_frame({"pid": 5, "resource": RESOURCE}) + closed_frame()
    data += not_open_frame(b"t" * 16, b"s" * 8)
    records = list(read_records(data))
    assert [(record.kind, dict(record.values)) for record in records] == [
        (HEADER, {"version": 3, "pid": 5, "resource": RESOURCE}),
        (CLOSED, {}),
        (NOT_OPEN, {}),
    ]
    taken_back = records[2].span
    assert taken_back is not None
    assert (taken_back.trace_id, taken_back.span_id) == (b"t" * 16, b"s" * 8)


LINE = LogLine(
    trace_id=bytes(range(16)),
    span_id=bytes(range(8)),
    time_unix_nano=1_700_000_000_000_000_003,
    level=40,
    level_name="ERROR",
    logger="my.app",
    message="für zwei",
    exception_type="ValueError",
    exception_message="no",
    exception_stacktrace="Traceback",
    code_file="agent.py",
    code_line=7,
    code_function="book",
    resource=RESOURCE,
)


def test_log_line_has_the_resource_of_the_segments_header(tmp_path: Path) -> None:
    """It comes out the same to the last field, is no span, and is counted by itself."""
    data = header_frame({"resource": dict(RESOURCE)}) + log_frame(LINE) + end_of(make_span(1))
    found = list(read_records(data))
    assert [record.kind for record in found] == [HEADER, LOG, END]
    assert [record.line for record in found] == [None, LINE, None]
    assert [record.span is None for record in found] == [True, True, False]
    path = tmp_path / "segment"
    path.write_bytes(data)
    assert count_held(path) == Held(spans=1, lines=1)
    assert count_held(path, found[1].end_offset) == Held(spans=1, lines=0)


def test_log_line_is_written_whatever_stands_in_it() -> None:
    """Half characters, and a level that no message can hold."""
    [record] = read_records(log_frame(LINE._replace(message="\ud800!", level=2**70, resource={})))
    assert (record.kind, record.line) == (DAMAGED, None)
    [record] = read_records(log_frame(LINE._replace(message="\ud800!", resource={})))
    assert record.line == LINE._replace(message="?!", resource={})


def test_reading_from_an_offset_begins_with_the_record_there() -> None:
    """Records before the offset are not read again."""
    first, second = end_of(make_span(1)), end_of(make_span(2))
    assert [r.span for r in read_records(first + second, len(first))] == [make_span(2)]


def test_torn_tail_is_left_for_later() -> None:
    """Cut at any byte, a segment yields its whole records and nothing of the torn one."""
    first, second = end_of(make_span(1)), end_of(make_span(2))
    for length in range(len(first), len(first) + len(second)):
        assert read_spans((first + second)[:length]) == [make_span(1)]


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_flipped_byte_never_yields_a_wrong_span(flip: int) -> None:
    """Whatever byte is damaged, what is read is a span that was written, never another."""
    spans = [make_span(number, attributes={"text": "x" * 20}) for number in (1, 2, 3)]
    data = header_frame({"pid": 1}) + b"".join(map(end_of, spans))
    for offset in range(len(data)):
        damaged = bytearray(data)
        damaged[offset] ^= flip
        read = [span for span in read_spans(bytes(damaged)) if span is not None]
        assert [span for span in read if span not in spans] == []
        assert len(read) >= 2


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_in_a_right_frame_are_a_record_or_nothing(payload: bytes) -> None:
    """A payload with a right checksum and foreign bytes cannot make the reader fail."""
    good = end_of(make_span(9))
    read = list(read_records(framed(payload) + good))
    assert read[-1].span == make_span(9)


@given(st.binary(max_size=2000))
@settings(max_examples=200, deadline=None)
def test_any_bytes_can_be_read(data: bytes) -> None:
    """Foreign bytes yield no span, and the reader comes to an end."""
    assert [record.span for record in read_records(data) if record.span is not None] == []


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.integers(0, 5), st.lists(_VALUES, max_size=20))
@settings(max_examples=300, deadline=None)
def test_hostile_record_fails_to_be_a_span(kind: int, fields: list[Any]) -> None:
    """An array of anything is no span, or one whose ids and name are of the right shape."""
    for record in read_records(framed(msgspec.msgpack.encode([kind, *fields]))):
        if record.span is not None:
            assert (len(record.span.trace_id), len(record.span.span_id)) == (16, 8)


def _hostile(**changes: Any) -> bytes:
    """A frame of a span in which some fields are of a wrong type."""
    shared = changes.pop("shared", NO_ATTRIBUTES)
    fields = list({**make_span(1)._asdict(), **changes}.values())
    values = [END, *fields[:6], shared, *fields[6:]]
    return framed(msgspec.msgpack.encode(values))


HOSTILE = {
    "empty": framed(b""),
    "cut array": framed(b"\x92"),
    "never used byte": framed(b"\xc1"),
    "pickle": framed(pickle.dumps({"do": "not"})),
    "deeply nested": framed(b"\x91" * 5000),
    "number": framed(msgspec.msgpack.encode(5)),
    "no kind": framed(msgspec.msgpack.encode([])),
    "no header values": framed(msgspec.msgpack.encode([HEADER])),
    "header of a number": framed(msgspec.msgpack.encode([HEADER, 5])),
    "no start fields": framed(msgspec.msgpack.encode([START])),
    "kind of later": framed(msgspec.msgpack.encode([99, "later"])),
    "kind of a list": framed(msgspec.msgpack.encode([[END], "list"])),
    "taken back short ids": framed(msgspec.msgpack.encode([NOT_OPEN, b"short", b"id"])),
    "trace id of text": _hostile(trace_id="sixteen letters!"),
    "span id of a number": _hostile(span_id=5),
    "parent of text": _hostile(parent_span_id="8 bytes."),
    "parent too short": _hostile(parent_span_id=b"short"),
    "name of a number": _hostile(name=5),
    "start of text": _hostile(start_time_unix_nano="soon"),
    "end of a float": _hostile(end_time_unix_nano=1.5),
    "end before all times": _hostile(end_time_unix_nano=-1),
    "attributes of a number": _hostile(attributes=5),
    "attribute named by a number": _hostile(attributes={5: "x"}),
    "events of a number": _hostile(events=5),
    "event at a text": _hostile(events=[["one", "soon", {}]]),
    "event attributes of a number": _hostile(events=[["one", 1, 5]]),
    "link of short ids": _hostile(links=[[b"short", b"id", {}]]),
    "resource of a number": _hostile(resource=5),
    "status of text": _hostile(status_code="bad"),
    "count of text": _hostile(dropped_events_count="many"),
    "scope of a number": _hostile(scope_name=5),
    "one field too many": framed(msgspec.msgpack.encode([NOT_OPEN, b"t" * 16, b"s" * 8, 1])),
    "shared of text": _hostile(shared="text"),
    "shared of a number": _hostile(shared=msgspec.msgpack.encode(5)),
    "shared named by a number": _hostile(shared=msgspec.msgpack.encode({5: "x"})),
}


@pytest.mark.parametrize("frame", HOSTILE.values(), ids=HOSTILE)
def test_payload_of_the_wrong_shape_does_not_hide_the_next(frame: bytes) -> None:
    """What no writer of ours wrote can fail to be a record, but not to be read past."""
    assert read_spans(frame + end_of(make_span(9))) == [None, make_span(9)]


def test_what_is_hostile_above_is_so_by_its_change_alone() -> None:
    """Without a change, the same frame is a span."""
    assert read_spans(_hostile()) == [make_span(1)]


def test_counting_agrees_with_reading(tmp_path: Path) -> None:
    """Ended spans are counted without being decoded, from any record on."""
    path = tmp_path / "segment"
    header, ends = header_frame({"pid": 1}), [end_of(make_span(n)) for n in range(1, 6)]
    path.write_bytes(header + start_frame(make_span(9)) + b"".join(ends) + closed_frame())
    last = path.stat().st_size - len(closed_frame()) - len(ends[-1])
    found = [count_held(path, offset) for offset in (0, last, 2**62)]
    assert found == [Held(5), Held(1), Held(0)]


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\xdc", b"\xdc\x00\x13", b"\xc1\xc1\xc1\xc1"])
def test_counting_passes_over_foreign_payloads(tmp_path: Path, payload: bytes) -> None:
    """A frame that holds no record (zeros behind a mark after a power loss) counts nothing."""
    path = tmp_path / "segment"
    path.write_bytes(framed(payload) + end_of(make_span(1)))
    assert count_held(path) == Held(1)


def test_counting_a_segment_that_is_gone(tmp_path: Path) -> None:
    """Another process may have deleted it: nothing is left to count."""
    assert count_held(tmp_path / "gone") == Held(0)


def test_value_that_cannot_be_written_does_not_spoil_the_next() -> None:
    """A value whose own code fails costs its span, not the ones that follow."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with pytest.raises(RuntimeError):
        end_of(make_span(1, attributes={"key": Broken()}))
    with suppress(ValueError, RecursionError):  # from Python 3.14 on it is written, for no reader
        assert read_spans(end_of(make_span(2, attributes={"key": _nested(100_000)}))) == [None]
    assert read_spans(end_of(make_span(3))) == [make_span(3)]


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(("bits", "base"), [(63, 10), (64, 10), (9_998, 10), (20_000, 16)])
def test_integer_of_any_size_is_kept_as_its_digits(bits: int, base: int) -> None:
    """Decimal ones, as long as Python writes them, then hexadecimal ones."""
    for number in (2**bits, -(2**bits) - 1):
        [record] = read_records(end_frame(make_span(1), {"n": number}))
        assert record.span is not None
        assert int(str(record.span.attributes["n"]), base) == number
