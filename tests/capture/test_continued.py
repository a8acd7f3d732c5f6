"""A trace that is continued from outside: the call is whole in it, and one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from tests.capture.pipeline import Pipeline
from tracing.account.restamp import restamp
from tracing.calls.describe import describe
from tracing.calls.tree import Tree
from tracing.dialects.langfuse import LangfuseDialect
from tracing.span import Span
from tracing.spool.records import END
from tracing.store.store import Store

OUTSIDE = 0x0AF7651916CD43DD8448EB211C80319C
ABOVE = 0xB7AD6B7169203331
JOB = {"lk.job_id": "AJ_1", "lk.agent_name": "clerk", "lk.pii.room_name": "lobby"}


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """A processor in a job."""
    return Pipeline(tmp_path, current_job=lambda: "AJ_1")


def outside(trace_id: int = OUTSIDE) -> trace.Span:
    """A span of another process, as `extract` gives it."""
    sampled = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    context = trace.SpanContext(trace_id, ABOVE, is_remote=True, trace_flags=sampled)
    return trace.NonRecordingSpan(context)


def one_session(pipeline: Pipeline, parent: Any) -> None:
    """A session of one turn."""
    session = pipeline.start("agent_session", parent)
    heard = {"lk.pii.participant_identity": "ann", "lk.pii.user_transcript": "hi"}
    pipeline.start("user_turn", session, **heard).end()
    answer = {"lk.pii.user_input": "hi", "lk.pii.response.text": "yo", "lk.e2e_latency": 0.4}
    turn = pipeline.start("agent_turn", session, **answer)
    pipeline.start("function_tool", turn).end()
    turn.end()
    session.end()


def ended(pipeline: Pipeline) -> list[Span]:
    """The spans that ended, in that order."""
    return [record.span for record in pipeline.records() if record.kind == END and record.span]


def trees(spans: list[Span]) -> dict[int, set[tuple[str, str]]]:
    """By trace, each span's name with that of its parent."""
    names = {(s.trace_id, s.span_id): s.name for s in spans}
    found: dict[int, set[tuple[str, str]]] = {}
    for one in spans:
        above = names.get((one.trace_id, one.parent_span_id), one.parent_span_id.hex())
        found.setdefault(int.from_bytes(one.trace_id, "big"), set()).add((one.name, above))
    return found


CALL = {
    ("job_entrypoint", f"{ABOVE:x}"),
    ("agent_session", "job_entrypoint"),
    ("user_turn", "agent_session"),
    ("agent_turn", "agent_session"),
    ("function_tool", "agent_turn"),
    ("job_shutdown", "job_entrypoint"),
}


def test_a_job_that_continues_a_trace_is_one_call_in_it(pipeline: Pipeline) -> None:
    """Root, session, turns; with the job's identity, and the conversation on the root."""
    job = pipeline.start("job_entrypoint", **JOB)
    pipeline.start("room_connect", job).end()
    one_session(pipeline, outside())
    pipeline.start("job_shutdown", job).end()
    job.end()
    spans = ended(pipeline)
    own = job.get_span_context().trace_id
    assert trees(spans) == {
        own: {("room_connect", "job_entrypoint"), ("job_entrypoint", "")},
        OUTSIDE: CALL,
    }
    assert {s.attributes["session.id"] for s in spans} == {"lobby/AJ_1"}
    assert {s.attributes["lk.job_id"] for s in spans} == {"AJ_1"}
    rest, root = (s for s in spans if s.name == "job_entrypoint")
    assert rest.attributes["call.continued_in"] == f"{OUTSIDE:032x}"
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
    assert json.loads(str(root.attributes["conversation.messages"])) == said
    shown = LangfuseDialect()(root)
    assert shown is not None
    assert json.loads(str(shown.attributes["langfuse.trace.output"])) == said[1]
    assert pipeline.left_open() == []
    assert pipeline.ledger.counts == {}


