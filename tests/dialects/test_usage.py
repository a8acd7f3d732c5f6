"""What Langfuse shows of usage equals what the provider reported, and is counted once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tracing.dialects import usage
from tracing.dialects.langfuse import LangfuseDialect

from . import langfuse_rules as langfuse
from .spans import livekit_span
from .test_langfuse_rules import CLAUDE, GPT_4O, GPT_5, REALTIME

REALTIME_METRICS = {
    "input_tokens": 120,
    "output_tokens": 80,
    "input_token_details": {
        "audio_tokens": 90,
        "text_tokens": 30,
        "image_tokens": 0,
        "cached_tokens": 10,
        "cached_tokens_details": {"audio_tokens": 6, "text_tokens": 4, "image_tokens": 0},
    },
    "output_token_details": {"audio_tokens": 60, "text_tokens": 20, "image_tokens": 0},
}
REALTIME_BUCKETS = {
    "input_text_tokens": 26,
    "input_audio_tokens": 84,
    "input_cached_text_tokens": 4,
    "input_cached_audio_tokens": 6,
    "output_text_tokens": 20,
    "output_audio_tokens": 60,
}
TABLE = [
    (
        "gpt-4o",
        GPT_4O,
        {"input": 40, "input_cached_tokens": 60, "output": 20},
        120,
        0.000375,
    ),
    (
        "claude-sonnet-4-5",
        CLAUDE,
        {"input": 60, "input_cache_creation": 40, "output": 20},
        120,
        0.00063,
    ),
    (
        "gpt-5",
        GPT_5,
        {"input": 100, "output": 20, "output_reasoning_tokens": 30},
        150,
        0.000625,
    ),
    ("gpt-4o-realtime-preview", REALTIME, REALTIME_BUCKETS, 200, 0.02106),
    (
        "gemini-2.5-flash",
        GPT_5,
        {"input": 100, "output": 20, "output_reasoning": 30},
        150,
        0.000155,
    ),
    (
        "claude-sonnet-4-5",
        GPT_4O,
        {"input": 40, "input_cache_read": 60, "output": 20},
        120,
        0.000438,
    ),
]


def generation(attributes: dict[str, Any], **options: Any) -> langfuse.Shown:
    span = LangfuseDialect(**options)(livekit_span("llm_request", attributes))
    assert span is not None
    return langfuse.observation(span)


@pytest.mark.parametrize(("model", "reported", "buckets", "total", "cost"), TABLE)
def test_what_is_shown_is_what_was_reported(
    model: str, reported: dict[str, int], buckets: dict[str, int], total: int, cost: float
) -> None:
    """Every row of the table: disjoint buckets, the provider's total, the right price."""
    shown = generation({"gen_ai.operation.name": "chat", "gen_ai.request.model": model, **reported})
    assert shown.usage == {**buckets, "total": total}
    assert round(shown.total_cost, 9) == cost


def test_realtime_metrics_alone_are_enough() -> None:
    """livekit-agents up to 1.7 wrote no attributes for cached tokens by modality."""
    measured = json.dumps(REALTIME_METRICS)
    attributes = {
        "gen_ai.request.model": "gpt-4o-realtime-preview",
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 80,
        "gen_ai.usage.input_cached_tokens": 10,
        "lk.realtime_model_metrics": measured,
    }
    shown = generation(attributes)
    assert shown.usage == {**REALTIME_BUCKETS, "total": 200}


def test_llm_metrics_know_the_cache_that_older_attributes_do_not() -> None:
    """livekit-agents up to 1.6 wrote input and output only."""
    measured = json.dumps(
        {"prompt_tokens": 100, "completion_tokens": 20, "prompt_cached_tokens": 60}
    )
    attributes = {
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "lk.llm_metrics": measured,
    }
    assert generation(attributes).usage == {
        "input": 40,
        "input_cached_tokens": 60,
        "output": 20,
        "total": 120,
    }


def test_cached_tokens_of_unknown_modality_are_taken_out_once() -> None:
    """A provider that says how much was cached, but not of what."""
    counts = {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.text.input_tokens": 30,
        "gen_ai.usage.audio.input_tokens": 70,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.output_tokens": 10,
    }
    assert usage.tokens(counts, {}, "") == {
        "input_audio_tokens": 60,
        "input_cached_tokens": 40,
        "output": 10,
    }


