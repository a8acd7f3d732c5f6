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
    heard = pipeline.start("user_turn", session, **{"lk.pii.participant_identity": SECRET})
    heard.set_attribute("lk.pii.user_transcript", SECRET)
    heard.end()
    progress.checkpoint()
    [told] = [r.span for r in pipeline.records() if r.span and IN_PROGRESS in r.span.attributes]
    assert SECRET not in str(told)


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
