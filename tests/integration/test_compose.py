"""The shipped compose file, as it is, in a container engine.

No image is pulled. What runs under the tags of the file are self-built stand-ins: the real
programs, in the versions that this machine has, with the user, the environment and the entry
point of the public images. Grafana cannot be had this way and is left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes import ROOT
from tests.integration.container_engine import Engine, running_engine
from tests.integration.processes import wait_for
from tracing.otlp_json import read_spans

pytestmark = pytest.mark.integration

FILE = ROOT / "docker-compose.yml"
SERVICES: Mapping[str, Any] = yaml.safe_load(FILE.read_text())["services"]
DEFAULT = [name for name, service in SERVICES.items() if "profiles" not in service]
RECORDINGS = ROOT / "tests" / "recordings" / "1.8.9"

COLLECTOR = "http://127.0.0.1:4318"
JAEGER = "http://127.0.0.1:16686"
PROMETHEUS = "http://127.0.0.1:9090"
COLLECTOR_UID = 10001
HEALTHY_SECONDS = 60.0
ARRIVAL_SECONDS = 40.0

Tree = dict[str, str]
"""Each span's parent, by id; "" where it has none."""


class Stack:
    """What `docker-compose up` starts."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine, self._directory = engine, directory

    def compose(self, *arguments: str) -> str:
        """What docker-compose says for the shipped file."""
        return self._engine.compose(FILE, *arguments)

    def up(self, *options: str, services: Sequence[str] = DEFAULT) -> None:
        """Start services, and return when every health check says yes."""
        self.compose(*options, "up", "--detach", *services)
        checked = [name for name in services if "healthcheck" in SERVICES[name]]
        wait_for(lambda: all(map(self.is_healthy, checked)), HEALTHY_SECONDS, "all are healthy")

    def inspect(self, service: str) -> Any:
        """What the engine knows of a service's container."""
        [known] = json.loads(self._engine.docker("inspect", self._container(service)))
        return known

    def is_healthy(self, service: str) -> bool:
        """What the service's own health check says."""
        return bool(self.inspect(service)["State"]["Health"]["Status"] == "healthy")

    def started_at(self, service: str) -> str:
        """When a service's program was last started; later is greater."""
        return str(self.inspect(service)["State"]["StartedAt"])

    def crash(self, service: str) -> None:
        """Kill a service's program behind the engine's back."""
        self._engine.crash(self._container(service))

    def get_json(self, url: str) -> Any:
        """What a published port answers."""
        return self._engine.get_json(url)

    def queue(self) -> Path:
        """The directory of the collector's volume."""
        [mount] = [m for m in self.inspect("otel-collector")["Mounts"] if m["Type"] == "volume"]
        return Path(mount["Source"])

    def send(self, recording: str) -> Tree:
        """Deliver a recorded call as an agent's would be, until nothing waits in its spool."""
        path = RECORDINGS / recording
        replay = [sys.executable, "-m", "tracing", "replay", str(path), "--backend", "otlp"]
        environ = {
            "PYTHONPATH": str(ROOT),
            "OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR,
            "TRACING_DIR": str(self._directory / "tracing"),
        }
        done = subprocess.run(
            self._engine.within(*replay),
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return {span.span_id.hex(): span.parent_span_id.hex() for span in read_spans(path)}

    def shown(self, recording: str) -> Tree:
        """What Jaeger has of a recorded call."""
        spans = read_spans(RECORDINGS / recording)
        found = [
            self.get_json(f"{JAEGER}/api/traces/{t}") for t in {s.trace_id.hex() for s in spans}
        ]
        return {
            span["spanID"]: "".join(reference["spanID"] for reference in span["references"])
            for answer in found
            for trace in (answer or {}).get("data") or ()
            for span in trace["spans"]
        }

    def _container(self, service: str) -> str:
        return self.compose("ps", "--quiet", service)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An engine that has the images of the services that start without a profile."""
    with running_engine() as engine:
        for tag in {SERVICES[name]["image"] for name in DEFAULT}:
            engine.load(tag)
        yield engine


@pytest.fixture(scope="module")
def stack(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all tests; each brings up what it needs."""
    stack = Stack(engine, tmp_path_factory.mktemp("compose"))
    yield stack
    stack.compose("--profile", "metrics", "down", "--volumes", "--timeout", "1")


def test_a_call_is_seen_in_jaeger(stack: Stack) -> None:
    """Span by span; the collector is not root, and its queue is its own."""
    stack.up()
    sent = stack.send("tools.json")
    wait_for(lambda: stack.shown("tools.json") == sent, ARRIVAL_SECONDS, "the call in Jaeger")
    queue = stack.queue()
    assert {path.stat().st_uid for path in (queue, *queue.iterdir())} == {COLLECTOR_UID}


def test_only_loopback_is_listened_on(stack: Stack) -> None:
    """By every published port."""
    stack.up()
    published = [
        binding
        for name in DEFAULT
        for bindings in stack.inspect(name)["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    ]
    assert {binding["HostPort"] for binding in published} == {"4317", "4318", "16686"}
    assert {binding["HostIp"] for binding in published} == {"127.0.0.1"}


@pytest.mark.parametrize("end", [("kill", "-s", "KILL", "otel-collector"), ("down",)])
def test_what_is_queued_outlives_the_collector(stack: Stack, end: tuple[str, ...]) -> None:
    """Jaeger is down when it is sent and keeps nothing, so it can only come from the volume."""
    stack.up()
    stack.compose("stop", "jaeger")
    sent = stack.send("voice.json")
    stack.compose(*end)
    stack.up()
    wait_for(lambda: stack.shown("voice.json") == sent, ARRIVAL_SECONDS, "the call in Jaeger")


def test_a_collector_that_crashes_is_started_again_and_found_healthy(stack: Stack) -> None:
    """Its health is asked for from another container, which must find the new one."""
    stack.up()
    first = stack.started_at("otel-collector")
    stack.crash("otel-collector")
    wait_for(lambda: stack.started_at("otel-collector") > first, 20, "another start")
    second = stack.started_at("otel-collector")

    def answered() -> bool:
        checks = stack.inspect("otel-collector-health")["State"]["Health"]["Log"]
        return any(check["Start"] > second and check["ExitCode"] == 0 for check in checks)

    wait_for(answered, 20, "a health check that passes after the crash")


def test_prometheus_scrapes_the_collector(engine: Engine, stack: Stack) -> None:
    """All that the profile `metrics` names."""
    engine.load(SERVICES["prometheus"]["image"])
    stack.up("--profile", "metrics", services=[*DEFAULT, "prometheus"])

    def health() -> dict[str, str]:
        found = stack.get_json(f"{PROMETHEUS}/api/v1/targets") or {"data": {"activeTargets": []}}
        return {t["labels"]["job"]: t["health"] for t in found["data"]["activeTargets"]}

    jobs = ("agents", "agents-gauges", "otel-collector")
    wait_for(lambda: health() == dict.fromkeys(jobs, "up"), 30, "all targets are up")
