"""What each of LiveKit's spans shows a person: one function per kind of span."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from tracing import names, stamps
from tracing.dialects import messages, usage
from tracing.span import STATUS_ERROR, Attributes, AttributeValue, Span

COMPLETION_START = "langfuse.observation.completion_start_time"


class Observation(NamedTuple):
    """What to show of a span."""

    name: str
    type: str = "span"
    level: str = "DEFAULT"
    status_message: str = ""
    input: str = ""
    output: str = ""
    metadata: Mapping[str, AttributeValue | None] = {}
    model: str = ""
    """Only of what is one call to a language model."""
    units: Mapping[str, float] = {}
    """What was used, in buckets that add up."""
    priced_as: str = ""
    """The model in the user's own table of prices."""
    first_output_unix_nano: int = 0


def observation_of(span: Span) -> Observation:
    """What a span of LiveKit's shows."""
    return _BY_NAME.get(span.name, _other)(span)


def with_late_metrics(span: Span) -> Span:
    """The inference that late metrics belong to: a later version of its span, with its usage."""
    attributes = span.attributes
    start, end = attributes.get(stamps.INFERENCE_START), attributes.get(stamps.INFERENCE_END)
    if span.name != names.REALTIME_METRICS or not (isinstance(start, int) and start):
        return span
    try:
        parent = bytes.fromhex(_text(attributes.get(stamps.INFERENCE_PARENT)))
    except ValueError:
        return span
    return span._replace(
        name=names.REALTIME_INFERENCE,
        span_id=span.parent_span_id,
        parent_span_id=parent,
        start_time_unix_nano=start,
        end_time_unix_nano=end if isinstance(end, int) else span.end_time_unix_nano,
    )


# The call and its turns


def _job(span: Span) -> Observation:
    return _failing(span, Observation("job"))


def _call(span: Span) -> Observation:
    shown = Observation("call")
    if span.attributes.get(stamps.CALL_CLOSE_REASON) == "error":
        shown = shown._replace(level="ERROR", status_message="closed by an error")
    return _failing(span, shown)


def _user_turn(span: Span) -> Observation:
    attributes = span.attributes
    text = _text(
        attributes.get(stamps.TURN_USER_TEXT) or names.first(attributes, names.USER_TRANSCRIPT)
    )
    metadata = {
        "model": attributes.get(names.REQUEST_MODEL),
        "provider": attributes.get(names.PROVIDER_NAME),
        **_measured(attributes, _USER_TURN_NUMBERS),
    }
    shown = Observation(
        _numbered("user turn", attributes), input=text, output=text, metadata=metadata
    )
    return _failing(span, _with_stt(attributes, shown))


def _agent_turn(span: Span) -> Observation:
    attributes = span.attributes
    user = _text(attributes.get(stamps.TURN_USER_TEXT) or names.first(attributes, names.USER_INPUT))
    asked = _text(names.first(attributes, names.INSTRUCTIONS))
    said = _text(
        attributes.get(stamps.TURN_AGENT_TEXT) or names.first(attributes, names.RESPONSE_TEXT)
    )
    called = _text(names.first(attributes, names.FUNCTION_CALLS))
    both = messages.dumps(messages.said(("system", asked), ("user", user)))
    level, message = _interruption(attributes)
    shown = Observation(
        _numbered("agent turn", attributes),
        type="agent",
        level=level,
        status_message=message,
        input=both if user and asked else user or asked,
        output=said or (called if called != "[]" else ""),
        metadata=_measured(attributes, _AGENT_TURN_NUMBERS),
    )
    if names.REALTIME_METRICS_JSON in attributes:
        # Up to livekit-agents 1.7, a realtime turn is itself the call to the model.
        shown = _used(span, shown._replace(type="generation"))
    if attributes.get(stamps.TURN_KIND) == "discarded":
        shown = shown._replace(name="discarded reply", status_message="nothing of it was said")
    return _failing(span, _with_stt(attributes, shown))


