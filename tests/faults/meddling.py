"""What happens to a spool and its drainers while the agents of a row work."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from tracing.deliver.lease import holder
from tracing.spool.formats import FORMATS
from tracing.spool.records import END, header_frame, read_records

from . import processes
from .old_format import old_segment

if TYPE_CHECKING:
    from .evidence import Evidence

FREEZE_SECONDS = 3.0
_AT_SECONDS = 1.5
_STORM_SECONDS = 12.0


@contextmanager
def meddling(evidence: Evidence) -> Iterator[None]:
    """Meddle in a thread of its own while the block runs, as the row says."""
    meddle = MEDDLERS.get(evidence.row.meddle)
    thread = Thread(target=lambda: meddle(evidence) if meddle else None)
    thread.start()
    yield
    thread.join()


def upgrade(evidence: Evidence) -> None:
    """The last version left a segment with 200 spans, a version to come another one."""
    time.sleep(_AT_SECONDS)
    directory = spool_of(evidence.spool)
    data = old_segment(200)
    name = f"{time.time_ns() // 1_000_000:013d}"
    (directory / f"{name}.1-aaaaaa.000001.seg").write_bytes(data)
    newer = header_frame({"version": 99}) + b"what only version 99 can read"
    (directory / f"{name}.2-bbbbbb.000001.seg").write_bytes(newer)
    evidence.more_ended.update(ids_in(data))


def ids_in(old: bytes) -> dict[bytes, int]:
    """End by id of the ended spans of the last version's segment."""
    return {
        record.span.span_id: record.span.end_time_unix_nano
        for record in read_records(old, format=FORMATS[2])
        if record.kind == END and record.span is not None
    }


def stop_drainer(evidence: Evidence) -> None:
    """The drainer is stopped, and keeps its lease."""
    time.sleep(_AT_SECONDS)
    for pid in processes.drainers(evidence.spool):
        os.kill(pid, signal.SIGSTOP)


def move(evidence: Evidence) -> None:
    """Somebody moves the spool's directory away."""
    time.sleep(_AT_SECONDS)
    directory = spool_of(evidence.spool)
    directory.rename(directory.with_name(f"{directory.name}.old"))


def replace(evidence: Evidence) -> None:
    """Somebody moves all of TRACING_DIR away, and puts an empty one in its place."""
    time.sleep(_AT_SECONDS)
    evidence.spool.rename(evidence.spool.with_name("spool-away"))
    evidence.spool.mkdir(mode=0o700)


def freeze(evidence: Evidence) -> None:
    """The disk answers nothing for a while, twice."""
    for _ in range(2):
        time.sleep(_AT_SECONDS)
        freeze_disk(evidence.spool)


def freeze_disk(directory: Path, seconds: float = FREEZE_SECONDS) -> None:
    """Have a file system of its own answer no write for so many seconds."""
    subprocess.run(["fsfreeze", "-f", str(directory)], check=True, capture_output=True)
    try:
        time.sleep(seconds)
    finally:
        subprocess.run(["fsfreeze", "-u", str(directory)], check=True, capture_output=True)


def kill_at_once(evidence: Evidence) -> None:
    """Each drainer is killed as soon as it holds the lease."""
    seen: set[int] = set()
    deadline = time.monotonic() + min(_STORM_SECONDS, evidence.row.seconds - 3.0)
    while time.monotonic() < deadline:
        found = holder(spool_of(evidence.spool))
        if found is not None and found.pid:
            seen.add(found.pid)
            with suppress(OSError):
                os.kill(found.pid, signal.SIGKILL)
        time.sleep(0.02)
    evidence.drainer_kills = len(seen)


MEDDLERS: dict[str, Callable[[Evidence], None]] = {
    "upgrade": upgrade,
    "stop-drainer": stop_drainer,
    "move": move,
    "replace": replace,
    "freeze": freeze,
    "kill-at-once": kill_at_once,
}


def spool_of(tracing_directory: Path) -> Path:
    """The one spool below a TRACING_DIR."""
    [directory] = [path for path in (tracing_directory / "spool").iterdir() if path.is_dir()]
    return directory
