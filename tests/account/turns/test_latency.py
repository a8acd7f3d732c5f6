"""Where a turn's time went: the parts, and that they always add up."""

from __future__ import annotations

import inspect
import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sessions.spans import answered, nanos, reply, span, tts_metrics
from tracing import stamps
from tracing.account.turns import latency
from tracing.account.turns.facts import facts_of, kind_of
from tracing.account.turns.latency import Stage, account, parts_of, split
from tracing.account.turns.turn import Turn, by_name
from tracing.span import Event

SECONDS = st.floats(min_value=0.0, max_value=3.0)


def test_split_gives_each_instant_to_the_most_upstream_running_stage() -> None:
    """What waits for another stage does not count, and what nobody claims is unaccounted."""
    stages = [Stage("decision", 0, 400), Stage("llm", 200, 700), Stage("tts", 800, 900)]
    assert split(0, 1_000, stages) == {
        "decision": 400 / 1e9,
        "llm": 300 / 1e9,
        "tts": 100 / 1e9,
        "unaccounted": 200 / 1e9,
    }


def test_split_shows_a_stage_that_held_nothing_up_as_zero() -> None:
    """A generation that was done before the decision cost nothing, and is not unknown."""
    stages = [Stage("decision", 0, 400), Stage("llm", -300, 100)]
    assert split(0, 400, stages) == {"decision": 400 / 1e9, "llm": 0.0}


def test_split_of_no_time_is_empty() -> None:
    """A sound that seems to come before the last word has no parts."""
    assert split(10, 5, []) == {}


@given(
    end=st.integers(0, 10**10),
    stages=st.lists(
        st.builds(
            Stage,
            st.sampled_from("abcdef"),
            st.integers(-(10**10), 10**11),
            st.integers(-(10**10), 10**11),
        ),
        max_size=15,
    ),
)
def test_parts_are_never_negative_and_always_add_up(end: int, stages: list[Stage]) -> None:
    """Whatever the stages claim, even to have ended before they began."""
    found = split(0, end, stages)
    assert all(seconds >= 0 for seconds in found.values())
    assert sum(found.values()) == pytest.approx(end / 1e9, abs=1e-9)


def millis_of(turn: Turn) -> dict[str, float]:
    """The parts in milliseconds."""
    found = parts_of(account(turn, kind_of(turn, user_has_spoken=True), 1.0))
    return {name: round(seconds * 1e3, 3) for name, seconds in found.items()}


def test_every_stage_of_a_plain_turn_is_a_part() -> None:
    """From the user's last word at 0 ms to the sound at 1,400 ms."""
    agent_turn = reply(
        **{
            "lk.e2e_latency": 1.4,
            "lk.transcription_delay": 0.3,
            "lk.end_of_turn_delay": 0.45,
            "lk.speech.queue_wait": 0.01,
        }
    )
    steps = [
        span("llm_node", 510, 1_200, {"lk.response.ttft": 0.4}),
        span("tts_node", 930, 1_400, {"lk.response.ttfb": 0.3}),
        span("tts_request", 931, 1_400, {"lk.tts_metrics": tts_metrics(1_000, 300, 350)}),
        span("agent_speaking", 1_400, 4_000),
    ]
    user = [
        span("user_speaking", -900, 0, {"turn.end_of_speech_delay_seconds": 0.2}),
        span("user_turn", -900, 505),
        span("on_user_turn_completed", 452, 502),
    ]
    stamped = account(answered(agent_turn, steps, user), "reply", 1.0)
    assert {name: round(value * 1e3, 3) for name, value in parts_of(stamped).items()} == {
        "end_of_speech_detection": 200,
        "transcription_wait": 100,
        "turn_decision": 150,
        "on_user_turn_completed": 50,
        "llm_first_token": 400,
        "llm_speakable_text": 90,
        "tts_first_audio": 300,
        "queue_wait": 8,
        "playout_start": 100,
        "unaccounted": 2,
    }
    assert stamped["turn.user_bot_latency_seconds"] == 1.4
    assert stamped["turn.user_stopped_speaking_at"] == pytest.approx(nanos(0) / 1e9)
    assert stamped["turn.over_budget"] is True


