"""Directories that are deleted, disks that are full: counted, and written to again."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest

from tests.fakes import run_python
from tests.spool.segment_files import end_of, ended_names, make_writer
from tracing.spool.losses import Ledger


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
