"""One turn in full: what was heard, what each model and tool got and gave, and its spans."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracing import names, stamps
from tracing.account.turns.turn import number
from tracing.calls.lanes import unheard_text
from tracing.calls.tree import Tree, is_unfinished, known
from tracing.dialects.messages import reply, request
from tracing.span import STATUS_ERROR, Span

_REQUESTS = (names.LLM_REQUEST, names.REALTIME_INFERENCE)


def turn_detail(tree: Tree, turn_number: int) -> dict[str, Any] | None:
    """The turn of this number; None where the call has none.

    - `heard`: `text`, `model`, `provider`, `confidence`, `interims`, `delay` of the final
      transcript (seconds after the last word), `probability` and `threshold` of the turn
      detector, `waited`.
    - `steps`, by time: of an LLM `kind` `llm`, `number`, `model`, `input_tokens`, `cached_tokens`,
      `output_tokens`, `first_token` (seconds), `attempts`, `is_preemptive`, `error`, `earlier` and
      `new` (messages with `role` and `text`), `tools` (`name`, `description`), `gave`, `reason`;
      of a tool `kind` `tool`, `name`, `seconds`, `is_unfinished`, `is_error`, `arguments`,
      `output`, `error`.
    - `spoken`: `model`, `characters`, `seconds`, `first_audio`; `lost`: text that nobody heard.
    - `tree`: `name`, `depth`, `at` and `seconds` since the turn's start, `is_error`,
      `is_recovered`, `attributes`, without those that every span of a call carries.
    """
    found = [t for t in tree.named(names.AGENT_TURN) if _number(t) == turn_number]
    if not found:
        return None
    turn = found[0]
    inside = tree.inside(turn)
    return known(
        {
            "heard": _heard(tree, turn),
            "steps": list(_steps(tree, inside)),
            "spoken": _spoken(inside),
            "lost": unheard_text(turn, inside) if turn.attributes.get(stamps.TURN_HEARD) else None,
            "tree": list(_tree(tree, turn, inside)),
            "spans": len(tree.spans),
        }
    )


def _number(turn: Span) -> object:
    return turn.attributes.get(stamps.TURN_NUMBER)


def _heard(tree: Tree, turn: Span) -> dict[str, Any] | None:
    """What is known of the user's turn that this one answers."""
    before = [
        span
        for span in tree.named(names.USER_TURN)
        if span.start_time_unix_nano <= turn.start_time_unix_nano
    ]
    if not before or turn.attributes.get(stamps.TURN_LATENCY) is None:
        return None
    user, inside = before[-1], tree.inside(before[-1])
    detected = next((s.attributes for s in reversed(inside) if s.name == names.EOU_DETECTION), {})
    waited = next((s.attributes for s in reversed(inside) if s.name == names.EOU_WAIT), {})
    return known(
        {
            "text": names.first(user.attributes, names.USER_TRANSCRIPT),
            "model": user.attributes.get(names.REQUEST_MODEL),
            "provider": user.attributes.get(names.PROVIDER_NAME),
            "confidence": number(user.attributes.get(names.TRANSCRIPT_CONFIDENCE)),
            "interims": _interims(user),
            "corrections": turn.attributes.get(stamps.TURN_CORRECTIONS),
            "delay": number(turn.attributes.get(stamps.TURN_TRANSCRIPTION_DELAY)),
            "probability": number(detected.get(names.EOU_PROBABILITY)),
            "threshold": number(detected.get(names.EOU_THRESHOLD)),
            "waited": number(waited.get(names.EOU_WAIT_DURATION)),
        }
    )


def _interims(user: Span) -> int | None:
    try:
        events = json.loads(names.text(user.attributes, names.STT_EVENTS) or "[]")
        return sum("interim" in str(event.get("type")) for event in events) or None
    except (AttributeError, TypeError, ValueError):
        return None


def _steps(tree: Tree, inside: Sequence[Span]) -> Iterator[dict[str, Any]]:
    requests = [span for span in tree.spans if span.name in _REQUESTS]
    count = 0
    for span in inside:
        if span.name in _REQUESTS:
            count += 1
            earlier = requests[requests.index(span) - 1] if requests.index(span) else None
            yield {"number": count, **_llm_step(span, earlier, tree.inside(span))}
        elif span.name == names.FUNCTION_TOOL:
            yield _tool_step(span)


def _llm_step(span: Span, before: Span | None, runs: Sequence[Span]) -> dict[str, Any]:
    attributes = span.attributes
    given, tools = _given(span)
    same = _common(_known_after(before), given)
    attempts = [run for run in runs if run.name.endswith("_request_run")]
    return known(
        {
            "kind": "llm",
            "model": attributes.get(names.RESPONSE_MODEL) or attributes.get(names.REQUEST_MODEL),
            "input_tokens": number(attributes.get("gen_ai.usage.input_tokens")),
            "cached_tokens": number(attributes.get("gen_ai.usage.cache_read.input_tokens")),
            "output_tokens": number(attributes.get("gen_ai.usage.output_tokens")),
            "first_token": number(attributes.get(names.TIME_TO_FIRST_CHUNK)),
            "attempts": len(attempts) or None,
            "is_preemptive": attributes.get(stamps.IS_PREEMPTIVE) or None,
            "error": _error(span),
            "earlier": given[:same],
            "new": given[same:],
            "tools": tools,
            "gave": _messages(reply(attributes, span.events)),
            "reason": _reason(attributes.get("gen_ai.response.finish_reasons")),
        }
    )


