"""Starting drainers: one at a time among all agents, ever more rarely, else in a thread."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.deliver.keepers import BRISK, MakeKeeper, drainer_pid
from tests.fakes import RecordingServer, append, make_span, otlp_backend, until
from tracing.deliver.lease import Lease
from tracing.deliver.pace import Pace
from tracing.spool.locks import FileLock
from tracing.spool.segments import SegmentWriter

NEVER_HOLDS = "import sys; open(sys.argv[2] + '/begun', 'a').write('.')"
"""A program that ends with status 0 and has done nothing; it leaves a dot."""

QUICK = Pace(keeper_tick_seconds=0.02, first_restart_seconds=0.05, longest_restart_seconds=0.1)


def starts_of(spool: Path) -> int:
    """How often such a program has begun."""
    return len((spool / "begun").read_text()) if (spool / "begun").exists() else 0


@pytest.mark.parametrize(
    "program",
    [NEVER_HOLDS, NEVER_HOLDS + "; raise SystemExit(3)", NEVER_HOLDS + "; import os; os.abort()"],
    ids=["status 0", "status 3", "signal"],
)
def test_start_has_failed_until_the_lease_is_held(
    spool: Path,
    writer: SegmentWriter,
    make_keeper: MakeKeeper,
    caplog: pytest.LogCaptureFixture,
    program: str,
) -> None:
    """However the program ends: after three starts a thread drains, and that is said once."""
    with RecordingServer() as server, caplog.at_level(logging.INFO, "tracing"):
        make_keeper(otlp_backend(server.url), pace=QUICK, program=program)
        append(writer, make_span(1))
        until(lambda: server.accepted == [make_span(1)])
    told = [r.getMessage() for r in caplog.records if "in a thread" in r.getMessage()]
    assert len(told) == 1
    assert "it ended 3 times before it began" in told[0]
    assert starts_of(spool) == 3


def test_program_that_never_begins_is_ended(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """It hangs as an agent does that was started in place of a drainer."""
    pace = Pace(keeper_tick_seconds=0.02, first_restart_seconds=0.01, start_within_seconds=1.0)
    with RecordingServer() as server:
        program = NEVER_HOLDS + ".close(); import time; time.sleep(600)"
        keeper = make_keeper(otlp_backend(server.url), pace=pace, program=program)
        append(writer, make_span(1))
        until(lambda: server.accepted == [make_span(1)])
        assert keeper._starter.child is None


@pytest.mark.parametrize(
    ("executable", "frozen", "reason"),
    [
        (None, False, "sys.executable is not set"),
        ("", False, "sys.executable is not set"),
        ("/opt/agent/agent", False, "/opt/agent/agent is no Python interpreter"),
        ("/usr/sbin/uwsgi", False, "/usr/sbin/uwsgi is no Python interpreter"),
        ("/opt/python-agent", True, "/opt/python-agent is a frozen application"),
    ],
)
def test_what_would_start_the_agent_again_is_never_started(
    spool: Path,
    writer: SegmentWriter,
    make_keeper: MakeKeeper,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    executable: str | None,
    frozen: bool,
    reason: str,
) -> None:
    """A frozen or embedding program, or none at all: a thread drains at once, and it is said."""
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(sys, "frozen", frozen, raising=False)
    with RecordingServer() as server, caplog.at_level(logging.INFO, "tracing"):
        make_keeper(otlp_backend(server.url), pace=BRISK)
        append(writer, make_span(1))
        until(lambda: server.accepted == [make_span(1)])
    told = [r.getMessage() for r in caplog.records if "in a thread" in r.getMessage()]
    assert told == [f"draining in a thread, because no process can be started: {reason}"]


def test_several_agents_start_one_drainer_at_a_time(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """Whoever comes second leaves it to the first, also when the first has to wait."""
    pace = Pace(keeper_tick_seconds=600)
    program = NEVER_HOLDS + ".close(); import time; time.sleep(600)"
    backend = otlp_backend("http://127.0.0.1:1")
    keepers = [make_keeper(backend, start=False, pace=pace, program=program) for _ in range(4)]
    for keeper in keepers * 3:
        keeper._tend()
    assert [keeper._starter.child is not None for keeper in keepers] == [True] + 3 * [False]
    until(lambda: starts_of(spool) == 1)


def test_drainers_that_are_killed_come_back_ever_more_rarely(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """Ten keepers, each drainer killed as soon as it is there: a few starts, not hundreds."""
    keepers = [make_keeper(otlp_backend("http://127.0.0.1:1"), pace=BRISK) for _ in range(10)]
    seen: list[int] = []
    deadline = time.monotonic() + 6.0
    while time.monotonic() < deadline:
        pid = drainer_pid(spool)
        if pid and pid not in seen:
            seen.append(pid)
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    assert 2 <= len(seen) <= 4  # at 0, 1, 3 and 7 s, give or take a quarter
    assert all(keeper._starter.hopeless == "" for keeper in keepers)


def last_starts(spool: Path, number: int, seconds_ago: float) -> None:
    """What the spool says of the starts before."""
    at = time.time() - seconds_ago
    (spool / "drainer.starts").write_text(
        json.dumps({"number": number, "at": at, "wait_seconds": 30.0})
    )


@pytest.mark.parametrize(
    ("seconds_ago", "left", "is_started"),
    [(5.0, False, False), (31.0, False, True), (5.0, True, True), (-3600.0, False, True)],
    ids=["too early", "late enough", "after one that had left", "a clock that was set back"],
)
def test_wait_is_for_drainers_that_came_to_nothing(
    spool: Path,
    writer: SegmentWriter,
    make_keeper: MakeKeeper,
    seconds_ago: float,
    left: bool,
    is_started: bool,
) -> None:
    """A drainer that had nothing more to do is replaced at once when there is something again."""
    last_starts(spool, 9, seconds_ago)
    lease = Lease.take(spool, "abc")
    assert lease is not None
    with lease:
        if left:
            lease.leave()
    os.utime(spool / "drainer.lock", None if left else (0, 0))
    keeper = make_keeper(otlp_backend("http://127.0.0.1:1"), start=False)
    keeper._tend()
    assert (keeper._starter.child is not None) == is_started


def test_agent_that_ends_leaves_no_spool_without_a_drainer(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper
) -> None:
    """At its end there is no later, so it does not wait; but it leaves a start to another."""
    last_starts(spool, 9, 1.0)
    keeper = make_keeper(otlp_backend("http://127.0.0.1:1"), start=False)
    other = FileLock.take(spool / "drainer.starts")
    assert other is not None
    keeper.tidy_up()
    assert keeper._starter.child is None
    other.release()
    keeper.tidy_up()
    assert keeper._starter.child is not None


@pytest.mark.parametrize("content", ["", "[]", '{"number": "x"}', '{"number": 1}', "\xff"])
def test_damaged_file_of_starts_is_no_start(
    spool: Path, writer: SegmentWriter, make_keeper: MakeKeeper, content: str
) -> None:
    """Rather a start too many than none."""
    (spool / "drainer.starts").write_text(content)
    keeper = make_keeper(otlp_backend("http://127.0.0.1:1"), start=False)
    keeper._tend()
    assert keeper._starter.child is not None
