"""Every field of LiveKit's metrics has a place on the trace."""

from __future__ import annotations

import json
import typing
from typing import Any

import pytest
from livekit.agents import NOT_GIVEN
from livekit.agents.llm.chat_context import MetricsReport
from livekit.agents.metrics import base
from livekit.agents.metrics import usage as usage_module
from livekit.agents.voice.events import MetricsCollectedEvent

from tests.sessions.accounts import Clerk
from tests.sessions.realtime import Answered, FakeRealtime, realtime_metrics
from tests.sessions.scripted import Said, Waits
from tests.sessions.studio import observed, studio
from tracing.span import Span

Metadata = base.Metadata(model_name="m", model_provider="p")


def every_metric() -> list[Any]:
    """One of each type that is on no span, no field of them zero."""
    return [
        base.STTMetrics(
            label="stt",
            request_id="r",
            timestamp=1.0,
            duration=0.5,
            audio_duration=2.0,
            streamed=True,
            input_tokens=3,
            output_tokens=4,
            total_tokens=7,
            input_audio_tokens=2,
            acquire_time=0.1,
            connection_reused=True,
            metadata=Metadata,
        ),
        base.VADMetrics(
            label="vad",
            timestamp=1.0,
            idle_time=0.5,
            inference_duration_total=0.2,
            inference_count=10,
            metadata=Metadata,
        ),
        base.EOUMetrics(
            timestamp=1.0,
            end_of_utterance_delay=0.4,
            transcription_delay=0.2,
            on_user_turn_completed_delay=0.1,
            speech_id="s",
            metadata=Metadata,
        ),
        base.EOTInferenceMetrics(
            timestamp=1.0,
            total_duration=0.2,
            detection_delay=0.1,
            prediction_duration=0.05,
            num_requests=2,
            metadata=Metadata,
        ),
        base.InterruptionMetrics(
            timestamp=1.0,
            total_duration=0.2,
            prediction_duration=0.1,
            detection_delay=0.3,
            num_interruptions=1,
            num_backchannels=2,
            num_requests=3,
            metadata=Metadata,
        ),
        base.AvatarMetrics(
            timestamp=1.0,
            playback_latency=0.2,
            session_started_time=0.3,
            avatar_joined_time=0.4,
            metadata=Metadata,
        ),
        base.DecisionMetrics(
            label="decision",
            request_id="d",
            timestamp=1.0,
            duration=0.2,
            input_tokens=5,
            output_tokens=6,
            metadata=Metadata,
        ),
    ]


def of(prefix: str, fields: str) -> dict[str, str]:
    """Fields that are attributes of their own name, and their metadata."""
    places = {field: prefix + field for field in fields.split()}
    return {"type": "", **places, "metadata": f"{prefix}model_name"}


def in_json(attribute: str, fields: str) -> dict[str, str]:
    """Fields that are in an attribute's JSON."""
    return {field: f"{attribute}:{field}" for field in ("type", "metadata", *fields.split())}


PLACES: dict[type, dict[str, str]] = {
    base.LLMMetrics: in_json(
        "llm_request:lk.llm_metrics",
        "label request_id timestamp duration ttft cancelled completion_tokens "
        "prompt_tokens prompt_cached_tokens cache_creation_tokens reasoning_tokens "
        "total_tokens tokens_per_second speech_id",
    ),
    base.TTSMetrics: in_json(
        "tts_request:lk.tts_metrics",
        "label request_id timestamp ttfb duration audio_duration cancelled "
        "characters_count input_tokens output_tokens streamed acquire_time "
        "connection_reused segment_id speech_id",
    ),
    base.RealtimeModelMetrics: in_json(
        "realtime_inference:lk.realtime_model_metrics",
        "label request_id timestamp duration session_duration ttft cancelled "
        "input_tokens output_tokens total_tokens tokens_per_second "
        "input_token_details output_token_details acquire_time connection_reused",
    ),
    base.STTMetrics: of(
        "agent_turn:turn.stt.",
        "label request_id timestamp duration audio_duration streamed input_tokens "
        "output_tokens total_tokens input_audio_tokens acquire_time "
        "connection_reused",
    ),
    base.VADMetrics: of(
        "agent_session:call.vad.",
        "label timestamp idle_time inference_duration_total inference_count",
    ),
    base.EOUMetrics: of(
        "agent_turn:turn.eou.",
        "timestamp end_of_utterance_delay transcription_delay "
        "on_user_turn_completed_delay speech_id",
    ),
    base.EOTInferenceMetrics: of(
        "agent_turn:turn.eot.",
        "timestamp total_duration detection_delay prediction_duration num_requests",
    ),
    base.InterruptionMetrics: of(
        "agent_turn:turn.interruption.",
        "timestamp total_duration prediction_duration detection_delay "
        "num_interruptions num_backchannels num_requests",
    ),
    base.AvatarMetrics: of(
        "agent_session:call.avatar.",
        "timestamp playback_latency session_started_time avatar_joined_time",
    ),
    base.DecisionMetrics: of(
        "agent_session:call.decision.",
        "label request_id timestamp duration input_tokens output_tokens",
    ),
    MetricsReport: {
        "started_speaking_at": "agent_turn:turn.agent_started_speaking_at",
        "stopped_speaking_at": "agent_turn:turn.user_stopped_speaking_at",
        "transcription_delay": "agent_turn:turn.transcription_delay_seconds",
        "end_of_turn_delay": "agent_turn:turn.end_of_turn_delay_seconds",
        "on_user_turn_completed_delay": "agent_turn:turn.on_user_turn_completed_delay_seconds",
        "llm_node_ttft": "agent_turn:turn.llm_node_ttft_seconds",
        "llm_node_tps": "agent_turn:turn.llm_node_tps",
        "llm_node_ttfs": "agent_turn:turn.llm_node_ttfs_seconds",
        "tts_node_ttfb": "agent_turn:turn.tts_node_ttfb_seconds",
        "playback_latency": "agent_turn:turn.playback_latency_seconds",
        "e2e_latency": "agent_turn:turn.user_bot_latency_seconds",
        "provider_request_ids": "tts_request_run:lk.provider_request_ids",
        "llm_metadata": "llm_request:gen_ai.request.model",
        "tts_metadata": "tts_request:gen_ai.request.model",
        "stt_metadata": "user_turn:gen_ai.request.model",
    },
    **{
        usage: {
            field: f"agent_session:call.usage:{usage.model_fields['type'].default}.{field}"
            for field in fields.split()
        }
        for usage, fields in {
            usage_module.LLMModelUsage: "type provider model input_tokens input_cached_tokens "
            "input_cache_creation_tokens input_audio_tokens input_cached_audio_tokens "
            "input_text_tokens input_cached_text_tokens input_image_tokens "
            "input_cached_image_tokens output_tokens output_audio_tokens output_text_tokens "
            "output_reasoning_tokens session_duration",
            usage_module.TTSModelUsage: "type provider model input_tokens output_tokens "
            "characters_count audio_duration",
            usage_module.STTModelUsage: "type provider model input_tokens input_audio_tokens "
            "output_tokens audio_duration",
            usage_module.InterruptionModelUsage: "type provider model total_requests",
            usage_module.EOTModelUsage: "type provider model total_requests",
        }.items()
    },
}
"""Where each field of LiveKit's metrics is on the trace: span, attribute, and key of its JSON."""


