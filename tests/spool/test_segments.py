"""Segments: whole frames, one writer each, bounded, and honest about what did not fit."""

from __future__ import annotations

import json
import shutil
import stat
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.fakes import make_span, run_python, running_python, until
from tracing.deliver.segment_reader import SegmentReader
from tracing.span import Span
from tracing.spool.acks import Acks
from tracing.spool.locks import is_locked
from tracing.spool.losses import Ledger
from tracing.spool.records import CLOSED, END, HEADER, START, end_frame, read_records, start_frame
from tracing.spool.segments import SegmentWriter, evict_oldest, segment_paths

RESOURCE = {"service.name": "test"}


class Clock:
    """A clock that stands still until it is moved on."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def pass_check(self) -> None:
        """Go on until the writer looks after its file again."""
        self.seconds += 1.0


@pytest.fixture
def clock() -> Clock:
    """What a writer goes by."""
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Who counts what is lost."""
    return Ledger(tmp_path)


def make_writer(directory: Path, ledger: Ledger, **options: object) -> SegmentWriter:
    """An open writer in `directory`."""
    directory.mkdir(mode=0o700, exist_ok=True)
    writer = SegmentWriter(directory, resource=RESOURCE, ledger=ledger, **options)  # type: ignore[arg-type]
    writer.open()
    return writer


def end_of(number: int, text: str = "") -> bytes:
    """The frame of one ended span."""
    span = make_span(number, attributes={"text": text})
    return end_frame(span, span.attributes)


def kinds_and_names(path: Path) -> list[tuple[int, str]]:
    """What a segment holds: record kinds, and spans' names."""
    records = read_records(path.read_bytes())
    return [(record.kind, record.span.name if record.span else "") for record in records]


def ended_names(directory: Path) -> list[str]:
    """The names of all ended spans in the spool, in the order of the segments."""
    return [name for path in segment_paths(directory) for name in ended_names_of(path)]


def ended_names_of(path: Path) -> list[str]:
    """The names of one segment's ended spans."""
    return [name for kind, name in kinds_and_names(path) if kind == END]


def test_first_segment_is_private_and_begins_with_its_header(
    tmp_path: Path, ledger: Ledger
) -> None:
    """A new segment names its process and resource, is 0600 and locked."""
    writer = make_writer(tmp_path / "spool", ledger)
    [path] = segment_paths(tmp_path / "spool")
    [header] = read_records(path.read_bytes())
    assert path == writer.segment_path
    assert header.kind == HEADER
    assert header.values.keys() == {"version", "pid", "host", "resource"}
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


