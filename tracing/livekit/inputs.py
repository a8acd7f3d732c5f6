"""The input of each LLM call, recorded once: LiveKit repeats the whole history, twice a turn.

`llm_node` carries it as a chat context and the `llm_request` below it as GenAI messages; the
messages stay. With `deltas`, a request carries only the messages that are new since the
request before it, in the form of LiveKit's own `RecordingOptions.input_delta`.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from tracing.livekit import names
from tracing.span import Attributes, Span

_T = TypeVar("_T")

_MAX_REMEMBERED = 256

INPUT_SPANS = frozenset({names.LLM_NODE, names.LLM_REQUEST, names.LLM_FALLBACK_ADAPTER})
"""The spans that concern `RecordedInputs`."""

RECORDED_ON = "input.recorded_on"
"""str on `llm_node`: the span below it that carries its input."""

_MESSAGES = "gen_ai.input.messages"
_INSTRUCTIONS = "gen_ai.system_instructions"
_CHAT_CTX = ("lk.pii.chat_ctx", "lk.chat_ctx")
_BASE_SPAN_ID = "lk.input.base_span_id"
_DROPPED_FROM_BASE = "lk.input.dropped_from_base"


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
            messages = span.attributes.get(_MESSAGES)
            if isinstance(messages, str):
                _remember(self._carried, span.parent_span_id, None)
                if self._deltas and _BASE_SPAN_ID not in span.attributes:
                    return span._replace(attributes=self._delta(span, messages))
        elif name == names.LLM_FALLBACK_ADAPTER:
            if span.span_id in self._carried:
                _remember(self._carried, span.parent_span_id, None)
        elif name == names.LLM_NODE and span.span_id in self._carried:
            del self._carried[span.span_id]
            kept = {**span.attributes, RECORDED_ON: names.LLM_REQUEST}
            for key in _CHAT_CTX:
                kept.pop(key, None)
            return span._replace(attributes=kept)
        return span

    def _delta(self, span: Span, messages: str) -> Attributes:
        """The attributes with only what the input adds to the one before it in its call."""
        base = self._last.get(span.trace_id)
        instructions = span.attributes.get(_INSTRUCTIONS)
        _remember(self._last, span.trace_id, _Input(span.span_id.hex(), messages, instructions))
        if base is None or len(base.messages) < 3 or not messages.startswith(base.messages[:-1]):
            return span.attributes
        new = messages[len(base.messages) - 1 :].lstrip(", ")
        attributes = {**span.attributes, _MESSAGES: f"[{new}"}
        attributes |= {_BASE_SPAN_ID: base.span_id, _DROPPED_FROM_BASE: 0}
        if instructions == base.instructions:
            attributes.pop(_INSTRUCTIONS, None)
        return attributes


def _remember(kept: dict[bytes, _T], key: bytes, value: _T) -> None:
    kept[key] = value
    if len(kept) > _MAX_REMEMBERED:
        del kept[next(iter(kept))]
