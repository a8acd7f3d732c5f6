"""What a session's events add, and that they never harm it."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from livekit.agents import (
    NOT_GIVEN,
    Agent,
    AgentSession,
    APIConnectionError,
    RunContext,
    function_tool,
    stt,
)
from livekit.agents.voice.events import ErrorEvent, UserInputTranscribedEvent

from tests.sessions.realtime import Answered, FakeRealtime
from tests.sessions.scripted import FakeSTT, Said, Waits
from tests.sessions.studio import Recorder, attached, observed, recording, studio
from tracing.capture.current import Capture, register
from tracing.capture.processor import TracingProcessor
from tracing.observing import observe
from tracing.span import Span


class Clerk(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Help.")

    @function_tool
    async def search(self, context: RunContext) -> str:
        """Search, and tell the result when the conversation has gone on."""
        await context.update("searching")
        await asyncio.sleep(0.3)
        return "found it"


async def test_events_put_on_the_turn_what_is_on_no_span() -> None:
    """Playback latency, tokens per second, first sentence, STT usage, corrections."""
    script = {"hello": Said("Good evening to you.", rest_delay=0.05)}
    async with studio(Clerk(), script, prepare=observed()) as running:
        for text in ("yellow", "hello"):
            running.session.emit(
                "user_input_transcribed", UserInputTranscribedEvent(transcript=text, is_final=False)
            )
        await running.caller.say("hello")
        await running.until_heard("Good evening")
    told = running.session.history.items[-1].metrics
    turn = running.recorder.named("agent_turn")[0].attributes
    assert {
        "turn.playback_latency_seconds": told["playback_latency"],
        "turn.llm_node_tps": told["llm_node_tps"],
        "turn.llm_node_ttfs_seconds": told["llm_node_ttfs"],
        "turn.transcript_corrections": 1,
        "turn.stt.audio_duration": 0.5,
        "turn.stt.model_name": "fake-stt",
    }.items() <= turn.items()


async def test_a_false_interruption_is_counted_once() -> None:
    """The agent paused for a noise and went on: the turn was not interrupted."""
    interruption = {"mode": "vad", "min_duration": 0.1, "false_interruption_timeout": 0.2}
    options = {
        "turn_handling": {
            "interruption": interruption,
            "preemptive_generation": {"enabled": False},
        }
    }
    script = {"hello": Said("It is a long story.")}
    prepare = observed()
    async with studio(Clerk(), script, tts_seconds=0.8, prepare=prepare, **options) as running:
        await running.caller.say("hello")
        await running.until(lambda: running.session.agent_state == "speaking")
        await running.caller.say("", seconds=0.2)
        await running.until_heard("It is a long story")
    turn = running.recorder.named("agent_turn")[0].attributes
    assert turn["turn.false_interruptions"] == 1
    assert (turn["turn.was_interrupted"], turn["turn.barged_in"]) == (False, False)
    summary = running.recorder.named("agent_session")[0].attributes
    assert (summary["call.false_interruptions"], summary["call.barge_ins"]) == (1, 0)


async def test_a_late_result_of_a_tool_is_a_follow_up() -> None:
    """The tool went on in the background; telling its result is no reply to the user."""
    script = {
        "hello": Said(tools=[("search", "{}")]),
        "searching": Said("I am searching."),
    }
    prepare = observed()
    async with studio(Clerk(), script, prepare=prepare) as running:
        fake = running.session.llm
        fake.script = _AnyText(script, otherwise=Said("I found it."))
        await running.caller.say("hello")
        await running.until_heard("I found it")
    kinds = [t.attributes["turn.kind"] for t in running.recorder.named("agent_turn")]
    assert kinds == ["reply", "tool_follow_up"]


class _AnyText(dict[str, Said]):
    """Answers what it does not know with one answer."""

    def __init__(self, script: dict[str, Said], otherwise: Said) -> None:
        super().__init__(script)
        self.otherwise = otherwise

    def __missing__(self, key: str) -> Said:
        for known, said in self.items():
            if known in key:
                return said
        return self.otherwise


async def test_a_realtime_models_transcripts_are_on_their_turns() -> None:
    """One that comes before the turn, and one that comes while it is spoken."""
    model = FakeRealtime({"hello": Answered("Hi."), "bye": Answered("Goodbye.")}, Waits())
    nothing = {"stt": NOT_GIVEN, "vad": NOT_GIVEN, "tts": NOT_GIVEN}
    prepare = observed()
    async with studio(Clerk(), {}, llm=model, realtime=True, prepare=prepare, **nothing) as running:
        await model.hear("hello")
        await running.until_heard("Hi")
        await model.hear("bye", transcribed=False)
        await running.until(lambda: running.session.agent_state == "speaking")
        assert model.running is not None
        model.running.transcribe("bye")
        await running.until_heard("Goodbye")
    texts = [t.attributes["lk.pii.user_input"] for t in running.recorder.named("agent_turn")]
    assert texts == ["hello", "bye"]


async def test_speech_to_text_that_fails_over_is_counted() -> None:
    """No span shows it: the error, and the provider that was given up."""
    bad, good = FakeSTT(), FakeSTT()
    both = stt.FallbackAdapter([bad, good], max_retry_per_stt=0)
    script = {"hello": Said("Good evening.")}
    async with studio(Clerk(), script, stt=both, prepare=observed()) as running:
        await running.until(lambda: bad.streams == 1)
        bad.heard.put_nowait(APIConnectionError("gone"))
        await running.until(lambda: good.streams == 1)
        running.caller.scribe = good
        await running.caller.say("hello")
        await running.until_heard("Good evening")
    turn = running.recorder.named("agent_turn")[0].attributes
    summary = running.recorder.named("agent_session")[0]
    assert turn["turn.fallbacks"] == 1
    assert summary.attributes["call.unavailable.stt"] == 1
    events = [e.attributes for e in summary.events if e.name == "availability_changed"]
    assert events[0] == {"component": "stt", "available": False}


@pytest.mark.parametrize(("recoverable", "word"), [(False, "errors"), (True, "recoverable_errors")])
async def test_an_error_of_the_speech_to_text_is_counted(recoverable: bool, word: str) -> None:
    """On the reply that came in spite of it, and on the session; what LiveKit mends apart."""
    script = {"hello": Said("Good evening.")}
    async with studio(Clerk(), script, prepare=observed()) as running:
        told = {"timestamp": 1.0, "label": "stt", "error": ValueError("401")}
        error = stt.STTError(**told, recoverable=recoverable)
        running.session.emit("error", ErrorEvent(error=error, source=running.session.stt))
        await running.caller.say("hello")
        await running.until_heard("Good evening")
    turn = running.recorder.named("agent_turn")[0].attributes
    summary = running.recorder.named("agent_session")[0].attributes
    counted = {key: value for key, value in (*turn.items(), *summary.items()) if "errors" in key}
    assert counted == {f"turn.{word}.stt": 1, f"call.{word}.stt": 1}


async def test_the_summary_has_usage_and_options() -> None:
    """What LiveKit added up, and what matters when calls are compared."""
    script = {"hello": Said("Good evening.")}
    async with studio(Clerk(), script, prepare=observed()) as running:
        await running.caller.say("hello")
        await running.until_heard("Good evening")
    summary = running.recorder.named("agent_session")[0].attributes
    used = {one["type"]: one for one in json.loads(str(summary["call.usage"]))}
    assert used["stt_usage"] == {
        "type": "stt_usage",
        "provider": "fake",
        "model": "fake-stt",
        "input_tokens": 3,
        "output_tokens": 2,
        "audio_duration": 0.5,
    }
    options = {
        key.removeprefix("call.options."): value
        for key, value in summary.items()
        if key.startswith("call.options.")
    }
    assert options["preemptive_generation.enabled"] is True
    assert options["endpointing.min_delay"] == 0.4
    assert (options["stt_model"], options["llm_model"], options["tts_model"]) == (
        "fake-stt",
        "fake-llm",
        "fake-tts",
    )
    assert options["turn_detection"] == "vad"
    assert "endpointing.min_delay=0.4" in options["changed"]
    assert not any(one.startswith("preemptive_generation") for one in options["changed"])


async def test_names_and_budget_can_be_given() -> None:
    """The application's own session and user, and what counts as slow."""
    prepare = observed(session_id="order-7", user_id="ada", budget_seconds=0.1)
    script = {"hello": Said("Good evening.")}
    async with studio(Clerk(), script, prepare=prepare) as running:
        await running.caller.say("hello")
        await running.until_heard("Good evening")
    turn = running.recorder.named("agent_turn")[0].attributes
    assert (turn["session.id"], turn["user.id"]) == ("order-7", "ada")
    assert turn["turn.over_budget"] is True
    summary = running.recorder.named("agent_session")[0].attributes
    assert (summary["call.budget_seconds"], summary["call.within_budget_share"]) == (0.1, 0.0)


