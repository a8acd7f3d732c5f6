"""What the tests of scripted sessions share: an agent, and its account against the script."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.agents import Agent, function_tool

from tests.sessions.scripted import Said, Stalls, Waits
from tests.sessions.studio import Recorder, Studio, studio
from tracing.account.turns.latency import parts_of
from tracing.span import Span

NOT_PREEMPTIVE = {"turn_handling": {"preemptive_generation": {"enabled": False}}}
CLOSE_SECONDS = 0.02
SUM_SECONDS = 0.001


class Clerk(Agent):
    """Answers, looks things up, and hands over."""

    def __init__(self, greeting: str = "", hook_seconds: float = 0.0) -> None:
        super().__init__(instructions="Help.")
        self.greeting, self.hook_seconds = greeting, hook_seconds
        self.waits = Waits()

    async def on_enter(self) -> None:
        if self.greeting:
            self.session.say(self.greeting)

    async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
        await self.waits.wait("hook", self.hook_seconds)

    @function_tool
    async def look_up(self, what: str) -> str:
        """Look something up."""
        await self.waits.wait("look_up", 0.2)
        return f"looked up {what}"

    @function_tool
    async def search(self, what: str) -> str:
        """Search for something, slowly."""
        await self.waits.wait("search", 0.3)
        return f"looked up {what}"

    @function_tool
    async def pay(self) -> str:
        """Fail to pay."""
        raise ValueError("the card was refused")

    @function_tool
    async def hand_over(self) -> Agent:
        """Hand over to the chef."""
        return Chef()


class Chef(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Cook.")

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="introduce yourself")


def tolerance() -> float:
    """What a part may be off: 20 ms, and for what the machine stood still."""
    return CLOSE_SECONDS + Stalls.seconds()


def account_of(turn: Span) -> dict[str, float]:
    """A turn's parts, having checked that they add up and leave little unexplained."""
    found = parts_of(turn.attributes)
    whole = turn.attributes.get(
        "turn.user_bot_latency_seconds", turn.attributes.get("turn.first_output_seconds")
    )
    assert sum(found.values()) == pytest.approx(whole, abs=SUM_SECONDS)
    assert all(seconds >= 0 for seconds in found.values())
    assert found.pop("unaccounted", 0.0) < tolerance()
    return found


def last_turn(recorder: Recorder) -> Span:
    """The last turn, whose latency is LiveKit's where LiveKit has one."""
    turn = recorder.named("agent_turn")[-1]
    if "lk.e2e_latency" in turn.attributes:
        measured = turn.attributes["turn.user_bot_latency_seconds"]
        assert measured == turn.attributes["lk.e2e_latency"]
    return turn


def close(**seconds: float) -> dict[str, Any]:
    """Parts as they were scripted; a dot in a name is written as two underscores."""
    return {
        name.replace("__", "."): pytest.approx(value, abs=tolerance())
        for name, value in seconds.items()
    }


def heard(running: Studio) -> dict[str, float]:
    """The user's stages as they really took: detection, transcript, decision."""
    taken = running.waits.taken
    detection, transcription = taken["detection"][-1], taken["transcription"][-1]
    return {
        "end_of_speech_detection": detection,
        "transcription_wait": max(transcription - detection, 0.0),
        "turn_decision": decided(running) - max(detection, transcription),
    }


def decided(running: Studio) -> float:
    """When LiveKit decided that the turn was over, after the last word."""
    return running.recorder.named("eou_wait")[-1].duration_seconds


def tool_took(running: Studio, name: str) -> float:
    """How long a tool of the clerk's, or its hook, really took the last time."""
    clerk = running.session.current_agent
    assert isinstance(clerk, Clerk)
    return clerk.waits.taken[name][-1]


def spoke(waits: Waits) -> dict[str, float]:
    """The stages of the reply's voice as they really took."""
    return {"tts_first_audio": waits.taken["tts"][-1], "playout_start": waits.taken["playout"][-1]}


async def one_turn(
    script: dict[str, Said], agent: Agent | None = None, says: str = "hello", **options: Any
) -> Studio:
    """Run a session in which the caller speaks once and is answered."""
    answer = list(script.values())[-1].text
    async with studio(agent or Clerk(), script, **options) as running:
        await running.caller.say(says)
        await running.until_heard(answer)
    return running
