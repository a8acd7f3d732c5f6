"""A drainer that stands still with the lease: said, ended where that is certain, replaced."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import pytest

from tests.deliver.keepers import MakeKeeper, drainer_pid
from tests.fakes import (
    RecordingServer,
    append,
    make_span,
    otlp_backend,
    running_drainer,
    running_python,
    until,
)
from tracing.deliver.identity import Process
from tracing.deliver.lease import Holder, Lease
from tracing.deliver.pace import Pace
from tracing.deliver.status import write_status
from tracing.deliver.watch import Watch
from tracing.doctor.spool import look_at_spools
from tracing.spool.locks import FileLock
from tracing.spool.segments import SegmentWriter

SOON = Pace(keeper_tick_seconds=0.05, silent_say_seconds=1.5, silent_end_seconds=2.5)
"""Silence is noticed in seconds, as long as a drainer writes its status twice a second."""


class Clock:
    """A clock that is moved on by hand."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_silence_is_measured_from_the_last_sign_of_life(tmp_path: Path) -> None:
    """A beat of the lease, a status (the last version gives no more), another holder end it."""
    clock, holder = Clock(), Holder(Process(7))
    lease = Lease.take(tmp_path, "abc")
    assert lease is not None
    watch = Watch(tmp_path, Pace(), clock)

    def after(seconds: float, holder: Holder = holder) -> float:
        clock.seconds += seconds
        return watch.silent_seconds(holder)

    assert [after(1.0) for _ in range(4)] == [0.0, 1.0, 2.0, 3.0]
    lease.beat()
    assert [after(1.0), after(1.0)] == [0.0, 1.0]
    write_status(tmp_path, [])
    assert [after(1.0), after(1.0)] == [0.0, 1.0]
    assert after(1.0, Holder(Process(8))) == 0.0
    lease.__exit__()


def test_time_in_which_nobody_looked_is_no_silence(tmp_path: Path) -> None:
    """A container that was stopped goes on: its drainer gets the time to show that it lives."""
    clock, holder = Clock(), Holder(Process(7))
    watch = Watch(tmp_path, Pace(), clock)
    watch.silent_seconds(holder)
    clock.seconds += 3600
    assert watch.silent_seconds(holder) == 2.0


def test_drainer_that_was_stopped_is_said_ended_and_replaced(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    """It holds the lock and does nothing; another process than that which started it ends it."""
    with RecordingServer() as server, running_drainer(spool, otlp_backend(server.url)) as stopped:
        until(lambda: drainer_pid(spool) == stopped.pid)
        stopped.send_signal(signal.SIGSTOP)
        append(writer, make_span(1))
        make_keeper(otlp_backend(server.url), pace=SOON)
        until(lambda: server.accepted == [make_span(1)])
        assert stopped.wait(10) == -signal.SIGKILL
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert said == [
        f"the drainer of {spool} (process {stopped.pid}) has given no sign of life for 2 s: "
        "nothing is lost, spans wait on disk",
        f"the drainer that stood still (process {stopped.pid}) was ended",
    ]


def test_drainer_that_works_is_never_ended(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """A backend that is away for long is no silence."""
    make_keeper(otlp_backend("http://127.0.0.1:1"), pace=SOON)
    append(writer, make_span(1))
    pid = until(lambda: drainer_pid(spool))
    with pytest.raises(AssertionError):
        until(lambda: drainer_pid(spool) != pid, seconds=4)


AGENT = """
import sys
from pathlib import Path
from tracing.deliver.lease import Lease

lease = Lease.take(Path(sys.argv[1]), "abc", in_agent=True)
print("an agent that drains in a thread", flush=True)
sys.stdin.read()
print("ended in its own time", flush=True)
"""


def test_agent_that_stands_still_is_said_and_left_alone(
    spool: Path, make_keeper: MakeKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    """It has calls."""
    with running_python(AGENT, spool) as agent:
        assert agent.stdout is not None
        assert agent.stdin is not None
        agent.stdout.readline()
        make_keeper(otlp_backend("http://127.0.0.1:1"), pace=SOON)
        until(lambda: len(caplog.records) >= 2)
        agent.stdin.close()
        assert agent.stdout.readline() == "ended in its own time\n"
    assert [record.getMessage().partition(" cannot")[0] for record in caplog.records] == [
        f"the drainer of {spool} (process {agent.pid}) has given no sign of life for 2 s: "
        "nothing is lost, spans wait on disk",
        f"process {agent.pid}",
    ]


def test_doctor_tells_a_drainer_that_stands_still(spool: Path) -> None:
    """A lock that is held is not read as work that is done."""
    lock = FileLock.take(spool / "drainer.lock")
    assert lock is not None
    Lease(lock, Holder(Process(7), "abc"))
    [check] = look_at_spools(spool.parents[1])
    assert (check.state, check.text.endswith("drainer 7")) == ("ok", True)
    os.utime(spool / "drainer.lock", (1, 1))
    _, check = look_at_spools(spool.parents[1])
    assert check.state == "mend"
    assert "has given no sign of life for" in check.text
    lock.release()
