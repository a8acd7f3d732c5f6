"""A segment as one backend reads it: each span once, and what its process left open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import make_span
from tracing.deliver.reading.segment_reader import SegmentReader
from tracing.span import STATUS_ERROR, Span
from tracing.spool.acks import DONE
from tracing.spool.records import (
    closed_frame,
    end_frame,
    header_frame,
    not_open_frame,
    read_records,
    start_frame,
)
from tracing.stamps import RECOVERED_REASON

RESOURCE = {"service.name": "test"}
HEADER = header_frame({"pid": 41, "resource": RESOURCE})


def end_of(span: Span) -> bytes:
    """The frame of a span that ended, whose resource the header has."""
    return end_frame(span, span.attributes)


def start_of(number: int, name: str = "") -> bytes:
    """The frame of a span that opened."""
    return start_frame(make_span(number, name, end_time_unix_nano=0))


def write(path: Path, *frames: bytes) -> Path:
    """A segment of these frames."""
    path.write_bytes(b"".join((HEADER, *frames)))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the segment is."""
    return tmp_path / "a.seg"


def read_all(reader: SegmentReader, limit_bytes: int = 2**20) -> list[Span]:
    """Every span that is still to be read."""
    spans: list[Span] = []
    before = -1
    while reader.position != before:
        before = reader.position
        spans += reader.read(limit_bytes)
    return spans


def test_spans_come_with_the_resource_of_their_segment(path: Path) -> None:
    """The header's resource is everybody's."""
    reader = SegmentReader(write(path, end_of(make_span(1)), end_of(make_span(2))), 0)
    assert reader.read(2**20) == [make_span(1), make_span(2)]
    assert reader.unread_bytes() == 0


def test_reading_goes_on_where_the_acknowledged_ends(path: Path) -> None:
    """A new drainer reads from the offset on, with the resource from before it."""
    write(path, end_of(make_span(1)), end_of(make_span(2)))
    offset = [record.end_offset for record in read_records(path.read_bytes())][1]
    assert read_all(SegmentReader(path, offset)) == [make_span(2)]


def test_rewinding_reads_again_what_was_not_acknowledged(path: Path) -> None:
    """What was not delivered comes again; what was acknowledged does not."""
    reader = SegmentReader(write(path, end_of(make_span(1)), end_of(make_span(2))), 0)
    first = reader.read(1)
    assert first == [make_span(1), make_span(2)]
    reader.rewind()
    assert reader.read(2**20) == first
    reader.acknowledged = reader.position
    reader.rewind()
    assert reader.read(2**20) == []


def test_what_is_appended_later_is_read_later(path: Path) -> None:
    """A segment that is being written is read as it grows, whole records only."""
    frame = end_of(make_span(2))
    reader = SegmentReader(write(path, end_of(make_span(1)), frame[:10]), 0)
    assert reader.read(2**20) == [make_span(1)]
    assert reader.read(2**20) == []
    with path.open("ab") as file:
        file.write(frame[10:])
    assert reader.read(2**20) == [make_span(2)]
    assert reader.damaged == 0


def test_segment_larger_than_a_read_comes_in_pieces(path: Path) -> None:
    """About so many bytes at a time, every span once."""
    spans = [make_span(n, attributes={"text": "x" * 1000}) for n in range(1, 101)]
    reader = SegmentReader(write(path, *map(end_of, spans)), 0)
    pieces = []
    while piece := reader.read(20_000):
        pieces.append(piece)
    assert [span for piece in pieces for span in piece] == spans
    assert max(map(len, pieces)) < 25
    assert reader.damaged == 0


def test_span_larger_than_a_read_comes_whole(path: Path) -> None:
    """A read grows until at least one record fits."""
    span = make_span(1, attributes={"text": "x" * 300_000})
    reader = SegmentReader(write(path, end_of(span), end_of(make_span(2))), 0)
    assert read_all(reader) == [span, make_span(2)]
    assert reader.damaged == 0


def test_span_that_carries_a_frame_is_one_span_wherever_a_read_ends(path: Path) -> None:
    """Bytes that look like a record, inside an attribute, are content and nothing else."""
    inner = end_of(make_span(99, "forged"))
    span = make_span(1, attributes={"payload": b"x" * 100 + inner + b"x" * 20_000})
    reader = SegmentReader(write(path, end_of(span), end_of(make_span(2))), 0)
    assert read_all(reader, 4096) == [span, make_span(2)]


def test_damaged_record_is_counted_and_the_next_is_found(path: Path) -> None:
    """One flipped byte costs one span."""
    frames = [end_of(make_span(n)) for n in (1, 2, 3)]
    frames[1] = frames[1][:40] + bytes([frames[1][40] ^ 255]) + frames[1][41:]
    reader = SegmentReader(write(path, *frames), 0)
    assert read_all(reader) == [make_span(1), make_span(3)]
    assert reader.damaged == 1


