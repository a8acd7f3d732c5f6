"""What a model used, in buckets that add up: no token is in two of them.

The names are those that Langfuse's price list knows. A bucket without a price costs nothing
there, so a name depends on the model where price lists differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracing import names
from tracing.span import Attributes

MODALITIES = ("text", "audio", "image")
UNKNOWN: Mapping[str, int] = {"input": 0, "output": 0}
"""For a call of which no usage is known: it keeps a server from estimating, and pricing, one."""

Prices = Mapping[str, Mapping[str, float]]
"""US dollars per unit: bucket by model, such as `{"nova-3": {"seconds": 0.0000717}}`."""

_VENDORS = ("openai/", "anthropic/", "google/", "azure/", "models/")
_CACHE_READ = {"claude": "input_cache_read"}
_REASONING = {"gemini": "output_reasoning"}
_NAMES_OF_METRICS = {
    "input_tokens": "input_tokens",
    "prompt_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "completion_tokens": "output_tokens",
    "prompt_cached_tokens": "cache_read.input_tokens",
    "cache_creation_tokens": "cache_write.input_tokens",
    "reasoning_tokens": "reasoning.output_tokens",
}


def model_name(*candidates: object) -> str:
    """The first model that is named, without the vendor that LiveKit's inference puts before it."""
    for candidate in candidates:
        if isinstance(candidate, str) and candidate not in ("", "unknown"):
            for vendor in _VENDORS:
                candidate = candidate.removeprefix(vendor)
            return candidate
    return ""


def tokens(attributes: Attributes, measured: Mapping[str, Any], model: str) -> dict[str, int]:
    """The buckets of one model call; empty where nothing was reported.

    LiveKit's metrics say more than `gen_ai.usage.*`, the older its version the more so.
    """
    counts = {
        key.removeprefix(names.USAGE): value
        for key, value in attributes.items()
        if key.startswith(names.USAGE) and isinstance(value, int)
    }
    counts.update(_reported(measured))
    buckets = {**_input(counts, model), **_output(counts, model)}
    return {name: count for name, count in buckets.items() if count > 0}


def _reported(measured: Mapping[str, Any]) -> dict[str, int]:
    """LiveKit's LLMMetrics or RealtimeModelMetrics under the names of `gen_ai.usage.*`."""
    found = {_NAMES_OF_METRICS[key]: measured[key] for key in _NAMES_OF_METRICS if key in measured}
    sent = part(measured, "input_token_details")
    if sent:
        found["cache_read.input_tokens"] = sent.get("cached_tokens")
    by_modality = {
        "input_tokens": sent,
        "cache_read.input_tokens": part(sent, "cached_tokens_details"),
        "output_tokens": part(measured, "output_token_details"),
    }
    for kind, counted in by_modality.items():
        found.update({f"{m}.{kind}": counted.get(f"{m}_tokens") for m in MODALITIES})
    # Zeros say that LiveKit was told nothing.
    return {name: count for name, count in found.items() if isinstance(count, int) and count}


def part(measured: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object inside metrics; empty where there is none."""
    found = measured.get(key)
    return found if isinstance(found, dict) else {}


def _input(counts: Mapping[str, int], model: str) -> dict[str, int]:
    """Plain input by modality, less what was cached or written to a cache."""
    sent = {m: counts.get(f"{m}.input_tokens", 0) for m in MODALITIES}
    cached = {m: counts.get(f"{m}.cache_read.input_tokens", 0) for m in MODALITIES}
    written = counts.get("cache_write.input_tokens", counts.get("cache_creation.input_tokens", 0))
    loose = max(counts.get("cache_read.input_tokens", 0) - sum(cached.values()), 0)
    plain = {f"input_{m}_tokens": max(sent[m] - cached[m], 0) for m in MODALITIES}
    plain["input"] = max(counts.get("input_tokens", 0) - sum(sent.values()), 0)
    _take(loose + written, plain, "input", *plain)
    return {
        **plain,
        **{f"input_cached_{m}_tokens": count for m, count in cached.items()},
        _named(_CACHE_READ, model, "input_cached_tokens"): loose,
        "input_cache_creation": written,
    }


def _output(counts: Mapping[str, int], model: str) -> dict[str, int]:
    """Plain output by modality, less reasoning."""
    made = {m: counts.get(f"{m}.output_tokens", 0) for m in MODALITIES}
    reasoning = counts.get("reasoning.output_tokens", 0)
    plain = {f"output_{m}_tokens": count for m, count in made.items()}
    plain["output"] = max(counts.get("output_tokens", 0) - sum(made.values()), 0)
    _take(reasoning, plain, "output", *plain)
    return {**plain, _named(_REASONING, model, "output_reasoning_tokens"): reasoning}


def _take(count: int, buckets: dict[str, int], *names: str) -> None:
    """Take tokens that have a bucket of their own out of the first of these that hold them."""
    for name in names:
        taken = min(count, buckets[name])
        buckets[name] -= taken
        count -= taken


def _named(by_family: Mapping[str, str], model: str, otherwise: str) -> str:
    return next((name for family, name in by_family.items() if model.startswith(family)), otherwise)


def speech_units(measured: Mapping[str, Any]) -> dict[str, float]:
    """What speech used, in its own units, from LiveKit's TTS or STT metrics."""
    units = {
        "input": measured.get("input_tokens"),
        "output": measured.get("output_tokens"),
        "characters": measured.get("characters_count"),
        "seconds": measured.get("audio_duration"),
    }
    return {name: n for name, n in units.items() if isinstance(n, (int, float)) and n > 0}


def details(units: Mapping[str, float]) -> dict[str, int]:
    """Units as Langfuse stores them: whole numbers, and only tokens in the total of tokens."""
    counts = {name: round(used) for name, used in units.items() if name != "seconds"}
    if "seconds" in units:
        counts["milliseconds"] = round(units["seconds"] * 1000)
    if counts.keys() & {"characters", "milliseconds"}:
        counts["total"] = counts.get("input", 0) + counts.get("output", 0)
    return counts


def cost(units: Mapping[str, float], model: str, prices: Prices) -> dict[str, float]:
    """What the user's own prices make of it; empty for a model that they do not price."""
    priced = prices.get(model, {})
    costs = {
        "milliseconds" if name == "seconds" else name: round(used * priced[name], 12)
        for name, used in units.items()
        if name in priced
    }
    return {**costs, "total": round(sum(costs.values()), 12)} if costs else {}
