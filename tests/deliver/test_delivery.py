"""One backend's delivery: everything arrives, in its time, and goes on after a restart."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.turns import call_of
from tests.deliver.delivering import delivering, names_of, spans_of
from tests.fakes import (
    FAST,
    OK,
    RecordingServer,
    Reply,
    append,
    make_span,
    open_segment,
    otlp_backend,
    until,
    write_segment,
)
from tracing.config.backends import CONSOLE, OTLP_HTTP, SQLITE, Backend
from tracing.config.langfuse import DIALECT
from tracing.deliver.delivery import Delivery
from tracing.span import STATUS_ERROR
from tracing.spool.acks import DONE, Acks
from tracing.spool.losses import Ledger
from tracing.spool.records import start_frame
from tracing.stamps import IN_PROGRESS
from tracing.store.store import Store


def test_finished_segment_is_delivered_to_its_end(spool: Path) -> None:
    """Every span once, acknowledged as a whole, and said in the status."""
    path = write_segment(spool, *spans_of(5))
    with RecordingServer() as server, delivering(spool, server) as delivery:
        until(lambda: delivery.done)
        assert server.accepted == spans_of(5)
        assert delivery.done == {path.name}
        assert Acks(spool, "otlp").offset(path.name) == DONE
        status = delivery.status
        assert (status.name, status.url) == ("otlp", f"{server.url}/v1/traces")
        assert (status.state, status.detail) == ("delivering", "")
        assert (status.delivered_spans, status.pending_bytes) == (5, 0)
        assert delivery.is_idle


def test_living_segment_is_delivered_as_it_grows(spool: Path) -> None:
    """Nobody has to close anything for a span to leave."""
    writer = open_segment(spool)
    with RecordingServer() as server, delivering(spool, server) as delivery:
        for number in (1, 2, 3):
            append(writer, make_span(number))
            until(lambda number=number: len(server.accepted) == number)
        assert server.accepted == spans_of(3)
        assert delivery.done == frozenset()
        writer.close()
        until(lambda: delivery.done)
    assert len(server.accepted) == 3


def test_segment_whose_file_vanishes_is_not_acknowledged(spool: Path) -> None:
    """Its directory was moved away under a drainer, and is brought back by the next one."""
    path = write_segment(spool, *spans_of(5))
    delivery = Delivery(spool, otlp_backend("http://127.0.0.1:1"), Ledger(spool), pace=FAST)
    delivery._follow_directory()
    away = path.rename(spool / "away")
    delivery._acknowledge(delivery._collect())
    away.rename(path)
    assert Acks(spool, "otlp").offset(path.name) == 0


def test_spans_of_a_second_travel_together(spool: Path) -> None:
    """A batch of a living process is given time to grow."""
    writer = open_segment(spool)
    pace = replace(FAST, linger_seconds=1.0)
    with RecordingServer() as server, delivering(spool, server, pace=pace) as delivery:
        append(writer, make_span(1))
        until(lambda: delivery.status.pending_bytes)
        append(writer, make_span(2))
        until(lambda: server.requests)
        assert server.requests[0].names == ["span 1", "span 2"]
    writer.close()


def test_hurried_batch_leaves_at_once(spool: Path) -> None:
    """Who flushes does not wait for a batch to grow."""
    writer = open_segment(spool)
    pace = replace(FAST, linger_seconds=600.0)
    with RecordingServer() as server, delivering(spool, server, pace=pace) as delivery:
        append(writer, make_span(1))
        until(lambda: delivery.status.pending_bytes)
        assert server.requests == []
        delivery.hurry.set()
        until(lambda: server.accepted == [make_span(1)])
        until(lambda: not delivery.hurry.is_set())
    writer.close()


def test_batches_are_bounded_by_bytes_and_by_count(spool: Path) -> None:
    """Requests stay near a megabyte and 512 spans, which common receivers take."""
    large = [make_span(n, attributes={"text": "x" * 20_000}) for n in range(1, 151)]
    small = [make_span(n) for n in range(1001, 3001)]
    write_segment(spool, *large, *small)
    with RecordingServer() as server, delivering(spool, server) as delivery:
        until(lambda: delivery.done)
    assert server.accepted == [*large, *small]
    assert max(len(request.body) for request in server.requests) < 1.2 * 2**20
    assert max(len(request.spans) for request in server.requests) <= 512


def test_span_larger_than_a_batch_is_delivered(spool: Path) -> None:
    """One span of three megabytes goes by itself or with few others."""
    spans = [make_span(1), make_span(2, attributes={"text": "x" * 3_000_000}), make_span(3)]
    write_segment(spool, *spans)
    with RecordingServer() as server, delivering(spool, server) as delivery:
        until(lambda: delivery.done)
    assert server.accepted == spans


def test_open_spans_are_delivered_once_their_process_is_dead(spool: Path) -> None:
    """While it lives they are nobody's business; then they arrive as errors, with their parents."""
    root = make_span(1, "job_entrypoint", end_time_unix_nano=0)
    child = make_span(2, "llm_node", parent_span_id=root.span_id)
    write_segment(spool, root, child)
    with RecordingServer() as server, delivering(spool, server) as delivery:
        until(lambda: delivery.done)
    assert names_of(server.accepted) == ["job_entrypoint", "llm_node"]
    arrived = {span.name: span for span in server.accepted}
    assert arrived["llm_node"] == child
    assert arrived["job_entrypoint"] == root._replace(
        end_time_unix_nano=child.end_time_unix_nano,
        status_code=STATUS_ERROR,
        status_message="the process ended before this span did",
        attributes={
            "number": 1,
            "error.type": "process_died",
            "tracing.recovered.reason": "process 41 died with the span open",
        },
    )


