"""The calls that are recorded: each a function that holds one, to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from agents import Host, Restaurant, Scripted, heard, session_of, settle, voice_session
from fakes import (
    Caller,
    ClockedOutput,
    Reply,
    ScriptedLLM,
    ScriptedTTS,
    SilentInput,
    wait_until,
)
from livekit.agents import JobExecutorType, llm, tts
from livekit.agents.vad import VADEventType

SCENARIOS: dict[str, Callable[[], Awaitable[None]]] = {}


def scenario(run: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    SCENARIOS[run.__name__] = run
    return run


@scenario
async def text() -> None:
    model = ScriptedLLM(
        Reply(text="Hello, how can I help?", prompt_tokens=40, completion_tokens=8),
        Reply(text="We open at nine.", prompt_tokens=60, completion_tokens=6, cached_tokens=20),
    )
    async with session_of(llm=model) as session:
        await session.start(Restaurant())
        await session.run(user_input="Hi!")
        await session.run(user_input="When do you open?")


@scenario
async def voice() -> None:
    caller = Caller()
    model = ScriptedLLM(Reply(text="We open at nine."), Reply(text="You are welcome."))
    async with voice_session(caller, model) as session:
        await session.start(Restaurant())
        await session.say("Welcome to the restaurant.")
        await caller.say("When do you open?")
        await wait_until(heard(session, "assistant", 2))
        await settle(session)
        await caller.say("Thank you.")
        await wait_until(heard(session, "assistant", 3))
        await settle(session)


@scenario
async def tools() -> None:
    caller = Caller()
    model = ScriptedLLM(
        Reply(tool="get_weather", arguments='{"city": "Oslo"}'),
        Reply(text="It is sunny in Oslo.", prompt_tokens=150),
        Reply(text="Let me book it.", tool="book_table", arguments='{"people": 2}'),
        Reply(text="Sorry, I could not book a table."),
    )
    async with voice_session(caller, model) as session:
        await session.start(Restaurant())
        await caller.say("What is the weather in Oslo?")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)
        await caller.say("Book a table for two.")
        await wait_until(heard(session, "assistant", 3))
        await settle(session)


@scenario
async def interruption() -> None:
    caller = Caller()
    model = ScriptedLLM(
        Reply(text="We have soup, bread, fish, meat, salad, cake, ice cream and coffee today."),
        Reply(text="Soup it is."),
    )
    async with voice_session(caller, model) as session:
        await session.start(Restaurant())
        await caller.say("What is on the menu?")
        await wait_until(lambda: session.agent_state == "speaking")
        await asyncio.sleep(0.5)
        await caller.say("Stop, the soup please.", seconds=0.6)
        await wait_until(heard(session, "assistant", 2))
        await settle(session)


@scenario
async def interrupted_stream() -> None:
    """The caller interrupts while the model is still writing."""
    caller = Caller()
    model = ScriptedLLM(
        Reply(text="One. Two. Three. Four. Five. Six. Seven. Eight. Nine.", per_word=0.4),
        Reply(text="All right."),
    )
    async with voice_session(caller, model) as session:
        await session.start(Restaurant())
        await caller.say("Count to nine.")
        await wait_until(lambda: session.agent_state in ("thinking", "speaking"))
        await asyncio.sleep(0.8)
        await caller.say("That is enough, thanks.", seconds=0.6)
        await wait_until(lambda: len(model.replies) == 0)
        await settle(session)


@scenario
async def handoff() -> None:
    caller = Caller()
    model = ScriptedLLM(
        Reply(tool="transfer_to_billing"),
        Reply(text="Billing here, how can I help?"),
    )
    async with voice_session(caller, model) as session:
        await session.start(Restaurant())
        await caller.say("I have a question about my bill.")
        await settle(session)
        await caller.say("Is it paid?")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)


@scenario
async def preemptive_kept() -> None:
    caller = Caller()
    model = ScriptedLLM(Reply(text="We open at nine."))
    async with voice_session(caller, model, preemptive=True, endpointing=0.5) as session:
        await session.start(Restaurant())
        await caller.say("When do you open?")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)


@scenario
async def preemptive_discarded() -> None:
    caller = Caller()
    model = ScriptedLLM(
        Reply(text="We open at nine.", prompt_tokens=90), Reply(text="On Sunday we open at ten.")
    )
    async with voice_session(caller, model, preemptive=True, endpointing=0.6) as session:
        await session.start(Restaurant())
        await caller.say("When do you open?")
        await asyncio.sleep(0.3)
        await caller.say("On Sunday, I mean.")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)


@scenario
async def llm_error() -> None:
    caller = Caller()
    model = ScriptedLLM(*[Reply(error="model overloaded")] * 3, Reply(text="I am back."))
    async with voice_session(caller, model) as session:
        await session.start(Restaurant())
        await caller.say("Hello?")
        await wait_until(lambda: len(model.replies) == 1)
        await settle(session)
        await caller.say("Are you there?")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)


@scenario
async def llm_retry() -> None:
    caller = Caller()
    model = ScriptedLLM(Reply(error="model overloaded"), Reply(text="We open at nine."))
    async with voice_session(caller, model) as session:
        await session.start(Restaurant())
        await caller.say("When do you open?")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)


@scenario
async def llm_fallback() -> None:
    caller = Caller()
    model = llm.FallbackAdapter(
        [
            ScriptedLLM(*[Reply(error="model overloaded")] * 9),
            ScriptedLLM(
                Reply(text="We open at nine."), model="claude-sonnet-4-5", provider="anthropic"
            ),
        ],
        max_retry_per_llm=0,
    )
    async with voice_session(caller, model) as session:
        await session.start(Restaurant())
        await caller.say("When do you open?")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)


@scenario
async def tts_fallback() -> None:
    caller = Caller()
    speech = tts.FallbackAdapter(
        [ScriptedTTS(errors=99), ScriptedTTS(model="eleven_flash_v2_5", provider="elevenlabs")],
        max_retry_per_tts=0,
    )
    async with voice_session(caller, ScriptedLLM(Reply(text="At nine.")), speech) as session:
        await session.start(Restaurant())
        await caller.say("When do you open?")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)


@scenario
async def tts_error() -> None:
    caller = Caller()
    model = ScriptedLLM(Reply(text="We open at nine."), Reply(text="Anything else?"))
    async with voice_session(caller, model, ScriptedTTS(errors=3)) as session:
        await session.start(Restaurant())
        await caller.say("When do you open?")
        await wait_until(lambda: session.tts.errors == 0)
        await settle(session)
        await caller.say("Hello?")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)


@scenario
async def stt_error() -> None:
    """The STT fails for good in the second turn and the session closes."""
    caller = Caller()
    closed = asyncio.Event()
    model = ScriptedLLM(Reply(text="We open at nine."))
    async with voice_session(caller, model, tolerated=0) as session:
        session.on("close", lambda _: closed.set())
        await session.start(Restaurant())
        await caller.say("When do you open?")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)
        caller.vad.hear(VADEventType.START_OF_SPEECH, speech=0.05)
        await asyncio.sleep(0.3)
        caller.vad.hear(VADEventType.END_OF_SPEECH, speech=0.3, silence=0.05)
        caller.stt.errors = 10**6
        caller.stt.fail()
        await asyncio.wait_for(closed.wait(), 20)


@scenario
async def stt_recovered() -> None:
    """The STT drops its stream once and comes back by itself."""
    caller = Caller()
    async with voice_session(caller, ScriptedLLM(Reply(text="We open at nine."))) as session:
        await session.start(Restaurant())
        caller.stt.fail()
        await asyncio.sleep(0.2)
        await caller.say("When do you open?")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)


@scenario
async def custom_llm_node() -> None:
    caller = Caller()
    async with voice_session(caller, ScriptedLLM()) as session:
        await session.start(Scripted())
        await caller.say("What is on the menu?")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)


@scenario
async def input_delta() -> None:
    model = ScriptedLLM(
        Reply(text="Hello, how can I help?"),
        Reply(tool="get_weather", arguments='{"city": "Oslo"}'),
        Reply(text="It is sunny."),
    )
    async with session_of(llm=model) as session:
        await session.start(Restaurant(), record={"input_delta": True})
        await session.run(user_input="Hi!")
        await session.run(user_input="What is the weather in Oslo?")


@scenario
async def withheld() -> None:
    """Content is withheld from exporters, as LiveKit does it."""
    await tools()


async def realtime_session(*, late: bool) -> None:
    from realtime import ScriptedRealtime

    caller = Caller()
    model = ScriptedRealtime(late_metrics=late)
    session = session_of(llm=model, vad=caller.vad)
    session.input.audio = SilentInput()
    session.output.audio = ClockedOutput()
    async with session:
        await session.start(Restaurant())
        for number, question in enumerate(("When do you open?", "And on Sunday?"), 1):
            await caller.say(question, seconds=0.3)
            model.hear(question)
            await wait_until(heard(session, "assistant", number))
            await settle(session)
        await asyncio.sleep(1.5 if late else 0.1)


@scenario
async def realtime() -> None:
    await realtime_session(late=False)


@scenario
async def realtime_late() -> None:
    await realtime_session(late=True)


@scenario
async def agent_task() -> None:
    """A tool awaits a task, which asks the caller."""
    caller = Caller()
    model = ScriptedLLM(
        Reply(tool="reserve"),
        Reply(text="What is your name?"),
        Reply(tool="note_name", arguments='{"name": "Ann"}'),
        Reply(text="It is reserved for Ann."),
    )
    async with voice_session(caller, model) as session:
        await session.start(Host())
        await caller.say("A table, please.")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)
        await caller.say("Ann.")
        await wait_until(heard(session, "assistant", 2))
        await settle(session)


@scenario
async def unknown_tool() -> None:
    """The model calls a tool that is none, then one with arguments that do not parse."""
    caller = Caller()
    model = ScriptedLLM(
        Reply(tool="get_menu"),
        Reply(tool="get_weather", arguments='{"city'),
        Reply(text="I cannot tell."),
    )
    async with voice_session(caller, model) as session:
        await session.start(Restaurant())
        await caller.say("What is on the menu?")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)


@scenario
async def earlier_hook() -> None:
    """The caller goes on while the hook of what they said first runs."""
    caller = Caller()
    model = ScriptedLLM(*[Reply(text="Certainly.")] * 3)
    async with voice_session(caller, model) as session:
        await session.start(Host())
        await caller.say("The first thing is bread.")
        await asyncio.sleep(0.2)
        await caller.say("And soup.")
        await wait_until(heard(session, "assistant", 1))
        await settle(session)


@scenario
async def filler() -> None:
    """A tool of the first request speaks while it looks; the step before it spoke too."""
    caller = Caller()
    model = ScriptedLLM(
        Reply(text="Let me see.", tool="look_for_table"), Reply(text="There is one.")
    )
    async with voice_session(caller, model, preemptive=True) as session:
        await session.start(Host())
        await caller.say("Is there a table?")
        await wait_until(heard(session, "assistant", 3))
        await settle(session)


@scenario
async def stop_response() -> None:
    """A hook wants no reply, after one was begun; then the caller types."""
    caller = Caller()
    model = ScriptedLLM(Reply(text="Pardon?"), Reply(text="We open at nine."))
    async with voice_session(caller, model, preemptive=True, endpointing=0.3) as session:
        await session.start(Host())
        await caller.say("Oh, never mind.")
        await asyncio.sleep(0.8)
        await session.run(user_input="When do you open?")
        await settle(session)


@scenario
async def interrupted_tool_step() -> None:
    """The caller interrupts after the words before the tool, while the next step is written."""
    caller = Caller()
    model = ScriptedLLM(
        Reply(text="Let me see.", tool="get_weather", arguments='{"city": "Oslo"}'),
        Reply(text="It is sunny in Oslo.", ttft=1.5),
        Reply(text="All right."),
    )
    async with voice_session(caller, model) as session:
        await session.start(Restaurant())
        await caller.say("What is the weather in Oslo?")
        await wait_until(heard(session, "assistant", 1))
        await asyncio.sleep(0.2)
        await caller.say("Thanks, that is enough.", seconds=0.6)
        await wait_until(heard(session, "assistant", 2))
        await settle(session)


@scenario
async def job() -> None:
    """A whole job, with the worker's own spans around the call (livekit-agents 1.8)."""
    from livekit.agents import AgentServer, JobContext

    server = AgentServer(job_executor_type=JobExecutorType.THREAD, port=0)

    @server.rtc_session()
    async def entrypoint(ctx: JobContext) -> None:
        session = session_of(llm=ScriptedLLM(Reply(text="We open at nine.")))
        session.output.set_audio_enabled(False)
        await session.start(Restaurant())
        await session.run(user_input="When do you open?")
        await session.aclose()
        ctx.shutdown("the call is over")

    started = asyncio.Event()
    server.once("worker_started", started.set)
    serving = asyncio.create_task(server.run(devmode=True, unregistered=True))
    await started.wait()
    await server.simulate_job("front-desk", fake_job=True)
    await wait_until(lambda: bool(server.active_jobs))
    await wait_until(lambda: not server.active_jobs)
    await server.aclose()
    await serving
