"""One process's pipeline, joined from its parts: settings -> spool -> processor -> provider."""

from __future__ import annotations

import atexit
import functools
import inspect
import logging
import multiprocessing.util
import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livekit.agents.telemetry import set_tracer_provider
from livekit.agents.telemetry import tracer as livekit_tracer
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from tracing.account.call import Call
from tracing.capture.current import Capture, register
from tracing.capture.jobs import current_job_id, job_attributes, job_outcome
from tracing.capture.langfuse.other_exporters import OtherExporters
from tracing.capture.langfuse.progress import Progress
from tracing.capture.logged.failed_tools import know_failed_tools
from tracing.capture.logged.handler import LogLines
from tracing.capture.processor import TracingProcessor
from tracing.capture.providers.of_livekit import Joining, follow_provider
from tracing.capture.providers.of_opentelemetry import become_global
from tracing.capture.redaction import Redaction
from tracing.capture.session_name import SessionNamer
from tracing.capture.session_report import SessionReports
from tracing.capture.sound.recording import Recordings
from tracing.capture.sound.to_measure import Measurable
from tracing.capture.withholding import Withholding, is_filtered, know_sessions
from tracing.capture.worker import drain_when_worker_stops
from tracing.config.asked import Asked
from tracing.config.backends import STORE_NAME, Backend, fingerprint, labels_of
from tracing.config.settings import ConfigError, Settings, backends_of
from tracing.deliver.keeper import Keeper
from tracing.handle import Tracing
from tracing.harmless.filter import Harmless
from tracing.in_force import choice_of
from tracing.limits import CALL_DAYS, MAX_AGE_SECONDS
from tracing.safe_text import get_logger
from tracing.span import Attributes
from tracing.spool.files import UnsafePath, check_own_file, make_spool
from tracing.spool.locks import no_locks, why_no_locks
from tracing.spool.losses import Ledger
from tracing.spool.queued import QueuedWriter
from tracing.spool.segments import SegmentWriter

if TYPE_CHECKING:
    from tracing.metrics.export import Metrics

logger = get_logger("tracing.setup")  # what people know it as

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING}


def build(settings: Settings, asked: Asked) -> Tracing:
    """Join the parts that these settings name and start them; the handle of it all.

    Raises ConfigError where the spool cannot be had.
    """
    backends = backends_of(settings)
    if settings.off_because:
        return Tracing(
            trace.NoOpTracerProvider(),
            asked=asked,
            settings=settings,
            choice=choice_of(settings, backends),
        )
    directory = _make_spool(settings, backends)
    ledger = Ledger(directory)
    provider, is_ours = _provider(settings)
    _install(provider, settings)
    always = is_filtered(provider) or not settings.capture_content
    withholding = Withholding(always=always)
    know_sessions()
    know_failed_tools()
    harmless = Harmless(settings.content_safe)
    mask, session_id = asked.arguments.get("mask"), asked.arguments.get("session_id")
    redaction = Redaction(ledger, mask=mask, harmless=harmless)
    resource = redaction.attributes(provider.resource.attributes, withhold=always)
    metrics = _start_metrics(settings, directory, Resource(resource), harmless if always else None)

    def told(error: Exception) -> Exception:
        return redaction.told(error, withhold=withholding.is_demanded_here())

    make_call = functools.partial(
        Call,
        session_id=SessionNamer(session_id, told) if callable(session_id) else session_id,
        user_id=asked.arguments.get("user_id"),
        content_safe=settings.content_safe,
        watchers=[metrics] if metrics else [],
        rebuild_inputs=settings.speaks_langfuse and not settings.input_delta,
        settle_seconds=max(backend.settle_seconds for backend in backends) or None,
    )
    processor = TracingProcessor(
        redaction,
        ledger,
        resource=provider.resource,
        make_call=make_call,
        withholding=withholding,
        current_job=current_job_id,
        job_attributes=job_attributes,
        at_job_end=lambda: {**job_outcome(), **(log_lines.counts() if log_lines else {})},
        input_deltas=settings.input_delta,
    )
    log_lines = _log_lines(settings, processor, ledger)
    segments = _open_writer(settings, directory, processor, ledger, resource, labels_of(backends))
    writer = QueuedWriter(segments, ledger, always=settings.write == "thread")
    keeper = Keeper(
        directory,
        backends,
        ledger,
        checkpoint=Progress(processor).checkpoint,
        look=writer.check,
        place=settings.drainer,
        spool_bytes=settings.spool_bytes,
        max_age_seconds=settings.max_age_seconds,
    )
    tracing = Tracing(
        provider,
        directory=directory,
        processor=processor,
        writer=writer,
        ledger=ledger,
        keeper=keeper,
        metrics=metrics,
        log_lines=log_lines,
        asked=asked,
        settings=settings,
        choice=choice_of(settings, backends),
    )
    processor.append, processor.close, processor.flush = writer.append, writer.close, tracing.flush
    provider.add_span_processor(processor)
    others = OtherExporters(processor, backends)
    others.part_from(provider)
    follow_provider(Joining(processor, ledger, others.part_from))
    measurable = Measurable(directory, resource, labels_of(backends))
    register(_capture(settings, processor, measurable))
    if is_ours:
        become_global(provider)
    _follow_forks(ledger, processor, writer, keeper, *([log_lines] if log_lines else []))
    keeper.start()
    _at_exit(processor, writer, keeper)
    drain_when_worker_stops(directory, settings.stop_seconds)
    if settings.data_directory != settings.directory:
        logger.info(
            "others can write in %s: calls are kept in %s",
            settings.directory,
            settings.data_directory,
        )
    return tracing


