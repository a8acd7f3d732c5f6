"""Segments: whole frames, one writer each, carried on from one to the next."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.fakes import make_span, running_python, until
from tests.spool.segment_files import (
    RESOURCE,
    end_of,
    ended_names,
    ended_names_of,
    kinds_and_names,
    make_writer,
)
from tracing.deliver.reading.segment_reader import SegmentReader
from tracing.span import Span
from tracing.spool.locks import is_locked
from tracing.spool.losses import Ledger
from tracing.spool.records import CLOSED, END, HEADER, START, read_records, start_frame
from tracing.spool.segments import segment_paths


def test_first_segment_is_private_and_begins_with_its_header(
    tmp_path: Path, ledger: Ledger
) -> None:
    """A new segment names its process and resource, is 0600 and locked."""
    writer = make_writer(tmp_path / "spool", ledger)
    [path] = segment_paths(tmp_path / "spool")
    [header] = read_records(path.read_bytes())
    assert path == writer.segment_path
    assert header.kind == HEADER
    assert header.values.keys() == {"version", "pid", "host", "resource", "labels"}
    assert header.values["resource"] == RESOURCE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert is_locked(path)
    writer.close()


def test_frame_is_on_disk_when_append_returns(tmp_path: Path, ledger: Ledger) -> None:
    """Whoever reads the file sees each span at once, without a flush or a close."""
    writer = make_writer(tmp_path / "spool", ledger)
    for number in (1, 2, 3):
        writer.append(end_of(number))
        expected = [f"span {n}" for n in range(1, number + 1)]
        assert ended_names(tmp_path / "spool") == expected
    writer.close()


def test_rotation_carries_the_open_spans_on(tmp_path: Path, ledger: Ledger) -> None:
    """A full segment is closed, and the next begins with the start records of what is open."""
    started = start_frame(make_span(9, "open", end_time_unix_nano=0))
    writer = make_writer(
        tmp_path / "spool", ledger, segment_bytes=3000, open_frames=lambda: [started]
    )
    writer.append(end_of(1, "x" * 3000))
    writer.append(end_of(2))
    old, new = segment_paths(tmp_path / "spool")
    assert kinds_and_names(old) == [(HEADER, ""), (START, "open"), (END, "span 1"), (CLOSED, "")]
    assert kinds_and_names(new) == [(HEADER, ""), (START, "open"), (END, "span 2")]
    assert (is_locked(old), is_locked(new)) == (False, True)
    writer.close()


def test_open_spans_larger_than_a_segment_do_not_rotate_without_end(
    tmp_path: Path, ledger: Ledger
) -> None:
    """Many open spans make segments long, but do not make one for every span that ends."""
    started = [start_frame(make_span(n, end_time_unix_nano=0)) for n in range(100)]
    writer = make_writer(
        tmp_path / "spool", ledger, segment_bytes=3000, open_frames=lambda: started
    )
    for number in range(20):
        writer.append(end_of(number))
    assert len(segment_paths(tmp_path / "spool")) <= 3
    writer.close()


def test_span_that_ends_during_a_rotation_is_not_open_in_the_new_segment(
    tmp_path: Path, ledger: Ledger
) -> None:
    """Another thread's span ends between the look at what is open and the change of segments."""
    open_frames = {9: start_frame(make_span(9, "ends meanwhile", end_time_unix_nano=0))}

    def end_it() -> None:
        del open_frames[9]
        writer.append(end_of(9))

    def look_then_end() -> Iterable[bytes]:
        found = list(open_frames.values())
        if len(segment_paths(tmp_path / "spool")) == 1 and 9 in open_frames:
            thread = threading.Thread(target=end_it)
            thread.start()
            thread.join()
        return found

    writer = make_writer(tmp_path / "spool", ledger, segment_bytes=3000, open_frames=look_then_end)
    writer.append(end_of(1, "x" * 3000))
    writer.append(end_of(2))
    writer.close()
    assert [names_left_open(path) for path in segment_paths(tmp_path / "spool")] == [[], []]


def names_left_open(path: Path) -> list[str]:
    """What a dead process's segment says was open."""
    reader = SegmentReader(path, 0)
    while reader.read(2**20):
        pass
    return [span.name for span in reader.recovered()]


def test_segment_names_sort_by_age(tmp_path: Path, ledger: Ledger) -> None:
    """The oldest segment comes first, whichever process or number it has."""
    writer = make_writer(tmp_path / "spool", ledger, segment_bytes=1)
    for number in range(12):
        writer.append(end_of(number))
    assert ended_names(tmp_path / "spool") == [f"span {n}" for n in range(12)]
    writer.close()


