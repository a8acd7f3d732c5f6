"""Log lines of a call through the real collector: OpenTelemetry's records, with the right ids."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import ROOT, RecordingServer
from tests.integration import gateway_tier
from tests.integration.collector import Collector
from tests.integration.jaeger import Jaeger
from tests.integration.processes import wait_for
from tests.integration.programs import require
from tests.integration.scripted_call import LOGGED, LOGGER
from tracing import names
from tracing.deliver.flush import waiting_bytes
from tracing.log_line import LogLine
from tracing.spool.losses import LINES_NOT_TAKEN, count_losses

pytestmark = pytest.mark.integration

ARRIVAL_SECONDS = 60.0

LOGS_TO = """\
yaml:{{exporters: {{otlp_http/logs: {{endpoint: "{url}", compression: none}}}},
service: {{pipelines: {{logs: {{exporters: [otlp_http/logs]}}}}}}}}
"""
"""In place of the shipped file's `debug`: what a Loki or any other backend gets."""


def call(directory: Path, endpoint: str) -> str:
    """One scripted call that logs; what its process says."""
    environ = {
        "PYTHONPATH": str(ROOT),
        "TRACING_DIR": str(directory / "tracing"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_SERVICE_NAME": "tried",
        "TRACING_LOGS": "info",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.scripted_call", "log"],
        env={**os.environ, **environ},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stderr


def test_records_come_out_of_the_collector_with_the_spans_that_were_open(tmp_path: Path) -> None:
    """Spans and log records side by side: each record's span is there, in the same trace."""
    with RecordingServer() as backend:
        overlay = " ".join(LOGS_TO.format(url=backend.url).split())
        environ = {"JAEGER_OTLP_ENDPOINT": backend.url}
        with Collector(tmp_path, overlay, **environ) as collector:
            call(tmp_path, collector.url)
            wait_for(lambda: len(_ours(backend)) >= len(LOGGED), ARRIVAL_SECONDS, "the records")
            wait_for(
                lambda: names.AGENT_SESSION in backend.accepted_names(), ARRIVAL_SECONDS, "the call"
            )
        spans = {(span.trace_id, span.span_id): span for span in backend.accepted}
        found = sorted(_ours(backend), key=lambda line: line.time_unix_nano)
        shown = [(spans[line[:2]].name, line.level, line.message) for line in found]
        assert shown == LOGGED
        assert [line.exception_type for line in found] == ["", "", "ConnectionError"]
        assert {line.resource["service.name"] for line in found} == {"tried"}


def _ours(backend: RecordingServer) -> list[LogLine]:
    return [line for line in backend.logs if line.logger == LOGGER]


def test_shipped_collector_takes_them_and_writes_them_into_its_log(tmp_path: Path) -> None:
    """A line each, with its words."""
    with Collector(tmp_path, JAEGER_OTLP_ENDPOINT="http://127.0.0.1:1") as collector:
        call(tmp_path, collector.url)
        for _, _, message in LOGGED:
            wait_for(lambda m=message: m in collector.log.read_text(), 30, message)  # type: ignore[misc]
        assert collector.count("receiver_accepted_log_records") >= len(LOGGED)


AS_SHIPPED: dict[str, tuple[str, ...]] = {
    "in place of the base": (),
    "over the base": ("../../otel-collector-config.yaml",),
    "to Kafka": ("kafka-agent.yaml",),
}
"""The files beside the gateways' own for the agents, in their order by name of a deployment."""


@pytest.mark.parametrize("deployment", AS_SHIPPED)
def test_agents_collector_before_gateways_writes_them_into_its_log(
    tmp_path: Path, deployment: str
) -> None:
    """However it is deployed, and though nothing answers where spans go."""
    files = sorted({"agent-collector.yaml", *AS_SHIPPED[deployment]})
    with before_gateways(tmp_path, *(gateway_tier.SHIPPED / name for name in files)) as collector:
        call(tmp_path, collector.url)
        for _, _, message in LOGGED:
            wait_for(lambda m=message: m in collector.log.read_text(), 30, message)  # type: ignore[misc]
        assert collector.count("receiver_accepted_log_records") >= len(LOGGED)
    assert count_losses(*(tmp_path / "tracing" / "spool").iterdir()) == {}


def test_agents_collector_before_gateways_sends_them_on(tmp_path: Path) -> None:
    """All of them, to where an overlay says."""
    with RecordingServer() as backend:
        overlay = " ".join(LOGS_TO.format(url=backend.url).split())
        shipped = gateway_tier.SHIPPED / "agent-collector.yaml"
        with before_gateways(tmp_path, shipped, overlay) as collector:
            call(tmp_path, collector.url)
            wait_for(lambda: len(_ours(backend)) >= len(LOGGED), ARRIVAL_SECONDS, "the records")
    found = sorted(_ours(backend), key=lambda line: line.time_unix_nano)
    assert [(line.level, line.message) for line in found] == [told[1:] for told in LOGGED]


def before_gateways(directory: Path, *files: Path | str) -> gateway_tier.Collector:
    """The agents' collector, whose gateways, or Kafka, are away."""
    away = "[127.0.0.1:1]"
    return gateway_tier.Collector(
        *(require("otelcol"), directory / "agents", *files),
        GATEWAYS_FIRST=away,
        GATEWAYS_SECOND=away,
        KAFKA_BROKERS=away,
    )


def test_jaeger_alone_has_no_place_for_them_and_that_is_said_once(tmp_path: Path) -> None:
    """Its traces are whole, and nothing waits."""
    with Jaeger(tmp_path) as jaeger:
        said = call(tmp_path, jaeger.otlp_url)
        wait_for(lambda: jaeger.spans_of("tried"), ARRIVAL_SECONDS, "the call in Jaeger")
        [spool] = (tmp_path / "tracing" / "spool").iterdir()
        wait_for(lambda: not waiting_bytes(spool), 30, "all that waited to leave")
        assert count_losses(spool) == {LINES_NOT_TAKEN: len(LOGGED)}
        assert said.count("takes no log lines") <= 1
