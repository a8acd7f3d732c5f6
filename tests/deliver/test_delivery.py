"""One backend's delivery: everything arrives, in its time, and what does not is accounted for."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import (
    FAST,
    OK,
    RecordingServer,
    Reply,
    append,
    make_span,
    open_segment,
    otlp_backend,
    partial_success,
    until,
    write_segment,
)
from tests.spool.test_records import HOSTILE
from tracing.config.backends import CONSOLE, OTLP_HTTP, SQLITE, Backend
from tracing.config.langfuse import DIALECT
from tracing.deliver.delivery import Delivery
from tracing.deliver.pace import Pace
from tracing.deliver.quarantine import MAX_FILE_BYTES, quarantine_path
from tracing.deliver.status import take_notices
from tracing.otlp_json import read_spans
from tracing.span import STATUS_ERROR, Event, Span
from tracing.spool.acks import DONE, Acks
from tracing.spool.losses import Ledger
from tracing.spool.records import start_frame
from tracing.store.store import Store


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """The spool's directory."""
    path = tmp_path / "spool"
    path.mkdir()
    return path


@contextlib.contextmanager
def delivering(
    spool: Path,
    to: RecordingServer | Backend,
    ledger: Ledger | None = None,
    *,
    pace: Pace = FAST,
    **options: Any,
) -> Iterator[Delivery]:
    """A delivery that runs meanwhile."""
    backend = otlp_backend(to.url) if isinstance(to, RecordingServer) else to
    delivery = Delivery(spool, backend, ledger or Ledger(spool), pace=pace, **options)
    delivery.start()
    try:
        yield delivery
    finally:
        delivery.stopping.set()
        delivery.join(10)
        assert not delivery.is_alive()


def spans_of(count: int, **changes: Any) -> list[Span]:
    """Numbered spans."""
    return [make_span(number, **changes) for number in range(1, count + 1)]


def names_of(spans: list[Span]) -> list[str]:
    """Their names, sorted."""
    return sorted(span.name for span in spans)


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


def test_short_outage_is_waited_for_in_silence(spool: Path) -> None:
    """A few failures, then everything arrives; nobody's log is troubled."""
    write_segment(spool, *spans_of(3))
    with RecordingServer(Reply(503, b"try later"), Reply(500), Reply(408)) as server:
        with delivering(spool, server) as delivery:
            until(lambda: delivery.done)
        assert server.accepted == spans_of(3)
        assert len(server.requests) == 4
    assert take_notices(spool) == []


def test_long_outage_is_said_once_and_its_end_too(spool: Path) -> None:
    """A person reads what is wrong, that nothing is lost, and when it is over."""
    path = write_segment(spool, *spans_of(3))
    with RecordingServer() as server:
        server.reply = Reply(503, b"try later")
        with delivering(spool, server, pace=replace(FAST, say_after_seconds=0.1)) as delivery:
            until(lambda: len(server.requests) > 8)
            told = f"POST {server.url}/v1/traces answered 503: try later"
            assert (delivery.status.state, delivery.status.detail) == ("retrying", told)
            until(lambda: list((spool / "notices").glob("*.json")))
            said = take_notices(spool)
            requests = len(server.requests)
            until(lambda: len(server.requests) > requests + 3)
            assert take_notices(spool) == []
            server.reply = OK
            until(lambda: delivery.done == {path.name})
        assert said == [(logging.WARNING, f"{told}. No span is lost: they wait on disk.")]
        assert take_notices(spool) == [(logging.INFO, "otlp takes spans again")]
        assert (delivery.status.state, delivery.status.detail) == ("delivering", "")
        assert server.accepted == spans_of(3)


