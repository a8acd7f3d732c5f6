"""The keeper: a drainer is at work as long as something waits, and what it says is logged."""

from __future__ import annotations

import logging
import os
import signal
import stat
from pathlib import Path

import pytest

from tests.deliver.keepers import BRISK, MakeKeeper, drainer_pid, keeper_threads
from tests.fakes import (
    RecordingServer,
    append,
    make_span,
    otlp_backend,
    running_drainer,
    until,
    write_segment,
)
from tracing.deliver.starter import LOG_NAME, open_log
from tracing.deliver.status import post_notice
from tracing.spool.losses import Ledger
from tracing.spool.segments import SegmentWriter, segment_paths


def test_drainer_process_is_started_and_delivers(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """Spans leave from another process, whose log is private."""
    with RecordingServer() as server:
        make_keeper(otlp_backend(server.url))
        append(writer, make_span(1))
        until(lambda: server.accepted == [make_span(1)])
        assert drainer_pid(spool) not in (0, os.getpid())
        assert stat.S_IMODE((spool / LOG_NAME).stat().st_mode) == 0o600
        assert (spool / LOG_NAME).read_bytes() == b""


def test_drainer_is_started_once(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """Neither the same keeper nor another process's starts a second one."""
    backend = otlp_backend("http://127.0.0.1:1")
    first = make_keeper(backend, pace=BRISK)
    pid = until(lambda: drainer_pid(spool))
    second = make_keeper(backend, pace=BRISK)
    for _ in range(10):
        second._tend()
        first._tend()
    assert second._starter.child is None
    assert first._starter.child is not None
    assert drainer_pid(spool) == pid == first._starter.child.pid


def test_start_twice_is_start_once(spool: Path, make_keeper: MakeKeeper) -> None:
    """One thread, however often it is started."""
    keeper = make_keeper(otlp_backend("http://127.0.0.1:1"))
    keeper.start()
    keeper.start()
    assert keeper_threads() == ["tracing-keeper"]


def test_killed_drainer_is_replaced(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """A second later the next one works."""
    with RecordingServer() as server:
        make_keeper(otlp_backend(server.url))
        pid = until(lambda: drainer_pid(spool))
        os.kill(pid, signal.SIGKILL)
        until(lambda: drainer_pid(spool) not in (0, pid))
        append(writer, make_span(1))
        until(lambda: server.accepted == [make_span(1)])


def test_ended_drainer_is_reaped(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """No zombie stays behind."""
    keeper = make_keeper(otlp_backend("http://127.0.0.1:1"))
    until(lambda: drainer_pid(spool))
    child = keeper._starter.child
    assert child is not None
    child.kill()
    until(lambda: child.returncode is not None)


def test_nothing_waits_and_nothing_is_started(spool: Path, make_keeper: MakeKeeper) -> None:
    """A spool without segments needs no drainer."""
    keeper = make_keeper(otlp_backend("http://127.0.0.1:1"), start=False)
    keeper._tend()
    assert keeper._starter.child is None


def test_drainer_of_another_process_is_left_alone(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """Whoever drains, drains for all; also with other settings, as long as it delivers."""
    with RecordingServer() as server, running_drainer(spool, otlp_backend(server.url)) as other:
        until(lambda: drainer_pid(spool))
        keeper = make_keeper(otlp_backend("http://127.0.0.1:1"), start=False)
        for _ in range(3):
            keeper._tend()
        assert (keeper._starter.child, other.poll()) == (None, None)
        append(writer, make_span(1))
        until(lambda: server.accepted == [make_span(1)])
        other.terminate()
        assert other.wait(15) == 0


def test_drainer_that_is_refused_gives_way_to_mended_settings(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """An agent restarted with the right secret ends the drainer that waits with the wrong one."""
    with RecordingServer() as server:
        server.authorization = "Basic right"
        append(writer, make_span(1))
        wrong = otlp_backend(server.url, headers={"Authorization": "Basic wrong"})
        right = otlp_backend(server.url, headers={"Authorization": "Basic right"})
        with running_drainer(spool, wrong) as drainer:
            until(lambda: server.requests)
            make_keeper(right)
            assert drainer.wait(20) == 0
            until(lambda: server.accepted == [make_span(1)])


def test_process_is_started_again_after_it_had_nothing_to_do(
    spool: Path, make_keeper: MakeKeeper
) -> None:
    """The same for a drainer in a process."""
    with RecordingServer() as server:
        make_keeper(otlp_backend(server.url), pace=BRISK)
        write_segment(spool, make_span(1))
        until(lambda: server.accepted == [make_span(1)])
        until(lambda: segment_paths(spool) == [])
        write_segment(spool, make_span(2), number=2)
        until(lambda: len(server.accepted) == 2)


def test_notices_are_logged_once(
    spool: Path, make_keeper: MakeKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    """What the drainer has to say appears in the agent's log, at its level."""
    keeper = make_keeper(otlp_backend("http://127.0.0.1:1"), start=False)
    post_notice(spool, "otlp", logging.WARNING, "answered 401")
    keeper._tend()
    keeper._tend()
    said = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert said == [(logging.WARNING, "answered 401")]


def test_losses_are_settled(spool: Path, make_keeper: MakeKeeper) -> None:
    """What the voice loop counted is written down from this thread."""
    ledger = Ledger(spool, say=lambda text: None)
    ledger.count("a reason", 3)
    make_keeper(otlp_backend("http://127.0.0.1:1"), ledger=ledger)
    until(lambda: (spool / "losses.jsonl").exists())


def test_checkpoint_is_called_several_times_a_second(spool: Path, make_keeper: MakeKeeper) -> None:
    """Open spans are looked after off the voice loop, and an error there ends nothing."""
    calls: list[int] = []

    def checkpoint() -> None:
        calls.append(1)
        raise RuntimeError("an error of ours")

    make_keeper(otlp_backend("http://127.0.0.1:1"), checkpoint=checkpoint)
    until(lambda: len(calls) >= 3, seconds=5)


def test_stopped_keeper_leaves_the_drainer_at_work(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """An agent's end is no reason not to deliver."""
    with RecordingServer() as server:
        keeper = make_keeper(otlp_backend(server.url))
        until(lambda: drainer_pid(spool))
        keeper.stop()
        assert keeper_threads() == []
        append(writer, make_span(1))
        until(lambda: server.accepted == [make_span(1)])


def test_log_is_begun_anew_when_it_has_grown(tmp_path: Path) -> None:
    """The drainer's own log is bounded, and private."""
    path = tmp_path / "drainer.log"
    with open_log(path) as log:
        log.write(b"x" * 100)
    with open_log(path) as log:
        log.write(b"y" * 2**20)
    assert path.stat().st_size == 2**20 + 100
    with open_log(path) as log:
        log.write(b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_credentials_reach_the_drainer_on_no_command_line(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """Neither arguments nor environment nor a file of the spool holds them."""
    backend = otlp_backend("http://127.0.0.1:1", headers={"Authorization": "Basic c2VjcmV0"})
    make_keeper(backend)
    pid = until(lambda: drainer_pid(spool))
    process = Path(f"/proc/{pid}")
    seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    seen += b"".join(path.read_bytes() for path in spool.rglob("*") if path.is_file())
    assert b"c2VjcmV0" not in seen