def test_images_and_reasoning_have_their_buckets() -> None:
    """Of a realtime model that sees and thinks."""
    counts = {
        "gen_ai.usage.input_tokens": 50,
        "gen_ai.usage.image.input_tokens": 30,
        "gen_ai.usage.text.input_tokens": 20,
        "gen_ai.usage.image.cache_read.input_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 10,
        "gen_ai.usage.output_tokens": 25,
        "gen_ai.usage.text.output_tokens": 25,
        "gen_ai.usage.reasoning.output_tokens": 5,
    }
    assert usage.tokens(counts, {}, "") == {
        "input_text_tokens": 20,
        "input_image_tokens": 20,
        "input_cached_image_tokens": 10,
        "output_text_tokens": 20,
        "output_reasoning_tokens": 5,
    }


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({}, 2),
        ({"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}, 0),
        ({"lk.llm_metrics": '{"cancelled":true,"prompt_tokens":0,"completion_tokens":0}'}, 0),
        ({"lk.llm_metrics": "not json"}, 2),
    ],
)
def test_a_call_without_usage_is_never_priced(attributes: dict[str, Any], status: int) -> None:
    """Failed, interrupted or unreported: no server estimates it, and the page says unknown."""
    given = {
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Hello"}]}]',
        **attributes,
    }
    span = LangfuseDialect()(livekit_span("llm_request", given, status_code=status))
    assert span is not None
    for server in (langfuse.V4, langfuse.LEGACY):
        shown = langfuse.observation(span, server)
        assert (shown.total_tokens, shown.total_cost) == (0, 0)
        assert shown.metadata["usage"] == "unknown"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (("openai/gpt-4o",), "gpt-4o"),
        (("google/gemini-2.5-flash",), "gemini-2.5-flash"),
        (("models/gemini-2.5-flash",), "gemini-2.5-flash"),
        (("meta-llama/llama-4",), "meta-llama/llama-4"),
        (("unknown", "gpt-realtime"), "gpt-realtime"),
        ((None, ""), ""),
    ],
)
def test_model_names_are_those_that_are_priced(given: tuple[object, ...], name: str) -> None:
    """Without the vendor that LiveKit's inference puts before them."""
    assert usage.model_name(*given) == name


SPOKEN = json.dumps(
    {
        "ttfb": 0.1,
        "characters_count": 40,
        "audio_duration": 2.5,
        "input_tokens": 0,
        "output_tokens": 0,
        "metadata": {"model_name": "sonic-2", "model_provider": "cartesia"},
    }
)


def test_speech_is_counted_in_its_own_units() -> None:
    """Characters and milliseconds are whole numbers, and no part of the tokens."""
    span = LangfuseDialect()(livekit_span("tts_request", {"lk.tts_metrics": SPOKEN}))
    assert span is not None
    shown = langfuse.observation(span)
    assert (shown.usage, shown.cost) == ({"characters": 40, "milliseconds": 2500, "total": 0}, {})
    assert (shown.model, shown.type) == ("sonic-2", "SPAN")


def test_speech_by_tokens() -> None:
    """Some voices are paid by tokens, which are tokens like any others."""
    measured = json.dumps({"input_tokens": 12, "output_tokens": 30})
    span = LangfuseDialect()(livekit_span("tts_request", {"lk.tts_metrics": measured}))
    assert span is not None
    assert langfuse.observation(span).usage == {"input": 12, "output": 30, "total": 42}


def test_the_users_own_prices() -> None:
    """By the model's name with or without its vendor; only what they price costs."""
    cost = {
        "cartesia/unused": {"characters": 1.0},
        "sonic-2": {"characters": 0.00003},
        "openai/gpt-realtime": {"input_audio_tokens": 3.2e-5, "output_audio_tokens": 6.4e-5},
    }
    speech = LangfuseDialect(cost=cost)(livekit_span("tts_request", {"lk.tts_metrics": SPOKEN}))
    assert speech is not None
    assert langfuse.observation(speech).cost == {"characters": 0.0012, "total": 0.0012}
    call = generation({"gen_ai.request.model": "gpt-realtime", **REALTIME}, cost=cost)
    assert call.cost == {
        "input_audio_tokens": 0.002688,
        "output_audio_tokens": 0.00384,
        "total": 0.006528,
    }


@pytest.mark.parametrize("name", ["user_turn", "agent_turn"])
def test_transcription_is_counted_where_it_is_stamped(name: str) -> None:
    """Seconds of audio, with the user's price for them, whatever the kind of turn."""
    attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "turn.stt.audio_duration": 4.25,
        "turn.stt.model_name": "nova-3",
    }
    dialect = LangfuseDialect(cost={"nova-3": {"seconds": 0.0001}})
    span = dialect(livekit_span(name, attributes))
    assert span is not None
    shown = langfuse.observation(span)
    assert shown.usage == {"milliseconds": 4250, "total": 0}
    assert shown.cost == {"milliseconds": 0.000425, "total": 0.000425}
    assert shown.model == "nova-3"


def test_transcription_is_counted_once() -> None:
    """On the user turn, where there is one: an agent turn that answers it only shows it."""
    attributes = {"turn.stt.audio_duration": 4.25, "turn.stt.model_name": "nova-3"}
    span = LangfuseDialect(detail="full")(
        livekit_span("agent_turn", {**attributes, "turn.stt_is_counted": True})
    )
    assert span is not None
    shown = langfuse.observation(span)
    assert (shown.usage, shown.model) == ({}, None)
    assert shown.metadata["stt_audio_duration"] == "4.25"
