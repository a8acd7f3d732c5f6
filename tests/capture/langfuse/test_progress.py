"""A call ahead of its end: when its start is written again, and with what."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.capture.pipeline import SECRET, Pipeline
from tracing.capture.langfuse.progress import Progress
from tracing.stamps import IN_PROGRESS


def test_a_call_that_lasts_is_told_of_once(pipeline: Pipeline) -> None:
    """As far as it has come: who calls, and what was said; younger calls, and silent ones, wait."""
    progress = Progress(pipeline.processor)
    long_ago = time.time_ns() - 11 * 10**9
    job = pipeline.tracer.start_span("job_entrypoint", start_time=long_ago)
    session = pipeline.start("agent_session", job)
    progress.checkpoint()
    heard = pipeline.start("user_turn", session, **{"lk.pii.participant_identity": "ann"})
    heard.set_attribute("lk.pii.user_transcript", "Hello?")
    heard.end()
    young = pipeline.start("agent_session")
    for _ in range(3):
        progress.checkpoint()
    told = [r.span for r in pipeline.records() if r.span and IN_PROGRESS in r.span.attributes]
    assert [span.name for span in told] == ["job_entrypoint"]
    attributes = told[0].attributes
    said = json.loads(str(attributes["conversation.messages"]))
    assert said == [{"role": "user", "content": "Hello?"}]
    for span in (young, session, job):
        span.end()
    ended = pipeline.ended()["job_entrypoint"].attributes
    for name in ("session.id", "user.id"):
        assert attributes[name] == ended[name] != ""
    assert pipeline.left_open() == []


def test_a_call_without_content_is_told_of_without_it(tmp_path: Path) -> None:
    """Nothing that anybody said, and nobody's name, is in what goes out before its end."""
    pipeline = Pipeline(tmp_path, content=False)
    progress = Progress(pipeline.processor)
    long_ago = time.time_ns() - 11 * 10**9
    session = pipeline.tracer.start_span("agent_session", start_time=long_ago)
    session.set_attribute("order", SECRET)
    heard = pipeline.start("user_turn", session, **{"lk.pii.participant_identity": SECRET})
    heard.set_attribute("lk.pii.user_transcript", SECRET)
    heard.end()
    progress.checkpoint()
    [told] = [r.span for r in pipeline.records() if r.span and IN_PROGRESS in r.span.attributes]
    assert SECRET not in str(told)


def test_a_call_that_is_killed_has_said_what_was_said(pipeline: Pipeline) -> None:
    """Whenever it dies, by the last answer; Langfuse hears of it once before that."""
    now = time.time()
    progress = Progress(pipeline.processor, clock=lambda: now)
    job = pipeline.tracer.start_span("job_entrypoint", start_time=round(now * 1e9))
    session = pipeline.start("agent_session", job)
    said = []
    for turn in range(8):
        for name, told in (("user_turn", "user_transcript"), ("agent_turn", "response.text")):
            text = f"{name} {turn}"
            span = pipeline.start(name, session, **{f"lk.pii.{told}": text})
            span.end()
            said.append({"role": name.replace("agent", "assistant")[:-5], "content": text})
            now += 1.0
            progress.checkpoint()
            root = pipeline.recovered()["job_entrypoint"]
            assert json.loads(str(root.attributes["conversation.messages"])) == said
    told_of = [r.span for r in pipeline.records() if r.span and IN_PROGRESS in r.span.attributes]
    assert len(told_of) == 1
    written = len(pipeline.frames)
    progress.checkpoint()
    assert len(pipeline.frames) == written


def test_a_long_conversation_is_not_written_again_with_every_word(pipeline: Pipeline) -> None:
    """What it takes on the disk grows with the time, and not with its square."""
    now = began = time.time()
    progress = Progress(pipeline.processor, clock=lambda: now)
    session = pipeline.tracer.start_span("agent_session", start_time=round(now * 1e9))
    taken = 0
    for _ in range(900):
        pipeline.start("user_turn", session, **{"lk.pii.user_transcript": "x" * 500}).end()
        now += 0.2
        before = sum(map(len, pipeline.frames))
        progress.checkpoint()
        taken += sum(map(len, pipeline.frames)) - before
    assert taken < 1.1 * 16_384 * (now - began)


def test_a_start_that_is_written_again_is_masked(tmp_path: Path) -> None:
    """What somebody set on the root goes out before its end as well."""
    pipeline = Pipeline(tmp_path, mask=lambda text: text.replace(SECRET, "[masked]"))
    long_ago = time.time_ns() - 11 * 10**9
    session = pipeline.tracer.start_span("agent_session", start_time=long_ago)
    session.set_attribute("order", SECRET)
    pipeline.start("user_turn", session, **{"lk.pii.user_transcript": SECRET}).end()
    Progress(pipeline.processor).checkpoint()
    assert SECRET not in str(pipeline.records())
    root = pipeline.recovered()["agent_session"]
    assert root.attributes["order"] == "[masked]"
    assert "[masked]" in str(root.attributes["conversation.messages"])


def test_a_call_that_is_named_later_is_written_again(pipeline: Pipeline) -> None:
    """Its outermost span alone, with the names that hold from then on."""
    progress = Progress(pipeline.processor)
    job = pipeline.start("job_entrypoint")
    session = pipeline.start("agent_session", job)
    trace_id = session.get_span_context().trace_id
    call = pipeline.processor.call(trace_id)
    assert call is not None
    progress.checkpoint()
    written = len(pipeline.written())
    for user_id in ("ann", "ann"):
        call.set_identity("order-7", user_id)
        progress.checkpoint()
    [named] = [record.span for record in pipeline.records()[written:]]
    assert named is not None
    found = (named.name, named.attributes["session.id"], named.attributes["user.id"])
    assert found == ("job_entrypoint", "order-7", "ann")
    session.end()
    job.end()
    assert pipeline.left_open() == []
