"""Spans of other instrumentations: which of them LiveKit's own counts, and which are no call."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sessions.spans import span
from tracing import names, stamps
from tracing.account.call import Call
from tracing.account.foreign.reading import is_model_call, tokens_of
from tracing.account.restamp import moments_in_order, restamp
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


# Who counts, in whatever order they end


USED = {"gen_ai.usage.input_tokens": 206, "gen_ai.usage.output_tokens": 9}
NO_USAGE = {"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}
"""As LiveKit has it where the provider's stream told nothing."""
KNOWN = {"gen_ai.request.model": "gpt-4o"}
LLM = {"gen_ai.operation.name": "chat"}


def counted(*spans: Span, late: Span | None = None) -> dict[str, dict[str, int]]:
    """By name, what each span counts in the end: none does where another one has its tokens.

    What makes `late` a call to a model is only on what it ends with.
    """
    is_open = {span.span_id: span for span in spans}
    if late is not None:
        is_open[late.span_id] = late._replace(attributes={})
    call = Call(clock=None, open_span=is_open.get)
    found = {}
    for one, ends in moments_in_order(spans):
        if not ends:
            call.started(one)
            continue
        attributes = {**one.attributes, **call.ended(one)}
        is_open.pop(one.span_id)
        elsewhere = {stamps.COUNTED_ABOVE, stamps.HOLDS_MODEL_CALLS} & attributes.keys()
        if used := {} if elsewhere else tokens_of(attributes):
            found[one.name] = dict(used)
    return found


def inner(
    name: str, start: float, end: float, parent: Span, attributes: dict[str, Any] | None = None
) -> Span:
    """A call to a model that another instrumentation recorded."""
    found = span(name, start, end, {**LLM, **KNOWN, **(attributes or {})}, parent=parent)
    return found._replace(scope_name="another")


def request(attributes: dict[str, Any], end: float = 500) -> tuple[Span, Span]:
    """A turn and LiveKit's request in it."""
    turn = livekit("agent_turn", 0, 900)
    return turn, livekit("llm_request", 100, end, {**KNOWN, **attributes}, parent=turn)


TOTAL = {"input_tokens": 206, "output_tokens": 9}


@pytest.mark.parametrize("own", [USED, NO_USAGE, {}], ids=["usage", "zeros", "failed"])
@pytest.mark.parametrize("ends", [300, 600], ids=["before", "after"])
def test_tokens_count_once_in_either_order(own: dict[str, Any], ends: float) -> None:
    """LiveKit's where it has them or gets them in time; else those of who has them."""
    turn, asked = request(own)
    who = "chat" if own != USED and ends > 500 else "llm_request"
    assert counted(turn, asked, inner("chat", 150, ends, asked, USED)) == {who: TOTAL}


def test_what_was_asked_again_is_added_up() -> None:
    """Each attempt was paid for; where LiveKit says what was used, that holds."""
    turn, asked = request(NO_USAGE)
    attempts = [
        inner("first", 110, 200, asked, USED),
        inner("failed", 210, 220, asked),
        inner("third", 300, 400, asked, {**USED, "gen_ai.usage.cache_read.input_tokens": 6}),
    ]
    assert counted(turn, asked, *attempts) == {
        "llm_request": {
            "input_tokens": 412,
            "output_tokens": 18,
            "cache_read.input_tokens": 6,
        }
    }


def test_each_provider_behind_a_fallback_has_its_own() -> None:
    """The adapter asks one after the other, each in a request."""
    turn = livekit("agent_turn", 0, 900)
    adapter = livekit("llm_fallback_adapter", 50, 800, parent=turn)
    first = livekit("llm_request", 100, 200, KNOWN, parent=adapter)
    second = livekit("llm_request", 300, 700, {**KNOWN, **NO_USAGE}, parent=adapter)
    second = second._replace(attributes={**second.attributes, "gen_ai.request.model": "claude"})
    spans = [turn, adapter, first, second, inner("a", 110, 190, first)]
    assert counted(*spans, inner("b", 310, 600, second, USED)) == {"llm_request": TOTAL}


@pytest.mark.parametrize("model", ["gpt-4o", "unknown"])
@pytest.mark.parametrize("where", ["llm_request", "function_tool"])
@pytest.mark.parametrize("says", ["outer", "inner", "both"])
@pytest.mark.parametrize("late", [False, True], ids=["known at once", "known at its end"])
def test_two_other_instrumentations_count_one_call_once(
    model: str, where: str, says: str, late: bool
) -> None:
    """A framework's span around the client's: the outer counts, with what either knows."""
    turn = livekit("agent_turn", 0, 900)
    above = livekit(where, 100, 500, {"gen_ai.request.model": model}, parent=turn)
    outer = inner("outer", 120, 450, above, USED if says != "inner" else {})
    between = span("GET", 130, 440, parent=outer)._replace(scope_name="http")
    client = inner("client", 140, 400, between, USED if says != "outer" else {})
    found = counted(turn, above, outer, between, client, late=outer if late else None)
    is_livekits = where == "llm_request" and model == "gpt-4o"
    who = where if is_livekits else "client" if late and says != "outer" else "outer"
    assert found == {who: TOTAL}


def test_a_call_that_names_no_model_takes_none_away() -> None:
    """Such as a function that somebody marked as a generation: nobody could price it."""
    turn = livekit("agent_turn", 0, 900)
    tool = livekit("function_tool", 100, 500, parent=turn)
    marked = span("plan", 110, 490, OF_LANGFUSE, parent=tool)._replace(scope_name="langfuse-sdk")
    calls = [inner(name, 120, 400, marked, USED) for name in ("first", "second")]
    spans = (turn, tool, marked, *calls)
    assert counted(*spans) == {"first": TOTAL, "second": TOTAL}
    assert told_of(*spans)["plan"] == {}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (USED, TOTAL),
        ({"llm.token_count.prompt": 206, "llm.token_count.completion": 9}, TOTAL),
        ({"gen_ai.usage.prompt_tokens": 206, "gen_ai.usage.completion_tokens": 9}, TOTAL),
        (
            {"langfuse.observation.usage_details": '{"prompt_tokens": 206, "completion_tokens": 9,'
             ' "completion_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 215}'},
            {**TOTAL, "reasoning.output_tokens": 4},
        ),
        (
            {"langfuse.observation.usage_details": '{"input": 106, "input_cached_tokens": 100,'
             ' "output": 5, "output_reasoning_tokens": 4}'},
            {**TOTAL, "cache_read.input_tokens": 100, "reasoning.output_tokens": 4},
        ),
        (
            {
                "llm.token_count.prompt": 206,
                "llm.token_count.prompt_details.cache_read": 100,
                "llm.token_count.completion": 9,
                "llm.token_count.completion_details.reasoning": 4,
                "llm.token_count.total": 215,
            },
            {**TOTAL, "cache_read.input_tokens": 100, "reasoning.output_tokens": 4},
        ),
        (NO_USAGE, {}),
        ({"langfuse.observation.usage_details": "[1]", "llm.token_count.prompt": "x"}, {}),
        ({"langfuse.observation.usage_details": '{"input": true, "output": null}'}, {}),
        ({"langfuse.observation.usage_details": '{"input": "9", "output": {"a": "b"}}'}, {}),
        ({}, {}),
    ],
)  # fmt: skip
def test_tokens_in_everybodys_words(attributes: dict[str, Any], expected: dict[str, int]) -> None:
    """As the packages of today write them; what is no count is none."""
    assert tokens_of(attributes) == expected
