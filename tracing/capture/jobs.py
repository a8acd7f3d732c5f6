"""The LiveKit job that this code runs in: its root span, its outcome, its recording."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from livekit.agents import JobContext, get_job_context
from opentelemetry import context as otel_context
from opentelemetry import trace

from tracing import names, stamps
from tracing.capture.current import Capture
from tracing.capture.processor import TracingProcessor
from tracing.capture.sound.recording import recording_attributes
from tracing.capture.sound.to_measure import HeardTurns
from tracing.safe_text import get_logger
from tracing.span import Attributes, AttributeValue, as_number

if TYPE_CHECKING:
    from livekit.agents import AgentSession

logger = get_logger(__name__)

_late_was_said = False


def current_job_id() -> str | None:
    """The id of the job that is current here; None outside of jobs."""
    context = get_job_context(required=False)
    return context.job.id if context is not None else None


def job_attributes() -> Attributes:
    """What LiveKit stamps on a job's root span, of the job that is current here."""
    context = get_job_context(required=False)
    return _attributes_of(context) if context is not None else {}


def _attributes_of(context: JobContext) -> Attributes:
    job = context.job
    return {
        names.JOB_ID: job.id,
        names.AGENT_NAME: job.agent_name,
        names.ROOM_NAME[0]: job.room.name,
        names.ROOM_SID: job.room.sid,
    }


def job_outcome() -> Attributes:
    """What the current job's tagger says of the call; asked for when its root span ends."""
    context = get_job_context(required=False)
    tagger = getattr(context, "tagger", None)  # not before livekit-agents 1.5
    return outcome_attributes(tagger) if tagger is not None else {}


def outcome_attributes(tagger: Any) -> dict[str, AttributeValue]:
    """Outcome, tags and judges' verdicts; redaction knows which part of them is content."""
    kept = ("name", "verdict", "reasoning")
    judged = [{key: found.get(key) for key in kept} for found in tagger.evaluations]
    found: dict[str, AttributeValue | None] = {
        stamps.CALL_OUTCOME: tagger.outcome,
        stamps.CALL_OUTCOME_REASON: tagger.outcome_reason,
        stamps.CALL_TAGS: sorted(tagger.tags),
        stamps.CALL_EVALUATIONS: json.dumps(judged) if judged else None,
    }
    return {key: value for key, value in found.items() if value}


def attach_recording(
    job: JobContext, session: AgentSession[Any], capture: Capture, heard: HeardTurns
) -> None:
    """Save the session's audio when its job ends, say where on its root span, have it measured."""
    processor = capture.processor

    async def save_and_stamp(reason: str) -> None:
        call = processor.call(as_number(heard.trace_id))
        withhold = processor.withholding.is_demanded_by(job, session)
        if capture.recordings is not None:
            found = await recording_attributes(session, capture.recordings, withhold=withhold)
            processor.roots.stamp(job.job.id, found)
        is_withheld = withhold or call is None or call.is_withheld
        if capture.measurable is not None and call is not None and not is_withheld:
            await heard.leave(session, capture.measurable, call.identity.own.attributes)

    job.add_shutdown_callback(save_and_stamp)


def join_running_job(provider: trace.TracerProvider, processor: TracingProcessor) -> None:
    """Called inside an entrypoint whose root span was not recorded: begin one here."""
    global _late_was_said
    context = get_job_context(required=False)
    if context is None or processor.roots.has(context.job.id):
        return
    if trace.get_current_span().is_recording():
        return
    if not _late_was_said:
        _late_was_said = True
        logger.warning(
            "setup_tracer was called inside a job, whose root span had begun before: the trace "
            "begins here. Call it where the agent's module is imported, or in the setup_fnc."
        )
    job, known = context.job, dict(_attributes_of(context))
    root = provider.get_tracer(names.SCOPE).start_span(names.JOB_ENTRYPOINT, attributes=known)
    processor.begin_root(job.id, root)
    otel_context.attach(trace.set_span_in_context(root))
