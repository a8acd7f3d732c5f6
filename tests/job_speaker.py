"""A real LiveKit worker whose jobs speak of their calls, for test_application; TEST_JOB, as JSON.

`executor` is how jobs run (`forkserver`, `spawn`, `thread`), `jobs` how many at once, and `ending`
`done` or `kill`. Every word has the room's name in it. All jobs are in the middle of their calls
before one goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from pathlib import Path
from typing import Any

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    JobExecutorType,
    get_job_context,
    llm,
)
from livekit.agents.llm import function_tool
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from opentelemetry import trace

from tracing import current_call, observe, setup_tracer

WORK: dict[str, Any] = json.loads(os.environ["TEST_JOB"])
setup_tracer("otlp", endpoint=WORK["endpoint"])


def room() -> str:
    """The room of the job that this runs in."""
    return get_job_context().job.room.name


class ScriptedLLM(llm.LLM):
    """Calls the tool, then answers."""

    def chat(self, *, chat_ctx: Any, tools: Any = None, **options: Any) -> llm.LLMStream:
        connect = options.get("conn_options") or DEFAULT_API_CONNECT_OPTIONS
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=connect)


class _Answer(llm.LLMStream):
    async def _run(self) -> None:
        last = self._chat_ctx.items[-1]
        if last.type == "function_call_output":
            delta = llm.ChoiceDelta(role="assistant", content="It is booked.")
        else:
            call = llm.FunctionToolCall(name="book", arguments="{}", call_id="call-1")
            delta = llm.ChoiceDelta(role="assistant", tool_calls=[call])
        self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))


@function_tool
async def book() -> str:
    """Book a table."""
    current_call().set(tags=[f"tool {room()}"])
    current_call().event("booked", room=room())
    with trace.get_tracer("of the application").start_as_current_span("look up"):
        current_call().set(metadata={"own span": room()})
    return "booked"


class Clerk(Agent):
    """Speaks of the call as it takes it."""

    def __init__(self) -> None:
        super().__init__(instructions="You book tables.", tools=[book])

    async def on_enter(self) -> None:
        """LiveKit's hook."""
        current_call().set(metadata={"on_enter": room()})
        current_call().use_prompt(f"clerk of {room()}", 3)


async def everybody() -> None:
    """Wait until each job of the worker is here."""
    directory = Path(os.environ["TRACING_DIR"])
    (directory / f"{room()}.here").touch()
    while len(list(directory.glob("*.here"))) < WORK["jobs"]:
        await asyncio.sleep(0.01)


async def entrypoint(ctx: JobContext) -> None:
    """One call that speaks wherever code of the application runs."""
    own = room()
    current_call().set(tags=[own], metadata={"entrypoint": own})
    session: AgentSession[None] = AgentSession(llm=ScriptedLLM())
    session.output.set_audio_enabled(False)
    session.on(
        "conversation_item_added",
        lambda event: current_call().set(metadata={"callback": room()}),
    )
    observe(session)

    async def in_task() -> None:
        current_call().set(metadata={"task": room()})

    async def at_shutdown(reason: str) -> None:
        current_call().set(metadata={"shutdown": room()}, outcome=f"booked in {room()}")
        current_call().score("csat", 5, comment=room())

    ctx.add_shutdown_callback(at_shutdown)
    await session.start(Clerk())
    await everybody()
    await session.run(user_input="A table, please.")
    await asyncio.create_task(in_task())
    await asyncio.to_thread(lambda: current_call().set(metadata={"thread": room()}))
    logging.getLogger("test").info("call %s is %s", own, current_call().trace_id)
    if WORK["ending"] == "kill":
        current_call().event("in the entrypoint", room=own)
        with trace.get_tracer("of the application").start_as_current_span("step"):
            current_call().event("in a step", seats=[2, 3])
            os.kill(os.getpid(), signal.SIGKILL)
    ctx.shutdown("the call is over")


async def on_session_end(ctx: JobContext) -> None:
    """LiveKit's last hook before the callbacks."""
    current_call().set(metadata={"session end": room()})


async def run_jobs() -> None:
    """Run all jobs at once, and close the worker."""
    thread = WORK["executor"] == "thread"
    server = AgentServer(
        job_executor_type=JobExecutorType.THREAD if thread else JobExecutorType.PROCESS,
        multiprocessing_context="spawn" if WORK["executor"] == "spawn" else "forkserver",
        num_idle_processes=WORK["jobs"],
        initialize_process_timeout=60.0,  # two at once, on a machine that is busy
        host="127.0.0.1",
        port=0,
    )
    server.rtc_session(entrypoint, on_session_end=on_session_end)
    started = asyncio.Event()
    server.once("worker_started", started.set)
    serving = asyncio.create_task(server.run(devmode=True, unregistered=True))
    await started.wait()
    for number in range(WORK["jobs"]):
        await server.simulate_job(f"room {number}", fake_job=True)
    while len(server.active_jobs) < WORK["jobs"]:
        await asyncio.sleep(0.01)
    while server.active_jobs:
        await asyncio.sleep(0.01)
    await server.aclose()
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(run_jobs())
