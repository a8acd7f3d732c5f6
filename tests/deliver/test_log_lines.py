"""Log lines on their own way through the drainer: beside the spans, at a pace of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.deliver.delivering import delivering
from tests.deliver.senders.test_otlp_logs import LINE
from tests.fakes import RecordingServer, Reply, draining, make_span, otlp_backend, until
from tests.spool.segment_files import end_of, make_writer
from tracing.config.backends import LOG_LINES, OTLP_LOGS, SQLITE, SQLITE_LOGS, Backend
from tracing.deliver.delivery import Delivery
from tracing.deliver.flush import flush_spool
from tracing.deliver.reading.segment_reader import SegmentReader
from tracing.log_line import LogLine
from tracing.spool.acks import DONE
from tracing.spool.losses import LINES_NOT_TAKEN, Ledger, count_losses
from tracing.spool.records import closed_frame, header_frame, log_frame, start_frame
from tracing.spool.segments import evict_oldest, segment_paths
from tracing.store.store import Store


def line(number: int) -> LogLine:
    """A line that tells its number; its resource is the segment's."""
    return LINE._replace(
        message=f"line {number}",
        time_unix_nano=LINE.time_unix_nano + number,
        resource={"service.name": "test"},
    )


def logs_backend(server: RecordingServer, **changes: Any) -> Backend:
    """Where log lines go, beside the spans."""
    return Backend(
        "otlp-logs",
        OTLP_LOGS,
        url=f"{server.url}/v1/logs",
        carries=LOG_LINES,
        beside="otlp",
        mend="Set THE OTHER",
        **changes,
    )


def write(spool: Path, *frames: bytes) -> None:
    """A finished segment."""
    writer = make_writer(spool, Ledger(spool))
    for frame in frames:
        writer.append(frame)
    writer.close()


def test_lines_go_to_the_one_and_spans_to_the_other(spool: Path, server: RecordingServer) -> None:
    """Each once, and the segment goes when both have it."""
    write(spool, end_of(1), log_frame(line(1)), end_of(2), log_frame(line(2)))
    with draining(spool, otlp_backend(server.url), logs_backend(server)):
        until(lambda: segment_paths(spool) == [])
    assert server.accepted_names() == ["span 1", "span 2"]
    assert [found.message for found in server.logs] == ["line 1", "line 2"]
    assert count_losses(spool) == {}


def test_local_store_has_both(spool: Path, tmp_path: Path) -> None:
    """Two writers of one file."""
    path = str(tmp_path / "calls.db")
    spans = Backend("local", SQLITE, url=path)
    lines = Backend("local-logs", SQLITE_LOGS, url=path, carries=LOG_LINES, beside="local")
    write(spool, end_of(1), log_frame(line(1)))
    with draining(spool, spans, lines):
        until(lambda: segment_paths(spool) == [])
    with Store(Path(path), read_only=True) as store:
        trace_id = make_span(1).trace_id.hex()
        assert len(store.spans(trace_id)) == 1
        assert store.log_lines(trace_id) == [line(1)._replace(resource={})]


def test_a_delivery_that_ends_closes_the_store(spool: Path, tmp_path: Path) -> None:
    """Not when Python collects it: what SQLite keeps beside an open file is gone at once."""
    path = tmp_path / "calls.db"
    spans = Backend("local", SQLITE, url=str(path))
    lines = Backend("local-logs", SQLITE_LOGS, url=str(path), carries=LOG_LINES, beside="local")
    write(spool, end_of(1), log_frame(line(1)))
    with delivering(spool, spans) as one, delivering(spool, lines) as other:
        until(lambda: one.done and other.done)
        assert len(list(tmp_path.glob("calls.db-*"))) == 2
    assert list(tmp_path.glob("calls.db*")) == [path]