async def test_sessions_of_one_process_are_kept_apart() -> None:
    """Two calls at once: each has its own turns, usage and name."""
    prepare = observed()

    async def call(recorder: Recorder, times: int) -> None:
        script = {"hello": Said("Good evening.")}
        options = {"recorder": recorder, "prepare": prepare}
        async with studio(Clerk(), script, **options) as running:
            for number in range(times):
                await running.caller.say("hello")
                await running.until(lambda n=number: _answers(running.session) > n)
                await running.until_heard("Good evening")

    with recording() as recorder:
        await asyncio.gather(call(recorder, 1), call(recorder, 2))
    told = {
        (session.attributes["call.turns"], _audio_heard(session))
        for session in recorder.named("agent_session")
    }
    assert told == {(1, 0.5), (2, 1.0)}
    names = {span.attributes["session.id"] for span in recorder.stamped}
    assert len(names) == 2


def _answers(session: AgentSession) -> int:
    items = (i for i in session.history.items if i.type == "message")
    return sum(item.role == "assistant" for item in items)


def _audio_heard(session: Span) -> float:
    used = json.loads(str(session.attributes["call.usage"]))
    return next(one["audio_duration"] for one in used if one["type"] == "stt_usage")


async def test_typed_input_is_a_reply_also_where_content_is_withheld() -> None:
    """The text is gone when the turn is stamped; that there was one is known."""
    script, recorder = {"hello": Said("Good evening.")}, Recorder(content=False)
    options = {"audio": False, "prepare": observed(), "recorder": recorder}
    with attached(recorder):
        async with studio(Clerk(), script, **options) as running:
            await running.session.run(user_input="hello")
    turn = running.recorder.named("agent_turn")[0].attributes
    assert turn["turn.kind"] == "reply"
    assert "lk.pii.user_input" not in turn


