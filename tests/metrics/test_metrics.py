"""Metrics: what is exported, where to and when, and what is not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.metrics._internal.instrument import _ProxyInstrument
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.dialects import langfuse_rules
from tests.fakes import ROOT, run_python, until
from tests.langfuse_server import LangfuseServer
from tests.metrics_server import MetricsServer
from tests.workers import heard, offline_job
from tracing import stamps
from tracing.account.turns.turn import Turn
from tracing.config.load import load_settings
from tracing.config.settings import ConfigError, MetricsSettings
from tracing.metrics.export import SpoolGauges
from tracing.metrics.instruments import (
    LABELS,
    LIVEKIT_METER,
    SECONDS,
    TurnInstruments,
    livekit_views,
)
from tracing.span import Span
from tracing.spool.losses import SPOOL_FULL, Ledger

LANGFUSE = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-1"}
COLLECTOR = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("environ", "arguments", "expected"),
    [
        ({}, {}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR}, {}, None),
        ({"TRACING_METRICS": "true"}, {"metrics": False}, None),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{COLLECTOR}/", "OTEL_EXPORTER_OTLP_HEADERS": "a=1"},
            {"metrics": True},
            MetricsSettings(f"{COLLECTOR}/v1/metrics", {"a": "1"}),
        ),
        (
            {
                **LANGFUSE,
                "TRACING_METRICS": "true",
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://metrics:9090/otlp",
                "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "b=2",
                "OTEL_EXPORTER_OTLP_HEADERS": "a=1",
                "OTEL_METRIC_EXPORT_INTERVAL": "15000",
            },
            {},
            MetricsSettings("http://metrics:9090/otlp", {"b": "2"}, interval_seconds=15.0),
        ),
        (
            {},
            {"metrics": True, "endpoint": f"{COLLECTOR}/v1/traces", "headers": {"c": "3"}},
            MetricsSettings(f"{COLLECTOR}/v1/metrics", {"c": "3"}),
        ),
    ],
)
def test_where_metrics_go(
    environ: Mapping[str, str], arguments: dict[str, Any], expected: MetricsSettings | None
) -> None:
    """Off unless asked for; an argument before a variable, metrics' own before the general."""
    assert load_settings(environ=environ, **arguments).metrics == expected


@pytest.mark.parametrize(
    "environ",
    [
        LANGFUSE,
        {},
        {**LANGFUSE, "OTEL_EXPORTER_OTLP_ENDPOINT": "https://cloud.langfuse.com/api/public/otel"},
    ],
)
def test_metrics_never_go_to_langfuse(environ: Mapping[str, str]) -> None:
    """It would say yes and discard them; the error says so and what to set."""
    with pytest.raises(ConfigError) as raised:
        load_settings(environ=environ, metrics=True)
    (problem,) = raised.value.problems
    assert problem == (
        "metrics are on and have nowhere to go: set OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, such as "
        "http://127.0.0.1:4318/v1/metrics, or leave metrics off; Langfuse is no place for them, "
        "it answers that all is well and discards them"
    )


def collected(reader: InMemoryMetricReader) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """Name, labels and point of all that was recorded."""
    data = reader.get_metrics_data()
    assert data is not None
    for group in data.resource_metrics:
        for scoped in group.scope_metrics:
            for metric in scoped.metrics:
                for point in metric.data.data_points:
                    yield metric.name, dict(point.attributes or {}), point


def test_every_instrument_of_livekit_has_usable_buckets_and_no_ids() -> None:
    """Walks LiveKit's module, so that an instrument of a new kind fails here."""
    from livekit.agents.telemetry import otel_metrics

    instruments = [
        value for value in vars(otel_metrics).values() if isinstance(value, _ProxyInstrument)
    ]
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], views=list(livekit_views()), shutdown_on_exit=False)
    meter = provider.get_meter(LIVEKIT_METER)
    ids = {"job_id": "AJ_1", "room_id": "RM_1", "agent_name": "x", "model_name": "gpt"}
    for instrument in instruments:
        real = instrument._create_real_instrument(meter)
        record = real.record if hasattr(real, "record") else real.add
        record(1, ids)
    found = list(collected(reader))
    assert sorted(name for name, _, _ in found) == sorted(i._name for i in instruments)
    assert {tuple(labels) for _, labels, _ in found} == {("model_name",)}
    units = {instrument._name: instrument._unit for instrument in instruments}
    in_seconds = [
        point.explicit_bounds
        for name, _, point in found
        if units[name] == "s" and hasattr(point, "explicit_bounds")
    ]
    assert in_seconds
    assert set(in_seconds) == {SECONDS}
    assert (SECONDS[0], SECONDS[-1]) == (0.05, 10.0)


