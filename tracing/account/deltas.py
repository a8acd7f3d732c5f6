"""LLM inputs that LiveKit recorded as deltas (`RecordingOptions.input_delta`), made whole again.

Such an `llm_request` holds only what follows the messages that it shares with an earlier one.
The texts of messages are kept and joined as they are, so that the voice loop parses only what
is new.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from tracing import names, stamps
from tracing.span import Span

_decode = json.JSONDecoder().raw_decode


class _Input(NamedTuple):
    messages: str | tuple[str, ...]
    """JSON of the list, or of each message once they had to be told apart."""
    system: str


class Inputs:
    """The inputs of one call's latest LLM requests; bounded."""

    def __init__(self, kept: int = 32) -> None:
        self._kept = kept
        self._by_span: dict[str, _Input] = {}

    def ended(self, span: Span) -> Mapping[str, str | bool]:
        """Take note of a span; return its whole input if it holds only a part of it."""
        attributes = span.attributes
        messages = attributes.get(names.INPUT_MESSAGES, "[]")
        system = attributes.get(names.SYSTEM_INSTRUCTIONS, "")
        if span.name != names.LLM_REQUEST or not isinstance(messages, str):
            return {}
        own = _Input(messages, str(system))
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
        whole = _Input(shared + added, own.system or base.system)
        self._keep(span, whole)
        found = {
            names.INPUT_MESSAGES: f"[{', '.join(whole.messages)}]" if whole.messages else "",
            names.SYSTEM_INSTRUCTIONS: whole.system,
        }
        rebuilt = {key: text for key, text in found.items() if text}
        return {**rebuilt, stamps.IS_REBUILT: True} if rebuilt else {}

    def _keep(self, span: Span, whole: _Input) -> None:
        self._by_span[span.span_id.hex()] = whole
        if len(self._by_span) > self._kept:
            del self._by_span[next(iter(self._by_span))]


def _messages(recorded: _Input) -> tuple[str, ...]:
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
