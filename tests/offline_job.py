"""A real LiveKit worker with one offline job: `python -m tests.offline_job [seconds]`.

Settings come from the environment. The caller types, a scripted model answers and calls a tool.
With `seconds` the call goes on for so long after the last answer. JOB_NAMES, a JSON object, is
what the application says of the call, after its first answer. JOB_SDK has Langfuse's own SDK in
the process, from `before` set-up or `after` it: its decorator is on what the tool does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from typing import Any

import langfuse
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobProcess, llm
from livekit.agents.llm import function_tool
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from tests.workers import CARD, TYPED
from tracing import observe, setup_tracer

SDK = os.environ.get("JOB_SDK", "")
if SDK == "before":
    langfuse.get_client()
TRACING = setup_tracer(mask=lambda text: text.replace(CARD, "[card]"))
if SDK == "after":
    langfuse.get_client()


def say(**event: Any) -> None:
    """One line of JSON for the test, in one write."""
    os.write(1, json.dumps(event).encode() + b"\n")


class ScriptedLLM(llm.LLM):
    """Knows the evening's three answers; the second one calls a tool first."""

    def chat(self, *, chat_ctx: Any, tools: Any = None, **options: Any) -> llm.LLMStream:
        """One answer."""
        connect = options.get("conn_options") or DEFAULT_API_CONNECT_OPTIONS
        return ScriptedStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=connect)


class ScriptedStream(llm.LLMStream):
    """One answer under way."""

    async def _run(self) -> None:
        await asyncio.sleep(0.02)
        last = self._chat_ctx.items[-1]
        if last.type == "function_call_output":
            self._say("It is booked.")
        elif "table" in (last.text_content or ""):
            self._say("One moment.")
            call = llm.FunctionToolCall(name="book", arguments='{"guests": 2}', call_id="call-1")
            self._send(llm.ChoiceDelta(role="assistant", tool_calls=[call]))
        else:
            self._say(f"You are welcome, {CARD}.")
        usage = llm.CompletionUsage(completion_tokens=9, prompt_tokens=90, total_tokens=99)
        self._event_ch.send_nowait(llm.ChatChunk(id="answer", usage=usage))

    def _say(self, text: str) -> None:
        self._send(llm.ChoiceDelta(role="assistant", content=text))

    def _send(self, delta: llm.ChoiceDelta) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))


@function_tool
async def book(guests: int) -> str:
    """Book a table."""
    return charge(CARD, guests) if SDK else f"booked for {guests}"


@langfuse.observe()
def charge(card: str, guests: int) -> str:
    """What the application traces by itself."""
    return f"booked for {guests} with {card}"


@langfuse.observe()
def warm_up() -> str:
    """The same outside of a call."""
    return "warm"


async def entrypoint(ctx: JobContext) -> None:
    """The call."""
    session: AgentSession[None] = AgentSession(llm=ScriptedLLM())
    session.output.set_audio_enabled(False)
    names = json.loads(os.environ.get("JOB_NAMES", "{}"))
    if not names:
        observe(session)
    await session.start(Agent(instructions="You book tables.", tools=[book]))
    for text in TYPED:
        await session.run(user_input=text)
        observe(session, **names)
    say(event="answered", pid=os.getpid(), threads=sorted(t.name for t in threading.enumerate()))
    await asyncio.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0)
    if os.environ.get("JOB_ENDS") == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if SDK:
        langfuse.get_client().flush()
    ctx.shutdown("the call is over")


def prewarm(process: JobProcess) -> None:
    """Tracing is set up at import."""
    if SDK:
        warm_up()


async def run() -> None:
    """Start the worker, run one job, and stop."""
    server = AgentServer(setup_fnc=prewarm, num_idle_processes=1, port=0)
    server.rtc_session(entrypoint)
    started = asyncio.Event()
    server.once("worker_started", started.set)
    serving = asyncio.create_task(server.run(devmode=True, unregistered=True))
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
    say(event="stopped", pid=os.getpid())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    asyncio.run(run())