def test_a_turn_as_histograms_and_counters() -> None:
    """Every number of a turn's stamped, with the turn's kind and agent as labels."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    span = Span(b"t" * 16, b"s" * 8, b"", "agent_turn", 1, 2, {"gen_ai.agent.name": "host"})
    stamped = {
        stamps.TURN_KIND: "reply",
        stamps.TURN_AGENT_STARTED: 12.0,
        stamps.TURN_LATENCY: 0.75,
        stamps.TURN_OVER_BUDGET: False,
        stamps.TURN_BARGED_IN: True,
        stamps.TURN_PART + "llm_first_token": 0.5,
        stamps.TURN_PART + "unaccounted": 0.25,
        stamps.TURN_TOOL_CALLS: 2,
        stamps.TURN_TOOL_FAILURES: 1,
        stamps.TURN_RETRIES: 3,
        stamps.TURN_FALLBACKS: 1,
        stamps.TURN_ERRORS + "llm": 4,
        stamps.TURN_LLM_INPUT: 90,
        stamps.TURN_LLM_CACHED: 30,
        stamps.TURN_LLM_OUTPUT: 9,
        stamps.TURN_USER_STOPPED: 11.25,
    }
    TurnInstruments(provider.get_meter("test")).record(Turn(span), stamped)
    turn = {"turn.kind": "reply", "gen_ai.agent.name": "host"}
    shown = [
        (name, {k: v for k, v in labels.items() if k not in turn}, getattr(point, "sum", None))
        for name, labels, point in collected(reader)
        if labels.items() >= turn.items() and hasattr(point, "explicit_bounds")
    ]
    assert shown == [
        ("turn.user_bot_latency", {}, 0.75),
        ("turn.part", {"part": "llm_first_token"}, 0.5),
        ("turn.part", {"part": "unaccounted"}, 0.25),
    ]
    TurnInstruments(provider.get_meter("test")).record(Turn(span), stamped)
    counted = {
        (name, *(v for k, v in labels.items() if k not in turn)): point.value
        for name, labels, point in collected(reader)
        if not hasattr(point, "explicit_bounds")
    }
    assert counted == {
        ("turn.count",): 2,
        ("turn.heard",): 2,
        ("turn.over_budget",): 0,
        ("turn.barge_ins",): 2,
        ("turn.tool_calls",): 4,
        ("turn.tool_failures",): 2,
        ("turn.retries",): 6,
        ("turn.fallbacks",): 2,
        ("turn.errors", "llm"): 8,
        ("turn.tokens", "input"): 180,
        ("turn.tokens", "input_cached"): 60,
        ("turn.tokens", "output"): 18,
    }


def test_one_process_observes_the_spool(tmp_path: Path) -> None:
    """What waits and what was lost; the next process takes over when the first one leaves."""
    tmp_path.joinpath("1700000000000.41-abcdef.000001.seg").write_bytes(b"x" * 100)
    ledger = Ledger(tmp_path, say=lambda text: None)
    ledger.count(SPOOL_FULL, 3)
    ledger.settle()
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    gauges = []
    for reader in readers:
        provider = MeterProvider([reader], shutdown_on_exit=False)
        gauges.append(SpoolGauges(provider.get_meter("test")))
        gauges[-1].spool = tmp_path
    labels = {"host.name": socket.gethostname(), "spool": tmp_path.name}
    expected = [
        ("tracing.spool.waiting", labels, 100),
        ("tracing.spool.losses", {**labels, "reason": SPOOL_FULL}, 3),
    ]
    first, second = readers
    assert [(n, labels, point.value) for n, labels, point in collected(first)] == expected
    assert second.get_metrics_data() is None
    gauges[0].leave()
    gauges[0].spool = None
    assert [(n, labels, point.value) for n, labels, point in collected(second)] == expected
    gauges[1].leave()


def test_a_job_exports_during_the_call_and_at_its_end(tmp_path: Path) -> None:
    """A real job process, which leaves by os._exit: nothing of it is missing."""
    with MetricsServer() as server:
        settings = {
            "TRACING_METRICS": "true",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{server.url}/v1/metrics",
            "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "x-key=secret",
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
        }
        with offline_job(tmp_path / "d", "3", **settings) as worker:
            job = heard(worker, "answered")
            until(lambda: server.total("turn.count") == 3, 2.9)  # the call goes on
            assert "tracing-metrics" in job["threads"]
            heard(worker, "stopped")
    assert {request.path for request in server.requests} == {"/v1/metrics"}
    assert {request.headers["x-key"] for request in server.requests} == {"secret"}
    (count,) = server.latest("turn.count")
    assert count.labels == {"turn.kind": "reply", "gen_ai.agent.name": "default_agent"}
    assert count.instance.endswith(f"-{job['pid']}")
    # LiveKit's histograms of turns are recorded at the job's end and not before.
    assert server.total("lk.agents.turn.llm_ttft") == 4
    assert server.total("turn.tool_calls") == 1
    assert server.total("gen_ai.execute_tool.duration") == 1
    assert {point.bounds for point in server.points if point.unit == "s"} == {SECONDS}
    labels = {label for point in server.points for label in point.labels}
    assert labels <= LABELS | {"turn.kind", "part", "stage", "host.name", "spool", "reason"}
    (trace,) = {t for point in server.points for t in point.exemplar_traces}
    assert len(trace) == 32
    assert [point.exemplar_labels for point in server.points if point.exemplar_labels] == []


@pytest.mark.parametrize("kind", ["voice", "preemptive", "typed", "realtime"])
def test_speech_to_text_is_counted_once(tmp_path: Path, kind: str) -> None:
    """Metrics, LiveKit's own account and the rows in Langfuse say the same, whatever was heard."""
    with MetricsServer() as server, LangfuseServer() as langfuse:
        keys = {f"LANGFUSE_{key.upper()}": told for key, told in langfuse.settings.items()}
        settings = {
            "PYTHONPATH": str(ROOT),
            "TRACING_DIR": str(tmp_path),
            "TRACING_METRICS": "true",
            "TRACING_BACKEND": "langfuse",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": server.url,
        }
        run = [sys.executable, "-m", "tests.metrics.heard_session", kind]
        environ = {**os.environ, **keys, **settings}
        done = subprocess.run(run, env=environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    used = json.loads(done.stdout)
    assert used["audio_duration"] == (0.5 if kind in ("typed", "realtime") else 1.0)
    [point] = server.latest("lk.agents.usage.stt_audio_duration")
    assert (point.value, point.labels["model_name"]) == (used["audio_duration"], used["model"])
    rows = langfuse_rules.show(list(langfuse.spans.values())).observations
    transcribed = [row.usage for row in rows if row.model == used["model"]]
    assert sum(row["milliseconds"] for row in transcribed) == used["audio_duration"] * 1000
    for side in ("input", "output"):
        assert sum(row.get(side, 0) for row in transcribed) == used[f"{side}_tokens"]


def test_the_last_export_is_enough(tmp_path: Path) -> None:
    """With an interval longer than the call, everything comes at the job's end."""
    with MetricsServer() as server:
        settings = {"TRACING_METRICS": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": server.url}
        with offline_job(
            tmp_path / "d", OTEL_METRIC_EXPORT_INTERVAL="600000", **settings
        ) as worker:
            job = heard(worker, "answered")
            heard(worker, "stopped")
    of_job = [r for r in server.requests if r.points[0].instance.endswith(f"-{job['pid']}")]
    assert len(of_job) == 1
    assert server.total("turn.count") == 3


def test_a_hanging_endpoint_holds_the_end_up_for_a_second(tmp_path: Path) -> None:
    """And not for the exporter's ten."""
    code = """
import multiprocessing.util, sys, time
from tracing import setup_tracer
tracing = setup_tracer("local", metrics=True, endpoint=sys.argv[1])
began = time.monotonic()
multiprocessing.util._exit_function()  # what a job's process does last of all
print(time.monotonic() - began)
"""
    with MetricsServer(hangs=True) as server:
        seconds = float(run_python(code, server.url, cwd=tmp_path))
    assert 0.9 < seconds < 5.0
    assert len(server.requests) == 1


def test_nothing_is_there_where_metrics_are_off(tmp_path: Path) -> None:
    """No module, no thread, no provider."""
    code = """
import sys, threading
from tracing import setup_tracer
from tracing.config.load import application_has_metrics
setup_tracer("local")
print("tracing.metrics.export" in sys.modules, "tracing.metrics.instruments" in sys.modules,
      application_has_metrics(), [t.name for t in threading.enumerate() if "metric" in t.name])
"""
    assert run_python(code, cwd=tmp_path).split() == ["False", "False", "False", "[]"]


def test_a_provider_of_the_applications_is_used_and_left_alone(tmp_path: Path) -> None:
    """The turns go through it, we export nothing, need no endpoint, and say so once."""
    code = """
import logging, sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(message)s")
reader = InMemoryMetricReader()
provider = MeterProvider([reader])
metrics.set_meter_provider(provider)
from tracing import setup_tracer
from tracing.account.turns.turn import Turn
from tracing.span import Span
tracing = setup_tracer("local", metrics=True)
setup_tracer("local", metrics=True)
turn = Turn(Span(b"t" * 16, b"s" * 8, b"", "agent_turn", 1, 2))
tracing._metrics.turn_ended(turn, {"turn.kind": "reply"})
tracing.shutdown()
print(metrics.get_meter_provider() is provider)
found = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0]
print(found.name, found.data.data_points[0].value)
"""
    lines = run_python(code, cwd=tmp_path).splitlines()
    said = "the application's MeterProvider takes the metrics; none are exported here"
    ours = [line for line in lines if line.startswith("tracing.metrics.")]
    assert ours == [f"tracing.metrics.export {said}"]
    assert lines[-2:] == ["True", "turn.count 1"]


def test_labels_carry_no_content_where_that_is_withheld(tmp_path: Path) -> None:
    """Those of the application's instruments too, and their exemplars; its numbers stay."""
    code = """
import sys
from opentelemetry import metrics, trace
from tracing import setup_tracer
tracing = setup_tracer(
    "local", metrics=True, endpoint=sys.argv[1],
    capture_content=sys.argv[2] == "kept", content_safe=("plan",),
)
meter = metrics.get_meter("the application's")
told = {"caller": "Anna", "plan": "basic", "http.request.method": "GET"}
with tracing.provider.get_tracer("x").start_as_current_span("a step"):
    meter.create_counter("orders").add(2, told)
    meter.create_histogram("wait").record(0.5, told)
tracing.shutdown()
"""
    labels = {}
    for mode in ("kept", "withheld"):
        with MetricsServer() as server:
            run_python(code, server.url, mode, cwd=tmp_path)
        [orders], [wait] = server.latest("orders"), server.latest("wait")
        assert (orders.value, wait.sum) == (2, 0.5)
        assert orders.labels == wait.labels
        labels[mode] = {*orders.labels, *wait.exemplar_labels}
    assert labels == {
        "kept": {"caller", "plan", "http.request.method"},
        "withheld": {"plan", "http.request.method"},
    }


def test_a_forked_child_exports_nothing(tmp_path: Path) -> None:
    """What its parent counted is not exported twice; the parent goes on."""
    code = """
import os, sys, threading, time
from tracing import setup_tracer
from tracing.account.turns.turn import Turn
from tracing.span import Span
tracing = setup_tracer("local", metrics=True, endpoint=sys.argv[1])
turn = Turn(Span(b"t" * 16, b"s" * 8, b"", "agent_turn", 1, 2))
tracing._metrics.turn_ended(turn, {"turn.kind": "reply"})
child = os.fork()
if not child:
    tracing._metrics.turn_ended(turn, {"turn.kind": "reply"})
    names = [t.name for t in threading.enumerate()]
    tracing._metrics.stop()
    os._exit("tracing-metrics" in names)
print(os.waitpid(child, 0)[1])
tracing._metrics.turn_ended(turn, {"turn.kind": "reply"})
"""
    with MetricsServer() as server:
        assert run_python(code, server.url, cwd=tmp_path) == "0\n"
    assert [point.value for point in server.latest("turn.count")] == [2]
    assert len({point.instance for point in server.points}) == 1


def test_a_refusing_endpoint_is_said_once_a_minute(tmp_path: Path) -> None:
    """Not at every attempt."""
    code = """
import logging, sys, time
logging.basicConfig(stream=sys.stdout, format="%(name)s")
from tracing import setup_tracer
from tracing.metrics.export import _metrics
tracing = setup_tracer("local", metrics=True, endpoint="http://127.0.0.1:1")
exporter = tracing._metrics._exporter
exporter._client._timeout = exporter._timeout = 0.2
for _ in range(5):
    tracing._metrics._export()
tracing.shutdown()
"""
    lines = run_python(code, cwd=tmp_path).splitlines()
    assert [line for line in lines if "otlp" in line] == [
        "opentelemetry.exporter.otlp.proto.http.metric_exporter"
    ]
