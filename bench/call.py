"""A long call as spans: what LiveKit 1.8 records of a hundred turns, with realistic text."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

TURNS = 100
SPANS_PER_TURN = 8
_TYPO_CHANCE = 0.45
"""Tuned so that gzip needs about 3.5 bits for a character, a little more than for English."""

_SYLLABLES = re.findall(
    "[a-z]+",
    "an ar as at be ca ce co con da de di do en er es ex fa fi for ga ge hi ho in is ka la le "
    "li lo ma me mi mo na ne no of on or pa per po pre ra re ri ro sa se si so sta ta te ti to "
    "tra un va ver vi wa we wi",
)


class SpanText(NamedTuple):
    """One span of a turn: its name, its parent's index in the turn, its attributes."""

    name: str
    parent: int
    """-1 for a child of the session."""
    attributes: dict[str, Any]


class Writer:
    """Makes text with the statistics of speech: few common words, many rare ones, some noise."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        words = {self._word() for _ in range(3000)}
        self._words = sorted(words)
        self._chance.shuffle(self._words)
        self._weights = [1 / (rank + 3) for rank in range(len(self._words))]

    def text(self, characters: int) -> str:
        """About so many characters."""
        count = max(characters // 6, 1)
        words = self._chance.choices(self._words, self._weights, k=count)
        return " ".join(self._noised(word) for word in words).capitalize() + "."

    def identifier(self, prefix: str) -> str:
        """Something random, as ids of requests and items are."""
        return prefix + "".join(self._chance.choices("0123456789abcdef", k=12))

    def _word(self) -> str:
        return "".join(self._chance.choices(_SYLLABLES, k=self._chance.choice((1, 2, 2, 3, 3))))

    def _noised(self, word: str) -> str:
        if self._chance.random() > _TYPO_CHANCE:
            return word
        letters = list(word)
        letters[self._chance.randrange(len(letters))] = self._chance.choice(
            "abcdefghijklmnopqrstuvwxyz"
        )
        return "".join(letters)


class Call:
    """The history of one call, growing turn by turn."""

    def __init__(self, seed: int = 7) -> None:
        self._writer = Writer(seed)
        self._instructions = self._writer.text(1_500)
        self._tools = json.dumps([self._tool(number) for number in range(4)])
        self._messages: list[dict[str, Any]] = []
        self._items: list[dict[str, Any]] = []

    def turns(self, count: int = TURNS) -> Iterator[list[SpanText]]:
        """The spans of each turn, parents before children."""
        for _ in range(count):
            yield self._turn()

    def _turn(self) -> list[SpanText]:
        heard, said = self._writer.text(90), self._writer.text(140)
        self._remember("user", heard)
        chat_ctx = json.dumps({"items": self._items})
        given = json.dumps(self._messages)
        self._remember("assistant", said)
        speech_id = self._writer.identifier("speech_")
        return [
            SpanText("user_turn", -1, self._user_turn(heard)),
            SpanText("eou_detection", 0, {"lk.eou.probability": 0.83, "lk.eou.language": "en"}),
            SpanText("agent_turn", -1, self._agent_turn(speech_id, heard, said)),
            SpanText("llm_node", 2, self._llm_node(chat_ctx, said)),
            SpanText("llm_request", 3, self._llm_request(given, said)),
            SpanText("llm_request_run", 4, {"lk.retry_count": 0}),
            SpanText("tts_node", 2, {"lk.response.ttfb": 0.21, "gen_ai.request.model": "voice-1"}),
            SpanText("agent_speaking", 2, {"lk.participant_id": "PA_agent"}),
        ]

    def _remember(self, role: str, text: str) -> None:
        parts = [{"type": "text", "content": text}]
        self._messages.append({"role": role, "parts": parts})
        content = [text]
        item = {"id": self._writer.identifier("item_"), "type": "message", "role": role}
        self._items.append({**item, "content": content, "interrupted": False})

    def _tool(self, number: int) -> dict[str, Any]:
        parameters = {"type": "object", "properties": {"date": {"type": "string"}}}
        return {
            "type": "function",
            "name": f"tool_{number}",
            "description": self._writer.text(200),
            "parameters": parameters,
        }

    def _user_turn(self, heard: str) -> dict[str, Any]:
        return {
            "lk.pii.user_transcript": heard,
            "lk.transcript_confidence": 0.97,
            "lk.transcription_delay": 0.21,
            "lk.end_of_turn_delay": 0.55,
            "gen_ai.request.model": "nova-3",
            "gen_ai.provider.name": "deepgram",
        }

    def _agent_turn(self, speech_id: str, heard: str, said: str) -> dict[str, Any]:
        return {
            "lk.speech_id": speech_id,
            "lk.generation_id": speech_id + "_1",
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "assistant",
            "lk.e2e_latency": 1.12,
            "lk.pii.user_input": heard,
            "lk.pii.instructions": self._instructions,
            "lk.pii.response.text": said,
        }

    def _llm_node(self, chat_ctx: str, said: str) -> dict[str, Any]:
        return {
            "lk.pii.chat_ctx": chat_ctx,
            "lk.pii.response.text": said,
            "lk.response.ttft": 0.38,
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.provider.name": "openai",
        }

    def _llm_request(self, given: str, said: str) -> dict[str, Any]:
        answer = [{"role": "assistant", "parts": [{"type": "text", "content": said}]}]
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.provider.name": "openai",
            "gen_ai.response.id": self._writer.identifier("chatcmpl-"),
            "gen_ai.response.time_to_first_chunk": 0.35,
            "gen_ai.usage.input_tokens": len(given) // 4,
            "gen_ai.usage.output_tokens": len(said) // 4,
            "gen_ai.input.messages": given,
            "gen_ai.system_instructions": json.dumps(
                [{"type": "text", "content": self._instructions}]
            ),
            "gen_ai.output.messages": json.dumps(answer),
            "gen_ai.tool.definitions": self._tools,
        }


def record_turn(tracer: Any, turn: list[SpanText], session: Any) -> int:
    """Start and end the spans of a turn below the session's span; how many there were."""
    from opentelemetry.trace import set_span_in_context

    in_session = set_span_in_context(session)
    contexts: list[Any] = []
    spans: list[Any] = []
    for text in turn:
        parent = in_session if text.parent < 0 else contexts[text.parent]
        span = tracer.start_span(text.name, context=parent, attributes=text.attributes)
        spans.append(span)
        contexts.append(set_span_in_context(span))
    for span in reversed(spans):
        span.end()
    return len(spans)
