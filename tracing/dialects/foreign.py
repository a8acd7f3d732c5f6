"""Spans of other instrumentations: a call to a model that LiveKit counts is a plain span."""

from __future__ import annotations

from tracing import names, stamps
from tracing.dialects.model_calls import COMPLETION_START
from tracing.span import Attributes

_COUNTING = frozenset(
    {
        *(names.OPERATION, names.REQUEST_MODEL, names.RESPONSE_MODEL, COMPLETION_START),
        *("llm.model_name", "llm.request.type", "openinference.span.kind", "model"),
        *("langfuse.observation.usage_details", "langfuse.observation.cost_details"),
        *("langfuse.observation.model.name", "langfuse.observation.model.parameters"),
    }
)
_COUNTED_ELSEWHERE = (stamps.COUNTED_ABOVE, stamps.HOLDS_MODEL_CALLS)
_COUNTING_PREFIXES = ("gen_ai.usage.", "llm.usage.", "llm.token_count.", "llm.cost.")


def counted_once(attributes: Attributes) -> Attributes:
    """The attributes without model, usage and cost, where a call around or inside has them."""
    if not any(attributes.get(key) is True for key in _COUNTED_ELSEWHERE):
        return attributes
    kept = {
        key: value
        for key, value in attributes.items()
        if key not in _COUNTING and not key.startswith(_COUNTING_PREFIXES)
    }
    return {**kept, "langfuse.observation.type": "span"}
