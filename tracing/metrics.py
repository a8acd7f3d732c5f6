"""Metrics over OTLP: LiveKit's own with usable buckets and labels, and the numbers of each turn.

Loaded only where metrics are on. The voice loop appends a turn to a queue, nothing else; one
thread counts what is queued, and exports every few seconds and when the process ends.
"""

from __future__ import annotations

import logging
import multiprocessing.util
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, attach, set_value
from opentelemetry.exporter.otlp.proto.http import metric_exporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Observation, get_meter, set_meter_provider
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes as OtelAttributes

from tracing.livekit import names
from tracing.livekit.latency import parts
from tracing.livekit.turns import Turn
from tracing.settings import MetricsSettings, application_has_metrics
from tracing.span import Attributes, AttributeValue
from tracing.spool.flush import waiting_bytes
from tracing.spool.ledger import FILE_NAME as LOSSES_NAME
from tracing.spool.ledger import count_losses
from tracing.spool.locks import try_lock

logger = logging.getLogger(__name__)

LIVEKIT_METER = "livekit-agents"
_METER = "livekit-tracing"

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

_END_SECONDS = 1.0
_MAX_QUEUED_TURNS = 10_000
_SAY_EVERY_SECONDS = 60.0
_LOCK_NAME = "gauges.lock"

_fork_lock = threading.Lock()
"""Held while numbers are collected, so that no child is forked with a lock of the SDK's taken."""
_metrics: Metrics | None = None


def start_metrics(settings: MetricsSettings, spool: Path, resource: Resource) -> Metrics:
    """Export this process's metrics; once per process, as OpenTelemetry's provider is set once.

    Where the application has a MeterProvider of its own, the numbers of turns go there.
    """
    global _metrics
    if _metrics is None:
        reader = None if application_has_metrics() else _install(settings, resource)
        _metrics = Metrics(reader)
        _follow_forks(_metrics)
    _metrics.start(settings, spool)
    return _metrics


def _install(settings: MetricsSettings, resource: Resource) -> InMemoryMetricReader:
    exporter = _exporter(settings)
    reader = InMemoryMetricReader(
        preferred_temporality=exporter._preferred_temporality,
        preferred_aggregation=exporter._preferred_aggregation,
    )
    # Every process counts for itself, so each must be an instance of its own to a backend.
    given = resource.attributes.get(SERVICE_INSTANCE_ID) or socket.gethostname()
    instance = Resource({SERVICE_INSTANCE_ID: f"{given}-{os.getpid()}"})
    provider = sdk.MeterProvider(
        metric_readers=[reader],
        resource=resource.merge(instance),
        views=list(_views()),
        exemplar_filter=_WithoutIds(),
        shutdown_on_exit=False,
    )
    set_meter_provider(provider)
    return reader


def _exporter(settings: MetricsSettings) -> OTLPMetricExporter:
    return OTLPMetricExporter(
        endpoint=settings.url,
        headers=dict(settings.headers),
        certificate_file=settings.certificate,
    )


def _views() -> Iterator[View]:
    """Yield one view for each of LiveKit's instruments; those of the application have none."""
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


class _WithoutIds(sdk.TraceBasedExemplarFilter):
    """Exemplars lead from a bucket to a trace; those of LiveKit's would carry its other labels."""

    def should_sample(
        self, value: float, time_unix_nano: int, attributes: OtelAttributes, context: Context
    ) -> bool:
        """Whether this measurement may become an exemplar."""
        is_of_job = bool(attributes) and "job_id" in attributes
        return not is_of_job and super().should_sample(value, time_unix_nano, attributes, context)


