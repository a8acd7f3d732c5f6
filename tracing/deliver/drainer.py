"""The process that empties a spool: one per spool by lease, gone when there is nothing to do.

It imports neither livekit nor the OpenTelemetry SDK, so that it starts fast and stays small.
Its configuration, credentials included, arrives on standard input.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
import threading
import time
from logging import WARNING
from pathlib import Path

from tracing.config.backends import Backend, digest, parse
from tracing.deliver.adoption import adopt_siblings, is_left, take_over
from tracing.deliver.confinement import confine
from tracing.deliver.delivery import Delivery
from tracing.deliver.flush import HURRY_NAME
from tracing.deliver.inspection import unreadable
from tracing.deliver.lease import Lease, holder, kill_holder
from tracing.deliver.measuring import Measuring
from tracing.deliver.pace import PRODUCTION, Pace
from tracing.deliver.status import post_notice, write_status
from tracing.limits import MAX_AGE_SECONDS, SPOOL_BYTES
from tracing.safe_text import get_logger
from tracing.spool import losses
from tracing.spool.acks import acknowledged_offset, settle_acks
from tracing.spool.locks import is_locked
from tracing.spool.losses import Ledger
from tracing.spool.moved import forget_moved, moved_places
from tracing.spool.records import count_held
from tracing.spool.segments import evict_oldest, segment_paths

logger = get_logger(__name__)

_GIVE_UP_AFTER_SECONDS = 600.0
_STOP_WITHIN_SECONDS = 5.0


class Drainer:
    """Empties one spool to its backends, each in a thread of its own."""

    def __init__(
        self,
        directory: Path,
        backends: list[Backend],
        *,
        spool_bytes: int = SPOOL_BYTES,
        max_age_seconds: float = MAX_AGE_SECONDS,
        give_up_after_seconds: float = _GIVE_UP_AFTER_SECONDS,
        in_agent: bool = False,
        pace: Pace = PRODUCTION,
    ) -> None:
        self.directory = directory
        self.stopping = threading.Event()
        self._backends = backends
        self._spool_bytes = spool_bytes
        self._max_age_seconds = max_age_seconds
        self._give_up_after_seconds = give_up_after_seconds
        self._in_agent = in_agent
        self._pace = pace
        self._ledger = Ledger(directory, say=self._say)
        self._deliveries: list[Delivery] = []
        self._lease: Lease | None = None
        self._notice_numbers = itertools.count()
        self._hurried_at = 0.0
        self._unreadable: frozenset[str] = frozenset()
        self._reported_at = 0.0
        self._measuring = Measuring(directory, self._say)
        self._moved_since: dict[Path, float] = {}
        """Since when a drainer has been seen where this spool was moved to."""

    def run(self) -> bool:
        """Drain until nothing is left or `stopping` is set; False when another drainer is at it.

        Gives up on what no backend takes once every producer is gone: it waits on disk.
        """
        lease = Lease.take(self.directory, digest(self._backends), in_agent=self._in_agent)
        if lease is None:
            return False
        self._lease = lease
        with lease:
            settle_acks(self.directory, [backend.name for backend in self._backends])
            adopt_siblings(self.directory, self._backends, beat=lease.beat)
            self._begin_deliveries()
            while lease.is_valid() and not self.stopping.is_set():
                if not self._has_work():
                    lease.leave()
                    break
                self._tick()
                self._bring_back_moved()
                self.stopping.wait(self._pace.drainer_tick_seconds)
            self._stop()
        return True

    def _begin_deliveries(self) -> None:
        self._deliveries = [
            Delivery(self.directory, backend, self._ledger, pace=self._pace)
            for backend in self._backends
        ]
        for delivery in self._deliveries:
            delivery.start()

    def _end_deliveries(self, within_seconds: float) -> None:
        deadline = time.monotonic() + within_seconds
        for delivery in self._deliveries:
            delivery.stopping.set()
        for delivery in self._deliveries:
            delivery.join(max(deadline - time.monotonic(), self._pace.drainer_tick_seconds))

    def _tick(self) -> None:
        self._delete_delivered()
        evict_oldest(self.directory, self._spool_bytes, self._ledger)
        self._expire()
        self._pass_on_hurry()
        self._measuring.tend()
        self._say_unreadable()
        if time.monotonic() - self._reported_at > self._pace.status_seconds:
            self._report()

    def _has_work(self) -> bool:
        """Whether a producer lives, or something waits that a backend may still take."""
        if self._measuring.has_work():
            return True
        segments = segment_paths(self.directory)
        if not segments and not moved_places(self.directory):
            return False
        progressed = max(delivery.progressed_at for delivery in self._deliveries)
        if time.monotonic() - progressed < self._give_up_after_seconds:
            return True
        return any(is_locked(path) for path in segments)

    def _delete_delivered(self) -> None:
        """Delete the segments that every backend has taken to the end."""
        for name in frozenset.intersection(*(delivery.done for delivery in self._deliveries)):
            with contextlib.suppress(OSError):
                (self.directory / name).unlink()

    def _expire(self) -> None:
        """Delete segments beyond the age cap, counted."""
        oldest = time.time() - self._max_age_seconds
        for path in segment_paths(self.directory):
            try:
                if path.stat().st_mtime >= oldest or is_locked(path):
                    continue
                held = count_held(path, acknowledged_offset(self.directory, path.name))
                path.unlink()
            except OSError:
                continue
            self._ledger.count(losses.EXPIRED, held.spans)
            self._ledger.count(losses.LINES_DELETED, held.lines, detail="too old")

    def _pass_on_hurry(self) -> None:
        try:
            hurried_at = (self.directory / HURRY_NAME).stat().st_mtime
        except OSError:
            return
        if hurried_at != self._hurried_at:
            self._hurried_at = hurried_at
            for delivery in self._deliveries:
                delivery.hurry.set()

    def _say_unreadable(self) -> None:
        """Say once of each segment that this version cannot read that it is left alone."""
        found = frozenset().union(*(delivery.unreadable for delivery in self._deliveries))
        new = found - self._unreadable
        if new:
            self._unreadable = found
            self._say(unreadable(self.directory, len(new)))

    def _report(self) -> None:
        self._reported_at = time.monotonic()
        self._ledger.settle()
        self._beat()
        with contextlib.suppress(OSError):
            write_status(self.directory, [delivery.status for delivery in self._deliveries])

    def _beat(self) -> None:
        if self._lease is not None:
            self._lease.beat()

    def _say(self, text: str) -> None:
        """Have a living agent process log it; there is no terminal here."""
        with contextlib.suppress(OSError):
            post_notice(self.directory, f"losses-{next(self._notice_numbers)}", WARNING, text)

    def _stop(self) -> None:
        """Let what can leave at once leave, then end the threads and delete what is done."""
        deadline = time.monotonic() + _STOP_WITHIN_SECONDS
        self._measuring.stop()
        for delivery in self._deliveries:
            delivery.hurry.set()
        while self.stopping.is_set() and time.monotonic() < deadline:
            if all(d.is_idle or d.status.state != "delivering" for d in self._deliveries):
                break
            time.sleep(self._pace.drainer_tick_seconds)
        self._end_deliveries(deadline - time.monotonic())
        self._delete_delivered()
        self._ledger.settle(finally_=True)
        self._report()

    def _bring_back_moved(self) -> None:
        """Take back what lies where this spool's directory was moved to, once nobody is there."""
        for place in moved_places(self.directory):
            if not place.is_dir() or place == self.directory:
                forget_moved(self.directory, place)
            elif is_left(place) and self._has_no_drainer(place):
                self._end_deliveries(_STOP_WITHIN_SECONDS)
                try:
                    take_over(self.directory, place, self._backends)
                except OSError as error:
                    self._say(f"spans stay in {place}, where the spool was moved to: {error}")
                forget_moved(self.directory, place)
                self._begin_deliveries()

    def _has_no_drainer(self, place: Path) -> bool:
        """Whether the drainer that worked there has ended, as it does at once if it can."""
        if holder(place) is None:
            self._moved_since.pop(place, None)
            return True
        since = self._moved_since.setdefault(place, time.monotonic())
        if time.monotonic() - since > self._pace.silent_end_seconds:
            kill_holder(place)
        return False


def main() -> None:
    """Entry of the drainer process: `<directory> <spool bytes> <max age>`, backends on stdin."""
    confine()
    directory, spool_bytes, max_age_seconds = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    backends = parse(sys.stdin.read())
    drainer = Drainer(
        directory, backends, spool_bytes=spool_bytes, max_age_seconds=float(max_age_seconds)
    )
    signal.signal(signal.SIGTERM, lambda *_: drainer.stopping.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    drainer.run()
