"""Two agents in one call: the first hands the caller over to the second.

    python examples/handoff.py dev    answer the calls of a LiveKit server

It needs LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.
"""

from __future__ import annotations

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
    llm,
)

from tracing import observe, setup_tracer

load_dotenv(".env.local")
setup_tracer()

server = AgentServer()


class Shop(Agent):
    """Sells bicycles, and knows who repairs them."""

    def __init__(self) -> None:
        super().__init__(instructions="You sell bicycles. The workshop repairs them.")

    @function_tool
    async def transfer_to_workshop(self) -> tuple[Agent, str]:
        """Hand the caller over to the workshop."""
        return Workshop(chat_ctx=self.chat_ctx), "Handing over to the workshop."


class Workshop(Agent):
    """Repairs bicycles; it knows what was said before."""

    def __init__(self, chat_ctx: llm.ChatContext) -> None:
        super().__init__(instructions="You repair bicycles.", chat_ctx=chat_ctx)

    @function_tool
    async def next_appointment(self) -> str:
        """Find the next free appointment."""
        return "Thursday at nine."


def models() -> dict[str, Any]:
    """What a session hears, thinks and speaks with."""
    return {
        "stt": "deepgram/nova-3",
        "llm": "openai/gpt-4.1-mini",
        "tts": "cartesia/sonic-3",
        "vad": inference.VAD(),
    }


def prewarm(process: JobProcess) -> None:
    """Load what is slow to load before a call waits for it."""
    process.userdata["models"] = models()


server.setup_fnc = prewarm


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    """Serve one call."""
    session: AgentSession[None] = AgentSession(**ctx.proc.userdata["models"])
    observe(session)
    await session.start(Shop(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
