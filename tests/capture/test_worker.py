"""A worker that stops in good order: the drain gets its time, and what is left is said."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from livekit.agents import AgentServer, JobContext, JobExecutorType

from tests.fakes import (
    RecordingServer,
    Reply,
    append,
    draining,
    make_span,
    open_segment,
    otlp_backend,
    until,
)
from tracing.capture.worker import drain_when_worker_stops


@contextlib.asynccontextmanager
async def running_worker() -> AsyncIterator[AgentServer]:
    """A real worker without jobs, not connected to any server."""
    server = AgentServer(
        job_executor_type=JobExecutorType.THREAD,
        num_idle_processes=0,
        host="127.0.0.1",
        port=0,
    )
    server.rtc_session(_no_job)
    started = asyncio.Event()
    server.once("worker_started", started.set)
    running = asyncio.create_task(server.run(devmode=True, unregistered=True))
    await asyncio.wait_for(started.wait(), 20)
    yield server
    await server.aclose()
    await running


async def _no_job(ctx: JobContext) -> None:
    """No job ever starts."""


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """The spool's directory."""
    path = tmp_path / "spool" / "mine"
    path.mkdir(parents=True)
    return path


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """What we logged, beside LiveKit."""
    ours = [record for record in caplog.records if record.name.startswith("tracing")]
    return [(record.levelno, record.getMessage()) for record in ours]


async def test_stopping_worker_waits_until_all_is_delivered(
    spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is on disk leaves before the process ends, and nothing has to be said."""
    drain_when_worker_stops(spool, 10.0)
    writer = open_segment(spool)
    with RecordingServer() as server, draining(spool, otlp_backend(server.url)):
        async with running_worker() as worker:
            append(writer, make_span(1), make_span(2))
            await worker.aclose()
            assert server.accepted == [make_span(1), make_span(2)]
    writer.close()
    assert said(caplog) == []


async def test_stopping_worker_waits_no_longer_than_it_may_and_says_what_is_left(
    spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A backend that hangs holds no container; the loop runs on meanwhile."""
    drain_when_worker_stops(spool, 0.6)
    writer = open_segment(spool)
    append(writer, make_span(1))
    path = writer.segment_path
    assert path is not None
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.02)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with (
        RecordingServer(Reply(hang=True)) as server,
        draining(spool, otlp_backend(server.url, timeout_seconds=3.0)),
    ):
        await asyncio.to_thread(until, lambda: server.requests)
        async with running_worker() as worker:
            began, ticks = time.monotonic(), 0
            await worker.aclose()
            seconds = time.monotonic() - began
    ticking.cancel()
    assert 0.6 <= seconds < 3
    assert ticks >= 5
    kib = path.stat().st_size / 1024
    told = f"{kib:.1f} KiB of spans are not delivered yet: they wait in {spool} for the next start"
    assert set(said(caplog)) == {(logging.WARNING, told)}
    writer.close()


async def test_stopping_worker_does_not_wait_when_told_so(
    spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """TRACING_STOP_SECONDS=0: it only says what is left."""
    drain_when_worker_stops(spool, 0.0)
    writer = open_segment(spool)
    append(writer, make_span(1))
    async with running_worker() as worker:
        began = time.monotonic()
        await worker.aclose()
        assert time.monotonic() - began < 1
    assert said(caplog)
    assert "are not delivered yet" in said(caplog)[0][1]
    writer.close()


async def test_worker_that_is_closed_twice_waits_once(spool: Path) -> None:
    """LiveKit closes a worker from more than one place."""
    drain_when_worker_stops(spool, 1.0)
    writer = open_segment(spool)
    append(writer, make_span(1))
    async with running_worker() as worker:
        began = time.monotonic()
        for _ in range(3):
            await worker.aclose()
        assert time.monotonic() - began < 2
    writer.close()


async def test_worker_is_extended_once_and_drains_the_latest_spool(
    spool: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Repeated set-ups do not add up: the last one's spool and time count."""
    former = open_segment(tmp_path / "spool" / "former")
    drain_when_worker_stops(tmp_path / "spool" / "former", 6.0)
    extended = AgentServer.aclose
    drain_when_worker_stops(spool, 0.1)
    assert AgentServer.aclose is extended
    append(former, make_span(1))
    writer = open_segment(spool)
    append(writer, make_span(2))
    async with running_worker() as worker:
        began = time.monotonic()
        await worker.aclose()
        assert time.monotonic() - began < 5
    assert {str(spool) in text for _, text in said(caplog)} == {True}
    former.close()
    writer.close()


async def test_worker_without_a_spool_closes_as_ever() -> None:
    """A no-op tracer extends nothing that matters."""
    drain_when_worker_stops(None, 30.0)
    async with running_worker() as worker:
        began = time.monotonic()
        await worker.aclose()
        assert time.monotonic() - began < 5
