"""The processor: each span becomes one record, stamped, and survives its process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from tests.capture.pipeline import SECRET, Pipeline
from tracing.account.call import Call
from tracing.span import Span
from tracing.spool.records import END, NOT_OPEN, START


def test_ended_span_is_written_once_and_whole(pipeline: Pipeline) -> None:
    """What OpenTelemetry knows of it, and the call's identity."""
    span = pipeline.tracer.start_span("tts_node", attributes={"lk.pii.x": "y"}, start_time=1000)
    span.end(2000)
    context = span.get_span_context()
    trace_id = context.trace_id.to_bytes(16, "big")
    assert pipeline.written() == [(END, "tts_node")]
    assert pipeline.ended()["tts_node"] == Span(
        trace_id=trace_id,
        span_id=context.span_id.to_bytes(8, "big"),
        parent_span_id=b"",
        name="tts_node",
        start_time_unix_nano=1000,
        end_time_unix_nano=2000,
        attributes={"session.id": f"session-{trace_id.hex()[:8]}", "lk.pii.x": "y"},
        scope_name="livekit-agents",
        scope_version="1.8.9",
    )


def test_call_is_recognised_on_every_span(pipeline: Pipeline) -> None:
    """Job, room and session stand on every span of the trace that ends."""
    known = {"lk.job_id": "AJ_1", "lk.pii.room_name": "kitchen", "lk.agent_name": "waiter"}
    root = pipeline.start("job_entrypoint", **known)
    child = pipeline.start("llm_node", root)
    child.end()
    root.end()
    identity = {**known, "session.id": "kitchen/AJ_1"}
    for span in pipeline.ended().values():
        assert {key: span.attributes.get(key) for key in identity} == identity


def test_spans_that_live_long_are_recorded_when_they_start(pipeline: Pipeline) -> None:
    """A job, a session and the turns survive a kill from their first instant."""
    parent = None
    for name in ("job_entrypoint", "agent_session", "user_turn", "agent_turn"):
        parent = pipeline.start(name, parent)
    pipeline.start("llm_node", parent)
    expected = ["agent_session", "agent_turn", "job_entrypoint", "user_turn"]
    assert pipeline.written() == [
        (START, "job_entrypoint"),
        (START, "agent_session"),
        (START, "user_turn"),
        (START, "agent_turn"),
    ]
    assert pipeline.left_open() == expected


def test_parents_of_what_ends_are_recorded_before_it(pipeline: Pipeline) -> None:
    """No span is on disk without the spans that it hangs below."""
    outer = pipeline.start("llm_node")
    middle = pipeline.start("llm_request", outer)
    inner = pipeline.start("llm_request_run", middle)
    inner.end()
    assert sorted(pipeline.written()[:2]) == [(START, "llm_node"), (START, "llm_request")]
    assert pipeline.written()[2:] == [(END, "llm_request_run")]
    assert pipeline.left_open() == ["llm_node", "llm_request"]
    middle.end()
    outer.end()
    assert pipeline.left_open() == []


def test_checkpoint_records_what_turns_out_to_live_long(pipeline: Pipeline) -> None:
    """Off the voice loop, once, and not what has just begun."""
    long_ago = time.time_ns() - 10**9
    slow = pipeline.tracer.start_span("function_tool", start_time=long_ago)
    quick = pipeline.tracer.start_span("tts_node")
    for _ in range(3):
        pipeline.processor.record_open_spans()
    assert pipeline.written() == [(START, "function_tool")]
    quick.end()
    slow.end()
    pipeline.processor.record_open_spans()
    assert pipeline.written()[1:] == [(END, "tts_node"), (END, "function_tool")]


def test_span_that_ends_during_the_checkpoint_is_not_left_open(pipeline: Pipeline) -> None:
    """The checkpoint's thread writes the start behind the end, and takes it back."""
    slow = pipeline.tracer.start_span("function_tool", start_time=time.time_ns() - 10**9)

    def append_after_the_end(frame: bytes) -> None:
        if slow.is_recording():
            pipeline.processor.append = pipeline.frames.append
            slow.end()
        pipeline.frames.append(frame)

    pipeline.processor.append = append_after_the_end
    pipeline.processor.record_open_spans()
    kinds = [kind for kind, _ in pipeline.written()]
    assert kinds == [END, START, NOT_OPEN]
    assert pipeline.left_open() == []


