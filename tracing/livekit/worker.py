"""A worker that stops in good order gives the drain a bounded time before it ends."""

from __future__ import annotations

import asyncio
import functools
import logging
from pathlib import Path
from typing import Any

from tracing.spool.flush import flush_spool, waiting_bytes

logger = logging.getLogger(__name__)

_MARK = "_tracing_stop"


def drain_when_worker_stops(directory: Path | None, stop_seconds: float) -> None:
    """Let every AgentServer of this process end with a drain of at most `stop_seconds`.

    LiveKit has no event for this: `AgentServer.aclose` is what SIGTERM and Ctrl-C lead to,
    after the jobs have ended, so it is extended here, once.
    """
    from livekit.agents.worker import AgentServer

    previous = AgentServer.aclose
    if getattr(previous, _MARK, None) is not None:
        getattr(previous, _MARK)["directory"] = directory
        return
    target: dict[str, Any] = {"directory": directory}

    @functools.wraps(previous)
    async def aclose(self: AgentServer) -> None:
        await previous(self)
        if target["directory"] is not None:
            await asyncio.to_thread(_drain, target["directory"], stop_seconds)

    setattr(aclose, _MARK, target)
    AgentServer.aclose = aclose  # type: ignore[method-assign]


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
