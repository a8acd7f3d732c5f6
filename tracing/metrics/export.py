"""Metrics over OTLP, LiveKit's and those of turns (see `metrics.instruments`) and of the spool.

Loaded only where metrics are on. The voice loop appends a turn to a queue, nothing else; one
thread counts what is queued, and exports every few seconds and when the process ends.
"""

from __future__ import annotations

import logging
import multiprocessing.util
import os
import socket
import threading
from collections import deque
from collections.abc import Container
from pathlib import Path

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, set_value
from opentelemetry.exporter.otlp.proto.http import metric_exporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import get_meter, set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource

from tracing.account.turns.turn import Turn
from tracing.config.load import application_has_metrics
from tracing.config.settings import MetricsSettings
from tracing.limits import OncePerMinute
from tracing.metrics.gauges import SpoolGauges
from tracing.metrics.instruments import (
    OWN_METER,
    TurnInstruments,
    WithheldView,
    WithoutJobIds,
    livekit_views,
)
from tracing.safe_text import get_logger, make_safe
from tracing.span import Attributes

logger = get_logger(__name__)

_END_SECONDS = 1.0
_MAX_QUEUED_TURNS = 10_000

_fork_lock = threading.Lock()
"""Held while numbers are collected, so that no child is forked with a lock of the SDK's taken."""
_metrics: Metrics | None = None


def start_metrics(
    settings: MetricsSettings,
    spool: Path,
    resource: Resource,
    harmless: Container[str] | None = None,
) -> Metrics:
    """Export this process's metrics; once per process, as OpenTelemetry's provider is set once.

    Where the application has a MeterProvider of its own, the numbers of turns go there.
    `harmless` names the labels that stay, of anybody's, where the process withholds content.
    """
    global _metrics
    if _metrics is None:
        reader = None if application_has_metrics() else _install(settings, resource, harmless)
        _metrics = Metrics(reader)
        _follow_forks(_metrics)
    _metrics.start(settings, spool)
    return _metrics


def _install(
    settings: MetricsSettings, resource: Resource, harmless: Container[str] | None
) -> InMemoryMetricReader:
    exporter = _exporter(settings)
    reader = InMemoryMetricReader(
        preferred_temporality=exporter._preferred_temporality,
        preferred_aggregation=exporter._preferred_aggregation,
    )
    # Every process counts for itself, so each must be an instance of its own to a backend.
    given = resource.attributes.get(SERVICE_INSTANCE_ID) or socket.gethostname()
    instance = Resource({SERVICE_INSTANCE_ID: f"{given}-{os.getpid()}"})
    provider = MeterProvider(
        metric_readers=[reader],
        resource=resource.merge(instance),
        views=[*livekit_views(), *([] if harmless is None else [WithheldView(harmless)])],
        exemplar_filter=WithoutJobIds(harmless),
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


class Metrics:
    """The metrics of this process: watches every turn, and exports from a thread of its own."""

    def __init__(self, reader: InMemoryMetricReader | None) -> None:
        self._reader = reader
        """None where the application's own provider exports."""
        self._instruments = TurnInstruments(get_meter(OWN_METER))
        self._gauges = SpoolGauges(get_meter(OWN_METER))
        self._queued: deque[tuple[Turn, Attributes]] = deque(maxlen=_MAX_QUEUED_TURNS)
        self._exporter: OTLPMetricExporter | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def turn_ended(self, turn: Turn, stamped: Attributes) -> None:
        """Queue a turn; on the voice loop."""
        self._queued.append((turn, stamped))

    def session_ended(self, stamped: Attributes) -> None:
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
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run,
            args=(self._stopping, settings.interval_seconds),
            name="tracing-metrics",
            daemon=True,
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

    def _run(self, stopping: threading.Event, interval_seconds: float) -> None:
        # Not a span of the application's for every request of ours.
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        while not stopping.wait(interval_seconds):
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
        self._complaint = OncePerMinute()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is let through."""
        return self._complaint.is_due()


def _follow_forks(metrics: Metrics) -> None:
    """A forked child counts nothing; a child of a fork server is no copy, but starts like one."""
    metric_exporter._logger.addFilter(_OncePerMinute())
    metric_exporter._logger.addFilter(make_safe)  # it logs what the server answers
    # Such a child's finalizers are forgotten after the agent's module is imported there.
    multiprocessing.util.register_after_fork(metrics, Metrics.end_with_process)
    if not hasattr(os, "register_at_fork"):
        return

    def begin_child() -> None:
        metrics.after_fork()
        _fork_lock.release()

    os.register_at_fork(
        before=_fork_lock.acquire, after_in_parent=_fork_lock.release, after_in_child=begin_child
    )