async def test_what_events_tell_of_the_user_is_on_the_users_turn() -> None:
    """And on the reply to it, though the reply before it was still going on."""
    interruption = {"mode": "vad", "min_duration": 0.1, "resume_false_interruption": False}
    options = {
        "tts_seconds": 1.5,
        "turn_handling": {
            "interruption": interruption,
            "preemptive_generation": {"enabled": False},
        },
    }
    script = {"hello": Said("It is a long story."), "stop": Said("Yes?")}
    prepare = observed()
    async with studio(Clerk(), script, prepare=prepare, **options) as running:
        await running.caller.say("hello")
        await running.until(lambda: running.session.agent_state == "speaking")
        await running.caller.say("stop")
        await running.until_heard("Yes")
    for name in ("user_turn", "agent_turn"):
        spans = running.recorder.named(name)
        assert [s.attributes["turn.stt.audio_duration"] for s in spans] == [0.5, 0.5]
    counted = [
        s.attributes.get("turn.stt_is_counted") for s in running.recorder.named("agent_turn")
    ]
    assert counted == [True, True]


async def test_observing_twice_counts_once() -> None:
    """The second time changes nothing."""

    def prepare(session: AgentSession, recorder: Recorder) -> None:
        observe(session)
        observe(session)

    script = {"hello": Said("Good evening.")}
    async with studio(Clerk(), script, prepare=prepare) as running:
        await running.caller.say("hello")
        await running.until_heard("Good evening")
    turn = running.recorder.named("agent_turn")[0].attributes
    assert turn["turn.stt.audio_duration"] == 0.5


async def test_a_running_session_can_be_observed() -> None:
    """From then on its events count."""
    async with studio(Clerk(), {"hello": Said("Good evening.")}) as running:
        observe(running.session)
        await running.caller.say("hello")
        await running.until_heard("Good evening")
    turn = running.recorder.named("agent_turn")[0].attributes
    assert "turn.playback_latency_seconds" in turn


async def test_without_set_up_observing_does_nothing() -> None:
    """A session that nobody traces runs as ever."""

    def prepare(session: AgentSession, recorder: Recorder) -> None:
        register(None)
        observe(session, table=True)

    script = {"hello": Said("Good evening.")}
    async with studio(Clerk(), script, prepare=prepare) as running:
        await running.caller.say("hello")
        await running.until_heard("Good evening")
    assert "turn.playback_latency_seconds" not in running.recorder.named("agent_turn")[0].attributes


async def test_a_handler_that_fails_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, once a minute at most, and the call goes on."""

    class Broken:
        def call(self, trace_id: int) -> Any:
            raise RuntimeError("broken")

    def prepare(session: AgentSession, recorder: Recorder) -> None:
        observe(session)
        register(Capture(cast(TracingProcessor, Broken())))

    script = {"hello": Said("Good evening.")}
    async with studio(Clerk(), script, prepare=prepare) as running:
        await running.caller.say("hello")
        await running.until_heard("Good evening")
    told = [r for r in caplog.records if r.name == "tracing.capture.session_events"]
    assert [record.getMessage() for record in told] == [
        "an event of the session could not be recorded"
    ]
