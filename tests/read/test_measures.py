"""Each number that a check can name."""

from __future__ import annotations

import pytest

from tests.described import CALL, replies
from tracing.read.measures import NAMES, Measured, is_name, measured

TWO_CALLS = [CALL, {**CALL, "turns": [], "summary": {}}]


def test_every_number_of_two_calls() -> None:
    """By name, with how many of what it was counted over."""
    numbers = measured(TWO_CALLS)
    assert {name: tuple(found) for name, found in numbers.items()} == {
        "calls": (2, 2, "call"),
        "turns": (3, 2, "call"),
        "replies": (2, 3, "turn"),
        "p50": (1.05, 2, "answered turn"),
        "p95": (pytest.approx(1.275), 2, "answered turn"),
        "max": (1.3, 2, "answered turn"),
        "within_budget_share": (0.5, 2, "answered turn"),
        "parts.turn_decision.p50": (0.3, 2, "answered turn"),
        "parts.turn_decision.p95": (pytest.approx(0.3), 2, "answered turn"),
        "parts.turn_decision.max": (0.3, 2, "answered turn"),
        "parts.llm_first_token.p50": (0.7, 2, "answered turn"),
        "parts.llm_first_token.p95": (pytest.approx(0.97), 2, "answered turn"),
        "parts.llm_first_token.max": (1.0, 2, "answered turn"),
        "parts.queue_wait.p50": (0.0, 1, "answered turn"),
        "parts.queue_wait.p95": (0.0, 1, "answered turn"),
        "parts.queue_wait.max": (0.0, 1, "answered turn"),
        "parts.unaccounted.p50": (0.1, 1, "answered turn"),
        "parts.unaccounted.p95": (0.1, 1, "answered turn"),
        "parts.unaccounted.max": (0.1, 1, "answered turn"),
        "first_output.p50": (0.41, 1, "turn"),
        "first_output.p95": (0.41, 1, "turn"),
        "first_output.max": (0.41, 1, "turn"),
        "heard_turns": (3, 3, "turn"),
        "barge_ins": (1, 3, "heard turn"),
        "barge_in_rate": (1 / 3, 3, "heard turn"),
        "mean_transcript_confidence": (0.9, 1, "transcript"),
        "tools.book.calls": (1, 1, "tool call"),
        "tools.book.failures": (1, 1, "tool call"),
        "tools.book.failure_rate": (1.0, 1, "tool call"),
        "tools.book.p50": (2.0, 1, "tool call"),
        "tools.book.p95": (2.0, 1, "tool call"),
        "tools.book.max": (2.0, 1, "tool call"),
        "tools.get_weather.calls": (1, 1, "tool call"),
        "tools.get_weather.failures": (0, 1, "tool call"),
        "tools.get_weather.failure_rate": (0.0, 1, "tool call"),
        "tools.get_weather.p50": (0.25, 1, "tool call"),
        "tools.get_weather.p95": (0.25, 1, "tool call"),
        "tools.get_weather.max": (0.25, 1, "tool call"),
        "tool_calls": (2, 3, "turn"),
        "tool_failures": (1, 3, "turn"),
        "tool_failure_rate": (0.5, 2, "tool call"),
        "fallbacks": (1, 3, "turn"),
        "retries": (2, 3, "turn"),
        "discarded_generations": (0, 3, "turn"),
        "transcript_corrections": (1, 0, "turn"),
        "user_resumes": (0, 3, "turn"),
        "errors.llm": (2, 2, "call"),
        "errors.tts": (1, 2, "call"),
        "errors.realtime": (0, 2, "call"),
        "errors.stt": (0, 2, "call"),
        "errors.tool": (1, 2, "call"),
        "usage.gpt-4o.input_tokens": (1300, 2, "call"),
        "usage.gpt-4o.input_cached_tokens": (100, 2, "call"),
        "usage.gpt-4o.output_tokens": (60, 2, "call"),
        "usage.sonic-2.characters_count": (156, 2, "call"),
        "usage.sonic-2.audio_duration": (3.9, 2, "call"),
    }
    assert [name for name in numbers if not is_name(name)] == []


def test_what_the_calls_cannot_tell_is_absent() -> None:
    """A text call has no latency, and one without tools no rate of their failures."""
    text = {"turns": [{"kind": "reply"}], "summary": {}}
    assert sorted(NAMES.keys() & measured([text]).keys()) == [
        "calls",
        "discarded_generations",
        "fallbacks",
        "retries",
        "tool_calls",
        "tool_failures",
        "turns",
        "user_resumes",
    ]
    assert measured([])["turns"] == Measured(0, 0, "call")
    assert "fallbacks" not in measured([{"turns": []}])


def test_what_only_observe_tells_is_none_where_it_looked() -> None:
    """Without `observe` nobody counted false interruptions."""
    call = {"turns": replies(0.5), "summary": {}}
    observed = {**call, "summary": {"options": {"turn_detection": "stt"}}}
    assert "false_interruptions" not in measured([call])
    assert measured([call, observed])["false_interruptions"] == Measured(0, 1, "turn")


@pytest.mark.parametrize(
    "name",
    ["", "p96", "P95", "tools.p95x", "tools.book", "parts.x", "errors.gpu", "usage.x", "latency"],
)
def test_other_names_are_unknown(name: str) -> None:
    """A slip of the pen is told from what a call happens not to have."""
    assert not is_name(name)
