"""Segments of other versions: the last two formats are read, the rest is told apart and counted."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from xxhash import xxh3_64_intdigest

from tests.fakes import make_span
from tests.spool.segment_files import end_of
from tracing.log_line import LogLine
from tracing.span import STATUS_ERROR, Event, Link, Span
from tracing.spool.formats import CURRENT, FORMATS, is_foreign, segment_version
from tracing.spool.records import (
    END,
    HEADER,
    LOG,
    NOT_OPEN,
    START,
    Held,
    count_held,
    header_frame,
    read_records,
)

WRITTEN = Path(__file__).parent / "formats"
"""One segment by each version, as it wrote them: a header, two starts, two ends, one taken back,
and from version 3 on a log line."""

RESOURCE = {"service.name": "agent", "service.instance": 7}


def span(number: int, **changes: object) -> Span:
    """A span of these segments, with the resource of their header."""
    return make_span(number, resource=RESOURCE)._replace(**changes)


FULL = span(
    1,
    parent_span_id=(9).to_bytes(8, "big"),
    attributes={"text": "für zwei", "list": ["a", "b"], "float": 0.5, "yes": True},
    events=(Event("exception", 1_700_000_001_200_000_000, {"exception.type": "ValueError"}),),
    links=(Link((8).to_bytes(16, "big"), (5).to_bytes(8, "big"), {"why": "retry"}),),
    status_code=STATUS_ERROR,
    status_message="it failed",
    kind=3,
    trace_state="a=b",
    dropped_attributes_count=1,
    dropped_events_count=2,
    dropped_links_count=3,
    scope_version="1.2",
)
OTHER = span(2, resource={"service.name": "other"})
SHARED = {"session.id": "room/job"}
"""What a version shares among its spans."""
LINE = LogLine(
    *((7).to_bytes(16, "big"), (2).to_bytes(8, "big"), 1_700_000_001_300_000_000),
    *(40, "ERROR", "my.app", "no table für zwei", "ValueError", "two", "Traceback: two"),
    *("agent.py", 12, "book", RESOURCE),
)


def kinds_in(version: int) -> list[int]:
    """The records of a version's segment."""
    return [HEADER, START, START, END, END, NOT_OPEN, *([LOG] if version > 2 else [])]


@pytest.mark.parametrize("version", sorted(FORMATS))
def test_what_each_version_wrote_is_read_to_the_last_field(version: int) -> None:
    """Bytes of the version itself, not of ours for it."""
    path = WRITTEN / f"{version}.seg"
    assert segment_version(path) == version
    found = list(read_records(path.read_bytes(), format=FORMATS[version]))
    assert [record.kind for record in found] == kinds_in(version)
    assert dict(found[0].values)["resource"] == RESOURCE
    assert found[1].span == span(9, name="agent_turn", end_time_unix_nano=0)
    ended = [FULL, OTHER]
    assert [record.span for record in found[3:5]] == [
        one._replace(attributes={**SHARED, **one.attributes}) for one in ended
    ]
    assert [record.line for record in found[6:]] == ([LINE] if version > 2 else [])
    assert count_held(path) == Held(2, len(found[6:]))
    assert count_held(path, found[3].end_offset) == Held(1, len(found[6:]))


@pytest.mark.parametrize("version", sorted(FORMATS))
def test_damaged_header_does_not_hide_the_version(tmp_path: Path, version: int) -> None:
    """What can be read behind it tells; of those whose frames are alike, the newest reads both."""
    data = bytearray((WRITTEN / f"{version}.seg").read_bytes())
    data[20] ^= 1
    path = tmp_path / "damaged.seg"
    path.write_bytes(data)
    assert segment_version(path) == CURRENT.version
    assert count_held(path) == count_held(WRITTEN / f"{version}.seg")


def test_version_to_come_is_told_by_its_header_alone(tmp_path: Path) -> None:
    """Its frames may be anything, and each of them counts as a span that is lost with it."""
    path = tmp_path / "newer.seg"
    path.write_bytes(header_frame({"version": 4, "pid": 1}) + b"\xf4SPN" + random.randbytes(300))
    assert segment_version(path) == 4
    assert is_foreign(path) is True
    assert count_held(path) == Held(1)
    assert 4 not in FORMATS


@pytest.mark.parametrize("content", [b"", b"\xf4SPN", random.randbytes(5_000), b"\xf4SPN" * 50])
def test_bytes_that_tell_no_version_are_damaged_ones_of_ours(
    tmp_path: Path, content: bytes
) -> None:
    """Nothing waits for ever for a version that never was."""
    path = tmp_path / "damaged.seg"
    path.write_bytes(content)
    assert segment_version(path) == CURRENT.version
    assert is_foreign(path) is False


def test_file_that_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    """It is neither taken for ours nor for a foreign one."""
    with pytest.raises(FileNotFoundError):
        segment_version(tmp_path / "gone")
    assert is_foreign(tmp_path / "gone") is False
    assert count_held(tmp_path / "gone") == Held(0)


@pytest.mark.parametrize("payload", [b"\x92\x00\x80", b"\x91\x00", b"\xc1", b"\x92\x01\x80", b""])
def test_hostile_header_tells_no_version(tmp_path: Path, payload: bytes) -> None:
    """A right checksum around what is no header."""
    head = struct.pack("<4sIQ", b"\xf4SPN", len(payload), xxh3_64_intdigest(payload))
    path = tmp_path / "hostile.seg"
    path.write_bytes(head + payload + end_of(1))
    assert segment_version(path) == CURRENT.version


def test_current_format_is_the_first_of_the_table() -> None:
    """A file is taken for one of ours before it is taken for an older one."""
    assert next(iter(FORMATS.values())) is CURRENT
