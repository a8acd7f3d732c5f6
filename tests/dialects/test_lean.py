"""What `detail="call"` leaves out of the metadata, and what it never does."""

from __future__ import annotations

from typing import Any

import pytest

from tracing.dialects.langfuse import LangfuseDialect
from tracing.span import STATUS_ERROR, Span

from . import langfuse_rules as langfuse
from .recorded import scenarios, stamped
from .spans import event, livekit_span

NEEDED = "attributes.langfuse."
"""What the server reads elsewhere, and files under these names as well."""


def metadata(span: Span, detail: str = "call") -> dict[str, str]:
    """What a person finds in an observation's metadata, but for what the server repeats."""
    translated = LangfuseDialect(detail=detail)(span)
    assert translated is not None
    found = langfuse.observation(translated).metadata
    return {key: value for key, value in found.items() if not key.startswith(NEEDED)}


def weight(detail: str) -> int:
    """The characters of all metadata of the recordings."""
    dialect = LangfuseDialect(detail=detail)
    spans = [s for scenario in scenarios() for s in stamped(scenario) if dialect(s) is not None]
    return sum(len(k) + len(v) for span in spans for k, v in metadata(span, detail).items())


def test_metadata_of_the_recordings_is_lean() -> None:
    """It was 119 kB with the same observations; all spans with everything have more than that."""
    assert weight("call") < 52_000
    assert weight("full") > 110_000


def test_a_turns_metadata_is_what_to_filter_by() -> None:
    """No sum of what is below it, no instant, nothing that the user's turn says."""
    turns = [span for span in stamped("tools") if span.name == "agent_turn"]
    parts = {key for key in metadata(turns[0]) if key.startswith("part_seconds_")}
    assert metadata(turns[0]).keys() - parts == {
        *("number", "kind", "user_bot_latency_seconds", "over_budget", "was_interrupted"),
        *("barged_in", "llm_node_ttft_seconds", "llm_calls", "llm_tokens_per_second"),
        *("tts_node_ttfb_seconds", "tool_runs", "tool_calls", "e2e_latency_seconds"),
        *("queue_wait_seconds", "on_user_turn_completed_delay_seconds"),
        "attributes.lk.speech_id",
    }
    assert len(parts) == 11


def test_a_sessions_metadata_is_its_summary() -> None:
    """Of its options the models, and those that are no default; no metrics of the VAD."""
    options = {
        "call.options.endpointing.mode": "fixed",
        "call.options.changed": ["endpointing.mode=fixed"],
        "call.options.llm_model": "gpt-4o",
    }
    span = livekit_span("agent_session", {**options, "call.turns": 2, "call.vad.timestamp": 1.5})
    assert metadata(span).keys() == {"turns", "options_changed", "options_llm_model"}
    assert metadata(span, "full").keys() > metadata(span).keys()


@pytest.mark.parametrize("name", ["function_tool", "agent_turn", "user_turn", "tts_request"])
def test_what_the_application_set_stays(name: str) -> None:
    """On LiveKit's spans too, whatever it is called, unless it is LiveKit's or GenAI's word."""
    own = {"order": 7, "shop.order": "A7", "lk": "x", "langfuse.observation.metadata.lk.x": "y"}
    found = metadata(livekit_span(name, {**own, "lk.eou.source": "vad", "gen_ai.output.type": "x"}))
    assert found == {
        "attributes.order": "7",
        "attributes.shop.order": "A7",
        "attributes.lk": "x",
        "lk.x": "y",
    }


@pytest.mark.parametrize("name", ["judge_evaluation", "a_span_of_a_livekit_to_come"])
def test_a_span_without_words_of_ours_keeps_its_own(name: str) -> None:
    """Nothing else tells what it is about."""
    span = livekit_span(name, {"lk.new": "x"}, events=(event("agent_state_changed", to="x"),))
    assert metadata(span) == metadata(span, "full")
    assert metadata(span).keys() == {"attributes.lk.new", "events"}


@pytest.mark.parametrize(
    ("message", "below", "kept"),
    [
        ("no such table (caused by: x)", False, {"exception.type", "exception.stacktrace"}),
        ("no such table", True, {"exception.type"}),
        ("", False, {"exception.type", "exception.stacktrace", "exception.message"}),
    ],
)
def test_a_failure_is_told_once(message: str, below: bool, kept: set[str]) -> None:
    """The status has its message; where it failed first has the stack."""
    failed: dict[str, Any] = {
        "exception.type": "KeyError",
        "error.type": "KeyError",
        "exception.message": "no such table",
        "exception.stacktrace": "Traceback",
        **({"error.is_below": True} if below else {}),
    }
    span = livekit_span("tts_request", failed, status_code=STATUS_ERROR, status_message=message)
    told = {key.removeprefix("attributes.") for key in metadata(span)}
    assert told == kept


def test_the_sdk_is_not_named_with_each_observation() -> None:
    """The server files the resource with each; what else it says may be filtered by."""
    said = {"service.name": "desk", "k8s.pod.name": "desk-1", "telemetry.sdk.language": "python"}
    span = livekit_span("agent_turn", resource=said)
    whole, lean = LangfuseDialect(detail="full")(span), LangfuseDialect()(span)
    assert whole is not None
    assert lean is not None
    assert whole.resource == said
    assert lean.resource == {"service.name": "desk", "k8s.pod.name": "desk-1"}
