"""The keeper: a drainer is at work as long as something waits, and what it says is logged."""

from __future__ import annotations

import logging
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import (
    RecordingServer,
    Reply,
    append,
    make_span,
    open_segment,
    otlp_backend,
    running_drainer,
    running_python,
    until,
    write_segment,
)
from tracing.config.backends import Backend
from tracing.deliver.keeper import LOG_NAME, Keeper, open_log
from tracing.deliver.lease import holder
from tracing.deliver.pace import Pace
from tracing.deliver.status import post_notice, read_backends
from tracing.spool.losses import Ledger
from tracing.spool.segments import SegmentWriter, segment_paths

MakeKeeper = Callable[..., Keeper]

BRISK = Pace(keeper_tick_seconds=0.05)
"""The keeper looks more often; the drainers go at their own pace."""


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """The spool's directory."""
    path = tmp_path / "spool" / "mine"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def make_keeper(spool: Path) -> Iterator[MakeKeeper]:
    """Makes started keepers, and ends them and their drainers after the test."""
    made: list[Keeper] = []

    def make(*backends: Backend, start: bool = True, **options: Any) -> Keeper:
        ledger = options.pop("ledger", None) or Ledger(spool)
        limits: dict[str, Any] = {"spool_bytes": 2**20, "max_age_seconds": 86400.0}
        keeper = Keeper(spool, [*backends], ledger, **limits, **options)
        made.append(keeper)
        if start:
            keeper.start()
        return keeper

    yield make
    for keeper in made:
        keeper.stop()
        if keeper._child is not None:
            keeper._child.kill()
            keeper._child.wait(10)


@pytest.fixture
def writer(spool: Path) -> Iterator[SegmentWriter]:
    """A segment that this process is writing, so that a drainer has work."""
    writer = open_segment(spool)
    yield writer
    writer.close()


def drainer_pid(spool: Path) -> int:
    """Who drains; 0 while nobody does."""
    return (holder(spool) or (0, ""))[0]


def keeper_threads() -> list[str]:
    """The names of the threads that keepers have."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("tracing-")]


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
    assert second._child is None
    assert first._child is not None
    assert drainer_pid(spool) == pid == first._child.pid


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
    child = keeper._child
    assert child is not None
    child.kill()
    until(lambda: child.returncode is not None)


def test_nothing_waits_and_nothing_is_started(spool: Path, make_keeper: MakeKeeper) -> None:
    """A spool without segments needs no drainer."""
    keeper = make_keeper(otlp_backend("http://127.0.0.1:1"), start=False)
    keeper._tend()
    assert keeper._child is None


def test_drainer_of_another_process_is_left_alone(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """Whoever drains, drains for all; also with other settings, as long as it delivers."""
    with RecordingServer() as server, running_drainer(spool, otlp_backend(server.url)) as other:
        until(lambda: drainer_pid(spool))
        keeper = make_keeper(otlp_backend("http://127.0.0.1:1"), start=False)
        for _ in range(3):
            keeper._tend()
        assert (keeper._child, other.poll()) == (None, None)
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
        assert keeper._child is None
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
