"""A recorded call on one axis of time: who spoke when, and what ran meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tracing import names, stamps
from tracing.account.restamp import last_heard_of
from tracing.account.said import said_by_user
from tracing.account.turns.turn import number
from tracing.calls.tree import Tree, is_unfinished, known
from tracing.harmless.listed import EVENT_NAMES
from tracing.span import STATUS_ERROR, Span

Mark = dict[str, Any]
"""Something at `at`, or from `at` to `end`: seconds since the start of the call."""


def lanes(tree: Tree) -> dict[str, Any]:
    """The lanes of one call, each a list of marks by time.

    - `duration_seconds`, `is_open` (its root has not ended), `open_spans`: their names.
    - `caller`: the stretches in which the user spoke, with `text` on the first of a turn.
    - `agent`: the same of the agent, with `turn`.
    - `unheard`: what was made and never played, `text` where it is known; `turn`.
    - `llm`: requests with `first` (when their first token came), `is_preemptive`,
      `is_discarded`, `is_failed`; realtime models' answers too, as `is_realtime`.
    - `stt`: `at` of each transcript, `is_final`; `waits`: for the end of the user's turn.
    - `tools`: `name`, `is_error`, `is_unfinished`. `tts`: with `first`, and `is_cut` where the
      user spoke into it.
    - `events`: `kind` (`barge_in`, `tool_failed`, `handoff`, `error`; `telephone`: a key, the
      call's status, who answered; `noted`: what the application said happened), `text`, and
      `words`, where somebody's are part of it.

    What is unknown or withheld is absent.
    """
    axis = _Axis(tree)
    turns = tree.named(names.AGENT_TURN)
    inside = {turn.span_id: tree.inside(turn) for turn in turns}
    return {
        "duration_seconds": axis.end,
        "is_open": any(span.is_open for span in tree.spans),
        "open_spans": [span.name for span in tree.spans if span.is_open],
        "caller": list(_caller(axis, tree)),
        "agent": [mark for turn in turns for mark in _agent(axis, turn, inside[turn.span_id])],
        "unheard": list(_unheard(axis, turns, inside)),
        "llm": [mark for turn in turns for mark in _llm(axis, turn, inside[turn.span_id])],
        "stt": [mark for span in tree.named(names.USER_TURN) for mark in _stt(axis, span)],
        "waits": [axis.stretch(span) for span in tree.named(names.EOU_WAIT)],
        "tools": [_tool(axis, span) for span in tree.named(names.FUNCTION_TOOL)],
        "tts": [mark for turn in turns for mark in _tts(axis, turn, inside[turn.span_id])],
        "events": sorted(
            [*_events(axis, tree, turns), *_happened(axis, tree)], key=lambda mark: mark["at"]
        ),
    }


class _Axis:
    """Seconds since the start of a call."""

    def __init__(self, tree: Tree) -> None:
        self._start = tree.start_time_unix_nano
        self.end = max(0.0, self.at(last_heard_of(tree.spans)))

    def at(self, unix_nano: int) -> float:
        return (unix_nano - self._start) / 1e9

    def at_epoch(self, seconds: float) -> float:
        return seconds - self._start / 1e9

    def moment(self, unix_nano: int, kind: str, text: str, words: str = "") -> Mark:
        found = {"at": self.at(unix_nano), "kind": kind, "text": text}
        return {**found, "words": words} if words else found

    def stretch(self, span: Span, **more: Any) -> Mark:
        end = self.end if span.is_open else self.at(span.end_time_unix_nano)
        found = known({**more, "is_open": span.is_open or None})
        return {"at": self.at(span.start_time_unix_nano), "end": end, **found}


def _caller(axis: _Axis, tree: Tree) -> Iterator[Mark]:
    speaking = tree.named(names.USER_SPEAKING)
    for turn in tree.named(names.USER_TURN):
        text: str | None = said_by_user(turn.attributes) or None
        mine = [span for span in speaking if span.parent_span_id == turn.span_id]
        for span in mine or ([turn] if text else []):
            yield axis.stretch(span, text=text)
            text = None
    turns = {span.span_id for span in tree.named(names.USER_TURN)}
    yield from (axis.stretch(span) for span in speaking if span.parent_span_id not in turns)


def _agent(axis: _Axis, turn: Span, inside: Sequence[Span]) -> Iterator[Mark]:
    text = names.text(turn.attributes, stamps.TURN_AGENT_TEXT) or names.first(
        turn.attributes, names.RESPONSE_TEXT
    )
    for span in inside:
        if span.name == names.AGENT_SPEAKING:
            yield axis.stretch(span, turn=_number(turn), text=text or None)
            text = None


def _unheard(
    axis: _Axis, turns: Sequence[Span], inside: Mapping[bytes, Sequence[Span]]
) -> Iterator[Mark]:
    """From where the user cut a reply off, as long as what was made would have lasted."""
    for turn, following in zip(turns, [*turns[1:], None], strict=False):
        made = number(turn.attributes.get(stamps.TURN_TTS_AUDIO))
        heard = number(turn.attributes.get(stamps.TURN_HEARD))
        stopped = number(turn.attributes.get(stamps.TURN_AGENT_STOPPED))
        if made is None or heard is None or stopped is None or made <= heard:
            continue
        at = axis.at_epoch(stopped)
        end = min(axis.end, at + made - heard)
        if following is not None:
            begun = number(following.attributes.get(stamps.TURN_AGENT_STARTED))
            end = end if begun is None else min(end, axis.at_epoch(begun))
        text = unheard_text(turn, inside[turn.span_id])
        yield known({"at": at, "end": max(at, end), "turn": _number(turn), "text": text})


def unheard_text(turn: Span, inside: Iterable[Span]) -> str | None:
    """What was made for a turn beyond what was heard; None where that cannot be known."""
    made = " ".join(
        str(found)
        for span in inside
        if span.name == names.TTS_REQUEST
        and (found := names.first(span.attributes, names.TTS_TEXT))
    )
    heard = names.text(turn.attributes, stamps.TURN_AGENT_TEXT) or str(
        names.first(turn.attributes, names.RESPONSE_TEXT) or ""
    )
    made, heard = " ".join(made.split()), " ".join(heard.split())
    return made[len(heard) :].strip() or None if heard and made.startswith(heard) else None


def _llm(axis: _Axis, turn: Span, inside: Sequence[Span]) -> Iterator[Mark]:
    discarded = turn.attributes.get(stamps.TURN_KIND) == "discarded"
    for span in inside:
        if span.name in (names.LLM_REQUEST, names.REALTIME_INFERENCE):
            first = number(span.attributes.get(names.TIME_TO_FIRST_CHUNK))
            begun = axis.at(span.start_time_unix_nano)
            yield axis.stretch(
                span,
                turn=_number(turn),
                first=None if first is None else begun + first,
                is_preemptive=span.attributes.get(stamps.IS_PREEMPTIVE) or None,
                is_discarded=discarded or None,
                is_failed=(span.status_code == STATUS_ERROR) or None,
                is_realtime=span.name == names.REALTIME_INFERENCE or None,
            )


def _tts(axis: _Axis, turn: Span, inside: Sequence[Span]) -> Iterator[Mark]:
    cut = bool(turn.attributes.get(stamps.TURN_BARGED_IN))
    nodes = {span.span_id: span for span in inside if span.name == names.TTS_NODE}
    for span in inside:
        if span.name == names.TTS_REQUEST:
            node = nodes.get(span.parent_span_id)
            ttfb = None if node is None else number(node.attributes.get(names.TTFB))
            begun = axis.at(span.start_time_unix_nano)
            yield axis.stretch(
                span,
                turn=_number(turn),
                first=None if ttfb is None else begun + ttfb,
                is_failed=(span.status_code == STATUS_ERROR) or None,
                is_cut=cut or None,
            )


def _stt(axis: _Axis, turn: Span) -> Iterator[Mark]:
    """When each transcript of a user's turn came, as LiveKit lists them."""
    text = names.text(turn.attributes, names.STT_EVENTS)
    try:
        found = json.loads(text) if text else []
    except ValueError:
        found = []
    for event in found if isinstance(found, list) else []:
        received = number(event.get("received_at")) if isinstance(event, dict) else None
        if received is not None:
            is_final = "final" in str(event.get("type", ""))
            yield known({"at": axis.at_epoch(received), "is_final": is_final or None})


def _tool(axis: _Axis, span: Span) -> Mark:
    return axis.stretch(
        span,
        name=names.text(span.attributes, names.TOOL_NAME) or "tool",
        is_error=span.attributes.get(names.TOOL_IS_ERROR) or None,
        is_unfinished=is_unfinished(span) or None,
    )


def _events(axis: _Axis, tree: Tree, turns: Sequence[Span]) -> Iterator[Mark]:
    for turn in turns:
        stopped = number(turn.attributes.get(stamps.TURN_AGENT_STOPPED))
        if turn.attributes.get(stamps.TURN_BARGED_IN) and stopped is not None:
            yield {"at": axis.at_epoch(stopped), "kind": "barge_in", "text": "barge-in"}
    for span in tree.named(names.FUNCTION_TOOL):
        if span.attributes.get(names.TOOL_IS_ERROR):
            yield {
                "at": axis.at(span.start_time_unix_nano),
                "kind": "tool_failed",
                "text": "tool failed",
            }
    for span in tree.named(names.UPDATE_AGENT):
        before, after = (
            names.text(span.attributes, key)
            for key in (names.PREVIOUS_AGENT_LABEL, names.AGENT_LABEL)
        )
        text = f"{before} → {after}" if before else after
        yield {"at": axis.at(span.start_time_unix_nano), "kind": "handoff", "text": text}
    for span in tree.spans:
        if _is_own_error(span):
            at = axis.at(span.start_time_unix_nano)
            yield {"at": at, "kind": "error", "text": f"{span.name.replace('_', ' ')} failed"}


def _happened(axis: _Axis, tree: Tree) -> Iterator[Mark]:
    """What the telephone and the application tell, and nothing else shows."""
    for span in tree.named(names.AMD):
        answered = names.text(span.attributes, names.AMD_CATEGORY)
        if answered and not span.is_open:
            yield axis.moment(span.end_time_unix_nano, "telephone", f"answered by {answered}")
    for span in tree.spans:
        if span.scope_name == names.SCOPE:
            for event in span.events:
                at, told = event.time_unix_nano, event.attributes
                if event.name == names.EVENT_DTMF:
                    digit = names.text(told, names.DTMF_DIGIT)
                    yield axis.moment(at, "telephone", "key", digit)
                elif event.name in _TELEPHONE:
                    word = names.text(told, _TELEPHONE[event.name]).replace("_", " ")
                    yield axis.moment(at, "telephone", word)
                elif event.name not in EVENT_NAMES and not event.name.startswith("gen_ai."):
                    yield axis.moment(at, "noted", "noted:", event.name)


_TELEPHONE = {
    names.EVENT_SIP_STATUS: names.SIP_STATUS,
    names.EVENT_SIP_HANG_UP: names.DISCONNECT_REASON,
}


def _is_own_error(span: Span) -> bool:
    """Whether a span's failure is its own, and shown by no other mark."""
    is_below = bool(span.attributes.get(stamps.ERROR_IS_BELOW))
    return span.status_code == STATUS_ERROR and span.name != names.FUNCTION_TOOL and not is_below


def _number(turn: Span) -> int | None:
    found = turn.attributes.get(stamps.TURN_NUMBER)
    return found if isinstance(found, int) else None