def test_open_frames_are_those_of_open_spans(pipeline: Pipeline) -> None:
    """A new segment begins with these."""
    job = pipeline.start("job_entrypoint")
    turn = pipeline.start("agent_turn", job)
    frames = list(pipeline.processor.open_frames())
    assert frames == pipeline.frames
    turn.end()
    assert list(pipeline.processor.open_frames()) == frames[:1]


def test_start_record_carries_identity_and_no_content(pipeline: Pipeline) -> None:
    """An open span has not been filtered yet, so what somebody said waits for its end."""
    attributes = {"lk.job_id": "AJ_1", "lk.pii.user_input": SECRET, "own": "kept"}
    span = pipeline.start("agent_turn", **attributes)
    [record] = pipeline.records()
    assert record.span is not None
    assert record.span.attributes == {"lk.job_id": "AJ_1", "session.id": "AJ_1", "own": "kept"}
    span.end()
    assert pipeline.ended()["agent_turn"].attributes["lk.pii.user_input"] == SECRET


def test_spans_that_are_not_sampled_are_not_written(tmp_path: Path) -> None:
    """OTEL_TRACES_SAMPLER is the SDK's, and is kept to."""
    pipeline = Pipeline(tmp_path, sampler=ALWAYS_OFF)
    pipeline.start("job_entrypoint").end()
    assert pipeline.frames == []


class _BrokenCall(Call):
    """Fails whenever it is asked."""

    def started(self, span: Span) -> None:
        raise KeyError("an error of ours")

    def ended(self, span: Span) -> Any:
        raise KeyError("an error of ours")


