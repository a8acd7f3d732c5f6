"""What models used, added up from the metrics that LiveKit leaves on their spans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tracing import names
from tracing.account.measured import Measured, measured
from tracing.account.summary import Summary
from tracing.span import Span


def add_usage(summary: Summary, span: Span, purpose: str = "") -> None:
    """Add what a request used to a session's summary; `purpose` where it is no turn's step."""
    for key, usage_of in _USAGE_BY_KEY.items():
        if told := measured(names.text(span.attributes, key)):
            metadata = told.part("metadata")
            who = {
                "provider": metadata.text("model_provider"),
                "model": metadata.text("model_name"),
            }
            summary.add_usage({**who, **usage_of(told), "purpose": purpose})


def _tts_usage(told: Measured) -> dict[str, Any]:
    tokens = {key: told.count(key) for key in ("input_tokens", "output_tokens", "characters_count")}
    return {
        "type": "tts_usage",
        **tokens,
        "audio_duration": told.number("audio_duration") or 0,
    }


def _llm_usage(told: Measured) -> dict[str, Any]:
    return {
        "type": "llm_usage",
        "input_tokens": told.count("prompt_tokens"),
        "input_cached_tokens": told.count("prompt_cached_tokens"),
        "input_cache_creation_tokens": told.count("cache_creation_tokens"),
        "output_tokens": told.count("completion_tokens"),
        "output_reasoning_tokens": told.count("reasoning_tokens"),
    }


def _realtime_usage(told: Measured) -> dict[str, Any]:
    sent, made = told.part("input_token_details"), told.part("output_token_details")
    cached = sent.part("cached_tokens_details")
    return {
        "type": "llm_usage",
        "input_tokens": told.count("input_tokens"),
        "input_cached_tokens": sent.count("cached_tokens"),
        **{f"input_{m}_tokens": sent.count(f"{m}_tokens") for m in ("audio", "text", "image")},
        **{
            f"input_cached_{m}_tokens": cached.count(f"{m}_tokens")
            for m in ("audio", "text", "image")
        },
        "output_tokens": told.count("output_tokens"),
        **{f"output_{m}_tokens": made.count(f"{m}_tokens") for m in ("audio", "text")},
        "session_duration": told.number("session_duration") or 0,
    }


_USAGE_BY_KEY: Mapping[str, Callable[[Measured], dict[str, Any]]] = {
    names.LLM_METRICS: _llm_usage,
    names.TTS_METRICS: _tts_usage,
    names.REALTIME_METRICS_JSON: _realtime_usage,
}
"""By the attribute that holds the metrics of a request: these in the shape of `*ModelUsage`."""