def test_preemptive_generation_is_gained_time_and_no_negative_part() -> None:
    """The first token came before the decision: its part is zero, its work is the overlap."""
    agent_turn = reply(**{"lk.e2e_latency": 0.8, "lk.end_of_turn_delay": 0.5})
    steps = [
        span("llm_node", -300, 600, {"lk.response.ttft": 0.4}),
        span("tts_node", 500, 900, {"lk.response.ttfb": 0.2}),
        span("agent_speaking", 800, 4_000),
    ]
    stamped = account(answered(agent_turn, steps), "reply", 1.0)
    assert parts_of(stamped) == {
        "turn_decision": 0.5,
        "llm_first_token": 0.0,
        "llm_speakable_text": 0.0,
        "tts_first_audio": 0.2,
        "queue_wait": 0.0,
        "playout_start": 0.1,
    }
    assert stamped["turn.overlap_seconds"] == 0.4
    assert stamped["turn.over_budget"] is False


def test_a_discarded_generation_is_no_part_of_the_reply() -> None:
    """The turn's events say that of two LLM steps the first was for nothing."""
    discarded = Event("preemptive_generation_discarded", nanos(400))
    steps = [
        span("llm_node", -500, 300, {"lk.response.ttft": 0.5}),
        span("llm_node", 510, 900, {"lk.response.ttft": 0.3}),
        span("agent_speaking", 900, 4_000),
    ]
    agent_turn = reply(**{"lk.e2e_latency": 0.9, "lk.end_of_turn_delay": 0.5})
    turn = answered(agent_turn._replace(events=(discarded,)), steps)
    assert millis_of(turn) == {
        "turn_decision": 500,
        "llm_first_token": 300,
        "queue_wait": 0,
        "unaccounted": 100,
    }


def test_tool_steps_are_named_where_the_reply_waited_for_them() -> None:
    """Of parallel calls the slowest, and every step of several."""
    tool = "lk.function_tool.name"
    steps = [
        span("llm_node", 0, 100),
        span("function_tool", 100, 200, {tool: "quick"}),
        span("function_tool", 101, 400, {tool: "slow"}),
        span("llm_node", 400, 500),
        span("function_tool", 500, 550, {tool: "slow"}),
        span("llm_node", 550, 900, {"lk.response.ttft": 0.1}),
        span("function_tool", 700, 2_000, {tool: "later"}),
        span("agent_speaking", 700, 4_000),
    ]
    assert millis_of(answered(reply(**{"lk.e2e_latency": 0.7}), steps)) == {
        "llm_step": 100,
        "tool.slow": 299,
        "llm_step.2": 100,
        "tool.slow.2": 50,
        "llm_first_token": 100,
        "queue_wait": 0,
        "unaccounted": 51,
    }


def test_failed_attempts_are_a_part_of_their_own() -> None:
    """The time until the attempt that served, backoff included; a probe afterwards is none."""
    steps = [
        span("llm_node", 500, 1_200, {"lk.response.ttft": 0.5}),
        span("llm_request_run", 500, 600, {"lk.retry_count": 0}, failed=True),
        span("llm_request_run", 700, 1_200, {"lk.retry_count": 1}),
        span("llm_request_run", 700, 800, {"lk.retry_count": 0}, failed=True),
        span("tts_node", 1_000, 1_500, {"lk.response.ttfb": 0.3}),
        span("tts_request_run", 1_001, 1_100, {"lk.retry_count": 0}, failed=True),
        span("tts_request_run", 1_150, 1_500, {"lk.retry_count": 1}),
        span("agent_speaking", 1_300, 4_000),
    ]
    turn = answered(reply(**{"lk.e2e_latency": 1.3, "lk.end_of_turn_delay": 0.5}), steps)
    assert millis_of(turn) == {
        "turn_decision": 500,
        "llm_failed_attempts": 200,
        "llm_first_token": 300,
        "llm_speakable_text": 0,
        "tts_failed_attempts": 150,
        "tts_first_audio": 150,
        "queue_wait": 0,
        "playout_start": 0,
    }
    found = facts_of(turn)
    assert {key: found[key] for key in ("turn.retries", "turn.errors.llm", "turn.errors.tts")} == {
        "turn.retries": 2,
        "turn.errors.llm": 1,
        "turn.errors.tts": 1,
    }


def test_queue_wait_counts_from_when_the_audio_was_ready() -> None:
    """An LLM and a TTS that worked while an earlier speech played did not wait."""
    agent_turn = span("agent_turn", 0, 5_000, {"lk.speech.queue_wait": 2.0})
    steps = [
        span("llm_node", 0, 300, {"lk.response.ttft": 0.2}),
        span("tts_node", 300, 700, {"lk.response.ttfb": 0.2}),
        span("agent_speaking", 2_050, 4_000),
    ]
    assert millis_of(Turn(agent_turn, by_name(steps))) == {
        "llm_first_token": 200,
        "llm_speakable_text": 100,
        "tts_first_audio": 200,
        "queue_wait": 1_500,
        "playout_start": 50,
    }


