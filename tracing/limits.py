"""What keeps memory and log within bounds: dicts that forget, sentences said once a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_SAY_EVERY_SECONDS = 60.0


def forget_oldest(kept: dict[Any, Any], most: int) -> None:
    """Drop the entry that was put in first, where a dict has more than `most`."""
    if len(kept) > most:
        del kept[next(iter(kept))]


class OncePerMinute:
    """Whether it is time to say again what would otherwise be said at every occurrence."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_at = float("-inf")

    def is_due(self) -> bool:
        """True at the first call, and at the first one a minute after the last True."""
        now = self._clock()
        if now - self._said_at < _SAY_EVERY_SECONDS:
            return False
        self._said_at = now
        return True