@pytest.mark.parametrize("status", [401, 403, 404, 307])
def test_refusal_pauses_says_what_to_mend_once_and_resumes(spool: Path, status: int) -> None:
    """URL, server's words and mend stand in one sentence; everything is kept and delivered."""
    path = write_segment(spool, *spans_of(3))
    with RecordingServer() as server:
        server.reply = Reply(
            status, b"unknown key", {"Location": "/login"} if status == 307 else {}
        )
        with delivering(spool, server) as delivery:
            until(lambda: len(server.requests) > 5)
            assert delivery.status.state == "paused"
            words = "redirected to /login" if status == 307 else "unknown key"
            told = f"POST {server.url}/v1/traces answered {status}: {words}"
            assert take_notices(spool) == [
                (
                    logging.WARNING,
                    f"{told}. No span is lost: they wait on disk. Mend: check THE SETTING.",
                )
            ]
            requests = len(server.requests)
            until(lambda: len(server.requests) > requests + 3)
            assert take_notices(spool) == []
            server.reply = OK
            until(lambda: delivery.done == {path.name})
        assert take_notices(spool) == [(logging.INFO, "otlp takes spans again")]
        assert server.accepted == spans_of(3)


def test_refusal_is_said_after_an_outage_was(spool: Path) -> None:
    """What a person has to mend is said even where the same backend was away before."""
    write_segment(spool, *spans_of(1))
    with RecordingServer() as server:
        server.reply = Reply(503)
        with delivering(spool, server, pace=replace(FAST, say_after_seconds=0.0)):
            until(lambda: len(server.requests) > 2)
            until(lambda: take_notices(spool))
            server.reply = Reply(401, b"no")
            [(level, text)] = until(lambda: take_notices(spool))
    assert level == logging.WARNING
    assert text.startswith(f"POST {server.url}/v1/traces answered 401: no. ")


def test_connection_refused_then_up(spool: Path) -> None:
    """A backend that starts after the agent gets everything."""
    write_segment(spool, *spans_of(3))
    with RecordingServer(listening=False) as server, delivering(spool, server) as delivery:
        until(lambda: delivery.status.state == "retrying")
        server.listen()
        until(lambda: delivery.done)
        assert server.accepted == spans_of(3)


def test_server_says_how_long_to_wait(spool: Path) -> None:
    """Retry-After is kept to, although the backoff is shorter."""
    write_segment(spool, *spans_of(3))
    with RecordingServer(Reply(429, b"slow down", {"Retry-After": "1"})) as server:
        with delivering(spool, server) as delivery:
            until(lambda: server.requests)
            began = time.monotonic()
            until(lambda: delivery.done)
            assert time.monotonic() - began > 0.9
        assert server.accepted == spans_of(3)


def test_pauses_grow_with_the_outage(spool: Path) -> None:
    """A backend that is away for long is asked ever more rarely, up to a bound."""
    write_segment(spool, *spans_of(1))
    with RecordingServer() as server:
        server.reply = Reply(503)
        with delivering(spool, server, pace=replace(FAST, shortest_pause_seconds=0.0)) as delivery:
            until(lambda: server.requests)
            delivery._down_since -= 10.0
            asked = len(server.requests)
            time.sleep(0.7)  # a tenth of ten seconds, a quarter less at the least
            assert len(server.requests) - asked <= 1


def test_backend_that_is_down_does_not_delay_another(spool: Path) -> None:
    """Each goes its own pace, and acknowledges for itself."""
    path = write_segment(spool, *spans_of(3))
    with RecordingServer() as up, RecordingServer(listening=False) as down:
        away = Backend("langfuse", OTLP_HTTP, f"{down.url}/v1/traces", timeout_seconds=1.0)
        with delivering(spool, up) as first, delivering(spool, away) as second:
            until(lambda: first.done)
            until(lambda: second.status.state == "retrying")
            assert up.accepted == spans_of(3)
            assert second.done == frozenset()
            down.listen()
            until(lambda: second.done)
            assert (up.accepted, down.accepted) == (spans_of(3), spans_of(3))
    assert [Acks(spool, name).offset(path.name) for name in ("otlp", "langfuse")] == [DONE, DONE]