class TurnInstruments:
    """The numbers of a turn, from its stamps, as histograms and counters."""

    def __init__(self) -> None:
        meter = get_meter(_METER)

        def histogram(name: str, text: str) -> Any:
            return meter.create_histogram(
                name, unit="s", description=text, explicit_bucket_boundaries_advisory=SECONDS
            )

        def counter(name: str, text: str, unit: str = "") -> Any:
            return meter.create_counter(name, unit=unit, description=text)

        self._latency = histogram("turn.user_bot_latency", "User's last word to first sound")
        self._part = histogram("turn.part", "What the latency consists of")
        self._turns = counter("turn.count", "Turns of the agent")
        self._heard = counter("turn.heard", "Turns of which something was heard")
        self._errors = counter("turn.errors", "Failed attempts, by stage")
        self._tokens = counter("turn.tokens", "Tokens of LLM and realtime requests", "{token}")
        self._counted = {
            names.TURN_OVER_BUDGET: counter("turn.over_budget", "Replies above the budget"),
            names.TURN_BARGED_IN: counter("turn.barge_ins", "Turns that the user interrupted"),
            names.TURN_TOOL_CALLS: counter("turn.tool_calls", "Calls of tools"),
            names.TURN_TOOL_FAILURES: counter("turn.tool_failures", "Calls of tools that failed"),
            names.TURN_RETRIES: counter("turn.retries", "Attempts after a failed one"),
            names.TURN_FALLBACKS: counter("turn.fallbacks", "Requests that another model served"),
        }

    def record(self, turn: Turn, stamps: Attributes) -> None:
        """Record one turn."""
        labels: dict[str, AttributeValue] = {"turn.kind": stamps[names.TURN_KIND]}
        if agent := names.text(turn.span.attributes, "gen_ai.agent.name"):
            labels["gen_ai.agent.name"] = agent
        where = _context(turn)
        self._turns.add(1, labels)
        if names.TURN_AGENT_STARTED in stamps:
            self._heard.add(1, labels)
        if (latency := stamps.get(names.TURN_LATENCY)) is not None:
            self._latency.record(latency, labels, where)
        for part, seconds in parts(stamps).items():
            self._part.record(seconds, {**labels, "part": part}, where)
        for key, number in stamps.items():
            if key in self._counted:
                self._counted[key].add(_count(number), labels)
            elif key.startswith(names.TURN_ERRORS):
                self._errors.add(number, {**labels, "stage": key[len(names.TURN_ERRORS) :]})
            elif key in _TOKEN_TYPES:
                self._tokens.add(number, {**labels, "gen_ai.token.type": _TOKEN_TYPES[key]})


_TOKEN_TYPES = {
    names.TURN_LLM_INPUT: "input",
    names.TURN_LLM_CACHED: "input_cached",
    names.TURN_LLM_OUTPUT: "output",
}
"""Cached tokens are input tokens, too."""


def _context(turn: Turn) -> Context:
    """Return the turn's span as a context, so that a bucket's exemplar leads to its trace."""
    span = turn.span
    ids = int.from_bytes(span.trace_id, "big"), int.from_bytes(span.span_id, "big")
    sampled = SpanContext(*ids, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(sampled))


def _count(number: AttributeValue) -> int:
    return int(number) if isinstance(number, (bool, int)) else 0


