"""What is written of a call while it goes on: all that may be told of it, and nothing that may not.

Each test kills the call after its last word, and looks at what recovery makes of it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from opentelemetry import trace

from tests.capture.pipeline import SECRET, Pipeline
from tests.capture.test_continued import OUTSIDE, outside
from tracing.capture.langfuse.progress import Progress
from tracing.capture.told.current import SpokenOf, find_call
from tracing.deliver.reading.segment_reader import SegmentReader
from tracing.span import Span
from tracing.spool.records import header_frame


def spoken_of(pipeline: Pipeline, span: trace.Span) -> SpokenOf:
    """The call of a span."""
    with trace.use_span(span):
        found = find_call(pipeline.processor)
    assert found is not None
    return found


def say(call: SpokenOf, text: str = "gold") -> None:
    """One word of each kind."""
    call.set("", ("vip",), {"plan": text, "seats": 2}, "booked")


def left_by(pipeline: Pipeline) -> dict[str, Span]:
    """What recovery makes of a process that dies now, by name."""
    path = pipeline.directory / "a.seg"
    path.write_bytes(header_frame({"pid": 1}) + b"".join(pipeline.frames))
    reader = SegmentReader(path, 0)
    reader.read(2**30)
    return {span.name: span for span in reader.recovered()}


def words(span: Span) -> dict[str, Any]:
    """What the application said, on a span."""
    return {key: value for key, value in span.attributes.items() if key.startswith("call.")}


SAID = {
    "call.tags": ["vip"],
    "call.metadata.plan": "gold",
    "call.metadata.seats": 2,
    "call.outcome": "booked",
}


def test_the_root_alone_has_what_was_said(pipeline: Pipeline) -> None:
    """Whoever is below it; and what ends afterwards carries the tags."""
    job = pipeline.start("job_entrypoint")
    session = pipeline.start("agent_session", job)
    turn = pipeline.start("agent_turn", session)
    say(spoken_of(pipeline, turn))
    turn.end()
    left = left_by(pipeline)
    assert words(left["job_entrypoint"]) == SAID
    assert words(left["agent_session"]) == {}
    assert pipeline.ended()["agent_turn"].attributes["call.tags"] == ["vip"]


def test_a_call_below_a_span_of_the_applications_own(pipeline: Pipeline) -> None:
    """Its root is that span, whoever made it."""
    own = pipeline.provider.get_tracer("of the application").start_span("serve")
    session = pipeline.start("agent_session", own)
    say(spoken_of(pipeline, session))
    assert words(left_by(pipeline)["serve"]) == SAID
    session.end()
    own.end()
    ended = pipeline.ended()
    assert words(ended["serve"]) == SAID
    assert ended["agent_session"].attributes.get("call.outcome") is None


def test_what_was_said_stays_when_the_call_is_shown_or_named_again(pipeline: Pipeline) -> None:
    """By whom it is, as one that goes on: each writes all that is known, in any order."""
    progress = Progress(pipeline.processor)
    long_ago = time.time_ns() - 11 * 10**9
    job = pipeline.tracer.start_span("job_entrypoint", start_time=long_ago)
    session = pipeline.start("agent_session", job)
    call = spoken_of(pipeline, session)
    say(call)
    heard = pipeline.start("user_turn", session, **{"lk.pii.participant_identity": "ann"})
    heard.set_attribute("lk.pii.user_transcript", "Hello?")
    heard.end()
    progress.checkpoint()
    shown = left_by(pipeline)["job_entrypoint"].attributes
    say(call)
    again = left_by(pipeline)["job_entrypoint"].attributes
    assert again == shown
    assert {key: again.get(key) for key in (*SAID, "user.id")} == {**SAID, "user.id": "ann"}
    assert "Hello?" in str(again["conversation.messages"])


def test_a_demand_takes_back_what_was_said_before(pipeline: Pipeline) -> None:
    """From then on the newest start record has numbers alone, and so has the root's end."""
    job = pipeline.start("job_entrypoint")
    pipeline.start("agent_session", job)
    call = spoken_of(pipeline, job)
    say(call, SECRET)
    found = pipeline.processor.call(job.get_span_context().trace_id)
    assert found is not None
    pipeline.processor.withhold(found)
    call.event(SECRET, {"said": SECRET})
    assert words(left_by(pipeline)["job_entrypoint"]) == {"call.metadata.seats": 2}
    job.end()
    assert words(pipeline.ended()["job_entrypoint"]) == {"call.metadata.seats": 2}


def test_withheld_from_the_start_nothing_is_on_disk(tmp_path: Path) -> None:
    """But for numbers, and what the application vouches for."""
    pipeline = Pipeline(tmp_path, content=False, content_safe=["call.outcome"])
    job = pipeline.start("job_entrypoint")
    call = spoken_of(pipeline, job)
    say(call, SECRET)
    call.score("csat", 5, SECRET)
    call.score("mood", SECRET, "")
    job.end()
    assert SECRET.encode() not in b"".join(pipeline.frames)
    root = pipeline.ended()["job_entrypoint"].attributes
    assert (root["call.outcome"], root["call.metadata.seats"]) == ("booked", 2)
    assert str(root["call.scores"]).startswith('[{"name": "csat", "value": 5, "time": ')


def test_what_was_said_goes_where_the_call_goes(tmp_path: Path) -> None:
    """Into a trace from outside, with the job's root; the object of before still leads there."""
    pipeline = Pipeline(tmp_path, current_job=lambda: "AJ_1")
    job = pipeline.start("job_entrypoint")
    call = spoken_of(pipeline, job)
    call.set("", ("vip",), {"plan": "gold"}, "")
    session = pipeline.start("agent_session", outside())
    call.set("", (), {"seats": 2}, "")
    spoken_of(pipeline, session).set("", (), {}, "booked")
    assert call.trace_id == f"{OUTSIDE:032x}"
    root = left_by(pipeline)["job_entrypoint"]
    assert (root.trace_id.hex(), words(root)) == (call.trace_id, SAID)
    stub = pipeline.ended()["job_entrypoint"]
    assert words(stub) == {"call.continued_in": call.trace_id, "call.tags": ["vip"]}
    session.end()
    job.end()
    assert words(pipeline.ended()["job_entrypoint"]) == SAID


def test_an_event_is_on_the_span_that_was_current(pipeline: Pipeline) -> None:
    """Also where that is young and has no start record yet; on the root of no span of the call."""
    job = pipeline.start("job_entrypoint")
    session = pipeline.start("agent_session", job)
    step = pipeline.start("step", pipeline.start("function_tool", session))
    call = spoken_of(pipeline, session)
    with trace.use_span(step):
        call.event("tried", {"times": 2})
    call.event("waited", {})
    with trace.use_span(pipeline.tracer.start_span("of another trace")):
        call.event("elsewhere", {})
    left = left_by(pipeline)
    noted = {name: [event.name for event in span.events] for name, span in left.items()}
    assert noted == {
        "job_entrypoint": ["waited", "elsewhere"],
        "agent_session": [],
        "function_tool": [],
        "step": ["tried"],
    }
    assert [event.attributes for event in left["step"].events] == [{"times": 2}]
    step.end()
    job.end()
    ended = pipeline.ended()
    assert [event.name for event in ended["step"].events] == ["tried"]
    assert [event.name for event in ended["job_entrypoint"].events] == ["waited", "elsewhere"]
    assert "call.events" not in ended["job_entrypoint"].attributes
