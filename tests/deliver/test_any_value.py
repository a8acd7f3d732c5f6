"""Any value that a record can hold goes through every encoder, and none stands in another's way."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.deliver.delivering import delivering, names_of, spans_of
from tests.fakes import (
    FAST,
    OK,
    RecordingServer,
    Reply,
    decode_request,
    make_span,
    until,
    write_segment,
)
from tracing.config.backends import Backend
from tracing.deliver.delivery import Delivery
from tracing.deliver.senders.console import ConsoleSender
from tracing.deliver.senders.otlp_protobuf import encode_request
from tracing.deliver.senders.tally import Tally
from tracing.dialects.langfuse import LangfuseDialect
from tracing.dialects.scores import documents_of
from tracing.otlp_json import decode, dumps, read_spans
from tracing.span import Event, Link, Span
from tracing.spool.losses import Ledger, count_losses, read_losses
from tracing.spool.quarantine import quarantine_path
from tracing.spool.records import end_frame, read_records
from tracing.store.store import Store

_TEXT = st.text(max_size=20) | st.just("half \ud83d") | st.sampled_from(["[", "{}", '{"a": [1'])
_PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | _TEXT
    | st.binary(max_size=20)
    | st.just(datetime(2026, 1, 1, tzinfo=timezone.utc))
)
_VALUES = st.recursive(
    _PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(_TEXT | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=10,
)
_NAMES = st.sampled_from(
    [
        *("job_entrypoint", "agent_session", "agent_turn", "user_turn", "llm_node", "llm_request"),
        *("function_tool", "tts_request", "realtime_metrics", "anything"),
    ]
)
_KEYS = _TEXT | st.sampled_from(
    [
        *("lk.chat_ctx", "lk.pii.chat_ctx", "lk.response.text", "lk.llm_metrics", "session.id"),
        *("lk.function_tool.output", "gen_ai.input.messages", "turn.number", "call.turns"),
        *("turn.user_bot_latency_seconds", "recording.sha256", "gen_ai.request.model"),
    ]
)
_ATTRIBUTES = st.dictionaries(_KEYS, _VALUES, max_size=5)


@st.composite
def _recorded_spans(draw: st.DrawFn) -> Span:
    """A span with any values, as it comes back from its record."""
    span = make_span(
        1,
        draw(_NAMES),
        attributes=draw(_ATTRIBUTES),
        events=(Event("event", 1, draw(_ATTRIBUTES)),),
        links=(Link(b"t" * 16, b"s" * 8, draw(_ATTRIBUTES)),),
        status_message=draw(_TEXT),
        status_code=draw(st.integers(0, 2)),
        resource=draw(_ATTRIBUTES),
    )
    [record] = read_records(end_frame(span, span.attributes))
    assert record.span is not None
    return record.span


@given(_recorded_spans())
@settings(max_examples=100, deadline=None)
def test_any_recorded_span_goes_through_every_encoder(span: Span) -> None:
    """Protobuf, OTLP JSON, dialect, scores and console each take it, as ids and names tell."""
    translated = LangfuseDialect()(span)
    for sent in (span, *([translated] if translated else [])):
        [decoded] = decode_request(encode_request([sent]))
        [read] = decode(json.loads(dumps([sent]).encode()))
        assert (decoded.span_id, read.span_id) == (span.span_id, span.span_id)
        assert (decoded.name, read.name) == (sent.name, sent.name)
        present = {key for key, value in sent.attributes.items() if value is not None}
        assert (set(decoded.attributes), set(read.attributes)) == (present, present)
    documents_of(span)
    stream = io.StringIO()
    ConsoleSender(Backend("console", "c:C"), None, stream).deliver([span])  # type: ignore[arg-type]
    assert span.name in stream.getvalue()


@given(st.lists(_recorded_spans(), min_size=1, max_size=3))
@settings(max_examples=20, deadline=None)
def test_any_recorded_span_is_stored_and_quarantined(
    tmp_path_factory: pytest.TempPathFactory, spans: list[Span]
) -> None:
    """The store gives it back, the quarantine too; counted as rejected and nothing else."""
    directory = tmp_path_factory.mktemp("any")
    numbered = [span._replace(span_id=bytes([n + 1]) * 8) for n, span in enumerate(spans)]
    store = Store(directory / "calls.db")
    store.add(numbered)
    store.close()
    ledger = Ledger(directory)
    tally = Tally(directory, "otlp", ledger)
    for span in numbered:
        tally.quarantined(span, "400: no")
    kept = [span.span_id for span in read_spans(quarantine_path(directory, "otlp"))]
    assert kept == [span.span_id for span in numbered]
    assert ledger.counts == {"the backend rejected the span": len(numbered)}


@pytest.mark.parametrize(
    "value", [[None], [None, "x"], {"a": None}, {"a": {1: [None]}}, [[]], None, [{"b": b"\xff"}]]
)
def test_rejected_span_of_any_shape_holds_up_nobody(spool: Path, value: Any) -> None:
    """It is kept apart, and the spans behind it arrive."""
    odd = make_span(2, attributes={"odd": value})
    write_segment(spool, make_span(1), odd, *[make_span(number) for number in range(3, 40)])
    with RecordingServer() as server:
        server.reply = lambda spans: Reply(400, b"no") if "span 2" in names_of([*spans]) else OK
        with delivering(spool, server) as delivery:
            until(lambda: delivery.done)
        assert server.accepted_names() == names_of([s for s in spans_of(39) if s.name != "span 2"])
    assert [span.name for span in read_spans(quarantine_path(spool, "otlp"))] == ["span 2"]
    assert count_losses(spool) == {"the backend rejected the span": 1}


def test_span_that_cannot_be_kept_is_counted_and_passed(spool: Path) -> None:
    """The quarantine may be no file at all: its loss says so, and the others arrive."""
    quarantine_path(spool, "otlp").mkdir()
    write_segment(spool, *spans_of(5))
    with RecordingServer() as server:
        server.reply = lambda spans: Reply(400, b"no") if "span 2" in names_of([*spans]) else OK
        with delivering(spool, server) as delivery:
            until(lambda: delivery.done)
        assert len(server.accepted) == 4
    [loss] = read_losses(spool)
    assert (loss["reason"], loss["number"]) == ("the backend rejected the span", 1)
    assert str(loss["detail"]).startswith("400: no (not kept: [Errno 21] Is a directory")


class FailsOnOne:
    """A sender of somebody's own that raises what it likes for one span."""

    taken: list[str] = []

    def __init__(self, backend: Backend, tally: Tally) -> None:
        self._bad = set(backend.sender_options["bad"])

    def deliver(self, spans: Sequence[Span]) -> None:
        if self._bad.intersection(span.name for span in spans):
            raise KeyError("what it needs")
        self.taken += [span.name for span in spans]


