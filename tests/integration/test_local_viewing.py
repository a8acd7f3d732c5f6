"""`docker compose up`: an agent, the shipped collector, Jaeger; also when one of them fails.

Where copies are counted, a server of ours is in Jaeger's place: Jaeger shows copies as one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import (
    ROOT,
    RecordingServer,
    make_span,
    otlp_backend,
    running_drainer,
    write_segment,
)
from tests.faults.producer import RECORD, Work
from tests.integration.collector import Collector
from tests.integration.jaeger import Jaeger
from tests.integration.processes import running, wait_for
from tracing import names
from tracing.deliver.flush import waiting_bytes
from tracing.span import STATUS_ERROR, Span
from tracing.store.store import Store

pytestmark = pytest.mark.integration

OUTAGE_SECONDS = float(os.environ.get("TRACING_TEST_OUTAGE_SECONDS", "12"))
"""How long Jaeger is away; `TRACING_TEST_OUTAGE_SECONDS=60` for a whole minute."""
SPANS_PER_SECOND = 40
ARRIVAL_SECONDS = 60.0
"""The collector tries again after at most 30 s."""
SERVICE = "tried"

SMALL_QUEUE = "yaml:exporters::otlp_http/jaeger::sending_queue::queue_size: 1000000"
"""A bit more than the largest request of an agent, and less than the test's spans."""


