"""Calls of livekit-agents before 1.8, where each LLM step is a turn and a hook has no span."""

from __future__ import annotations

from typing import Any

from tests.sessions.spans import span
from tracing.calls.describe import describe
from tracing.calls.tree import Tree
from tracing.span import Span

SESSION = span("agent_session", -500, 5_000)


def turn_of(start: float, end: float, attributes: dict[str, Any], *steps: Span) -> list[Span]:
    """A turn of this session, and its steps below it."""
    turn = span("agent_turn", start, end, attributes, parent=SESSION)
    return [turn, *(step._replace(parent_span_id=turn.span_id) for step in steps)]


def tool(name: str, start: float, end: float) -> Span:
    return span("function_tool", start, end, {"lk.function_tool.name": name})


def test_a_silent_step_between_others_and_the_hook_before_them() -> None:
    """What the chain of turns did is the answer's; the hook took what its metrics tell."""
    follow_up = {"lk.parent_generation_id": "speech_1"}
    spans = [
        SESSION,
        span("user_speaking", -300, 0, parent=SESSION),
        span(
            "user_turn",
            -300,
            500,
            {"lk.user_transcript": "hello", "lk.end_of_turn_delay": 0.5},
            parent=SESSION,
        ),
        *turn_of(
            700,
            1_000,
            {"lk.user_input": "hello"},
            span("llm_node", 700, 900),
            tool("look_up", 900, 1_000),
        ),
        *turn_of(
            1_000, 1_400, follow_up, span("llm_node", 1_000, 1_200), tool("search", 1_200, 1_400)
        ),
        *turn_of(
            1_400,
            3_000,
            {
                **follow_up,
                "lk.e2e_latency": 1.9,
                "lk.end_of_turn_delay": 0.5,
                "lk.response.text": "Found it.",
                "turn.eou.on_user_turn_completed_delay": 0.2,
            },
            span("llm_node", 1_400, 1_800, {"lk.response.ttft": 0.3}),
            span("tts_node", 1_700, 2_000, {"lk.response.ttfb": 0.2}),
            span("agent_speaking", 1_900, 3_000),
        ),
    ]
    turns = describe(Tree(spans))["turns"]
    assert [(t["kind"], t.get("user_text"), t.get("agent_text")) for t in turns] == [
        ("reply", "hello", None),
        ("tool_follow_up", None, None),
        ("reply", None, "Found it."),
    ]
    assert turns[2]["parts"] == {
        "turn_decision": 0.5,
        "on_user_turn_completed": 0.2,
        "llm_step": 0.2,
        "tool.look_up": 0.1,
        "llm_step.2": 0.2,
        "tool.search": 0.2,
        "llm_first_token": 0.3,
        "llm_speakable_text": 0.0,
        "tts_first_audio": 0.2,
        "playout_start": 0.0,
    }


def test_an_interrupted_reply_leads_to_no_other() -> None:
    """What it did is no part of the answer to what the user said then."""
    spans = [
        SESSION,
        *turn_of(
            100, 900, {"lk.user_input": "a", "lk.interrupted": True}, span("llm_node", 100, 900)
        ),
        *turn_of(
            1_000,
            3_000,
            {"lk.user_input": "b", "lk.e2e_latency": 1.2},
            span("llm_node", 1_000, 1_800, {"lk.response.ttft": 0.5}),
            span("agent_speaking", 1_500, 3_000),
        ),
    ]
    assert describe(Tree(spans))["turns"][1]["parts"] == {
        "llm_first_token": 0.5,
        "unaccounted": 0.7,
    }
