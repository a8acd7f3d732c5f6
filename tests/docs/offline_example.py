"""`python -m tests.docs.offline_example NAME`: a job of a real worker runs one of `examples/`.

The example's module sets up tracing and serves the call; what it gets in place of its models is
scripted, as is the caller, who speaks the lines of `LINES` and hangs up.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import sys
from collections.abc import Sequence
from typing import Any

from livekit import rtc
from livekit.agents import AgentServer, AgentSession, JobContext, JobProcess
from livekit.agents.ipc.mock_room import create_mock_room

from tests.sessions.realtime import Answered, FakeRealtime
from tests.sessions.scripted import Caller, FakeLLM, FakeSTT, FakeTTS, FakeVAD, Said, Waits

NUMBER = "+4930123456"
"""The caller's telephone number."""

LINES: dict[str, Sequence[str]] = {
    "minimal": ["Good evening.", "Thank you."],
    "realtime": ["When are you open?"],
    "own_spans": ["Is the Anchor any good?"],
    "telephone": ["Please call me back on 030 12 34 56."],
    "handoff": ["My brake squeaks.", "When can I come?"],
}
"""What the caller says to each example."""

GREETS = {"telephone"}
"""The examples whose agent speaks first."""

SCRIPT = {
    "Good evening.": Said("Good evening. What can I do?"),
    "Thank you.": Said("You are welcome."),
    "Is the Anchor any good?": Said(tools=[("ask_the_guests", '{"restaurant": "The Anchor"}')]),
    "The soup is praised.": Said("They praise the soup."),
    "Please call me back on 030 12 34 56.": Said(
        tools=[("take_message", '{"message": "call back 030 12 34 56"}')]
    ),
    "The message is noted.": Said("The doctor will call 030 12 34 56."),
    "My brake squeaks.": Said(tools=[("transfer_to_workshop", "{}")]),
    "Handing over to the workshop.": Said("The workshop can help."),
    "When can I come?": Said(tools=[("next_appointment", "{}")]),
    "Thursday at nine.": Said("Come on Thursday at nine."),
}
"""What the language model answers, by the last thing that it was told."""

HEARD = {
    "When are you open?": Answered("", tools=[("opening_hours", '{"day": "Sunday"}')]),
    "On Sunday the museum is open from ten to six.": Answered("On Sunday from ten to six."),
}
"""What the speech-to-speech model answers."""

if __name__ in ("__main__", "__mp_main__"):  # the job's process has the second name
    NAME = sys.argv[1]
    example = importlib.import_module(f"examples.{NAME}")


def prewarm(process: JobProcess) -> None:
    """The example's models are scripted, and the caller is on the telephone."""
    waits = Waits()
    ears, scribe = FakeVAD(), FakeSTT()
    if NAME == "realtime":
        model = FakeRealtime(HEARD, waits)
        process.userdata["models"] = {
            "llm": model,
            "turn_handling": {"turn_detection": "realtime_llm"},
        }
        process.userdata["say"] = model.hear
    else:
        by_voice = {"turn_detection": "vad", "interruption": {"mode": "vad"}}
        process.userdata["models"] = {
            "stt": scribe,
            "vad": ears,
            "llm": FakeLLM(SCRIPT, waits),
            "tts": FakeTTS(waits=waits),
            "turn_handling": by_voice,
        }
        process.userdata["say"] = Caller(ears, scribe, waits).say
    [caller] = create_mock_room().remote_participants.values()
    caller.identity = f"sip_{NUMBER}"
    caller.kind = rtc.ParticipantKind.PARTICIPANT_KIND_SIP
    caller.attributes = {"sip.phoneNumber": NUMBER}


async def entrypoint(ctx: JobContext) -> None:
    """The example's own, and then the caller's lines."""
    await example.entrypoint(ctx)
    session = ctx._primary_agent_session
    assert session is not None
    if NAME in GREETS:
        await until_answered(session, None)
    for line in LINES[NAME]:
        await ctx.proc.userdata["say"](line)
        await until_answered(session, line)
    ctx.shutdown("the caller hung up")


async def until_answered(session: AgentSession[Any], line: str | None) -> None:
    """Until the agent has said something after this line, and is quiet for a tenth of a second."""
    quiet = 0
    while quiet < 10:
        said = [(item.role, item.text_content) for item in session.history.messages()]
        heard = line is None or ("user", line) in said
        answered = heard and [role for role, _ in said][-1:] == ["assistant"]
        quiet = quiet + 1 if answered and session.agent_state == "listening" else 0
        await asyncio.sleep(0.01)


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


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    asyncio.run(asyncio.wait_for(run(), 120))