class SpoolGauges:
    """How full the spool is and what was lost, by one process for all that write to it."""

    def __init__(self) -> None:
        self.spool: Path | None = None
        self._lock_fd: int | None = None
        self._losses: dict[str, int] = {}
        self._losses_state: object = None
        meter = get_meter(_METER)
        meter.create_observable_gauge(
            "tracing.spool.waiting",
            [self._observe_waiting],
            unit="By",
            description="Spans on disk that some backend has not taken",
        )
        meter.create_observable_gauge(
            "tracing.spool.losses",
            [self._observe_losses],
            description="What was dropped or changed since the spool was made, by reason",
        )

    def leave(self) -> None:
        """Let another process observe."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _observe_waiting(self, options: CallbackOptions) -> Iterable[Observation]:
        if self.spool is not None and self._is_mine(self.spool):
            yield Observation(waiting_bytes(self.spool), {"spool": self.spool.name})

    def _observe_losses(self, options: CallbackOptions) -> Iterable[Observation]:
        if self.spool is None or not self._is_mine(self.spool):
            return
        try:
            status = (self.spool / LOSSES_NAME).stat()
        except FileNotFoundError:
            return
        state = (status.st_size, status.st_mtime_ns)
        if state != self._losses_state:
            self._losses, self._losses_state = count_losses(self.spool), state
        for reason, number in self._losses.items():
            yield Observation(number, {"spool": self.spool.name, "reason": reason})

    def _is_mine(self, spool: Path) -> bool:
        """Whether this is the process that observes the spool; the first one stays it."""
        if self._lock_fd is None:
            fd = os.open(spool / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
            if not try_lock(fd):
                os.close(fd)
                return False
            self._lock_fd = fd
        return True


class Metrics:
    """The metrics of this process: watches every turn, and exports from a thread of its own."""

    def __init__(self, reader: InMemoryMetricReader | None) -> None:
        self._reader = reader
        """None where the application's own provider exports."""
        self._instruments = TurnInstruments()
        self._gauges = SpoolGauges()
        self._queued: deque[tuple[Turn, Attributes]] = deque(maxlen=_MAX_QUEUED_TURNS)
        self._exporter: OTLPMetricExporter | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def turn_ended(self, turn: Turn, stamps: Attributes) -> None:
        """Queue a turn; on the voice loop."""
        self._queued.append((turn, stamps))

    def session_ended(self, stamps: Attributes) -> None:
        """A session is its turns."""

    def start(self, settings: MetricsSettings, spool: Path) -> None:
        """Export every few seconds from now on, unless that is so already."""
        if self._thread is not None:
            return
        if self._reader is None or not settings.url:
            logger.info("the application's MeterProvider takes the metrics; none are exported here")
        else:
            self._exporter = _exporter(settings)
            logger.info("metrics to %s every %g s", settings.url, settings.interval_seconds)
        self._gauges.spool = spool
        self._stopping.clear()
        interval = settings.interval_seconds
        self._thread = threading.Thread(
            target=self._run, args=(interval,), name="tracing-metrics", daemon=True
        )
        self._thread.start()
        self.end_with_process()

    def end_with_process(self) -> None:
        """Export a last time when the process ends: of a job's there is nothing else that runs."""
        multiprocessing.util.Finalize(None, self.stop, exitpriority=10)

    def stop(self) -> None:
        """Export a last time and end the thread; waits for it a second at the most."""
        thread, self._thread = self._thread, None
        self._stopping.set()
        if thread is not None:
            thread.join(_END_SECONDS)
        self._gauges.leave()

    def after_fork(self) -> None:
        """In a forked child: what was counted is the parent's to export, and nothing is here."""
        self._thread = None
        self._queued = deque(maxlen=0)
        self._gauges.spool = None
        self._gauges.leave()

    def _run(self, interval_seconds: float) -> None:
        # Not a span of the application's for every request of ours.
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        while not self._stopping.wait(interval_seconds):
            self._export()
        self._export()

    def _export(self) -> None:
        try:
            with _fork_lock:
                while self._queued:
                    self._instruments.record(*self._queued.popleft())
                collected = self._reader.get_metrics_data() if self._reader is not None else None
            if collected is not None and self._exporter is not None:
                self._exporter.export(collected)
        except Exception:
            logger.warning("metrics could not be exported", exc_info=True)


class _OncePerMinute(logging.Filter):
    """The exporter says at every attempt that it failed; once a minute will do."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is let through."""
        if time.monotonic() - self._said_at < _SAY_EVERY_SECONDS:
            return False
        self._said_at = time.monotonic()
        return True


def _follow_forks(metrics: Metrics) -> None:
    """A forked child counts nothing; a child of a fork server is no copy, but starts like one."""
    metric_exporter._logger.addFilter(_OncePerMinute())
    # Such a child's finalizers are forgotten after the agent's module is imported there.
    multiprocessing.util.register_after_fork(metrics, Metrics.end_with_process)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_fork_lock.acquire,
            after_in_parent=_fork_lock.release,
            after_in_child=lambda: (metrics.after_fork(), _fork_lock.release()),
        )
