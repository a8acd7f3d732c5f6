"""What a delivery cannot bring over: accounted for, and never in the way of the others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.deliver.delivering import delivering, spans_of
from tests.fakes import (
    OK,
    RecordingServer,
    Reply,
    make_span,
    otlp_backend,
    partial_success,
    until,
    write_segment,
)
from tests.spool.test_records import HOSTILE
from tracing.otlp_json import read_spans
from tracing.span import Event, Span
from tracing.spool.losses import Ledger
from tracing.spool.quarantine import MAX_FILE_BYTES, quarantine_path


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
