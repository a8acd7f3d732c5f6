"""The names of LiveKit's spans and attributes, and of the attributes that we add.

A tuple is one attribute under all the names that LiveKit has given it, today's first: content
moved from `lk.X` to `lk.pii.X` in livekit-agents 1.7. Read it with `first`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracing.span import AttributeValue

# Spans, from the outside in.
JOB_ENTRYPOINT = "job_entrypoint"
JOB_SHUTDOWN = "job_shutdown"
AGENT_SESSION = "agent_session"
SESSION_CLOSE = "session_close"
ROOM_CONNECT = "room_connect"
WAIT_FOR_PARTICIPANT = "wait_for_participant"
UPDATE_AGENT = "update_agent"
USER_TURN = "user_turn"
USER_SPEAKING = "user_speaking"
EOU_WAIT = "eou_wait"
EOU_DETECTION = "eou_detection"
ON_USER_TURN_COMPLETED = "on_user_turn_completed"
AGENT_TURN = "agent_turn"
AGENT_SPEAKING = "agent_speaking"
LLM_NODE = "llm_node"
LLM_REQUEST = "llm_request"
LLM_REQUEST_RUN = "llm_request_run"
LLM_FALLBACK_ADAPTER = "llm_fallback_adapter"
TTS_NODE = "tts_node"
TTS_REQUEST = "tts_request"
TTS_REQUEST_RUN = "tts_request_run"
TTS_FALLBACK_ADAPTER = "tts_fallback_adapter"
FUNCTION_TOOL = "function_tool"
REALTIME_INFERENCE = "realtime_inference"
REALTIME_METRICS = "realtime_metrics"

# LiveKit's identity of a call.
JOB_ID = "lk.job_id"
"""str."""
AGENT_NAME = "lk.agent_name"
"""str; empty for the default dispatch."""
ROOM_SID = "lk.room_sid"
"""str."""
ROOM_NAME = ("lk.pii.room_name", "lk.room_name")
"""str."""
PARTICIPANT_IDENTITY = ("lk.pii.participant_identity", "lk.participant_identity")
"""str; the agent's own on `room_connect`, `agent_turn` and `agent_speaking`."""
AGENT_LABEL = "lk.agent_label"
"""str; the agent's class or id."""
EVENT_PARTICIPANT_LINKED = "participant_linked"

