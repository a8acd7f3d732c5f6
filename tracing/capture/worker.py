"""A worker's start and end: what set-up has to do by then, and a bounded time for the drain."""

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
_START_MARK = "_tracing_start"


class _Target:
    """What a stopping worker drains: the latest set-up's spool, once per worker."""

    def __init__(self) -> None:
        self.directory: Path | None = None
        self.stop_seconds = 0.0
        self.drained: weakref.WeakSet[Any] = weakref.WeakSet()


def call_when_worker_starts(call: Callable[[Any], None] | None) -> None:
    """Call with each AgentServer of this process just before it starts; None for no more.

    By then logging is configured and the environment is loaded, and no job's process has begun.
    LiveKit has no event as early as this, so `AgentServer.run` is extended here, once.
    """
    from livekit.agents.worker import AgentServer

    run: Any = AgentServer.run
    calls = getattr(run, _START_MARK, None)
    if calls is None:
        calls = []
        AgentServer.run = _run_extended(run, calls)  # type: ignore[method-assign]
    calls[:] = [call] if call is not None else []


def _run_extended(run: Callable[..., Awaitable[None]], calls: list[Callable[[Any], None]]) -> Any:
    @functools.wraps(run)
    async def run_worker(self: Any, *arguments: Any, **options: Any) -> None:
        for call in list(calls):
            try:
                call(self)
            except Exception:
                logger.exception("the worker starts without what set-up had to do")
        await run(self, *arguments, **options)

    setattr(run_worker, _START_MARK, calls)
    return run_worker


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
