"""The 19 defects that a Langfuse user sees with LiveKit's spans as they are.

Each test says what is wrong with the plain export and right with ours, both as Langfuse shows
them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tracing.dialects.langfuse import LangfuseDialect
from tracing.span import Span

from . import langfuse_rules as langfuse
from .langfuse_rules import Shown, Trace
from .recorded import recorded, stamped
from .spans import SECOND, livekit_span

OPTIONS: dict[str, Any] = {"trace_name": "restaurant", "tags": ["voice"], "environment": "test"}


def exported(spans: Sequence[Span]) -> list[Span]:
    dialect = LangfuseDialect(**OPTIONS, detail="full")
    return [translated for span in spans if (translated := dialect(span)) is not None]


def plain(scenario: str, server: langfuse.Server = langfuse.V4) -> Trace:
    """What the plain snippet shows."""
    return langfuse.show(recorded(scenario), server)


def ours(scenario: str, server: langfuse.Server = langfuse.V4) -> Trace:
    """What our export shows."""
    return langfuse.show(exported(stamped(scenario)), server)


def of_span(trace: Trace, name: str) -> list[Shown]:
    """The observations that one kind of LiveKit's spans became, by start."""
    found = [shown for shown in trace.observations if shown.span.name == name]
    return sorted(found, key=lambda shown: shown.span.start_time_unix_nano)


def test_01_trace_has_the_agents_name_and_the_conversation() -> None:
    """The plain trace is called `agent_session` and has no input and no output."""
    assert (plain("text").name, plain("text").input, plain("text").output) == (
        "agent_session",
        None,
        None,
    )
    for server in (langfuse.V4, langfuse.LEGACY):
        trace = ours("text", server)
        assert trace.name == "restaurant"
        assert trace.input == [
            {"role": "user", "content": "Hi!"},
            {"role": "assistant", "content": "Hello, how can I help? "},
            {"role": "user", "content": "When do you open?"},
        ]
        assert trace.output == {"role": "assistant", "content": "We open at nine. "}


def test_02_session_and_user_are_on_every_observation() -> None:
    """The plain export has no session outside a job, and never a user."""
    keys = ("langfuse.session.id", "langfuse.user.id")
    assert (plain("text").session_id, plain("text").user_id) == (None, None)
    spans = [
        span._replace(attributes={**span.attributes, "user.id": "caller-7"})
        for span in stamped("text")
    ]
    session = str(spans[0].attributes["session.id"])
    for span in exported(spans):
        assert [span.attributes[key] for key in keys] == [session, "caller-7"]


def test_03_a_late_set_up_still_has_one_named_root() -> None:
    """Without its root the plain trace has no name; the producer re-roots, we name all spans."""
    rootless = recorded("text")[:-1]
    assert all(span.parent_span_id for span in rootless)
    assert langfuse.show(rootless).name is None
    assert langfuse.show(exported(rootless)).name == "restaurant"


def test_04_user_turn_is_a_span_with_the_transcript() -> None:
    """The plain `user_turn` is a generation of the STT's model without text."""
    before, after = of_span(plain("voice"), "user_turn"), ours("voice").named("user turn")[:1]
    assert [(o.type, o.model, o.input) for o in before] == [("GENERATION", "nova-3", None)] * 2
    assert [(o.type, o.model, o.input, o.output) for o in after] == [
        ("SPAN", None, "When do you open?", None)
    ]


def test_05_agent_turn_has_what_was_asked_and_answered() -> None:
    """The plain `agent_turn` is empty."""
    before = of_span(plain("tools"), "agent_turn")
    assert [(o.input, o.output) for o in before] == [(None, None)] * 2
    turns = [o for o in ours("tools").observations if o.type == "AGENT"]
    assert sorted((o.name, o.input, o.output) for o in turns) == [
        (
            "agent turn",
            "Book a table for two.",
            "Let me book it. \nSorry, I could not book a table. ",
        ),
        ("agent turn", "What is the weather in Oslo?", "It is sunny in Oslo. "),
    ]


