"""LiveKit's words: the names of its spans, attributes and events.

A tuple is one attribute under all the names that LiveKit has given it, today's first: content
moved from `lk.X` to `lk.pii.X` in livekit-agents 1.7. Read it with `first`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracing.span import AttributeValue, Span

SCOPE = "livekit-agents"
"""The instrumentation scope of LiveKit's own spans."""

# Spans, from the outside in.
JOB_ENTRYPOINT = "job_entrypoint"
JOB_SHUTDOWN = "job_shutdown"
AGENT_SESSION = "agent_session"
BEGIN_CALLS = frozenset({JOB_ENTRYPOINT, AGENT_SESSION})
"""The outermost of a call is one of these; a trace from outside may go on above it."""
SESSION_CLOSE = "session_close"
ROOM_CONNECT = "room_connect"
START_AGENT_ACTIVITY = "start_agent_activity"
RESUME_AGENT_ACTIVITY = "resume_agent_activity"
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
JUDGE_EVALUATION = "judge_evaluation"
KEYTERM_DETECTION = "keyterm_detection"
AMD = "amd"
DECISION = "decision_model.evaluate"
ASIDES = frozenset({JUDGE_EVALUATION, KEYTERM_DETECTION, AMD, DECISION})
"""Spans whose calls to a model are no step of a turn, whenever they end."""
EVENT_LOOP_BLOCKED = "event_loop_blocked"
PLUMBING = frozenset(
    {
        *(ROOM_CONNECT, WAIT_FOR_PARTICIPANT, "wait_for_audio_track", "publish_audio_output"),
        *("session_start", "setup_toolsets", "on_enter", "on_exit", "drain_agent_activity"),
        *(START_AGENT_ACTIVITY, RESUME_AGENT_ACTIVITY, "pause_agent_activity"),
        *(USER_SPEAKING, EOU_WAIT, EOU_DETECTION, ON_USER_TURN_COMPLETED),
        *(TTS_NODE, "tts_stream_adapter", AGENT_SPEAKING, KEYTERM_DETECTION),
        *(JOB_SHUTDOWN, "on_session_end", "session_end_upload", "room_disconnect"),
        "shutdown_callback",
    }
)
"""Spans that only hold others, or that few need to see."""
INNER = PLUMBING | {
    *(LLM_NODE, LLM_REQUEST_RUN, LLM_FALLBACK_ADAPTER),
    *(TTS_REQUEST_RUN, TTS_FALLBACK_ADAPTER, SESSION_CLOSE),
}
"""Spans that a person sees only where something about them went wrong: what is below them is a
part of what is above them."""

# LiveKit's identity of a call.
JOB_ID = "lk.job_id"
"""str."""
AGENT_NAME = "lk.agent_name"
"""str; empty for the default dispatch."""
ROOM_SID = "lk.room_sid"
"""str."""
CONVERSATION_ID = "gen_ai.conversation.id"
"""str; the room's sid, so that all calls of one room share it."""
ROOM_NAME = ("lk.pii.room_name", "lk.room_name")
"""str."""
PARTICIPANT_IDENTITY = ("lk.pii.participant_identity", "lk.participant_identity")
"""str; the agent's own on `room_connect`, `agent_turn` and `agent_speaking`."""
AGENT_LABEL = "lk.agent_label"
"""str; the agent's class or id."""
PREVIOUS_AGENT_LABEL = "lk.previous_agent_label"
"""str on `update_agent`: who handed over."""
EVENT_PARTICIPANT_LINKED = "participant_linked"

