"""The handle: how long a flush may wait where, and what was lost."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

from livekit.agents.telemetry import tracer as livekit_tracer
from opentelemetry.sdk.trace import TracerProvider

from tests.fakes import RecordingServer, Reply, call, until
from tracing import Tracing, setup_tracer
from tracing.deliver.status import read_status


def otlp_to(server: RecordingServer, **options: Any) -> Tracing:
    """Set up for the server as a collector."""
    return setup_tracer("otlp", endpoint=server.url, **options)


def test_flush_on_an_event_loop_does_not_block_it(in_thread: None) -> None:
    """A hung backend: False within a fifth of a second, by the handle and by the provider."""
    with RecordingServer() as server:
        server.reply = Reply(hang=True)
        handle = otlp_to(server, timeout=3)
        call()
        until(lambda: server.requests)

        async def flush() -> list[bool]:
            assert isinstance(handle.provider, TracerProvider)
            return [handle.flush(30), handle.provider.force_flush(30_000)]

        began = time.monotonic()
        assert asyncio.run(flush()) == [False, False]
        assert time.monotonic() - began < 2  # twice a tenth of a second, on a busy machine


def test_flush_off_the_loop_gives_up_where_there_is_no_hope(in_thread: None) -> None:
    """A backend that is down does not take the whole time-out."""
    handle = setup_tracer("otlp", endpoint="http://127.0.0.1:1")
    call()
    assert handle.directory is not None
    until(lambda: "retrying" in [b["state"] for b in _backends(handle)])
    began = time.monotonic()
    assert handle.flush(60) is False
    assert time.monotonic() - began < 20


def _backends(handle: Tracing) -> list[dict[str, Any]]:
    assert handle.directory is not None
    found: list[dict[str, Any]] = read_status(handle.directory).get("backends", [])
    return found


def test_flush_in_a_thread_beside_the_loop_waits(server: RecordingServer, in_thread: None) -> None:
    """`await asyncio.to_thread(handle.flush)` is what a shutdown callback may do."""
    handle = otlp_to(server)
    call()

    async def flush() -> bool:
        return await asyncio.to_thread(handle.flush, 20)

    assert asyncio.run(flush()) is True
    assert len(server.accepted) == 4


def test_what_was_lost_is_on_the_handle(server: RecordingServer, in_thread: None) -> None:
    """By reason, from this process and from the drainer."""
    server.reply = lambda spans: (
        Reply(400, b"no") if any(span.name == "step 1" for span in spans) else Reply()
    )
    handle = otlp_to(server)
    call()
    assert handle.flush(20)
    big = livekit_tracer.start_span("llm_request", attributes={"big": "x" * 3_000_000})
    big.end()
    until(lambda: len(handle.dropped) == 2)
    assert handle.dropped == {
        "the backend rejected the span": 1,
        "an attribute was truncated": 1,
    }
    assert repr(handle) == f"Tracing({handle.directory})"


def test_flush_waits_for_a_spool_that_was_moved_away(
    server: RecordingServer, in_thread: None, tmp_path: Path
) -> None:
    """It is true when what went along is back and delivered, not before."""
    handle = otlp_to(server)
    assert handle.directory is not None
    handle.directory.rename(tmp_path / "away")
    call()
    assert handle.flush(30) is True
    arrived = {span.name for span in server.accepted}  # one that was on its way may come twice
    assert arrived == {"job_entrypoint", "step 0", "step 1", "step 2"}
    assert dict(handle.dropped) == {}


def test_flush_is_false_where_what_was_recorded_is_gone(
    server: RecordingServer, in_thread: None
) -> None:
    """Once: what is recorded later is safe again."""
    handle = otlp_to(server)
    server.reply = Reply(503)
    until(lambda: _is_lost(handle))
    server.reply = Reply()
    call()
    assert handle.flush(30) is True


def _is_lost(handle: Tracing) -> bool:
    """Record, and delete that before anybody has seen it, which a drainer's note can prevent."""
    assert handle.directory is not None
    call()
    shutil.rmtree(handle.directory, ignore_errors=True)
    is_flushed = handle.flush(30)
    return not is_flushed and "the spool directory was deleted" in handle.dropped
