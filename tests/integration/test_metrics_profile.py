"""The profile `metrics`: agents, collector, Prometheus, and what the dashboard's queries say."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from tests.fakes import ROOT, RecordingServer
from tests.integration.metrics_stack import (
    DASHBOARD,
    GRAFANA,
    PROMETHEUS,
    MetricsStack,
    dashboard,
    queries,
)
from tests.integration.processes import running, wait_for
from tests.integration.programs import require
from tests.workers import heard, offline_job
from tracing.calls.totals import LATENCY, overall
from tracing.deliver import lease
from tracing.metrics.instruments import SECONDS

pytestmark = pytest.mark.integration

CALL_SECONDS = 90.0
PROCESSES, EXPORTS, COUNTERS = 8, 40, 60
EVER = "15m"
"""Longer than a test."""


class Agents:
    """Runs calls in processes of their own, and knows what the report says of them."""

    def __init__(self, directory: Path, collector: str) -> None:
        self._directory = directory
        self._settings = {
            "PYTHONPATH": str(ROOT),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "OTEL_SERVICE_NAME": "tried",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
            "TRACING_METRICS": "true",
            "TRACING_BACKEND": "otlp,local",
            "TRACING_DIR": str(directory / "tracing"),
        }

    def call(self, *kinds: str, temporality: str = "cumulative") -> None:
        """Calls at the same time, each in a process of its own, to their end."""
        preference = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": temporality}
        log = self._directory / "calls.log"
        with ExitStack() as stack:
            started = [
                stack.enter_context(
                    running(
                        [sys.executable, "-m", "tests.integration.scripted_call", kind],
                        log=log,
                        environ={**self._settings, **preference},
                    )
                )
                for kind in kinds
            ]
            for process in started:
                assert process.wait(CALL_SECONDS) == 0, log.read_text()

    def job(self) -> None:
        """A typed call in the job process of a LiveKit worker, to its end."""
        with offline_job(Path(self._settings["TRACING_DIR"]), **self._settings) as worker:
            heard(worker, "stopped")

    def calls(self, number: int) -> Sequence[Mapping[str, Any]]:
        """What `report --json` prints, once so many calls are there to their end."""
        found: Sequence[Mapping[str, Any]] = wait_for(
            lambda: self._ended(number), 30, f"{number} calls in the local store"
        )
        return found

    def _ended(self, number: int) -> Sequence[Mapping[str, Any]]:
        command = [sys.executable, "-m", "tracing", "report", "--json"]
        environ = {**os.environ, **self._settings}
        printed = subprocess.run(command, env=environ, capture_output=True, text=True).stdout
        found = json.loads(printed)["calls"] if printed else []
        ended = [call for call in found if "close_reason" in call["summary"]]
        return ended if len(ended) == number else []

    def end_drainers(self) -> None:
        """End what delivers their spans."""
        for lock in self._directory.rglob("drainer.lock"):
            lease.end_holder(lock.parent, within_seconds=10)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[MetricsStack]:
    """A collector and a Prometheus, and a backend for the spans."""
    with RecordingServer() as backend, MetricsStack(tmp_path, backend.url).running() as stack:
        yield stack


@pytest.fixture
def agents(tmp_path: Path, stack: MetricsStack) -> Iterator[Agents]:
    """Agents that export to the collector."""
    agents = Agents(tmp_path, stack.collector)
    yield agents
    agents.end_drainers()


def test_the_dashboard_shows_what_the_report_says(stack: MetricsStack, agents: Agents) -> None:
    """To the last turn, although each process counted from zero, and nobody saw it do so."""
    agents.call("plain", "tools", "interrupted", "fallback")
    agents.job()
    show(stack, agents.calls(5))
    answers = {query: stack.ask(query.over(EVER)) for query in queries()}
    assert [query for query, samples in answers.items() if not samples] == []
    assert named(stack, "Waiting in the spools").keys() == {socket.gethostname()}
    assert min(named(stack, "Spans through the collector").values()) > 0
    assert set(named(stack, "Spans refused or failed").values()) == {0}

    began = time.time()
    agents.call("plain", "interrupted", temporality="delta")
    show(stack, agents.calls(7))
    assert one(stack, "Turns", f"{int(time.time() - began)}s") == 5

    stack.start_collector()
    agents.call("fallback", "tools")
    show(stack, agents.calls(9))
    assert set(named(stack, "Measurements not counted").values()) == {0}


def test_exports_at_the_same_moment_all_count(stack: MetricsStack) -> None:
    """Of many processes, each with its own clock; the collector's processors would drop some."""
    threads = [Thread(target=export, args=(stack, number)) for number in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = [f"made_{number}_total" for number in range(COUNTERS)]
    expected = dict.fromkeys(counted, float(PROCESSES * EXPORTS))

    def found() -> dict[str, float]:
        samples = stack.ask('sum by (__name__) ({__name__=~"made_.+"})')
        return {labels["__name__"]: value for labels, value in samples}

    wait_for(lambda: found() == expected, 10, "all that was counted")


def test_prometheus_accepts_its_configuration() -> None:
    """The shipped file, as it is."""
    done = subprocess.run(
        [require("promtool"), "check", "config", PROMETHEUS], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_grafana_is_given_fits_together() -> None:
    """Panels name a data source that is there, whose address and interval are Prometheus's."""
    grafana = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]
    [source] = provisioned("datasources")["datasources"]
    [provider] = provisioned("dashboards")["providers"]
    prometheus = yaml.safe_load(PROMETHEUS.read_text())
    assert set(sources(dashboard())) == {("prometheus", source["uid"])}
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    mounts = {volume.split(":")[1]: volume.split(":")[0] for volume in grafana["volumes"]}
    assert ROOT / mounts[provider["options"]["path"]] == DASHBOARD.parent
    assert ROOT / mounts["/etc/grafana/provisioning"] == GRAFANA / "provisioning"


def test_the_dashboards_panels_are_told_apart() -> None:
    """By id; and each says in which unit it counts."""
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
    units = {panel["fieldConfig"]["defaults"]["unit"] for panel in panels}
    assert units == {"short", "s", "percentunit", "bytes"}


def export(stack: MetricsStack, number: int) -> None:
    """What one process exports, one after the other."""
    exporter = OTLPMetricExporter(f"{stack.collector}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
    resource = Resource({"service.name": "many", "service.instance.id": str(number)})
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    meter = provider.get_meter("made")
    counters = [meter.create_counter(f"made.{counter}") for counter in range(COUNTERS)]
    for _ in range(EXPORTS):
        for counter in counters:
            counter.add(1)
        provider.force_flush()
    provider.shutdown()


def show(stack: MetricsStack, calls: Sequence[Mapping[str, Any]]) -> None:
    """Hold every number of the dashboard against the report of the calls."""
    report = overall(calls)
    turns = report["turns"]
    wait_for(lambda: one(stack, "Turns") == turns, 20, f"{turns} turns in Prometheus")
    within = report["latency"]["within_budget_share"]
    assert one(stack, "Replies within the budget") == pytest.approx(within)
    assert one(stack, "Barge-in rate") == pytest.approx(report["barge_in_rate"])
    tools = report["tools"].values()
    called, failed = (sum(tool[key] for tool in tools) for key in ("calls", "failures"))
    assert one(stack, "Failed tool calls") == pytest.approx(failed / called)
    assert named(stack, "Tool calls") == {"calls": called, "failed": failed}
    assert named(stack, "Errors by stage") == report["errors"]
    assert named(stack, "Fallbacks and retries") == {
        "fallbacks": report["fallbacks"],
        "retries": report["retries"],
    }
    assert named(stack, "Tokens per model") == tokens(report)
    show_latency(stack, [turn for call in calls for turn in call["turns"] if LATENCY in turn])


def show_latency(stack: MetricsStack, turns: Sequence[Mapping[str, Any]]) -> None:
    """Hold the percentiles against the turns, as far as buckets can tell."""
    seconds_by_part: dict[str, list[float]] = {}
    for turn in turns:
        for part, seconds in turn["parts"].items():
            seconds_by_part.setdefault(part, []).append(seconds)
    latency = named(stack, "Latency")
    for legend, share in (("p50", 0.5), ("p95", 0.95)):
        assert one(stack, f"Latency, {legend}") == latency[legend]
        assert is_near(latency[legend], [turn[LATENCY] for turn in turns], share)
        found = named(stack, f"Latency parts, {legend}")
        assert found.keys() == seconds_by_part.keys()
        for part, seconds in seconds_by_part.items():
            assert is_near(found[part], seconds, share), part


def is_near(seen: float, values: Iterable[float], share: float) -> bool:
    """Whether a percentile is in the buckets of the values next to it, or between them."""
    ordered = sorted(values)
    below = int(share * (len(ordered) - 1))
    neighbours = ordered[below : below + 2]
    low = max((bound for bound in SECONDS if bound < neighbours[0]), default=0.0)
    high = min((bound for bound in SECONDS if bound >= neighbours[-1]), default=SECONDS[-1])
    return low <= seen <= high


def one(stack: MetricsStack, title: str, window: str = EVER) -> float:
    """The one number that every query of this title returns; NaN where there is none."""
    asked = [query.over(window) for query in queries() if query.title == title]
    found = {sample.value for query in asked for sample in stack.ask(query)}
    assert len(found) <= 1
    return next(iter(found), float("nan"))


def named(stack: MetricsStack, title: str) -> dict[str, float]:
    """What the queries of a title return, under the names that the legend shows."""
    return {
        query.name(labels): value
        for query in queries()
        if query.title == title
        for labels, value in stack.ask(query.over(EVER))
    }


def tokens(report: Mapping[str, Any]) -> dict[str, float]:
    """The report's LLM tokens, under the names of the dashboard's legend."""
    kinds = {"input": "input_tokens", "cached": "input_cached_tokens", "output": "output_tokens"}
    return {
        f"{used['model']} {kind}": used[key]
        for used in report["usage"]
        for kind, key in kinds.items()
        if used["type"] == "llm_usage" and key in used
    }


def provisioned(kind: str) -> Any:
    """The one provisioning file of a kind."""
    [path] = (GRAFANA / "provisioning" / kind).iterdir()
    return yaml.safe_load(path.read_text())


def sources(node: Any) -> Iterator[tuple[str, str]]:
    """Every data source that is named below a node of the dashboard."""
    if isinstance(node, list):
        for item in node:
            yield from sources(item)
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "datasource":
                yield value["type"], value["uid"]
            else:
                yield from sources(value)
