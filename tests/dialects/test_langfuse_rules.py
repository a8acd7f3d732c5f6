"""The interpreter of Langfuse's rules gives what a server was seen to give."""

from __future__ import annotations

import json
from typing import Any

import pytest

from . import langfuse_rules as langfuse
from .recorded import recorded
from .spans import START, event, livekit_span

GPT_4O = {
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.cache_read.input_tokens": 60,
    "gen_ai.usage.input_cached_tokens": 60,
    "gen_ai.usage.output_tokens": 20,
}
CLAUDE = {
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.cache_write.input_tokens": 40,
    "gen_ai.usage.output_tokens": 20,
}
GPT_5 = {
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 50,
    "gen_ai.usage.reasoning.output_tokens": 30,
    "gen_ai.usage.reasoning_tokens": 30,
}
REALTIME = {
    "gen_ai.usage.input_tokens": 120,
    "gen_ai.usage.output_tokens": 80,
    "gen_ai.usage.text.input_tokens": 30,
    "gen_ai.usage.audio.input_tokens": 90,
    "gen_ai.usage.image.input_tokens": 0,
    "gen_ai.usage.text.output_tokens": 20,
    "gen_ai.usage.audio.output_tokens": 60,
    "gen_ai.usage.cache_read.input_tokens": 10,
    "gen_ai.usage.input_text_tokens": 30,
    "gen_ai.usage.input_audio_tokens": 90,
    "gen_ai.usage.input_cached_tokens": 10,
    "gen_ai.usage.output_text_tokens": 20,
    "gen_ai.usage.output_audio_tokens": 60,
    "gen_ai.usage.text.cache_read.input_tokens": 4,
    "gen_ai.usage.audio.cache_read.input_tokens": 6,
    "gen_ai.usage.image.cache_read.input_tokens": 0,
}


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        ("x", {"langfuse.observation.type": "agent", "gen_ai.operation.name": "chat"}, "agent"),
        (
            "x",
            {"langfuse.observation.type": "AGENT", "gen_ai.operation.name": "chat"},
            "generation",
        ),
        ("x", {"gen_ai.operation.name": "generate_content"}, "generation"),
        ("x", {"gen_ai.operation.name": "create_agent"}, "agent"),
        ("x", {"gen_ai.operation.name": "execute_tool"}, "tool"),
        ("x", {"gen_ai.operation.name": "invoke_workflow"}, "span"),
        ("x", {"gen_ai.tool.call.id": "c"}, "tool"),
        ("function_tool", {}, "tool"),
        ("agent_turn", {}, "agent"),
        ("start_agent_activity", {"gen_ai.request.model": "m"}, "agent"),
        ("user_turn", {"gen_ai.request.model": "nova-3"}, "generation"),
        ("tts_node", {"gen_ai.request.model": "sonic-2"}, "generation"),
        ("eou_wait", {}, "span"),
    ],
)
def test_type(name: str, attributes: dict[str, Any], expected: str) -> None:
    """The first rule that fits decides the type, in lower case only."""
    assert langfuse.observation_type(livekit_span(name, attributes)) == expected


def test_name_is_the_tools_before_the_spans() -> None:
    """`gen_ai.tool.name` wins over the span's own name."""
    span = livekit_span("function_tool", {"gen_ai.tool.name": "get_weather"})
    assert langfuse.name_of(span) == "get_weather"


@pytest.mark.parametrize(
    ("attributes", "server", "expected"),
    [
        (
            {"langfuse.observation.output": "", "lk.user_transcript": "hi"},
            langfuse.V4,
            (None, ""),
        ),
        ({"lk.user_transcript": "hi", "lk.chat_ctx": "{}"}, langfuse.V4, ("hi", None)),
        ({"lk.pii.user_transcript": "hi"}, langfuse.V4, (None, None)),
        ({"lk.pii.user_transcript": "hi"}, langfuse.V4_WITH_PII, ("hi", None)),
        (
            {"gen_ai.tool.call.arguments": "{}", "gen_ai.tool.call.result": "1"},
            langfuse.V4,
            ("{}", "1"),
        ),
        (
            {"gen_ai.input.messages": "[]", "gen_ai.tool.definitions": '[{"name": "f"}]'},
            langfuse.V4,
            ('{"tools": [{"name": "f"}]}', None),
        ),
        ({"gen_ai.system_instructions": "[]"}, langfuse.V4, (None, None)),
    ],
)
def test_input_and_output(
    attributes: dict[str, Any], server: langfuse.Server, expected: tuple[Any, Any]
) -> None:
    """One source gives both; ours goes first, and an empty one of ours is there too."""
    assert langfuse.sides(livekit_span("x", attributes), server) == expected


def test_messages_from_events() -> None:
    """livekit-agents up to 1.6 wrote messages as events."""
    span = livekit_span(
        "llm_request",
        events=(
            event("gen_ai.user.message", content="hi"),
            event("gen_ai.choice", content="hello", role="assistant"),
        ),
    )
    assert langfuse.sides(span) == (
        '[{"role": "user", "content": "hi"}]',
        '{"content": "hello", "role": "assistant"}',
    )


