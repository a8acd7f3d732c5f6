"""Records real LiveKit sessions as OTLP JSON, one file per scenario.

    PYTHONPATH=. python tests/recordings/record.py tests/recordings/1.8.9 [SCENARIO ...]

Offline: an AgentSession runs with the scripted models of `fakes.py`, LiveKit's own spans land
in an exporter in memory. Needs livekit-agents (1.5 to 1.8) and no tracing of ours.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from livekit.agents import telemetry
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from scenarios import SCENARIOS

from tracing.otlp_json import dumps
from tracing.span import Attributes, Event, Link, Span


def to_span(span: ReadableSpan) -> Span:
    context, parent = span.get_span_context(), span.parent
    return Span(
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        parent_span_id=parent.span_id.to_bytes(8, "big") if parent else b"",
        name=span.name,
        start_time_unix_nano=span.start_time or 0,
        end_time_unix_nano=span.end_time or 0,
        attributes=plain(span.attributes),
        events=tuple(Event(e.name, e.timestamp, plain(e.attributes)) for e in span.events),
        links=tuple(
            Link(
                link.context.trace_id.to_bytes(16, "big"),
                link.context.span_id.to_bytes(8, "big"),
                plain(link.attributes),
            )
            for link in span.links
        ),
        status_code=span.status.status_code.value,
        status_message=span.status.description or "",
        kind=span.kind.value + 1,
        scope_name=span.instrumentation_scope.name,
        scope_version=span.instrumentation_scope.version or "",
        resource=plain(span.resource.attributes),
    )


def plain(attributes: Any) -> Attributes:
    """Attributes as they are, tuples as lists and stack traces without this machine's paths."""
    values = {}
    for key, value in (attributes or {}).items():
        if isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, str) and 'File "' in value:
            value = re.sub(r'File "[^"]*/', 'File "', value)
        values[key] = value
    return values


async def record(name: str) -> Sequence[Span]:
    """Run one scenario on a provider of its own."""
    exporter = InMemorySpanExporter()
    resource = Resource({"service.name": "restaurant", "service.version": "3.1.0"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    known = inspect.signature(telemetry.set_tracer_provider).parameters
    withheld = {"allow_pii": name != "withheld"} if "allow_pii" in known else {}
    if name == "withheld" and not withheld:
        raise NotImplementedError("this version withholds nothing")
    telemetry.set_tracer_provider(provider, **withheld)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    await SCENARIOS[name]()
    await asyncio.sleep(0.1)
    return [to_span(span) for span in exporter.get_finished_spans()]


def main(directory: str, *names: str) -> None:
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or SCENARIOS:
        try:
            spans = asyncio.run(asyncio.wait_for(record(name), 60))
        except Exception as error:
            print(f"{name}: not recorded: {type(error).__name__}: {error}")
            continue
        (folder / f"{name}.json").write_text(dumps(spans) + "\n", encoding="utf-8")
        print(f"{name}: {len(spans)} spans")


if __name__ == "__main__":
    main(*sys.argv[1:])
