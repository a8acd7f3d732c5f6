"""Messages in OpenAI's chat shape, which backends render, from the shapes that LiveKit writes.

LiveKit wrote a model's messages as span events (1.5, 1.6), and writes them as `gen_ai.*`
attributes with `parts` (since 1.7); its own chat context is a third shape. JSON that is not
what it should be is passed on as it came: a person can still read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracing import names
from tracing.span import Attributes, Event

Message = dict[str, Any]


dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""JSON as short as it gets, with letters of every language as they are."""


def request(attributes: Attributes, events: Sequence[Event]) -> str:
    """What a model was given: its messages, with the tools it could call; "" if unknown."""
    recorded = attributes.get(names.INPUT_MESSAGES)
    try:
        messages = _from_parts(_system(attributes)) + _from_parts(_load(recorded))
        messages = messages or _from_events(events)
        tools = _tools(_load(attributes.get(names.TOOL_DEFINITIONS)))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return str(recorded or "")
    if not messages:
        return ""
    return dumps({"messages": messages, "tools": tools} if tools else messages)


def reply(attributes: Attributes, events: Sequence[Event]) -> str:
    """What a model answered, as one assistant message; "" if unknown."""
    recorded = attributes.get(names.OUTPUT_MESSAGES)
    try:
        messages = _from_parts(_load(recorded)) or _from_choices(events)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return str(recorded or "")
    if not messages:
        return ""
    return dumps(messages[0] if len(messages) == 1 else messages)


def said(*by: tuple[str, str]) -> list[Message]:
    """Messages from pairs of a role and what it said, without those that said nothing."""
    return [{"role": role, "content": text} for role, text in by if text]


def _load(recorded: object) -> list[Any]:
    """A JSON list that an attribute holds, empty when the attribute is missing."""
    return json.loads(recorded) if isinstance(recorded, str) and recorded else []


def _system(attributes: Attributes) -> list[Any]:
    parts = _load(attributes.get(names.SYSTEM_INSTRUCTIONS))
    return [{"role": "system", "parts": parts}] if parts else []


# gen_ai messages with parts


def _from_parts(messages: Iterable[Mapping[str, Any]]) -> list[Message]:
    found: list[Message] = []
    for message in messages:
        found.extend(_from_message(message["role"], message.get("parts") or ()))
    return found


def _from_message(role: str, parts: Sequence[Mapping[str, Any]]) -> list[Message]:
    """One message; a tool message becomes one for each result that it holds."""
    if len(parts) == 1 and parts[0].get("type") == "text":
        return [{"role": role, "content": parts[0].get("content", "")}]
    results = [part for part in parts if part.get("type") == "tool_call_response"]
    calls = [_call(part) for part in parts if part.get("type") == "tool_call"]
    contents = [
        _content(part)
        for part in parts
        if part.get("type") not in ("tool_call", "tool_call_response")
    ]
    message: Message = {"role": role, "content": _joined(contents)}
    if calls:
        message["tool_calls"] = calls
    found = [message] if contents or calls or not results else []
    return found + [_result(part) for part in results]


def _content(part: Mapping[str, Any]) -> Message:
    kind = part.get("type")
    if kind in ("text", "reasoning"):
        return {"type": "text", "text": str(part.get("content", ""))}
    if kind == "uri" and part.get("uri"):
        return {"type": "image_url", "image_url": {"url": part["uri"]}}
    if kind in ("uri", "blob", "file"):
        return {"type": "text", "text": part.get("transcript") or f"[{part.get('modality', kind)}]"}
    return {"type": "text", "text": dumps(part)}


def _joined(contents: Sequence[Message]) -> str | list[Message] | None:
    """Text alone as a string, text with images as OpenAI's list of parts."""
    if all("text" in content for content in contents):
        return "\n".join(content["text"] for content in contents) if contents else None
    return list(contents)


def _call(part: Mapping[str, Any]) -> Message:
    function = {"name": part.get("name", ""), "arguments": _text(part.get("arguments"))}
    return {"id": part.get("id", ""), "type": "function", "function": function}


def _result(part: Mapping[str, Any]) -> Message:
    named = {"name": part["name"]} if part.get("name") else {}
    return {
        "role": "tool",
        "tool_call_id": part.get("id", ""),
        **named,
        "content": _text(part.get("response", part.get("result"))),
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else dumps({} if value is None else value)


def _tools(definitions: Iterable[Mapping[str, Any]]) -> list[Message]:
    return [
        {
            "type": "function",
            "function": {key: value for key, value in tool.items() if key != "type"},
        }
        if tool.get("type") == "function"
        else dict(tool)
        for tool in definitions
    ]


# Span events, as livekit-agents 1.5 and 1.6 wrote them


def _from_events(events: Sequence[Event]) -> list[Message]:
    return [
        {"role": names.EVENT_ROLES[event.name], **_of_event(event.attributes)}
        for event in events
        if event.name in names.EVENT_ROLES
    ]


def _from_choices(events: Sequence[Event]) -> list[Message]:
    return [
        {"role": "assistant", **_of_event(event.attributes)}
        for event in events
        if event.name == names.EVENT_CHOICE
    ]


def _of_event(attributes: Attributes) -> Message:
    found: Message = {"content": attributes.get("content")}
    calls = attributes.get("tool_calls")
    if isinstance(calls, list) and calls:
        found["tool_calls"] = [json.loads(call) for call in calls if isinstance(call, str)]
    if "id" in attributes:
        found["tool_call_id"] = attributes["id"]
    if "name" in attributes:
        found["name"] = attributes["name"]
    return found
