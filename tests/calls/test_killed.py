"""What a killed process left open is unfinished: no stage has failed by that."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import Status, StatusCode, set_span_in_context

from tests.capture.pipeline import Pipeline
from tracing import names, stamps
from tracing.calls.facts import Facts
from tracing.calls.silence import in_words, unanswered
from tracing.calls.transcribe import transcribe
from tracing.calls.turn_detail import turn_detail
from tracing.span import STATUS_ERROR, Span

STAGES: dict[str, tuple[str, ...]] = {
    "llm": (names.LLM_NODE, names.LLM_REQUEST, names.LLM_REQUEST_RUN),
    "tts": (names.TTS_NODE, names.TTS_REQUEST, names.TTS_REQUEST_RUN),
    "realtime": (names.REALTIME_INFERENCE,),
    "tool": (names.FUNCTION_TOOL,),
}
"""By the stage of a turn, the spans that are open while it works, each in the one before."""


def call_in_a_stage(pipeline: Pipeline, stage: str) -> list[Any]:
    """The open spans of a call whose agent is just at a stage, the outermost first."""
    began = time.time_ns() - 1_000_000_000
    spans: list[Any] = []
    for name in (names.JOB_ENTRYPOINT, names.AGENT_SESSION, names.AGENT_TURN, *STAGES[stage]):
        context = set_span_in_context(spans[-1]) if spans else None
        spans.append(pipeline.tracer.start_span(name, context=context, start_time=began))
        began += 1_000_000
    return spans


def said_of(spans: Sequence[Span]) -> dict[str, Any]:
    """All that is said of failures in a call of one turn."""
    facts = Facts(spans)
    turn, row = facts.call["turns"][0], facts.row
    detail = turn_detail(facts.tree, turn["number"])
    assert detail is not None
    return {
        "summary": facts.call["summary"].get("errors"),
        "turn": sorted({error["stage"] for error in turn.get("errors", ())}),
        "for good": turn.get("error"),
        "flags": [flag for flag in row["flags"] if flag in ("error", "tool-failed")],
        "marks": [mark["text"] for mark in facts.shown["lanes"].get("events", ())],
        "failed": [one["name"] for one in detail["tree"] if one["is_error"]],
    }


NOTHING = {"summary": None, "turn": [], "for good": None, "flags": [], "marks": [], "failed": []}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_a_killed_process_left_open_has_not_failed(tmp_path: Path, stage: str) -> None:
    """Not in the summary, the turn, a list's flags or the lanes, and the call has died."""
    pipeline = Pipeline(tmp_path)
    call_in_a_stage(pipeline, stage)
    pipeline.processor.record_open_spans()
    left = list(pipeline.recovered().values())
    assert {span.status_code for span in left} == {STATUS_ERROR}
    assert {span.name for span in left} >= {names.AGENT_TURN, *STAGES[stage]}
    assert said_of(left) == NOTHING
    assert Facts(left).row["died"] == "process 1 died with the span open"


def test_a_tool_that_a_killed_process_left_open_is_unfinished(tmp_path: Path) -> None:
    """In the report, the drawer and the conversation; how long it took cannot be known."""
    pipeline = Pipeline(tmp_path)
    call_in_a_stage(pipeline, "tool")
    pipeline.processor.record_open_spans()
    facts = Facts(pipeline.recovered().values())
    [turn] = facts.call["turns"]
    [silence] = unanswered(facts.call["turns"])
    detail = turn_detail(facts.tree, turn["number"])
    assert detail is not None
    [said] = transcribe(facts.tree)["entries"]
    step = {"kind": "tool", "name": "tool", "is_unfinished": True, "is_error": False}
    assert (turn["is_unfinished"], detail["steps"]) == (True, [step])
    assert [(tool["is_error"], tool["is_unfinished"]) for tool in turn["tools"]] == [(False, True)]
    assert in_words(silence) == "cut off: the process ended first"
    assert (said["kind"], said["is_unfinished"]) == ("tool", True)
    assert not [one for one in (*turn["tools"], said) if "duration_seconds" in one]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_failed_before_its_process_died_has_failed(tmp_path: Path, stage: str) -> None:
    """The same spans, of which the stage's own ended with an error."""
    pipeline = Pipeline(tmp_path)
    for span in reversed(call_in_a_stage(pipeline, stage)[3:]):
        span.set_attribute(names.TOOL_IS_ERROR, stage == "tool")
        span.set_status(Status(StatusCode.ERROR, "gone"))
        span.end()
    told = said_of([*pipeline.recovered().values(), *pipeline.ended().values()])
    assert (told["turn"], told["summary"]) == ([stage], {stage: 1})
    assert told["flags"] == (["tool-failed"] if stage == "tool" else ["error"])


def test_a_user_turn_that_a_killed_process_left_open_had_its_stt(tmp_path: Path) -> None:
    """Nothing was transcribed yet, which is no error; what events told of the STT is one."""
    for told, expected in (({}, None), ({f"{stamps.TURN_ERRORS}stt": 1}, "stt_error")):
        pipeline = Pipeline(tmp_path)
        job = pipeline.start(names.JOB_ENTRYPOINT)
        session = pipeline.start(names.AGENT_SESSION, job)
        pipeline.start(names.USER_TURN, session, **told)
        tree = Facts(pipeline.recovered().values()).tree
        [turn] = tree.named(names.USER_TURN)
        assert turn.attributes.get(stamps.TURN_ERROR) == expected
