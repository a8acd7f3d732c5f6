"""One turn from its spans: what sort it is, and its facts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sessions.spans import answered, llm_metrics, nanos, reply, span, tts_metrics
from tracing.account.turns.facts import facts_of, kind_of
from tracing.account.turns.turn import Turn, by_name, number
from tracing.span import Event, Span


@pytest.mark.parametrize(
    ("value", "measured"),
    [(0, None), (0.0, 0.0), (True, None), ("1", None), (None, None), (2, 2.0), (0.25, 0.25)],
)
def test_an_integer_zero_is_unknown(value: object, measured: float | None) -> None:
    """LiveKit writes `x or 0` where it does not know, and a double where it measured."""
    assert number(value) == measured


USER_TURN = span("user_turn", 0, 900, {"lk.end_of_turn_delay": 0.4})
LLM = span("llm_node", 510, 900)
REALTIME = span("realtime_inference", 510, 900)
SPEAKING = span("agent_speaking", 900, 1_500)


@pytest.mark.parametrize(
    ("attributes", "steps", "user", "spoken", "expected"),
    [
        ({"lk.e2e_latency": 1.0}, [LLM, SPEAKING], [], True, "reply"),
        ({"lk.pii.user_input": "hi"}, [LLM, SPEAKING], [], False, "reply"),
        ({"lk.user_input": "hi"}, [LLM, SPEAKING], [], False, "reply"),
        ({}, [LLM], [USER_TURN], True, "reply"),
        ({}, [REALTIME, SPEAKING], [span("user_speaking", 0, 300)], False, "reply"),
        ({}, [LLM, SPEAKING], [], False, "greeting"),
        ({}, [SPEAKING], [], False, "greeting"),
        ({}, [SPEAKING], [], True, "say"),
        ({}, [LLM, SPEAKING], [], True, "prompted"),
        (
            {"lk.interrupted": True, "lk.interruption.source": "programmatic"},
            [LLM],
            [],
            True,
            "discarded",
        ),
        ({"lk.interrupted": True}, [LLM], [USER_TURN], True, "reply"),
        ({"lk.parent_generation_id": "s_1"}, [LLM, SPEAKING], [], True, "tool_follow_up"),
        ({"turn.kind": "tool_follow_up"}, [LLM, SPEAKING], [USER_TURN], True, "tool_follow_up"),
    ],
)
def test_kinds_of_turns(
    attributes: dict[str, Any], steps: list[Span], user: list[Span], spoken: bool, expected: str
) -> None:
    """A reply, a greeting, what was said or asked for, and a generation for nothing."""
    agent_turn = span("agent_turn", 500, 2_000, attributes)
    observed = {key: value for key, value in attributes.items() if key.startswith("turn.")}
    turn = Turn(agent_turn, by_name(steps), by_name(user), observed=observed)
    assert kind_of(turn, user_has_spoken=spoken) == expected


def _hook(*events: str) -> Span:
    told = tuple(Event(name, nanos(800)) for name in events)
    return span("on_user_turn_completed", 700, 900, events=told)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ([USER_TURN, _hook("stop_response")], "discarded"),
        ([USER_TURN, _hook("exception")], "discarded"),
        ([USER_TURN, _hook()], "reply"),
        ([span("user_turn", 0, 2_000, {"lk.end_of_turn_delay": 0.4})], "discarded"),
        ([], "discarded"),
    ],
    ids=["the hook wants none", "the hook failed", "scheduled", "undecided", "nobody spoke"],
)
def test_a_generation_that_was_given_up(user: list[Span], expected: str) -> None:
    """It is discarded where nothing had asked for it, and else a reply that was interrupted."""
    attributes = {"lk.interrupted": True, "lk.interruption.source": "programmatic"}
    agent_turn = span("agent_turn", 500, 2_000, attributes)
    turn = Turn(agent_turn, by_name([LLM]), by_name(user))
    assert kind_of(turn, user_has_spoken=True) == expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [({}, "prompted"), ({"lk.e2e_latency": 1.0}, "reply"), ({"lk.user_input": "hi"}, "reply")],
)
def test_a_turn_that_began_in_a_tool_or_a_hook(attributes: dict[str, Any], expected: str) -> None:
    """It answers the user where LiveKit says so, and else whoever asked for it."""
    turn = Turn(
        span("agent_turn", 500, 2_000, attributes), by_name([LLM, SPEAKING]), by_name([USER_TURN])
    )
    assert kind_of(turn, user_has_spoken=True, is_nested=True) == expected


@pytest.mark.parametrize(
    ("start", "asked", "answers"),
    [
        (950, "hello there", True),
        (1_500, "Hello, there!", True),
        (1_500, "there", True),
        (1_500, "the menu", False),
        (950, "what a hook made of it", True),
    ],
    ids=["at once", "its words", "a part of them", "typed", "at once, in other words"],
)
def test_which_user_turn_is_answered(start: float, asked: str, answers: bool) -> None:
    """The one that was heard, and none where its input was typed later on."""
    heard = span("user_turn", 0, 900, {"lk.user_transcript": "hello there"})
    turn = Turn(span("agent_turn", start, 2_000, {"lk.user_input": asked}), {}, by_name([heard]))
    assert (turn.answered is heard) is answers


def test_facts_of_an_interrupted_reply() -> None:
    """Whole: what it cost, what was heard of it, and who interrupted."""
    agent_turn = reply(
        **{
            "lk.interrupted": True,
            "lk.interruption.source": "audio_activity",
            "lk.playout.position": 0.5,
            "lk.generation_count": 1,
        }
    )._replace(
        events=(Event("preemptive_generation_discarded", nanos(505)), Event("generation", 0))
    )
    steps = [
        LLM._replace(attributes={"lk.response.ttft": 0.3}),
        span("llm_request", 511, 900, {"lk.llm_metrics": llm_metrics()}),
        span("tts_node", 850, 900, {"lk.response.ttfb": 0.05}),
        span("tts_request", 850, 900, {"lk.tts_metrics": tts_metrics(850, 50, 60)}),
        SPEAKING,
        span("function_tool", 600, 700, {"lk.function_tool.name": "book"}),
        span("function_tool", 600, 800, _failed_tool("pay")),
        span("tts_fallback_adapter", 850, 900, {"lk.fallback.index": 1}),
    ]
    attributes = {
        "lk.end_of_turn_delay": 0,
        "lk.transcript_confidence": 0.8,
        "lk.eou.resume_count": 2,
    }
    user = [span("user_turn", 0, 505, attributes), span("on_user_turn_completed", 450, 500)]
    assert facts_of(answered(agent_turn, steps, user)) == {
        "turn.was_interrupted": True,
        "turn.barged_in": True,
        "turn.heard_seconds": 0.5,
        "turn.heard_share": 0.25,
        "turn.agent_started_speaking_at": nanos(900) / 1e9,
        "turn.agent_stopped_speaking_at": nanos(1_500) / 1e9,
        "turn.user_started_speaking_at": nanos(0) / 1e9,
        "turn.on_user_turn_completed_delay_seconds": 0.05,
        "turn.transcript_confidence": 0.8,
        "turn.user_resumes": 2,
        "turn.llm_node_ttft_seconds": 0.3,
        "turn.llm_calls": 1,
        "turn.llm_input_tokens": 100,
        "turn.llm_output_tokens": 10,
        "turn.llm_cached_tokens": 40,
        "turn.llm_cached_share": 0.4,
        "turn.llm_tokens_per_second": 33.0,
        "turn.tts_characters": 20,
        "turn.tts_audio_seconds": 2.0,
        "turn.tts_node_ttfb_seconds": 0.05,
        "turn.tools": json.dumps(
            [
                {"name": "book", "duration_seconds": 0.1, "is_error": False},
                {"name": "pay", "duration_seconds": 0.2, "is_error": True},
            ]
        ),
        "turn.tool_calls": 2,
        "turn.tool_failures": 1,
        "turn.fallbacks": 1,
        "turn.discarded_generations": 1,
        "turn.errors.tool": 1,
    }


def _failed_tool(name: str) -> dict[str, Any]:
    return {"lk.function_tool.name": name, "lk.function_tool.is_error": True}


@pytest.mark.parametrize(
    ("source", "barged_in"),
    [("audio_activity", True), ("user_turn", True), ("programmatic", False), (None, False)],
)
def test_only_the_user_barges_in(source: str | None, barged_in: bool) -> None:
    """LiveKit calls a turn interrupted when code stops it or the session closes, too."""
    attributes: dict[str, Any] = {"lk.interrupted": True}
    if source is not None:
        attributes["lk.interruption.source"] = source
    found = facts_of(answered(reply(**attributes), [SPEAKING]))
    assert (found["turn.was_interrupted"], found["turn.barged_in"]) == (True, barged_in)


def test_two_stretches_of_one_generation_are_a_false_interruption() -> None:
    """The agent paused and went on; without events, that is what its spans show."""
    steps = [span("agent_speaking", 900, 1_000), span("agent_speaking", 1_500, 2_000)]
    found = facts_of(answered(reply(**{"lk.generation_count": 1}), steps))
    assert found["turn.false_interruptions"] == 1