@dataclass(frozen=True)
class Agent:
    """A process that makes spans, and notes each whose `end()` has returned."""

    process: subprocess.Popen[bytes]
    directory: Path

    def ended(self) -> set[bytes]:
        """The ids of the spans that must not be lost."""
        path = self.directory / "ended"
        data = path.read_bytes() if path.exists() else b""
        whole = data[: len(data) // RECORD.size * RECORD.size]
        return {span_id for span_id, _ in RECORD.iter_unpack(whole)}

    def make(self, number: int) -> None:
        """When it has made so many spans more."""
        enough = len(self.ended()) + number
        wait_for(lambda: len(self.ended()) >= enough, OUTAGE_SECONDS + 60, f"{number} more spans")

    def finish(self) -> set[bytes]:
        """Let it end; the ids of all its spans."""
        assert self.process.wait(OUTAGE_SECONDS + 60) == 0, (self.directory / "log").read_text()
        return self.ended()

    def waiting_bytes(self) -> int:
        """What its spool holds."""
        [spool] = (self.directory / "tracing" / "spool").iterdir()
        return waiting_bytes(spool)


@contextmanager
def agent(directory: Path, collector: Collector, **work: Any) -> Iterator[Agent]:
    """An agent that sends to the collector; see `Work` for what it does."""
    directory = directory / "agent"
    directory.mkdir()
    target = {"base_url": collector.url}
    doing = Work("ours", target, str(directory / "ended"), per_second=SPANS_PER_SECOND, **work)
    environ = {
        "PYTHONPATH": str(ROOT),
        "OTEL_SERVICE_NAME": SERVICE,
        "TRACING_DIR": str(directory / "tracing"),
    }
    command = [sys.executable, "-m", "tests.faults.producer", doing.to_json()]
    with running(command, log=directory / "log", environ=environ) as process:
        yield Agent(process, directory)


def arrived(spans: Sequence[Span]) -> Counter[bytes]:
    """How many times each span has come."""
    return Counter(span.span_id for span in spans)


def wait_for_more(backend: RecordingServer) -> None:
    """When the backend has just got something."""
    before = len(backend.accepted)
    wait_for(lambda: len(backend.accepted) > before, 30, "more spans in the backend")


def wait_until_all_is_in(backend: RecordingServer, made: set[bytes]) -> None:
    """When the backend has every span."""
    wait_for(
        lambda: arrived(backend.accepted).keys() >= made,
        ARRIVAL_SECONDS,
        f"{len(made)} spans in the backend",
    )


def demo(directory: Path, **environ: str) -> Path:
    """A call of the demo, with its failing tool; where its local store is."""
    entry = str(ROOT / "agent_entry.py")
    done = subprocess.run(
        [sys.executable, entry, "demo", "--turns", "3"],
        cwd=directory,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return directory / ".tracing" / "calls.db"


def test_call_in_jaeger_is_the_call_that_was_recorded(tmp_path: Path) -> None:
    """Through the collector: the same spans to the last attribute, in one tree.

    The endpoint is all that it takes; the local store is there to compare with.
    """
    pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed")
    with (
        Jaeger(tmp_path) as jaeger,
        Collector(tmp_path, JAEGER_OTLP_ENDPOINT=jaeger.otlp_url) as collector,
    ):
        path = demo(
            tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            TRACING_BACKEND="otlp,local",
        )
        with Store(path, read_only=True) as store:
            [call] = store.calls()
            recorded = by_id(store.spans(call.trace_id))
        trace_id = bytes.fromhex(call.trace_id)
        wait_for(lambda: len(jaeger.spans(trace_id)) >= len(recorded), 20, "the call in Jaeger")
        shown = by_id(jaeger.spans(trace_id))
        page = {span["spanID"]: span for span in jaeger.page(trace_id)}
    assert [span.name for span in shown.values() if not span.parent_span_id] == ["job_entrypoint"]
    assert shown.keys() == recorded.keys()
    assert [*differences(shown, recorded)] == []
    failed = {span.name for span in shown.values() if span.status_code == STATUS_ERROR}
    assert names.FUNCTION_TOOL in failed
    assert page.keys() == {span_id.hex() for span_id in recorded}
    for span in recorded.values():
        check_page(page[span.span_id.hex()], span)


def by_id(spans: Sequence[Span]) -> dict[bytes, Span]:
    """The spans by their id; none is there twice."""
    found = {span.span_id: span for span in spans}
    assert len(found) == len(spans)
    return found


def differences(
    shown: Mapping[bytes, Span], recorded: Mapping[bytes, Span]
) -> Iterator[tuple[str, str, object, object]]:
    """Where a span is not shown as it was recorded: its name, the field, and both values."""
    for span_id, span in recorded.items():
        sides = (in_order(shown[span_id]), in_order(span))
        for field, here, there in zip(Span._fields, *sides, strict=True):
            if here != there:
                yield span.name, field, here, there


def in_order(span: Span) -> Span:
    """With its events by name, which is Jaeger's order."""
    return span._replace(events=tuple(sorted(span.events, key=lambda event: event[:2])))


def check_page(shown: Mapping[str, Any], span: Span) -> None:
    """A span as Jaeger's pages get it: its name, its parent, and whether it failed."""
    parents = [span.parent_span_id.hex()] if span.parent_span_id else []
    assert shown["operationName"] == span.name
    assert [reference["spanID"] for reference in shown["references"]] == parents
    is_error = any(tag["key"] == "error" and tag["value"] is True for tag in shown["tags"])
    assert is_error == (span.status_code == STATUS_ERROR)


def test_collector_killed_twice_in_a_call(tmp_path: Path) -> None:
    """SIGKILL loses nothing, and repeats at most what was under way."""
    with (
        RecordingServer() as backend,
        Collector(tmp_path, JAEGER_OTLP_ENDPOINT=backend.url) as collector,
        agent(tmp_path, collector, seconds=8) as producer,
    ):
        for _ in range(2):
            wait_for_more(backend)
            collector.kill()
            producer.make(SPANS_PER_SECOND)
            collector.start()
        made = producer.finish()
        wait_until_all_is_in(backend, made)
        copies = arrived(backend.accepted)
    assert copies.keys() == made
    assert max(copies.values()) <= 3


def test_collector_killed_with_a_queue_on_disk(tmp_path: Path) -> None:
    """What it had taken while the backend was away comes from its disk, once."""
    with (
        RecordingServer(listening=False) as backend,
        Collector(tmp_path, JAEGER_OTLP_ENDPOINT=backend.url) as collector,
        agent(tmp_path, collector, seconds=4) as producer,
    ):
        made = producer.finish()
        wait_for(lambda: producer.waiting_bytes() == 0, 20, "the spool is empty")
        assert collector.count("receiver_accepted_spans") == len(made)
        collector.kill()
        backend.listen()
        collector.start()
        wait_until_all_is_in(backend, made)
        assert collector.count("receiver_accepted_spans") == 0
        assert arrived(backend.accepted) == dict.fromkeys(made, 1)


def test_jaeger_away_for_a_while(tmp_path: Path) -> None:
    """The collector keeps what it takes, says so, and tries until Jaeger is there.

    It was not there before, because its memory would be gone with it.
    """
    jaeger = Jaeger(tmp_path)
    with (
        Collector(tmp_path, JAEGER_OTLP_ENDPOINT=jaeger.otlp_url) as collector,
        agent(tmp_path, collector, seconds=OUTAGE_SECONDS + 2) as producer,
    ):
        producer.make(round(OUTAGE_SECONDS * SPANS_PER_SECOND))
        assert "Exporting failed. Will retry" in collector.log.read_text()
        with jaeger:
            made = producer.finish()
            found = wait_for(
                lambda: ids if (ids := {*arrived(jaeger.spans_of(SERVICE))}) >= made else None,
                ARRIVAL_SECONDS,
                f"{len(made)} spans in Jaeger",
            )
        assert collector.count("exporter_send_failed_spans") == 0
    assert found == made


def test_queue_on_disk_is_full(tmp_path: Path) -> None:
    """The collector refuses, the agent's spool keeps; all comes once the backend is there."""
    with (
        RecordingServer(listening=False) as backend,
        Collector(tmp_path, SMALL_QUEUE, JAEGER_OTLP_ENDPOINT=backend.url) as collector,
        agent(tmp_path, collector, kind="burst", count=3000) as producer,
    ):
        made = producer.finish()
        wait_for(lambda: collector.count("receiver_refused_spans") > 0, 20, "it refuses")
        assert 0 < collector.count("receiver_accepted_spans") < len(made)
        assert producer.waiting_bytes() > 0
        backend.listen()
        wait_until_all_is_in(backend, made)
        wait_for(lambda: producer.waiting_bytes() == 0, 20, "the spool is empty")
        assert arrived(backend.accepted) == dict.fromkeys(made, 1)


@pytest.mark.parametrize(
    ("number", "length"), [(600, 100_000), (5, 5_000_000)], ids=["long", "very long"]
)
def test_no_batch_is_larger_than_jaeger_takes(tmp_path: Path, number: int, length: int) -> None:
    """Long texts that have waited for Jaeger; what it refuses is not tried again."""
    jaeger = Jaeger(tmp_path)
    spans = [
        make_span(i, attributes={"text": str(i) * (length // len(str(i)))})
        for i in range(1, number + 1)
    ]
    spool = tmp_path / "spool"
    path = write_segment(spool, *spans)
    with Collector(tmp_path, JAEGER_OTLP_ENDPOINT=jaeger.otlp_url) as collector:
        with running_drainer(spool, otlp_backend(collector.url)) as drainer:
            wait_for(lambda: not path.exists(), 60, "the spool is empty")
            drainer.wait(20)
        with jaeger:
            wait_for(lambda: collector.count("exporter_queue_size") == 0, 60, "all is sent")
            copies = arrived(jaeger.spans(spans[0].trace_id))
        assert collector.count("exporter_send_failed_spans") == 0
    assert copies == {span.span_id: 1 for span in spans}
