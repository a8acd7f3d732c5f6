"""A telephone agent: callers come by SIP, and no telephone number leaves the process.

    python examples/telephone.py start    answer the calls of a LiveKit server

It needs the three LIVEKIT_* keys, and a dispatch rule that names the agent `reception`
(docs.livekit.io/telephony). CALLER_KEY is a secret of yours by which callers get their pseudonyms.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

from dotenv import load_dotenv
from livekit import rtc
from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    JobProcess,
    cli,
    function_tool,
    get_job_context,
    inference,
)

from tracing import observe, setup_tracer

load_dotenv(".env.local")

PHONE_NUMBER = re.compile(r"\+\d{6,}|(?<![\w.])\d{2,}(?:[ ()/-]+\d{2,})+")
"""With a plus, or in groups: the mask gets texts that are JSON, too, whose numbers stay numbers."""


def without_numbers(text: str) -> str:
    """A text as it may leave the process: said, typed, or an identity such as `sip_+1555...`."""
    return PHONE_NUMBER.sub("[number]", text)


setup_tracer(mask=without_numbers)

server = AgentServer()


class Reception(Agent):
    """Answers the telephone of a surgery."""

    def __init__(self) -> None:
        super().__init__(instructions="You answer the telephone of a surgery.")

    async def on_enter(self) -> None:
        self.session.say("Doctor Lee's surgery, good morning.")

    @function_tool
    async def take_message(self, message: str) -> str:
        """Take a message for the doctor, which is what most callers want."""
        get_job_context().tagger.success("a message was taken")
        return "The message is noted."


def pseudonym(caller: rtc.RemoteParticipant) -> str:
    """The same for every call of a caller, and nobody's number."""
    number = caller.attributes.get("sip.phoneNumber", caller.identity)
    key = os.environ.get("CALLER_KEY", "").encode()
    return "caller-" + hashlib.blake2b(number.encode(), key=key, digest_size=8).hexdigest()


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


@server.rtc_session(agent_name="reception")
async def entrypoint(ctx: JobContext) -> None:
    """Serve one call; the caller is there before the agent speaks."""
    session: AgentSession[None] = AgentSession(**ctx.proc.userdata["models"])
    await ctx.connect()
    caller = await ctx.wait_for_participant()
    observe(session, user_id=pseudonym(caller), budget_seconds=1.5)
    await session.start(Reception(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