def _interruption(attributes: Attributes) -> tuple[str, str]:
    if attributes.get(names.INTERRUPTED) is not True:
        return "DEFAULT", ""
    heard = attributes.get(names.PLAYOUT_POSITION)
    of_it = f", {heard:.1f} s heard" if isinstance(heard, float) else ""
    if names.text(attributes, names.INTERRUPTION_SOURCE) in names.BARGE_IN_SOURCES:
        return "WARNING", f"interrupted by the user{of_it}"
    return "DEFAULT", f"cut short{of_it}"


def _with_stt(attributes: Attributes, shown: Observation) -> Observation:
    """Add what the transcription of the user's speech used."""
    measured = {
        key.removeprefix(stamps.TURN_STT): value
        for key, value in attributes.items()
        if key.startswith(stamps.TURN_STT)
    }
    units = usage.speech_units(measured) if measured else {}
    if not units or shown.units:
        return shown
    return shown._replace(units=units, priced_as=_text(measured.get("model_name")))


def _handoff(span: Span) -> Observation:
    to = _text(span.attributes.get(names.AGENT_LABEL)).rpartition(".")[2]
    metadata = {
        "from_agent": span.attributes.get(names.PREVIOUS_AGENT_LABEL),
        "to_agent": span.attributes.get(names.AGENT_LABEL),
    }
    return _failing(span, Observation(f"handoff to {to}".strip(), metadata=metadata))


# Calls to models, tools and voices


def _generation(span: Span, name: str = "llm call") -> Observation:
    shown = _used(
        span,
        Observation(
            name,
            type="generation",
            input=messages.request(span.attributes, span.events),
            output=messages.reply(span.attributes, span.events),
        ),
    )
    if span.attributes.get(names.FALLBACK_RECOVERY):
        return shown._replace(name="recovery probe", level="DEBUG", status_message=_message(span))
    return _failing(span, shown)


def _used(span: Span, shown: Observation) -> Observation:
    """Add what one call to a model used, and how long its first token took."""
    attributes = span.attributes
    measured = _json(
        attributes.get(names.LLM_METRICS) or attributes.get(names.REALTIME_METRICS_JSON)
    )
    named = attributes.get(names.RESPONSE_MODEL), attributes.get(names.REQUEST_MODEL)
    model = usage.model_name(*named)
    units = usage.tokens(attributes, measured, model)
    ttft = attributes.get(names.TIME_TO_FIRST_CHUNK, measured.get("ttft"))
    ttft = ttft if isinstance(ttft, float) and ttft >= 0 else None
    return shown._replace(
        status_message=shown.status_message or ("cut short" if measured.get("cancelled") else ""),
        model=model,
        units=units or (usage.UNKNOWN if model else {}),
        priced_as=model if units else "",
        first_output_unix_nano=_first_token(span, ttft),
        metadata={
            **shown.metadata,
            "provider": attributes.get(names.PROVIDER_NAME),
            "usage": None if units else "unknown",
            "preemptive": attributes.get(stamps.IS_PREEMPTIVE),
            "time_to_first_token_seconds": ttft,
        },
    )


def _realtime(span: Span) -> Observation:
    shown = _generation(span, "realtime call")
    asked = messages.said(("user", _text(span.attributes.get(stamps.TURN_USER_TEXT))))
    answered = messages.said(("assistant", _text(span.attributes.get(stamps.TURN_AGENT_TEXT))))
    return shown._replace(
        input=shown.input or (messages.dumps(asked) if asked else ""),
        output=shown.output or (messages.dumps(answered[0]) if answered else ""),
    )


