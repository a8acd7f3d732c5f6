"""What `detail="call"` leaves out: what the page shows elsewhere, and what says nothing there."""

from __future__ import annotations

from functools import lru_cache

from tracing import names, stamps
from tracing.span import Attributes, Span

SHOWN_AS_STATES = frozenset(
    {
        *("agent_state_changed", "user_state_changed", "generation"),
        *("process_assigned", "entrypoint_started", "entrypoint_returned"),
    }
)
"""Events that the tree tells: who spoke when, which generation followed which."""

_DESCRIBED = frozenset(
    {
        *(names.AGENT_SESSION, names.USER_TURN, names.AGENT_TURN, names.UPDATE_AGENT),
        *(names.LLM_NODE, names.LLM_REQUEST, names.LLM_REQUEST_RUN, names.LLM_FALLBACK_ADAPTER),
        *(names.REALTIME_INFERENCE, names.REALTIME_METRICS, names.FUNCTION_TOOL),
        *(names.TTS_REQUEST, names.TTS_REQUEST_RUN, names.TTS_FALLBACK_ADAPTER),
    }
)
"""Spans whose observation says in our words what LiveKit's attributes say."""

_STILL_TELLING = frozenset(
    {
        *(names.SPEECH_ID, names.RETRY_COUNT, names.RESPONSE_ID, names.REQUEST_IDS),
        names.FINISH_REASONS,
    }
)
"""LiveKit's attributes that nothing else says: what logs and providers know a request by."""

_BELOW = frozenset(
    {
        *(stamps.TURN_LLM_INPUT, stamps.TURN_LLM_OUTPUT, stamps.TURN_LLM_CACHED),
        *(stamps.TURN_TTS_CHARACTERS, stamps.TURN_TTS_AUDIO, stamps.CALL_USAGE),
        *(
            stamps.TURN_LLM_MODALITY.format(direction=direction, modality=modality)
            for direction in ("input", "input_cached", "output")
            for modality in ("audio", "text", "image")
        ),
    }
)
"""Sums of what the observations below have as usage, which Langfuse adds up itself."""

_BESIDE = frozenset(
    {
        *(stamps.TURN_USER_STARTED, stamps.TURN_USER_STOPPED),
        *(stamps.TURN_AGENT_STARTED, stamps.TURN_AGENT_STOPPED),
    }
)
"""Instants, which the timeline shows."""

_ON_USER_TURN = frozenset(
    {
        *(stamps.TURN_TRANSCRIPTION_DELAY, stamps.TURN_END_OF_TURN_DELAY),
        stamps.TURN_CONFIDENCE,
    }
)
"""On the agent's turn a repetition."""

_METRICS = (stamps.TURN_STT, stamps.TURN_EOU, f"{stamps.CALL}vad.")
"""LiveKit's own metrics: the user turn has them as usage and delays; of the VAD nobody asks."""
_OPTIONS = f"{stamps.CALL}options."
"""Prefix; those in a group, such as `endpointing.mode`, are told by the list of changed ones."""


def told(span: Span) -> Span:
    """The span with what is of use in Langfuse, beside what its observation shows.

    One that we have no words for keeps all of its own.
    """
    if span.name not in _DESCRIBED:
        return span
    repeated = _repeated(span)
    attributes = {
        key: value
        for key, value in span.attributes.items()
        if key not in repeated and _is_of_use(key, span.name)
    }
    events = tuple(event for event in span.events if event.name not in SHOWN_AS_STATES)
    return span._replace(attributes=attributes, events=events)


def resource(attributes: Attributes) -> Attributes:
    """A resource without the SDK's name: the server files it with each observation."""
    return {key: value for key, value in attributes.items() if not key.startswith("telemetry.")}


@lru_cache(maxsize=4096)
def _is_of_use(key: str, name: str) -> bool:
    if key.startswith(("lk.", "gen_ai.")):
        return key in _STILL_TELLING
    if key in _BELOW or key in _BESIDE or key.startswith(_METRICS):
        return False
    if key.startswith(_OPTIONS) and "." in key[len(_OPTIONS) :]:
        return False
    return not (name == names.AGENT_TURN and key in _ON_USER_TURN)


def _repeated(span: Span) -> set[str]:
    """What of a failure the status says, or the span below that failed first."""
    attributes, found = span.attributes, set()
    if names.text(attributes, names.EXCEPTION_MESSAGE) in span.status_message:
        found.add(names.EXCEPTION_MESSAGE)
    if attributes.get(names.ERROR_TYPE) == attributes.get(names.EXCEPTION_TYPE):
        found.add(names.ERROR_TYPE)
    if attributes.get(stamps.ERROR_IS_BELOW) is True:
        found.add(names.STACKTRACE)
    return found
