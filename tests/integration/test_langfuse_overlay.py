"""The overlay of deploy/langfuse: what comes through the collector is what comes directly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.dialects import langfuse_rules as langfuse
from tests.dialects.recorded import LATEST, RECORDINGS, scenarios
from tests.fakes import ROOT, RecordingServer, Reply
from tests.integration.collector import Collector
from tests.integration.processes import wait_for
from tests.langfuse_server import PUBLIC_KEY, SECRET_KEY, TRACES, LangfuseServer
from tests.workers import heard, offline_job
from tracing.commands.redelivery import replay
from tracing.config.load import load_settings

pytestmark = pytest.mark.integration

OVERLAY = ROOT / "deploy" / "langfuse" / "collector.yaml"
FILES = [RECORDINGS / LATEST / f"{scenario}.json" for scenario in scenarios()]
ARRIVAL_SECONDS = 30.0


@pytest.fixture
def direct() -> Iterator[LangfuseServer]:
    """The Langfuse that agents send to themselves."""
    with LangfuseServer() as server:
        yield server


@pytest.fixture
def forwarded() -> Iterator[LangfuseServer]:
    """The Langfuse behind the collector."""
    with LangfuseServer() as server:
        yield server


@pytest.fixture
def jaeger() -> Iterator[RecordingServer]:
    """What stands in Jaeger's place."""
    with RecordingServer() as server:
        yield server


@pytest.fixture
def collector(
    tmp_path: Path, forwarded: LangfuseServer, jaeger: RecordingServer
) -> Iterator[Collector]:
    """The collector with the overlay."""
    environ = {
        "JAEGER_OTLP_ENDPOINT": jaeger.url,
        "LANGFUSE_BASE_URL": forwarded.url,
        "LANGFUSE_PUBLIC_KEY": PUBLIC_KEY,
        "LANGFUSE_SECRET_KEY": SECRET_KEY,
    }
    with Collector(tmp_path, OVERLAY, **environ) as collector:
        yield collector


def shown(server: LangfuseServer) -> Mapping[bytes, langfuse.Trace]:
    """Every trace as a person sees it."""
    traces = {trace_id: langfuse.show(server.trace(trace_id)) for trace_id, _ in server.spans}
    return {
        trace_id: replace(trace, observations=sorted(trace.observations, key=lambda o: o.id))
        for trace_id, trace in traces.items()
    }


def test_every_recording_is_shown_as_if_it_were_sent_directly(
    tmp_path: Path, direct: LangfuseServer, forwarded: LangfuseServer, collector: Collector
) -> None:
    """Through an outage of Langfuse, and with what is said of every trace."""
    said: dict[str, Any] = {
        "trace_name": "a call",
        "tags": ["a", "b"],
        "environment": "staging",
        "version": "7",
    }
    forwarded.replies = {TRACES: [Reply(503), Reply(502)]}
    ways = (
        load_settings("langfuse", directory=tmp_path / "direct", **direct.settings, **said),
        load_settings(
            "otlp",
            directory=tmp_path / "through",
            endpoint=collector.url,
            dialect="langfuse",
            **said,
        ),
    )
    for settings in ways:
        done = replay(FILES, settings)
        assert (done.waiting_bytes, done.lost) == (0, {})
    wait_for(
        lambda: collector.count("exporter_queue_size") == 0, ARRIVAL_SECONDS, "all is forwarded"
    )
    assert forwarded.spans.keys() == direct.spans.keys()
    assert shown(forwarded) == shown(direct)
    assert len(shown(direct)) == len(FILES)
    assert {asked.status for asked in forwarded.asked} == {200, 502, 503}


def test_live_call_comes_both_ways_alike(
    tmp_path: Path,
    direct: LangfuseServer,
    forwarded: LangfuseServer,
    jaeger: RecordingServer,
    collector: Collector,
) -> None:
    """And in Jaeger, which gets the same spans."""
    environ = {
        "TRACING_BACKEND": "langfuse,otlp",
        "TRACING_OTLP_DIALECT": "langfuse",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "LANGFUSE_BASE_URL": direct.url,
        "LANGFUSE_PUBLIC_KEY": PUBLIC_KEY,
        "LANGFUSE_SECRET_KEY": SECRET_KEY,
    }
    with offline_job(tmp_path / "tracing", **environ) as worker:
        heard(worker, "stopped")
    wait_for(lambda: is_whole(direct), ARRIVAL_SECONDS, "it came directly")
    wait_for(
        lambda: is_whole(forwarded) and forwarded.spans.keys() == direct.spans.keys(),
        ARRIVAL_SECONDS,
        "it came through the collector",
    )
    assert shown(forwarded) == shown(direct)
    wait_for(
        lambda: {(span.trace_id, span.span_id) for span in jaeger.accepted} == direct.spans.keys(),
        ARRIVAL_SECONDS,
        "Jaeger has it",
    )


def is_whole(server: LangfuseServer) -> bool:
    """Whether a call has come to its end: its root is no longer the version of its start."""
    roots = [span for span in server.spans.values() if not span.parent_span_id]
    return any(span.end_time_unix_nano > span.start_time_unix_nano for span in roots)
