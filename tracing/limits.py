"""What keeps disk, memory and log within bounds, where several rooms share it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

SPOOL_BYTES = 256 * 2**20
"""Disk that undelivered spans may take, where nobody says otherwise."""
MAX_AGE_SECONDS = 7 * 86400.0
"""How long spans and recordings wait to be delivered, where nobody says otherwise."""
CALL_DAYS = 30.0
"""How long the local store keeps a call after the last of it came in, and its recording."""
TIMEOUT_SECONDS = 10.0
"""What one request to a backend may take, where nobody says otherwise."""
SETTLE_SECONDS = 2.0
"""How long after its session began a call may be named, where names are for good once sent."""
IN_PROGRESS_SECONDS = 10.0
"""The age at which a call is shown as going on, and up to which it may wait for a session."""
LOG_LINES_PER_SECOND = 100
"""Log lines of a call that are recorded in one second: some 4 ms of it on the voice loop."""
LOG_BYTES_PER_CALL = 2 * 2**20
"""What the log lines of a call may take in the spool, some ten thousand: its spans take as much."""
LOG_TEXT_CHARACTERS = 16_384
"""Of a message, and of a traceback, that are kept: some 200 lines of text."""
MAX_DEPTH = 100
"""Lists and maps inside each other, in one attribute; what is deeper is kept as text.

Python's readers and writers of JSON end at about 1000 levels, of which OTLP takes five for a map
in a map.
"""

_SAY_EVERY_SECONDS = 60.0


def forget_oldest(kept: dict[Any, Any], most: int) -> None:
    """Drop the entry that was put in first, where a dict has more than `most`.

    Where threads share it another may be at it: it is the one that drops.
    """
    if len(kept) > most:
        with contextlib.suppress(KeyError, RuntimeError, StopIteration):
            del kept[next(iter(kept))]


def settled_at(began: int, session_began: int, settle_seconds: float) -> int:
    """When a call has the names that it keeps; nanoseconds since the Unix epoch, all three.

    Its session has begun for a while then, or did not begin (0) for so long that nobody waits.
    """
    at_last = began + int(IN_PROGRESS_SECONDS * 1e9)
    return min(session_began + int(settle_seconds * 1e9), at_last) if session_began else at_last


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