def _log_lines(settings: Settings, processor: TracingProcessor, ledger: Ledger) -> LogLines | None:
    """What hears the log of calls, installed where the first begins; None where none is wanted."""
    if settings.logs == "off":
        return None
    lines = LogLines(
        processor,
        ledger,
        level=_LEVELS[settings.logs],
        as_events=settings.log_events,
        current_job=current_job_id,
    )
    processor.call_begins = lines.install
    return lines


def _capture(settings: Settings, processor: TracingProcessor, measurable: Measurable) -> Capture:
    """What the events of sessions write to."""
    reports = recordings = None
    if settings.has_store:
        reports = SessionReports(settings.data_directory, processor.redaction)
    if settings.wants_recordings:
        # The store deletes them with their calls; what only waits to be uploaded waits as spans do.
        days = CALL_DAYS if settings.has_store else MAX_AGE_SECONDS / 86400
        uploaded = settings.uploads_recordings
        recordings = Recordings(settings.data_directory, days * 86400, are_uploaded=uploaded)
    return Capture(processor, reports, recordings, measurable)


def _install(provider: TracerProvider, settings: Settings) -> None:
    """Give LiveKit the provider; first of all, so that its filter comes before our processor."""
    # Before 1.8 it knows no allow_pii; our own redaction withholds content everywhere.
    can_withhold = "allow_pii" in inspect.signature(set_tracer_provider).parameters
    if can_withhold and not settings.capture_content:
        set_tracer_provider(provider, allow_pii=False)
    else:
        set_tracer_provider(provider)


def _open_writer(
    settings: Settings,
    directory: Path,
    processor: TracingProcessor,
    ledger: Ledger,
    resource: Attributes,
    labels: Mapping[str, Any],
) -> SegmentWriter:
    """This process's segment, open, and room for the file that says what was lost."""
    writer = SegmentWriter(
        directory,
        resource=resource,
        labels=labels,
        ledger=ledger,
        open_frames=processor.open_frames,
        spool_bytes=settings.spool_bytes,
    )
    try:
        writer.open()
    except OSError as error:
        raise ConfigError([_unwritable(directory, error)]) from error
    ledger.reserve()
    return writer


def _make_spool(settings: Settings, backends: list[Backend]) -> Path:
    """The private directory of this set of backends; what is kept beside it is ours, too."""
    try:
        directory = make_spool(settings.directory, fingerprint(backends))
    except UnsafePath as error:
        raise ConfigError([f"TRACING_DIR: {error}; give a directory of your own"]) from error
    except (OSError, ValueError) as error:
        raise ConfigError([_unwritable(settings.directory, error)]) from error
    try:
        check_own_file(settings.data_directory / STORE_NAME)
    except UnsafePath as error:
        raise ConfigError([f"TRACING_DIR: {error}"]) from error
    why = why_no_locks(directory)
    if why:
        raise ConfigError([no_locks(settings.directory, why)])
    return directory


def _unwritable(directory: Path, error: Exception) -> str:
    return (
        f"TRACING_DIR is {str(directory)!r}: {getattr(error, 'strerror', error)}; "
        "give a directory that this user can write"
    )


def _provider(settings: Settings) -> tuple[TracerProvider, bool]:
    """The provider that LiveKit or the application already has, else one of our own."""
    for existing in (livekit_tracer._tracer_provider, trace.get_tracer_provider()):
        if isinstance(existing, TracerProvider):
            return existing, False
    # Left to the environment: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER.
    resource = Resource.create()
    if settings.environment:
        named = {"deployment.environment.name": settings.environment}
        resource = resource.merge(Resource(named))
    return TracerProvider(resource=resource, shutdown_on_exit=False), True


def _start_metrics(
    settings: Settings, directory: Path, resource: Resource, harmless: Harmless | None
) -> Metrics | None:
    """Export metrics where they are wanted; nothing is imported where they are not."""
    if settings.metrics is None:
        return None
    from tracing.metrics.export import start_metrics

    return start_metrics(settings.metrics, directory, resource, harmless)


def _follow_forks(*parts: Ledger | TracingProcessor | QueuedWriter | Keeper | LogLines) -> None:
    """In a forked child: calls, a segment and a thread of its own."""
    if not hasattr(os, "register_at_fork"):
        return
    references = [weakref.ref(part) for part in parts]

    def begin_process() -> None:
        for reference in references:
            part = reference()
            if part is not None:
                part.after_fork()

    os.register_at_fork(after_in_child=begin_process)


def _at_exit(processor: TracingProcessor, writer: QueuedWriter, keeper: Keeper) -> None:
    """Tidy up at an orderly end; a multiprocessing child runs no atexit, but its finalizers."""
    weak_processor, weak_keeper = weakref.ref(processor), weakref.ref(keeper)
    weak_writer = weakref.ref(writer)

    def tidy_up() -> None:
        live_processor, live_keeper = weak_processor(), weak_keeper()
        live_writer = weak_writer()
        if live_processor is not None:
            live_processor.roots.end_substitutes()
        if live_writer is not None:
            live_writer.settle()
        if live_keeper is not None:
            live_keeper.tidy_up()

    atexit.register(tidy_up)
    multiprocessing.util.Finalize(None, tidy_up, exitpriority=0)
