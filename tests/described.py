"""Calls as `describe` tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tracing.read.selection import Side

GREETING = {
    "number": 1,
    "kind": "greeting",
    "agent_text": "Hello, how can I help?",
    "first_output_seconds": 0.41,
    "parts": {"tts_first_audio": 0.41},
    "interrupted": False,
    "barged_in": False,
    "agent_started_speaking_at": 1.0,
}
REPLY = {
    "number": 2,
    "kind": "reply",
    "user_text": "What is the weather in Oslo?",
    "agent_text": "It is sunny in Oslo.",
    "user_bot_latency_seconds": 0.8,
    "parts": {"turn_decision": 0.3, "llm_first_token": 0.4, "queue_wait": 0.0, "unaccounted": 0.1},
    "interrupted": False,
    "barged_in": False,
    "agent_started_speaking_at": 2.0,
    "tools": [{"name": "get_weather", "duration_seconds": 0.25, "is_error": False}],
    "overlap_seconds": 0.15,
    "transcript_confidence": 0.9,
    "transcript_corrections": 1,
    "llm_input_tokens": 100,
}
SLOW = {
    "number": 3,
    "kind": "reply",
    "user_text": "Book a [red]table[/red].",
    "agent_text": "Sorry, I could not \x1b[2Jbook a table, as the line to the kitchen is dead.",
    "user_bot_latency_seconds": 1.3,
    "parts": {"turn_decision": 0.3, "llm_first_token": 1.0},
    "interrupted": True,
    "barged_in": True,
    "heard_seconds": 1.2,
    "heard_share": 0.66,
    "agent_started_speaking_at": 3.0,
    "tools": [{"name": "book", "duration_seconds": 2.0, "is_error": True, "error": "no line"}],
    "errors": [
        {"stage": "llm", "message": "overloaded"},
        {"stage": "llm", "message": "overloaded"},
        {"stage": "tool", "message": "tool_error"},
        {"stage": "tts"},
    ],
    "fallbacks": 1,
    "retries": 2,
    "llm_input_tokens": 200,
}
DISCARDED = {"number": 4, "kind": "discarded", "parts": {}}
CALL = {
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "session_id": "room/job",
    "user_id": "alice",
    "agent": "clinic",
    "started_at": "2026-10-09T10:00:00+00:00",
    "duration_seconds": 83.0,
    "summary": {
        "budget_seconds": 1.0,
        "errors": {"llm": 2, "tts": 1, "tool": 1},
        "close_reason": "task_completed",
        "usage": [
            {
                "type": "llm_usage",
                "provider": "openai",
                "model": "gpt-4o",
                "input_tokens": 1300,
                "input_cached_tokens": 100,
                "output_tokens": 60,
            },
            {
                "type": "tts_usage",
                "provider": "cartesia",
                "model": "sonic-2",
                "characters_count": 156,
                "audio_duration": 3.9,
            },
        ],
    },
    "turns": [GREETING, REPLY, SLOW, DISCARDED],
}


def side(selector: str, *turns: Mapping[str, Any]) -> Side:
    """Turns of one call."""
    return Side(selector, 1, list(turns), [1.0] * len(turns), [list(turns)], [{}])


def replies(*latencies: float) -> list[dict[str, Any]]:
    """Replies of these latencies, all of them the LLM's."""
    return [
        {
            "kind": "reply",
            "user_bot_latency_seconds": latency,
            "parts": {"llm_first_token": latency, "queue_wait": 0.0},
            "llm_input_tokens": 10,
        }
        for latency in latencies
    ]


def spread(count: int, p50: float, p95: float, most: float) -> dict[str, Any]:
    """A spread to compare with; the percentiles of sums are not exact."""
    found = {
        "p50_seconds": pytest.approx(p50),
        "p95_seconds": pytest.approx(p95),
        "max_seconds": most,
    }
    return {"count": count, **found} if count else found
