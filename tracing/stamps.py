"""Ours: every attribute that we add to a span, with its type, its unit, and the span it is on.

What takes several spans to know (a turn's latency, a call's summary, what was said) is stamped
while the call runs, where its spans end, so that every backend gets it as plain attributes.
"""

from __future__ import annotations

# Ours, on every span of a call.
SESSION_ID = "session.id"
"""str; unique per call."""
USER_ID = "user.id"
"""str; the caller's participant identity, absent while nobody is linked."""
FIRST_AGENT = "agent.label"
"""str; the label of the agent that took the call, as soon as it is known."""

# Ours, on `agent_turn`; some on `user_turn` too. Definitions and clocks: docs/latency.md.
TURN = "turn."
"""Prefix of all of these."""
TURN_NUMBER = "turn.number"
"""int from 1, in the order in which the turns of a call started; of `user_turn` by themselves."""
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
"""str, JSON list of `{"name", "duration_seconds", "is_error"}`; a call that could not run has no
duration."""
TURN_REFUSED_TOOLS = "turn.refused_tools"
"""list of str: the names of calls that could not run, as events told: no such tool, or arguments
that do not parse."""
TURN_TOOL_CALLS = "turn.tool_calls"
TURN_TOOL_FAILURES = "turn.tool_failures"
TURN_RETRIES = "turn.retries"
TURN_FALLBACKS = "turn.fallbacks"
TURN_DISCARDED = "turn.discarded_generations"
"""int, all five; absent where there were none."""
TURN_ERRORS = "turn.errors."
"""Prefix; int per stage (`llm`, `tts`, `stt`, `realtime`, `tool`), failed attempts included."""

TURN_RECOVERABLE_ERRORS = "turn.recoverable_errors."
"""Prefix; int per stage of those that LiveKit went on from by itself; told by events."""

TURN_LLM_MODALITY = "turn.llm_{direction}_{modality}_tokens"
"""int, of realtime models: direction `input`, `input_cached` or `output`, modality `audio`, `text`
or `image`."""
TURN_STT = "turn.stt."
TURN_EOU = "turn.eou."
TURN_EOT = "turn.eot."
TURN_INTERRUPTION = "turn.interruption."
"""Prefixes; fields of LiveKit's STTMetrics, EOUMetrics, EOTInferenceMetrics, InterruptionMetrics
under their own names, of the user's speech that the turn answers, or that interrupted it."""
STT_IS_COUNTED = "turn.stt_is_counted"
"""bool on `agent_turn`: the `user_turn` that it answers has the same `turn.stt.*`, and counts."""

# Ours, of the sound of a turn: on `agent_turn` where it was listened to; where it was measured from
# a recording on a span of ours below it, from which readers take it over. docs/heard.md.
HEARD, HEARD_SCOPE = "heard", "livekit-tracing.heard"
"""The name of that span, and of its instrumentation scope."""
TURN_HEARD_LATENCY = "turn.heard_latency_seconds"
"""double, from the caller's last sound to the agent's first: latency, tail and lead-in together."""
TURN_SPEECH_TAIL = "turn.speech_tail_seconds"
"""double, from the caller's last sound to the last word by which the latency is measured."""
TURN_VOICE_LEAD_IN = "turn.voice_lead_in_seconds"
"""double, from where the agent is said to speak to its first sound."""
TURN_HEARD_REASON = "turn.heard_reason"
"""str, one of a closed set: why a part of these is missing, or in doubt."""
TURN_HEARD_SILENCES = "turn.heard_silences"
"""int: silences of the agent of more than a second within the turn."""
TURN_HEARD_SILENCE = "turn.heard_longest_silence_seconds"
"""double, the longest of these."""
TURN_HEARD_OVERLAP = "turn.heard_overlap_seconds"
"""double, in which both sounded at once while the turn was spoken."""
TURN_WENT_ON = "turn.heard_after_barge_in_seconds"
"""double, how long the agent sounded on after the caller, who interrupted, had begun to."""
TURN_CALLER_LEVEL = "turn.caller_level_dbfs"
TURN_AGENT_LEVEL = "turn.agent_level_dbfs"
"""double, dB of full scale: the mean power of what each said last."""
TURN_CALLER_CLIPPED = "turn.caller_clipped_seconds"
TURN_AGENT_CLIPPED = "turn.agent_clipped_seconds"
"""double, in which either was cut off at full scale."""

