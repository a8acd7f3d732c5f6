"""OTLP from spans: our encoder beside OpenTelemetry's generated classes, on a recorded call."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tracing.otlp_json import read_spans
from tracing.span import Attributes, Span

from .harness import Line, Numbers, is_complete, measure, median, rounds, show

RECORDING = Path(__file__).parents[1] / "tests" / "recordings" / "1.8.9" / "voice.json"
CONTENDERS = ("generated classes", "by hand")
BATCHES = 100


def measure_here(contender: str, url: str, spool: str) -> Numbers:
    """Microseconds of processor time per span."""
    spans = list(read_spans(RECORDING))
    encode = _generated() if contender == CONTENDERS[0] else _by_hand()
    encode(spans)
    began = time.process_time()
    for _ in range(BATCHES):
        encode(spans)
    took = time.process_time() - began
    return {"us": took / (BATCHES * len(spans)) * 1e6}


def _by_hand() -> Callable[[Sequence[Span]], bytes]:
    from tracing.deliver.senders.otlp_protobuf import encode_request

    return encode_request


def _generated() -> Callable[[Sequence[Span]], bytes]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    def encode(spans: Sequence[Span]) -> bytes:
        request = ExportTraceServiceRequest()
        scoped = request.resource_spans.add().scope_spans.add()
        for span in spans:
            made = scoped.spans.add(
                trace_id=span.trace_id,
                span_id=span.span_id,
                parent_span_id=span.parent_span_id,
                name=span.name,
                kind=span.kind,  # type: ignore[arg-type]
                start_time_unix_nano=span.start_time_unix_nano,
                end_time_unix_nano=span.end_time_unix_nano,
            )
            _put(made.attributes, span.attributes)
            for event in span.events:
                told = made.events.add(name=event.name, time_unix_nano=event.time_unix_nano)
                _put(told.attributes, event.attributes)
            made.status.code, made.status.message = span.status_code, span.status_message  # type: ignore[assignment]
        return request.SerializeToString()

    return encode


def _put(target: Any, attributes: Attributes) -> None:
    for key, value in attributes.items():
        made = target.add(key=key).value
        if isinstance(value, bool):
            made.bool_value = value
        elif isinstance(value, int):
            made.int_value = value
        elif isinstance(value, float):
            made.double_value = value
        else:
            made.string_value = str(value)


def main(repeat: int = 3) -> bool:
    """Print the table; it has no verdict, it fails where a contender failed."""
    found = rounds(CONTENDERS, lambda name: measure("encode", name), repeat)
    lines = [Line((name,), (median(found[name], "us"),)) for name in CONTENDERS]
    return show("OTLP from spans", ("encoder", "us per span"), lines) and is_complete(found)


if __name__ == "__main__":
    sys.exit(not main())
