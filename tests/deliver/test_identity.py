"""Who may be signalled and collected: only a process that is proven to be the one that is meant."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import until
from tracing.deliver.identity import Process
from tracing.deliver.lease import Holder, Lease, end_holder, kill_holder
from tracing.spool.locks import FileLock

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="proofs come from /proc")


@pytest.fixture
def innocent() -> Iterator[subprocess.Popen[bytes]]:
    """A process of somebody else's, whose pid another one had before or has elsewhere."""
    with subprocess.Popen(["cat"], stdin=-1) as process:
        yield process
        process.kill()


def process_of(pid: int) -> Process:
    """Who has this pid now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return dataclasses.replace(Process.current(), pid=pid, started=fields[19])


@linux
def test_proven_process_is_signalled(innocent: subprocess.Popen[bytes]) -> None:
    """Its pid, boot, namespace and start are those that were written down."""
    assert process_of(innocent.pid).send(signal.SIGTERM) is True
    assert innocent.wait(10) == -signal.SIGTERM


@pytest.mark.parametrize(
    "other",
    [
        {"started": "1"},
        {"started": ""},
        {"namespace": "4:1"},
        {"namespace": ""},
        {"boot": "00000000-0000-0000-0000-000000000000"},
        {"boot": "", "namespace": "", "started": ""},
    ],
    ids=["later process", "no start", "container", "no namespace", "machine", "nothing known"],
)
@linux
def test_same_pid_of_another_is_left_alone(
    tmp_path: Path, innocent: subprocess.Popen[bytes], other: dict[str, str]
) -> None:
    """Not by a signal, not through the lease, whichever proof is missing."""
    meant = dataclasses.replace(process_of(innocent.pid), **other)
    lock = FileLock.take(tmp_path / "drainer.lock")
    assert lock is not None
    Lease(lock, Holder(meant, "abc"))
    assert meant.send(signal.SIGTERM) is False
    assert end_holder(tmp_path, within_seconds=5) is False
    assert kill_holder(tmp_path) is False
    with pytest.raises(subprocess.TimeoutExpired):
        innocent.wait(0.2)
    lock.release()


@linux
def test_process_that_is_gone_is_not_signalled(innocent: subprocess.Popen[bytes]) -> None:
    """Nobody has its pid."""
    gone = process_of(innocent.pid)
    innocent.kill()
    innocent.wait(10)
    assert gone.send(signal.SIGTERM) is False


def test_lease_of_the_last_version_proves_nothing(
    tmp_path: Path, innocent: subprocess.Popen[bytes]
) -> None:
    """Its file names a pid alone."""
    lock = FileLock.take(tmp_path / "drainer.lock")
    assert lock is not None
    lock.write(f"{innocent.pid} abc process")
    assert end_holder(tmp_path, within_seconds=5) is False
    with pytest.raises(subprocess.TimeoutExpired):
        innocent.wait(0.2)
    lock.release()


@linux
def test_child_of_somebody_else_keeps_its_exit_status(
    innocent: subprocess.Popen[bytes],
) -> None:
    """Only the first process of a namespace collects, and only what was left to it."""
    meant = process_of(innocent.pid)
    innocent.kill()
    until(lambda: Path(f"/proc/{innocent.pid}/stat").read_text().rpartition(")")[2][1] == "Z")
    meant.reap()
    assert innocent.wait(10) == -signal.SIGKILL


CONTAINER = """
import os, subprocess, sys, time
from pathlib import Path
from tracing.deliver.identity import Process
from tracing.deliver.lease import end_holder, holder, kill_holder

assert os.getpid() == 1
other = holder(Path(sys.argv[1]))
children = [subprocess.Popen(["sleep", "60"]) for _ in range(60)]
same = [child for child in children if child.pid == other.pid]
asked = end_holder(Path(sys.argv[1]), within_seconds=0.5), kill_holder(Path(sys.argv[1]))
other.process.reap()
alive = [child.poll() for child in same]
for child in children:
    child.kill()
statuses = {child.wait() for child in children}
print(asked, len(same), alive, statuses, flush=True)
orphan = subprocess.run([sys.executable, "-c", sys.argv[2]], stdout=-1, text=True).stdout.split()
process = Process(int(orphan[0]), *orphan[1:])
while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
    time.sleep(0.01)
process.reap()
print(Path(f"/proc/{process.pid}").exists(), flush=True)
"""

ORPHAN = """
import os
if os.fork() == 0:
    from tracing.deliver.identity import Process
    mine = Process.current()
    os.write(1, f"{mine.pid} {mine.boot} {mine.namespace} {mine.started}".encode())
"""

HOLD = """
import sys
from pathlib import Path
from tracing.deliver.identity import Process
from tracing.deliver.lease import Lease

lease = Lease.take(Path(sys.argv[1]), "abc")
print("held", flush=True)
sys.stdin.read()
"""


CONTAINER_WITH_A_DRAINER = """
import subprocess, sys

for _ in range(20):
    subprocess.run(["true"])
subprocess.run([sys.executable, "-c", sys.argv[2], sys.argv[1]])
"""


def test_two_containers_on_one_volume_leave_each_others_processes_alone(tmp_path: Path) -> None:
    """Whoever has the drainer's pid over here keeps its life and its exit status."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c"]
    if subprocess.run([*unshare, ""], check=False, capture_output=True).returncode:
        pytest.skip("no pid namespace can be had here")
    first = [*unshare, CONTAINER_WITH_A_DRAINER, tmp_path, HOLD]
    with subprocess.Popen(first, stdin=-1, stdout=-1, text=True) as there:
        assert there.stdout is not None
        assert there.stdout.readline() == "held\n"
        second = [*unshare, CONTAINER, tmp_path, ORPHAN]
        done = subprocess.run(second, capture_output=True, text=True, check=False)
        there.kill()
    assert done.stdout.splitlines() == ["(False, False) 1 [None] {-9}", "False"], done.stderr[
        -2000:
    ]
