"""The input of each LLM call, recorded once: LiveKit repeats the whole history, twice a turn.

`llm_node` carries it as a chat context and the `llm_request` below it as GenAI messages; the
messages stay. With `deltas`, a request carries only the messages that are new since the
request before it, in the form of LiveKit's own `RecordingOptions.input_delta`.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from tracing import names, stamps
from tracing.span import Attributes, Span

_T = TypeVar("_T")

_MAX_REMEMBERED = 256

INPUT_SPANS = frozenset({names.LLM_NODE, names.LLM_REQUEST, names.LLM_FALLBACK_ADAPTER})
"""The spans that concern `RecordedInputs`."""


class _Input(NamedTuple):
    span_id: str
    messages: str
    instructions: object


class RecordedInputs:
    """What the LLM calls of this process recorded of their input; bounded."""

    def __init__(self, *, deltas: bool = False) -> None:
        self._deltas = deltas
        self._carried: dict[bytes, None] = {}
        self._last: dict[bytes, _Input] = {}

    def once(self, span: Span) -> Span:
        """The span without input that another span of its call carries."""
        name = span.name
        if name == names.LLM_REQUEST:
            messages = span.attributes.get(names.INPUT_MESSAGES)
            if isinstance(messages, str):
                _remember(self._carried, span.parent_span_id, None)
                if self._deltas and names.INPUT_BASE not in span.attributes:
                    return span._replace(attributes=self._delta(span, messages))
        elif name == names.LLM_FALLBACK_ADAPTER:
            if span.span_id in self._carried:
                _remember(self._carried, span.parent_span_id, None)
        elif name == names.LLM_NODE and span.span_id in self._carried:
            del self._carried[span.span_id]
            kept = {**span.attributes, stamps.RECORDED_ON: names.LLM_REQUEST}
            for key in names.CHAT_CTX:
                kept.pop(key, None)
            return span._replace(attributes=kept)
        return span

    def _delta(self, span: Span, messages: str) -> Attributes:
        """The attributes with only what the input adds to the one before it in its call."""
        base = self._last.get(span.trace_id)
        instructions = span.attributes.get(names.SYSTEM_INSTRUCTIONS)
        _remember(self._last, span.trace_id, _Input(span.span_id.hex(), messages, instructions))
        if base is None or len(base.messages) < 3 or not messages.startswith(base.messages[:-1]):
            return span.attributes
        new = messages[len(base.messages) - 1 :].lstrip(", ")
        attributes = {**span.attributes, names.INPUT_MESSAGES: f"[{new}"}
        attributes |= {names.INPUT_BASE: base.span_id, names.INPUT_DROPPED: 0}
        if instructions == base.instructions:
            attributes.pop(names.SYSTEM_INSTRUCTIONS, None)
        return attributes


def _remember(kept: dict[bytes, _T], key: bytes, value: _T) -> None:
    kept[key] = value
    if len(kept) > _MAX_REMEMBERED:
        del kept[next(iter(kept))]