def test_what_was_taken_of_a_large_batch_is_not_sent_again(spool: Path) -> None:
    """A failure at the end of a batch repeats its end alone."""
    write_segment(spool, *spans_of(2000))
    with RecordingServer(OK, OK, OK, Reply(503)) as server:
        with delivering(spool, server) as delivery:
            until(lambda: delivery.done)
        assert len(server.accepted) == 2000
        assert {span.name for span in server.accepted} == {f"span {n}" for n in range(1, 2001)}


def test_rejected_span_is_kept_with_the_servers_words(spool: Path) -> None:
    """It can be read and replayed, and is counted as lost to this backend."""
    ledger = Ledger(spool)
    write_segment(spool, *spans_of(4))
    with RecordingServer() as server:
        server.reply = lambda spans: Reply(400, b"bad name") if make_span(2) in spans else OK
        with delivering(spool, server, ledger) as delivery:
            until(lambda: delivery.done)
        assert server.accepted_names() == ["span 1", "span 3", "span 4"]
    ledger.settle()
    [entry] = [json.loads(line) for line in (spool / "losses.jsonl").read_text().splitlines()]
    assert list(read_spans(spool / "quarantine-otlp.jsonl")) == [make_span(2)]
    assert (entry["reason"], entry["number"], entry["backend"], entry["detail"]) == (
        "the backend rejected the span",
        1,
        "otlp",
        "400: bad name",
    )


def test_rejected_spans_are_kept_within_bounds(spool: Path) -> None:
    """A backend that rejects for ever does not fill the disk; each span is counted all the same."""
    kept, already = quarantine_path(spool, "otlp"), MAX_FILE_BYTES - 1500
    kept.touch()
    os.truncate(kept, already)
    ledger = Ledger(spool)
    write_segment(spool, *spans_of(20))
    with RecordingServer() as server:
        server.reply = lambda spans: Reply(400, b"no") if any(map(_is_even, spans)) else OK
        with delivering(spool, server, ledger) as delivery:
            until(lambda: delivery.done)
        assert len(server.accepted) == 10
    assert 0 < len(kept.read_bytes()[already:].splitlines()) < 10
    assert dict(ledger.counts) == {"the backend rejected the span": 10}


def _is_even(span: Span) -> bool:
    return span.span_id[-1] % 2 == 0


def test_cut_attribute_is_counted_with_its_span(spool: Path) -> None:
    """Which attribute of which span was cut is told."""
    ledger = Ledger(spool)
    write_segment(spool, make_span(1, attributes={"big": "x" * 2000}))
    with RecordingServer() as server:
        server.reply = lambda spans: Reply(413) if len(str(spans[0].attributes)) > 1000 else OK
        with delivering(spool, server, ledger) as delivery:
            until(lambda: delivery.done)
        assert len(server.accepted) == 1
    ledger.settle()
    [entry] = [json.loads(line) for line in (spool / "losses.jsonl").read_text().splitlines()]
    assert (entry["reason"], entry["number"], entry["detail"]) == (
        "an attribute was truncated",
        1,
        "big of span 1 0000000000000001",
    )


def test_partial_success_is_counted_with_the_servers_words(spool: Path) -> None:
    """The protocol forbids to send it again, so it is said."""
    ledger = Ledger(spool)
    write_segment(spool, *spans_of(5))
    with RecordingServer(partial_success(2, "quota is used up")) as server:
        with delivering(spool, server, ledger) as delivery:
            until(lambda: delivery.done)
        assert len(server.requests) == 1
    ledger.settle()
    [entry] = [json.loads(line) for line in (spool / "losses.jsonl").read_text().splitlines()]
    assert (entry["reason"], entry["number"], entry["detail"]) == (
        "the backend accepted the request in part",
        2,
        "quota is used up",
    )


