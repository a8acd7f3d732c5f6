"""A recorded call as a conversation: who said what when, with tools and handoffs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from tracing import names, stamps
from tracing.account.restamp import restamp
from tracing.account.turn import LLM_NODES, number
from tracing.span import AttributeValue, Span

Entry = dict[str, Any]


def transcribe(spans: Sequence[Span]) -> dict[str, Any]:
    """Return the conversation of one trace as a JSON object.

    - `trace_id`, `session_id`, `user_id`, `started_at` (ISO 8601, UTC).
    - `entries`, by time, each with `at_seconds` (since the start of the call) and `kind`:
      `user` and `agent` with `text`, `turn` and, of the agent, `interrupted` and
      `user_bot_latency_seconds`; `tool` with `name`, `arguments`, `output`, `is_error`,
      `duration_seconds`; `handoff` with `from` and `to`.

    What is unknown or withheld is absent; so is what was generated and never spoken.
    """
    spans = sorted(restamp(spans), key=lambda span: span.start_time_unix_nano)
    start = spans[0].start_time_unix_nano
    turns = [span for span in spans if span.name == names.AGENT_TURN]
    found = [
        *_user_entries(spans, turns),
        *(entry for turn in turns for entry in _agent_entries(turn, _inside(turn, spans))),
        *(_handoff(span) for span in spans if span.name == names.UPDATE_AGENT),
    ]
    found.sort(key=lambda entry: entry["at_seconds"])
    for entry in found:
        entry["at_seconds"] = (entry["at_seconds"] - start) / 1e9
    head = {
        "trace_id": spans[0].trace_id.hex(),
        "session_id": names.first_text(reversed(spans), stamps.SESSION_ID),
        "user_id": names.first_text(reversed(spans), stamps.USER_ID),
        "started_at": datetime.fromtimestamp(start / 1e9, timezone.utc).isoformat(),
    }
    return {**_known(head), "entries": [_known(entry) for entry in found]}


def _user_entries(spans: Sequence[Span], turns: Sequence[Span]) -> Iterator[Entry]:
    """Yield what the user said, as it was transcribed, and what only a turn's input tells."""
    heard = [
        (span.start_time_unix_nano, _text(span, names.USER_TRANSCRIPT))
        for span in spans
        if span.name == names.USER_TURN and _text(span, names.USER_TRANSCRIPT)
    ]
    yield from ({"at_seconds": at, "kind": "user", "text": text} for at, text in heard)
    for turn in turns:
        text = _text(turn, names.USER_INPUT)
        if text is None or turn.attributes.get(stamps.TURN_KIND) == "discarded":
            continue
        told = [one for one in heard if one[0] <= turn.end_time_unix_nano and str(one[1]) in text]
        if told:  # transcribed, by the user turns that this one answers
            heard = [one for one in heard if one not in told]
            continue
        began = number(turn.attributes.get(stamps.TURN_USER_STARTED))
        at = turn.start_time_unix_nano if began is None else round(began * 1e9)
        yield {"at_seconds": at, "kind": "user", "text": text}


def _agent_entries(turn: Span, inside: Sequence[Span]) -> Iterator[Entry]:
    """Yield a turn's tools, and what was spoken before, between and after them."""
    if turn.attributes.get(stamps.TURN_KIND) == "discarded":
        return
    tools = [span for span in inside if span.name == names.FUNCTION_TOOL]
    yield from map(_tool, tools)
    entries: list[Entry] = [
        {
            "at_seconds": at,
            "kind": "agent",
            "text": text,
            "turn": turn.attributes.get(stamps.TURN_NUMBER),
        }
        for at, text in _said(turn, inside, tools)
    ]
    if entries:
        entries[0]["user_bot_latency_seconds"] = turn.attributes.get(stamps.TURN_LATENCY)
        entries[-1]["interrupted"] = turn.attributes.get(stamps.TURN_WAS_INTERRUPTED) or None
    yield from entries


def _said(
    turn: Span, inside: Sequence[Span], tools: Sequence[Span]
) -> Iterator[tuple[int, AttributeValue]]:
    """Yield when each text was begun to be spoken; the turn has only that of its last step."""
    steps = [span for span in inside if span.name in LLM_NODES]
    speaking = [span.start_time_unix_nano for span in inside if span.name == names.AGENT_SPEAKING]

    def spoken(since: int) -> int:
        return next((at for at in speaking if at >= since), since)

    before = None
    for step in steps:
        start, end = step.start_time_unix_nano, step.end_time_unix_nano
        called = any(start <= tool.start_time_unix_nano <= end for tool in tools)
        if called and (text := _text(step, names.RESPONSE_TEXT)):
            before = text
            yield spoken(start), text
    last = _text(turn, names.RESPONSE_TEXT)
    if last and last != before:
        since = turn.start_time_unix_nano
        if before:
            since = steps[-1].start_time_unix_nano
        yield spoken(since), last


def _tool(span: Span) -> Entry:
    attributes = span.attributes
    return {
        "at_seconds": span.start_time_unix_nano,
        "kind": "tool",
        "name": names.text(attributes, names.TOOL_NAME),
        "arguments": _text(span, names.TOOL_ARGUMENTS),
        "output": _text(span, names.TOOL_OUTPUT),
        "is_error": attributes.get(names.TOOL_IS_ERROR) or None,
        "duration_seconds": None if span.is_open else span.duration_seconds,
    }


def _handoff(span: Span) -> Entry:
    return {
        "at_seconds": span.start_time_unix_nano,
        "kind": "handoff",
        "from": span.attributes.get(names.PREVIOUS_AGENT_LABEL),
        "to": span.attributes.get(names.AGENT_LABEL),
    }


def _inside(root: Span, spans: Sequence[Span]) -> list[Span]:
    """Return what is below a span; `spans` are by start, so that parents come first."""
    ids, found = {root.span_id}, []
    for span in spans:
        if span.parent_span_id in ids:
            ids.add(span.span_id)
            found.append(span)
    return found


def _text(span: Span, keys: tuple[str, ...]) -> str | None:
    value = names.first(span.attributes, keys)
    return (value.strip() or None) if isinstance(value, str) else None


def _known(entry: Entry) -> Entry:
    return {key: value for key, value in entry.items() if value is not None}
