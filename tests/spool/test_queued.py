"""A disk that hangs: it holds the writer once, and what waits is bounded and counted."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import running_python, until
from tests.spool.segment_files import RESOURCE, end_of, ended_names
from tracing.spool.losses import Ledger
from tracing.spool.queued import QueuedWriter
from tracing.spool.segments import SegmentWriter


class Disk:
    """A disk whose writes wait while it hangs, and are counted."""

    def __init__(self) -> None:
        self._answers = threading.Event()
        self._answers.set()
        self.writing_threads: list[str] = []

    def hang(self) -> None:
        """Take no write from now on."""
        self._answers.clear()

    def answer(self) -> None:
        """Take what waits, and what comes."""
        self._answers.set()

    def open_file(self, fd: int) -> io.FileIO:
        """A file on this disk."""
        disk = self

        class File(io.FileIO):
            def write(self, data: object) -> int:
                disk.writing_threads.append(threading.current_thread().name)
                assert disk._answers.wait(20)
                return super().write(data)  # type: ignore[arg-type]

        return File(fd, "w")


@pytest.fixture
def disk() -> Iterator[Disk]:
    """One that answers at the end, whatever the test did."""
    disk = Disk()
    yield disk
    disk.answer()


def make_writer(spool: Path, ledger: Ledger, disk: Disk, **options: object) -> QueuedWriter:
    """A writer whose segment is open."""
    spool.mkdir()
    segments = SegmentWriter(spool, resource=RESOURCE, ledger=ledger, open_file=disk.open_file)
    segments.open()
    return QueuedWriter(segments, ledger, **options)  # type: ignore[arg-type]


def longest_seconds(writer: QueuedWriter, numbers: range) -> float:
    """How long the longest of these spans kept its loop."""
    longest = 0.0
    for number in numbers:
        began = time.monotonic()
        writer.append(end_of(number))
        longest = max(longest, time.monotonic() - began)
    return longest


def test_frames_are_written_at_once_where_the_disk_answers(
    tmp_path: Path, ledger: Ledger, disk: Disk
) -> None:
    """No thread, no queue: when `append` returns, the span survives the process."""
    writer = make_writer(tmp_path / "spool", ledger, disk)
    for number in range(50):
        writer.append(end_of(number))
        assert ended_names(tmp_path / "spool")[-1] == f"span {number}"
    assert set(disk.writing_threads) == {threading.current_thread().name}
    writer.close()


def test_disk_that_hangs_holds_the_loop_once(
    tmp_path: Path, ledger: Ledger, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """The first span waits; the next hundred do not, though it hangs on; all arrive, in order."""
    writer = make_writer(tmp_path / "spool", ledger, disk)
    disk.hang()
    threading.Timer(0.5, disk.answer).start()
    assert longest_seconds(writer, range(1)) > 0.4
    disk.hang()
    assert longest_seconds(writer, range(1, 101)) < 0.2
    assert writer.settle(0.2) is False
    disk.answer()
    assert writer.settle(10) is True
    assert ended_names(tmp_path / "spool") == [f"span {n}" for n in range(101)]
    assert dict(ledger.counts) == {}
    said = [(r.levelno, r.getMessage().partition(" took ")[0]) for r in caplog.records]
    assert said == [(logging.WARNING, "the disk under the spool")]
    writer.close()


def test_frames_are_written_at_once_again_when_the_disk_has_been_calm(
    tmp_path: Path, ledger: Ledger, disk: Disk
) -> None:
    """The thread is for the time of the hang alone."""
    writer = make_writer(tmp_path / "spool", ledger, disk, calm_seconds=0.2)
    disk.hang()
    threading.Timer(0.1, disk.answer).start()
    writer.append(end_of(1))
    writer.append(end_of(2))
    until(lambda: not [t for t in threading.enumerate() if t.name == "tracing-writer"])
    writer.append(end_of(3))
    assert disk.writing_threads[-2:] == ["tracing-writer", threading.current_thread().name]
    assert ended_names(tmp_path / "spool") == ["span 1", "span 2", "span 3"]
    writer.close()


def test_disk_that_hangs_again_holds_nobody_again(
    tmp_path: Path, ledger: Ledger, disk: Disk
) -> None:
    """Though it answered in between, and the queue was empty."""
    writer = make_writer(tmp_path / "spool", ledger, disk)
    disk.hang()
    threading.Timer(0.3, disk.answer).start()
    assert longest_seconds(writer, range(2)) > 0.2
    assert writer.settle(10)
    disk.hang()
    assert longest_seconds(writer, range(2, 10)) < 0.2
    disk.answer()
    assert writer.settle(10)
    assert ended_names(tmp_path / "spool") == [f"span {n}" for n in range(10)]
    writer.close()


def test_thread_from_the_first_span_on_never_waits(
    tmp_path: Path, ledger: Ledger, disk: Disk
) -> None:
    """Who would rather lose the last milliseconds than ever wait."""
    writer = make_writer(tmp_path / "spool", ledger, disk, always=True)
    disk.hang()
    assert longest_seconds(writer, range(100)) < 0.2
    disk.answer()
    assert writer.settle(10)
    writer.append(end_of(100))
    assert writer.settle(10)
    assert ended_names(tmp_path / "spool") == [f"span {n}" for n in range(101)]
    assert set(disk.writing_threads[1:]) == {"tracing-writer"}
    writer.close()


def test_queue_is_bounded_and_what_does_not_fit_is_counted(
    tmp_path: Path, ledger: Ledger, disk: Disk
) -> None:
    """The oldest are kept, and arrive when the disk answers."""
    limit = 10 * len(end_of(10))
    writer = make_writer(tmp_path / "spool", ledger, disk, always=True, limit_bytes=limit)
    disk.hang()
    for number in range(10, 50):
        writer.append(end_of(number))
    assert dict(ledger.counts) == {"the disk did not answer": 30}
    disk.answer()
    assert writer.settle(10)
    assert ended_names(tmp_path / "spool") == [f"span {n}" for n in range(10, 20)]
    writer.close()


def test_what_still_waits_at_the_end_is_counted(tmp_path: Path, ledger: Ledger, disk: Disk) -> None:
    """The end waits a second for the disk, not longer; nothing is queued behind it."""
    writer = make_writer(tmp_path / "spool", ledger, disk, always=True)
    disk.hang()
    for number in range(5):
        writer.append(end_of(number))
    until(lambda: len(disk.writing_threads) == 2)
    began = time.monotonic()
    writer.close()
    assert 0.9 < time.monotonic() - began < 5
    assert dict(ledger.counts) == {"the disk did not answer": 5}
    writer.append(end_of(9))
    assert dict(ledger.counts) == {"the disk did not answer": 5}


def test_several_threads_lose_nothing_around_hangs(
    tmp_path: Path, ledger: Ledger, disk: Disk
) -> None:
    """Whoever finds the queue gone writes at once; whoever finds it, behind the others."""
    writer = make_writer(tmp_path / "spool", ledger, disk, calm_seconds=0.01)

    def write(first: int) -> None:
        for number in range(first, first + 300):
            writer.append(end_of(number))

    threads = [threading.Thread(target=write, args=(n * 1000,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        disk.hang()
        time.sleep(0.03)
        disk.answer()
    for thread in threads:
        thread.join()
    assert writer.settle(10)
    expected = {f"span {n * 1000 + k}" for n in range(4) for k in range(300)}
    assert set(ended_names(tmp_path / "spool")) == expected
    writer.close()


FORK = r"""
import os, sys
from pathlib import Path
from tests.fakes import make_span
from tracing.spool.losses import Ledger
from tracing.spool.queued import QueuedWriter
from tracing.spool.records import end_frame
from tracing.spool.segments import SegmentWriter

def append(number):
    span = make_span(number)
    writer.append(end_frame(span, span.attributes))

spool = Path(sys.argv[1])
segments = SegmentWriter(spool, resource={}, ledger=Ledger(spool))
segments.open()
writer = QueuedWriter(segments, Ledger(spool), always=True)
os.register_at_fork(after_in_child=writer.after_fork)
append(1)
child = os.fork()
append(3 if child else 2)
assert writer.settle(10)
if child:
    os.waitpid(child, 0)
os.write(1, b"written\n")
os._exit(0)
"""


def test_forked_child_has_a_thread_of_its_own(tmp_path: Path) -> None:
    """Each writes its own spans, once."""
    with running_python(FORK, tmp_path) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["written\n"] * 2
    assert sorted(ended_names(tmp_path)) == ["span 1", "span 2", "span 3"]
