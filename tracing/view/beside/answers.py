"""The answers that are a call's recording, in whole or in part, and its peaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from tracing.view.beside.peaks import peaks
from tracing.view.beside.player import Recording

FindRecording = Callable[[str], Awaitable[Recording | None]]


class Answers:
    """The handlers; recordings are decoded in a thread of their own, for a page can do without."""

    def __init__(self, find: FindRecording) -> None:
        self._find = find
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tracing-peaks")

    def routes(self, call: str) -> list[web.RouteDef]:
        """What is answered below the address of a call."""
        return [web.get(f"{call}/audio", self._audio), web.get(f"{call}/peaks", self._peaks)]

    async def close(self, app: web.Application) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _audio(self, request: web.Request) -> web.StreamResponse:
        recording = await self._recording(request)
        return web.FileResponse(recording.path, headers={"Content-Type": recording.content_type})

    async def _peaks(self, request: web.Request) -> web.StreamResponse:
        recording = await self._recording(request)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._thread, peaks, recording.path)
        return web.Response(body=found, content_type="application/octet-stream")

    async def _recording(self, request: web.Request) -> Recording:
        found = await self._find(request.match_info["id"])
        if found is None:
            raise web.HTTPNotFound(text="no such recording")
        return found
