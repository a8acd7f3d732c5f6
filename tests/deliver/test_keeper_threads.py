"""A keeper that drains in a thread of the agent: when it does, and how it ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deliver.keepers import BRISK, MakeKeeper, drainer_pid, keeper_threads
from tests.fakes import (
    RecordingServer,
    Reply,
    append,
    make_span,
    otlp_backend,
    running_python,
    until,
    write_segment,
)
from tracing.deliver.status import read_backends
from tracing.spool.segments import SegmentWriter

AGENT = """
import sys
from pathlib import Path
from tests.fakes import open_segment, otlp_backend
from tracing.deliver.keeper import Keeper
from tracing.spool.losses import Ledger

spool = Path(sys.argv[1])
writer = open_segment(spool)
options = {"place": "thread", "spool_bytes": 2**20, "max_age_seconds": 9e9}
backend = otlp_backend(sys.argv[2], headers={"Authorization": "Basic wrong"})
keeper = Keeper(spool, [backend], Ledger(spool), **options)
keeper.start()
print("an agent with calls", flush=True)
sys.stdin.read()
print("ended in its own time", flush=True)
"""


def test_agent_that_drains_in_a_thread_is_never_killed(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """A wrong key is a reason to end a drainer's process, not an agent with its calls."""
    with RecordingServer() as server:
        server.reply = Reply(401, b"wrong key")
        append(writer, make_span(1))
        with running_python(AGENT, spool, server.url) as agent:
            assert agent.stdout is not None
            assert agent.stdin is not None
            assert agent.stdout.readline() == "an agent with calls\n"
            until(lambda: drainer_pid(spool) == agent.pid)
            until(lambda: [b["state"] for b in read_backends(spool)] == ["paused"])
            keeper = make_keeper(
                otlp_backend(server.url, headers={"Authorization": "Basic right"}), start=False
            )
            keeper._tend()
            with pytest.raises(subprocess.TimeoutExpired):
                agent.wait(1.0)
            agent.stdin.close()
            assert agent.stdout.readline() == "ended in its own time\n"


def test_drains_in_a_thread_when_told_to(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """No process is started where the settings say thread."""
    with RecordingServer() as server:
        keeper = make_keeper(otlp_backend(server.url), place="thread")
        append(writer, make_span(1))
        until(lambda: server.accepted == [make_span(1)])
        assert keeper._starter.child is None
        assert drainer_pid(spool) == os.getpid()


def test_drains_in_a_thread_where_no_process_can_be_started(
    spool: Path,
    writer: SegmentWriter,
    make_keeper: MakeKeeper,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A sandbox without fork or exec is told of, once, and spans leave all the same."""
    monkeypatch.setattr(sys, "executable", "/there/is/no/python")
    with RecordingServer() as server, caplog.at_level(logging.INFO, "tracing"):
        make_keeper(otlp_backend(server.url), pace=BRISK)
        append(writer, make_span(1))
        until(lambda: server.accepted == [make_span(1)])
    told = [r.getMessage() for r in caplog.records if "in a thread" in r.getMessage()]
    assert told == [
        "draining in a thread, because no process can be started: "
        "[Errno 2] No such file or directory: '/there/is/no/python'"
    ]


def test_drains_in_a_thread_when_the_drainer_keeps_failing(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """A Python that starts and cannot run us is given up after some attempts."""
    with RecordingServer() as server:
        make_keeper(otlp_backend(server.url), pace=BRISK, program="raise SystemExit(1)")
        append(writer, make_span(1))
        until(lambda: server.accepted == [make_span(1)])


def test_thread_drains_again_after_it_had_nothing_to_do(
    spool: Path, make_keeper: MakeKeeper
) -> None:
    """A drainer in a thread that ended, as when its directory was deleted, is started again."""
    with RecordingServer() as server:
        make_keeper(otlp_backend(server.url), place="thread", pace=BRISK)
        write_segment(spool, make_span(1))
        until(lambda: server.accepted == [make_span(1)])
        until(lambda: "tracing-drainer" not in keeper_threads())
        write_segment(spool, make_span(2), number=2)
        until(lambda: len(server.accepted) == 2, seconds=5)


def test_stopped_keeper_ends_its_drainer_in_a_thread(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """A thread cannot outlive the pipeline that was shut down."""
    with RecordingServer() as server:
        keeper = make_keeper(otlp_backend(server.url), place="thread")
        until(lambda: drainer_pid(spool))
        keeper.stop()
        until(lambda: keeper_threads() == [])
        assert drainer_pid(spool) == 0


FORK = """
import os, sys, time
from pathlib import Path
from tests.fakes import open_segment, otlp_backend
from tracing.deliver.keeper import Keeper
from tracing.spool.losses import Ledger
from tracing.deliver.lease import holder

spool = Path(sys.argv[1])
writer = open_segment(spool)
options = {"place": "thread", "spool_bytes": 2**20, "max_age_seconds": 9e9}
keeper = Keeper(spool, [otlp_backend("http://127.0.0.1:1")], Ledger(spool), **options)
os.register_at_fork(after_in_child=keeper.after_fork)
keeper.start()
while holder(spool) is None:
    time.sleep(0.01)
child = os.fork()
if child == 0:
    sys.stdin.read()
    os._exit(0)
print(child, flush=True)
os.kill(os.getpid(), 9)
"""


def test_lease_of_a_dead_process_is_not_kept_by_its_forked_child(spool: Path) -> None:
    """The child's keeper drains once the parent, who drained in a thread, is dead."""
    with running_python(FORK, spool) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.wait(10)
        try:
            until(lambda: drainer_pid(spool) == child, seconds=5)
        finally:
            os.kill(child, signal.SIGKILL)