def fill(directory: Path, ledger: Ledger, segments_of: list[int]) -> None:
    """Finished segments with so many ended spans each, numbered through."""
    number = 0
    for count in segments_of:
        writer = make_writer(directory, ledger)
        for _ in range(count):
            number += 1
            writer.append(end_of(number, "x" * 500))
        writer.close()
        created = time.time_ns() // 1_000_000
        until(lambda created=created: time.time_ns() // 1_000_000 > created)  # ages differ


def test_oldest_segments_are_evicted_and_their_spans_counted(
    tmp_path: Path, ledger: Ledger
) -> None:
    """A spool over its limit loses whole segments from the oldest on, and says how many spans."""
    fill(tmp_path / "spool", ledger, [3, 4, 5])
    sizes = [path.stat().st_size for path in segment_paths(tmp_path / "spool")]
    evict_oldest(tmp_path / "spool", sizes[2], ledger)
    assert ended_names(tmp_path / "spool") == [f"span {n}" for n in range(8, 13)]
    assert dict(ledger.counts) == {"the spool was full": 7}


def test_eviction_counts_only_what_some_backend_still_needed(
    tmp_path: Path, ledger: Ledger
) -> None:
    """Spans that every backend has acknowledged are not lost with their segment."""
    fill(tmp_path / "spool", ledger, [3])
    [path] = segment_paths(tmp_path / "spool")
    second = [record.start_offset for record in read_records(path.read_bytes())][2]
    Acks(tmp_path / "spool", "fast").acknowledge({path.name: -1})
    Acks(tmp_path / "spool", "slow").acknowledge({path.name: second})
    evict_oldest(tmp_path / "spool", 0, ledger)
    assert segment_paths(tmp_path / "spool") == []
    assert dict(ledger.counts) == {"the spool was full": 2}


def test_segment_that_is_being_written_is_never_evicted(tmp_path: Path, ledger: Ledger) -> None:
    """A limit that is too small for the living costs the dead only."""
    fill(tmp_path / "spool", ledger, [2])
    living = make_writer(tmp_path / "spool", ledger)
    living.append(end_of(99))
    evict_oldest(tmp_path / "spool", 0, ledger)
    assert segment_paths(tmp_path / "spool") == [living.segment_path]
    living.close()


def test_writer_keeps_its_spool_bounded_when_nobody_drains(tmp_path: Path, ledger: Ledger) -> None:
    """Without a drainer the writer itself deletes the oldest; kept and counted are all."""
    writer = make_writer(tmp_path / "spool", ledger, segment_bytes=20_000, spool_bytes=200_000)
    for number in range(1000):
        writer.append(end_of(number, "x" * 1000))
    total = sum(path.stat().st_size for path in segment_paths(tmp_path / "spool"))
    kept = ended_names(tmp_path / "spool")
    assert total < 300_000
    assert len(kept) + ledger.counts["the spool was full"] == 1000
    assert kept[-1] == "span 999"
    writer.close()


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


def test_deleted_directory_is_noticed_counted_and_made_again(
    tmp_path: Path, ledger: Ledger, clock: Clock
) -> None:
    """What was written into a deleted file is counted, and the next spans are on disk again."""
    spool = tmp_path / "spool"
    writer = make_writer(spool, ledger, clock=clock)
    writer.append(end_of(1))
    shutil.rmtree(spool)
    writer.append(end_of(2))
    clock.pass_check()
    writer.append(end_of(3))
    assert ended_names(spool) == ["span 3"]
    assert dict(ledger.counts) == {"the spool directory was deleted": 2}
    assert stat.S_IMODE(spool.stat().st_mode) == 0o700
    writer.close()


def test_deleted_segment_is_counted_when_its_writer_moves_on(
    tmp_path: Path, ledger: Ledger
) -> None:
    """A full segment is left before it is looked at again: its loss is counted all the same."""
    spool = tmp_path / "spool"
    writer = make_writer(spool, ledger, segment_bytes=1_000)
    writer.append(end_of(1))
    first = writer.segment_path
    assert first is not None
    first.unlink()
    writer.append(end_of(2, "x" * 1_000))
    writer.append(end_of(3))
    assert ended_names(spool) == ["span 3"]
    assert dict(ledger.counts) == {"the spool directory was deleted": 2}
    writer.close()


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


def test_directories_that_are_made_again_are_private(
    tmp_path: Path, ledger: Ledger, clock: Clock
) -> None:
    """Not the spool alone, also what holds it."""
    spool = tmp_path / "data" / "spool"
    spool.mkdir(parents=True)
    writer = make_writer(spool, ledger, clock=clock)
    writer.append(end_of(0))
    shutil.rmtree(tmp_path / "data")
    clock.pass_check()
    writer.append(end_of(1))
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    writer.close()


def test_nowhere_to_write_is_counted_until_there_is(
    tmp_path: Path, ledger: Ledger, clock: Clock
) -> None:
    """The agent goes on without a spool, each span is counted, and it is used once it can be."""
    spool = tmp_path / "spool"
    writer = make_writer(spool, ledger, clock=clock)
    shutil.rmtree(spool)
    spool.write_text("a file is in the way")
    writer.append(end_of(1))
    clock.pass_check()
    writer.append(end_of(2))
    spool.unlink()
    clock.pass_check()
    writer.append(end_of(3))
    assert ended_names(spool) == ["span 3"]
    assert dict(ledger.counts) == {"the spool could not be written": 2}
    writer.close()


FULL_DISK = """
import json, resource, sys
from pathlib import Path
from tests.fakes import make_span
from tracing.spool.losses import Ledger
from tracing.spool.records import end_frame
from tracing.spool.segments import SegmentWriter, segment_paths

spool = Path(sys.argv[1])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
ledger = Ledger(spool)
writer = SegmentWriter(spool, resource={}, ledger=ledger)

def append(numbers):
    for number in numbers:
        span = make_span(number, attributes={"text": "x" * 100})
        writer.append(end_frame(span, span.attributes))

try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    writer.open()
except OSError as error:
    first = type(error).__name__
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
left = sorted(path.suffix for path in spool.iterdir())
writer.open()
append(range(50))
lost = dict(ledger.counts)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
append(range(100, 103))
print(json.dumps({"first": first, "left": left, "lost": lost, "after": dict(ledger.counts)}))
"""


def test_full_disk_costs_what_does_not_fit_and_says_so(tmp_path: Path) -> None:
    """A file that cannot grow: the rest is counted, nothing raises, and writing resumes."""
    spool = tmp_path / "spool"
    spool.mkdir()
    told = json.loads(run_python(FULL_DISK, spool))
    written = ended_names(spool)
    fitted = [name for name in written if int(name.split()[1]) < 50]
    assert told["first"] == "OSError"
    assert told["left"] == []
    assert 0 < len(fitted) < 50
    assert told["lost"] == {"the spool could not be written": 50 - len(fitted)}
    assert written[len(fitted) :] == ["span 100", "span 101", "span 102"]
    assert told["after"] == told["lost"]


READ_ONLY = """
import json, os, sys
from pathlib import Path
from tests.fakes import make_span
from tracing.spool.losses import Ledger
from tracing.spool.records import end_frame
from tracing.spool.segments import SegmentWriter, segment_paths

spool = Path("spool")
if os.getuid() == 0:
    os.chown(spool, 65534, 65534)
    os.setuid(65534)
ledger = Ledger(spool)
writer = SegmentWriter(spool, resource={}, ledger=ledger, segment_bytes=1000)
writer.open()
spool.chmod(0o500)
for number in range(20):
    span = make_span(number, attributes={"text": "x" * 100})
    writer.append(end_frame(span, span.attributes))
print(json.dumps([len(list(spool.iterdir())), dict(ledger.counts)]), flush=True)
os._exit(0)
"""


def test_directory_that_turns_read_only_costs_nothing(tmp_path: Path) -> None:
    """Where no new segment can be made, the old one goes on."""
    tmp_path.chmod(0o755)
    spool = tmp_path / "spool"
    spool.mkdir()
    told = json.loads(run_python(READ_ONLY, cwd=tmp_path))
    spool.chmod(0o700)
    assert told == [1, {}]
    assert ended_names(spool) == [f"span {n}" for n in range(20)]


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
