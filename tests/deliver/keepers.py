"""What tests of the keeper look at, and how often it looks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from tracing.deliver.keeper import Keeper
from tracing.deliver.lease import holder
from tracing.deliver.pace import Pace

MakeKeeper = Callable[..., Keeper]

BRISK = Pace(keeper_tick_seconds=0.05)
"""The keeper looks more often; the drainers go at their own pace."""


def drainer_pid(spool: Path) -> int:
    """Who drains; 0 while nobody does."""
    found = holder(spool)
    return found.pid if found else 0


def keeper_threads() -> list[str]:
    """The names of the threads that keepers have."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("tracing-")]