def test_open_spans_of_a_living_process_wait(spool: Path) -> None:
    """A start record alone is nothing to send."""
    from tracing.spool.records import start_frame

    writer = open_segment(spool)
    writer.append(start_frame(make_span(1, end_time_unix_nano=0)))
    append(writer, make_span(2))
    with RecordingServer() as server, delivering(spool, server) as delivery:
        until(lambda: server.accepted)
        until(lambda: delivery.is_idle)
        assert server.accepted == [make_span(2)]
    writer.close()


def test_next_drainer_goes_on_where_the_last_one_ended(spool: Path) -> None:
    """What was acknowledged is not sent again after a restart."""
    writer = open_segment(spool)
    append(writer, *spans_of(3))
    with RecordingServer() as server:
        with delivering(spool, server):
            until(lambda: Acks(spool, "otlp").offset(writer.segment_path.name))  # type: ignore[union-attr]
        append(writer, make_span(4))
        with delivering(spool, server):
            until(lambda: len(server.accepted) >= 4)
        assert server.accepted == spans_of(4)
    writer.close()


def test_entry_that_is_no_file_does_not_stop_the_others(spool: Path) -> None:
    """Somebody's directory with a segment's name is passed over."""
    (spool / "0000000000000.1-abcdef.000001.seg").mkdir()
    write_segment(spool, *spans_of(2))
    with RecordingServer() as server, delivering(spool, server):
        until(lambda: server.accepted == spans_of(2), seconds=3)


def test_segment_that_vanishes_is_passed_over(spool: Path) -> None:
    """Evicted or deleted by hand: the others are delivered."""
    gone = write_segment(spool, *spans_of(2))
    with RecordingServer() as server:
        server.reply = Reply(503)
        with delivering(spool, server) as delivery:
            until(lambda: server.requests)
            gone.unlink()
            server.reply = OK
            write_segment(spool, make_span(3), number=2)
            until(lambda: delivery.done)
        assert server.accepted_names()[-1] == "span 3"


def test_langfuse_gets_its_dialect(spool: Path) -> None:
    """The backend's translation is applied with its options, per span."""
    write_segment(spool, make_span(1, "agent_session"))
    options = {"trace_name": "my call", "tags": ["a"], "environment": None, "release": None}
    with RecordingServer() as server:
        backend = otlp_backend(server.url, dialect=DIALECT, dialect_options=options)
        with delivering(spool, backend) as delivery:
            until(lambda: delivery.done)
        [span] = server.accepted
        assert span.attributes["langfuse.trace.name"] == "my call"


def test_local_store_is_a_backend(spool: Path, tmp_path: Path) -> None:
    """Spans are inserted; while the file cannot be written they wait."""
    database = tmp_path / "calls.db"
    database.mkdir()
    write_segment(spool, *spans_of(3))
    with delivering(spool, Backend("local", SQLITE, str(database))) as delivery:
        until(lambda: delivery.status.state == "retrying")
        assert str(database) in delivery.status.detail
        database.rmdir()
        until(lambda: delivery.done)
    with Store(database, read_only=True) as store:
        stored = store.spans(make_span(1).trace_id.hex())
    assert [span.name for span in stored] == ["span 1", "span 2", "span 3"]


def test_local_store_describes_calls_when_it_has_time(spool: Path, tmp_path: Path) -> None:
    """Those too that an earlier version stored: no span has to come for each of them."""
    database = tmp_path / "calls.db"
    write_segment(spool, make_span(1))
    with Store(database, clock=lambda: 0.0) as store:
        for number in range(50):
            store.add(call_of(1, number))
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("DELETE FROM described")
    with delivering(spool, Backend("local", SQLITE, str(database))) as delivery:
        until(lambda: delivery.done)
        with Store(database, read_only=True) as reader:
            until(lambda: reader.waiting_calls() == 0)
            assert None not in map(reader.told, reader.revisions())


def test_console_is_a_backend(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line per span."""
    write_segment(spool, *spans_of(2))
    with delivering(spool, Backend("console", CONSOLE)) as delivery:
        until(lambda: delivery.done)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in lines] == ["span 1", "span 2"]


@pytest.mark.parametrize(
    ("open_spans", "expected"),
    [
        ("none", ["ended"]),
        ("roots", ["ended", "root"]),
        ("all", ["child", "ended", "root", "root"]),
    ],
)
def test_open_spans_are_sent_to_backends_that_replace_them(
    spool: Path, open_spans: Any, expected: list[str]
) -> None:
    """A call in progress is found and named before it ends."""
    root = make_span(1, "root", end_time_unix_nano=0)
    child = make_span(2, "child", end_time_unix_nano=0, parent_span_id=root.span_id)
    writer = open_segment(spool)
    lasts = root._replace(attributes={**root.attributes, IN_PROGRESS: True})
    for started in (root, child, lasts):
        writer.append(start_frame(started))
    append(writer, make_span(3, "ended"))
    with RecordingServer() as server:
        backend = Backend("x", OTLP_HTTP, f"{server.url}/v1/traces", open_spans=open_spans)
        with delivering(spool, backend):
            until(lambda: len(server.accepted) == len(expected))
        assert server.accepted_names() == expected
    writer.close()