@pytest.mark.parametrize("server", [langfuse.V4, langfuse.V4_WITH_PII, langfuse.LEGACY])
def test_06_one_generation_per_llm_call(server: langfuse.Server) -> None:
    """The plain trace has a generation for the node, the request and every attempt."""
    calls = sum(span.name == "llm_request" for span in recorded("tools"))
    assert calls == 4
    assert len(plain("tools", server).of_type("generation")) == 23
    if server == langfuse.V4_WITH_PII:  # it reads texts beside models, and bills them again
        assert plain("tools", server).total_tokens > 530
    trace = ours("tools", server)
    generations = trace.of_type("generation")
    assert [o.name for o in generations] == ["llm call"] * calls
    assert [o.name for o in trace.of_type("generation") if o.model] == ["llm call"] * calls
    assert trace.total_tokens == sum(o.total_tokens for o in generations) == 530


def test_07_one_visible_observation_per_spoken_segment() -> None:
    """The plain trace hides speech behind level DEBUG, without latency, units or cost."""
    before = of_span(plain("voice"), "tts_request")
    assert [(o.level, o.input, o.time_to_first_token, o.usage) for o in before] == [
        ("DEBUG", None, None, {})
    ] * 3
    speech = ours("voice").named("speech")
    assert [(o.level, o.type, o.input, o.output, o.usage["characters"]) for o in speech] == [
        ("DEFAULT", "SPAN", "Welcome to the restaurant.", {"audio_seconds": 0.65}, 26),
        ("DEFAULT", "SPAN", "We open at nine. ", {"audio_seconds": 0.425}, 17),
        ("DEFAULT", "SPAN", "You are welcome. ", {"audio_seconds": 0.425}, 17),
    ]
    by_id = {span.span_id.hex(): span.attributes for span in recorded("voice")}
    measured = [json.loads(str(by_id[o.id]["lk.tts_metrics"]))["ttfb"] for o in speech]
    shown = [o.time_to_first_token for o in speech]
    assert shown == pytest.approx(measured, abs=0.002)


def test_08_a_failed_tool_is_an_error() -> None:
    """The plain failed tool looks fine and has no output."""
    (before,) = plain("tools").named("book_table")
    assert (before.level, before.output) == ("DEFAULT", None)
    (after,) = ours("tools").named("book_table")
    assert (after.type, after.level, after.status_message) == (
        "TOOL",
        "ERROR",
        "An internal error occurred",
    )
    assert (after.input, after.output) == ({"people": 2}, "An internal error occurred")
    (fine,) = ours("tools").named("get_weather")
    assert (fine.level, fine.output) == ("DEFAULT", "Sunny, 21 degrees in Oslo.")


def test_09_a_failed_stt_is_an_error() -> None:
    """The plain trace of a call that its STT ended has no error at all."""
    assert plain("stt_error").level == "DEFAULT"
    failed = [o for o in ours("stt_error").observations if o.level == "ERROR"]
    assert sorted((o.name, o.status_message) for o in failed) == [
        ("restaurant", "closed by an error"),
        ("session closed by an error", "stt_error"),
        ("user turn", "stt_error"),
    ]


@pytest.mark.parametrize("scenario", ["llm_retry", "llm_fallback", "tts_fallback"])
def test_10_what_recovered_is_a_warning(scenario: str) -> None:
    """The plain trace is flagged as failed by an attempt that another one made good."""
    assert plain(scenario).level == "ERROR"
    assert ours(scenario).level == "WARNING"
    errors = [o.name for o in ours("llm_error").observations if o.level == "ERROR"]
    assert sorted(errors) == ["agent turn", "llm call"]


def test_11_messages_render_as_a_chat_with_tools() -> None:
    """The plain messages are raw JSON, and the tools that were called are not found."""
    before = of_span(plain("tools"), "llm_request")
    assert not any(langfuse.renders_as_chat(o) for o in before)
    assert [langfuse.tool_calls(o) for o in before] == [[], [], [], []]
    after = ours("tools").of_type("generation")
    assert all(langfuse.renders_as_chat(o) for o in after)
    assert [langfuse.tool_calls(o) for o in after] == [["get_weather"], [], ["book_table"], []]
    assert [message["role"] for message in after[3].input["messages"]] == [
        *("system", "user", "assistant", "tool", "assistant"),
        *("user", "assistant", "tool"),
    ]
    assert after[0].input["tools"][1] == {
        "type": "function",
        "function": {"name": "get_weather", "description": "Tell the weather of a city."},
    }


def test_12_tokens_are_counted_once() -> None:
    """The plain realtime call counts its tokens three times; the other rows: test_usage.py."""
    reported = 2 * (120 + 80)
    assert plain("realtime").total_tokens == 2 * 610
    assert ours("realtime").total_tokens == reported


