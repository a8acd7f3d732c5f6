"""The agents' collector and the gateways, from the files of deploy/gateway, on loopback."""

from __future__ import annotations

import re
import shutil
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.fakes import ROOT
from tests.integration import processes
from tests.integration.processes import free_port, wait_for

SHIPPED = ROOT / "deploy" / "gateway"

BATCH_SECONDS = 0.2
_QUICK = (
    "yaml:processors::tail_sampling::decision_wait_after_root_received: 3s",
    f"yaml:exporters::otlp_http/jaeger::sending_queue::batch::flush_timeout: {BATCH_SECONDS}s",
)
_QUICK_RETRIES = tuple(
    f"yaml:exporters::load_balancing/{tier}::retry_on_failure::max_interval: 1s"
    for tier in ("first", "second")
)
_FIRST_TIER_ALONE = "yaml:service::pipelines::traces::exporters: [load_balancing/first]"
_SAMPLE = re.compile(r"^(?P<name>\w+)(?P<labels>\{.*\})? (?P<value>\S+)$", re.MULTILINE)
_LOOPBACK = """\
extensions:
  health_check:
    endpoint: 127.0.0.1:{health}
  file_storage/queue:
    directory: {queue}
    compaction:
      directory: {queue}
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:{grpc}
      http:
        endpoint: 127.0.0.1:{http}
service:
  telemetry:
    metrics:
      readers: [pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {metrics}}}}}}}]
"""
"""Put over a shipped file, because several run on one machine here."""


class Collector:
    """A collector with shipped files and a queue of its own, which outlives its process."""

    def __init__(
        self, program: Path, directory: Path, *configurations: Path | str, **environ: str
    ) -> None:
        self.log = directory / "log"
        self._environ = environ
        self._queue = directory / "queue"
        self._ports = {name: free_port() for name in ("health", "grpc", "http", "metrics")}
        self._process = ExitStack()
        directory.mkdir()
        loopback = directory / "loopback.yaml"
        loopback.write_text(_LOOPBACK.format(queue=self._queue, **self._ports))
        self._command: list[str | Path] = [program]
        for configuration in (*configurations, loopback):
            self._command += ["--config", configuration]

    def __enter__(self) -> Collector:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Run it until it says that it is healthy."""
        running = processes.running(self._command, log=self.log, environ=self._environ)
        self._running = self._process.enter_context(running)
        health = f"http://127.0.0.1:{self._ports['health']}/"
        wait_for(lambda: processes.answers(health), 20, f"a healthy collector; see {self.log}")

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._process.close()

    def kill(self) -> None:
        """SIGKILL."""
        processes.kill(self._running)
        self._process.close()

    def wipe(self) -> None:
        """Take its disk away."""
        shutil.rmtree(self._queue)

    @property
    def address(self) -> str:
        """Where it takes OTLP/gRPC."""
        return f"127.0.0.1:{self._ports['grpc']}"

    @property
    def url(self) -> str:
        """Where it takes OTLP/HTTP."""
        return f"http://127.0.0.1:{self._ports['http']}"

    def post(self, request: bytes) -> None:
        """Send it spans; fails unless it takes them."""
        headers = {"Content-Type": "application/x-protobuf"}
        urllib.request.urlopen(
            urllib.request.Request(f"{self.url}/v1/traces", request, headers), timeout=10
        ).close()

    def count(self, metric: str, *labels: str) -> int:
        """The sum of one of its own counters, of the samples that have the labels."""
        url = f"http://127.0.0.1:{self._ports['metrics']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as response:
            text = response.read().decode()
        return round(
            sum(
                float(sample["value"])
                for sample in _SAMPLE.finditer(text)
                if sample["name"] in (f"otelcol_{metric}", f"otelcol_{metric}_total")
                and all(label in (sample["labels"] or "") for label in labels)
            )
        )


@dataclass(frozen=True)
class Site:
    """The agents' collector and its tiers of gateways, which run."""

    agents: Collector
    tiers: Sequence[Sequence[Collector]]

    @property
    def gateways(self) -> list[Collector]:
        """All of them."""
        return [gateway for tier in self.tiers for gateway in tier]

    def settle(self, spans: int, *exporters: str) -> None:
        """Wait until so many spans have left the agents' collector, and every call is decided."""
        wait_for(lambda: min(map(self._sent_by, exporters)) >= spans, 40, "all is sent")
        wait_for(lambda: all(map(is_decided, self.gateways)), 40, "all is decided")

    def _sent_by(self, exporter: str) -> int:
        return self.agents.count("exporter_sent_spans", f'exporter="{exporter}"')


