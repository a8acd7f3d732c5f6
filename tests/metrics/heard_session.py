"""One spoken session with metrics: `python -m tests.metrics.heard_session KIND`.

Settings come from the environment. KIND is `voice`, `preemptive`, `typed` (speech is transcribed
that nobody took for a turn, and the caller types) or `realtime`, by the model's own ears. Says
what the speech-to-text used.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from livekit.agents import Agent, stt

from tests.sessions.realtime import Answered, FakeRealtime
from tests.sessions.scripted import Said, Waits
from tests.sessions.studio import Recorder, Studio, studio
from tracing import observe, setup_tracer

TRACING = setup_tracer()
SCRIPT = {"hello": Said("Good evening."), "thanks": Said("You are welcome.")}


async def transcribe(running: Studio) -> None:
    """Speech that the provider counts, and that LiveKit takes for no turn of the user's."""
    before = seconds(running)
    usage = stt.RecognitionUsage(audio_duration=0.25)
    event = stt.SpeechEvent(
        type=stt.SpeechEventType.RECOGNITION_USAGE, request_id="stt-0", recognition_usage=usage
    )
    running.caller.scribe.heard.put_nowait(event)
    await running.until(lambda: seconds(running) > before)


def seconds(running: Studio) -> float:
    """What was transcribed so far."""
    used = (one for one in running.session.usage.model_usage if one.type == "stt_usage")
    return sum(one.audio_duration for one in used)


async def talk(running: Studio, kind: str) -> None:
    """Two questions and their answers."""
    for text, answer in (("hello", "Good evening"), ("thanks", "You are welcome")):
        if kind in ("typed", "realtime"):
            await transcribe(running)
        if kind == "typed":
            await running.session.run(user_input=text)
        elif kind == "realtime":
            await running.session.llm.hear(text)
        else:
            await running.caller.say(text)
        await running.until_heard(answer)


async def call(kind: str) -> dict[str, Any]:
    """The session, and LiveKit's own account of what it used."""
    options: dict[str, Any] = {"recorder": Recorder(content=False)}
    options["prepare"] = lambda session, recorder: observe(session)
    if kind != "preemptive":
        options["turn_handling"] = {"preemptive_generation": {"enabled": False}}
    if kind == "realtime":
        answers = {text: Answered(said.text) for text, said in SCRIPT.items()}
        options |= {"llm": FakeRealtime(answers, Waits()), "realtime": True}
    async with studio(Agent(instructions="Help."), SCRIPT, **options) as running:
        await talk(running, kind)
    [used] = [one for one in running.session.usage.model_usage if one.type == "stt_usage"]
    return used.model_dump()


if __name__ == "__main__":
    used = asyncio.run(call(sys.argv[1]))
    assert TRACING.flush(30)
    TRACING.shutdown()
    os.write(1, json.dumps(used).encode())
    os._exit(0)