def test_error_of_ours_costs_stamps_and_not_the_span(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted, logged once, and the application's call goes on."""
    pipeline = Pipeline(tmp_path, make_call=_BrokenCall)
    pipeline.start("job_entrypoint").end()
    pipeline.start("agent_turn").end()
    assert [kind for kind, _ in pipeline.written()] == [START, END, START, END]
    assert sum(pipeline.ledger.counts.values()) == 4
    assert len(caplog.records) == 1


def test_span_that_cannot_be_written_is_counted(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    """`end()` never raises because of us."""

    def broken(frame: bytes) -> None:
        raise RuntimeError("an error of ours")

    pipeline.processor.append = broken
    pipeline.start("tts_node").end()
    pipeline.start("tts_node").end()
    assert dict(pipeline.ledger.counts) == {"an internal error": 2}
    assert len(caplog.records) == 1
    assert list(pipeline.processor.open_frames()) == []


def test_span_beyond_the_size_of_a_record_is_shortened_and_counted(pipeline: Pipeline) -> None:
    """Its largest text is cut, with a mark; the rest is kept."""
    span = pipeline.start("llm_request", big="x" * 5_000_000, small="kept")
    span.end()
    written = pipeline.ended()["llm_request"]
    assert len(pipeline.frames[-1]) < 2**20
    assert written.attributes["small"] == "kept"
    assert str(written.attributes["big"]).endswith("... [truncated]")
    assert dict(pipeline.ledger.counts) == {"an attribute was truncated": 1}


def test_open_span_beyond_the_size_of_a_record_is_shortened_too(pipeline: Pipeline) -> None:
    """Its start record is in every segment until it ends."""
    pipeline.start("agent_session", numbers=[1.5] * 300_000, small="kept")
    [record] = [record for record in pipeline.records() if record.kind == START]
    assert record.span is not None
    assert record.span.attributes["small"] == "kept"
    assert record.span.attributes["numbers"][-1] == "... [truncated]"  # type: ignore[index]
    assert all(len(frame) < 2**20 for frame in pipeline.frames)
    assert dict(pipeline.ledger.counts) == {"an attribute was truncated": 1}


def test_many_other_traces_do_not_make_a_call_forgotten(pipeline: Pipeline) -> None:
    """An agent whose process also serves traced requests keeps the identity of its call."""
    job = pipeline.start("job_entrypoint", **{"lk.job_id": "AJ_1"})
    own = pipeline.provider.get_tracer("an application")
    for _ in range(600):
        own.start_span("GET /").end()
    pipeline.start("llm_node", job).end()
    assert pipeline.ended()["llm_node"].attributes["session.id"] == "AJ_1"


def test_turns_are_numbered_on_while_other_traces_come_and_go(pipeline: Pipeline) -> None:
    """A call's state lasts as long as the call."""
    session = pipeline.start("agent_session")
    for _ in range(3):
        turn = pipeline.start("agent_turn", session)
        for _ in range(300):
            pipeline.provider.get_tracer("an application").start_span("GET /").end()
        turn.end()
    numbers = [
        record.span.attributes["turn.number"]
        for record in pipeline.records()
        if record.kind == END and record.span is not None and record.span.name == "agent_turn"
    ]
    assert numbers == [1, 2, 3]


def test_spans_without_a_parent_hang_below_their_jobs_root(tmp_path: Path) -> None:
    """Where the root came late, a job is one trace all the same; and the root ends with it."""
    pipeline = Pipeline(tmp_path, current_job=lambda: "AJ_1")
    assert not pipeline.processor.roots.has("AJ_1")
    root = pipeline.start("job_entrypoint")
    pipeline.processor.begin_root("AJ_1", root)
    assert pipeline.processor.roots.has("AJ_1")
    session = pipeline.start("agent_session")
    pipeline.start("llm_node", session).end()
    session.end()
    shutdown = pipeline.start("job_shutdown")
    shutdown.end()
    ended = pipeline.ended()
    roots = [span.name for span in ended.values() if not span.parent_span_id]
    assert roots == ["job_entrypoint"]
    assert {span.trace_id for span in ended.values()} == {ended["job_entrypoint"].trace_id}
    assert ended["agent_session"].parent_span_id == ended["job_entrypoint"].span_id
    assert ended["llm_node"].parent_span_id == ended["agent_session"].span_id
    assert list(ended)[-1] == "job_entrypoint"
    assert pipeline.left_open() == []


def test_root_that_was_recorded_in_time_is_the_jobs(tmp_path: Path) -> None:
    """LiveKit's own root is the root, and nobody else's trace is moved below it."""
    pipeline = Pipeline(tmp_path, current_job=lambda: "AJ_1")
    pipeline.start("job_entrypoint").end()
    assert pipeline.processor.roots.has("AJ_1")
    pipeline.provider.get_tracer("an application").start_span("GET /").end()
    ended = pipeline.ended()
    assert ended["GET /"].parent_span_id == b""
    assert ended["GET /"].trace_id != ended["job_entrypoint"].trace_id


def test_call_and_open_spans_can_be_asked_for(pipeline: Pipeline) -> None:
    """Event handlers find the state and the span that they write on."""
    span = pipeline.start("agent_session")
    context = span.get_span_context()
    assert pipeline.processor.call(context.trace_id) is not None
    assert pipeline.processor.call(5) is None
    assert pipeline.processor.open_span(context.span_id) is span
    span.end()
    assert pipeline.processor.open_span(context.span_id) is None


def test_forked_child_forgets_its_parents_spans(pipeline: Pipeline) -> None:
    """They end where they began."""
    pipeline.start("job_entrypoint")
    pipeline.processor.after_fork()
    assert list(pipeline.processor.open_frames()) == []
    child = pipeline.start("agent_session")
    child.end()
    assert "agent_session" in pipeline.ended()


def test_provider_flushes_the_pipeline_and_does_not_end_it(pipeline: Pipeline) -> None:
    """Milliseconds become seconds; who shuts the provider down ends no call."""
    asked: list[Any] = []

    def flush(timeout_seconds: float) -> bool:
        asked.append(timeout_seconds)
        return False

    pipeline.processor.flush = flush
    pipeline.processor.close = lambda: asked.append("closed")
    assert pipeline.provider.force_flush(1500) is False
    pipeline.provider.shutdown()
    assert asked == [pytest.approx(1.5, abs=0.1)]
    pipeline.start("agent_session").end()
    assert "agent_session" in pipeline.ended()


def test_threads_write_every_span(pipeline: Pipeline) -> None:
    """Jobs of the THREAD executor share the processor."""

    def work(number: int) -> Iterator[str]:
        job = pipeline.start("job_entrypoint", **{"lk.job_id": f"AJ_{number}"})
        for step in range(100):
            pipeline.start(f"step {number}.{step}", job).end()
        job.end()
        return iter(())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = [record.span for record in pipeline.records() if record.kind == END]
    by_name = {span.name: span for span in ended if span is not None}
    steps = {f"step {number}.{step}" for number in range(4) for step in range(100)}
    assert steps <= by_name.keys()
    assert {by_name[name].attributes["session.id"] for name in steps} == {
        f"AJ_{number}" for number in range(4)
    }
    assert len(ended) == 404
    assert pipeline.left_open() == []