# LiveKit's attributes of a turn.
SPEECH_ID = "lk.speech_id"
"""str."""
USER_INPUT = ("lk.pii.user_input", "lk.user_input")
"""str on `agent_turn`: what the user said or typed."""
INSTRUCTIONS = ("lk.pii.instructions", "lk.instructions")
"""str on `agent_turn`: instructions given to `generate_reply`."""
USER_TRANSCRIPT = ("lk.pii.user_transcript", "lk.user_transcript")
"""str on `user_turn`."""
RESPONSE_TEXT = ("lk.pii.response.text", "lk.response.text")
"""str on `agent_turn` (what was spoken in the last step) and `llm_node` (what was generated)."""
INTERRUPTED = "lk.interrupted"
"""bool; also true when code interrupted or the session closed."""
INTERRUPTION_SOURCE = "lk.interruption.source"
"""str: `audio_activity` or `user_turn` (barge-in), or `programmatic`."""
PLAYOUT_POSITION = "lk.playout.position"
"""double, seconds of the reply's audio that had played when it was interrupted."""
E2E_LATENCY = "lk.e2e_latency"
"""double, seconds."""
TRANSCRIPTION_DELAY = "lk.transcription_delay"
"""double, seconds; int 0 on `user_turn` means unknown."""
END_OF_TURN_DELAY = "lk.end_of_turn_delay"
"""double, seconds; int 0 on `user_turn` means unknown."""
ON_USER_TURN_COMPLETED_DELAY = "lk.on_user_turn_completed_delay"
"""double, seconds, on `agent_turn`."""
TRANSCRIPT_CONFIDENCE = "lk.transcript_confidence"
"""double; int 0 means unknown."""
STT_EVENTS = "lk.stt.events"
"""str, JSON: when each transcript came, its type and length."""
EOU_RESUME_COUNT = "lk.eou.resume_count"
"""int on `user_turn`: times the user spoke on after a pause that could have ended the turn."""
EOU_OUTCOME = "lk.eou.outcome"
"""str on `eou_wait`: `committed`, `user_resumed` or `dropped`."""
QUEUE_WAIT = "lk.speech.queue_wait"
"""double, seconds."""
GENERATION_COUNT = "lk.generation_count"
"""int: the LLM steps of a turn."""
PARENT_GENERATION = "lk.parent_generation_id"
"""str on `agent_turn` before livekit-agents 1.8, where each LLM step was a turn of its own."""
EVENT_GENERATION_DISCARDED = "preemptive_generation_discarded"
TTFT = "lk.response.ttft"
"""double, seconds, on `llm_node`."""
TTFB = "lk.response.ttfb"
"""double, seconds, on `tts_node`."""
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
"""double, seconds, on `llm_request` and `realtime_inference`."""
LLM_METRICS = "lk.llm_metrics"
"""str, JSON of LiveKit's LLMMetrics."""
TTS_METRICS = "lk.tts_metrics"
"""str, JSON of LiveKit's TTSMetrics."""
REALTIME_METRICS_JSON = "lk.realtime_model_metrics"
"""str, JSON of LiveKit's RealtimeModelMetrics."""
RETRY_COUNT = "lk.retry_count"
"""int on `*_request_run`: 0 for the first attempt."""
FALLBACK_INDEX = "lk.fallback.index"
"""int: which provider of a fallback adapter served; 0 is the first choice."""
FALLBACK_RECOVERY = "lk.fallback.recovery"
"""bool: a background probe of a failed provider, not part of the turn."""
TOOL_NAME = "lk.function_tool.name"
"""str."""
TOOL_IS_ERROR = "lk.function_tool.is_error"
"""bool."""
TOOL_OUTPUT = ("lk.pii.function_tool.output", "lk.function_tool.output")
"""str."""
CLOSE_REASON = "lk.close_reason"
"""str."""
EXCEPTION_TYPE = "exception.type"
"""str; on `session_close` LiveKit's error type (`llm_error`, `stt_error`, `tts_error`)."""
ERROR_TYPE = "error.type"
"""str."""
EXCEPTION_MESSAGE = "exception.message"
"""str."""
REQUEST_MODEL = "gen_ai.request.model"
"""str."""
RESPONSE_MODEL = "gen_ai.response.model"
"""str."""
PROVIDER_NAME = "gen_ai.provider.name"
"""str."""

# Ours, on every span of a call.
SESSION_ID = "session.id"
"""str; unique per call."""
USER_ID = "user.id"
"""str; the caller's participant identity, absent while nobody is linked."""

