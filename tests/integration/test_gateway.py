"""The gateways' shipped files in real collectors: what is kept, and what a killed one costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes import ROOT, RecordingServer
from tests.integration.gateway_tier import (
    BATCH_SECONDS,
    SHIPPED,
    Collector,
    count_decided,
    count_received,
    gateway,
    kafka_site,
    sampled,
    site,
)
from tests.integration.kafka import require_kafka, running_kafka
from tests.integration.made_calls import (
    BARGED_IN,
    CLOSED_BY_ERROR,
    FAILED,
    PLAIN,
    SLOW,
    MadeCall,
    as_request,
    in_rounds,
    make_calls,
)
from tests.integration.processes import wait_for
from tests.integration.programs import require

pytestmark = pytest.mark.integration

CALLS = 1000
ROUNDS = 48
ROUND_SECONDS = 0.15
STOPPED_AFTER, STARTED_AFTER = ROUNDS // 2, ROUNDS * 3 // 4
"""The rounds after which a gateway is killed, and comes back."""
RECORDINGS = sorted((ROOT / "tests" / "recordings" / "1.8.9").glob("*.json"))
TELLING = (FAILED, CLOSED_BY_ERROR, BARGED_IN, SLOW)

CONFIGURATIONS = {
    "agents": ("agent-collector.yaml",),
    "agents to Kafka": ("agent-collector.yaml", "kafka-agent.yaml"),
    "gateway": ("gateway.yaml",),
    "gateway with Langfuse": ("gateway.yaml", "gateway-langfuse.yaml"),
    "gateway from Kafka": ("gateway.yaml", "kafka-gateway.yaml"),
    "gateway from Kafka with Langfuse": (
        "gateway.yaml",
        "kafka-gateway.yaml",
        "gateway-langfuse.yaml",
    ),
}
COMPOSE = "compose.yaml"
ENVIRON = {
    "GATEWAYS_FIRST": "[127.0.0.1:1, 127.0.0.1:2]",
    "GATEWAYS_SECOND": "[127.0.0.1:3]",
    "KAFKA_BROKERS": "[127.0.0.1:4]",
    "LANGFUSE_PUBLIC_KEY": "pk-lf-1",
    "LANGFUSE_SECRET_KEY": "sk-lf-1",
}


@pytest.fixture
def backend() -> Iterator[RecordingServer]:
    """What stands for Jaeger: takes every span, and counts."""
    with RecordingServer() as server:
        yield server


@pytest.mark.parametrize("names", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_configuration_is_taken_without_a_warning(names: tuple[str, ...], tmp_path: Path) -> None:
    """`otelcol validate` finds nothing, and no component's name is an old one when it starts."""
    program = require("otelcol")
    files = [SHIPPED / name for name in names]
    arguments = [argument for file in files for argument in ("--config", str(file))]
    validated = subprocess.run(
        [program, "validate", *arguments], env=ENVIRON, capture_output=True, text=True
    )
    assert (validated.returncode, validated.stdout, validated.stderr) == (0, "", "")
    with Collector(program, tmp_path / "collector", *files, **ENVIRON) as collector:
        assert "deprecated" not in collector.log.read_text()


def test_every_shipped_file_is_tried() -> None:
    """No configuration under deploy/gateway is left out of the test above."""
    tried = {name for names in CONFIGURATIONS.values() for name in names}
    assert tried == {path.name for path in SHIPPED.glob("*.yaml")} - {COMPOSE}