@pytest.mark.parametrize(
    ("model", "reported", "total", "cost"),
    [
        ("gpt-4o", GPT_4O, 120, 0.000375),
        ("claude-sonnet-4-5", CLAUDE, 160, 0.00060),
        ("gpt-5", GPT_5, 180, 0.000925),
        ("gpt-4o-realtime-preview", REALTIME, 610, 0.02155),
    ],
)
def test_reading_of_livekits_usage(
    model: str, reported: dict[str, int], total: int, cost: float
) -> None:
    """What a server makes of LiveKit's own attributes, its mistakes included."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": model, **reported}
    shown = langfuse.observation(livekit_span("llm_request", attributes))
    assert (shown.total_tokens, round(shown.total_cost, 9)) == (total, cost)


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ('{"input": 26, "output": 20}', {"input": 26, "output": 20, "total": 46}),
        ('{"characters": 38, "total": 0}', {"characters": 38, "total": 0}),
        ('{"input": "7", "output": -1}', {"input": 7, "total": 7}),
        ("[]", {}),
        ("not json", {"input": 1, "total": 1}),
    ],
)
def test_explicit_usage(details: str, expected: dict[str, int]) -> None:
    """Explicit usage replaces every other; what is no JSON is passed over."""
    attributes = {
        "langfuse.observation.usage_details": details,
        "gen_ai.usage.input_tokens": 1,
    }
    assert langfuse.observation(livekit_span("x", attributes)).usage == expected


@pytest.mark.parametrize(
    ("attributes", "server", "counts"),
    [
        ({}, langfuse.V4, True),
        ({"langfuse.observation.level": "ERROR"}, langfuse.V4, True),
        ({"langfuse.observation.level": "ERROR"}, langfuse.LEGACY, False),
        ({"langfuse.observation.usage_details": "{}"}, langfuse.V4, True),
        ({"langfuse.observation.usage_details": '{"input":0}'}, langfuse.V4, False),
        ({"langfuse.observation.cost_details": '{"total":0}'}, langfuse.V4, False),
        ({"langfuse.observation.model.name": ""}, langfuse.V4, True),
        ({"langfuse.observation.type": "span"}, langfuse.V4, True),
        ({"langfuse.observation.type": "span"}, langfuse.LEGACY, False),
        ({"gen_ai.request.model": "nova-3"}, langfuse.V4, False),
    ],
)
def test_tokenizer_trap(attributes: dict[str, Any], server: langfuse.Server, counts: bool) -> None:
    """A priced model with input or output and no usage or cost is counted and priced."""
    given = {"gen_ai.request.model": "gpt-4o-mini", "langfuse.observation.input": "Hello there"}
    shown = langfuse.observation(livekit_span("llm_node", {**given, **attributes}), server)
    assert (shown.total_tokens > 0) is counts


def test_agents_lose_model_usage_and_cost() -> None:
    """Even explicit ones, while `gen_ai.operation.name` says `invoke_agent`."""
    attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "langfuse.observation.model.name": "gpt-4o",
        "langfuse.observation.usage_details": '{"input":1}',
        "langfuse.observation.cost_details": '{"total":1}',
    }
    shown = langfuse.observation(livekit_span("agent_turn", attributes))
    assert (shown.model, shown.usage, shown.cost) == (None, {}, {})


@pytest.mark.parametrize(
    ("name", "attributes", "status", "expected"),
    [
        ("tts_request", {}, 0, "DEBUG"),
        ("tts_request", {}, 2, "ERROR"),
        ("tts_request", {"langfuse.observation.level": "warn"}, 2, "WARNING"),
        ("eou_wait", {}, 0, "DEFAULT"),
        ("eou_wait", {"langfuse.observation.level": "nonsense"}, 0, "DEFAULT"),
    ],
)
def test_level(name: str, attributes: dict[str, Any], status: int, expected: str) -> None:
    """Ours goes before the status, the status before the list of LiveKit's plumbing."""
    assert langfuse.level_of(livekit_span(name, attributes, status_code=status)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("production", "production"),
        ("Production", "production"),
        ("prod eu", "default"),
        ("langfuse-prod", "-prod"),
        ("x" * 50, "x" * 40),
        ("", "default"),
    ],
)
def test_environment(given: str, expected: str) -> None:
    """Langfuse files what it does not take under "default"."""
    assert langfuse.environment(livekit_span("x", {"langfuse.environment": given})) == expected


def test_trace_fields_without_the_root() -> None:
    """No root, no name and no input; the last session id given wins."""
    first = livekit_span("a", {"session.id": "one"}, span_id=b"1" * 8)
    second = livekit_span("b", {"gen_ai.conversation.id": "RM_2"}, span_id=b"2" * 8)
    trace = langfuse.show([first, second])
    assert (trace.name, trace.session_id, trace.input) == (None, "RM_2", None)


def test_trace_input_of_each_server() -> None:
    """Version 4 takes the root's own input, the tables of version 3 prefer the trace's."""
    attributes = {"langfuse.observation.input": "own", "langfuse.trace.input": "trace"}
    root = livekit_span("root", attributes, parent_span_id=b"")
    assert langfuse.show([root], langfuse.V4).input == "own"
    assert langfuse.show([root], langfuse.LEGACY).input == "trace"


def test_a_later_version_of_a_span_replaces_the_row() -> None:
    """Same id and same start: the last one wins, whole; another millisecond is another row."""
    first = livekit_span("x", {"langfuse.observation.input": "a"})
    later = livekit_span("y", {"langfuse.observation.output": "b"})
    moved = livekit_span("z", start_time_unix_nano=START + 1_000_000)
    shown = langfuse.show([first, later, moved]).observations
    assert [(o.name, o.input, o.output) for o in shown] == [("y", None, "b"), ("z", None, None)]


def test_the_plain_snippet_as_it_was_seen() -> None:
    """A call of two turns in Langfuse as LiveKit exports it: seen on a running server."""
    trace = langfuse.show(recorded("voice"))
    assert trace.name == "agent_session"
    assert (trace.input, trace.output) == (None, None)
    assert len(trace.of_type("generation")) == 17
    texts = [o.output for o in trace.of_type("generation") if o.span.name == "llm_request"]
    assert [json.dumps(text)[:30] for text in texts] == ['[{"role": "assistant", "parts"'] * 2
