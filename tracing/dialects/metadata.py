"""What can be filtered by in Langfuse: an observation's metadata, and what stays out of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tracing import names, stamps
from tracing.dialects.messages import dumps
from tracing.dialects.model_calls import COMPLETION_START
from tracing.dialects.observed import Observation, json_object, to_the_millionth
from tracing.span import Attributes, AttributeValue, Event, Span

MAX_EVENTS = 200
CLAIMED = frozenset({"tools", "attributes"})
"""Keys that the server takes for its own: it moves `tools` into the input, as definitions."""
_USERS_METADATA = ("langfuse.observation.metadata", "langfuse.trace.metadata", "langfuse.metadata")
_SHORT = {stamps.TURN_TOOLS: "tool_runs"}
"""Stamps whose short name is claimed."""
_METADATA = "langfuse.observation.metadata."
_TRACE_METADATA = "langfuse.trace.metadata."
_NO_NEWS = frozenset({"exception", names.EVENT_CHOICE, *names.EVENT_ROLES})
"""Events that are shown as the status, or as input and output."""


def kept(attributes: Attributes) -> dict[str, AttributeValue]:
    """The attributes that go on as they are."""
    return {key: value for key, value in attributes.items() if _is_kept(key)}


@lru_cache(maxsize=4096)
def _is_kept(key: str) -> bool:
    """Whether an attribute goes on as it is: not if it is content, or is shown elsewhere."""
    if key in _DROPPED or key in _NOT_SHOWN or key.startswith(_DROPPED_PREFIXES):
        return False
    return "pii" not in key.split(".")


_DROPPED = frozenset(
    {
        *names.CHAT_CTX,
        *names.USER_INPUT,
        *names.INSTRUCTIONS,
        *names.USER_TRANSCRIPT,
        *names.RESPONSE_TEXT,
        *names.TOOL_OUTPUT,
        *names.TOOL_ARGUMENTS,
        *names.FUNCTION_CALLS,
        *names.TTS_TEXT,
        names.REQUEST_MODEL,
        names.RESPONSE_MODEL,
        names.OPERATION,
        names.INPUT_MESSAGES,
        names.OUTPUT_MESSAGES,
        names.SYSTEM_INSTRUCTIONS,
        names.TOOL_DEFINITIONS,
        names.CONVERSATION_ID,
        names.PROVIDER_NAME,
        names.LLM_METRICS,
        names.TTS_METRICS,
        names.REALTIME_METRICS_JSON,
        names.TIME_TO_FIRST_CHUNK,
        names.TTFT,
        names.TTFB,
        names.E2E_LATENCY,
        names.QUEUE_WAIT,
        names.TRANSCRIPTION_DELAY,
        names.END_OF_TURN_DELAY,
        names.ON_USER_TURN_COMPLETED_DELAY,
        names.TRANSCRIPT_CONFIDENCE,
        names.PLAYOUT_POSITION,
        "lk.function_tools",
        "gen_ai.tool.description",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
    }
)
_NOT_SHOWN = frozenset(
    {
        stamps.SESSION_ID,
        stamps.USER_ID,
        stamps.FIRST_AGENT,
        stamps.TURN_USER_TEXT,
        stamps.TURN_AGENT_TEXT,
        stamps.TURN_ERROR,
        stamps.CONVERSATION,
        stamps.CALL_TAGS,
        stamps.CALL_SCORES,
        stamps.PROMPT_NAME,
        stamps.PROMPT_VERSION,
        stamps.STT_IS_COUNTED,
        stamps.IS_FALLBACK,
        stamps.IS_PROBE,
        stamps.IS_PREEMPTIVE,
        stamps.IS_REBUILT,
        stamps.ERROR_IS_BELOW,
        stamps.SHOWN_PARENT,
        stamps.OUTSIDE_CALLS,
        stamps.COUNTED_ABOVE,
        stamps.HOLDS_MODEL_CALLS,
        stamps.INFERENCE_PARENT,
        stamps.INFERENCE_START,
        stamps.INFERENCE_END,
    }
)
"""Stamps that are read here, and not for show."""
_DROPPED_PREFIXES = (
    *(stamps.TURN, stamps.CALL, stamps.ROOT_SUMMARY, stamps.RECORDING, "langfuse."),
    *(names.USAGE, "gen_ai.prompt."),
)


def of(span: Span, shown: Observation) -> dict[str, AttributeValue]:
    """What can be filtered by: what the span shows, what was stamped on it, and its events."""
    found = {_METADATA + key: value for key, value in shown.metadata.items() if value is not None}
    if shown.model:
        found.pop(_METADATA + "model", None)  # it has a place of its own
    for key, value in span.attributes.items():
        if key.startswith(stamps.ROOT_SUMMARY):
            found[_METADATA + key.removeprefix(stamps.ROOT_SUMMARY).replace(".", "_")] = value
        elif key.startswith(stamps.CALL_METADATA):
            continue  # the trace's, see `said`
        elif key.startswith((stamps.TURN, stamps.CALL)) and key not in _NOT_SHOWN:
            short = _SHORT.get(key) or key.partition(".")[2].replace(".", "_")
            found[_METADATA + short] = value
    happened = [_happened(span, event) for event in span.events if event.name not in _NO_NEWS]
    if happened:
        found[_METADATA + "events"] = dumps(happened[-MAX_EVENTS:])
    return {key: to_the_millionth(value) for key, value in found.items()}


def said(attributes: Attributes) -> Attributes:
    """The trace's metadata, by the application; it stands on the root."""
    return unclaimed(
        {
            _TRACE_METADATA + key[len(stamps.CALL_METADATA) :]: value
            if isinstance(value, (str, bool, int, float))
            else dumps(value)
            for key, value in attributes.items()
            if key.startswith(stamps.CALL_METADATA)
        }
    )


