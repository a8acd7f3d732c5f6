"""A store brought up to date by who is about to read it: a page is asked for, and never writes."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable
from pathlib import Path

from tracing.store.store import Store


def catch_up(path: Path, tell: Callable[[int, int], None]) -> None:
    """Describe the calls that wait for it, telling how many are done, of how many.

    That is those of an earlier version, and of a drainer that was killed; a drainer describes its
    own, and the others when it has nothing else to do. Nothing is deleted, however old. A store
    that cannot be written is left as it is: what reads it describes calls from their spans.
    """
    with contextlib.suppress(OSError), _keeping_all(path) as store:
        done, total = 0, store.waiting_calls()
        while described := store.describe_waiting():
            done += described
            tell(done, max(done, total))


def _keeping_all(path: Path) -> Store:
    return Store(path, retention_days=math.inf, max_bytes=sys.maxsize)
