"""Recorded spans through the path of the live ones: stamp, spool, translate, deliver."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tracing.account.restamp import restamp
from tracing.account.rewrites import RecordedInputs, with_status
from tracing.capture.redaction import Redaction
from tracing.config.backends import fingerprint
from tracing.config.settings import Settings, backends_of
from tracing.deliver.drainer import Drainer
from tracing.deliver.flush import flush_spool, waiting_bytes
from tracing.otlp_json import read_spans
from tracing.span import Span
from tracing.spool.files import make_private_directory
from tracing.spool.losses import Ledger, count_losses
from tracing.spool.records import end_frame
from tracing.spool.segments import SegmentWriter


class Replayed(NamedTuple):
    """What a replay did."""

    calls: int
    spans: int
    waiting_bytes: int
    """What some backend has not taken; the next replay or agent delivers it."""
    lost: dict[str, int]
    """By reason, over the spool's whole life."""
    directory: Path


def replay(
    files: Iterable[Path], settings: Settings, *, give_up_after_seconds: float = 10.0
) -> Replayed:
    """Deliver the spans of OTLP JSON files as if their calls were happening now.

    What the live processor stamps is computed from the recording first, by the same code, so
    that calls recorded without us come out the same. Returns when all is delivered, or when
    the backends took nothing for `give_up_after_seconds`.
    """
    calls = _calls(span for path in files for span in read_spans(path))
    backends = backends_of(settings)
    directory = settings.directory / "spool" / fingerprint(backends)
    make_private_directory(directory)
    ledger = Ledger(directory)
    writer = SegmentWriter(directory, resource={}, ledger=ledger, spool_bytes=settings.spool_bytes)
    writer.open()
    redaction = Redaction(ledger, capture_content=settings.capture_content, mask=None)
    for spans in calls:
        for span in _as_live(spans, redaction, rebuild_inputs=settings.speaks_langfuse):
            writer.append(end_frame(span, span.attributes))
    writer.close()
    ledger.settle()
    drainer = Drainer(
        directory,
        backends,
        spool_bytes=settings.spool_bytes,
        max_age_seconds=settings.max_age_seconds,
        give_up_after_seconds=give_up_after_seconds,
    )
    if not drainer.run():  # an agent's drainer is at work here
        flush_spool(directory, give_up_after_seconds, patient=True)
    return Replayed(
        calls=len(calls),
        spans=sum(map(len, calls)),
        waiting_bytes=waiting_bytes(directory),
        lost=count_losses(directory),
        directory=directory,
    )


def _calls(spans: Iterable[Span]) -> list[list[Span]]:
    """The spans by trace, each trace in the order in which its spans ended."""
    by_trace: dict[bytes, list[Span]] = {}
    for span in spans:
        by_trace.setdefault(span.trace_id, []).append(span)
    return [sorted(found, key=lambda span: span.end_time_unix_nano) for found in by_trace.values()]


def _as_live(spans: Sequence[Span], redaction: Redaction, *, rebuild_inputs: bool) -> list[Span]:
    """The spans of one call with all that the processor would have done to them."""
    inputs = RecordedInputs()
    stamped = restamp([redaction.apply(span) for span in spans], rebuild_inputs=rebuild_inputs)
    return [with_status(inputs.once(span)) for span in stamped]
