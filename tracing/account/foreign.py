"""Calls to models as other instrumentations write them: OpenTelemetry's, OpenInference's,
OpenLLMetry's, Langfuse's own."""

from __future__ import annotations

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
_OF_OTHERS = frozenset({"AGENT", "CHAIN", "TOOL", "RETRIEVER", "EMBEDDING", "RERANKER"})


def is_model_call(attributes: Attributes) -> bool:
    """Whether a span of another instrumentation is one call to a language model."""
    if any(attributes.get(key) in values for key, values in _SAYING.items()):
        return True
    if attributes.get("openinference.span.kind") in _OF_OTHERS or names.OPERATION in attributes:
        return False
    return any(attributes.get(key) for key in _OF_MODELS)
