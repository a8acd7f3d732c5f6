"""A session on a virtual clock: whoever waits has waited at once, and nothing takes longer."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any
from unittest.mock import patch

_THREADS_SECONDS = 0.01
"""How long the loop really waits for threads where no timer is set."""


class VirtualClock:
    """All clocks of a process, which move only when everybody waits."""

    def __init__(self) -> None:
        self.started_at = time.time_ns()
        self.passed_nanos = 0

    def wall_nanos(self) -> int:
        return self.started_at + self.passed_nanos

    def wall(self) -> float:
        return self.wall_nanos() / 1e9

    def monotonic(self) -> float:
        return self.passed_nanos / 1e9


class _Selector(selectors.DefaultSelector):
    """Lets the clock jump to the next timer instead of waiting for it."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(_THREADS_SECONDS if timeout is None else 0)
        if not ready and timeout:
            self._clock.passed_nanos += max(round(timeout * 1e9), 1)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time is the virtual clock's."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(_Selector(clock))
        self._virtual = clock

    def time(self) -> float:
        return self._virtual.monotonic()


def run_virtually(session: Coroutine[Any, Any, None]) -> None:
    """Run a session to its end on a virtual clock, which LiveKit, the SDK and the fakes read."""
    clock = VirtualClock()
    loop = VirtualLoop(clock)
    clocks = {
        "time.time": clock.wall,
        "time.time_ns": clock.wall_nanos,
        "time.monotonic": clock.monotonic,
        "time.perf_counter": clock.monotonic,
        "opentelemetry.sdk.trace.time_ns": clock.wall_nanos,
    }
    patches = [patch(name, reading) for name, reading in clocks.items()]
    for one in patches:
        one.start()
    try:
        loop.run_until_complete(session)
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        for one in patches:
            one.stop()
        loop.close()
