"""The agents that are recorded, and the sessions that they speak in."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from fakes import Caller, ClockedOutput, ScriptedTTS, SilentInput
from livekit.agents import Agent, AgentSession, AgentTask, StopResponse, function_tool
from livekit.agents.types import APIConnectOptions
from livekit.agents.voice.agent_session import SessionConnectOptions

QUICK = APIConnectOptions(max_retry=2, retry_interval=0.02, timeout=5.0)


class Restaurant(Agent):
    def __init__(self, instructions: str = "You answer the phone of a restaurant.", **kwargs: Any):
        super().__init__(instructions=instructions, **kwargs)

    @function_tool
    async def get_weather(self, city: str) -> str:
        """Tell the weather of a city."""
        await asyncio.sleep(0.03)
        return f"Sunny, 21 degrees in {city}."

    @function_tool
    async def book_table(self, people: int) -> str:
        """Book a table."""
        raise RuntimeError("database is locked")

    @function_tool
    async def transfer_to_billing(self) -> Any:
        """Hand the caller over to billing."""
        return Billing(), "Transferring you to billing."


class Billing(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You answer questions about bills.")


class Scripted(Agent):
    """Writes its own reply, without an LLM."""

    def __init__(self) -> None:
        super().__init__(instructions="You repeat the menu.")

    async def llm_node(self, chat_ctx: Any, tools: Any, model_settings: Any) -> str:
        return "Today we have soup and bread."


def session_of(**kwargs: Any) -> AgentSession:
    """An AgentSession with options that every version understands."""
    options = SessionConnectOptions(
        llm_conn_options=QUICK,
        tts_conn_options=QUICK,
        stt_conn_options=QUICK,
        max_unrecoverable_errors=kwargs.pop("tolerated", 3),
    )
    preemptive = kwargs.pop("preemptive", False)
    known = inspect.signature(AgentSession.__init__).parameters
    if "turn_handling" in known:
        kwargs["turn_handling"] = {
            "turn_detection": "vad" if kwargs.get("vad") else "manual",
            "endpointing": {"min_delay": kwargs.pop("endpointing", 0.15), "max_delay": 1.0},
            "interruption": {"mode": "vad", "min_duration": 0.2},
            "preemptive_generation": {"enabled": preemptive},
        }
    else:
        kwargs["min_endpointing_delay"] = kwargs.pop("endpointing", 0.15)
        kwargs["preemptive_generation"] = preemptive
    return AgentSession(conn_options=options, **kwargs)


def voice_session(caller: Caller, model: Any, voice: Any = None, **kwargs: Any) -> AgentSession:
    session = session_of(
        vad=caller.vad, stt=caller.stt, llm=model, tts=voice or ScriptedTTS(), **kwargs
    )
    session.input.audio = SilentInput()
    session.output.audio = ClockedOutput()
    return session


def heard(session: AgentSession, role: str, count: int) -> Callable[[], bool]:
    """Whether the conversation has so many messages of one role."""
    return lambda: sum(getattr(item, "role", "") == role for item in session.history.items) >= count


async def settle(session: AgentSession) -> None:
    """Wait until the agent has nothing more to say or to do."""
    quiet = 0
    while quiet < 10:
        quiet = quiet + 1 if session.agent_state in ("listening", "idle") else 0
        await asyncio.sleep(0.02)


class GetName(AgentTask[str]):
    def __init__(self) -> None:
        super().__init__(instructions="Get the caller's name.")

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Ask for the name.")

    @function_tool
    async def note_name(self, name: str) -> None:
        """Note the name."""
        self.complete(name)


class Host(Restaurant):
    """Asks for names by a task, says what it does meanwhile, and thinks before it answers."""

    async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
        if "never mind" in new_message.text_content:
            raise StopResponse
        await asyncio.sleep(0.6 if "first" in new_message.text_content else 0.0)

    @function_tool
    async def reserve(self) -> str:
        """Reserve a table under the caller's name."""
        name = await GetName()
        return f"Reserved for {name}."

    @function_tool
    async def look_for_table(self) -> str:
        """Look for a table, and say so."""
        self.session.say("One moment, I am looking.")
        await asyncio.sleep(0.4)
        return "There is a table."
