"""Segments of other versions: the last two formats are read, the rest is told apart and counted."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from xxhash import xxh3_64_intdigest

from tests.fakes import make_span
from tests.spool.segment_files import end_of
from tracing.span import STATUS_ERROR, Event, Link, Span
from tracing.spool.formats import CURRENT, FORMATS, is_foreign, segment_version
from tracing.spool.records import (
    END,
    HEADER,
    NOT_OPEN,
    START,
    count_ended,
    header_frame,
    read_records,
)

WRITTEN = Path(__file__).parent / "formats"
"""One segment by each version, as it wrote them: a header, two starts, two ends, one taken back."""

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


def shared_in(version: int) -> dict[str, str]:
    """What version 2 shares among its spans; version 1 knew no such thing."""
    return {"session.id": "room/job"} if version > 1 else {}


@pytest.mark.parametrize("version", sorted(FORMATS))
def test_what_each_version_wrote_is_read_to_the_last_field(version: int) -> None:
    """Bytes of the version itself, not of ours for it."""
    path, shared = WRITTEN / f"{version}.seg", shared_in(version)
    assert segment_version(path) == version
    found = list(read_records(path.read_bytes(), format=FORMATS[version]))
    assert [record.kind for record in found] == [HEADER, START, START, END, END, NOT_OPEN]
    assert dict(found[0].values)["resource"] == RESOURCE
    assert found[1].span == span(9, name="agent_turn", end_time_unix_nano=0)
    ended = [FULL, OTHER]
    assert [record.span for record in found[3:5]] == [
        one._replace(attributes={**shared, **one.attributes}) for one in ended
    ]
    assert count_ended(path) == 2
    assert count_ended(path, found[3].end_offset) == 1


@pytest.mark.parametrize("version", sorted(FORMATS))
def test_damaged_header_does_not_hide_the_version(tmp_path: Path, version: int) -> None:
    """What can be read behind it tells."""
    data = bytearray((WRITTEN / f"{version}.seg").read_bytes())
    data[20] ^= 1
    path = tmp_path / "damaged.seg"
    path.write_bytes(data)
    assert segment_version(path) == version
    assert count_ended(path) == 2


def test_version_to_come_is_told_by_its_header_alone(tmp_path: Path) -> None:
    """Its frames may be anything, and each of them counts as a span that is lost with it."""
    path = tmp_path / "newer.seg"
    path.write_bytes(header_frame({"version": 3, "pid": 1}) + b"\xf4SPN" + random.randbytes(300))
    assert segment_version(path) == 3
    assert is_foreign(path) is True
    assert count_ended(path) == 1
    assert 3 not in FORMATS


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
    assert count_ended(tmp_path / "gone") == 0


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
