"""The files of a spool: append-only segments, one writer each, bounded, alive while locked.

A segment is named `<created, Unix ms>.<process>.<number>.seg`, so names sort by age. Its
writer holds the file's lock for as long as it may write: a segment that can be locked is
finished, or its process is dead. It becomes visible under its name only once it is locked.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tracing.limits import SPOOL_BYTES
from tracing.safe_text import get_logger
from tracing.span import Attributes
from tracing.spool import losses
from tracing.spool.acks import acknowledged_offset
from tracing.spool.files import make_private_directory
from tracing.spool.locks import is_locked, try_lock
from tracing.spool.losses import Ledger
from tracing.spool.moved import note_moved, place_of
from tracing.spool.records import (
    closed_frame,
    count_held,
    header_frame,
    not_open_frame,
    read_records,
)

logger = get_logger(__name__)

SUFFIX = ".seg"
_NEW_SUFFIX = ".new"
_CHECK_EVERY_SECONDS = 1.0
_CHECK_WITHIN_SECONDS = 1.0
"""How long who asks waits for another thread that is just looking."""


def segment_paths(directory: Path) -> list[Path]:
    """The spool's segments, oldest first."""
    try:
        with os.scandir(directory) as entries:
            names = [e.name for e in entries if e.name.endswith(SUFFIX) and e.is_file()]
    except FileNotFoundError:
        return []
    return [directory / name for name in sorted(names)]


def evict_oldest(directory: Path, limit_bytes: int, ledger: Ledger) -> None:
    """Delete whole segments, oldest first, until the spool fits; count what they still held.

    A segment that a process is writing is never deleted.
    """
    sizes = {path: size_of(path) for path in segment_paths(directory)}
    excess = sum(sizes.values()) - limit_bytes
    for path, size in sizes.items():
        if excess <= 0:
            return
        if is_locked(path):
            continue
        held = count_held(path, acknowledged_offset(directory, path.name))
        try:
            path.unlink()
        except OSError:
            continue  # another process was faster, and counts it
        excess -= size
        detail = f"full at {limit_bytes / 2**20:.0f} MiB"
        ledger.count(losses.SPOOL_FULL, held.spans, detail=detail)
        ledger.count(losses.LINES_DELETED, held.lines, detail=detail)