def test_compose_file_goes_over_the_other() -> None:
    """`docker compose` takes both files together."""
    files = ("-f", ROOT / "docker-compose.yml", "-f", SHIPPED / COMPOSE)
    command = (require("docker-compose"), *files, "config", "-q")
    checked = subprocess.run(command, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("dialect", ["plain", "langfuse"])
def test_recorded_calls_are_kept_for_what_they_tell(
    dialect: str, tmp_path: Path, backend: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of LiveKit's recorded sessions, with a share of none, those that failed or were cut in."""
    monkeypatch.setenv("SAMPLING_PERCENTAGE", "0")
    monkeypatch.setenv("TRACING_OTLP_DIALECT", dialect)
    with site(require("otelcol"), tmp_path, backend.url, 1) as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.agents.url)
        replay(RECORDINGS)
        (collector,) = running.gateways
        wait_for(lambda: count_decided(collector) == len(RECORDINGS), 30, "all are decided")
        kept = sampled([collector])
        wait_for(lambda: len(arrived(backend)) == kept, 10, f"{kept} calls at the backend")
    names = {trace_id(path): path.stem for path in RECORDINGS}
    assert sorted(names[found] for found in arrived(backend)) == [
        "earlier_hook",
        "interrupted_stream",
        "interrupted_tool_step",
        "interruption",
        "llm_error",
        "llm_fallback",
        "llm_retry",
        "stt_error",
        "tools",
        "tts_error",
        "tts_fallback",
        "withheld",
    ]


def test_call_longer_than_the_wait_is_kept_whole(
    tmp_path: Path, backend: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is decided without its root; what comes after a decision follows it, kept or not."""
    monkeypatch.setenv("SAMPLING_PERCENTAGE", "0")
    going_on, over = [call for call in make_calls(20) if call.kind == PLAIN][:2]
    late = over.spans[0]
    wait = "yaml:processors::tail_sampling::decision_wait: 5s"
    with gateway(require("otelcol"), tmp_path / "gateway", backend.url, wait) as collector:
        begun = [*going_on.spans[:-4], *over.spans[1:]]
        collector.post(as_request(begun))
        wait_for(lambda: count_decided(collector) == 2, 20, "both are decided")
        assert sampled([collector], "unfinished") == sampled([collector]) == 1
        collector.post(as_request([*going_on.spans[-4:], late]))
        wait_for(lambda: is_whole(going_on, arrived(backend)), 10, "the rest of it")
        released = "processor_tail_sampling_early_releases_from_cache_decision"
        assert collector.count(released, 'sampled="false"') == 1
    assert set(arrived(backend)) == {going_on.trace_id}


def test_killed_gateway_costs_nothing(tmp_path: Path, backend: RecordingServer) -> None:
    """One of two tiers of two, by SIGKILL and without its disk: what tells something is whole."""
    with site(require("otelcol"), tmp_path, backend.url, 2, 2) as running:
        victim = running.tiers[0][0]

        def end() -> None:
            victim.kill()
            victim.wipe()

        sent = send(make_calls(CALLS), running.agents, end, victim.start)
        running.settle(sent.spans, "load_balancing/first", "load_balancing/second")
        check_all_kept(sent.calls, running.tiers[1], backend)


def test_stopped_gateway_costs_nothing(tmp_path: Path, backend: RecordingServer) -> None:
    """SIGTERM to one of two: it forgets what is half told, and the other tier knows it whole."""
    with site(require("otelcol"), tmp_path, backend.url, 1, 1) as running:
        victim = running.tiers[0][0]
        sent = send(make_calls(CALLS), running.agents, victim.stop, victim.start)
        running.settle(sent.spans, "load_balancing/first", "load_balancing/second")
        check_all_kept(sent.calls, running.tiers[1], backend)


def test_one_tier_loses_what_a_killed_gateway_held(
    tmp_path: Path, backend: RecordingServer
) -> None:
    """Why there are two: of one tier, calls are lost that were under way or not yet decided."""
    with site(require("otelcol"), tmp_path, backend.url, 2) as running:
        victim = running.tiers[0][0]
        sent = send(make_calls(CALLS), running.agents, victim.kill, victim.start)
        running.settle(sent.spans, "load_balancing/first")
        wait_for_quiet(backend)
        found = arrived(backend)
    lost = [call for call in sent.calls if call.kind in TELLING and not is_whole(call, found)]
    assert lost
    assert {call.trace_id for call in lost} <= sent.begun_before_the_kill


def test_gateways_read_kafka_again(tmp_path: Path, backend: RecordingServer) -> None:
    """With Kafka one tier is enough: one killed and one stopped decide anew on the whole topic."""
    program, launcher = require("otelcol"), require_kafka()
    with (
        running_kafka(launcher, tmp_path / "kafka") as brokers,
        kafka_site(program, tmp_path, backend.url, brokers) as running,
    ):
        killed, stopped = running.gateways

        def end() -> None:
            killed.kill()
            stopped.stop()

        def start() -> None:
            killed.start()
            stopped.start()

        sent = send(make_calls(CALLS), running.agents, end, start)
        wait_for(lambda: min(map(count_received, running.gateways)) >= sent.spans, 40, "all read")
        running.settle(sent.spans, "kafka")
        check_all_kept(sent.calls, running.gateways, backend)


def wait_for_quiet(backend: RecordingServer) -> None:
    """When ten times as long as a batch is waited for has brought nothing."""
    before = -1
    while before < len(backend.requests):
        before = len(backend.requests)
        time.sleep(10 * BATCH_SECONDS)


@dataclass(frozen=True)
class Sent:
    """What went to the agents' collector."""

    calls: Sequence[MadeCall]
    spans: int
    begun_before_the_kill: frozenset[bytes]
    """Trace ids."""


def send(
    calls: Sequence[MadeCall],
    agents: Collector,
    end: Callable[[], None],
    start: Callable[[], None],
) -> Sent:
    """Let the calls happen, and a gateway end and start meanwhile."""
    spans, begun, ended = 0, set[bytes](), frozenset[bytes]()
    for number, ending in enumerate(in_rounds(calls, ROUNDS)):
        agents.post(as_request(ending))
        spans += len(ending)
        begun |= {span.trace_id for span in ending}
        if number == STOPPED_AFTER:
            end()
            ended = frozenset(begun)
        if number == STARTED_AFTER:
            start()
        time.sleep(ROUND_SECONDS)
    return Sent(calls, spans, ended)


def check_all_kept(
    calls: Sequence[MadeCall], gateways: Sequence[Collector], backend: RecordingServer
) -> None:
    """By the backend and by the sampler's own count, in gateways that decided on every call."""
    made = Counter(call.kind for call in calls)
    telling = made.total() - made[PLAIN]
    share = sampled(gateways) - telling
    kept = {kind: {"whole": made[kind]} for kind in TELLING}
    kept[PLAIN] = {"whole": share, "absent": made[PLAIN] - share}
    wait_for(lambda: len(arrived(backend)) >= telling + share, 20, "what was kept")
    assert outcome(calls, arrived(backend)) == kept
    assert {kind: sampled(gateways, kind) for kind in TELLING} == {
        kind: made[kind] for kind in TELLING
    }
    assert 0.02 < sampled(gateways, "share") / len(calls) < 0.08


def outcome(
    calls: Sequence[MadeCall], found: Mapping[bytes, set[bytes]]
) -> dict[str, dict[str, int]]:
    """How many calls of each kind are whole, absent, or there in part."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for call in calls:
        there = call.trace_id in found
        counts[call.kind][
            "whole" if is_whole(call, found) else "in part" if there else "absent"
        ] += 1
    return {kind: dict(counted) for kind, counted in counts.items()}


def is_whole(call: MadeCall, found: Mapping[bytes, set[bytes]]) -> bool:
    """Whether all its spans are there, and none else."""
    return found.get(call.trace_id) == call.span_ids


def arrived(backend: RecordingServer) -> dict[bytes, set[bytes]]:
    """The ids of the spans that the backend has, by their trace's id."""
    found: dict[bytes, set[bytes]] = defaultdict(set)
    for request in list(backend.requests):
        for span in request.spans:
            found[span.trace_id].add(span.span_id)
    return found


def replay(recordings: Iterable[Path]) -> None:
    """Stamp recorded sessions as live ones are, and deliver them through our own spool."""
    subprocess.run(
        [sys.executable, "-m", "tracing", "replay", *recordings, "--backend", "otlp"],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def trace_id(recording: Path) -> bytes:
    """The id of the one trace in a recording."""
    groups = json.loads(recording.read_text())["resourceSpans"]
    return bytes.fromhex(groups[0]["scopeSpans"][0]["spans"][0]["traceId"])
