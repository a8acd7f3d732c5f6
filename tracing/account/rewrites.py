"""What is written otherwise than LiveKit has it: inputs once, deltas and back, a tool's status.

LiveKit repeats the whole history with each LLM call, twice a turn: `llm_node` carries it as a
chat context and the `llm_request` below it as GenAI messages. The messages stay. With `deltas`,
a request carries only the messages that are new since the request before it, in the form of
LiveKit's own `RecordingOptions.input_delta`; and what was recorded in that form is made whole
again for who cannot read it. The texts of messages are kept and joined as they are, so that the
voice loop parses only what is new.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from tracing import names, stamps
from tracing.limits import forget_oldest
from tracing.span import STATUS_ERROR, STATUS_UNSET, Attributes, Span

_MAX_REMEMBERED = 256
_decode = json.JSONDecoder().raw_decode

INPUT_SPANS = frozenset({names.LLM_NODE, names.LLM_REQUEST, names.LLM_FALLBACK_ADAPTER})
"""The spans that concern `RecordedInputs`."""


class _Carried(NamedTuple):
    span_id: str
    messages: str
    instructions: object


class RecordedInputs:
    """What the LLM calls of this process recorded of their input; bounded."""

    def __init__(self, *, deltas: bool = False) -> None:
        self._deltas = deltas
        self._carried: dict[bytes, bool] = {}
        self._last: dict[bytes, _Carried] = {}

    def once(self, span: Span) -> Span:
        """The span without input that another span of its call carries."""
        name = span.name
        if name == names.LLM_REQUEST:
            messages = span.attributes.get(names.INPUT_MESSAGES)
            if isinstance(messages, str):
                self._carry(span.parent_span_id)
                if self._deltas and names.INPUT_BASE not in span.attributes:
                    return span._replace(attributes=self._delta(span, messages))
        elif name == names.LLM_FALLBACK_ADAPTER:
            if span.span_id in self._carried:
                self._carry(span.parent_span_id)
        elif name == names.LLM_NODE and self._carried.pop(span.span_id, False):
            kept = {**span.attributes, stamps.RECORDED_ON: names.LLM_REQUEST}
            for key in names.CHAT_CTX:
                kept.pop(key, None)
            return span._replace(attributes=kept)
        return span

    def _carry(self, span_id: bytes) -> None:
        """Note that what this span was given is carried below it."""
        self._carried[span_id] = True
        forget_oldest(self._carried, _MAX_REMEMBERED)

    def _delta(self, span: Span, messages: str) -> Attributes:
        """The attributes with only what the input adds to the one before it in its call."""
        base = self._last.get(span.trace_id)
        instructions = span.attributes.get(names.SYSTEM_INSTRUCTIONS)
        self._last[span.trace_id] = _Carried(span.span_id.hex(), messages, instructions)
        forget_oldest(self._last, _MAX_REMEMBERED)
        if base is None or len(base.messages) < 3 or not messages.startswith(base.messages[:-1]):
            return span.attributes
        new = messages[len(base.messages) - 1 :].lstrip(", ")
        attributes = {**span.attributes, names.INPUT_MESSAGES: f"[{new}"}
        attributes |= {names.INPUT_BASE: base.span_id, names.INPUT_DROPPED: 0}
        if instructions == base.instructions:
            attributes.pop(names.SYSTEM_INSTRUCTIONS, None)
        return attributes


class _Whole(NamedTuple):
    messages: str | tuple[str, ...]
    """JSON of the list, or of each message once they had to be told apart."""
    system: str


class RebuiltInputs:
    """The inputs of one call's latest LLM requests; bounded."""

    def __init__(self, kept: int = 32) -> None:
        self._kept = kept
        self._by_span: dict[str, _Whole] = {}

    def ended(self, span: Span) -> Mapping[str, str | bool]:
        """Take note of a span; return its whole input if it holds only a part of it."""
        attributes = span.attributes
        messages = attributes.get(names.INPUT_MESSAGES, "[]")
        system = attributes.get(names.SYSTEM_INSTRUCTIONS, "")
        if span.name != names.LLM_REQUEST or not isinstance(messages, str):
            return {}
        own = _Whole(messages, str(system))
        base = self._by_span.get(str(attributes.get(names.INPUT_BASE)))
        if base is None or attributes.get(stamps.IS_REBUILT) is True:
            self._keep(span, own)
            return {}
        dropped = attributes.get(names.INPUT_DROPPED)
        try:
            shared, added = _messages(base), _messages(own)
        except (IndexError, ValueError):
            return {}
        shared = shared[: len(shared) - (dropped if isinstance(dropped, int) else 0)]
        whole = _Whole(shared + added, own.system or base.system)
        self._keep(span, whole)
        found = {
            names.INPUT_MESSAGES: f"[{', '.join(whole.messages)}]" if whole.messages else "",
            names.SYSTEM_INSTRUCTIONS: whole.system,
        }
        rebuilt = {key: text for key, text in found.items() if text}
        return {**rebuilt, stamps.IS_REBUILT: True} if rebuilt else {}

    def _keep(self, span: Span, whole: _Whole) -> None:
        self._by_span[span.span_id.hex()] = whole
        forget_oldest(self._by_span, self._kept)


def _messages(recorded: _Whole) -> tuple[str, ...]:
    """The JSON of each message."""
    text = recorded.messages
    if not isinstance(text, str):
        return text
    found, position = [], text.index("[") + 1
    while (position := _next(text, position)) < len(text):
        _, end = _decode(text, position)
        found.append(text[position:end])
        position = end
    return tuple(found)


def _next(text: str, position: int) -> int:
    """Where the next value of a list begins; the end of the text after the last one."""
    while text[position] in " ,\n":
        position += 1
    return len(text) if text[position] == "]" else position


def with_status(span: Span) -> Span:
    """A tool's span, as an error with its message where LiveKit only says so in an attribute."""
    if span.status_code != STATUS_UNSET or not names.is_true(span.attributes, names.TOOL_IS_ERROR):
        return span
    message = names.why_tool_failed(span.attributes)[:500]
    return span._replace(status_code=STATUS_ERROR, status_message=message)