def test_the_store_lists_it_once(pipeline: Pipeline, tmp_path: Path) -> None:
    """Also where the job's start had come in under its own trace before."""
    job = pipeline.start("job_entrypoint", **JOB)
    with Store(tmp_path / "calls.db") as store:
        store.add([record.span for record in pipeline.records() if record.span])
        one_session(pipeline, outside())
        job.end()
        store.add(ended(pipeline))
        [call] = store.calls()
        turns = describe(Tree(store.spans(call.trace_id)))["turns"]
    assert (call.trace_id, call.session_id) == (f"{OUTSIDE:032x}", "lobby/AJ_1")
    assert [(turn["number"], turn["user_text"]) for turn in turns] == [(1, "hi")]


def test_what_a_killed_process_left_is_in_the_trace_from_outside(pipeline: Pipeline) -> None:
    """The job's start was written again there."""
    job = pipeline.start("job_entrypoint", **JOB)
    session = pipeline.start("agent_session", outside())
    assert pipeline.left_open() == ["agent_session", "job_entrypoint"]
    starts = [record.span for record in pipeline.records() if record.kind not in (END,)]
    at_last = {s.name: s for s in starts if s is not None and s.name}
    assert {int.from_bytes(s.trace_id, "big") for s in at_last.values()} == {OUTSIDE}
    session.end()
    job.end()


def test_a_session_without_a_job_is_the_root(tmp_path: Path) -> None:
    """Its parent is remote, and it has what a root has."""
    pipeline = Pipeline(tmp_path)
    one_session(pipeline, outside())
    assert trees(ended(pipeline))[OUTSIDE] >= {("agent_session", f"{ABOVE:x}")}
    told = {s.name: "conversation.messages" in s.attributes for s in ended(pipeline)}
    assert [name for name, has in told.items() if has] == ["agent_session"]


def test_a_trace_that_comes_in_while_a_session_runs_does_not_take_the_call(
    pipeline: Pipeline,
) -> None:
    """Such as that of an RPC: what is traced in it stays below the job's root."""
    job = pipeline.start("job_entrypoint", **JOB)
    session = pipeline.start("agent_session", job)
    pipeline.start("agent_turn", outside()).end()
    session.end()
    job.end()
    own = job.get_span_context().trace_id
    assert trees(ended(pipeline)) == {
        own: {
            ("job_entrypoint", ""),
            ("agent_session", "job_entrypoint"),
            ("agent_turn", "job_entrypoint"),
        }
    }


def test_a_second_trace_from_outside_joins_the_first(pipeline: Pipeline) -> None:
    """One call, whatever the entrypoint attaches on its way."""
    job = pipeline.start("job_entrypoint", **JOB)
    pipeline.start("room_connect", outside()).end()
    one_session(pipeline, outside(7))
    pipeline.start("job_shutdown", job).end()
    job.end()
    found = trees(ended(pipeline))
    assert found[OUTSIDE] == CALL | {("room_connect", "job_entrypoint")}
    assert 7 not in found


def test_spans_of_others_below_a_remote_parent_stay_where_they_are(pipeline: Pipeline) -> None:
    """Another tracer's requests are no call."""
    job = pipeline.start("job_entrypoint", **JOB)
    others = pipeline.provider.get_tracer("fastapi")
    others.start_span("GET /", context=trace.set_span_in_context(outside())).end()
    job.end()
    assert trees(ended(pipeline))[OUTSIDE] == {("GET /", f"{ABOVE:x}")}


def test_a_recorded_call_below_a_remote_parent_has_its_conversation(tmp_path: Path) -> None:
    """As where its root had none."""
    pipeline = Pipeline(tmp_path)
    one_session(pipeline, outside())
    bare = [
        s._replace(attributes={k: v for k, v in s.attributes.items() if k.startswith("lk.")})
        for s in ended(pipeline)
    ]
    told = {s.name: s.attributes.get("conversation.messages") for s in restamp(bare)}
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
    assert json.loads(str(told.pop("agent_session"))) == said
    assert set(told.values()) == {None}