def _first_token(span: Span, ttft: float | None) -> int:
    """When the first token came; 0 if unknown, or if no such instant is within the span."""
    given = _text(span.attributes.get(COMPLETION_START)).strip('"')
    try:
        moment = datetime.fromisoformat(given.replace("Z", "+00:00"))
        instant = round(moment.timestamp() * 1e6) * 1000
    except ValueError:
        if ttft is None:
            return 0
        instant = span.start_time_unix_nano + round(ttft * 1e9)
    return instant if span.start_time_unix_nano <= instant <= span.end_time_unix_nano else 0


def _llm_node(span: Span) -> Observation:
    """An `llm_node` that answered without asking an LLM is itself the generation."""
    return _generation(span) if names.OPERATION in span.attributes else _plumbing(span)


def _tool(span: Span) -> Observation:
    attributes = span.attributes
    output = _text(names.first(attributes, names.TOOL_OUTPUT))
    shown = Observation(
        _text(attributes.get(names.TOOL_NAME)) or "tool",
        type="tool",
        input=_text(names.first(attributes, names.TOOL_ARGUMENTS)),
        output=output,
    )
    if attributes.get(names.TOOL_IS_ERROR) is True:
        message = output or _text(attributes.get(names.ERROR_TYPE)) or "the tool failed"
        return shown._replace(level="ERROR", status_message=message)
    return _failing(span, shown)


def _speech(span: Span) -> Observation:
    """A segment that was spoken; without metrics and error, no audio was made."""
    attributes = span.attributes
    measured = _json(attributes.get(names.TTS_METRICS))
    by, units = usage.part(measured, "metadata"), usage.speech_units(measured)
    model = attributes.get(names.REQUEST_MODEL) or by.get("model_name")
    seconds, ttfb = units.get("seconds"), measured.get("ttfb")
    ttfb = ttfb if isinstance(ttfb, float) and ttfb >= 0 else None
    shown = Observation(
        "speech",
        input=_text(names.first(attributes, names.TTS_TEXT)),
        output=messages.dumps({"audio_seconds": round(seconds, 3)}) if seconds else "",
        level="DEFAULT" if measured or span.status_code == STATUS_ERROR else "DEBUG",
        status_message="cut short" if measured.get("cancelled") else "",
        units=units,
        priced_as=usage.model_name(model),
        first_output_unix_nano=span.start_time_unix_nano + round(ttfb * 1e9) if ttfb else 0,
        metadata={
            "model": model,
            "provider": attributes.get(names.PROVIDER_NAME) or by.get("model_provider"),
            "time_to_first_byte_seconds": ttfb,
        },
    )
    return _failing(span, shown)


# What holds these together


def _attempt(span: Span) -> Observation:
    """One try of a request: another one may follow, so its failure is no error yet."""
    shown = Observation("attempt", level="DEBUG")
    if span.status_code != STATUS_ERROR or span.attributes.get(stamps.IS_PROBE) is True:
        return shown
    return shown._replace(level="WARNING", status_message=_message(span))


def _fallback(span: Span) -> Observation:
    index = span.attributes.get(names.FALLBACK_INDEX)
    served = _text(span.attributes.get(names.FALLBACK_LABEL))
    if span.status_code == STATUS_ERROR:
        return _failing(span, Observation("fallback"))
    if isinstance(index, int) and index > 0:
        message = f"provider {index + 1} had to serve: {served}"
        return Observation("fallback", level="WARNING", status_message=message)
    return _plumbing(span)


def _session_close(span: Span) -> Observation:
    error = span.attributes.get(names.EXCEPTION_TYPE)
    if error is None:
        return _plumbing(span)
    return Observation("session closed by an error", level="ERROR", status_message=_text(error))


def _blocked(span: Span) -> Observation:
    failed = span.attributes.get(names.BLOCKING_SEVERITY) == "error"
    return Observation(
        "event loop blocked",
        level="ERROR" if failed else "WARNING",
        status_message=f"for {span.duration_seconds:.2f} s",
    )


def _other(span: Span) -> Observation:
    """A span that a newer LiveKit brought, or that somebody made with LiveKit's tracer."""
    return _failing(span, Observation(span.name))


