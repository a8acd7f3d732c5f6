"""A speech-to-speech agent: one model hears, thinks and speaks.

    python examples/realtime.py dev    answer the calls of a LiveKit server

It needs LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, and livekit-agents 1.8 or newer for
the model by LiveKit Inference; with `pip install livekit-plugins-openai` and OPENAI_API_KEY it is
`openai.realtime.RealtimeModel()`.
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
)

from tracing import observe, setup_tracer

load_dotenv(".env.local")
setup_tracer()

server = AgentServer()


class Guide(Agent):
    """Tells callers about a museum."""

    def __init__(self) -> None:
        super().__init__(instructions="You are the guide of a small museum. Answer briefly.")

    @function_tool
    async def opening_hours(self, day: str) -> str:
        """Look up the opening hours of a day of the week."""
        return f"On {day} the museum is open from ten to six."


def models() -> dict[str, Any]:
    """What a session hears, thinks and speaks with; the model finds the ends of turns itself."""
    return {"llm": "openai/gpt-realtime"}


def prewarm(process: JobProcess) -> None:
    """Load what is slow to load before a call waits for it."""
    process.userdata["models"] = models()


server.setup_fnc = prewarm


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    """Serve one call."""
    session: AgentSession[None] = AgentSession(**ctx.proc.userdata["models"])
    # What the model heard, and the tokens of each modality, come as events of the session.
    observe(session, table=True)
    await session.start(Guide(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
