"""Recorded calls: spans stamped after the fact, and described as one object for the report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from tracing.livekit import names
from tracing.livekit.call import Call
from tracing.livekit.latency import parts
from tracing.livekit.summary import from_attributes
from tracing.livekit.turns import tools
from tracing.span import STATUS_ERROR, AttributeValue, Span

__all__ = ["Call", "describe", "restamp"]


def restamp(spans: Sequence[Span]) -> list[Span]:
    """Return the spans of one trace with the stamps that `Call` gives, in the order given.

    A span that is still open is stamped as if it ended when the trace was last heard of. What
    only events could know stays as it was recorded.
    """
    call = Call(clock=None)
    last = max((max(s.start_time_unix_nano, s.end_time_unix_nano) for s in spans), default=0)
    by_id = {span.span_id: span for span in spans}
    begun: set[bytes] = set()
    stamps: dict[bytes, dict[str, AttributeValue]] = {}

    def begin(span: Span) -> None:
        parent = by_id.get(span.parent_span_id)
        if parent is not None and parent.span_id not in begun:
            begin(parent)
        if span.span_id not in begun:
            begun.add(span.span_id)
            call.started(span)

    for _, ends, span in sorted(_moments(spans, last), key=lambda moment: moment[:2]):
        if not ends:
            begin(span)
        else:
            closed = span._replace(end_time_unix_nano=span.end_time_unix_nano or last)
            stamps[span.span_id] = dict(call.ended(closed))
    identity = call.identity()
    return [
        span._replace(attributes={**identity, **span.attributes, **stamps.get(span.span_id, {})})
        for span in spans
    ]


def _moments(spans: Sequence[Span], last: int) -> list[tuple[int, bool, Span]]:
    starts = [(span.start_time_unix_nano, False, span) for span in spans]
    return starts + [(span.end_time_unix_nano or last, True, span) for span in spans]


def describe(spans: Sequence[Span]) -> dict[str, Any]:
    """Return one call (the spans of one trace) as the report's JSON object.

    Keys, all absent where unknown: `trace_id` (32 hex digits), `session_id`, `user_id`, `agent`,
    `started_at` (ISO 8601, UTC), `duration_seconds`; `summary`, the `call.*` attributes of
    `agent_session` without their prefix, with `usage` as a list of objects and `errors` and
    `options` as objects; `turns`, in order, each with `number`, `kind`, `user_text`,
    `agent_text`, `user_bot_latency_seconds`, `parts` (name to seconds, adding up to the latency
    or to `first_output_seconds`), `interrupted`, `barged_in`, `tools` (`name`,
    `duration_seconds`, `is_error`, `error`), `errors` (stage and message), and the rest of the
    turn's `turn.*` attributes without their prefix.
    """
    spans = sorted(restamp(spans), key=lambda s: s.start_time_unix_nano)
    turns = [span for span in spans if span.name == names.AGENT_TURN]
    sessions = [span for span in spans if span.name == names.AGENT_SESSION]
    start = spans[0].start_time_unix_nano
    end = max(max(s.start_time_unix_nano, s.end_time_unix_nano) for s in spans)
    described = {
        "trace_id": spans[0].trace_id.hex(),
        "session_id": _any(spans, names.SESSION_ID),
        "user_id": _any(spans, names.USER_ID),
        "agent": _any(spans, names.AGENT_NAME) or _any(sessions, names.AGENT_LABEL),
        "started_at": datetime.fromtimestamp(start / 1e9, timezone.utc).isoformat(),
        "duration_seconds": (end - start) / 1e9,
        "summary": from_attributes(sessions[0].attributes) if sessions else {},
        "turns": [_describe_turn(turn, spans) for turn in turns],
    }
    return {key: value for key, value in described.items() if value is not None}


def _any(spans: Sequence[Span], key: str) -> AttributeValue | None:
    return next((span.attributes[key] for span in spans if span.attributes.get(key)), None)


def _describe_turn(turn: Span, spans: Sequence[Span]) -> dict[str, Any]:
    inside = _descendants(turn, spans)
    attributes = turn.attributes
    described = {
        **{
            key.removeprefix("turn."): value
            for key, value in attributes.items()
            if key.startswith("turn.") and not key.startswith((names.TURN_PART, names.TURN_ERRORS))
        },
        "user_text": names.first(attributes, names.USER_INPUT),
        "agent_text": names.first(attributes, names.RESPONSE_TEXT),
        "parts": parts(attributes) or None,
        "interrupted": attributes.get(names.TURN_WAS_INTERRUPTED),
        "tools": _tools(inside) or None,
        "errors": _errors([turn, *inside]) or None,
    }
    described.pop("was_interrupted", None)
    return {key: value for key, value in described.items() if value is not None}


def _descendants(root: Span, spans: Sequence[Span]) -> list[Span]:
    inside = {root.span_id}
    found = []
    for span in spans:
        if span.parent_span_id in inside:
            inside.add(span.span_id)
            found.append(span)
    return found


def _tools(inside: Sequence[Span]) -> list[dict[str, Any]]:
    called = [span for span in inside if span.name == names.FUNCTION_TOOL]
    described = tools(called)
    for tool, span in zip(described, called, strict=True):
        if tool["is_error"] and (output := names.first(span.attributes, names.TOOL_OUTPUT)):
            tool["error"] = output
    return described


def _errors(spans: Sequence[Span]) -> list[dict[str, Any]]:
    return [
        {"span": span.name, "message": span.status_message}
        for span in spans
        if span.status_code == STATUS_ERROR
    ]
