"""Spans whose turns, calls and verdicts are worth scores."""

from __future__ import annotations

import json
from typing import Any

from tests.dialects.spans import livekit_span
from tracing.span import Span

TURN = {
    "turn.number": 1,
    "turn.user_bot_latency_seconds": 0.75,
    "turn.part_seconds.llm_first_token": 0.5,
    "turn.part_seconds.tts_first_byte": 0.25,
    "turn.over_budget": False,
    "turn.barged_in": True,
}
CALL = {
    "call.within_budget_share": 0.5,
    "call.barge_in_rate": 0.25,
    "call.tool_calls": 3,
    "call.tool_failures": 1,
    "call.latency_p50_seconds": 0.8,
    "call.latency_p95_seconds": 1.5,
    "call.turns": 4,
    "call.errors.llm": 2,
}
TAGGED = {
    "call.outcome": "fail",
    "call.outcome_reason": "hung up",
    "call.tags": ["lk.fail", "lk.judge.accuracy:pass", "language:es", "vip"],
    "call.evaluations": json.dumps(
        [{"name": "accuracy", "verdict": "pass", "reasoning": "all true"}]
    ),
}


def turn(number: int = 1, **attributes: Any) -> Span:
    """A turn of the agent."""
    span_id = number.to_bytes(8, "big")
    return livekit_span("agent_turn", {**TURN, **attributes}, span_id=span_id)
