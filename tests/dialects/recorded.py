"""Recorded spans as a running call stamps them, and the same stamps from the whole tree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tracing import names, stamps
from tracing.account.restamp import restamp
from tracing.otlp_json import read_spans
from tracing.span import STATUS_ERROR, AttributeValue, Span

RECORDINGS = Path(__file__).parents[1] / "recordings"
VERSIONS = sorted(path.name for path in RECORDINGS.iterdir() if path.name[0].isdigit())
LATEST = "1.8.9"
REALTIME_QUESTIONS = ("When do you open?", "And on Sunday?")
"""What the caller of the realtime recordings says; only an event of the session knows."""


def recorded(scenario: str, version: str = LATEST) -> list[Span]:
    """The spans of a recording, in the order in which they ended."""
    return list(read_spans(RECORDINGS / version / f"{scenario}.json"))


def scenarios(version: str = LATEST) -> list[str]:
    return sorted(path.stem for path in (RECORDINGS / version).glob("*.json"))


def stamped(scenario: str, version: str = LATEST) -> list[Span]:
    """The spans of a recording, stamped as a call that runs stamps them."""
    spans = recorded(scenario, version)
    if "realtime" in scenario:
        spans = _heard(spans)
    return restamp(spans, rebuild_inputs=True)


def _heard(spans: Sequence[Span]) -> list[Span]:
    """Give the turns of a realtime call what the caller said, as session events tell it."""
    found = list(spans)
    for name in (names.USER_TURN, names.AGENT_TURN):
        turns = [span for span in _by_start(spans) if span.name == name]
        for turn, text in zip(turns, REALTIME_QUESTIONS, strict=False):
            attributes = {**turn.attributes, stamps.TURN_USER_TEXT: text}
            found[spans.index(turn)] = turn._replace(attributes=attributes)
    return found


def _by_start(spans: Sequence[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: span.start_time_unix_nano)


class Tree:
    """What `tracing.stamps` says of each span, worked out with the whole recording at hand."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = _by_start(spans)
        self.by_id = {span.span_id: span for span in spans}

    def below(self, span: Span) -> Iterator[Span]:
        for child in self.spans:
            if child.parent_span_id == span.span_id:
                yield child
                yield from self.below(child)

    def parent(self, span: Span) -> Span:
        return self.by_id.get(span.parent_span_id, span)

    def stamps(self, span: Span) -> Mapping[str, AttributeValue]:
        found: dict[str, AttributeValue] = {}
        if not span.parent_span_id and (said := self.conversation()):
            found[stamps.CONVERSATION] = json.dumps(said)
        if span.status_code == STATUS_ERROR and any(
            child.status_code == STATUS_ERROR for child in self.below(span)
        ):
            found[stamps.ERROR_IS_BELOW] = True
        return {**found, **getattr(self, f"_{span.name}", lambda _: {})(span)}

    def conversation(self) -> list[dict[str, str]]:
        said = []
        for span in self.spans:
            begun = span.start_time_unix_nano
            if span.name == names.USER_TURN:
                said.append((begun, "user", self.user_text(span)))
            elif span.name == names.AGENT_TURN:
                if not self._answered(span):
                    said.append((begun, "user", self.user_text(span)))
                said += [(at, "assistant", text) for at, text in self.agent_said(span)]
        said.sort(key=lambda one: one[0])
        return [{"role": role, "content": text} for _, role, text in said if text]

    def _answered(self, turn: Span) -> bool:
        """Whether a `user_turn` shows what this turn answers; typed input has none."""
        text = self.user_text(turn)
        return any(s.name == names.USER_TURN and text in self.user_text(s) for s in self.spans)

    def user_text(self, span: Span) -> str:
        for keys in ((stamps.TURN_USER_TEXT,), names.USER_TRANSCRIPT, names.USER_INPUT):
            if found := names.first(span.attributes, keys):
                return str(found)
        return ""

    def agent_text(self, turn: Span) -> str:
        return "\n".join(text for _, text in self.agent_said(turn))

    def agent_said(self, turn: Span) -> list[tuple[int, str]]:
        """What was heard in all steps, and when: discarded ones said nothing, the last is known."""
        below = list(self.below(turn))
        nodes = [span for span in below if span.name == names.LLM_NODE]
        for event in turn.events:
            if event.name == names.EVENT_GENERATION_DISCARDED:
                begun = [n for n in nodes if n.start_time_unix_nano < event.time_unix_nano]
                nodes.remove(begun[-1])
        speaking = [s.start_time_unix_nano for s in below if s.name == names.AGENT_SPEAKING]
        starts = [node.start_time_unix_nano for node in nodes]
        said = []
        for node, end in zip(nodes, [*starts, turn.end_time_unix_nano][1:], strict=False):
            begun = [at for at in speaking if node.start_time_unix_nano <= at < end]
            if begun or not speaking:
                text = str(names.first(node.attributes, names.RESPONSE_TEXT) or "")
                said.append(([*begun, node.start_time_unix_nano][0], text))
        last = str(names.first(turn.attributes, names.RESPONSE_TEXT) or "")
        at = said[-1][0] if said else [*speaking, turn.start_time_unix_nano][0]
        return [one for one in (*said[:-1], (at, last)) if one[1]]

    def _user_turn(self, span: Span) -> Mapping[str, AttributeValue]:
        turns = [s for s in self.spans if s.name == names.USER_TURN]
        found: dict[str, AttributeValue] = {stamps.TURN_NUMBER: turns.index(span) + 1}
        closes = [s for s in self.spans if s.attributes.get(names.EXCEPTION_TYPE) == "stt_error"]
        if closes and not self.user_text(span):
            found[stamps.TURN_ERROR] = "stt_error"
        return found

    def _agent_turn(self, span: Span) -> Mapping[str, AttributeValue]:
        found: dict[str, AttributeValue] = {}
        if said := self.agent_text(span):
            found[stamps.TURN_AGENT_TEXT] = said
        for child in self.below(span):
            if child.name == names.TTS_NODE and child.status_code == STATUS_ERROR:
                found[stamps.TURN_ERROR] = child.status_message
        return found

    def _realtime_inference(self, span: Span) -> Mapping[str, AttributeValue]:
        turn = self.parent(span)
        found = {
            stamps.TURN_USER_TEXT: self.user_text(turn),
            stamps.TURN_AGENT_TEXT: self.agent_text(turn),
        }
        return {key: text for key, text in found.items() if text}

    def _realtime_metrics(self, span: Span) -> Mapping[str, AttributeValue]:
        above = self.parent(span)
        if above.name != names.REALTIME_INFERENCE:
            return {}
        return {
            **self._realtime_inference(above),
            stamps.INFERENCE_PARENT: above.parent_span_id.hex(),
            stamps.INFERENCE_START: above.start_time_unix_nano,
            stamps.INFERENCE_END: above.end_time_unix_nano,
        }

    def _tts_request(self, span: Span) -> Mapping[str, AttributeValue]:
        asked_by = self.parent(span)
        if asked_by.name in (names.LLM_REQUEST_RUN, names.TTS_REQUEST_RUN):
            asked_by = self.parent(asked_by)
        adapters = (names.LLM_FALLBACK_ADAPTER, names.TTS_FALLBACK_ADAPTER)
        return {stamps.IS_FALLBACK: True} if asked_by.name in adapters else {}

    def _llm_request(self, span: Span) -> Mapping[str, AttributeValue]:
        start = span.start_time_unix_nano
        is_preemptive = any(
            s.name == names.USER_TURN and s.start_time_unix_nano < start < s.end_time_unix_nano
            for s in self.spans
        )
        found: dict[str, AttributeValue] = {stamps.IS_PREEMPTIVE: True} if is_preemptive else {}
        return {**found, **self._tts_request(span)}

    def _llm_request_run(self, span: Span) -> Mapping[str, AttributeValue]:
        probes = self.parent(span).attributes.get(names.FALLBACK_RECOVERY)
        return {stamps.IS_PROBE: True} if probes else {}