def _plumbing(span: Span) -> Observation:
    """A span that only holds others, or that few need to see."""
    return _failing(span, Observation(span.name, level="DEBUG"))


def _failing(span: Span, shown: Observation) -> Observation:
    """Mark a failure where it happened, and as a warning where somebody else took over."""
    stamped = span.attributes.get(stamps.TURN_ERROR)
    if not stamped and span.status_code != STATUS_ERROR:
        return shown
    if span.attributes.get(stamps.IS_FALLBACK) is True:
        return shown._replace(level="WARNING", status_message=_message(span))
    if shown.level == "DEBUG" and span.attributes.get(stamps.ERROR_IS_BELOW) is True:
        return shown
    return shown._replace(level="ERROR", status_message=_text(stamped) or _message(span))


def _message(span: Span) -> str:
    attributes = span.attributes
    return span.status_message or _text(
        attributes.get(names.EXCEPTION_MESSAGE) or attributes.get(names.EXCEPTION_TYPE)
    )


def _numbered(name: str, attributes: Attributes) -> str:
    number = attributes.get(stamps.TURN_NUMBER)
    return f"{name} {number}" if isinstance(number, int) else name


def _measured(attributes: Attributes, keys: Mapping[str, str]) -> dict[str, AttributeValue | None]:
    """Measurements in seconds; LiveKit's int 0 means unknown."""
    values = ((name, attributes.get(key)) for key, name in keys.items())
    return {name: value for name, value in values if isinstance(value, float)}


def _json(text: AttributeValue | None) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


_USER_TURN_NUMBERS = {
    names.TRANSCRIPTION_DELAY: "transcription_delay_seconds",
    names.END_OF_TURN_DELAY: "end_of_turn_delay_seconds",
    names.TRANSCRIPT_CONFIDENCE: "transcript_confidence",
}
_AGENT_TURN_NUMBERS = {
    names.E2E_LATENCY: "e2e_latency_seconds",
    names.QUEUE_WAIT: "queue_wait_seconds",
    names.PLAYOUT_POSITION: "heard_seconds",
}

_PLUMBING = (
    *(
        names.ROOM_CONNECT,
        names.WAIT_FOR_PARTICIPANT,
        "wait_for_audio_track",
        "publish_audio_output",
    ),
    *("session_start", "setup_toolsets", "on_enter", "on_exit", "drain_agent_activity"),
    *(names.START_AGENT_ACTIVITY, "resume_agent_activity", "pause_agent_activity"),
    *(names.USER_SPEAKING, names.EOU_WAIT, "eou_detection", names.ON_USER_TURN_COMPLETED),
    *(names.TTS_NODE, "tts_stream_adapter", names.AGENT_SPEAKING, "keyterm_detection"),
    *(names.JOB_SHUTDOWN, "on_session_end", "session_end_upload", "room_disconnect"),
    "shutdown_callback",
)
_BY_NAME: Mapping[str, Callable[[Span], Observation]] = {
    **dict.fromkeys(_PLUMBING, _plumbing),
    names.JOB_ENTRYPOINT: _job,
    names.AGENT_SESSION: _call,
    names.USER_TURN: _user_turn,
    names.AGENT_TURN: _agent_turn,
    names.UPDATE_AGENT: _handoff,
    names.LLM_NODE: _llm_node,
    names.LLM_REQUEST: _generation,
    names.LLM_REQUEST_RUN: _attempt,
    names.LLM_FALLBACK_ADAPTER: _fallback,
    names.REALTIME_INFERENCE: _realtime,
    names.REALTIME_METRICS: _realtime,
    names.FUNCTION_TOOL: _tool,
    names.TTS_REQUEST: _speech,
    names.TTS_REQUEST_RUN: _attempt,
    names.TTS_FALLBACK_ADAPTER: _fallback,
    names.SESSION_CLOSE: _session_close,
    names.EVENT_LOOP_BLOCKED: _blocked,
}
