"""Spans of other instrumentations: which of them LiveKit's own counts, and which are no call."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sessions.spans import span
from tracing import names, stamps
from tracing.account.foreign import is_model_call
from tracing.account.restamp import restamp
from tracing.span import Attributes, Span

GEN_AI = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 100}
OPEN_INFERENCE = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 100}
OPEN_LLMETRY = {"llm.request.type": "chat", "gen_ai.request.model": "gpt-4o"}
OF_LANGFUSE = {"langfuse.observation.type": "generation"}
MODEL_CALLS = [GEN_AI, OPEN_INFERENCE, OPEN_LLMETRY, OF_LANGFUSE]


def livekit(
    name: str,
    start: float,
    end: float,
    attributes: dict[str, Any] | None = None,
    parent: Span | None = None,
) -> Span:
    """A span of LiveKit's."""
    return span(name, start, end, attributes, parent=parent)._replace(scope_name=names.SCOPE)


def foreign(name: str, parent: Span | None, attributes: dict[str, Any] | None = None) -> Span:
    """A span of another instrumentation, a tenth of a second in the middle of a request."""
    found = span(name, 200, 300, attributes or {}, parent=parent)
    return found._replace(scope_name="another")


def told_of(*spans: Span) -> dict[str, Attributes]:
    """What was stamped about another instrumentation, by the name of the span."""
    about = (stamps.COUNTED_ABOVE, stamps.HOLDS_MODEL_CALLS, stamps.OUTSIDE_CALLS)
    return {
        one.name: {key: one.attributes[key] for key in about if key in one.attributes}
        for one in restamp(spans)
    }


@pytest.mark.parametrize("attributes", MODEL_CALLS)
@pytest.mark.parametrize("model", ["gpt-4o", "unknown", ""])
@pytest.mark.parametrize("place", ["llm_request", "llm_request_run", "http"])
def test_a_call_to_a_model_below_a_request_counts_once(
    attributes: dict[str, Any], model: str, place: str
) -> None:
    """LiveKit's counts what it can name; of a framework that it cannot, what is below counts."""
    turn = livekit("agent_turn", 0, 900)
    request = livekit("llm_request", 100, 500, {"gen_ai.request.model": model}, parent=turn)
    above = request if place == "llm_request" else livekit(place, 150, 400, parent=request)
    between = [above] if above is not request else []
    found = told_of(turn, request, *between, foreign("chat", above, attributes))
    is_counted = model == "gpt-4o"
    assert found["chat"] == ({stamps.COUNTED_ABOVE: True} if is_counted else {})
    assert found["llm_request"] == ({} if is_counted else {stamps.HOLDS_MODEL_CALLS: True})


@pytest.mark.parametrize("attributes", MODEL_CALLS)
def test_a_tools_own_call_to_a_model_is_new(attributes: dict[str, Any]) -> None:
    """It is below no request of LiveKit's."""
    turn = livekit("agent_turn", 0, 900)
    tool = livekit("function_tool", 100, 500, parent=turn)
    assert told_of(turn, tool, foreign("chat", tool, attributes))["chat"] == {}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        *((attributes, True) for attributes in MODEL_CALLS),
        ({"gen_ai.request.model": "gpt-4o"}, True),
        ({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "small"}, False),
        ({"openinference.span.kind": "CHAIN", "llm.model_name": "gpt-4o"}, False),
        ({"http.request.method": "POST"}, False),
        ({}, False),
    ],
)
def test_which_spans_are_calls_to_a_model(attributes: dict[str, Any], expected: bool) -> None:
    """As the instrumentations write them; what embeds or retrieves is none."""
    assert is_model_call(attributes) is expected


def test_a_trace_without_livekit_is_no_call() -> None:
    """A client that warms up; in a call the same spans are a part of it."""
    warm_up = foreign("GET /health", None)
    below = foreign("connect", warm_up)
    outside: Attributes = {stamps.OUTSIDE_CALLS: True}
    assert told_of(warm_up, below) == {"GET /health": outside, "connect": outside}
    session = livekit("agent_session", 0, 900)
    inside = foreign("GET /menu", session)
    assert told_of(session, inside) == {"agent_session": {}, "GET /menu": {}}