def test_damaged_records_are_counted(spool: Path) -> None:
    """Once, although the backend was away and the segment was read several times."""
    ledger = Ledger(spool)
    path = write_segment(spool, *spans_of(3))
    data = bytearray(path.read_bytes())
    data[data.find(b"span 2")] ^= 255
    path.write_bytes(data)
    with RecordingServer(Reply(503), Reply(503), Reply(503)) as server:
        with delivering(spool, server, ledger) as delivery:
            until(lambda: delivery.done)
        assert server.accepted == [make_span(1), make_span(3)]
    assert dict(ledger.counts) == {"the record was damaged": 1}


@pytest.mark.parametrize("frame", HOSTILE.values(), ids=HOSTILE)
def test_hostile_record_does_not_stop_the_others(spool: Path, frame: bytes) -> None:
    """Whatever lies in a segment, the good spans behind it arrive."""
    write_segment(spool, make_span(1), tail=frame)
    write_segment(spool, make_span(2), number=2)
    with RecordingServer() as server, delivering(spool, server) as delivery:
        until(lambda: len(delivery.done) == 2, seconds=3)
        assert {"span 1", "span 2"} <= set(server.accepted_names())


def _deep(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "odd",
    [
        {"start_time_unix_nano": -1},
        {"end_time_unix_nano": 1_700_000_000.5},
        {"events": (Event("a float", 1_700_000_000.5),)},  # type: ignore[arg-type]
        {"events": (Event("before all times", -1),)},
        {"attributes": {"map": {5: "a number as a key"}}},
        {"resource": {5: "a number as a key"}},
        {"attributes": {"deep": _deep(900)}},
        {"name": "half a surrogate \ud83d"},
    ],
    ids=["start", "end", "event", "negative event", "key", "resource", "deep", "name"],
)
def test_span_made_wrongly_does_not_stop_the_others(spool: Path, odd: dict[str, Any]) -> None:
    """An application's mistake costs one span at the most, never the ones that follow."""
    write_segment(spool, make_span(1), make_span(2)._replace(**odd), make_span(3))
    with RecordingServer() as server, delivering(spool, server) as delivery:
        until(lambda: delivery.done, seconds=3)
        assert {"span 1", "span 3"} <= set(server.accepted_names())


def dialect_that_fails() -> Callable[[Span], Span]:
    """An error of ours on one span."""

    def translate(span: Span) -> Span:
        if span.name == "span 2":
            raise KeyError("an error of ours")
        return span

    return translate


def test_dialect_that_fails_on_a_span_does_not_stop_the_others(spool: Path) -> None:
    """An error of ours costs one span of one backend at the most."""
    write_segment(spool, *spans_of(3))
    with RecordingServer() as server:
        backend = otlp_backend(server.url, dialect=f"{__name__}:dialect_that_fails")
        with delivering(spool, backend) as delivery:
            until(lambda: delivery.done, seconds=3)
        assert server.accepted_names() == ["span 1", "span 3"]


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
    stored = Store(database).spans(make_span(1).trace_id.hex())
    assert [span.name for span in stored] == ["span 1", "span 2", "span 3"]


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
        ("all", ["child", "ended", "root"]),
    ],
)
def test_open_spans_are_sent_to_backends_that_replace_them(
    spool: Path, open_spans: Any, expected: list[str]
) -> None:
    """A call in progress is found and named before it ends."""
    root = make_span(1, "root", end_time_unix_nano=0)
    child = make_span(2, "child", end_time_unix_nano=0, parent_span_id=root.span_id)
    writer = open_segment(spool)
    for frame in (start_frame(root), start_frame(child)):
        writer.append(frame)
    append(writer, make_span(3, "ended"))
    with RecordingServer() as server:
        backend = Backend("x", OTLP_HTTP, f"{server.url}/v1/traces", open_spans=open_spans)
        with delivering(spool, backend):
            until(lambda: len(server.accepted) == len(expected))
        assert server.accepted_names() == expected
    writer.close()
