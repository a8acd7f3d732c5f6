"""What the metrics are: LiveKit's own with usable buckets and labels, and the numbers of turns."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes as OtelAttributes

from tracing import names, stamps
from tracing.account.turns.latency import parts_of
from tracing.account.turns.turn import Turn
from tracing.span import Attributes, AttributeValue

LIVEKIT_METER = "livekit-agents"
OWN_METER = "livekit-tracing"

SECONDS = (
    *(0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
    *(1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0),
)
"""Bucket boundaries of every histogram in seconds; OpenTelemetry's default begins at 5."""
_TOKENS = tuple(4.0**power for power in range(10))

LABELS = frozenset(
    {
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.token.type",
        "gen_ai.tool.name",
        "gen_ai.agent.name",
        "error.type",
        "model_provider",
        "model_name",
        "connection_reused",
        "severity",
    }
)
"""What is kept of LiveKit's labels; it also gives room and job ids, one series for each call."""


def livekit_views() -> Iterator[View]:
    """One view for each of LiveKit's instruments; those of the application have none."""
    of_livekit: dict[str, Any] = {"meter_name": LIVEKIT_METER, "attribute_keys": set(LABELS)}
    for units, boundaries in (("s", SECONDS), ("", _TOKENS), ("[!s]*", _TOKENS)):
        buckets = ExplicitBucketHistogramAggregation(boundaries)
        yield View(
            instrument_type=sdk.Histogram,
            instrument_unit=units,
            aggregation=buckets,
            **of_livekit,
        )
    for instrument in (
        sdk.Counter,
        sdk.UpDownCounter,
        sdk.ObservableCounter,
        sdk.ObservableUpDownCounter,
        sdk.ObservableGauge,
    ):
        yield View(instrument_type=instrument, **of_livekit)


class WithheldView(View):
    """Instruments of the application and of others: of their labels, what carries no content."""

    def __init__(self, harmless: Container[str]) -> None:
        super().__init__(instrument_name="*", attribute_keys=harmless)  # type: ignore[arg-type]

    def _match(self, instrument: Any) -> bool:
        return instrument.instrumentation_scope.name not in (LIVEKIT_METER, OWN_METER)


class WithoutJobIds(sdk.TraceBasedExemplarFilter):
    """Exemplars lead from a bucket to a trace; those of LiveKit's would carry its other labels.

    Where content is withheld, `harmless` names the labels that an exemplar may carry.
    """

    def __init__(self, harmless: Container[str] | None = None) -> None:
        self._harmless = harmless

    def should_sample(
        self, value: float, time_unix_nano: int, attributes: OtelAttributes, context: Context
    ) -> bool:
        """Whether this measurement may become an exemplar."""
        labels, harmless = attributes or {}, self._harmless
        if "job_id" in labels or not (harmless is None or all(key in harmless for key in labels)):
            return False
        return super().should_sample(value, time_unix_nano, attributes, context)


class TurnInstruments:
    """The numbers of a turn, from its stamps, as histograms and counters."""

    def __init__(self, meter: Meter) -> None:
        def histogram(name: str, text: str) -> Any:
            return meter.create_histogram(
                name, unit="s", description=text, explicit_bucket_boundaries_advisory=SECONDS
            )

        def counter(name: str, text: str, unit: str = "") -> Any:
            return meter.create_counter(name, unit=unit, description=text)

        self._latency = histogram("turn.user_bot_latency", "User's last word to first sound")
        self._heard_latency = histogram(
            "turn.heard_latency", "Caller's last sound to the agent's first, where listened to"
        )
        self._part = histogram("turn.part", "What the latency consists of")
        self._turns = counter("turn.count", "Turns of the agent")
        self._heard = counter("turn.heard", "Turns of which something was heard")
        self._errors = counter("turn.errors", "Failed attempts, by stage")
        self._tokens = counter("turn.tokens", "Tokens of LLM and realtime requests", "{token}")
        self._counted = {
            stamps.TURN_OVER_BUDGET: counter("turn.over_budget", "Replies above the budget"),
            stamps.TURN_BARGED_IN: counter("turn.barge_ins", "Turns that the user interrupted"),
            stamps.TURN_TOOL_CALLS: counter("turn.tool_calls", "Calls of tools"),
            stamps.TURN_TOOL_FAILURES: counter("turn.tool_failures", "Calls of tools that failed"),
            stamps.TURN_RETRIES: counter("turn.retries", "Attempts after a failed one"),
            stamps.TURN_FALLBACKS: counter("turn.fallbacks", "Requests that another model served"),
        }

    def record(self, turn: Turn, stamped: Attributes) -> None:
        """Record one turn."""
        labels: dict[str, AttributeValue] = {"turn.kind": stamped[stamps.TURN_KIND]}
        if agent := names.text(turn.span.attributes, "gen_ai.agent.name"):
            labels["gen_ai.agent.name"] = agent
        where = _context(turn)
        self._turns.add(1, labels)
        if stamps.TURN_AGENT_STARTED in stamped:
            self._heard.add(1, labels)
        if (latency := stamped.get(stamps.TURN_LATENCY)) is not None:
            self._latency.record(latency, labels, where)
        if (heard := stamped.get(stamps.TURN_HEARD_LATENCY)) is not None:
            self._heard_latency.record(heard, labels, where)
        for part, seconds in parts_of(stamped).items():
            self._part.record(seconds, {**labels, "part": part}, where)
        for key, number in stamped.items():
            if key in self._counted:
                self._counted[key].add(_count(number), labels)
            elif key.startswith(stamps.TURN_ERRORS):
                self._errors.add(number, {**labels, "stage": key[len(stamps.TURN_ERRORS) :]})
            elif key in _TOKEN_TYPES:
                self._tokens.add(number, {**labels, "gen_ai.token.type": _TOKEN_TYPES[key]})


_TOKEN_TYPES = {
    stamps.TURN_LLM_INPUT: "input",
    stamps.TURN_LLM_CACHED: "input_cached",
    stamps.TURN_LLM_OUTPUT: "output",
}
"""Cached tokens are input tokens, too."""


def _context(turn: Turn) -> Context:
    """The turn's span as a context, so that a bucket's exemplar leads to its trace."""
    span = turn.span
    ids = int.from_bytes(span.trace_id, "big"), int.from_bytes(span.span_id, "big")
    sampled = SpanContext(*ids, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(sampled))


def _count(number: AttributeValue) -> int:
    return int(number) if isinstance(number, (bool, int)) else 0
