"""Frames that wait in memory while the disk hangs, so that it can hold the voice loop only once."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from tracing.limits import OncePerMinute
from tracing.safe_text import get_logger
from tracing.spool import losses
from tracing.spool.losses import Ledger
from tracing.spool.segments import SegmentWriter

logger = get_logger(__name__)

SLOW_SECONDS = 0.02
"""A write that takes longer sends those behind it to the queue."""
SETTLE_SECONDS = 1.0
"""What the queue is given at the end of its process."""
CALM_SECONDS = 10.0
"""How long no write has to be slow for the loop to write again by itself."""
_WORTH_SAYING_SECONDS = 0.2
_LIMIT_BYTES = 16 * 2**20


class QueuedWriter:
    """Has each frame written at once, as long as that takes no time; else by a thread.

    After a write that was slow, frames go to a queue of a bounded size, from which a thread writes
    them in their order. Once no write has been slow for a while and the queue is empty, they are
    written at once again: a disk that hangs seldom hangs only once. With `always` they go through
    the queue from the first one on: then nobody ever waits for the disk, and what the queue holds
    dies with the process.
    """

    def __init__(
        self,
        writer: SegmentWriter,
        ledger: Ledger,
        *,
        always: bool = False,
        limit_bytes: int = _LIMIT_BYTES,
        calm_seconds: float = CALM_SECONDS,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._writer = writer
        self._write = writer.append
        self._ledger = ledger
        self._always = always
        self._limit_bytes = limit_bytes
        self._calm_seconds = calm_seconds
        self._clock = clock
        self._complaint = OncePerMinute()
        self._begin_process()

    def after_fork(self) -> None:
        """In a forked child: what waits is the parent's to write, and so is its segment."""
        self._begin_process()
        self._writer.after_fork()

    def _begin_process(self) -> None:
        self._is_direct = not self._always
        self._slow_at = 0.0
        self._changed = threading.Condition()
        self._frames: deque[bytes] = deque()
        self._waiting_bytes = 0
        """With the frame that is being written."""
        self._thread: threading.Thread | None = None

    def append(self, frame: bytes) -> None:
        """Write a frame, or have it written soon; never raises."""
        if self._is_direct:
            began = self._clock()
            self._write(frame)
            took = self._clock() - began
            if took > SLOW_SECONDS:
                self._queue_from_now_on(took)
        elif not self._enqueue(frame):
            self._write(frame)

    def settle(self, within_seconds: float = SETTLE_SECONDS) -> bool:
        """Wait until what is in the queue is written; False where it is not by then."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting_bytes, within_seconds)

    def check(self) -> None:
        """See whether what was written is where it is looked for; see `SegmentWriter.check`."""
        self._writer.check()

    def look(self) -> bool:
        """See whether what was written is where it is looked for; see `SegmentWriter.look`."""
        return self._writer.look()

    def close(self) -> None:
        """Write what waits, within bounds, and count the rest; then write no more."""
        self.settle()
        with self._changed:
            self._is_direct, self._always = True, False
            left = len(self._frames) + (self._thread is not None and self._waiting_bytes > 0)
            self._frames.clear()
            self._changed.notify_all()
        self._ledger.count(losses.DISK_HANGS, left, detail="at most, at the end")
        self._writer.close()

    def _queue_from_now_on(self, took_seconds: float) -> None:
        if took_seconds > _WORTH_SAYING_SECONDS and self._complaint.is_due():
            logger.warning(
                "the disk under the spool took %.1f s for one span: the next ones wait in memory, "
                "up to %d MiB, until it answers again",
                took_seconds,
                self._limit_bytes / 2**20,
            )
        with self._changed:
            self._slow_at = self._clock()
            self._is_direct = False

    def _enqueue(self, frame: bytes) -> bool:
        """Whether the frame is in the queue, or counted; else it is to be written at once."""
        with self._changed:
            if self._is_direct or not self._has_thread():
                return False
            if self._waiting_bytes + len(frame) > self._limit_bytes:
                detail = f"{self._limit_bytes / 2**20:.0f} MiB waited in memory"
                self._ledger.count(losses.DISK_HANGS, detail=detail)
                return True
            self._frames.append(frame)
            self._waiting_bytes += len(frame)
            self._changed.notify_all()
            return True

    def _has_thread(self) -> bool:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="tracing-writer", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads, or the interpreter ends
                return False
            self._thread = thread
        return True

    def _run(self) -> None:
        while (frame := self._next()) is not None:
            began = self._clock()
            self._write(frame)
            ended = self._clock()
            with self._changed:
                if ended - began > SLOW_SECONDS:
                    self._slow_at = ended
                self._waiting_bytes -= len(frame)
                self._changed.notify_all()

    def _next(self) -> bytes | None:
        """The next frame; None where frames are written at once from now on."""
        with self._changed:
            while not self._frames:
                left = self._slow_at + self._calm_seconds - self._clock()
                if self._is_direct or (left <= 0 and not self._always):
                    self._is_direct, self._thread = True, None
                    return None
                self._changed.wait(None if self._always else left)
            return self._frames.popleft()
