"""Calls to models as other instrumentations write them: OpenTelemetry's, OpenInference's,
OpenLLMetry's, Langfuse's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from tracing import names
from tracing.span import Attributes

_OPERATIONS = frozenset({"chat", "completion", "text_completion", "generate_content", "generate"})
_SAYING = {
    names.OPERATION: _OPERATIONS,
    "openinference.span.kind": frozenset({"LLM"}),
    "llm.request.type": frozenset({"chat", "completion"}),
    "langfuse.observation.type": frozenset({"generation"}),
}
"""By attribute: the values that say that a span is one."""
_OF_MODELS = (
    *(names.REQUEST_MODEL, names.RESPONSE_MODEL, "llm.model_name"),
    "langfuse.observation.model.name",
)
_TOKENS = {
    "input_tokens": ("input_tokens", "prompt_tokens", "prompt"),
    "output_tokens": ("output_tokens", "completion_tokens", "completion"),
    "cache_read.input_tokens": (
        *("cache_read.input_tokens", "cache_read_input_tokens", "input_cached_tokens"),
        *("prompt_details.cache_read", "prompt_tokens_details.cached_tokens"),
    ),
    "cache_write.input_tokens": (
        *("cache_write.input_tokens", "cache_creation.input_tokens", "prompt_details.cache_write"),
        "cache_creation_input_tokens",
    ),
    "reasoning.output_tokens": (
        *("reasoning.output_tokens", "reasoning_tokens", "completion_details.reasoning"),
        *("completion_tokens_details.reasoning_tokens", "output_reasoning_tokens"),
    ),
}
"""By OpenTelemetry's name of a count: how it ends under everybody's, the details a part of both."""
_COUNTS = (names.USAGE, "llm.token_count.", "llm.usage.")
_USAGE_DETAILS = "langfuse.observation.usage_details"
_OF_OTHERS = frozenset({"AGENT", "CHAIN", "TOOL", "RETRIEVER", "EMBEDDING", "RERANKER"})


def is_model_call(attributes: Attributes) -> bool:
    """Whether a span of another instrumentation is one call to a language model."""
    if any(attributes.get(key) in values for key, values in _SAYING.items()):
        return True
    if attributes.get("openinference.span.kind") in _OF_OTHERS or names.OPERATION in attributes:
        return False
    return names_model(attributes)


def names_model(attributes: Attributes) -> bool:
    """Whether a span of another instrumentation says which model was asked."""
    return any(attributes.get(key) for key in _OF_MODELS)


def tokens_of(attributes: Attributes) -> Mapping[str, int]:
    """What a call says it used, under OpenTelemetry's names; empty where it says nothing."""
    told = _details(attributes)
    for prefix in _COUNTS:
        told.update(
            (key.removeprefix(prefix), value)
            for key, value in attributes.items()
            if key.startswith(prefix)
        )
    found = {name: _first_count(told, keys) for name, keys in _TOKENS.items()}
    return {name: count for name, count in found.items() if count}


def _details(attributes: Attributes) -> dict[str, object]:
    """Langfuse's usage: as a provider gave it, its parts under dotted names, or in buckets.

    Buckets are called `input...` and `output...` and have no token in common.
    """
    try:
        given = json.loads(names.text(attributes, _USAGE_DETAILS) or "{}")
    except (ValueError, RecursionError):
        return {}
    found: dict[str, object] = {}
    for key, value in given.items() if isinstance(given, dict) else ():
        parts = value if isinstance(value, dict) else {}
        found |= {f"{key}.{part}": count for part, count in parts.items()} or {key: value}
    for side in ("input", "output"):
        if side in found:
            found[f"{side}_tokens"] = sum(_count(n) for k, n in found.items() if k.startswith(side))
    return found


def _first_count(told: Mapping[str, object], keys: Iterable[str]) -> int:
    return next(filter(None, (_count(told.get(key)) for key in keys)), 0)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