def test_13_failed_calls_are_not_priced() -> None:
    """A server of version 4 estimates, and prices, what the plain failed call never used."""
    (before,) = [o for o in of_span(plain("llm_error"), "llm_request") if o.level == "ERROR"]
    assert before.total_tokens > 0
    assert before.total_cost > 0
    (after,) = [o for o in ours("llm_error").named("llm call") if o.level == "ERROR"]
    assert (after.total_tokens, after.total_cost) == (0, 0)


def test_14_an_interruption_is_marked_with_how_much_was_heard() -> None:
    """The plain turn and its cut generation look like any others."""
    before = of_span(plain("interruption"), "agent_turn")[0]
    assert (before.level, before.status_message) == ("DEFAULT", None)
    after = ours("interruption").named("agent turn")[0]
    heard = float(after.metadata["heard_seconds"])
    assert after.level == "WARNING"
    assert after.status_message == f"interrupted by the user, {heard:.1f} s heard"
    cut = ours("interrupted_stream").named("llm call")[0]
    assert (cut.status_message, cut.metadata["usage"]) == ("cut short", "unknown")
    assert (cut.total_tokens, cut.output["content"][:4]) == (0, "One.")


def test_15_late_realtime_metrics_are_merged() -> None:
    """The plain late metrics are a generation of their own, with a negative latency."""
    before = plain("realtime_late").of_type("generation")
    assert [o.span.name for o in before].count("realtime_metrics") == 2
    late = [o.time_to_first_token for o in before if o.span.name == "realtime_metrics"]
    assert all(seconds is not None and seconds < 0 for seconds in late)
    after = ours("realtime_late").of_type("generation")
    assert [(o.name, o.model, o.total_tokens, o.time_to_first_token) for o in after] == [
        ("realtime call", "gpt-realtime", 200, None)
    ] * 2
    assert [(o.input, o.output) for o in after] == [
        (o.input, o.output) for o in ours("realtime").of_type("generation")
    ]
    assert after[0].input == [{"role": "user", "content": "When do you open?"}]
    assert after[0].output == {"role": "assistant", "content": "We open at nine."}


def test_16_content_is_shown_once_and_not_in_metadata() -> None:
    """The plain metadata repeats the whole conversation with every turn."""
    secret = "Tell the weather of a city."

    def leaks(trace: Trace) -> list[str]:
        return [
            o.name
            for o in trace.observations
            if any("Oslo" in value or secret in value for value in o.metadata.values())
        ]

    assert "llm_node" in leaks(plain("tools"))
    assert leaks(ours("tools")) == []


def test_17_latencies_can_be_filtered() -> None:
    """The plain numbers are strings under `attributes.lk.…`, the parts of a turn nowhere."""
    assert "e2e_latency_seconds" not in of_span(plain("voice"), "agent_turn")[1].metadata
    turn = ours("voice").named("agent turn")[1]
    keys = {"e2e_latency_seconds", "user_bot_latency_seconds", "end_of_turn_delay_seconds"}
    assert keys <= turn.metadata.keys()
    parts = [float(v) for key, v in turn.metadata.items() if key.startswith("part_seconds_")]
    assert sum(parts) == pytest.approx(float(turn.metadata["user_bot_latency_seconds"]))


def test_18_no_span_is_dropped() -> None:
    """Langfuse's SDK drops spans without a `gen_ai.*` attribute; we send what was recorded."""
    spans = recorded("voice")
    kept_by_sdk = [s for s in spans if any(k.startswith("gen_ai.") for k in s.attributes)]
    assert len(kept_by_sdk) < len(spans)
    assert len(exported(stamped("voice"))) == len(spans)


def test_19_events_are_kept_as_metadata() -> None:
    """Langfuse stores no span events: changes of state would be lost."""
    root = of_span(plain("voice"), "agent_session")[0]
    assert "events" not in root.metadata
    events = json.loads(ours("voice").named("restaurant")[0].metadata["events"])
    assert events[0].split(" ", 1)[1] == "agent_state_changed initializing -> listening"
    assert len(events) == len(root.span.events)


def test_what_ends_open_is_shown_at_its_start() -> None:
    """A call in progress: Langfuse reads an end of 0 as 1970."""
    root = livekit_span("agent_session", end_time_unix_nano=0, parent_span_id=b"")
    (span,) = exported([root])
    assert span.end_time_unix_nano == span.start_time_unix_nano
    (done,) = exported([root._replace(end_time_unix_nano=root.start_time_unix_nano + SECOND)])
    assert done.duration_seconds == 1
