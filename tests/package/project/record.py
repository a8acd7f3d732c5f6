"""A call's spans, as LiveKit makes them, into the local store."""

from __future__ import annotations

from opentelemetry.trace import get_tracer

from tracing import setup_tracer

tracing = setup_tracer("local")
tracer = get_tracer("livekit-agents")
with tracer.start_as_current_span("agent_session"):
    attributes = {"lk.e2e_latency": 0.5, "lk.response.text": "We open at noon."}
    with (
        tracer.start_as_current_span("agent_turn", attributes=attributes),
        tracer.start_as_current_span("agent_speaking"),
    ):
        pass
raise SystemExit(not tracing.flush(10.0))
