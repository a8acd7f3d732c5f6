"""Other exporters beside ours: which are parted from calls, and what they still get."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langfuse._client.span_processor import LangfuseSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.capture.pipeline import Pipeline
from tracing.capture.langfuse.other_exporters import OtherExporters, OutsideCalls, place_of
from tracing.config.backends import OTLP_HTTP, Backend
from tracing.config.langfuse import DIALECT
from tracing.dialects.langfuse import LangfuseDialect

BASE = "http://langfuse.example:1"
URL = f"{BASE}/api/public/otel/v1/traces"
BASIC = "Basic cGstMTpzay0x"
OURS = Backend("langfuse", OTLP_HTTP, URL, headers={"Authorization": BASIC}, dialect=DIALECT)


class InMemory(InMemorySpanExporter):
    """Keeps what it is given, and says that it would lead to a place."""

    def __init__(self, endpoint: str, authorization: str) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._headers = {"authorization": authorization}


def exporting(url: str, authorization: str) -> SpanProcessor:
    """A processor with the SDK's own exporter."""
    return SimpleSpanProcessor(OTLPSpanExporter(url, headers={"authorization": authorization}))


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    ("url", "authorization", "is_parted"),
    [
        (URL, BASIC, True),
        (URL, "Basic b3RoZXI6cHJvamVjdA==", False),
        ("http://tempo.example:4318/v1/traces", BASIC, False),
    ],
)
def test_only_what_leads_to_our_project_is_parted(
    pipeline: Pipeline, url: str, authorization: str, is_parted: bool, is_first: bool
) -> None:
    """Added before set-up or after it; another project is nobody's concern."""
    provider, other = pipeline.provider, exporting(url, authorization)
    others = OtherExporters(pipeline.processor, [OURS])
    if is_first:
        provider.add_span_processor(other)
    others.part_from(provider)
    if not is_first:
        provider.add_span_processor(other)
    installed = provider._active_span_processor._span_processors
    assert [type(one) for one in installed[1:]] == [OutsideCalls if is_parted else type(other)]
    assert installed[0] is pipeline.processor


class Marking(SimpleSpanProcessor):
    """Marks what it is told of, as Langfuse's does."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Before it is known who sends it."""
        span.set_attribute("marked", True)


@pytest.mark.parametrize("detail", ["call", "full"])
def test_it_gets_what_we_do_not_send_and_is_said_once(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture, detail: str
) -> None:
    """Neither LiveKit's spans nor others' below them; set up twice, it is one warning.

    What is in no call leaves once: by us where we send all, and marked in any case.
    """
    exporter = InMemory(URL, BASIC)
    ours = replace(OURS, dialect_options={"detail": detail})
    for _ in range(2):
        OtherExporters(pipeline.processor, [ours]).part_from(pipeline.provider)
    with caplog.at_level(logging.WARNING):
        pipeline.provider.add_span_processor(Marking(exporter))
    foreign = pipeline.provider.get_tracer("langfuse-sdk")
    foreign.start_span("warm_up").end()
    root = foreign.start_span("request")
    job = pipeline.start("job_entrypoint", root)
    session = pipeline.start("agent_session", job)
    pipeline.start("tts_node", session).end()
    session.end()
    job.end()
    root.end()
    theirs = [span.name for span in exporter.get_finished_spans()]
    dialect = LangfuseDialect(detail=detail)
    assert theirs == (["warm_up"] if detail == "call" else [])
    assert {"request", "job_entrypoint", "tts_node"} <= set(pipeline.ended())
    sent = [span.name for span in pipeline.ended().values() if dialect(span)]
    assert [*theirs, *sent].count("warm_up") == 1
    assert pipeline.ended()["warm_up"].attributes["marked"] is True
    assert len(caplog.records) == 1


def test_place_of_langfuses_own_processor_is_read(tmp_path: Path) -> None:
    """Whether its exporter is bare, or one that masks around it."""
    keys = {"public_key": "pk-1", "secret_key": "sk-1", "base_url": BASE}
    bare = LangfuseSpanProcessor(**keys)
    masking = LangfuseSpanProcessor(**keys, mask_otel_spans=lambda **given: None)
    for processor in (bare, masking):
        assert isinstance(processor, BatchSpanProcessor)
        assert place_of(processor) == (URL, BASIC)
        processor.shutdown()
    assert place_of(SimpleSpanProcessor(InMemorySpanExporter())) == ("", "")
