"""One deadline for all that is looked at, and looking at several things at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

Looked = TypeVar("Looked")


class TimeLeft:
    """What is left until the doctor has to be done."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    def seconds(self, most: float = float("inf")) -> float:
        """Seconds that something may take, at most `most`; 0.0 when it is over."""
        return max(min(self._ends_at - time.monotonic(), most), 0.0)

    def less(self, seconds: float) -> TimeLeft:
        """A deadline that is so much earlier."""
        return TimeLeft(self.seconds() - seconds)


def all_at_once(
    name: str, calls: Sequence[Callable[[], Looked]], seconds: float
) -> list[Looked | BaseException | None]:
    """What each call returned or raised, in their order; None for one that is not done in time.

    Each has a daemon thread of its own: what hangs, as a resolver of names does, is left behind.
    """
    found: list[Looked | BaseException | None] = [None] * len(calls)

    def keep(number: int, call: Callable[[], Looked]) -> None:
        try:
            found[number] = call()
        except BaseException as error:
            found[number] = error

    threads = [
        threading.Thread(target=keep, args=one, name=f"tracing-{name}", daemon=True)
        for one in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    ends_at = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(ends_at - time.monotonic(), 0.0))
    return list(found)
