"""Flushing: true when every backend has what was on disk, and never longer than asked for."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import pytest

from tests.fakes import (
    RecordingServer,
    Reply,
    append,
    draining,
    make_span,
    open_segment,
    otlp_backend,
    run_python,
    until,
    write_segment,
)
from tracing.config.backends import OTLP_HTTP, Backend
from tracing.deliver.flush import flush_spool, waiting_bytes
from tracing.deliver.lease import Lease
from tracing.deliver.status import BackendStatus, State, read_status, write_status
from tracing.spool.acks import DONE, Acks


def timed(spool: Path, timeout_seconds: float, **options: bool) -> tuple[bool, float]:
    """What flushing said, and how long it took."""
    began = time.monotonic()
    return flush_spool(spool, timeout_seconds, **options), time.monotonic() - began


def test_empty_spool_is_flushed(spool: Path) -> None:
    """Nothing is left where nothing was."""
    assert flush_spool(spool, 5.0) is True
    assert waiting_bytes(spool) == 0


def test_flush_waits_until_the_backend_has_everything(spool: Path) -> None:
    """It hurries the drainer, and is true as soon as all is taken."""
    writer = open_segment(spool)
    with RecordingServer() as server, draining(spool, otlp_backend(server.url)):
        for number in range(1, 4):
            append(writer, make_span(number))
            flushed, seconds = timed(spool, 10.0)
            assert flushed
            assert seconds < 5
            assert len(server.accepted) == number
        assert waiting_bytes(spool) == 0
    writer.close()


def test_flush_is_false_after_its_time(spool: Path) -> None:
    """Nobody drains: it waits as long as it was given, and not longer."""
    path = write_segment(spool, make_span(1))
    flushed, seconds = timed(spool, 0.3)
    assert flushed is False
    assert 0.3 <= seconds < 3
    assert waiting_bytes(spool) == path.stat().st_size


def test_flush_waits_for_what_is_on_disk_now(spool: Path) -> None:
    """Spans that come later are not waited for."""
    writer = open_segment(spool)
    append(writer, make_span(1))
    path = writer.segment_path
    assert path is not None
    Acks(spool, "otlp").acknowledge({path.name: path.stat().st_size})
    flushed = flush_spool(spool, 5.0)
    append(writer, make_span(2))
    assert flushed is True
    assert waiting_bytes(spool) > 0
    writer.close()


def test_deleted_segment_is_delivered(spool: Path) -> None:
    """The drainer deletes what all backends have; so it need not be acknowledged any more."""
    path = write_segment(spool, make_span(1))
    threading.Timer(0.2, path.unlink).start()
    assert flush_spool(spool, 5.0) is True


@pytest.mark.parametrize(
    ("state", "asking_for"),
    [("retrying", 0.0), ("paused", 0.0), ("delivering", 5.0)],
    ids=["retrying", "paused", "hanging"],
)
def test_flush_gives_up_early_on_a_backend_that_takes_nothing(
    spool: Path, state: State, asking_for: float
) -> None:
    """It failed last time, or lets a request hang: waiting would not help."""
    write_segment(spool, make_span(1))
    asking_since = time.time() - asking_for if asking_for else 0.0
    write_status(spool, [BackendStatus("otlp", "http://x", state, asking_since=asking_since)])
    lease = Lease.take(spool, "")
    assert lease is not None
    with lease:
        flushed, seconds = timed(spool, 30.0)
    assert flushed is False
    assert seconds < 5


@pytest.mark.parametrize("has_successor", [True, False], ids=["the next one began", "none yet"])
def test_word_of_a_drainer_that_is_no_more_gives_nobody_up(
    spool: Path, has_successor: bool
) -> None:
    """The backend may take everything by now: only who drains now can say that it does not."""
    write_segment(spool, make_span(1))
    run_python(
        "import sys; from pathlib import Path\n"
        "from tracing.deliver.lease import Lease\n"
        "from tracing.deliver.status import BackendStatus, write_status\n"
        "lease = Lease.take(Path(sys.argv[1]), '')\n"
        "write_status(Path(sys.argv[1]), [BackendStatus('otlp', 'http://x', 'retrying')])",
        spool,
    )
    lease = Lease.take(spool, "") if has_successor else None
    with lease or contextlib.nullcontext():
        flushed, seconds = timed(spool, 0.5)
    assert flushed is False
    assert seconds >= 0.5


def test_patient_flush_does_not_give_up_early(spool: Path) -> None:
    """A worker that stops uses the time it has."""
    write_segment(spool, make_span(1))
    write_status(spool, [BackendStatus("otlp", "http://x", "retrying")])
    flushed, seconds = timed(spool, 0.5, patient=True)
    assert flushed is False
    assert seconds >= 0.5


def test_damaged_status_gives_nobody_up(spool: Path) -> None:
    """A status that cannot be read is no reason to fail."""
    write_segment(spool, make_span(1))
    for content in ("{", '{"backends": [{}]}', '{"backends": 5}'):
        (spool / "status.json").write_text(content)
        assert flush_spool(spool, 0.05) is False


def test_flush_waits_for_every_backend(spool: Path) -> None:
    """Also for one that has never taken anything yet."""
    writer = open_segment(spool)
    append(writer, make_span(1))
    with RecordingServer() as up, RecordingServer(listening=False) as down:
        away = Backend("langfuse", OTLP_HTTP, f"{down.url}/v1/traces", timeout_seconds=1.0)
        with draining(spool, otlp_backend(up.url), away):
            until(lambda: up.accepted)
            until(lambda: _states(spool) == ["delivering", "retrying"])
            path = writer.segment_path
            assert path is not None
            until(lambda: Acks(spool, "otlp").offset(path.name) >= path.stat().st_size)
            assert flush_spool(spool, 0.5) is False
            assert waiting_bytes(spool) > 0
            down.listen()
            until(lambda: _states(spool) == ["delivering", "delivering"])
            assert flush_spool(spool, 10.0) is True
            assert waiting_bytes(spool) == 0
    writer.close()


def _states(spool: Path) -> list[str]:
    return [backend["state"] for backend in read_status(spool).get("backends", [])]


def test_done_segments_do_not_wait(spool: Path) -> None:
    """What is only to be deleted is delivered."""
    path = write_segment(spool, make_span(1))
    Acks(spool, "otlp").acknowledge({path.name: DONE})
    assert waiting_bytes(spool) == 0
    assert flush_spool(spool, 5.0) is True


def test_flush_of_a_backend_that_hangs_ends_early(spool: Path) -> None:
    """A request that is not answered for a second is no reason to wait for the time-out."""
    writer = open_segment(spool)
    append(writer, make_span(1))
    with (
        RecordingServer(Reply(hang=True)) as server,
        draining(spool, otlp_backend(server.url, timeout_seconds=4.0)),
    ):
        until(lambda: server.requests)
        flushed, seconds = timed(spool, 30.0)
        assert flushed is False
        assert seconds < 10
    writer.close()
