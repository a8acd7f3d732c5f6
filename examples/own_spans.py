"""An agent with spans of its own, and a client of a language model that traces itself.

    python examples/own_spans.py dev    answer the calls of a LiveKit server

It needs the three LIVEKIT_* keys, OPENAI_API_KEY for the client, and Langfuse's keys: its wrapper
of the client (`langfuse.openai`) records only with these. Any OpenTelemetry instrumentation does
the same without them.
"""

from __future__ import annotations

from typing import Any

from dotenv import load_dotenv
from langfuse.openai import AsyncOpenAI  # type: ignore[attr-defined]
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
from opentelemetry import trace

from tracing import observe, setup_tracer

load_dotenv(".env.local")
setup_tracer()

server = AgentServer()
tracer = trace.get_tracer("reviews")


class Concierge(Agent):
    """Knows what guests wrote about restaurants."""

    def __init__(self) -> None:
        super().__init__(instructions="You recommend restaurants by what guests wrote of them.")

    @function_tool
    async def ask_the_guests(self, restaurant: str) -> str:
        """Tell in one sentence what guests think of a restaurant."""
        # This span is below the tool's, that below the turn's: no context has to be passed on.
        with tracer.start_as_current_span("find reviews") as span:
            reviews = await find_reviews(restaurant)
            span.set_attribute("reviews.count", len(reviews))
        async with AsyncOpenAI() as client:
            answer = await client.chat.completions.create(
                model="gpt-4.1-mini",
                messages=[{"role": "user", "content": "\n".join(["Sum up:", *reviews])}],
            )
        return answer.choices[0].message.content or "Nobody has written of it."


async def find_reviews(restaurant: str) -> list[str]:
    """What your database has."""
    return [f"{restaurant} has the best soup in town.", "A bit loud."]


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
    await session.start(Concierge(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