def _known_after(before: Span | None) -> list[dict[str, str]]:
    """The messages of a request and its answer, which the next one gets again."""
    if before is None:
        return []
    return [*_given(before)[0], *_messages(reply(before.attributes, before.events))]


def _given(span: Span) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The messages and the tools that a model got."""
    text = request(span.attributes, span.events)
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    tools = found.get("tools", []) if isinstance(found, dict) else []
    return _messages(text), [_definition(tool) for tool in tools if isinstance(tool, dict)]


def _definition(tool: Mapping[str, Any]) -> dict[str, str]:
    function = tool.get("function")
    of = function if isinstance(function, dict) else tool
    return {"name": str(of.get("name", "")), "description": str(of.get("description", "") or "")}


def _messages(text: str) -> list[dict[str, str]]:
    """Messages in OpenAI's shape as `role` and `text`, tool calls and results included."""
    if not text:
        return []
    try:
        found = json.loads(text)
    except ValueError:
        return [{"role": "", "text": text}]
    if isinstance(found, dict):
        found = found.get("messages", [found])
    return [_message(one) for one in found if isinstance(one, dict)]


def _message(one: Mapping[str, Any]) -> dict[str, str]:
    content = one.get("content")
    words = [content if isinstance(content, str) else _plain(content)] if content else []
    for call in one.get("tool_calls") or ():
        function = call.get("function", {}) if isinstance(call, dict) else {}
        words.append(f"{function.get('name', '')}({_plain(function.get('arguments', ''))})")
    return {"role": str(one.get("role", "")), "text": "\n".join(words)}


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _common(before: Sequence[object], after: Sequence[object]) -> int:
    """How many messages both begin with."""
    count = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        count += 1
    return count


def _reason(value: object) -> str | None:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else None


def _tool_step(span: Span) -> dict[str, Any]:
    attributes = span.attributes
    return known(
        {
            "kind": "tool",
            "name": names.text(attributes, names.TOOL_NAME) or "tool",
            "seconds": None if span.is_open or is_unfinished(span) else span.duration_seconds,
            "is_unfinished": is_unfinished(span) or None,
            "is_error": bool(attributes.get(names.TOOL_IS_ERROR)),
            "arguments": names.first(attributes, names.TOOL_ARGUMENTS),
            "output": names.first(attributes, names.TOOL_OUTPUT),
            "error": _error(span),
        }
    )


def _error(span: Span) -> str | None:
    """What a span failed with, as the exception said it."""
    for event in span.events:
        if message := names.text(event.attributes, names.EXCEPTION_MESSAGE):
            kind = names.text(event.attributes, names.EXCEPTION_TYPE)
            return f"{kind}: {message}" if kind else message
    if span.status_code == STATUS_ERROR:
        return span.status_message or names.text(span.attributes, names.ERROR_TYPE) or "failed"
    return None


def _spoken(inside: Sequence[Span]) -> dict[str, Any] | None:
    requests = [span for span in inside if span.name == names.TTS_REQUEST]
    if not requests:
        return None
    ttfb = next(
        (v for s in inside if (v := number(s.attributes.get(names.TTFB))) is not None), None
    )
    return known(
        {
            "model": requests[0].attributes.get(names.REQUEST_MODEL),
            "requests": len(requests),
            "first_audio": ttfb,
            "error": next((e for span in requests if (e := _error(span))), None),
        }
    )


def _tree(tree: Tree, turn: Span, inside: Sequence[Span]) -> Iterator[dict[str, Any]]:
    depth = {turn.span_id: 0}
    shared = _shared(tree.spans)
    children: dict[bytes, list[Span]] = {}
    for span in inside:
        children.setdefault(span.parent_span_id, []).append(span)
    waiting = [turn]
    while waiting:
        span = waiting.pop()
        below = children.pop(span.span_id, [])
        for child in below:
            depth[child.span_id] = depth[span.span_id] + 1
        waiting += reversed(below)
        yield {
            "name": span.name,
            "span_id": span.span_id.hex(),
            "depth": min(depth[span.span_id], 4),
            "at": (span.start_time_unix_nano - turn.start_time_unix_nano) / 1e9,
            "seconds": None if span.is_open else span.duration_seconds,
            "is_error": span.status_code == STATUS_ERROR,
            "is_recovered": is_unfinished(span),
            "attributes": {k: v for k, v in span.attributes.items() if k not in shared},
        }


def _shared(spans: Sequence[Span]) -> set[str]:
    """The names of what every span of a call carries: shown once, of the call."""
    found = {stamps.SESSION_ID, stamps.USER_ID, stamps.FIRST_AGENT, "gen_ai.conversation.id"}
    return (
        found
        | {key for key in spans[0].attributes if key.startswith("lk.job")}
        | {
            "lk.room_sid",
            "lk.pii.room_name",
        }
    )
