"""The smallest agent whose calls are traced.

    python examples/minimal.py console   talk to it in this terminal (on Linux with PortAudio)
    python examples/minimal.py dev       answer the calls of a LiveKit server

It needs LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, in the environment or in .env.local;
the models are LiveKit Inference's, which go by the same keys.
"""

from __future__ import annotations

from typing import Any

from dotenv import load_dotenv
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobProcess, cli, inference

from tracing import observe, setup_tracer

load_dotenv(".env.local")

# Where the module is imported: every call has a process of its own, which imports this file first.
setup_tracer()

server = AgentServer()


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
    await session.start(Agent(instructions="You answer briefly."), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