def _happened(span: Span, event: Event) -> str:
    """An event in a line, for Langfuse stores none: seconds into the span, name, what it says."""
    seconds = (event.time_unix_nano - span.start_time_unix_nano) / 1e9
    if event.name == stamps.EVENT_LOG:
        return f"{seconds:.3f} {_logged(event.attributes)}"
    says = " -> ".join(str(value) for key, value in event.attributes.items() if _is_kept(key))
    return f"{seconds:.3f} {event.name} {says}".rstrip()


def _logged(told: Attributes) -> str:
    """A line of the log as a person writes one."""
    level, logger, message, kind, why = (names.text(told, key) for key in _OF_LOG)
    raised = f" ({kind}{': ' if why else ''}{why})" if kind else ""
    return f"{level} {logger}: {message}{raised}"


_OF_LOG = (
    *(stamps.LOG_LEVEL, stamps.LOG_LOGGER, stamps.LOG_MESSAGE),
    *(names.EXCEPTION_TYPE, names.EXCEPTION_MESSAGE),
)


def users_own(attributes: Attributes) -> Attributes:
    """What somebody set for Langfuse goes before what we make of the span."""
    return unclaimed(
        {
            key: value
            for key, value in attributes.items()
            if key.startswith("langfuse.") and key != COMPLETION_START
        }
    )


def unclaimed(attributes: Attributes) -> Attributes:
    """The attributes with other names for metadata that the server would take for its own."""
    if not any(key.startswith(_USERS_METADATA) for key in attributes):
        return attributes
    return dict(_unclaimed(key, value) for key, value in attributes.items())


def _unclaimed(key: str, value: AttributeValue) -> tuple[str, AttributeValue]:
    for prefix in _USERS_METADATA:
        if key == prefix:
            given = json_object(value)
            renamed = dict(_renamed(k, v) for k, v in given.items())
            return key, dumps(renamed) if renamed.keys() != given.keys() else value
        if key.startswith(f"{prefix}."):
            name, value = _renamed(key.removeprefix(f"{prefix}."), value)
            return f"{prefix}.{name}", value
    return key, value


def _renamed(key: str, value: Any) -> tuple[str, Any]:
    return (f"own_{key}" if key.partition(".")[0] in CLAIMED else key), value
