"""What the dialect reads that takes several spans to know.

It is stamped while the call runs, and read where it is there:

| attribute | type | on | meaning |
|---|---|---|---|
| `turn.number` | int | `agent_turn`, `user_turn` | from 1, each kind counted by itself |
| `turn.user_text` | str | `agent_turn`, `user_turn`, `realtime_inference` | what the user said, \
if LiveKit did not write it there |
| `turn.agent_text` | str | `agent_turn`, `realtime_inference` | what the agent said in all steps |
| `turn.error` | str | `agent_turn`, `user_turn` | what failed for good, such as the TTS |
| `turn.stt.*` | | `user_turn` or `agent_turn`, once | fields of LiveKit's STTMetrics |
| `turn.*`, `call.*` | | any | metadata, under the rest of their names |
| `conversation.messages` | str | the root | JSON, messages in OpenAI's shape |
| `attempt.is_fallback` | bool | `llm_request`, `tts_request` | asked by a fallback adapter |
| `attempt.is_probe` | bool | `llm_request_run` | below a recovery probe of a fallback adapter |
| `attempt.is_preemptive` | bool | `llm_request` | began before the user's turn was over |
| `error.is_below` | bool | any | a span below failed, and shows it |
| `inference.*` | | `realtime_metrics` | `parent_span_id` (str, hex), `start_time_unix_nano`, \
`end_time_unix_nano` (int) of the `realtime_inference` above it, and its `turn.*_text` |

Where LiveKit recorded input deltas, `deltas.Inputs` has made the messages whole again.
"""

from __future__ import annotations

from tracing.dialects.deltas import IS_REBUILT

USER_TEXT = "turn.user_text"
AGENT_TEXT = "turn.agent_text"
ERROR = "turn.error"
STT = "turn.stt."
CLOSE_REASON = "call.close_reason"
CONVERSATION = "conversation.messages"
IS_FALLBACK = "attempt.is_fallback"
IS_PROBE = "attempt.is_probe"
IS_PREEMPTIVE = "attempt.is_preemptive"
ERROR_IS_BELOW = "error.is_below"
INFERENCE_PARENT = "inference.parent_span_id"
INFERENCE_START = "inference.start_time_unix_nano"
INFERENCE_END = "inference.end_time_unix_nano"

STAMPS = frozenset(
    {
        USER_TEXT,
        AGENT_TEXT,
        ERROR,
        CONVERSATION,
        IS_FALLBACK,
        IS_PROBE,
        IS_PREEMPTIVE,
        IS_REBUILT,
        ERROR_IS_BELOW,
        INFERENCE_PARENT,
        INFERENCE_START,
        INFERENCE_END,
    }
)
"""Read here, and not for show."""