# LiveKit's words for a call by telephone, on `agent_session`.
SIP = "lk.sip."
"""Prefix; str: the attributes of the linked SIP participant, but for the caller's number."""
SIP_PHONE_NUMBER = "lk.pii.sip.phoneNumber"
"""str: the caller's number, of a call to outside the one that was dialled."""
SIP_STATUS = "lk.sip.callStatus"
"""str: `dialing`, `ringing`, `automation`, `active` or `hangup`."""
DISCONNECT_REASON = "lk.disconnect_reason"
"""str."""
EVENT_DTMF = "sip_dtmf_received"
DTMF_DIGIT = "lk.pii.dtmf_digit"
"""str: the key that the caller pressed."""
EVENT_SIP_STATUS = "sip_status_changed"
EVENT_SIP_HANG_UP = "sip_disconnected"
"""Ours, of what LiveKit's room tells."""
AMD_CATEGORY = "lk.amd.category"
"""str on `amd`: who or what answered, such as `human` or `machine-vm`."""

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
BARGE_IN_SOURCES = frozenset({"audio_activity", "user_turn"})
"""Of these, those that are the user."""
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
EOU_RESUME_COUNT = "lk.eou.resume_count"
"""int on `user_turn`: times the user spoke on after a pause that could have ended the turn."""
EOU_OUTCOME = "lk.eou.outcome"
"""str on `eou_wait`: `committed`, `user_resumed` or `dropped`."""
EOU_WAIT_DURATION = "lk.eou.wait_duration"
"""double, seconds, on `eou_wait`."""
EOU_PROBABILITY = "lk.eou.probability"
EOU_THRESHOLD = "lk.eou.unlikely_threshold"
"""double, 0 to 1, on `eou_detection`: that the user is done, and from where that is likely."""
STT_EVENTS = "lk.stt.events"
"""str, JSON list on `user_turn`: `received_at` (seconds since the Unix epoch) and `type` of each
transcript."""
QUEUE_WAIT = "lk.speech.queue_wait"
"""double, seconds."""
FALLBACK_LABEL = "lk.fallback.label"
"""str: which provider of a fallback adapter served."""
BLOCKING_SEVERITY = "lk.blocking.severity"
"""str on `event_loop_blocked`: `warning` or `error`."""
GENERATION_COUNT = "lk.generation_count"
"""int: the LLM steps of a turn."""
PARENT_GENERATION = "lk.parent_generation_id"
"""str on `agent_turn` before livekit-agents 1.8, where each LLM step was a turn of its own."""
EVENT_GENERATION_DISCARDED = "preemptive_generation_discarded"
EVENT_STOP_RESPONSE = "stop_response"
"""On `on_user_turn_completed`: the hook wants no reply."""
EVENT_EXCEPTION = "exception"
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
TOOL_ID = "lk.function_tool.id"
TOOL_NAME = "lk.function_tool.name"
"""str, both."""
TOOL_ARGUMENTS = ("lk.pii.function_tool.arguments", "lk.function_tool.arguments")
"""str, JSON."""
TOOL_IS_ERROR = "lk.function_tool.is_error"
"""bool."""
TOOL_OUTPUT = ("lk.pii.function_tool.output", "lk.function_tool.output")
"""str."""
CLOSE_REASON = "lk.close_reason"
"""str."""
EXCEPTION_TYPE = "exception.type"
"""str; on `session_close` LiveKit's error type (`llm_error`, `stt_error`, `tts_error`)."""
STT_ERROR = "stt_error"
TTS_ERROR = "tts_error"
ERROR_TYPE = "error.type"
"""str."""
EXCEPTION_MESSAGE = "exception.message"
"""str."""
STACKTRACE = "exception.stacktrace"
"""str."""
REQUEST_MODEL = "gen_ai.request.model"
"""str."""
RESPONSE_MODEL = "gen_ai.response.model"
"""str."""
PROVIDER_NAME = "gen_ai.provider.name"
"""str."""
RESPONSE_ID = "gen_ai.response.id"
"""str; the provider's name of an answer."""
REQUEST_IDS = "lk.provider_request_ids"
"""list of str; the provider's names of its requests."""
FINISH_REASONS = "gen_ai.response.finish_reasons"
"""list of str."""
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
"""str, JSON: messages with `parts`, since livekit-agents 1.7."""
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
"""str, JSON: parts."""
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
"""str, JSON."""
EVENT_CHOICE = "gen_ai.choice"
EVENT_ROLES = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}
"""Messages as span events, which livekit-agents 1.5 and 1.6 wrote."""
INPUT_BASE = "lk.input.base_span_id"
"""str, hex, on `llm_request`: the request whose input this one begins with."""
INPUT_DROPPED = "lk.input.dropped_from_base"
"""int: how many of the base's last messages are left out."""
CHAT_CTX = ("lk.pii.chat_ctx", "lk.chat_ctx")
"""str, JSON on `llm_node`: LiveKit's own chat context."""
FUNCTION_CALLS = ("lk.pii.response.function_calls", "lk.response.function_calls")
"""str, JSON on `llm_node`."""
TTS_TEXT = ("lk.pii.input_text", "lk.input_text")
"""str on `tts_node` and `tts_request`: what was to be spoken."""
USAGE = "gen_ai.usage."
"""Prefix; int, tokens of a call to a model, where the details are parts of the totals."""
OPERATION = "gen_ai.operation.name"
"""str."""
REDACTION_ENABLED = "lk.redaction.enabled"
"""bool that LiveKit stamps when the project itself demands redaction."""
EVALUATION_NAME = "gen_ai.evaluation.name"
"""str on `judge_evaluation`: the judge."""
EVALUATION_LABEL = "gen_ai.evaluation.score.label"
"""str: `pass`, `fail` or `maybe`."""
EVALUATION_EXPLANATION = "gen_ai.evaluation.explanation"
"""str, content: why; absent where content is withheld."""


def first(attributes: Mapping[str, AttributeValue], names: tuple[str, ...]) -> str | None:
    """A text under the newest of its names that is there."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str):
            return value
    return None


def text(attributes: Mapping[str, AttributeValue], key: str) -> str:
    """An attribute that is a string; empty for anything else."""
    value = attributes.get(key)
    return value if isinstance(value, str) else ""


def is_true(attributes: Mapping[str, AttributeValue], key: str) -> bool:
    """Whether a flag is set; False for anything else."""
    return attributes.get(key) is True


def demands_redaction(attributes: Mapping[str, Any]) -> bool:
    """Whether a span carries the LiveKit project's demand that content be withheld."""
    return bool(attributes.get(REDACTION_ENABLED))


def why_tool_failed(attributes: Mapping[str, AttributeValue]) -> str:
    """The exception that a tool raised, where it is known; else what the model was told."""
    raised = (text(attributes, key) for key in (EXCEPTION_TYPE, EXCEPTION_MESSAGE))
    told = ": ".join(filter(None, raised)) or first(attributes, TOOL_OUTPUT)
    return told or text(attributes, ERROR_TYPE) or "the tool failed"


def first_text(spans: Iterable[Span], key: str) -> str | None:
    """The first of the spans' texts under a key; None where none has one."""
    return next((found for span in spans if (found := text(span.attributes, key))), None)