# Ours, on `user_speaking`.
DETECTION_DELAY = "turn.end_of_speech_delay_seconds"
"""double, seconds from the user's last word to the moment that its end was known."""

# Ours, on `agent_session`, of the whole session.
CALL = "call."
"""Prefix of the summary; the keys are those of `summary` in the report."""
CALL_ERRORS = "call.errors."
"""Prefix; int per stage."""
CALL_RECOVERABLE_ERRORS = "call.recoverable_errors."
"""Prefix; int per stage of those that LiveKit went on from by itself; told by events."""
CALL_CHANGED_OPTIONS = "call.options.changed"
"""list of str, `group.name=value`: the options that are not LiveKit's default."""
CALL_USAGE = "call.usage"
"""str, JSON list of LiveKit's `*ModelUsage` per model; with `purpose`, the name of LiveKit's span,
where it was beside the turns (`keyterm_detection`). On `job_entrypoint` what was used in no
session, as by judges after it."""
CALL_CONTINUED_IN = "call.continued_in"
"""str, hex, on what is left of a job's root where its call continues a trace from outside: the id
of that trace, which has the rest."""
CALL_CLOSE_REASON = "call.close_reason"
"""str, LiveKit's reason for the session's end."""
CALL_REPORT = "call.report"
"""str: the file under `reports` of TRACING_DIR with LiveKit's own report of the session."""

# Ours, on `agent_session`, where the caller is at a telephone.
CALL_SIP = "call.sip."
"""Prefix; str: `number`, `trunk_number`, `call_id`, `provider_call_id`, `host` (content),
`trunk_id`, `rule_id`, `status`."""
CALL_SIP_DIRECTION = "call.sip.direction"
"""str: `inbound` or `outbound`."""
CALL_SIP_HANG_UP_CAUSE = "call.sip.hang_up_cause"
"""str, LiveKit's reason for the telephone's leaving, such as `user_rejected`; told by events."""

# Ours, on the root, where that is another span than `agent_session`.
ROOT_SUMMARY = "root.summary."
"""Prefix; the numbers of the latest session, its errors, its close reason, its changed options and
its telephone, so that calls can be filtered by them: the keys of `call.` without those of what was
used."""

CALL_LOG_WARNINGS = "call.log.warnings"
"""int on `job_entrypoint`: warnings that were logged in the call, recorded or not."""
CALL_LOG_ERRORS = "call.log.errors"
"""int on `job_entrypoint`: the same of errors."""

# Ours, on the root, by `current_call()` and by the job's `Tagger`; absent where nothing was said.
CALL_OUTCOME = "call.outcome"
"""str, content but for `success` and `fail`: the application's, else the tagger's, which says one
of these two."""
CALL_OUTCOME_REASON = "call.outcome_reason"
"""str, content: the tagger's, unless the application says the opposite."""
CALL_TAGS = "call.tags"
"""list of str, sorted, content but for LiveKit's own, which begin with `lk.`: the application's and
those of `Tagger.tags`. The application's are on every span that ends after they were given."""
CALL_METADATA = "call.metadata."
"""Prefix; str (content), bool, int, double or a list of these."""
CALL_SCORES = "call.scores"
"""str, JSON list of `{"name", "value", "comment", "time"}`: the value a number, a boolean or a
text; `comment` and texts are content; `time` in seconds since the Unix epoch."""
CALL_EVALUATIONS = "call.evaluations"
"""str, JSON list of `{"name", "verdict", "reasoning"}`; `reasoning` is content."""

# Ours, on the root, where a recording is kept or uploaded; never where content is withheld.
RECORDING = "recording."
"""Prefix of all of these."""
RECORDING_PATH = "recording.path"
"""str: the file under TRACING_DIR, absolute."""
RECORDING_SHA256 = "recording.sha256"
"""str, 64 hex digits; only where it is to be uploaded."""
RECORDING_BYTES = "recording.bytes"
"""int."""
RECORDING_TYPE = "recording.content_type"
"""str, such as `audio/ogg`."""
RECORDING_STARTED_AT = "recording.started_at"
"""double, seconds since the Unix epoch."""

