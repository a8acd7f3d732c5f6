"""The collector with its shipped configuration, on loopback: run, stopped, killed, run again."""

from __future__ import annotations

import re
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from tests.fakes import ROOT
from tests.integration import processes
from tests.integration.processes import free_port, wait_for
from tests.integration.programs import require

SHIPPED = ROOT / "otel-collector-config.yaml"

_START_SECONDS = 30.0
_PORTS = ("health", "http", "grpc", "counts", "gauges", "own")
_LOOPBACK = """\
extensions:
  health_check: {{endpoint: 127.0.0.1:{health}}}
  file_storage/queue:
    directory: {queue}
    compaction: {{directory: {queue}}}
receivers:
  otlp:
    protocols:
      http: {{endpoint: 127.0.0.1:{http}}}
      grpc: {{endpoint: 127.0.0.1:{grpc}}}
exporters:
  prometheus/counts: {{endpoint: 127.0.0.1:{counts}}}
  prometheus/gauges: {{endpoint: 127.0.0.1:{gauges}}}
service:
  telemetry:
    metrics:
      readers: [pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {own}}}}}}}]
"""
"""Put over the shipped file, because several run on one machine here."""


class Collector:
    """The shipped file, what is put over it, and a queue that outlives the process."""

    def __init__(self, directory: Path, *overlays: Path | str, **environ: str) -> None:
        self.log = directory / "otelcol.log"
        self.port = {name: free_port() for name in _PORTS}
        self._environ = environ
        self._process = ExitStack()
        loopback = directory / "loopback.yaml"
        loopback.write_text(_LOOPBACK.format(queue=directory / "queue", **self.port))
        self._command: list[Path | str] = [require("otelcol")]
        for configuration in (SHIPPED, *overlays, loopback):
            self._command += ["--config", configuration]

    def __enter__(self) -> Collector:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it takes OTLP over HTTP."""
        return f"http://127.0.0.1:{self.port['http']}"

    def start(self) -> None:
        """Run it until it says that it is healthy."""
        running = processes.running(self._command, log=self.log, environ=self._environ)
        self._running = self._process.enter_context(running)
        url = f"http://127.0.0.1:{self.port['health']}/"
        wait_for(lambda: processes.answers(url), _START_SECONDS, f"the collector; see {self.log}")

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._process.close()

    def kill(self) -> None:
        """SIGKILL."""
        processes.kill(self._running)
        self._process.close()

    def count(self, metric: str) -> float:
        """The sum of one of its own numbers; 0 where it does not tell it (yet)."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port['own']}/metrics") as response:
            text = response.read().decode()
        samples = re.findall(rf"^otelcol_{metric}(?:_total)?(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, samples))