def size_of(path: Path) -> int:
    """A file's bytes; 0 for one that is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


class _Segment:
    """One open segment file; closing the last reference frees its lock."""

    def __init__(self, path: Path, file: io.FileIO, size: int, room: int) -> None:
        self.path = path
        self.file = file
        self.write = file.write
        self.size = size
        self.rotate_at = size + room
        self.frames = 0
        self.frames_safe = 0
        """Of these, the ones written while the file was known to be in its directory."""


class SegmentWriter:
    """Appends frames to this process's own segment: one `write(2)` each, and never raises.

    `open_frames` gives the start records of the spans that are open; every new segment
    begins with them, so that each segment tells by itself what was open when its process
    died. Threads share the segment without a lock: O_APPEND keeps their frames whole. `labels`
    are what this agent's calls are labelled with, by backend: they stay with its spans.
    """

    def __init__(
        self,
        directory: Path,
        *,
        resource: Attributes,
        labels: Mapping[str, Any] | None = None,
        ledger: Ledger,
        open_frames: Callable[[], Iterable[bytes]] = tuple,
        segment_bytes: int = 4 * 2**20,
        spool_bytes: int = SPOOL_BYTES,
        clock: Callable[[], float] = time.monotonic,
        open_file: Callable[[int], io.FileIO] = lambda fd: io.FileIO(fd, "w"),
    ) -> None:
        """Write to segments in `directory`; `open_file` makes a descriptor writable."""
        self.directory = directory
        self._resource = resource
        self._labels = labels or {}
        self._ledger = ledger
        self._open_frames = open_frames
        self._segment_bytes = min(segment_bytes, max(spool_bytes // 8, 64 * 1024))
        self._spool_bytes = spool_bytes
        self._clock = clock
        self._open_file = open_file
        self._closed = False
        self._has_lost = False
        """Whether what was written is gone, since somebody asked."""
        self._begin_process()

    def after_fork(self) -> None:
        """In a forked child: leave the parent's segment alone, so that its lock stays its own."""
        self._begin_process()

    def _begin_process(self) -> None:
        """Forget what belongs to the process that this one was forked from."""
        self._pid = os.getpid()
        self._process = f"{self._pid}-{secrets.token_hex(3)}"
        self._number = 0
        self._segment: _Segment | None = None
        self._rotation = threading.Lock()
        self._next_check = 0.0

    def open(self) -> None:
        """Create the first segment; raises OSError, so that set-up can say why it cannot."""
        self._segment = self._create_segment(self._open_frames())

    def append(self, frame: bytes) -> None:
        """Write a frame, or several as one; a failure is counted, and the next call tries again."""
        segment, now = self._segment, self._clock()
        if (
            segment is None
            or now >= self._next_check
            or self._pid != os.getpid()
            or self._closed  # while another thread rotated
        ):
            segment = self._look(now)
            if segment is None:
                return
        try:
            written = segment.write(frame) or 0
        except (OSError, ValueError) as error:
            self._fail(error)
        else:
            segment.size += written
            segment.frames += 1
            if written != len(frame):
                segment.rotate_at = 0  # so that what follows does not wait behind a torn frame
                self._fail(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        if self._segment is not segment and self._segment is not None:
            # The segment was rotated meanwhile and may have been read to its end already:
            # a repeat is harmless, a lost span is not.
            self.append(frame)
        elif segment.size >= segment.rotate_at:
            self._rotate()

    def close(self) -> None:
        """Write no more; the spans that are open stay recorded as open."""
        self._closed = True
        segment, self._segment = self._segment, None
        if segment is None or self._pid != os.getpid():
            return
        if segment.frames == 0 and not any(True for _ in self._open_frames()):
            segment.path.unlink(missing_ok=True)

    def check(self) -> None:
        """See now whether what was written is where it is looked for; off the voice loop."""
        if self._segment is not None and not self._closed and self._pid == os.getpid():
            self._check(wait_seconds=_CHECK_WITHIN_SECONDS)

    def look(self) -> bool:
        """The same; False where something is gone since the last look."""
        self.check()
        has_lost, self._has_lost = self._has_lost, False
        return not has_lost

    @property
    def segment_path(self) -> Path | None:
        """The segment that is being written now."""
        return self._segment.path if self._segment else None

    def _fail(self, error: Exception) -> None:
        """Count a frame that did not reach the file; the torn part is skipped by readers."""
        self._ledger.count(losses.WRITE_FAILED, detail=str(error))

    def _look(self, now: float) -> _Segment | None:
        """The segment to write to, if any: asked in a new process, once a second, without one."""
        if self._closed:
            return None
        if self._pid != os.getpid():
            self._begin_process()
        is_being_opened = self._segment is None and self._rotation.locked()
        if now >= self._next_check or is_being_opened:
            self._next_check = now + _CHECK_EVERY_SECONDS
            self._check()
        if self._segment is None:
            self._ledger.count(losses.WRITE_FAILED)
        return self._segment

    def _check(self, *, wait_seconds: float = 0.0) -> None:
        """See whether the file is still there; if there is none, see whether one can be had."""
        within = -1 if self._segment is None else wait_seconds
        if not self._rotation.acquire(timeout=within):
            return  # another thread does it, and the old one is good until then
        try:
            if self._segment is None or not self._is_safe(self._segment):
                self._reopen(self._segment)
        finally:
            self._rotation.release()

    def _is_safe(self, segment: _Segment) -> bool:
        """Whether a segment is under its path; counts what is lost with it where it is not.

        A directory that was moved away, or another in its place, leaves the file where no drainer
        looks for it. What the system cannot say now, it is asked again.
        """
        try:
            file = os.fstat(segment.file.fileno())
            if file.st_nlink == 0:
                self._lose(losses.SPOOL_DELETED, segment.frames - segment.frames_safe)
                return False
            is_in_place = os.path.samestat(file, segment.path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        if is_in_place:
            segment.frames_safe = segment.frames
        return is_in_place

    def _lose(self, reason: str, number: int) -> None:
        self._has_lost = True
        self._ledger.count(reason, number, detail="at most")

    def _reopen(self, old: _Segment | None) -> None:
        """Begin a segment where there is none, or where the old one is lost or moved away."""
        try:
            make_private_directory(self.directory)
            self._move_on(old)
        except OSError as error:
            self._segment = None
            logger.debug("cannot open a segment: %s", error)
        if old is not None and _exists(old.file):
            self._find_again(old)

    def _find_again(self, segment: _Segment) -> None:
        """Have the drainer bring back what lies at another place now; count it where none is."""
        place = place_of(segment.file.fileno())
        try:
            if place is None:
                raise FileNotFoundError(str(segment.path))
            note_moved(self.directory, place.parent)
        except OSError:
            self._lose(losses.SPOOL_MOVED, segment.frames)

    def _rotate(self) -> None:
        if not self._rotation.acquire(blocking=False):
            return  # another thread does it
        try:
            old = self._segment
            if old is None or self._is_safe(old):
                self._move_on(old)
            else:
                self._reopen(old)
            # The drainer keeps the bound; this is for when none is alive.
            evict_oldest(self.directory, self._spool_bytes * 9 // 8, self._ledger)
        except OSError as error:
            logger.debug("cannot rotate the segment: %s", error)
            if self._segment is not None:
                self._segment.rotate_at += self._segment_bytes
        finally:
            self._rotation.release()

    def _move_on(self, old: _Segment | None) -> None:
        """Begin a new segment with the spans that are open, and say so in the old one."""
        carried = list(self._open_frames())
        self._segment = self._create_segment(carried)
        self._take_back_ended(carried)
        if old is not None and _exists(old.file):
            old.file.write(closed_frame())

    def _take_back_ended(self, carried: list[bytes]) -> None:
        """Spans that ended in another thread between the look at them and the new segment."""
        for frame in set(carried).difference(self._open_frames()):
            for record in read_records(frame):
                if record.span is not None and self._segment is not None:
                    frame = not_open_frame(record.span.trace_id, record.span.span_id)
                    self._segment.file.write(frame)

    def _header(self) -> dict[str, Any]:
        """Who writes, and what all of its spans have in common."""
        return {
            "pid": self._pid,
            "host": _HOST,
            "resource": dict(self._resource),
            "labels": self._labels,
        }

    def _create_segment(self, carried: Iterable[bytes]) -> _Segment:
        self._number += 1
        name = f"{time.time_ns() // 1_000_000:013d}.{self._process}.{self._number:06d}{SUFFIX}"
        path = self.directory / name
        new = path.with_suffix(_NEW_SUFFIX) if os.name != "nt" else path
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | _BINARY, 0o600)
        file = self._open_file(fd)
        try:
            try_lock(fd)
            beginning = b"".join((header_frame(self._header()), *carried))
            if file.write(beginning) != len(beginning):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            if new != path:
                new.rename(path)
        except OSError:
            file.close()
            new.unlink(missing_ok=True)
            raise
        return _Segment(path, file, len(beginning), self._segment_bytes)


def _exists(file: io.FileIO) -> bool:
    """Whether an open file is in some directory; False where that cannot be told."""
    try:
        return os.fstat(file.fileno()).st_nlink > 0
    except OSError:
        return False


_HOST = socket.gethostname()
_BINARY = getattr(os, "O_BINARY", 0)
