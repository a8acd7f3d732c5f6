"""A real LiveKit worker with offline jobs, for test_jobs: what it does is in TEST_JOB, as JSON.

`place` is where the tracer is set up (`import`, `prewarm`, `entrypoint`), `executor` how jobs
run (`forkserver`, `spawn`, `thread`), `jobs` how many, `ending` how one ends (`done`, or `kill`
in the middle of the second answer). With `serve`, the worker runs on LiveKit's own command line
until it is told to stop, and records one span itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from typing import Any

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    JobExecutorType,
    JobProcess,
    cli,
    llm,
)
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from tracing import setup_tracer

WORK: dict[str, Any] = json.loads(os.environ["TEST_JOB"])
TURNS = 3


def set_up(place: str) -> None:
    """Set up where the test says; each process does it for itself."""
    if WORK["place"] == place:
        setup_tracer("otlp", endpoint=WORK["endpoint"])


set_up("import")


class ScriptedLLM(llm.LLM):
    """Answers in two pieces; may be killed between those of its second answer."""

    def chat(self, *, chat_ctx: Any, tools: Any = None, **options: Any) -> llm.LLMStream:
        connect = options.get("conn_options") or DEFAULT_API_CONNECT_OPTIONS
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=connect)


class _Answer(llm.LLMStream):
    given = 0

    async def _run(self) -> None:
        _Answer.given += 1
        self._say("Certainly. ")
        await asyncio.sleep(0.02)
        if WORK["ending"] == "kill" and _Answer.given == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        self._say("Your table is booked.")
        usage = llm.CompletionUsage(completion_tokens=9, prompt_tokens=90, total_tokens=99)
        self._event_ch.send_nowait(llm.ChatChunk(id="answer", usage=usage))

    def _say(self, text: str) -> None:
        delta = llm.ChoiceDelta(role="assistant", content=text)
        self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))


def prewarm(process: JobProcess) -> None:
    """LiveKit's setup_fnc."""
    set_up("prewarm")


async def entrypoint(ctx: JobContext) -> None:
    """One call of some turns, by text."""
    set_up("entrypoint")
    session: AgentSession[None] = AgentSession(llm=ScriptedLLM())
    session.output.set_audio_enabled(False)
    await session.start(Agent(instructions="You book tables."))
    for number in range(TURNS):
        await session.run(user_input=f"A table for {number + 1}, please.")
    ctx.shutdown("the call is over")


def make_server() -> AgentServer:
    """The worker, as small as it can be."""
    thread = WORK["executor"] == "thread"
    server = AgentServer(
        setup_fnc=prewarm,
        job_executor_type=JobExecutorType.THREAD if thread else JobExecutorType.PROCESS,
        multiprocessing_context="spawn" if WORK["executor"] == "spawn" else "forkserver",
        num_idle_processes=0 if WORK["serve"] else 1,
        host="127.0.0.1",
        port=0,
    )
    server.rtc_session(entrypoint)
    return server


async def run_jobs(server: AgentServer) -> None:
    """Run the jobs one after the other, and close the worker."""
    started = asyncio.Event()
    server.once("worker_started", started.set)
    serving = asyncio.create_task(server.run(devmode=True, unregistered=True))
    await started.wait()
    for number in range(WORK["jobs"]):
        await server.simulate_job(f"room {number}", fake_job=True)
        while not server.active_jobs:
            await asyncio.sleep(0.01)
        while server.active_jobs:
            await asyncio.sleep(0.01)
    await server.aclose()
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def main() -> None:
    """One worker's life."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    server = make_server()
    if WORK["serve"]:
        from livekit.agents.telemetry import tracer

        server.once("worker_started", lambda: tracer.start_span("of the worker").end())
        sys.argv[1:] = ["start"]
        cli.run_app(server)
    else:
        asyncio.run(run_jobs(server))


if __name__ == "__main__":
    main()