def test_a_reply_by_another_agent_includes_the_handoff() -> None:
    """The user waited for the agent that handed over, too."""
    earlier = [
        span("llm_node", 500, 600),
        span("function_tool", 600, 650, {"lk.function_tool.name": "transfer"}),
    ]
    agent_turn = span("agent_turn", 700, 5_000, {"lk.e2e_latency": 1.0})
    steps = [
        span("tts_node", 700, 1_000, {"lk.response.ttfb": 0.25}),
        span("agent_speaking", 1_000, 4_000),
    ]
    turn = Turn(
        agent_turn, by_name(steps), by_name([span("update_agent", 650, 700)]), by_name(earlier)
    )
    assert millis_of(turn) == {
        "llm_step": 100,
        "tool.transfer": 50,
        "agent_handoff": 50,
        "tts_first_audio": 250,
        "playout_start": 50,
        "unaccounted": 500,
    }


def test_a_latency_below_zero_tells_nothing() -> None:
    """The agent was still speaking over the user: there was no wait to account for."""
    steps = [span("agent_speaking", 900, 4_000)]
    stamped = account(answered(reply(**{"lk.e2e_latency": -0.2}), steps), "reply", 1.0)
    assert "turn.user_bot_latency_seconds" not in stamped
    assert stamped["turn.first_output_seconds"] == 0.4


def test_a_turn_without_a_sound_has_no_latency() -> None:
    """Interrupted before the first frame, or failed: nothing was heard, so nothing is measured."""
    steps = [span("llm_node", 510, 900)]
    assert account(answered(reply(**{"lk.interrupted": True}), steps), "reply", 1.0) == {}


@given(
    delays=st.lists(SECONDS, min_size=8, max_size=8),
    lead=st.floats(-3.0, 3.0),
    tool=st.booleans(),
)
def test_the_account_of_any_timing_adds_up(delays: list[float], lead: float, tool: bool) -> None:
    """Random stages, the LLM starting before or after the decision."""
    edges = [1e3 * at for at in itertools.accumulate(delays)]
    detected, transcript, decided, hooked, token, text, audio, sound = edges
    llm_start = hooked - 1e3 * lead
    agent_turn = reply(
        **{
            "lk.e2e_latency": sound / 1e3,
            "lk.transcription_delay": transcript / 1e3,
            "lk.end_of_turn_delay": decided / 1e3,
        }
    )
    steps = [
        span("llm_node", llm_start, sound, {"lk.response.ttft": (token - hooked) / 1e3}),
        span("tts_node", text, sound, {"lk.response.ttfb": (audio - text) / 1e3}),
        span("agent_speaking", sound, sound + 1_000),
    ]
    if tool:
        steps.append(span("llm_node", llm_start - 200, llm_start - 100))
        steps.append(
            span("function_tool", llm_start - 100, llm_start, {"lk.function_tool.name": "look"})
        )
    user = [
        span("user_speaking", -500, 0, {"turn.end_of_speech_delay_seconds": detected / 1e3}),
        span("on_user_turn_completed", decided, hooked),
    ]
    stamped = account(answered(agent_turn, steps, user), "reply", 1.0)
    found = parts_of(stamped)
    assert all(seconds >= 0 for seconds in found.values())
    assert sum(found.values()) == pytest.approx(stamped["turn.user_bot_latency_seconds"], abs=1e-3)
    assert stamped.get("turn.overlap_seconds", 1.0) > 0


def test_the_document_defines_every_attribute_and_every_part() -> None:
    """Nothing is stamped that docs/latency.md does not know, and it knows nothing else."""
    document = (Path(__file__).parents[3] / "docs" / "latency.md").read_text()
    told = set(re.findall(r"`(turn\.[a-z_.{}]+)", document))
    ours = {
        value
        for name, value in vars(stamps).items()
        if name.startswith("TURN_") and isinstance(value, str)
    }
    prefixes = {value for value in ours if value.endswith(".")}
    known = {one for one in told if not one.startswith(tuple(prefixes))}
    assert known == ours - prefixes
    source = inspect.getsource(latency)
    stages = set(re.findall(r'"([a-z]+_[a-z_]+)"', source)) - {"llm_request_run"}
    assert {stage for stage in stages if f"`{stage}`" not in document} == set()