def _failing_on(*names: str) -> Backend:
    FailsOnOne.taken = []
    return Backend("own", f"{__name__}:FailsOnOne", sender_options={"bad": names})


def test_span_on_which_a_sender_fails_is_counted_and_passed(spool: Path) -> None:
    """An error of the sender's own costs the spans that cause it."""
    write_segment(spool, *spans_of(20))
    with delivering(spool, _failing_on("span 7", "span 8")) as delivery:
        until(lambda: delivery.done)
    assert sorted(FailsOnOne.taken) == names_of(
        [span for span in spans_of(20) if span.name not in ("span 7", "span 8")]
    )
    assert count_losses(spool) == {"the span could not be put into the backend's form": 2}


def test_sender_that_fails_on_everything_loses_nothing(spool: Path) -> None:
    """That is no span's fault: all wait, and the status says why."""
    write_segment(spool, *spans_of(4))
    with delivering(spool, _failing_on(*names_of(spans_of(4)))) as delivery:
        until(lambda: delivery.status.state == "retrying")
        assert delivery.status.detail == "internal error: KeyError('what it needs')"
    assert (FailsOnOne.taken, count_losses(spool)) == ([], {})


class RaisingHandler(logging.Handler):
    """A log handler of somebody's own."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("the log is gone")


def test_log_that_raises_stops_no_delivery(spool: Path) -> None:
    """What fails while an error is told ends no thread: the spans arrive once they can."""
    handler, target = RaisingHandler(), logging.getLogger("tracing.deliver.delivery")
    target.addHandler(handler)
    try:
        write_segment(spool, *spans_of(3))
        backend = _failing_on(*names_of(spans_of(3)))
        delivery = Delivery(spool, backend, Ledger(spool), pace=FAST)
        delivery.start()
        until(lambda: delivery.status.state == "retrying")
        write_segment(spool, make_span(4), number=2)
        until(lambda: delivery.status.delivered_spans)
        delivery.stopping.set()
        delivery.join(10)
        assert FailsOnOne.taken == ["span 4"]
    finally:
        target.removeHandler(handler)
