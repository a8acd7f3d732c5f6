"""A worker that stops in good order gives the drain a bounded time before it ends."""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tracing.deliver.flush import flush_spool, waiting_bytes
from tracing.safe_text import get_logger

logger = get_logger(__name__)

_MARK = "_tracing_stop"


class _Target:
    """What a stopping worker drains: the latest set-up's spool, once per worker."""

    def __init__(self) -> None:
        self.directory: Path | None = None
        self.stop_seconds = 0.0
        self.drained: weakref.WeakSet[Any] = weakref.WeakSet()


def drain_when_worker_stops(directory: Path | None, stop_seconds: float) -> None:
    """Let every AgentServer of this process end with a drain of at most `stop_seconds`.

    LiveKit has no event for this: `AgentServer.aclose` is what SIGTERM and Ctrl-C lead to,
    after the jobs have ended, so it is extended here, once.
    """
    from livekit.agents.worker import AgentServer

    target = getattr(AgentServer.aclose, _MARK, None)
    if target is None:
        target = _Target()
        AgentServer.aclose = _extended(AgentServer.aclose, target)  # type: ignore[method-assign]
    target.directory, target.stop_seconds = directory, stop_seconds


def _extended(close: Callable[[Any], Awaitable[None]], target: _Target) -> Any:
    @functools.wraps(close)
    async def aclose(self: Any) -> None:
        await close(self)
        if target.directory is not None and self not in target.drained:
            target.drained.add(self)
            await asyncio.to_thread(_drain, target.directory, target.stop_seconds)

    setattr(aclose, _MARK, target)
    return aclose


def _drain(directory: Path, stop_seconds: float) -> None:
    if stop_seconds > 0 and flush_spool(directory, stop_seconds, patient=True):
        return
    left = waiting_bytes(directory)
    if left:
        logger.warning(
            "%.1f KiB of spans are not delivered yet: they wait in %s for the next start",
            left / 1024,
            directory,
        )