# Ours, on the start record of a root; no backend gets them.
IN_PROGRESS = "call.in_progress"
"""bool: the call lasts, and this tells so far as it has come."""
CALL_EVENTS = "call.events"
"""str, JSON list of `{"span", "name", "time", "attributes"}`: the events that the application
noted on spans that may still be open, by their ids in hex; `time` in nanoseconds since the Unix
epoch. Recovery puts them on those that were."""

# Ours, on `llm_request` and `realtime_inference`, by `current_call().use_prompt`.
PROMPT_NAME = "prompt.name"
"""str: the prompt that Langfuse manages."""
PROMPT_VERSION = "prompt.version"
"""int."""

# Ours, where a span can only know it from others: read by dialects and readers.
TURN_USER_TEXT = "turn.user_text"
"""str on `agent_turn`, `user_turn`, `realtime_inference`: what the user said, if LiveKit did not
write it there."""
EVENT_UNANSWERED = "user_unanswered"
"""An event on `agent_session`, when the user began to speak: what events told that no turn
answered, in LiveKit's `lk.pii.user_transcript`."""
EVENT_LOG = "log"
"""An event on the span that was open: a warning or an error that was logged, where a backend that
takes no log lines is to have it. It has the attributes below, `exception.type` and
`exception.message`."""
LOG_LEVEL = "log.level"
"""str: the level's name."""
LOG_LOGGER = "log.logger"
"""str."""
LOG_MESSAGE = "log.message"
"""str."""
TURN_AGENT_TEXT = "turn.agent_text"
"""str on `agent_turn`, `realtime_inference`: what the agent said, in all steps."""
TURN_ERROR = "turn.error"
"""str: what failed for good. On `user_turn` `stt_error`, where nothing was transcribed and the
session closes for it, or events told of it; on `agent_turn` why its voice failed, which is content,
else `tts_error`."""
CONVERSATION = "conversation.messages"
"""str on the root: JSON, messages in OpenAI's shape."""
IS_FALLBACK = "attempt.is_fallback"
"""bool on `llm_request`, `tts_request`: asked by a fallback adapter."""
IS_PROBE = "attempt.is_probe"
"""bool on `llm_request_run`: below a recovery probe of a fallback adapter."""
IS_PREEMPTIVE = "attempt.is_preemptive"
"""bool on `llm_request`: began before the user's turn was over."""
ERROR_IS_BELOW = "error.is_below"
"""bool on any span: a span below failed, and shows it."""
SHOWN_PARENT = "shown.parent_span_id"
"""str, hex, on a span whose parent is one of `names.INNER`: the nearest span above that is none."""
OUTSIDE_CALLS = "shown.is_outside_calls"
"""bool on a span of another instrumentation: nothing of LiveKit's had begun in its trace."""
COUNTED_ABOVE = "model.is_counted_above"
"""bool on another instrumentation's span of a call to a model: LiveKit's request, or another span
around it, is the same call and counts. One that ends without usage gets what is known here, as
`gen_ai.usage.*`."""
HOLDS_MODEL_CALLS = "model.holds_calls"
"""bool on `llm_request` of a model unknown to LiveKit, as of a framework's, and on another
instrumentation's span of a call: what another instrumentation counts is below it."""
INFERENCE_PARENT = "inference.parent_span_id"
"""str, hex, on `realtime_metrics`: the parent of the `realtime_inference` above it."""
INFERENCE_START = "inference.start_time_unix_nano"
INFERENCE_END = "inference.end_time_unix_nano"
"""int, of the same."""
RECOVERED_REASON = "tracing.recovered.reason"
"""str: why a span was closed by the drainer and not by its process."""
RECORDED_ON = "input.recorded_on"
"""str on `llm_node`: the span below it that carries its input."""
IS_REBUILT = "input.is_rebuilt"
"""bool on `llm_request`: LiveKit recorded a part of its input, which is whole again."""
