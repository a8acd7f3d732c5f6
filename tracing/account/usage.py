"""What models used, added up from the metrics that LiveKit leaves on their spans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracing import names
from tracing.account.summary import Summary
from tracing.account.turns.turn import parsed
from tracing.span import Span

_METRICS = frozenset({names.LLM_METRICS, names.TTS_METRICS, names.REALTIME_METRICS_JSON})


def add_usage(summary: Summary, span: Span) -> None:
    """Add what a request used to a session's summary."""
    for key in _METRICS.intersection(span.attributes):
        text = names.text(span.attributes, key)
        if text:
            summary.add_usage(_usage(parsed(text)))


def _usage(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics of one request in the shape of LiveKit's `*ModelUsage`."""
    metadata = measured.get("metadata") or {}
    who = {
        "provider": metadata.get("model_provider") or "",
        "model": metadata.get("model_name") or "",
    }
    if measured["type"] == "tts_metrics":
        fields = ("input_tokens", "output_tokens", "characters_count", "audio_duration")
        return {"type": "tts_usage", **who, **{key: measured[key] for key in fields}}
    if measured["type"] == "llm_metrics":
        return {
            "type": "llm_usage",
            **who,
            "input_tokens": measured["prompt_tokens"],
            "input_cached_tokens": measured["prompt_cached_tokens"],
            "input_cache_creation_tokens": measured.get("cache_creation_tokens", 0),
            "output_tokens": measured["completion_tokens"],
            "output_reasoning_tokens": measured.get("reasoning_tokens", 0),
        }
    return {"type": "llm_usage", **who, **_realtime_usage(measured)}


def _realtime_usage(measured: Mapping[str, Any]) -> dict[str, Any]:
    sent, made = measured["input_token_details"], measured["output_token_details"]
    cached = sent.get("cached_tokens_details") or {}
    return {
        "input_tokens": measured["input_tokens"],
        "input_cached_tokens": sent["cached_tokens"],
        **{f"input_{m}_tokens": sent[f"{m}_tokens"] for m in ("audio", "text", "image")},
        **{
            f"input_cached_{m}_tokens": cached.get(f"{m}_tokens", 0)
            for m in ("audio", "text", "image")
        },
        "output_tokens": measured["output_tokens"],
        **{f"output_{m}_tokens": made[f"{m}_tokens"] for m in ("audio", "text")},
        "session_duration": measured["session_duration"],
    }
