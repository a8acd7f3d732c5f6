"""A real LiveKit worker with two calls at once that log, for test_log_jobs; TEST_JOB says how.

`executor` is how jobs run (`forkserver`, `spawn`, `thread`), `endpoint` where they are traced to,
`meeting` a directory in which the jobs wait for each other. With `kill`, each job ends its process
by SIGKILL once both have logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobExecutorType
from livekit.agents.llm import function_tool

from tests.sessions.scripted import FakeLLM, Said
from tracing import setup_tracer

WORK: dict[str, Any] = json.loads(os.environ["TEST_JOB"])
ROOMS = ("room 0", "room 1")

setup_tracer("otlp", endpoint=WORK["endpoint"])
app = logging.getLogger("my.app")


async def meet(room: str, when: str) -> None:
    """Wait until the other call is as far, too."""
    meeting = Path(WORK["meeting"])
    (meeting / f"{when} {room}").touch()
    while len(list(meeting.glob(f"{when} *"))) < len(ROOMS):
        await asyncio.sleep(0.01)


def own_thread(room: str) -> None:
    """Log in a thread that knows of no call, as one that a library has started."""
    app.warning("%s: in a thread of its own", room)
    logging.getLogger("urllib3.connectionpool").warning("%s: whose request was it", room)


async def entrypoint(ctx: JobContext) -> None:
    """One call that logs wherever it can."""
    room = ctx.job.room.name

    @function_tool
    async def book() -> str:
        """Book a table."""
        app.warning("%s: in a tool", room)
        await asyncio.to_thread(app.warning, "%s: in the executor", room)
        return "booked"

    script = {"hello": Said("", 0.0, tools=[("book", "{}")]), "booked": Said("Done.", 0.0)}
    session: AgentSession[None] = AgentSession(llm=FakeLLM(script))
    session.output.set_audio_enabled(False)
    app.warning("%s: in the entrypoint", room)
    await meet(room, "begun")
    await session.start(Agent(instructions="Book.", tools=[book]))
    await session.run(user_input="hello")
    thread = threading.Thread(target=own_thread, args=(room,), name="of a library")
    thread.start()
    thread.join()
    try:
        raise ConnectionError(room)
    except ConnectionError:
        app.exception("%s: it failed", room)
    app.info("%s: of no interest", room)
    await meet(room, "logged")
    if WORK["kill"]:
        os.kill(os.getpid(), signal.SIGKILL)

    async def late() -> None:
        app.warning("%s: at the end", room)

    ctx.add_shutdown_callback(late)
    ctx.shutdown("the call is over")


async def main() -> None:
    """Two jobs at once, to their end."""
    thread = WORK["executor"] == "thread"
    server = AgentServer(
        job_executor_type=JobExecutorType.THREAD if thread else JobExecutorType.PROCESS,
        multiprocessing_context="spawn" if WORK["executor"] == "spawn" else "forkserver",
        num_idle_processes=0 if thread else 2,
        initialize_process_timeout=60.0,
        host="127.0.0.1",
        port=0,
    )
    server.rtc_session(entrypoint)
    started = asyncio.Event()
    server.once("worker_started", started.set)
    serving = asyncio.create_task(server.run(devmode=True, unregistered=True))
    await started.wait()
    for room in ROOMS:
        await server.simulate_job(room, fake_job=True)
    while len(server.active_jobs) < len(ROOMS) and len(list(Path(WORK["meeting"]).iterdir())) < 2:
        await asyncio.sleep(0.01)
    while server.active_jobs:
        await asyncio.sleep(0.01)
    app.warning("of the worker")
    await server.aclose()
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(main())
