"""A processor on a provider of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from tracing.capture.processor import TracingProcessor
from tracing.capture.redaction import Redaction
from tracing.capture.withholding import Withholding
from tracing.deliver.reading.segment_reader import SegmentReader
from tracing.harmless.filter import Harmless
from tracing.span import Span
from tracing.spool.losses import Ledger
from tracing.spool.records import END, Record, header_frame, read_records

SECRET = "the secret text"


class Pipeline:
    """A processor on a provider of its own, whose frames are kept in memory."""

    def __init__(
        self,
        directory: Path,
        *,
        content: bool = True,
        mask: Callable[[str], str] | None = None,
        content_safe: Iterable[str] = (),
        sampler: Any = None,
        **options: Any,
    ) -> None:
        self.directory = directory
        self.frames: list[bytes] = []
        self.ledger = Ledger(directory)
        redaction = Redaction(self.ledger, mask=mask, harmless=Harmless(content_safe))
        options.setdefault("withholding", Withholding(always=not content))
        resource = Resource({"service.name": "test"})
        self.provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
        self.processor = TracingProcessor(redaction, self.ledger, resource=resource, **options)
        self.processor.append = self.frames.append
        self.provider.add_span_processor(self.processor)
        self.tracer = self.provider.get_tracer("livekit-agents", "1.8.9")

    def records(self) -> list[Record]:
        """What was written."""
        return list(read_records(b"".join(self.frames)))

    def written(self) -> list[tuple[int, str]]:
        """Kinds and names, in order."""
        return [(record.kind, record.span.name if record.span else "") for record in self.records()]

    def ended(self) -> dict[str, Span]:
        """The spans that ended, by name."""
        spans = [record.span for record in self.records() if record.kind == END]
        return {span.name: span for span in spans if span is not None}

    def left_open(self) -> list[str]:
        """The names of what a drainer would close as an error if the process died now."""
        return sorted(self.recovered())

    def recovered(self) -> dict[str, Span]:
        """What a drainer would close as an error if the process died now, by name."""
        path = self.directory / "a.seg"
        path.write_bytes(header_frame({"pid": 1}) + b"".join(self.frames))
        reader = SegmentReader(path, 0)
        reader.read(2**30)
        return {span.name: span for span in reader.recovered()}

    def start(self, name: str, parent: trace.Span | None = None, **attributes: Any) -> Any:
        """Start a span below `parent`, or a root."""
        context = trace.set_span_in_context(parent) if parent is not None else None
        return self.tracer.start_span(name, context=context, attributes=attributes)