def test_damage_is_counted_once_however_often_it_is_read(path: Path) -> None:
    """While a backend is away, the same bytes are read again and again."""
    frames = [end_of(make_span(n)) for n in (1, 2)]
    frames[0] = frames[0][:40] + bytes([frames[0][40] ^ 255]) + frames[0][41:]
    reader = SegmentReader(write(path, *frames), 0)
    for _ in range(5):
        assert reader.read(2**20) == [make_span(2)]
        reader.rewind()
    assert reader.damaged == 1


def test_damaged_last_record_of_a_dead_process_is_counted(path: Path) -> None:
    """A whole record with a wrong byte is a loss also where no good one follows."""
    frames = [end_of(make_span(n)) for n in (1, 2)]
    frames[1] = frames[1][:40] + bytes([frames[1][40] ^ 255]) + frames[1][41:]
    reader = SegmentReader(write(path, *frames), 0)
    assert read_all(reader) == [make_span(1)]
    reader.recovered()
    assert reader.damaged == 1


def test_torn_tail_of_a_dead_process_is_no_damage(path: Path) -> None:
    """The write that a kill cut off never returned, so no ended span is lost with it."""
    reader = SegmentReader(write(path, end_of(make_span(1)), end_of(make_span(2))[:30]), 0)
    assert read_all(reader) == [make_span(1)]
    reader.recovered()
    assert reader.damaged == 0


def test_spans_left_open_are_closed_as_errors_at_the_last_sign_of_life(path: Path) -> None:
    """What a dead process had open ends with a reason, no later than it can have."""
    ended = make_span(5, "llm_node")
    reader = SegmentReader(write(path, start_of(1, "job_entrypoint"), end_of(ended)), 0)
    assert reader.read(2**20) == [ended]
    assert reader.recovered() == [
        make_span(
            1,
            "job_entrypoint",
            end_time_unix_nano=ended.end_time_unix_nano,
            status_code=STATUS_ERROR,
            status_message="the process ended before this span did",
            attributes={
                "number": 1,
                "error.type": "process_died",
                RECOVERED_REASON: "process 41 died with the span open",
            },
        )
    ]


def test_last_sign_of_life_is_known_to_a_drainer_that_came_later(path: Path) -> None:
    """What was acknowledged before still tells when the process lived, and what was open."""
    write(path, start_of(1), end_of(make_span(5)))
    reader = SegmentReader(path, path.stat().st_size)
    assert read_all(reader) == []
    [recovered] = reader.recovered()
    assert (recovered.name, recovered.end_time_unix_nano) == (
        "span 1",
        make_span(5).end_time_unix_nano,
    )


@pytest.mark.parametrize(
    "frames",
    [
        (start_of(1), end_of(make_span(1))),
        (start_of(1), closed_frame()),
        (start_of(1), not_open_frame(*make_span(1)[:2])),
        (end_of(make_span(1)), start_of(1), not_open_frame(*make_span(1)[:2])),
    ],
    ids=["ended", "carried on in another segment", "taken back", "start written late"],
)
def test_nothing_is_recovered_of_what_is_not_open(path: Path, frames: tuple[bytes, ...]) -> None:
    """An ended span, and one that the next segment has, is not closed as an error."""
    reader = SegmentReader(write(path, *frames), 0)
    read_all(reader)
    assert reader.recovered() == []


def test_segment_that_is_gone_has_nothing_and_is_not_finished(path: Path) -> None:
    """It may have been moved, and come back."""
    reader = SegmentReader(write(path, end_of(make_span(1))), 0)
    away = path.rename(path.with_name("away"))
    assert (reader.read(2**20), reader.unread_bytes(), reader.is_gone) == ([], 0, True)
    away.rename(path)
    assert (reader.read(2**20), reader.is_gone) == ([make_span(1)], False)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        SegmentReader(path, 0)


def test_done_segment_stays_where_it_is(path: Path) -> None:
    """A segment that is done is not rewound to an offset that is none."""
    reader = SegmentReader(write(path, end_of(make_span(1))), 0)
    reader.read(2**20)
    at = reader.position
    reader.acknowledged = DONE
    reader.rewind()
    assert reader.position == at


@pytest.mark.parametrize(("second", "told"), [("ann", "ann"), ("ben", None)])
def test_a_span_left_open_has_a_user_only_where_all_of_its_call_agree(
    path: Path, second: str, told: str | None
) -> None:
    """Of two who were in one call, nobody knows whose it was."""
    ended = [
        end_of(make_span(number, attributes={"session.id": "s", "user.id": who}))
        for number, who in ((1, "ann"), (2, second), (3, second))
    ]
    write(path, *ended, start_of(4))
    reader = SegmentReader(path, 0)
    read_all(reader)
    [span] = reader.recovered()
    assert (span.attributes["session.id"], span.attributes.get("user.id")) == ("s", told)