# Ours, on `agent_turn`. Definitions and clocks: docs/latency.md.
TURN_NUMBER = "turn.number"
"""int from 1, in the order in which the turns of a call started."""
TURN_KIND = "turn.kind"
"""str: `reply`, `greeting`, `tool_follow_up`, `say`, `prompted` (code asked for a reply) or
`discarded` (a preemptive generation that nothing followed)."""
TURN_LATENCY = "turn.user_bot_latency_seconds"
"""double, seconds from the user's last word to the agent's first sound."""
TURN_FIRST_OUTPUT = "turn.first_output_seconds"
"""double, seconds from the start of a turn that no speech precedes to its first sound or text."""
TURN_PART = "turn.part_seconds."
"""Prefix; double, seconds: the consecutive parts that add up to the latency."""
TURN_OVERLAP = "turn.overlap_seconds"
"""double, seconds of work that preemptive generation had done before the turn was decided."""
TURN_OVER_BUDGET = "turn.over_budget"
"""bool: the latency is above the budget."""
TURN_WAS_INTERRUPTED = "turn.was_interrupted"
"""bool, LiveKit's `lk.interrupted`: by anybody, code included."""
TURN_BARGED_IN = "turn.barged_in"
"""bool: the user interrupted."""
TURN_HEARD = "turn.heard_seconds"
"""double, seconds of an interrupted reply that had played."""
TURN_HEARD_SHARE = "turn.heard_share"
"""double, 0 to 1: the share of the audio made for an interrupted reply that had played."""
TURN_FALSE_INTERRUPTIONS = "turn.false_interruptions"
"""int: times the agent paused for what was no interruption."""
TURN_BACKCHANNELS = "turn.backchannels"
"""int: times the user spoke during the reply without meaning to interrupt."""
TURN_CONFIDENCE = "turn.transcript_confidence"
"""double, 0 to 1."""
TURN_CORRECTIONS = "turn.transcript_corrections"
"""int: times a newer transcript took back words of an older one."""
TURN_RESUMES = "turn.user_resumes"
"""int: pauses of the user that looked like the end of the turn."""
TURN_USER_STARTED = "turn.user_started_speaking_at"
TURN_USER_STOPPED = "turn.user_stopped_speaking_at"
TURN_AGENT_STARTED = "turn.agent_started_speaking_at"
TURN_AGENT_STOPPED = "turn.agent_stopped_speaking_at"
"""double, seconds since the Unix epoch, all four."""
TURN_TRANSCRIPTION_DELAY = "turn.transcription_delay_seconds"
TURN_END_OF_TURN_DELAY = "turn.end_of_turn_delay_seconds"
TURN_HOOK_DELAY = "turn.on_user_turn_completed_delay_seconds"
TURN_TTFT = "turn.llm_node_ttft_seconds"
TURN_TTFS = "turn.llm_node_ttfs_seconds"
TURN_TPS = "turn.llm_node_tps"
TURN_TTFB = "turn.tts_node_ttfb_seconds"
TURN_PLAYBACK_LATENCY = "turn.playback_latency_seconds"
"""double: the fields of LiveKit's `ChatMessage.metrics` under their own names."""
TURN_LLM_CALLS = "turn.llm_calls"
TURN_LLM_INPUT = "turn.llm_input_tokens"
TURN_LLM_OUTPUT = "turn.llm_output_tokens"
TURN_LLM_CACHED = "turn.llm_cached_tokens"
"""int, sums over the turn's LLM or realtime requests."""
TURN_LLM_CACHED_SHARE = "turn.llm_cached_share"
"""double, 0 to 1: cached of input tokens."""
TURN_LLM_SPEED = "turn.llm_tokens_per_second"
"""double: the provider's speed in the request that was spoken."""
TURN_TTS_CHARACTERS = "turn.tts_characters"
"""int."""
TURN_TTS_AUDIO = "turn.tts_audio_seconds"
"""double, seconds of speech made."""
TURN_TOOLS = "turn.tools"
"""str, JSON list of `{"name", "duration_seconds", "is_error"}`."""
TURN_TOOL_CALLS = "turn.tool_calls"
TURN_TOOL_FAILURES = "turn.tool_failures"
TURN_RETRIES = "turn.retries"
TURN_FALLBACKS = "turn.fallbacks"
TURN_DISCARDED = "turn.discarded_generations"
"""int, all five; absent where there were none."""
TURN_ERRORS = "turn.errors."
"""Prefix; int per stage (`llm`, `tts`, `stt`, `realtime`, `tool`), failed attempts included."""

TURN_LLM_MODALITY = "turn.llm_{direction}_{modality}_tokens"
"""int, of realtime models: direction `input`, `input_cached` or `output`, modality `audio`, `text`
or `image`."""
TURN_STT = "turn.stt."
TURN_EOU = "turn.eou."
TURN_EOT = "turn.eot."
TURN_INTERRUPTION = "turn.interruption."
"""Prefixes; fields of LiveKit's STTMetrics, EOUMetrics, EOTInferenceMetrics, InterruptionMetrics
under their own names, of the user's speech that the turn answers, or that interrupted it."""

# Ours, on `user_speaking`.
DETECTION_DELAY = "turn.end_of_speech_delay_seconds"
"""double, seconds from the user's last word to the moment that its end was known."""

# Ours, on `agent_session`, of the whole session.
CALL = "call."
"""Prefix of the summary; the keys are those of `summary` in the report."""
CALL_ERRORS = "call.errors."
"""Prefix; int per stage."""


def first(
    attributes: Mapping[str, AttributeValue], names: tuple[str, ...]
) -> AttributeValue | None:
    """Return an attribute under the newest of its names that is there."""
    for name in names:
        if name in attributes:
            return attributes[name]
    return None


def text(attributes: Mapping[str, AttributeValue], key: str) -> str:
    """Return an attribute that is a string; empty for anything else."""
    value = attributes.get(key)
    return value if isinstance(value, str) else ""
