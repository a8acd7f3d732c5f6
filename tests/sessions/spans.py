"""Spans made by hand, in milliseconds from the start of a call."""

from __future__ import annotations

import json
from typing import Any

from tracing.account.turns.turn import Turn, by_name
from tracing.span import STATUS_ERROR, Event, Span

TRACE_ID = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
EPOCH_NANOS = 1_795_203_000_000_000_000

_count = iter(range(1, 1_000_000))


def nanos(millis: float) -> int:
    """The time so long after the start of the call."""
    return EPOCH_NANOS + round(millis * 1e6)


def span(
    name: str,
    start: float,
    end: float | None,
    attributes: dict[str, Any] | None = None,
    *,
    parent: Span | None = None,
    failed: bool = False,
    events: tuple[Event, ...] = (),
) -> Span:
    """A span; `end=None` leaves it open."""
    return Span(
        trace_id=TRACE_ID,
        span_id=next(_count).to_bytes(8, "big"),
        parent_span_id=parent.span_id if parent is not None else b"",
        name=name,
        start_time_unix_nano=nanos(start),
        end_time_unix_nano=nanos(end) if end is not None else 0,
        attributes=attributes or {},
        events=events,
        status_code=STATUS_ERROR if failed else 0,
    )


def llm_metrics(**fields: Any) -> str:
    """LiveKit's JSON of a request's metrics."""
    return json.dumps(
        {
            "type": "llm_metrics",
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "prompt_cached_tokens": 40,
            "total_tokens": 110,
            "tokens_per_second": 33.0,
            "metadata": {"model_name": "gpt", "model_provider": "openai"},
            **fields,
        }
    )


def tts_metrics(started: float, ttfb: float, duration: float, **fields: Any) -> str:
    """LiveKit's JSON of a synthesis that got its text at `started`, all in milliseconds."""
    return json.dumps(
        {
            "type": "tts_metrics",
            "timestamp": nanos(started + duration) / 1e9,
            "duration": duration / 1e3,
            "ttfb": ttfb / 1e3,
            "audio_duration": 2.0,
            "characters_count": 20,
            "input_tokens": 0,
            "output_tokens": 0,
            "metadata": {"model_name": "sonic", "model_provider": "cartesia"},
            **fields,
        }
    )


def reply(**attributes: Any) -> Span:
    """An `agent_turn` that answers speech which ended at 0 ms."""
    return span("agent_turn", 500, 5_000, {"lk.speech.queue_wait": 0.0, **attributes})


def answered(agent_turn: Span, steps: list[Span], user: list[Span] | None = None) -> Turn:
    """A turn of these spans."""
    return Turn(agent_turn, by_name(steps), by_name(user or []))
