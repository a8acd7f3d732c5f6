"""Messages of every LiveKit version in OpenAI's shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tracing.dialects import messages

from .spans import event


def request(**attributes: Any) -> Any:
    given = {
        f"gen_ai.{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in attributes.items()
    }
    return {key.replace("__", "."): value for key, value in given.items()}


def message(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "parts": list(parts)}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (message("user", text("hi")), [{"role": "user", "content": "hi"}]),
        (message("user", text("a"), text("b")), [{"role": "user", "content": "a\nb"}]),
        (message("assistant"), [{"role": "assistant", "content": None}]),
        (
            message(
                "assistant",
                text("let me see"),
                {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"x": 1}},
                {"type": "tool_call", "id": "c2", "name": "g", "arguments": "not json"},
            ),
            [
                {
                    "role": "assistant",
                    "content": "let me see",
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"x":1}'},
                        },
                        {
                            "id": "c2",
                            "type": "function",
                            "function": {"name": "g", "arguments": "not json"},
                        },
                    ],
                }
            ],
        ),
        (
            message(
                "tool",
                {"type": "tool_call_response", "id": "c1", "name": "f", "response": {"ok": True}},
                {"type": "tool_call_response", "id": "c2", "response": "fine"},
            ),
            [
                {"role": "tool", "tool_call_id": "c1", "name": "f", "content": '{"ok":true}'},
                {"role": "tool", "tool_call_id": "c2", "content": "fine"},
            ],
        ),
        (
            message(
                "user",
                text("what is this?"),
                {"type": "uri", "modality": "image", "uri": "https://example.com/x.png"},
            ),
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "what is this?"},
                        {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}},
                    ],
                }
            ],
        ),
        (
            message(
                "user",
                {"type": "uri", "modality": "image", "uri": ""},
                {"type": "blob", "modality": "audio", "content": "", "transcript": "hi"},
            ),
            [{"role": "user", "content": "[image]\nhi"}],
        ),
        (
            message("user", {"type": "news", "x": 1}),
            [{"role": "user", "content": '{"type":"news","x":1}'}],
        ),
    ],
)
def test_parts_become_openais_messages(
    given: dict[str, Any], expected: list[dict[str, Any]]
) -> None:
    """Every kind of part that LiveKit writes, and one that it does not write yet."""
    attributes = request(input__messages=[given])
    assert json.loads(messages.request(attributes, ())) == expected


def test_instructions_come_first_and_tools_beside() -> None:
    """As a model gets them."""
    attributes = request(
        system_instructions=[text("be kind"), text("be brief")],
        input__messages=[message("user", text("hi"))],
        tool__definitions=[
            {"type": "function", "name": "f", "description": "d"},
            {"type": "web_search", "name": "web_search"},
        ],
    )
    assert json.loads(messages.request(attributes, ())) == {
        "messages": [
            {"role": "system", "content": "be kind\nbe brief"},
            {"role": "user", "content": "hi"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d"}},
            {"type": "web_search", "name": "web_search"},
        ],
    }


def test_reply_is_one_message() -> None:
    """Without the list that holds it, and with letters as they are."""
    attributes = request(output__messages=[message("assistant", text("Tschüß"))])
    assert messages.reply(attributes, ()) == '{"role":"assistant","content":"Tschüß"}'


def test_events_of_older_versions() -> None:
    """livekit-agents up to 1.7 wrote each message as an event."""
    call = '{"function": {"name": "f", "arguments": "{}"}, "id": "c1", "type": "function"}'
    events = (
        event("gen_ai.system.message", content="be kind"),
        event("gen_ai.assistant.message", role="assistant", tool_calls=[call]),
        event("gen_ai.tool.message", content="fine", name="f", id="c1"),
        event("something_else", content="x"),
        event("gen_ai.choice", role="assistant", content="done"),
    )
    assert json.loads(messages.request({}, events)) == [
        {"role": "system", "content": "be kind"},
        {"role": "assistant", "content": None, "tool_calls": [json.loads(call)]},
        {"role": "tool", "content": "fine", "tool_call_id": "c1", "name": "f"},
    ]
    assert json.loads(messages.reply({}, events)) == {"role": "assistant", "content": "done"}


@pytest.mark.parametrize(
    "recorded", ["not json", "{}", "[1]", '[{"no": "role"}]', '[{"role": "user", "parts": 1}]']
)
def test_what_is_no_message_passes_as_it_came(recorded: str) -> None:
    """A person can still read it, and nothing raises."""
    attributes = request(input__messages=recorded, output__messages=recorded)
    assert messages.request(attributes, ()) == (recorded if recorded != "{}" else "")
    assert messages.reply(attributes, ()) == (recorded if recorded != "{}" else "")


def test_withheld_messages_are_absent() -> None:
    """Nothing was recorded, so nothing is shown: not even an empty list."""
    assert (messages.request({}, ()), messages.reply({}, ())) == ("", "")
