"""What calls to models, tools and voices show: one function per kind of span."""

from __future__ import annotations

from datetime import datetime

from tracing import names, stamps
from tracing.dialects import messages, usage
from tracing.dialects.observed import Observation, failing, json_object, message_of, plumbing, text
from tracing.span import STATUS_ERROR, Span

COMPLETION_START = "langfuse.observation.completion_start_time"


def generation(span: Span, name: str = "llm call") -> Observation:
    """One call to a language model."""
    shown = used(
        span,
        Observation(
            name,
            type="generation",
            input=messages.request(span.attributes, span.events),
            output=messages.reply(span.attributes, span.events),
        ),
    )
    if span.attributes.get(names.FALLBACK_RECOVERY):
        return shown._replace(name="recovery probe", level="DEBUG", status_message=message_of(span))
    if span.attributes.get(stamps.HOLDS_MODEL_CALLS) is True:
        shown = shown._replace(type="span", model="", units={}, priced_as="")
    return failing(span, shown)


def used(span: Span, shown: Observation) -> Observation:
    """Add what one call to a model used, and how long its first token took."""
    attributes = span.attributes
    measured = json_object(
        attributes.get(names.LLM_METRICS) or attributes.get(names.REALTIME_METRICS_JSON)
    )
    named = attributes.get(names.RESPONSE_MODEL), attributes.get(names.REQUEST_MODEL)
    model = usage.model_name(*named)
    units = usage.tokens(attributes, measured, model)
    ttft = attributes.get(names.TIME_TO_FIRST_CHUNK, measured.get("ttft"))
    ttft = ttft if isinstance(ttft, float) and ttft >= 0 else None
    first = _first_token(span, ttft)
    if first:  # so that the page and the metadata say the same
        ttft = round((first - span.start_time_unix_nano) / 1e9, 3)
    return shown._replace(
        status_message=shown.status_message or ("cut short" if measured.get("cancelled") else ""),
        model=model,
        units=units or (usage.UNKNOWN if model else {}),
        priced_as=model if units else "",
        first_output_unix_nano=first,
        metadata={
            **shown.metadata,
            "provider": attributes.get(names.PROVIDER_NAME),
            "usage": None if units else "unknown",
            "preemptive": attributes.get(stamps.IS_PREEMPTIVE),
            "time_to_first_token_seconds": ttft,
        },
    )


def realtime(span: Span) -> Observation:
    """One call to a realtime model, with what was said where LiveKit did not write it there."""
    shown = generation(span, "realtime call")
    asked = messages.said(("user", text(span.attributes.get(stamps.TURN_USER_TEXT))))
    answered = messages.said(("assistant", text(span.attributes.get(stamps.TURN_AGENT_TEXT))))
    return shown._replace(
        input=shown.input or (messages.dumps(asked) if asked else ""),
        output=shown.output or (messages.dumps(answered[0]) if answered else ""),
    )


def _first_token(span: Span, ttft: float | None) -> int:
    """When the first token came; 0 if unknown, or if no such instant is within the span."""
    given = text(span.attributes.get(COMPLETION_START)).strip('"')
    try:
        moment = datetime.fromisoformat(given.replace("Z", "+00:00"))
        instant = round(moment.timestamp() * 1e6) * 1000
    except ValueError:
        if ttft is None:
            return 0
        instant = span.start_time_unix_nano + round(ttft * 1e9)
    return instant if span.start_time_unix_nano <= instant <= span.end_time_unix_nano else 0


def llm_node(span: Span) -> Observation:
    """An `llm_node` that answered without asking an LLM is itself the generation."""
    return generation(span) if names.OPERATION in span.attributes else plumbing(span)


def tool(span: Span) -> Observation:
    """One call of a tool, whose failure LiveKit marks beside the status."""
    attributes = span.attributes
    output = text(names.first(attributes, names.TOOL_OUTPUT))
    shown = Observation(
        text(attributes.get(names.TOOL_NAME)) or "tool",
        type="tool",
        input=text(names.first(attributes, names.TOOL_ARGUMENTS)),
        output=output,
    )
    if attributes.get(names.TOOL_IS_ERROR) is True:
        return shown._replace(level="ERROR", status_message=names.why_tool_failed(attributes))
    return failing(span, shown)


def speech(span: Span) -> Observation:
    """A segment that was spoken; without metrics and error, no audio was made."""
    attributes = span.attributes
    measured = json_object(attributes.get(names.TTS_METRICS))
    by, units = usage.part(measured, "metadata"), usage.speech_units(measured)
    model = usage.model_name(attributes.get(names.REQUEST_MODEL), by.get("model_name"))
    seconds, ttfb = units.get("seconds"), measured.get("ttfb")
    ttfb = ttfb if isinstance(ttfb, float) and ttfb >= 0 else None
    shown = Observation(
        "speech",
        input=text(names.first(attributes, names.TTS_TEXT)),
        output=messages.dumps({"audio_seconds": round(seconds, 3)}) if seconds else "",
        level="DEFAULT" if measured or span.status_code == STATUS_ERROR else "DEBUG",
        status_message="cut short" if measured.get("cancelled") else "",
        units=units,
        model=model if units else "",
        priced_as=model,
        first_output_unix_nano=span.start_time_unix_nano + round(ttfb * 1e9) if ttfb else 0,
        metadata={
            "model": model or None,
            "provider": attributes.get(names.PROVIDER_NAME) or by.get("model_provider"),
            "time_to_first_byte_seconds": ttfb,
        },
    )
    return failing(span, shown)


def attempt(span: Span) -> Observation:
    """One try of a request: another one may follow, so its failure is no error yet."""
    shown = Observation("attempt", level="DEBUG")
    if span.status_code != STATUS_ERROR or span.attributes.get(stamps.IS_PROBE) is True:
        return shown
    return shown._replace(level="WARNING", status_message=message_of(span))


def fallback(span: Span) -> Observation:
    """A fallback adapter: seen where another than the first provider had to serve."""
    index = span.attributes.get(names.FALLBACK_INDEX)
    served = text(span.attributes.get(names.FALLBACK_LABEL))
    if span.status_code == STATUS_ERROR:
        return failing(span, Observation("fallback"))
    if isinstance(index, int) and index > 0:
        message = f"provider {index + 1} had to serve: {served}"
        return Observation("fallback", level="WARNING", status_message=message)
    return plumbing(span)
