"""The lease: one drainer per spool, and free as soon as its holder is gone."""

from __future__ import annotations

import signal
import stat
import time
from pathlib import Path

from tests.fakes import running_python, until
from tracing.deliver.identity import Process
from tracing.deliver.lease import NOBODY, Holder, Lease, end_holder, holder

HOLD = """
import signal, sys
from pathlib import Path
from tracing.deliver.lease import Lease

if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
lease = Lease.take(Path(sys.argv[1]), "abc")
print(lease is not None, flush=True)
sys.stdin.read()
"""


def pid_and_settings(directory: Path) -> tuple[int, str]:
    """Of who holds the lease now."""
    found = holder(directory)
    assert found is not None
    return found.pid, found.settings


def test_lease_is_held_by_one(tmp_path: Path) -> None:
    """While one has it, no other gets it; the file is private and names the holder."""
    lease = Lease.take(tmp_path, "abc")
    assert lease is not None
    with lease:
        assert Lease.take(tmp_path, "def") is None
        assert holder(tmp_path) == Holder(Process.current(), "abc")
    assert holder(tmp_path) is None
    assert stat.S_IMODE((tmp_path / "drainer.lock").stat().st_mode) == 0o600


def test_lease_can_be_taken_again(tmp_path: Path) -> None:
    """The next holder's name replaces the last one's."""
    for digest in ("a longer digest", "b"):
        lease = Lease.take(tmp_path, digest)
        assert lease is not None
        with lease:
            assert holder(tmp_path) == Holder(Process.current(), digest)


def test_nobody_holds_what_nobody_took(tmp_path: Path) -> None:
    """A spool without a lock file has no drainer."""
    assert holder(tmp_path) is None


def test_holder_that_is_not_named_yet_is_one(tmp_path: Path) -> None:
    """Between the lock and the name there is an instant."""
    lease = Lease.take(tmp_path, "abc")
    assert lease is not None
    (tmp_path / "drainer.lock").write_text("")
    with lease:
        assert holder(tmp_path) == NOBODY
        assert end_holder(tmp_path, within_seconds=0.0) is False


def test_kernel_frees_the_lease_of_a_killed_process(tmp_path: Path) -> None:
    """No file has to be cleaned up after a SIGKILL."""
    with running_python(HOLD, tmp_path, "plain") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert pid_and_settings(tmp_path) == (process.pid, "abc")
        assert Lease.take(tmp_path, "def") is None
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert holder(tmp_path) is None


def test_holder_is_ended_on_request(tmp_path: Path) -> None:
    """Another process's drainer stops when it is asked to."""
    with running_python(HOLD, tmp_path, "plain") as process:
        assert process.stdout is not None
        process.stdout.readline()
        end_holder(tmp_path, within_seconds=10)
        assert holder(tmp_path) is None
        until(lambda: process.poll() is not None)


def test_holder_that_does_not_stop_is_not_waited_for_longer(tmp_path: Path) -> None:
    """The wait has a bound."""
    with running_python(HOLD, tmp_path, "stubborn") as process:
        assert process.stdout is not None
        process.stdout.readline()
        began = time.monotonic()
        end_holder(tmp_path, within_seconds=0.2)
        assert time.monotonic() - began < 5
        assert pid_and_settings(tmp_path) == (process.pid, "abc")
        process.kill()


def test_process_does_not_end_itself(tmp_path: Path) -> None:
    """A thread of this process may hold the lease."""
    lease = Lease.take(tmp_path, "abc")
    assert lease is not None
    with lease:
        end_holder(tmp_path, within_seconds=5)
        assert holder(tmp_path) == Holder(Process.current(), "abc")


ASK = """
import sys, time
from pathlib import Path
from tracing.deliver.lease import holder

print("asking", flush=True)
while True:
    holder(Path(sys.argv[1]))
    time.sleep(0.0001)
"""


def test_lease_can_be_had_while_others_ask_who_has_it(tmp_path: Path) -> None:
    """A keeper that looks for the drainer does not keep the next one from beginning."""
    (tmp_path / "drainer.lock").touch()
    with running_python(ASK, tmp_path) as asking:
        assert asking.stdout is not None
        asking.stdout.readline()
        refused = 0
        for _ in range(2000):
            lease = Lease.take(tmp_path, "abc")
            refused += lease is None
            if lease is not None:
                with lease:
                    pass
        assert refused == 0