def test_backend_without_a_place_for_lines_keeps_nothing_from_leaving(
    spool: Path, server: RecordingServer
) -> None:
    """The segment goes, flush says yes, and what was left out is counted and said once."""
    server.logs_reply = Reply(404, b"no such page")
    said: list[str] = []
    ledger = Ledger(spool, say=said.append, clock=iter(range(0, 10_000, 100)).__next__)
    write(spool, log_frame(line(1)), log_frame(line(2)))
    delivery = Delivery(spool, logs_backend(server), ledger)
    delivery.start()
    until(lambda: delivery.done)
    ledger.settle()
    write(spool, log_frame(line(3)))
    until(lambda: len(delivery.done) == 2)
    ledger.settle()
    delivery.stopping.set()
    delivery.join(10)
    words = f"POST {server.url}/v1/logs answered 404: no such page. Set THE OTHER"
    assert said == [f"dropped 2 log lines: the backend takes no log lines [otlp-logs] ({words})"]
    assert count_losses(spool) == {LINES_NOT_TAKEN: 3}


def test_lines_that_wait_do_not_keep_spans(spool: Path, server: RecordingServer) -> None:
    """A place for logs that is away for a while."""
    server.logs_reply = Reply(503)
    write(spool, end_of(1), log_frame(line(1)))
    with draining(spool, otlp_backend(server.url), logs_backend(server)):
        until(lambda: server.accepted)
        assert flush_spool(spool, 0.2) is False
        server.logs_reply = Reply()
        until(lambda: segment_paths(spool) == [])
    assert [found.message for found in server.logs] == ["line 1"]


def test_line_is_a_sign_of_life_and_says_nothing_of_what_is_open(tmp_path: Path) -> None:
    """A line behind the mark that the spans live on elsewhere, as another thread may write it."""
    path = tmp_path / "a.seg"
    opened, late = make_span(1, "agent_turn", end_time_unix_nano=0), line(5)
    for frames, ends in (
        ([start_frame(opened), log_frame(late)], [late.time_unix_nano]),
        ([start_frame(opened), closed_frame(), log_frame(late)], []),
    ):
        path.write_bytes(header_frame({"pid": 1}) + b"".join(frames))
        reader = SegmentReader(path, 0)
        assert reader.read(2**20) == []
        assert [span.end_time_unix_nano for span in reader.recovered()] == [
            max(end, opened.start_time_unix_nano) for end in ends
        ]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_lines_are_read_by_number(tmp_path: Path, limit: int) -> None:
    """No more than are wanted, and the next ones from there."""
    path = tmp_path / "a.seg"
    frames = [
        frame for number in range(4) for frame in (end_of(number + 1), log_frame(line(number)))
    ]
    path.write_bytes(header_frame({"resource": {"service.name": "test"}}) + b"".join(frames))
    reader, found = SegmentReader(path, 0, lines=True), []
    while batch := reader.read_lines(2**20, limit):
        assert len(batch) <= limit
        found.append(batch)
        reader.acknowledged = reader.position
    assert [one for batch in found for one in batch] == [line(number) for number in range(4)]
    assert DONE != reader.position == path.stat().st_size


def test_damage_is_counted_by_who_reads_the_spans_alone(tmp_path: Path) -> None:
    """And keeps no line behind it from being read."""
    path = tmp_path / "a.seg"
    damaged = bytearray(end_of(1))
    damaged[-3] ^= 1
    path.write_bytes(header_frame({"pid": 1}) + damaged + log_frame(line(1)) + end_of(2))
    spans, lines = SegmentReader(path, 0), SegmentReader(path, 0, lines=True)
    assert [span.name for span in spans.read(2**20)] == ["span 2"]
    assert [found.message for found in lines.read_lines(2**20)] == ["line 1"]
    assert (spans.damaged, lines.damaged) == (1, 0)


def test_lines_in_a_segment_that_is_deleted_are_counted(spool: Path) -> None:
    """By themselves, for they are no spans."""
    write(spool, end_of(1), log_frame(line(1)), log_frame(line(2)))
    ledger = Ledger(spool)
    evict_oldest(spool, 0, ledger)
    assert dict(ledger.counts) == {
        "the spool was full": 1,
        "log lines were not delivered in time": 2,
    }