def is_decided(gateway: Collector) -> bool:
    """Whether a gateway has come to a decision on every call that it knows."""
    known = gateway.count("processor_tail_sampling_new_trace_id_received")
    return known == count_decided(gateway)


def count_decided(gateway: Collector) -> int:
    """On how many calls a gateway has decided."""
    return gateway.count("processor_tail_sampling_global_count_traces_sampled")


def count_received(gateway: Collector) -> int:
    """How many spans a gateway has taken."""
    return gateway.count("receiver_accepted_spans")


def sampled(gateways: Sequence[Collector], policy: str = "") -> int:
    """How many calls were kept, by their own count; with a name, how many that policy wanted."""
    metric, labels = "processor_tail_sampling_global_count_traces_sampled", ['sampled="true"']
    if policy:
        metric = "processor_tail_sampling_count_traces_sampled"
        labels.append(f'policy="{policy}"')
    return sum(gateway.count(metric, *labels) for gateway in gateways)


@contextmanager
def site(
    program: Path,
    directory: Path,
    backend: str,
    *sizes: int,
) -> Iterator[Site]:
    """One or two tiers with so many gateways each, behind one collector for the agents."""
    with ExitStack() as running:
        tiers = [
            [
                running.enter_context(
                    gateway(program, directory / f"gateway-{tier}-{number}", backend)
                )
                for number in range(size)
            ]
            for tier, size in enumerate(sizes)
        ]
        addresses = [f"[{','.join(each.address for each in tier)}]" for tier in tiers]
        agents = Collector(
            program,
            directory / "agents",
            SHIPPED / "agent-collector.yaml",
            *_QUICK_RETRIES,
            *([] if len(sizes) == 2 else [_FIRST_TIER_ALONE]),
            GATEWAYS_FIRST=addresses[0],
            GATEWAYS_SECOND=addresses[-1],
        )
        yield Site(running.enter_context(agents), tiers)


@contextmanager
def kafka_site(program: Path, directory: Path, backend: str, brokers: str) -> Iterator[Site]:
    """One tier of two gateways with a shard each, behind Kafka."""
    environ = {"KAFKA_BROKERS": f"[{brokers}]"}
    shards = ("[0-7]", "[89a-f]")
    with ExitStack() as running:
        tier = [
            running.enter_context(
                gateway(
                    program,
                    directory / f"gateway-{number}",
                    backend,
                    SHIPPED / "kafka-gateway.yaml",
                    environ={**environ, "GATEWAY_SHARD": shard},
                )
            )
            for number, shard in enumerate(shards)
        ]
        agents = Collector(
            program,
            directory / "agents",
            SHIPPED / "agent-collector.yaml",
            SHIPPED / "kafka-agent.yaml",
            GATEWAYS_FIRST="[unused:4317]",
            GATEWAYS_SECOND="[unused:4317]",
            **environ,
        )
        yield Site(running.enter_context(agents), [tier])


def gateway(
    program: Path,
    directory: Path,
    backend: str,
    *overlays: Path | str,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Collector:
    """A gateway that decides soon after a call's root, and sends to a backend in the test."""
    return Collector(
        program,
        directory,
        SHIPPED / "gateway.yaml",
        *_QUICK,
        *overlays,
        JAEGER_OTLP_ENDPOINT=backend,
        **environ,
    )
