"""What calls add up to."""

from __future__ import annotations

from tests.described import CALL, spread
from tracing.calls.totals import overall


def test_the_numbers_of_all_calls() -> None:
    """Sums, rates and percentiles over calls; a discarded generation is no turn."""
    assert overall([CALL, {**CALL, "turns": [], "summary": {}}]) == {
        "calls": 2,
        "turns": 3,
        "budget_seconds": 1.0,
        "latency": {
            "count": 2,
            "p50_seconds": 1.05,
            "p95_seconds": 1.275,
            "max_seconds": 1.3,
            "within_budget_share": 0.5,
        },
        "parts": {
            "turn_decision": spread(2, 0.3, 0.3, 0.3),
            "llm_first_token": spread(2, 0.7, 0.97, 1.0),
            "queue_wait": spread(1, 0.0, 0.0, 0.0),
            "unaccounted": spread(1, 0.1, 0.1, 0.1),
        },
        "first_output": spread(1, 0.41, 0.41, 0.41),
        "heard_turns": 3,
        "barge_ins": 1,
        "barge_in_rate": 1 / 3,
        "tools": {
            "book": {"calls": 1, "failures": 1, "failure_rate": 1.0, **spread(0, 2.0, 2.0, 2.0)},
            "get_weather": {
                "calls": 1,
                "failures": 0,
                "failure_rate": 0.0,
                **spread(0, 0.25, 0.25, 0.25),
            },
        },
        "mean_transcript_confidence": 0.9,
        "fallbacks": 1,
        "retries": 2,
        "transcript_corrections": 1,
        "errors": {"llm": 2, "tts": 1, "tool": 1},
        "usage": CALL["summary"]["usage"],  # type: ignore[index]
    }
