"""A restaurant's telephone agent, traced.

python agent_entry.py demo      one call on this machine: no account, no key
python agent_entry.py console   talk to it in this terminal (keys in .env.local)
python agent_entry.py dev       serve the calls of a LiveKit server, while developing
python agent_entry.py start     the same, in production
"""

from __future__ import annotations

import asyncio
import runpy
import sys
from typing import Any

from dotenv import load_dotenv
from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    JobProcess,
    cli,
    function_tool,
    inference,
)

from tracing import observe, setup_tracer

if __name__ == "__main__" and sys.argv[1:2] == ["demo"]:  # not for a copy of this file
    del sys.argv[1]  # it sets its options in the environment, then imports this file
    runpy.run_module("demo", run_name="__main__", alter_sys=True)  # and ends with its status

load_dotenv(".env.local")

# At import: each call has a process of its own, which imports this file before the call begins.
# In the entrypoint it would be too late for the span that everything else hangs from.
setup_tracer()

server = AgentServer()


class Host(Agent):
    """Answers the telephone and knows the bookings."""

    def __init__(self) -> None:
        super().__init__(instructions="You are the host of the Blue Door, a small restaurant.")

    async def on_enter(self) -> None:
        await self.session.generate_reply(instructions="Greet the caller.")

    @function_tool
    async def find_table(self, guests: int, time: str) -> str:
        """Find a free table for a number of guests, today at a time like 19:00."""
        await asyncio.sleep(0.2)
        return f"Table 4, by the window, is free for {guests} at {time}."

    @function_tool
    async def redeem_gift_card(self, booking: str) -> str:
        """Put the caller's gift card on a booking."""
        await asyncio.sleep(0.3)
        raise ConnectionError("the gift card service does not answer")  # see it in the trace

    @function_tool
    async def talk_to_chef(self) -> Agent:
        """Hand the caller over to the chef."""
        return Chef()


class Chef(Agent):
    """Takes wishes for the kitchen."""

    def __init__(self) -> None:
        super().__init__(instructions="You are the chef of the Blue Door. Note what guests wish.")

    async def on_enter(self) -> None:
        await self.session.generate_reply(instructions="Greet the caller.")


def models() -> dict[str, Any]:
    """The models of a session: LiveKit Inference, which goes by the LiveKit keys."""
    return {
        "stt": "deepgram/nova-3",
        "llm": "openai/gpt-4.1-mini",
        "tts": "cartesia/sonic-3",
        "vad": inference.VAD(),
    }


def prewarm(process: JobProcess) -> None:
    """Load what is slow to load before a call is waiting for it."""
    process.userdata["models"] = models()


server.setup_fnc = prewarm


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    """Serve one call."""
    session: AgentSession[None] = AgentSession(**ctx.proc.userdata["models"])
    observe(session)
    await session.start(agent=Host(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