def test_every_field_of_livekits_metrics_has_a_place() -> None:
    """A field or a type that LiveKit adds fails here, until it is placed."""
    types = {
        *typing.get_args(base.AgentMetrics),
        *typing.get_args(usage_module.ModelUsage),
        MetricsReport,
    }
    fields = {t: set(getattr(t, "model_fields", t.__annotations__)) for t in types}
    assert fields == {t: set(places) for t, places in PLACES.items()}


async def test_every_field_of_livekits_metrics_is_on_the_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By name, after a session with a pipeline and one with a realtime model."""
    prepare = observed()
    async with studio(Clerk(), {"hello": Said("Good evening.")}, prepare=prepare) as running:
        for one in every_metric():
            running.session.emit("metrics_collected", MetricsCollectedEvent(metrics=one))
            running.session._usage_collector.collect(one)
        await running.caller.say("hello")
        await running.until(lambda: running.session.agent_state == "speaking")
        interruption = every_metric()[4]
        running.session.emit("metrics_collected", MetricsCollectedEvent(metrics=interruption))
        await running.until_heard("Good evening")
        for one in _costly_metrics():
            running.session._usage_collector.collect(one)
    spans = running.recorder.stamped + await _realtime_spans(prepare)
    found = set(_places(spans))
    missing = {
        place
        for places in PLACES.values()
        for place in places.values()
        if place and place not in found
    }
    assert missing == set()


async def _realtime_spans(prepare: Any) -> list[Span]:
    model = FakeRealtime({"hello": Answered("Good evening.")}, Waits())
    nothing = {"stt": NOT_GIVEN, "vad": NOT_GIVEN, "tts": NOT_GIVEN}
    async with studio(Clerk(), {}, llm=model, realtime=True, prepare=prepare, **nothing) as running:
        await model.hear("hello")
        await running.until_heard("Good evening")
    return running.recorder.stamped


def _costly_metrics() -> list[Any]:
    """Metrics that leave no field of the usage at zero."""
    return [
        base.LLMMetrics(
            label="llm",
            request_id="r",
            timestamp=1.0,
            duration=1.0,
            ttft=0.1,
            cancelled=False,
            completion_tokens=5,
            prompt_tokens=6,
            prompt_cached_tokens=2,
            cache_creation_tokens=3,
            reasoning_tokens=1,
            total_tokens=11,
            tokens_per_second=5.0,
            metadata=Metadata,
        ),
        realtime_metrics("r", 1.0, 0.1).model_copy(update={"metadata": Metadata}),
        base.TTSMetrics(
            label="tts",
            request_id="r",
            timestamp=1.0,
            ttfb=0.1,
            duration=1.0,
            audio_duration=1.0,
            cancelled=False,
            characters_count=9,
            input_tokens=4,
            output_tokens=5,
            streamed=True,
            metadata=Metadata,
        ),
    ]


def _places(spans: list[Span]) -> Any:
    for one in spans:
        for key, value in one.attributes.items():
            place = f"{one.name}:{key}"
            yield place
            if key == "call.usage":
                for used in json.loads(str(value)):
                    yield from (f"{place}:{used['type']}.{field}" for field in used)
            elif key.endswith("_metrics"):
                yield from (f"{place}:{field}" for field in json.loads(str(value)))
