"""What a model used, in buckets that add up: no token is in two of them.

The names are those that Langfuse's price list knows. A bucket without a price costs nothing
there, so a name depends on the model where price lists differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracing.span import Attributes

USAGE = "gen_ai.usage."
"""Prefix of LiveKit's token counts, where the details are parts of the totals."""
MODALITIES = ("text", "audio", "image")
UNKNOWN: Mapping[str, int] = {"input": 0, "output": 0}
"""For a call of which no usage is known: it keeps a server from estimating, and pricing, one."""

Prices = Mapping[str, Mapping[str, float]]
"""US dollars per unit: bucket by model, such as `{"nova-3": {"seconds": 0.0000717}}`."""

_VENDORS = ("openai/", "anthropic/", "google/", "azure/", "models/")
_CACHE_READ = {"claude": "input_cache_read"}
_REASONING = {"gemini": "output_reasoning"}


def model_name(*candidates: object) -> str:
    """The first model that is named, without the vendor that LiveKit's inference puts before it."""
    for candidate in candidates:
        if isinstance(candidate, str) and candidate not in ("", "unknown"):
            for vendor in _VENDORS:
                candidate = candidate.removeprefix(vendor)
            return candidate
    return ""


def tokens(attributes: Attributes, model: str) -> dict[str, int]:
    """The buckets of one model call, from `gen_ai.usage.*`; empty where nothing was reported."""
    sent, made = _count(attributes, "input_tokens"), _count(attributes, "output_tokens")
    if not sent and not made:
        return {}
    buckets = {**_input(attributes, sent, model), **_output(attributes, made, model)}
    return {name: count for name, count in buckets.items() if count > 0}


def _input(attributes: Attributes, sent: int, model: str) -> dict[str, int]:
    by_modality = {m: _count(attributes, f"{m}.input_tokens") for m in MODALITIES}
    cached_by = {m: _count(attributes, f"{m}.cache_read.input_tokens") for m in MODALITIES}
    cached = _count(attributes, "cache_read.input_tokens", "input_cached_tokens")
    written = _count(attributes, "cache_write.input_tokens", "cache_creation.input_tokens")
    rest = max(sent - sum(by_modality.values()), 0)
    loose = max(cached - sum(cached_by.values()), 0) + written
    buckets = {f"input_{m}_tokens": max(by_modality[m] - cached_by[m], 0) for m in MODALITIES}
    buckets["input"] = rest
    for name in ("input", *(f"input_{m}_tokens" for m in MODALITIES)):
        taken = min(loose, buckets[name])
        buckets[name] -= taken
        loose -= taken
    return {
        **buckets,
        **{f"input_cached_{m}_tokens": cached_by[m] for m in MODALITIES},
        _named(_CACHE_READ, model, "input_cached_tokens"): cached - sum(cached_by.values()),
        "input_cache_creation": written,
    }


def _output(attributes: Attributes, made: int, model: str) -> dict[str, int]:
    by_modality = {m: _count(attributes, f"{m}.output_tokens") for m in MODALITIES}
    reasoning = _count(attributes, "reasoning.output_tokens", "reasoning_tokens")
    rest = max(made - sum(by_modality.values()), 0)
    from_text = min(max(reasoning - rest, 0), by_modality["text"])
    by_modality["text"] -= from_text
    return {
        "output": max(rest - reasoning, 0),
        **{f"output_{m}_tokens": count for m, count in by_modality.items()},
        _named(_REASONING, model, "output_reasoning_tokens"): reasoning,
    }


def _count(attributes: Attributes, *names: str) -> int:
    for name in names:
        value = attributes.get(USAGE + name)
        if isinstance(value, int) and value > 0:
            return value
    return 0


def _named(names: Mapping[str, str], model: str, otherwise: str) -> str:
    return next((name for family, name in names.items() if model.startswith(family)), otherwise)


def speech_units(measured: Mapping[str, Any]) -> dict[str, float]:
    """What speech cost its maker, from LiveKit's TTS or STT metrics: tokens, or its own units."""
    units = {
        "input": measured.get("input_tokens"),
        "output": measured.get("output_tokens"),
        "characters": measured.get("characters_count"),
        "seconds": measured.get("audio_duration"),
    }
    return {name: units_used for name, units_used in units.items() if units_used}


def details(units: Mapping[str, float]) -> dict[str, int]:
    """Units as Langfuse stores them: whole numbers, and only tokens in the total of tokens."""
    counts = {name: round(count) for name, count in units.items()}
    if counts.keys() & {"characters", "seconds"}:
        counts["total"] = counts.get("input", 0) + counts.get("output", 0)
    return counts


def cost(units: Mapping[str, float], model: str, prices: Prices) -> dict[str, float]:
    """What the user's own prices make of it; empty for a model that they do not price."""
    priced = prices.get(model, {})
    costs = {name: count * priced[name] for name, count in units.items() if name in priced}
    return {**costs, "total": sum(costs.values())} if costs else {}
