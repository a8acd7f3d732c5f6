"""Whether the drainer that holds a spool's lease does anything: a lock alone is no sign of life."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from tracing.deliver import lease
from tracing.deliver.lease import Holder
from tracing.deliver.pace import Pace
from tracing.deliver.status import status_written_at


def signs_of_life(directory: Path) -> tuple[float, float]:
    """What changes as long as a drainer is at work; drainers of the last version only write."""
    return lease.beat_at(directory), status_written_at(directory)


class Watch:
    """For how long the holder of the lease has been silent, by this process's own clock.

    Other clocks may be set, and time in which nobody looked (a stopped container) says nothing.
    """

    def __init__(
        self, directory: Path, pace: Pace, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._directory = directory
        self._longest_step = 2 * pace.keeper_tick_seconds
        self._clock = clock
        self._seen: tuple[Holder, tuple[float, float]] | None = None
        self._looked_at = 0.0
        self._silent_seconds = 0.0

    def silent_seconds(self, holder: Holder) -> float:
        """Look at the signs of life; how long they have been the same."""
        now, seen = self._clock(), (holder, signs_of_life(self._directory))
        step, self._looked_at = min(now - self._looked_at, self._longest_step), now
        self._silent_seconds = self._silent_seconds + step if seen == self._seen else 0.0
        self._seen = seen
        return self._silent_seconds


def stands_still(directory: Path, pace: Pace) -> float:
    """For how many seconds the holder has been silent, where it does seem so; else 0.0.

    For one look: the age by the wall clock, and where that is long, a second look.
    """
    before = signs_of_life(directory)
    age = time.time() - max(before)
    if age < pace.silent_say_seconds or not os.access(directory, os.W_OK):
        return 0.0
    time.sleep(3 * pace.status_seconds)
    return age if signs_of_life(directory) == before else 0.0
