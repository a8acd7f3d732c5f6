"""What each of LiveKit's spans shows a person: one function per kind of span."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tracing import names, stamps
from tracing.dialects import messages, model_calls, usage
from tracing.dialects.observed import Observation, failing, other, plumbing, span_id, text
from tracing.span import Attributes, AttributeValue, Span


def observation_of(span: Span) -> Observation:
    """What a span of LiveKit's shows."""
    return _BY_NAME.get(span.name, other)(span)


def with_late_metrics(span: Span) -> Span:
    """The inference that late metrics belong to: a later version of its span, with its usage."""
    attributes = span.attributes
    start, end = attributes.get(stamps.INFERENCE_START), attributes.get(stamps.INFERENCE_END)
    parent = span_id(attributes.get(stamps.INFERENCE_PARENT))
    if span.name != names.REALTIME_METRICS or not (isinstance(start, int) and start):
        return span
    if parent is None:
        return span
    return span._replace(
        name=names.REALTIME_INFERENCE,
        span_id=span.parent_span_id,
        parent_span_id=parent,
        start_time_unix_nano=start,
        end_time_unix_nano=end if isinstance(end, int) else span.end_time_unix_nano,
    )


# The call and its turns


CALL = "call"


def _job(span: Span) -> Observation:
    is_elsewhere = stamps.CALL_CONTINUED_IN in span.attributes
    return failing(span, Observation("job" if is_elsewhere else CALL))


def _call(span: Span) -> Observation:
    shown = Observation(CALL)
    if span.attributes.get(stamps.CALL_CLOSE_REASON) == "error":
        shown = shown._replace(level="ERROR", status_message="closed by an error")
    return failing(span, shown)


def _user_turn(span: Span) -> Observation:
    attributes = span.attributes
    said = text(
        attributes.get(stamps.TURN_USER_TEXT) or names.first(attributes, names.USER_TRANSCRIPT)
    )
    metadata = {
        "model": attributes.get(names.REQUEST_MODEL),
        "provider": attributes.get(names.PROVIDER_NAME),
        **_measured(attributes, _USER_TURN_NUMBERS),
    }
    shown = Observation("user turn", input=said, metadata=metadata)
    return failing(span, _with_stt(attributes, shown))


def _agent_turn(span: Span) -> Observation:
    attributes = span.attributes
    user = text(attributes.get(stamps.TURN_USER_TEXT) or names.first(attributes, names.USER_INPUT))
    asked = text(names.first(attributes, names.INSTRUCTIONS))
    said = text(
        attributes.get(stamps.TURN_AGENT_TEXT) or names.first(attributes, names.RESPONSE_TEXT)
    )
    called = text(names.first(attributes, names.FUNCTION_CALLS))
    answered = said or (called if called != "[]" else "")
    both = messages.dumps(messages.said(("system", asked), ("user", user)))
    heard = both if user and asked else user or asked
    level, message = _interruption(attributes)
    shown = Observation(
        "agent turn",
        type="agent",
        level=level,
        status_message=message,
        input=heard or (_unasked(attributes) if answered else ""),
        output=answered,
        metadata=_measured(attributes, _AGENT_TURN_NUMBERS),
    )
    if names.REALTIME_METRICS_JSON in attributes:
        # Up to livekit-agents 1.7, a realtime turn is itself the call to the model.
        shown = model_calls.used(span, shown._replace(type="generation"))
    if attributes.get(stamps.TURN_KIND) == "discarded":
        shown = shown._replace(name="discarded reply", status_message="nothing of it was said")
    return failing(span, _with_stt(attributes, shown))


def _unasked(attributes: Attributes) -> str:
    """Why the agent spoke where nobody had asked, in words: an output alone looks like an error."""
    return _UNASKED.get(names.text(attributes, stamps.TURN_KIND), "(nothing was asked)")


_UNASKED = {
    "greeting": "(the agent speaks first)",
    "say": "(said by the application)",
    "prompted": "(asked for by the application)",
    "tool_follow_up": "(after a tool)",
}


def _interruption(attributes: Attributes) -> tuple[str, str]:
    if attributes.get(names.INTERRUPTED) is not True:
        return "DEFAULT", ""
    heard = attributes.get(names.PLAYOUT_POSITION)
    of_it = f", {heard:.1f} s heard" if isinstance(heard, float) else ""
    if names.text(attributes, names.INTERRUPTION_SOURCE) in names.BARGE_IN_SOURCES:
        return "WARNING", f"interrupted by the user{of_it}"
    return "DEFAULT", f"cut short{of_it}"


def _with_stt(attributes: Attributes, shown: Observation) -> Observation:
    """Add what the transcription of the user's speech used, where that is counted."""
    if attributes.get(stamps.STT_IS_COUNTED) is True:
        return shown
    measured = {
        key.removeprefix(stamps.TURN_STT): value
        for key, value in attributes.items()
        if key.startswith(stamps.TURN_STT)
    }
    units = usage.speech_units(measured) if measured else {}
    if not units or shown.units:
        return shown
    model = usage.model_name(measured.get("model_name"), attributes.get(names.REQUEST_MODEL))
    return shown._replace(units=units, model=model, priced_as=model)


def _handoff(span: Span) -> Observation:
    to = text(span.attributes.get(names.AGENT_LABEL)).rpartition(".")[2]
    metadata = {
        "from_agent": span.attributes.get(names.PREVIOUS_AGENT_LABEL),
        "to_agent": span.attributes.get(names.AGENT_LABEL),
    }
    return failing(span, Observation(f"handoff to {to}".strip(), metadata=metadata))


def _session_close(span: Span) -> Observation:
    error = span.attributes.get(names.EXCEPTION_TYPE)
    if error is None:
        return plumbing(span)
    return Observation("session closed by an error", level="ERROR", status_message=text(error))


def _blocked(span: Span) -> Observation:
    failed = span.attributes.get(names.BLOCKING_SEVERITY) == "error"
    return Observation(
        "event loop blocked",
        level="ERROR" if failed else "WARNING",
        status_message=f"for {span.duration_seconds:.2f} s",
    )


def _measured(attributes: Attributes, keys: Mapping[str, str]) -> dict[str, AttributeValue | None]:
    """Measurements in seconds; LiveKit's int 0 means unknown."""
    values = ((name, attributes.get(key)) for key, name in keys.items())
    return {name: value for name, value in values if isinstance(value, float)}


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

_BY_NAME: Mapping[str, Callable[[Span], Observation]] = {
    **dict.fromkeys(names.PLUMBING, plumbing),
    names.JOB_ENTRYPOINT: _job,
    names.AGENT_SESSION: _call,
    names.USER_TURN: _user_turn,
    names.AGENT_TURN: _agent_turn,
    names.UPDATE_AGENT: _handoff,
    names.LLM_NODE: model_calls.llm_node,
    names.LLM_REQUEST: model_calls.generation,
    names.LLM_REQUEST_RUN: model_calls.attempt,
    names.LLM_FALLBACK_ADAPTER: model_calls.fallback,
    names.REALTIME_INFERENCE: model_calls.realtime,
    names.REALTIME_METRICS: model_calls.realtime,
    names.FUNCTION_TOOL: model_calls.tool,
    names.TTS_REQUEST: model_calls.speech,
    names.TTS_REQUEST_RUN: model_calls.attempt,
    names.TTS_FALLBACK_ADAPTER: model_calls.fallback,
    names.SESSION_CLOSE: _session_close,
    names.EVENT_LOOP_BLOCKED: _blocked,
}
