"""A real LiveKit worker with one offline job: `python -m tests.faults.job JSON`.

A text-only AgentSession with a scripted model answers five times in a job process that the
real worker starts. `Work.method` is how processes start, `Work.ending` is `flush` (the
documented callback), `exit` (none), or `kill` (SIGKILL while the third answer is streaming).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing.util
import os
import signal
import sys
import threading
import time
from typing import Any

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobProcess, llm
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from .contenders import is_ours
from .producer import RECORD, Installed, Work, install, say

TURNS = 5
WORK = Work(**json.loads(sys.argv[1]))


class Recorder(SpanProcessor):
    """Writes the id of each span that has ended; registered last, so after the contender."""

    def __init__(self) -> None:
        self._file = os.open(WORK.ended_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def on_end(self, span: ReadableSpan) -> None:
        """One write per span."""
        assert span.context is not None
        span_id = span.context.span_id.to_bytes(8, "big")
        os.write(self._file, RECORD.pack(span_id, span.end_time or 0))


class ScriptedLLM(llm.LLM):
    """Answers after 50 ms, in two pieces."""

    def chat(self, *, chat_ctx: Any, tools: Any = None, **options: Any) -> llm.LLMStream:
        """One answer."""
        connect = options.get("conn_options") or DEFAULT_API_CONNECT_OPTIONS
        return ScriptedStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=connect)


class ScriptedStream(llm.LLMStream):
    """One answer under way."""

    turn = 0

    async def _run(self) -> None:
        ScriptedStream.turn += 1
        await asyncio.sleep(0.05)
        self._say("Certainly. ")
        if WORK.ending == "kill" and ScriptedStream.turn == 3:
            say("done", flush_seconds=0.0)
            os.kill(os.getpid(), signal.SIGKILL)
        self._say("Your table is booked.")
        usage = llm.CompletionUsage(completion_tokens=9, prompt_tokens=90, total_tokens=99)
        self._event_ch.send_nowait(llm.ChatChunk(id="answer", usage=usage))

    def _say(self, text: str) -> None:
        delta = llm.ChoiceDelta(role="assistant", content=text)
        self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))


def install_recorded() -> Installed:
    """The contender's set-up, with the recorder behind it."""
    installed = install(WORK)
    if installed.provider is not None:
        installed.provider.add_span_processor(Recorder())  # type: ignore[attr-defined]
    return installed


INSTALLED = install_recorded() if is_ours(WORK.contender) else None


def watch_loop() -> None:
    """Write down the longest time that this event loop stood still, from another thread."""
    beat = [time.monotonic()]

    async def tick() -> None:
        while True:
            beat[0] = time.monotonic()
            await asyncio.sleep(0.005)

    def watch() -> None:
        worst = 0.0
        while True:
            time.sleep(0.02)
            behind = time.monotonic() - beat[0]
            if behind > worst + 0.02:
                worst = behind
                say("frozen", seconds=worst)

    watch_loop.task = asyncio.create_task(tick())  # type: ignore[attr-defined]
    threading.Thread(target=watch, daemon=True).start()


async def entrypoint(ctx: JobContext) -> None:
    """The call; ours is in place since import, today's set-ups go where the docs put them."""
    multiprocessing.util.Finalize(None, say, ("left",), exitpriority=-100)  # the last of all
    installed = INSTALLED or install_recorded()
    if WORK.ending == "flush":

        async def flush() -> None:
            installed.flush()

        ctx.add_shutdown_callback(flush)
    watch_loop()
    session: AgentSession[None] = AgentSession(llm=ScriptedLLM())
    session.output.set_audio_enabled(False)
    await session.start(Agent(instructions="You book tables."))
    for number in range(TURNS):
        await session.run(user_input=f"A table for {number + 1}, please.")
    await session.aclose()
    say("done", flush_seconds=0.0)
    ctx.shutdown("the call is over")


def prewarm(process: JobProcess) -> None:
    """Nothing: ours is set up at import, today's in the entrypoint."""


async def run() -> None:
    """Start the worker, run one job, and stop."""
    method: Any = WORK.method
    server = AgentServer(
        setup_fnc=prewarm,
        num_idle_processes=0,  # one more would import livekit beside the exit that is timed
        multiprocessing_context=method,
        initialize_process_timeout=60.0,  # six rows may be importing at once
        port=0,
    )
    server.rtc_session(entrypoint)
    server.once("worker_started", lambda: say("ready"))
    serving = asyncio.create_task(server.run(devmode=True, unregistered=True))
    started = asyncio.Event()
    server.once("worker_started", started.set)
    await started.wait()
    await server.simulate_job("room", fake_job=True)
    while not server.active_jobs:
        await asyncio.sleep(0.005)
    while server.active_jobs:
        await asyncio.sleep(0.005)
    await server.aclose()
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    asyncio.run(run())