def test_no_directory_has_no_segments(tmp_path: Path) -> None:
    """A spool that is not there is an empty one."""
    assert segment_paths(tmp_path / "gone") == []


def test_threads_that_write_around_rotations_lose_nothing(tmp_path: Path, ledger: Ledger) -> None:
    """Four threads, hundreds of rotations: every span is whole, somewhere."""
    writer = make_writer(tmp_path / "spool", ledger, segment_bytes=5000)

    def write(first: int) -> None:
        for number in range(first, first + 500):
            writer.append(end_of(number, "x" * 100))

    threads = [threading.Thread(target=write, args=(n * 1000,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    expected = {f"span {n * 1000 + k}" for n in range(4) for k in range(500)}
    assert set(ended_names(tmp_path / "spool")) == expected
    assert dict(ledger.counts) == {}


def test_closed_writer_writes_no_more_even_where_another_thread_rotated(
    tmp_path: Path, ledger: Ledger
) -> None:
    """Its segment came back behind its end; it stays as it is."""
    spool = tmp_path / "spool"
    writer = make_writer(spool, ledger)
    writer.append(end_of(1))
    writer.close()
    writer.open()
    writer.append(end_of(2))
    assert ended_names(spool) == ["span 1"]
    assert dict(ledger.counts) == {}
    writer.close()


FORK = r"""
import os, signal, sys
from pathlib import Path
from tests.fakes import make_span
from tracing.spool.losses import Ledger
from tracing.spool.records import end_frame
from tracing.spool.segments import SegmentWriter

def append(number):
    span = make_span(number)
    writer.append(end_frame(span, span.attributes))

spool = Path(sys.argv[1])
writer = SegmentWriter(spool, resource={}, ledger=Ledger(spool))
if sys.argv[2] == "told":
    os.register_at_fork(after_in_child=writer.after_fork)
writer.open()
append(1)
if os.fork() == 0:
    append(2)
    os.write(1, b"child\n")
    sys.stdin.read()
    writer.close()
    os._exit(0)
append(3)
os.write(1, b"parent\n")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["told", "by its pid"])
def test_forked_child_writes_its_own_segment_and_frees_its_parents(
    tmp_path: Path, how: str
) -> None:
    """Both processes write, and the parent's segment is unlocked though the child lives."""
    with running_python(FORK, tmp_path, how) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert sorted(process.stdout.readline() for _ in range(2)) == ["child\n", "parent\n"]
        process.wait(10)
        path_by_names = {tuple(ended_names_of(path)): path for path in segment_paths(tmp_path)}
        assert set(path_by_names) == {("span 1", "span 3"), ("span 2",)}
        until(lambda: not is_locked(path_by_names["span 1", "span 3"]))
        assert is_locked(path_by_names[("span 2",)])
        process.stdin.close()
        until(lambda: not is_locked(path_by_names[("span 2",)]))


def test_closing_an_unused_segment_leaves_no_file(tmp_path: Path, ledger: Ledger) -> None:
    """A process that recorded nothing leaves nothing."""
    make_writer(tmp_path / "spool", ledger).close()
    assert segment_paths(tmp_path / "spool") == []


def test_closing_keeps_what_was_written_and_what_is_open(tmp_path: Path, ledger: Ledger) -> None:
    """A closed writer writes no more, and frees its lock."""
    started = start_frame(make_span(9, "open", end_time_unix_nano=0))
    writer = make_writer(tmp_path / "spool", ledger, open_frames=lambda: [started])
    [path] = segment_paths(tmp_path / "spool")
    writer.close()
    writer.append(end_of(1))
    assert kinds_and_names(path) == [(HEADER, ""), (START, "open")]
    assert writer.segment_path is None
    assert not is_locked(path)
    assert dict(ledger.counts) == {}


def test_span_lies_in_one_record_whatever_its_size(tmp_path: Path, ledger: Ledger) -> None:
    """A span larger than a segment is written whole."""
    writer = make_writer(tmp_path / "spool", ledger, segment_bytes=1000)
    writer.append(end_of(1, "x" * 1_000_000))
    written: list[Span | None] = [
        record.span
        for path in segment_paths(tmp_path / "spool")
        for record in read_records(path.read_bytes())
        if record.kind == END
    ]
    assert written == [make_span(1, attributes={"text": "x" * 1_000_000})]
    writer.close()
