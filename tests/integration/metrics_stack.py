"""The collector and the Prometheus of the profile `metrics`, from their shipped files, on loopback.

And the shipped dashboard, whose queries they answer.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any, NamedTuple

from tests.fakes import ROOT
from tests.integration import processes
from tests.integration.collector import Collector
from tests.integration.processes import free_port, get_json, wait_for
from tests.integration.programs import require

PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yaml"
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD = GRAFANA / "dashboards" / "calls.json"

_START_SECONDS = 30.0


class Sample(NamedTuple):
    """One value that a query returned."""

    labels: Mapping[str, str]
    value: float


class Query(NamedTuple):
    """One query of the dashboard, with the title of its panel and its name in the legend."""

    title: str
    legend: str
    text: str

    def over(self, window: str) -> str:
        """As Grafana asks it, over a time such as `10m`."""
        return re.sub(r"\$__(range|rate_interval)\b", window, self.text)

    def name(self, labels: Mapping[str, str]) -> str:
        """What the legend calls a sample with these labels."""
        return re.sub(r"{{(\w+)}}", lambda label: labels.get(label[1], ""), self.legend)


def dashboard() -> Any:
    """The shipped dashboard."""
    return json.loads(DASHBOARD.read_text())


def queries() -> list[Query]:
    """Every query of the shipped dashboard."""
    return [
        Query(panel["title"], target.get("legendFormat", ""), target["expr"])
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    ]


class MetricsStack:
    """A collector, which can be started again, and a Prometheus that scrapes it every second."""

    def __init__(self, directory: Path, backend: str) -> None:
        self._directory = directory
        self._collector = Collector(directory, JAEGER_OTLP_ENDPOINT=backend)
        self._port = free_port()

    @property
    def collector(self) -> str:
        """The collector's base URL for OTLP over HTTP."""
        return self._collector.url

    def ask(self, query: str) -> list[Sample]:
        """What Prometheus answers now; fails where that is an error or a warning."""
        arguments = urllib.parse.urlencode({"query": query})
        answer = get_json(f"http://127.0.0.1:{self._port}/api/v1/query?{arguments}")
        assert answer is not None, f"Prometheus refuses {query}"
        assert answer["status"] == "success", answer
        assert not answer.get("warnings"), answer
        return [Sample(r["metric"], float(r["value"][1])) for r in answer["data"]["result"]]

    def start_collector(self) -> None:
        """Start the collector again."""
        self._collector.stop()
        self._collector.start()

    @contextmanager
    def running(self) -> Iterator[MetricsStack]:
        """Both run."""
        with self._collector, self._run_prometheus():
            wait_for(lambda: self._targets_up() == 3, _START_SECONDS, "three targets up")
            yield self

    def _targets_up(self) -> float:
        ready = f"http://127.0.0.1:{self._port}/-/ready"
        return sum(s.value for s in self.ask("up")) if processes.answers(ready) else 0.0

    def _run_prometheus(self) -> AbstractContextManager[Popen[bytes]]:
        config = self._directory / "prometheus.yaml"
        config.write_text(self._scraping_loopback())
        return processes.running(
            [
                require("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={self._directory / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            log=self._directory / "prometheus.log",
        )

    def _scraping_loopback(self) -> str:
        """The shipped file with the ports of this collector, and more often."""
        text = PROMETHEUS.read_text()
        for shipped, name in ((8889, "counts"), (8890, "gauges"), (8888, "own")):
            target = f"otel-collector:{shipped}"
            assert text.count(target) == 1
            text = text.replace(target, f"127.0.0.1:{self._collector.port[name]}")
        return re.sub(r"(scrape_(interval|timeout)): \S+", r"\1: 1s", text)
