"""A spool within its bounds: the oldest go, and what goes is counted."""

from __future__ import annotations

import time
from pathlib import Path

from tests.fakes import until
from tests.spool.segment_files import end_of, ended_names, make_writer
from tracing.spool.acks import Acks
from tracing.spool.losses import Ledger
from tracing.spool.records import read_records
from tracing.spool.segments import evict_oldest, segment_paths


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
