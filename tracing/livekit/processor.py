"""The span processor: stamp what the call knows, redact, append one record. Nothing else.

Runs on the voice loop, so everything here is microseconds: no lock, no thread, no socket.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace import Span as SdkSpan

from tracing.livekit import names
from tracing.livekit.call import Call
from tracing.livekit.readable import SpanConverter
from tracing.livekit.redaction import REDACTION_ENABLED, Redaction, without_content
from tracing.span import Span
from tracing.spool import ledger as losses
from tracing.spool.ledger import Ledger
from tracing.spool.records import END, START, frame_of_span

if TYPE_CHECKING:
    from tracing.spool.segments import SegmentWriter

logger = logging.getLogger(__name__)

_MAX_CALLS = 256
_MAX_OPEN_SPANS = 20_000
_MAX_RECORD_BYTES = 2**20
_SAY_EVERY_SECONDS = 60.0

LIVEKIT_SCOPE = "livekit-agents"


class TracingProcessor(SpanProcessor):
    """Writes each span of LiveKit's, and of whoever shares the provider, to the spool.

    A span that starts leaves a start record, so that it survives its process; the record of
    its end carries everything. `flush` is what `force_flush` asks, because nothing is kept
    in memory here.
    """

    def __init__(
        self,
        redaction: Redaction,
        ledger: Ledger,
        *,
        resource: Resource | None = None,
        make_call: Callable[[], Call] = Call,
        withhold: Callable[[], bool] = lambda: False,
        current_job: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.converter = SpanConverter(resource)
        self.writer: SegmentWriter | None = None
        self.flush: Callable[[float], bool] = lambda timeout_seconds: True
        self._redaction = redaction
        self._ledger = ledger
        self._make_call = make_call
        self._withhold = withhold
        self._current_job = current_job
        self._said_at = float("-inf")
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the spans of the process that this one was forked from: they end there."""
        self._calls: dict[bytes, Call] = {}
        self._open: dict[bytes, tuple[SdkSpan, bytes]] = {}
        self._roots: dict[str, Span] = {}
        self._moved: dict[bytes, Span] = {}
        self._substitutes: dict[bytes, SdkSpan] = {}

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        """Write the span's start record."""
        try:
            if span.context.trace_flags.sampled:
                self._start(span)
        except Exception as error:
            self._internal_error(error)

    def on_end(self, span: ReadableSpan) -> None:
        """Write the span, with what its call knows stamped on it."""
        try:
            if span.context is not None and span.context.trace_flags.sampled:
                self._end(span)
        except Exception as error:
            self._internal_error(error)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until the backends have what is on disk; never needed for safety."""
        return self.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Write no more; what is on disk is delivered all the same."""
        if self.writer is not None:
            self.writer.close()

    def call(self, trace_id: int) -> Call | None:
        """What is known of the call whose spans carry this trace id."""
        key = trace_id.to_bytes(16, "big")
        moved = self._moved.get(key)
        return self._calls.get(moved.trace_id if moved else key)

    def open_span(self, span_id: int) -> SdkSpan | None:
        """The open span with this id, so that events can write onto it."""
        found = self._open.get(span_id.to_bytes(8, "big"))
        return found[0] if found else None

    def open_frames(self) -> Iterable[bytes]:
        """The start records of the spans that are open now."""
        return [frame for _, frame in list(self._open.values())]

    def has_root(self, job_id: str) -> bool:
        """Whether this job's root span is known here."""
        return job_id in self._roots

    def end_with_job(self, job_id: str, root: SdkSpan) -> None:
        """Make `root` the root of a job whose own was not recorded; end it with the job.

        The job's other parentless spans are hung below it.
        """
        self._roots[job_id] = self.converter.convert(root)
        self._substitutes[self._roots[job_id].trace_id] = root

    def _start(self, span: SdkSpan) -> None:
        record = self.converter.convert(span)
        if not record.parent_span_id:
            self._find_root(record)
        record = self._in_place(record)
        call = self._call_of(record)
        # What starts a span is not yet filtered by LiveKit, so no content goes to disk here.
        bare = without_content(record.attributes)
        withheld = self._withhold() or not self._redaction.capture_content
        withheld = withheld or bool(record.attributes.get(REDACTION_ENABLED))
        call.started(record._replace(attributes=bare) if withheld else record)
        record = record._replace(attributes={**call.identity(), **bare}, events=())
        record = self._redaction.apply(record)
        frame = frame_of_span(START, record, resource=self.converter.resource)
        if len(self._open) < _MAX_OPEN_SPANS:
            self._open[record.span_id] = span, frame
        self._append(frame)

    def _end(self, span: ReadableSpan) -> None:
        record = self._in_place(self.converter.convert(span))
        record = self._redaction.apply(
            record, withhold=bool(record.attributes.get(REDACTION_ENABLED))
        )
        call = self._call_of(record)
        stamps = call.ended(record)
        record = record._replace(attributes={**call.identity(), **record.attributes, **stamps})
        self._open.pop(record.span_id, None)
        frame = frame_of_span(END, record, resource=self.converter.resource)
        if len(frame) > _MAX_RECORD_BYTES:
            frame = self._shortened(record)
        self._append(frame)
        if record.name == names.JOB_SHUTDOWN and record.trace_id in self._substitutes:
            self._substitutes.pop(record.trace_id).end()

    def _call_of(self, record: Span) -> Call:
        call = self._calls.get(record.trace_id)
        if call is None:
            while len(self._calls) >= _MAX_CALLS:
                del self._calls[next(iter(self._calls))]
            call = self._calls[record.trace_id] = self._make_call()
        return call

    def _find_root(self, record: Span) -> None:
        """Note a job's root; note where another parentless span of that job belongs."""
        if record.scope_name != LIVEKIT_SCOPE:
            return
        job_id = self._current_job()
        if job_id is None:
            return
        root = self._roots.get(job_id)
        if record.name == names.JOB_ENTRYPOINT:
            self._roots[job_id] = record
        elif root is not None and root.trace_id != record.trace_id:
            self._moved[record.trace_id] = root
        for kept in (self._roots, self._moved):
            if len(kept) > _MAX_CALLS:
                del kept[next(iter(kept))]  # type: ignore[arg-type]

    def _in_place(self, record: Span) -> Span:
        """The span in its call's trace, below its call's root."""
        root = self._moved.get(record.trace_id) if self._moved else None
        if root is None:
            return record
        parent = record.parent_span_id or root.span_id
        return record._replace(trace_id=root.trace_id, parent_span_id=parent)

    def _shortened(self, record: Span) -> bytes:
        """The frame of a span whose longest texts are cut to what a record may hold."""
        from tracing.spool.truncate import shorten

        record, attributes = shorten(record, _MAX_RECORD_BYTES)
        self._ledger.count(
            losses.TRUNCATED, len(attributes), detail=f"{', '.join(attributes)} of {record.name}"
        )
        return frame_of_span(END, record, resource=self.converter.resource)

    def _append(self, frame: bytes) -> None:
        if self.writer is not None:
            self.writer.append(frame)

    def _internal_error(self, error: Exception) -> None:
        """An error of ours costs a span, never the call."""
        self._ledger.count(losses.INTERNAL_ERROR, detail=repr(error)[:200])
        if time.monotonic() - self._said_at > _SAY_EVERY_SECONDS:
            self._said_at = time.monotonic()
            logger.exception("a span could not be recorded")
